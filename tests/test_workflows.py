"""Workflows as the checks see them: every form of a definition, spans, calls, choices, the graph, malformed ones."""

from __future__ import annotations

import json
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cfaudit import data
from cfaudit.load import load
from cfaudit.model.dataflow import Origin, origins, path_steps
from cfaudit.model.invocations import Target
from cfaudit.model.states import State
from cfaudit.model.template import Template, build
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Deferred, Map, Reference, Scalar, Seq, Span, Unknown, Value
from cfaudit.resolve import Scenario, resolve, scenarios
from cfaudit.sources.local import beside
from rewrites import dumped, parsed
from stacks import AUDITED, REFERENCE


def template(text: str, path: str = "template.yaml", **parameters: str) -> Template:
    source = load(textwrap.dedent(text), path)
    branches, _ = scenarios(source, Scenario(parameters=parameters))
    return build(resolve(source, branches[0]), beside(path))


def workflow(text: str, path: str = "template.yaml", **parameters: str) -> Workflow:
    (found,) = template(text, path, **parameters).workflows.values()
    return found


def machine(definition: str, more: str = "") -> str:
    """A template with one state machine and what it calls; ``definition`` are the lines of its properties."""
    head = """\
Resources:
  Function: {Type: AWS::Lambda::Function, Properties: {Runtime: nodejs24.x}}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Function, FunctionVersion: '1', Name: live}}
  Topic: {Type: AWS::SNS::Topic}
  Table: {Type: AWS::DynamoDB::Table}
  Queue: {Type: AWS::SQS::Queue}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
"""
    own = "  Machine:\n    Type: AWS::StepFunctions::StateMachine\n    Properties:\n      RoleArn: !GetAtt Role.Arn\n"
    return textwrap.dedent(more) + head + own + textwrap.indent(textwrap.dedent(definition), " " * 6)


def written(states: object, start: str | None = None, **more: object) -> Workflow:
    """A workflow whose definition is given as values."""
    first = start or (next(iter(states)) if isinstance(states, dict) else "")
    return workflow(machine(f"Definition: {json.dumps({'StartAt': first, 'States': states, **more})}\n"))


def plain(value: Value) -> object:
    match value:
        case Scalar(text, _, kind):
            return (text, kind) if kind != "str" else text
        case Seq(items):
            return [plain(item) for item in items]
        case Map(entries):
            return {name: plain(item) for name, item in entries.items()}
        case Unknown(_, parts):
            return parts
        case Absent():
            return None


def shape(found: Workflow) -> object:
    """Everything about a workflow but where it stands."""
    return [
        (
            state.key,
            state.type,
            state.parent,
            plain(state.body),
            [way[:2] for way in state.transitions],
            [
                (call.integration.name, [(act.argument, act.resource and act.resource.logical_id) for act in call.acts])
                for call in state.calls
            ],
        )
        for state in found.states.values()
    ]


def text_at(found: Workflow, span: Span, text: str) -> str:
    """The text of a template that a span of one line covers."""
    assert span.line == span.end_line
    return text.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


# The shipped stacks


def shipped(path: Path) -> tuple[Workflow, str]:
    text = path.read_text(encoding="utf-8")
    return workflow(text, str(path)), text


def test_the_audited_stack() -> None:
    found, text = shipped(AUDITED)
    assert (found.status, found.principal, found.language, found.express) == (
        "readable",
        "MilestoneWorkflowRole",
        "JSONPath",
        False,
    )
    assert [(state.name, state.type) for state in found.states.values()] == [
        ("ValidateMilestone", "Task"),
        ("CheckMilestoneStatus", "Choice"),
        ("NotifyMilestoneReached", "Task"),
        ("WaitForApproval", "Wait"),
        ("ProcessFundRelease", "Task"),
        ("NotifyFundsReleased", "Task"),
        ("MilestoneNotReached", "Succeed"),
        ("MilestoneFailed", "Fail"),
    ]
    assert (found.dangling, found.unreachable, found.problems, found.placeholders) == ((), (), (), ())
    lines = {text_at(found, state.span, text) for state in found.states.values()}
    assert lines == {f'"{name}"' for name in found.states}
    validate = found.states["ValidateMilestone"]
    assert text_at(found, validate.where("Resource"), text) == '"Resource": "${CampaignManagementFunction.Arn}"'
    assert validate.at("Resource") == Unknown(
        validate.at("Resource").span, (Reference("CampaignManagementFunction", "Arn"),)
    )
    assert validate.call is not None
    assert validate.call.function == Target("CampaignManagementFunction")
    assert [found.caught_by(catch, validate) for catch in validate.catches] == [found.states["MilestoneFailed"]]
    assert text_at(found, validate.catches[0].next.span if validate.catches[0].next else found.span, text) == (
        '"Next": "MilestoneFailed"'
    )
    release = found.states["ProcessFundRelease"]
    assert (release.retries[0].takes("States.TaskFailed"), plain(release.retries[0].max_attempts)) == (
        True,
        ("3", "int"),
    )
    assert release.catches == ()
    (rule,) = found.states["CheckMilestoneStatus"].rules
    assert rule.tests[0].unguarded == ("$.milestoneReached",)
    assert text_at(found, rule.tests[0].span, text) == '"Variable": "$.milestoneReached"'
    (origin,) = origins(found, found.states["CheckMilestoneStatus"], "$.milestoneReached")
    assert (origin.kind, origin.state, origin.returned) == ("result", validate, ("milestoneReached",))
    assert not any(state.waits_for_token for state in found.states.values())
    fail = found.failures[0]
    assert isinstance(fail.at("Error"), Absent)
    assert fail.at("Error").span == fail.span


