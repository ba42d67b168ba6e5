"""A value's text and a resource's physical name in, whether the one names the other out."""

from __future__ import annotations

import re

from cfaudit.nodes import Reference, Scalar, Unknown

NAME_PROPERTIES = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::Cognito::UserPoolGroup": "GroupName",
    "AWS::DynamoDB::GlobalTable": "TableName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::FraudDetector::Detector": "DetectorId",
    "AWS::FraudDetector::EntityType": "Name",
    "AWS::FraudDetector::EventType": "Name",
    "AWS::Glue::Database": "DatabaseInput.Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SES::ConfigurationSet": "Name",
    "AWS::SES::EmailIdentity": "EmailIdentity",
    "AWS::SES::Template": "Template.TemplateName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SSM::Parameter": "Name",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::Serverless::Function": "FunctionName",
    "AWS::Serverless::SimpleTable": "TableName",
    "AWS::Serverless::StateMachine": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
"""The property that holds a resource's physical name (CloudFormation's resource type reference)."""

_SERVICE = {
    "ApiGateway": "apigateway",
    "Athena": "athena",
    "CloudWatch": "cloudwatch",
    "Cognito": "cognito-idp",
    "DynamoDB": "dynamodb",
    "Events": "events",
    "FraudDetector": "frauddetector",
    "Glue": "glue",
    "IAM": "iam",
    "KMS": "kms",
    "Kinesis": "kinesis",
    "KinesisFirehose": "firehose",
    "Lambda": "lambda",
    "Logs": "logs",
    "S3": "s3",
    "SES": "ses",
    "SNS": "sns",
    "SQS": "sqs",
    "SSM": "ssm",
    "Scheduler": "scheduler",
    "SecretsManager": "secretsmanager",
    "StepFunctions": "states",
}

_SAM_SERVICE = {
    "AWS::Serverless::Function": "lambda",
    "AWS::Serverless::SimpleTable": "dynamodb",
    "AWS::Serverless::StateMachine": "states",
}

_ARN_HEAD = re.compile(
    r"(?:table/|function:|stateMachine:|execution:|log-group:|role/|policy/|detector/|event-type/|entity-type/|"
    r"workgroup/|database/|identity/|configuration-set/|template/|secret:|parameter|rule/|event-bus/|stream/|"
    r"deliverystream/|alias/|schedule/|alarm:)?"
)


def rendered(value: Scalar | Unknown) -> str:
    """The text of a value; each hole stands as a token that is equal only for an equal hole."""
    if isinstance(value, Scalar):
        return value.text
    pieces = []
    for part in value.parts:
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, Reference):
            pieces.append(f"\x01{part.logical_id}|{part.attribute or ''}\x02")
        else:
            pieces.append(f"\x01{part.kind}|{part.name}\x02".replace(":", "\x03").replace("/", "\x04"))
    return "".join(pieces)


def service_of(resource_type: str) -> str:
    """The service element of a resource's ARN (``dynamodb`` for ``AWS::DynamoDB::Table``), empty when not known."""
    if resource_type in _SAM_SERVICE:
        return _SAM_SERVICE[resource_type]
    pieces = resource_type.split("::")
    return _SERVICE.get(pieces[1], "") if len(pieces) == 3 else ""


def same_name(text: str, resource_type: str, name: str) -> bool:
    """Whether ``text`` is the physical name, or an ARN (or URL) of the resource that bears it."""
    if not name:
        return False
    if text == name:
        return True
    if text.startswith("arn:"):
        pieces = text.split(":", 5)
        if len(pieces) < 6 or pieces[2] != service_of(resource_type):
            return False
        rest = pieces[5]
        head = _ARN_HEAD.match(rest)
        tail = rest[head.end() :] if head else rest
        return any(tail == name or tail.startswith((name + "/", name + ":")) for tail in (tail, tail.lstrip("/"), rest))
    return resource_type == "AWS::SQS::Queue" and text.startswith("https://sqs.") and text.endswith("/" + name)
