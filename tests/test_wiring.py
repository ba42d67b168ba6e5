"""The integration graph: what each trigger, grant and property means, and how the drawing is written."""

from __future__ import annotations

import re
from datetime import date

import pytest
from typer.testing import CliRunner

from cfaudit.cli import app
from cfaudit.load import load
from cfaudit.model.template import Template, build
from cfaudit.model.wires import Wire
from cfaudit.pipeline import Settings, audit
from cfaudit.render.graph import to_dot, to_mermaid
from cfaudit.report import graph_object
from cfaudit.resolve import Scenario, resolve
from stacks import AUDITED, REFERENCE

FUNCTION = "Type: AWS::Lambda::Function, Properties: {FunctionName: work-%s, Role: %s}"
F = f"  F: {{{FUNCTION % ('f', '!ImportValue role')}}}\n"


def template(resources: str, head: str = "") -> Template:
    text = f"Parameters: {{Where: {{Type: String}}}}\n{head}\nResources:\n{resources}"
    return build(resolve(load(text, "t.yaml"), Scenario()))


def role(name: str, service: str, action: str, resource: str) -> str:
    return f"""
  {name}:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {{Statement: [{{Effect: Allow, Principal: {{Service: {service}.amazonaws.com}},
        Action: 'sts:AssumeRole'}}]}}
      Policies: [{{PolicyName: p, PolicyDocument: {{Statement: [{{Effect: Allow, Action: {action},
        Resource: {resource}}}]}}}}]
"""


def told(wires: tuple[Wire, ...]) -> list[tuple[str, str, str, bool]]:
    return [(wire.kind, wire.source, wire.way, wire.certain) for wire in wires]


@pytest.mark.parametrize(
    ("trigger", "source", "way"),
    [
        ("Type: AWS::Events::Rule, Properties: {Targets: [{Id: a, Arn: !GetAtt F.Arn}]}", "T", "property"),
        ("Type: AWS::Scheduler::Schedule, Properties: {Target: {Arn: !Ref Live}}", "T", "property"),
        ("Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Topic, Endpoint: !Ref Live}", "Topic", "property"),
        ("Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Where, Endpoint: !Ref Live}", "T", "property"),
        ("Type: AWS::Lambda::Url, Properties: {TargetFunctionArn: !Ref F}", "T", "property"),
        (
            "Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !Ref Where, FunctionName: work-f}",
            "T",
            "mapping",
        ),
        (
            "Type: AWS::Logs::SubscriptionFilter, Properties: {LogGroupName: !Ref Logs, DestinationArn: !GetAtt F.Arn}",
            "Logs",
            "property",
        ),
        ("Type: Custom::Thing, Properties: {ServiceToken: !GetAtt F.Arn}", "T", "custom resource"),
        ("Type: AWS::Unheard::Of, Properties: {Deep: [{Handler: !GetAtt F.Arn}]}", "T", "property"),
        (
            "Type: AWS::Unheard::Of, Properties: {Arn: 'arn:aws:lambda:eu-west-1:1:function:work-f:live'}",
            "T",
            "property",
        ),
        (
            "Type: AWS::Lambda::Permission, Properties: {FunctionName: !Ref F, Action: 'lambda:InvokeFunction',"
            " Principal: s3.amazonaws.com}",
            "s3.amazonaws.com",
            "permission",
        ),
    ],
)
def test_triggers(trigger: str, source: str, way: str) -> None:
    found = template(
        F
        + """
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, FunctionVersion: '1', Name: live}}
  Topic: {Type: AWS::SNS::Topic}
  Logs: {Type: AWS::Logs::LogGroup}
"""
        + f"  T: {{{trigger}}}\n"
    )
    assert told(found.wiring.into("F", "invokes")) == [("invokes", source, way, True)]


@pytest.mark.parametrize(
    "resource",
    [
        "Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub '/aws/lambda/${F}'}",
        "Type: AWS::CloudWatch::Alarm, Properties: {Dimensions: [{Name: FunctionName, Value: !Ref F}]}",
        'Type: AWS::CloudWatch::Dashboard, Properties: {DashboardBody: !Sub \'{"a": "${F}"}\'}',
        "Type: AWS::Unheard::Of, Properties: {Description: !Sub 'for ${F}', Tags: [{Key: f, Value: !Ref F}]}",
        "Type: AWS::Unheard::Of, Properties: {Name: work-f}",
        "Type: AWS::Events::Rule, Properties: {EventPattern: {resources: [!GetAtt F.Arn]}}",
        "Type: AWS::CloudTrail::Trail, Properties: {EventSelectors: [{DataResources: [{Values: [!GetAtt F.Arn]}]}]}",
        "Type: AWS::IAM::Policy, Properties: {PolicyDocument: {Statement: [{Effect: Deny, Action: '*',"
        " Resource: !GetAtt F.Arn}]}}",
    ],
)
def test_what_invokes_nothing(resource: str) -> None:
    assert not template(f"{F}  T: {{{resource}}}\n").wiring.into("F", "invokes")


