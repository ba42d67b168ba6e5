"""Loops, transforms and macros: what CloudFormation makes of a template before it deploys it."""

from __future__ import annotations

import json
import textwrap
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest
from cfnlint.decode.cfn_yaml import loads
from cfnlint.template import Template
from cfnlint.template.transforms._language_extensions import language_extension

from cfaudit.finding import Finding, Outcome
from cfaudit.load import load
from cfaudit.nodes import (
    Absent,
    Deferred,
    Map,
    Reference,
    Scalar,
    Seq,
    TemplateError,
    Unknown,
    Value,
    as_text,
)
from cfaudit.pipeline import Audit, Settings, audit, audits, template
from cfaudit.resolve import Document, Scenario, resolve, scenarios
from stacks import ROOT, rules

EXTENDED = "Transform: AWS::LanguageExtensions\n"


def document(text: str, **parameters: str) -> Document:
    source = load(dedent(text), "t.yaml")
    (scenario, *_), _ = scenarios(source, Scenario(parameters=parameters, region="us-east-1"))
    return resolve(source, scenario)


def judged(text: str, path: str = "t.yaml", **parameters: str) -> Audit:
    return audit(dedent(text), path, Settings(as_of=date(2026, 11, 22), parameters=parameters), rules())


def findings(judgement: Audit, rule: str) -> list[Finding]:
    return next(list(result.findings) for result in judgement.results if result.rule.id == rule)


Shown = str | None | list["Shown"] | dict[str, "Shown"]


def shown(value: Value) -> Shown:
    """A value without its place: text, its holes as Fn::Sub writes them, lists and maps."""
    match value:
        case Scalar():
            return as_text(value)
        case Seq(items):
            return [shown(item) for item in items]
        case Map(entries):
            return {name: shown(member) for name, member in entries.items()}
        case Absent():
            return None
        case Unknown(_, parts):
            return "".join(_part(part) for part in parts)


def _part(part: str | Reference | Deferred) -> str:
    if isinstance(part, str):
        return part
    name = part.name if isinstance(part, Deferred) else ".".join(filter(None, part))
    return f"${{{name}}}"


# cfn-lint's transform as an oracle -----------------------------------------------------------------------------------

