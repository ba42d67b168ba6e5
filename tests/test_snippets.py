"""Every snippet of every remedy is a Resources map that cfn-lint accepts, together with its declared stubs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfn_flip
import pytest

from cfaudit.finding import Verdict
from stacks import ROOT, audited, rules

STUBS = ROOT / "rules" / "_stubs.yaml"


def referenced(value: Any, found: set[str]) -> set[str]:
    """Names that Ref, GetAtt, Sub and DependsOn mention."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("Ref", "DependsOn") and isinstance(item, str):
                found.add(item)
            elif key == "Fn::GetAtt":
                found.add(item.split(".")[0] if isinstance(item, str) else item[0])
            elif key == "Fn::Sub":
                text = item if isinstance(item, str) else item[0]
                found.update(piece.split("}")[0].split(".")[0] for piece in text.split("${")[1:])
            referenced(item, found)
    elif isinstance(value, list):
        for item in value:
            referenced(item, found)
    return found


def closed(snippet: dict[str, Any], stubs: dict[str, Any]) -> dict[str, Any]:
    """A template of the snippet and of the stubs it needs, and they need."""
    resources, parameters = dict(snippet), {}
    pending = referenced(snippet, set())
    while pending:
        name = pending.pop()
        if name in stubs.get("Parameters", {}):
            parameters[name] = stubs["Parameters"][name]
        elif name in stubs["Resources"] and name not in resources:
            resources[name] = stubs["Resources"][name]
            pending |= referenced(resources[name], set())
    held = {"Parameters": parameters} if parameters else {}
    return {"AWSTemplateFormatVersion": "2010-09-09", **held, "Resources": resources}


def templates() -> Iterator[tuple[str, int, str]]:
    """The rule, the number of its remedy, and the snippet as a template."""
    stubs = json.loads(cfn_flip.to_json(STUBS.read_text(encoding="utf-8")))
    for rule in rules():
        for index, remedy in enumerate(rule.remedies):
            if remedy.snippet:
                snippet = json.loads(cfn_flip.to_json(remedy.snippet))
                yield rule.id, index, json.dumps(closed(snippet, stubs), indent=1)


@pytest.mark.parametrize("profile", ["serverless", "crowdfunding"])
def test_no_snippet_has_the_gap_that_it_closes(profile: str) -> None:
    failing = [
        f"{rule}, remedy {index}"
        for rule, index, text in templates()
        for result in audited(text, "snippet.json", profile).results
        if result.rule.id == rule and result.verdict is Verdict.FAIL
    ]
    assert failing == []


def test_snippets_lint(tmp_path: Path) -> None:
    for rule, index, text in templates():
        (tmp_path / f"{rule}-{index}.json").write_text(text, encoding="utf-8")
    files = sorted(tmp_path.iterdir())
    assert len(files) > 30
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", "--", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = [
        f"{Path(match['Filename']).name}: {match['Rule']['Id']} {match['Message']}"
        for match in json.loads(done.stdout)
        if match["Level"] in ("Error", "Warning") and match["Rule"]["Id"] != "W3696"
    ]
    assert found == []
