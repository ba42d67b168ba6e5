"""An application in several templates is judged as the one in a single template is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cfaudit.application import application, joined
from cfaudit.model.declarations import descend
from cfaudit.model.template import Template
from cfaudit.nodes import Deferred, Reference, Source, parts_of, spelled, strings
from cfaudit.pipeline import Settings, audits, template
from cfaudit.report import TemplateObject, template_object
from cfaudit.rule import load_categories
from cfaudit.score import Gate, score
from rewrites import parsed
from splits import nested, siblings
from stacks import AS_OF, AUDITED, REFERENCE, answers, reported, rules


def judged(source: Source, profile: str = "auto") -> TemplateObject:
    audit = audits(source, Settings(as_of=AS_OF, profile=profile), rules())[0]
    return template_object(score(audit, load_categories(), Gate(None)))


def read(path: Path) -> Source:
    return template(path.read_text(encoding="utf-8"), str(path))


# Comments are the text's; what a deployment waits for (DependsOn) cannot stand across templates.
SEEN = {"sparse-comments", "stale-deployment"}


@pytest.mark.parametrize("path", [AUDITED, REFERENCE], ids=lambda path: path.parent.name)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("form", ["nested", "siblings"])
def test_divided_stack(path: Path, count: int, form: str, tmp_path: Path) -> None:
    whole = parsed(path.read_text(encoding="utf-8"))
    names = list(whole["Resources"])
    parts = {f"part{index}": set(names[index::count]) for index in range(count)}
    if form == "nested":
        made = application(read(nested(whole, parts["part0"], tmp_path)))
        prefixes = ["Inner."]
    else:
        made = joined(str(tmp_path), [read(file) for file in sorted(siblings(whole, parts, tmp_path).iterdir())])
        prefixes = [f"{part}." for part in parts]
    if (path.parent / "functions").exists():
        for folder in (tmp_path, tmp_path / "parts") if form == "nested" else (tmp_path,):
            shutil.copytree(path.parent / "functions", folder / "functions")
    report = judged(made)
    assert report["diagnostics"] == []

    def back(subject: str) -> str:
        for prefix in prefixes:
            subject = subject.replace(prefix, "")
        return subject

    found = {(rule, verdict, back(subject)) for rule, verdict, subject in answers(report) if rule not in SEEN}
    assert found == {
        answer for answer in answers(reported(path.read_text(encoding="utf-8"), str(path))) if answer[0] not in SEEN
    }


# A nested application of real files ----------------------------------------------------------------------------------

ROOT_TEMPLATE = """\
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
  Quiet: {Type: String, Default: 'no'}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsQuiet: !Equals [!Ref Quiet, 'yes']
Resources:
  Queue:
    Type: AWS::SQS::Queue
  Orders:
    Type: AWS::CloudFormation::Stack
    DependsOn: Queue
    Properties:
      TemplateURL: stacks/orders.yaml
      Parameters:
        Stage: !Ref Stage
        QueueArn: !GetAtt Queue.Arn
        Subnets: !Join [',', [subnet-1, !ImportValue Subnet]]
        Retention: !If [IsProd, 30, !Ref AWS::NoValue]
  Audit:
    Type: AWS::Serverless::Application
    Condition: IsProd
    Properties: {Location: stacks/audit.yaml}
  Policy:
    Type: AWS::IAM::ManagedPolicy
    DependsOn: Orders
    Properties:
      PolicyDocument:
        Statement:
          - {Effect: Allow, Action: 'dynamodb:GetItem', Resource: !GetAtt Orders.Outputs.TableArn}
          - {Effect: Allow, Action: 'dynamodb:Query', Resource: !Sub '${Orders.Outputs.TableArn}/index/*'}
Outputs:
  Table: {Value: !GetAtt Orders.Outputs.TableArn}
  Stack: {Value: !Ref Orders}
"""
ORDERS = """\
Parameters:
  Stage: {Type: String}
  QueueArn: {Type: String}
  Subnets: {Type: CommaDelimitedList}
  Retention: {Type: Number, Default: 7}
  Size: {Type: Number, Default: 128}
