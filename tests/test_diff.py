"""Comparisons: files and revisions of a real git repository, the gate, what each format says, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import cfaudit as package
from cfaudit.compare import Diff, Pair, compare
from cfaudit.finding import Severity
from cfaudit.render.diff import render
from cfaudit.report import report
from reports import audited, every_verdict, hostile, template
from stacks import AUDITED
from test_cli import MINIMAL, cfaudit

SCHEMA = json.loads((Path(package.__file__).parent / "schemas" / "diff.json").read_text(encoding="utf-8"))
TOOL = report([])["tool"]
ROTATED = MINIMAL + "      EnableKeyRotation: true\n"
TOPIC = "  News:\n    Type: AWS::SNS::Topic\n"
WHO = {f"GIT_{role}_{what}": "nobody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *words: str) -> None:
    environment = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env=environment)


def commit(folder: Path, *tags: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a change")
    for tag in tags:
        git(folder, "tag", tag)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a stack at v1; the working tree rotates the key and adds a topic."""
    git(tmp_path, "init", "-q")
    (tmp_path / "stacks").mkdir()
    stack = tmp_path / "stacks" / "app.yaml"
    stack.write_text(MINIMAL, encoding="utf-8")
    commit(tmp_path, "v1")
    stack.write_text(ROTATED + TOPIC, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    done = cfaudit("diff", *arguments, "--as-of", "2026-11-22", cwd=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def compared(folder: Path, *arguments: str | Path) -> Diff:
    code, stdout, stderr = run(folder, *arguments, "-f", "json")
    assert (code, stderr) in ((0, ""), (1, "")), stderr
    held: Diff = json.loads(stdout)
    assert not [error.message for error in Draft202012Validator(SCHEMA).iter_errors(held)]
    return held


def rules(held: Diff, what: str) -> set[str]:
    return {gap["rule"] for each in held["comparisons"] for gap in (each["opened"] if what == "+" else each["closed"])}


# Sides ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "where", "old"),
    [
        (("v1:stacks/app.yaml", "stacks/app.yaml"), ".", "v1:stacks/app.yaml"),
        (("v1:./app.yaml", "app.yaml"), "stacks", "v1:stacks/app.yaml"),
        (("--since", "v1"), ".", "v1:stacks/app.yaml"),
        (("--since", "HEAD", "stacks"), ".", "HEAD:stacks/app.yaml"),
        (("--since", "v1", "app.yaml"), "stacks", "v1:stacks/app.yaml"),
        (("--since", "v1", "stacks/*.yaml"), ".", "v1:stacks/app.yaml"),
    ],
)
def test_files_and_revisions(repository: Path, arguments: tuple[str, ...], where: str, old: str) -> None:
    held = compared(repository / where, *arguments)
    (one,) = held["comparisons"]
    assert one["old"]
    assert one["old"]["path"] == old
    assert rules(held, "-") == {"key-rotation-off"}
    assert "unencrypted-topic" in rules(held, "+")
    assert {gap["file"] for gap in one["closed"]} == {old}
    assert held["opened"] == len(one["opened"])
    assert held["unchanged"] == one["unchanged"] > 0


def test_two_files_and_two_revisions(repository: Path) -> None:
    commit(repository, "v2")
    (repository / "old.yaml").write_text(MINIMAL, encoding="utf-8")
    files = compared(repository, "old.yaml", "stacks/app.yaml")["comparisons"][0]
    revisions = compared(repository, "v1:stacks/app.yaml", "v2:stacks/app.yaml")["comparisons"][0]
    without = [[{**gap, "file": ""} for gap in each["opened"]] for each in (files, revisions)]
    assert without[0] == without[1]
    assert files["overall"] == revisions["overall"]
    back = compared(repository, "v2:stacks/app.yaml", "v1:stacks/app.yaml")
    assert (back["opened"], back["closed"]) == (len(files["closed"]), len(files["opened"]))


def test_a_renamed_file_keeps_its_gaps(repository: Path) -> None:
    git(repository, "checkout", "-q", "--", ".")
    git(repository, "mv", "stacks/app.yaml", "stacks/renamed.yaml")
    held = compared(repository, "--since", "v1")
    assert [(each["old"] or each["new"] or {})["path"] for each in held["comparisons"]] == ["v1:stacks/app.yaml"]
    assert (held["opened"], held["closed"]) == (0, 0)
    assert held["unchanged"]


def test_templates_that_come_and_go(repository: Path) -> None:
    (repository / "stacks" / "app.yaml").unlink()
    (repository / "fresh.yaml").write_text("Resources:\n" + TOPIC, encoding="utf-8")
    (repository / "values.yaml").write_text("a: 1\n", encoding="utf-8")
    held = compared(repository, "--since", "v1", "--fail-on-new", "low")
    fresh, gone = held["comparisons"]
    assert (fresh["old"], gone["new"]) == (None, None)
    assert fresh["opened"]
    assert not fresh["closed"]
    assert gone["closed"]
    assert not gone["opened"]
    assert not held["gate"]["held"]
    console = run(repository, "--since", "v1")[1]
    assert "./fresh.yaml (new)" in console
    assert "v1:stacks/app.yaml (gone)" in console


HANDLER = """Transform: AWS::Serverless-2016-10-31
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {TABLE: !Ref Things}}
      Policies: [{DynamoDBCrudPolicy: {TableName: !Ref Things}}]
"""
STUB = "def handler(event, context):\n    return {'statusCode': 200}\n"
REAL = """import os
import boto3

def handler(event, context):
    boto3.client('dynamodb').get_item(TableName=os.environ['TABLE'], Key={'id': {'S': event['id']}})
"""


def test_code_beside_the_template_is_that_of_the_revision(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    folder = tmp_path / "stacks"
    (folder / "src").mkdir(parents=True)
    (folder / "app.yaml").write_text(HANDLER, encoding="utf-8")
    (folder / "src" / "app.py").write_text(STUB, encoding="utf-8")
    (tmp_path / ".gitattributes").write_text("src export-ignore\n", encoding="utf-8")
    commit(tmp_path, "v1")
    assert compared(tmp_path, "--since", "v1")["comparisons"][0]["opened"] == []
    (folder / "src" / "app.py").write_text(REAL, encoding="utf-8")
    held = compared(tmp_path, "--since", "v1")
    (stub,) = [gap for gap in held["comparisons"][0]["closed"] if gap["rule"] == "stub-handlers"]
    assert stub["file"] == "v1:stacks/src/app.py"
    assert stub["line"] == 1
    assert not list(Path(folder).glob("**/cfaudit-*"))


# The gate and the scores ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "code"), [(None, 0), ("critical", 0), ("high", 1), ("low", 1)])
def test_the_gate_is_about_new_gaps_only(tmp_path: Path, severity: str | None, code: int) -> None:
    text = Path(AUDITED).read_text(encoding="utf-8")
    (tmp_path / "old.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(
        text.replace("PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false"), encoding="utf-8"
    )
    asked = ("--fail-on-new", severity) if severity else ()
    found, stdout, _ = run(tmp_path, "old.yaml", "new.yaml", *asked)
    assert found == code
    assert "2 opened, 0 closed, 132 unchanged" in stdout
    assert stdout.splitlines()[-1].startswith(
        "Gate  " + ("failed: 2 opened gaps" if code else "held" if severity else "not asked")
    )


def test_nothing_changed(tmp_path: Path) -> None:
    held = compared(tmp_path, AUDITED, AUDITED, "--fail-on-new", "low")
    (one,) = held["comparisons"]
    assert (one["opened"], one["closed"], one["changed"], one["unchanged"]) == ([], [], [], 132)
    assert {row["change"] for row in one["categories"]} == {0.0, None}
    assert one["overall"]["change"] == 0.0
    assert held["gate"]["held"]


def test_scores_and_grade_change(repository: Path) -> None:
    (one,) = compared(repository, "--since", "v1")["comparisons"]
    for row in (*one["categories"], one["overall"]):
        if row["old"] is not None and row["new"] is not None:
            assert row["change"] == round(row["new"] - row["old"], 1)
    assert one["grade"]["old"]
    assert one["grade"]["new"]
    assert one["old"]
    assert one["old"]["verdict"] == "pass"


def test_what_became_of_a_gap_is_told() -> None:
    (before,), (after,) = audited()["templates"], every_verdict()["templates"]
    held = compare([Pair(before, after)], TOOL, None)
    (one,) = held["comparisons"]
    states = [gap["after"]["verdict"] for gap in one["closed"] if gap["after"]]
    assert sorted(states) == ["error", "unknown", "waived", "waived"]
    text = render(held, "console", 100)
    for said in ("; waived now", "; not decided now", "; not judged now", "cfaudit broke on"):
        assert said in " ".join(text.split()), said
    back = compare([Pair(after, before)], TOOL, Severity.CRITICAL)
    assert "; was waived before" in " ".join(render(back, "markdown", 100).split())
    assert not back["gate"]["held"]


ROTATES = """Parameters: {Stage: {Type: String}}
Conditions: {IsProd: !Equals [!Ref Stage, prod]}
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties: {KeyPolicy: {}, EnableKeyRotation: !If [IsProd, true, false]}
"""


def test_another_condition_or_severity_is_a_change() -> None:
    old, new = template(ROTATES), template(ROTATES.replace("!If [IsProd, true, false]", "false"))
    (one,) = compare([Pair(old, new)], TOOL, Severity.LOW)["comparisons"]
    assert [gap["rule"] for gap in one["changed"]] == ["key-rotation-off"]
    assert one["opened"] == one["closed"] == []
    held = compare([Pair(old, new)], TOOL, Severity.LOW)
    assert held["gate"]["held"]
    assert "was so when IsProd is false" in " ".join(render(held, "console", 100).split())


def test_profiles_that_differ_are_noted(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MINIMAL, encoding="utf-8")
    (one,) = compared(tmp_path, AUDITED, "small.yaml")["comparisons"]
    assert ["profile crowdfunding before and serverless now" in note for note in one["notes"]] == [True]
    assert compared(tmp_path, AUDITED, "small.yaml", "--profile", "serverless")["comparisons"][0]["notes"] == []


def test_options_are_those_of_check(repository: Path) -> None:
    held = compared(
        repository, "--since", "v1", "--select", "security,key-rotation-off", "--ignore", "unencrypted-topic"
    )
    assert rules(held, "-") == {"key-rotation-off"}
    assert "unencrypted-topic" not in rules(held, "+")
    assert run(repository, "--since", "v1", "--param", "Nothing=1")[0] == 2
    (repository / "cfaudit.yaml").write_text("rules: {key-rotation-off: off}\n", encoding="utf-8")
    assert rules(compared(repository, "--since", "v1"), "-") == set()


# What goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stacks/app.yaml",), "name two templates"),
        ((), "name two templates"),
        (("v9:stacks/app.yaml", "stacks/app.yaml"), "git knows no revision 'v9'"),
        (("--since", "v9"), "git knows no revision 'v9'"),
        (("--since", "--output=x"), "no revision"),
        ((":stacks/app.yaml", "stacks/app.yaml"), "no revision"),
        (("v1:nowhere.yaml", "stacks/app.yaml"), "the revision has no such file"),
        (("v1:stacks", "stacks/app.yaml"), "the revision has no such file"),
        (("stacks", "stacks"), "--since REVISION compares folders"),
        (("--since", "v1", "nowhere.yaml"), "neither here nor in v1"),
        (("--since", "v1", "stacks", "../elsewhere.yaml"), "outside the repository"),
        (("nowhere.yaml", "stacks/app.yaml"), "there is no such file"),
        (("v1:stacks/app.yaml", "readme"), "readme:1:1"),
        (("--since", "v1", "readme"), "readme:1:1"),
        (("--since", "v1", "empty"), "no template to compare"),
    ],
)
def test_unusable_input(repository: Path, arguments: tuple[str, ...], says: str) -> None:
    (repository / "readme").write_text("hello: world\n", encoding="utf-8")
    (repository / "empty").mkdir()
    code, stdout, stderr = run(repository, *arguments)
    assert (code, stdout) == (2, "")
    assert says in stderr


