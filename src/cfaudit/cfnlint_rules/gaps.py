"""A template's file in, cfaudit's gaps as matches of cfn-lint's rules out, on the lines that ``cfaudit check`` names.

cfn-lint keeps the numbers from 9000 for rules of others and counts the lines of a custom rules file from there.
https://github.com/aws-cloudformation/cfn-lint/blob/main/docs/rules.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

from cfaudit import fleet
from cfaudit.nodes import TemplateError
from cfaudit.render.outline import Gap, gaps, one_line, remark
from cfaudit.report import DiagnosticObject, EvidenceObject, report
from cfaudit.rule import RuleError
from cfaudit.sources.files import Input, read

ERROR, WARNING, INFORMATION = "E9901", "W9902", "I9903"

_OF_SEVERITY = {"critical": ERROR, "high": ERROR, "medium": WARNING, "low": INFORMATION, "info": INFORMATION}
_OF_DIAGNOSTIC = {"error": ERROR, "warning": WARNING, "info": INFORMATION}


class Place(NamedTuple):
    """Where something begins and ends, as cfn-lint counts: lines and columns from 0."""

    line: int
    column: int
    end_line: int
    end_column: int


TOP = Place(0, 0, 0, 1)


class Remark(NamedTuple):
    """What a rule of cfn-lint is to say; no place where only the resource is known."""

    rule: str
    message: str
    place: Place | None
    logical_id: str | None


class _Gaps(CloudFormationLintRule):
    """What the three rules share."""

    tags = ["cfaudit"]  # noqa: RUF012

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The gaps of this rule's level."""
        return [_match(remark) for remark in _remarks(cfn.filename) if remark.rule == self.id]


class ErrorGaps(_Gaps):
    """Gaps that are critical or high."""

    id = ERROR
    shortdesc = "Gaps that cfaudit finds critical or high"
    description = "What is missing, not wired or unsafe for production; 'cfaudit explain RULE' has every detail"


class WarningGaps(_Gaps):
    """Gaps of medium severity."""

    id = WARNING
    shortdesc = "Gaps that cfaudit finds medium"
    description = "What should be mended before the stack is relied on; 'cfaudit explain RULE' has every detail"


class InformationGaps(_Gaps):
    """Gaps of low severity."""

    id = INFORMATION
    shortdesc = "Gaps that cfaudit finds low"
    description = "What would make the stack better; 'cfaudit explain RULE' has every detail"


def _match(remark: Remark) -> RuleMatch:
    """A match; one of a resource can be ignored by that resource's metadata, as any of cfn-lint's."""
    path = ["Resources", remark.logical_id] if remark.logical_id else ["Resources"]
    return RuleMatch(path, remark.message, **({"location": remark.place} if remark.place else {}))


def _remarks(path: str | None) -> tuple[Remark, ...]:
    """What cfaudit says of a file, once for the rules of all levels; standard input is nothing cfn-lint passes on."""
    if path is None:
        return (Remark(WARNING, "cfaudit audits files only, not standard input", TOP, None),)
    try:
        return _audited(path, read(path))
    except (TemplateError, RuleError) as error:
        return (_unusable(path, error),)


@lru_cache(maxsize=1)
def _audited(path: str, text: str) -> tuple[Remark, ...]:
    """The remarks for a file that holds ``text``."""
    outcome = fleet.audit_input(Input(path, named=False), fleet.Options(as_of=datetime.now(UTC).date()))
    if outcome.error:
        return (_unusable(path, outcome.error),)
    held = report(outcome.templates)
    found = [_gap(gap, path) for gap in gaps(held) if gap.finding["verdict"] in ("fail", "error")]
    said = [_diagnostic(each, path) for template in held["templates"] for each in template["diagnostics"]]
    return (*said, *found)


def _gap(gap: Gap, path: str) -> Remark:
    """A gap at its first evidence in the template; what only stands in a file beside it is told by its place there."""
    finding, first = gap.finding, gap.finding["evidence"][0]
    here = next((evidence for evidence in finding["evidence"] if evidence["file"] == path), None)
    there = "" if here is first else f" ({first['file']}:{first['line']})"
    message = f"{finding['rule']} ({finding['severity']}): {remark(gap)}{there}"
    level = ERROR if finding["verdict"] == "error" else _OF_SEVERITY[finding["severity"]]
    place = _place(here) if here else None if finding["logical_id"] else TOP
    return Remark(level, message, place, finding["logical_id"])


def _place(evidence: EvidenceObject) -> Place:
    begin, end = (evidence["line"], evidence["column"]), (evidence["end_line"], evidence["end_column"])
    return Place(begin[0] - 1, begin[1] - 1, end[0] - 1, end[1] - 1)


def _diagnostic(each: DiagnosticObject, path: str) -> Remark:
    here = each["file"] == path
    line, column = each["line"] - 1, each["column"] - 1
    message = each["message"] if here else f"{each['file']}:{each['line']}: {each['message']}"
    place = Place(line, column, line, column + 1) if here else TOP
    return Remark(_OF_DIAGNOSTIC[each["level"]], one_line(f"cfaudit: {message}"), place, None)


def _unusable(path: str, error: TemplateError | RuleError) -> Remark:
    """Why there is no audit, where that is in the template, else at its top with the file that is to blame."""
    if isinstance(error, TemplateError) and error.span.file == path:
        line, column = error.span.line - 1, error.span.column - 1
        return Remark(ERROR, one_line(f"cfaudit: {error}"), Place(line, column, line, column + 1), None)
    where = error.span.point() if isinstance(error, TemplateError) else f"{error.path}:{error.line}"
    return Remark(ERROR, one_line(f"cfaudit: {where}: {error}"), TOP, None)
