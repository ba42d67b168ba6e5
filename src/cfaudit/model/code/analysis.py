"""The text of a handler in, the facts of its code out. The first module on the way that imports tree-sitter."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from cfaudit.model.code.calls import Calls
from cfaudit.model.code.facts import OPEN_SHAPE, Code, Language, SdkCall, Shape, Word
from cfaudit.model.code.outcome import Outcomes
from cfaudit.model.code.place import Text
from cfaudit.model.code.program import (
    HOLE,
    Closure,
    Input,
    Kind,
    Meaning,
    Path,
    Program,
    Struct,
    Variable,
    Visit,
)
from cfaudit.model.code.sdk import Obscure, is_harmless
from cfaudit.model.code.tree import (
    Call,
    Expr,
    Function,
    Home,
    Import,
    Index,
    Joined,
    Member,
    Mixed,
    Module,
    Object,
    Range,
    UnreadableError,
)
from cfaudit.model.code.tree import Text as Literal
from cfaudit.model.declarations import Declarations
from cfaudit.nodes import Span

MAX_MODULES = 40
MAX_CODE = 256 * 1024
MAX_WORD = 80

_SUFFIXES = (".mjs", ".js", ".cjs", ".ts", ".mts")
_TYPED = (".ts", ".mts")


def analyse(template: Declarations, function: str, text: Text, folder: str, export: str | None) -> Code:
    """The facts of one function's code. Raises ``UnreadableError`` for code that cannot be read."""
    reader = _Reader(template, folder)
    entry = reader.module(text)
    dotted = text.path.endswith(".py")
    program = Program(reader.load, reader.home, entry, dotted=dotted)
    handler, wrapped = _handler(program, entry, export)
    program.handler = handler
    visits = program.walk([entry.body, *([handler] if handler else [])])
    gathered = _Gathering(program, reader, visits)
    gathered.run()
    outcomes = Outcomes(program, visits, dotted=dotted)
    sees_outcome = handler is not None and not wrapped and not handler.generator and not _changed(handler)
    idle = None if not sees_outcome or gathered.unread else not gathered.busy
    shape = outcomes.shape(handler) if handler and sees_outcome else OPEN_SHAPE
    return Code(
        function,
        readable=True,
        reason="",
        span=text.span(handler.at) if handler and reader.home[handler] is entry else text.whole,
        inline=bool(text.lines),
        language=_language(text.path),
        files=tuple(each.file for each in reader.texts.values()),
        handler=reader.span(handler.at, reader.home[handler]) if handler else None,
        calls=tuple(gathered.calls),
        unread=tuple(gathered.unread),
        variables=tuple(gathered.variables.values()),
        variables_open=gathered.variables_open,
        returns=shape,
        idle=idle,
        constant=(idle and outcomes.constant(handler)) if handler else None,
        event_logs=tuple(gathered.event_logs),
        metrics=tuple(gathered.metrics),
        http=tuple(gathered.http),
        idempotency=tuple(gathered.idempotency),
        custom_resource=gathered.custom_resource,
        words=gathered.words,
    )


def _language(path: str) -> Language:
    return "python" if path.endswith(".py") else "typescript" if path.endswith(_TYPED) else "javascript"


def _handler(program: Program, entry: Module, export: str | None) -> tuple[Function | None, bool]:
    """The handler's function, and whether something else is called in its place that wraps it."""
    if export is None:
        return None, False
    meanings = program.exported(entry, export)
    for meaning in meanings:
        if isinstance(meaning, Closure):
            return meaning.function, len(meanings) > 1
    for meaning in meanings:
        for step in meaning.steps if isinstance(meaning, Path) else ():
            for argument in step.arguments if isinstance(step, Call) else ():
                for given in program.meanings(argument):
                    if isinstance(given, Closure):
                        return given.function, True
    return None, False


_SAME_RESULT = ("inject_lambda_context", "capture_lambda_handler", "log_metrics")


