"""Serverless Rules (awslabs): where one of its rules overlaps one of ours, our verdict is what its page says.

Its rules and their pages: https://awslabs.github.io/serverless-rules/rules/
"""

from __future__ import annotations

import pytest

from cfaudit.pipeline import Settings, audit
from stacks import AS_OF, rules

CODE = "Runtime: nodejs24.x, Handler: index.handler, Code: {S3Bucket: artifacts, S3Key: code.zip}"
ROLE = """
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: 'sts:AssumeRole'}]
"""
TRACING_ROLE = ROLE + "      ManagedPolicyArns: ['arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess']\n"
LOGGING_ROLE = TRACING_ROLE.replace("AWSXRayDaemonWriteAccess", "service-role/AWSLambdaBasicExecutionRole")
FUNCTION = f"  F: {{Type: AWS::Lambda::Function, Properties: {{Role: !GetAtt Role.Arn, {CODE}}}}}\n"
TRACED = FUNCTION.replace("Role: !GetAtt", "TracingConfig: {Mode: Active}, Role: !GetAtt")
SAM = (
    "  F: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs24.x, Handler: i.h, CodeUri: s3://a/b, MORE}}\n"
)
STAGE = "  S: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: a1, DeploymentId: d1, StageName: prod, MORE}}\n"
HTTP_STAGE = "  S: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: a1, StageName: prod, MORE}}\n"
LIMITS = "ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200"
FORMAT = "DestinationArn: 'arn:aws:logs:us-east-1:123456789012:log-group:api', Format: '$context.requestId'"
RULE = """
  R:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(1 day)
      Targets: [{Id: t, Arn: ARN, MORE}]
"""
QUEUE = "'arn:aws:sqs:us-east-1:123456789012:failed'"
PERMISSION = """
  P:
    Type: AWS::Lambda::Permission
    Properties: {FunctionName: !Ref F, Action: 'lambda:InvokeFunction', Principal: events.amazonaws.com}
"""
INVOKE_CONFIG = f"""
  C:
    Type: AWS::Lambda::EventInvokeConfig
    Properties:
      FunctionName: !Ref F
      Qualifier: $LATEST
      DestinationConfig: {{OnFailure: {{Destination: {QUEUE}}}}}
"""
MACHINE = """
  M:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: !GetAtt Role.Arn
      Definition: {StartAt: Done, States: {Done: {Type: Succeed}}}
"""
METHOD = """
  A: {Type: AWS::ApiGateway::RestApi}
  G:
    Type: AWS::ApiGateway::Method
    Properties: {RestApiId: !Ref A, ResourceId: !GetAtt A.RootResourceId, HttpMethod: POST, AuthorizationType: AWS_IAM}
"""
STATEMENT = "[{Effect: Allow, Action: ACTION, Resource: '*'}]"
POLICY = "      Policies: [{PolicyName: p, PolicyDocument: {Version: '2012-10-17', Statement: " + STATEMENT + "}}]\n"
GROUP = "  L: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub '/aws/lambda/${F}', MORE}}\n"


def more(text: str, extra: str) -> str:
    return text.replace(", MORE", f", {extra}" if extra else "")


