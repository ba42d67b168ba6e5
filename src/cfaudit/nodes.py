"""What the file says and what it means: the closed unions every station speaks of.

``Node`` is what a template file says (``load``), ``Value`` is what it means under a scenario (``resolve``).
Both are immutable and know where in the text they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T", covariant=True)

ScalarKind: TypeAlias = Literal["str", "int", "float", "bool", "null"]


class Span(NamedTuple):
    """A stretch of a file; lines and columns are 1-based Unicode code points, the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: Span) -> Span:
        """The stretch from the start of this span to the end of ``other``, a later span of the same file."""
        return Span(self.file, self.line, self.column, other.end_line, other.end_column)

    def point(self) -> str:
        """``file:line:column``, the form of a diagnostic."""
        return f"{self.file}:{self.line}:{self.column}"


class TemplateError(Exception):
    """The input cannot be audited.

    ``span`` is where, ``str(error)`` is what, ``hint`` is how to mend it, ``excerpt`` is the line of the file.
    """

    def __init__(self, span: Span, message: str, hint: str = "", excerpt: str = "") -> None:
        super().__init__(message)
        self.span = span
        self.hint = hint
        self.excerpt = excerpt

    def __reduce__(self) -> tuple[type[TemplateError], tuple[Span, str, str, str]]:
        return type(self), (self.span, str(self), self.hint, self.excerpt)


class NotTemplateError(TemplateError):
    """The input is well formed but is no CloudFormation template."""


