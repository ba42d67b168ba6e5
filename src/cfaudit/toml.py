"""A table of a TOML file in, the same as nodes out; a key's place is looked for, for tomllib keeps none."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import TypeAlias

from cfaudit.nodes import Map, Node, Scalar, Seq, Span, TemplateError

Plain: TypeAlias = "str | int | float | bool | date | datetime | time | list[Plain] | dict[str, Plain]"

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


def table_nodes(text: str, name: str, table: tuple[str, ...]) -> Node:
    """The table under a dotted name. Raises ``TemplateError`` for text that is no TOML or has no such table."""
    start = Span(name, 1, 1, 1, 1)
    try:
        held: Plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        line, column = (int(found[1]), int(found[2])) if found else (1, 1)
        message = _PLACE.sub("", str(error)).strip()
        raise TemplateError(Span(name, line, column, line, column + 1), f"no TOML: {message}", "mend it") from None
    for key in table:
        if not isinstance(held, dict) or key not in held:
            raise TemplateError(start, f"there is no table [{'.'.join(table)}]", "add it")
        held = held[key]
    return _Places(text.splitlines(), name).node(held, table, _header(text, table, name))


def _header(text: str, table: tuple[str, ...], name: str) -> Span:
    """Where a table begins: its own header, or the first of a table below it."""
    pattern = re.compile(r"^\s*\[+\s*" + r"\s*\.\s*".join(re.escape(key) for key in table))
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return Span(name, number, 1, number, len(line) + 1)
    return Span(name, 1, 1, 1, 1)


class _Places:
    """Looks for where keys stand, from their table's header on."""

    def __init__(self, lines: list[str], name: str) -> None:
        self._lines, self._name = lines, name

    def node(self, value: Plain, path: tuple[str, ...], span: Span) -> Node:
        """A plain value as a node at a place."""
        match value:
            case dict():
                spans = {key: self._key(key, (*path, key), span) for key in value}
                entries = {key: self.node(held, (*path, key), spans[key]) for key, held in value.items()}
                return Map(entries, spans, span)
            case list():
                return Seq(tuple(self.node(held, path, span) for held in value), span)
            case bool():
                return Scalar("true" if value else "false", span, "bool")
            case int():
                return Scalar(str(value), span, "int")
            case float():
                return Scalar(str(value), span, "float")
            case _:
                return Scalar(str(value), span)

    def _key(self, key: str, path: tuple[str, ...], span: Span) -> Span:
        word = rf"[\"']?{re.escape(key)}[\"']?"
        header = re.compile(r"^\s*\[+\s*" + r"\s*\.\s*".join(rf"[\"']?{re.escape(part)}[\"']?" for part in path))
        assigned = re.compile(rf"(?:^|[\s{{,.]){word}\s*[=.]")
        for number in range(span.line, len(self._lines) + 1):
            line = self._lines[number - 1]
            found = header.match(line) or assigned.search(line)
            if found:
                column = line.index(key, found.start()) + 1
                return Span(self._name, number, column, number, column + len(key))
        return span