# Its rule, our rule, what the template is, the template, the verdict of its page and ours.
SAME: dict[str, tuple[str, str, str, str]] = {
    "WS1000 nothing": ("untraced-functions", ROLE, FUNCTION, "fail"),
    "WS1000 Active": ("untraced-functions", TRACING_ROLE, TRACED, "pass"),
    "WS1000 SAM, nothing": ("untraced-functions", "", more(SAM, ""), "fail"),
    "WS1000 SAM, Active": ("untraced-functions", "", more(SAM, "Tracing: Active"), "pass"),
    "WS1003 service:*": ("wildcard-action", ROLE, POLICY.replace("ACTION", "'dynamodb:*'") + FUNCTION, "fail"),
    "WS1003 *": ("wildcard-action", ROLE, POLICY.replace("ACTION", "'*'") + FUNCTION, "fail"),
    "WS1003 named": ("wildcard-action", ROLE, POLICY.replace("ACTION", "'dynamodb:Query'") + FUNCTION, "pass"),
    "WS1003 SAM": (
        "wildcard-action",
        "",
        more(SAM, "Policies: [{Statement: " + STATEMENT.replace("ACTION", "'s3:*'") + "}]"),
        "fail",
    ),
    "WS1004 no group": ("log-retention-unset", LOGGING_ROLE, FUNCTION, "fail"),
    "WS1004 no retention": ("log-retention-unset", ROLE, FUNCTION + more(GROUP, ""), "fail"),
    "WS1004 retention": ("log-retention-unset", ROLE, FUNCTION + more(GROUP, "RetentionInDays: 7"), "pass"),
    "WS1004 SAM": ("log-retention-unset", "", more(SAM, "") + more(GROUP, "RetentionInDays: 7"), "pass"),
    "WS1004 by name": (
        "log-retention-unset",
        "",
        more(SAM, "FunctionName: pledge")
        + more(GROUP, "RetentionInDays: 7").replace("!Sub '/aws/lambda/${F}'", "/aws/lambda/pledge"),
        "pass",
    ),
    "ES1007 no destination": ("async-without-dlq", ROLE, FUNCTION + PERMISSION, "fail"),
    "ES1007 destination": ("async-without-dlq", ROLE, FUNCTION + PERMISSION + INVOKE_CONFIG, "pass"),
    "ES1007 SAM, no destination": (
        "async-without-dlq",
        "",
        more(SAM, "Events: {Clock: {Type: Schedule, Properties: {Schedule: rate(1 day)}}}"),
        "fail",
    ),
    "ES1007 SAM, destination": (
        "async-without-dlq",
        "",
        more(
            SAM,
            "EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: SQS}}}, "
            "Events: {Clock: {Type: Schedule, Properties: {Schedule: rate(1 day)}}}",
        ),
        "pass",
    ),
    "ES4000 no queue": ("async-without-dlq", "", more(RULE, "").replace("ARN", QUEUE), "fail"),
    "ES4000 queue": (
        "async-without-dlq",
        "",
        more(RULE, f"DeadLetterConfig: {{Arn: {QUEUE}}}").replace("ARN", QUEUE),
        "pass",
    ),
    "ES2000 REST, nothing": ("api-without-access-logs", "", more(STAGE, ""), "fail"),
    "ES2000 REST, logs": ("api-without-access-logs", "", more(STAGE, f"AccessLogSetting: {{{FORMAT}}}"), "pass"),
    "ES2000 HTTP, nothing": ("api-without-access-logs", "", more(HTTP_STAGE, ""), "fail"),
    "ES2000 HTTP, logs": ("api-without-access-logs", "", more(HTTP_STAGE, f"AccessLogSettings: {{{FORMAT}}}"), "pass"),
    "ES2003 REST, nothing": ("unthrottled-api", "", more(STAGE, ""), "fail"),
    "ES2003 REST, limits": (
        "unthrottled-api",
        "",
        more(STAGE, f"MethodSettings: [{{HttpMethod: '*', ResourcePath: '/*', {LIMITS}}}]"),
        "pass",
    ),
    "ES2003 REST, one method": (
        "unthrottled-api",
        METHOD,
        more(STAGE, f"MethodSettings: [{{HttpMethod: GET, ResourcePath: '/orders', {LIMITS}}}]").replace(
            "a1", "!Ref A"
        ),
        "fail",
    ),
    "ES2003 HTTP, nothing": ("unthrottled-api", "", more(HTTP_STAGE, ""), "fail"),
    "ES2003 HTTP, limits": ("unthrottled-api", "", more(HTTP_STAGE, f"DefaultRouteSettings: {{{LIMITS}}}"), "pass"),
    "WS2002 nothing": ("untraced-api", "", more(STAGE, ""), "fail"),
    "WS2002 traced": ("untraced-api", "", more(STAGE, "TracingEnabled: true"), "pass"),
    "WS2002 an HTTP API has no tracing": ("untraced-api", "", more(HTTP_STAGE, ""), "n/a"),
    "WS5000 nothing": ("untraced-workflow", TRACING_ROLE, MACHINE, "fail"),
    "WS5000 traced": (
        "untraced-workflow",
        TRACING_ROLE,
        MACHINE + "      TracingConfiguration: {Enabled: true}\n",
        "pass",
    ),
}

