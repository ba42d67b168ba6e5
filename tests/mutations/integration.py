"""Integration quality: who calls what, with which right, and what comes of it."""

from __future__ import annotations

import re
from typing import Any

from mutations.edits import (
    Change,
    Edit,
    added,
    arn,
    attribute_gone,
    changed,
    granted,
    nested,
    properties,
    ref,
    removed,
    replaced,
    statements,
    sub,
    together,
    without,
)
from rewrites import Template

WORKFLOW = "MilestoneWorkflow"
DENIED = frozenset({"call-without-permission"})


def states(template: Template) -> dict[str, Any]:
    """The states of the workflow."""
    held: dict[str, Any] = properties(template, WORKFLOW)["Definition"]["States"]
    return held


def state(name: str, **values: object) -> Change:
    """Fields of a state set to other values, or a state more."""
    return lambda template: states(template).setdefault(name, {}).update(values)


def state_without(name: str, *fields: str) -> Change:
    """Fields of a state taken away (``A.B`` is one below another), or the whole state."""
    path = f"Definition.States.{name}"
    return without(WORKFLOW, *([f"{path}.{field}" for field in fields] or [path]))


def parameters(name: str, **values: object) -> Change:
    """Parameters of a state's task set to other values."""
    return nested(WORKFLOW, "Definition", "States", name, "Parameters", **values)


def revoked(role: str, *actions: str) -> Change:
    """The statements of a role's first policy that allow one of these actions taken away."""

    def edit(template: Template) -> None:
        held = statements(template, role)
        kept = [entry for entry in held if not set(actions) & set(allowed(entry))]
        assert len(kept) < len(held), actions
        held[:] = kept

    return edit


def dropped(role: str, action: str) -> Change:
    """One action taken out of the statements of a role's first policy."""

    def edit(template: Template) -> None:
        for entry in statements(template, role):
            if action in allowed(entry):
                entry["Action"] = [name for name in allowed(entry) if name != action]

    return edit


def narrowed(role: str, action: str, *resources: object) -> Change:
    """The resources of the first statement that allows an action set to others."""

    def edit(template: Template) -> None:
        entry = next(entry for entry in statements(template, role) if action in allowed(entry))
        entry["Resource"] = list(resources)

    return edit


def allowed(entry: Any) -> list[str]:
    """The actions that a statement allows."""
    actions = entry.get("Action", [])
    return [actions] if isinstance(actions, str) else list(actions)


def told(function: str, **values: object) -> Change:
    """Variables of a function set to other values, or more of them."""
    return nested(function, "Environment", "Variables", **values)


def untold(function: str, *names: str) -> Change:
    """Variables of a function taken away."""
    return without(function, *(f"Environment.Variables.{name}" for name in names))


def unguarded(text: str) -> str:
    """Code of the payment function that does not know a payment again."""
    guards = re.compile(r"^.*(?:ConditionExpression|ClientRequestToken).*\n", re.MULTILINE)
    answers = re.compile(r"(?:TransactionCanceled|IdempotentParameterMismatch)Exception")
    return answers.sub("InternalServerError", guards.sub("", text))


HERE = "${AWS::Region}:${AWS::AccountId}"
INVOKE = sub("arn:${AWS::Partition}:states:::lambda:invoke")
MANIFEST = {"ManifestFileLocation": {"Bucket": ref("AnalyticsBucket"), "Key": "manifest.json"}}
IDENTITY = f"arn:${{AWS::Partition}}:ses:{HERE}:identity/${{MailIdentity}}"
WORKGROUP = f"arn:${{AWS::Partition}}:athena:{HERE}:workgroup/${{QueryWorkGroup}}"
UNUSED = frozenset({"unused-service-grants"})
GUARDED = """export const handler = async (event) => {
  if (!event.body) {
    return { statusCode: 400, body: '{}' };
  }
  return { statusCode: 200, body: '{}' };
};
"""
STUB = "export const handler = async () => ({ statusCode: 200, body: '{}' });\n"

