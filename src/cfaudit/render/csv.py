"""The report object in, comma-separated values out (RFC 4180): a row for each finding, safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from cfaudit.render.outline import one_line
from cfaudit.report import DiagnosticObject, FindingObject, Report, TemplateObject

HEADER = (
    "path",
    "scenario",
    "rule",
    "category",
    "severity",
    "verdict",
    "subject",
    "logical_id",
    "property_path",
    "file",
    "line",
    "column",
    "end_line",
    "end_column",
    "message",
    "when",
    "requirement",
    "remedy",
    "waiver_reason",
    "waiver_until",
    "known",
    "cost",
    "fingerprint",
    "construct_path",
)

# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def render(report: Report) -> str:
    """A header and a row for each finding and each diagnostic, in the order of the report; lines end in CRLF."""
    written = io.StringIO()
    writer = csv.DictWriter(written, HEADER, restval="", lineterminator="\r\n")
    writer.writeheader()
    for template in report["templates"]:
        writer.writerows({name: _safe(value) for name, value in row.items()} for row in _rows(template))
    writer.writerows(
        {name: _safe(value) for name, value in _diagnostic(each).items()} for each in report["diagnostics"]
    )
    return written.getvalue()


def _rows(template: TemplateObject) -> Iterator[dict[str, str]]:
    for row in (*map(_diagnostic, template["diagnostics"]), *map(_finding, template["findings"])):
        yield {"path": template["path"], "scenario": template["scenario"], **row}


def _diagnostic(diagnostic: DiagnosticObject) -> dict[str, str]:
    """What is no finding has no rule; an unusable template is a row of its own."""
    return {
        "verdict": diagnostic["level"],
        "file": diagnostic["file"],
        "line": str(diagnostic["line"]),
        "column": str(diagnostic["column"]),
        "message": diagnostic["message"],
    }


def _finding(finding: FindingObject) -> dict[str, str]:
    first, waiver = finding["evidence"][0], finding["waiver"]
    return {
        "rule": finding["rule"],
        "category": finding["category"],
        "severity": finding["severity"],
        "verdict": finding["verdict"],
        "subject": finding["subject"],
        "logical_id": finding["logical_id"] or "",
        "property_path": finding["property_path"] or "",
        "file": first["file"],
        "line": str(first["line"]),
        "column": str(first["column"]),
        "end_line": str(first["end_line"]),
        "end_column": str(first["end_column"]),
        "message": finding["message"],
        "when": finding["when"] or "",
        "requirement": finding["requirement"],
        "remedy": finding["remedies"][0]["title"] if finding["remedies"] else "",
        "waiver_reason": waiver["reason"] if waiver else "",
        "waiver_until": (waiver["until"] or "") if waiver else "",
        "known": "true" if finding["known"] else "false",
        "cost": f"{finding['cost']:.2f}",
        "fingerprint": finding["fingerprint"],
        "construct_path": finding["construct_path"] or "",
    }


def _safe(value: str) -> str:
    """One line of visible text that no spreadsheet takes for a formula."""
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
