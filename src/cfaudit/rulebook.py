"""Directories of rules in, a Rulebook out: the built-in catalogue, and beside it the rules that others wrote.

Such rules are data: a file names a check that is built in or that an installed package offers, and gives arguments.
No code is ever read from a directory of rules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cfaudit.checks import CHECKS
from cfaudit.evaluate import Check
from cfaudit.rule import RULES, Rule, RuleError, load_categories, load_rules, nearest, read_rows, rule_files
from cfaudit.waive import Catalogue


class Rulebook(NamedTuple):
    """Every rule that there is, the functions of their checks, and the ids that configurations and waivers may name."""

    rules: tuple[Rule, ...]
    checks: Mapping[str, Check]
    catalogue: Catalogue


@cache
def rulebook(directories: tuple[str, ...] = ()) -> Rulebook:
    """The built-in rules and those below ``directories``, each of which counts once. Raises ``RuleError``."""
    rules, checks = load_rules(CHECKS), CHECKS
    for directory in _distinct(directories):
        from cfaudit.checks.installed import InstalledChecks

        checks = InstalledChecks()
        rules = (*rules, *_own(directory, checks, rules))
    return Rulebook(rules, checks, Catalogue.of((rule.id, rule.aliases) for rule in rules))


def _distinct(directories: Iterable[str]) -> Iterator[Path]:
    seen = {os.path.realpath(RULES)}
    for directory in directories:
        if os.path.realpath(directory) not in seen:
            seen.add(os.path.realpath(directory))
            yield Path(directory)


ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def unfit(name: str, known: Iterable[Rule]) -> str | None:
    """What keeps a name from being that of a rule beside others."""
    if not ID.fullmatch(name):
        return f"{name!r} is no name of a rule: small letters and digits, in words that hyphens join"
    if name in (category.id for category in load_categories()):
        return f"{name!r} is a category; a rule needs another name"
    for rule in known:
        if name in (rule.id, *rule.aliases):
            whose = "a built-in rule" if Path(rule.path).is_relative_to(RULES) else rule.path
            return f"there is a rule {name!r} already: {whose}; give yours another name"
    return None


def _own(directory: Path, checks: Mapping[str, Check], known: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules of one directory, held to be rules that can stand beside those there are."""
    _vet_places(directory)
    found: list[Rule] = []
    for rule in load_rules(checks, directory):
        for field, problem in _problems(rule, (*known, *found)):
            ((_, _, lines),) = read_rows([Path(rule.path)])
            raise RuleError(rule.path, lines.get(field, 1), problem)
        found.append(rule)
    return tuple(found)


def _problems(rule: Rule, known: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    """What keeps a rule from standing beside others, by the field that does; the name of the file is ``id``."""
    for name in (rule.id, *rule.aliases):
        problem = unfit(name, known)
        if problem:
            yield "id" if name == rule.id else "aliases", problem
    for other in known:
        if rule.component and rule.component == other.component:
            yield "component", f"the rule {other.id!r} decides the component {rule.component!r} already"


def _vet_places(directory: Path) -> None:
    """A file that would silently be no rule is an error, as is a folder that is no category."""
    for path in sorted((*directory.glob("*.y*ml"), *directory.glob("*/*.yml"))):
        if not path.name.startswith("_") and path.parent.name != "profiles":
            raise RuleError(path, 1, "a rule stands in the folder of its category: <category>/<id>.yaml")
    categories = [category.id for category in load_categories()]
    for path in rule_files(directory):
        if path.parent.name not in categories:
            name = path.parent.name
            raise RuleError(path, 1, f"there is no category {name!r}; {nearest(name, categories)}")
