"""The README's section about pipelines, followed word for word from an empty repository; docs/ci says what is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from repository import git, published
from stacks import AUDITED, ROOT
from test_action import HELD, Runner
from test_init import STARTERS, valid

DOCS = ROOT / "docs" / "ci"
PLACE = "https://github.com/OWNER/cfaudit"
TOOLS = {
    "cfn-lint": "from cfnlint.runner import main; sys.exit(main())",
    "pre-commit": "from pre_commit.main import main; sys.exit(main())",
}


class Block(NamedTuple):
    """A block of the section: its language and its text, and the file that the words before it name."""

    language: str
    text: str
    file: str | None


def blocks() -> Iterator[Block]:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## In your pipeline\n")[1].split("\n## ")[0]
    for words, language, text in re.findall(r"(.*?)```(\w+)\n(.*?)```", section, re.DOTALL):
        named = re.search(r"\*\* \(`([^`]+)`\)", words)
        yield Block(language, text, named[1] if named else None)


class Place:
    """An empty repository, an environment without cfaudit, and this repository where git looks for OWNER's."""

    def __init__(self, folder: Path) -> None:
        (folder / "cfaudit").mkdir()
        self.kept = published(folder / "cfaudit").as_uri()
        self.folder, self.repository = folder, folder / "repository"
        (self.repository / "templates").mkdir(parents=True)
        git("init", "--quiet", cwd=self.repository)
        venv.create(folder / "environment", with_pip=True)
        self.bin = folder / "environment" / "bin"
        for name, script in TOOLS.items():
            (self.bin / name).write_text(f"#!{sys.executable}\nimport sys; {script}\n", encoding="utf-8")
            (self.bin / name).chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))}
        environment |= {"PATH": f"{self.bin}:{os.environ['PATH']}", "PRE_COMMIT_HOME": str(self.folder / "store")}
        environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{self.kept}.insteadOf"}
        environment |= {"GIT_CONFIG_VALUE_0": PLACE}
        command = ["bash", "-e", "-c", script]
        return subprocess.run(
            command, cwd=self.repository, env=environment, capture_output=True, text=True, check=False
        )


def test_section_can_be_followed_from_an_empty_repository(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.repository / "templates" / "stack.yaml").write_text(AUDITED.read_text(encoding="utf-8"), encoding="utf-8")
    install, hook, commit, workflow, gitlab, linter, lint = blocks()

    done = place.run(install.text)
    assert done.returncode == 0, done.stderr
    assert "templates: templates/" in done.stdout
    written = {"cfaudit.yaml": None, hook.file: hook.text, workflow.file: workflow.text}
    for name, text in written.items():
        held = (place.repository / str(name)).read_text(encoding="utf-8")
        assert text is None or held == text, name
    valid("github-workflows", place.repository / str(workflow.file))

    git("add", ".", cwd=place.repository)
    done = place.run(commit.text)
    assert done.returncode == 1, done.stderr
    assert "missing-fraud-detector" in done.stdout
    assert (place.repository / ".git" / "hooks" / "pre-commit").exists()

    runner = Runner(tmp_path / "cfaudit", tmp_path / "runner")
    (runner.workspace / "templates").symlink_to(place.repository / "templates")
    _, given, upload = yaml.safe_load(workflow.text)["jobs"]["audit"]["steps"]
    code, outputs, printed = runner.run(given["with"])
    assert (code, outputs["verdict"]) == (1, "fail"), printed
    assert upload["with"]["sarif_file"] == f"${{{{ steps.{given['id']}.outputs.sarif }}}}"
    assert json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))["runs"]

    (place.repository / str(gitlab.file)).write_text(gitlab.text, encoding="utf-8")
    valid("gitlab-ci", place.repository / str(gitlab.file))
    job = yaml.safe_load(gitlab.text)["cfaudit"]
    assert job["script"][0] == install.text.splitlines()[0].partition("  #")[0]
    assert place.run(job["script"][1]).returncode == 1
    report = place.repository / job["artifacts"]["reports"]["codequality"]
    assert len(json.loads(report.read_text(encoding="utf-8"))) > 100

    (place.repository / str(linter.file)).write_text(linter.text, encoding="utf-8")
    done = place.run(lint.text)
    assert "E9901 missing-fraud-detector (critical)" in done.stdout, done.stderr

    (written_down,) = place.bin.parent.glob("lib/*/site-packages/cfaudit-*.dist-info/direct_url.json")
    assert json.loads(written_down.read_text(encoding="utf-8"))["url"] == PLACE
    record = written_down.with_name("RECORD").read_text(encoding="utf-8")
    assert all(
        f"cfaudit/{name}" in record
        for name in ("cfnlint_rules/gaps.py", "starters/github.yml", "starters/cfaudit.yaml")
    )
    origin = {"url": "https://github.com/acme/audits.git", "vcs_info": {"vcs": "git", "requested_revision": "main"}}
    written_down.write_text(json.dumps(origin), encoding="utf-8")
    done = place.run(f"rm {hook.file} {workflow.file} {gitlab.file} && cfaudit init --dry-run")
    assert "- repo: https://github.com/acme/audits.git\n        rev: main\n" in done.stdout
    assert "uses: acme/audits@main\n" in done.stdout
    assert "OWNER" not in done.stdout


def test_blocks_are_what_init_writes() -> None:
    held = [block.text for block in blocks()]
    for name in ("pre-commit-config.yaml", "github.yml", "gitlab-ci.yml"):
        assert (STARTERS / name).read_text(encoding="utf-8") in held, name


def test_longer_forms_are_valid_and_what_they_run_works(tmp_path: Path) -> None:
    valid("gitlab-ci", DOCS / "gitlab-ci.yml")
    valid("github-workflows", DOCS / "github.yml")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "stack.yaml").write_text(AUDITED.read_text(encoding="utf-8"), encoding="utf-8")
    job = yaml.safe_load((DOCS / "gitlab-ci.yml").read_text(encoding="utf-8"))["cfaudit"]
    steps = yaml.safe_load((DOCS / "github.yml").read_text(encoding="utf-8"))["jobs"]["audit"]["steps"]
    scripts = [job["script"][-1], *(step["run"] for step in steps if step.get("run", "").startswith("cfaudit"))]
    assert len(scripts) == 2
    for script in scripts:
        command = script.replace("cfaudit check", f"{sys.executable} -m cfaudit check", 1)
        assert subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True).returncode == 1
    made = {*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"], "cfaudit.sarif"}
    assert {path.name for path in tmp_path.iterdir()} == {"templates", *made}


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_tables_are_those_of_the_action(kind: str) -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    for name, held in HELD[kind].items():
        default = f" (`{held['default']}`)" if held.get("default") else ""
        assert f"| `{name}` | {held['description']}{default} |" in text
