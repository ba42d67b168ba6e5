"""Where AWS's own ``cloudformation-validate`` calls a value of a template known, we read the same value."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cloudformation_validate import ResolvedValue, TemplateContent, TemplateModel, ValidationError

from cfaudit.load import load
from cfaudit.nodes import Absent, Deferred, Map, Reference, Scalar, Seq, TemplateError, Unknown, Value, as_text
from cfaudit.resolve import Document, Scenario, resolve
from stacks import ROOT

REGION = "us-east-1"

# What the library takes for the pseudo parameters that deploy time fills in; we keep them as holes.
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/teststack/"
    "51af3dc0-da77-11e4-872e-1234567db123",
    "AWS::StackName": "teststack",
    "AWS::URLSuffix": "amazonaws.com",
}

USER_GUIDE = "docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/"
FUNCTIONS = "docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference"

# Where we differ on purpose: a pattern of the line that tells the difference, why, and the page that says so.
EXPLAINED: tuple[tuple[str, str, str], ...] = (
    (
        r"Fn::GetAZs|Fn::Select <> 'us-east-1[ab]'",
        "the account decides which zones there are",
        FUNCTIONS + "-getavailabilityzones.html",
    ),
    (
        r"Fn::Select <> 'media-11e4'",
        "a piece of the stack's id, another one in every stack",
        "docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/pseudo-parameter-reference.html",
    ),
    (
        r"dynamic ssm:\S+ <> '/",
        "the value is fetched at deploy time, the default only says from where",
        USER_GUIDE + "cloudformation-supplied-parameter-types.html",
    ),
    (
        r"<> .*\$\{ ",
        "CloudFormation ignores spaces around the name of a variable",
        "github.com/aws-cloudformation/cfn-lint/issues/236",
    ),
    (
        r"#false: not there",
        "a logical id is text: `Off` is no boolean",
        USER_GUIDE + "resources-section-structure.html",
    ),
    (
        r"conditions.yaml#myInstance3\.|#(myPolicy2|conditionLoadBalancer)\.|identifiers.yaml#Bucket1\.",
        "Fn::If in the place of all properties is one of its branches; the library keeps it as a property",
        FUNCTIONS + "-conditions.html",
    ),
    (
        r"<> (\[?\{'Fn::\w+': )",
        "a malformed call, or Fn::Transform, is a map for the library and a hole for us",
        FUNCTIONS + ".html",
    ),
    (
        r"function Fn::FindInMap <> \[\{",
        "the values of a mapping are strings and lists, no maps",
        USER_GUIDE + "mappings-section-structure.html",
    ),
    (
        r"<> .*(dynamic keys|non-string elements)",
        "we know more: the conditions decide the keys, and 1 is text in Fn::Join",
        FUNCTIONS + "-findinmap.html",
    ),
    (
        r"/DeletionPolicy: function Fn::Cidr",
        "blocks of addresses are left open: no rule asks for one",
        FUNCTIONS + "-cidr.html",
    ),
    (
        r"missing (\w+)\.Arn <> Reference\(logical_id='\1'",
        "nothing in the template declares it",
        FUNCTIONS + "-getatt.html",
    ),
    (
        r"undefined MyModule",
        "a resource inside a module, which the library takes for one of the template",
        USER_GUIDE + "module-ref-resources.html",
    ),
    (
        r"foreach\w*\.yaml#\S+: not there",
        "the list of the loop is open, or the template lacks the transform",
        FUNCTIONS + "-foreach.html",
    ),
    (
        r"-loop\.yaml#\S+: (not there|Reference\(.* <> \{'Ref': )",
        "the list of the loop is open, or the library keeps a Ref as a call whose name the loop gives",
        FUNCTIONS + "-foreach.html",
    ),
    (
        r"#Included: not there",
        "the tag of a preprocessor is no resource before that has run",
        "github.com/aws-cloudformation/rain",
    ),
    (
        r"^bad/.*: refused",
        "keys that stand twice, a parameter without a type, a type that is no text",
        USER_GUIDE + "template-anatomy.html",
    ),
)


class Opaque(NamedTuple):
    """A value that the library leaves open."""

    reason: str


Theirs: TypeAlias = "str | int | float | bool | list[Theirs] | dict[str, Theirs] | Reference | Opaque | None"


def theirs(value: ResolvedValue, truth: Mapping[str, bool]) -> Theirs:
    """The library's value under conditions, nulls (its ``AWS::NoValue``) left out of lists and maps."""
    if value.is_CONDITIONAL() and value.condition in truth:
        return theirs(value.if_true if truth[value.condition] else value.if_false, truth)
    if value.is_CONCRETE():
        return plain(value.value)
    if value.is_LIST_VALUE():
        items = [theirs(item, truth) for item in value.items]
        return [item for item in items if item is not None]
    if value.is_MAP():
        return without_nulls({entry.key: theirs(entry.value, truth) for entry in value.entries})
    if value.is_REFERENCE():
        return Reference(value.target, value.kind.attr if value.kind.is_GET_ATT() else None)
    return Opaque("one of several" if value.is_ENUM_VALUE() else str(value))


def plain(value: object) -> Theirs:
    """The library's JSON as Python has it."""
    match type(value).__name__:
        case "JsonValueEnum.NULL":
            return None
        case "JsonValueEnum.ARRAY":
            return [plain(item) for item in value.items]
        case "JsonValueEnum.OBJECT":
            return without_nulls({key: plain(item) for key, item in value.entries.items()})
        case _:
            return value.value


