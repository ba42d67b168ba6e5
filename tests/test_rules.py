"""Every rule is proved by its fixtures: the verdict in the name, the evidence on the lines marked ``# gap``."""

from __future__ import annotations

from functools import cache

import pytest

from cfaudit.checks import CHECKS
from cfaudit.proof import disproved
from cfaudit.rule import Rule, load_rules
from fixture import FIXTURES, Fixture, fixtures, judge

ALL = fixtures()


@cache
def rules() -> dict[str, Rule]:
    return {rule.id: rule for rule in load_rules(CHECKS)}


@pytest.mark.parametrize("fixture", ALL, ids=lambda fixture: str(fixture.path.relative_to(FIXTURES)))
def test_fixture(fixture: Fixture) -> None:
    result = judge(fixture, rules()[fixture.rule])
    assert disproved(fixture, result) is None


@pytest.mark.parametrize("rule", sorted(rules()))
def test_rule_is_proved(rule: str) -> None:
    verdicts = {fixture.verdict for fixture in ALL if fixture.rule == rule}
    assert {"pass", "fail"} <= verdicts


def test_no_fixture_without_rule() -> None:
    assert {fixture.rule for fixture in ALL} <= set(rules())


def test_every_check_has_an_unknown_fixture() -> None:
    unknown = {rules()[fixture.rule].check for fixture in ALL if fixture.verdict == "unknown"}
    assert unknown == {rule.check for rule in rules().values()}
