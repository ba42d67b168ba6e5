"""Evaluating: a crashing check costs its own rule only, and scenarios merge into findings that say when they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import pytest

from cfaudit.evaluate import Case, Check, evaluate
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Result, Severity, Verdict, judged
from cfaudit.load import load
from cfaudit.model.template import Template, build
from cfaudit.nodes import Scalar, Unknown
from cfaudit.resolve import Scenario, resolve, scenarios
from cfaudit.rule import Argument, Rule

FACTS = Facts(as_of=date(2026, 11, 22), region=None, profile="serverless", components=(), matches={})


def rule(check: str, arguments: Mapping[str, Argument] | None = None) -> Rule:
    return Rule(
        id=f"{check}-rule",
        category="security",
        title="",
        severity=Severity.HIGH,
        requirement="",
        holds="",
        fails="",
        why="",
        remedies=(),
        tradeoff=None,
        references=(),
        check=check,
        arguments=arguments or {},
        path="",
    )


def cases(text: str) -> tuple[Case, ...]:
    source = load(text, "t.yaml")
    found, _ = scenarios(source, Scenario())
    return tuple((build(resolve(source, scenario)), FACTS) for scenario in found)


def run(text: str, check: Check) -> Result:
    (result,) = evaluate(cases(text), [rule("check")], {"check": check})
    return result


def encrypted(template: Template, facts: Facts, *, path: str = "Encrypted") -> Iterator[Finding]:
    """A table must be encrypted."""
    for resource in template.of("T"):
        match resource.at(path):
            case Scalar("true"):
                outcome = Outcome.PASS
            case Unknown():
                outcome = Outcome.UNKNOWN
            case _:
                outcome = Outcome.FAIL
        yield judged(outcome, resource, path, f"{resource.logical_id}: {outcome.value}")


def crash(template: Template, facts: Facts) -> Iterator[Finding]:
    yield from encrypted(template, facts)
    raise ZeroDivisionError("deliberately")


def deep(template: Template, facts: Facts) -> Iterator[Finding]:
    yield from deep(template, facts)


def unproved(template: Template, facts: Facts) -> Iterator[Finding]:
    yield Finding(Outcome.FAIL, "X", "no evidence", ())


CHECKS: Mapping[str, Check] = {"encrypted": encrypted, "crash": crash, "deep": deep, "unproved": unproved}
PLAIN = "Resources:\n  B: {Type: T}\n  A: {Type: T, Properties: {Encrypted: true}}\n"


def test_a_crash_is_an_error_of_its_own_rule() -> None:
    rules = [rule("crash"), rule("encrypted"), rule("deep"), rule("unproved"), rule("encrypted", {"path": "Other"})]
    results = evaluate(cases(PLAIN), rules, CHECKS)
    assert [result.rule for result in results] == rules
    assert [result.verdict for result in results] == [
        Verdict.ERROR,
        Verdict.FAIL,
        Verdict.ERROR,
        Verdict.ERROR,
        Verdict.FAIL,
    ]
    errors = [result.error or "" for result in results]
    assert errors[0].startswith("ZeroDivisionError: deliberately (test_evaluate.py:")
    assert errors[2].startswith("RecursionError")
    assert errors[3].startswith("ValueError: a finding about X has no evidence")
    assert all(result.findings == () for result in results if result.error)
    assert [len(result.findings) for result in results] == [0, 2, 0, 0, 2]


def test_arguments_that_do_not_fit_are_an_error_of_the_rule() -> None:
    (result,) = evaluate(cases(PLAIN), [rule("encrypted", {"paht": "x"})], CHECKS)
    assert result.verdict is Verdict.ERROR
    assert "paht" in (result.error or "")


def test_findings_are_in_order_of_outcome_and_place() -> None:
    text = PLAIN + "  C: {Type: T, Properties: {Encrypted: !ImportValue x}}\n  D: {Type: T}\n"
    assert [finding.subject for finding in run(text, encrypted).findings] == ["B", "D", "C", "A"]


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ((), Verdict.NOT_APPLICABLE),
        ((Outcome.PASS,), Verdict.PASS),
        ((Outcome.PASS, Outcome.UNKNOWN), Verdict.UNKNOWN),
        ((Outcome.UNKNOWN, Outcome.FAIL, Outcome.PASS), Verdict.FAIL),
    ],
)
def test_the_verdict_is_the_worst_outcome(outcomes: tuple[Outcome, ...], verdict: Verdict) -> None:
    evidence = (Evidence(load(PLAIN, "t").root.span, ""),)
    findings = tuple(Finding(outcome, "X", "", evidence) for outcome in outcomes)
    result = Result(rule("encrypted"), findings)
    assert result.verdict is verdict
    assert result._replace(error="x").verdict is Verdict.ERROR
    assert [finding.outcome for finding in result.of(Outcome.PASS)] == [o for o in outcomes if o is Outcome.PASS]


# Scenarios -----------------------------------------------------------------------------------------------------------

HEAD = """\
Parameters:
  Env: {Type: String, AllowedValues: [dev, test, prod]}
  Key: {Type: String}