Mappings:
  Sizes: {dev: {Memory: 256}, prod: {Memory: 512}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {TableName: !Sub 'orders-${Stage}'}
  Function:
    Type: AWS::Lambda::Function
    Metadata: {cfaudit: {code: src}}
    Properties:
      Runtime: nodejs22.x
      Handler: index.handler
      Role: !GetAtt Role.Arn
      MemorySize: !FindInMap [Sizes, !Ref Stage, Memory]
      Timeout: !Ref Size
      VpcConfig: {SubnetIds: !Ref Subnets}
      Environment:
        Variables: {QUEUE: !Ref QueueArn, TABLE: !Ref Table, NAME: !Sub '${AWS::StackName}-${Table.Arn}-${Stage}'}
  Logs:
    Type: AWS::Logs::LogGroup
    Condition: IsProd
    Properties: {LogGroupName: !Sub '/aws/lambda/${Function}', RetentionInDays: !Ref Retention}
  Key:  # cfaudit: ignore[key-rotation-off] rotated by the vault
    Type: AWS::KMS::Key
    Properties: {KeyPolicy: {}}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
Outputs:
  TableArn: {Value: !GetAtt Table.Arn}
"""
AUDIT = """\
Conditions: {Wanted: !Equals [!Ref 'AWS::Region', eu-central-1]}
Resources:
  Trail: {Type: AWS::S3::Bucket}
  Copy: {Type: AWS::S3::Bucket, Condition: Wanted}
"""


def shop(folder: Path, root: str = ROOT_TEMPLATE) -> Path:
    (folder / "stacks" / "src").mkdir(parents=True)
    (folder / "stacks" / "orders.yaml").write_text(ORDERS, encoding="utf-8")
    (folder / "stacks" / "audit.yaml").write_text(AUDIT, encoding="utf-8")
    (folder / "stacks" / "src" / "index.js").write_text("exports.handler = async () => 'ok';\n", encoding="utf-8")
    (folder / "template.yaml").write_text(root, encoding="utf-8")
    return folder / "template.yaml"


def built(path: Path, **parameters: str) -> Template:
    settings = Settings(as_of=AS_OF, parameters=parameters)
    return audits(application(read(path)), settings, rules())[0].template


def test_a_nested_stack_stands_in_its_parents_place(tmp_path: Path) -> None:
    made = built(shop(tmp_path))
    assert list(made.resources) == [
        *("Queue", "Orders.Table", "Orders.Function", "Orders.Key", "Orders.Role", "Policy"),
    ]
    function = made.resources["Orders.Function"]
    assert parts_of(function.at("MemorySize")) == ("256",)
    assert parts_of(function.at("Timeout")) == ("128",)
    assert [parts_of(value) for _, value in function.each("VpcConfig.SubnetIds.*")] == [
        ("subnet-1",),
        (Deferred("import", "Subnet", expression='"Subnet"'),),
    ]
    variables = "Environment.Variables"
    assert parts_of(function.at(f"{variables}.QUEUE")) == (Reference("Queue", "Arn"),)
    assert parts_of(function.at(f"{variables}.TABLE")) == (Reference("Orders.Table", None),)
    assert spelled(parts_of(function.at(f"{variables}.NAME"))) == "${Orders.AWS::StackName}-${Orders.Table.Arn}-dev"
    assert parts_of(made.resources["Orders.Table"].at("TableName")) == ("orders-dev",)
    statements = [value for _, value in made.resources["Policy"].each("PolicyDocument.Statement.*.Resource")]
    assert [spelled(parts_of(value)) for value in statements] == ["${Orders.Table.Arn}", "${Orders.Table.Arn}/index/*"]
    waits = strings(made.resources["Policy"].attribute("DependsOn"))
    assert {parts_of(value) for value in waits} == {
        (f"Orders.{name}",) for name in ("Table", "Function", "Logs", "Key", "Role")
    }
    assert [parts_of(value) for value in strings(made.resources["Orders.Key"].attribute("DependsOn"))] == [("Queue",)]
    stack = descend(made.document.outputs, made.span, ["Stack", "Value"])[0]
    assert parts_of(stack) == (Deferred("pseudo", "Orders.AWS::StackId"),)
    assert function.span.file == str(tmp_path / "stacks" / "orders.yaml")
    assert made.excerpt(function.span) == "Function:"
    assert made.code["Orders.Function"].readable


def test_conditions_meet(tmp_path: Path) -> None:
    made = built(shop(tmp_path), Stage="prod")
    assert {"Orders.Logs", "Audit.Trail"} <= set(made.resources)
    assert parts_of(made.resources["Orders.Logs"].at("RetentionInDays")) == ("30",)
    audited = audits(application(read(tmp_path / "template.yaml")), Settings(AS_OF, {"Stage": "prod"}), rules())[0]
    here = {"Audit.Copy" in template.resources for template, _ in audited.cases}
    assert here == {True, False}
    assert all("Audit.Trail" in template.resources for template, _ in audited.cases)


def test_what_a_parent_leaves_out_has_the_childs_default(tmp_path: Path) -> None:
    path = shop(tmp_path, ROOT_TEMPLATE.replace("[IsProd, 30", "[IsQuiet, 30"))
    assert parts_of(built(path, Stage="prod").resources["Orders.Logs"].at("RetentionInDays")) == ("7",)


def test_waivers_in_a_child_work(tmp_path: Path) -> None:
    report = judged(application(read(shop(tmp_path))))
    rotation = [finding for finding in report["findings"] if finding["rule"] == "key-rotation-off"]
    assert [(finding["subject"], finding["verdict"]) for finding in rotation] == [("Orders.Key", "waived")]
    assert rotation[0]["evidence"][0]["file"].endswith("orders.yaml")
    assert report["diagnostics"] == []


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("stacks/none.yaml", "is not there"),
        ("../outside.yaml", "lies outside the project"),
        ("template.yaml", "nests itself"),
        ("stacks/broken.yaml", "cannot be read"),
    ],
)
def test_what_cannot_be_followed_stays_unseen(location: str, says: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    path = shop(project, ROOT_TEMPLATE.replace("stacks/orders.yaml", location))
    (project / "cfaudit.yaml").write_text("profile: serverless\n", encoding="utf-8")
    (tmp_path / "outside.yaml").write_text(ORDERS, encoding="utf-8")
    (project / "stacks" / "broken.yaml").write_text("Resources: {", encoding="utf-8")
    audit = audits(application(read(path)), Settings(AS_OF), rules())[0]
    assert audit.template.resources["Orders"].type == "AWS::CloudFormation::Stack"
    assert [note.message for note in audit.diagnostics if says in note.message]


def test_a_bucket_is_never_asked(tmp_path: Path) -> None:
    for url in ("https://bucket.s3.amazonaws.com/orders.yaml", "s3://bucket/orders.yaml"):
        text = ROOT_TEMPLATE.replace("stacks/orders.yaml", url)
        (tmp_path / "template.yaml").write_text(text.replace("stacks/audit.yaml", url), encoding="utf-8")
        source = read(tmp_path / "template.yaml")
        assert application(source) is source


def test_doubling_values_end(tmp_path: Path) -> None:
    """Each stack's output says the one before it twice."""
    stack = (
        "  S{0}: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: twice.yaml, Parameters: {{P: {1}}}}}}}"
    )
    stacks = [stack.format(n, f"!GetAtt S{n - 1}.Outputs.O" if n else "x") for n in range(40)]
    last = "  Last: {Type: AWS::SNS::Topic, Properties: {TopicName: !GetAtt S39.Outputs.O}}"
    resources = "Resources: {T: {Type: AWS::SNS::Topic}}\nOutputs: {O: {Value: !Sub '${P}${P}'}}\n"
    (tmp_path / "twice.yaml").write_text(f"Parameters: {{P: {{Type: String}}}}\n{resources}", encoding="utf-8")
    (tmp_path / "template.yaml").write_text("\n".join(["Resources:", *stacks, last]), encoding="utf-8")
    assert len(built(tmp_path / "template.yaml").resources) == 41


SAM_ROOT = """\
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.13, Timeout: 5}}
Parameters: {Names: {Type: CommaDelimitedList, Default: 'a,b'}}
Resources:
  Kid:
    Type: AWS::Serverless::Application
    Properties:
      Location: child/template.yaml
      Parameters: {Names: !Join [',', !Ref Names]}
  Fn: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, InlineCode: x}}
  Policy: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {}, Roles: [!GetAtt Kid.Outputs.Role]}}
  Rule: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !GetAtt Kid.Outputs.Topic, Protocol: sms}}
"""
SAM_CHILD = """\
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Globals: {Function: {Runtime: nodejs22.x, MemorySize: 512}}
Parameters: {Names: {Type: CommaDelimitedList}}
Conditions:
  Fn::ForEach::C: [N, [x, y], {'Is${N}': !Equals [!Ref 'AWS::Region', !Ref N]}]
Resources:
  Handler: {Type: AWS::Serverless::Function, Properties: {Handler: index.handler, CodeUri: src/}}
  Fn::ForEach::T:
    - Name
    - !Ref Names
    - 'Topic${Name}':
        Type: AWS::SNS::Topic
        Properties: {TopicName: !Sub 't-${Name}', KmsMasterKeyId: !Ref 'Key${Name}'}
      'Key${Name}': {Type: AWS::KMS::Key}
  Late: {Type: AWS::SNS::Topic, Condition: Isx}
Outputs:
  Topic: {Value: !Ref Topica}
  Role: {Value: !GetAtt HandlerRole.Arn}
"""


def test_sam_and_loops_in_a_child(tmp_path: Path) -> None:
    (tmp_path / "child" / "src").mkdir(parents=True)
    (tmp_path / "template.yaml").write_text(SAM_ROOT, encoding="utf-8")
    (tmp_path / "child" / "template.yaml").write_text(SAM_CHILD, encoding="utf-8")
    (tmp_path / "child" / "src" / "index.js").write_text("exports.handler = async () => 'ok';\n", encoding="utf-8")
    audit = audits(application(read(tmp_path / "template.yaml")), Settings(AS_OF), rules())[0]
    made = audit.template
    assert not audit.diagnostics
    assert {name for template, _ in audit.cases for name in template.resources} == {
        *("Kid.Handler", "Kid.Topica", "Kid.Keya", "Kid.Topicb", "Kid.Keyb", "Kid.Late", "Fn", "Policy", "Rule"),
    }
    kid, own = made.functions["Kid.Handler"], made.functions["Fn"]
    assert [parts_of(kid.at(name)) for name in ("Runtime", "MemorySize", "Timeout")] == [("nodejs22.x",), ("512",), ()]
    assert [parts_of(own.at(name)) for name in ("Runtime", "MemorySize", "Timeout")] == [("python3.13",), (), ("5",)]
    assert made.code["Kid.Handler"].readable
    assert parts_of(made.resources["Kid.Topicb"].at("KmsMasterKeyId")) == (Reference("Kid.Keyb", None),)
    assert parts_of(made.resources["Rule"].at("TopicArn")) == (Reference("Kid.Topica", None),)
    assert spelled(parts_of(made.resources["Policy"].at("Roles.0"))) == "${Kid.HandlerRole.Arn}"


# Siblings ------------------------------------------------------------------------------------------------------------

NETWORK = """\
Parameters: {Stage: {Type: String, Default: dev}}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Topic: {Type: AWS::SNS::Topic}
  Bucket: {Type: AWS::S3::Bucket}
Outputs:
  Vpc: {Value: !Ref Vpc, Export: {Name: !Sub '${AWS::StackName}-Vpc'}}
  Topic: {Value: !Ref Topic, Export: {Name: shop-topic}}
  Bucket: {Value: !GetAtt Bucket.Arn, Export: {Name: !Sub '${Stage}-bucket'}}
"""
SERVICE = """\
Parameters:
  Stage: {Type: String, Default: dev}
  NetworkStack: {Type: String}
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: in
      VpcId: !ImportValue {'Fn::Sub': '${NetworkStack}-Vpc'}
      Tags: [{Key: bucket, Value: !ImportValue {'Fn::Sub': '${Stage}-bucket'}}]
"""
ALARM = """\
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmActions: [!ImportValue shop-topic, !ImportValue nobody]}
"""


def test_siblings_import_from_each_other(tmp_path: Path) -> None:
    for name, text in {"network": NETWORK, "service": SERVICE, "alarm": ALARM}.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    files = [read(path) for path in sorted(tmp_path.iterdir())]
    made = audits(joined(str(tmp_path), files), Settings(AS_OF), rules())[0].template
    group = made.resources["service.Group"]
    assert parts_of(group.at("VpcId")) == (Reference("network.Vpc", None),)
    assert parts_of(group.at("Tags.0.Value")) == (Reference("network.Bucket", "Arn"),)
    actions = [value for _, value in made.resources["alarm.Alarm"].each("AlarmActions.*")]
    assert [spelled(parts_of(value)) for value in actions] == ["${network.Topic}", "${nobody}"]
    assert set(made.document.parameters.entries) == {"Stage", "NetworkStack"}
