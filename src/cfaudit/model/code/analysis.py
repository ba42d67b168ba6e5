"""The text of a handler in, the facts of its code out. The first module on the way that imports tree-sitter."""

from __future__ import annotations

from functools import lru_cache

from cfaudit.model.code.facts import OPEN_SHAPE, Code, Language, Word
from cfaudit.model.code.files import TYPED, Files
from cfaudit.model.code.gathering import Gathering
from cfaudit.model.code.outcome import Outcomes
from cfaudit.model.code.place import Text
from cfaudit.model.code.program import Closure, Path, Program
from cfaudit.model.code.tree import Call, Function, Member, Module
from cfaudit.sources.local import LocalFiles

_SAME_RESULT = ("inject_lambda_context", "capture_lambda_handler", "log_metrics")


@lru_cache(maxsize=64)
def analyse(local: LocalFiles, function: str, text: Text, folder: str, export: str | None) -> Code:
    """The facts of one function's code. Raises ``UnreadableError`` for code that cannot be read.

    Remembered, because the scenarios of an audit share their files and mostly their code.
    """
    files = Files(local, folder)
    entry = files.read(text)
    program = Program(files.load, files.home, entry, dotted=text.path.endswith(".py"))
    handler, wrapped = _handler(program, entry, export)
    program.handler = handler
    visits = program.walk([entry.body, *([handler] if handler else [])])
    gathered = Gathering(program, files, visits)
    gathered.run()
    outcomes = Outcomes(program, visits)
    told = handler is not None and not wrapped and not handler.generator and not _is_changed(handler)
    idle = False if gathered.busy else None if gathered.unsure or gathered.unread or not told else True
    return Code(
        function,
        readable=True,
        reason="",
        span=files.span(handler.at, files.home[handler]) if handler else text.whole,
        inline=bool(text.lines),
        language=_language(text.path),
        files=tuple(each.file for each in files.texts.values()),
        calls=tuple(gathered.calls),
        unread=(*gathered.unread, *(() if handler else (Word(export or "the handler", text.whole),))),
        variables=tuple(gathered.variables.values()),
        variables_open=gathered.variables_open,
        returns=outcomes.shape(handler) if handler and told else OPEN_SHAPE,
        idle=idle,
        constant=idle and outcomes.is_constant(handler) if handler else None,
        refuses=told and handler is not None and outcomes.refuses(handler),
        event_logs=tuple(gathered.event_logs),
        metrics=tuple(gathered.metrics),
        http=tuple(gathered.http),
        idempotency=tuple(gathered.idempotency),
        custom_resource=gathered.custom_resource or "ResponseURL" in gathered.words,
        words=gathered.words,
    )


def _language(path: str) -> Language:
    return "python" if path.endswith(".py") else "typescript" if path.endswith(TYPED) else "javascript"


def _handler(program: Program, entry: Module, export: str | None) -> tuple[Function | None, bool]:
    """The handler's function, and whether something else may be called in its place: a wrapper, another function."""
    meanings = program.exported(entry, export) if export else ()
    for meaning in meanings:
        if isinstance(meaning, Closure):
            return meaning.function, len(meanings) > 1
    for meaning in meanings:
        calls = [step for step in meaning.steps if isinstance(step, Call)] if isinstance(meaning, Path) else []
        for argument in (argument for call in calls for argument in call.arguments):
            for given in program.meanings(argument):
                if isinstance(given, Closure):
                    return given.function, True
    return None, False


def _is_changed(handler: Function) -> bool:
    """Whether a decorator may change what the handler returns."""
    for decorator in handler.decorators:
        named = decorator.callee if isinstance(decorator, Call) else decorator
        if not isinstance(named, Member) or named.key not in _SAME_RESULT:
            return True
    return False