EXPANDED = {
    "resources, keys and values": """
        Resources:
          Fn::ForEach::Topics:
            - Name
            - [Success, Failure]
            - Topic${Name}:
                Type: AWS::SNS::Topic
                Properties:
                  TopicName: !Sub "${Name}.fifo"
                  DisplayName: !Ref Name
                  FifoTopic: true
                  Tags:
                    - {Key: !Sub "is-${Name}", Value: !Join ["-", [a, !Ref Name, !Ref AWS::Region]]}
        """,
    "two kinds of resources that refer to each other": """
        Resources:
          Fn::ForEach::Pairs:
            - Name
            - [Orders, Carts]
            - ${Name}Queue:
                Type: AWS::SQS::Queue
                DependsOn: !Sub ${Name}Letters
                Properties:
                  RedrivePolicy:
                    deadLetterTargetArn: !GetAtt [!Sub "${Name}Letters", Arn]
                    maxReceiveCount: 3
              ${Name}Letters:
                Type: AWS::SQS::Queue
          Policy:
            Type: AWS::SQS::QueuePolicy
            Properties:
              Queues:
                - Ref: OrdersQueue
                - Ref: CartsLetters
        """,
    "nested, with outputs": """
        Resources:
          Fn::ForEach::Buckets:
            - Id
            - [A, B]
            - Bucket${Id}: {Type: AWS::S3::Bucket}
        Outputs:
          Fn::ForEach::Outer:
            - Id
            - [A, B]
            - Fn::ForEach::Inner:
                - Property
                - [Arn, DomainName]
                - Bucket${Id}${Property}:
                    Value: !GetAtt [!Sub "Bucket${Id}", !Ref Property]
        """,
    "loops side by side in a loop": """
        Resources:
          Fn::ForEach::Outer:
            - Prefix
            - [Transit, Public]
            - Acl${Prefix}: {Type: AWS::EC2::NetworkAcl}
              Fn::ForEach::Inner:
                - Suffix
                - [A, B, C]
                - ${Prefix}Subnet${Suffix}: {Type: AWS::EC2::Subnet}
                  ${Prefix}Association${Suffix}:
                    Type: AWS::EC2::SubnetNetworkAclAssociation
                    Properties:
                      SubnetId: {Ref: {Fn::Sub: "${Prefix}Subnet${Suffix}"}}
                      NetworkAclId: {Ref: {Fn::Sub: "Acl${Prefix}"}}
        """,
    "properties, with mappings and defaults": """
        Mappings:
          A: {Properties: {ImageId: ami-1, InstanceType: m5.xlarge}}
          B: {Properties: {ImageId: ami-2}}
        Resources:
          Fn::ForEach::Instances:
            - Id
            - [A, B]
            - Instance${Id}:
                Type: AWS::EC2::Instance
                Properties:
                  DisableApiTermination: true
                  Fn::ForEach::Properties:
                    - Name
                    - [ImageId, InstanceType]
                    - ${Name}: !FindInMap [!Ref Id, Properties, !Ref Name, {DefaultValue: !Ref AWS::NoValue}]
        """,
    "collections from a parameter and from a mapping": """
        Parameters:
          Names: {Type: CommaDelimitedList, Default: "Red, Green"}
          Stage: {Type: String, Default: prod}
        Mappings:
          Sizes: {prod: {All: [Small, Large]}}
        Resources:
          Fn::ForEach::Colours:
            - Colour
            - !Ref Names
            - Topic${Colour}: {Type: AWS::SNS::Topic}
          Fn::ForEach::Sizes:
            - Size
            - !FindInMap [Sizes, !Ref Stage, All]
            - Queue${Size}:
                Type: AWS::SQS::Queue
                Properties: {QueueName: !Sub ["${Stage}-${Size}-${Own}", {Own: !Ref Size}]}
        """,
    "characters that no logical id may hold": """
        Resources:
          Fn::ForEach::Hosts:
            - Ip
            - [10.0.0.1, 10.0.0.2]
            - Host&{Ip}:
                Type: AWS::EC2::Instance
                Properties: {PrivateIpAddress: !Ref Ip, KeyName: !Sub "key-&{Ip}"}
        """,
    "conditions": """
        Parameters:
          Stage: {Type: String, Default: prod}
        Conditions:
          Fn::ForEach::Stages:
            - Name
            - [prod, dev]
            - Is${Name}: !Equals [!Ref Stage, !Ref Name]
        Resources:
          Fn::ForEach::Topics:
            - Name
            - [prod, dev]
            - Topic${Name}:
                Type: AWS::SNS::Topic
                Condition: !Sub Is${Name}
                Properties:
                  DisplayName: !If [Isprod, !Sub "for ${Name}", none]
        """,
    "lengths, JSON and names by functions outside of loops": """
        Parameters:
          Zones: {Type: CommaDelimitedList, Default: "a,b,c"}
        Resources:
          Bucket: {Type: AWS::S3::Bucket}
          Group:
            Type: AWS::AutoScaling::AutoScalingGroup
            DeletionPolicy: !If [Always, Retain, Delete]
            Properties:
              MaxSize: {Fn::Length: !Ref Zones}
              NotificationConfigurations: {Fn::ToJsonString: {zones: !Ref Zones, up: true}}
              LaunchConfigurationName: {Ref: {Fn::Sub: Bucket}}
              PlacementGroup: !GetAtt [!Join ["", [Buc, ket]], Arn]
        Conditions:
          Always: !Equals [{Fn::Length: [x]}, 1]
        """,
}


@pytest.mark.parametrize("text", EXPANDED.values(), ids=EXPANDED)
def test_means_what_cfn_lint_expands(text: str) -> None:
    text = EXTENDED + dedent(text)
    problems, theirs = language_extension(Template("t.yaml", loads(text), ["us-east-1"]))
    assert not problems
    ours, other = document(text), document(json.dumps(theirs))
    assert ours.resources.entries
    assert shown(ours.resources) == shown(other.resources)
    assert shown(ours.outputs) == shown(other.outputs)
    assert (ours.inactive, ours.macros, ours.source.diagnostics) == (other.inactive, (), ())


# Places and substitution ---------------------------------------------------------------------------------------------

LOOP = """\
Transform: AWS::LanguageExtensions
Parameters:
  Names: {Type: CommaDelimitedList}
Resources:
  Fn::ForEach::Topics:
    - Name
    - [Red, Green]
    - Topic${Name}:
        Type: AWS::SNS::Topic
        Properties:
          TopicName: !Sub "x-${Name}"
          DisplayName: !Ref Name
          Tags: [{Key: plain, Value: "of ${Name}, not ${Other}"}]
"""


def test_copies_keep_their_place() -> None:
    found = document(LOOP).resources
    assert list(found.entries) == ["TopicRed", "TopicGreen"]
    for name in found.entries:
        assert (found.keys[name].line, found.keys[name].column, found.keys[name].end_column) == (8, 7, 19)
        body = found.entries[name]
        assert isinstance(body, Map)
        properties = body.entries["Properties"]
        assert isinstance(properties, Map)
        places = {key: (value.span.line, value.span.column) for key, value in properties.entries.items()}
        assert places == {"TopicName": (11, 22), "DisplayName": (12, 24), "Tags": (13, 17)}
        assert (body.keys["Type"].line, properties.keys["Tags"].line) == (9, 13)


