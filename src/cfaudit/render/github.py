"""The report object in, workflow commands for GitHub Actions out: annotations on the lines, then the rest as log lines.

GitHub shows ten annotations of each level per step, so the tenth says how many more there are.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message
https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md#limitations
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.render.outline import (
    Gap,
    counts,
    gaps,
    grade_sentence,
    notes,
    one_line,
    plural,
    posix,
    remark,
)
from cfaudit.report import Report, TemplateObject

PER_LEVEL = 10
LEVELS = ("error", "warning", "notice")

_OF_SEVERITY = {"critical": "error", "high": "error", "medium": "warning", "low": "notice", "info": "notice"}
_OF_DIAGNOSTIC = {"error": "error", "warning": "warning", "info": "notice"}


class Annotation(NamedTuple):
    """What is said of a line; the columns are None where it is about several lines."""

    level: str
    file: str
    line: int
    end_line: int
    columns: tuple[int, int] | None
    title: str
    message: str


def render(report: Report) -> str:
    """Annotations, most grave first and at most ten per level; a log line for each of the others and each template.

    What the baseline knows is counted in its template's line.
    """
    found = sorted((*_diagnostics(report), *_findings(report)), key=lambda each: LEVELS.index(each.level))
    commands: list[str] = []
    others: list[str] = []
    for level in LEVELS:
        held = [each for each in found if each.level == level]
        shown = held if len(held) <= PER_LEVEL else held[: PER_LEVEL - 1]
        rest = held[len(shown) :]
        commands += map(_command, shown)
        if rest:
            commands.append(f"::{level} title=cfaudit::{plural(len(rest), f'more {level}')} in the log of this step")
        others += map(_log, rest)
    return "\n".join((*commands, *others, *map(_template, report["templates"]))) + "\n"


def _findings(report: Report) -> Iterator[Annotation]:
    new = [gap for gap in gaps(report) if not gap.finding["known"]]
    for gap in sorted(new, key=lambda gap: gap.finding["verdict"] != "fail"):
        finding, first = gap.finding, gap.finding["evidence"][0]
        one = first["line"] == first["end_line"]
        yield Annotation(
            level=_level(gap),
            file=posix(first["file"]),
            line=first["line"],
            end_line=first["end_line"],
            columns=(first["column"], first["end_column"]) if one else None,
            title=f"{finding['rule']} ({finding['severity']})",
            message="\n".join((remark(gap), *_remedy(gap))),
        )


def _level(gap: Gap) -> str:
    verdict = gap.finding["verdict"]
    return "error" if verdict == "error" else _OF_SEVERITY[gap.finding["severity"]] if verdict == "fail" else "notice"


def _remedy(gap: Gap) -> Iterator[str]:
    if gap.finding["verdict"] == "fail" and gap.finding["remedies"]:
        yield f"To do: {one_line(gap.finding['remedies'][0]['title'])}"


def _diagnostics(report: Report) -> Iterator[Annotation]:
    for each in notes(report):
        level, line = _OF_DIAGNOSTIC[each["level"]], each["line"]
        yield Annotation(level, posix(each["file"]), line, line, None, "cfaudit", one_line(each["message"]))


def _command(each: Annotation) -> str:
    properties = {"file": each.file, "line": str(each.line), "endLine": str(each.end_line)}
    if each.columns is not None:
        properties |= {"col": str(each.columns[0]), "endColumn": str(each.columns[1])}
    properties["title"] = each.title
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{each.level} {written}::{_data(each.message)}"


def _log(each: Annotation) -> str:
    said = each.message.replace("\n", ". ")
    return _plain(f"{each.level}: {each.file}:{each.line}: {each.title}: {said}")


def _template(template: TemplateObject) -> str:
    card = template["scorecard"]
    scenario = "" if template["scenario"] == "default" else f" [{template['scenario']}]"
    grade = f"{grade_sentence(card)}, {counts(template)}" if card else "not audited"
    return _plain(f"cfaudit: {template['path']}{scenario}: {template['verdict']}, {grade}")


def _data(text: str) -> str:
    """Escaped as the runner reads it: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts."""
    return _unmarked(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(one_line(text)).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    """A line that the runner takes for no command: it begins with none, and holds none of the old form."""
    return _unmarked(one_line(text))


def _unmarked(text: str) -> str:
    """Text without ``##[``, with which the runner begins a command of its old form wherever it stands in a line."""
    return text.replace("##[", "## [")