def _changed(handler: Function) -> bool:
    """Whether a decorator may change what the handler returns."""
    for decorator in handler.decorators:
        named = decorator.callee if isinstance(decorator, Call) else decorator
        if not isinstance(named, Member) or named.key not in _SAME_RESULT:
            return True
    return False


class _Reader:
    """Parses files as they are imported; ``texts`` are those that were read, by path."""

    def __init__(self, template: Declarations, folder: str) -> None:
        self._template = template
        self._folder = folder
        self._modules: dict[str, Module | None] = {}
        self._asked: dict[tuple[str, str], Module | None] = {}
        self.texts: dict[str, Text] = {}
        self.home: Home = {}
        self.failed: list[tuple[Module, str]] = []

    def span(self, at: Range, module: Module) -> Span:
        """Where a stretch of a module stands."""
        return self.texts[module.path].span(at)

    def module(self, text: Text) -> Module:
        """One file's module. Raises ``UnreadableError``."""
        if len(text.text) > MAX_CODE:
            raise UnreadableError("it is too large")
        self._modules[text.path] = None
        root, module, home = _parsed(text)
        self.home |= home
        self._modules[text.path] = module
        self.texts[text.path] = text
        return module

    def load(self, name: str, importer: Module) -> Module | None:
        """What an import names, if it is a file beside the importing one."""
        asked = (name, importer.path)
        if asked not in self._asked:
            self._asked[asked] = None
            self._asked[asked] = self._find(name, importer)
        return self._asked[asked]

    def _find(self, name: str, importer: Module) -> Module | None:
        if self.texts[importer.path].lines:
            return None
        for path in _paths(name, importer.path, self._folder):
            if path in self._modules:
                return self._modules[path]
            found = self._template.local.text(path) if len(self._modules) < MAX_MODULES else None
            if found is None:
                continue
            text = Text(found.path, found.shown, found.text, Span(found.shown, 1, 1, 1, 1))
            try:
                return self.module(text)
            except UnreadableError as error:
                self.failed.append((importer, f"{found.shown}: {error}"))
                return None
        return None


def _paths(name: str, importer: str, folder: str) -> Iterator[str]:
    """The files that an import may name."""
    if importer.endswith(".py"):
        dots = len(name) - len(name.lstrip("."))
        base = posixpath.dirname(importer) if dots else folder
        for _ in range(dots - 1):
            base = posixpath.dirname(base)
        stem = posixpath.normpath(posixpath.join(base, name.lstrip(".").replace(".", "/")))
        yield from (f"{stem}.py", f"{stem}/__init__.py")
    elif name.startswith("."):
        stem = posixpath.normpath(posixpath.join(posixpath.dirname(importer), name))
        bare, suffix = posixpath.splitext(stem)
        if suffix in _SUFFIXES:
            yield from (stem, *(f"{bare}{other}" for other in _TYPED))
        yield from (f"{stem}{other}" for other in _SUFFIXES)
        yield from (f"{stem}/index{other}" for other in _SUFFIXES)


def _parsed(text: Text) -> tuple[Node, Module, Home]:
    if text.path.endswith(".py"):
        from cfaudit.model.code import python

        root = python.parse(text.text)
        _sound(root, text)
        return root, *python.read(root, text.path)
    from cfaudit.model.code import javascript

    root = javascript.parse(text.text, typed=text.path.endswith(_TYPED))
    _sound(root, text)
    return root, *javascript.read(root, text.path)


def _sound(root: Node, text: Text) -> None:
    """Raises ``UnreadableError`` at the first syntax error."""
    if not root.has_error:
        return
    node = root
    while inner := next((child for child in node.children if child.has_error or child.is_missing), None):
        node = inner
        if node.type == "ERROR" or node.is_missing:
            break
    row, column = node.start_point
    where = text.span((row, column, row, column))
    raise UnreadableError(f"its code has a syntax error at {where.file}:{where.line}")


