"""A handler in, what it returns out: the keys, and whether it is the same success every time."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.model.code.facts import OPEN_SHAPE, Shape
from cfaudit.model.code.program import (
    Closure,
    Input,
    Items,
    Kind,
    Known,
    Meaning,
    Path,
    Primitive,
    Program,
    Struct,
    Variable,
    Visit,
)
from cfaudit.model.code.tree import (
    Call,
    Constant,
    Either,
    Expr,
    Function,
    Joined,
    Member,
    Name,
    Object,
    Return,
    Sequence,
)
from cfaudit.model.code.tree import Text as Literal

MAX_DEPTH = 8
_TEXTS = frozenset(
    {"JSON.stringify", "json.dumps", "crypto.randomUUID", "Date.now", "time.time", "len", "String", "Number", "Boolean"}
    | {"str", "int", "float", "bool", "round"}
)
_TEXT_METHODS = frozenset({"toISOString", "toString", "isoformat", "toUpperCase", "toLowerCase", "strftime", "getTime"})
_CONSTANT_ROOTS = frozenset({"JSON", "json", "String", "str", "Date", "datetime", "Object", "dict", "int", "Number"})


class Outcomes:
    """What handlers return. Callback style counts: ``callback(null, result)``, ``context.succeed(result)``."""

    def __init__(self, program: Program, visits: list[Visit]) -> None:
        self._program = program
        self._visits = visits
        self._open: set[Object] = set()

    def _results(self, handler: Function) -> list[Return] | None:
        """Everything that may become the result; None where something else is given the callback."""
        found = list(handler.returns)
        for expr, _, role in self._visits:
            if isinstance(expr, Call):
                for value in self._program.meanings(expr.callee):
                    found.extend(_given_back(value, expr))
            elif role == "value" and isinstance(expr, (Name, Member)) and self._hands_on(expr):
                return None
        return found

    def _hands_on(self, expr: Expr) -> bool:
        return any(_gives_back(value) for value in self._program.meanings(expr))

    def shape(self, handler: Function) -> Shape:
        """The keys that the result may have."""
        results = self._results(handler)
        if results is None:
            return OPEN_SHAPE
        return _merged([self._of(result.value, 0) for result in results if result.value is not None])

    def _of(self, expr: Expr, depth: int) -> Shape:
        self._program.stride()
        if depth > MAX_DEPTH:
            return OPEN_SHAPE
        return _merged([self._meant(value, depth) for value in self._program.meanings(expr)])

    def _meant(self, value: Meaning, depth: int) -> Shape:
        match value:
            case Known() | Primitive() | Variable() | Closure() | Kind():
                return Shape()
            case Struct():
                return self._object(value, depth)
            case Path(root, steps) if steps and isinstance(steps[-1], Call):
                method = steps[-2] if len(steps) > 1 else ""
                if Path(root, steps[:-1]).dotted in _TEXTS or method in _TEXT_METHODS:
                    return Shape()
        return OPEN_SHAPE

    def _object(self, value: Struct, depth: int) -> Shape:
        if value.made in self._open:
            return OPEN_SHAPE
        self._open.add(value.made)
        parts: list[Shape] = []
        for entry in value.made.entries:
            if entry.key is not None:
                parts.append(Shape({entry.key: self._of(entry.value, depth + 1)}))
            elif entry.computed is None:
                parts.append(self._of(entry.value, depth + 1))
            else:
                parts.append(OPEN_SHAPE)
        for name, changed in value.changes:
            if name == "()":
                continue
            parts.append(Shape({name: self._of(changed, depth + 1)}) if name is not None else OPEN_SHAPE)
        self._open.discard(value.made)
        return _merged(parts)

    def is_constant(self, handler: Function) -> bool:
        """Whether every success that the handler returns is the same, whatever it is given.

        Results after an exception, and fixed answers that refuse a request (a statusCode of 400 and more), are set
        aside: a check of the input before the success makes none of what the handler is there for.
        """
        found = self._results(handler)
        if found is None:
            return False
        results = [result for result in found if not result.caught and not self._is_callback(result.value)]
        accepted = [result for result in results if not self._is_refusal(result)]
        results = accepted or results
        if len(results) > 1 and any(result.branched for result in results[:-1]):
            return False
        return all(
            result.value is None or (self._same(result.value, 0) and self._succeeds(result.value)) for result in results
        )

    def refuses(self, handler: Function) -> bool:
        """Whether the handler gives some input a fixed answer that is no success."""
        return any(self._is_refusal(result) for result in self._results(handler) or ())

    def _is_refusal(self, result: Return) -> bool:
        value = result.value
        return result.branched and value is not None and self._same(value, 0) and not self._succeeds(value)

    def _is_callback(self, expr: Expr | None) -> bool:
        """``return callback(null, result)``: the call itself returns nothing."""
        return isinstance(expr, Call) and any(_gives_back(value) for value in self._program.meanings(expr.callee))

    def _same(self, expr: Expr, depth: int) -> bool:
        """Whether an expression depends on nothing but the time."""
        self._program.stride()
        if depth > MAX_DEPTH:
            return False
        match expr:
            case Literal() | Constant():
                return True
            case Object(entries):
                parts = [part for entry in entries for part in (entry.computed, entry.value) if part is not None]
                return all(self._same(part, depth + 1) for part in parts)
            case Sequence(items) | Joined(items):
                return all(self._same(item, depth + 1) for item in items)
            case Either():
                return False
            case Call(callee, arguments, keywords):
                given = (*arguments, *((keywords,) if keywords else ()))
                return self._pure(callee, depth) and all(self._same(item, depth + 1) for item in given)
            case Name() | Member():
                return self._fixed(expr, depth)
        return False

    def _pure(self, callee: Expr, depth: int) -> bool:
        for value in self._program.meanings(callee):
            match value:
                case Path(root) if root in _CONSTANT_ROOTS:
                    continue
                case Closure(function) if all(
                    result.value is not None and self._same(result.value, depth + 1) for result in function.returns
                ):
                    continue
                case _:
                    return False
        return True

    def _fixed(self, expr: Expr, depth: int) -> bool:
        for value in self._program.meanings(expr):
            match value:
                case Known() | Primitive(nothing=True):
                    continue
                case Struct(made, changes) if not any(name != "()" for name, _ in changes):
                    if not self._same(made, depth + 1):
                        return False
                case Items(made, changes) if not any(name != "()" for name, _ in changes):
                    if not self._same(made, depth + 1):
                        return False
                case Path(root, steps) if root in _CONSTANT_ROOTS and steps:
                    calls = [step for step in steps if isinstance(step, Call)]
                    if not all(self._same(argument, depth + 1) for call in calls for argument in call.arguments):
                        return False
                case _:
                    return False
        return True

    def _succeeds(self, expr: Expr) -> bool:
        for value in self._program.meanings(expr):
            for entry in value.made.entries if isinstance(value, Struct) else ():
                if entry.key == "statusCode":
                    code = entry.value
                    if not isinstance(code, Constant) or not code.text.isdecimal() or int(code.text) >= 400:
                        return False
        return True


def _gives_back(value: Meaning) -> bool:
    """Whether it is one of the functions that hand the result to Lambda."""
    return isinstance(value, Input) and (
        (value.kind == "callback" and not value.path)
        or (value.kind == "context" and value.path in (("done",), ("succeed",)))
    )


def _given_back(value: Meaning, call: Call) -> Iterator[Return]:
    given = call.arguments
    if _gives_back(value) and isinstance(value, Input):
        result = given[:1] if value.path == ("succeed",) else given[1:2]
        yield from (Return(each, caught=False, branched=True) for each in result)


def _merged(shapes: list[Shape]) -> Shape:
    """What any of several values may have."""
    keys: dict[str, list[Shape]] = {}
    for shape in shapes:
        for name, inner in shape.keys.items():
            keys.setdefault(name, []).append(inner)
    return Shape({name: _merged(inner) for name, inner in keys.items()}, any(shape.open for shape in shapes))
