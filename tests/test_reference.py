"""The reference template: complete, clean, and every mutation of its inventory is caught."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from rewrites import anonymous, dumped, parsed, renamed
from stacks import REFERENCE, answers, audited, reported, shipped

from cfaudit.finding import Severity
from cfaudit.score import Gate

TEXT = REFERENCE.read_text(encoding="utf-8")

# Rules that a reference cannot pass by its nature.
EXEMPT = {
    "sunset-service": "information: the detector it shows how to declare is closed to new customers",
    "runtime-deviation": "information: its runtime is newer than the brief's, which is the improvement reported",
}


def test_every_scored_rule_passes() -> None:
    rows = {rule["id"]: rule["verdict"] for rule in shipped(REFERENCE)["rules"] if rule["id"] not in EXEMPT}
    assert {name: verdict for name, verdict in rows.items() if verdict != "pass"} == {}


def test_exemptions_are_information_only() -> None:
    severities = {rule["id"]: rule["severity"] for rule in shipped(REFERENCE)["rules"]}
    assert {severities[name] for name in EXEMPT} == {"info"}


def test_complete_and_best_grade() -> None:
    report = shipped(REFERENCE)
    components = report["components"]
    assert (components["present"], components["required"], components["missing"]) == (41, 41, [])
    assert report["scorecard"] is not None
    assert (report["scorecard"]["overall"], report["scorecard"]["grade"]) == (100.0, "A+")
    held = reported(TEXT, str(REFERENCE), gate=Gate(Severity.LOW))
    assert held["verdict"] == "pass"


def test_cfn_lint_is_clean_but_for_the_sunset_service(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cfnlint", "--format", "json", str(REFERENCE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=str(tmp_path),
    )
    found = {(match["Rule"]["Id"], match["Level"]) for match in json.loads(done.stdout)}
    assert found == {("W3696", "Warning")}


def test_json_twin_says_the_same() -> None:
    assert answers(reported(dumped(parsed(TEXT)), "twin.json")) == answers(shipped(REFERENCE))


def test_renamed_ids_say_the_same() -> None:
    names = anonymous(parsed(TEXT))
    back = {new: old for old, new in names.items()}
    other = reported(dumped(renamed(parsed(TEXT), names)), "renamed.json")
    assert {(rule, verdict, back.get(subject, subject)) for rule, verdict, subject in answers(other)} == answers(
        shipped(REFERENCE)
    )


CORE = [item for item in shipped(REFERENCE)["components"]["items"]]


@pytest.mark.parametrize("component", [item["id"] for item in CORE])
def test_a_component_that_is_taken_away_is_missed(component: str) -> None:
    """Every resource that could fill the component goes; the inventory names it, and nothing else of the core."""
    template = parsed(TEXT)
    found = audited(TEXT, str(REFERENCE))
    ids = next(item["logical_ids"] for item in CORE if item["id"] == component)
    types = {template["Resources"][name]["Type"] for name in ids}
    generic = {c.id for c in found.profile.components if c.generic or c.id.endswith("-route")}
    gone = [
        name
        for name, resource in template["Resources"].items()
        if name in ids or (component in generic and resource["Type"] in types)
    ]
    assert gone
    for name in gone:
        del template["Resources"][name]
    assert component in reported(dumped(template), "without.json", "crowdfunding")["components"]["missing"]
