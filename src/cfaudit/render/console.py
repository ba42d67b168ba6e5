"""The report object in, text for a terminal out; a Markdown page in, the same page for a terminal out.

Rich wraps and colours; nothing is ever read as its markup. ``rich.table`` and ``rich.markdown`` stay out of the way of
``render``: they would double what importing costs.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cfaudit.render.outline import (
    OPTION_AIMS,
    OPTION_TITLES,
    RECOMMENDED,
    SEVERITIES,
    Group,
    Positive,
    counts,
    detail_of,
    formula,
    gate_sentence,
    grade_sentence,
    groups,
    lines_of,
    one_line,
    place,
    plural,
    positives,
    score_of,
    tests_sentence,
    visible,
)
from cfaudit.report import (
    DiagnosticObject,
    EvidenceObject,
    FindingObject,
    OptionObject,
    ReadinessObject,
    Report,
    ScorecardObject,
    SentenceObject,
    TemplateObject,
    TestsObject,
)

Pieces: TypeAlias = "tuple[str | tuple[str, str], ...]"

MAX_EVIDENCE = 6
MAX_IN_FULL = 3
MAX_STEPS = 6
MAX_LINES = 3

_COLORS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "green"}
_VERDICTS = {"pass": "bold green", "fail": "bold red", "error": "bold magenta"}
_DIM = "bright_black"
_PAGE_STYLES = {
    "h1": "bold",
    "h2": "bold",
    "code": "cyan",
    "item.number": "default",
    "item.bullet": "default",
    "link_url": "blue",
}


def render(report: Report, *, width: int, color: bool, quiet: bool, verbose: bool) -> str:
    """The report for a terminal of ``width`` columns; ``quiet``: scorecards only, ``verbose``: also what is open."""
    sheet = _Sheet(max(width, 40))
    for index, template in enumerate(report["templates"]):
        if index:
            sheet.blank()
        _template(sheet, template, quiet=quiet, verbose=verbose)
    if len(report["templates"]) > 1:
        _summary(sheet, report["templates"])
    _run(sheet, report["diagnostics"])
    return sheet.text(color=color)


def page(markdown: str, *, width: int, color: bool) -> str:
    """A Markdown page for a terminal."""
    from rich.markdown import Heading, Markdown
    from rich.theme import Theme

    class _Heading(Heading):
        """A heading on the left, without a box."""

        def __rich_console__(self, console: Console, options: object) -> Iterable[Text]:
            self.text.justify = "left"
            yield self.text

    class _Page(Markdown):
        """Markdown with quiet headings."""

        elements = {**Markdown.elements, "heading_open": _Heading}  # noqa: RUF012

    console = _console(width, color=color)
    console.push_theme(Theme({f"markdown.{name}": style for name, style in _PAGE_STYLES.items()}))
    source = "\n".join(visible(line) for line in markdown.split("\n"))
    with console.capture() as capture:
        console.print(_Page(source, code_theme="ansi_dark", hyperlinks=False))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _console(width: int, *, color: bool) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        force_jupyter=False,
        no_color=not color,
        emoji=False,
        markup=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )


class _Sheet:
    """Lines being written. Whatever is put on it is made visible first and wrapped to the width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._console = _console(width, color=False)
        self._lines: list[Text] = []

    def text(self, *, color: bool) -> str:
        """Everything, with colour or without."""
        if not color:
            return "".join(f"{line.plain.rstrip()}\n" for line in self._lines)
        console = _console(self.width, color=True)
        with console.capture() as capture:
            console.print(Text("\n").join(self._lines), soft_wrap=True)
        return capture.get()

    def blank(self) -> None:
        """One empty line."""
        if self._lines and self._lines[-1].plain:
            self._lines.append(Text())

    def put(
        self, *pieces: str | tuple[str, str], indent: int = 0, label: Pieces = (), column: int | None = None
    ) -> None:
        """A paragraph from ``column`` on, wrapped there; ``label`` stands before it, from ``indent`` on."""
        column = indent if column is None else column
        head = _text(label)
        head.pad_left(indent)
        wrapped = self._wrapped(_text(pieces), max(self.width - column, 20))
        if head.cell_len > column - bool(label):
            self._lines.append(_cut(head, self.width))
            head = Text()
        for line in wrapped:
            line.rstrip()
            head.pad_right(column - head.cell_len)
            self._lines.append(head.append_text(line))
            head = Text()

    def _wrapped(self, text: Text, width: int) -> Sequence[Text]:
        return [text] if text.cell_len <= width else list(text.wrap(self._console, width))

    def spread(self, left: Pieces, right: Pieces, indent: int = 0) -> None:
        """One line with something at its right end; the left gives way."""
        end = _text(right)
        start = _text(left)
        start.pad_left(indent)
        room = self.width - (end.cell_len + 2 if end.plain else 0)
        start = _cut(start, room)
        if end.plain:
            start.pad_right(room + 2 - start.cell_len)
        self._lines.append(start.append_text(end))


