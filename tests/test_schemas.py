"""The JSON Schemas say what the report object and the configuration reader say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeAlias, get_args, get_type_hints

import pytest
import yaml
from jsonschema import Draft202012Validator

import cfaudit
from cfaudit import compare
from cfaudit import report as objects
from cfaudit.baseline import load_baseline
from cfaudit.config import SCREENING, load_config
from cfaudit.finding import Severity, Verdict
from cfaudit.fleet import catalogue
from cfaudit.graph import EdgeState, Group, NodeKind
from cfaudit.model.wires import WireKind
from cfaudit.nodes import TemplateError
from cfaudit.profile import PROFILES
from cfaudit.render.outline import GROUPS
from cfaudit.report import Report, report
from cfaudit.rule import ACTIONS, OPTIONS
from cfaudit.score import GRADES
from reports import KEY, audited, hostile, of_file, several, template

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

FOLDER = Path(cfaudit.__file__).parent / "schemas"
REPORT = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))
BASELINE = json.loads((FOLDER / "baseline.json").read_text(encoding="utf-8"))
DIFF = json.loads((FOLDER / "diff.json").read_text(encoding="utf-8"))
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))

OBJECTS = {
    "tool": objects.ToolObject,
    "template": objects.TemplateObject,
    "diagnostic": objects.DiagnosticObject,
    "finding": objects.FindingObject,
    "evidence": objects.EvidenceObject,
    "remedy": objects.RemedyObject,
    "link": objects.LinkObject,
    "waiver": objects.WaiverObject,
    "rule": objects.RuleObject,
    "components": objects.ComponentsObject,
    "component": objects.ComponentObject,
    "option": objects.OptionObject,
    "step": objects.StepObject,
    "scorecard": objects.ScorecardObject,
    "category": objects.CategoryObject,
    "gate": objects.GateObject,
    "readiness": objects.ReadinessObject,
    "sentence": objects.SentenceObject,
    "manual_step": objects.ManualStepObject,
    "graph": objects.GraphObject,
    "node": objects.NodeObject,
    "edge": objects.EdgeObject,
    "tests": objects.TestsObject,
    "tested": objects.TestedObject,
    "tested_type": objects.TestedTypeObject,
    "place": objects.PlaceObject,
}


def errors(found: Report) -> list[str]:
    """What the schema says of a report as a reader of the JSON gets it."""
    written = json.loads(json.dumps(found))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(REPORT).iter_errors(written)]


@pytest.mark.parametrize("schema", [REPORT, CONFIG, BASELINE, DIFF], ids=["report", "config", "baseline", "diff"])
def test_schemas_are_schemas(schema: dict[str, Json]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", OBJECTS)
def test_schema_and_object_have_the_same_fields(name: str) -> None:
    held = REPORT["$defs"][name]
    hints = get_type_hints(OBJECTS[name])
    assert held["required"] == list(held["properties"])
    assert set(held["properties"]) == set(hints)
    assert "additionalProperties" not in held
    for field, hint in hints.items():
        assert nullable(held["properties"][field]) == ("None" in str(hint)), field


def nullable(schema: dict[str, Json]) -> bool:
    return "null" in re.findall(r"\w+", json.dumps({key: schema[key] for key in schema if key != "description"}))


def test_every_object_has_a_schema() -> None:
    declared = {value for name, value in vars(objects).items() if name.endswith("Object")}
    assert declared == set(OBJECTS.values())
    assert set(REPORT["$defs"]) == {*OBJECTS, "severity"}
    assert REPORT["required"] == list(get_type_hints(Report))


def test_enums_are_those_of_the_code() -> None:
    fields = {name: held["properties"] for name, held in REPORT["$defs"].items() if "properties" in held}
    assert REPORT["$defs"]["severity"]["enum"] == [severity.value for severity in Severity]
    assert fields["rule"]["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert fields["option"]["id"]["enum"] == list(OPTIONS)
    assert fields["step"]["action"]["enum"] == list(ACTIONS)
    assert set(fields["edge"]["kinds"]["items"]["enum"]) == {*get_args(WireKind), "needs"} - {"assumes"}
    assert fields["edge"]["state"]["enum"] == list(get_args(EdgeState))
    assert fields["node"]["kind"]["enum"] == list(get_args(NodeKind))
    assert fields["node"]["group"]["enum"] == list(get_args(Group)) == list(GROUPS)
    assert fields["scorecard"]["grade"]["enum"] == [*(letter for _, letter in GRADES), "F", None]


SAM = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String}}
Conditions: {IsProd: !Equals [!Ref Stage, prod]}
Resources:
  Api: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: app.handler, CodeUri: src/}}
  Key: {Type: AWS::KMS::Key, Properties: {KeyPolicy: {}, EnableKeyRotation: !If [IsProd, true, false]}}
  Bucket: {Type: AWS::S3::Bucket, Condition: IsProd}
"""
EMPTY = "Resources:\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n"
TAGGED = "Resources:\n  Odd: !Rain::Module x\n  Key: {Type: AWS::KMS::Key, Properties: {EnableKeyRotation: !Odd y}}\n"


