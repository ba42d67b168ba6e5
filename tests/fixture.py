"""Fixtures of rules: where they are, what their names and marks say."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cfaudit.config import Config, load_config
from cfaudit.finding import Result
from cfaudit.fleet import catalogue
from cfaudit.pipeline import Settings, audit
from cfaudit.rule import Rule

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures" / "rules"
VERDICTS = {"pass": "pass", "fail": "fail", "unknown": "unknown", "na": "n/a"}
AS_OF = "2026-11-22"


@dataclass(frozen=True)
class Fixture:
    """A template whose name says the verdict of the rule whose folder it is in."""

    rule: str
    path: Path

    @property
    def verdict(self) -> str:
        return VERDICTS[re.split(r"[-.]", self.path.name)[0]]

    @property
    def template(self) -> Path:
        """The template itself; a fixture may be a folder with a template, a configuration and code."""
        if self.path.is_dir():
            return next(
                path for path in sorted(self.path.iterdir()) if path.stem == "template" and path.suffix != ".gaps"
            )
        return self.path

    @property
    def lines(self) -> list[str]:
        return self.template.read_text(encoding="utf-8").splitlines()

    @property
    def gaps(self) -> set[int]:
        """The lines that must be the primary evidence of a failing finding."""
        beside = self.template.with_suffix(".gaps")
        listed = re.findall(r"# gaps: ([\d ]+)", beside.read_text() if beside.exists() else self.lines[0])
        marked = {number for number, line in enumerate(self.lines, 1) if re.search(r"# gap\s*$", line)}
        return marked | {int(number) for number in " ".join(listed).split()}

    @property
    def arguments(self) -> list[str]:
        """Command line arguments of the audit, ``# args: --param X=y`` in a comment or in the ``.gaps`` file."""
        beside = self.template.with_suffix(".gaps")
        text = "\n".join(self.lines) + "\n" + (beside.read_text() if beside.exists() else "")
        found = [word for line in re.findall(r"# args: (.*)", text) for word in shlex.split(line)]
        return found if "--as-of" in found else ["--as-of", AS_OF, *found]


def fixtures() -> list[Fixture]:
    """Every fixture of every rule."""
    return [
        Fixture(folder.name, path)
        for folder in sorted(FIXTURES.iterdir())
        for path in sorted(folder.iterdir())
        if path.suffix != ".gaps"
    ]


_PARSER = argparse.ArgumentParser()
_PARSER.add_argument("--as-of", type=date.fromisoformat)
_PARSER.add_argument("--param", action="append", default=[])
_PARSER.add_argument("--profile", default="auto")
_PARSER.add_argument("--region")
_PARSER.add_argument("--lint")


def judge(fixture: Fixture, rule: Rule) -> Result:
    """What one rule makes of a fixture; a folder may hold a ``cfaudit.yaml``."""
    return judge_text(fixture, rule, fixture.template.read_text(encoding="utf-8"))


def judge_text(fixture: Fixture, rule: Rule, text: str) -> Result:
    """What one rule makes of another text in the place of a fixture."""
    options = _PARSER.parse_args(fixture.arguments)
    beside = fixture.template.parent / "cfaudit.yaml"
    config = load_config(beside, beside.read_text(encoding="utf-8"), catalogue()) if beside.exists() else Config()
    path, parameters = str(fixture.template), dict(pair.split("=", 1) for pair in options.param)
    settings = Settings(
        as_of=options.as_of,
        parameters=parameters,
        region=options.region,
        profile=options.profile,
        config=config,
        lint=options.lint,
    )
    return audit(text, path, settings, [rule]).results[0]
