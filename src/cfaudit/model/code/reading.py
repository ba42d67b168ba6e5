"""A template's functions in, what their code does out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.code.facts import Code
from cfaudit.model.code.place import Text, inline
from cfaudit.model.code.tree import UnreadableError
from cfaudit.model.declarations import Declarations
from cfaudit.model.functions import Function
from cfaudit.nodes import Absent, Scalar, Span, Unknown, parts_of

_SUFFIXES = {"nodejs": (".mjs", ".js", ".cjs", ".mts", ".ts"), "python": (".py",)}
_IN_S3 = ("s3://", "http://", "https://")


class _Entry(NamedTuple):
    """The file that holds the handler, the folder that imports start from, and the handler's name in that file."""

    text: Text
    folder: str
    export: str | None


def codes(template: Declarations, functions: Mapping[str, Function]) -> Mapping[str, Code]:
    """The code of every function by logical id."""
    return {name: _code(template, function) for name, function in functions.items()}


def _code(template: Declarations, function: Function) -> Code:
    span = function.where("Code.ZipFile") if _is_inline(function) else function.where("Code")
    try:
        entry = _entry(template, function)
        from cfaudit.model.code.analysis import analyse  # tree-sitter is imported only where there is code

        return analyse(
            template.local_of(function.resource.span.file), function.logical_id, entry.text, entry.folder, entry.export
        )
    except UnreadableError as error:
        return Code(function.logical_id, readable=False, reason=str(error), span=span)


def _is_inline(function: Function) -> bool:
    return not isinstance(function.at("Code.ZipFile"), Absent)


def _entry(template: Declarations, function: Function) -> _Entry:
    """Where the code starts. Raises ``UnreadableError`` that says why nobody here can read it."""
    if _is_inline(function):
        return _inline(template, function)
    own = function.resource.attribute("Metadata.cfaudit.code")
    if isinstance(own, Scalar):
        return _local(template, function, own.text)
    match function.at("PackageType"), function.at("Code.ImageUri"):
        case (Scalar("Image"), _) | (_, Scalar() | Unknown()):
            raise UnreadableError("its code is a container image")
    asset = function.resource.attribute("Metadata.aws:asset:path")
    for value in (function.at("Code"), asset):
        match value:
            case Scalar(path) if not path.startswith(_IN_S3):
                return _local(template, function, path)
    match function.at("Code"):
        case Absent():
            raise UnreadableError("it declares no code")
        case Unknown():
            raise UnreadableError("only deploy time knows where its code is")
        case _:
            raise UnreadableError("its code is in S3")


def _inline(template: Declarations, function: Function) -> _Entry:
    value = function.at("Code.ZipFile")
    parts = parts_of(value)
    if not any(isinstance(piece, str) and piece.strip() for piece in parts):
        raise UnreadableError("only deploy time knows its code")
    suffix = _suffixes(function, None)[0].replace(".mjs", ".js")
    return _Entry(
        inline(template.source.of(value.span.file), value.span, parts, f"index{suffix}"), "", _export(function)
    )


def _suffixes(function: Function, path: str | None) -> tuple[str, ...]:
    """The suffixes of the runtime's code files. Raises ``UnreadableError`` for another runtime."""
    runtime = function.at("Runtime")
    if isinstance(runtime, Scalar):
        for name, suffixes in _SUFFIXES.items():
            if runtime.text.startswith(name):
                return suffixes
        raise UnreadableError(f"code for {runtime.text} is not read")
    if path is not None:
        return tuple(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    raise UnreadableError("only deploy time knows its runtime")


def _handler(function: Function) -> str | None:
    handler = function.at("Handler")
    return handler.text if isinstance(handler, Scalar) else None


def _export(function: Function) -> str | None:
    handler = _handler(function)
    return handler.rpartition("/")[2].partition(".")[2].rpartition(".")[2] if handler else None


def _local(template: Declarations, function: Function, path: str) -> _Entry:
    """The handler in a file or folder beside the template."""
    local, suffixes = template.local_of(function.resource.span.file), _suffixes(function, path)
    folder = path.removeprefix("file://")
    if local.has_file(folder):
        if not folder.endswith(tuple(suffixes)):
            raise UnreadableError(f"{path} is no file of code")
        candidates: tuple[str, ...] = (folder,)
        folder = posixpath.dirname(folder)
    elif local.has_folder(folder):
        only = local.sources(folder) if _handler(function) is None else ()
        candidates = only if len(only) == 1 else tuple(_candidates(function, folder, suffixes))
    else:
        raise UnreadableError(f"{path} is not beside the template")
    for candidate in candidates:
        if local.has_file(candidate):
            found = local.text(candidate)
            if found is None:
                raise UnreadableError(f"{candidate} is too large, or no text")
            whole = Span(found.shown, 1, 1, 1, 1)
            return _Entry(Text(found.path, found.shown, found.text, whole), folder or ".", _export(function))
    raise UnreadableError(f"{path} holds no code for the handler {_handler(function) or '(unknown)'}")


def _candidates(function: Function, folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Where the handler's file may be: ``src/app.handler`` is a function in src/app, in Python also ``src.app``.

    https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html#nodejs-handler-naming
    """
    handler = _handler(function) or "index.handler"
    directory, _, name = handler.rpartition("/")
    stem = name.rpartition(".")[0].replace(".", "/") if ".py" in suffixes else name.partition(".")[0]
    for suffix in suffixes:
        yield posixpath.join(folder, directory, f"{stem}{suffix}")