def without_nulls(entries: dict[str, Theirs]) -> dict[str, Theirs]:
    return {key: value for key, value in entries.items() if value is not None}


def differences(wanted: Theirs, ours: Value, path: str, agreed: list[str]) -> Iterator[str]:
    """A line per value that is not the same; the paths of those that are go to ``agreed``."""
    match wanted, ours:
        case dict(), Map(entries):
            for key in sorted(wanted.keys() | entries.keys()):
                yield from differences(wanted.get(key), entries.get(key, Absent(ours.span)), f"{path}.{key}", agreed)
        case list(), Seq(items) if len(wanted) == len(items):
            for index, item in enumerate(items):
                yield from differences(wanted[index], item, f"{path}.{index}", agreed)
        case Opaque("one of several"), _:
            return
        case Opaque(), Unknown() | Map() | Seq() | Absent():
            return
        case _ if same(wanted, ours):
            agreed.append(path)
        case _:
            yield f"{path}: {shown(ours)} <> {wanted!r}"


def same(wanted: Theirs, ours: Value) -> bool:
    match wanted, ours:
        case None, Absent() | Scalar(_, _, "null"):
            return True
        case bool(), Scalar():
            return as_text(ours) == str(wanted).lower()
        case ((int() | float()), Scalar(text)):
            return bool(re.fullmatch(r"[-+.\deE]+", text)) and float(text) == wanted
        case str(), Scalar(text):
            # What user data says is what rules read: Fn::Base64 leaves the text as it is.
            return wanted in (text, encoded(text))
        case str(), Unknown(_, parts):
            text = "".join(part if isinstance(part, str) else filled(part) for part in parts)
            return wanted in (text, encoded(text))
        case Reference(), Unknown(_, parts):
            return parts == (wanted,)
        case _:
            return False


def filled(hole: Reference | Deferred) -> str:
    return PSEUDO.get(hole.name, "?") if isinstance(hole, Deferred) else "?"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def shown(value: Value) -> str:
    match value:
        case Scalar(text, _, kind):
            return f"{kind} {text!r}"
        case Unknown(_, parts):
            return " + ".join(
                f"{part.kind} {part.name}" if isinstance(part, Deferred) else repr(part) for part in parts
            )
        case _:
            return type(value).__name__.lower()


def compared(path: Path, folder: Path, agreed: list[str]) -> Iterator[str]:
    """Every difference of one template, its conditions all taken for true, then all for false."""
    name = path.relative_to(folder).as_posix()
    text = path.read_bytes()
    try:
        model = TemplateModel(TemplateContent(text, name))
    except ValidationError:
        return
    try:
        source = load(text.decode("utf-8-sig"), name)
    except (TemplateError, UnicodeDecodeError) as error:
        yield from [f"{name}: refused, {error}"] if model.resources() else []
        return
    conditions = model.conditions()
    for truth in (True, False) if conditions else (True,):
        assumed = dict.fromkeys(conditions, truth)
        document = resolve(source, Scenario(region=REGION, conditions=assumed))
        yield from stack_differences(model, document, name, agreed)


def stack_differences(model: TemplateModel, document: Document, name: str, agreed: list[str]) -> Iterator[str]:
    truth = document.scenario.conditions
    for logical_id, resource in model.resources().items():
        body = document.resources.entries.get(logical_id)
        if isinstance(body, Map):
            # SAM's Globals: the library has merged them in, our model does when it is asked.
            shared = merged(document, resource.resource_type)
            wanted = {key: theirs(value, truth) for key, value in resource.properties.items() if key not in shared}
            properties = without(body.entries.get("Properties", Map({}, {}, body.span)), shared)
            yield from differences(without_nulls(wanted), properties, f"{name}#{logical_id}", agreed)
            policy = theirs(resource.deletion_policy, truth) if resource.deletion_policy else None
            kept = body.entries.get("DeletionPolicy", Absent(body.span))
            yield from differences(policy, kept, f"{name}#{logical_id}/DeletionPolicy", agreed)
        elif logical_id not in document.inactive:
            yield f"{name}#{logical_id}: not there"
    for key, output in model.outputs().items():
        declared = document.outputs.entries.get(key)
        if isinstance(declared, Map):
            value = declared.entries.get("Value", Absent(declared.span))
            yield from differences(theirs(output.value, truth), value, f"{name}#Outputs/{key}", agreed)


def merged(document: Document, type_: str) -> Mapping[str, Value]:
    section = document.globals.entries.get(type_.removeprefix("AWS::Serverless::"))
    return section.entries if isinstance(section, Map) and type_.startswith("AWS::Serverless::") else {}


def without(value: Value, keys: Mapping[str, Value]) -> Value:
    match value:
        case Map(entries, spans, span):
            return Map({key: item for key, item in entries.items() if key not in keys}, spans, span)
        case _:
            return value


def unexplained(folder: Path) -> tuple[list[str], int]:
    """The differences that no row of the table explains, and how many values agree."""
    agreed: list[str] = []
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml", ".json"))
    lines = [line for path in files for line in compared(path, folder, agreed)]
    return [line for line in lines if not any(re.search(row[0], line) for row in EXPLAINED)], len(agreed)


def test_fixtures() -> None:
    wrong, agreed = unexplained(ROOT / "fixtures")
    assert wrong == []
    assert agreed > 15_000


def test_templates_of_others(cfn_lint_templates: Path) -> None:
    wrong, agreed = unexplained(cfn_lint_templates)
    assert wrong == []
    assert agreed > 9_000
