"""Production readiness: what will be missed on the first bad day."""

from __future__ import annotations

from mutations.edits import Edit, attribute_gone, changed, nested, without

STUB = "exports.handler = async () => ({ statusCode: 200, body: '{}' });"

EDITS: dict[str, tuple[Edit, ...]] = {
    "untraced-functions": (Edit("pass-through", nested("PaymentFunction", "TracingConfig", Mode="PassThrough")),),
    "deprecated-runtime": (Edit("old runtime", changed("PaymentFunction", Runtime="nodejs16.x")),),
    "recovery-off": (
        Edit("off", nested("CampaignsTable", "PointInTimeRecoverySpecification", PointInTimeRecoveryEnabled=False)),
    ),
    "table-not-on-demand": (Edit("provisioned", changed("CampaignsTable", BillingMode="PROVISIONED")),),
    "api-without-access-logs": (Edit("none", without("ApiStage", "AccessLogSetting")),),
    "key-deleted-data-retained": (Edit("key goes", attribute_gone("DataKey", "DeletionPolicy")),),
    "async-without-dlq": (
        # The role may still send to the queue, which the function no longer names.
        Edit(
            "dead letters lost", without("DeadlineFunction", "DeadLetterConfig"), frozenset({"unused-service-grants"})
        ),
    ),
    "inline-function-code": (
        # A stub breaks what the code was there for: the transaction, the metrics, the use of the role.
        Edit(
            "stub",
            changed("PaymentFunction", Code={"ZipFile": STUB}),
            frozenset(
                {"missing-custom-metrics", "stub-handlers", "transactions-not-implemented", "unused-service-grants"}
            ),
        ),
    ),
}