Conditions:
  IsProd: !Equals [!Ref Env, prod]
  IsDev: !Equals [!Ref Env, dev]
  HasKey: !Not [!Equals [!Ref Key, '']]
Resources:
"""

MERGED = {
    "the same everywhere": (
        "  A: {Type: T, Properties: {Encrypted: true}}\n  B: {Type: T, Properties: {X: !If [IsProd, 1, 2]}}\n",
        [("fail", "B", None), ("pass", "A", None)],
    ),
    "one side fails, and the other is no pass": (
        "  A: {Type: T, Properties: {Encrypted: !If [IsProd, true, false]}}\n",
        [("fail", "A", "IsProd is false")],
    ),
    "one side is unknown": (
        "  A: {Type: T, Properties: {Encrypted: !If [IsProd, true, !Ref Key]}}\n",
        [("unknown", "A", "IsProd is false")],
    ),
    "fails on one side, unknown on the other": (
        "  A: {Type: T, Properties: {Encrypted: !If [IsProd, !Ref Key, false]}}\n",
        [("fail", "A", "IsProd is false"), ("unknown", "A", "IsProd is true")],
    ),
    "deployed on one side": (
        "  A: {Type: T, Condition: IsProd}\n  B: {Type: T, Condition: IsProd, Properties: {Encrypted: true}}\n",
        [("fail", "A", "IsProd is true"), ("pass", "B", "IsProd is true")],
    ),
    "nested conditions": (
        "  A: {Type: T, Condition: IsProd, Properties: {Encrypted: !If [HasKey, true, false]}}\n",
        [("fail", "A", "IsProd is true and HasKey is false")],
    ),
    "conditions that exclude each other": (
        "  A: {Type: T, Properties: {Encrypted: !If [IsProd, true, !If [IsDev, false, true]]}}\n",
        [("fail", "A", "IsDev is true")],
    ),
    "several combinations": (
        "  A: {Type: T, Properties: {Encrypted: !If [IsProd, true, !If [HasKey, true, false]]}}\n"
        "  B: {Type: T, Properties: {Encrypted: !If [IsDev, false, !If [IsProd, !If [HasKey, false, true], true]]}}\n",
        [
            ("fail", "A", "IsProd is false and HasKey is false"),
            (
                "fail",
                "B",
                "IsProd is false and IsDev is true and HasKey is true or IsProd is true and IsDev is false and "
                "HasKey is true, or in 1 more combinations of conditions",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("resources", "told"), MERGED.values(), ids=MERGED)
def test_scenarios_merge(resources: str, told: list[tuple[str, str, str | None]]) -> None:
    result = run(HEAD + resources, encrypted)
    assert [(f.outcome.value, f.subject, f.when) for f in result.findings] == told


def statements(template: Template, facts: Facts) -> Iterator[Finding]:
    """One finding per member of a list, told apart by its text."""
    for resource in template.of("T"):
        for _, value in resource.each("Actions.*"):
            text = value.text if isinstance(value, Scalar) else ""
            outcome = Outcome.FAIL if text == "*" else Outcome.PASS
            yield judged(outcome, resource, "Actions", text, span=value.span, salient=text)


def test_members_of_one_place_keep_their_own_outcome() -> None:
    text = HEAD + "  A: {Type: T, Properties: {Actions: [a, '*', !If [IsProd, b, '*']], X: !If [HasKey, 1, 2]}}\n"
    told = [(f.outcome.value, f.salient, f.when) for f in run(text, statements).findings]
    assert told == [("fail", "*", None), ("pass", "a", None)]


def test_a_crash_in_one_scenario_is_an_error() -> None:
    def only_in_production(template: Template, facts: Facts) -> Iterator[Finding]:
        yield judged(Outcome.PASS, template.resources["A"], None, "there")

    result = run(HEAD + "  A: {Type: T, Condition: IsProd}\n  B: {Type: T}\n", only_in_production)
    assert (result.verdict, result.findings) == (Verdict.ERROR, ())
