"""cfaudit.yaml, or [tool.cfaudit] in pyproject.toml, in; a Config out: how the templates below it are judged.

The nearest of the two upwards from a template applies; ``cfaudit.yaml`` where a folder has both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cfaudit.facts import External
from cfaudit.finding import Severity, Waiver
from cfaudit.nodes import Map, Node, Scalar, Seq, Span, TemplateError
from cfaudit.profile import AUTO, GRADES, OFF, PROFILES, beside, is_file, load_profile
from cfaudit.rule import nearest, problem_of
from cfaudit.waive import Catalogue, waiver_of

SCREENING = ("sagemaker", "waf-fraud-control", "custom")
FAIL_ON = (*GRADES[:-1], "never")
NAMES = ("cfaudit.yaml", "pyproject.toml")
MISTAKEN = ("cfaudit.yml", ".cfaudit.yaml", ".cfaudit.yml")


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration says; ``path`` is its file, None for none.

    ``keys`` are the keys it has and those of its maps (``rules.no-mfa``), and where they stand.

    ``off`` and ``grades`` are rules by their present ids. ``environments`` are parameter values by environment.
    ``profile`` is a name or the path of a file, ``rules_dirs`` are paths of directories of rules; ``tests``, ``junit``
    and ``docs`` are paths, ``baseline`` the path of a file.
    """

    profile: str | None = None
    bind: Mapping[str, str] = field(default_factory=dict)
    external: tuple[External, ...] = ()
    screening: External | None = None
    off: frozenset[str] = frozenset()
    grades: Mapping[str, Severity] = field(default_factory=dict)
    fail_on: str | None = None
    min_score: float | None = None
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    tests: tuple[str, ...] = ()
    junit: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()
    baseline: str | None = None
    path: str | None = None
    keys: Mapping[str, Span] = field(default_factory=dict)
    rules_dirs: tuple[str, ...] = ()


def find_config(start: Path) -> Path | None:
    """The nearest ``cfaudit.yaml``, or ``pyproject.toml`` with a ``[tool.cfaudit]``, from a directory upwards.

    Raises ``TemplateError`` for a file on the way that somebody meant as one.
    """
    for directory in (start, *start.parents):
        for name in NAMES:
            path = directory / name
            if path.is_file() and (name == NAMES[0] or _has_table(path)):
                return path
        for name in MISTAKEN:
            if (directory / name).is_file():
                shown = os.path.relpath(directory / name)
                message = f"a configuration is called {NAMES[0]}; this file is not read"
                raise TemplateError(Span(shown, 1, 1, 1, 1), message, "rename it")
    return None


_MAY_HAVE_TABLE = re.compile(
    rb"""\btool["'\s]*\.["'\s]*cfaudit|^\s*\[\s*["']?tool["']?\s*\][^\[]*cfaudit|^\s*["']?tool["']?\s*=""", re.MULTILINE
)
"""The ways to write a table ``tool.cfaudit``; whether it is one, the reader of TOML says."""


def _has_table(path: Path) -> bool:
    """Whether a file has a ``[tool.cfaudit]``, or cannot be read and may: then it is for the reader to say why."""
    try:
        raw = path.read_bytes()
    except OSError:
        return False
    if not _MAY_HAVE_TABLE.search(raw):
        return False
    import tomllib

    try:
        tool = tomllib.loads(raw.decode("utf-8-sig")).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return re.search(rb"^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*cfaudit", raw, re.MULTILINE) is not None
    return isinstance(tool, dict) and "cfaudit" in tool


Catalogued: TypeAlias = Callable[[tuple[str, ...]], Catalogue]
"""The ids of the rules that there are with those of some directories. Raises ``RuleError``."""


def load_config(path: Path, text: str, catalogued: Catalogued, also: str = AUTO) -> Config:
    """The configuration in ``text``; ``also`` is a profile chosen elsewhere, whose components it may bind.

    Raises ``TemplateError`` for an unknown key, rule or component, or a value of the wrong shape, ``RuleError`` for
    a malformed profile or rule.
    """
    lines = text.splitlines()
    try:
        root = _root(path, text)
        for key, span in root.keys.items():
            if key not in _KEYS:
                raise TemplateError(span, f"{key!r} is no key of a configuration", nearest(key, _KEYS))
        return _Reader(path, root, lines, catalogued, also).config()
    except TemplateError as error:
        at = error.span.line - 1
        excerpt = error.excerpt or (lines[at] if at < len(lines) else "")
        raise TemplateError(error.span, str(error), error.hint, excerpt) from None


def _root(path: Path, text: str) -> Map[Node]:
    """The map that a configuration is; an empty file is an empty one."""
    if path.name == "pyproject.toml":
        from cfaudit.toml import table_nodes

        root = table_nodes(text, str(path), ("tool", "cfaudit"))
    else:
        from cfaudit.load import load_document

        if all(line.strip()[:1] in ("", "#") for line in text.splitlines()):
            return Map({}, {}, Span(str(path), 1, 1, 1, 1))
        root = load_document(text, str(path))
    if not isinstance(root, Map):
        raise TemplateError(root.span, "a configuration is a map", f"known keys: {', '.join(_KEYS)}")
    return root


