"""The model: a property is found, or where it is missed; a value names resources by reference, name or ARN."""

from __future__ import annotations

import pytest

from cfaudit.load import load
from cfaudit.model.declarations import Resource
from cfaudit.model.names import names_in, rendered, same_name, service_of
from cfaudit.model.template import Template, build
from cfaudit.nodes import Absent, Deferred, Map, Reference, Scalar, Seq, Span, Unknown, Value
from cfaudit.resolve import Scenario, resolve, scenarios


def template(text: str) -> Template:
    source = load(text, "t.yaml")
    (scenario, *_), _ = scenarios(source, Scenario())
    return build(resolve(source, scenario))


def shown(value: Value) -> str:
    match value:
        case Scalar(text):
            return text
        case Absent():
            return "absent"
        case Unknown():
            return "unknown"
        case Seq(items):
            return f"[{', '.join(shown(item) for item in items)}]"
        case Map(entries):
            return f"{{{', '.join(entries)}}}"


PROPERTIES = template("""\
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Metadata: {cfaudit: {code: functions/x}}
    Properties:
      BucketName: shop
      Versioning: {Status: Enabled}
      Rules:
        - Id: one
          Days: 1
        - Id: two
        - !Ref AWS::NoValue
      Gone: !Ref AWS::NoValue
      Null:
      Open: !ImportValue x
      Empty: []
      Included: {'Fn::Transform': {Name: AWS::Include}, A: 1}
      Looped: {'Fn::ForEach::X': [N, [a], {}], A: 1}
      Tags: {a: 1, b: 2}
  Bare:
    Type: AWS::SNS::Topic
  Null:
    Type: AWS::SNS::Topic
    Properties:
  Opaque:
    Type: AWS::SNS::Topic
    Properties: {'Fn::Transform': {Name: AWS::Include}}
  Partly:
    Type: AWS::SNS::Topic
    Fn::Transform: {Name: AWS::Include}
""").resources

# Resource, path, the value, and the text that the evidence covers (line, from column, to line and column).
PLACES = [
    ("Bucket", "BucketName", "shop", (7, 7, 7, 23)),
    ("Bucket", "Versioning.Status", "Enabled", (8, 20, 8, 35)),
    ("Bucket", "Versioning", "{Status}", (8, 7, 8, 36)),
    ("Bucket", "Rules.0.Id", "one", (10, 11, 10, 18)),
    ("Bucket", "Rules.1", "{Id}", (12, 11, 12, 18)),
    ("Bucket", "Rules", "[{Id, Days}, {Id}]", (9, 7, 13, 28)),
    ("Bucket", "Rules.2", "absent", (9, 7, 9, 12)),
    ("Bucket", "Rules.1.Days", "absent", (12, 11, 12, 18)),
    ("Bucket", "Missing", "absent", (2, 3, 2, 9)),
    ("Bucket", "Versioning.Other", "absent", (8, 7, 8, 17)),
    ("Bucket", "Versioning.Other.Deep", "absent", (8, 7, 8, 17)),
    ("Bucket", "Gone", "absent", (14, 7, 14, 11)),
    ("Bucket", "Gone.Deep", "absent", (14, 7, 14, 11)),
    ("Bucket", "BucketName.Deep", "absent", (7, 19, 7, 23)),
    ("Bucket", "Open.Deep.Deeper", "unknown", (16, 7, 16, 27)),
    ("Bucket", "Included.A", "1", (18, 57, 18, 61)),
    ("Bucket", "Included.B", "unknown", (18, 18, 18, 33)),
    ("Bucket", "Looped.B", "unknown", (19, 16, 19, 32)),
    ("Bare", "TopicName", "absent", (21, 3, 21, 7)),
    ("Null", "TopicName", "absent", (23, 3, 23, 7)),
    ("Opaque", "TopicName", "unknown", (28, 5, 28, 56)),
    ("Partly", "TopicName", "unknown", (31, 5, 31, 18)),
]


@pytest.mark.parametrize(("name", "path", "value", "place"), PLACES, ids=[f"{p[0]}.{p[1]}" for p in PLACES])
def test_at_and_where(name: str, path: str, value: str, place: tuple[int, ...]) -> None:
    resource = PROPERTIES[name]
    assert shown(resource.at(path)) == value
    where = resource.where(path)
    assert where[1:] == place
    found = resource.at(path)
    if isinstance(found, Absent):
        assert where == found.span


def test_attributes() -> None:
    bucket = PROPERTIES["Bucket"]
    assert shown(bucket.attribute("DeletionPolicy")) == "Retain"
    assert shown(bucket.attribute("Metadata.cfaudit.code")) == "functions/x"
    assert shown(bucket.attribute("UpdateReplacePolicy")) == "absent"
    assert shown(bucket.at("")).startswith("{BucketName, Versioning")


