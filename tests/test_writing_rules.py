"""docs/writing-rules.md, followed word for word in an empty directory: its files, its commands, what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stacks import ROOT

PAGE = ROOT / "docs" / "writing-rules.md"
_STEP = re.compile(r"(?:^Write `([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class File(NamedTuple):
    path: str
    text: str


class Command(NamedTuple):
    line: str
    printed: str


def steps(page: str) -> Iterator[File | Command]:
    """The files that the page has one write, and the commands that it has one run, in order."""
    for path, language, body in _STEP.findall(page):
        if language == "console":
            for block in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                line, _, printed = block.partition("\n")
                yield Command(line, printed)
        else:
            assert path, f"a block that is neither written nor run: {body}"
            yield File(path, body)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of its own, whose ``cfaudit`` and ``pip`` are those of the tests' environment."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, body in (
        ("cfaudit", "from cfaudit.__main__ import run; run()"),
        ("pip", "import sys; from pip._internal.cli.main import main; sys.exit(main())"),
    ):
        script = folder / "bin" / name
        script.write_text(f"#!{python}\n{body}\n")
        script.chmod(0o755)
    return folder / "bin"


def environment(commands: Path) -> dict[str, str]:
    """Offline: what a build needs is there already."""
    pip = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "COLUMNS", "FORCE_COLOR"))}
    return {**kept, **pip, "PATH": f"{commands}{os.pathsep}{kept['PATH']}", "PIP_ROOT_USER_ACTION": "ignore"}


def test_the_page_is_true(tmp_path: Path, commands: Path) -> None:
    done = list(steps(PAGE.read_text(encoding="utf-8")))
    assert len([step for step in done if isinstance(step, Command)]) >= 8
    for step in done:
        if isinstance(step, File):
            path = tmp_path / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        ran = subprocess.run(
            step.line, shell=True, cwd=tmp_path, capture_output=True, text=True, env=environment(commands), check=False
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        assert shown(ran.stdout + ran.stderr, step.printed), f"$ {step.line}\n{ran.stdout}{ran.stderr}"


def shown(printed: str, said: str) -> bool:
    """Whether the page shows what was printed; ``…`` alone on a line stands for lines left out."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + "\n" for line in said.splitlines())
    return re.fullmatch(pattern, re.sub(r"[ \t]+$", "", printed, flags=re.MULTILINE)) is not None
