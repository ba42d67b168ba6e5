"""A template and the files beside it in, the template with the local snippets that AWS::Include names in place out.

``aws cloudformation package`` uploads such a file and writes its address into Location. What is in a bucket already
stays a macro, and so does a snippet that repeats a key.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-include.html
"""

from __future__ import annotations

from dataclasses import replace

from cfaudit.load import MAX_DEPTH, load_document
from cfaudit.nodes import Call, Diagnostic, Map, Node, Scalar, Seq, Source
from cfaudit.sources.local import MAX_FILE, LocalFiles

INCLUDE = "AWS::Include"
TRANSFORM = "Fn::Transform"


def included(source: Source, local: LocalFiles) -> Source:
    """The template with its local snippets. Raises ``TemplateError`` for a snippet that is no YAML or JSON."""
    if not any(INCLUDE in line for line in source.lines):
        return source
    including = _Including(local)
    root = including.root(source.root)
    return replace(source, root=root, diagnostics=(*source.diagnostics, *including.diagnostics))


class _Including:
    def __init__(self, local: LocalFiles) -> None:
        self._local = local
        self._read = 0
        self.diagnostics: list[Diagnostic] = []

    def root(self, node: Map[Node]) -> Map[Node]:
        """The template: the snippets in its sections, then those that the Transform section names."""
        made = self._map(node, 1)
        listed = made.entries.get("Transform")
        left: list[Node] = []
        for transform in listed.items if isinstance(listed, Seq) else (listed,) if listed else ():
            merged = _merged(made, self._snippet(transform, 1), "")
            made = merged or made
            left += [] if merged else [transform]
        if isinstance(listed, Seq):
            return replace(made, entries={**made.entries, "Transform": replace(listed, items=tuple(left))})
        return made if left or not listed else _without(made, "Transform")

    def _map(self, node: Map[Node], depth: int) -> Map[Node]:
        entries = {name: self._node(member, depth + 1) for name, member in node.entries.items() if name != TRANSFORM}
        same = all(node.entries[name] is member for name, member in entries.items())
        entries = {name: entries.get(name, member) for name, member in node.entries.items()}
        made = node if same else replace(node, entries=entries)
        return _merged(made, self._snippet(node.entries.get(TRANSFORM), depth), TRANSFORM) or made

    def _node(self, node: Node, depth: int) -> Node:
        match node:
            case Scalar():
                return node
            case Seq(items):
                made = tuple(self._node(item, depth + 1) for item in items)
                same = all(item is old for item, old in zip(made, items, strict=True))
                return node if same else replace(node, items=made)
            case Map():
                return self._map(node, depth)
            case Call("Fn::Transform", argument):
                return self._snippet(argument, depth) or node
            case Call(_, argument):
                inner = self._node(argument, depth + 1)
                return node if inner is argument else replace(node, argument=inner)

    def _snippet(self, transform: Node | None, depth: int) -> Node | None:
        """What a transform inserts, None where that is no local file or too much."""
        match transform:
            case Map({"Name": Scalar("AWS::Include"), "Parameters": Map({"Location": Scalar(path) as location})}):
                if "://" in path:
                    return None
            case _:
                return None
        file = self._local.text(path)
        if file is None:
            message = f"the file {path!r} that {INCLUDE} names is not beside the template"
            self.diagnostics.append(Diagnostic("warning", message, location.span))
            return None
        self._read += len(file.text)
        if self._read > 4 * MAX_FILE:
            return None
        node = load_document(file.text, file.shown)
        return node if depth + _height(node) <= MAX_DEPTH else None


def _merged(into: Map[Node], snippet: Node | None, marker: str) -> Map[Node] | None:
    """A map with the members of a snippet in the place of what asked for it; None where they do not fit."""
    if not isinstance(snippet, Map) or snippet.entries.keys() & into.entries.keys():
        return None
    left = _without(into, marker)
    return Map({**left.entries, **snippet.entries}, {**left.keys, **snippet.keys}, into.span)


def _without(node: Map[Node], name: str) -> Map[Node]:
    entries = {key: member for key, member in node.entries.items() if key != name}
    return Map(entries, {key: node.keys[key] for key in entries}, node.span)


def _height(node: Node) -> int:
    match node:
        case Scalar():
            return 1
        case Seq(items):
            return 1 + max((_height(item) for item in items), default=0)
        case Map(entries):
            return 1 + max((_height(member) for member in entries.values()), default=0)
        case Call(_, argument):
            return 1 + _height(argument)
