"""Validity in the same report: both engines, the lines they name, what it makes of the readiness, a missing package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfaudit.cli.shell import arguments
from cfaudit.validity import CFN_LINT, ENGINES, FAST, validate
from stacks import REFERENCE, ROOT
from test_cli import cfaudit

BAD = """\
Parameters: {Unused: {Type: String, Default: x}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketNme: x
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: !Ref Nope
      BillingMode: PAY_PER_REQUEST
"""
GOOD = "Resources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties: {EnableKeyRotation: true}\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_are_at_their_lines_under_cfn_lints_ids(engine: str) -> None:
    found = validate(engine, BAD, "bad.yaml", "eu-west-1", {})
    assert found.engine.startswith(engine)
    errors = {(problem.rule, problem.span.line) for problem in found.problems if problem.level == "error"}
    assert {("E3002", 6), ("E1020", 10)} <= errors
    warnings = {(problem.rule, problem.span.line) for problem in found.problems if problem.level == "warning"}
    assert ("W2001", 1) in warnings
    assert {problem.span.file for problem in found.problems} == {"bad.yaml"}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_invalid_template_fails_the_gate_and_does_not_deploy(tmp_path: Path, engine: str) -> None:
    (tmp_path / "bad.yaml").write_text(BAD, encoding="utf-8")
    done = cfaudit("check", "bad.yaml", "--lint", engine, "-f", "json", cwd=tmp_path)
    assert done.returncode == 1
    (template,) = json.loads(done.stdout)["templates"]
    found = [finding for finding in template["findings"] if finding["rule"] == "invalid-template"]
    assert {finding["severity"] for finding in found if finding["verdict"] == "fail"} == {"critical"}
    (warning,) = [finding for finding in found if finding["verdict"] == "info"]
    assert warning["message"].startswith("W2001")
    assert warning["cost"] == 0
    assert template["scorecard"]["readiness"]["deploys"] == "no"


def test_warnings_alone_leave_the_rule_holding(tmp_path: Path) -> None:
    text = "Parameters: {Unused: {Type: String, Default: x}}\n" + GOOD
    (tmp_path / "stack.yaml").write_text(text, encoding="utf-8")
    done = cfaudit(
        "check", "stack.yaml", "--lint", "-f", "json", "--fail-on", "low", "--select", "invalid-template", cwd=tmp_path
    )
    assert done.returncode == 0
    (template,) = json.loads(done.stdout)["templates"]
    assert [rule["verdict"] for rule in template["rules"]] == ["pass"]
    assert [finding["verdict"] for finding in template["findings"]] == ["info"]
    assert template["scorecard"]["readiness"]["deploys"] == "yes"


def test_what_must_be_done_before_leaves_the_answer_open(tmp_path: Path) -> None:
    done = cfaudit("check", REFERENCE, "--lint", "-f", "json", cwd=tmp_path)
    (template,) = json.loads(done.stdout)["templates"]
    readiness = template["scorecard"]["readiness"]
    assert readiness["deploys"] == "unknown"
    assert any("fraud-detector-eligibility" in reason["text"] for reason in readiness["reasons"])
    assert {rule["verdict"] for rule in template["rules"] if rule["id"] == "invalid-template"} == {"pass"}


def test_a_misspelt_property_of_the_reference_makes_it_invalid(tmp_path: Path) -> None:
    text = REFERENCE.read_text(encoding="utf-8").replace("EnableKeyRotation:", "EnableKeyRotatoin:", 1)
    (tmp_path / "stack.yaml").write_text(text, encoding="utf-8")
    done = cfaudit("check", "stack.yaml", "--lint", "-f", "json", "--select", "invalid-template", cwd=tmp_path)
    (template,) = json.loads(done.stdout)["templates"]
    (finding,) = [finding for finding in template["findings"] if finding["verdict"] == "fail"]
    line = next(number for number, held in enumerate(text.splitlines(), start=1) if "EnableKeyRotatoin" in held)
    assert (finding["evidence"][0]["line"], finding["logical_id"]) == (line, "DataKey")


def test_a_configuration_of_cfn_lint_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".cfnlintrc").write_text("ignore_checks: [E3002, E1020]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    rules = {problem.rule for problem in validate(CFN_LINT, BAD, "bad.yaml", None, {}).problems}
    assert {"E3002", "E1020"} <= rules


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_package_is_one_line(tmp_path: Path, engine: str) -> None:
    (tmp_path / "stack.yaml").write_text(GOOD, encoding="utf-8")
    hidden = tmp_path / "hidden"
    for name in ("cfnlint", "cloudformation_validate"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "cfaudit", "check", "stack.yaml", "--lint", engine],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(hidden)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"{engine} is not installed; install it with: pip install 'cfaudit[{EXTRA[engine]}]'\n"


EXTRA = {FAST: "lint", CFN_LINT: "cfn-lint"}


def test_the_extras_are_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in text for extra in EXTRA.values())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["check", "--lint", "a.yaml"], ["check", f"--lint={FAST}", "a.yaml"]),
        (["check", "a.yaml", "--lint"], ["check", "a.yaml", f"--lint={FAST}"]),
        (["check", "--lint", CFN_LINT, "a.yaml"], ["check", "--lint", CFN_LINT, "a.yaml"]),
        (["check", f"--lint={CFN_LINT}"], ["check", f"--lint={CFN_LINT}"]),
        ([], []),
    ],
)
def test_lint_alone_means_the_first_engine(words: list[str], meant: list[str]) -> None:
    assert arguments(words) == meant


def test_a_template_that_names_what_it_does_not_declare_does_not_deploy(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(GOOD + "Outputs: {Table: {Value: !Ref Orders}}\n", encoding="utf-8")
    done = cfaudit("check", "broken.yaml", "-f", "json", cwd=tmp_path)
    readiness = json.loads(done.stdout)["templates"][0]["scorecard"]["readiness"]
    assert readiness["deploys"] == "no"
    assert (
        readiness["reasons"][-1]["text"]
        == "Ref names 'Orders', but the template declares no such resource or parameter"
    )
