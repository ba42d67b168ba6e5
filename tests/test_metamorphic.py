"""The same stack written differently gets the same answers about the same subjects."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fixture import FIXTURES, Fixture, fixtures, judge_text
from rewrites import (
    Template,
    anonymous,
    behind_mapping,
    behind_parameters,
    dumped,
    parsed,
    policies_apart,
    refs_as_subs,
    renamed,
    reordered,
    same,
)
from stacks import AUDITED, REFERENCE, answers, reported, rules, shipped

REWRITES: dict[str, Callable[[Template], Template]] = {
    function.__name__: function
    for function in (same, reordered, policies_apart, behind_parameters, behind_mapping, refs_as_subs)
}

# What a rewrite changes that a rule rightly sees.
SEEN: dict[str, set[str]] = {
    "same": {"sparse-comments"},
    "policies_apart": {"log-group-unordered"},  # a role without its policy no longer waits for what the policy names
}


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("path", [AUDITED, REFERENCE], ids=lambda path: path.parent.name)
def test_shipped_stack(path: Path, rewrite: str) -> None:
    template = REWRITES[rewrite](parsed(path.read_text(encoding="utf-8")))
    exempt = SEEN["same"] | SEEN.get(rewrite, set())
    report = reported(dumped(template), str(path))
    other = {answer for answer in answers(report) if answer[0] not in exempt}
    assert other == {answer for answer in answers(shipped(path)) if answer[0] not in exempt}


def test_renamed(tmp_path: Path) -> None:
    for path in (AUDITED, REFERENCE):
        template = parsed(path.read_text(encoding="utf-8"))
        names = anonymous(template)
        back = {new: old for old, new in names.items()}
        other = answers(reported(dumped(renamed(template, names)), str(path)))
        mapped = {(rule, verdict, back.get(subject, subject)) for rule, verdict, subject in other}
        assert {a for a in mapped if a[0] not in SEEN["same"]} == {
            a for a in answers(shipped(path)) if a[0] not in SEEN["same"]
        }


# cfn-flip 1.3.0 turns `0123` into 83 and drops duplicates and unknown tags; fixtures with such have no twin.
FLIPPED = [
    fixture
    for fixture in fixtures()
    if not re.search(r"(?m)!\w+::|: 0\d+\s*$|^\s*Fn::ForEach|!Rain|!Company|!Shared", "\n".join(fixture.lines))
]


@pytest.mark.parametrize("rewrite", REWRITES)
def test_fixtures(rewrite: str) -> None:
    """Every fixture keeps its verdict."""
    exempt = SEEN["same"] | SEEN.get(rewrite, set())
    by_id = {rule.id: rule for rule in rules()}
    wrong = []
    for fixture in FLIPPED:
        if fixture.rule not in exempt:
            result = judge_text(fixture, by_id[fixture.rule], rewritten(fixture, rewrite))
            if result.verdict.value != fixture.verdict:
                wrong.append(f"{fixture.path.relative_to(FIXTURES)}: {result.verdict.value} {result.error or ''}")
    assert wrong == []


def rewritten(fixture: Fixture, rewrite: str) -> str:
    return dumped(REWRITES[rewrite](parsed(fixture.template.read_text(encoding="utf-8"))))
