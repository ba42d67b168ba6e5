"""A template written as JSON means the same."""

from __future__ import annotations

import json
from typing import TypeAlias

import pytest

from cfaudit.load import load
from cfaudit.nodes import Absent, Map, Part, Scalar, Seq, TemplateError, Unknown, Value, truth
from cfaudit.render.template import to_json
from cfaudit.resolve import Document, Scenario, resolve, scenarios
from reports import AUDITED, REFERENCE, text_of

Meaning: TypeAlias = "str | bool | list[Meaning] | dict[str, Meaning] | tuple[Part, ...] | None"


def meaning(value: Value) -> Meaning:
    """A value without its place; booleans and nulls by what they are, anything else by its text."""
    match value:
        case Scalar(text, _, kind):
            return truth(value) if kind == "bool" else None if kind == "null" else text
        case Seq(items):
            return [meaning(item) for item in items]
        case Map(entries):
            return {key: meaning(item) for key, item in entries.items()}
        case Unknown(_, parts):
            return parts
        case Absent():
            return None


def documents(text: str, path: str) -> list[Document]:
    source = load(text, path)
    branches, _ = scenarios(source, Scenario())
    return [resolve(source, branch) for branch in branches]


def sections(document: Document) -> list[Meaning]:
    members = (document.description, document.parameters, document.resources, document.outputs, document.metadata)
    return [meaning(member) for member in members]


@pytest.mark.parametrize("path", [AUDITED, REFERENCE])
def test_a_fixture_means_the_same(path: str) -> None:
    text = text_of(path)
    twin = to_json(text, path)
    ours, theirs = documents(text, path), documents(twin, "twin.json")
    assert [document.scenario.conditions for document in ours] == [document.scenario.conditions for document in theirs]
    assert [sections(document) for document in ours] == [sections(document) for document in theirs]
    assert twin.endswith("}\n")


@pytest.mark.parametrize("path", [AUDITED, REFERENCE])
def test_keys_keep_their_order(path: str) -> None:
    twin = json.loads(to_json(text_of(path), path))
    source = load(text_of(path), path)
    resources = source.root.entries["Resources"]
    assert isinstance(resources, Map)
    assert list(twin) == list(source.root.entries)
    assert list(twin["Resources"]) == list(resources.entries)


@pytest.mark.parametrize(
    ("yaml", "wanted"),
    [
        ("2010-09-09", "2010-09-09"),
        ("12", 12),
        ("-1.50", -1.5),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("+5", "+5"),
        ("'12'", "12"),
        ("true", True),
        ("No", False),
        ("'true'", "true"),
        ("~", None),
        ("''", ""),
        ("|\n  a\n  b\n", "a\nb\n"),
        ('"\\e\\"\\u2028"', '\x1b"\u2028'),
        ("[]", []),
        ("{}", {}),
        ("!Ref A", {"Ref": "A"}),
        ("!GetAtt A.Outputs.B", {"Fn::GetAtt": ["A", "Outputs.B"]}),
        ("{Fn::GetAtt: A.Arn}", {"Fn::GetAtt": ["A", "Arn"]}),
        ("!GetAtt [A, Arn]", {"Fn::GetAtt": ["A", "Arn"]}),
        ("!Sub '${A}-x'", {"Fn::Sub": "${A}-x"}),
        ("!Sub ['${B}', {B: !Ref A}]", {"Fn::Sub": ["${B}", {"B": {"Ref": "A"}}]}),
        ("!If [C, !Ref A, !Ref 'AWS::NoValue']", {"Fn::If": ["C", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]}),
        ("!Condition C", {"Condition": "C"}),
        ("!GetAZs ''", {"Fn::GetAZs": ""}),
        ("!Base64 {Fn::Sub: x}", {"Fn::Base64": {"Fn::Sub": "x"}}),
        ("{Fn::Transform: {Name: M, Parameters: {K: v}}}", {"Fn::Transform": {"Name": "M", "Parameters": {"K": "v"}}}),
        ("[{a: 1}, [b, 2]]", [{"a": 1}, ["b", 2]]),
    ],
)
def test_a_value(yaml: str, wanted: object) -> None:
    assert json.loads(to_json(f"A: {yaml}", "x.yaml")) == {"A": wanted}


def test_json_is_read_as_well_and_keeps_its_numbers() -> None:
    assert to_json('{"A": [1.10, 1e3, "\\ud83d\\ude00"]}', "x.json") == '{\n  "A": [1.10, "1e3", "\U0001f600"]\n}\n'


def test_a_local_tag_has_no_form() -> None:
    with pytest.raises(TemplateError, match="!Rain::Module has no form in JSON"):
        to_json("A: !Rain::Module x", "x.yaml")


def test_deep_calls_take_no_time() -> None:
    deep = "!Ref A"
    for _ in range(50):
        deep = f"!Join ['', [{deep}]]"
    assert "Fn::Join" in to_json(f"A: {deep}", "x.yaml")
