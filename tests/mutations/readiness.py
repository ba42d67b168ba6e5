"""Production readiness: what will be missed on the first bad day."""

from __future__ import annotations

import json
import re

from mutations.edits import (
    Change,
    Edit,
    added,
    arn,
    attribute,
    attribute_gone,
    changed,
    granted,
    nested,
    ref,
    replaced,
    statement,
    statements,
    sub,
    together,
    without,
)
from rewrites import Template
from stacks import REFERENCE

STUB = "exports.handler = async () => ({ statusCode: 200, body: '{}' });"
DEADLINE = (REFERENCE.parent / "functions" / "deadline" / "index.mjs").read_text(encoding="utf-8")


def allowed_values(name: str, **values: object) -> Change:
    """Fields of a parameter set to other values."""
    return lambda template: template["Parameters"][name].update(values)


def unpatterned(template: Template) -> None:
    """The suffix has no pattern."""
    del template["Parameters"]["EnvironmentSuffix"]["AllowedPattern"]


def doubled(name: str) -> Change:
    """A second function of its own: everything named after the first, and its output, under another name."""

    def edit(template: Template) -> None:
        resources = template["Resources"]
        for member in [member for member in resources if member.startswith(name)]:
            text = json.dumps(resources[member])
            resources[f"Second{member}"] = json.loads(re.sub(rf"\b{name}(?=[A-Z])", f"Second{name}", text))
        output = {"Description": "One function more", "Value": arn(f"Second{name}Function")}
        template["Outputs"][f"Second{name}FunctionArn"] = output

    return edit


def silent(text: str) -> str:
    """Code of the payment function that measures nothing."""
    return re.sub(r"^.*(?:CloudWatchMetrics|process\.stdout).*\n", "", text, flags=re.MULTILINE)


TAGS = [{"Key": "Project", "Value": "crowdfunding"}, {"Key": "Environment", "Value": ref("EnvironmentSuffix")}]
HERE = "${AWS::Region}:${AWS::AccountId}"
WRITE_LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
STATES = ("Definition", "States")
PATH = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
test_stage = changed("ApiDeployment", StageName="test")
protected_test_stage = added(
    "TestProtection",
    "AWS::WAFv2::WebACLAssociation",
    {
        "WebACLArn": arn("WebAcl"),
        "ResourceArn": sub("arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${Api}/stages/test"),
    },
)
MAY_START = {"Version": "2012-10-17", "Statement": [statement("states:StartExecution", ref("MilestoneWorkflow"))]}
nightly = together(
    added(
        "Nightly",
        "AWS::Events::Rule",
        {
            "ScheduleExpression": "rate(1 day)",
            "Targets": [{"Id": "workflow", "Arn": ref("MilestoneWorkflow"), "RoleArn": arn("NightlyRole")}],
            "Tags": TAGS,
        },
    ),
    added(
        "NightlyRole",
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
                    }
                ],
            },
            "Policies": [{"PolicyName": "start", "PolicyDocument": MAY_START}],
            "Tags": TAGS,
        },
    ),
)
SECOND_STAGE = frozenset({"api-without-access-logs", "unthrottled-api", "untraced-api"})