class _Reader:
    """Reads one configuration, key by key."""

    def __init__(self, path: Path, root: Map[Node], lines: list[str], catalogued: Catalogued, also: str) -> None:
        self._path, self._root, self._lines, self._also = path, root, lines, also
        self._rules_dirs = tuple(self._directories())
        self._catalogue = catalogued(self._rules_dirs)

    def config(self) -> Config:
        """The configuration."""
        off, grades = self._rules()
        return Config(
            profile=self._profile(),
            bind=self._bind(),
            external=tuple(self._external()),
            screening=self._screening(),
            off=off,
            grades=grades,
            fail_on=self._choice("fail_on", FAIL_ON),
            min_score=self._min_score(),
            environments=self._environments(),
            waivers=tuple(self._waivers()),
            tests=self._paths("tests"),
            junit=self._paths("junit"),
            docs=self._paths("docs"),
            baseline=self._baseline(),
            path=str(self._path),
            keys={**self._root.keys, **dict(self._inner_keys())},
            rules_dirs=self._rules_dirs,
        )

    def _directories(self) -> Iterator[str]:
        for item in self._list("rules_dirs", "write '- company-rules'"):
            path = os.path.normpath(self._path.parent / _text(item, "rules_dirs", "a list of paths"))
            problem = problem_of(path)
            if problem:
                raise TemplateError(item.span, f"{path}: {problem}", "name it by its path from this file")
            yield path

    def _inner_keys(self) -> Iterator[tuple[str, Span]]:
        """Where each member of a map stands; a rule by its present id."""
        for section, held in self._root.entries.items():
            for name, span in held.keys.items() if isinstance(held, Map) else ():
                yield f"{section}.{self._catalogue.ids.get(name, name) if section == 'rules' else name}", span

    def _choice(self, key: str, known: tuple[str, ...]) -> str | None:
        node = self._root.entries.get(key)
        if node is None:
            return None
        if not isinstance(node, Scalar) or node.text not in known:
            raise TemplateError(node.span, f"{key} is one of {', '.join(known)}", "choose one of them")
        return node.text

    def _map(self, key: str, hint: str) -> Map[Node] | None:
        node = self._root.entries.get(key)
        if node is not None and not isinstance(node, Map):
            raise TemplateError(node.span, f"{key} is a map", hint)
        return node

    def _list(self, key: str, hint: str) -> Sequence[Node]:
        node = self._root.entries.get(key)
        if node is not None and not isinstance(node, Seq):
            raise TemplateError(node.span, f"{key} is a list", hint)
        return node.items if node else ()

    def _profile(self) -> str | None:
        node = self._root.entries.get("profile")
        if isinstance(node, Scalar) and is_file(node.text):
            path = beside(self._path, node.text)
            if not Path(path).is_file():
                message = f"there is no profile in {node.text!r}"
                raise TemplateError(node.span, message, "a profile's path is relative to this file")
            return path
        if isinstance(node, Scalar) and node.text not in (AUTO, *PROFILES):
            hint = f"{nearest(node.text, (AUTO, *PROFILES))}, or a path: './ours.yaml'"
            raise TemplateError(node.span, f"there is no profile {node.text!r}", hint)
        return self._choice("profile", (AUTO, *PROFILES))

    def _bind(self) -> dict[str, str]:
        held = self._map("bind", "write 'component: LogicalId'")
        if held is None:
            return {}
        found = {}
        known = self._components()
        for name, value in held.entries.items():
            if name not in known:
                raise TemplateError(held.keys[name], f"{name!r} is no component", nearest(name, known))
            found[name] = _text(value, f"bind.{name}", "a logical id")
        return found

    def _components(self) -> set[str]:
        """The components of the profiles that may apply."""
        chosen = {name for name in (self._profile(), self._also) if name and name != AUTO}
        ids = self._catalogue.ids
        return {word.id for name in {*chosen, "crowdfunding"} for word in load_profile(name, ids).components}

    def _external(self) -> Iterator[External]:
        for item in self._list("external", "write '- component: …' and 'reason: …'"):
            entries = item.entries if isinstance(item, Map) else {}
            kinds = [kind for kind in ("component", "type", "name") if kind in entries]
            reason = entries.get("reason")
            if len(kinds) != 1 or len(entries) != 2 or not isinstance(reason, Scalar) or not reason.text.strip():
                message = "an external entry has one of component, type or name, and a reason"
                raise TemplateError(item.span, message, "say who owns it: 'reason: owned by the risk team'")
            value = _text(entries[kinds[0]], kinds[0], "one value")
            if kinds[0] == "component" and value not in self._components():
                hint = nearest(value, self._components())
                raise TemplateError(entries[kinds[0]].span, f"{value!r} is no component", hint)
            yield External(kinds[0], value, reason.text, item.span, self._line(item.span))

    def _screening(self) -> External | None:
        chosen = self._choice("screening", SCREENING)
        if chosen is None:
            return None
        span = self._root.entries["screening"].span
        return External("screening", chosen, "configured", span, self._line(span))

    def _rules(self) -> tuple[frozenset[str], dict[str, Severity]]:
        held = self._map("rules", "write 'rule: off' or 'rule: low'")
        off, grades = set(), {}
        for name, value in held.entries.items() if held else ():
            rule = self._catalogue.ids.get(name)
            if rule is None:
                raise TemplateError(
                    held.keys[name] if held else value.span, f"there is no rule {name!r}", self._catalogue.near(name)
                )
            text = value.text.lower() if isinstance(value, Scalar) else ""
            if text in (OFF, "false"):
                off.add(rule)
            elif text in GRADES:
                grades[rule] = Severity(text)
            else:
                raise TemplateError(value.span, f"a rule is {OFF} or one of {', '.join(GRADES)}", "choose one of them")
        return frozenset(off), grades

    def _min_score(self) -> float | None:
        node = self._root.entries.get("min_score")
        if node is None:
            return None
        try:
            value = float(node.text) if isinstance(node, Scalar) and node.kind in ("int", "float") else -1.0
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100:
            raise TemplateError(node.span, "min_score is a number from 0 to 100", "write 'min_score: 80'")
        return value

    def _environments(self) -> dict[str, dict[str, str]]:
        hint = "write 'prod: {EnvironmentSuffix: prod}'"
        held = self._map("environments", hint)
        found = {}
        for name, values in held.entries.items() if held else ():
            if not isinstance(values, Map):
                raise TemplateError(values.span, f"environments.{name} is a map of parameters", hint)
            found[name] = {key: _text(value, key, "one value") for key, value in values.entries.items()}
        return found

    def _waivers(self) -> Iterator[Waiver]:
        for item in self._list("waivers", "write '- rule: …' and 'reason: …'"):
            if not isinstance(item, Map):
                raise TemplateError(
                    item.span, "a waiver is a map of rule and reason", "write '- rule: …' and 'reason: …'"
                )
            yield waiver_of(item, ("resource", "template"))

    def _paths(self, key: str) -> tuple[str, ...]:
        """One path or a list of them, relative to the configuration."""
        node = self._root.entries.get(key)
        items = node.items if isinstance(node, Seq) else (node,) if node else ()
        return tuple(
            os.path.normpath(self._path.parent / _text(item, key, "a path or a list of them")) for item in items
        )

    def _baseline(self) -> str | None:
        node = self._root.entries.get("baseline")
        if node is None:
            return None
        if not isinstance(node, Scalar) or node.kind != "str" or not node.text:
            raise TemplateError(node.span, "baseline is the path of a file", "'cfaudit baseline create' writes one")
        return os.path.normpath(self._path.parent / node.text)

    def _line(self, span: Span) -> str:
        return self._lines[span.line - 1].strip() if span.line <= len(self._lines) else ""


