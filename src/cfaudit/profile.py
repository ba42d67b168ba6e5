"""rules/profiles/*.yaml, or a profile's file of the user's, in; a Profile out: what a kind of stack is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cfaudit.finding import Severity
from cfaudit.inventory import Component, components_of
from cfaudit.nodes import Map, TemplateError
from cfaudit.rule import RULES, ArgumentError, Plain, RuleError, line_numbers, nearest, plain, table
from cfaudit.sources.files import read

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


def beside(path: Path, name: str) -> str:
    """The path of a profile's file that another file names, relative to that; ``is_file`` holds of it."""
    found = os.path.normpath(path.parent / name)
    return found if is_file(found) else os.path.join(os.curdir, found)


def load_profile(name: str, ids: Mapping[str, str] | None = None) -> Profile:
    """A built-in profile by its name, another by its path, with everything that it extends except ``auto``.

    ``ids`` are the names of rules that a profile of the user's may speak of, aliases leading to the present ones; None:
    any. Raises ``RuleError`` for a malformed file or a name that there is none of.
    """
    return _loaded(name, (), ids)


def _loaded(name: str, seen: tuple[str, ...], ids: Mapping[str, str] | None) -> Profile:
    path = Path(name) if is_file(name) else RULES / "profiles" / f"{name}.yaml"
    profile, lines = _read(path, name)
    base = _base(profile, path, lines, seen, ids)
    return _checked(profile, base, path, lines, ids) if ids is not None and is_file(name) else _over(profile, base)


def _base(
    profile: Profile, path: Path, lines: Mapping[str, int], seen: tuple[str, ...], ids: Mapping[str, str] | None
) -> Profile | None:
    """The profile that another extends, None for none and for ``auto``."""
    base = profile.extends
    if base is None or base == AUTO:
        return None
    if is_file(base):
        base = beside(path, base)
    elif base not in PROFILES:
        raise RuleError(path, lines.get("extends", 1), f"there is no profile {base!r}; {nearest(base, PROFILES)}")
    passed = (*seen, os.path.realpath(path))
    if is_file(base) and os.path.realpath(base) in passed:
        raise RuleError(path, lines.get("extends", 1), f"{base!r} extends itself")
    return _loaded(base, passed, ids)


def _checked(
    profile: Profile, base: Profile | None, path: Path, lines: Mapping[str, int], ids: Mapping[str, str]
) -> Profile:
    """A profile of the user's upon its base, its rules under their present ids. Raises ``RuleError`` for others."""
    components = {word.id for word in (*profile.components, *(base.components if base else ()))}

    def present(field: str, names: Iterable[str], also: Iterable[str] = ()) -> dict[str, str]:
        known = {**dict.fromkeys(also), **ids}
        for name in names:
            if name not in known:
                line = lines.get(f"rules.{name}") or lines.get(f"{field}.{name}") or lines.get(field, 1)
                raise RuleError(path, line, f"there is no rule {name!r}; {_near(name, known)}")
        return {name: ids.get(name, name) for name in names}

    off = present("without", sorted(profile.without), components)
    graded, worded = present("rules", profile.grades), present("requirements", profile.requirements)
    for component in profile.components:
        place = lines.get(f"components.{component.id}", 1)
        start = component.structure[1] if component.structure else None
        if component.rule is not None and component.rule not in ids:
            raise RuleError(path, place, f"there is no rule {component.rule!r}; {_near(component.rule, ids)}")
        if start is not None and (start == component.id or start not in components):
            raise RuleError(path, place, f"there is no other component {start!r}; {nearest(start, components)}")
    held = profile._replace(
        without=frozenset(off.values()),
        grades={graded[name]: grade for name, grade in profile.grades.items()},
        requirements={worded[name]: words for name, words in profile.requirements.items()},
    )
    return _over(held, base)


def _near(name: str, known: Iterable[str]) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("did") else "'cfaudit rules' lists them all"


def _over(profile: Profile, held: Profile | None) -> Profile:
    """A profile with what it leaves unsaid taken from the one it extends, as far as it wants that."""
    if held is None:
        return profile
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
    if not isinstance(title, str) or not title.strip():
        raise fail("title", "a profile has a title")
    if extends is not None and not isinstance(extends, str):
        raise fail("extends", "'extends' is the name or the path of a profile")
    try:
        components = components_of(_map(fields, "components", fail))
    except ArgumentError as error:
        raise fail(error.argument, str(error)) from None
    without = fields.get("without") or []
    if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
        raise fail("without", "'without' is a list of rules")
    off, grades = _graded(_map(fields, "rules", fail), fail)
    requirements = {rule: str(words) for rule, words in _map(fields, "requirements", fail).items()}
    for rule, words in _map(fields, "requirements", fail).items():
        if not isinstance(words, str) or not words.strip():
            raise fail(f"requirements.{rule}", f"the requirement of {rule} is a sentence")
    fail_on, min_score = fields.get("fail_on"), fields.get("min_score")
    if fail_on is not None and fail_on not in (*GRADES[:-1], "never"):
        raise fail("fail_on", f"fail_on is one of {', '.join((*GRADES[:-1], 'never'))}")
    number = isinstance(min_score, (int, float)) and not isinstance(min_score, bool)
    if min_score is not None and not (number and 0 <= float(str(min_score)) <= 100):
        raise fail("min_score", "min_score is a number from 0 to 100")
    profile = Profile(
        name=name,
        title=title,
        components=components,
        without=frozenset(str(rule) for rule in without) | off,
        grades=grades,
        requirements=requirements,
        fail_on=str(fail_on) if fail_on else None,
        min_score=None if min_score is None else float(str(min_score)),
        extends=extends,
    )
    return profile, lines


def _fields(path: Path) -> tuple[Mapping[str, Plain], Mapping[str, int]]:
    """A profile's fields, and the lines they are on where it is the user's own."""
    from cfaudit.load import load_document

    if path.is_relative_to(RULES):
        held = table(path)
        return (held, {}) if isinstance(held, dict) else ({}, {})
    try:
        node = load_document(read(str(path)), str(path))
    except TemplateError as error:
        raise RuleError(path, error.span.line, f"the profile cannot be read: {error}") from None
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
