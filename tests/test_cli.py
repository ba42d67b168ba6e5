"""The command line as a user meets it: real processes, real files, exit codes, and what is printed where."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cfaudit import __version__
from stacks import AUDITED, REFERENCE, ROOT

MINIMAL = "Resources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties:\n      KeyPolicy: {}\n"


def cfaudit(*arguments: str | Path, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return subprocess.run(
        [sys.executable, "-m", "cfaudit", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_audited_stack_fails_the_gate(tmp_path: Path) -> None:
    done = cfaudit("check", AUDITED, "--as-of", "2026-11-22", cwd=tmp_path)
    assert done.returncode == 1
    assert "missing-fraud-detector" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stderr == ""


def test_never_holds_and_quiet_prints_the_scorecard_only(tmp_path: Path) -> None:
    done = cfaudit("check", AUDITED, "--fail-on", "never", "--quiet", cwd=tmp_path)
    assert done.returncode == 0
    assert "Resource Completeness" in done.stdout
    assert "35/41" in done.stdout
    assert "FRAUD_DETECTOR_NAME" not in done.stdout


def test_min_score_fails_the_gate(tmp_path: Path) -> None:
    assert cfaudit("check", REFERENCE, "--min-score", "100", "-q", cwd=tmp_path).returncode == 0
    assert cfaudit("check", AUDITED, "--fail-on", "never", "--min-score", "99", "-q", cwd=tmp_path).returncode == 1


def test_reference_passes_its_own_audit(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(cfaudit("reference", cwd=tmp_path).stdout, encoding="utf-8")
    (tmp_path / "r.json").write_text(cfaudit("reference", "--format", "json", cwd=tmp_path).stdout, encoding="utf-8")
    done = cfaudit("check", "r.yaml", "r.json", "--fail-on", "low", "-f", "json", cwd=tmp_path)
    assert done.returncode == 0
    grades = [template["scorecard"]["grade"] for template in json.loads(done.stdout)["templates"]]
    assert grades == ["A+", "A+"]


@pytest.mark.parametrize(
    ("name", "text", "point", "says"),
    [
        ("tab.yaml", "Resources:\n\tA: 1\n", "tab.yaml:2:1", "cannot start any token"),
        ("twice.yaml", MINIMAL + "  Key:\n    Type: AWS::S3::Bucket\n", "twice.yaml:6:3", "more than once"),
        ("broken.json", '{"Resources": {"A": {"Type": "AWS::S3::Bucket",}}}', "broken.json:1:48", "comma"),
        ("empty.yaml", "", "empty.yaml:1:1", "empty"),
        ("k8s.yaml", "kind: Pod\nspec: {}\n", "k8s.yaml:1:1", "no CloudFormation template"),
        ("list.yaml", "AWSTemplateFormatVersion: '2010-09-09'\nResources: [1]\n", "list.yaml:2:12", "must be a map"),
        ("untyped.yaml", MINIMAL + "  B:\n    Properties: {}\n", "untyped.yaml:6:3", "has no Type"),
        ("deep.yaml", "a: " + "[" * 40000, "deep.yaml:1:", "levels deep"),
        ("bomb.json", '{"a":' * 40000, "bomb.json:1:", "levels deep"),
    ],
)
def test_bad_input_gets_one_diagnostic(tmp_path: Path, name: str, text: str, point: str, says: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    for form in ("console", "json"):
        done = cfaudit("check", name, "--format", form, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        first, *rest = done.stderr.splitlines()
        assert first.startswith(point)
        assert says in first
        if text:
            assert rest[1].strip() == "^"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "binary.yaml"])
def test_paths_that_are_no_template(tmp_path: Path, path: str) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xfe\x00\xff\x80" * 30)
    done = cfaudit("check", path, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_several_inputs_report_all_and_exit_with_the_worst(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text("Resources: {A: {Type: AWS::S3::Bucket}\n", encoding="utf-8")
    done = cfaudit("check", "good.yaml", "bad.yaml", "--format", "json", cwd=tmp_path)
    assert done.returncode == 2
    assert [template["verdict"] for template in json.loads(done.stdout)["templates"]] == ["pass", "error"]
    assert done.stderr.startswith("bad.yaml:")


def test_directory_skips_what_is_no_template(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "values.yaml").write_text("a: {{ helm }}\n", encoding="utf-8")
    done = cfaudit("check", ".", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0
    assert [Path(template["path"]).name for template in json.loads(done.stdout)["templates"]] == ["stack.yaml"]
    assert "skipped 1" in done.stderr


def test_named_non_template_passes_unread_for_the_hook(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("a: {{ helm }}\n", encoding="utf-8")
    assert cfaudit("check", "values.yaml", cwd=tmp_path).returncode == 2
    assert cfaudit("check", "values.yaml", "--skip-non-templates", cwd=tmp_path).returncode == 0


def test_stdin(tmp_path: Path) -> None:
    done = cfaudit("check", "-", "--format", "json", cwd=tmp_path, stdin=MINIMAL)
    assert done.returncode == 0
    assert json.loads(done.stdout)["templates"][0]["path"] == "<stdin>"


def test_outputs_are_written_beside_the_console(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL, encoding="utf-8")
    done = cfaudit("check", "s.yaml", "-o", "json=r.json", "-o", "markdown=r.md", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == 1
    assert (tmp_path / "r.md").read_text().startswith("#")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "r.md", "s.yaml"]


def test_unwritable_output_is_one_diagnostic_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL, encoding="utf-8")
    done = cfaudit("check", "s.yaml", "-o", "json=missing/r.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "missing/r.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--param", "Nope=1"], "no template has this parameter"),
        (["--param", "Nope"], "KEY=VALUE"),
        (["--output", "pdf=x"], "FORMAT"),
        (["--as-of", "tomorrow"], "tomorrow"),
        (["--profile", "bank"], "bank"),
        (["--fail-on", "sometimes"], "sometimes"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL, encoding="utf-8")
    done = cfaudit("check", "s.yaml", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_parameter_files(tmp_path: Path) -> None:
    text = (
        "Parameters:\n  Rotate:\n    Type: String\nResources:\n  Key:\n    Type: AWS::KMS::Key\n"
        "    Properties:\n      EnableKeyRotation: !Ref Rotate\n      KeyPolicy: {}\n"
    )
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "a.json").write_text('[{"ParameterKey": "Rotate", "ParameterValue": "true"}]', encoding="utf-8")
    (tmp_path / "b.yaml").write_text("Parameters: {Rotate: 'false', Other: x}\n", encoding="utf-8")

    def verdict(*arguments: str) -> str:
        done = cfaudit("check", "s.yaml", "-f", "json", *arguments, cwd=tmp_path)
        rules = json.loads(done.stdout)["templates"][0]["rules"]
        return next(rule["verdict"] for rule in rules if rule["id"] == "key-rotation-off")

    assert verdict() == "unknown"
    assert verdict("--params", "a.json") == "pass"
    assert verdict("--params", "b.yaml") == "fail"
    assert verdict("--params", "b.yaml", "--param", "Rotate=true") == "pass"


def test_every_scenario_is_audited_on_its_own(tmp_path: Path) -> None:
    text = (
        "Parameters:\n  Env:\n    Type: String\n    Default: dev\nConditions:\n  IsProd: !Equals [!Ref Env, prod]\n"
        "Resources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties:\n      KeyPolicy: {}\n"
        "      EnableKeyRotation: !If [IsProd, true, false]\n      Description: !Ref Env\n"
    )
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    done = cfaudit("check", "s.yaml", "-f", "json", "--scenarios", "all", cwd=tmp_path)
    verdicts = {
        template["scenario"]: next(r["verdict"] for r in template["rules"] if r["id"] == "key-rotation-off")
        for template in json.loads(done.stdout)["templates"]
    }
    assert verdicts == {"IsProd is false": "fail", "IsProd is true": "pass"}


def test_config_is_found_and_checked(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "s.yaml").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "cfaudit.yaml").write_text("profile: crowdfunding\n", encoding="utf-8")
    done = cfaudit("check", "deep/s.yaml", "-f", "json", "--fail-on", "never", cwd=tmp_path)
    assert json.loads(done.stdout)["templates"][0]["profile"] == "crowdfunding"
    (tmp_path / "cfaudit.yaml").write_text("profil: crowdfunding\n", encoding="utf-8")
    done = cfaudit("check", "deep/s.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'profile'" in done.stderr


def test_rules_explain_schema_version(tmp_path: Path) -> None:
    listed = cfaudit("rules", "list", "rotat", cwd=tmp_path)
    assert listed.returncode == 0
    assert "key-rotation-off" in listed.stdout
    assert cfaudit("rules", cwd=tmp_path).stdout.count("\n") > 50
    page = cfaudit("explain", "key-rotation-off", cwd=tmp_path)
    assert "How it is decided" in page.stdout
    wrong = cfaudit("explain", "key-rotation-of", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean 'key-rotation-off'" in wrong.stderr
    for name in ((), ("report",), ("config",), ("baseline",), ("diff",)):
        schema = json.loads(cfaudit("schema", *name, cwd=tmp_path).stdout)
        assert schema["$schema"].startswith("https://json-schema.org/")
    assert cfaudit("--version", cwd=tmp_path).stdout.split() == ["cfaudit", __version__]


def test_machine_formats_need_no_rich(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL, encoding="utf-8")
    program = (
        "import sys\nsys.modules['rich'] = None\nsys.argv = ['cfaudit', 'check', 's.yaml', '-f', 'json']\n"
        "from cfaudit.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == 1


def test_no_network(tmp_path: Path) -> None:
    """Nothing on the path of an audit opens a socket."""
    program = (
        "import socket, sys\ndef refuse(*a, **k): raise SystemExit('network')\n"
        f"socket.socket = refuse\nsys.argv = ['cfaudit', 'check', {str(AUDITED)!r}, '-q', '--fail-on', 'never']\n"
        "from cfaudit.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m cfaudit check {AUDITED} | head -1"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_colour_on_a_terminal_only_and_not_with_no_color(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cfaudit", "check", str(AUDITED), "--quiet"]

    def on_terminal(**extra: str) -> str:
        main, held = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        with subprocess.Popen(command, stdout=held, cwd=tmp_path, env={**environment, "TERM": "xterm", **extra}) as run:
            os.close(held)
            chunks = []
            try:
                while chunk := os.read(main, 65536):
                    chunks.append(chunk)
            except OSError:
                pass
            run.wait()
        os.close(main)
        return b"".join(chunks).decode()

    assert "\x1b[" in on_terminal()
    assert "\x1b[" not in on_terminal(NO_COLOR="1")


def test_console_script_is_installed() -> None:
    script = Path(sys.executable).parent / "cfaudit"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0
