"""Text in, nodes with spans out. Hostile input ends here.

YAML is read from libyaml's event stream, one event at a time, so that nesting is bounded before anything recurses;
JSON has a reader of its own because YAML's rejects valid JSON (surrogate pairs, keys over 1,024 characters, DEL).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NoReturn, Protocol

import yaml

from cfaudit.nodes import (
    Call,
    Diagnostic,
    Map,
    Node,
    NotTemplateError,
    Scalar,
    ScalarKind,
    Seq,
    Source,
    Span,
    TemplateError,
)

MAX_DEPTH = 128
MAX_NODES = 250_000
MAX_COPIED = 100_000
MAX_BYTES = 16 * 1024 * 1024

FUNCTIONS = frozenset(
    {
        "Ref",
        "Condition",
        "Fn::And",
        "Fn::Base64",
        "Fn::Cidr",
        "Fn::Contains",
        "Fn::EachMemberEquals",
        "Fn::EachMemberIn",
        "Fn::Equals",
        "Fn::FindInMap",
        "Fn::GetAZs",
        "Fn::GetAtt",
        "Fn::GetStackOutput",
        "Fn::If",
        "Fn::ImportValue",
        "Fn::Join",
        "Fn::Length",
        "Fn::Not",
        "Fn::Or",
        "Fn::RefAll",
        "Fn::Select",
        "Fn::Split",
        "Fn::Sub",
        "Fn::ToJsonString",
        "Fn::Transform",
        "Fn::ValueOf",
        "Fn::ValueOfAll",
    }
)

SECTIONS = ("Parameters", "Mappings", "Conditions", "Resources", "Outputs", "Rules", "Metadata")

_SHORT = {name.removeprefix("Fn::"): name for name in FUNCTIONS}
_KINDS: dict[str | None, ScalarKind] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "null": "null",
}
_KIND = re.compile(
    r"""(?:(?P<null>~|null|Null|NULL|)
    |(?P<bool>yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)
    |(?P<int>[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*))
    |(?P<float>[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?))
    )\Z""",
    re.VERBOSE,
)
_YAML_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_JSON_BREAK = re.compile("\r\n|[\r\n]")
_UNUSUAL_BREAK = re.compile("[\r\x85\u2028\u2029]")


def load(text: str, path: str) -> Source:
    """Read one template.

    ``text`` is the file's content, ``path`` names it in spans. Raises ``TemplateError`` for text that is no YAML or
    JSON, is too deep or too large, repeats a key or has a section of the wrong shape, ``NotTemplateError`` for a
    document that is no CloudFormation template.
    """
    text = text.removeprefix("\ufeff")
    try:
        if not text.strip():
            raise NotTemplateError(Span(path, 1, 1, 1, 1), "the file is empty", "name a CloudFormation template")
        node, diagnostics, form = _read(text, path)
        root = _template(node)
    except TemplateError as error:
        error.excerpt = _excerpt(text, error.span)
        raise
    return Source(path, _lines(text, form), root, form, tuple(diagnostics))


def load_document(text: str, path: str) -> Node:
    """Read any YAML or JSON document, a configuration for example, with the same spans, bounds and errors."""
    text = text.removeprefix("\ufeff")
    try:
        return _read(text, path)[0]
    except TemplateError as error:
        error.excerpt = _excerpt(text, error.span)
        raise


def load_json(text: str, path: str) -> Node:
    """Read text that must be JSON, a document inside a template for example, with the same spans, bounds and errors."""
    if len(text) > MAX_BYTES:
        raise TemplateError(Span(path, 1, 1, 1, 1), f"the text is larger than {MAX_BYTES:,} characters", "split it")
    return _JsonReader(text, path).document()


Format = Literal["yaml", "json"]


def _lines(text: str, form: Format) -> tuple[str, ...]:
    """The lines as the reader of the format counts them: YAML 1.1 knows more line breaks than JSON."""
    if not _UNUSUAL_BREAK.search(text):
        return tuple(text.split("\n"))
    return tuple((_YAML_BREAK if form == "yaml" else _JSON_BREAK).split(text))


def _excerpt(text: str, span: Span) -> str:
    lines = _lines(text, "json" if _looks_like_json(text, span.file) else "yaml")
    return lines[span.line - 1] if span.line <= len(lines) else ""


def _looks_like_json(text: str, path: str) -> bool:
    """Whether it opens as JSON does; YAML's flow style opens with a brace too, but then hardly with a quote."""
    return bool(re.match(r"\s*\{" if path.endswith(".json") else r'\s*\{\s*["}]', text))


