"""A directory of rules in, out what its fixtures disprove: the verdict in a fixture's name, its ``# gap`` lines.

The fixtures of ``rules/<category>/<id>.yaml`` are in ``fixtures/rules/<id>/``: beside the directory of rules, in a
folder of its name. One is a template ``{pass,fail,unknown,na}[-why].yaml`` (or ``.json``), or a folder so named with
the template and the files that it is audited with.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, NoReturn

from cfaudit.config import Config, load_config
from cfaudit.finding import Outcome, Result, Verdict
from cfaudit.load import load_document
from cfaudit.nodes import Map, Node, Scalar, TemplateError
from cfaudit.pipeline import Settings, audit
from cfaudit.rule import Rule
from cfaudit.rulebook import Rulebook, rulebook
from cfaudit.sources.brought import bring
from cfaudit.sources.files import read
from cfaudit.validity import ENGINES

AS_OF = "2026-11-22"
"""The day a fixture is judged by that names none."""

VERDICTS = {"pass": "pass", "fail": "fail", "unknown": "unknown", "na": "n/a"}
_TEMPLATES = (".yaml", ".yml", ".json", ".template")


class FixtureError(Exception):
    """A fixture cannot be audited as its name and its marks ask."""


@dataclass(frozen=True)
class Fixture:
    """A template whose name says the verdict of the rule whose folder it is in."""

    rule: str
    path: Path

    @property
    def verdict(self) -> str:
        """The verdict that the name says."""
        word = re.split(r"[-.]", self.path.name)[0]
        if word not in VERDICTS:
            raise FixtureError(f"its name begins with none of {', '.join(VERDICTS)}")
        return VERDICTS[word]

    @property
    def template(self) -> Path:
        """The template itself; a fixture may be a folder with a template, a configuration and code."""
        if not self.path.is_dir():
            return self.path
        found = [path for path in sorted(self.path.iterdir()) if path.stem == "template" and path.suffix in _TEMPLATES]
        if not found:
            raise FixtureError("the folder holds no template.yaml or template.json")
        return found[0]

    @cached_property
    def text(self) -> str:
        """The template's text."""
        return read(str(self.template))

    @property
    def lines(self) -> list[str]:
        """The template's lines."""
        return self.text.splitlines()

    @property
    def gaps(self) -> set[int]:
        """The lines that must be the primary evidence of a failing finding."""
        listed = re.findall(r"# gaps: ([\d ]+)", self._beside or "\n".join(self.lines[:1]))
        marked = {number for number, line in enumerate(self.lines, 1) if re.search(r"# gap\s*$", line)}
        return marked | {int(number) for number in " ".join(listed).split()}

    @property
    def arguments(self) -> list[str]:
        """Command line arguments of the audit, ``# args: --param X=y`` in a comment or in the ``.gaps`` file."""
        text = "\n".join(self.lines) + "\n" + self._beside
        try:
            found = [word for line in re.findall(r"# args: (.*)", text) for word in shlex.split(line)]
        except ValueError as error:
            raise FixtureError(f"its '# args:' cannot be read: {error}") from None
        return found if "--as-of" in found else ["--as-of", AS_OF, *found]

    @property
    def _beside(self) -> str:
        """Marks of a template that has no comments."""
        path = self.template.with_suffix(".gaps")
        return read(str(path)) if path.exists() else ""


def fixtures(folder: Path) -> list[Fixture]:
    """Every fixture of every rule; those of a rule are in the folder of its name."""
    return [
        Fixture(rule.name, path)
        for rule in sorted(folder.iterdir())
        if rule.is_dir()
        for path in sorted(rule.iterdir())
        if path.suffix != ".gaps"
    ]


def fixtures_of(directory: Path) -> Path:
    """The folder with the fixtures of a directory of rules, as its path is given."""
    path = Path(os.path.realpath(directory))
    beside = path.parent / "fixtures" / path.name
    return beside if directory.is_absolute() else Path(os.path.relpath(beside))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FixtureError(f"its '# args:' cannot be read: {message}")


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--as-of", type=date.fromisoformat)
    parser.add_argument("--param", action="append", default=[])
    parser.add_argument("--profile", default="auto")
    parser.add_argument("--region")
    parser.add_argument("--lint", choices=ENGINES)
    return parser


def judge(fixture: Fixture, rule: Rule, book: Rulebook | None = None) -> Result:
    """What one rule makes of a fixture; a folder may hold a ``cfaudit.yaml``. Raises as ``judge_text`` does."""
    return judge_text(fixture, rule, fixture.text, book)


