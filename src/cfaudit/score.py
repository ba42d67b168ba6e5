"""An Audit in, a Scorecard out: all the arithmetic, none of it hidden.

A rule weighs what OpenSSF Scorecard gives its severity (critical 10, high 7.5, medium 5, low 2.5; info nothing). A
category earns the weight of the rules that hold, out of those that hold or fail. Resource completeness counts
components, unweighted; test coverage the resources that tests name, times the share of the tests that passed.
https://github.com/ossf/scorecard#aggregate-score
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import copysign, floor
from typing import NamedTuple

from cfaudit.coverage import Coverage, coverage
from cfaudit.finding import Finding, Outcome, Result, Severity, Verdict
from cfaudit.pipeline import Audit
from cfaudit.profile import INVENTORY_RULE
from cfaudit.rule import Category

WEIGHTS = {
    Severity.CRITICAL: 10.0,
    Severity.HIGH: 7.5,
    Severity.MEDIUM: 5.0,
    Severity.LOW: 2.5,
    Severity.INFO: 0.0,
}

GRADES = (
    (97, "A+"),
    (93, "A"),
    (90, "A-"),
    (85, "B+"),
    (80, "B"),
    (75, "B-"),
    (70, "C+"),
    (65, "C"),
    (60, "C-"),
    (50, "D"),
)

COMPLETENESS = "resource-completeness"
COVERAGE = "test-coverage"


class Gate(NamedTuple):
    """What fails a build: new findings of ``fail_on`` severity or worse (None: never), an overall below ``min_score``.

    ``baseline`` is the file of the known ones, ``stale`` how many entries of it that are found no more fail the build.
    """

    fail_on: Severity | None = Severity.CRITICAL
    min_score: float | None = None
    baseline: str | None = None
    stale: int = 0


class ComponentState(NamedTuple):
    """One line of the inventory: present, missing, or None for what is waived, not known yet or does not apply."""

    id: str
    title: str
    severity: Severity
    present: bool | None
    logical_ids: tuple[str, ...]
    matched_by: str
    waived: bool = False


class RuleScore(NamedTuple):
    """What one rule earns of what it could, in weight units; ``cost`` in points of the overall score (0-100)."""

    result: Result
    weight: float
    earned: float
    possible: float
    cost: float


class CategoryScore(NamedTuple):
    """A row of the scorecard. ``score`` is 0-100 with one decimal, None unless ``status`` is "assessed"."""

    category: Category
    status: str
    score: float | None
    earned: float
    possible: float
    detail: str


class Scorecard(NamedTuple):
    """Everything the arithmetic says of one audit."""

    audit: Audit
    components: tuple[ComponentState, ...]
    rules: tuple[RuleScore, ...]
    categories: tuple[CategoryScore, ...]
    overall: float | None
    grade: str | None
    gate: Gate
    held: bool
    coverage: Coverage | None = None

    @property
    def failed(self) -> bool:
        """Whether any check crashed."""
        return any(rule.result.verdict is Verdict.ERROR for rule in self.rules)


def score(audit: Audit, categories: Iterable[Category], gate: Gate, *, strict: bool = False) -> Scorecard:
    """Score one audit. ``strict`` counts what is unknown as possible with nothing earned."""
    components = component_states(audit)
    earned = {result.rule.id: _earned(result, components, strict=strict) for result in audit.results}
    tested = coverage(audit)
    rows = tuple(
        _tested(category, tested)
        if category.id == COVERAGE and tested
        else _category(category, audit, earned, components)
        for category in categories
    )
    assessed = [row for row in rows if row.status == "assessed"]
    total = sum(row.category.weight for row in assessed)
    overall = None
    if assessed and not any(row.status == "error" for row in rows):
        overall = round_half_up(sum((row.score or 0.0) * row.category.weight for row in assessed) / total)
    share = {row.category.id: 100 * row.category.weight / total / row.possible for row in assessed}
    rules = tuple(_rule(result, *earned[result.rule.id], share) for result in audit.results)
    held = _held(audit.results, gate, overall)
    return Scorecard(audit, components, rules, rows, overall, grade(overall), gate, held, tested)


def round_half_up(value: float, places: str = "0.1") -> float:
    """Half up, as people round; binary noise below the ninth place is dropped first."""
    scale = round(1 / float(places))
    return copysign(floor(round(abs(value), 9) * scale + 0.5 + 1e-7) / scale, value)


def grade(overall: float | None) -> str | None:
    """The letter for an overall score."""
    if overall is None:
        return None
    return next((letter for least, letter in GRADES if overall >= least), "F")


def component_states(audit: Audit) -> tuple[ComponentState, ...]:
    """The inventory's lines; without an inventory, those components that the stack itself implies."""
    by_rule = {result.rule.component: result for result in audit.results if result.rule.component}
    inventory = next((result for result in audit.results if result.rule.id == INVENTORY_RULE), None)
    found = {finding.subject: finding for finding in inventory.findings} if inventory else {}
    states = []
    for component in audit.profile.components:
        result = by_rule.get(component.id)
        if result is not None:
            states.append(_implied(component.id, component.title, result))
            continue
        if component.rule is not None or inventory is None:
            continue  # the rule that decides it did not run
        finding = found.get(component.id)
        match = audit.matches.get(component.id)
        present = _PRESENT.get(finding.outcome) if finding else None
        ids, by = (match.logical_ids, match.matched_by) if match else ((), "")
        waived = finding is not None and finding.outcome is Outcome.WAIVED
        states.append(ComponentState(component.id, component.title, component.severity, present, ids, by, waived))
    if not audit.profile.components:
        for name, result in by_rule.items():
            if result.verdict is not Verdict.NOT_APPLICABLE and name:
                states.append(_implied(name, result.rule.title, result))
    return tuple(states)