_LOG_METHODS = frozenset(
    {"log", "info", "debug", "warn", "warning", "error", "critical", "exception", "trace", "dir", "fatal", "table"}
)
_STRINGIFIERS = frozenset(
    {("JSON", "stringify"), ("json", "dumps"), ("util", "inspect"), ("util", "format"), ("str",), ("repr",)}
    | {("pprint", "pformat"), ("structuredClone",), ("simplejson", "dumps")}
)
_METRICS = ("aws-embedded-metrics", "aws_embedded_metrics", "@aws-lambda-powertools/metrics")
_HTTP = frozenset(
    {"axios", "node-fetch", "got", "undici", "superagent", "ky", "requests", "urllib3", "httpx", "aiohttp", "needle"}
)
_RESPONDERS = frozenset({"cfn-response", "cfnresponse", "crhelper", "cfn-custom-resource", "cfn-response-async"})
_TOKENS = frozenset(
    {"ClientRequestToken", "ClientToken", "clientToken", "MessageDeduplicationId", "IdempotencyToken", "idempotencyKey"}
)
_PURE = frozenset(
    {"console", "print", "JSON", "json", "String", "Number", "Boolean", "Array", "Object", "Math", "Date", "str", "int"}
    | {"float", "bool", "dict", "list", "tuple", "len", "logging", "logger", "Promise", "datetime", "time", "Error"}
    | {"crypto", "uuid", "random", "Exception", "ValueError", "isinstance", "parseInt", "parseFloat", "Buffer", "repr"}
)
_QUIET = frozenset(
    {"aws-xray-sdk", "aws-xray-sdk-core", "aws_xray_sdk", "aws-lambda", "source-map-support", "uuid", "ulid", "nanoid"}
    | {"lodash", "dayjs", "moment", "luxon", "date-fns", "zod", "joi", "ajv", "yup", "jsonwebtoken", "jose", "tslib"}
    | {
        "winston",
        "pino",
        "bunyan",
        "http-errors",
        "validator",
        "qs",
        "decimal.js",
        "bignumber.js",
        "mime",
        "mime-types",
    }
    | {"pydantic", "jwt", "jose", "dateutil", "pytz", "simplejson", "structlog", "loguru", "typing_extensions", "attr"}
    | {"attrs", "marshmallow", "jsonschema", "orjson", "yaml", "ulid", "aws_lambda_typing", "mypy_boto3_dynamodb"}
    | {"@middy/core", "@middy/http-json-body-parser", "@middy/http-error-handler", "@middy/http-cors"}
    | {"@aws-lambda-powertools/logger", "@aws-lambda-powertools/tracer", "@aws-lambda-powertools/commons", "stripe"}
    | {"aws-jwt-verify", "numpy", "pandas", "cfn-response", "cfnresponse", "crhelper", "aws-sdk", "boto3", "botocore"}
    | _HTTP
    | set(_METRICS)
)
"""Packages that call no AWS API by themselves with the function's rights."""
_NODE = frozenset(
    [
        "assert",
        "assert/strict",
        "async_hooks",
        "buffer",
        "console",
        "constants",
        "crypto",
        "dns",
        "dns/promises",
        "events",
        "fs",
        "fs/promises",
        "http",
        "http2",
        "https",
        "module",
        "net",
        "os",
        "path",
        "path/posix",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "stream",
        "stream/promises",
        "stream/web",
        "string_decoder",
        "timers",
        "timers/promises",
        "tls",
        "tty",
        "url",
        "util",
        "util/types",
        "v8",
        "worker_threads",
        "zlib",
    ]
)
_POWERTOOLS = frozenset(
    {"Logger", "Metrics", "Tracer", "logging", "metrics", "tracing", "event_handler", "single_metric"}
)


