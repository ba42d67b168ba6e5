"""The shipped stacks, audited through the real pipeline."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

from cfaudit.checks import CHECKS
from cfaudit.finding import Severity
from cfaudit.pipeline import Audit, Settings, audit
from cfaudit.report import TemplateObject, template_object
from cfaudit.rule import Rule, load_categories, load_rules
from cfaudit.score import Gate, score

ROOT = Path(__file__).parent.parent
AUDITED = ROOT / "fixtures" / "audited" / "crowdfunding.yaml"
REFERENCE = ROOT / "fixtures" / "reference" / "crowdfunding.yaml"
AS_OF = date(2026, 11, 22)


@cache
def rules() -> tuple[Rule, ...]:
    return load_rules(CHECKS)


@cache
def audited(text: str, path: str, profile: str = "auto") -> Audit:
    return audit(text, path, Settings(as_of=AS_OF, profile=profile), rules())


def reported(text: str, path: str, profile: str = "auto", gate: Gate | None = None) -> TemplateObject:
    card = score(audited(text, path, profile), load_categories(), gate or Gate(Severity.CRITICAL))
    return template_object(card)


@cache
def shipped(path: Path) -> TemplateObject:
    return reported(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))


def answers(report: TemplateObject) -> set[tuple[str, str, str]]:
    """(rule, verdict, subject) of every finding and positive."""
    return {
        (finding["rule"], finding["verdict"], finding["subject"])
        for finding in (*report["findings"], *report["positives"])
    }