_PRESENT = {Outcome.PASS: True, Outcome.FAIL: False}


def _implied(name: str, title: str, result: Result) -> ComponentState:
    present = {Verdict.PASS: True, Verdict.FAIL: False}.get(result.verdict)
    ids = dict.fromkeys(finding.logical_id for finding in result.of(Outcome.PASS) if finding.logical_id)
    by = f"rule {result.rule.id}" if present else ""
    waived = result.verdict is Verdict.WAIVED
    return ComponentState(name, title, result.rule.severity, present, tuple(ids) if present else (), by, waived)


def _earned(result: Result, components: tuple[ComponentState, ...], *, strict: bool) -> tuple[float, float]:
    """What a rule earned and could have: components in the completeness category, weights elsewhere."""
    rule = result.rule
    if rule.category == COMPLETENESS:
        owned = {rule.component} if rule.component else _inventoried(result)
        states = [component.present for component in components if component.id in owned]
        if rule.severity is Severity.INFO or result.verdict in (Verdict.NOT_APPLICABLE, Verdict.WAIVED):
            return 0.0, 0.0
        return float(states.count(True)), float(len(states) - (0 if strict else states.count(None)))
    weight = WEIGHTS[rule.severity]
    counted = (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN) if strict else (Verdict.PASS, Verdict.FAIL)
    return weight if result.verdict is Verdict.PASS else 0.0, weight if result.verdict in counted else 0.0


def _inventoried(result: Result) -> set[str]:
    return {finding.subject for finding in result.findings if finding.outcome is not Outcome.WAIVED}


def _rule(result: Result, earned: float, possible: float, share: Mapping[str, float]) -> RuleScore:
    weight = 1.0 if result.rule.category == COMPLETENESS else WEIGHTS[result.rule.severity]
    cost = (possible - earned) * share.get(result.rule.category, 0.0)
    return RuleScore(result, weight, earned, possible, round_half_up(cost, "0.01"))


def _category(
    category: Category,
    audit: Audit,
    earned: Mapping[str, tuple[float, float]],
    components: tuple[ComponentState, ...],
) -> CategoryScore:
    results = [result for result in audit.results if result.rule.category == category.id]
    got = sum(earned[result.rule.id][0] for result in results)
    possible = sum(earned[result.rule.id][1] for result in results)
    broken = [result.rule.id for result in results if result.verdict is Verdict.ERROR]
    if broken:
        return CategoryScore(category, "error", None, got, possible, f"cfaudit broke in {', '.join(broken)}")
    if not possible:
        return CategoryScore(category, "not_assessed", None, 0.0, 0.0, _not_assessed(category))
    detail = _components_detail(components) if category.id == COMPLETENESS else _rules_detail(results)
    return CategoryScore(category, "assessed", round_half_up(100 * got / possible), got, possible, detail)


def _tested(category: Category, tested: Coverage) -> CategoryScore:
    """The row of what tests name: the share of logical ids, times the share of the tests that passed."""
    possible = float(len(tested.resources))
    if not possible:
        detail = (
            "the template has no resource to name" if tested.files else f"{tested.detail}; no test sources (--tests)"
        )
        return CategoryScore(category, "not_assessed", None, 0.0, 0.0, detail)
    score = round_half_up(100 * tested.earned / possible)
    return CategoryScore(category, "assessed", score, round_half_up(tested.earned, "0.01"), possible, tested.detail)


def _not_assessed(category: Category) -> str:
    if category.id == COVERAGE:
        return "no evidence was brought"
    if category.id == COMPLETENESS:
        return "the stack implies no component that could be missing"
    return "nothing in the template to judge"


def _components_detail(components: tuple[ComponentState, ...]) -> str:
    missing = [component.title for component in components if component.present is False]
    waived = [component.title for component in components if component.waived]
    open_ = [component.title for component in components if component.present is None and not component.waived]
    present = sum(component.present is True for component in components)
    detail = f"{present}/{present + len(missing)} required components"
    if missing:
        detail += f" (missing: {', '.join(missing)})"
    if open_:
        detail += f"; not decided: {', '.join(open_)}"
    if waived:
        detail += f"; waived: {', '.join(waived)}"
    return detail


def _rules_detail(results: list[Result]) -> str:
    scored = [result for result in results if result.rule.severity is not Severity.INFO]
    failing = sorted(
        (result.rule for result in scored if result.verdict is Verdict.FAIL),
        key=lambda rule: (rule.severity.rank, rule.id),
    )
    holding = sum(result.verdict is Verdict.PASS for result in scored)
    open_ = sum(result.verdict is Verdict.UNKNOWN for result in scored)
    waived = sum(result.verdict is Verdict.WAIVED for result in scored)
    detail = f"{holding} of {holding + len(failing)} rules hold"
    if failing:
        named = ", ".join(rule.title for rule in failing[:4])
        detail += f"; to mend: {named}" + (f" and {len(failing) - 4} more" if len(failing) > 4 else "")
    if open_:
        detail += f"; {open_} not decided"
    if waived:
        detail += f"; {waived} waived"
    return detail


def severity_of(result: Result, finding: Finding) -> Severity:
    """A finding's own severity, else its rule's."""
    return finding.severity or result.rule.severity


def _held(results: Iterable[Result], gate: Gate, overall: float | None) -> bool:
    if gate.stale or (gate.min_score is not None and (overall is None or overall < gate.min_score)):
        return False
    if gate.fail_on is None:
        return True
    return not any(
        severity_of(result, finding).rank <= gate.fail_on.rank
        for result in results
        for finding in result.failing
        if not finding.known
    )