KEY = "{\n            TableName: campaignsTable,\n            Key: { campaignId },\n            ConditionExpression: "
CHECKED = (
    ("            UpdateExpression: 'ADD raised :amount',\n", ""),
    (f"Update: {KEY}", f"ConditionCheck: {KEY}"),
)

no_update_by_workflow = revoked("WorkflowRole", "dynamodb:UpdateItem")
no_approval_api = removed("DecideApproval", "ApprovalPreflight", "ApprovalPermission", "ApprovalPath")

EDITS: dict[str, tuple[Edit, ...]] = {
    "access-without-variable": (
        Edit("bucket unnamed", untold("CampaignFunction", "MEDIA_BUCKET")),
        Edit("topic unnamed", untold("DeadlineFunction", "DEADLINE_TOPIC_ARN")),
        Edit("detector without its event type", untold("ScreeningFunction", "FRAUD_EVENT_TYPE_ARN")),
    ),
    "approval-without-task-token": (
        Edit(
            "the pattern is gone",
            state("WaitForApproval", Resource=sub("arn:${AWS::Partition}:states:::aws-sdk:dynamodb:updateItem")),
        ),
        Edit(
            "only time passes",
            together(
                no_update_by_workflow,
                state_without("WaitForApproval"),
                state_without("IsApproved"),
                state("WaitForApproval", Type="Wait", Seconds=604800, Next="Release"),
            ),
        ),
        Edit(
            "release after the message",
            together(
                no_update_by_workflow,
                state_without("WaitForApproval"),
                state_without("IsApproved"),
                state("NotifyReached", Comment="Asks a person for the approval.", Next="Release"),
            ),
        ),
        Edit("nobody gets the token", parameters("WaitForApproval", ExpressionAttributeValues={":token": {"S": "t"}})),
        Edit(
            "a state that does nothing",
            together(
                no_update_by_workflow,
                state_without("WaitForApproval"),
                state_without("IsApproved"),
                state("WaitForApproval", Type="Pass", Next="Release"),
            ),
        ),
    ),
    "batch-write-for-transactions": (
        Edit("one table", granted("PaymentRole", "dynamodb:BatchWriteItem", arn("CampaignsTable"))),
        Edit(
            "both tables",
            granted("PaymentRole", ["dynamodb:BatchWriteItem"], [arn("CampaignsTable"), arn("ContributionsTable")]),
        ),
    ),
    "broken-workflow-definition": (
        Edit("start nowhere", nested(WORKFLOW, "Definition", StartAt="Begin")),
        Edit("next nowhere", state("NotifyFailed", Next="Fail")),
        Edit("default nowhere", state("IsApproved", Default="Refused")),
        Edit("catch nowhere", state("Release", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "NotifyFailure"}])),
        Edit("state beside the way", state("Refund", Type="Pass", End=True)),
        Edit("task without resource", state_without("Screen", "Resource")),
        Edit("choice without choices", state("IsClean", Choices=[])),
        Edit("no way out", state_without("NotifyReleased", "End")),
        Edit("two ways out", state("NotifyReached", End=True)),
        Edit("no type", state_without("Failed", "Type")),
        Edit(
            "no JSON",
            together(
                without(WORKFLOW, "Definition"),
                changed(WORKFLOW, DefinitionString='{"StartAt": "Screen", "States": {"Screen": {"Type": "Pass", }}}'),
            ),
        ),
        Edit(
            "choice without next", state("IsClean", Choices=[{"Variable": "$.screening.decision", "IsPresent": True}])
        ),
        Edit("type of no state", state("Failed", Type="Failure")),
        Edit(
            "start nowhere inside",
            state("Failed", Type="Map", ItemProcessor={"StartAt": "X", "States": {"Y": {"Type": "Succeed"}}}, End=True),
        ),
    ),
    "call-without-permission": (
        Edit("may not answer", revoked("ApprovalRole", "states:SendTaskSuccess")),
        Edit("may not put", revoked("CampaignRole", "s3:PutObject"), frozenset({"variable-without-access"})),
        Edit("deletes", sources={"campaign": replaced(("UpdateCommand", "DeleteCommand"))}),
    ),
    "cdn-hides-cors": (
        Edit(
            "origin kept back",
            without(
                "Distribution",
                "DistributionConfig.DefaultCacheBehavior.OriginRequestPolicyId",
                "DistributionConfig.DefaultCacheBehavior.ResponseHeadersPolicyId",
            ),
        ),
        Edit(
            "thumbnails only",
            nested(
                "Distribution",
                "DistributionConfig",
                CacheBehaviors=[
                    {
                        "PathPattern": "/thumbnails/*",
                        "TargetOriginId": "media",
                        "ViewerProtocolPolicy": "redirect-to-https",
                        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
                    }
                ],
            ),
        ),
    ),
    "cors-preflight-missing": (
        Edit("unanswered", removed("CampaignsPreflight")),
        Edit(
            "answered without headers",
            without("CampaignsPreflight", "Integration.IntegrationResponses.0.ResponseParameters"),
        ),
        Edit(
            "answered to who has a token",
            changed(
                "ContributionsPreflight", AuthorizationType="COGNITO_USER_POOLS", AuthorizerId=ref("ApiAuthorizer")
            ),
        ),
        Edit("answered to who has a key", changed("ApprovalPreflight", ApiKeyRequired=True)),
    ),
    "dangling-environment-variable": (
        Edit("table by name", told("PaymentFunction", REFUNDS_TABLE="refunds")),
        Edit(
            "topic by ARN",
            told("DeadlineFunction", NEWS_TOPIC_ARN=sub(f"arn:${{AWS::Partition}}:sns:{HERE}:news")),
        ),
        Edit("queue by a name made up", told("StreamFunction", RETRY_QUEUE=sub("retries-${EnvironmentSuffix}"))),
    ),
    "dangling-service-grant": (
        Edit("no stream", granted("PaymentRole", "kinesis:PutRecord", "*"), UNUSED | {"wildcard-resource"}),
        Edit("no secret", granted("PaymentRole", "secretsmanager:GetSecretValue", "*"), UNUSED | {"wildcard-resource"}),
    ),
    "function-outlives-api": (
        Edit("longer than 29 seconds", changed("PaymentFunction", Timeout=60)),
        Edit("API less patient", nested("CreateCampaign", "Integration", TimeoutInMillis=5000)),
    ),
    "incomplete-api-surface": (
        Edit("no campaign", removed("GetCampaign")),
        Edit("no contributions", removed("ListContributions")),
        Edit("no approval", no_approval_api, frozenset({"uninvoked-function"})),
        Edit("approval by GET", changed("DecideApproval", HttpMethod="GET")),
    ),
    "mail-without-sender": (
        Edit("told nothing", untold("DeadlineFunction", "MAIL_SENDER", "MAIL_CONFIGURATION_SET", "MAIL_TEMPLATE")),
        Edit("told a template only", untold("DeadlineFunction", "MAIL_SENDER", "MAIL_CONFIGURATION_SET")),
        Edit("may send, too", granted("ApprovalRole", "ses:SendEmail", sub(IDENTITY)), UNUSED),
    ),
    "media-key-unreadable-by-cdn": (
        Edit("key policy", without("MediaKey", "KeyPolicy.Statement.1")),
        Edit(
            "key of S3",
            nested(
                "MediaBucket",
                "BucketEncryption",
                "ServerSideEncryptionConfiguration",
                ServerSideEncryptionByDefault={"SSEAlgorithm": "aws:kms"},
            ),
            frozenset({"unencrypted-data-store"}),
        ),
        Edit(
            "identity instead of control",
            together(
                without("OriginAccess"),
                added(
                    "OriginAccess",
                    "AWS::CloudFront::CloudFrontOriginAccessIdentity",
                    {"CloudFrontOriginAccessIdentityConfig": {"Comment": "media"}},
                ),
                without("Distribution", "DistributionConfig.Origins.0.OriginAccessControlId"),
                nested(
                    "Distribution",
                    "DistributionConfig",
                    "Origins",
                    S3OriginConfig={"OriginAccessIdentity": sub("origin-access-identity/cloudfront/${OriginAccess}")},
                ),
            ),
        ),
        Edit("may only encrypt", nested("MediaKey", "KeyPolicy", "Statement", 1, Action="kms:Encrypt")),
        Edit("unsigned", without("Distribution", "DistributionConfig.Origins.0.OriginAccessControlId")),
    ),
    "missing-invoke-permission": (
        Edit("none", without("PaymentPermission")),
        Edit(
            "for another path",
            changed(
                "ApprovalPermission",
                SourceArn=sub(f"arn:${{AWS::Partition}}:execute-api:{HERE}:${{Api}}/*/*/approvals"),
            ),
        ),
        Edit("for another service", changed("CampaignPermission", Principal="events.amazonaws.com")),
        Edit("workflow's role", revoked("WorkflowRole", "lambda:InvokeFunction")),
        Edit("schedule's role", revoked("DeadlineScheduleRole", "lambda:InvokeFunction")),
    ),
    "non-idempotent-retry": (
        Edit(
            "counts again",
            together(
                parameters("WaitForApproval", UpdateExpression="SET approvals.#milestone = :token ADD asked :one"),
                parameters(
                    "WaitForApproval",
                    ExpressionAttributeValues={":token": {"S.$": "$$.Task.Token"}, ":one": {"N": "1"}},
                ),
                state_without("WaitForApproval", "Parameters.ConditionExpression"),
                state("WaitForApproval", Retry=[{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 3}]),
            ),
        ),
        Edit(
            "pays again",
            together(
                lambda template: states(template)["Release"]["Parameters"]["Payload"].pop("executionId.$"),
                state("Release", Retry=[{"ErrorEquals": ["States.ALL"], "MaxAttempts": 3}]),
            ),
            sources={"payment": unguarded},
        ),
    ),
    "notification-without-context": (
        Edit(
            "always the same",
            state(
                "NotifyRefused",
                Parameters={"TopicArn": ref("MilestoneTopic"), "Message": "A milestone was refused."},
            ),
        ),
        Edit(
            "always reached",
            state(
                "NotifyReached",
                Parameters={"TopicArn": ref("MilestoneTopic"), "Subject": "A milestone", "Message": "It waits."},
            ),
        ),
    ),
    "orphan-role": (
        Edit(
            "logs of nobody",
            together(without("ApiAccount"), attribute_gone("ApiStage", "DependsOn")),
        ),
        # Whether anything runs as the role, and so invokes the function, is then unknown.
        Edit("scheduler without schedule", without("DeadlineSchedule"), frozenset({"missing-component"})),
        Edit(
            "role to spare",
            lambda template: template["Resources"].update(SpareRole=template["Resources"]["ApprovalRole"]),
        ),
    ),
    "proxy-integration-method": (
        Edit("by GET", nested("CreateCampaign", "Integration", IntegrationHttpMethod="GET")),
        Edit("by no method", without("ListCampaigns", "Integration.IntegrationHttpMethod")),
    ),
    "publisher-without-key-access": (
        Edit("workflow", dropped("WorkflowRole", "kms:GenerateDataKey")),
        Edit("function", dropped("DeadlineRole", "kms:GenerateDataKey")),
        Edit(
            "failures of a stream",
            dropped("StreamRole", "kms:GenerateDataKey"),
            frozenset({"reader-without-key-access"}),
        ),
        # Nothing else lets the role use the tables' key, either.
        Edit(
            "another key",
            narrowed("WorkflowRole", "kms:Decrypt", arn("MediaKey")),
            frozenset({"reader-without-key-access"}),
        ),
        Edit("alarms", without("DataKey", "KeyPolicy.Statement.2")),
        Edit("dead letters of the schedule", dropped("DeadlineScheduleRole", "kms:GenerateDataKey")),
    ),
    "query-engine-without-data": (
        Edit(
            "no table",
            together(
                without("ContributionsData"),
                without("AnalyticsDatabase"),
                without("DashboardData", "PhysicalTableMap.contributions.RelationalTable.Schema"),
                attribute_gone("DashboardData", "DependsOn"),
                revoked("QuickSightRole", "glue:GetTable"),
            ),
        ),
        # QuickSight goes another way, and nobody else may query.
        Edit(
            "nobody to query",
            together(
                changed("DashboardSource", Type="S3", DataSourceParameters={"S3Parameters": MANIFEST}),
                revoked("QuickSightRole", "athena:StartQueryExecution"),
            ),
        ),
    ),
    "query-without-index-access": (
        Edit("table only", narrowed("CampaignRole", "dynamodb:Query", arn("CampaignsTable"))),
        Edit("table only, two indexes", narrowed("PaymentRole", "dynamodb:Query", arn("ContributionsTable"))),
        Edit("table only, hourly", narrowed("DeadlineRole", "dynamodb:Query", arn("CampaignsTable"))),
    ),
    "reader-without-key-access": (
        Edit("reads", revoked("ApprovalRole", "kms:Decrypt")),
        Edit("uploads", revoked("CampaignRole", "kms:GenerateDataKey")),
        Edit("queries", revoked("QuickSightRole", "kms:Decrypt")),
        # The key's policy no longer leaves anything to the policies of the roles.
        Edit(
            "key without account",
            without("DataKey", "KeyPolicy.Statement.0"),
            frozenset({"publisher-without-key-access"}),
        ),
    ),
    "shared-handler-without-discriminator": (
        Edit(
            "schedule and workflow",
            together(
                state("NotifyReleased", Next="CloseOverdue"),
                state_without("NotifyReleased", "End"),
                state(
                    "CloseOverdue",
                    Type="Task",
                    Resource=INVOKE,
                    Parameters={"FunctionName": ref("DeadlineAlias"), "Payload.$": "$"},
                    TimeoutSeconds=300,
                    Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
                    End=True,
                ),
                narrowed(
                    "WorkflowRole",
                    "lambda:InvokeFunction",
                    ref("ScreeningAlias"),
                    ref("PaymentAlias"),
                    ref("DeadlineAlias"),
                ),
            ),
        ),
    ),
    "stream-without-consumer": (
        Edit("contributions", without("ContributionsStream")),
        Edit("campaigns", without("CampaignsStream")),
        Edit("switched off", changed("CampaignsStream", Enabled=False)),
    ),
    "stub-handlers": (
        Edit("campaigns", sources={"campaign": lambda _: STUB}, also=UNUSED),
        Edit("approvals", sources={"approval": lambda _: STUB}, also=UNUSED),
        Edit("approvals, once there is a body", sources={"approval": lambda _: GUARDED}, also=UNUSED),
        # The transaction and the metrics go with the code.
        Edit(
            "payments",
            sources={"payment": lambda _: STUB},
            also=UNUSED | {"missing-custom-metrics", "transactions-not-implemented"},
        ),
    ),
    "tasks-without-catch": (
        Edit("screening", state_without("Screen", "Catch")),
        Edit("message", state_without("NotifyReached", "Catch")),
        Edit("approval", state_without("WaitForApproval", "Catch")),
    ),
    "topics-without-subscriptions": (
        Edit("milestones", without("MilestoneTopic", "Subscription")),
        Edit("alarms", without("AlarmTopic", "Subscription")),
    ),
    "transaction-permissions-missing": (
        Edit("campaigns", revoked("PaymentRole", "dynamodb:UpdateItem"), DENIED),
        Edit("contributions", revoked("PaymentRole", "dynamodb:PutItem"), DENIED),
        Edit(
            "index only",
            narrowed("PaymentRole", "dynamodb:PutItem", sub("${ContributionsTable.Arn}/index/by-backer")),
            DENIED,
        ),
        Edit(
            "another action",
            lambda template: statements(template, "PaymentRole")[1].update(Action="dynamodb:DeleteItem"),
            DENIED,
        ),
        Edit("a check of an item", also=DENIED, sources={"payment": replaced(*CHECKED)}),
    ),
    "transactions-not-implemented": (
        Edit(
            "one after the other",
            also=DENIED,
            sources={
                "payment": replaced(
                    ("TransactWriteCommand", "BatchWriteCommand"),
                )
            },
        ),
        Edit("one item only", sources={"payment": replaced(("TransactWriteCommand", "PutCommand"))}),
    ),
    "uninvoked-function": (
        Edit("deadline", removed("DeadlineSchedule", "DeadlineScheduleRole"), frozenset({"missing-component"})),
        Edit("approval", no_approval_api, frozenset({"incomplete-api-surface"})),
        Edit("schedule switched off", changed("DeadlineSchedule", State="DISABLED")),
    ),
    "unpublished-topic": (
        Edit("deadlines", revoked("DeadlineRole", "sns:Publish"), DENIED | {"variable-without-access"}),
        Edit("milestones", revoked("WorkflowRole", "sns:Publish")),
    ),
    "unreachable-choice-path": (
        Edit(
            "left out by the selector",
            state(
                "IsClean",
                Choices=[{"Variable": "$.screening.verdict", "StringEquals": "approve", "Next": "NotifyReached"}],
            ),
        ),
        Edit(
            "not returned",
            together(
                state_without("Screen", "ResultSelector"),
                state(
                    "IsClean",
                    Choices=[
                        {"Variable": "$.screening.Payload.verdict", "StringEquals": "approve", "Next": "NotifyReached"}
                    ],
                ),
            ),
        ),
        Edit(
            "no longer returned",
            together(
                state_without("Screen", "ResultSelector"),
                state(
                    "IsClean",
                    Choices=[
                        {"Variable": "$.screening.Payload.decision", "StringEquals": "approve", "Next": "NotifyReached"}
                    ],
                ),
            ),
            sources={"screening": replaced(("return { decision, ", "return { verdict: decision, "))},
        ),
    ),
    "unreal-iam-action": (
        Edit("operation", granted("PaymentRole", "dynamodb:TransactWriteItems", arn("CampaignsTable"))),
        Edit("slip of the pen", granted("ApprovalRole", "dynamodb:GetItems", arn("CampaignsTable"))),
        Edit("no service", granted("ApprovalRole", "GetItem", arn("CampaignsTable"))),
        Edit("wildcard of nothing", granted("CampaignRole", "s3:Upload*", sub("${MediaBucket.Arn}/*"))),
    ),
    "unused-service-grants": (
        Edit("users", granted("PaymentRole", "cognito-idp:AdminGetUser", arn("UserPool"))),
        Edit("queries of a workflow", granted("WorkflowRole", "athena:GetWorkGroup", sub(WORKGROUP))),
    ),
    "variable-without-access": (
        Edit("screening", revoked("PaymentRole", "lambda:InvokeFunction"), DENIED),
        Edit("bucket", told("ApprovalFunction", MEDIA_BUCKET=ref("MediaBucket"))),
    ),
    "workflow-never-started": (
        Edit(
            "no right, no name",
            together(
                revoked("StreamRole", "states:StartExecution"), untold("StreamFunction", "MILESTONE_WORKFLOW_ARN")
            ),
            DENIED,
        ),
        Edit(
            "told, and not allowed",
            revoked("StreamRole", "states:StartExecution"),
            DENIED | {"variable-without-access"},
        ),
    ),
}
