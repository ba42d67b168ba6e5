"""The hook, run by pre-commit itself on a scratch repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from stacks import AUDITED, REFERENCE, ROOT


def test_hook_fails_on_a_critical_gap_and_passes_other_files_unread(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *words], cwd=scratch, check=True, capture_output=True)

    def hook(*files: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pre_commit", "try-repo", str(ROOT), "cfaudit", "--verbose", "--files", *files]
        return subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)

    shutil.copy(AUDITED, scratch / "stack.yaml")
    shutil.copy(REFERENCE, scratch / "complete.yaml")
    (scratch / "values.yaml").write_text("replicas: {{ .Values.replicas }}\n", encoding="utf-8")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "scratch")

    failing = hook("stack.yaml", "values.yaml")
    assert failing.returncode == 1, failing.stdout + failing.stderr
    assert "missing-fraud-detector" in failing.stdout
    passing = hook("complete.yaml", "values.yaml")
    assert passing.returncode == 0, passing.stdout + passing.stderr
    assert "A+" in passing.stdout
