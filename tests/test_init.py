"""``cfaudit init`` in real repositories: what it writes is valid by its schemas, and nothing there is touched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from check_jsonschema.cli import main as check_jsonschema
from click.testing import CliRunner

from cfaudit import __version__
from cfaudit.cli import init
from stacks import AUDITED, ROOT
from test_cli import cfaudit

STARTERS = ROOT / "src" / "cfaudit" / "starters"
WORKFLOW = Path(".github/workflows/cfaudit.yml")
TEMPLATE = "Resources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties: {KeyPolicy: {}}\n"


def valid(schema: str, path: Path) -> None:
    """Valid by one of the schemas that check-jsonschema carries with it."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.{schema}", str(path)])
    assert done.exit_code == 0, done.output


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for path in ("infra/a/stack.yaml", "infra/b/more.json", "top.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(TEMPLATE, encoding="utf-8")
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "values.yaml").write_text("replicas: 1\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_everything_is_written_once_and_is_valid(repository: Path) -> None:
    before = files(repository)
    done = cfaudit("init", cwd=repository / "infra")
    assert (done.returncode, done.stderr) == (0, "")
    written = files(repository)
    assert written.keys() - before.keys() == {"cfaudit.yaml", ".pre-commit-config.yaml", WORKFLOW.as_posix()}
    assert before.items() <= written.items()
    valid("github-workflows", repository / WORKFLOW)
    job = yaml.safe_load(written[WORKFLOW.as_posix()])["jobs"]["audit"]
    assert job["steps"][1]["with"]["paths"].split() == ["top.yaml", "infra/"]
    hooks = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(hooks, cwd=repository, check=True)
    assert cfaudit("check", ".", "--fail-on", "never", cwd=repository).returncode == 0
    assert "wrote ../cfaudit.yaml" in done.stdout

    again = cfaudit("init", cwd=repository)
    assert again.returncode == 0
    assert "wrote" not in again.stdout
    assert again.stdout.count("as it is") == 3
    assert "add to it" not in again.stdout
    assert files(repository) == written


def test_dry_run_prints_what_it_would_write_and_writes_nothing(repository: Path) -> None:
    before = files(repository)
    dry = cfaudit("init", "--dry-run", cwd=repository)
    assert (dry.returncode, files(repository)) == (0, before)
    cfaudit("init", cwd=repository)
    for path, text in files(repository).items() - before.items():
        assert f"would write {path}\n" in dry.stdout
        assert all(line in dry.stdout for line in text.splitlines())


def test_what_is_there_is_left_and_the_rest_is_printed(repository: Path) -> None:
    there = {
        "pyproject.toml": "[tool.cfaudit]\nprofile = 'serverless'\n",
        ".pre-commit-config.yaml": "repos: []\n",
        ".gitlab-ci.yml": "test: {script: make}\n",
        ".cfnlintrc": "regions: [eu-west-1]\n",
    }
    for name, text in there.items():
        (repository / name).write_text(text, encoding="utf-8")
    before = files(repository)
    done = cfaudit("init", cwd=repository)
    assert done.returncode == 0
    assert files(repository) == before
    assert "left pyproject.toml as it is\n" in done.stdout
    added = [yaml.safe_load(block) for block in re.findall(r"add to it:\n((?:    .*\n)+)", done.stdout)]
    (hook,), pipeline, linter = added
    assert hook["hooks"] == [{"id": "cfaudit"}]
    assert "cfaudit check top.yaml infra/ " in pipeline["cfaudit"]["script"][1]
    assert linter == {"append_rules": ["cfaudit.cfnlint_rules"]}


@pytest.mark.parametrize("obstacle", [".github", ".github/workflows"])
def test_what_cannot_be_written_is_one_diagnostic_and_nothing_is_written(repository: Path, obstacle: str) -> None:
    (repository / obstacle).parent.mkdir(exist_ok=True)
    (repository / obstacle).write_text("", encoding="utf-8")
    before = files(repository)
    done = cfaudit("init", cwd=repository)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"\.github/workflows/cfaudit\.yml: cannot be written: .*; nothing was written\n", done.stderr)
    assert files(repository) == before


def test_read_only_directory_is_one_diagnostic(repository: Path) -> None:
    """A read-only mount, which binds root too, in a mount namespace of its own."""
    script = f"mount --bind -o ro . . && cd . && exec {sys.executable} -m cfaudit init"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    if subprocess.run([*command[:-1], "mount --bind -o ro . ."], cwd=repository, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount in a namespace of their own")
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("templates", "expected"),
    [
        ((), ()),
        (("stack.yaml",), ("stack.yaml",)),
        (("infra/stack.yaml",), ("infra/",)),
        (("src/a/infra/x.yaml", "src/a/infra/deep/y.yaml"), ("src/a/infra/",)),
        (("src/a/x.yaml", "src/b/y.yaml", "top.json"), ("top.json", "src/")),
        (("with space/x.yaml",), (".",)),
        (tuple(f"{name}/x.yaml" for name in "abcdef"), (".",)),
    ],
)
def test_paths_are_where_the_templates_are(tmp_path: Path, templates: tuple[str, ...], expected: tuple[str]) -> None:
    for path in templates:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(TEMPLATE, encoding="utf-8")
    assert init.templates_of(tmp_path) == expected


def test_starters_are_valid_as_they_stand_and_name_this_version() -> None:
    valid("github-workflows", STARTERS / "github.yml")
    valid("gitlab-ci", STARTERS / "gitlab-ci.yml")
    for path in (*STARTERS.glob("*.yml"), STARTERS / "pre-commit-config.yaml"):
        text = path.read_text(encoding="utf-8")
        assert init.PLACEHOLDER in text, path
        assert set(re.findall(r"v\d+\.\d+\.\d+", text)) == {f"v{__version__}"}, path


def test_examples_in_the_configuration_are_valid_too(tmp_path: Path) -> None:
    lines = (STARTERS / "cfaudit.yaml").read_text(encoding="utf-8").splitlines()
    examples = [re.sub(r"^# ", "", line) for line in lines if re.match(r"# ( *- |  |[a-z_]+:)", line)]
    text = "\n".join(["profile: auto", *examples]) + "\n"
    assert set(yaml.safe_load(text)) >= {
        "profile",
        "rules",
        "external",
        "waivers",
        "environments",
        "fail_on",
        "min_score",
    }
    (tmp_path / "cfaudit.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "stack.yaml").write_text(AUDITED.read_text(encoding="utf-8"), encoding="utf-8")
    done = cfaudit("check", "stack.yaml", "--environment", "prod", "-q", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    schema = tmp_path / "schema.json"
    schema.write_text(cfaudit("schema", "config", cwd=tmp_path).stdout, encoding="utf-8")
    for path in (tmp_path / "cfaudit.yaml", STARTERS / "cfaudit.yaml"):
        checked = CliRunner().invoke(check_jsonschema, ["--schemafile", str(schema), str(path)])
        assert checked.exit_code == 0, checked.output
