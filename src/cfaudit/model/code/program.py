"""Modules in, what their expressions mean out, and which of them the handler can reach.

Nothing is run: a meaning is what an expression may be, by every binding and every call that the code shows. What
cannot be told is ``Anything``, and then every answer that rests on it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.model.code.tree import (
    Call,
    Class,
    Constant,
    Either,
    Expr,
    Function,
    Home,
    Import,
    Index,
    Joined,
    Member,
    Mixed,
    Module,
    Name,
    Object,
    Parameter,
    Scope,
    Sequence,
    Spread,
    Text,
    This,
    UnreadableError,
    children,
)

MAX_MEANINGS = 24
MAX_STEPS = 10
MAX_DEPTH = 40
MAX_ROUNDS = 4
MAX_STRIDES = 50_000
HOLE = "_hole7f3c_"
"""Stands before the number of a hole in inline code, ``_hole7f3c_2_``: an identifier, should it be in no text."""


@dataclass(frozen=True, slots=True)
class Path:
    """Something from outside and what was done with it: ``boto3``, then ``client``, called, then ``put_item``."""

    root: str
    steps: tuple[str | Call, ...] = ()

    @property
    def dotted(self) -> str:
        """``JSON.stringify``, where nothing was called on the way; else nothing."""
        names = [step for step in self.steps if isinstance(step, str)]
        return ".".join([self.root, *names]) if len(names) == len(self.steps) else ""


@dataclass(frozen=True, slots=True)
class Known:
    """A text."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """The value of an environment variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Struct:
    """An object that the code writes, and what is later assigned to its members."""

    made: Object
    changes: tuple[tuple[str | None, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Items:
    """A list that the code writes, and what is later added to it."""

    made: Sequence
    changes: tuple[tuple[str | None, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Closure:
    """A function of the code's own."""

    function: Function


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of the code's own, or an instance of it."""

    made: Class
    instance: bool


@dataclass(frozen=True, slots=True)
class Space:
    """A module of the code's own."""

    module: Module


@dataclass(frozen=True, slots=True)
class Input:
    """What Lambda gives the handler, or a part of it."""

    kind: Literal["event", "context", "callback"]
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A text, number or truth that has no members; ``nothing``: null, None, undefined."""

    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Anything:
    """What cannot be told."""


Meaning: TypeAlias = "Path | Known | Variable | Struct | Items | Closure | Kind | Space | Input | Primitive | Anything"
ANYTHING, PRIMITIVE, NOTHING = Anything(), Primitive(), Primitive(nothing=True)
_OPEN: tuple[Meaning, ...] = (ANYTHING,)
ENVIRONMENTS = frozenset({("process", ("env",)), ("os", ("environ",))})
_GETTERS = frozenset({("os", ("environ", "get")), ("os", ("getenv",)), ("os", ("environ", "setdefault"))})
_SAME = frozenset(
    {
        "Object.freeze",
        "Promise.resolve",
        "String",
        "str",
        "structuredClone",
        "aws-xray-sdk.captureAWS",
        "aws-xray-sdk.captureAWSClient",
        "aws-xray-sdk.captureAWSv3Client",
        "aws-xray-sdk-core.captureAWS",
        "aws-xray-sdk-core.captureAWSClient",
        "aws-xray-sdk-core.captureAWSv3Client",
    }
)
"""Calls whose result is what they are given, as far as anyone here asks."""

Role: TypeAlias = Literal["value", "object", "callee", "held"]


class Visit(NamedTuple):
    """An expression that the handler can reach, the module it stands in, and what is done with it there."""

    expr: Expr
    module: Module
    role: Role


Load: TypeAlias = Callable[[str, Module], Module | None]
"""A module's name as an import writes it and the importing module in, the module out if it is the code's own."""


class Program:
    """The code of one function. ``dotted``: names of modules have dots, as in Python."""

    def __init__(self, load: Load, home: Home, entry: Module, *, dotted: bool) -> None:
        self._load = load
        self._home = home
        self.entry = entry
        self.dotted = dotted
        self._memo: dict[Expr, tuple[Meaning, ...]] = {}
        self._names: dict[tuple[Scope, str], tuple[Meaning, ...]] = {}
        self._exporting: set[tuple[Module, str]] = set()
        self._pending: set[Expr] = set()
        self._depth = 0
        self.handler: Function | None = None
        self.sites: dict[Function, dict[Call, int]] = {}
        self._stands: dict[Expr, Module] = {}
        self._strides = 0
        self.escaped: set[Function] = set()

    def stride(self) -> None:
        """One step on the way to an answer. Raises ``UnreadableError`` where there would be too many."""
        self._strides += 1
        if self._strides > MAX_STRIDES:
            raise UnreadableError("its code is too tangled")

    # Meanings

    def meanings(self, expr: Expr) -> tuple[Meaning, ...]:
        """What an expression may be; never empty."""
        found = self._memo.get(expr)
        if found is not None:
            return found
        if expr in self._pending or self._depth >= MAX_DEPTH:
            return _OPEN
        self.stride()
        self._pending.add(expr)
        self._depth += 1
        several = tuple(dict.fromkeys(self._find(expr))) or (NOTHING,)
        self._depth -= 1
        self._pending.discard(expr)
        self._memo[expr] = found = several if len(several) <= MAX_MEANINGS else _OPEN
        return found

    def _find(self, expr: Expr) -> Iterator[Meaning]:
        match expr:
            case Name():
                yield from self._named(expr)
            case Member(of, key):
                for value in self.meanings(of):
                    yield from self._member(value, key)
            case Index(of, key):
                yield from self._indexed(of, key)
            case Text(text):
                yield Known(text)
            case Constant(text):
                yield NOTHING if text in ("null", "undefined", "None") else PRIMITIVE
            case Joined(parts):
                yield from self._joined(parts)
            case Object():
                yield Struct(expr)
            case Sequence():
                yield Items(expr)
            case Call():
                yield from self._called(expr)
            case Function():
                yield Closure(expr)
            case Class():
                yield Kind(expr, instance=False)
            case This(owner):
                yield Kind(owner, instance=True) if owner else ANYTHING
            case Parameter():
                yield from self._given(expr)
            case Import(module, member):
                yield from self._imported(module, member, expr)
            case Either(options):
                for option in options:
                    yield from self.meanings(option)
            case Mixed(_, _, "value"):
                yield PRIMITIVE
            case _:
                yield ANYTHING

    def _named(self, name: Name) -> Iterator[Meaning]:
        scope: Scope | None = name.scope
        while scope and (name.text not in scope.bindings or scope.kind == "class"):
            scope = scope.parent
        if scope is None:
            yield from self._global(name)
            return
        bound = scope, name.text
        if bound not in self._names:
            self._names[bound] = _OPEN
            self._names[bound] = tuple(self._held(scope, name.text))
        yield from self._names[bound]

    def _held(self, scope: Scope, name: str) -> Iterator[Meaning]:
        """What a name holds, with what is changed in it."""
        changes = tuple(scope.changes.get(name, ()))
        for value in self._assigned(scope.bindings[name]):
            match value:
                case Struct(made, ()):
                    yield Struct(made, changes)
                case Items(made, ()):
                    yield Items(made, changes)
                case _:
                    yield value

    def _assigned(self, values: list[Expr]) -> Iterator[Meaning]:
        """What something may be that is assigned several values; which it is when is not followed."""
        several = [self.meanings(value) for value in values]
        several = [meanings for meanings in several if any(meaning != NOTHING for meaning in meanings)]
        distinct = dict.fromkeys(meaning for meanings in several for meaning in meanings)
        yield from distinct
        if len(several) > 1 and len(distinct) > 1:
            yield ANYTHING

    def _global(self, name: Name) -> Iterator[Meaning]:
        root = name.scope
        while root.parent:
            root = root.parent
        for star in root.module.starred if root.module and self.dotted else ():
            own = self._load(star.module, star.importer)
            if own is None or name.text in own.exports:
                yield from self.exported(own, name.text) if own else _OPEN
                return
        yield Known(name.text) if HOLE in name.text else Path(name.text)

    def _member(self, value: Meaning, key: str) -> Iterator[Meaning]:
        match value:
            case Path(root, steps) if (root, steps) in ENVIRONMENTS:
                yield Path(root, (*steps, key)) if key in ("get", "setdefault") and root == "os" else Variable(key)
            case Path(root, steps):
                yield from self._step(root, steps, key)
            case Struct(made, changes):
                yield from self._entry(made, changes, key)
            case Items(made, ()) if key.isdecimal() and not any(isinstance(item, Spread) for item in made.items):
                yield from self.meanings(made.items[int(key)]) if int(key) < len(made.items) else (NOTHING,)
            case Kind(made, _):
                yield from self._of_class(made, key)
            case Space(module):
                inner = self._load(f".{key}", module) if self.dotted and key not in module.exports else None
                yield from (Space(inner),) if inner else self.exported(module, key)
            case Input(kind, path):
                yield Input(kind, (*path, key)) if len(path) < MAX_STEPS else ANYTHING
            case _:
                yield ANYTHING

    def _step(self, root: str, steps: tuple[str | Call, ...], key: str) -> Iterator[Meaning]:
        if len(steps) >= MAX_STEPS:
            yield ANYTHING
        elif key == "default" and not steps:
            yield Path(root)
        elif own := self._submodule(root, steps, key):
            yield Space(own)
        else:
            yield Path(root, (*steps, key))

    def _submodule(self, root: str, steps: tuple[str | Call, ...], key: str) -> Module | None:
        """The code's own module ``a.b`` of ``import a.b``, where ``a`` is a folder and no module."""
        names = [root, *(step for step in steps if isinstance(step, str)), key]
        if not self.dotted or len(names) < len(steps) + 2:
            return None
        return self._load(".".join(names), self.entry)

    def _entry(
        self, made: Object, changes: tuple[tuple[str | None, Expr], ...], key: str, depth: int = 0
    ) -> Iterator[Meaning]:
        self.stride()
        if depth > MAX_STEPS:
            yield ANYTHING
            return
        found = False
        for name, changed in changes:
            if name == "()":
                continue
            if name == key:
                found = True
                yield from self.meanings(changed)
            elif name is None:
                yield ANYTHING
        for entry in made.entries:
            if entry.key == key:
                found = True
                yield from self.meanings(entry.value)
            elif entry.key is None and entry.computed is None:
                for value in self.meanings(entry.value):
                    if isinstance(value, Struct):
                        yield from self._entry(value.made, value.changes, key, depth + 1)
                        found = True
                    elif value != NOTHING:
                        yield ANYTHING
            elif entry.key is None:
                yield ANYTHING
        if not found:
            yield ANYTHING

    def _of_class(self, made: Class, key: str, depth: int = 0) -> Iterator[Meaning]:
        bound = made.members.get(key)
        if bound:
            yield from self._assigned(bound)
            return
        parents = self.meanings(made.base) if made.base else ()
        for parent in parents:
            if isinstance(parent, Kind) and depth < MAX_STEPS:
                yield from self._of_class(parent.made, key, depth + 1)
                return
        yield ANYTHING

    def _indexed(self, of: Expr, key: Expr) -> Iterator[Meaning]:
        texts = [value.text for value in self.meanings(key) if isinstance(value, Known)]
        certain = len(texts) == len(self.meanings(key)) and not any(HOLE in text for text in texts)
        for value in self.meanings(of):
            if certain:
                for text in texts:
                    yield from self._member(value, text)
                continue
            match value:
                case Struct(made, changes):
                    for entry in made.entries:
                        yield from self.meanings(entry.value) if entry.key is not None else _OPEN
                    for name, changed in changes:
                        yield from self.meanings(changed) if name != "()" else ()
                case Items(made, changes):
                    for item in (*made.items, *(added for name, added in changes if name != "()")):
                        yield from self.meanings(item) if not isinstance(item, Spread) else _OPEN
                case Input(kind, path):
                    yield Input(kind, (*path, "*")) if len(path) < MAX_STEPS else ANYTHING
                case Path(root, steps) if (root, steps) not in ENVIRONMENTS:
                    yield from self._step(root, steps, "*")
                case _:
                    yield ANYTHING

    def _joined(self, parts: tuple[Expr, ...]) -> Iterator[Meaning]:
        if len(parts) == 1:
            yield from self.meanings(parts[0])
            return
        texts = []
        for piece in parts:
            values = self.meanings(piece)
            if len(values) != 1 or not isinstance(values[0], Known):
                yield PRIMITIVE
                return
            texts.append(values[0].text)
        yield Known("".join(texts))

    def _called(self, call: Call) -> Iterator[Meaning]:
        if isinstance(call.callee, Member) and call.callee.key == "bind":
            yield from (value for value in self.meanings(call.callee.of) if isinstance(value, Closure))
        for callee in self.meanings(call.callee):
            match callee:
                case Path(root, steps) if (root, steps) in _GETTERS:
                    yield from self._got(call)
                case Path("getattr", ()) if len(call.arguments) > 1:
                    yield from self._indexed(call.arguments[0], call.arguments[1])
                case Path() if callee.dotted in _SAME and call.arguments:
                    yield from self.meanings(call.arguments[0])
                case Path(root, steps):
                    yield Path(root, (*steps, call)) if len(steps) < MAX_STEPS else ANYTHING
                case Closure(function) if not function.generator and not call.new:
                    for returned in function.returns:
                        yield from self.meanings(returned.value) if returned.value else (NOTHING,)
                case Kind(made, instance=False):
                    yield Kind(made, instance=True)
                case Input("callback"):
                    yield NOTHING
                case _:
                    yield ANYTHING

    def _got(self, call: Call) -> Iterator[Meaning]:
        """``os.environ.get(name, default)``."""
        names = self.meanings(call.arguments[0]) if call.arguments else _OPEN
        for name in names:
            yield Variable(name.text) if isinstance(name, Known) else ANYTHING
        for default in call.arguments[1:2]:
            yield from self.meanings(default)

    def _given(self, parameter: Parameter) -> Iterator[Meaning]:
        """What a parameter is given wherever the function is called; the handler's are Lambda's."""
        function, index = parameter.function, parameter.index
        if function is self.handler:
            kinds: tuple[Literal["event", "context", "callback"], ...] = ("event", "context", "callback")
            shift = 1 if function.takes_self else 0
            yield Input(kinds[index - shift]) if 0 <= index - shift < 3 else ANYTHING
            return
        sites = self.sites.get(function, {})
        if not sites or function in self.escaped or function.decorators:
            yield ANYTHING
        for call, shift in sites.items():
            yield from self._argument(call, index - shift, parameter.name)

    def _argument(self, call: Call, index: int, name: str) -> Iterator[Meaning]:
        for entry in call.keywords.entries if call.keywords else ():
            if entry.key == name:
                yield from self.meanings(entry.value)
                return
            if entry.key is None:
                yield ANYTHING
        before = call.arguments[: index + 1] if index >= 0 else ()
        if any(isinstance(argument, Spread) for argument in before):
            yield ANYTHING
        elif 0 <= index < len(call.arguments):
            yield from self.meanings(call.arguments[index])
        else:
            yield NOTHING

    # Modules

    def _imported(self, module: str, member: str | None, expr: Import) -> Iterator[Meaning]:
        importer = expr.importer
        own = self._load(module, importer)
        if own is not None:
            yield from (Space(own),) if member is None else self._of_module(own, module, member, importer)
            return
        if member is not None and self.dotted:
            inner = self._load(f"{module}{'' if module.endswith('.') else '.'}{member}", importer)
            if inner is not None:
                yield Space(inner)
                return
        head, *rest = module.removeprefix("node:").split(".") if self.dotted else [module.removeprefix("node:")]
        yield from self._outside(head, tuple(rest), member)

    def _outside(self, root: str, steps: tuple[str, ...], member: str | None) -> Iterator[Meaning]:
        if member in (None, "default", "*"):
            yield Path(root, steps)
        elif member is not None and (root, (*steps, member)) in ENVIRONMENTS:
            yield Path(root, (*steps, member))
        elif member is not None:
            yield from self._member(Path(root, steps), member)

    def _of_module(self, own: Module, name: str, member: str, importer: Module) -> Iterator[Meaning]:
        if self.dotted and member not in own.exports:
            inner = self._load(f"{name}{'' if name.endswith('.') else '.'}{member}", importer)
            if inner is not None:
                yield Space(inner)
                return
        yield from self.exported(own, member)

    def exported(self, module: Module, name: str) -> tuple[Meaning, ...]:
        """What a module of the code's own exports under a name."""
        asked = module, name
        if asked in self._exporting:
            return _OPEN
        self._exporting.add(asked)
        found = [value for expr in module.exports.get(name, ()) for value in self.meanings(expr)]
        whole = [value for expr in module.exports.get("=", ()) for value in self.meanings(expr)]
        if name == "default" and not found and (whole or module.exports):
            found = list(whole) or [Space(module)]
        else:
            for value in whole:
                found += self._member(value, name)
        for star in module.starred if not found else ():
            inner = self._load(star.module, module)
            found += self.exported(inner, name) if inner else _OPEN
        self._exporting.discard(asked)
        kept = [value for value in found if value != NOTHING]
        return tuple(kept or found) or _OPEN

    # What the handler can reach

    def walk(self, start: list[Function]) -> list[Visit]:
        """Every expression that some functions can reach, with what is known only once all calls are seen.

        It is done again until no further call appears, because what a call reaches may depend on other calls.
        """
        visits: list[Visit] = []
        for _ in range(MAX_ROUNDS):
            before = sum(len(sites) for sites in self.sites.values()), len(self.escaped), len(visits)
            self._memo.clear()
            self._names.clear()
            visits = _Walk(self, self._home).run(start)
            if (sum(len(sites) for sites in self.sites.values()), len(self.escaped), len(visits)) == before:
                break
        self._stands = {visit.expr: visit.module for visit in visits}
        return visits

    def module_of(self, expr: Expr) -> Module | None:
        """The module in which an expression stands that ``walk`` reached."""
        return self._stands.get(expr)


class _Walk:
    """One pass over the reachable code."""

    def __init__(self, program: Program, home: Home) -> None:
        self._program = program
        self._home = home
        self._queue: list[Function] = []
        self._seen: set[Expr] = set()
        self._visited: set[tuple[Expr, Role]] = set()
        self._visits: list[Visit] = []

    def run(self, start: list[Function]) -> list[Visit]:
        for function in start:
            self._enter(function)
        while self._queue:
            function = self._queue.pop()
            module = self._home[function]
            for expr, held in function.body:
                self._visit(expr, module, held=held)
        return self._visits

    def _enter(self, function: Function) -> None:
        if function not in self._seen:
            self._seen.add(function)
            self._queue.append(function)

    def _visit(self, root: Expr, module: Module, *, held: bool = False) -> None:
        held = root.held if isinstance(root, Object) else held
        stack: list[tuple[Expr, Role]] = [(root, "held" if held else "value")]
        while stack:
            expr, role = stack.pop()
            if (expr, role) in self._visited:
                continue
            self._visited.add((expr, role))
            self._program.stride()
            self._visits.append(Visit(expr, module, role))
            self._discover(expr, role)
            stack.extend([(child, _role(expr, child, role)) for child in reversed(children(expr))])

    def _discover(self, expr: Expr, role: Role) -> None:
        match expr:
            case Function():
                if not expr.named or role != "held":
                    self._enter(expr)
                    if role == "value":
                        self._program.escaped.add(expr)
            case Class():
                self._enter_class(expr)
            case Call():
                self._call(expr)
            case Name() | Member() | Index() | Import() if role != "held":
                for value in self._program.meanings(expr):
                    self._refer(value, role)
            case Object() if role == "value":
                self._escape(Struct(expr))
            case _:
                return

    def _refer(self, value: Meaning, role: Role) -> None:
        match value:
            case Closure(function):
                self._enter(function)
                if role != "callee":
                    self._program.escaped.add(function)
            case Kind(made):
                self._enter_class(made)
            case Space(module):
                self._enter(module.body)
                if role == "value":
                    for name in module.exports:
                        for exported in self._program.exported(module, name):
                            if not isinstance(exported, Space):
                                self._refer(exported, "value")
            case Struct() if role == "value":
                self._escape(value)
            case _:
                return

    def _escape(self, value: Struct) -> None:
        """An object that goes elsewhere: its functions may be called there, with anything."""
        changed = [given for name, given in value.changes if name != "()"]
        for given in (*(entry.value for entry in value.made.entries), *changed):
            if isinstance(given, Function):
                self._enter(given)
                self._program.escaped.add(given)
            elif isinstance(given, (Name, Member)):
                for meaning in self._program.meanings(given):
                    if isinstance(meaning, Closure):
                        self._refer(meaning, "value")

    def _enter_class(self, made: Class) -> None:
        if made in self._seen:
            return
        self._seen.add(made)
        for values in made.members.values():
            for value in values:
                if isinstance(value, Function):
                    self._enter(value)
        for expr in made.body:
            self._visit(expr, self._home[made])

    def _call(self, call: Call) -> None:
        for value in self._program.meanings(call.callee):
            match value:
                case Closure(function):
                    self._site(function, call, 1 if function.takes_self else 0)
                case Kind(made, instance=False):
                    for name in ("constructor", "__init__"):
                        for member in made.members.get(name, ()):
                            if isinstance(member, Function):
                                self._site(member, call, 1 if member.takes_self else 0)

    def _site(self, function: Function, call: Call, shift: int) -> None:
        self._enter(function)
        self._program.sites.setdefault(function, {})[call] = shift


def _role(parent: Expr, child: Expr, role: Role) -> Role:
    match parent:
        case Member(of) | Index(of) if child is of:
            return "object"
        case Call(callee) if child is callee:
            return "callee"
        case Object() if role == "held":
            return "held"
        case _:
            return "value"
