"""What the handler can reach in, what it calls, reads, logs and writes out."""

from __future__ import annotations

from dataclasses import dataclass, field

from cfaudit.model.code import packages
from cfaudit.model.code.calls import Calls
from cfaudit.model.code.facts import SdkCall, Word
from cfaudit.model.code.files import Files
from cfaudit.model.code.program import (
    ANYTHING,
    ENVIRONMENTS,
    HOLE,
    Anything,
    Closure,
    Input,
    Items,
    Kind,
    Meaning,
    Path,
    Program,
    Struct,
    Variable,
    Visit,
)
from cfaudit.model.code.sdk import Obscure, is_sdk
from cfaudit.model.code.tree import (
    Call,
    Constant,
    Expr,
    Import,
    Index,
    Joined,
    Member,
    Mixed,
    Module,
    Name,
    Object,
    Range,
)
from cfaudit.model.code.tree import Text as Literal
from cfaudit.nodes import Span

MAX_WORD = 80
MAX_LOGGED = 6

_RUNS_TEXT = frozenset({"eval", "exec", "Function", "__import__", "child_process", "subprocess", "importlib"})


@dataclass
class Gathering:
    """Goes through the visits once and collects. ``busy``: it does something; ``unsure``: it may."""

    program: Program
    files: Files
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
    unsure: bool = False
    words: dict[str, Span] = field(default_factory=dict)

    def run(self) -> None:
        """Fill the fields."""
        holes = next((text.holes for text in self.files.texts.values() if text.holes), ())
        self._calls = Calls(self.program, self.files.span, holes)
        modules = {module.path: module for module in (self.program.entry, *(visit.module for visit in self.visits))}
        self._sdks = {each.module for module in modules.values() for each in module.imports}
        self._sdks = {name for name in self._sdks if is_sdk(packages.head_of(name, dotted=self.program.dotted))}
        for module in modules.values():
            for each in module.imports:
                self._import(each, module)
        for importer, message in self.files.failed:
            self._open(message, importer.body.at, importer)
        seen: set[Expr] = set()
        for visit in self.visits:
            self._visit(visit, again=visit.expr in seen)
            seen.add(visit.expr)

    def _open(self, what: str, at: Range, module: Module) -> None:
        if all(word.text != what for word in self.unread):
            self.unread.append(Word(what, self.files.span(at, module)))

    def _visit(self, visit: Visit, *, again: bool) -> None:
        """``again``: the same expression in another role, as in ``const { a } = call()``."""
        expr, module, role = visit
        match expr:
            case _ if again:
                pass
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
            case Mixed(_, _, "import"):
                self._open("an import whose name is computed", expr.at, module)
            case Mixed(_, _, "call"):
                self.unsure = True
        if role == "value" and isinstance(expr, (Name, Member)) and self._is_environment(expr):
            self.busy = self.variables_open = True

    def _word(self, text: str, at: Range, module: Module) -> None:
        if text and len(text) <= MAX_WORD and text not in self.words and HOLE not in text:
            self.words[text] = self.files.span(at, module)

    # The environment

    def _variable(self, expr: Member | Index, module: Module) -> None:
        """Only an expression that takes a variable from the environment, not one that names what was taken."""
        if not self._is_environment(expr.of):
            return
        if isinstance(expr, Member) and expr.key in ("get", "setdefault") and self.program.dotted:
            return
        self.busy = True
        for value in self.program.meanings(expr):
            if isinstance(value, Variable):
                self._read(value.name, expr.at, module)
            else:
                self.variables_open = True

    def _read(self, name: str, at: Range, module: Module) -> None:
        self.busy = True
        if name not in self.variables:
            self.variables[name] = Word(name, self.files.span(at, module))

    def _is_environment(self, expr: Expr) -> bool:
        values = self.program.meanings(expr)
        return any(isinstance(value, Path) and (value.root, value.steps) in ENVIRONMENTS for value in values)

    # Imports

    def _import(self, each: Import, module: Module) -> None:
        dotted, name = self.program.dotted, each.module
        own = self.files.load(name, module) is not None or self._submodule(each, module)
        if own or name.endswith(".json"):
            return
        if name.startswith("."):
            self._open(f"the module {name}", each.at, module)
            return
        if packages.writes_metrics(name, each.member, dotted=dotted):
            self.metrics.append(self.files.span(each.at, module))
        if "idempotency" in name:
            self.idempotency.append(self.files.span(each.at, module))
        self.custom_resource |= packages.answers_cloudformation(name, dotted=dotted)
        self.busy |= is_sdk(packages.head_of(name, dotted=dotted))
        if not packages.is_quiet(name, each.member, dotted=dotted):
            self._open(f"the package {name}", each.at, module)

    def _submodule(self, each: Import, module: Module) -> bool:
        """``from . import db``: the folder is no module, but holds one."""
        inner = f"{each.module}{'' if each.module.endswith('.') else '.'}{each.member}"
        return self.program.dotted and each.member is not None and self.files.load(inner, module) is not None

    # Objects and calls

    def _object(self, made: Object, module: Module) -> None:
        for entry in made.entries:
            span = self.files.span(entry.at, module)
            if entry.key in ("_aws", "CloudWatchMetrics"):
                self.metrics.append(span)
            if entry.key in packages.TOKENS:
                self.idempotency.append(span)

    def _call(self, call: Call, module: Module) -> None:
        meanings = self.program.meanings(call.callee)
        for value in meanings:
            match value:
                case Path(root, steps):
                    self._outside(root, steps, call, module, unsure=ANYTHING in meanings)
                    if root in packages.PURE_ROOTS and steps:
                        self._hidden(call, module)
                case Anything():
                    self._hidden(call, module)
                    key = call.callee.key if isinstance(call.callee, Member) else ""
                    self.unsure |= key not in packages.PURE_METHODS and not self._logs(call, ())
        if _logs_by_option(call):
            self.event_logs.append(self.files.span(call.at, module))
        if self._logs(call, meanings):
            given = (*call.arguments, *(_values(call.keywords)))
            if any(self._whole(argument, direct=True) for argument in given):
                self.event_logs.append(self.files.span(call.at, module))

    def _outside(self, root: str, steps: tuple[str | Call, ...], call: Call, module: Module, *, unsure: bool) -> None:
        """A call of something that is not the code's own."""
        span = self.files.span(call.at, module)
        for found in self._calls.of(root, steps, call, span, unsure=unsure):
            if isinstance(found, Obscure):
                self._open(found.what, call.at, module)
            else:
                self.calls.append(found)
        names = [step for step in steps if isinstance(step, str)]
        if root == "os" and names in (["getenv"], ["environ", "get"], ["environ", "setdefault"]):
            named = self.program.meanings(call.arguments[0]) if call.arguments else ()
            for value in self.program.meanings(call):
                if isinstance(value, Variable):
                    self._read(value.name, call.at, module)
            self.variables_open |= not named or any(isinstance(value, Anything) for value in named)
        if _is_http(root, names):
            self.http.append(span)
        if root in _RUNS_TEXT or (root == "os" and names[:1] in (["system"], ["popen"])):
            self._open(f"a call of {root}", call.at, module)
        self._sends(root, call, module)
        quiet = root in packages.PURE_ROOTS or (root in ("process", "sys") and names[:1] == ["stdout"])
        self.busy |= not quiet and not self._logs(call, (Path(root, steps),))

    def _sends(self, root: str, call: Call, module: Module) -> None:
        """A command of the SDK v3 that comes from elsewhere."""
        if isinstance(call.callee, Member) and call.callee.key == "send" and root.startswith("@aws-sdk/"):
            for value in self.program.meanings(call.arguments[0]) if call.arguments else ():
                if not (isinstance(value, Path) and value.root.startswith("@aws-sdk/")):
                    self._open("a command that is not told", call.at, module)

    def _hidden(self, call: Call, module: Module) -> None:
        """A call on something unknown, which may be an SDK's client."""
        if not isinstance(call.callee, Member):
            self.unsure = True
            return
        key = call.callee.key
        methods = packages.CLIENT_METHODS_SNAKE if self.program.dotted else packages.CLIENT_METHODS
        if self._sdks and key in methods:
            self._open(f"a call of {key} on something unknown", call.at, module)
        elif key == "send":
            self._sends(next((name for name in self._sdks if name.startswith("@aws-sdk/")), ""), call, module)

    # Logs

    def _logs(self, call: Call, meanings: tuple[Meaning, ...]) -> bool:
        """Whether a call writes to the log: by what it is, or by the name of a logger that comes from elsewhere."""
        callee = call.callee
        if isinstance(callee, Member) and callee.key in packages.LOG_METHODS:
            of = callee.of
            named = of.key if isinstance(of, Member) else of.text if isinstance(of, Name) else ""
            if "log" in named.lower():
                return True
        return any(isinstance(value, Path) and _is_output(value) for value in meanings)

    def _whole(self, expr: Expr, *, direct: bool, depth: int = 0) -> bool:
        """Whether what is logged shows the whole event.

        Not ``direct``: it is joined to a text, which in JavaScript shows nothing of an object.
        """
        self.program.stride()
        if depth > MAX_LOGGED:
            return False
        if isinstance(expr, Joined):
            return any(self._whole(each, direct=self.program.dotted, depth=depth + 1) for each in expr.parts)
        return any(self._shows(value, direct=direct, depth=depth) for value in self.program.meanings(expr))

    def _shows(self, value: Meaning, *, direct: bool, depth: int) -> bool:
        match value:
            case Input("event", ()):
                return direct
            case Path(root, steps) if steps and isinstance(last := steps[-1], Call) and last.arguments:
                if Path(root, steps[:-1]).dotted in packages.STRINGIFIERS and self._unfiltered(last):
                    return self._whole(last.arguments[0], direct=True, depth=depth + 1)
            case Struct(made):
                return any(self._whole(each, direct=direct, depth=depth + 1) for each in _values(made))
        return False

    def _unfiltered(self, call: Call) -> bool:
        """``JSON.stringify`` with a function or a list as its second argument leaves things out."""
        second = call.arguments[1] if len(call.arguments) > 1 else None
        values = self.program.meanings(second) if second else ()
        return not any(isinstance(value, (Closure, Path, Items, Anything, Kind)) for value in values)


