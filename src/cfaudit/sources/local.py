"""A template's path in, the text of files that lie beside it out: handler code, a workflow's definition.

Nothing is read before it is asked for, nothing outside the folder that holds the template, and not without bound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cfaudit.sources.files import SKIPPED

MAX_FILE = 256 * 1024
MAX_FILES = 200
MAX_FOLDERS = 500
CODE = frozenset({".js", ".mjs", ".cjs", ".ts", ".mts", ".py"})


class File(NamedTuple):
    """A file beside a template: its path from the template's folder, its path for people, and its text."""

    path: str
    shown: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class LocalFiles:
    """The files beside a template. ``folder`` is the folder as given (``""``: the working directory), None: no files.

    Paths are relative to that folder and separated by ``/``, as templates write them. ``prefix`` stands before them for
    people where the folder is but a copy, ``v1.2:stacks/`` for example; None: the folder itself does.
    """

    folder: str | None = None
    prefix: str | None = None

    def text(self, path: str) -> File | None:
        """One file; None if it is not there, lies outside the folder, is too large or is no UTF-8 text."""
        found = self._inside(path)
        if found is None or not os.path.isfile(found) or os.path.getsize(found) > MAX_FILE:
            return None
        try:
            with open(found, encoding="utf-8-sig", newline="") as file:
                text = file.read(MAX_FILE + 1)
        except (OSError, UnicodeDecodeError):
            return None
        return File(_normal(path), self._shown(path), text.replace("\r\n", "\n"))

    def named(self, shown: str) -> File | None:
        """One file by its path for people."""
        if self.prefix is not None:
            return self.text(shown.removeprefix(self.prefix))
        return self.text(os.path.relpath(shown, self.folder or "."))

    def has_folder(self, path: str) -> bool:
        """Whether a folder of this path is there."""
        found = self._inside(path)
        return found is not None and os.path.isdir(found)

    def has_file(self, path: str) -> bool:
        """Whether a file of this path is there, be it too large or no text."""
        found = self._inside(path)
        return found is not None and os.path.isfile(found)

    def sources(self, path: str) -> tuple[str, ...]:
        """The code files in a folder and below, sorted; packages' folders and links are not followed."""
        found = self._inside(path)
        return tuple(_below(found, _normal(path))) if found and os.path.isdir(found) else ()

    def _inside(self, path: str) -> str | None:
        if self.folder is None or not path or "\0" in path or os.path.isabs(path):
            return None
        root = os.path.realpath(self.folder)
        found = os.path.realpath(os.path.join(root, path))
        return found if found == root or found.startswith(root.rstrip(os.sep) + os.sep) else None

    def _shown(self, path: str) -> str:
        if self.prefix is not None:
            return f"{self.prefix}{_normal(path)}"
        return os.path.normpath(os.path.join(self.folder or "", path))


NO_FILES = LocalFiles()


def beside(template: str) -> LocalFiles:
    """The files beside a template's file; none where there is no such file (standard input, a text in memory)."""
    return LocalFiles(os.path.dirname(template)) if os.path.isfile(template) else NO_FILES


def _normal(path: str) -> str:
    return os.path.normpath(path).replace(os.sep, "/")


def _below(root: str, path: str) -> Iterator[str]:
    count = 0
    for visited, (folder, folders, names) in enumerate(os.walk(root)):
        folders[:] = sorted(name for name in folders if name not in SKIPPED) if visited < MAX_FOLDERS else []
        inner = os.path.relpath(folder, root)
        for name in sorted(names):
            if os.path.splitext(name)[1] in CODE and not os.path.islink(os.path.join(folder, name)):
                count += 1
                if count > MAX_FILES:
                    return
                yield _normal(os.path.join(path, inner, name))
