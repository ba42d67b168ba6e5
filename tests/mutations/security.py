"""Security: keys, rights, doors and what is told to whom."""

from __future__ import annotations

from typing import Any

from mutations.edits import (
    Change,
    Edit,
    Template,
    added,
    arn,
    changed,
    granted,
    nested,
    properties,
    ref,
    removed,
    replaced,
    statement,
    statements,
    sub,
    together,
    without,
)

BEHAVIOR = ("DistributionConfig", "DefaultCacheBehavior")
SSE = ("BucketEncryption", "ServerSideEncryptionConfiguration")
S3_KEYS = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
TAGS = [{"Key": "Project", "Value": "crowdfunding"}, {"Key": "Environment", "Value": ref("EnvironmentSuffix")}]
RESULTS = ("WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration")


def policy(kind: str, name: str, role: str, action: str | list[str], resource: object) -> Change:
    """An Allow of a role in a policy that is a resource of its own."""
    document = {"Version": "2012-10-17", "Statement": [statement(action, resource)]}
    values: dict[str, Any] = {"PolicyDocument": document, "Roles": [ref(role)]}
    return added(name, kind, values if kind.endswith("ManagedPolicy") else {**values, "PolicyName": name})


def key_statement(key: str, index: int, **values: object) -> Change:
    """Elements of a statement of a key policy set to other values."""
    return lambda template: properties(template, key)["KeyPolicy"]["Statement"][index].update(values)


def key_actions(key: str, index: int, action: str) -> Change:
    """An action more in a statement of a key policy."""
    return lambda template: properties(template, key)["KeyPolicy"]["Statement"][index]["Action"].append(action)


