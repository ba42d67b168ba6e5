"""A run and the files that it reads in, the same run again whenever one of them changes; Ctrl-C ends it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from cfaudit import fleet
from cfaudit.cli.shell import EXPECTED, message
from cfaudit.config import NAMES
from cfaudit.sources.files import SKIPPED, inputs
from cfaudit.sources.local import MAX_FOLDERS

INTERRUPTED = 130
INTERVAL = 0.3
"""Seconds between two looks. A look at 1,000 files takes some 25 ms, so nothing has to be installed for it."""

Seen: TypeAlias = Mapping[str, tuple[int, int, int]]
"""Time of change, size and inode of each file that is there."""


def watch(run: Callable[[], int], look: Callable[[], Seen]) -> int:
    """Run, and again after each change; what ends a single run is told, and the next change is waited for."""
    changed: list[str] = []
    try:
        while True:
            seen = look()
            _clear()
            if changed:
                print(f"changed: {', '.join(changed)}", file=sys.stderr)
            fleet.forget()
            try:
                run()
            except EXPECTED as error:
                print(message(error), file=sys.stderr)
            sys.stdout.flush()
            print(f"watching {len(seen)} files; Ctrl-C ends", file=sys.stderr)
            changed = _wait(seen, look)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED


def looker(paths: Iterable[str], files: Iterable[str], written: Iterable[Path]) -> Callable[[], Seen]:
    """A look at the templates below ``paths`` and at ``files``, without those that the run itself writes."""
    named, besides = tuple(paths), tuple(files)
    ours = {os.path.abspath(path) for path in written}
    streams = {(held.st_dev, held.st_ino) for held in map(os.fstat, (1, 2))}

    def look() -> Seen:
        found = {}
        for path in map(os.path.normpath, (*_read_by(named), *besides)):
            try:
                held = os.stat(path)
            except OSError:
                continue
            if (held.st_dev, held.st_ino) not in streams and os.path.abspath(path) not in ours:
                found[path] = (held.st_mtime_ns, held.st_size, held.st_ino)
        return found

    return look


def _read_by(paths: Iterable[str]) -> Iterator[str]:
    """Every file that an audit of the paths may read: templates, what lies beside them, their configurations."""
    folders = set()
    for entry in inputs(paths):
        yield entry.path
        folders.add(Path(entry.path).parent)
        profile = _profile(entry.path)
        if profile:
            yield profile
    for folder in folders:
        yield from (str(above / name) for above in (folder, *folder.resolve().parents) for name in NAMES)
        if not any(above in folders for above in folder.parents):
            yield from _below(folder)


def _profile(template: str) -> str | None:
    """The profile that the configuration names, where that can be read."""
    try:
        return fleet.config_of(template).profile
    except EXPECTED:
        return None


def _below(folder: Path) -> Iterator[str]:
    """The files in a folder and below, without packages' folders and editors' own files."""
    for visited, (inner, folders, names) in enumerate(os.walk(folder)):
        folders[:] = sorted(name for name in folders if name not in SKIPPED) if visited < MAX_FOLDERS else []
        yield from (os.path.join(inner, name) for name in names if not name.startswith(".") and not name.endswith("~"))


def _wait(seen: Seen, look: Callable[[], Seen]) -> list[str]:
    """The files that changed, as soon as some did and nothing changes any more."""
    now = look()
    while now == seen:
        time.sleep(INTERVAL)
        now = look()
    time.sleep(INTERVAL / 3)
    while (later := look()) != now:
        now = later
        time.sleep(INTERVAL / 3)
    return sorted(path for path in seen.keys() | now.keys() if seen.get(path) != now.get(path))


def _clear() -> None:
    """An empty screen, where there is one: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        sys.stdout.write("\x1b[H\x1b[2J\x1b[3J")
        sys.stdout.flush()
