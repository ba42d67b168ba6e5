"""Resource completeness: what is missing, or there and of no use."""

from __future__ import annotations

from typing import Any

from mutations.edits import (
    Change,
    Edit,
    Template,
    added,
    arn,
    changed,
    every_without,
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

FRAUD_DETECTOR = (
    "FraudDetectorEndpoint",
    "AmountVariable",
    "EmailVariable",
    "CampaignVariable",
    "BackerEntity",
    "FraudLabel",
    "LegitimateLabel",
    "ApproveOutcome",
    "ReviewOutcome",
    "BlockOutcome",
    "ContributionEvent",
    "ContributionDetector",
)


ANYTHING = sub("arn:${AWS::Partition}:frauddetector:${AWS::Region}:${AWS::AccountId}:*")


def no_detector(template: Template) -> None:
    """Nothing of Fraud Detector is declared or told; the screening function may still ask for predictions."""
    removed(*FRAUD_DETECTOR)(template)
    without("ScreeningFunction", "Environment.Variables.FRAUD_DETECTOR_ARN")(template)
    without("ScreeningFunction", "Environment.Variables.FRAUD_EVENT_TYPE_ARN")(template)
    statements(template, "ScreeningRole")[0] = statement("frauddetector:GetEventPrediction", ANYTHING)


def moved_to_managed_policy(role: str, index: int) -> Change:
    """A statement of the role's first policy, in a managed policy of its own."""

    def edit(template: Template) -> None:
        moved = statements(template, role).pop(index)
        document = {"Version": "2012-10-17", "Statement": [moved]}
        added("Moved", "AWS::IAM::ManagedPolicy", {"PolicyDocument": document, "Roles": [ref(role)]})(template)

    return edit


def no_identity(template: Template) -> None:
    """The deadline function may send mail, and is told no sender."""
    removed("MailIdentity")(template)
    without("UserPool", "EmailConfiguration")(template)
    without("DeadlineFunction", "Environment.Variables.MAIL_SENDER")(template)
    sending(template)["Resource"] = sub("arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:*")


def no_template(template: Template) -> None:
    """The deadline function may send mail by a template's name, and no template is declared."""
    removed("MailTemplate")(template)
    without("DeadlineFunction", "Environment.Variables.MAIL_TEMPLATE")(template)
    grant = sending(template)
    grant["Action"] = [grant["Action"], "ses:SendTemplatedEmail"]
    del grant["Resource"][2]


def sending(template: Template) -> dict[str, Any]:
    """The statement that lets the deadline function send mail."""
    (found,) = [one for one in statements(template, "DeadlineRole") if one["Action"] == "ses:SendEmail"]
    held: dict[str, Any] = found
    return held


def methods_without(*paths: str, **values: object) -> Change:
    """Properties of every method but preflights taken away, or set to other values."""

    def edit(template: Template) -> None:
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::ApiGateway::Method" and resource["Properties"]["HttpMethod"] != "OPTIONS":
                for path in paths:
                    without(name, path)(template)
                properties(template, name).update(values)

    return edit


def no_workgroup(template: Template) -> None:
    """Dashboards query in the account's primary workgroup."""
    removed("QueryWorkGroup")(template)
    nested("DashboardSource", "DataSourceParameters", "AthenaParameters", WorkGroup="primary")(template)
    primary = "arn:${AWS::Partition}:athena:${AWS::Region}:${AWS::AccountId}:workgroup/primary"
    statements(template, "QuickSightRole")[0]["Resource"] = sub(primary)


def managed_results(template: Template) -> None:
    """Athena keeps the results of queries itself."""
    removed("QueryResultsBucket", "QueryResultsBucketPolicy")(template)
    configuration = properties(template, "QueryWorkGroup")["WorkGroupConfiguration"]
    del configuration["ResultConfiguration"]
    key = {"EncryptionConfiguration": {"KmsKey": arn("DataKey")}}
    configuration["ManagedQueryResultsConfiguration"] = {"Enabled": True, **key}
    held = statements(template, "QuickSightRole")
    held[2]["Resource"] = [arn("AnalyticsBucket")]
    del held[4]


ALARMS = (
    "CampaignErrors",
    "PaymentErrors",
    "ScreeningErrors",
    "ApprovalErrors",
    "StreamErrors",
    "DeadlineErrors",
    "DeadLettersFound",
    "WorkflowFailures",
    "ApiErrors",
    "CampaignsThrottled",
    "ContributionsThrottled",
    "FundingImpaired",
)


def no_deadline_topic(template: Template) -> None:
    """The deadline function only sends mail."""
    removed("DeadlineTopic", "DeadlineTopicPolicy")(template)
    without("DeadlineFunction", "Environment.Variables.DEADLINE_TOPIC_ARN")(template)
    held = statements(template, "DeadlineRole")
    held[:] = [one for one in held if one["Action"] != "sns:Publish"]


PUBLISHING = (
    ("const deadlineTopic = process.env.DEADLINE_TOPIC_ARN;\n", ""),
    ("const sns = new SNSClient({});\n", ""),
    ("import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';\n", ""),
    (
        """  await sns.send(new PublishCommand({
    TopicArn: deadlineTopic,
    Subject: `A campaign is ${status}`,
    Message: `The deadline of campaign ${campaignId} has passed with ${raised} of ${goal} raised: it is ${status}.`,
    MessageAttributes: {
      event: { DataType: 'String', StringValue: `campaign-${status}` },
      campaignId: { DataType: 'String', StringValue: campaignId },
    },
  }));
""",
        "",
    ),
)

QUERY = {"DataSourceArn": arn("DashboardSource"), "Name": "sums", "SqlQuery": "SELECT campaignid FROM contributions"}

EDITS: dict[str, tuple[Edit, ...]] = {
    "missing-fraud-detector": (
        Edit("draft detector", changed("ContributionDetector", DetectorVersionStatus="DRAFT")),
        Edit("no status", without("ContributionDetector", "DetectorVersionStatus")),
        Edit("no rules", without("ContributionDetector", "Rules")),
        Edit("a rule without outcome", without("ContributionDetector", "Rules.0.Outcomes")),
        Edit("a rule with an empty outcome", nested("ContributionDetector", "Rules", 0, Outcomes=[])),
        Edit("a rule without expression", without("ContributionDetector", "Rules.2.Expression")),
        Edit("no labels", together(without("ContributionEvent", "Labels"), removed("FraudLabel", "LegitimateLabel"))),
        Edit("granted only", no_detector),
        Edit("granted in a managed policy only", together(no_detector, moved_to_managed_policy("ScreeningRole", 0))),
    ),
    "missing-mail-identity": (
        # Cognito, too, sent from the identity.
        Edit("none", no_identity, frozenset({"default-mail-sender"})),
        Edit(
            "none, granted in a managed policy",
            together(no_identity, moved_to_managed_policy("DeadlineRole", 3)),
            frozenset({"default-mail-sender"}),
        ),
        Edit(
            "no configuration set",
            together(
                without("MailIdentity", "ConfigurationSetAttributes"),
                without("DeadlineFunction", "Environment.Variables.MAIL_CONFIGURATION_SET"),
            ),
            sources={
                "deadline": replaced(
                    ("const mailConfigurationSet = process.env.MAIL_CONFIGURATION_SET;\n", ""),
                    ("    ConfigurationSetName: mailConfigurationSet,\n", ""),
                )
            },
        ),
        Edit("signing attributes of an address", changed("MailIdentity", EmailIdentity="news@example.com")),
        Edit(
            "an address by default",
            lambda template: template["Parameters"]["MailDomain"].update(Default="news@example.com"),
        ),
        Edit(
            "templated mail without a template",
            no_template,
        ),
    ),
    "missing-dashboards": (
        Edit("no such connection", changed("DashboardSource", Type="DYNAMODB")),
        Edit(
            "no columns",
            without("DashboardData", "PhysicalTableMap.contributions.RelationalTable.InputColumns"),
        ),
        Edit(
            "no columns of a query", nested("DashboardData", PhysicalTableMap={"contributions": {"CustomSql": QUERY}})
        ),
        Edit("nobody is named", changed("CreatorDashboard", Permissions=[])),
        Edit("nobody may see it", without("CreatorDashboard", "Permissions")),
        Edit("data only", removed("CreatorDashboard")),
        Edit("none", removed("CreatorDashboard", "DashboardData", "DashboardSource")),
    ),
    "missing-web-acl": (
        Edit("no association", without("WebAclAssociation")),
        Edit("none", removed("WebAclAssociation", "WebAcl")),
        Edit("an empty one", without("WebAcl", "Rules")),
        Edit("one for distributions", changed("WebAcl", Scope="CLOUDFRONT")),
        Edit("of the user pool", changed("WebAclAssociation", ResourceArn={"Fn::GetAtt": ["UserPool", "Arn"]})),
        Edit(
            "of another stage",
            changed("WebAclAssociation", ResourceArn=sub("arn:aws:apigateway:us-west-2::/restapis/${Api}/stages/test")),
        ),
    ),
    "missing-usage-plan": (
        Edit("none", removed("UsagePlan", "WebClientPlan")),
        Edit("of no stage", without("UsagePlan", "ApiStages")),
        Edit("without limits", without("UsagePlan", "Throttle", "Quota")),
        Edit("without a key", removed("WebClientPlan")),
        Edit("with a key switched off", changed("WebClientKey", Enabled=False)),
        Edit("no method asks for the key", methods_without(ApiKeyRequired=False)),
    ),
    "missing-function-vpc": (
        Edit("none", every_without("AWS::Lambda::Function", "VpcConfig")),
        Edit("one function outside", without("PaymentFunction", "VpcConfig")),
        Edit("no subnets", nested("PaymentFunction", "VpcConfig", SubnetIds=[])),
    ),
    "missing-component": (
        Edit("creators' group", removed("CreatorsGroup")),
        Edit("backers' group", removed("BackersGroup")),
        Edit("user pool client", removed("UserPoolClient")),
        Edit("dashboard", removed("Dashboard")),
        Edit(
            "authorizer",
            together(removed("ApiAuthorizer"), methods_without("AuthorizerId", AuthorizationType="AWS_IAM")),
        ),
        Edit(
            "API invoke permission", every_without("AWS::Lambda::Permission"), frozenset({"missing-invoke-permission"})
        ),
        # Nothing else invokes the function.
        Edit("deadline rule", removed("DeadlineSchedule", "DeadlineScheduleRole"), frozenset({"uninvoked-function"})),
        # It also held the statement that denies plain HTTP.
        Edit("media bucket's policy", removed("MediaBucketPolicy"), frozenset({"bucket-without-tls-policy"})),
        # Nothing signs the requests for objects under a customer key.
        Edit(
            "origin access",
            together(
                removed("OriginAccess"), without("Distribution", "DistributionConfig.Origins.0.OriginAccessControlId")
            ),
            frozenset({"media-key-unreadable-by-cdn"}),
        ),
        Edit("query workgroup", no_workgroup),
        Edit("query results bucket", managed_results),
        Edit("alarm", removed(*ALARMS), frozenset({"missing-composite-alarm", "unalarmed-services"})),
        Edit("deadline topic", no_deadline_topic, sources={"deadline": replaced(*PUBLISHING)}),
    ),
}
