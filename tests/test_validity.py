"""Validity in the same report: both engines, the lines they name, what it makes of the readiness, a missing package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfaudit import validity
from cfaudit.cli.shell import arguments
from cfaudit.fleet import Options, run
from cfaudit.report import FindingObject, TemplateObject
from cfaudit.sources.files import inputs
from cfaudit.validity import CFN_LINT, ENGINES, FAST, Validity, validate
from stacks import AS_OF, REFERENCE, ROOT
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


def linted(folder: Path, text: str, engine: str, name: str = "stack.yaml", config: str = "") -> TemplateObject:
    """The report of one template whose only rule is its validity."""
    (folder / name).write_text(text, encoding="utf-8")
    if config:
        (folder / "cfaudit.yaml").write_text(config, encoding="utf-8")
    options = Options(as_of=AS_OF, lint=engine, select=frozenset({"invalid-template"}))
    (outcome,) = run(inputs([str(folder / name)]), options)
    return outcome.templates[0]


def told(template: TemplateObject) -> list[tuple[str, str, int]]:
    """Verdict, the engine's id and line of each finding."""
    return [(held["verdict"], held["message"].partition(":")[0], line_of(held)) for held in template["findings"]]


def line_of(finding: FindingObject) -> int:
    return finding["evidence"][0]["line"]


IGNORED = """\
Metadata:
  cfn-lint: {config: {ignore_checks: [E3012], configure_rules: {E3012: {strict: false}}}}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Metadata: {cfn-lint: {config: {ignore_checks: [E3002]}}}
    Properties:
      Bogus: 1
      ObjectLockEnabled: [true]
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_template_tells_cfn_lint_to_ignore_is_shown_by_both_engines(tmp_path: Path, engine: str) -> None:
    template = linted(tmp_path, IGNORED, engine)
    assert {("info", "E3002", 8), ("info", "E3012", 9)} <= set(told(template))
    assert template["verdict"] == "pass"
    (rule,) = template["rules"]
    assert rule["verdict"] == "unknown"
    card = template["scorecard"]
    assert card is not None
    assert card["readiness"]["deploys"] == "unknown"
    whole = linted(tmp_path, IGNORED.replace("cfn-lint", "cfn-lynt"), engine)
    assert {("fail", "E3002", 8), ("fail", "E3012", 9)} <= set(told(whole))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_macro_of_the_whole_template_may_mend_its_errors(tmp_path: Path, engine: str) -> None:
    text = "Transform: [OurMacro]\nResources: {Bucket: {Type: AWS::S3::Bucket, Properties: {Bogus: 1}}}\n"
    template = linted(tmp_path, text, engine)
    assert told(template) == [("unknown", "E3002", 2)]
    assert template["findings"][0]["message"].endswith("unless the macro OurMacro changes that")


LOOP = """\
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Buckets:
    - Name
    - [A, B]
    - Bucket${Name}:
        Type: AWS::S3::Bucket
        Properties: {Bogus: 1}
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_a_loops_member_is_in_the_loop(tmp_path: Path, engine: str) -> None:
    found = told(linted(tmp_path, LOOP, engine))
    assert {(verdict, rule) for verdict, rule, _ in found} == {("fail", "E3002")}
    assert {line for _, _, line in found} <= {6, 8}


SERVERLESS = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: python3.13, InlineCode: pass}
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      Bogus: !GetAtt FunctionRole.Arn
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_the_lines_of_a_sam_template_are_those_of_its_text(tmp_path: Path, engine: str) -> None:
    assert [
        (rule, line) for verdict, rule, line in told(linted(tmp_path, SERVERLESS, engine)) if verdict == "fail"
    ] == [("E3002", 9)]


PAIRED = '{"Resources": {"Bucket": {"Type": "AWS::S3::Bucket",\n "Properties": {"Bogus": "\\ud83d\\ude00"}}}}'


@pytest.mark.parametrize("engine", ENGINES)
def test_json_with_surrogate_pairs_is_valid(tmp_path: Path, engine: str) -> None:
    assert told(linted(tmp_path, PAIRED, engine, "stack.json")) == [("fail", "E3002", 2)]
    sound = PAIRED.replace("Bogus", "BucketName").replace("\\ud83d\\ude00", "a-bucket")
    assert linted(tmp_path, sound, engine, "stack.json")["rules"][0]["verdict"] == "pass"


