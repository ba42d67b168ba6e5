"""``check --watch`` as a user meets it: a real process on a real terminal, files edited while it runs."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from test_cli import cfaudit

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
TEMPLATE = """\
Resources:
  Handler:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      Role: !GetAtt Role.Arn
      Code: src/
      Environment: {Variables: {TABLE_NAME: !Ref Table}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Action: sts:AssumeRole, Principal: {Service: lambda.amazonaws.com}}]
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: Id, AttributeType: S}]
      KeySchema: [{AttributeName: Id, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
"""
STUB = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"
REAL = """\
import os, boto3
def handler(event, context):
    return boto3.resource('dynamodb').Table(os.environ['TABLE_NAME']).get_item(Key={'Id': event['id']})
"""


class Watching:
    """A process on a terminal of its own, and what it prints there."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(cwd)
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-m", "cfaudit", "check", *arguments, "--watch"])

    def round(self) -> str:
        """What is printed until the process waits for a change."""
        text, end = b"", time.monotonic() + 60
        while b"Ctrl-C ends" not in text:
            assert time.monotonic() < end, text.decode()
            if select.select([self._terminal], [], [], 0.2)[0]:
                text += os.read(self._terminal, 65536)
        return text.decode().replace("\r\n", "\n")

    def silent(self, seconds: float) -> bool:
        """Whether nothing more is printed for so long, but the rest of a line."""
        os.read(self._terminal, 65536) if select.select([self._terminal], [], [], 0.2)[0] else b""
        return not select.select([self._terminal], [], [], seconds)[0]

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C, as a terminal sends it: the exit code and what was printed last."""
        os.write(self._terminal, b"\x03")
        text = b""
        with suppress(OSError):  # Linux answers so when the other side is closed
            while chunk := os.read(self._terminal, 65536):
                text += chunk
        status = os.waitpid(self._process, 0)[1]
        self._process = 0
        return os.waitstatus_to_exitcode(status), text.decode()

    def stop(self) -> None:
        """End what is left of it."""
        os.close(self._terminal)
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(STUB, encoding="utf-8")
    (tmp_path / "stack.yaml").write_text(TEMPLATE, encoding="utf-8")
    return tmp_path


@contextmanager
def watching(*arguments: str, cwd: Path) -> Iterator[Watching]:
    held = Watching(*arguments, cwd=cwd)
    try:
        yield held
    finally:
        held.stop()


def test_template_code_and_configuration_are_watched(folder: Path) -> None:
    options = ("stack.yaml", "--output", "json=report.json", "--profile", "serverless")
    with watching(*options, cwd=folder) as held:
        first = held.round()
        assert first.startswith(CLEAR)
        assert "stub-handlers" in first
        assert held.silent(1.5), "its own output must not wake it"

        (folder / "src" / "app.py").write_text(REAL, encoding="utf-8")
        second = held.round()
        assert "changed: src/app.py" in second
        assert CLEAR in second
        assert "stub-handlers" not in second

        assert "not judged" not in second
        (folder / "cfaudit.yaml").write_text("rules: {table-unprotected: off}\n", encoding="utf-8")
        third = held.round()
        assert "changed: " in third
        assert "not judged: table-unprotected" in third

        (folder / "stack.yaml").write_text(TEMPLATE.replace("src/", "lib/"), encoding="utf-8")
        assert "changed: stack.yaml" in held.round()

        code, rest = held.interrupt()
        assert code == 130
        assert "Traceback" not in rest
        assert "Abort" not in rest
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["templates"]


def test_broken_input_is_told_and_waited_for(folder: Path) -> None:
    with watching(".", cwd=folder) as held:
        assert "stub-handlers" in held.round()
        (folder / "cfaudit.yaml").write_text("profle: auto\n", encoding="utf-8")
        assert "'profle' is no key of a configuration" in held.round()
        (folder / "cfaudit.yaml").write_text("profile: auto\n", encoding="utf-8")
        assert "stub-handlers" in held.round()
        (folder / "more.yaml").write_text(TEMPLATE, encoding="utf-8")
        assert "more.yaml" in held.round()
        (folder / "stack.yaml").unlink()
        gone = held.round()
        assert "changed: stack.yaml" in gone
        assert "stub-handlers" in gone
        assert held.interrupt()[0] == 130


def test_wrong_arguments_end_it_at_once(folder: Path) -> None:
    stdin = cfaudit("check", "-", "--watch", cwd=folder, stdin=TEMPLATE)
    assert (stdin.returncode, stdin.stdout) == (2, "")
    assert "standard input cannot be watched" in stdin.stderr
    unknown = cfaudit("check", "stack.yaml", "--watch", "--select", "nosuch", cwd=folder)
    assert unknown.returncode == 2
    assert "matches no rule" in unknown.stderr