def _text(pieces: Pieces) -> Text:
    text = Text()
    for piece in pieces:
        words, style = (piece, "") if isinstance(piece, str) else piece
        text.append(visible(words), style)
    return text


def _cut(text: Text, width: int) -> Text:
    """Text cut to a width, with an ellipsis where something went."""
    text.truncate(max(width, 1), overflow="ellipsis")
    return text


def _heading(sheet: _Sheet, title: str, detail: str = "", style: str = "bold") -> None:
    sheet.blank()
    sheet.put((title, style), ("  " + detail, _DIM) if detail else "")


# One template --------------------------------------------------------------------------------------------------------


def _template(sheet: _Sheet, template: TemplateObject, *, quiet: bool, verbose: bool) -> None:
    card = template["scorecard"]
    if card is None:
        said = "; ".join(f"{line['line']}:{line['column']}: {line['message']}" for line in template["diagnostics"])
        sheet.put((f"{template['path']}:{said}", ""), label=(("ERROR", _VERDICTS["error"]),), column=6)
        return
    _header(sheet, template, card, quiet=quiet)
    if not quiet:
        _findings(sheet, template, verbose=verbose)
        _positives(sheet, template)
        _tests(sheet, template["tests"], verbose=verbose)
    _scorecard(sheet, template, card)
    if not quiet:
        _readiness(sheet, card["readiness"])
        _options(sheet, template["options"])
        sheet.blank()
        _verdict(sheet, template, card)
        sheet.put(("cfaudit explain RULE prints a rule in full, with every remedy.", _DIM))


def _header(sheet: _Sheet, template: TemplateObject, card: ScorecardObject, *, quiet: bool) -> None:
    sheet.put((_name(template), "bold"))
    _verdict(sheet, template, card)
    if quiet:
        return
    profile = f"{template['profile']}: {template['profile_reason']}"
    for label, text in (("profile", profile), ("as of", template["as_of"])):
        sheet.put(one_line(text), indent=2, label=((label, _DIM),), column=11)
    _diagnostics(sheet, template["diagnostics"])


def _run(sheet: _Sheet, diagnostics: Sequence[DiagnosticObject]) -> None:
    """What is to say of the run rather than of one template."""
    if diagnostics:
        sheet.blank()
    _diagnostics(sheet, diagnostics)


def _diagnostics(sheet: _Sheet, diagnostics: Sequence[DiagnosticObject]) -> None:
    for line in diagnostics:
        said = f"{line['file']}:{line['line']}:{line['column']}: {one_line(line['message'])}"
        sheet.put(said, indent=2, label=((line["level"], "yellow"),), column=11)


def _name(template: TemplateObject) -> str:
    """The path, and the scenario where it is one of several."""
    scenario = template["scenario"]
    return template["path"] if scenario == "default" else f"{template['path']} ({scenario})"


def _verdict(sheet: _Sheet, template: TemplateObject, card: ScorecardObject) -> None:
    verdict = template["verdict"]
    word = "UNGATED" if card["gate"]["fail_on"] == "never" and verdict == "pass" else verdict.upper()
    sheet.put((word, _VERDICTS[verdict]), " · ", (grade_sentence(card), "bold"), f" · {counts(template)}")


def _findings(sheet: _Sheet, template: TemplateObject, *, verbose: bool) -> None:
    broken = groups(template, "error")
    if broken:
        _heading(sheet, "BROKEN", "cfaudit could not judge these; no score is given", _VERDICTS["error"])
        _each_group(sheet, template, broken)
    failing = groups(template, "fail")
    for severity in SEVERITIES:
        held = [group for group in failing if group.severity == severity]
        if held:
            cost = sum(group.cost for group in held)
            said = f"{plural(len(held), 'rule')} · {plural(sum(len(group.findings) for group in held), 'gap')}"
            _heading(sheet, severity.upper(), f"{said} · {_points(cost)}", _COLORS[severity])
            _each_group(sheet, template, held)
    for verdict, title, detail in (
        ("waived", "WAIVED", "gaps that a waiver covers; not scored"),
        ("info", "FOR INFORMATION", "improvements on what was asked, and other notes; not scored"),
    ):
        held = groups(template, verdict)
        if held:
            _heading(sheet, title, detail, _COLORS["info"])
            _each_group(sheet, template, held)
    _open(sheet, template, verbose=verbose)


