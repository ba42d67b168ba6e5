"""What the shipped data say, against facts that AWS documents."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from cfaudit import data

ROOT = Path(__file__).parent.parent


def cfn_lint() -> str:
    """The installed version of cfn-lint, or a word that no version is."""
    try:
        return version("cfn-lint")
    except PackageNotFoundError:
        return "absent"


@pytest.mark.skipif(
    cfn_lint() != data.versions().cfn_lint, reason=f"cfn-lint here is {cfn_lint()}: compares with another"
)
def test_the_files_are_what_the_script_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_data.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "no drift\n"), done.stdout + done.stderr


def test_versions() -> None:
    assert data.versions() == data.Versions("1.58.0", "1.44.5", "1.35.99", date(2026, 10, 20))


def test_an_action_has_its_spelling_and_resource_types() -> None:
    found = data.actions("DynamoDB")
    assert found is not None
    assert found["putitem"] == data.Action("dynamodb:PutItem", resource_level=True, resource_types=("table",))
    assert found["query"].resource_types == ("index", "table")
    assert found["listtables"] == data.Action("dynamodb:ListTables", resource_level=False, resource_types=())
    assert "conditioncheckitem" in found
    assert "transactwriteitems" not in found


@pytest.mark.parametrize(
    "name", ["s3:PutBucketCORS", "rds-db:connect", "apigateway:GET", "cognito-idp:AdminCreateUser", "ses:SendRawEmail"]
)
def test_spelling(name: str) -> None:
    prefix, _, action = name.partition(":")
    found = data.actions(prefix)
    assert found is not None
    assert found[action.lower()].name == name


@pytest.mark.parametrize("name", ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "states:SendTaskSuccess"])
def test_no_resource_level_permissions(name: str) -> None:
    prefix, _, action = name.partition(":")
    found = data.actions(prefix)
    assert found is not None
    assert not found[action.lower()].resource_level


@pytest.mark.parametrize("service", ["stepfunctions", "", "dynamo", "s3\t", "zzz"])
def test_unknown_service(service: str) -> None:
    assert data.actions(service) is None


def test_first_and_last_line_are_found() -> None:
    lines = (data.HERE / "iam.txt").read_text().splitlines()
    for line in (lines[0], lines[-1]):
        prefix, _, _ = line.partition("\t")
        assert data.actions(prefix)


def test_every_line_reads_back() -> None:
    prefixes = [line.partition("\t")[0] for line in (data.HERE / "iam.txt").read_text().splitlines()]
    assert prefixes == sorted(set(prefixes))
    assert sum(len(data.actions(prefix) or ()) for prefix in prefixes) == 22268


@pytest.mark.parametrize(
    ("operation", "actions"),
    [
        (
            "dynamodb:TransactWriteItems",
            ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"),
        ),
        ("DYNAMODB:transactgetitems", ("dynamodb:GetItem",)),
        ("lambda:Invoke", ("lambda:InvokeFunction",)),
        ("sqs:SendMessageBatch", ("sqs:SendMessage",)),
        ("sns:PublishBatch", ("sns:Publish",)),
        ("kms:ReEncrypt", ("kms:ReEncryptFrom", "kms:ReEncryptTo")),
        ("s3:ListObjectsV2", ("s3:ListBucket",)),
        ("s3:HeadObject", ("s3:GetObject",)),
        ("s3:PutBucketEncryption", ("s3:PutEncryptionConfiguration",)),
        ("apigateway:CreateRestApi", ("apigateway:POST",)),
        ("execute-api:PostToConnection", ("execute-api:ManageConnections",)),
        ("cognito-idp:StartWebAuthnRegistration", ()),
        ("dynamodb:PutItem", None),
        ("dynamodb:PutItems", None),
        ("nosuch:Thing", None),
    ],
)
def test_operations_that_are_no_actions(operation: str, actions: tuple[str, ...] | None) -> None:
    assert data.replacement_actions(operation) == actions


def test_an_operation_keeps_its_source() -> None:
    found = data.operation("dynamodb:transactwriteitems")
    assert found is not None
    assert found.name == "dynamodb:TransactWriteItems"
    assert found.source is not None
    assert found.source.endswith("/developerguide/transaction-apis-iam.html")


def test_runtimes() -> None:
    old = data.runtime("nodejs18.x")
    assert old is not None
    assert old.deprecated == date(2025, 9, 1)
    new = data.runtime("nodejs22.x")
    assert new is not None
    assert new.deprecated == date(2027, 4, 30)
    assert data.runtime("nodejs99.x") is None
    assert data.runtime("") is None


def test_lifecycle() -> None:
    assert data.lifecycle("AWS::FraudDetector::Detector") == data.Lifecycle("sunset", date(2025, 11, 7))
    assert data.lifecycle("AWS::Pinpoint::App") == data.Lifecycle("sunset", date(2026, 10, 30))
    assert data.lifecycle("AWS::WAFRegional::WebACL") == data.Lifecycle("sunset", None)
    assert data.lifecycle("AWS::QLDB::Ledger") == data.Lifecycle("shutdown", date(2025, 7, 31))
    assert data.lifecycle("AWS::S3::Bucket") is None
    assert data.lifecycle("Custom::Thing") is None


@pytest.mark.parametrize(
    ("resource_type", "place"),
    [
        ("AWS::DynamoDB::Table", "Tags"),
        ("AWS::Cognito::UserPool", "UserPoolTags"),
        ("AWS::FraudDetector::Detector", "Tags"),
        ("AWS::Serverless::Function", "Tags"),
        ("AWS::EC2::CapacityReservation", "TagSpecifications/*/Tags"),
        ("AWS::Lambda::Permission", None),
        ("AWS::IAM::Policy", None),
        ("Custom::Thing", None),
    ],
)
def test_tags(resource_type: str, place: str | None) -> None:
    assert data.tag_property(resource_type) == place
    assert data.taggable(resource_type) == (place is not None)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
        "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
        "service-role/AWSLambdaBasicExecutionRole",
        "AWSLambdaBasicExecutionRole",
    ],
)
def test_managed_policy(arn: str) -> None:
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    assert data.managed_policy(arn) == ({"Effect": "Allow", "Action": actions, "Resource": ["*"]},)


def test_managed_policies_of_other_kinds() -> None:
    found = data.managed_policy("arn:aws:iam::aws:policy/PowerUserAccess")
    assert found is not None
    assert found[0].get("NotAction") == ["iam:*", "organizations:*", "account:*"]
    assert data.managed_policy("arn:aws:iam::123456789012:policy/AWSLambdaBasicExecutionRole") is None
    assert data.managed_policy("arn:aws:iam::aws:policy/NoSuchPolicy") is None


def test_wildcard_exceptions() -> None:
    interface = data.wildcard_exception("ec2:createnetworkinterface")
    assert interface is not None
    assert interface.condition is None
    metric = data.wildcard_exception("cloudwatch:PutMetricData")
    assert metric is not None
    assert metric.condition == "cloudwatch:namespace"
    assert metric.source.startswith("https://docs.aws.amazon.com/")
    assert data.wildcard_exception("dynamodb:PutItem") is None


def test_dependent_services() -> None:
    services = data.dependent_services()
    assert services["frauddetector"].types == ("AWS::FraudDetector::Detector", "AWS::FraudDetector::EventType")
    assert any(fnmatch.fnmatchcase("ses:SendRawEmail", pattern) for pattern in services["ses"].actions)
    assert not services["sns"].certain
    assert services["sqs"].certain
    left_out = {"events", "athena", "translate", "comprehend", "textract", "polly", "xray", "logs", "cloudwatch", "sts"}
    assert not left_out & set(services)
    assert not any(pattern.startswith("states:SendTask") for pattern in services["states"].actions)
    for service in services.values():
        assert service.source.startswith("https://docs.aws.amazon.com/")
        assert service.note or service.certain


def test_policy_templates_of_sam() -> None:
    (statement,) = data.sam_policy("SQSSendMessagePolicy") or ()
    assert statement["Action"] == ["sqs:SendMessage*"]
    assert statement["Resource"] == ["arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${QueueName}"]
    assert data.sam_policy("NoSuchPolicy") is None


def test_operations_of_a_service() -> None:
    assert "TransactWriteItems" in data.operations("DynamoDB")
    assert "PutItem" not in data.operations("dynamodb")
    assert data.operations("nosuch") == ()


@pytest.mark.parametrize(("word", "known"), [("Item", True), ("Message", True), ("Itme", False), ("Mesage", False)])
def test_words_of_actions(word: str, known: bool) -> None:
    assert data.is_word_of_actions(word) is known