class FinalError(TemplateError):
    """The text is well formed, but too deep, too large or ambiguous: another reader would not help."""


def _read(text: str, path: str) -> tuple[Node, list[Diagnostic], Format]:
    if len(text) > MAX_BYTES:
        raise TemplateError(Span(path, 1, 1, 1, 1), f"the file is larger than {MAX_BYTES:,} characters", "split it")
    if not _looks_like_json(text, path):
        return *_read_yaml(text, path), "yaml"
    try:
        return _JsonReader(text, path).document(), [], "json"
    except FinalError:
        raise
    except TemplateError as json_error:
        if path.endswith(".json"):
            raise
        try:
            return *_read_yaml(text, path), "yaml"
        except TemplateError:
            raise json_error from None


# YAML ----------------------------------------------------------------------------------------------------------------


class _Mark(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


def _place(mark: _Mark | None) -> tuple[int, int]:
    """The 1-based line and column of a mark; PyYAML's types allow an event to have none, its parsers do not."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Frame:
    """A collection being read: its children so far, the pending key, and what it needs to become a node."""

    __slots__ = (
        "anchor",
        "end",
        "entries",
        "height",
        "is_map",
        "items",
        "key",
        "key_span",
        "keys",
        "merged",
        "size",
        "start",
        "tag",
    )

    def __init__(self, event: yaml.CollectionStartEvent, *, is_map: bool) -> None:
        self.is_map = is_map
        self.tag: str | None = event.tag
        self.anchor: str | None = event.anchor
        self.start = _place(event.start_mark)
        self.end = _place(event.end_mark)
        self.items: list[Node] = []
        self.entries: dict[str, Node] = {}
        self.keys: dict[str, Span] = {}
        self.merged: set[str] = set()
        self.key: str | None = None
        self.key_span: Span | None = None
        self.size = 1
        self.height = 1


def _events(text: str) -> Iterator[yaml.Event]:
    parser = yaml.CLoader(text) if yaml.__with_libyaml__ else yaml.Loader(text)
    while (event := parser.get_event()) is not None:
        yield event


def _read_yaml(text: str, path: str) -> tuple[Node, list[Diagnostic]]:
    reader = _YamlReader(text, path)
    if not yaml.__with_libyaml__:
        message = "PyYAML has no libyaml here; reading YAML is about ten times slower"
        reader.diagnostics.append(Diagnostic("warning", message, Span(path, 1, 1, 1, 1), "install PyYAML's wheel"))
    try:
        if illegal := _ILLEGAL.search(text):
            raise _illegal(text, illegal, path)
        for event in _events(text):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(error, text, path) from None
    if reader.root is None:
        raise NotTemplateError(Span(path, 1, 1, 1, 1), "the file holds no document", "name a CloudFormation template")
    return reader.root, reader.diagnostics


_ILLEGAL = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML forbids, control characters and halves of surrogate pairs; libyaml would name only the byte."""


def _illegal(text: str, found: re.Match[str], path: str) -> TemplateError:
    before = _lines(text[: found.start()], "yaml")
    line, column = len(before), len(before[-1]) + 1
    message = f"the character U+{ord(found[0]):04X} is not allowed in YAML"
    return TemplateError(Span(path, line, column, line, column + 1), message, "remove it, or escape it")


def _yaml_error(error: yaml.MarkedYAMLError, text: str, path: str) -> TemplateError:
    mark: _Mark | None = error.problem_mark or error.context_mark
    if mark and error.context_mark and not text[mark.index :].strip():
        mark = error.context_mark  # what the end of the text leaves open
    line, column = _place(mark)
    problem = error.problem or "the text is not YAML"
    message = f"{problem} ({error.context})" if error.context else problem
    hint = next((hint for known, hint in _YAML_HINTS if known in message), "mend the YAML at this place")
    return TemplateError(Span(path, line, column, line, column + 1), message, hint)


_YAML_HINTS = (
    ("cannot start any token", "YAML is indented with spaces, never tabs; quote a text that starts with @ or `"),
    ("mapping values are not allowed", "quote a text that contains ': ', and check the indentation"),
    ("did not find expected key", "check the indentation of this line against the lines above it"),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("did not find expected ',' or", "close the bracket, or put a comma between the members"),
    ("found unexpected end of stream", "close the quote or the bracket that is still open"),
    ("did not find expected '-' indicator", "the members of a list stand in one column"),
)


class _YamlReader:
    """Builds nodes from events; the only recursion is the reader's own stack, which is bounded."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self._lines = _lines(text, "yaml")
        self.root: Node | None = None
        self.diagnostics: list[Diagnostic] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._open_anchors: set[str] = set()
        self._nodes = self._copied = 0

    def take(self, event: yaml.Event) -> None:
        """One event in; nodes grow."""
        if isinstance(event, yaml.ScalarEvent):
            span = self._span(event)
            node = self._scalar(event, span)
            if event.anchor:
                self._anchors[event.anchor] = (node, 1, 0)
            self._add(node, 1, 0, span)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise TemplateError(
                self._span(event), "a second document starts here", "only one document is read; remove the '---'"
            )

    def _span(self, event: yaml.Event) -> Span:
        start, end = _place(event.start_mark), _place(event.end_mark)
        if isinstance(event, yaml.ScalarEvent) and event.style in ("|", ">"):
            end = self._last_content(start, end)
        return Span(self.path, *start, *end)

    def _last_content(self, start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
        """The end of a block scalar's last character that is no white space; libyaml's end is a later line's start."""
        line, column = end
        text = self._lines[line - 1][: column - 1].rstrip()
        while line > start[0] and not text:
            line -= 1
            text = self._lines[line - 1].rstrip()
        return line, len(text) + 1

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _too_deep(self._span(event))
        frame = _Frame(event, is_map=isinstance(event, yaml.MappingStartEvent))
        if frame.anchor:
            self._open_anchors.add(frame.anchor)
        self._stack.append(frame)

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        frame = self._stack.pop()
        end = _place(event.end_mark)
        if end > _place(event.start_mark):
            frame.end = end
        span = Span(self.path, *frame.start, *frame.end)
        node = _map(frame.entries, frame.keys, span) if frame.is_map else Seq(tuple(frame.items), span)
        node = self._tagged(node, frame.tag, span)
        if frame.anchor:
            self._open_anchors.discard(frame.anchor)
            self._anchors[frame.anchor] = (node, frame.size, frame.height)
        self._add(node, frame.size, frame.height, span)

    def _alias(self, event: yaml.AliasEvent) -> None:
        span = self._span(event)
        if event.anchor in self._open_anchors:
            raise TemplateError(span, f"the alias *{event.anchor} contains itself", "write the value out")
        if event.anchor not in self._anchors:
            message = f"the alias *{event.anchor} has no anchor above it"
            raise TemplateError(span, message, f"define &{event.anchor} first")
        if not self._copied:
            message = "CloudFormation takes no YAML aliases; what they stand for is judged"
            self.diagnostics.append(Diagnostic("info", message, span, "'aws cloudformation package' writes them out"))
        node, size, height = self._anchors[event.anchor]
        self._copied += size
        if self._copied > MAX_COPIED:
            message = f"the aliases stand for more than {MAX_COPIED:,} values"
            raise FinalError(span, message, "aliases of aliases multiply: write fewer")
        if len(self._stack) + height > MAX_DEPTH:
            raise _too_deep(span)
        self._add(node, size, height, span)

    def _add(self, node: Node, size: int, height: int, span: Span) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _too_large(span)
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        frame.end = (span.end_line, span.end_column)
        if not frame.is_map:
            frame.items.append(node)
        elif frame.key is None:
            self._key(frame, node, span)
        else:
            self._entry(frame, node)

    def _key(self, frame: _Frame, node: Node, span: Span) -> None:
        if not isinstance(node, Scalar):
            raise TemplateError(span, "a key must be text", "quote the key, or mend the braces around it")
        if node.text in frame.keys and node.text not in frame.merged:
            raise _repeated(node.text, frame.keys[node.text], span)
        frame.key, frame.key_span = node.text, span

    def _entry(self, frame: _Frame, node: Node) -> None:
        key, span = frame.key, frame.key_span
        frame.key = frame.key_span = None
        if key is None or span is None:
            return
        if key == "<<":
            self._merge(frame, node, span)
        else:
            frame.entries[key] = node
            frame.keys[key] = span
            frame.merged.discard(key)

    def _merge(self, frame: _Frame, node: Node, span: Span) -> None:
        for merged in node.items if isinstance(node, Seq) else (node,):
            if isinstance(merged, Call):  # a map of one member that is named like a function
                merged = Map({merged.name: merged.argument}, {merged.name: merged.span}, merged.span)
            if not isinstance(merged, Map):
                raise TemplateError(span, "a merge key takes a map or a list of maps", "write the members out")
            for name, value in merged.entries.items():
                if name not in frame.entries:
                    frame.entries[name] = value
                    frame.keys[name] = merged.keys[name]
                    frame.merged.add(name)

    def _scalar(self, event: yaml.ScalarEvent, span: Span) -> Node:
        kind: ScalarKind = "str"
        if not event.style and event.tag is None:
            kind = _kind(event.value)
        is_key = bool(self._stack) and self._stack[-1].is_map and self._stack[-1].key is None
        text = "" if kind == "null" and not is_key else event.value
        return self._tagged(Scalar(text, span, kind), event.tag, span)

    def _tagged(self, node: Node, tag: str | None, span: Span) -> Node:
        if tag is None or tag == "!":
            return node
        if tag.startswith("tag:yaml.org,2002:"):
            kind = tag.removeprefix("tag:yaml.org,2002:")
            if kind in _KINDS or kind in ("map", "seq"):
                return Scalar(node.text, span, _KINDS[kind]) if isinstance(node, Scalar) and kind in _KINDS else node
        name = _SHORT.get(tag.removeprefix("!"))
        if name:
            return Call(name, node, span)
        message = f"the tag {tag} is not CloudFormation's; its value is taken as unknown"
        self.diagnostics.append(Diagnostic("warning", message, span, "run the preprocessor first and audit its output"))
        return Call(tag, node, span, known=False)


def _kind(text: str) -> ScalarKind:
    match = _KIND.match(text)
    return _KINDS.get(match.lastgroup, "str") if match else "str"


def _map(entries: Mapping[str, Node], keys: Mapping[str, Span], span: Span) -> Node:
    """A map, or the function that a map of one member is; ``Condition`` is a function only inside Conditions."""
    if len(entries) == 1:
        ((name, argument),) = entries.items()
        if name in FUNCTIONS and name != "Condition":
            return Call(name, argument, span)
    return Map(entries, keys, span)


def _repeated(key: str, first: Span, span: Span) -> TemplateError:
    message = f"the key {key!r} stands here more than once (first on line {first.line})"
    return FinalError(span, message, "keep one of them: a reader would silently take the last")


def _too_deep(span: Span) -> TemplateError:
    return FinalError(span, f"the document is nested more than {MAX_DEPTH} levels deep", "flatten it")


def _too_large(span: Span) -> TemplateError:
    return FinalError(span, f"the document has more than {MAX_NODES:,} values", "split the template")


# JSON ----------------------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"[ \t\r\n]*")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_STRING = re.compile(r'"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)"')
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unescape(match: re.Match[str]) -> str:
    high, low, single, plain = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    if single:
        code = int(single, 16)
        return chr(code) if not 0xD800 <= code <= 0xDFFF else "\ufffd"
    return _ESCAPES[plain]


class _JsonReader:
    """A JSON reader (RFC 8259) that keeps positions and bounds depth."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = _LONE_RETURN.sub("\n", text), path
        self.at, self.line, self.line_start = 0, 1, 0
        self.depth = self.nodes = 0

    def document(self) -> Node:
        """The one value of the file; raises ``TemplateError``."""
        node = self._value()
        self._space()
        if self.at < len(self.text):
            self._fail("there is more text after the end of the document", "remove it, or a bracket closed too early")
        return node

    def _space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        end = match.end() if match else self.at
        newlines = self.text.count("\n", self.at, end)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rfind("\n", self.at, end) + 1
        self.at = end

    def _span(self, start: int, line: int, line_start: int) -> Span:
        return Span(self.path, line, start - line_start + 1, self.line, self.at - self.line_start + 1)

    def _fail(self, message: str, hint: str) -> NoReturn:
        column = self.at - self.line_start + 1
        raise TemplateError(Span(self.path, self.line, column, self.line, column + 1), message, hint)

    def _value(self) -> Node:
        self._space()
        start, line, line_start = self.at, self.line, self.line_start
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _too_large(self._span(start, line, line_start))
        character = self.text[start : start + 1]
        if character == '"':
            return Scalar(self._string(), self._span(start, line, line_start))
        if character in ("{", "["):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise _too_deep(Span(self.path, line, start - line_start + 1, line, start - line_start + 2))
            self.at += 1
            node = self._object(start, line, line_start) if character == "{" else self._array(start, line, line_start)
            self.depth -= 1
            return node
        match = _WORD.match(self.text, start)
        if not match:
            found = f"found {character!r}" if character else "the text ends"
            self._fail(f"a JSON value is expected, {found}", "check for a trailing comma, a comment or a missing quote")
        self.at = match.end()
        word = match[0]
        kind: ScalarKind = "bool" if word in ("true", "false") else "null" if word == "null" else "int"
        if kind == "int" and not word.lstrip("-").isdigit():
            kind = "float"
        return Scalar("" if kind == "null" else word, self._span(start, line, line_start), kind)

    def _string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if not match:
            message = "this text has no end or an illegal character in it"
            self._fail(message, 'close it with ", escape \\ and line breaks')
        self.at = match.end()
        raw = match[1]
        return _ESCAPE.sub(_unescape, raw) if "\\" in raw else raw

    def _array(self, start: int, line: int, line_start: int) -> Node:
        items: list[Node] = []
        while not self._ends("]", first=not items):
            items.append(self._value())
        return Seq(tuple(items), self._span(start, line, line_start))

    def _object(self, start: int, line: int, line_start: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        while not self._ends("}", first=not entries):
            self._space()
            if self.text[self.at : self.at + 1] != '"':
                self._fail("a key in double quotes is expected", "quote the key, or remove the comma before '}'")
            at, key_line, key_start = self.at, self.line, self.line_start
            key = self._string()
            span = self._span(at, key_line, key_start)
            if key in keys:
                raise _repeated(key, keys[key], span)
            self._space()
            if self.text[self.at : self.at + 1] != ":":
                self._fail("':' is expected after the key", "put a colon between the key and its value")
            self.at += 1
            entries[key] = self._value()
            keys[key] = span
        return _map(entries, keys, self._span(start, line, line_start))

    def _ends(self, bracket: str, *, first: bool) -> bool:
        self._space()
        character = self.text[self.at : self.at + 1]
        if character == bracket:
            self.at += 1
            return True
        if not first:
            if character != ",":
                self._fail(f"',' or '{bracket}' is expected", "put a comma between the members, or close the bracket")
            self.at += 1
            self._space()
            if self.text[self.at : self.at + 1] == bracket:
                self._fail("a comma stands before the closing bracket", "remove the comma")
        return False


# The shape of a template ---------------------------------------------------------------------------------------------


def _template(node: Node) -> Map[Node]:
    """The root map of a template, its sections checked to have the shape CloudFormation gives them."""
    if not isinstance(node, Map):
        raise NotTemplateError(node.span, "this is no CloudFormation template: its root is not a map", _NAME_ONE)
    resources = node.entries.get("Resources")
    declared = "AWSTemplateFormatVersion" in node.entries or "Transform" in node.entries
    if resources is None:
        if declared:
            raise TemplateError(node.span, "the template has no Resources section", "Resources is required")
        raise NotTemplateError(_first(node), "this is no CloudFormation template: it has no Resources", _NAME_ONE)
    typed = isinstance(resources, Map) and any(
        isinstance(resource, Map) and "Type" in resource.entries for resource in resources.entries.values()
    )
    if not typed and not declared:
        raise NotTemplateError(
            node.keys["Resources"], "this is no CloudFormation template: no resource has a Type", _NAME_ONE
        )
    for section in SECTIONS:
        value = node.entries.get(section)
        if value is not None and not isinstance(value, (Map, Call)) and not _is_null(value):
            hint = f"write '{section}:' with named members below it"
            raise TemplateError(value.span, f"{section} must be a map", hint)
    if isinstance(resources, Map):
        _check_resources(resources)
    for section in ("Parameters", "Mappings", "Outputs"):
        members = node.entries.get(section)
        if isinstance(members, Map):
            _check_members(members, section)
    return node


_NAME_ONE = "name a template with a Resources map whose members have a Type"


def _first(node: Map[Node]) -> Span:
    return next(iter(node.keys.values()), node.span)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "null"


def _check_members(members: Map[Node], section: str) -> None:
    for name, member in members.entries.items():
        if not isinstance(member, (Map, Call)) and not name.startswith("Fn::"):
            raise TemplateError(members.keys[name], f"{section}.{name} must be a map", "give it its members")
        if section == "Parameters" and isinstance(member, Map) and "Type" not in member.entries:
            raise TemplateError(members.keys[name], f"the parameter {name} has no Type", "add 'Type: String'")


def _check_resources(resources: Map[Node]) -> None:
    for name, resource in resources.entries.items():
        where = resources.keys[name]
        if name.startswith("Fn::") or _is_preprocessed(resource):
            continue
        if not isinstance(resource, Map):
            raise TemplateError(where, f"the resource {name} must be a map", "give it a Type and Properties")
        kind = resource.entries.get("Type")
        if kind is None and "Fn::Transform" not in resource.entries:
            raise TemplateError(where, f"the resource {name} has no Type", "add its Type, for example AWS::S3::Bucket")
        if kind is not None and not _is_preprocessed(kind) and (not isinstance(kind, Scalar) or _is_null(kind)):
            raise TemplateError(kind.span, f"the Type of {name} must be text", "for example AWS::S3::Bucket")
        properties = resource.entries.get("Properties")
        if properties is not None and not isinstance(properties, (Map, Call)) and not _is_null(properties):
            raise TemplateError(properties.span, f"the Properties of {name} must be a map", "give each property a name")


def _is_preprocessed(node: Node) -> bool:
    """Whether a macro or a preprocessor's tag stands here, so that the text does not show what will."""
    return isinstance(node, Call) and (not node.known or node.name == "Fn::Transform")
