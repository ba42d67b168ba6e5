"""cfaudit's gaps in cfn-lint: the real cfn-lint, real files, and the lines that ``cfaudit check`` names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cfaudit.cfnlint_rules
from stacks import AUDITED
from test_cli import cfaudit as run_cfaudit

OURS = ("E9901", "W9902", "I9903")
CFN_LINT = [sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())"]
BY_NAME = ("--append-rules", "cfaudit.cfnlint_rules")
FUNCTION = """\
Resources:
  Handler:
    Type: AWS::Lambda::Function
    {metadata}
    Properties:
      Runtime: python3.12
      Handler: app.handler
      Role: !GetAtt Role.Arn
      Code: src/
      Environment: {{Variables: {{TABLE_NAME: !Ref Table}}}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{{Effect: Allow, Action: sts:AssumeRole, Principal: {{Service: lambda.amazonaws.com}}}}]
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{{AttributeName: Id, AttributeType: S}}]
      KeySchema: [{{AttributeName: Id, KeyType: HASH}}]
      BillingMode: PAY_PER_REQUEST
"""


def lint(*arguments: str, cwd: Path, stdin: str = "") -> list[tuple[str, str, tuple[int, int, int, int], str]]:
    """Rule, file, place and message of each match that is ours, as cfn-lint's JSON has them."""
    command = [*CFN_LINT, *arguments, "--format", "json"]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = []
    for match in json.loads(done.stdout):
        begin, end = match["Location"]["Start"], match["Location"]["End"]
        place = (begin["LineNumber"], begin["ColumnNumber"], end["LineNumber"], end["ColumnNumber"])
        if match["Rule"]["Id"] in OURS:
            found.append((match["Rule"]["Id"], match["Filename"], place, match["Message"]))
    return found


def test_lines_and_levels_are_those_of_check(tmp_path: Path) -> None:
    shutil.copy(AUDITED, tmp_path / "stack.yaml")
    printed = json.loads(run_cfaudit("check", "stack.yaml", "--format", "json", cwd=tmp_path).stdout)
    wanted = []
    for finding in printed["templates"][0]["findings"]:
        if finding["verdict"] == "fail":
            level = {"critical": "E9901", "high": "E9901", "medium": "W9902"}.get(finding["severity"], "I9903")
            first = finding["evidence"][0]
            place = tuple(first[key] for key in ("line", "column", "end_line", "end_column"))
            message = f"{finding['rule']} ({finding['severity']}): {finding['message']}"
            wanted.append((level, "stack.yaml", place, message))
    assert len(wanted) > 100
    by_name = lint("stack.yaml", *BY_NAME, "--include-checks", "I", cwd=tmp_path)
    assert sorted(by_name) == sorted(wanted)
    folder = str(Path(cfaudit.cfnlint_rules.__file__).parent)
    assert lint("stack.yaml", "--append-rules", folder, "--include-checks", "I", cwd=tmp_path) == by_name


def test_cfnlintrc_is_enough_and_low_gaps_wait_for_the_informational_checks(tmp_path: Path) -> None:
    shutil.copy(AUDITED, tmp_path / "stack.yaml")
    (tmp_path / ".cfnlintrc").write_text("append_rules: [cfaudit.cfnlint_rules]\n", encoding="utf-8")
    assert {rule for rule, *_ in lint("stack.yaml", cwd=tmp_path)} == {"E9901", "W9902"}


def test_configuration_applies_and_a_broken_one_is_one_match(tmp_path: Path) -> None:
    shutil.copy(AUDITED, tmp_path / "stack.yaml")
    (tmp_path / "cfaudit.yaml").write_text("rules: {missing-fraud-detector: off}\n", encoding="utf-8")
    found = lint("stack.yaml", *BY_NAME, cwd=tmp_path)
    assert found
    assert not [message for *_, message in found if message.startswith("missing-fraud-detector")]
    (tmp_path / "cfaudit.yaml").write_text("rules: {missing-fraud: off}\n", encoding="utf-8")
    ((rule, _, place, message),) = lint("stack.yaml", *BY_NAME, cwd=tmp_path)
    assert (rule, place) == ("E9901", (1, 1, 1, 2))
    assert message.startswith("cfaudit: cfaudit.yaml:1:9: there is no rule 'missing-fraud'")


def test_metadata_of_a_resource_ignores_as_for_any_rule(tmp_path: Path) -> None:
    template = tmp_path / "stack.yaml"
    template.write_text(FUNCTION.format(metadata="DependsOn: Table"), encoding="utf-8")
    before = lint("stack.yaml", *BY_NAME, cwd=tmp_path)
    template.write_text(
        FUNCTION.format(metadata=f"Metadata: {{cfn-lint: {{config: {{ignore_checks: [{', '.join(OURS)}]}}}}}}"),
        encoding="utf-8",
    )
    after = lint("stack.yaml", *BY_NAME, cwd=tmp_path)
    handlers = range(2, 11)
    assert [match for match in before if match[2][0] in handlers]
    assert not [match for match in after if match[2][0] in handlers]
    assert [match for match in after if match[2][0] not in handlers]


def test_gap_in_a_file_beside_the_template_is_at_its_resource_and_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(FUNCTION.format(metadata="DependsOn: Table"), encoding="utf-8")
    (tmp_path / "src").mkdir()
    code = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"
    (tmp_path / "src" / "app.py").write_text(code, encoding="utf-8")
    found = [match for match in lint("stack.yaml", *BY_NAME, cwd=tmp_path) if match[3].startswith("stub-handlers")]
    ((_, file, place, message),) = found
    assert file == "stack.yaml"
    assert place[0] in range(2, 11)
    printed = json.loads(run_cfaudit("check", "stack.yaml", "-f", "json", cwd=tmp_path).stdout)
    (stub,) = (each for each in printed["templates"][0]["findings"] if each["rule"] == "stub-handlers")
    first = stub["evidence"][0]
    assert first["file"] != "stack.yaml"
    assert f"({first['file']}:{first['line']})" in message


def test_standard_input_is_told_not_passed_over(tmp_path: Path) -> None:
    text = AUDITED.read_text(encoding="utf-8")
    ((rule, _, _, message),) = lint(*BY_NAME, cwd=tmp_path, stdin=text)
    assert (rule, message) == ("W9902", "cfaudit audits files only, not standard input")
