"""GitLab Code Quality: the fields its documentation asks for, paths below the root, fingerprints that are unique."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from cfaudit.render.gitlab import render
from cfaudit.report import Report, report
from reports import AUDITED, audited, every_verdict, hostile, multiplied, of_verdict, several

# https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}
SEVERITIES = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor", "info": "info"}


def entries(found: Report) -> list[dict[str, Any]]:
    held = json.loads(render(found))
    jsonschema.Draft202012Validator(SCHEMA).validate(held)
    return held


@pytest.mark.parametrize("found", [audited(), every_verdict(), hostile(), several(), multiplied(300), report([])])
def test_valid_with_unique_fingerprints(found: Report) -> None:
    marks = [entry["fingerprint"] for entry in entries(found)]
    assert len(set(marks)) == len(marks)
    assert render(found) == render(found)
    assert not render(found).startswith("\ufeff")


def test_every_finding_is_an_entry() -> None:
    (one,) = audited()["templates"]
    for entry, finding in zip(entries(audited()), one["findings"], strict=True):
        assert entry == {
            "description": finding["message"],
            "check_name": finding["rule"],
            "fingerprint": finding["fingerprint"],
            "severity": SEVERITIES[finding["severity"]],
            "location": {"path": AUDITED, "lines": {"begin": finding["evidence"][0]["line"]}},
        }


def test_waived_and_undecided_weigh_nothing() -> None:
    held = {entry["fingerprint"]: entry for entry in entries(every_verdict())}
    for verdict, start in (("waived", "waived"), ("unknown", "not decided: ")):
        for finding in of_verdict(every_verdict(), verdict):
            assert held[finding["fingerprint"]]["severity"] == "info"
            assert held[finding["fingerprint"]]["description"].startswith(start)
    (broken,) = of_verdict(every_verdict(), "error")
    assert held[broken["fingerprint"]]["severity"] == SEVERITIES[broken["severity"]]


def test_unusable_templates_block() -> None:
    held = [entry for entry in entries(several()) if entry["check_name"] == "cfaudit"]
    assert [(entry["severity"], entry["location"]["path"]) for entry in held] == [
        ("blocker", "broken.yaml"),
        ("blocker", "other.yaml"),
    ]


def test_equal_fingerprints_are_told_apart_and_scenarios_are_not() -> None:
    (one,) = audited()["templates"]
    first = one["findings"][0]
    twice = report([{**one, "findings": [first, {**first, "message": "another"}]}, {**one, "path": "./x.yaml"}])
    marks = [entry["fingerprint"] for entry in entries(twice)]
    assert marks[:2] == [first["fingerprint"], f"{first['fingerprint']}:2"]
    assert len(marks) == len(one["findings"]) + 1
