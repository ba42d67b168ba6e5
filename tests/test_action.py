"""``action.yml``: valid by its schema, its shell linted, its steps run in a scratch repository as a runner would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from repository import published
from stacks import AUDITED, REFERENCE, ROOT
from test_init import valid

ACTION = ROOT / "action.yml"
HELD = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
STEPS = HELD["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")
EVIL = """x"; touch pwned; "$(touch pwned)`touch pwned`'; touch pwned; '
touch pwned"""
SHELL = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
"""What ``shell: bash`` means: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax."""


class Runner:
    """As much of GitHub's runner as a composite action of shell steps needs."""

    def __init__(self, action: Path, folder: Path) -> None:
        self.action, self.folder = action, folder
        self.temporary = folder / "temporary"
        self.workspace = folder / "workspace"
        self.temporary.mkdir(parents=True)
        self.workspace.mkdir()
        self.summary = folder / "summary.md"

    def run(self, inputs: Mapping[str, str], python: str = sys.executable) -> tuple[int, dict[str, str], str]:
        """The exit code of the first step that fails, the outputs of the action and all that was printed."""
        values = {f"inputs.{name}": str(held.get("default", "")) for name, held in HELD["inputs"].items()}
        values |= {f"inputs.{name}": value for name, value in inputs.items()}
        values["steps.python.outputs.python-path"] = python
        code, printed = 0, ""
        for step in STEPS:
            if "run" in step and code == 0:
                code, outputs, text = self._step(step, values)
                values |= {f"steps.{step['id']}.outputs.{name}": value for name, value in outputs.items()}
                printed += text
        return code, {name: _filled(held["value"], values) for name, held in HELD["outputs"].items()}, printed

    def _step(self, step: Mapping[str, str], values: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        script, output = self.folder / f"{step['id']}.sh", self.folder / f"{step['id']}.output"
        script.write_text(_filled(step["run"], values), encoding="utf-8")
        output.write_text("", encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "COV"))}
        environment |= {name: _filled(value, values) for name, value in dict(step["env"]).items()}
        environment |= {
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(self.temporary),
        }
        done = subprocess.run(
            [*SHELL, str(script)],
            cwd=self.workspace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        pairs = (line.partition("=") for line in output.read_text(encoding="utf-8").splitlines())
        return done.returncode, {name: value for name, _, value in pairs}, done.stdout


def _filled(text: str, values: Mapping[str, str]) -> str:
    return EXPRESSION.sub(lambda found: values.get(found[1], ""), text)


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("action"))


@pytest.fixture
def runner(action: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner whose step ``install`` finds the environment of the tests: installing is a test of its own."""
    monkeypatch.setitem(STEPS[1], "run", 'echo "python=$PYTHON" >> "$GITHUB_OUTPUT"')
    held = Runner(action, tmp_path)
    for name, path in (("stack.yaml", AUDITED), ("complete.yaml", REFERENCE), ("with space.yaml", REFERENCE)):
        (held.workspace / name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return held


def test_metadata_is_valid_and_scripts_hold_no_expression() -> None:
    valid("github-actions", ACTION)
    assert set(HELD["inputs"]) == {"paths", "fail-on", "profile", "args", "version"}
    for step in STEPS:
        assert "${{" not in step.get("run", ""), "an input spliced into a script is an injection"
        assert "uses" in step or step["shell"] == "bash"
    known = {f"inputs.{name}" for name in HELD["inputs"]}
    used = set(EXPRESSION.findall(ACTION.read_text(encoding="utf-8")))
    assert {name for name in used if name.startswith("inputs.")} == known


def test_shell_is_clean(tmp_path: Path) -> None:
    scripts = []
    for step in STEPS:
        if "run" in step:
            scripts.append(tmp_path / f"{step['id']}.sh")
            given = " ".join(f"{name}=''" for name in step["env"])
            scripts[-1].write_text(f"#!/bin/bash\nexport {given}\n{step['run']}", encoding="utf-8")
    assert len(scripts) == 2
    command = [str(Path(sys.executable).parent / "shellcheck"), "--severity=style", *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_installs_itself_and_imports_nothing_from_the_audited_repository(action: Path, tmp_path: Path) -> None:
    runner = Runner(action, tmp_path)
    for name in ("yaml", "venv", "pip", "cfaudit"):
        (runner.workspace / f"{name}.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    (runner.workspace / "stack.yaml").write_text(AUDITED.read_text(encoding="utf-8"), encoding="utf-8")
    code, outputs, printed = runner.run({})
    assert (code, outputs["verdict"]) == (1, "fail"), printed
    assert json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))["runs"][0]["results"]
    assert "::error file=stack.yaml,line=" in printed
    assert "50.7" in runner.summary.read_text(encoding="utf-8")


def test_inputs_become_options(runner: Runner) -> None:
    code, outputs, printed = runner.run({"paths": "  complete.yaml\nwith space.yaml\n\n", "fail-on": "low"})
    assert (code, outputs["verdict"]) == (0, "pass"), printed
    held = json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))
    assert {each["location"]["uri"] for each in held["runs"][0]["artifacts"]} >= {"complete.yaml", "with%20space.yaml"}
    arguments = {"paths": "stack.yaml", "fail-on": "never", "profile": "serverless"}
    code, outputs, printed = runner.run({**arguments, "args": "--min-score 99\n --as-of 2026-11-22"})
    assert (code, outputs["verdict"]) == (1, "fail"), printed
    assert runner.run({**arguments, "args": "--min-score 1"})[0] == 0


def test_unusable_input_is_an_error_without_sarif(runner: Runner) -> None:
    code, outputs, printed = runner.run({"paths": "nosuch.yaml"})
    assert (code, outputs) == (2, {"sarif": "", "verdict": "error"}), printed
    assert "there is no such file" in printed


@pytest.mark.parametrize("name", ["paths", "fail-on", "profile", "args"])
def test_inputs_are_words_never_commands(runner: Runner, name: str) -> None:
    runner.run({"paths": "complete.yaml", name: EVIL})
    assert not (runner.workspace / "pwned").exists()


def test_version_is_installed_instead_of_the_action_and_is_a_word_too(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        """#!/bin/sh
printf '%s|' "$@" >> "$RUNNER_TEMP/arguments"
if [ "$3" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
""",
        encoding="utf-8",
    )
    python.chmod(0o755)
    for number, (version, source) in enumerate(
        [("", "ACTION"), ("0.1.0", "cfaudit==0.1.0"), (EVIL, f"cfaudit=={EVIL}")]
    ):
        runner = Runner(Path("ACTION"), tmp_path / str(number))
        assert runner.run({"version": version}, str(python))[0] == 0
        assert f"|install|--quiet|--disable-pip-version-check|{source}|" in (runner.temporary / "arguments").read_text()
        assert not (runner.workspace / "pwned").exists()
