"""rules/**/*.yaml in, Rules out, each bound to its check's signature: a typo is an error that names file and line.

The package carries the same rows compiled to JSON (``scripts/compile_rules.py``); they are used only while the digest
of the YAML files is the one they were compiled from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypedDict

from cfaudit.finding import Severity
from cfaudit.nodes import Call, Map, Node, Scalar, Seq, Span, TemplateError

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Argument: TypeAlias = "str | int | float | bool | tuple[Argument, ...] | Mapping[str, Argument]"

RULES = Path(import_module("cfaudit.rules").__file__ or "").parent
COMPILED = Path(__file__).parent / "data" / "rules.json"

OPTIONS = ("mvp", "full", "hybrid")
ACTIONS = ("remove", "add", "change", "document", "keep")


class RuleError(Exception):
    """A rule, profile or category file is malformed: ``path`` and ``line`` say where."""

    def __init__(self, path: Path | str, line: int, message: str) -> None:
        super().__init__(message)
        self.path, self.line = str(path), line


class ArgumentError(ValueError):
    """A check does not take what a rule gives it: ``argument`` is whose value is missing, unknown or ill-typed."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


class CheckError(Exception):
    """The check that a rule names cannot be used; the text says why."""


class Remedy(NamedTuple):
    """One way to close a gap. ``option`` is the plan it belongs to; ``snippet`` a YAML ``Resources`` map or None."""

    title: str
    option: str | None
    action: str
    snippet: str | None


class Link(NamedTuple):
    """A page that states the fact a rule rests on."""

    title: str
    url: str


class Rule(NamedTuple):
    """One row of the catalogue; the README of rules/ says what each field is for."""

    id: str
    category: str
    title: str
    severity: Severity
    requirement: str
    holds: str
    fails: str
    why: str
    remedies: tuple[Remedy, ...]
    tradeoff: str | None
    references: tuple[Link, ...]
    check: str
    arguments: Mapping[str, Argument]
    path: str
    aliases: tuple[str, ...] = ()
    positive: str | None = None
    component: str | None = None
    works: str | None = None
    blocks_create: bool = False


class Category(NamedTuple):
    """A row of the scorecard: its title and its weight in the overall score."""

    id: str
    title: str
    weight: float


Signature: TypeAlias = Mapping[str, tuple[str, bool]]
"""Per keyword argument of a check: its annotation, and whether it must be given."""


def signature(function: Callable[..., object]) -> Signature:
    """The keyword-only arguments of a check function, read from its code object (``inspect`` is slow to import)."""
    code = function.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__kwdefaults__ or {}
    return {name: (_annotation(function.__annotations__[name]), name not in defaults) for name in names}


def _annotation(value: object) -> str:
    """An annotation's text, also where a module has its annotations evaluated."""
    if isinstance(value, type):
        return value.__name__
    return str(value).replace("collections.abc.", "").replace("typing.", "")


def rule_files(directory: Path) -> list[Path]:
    """The rule files below a directory, ``<category>/<id>.yaml``, sorted; profiles and tables are not rules."""
    return sorted(
        path for path in directory.glob("*/*.yaml") if path.parent.name != "profiles" and not path.name.startswith("_")
    )


def problem_of(directory: str) -> str | None:
    """What keeps a directory from being one of rules."""
    if not Path(directory).is_dir():
        return "there is no such directory"
    return None if rule_files(Path(directory)) else "no rule is there: a rule is <category>/<id>.yaml below it"