def _open(sheet: _Sheet, template: TemplateObject, *, verbose: bool) -> None:
    """What only deploy time knows and what does not apply: counted, or listed."""
    unknown = groups(template, "unknown")
    beside = [rule["id"] for rule in template["rules"] if rule["verdict"] == "n/a"]
    number = sum(len(group.findings) for group in unknown)
    if verbose and unknown:
        _heading(sheet, "NOT DECIDED", "only deploy time can tell; not scored")
        _each_group(sheet, template, unknown)
    if verbose and beside:
        _heading(sheet, "NOT APPLICABLE", "nothing of their kind is in the template")
        sheet.put(", ".join(beside), indent=2)
    if not verbose and (unknown or beside):
        said = f"{plural(len(unknown), 'rule')} left open by {plural(number, 'value')} that only deploy time knows"
        parts = ([said] if unknown else []) + ([f"{plural(len(beside), 'rule')} without a subject"] if beside else [])
        sheet.blank()
        sheet.put((f"Not scored: {'; '.join(parts)} (-v lists them).", _DIM))


def _each_group(sheet: _Sheet, template: TemplateObject, held: Sequence[Group]) -> None:
    for group in held:
        sheet.blank()
        _group(sheet, template, group)


def _group(sheet: _Sheet, template: TemplateObject, group: Group) -> None:
    """All findings of one rule; the first few with their lines, the others named."""
    verdict = group.findings[0]["verdict"]
    mark = {"fail": "✗", "info": "→", "unknown": "?", "error": "!"}.get(verdict, "·")
    sheet.spread(
        (
            (f"{mark} ", _COLORS[group.severity]),
            (group.rule["id"], "bold"),
            (f"  {one_line(group.rule['title'])}", _DIM),
        ),
        ((_points(group.cost), _DIM),) if group.cost else (),
    )
    for finding in group.findings[:MAX_IN_FULL]:
        _finding(sheet, finding)
    for finding in group.findings[MAX_IN_FULL:]:
        sheet.spread((("· ", _DIM), *_sentence(finding)), ((f":{finding['evidence'][0]['line']}", _DIM),), indent=2)
    remedies = group.findings[0]["remedies"]
    if remedies and verdict in ("fail", "waived"):
        more = f" (or {plural(len(remedies) - 1, 'other way')})" if len(remedies) > 1 else ""
        sheet.put(one_line(remedies[0]["title"]), (more, _DIM), indent=2, label=(("fix", "green"),), column=6)


def _sentence(finding: FindingObject) -> Pieces:
    """What a finding says; its resource first where the sentence does not name it."""
    message, subject = one_line(finding["message"]), one_line(finding["subject"])
    named = subject in message or not finding["logical_id"]
    pieces: Pieces = (message,) if named else (f"{subject}: {message}",)
    if finding["construct_path"]:
        pieces = (*pieces, (f" [{one_line(finding['construct_path'])}]", _DIM))
    when: Pieces = ((f" (when {one_line(finding['when'])})", "yellow"),) if finding["when"] else ()
    known: Pieces = ((" (known)", _DIM),) if finding["known"] else ()
    return (*pieces, *when, *known)


def _finding(sheet: _Sheet, finding: FindingObject) -> None:
    sheet.put(*_sentence(finding), indent=2)
    _evidence(sheet, finding["evidence"], one_line(finding["message"]))
    for assumed in finding["assumed"]:
        sheet.put((one_line(assumed), _DIM), indent=4, label=(("assumed", _DIM),), column=12)
    if finding["waiver"]:
        until = f" (until {finding['waiver']['until']})" if finding["waiver"]["until"] else ""
        sheet.put((one_line(finding["waiver"]["reason"]) + until, _DIM), indent=4, label=(("waived", _DIM),), column=12)