EDITS: dict[str, tuple[Edit, ...]] = {
    "api-without-access-logs": (
        Edit("none", without("ApiStage", "AccessLogSetting")),
        Edit("to nowhere", without("ApiStage", "AccessLogSetting.DestinationArn")),
    ),
    "async-without-dlq": (
        # The role may still send to the queue, which the function no longer names.
        Edit(
            "dead letters lost", without("DeadlineFunction", "DeadLetterConfig"), frozenset({"unused-service-grants"})
        ),
        Edit(
            "rule without queue",
            nightly,
        ),
        Edit(
            "kept for another qualifier",
            together(
                without("DeadlineFunction", "DeadLetterConfig"),
                added(
                    "DeadlineFailures",
                    "AWS::Lambda::EventInvokeConfig",
                    {
                        "FunctionName": ref("DeadlineFunction"),
                        "Qualifier": "$LATEST",
                        "DestinationConfig": {"OnFailure": {"Destination": arn("DeadLetters")}},
                    },
                ),
            ),
        ),
    ),
    "bucket-key-off": (
        Edit(
            "off",
            nested("MediaBucket", "BucketEncryption", "ServerSideEncryptionConfiguration", BucketKeyEnabled=False),
        ),
        Edit(
            "by default",
            without("AnalyticsBucket", "BucketEncryption.ServerSideEncryptionConfiguration.0.BucketKeyEnabled"),
        ),
    ),
    "bucket-without-lifecycle": (
        Edit("none", without("MediaBucket", "LifecycleConfiguration")),
        Edit("disabled", nested("AnalyticsBucket", "LifecycleConfiguration", "Rules", Status="Disabled")),
    ),
    "dashboard-without-funding-metrics": (
        Edit("of AWS only", text=replaced(('"Crowdfunding/${EnvironmentSuffix}"', '"AWS/Lambda"'))),
        Edit("empty", changed("Dashboard", DashboardBody='{"widgets": []}')),
    ),
    "default-mail-sender": (
        Edit("unsaid", without("UserPool", "EmailConfiguration")),
        Edit("said", changed("UserPool", EmailConfiguration={"EmailSendingAccount": "COGNITO_DEFAULT"})),
    ),
    "deprecated-runtime": (
        Edit("updates blocked", changed("PaymentFunction", Runtime="nodejs16.x")),
        Edit("deprecated", changed("StreamFunction", Runtime="nodejs18.x")),
    ),
    "fixed-names-retained": (
        Edit("table", changed("CampaignsTable", TableName=sub("campaigns-${EnvironmentSuffix}"))),
        Edit("bucket", changed("LogBucket", BucketName=sub("${AWS::StackName}-logs"))),
        Edit("log group", changed("PaymentLogs", LogGroupName=sub("${AWS::StackName}-payments"))),
    ),
    "implicit-stage": (
        Edit("beside the other", together(test_stage, protected_test_stage), SECOND_STAGE),
        Edit(
            "without metrics and tags",
            together(
                test_stage,
                protected_test_stage,
                changed(
                    "ApiDeployment",
                    StageDescription={
                        "AccessLogSetting": {"DestinationArn": arn("ApiLogs"), "Format": "$context.requestId"},
                        "TracingEnabled": True,
                        "ThrottlingRateLimit": 10,
                        "ThrottlingBurstLimit": 20,
                    },
                ),
            ),
        ),
    ),
    "inline-function-code": (
        Edit("in the template", changed("DeadlineFunction", Code={"ZipFile": DEADLINE})),
        # A stub breaks what the code was there for: the transaction, the metrics, the use of the role.
        Edit(
            "stub",
            changed("PaymentFunction", Code={"ZipFile": STUB}),
            frozenset(
                {"missing-custom-metrics", "stub-handlers", "transactions-not-implemented", "unused-service-grants"}
            ),
        ),
    ),
    "key-deleted-data-retained": (
        Edit("key goes", attribute_gone("DataKey", "DeletionPolicy")),
        Edit("key is deleted", attribute("MediaKey", DeletionPolicy="Delete")),
        Edit("key is replaced", attribute("DataKey", DeletionPolicy="Delete", UpdateReplacePolicy="Delete")),
    ),
    "log-group-unordered": (
        Edit(
            "tied by the name",
            together(
                without("CampaignFunction", "LoggingConfig"),
                changed("CampaignLogs", LogGroupName=sub("/aws/lambda/${CampaignFunction}")),
                lambda template: statements(template, "CampaignRole").pop(),
                granted(
                    "CampaignRole", WRITE_LOGS, sub(f"arn:${{AWS::Partition}}:logs:{HERE}:log-group:/aws/lambda/*")
                ),
            ),
        ),
    ),
    "log-retention-unset": (
        Edit("for ever", without("CampaignLogs", "RetentionInDays")),
        Edit("of the workflow", without("WorkflowLogs", "RetentionInDays")),
        Edit(
            "Lambda's own",
            together(
                without("CampaignFunction", "LoggingConfig"),
                granted("CampaignRole", "logs:CreateLogGroup", arn("CampaignLogs")),
            ),
        ),
    ),
    "logs-deleted": (
        Edit("payments", attribute_gone("PaymentLogs", "DeletionPolicy")),
        Edit("screening", attribute("ScreeningLogs", DeletionPolicy="Delete")),
    ),
    "missing-composite-alarm": (Edit("none", without("FundingImpaired")),),
    "missing-custom-metrics": (Edit("not emitted", sources={"payment": silent}),),
    "no-access-logs": (
        Edit("distribution", without("Distribution", "DistributionConfig.Logging")),
        Edit("bucket", without("MediaBucket", "LoggingConfiguration")),
        Edit("data", without("AnalyticsBucket", "LoggingConfiguration")),
    ),
    "query-scan-unlimited": (
        Edit("no limit", without("QueryWorkGroup", "WorkGroupConfiguration.BytesScannedCutoffPerQuery")),
    ),
    "recovery-off": (
        Edit("off", nested("CampaignsTable", "PointInTimeRecoverySpecification", PointInTimeRecoveryEnabled=False)),
        Edit("by default", without("ContributionsTable", "PointInTimeRecoverySpecification")),
    ),
    "region-blind-role-name": (
        Edit("fixed", changed("PaymentRole", RoleName="crowdfunding-payment")),
        Edit("by environment", changed("WorkflowRole", RoleName=sub("workflow-${EnvironmentSuffix}"))),
    ),
    "reserved-concurrency-risk": (Edit("reserved", changed("PaymentFunction", ReservedConcurrentExecutions=50)),),
    "runtime-deviation": (Edit("function more", doubled("Approval")),),
    "stale-deployment": (
        Edit("step forgotten", lambda template: template["Metadata"]["cfaudit"]["manual_steps"].pop()),
    ),
    "suffix-breaks-names": (
        Edit("hyphens", allowed_values("EnvironmentSuffix", AllowedPattern="^[a-z][a-z0-9-]{0,9}$")),
        Edit("capitals", allowed_values("EnvironmentSuffix", AllowedPattern="^[a-zA-Z][a-z0-9]{0,9}$")),
        Edit("too long", allowed_values("EnvironmentSuffix", AllowedPattern="^[a-z][a-z0-9]{0,79}$")),
        Edit("listed", together(allowed_values("EnvironmentSuffix", AllowedValues=["prod", "Staging"]), unpatterned)),
    ),
    "sunset-service": (
        Edit(
            "shut down",
            added("Experiments", "AWS::Evidently::Project", {"Name": sub("${AWS::StackName}"), "Tags": TAGS}),
        ),
    ),
    "table-not-on-demand": (
        Edit("provisioned", changed("CampaignsTable", BillingMode="PROVISIONED")),
        Edit("by default", without("ContributionsTable", "BillingMode")),
    ),
    "table-unprotected": (
        Edit("off", changed("CampaignsTable", DeletionProtectionEnabled=False)),
        Edit("by default", without("ContributionsTable", "DeletionProtectionEnabled")),
    ),
    "unalarmed-services": (
        Edit("table", without("CampaignsThrottled")),
        Edit("function", without("CampaignErrors")),
        Edit("API by its id", nested("ApiErrors", "Dimensions", 0, Value=ref("Api"))),
        Edit("nobody told", without("StreamErrors", "AlarmActions")),
        Edit("told nothing", changed("DeadlineErrors", ActionsEnabled=False)),
        Edit(
            "workflow",
            together(
                without("WorkflowFailures"), changed("FundingImpaired", AlarmRule=sub('ALARM("${PaymentErrors}")'))
            ),
        ),
        Edit("sum tells nobody", without("FundingImpaired", "AlarmActions")),
    ),
    "undimensioned-alarm": (
        Edit("queue", without("DeadLettersFound", "Dimensions")),
        Edit("function", changed("ApprovalErrors", Dimensions=[])),
        # An alarm on everything in the account is none on the workflow, or on the API.
        Edit("workflow", without("WorkflowFailures", "Dimensions"), frozenset({"unalarmed-services"})),
        Edit("API", without("ApiErrors", "Dimensions"), frozenset({"unalarmed-services"})),
    ),
    "untagged-resources": (
        Edit("all tags", without("PrivateRoutes", "Tags")),
        Edit("one tag", without("ContributionsTable", "Tags.0")),
        Edit("tags as a map", without("UserPool", "UserPoolTags")),
        Edit("one resource more", added("Retries", "AWS::SQS::Queue", {"KmsMasterKeyId": arn("DataKey")})),
    ),
    "unthrottled-api": (
        Edit("no burst", without("ApiStage", "MethodSettings.0.ThrottlingBurstLimit")),
        Edit("no limit", nested("ApiStage", "MethodSettings", ThrottlingRateLimit=-1)),
        Edit("one method", nested("ApiStage", "MethodSettings", HttpMethod="GET")),
    ),
    "untraced-api": (
        Edit("off", changed("ApiStage", TracingEnabled=False)),
        Edit("by default", without("ApiStage", "TracingEnabled")),
    ),
    "untraced-functions": (
        Edit("pass-through", nested("PaymentFunction", "TracingConfig", Mode="PassThrough")),
        Edit("by default", without("StreamFunction", "TracingConfig")),
        Edit("no right", without("FunctionBasics", "PolicyDocument.Statement.0")),
    ),
    "untraced-workflow": (
        Edit("off", nested("MilestoneWorkflow", "TracingConfiguration", Enabled=False)),
        Edit("by default", without("MilestoneWorkflow", "TracingConfiguration")),
        Edit("no right", lambda template: statements(template, "WorkflowRole").pop()),
    ),
    "unversioned-functions": (
        Edit(
            "schedule",
            together(
                nested("DeadlineSchedule", "Target", Arn=arn("DeadlineFunction")),
                lambda template: statements(template, "DeadlineScheduleRole")[0].update(
                    Resource=arn("DeadlineFunction")
                ),
            ),
        ),
        Edit(
            "workflow",
            together(
                nested("MilestoneWorkflow", *STATES, "Screen", "Parameters", FunctionName=arn("ScreeningFunction")),
                lambda template: statements(template, "WorkflowRole")[0]["Resource"].append(arn("ScreeningFunction")),
            ),
        ),
        Edit(
            "API",
            together(
                nested("DecideApproval", "Integration", Uri=sub(f"{PATH}${{ApprovalFunction.Arn}}/invocations")),
                changed("ApprovalPermission", FunctionName=ref("ApprovalFunction")),
            ),
        ),
        Edit("alias of the newest", changed("ApprovalAlias", FunctionVersion="$LATEST")),
    ),
    "unversioned-media": (
        Edit("never", without("MediaBucket", "VersioningConfiguration")),
        Edit("suspended", nested("MediaBucket", "VersioningConfiguration", Status="Suspended")),
    ),
    "user-pool-unprotected": (
        Edit(
            "neither",
            together(changed("UserPool", DeletionProtection="INACTIVE"), attribute_gone("UserPool", "DeletionPolicy")),
        ),
        Edit(
            "deleted",
            together(without("UserPool", "DeletionProtection"), attribute("UserPool", DeletionPolicy="Delete")),
        ),
    ),
    "workflow-without-logging": (
        Edit("none", without("MilestoneWorkflow", "LoggingConfiguration")),
        Edit("off", nested("MilestoneWorkflow", "LoggingConfiguration", Level="OFF")),
        Edit("nowhere", without("MilestoneWorkflow", "LoggingConfiguration.Destinations")),
        Edit("no right", lambda template: statements(template, "WorkflowRole").pop(-2)),
    ),
    "workflow-without-timeout": (
        Edit(
            "one task",
            without("MilestoneWorkflow", "Definition.TimeoutSeconds", "Definition.States.Screen.TimeoutSeconds"),
        ),
        Edit(
            "failure without a word",
            without("MilestoneWorkflow", "Definition.States.Failed.Error", "Definition.States.Failed.Cause"),
        ),
    ),
}
