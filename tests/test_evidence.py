"""What people bring besides templates: test sources, JUnit reports, documents; how it is read and what it is worth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeAlias

import pytest
from jsonschema import Draft202012Validator

from cfaudit.sources import suites
from cfaudit.sources.brought import Document, bring
from cfaudit.sources.results import Run, read_run
from cfaudit.sources.suites import MAX_PLACES, read_suite, without_comments
from cfaudit.steps import described, load_steps
from stacks import AUDITED
from test_cli import cfaudit
from test_schemas import REPORT

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

STACK = """\
Conditions: {Never: !Equals [a, b]}
Resources:
  CampaignsTable: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: []}}
  PledgesTable: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: []}}
  Bucket: {Type: AWS::S3::Bucket}
  UserPool: {Type: AWS::Cognito::UserPool}
  Elsewhere: {Type: AWS::SNS::Topic, Condition: Never}
"""
TESTS = '''\
"""PledgesTable is what this file is about."""
# PledgesTable again


def test_campaigns():
    """PledgesTable"""
    template = {"Bucket": "x", "UserPool": 1}  # PledgesTable
    assert template.get("CampaignsTable", "AWS::DynamoDB::Table") == "AWS::DynamoDB::Table"


def test_upload(s3):
    s3.get_object(Bucket="some-name", Key="PledgesTableName")


def test_fails():
    assert "AWS::S3::Bucket" == "# no comment"
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A template and its tests."""
    (tmp_path / "stack.yaml").write_text(STACK, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_stack.py").write_text(TESTS, encoding="utf-8")
    return tmp_path


def template_of(project: Path, *arguments: str, code: int = 0) -> dict[str, Json]:
    """The one template of a run's JSON report, which its schema knows."""
    done = cfaudit("check", "stack.yaml", "--fail-on", "never", "-f", "json", *arguments, cwd=project)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert not list(Draft202012Validator(REPORT).iter_errors(found))
    (template,) = found["templates"]
    return template


def row(template: dict[str, Json]) -> dict[str, Json]:
    """The row of Test Coverage."""
    return next(each for each in template["scorecard"]["categories"] if each["id"] == "test-coverage")


def named(template: dict[str, Json]) -> dict[str, list[int]]:
    """The resources that are named, and the lines."""
    return {
        each["logical_id"]: [place["line"] for place in each["places"]]
        for each in template["tests"]["resources"]
        if each["named"]
    }


# The score -----------------------------------------------------------------------------------------------------------


def test_without_evidence_nothing_is_assessed(project: Path) -> None:
    template = template_of(project)
    assert template["tests"] is None
    assert row(template)["status"] == "not_assessed"


def test_share_of_logical_ids_that_test_sources_name(project: Path) -> None:
    template = template_of(project, "--tests", "tests")
    assert named(template) == {"CampaignsTable": [8]}
    assert len(template["tests"]["resources"]) == 4
    assert (row(template)["score"], row(template)["earned"], row(template)["possible"]) == (25.0, 1.0, 4.0)
    assert row(template)["detail"] == "1 of 4 resources is named by tests"
    rows = [each for each in template["scorecard"]["categories"] if each["status"] == "assessed"]
    total = sum(each["score"] * each["weight"] for each in rows) / sum(each["weight"] for each in rows)
    assert abs(template["scorecard"]["overall"] - total) < 0.051


def test_loops_count_as_far_as_they_can_be_counted(project: Path) -> None:
    text = (
        "Transform: AWS::LanguageExtensions\nParameters: {Names: {Type: CommaDelimitedList}}\nResources:\n"
        "  Fn::ForEach::Some: [Name, !Ref Names, {'Topic${Name}': {Type: AWS::SNS::Topic}}]\n"
        "  Fn::ForEach::Two: [Name, [A, B], {'Orders${Name}': {Type: AWS::SQS::Queue}}]\n"
    )
    (project / "stack.yaml").write_text(text, encoding="utf-8")
    (project / "tests" / "test_stack.py").write_text("'OrdersA'\n", encoding="utf-8")
    assert row(template_of(project, "--tests", "tests"))["detail"] == "1 of 2 resources is named by tests"


def test_types_are_shown_and_count_for_no_resource(project: Path) -> None:
    template = template_of(project, "--tests", "tests")
    types = {each["type"]: each for each in template["tests"]["types"]}
    assert types["AWS::DynamoDB::Table"]["resources"] == 2
    assert types["AWS::DynamoDB::Table"]["named"] == 1
    assert types["AWS::S3::Bucket"]["named"] == 0
    assert [place["line"] for place in types["AWS::S3::Bucket"]["places"]] == [16]


def test_what_pytest_reports_is_multiplied(project: Path) -> None:
    options = ["-n0", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(project)]
    command = [sys.executable, "-m", "pytest", *options, "--junit-xml=junit.xml", "tests"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    template = template_of(project, "--tests", "tests", "--junit", "junit.xml")
    tests = template["tests"]
    assert [tests[key] for key in ("run", "passed", "failed", "errors", "skipped")] == [3, 1, 1, 1, 0]
    assert row(template)["detail"] == "1 of 4 resources is named by tests; 1 of 3 tests passed"
    assert (row(template)["score"], row(template)["earned"]) == (8.3, 0.33)


def test_results_alone_do_not_say_of_what(project: Path) -> None:
    (project / "junit.xml").write_text("<testsuite><testcase/></testsuite>", encoding="utf-8")
    template = template_of(project, "--junit", "junit.xml")
    assert row(template)["status"] == "not_assessed"
    assert "1 of 1 tests passed" in row(template)["detail"]


def test_the_cost_of_a_component_counts_all_weights(project: Path) -> None:
    done = cfaudit("check", AUDITED, "--tests", "tests", "-f", "json", cwd=project)
    (template,) = json.loads(done.stdout)["templates"]
    (rule,) = [rule for rule in template["rules"] if rule["id"] == "missing-web-acl"]
    assert rule["cost"] == 0.73  # 30/41 of a point
    assert sum(each["weight"] for each in template["scorecard"]["categories"] if each["status"] == "assessed") == 100


def test_the_configuration_brings_them_too(project: Path) -> None:
    (project / "cfaudit.yaml").write_text("tests: tests\njunit: [out/*.xml]\n", encoding="utf-8")
    (project / "out").mkdir()
    for name, case in (("a", "<testcase/>"), ("b", "<testcase><failure/></testcase>")):
        (project / "out" / f"{name}.xml").write_text(f"<testsuite>{case}</testsuite>", encoding="utf-8")
    below = project / "below"
    below.mkdir()
    done = cfaudit("check", "../stack.yaml", "-f", "json", cwd=below)
    (template,) = json.loads(done.stdout)["templates"]
    assert row(template)["detail"] == "1 of 4 resources is named by tests; 1 of 2 tests passed"
    assert template["tests"]["resources"][0]["places"] == [{"file": "../tests/test_stack.py", "line": 8}]
    assert ["tests", "../tests", "../cfaudit.yaml:1:1"] in [
        line.split() for line in cfaudit("config", "../stack.yaml", cwd=below).stdout.splitlines()
    ]


# Test sources --------------------------------------------------------------------------------------------------------


def words_of(folder: Path, name: str, text: str) -> suites.Suite:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return read_suite([str(folder)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "stack.test.ts",
            "// OrdersQueue\n/* OrdersQueue\n OrdersQueue */ const s = `// ${x}`; use('OrdersQueue'); //",
        ),
        ("StackTest.java", '/** OrdersQueue */\n// "OrdersQueue\n  t.hasResource("http://x"); find("OrdersQueue");'),
        ("stack_test.go", "// OrdersQueue\n\nfind(`OrdersQueue`)"),
        ("test.sh", '# OrdersQueue\n\necho "# no comment" ${#names} OrdersQueue # OrdersQueue'),
        ("stack.feature", 'Feature: x\n  # OrdersQueue\n  Then "OrdersQueue" is encrypted'),
        ("stack_spec.rb", "# OrdersQueue\n\nexpect(template).to have('#{x} OrdersQueue')"),
        ("test_stack.py", '"""OrdersQueue"""\n\ndef test_OrdersQueue_is_encrypted(): # OrdersQueue\n    "x"'),
        ("test_more.py", 'def test_x():\n    # OrdersQueue\n    sh = """OrdersQueue"""\n'),
        ("expected.json", '{\n"a":\n"OrdersQueue.Arn"}'),
    ],
)
def test_comments_say_nothing(tmp_path: Path, name: str, text: str) -> None:
    found = words_of(tmp_path, name, text)
    assert [place.line for place in found.words["OrdersQueue"]] == [3]


@pytest.mark.parametrize(
    "text", ['"' + r"\"" * 200_000, "`" + r"\`" * 200_000, ":\n" * 200_000, '"""' + '"' * 200_001, "/*" * 200_000]
)
@pytest.mark.parametrize("suffix", [".py", ".ts", ".sh"])
def test_no_source_takes_long(text: str, suffix: str) -> None:
    started = time.process_time()
    without_comments(text, suffix)
    assert time.process_time() - started < 5


def test_lines_stay_where_they_are() -> None:
    text = '"""One\n\ntwo"""\n# three\nx = 1\n'
    assert without_comments(text, ".py").split("\n")[4] == "x = 1"


def test_a_word_is_whole_and_the_parts_of_a_type_are_none(tmp_path: Path) -> None:
    found = words_of(tmp_path, "a.py", "x = 'OrdersQueueUrl'\ny = 'AWS::SQS::Queue'\nz = my_Orders_Queue\n")
    assert "OrdersQueue" not in found.words
    assert [place.line for place in found.words["Queue"]] == [3]
    assert [place.line for place in found.types["AWS::SQS::Queue"]] == [2]


def test_a_word_of_its_own_counts_as_a_string_only(tmp_path: Path) -> None:
    text = (
        "get(Bucket='x')\nx = {'Bucket': 1, \"Bucket\" : 2}\nput(Bucket)\n"
        "a = resources['Bucket']\nb = 'Bucket.Arn'\nc = stack.Resources.Bucket\nd = x == 'Bucket' == y\n"
    )
    assert [place.line for place in words_of(tmp_path, "a.py", text).strings["Bucket"]] == [4, 5, 6, 7]


def test_templates_and_packages_are_no_tests(tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(STACK, encoding="utf-8")
    (tmp_path / "stack.template.json").write_text('{"Resources": {"CampaignsTable": {}}}', encoding="utf-8")
    (tmp_path / "notes.md").write_text("CampaignsTable", encoding="utf-8")
    for folder in ("node_modules", ".venv", "cdk.out", "__snapshots__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.js").write_text("use('CampaignsTable')", encoding="utf-8")
    found = words_of(tmp_path, "data/case.yaml", "resource: PledgesTable\n")
    assert (found.files, found.left_out) == (1, 0)
    assert "PledgesTable" in found.words
    assert "CampaignsTable" not in found.words


def test_reading_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.py").write_text("x" * (suites.MAX_FILE + 1), encoding="utf-8")
    (tmp_path / "odd.py").write_bytes(b"\xff\xfe\x00 PledgesTable \x00")
    (tmp_path / "pipe.py").symlink_to("/dev/zero")
    (tmp_path / "gone.py").symlink_to("nowhere")
    found = words_of(tmp_path, "many.py", "'CampaignsTable'\n" * 100)
    assert (found.files, found.left_out) == (2, 1)
    assert len(found.words["CampaignsTable"]) == MAX_PLACES
    assert "PledgesTable" in found.words
    monkeypatch.setattr(suites, "MAX_FILES", 1)
    assert read_suite([str(tmp_path)]).left_out == 2


# JUnit reports -------------------------------------------------------------------------------------------------------

NESTED = """<?xml version="1.0"?>
<testsuites tests="99" failures="99">
  <testsuite tests="99"><properties><property name="a"/></properties>
    <testsuite><testcase name="a"/><testcase name="b"><system-out>x</system-out></testcase></testsuite>
    <testcase name="c"><failure message="x">no</failure></testcase>
    <testcase name="d"><error/></testcase>
    <testcase name="e"><skipped/></testcase>
    <testcase name="f" status="notrun"/>
    <testcase name="g"><failure/><error/></testcase>
    <testcase name="h"><flakyFailure/></testcase>
  </testsuite>
</testsuites>
"""
BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<testsuite><testcase name="&c;"/></testsuite>
"""


def test_cases_are_counted_over_nested_suites(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(NESTED, encoding="utf-8")
    assert read_run([str(path)]) == Run(passed=3, failed=1, errors=2, skipped=2)
    assert read_run([str(path), str(path)]).run == 12


def test_no_test_run_earns_nothing(project: Path) -> None:
    (project / "junit.xml").write_text("<testsuites/>", encoding="utf-8")
    template = template_of(project, "--tests", "tests", "--junit", "junit.xml")
    assert row(template)["score"] == 0
    assert row(template)["detail"].endswith("no test was run")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "a JUnit report has no document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>', "a JUnit report has no document type"),
        ("<testsuite>\n<testcase></testsuite>", "junit.xml:2:13: this is no well-formed XML: mismatched tag"),
        ("", "junit.xml:1:1: this is no well-formed XML: no element found"),
        ("<html/>", "junit.xml:1:1: this is no JUnit report but <html>"),
    ],
)
def test_what_is_no_report_is_one_diagnostic(project: Path, text: str, said: str) -> None:
    (project / "junit.xml").write_text(text, encoding="utf-8")
    done = cfaudit("check", "stack.yaml", "--junit", "junit.xml", cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[0]
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tests", "none"], "none:1:1: there is no such folder of tests"),
        (["--tests", "empty"], "empty:1:1: there is no test source below this folder"),
        (["--junit", "none.xml"], "none.xml:1:1: there is no such JUnit report"),
        (["--junit", "out/*.xml"], "out/*.xml:1:1: no file matches the pattern"),
        (["--docs", "none.md"], "none.md:1:1: there is no such file"),
        (["--docs", "latin.md"], "latin.md:1:3: the file is not UTF-8 text"),
    ],
)
def test_what_is_not_there_is_one_diagnostic(project: Path, arguments: list[str], said: str) -> None:
    (project / "empty").mkdir()
    (project / "latin.md").write_bytes(b"ab\xe9")
    done = cfaudit("check", "stack.yaml", *arguments, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == said


# Documents -----------------------------------------------------------------------------------------------------------

STEPS = {step.id: step for step in load_steps()}


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("leave-mail-sandbox", "See leave-mail-sandbox."),
        ("leave-mail-sandbox", "    $ aws sesv2 put-account-details --production-access-enabled"),
        ("leave-mail-sandbox", "## Request production access for SES"),
        ("leave-mail-sandbox", "3. Move the account out of the SES sandbox"),
        ("verify-mail-identity", "- [ ] verified the SES identity"),
        ("verify-mail-identity", "* Publish the three DKIM records"),
        ("confirm-subscriptions", "  - Confirm every e-mail subscription"),
        ("subscribe-quicksight", "1) Sign up for QuickSight"),
        ("fraud-detector-eligibility", "# Fraud Detector is closed: check eligibility"),
    ],
)
def test_documents_speak_of_steps(step: str, line: str) -> None:
    found = described(STEPS[step], [Document("RUNBOOK.md", ("", line))])
    assert found is not None
    assert (found.span.line, found.text) == (2, line.strip())
    assert line[found.span.column - 1 :].startswith(found.text)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("leave-mail-sandbox", "SES leaves the sandbox some day."),
        ("leave-mail-sandbox", "- Remove the session's sandbox"),
        ("leave-mail-sandbox", "- SES is in the sandbox"),
        ("leave-mail-sandbox", "- leave-mail-sandbox-later"),
        ("confirm-subscriptions", "- Subscriptions are listed"),
        ("verify-mail-identity", "- aws sesv2 get-email-identity-policies"),
    ],
)
def test_other_words_do_not(step: str, line: str) -> None:
    assert described(STEPS[step], [Document("RUNBOOK.md", (line, ""))]) is None


def test_what_a_comment_hides_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "RUNBOOK.md"
    path.write_bytes(b"<!--\r\nleave-mail-sandbox\r\n-->\r\nConfirm the subscription\r\n---\r\n")
    (document,) = bring((), (), (str(path),)).documents
    assert described(STEPS["leave-mail-sandbox"], [document]) is None
    said = described(STEPS["confirm-subscriptions"], [document])
    assert said is not None
    assert said.span.line == 4


def test_a_document_is_the_proof(project: Path) -> None:
    text = "Resources:\n  Sender: {Type: AWS::SES::EmailIdentity, Properties: {EmailIdentity: example.com}}\n"
    (project / "stack.yaml").write_text(text, encoding="utf-8")
    (project / "RUNBOOK.md").write_text("# Mail\n\n- Verify the SES domain\n", encoding="utf-8")
    template = template_of(project, "--docs", "RUNBOOK.md")
    (held,) = [each for each in template["positives"] if each["rule"] == "undocumented-manual-steps"]
    assert (held["evidence"][0]["file"], held["evidence"][0]["line"]) == ("RUNBOOK.md", 3)
    assert held["evidence"][0]["text"] == "- Verify the SES domain"
    (gap,) = [each for each in template["findings"] if each["rule"] == "undocumented-manual-steps"]
    assert gap["subject"] == "leave-mail-sandbox"
    assert gap["message"].endswith("which no Metadata names and no given document describes")


# What people see -----------------------------------------------------------------------------------------------------


def test_every_format_for_people_shows_the_tests(project: Path) -> None:
    arguments = ["check", "stack.yaml", "--tests", "tests", "--fail-on", "never"]
    files = ["-o", "markdown=r.md", "-o", "html=r.html"]
    short = cfaudit(*arguments, *files, cwd=project).stdout
    assert "TESTS  1 of 4 resources named in 1 file" in short
    assert "  ~ AWS::DynamoDB::Table  1 of 2" in short
    assert "PledgesTable  " not in short[short.index("\nTESTS") : short.index("\nSCORECARD")]
    long = cfaudit(*arguments, "-v", cwd=project).stdout
    lines = [line.split() for line in long[long.index("\nTESTS") : long.index("\nSCORECARD")].splitlines()]
    assert ["✓", "CampaignsTable", "tests/test_stack.py:8"] in lines
    assert ["✗", "PledgesTable", "not", "named"] in lines
    markdown = (project / "r.md").read_text(encoding="utf-8")
    assert "<summary>1 of 4 resources named in 1 file</summary>" in markdown
    assert "| `CampaignsTable` | `AWS::DynamoDB::Table` | tests/test_stack.py:8 |" in markdown
    page = (project / "r.html").read_text(encoding="utf-8")
    assert "Resources that tests name" in page
    assert "tests/test_stack.py:8" in page
