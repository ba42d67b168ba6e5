"""What a command line may name: the CDK's output, applications, many files at once; real processes, a real terminal."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cfaudit import fleet
from cfaudit.sources.files import Input, inputs
from stacks import AS_OF
from test_application import shop
from test_cli import MINIMAL, cfaudit

CDK = Path(__file__).parent / "cdk" / "cdk.out"


def report(*arguments: str | Path, cwd: Path, code: int = 0) -> dict[str, Any]:
    done = cfaudit("check", *arguments, "--as-of", "2026-11-22", "-f", "json", cwd=cwd)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


# The CDK's output ----------------------------------------------------------------------------------------------------


def test_the_stacks_of_the_manifest_are_audited(tmp_path: Path) -> None:
    done = cfaudit("check", CDK, "--fail-on", "never", "-f", "json", cwd=tmp_path)
    templates = json.loads(done.stdout)["templates"]
    assert [Path(each["path"]).name for each in templates] == [
        "ProductionDataBCCFC6B1.template.json",
        "Shop.template.json",
        "Data.template.json",
        "Reports.template.json",
    ]
    assert done.stderr == "1 template is judged as part of an application\n"
    said = [finding for each in templates for finding in (*each["findings"], *each["positives"])]
    constructs = {finding["construct_path"] for finding in said if finding["logical_id"]}
    assert {"Shop/OrdersStack/Handler/Resource", "Production/Data/Bucket/Resource"} <= constructs
    stub = next(finding for finding in said if finding["rule"] == "stub-handlers")
    assert stub["evidence"][0]["file"].endswith("index.js")
    assert not [finding for finding in said if "BootstrapVersion" in finding["subject"]]
    assert not [finding for finding in said if "BootstrapVersion" in json.dumps(finding["evidence"])]


@pytest.mark.parametrize("form", ["console", "markdown", "html", "sarif", "csv"])
def test_construct_paths_are_shown(form: str, tmp_path: Path) -> None:
    done = cfaudit("check", CDK / "Shop.template.json", "--fail-on", "never", "-f", form, cwd=tmp_path)
    assert "Shop/OrdersStack/Orders/Resource" in " ".join(done.stdout.split())


def test_a_directory_with_a_cdk_project_in_it(tmp_path: Path) -> None:
    (tmp_path / "cdk.out").symlink_to(CDK)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text('{"name": "a web app"}', encoding="utf-8")
    (tmp_path / "app" / "stack.yaml").write_text(MINIMAL, encoding="utf-8")
    assert [Path(found.path).name for found in inputs([str(tmp_path / "app")])] == ["manifest.json", "stack.yaml"]
    assert len(list(inputs([str(tmp_path / "cdk.out")]))) == 4


# Applications --------------------------------------------------------------------------------------------------------


def test_a_nested_template_is_not_audited_twice(tmp_path: Path) -> None:
    shop(tmp_path)
    done = cfaudit("check", ".", "--fail-on", "never", "-f", "json", cwd=tmp_path)
    assert [each["path"] for each in json.loads(done.stdout)["templates"]] == ["./template.yaml"]
    assert "2 templates are judged as part of an application" in done.stderr
    named = report("template.yaml", "stacks/orders.yaml", "--fail-on", "never", cwd=tmp_path)
    assert [each["path"] for each in named["templates"]] == ["template.yaml", "stacks/orders.yaml"]


def test_circles_are_audited_once() -> None:
    def outcome(path: str, *parts: str) -> fleet.Outcome:
        return fleet.Outcome(Input(path, named=False), parts=frozenset(map(os.path.realpath, parts)))

    held = [outcome("a", "b"), outcome("b", "a"), outcome("c", "d", "e"), outcome("d", "e"), outcome("e")]
    assert [each.entry.path for each in fleet.apart(held)] == ["a", "c"]


def test_a_directory_as_one_application(tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text("{}", encoding="utf-8")
    (tmp_path / "data.yaml").write_text(
        "Resources: {Topic: {Type: AWS::SNS::Topic}}\n"
        "Outputs: {Topic: {Description: Where alarms go, Value: !Ref Topic, Export: {Name: alarms}}}\n",
        encoding="utf-8",
    )
    (tmp_path / "alarm.yaml").write_text(
        "Resources: {Alarm: {Type: AWS::CloudWatch::Alarm, Properties: {AlarmActions: [!ImportValue alarms]}}}\n",
        encoding="utf-8",
    )
    done = cfaudit("check", "--app", ".", "--fail-on", "never", "-f", "json", cwd=tmp_path)
    (template,) = json.loads(done.stdout)["templates"]
    assert template["path"] == "."
    edges = [(edge["source"], edge["target"]) for edge in template["graph"]["edges"]]
    assert ("alarm.Alarm", "data.Topic") in edges
    assert "skipped 1 file" in done.stderr
    assert cfaudit("check", "--app", "data.yaml", cwd=tmp_path).returncode == 2
    assert cfaudit("check", cwd=tmp_path).returncode == 2


# Many files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(40):
        (tmp_path / f"s{number:02}.yaml").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "s13.yaml").write_text("Resources: {A: {Type: AWS::S3::Bucket}\n", encoding="utf-8")
    return tmp_path


def test_several_processes_say_the_same(many: Path) -> None:
    one = cfaudit("check", ".", "-f", "json", "-j", "1", cwd=many)
    two = cfaudit("check", ".", "-f", "json", "-j", "2", cwd=many)
    assert (one.returncode, one.stdout, one.stderr) == (two.returncode, two.stdout, two.stderr)
    assert one.returncode == 2
    assert len(json.loads(one.stdout)["templates"]) == 40


def test_processes_that_are_spawned(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows, where a process begins with nothing."""
    spawn = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _=None: spawn)
    options = fleet.Options(as_of=AS_OF, parameters={})
    entries = list(inputs([str(many)]))[:4]
    assert list(fleet.run(entries, options, 2)) == list(fleet.run(entries, options))


