"""What both languages do while expressions are made of a syntax tree: scopes, bindings, functions, returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tree_sitter import Node

from cfaudit.model.code.tree import (
    Call,
    Class,
    Expr,
    Function,
    Home,
    Import,
    Index,
    Member,
    Mixed,
    Module,
    Name,
    Object,
    Parameter,
    Range,
    Return,
    Run,
    Scope,
    Spread,
    UnreadableError,
)

MAX_DEPTH = 100

_MUTATORS = frozenset(
    {"push", "unshift", "append", "update", "extend", "insert", "splice", "setdefault", "pop", "shift", "fill", "sort"}
    | {"reverse", "remove", "clear", "__setitem__"}
)


def range_of(node: Node) -> Range:
    """Where a node stands."""
    (row, column), (end_row, end_column) = node.start_point, node.end_point
    return row, column, end_row, end_column


def part(node: Node, name: str) -> Node:
    """A part that a node of its type has. Raises ``UnreadableError`` where the grammar sees it otherwise."""
    found = node.child_by_field_name(name)
    if found is None:
        raise UnreadableError(f"line {node.start_point[0] + 1} is not understood")
    return found


def text_of(node: Node) -> str:
    """A node's own text."""
    return (node.text or b"").decode("utf-8", "replace")


def held(value: Expr) -> Expr:
    """A value that gets a name; see ``Object``."""
    if isinstance(value, Object):
        value.held = True
        for entry in value.entries:
            held(entry.value)
    return value


@dataclass(slots=True)
class Builder:
    """The place in the code that is being read: scope, function, class, and how it got there."""

    module: Module
    scope: Scope
    function: Function
    owner: Class | None = None
    caught: int = 0
    branches: int = 0
    depth: int = 0
    home: Home = field(default_factory=dict)
    changes: list[tuple[Name, str | None, Expr]] = field(default_factory=list)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """One level deeper. Raises ``UnreadableError`` beyond the bound."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("it is nested too deeply")
        yield
        self.depth -= 1

    @contextmanager
    def block(self) -> Iterator[None]:
        """A scope of its own for names, in the same function."""
        self.scope = Scope(self.scope, "block")
        yield
        assert self.scope.parent
        self.scope = self.scope.parent

    @contextmanager
    def branch(self) -> Iterator[None]:
        """What runs only sometimes, or more than once."""
        self.branches += 1
        self.function.branches = True
        yield
        self.branches -= 1

    @contextmanager
    def catching(self) -> Iterator[None]:
        """What runs only after an exception."""
        self.caught += 1
        yield
        self.caught -= 1

    @contextmanager
    def inside(self, name: str, at: Range, *, named: bool) -> Iterator[Function]:
        """A function: what follows is its body."""
        outer = (self.scope, self.function, self.caught, self.branches)
        function = Function(name, Scope(self.scope, "function"), at, named=named)
        self.home[function] = self.module
        self.scope, self.function, self.caught, self.branches = function.scope, function, 0, 0
        yield function
        self.scope, self.function, self.caught, self.branches = outer

    @contextmanager
    def classy(self, name: str, base: Expr | None, at: Range) -> Iterator[Class]:
        """A class: what follows is its body."""
        outer, owner = self.scope, self.owner
        made = Class(name, Scope(outer, "class"), base, at)
        self.home[made] = self.module
        self.scope, self.owner = made.scope, made
        yield made
        self.scope, self.owner = outer, owner

    def imported(self, module: str, member: str | None, at: Range) -> Import:
        """An import, of a module or of one of its exports."""
        made = Import(module, member, self.module, at)
        self.module.imports.append(made)
        return made

    def parameter(self, name: str, at: Range, *, positional: bool = True) -> Parameter:
        """The next parameter of the function."""
        index = len(self.function.parameters) if positional else -1
        if positional:
            self.function.parameters.append(name)
        return Parameter(self.function, index, name, at)

    def bind(self, name: str, value: Expr, *, hoisted: bool = False) -> None:
        """A declaration: in this block, or in the whole function."""
        scope = self.scope
        while hoisted and scope.kind == "block" and scope.parent:
            scope = scope.parent
        scope.bindings.setdefault(name, []).append(value)

    def assign(self, name: str, value: Expr) -> None:
        """An assignment to a name that is declared around, or else belongs to the module."""
        scope: Scope | None = self.scope
        while scope and name not in scope.bindings:
            scope = scope.parent
        (scope or self.module.scope).bindings.setdefault(name, []).append(value)

    def change(self, target: Expr, value: Expr) -> None:
        """An assignment to a member of something; deeper members count as an unknown change of the whole."""
        match target:
            case Member(Name() as name, key):
                self.changes.append((name, key, value))
            case Member(of) | Index(of):
                while isinstance(of, (Member, Index)):
                    of = of.of
                if isinstance(of, Name):
                    self.changes.append((of, None, value))

    def settle(self) -> None:
        """Changes are kept beside the binding of the name, which may stand below them."""
        for name, key, value in self.changes:
            scope: Scope | None = name.scope
            while scope and name.text not in scope.bindings:
                scope = scope.parent
            if scope:
                scope.changes.setdefault(name.text, []).append((key, value))

    def run(self, expr: Expr, *, held: bool = False) -> None:
        """An expression that is evaluated here; ``held``: its value gets a name."""
        self.function.body.append(Run(expr, held))

    def give(self, value: Expr | None) -> None:
        """What the function returns here."""
        self.function.returns.append(Return(value, self.caught > 0, self.branches > 0))
        if value is not None:
            self.run(value)

    def call(
        self, callee: Expr, arguments: list[Expr], at: Range, *, keywords: Object | None = None, new: bool = False
    ) -> Call:
        """A call; some change what they are called on."""
        match callee:
            case Member(Name() as name, "push" | "unshift" | "append"):
                self.changes.extend((name, None if isinstance(item, Spread) else "[]", item) for item in arguments)
            case Member(of, method) if method in _MUTATORS:
                self.change(Member(of, method, at), Mixed((), at))
                if isinstance(of, Name):
                    self.changes.append((of, None, Mixed((), at)))
            case Member(Name("Object"), "assign") if arguments and isinstance(arguments[0], Name):
                self.changes.append((arguments[0], None, Mixed((), at)))
            case Member(Name("console" | "JSON" | "json" | "logger")):
                pass
            case _:
                self.changes.extend((given, "()", given) for given in arguments if isinstance(given, Name))
        return Call(callee, tuple(arguments), keywords, new, at)


def start(root: Node, path: str) -> Builder:
    """A builder at the top of a module."""
    scope = Scope(None, "module")
    body = Function("", scope, range_of(root))
    module = Module(path, scope, body)
    scope.module = module
    return Builder(module, scope, body, home={body: module})
