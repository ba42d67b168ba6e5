"""A property that holds a document as text in, the values that the document holds out, with the template's own spans.

The text may be a literal of any YAML style, an ``Fn::Sub``, an ``Fn::Join`` or a file beside the template. It is put
together from pieces that know where they were written; holes stand as tokens while the text is read as JSON.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from cfaudit.load import FinalError, load_document, load_json
from cfaudit.nodes import (
    Call,
    Deferred,
    Map,
    Node,
    Part,
    Scalar,
    ScalarKind,
    Seq,
    Source,
    Span,
    TemplateError,
    Unknown,
    Value,
    parts_of,
    spelled,
)
from cfaudit.resolve import Document, meaning

MAX_TEXT = 4 * 1024 * 1024
"""Step Functions takes definitions of at most 1 MB; substitutions must not make us build more than this."""

_HOLE = re.compile(r"\$\{(!?)([^{}]*)\}")
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_DYNAMIC = re.compile(r"\{\{resolve:([^{}]*)\}\}")
_BREAK = re.compile("\r\n|[\r\n]")
_OPEN, _CLOSE = "\ue000", "\ue001"
_TOKEN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_WORD = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^\s",:{}\[\]]+', re.DOTALL)


class Malformed(NamedTuple):
    """The text is no document, whatever deploy time fills in: where, what is wrong with it, and what mends it."""

    message: str
    hint: str
    span: Span


class Unread(NamedTuple):
    """The document cannot be read here; ``reason`` says why."""

    reason: str
    span: Span


Reading: TypeAlias = "Value | Malformed | Unread"
"""What reading a document gives."""


class Placeholder(NamedTuple):
    """A ``${name}`` that no substitution fills."""

    name: str
    span: Span


# Where written text stands -------------------------------------------------------------------------------------------


class _Run(NamedTuple):
    """Characters of a text from ``start`` on; ``width`` columns each, so that an escape stands as a whole."""

    start: int
    line: int
    column: int
    width: int


class _Written(NamedTuple):
    """A text as it stands in a file; without runs it all stands at ``span``."""

    text: str
    span: Span
    runs: tuple[_Run, ...] = ()
    starts: tuple[int, ...] = ()

    def begin(self, offset: int) -> tuple[int, int]:
        """Line and column at which the character at an offset begins."""
        run = self._run(offset)
        return (run.line, run.column + (offset - run.start) * run.width) if run else self.span[1:3]

    def end(self, offset: int) -> tuple[int, int]:
        """Line and column at which the character at an offset ends."""
        run = self._run(offset)
        return (run.line, run.column + (offset - run.start + 1) * run.width) if run else self.span[3:5]

    def _run(self, offset: int) -> _Run | None:
        return self.runs[max(bisect_right(self.starts, offset) - 1, 0)] if self.runs else None

    def stretch(self, start: int, end: int) -> Span:
        """The stretch of the file that a part of the text stands in."""
        return Span(self.span.file, *self.begin(start), *self.end(max(end - 1, start)))


def _written(scalar: Scalar, source: Source) -> _Written:
    """A scalar of a template with the place of each of its characters, where these can be told."""
    span, source = scalar.span, source.of(scalar.span.file)
    if span.file != source.path:
        return _Written(scalar.text, span)
    lines = source.lines[span.line - 1 : span.end_line]
    runs = tuple(_runs(scalar.text, span, list(lines)))
    return _Written(scalar.text, span, runs, tuple(run.start for run in runs))


def _whole(text: str, path: str) -> _Written:
    """A file with the place of each of its characters."""
    starts = [0, *(match.end() for match in _BREAK.finditer(text))]
    runs = tuple(_Run(start, number, 1, 1) for number, start in enumerate(starts, start=1))
    return _Written(text, Span(path, 1, 1, len(starts), len(text) - starts[-1] + 1), runs, tuple(starts))


_PROPERTIES = re.compile(r"(?:[!&]\S*(?:\s+|$))*")
_BLANK = " \t\r\n"
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    r"|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))"
)
_ESCAPED = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b"}
_ESCAPED |= {"N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029", "": ""}


def _runs(text: str, span: Span, lines: list[str]) -> list[_Run]:
    """Runs for the text of a scalar, found by reading its lines again; none when they do not say the same."""
    if not lines or len(lines) != span.end_line - span.line + 1:
        return []
    lines[-1] = lines[-1][: span.end_column - 1]
    columns = [1] * len(lines)
    columns[0] = span.column
    lines[0] = lines[0][span.column - 1 :]
    style, first = _style(lines, columns)
    found: list[_Run] = []
    at = 0
    for index in range(first, len(lines)):
        for raw, decoded, offset in _chunks(lines[index], style):
            plain = raw == decoded
            content = decoded.strip(_BLANK)
            if not content:
                continue
            column = columns[index] + offset + (len(decoded) - len(decoded.lstrip(_BLANK)) if plain else 0)
            while at < len(text) and text[at] in _BLANK:
                at += 1
            if not text.startswith(content, at):
                return []
            found.append(_Run(at, span.line + index, column, 1 if plain else len(raw)))
            at += len(content)
    return found if not text[at:].strip(_BLANK) else []


def _style(lines: list[str], columns: list[int]) -> tuple[str, int]:
    """The style of a scalar by its first character, and the line its text begins on; tags, anchors, quotes cut off."""
    for index, line in enumerate(lines):
        match = _PROPERTIES.match(line)
        head = match.end() if match else 0
        head += len(line[head:]) - len(line[head:].lstrip())
        rest = line[head:]
        if not rest:
            continue
        if rest[0] in "|>":
            return rest[0], index + 1
        quote = rest[0] if rest[0] in "'\"" else ""
        if quote:
            lines[-1] = lines[-1].removesuffix(quote)
            rest = lines[index][head + 1 :]
        lines[index] = rest
        columns[index] += head + len(quote)
        return quote, index
    return "", len(lines)


def _chunks(line: str, style: str) -> Iterator[tuple[str, str, int]]:
    """The pieces of a line: as written, as meant, and where. An escape is a piece of its own."""
    if style not in ("'", '"'):
        yield line, line, 0
        return
    at = 0
    for match in (_ESCAPE if style == '"' else _TWICE).finditer(line):
        if match.start() > at:
            yield line[at : match.start()], line[at : match.start()], at
        yield match[0], _decoded(match) if style == '"' else "'", match.start()
        at = match.end()
    if at < len(line):
        yield line[at:], line[at:], at


_TWICE = re.compile("''")


def _decoded(match: re.Match[str]) -> str:
    high, low, *single, plain = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    code = next((int(digits, 16) for digits in single if digits), None)
    if code is not None:
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    return _ESCAPED.get(plain, plain)


# Putting text together -----------------------------------------------------------------------------------------------


class _Segment(NamedTuple):
    """A piece of the text: known text, or one hole. It was written at ``at`` of ``written``, or is all of it."""

    text: str
    hole: Part | None
    written: _Written
    at: int

    def cut(self, start: int, end: int) -> _Segment:
        return self._replace(text=self.text[start:end], at=self.at + start)

    def stretch(self, start: int, end: int) -> Span:
        """Where a part of the piece stands."""
        return self.written.stretch(self.at + start, self.at + end)


def _fixed(parts: Iterable[Part], span: Span) -> Iterator[_Segment]:
    """Pieces that all stand in one place, as what fills a hole does."""
    for part in parts:
        text = part if isinstance(part, str) else ""
        yield _Segment(text, None if isinstance(part, str) else part, _Written(text, span), 0)


class _OpaqueError(Exception):
    """The text cannot be put together; says why."""


def _spelled(node: Node, document: Document) -> Iterator[_Segment]:
    """The pieces of the text that a node means."""
    match node:
        case Scalar(text):
            yield from _dynamic(_Segment(text, None, _written(node, document.source), 0))
        case Call("Fn::Sub", Scalar() as template) | Call("Fn::Sub", Seq((Scalar() as template,))):
            yield from _substituted(template, None, document)
        case Call("Fn::Sub", Seq((Scalar() as template, Map() as variables))):
            yield from _substituted(template, variables, document)
        case Call("Fn::Join", Seq((Scalar(delimiter), Seq(members)))):
            between = False
            for member in members:
                if isinstance(member, Call) and not parts_of(meaning(member, document.source, document.scenario)):
                    continue
                if between and delimiter:
                    yield from _fixed((delimiter,), member.span)
                yield from _spelled(member, document)
                between = True
        case Call("Fn::If", Seq((Scalar(condition), yes, no))) if condition in document.scenario.conditions:
            yield from _spelled(yes if document.scenario.conditions[condition] else no, document)
        case _:
            parts = parts_of(meaning(node, document.source, document.scenario))
            if not parts:
                raise _OpaqueError("only deploy time knows its text")
            yield from _fixed(parts, node.span)


def _substituted(template: Scalar, variables: Map[Node] | None, document: Document) -> Iterator[_Segment]:
    written = _written(template, document.source)
    known = _Segment(template.text, None, written, 0)
    at = 0
    for match in _HOLE.finditer(template.text):
        yield from _dynamic(known.cut(at, match.start()))
        at = match.end()
        span = written.stretch(*match.span())
        if match[1]:
            yield from _fixed((f"${{{match[2]}}}",), span)
            continue
        hole = Scalar(match[0], span)
        call = Call("Fn::Sub", Seq((hole, variables), span) if variables else hole, span)
        yield from _fixed(parts_of(meaning(call, document.source, document.scenario)), span)
    yield from _dynamic(known.cut(at, len(template.text)))


def _dynamic(segment: _Segment) -> Iterator[_Segment]:
    """A piece with each ``{{resolve:service:reference}}`` in it made a hole."""
    at = 0
    for match in _DYNAMIC.finditer(segment.text) if "{{resolve:" in segment.text else ():
        yield segment.cut(at, match.start())
        yield from _fixed((Deferred("dynamic", match[1]),), segment.stretch(*match.span()))
        at = match.end()
    yield segment.cut(at, len(segment.text))


def _filled(
    segments: Iterable[_Segment], substitutions: Mapping[str, Value], left: list[Placeholder]
) -> Iterator[_Segment]:
    """The pieces with every ``${name}`` that has a substitution replaced; ``left`` takes the others."""
    for segment in segments:
        at = 0
        for match in _PLACEHOLDER.finditer(segment.text):
            parts = parts_of(substitutions[match[1]]) if match[1] in substitutions else ()
            if parts:
                yield segment.cut(at, match.start())
                yield from _fixed(parts, segment.stretch(*match.span()))
                at = match.end()
            elif match[1] not in substitutions and _NAME.fullmatch(match[1]) and not _in_expression(segment, match):
                left.append(Placeholder(match[1], segment.stretch(*match.span())))
        yield segment.cut(at, len(segment.text))


_NAME = re.compile(r"[A-Za-z0-9_.:-]+")


def _in_expression(segment: _Segment, match: re.Match[str]) -> bool:
    """Whether a placeholder stands in a JSONata expression, where ``${`` groups."""
    before = segment.text[max(0, match.start() - 2000) : match.start()]
    return before.rfind("{%") > before.rfind("%}")


@dataclass(slots=True)
class _Text:
    """The text as it is read, its holes as tokens, and the pieces it was put together from.

    ``bare`` is where the first hole outside quotes stands: from there on deploy time decides whether it is JSON.
    """

    text: str = ""
    segments: list[_Segment] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    holes: list[Part] = field(default_factory=list)
    bare: int | None = None
    lines: list[int] = field(default_factory=list)

    def place(self, line: int, column: int) -> int:
        """The offset of a line and column of the text as it is read."""
        return min(self.lines[min(line, len(self.lines)) - 1] + column - 1, max(len(self.text) - 1, 0))

    def span(self, read: Span) -> Span:
        """Where a stretch of the text as it is read stands in the file."""
        first = self.place(read.line, read.column)
        last = max(self.place(read.end_line, read.end_column - 1) if read.end_column > 1 else first, first)
        begin, end = self._at(first), self._at(last)
        file = begin[0].written.span.file
        return Span(file, *begin[0].written.begin(begin[1]), *end[0].written.end(end[1]))

    def _at(self, offset: int) -> tuple[_Segment, int]:
        index = max(bisect_right(self.starts, offset) - 1, 0)
        segment = self.segments[index]
        return segment, segment.at + offset - self.starts[index]


def _composed(segments: Iterable[_Segment]) -> _Text:
    """The pieces as one text. A token outside quotes, in place of a number for example, gets quotes of its own."""
    held: list[_Segment] = []
    size = 0
    for segment in segments:
        if segment.text or segment.hole is not None:
            held.append(segment)
            size += len(segment.text)
            if size > MAX_TEXT:
                raise _OpaqueError("it is longer than a definition may be")
    holes: list[Part] = []
    texts = []
    for segment in held:
        if segment.hole is None:
            texts.append(segment.text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd"))
        else:
            texts.append(f"{_OPEN}{len(holes)}{_CLOSE}")
            holes.append(segment.hole)
    text = "".join(texts)
    quotes = [
        _Quote(place, closes)
        for match in _WORD.finditer(text)
        if _is_bare(match[0])
        for place, closes in zip(match.span(), (False, True), strict=True)
    ]
    made = _Text(holes=holes, bare=quotes[0].offset if quotes else None)
    _lay(made, held, texts, quotes)
    made.lines = [0, *(match.end() for match in _BREAK.finditer(made.text))]
    return made


class _Quote(NamedTuple):
    """A quote that is missing before an offset of the text."""

    offset: int
    closes: bool


def _is_bare(word: str) -> bool:
    return _OPEN in word and not word.startswith('"')


def _lay(made: _Text, held: list[_Segment], texts: list[str], quotes: list[_Quote]) -> None:
    """Lay the pieces one after the other and a quote wherever one is missing."""
    pieces: list[str] = []
    read = laid = next_quote = 0
    for segment, text in zip(held, texts, strict=True):
        at = 0
        cuts: list[tuple[str, int]] = []
        while next_quote < len(quotes) and quotes[next_quote].offset - read < len(text) + quotes[next_quote].closes:
            until = quotes[next_quote].offset - read
            cuts += [(text[at:until], at), ('"', max(until - quotes[next_quote].closes, 0))]
            at = until
            next_quote += 1
        for piece, start in (*cuts, (text[at:], at)):
            if piece:
                made.segments.append(segment if segment.hole else segment._replace(at=segment.at + start))
                made.starts.append(laid)
                pieces.append(piece)
                laid += len(piece)
        read += len(text)
    made.text = "".join(pieces)


# Reading it ----------------------------------------------------------------------------------------------------------


def from_node(
    node: Node, document: Document, substitutions: Mapping[str, Value]
) -> tuple[Reading, tuple[Placeholder, ...]]:
    """The JSON document that a node of the template holds as text, and the placeholders nothing fills."""
    if isinstance(node, Call) and node.name == "Fn::ToJsonString":
        return from_value(meaning(node.argument, document.source, document.scenario), substitutions)
    if isinstance(node, (Map, Seq)):
        return Malformed(
            "text is expected here", "write the map as Definition, or pass it to Fn::ToJsonString", node.span
        ), ()
    left: list[Placeholder] = []
    try:
        text = _composed(_filled(_spelled(node, document), substitutions, left))
    except _OpaqueError as error:
        return Unread(str(error), node.span), ()
    return _read(text, node.span), tuple(left)


def from_file(text: str, path: str, substitutions: Mapping[str, Value]) -> tuple[Reading, tuple[Placeholder, ...]]:
    """The JSON or YAML document that a file holds."""
    left: list[Placeholder] = []
    whole = Span(path, 1, 1, 1, 1)
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        pieces = (_Segment(text, None, _whole(text, path), 0),)
        try:
            return _read(_composed(_filled(pieces, substitutions, left)), whole), tuple(left)
        except _OpaqueError as error:
            return Unread(str(error), whole), ()
    try:
        node = load_document(text, path)
    except FinalError as error:
        return Unread(str(error), error.span), ()
    except TemplateError as error:
        return Malformed(str(error), error.hint, error.span), ()
    return from_value(_plain(node), substitutions)


def from_value(value: Value, substitutions: Mapping[str, Value]) -> tuple[Reading, tuple[Placeholder, ...]]:
    """A document that is written as values, its placeholders filled."""
    left: list[Placeholder] = []
    return _refilled(value, substitutions, left), tuple(left)


def _refilled(value: Value, substitutions: Mapping[str, Value], left: list[Placeholder]) -> Value:
    match value:
        case Scalar(text, span, kind) if "${" in text:
            filled = _filled(_fixed((text,), span), substitutions, left)
            return _assembled(((piece.text if piece.hole is None else piece.hole) for piece in filled), span, kind)
        case Unknown(span, parts) if any(isinstance(part, str) and "${" in part for part in parts):
            filled = _filled(_fixed(parts, span), substitutions, left)
            return _assembled(((piece.text if piece.hole is None else piece.hole) for piece in filled), span)
        case Seq(items, span):
            return Seq(tuple([_refilled(item, substitutions, left) for item in items]), span)
        case Map(entries, keys, span):
            return Map({name: _refilled(item, substitutions, left) for name, item in entries.items()}, keys, span)
        case _:
            return value


def _read(text: _Text, whole: Span) -> Reading:
    if len(text.holes) == 1 and _TOKEN.fullmatch(text.text.strip().strip('"')):
        return Unread("only deploy time knows its text", whole)
    try:
        node = load_json(text.text, whole.file)
    except FinalError as error:
        return Unread(str(error), text.span(error.span))
    except TemplateError as error:
        if text.bare is not None and text.place(error.span.line, error.span.column) >= text.bare:
            return Unread("what deploy time fills in decides whether it is JSON", whole)
        span = text.span(error.span) if text.segments else whole
        return Malformed(str(error), error.hint, span)
    return _placed(node, text)


def _placed(node: Node, text: _Text) -> Value:
    """What was read, with holes for tokens and the spans of the file."""
    match node:
        case Scalar(raw, span, kind):
            return _assembled(_untokened(raw, text.holes), text.span(span), kind)
        case Seq(items, span):
            return Seq(tuple([_placed(item, text) for item in items]), text.span(span))
        case Map(entries, keys, span):
            names = {name: spelled(_untokened(name, text.holes)) for name in entries}
            placed = {names[name]: _placed(item, text) for name, item in entries.items()}
            return Map(placed, {names[name]: text.span(key) for name, key in keys.items()}, text.span(span))
        case Call(name, argument, span):
            here = text.span(span)
            return Map({name: _placed(argument, text)}, {name: here}, here)


def _plain(node: Node) -> Value:
    """The values of a document in which functions of CloudFormation mean nothing."""
    match node:
        case Scalar():
            return node
        case Seq(items, span):
            return Seq(tuple([_plain(item) for item in items]), span)
        case Map(entries, keys, span):
            return Map({name: _plain(item) for name, item in entries.items()}, keys, span)
        case Call(name, argument, span):
            return Map({name: _plain(argument)}, {name: span}, span)


def _untokened(text: str, holes: list[Part]) -> Iterator[Part]:
    at = 0
    for match in _TOKEN.finditer(text):
        yield text[at : match.start()]
        yield holes[int(match[1])]
        at = match.end()
    yield text[at:]


def _assembled(parts: Iterable[Part], span: Span, kind: ScalarKind = "str") -> Value:
    held: list[Part] = []
    for part in parts:
        if isinstance(part, str) and held and isinstance(held[-1], str):
            held[-1] += part
        elif part != "":
            held.append(part)
    if all(isinstance(part, str) for part in held):
        text = "".join(part for part in held if isinstance(part, str))
        return Scalar(text, span, kind)
    return Unknown(span, tuple(held))