def _is_http(root: str, names: list[str]) -> bool:
    if root in ("http", "https"):
        return names[-1:] in (["request"], ["get"], ["HTTPSConnection"], ["HTTPConnection"])
    return root == "fetch" or root in packages.HTTP or (root == "urllib" and "urlopen" in names)


def _is_output(value: Path) -> bool:
    last = value.steps[-1] if value.steps else ""
    return (
        (value.root == "print" and not value.steps)
        or (value.root in ("console", "logging") and last in packages.LOG_METHODS)
        or (value.root in ("process", "sys") and value.steps == ("stdout", "write"))
        or (value.root == "pprint" and last in ("pprint", "pp"))
    )


def _logs_by_option(call: Call) -> bool:
    """Powertools for AWS Lambda log the event where they are told to.

    https://docs.aws.amazon.com/powertools/python/latest/core/logger/#logging-incoming-event
    """
    name = (
        call.callee.key
        if isinstance(call.callee, Member)
        else call.callee.text
        if isinstance(call.callee, Name)
        else ""
    )
    if name not in ("inject_lambda_context", "injectLambdaContext"):
        return False
    given = [*call.arguments, *([call.keywords] if call.keywords else [])]
    entries = [entry for each in given if isinstance(each, Object) for entry in each.entries]
    return any(
        entry.key in ("log_event", "logEvent")
        and isinstance(entry.value, Constant)
        and entry.value.text.lower() == "true"
        for entry in entries
    )


def _values(made: Object | None) -> tuple[Expr, ...]:
    return tuple(entry.value for entry in made.entries) if made else ()
