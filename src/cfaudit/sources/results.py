"""JUnit reports in, how many tests passed, failed, broke and were skipped out.

Test cases are counted, not what the elements around them claim: nested suites repeat their sums, and writers differ.
A document type is refused: no JUnit report needs one, and every attack with entities does.
https://docs.python.org/3.11/library/xml.html#xml-vulnerabilities
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from xml.parsers import expat

from cfaudit.nodes import Span, TemplateError

MAX_BYTES = 64 * 2**20
_ROOTS = ("testsuites", "testsuite")
_OUTCOMES = ("error", "failure", "skipped")
_NOT_RUN = ("notrun", "disabled")
"""GoogleTest's ``status`` of a test that was not run. https://google.github.io/googletest/advanced.html"""


class Run(NamedTuple):
    """How tests ended; ``failed`` are failed assertions, ``errors`` tests that broke."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0

    @property
    def run(self) -> int:
        """How many tests were run."""
        return self.passed + self.failed + self.errors


def read_run(paths: Iterable[str]) -> Run:
    """The tests of several reports together. Raises ``TemplateError`` for what is no JUnit report."""
    runs = [_report(path) for path in paths]
    return Run(*(sum(column) for column in zip(*runs, strict=True)))


def _report(path: str) -> Run:
    reader = _Reader(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise TemplateError(reader.span(), "there is no such JUnit report", "check the path") from None
    except OSError as error:
        raise TemplateError(reader.span(), f"the report cannot be read: {error.strerror}", "check the path") from None
    if len(raw) > MAX_BYTES:
        raise TemplateError(reader.span(), f"the report is larger than {MAX_BYTES // 2**20} MiB", "split it")
    return reader.run(raw)


class _Reader:
    """Reads one report, element by element."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._counts = dict.fromkeys(("passed", *_OUTCOMES), 0)
        self._case: str | None = None
        self._inside: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def run(self, raw: bytes) -> Run:
        """What the report says."""
        try:
            self._parser.Parse(raw, True)
        except expat.ExpatError as error:
            where = self.span(error.lineno, error.offset + 1)
            said = expat.ErrorString(error.code)
            raise TemplateError(where, f"this is no well-formed XML: {said}", "name a JUnit report") from None
        return Run(*(self._counts[name] for name in ("passed", "failure", "error", "skipped")))

    def span(self, line: int = 1, column: int = 1) -> Span:
        """A place in the report."""
        return Span(self._path, line, column, line, column + 1)

    def _refuse(self, message: str) -> None:
        where = self.span(self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)
        raise TemplateError(where, message, "name a JUnit report: <testsuites>, or one <testsuite>")

    def _doctype(self, *_: object) -> None:
        self._refuse("a JUnit report has no document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._inside and name not in _ROOTS:
            self._refuse(f"this is no JUnit report but <{name}>")
        if name == "testcase":
            self._case = "skipped" if attributes.get("status") in _NOT_RUN else "passed"
        elif self._inside and self._inside[-1] == "testcase" and name in _OUTCOMES:
            known = ("passed", *reversed(_OUTCOMES))
            self._case = max(self._case or "passed", name, key=known.index)
        self._inside.append(name)

    def _end(self, name: str) -> None:
        self._inside.pop()
        if name == "testcase" and self._case is not None:
            self._counts[self._case] += 1
            self._case = None
