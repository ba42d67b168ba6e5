"""The fixtures of the built-in rules, read and judged by ``cfaudit.proof`` as anybody's are."""

from __future__ import annotations

from pathlib import Path

from cfaudit import proof
from cfaudit.proof import AS_OF, Fixture, judge, judge_text

__all__ = ["AS_OF", "FIXTURES", "ROOT", "Fixture", "fixtures", "judge", "judge_text"]

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures" / "rules"


def fixtures() -> list[Fixture]:
    """Every fixture of every rule."""
    return proof.fixtures(FIXTURES)