def digest(paths: Iterable[Path]) -> str:
    """sha256 over names and contents, what a compiled form is checked against."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.parent.name.encode() + b"/" + path.name.encode() + b"\0")
        total.update(path.read_bytes())
    return total.hexdigest()


def load_rules(checks: Mapping[str, Callable[..., object]], directory: Path = RULES) -> tuple[Rule, ...]:
    """Every rule below ``directory``, in order of category folder and id. Raises ``RuleError``."""
    files = rule_files(directory)
    rows = compiled_rows(files) if directory == RULES else None
    if rows is None:
        rows = list(read_rows(files))
    return tuple(_bound(row, checks) for row in rows)


Row: TypeAlias = tuple[str, dict[str, Plain], dict[str, int]]
"""A rule as read: its path, its fields, and the line of each field and of each of its members (``with.paths``)."""


def compiled_rows(files: list[Path], compiled: Path = COMPILED) -> list[Row] | None:
    """The rows compiled into the package, None when there are none or the YAML files have changed since."""
    held = _compiled(compiled)
    if held is None or held["digest"] != digest(files):
        return None
    return [(str(file), row[0], row[1]) for file, row in zip(files, held["rows"], strict=True)]


class Compiled(TypedDict):
    """``data/rules.json``: rows in the order of ``rule_files``, tables by path below ``rules/``, and their digests."""

    digest: str
    rows: list[tuple[dict[str, Plain], dict[str, int]]]
    tables_digest: str
    tables: dict[str, Plain]


@cache
def _compiled(path: Path) -> Compiled | None:
    try:
        held: Compiled = json.loads(path.read_bytes())
    except OSError:
        return None
    return held


def table_files(directory: Path = RULES) -> list[Path]:
    """The YAML files that are no rules: categories, profiles, manual steps."""
    found = (*directory.glob("*.yaml"), *directory.glob("profiles/*.yaml"))
    return sorted(path for path in found if not path.name.startswith("_"))


def table(path: Path) -> Plain:
    """A table as plain values, from the compiled form while that is current. Raises ``RuleError``."""
    held = _current_tables()
    name = path.relative_to(RULES).as_posix() if path.is_relative_to(RULES) else ""
    return held[name] if name in held else plain(read_yaml(path))


@cache
def _current_tables() -> dict[str, Plain]:
    held = _compiled(COMPILED)
    return held["tables"] if held and held["tables_digest"] == digest(table_files()) else {}


def read_rows(files: Iterable[Path]) -> Iterator[Row]:
    """Parse rule files. Raises ``RuleError`` for YAML that is broken or no map."""
    for path in files:
        node = read_yaml(path)
        if not isinstance(node, Map):
            raise RuleError(path, 1, "a rule is a map of fields")
        fields = {key: plain(value) for key, value in node.entries.items()}
        yield str(path), fields, dict(line_numbers(node))


def line_numbers(row: Map[Node]) -> Iterator[tuple[str, int]]:
    """The line of each field of a map, and of each of its members (``with.paths``)."""
    for field, value in row.entries.items():
        yield field, row.keys[field].line
        match value:
            case Map(_, keys):
                yield from ((f"{field}.{name}", span.line) for name, span in keys.items())
            case Seq(items):
                yield from ((f"{field}.{index}", item.span.line) for index, item in enumerate(items))


def read_yaml(path: Path) -> Node:
    """The document of a YAML file of ours, as nodes. Raises ``RuleError``."""
    from cfaudit.load import load_document
    from cfaudit.sources.files import read

    try:
        return load_document(read(str(path)), str(path))
    except TemplateError as error:
        raise RuleError(path, error.span.line, str(error)) from None


_DECIMAL = re.compile(r"[-+]?[0-9]{1,300}(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,2})?\Z")


def plain(node: Node) -> Plain:
    """A node as Python's own values; a tag has no meaning here and its argument is taken."""
    match node:
        case Scalar(text, _, kind):
            if kind == "bool":
                return text.lower() in ("true", "yes", "on")
            if kind in ("int", "float") and _DECIMAL.match(text):
                return int(text) if kind == "int" else float(text)
            return None if kind == "null" else text
        case Seq(items):
            return [plain(item) for item in items]
        case Map(entries):
            return {key: plain(value) for key, value in entries.items()}
        case Call(name, argument):
            return {name: plain(argument)}


# Binding -------------------------------------------------------------------------------------------------------------

_REQUIRED = ("title", "severity", "requirement", "holds", "fails", "why", "remedies", "references", "check")
_OPTIONAL = ("with", "tradeoff", "aliases", "positive", "component", "works", "blocks_create")


def _bound(row: Row, checks: Mapping[str, Callable[..., object]]) -> Rule:
    path, fields, lines = row
    rule_id, category = Path(path).stem, Path(path).parent.name

    def fail(field: str, message: str) -> RuleError:
        return RuleError(path, lines.get(field) or lines.get(field.partition(".")[0], 1), message)

    for field in fields:
        if field not in _REQUIRED + _OPTIONAL:
            raise fail(field, f"{field!r} is no field of a rule; {nearest(field, _REQUIRED + _OPTIONAL)}")
    for field in _REQUIRED:
        if not fields.get(field):
            raise fail(field, f"the rule has no {field!r}")
    severity = str(fields["severity"])
    if severity not in (member.value for member in Severity):
        raise fail("severity", f"{severity!r} is no severity; {nearest(severity, [s.value for s in Severity])}")
    check = str(fields["check"])
    given = fields.get("with") or {}
    if not isinstance(given, dict):
        raise fail("with", "'with' is a map of arguments")
    declared = signature(_function(check, checks, fail))
    try:
        arguments = bind(check, declared, given)
    except ArgumentError as error:
        raise fail(f"with.{error.argument}", str(error)) from None

    def text(field: str) -> str | None:
        value = fields.get(field)
        return " ".join(str(value).split()) if value else None

    return Rule(
        id=rule_id,
        category=category,
        title=str(fields["title"]),
        severity=Severity(severity),
        requirement=text("requirement") or "",
        holds=text("holds") or "",
        fails=text("fails") or "",
        why=text("why") or "",
        remedies=tuple(_remedy(*entry, fail) for entry in _entries(fields["remedies"], "remedies", fail)),
        tradeoff=text("tradeoff"),
        references=tuple(_link(*entry, fail) for entry in _entries(fields["references"], "references", fail)),
        check=check,
        arguments=arguments,
        path=path,
        aliases=tuple(str(alias) for _, alias in _entries(fields.get("aliases") or [], "aliases", fail)),
        positive=text("positive"),
        component=text("component"),
        works=text("works"),
        blocks_create=bool(fields.get("blocks_create")),
    )


