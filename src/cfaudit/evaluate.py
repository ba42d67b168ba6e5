"""Templates and rules in, Results out; a check that crashes becomes an ERROR of its own rule only.

A template has one model per combination of undecided conditions. A finding that holds in all of them is plain, one
that holds in some says when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import TypeAlias

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Result
from cfaudit.model.template import Template
from cfaudit.nodes import Loop
from cfaudit.rule import Rule

Check: TypeAlias = Callable[..., Iterator[Finding]]
Case: TypeAlias = tuple[Template, Facts]


def evaluate(cases: Sequence[Case], rules: Iterable[Rule], checks: Mapping[str, Check]) -> tuple[Result, ...]:
    """One result per rule, in the rules' order. ``cases`` are the scenarios of one template, at least one."""
    return tuple(_result(cases, rule, checks[rule.check]) for rule in rules)


def _result(cases: Sequence[Case], rule: Rule, check: Check) -> Result:
    try:
        found = [_answers(template, facts, rule, check) for template, facts in cases]
        findings = found[0] if len(found) == 1 else _merged([case[0] for case in cases], found)
        return Result(rule, tuple(sorted(findings, key=_order)))
    except Exception as error:  # the one place that must survive a defect of a check: it becomes ERROR, and exit 3
        import traceback

        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        return Result(rule, (), f"{type(error).__name__}: {error} ({place})")


def _answers(template: Template, facts: Facts, rule: Rule, check: Check) -> tuple[Finding, ...]:
    """What a check says of one case, as far as it stands whatever transforms and loops write."""
    found = tuple(_sound(finding) for finding in check(template, facts, **rule.arguments))
    if template.document.rewritten:
        written = (_sound(finding) for finding in check(template.as_written, facts, **rule.arguments))
        found = _agreed(found, tuple(written))
    loops = template.source.loops
    return tuple(_uncounted(finding, loops) for finding in found) if loops else found


def _sound(finding: object) -> Finding:
    """What a check yields, which an installed package's author may have got wrong. Raises ``TypeError``."""
    if not isinstance(finding, Finding):
        raise TypeError(f"the check yields {finding!r}, which is no Finding")
    texts = (finding.subject, finding.message, finding.salient, *(held.note for held in finding.evidence))
    if not isinstance(finding.outcome, Outcome) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"the check yields a finding whose outcome or texts are none: {finding!r}")
    return finding


def _agreed(open_: tuple[Finding, ...], written: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings that hold both where every key that is not written may be added, and where none is; else unknown."""
    answers: dict[_Place, tuple[list[Finding], list[Finding]]] = {}
    for index, findings in enumerate((open_, written)):
        for finding in findings:
            answers.setdefault((finding.subject, finding.property_path), ([], []))[index].append(finding)
    agreed: list[Finding] = []
    for some, plain in answers.values():
        if {finding.outcome for finding in some} == {finding.outcome for finding in plain}:
            agreed += some
        else:
            agreed += [_doubted(finding) for finding in plain or some]
    return tuple(agreed)


def _doubted(finding: Finding) -> Finding:
    if finding.outcome is Outcome.UNKNOWN:
        return finding
    message = f"{finding.message}, unless a transform changes that"
    return replace(finding, outcome=Outcome.UNKNOWN, message=message)


def _uncounted(finding: Finding, loops: tuple[Loop, ...]) -> Finding:
    for loop in loops:
        inside = [loop.holds(evidence.span) for evidence in finding.evidence]
        about = finding.logical_id in loop.members or finding.subject in loop.members
        rests = about or (any(inside) if finding.outcome is Outcome.PASS else all(inside))
        if rests and finding.outcome is not Outcome.UNKNOWN:
            message = f"{finding.message}, if {loop.name} makes any: only deploy time knows what it repeats"
            evidence = (*finding.evidence, Evidence(loop.span, "its collection is only known at deploy time"))
            return replace(finding, outcome=Outcome.UNKNOWN, message=message, evidence=evidence)
    return finding


def _order(finding: Finding) -> tuple[int, int, int, str, str]:
    span = finding.evidence[0].span
    return (list(Outcome).index(finding.outcome), span.line, span.column, finding.subject, finding.property_path or "")


_Place: TypeAlias = tuple[str, str | None]
_Key: TypeAlias = tuple[str, str | None, str]


def _merged(templates: Sequence[Template], found: Sequence[tuple[Finding, ...]]) -> list[Finding]:
    """Findings of several scenarios as one list; a subject that fails in some scenarios is no pass in the others."""
    held: dict[tuple[_Key, Outcome], dict[int, Finding]] = {}
    for index, findings in enumerate(found):
        for finding in findings:
            key = (finding.subject, finding.property_path, finding.salient)
            held.setdefault((key, finding.outcome), {}).setdefault(index, finding)
    worse: dict[_Place, set[int]] = {}
    for (key, outcome), by_case in held.items():
        if outcome is not Outcome.PASS:
            worse.setdefault(key[:2], set()).update(by_case)
    merged = []
    for (key, outcome), by_case in held.items():
        if outcome is Outcome.PASS and worse.get(key[:2], set()) - set(by_case):
            continue
        first = next(iter(by_case.values()))
        merged.append(first if len(by_case) == len(found) else replace(first, when=_when(templates, set(by_case))))
    return merged


def _when(templates: Sequence[Template], chosen: set[int]) -> str:
    """The conditions that set some scenarios apart from the others: "IsProd is false"."""
    vectors = [template.document.scenario.conditions for template in templates]
    names = [name for name in vectors[0] if len({vector.get(name) for vector in vectors}) > 1]
    truths = [{name: value} for name in names for value in (True, False)]
    pairs = (first | second for first, second in combinations(truths[:_TRIED], 2))
    for shortest in chain(truths, pairs):
        if chosen == {index for index, vector in enumerate(vectors) if shortest.items() <= vector.items()}:
            return _phrase(shortest)
    told = [{name: vectors[index][name] for name in names if name in vectors[index]} for index in sorted(chosen)]
    more = f", or in {len(told) - 2} more combinations of conditions" if len(told) > 2 else ""
    return " or ".join(_phrase(conditions) for conditions in told[:2]) + more


_TRIED = 32


def _phrase(conditions: Mapping[str, bool]) -> str:
    return " and ".join(f"{name} is {'true' if value else 'false'}" for name, value in conditions.items())