EACH = {
    "BucketName": [("BucketName", "shop")],
    "Rules.*.Id": [("Rules.0.Id", "one"), ("Rules.1.Id", "two")],
    "Rules.*.Days": [("Rules.0.Days", "1"), ("Rules.1.Days", "absent")],
    "Rules.*": [("Rules.0", "{Id, Days}"), ("Rules.1", "{Id}")],
    "Tags.*": [("Tags.a", "1"), ("Tags.b", "2")],
    "Missing.*.Id": [("Missing.*.Id", "absent")],
    "Empty.*.Id": [("Empty.*.Id", "absent")],
    "Open.*.Id": [("Open.*.Id", "unknown")],
    "BucketName.*": [("BucketName.*", "absent")],
}


@pytest.mark.parametrize(("path", "found"), EACH.items())
def test_each(path: str, found: list[tuple[str, str]]) -> None:
    bucket = PROPERTIES["Bucket"]
    assert [(concrete, shown(value)) for concrete, value in bucket.each(path)] == found


# References ----------------------------------------------------------------------------------------------------------

STACK = template("""\
Parameters:
  Suffix: {Type: String}
  Foreign: {Type: String}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {TableName: !Sub 'carts-${Suffix}'}
  Other:
    Type: AWS::DynamoDB::Table
    Properties: {TableName: orders}
  Topic:
    Type: AWS::SNS::Topic
    Properties: {TopicName: orders}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: work}
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /aws/lambda/pay}
  Key: {Type: AWS::KMS::Key}
  Function:
    Type: AWS::Lambda::Function
    DependsOn: Queue
    Properties:
      FunctionName: pay
      KmsKeyArn: !GetAtt Key.Arn
      Environment:
        Variables:
          TABLE: !Ref Table
          BOTH: !Sub '${Topic}/${Queue.Arn}/${Topic}'
          HIDDEN: !Select [0, [!Split ['/', !GetAtt Table.StreamArn]]]
          SECRET: !Sub '{{resolve:secretsmanager:${Key}}}'
          SELF: !GetAtt Nowhere.Arn
""")


def test_edges() -> None:
    told = [(edge.target, edge.attribute, edge.path.removeprefix("Environment.Variables.")) for edge in STACK.edges]
    assert told == [
        ("Key", "Arn", "KmsKeyArn"),
        ("Table", None, "TABLE"),
        ("Topic", None, "BOTH"),
        ("Queue", "Arn", "BOTH"),
        ("Topic", None, "BOTH"),
        ("Table", None, "HIDDEN"),
        ("Key", None, "SECRET"),
    ]
    assert {edge.source for edge in STACK.edges} == {"Function"}
    assert [edge.span.line for edge in STACK.edges_to["Table"]] == [29, 31]
    assert STACK.edges_from["Function"] == STACK.edges
    assert "Queue" not in {edge.target for edge in STACK.edges if edge.path == "DependsOn"}


ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
TARGETS = [
    ("!Ref Table", (), ["Table"]),
    ("!GetAtt Topic.TopicName", (), ["Topic"]),
    ("!Sub '${Queue}-${Table}'", (), ["Queue", "Table"]),
    ("!Sub '${Queue}-${Table}'", ("AWS::DynamoDB::Table",), ["Table"]),
    ("!Select [0, !GetAZs {Ref: Table}]", (), ["Table"]),
    ("orders", (), ["Other", "Topic"]),
    ("orders", ("AWS::SNS::Topic",), ["Topic"]),
    ("orders", ("AWS::SQS::Queue",), []),
    ("carts-x", (), []),
    ("!Sub 'carts-${Suffix}'", (), ["Table"]),
    ("!Join ['-', [carts, !Ref Suffix]]", (), ["Table"]),
    ("!Sub 'carts-${Foreign}'", (), []),
    ("!Sub 'arn:aws:dynamodb:${AWS::Region}:${AWS::AccountId}:table/carts-${Suffix}'", (), ["Table"]),
    ("!Sub 'arn:${AWS::Partition}:dynamodb:*:*:table/carts-${Suffix}/index/*'", (), ["Table"]),
    (ARN, (), ["Other"]),
    (f"{ARN}/stream/2026", (), ["Other"]),
    (f"{ARN}-more", (), []),
    (ARN.replace("dynamodb", "sns").replace("table/", ""), (), ["Topic"]),
    (ARN.replace("table/", "backup/"), (), []),
    ("https://sqs.eu-west-1.amazonaws.com/123456789012/work", (), ["Queue"]),
    ("https://example.com/work", (), []),
    ("arn:aws:lambda:eu-west-1:123456789012:function:pay:live", (), ["Function"]),
    ("arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/pay:*", (), ["Logs"]),
    ("arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda", (), []),
    ("[orders, !Ref Table]", ("AWS::DynamoDB::Table",), ["Other", "Table"]),
    ("[!Ref Table, orders]", ("AWS::DynamoDB::Table",), ["Table", "Other"]),
    ("!Ref Foreign", (), []),
    ("!Ref Nowhere", (), []),
    ("''", (), []),
    ("{a: orders}", (), []),
    ("!Ref AWS::NoValue", (), []),
]