def test_a_bad_configuration_stops_every_process(many: Path) -> None:
    (many / "cfaudit.yaml").write_text("profil: mvp\n", encoding="utf-8")
    done = cfaudit("check", ".", "-j", "2", cwd=many)
    assert done.returncode == 2
    assert done.stderr.startswith("cfaudit.yaml:1:1")
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_all_processes(many: Path) -> None:
    for number in range(2000):
        (many / f"t{number:04}.yaml").write_text(MINIMAL, encoding="utf-8")
    command = [sys.executable, "-m", "cfaudit", "check", ".", "-j", "2"]
    run = subprocess.Popen(
        command, cwd=many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(6)  # a slow machine must have begun
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (out, err, run.returncode) == ("", "", 130)
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


def test_progress_is_for_a_terminal(many: Path) -> None:
    for number in range(200):
        (many / f"t{number:03}.yaml").write_text(MINIMAL, encoding="utf-8")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cfaudit", "check", ".", "-q", "-j", "1"]
    run = subprocess.Popen(command, cwd=many, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 1000)
        except OSError:
            break
        if not piece:
            break
        said += piece
    run.wait(timeout=60)
    os.close(ours)
    assert b" of 240" in said
    assert said.count(b"\r\x1b[K") > 1
    assert b"of 240" not in said.rpartition(b"\r\x1b[K")[2]


def test_words_that_name_nothing(tmp_path: Path) -> None:
    done = cfaudit("check", "stacks/*.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file" in done.stderr


def test_what_is_found_and_can_be_no_template_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(MINIMAL, encoding="utf-8")
    with (tmp_path / "data.json").open("wb") as file:
        file.truncate(17 * 2**20)
    done = cfaudit("check", ".", "./stack.yaml", "-f", "json", cwd=tmp_path)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["templates"]) == 1
    assert "skipped 1 file" in done.stderr
    assert cfaudit("check", "data.json", cwd=tmp_path).returncode == 2
