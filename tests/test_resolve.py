"""Resolving: what a value means, what of it only deploy time knows, and which combinations of conditions exist."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cfaudit.load import load
from cfaudit.nodes import Absent, Deferred, Map, Reference, Scalar, Seq, Unknown, Value, parts_of, spelled
from cfaudit.resolve import MAX_SCENARIOS, Document, Scenario, resolve, scenarios

HEAD = """\
Parameters:
  Plain: {Type: String, Default: plain}
  Empty: {Type: String, Default: ''}
  Number: {Type: Number, Default: 12}
  Switch: {Type: String, Default: yes}
  List: {Type: CommaDelimitedList, Default: 'a, b,c'}
  Nothing: {Type: CommaDelimitedList, Default: ''}
  Subnets: {Type: 'List<AWS::EC2::Subnet::Id>'}
  Zones: {Type: 'List<Number>', Default: '1,2'}
  Stored: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /shop/table}
  Open: {Type: String}
  Secret: {Type: String, Default: '{{resolve:ssm:/secret:1}}'}
Mappings:
  Sizes:
    dev: {Memory: 128, Names: [x, y]}
    prod: {Memory: 1024, 'Wide Key': w}
  Loops:
    a: {b: !FindInMap [Loops, a, b]}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Queue: {Type: AWS::SQS::Queue}
  Subject:
    Type: AWS::SNS::Topic
    Properties:
      Value: """


def document(text: str, parameters: Mapping[str, str] | None = None, region: str | None = None) -> Document:
    source = load(text, "t.yaml")
    (scenario, *_), _ = scenarios(source, Scenario(parameters=parameters or {}, region=region))
    return resolve(source, scenario)


def subject(found: Document) -> Value:
    resource = found.resources.entries["Subject"]
    assert isinstance(resource, Map)
    properties = resource.entries["Properties"]
    assert isinstance(properties, Map)
    return properties.entries.get("Value", Absent(properties.span))


def value(written: str, parameters: Mapping[str, str] | None = None, region: str | None = None) -> Value:
    return subject(document(f"{HEAD}{written}\n", parameters, region))


def plain(found: Value) -> object:
    """A value without places: text, list, map, None for nothing, a tuple of parts for what is not known."""
    match found:
        case Scalar(text):
            return text
        case Seq(items):
            return [plain(item) for item in items]
        case Map(entries):
            return {key: plain(entry) for key, entry in entries.items()}
        case Unknown(_, parts):
            return parts
        case Absent():
            return None


TABLE = Reference("Table", None)
ARN = Reference("Table", "Arn")
OPEN = Deferred("parameter", "Open")
REGION = Deferred("pseudo", "AWS::Region")

KNOWN = {
    "text": "text",
    "012": "012",
    "2012-10-17": "2012-10-17",
    "yes": "true",
    "Off": "false",
    "'yes'": "yes",
    "!Ref Plain": "plain",
    "!Ref Empty": "",
    "!Ref Number": "12",
    "!Ref Switch": "true",
    "!Ref List": ["a", "b", "c"],
    "!Ref Nothing": [],
    "!Ref Zones": ["1", "2"],
    "!Ref AWS::NoValue": None,
    "[a, !Ref AWS::NoValue, b]": ["a", "b"],
    "{a: 1, b: !Ref AWS::NoValue}": {"a": "1"},
    "!Sub '${Plain}-x'": "plain-x",
    "!Sub '${ Plain }'": "plain",
    "!Sub '${!Plain} $Plain $${Plain} ${'": "${Plain} $Plain $plain ${",
    "!Sub '${AWS::NoValue}'": "",
    "!Sub '${List}'": "a,b,c",
    "!Sub ['${a}${Plain}', {a: !Ref Number}]": "12plain",
    "!Sub ['${Plain}', {Plain: own}]": "own",
    "!Sub ['${Plain}']": "plain",
    "!Join ['-', [a, !Ref Plain, 3]]": "a-plain-3",
    "!Join ['', [a, !Ref AWS::NoValue, b]]": "ab",
    "!Join ['|', !Ref List]": "a|b|c",
    "!Join [',', []]": "",
    "!Split [',', 'a,b']": ["a", "b"],
    "!Select [1, !Ref List]": "b",
    "!Select ['1', !Split ['/', a/b]]": "b",
    "!Select [0, [!Ref Plain, x]]": "plain",
    "!FindInMap [Sizes, dev, Memory]": "128",
    "!FindInMap [Sizes, dev, Names]": ["x", "y"],
    "!FindInMap [Sizes, !Sub 'pro${x}', Memory]": "1024",
    "!FindInMap [Sizes, prod, !Join [' ', [Wide, Key]]]": "w",
    "!FindInMap [Sizes, test, Memory, {DefaultValue: !Ref Number}]": "12",
    "!FindInMap [Sizes, dev, Memory, {DefaultValue: 1}]": "128",
    "!Base64 '#!/bin/sh'": "#!/bin/sh",
    "!Base64 {'Fn::Sub': '${Plain}'}": "plain",
    "{'Fn::Length': [a, b]}": "2",
    "{'Fn::Length': !Ref List}": "3",
    "{'Fn::ToJsonString': {a: 1, b: [true, null, 'x\"', !Ref Plain]}}": '{"a":1,"b":[true,null,"x\\"","plain"]}',
    "{'Ref': !Sub 'Pla${y}'}": "plain",
}


@pytest.mark.parametrize(("written", "meant"), KNOWN.items(), ids=KNOWN)
def test_known(written: str, meant: object) -> None:
    written = written.replace("${x}", "d").replace("${y}", "in")
    assert plain(value(written)) == meant


PARTLY = {
    "!Ref Table": (TABLE,),
    "!GetAtt Table.Arn": (ARN,),
    "!GetAtt [Table, Arn]": (ARN,),
    "!GetAtt [Table, !Sub 'Arn']": (ARN,),
    "!GetAtt Queue.Outputs.Name": (Reference("Queue", "Outputs.Name"),),
    "!GetAtt Nowhere.Arn": (Deferred("missing", "Nowhere.Arn"),),
    "!Ref Nowhere": (Deferred("missing", "Nowhere"),),
    "!Ref Open": (OPEN,),
    "!Ref Subnets": (Deferred("parameter", "Subnets"),),
    "!Ref AWS::Region": (REGION,),
    "!Ref Stored": (Deferred("dynamic", "ssm:/shop/table", expression="Stored"),),
    "!Ref Secret": (Deferred("dynamic", "ssm:/secret:1"),),
    "!Sub '${Table}'": (TABLE,),
    "!Sub '${Table.Arn}/index/*'": (ARN, "/index/*"),
    "!Sub 'arn:${AWS::Partition}:sns:${AWS::Region}:x:${Plain}-${Open}'": (
        "arn:",
        Deferred("pseudo", "AWS::Partition"),
        ":sns:",
        REGION,
        ":x:plain-",
        OPEN,
    ),
    "!Sub ['${t}-${Open}', {t: !GetAtt Table.Arn}]": (ARN, "-", OPEN),
    "!Sub '${Nowhere}'": (Deferred("missing", "Nowhere"),),
    "!Join ['/', [a, !Ref Table, b, !Ref Open]]": ("a/", TABLE, "/b/", OPEN),
    "!Base64 {'Fn::Sub': 'x${Open}'}": ("x", OPEN),
    "{'Fn::ToJsonString': {t: !Ref Table}}": ('{"t":"', TABLE, '"}'),
    "'{{resolve:ssm:/a/b}}'": (Deferred("dynamic", "ssm:/a/b"),),
    "'x{{resolve:secretsmanager:s:SecretString:p}}y'": (
        "x",
        Deferred("dynamic", "secretsmanager:s:SecretString:p"),
        "y",
    ),
    "!Sub '{{resolve:ssm:/${Plain}/x}}'": (Deferred("dynamic", "ssm:/plain/x"),),
    "!Sub '{{resolve:secretsmanager:${Table}::p}} {{resolve:ssm:${Open}}}'": (
        Deferred("dynamic", "secretsmanager:${Table}::p", frozenset({"Table"})),
        " ",
        Deferred("dynamic", "ssm:${Open}"),
    ),
    "!Sub '{{resolve:${Open}'": ("{{resolve:", OPEN),
    "!ImportValue net-vpc": (Deferred("import", "net-vpc", expression='"net-vpc"'),),
    "!ImportValue {'Fn::Sub': '${Open}-${Plain}'}": (
        Deferred("import", "${Open}-plain", expression='Fn::Sub("${Open}-${Plain}")'),
    ),
}


@pytest.mark.parametrize(("written", "parts"), PARTLY.items(), ids=PARTLY)
def test_partly_known(written: str, parts: tuple[object, ...]) -> None:
    assert plain(value(written)) == parts


OPAQUE = {
    "!GetAZs ''": (),
    "!Cidr [!Ref Open, 2, 8]": (),
    "!Select [0, !GetAZs {Ref: Table}]": ("Table",),
    "!Select [9, [a]]": (),
    "!Select [-1, [a]]": (),
    "!Select ['²', [a]]": (),
    "!Select [!Ref Open, [!Ref Table, !GetAtt Queue.Arn]]": ("Queue", "Table"),
    "!Split [',', !GetAtt Table.StreamArn]": ("Table",),
    "!Split ['', abc]": (),
    "!Join [',', !Split [',', !Sub '${Table}']]": ("Table",),
    "!FindInMap [Sizes, !Ref Open, Memory]": (),
    "!FindInMap [Sizes, test, Memory]": (),
    "!FindInMap [Loops, a, b]": (),
    "!FindInMap [Nowhere, a]": (),
    "!If [Undefined, !Ref Table, !GetAtt Queue.Arn]": ("Queue", "Table"),
    "{'Fn::Transform': {Name: AWS::Include, Parameters: {Location: !Ref Table}}}": ("Table",),
    "!Sub [!Ref Open, {}]": (),
    "!Sub {a: !Ref Table}": ("Table",),
    "!GetAtt Table": ("Table",),
    "!Ref [Table]": (),
    "!Length {Ref: Table}": ("Table",),
    "!Preprocessor [!Ref Table]": ("Table",),
}


@pytest.mark.parametrize(("written", "mentions"), OPAQUE.items(), ids=OPAQUE)
def test_what_cannot_be_computed_keeps_what_it_mentions(written: str, mentions: tuple[str, ...]) -> None:
    found = value(written)
    assert isinstance(found, Unknown)
    assert found.mentions == set(mentions)
    assert found.references == ()
    assert all(hole.kind in ("function", "macro", "condition") for hole in found.deferred)


def test_a_name_that_nothing_declares_may_come_from_a_transform() -> None:
    (hole,) = subject_parts("Transform: Own\n" + HEAD + "!Ref Nowhere\n")
    assert hole == Deferred("undefined", "Nowhere")


def subject_parts(text: str) -> tuple[object, ...]:
    found = subject(document(text))
    assert isinstance(found, Unknown)
    return found.parts


def test_different_expressions_are_different_holes() -> None:
    first, second, again = (value(f"!Select [{index}, !Ref Subnets]") for index in ("0", "1", "'0'"))
    assert plain(first) != plain(second)
    assert plain(first) == plain(again)


@pytest.mark.parametrize(
    ("parameters", "written", "meant"),
    [
        ({"Plain": "given"}, "!Ref Plain", "given"),
        ({"Open": "given"}, "!Sub '${Open}-${Plain}'", "given-plain"),
        ({"Subnets": "s-1, s-2"}, "!Ref Subnets", ["s-1", "s-2"]),
        ({"List": ""}, "!Ref List", []),
        ({"Number": "7"}, "!Ref Number", "7"),
        ({"Stored": "/other"}, "!Ref Stored", (Deferred("dynamic", "ssm:/other", expression="Stored"),)),
        ({"Open": "{{resolve:ssm:/x}}"}, "!Ref Open", (Deferred("dynamic", "ssm:/x"),)),
    ],
)
def test_given_parameters(parameters: dict[str, str], written: str, meant: object) -> None:
    assert plain(value(written, parameters)) == meant


def test_a_given_region_is_known() -> None:
    assert (
        plain(value("!Sub 'logs.${AWS::Region}.amazonaws.com'", region="eu-west-1")) == "logs.eu-west-1.amazonaws.com"
    )


@pytest.mark.parametrize(
    "written",
    ["!Ref Plain", "!FindInMap [Sizes, dev, Memory]", "!Select [0, [a]]", "!Sub '${Open}'", "!GetAtt Table.Arn"],
)
def test_a_value_stands_where_it_is_used(written: str) -> None:
    line = HEAD.count("\n") + 1
    assert (value(written).span.line, value(written).span.column) == (line, len("      Value: ") + 1)


def test_a_branch_stands_where_it_is_written() -> None:
    text = (
        "Conditions: {Same: !Equals [a, a]}\n"
        + HEAD
        + "\n        Fn::If:\n          - Same\n          - here\n          - there\n"
    )
    assert value("x").span.line + 4 == subject(document(text)).span.line


def test_nested_functions_as_deep_as_the_loader_lets_them() -> None:
    assert plain(value("!Join ['', [" * 60 + "x" + "]]" * 60)) == "x"
    assert plain(value("!If [U, " * 110 + "!Ref Table" + ", x]" * 110)) is not None
    assert plain(value("!Select [0, " * 110 + "!Ref Table" + "]" * 110)) is not None


# Conditions ----------------------------------------------------------------------------------------------------------

ENVIRONMENTS = "Env: {Type: String, AllowedValues: [dev, test, prod]}"
IS_PROD, IS_DEV = "IsProd: !Equals [!Ref Env, prod]", "IsDev: !Equals [dev, !Ref Env]"


def combinations(parameters: str, conditions: str, given: Mapping[str, str] | None = None) -> set[tuple[str, ...]]:
    """The combinations that are judged, each as the conditions that are true, capitals for those that are false."""
    entries = [entry.strip() for entry in conditions.split(";")]
    names = [entry.partition(":")[0] for entry in entries]
    text = "Parameters:\n" + "".join(f"  {line.strip()}\n" for line in parameters.split(";"))
    text += "Conditions:\n" + "".join(f"  {entry}\n" for entry in entries)
    text += "Resources:\n" + "".join(f"  On{name}: {{Type: T, Condition: {name}}}\n" for name in names)
    found, notes = scenarios(load(text, "t.yaml"), Scenario(parameters=given or {}))
    assert not notes
    answers = [tuple(name for name in names if scenario.conditions.get(name)) for scenario in found]
    assert len(set(answers)) == len(answers)
    return set(answers)


CONDITIONS = {
    "decided by a default": ("Env: {Type: String, Default: prod}", f"{IS_PROD}; {IS_DEV}", {("IsProd",)}),
    "one open comparison": ("Env: {Type: String}", IS_PROD, {("IsProd",), ()}),
    "values that exclude each other": (ENVIRONMENTS, f"{IS_PROD}; {IS_DEV}", {("IsProd",), ("IsDev",), ()}),
    "allowed values leave nothing else": (
        "Env: {Type: String, AllowedValues: [dev, prod]}",
        f"{IS_PROD}; {IS_DEV}",
        {("IsProd",), ("IsDev",)},
    ),
    "a value that is not allowed": ("Env: {Type: String, AllowedValues: [dev]}", IS_PROD, {()}),
    "unquoted booleans": (
        "Env: {Type: String, AllowedValues: [True, False]}",
        "On: !Equals [!Ref Env, true]; Off: !Equals [!Ref Env, 'false']",
        {("On",), ("Off",)},
    ),
    "a boolean default": ("Env: {Type: String, Default: True}", "On: !Equals [!Ref Env, 'true']", {("On",)}),
    "and, or, not": (
        ENVIRONMENTS,
        f"{IS_PROD}; {IS_DEV}; Real: !Or [!Condition IsProd, !Not [!Condition IsDev]]; "
        "Both: !And [{Condition: IsProd}, {Condition: IsDev}]; "
        "Neither: !Not [!Or [Condition: IsProd, Condition: IsDev]]",
        {("IsProd", "Real"), ("IsDev",), ("Real", "Neither")},
    ),
    "decided although a part is open": (
        "Env: {Type: String}",
        f"{IS_PROD}; Never: !And [!Condition IsProd, !Equals [a, b]]; Always: !Or [!Condition IsProd, !Equals [a, a]]",
        {("IsProd", "Always"), ("Always",)},
    ),
    "two parameters": (
        "A: {Type: String}; B: {Type: String}",
        "X: !Equals [!Ref A, x]; Y: !Equals [!Ref B, x]",
        {(), ("X",), ("Y",), ("X", "Y")},
    ),
    "two parameters compared": (
        "A: {Type: String}; B: {Type: String}",
        "Same: !Equals [!Ref A, !Ref B]; Other: !Not [!Equals [!Ref B, !Ref A]]",
        {("Same",), ("Other",)},
    ),
    "two parameters with different values": (
        "A: {Type: String, AllowedValues: [a]}; B: {Type: String, AllowedValues: [b]}",
        "Same: !Equals [!Ref A, !Ref B]",
        {()},
    ),
    "a parameter and itself": ("A: {Type: String}", "Same: !Equals [!Ref A, !Sub '${A}']", {("Same",)}),
    "a list joined": (
        "A: {Type: CommaDelimitedList}",
        "None: !Equals [!Join ['', !Ref A], '']; Some: !Not [!Equals ['', !Join ['', !Ref A]]]",
        {("None",), ("Some",)},
    ),
    "members of one list": (
        "A: {Type: CommaDelimitedList}",
        "X: !Equals [!Select [0, !Ref A], x]; Y: !Equals [!Select [0, !Ref A], y]; Z: !Equals [!Select [1, !Ref A], x]",
        {(), ("X",), ("Y",), ("Z",), ("X", "Z"), ("Y", "Z")},
    ),
    "a pseudo parameter": (
        "A: {Type: String, Default: x}",
        "Europe: !Equals [!Ref AWS::Region, eu-west-1]; America: !Equals [us-east-1, !Ref 'AWS::Region']",
        {(), ("Europe",), ("America",)},
    ),
    "a mapping": ("A: {Type: String, Default: x}", "X: !Equals [!FindInMap [M, a, b], x]", {(), ("X",)}),
    "nonsense is tried both ways, the same way": (
        "A: {Type: String}",
        "X: !Contains [[a], !Ref A]; Y: !Contains [[a], !Ref A]",
        {(), ("X", "Y")},
    ),
    "a circle": ("A: {Type: String}", "X: !Not [!Condition Y]; Y: !Not [!Condition X]", {()}),
    "a circle of one": ("A: {Type: String}", "X: !Condition X", {()}),
    "an missing condition": ("A: {Type: String}", "X: !Condition Nowhere", {()}),
}


@pytest.mark.parametrize(("parameters", "conditions", "meant"), CONDITIONS.values(), ids=CONDITIONS)
def test_combinations_of_conditions(parameters: str, conditions: str, meant: set[tuple[str, ...]]) -> None:
    assert combinations(parameters, conditions) == meant


def test_a_given_parameter_decides() -> None:
    conditions = f"{IS_PROD}; {IS_DEV}"
    assert combinations(ENVIRONMENTS, conditions, {"Env": "test"}) == {()}
    assert combinations(ENVIRONMENTS, conditions, {"Env": "dev"}) == {("IsDev",)}


def test_what_is_open_for_ever_stays_unknown() -> None:
    text = f"Conditions: {{X: !Condition X}}\n{HEAD}!If [X, a, b]\n"
    found = subject(document(text))
    assert isinstance(found, Unknown)
    assert [hole.kind for hole in found.deferred] == ["condition"]


def test_unused_conditions_make_no_scenarios() -> None:
    text = f"Conditions: {{X: !Equals [!Ref Open, x]}}\n{HEAD}x\n"
    assert len(scenarios(load(text, "t.yaml"), Scenario())[0]) == 1


@pytest.mark.parametrize(
    "place", ["Outputs: {O: {Value: !If [X, a, b]}}", "Globals: {Function: {Timeout: !If [X, 1, 2]}}"]
)
def test_conditions_used_outside_resources_count(place: str) -> None:
    text = f"Conditions: {{X: !Equals [!Ref Open, x]}}\n{place}\n{HEAD}x\n"
    found, _ = scenarios(load(text, "t.yaml"), Scenario())
    assert [scenario.name for scenario in found] == ["X is false", "X is true"]


def test_each_scenario_deploys_its_own() -> None:
    text = f"Conditions: {{X: !Equals [!Ref Open, x]}}\n{HEAD}!If [X, [a, !If [X, b, c]], !Ref AWS::NoValue]\n"
    text += "  Extra: {Type: T, Condition: X}\nOutputs: {O: {Value: 1, Condition: X}}\n"
    source = load(text, "t.yaml")
    found, _ = scenarios(source, Scenario())
    without, with_ = (resolve(source, scenario) for scenario in found)
    assert (without.inactive, with_.inactive) == ({"Extra"}, set())
    assert ("Extra" in without.resources.entries, "Extra" in with_.resources.entries) == (False, True)
    assert (set(without.outputs.entries), set(with_.outputs.entries)) == (set(), {"O"})
    assert (plain(subject(without)), plain(subject(with_))) == (None, ["a", "b"])


def test_the_bound_on_scenarios_is_said_and_every_condition_comes_out_both_ways() -> None:
    names = [f"C{number}" for number in range(10)]
    text = "Parameters:\n" + "".join(f"  P{name}: {{Type: String}}\n" for name in names)
    text += "Conditions:\n" + "".join(f"  {name}: !Equals [!Ref P{name}, x]\n" for name in names)
    text += "Resources:\n" + "".join(f"  R{name}: {{Type: T, Condition: {name}}}\n" for name in names)
    found, notes = scenarios(load(text, "t.yaml"), Scenario())
    assert len(found) == MAX_SCENARIOS
    assert [(note.level, note.span.line) for note in notes] == [("warning", 12)]
    for name in names:
        assert {scenario.conditions[name] for scenario in found} == {True, False}


def test_a_condition_that_many_parameters_must_meet_comes_out_true() -> None:
    names = [f"P{number}" for number in range(20)]
    text = "Parameters:\n" + "".join(f"  {name}: {{Type: String}}\n" for name in names)
    compared = ", ".join(f"!Equals [!Ref {name}, x]" for name in names)
    text += f"Conditions: {{All: !And [{compared}]}}\nResources: {{A: {{Type: T, Condition: All}}}}\n"
    found, _ = scenarios(load(text, "t.yaml"), Scenario())
    assert [scenario.name for scenario in found] == ["All is false", "All is true"]


def test_conditions_that_explode_end() -> None:
    doubled = "".join(f"  C{n}: !And [!Condition C{n + 1}, !Condition C{n + 1}]\n" for n in range(300))
    nested = "  N: " + "!Not [" * 120 + "!Condition C0" + "]" * 120 + "\n"
    text = f"Conditions:\n{nested}{doubled}  C300: !Equals [!Ref Open, x]\n{HEAD}!If [N, a, b]\n"
    found, _ = scenarios(load(text, "t.yaml"), Scenario())
    assert found
    many = "".join(f"  C{n}: !Equals [!Ref AWS::StackName, 's{n}']\n" for n in range(200))
    used = "[" + ", ".join(f"!If [C{n}, a, b]" for n in range(200)) + "]"
    found, notes = scenarios(load(f"Conditions:\n{many}{HEAD}{used}\n", "t.yaml"), Scenario())
    assert len(found) == MAX_SCENARIOS
    assert len(notes) == 1


def test_long_holes_are_read_in_one_pass() -> None:
    text = "${" + " " * 60_000
    assert plain(value(f"!Sub '{text}'")) == text


# The rest of the document --------------------------------------------------------------------------------------------

MACROS = {
    "": [],
    "Transform: AWS::Serverless-2016-10-31\n": [],
    "Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]\n": [],
    "Transform: [AWS::LanguageExtensions, Own]\n": ["Own"],
    "Transform: {Name: AWS::Include, Parameters: {Location: s3://x}}\n": ["AWS::Include"],
    "Transform: [{Name: Own}]\n": ["Own"],
    "Fn::Transform: {Name: AWS::Include}\n": ["Fn::Transform"],
}


@pytest.mark.parametrize(("head", "names"), MACROS.items())
def test_macros(head: str, names: list[str]) -> None:
    assert [macro.name for macro in document(f"{head}{HEAD}x\n").macros] == names


def test_a_name_inside_a_module_may_be_declared() -> None:
    text = """