_KEYS = (
    "profile",
    "bind",
    "external",
    "screening",
    "rules",
    "rules_dirs",
    "fail_on",
    "min_score",
    "environments",
    "waivers",
    "tests",
    "junit",
    "docs",
    "baseline",
)


def _text(value: Node, name: str, what: str) -> str:
    if not isinstance(value, Scalar) or value.kind == "null":
        raise TemplateError(value.span, f"{name} is {what}", f"write {what}")
    return value.text


def parameter_file(text: str, name: str) -> dict[str, str]:
    """Parameters from a file: a map, ``{"Parameters": {…}}``, or AWS CLI's list of ParameterKey and ParameterValue.

    Raises ``TemplateError`` for another shape.
    """
    from cfaudit.load import load_document

    node = load_document(text, name)
    if isinstance(node, Map) and isinstance(node.entries.get("Parameters"), Map):
        node = node.entries["Parameters"]
    if isinstance(node, Map):
        pairs = {key: value.text for key, value in node.entries.items() if isinstance(value, Scalar)}
        if len(pairs) == len(node.entries):
            return pairs
    if isinstance(node, Seq):
        entries = [item.entries for item in node.items if isinstance(item, Map)]
        keyed = [(entry.get("ParameterKey"), entry.get("ParameterValue")) for entry in entries]
        found = {key.text: value.text for key, value in keyed if isinstance(key, Scalar) and isinstance(value, Scalar)}
        if len(found) == len(node.items):
            return found
    raise TemplateError(
        node.span, "this is no file of parameters", 'write {"Name": "value"}, or a list of ParameterKey/ParameterValue'
    )
