"""The comparison object in, text for a terminal, JSON or a Markdown comment out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cfaudit.compare import ComparisonObject, Diff, GapObject
from cfaudit.render.fitting import Block, fitted, joined, size
from cfaudit.render.markdown import COMMENT, code, escape, prose
from cfaudit.render.outline import one_line, plural

_NOTE = 200


class Section(NamedTuple):
    """A list of gaps under a heading."""

    title: str
    gaps: list[GapObject]


def render(diff: Diff, name: str, width: int) -> str:
    """The comparison in one of the formats; the console's has lines of at most ``width`` columns."""
    if name == "json":
        return json.dumps(diff, ensure_ascii=False, indent=2) + "\n"
    return _markdown(diff) if name == "markdown" else _console(diff, width)


def _sections(held: ComparisonObject) -> list[Section]:
    named = (("opened", held["opened"]), ("closed", held["closed"]), ("changed", held["changed"]))
    return [Section(title, gaps) for title, gaps in named if gaps]


def _title(held: ComparisonObject) -> str:
    """``v1:stack.yaml → stack.yaml``; the one path where there is but one side."""
    old, new = held["old"], held["new"]
    if old is None or new is None:
        side = old or new
        return f"{side['path'] if side else ''} ({'new' if old is None else 'gone'})"
    return f"{old['path']} → {new['path']}"


def _grades(held: ComparisonObject) -> str:
    """``C (70.0) → B (81.2), +11.2``."""
    overall, grade = held["overall"], held["grade"]
    old, new = (_grade(grade["old"], overall["old"]), _grade(grade["new"], overall["new"]))
    change = f", {_signed(overall['change'])}" if overall["change"] is not None else ""
    return f"{old} → {new}{change}"


def _grade(letter: str | None, score: float | None) -> str:
    return f"{letter} ({score:.1f})" if score is not None else "none"


def _signed(change: float | None) -> str:
    return "" if change is None else f"{change:+.1f}" if change else "±0.0"


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.1f}"


def _counts(opened: int, closed: int, changed: int, unchanged: int) -> str:
    said = [f"{opened} opened", f"{closed} closed", f"{unchanged} unchanged"]
    return ", ".join(said[:2] + ([f"{changed} changed"] if changed else []) + said[2:])


def _counts_of(held: ComparisonObject) -> str:
    return _counts(len(held["opened"]), len(held["closed"]), len(held["changed"]), held["unchanged"])


def _verdicts(held: ComparisonObject) -> str:
    """What ``check`` says of either side."""
    sides = [side["verdict"] if side else "none" for side in (held["old"], held["new"])]
    ready = [side["production_ready"] if side else None for side in (held["old"], held["new"])]
    words = {True: "yes", False: "no", None: "none"}
    return f"gate of check {sides[0]} → {sides[1]}; production-ready {words[ready[0]]} → {words[ready[1]]}"


def _gate(diff: Diff) -> str:
    gate = diff["gate"]
    if gate["fail_on_new"] == "never":
        return "not asked (--fail-on-new)"
    worse = gate["fail_on_new"] if gate["fail_on_new"] == "critical" else f"{gate['fail_on_new']} or worse"
    given = f"(--fail-on-new {gate['fail_on_new']})"
    if gate["held"]:
        return f"held {given}"
    verb = "is" if gate["failing"] == 1 else "are"
    return f"failed: {plural(gate['failing'], 'opened gap')} {verb} {worse} {given}"


def _remark(gap: GapObject) -> str:
    """What a gap says, under which condition, and how it stands on the other side."""
    before, after = gap["before"], gap["after"]
    message, subject = one_line(gap["message"]), one_line(gap["subject"])
    named = message if subject in message or not gap["logical_id"] else f"{subject}: {message}"
    here = after if after is not None and after["verdict"] == "fail" else before
    when = f" (when {one_line(here['when'])})" if here and here["when"] else ""
    return f"{named}{when}{_standing(gap)}"


def _standing(gap: GapObject) -> str:
    before, after = gap["before"], gap["after"]
    if before is None or after is None:
        return ""
    if before["verdict"] == after["verdict"] == "fail":
        was = [f"was {before['severity']}"] if before["severity"] != after["severity"] else []
        if before["when"] != after["when"]:
            was.append(f"was so when {one_line(before['when'])}" if before["when"] else "was so always")
        return f"; {', '.join(was)}"
    words = {"waived": "waived", "unknown": "not decided", "info": "for information", "error": "not judged"}
    if after["verdict"] == "fail":
        return f"; was {words.get(before['verdict'], before['verdict'])} before"
    return f"; {words.get(after['verdict'], after['verdict'])} now"


# The terminal --------------------------------------------------------------------------------------------------------


def _console(diff: Diff, width: int) -> str:
    lines: list[str] = []
    for held in diff["comparisons"]:
        lines += [*_comparison(held, width), ""]
    if len(diff["comparisons"]) > 1:
        total = _counts(diff["opened"], diff["closed"], diff["changed"], diff["unchanged"])
        lines += [f"{plural(len(diff['comparisons']), 'template')}: {total}", ""]
    lines.append(f"Gate  {_gate(diff)}")
    return "\n".join(lines) + "\n"


