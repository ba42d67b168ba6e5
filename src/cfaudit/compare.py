"""Templates of two reports in, what became of their gaps out: opened, closed, changed, and what it did to the scores.

Gaps are matched by rule, logical id or subject, property path and salient value: a renamed file has its gaps still.
Its JSON Schema is ``schemas/diff.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias, TypedDict

from cfaudit.finding import Severity
from cfaudit.report import FindingObject, TemplateObject, ToolObject
from cfaudit.score import round_half_up

Key: TypeAlias = tuple[str, str, str, str]


class StateObject(TypedDict):
    """How a finding stood on one side."""

    verdict: str
    severity: str
    when: str | None


class GapObject(TypedDict):
    """A gap, and how it stands on either side; None where there is no such finding or it passes."""

    rule: str
    severity: str
    category: str
    subject: str
    logical_id: str | None
    property_path: str | None
    message: str
    remedy: str | None
    file: str
    line: int
    before: StateObject | None
    after: StateObject | None


class SideObject(TypedDict):
    """A template as it was audited, without its findings."""

    path: str
    profile: str | None
    verdict: str
    production_ready: bool


class ScoreChangeObject(TypedDict):
    """A score on either side, and by how much it went up."""

    old: float | None
    new: float | None
    change: float | None


class CategoryChangeObject(ScoreChangeObject):
    """The score of a category."""

    id: str
    title: str


class GradeChangeObject(TypedDict):
    """The letter on either side."""

    old: str | None
    new: str | None


class ComparisonObject(TypedDict):
    """One template on two sides; None for the side that does not have it."""

    old: SideObject | None
    new: SideObject | None
    opened: list[GapObject]
    closed: list[GapObject]
    changed: list[GapObject]
    unchanged: int
    categories: list[CategoryChangeObject]
    overall: ScoreChangeObject
    grade: GradeChangeObject
    notes: list[str]


class NewGateObject(TypedDict):
    """The gate: how many opened gaps are as severe as ``fail_on_new`` or more so."""

    fail_on_new: str
    failing: int
    held: bool


class Diff(TypedDict):
    """What became of the gaps of all templates."""

    schema: int
    tool: ToolObject
    comparisons: list[ComparisonObject]
    opened: int
    closed: int
    changed: int
    unchanged: int
    gate: NewGateObject


class Pair(NamedTuple):
    """A template on two sides; None for the side that does not have it."""

    old: TemplateObject | None
    new: TemplateObject | None


def compare(pairs: Iterable[Pair], tool: ToolObject, fail_on_new: Severity | None) -> Diff:
    """Compare templates; gaps that opened with ``fail_on_new`` severity or worse fail the gate, None: none does."""
    made = [_comparison(pair) for pair in pairs]
    graves = [severity.value for severity in Severity if fail_on_new and severity.rank <= fail_on_new.rank]
    failing = sum(gap["severity"] in graves for comparison in made for gap in comparison["opened"])
    return Diff(
        schema=1,
        tool=tool,
        comparisons=made,
        opened=sum(len(each["opened"]) for each in made),
        closed=sum(len(each["closed"]) for each in made),
        changed=sum(len(each["changed"]) for each in made),
        unchanged=sum(each["unchanged"] for each in made),
        gate=NewGateObject(
            fail_on_new=fail_on_new.value if fail_on_new else "never", failing=failing, held=failing == 0
        ),
    )


def _comparison(pair: Pair) -> ComparisonObject:
    opened, closed, changed = list[GapObject](), list[GapObject](), list[GapObject]()
    unchanged = 0
    before, after = _by_key(pair.old), _by_key(pair.new)
    for key in dict.fromkeys((*before, *after)):
        matched = _matched(before.get(key, []), after.get(key, []))
        unchanged += matched.same
        opened += matched.opened
        closed += matched.closed
        changed += matched.changed
    return ComparisonObject(
        old=_side(pair.old),
        new=_side(pair.new),
        opened=sorted(opened, key=_order),
        closed=sorted(closed, key=_order),
        changed=sorted(changed, key=_order),
        unchanged=unchanged,
        categories=list(_categories(pair)),
        overall=_change(_overall(pair.old), _overall(pair.new)),
        grade=GradeChangeObject(old=_grade(pair.old), new=_grade(pair.new)),
        notes=list(_notes(pair)),
    )


# Gaps ----------------------------------------------------------------------------------------------------------------


class _Matched(NamedTuple):
    """What became of the findings that have a key in common."""

    same: int
    opened: list[GapObject]
    closed: list[GapObject]
    changed: list[GapObject]


def _by_key(template: TemplateObject | None) -> dict[Key, list[FindingObject]]:
    found: dict[Key, list[FindingObject]] = {}
    for finding in template["findings"] if template else ():
        path, subject = finding["property_path"] or "", finding["logical_id"] or finding["subject"]
        found.setdefault((finding["rule"], subject, path, finding["salient"]), []).append(finding)
    return found


def _matched(old: Sequence[FindingObject], new: Sequence[FindingObject]) -> _Matched:
    """Equal gaps first, then gaps that differ in severity or condition, then those of one side only."""
    before, after = [each for each in old if _fails(each)], [each for each in new if _fails(each)]
    same = 0
    for finding in tuple(before):
        equal = next((each for each in after if _state(each) == _state(finding)), None)
        if equal is not None:
            same += 1
            before.remove(finding)
            after.remove(equal)
    both = min(len(before), len(after))
    changed = [_gap(now, then, now) for then, now in zip(before[:both], after[:both], strict=True)]
    was = next((each for each in old if not _fails(each)), None)
    becomes = next((each for each in new if not _fails(each)), None)
    return _Matched(
        same=same,
        opened=[_gap(now, was, now) for now in after[both:]],
        closed=[_gap(then, then, becomes) for then in before[both:]],
        changed=changed,
    )


def _fails(finding: FindingObject) -> bool:
    return finding["verdict"] == "fail"


def _state(finding: FindingObject) -> StateObject:
    return StateObject(verdict=finding["verdict"], severity=finding["severity"], when=finding["when"])


def _gap(finding: FindingObject, before: FindingObject | None, after: FindingObject | None) -> GapObject:
    first = finding["evidence"][0]
    return GapObject(
        rule=finding["rule"],
        severity=finding["severity"],
        category=finding["category"],
        subject=finding["subject"],
        logical_id=finding["logical_id"],
        property_path=finding["property_path"],
        message=finding["message"],
        remedy=finding["remedies"][0]["title"] if finding["remedies"] else None,
        file=first["file"],
        line=first["line"],
        before=_state(before) if before else None,
        after=_state(after) if after else None,
    )


def _order(gap: GapObject) -> tuple[int, str, str, int, str]:
    return Severity(gap["severity"]).rank, gap["rule"], gap["file"], gap["line"], gap["subject"]


# Scores --------------------------------------------------------------------------------------------------------------


def _side(template: TemplateObject | None) -> SideObject | None:
    if template is None:
        return None
    card = template["scorecard"]
    return SideObject(
        path=template["path"],
        profile=template["profile"],
        verdict=template["verdict"],
        production_ready=card is not None and card["readiness"]["production_ready"],
    )


def _overall(template: TemplateObject | None) -> float | None:
    card = template["scorecard"] if template else None
    return card["overall"] if card else None


def _grade(template: TemplateObject | None) -> str | None:
    card = template["scorecard"] if template else None
    return card["grade"] if card else None


def _change(old: float | None, new: float | None) -> ScoreChangeObject:
    change = round_half_up(new - old) + 0.0 if old is not None and new is not None else None
    return ScoreChangeObject(old=old, new=new, change=change)


def _categories(pair: Pair) -> Iterator[CategoryChangeObject]:
    old, new = _scores(pair.old), _scores(pair.new)
    for name, title in dict.fromkeys((*old, *new)):
        change = _change(old.get((name, title)), new.get((name, title)))
        yield CategoryChangeObject(id=name, title=title, **change)


def _scores(template: TemplateObject | None) -> dict[tuple[str, str], float | None]:
    card = template["scorecard"] if template else None
    return {(row["id"], row["title"]): row["score"] for row in card["categories"]} if card else {}


def _notes(pair: Pair) -> Iterator[str]:
    """What makes the two sides unlike for another reason than their gaps."""
    if pair.old is None or pair.new is None:
        return
    then, now = pair.old["profile"], pair.new["profile"]
    if then != now:
        yield f"judged by profile {then} before and {now} now; what only one of them asks for opens or closes with it"
    broken = [side["path"] for side in pair if side is not None and side["verdict"] == "error"]
    if broken:
        yield f"not judged whole: cfaudit broke on {' and '.join(broken)}"