def judge_text(fixture: Fixture, rule: Rule, text: str, book: Rulebook | None = None) -> Result:
    """What one rule makes of another text in the place of a fixture.

    ``book`` holds the rule, None: the built-in one. Raises ``FixtureError``, ``TemplateError`` and ``RuleError``.
    """
    book = book or rulebook()
    options = _parser().parse_args(fixture.arguments)
    path, parameters = str(fixture.template), dict(pair.partition("=")[::2] for pair in options.param)
    beside = fixture.template.parent / "cfaudit.yaml"
    config = load_config(beside, read(str(beside)), lambda _: book.catalogue) if beside.exists() else Config()
    settings = Settings(
        as_of=options.as_of,
        parameters=parameters,
        region=options.region,
        profile=options.profile,
        config=config,
        lint=options.lint,
        checks=book.checks,
        brought=bring((), (), config.docs),
    )
    results = audit(text, path, settings, [rule]).results
    if not results:
        raise FixtureError("its profile or configuration turns the rule off")
    return results[0]


def disproved(fixture: Fixture, result: Result) -> str | None:
    """How a result differs from what the fixture says, None where it does not."""
    lines = {finding.evidence[0].span.line for finding in result.failing}
    if result.verdict.value == fixture.verdict and lines == fixture.gaps:
        return None
    return f"expected {fixture.verdict}{_at(fixture.gaps)}; got {result.verdict.value}{_at(lines)}{_told(result)}"


def _at(lines: Iterable[int]) -> str:
    numbers = sorted(lines)
    return f" on line{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}" if numbers else ""


def _told(result: Result) -> str:
    """What the findings that are no passes say, or what else explains the verdict."""
    if result.verdict is Verdict.NOT_APPLICABLE:
        return ": the template has nothing that the rule asks about"
    found = [finding for finding in result.findings if finding.outcome is not Outcome.PASS] or result.findings
    said = [f"{finding.outcome.value} line {finding.evidence[0].span.line} ({finding.message})" for finding in found]
    return f": {result.error or '; '.join(said)}"


# A whole directory ---------------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Something that the fixtures of a directory disprove; ``unusable`` where it could not even be tried."""

    place: str
    message: str
    unusable: bool = False


class Proof(NamedTuple):
    """What became of a directory: how many rules and fixtures were tried, and what is wrong."""

    rules: int
    fixtures: int
    problems: tuple[Problem, ...]


def prove(directory: str) -> Proof:
    """Try every fixture and every snippet of a directory of rules. Raises ``RuleError`` for a malformed rule."""
    book = rulebook((directory,))
    root = os.path.realpath(directory)
    rules = {rule.id: rule for rule in book.rules if os.path.realpath(rule.path).startswith(root + os.sep)}
    folder = fixtures_of(Path(directory))
    held = fixtures(folder) if folder.is_dir() else []
    problems = [
        *(problem for fixture in held for problem in _tried(fixture, rules, book)),
        *(problem for rule in rules.values() for problem in _unproved(rule, held, folder)),
        *(problem for rule in rules.values() for problem in _snippets(rule)),
    ]
    return Proof(len(rules), len(held), tuple(problems))


def _tried(fixture: Fixture, rules: dict[str, Rule], book: Rulebook) -> Iterator[Problem]:
    place = str(fixture.path)
    rule = rules.get(fixture.rule)
    if rule is None:
        yield Problem(place, f"there is no rule {fixture.rule!r}", unusable=True)
        return
    try:
        message = disproved(fixture, judge(fixture, rule, book))
    except FixtureError as error:
        yield Problem(place, str(error), unusable=True)
    except TemplateError as error:
        yield Problem(error.span.point(), str(error), unusable=True)
    else:
        if message:
            yield Problem(place, message)


def _unproved(rule: Rule, held: Iterable[Fixture], folder: Path) -> Iterator[Problem]:
    names = {re.split(r"[-.]", fixture.path.name)[0] for fixture in held if fixture.rule == rule.id}
    for verdict in ("pass", "fail"):
        if verdict not in names:
            yield Problem(
                rule.path, f"no fixture proves that it can {verdict}: write {folder / rule.id / verdict}.yaml"
            )


def _snippets(rule: Rule) -> Iterator[Problem]:
    """A remedy's snippet is a map of resources, each with a type."""
    for number, remedy in enumerate(rule.remedies, 1):
        if remedy.snippet is not None:
            problem = snippet_problem(remedy.snippet)
            if problem:
                yield Problem(rule.path, f"the snippet of remedy {number} {problem}")


def snippet_problem(text: str) -> str | None:
    """What keeps a text from being a map of resources."""
    try:
        node = load_document(text, "snippet")
    except TemplateError as error:
        return f"does not parse, in its line {error.span.line}: {error}"
    if not isinstance(node, Map) or not node.entries:
        return "is no map of resources"
    untyped = [name for name, member in node.entries.items() if not _typed(member)]
    return f"has no Type for {untyped[0]}" if untyped else None


def _typed(member: Node) -> bool:
    return isinstance(member, Map) and isinstance(member.entries.get("Type"), Scalar)