def test_a_grant_counts_for_whoever_runs_as_the_role() -> None:
    body = F + f"  G: {{{FUNCTION % ('g', '!GetAtt Runs.Arn')}}}\n"
    found = template(
        body
        + role("Runs", "lambda", "'lambda:*'", "!Sub 'arn:aws:lambda:eu-west-1:1:function:work-f'")
        + role("Idle", "events", "'lambda:InvokeFunction'", "!GetAtt F.Arn")
    )
    assert told(found.wiring.into("F", "invokes")) == [
        ("invokes", "G", "grant", True),
        ("invokes", "Idle", "grant", False),
    ]


def test_a_grant_on_everything_is_broad() -> None:
    body = F + f"  G: {{{FUNCTION % ('g', '!GetAtt Runs.Arn')}}}\n"
    wiring = template(body + role("Runs", "lambda", "'lambda:InvokeFunction'", "'*'")).wiring
    assert not wiring.into("F", "invokes")
    assert told(wiring.broad) == [("invokes", "G", "grant", False)]


@pytest.mark.parametrize(
    ("name", "pattern", "certain"),
    [
        ("work-%d", "'arn:aws:lambda:*:*:function:work-*'", True),
        ("!Sub '${Where}-%d'", "!Sub 'arn:aws:lambda:*:*:function:${Where}-*'", True),
        ("!Ref AWS::NoValue", "!Sub 'arn:aws:lambda:*:*:function:${AWS::StackName}-*'", True),
        ("!Ref AWS::NoValue", "'arn:aws:lambda:*:*:function:work-*'", False),
        ("!Ref AWS::NoValue", "!Sub 'arn:aws:lambda:*:*:function:${Where}-*'", False),
    ],
)
def test_a_pattern_that_many_roles_have_is_told_once(name: str, pattern: str, certain: bool) -> None:
    functions = "".join(
        f"  F{i}: {{Type: AWS::Lambda::Function, Properties: {{FunctionName: {name.replace('%d', str(i))},"
        f" Role: !GetAtt R{i}.Arn}}}}\n" + role(f"R{i}", "lambda", "'lambda:InvokeFunction'", pattern)
        for i in range(20)
    )
    wiring = template(functions).wiring
    (spread,) = wiring.spreads
    assert (len(spread.wires), len(spread.targets)) == (20, 20)
    assert told(wiring.into("F0", "invokes")) == [("invokes", "F1", "grant", certain)]
    assert len([wire for wire in wiring.shown() if wire.kind == "invokes"]) == 19 + 19  # not 20 times 19


def test_a_pattern_reaches_only_what_begins_like_it() -> None:
    found = template(
        "  F: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub '${Where}-work'}}\n"
        "  G: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub '${Where}-other'}}\n"
        "  U: {Type: AWS::IAM::User, Properties: {Policies: [{PolicyName: p, PolicyDocument: {Statement: [{Effect:"
        " Allow, Action: 'lambda:*', Resource: !Sub 'arn:aws:lambda:*:*:function:${Where}-work*'}]}}]}}\n"
    ).wiring
    assert told(found.into("F", "invokes")) == [("invokes", "U", "grant", True)]
    assert not found.into("G", "invokes")


@pytest.mark.parametrize(("resource", "certain"), [("'*'", True), ("'arn:aws:sns:*:*:other'", False)])
def test_a_variable_is_certain_with_a_grant(resource: str, certain: bool) -> None:
    found = template(
        """
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: news}}
  F: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt Runs.Arn, Environment: {Variables: {T: !Ref Topic}}}}
"""
        + role("Runs", "lambda", "'sns:Publish'", resource)
    )
    assert told(found.wiring.into("Topic", "publishes")) == [("publishes", "F", "variable", certain)]


def test_sam_events_and_connectors() -> None:
    found = template(
        """
  Queue: {Type: AWS::SQS::Queue}
  M: {Type: AWS::Serverless::StateMachine, Properties: {Events: {Go: {Type: ScheduleV2}}}, Connectors: {C: {
    Properties: {Destination: [{Id: F}], Permissions: [Write]}}}}
  F: {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live, Events: {Q: {Type: SQS, Properties: {
    Queue: !GetAtt Queue.Arn}}, Clock: {Type: Schedule}, Get: {Type: HttpApi}}}}
""",
        "Transform: AWS::Serverless-2016-10-31",
    )
    assert told(found.wiring.into("M", "starts")) == [("starts", "MGo", "event", True)]
    assert told(found.wiring.into("F", "invokes")) == [
        ("invokes", "ServerlessHttpApi", "route", True),
        ("invokes", "Queue", "event", True),
        ("invokes", "FClock", "event", True),
        ("invokes", "M", "connector", True),
    ]
    assert {wire.qualifier for wire in found.wiring.into("F", "invokes")} == {"live", None}