class Diagnostic(NamedTuple):
    """Something worth saying about the input that is no finding."""

    level: Literal["error", "warning", "info"]
    message: str
    span: Span
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A known value: its text as written (``2012-10-17`` is text), and YAML's or JSON's reading of its kind.

    A null has no text.
    """

    text: str
    span: Span
    kind: ScalarKind = "str"


@dataclass(frozen=True, slots=True)
class Seq(Generic[T]):
    """A list."""

    items: tuple[T, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Map(Generic[T]):
    """A map. ``keys`` holds the span of every key that was written, also of one whose value is absent."""

    entries: Mapping[str, T]
    keys: Mapping[str, Span]
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """An intrinsic function; ``!Sub x`` and ``{"Fn::Sub": x}`` are the same call, named ``Fn::Sub``.

    ``known`` is false for a local tag that CloudFormation does not define (``!Rain::Module``).
    """

    name: str
    argument: Node
    span: Span
    known: bool = True


class Reference(NamedTuple):
    """A hole filled at deploy time by a resource: ``Ref`` (``attribute`` is None) or ``Fn::GetAtt``."""

    logical_id: str
    attribute: str | None


DeferredKind: TypeAlias = Literal[
    "parameter", "pseudo", "import", "dynamic", "function", "macro", "undefined", "missing", "condition"
]


class Deferred(NamedTuple):
    """A hole filled at deploy time by something else: a parameter without default, an import, a dynamic reference …

    ``undefined`` is a name that a transform may declare, ``missing`` one that nothing does: the template is broken.
    ``mentions`` are the logical ids it depends on; ``expression`` tells two calls of one function apart, and names the
    parameter whose type makes it a dynamic reference.
    """

    kind: DeferredKind
    name: str
    mentions: frozenset[str] = frozenset()
    expression: str = ""


Part: TypeAlias = str | Reference | Deferred


def spelled(parts: Iterable[Part]) -> str:
    """Text for people, its holes as a template writes them: ``${Env}``, ``${Key.Arn}``, ``{{resolve:ssm:/name}}``."""
    return "".join(part if isinstance(part, str) else _hole(part) for part in parts)


def _hole(part: Reference | Deferred) -> str:
    match part:
        case Deferred("dynamic", name, _, ""):
            return f"{{{{resolve:{name}}}}}"
        case Deferred("dynamic", _, _, name) | Reference(name, None) | Deferred(_, name):
            return f"${{{name}}}"
        case Reference(name, attribute):
            return f"${{{name}.{attribute}}}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value only deploy time knows: the concatenation of ``parts``, known text and holes, never empty."""

    span: Span
    parts: tuple[Part, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """The resources whose Ref or GetAtt is part of the text itself, in order."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def deferred(self) -> tuple[Deferred, ...]:
        """The holes that something outside this template fills, in order; nothing fills one that is missing."""
        return tuple(part for part in self.parts if isinstance(part, Deferred) and part.kind != "missing")

    @property
    def mentions(self) -> frozenset[str]:
        """Logical ids of every resource that the value depends on, also through functions it cannot compute."""
        found = {part.logical_id for part in self.parts if isinstance(part, Reference)}
        return frozenset(found.union(*(part.mentions for part in self.parts if isinstance(part, Deferred))))

    @property
    def known_text(self) -> str:
        """The known pieces of text, joined by NUL where a hole stands."""
        return "".join(part if isinstance(part, str) else "\0" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing is there (``AWS::NoValue`` included); ``span`` is the nearest thing that is."""

    span: Span


Node: TypeAlias = "Scalar | Seq[Node] | Map[Node] | Call"
Value: TypeAlias = "Scalar | Seq[Value] | Map[Value] | Unknown | Absent"


_HOLES = re.compile(r"\\\$\\\{.*?\\\}")


def may_be(open_name: str, name: str) -> bool:
    """Whether a name with ``${…}`` for what only deploy time knows may come to be another."""
    return re.fullmatch(_HOLES.sub(".*", re.escape(open_name)), name) is not None


class Loop(NamedTuple):
    """A loop over a collection that only deploy time knows; each of ``members`` stands for as many as it then makes.

    ``span`` is its key, ``body`` what it repeats. A loop among the properties of a resource has no members of its own.
    """

    name: str
    span: Span
    body: Span
    members: frozenset[str]

    def makes(self, name: str) -> bool:
        """Whether one of the members may bear a name at deploy time."""
        return any(may_be(member, name) for member in self.members)

    def holds(self, span: Span) -> bool:
        """Whether a stretch stands in what the loop repeats."""
        start = (self.body.file, self.body.line, self.body.column)
        return start <= span[:3] <= (self.body.file, self.body.end_line, self.body.end_column)


@dataclass(frozen=True, slots=True)
class Source:
    """One input as read: ``path`` as given, its text split into lines, and the node at its root.

    ``loops`` are those of an expanded template whose members nobody can count. ``parts`` are the other templates of an
    application: what stands in their files bears their ``name`` before its own, as in ``Network.Vpc``.
    """

    path: str
    lines: tuple[str, ...]
    root: Map[Node]
    format: Literal["yaml", "json"]
    diagnostics: tuple[Diagnostic, ...] = ()
    loops: tuple[Loop, ...] = ()
    parts: tuple[Source, ...] = ()
    name: str = ""

    def of(self, file: str) -> Source:
        """The part that is read from a file; the whole for a file that is none of the parts."""
        return next((part for part in self.parts if part.path == file), self)


def strings(value: Value) -> Iterator[Scalar | Unknown]:
    """Every text a property may hold that takes one string or a list of them, known or not."""
    match value:
        case Scalar() | Unknown():
            yield value
        case Seq(items):
            for item in items:
                yield from strings(item)
        case Map() | Absent():
            return


def stretch(key: Span, value: Value) -> Span:
    """A member's key and value as one stretch; the value alone where it stands elsewhere."""
    ordered = key.file == value.span.file and key[1:3] <= value.span[1:3]
    return key.to(value.span) if ordered else value.span


def truth(value: Value) -> bool | None:
    """CloudFormation's reading of a boolean property: absent is false, None when only deploy time knows."""
    match value:
        case Scalar(text):
            return text.lower() in ("true", "yes", "on") if text else False
        case Unknown():
            return None
        case Absent():
            return False
        case Seq(items):
            return bool(items)
        case Map(entries):
            return bool(entries)


def as_text(scalar: Scalar) -> str:
    """The text that CloudFormation makes of a scalar: ``yes`` and ``True`` are YAML's ways to write ``true``."""
    if scalar.kind == "bool":
        return "true" if truth(scalar) else "false"
    return scalar.text


def parts_of(value: Value) -> tuple[Part, ...]:
    """The text of a value as known pieces and holes; empty for a list, a map or nothing."""
    match value:
        case Scalar(text):
            return (text,)
        case Unknown(_, parts):
            return parts
        case _:
            return ()


def same_text(left: Value, right: Value) -> bool:
    """Whether both values are certainly the same text at deploy time."""
    mine = parts_of(left)
    return bool(mine) and mine == parts_of(right)
