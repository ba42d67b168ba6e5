"""What the pages about configuration, profiles and validity show is what the program does."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import cfaudit
from cfaudit.config import load_config
from cfaudit.fleet import Options, catalogue, run
from cfaudit.profile import PROFILES, load_profile
from cfaudit.rule import RULES, RuleError
from cfaudit.sources.files import inputs
from cfaudit.validity import CFN_LINT, ENGINES, validate
from stacks import AS_OF, ROOT

DOCS = ROOT / "docs"
PAGES = ("configuration.md", "profiles.md", "validity.md")
PARCELS = ROOT / "fixtures" / "examples" / "parcels"
SCHEMAS = Path(cfaudit.__file__).parent / "schemas"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def of_file(page: str, name: str) -> list[str]:
    """The YAML blocks that are a file's text, by the comment that begins them."""
    return [block for block in blocks(page, "yaml") if block.startswith(f"# {name}\n")]


CONFIGURATIONS = of_file("configuration.md", "cfaudit.yaml")


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=lambda text: text.split("\n")[1][:30])
def test_every_configuration_shown_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "company-rules" / "security").mkdir(parents=True)
    (tmp_path / "company-rules" / "security" / "own-rule.yaml").touch()
    held = load_config(tmp_path / "cfaudit.yaml", text, lambda _: catalogue(), "crowdfunding")
    assert held.keys
    schema = json.loads((SCHEMAS / "config.json").read_text(encoding="utf-8"))
    plain = yaml.load(text, yaml.BaseLoader)
    if "min_score" in plain:
        plain["min_score"] = float(plain["min_score"])
    assert not list(Draft202012Validator(schema).iter_errors(plain))


def test_every_key_has_a_section_with_an_example() -> None:
    schema = json.loads((SCHEMAS / "config.json").read_text(encoding="utf-8"))
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    shown = re.findall(r"^### `(\w+)`\n.*?^```yaml\n# cfaudit.yaml\n(\w+):", text, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in shown} == set(schema["properties"])
    assert all(name == first for name, first in shown)


