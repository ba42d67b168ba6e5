"""A value's text and a resource's physical name in, whether the one names the other out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

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
    "AWS::Serverless::Api": "Name",
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
    "ECR": "ecr",
    "ECS": "ecs",
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
    r"deliverystream/|alias/|schedule/(?:[^/]+/)?|alarm:|repository/|cluster/)?"
)


_SEPARATOR = re.compile("[/:]")
MAX_SEGMENTS = 32


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
            expression = f"|{part.expression}" if part.expression else ""
            hole = f"\x01{part.kind}|{part.name}{expression}\x02"
            pieces.append(hole.replace(":", "\x03").replace("/", "\x04"))
    return "".join(pieces)


def service_of(resource_type: str) -> str:
    """The service element of a resource's ARN (``dynamodb`` for ``AWS::DynamoDB::Table``), empty when not known."""
    if resource_type in _SAM_SERVICE:
        return _SAM_SERVICE[resource_type]
    pieces = resource_type.split("::")
    return _SERVICE.get(pieces[1], "") if len(pieces) == 3 else ""


def names_in(text: str) -> Iterator[tuple[str, str]]:
    """What ``text`` may name: itself, or what an ARN or a queue's URL says, as pairs of service and physical name.

    The service is empty for a bare name. A name may hold slashes, so each beginning of an ARN's last element counts.
    """
    yield "", text
    if text.startswith("arn:"):
        pieces = text.split(":", 5)
        if len(pieces) == 6:
            service, rest = pieces[2], pieces[5]
            head = _ARN_HEAD.match(rest)
            tail = rest[head.end() :] if head else rest
            for candidate in dict.fromkeys((tail, tail.lstrip("/"), rest)):
                yield service, candidate
                for end in islice(_SEPARATOR.finditer(candidate), MAX_SEGMENTS):
                    yield service, candidate[: end.start()]
    elif text.startswith("https://sqs."):
        yield "sqs", text.rpartition("/")[2]


def same_name(text: str, resource_type: str, name: str) -> bool:
    """Whether ``text`` is the physical name, or an ARN (or URL) of the resource that bears it."""
    own = service_of(resource_type)
    return bool(name) and any(name == found and service in ("", own) for service, found in names_in(text))
