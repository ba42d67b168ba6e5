"""A revision of a git repository in, copies of its files out, as they were committed.

The blobs are read as they are: a checkout or an archive would run the repository's hooks and filters, and leave out
what its attributes say.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cfaudit.load import MAX_BYTES
from cfaudit.sources.files import SUFFIXES
from cfaudit.sources.local import MAX_FILE

_LINK, _MODULE = "120000", "160000"
_AT_ONCE = 200
_OWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


class RevisionError(Exception):
    """The revision cannot be read: why, in one sentence."""


class Blob(NamedTuple):
    """A file of a revision."""

    mode: str
    id: str
    size: int


class Revision(NamedTuple):
    """A commit under the name that it was given, and its files by their paths from the repository's root."""

    root: Path
    name: str
    commit: str
    files: Mapping[str, Blob]


def revision(name: str, folder: Path) -> Revision:
    """A revision of the repository that a folder is in. Raises ``RevisionError``."""
    held = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    root = Path(os.fsdecode(_git(held, "rev-parse", "--show-toplevel")).rstrip("\n"))
    if not name or name.startswith("-"):
        raise RevisionError(f"{name!r} is no revision")
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except RevisionError:
        raise RevisionError(f"git knows no revision {name!r} here") from None
    return Revision(root, name, commit, dict(_listed(root, commit)))


def copied(held: Revision, folder: str, into: Path) -> None:
    """Copy the files in a folder of a revision (``""``: the root) and below; of what is too large to read, the size."""
    within = f"{folder}/" if folder else ""
    wanted = {path: blob for path, blob in held.files.items() if path.startswith(within) and _is_file(path, blob)}
    small = {path: blob for path, blob in wanted.items() if blob.size <= _limit(path)}
    links = {}
    for path, content in _contents(held.root, small):
        if wanted[path].mode == _LINK:
            links[into / path] = os.fsdecode(content)
            continue
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        (into / path).write_bytes(content)
    for path in wanted.keys() - small.keys():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        with (into / path).open("wb") as file:
            file.truncate(wanted[path].size)
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _is_file(path: str, blob: Blob) -> bool:
    """Whether it can be copied: no other repository, and within the folder that it is copied into."""
    return blob.mode != _MODULE and not os.path.isabs(path) and ".." not in path.split("/")


def renamed(held: Revision) -> dict[str, str]:
    """The files that have another path in the working tree now, by their path then."""
    told = _git(held.root, "diff", "--no-ext-diff", "--name-status", "-z", "-M", "--diff-filter=R", held.commit, "--")
    fields = [os.fsdecode(field) for field in told.split(b"\0") if field]
    return dict(zip(fields[1::3], fields[2::3], strict=False))


def _limit(path: str) -> int:
    return MAX_BYTES if os.path.splitext(path)[1] in SUFFIXES else MAX_FILE


def _listed(root: Path, commit: str) -> Iterator[tuple[str, Blob]]:
    for line in _git(root, "ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if path:
            mode, _, identity, size = facts.decode().split()
            yield os.fsdecode(path), Blob(mode, identity, int(size) if size.isdigit() else 0)


def _contents(root: Path, blobs: Mapping[str, Blob]) -> Iterator[tuple[str, bytes]]:
    """The bytes of files, asked for some at a time."""
    paths = list(blobs)
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        asked = "".join(f"{blobs[path].id}\n" for path in some).encode()
        told, at = _git(root, "cat-file", "--batch", stdin=asked), 0
        for path in some:
            begin = told.index(b"\n", at) + 1
            at = begin + blobs[path].size
            yield path, told[begin:at]
            at += 1


def _git(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, input=stdin, capture_output=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise RevisionError("there is no git on the PATH; compare two files instead") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise RevisionError(f"git: {said[0].removeprefix('fatal: ')}")
    return done.stdout
