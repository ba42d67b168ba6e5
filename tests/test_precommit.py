"""The hook, installed by pre-commit itself into a scratch repository, then run with no network at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repository import REVISION, git, published
from stacks import AUDITED, REFERENCE

CONFIG = """\
repos:
  - repo: {url}
    rev: {revision}
    hooks:
      - id: cfaudit
        args: [{args}]
"""
NO_SOCKETS = """\
import socket
class Refused(socket.socket):
    def __init__(self, *words, **options):
        raise OSError("no network here")
socket.socket = Refused
"""
NAMES = ("stack.yaml", "complete.yaml", "infra/complete copy.yaml", "values.yaml")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with templates whose hook is installed, with pre-commit's store beside it."""
    scratch = tmp_path_factory.mktemp("hook") / "scratch"
    (scratch / "infra").mkdir(parents=True)
    shutil.copy(AUDITED, scratch / NAMES[0])
    shutil.copy(REFERENCE, scratch / NAMES[1])
    shutil.copy(REFERENCE, scratch / NAMES[2])
    (scratch / NAMES[3]).write_text("replicas: {{ .Values.replicas }}\n", encoding="utf-8")
    url = published(tmp_path_factory.mktemp("cfaudit")).as_uri()
    configure(scratch, url)
    git("init", "--quiet", cwd=scratch)
    git("add", ".", cwd=scratch)
    done = pre_commit("install", "--install-hooks", cwd=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    return scratch


def configure(scratch: Path, url: str, args: str = "") -> None:
    text = CONFIG.format(url=url, revision=REVISION, args=args)
    (scratch / ".pre-commit-config.yaml").write_text(text, encoding="utf-8")


def pre_commit(*words: str, cwd: Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PRE_COMMIT_HOME": str(cwd.parent / "store")}
    if not before and words[0] == "run":
        environment["PYTHONPATH"] = str(cwd.parent / "no-sockets")
    command = [*before, sys.executable, "-m", "pre_commit", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def offline(scratch: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run in a network namespace that has no interface; where that is not permitted, with sockets that refuse."""
    namespace = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
        return pre_commit(*words, cwd=scratch, before=namespace)
    (scratch.parent / "no-sockets").mkdir(exist_ok=True)
    (scratch.parent / "no-sockets" / "sitecustomize.py").write_text(NO_SOCKETS, encoding="utf-8")
    return pre_commit(*words, cwd=scratch)


def test_several_files_are_audited_offline_and_others_pass_unread(installed: Path) -> None:
    failing = offline(installed, "run", "--verbose", "--files", *NAMES)
    assert failing.returncode == 1, failing.stdout + failing.stderr
    assert "missing-fraud-detector" in failing.stdout
    assert "complete copy.yaml" in failing.stdout
    assert "values.yaml" not in failing.stdout
    passing = offline(installed, "run", "--verbose", "--files", *NAMES[1:])
    assert passing.returncode == 0, passing.stdout + passing.stderr
    assert "A+" in passing.stdout


def test_args_are_options_of_check(installed: Path) -> None:
    url = (installed / ".pre-commit-config.yaml").read_text(encoding="utf-8").split("repo: ")[1].split("\n")[0]
    configure(installed, url, "--fail-on, never, --quiet")
    lenient = offline(installed, "run", "--verbose", "--files", "stack.yaml")
    assert lenient.returncode == 0, lenient.stdout + lenient.stderr
    assert "Resource Completeness" in lenient.stdout
    assert "FRAUD_DETECTOR_NAME" not in lenient.stdout
    configure(installed, url, "--min-score, '99'")
    assert offline(installed, "run", "--files", "stack.yaml").returncode == 1
    configure(installed, url)


def test_a_commit_is_refused_offline(installed: Path) -> None:
    git("add", "stack.yaml", ".pre-commit-config.yaml", cwd=installed)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    environment = {**os.environ, "PRE_COMMIT_HOME": str(installed.parent / "store")}
    done = subprocess.run(
        ["git", *identity, "commit", "--message", "more"],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "missing-fraud-detector" in done.stdout + done.stderr
