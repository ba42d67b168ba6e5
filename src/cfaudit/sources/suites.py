"""Folders of tests in, every word that their sources say and where out; comments say nothing.

A source that is a CloudFormation template itself (a copy, a snapshot) is no test: it names every resource and tests
none. Folders of packages and of build output are passed over, and nothing is read without bound.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from cfaudit.nodes import Span, TemplateError
from cfaudit.sources.files import SKIPPED, may_be_template

MAX_FILE = 1024 * 1024
MAX_FILES = 5000
MAX_PLACES = 20

_SLASHES = ".js .mjs .cjs .jsx .ts .mts .cts .tsx .java .kt .kts .groovy .scala .go .cs .rs .php"
_HASHES = ".rb .sh .bash .bats .ps1 .feature .robot .yaml .yml"
_FOLDERS = SKIPPED | {"__snapshots__", "bin", "build", "cdk.out", "coverage", "dist", "obj", "out", "target", "vendor"}


class Place(NamedTuple):
    """A line of a test source."""

    file: str
    line: int


Places: TypeAlias = Mapping[str, tuple[Place, ...]]


class Suite(NamedTuple):
    """What the sources of a suite say: how many there are, and the first places of each word.

    ``words`` are runs of letters and digits, ``strings`` those that are the whole of a string (or its part before a
    dot) and no key of a map, ``types`` names like ``AWS::SNS::Topic``, whose parts are no words. ``left_out`` counts
    the files that were too large or too many to read.
    """

    files: int
    words: Places
    strings: Places
    types: Places
    left_out: int


def read_suite(folders: Sequence[str]) -> Suite:
    """The test sources below folders. Raises ``TemplateError`` for a folder that is not there or has none."""
    index = _Index()
    files = left_out = 0
    for path in _sources(folders):
        text = _text(path) if files < MAX_FILES else None
        if text is None:
            left_out += 1
        elif os.path.splitext(path)[1] not in (".json", ".yaml", ".yml") or not may_be_template(text):
            files += 1
            index.add(path, without_comments(text, os.path.splitext(path)[1]))
    if not files:
        start = Span(folders[0], 1, 1, 1, 1)
        raise TemplateError(start, "there is no test source below this folder", f"sources end in {' '.join(SUFFIXES)}")
    return Suite(files, *index.found(), left_out)


def _sources(folders: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for folder in folders:
        if not os.path.isdir(folder):
            raise TemplateError(Span(folder, 1, 1, 1, 1), "there is no such folder of tests", "check the path")
        for path in _walk(folder):
            if os.path.realpath(path) not in seen:
                seen.add(os.path.realpath(path))
                yield path


def _walk(folder: str) -> Iterator[str]:
    for above, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _FOLDERS and not name.startswith("."))
        for name in sorted(names):
            path = os.path.normpath(os.path.join(above, name))
            if os.path.splitext(name)[1] in SUFFIXES and os.path.isfile(path):
                yield path


def _text(path: str) -> str | None:
    """The text of a source, None where it is too large or cannot be read."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError:
        return None
    return raw.decode("utf-8-sig", "replace") if len(raw) <= MAX_FILE else None


# Comments ------------------------------------------------------------------------------------------------------------

_STRINGS = r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """
_LONG = r''' """[\s\S]*?""" | \'\'\'[\s\S]*?\'\'\' '''
_HASH = r"(?:^|(?<=\s))\#[^\n]*"
_DOCSTRING = rf"(?: \A\s* | :[ \t]*\n\s* )(?:{_LONG})"


def _scanner(comments: str, strings: str) -> re.Pattern[str]:
    """Comments, strings, and what is escaped outside of them: no quote in it may begin a string, nor a slow search."""
    return re.compile(rf"(?P<comment>{comments}) | {strings} | \\[\s\S]", re.VERBOSE | re.MULTILINE)


_SCANNERS: Mapping[str, re.Pattern[str] | None] = {
    **dict.fromkeys(
        _SLASHES.split(), _scanner(r"//[^\n]* | /\*[\s\S]*?(?:\*/|\Z)", rf"{_STRINGS} | `(?:\\.|[^`\\])*`")
    ),
    **dict.fromkeys(_HASHES.split(), _scanner(_HASH, rf"{_LONG} | {_STRINGS}")),
    ".py": _scanner(rf"{_DOCSTRING} | {_HASH}", rf"{_LONG} | {_STRINGS}"),
    ".json": None,
}
SUFFIXES = tuple(sorted(_SCANNERS))


def without_comments(text: str, suffix: str) -> str:
    """A source without its comments and docstrings, its lines where they were."""
    scanner = _SCANNERS[suffix]
    return scanner.sub(_blank, text) if scanner else text


def _blank(match: re.Match[str]) -> str:
    return match[0] if match["comment"] is None else "\n" * match[0].count("\n")


# Words ---------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Za-z0-9]+(?:::[A-Za-z0-9]+)*")
_STRING = re.compile(
    r"""(?<=["'`])([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?["'`](?!\s*(?::|=>|=[^=])) | (?<=\bResources\.)([A-Za-z0-9]+)""",
    re.VERBOSE,
)


class _Index:
    """The words of sources as they are read."""

    def __init__(self) -> None:
        self._words: dict[str, list[Place]] = {}
        self._strings: dict[str, list[Place]] = {}
        self._types: dict[str, list[Place]] = {}

    def add(self, path: str, text: str) -> None:
        """The words of one more source."""
        for number, line in enumerate(text.split("\n"), 1):
            place = Place(path, number)
            for word in set(_WORD.findall(line)):
                self._at(self._types if "::" in word else self._words, word, place)
            for name in {match[1] or match[2] for match in _STRING.finditer(line)}:
                self._at(self._strings, name, place)

    def _at(self, index: dict[str, list[Place]], word: str, place: Place) -> None:
        held = index.setdefault(word, [])
        if len(held) < MAX_PLACES:
            held.append(place)

    def found(self) -> tuple[Places, Places, Places]:
        """Words, strings and types with their places."""
        return _frozen(self._words), _frozen(self._strings), _frozen(self._types)


def _frozen(index: dict[str, list[Place]]) -> Places:
    return {word: tuple(places) for word, places in index.items()}
