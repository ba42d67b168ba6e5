"""Waivers: where they stand, what they cover, when they stop, and what is said of those that do not work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cfaudit.fleet import Options, Outcome, run, unneeded
from cfaudit.nodes import TemplateError
from cfaudit.report import FindingObject, TemplateObject
from cfaudit.sources.files import inputs
from stacks import AS_OF

KEY = """\
Description: keys
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy: {}
      EnableKeyRotation: false
  Other:
    Type: AWS::KMS::Key
    Properties: {KeyPolicy: {}, EnableKeyRotation: false}
"""


def audit(folder: Path, text: str, config: str = "", options: Options | None = None) -> Outcome:
    folder = folder / str(len(list(folder.iterdir())))  # a configuration is read once
    folder.mkdir()
    (folder / "stack.yaml").write_text(text, encoding="utf-8")
    (folder / "cfaudit.yaml").write_text(config or "{}", encoding="utf-8")
    (outcome,) = run(inputs([str(folder / "stack.yaml")]), options or Options(as_of=AS_OF))
    return outcome


def of_rule(template: TemplateObject, rule: str = "key-rotation-off") -> dict[str, FindingObject]:
    return {finding["subject"]: finding for finding in template["findings"] if finding["rule"] == rule}


def notes(template: TemplateObject) -> list[str]:
    return [f"{note['line']}: {note['message']}" for note in template["diagnostics"]]


HERE = {
    "on the line": ("EnableKeyRotation: false\n  Other", "EnableKeyRotation: false  # cfaudit: ignore[{}]{}\n  Other"),
    "on the line above": (
        "      EnableKeyRotation: false\n  Other",
        "      # cfaudit: ignore[{}]{}\n\n      # why\n      EnableKeyRotation: false\n  Other",
    ),
    "at the resource": ("  Key:\n", "  Key:  # cfaudit: ignore[{}]{}\n"),
    "above the resource": ("  Key:\n", "  # cfaudit: ignore[{}]{}\n  Key:\n"),
}


@pytest.mark.parametrize("place", HERE)
@pytest.mark.parametrize(("dated", "until"), [("", None), (" until 2026-11-22", "2026-11-22")])
def test_a_comment_covers_its_line_or_resource(tmp_path: Path, place: str, dated: str, until: str | None) -> None:
    before, after = HERE[place]
    marked = after.format("key-rotation-off, public-bucket", " the keys' team rotates" + dated)
    assert KEY.count(before) == 1
    outcome = audit(tmp_path, KEY.replace(before, marked))
    found = of_rule(outcome.templates[0])
    assert found["Key"]["verdict"] == "waived"
    assert found["Key"]["waiver"] == {"reason": "the keys' team rotates", "until": until}
    assert found["Key"]["cost"] == 0
    assert found["Other"]["verdict"] == "fail"
    assert notes(outcome.templates[0]) == []


def test_metadata_covers_its_resource_in_json_too(tmp_path: Path) -> None:
    waiver = {"rule": "key-rotation-off", "reason": "imported material", "until": "2027-03-31"}
    bodies = {
        name: {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}, "EnableKeyRotation": False}}
        for name in ("Key", "Other")
    }
    bodies["Key"]["Metadata"] = {"cfaudit": {"ignore": [waiver]}}
    found = of_rule(audit(tmp_path, json.dumps({"Resources": bodies})).templates[0])
    assert {subject: finding["verdict"] for subject, finding in found.items()} == {"Key": "waived", "Other": "fail"}


def test_metadata_at_the_top_covers_the_template(tmp_path: Path) -> None:
    text = "Metadata: {cfaudit: {ignore: [{rule: key-rotation-off, reason: a sandbox}]}}\n" + KEY
    template = audit(tmp_path, text).templates[0]
    assert {finding["verdict"] for finding in of_rule(template).values()} == {"waived"}
    (rule,) = [rule for rule in template["rules"] if rule["id"] == "key-rotation-off"]
    assert (rule["verdict"], rule["possible"], rule["earned"]) == ("waived", 0, 0)


@pytest.mark.parametrize(
    ("entry", "waived"),
    [
        ("{rule: key-rotation-off, reason: x}", {"Key", "Other"}),
        ("{rule: key-rotation-off, reason: x, resource: Other}", {"Other"}),
        ("{rule: key-rotation-off, reason: x, template: '*.yaml'}", {"Key", "Other"}),
        ("{rule: key-rotation-off, reason: x, template: 'live/*'}", set()),
    ],
)
def test_the_configuration_covers_what_it_names(tmp_path: Path, entry: str, waived: set[str]) -> None:
    found = of_rule(audit(tmp_path, KEY, f"waivers: [{entry}]").templates[0])
    assert {subject for subject, finding in found.items() if finding["verdict"] == "waived"} == waived


def test_a_waived_gap_fails_no_gate_and_costs_nothing(tmp_path: Path) -> None:
    only = Options(as_of=AS_OF, select=frozenset({"key-rotation-off"}), fail_on="medium")
    failed = audit(tmp_path, KEY, options=only)
    waived = audit(tmp_path, KEY, "waivers: [{rule: key-rotation-off, reason: x}]", only)
    assert (failed.code, waived.code) == (1, 0)
    card = waived.templates[0]["scorecard"]
    assert card is not None
    assert card["overall"] is None
    everything = audit(tmp_path, KEY, "waivers: [{rule: key-rotation-off, reason: x}]", only._replace(waivers=False))
    assert everything.code == 1
    assert of_rule(everything.templates[0])["Key"]["verdict"] == "fail"


def test_a_waived_component_leaves_the_count(tmp_path: Path) -> None:
    text = "Metadata: {cfaudit: {ignore: [{rule: missing-component, reason: a part of the stack}]}}\n" + KEY
    options = Options(as_of=AS_OF, profile="crowdfunding", strict=True)
    held = audit(tmp_path, text, options=options).templates[0]["components"]
    assert held["required"] < 10
    assert not any(item["present"] for item in held["items"] if item["id"] == "campaigns-table")
    assert "campaigns-table" not in held["missing"]


def test_past_its_last_day_a_waiver_stops_and_is_reported(tmp_path: Path) -> None:
    text = KEY.replace("  Key:\n", "  Key:  # cfaudit: ignore[key-rotation-off] soon until 2026-11-21\n")
    template = audit(tmp_path, text).templates[0]
    assert of_rule(template)["Key"]["verdict"] == "fail"
    (note,) = notes(template)
    assert note.startswith("3: the waiver of key-rotation-off ended on 2026-11-21: its findings count again")


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# cfaudit: ignore[key-rotation-of] x", "names a rule that there is not: 'key-rotation-of' (did you mean"),
        ("# cfaudit: ignore[key-rotation-off]", "gives no reason"),
        ("# cfaudit: ignore[key-rotation-off] until 2027-01-01", "gives no reason"),
        ("# cfaudit: ignore[key-rotation-off] x until 2027-13-01", "'2027-13-01' is no day"),
        ("# cfaudit: ignore key-rotation-off x", "no waiver that can be read"),
        ("# cfaudit: ignroe[key-rotation-off] x", "no waiver that can be read"),
        ("# cfaudit: ignore[public-bucket] x", "the waiver of public-bucket covers nothing"),
    ],
)
def test_a_waiver_that_does_not_work_is_reported(tmp_path: Path, comment: str, said: str) -> None:
    template = audit(tmp_path, KEY.replace("  Key:\n", f"  Key:  {comment}\n")).templates[0]
    assert of_rule(template)["Key"]["verdict"] == "fail"
    (note,) = notes(template)
    assert note.startswith("3: ")
    assert said in note


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("{ignor: []}", "'ignor' is no key of Metadata.cfaudit (did you mean 'ignore'?)"),
        ("{ignore: [key-rotation-off]}", "a waiver is a map"),
        ("{ignore: [{rule: key-rotation-off}]}", "a waiver needs a reason"),
        ("{ignore: [{rule: key-rotation-off, reason: x, untill: 2027-01-01}]}", "did you mean 'until'?"),
    ],
)
def test_metadata_that_does_not_work_is_reported(tmp_path: Path, metadata: str, said: str) -> None:
    text = KEY.replace("  Key:\n", f"  Key:\n    Metadata: {{cfaudit: {metadata}}}\n")
    template = audit(tmp_path, text).templates[0]
    assert of_rule(template)["Key"]["verdict"] == "fail"
    (note,) = notes(template)
    assert said in note


def test_a_quoted_text_is_no_comment(tmp_path: Path) -> None:
    text = KEY.replace("Description: keys", 'Description: "keys # cfaudit: ignore[key-rotation-off] x"')
    template = audit(tmp_path, text).templates[0]
    assert notes(template) == []
    assert of_rule(template)["Key"]["verdict"] == "fail"


def test_a_waiver_of_a_resource_that_no_scenario_has_waits(tmp_path: Path) -> None:
    head = "Parameters: {Env: {Type: String, Default: dev}}\nConditions: {IsProd: !Equals [!Ref Env, prod]}\n"
    text = head + KEY.replace("  Key:\n", "  Key:  # cfaudit: ignore[public-bucket] x\n    Condition: IsProd\n")
    assert notes(audit(tmp_path, text).templates[0]) == []
    given = Options(as_of=AS_OF, parameters={"Env": "prod"})
    assert "covers nothing" in notes(audit(tmp_path, text, options=given).templates[0])[0]


def test_a_waiver_of_the_configuration_that_covers_nothing_is_said_once_of_the_run(tmp_path: Path) -> None:
    config = "waivers: [{rule: public-bucket, reason: x}, {rule: key-rotation-off, reason: y}]"
    first = audit(tmp_path, KEY, config)
    assert [waiver.rules for waiver in unneeded([first, first])] == [("public-bucket",)]
    gone = audit(tmp_path, KEY, "waivers: [{rule: public-bucket, reason: x, resource: Key}]")
    assert "covers nothing" in notes(gone.templates[0])[0]
    assert unneeded([gone]) == []


def test_a_rule_that_was_not_run_leaves_its_waiver_alone(tmp_path: Path) -> None:
    text = KEY.replace("  Key:\n", "  Key:  # cfaudit: ignore[public-bucket] x\n")
    only = Options(as_of=AS_OF, select=frozenset({"key-rotation-off"}))
    assert notes(audit(tmp_path, text, options=only).templates[0]) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{rule: key-rotation-off, reason: x, until: [2027-01-01]}", "until of a waiver is one text"),
        ("{rule: key-rotation-off, reason: x, resource: [Key]}", "resource of a waiver is one text"),
        ("{rule: key-rotation-off, reason: x, resource: }", "resource of a waiver is one text"),
        ("{rule: key-rotation-off, reason: x, template: ''}", "template of a waiver is one text"),
        ("{rule: [key-rotation-off], reason: x}", "rule of a waiver is one text"),
        ("{rule: key-rotation-off, reason: x, until: 20270331}", "'20270331' is no day"),
        ("{rule: key-rotation-off, reason: x, until: 2027-W13-3}", "'2027-W13-3' is no day"),
        ("{rule: key-rotation-off, reason: x, until: 2027-02-30}", "'2027-02-30' is no day"),
    ],
)
def test_what_narrows_a_waiver_is_never_passed_over(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        audit(tmp_path, KEY, f"waivers: [{entry}]")
    assert said in str(caught.value)
    assert caught.value.excerpt.startswith("waivers: [{rule")
    text = f"Metadata: {{cfaudit: {{ignore: [{entry}]}}}}\n" + KEY
    template = audit(tmp_path, text).templates[0]
    assert of_rule(template)["Key"]["verdict"] == "fail"
    assert len(notes(template)) == 1


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("[1]", "Metadata.cfaudit is a map"),
        ("ignore", "Metadata.cfaudit is a map"),
        ("{ignore: {rule: key-rotation-off, reason: x}}", "Metadata.cfaudit.ignore is a list"),
        ("{ignore: key-rotation-off}", "Metadata.cfaudit.ignore is a list"),
    ],
)
def test_metadata_of_another_shape_is_reported(tmp_path: Path, metadata: str, said: str) -> None:
    (note,) = notes(audit(tmp_path, f"Metadata: {{cfaudit: {metadata}}}\n" + KEY).templates[0])
    assert said in note


def test_a_rule_that_there_is_not_is_named_in_the_configuration_too(tmp_path: Path) -> None:
    outcome = audit(tmp_path, KEY, "waivers: [{rule: key-rotation-of, reason: x}]")
    (note,) = notes(outcome.templates[0])
    assert "there is not: 'key-rotation-of' (did you mean 'key-rotation-off'?)" in note
    assert unneeded([outcome]) == []


def test_a_resource_that_no_template_has_is_reported_with_the_run(tmp_path: Path) -> None:
    outcome = audit(tmp_path, KEY, "waivers: [{rule: key-rotation-off, reason: x, resource: Kye}]")
    assert [waiver.resources for waiver in unneeded([outcome])] == [("Kye",)]


def test_a_comment_of_any_length_is_read_at_once(tmp_path: Path) -> None:
    for tail in (" " * 200_000 + "x", " until" * 40_000, " until 1" + "." * 200_000 + "x", "# " * 100_000):
        outcome = audit(tmp_path, KEY.replace("  Key:\n", f"  Key:  # cfaudit: ignore[key-rotation-off]{tail}\n"))
        assert outcome.templates
    dotted = KEY.replace("  Key:\n", "  Key:  # cfaudit: ignore[key-rotation-off] imported, until 2027-03-31 .\n")
    waiver = of_rule(audit(tmp_path, dotted).templates[0])["Key"]["waiver"]
    assert waiver == {"reason": "imported", "until": "2027-03-31"}