def _evidence(sheet: _Sheet, evidence: Sequence[EvidenceObject], message: str) -> None:
    """The lines that prove a finding: place, excerpt, and what it shows where the sentence has not said it."""
    shown = evidence[:MAX_EVIDENCE]
    gutter = 7 + max(len(str(item["line"])) for item in shown)
    for index, item in enumerate(shown):
        number, where = str(item["line"]).rjust(gutter - 7), visible(place(item))
        named = index and item["file"] == shown[index - 1]["file"]
        long = not named and cell_len(where) > sheet.width // 2
        if long:
            sheet.put((where, "blue"), indent=4)
        label, indent, column = (number, 5, gutter) if named or long else (where, 4, cell_len(where) + 6)
        excerpt = _excerpt(item["text"], sheet.width - column)
        note = f"← {one_line(item['note'])}" if one_line(item["note"]) not in ("", message) else ""
        beside = bool(note) and column + cell_len(excerpt) + 2 + cell_len(note) <= sheet.width
        pieces = (excerpt, (f"  {note}", _DIM)) if beside else (excerpt,)
        sheet.put(*pieces, indent=indent, label=((label, "blue"),), column=column)
        if note and not beside:
            sheet.put((note, _DIM), indent=gutter)
    if len(evidence) > len(shown):
        sheet.put((f"… and {len(evidence) - len(shown)} more", _DIM), indent=gutter)


def _excerpt(text: str, width: int) -> str:
    """The first line of a stretch of the file, cut to fit."""
    lines = text.split("\n")
    first = visible(lines[0].expandtabs(2).strip())
    if len(first) > width:
        return first[: max(width - 1, 8)].rstrip() + "…"
    return first + (" …" if len(lines) > 1 and not first.endswith("…") else "")


def _points(cost: float) -> str:
    return f"{cost:.2f} points" if round(cost, 2) else "no points"


# Positives -----------------------------------------------------------------------------------------------------------


def _positives(sheet: _Sheet, template: TemplateObject) -> None:
    held = positives(template)
    if not held:
        return
    whole = sum(len(positive.findings) == positive.total for positive in held)
    part = f", {len(held) - whole} in part" if len(held) > whole else ""
    _heading(sheet, "POSITIVE", f"{plural(whole, 'rule')} {'hold' if whole != 1 else 'holds'}{part}", "bold green")
    sheet.blank()
    for positive in held:
        _positive(sheet, positive)


def _positive(sheet: _Sheet, positive: Positive) -> None:
    """One line: the sentence that is true, or what is true of some only, and the lines that prove it."""
    findings, rule = positive.findings, positive.rule
    lines = list(dict.fromkeys(finding["evidence"][0]["line"] for finding in findings))
    where = "line " if len(lines) == 1 else "lines "
    where += ", ".join(map(str, lines[:MAX_LINES])) + (", …" if len(lines) > MAX_LINES else "")
    if len(findings) == positive.total:
        said: tuple[str | tuple[str, str], ...] = (("✓ ", "green"), one_line(rule["holds"]))
    else:
        share = f"{len(findings)} of {positive.total}"
        said = (("~ ", "green"), f"{one_line(rule['title'])}: ", (share, "yellow"))
    sheet.spread(said, ((where, _DIM),), indent=2)


# Tests ---------------------------------------------------------------------------------------------------------------


def _tests(sheet: _Sheet, tests: TestsObject | None, *, verbose: bool) -> None:
    """How many resources of each type the tests name; ``verbose``: which, and where."""
    if tests is None:
        return
    _heading(sheet, "TESTS", tests_sentence(tests))
    sheet.blank()
    for kind in tests["types"]:
        whole, none = kind["named"] == kind["resources"], not kind["named"]
        mark = ("✓ ", "green") if whole else ("✗ ", "red") if none else ("~ ", "yellow")
        share = f"{kind['named']} of {kind['resources']}"
        of_type = ((f"type named {lines_of(kind['places'], 1)}", _DIM),) if kind["places"] else ()
        sheet.spread((mark, one_line(kind["type"]), "  ", (share, mark[1])), of_type, indent=2)
        for each in tests["resources"] if verbose else ():
            if each["type"] == kind["type"]:
                mark = ("✓ ", "green") if each["named"] else ("✗ ", "red")
                where = lines_of(each["places"], MAX_LINES) or "not named"
                sheet.spread((mark, one_line(each["logical_id"])), ((where, _DIM),), indent=4)
    if tests["types"] and not verbose:
        sheet.put(("-v lists the resources.", _DIM), indent=2)


# The scorecard -------------------------------------------------------------------------------------------------------