# Its rule and what the template is, our rule, the template, the verdict of its page, ours, and why they differ.
DIFFERENT: dict[str, tuple[str, str, str, str, str]] = {
    "WS1000 Active, but the role may not send": (
        "untraced-functions",
        ROLE + TRACED,
        "pass",
        "fail",
        "without xray:PutTraceSegments no trace arrives: docs.aws.amazon.com/lambda/latest/dg/services-xray.html",
    ),
    "WS1003 a wildcard after a prefix": (
        "wildcard-action",
        ROLE + POLICY.replace("ACTION", "'s3:*Object'") + FUNCTION,
        "fail",
        "pass",
        "some actions, not all: docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html",
    ),
    "WS1004 the function names its group": (
        "log-retention-unset",
        ROLE
        + FUNCTION.replace("Role: !GetAtt", "LoggingConfig: {LogGroup: !Ref L}, Role: !GetAtt")
        + "  L: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: 7}}\n",
        "fail",
        "pass",
        "that is where it logs: docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html",
    ),
    "WS1004 a role that may not log": (
        "log-retention-unset",
        ROLE + FUNCTION,
        "fail",
        "unknown",
        "Lambda makes no group with such a role: docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html",
    ),
    "ES1007 a dead-letter queue": (
        "async-without-dlq",
        ROLE
        + FUNCTION.replace("Role: !GetAtt", f"DeadLetterConfig: {{TargetArn: {QUEUE}}}, Role: !GetAtt")
        + PERMISSION,
        "fail",
        "pass",
        "a queue keeps failed events too: docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html",
    ),
    "ES4000 a function as target": (
        "async-without-dlq",
        ROLE
        + FUNCTION.replace("Role: !GetAtt", f"DeadLetterConfig: {{TargetArn: {QUEUE}}}, Role: !GetAtt")
        + more(RULE, "").replace("ARN", "!GetAtt F.Arn")
        + PERMISSION,
        "fail",
        "pass",
        "what the function fails on is kept; what EventBridge cannot hand over it retries for a day: "
        "docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html",
    ),
}

# Its other rules: no rule of ours asks this.
ABSENT: dict[str, str] = {
    "ES1001": "not in the catalogue, which asks for asynchronous events; a queue as source, flagged by ES1001 too, has "
    "no such destination, its redrive policy is the place: docs.aws.amazon.com/lambda/latest/dg/with-sqs.html",
    "ES1005": "128 MB is a valid size; nothing breaks without the property",
    "ES1006": "3 s is a valid limit; what breaks, a limit above the API's, is function-outlives-api",
    "ES6000": "not in the catalogue: a queue may be read by something that never fails a message",
    "ES7000": "not in the catalogue; what a function behind the topic fails on is async-without-dlq",
    "WS1002": "several callers are no gap; being unable to tell them apart is, in shared-handler-without-discriminator",
    "WS2001": "not in the catalogue: access logs are asked for, their format is not",
    "WS3000": "not in the catalogue: untraced-api asks the stages of API Gateway",
}


def verdict(rule: str, resources: str) -> str:
    text = f"Transform: AWS::Serverless-2016-10-31\nResources:\n{resources}"
    chosen = [each for each in rules() if each.id == rule]
    (result,) = audit(text, "t.yaml", Settings(as_of=AS_OF, profile="serverless"), chosen).results
    return result.verdict.value


@pytest.mark.parametrize(("rule", "role", "resources", "expected"), SAME.values(), ids=SAME)
def test_same(rule: str, role: str, resources: str, expected: str) -> None:
    assert verdict(rule, role + resources) == expected


@pytest.mark.parametrize(("rule", "resources", "theirs", "ours", "why"), DIFFERENT.values(), ids=DIFFERENT)
def test_different(rule: str, resources: str, theirs: str, ours: str, why: str) -> None:
    assert theirs != ours
    assert verdict(rule, resources) == ours, why


def test_every_rule_of_theirs_is_here() -> None:
    """The ids of release 0.3.6."""
    ids = {name.split()[0] for name in (*SAME, *DIFFERENT)} | ABSENT.keys()
    lambda_ids = {"WS1000", "ES1001", "WS1002", "WS1003", "WS1004", "ES1005", "ES1006", "ES1007"}
    api_ids = {"ES2000", "WS2001", "WS2002", "ES2003"}
    assert ids == lambda_ids | api_ids | {"WS3000", "ES4000", "WS5000", "ES6000", "ES7000"}