def test_the_reference() -> None:
    found, text = shipped(REFERENCE)
    assert (found.dangling, found.unreachable, found.problems) == ((), (), ())
    waiting = [state.name for state in found.states.values() if state.waits_for_token]
    assert waiting == ["WaitForApproval"]
    wait = found.states["WaitForApproval"]
    assert wait.integration is not None
    assert (wait.integration.name, wait.integration.actions) == (
        "aws-sdk:dynamodb:updateItem",
        ("dynamodb:UpdateItem",),
    )
    assert wait.token is not None
    assert text_at(found, wait.token, text) == "$$.Task.Token"
    screen = found.states["Screen"].call
    assert screen is not None
    assert screen.function == Target("ScreeningFunction", "live")
    for choice in ("IsClean", "IsApproved"):
        assert not any(test.unguarded for rule in found.states[choice].rules for test in rule.tests)
    (origin,) = origins(found, found.states["IsClean"], "$.screening.decision")
    assert origin.returned == ("decision",)


@pytest.mark.parametrize("path", [AUDITED, REFERENCE], ids=["audited", "reference"])
def test_json_twin(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert shape(workflow(dumped(parsed(text)), "twin.json")) == shape(workflow(text))


# The forms of a definition

STATES = {
    "Call": {"Type": "Task", "Resource": "${Function.Arn}", "Next": "Tell"},
    "Tell": {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": "${Topic}", "Message": 'it\'s "done"'},
        "Next": "Wait",
    },
    "Wait": {"Type": "Wait", "Seconds": 30, "Next": "Done"},
    "Done": {"Type": "Succeed"},
}
DEFINITION = json.dumps({"StartAt": "Call", "States": STATES}, indent=2)
SINGLE = DEFINITION.replace("'", "''")


def block(text: str) -> str:
    return textwrap.indent(text, "  ")


SUBSTITUTED = DEFINITION.replace("${Function.Arn}", "${FunctionArn}").replace("${Topic}", "${TopicArn}")
AS_VALUES = DEFINITION.replace('"${Function.Arn}"', "!GetAtt Function.Arn").replace('"${Topic}"', "!Ref Topic")
PIECES = (
    DEFINITION.replace("${Function.Arn}", "\0!GetAtt Function.Arn\0").replace("${Topic}", "\0!Ref Topic\0").split("\0")
)
JOINED = "\n".join(f"    - {piece if piece.startswith('!') else json.dumps(piece)}" for piece in PIECES)
FORMS = {
    "literal": f"DefinitionString: !Sub |\n{block(DEFINITION)}\n",
    "indicator": f"DefinitionString: !Sub |2-\n{block(DEFINITION)}\n\n",
    "folded": f"DefinitionString: !Sub >\n{block(DEFINITION)}\n",
    "single": f"DefinitionString: !Sub '{SINGLE}'\n",
    "double": f"DefinitionString: !Sub {json.dumps(DEFINITION)}\n",
    "long": f"DefinitionString:\n  Fn::Sub: |\n{block(block(DEFINITION))}\n",
    "map": f"DefinitionString: !Sub\n  - |\n{block(block(SUBSTITUTED))}\n"
    "  - {FunctionArn: !GetAtt Function.Arn, TopicArn: !Ref Topic}\n",
    "substitutions": f"DefinitionString: |\n{block(SUBSTITUTED)}\n"
    "DefinitionSubstitutions: {FunctionArn: !GetAtt Function.Arn, TopicArn: !Ref Topic}\n",
    "escaped": f"DefinitionString: !Sub |\n{block(SUBSTITUTED.replace('${', '${!'))}\n"
    "DefinitionSubstitutions: {FunctionArn: !GetAtt Function.Arn, TopicArn: !Ref Topic}\n",
    "join": f"DefinitionString: !Join\n  - ''\n  -\n{JOINED}\n",
    "definition": f"Definition:\n{block(AS_VALUES)}\n",
    "definition-substitutions": f"Definition:\n{block(SUBSTITUTED)}\n"
    "DefinitionSubstitutions: {FunctionArn: !GetAtt Function.Arn, TopicArn: !Ref Topic}\n",
    "to-json": f"DefinitionString:\n  Fn::ToJsonString:\n{block(block(AS_VALUES))}\n",
    "if": f"DefinitionString: !If [Yes, !Sub {json.dumps(DEFINITION)}, '{{}}']\n",
}
CONDITION = "Conditions: {Yes: !Equals [a, a]}\n"


@pytest.mark.parametrize("form", FORMS)
def test_forms_say_the_same(form: str) -> None:
    found = workflow(machine(FORMS[form], CONDITION))
    assert (found.status, found.reason) == ("readable", "")
    assert shape(found) == shape(workflow(machine(FORMS["literal"], CONDITION)))
    call, tell = found.states["Call"].call, found.states["Tell"].call
    assert call is not None
    assert tell is not None
    assert call.function == Target("Function")
    assert [act.resource and act.resource.logical_id for act in tell.acts] == ["Topic"]


@pytest.mark.parametrize(
    "form", [form for form in FORMS if form not in ("definition", "definition-substitutions", "to-json")]
)
def test_spans_inside_texts(form: str) -> None:
    text = machine(FORMS[form], CONDITION)
    found = workflow(text)
    tell = found.states["Tell"]
    quote = '\\"' if form in ("double", "join", "if") else '"'
    assert text_at(found, tell.span, text) == f"{quote}Tell{quote}"
    assert text_at(found, tell.transitions[0].span, text) == f"{quote}Next{quote}: {quote}Wait{quote}"
    assert text_at(found, found.states["Wait"].where("Seconds"), text) == f"{quote}Seconds{quote}: 30"
    if form not in ("join",):
        topic = "TopicArn" if form in ("map", "substitutions", "escaped") else "Topic"
        hole = f"${{!{topic}}}" if form == "escaped" else f"${{{topic}}}"
        assert text_at(found, tell.argument("TopicArn").value.span, text) == f"{quote}{hole}{quote}"


def test_spans_of_a_join_point_at_the_members() -> None:
    text = machine(FORMS["join"])
    found = workflow(text)
    resource = found.states["Call"].at("Resource")
    assert "!GetAtt Function.Arn" in "\n".join(text.split("\n")[resource.span.line - 1 : resource.span.end_line])


def test_spans_in_a_json_template() -> None:
    text = dumped(parsed(machine(FORMS["literal"])))
    found = workflow(text, "template.json")
    assert text_at(found, found.states["Tell"].span, text) == '\\"Tell\\"'
    assert text_at(found, found.states["Wait"].where("Seconds"), text) == '\\"Seconds\\": 30'


def test_holes_without_quotes() -> None:
    text = machine(
        """\
        DefinitionString: !Sub |
          {"StartAt": "A", "States": {
            "A": {"Type": "Wait", "Seconds": ${Seconds}, "Next": "B"},
            "B": {"Type": "Wait", "Seconds": 1${Open}0, "End": ${Ends}}}}
        DefinitionSubstitutions: {Ends: true}
        """,
        "Parameters: {Seconds: {Type: Number, Default: 5}, Open: {Type: Number}}\n",
    ).replace("${Ends}", "${!Ends}")
    found = workflow(text)
    assert found.status == "readable"
    assert plain(found.states["A"].at("Seconds")) == ("5", "int")
    assert plain(found.states["B"].at("Seconds")) == ("1", Deferred("parameter", "Open"), "0")
    assert found.states["B"].end is True
    assert text_at(found, found.states["B"].at("Seconds").span, text) == "1${Open}0"


def test_a_dynamic_reference_is_a_hole() -> None:
    text = '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "{{resolve:ssm:/arn}}", "End": true}}}'
    found = workflow(machine(f"DefinitionString: '{text}'\n"))
    assert plain(found.states["A"].at("Resource")) == (Deferred("dynamic", "ssm:/arn"),)
    assert found.states["A"].integration is not None
    assert found.states["A"].integration.kind == "unknown"


def test_placeholders_that_nothing_fills() -> None:
    text = machine(
        """\
        DefinitionString: |
          {"StartAt": "A", "States": {"A": {"Type": "Pass", "QueryLanguage": "JSONata", "End": true,
            "Comment": "${Lost} ${Found}", "Output": "{% ${id: 1} %}"}}}
        DefinitionSubstitutions: {Found: here}
        """
    )
    found = workflow(text)
    assert [(left.name, text_at(found, left.span, text)) for left in found.placeholders] == [("Lost", "${Lost}")]
    assert plain(found.states["A"].at("Comment")) == "${Lost} here"


def test_sam_definition() -> None:
    found = workflow(
        """\
        Transform: AWS::Serverless-2016-10-31
        Resources:
          Function: {Type: AWS::Serverless::Function, Properties: {AutoPublishAlias: live}}
          Machine:
            Type: AWS::Serverless::StateMachine
            Properties:
              Type: EXPRESS
              Definition:
                StartAt: A
                States: {A: {Type: Task, Resource: "${Arn}", End: true}}
              DefinitionSubstitutions: {Arn: !Ref Function.Alias}
        """
    )
    assert (found.principal, found.express) == ("Machine", True)
    assert found.tasks[0].call is not None
    assert found.tasks[0].call.function == Target("Function", "live")


FILE = """\
{
  "StartAt": "A",
  "States": {
    "A": {"Type": "Task", "Resource": "${Arn}", "TimeoutSeconds": ${Seconds}, "End": true}
  }
}
"""
FILE_YAML = "StartAt: A\nStates:\n  A: {Type: Task, Resource: '${Arn}', TimeoutSeconds: 5, End: true}\n"


@pytest.mark.parametrize(("name", "text"), [("machine.asl.json", FILE), ("machine.asl.yaml", FILE_YAML)])
@pytest.mark.parametrize("prefix", ["", "./", "sub/../"])
def test_definition_uri(tmp_path: Path, name: str, text: str, prefix: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text(text)
    path = tmp_path / "template.yaml"
    path.write_text(SAM_URI.replace("URI", f"{prefix}{name}"))
    held = template(path.read_text(), str(path))
    found = held.workflows["Machine"]
    assert (found.status, found.property_path) == ("readable", "DefinitionUri")
    state = found.states["A"]
    assert state.call is not None
    assert state.call.function == Target("Function")
    assert plain(state.timeout) == ("5", "int")
    span = state.where("Resource")
    assert span.file == str(tmp_path / name)
    assert "${Arn}" in text.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]
    assert "Resource" in held.excerpt(span)


SAM_URI = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Function: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs24.x}}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: URI
      DefinitionSubstitutions: {Arn: !GetAtt Function.Arn, Seconds: 5}