@pytest.mark.parametrize(
    "found",
    [
        audited(),
        hostile(),
        several(),
        report([of_file("fixtures/reference/crowdfunding.yaml")]),
        report([template(text) for text in (SAM, EMPTY, TAGGED, KEY)]),
        report([]),
    ],
    ids=["audited", "hostile", "several", "reference", "corpus", "none"],
)
def test_reports_are_valid(found: Report) -> None:
    assert errors(found) == []


def test_what_is_said_of_one_place_stands_in_one_note() -> None:
    found = of_file("fixtures/rules/public-bucket/fail.yaml")["findings"]
    evidence = [item for finding in found if finding["rule"] == "public-bucket" for item in finding["evidence"]]
    assert "BlockPublicPolicy is off; RestrictPublicBuckets is off" in [item["note"] for item in evidence]
    assert len({(item["line"], item["text"]) for item in evidence}) == len(evidence)


def test_a_conditional_gap_says_when() -> None:
    found = template(SAM)["findings"]
    assert [finding["when"] for finding in found if finding["rule"] == "key-rotation-off"] == ["IsProd is false"]


def test_fields_may_be_added_within_a_version() -> None:
    later = json.loads(json.dumps(audited()))
    later["templates"][0]["findings"][0]["novel"] = 1
    assert not list(Draft202012Validator(REPORT).iter_errors(later))


# The configuration ---------------------------------------------------------------------------------------------------

GOOD = (
    "rules_dirs: []",
    "profile: crowdfunding",
    "profile: auto",
    "screening: waf-fraud-control",
    "bind: {campaigns-table: Projects, alarm: Siren}",
    "bind: {}",
    "external: []",
    "external:\n- {component: user-pool, reason: the login team's}\n- {type: 'AWS::S3::Bucket', reason: central}",
    "external: [{name: shared-topic, reason: central}]",
    "profile: production",
    "rules: {no-mfa: off, untraced-api: high}",
    "{fail_on: never, min_score: 80.5}",
    "environments: {prod: {Suffix: prod, Count: 3}}",
    "waivers: [{rule: no-mfa, reason: the login team's, until: '2027-03-31', resource: Pool, template: 'a/*'}]",
    "waivers: []",
    "{tests: tests, junit: [out/*.xml, unit.xml], docs: [docs/RUNBOOK.md]}",
    "tests: []",
    "baseline: known/gaps.json",
)
BAD = (
    "rules: [no-mfa]",
    "rules: {no-mfa: grave}",
    "fail_on: info",
    "min_score: 101",
    "min_score: high",
    "environments: {prod: [x]}",
    "environments: {prod: {Suffix: [x]}}",
    "waivers: {rule: no-mfa}",
    "rules_dirs: rules",
    "rules_dirs: [[rules]]",
    "waivers: [no-mfa]",
    "waivers: [{rule: no-mfa}]",
    "waivers: [{reason: because}]",
    "waivers: [{rule: no-mfa, reason: ''}]",
    "waivers: [{rule: no-mfa, reason: because, til: '2027-03-31'}]",
    "tests: {folder: tests}",
    "junit: [[unit.xml]]",
    "baseline: ''",
    "baseline: 3",
    "baseline: [a.json]",
    "[]",
    "unknown: 1",
    "profile: fancy",
    "profile: [serverless]",
    "screening: magic",
    "bind: [campaigns-table]",
    "bind: {campaigns-table: [Projects]}",
    "external: {component: user-pool, reason: x}",
    "external: [user-pool]",
    "external: [{component: user-pool}]",
    "external: [{reason: nobody}]",
    "external: [{component: user-pool, type: 'AWS::S3::Bucket', reason: x}]",
    "external: [{component: user-pool, reason: x, until: 2027-01-01}]",
    "external: [{component: [user-pool], reason: x}]",
)