@pytest.mark.parametrize(("written", "types", "names"), TARGETS, ids=[target[0] for target in TARGETS])
def test_targets(written: str, types: tuple[str, ...], names: list[str]) -> None:
    text = "\n".join(STACK.source.lines) + f"  Asking: {{Type: T, Properties: {{Value: {written}}}}}\n"
    asked = template(text)
    found = asked.targets(asked.resources["Asking"].at("Value"), *types)
    assert [resource.logical_id for resource in found] == names
    assert asked.target(asked.resources["Asking"].at("Value"), *types) == (found[0] if found else None)


def test_of_keeps_the_order_of_the_template() -> None:
    found = STACK.of("AWS::SNS::Topic", "AWS::DynamoDB::Table")
    assert [resource.logical_id for resource in found] == ["Table", "Other", "Topic"]
    assert STACK.span[1:] == (4, 1, 4, 10)


def test_a_resource_without_a_known_type_is_a_macro() -> None:
    found = template("Resources:\n  A: {Type: T}\n  B: {Type: !Rain::Module b}\n  C: !Module c\n")
    assert [macro.name for macro in found.macros] == ["!Module", "B"]
    assert isinstance(found.resources["B"], Resource)


def test_a_module_may_declare_anything() -> None:
    found = template("Resources:\n  A: {Type: T}\n  B: {Type: Company::S3::Bucket::MODULE}\n")
    assert [macro.name for macro in found.macros] == ["Company::S3::Bucket::MODULE"]


def test_excerpt() -> None:
    assert (
        STACK.excerpt(STACK.resources["Table"].where("TableName")) == "Properties: {TableName: !Sub 'carts-${Suffix}'}"
    )
    span = Span("t.yaml", 24, 1, 31, 5)
    assert STACK.excerpt(span, 2) == "Properties:\n  FunctionName: pay"


# Names ---------------------------------------------------------------------------------------------------------------


def test_a_hole_is_the_same_only_as_itself() -> None:
    nowhere = Span("", 1, 1, 1, 1)
    holes = [
        Reference("A", None),
        Reference("A", "Arn"),
        Deferred("parameter", "A"),
        Deferred("undefined", "A"),
        Deferred("function", "Fn::Select", expression="[0]"),
        Deferred("function", "Fn::Select", expression="[1]"),
    ]
    texts = [rendered(Unknown(nowhere, ("x", hole))) for hole in holes]
    assert len(set(texts)) == len(texts)
    assert not any(":" in text or "/" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "resource_type", "name", "same"),
    [
        ("orders", "AWS::SNS::Topic", "orders", True),
        ("", "AWS::SNS::Topic", "", False),
        ("arn:aws:sns:r:1:orders", "AWS::SNS::Topic", "orders", True),
        ("arn:aws:sns:r:1:orders", "AWS::SQS::Queue", "orders", False),
        ("arn:aws:sns", "AWS::SNS::Topic", "sns", False),
        ("arn:aws:s3:::media/uploads/x.png", "AWS::S3::Bucket", "media", True),
        ("arn:aws:kms:r:1:alias/shop", "AWS::KMS::Alias", "alias/shop", True),
        ("arn:aws:ssm:r:1:parameter/shop/a", "AWS::SSM::Parameter", "/shop/a", True),
        ("arn:aws:scheduler:r:1:schedule/default/nightly", "AWS::Scheduler::Schedule", "nightly", True),
        ("arn:aws:ecr:r:1:repository/shop", "AWS::ECR::Repository", "shop", True),
        ("arn:aws:states:r:1:stateMachine:pay", "AWS::Serverless::StateMachine", "pay", True),
        ("https://sqs.r.amazonaws.com/1/work", "AWS::SQS::Queue", "work", True),
        ("https://sqs.r.amazonaws.com/1/work", "AWS::SNS::Topic", "work", False),
    ],
)
def test_same_name(text: str, resource_type: str, name: str, same: bool) -> None:
    assert same_name(text, resource_type, name) is same


def test_long_arns_name_a_bounded_number_of_things() -> None:
    assert len(list(names_in("arn:aws:s3:::" + "a/" * 10_000))) < 200


def test_service_of() -> None:
    assert [service_of(kind) for kind in ("AWS::StepFunctions::StateMachine", "AWS::Nowhere::X", "Custom::X")] == [
        "states",
        "",
        "",
    ]