def test_plain_text_is_substituted() -> None:
    """AWS's page: all instances of the identifier in the value are replaced; what is none stays as it is."""
    found = shown(document(LOOP).resources)
    assert isinstance(found, dict)
    assert isinstance(green := found["TopicGreen"], dict)
    assert green["Properties"] == {
        "TopicName": "x-Green",
        "DisplayName": "Green",
        "Tags": [{"Key": "plain", "Value": "of Green, not ${Other}"}],
    }


def test_names_of_conditions_are_substituted() -> None:
    text = """
        Transform: [AWS::LanguageExtensions]
        Conditions: {OnA: !Equals [a, a], OnB: !Equals [a, b]}
        Resources:
          Fn::ForEach::Topics:
            - Id
            - [A, B]
            - Topic${Id}:
                Type: AWS::SNS::Topic
                Properties: {DisplayName: !If ["On${Id}", yes, no]}
        """
    assert shown(document(text).resources) == {
        "TopicA": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "true"}},
        "TopicB": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "false"}},
    }


def test_a_mapping_may_say_which_condition_or_none() -> None:
    text = """
        Transform: AWS::LanguageExtensions
        Mappings: {Only: {When: {B: Never}}}
        Conditions: {Never: !Equals [a, b]}
        Resources:
          Fn::ForEach::Topics:
            - Id
            - [A, B]
            - Topic${Id}:
                Type: AWS::SNS::Topic
                Condition: !FindInMap [Only, When, !Ref Id, {DefaultValue: !Ref AWS::NoValue}]
        """
    found = document(text)
    assert (list(found.resources.entries), found.inactive) == (["TopicA"], {"TopicB"})


def test_a_condition_may_choose_the_collection() -> None:
    text = """
        Transform: AWS::LanguageExtensions
        Parameters: {Stage: {Type: String}}
        Conditions: {IsProd: !Equals [!Ref Stage, prod]}
        Resources:
          Fn::ForEach::Topics:
            - Id
            - !If [IsProd, [A, B], [A]]
            - Topic${Id}: {Type: AWS::SNS::Topic}
        """
    assert list(document(text, Stage="prod").resources.entries) == ["TopicA", "TopicB"]
    assert list(document(text, Stage="dev").resources.entries) == ["TopicA"]
    source = load(dedent(text), "t.yaml")
    branches, _ = scenarios(source, Scenario())
    assert {tuple(resolve(source, branch).resources.entries) for branch in branches} == {
        ("TopicA",),
        ("TopicA", "TopicB"),
    }


def test_what_only_deploy_time_knows_of_one_member() -> None:
    """The collection has two members whatever the parameter says, so nothing about their number is open."""
    text = """
        Transform: AWS::LanguageExtensions
        Parameters: {Other: {Type: String}}
        Resources:
          Fn::ForEach::Topics:
            - Name
            - [Red, !Ref Other]
            - Topic${Name}:
                Type: AWS::SNS::Topic
                Properties: {TopicName: !Sub "${Name}.fifo", DisplayName: "a ${Name}", Tags: [!Ref Name]}
              Policy${Name}:
                Type: AWS::SNS::TopicPolicy
                DependsOn: Topic${Name}
                Properties: {Topics: [Ref: !Sub "Topic${Name}"]}
        """
    found = document(text)
    assert found.source.loops == ()
    topics = shown(found.resources)
    assert isinstance(topics, dict)
    assert list(topics) == ["TopicRed", "PolicyRed", "Topic${Other}", "Policy${Other}"]
    assert topics["Topic${Other}"] == {
        "Type": "AWS::SNS::Topic",
        "Properties": {"TopicName": "${Other}.fifo", "DisplayName": "a ${Other}", "Tags": ["${Other}"]},
    }
    assert topics["Policy${Other}"] == {
        "Type": "AWS::SNS::TopicPolicy",
        "DependsOn": "Topic${Other}",
        "Properties": {"Topics": ["${Topic${Other}}"]},
    }
    assert document(text, Other="Blue").source.loops == ()
    assert "TopicBlue" in document(text, Other="Blue").resources.entries


# Collections that only deploy time knows -----------------------------------------------------------------------------

OPEN = """\
Transform: AWS::LanguageExtensions
Description: Two tables of the shop and its topics
Parameters:
  Names: {Type: CommaDelimitedList, Description: the tables}
Resources:
  Fn::ForEach::Tables:
    - Name
    - !Ref Names
    - Table${Name}:
        Type: AWS::DynamoDB::Table
        Properties:
          BillingMode: PAY_PER_REQUEST
          AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
          KeySchema: [{AttributeName: id, KeyType: HASH}]
  Plain:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Alerts:
    Type: AWS::SNS::Topic
"""