def test_pyproject_says_the_same() -> None:
    (toml,) = blocks("configuration.md", "toml")
    one = load_config(Path("pyproject.toml"), toml, catalogue)
    other = load_config(Path("cfaudit.yaml"), CONFIGURATIONS[0], catalogue)
    assert (one.profile, one.fail_on, one.min_score) == (other.profile, other.fail_on, other.min_score)
    assert (one.bind, one.off, one.environments["prod"]) == (other.bind, other.off, other.environments["prod"])
    assert one.waivers[0].until == other.waivers[0].until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The configuration and the stack that the page about configuration shows."""
    (tmp_path / "cfaudit.yaml").write_text(CONFIGURATIONS[0], encoding="utf-8")
    (stack,) = of_file("configuration.md", "stack.yaml")
    (tmp_path / "stack.yaml").write_text(stack, encoding="utf-8")
    return tmp_path


def test_the_waivers_shown_work_in_all_three_places(folder: Path) -> None:
    (outcome,) = run(inputs([str(folder / "stack.yaml")]), Options(as_of=AS_OF))
    template = outcome.templates[0]
    waived = {held["rule"]: held["waiver"] for held in template["findings"] if held["verdict"] == "waived"}
    assert set(waived) == {"key-rotation-off", "recovery-off", "table-not-on-demand"}
    assert {waiver["until"] for waiver in waived.values() if waiver} == {"2027-03-31"}
    assert not [note for note in template["diagnostics"] if note["level"] == "warning"]


def shown(page: str) -> Iterator[tuple[str, list[str]]]:
    """The commands that a page shows, and the lines of their output; ``…`` alone stands for lines left out."""
    for block in blocks(page, "console"):
        command, _, output = block.partition("\n")
        yield command.removeprefix("$ "), [line for line in output.splitlines() if line.strip() not in ("", "…")]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_printed_is_shown(page: str, folder: Path) -> None:
    where = folder if page == "configuration.md" else ROOT
    for command, lines in shown(page):
        program, *words = shlex.split(command)
        assert program == "cfaudit"
        done = subprocess.run(
            [sys.executable, "-m", "cfaudit", *words], cwd=where, capture_output=True, text=True, check=False
        )
        printed = iter(done.stdout.splitlines())
        for line in lines:
            assert any(re.sub(" +", " ", line) == re.sub(" +", " ", out) for out in printed), (line, done.stderr)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / link).exists(), link


# Configuration on the command line -----------------------------------------------------------------------------------


def told(folder: Path, *words: str) -> dict[str, tuple[str | float | None, str]]:
    """What ``cfaudit config`` says: value and origin by name."""
    command = [sys.executable, "-m", "cfaudit", "config", "--format", "json", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)["values"]}


def test_config_prints_what_applies_and_where_it_comes_from(folder: Path) -> None:
    plain = told(folder, "stack.yaml")
    assert plain["profile"] == ("production", "cfaudit.yaml:2:1")
    assert plain["fail_on"] == ("high", "cfaudit.yaml:10:1")
    assert plain["rules.untraced-functions"] == ("off", "cfaudit.yaml:8:3")
    assert plain["rules.untraced-api"] == ("medium", "profile production")
    options = ("--profile", "mvp", "--fail-on", "low", "--min-score", "7", "-e", "test", "--ignore", "recovery-off")
    other = told(folder, "stack.yaml", *options)
    assert other["profile"] == ("mvp", "command line")
    assert (other["fail_on"], other["min_score"]) == (("low", "command line"), (7, "command line"))
    assert other["parameters.Stage"] == ("test", "cfaudit.yaml:14:3")
    assert other["rules.recovery-off"] == ("off", "command line")
    assert other["rules.missing-web-acl"] == ("off", "profile mvp")


def test_config_of_a_folder_and_of_nothing(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "cfaudit.yaml").write_text("fail_on: low\n", encoding="utf-8")
    assert told(folder, "deep")["fail_on"] == ("low", "deep/cfaudit.yaml:1:1")
    (folder / "deep" / "cfaudit.yaml").write_text("", encoding="utf-8")
    assert told(folder, "deep") == {
        "profile": ("auto", "default"),
        "fail_on": ("critical", "default"),
        "min_score": (None, "default"),
        "screening": (None, "default"),
    }


# Profiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["profile.yaml", "cfaudit.yaml"])
def test_the_example_shown_is_the_example(name: str) -> None:
    (block,) = of_file("profiles.md", f"fixtures/examples/parcels/{name}")
    lines = iter((PARCELS / name).read_text(encoding="utf-8").splitlines())
    for line in block.splitlines()[1:]:
        assert line == "…" or line in lines, line


@pytest.mark.parametrize("engine", ENGINES)
def test_the_examples_stack_is_valid(engine: str) -> None:
    text = (PARCELS / "stack.yaml").read_text(encoding="utf-8")
    found = validate(engine, text, "stack.yaml", None, {})
    assert [problem for problem in found.problems if engine == CFN_LINT or problem.level == "error"] == []
    assert found.failure is None


PROFILE_FILES = [PARCELS / "profile.yaml", *(RULES / "profiles" / f"{name}.yaml" for name in PROFILES)]


@pytest.mark.parametrize("path", PROFILE_FILES, ids=lambda path: path.stem)
def test_profiles_are_valid_by_their_schema(path: Path) -> None:
    schema = json.loads((SCHEMAS / "profile.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not [error.message for error in Draft202012Validator(schema).iter_errors(plain)]
    assert load_profile(str(path), catalogue().ids).title == plain["title"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{title: ''}",
        "{title: x, extend: serverless}",
        "{title: x, extends: nothing}",
        "{title: x, without: no-mfa}",
        "{title: x, rules: {no-mfa: grave}}",
        "{title: x, requirements: {no-mfa: {a: b}}}",
        "{title: x, fail_on: info}",
        "{title: x, min_score: 101}",
        "{title: x, components: [a]}",
        "{title: x, components: {a: {title: A, severity: low, requirement: x}}}",
        "{title: x, components: {a: {title: A, severity: low, requirement: x, types: Nope}}}",
        "{title: x, components: {a: {title: A, severity: low, requirement: x, types: 'A::B', structure: {near: a}}}}",
        "{title: x, components: {a: {title: A, severity: low, requirement: x, types: 'A::B', generic: 'yes'}}}",
    ],
)
def test_schema_and_reader_refuse_the_same_profiles(text: str, tmp_path: Path) -> None:
    schema = json.loads((SCHEMAS / "profile.json").read_text(encoding="utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text)))
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RuleError):
        load_profile(str(tmp_path / "own.yaml"), catalogue().ids)
