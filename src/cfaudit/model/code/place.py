"""A template in, the text of each function's code out, with what it takes to say where in which file it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cfaudit.model.code.program import HOLE
from cfaudit.model.code.tree import Range
from cfaudit.nodes import Part, Source, Span

_WINDOW = 40


class _Line(NamedTuple):
    """Where a line of inline code stands in the template; ``width`` is set where its columns differ (escapes)."""

    line: int
    column: int
    width: int | None


@dataclass(frozen=True, slots=True)
class Text:
    """The text of one file of code.

    ``path`` is its name for imports, ``file`` for people. ``lines`` is empty for a file, and for inline code says where
    in the template each line stands, as far as it could be found; ``whole`` is the span of all of it.
    """

    path: str
    file: str
    text: str
    whole: Span
    lines: tuple[_Line | None, ...] = ()
    holes: tuple[Part, ...] = ()

    def span(self, at: Range) -> Span:
        """Where a stretch of the code stands in its file or in the template."""
        row, column, end_row, end_column = at
        rows = self.text.split("\n") if len(self.text) < 4096 else _cut(self.text, row, end_row)
        start, end = _points(rows, row, column), _points(rows, end_row, end_column)
        if not self.lines:
            return Span(self.file, row + 1, start + 1, end_row + 1, end + 1)
        first, last = self._placed(row), self._placed(end_row)
        if first is None:
            return self.whole
        end_place = last or first
        return Span(self.file, *_point(first, start, 0), *_point(end_place, end, end_place.width or 0))

    def _placed(self, row: int) -> _Line | None:
        return self.lines[row] if row < len(self.lines) else None


def _point(line: _Line, column: int, width: int) -> tuple[int, int]:
    return line.line, (line.column + width) if line.width is not None else max(line.column + column, 1)


def _cut(text: str, row: int, end_row: int) -> list[str]:
    return text.split("\n", end_row + 1)[: end_row + 1]


def _points(rows: Sequence[str], row: int, column: int) -> int:
    """A byte column as one in code points."""
    text = rows[row] if row < len(rows) else ""
    return column if text.isascii() else len(text.encode()[:column].decode("utf-8", "replace"))


def inline(source: Source, whole: Span, parts: Sequence[Part], path: str) -> Text:
    """The text of code in a template; ``parts`` are its known pieces and holes."""
    holes = tuple(piece for piece in parts if not isinstance(piece, str))
    pieces, count = [], 0
    for piece in parts:
        if isinstance(piece, str):
            pieces.append(piece)
        else:
            pieces.append(f"{HOLE}{count}_")
            count += 1
    text = "".join(pieces).replace("\r\n", "\n")
    return Text(path, whole.file, text, whole, tuple(_aligned(source, whole, text)), holes)


def _aligned(source: Source, whole: Span, text: str) -> Iterator[_Line | None]:
    """Each line of the code, found in the template's lines in order from where the value starts."""
    line, column = whole.line, whole.column
    for row in text.split("\n"):
        found = _found(source, whole.end_line, line, column, row)
        if found:
            line, column = found.line, found.column + len(row.rstrip())
        yield found


def _found(source: Source, end: int, line: int, column: int, row: str) -> _Line | None:
    indent = len(row) - len(row.lstrip())
    wanted = row.strip()
    if HOLE in wanted:
        wanted = max(_pieces(wanted), key=len)
        indent = row.index(wanted)
    if not wanted or (HOLE in row and len(wanted) < 4):
        return None
    escaped = json.dumps(wanted, ensure_ascii=False)[1:-1]
    for number in range(line, min(end, line + _WINDOW) + 1):
        text = source.lines[number - 1] if number <= len(source.lines) else ""
        start = column - 1 if number == line else 0
        if (position := text.find(wanted, start)) >= 0:
            return _Line(number, position - indent + 1, None)
        if escaped != wanted and (position := text.find(escaped, start)) >= 0:
            return _Line(number, position + 1, len(escaped))
    return None


def _pieces(text: str) -> Iterator[str]:
    """The text between holes."""
    head, *rest = text.split(HOLE)
    yield head
    for piece in rest:
        yield piece.partition("_")[2]
