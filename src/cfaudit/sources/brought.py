"""What a user brings besides templates: test sources, JUnit reports and documents, read once for the whole run."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cfaudit.nodes import Span, TemplateError
from cfaudit.sources.files import read

if TYPE_CHECKING:
    from cfaudit.sources.results import Run
    from cfaudit.sources.suites import Suite

_HIDDEN = re.compile(r"<!--[\s\S]*?(?:-->|\Z)")


class Document(NamedTuple):
    """A text for people, Markdown or plain; ``lines`` are without what HTML comments hide."""

    path: str
    lines: tuple[str, ...]


class Brought(NamedTuple):
    """What was brought; None or nothing where nobody brought any."""

    suite: Suite | None = None
    run: Run | None = None
    documents: tuple[Document, ...] = ()


NOTHING = Brought()


@cache
def bring(tests: tuple[str, ...], junit: tuple[str, ...], docs: tuple[str, ...]) -> Brought:
    """Read folders of tests, JUnit reports and documents. Raises ``TemplateError`` for what cannot be read."""
    return Brought(
        _suite(tests) if tests else None,
        _run(junit) if junit else None,
        tuple(_document(path) for path in _files(docs)),
    )


def _suite(folders: tuple[str, ...]) -> Suite:
    from cfaudit.sources.suites import read_suite

    return read_suite(folders)


def _run(reports: tuple[str, ...]) -> Run:
    from cfaudit.sources.results import read_run

    return read_run(_files(reports))


def _files(paths: Iterable[str]) -> Iterator[str]:
    """The files that paths and globs name, each once. Raises ``TemplateError`` for a glob that names none."""
    named: dict[str, None] = {}
    for path in paths:
        magic = glob.has_magic(path) and not os.path.lexists(path)
        found = sorted(glob.glob(path, recursive=True)) if magic else [path]
        if not found:
            raise TemplateError(Span(path, 1, 1, 1, 1), "no file matches the pattern", "check the path")
        named |= dict.fromkeys(found)
    yield from named


def _document(path: str) -> Document:
    text = _HIDDEN.sub(lambda match: "\n" * match[0].count("\n"), read(path).replace("\r\n", "\n"))
    return Document(path, tuple(text.split("\n")))