Resources:
  Shared: {Type: Company::S3::Bucket::MODULE}
  Reader: {Type: T, Properties: {A: !Ref SharedBucket, B: !GetAtt Shared.Bucket.Arn, C: !Ref Nowhere}}
"""
    reader = document(text).resources.entries["Reader"]
    assert isinstance(reader, Map)
    properties = reader.entries["Properties"]
    assert isinstance(properties, Map)
    assert [value.parts for value in properties.entries.values() if isinstance(value, Unknown)] == [
        (Deferred("undefined", "SharedBucket"),),
        (Reference("Shared", "Bucket.Arn"),),
        (Deferred("missing", "Nowhere"),),
    ]


def test_macros_inside_resources() -> None:
    text = (
        f"{HEAD}x\n  Fn::ForEach::L: [N, [a], {{}}]\n  Made: {{'Fn::Transform': {{Name: X}}}}\n  Own: !Module x.yaml\n"
    )
    assert [macro.name for macro in document(text).macros] == ["Fn::ForEach::L", "Fn::Transform", "!Module"]
    only = "AWSTemplateFormatVersion: '2010-09-09'\nResources: {'Fn::Transform': {Name: X}}\n"
    found = document(only)
    assert [macro.name for macro in found.macros] == ["Fn::Transform"]
    assert not found.resources.entries


def test_sections_that_are_not_there_are_empty() -> None:
    found = document("Resources:\n  A: {Type: T}\nOutputs:\nMetadata: ~\n")
    assert (found.parameters.entries, found.outputs.entries, found.metadata.entries) == ({}, {}, {})
    assert isinstance(found.description, Absent)
    assert found.description.span.line == 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("!Sub 'orders-${Open}'", "orders-${Open}"),
        ("!Ref Stored", "${Stored}"),
        ("'{{resolve:ssm:/shop/table}}'", "{{resolve:ssm:/shop/table}}"),
        ("!Sub 'a-{{resolve:ssm:/x/${Open}}}-b'", "a-{{resolve:ssm:/x/${Open}}}-b"),
        ("!Join ['/', [!GetAtt Table.Arn, !Ref AWS::Region]]", "${Table.Arn}/${AWS::Region}"),
        ("!ImportValue shared-table", "${shared-table}"),
    ],
)
def test_holes_are_spelled_as_the_template_writes_them(written: str, said: str) -> None:
    assert spelled(parts_of(value(written))) == said
