"""The report object in, a GitLab Code Quality report out.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import TypedDict

from cfaudit.render.outline import Gap, gaps, notes, one_line, posix, remark
from cfaudit.report import DiagnosticObject, Report

_LEVELS = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor", "info": "info"}
_DIAGNOSTICS = {"error": "blocker", "warning": "minor", "info": "info"}


class Lines(TypedDict):
    """Where a degradation begins."""

    begin: int


class Location(TypedDict):
    """A place in the repository."""

    path: str
    lines: Lines


class Degradation(TypedDict):
    """One entry of the report."""

    description: str
    check_name: str
    fingerprint: str
    severity: str
    location: Location


def render(report: Report) -> str:
    """One entry for each finding and diagnostic, most grave first; what is waived or not decided is ``info``."""
    entries = [*_diagnostics(report), *map(_entry, gaps(report))]
    return json.dumps(entries, ensure_ascii=False, indent=2) + "\n"


def _entry(gap: Gap) -> Degradation:
    finding, first = gap.finding, gap.finding["evidence"][0]
    counts = finding["verdict"] in ("fail", "error")
    return Degradation(
        description=remark(gap),
        check_name=finding["rule"],
        fingerprint=gap.key,
        severity=_LEVELS[finding["severity"]] if counts else "info",
        location=Location(path=posix(first["file"]), lines=Lines(begin=first["line"])),
    )


def _diagnostics(report: Report) -> Iterator[Degradation]:
    seen: set[str] = set()
    for entry in map(_diagnostic, notes(report)):
        if entry["fingerprint"] not in seen:
            seen.add(entry["fingerprint"])
            yield entry


def _diagnostic(diagnostic: DiagnosticObject) -> Degradation:
    path = posix(diagnostic["file"])
    pieces = (path, str(diagnostic["line"]), diagnostic["message"])
    return Degradation(
        description=one_line(diagnostic["message"]),
        check_name="cfaudit",
        fingerprint=sha256("\0".join(pieces).encode("utf-8", "replace")).hexdigest()[:16],
        severity=_DIAGNOSTICS[diagnostic["level"]],
        location=Location(path=path, lines=Lines(begin=diagnostic["line"])),
    )