"""


@pytest.mark.parametrize(
    "uri", ["missing.json", "s3://bucket/key", "{Bucket: b, Key: k}", "../outside.json", "/etc/passwd", "!Ref X", "sub"]
)
def test_a_definition_that_is_not_here(tmp_path: Path, uri: str) -> None:
    (tmp_path / "outside.json").write_text("{}")
    (tmp_path / "inner" / "sub").mkdir(parents=True)
    path = tmp_path / "inner" / "template.yaml"
    path.write_text("Parameters: {X: {Type: String}}\n" + SAM_URI.replace("URI", uri))
    found = workflow(path.read_text(), str(path))
    assert (found.status, bool(found.reason), found.states, found.dangling, found.reached) == (
        "unreadable",
        True,
        {},
        (),
        frozenset(),
    )


@pytest.mark.parametrize(
    "properties",
    [
        "DefinitionS3Location: {Bucket: b, Key: k}\n",
        "DefinitionString: !Ref Given\n",
        "DefinitionString: !ImportValue there\n",
        "DefinitionString: !Sub '{\"StartAt\": ${Given}: 1}'\n",
        "Definition: {'Fn::Transform': {Name: AWS::Include, Parameters: {Location: s3://a/b}}}\n",
        "Comment: none\n",
        'DefinitionString: \'{"StartAt": "A", "StartAt": "B"}\'\n',
        f"DefinitionString: '{'[' * 200}'\n",
    ],
)
def test_unreadable(properties: str) -> None:
    found = workflow(machine(properties, "Parameters: {Given: {Type: String}}\n"))
    assert (found.status, bool(found.reason)) == ("unreadable", True)


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        ('DefinitionString: |\n  {"StartAt": "A",\n   "States": {"A": {"Type": "Pass" "End": true}}}\n', '"End'),
        ("DefinitionString: !Sub |\n  {'StartAt': '${Topic}'}\n", "'StartAt"),
        ("DefinitionString: |\n  StartAt: A\n  States: {}\n", "StartAt: A"),
        ('DefinitionString: "{\\"StartAt\\": }"\n', '}"'),
        ('DefinitionString: ""\n', '""'),
        ("DefinitionString: {StartAt: A, States: {A: {Type: Succeed}}}\n", "{StartAt"),
        ("DefinitionString: [a]\n", "[a]"),
        ("Definition: [a]\n", "[a]"),
        ("DefinitionString: '[]'\n", "[]"),
    ],
)
def test_broken(properties: str, place: str) -> None:
    text = machine(properties)
    found = workflow(text)
    assert (found.status, bool(found.reason)) == ("broken", True)
    line = text.split("\n")[found.span.line - 1]
    assert line[found.span.column - 1 :].startswith(place)


# Calls


@pytest.mark.parametrize(
    ("resource", "name", "pattern", "actions"),
    [
        ("arn:aws:states:::lambda:invoke", "lambda:invoke", "request", ("lambda:InvokeFunction",)),
        (
            "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "lambda:invoke",
            "waitForTaskToken",
            ("lambda:InvokeFunction",),
        ),
        ("arn:aws-cn:states:::sqs:sendMessage", "sqs:sendMessage", "request", ("sqs:SendMessage",)),
        ("arn:aws:states:::dynamodb:putItem", "dynamodb:putItem", "request", ("dynamodb:PutItem",)),
        ("arn:aws:states:::events:putEvents", "events:putEvents", "request", ("events:PutEvents",)),
        ("arn:aws:states:::states:startExecution.sync:2", "states:startExecution", "sync", ("states:StartExecution",)),
        (
            "arn:aws:states:::aws-sdk:sfn:startExecution",
            "aws-sdk:sfn:startExecution",
            "request",
            ("states:StartExecution",),
        ),
        ("arn:aws:states:::aws-sdk:lambda:invoke", "aws-sdk:lambda:invoke", "request", ("lambda:InvokeFunction",)),
        (
            "arn:aws:states:::aws-sdk:cloudwatchlogs:putLogEvents",
            "aws-sdk:cloudwatchlogs:putLogEvents",
            "request",
            ("logs:PutLogEvents",),
        ),
        ("arn:aws:states:::apigateway:invoke", "apigateway:invoke", "request", ("execute-api:Invoke",)),
        (
            "arn:aws:states:::elasticmapreduce:createCluster.sync",
            "elasticmapreduce:createCluster",
            "sync",
            ("elasticmapreduce:RunJobFlow",),
        ),
        ("arn:aws:states:::aws-sdk:nowhere:doIt", "aws-sdk:nowhere:doIt", "request", None),
        (
            "arn:aws:states:::aws-sdk:databasemigration:startReplicationTask",
            "aws-sdk:databasemigration:startReplicationTask",
            "request",
            ("dms:StartReplicationTask",),
        ),
        ("arn:aws:states:::aws-sdk:sts:getCallerIdentity", "aws-sdk:sts:getCallerIdentity", "request", ()),
        ("arn:aws:lambda:eu-west-1:123456789012:function:F:live", "function", "request", ("lambda:InvokeFunction",)),
        ("arn:aws:states:eu-west-1:123456789012:activity:approve", "activity", "request", ()),
        ("what is this", "unknown", "request", None),
    ],
)
def test_integrations(resource: str, name: str, pattern: str, actions: tuple[str, ...] | None) -> None:
    (task,) = written({"A": {"Type": "Task", "Resource": resource, "End": True}}).tasks
    found = task.integration
    assert found is not None
    assert (found.name, found.pattern, found.actions) == (name, pattern, actions)


def test_waiting_for_a_job_needs_more() -> None:
    found = written(
        {
            "A": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "Next": "B"},
            "B": {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "End": True},
        }
    )
    first, second = (task.integration for task in found.tasks)
    assert first is not None
    assert second is not None
    assert (first.version, first.prefix) == ("2", "states")
    assert first.job_actions is not None
    assert "events:PutRule" in first.job_actions
    assert second.job_actions is None


def test_every_action_of_the_table_exists() -> None:
    table = json.loads((Path(data.__file__).parent / "integrations.json").read_text())
    for name in (*table["calls"], *table["job"]):
        service, _, operation = name.partition(":")
        needs = data.integration_needs(service, operation)
        assert needs.calls
        assert needs.source is not None
        assert needs.source.startswith("https://docs.aws.amazon.com/step-functions/")


def test_what_calls_act_on() -> None:
    found = workflow(
        machine(
            """\
            DefinitionString: !Sub |
              {"StartAt": "Invoke", "States": {
                "Invoke": {"Type": "Task", "Resource": "arn:${AWS::Partition}:states:::lambda:invoke", "Next": "Send",
                  "Parameters": {"FunctionName": "${Live}", "Payload": {"TableName": "${Table}"}}},
                "Send": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Next": "Write",
                  "Parameters": {"QueueUrl": "${Queue}", "MessageBody.$": "$"}},
                "Write": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems",
                  "Parameters": {"TransactItems": [{"Put": {"TableName": "${Table}", "Item": {}}}]}, "Next": "Input"},
                "Input": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Next": "Else",
                  "Parameters": {"TopicArn.$": "$.topic", "Message": "${Table}"}},
                "Else": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "End": true,
                  "Parameters": {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:other", "Message": "x"}}}}
            """
        )
    )
    acts = {
        state.name: [(act.argument, act.resource and act.resource.logical_id, act.computed) for act in call.acts]
        for state, call in found.calls
    }
    assert acts == {
        "Invoke": [("FunctionName", "Function", False)],
        "Send": [("QueueUrl", "Queue", False)],
        "Write": [("TableName", "Table", False)],
        "Input": [("TopicArn", None, True)],
        "Else": [("TopicArn", None, False)],
    }
    invoke = found.states["Invoke"].call
    assert invoke is not None
    assert invoke.function == Target("Function", "live")
    assert found.states["Send"].argument("MessageBody").computed
    assert found.states["Input"].argument("Message").computed is False
    assert isinstance(found.states["Input"].argument("Subject").value, Absent)


def test_state_machine_aliases() -> None:
    found = template(
        """\
        Resources:
          Child: {Type: AWS::StepFunctions::StateMachine, Properties: {DefinitionString: '{}'}}
          Version: {Type: AWS::StepFunctions::StateMachineVersion, Properties: {StateMachineArn: !Ref Child}}
          Alias:
            Type: AWS::StepFunctions::StateMachineAlias
            Properties: {RoutingConfiguration: [{StateMachineVersionArn: !Ref Version, Weight: 100}]}
          Parent:
            Type: AWS::StepFunctions::StateMachine
            Properties:
              Definition:
                StartAt: A
                States:
                  A:
                    Type: Task
                    Resource: arn:aws:states:::states:startExecution
                    Parameters: {StateMachineArn: !Ref Alias}
                    Next: B
                  B:
                    Type: Task
                    Resource: arn:aws:states:::states:startExecution
                    Parameters: {StateMachineArn: !Ref Version}
                    End: true
        """
    ).workflows["Parent"]
    started = [act.resource and act.resource.logical_id for _, call in found.calls for act in call.acts]
    assert started == ["Child", "Child"]


def test_jsonata() -> None:
    found = written(
        {
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Arguments": {
                    "FunctionName": "{% $states.input.name %}",
                    "Payload": {"token": "{% $states.context.Task.Token %}"},
                },
                "TimeoutSeconds": "{% $t %}",
                "Output": {"answer": "{% $states.result.Payload.ok %}", "was": "{% $states.input.old %}"},
                "Next": "If",
            },
            "If": {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.answer = 'yes' and $states.input.was.x > 1 %}", "Next": "End"}
                ],
                "Default": "End",
            },
            "End": {"Type": "Succeed"},
        },
        QueryLanguage="JSONata",
    )
    ask, choice = found.states["Ask"], found.states["If"]
    assert (found.language, ask.language, ask.token is not None) == ("JSONata", "JSONata", True)
    assert ask.argument("FunctionName").computed
    assert plain(ask.timeout) == "{% $t %}"
    (test,) = choice.rules[0].tests
    assert (test.operator, test.paths) == ("Condition", ("$states.input.answer", "$states.input.was.x"))
    assert origins(found, choice, "$states.input.answer") == (Origin("result", ask, ("Payload", "ok")),)
    assert origins(found, choice, "$states.input.was.x") == (Origin("input", None, ("old", "x")),)
    assert origins(found, choice, "$states.input.gone") == (Origin("missing", ask, ("gone",)),)


# Choices

GUARDED = [
    ({"Variable": "$.a", "StringEquals": "x"}, [("$.a",)]),
    ({"And": [{"Variable": "$.a", "IsPresent": True}, {"Variable": "$.a", "StringEquals": "x"}]}, [(), ()]),
    ({"And": [{"Variable": "$.a", "StringEquals": "x"}, {"Variable": "$.a", "IsPresent": True}]}, [("$.a",), ()]),
    ({"Or": [{"Variable": "$.a", "IsPresent": False}, {"Variable": "$.a", "IsNull": True}]}, [(), ()]),
    ({"Or": [{"Variable": "$.a", "IsPresent": True}, {"Variable": "$.a", "IsNull": True}]}, [(), ("$.a",)]),
    ({"And": [{"Not": {"Variable": "$.a", "IsPresent": False}}, {"Variable": "$.a", "IsNull": True}]}, [(), ()]),
    ({"And": [{"Variable": "$.a.b", "IsPresent": True}, {"Variable": "$.a", "IsNull": True}]}, [(), ()]),
    ({"And": [{"Variable": "$.a", "IsPresent": True}, {"Variable": "$.a.b", "IsNull": True}]}, [(), ("$.a.b",)]),
    ({"Variable": "$.a", "StringEqualsPath": "$.b"}, [("$.a", "$.b")]),
    (
        {
            "And": [
                {"Variable": "$.a", "IsPresent": True},
                {"Or": [{"Variable": "$.a", "IsNull": True}, {"Variable": "$.b", "IsNull": True}]},
            ]
        },
        [(), (), ("$.b",)],
    ),
]


@pytest.mark.parametrize(("rule", "unguarded"), GUARDED)
def test_guards(rule: dict[str, object], unguarded: list[tuple[str, ...]]) -> None:
    found = written(
        {"If": {"Type": "Choice", "Choices": [{**rule, "Next": "End"}], "Default": "End"}, "End": {"Type": "Succeed"}}
    )
    assert [test.unguarded for test in found.states["If"].rules[0].tests] == unguarded


def test_an_earlier_rule_guards_a_later_one() -> None:
    choices = [
        {"Variable": "$.a", "IsPresent": False, "Next": "End"},
        {"Variable": "$.a", "IsNull": True, "Next": "End"},
    ]
    found = written({"If": {"Type": "Choice", "Choices": choices}, "End": {"Type": "Succeed"}})
    assert [test.unguarded for rule in found.states["If"].rules for test in rule.tests] == [(), ()]


@pytest.mark.parametrize(
    ("errors", "taken"),
    [
        (["States.ALL"], {"Mine", "States.TaskFailed", "States.Timeout"}),
        (["States.TaskFailed"], {"Mine", "States.TaskFailed"}),
        (["States.Timeout"], {"States.Timeout"}),
        (["Mine", "States.Timeout"], {"Mine", "States.Timeout"}),
    ],
)
def test_what_a_catcher_takes(errors: list[str], taken: set[str]) -> None:
    task = {"Type": "Task", "Resource": "x", "End": True, "Catch": [{"ErrorEquals": errors, "Next": "F"}]}
    (catch,) = written({"A": task, "F": {"Type": "Fail"}}).states["A"].catches
    known = ("Mine", "States.TaskFailed", "States.Timeout", "States.Runtime")
    assert {error for error in known if catch.takes(error)} == taken


# Where values come from

LAMBDA = "arn:aws:states:::lambda:invoke"


@pytest.mark.parametrize(
    ("task", "path", "expected"),
    [
        ({}, "$.Payload.ok", ("result", ("Payload", "ok"), ("ok",))),
        ({}, "$.StatusCode", ("result", ("StatusCode",), None)),
        ({"ResultPath": "$.r"}, "$.r.Payload.ok", ("result", ("Payload", "ok"), ("ok",))),
        ({"ResultPath": "$.r"}, "$.other", ("input", ("other",), None)),
        ({"ResultPath": "$.r.s"}, "$.r", ("written", (), None)),
        ({"ResultPath": None}, "$.x", ("input", ("x",), None)),
        ({"OutputPath": "$.Payload"}, "$.ok", ("result", ("Payload", "ok"), ("ok",))),
        ({"ResultSelector": {"ok.$": "$.Payload.ok"}}, "$.ok", ("result", ("Payload", "ok"), ("ok",))),
        ({"ResultSelector": {"ok.$": "$.Payload.ok"}}, "$.no", ("missing", ("no",), None)),
        ({"ResultSelector": {"ok.$": "States.Format('')"}}, "$.ok", ("unknown", (), None)),
        ({"ResultSelector": {"ok": True}, "ResultPath": "$.r"}, "$.r.ok", ("written", (), None)),
        ({"InputPath": "$.in"}, "$.Payload['a b'][0]", ("result", ("Payload", "a b", "0"), ("a b", "0"))),
        ({}, "$..deep", ("unknown", (), None)),
        ({}, "$$.Execution.Id", ("unknown", (), None)),
        ({"Resource": "arn:aws:lambda:eu-west-1:1:function:F"}, "$.ok", ("result", ("ok",), ("ok",))),
        ({"Resource": f"{LAMBDA}.waitForTaskToken"}, "$.ok", ("result", ("ok",), None)),
    ],
)
def test_origins(task: dict[str, object], path: str, expected: object) -> None:
    found = written(
        {
            "A": {"Type": "Task", "Resource": LAMBDA, "Next": "Idle", **task},
            "Idle": {"Type": "Wait", "Seconds": 1, "Next": "Same"},
            "Same": {"Type": "Pass", "Next": "If"},
            "If": {"Type": "Choice", "Choices": [{"Variable": path, "IsNull": True, "Next": "End"}], "Default": "End"},
            "End": {"Type": "Succeed"},
        }
    )
    assert [(o.kind, o.steps, o.returned) for o in origins(found, found.states["If"], path)] == [expected]


def test_origins_over_several_ways() -> None:
    found = written(
        {
            "A": {
                "Type": "Task",
                "Resource": LAMBDA,
                "Next": "If",
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "If"}],
            },
            "If": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.e.Error", "IsNull": True, "Next": "A"}],
                "Default": "P",
            },
            "P": {"Type": "Pass", "Result": {"e": {"Error": 1}}, "Next": "If"},
        }
    )
    kinds = {(o.kind, o.state and o.state.name, o.steps) for o in origins(found, found.states["If"], "$.e.Error")}
    assert kinds == {("result", "A", ("e", "Error")), ("error", "A", ("Error",)), ("written", "P", ())}
    assert {(o.kind, o.steps) for o in origins(found, found.states["If"], "$.x")} == {
        ("result", ("x",)),
        ("input", ("x",)),
        ("missing", ("x",)),
    }


def test_path_steps() -> None:
    assert path_steps("$") == ()
    assert path_steps("$.a['b.c'][3].d-e") == ("a", "b.c", "3", "d-e")
    assert path_steps("$states.input.a[0].`b c`") == ("a", "0", "b c")
    assert path_steps("$.a[*]") is None
    assert path_steps("$var.a") is None


# The graph

NESTED = {
    "Each": {
        "Type": "Map",
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Both",
            "States": {
                "Both": {
                    "Type": "Parallel",
                    "Branches": [
                        {"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}},
                        {"StartAt": "Right", "States": {"Right": {"Type": "Pass", "Next": "Left"}}},
                    ],
                    "End": True,
                },
                "Alone": {"Type": "Pass", "End": True},
            },
        },
        "Next": "Old",
    },
    "Old": {"Type": "Map", "Iterator": {"StartAt": "Left", "States": {"Left": {"Type": "Succeed"}}}, "Next": "Gone"},
    "Dead": {"Type": "Parallel", "Branches": [{"StartAt": "In", "States": {"In": {"Type": "Succeed"}}}], "End": True},
}


def test_nested_states() -> None:
    found = written(NESTED)
    assert [(state.key, state.parent) for state in found.states.values()] == [
        ("Each", None),
        ("Both", "Each"),
        ("Left", "Both"),
        ("Right", "Both"),
        ("Alone", "Each"),
        ("Old", None),
        ("Old/Left", "Old"),
        ("Dead", None),
        ("In", "Dead"),
    ]
    assert [(state and state.key, way.name) for state, way in found.dangling] == [("Old", "Gone"), ("Right", "Left")]
    assert [state.key for state in found.unreachable] == ["Alone", "Dead"]
    assert "In" not in found.reached
    each = found.states["Each"]
    assert (each.distributed, each.own_actions) == (True, ("states:StartExecution",))
    assert [(call.field, call.integration.actions) for call in each.calls] == [("ItemReader", ("s3:GetObject",))]
    assert each.call is None
    assert [way.kind for _, way in found.predecessors["Old"]] == ["next"]
    assert found.reaches(each, found.states["Old"])
    assert not found.reaches(found.states["Old"], each)


def test_dangling_targets_of_every_kind() -> None:
    found = written(
        {
            "A": {"Type": "Task", "Resource": "x", "Next": "B", "Catch": [{"ErrorEquals": ["E"], "Next": "1"}]},
            "B": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "2"}], "Default": "3"},
        },
        start="4",
    )
    assert [(state and state.key, way.kind, way.name) for state, way in found.dangling] == [
        (None, "start", "4"),
        ("A", "catch", "1"),
        ("B", "choice", "2"),
        ("B", "default", "3"),
    ]


def test_an_unknown_target_may_be_any_state() -> None:
    found = workflow(
        machine(
            'DefinitionString: !Sub \'{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "${Given}"}, '
            '"B": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": true, "Next": "C"}], "Default": "C"}, '
            '"C": {"Type": "Succeed"}}}\'\n',
            "Parameters: {Given: {Type: String}}\n",
        )
    )
    assert (found.dangling, found.unreachable) == ((), ())
    assert "unknown" in {origin.kind for origin in origins(found, found.states["B"], "$.x")}


def test_unknown_states_are_no_gap() -> None:
    found = workflow(
        machine(
            """\
            Definition:
              StartAt: Elsewhere
              States:
                Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://a/b}}
                A: {Type: Pass, Next: There}
            """
        )
    )
    assert (found.dangling, found.unreachable, found.problems) == ((), (), ())


# Out of shape


@pytest.mark.parametrize(
    ("definition", "kinds"),
    [
        ({}, ["no-start", "no-states"]),
        ({"StartAt": "A", "States": {}}, ["no-states"]),
        ({"StartAt": "A", "States": ["A"]}, ["no-states"]),
        ({"StartAt": "A", "States": {"A": 1}}, ["shape"]),
        ({"StartAt": "A", "States": {"A": {}}}, ["no-type"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Sleep"}}}, ["unknown-type"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, ["no-way-out"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True}}}, ["no-resource"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Choice"}}}, ["no-choices"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Map", "End": True}}}, ["shape"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Parallel", "Branches": [1], "End": True}}}, ["shape"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Map", "Iterator": {}, "End": True}}}, ["no-start", "no-states"]),
        ({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, []),
    ],
)
def test_problems(definition: object, kinds: list[str]) -> None:
    found = workflow(machine(f"DefinitionString: '{json.dumps(definition)}'\n"))
    assert found.status == "readable"
    assert [problem.kind for problem in found.problems] == kinds
    assert all(problem.span.line > 0 and problem.message for problem in found.problems)


SAMPLES = (
    True,
    None,
    3,
    "text",
    [],
    {},
    [1],
    ["a", {"b": []}],
    {"Next": {}},
    "$.x",
    "{% $states.input.a %}",
    [[[]]],
    {"A": {"Type": "Map"}},
)


def ask(found: Workflow) -> None:
    """Everything a workflow can be asked."""
    assert isinstance(found.dangling + found.unreachable + found.tasks + found.failures, tuple)
    assert found.reached <= set(found.states)
    for state in found.states.values():
        ask_state(found, state)


def ask_state(found: Workflow, state: State) -> None:
    found.predecessors.get(state.key)
    assert state.where().line
    assert state.where("A", "B").line
    assert state.argument("TopicArn").span.line
    assert (state.terminal, state.timeout, state.heartbeat, state.distributed, state.own_actions) is not None
    assert state.token is None or state.token.line
    for catch in state.catches:
        found.caught_by(catch, state)
        catch.takes("E")
    for rule in state.rules:
        for test in rule.tests:
            for path in test.paths:
                assert isinstance(origins(found, state, path), tuple)
    for call in state.calls:
        assert (
            call.integration.name,
            call.integration.actions,
            call.integration.job_actions,
            call.function,
        ) is not None


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every map or list below a value with each of its keys or indices."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield value, key
        yield from places(item)


def read_as_text(definition: object) -> Workflow:
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"DefinitionString": definition}}
    return workflow(dumped({"Resources": {"Machine": machine}}), "template.json")


def test_nothing_breaks_it() -> None:
    reference = plain_json(workflow(REFERENCE.read_text(encoding="utf-8")).definition)
    chance = random.Random(7)
    for sample in ({"StartAt": "Each", "States": NESTED}, json.loads(DEFINITION), reference):
        count = len(list(places(sample)))
        for index in chance.sample(range(count), min(count, 150)):
            definition = json.loads(json.dumps(sample))
            holder, key = list(places(definition))[index]
            holder[key] = chance.choice(SAMPLES)
            ask(read_as_text(json.dumps(definition)))


def plain_json(value: Value | None) -> object:
    match value:
        case Scalar(text, _, kind):
            return text if kind == "str" else json.loads(text)
        case Seq(items):
            return [plain_json(item) for item in items]
        case Map(entries):
            return {name: plain_json(item) for name, item in entries.items()}
        case _:
            return "${Hole}"


def test_any_text_is_read_or_refused() -> None:
    chance = random.Random(11)
    for _ in range(300):
        cut = list(DEFINITION)
        for _ in range(chance.randrange(1, 6)):
            cut[chance.randrange(len(cut))] = chance.choice('{}[]",:\\ \n$x0\ue000\ue0015')
        found = read_as_text({"Fn::Sub": "".join(cut)})
        ask(found)
        assert found.span.line > 0


def test_substitutions_do_not_multiply_without_bound() -> None:
    large = "x" * 100_000
    text = machine(f"DefinitionString: '[{'${A}' * 1000}]'\nDefinitionSubstitutions: {{A: '{large}'}}\n")
    assert workflow(text).status == "unreadable"


def test_a_long_chain() -> None:
    states: dict[str, object] = {f"S{n}": {"Type": "Pass", "Next": f"S{n + 1}"} for n in range(1000)}
    states["S1000"] = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "S0"}],
        "Default": "End",
    }
    states["End"] = {"Type": "Succeed"}
    found = written(states)
    ask(found)
    assert found.unreachable == ()
    assert len(origins(found, found.states["S1000"], "$.a")) == 1
