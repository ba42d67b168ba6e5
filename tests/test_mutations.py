"""Edits of the reference template: each makes the rules that it names fail, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cfaudit.finding import Verdict
from cfaudit.pipeline import Settings, audit
from rewrites import dumped, parsed
from stacks import AS_OF, REFERENCE, audited, rules

TEXT = REFERENCE.read_text(encoding="utf-8")
Resources = dict[str, Any]


def properties(resources: Resources, name: str) -> dict[str, Any]:
    held: dict[str, Any] = resources[name]["Properties"]
    return held


def granted(role: str, action: str, resource: object) -> Callable[[Resources], None]:
    """An Allow more in a role's first policy."""

    def edit(resources: Resources) -> None:
        document = properties(resources, role)["Policies"][0]["PolicyDocument"]
        document["Statement"].append({"Effect": "Allow", "Action": action, "Resource": resource})

    return edit


def changed(name: str, **values: object) -> Callable[[Resources], None]:
    """Properties set to other values."""
    return lambda resources: properties(resources, name).update(values)


def nested(name: str, *path: str, **values: object) -> Callable[[Resources], None]:
    """Values set below a property."""

    def edit(resources: Resources) -> None:
        held = properties(resources, name)
        for step in path:
            held = held[step]
        for value in held if isinstance(held, list) else [held]:
            value.update(values)

    return edit


def without(name: str, *paths: str) -> Callable[[Resources], None]:
    """Properties taken away, or the whole resource."""

    def edit(resources: Resources) -> None:
        if not paths:
            del resources[name]
        for path in paths:
            del properties(resources, name)[path]

    return edit


def attribute_gone(name: str, attribute: str) -> Callable[[Resources], None]:
    return lambda resources: resources[name].__delitem__(attribute)


TABLE = {"Fn::GetAtt": ["CampaignsTable", "Arn"]}
STUB = "exports.handler = async () => ({ statusCode: 200, body: '{}' });"

EDITS: dict[str, tuple[Callable[[Resources], None], set[str]]] = {
    "batch write": (granted("PaymentRole", "dynamodb:BatchWriteItem", TABLE), {"batch-write-for-transactions"}),
    "no action": (granted("PaymentRole", "dynamodb:TransactWriteItems", TABLE), {"unreal-iam-action"}),
    "any object": (granted("CampaignRole", "s3:GetObject", "*"), {"wildcard-resource"}),
    "any action": (granted("CampaignRole", "dynamodb:*", TABLE), {"wildcard-action"}),
    "pass-through": (nested("PaymentFunction", "TracingConfig", Mode="PassThrough"), {"untraced-functions"}),
    "old runtime": (changed("PaymentFunction", Runtime="nodejs16.x"), {"deprecated-runtime"}),
    "proxy by GET": (
        nested("CreateCampaign", "Integration", IntegrationHttpMethod="GET"),
        {"proxy-integration-method"},
    ),
    "open method": (
        changed("CreateCampaign", AuthorizationType="NONE", ApiKeyRequired=False),
        {"open-api-method"},
    ),
    "plain HTTP": (
        nested("Distribution", "DistributionConfig", "DefaultCacheBehavior", ViewerProtocolPolicy="allow-all"),
        {"plain-http-delivery"},
    ),
    "any origin": (
        nested("MediaBucket", "CorsConfiguration", "CorsRules", AllowedOrigins=["*"]),
        {"open-bucket-cors"},
    ),
    "no rotation": (changed("DataKey", EnableKeyRotation=False), {"key-rotation-off"}),
    "no recovery": (
        nested("CampaignsTable", "PointInTimeRecoverySpecification", PointInTimeRecoveryEnabled=False),
        {"recovery-off"},
    ),
    "provisioned": (changed("CampaignsTable", BillingMode="PROVISIONED"), {"table-not-on-demand"}),
    "no second factor": (changed("UserPool", MfaConfiguration="OFF"), {"no-mfa"}),
    "short password": (nested("UserPool", "Policies", "PasswordPolicy", MinimumLength=6), {"weak-password-policy"}),
    "public ACLs": (
        nested("MediaBucket", "PublicAccessBlockConfiguration", BlockPublicAcls=False),
        {"public-bucket"},
    ),
    "draft detector": (changed("ContributionDetector", DetectorVersionStatus="DRAFT"), {"missing-fraud-detector"}),
    "no connection": (changed("DashboardSource", Type="DYNAMODB"), {"missing-dashboards"}),
    "no web ACL": (without("WebAclAssociation"), {"missing-web-acl"}),
    "no access logs": (without("ApiStage", "AccessLogSetting"), {"api-without-access-logs"}),
    "key goes": (attribute_gone("DataKey", "DeletionPolicy"), {"key-deleted-data-retained"}),
    "dead letters lost": (
        without("DeadlineFunction", "DeadLetterConfig"),
        {"async-without-dlq", "unused-service-grants"},
    ),
    "own log key": (without("PaymentLogs", "KmsKeyId"), {"log-group-without-key"}),
    "stub": (changed("PaymentFunction", Code={"ZipFile": STUB}), set()),
}

# A stub breaks what the code was there for; it is judged for what it must at least say.
AT_LEAST = {"stub": {"inline-function-code", "stub-handlers", "transactions-not-implemented"}}


@pytest.mark.parametrize("name", EDITS)
def test_edit(name: str) -> None:
    edit, expected = EDITS[name]
    template = parsed(TEXT)
    edit(template["Resources"])
    result = audit(dumped(template), str(REFERENCE), Settings(as_of=AS_OF), rules())
    before = {held.rule.id: held.verdict for held in audited(TEXT, str(REFERENCE)).results}
    failing = {
        held.rule.id
        for held in result.results
        if held.verdict is Verdict.FAIL and before[held.rule.id] is not Verdict.FAIL
    }
    assert all(held.error is None for held in result.results)
    if name in AT_LEAST:
        assert failing >= AT_LEAST[name]
    else:
        assert failing == expected