def media_under_data_key(template: Template) -> None:
    """One key for all, and whoever needs it may use it."""
    rule = properties(template, "MediaBucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] = arn("DataKey")
    delivery = properties(template, "MediaKey")["KeyPolicy"]["Statement"].pop()
    properties(template, "DataKey")["KeyPolicy"]["Statement"].append(delivery)
    granted("CampaignRole", "kms:GenerateDataKey", arn("DataKey"))(template)


def bucket_statement(name: str, index: int, **values: object) -> Change:
    return lambda template: properties(template, name)["PolicyDocument"]["Statement"][index].update(values)


def trusted(role: str, **condition: object) -> Change:
    """The condition under which a service may assume a role; none: without any."""

    def edit(template: Template) -> None:
        (held,) = properties(template, role)["AssumeRolePolicyDocument"]["Statement"]
        del held["Condition"]
        if condition:
            held["Condition"] = condition

    return edit


def also_trusts(role: str, service: str) -> Change:
    """One service more that may assume a role, without a condition."""
    allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return lambda template: properties(template, role)["AssumeRolePolicyDocument"]["Statement"].append(allow)


def parameter(name: str, **values: object) -> Change:
    return lambda template: template["Parameters"].update({name: {"Type": "String", "Description": "One", **values}})


def outside_production(name: str, path: str, inside: object, outside: object) -> Change:
    """A property that depends on a parameter without default."""

    def edit(template: Template) -> None:
        parameter("Stage", AllowedValues=["prod", "dev"])(template)
        template["Conditions"]["IsProd"] = {"Fn::Equals": [ref("Stage"), "prod"]}
        changed(name, **{path: {"Fn::If": ["IsProd", inside, outside]}})(template)

    return edit


def looked_up(name: str, *path: str, value: object) -> Change:
    """A property that a mapping holds."""

    def edit(template: Template) -> None:
        template["Mappings"] = {"Settings": {"All": {"Value": value}}}
        *steps, last = path
        nested(name, *steps, **{last: {"Fn::FindInMap": ["Settings", "All", "Value"]}})(template)

    return edit


def any_web_origin(template: Template) -> None:
    """The web client may come from anywhere, by the parameter's default."""
    origin = template["Parameters"]["WebOrigin"]
    del origin["AllowedPattern"]
    origin["Default"] = "*"


def variable(function: str, name: str, value: object) -> Change:
    return nested(function, "Environment", "Variables", **{name: value})


GROUPS = replaced(("claims['cognito:groups']", "claims['custom:groups']"))
LOGGED = ("export async function handler(event) {\n", "export async function handler(event) {\n  LOG\n")


def logged(text: str) -> Edit:
    return Edit(text, sources={"payment": replaced((LOGGED[0], LOGGED[1].replace("LOG", text)))})


EDITS: dict[str, tuple[Edit, ...]] = {
    "unencrypted-data-store": (
        Edit("a table", without("CampaignsTable", "SSESpecification")),
        Edit("a table, AWS's key", without("CampaignsTable", "SSESpecification.KMSMasterKeyId")),
        Edit(
            "a table, AWS's alias",
            nested("ContributionsTable", "SSESpecification", KMSMasterKeyId="alias/aws/dynamodb"),
        ),
        Edit(
            "a bucket, S3's keys",
            nested("AnalyticsBucket", "BucketEncryption", ServerSideEncryptionConfiguration=S3_KEYS),
        ),
        Edit("a bucket, nothing said", without("AnalyticsBucket", "BucketEncryption")),
        Edit(
            "a bucket, AWS's key",
            without("AnalyticsBucket", ".".join((*SSE, "0", "ServerSideEncryptionByDefault", "KMSMasterKeyID"))),
        ),
        Edit("a queue", without("DeadLetters", "KmsMasterKeyId")),
        Edit(
            "a queue, off",
            together(without("DeadLetters", "KmsMasterKeyId"), changed("DeadLetters", SqsManagedSseEnabled=False)),
        ),
    ),
    "log-group-without-key": (
        Edit("payments", without("PaymentLogs", "KmsKeyId")),
        Edit("screening", without("ScreeningLogs", "KmsKeyId")),
    ),
    "unencrypted-topic": (
        Edit("a domain topic", without("MilestoneTopic", "KmsMasterKeyId")),
        Edit("the alarms' topic", without("AlarmTopic", "KmsMasterKeyId")),
    ),
    "query-results-without-key": (
        Edit("S3's keys", nested("QueryWorkGroup", *RESULTS, EncryptionOption="SSE_S3")),
        Edit("clients choose", nested("QueryWorkGroup", "WorkGroupConfiguration", EnforceWorkGroupConfiguration=False)),
        Edit(
            "the bucket's own, S3's keys",
            together(
                without("QueryWorkGroup", ".".join(RESULTS)),
                nested("QueryResultsBucket", "BucketEncryption", ServerSideEncryptionConfiguration=S3_KEYS),
            ),
        ),
    ),
    "key-rotation-off": (
        Edit("off", changed("DataKey", EnableKeyRotation=False)),
        Edit("not said", without("MediaKey", "EnableKeyRotation")),
        Edit(
            "off by default",
            together(
                parameter("Rotation", Default="false"),
                changed("DataKey", EnableKeyRotation=ref("Rotation")),
            ),
        ),
    ),
    "broad-key-grant": (
        Edit("grants", key_actions("DataKey", 1, "kms:CreateGrant")),
        Edit("every action", key_statement("DataKey", 2, Action="kms:*")),
        Edit(
            "no context", lambda template: properties(template, "DataKey")["KeyPolicy"]["Statement"][1].pop("Condition")
        ),
        Edit(
            "every log group",
            key_statement(
                "DataKey",
                1,
                Condition={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": sub(
                            "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"
                        )
                    }
                },
            ),
        ),
    ),
    "shared-key": (Edit("media under the data's key", media_under_data_key),),
    "wildcard-resource": (
        Edit("inline", granted("CampaignRole", "s3:GetObject", "*")),
        Edit("one of several", granted("CampaignRole", ["xray:PutTraceSegments", "s3:GetObject"], ["*"])),
        Edit("by a wildcard", granted("CampaignRole", "s3:GetObject*", "*")),
        Edit("in a policy", policy("AWS::IAM::Policy", "More", "CampaignRole", "s3:GetObject", "*")),
        Edit("in a managed policy", policy("AWS::IAM::ManagedPolicy", "More", "CampaignRole", "s3:GetObject", "*")),
        Edit(
            "in a role's policy",
            added(
                "More",
                "AWS::IAM::RolePolicy",
                {
                    "RoleName": ref("CampaignRole"),
                    "PolicyName": "more",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement("s3:GetObject", "*")]},
                },
            ),
        ),
        Edit(
            "in the shared managed policy",
            lambda template: properties(template, "FunctionBasics")["PolicyDocument"]["Statement"].append(
                statement("logs:PutLogEvents", "*")
            ),
        ),
        Edit(
            "limited to the account only",
            lambda template: statements(template, "CampaignRole").append(
                statement(
                    "s3:GetObject", "*", Condition={"StringEquals": {"aws:PrincipalAccount": ref("AWS::AccountId")}}
                )
            ),
        ),
    ),
    "wildcard-action": (
        Edit("of a service", granted("CampaignRole", "dynamodb:*", arn("CampaignsTable"))),
        Edit("in a policy", policy("AWS::IAM::Policy", "More", "CampaignRole", "s3:*", sub("${MediaBucket.Arn}/*"))),
        Edit("everything", granted("CampaignRole", "*", arn("CampaignsTable"))),
        Edit(
            "the administrator's policy",
            lambda template: properties(template, "CampaignRole")["ManagedPolicyArns"].append(
                sub("arn:${AWS::Partition}:iam::aws:policy/AdministratorAccess")
            ),
        ),
    ),
    "shared-role": (
        Edit(
            "two functions",
            together(changed("ApprovalFunction", Role=arn("CampaignRole")), removed("ApprovalRole")),
            frozenset({"call-without-permission"}),
        ),
    ),
    "public-bucket": (
        Edit("ACLs", nested("MediaBucket", "PublicAccessBlockConfiguration", BlockPublicAcls=False)),
        Edit("a policy", without("AnalyticsBucket", "PublicAccessBlockConfiguration.RestrictPublicBuckets")),
        Edit("nothing said", without("QueryResultsBucket", "PublicAccessBlockConfiguration")),
        Edit(
            "outside production",
            outside_production(
                "MediaBucket",
                "PublicAccessBlockConfiguration",
                dict.fromkeys(
                    ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
                ),
                ref("AWS::NoValue"),
            ),
        ),
        Edit("logs", nested("LogBucket", "PublicAccessBlockConfiguration", IgnorePublicAcls="false")),
    ),
    "bucket-without-tls-policy": (
        Edit("no policy", removed("AnalyticsBucketPolicy")),
        Edit(
            "no statement",
            lambda template: properties(template, "LogBucketPolicy")["PolicyDocument"]["Statement"].pop(),
        ),
        Edit("some actions", bucket_statement("AnalyticsBucketPolicy", 0, Action="s3:PutObject")),
        Edit(
            "a prefix",
            bucket_statement("AnalyticsBucketPolicy", 0, Resource=sub("${AnalyticsBucket.Arn}/contributions/*")),
        ),
        Edit("a principal", bucket_statement("AnalyticsBucketPolicy", 0, Principal={"AWS": arn("StreamRole")})),
        Edit(
            "the other way round",
            bucket_statement("AnalyticsBucketPolicy", 0, Condition={"Bool": {"aws:SecureTransport": "true"}}),
        ),
    ),
    "open-bucket-cors": (
        Edit("any origin", nested("MediaBucket", "CorsConfiguration", "CorsRules", AllowedOrigins=["*"])),
        Edit("any origin by default", any_web_origin),
        Edit(
            "any secure origin", nested("MediaBucket", "CorsConfiguration", "CorsRules", AllowedOrigins=["https://*"])
        ),
    ),
    "open-api-method": (
        Edit("nobody asks", changed("CreateCampaign", AuthorizationType="NONE", ApiKeyRequired=False)),
        Edit("nothing said", without("ListCampaigns", "AuthorizationType", "AuthorizerId", "ApiKeyRequired")),
    ),
    "unvalidated-requests": (
        Edit("no validator", without("CreateCampaign", "RequestValidatorId")),
        Edit("no model", without("UpdateCampaign", "RequestModels")),
        Edit("a model of anything", changed("UpdateCampaign", RequestModels={"application/json": "Empty"})),
        Edit("validates nothing", changed("ApiValidator", ValidateRequestBody=False, ValidateRequestParameters=False)),
        Edit("parameters only", changed("ApiValidator", ValidateRequestBody=False)),
    ),
    "plain-http-delivery": (
        Edit("by default", nested("Distribution", *BEHAVIOR, ViewerProtocolPolicy="allow-all")),
        Edit(
            "under a path",
            nested(
                "Distribution",
                "DistributionConfig",
                CacheBehaviors=[
                    {
                        "PathPattern": "covers/*",
                        "TargetOriginId": "media",
                        "ViewerProtocolPolicy": "allow-all",
                        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
                        "OriginRequestPolicyId": "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf",
                    }
                ],
            ),
        ),
    ),
    "weak-viewer-tls": (
        Edit(
            "old protocol",
            nested("Distribution", "DistributionConfig", "ViewerCertificate", MinimumProtocolVersion="TLSv1.1_2016"),
        ),
        Edit("none said", without("Distribution", "DistributionConfig.ViewerCertificate.MinimumProtocolVersion")),
        Edit(
            "default certificate",
            nested("Distribution", "DistributionConfig", ViewerCertificate={"CloudFrontDefaultCertificate": True}),
        ),
        Edit("no certificate", without("Distribution", "DistributionConfig.ViewerCertificate")),
    ),
    "groups-not-enforced": (
        Edit("nobody reads them", sources={"campaign": GROUPS, "payment": GROUPS, "approval": GROUPS}),
    ),
    "weak-password-policy": (
        Edit("short", nested("UserPool", "Policies", "PasswordPolicy", MinimumLength=6)),
        Edit("short by a mapping", looked_up("UserPool", "Policies", "PasswordPolicy", "MinimumLength", value=7)),
        Edit("no symbols", nested("UserPool", "Policies", "PasswordPolicy", RequireSymbols=False)),
        Edit("digits not said", without("UserPool", "Policies.PasswordPolicy.RequireNumbers")),
    ),
    "no-mfa": (
        Edit("off", changed("UserPool", MfaConfiguration="OFF")),
        Edit("not said", without("UserPool", "MfaConfiguration", "EnabledMfas")),
        Edit("off outside production", outside_production("UserPool", "MfaConfiguration", "ON", "OFF")),
    ),
    "password-auth-flow": (
        Edit("from the client", changed("UserPoolClient", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])),
        Edit("from a server", changed("UserPoolClient", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"])),
        Edit("by its old name", changed("UserPoolClient", ExplicitAuthFlows=["ADMIN_NO_SRP_AUTH"])),
    ),
    "logged-personal-data": (
        logged("console.log(event);"),
        logged("console.info('received', JSON.stringify(event));"),
        logged("console.debug({ event });"),
        logged("console.log(`received ${JSON.stringify(event, null, 2)}`);"),
    ),
    "plaintext-secret": (
        Edit("a shown parameter", parameter("DatabasePassword")),
        Edit("a default", parameter("PaymentApiKey", NoEcho=True, Default="sk-4f9a2c81b7d34e")),
        Edit("an access key", variable("PaymentFunction", "PROVIDER_ID", "AKIAIOSFODNN7EXAMPLQ")),
        Edit(
            "a secret's text",
            added(
                "ProviderSecret", "AWS::SecretsManager::Secret", {"SecretString": "4f9a2c81b7d34e6fa0", "Tags": TAGS}
            ),
        ),
        Edit("a literal", variable("PaymentFunction", "PROVIDER_API_KEY", "4f9a2c81b7d34e6fa0")),
    ),
    "topic-without-policy": (
        Edit("a topic", removed("MilestoneTopicPolicy")),
        Edit("the policy of another", changed("DeadlineTopicPolicy", Topics=[ref("MilestoneTopic")])),
    ),
    "trust-without-source": (
        Edit("the schedule", trusted("DeadlineScheduleRole")),
        Edit("the workflow", trusted("WorkflowRole")),
        Edit("one service more", also_trusts("DeadlineScheduleRole", "events.amazonaws.com")),
        Edit("another condition", trusted("WorkflowRole", StringEquals={"aws:PrincipalOrgID": "o-1a2b3c4d5e"})),
    ),
}