def test_what_such_a_loop_makes_is_unknown_and_nothing_else() -> None:
    told = {(one.outcome, one.subject) for one in findings(judged(OPEN), "recovery-off")}
    assert told == {(Outcome.FAIL, "Plain"), (Outcome.UNKNOWN, "Table${Names}")}
    (unknown,) = [one for one in findings(judged(OPEN), "recovery-off") if one.outcome is Outcome.UNKNOWN]
    assert unknown.message.endswith("if Fn::ForEach::Tables makes any: only deploy time knows what it repeats")
    assert [evidence.span.line for evidence in unknown.evidence] == [9, 6]
    without = OPEN.replace("Fn::ForEach::Tables", "Ignored").partition("  Ignored:")[0] + OPEN[OPEN.index("  Plain:") :]
    unrelated = {answer for answer in verdicts(judged(without)) if answer[2] == "Alerts"}
    assert unrelated
    assert unrelated <= verdicts(judged(OPEN))


def test_a_parameter_decides_such_a_loop() -> None:
    told = {(one.outcome, one.subject) for one in findings(judged(OPEN, Names="Red, Blue"), "recovery-off")}
    assert told == {(Outcome.FAIL, name) for name in ("Plain", "TableRed", "TableBlue")}


def test_loops_over_one_parameter_agree() -> None:
    text = """
        Transform: AWS::LanguageExtensions
        Parameters: {Names: {Type: CommaDelimitedList}}
        Resources:
          Fn::ForEach::Topics: [Name, !Ref Names, {"Topic${Name}": {Type: AWS::SNS::Topic}}]
          Plain: {Type: AWS::SNS::Topic, DependsOn: TopicRed}
        Outputs:
          Fn::ForEach::Arns: [Id, !Ref Names, {"${Id}Arn": {Value: !Ref {"Fn::Sub": "Topic${Id}"}}}]
          One: {Value: !Ref TopicGreen}
          Two: {Value: !Ref Typo}
        """
    judgement = judged(text)
    outputs = judgement.template.document.outputs
    assert shown(outputs.entries["${Names}Arn"]) == {"Value": "${Topic${Names}}"}
    told = [diagnostic.message for diagnostic in judgement.diagnostics]
    assert told == ["Ref names 'Typo', but the template declares no such resource or parameter"]


def test_a_loop_among_properties_leaves_the_written_ones() -> None:
    text = """
        Transform: AWS::LanguageExtensions
        Parameters: {Names: {Type: CommaDelimitedList}}
        Resources:
          Table:
            Type: AWS::DynamoDB::Table
            Properties:
              BillingMode: PAY_PER_REQUEST
              Fn::ForEach::Rest: [Name, !Ref Names, {"${Name}": true}]
          Other:
            Type: AWS::DynamoDB::Table
            Properties: {BillingMode: PAY_PER_REQUEST}
        """
    judgement = judged(text)
    assert outcomes(judgement, "recovery-off") == {"Table": {Outcome.UNKNOWN}, "Other": {Outcome.FAIL}}
    assert outcomes(judgement, "table-not-on-demand") == {"Table": {Outcome.PASS}, "Other": {Outcome.PASS}}
    known = judged(text, Names="DeletionProtectionEnabled")
    assert outcomes(known, "table-unprotected") == {"Table": {Outcome.PASS}, "Other": {Outcome.FAIL}}


def outcomes(judgement: Audit, rule: str) -> dict[str, set[Outcome]]:
    found: dict[str, set[Outcome]] = {}
    for finding in findings(judgement, rule):
        found.setdefault(finding.subject, set()).add(finding.outcome)
    return found


def verdicts(judgement: Audit) -> set[tuple[str, str, str]]:
    return {
        (result.rule.id, finding.outcome.value, finding.subject)
        for result in judgement.results
        for finding in result.findings
    }


# A template with loops and its twin without --------------------------------------------------------------------------

TWIN = """\
Description: A shop whose queues, functions and tables come in pairs
{transform}
Resources:
  Alerts: {{Type: AWS::SNS::Topic}}
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy: {{Version: '2012-10-17', Statement: []}}
{resources}
Outputs:
{outputs}
"""