PARAMETER = """\
Parameters: {Mode: {Type: String}}
Conditions: {IsBad: !Equals [!Ref Mode, bad]}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: !If [IsBad, -1, 30]
"""


def test_parameters_reach_the_engine(tmp_path: Path) -> None:
    errors = {
        mode: {
            (problem.rule, problem.span.line)
            for problem in validate(FAST, PARAMETER, "stack.yaml", None, {"Mode": mode}).problems
            if problem.level == "error"
        }
        for mode in ("bad", "good")
    }
    assert errors == {"bad": {("E3034", 7)}, "good": set()}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_could_not_survive_does_not_reach_it(tmp_path: Path, engine: str) -> None:
    (tmp_path / "deep.yaml").write_text("Resources: " + "[" * 40000, encoding="utf-8")
    done = cfaudit("check", "deep.yaml", "--lint", engine, cwd=tmp_path)
    assert done.returncode == 2
    assert "levels deep" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_that_breaks_is_one_diagnostic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Validity:
        raise RuntimeError("no such thing\nand more of it")

    monkeypatch.setattr(validity, "_ENGINES", {FAST: broken})
    template = linted(tmp_path, GOOD, FAST)
    (note,) = template["diagnostics"]
    assert note["level"] == "warning"
    assert note["message"].startswith(f"validity is not known: {FAST} broke: RuntimeError: no such thing")
    assert "and more of it" not in note["message"]
    assert template["rules"][0]["verdict"] == "unknown"


def test_a_rule_of_cfn_lint_that_breaks_is_no_error_of_the_template(tmp_path: Path) -> None:
    text = "Resources:\n  1: {Type: AWS::CloudFormation::WaitConditionHandle}\n"
    found = validate(CFN_LINT, text, "stack.yaml", None, {})
    assert found.failure is not None
    assert "E1029" in found.failure
    assert "E0002" not in {problem.rule for problem in found.problems}


def test_a_region_that_there_is_not_is_one_diagnostic() -> None:
    found = validate(CFN_LINT, GOOD, "stack.yaml", "mars-north-1", {})
    assert found.problems == ()
    assert found.failure is not None
    assert "mars-north-1" in found.failure


def test_several_templates_share_one_engine(tmp_path: Path) -> None:
    assert {validate(engine, GOOD, "a.yaml", None, {}).failure for engine in ENGINES * 2} == {None}
    assert validity._engine.cache_info().currsize == 1
    before = validity._runner.cache_info()
    validate(CFN_LINT, BAD, "b.yaml", None, {})
    assert validity._runner.cache_info() == before._replace(hits=before.hits + 1)


def test_another_grade_does_not_make_warnings_of_a_validator_gaps(tmp_path: Path) -> None:
    text = "Parameters: {Unused: {Type: String, Default: x}}\n" + GOOD
    template = linted(tmp_path, text, FAST, config="rules: {invalid-template: high}\n")
    assert [finding["verdict"] for finding in template["findings"]] == ["info"]
    assert template["rules"][0]["severity"] == "high"


def test_yaml_that_an_engine_cannot_read_is_no_error_of_the_template() -> None:
    for engine in ENGINES:
        found = validate(engine, "Resources:\n\tA: 1\n", "tab.yaml", None, {})
        assert found.problems == ()
        assert str(found.failure).startswith(f"{engine} cannot read it: ")


@pytest.mark.parametrize(("engine", "verdict"), [(FAST, "unknown"), (CFN_LINT, "pass")])
def test_sam_without_errors_is_valid_only_where_its_values_are_checked(
    tmp_path: Path, engine: str, verdict: str
) -> None:
    sound = SERVERLESS.partition("  Queue:")[0]
    assert linted(tmp_path, sound, engine)["rules"][0]["verdict"] == verdict
    too_long = sound.replace("InlineCode", "Timeout: 9000, InlineCode")
    assert linted(tmp_path, too_long, engine)["rules"][0]["verdict"] == ("fail" if engine == CFN_LINT else "unknown")


def test_a_template_that_names_what_it_does_not_declare_does_not_deploy(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(GOOD + "Outputs: {Table: {Value: !Ref Orders}}\n", encoding="utf-8")
    done = cfaudit("check", "broken.yaml", "-f", "json", cwd=tmp_path)
    readiness = json.loads(done.stdout)["templates"][0]["scorecard"]["readiness"]
    assert readiness["deploys"] == "no"
    assert (
        readiness["reasons"][-1]["text"]
        == "Ref names 'Orders', but the template declares no such resource or parameter"
    )
