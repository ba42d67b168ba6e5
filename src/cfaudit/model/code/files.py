"""Files of code in, modules out, as imports ask for them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from tree_sitter import Node

from cfaudit.model.code.place import Text
from cfaudit.model.code.tree import Home, Module, Range, UnreadableError
from cfaudit.nodes import Span
from cfaudit.sources.local import LocalFiles

MAX_MODULES = 40
MAX_CODE = 256 * 1024

TYPED = (".ts", ".mts")
_SUFFIXES = (".mjs", ".js", ".cjs", *TYPED)


class Files:
    """The files of one function's code. ``texts`` are those that were read; ``failed`` imports name unreadable ones."""

    def __init__(self, local: LocalFiles, folder: str) -> None:
        self._local = local
        self._folder = folder
        self._modules: dict[str, Module | None] = {}
        self._asked: dict[tuple[str, str], Module | None] = {}
        self.texts: dict[str, Text] = {}
        self.home: Home = {}
        self.failed: list[tuple[Module, str]] = []

    def span(self, at: Range, module: Module) -> Span:
        """Where a stretch of a module stands."""
        return self.texts[module.path].span(at)

    def read(self, text: Text) -> Module:
        """One file's module. Raises ``UnreadableError``."""
        if len(text.text) > MAX_CODE:
            raise UnreadableError("its code is too large")
        self._modules[text.path] = None
        module, home = _parsed(text)
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
            found = self._local.text(path) if len(self._modules) < MAX_MODULES else None
            if found is None:
                continue
            try:
                return self.read(Text(found.path, found.shown, found.text, Span(found.shown, 1, 1, 1, 1)))
            except UnreadableError as error:
                self.failed.append((importer, f"{found.shown} ({error})"))
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
            yield from (stem, *(f"{bare}{other}" for other in TYPED))
        yield from (f"{stem}{other}" for other in _SUFFIXES)
        yield from (f"{stem}/index{other}" for other in _SUFFIXES)


def _parsed(text: Text) -> tuple[Module, Home]:
    if text.path.endswith(".py"):
        from cfaudit.model.code import python

        root = python.parse(text.text)
        _must_be_sound(root, text)
        return python.read(root, text.path)
    from cfaudit.model.code import javascript

    root = javascript.parse(text.text, typed=text.path.endswith(TYPED))
    _must_be_sound(root, text)
    return javascript.read(root, text.path)


def _must_be_sound(root: Node, text: Text) -> None:
    """Raises ``UnreadableError`` at the first syntax error."""
    if not root.has_error:
        return
    node = root
    while node.type != "ERROR" and not node.is_missing:
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
    row, column = node.start_point
    where = text.span((row, column, row, column))
    raise UnreadableError(f"its code has a syntax error at {where.file}:{where.line}")