BODY = """\
Table{id}:
  Type: AWS::DynamoDB::Table
  DeletionPolicy: Retain
  Properties:
    TableName: !Sub "shop-{id}"
    BillingMode: PAY_PER_REQUEST
    AttributeDefinitions: [{{AttributeName: id, AttributeType: S}}]
    KeySchema: [{{AttributeName: id, KeyType: HASH}}]
    SSESpecification: {{SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !Ref Key}}
Letters{id}: {{Type: AWS::SQS::Queue}}
Queue{id}:
  Type: AWS::SQS::Queue
  Properties:
    RedrivePolicy: {{deadLetterTargetArn: !GetAtt "Letters{id}.Arn", maxReceiveCount: 3}}
Role{id}:
  Type: AWS::IAM::Role
  Properties:
    AssumeRolePolicyDocument:
      Statement: [{{Effect: Allow, Principal: {{Service: lambda.amazonaws.com}}, Action: sts:AssumeRole}}]
    Policies:
      - PolicyName: own
        PolicyDocument:
          Statement:
            - {{Effect: Allow, Action: [dynamodb:PutItem, 'sqs:*'], Resource: !GetAtt [{getatt}, Arn]}}
Function{id}:
  Type: AWS::Lambda::Function
  Properties:
    Runtime: nodejs24.x
    Handler: index.handler
    Role: !GetAtt [{role}, Arn]
    Environment: {{Variables: {{TABLE: !Ref {table}, TOPIC: !Ref Alerts}}}}
    Code: {{ZipFile: 'exports.handler = async (event) => {{ console.log(event); return {{}}; }};'}}
Source{id}:
  Type: AWS::Lambda::EventSourceMapping
  Properties:
    FunctionName: !Ref {function}
    EventSourceArn: !GetAtt [{queue}, Arn]
"""

OUTPUT = """\
Table{id}Name:
  Description: the name of table {id}
  Value: !Ref {table}
"""


def twins() -> tuple[str, str]:
    """The shop with loops, and as one would write it without."""

    def looped(text: str, name: str) -> str:
        names = ("table", "role", "queue", "function")
        subs = {each: f'{{"Fn::Sub": "{each.title()}${{Id}}"}}' for each in names}
        body = text.format(id="${Id}", getatt='{"Fn::Sub": "Table${Id}"}', **subs)
        lines = textwrap.indent(body, " " * 8).replace(" " * 8, "      - ", 1)
        return f"  Fn::ForEach::{name}:\n      - Id\n      - [Orders, Carts]\n{lines}"

    def plain(text: str) -> str:
        made = ""
        for each in ("Orders", "Carts"):
            subs = {name: f"{name.title()}{each}" for name in ("table", "role", "queue", "function")}
            body = text.format(id=each, getatt=f"Table{each}", **subs)
            made += textwrap.indent(body, "  ")
        return made

    return (
        TWIN.format(transform=EXTENDED, resources=looped(BODY, "All"), outputs=looped(OUTPUT, "Names")),
        TWIN.format(transform="", resources=plain(BODY), outputs=plain(OUTPUT)),
    )


def test_a_loop_and_its_twin_have_the_same_answers() -> None:
    looped, plain = twins()
    one, other = judged(looped), judged(plain)
    assert one.diagnostics == other.diagnostics == ()
    assert {result.rule.id: result.verdict for result in one.results} == {
        result.rule.id: result.verdict for result in other.results
    }
    assert verdicts(one) == verdicts(other)
    assert len({rule for rule, verdict, _ in verdicts(one) if verdict == "fail"}) > 8
    assert len({rule for rule, verdict, _ in verdicts(one) if verdict == "pass"}) > 8


# What CloudFormation refuses -----------------------------------------------------------------------------------------

REFUSED = {
    "no collection": ("[Id]", "(4, 3) Fn::ForEach::L is no list of an identifier, a collection and a map"),
    "no map": ("[Id, [a], b]", "(4, 3) Fn::ForEach::L is no list of an identifier, a collection and a map"),
    "a text": ("[Id, a, {'T${Id}': {Type: T}}]", "(4, 3) the collection of Fn::ForEach::L is no list of texts"),
    "lists": ("[Id, [[a]], {'T${Id}': {Type: T}}]", "(4, 3) the collection of Fn::ForEach::L is no list of texts"),
    "a parameter that is no list": (
        "[Id, !Ref AWS::Region, {'T${Id}': {Type: T}}]",
        "(4, 3) the collection of Fn::ForEach::L is no list of texts",
    ),
    "a name without identifier": (
        "[Id, [a, b], {'Twice': {Type: T}}]",
        "(4, 33) Fn::ForEach makes Twice more than once, which CloudFormation refuses",
    ),
    "a name that is there": (
        "[Id, [x], {'A${Id}': {Type: T}}]",
        "(4, 30) Fn::ForEach makes Ax more than once, which CloudFormation refuses",
    ),
}