@dataclass
class _Gathering:
    """Goes through what the handler can reach, once, and collects."""

    program: Program
    reader: _Reader
    visits: list[Visit]
    calls: list[SdkCall] = field(default_factory=list)
    unread: list[Word] = field(default_factory=list)
    variables: dict[str, Word] = field(default_factory=dict)
    variables_open: bool = False
    event_logs: list[Span] = field(default_factory=list)
    metrics: list[Span] = field(default_factory=list)
    http: list[Span] = field(default_factory=list)
    idempotency: list[Span] = field(default_factory=list)
    custom_resource: bool = False
    busy: bool = False
    words: dict[str, Span] = field(default_factory=dict)

    def run(self) -> None:
        """Fill the fields."""
        self._calls = Calls(self.program, self.reader.span, self._holes())
        for module in {visit.module.path: visit.module for visit in self.visits}.values():
            for each in module.imports:
                self._import(each, module)
        for importer, message in self.reader.failed:
            self._open(message, importer.body.at, importer)
        for visit in self.visits:
            self._visit(visit)

    def _holes(self) -> tuple[object, ...]:
        return next((text.holes for text in self.reader.texts.values() if text.holes), ())

    def _open(self, what: str, at: Range, module: Module) -> None:
        if all(word.text != what for word in self.unread):
            self.unread.append(Word(what, self.reader.span(at, module)))

    def _visit(self, visit: Visit) -> None:
        expr, module, role = visit
        match expr:
            case Member(_, key):
                self._word(key, expr.at, module)
                self._variable(expr, module)
            case Index():
                self._variable(expr, module)
            case Literal(text):
                self._word(text, expr.at, module)
            case Object():
                self._object(expr, module)
            case Call():
                self._call(expr, module)
            case Mixed(_, _, effect) if effect == "import":
                self._open("an import whose name is computed", expr.at, module)
        if role == "value":
            self._environment(expr)

    def _word(self, text: str, at: Range, module: Module) -> None:
        if text and len(text) <= MAX_WORD and text not in self.words and HOLE not in text:
            self.words[text] = self.reader.span(at, module)

    def _variable(self, expr: Member | Index, module: Module) -> None:
        for value in self.program.meanings(expr):
            if isinstance(value, Variable) and self._takes(expr):
                self._read(value.name, expr.at, module)
        if isinstance(expr, Index) and self._is_environment(expr.of):
            self.busy = True
            if not any(isinstance(value, Variable) for value in self.program.meanings(expr)):
                self.variables_open = True

    def _takes(self, expr: Member | Index) -> bool:
        """Whether this very expression takes a variable from the environment, rather than name what was taken."""
        return self._is_environment(expr.of)

    def _read(self, name: str, at: Range, module: Module) -> None:
        self.busy = True
        self.variables.setdefault(name, Word(name, self.reader.span(at, module)))

    def _is_environment(self, expr: Expr) -> bool:
        return any(
            isinstance(value, Path) and (value.root, value.steps) in (("process", ("env",)), ("os", ("environ",)))
            for value in self.program.meanings(expr)
        )

    def _environment(self, expr: Expr) -> None:
        """The environment as a whole, given to something else."""
        if isinstance(expr, (Member, Index)) or type(expr).__name__ == "Name":
            if self._is_environment(expr):
                self.busy = self.variables_open = True

    def _import(self, each: Import, module: Module) -> None:
        name = each.module.removeprefix("node:")
        if each.module.startswith(".") or self.reader.load(each.module, module):
            if self.reader.load(each.module, module) is None and not self._submodule(each, module):
                if not name.endswith(".json"):
                    self._open(f"the module {name}", each.at, module)
            return
        package = name if name.startswith("@") else name.split("/")[0]
        package = "/".join(package.split("/")[:2])
        head = name.split(".")[0]
        if package in _METRICS or (head == "aws_lambda_powertools" and "metrics" in f"{name}.{each.member}".lower()):
            self.metrics.append(self.reader.span(each.at, module))
        if "idempotency" in name:
            self.idempotency.append(self.reader.span(each.at, module))
        if package in _RESPONDERS or head in _RESPONDERS:
            self.custom_resource = True
        if package.startswith("@aws-sdk/") or package in ("aws-sdk", "boto3"):
            self.busy = True
        if not self._quiet(package, name, head, each, module):
            self._open(f"the package {name}", each.at, module)

    def _submodule(self, each: Import, module: Module) -> bool:
        """``from . import db``: the folder is no module, but has one."""
        inner = f"{each.module}{'' if each.module.endswith('.') else '.'}{each.member}"
        return each.member is not None and self.reader.load(inner, module) is not None

    def _quiet(self, package: str, name: str, head: str, each: Import, module: Module) -> bool:
        if module.path.endswith(".py"):
            if head == "aws_lambda_powertools":
                parts = set(name.split(".")) | {each.member or ""}
                return not parts.isdisjoint(_POWERTOOLS) or "typing" in parts or "data_classes" in parts
            if head == "botocore":
                return "session" not in name
            inner = each.member is not None and self.reader.load(f"{each.module}.{each.member}", module) is not None
            known = head in sys.stdlib_module_names or head in _QUIET or head.startswith("mypy_boto3")
            return (known and head not in ("subprocess", "importlib", "ctypes")) or inner
        if package.startswith("@aws-sdk/"):
            return is_harmless(package)
        return name in _NODE or package in _QUIET or package.startswith(("@types/", "@smithy/types", "date-fns"))

    def _object(self, made: Object, module: Module) -> None:
        for entry in made.entries:
            if entry.key in ("_aws", "CloudWatchMetrics"):
                span = self.reader.span(entry.at, module)
                if not self.metrics or self.metrics[-1].line != span.line:
                    self.metrics.append(span)
            if entry.key in _TOKENS:
                self.idempotency.append(self.reader.span(entry.at, module))

    def _call(self, call: Call, module: Module) -> None:
        span = self.reader.span(call.at, module)
        meanings = self.program.meanings(call.callee)
        found = False
        for value in meanings:
            match value:
                case Path(root, steps):
                    for each in self._calls.of(root, steps, call, span):
                        found = True
                        if isinstance(each, Obscure):
                            self._open(each.what, call.at, module)
                        else:
                            self.calls.append(each)
                            self.busy = True
                    self._outside(root, steps, call, module)
                case Closure() | Kind():
                    found = True
        for value in self.program.meanings(call):
            if isinstance(value, Variable) and any(
                isinstance(callee, Path) and callee.root == "os" for callee in meanings
            ):
                self._read(value.name, call.at, module)
        if not found:
            self._hidden(call, meanings, module)
        if self._logs(call, meanings) and any(
            self._whole(argument, direct=True) for argument in (*call.arguments, *_values(call.keywords))
        ):
            self.event_logs.append(span)

    def _outside(self, root: str, steps: tuple[str | Call, ...], call: Call, module: Module) -> None:
        """A call of something that is not the code's own."""
        names = [step for step in steps if isinstance(step, str)]
        if (root, tuple(names)) in (("os", ("getenv",)), ("os", ("environ", "get"))):
            self.busy = True
            if not any(isinstance(value, Variable) for value in self.program.meanings(call)):
                self.variables_open = True
        http = root == "fetch" or root in _HTTP or (root in ("http", "https") and names[-1:] in (["request"], ["get"]))
        if http or (root == "urllib" and "urlopen" in names) or (root == "http" and "HTTPSConnection" in names):
            self.http.append(self.reader.span(call.at, module))
        if root in ("eval", "exec", "Function", "__import__", "child_process", "subprocess", "importlib"):
            self._open(f"a call of {root}", call.at, module)
        written = root in ("process", "sys") and names[:1] == ["stdout"]
        if root not in _PURE and not written and not self._logs(call, (Path(root, steps),)):
            self.busy = True

    def _hidden(self, call: Call, meanings: tuple[Meaning, ...], module: Module) -> None:
        """A call on something unknown that may be an SDK's client."""
        if any(isinstance(value, Path) for value in meanings) or not isinstance(call.callee, Member):
            unknown = not any(isinstance(value, (Path, Input)) for value in meanings)
            self.busy = self.busy or (unknown and not isinstance(call.callee, Member))
            return
        key = call.callee.key
        sdks = {each.module for each in module.imports}
        if key == "send" and any(name.startswith("@aws-sdk/") for name in sdks):
            return
        older = any(name.startswith("aws-sdk") for name in sdks) or any(name.startswith("@aws-sdk/") for name in sdks)
        older = older and key in _CLIENT_METHODS
        if older or (any(name.startswith("boto3") for name in sdks) and key in _CLIENT_METHODS_SNAKE):
            self._open(f"a call of {key} on something unknown", call.at, module)

    # Logging

    def _logs(self, call: Call, meanings: tuple[Meaning, ...]) -> bool:
        callee = call.callee
        if isinstance(callee, Member) and callee.key in _LOG_METHODS:
            named = callee.of.key if isinstance(callee.of, Member) else getattr(callee.of, "text", "")
            if "log" in str(named).lower() or named == "console":
                return True
        return any(
            isinstance(value, Path)
            and (
                value.root == "print"
                or (value.root == "console" and value.steps[-1:] and value.steps[-1] in _LOG_METHODS)
                or (value.root in ("process", "sys") and value.steps == ("stdout", "write"))
                or (value.root == "pprint" and value.steps in (("pprint",), ("pp",)))
            )
            for value in meanings
        )

    def _whole(self, expr: Expr, *, direct: bool, depth: int = 0) -> bool:
        """Whether the text of an expression shows the whole event.

        ``direct``: the logger is given it; a text that an object is joined to in JavaScript shows nothing of it.
        """
        if depth > 6:
            return False
        match expr:
            case Joined(parts):
                shows = self.program.dotted
                return any(self._whole(each, direct=shows, depth=depth + 1) for each in parts)
        for value in self.program.meanings(expr):
            match value:
                case Input("event", ()) if direct:
                    return True
                case Path(root, steps) if steps or root in ("str", "repr"):
                    *names, last = (root, *steps)
                    if isinstance(last, Call) and tuple(map(str, names)) in _STRINGIFIERS and last.arguments:
                        return self._unfiltered(last) and self._whole(last.arguments[0], direct=True, depth=depth + 1)
                case Struct(made):
                    inner = (entry.value for entry in made.entries)
                    if any(self._whole(each, direct=direct, depth=depth + 1) for each in inner):
                        return True
        return False

    def _unfiltered(self, call: Call) -> bool:
        """``JSON.stringify`` with a function or a list as its second argument leaves things out."""
        second = call.arguments[1] if len(call.arguments) > 1 else None
        return second is None or all(
            not isinstance(value, (Closure, Path)) and type(value).__name__ not in ("Items", "Anything")
            for value in self.program.meanings(second)
        )