def test_keys_roles_and_acls_point_the_right_way() -> None:
    found = template(
        """
  Key: {Type: AWS::KMS::Key}
  Alias: {Type: AWS::KMS::Alias, Properties: {TargetKeyId: !Ref Key}}
  Queue: {Type: AWS::SQS::Queue, Properties: {KmsMasterKeyId: !Ref Alias}}
  Api: {Type: AWS::ApiGateway::RestApi}
  Stage: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: live}}
  Acl: {Type: AWS::WAFv2::WebACL}
  Guard: {Type: AWS::WAFv2::WebACLAssociation, Properties: {WebACLArn: !GetAtt Acl.Arn,
    ResourceArn: !Sub 'arn:aws:apigateway:eu-west-1::/restapis/${Api}/stages/${Stage}'}}
"""
    )
    wires = {(wire.kind, wire.source, wire.target) for wire in found.wiring.shown()}
    assert wires == {("encrypts", "Key", "Queue"), ("protects", "Acl", "Api")}


# The drawing ---------------------------------------------------------------------------------------------------------

NODE = re.compile(r'    (\w+)\["[^"\[\]]+"\]\Z')
ARROW = re.compile(r'  (\w+) (?:-->|-\.->)\|"[^"|]+"\| (\w+)\Z')
CLASS = re.compile(r"  class ([\w,]+) \w+\Z")
OTHER = re.compile(r'%% .*|flowchart LR|  subgraph \w+\["[\w ]+"\]|  end|  classDef \w+ [\w:#,\- ]+\Z')

ODD = """
Resources:
  end: {Type: AWS::SQS::Queue}
  class: {Type: AWS::Lambda::Function, Properties: {}}
  "a \\"b\\" <c> #|`": {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !GetAtt end.Arn,
    FunctionName: !Ref class}}
  "x-->y": {Type: AWS::Events::Rule, Properties: {Targets: [{Arn: !GetAtt class.Arn}]}}
"""


def written(text: str) -> tuple[set[str], set[str]]:
    """The boxes of a Mermaid text, and what its arrows and classes refer to; every line must be of a known form."""
    boxes: set[str] = set()
    named: set[str] = set()
    for line in text.splitlines():
        if match := NODE.match(line):
            boxes.add(match[1])
        elif match := ARROW.match(line):
            named |= {match[1], match[2]}
        elif match := CLASS.match(line):
            named |= set(match[1].split(","))
        else:
            assert OTHER.fullmatch(line), line
    return boxes, named


@pytest.mark.parametrize("path", [AUDITED, REFERENCE, None], ids=["audited", "reference", "odd"])
def test_mermaid_is_well_formed(path: object) -> None:
    text = path.read_text(encoding="utf-8") if hasattr(path, "read_text") else ODD
    drawn = graph_object(audit(text, "t.yaml", Settings(date(2026, 11, 22))))
    boxes, named = written(to_mermaid(drawn, "t.yaml"))
    assert named <= boxes
    assert not boxes & {"end", "class"}
    assert len(boxes) == len(drawn["nodes"])
    dot = to_dot(drawn, "t.yaml")
    assert dot.count("{") == dot.count("}")
    assert all(line.count('"') % 2 == 0 for line in dot.replace('\\"', "").splitlines())


def test_gaps_are_drawn() -> None:
    drawn = graph_object(audit(AUDITED.read_text(encoding="utf-8"), "t.yaml", Settings(date(2026, 11, 22))))
    boxes = {node["id"]: node for node in drawn["nodes"]}
    assert "uninvoked-function" in boxes["ContributionScreeningFunction"]["gaps"]
    assert boxes["missing_fraud_screening"]["gaps"] == ["missing-fraud-detector"]
    edges = {(edge["source"], edge["target"]): edge for edge in drawn["edges"]}
    needed = edges["PaymentProcessingFunction", "missing_fraud_screening"]
    assert (needed["kinds"], needed["state"], needed["line"]) == (["needs"], "missing", 545)
    assert edges["CampaignManagementFunction", "CampaignDeadlinesTopic"]["state"] == "named"
    assert edges["CampaignManagementFunction", "CampaignsTable"]["kinds"] == ["reads", "writes"]
    assert not any(target == "ContributionScreeningFunction" for _, target in edges)


@pytest.mark.parametrize(("format_", "first"), [("mermaid", "%% "), ("dot", "digraph ")])
def test_command(format_: str, first: str) -> None:
    arguments = ["graph", str(AUDITED), "--format", format_, "--as-of", "2026-11-22"]
    runs = [CliRunner().invoke(app, arguments) for _ in range(2)]
    assert [run.exit_code for run in runs] == [0, 0]
    assert runs[0].stdout.startswith(first)
    assert runs[0].stdout == runs[1].stdout
