"""What a check says and what a rule comes to: findings with evidence, results with a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from cfaudit.nodes import Span

if TYPE_CHECKING:
    from cfaudit.model.declarations import Resource
    from cfaudit.rule import Rule


class Severity(Enum):
    """How bad a gap is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical to 4 for info."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Outcome(Enum):
    """What one finding says of its subject; waived is a fail that somebody answers for."""

    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"
    PASS = "pass"


class Verdict(Enum):
    """What a rule comes to; the first that any finding says."""

    ERROR = "error"
    FAIL = "fail"
    UNKNOWN = "unknown"
    WAIVED = "waived"
    PASS = "pass"
    NOT_APPLICABLE = "n/a"


class Evidence(NamedTuple):
    """A stretch of text that proves a finding, and what it shows. ``text`` overrides the excerpt of the template."""

    span: Span
    note: str
    text: str | None = None


class Waiver(NamedTuple):
    """Somebody's word that the findings of some rules are accepted, why, and through which day (None: for good).

    It covers the findings of some resources where ``resources`` names them, those whose primary evidence starts on one
    line where ``line`` is or in ``file`` where that is, of templates whose path from the configuration matches
    ``template`` where that is set, and otherwise of the whole template. ``span`` is where it stands.
    """

    rules: tuple[str, ...]
    reason: str
    until: date | None
    span: Span
    resources: tuple[str, ...] = ()
    line: int | None = None
    template: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer about one subject.

    ``subject`` is a logical id or a component's id; ``evidence`` is never empty and its first member is the primary
    place. ``salient`` is the value the fingerprint includes; ``severity`` overrides the rule's for gate and sorting;
    ``waiver`` is what covers a waived one; ``known`` is whether the baseline has it.
    """

    outcome: Outcome
    subject: str
    message: str
    evidence: tuple[Evidence, ...]
    logical_id: str | None = None
    property_path: str | None = None
    salient: str = ""
    severity: Severity | None = None
    assumed: tuple[str, ...] = ()
    when: str | None = None
    waiver: Waiver | None = None
    known: bool = False

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"a finding about {self.subject} has no evidence")


class Result(NamedTuple):
    """A rule and what its check found, or the error that stopped the check."""

    rule: Rule
    findings: tuple[Finding, ...]
    error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """ERROR, else FAIL before UNKNOWN before WAIVED before PASS, else NOT APPLICABLE."""
        if self.error is not None:
            return Verdict.ERROR
        outcomes: set[Outcome] = {finding.outcome for finding in self.failing}
        outcomes.update(finding.outcome for finding in self.findings if finding.outcome is not Outcome.FAIL)
        for outcome, verdict in _VERDICTS:
            if outcome in outcomes:
                return verdict
        return Verdict.NOT_APPLICABLE

    @property
    def failing(self) -> tuple[Finding, ...]:
        """The findings that make the rule fail: what is mere information about a rule that is scored does not."""
        scored = self.rule.severity is not Severity.INFO
        return tuple(
            finding
            for finding in self.findings
            if finding.outcome is Outcome.FAIL and not (scored and finding.severity is Severity.INFO)
        )

    def of(self, outcome: Outcome) -> tuple[Finding, ...]:
        """The findings with one outcome."""
        return tuple(finding for finding in self.findings if finding.outcome is outcome)


_VERDICTS = (
    (Outcome.FAIL, Verdict.FAIL),
    (Outcome.UNKNOWN, Verdict.UNKNOWN),
    (Outcome.WAIVED, Verdict.WAIVED),
    (Outcome.PASS, Verdict.PASS),
)


def judged(
    outcome: Outcome,
    resource: Resource,
    path: str | None,
    message: str,
    *,
    more: Iterable[Evidence] = (),
    subject: str | None = None,
    note: str | None = None,
    span: Span | None = None,
    severity: Severity | None = None,
    salient: str = "",
    assumed: tuple[str, ...] = (),
) -> Finding:
    """A finding about a resource, anchored at the property ``path``, or where it is missed, or at ``span``.

    ``note`` says what the primary evidence shows (default: the message); ``more`` is related evidence.
    """
    where = span or (resource.where(path) if path else resource.span)
    return Finding(
        outcome=outcome,
        subject=subject or resource.logical_id,
        message=message,
        evidence=(Evidence(where, note or message), *more),
        logical_id=resource.logical_id,
        property_path=path,
        salient=salient,
        severity=severity,
        assumed=assumed,
    )
