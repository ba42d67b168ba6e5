"""A template's text in, the same template as JSON out."""

from __future__ import annotations

import json
import re

from cfaudit.load import load_document
from cfaudit.nodes import Call, Map, Node, Scalar, Seq, TemplateError

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")
_TRUE = ("true", "yes", "on")
_WIDTH = 100


def to_json(text: str, path: str) -> str:
    """A YAML or JSON template as JSON: intrinsic functions in their long form, keys in their order.

    Raises ``TemplateError`` for text that cannot be read and for a local tag that JSON has no form for.
    """
    return _written(load_document(text, path), 0) + "\n"


def _written(node: Node, depth: int) -> str:
    match node:
        case Scalar():
            return _scalar(node)
        case Call(name, argument):
            if not node.known:
                raise TemplateError(node.span, f"the tag {name} has no form in JSON", "run the preprocessor first")
            return _call(name, _long(name, argument), depth)
        case Seq(items):
            short = f"[{', '.join(map(_scalar, scalars))}]" if (scalars := _scalars(items)) is not None else ""
            if short and len(short) + 2 * depth < _WIDTH:
                return short
            return _block("[", [_written(item, depth + 1) for item in items], "]", depth)
        case Map(entries):
            members = [f"{_quoted(key)}: {_written(value, depth + 1)}" for key, value in entries.items()]
            return _block("{", members, "}", depth) if members else "{}"


def _call(name: str, argument: Node, depth: int) -> str:
    member = f"{_quoted(name)}: {_written(argument, depth + 1)}"
    if "\n" not in member and len(member) + 2 * depth < _WIDTH:
        return f"{{{member}}}"
    return _block("{", [member], "}", depth)


def _long(name: str, argument: Node) -> Node:
    """``!GetAtt Table.Arn`` is a list of two in JSON, which has no dotted form."""
    if name == "Fn::GetAtt" and isinstance(argument, Scalar) and "." in argument.text:
        head, _, attribute = argument.text.partition(".")
        return Seq((Scalar(head, argument.span), Scalar(attribute, argument.span)), argument.span)
    return argument


def _scalars(items: tuple[Node, ...]) -> list[Scalar] | None:
    found = [item for item in items if isinstance(item, Scalar)]
    return found if len(found) == len(items) else None


def _block(opening: str, members: list[str], closing: str, depth: int) -> str:
    inner, outer = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    return f"{opening}{inner}{f',{inner}'.join(members)}{outer}{closing}"


def _scalar(node: Scalar) -> str:
    """A bool, a number that JSON writes the same way, null, or text; ``0123`` and ``2010-09-09`` stay text."""
    if node.kind == "bool":
        return "true" if node.text.lower() in _TRUE else "false"
    if node.kind == "null":
        return "null"
    if node.kind in ("int", "float") and _NUMBER.match(node.text):
        return node.text
    return _quoted(node.text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
