"""All formats at once: what the command line offers is what there is, and one run writes them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cfaudit.cli.check import Format
from cfaudit.render import RENDERERS
from reports import KEY


def test_the_command_line_offers_every_format() -> None:
    assert {member.value for member in Format} == {"console", *RENDERERS}


def test_a_format_is_imported_when_it_is_asked_for() -> None:
    code = "import sys, cfaudit.cli, cfaudit.render; print(*[m for m in sys.modules if m.startswith('cfaudit.render')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cfaudit.render"]


def test_one_run_writes_them_all(tmp_path: Path) -> None:
    (tmp_path / "key.yaml").write_text(KEY, encoding="utf-8")
    outputs = [argument for name in RENDERERS for argument in ("-o", f"{name}={name}.out")]
    given = ["check", "key.yaml", "--fail-on", "never", "--as-of", "2026-11-22", "-q", *outputs]
    done = subprocess.run(
        [sys.executable, "-m", "cfaudit", *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in RENDERERS:
        written = (tmp_path / f"{name}.out").read_bytes()
        assert written.endswith(b"\n")
        assert b"key-rotation-off" in written
