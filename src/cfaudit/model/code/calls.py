"""Recognised calls in, what each names, is given and needs out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cfaudit import data
from cfaudit.model.code.facts import UNKNOWN_ORIGIN, Element, ElementKind, Need, Origin, SdkCall
from cfaudit.model.code.program import (
    HOLE,
    Items,
    Known,
    Meaning,
    Primitive,
    Program,
    Struct,
    Variable,
)
from cfaudit.model.code.sdk import TARGETS, Found, Obscure, Recognition
from cfaudit.model.code.tree import Call, Entry, Expr, Module, Range, Spread
from cfaudit.nodes import Part, Reference, Span

MAX_NESTED = 4

_ELEMENTS: Mapping[str, tuple[ElementKind, str]] = {
    "Put": ("Put", "dynamodb:PutItem"),
    "Update": ("Update", "dynamodb:UpdateItem"),
    "Delete": ("Delete", "dynamodb:DeleteItem"),
    "ConditionCheck": ("ConditionCheck", "dynamodb:ConditionCheckItem"),
    "Get": ("Get", "dynamodb:GetItem"),
}
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html"""

_STATEMENTS = {
    "select": "dynamodb:PartiQLSelect",
    "insert": "dynamodb:PartiQLInsert",
    "update": "dynamodb:PartiQLUpdate",
    "delete": "dynamodb:PartiQLDelete",
}
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html"""

_WITH = {
    ("s3:PutObject", "ACL"): "s3:PutObjectAcl",
    ("s3:PutObject", "Tagging"): "s3:PutObjectTagging",
    ("s3:GetObject", "VersionId"): "s3:GetObjectVersion",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""

_NAMES = {
    "kms:ReEncryptFrom": "SourceKeyId",
    "kms:ReEncryptTo": "DestinationKeyId",
}


class _Arguments(NamedTuple):
    """An object of arguments: every entry that is seen, and whether there may be others."""

    entries: tuple[tuple[str, Expr, Range | None], ...]
    open: bool


class Calls:
    """Makes the facts of SDK calls; ``span`` says where something stands, ``holes`` fill inline code."""

    def __init__(self, program: Program, span: Callable[[Range, Module], Span], holes: tuple[Part, ...]) -> None:
        self._program = program
        self._span = span
        self._holes = holes
        self._recognition = Recognition(self.text)

    def text(self, expr: Expr | None) -> str | None:
        """The one literal text that an expression is."""
        values = self._program.meanings(expr) if expr is not None else ()
        match values:
            case (Known(text),) if HOLE not in text:
                return text
        return None

    def of(
        self, root: str, steps: tuple[str | Call, ...], call: Call, span: Span, *, unsure: bool
    ) -> Iterator[SdkCall | Obscure]:
        """What a call of something from outside calls at AWS; ``unsure``: it may be called on something else."""
        for found in self._recognition.of(root, steps, call):
            yield found if isinstance(found, Obscure) else _unsure(self._call(found, span), unsure=unsure)

    def _call(self, found: Found, span: Span) -> SdkCall:
        known = data.sdk_operation(found.client, found.operation)
        own = self._arguments(found.arguments)
        given = tuple((name, value, None) for name, value in found.given)
        arguments = _Arguments((*given, *own.entries), own.open)
        origins: dict[str, Origin] = {}
        for name, value, _ in arguments.entries:
            origins[name] = self.origin(value)
        target = self._target(found.client, origins, arguments.open)
        elements, elements_open = self._elements(known.name, arguments, span)
        needs, needs_open = self._needs(known, target, origins, arguments, elements, elements_open, span)
        return SdkCall(
            service=known.service,
            client=found.client,
            operation=known.name,
            target=target,
            arguments=origins,
            arguments_open=arguments.open,
            elements=elements,
            elements_open=elements_open,
            needs=needs,
            needs_open=needs_open,
            span=span,
        )

    def _arguments(self, expr: Expr | None) -> _Arguments:
        if expr is None:
            return _Arguments((), open=False)
        entries: list[tuple[str, Expr, Range | None]] = []
        values = self._program.meanings(expr)
        unsure = len(values) > 1
        for value in values:
            if isinstance(value, Struct):
                for name, given, at in self._flat(value, 0):
                    if name is None or given is None:
                        unsure = True
                    else:
                        entries.append((name, given, at))
            elif not (isinstance(value, Primitive) and value.nothing):
                unsure = True
        return _Arguments(tuple(entries), unsure)

    def _flat(self, value: Struct, depth: int) -> Iterator[tuple[str | None, Expr | None, Range | None]]:
        """The entries of an object, those that it takes over from others included; None for what is not seen."""
        self._program.stride()
        for entry in value.made.entries:
            if entry.key is not None:
                yield entry.key, entry.value, entry.at
            elif entry.computed is not None:
                yield self.text(entry.computed), entry.value, entry.at
            else:
                yield from self._spread(entry, depth)
        for name, changed in value.changes:
            if name != "()":
                yield name, changed, None

    def _spread(self, entry: Entry, depth: int) -> Iterator[tuple[str | None, Expr | None, Range | None]]:
        for value in self._program.meanings(entry.value):
            if isinstance(value, Struct) and depth < MAX_NESTED:
                yield from self._flat(value, depth + 1)
            elif not isinstance(value, Primitive):
                yield None, None, None

    # Origins

    def origin(self, expr: Expr) -> Origin:
        """Where a value comes from."""
        return self._origin(self._program.meanings(expr))

    def _origin(self, values: Iterable[Meaning]) -> Origin:
        variables: dict[str, None] = {}
        texts: dict[str, None] = {}
        references: dict[str, None] = {}
        unsure = False
        for value in values:
            match value:
                case Variable(name):
                    variables[name] = None
                case Known(text) if HOLE in text:
                    reference = self._hole(text)
                    if reference is None:
                        unsure = True
                    else:
                        references[reference] = None
                case Known(text):
                    texts[text] = None
                case Primitive(nothing=True):
                    continue
                case _:
                    unsure = True
        return Origin(tuple(variables), tuple(texts), tuple(references), unsure)

    def _hole(self, text: str) -> str | None:
        """The resource that fills a hole which is the whole text."""
        number = text.removeprefix(HOLE).removesuffix("_")
        if not text.startswith(HOLE) or not number.isdecimal() or int(number) >= len(self._holes):
            return None
        part = self._holes[int(number)]
        return part.logical_id if isinstance(part, Reference) else None

    def _target(self, client: str, origins: Mapping[str, Origin], unsure: bool) -> Origin:
        for name in TARGETS.get(client, ()):
            if name in origins:
                return origins[name]
        if client not in TARGETS or unsure:
            return UNKNOWN_ORIGIN
        return Origin()

    # Transactions and batches

    def _elements(self, operation: str, arguments: _Arguments, span: Span) -> tuple[tuple[Element, ...], bool]:
        if operation not in ("TransactWriteItems", "TransactGetItems"):
            return (), False
        elements: list[Element] = []
        unsure = True
        for name, value, _ in arguments.entries:
            if name == "TransactItems":
                unsure = arguments.open
                for item in self._items(value):
                    found = self._element(item, span) if item is not None else None
                    if found is None:
                        unsure = True
                    else:
                        elements.append(found)
        return tuple(elements), unsure

    def _items(self, expr: Expr, depth: int = 0) -> Iterator[Expr | None]:
        """The items of a list, those that are added to it included; None for what is not seen."""
        self._program.stride()
        if depth > MAX_NESTED:
            yield None
            return
        values = self._program.meanings(expr)
        for value in values:
            if not isinstance(value, Items):
                yield None
                continue
            for item in value.made.items:
                if isinstance(item, Spread):
                    yield from self._items(item.value, depth + 1)
                else:
                    yield item
            for name, added in value.changes:
                yield added if name == "[]" else None

    def _element(self, expr: Expr, span: Span) -> Element | None:
        values = self._program.meanings(expr)
        if len(values) != 1 or not isinstance(values[0], Struct):
            return None
        entries = list(self._flat(values[0], 0))
        if len(entries) != 1:
            return None
        name, value, _ = entries[0]
        if name is None or name not in _ELEMENTS or value is None:
            return None
        inner = self._arguments(value)
        origins = [self.origin(given) for key, given, _ in inner.entries if key == "TableName"]
        return Element(_ELEMENTS[name][0], origins[0] if origins else UNKNOWN_ORIGIN, self._at(expr, span))

    def _at(self, expr: Expr, span: Span) -> Span:
        """Where an element stands, if that is in the file of the call."""
        module = self._program.module_of(expr)
        return self._span(expr.at, module) if module else span

    def _tables(self, arguments: _Arguments) -> tuple[Origin, ...]:
        """The tables of a batch: the keys of ``RequestItems``."""
        tables: list[Origin] = []
        for name, value, _ in arguments.entries:
            if name != "RequestItems":
                continue
            for meaning in self._program.meanings(value):
                if not isinstance(meaning, Struct):
                    return (UNKNOWN_ORIGIN,)
                for entry in meaning.made.entries:
                    if entry.key is not None:
                        tables.append(self._origin([Known(entry.key)]))
                    else:
                        tables.append(self.origin(entry.computed) if entry.computed else UNKNOWN_ORIGIN)
                tables += [UNKNOWN_ORIGIN for _ in meaning.changes]
        return tuple(tables)

    # Needs

    def _needs(
        self,
        known: data.SdkOperation,
        target: Origin,
        origins: Mapping[str, Origin],
        arguments: _Arguments,
        elements: tuple[Element, ...],
        elements_open: bool,
        span: Span,
    ) -> tuple[tuple[Need, ...], bool]:
        if known.name in ("TransactWriteItems", "TransactGetItems"):
            needs = [Need(_ELEMENTS[each.kind][1], each.target, each.span) for each in elements]
            return tuple(needs), elements_open
        if (known.service == "dynamodb" and "Statement" in known.name) or known.name == "ExecuteTransaction":
            action = _statement(origins.get("Statement", UNKNOWN_ORIGIN))
            return ((Need(action, UNKNOWN_ORIGIN, span),) if action else ()), action is None
        if known.actions is None or (known.service == "apigateway" and len(known.actions) > 1):
            return (), True
        if known.service == "dynamodb" and known.name.startswith("Batch") and not target:
            tables = self._tables(arguments) or (UNKNOWN_ORIGIN,)
            return tuple(Need(action, table, span) for action in known.actions for table in tables), False
        needs = [Need(action, self._named(action, known, target, origins), span) for action in known.actions]
        for (action, argument), further in _WITH.items():
            if action == f"{known.service}:{known.name}" and argument in origins:
                needs.append(Need(further, target, span))
        return tuple(needs), False

    def _named(self, action: str, known: data.SdkOperation, target: Origin, origins: Mapping[str, Origin]) -> Origin:
        """What an action acts on: most on the call's target, some on something else that the call names."""
        if action in _NAMES:
            return origins.get(_NAMES[action], UNKNOWN_ORIGIN)
        copies = known.service == "s3" and known.name in ("CopyObject", "UploadPartCopy") and action == "s3:GetObject"
        return UNKNOWN_ORIGIN if copies else target


def _unsure(call: SdkCall, *, unsure: bool) -> SdkCall:
    if not unsure:
        return call
    needs = tuple(need._replace(target=replace(need.target, open=True)) for need in call.needs)
    return replace(call, target=replace(call.target, open=True), needs=needs)


def _statement(origin: Origin) -> str | None:
    words = {text.split(None, 1)[0].lower() for text in origin.texts if text.strip()}
    return _STATEMENTS.get(words.pop()) if len(words) == 1 and not origin.open else None