def _comparison(held: ComparisonObject, width: int) -> Iterator[str]:
    yield one_line(_title(held))
    yield f"{_grades(held)} · {_counts_of(held)}"
    yield _verdicts(held)
    for note in held["notes"]:
        yield from _wrapped(f"note  {one_line(note)}", width, 0, 6)
    for section in _sections(held):
        yield f"\n{section.title.upper()}  {plural(len(section.gaps), 'gap')}"
        for gap in section.gaps:
            yield from _gap(gap, width, remedy=section.title == "opened")
    if held["old"] is not None and held["new"] is not None:
        yield ""
        yield from _scores(held)


def _gap(gap: GapObject, width: int, *, remedy: bool) -> Iterator[str]:
    yield f"  {gap['severity']:8}  {gap['rule']}  {one_line(gap['file'])}:{gap['line']}"
    yield from _wrapped(_remark(gap), width, 12, 12)
    if remedy and gap["remedy"]:
        yield from _wrapped(f"fix {one_line(gap['remedy'])}", width, 12, 16)


def _wrapped(text: str, width: int, first: int, rest: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _scores(held: ComparisonObject) -> Iterator[str]:
    overall = held["overall"]
    rows = [(row["title"], row["old"], row["new"], row["change"]) for row in held["categories"]]
    rows.append(("Overall", overall["old"], overall["new"], overall["change"]))
    column = max(len(title) for title, *_ in rows)
    yield f"  {'Category':{column}}  {'Old':>5}  {'New':>5}  Change"
    for title, old, new, change in rows:
        yield f"  {title:{column}}  {_score(old):>5}  {_score(new):>5}  {_signed(change):>6}".rstrip()


# Markdown ------------------------------------------------------------------------------------------------------------


def _markdown(diff: Diff) -> str:
    """A comment for a pull request: what opened first, what closed folded; too long, it says how many there are."""
    blocks = [Block("head", (_head(diff),))]
    for position, held in enumerate(diff["comparisons"]):
        blocks += _blocks(held, position, len(diff["comparisons"]))
    whole = joined(block.forms[0] for block in blocks)
    if size(whole) <= COMMENT:
        return whole
    chosen = fitted(blocks, COMMENT - _NOTE)
    note = f"> [!NOTE]\n> Shortened to fit {COMMENT:,} characters. `--format json` leaves nothing out."
    return joined((note, *(block.forms[form] for block, form in zip(blocks, chosen, strict=True))))


def _head(diff: Diff) -> str:
    total = _counts(diff["opened"], diff["closed"], diff["changed"], diff["unchanged"])
    return f"# cfaudit: {total}\n\n**Gate:** {escape(_gate(diff))}"


def _blocks(held: ComparisonObject, position: int, number: int) -> Iterator[Block]:
    title, notes = f"## {code(_title(held))}", [f"- {escape(note)}" for note in held["notes"]]
    head = "\n".join(
        (f"{title}\n", f"**{escape(_grades(held))}** · {_counts_of(held)}\n", f"- {_verdicts(held)}", *notes)
    )
    quiet = not held["opened"] and not held["closed"] and not held["changed"] and number > 1
    yield Block("head", (head, ""), ((3, -position),))
    for section in _sections(held):
        full = "\n".join(_listed(section))
        short = f"**{section.title.capitalize()}:** {plural(len(section.gaps), 'gap')}"
        rank = 2 if section.title == "opened" else 0
        yield Block(section.title, (full, short, ""), ((rank, -position), (3, -position)))
    if held["old"] is not None and held["new"] is not None and not quiet:
        yield Block("scores", ("\n".join(_table(held)), ""), ((1, -position),))


def _listed(section: Section) -> Iterator[str]:
    folded = section.title != "opened"
    heading = f"{section.title.capitalize()}: {plural(len(section.gaps), 'gap')}"
    yield f"<details>\n<summary>{heading}</summary>\n" if folded else f"### {heading}\n"
    for gap in section.gaps:
        where = code(f"{gap['file']}:{gap['line']}")
        yield f"- **{gap['severity'].upper()}** {code(gap['rule'])} {escape(_remark(gap))} ({where})"
        if not folded and gap["remedy"]:
            yield f"  - To do: {prose(gap['remedy'])}"
    if folded:
        yield "\n</details>"


def _table(held: ComparisonObject) -> Sequence[str]:
    rows = [(escape(row["title"]), row["old"], row["new"], row["change"]) for row in held["categories"]]
    overall = held["overall"]
    rows.append(("**Overall**", overall["old"], overall["new"], overall["change"]))
    return (
        "| Category | Old | New | Change |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {title} | {_score(old)} | {_score(new)} | {_signed(change)} |" for title, old, new, change in rows),
    )