def valid(text: str) -> bool:
    return not list(Draft202012Validator(CONFIG).iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize("text", GOOD)
def test_good_configurations(text: str) -> None:
    load_config(Path("cfaudit.yaml"), text, catalogue)
    assert valid(text)


@pytest.mark.parametrize("text", BAD)
def test_bad_configurations(text: str) -> None:
    with pytest.raises(TemplateError):
        load_config(Path("cfaudit.yaml"), text, catalogue)
    assert not valid(text)


COMPARED = {
    "tool": objects.ToolObject,
    "state": compare.StateObject,
    "gap": compare.GapObject,
    "side": compare.SideObject,
    "score_change": compare.ScoreChangeObject,
    "category_change": compare.CategoryChangeObject,
    "grade_change": compare.GradeChangeObject,
    "comparison": compare.ComparisonObject,
    "gate": compare.NewGateObject,
}


@pytest.mark.parametrize("name", COMPARED)
def test_schema_and_object_of_a_comparison_have_the_same_fields(name: str) -> None:
    held = DIFF["$defs"][name]
    assert held["required"] == list(held["properties"])
    assert set(held["properties"]) == set(get_type_hints(COMPARED[name]))


def test_every_object_of_a_comparison_has_a_schema() -> None:
    assert set(DIFF["$defs"]) == {*COMPARED, "severity"}
    assert DIFF["required"] == list(DIFF["properties"]) == list(get_type_hints(compare.Diff))
    assert DIFF["$defs"]["severity"]["enum"] == REPORT["$defs"]["severity"]["enum"]
    assert DIFF["$defs"]["grade_change"]["properties"]["old"]["enum"] == [*(letter for _, letter in GRADES), "F", None]


ENTRY = {"fingerprint": "0123456789abcdef", "rule": "r", "path": "p", "subject": "s", "message": "m"}
BASELINES = (
    ({"schema": 1, "findings": []}, True),
    ({"schema": 1, "findings": [ENTRY]}, True),
    ({"schema": 2, "findings": []}, False),
    ({"schema": "1", "findings": []}, False),
    ({"findings": []}, False),
    ({"schema": 1}, False),
    ({"schema": 1, "findings": {}}, False),
    ({"schema": 1, "findings": [], "more": 1}, False),
    ({"schema": 1, "findings": ["x"]}, False),
    ({"schema": 1, "findings": [{**ENTRY, "more": 1}]}, False),
    ({"schema": 1, "findings": [{**ENTRY, "message": 1}]}, False),
    ({"schema": 1, "findings": [{**ENTRY, "fingerprint": "0123"}]}, False),
    ({"schema": 1, "findings": [{**ENTRY, "fingerprint": "0123456789ABCDEF"}]}, False),
    *(({"schema": 1, "findings": [{k: v for k, v in ENTRY.items() if k != name}]}, False) for name in ENTRY),
    ([], False),
    (None, False),
)


@pytest.mark.parametrize(("held", "good"), BASELINES)
def test_schema_and_reader_agree_about_baselines(held: Json, *, good: bool) -> None:
    assert Draft202012Validator(BASELINE).is_valid(held) is good
    text = json.dumps(held)
    if good:
        load_baseline(text, "b.json")
    else:
        with pytest.raises(TemplateError):
            load_baseline(text, "b.json")


def test_the_configuration_names_what_there_is() -> None:
    fields = CONFIG["properties"]
    assert fields["profile"]["anyOf"][0]["enum"] == ["auto", *PROFILES]
    assert fields["screening"]["enum"] == list(SCREENING)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("bind: {no-such-component: Projects}", "no component", "known are"),
        ("bind: {campaign-table: Projects}", "no component", "campaigns-table"),
        ("rules: {no-mfaa: off}", "no rule 'no-mfaa'", "did you mean 'no-mfa'?"),
        ("rules: {zzz: off}", "no rule 'zzz'", "'cfaudit rules'"),
        ("waivers: [{rule: no-mfa, reason: x, until: soon}]", "'soon' is no day", "2027-03-31"),
        ("profle: auto", "'profle' is no key", "did you mean 'profile'?"),
    ],
)
def test_what_is_misspelt_gets_the_nearest_right_word(text: str, said: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load_config(Path("cfaudit.yaml"), text, catalogue)
    assert said in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.span.line == 1