@pytest.mark.parametrize(("loop", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_loops_are_told(loop: str, said: str) -> None:
    text = f"Transform: AWS::LanguageExtensions\nResources:\n  Ax: {{Type: T}}\n  Fn::ForEach::L: {loop}\n"
    judgement = audit(text, "t.yaml", Settings(as_of=date(2026, 11, 22), region="us-east-1"), rules())
    assert [f"({one.span.line}, {one.span.column}) {one.message}" for one in judgement.diagnostics] == [said]


def nested(depth: int) -> str:
    body = "{'T" + "".join(f"${{I{level}}}" for level in range(depth)) + "': {Type: T}}"
    for level in reversed(range(depth)):
        body = f"{{Fn::ForEach::L{level}: [I{level}, [a, b], {body}]}}"
    return f"Transform: AWS::LanguageExtensions\nResources: {body}\n"


def test_five_loops_may_be_nested() -> None:
    assert len(document(nested(5)).resources.entries) == 2**5
    found = document(nested(6))
    assert "stands in 5 other loops" in found.source.diagnostics[0].message
    assert [macro.name for macro in found.macros] == ["Fn::ForEach::L5"]


def test_a_bomb_of_loops_is_no_template() -> None:
    many = f"[{', '.join(f'v{number}' for number in range(40))}]"
    with pytest.raises(TemplateError, match="the loops make more than 250,000 values"):
        document(nested(5).replace("[a, b]", many))
    with pytest.raises(TemplateError, match="the loops make more than 250,000 values"):
        document(nested(5).replace("{Type: T}", "{}").replace("[a, b]", many))
    empty = "{Fn::ForEach::A: [I, !Ref P, {Fn::ForEach::B: [J, !Ref P, {}]}]}"
    long = f"Parameters: {{P: {{Type: CommaDelimitedList, Default: '{','.join('a' * 1_000)}'}}}}\n"
    with pytest.raises(TemplateError, match="the loops make more than 250,000 values"):
        document(f"{EXTENDED}{long}Resources: {empty}\n")


def test_a_loop_needs_its_transform() -> None:
    text = "Resources:\n  A: {Type: T}\n  Fn::ForEach::L: [Id, [a], {'T${Id}': {Type: T}}]\n"
    judgement = judged(text)
    assert [macro.name for macro in judgement.template.macros] == ["Fn::ForEach::L"]
    message = "Fn::ForEach::L is not expanded: only AWS::LanguageExtensions does so, and Transform does not name it"
    assert [(one.level, one.span.point(), one.message) for one in judgement.diagnostics] == [
        ("warning", "t.yaml:3:3", message)
    ]


BROKEN = """
    Parameters: {Stage: {Type: String}}
    Conditions:
      IsProd: !And [!Condition IsLive, !Equals [!Ref Stgae, prod]]
      IsLive: !Not [!Condition IsProd]
      IsDone: !Or [!Condition IsDnoe, !Equals [!Ref Stage, prod]]
    Resources:
      Orders:
        Type: AWS::SQS::Queue
        Condition: IsProd
        DependsOn: [Leters]
        Properties:
          QueueName: !Sub ["${Stage}-${Own}-${HOME}-${!Kept}", {Own: !GetAtt Lettres.Arn}]
          RedrivePolicy: !If [IsPord, !Ref Stage, !Ref AWS::NoValue]
          Tags: [{Key: a, Value: !Ref AWS::StackNam}, {Key: b, Value: !Ref Elsewhere}, {Key: c, Value: !Ref Elsewhere}]
      Letters: {Type: AWS::SQS::Queue}
    Outputs:
      One: {Value: !GetAtt [Orders, Arn], Condition: IsProduction}
    """

NO_VALUE = "but the template declares no such resource or parameter"


def test_broken_references_are_told_once_each_with_their_place() -> None:
    judgement = judged(BROKEN)
    assert [(one.span.line, one.message) for one in judgement.diagnostics] == [
        (4, "the condition IsProd rests on itself: IsProd → IsLive → IsProd"),
        (4, f"Ref names 'Stgae', {NO_VALUE}; did you mean 'Stage'?"),
        (6, "Condition names 'IsDnoe', but the template declares no such condition; did you mean 'IsDone'?"),
        (11, "DependsOn names 'Leters', but the template declares no such resource; did you mean 'Letters'?"),
        (13, f"Fn::Sub names 'HOME', {NO_VALUE}; ${{!HOME}} would be text"),
        (13, "Fn::GetAtt names 'Lettres', but the template declares no such resource; did you mean 'Letters'?"),
        (14, "Fn::If names 'IsPord', but the template declares no such condition; did you mean 'IsProd'?"),
        (15, f"Ref names 'AWS::StackNam', {NO_VALUE}; did you mean 'AWS::StackName'?"),
        (15, f"Ref names 'Elsewhere', {NO_VALUE}"),
        (18, "Condition names 'IsProduction', but the template declares no such condition; did you mean 'IsProd'?"),
    ]
    assert [one.span.column for one in judgement.diagnostics[:4]] == [3, 45, 16, 17]
    assert {one.level for one in judgement.diagnostics} == {"warning"}


def test_circular_conditions_crash_nothing() -> None:
    every = Settings(as_of=date(2026, 11, 22), every_scenario=True)
    for judgement in (judged(BROKEN), *audits(template(dedent(BROKEN), "t.yaml"), every, rules())):
        assert all(result.error is None for result in judgement.results)
    itself = judged("Conditions: {A: !Not [!Condition A]}\nResources: {B: {Type: AWS::SNS::Topic, Condition: A}}\n")
    assert [one.message for one in itself.diagnostics] == ["the condition A rests on itself: A → A"]
    assert itself.template.resources.keys() == {"B"}


SAM = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  F: {Type: AWS::Serverless::Function}
Outputs:
  A: {Value: !GetAtt FRole.Arn}
  B: {Value: !Ref ServerlessRestApi}
  C: {Value: !Ref F.Version}
"""

MADE_ELSEWHERE = {
    "SAM": SAM,
    "a module": "Resources:\n  M: {Type: Own::Shop::Store::MODULE}\nOutputs: {A: {Value: !Ref MBucket}}\n",
    "a macro": "Transform: Own\nResources:\n  A: {Type: T}\nOutputs: {A: {Value: !Ref Anything}}\n",
    "a snippet in a bucket": "Resources:\n  A: {Type: T, DependsOn: B}\n"
    "  Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://bucket/b.yaml}}\n",
    "a loop": "Transform: AWS::LanguageExtensions\nParameters: {P: {Type: CommaDelimitedList}}\n"
    "Conditions: {Fn::ForEach::L: [I, !Ref P, {'Is${I}': !Equals [!Ref I, a]}], Any: !Not [!Condition IsA]}\n"
    "Resources:\n  A: {Type: T, Condition: IsA, DependsOn: Ba}\n"
    "  Fn::ForEach::M: [I, !Ref P, {'B${I}': {Type: T, Condition: 'Is${I}'}}]\n",
    "what a macro is given": "Resources:\n  A:\n    Type: T\n"
    "    Properties: {P: {Fn::Transform: {Name: O, Parameters: {P: !Ref Q}}}, R: !Transform {Name: O, Q: !Ref Q}}\n",
}


@pytest.mark.parametrize("text", MADE_ELSEWHERE.values(), ids=MADE_ELSEWHERE)
def test_names_that_something_else_may_declare_are_not_told(text: str) -> None:
    assert [one.message for one in judged(text).diagnostics if one.level == "warning"] == []


def test_a_name_that_sam_does_not_make_is_told() -> None:
    told = judged(SAM.replace("FRole", "TypoRole")).diagnostics
    assert [one.message for one in told] == ["Fn::GetAtt names 'TypoRole', but the template declares no such resource"]


@pytest.mark.parametrize("path", ["fixtures/reference/crowdfunding.yaml", "fixtures/audited/crowdfunding.yaml"])
def test_shipped_stacks_are_not_broken(path: str) -> None:
    assert judged((ROOT / path).read_text(encoding="utf-8"), path).diagnostics == ()


# Transforms and macros -----------------------------------------------------------------------------------------------

TABLES = """\
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      DeletionProtectionEnabled: false
      SSESpecification: {}
  Other: {Type: AWS::DynamoDB::Table}
"""

KNOWN = [
    "Transform: AWS::CodeDeployBlueGreen\n",
    "Transform: [AWS::SecretsManager-2020-07-23, AWS::LanguageExtensions]\n",
    "Transform: AWS::SecretsManager-2024-09-16\n",
    "Transform: AWS::Serverless-2016-10-31\n",
]


@pytest.mark.parametrize("head", KNOWN)
def test_transforms_of_known_effect_hide_nothing(head: str) -> None:
    assert verdicts(judged(head + TABLES)) == verdicts(judged(TABLES))
    assert judged(head + TABLES).diagnostics == ()


def test_a_macro_of_the_whole_template_leaves_what_holds_anyway() -> None:
    judgement = judged("Transform: [AWS::LanguageExtensions, Own]\n" + TABLES)
    assert outcomes(judgement, "recovery-off") == {"Table": {Outcome.UNKNOWN}, "Other": {Outcome.UNKNOWN}}
    assert outcomes(judgement, "table-unprotected") == {"Table": {Outcome.FAIL}, "Other": {Outcome.UNKNOWN}}
    (note,) = judgement.diagnostics
    assert (note.level, note.span.point()) == ("info", "t.yaml:1:38")
    assert note.message.startswith("the macro Own may rewrite the template")


@pytest.mark.parametrize("stack", ["fixtures/reference/crowdfunding.yaml", "fixtures/audited/crowdfunding.yaml"])
def test_no_macro_makes_a_gap_pass_or_a_pass_fail(stack: str) -> None:
    text = (ROOT / stack).read_text(encoding="utf-8")
    plain = {result.rule.id: result.verdict.value for result in judged(text, stack).results}
    for result in judged("Transform: Own\n" + text, stack).results:
        assert result.verdict.value in (plain[result.rule.id], "unknown"), result.rule.id


SCOPES = {
    "beside a property": ("Properties:", "Properties:\n      Fn::Transform: {Name: Own}", {"Table"}),
    "beside the attributes": ("  Table:\n", "  Table:\n    Fn::Transform: {Name: Own}\n", {"Table"}),
    "beside the resources": ("Resources:\n", "Resources:\n  Fn::Transform: {Name: Own}\n", {"Table", "Other"}),
    "deep in a property": ("SSESpecification: {}", "SSESpecification: {Fn::Transform: {Name: Own}}", set()),
    "beside the resources, only adding": (
        "Resources:\n",
        "Resources:\n  Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://b/t}}\n",
        set(),
    ),
}


@pytest.mark.parametrize(("at", "macro", "touched"), SCOPES.values(), ids=SCOPES)
def test_a_macro_touches_its_siblings_and_what_is_below_them(at: str, macro: str, touched: set[str]) -> None:
    found = outcomes(judged(TABLES.replace(at, macro, 1)), "recovery-off")
    assert found == {name: {Outcome.UNKNOWN if name in touched else Outcome.FAIL} for name in ("Table", "Other")}


def test_a_macro_reaches_below_its_siblings_and_a_snippet_does_not() -> None:
    text = """
        Resources:
          Bucket:
            Type: AWS::S3::Bucket
            Properties:
              Fn::Transform: {Name: %s, Parameters: {Location: s3://b/t}}
              VersioningConfiguration: {Other: x}
        """
    for name, kind in (("Own", Unknown), ("AWS::Include", Absent)):
        bucket = judged(text % name).template.resources["Bucket"]
        assert isinstance(bucket.at("VersioningConfiguration.Status"), kind)
        assert isinstance(bucket.at("BucketName"), Unknown)


def test_local_snippets_are_read(tmp_path: Path) -> None:
    (tmp_path / "topics.yaml").write_text("Topic:\n  Type: AWS::SNS::Topic\n", encoding="utf-8")
    (tmp_path / "more.json").write_text('{"Outputs": {"Name": {"Value": {"Ref": "Topic"}}}}', encoding="utf-8")
    (tmp_path / "protected.yaml").write_text("DeletionProtectionEnabled: true\n", encoding="utf-8")
    path = tmp_path / "t.yaml"
    text = """
        Transform: [{Name: AWS::Include, Parameters: {Location: ./more.json}}]
        Resources:
          Fn::Transform: {Name: AWS::Include, Parameters: {Location: topics.yaml}}
          Table:
            Type: AWS::DynamoDB::Table
            Properties:
              Fn::Transform: {Name: AWS::Include, Parameters: {Location: protected.yaml}}
              BillingMode: PAY_PER_REQUEST
        """
    path.write_text(dedent(text), encoding="utf-8")
    judgement = judged(text, str(path))
    assert judgement.diagnostics == ()
    assert judgement.template.macros == ()
    assert judgement.template.document.rewritten is False
    assert outcomes(judgement, "recovery-off") == {"Table": {Outcome.FAIL}}
    assert outcomes(judgement, "table-unprotected") == {"Table": {Outcome.PASS}}
    (gap,) = findings(judgement, "unencrypted-topic")
    assert (gap.evidence[0].span.file, gap.evidence[0].span.line) == (str(tmp_path / "topics.yaml"), 1)
    assert judgement.template.excerpt(gap.evidence[0].span) == "Topic:"
    assert judgement.template.document.outputs.keys["Name"].file == str(tmp_path / "more.json")


@pytest.mark.parametrize(
    ("location", "snippet", "said"),
    [
        ("s3://bucket/x.yaml", "A: {Type: AWS::SNS::Topic}", []),
        ("gone.yaml", "", ["the file 'gone.yaml' that AWS::Include names is not beside the template"]),
        ("../x.yaml", "", ["the file '../x.yaml' that AWS::Include names is not beside the template"]),
        ("x.yaml", "Table: {Type: AWS::SNS::Topic}", []),
        ("x.yaml", "[a list]", []),
    ],
)
def test_other_snippets_stay_macros(tmp_path: Path, location: str, snippet: str, said: list[str]) -> None:
    (tmp_path / "x.yaml").write_text(snippet, encoding="utf-8")
    path = tmp_path / "t.yaml"
    include = f"{{Name: AWS::Include, Parameters: {{Location: {location}}}}}"
    text = f"Resources:\n  Fn::Transform: {include}\n  Table: {{Type: T}}\n"
    path.write_text(text, encoding="utf-8")
    judgement = judged(text, str(path))
    assert [macro.name for macro in judgement.template.macros] == ["Fn::Transform"]
    assert [one.message for one in judgement.diagnostics] == said


def test_a_snippet_that_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("A: [\n", encoding="utf-8")
    path = tmp_path / "t.yaml"
    text = "Resources:\n  Fn::Transform: {Name: AWS::Include, Parameters: {Location: x.yaml}}\n  T: {Type: T}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError) as error:
        judged(text, str(path))
    assert error.value.span.file == str(tmp_path / "x.yaml")
