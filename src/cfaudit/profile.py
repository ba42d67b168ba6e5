"""rules/profiles/*.yaml, or a profile's file of the user's, in; a Profile out: what a kind of stack is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cfaudit.finding import Severity
from cfaudit.inventory import Component, components_of
from cfaudit.nodes import Map
from cfaudit.rule import RULES, ArgumentError, Plain, RuleError, line_numbers, nearest, plain, read_yaml, table

PROFILES = ("crowdfunding", "mvp", "production", "serverless")
AUTO = "auto"
OFF = "off"
GRADES = tuple(severity.value for severity in Severity)
DOMAIN_THRESHOLD = 10
INVENTORY_RULE = "missing-component"
_FIELDS = ("title", "extends", "components", "without", "rules", "requirements", "fail_on", "min_score")


class Profile(NamedTuple):
    """What a kind of stack is asked for.

    ``without`` are rules that do not apply to it, ``grades`` severities and ``requirements`` sentences of its own by
    rule id; ``fail_on`` (a severity or ``never``) and ``min_score`` are its gate, None: the default. ``extends`` is
    ``auto`` for a profile that takes the inventory of whatever kind the stack is.
    """

    name: str
    title: str
    components: tuple[Component, ...] = ()
    without: frozenset[str] = frozenset()
    grades: Mapping[str, Severity] = MappingProxyType({})
    requirements: Mapping[str, str] = MappingProxyType({})
    fail_on: str | None = None
    min_score: float | None = None
    extends: str | None = None

    def upon(self, base: Profile) -> Profile:
        """This profile with what it leaves unsaid taken from ``base``; a rule that it grades applies again."""
        own = {component.id for component in self.components}
        asked = {*self.grades, *([INVENTORY_RULE] if own else [])}
        inherited = tuple(component for component in base.components if component.id not in own)
        return self._replace(
            components=(*inherited, *self.components),
            without=self.without | (base.without - asked),
            grades={**base.grades, **self.grades},
            requirements={**base.requirements, **self.requirements},
            fail_on=self.fail_on or base.fail_on,
            min_score=base.min_score if self.min_score is None else self.min_score,
        )


def is_file(name: str) -> bool:
    """Whether a profile's name is a path: it has a suffix or a separator, as no built-in name does."""
    return name.endswith((".yaml", ".yml", ".json")) or os.sep in name


def load_profile(name: str) -> Profile:
    """A built-in profile by its name, another by its path, with everything that it extends except ``auto``.

    Raises ``RuleError`` for a malformed file or a name that there is none of.
    """
    return _loaded(name, ())


def _loaded(name: str, seen: tuple[str, ...]) -> Profile:
    path = Path(name) if is_file(name) else RULES / "profiles" / f"{name}.yaml"
    profile, lines = _read(path, name)
    base = profile.extends
    if base is None or base == AUTO:
        return profile
    if is_file(base):
        base = os.path.normpath(path.parent / base)
    elif base not in PROFILES:
        raise RuleError(path, lines.get("extends", 1), f"there is no profile {base!r}; {nearest(base, PROFILES)}")
    if base in seen or base == name:
        raise RuleError(path, lines.get("extends", 1), f"{base!r} extends itself")
    held = _loaded(base, (*seen, name))
    dropped = [word.id for word in held.components if word.rule in profile.without or word.id in profile.without]
    kept = held._replace(components=tuple(word for word in held.components if word.id not in dropped))
    return profile.upon(kept)._replace(extends=kept.extends)


def _read(path: Path, name: str) -> tuple[Profile, Mapping[str, int]]:
    fields, lines = _fields(path)

    def fail(field: str, message: str) -> RuleError:
        return RuleError(path, lines.get(field) or lines.get(field.partition(".")[0], 1), message)

    for field in fields:
        if field not in _FIELDS:
            raise fail(field, f"{field!r} is no field of a profile; {nearest(field, _FIELDS)}")
    title, extends = fields.get("title"), fields.get("extends")
    if not isinstance(title, str):
        raise fail("title", "a profile has a title")
    if extends is not None and not isinstance(extends, str):
        raise fail("extends", "'extends' is the name or the path of a profile")
    try:
        components = components_of(_map(fields, "components", fail))
    except ArgumentError as error:
        raise fail(error.argument, str(error)) from None
    without = fields.get("without") or []
    if not isinstance(without, list):
        raise fail("without", "'without' is a list of rules")
    off, grades = _graded(_map(fields, "rules", fail), fail)
    requirements = {rule: str(words) for rule, words in _map(fields, "requirements", fail).items()}
    fail_on, min_score = fields.get("fail_on"), fields.get("min_score")
    if fail_on is not None and fail_on not in (*GRADES[:-1], "never"):
        raise fail("fail_on", f"fail_on is one of {', '.join((*GRADES[:-1], 'never'))}")
    if min_score is not None and (not isinstance(min_score, (int, float)) or not 0 <= min_score <= 100):
        raise fail("min_score", "min_score is a number from 0 to 100")
    profile = Profile(
        name=name,
        title=title,
        components=components,
        without=frozenset(str(rule) for rule in without) | off,
        grades=grades,
        requirements=requirements,
        fail_on=str(fail_on) if fail_on else None,
        min_score=None if min_score is None else float(min_score),
        extends=extends,
    )
    return profile, lines


def _fields(path: Path) -> tuple[Mapping[str, Plain], Mapping[str, int]]:
    """A profile's fields, and the lines they are on where it is the user's own."""
    if path.is_relative_to(RULES):
        held = table(path)
        return (held, {}) if isinstance(held, dict) else ({}, {})
    node = read_yaml(path)
    if not isinstance(node, Map):
        raise RuleError(path, 1, f"a profile is a map of {', '.join(_FIELDS)}")
    return {key: plain(value) for key, value in node.entries.items()}, dict(line_numbers(node))


def _map(fields: Mapping[str, Plain], field: str, fail: Callable[[str, str], RuleError]) -> Mapping[str, Plain]:
    value = fields.get(field) or {}
    if not isinstance(value, dict):
        raise fail(field, f"{field!r} is a map")
    return value


def _graded(
    rows: Mapping[str, Plain], fail: Callable[[str, str], RuleError]
) -> tuple[frozenset[str], Mapping[str, Severity]]:
    """Which rules are off, and the severities of others."""
    off, grades = set(), {}
    for rule, value in rows.items():
        if value is False or value == OFF:
            off.add(rule)
        elif value in GRADES:
            grades[rule] = Severity(value)
        else:
            raise fail(f"rules.{rule}", f"a rule is {OFF} or one of {', '.join(GRADES)}")
    return frozenset(off), grades