def test_outside_a_repository_and_without_git(tmp_path: Path, repository: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    words = [sys.executable, "-m", "cfaudit", "diff", "--since", "v1"]
    done = subprocess.run(words, cwd=bare, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "not a git repository" in done.stderr
    lonely = {**os.environ, "PATH": str(bare)}
    done = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False, env=lonely)
    assert done.returncode == 2
    assert "there is no git on the PATH" in done.stderr


def test_what_was_broken_then_is_said_and_the_rest_compared(repository: Path) -> None:
    (repository / "b.yaml").write_text("Resources: {A: {Type: AWS::S3::Bucket}\n", encoding="utf-8")
    commit(repository, "v2")
    (repository / "b.yaml").write_text(MINIMAL, encoding="utf-8")
    code, stdout, stderr = run(repository, "--since", "v2")
    assert code == 2
    assert stderr.startswith("v2:b.yaml:")
    assert "stacks/app.yaml" in stdout
    assert "0 opened, 0 closed" in stdout


def test_the_environment_of_a_hook_does_not_mislead(repository: Path) -> None:
    environment = {**os.environ, "GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index"}
    words = [sys.executable, "-m", "cfaudit", "diff", "--since", "v1", "app.yaml"]
    done = subprocess.run(
        words, cwd=repository / "stacks", capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")


# The formats ---------------------------------------------------------------------------------------------------------


def test_the_console_fits_its_width(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(MINIMAL, encoding="utf-8")
    stdout = run(tmp_path, "small.yaml", AUDITED)[1]
    assert "OPENED" in stdout
    prose = [line for line in stdout.splitlines() if line.startswith("            ")]
    assert max(map(len, prose)) <= 100
    assert "\x1b" not in stdout


def test_a_comment_holds_what_is_hostile_or_long() -> None:
    (attack,), empty = hostile()["templates"], template(MINIMAL)
    text = render(compare([Pair(empty, attack)], TOOL, None), "markdown", 100)
    assert "<script>" not in text.replace("`", "")
    assert "\x1b" not in text
    assert "\u202e" not in text
    long = compare([Pair(None, audited()["templates"][0])] * 9, TOOL, Severity.HIGH)
    short = render(long, "markdown", 100)
    assert len(short.encode()) <= 65_536
    assert short.startswith("> [!NOTE]")
    assert "failed: " in short
    assert "**Opened:** 132 gaps" in short


def test_json_is_valid_for_hostile_templates() -> None:
    (attack,) = hostile()["templates"]
    for pair in (Pair(None, attack), Pair(attack, None), Pair(attack, template(MINIMAL))):
        held = json.loads(render(compare([pair], TOOL, None), "json", 100))
        assert not [error.message for error in Draft202012Validator(SCHEMA).iter_errors(held)]
