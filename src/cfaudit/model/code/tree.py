"""Expressions: the little that JavaScript's and Python's syntax trees have in common and facts are read from.

Statements are gone: a function is the expressions it evaluates, what its names are bound to, and what it returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Range: TypeAlias = tuple[int, int, int, int]
"""Row, byte column, end row, end byte column; all 0-based."""


class UnreadableError(Exception):
    """Code that cannot be read; the message says why."""


@dataclass(slots=True, eq=False)
class Scope:
    """Names and what is assigned to them.

    ``changes`` are assignments to members of what a name holds; key ``[]``: an item is added, ``()``: it is given to
    a call, None: anything may change.
    """

    parent: Scope | None
    kind: Literal["module", "function", "block", "class"]
    bindings: dict[str, list[Expr]] = field(default_factory=dict)
    changes: dict[str, list[tuple[str | None, Expr]]] = field(default_factory=dict)
    module: Module | None = None


@dataclass(slots=True, eq=False)
class Name:
    text: str
    scope: Scope
    at: Range


@dataclass(slots=True, eq=False)
class Member:
    """``of.key``, also written with a literal in brackets or taken by destructuring."""

    of: Expr
    key: str
    at: Range


@dataclass(slots=True, eq=False)
class Index:
    of: Expr
    key: Expr
    at: Range


@dataclass(slots=True, eq=False)
class Text:
    text: str
    at: Range


@dataclass(slots=True, eq=False)
class Joined:
    """A text with expressions in it: a template literal, an f-string, a concatenation."""

    parts: tuple[Expr, ...]
    at: Range
    interpolates: bool = True


@dataclass(slots=True, eq=False)
class Constant:
    """A number, a boolean or nothing, as written."""

    text: str
    at: Range


@dataclass(slots=True, eq=False)
class Entry:
    """``key`` is None for one that only ``computed`` tells; both are None for a spread."""

    key: str | None
    computed: Expr | None
    value: Expr
    at: Range


@dataclass(slots=True, eq=False)
class Object:
    """``held`` by a name: its functions run where the name is used; elsewhere the object may go anywhere."""

    entries: tuple[Entry, ...]
    at: Range
    held: bool = False


@dataclass(slots=True, eq=False)
class Sequence:
    items: tuple[Expr, ...]
    at: Range


@dataclass(slots=True, eq=False)
class Spread:
    value: Expr
    at: Range


@dataclass(slots=True, eq=False)
class Call:
    """``keywords`` are Python's; ``new`` is JavaScript's."""

    callee: Expr
    arguments: tuple[Expr, ...]
    keywords: Object | None
    new: bool
    at: Range


class Return(NamedTuple):
    """``caught``: it stands in the handler of an exception; ``when``: under a condition or in a loop."""

    value: Expr | None
    caught: bool
    branched: bool


class Run(NamedTuple):
    """An expression that a function evaluates; ``held``: its value only gets a name."""

    expr: Expr
    held: bool


@dataclass(slots=True, eq=False)
class Function:
    """``named`` ones run only when something refers to them, and so are no part of the code around them."""

    name: str
    scope: Scope
    at: Range
    parameters: list[str] = field(default_factory=list)
    body: list[Run] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    named: bool = False
    generator: bool = False
    takes_self: bool = False
    decorators: tuple[Expr, ...] = ()
    branches: bool = False


@dataclass(slots=True, eq=False)
class Class:
    """``members`` are methods, fields, and what methods assign to ``this`` or ``self``."""

    name: str
    scope: Scope
    base: Expr | None
    at: Range
    members: dict[str, list[Expr]] = field(default_factory=dict)
    body: list[Expr] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Parameter:
    """A function's parameter; ``index`` is -1 for one that can only be given by name."""

    function: Function
    index: int
    name: str
    at: Range


@dataclass(slots=True, eq=False)
class This:
    owner: Class | None
    at: Range


@dataclass(slots=True, eq=False)
class Import:
    """A module, or its export ``member``; ``module`` is as written, Python's leading dots included."""

    module: str
    member: str | None
    importer: Module
    at: Range


@dataclass(slots=True, eq=False)
class Either:
    """One of several, by a condition or as a default."""

    options: tuple[Expr, ...]
    at: Range


@dataclass(slots=True, eq=False)
class Mixed:
    """Anything else, made of these."""

    parts: tuple[Expr, ...]
    at: Range
    effect: str = ""


Expr: TypeAlias = (
    "Name | Member | Index | Text | Joined | Constant | Object | Sequence | Spread | Call | Function | Class"
    " | Parameter | This | Import | Either | Mixed"
)


@dataclass(slots=True, eq=False)
class Module:
    """One file: ``exports`` by name, ``*`` are the modules whose exports are this one's too."""

    path: str
    scope: Scope
    body: Function
    exports: dict[str, list[Expr]] = field(default_factory=dict)
    starred: list[Import] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)


Home: TypeAlias = "dict[Function | Class, Module]"
"""The module in which each function and class stands."""


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly below one, those of a function that is no part of its surroundings left out."""
    match expr:
        case Member(of) | Spread(of):
            return (of,)
        case Index(of, key):
            return (of, key)
        case Joined(parts) | Mixed(parts):
            return parts
        case Sequence(items):
            return items
        case Either(options):
            return options
        case Object(entries):
            return tuple(part for entry in entries for part in (entry.computed, entry.value) if part is not None)
        case Call(callee, arguments, keywords):
            return (callee, *arguments, *((keywords,) if keywords else ()))
        case _:
            return ()
