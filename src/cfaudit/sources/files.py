"""Paths in, template texts out: files, directories, globs, the CDK's output and standard input."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cfaudit.load import MAX_BYTES
from cfaudit.nodes import NotTemplateError, Span, TemplateError

SUFFIXES = frozenset({".yaml", ".yml", ".json", ".template"})
SKIPPED = frozenset({".git", ".venv", "node_modules", "__pycache__", ".aws-sam", ".serverless", ".tox"})

MANIFEST = "manifest.json"
MAX_ASSEMBLIES = 10


class Input(NamedTuple):
    """One input: the path as given, and whether it was named itself or found by a directory or a glob.

    ``copy`` is the file to read where that is another one, ``shown`` what it is called then.
    ``members`` are the files of a directory whose templates are one application, None for a template of its own.
    """

    path: str
    named: bool
    copy: str | None = None
    shown: str | None = None
    members: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.shown or ("<stdin>" if self.path == "-" else self.path)


_RESOURCES = re.compile(r"""^[ \t]*["']?Resources["']?\s*:|"Resources"\s*:|[{,]\s*Resources\s*:""", re.MULTILINE)


def may_be_template(text: str) -> bool:
    """A cheap look before parsing: whether a key ``Resources`` stands anywhere in the text."""
    return _RESOURCES.search(text) is not None


def inputs(paths: Iterable[str]) -> Iterator[Input]:
    """The inputs that paths name, each once, in the order given; a directory's files are sorted."""
    seen: set[str] = set()
    for path in paths:
        for found in _expand(path):
            if os.path.normpath(found.path) not in seen:
                seen.add(os.path.normpath(found.path))
                yield found


def _expand(path: str) -> Iterator[Input]:
    if path != "-" and not os.path.lexists(path) and glob.has_magic(path):
        for name in sorted(glob.glob(path, recursive=True)):
            if os.path.isfile(name):
                yield Input(name, named=False)
    elif os.path.isdir(path):
        yield from _walk(path)
    else:
        yield Input(path, named=True)


def application(directory: str) -> Input:
    """The templates of a directory as one input."""
    return Input(directory, named=True, members=tuple(found.path for found in inputs([directory])))


def _walk(directory: str) -> Iterator[Input]:
    for folder, folders, names in os.walk(directory):
        stacks = list(_stacks(folder)) if MANIFEST in names else []
        if stacks:
            folders.clear()
            yield from stacks
            continue
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            if os.path.splitext(name)[1] in SUFFIXES:
                yield Input(os.path.join(folder, name), named=False)


def _stacks(folder: str, depth: int = 1) -> Iterator[Input]:
    """The stacks that the CDK's manifest in a folder names; templates that are assets are part of one of them.

    https://docs.aws.amazon.com/cdk/v2/guide/configure-synth.html
    """
    import json

    try:
        manifest = json.loads(read(os.path.join(folder, MANIFEST)))
        artifacts = [(each.get("type"), each.get("properties", {})) for each in manifest["artifacts"].values()]
    except (TemplateError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return
    for kind, properties in artifacts:
        match kind, properties:
            case "aws:cloudformation:stack", {"templateFile": str(name)}:
                yield Input(os.path.join(folder, name), named=True)
            case "cdk:cloud-assembly", {"directoryName": str(name)} if depth < MAX_ASSEMBLIES:
                yield from _stacks(os.path.join(folder, name), depth + 1)


def read(path: str, name: str | None = None) -> str:
    """The text of an input, ``-`` for standard input. Raises ``TemplateError`` for what cannot be read as UTF-8."""
    start = Span(name or (path if path != "-" else "<stdin>"), 1, 1, 1, 1)
    try:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1) if path == "-" else _bytes(path)
    except FileNotFoundError:
        raise TemplateError(start, "there is no such file", "check the path") from None
    except OSError as error:
        raise TemplateError(start, f"the file cannot be read: {error.strerror}", "check its permissions") from None
    if len(raw) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 2**20} MiB; CloudFormation takes at most 1 MiB"
        raise NotTemplateError(start, message, "name a template")
    try:
        return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        where = Span(start.file, line, column, line, column + 1)
        raise TemplateError(where, "the file is not UTF-8 text", "save it as UTF-8") from None


def _bytes(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)
