"""This repository as others get it: its files, those not committed yet included, as a git repository of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cfaudit import __version__
from stacks import ROOT

REVISION = f"v{__version__}"


def git(*words: str, cwd: Path) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def published(folder: Path) -> Path:
    """A repository in ``folder`` that has this one's files in a single, tagged commit."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", "published", cwd=folder)
    git("tag", REVISION, cwd=folder)
    return folder