Fail: TypeAlias = Callable[[str, str], RuleError]


def _function(check: str, checks: Mapping[str, Callable[..., object]], fail: Fail) -> Callable[..., object]:
    try:
        return checks[check]
    except KeyError:
        raise fail("check", f"there is no check {check!r}; {nearest(check, checks)}") from None
    except CheckError as error:
        raise fail("check", str(error)) from None


def _entries(value: Plain, field: str, fail: Fail) -> Iterator[tuple[str, Plain]]:
    """The members of a list field, each with the name of its place."""
    if not isinstance(value, list):
        raise fail(field, f"{field!r} is a list")
    yield from ((f"{field}.{index}", entry) for index, entry in enumerate(value))


def _remedy(place: str, entry: Plain, fail: Fail) -> Remedy:
    if not isinstance(entry, dict) or not entry.get("title") or set(entry) - {"title", "option", "action", "snippet"}:
        raise fail(place, "a remedy has a title, and may have option, action and snippet")
    option, action = entry.get("option"), entry.get("action", "change")
    if option is not None and option not in OPTIONS:
        raise fail(place, f"option is one of {', '.join(OPTIONS)}, not {option!r}")
    if action not in ACTIONS:
        raise fail(place, f"action is one of {', '.join(ACTIONS)}, not {action!r}")
    snippet = entry.get("snippet")
    title = " ".join(str(entry["title"]).split())
    return Remedy(title, str(option) if option else None, str(action), str(snippet) if snippet else None)


def _link(place: str, entry: Plain, fail: Fail) -> Link:
    if not isinstance(entry, dict) or set(entry) != {"title", "url"}:
        raise fail(place, "a reference has a title and a url")
    return Link(str(entry["title"]), str(entry["url"]))


def bind(check: str, declared: Signature, given: Mapping[str, Plain]) -> dict[str, Argument]:
    """The arguments of a rule as its check wants them. Raises ``ArgumentError`` where they do not fit."""
    for name in given:
        if name not in declared:
            raise ArgumentError(name, f"the check {check!r} takes no {name!r}; {nearest(name, declared)}")
    for name, (_, required) in declared.items():
        if required and name not in given:
            raise ArgumentError(name, f"the check {check!r} needs {name!r}")
    bound: dict[str, Argument] = {}
    for name, value in given.items():
        converted = _convert(value, declared[name][0])
        if converted is None:
            kind = declared[name][0]
            raise ArgumentError(name, f"{name!r} of the check {check!r} is a {kind}, not {value!r}")
        bound[name] = converted
    return bound


ANNOTATIONS = ("str", "bool", "int", "tuple[str, ...]", "Mapping[str, str]", "Mapping[str, tuple[str, ...]]")
"""What an argument of a check may be, each also ``| None``: what YAML can give."""


def _convert(value: Plain, annotation: str) -> Argument | None:
    """A plain value as one of the few types that checks take; None when it is none."""
    annotation = annotation.removesuffix(" | None")
    if annotation == "str":
        return value if isinstance(value, str) else None
    if annotation == "bool":
        return value if isinstance(value, bool) else None
    if annotation == "int":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if annotation == "tuple[str, ...]":
        members = value if isinstance(value, list) else [value]
        return tuple(_word(item) for item in members) if all(_is_word(item) for item in members) else None
    if annotation.startswith("Mapping[str, ") and isinstance(value, dict):
        inner = annotation.removeprefix("Mapping[str, ").removesuffix("]")
        members_of = {key: _convert(item, inner) for key, item in value.items()}
        converted = {key: item for key, item in members_of.items() if item is not None}
        return converted if len(converted) == len(value) else None
    return None


def _is_word(value: Plain) -> bool:
    return isinstance(value, (str, int, float, bool))


def _word(value: Plain) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(word: str, known: Iterable[str]) -> str:
    """What the writer of an unknown word may have meant."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def load_categories(directory: Path = RULES) -> tuple[Category, ...]:
    """The rows of the scorecard in order, from categories.yaml. Raises ``RuleError``."""
    path = directory / "categories.yaml"
    rows = table(path)
    if not isinstance(rows, dict):
        raise RuleError(path, 1, "categories are a map of id to title and weight")
    found = []
    for name, fields in rows.items():
        if not isinstance(fields, dict) or not isinstance(fields.get("weight"), (int, float)):
            raise RuleError(path, 1, f"the category {name!r} has a title and a weight")
        found.append(Category(name, str(fields["title"]), float(str(fields["weight"]))))
    return tuple(found)


def at_line(path: str, line: int) -> Span:
    """The span of a whole line of one of our own files."""
    return Span(path, line, 1, line, 1)