def _scorecard(sheet: _Sheet, template: TemplateObject, card: ScorecardObject) -> None:
    _heading(sheet, "SCORECARD")
    sheet.blank()
    column = max(len(row["title"]) for row in card["categories"]) + 4
    sheet.put(("Details", _DIM), indent=2, label=((f"{'Category':{column - 2}}{'Score':>6}", _DIM),), column=column + 9)
    for row in card["categories"]:
        score = score_of(row["score"], row["status"])
        sheet.put(
            one_line(detail_of(row["detail"], row["status"])),
            indent=2,
            label=(f"{row['title']:{column - 2}}", (f"{score:>6}", _score_style(row["score"]))),
            column=column + 9,
        )
    sheet.blank()
    sheet.put((grade_sentence(card), "bold"), indent=2, label=("Overall grade",), column=column)
    sums = formula(card)
    if sums:
        sheet.put((f"= {sums}", _DIM), indent=column)
        sheet.put(("the weight of each assessed row times its score, over the weights", _DIM), indent=column)
    else:
        why = "cfaudit broke in a category" if template["verdict"] == "error" else "no category could be assessed"
        sheet.put((why, _DIM), indent=column)
    style = "green" if card["gate"]["held"] else "red"
    sheet.put((gate_sentence(template, card), style), indent=2, label=("Gate",), column=column)


def _score_style(score: float | None) -> str:
    if score is None:
        return _DIM
    return "green" if score >= 90 else "yellow" if score >= 70 else "red"


# Readiness and options -----------------------------------------------------------------------------------------------


def _readiness(sheet: _Sheet, readiness: ReadinessObject) -> None:
    _heading(sheet, "READINESS")
    sheet.blank()
    ready = readiness["production_ready"]
    decided = {"yes": "green", "no": "red"}.get(readiness["deploys"], "yellow")
    general = [one_line(reason["text"]) for reason in readiness["reasons"] if reason["rule"] is None]
    deploys = ": ".join([readiness["deploys"], *general])
    sheet.put((deploys, decided), indent=2, label=("Deploys",), column=20)
    grave = [f"{reason['rule']}" for reason in readiness["reasons"] if reason["rule"] is not None]
    why = ": no critical or high gap is open" if ready else f": {', '.join(grave)}" if grave else ""
    sheet.put(
        ("yes" if ready else "no", "green" if ready else "red"),
        why,
        indent=2,
        label=("Production-ready",),
        column=20,
    )
    if readiness["works"]:
        when = "even when the stack deploys:" if readiness["deploys"] == "no" else "although the stack deploys:"
        sheet.put(when, indent=2, label=("Will not work",), column=20)
        _sentences(sheet, readiness["works"])
    if readiness["manual_steps"]:
        sheet.put("what CloudFormation cannot do:", indent=2, label=("By hand",), column=20)
    for step in readiness["manual_steps"]:
        sheet.put(one_line(step["text"]), indent=4, label=("·",), column=6)
        sheet.put((one_line(step["verify"]), _DIM), indent=6, label=(("verify:", _DIM),), column=14)


def _sentences(sheet: _Sheet, sentences: Sequence[SentenceObject]) -> None:
    for sentence in sentences:
        sheet.put(one_line(sentence["text"]), (f"  {sentence['rule']}", _DIM), indent=4, label=("·",), column=6)


def _options(sheet: _Sheet, options: Sequence[OptionObject]) -> None:
    if not any(option["steps"] for option in options):
        return
    _heading(sheet, "OPTIONS")
    for number, option in enumerate(options, 1):
        sheet.blank()
        chosen = " (recommended)" if option["id"] == RECOMMENDED else ""
        reach = f" · reaches {option['score']:.1f}" if option["score"] is not None else ""
        title = (f"{OPTION_TITLES[option['id']]}{chosen}", "bold")
        sheet.put(title, (f"  {OPTION_AIMS[option['id']]}{reach}", _DIM), label=(f"{number}.",), column=3)
        for position, step in enumerate(option["steps"][:MAX_STEPS], 1):
            subjects = one_line(step["subject"]).split(", ")
            named = ", ".join(subjects[:2]) + (f" and {len(subjects) - 2} more" if len(subjects) > 2 else "")
            sheet.put(
                one_line(step["text"]), (f" ({named})", _DIM), indent=3, label=((f"{position}.", _DIM),), column=6
            )
        if len(option["steps"]) > MAX_STEPS:
            left = plural(len(option["steps"]) - MAX_STEPS, "more step")
            sheet.put((f"… {left}, see --format markdown", _DIM), indent=6)


def _summary(sheet: _Sheet, templates: Sequence[TemplateObject]) -> None:
    """One line per template."""
    _heading(sheet, "SUMMARY", plural(len(templates), "template"))
    sheet.blank()
    for template in templates:
        card = template["scorecard"]
        grade = grade_sentence(card) if card else "unusable"
        said = counts(template) if card else ""
        label = ((f"{template['verdict']:<5}  ", _VERDICTS[template["verdict"]]), f"{grade:<14}")
        sheet.put(_name(template), (f"  {said}", _DIM), indent=2, label=label, column=25)
