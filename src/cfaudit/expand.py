"""A template with loops in, the same without out: what AWS::LanguageExtensions makes of Fn::ForEach.

Every copy keeps its place in the loop's body. A member of a collection that only deploy time knows stands in names as
``${Collection}`` and in values as a hole; where even their number is unknown, one such copy stands for all, and a loop
among properties is left as it is.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cfaudit.load import MAX_NODES
from cfaudit.nodes import (
    Absent,
    Call,
    Diagnostic,
    Loop,
    Map,
    Node,
    Scalar,
    Seq,
    Source,
    Span,
    TemplateError,
    Unknown,
    Value,
    as_text,
)

TRANSFORM = "AWS::LanguageExtensions"
LOOP = "Fn::ForEach::"
MAX_NESTED = 5
SECTIONS = ("Conditions", "Resources", "Outputs")

_MARK = re.compile(r"[$&]\{([^{}!]*)\}")
_SPECIAL = re.compile("[^0-9A-Za-z]+")


def extends(source: Source) -> bool:
    """Whether the template asks for AWS::LanguageExtensions."""
    listed = source.root.entries.get("Transform")
    names = listed.items if isinstance(listed, Seq) else (listed,)
    return any(isinstance(name, Scalar) and name.text == TRANSFORM for name in names)


def expand(source: Source, value: Callable[[Node], Value]) -> Source:
    """The template without its loops; ``value`` says what a collection means. Raises ``TemplateError`` for too many."""
    expansion = _Expansion(source, value)
    entries = dict(source.root.entries)
    for section in SECTIONS:
        node = entries.get(section)
        if isinstance(node, Map):
            entries[section] = expansion.section(node)
    changed = any(entries[section] is not node for section, node in source.root.entries.items())
    return replace(
        source,
        root=replace(source.root, entries=entries) if changed else source.root,
        diagnostics=(*source.diagnostics, *dict.fromkeys(expansion.diagnostics)),
        loops=tuple(expansion.loops),
    )


class _Item(NamedTuple):
    """One member of a collection: its text in names, and what it is where only deploy time knows its text."""

    text: str
    hole: Node | None = None


class _Scope(NamedTuple):
    """Where an expansion stands: what the identifiers of the loops around it are, and whether sections are made."""

    items: Mapping[str, _Item] = {}
    depth: int = 0
    of_members: bool = False

    def named(self, text: str) -> str:
        """A text in a place that takes a name, its identifiers replaced."""
        return _MARK.sub(self._name, text) if self.items and "{" in text else text

    def _name(self, mark: re.Match[str]) -> str:
        item = self.items.get(mark[1])
        return mark[0] if item is None else _spelled(item, mark[0])

    def pieces(self, text: str) -> Iterator[str | Node]:
        """A text in any other place, cut where an identifier stands that only deploy time knows."""
        position = 0
        for mark in _MARK.finditer(text):
            item = self.items.get(mark[1])
            if item is not None:
                yield text[position : mark.start()]
                yield _spelled(item, mark[0]) if item.hole is None else item.hole
                position = mark.end()
        yield text[position:]


def _spelled(item: _Item, mark: str) -> str:
    """``&{Identifier}`` leaves out all that a logical id may not hold."""
    return _SPECIAL.sub("", item.text) if mark[0] == "&" and item.hole is None else item.text


class _Collection(NamedTuple):
    """What a loop repeats; ``counted`` says whether it is known how many they are."""

    items: tuple[_Item, ...]
    counted: bool = True


class _Expansion:
    def __init__(self, source: Source, value: Callable[[Node], Value]) -> None:
        self._source = source
        self._value = value
        self._made = 0
        self.diagnostics: list[Diagnostic] = []
        self.loops: list[Loop] = []

    def section(self, node: Map[Node]) -> Map[Node]:
        """One section of the template."""
        return self._map(node, _Scope(of_members=True))

    def _map(self, node: Map[Node], scope: _Scope) -> Map[Node]:
        entries: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for name, key, member in self._entries(node, scope):
            if name in entries:
                hint = "put the identifier into the name, and list no value twice"
                self._warn(key, f"Fn::ForEach makes {name} more than once, which CloudFormation refuses", hint)
            else:
                entries[name], keys[name] = member, key
        same = len(entries) == len(node.entries) and all(
            entries.get(name) is node.entries[name] for name in node.entries
        )
        return node if same else Map(entries, keys, node.span)

    def _entries(self, node: Map[Node], scope: _Scope) -> Iterator[tuple[str, Span, Node]]:
        for name, member in node.entries.items():
            key = node.keys[name]
            if not name.startswith(LOOP):
                made = self._member(member, scope) if scope.of_members else self._node(member, scope)
                yield scope.named(name), key, made
            elif (repeated := self._loop(name, key, member, scope)) is not None:
                yield from repeated
            else:
                yield name, key, self._node(member, scope)

    def _loop(self, name: str, key: Span, node: Node, scope: _Scope) -> list[tuple[str, Span, Node]] | None:
        """What a loop makes, None where that cannot be told."""
        match node:
            case Seq((Scalar(identifier), collection, Map() as body)):
                found = self._collection(identifier, self._node(collection, scope), scope)
            case _:
                hint = "[Identifier, [one, two], {Key${Identifier}: …}]"
                self._warn(key, f"{name} is no list of an identifier, a collection and a map", hint)
                return None
        if found is None:
            self._warn(key, f"the collection of {name} is no list of texts", "give a list, or a parameter that is one")
            return None
        if scope.depth == MAX_NESTED:
            self._warn(key, f"{name} stands in {MAX_NESTED} other loops, more than CloudFormation allows", "nest fewer")
            return None
        if not found.counted and not scope.of_members:
            self.loops.append(Loop(name, key, body.span, frozenset()))
            return None
        made: list[tuple[str, Span, Node]] = []
        for item in found.items:
            self._count(key)
            inner = scope._replace(items={**scope.items, identifier: item}, depth=scope.depth + 1)
            made.extend(self._entries(body, inner))
        if not found.counted:
            self.loops.append(Loop(name, key, body.span, frozenset(each for each, _, _ in made)))
        return made

    def _collection(self, identifier: str, node: Node, scope: _Scope) -> _Collection | None:
        """The members of a collection, None where it is none: a text, a map, a list of lists."""
        if isinstance(node, Seq):
            values = [(item, self._value(item)) for item in node.items]
            return self._collected([pair for pair in values if not isinstance(pair[1], Absent)], identifier, scope)
        match self._value(node):
            case Unknown():
                return _Collection((_Item(_shown(identifier, node, scope), _picked(node, 0)),), counted=False)
            case Seq(items):
                picked = [(_picked(node, index), item) for index, item in enumerate(items)]
                return self._collected(picked, identifier, scope)
            case Absent():
                return _Collection(())
            case _:
                return None

    def _collected(self, pairs: Iterable[tuple[Node, Value]], identifier: str, scope: _Scope) -> _Collection | None:
        items: list[_Item] = []
        for node, value in pairs:
            match value:
                case Scalar():
                    items.append(_Item(as_text(value)))
                case Unknown():
                    items.append(_Item(_shown(identifier, node, scope), node))
                case _:
                    return None
        return _Collection(tuple(items))

    def _member(self, node: Node, scope: _Scope) -> Node:
        """A resource, an output or a condition: the attributes that hold names may say them by functions."""
        made = self._node(node, scope)
        if not isinstance(made, Map) or not isinstance(node, Map):
            return made
        inner = scope._replace(of_members=False)
        entries = dict(made.entries)
        if "DependsOn" in entries:
            entries["DependsOn"] = self._names(node.entries["DependsOn"], inner)
        if "Condition" in entries:
            condition = self._condition(node.entries["Condition"], inner)
            entries.pop("Condition") if condition is None else entries.update(Condition=condition)
        same = len(entries) == len(made.entries) and all(made.entries[name] is entries[name] for name in entries)
        return made if same else replace(made, entries=entries)

    def _names(self, node: Node, scope: _Scope) -> Node:
        if not isinstance(node, Seq):
            return self._name(node, scope)
        return _seq(node, [self._name(item, scope) for item in node.items])

    def _condition(self, node: Node, scope: _Scope) -> Node | None:
        """The name of a condition, None where a function says that there is none."""
        named = self._name(node, scope)
        if isinstance(named, Scalar):
            return named
        match self._value(named):
            case Scalar(text):
                return Scalar(text, node.span)
            case Absent():
                return None
            case _:
                return named

    def _name(self, node: Node, scope: _Scope) -> Node:
        """A node in a place that takes the name of something the template declares."""
        match node:
            case Scalar(text):
                return _text(node, scope.named(text))
            case Call("Ref", Scalar(text)) if text in scope.items:
                return Scalar(scope.items[text].text, node.span)
            case Call("Fn::Sub", Scalar(text)) if all(mark[1] in scope.items for mark in _MARK.finditer(text)):
                return Scalar(scope.named(text), node.span)
            case _:
                return self._node(node, scope)

    def _node(self, node: Node, scope: _Scope) -> Node:
        inner = scope._replace(of_members=False) if scope.of_members else scope
        if scope.items:
            self._count(node.span)
        match node:
            case Scalar(text):
                return self._scalar(node, scope) if scope.items and "{" in text else node
            case Seq(items):
                return _seq(node, [self._node(item, inner) for item in items])
            case Map():
                return self._map(node, inner)
            case Call():
                return self._call(node, inner)

    def _scalar(self, node: Scalar, scope: _Scope) -> Node:
        pieces = tuple(scope.pieces(node.text))
        if all(isinstance(piece, str) for piece in pieces):
            return _text(node, scope.named(node.text))
        parts = tuple(Scalar(piece, node.span) if isinstance(piece, str) else piece for piece in pieces)
        return Call("Fn::Join", Seq((Scalar("", node.span), Seq(parts, node.span)), node.span), node.span)

    def _call(self, call: Call, scope: _Scope) -> Node:
        match call:
            case Call("Ref", Scalar(text)) if text in scope.items:
                item = scope.items[text]
                return Scalar(item.text, call.span) if item.hole is None else replace(item.hole, span=call.span)
            case Call("Ref" | "Condition" | "Fn::GetAtt", (Scalar() | Call()) as argument):
                made = self._name(argument, scope)
            case Call("Fn::GetAtt", Seq((first, *rest)) as argument):
                made = _seq(argument, [self._name(first, scope), *(self._node(item, scope) for item in rest)])
            case Call("Fn::If", Seq((Scalar() as first, *rest)) as argument):
                made = _seq(argument, [self._name(first, scope), *(self._node(item, scope) for item in rest)])
            case Call("Fn::Sub", (Scalar() as template) as argument):
                made = self._sub(template, None, argument, scope)
            case Call("Fn::Sub", Seq((Scalar() as template, Map() as own)) as argument):
                made = self._sub(template, own, argument, scope)
            case Call(_, argument):
                made = self._node(argument, scope)
        return call if made is call.argument else replace(call, argument=made)

    def _sub(self, template: Scalar, own: Map[Node] | None, argument: Node, scope: _Scope) -> Node:
        """The argument of Fn::Sub; what only deploy time knows becomes a variable of it."""
        holes: dict[str, Node] = {}

        def spelled(mark: re.Match[str]) -> str:
            item = scope.items.get(mark[1])
            if item is None or item.hole is None:
                return mark[0] if item is None else _spelled(item, mark[0])
            holes[mark[1]] = item.hole
            return f"${{{mark[1]}}}"

        made = _text(template, _MARK.sub(spelled, template.text))
        variables = None if own is None else self._map(own, scope)
        if not holes and made is template and variables is own:
            return argument
        entries = {**(variables.entries if variables else {}), **holes}
        if not entries:
            return made
        held = Map(
            entries, {**dict.fromkeys(holes, template.span), **(variables.keys if variables else {})}, template.span
        )
        return Seq((made, held), argument.span)

    def _count(self, span: Span) -> None:
        self._made += 1
        if self._made > MAX_NODES:
            message = f"the loops make more than {MAX_NODES:,} values"
            raise TemplateError(span, message, "split the template", self._source.lines[span.line - 1])

    def _warn(self, span: Span, message: str, hint: str) -> None:
        self.diagnostics.append(Diagnostic("warning", message, span, hint))


def _text(node: Scalar, text: str) -> Scalar:
    return node if text == node.text else replace(node, text=text)


def _seq(node: Seq[Node], items: list[Node]) -> Seq[Node]:
    same = all(made is item for made, item in zip(items, node.items, strict=True))
    return node if same else Seq(tuple(items), node.span)


def _picked(collection: Node, index: int) -> Call:
    """One member of a list that a function gives."""
    span = collection.span
    return Call("Fn::Select", Seq((Scalar(str(index), span, "int"), collection), span), span)


def _shown(identifier: str, node: Node, scope: _Scope) -> str:
    """What stands in names for a text that only deploy time knows; loops over one parameter agree."""
    match node:
        case Call("Ref", Scalar(name)):
            shown = f"${{{name}}}"
        case Call("Fn::Select", Seq((Scalar(index), _))):
            shown = f"${{{identifier}.{index}}}"
        case _:
            shown = f"${{{identifier}}}"
    return shown if all(item.text != shown for item in scope.items.values()) else f"${{{identifier}}}"
