"""The reference template: complete, clean, and every mutation of its inventory is caught."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cfaudit.finding import Severity
from cfaudit.score import Gate
from rewrites import Template, dumped, parsed
from stacks import REFERENCE, audited, reported, shipped

TEXT = REFERENCE.read_text(encoding="utf-8")

# Rules that a reference cannot pass by its nature.
ASKED = {"invalid-template": "asked with --lint only; test_validity.py asks"}
EXEMPT = {
    "resource-count-out-of-range": "information: what the brief asks for takes more resources",
    "sunset-service": "information: the detector it shows how to declare is closed to new customers",
    "runtime-deviation": "information: its runtime is newer than the brief's, which is the improvement reported",
}


def test_every_scored_rule_passes() -> None:
    rows = {rule["id"]: rule["verdict"] for rule in shipped(REFERENCE)["rules"] if rule["id"] not in EXEMPT | ASKED}
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


def test_cfn_lint_is_clean_but_for_the_sunset_service(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", REFERENCE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = {(match["Rule"]["Id"], match["Level"]) for match in json.loads(done.stdout)}
    assert found == {("W3696", "Warning")}


COMPONENTS = [item["id"] for item in shipped(REFERENCE)["components"]["items"]]

# What the components that have a rule of their own consist of.
PARTS = {
    "fraud-screening": ("AWS::FraudDetector::Detector",),
    "mail-identity": ("AWS::SES::EmailIdentity",),
    "creator-dashboards": ("AWS::QuickSight::Dashboard",),
    "web-acl": ("AWS::WAFv2::WebACLAssociation",),
    "usage-plan": ("AWS::ApiGateway::UsagePlan",),
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_that_is_taken_away_is_missed(component: str) -> None:
    """What fills the component goes, and whatever else could; the inventory names it."""
    template = parsed(TEXT)
    for name in gone(component, template):
        del template["Resources"][name]
    if component == "function-vpc":
        for resource in template["Resources"].values():
            resource.get("Properties", {}).pop("VpcConfig", None)
    assert component in reported(dumped(template), "without.json", "crowdfunding")["components"]["missing"]


def gone(component: str, template: Template) -> list[str]:
    """The resources that fill a component; of a generic one, all of its types."""
    resources = template["Resources"]
    if component in PARTS:
        return [name for name, resource in resources.items() if resource["Type"] in PARTS[component]]
    found = audited(TEXT, str(REFERENCE))
    (asked,) = [held for held in found.profile.components if held.id == component]
    if asked.generic:
        return [name for name, resource in resources.items() if resource["Type"] in asked.types]
    if component.endswith("-route"):
        return [route.logical_id for route in found.template.routes if f"/{component.split('-')[0]}" in route.path]
    match = found.matches[component]
    return list(match.logical_ids) if match else []