_CLIENT_METHODS = frozenset(
    [
        "putItem",
        "getItem",
        "updateItem",
        "deleteItem",
        "batchWriteItem",
        "batchGetItem",
        "transactWriteItems",
        "transactGetItems",
        "transactWrite",
        "batchWrite",
        "batchGet",
        "putObject",
        "getObject",
        "deleteObject",
        "listObjectsV2",
        "headObject",
        "publish",
        "sendMessage",
        "sendMessageBatch",
        "receiveMessage",
        "deleteMessage",
        "invoke",
        "invokeAsync",
        "startExecution",
        "sendTaskSuccess",
        "sendTaskFailure",
        "putEvents",
        "sendEmail",
        "sendTemplatedEmail",
        "putRecord",
        "putRecords",
        "putMetricData",
        "getSecretValue",
        "getParameter",
        "getParameters",
        "encrypt",
        "decrypt",
        "generateDataKey",
        "getEventPrediction",
        "startQueryExecution",
        "adminGetUser",
        "postToConnection",
        "invokeEndpoint",
        "invokeModel",
    ]
)
"""Operations that functions call most: on something unknown, their names hint at a client of an SDK."""
_CLIENT_METHODS_SNAKE = frozenset(
    "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name) for name in _CLIENT_METHODS
) | {"batch_writer", "upload_file", "download_file", "get_paginator", "list_objects_v2"}


def _values(made: Object | None) -> tuple[Expr, ...]:
    return tuple(entry.value for entry in made.entries) if made else ()


__all__ = ["Shape", "analyse"]
