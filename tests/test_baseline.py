"""Baselines: what a fingerprint survives and what it does not, the file, the commands, and what the formats say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as Xml

import pytest

from cfaudit import fleet
from cfaudit.baseline import Entry, load_baseline, marked, stale, written
from cfaudit.finding import Result
from cfaudit.nodes import Span
from cfaudit.pipeline import Settings, audit
from cfaudit.render.template import to_json
from cfaudit.report import FindingObject, TemplateObject
from cfaudit.sources.files import Input
from stacks import AUDITED
from test_cli import MINIMAL, cfaudit

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

AS_OF = "2026-11-22"
FILE = "cfaudit-baseline.json"
BUCKET = "  Store:\n    Type: AWS::S3::Bucket\n"
TOPIC = "  News:\n    Type: AWS::SNS::Topic\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose one template has gaps."""
    (tmp_path / "cfaudit.yaml").write_text("fail_on: low\n", encoding="utf-8")
    (tmp_path / "stack.yaml").write_text(MINIMAL + BUCKET, encoding="utf-8")
    return tmp_path


def run(project: Path, *arguments: str) -> tuple[int, str, str]:
    done = cfaudit(*arguments, cwd=project)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def create(project: Path, *arguments: str) -> list[dict[str, str]]:
    code, _, stderr = run(project, "baseline", "create", "--as-of", AS_OF, *arguments)
    assert (code, stderr) == (0, "")
    return entries(project)


def entries(project: Path, name: str = FILE) -> list[dict[str, str]]:
    held: list[dict[str, str]] = json.loads((project / name).read_text(encoding="utf-8"))["findings"]
    return held


def checked(project: Path, *arguments: str) -> tuple[int, TemplateObject]:
    code, stdout, _ = run(
        project, "check", "stack.yaml", "--as-of", AS_OF, "-f", "json", "--baseline", FILE, *arguments
    )
    template: TemplateObject = json.loads(stdout)["templates"][0]
    return code, template


def gaps(template: TemplateObject) -> list[FindingObject]:
    return [finding for finding in template["findings"] if finding["verdict"] == "fail"]


# Fingerprints --------------------------------------------------------------------------------------------------------


def prints(path: Path) -> set[str]:
    outcome = fleet.audit_input(Input(str(path), named=True), fleet.Options(as_of=date.fromisoformat(AS_OF)))
    return {finding["fingerprint"] for finding in gaps(outcome.templates[0])}


def reordered(text: str) -> str:
    """The template with its resources from the last to the first, other lines between them."""
    head, resources = text.split("\nResources:\n")
    blocks: list[str] = []
    for line in resources.split("\n"):
        if line.startswith("  ") and line[2:3].isalnum():
            blocks.append(line)
        elif blocks and not line[:1].isalpha():
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    at = next((index for index, block in enumerate(blocks) if block[:1].isalpha()), len(blocks))
    tail = "\n".join(blocks[at:])
    return "\n".join((head, "Resources:", "  # moved", *reversed(blocks[:at]), tail))


def test_fingerprints_survive_moved_lines_order_and_format(tmp_path: Path) -> None:
    text = Path(AUDITED).read_text(encoding="utf-8")
    (tmp_path / "cfaudit.yaml").write_text("{}\n", encoding="utf-8")
    stack = tmp_path / "stack.template"
    found = []
    for version in (text, "\n\n# a remark\n" + text, reordered(text), to_json(text, "stack.yaml")):
        stack.write_text(version, encoding="utf-8")
        found.append(prints(stack))
    assert len(found[0]) == 132
    assert found[1:] == [found[0]] * 3
    (tmp_path / "other.template").write_text(text, encoding="utf-8")
    assert prints(tmp_path / "other.template").isdisjoint(found[0])


def test_a_path_is_the_same_from_wherever_it_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sub").mkdir()
    monkeypatch.chdir(project)
    here = prints(Path("stack.yaml"))
    assert prints(project / "sub/../stack.yaml") == here == prints(Path("./stack.yaml"))
    monkeypatch.chdir(project / "sub")
    assert prints(Path("../stack.yaml")) == here


# The file ------------------------------------------------------------------------------------------------------------


def test_the_file_is_sorted_and_reviewable_and_its_bytes_are_stable(project: Path) -> None:
    held = create(project)
    assert held == sorted(held, key=lambda entry: (entry["path"], entry["rule"], entry["subject"]))
    assert {entry["path"] for entry in held} == {"stack.yaml"}
    assert {entry["subject"] for entry in held} >= {"Key", "Store"}
    assert all(entry["message"] for entry in held)
    first = (project / FILE).read_bytes()
    assert first.endswith(b"}\n")
    for command in ("update", "prune"):
        assert run(project, "baseline", command, "--as-of", AS_OF)[0] == 0
        assert (project / FILE).read_bytes() == first
    assert sorted(path.name for path in project.iterdir()) == [FILE, "cfaudit.yaml", "stack.yaml"]


def test_what_cannot_be_seen_is_written_out() -> None:
    entry = Entry("0" * 16, "rule", "a\u202eb.yaml", "\ud800", "caf\u00e9\u200b\n", Span("x", 1, 1, 1, 1))
    text = written([entry])
    assert "caf\u00e9" in text
    assert "\\u202e" in text
    text.encode()
    held = load_baseline(text, "b.json").entries["0" * 16]
    assert held[:5] == entry._replace(subject="\ufffd")[:5]


ENTRY = '{"fingerprint": "0123456789abcdef", "rule": "r", "path": "p", "subject": "s", "message": "m"}'


@pytest.mark.parametrize(
    ("text", "point", "says"),
    [
        ("", f"{FILE}:1:1", ""),
        ("[]", f"{FILE}:1:1", "map"),
        ("{", f"{FILE}:1:2", ""),
        ('{"schema": 1,\n "findings": [\n{"rule": }]}', f"{FILE}:3:10", ""),
        ('{"schema": 2, "findings": []}', f"{FILE}:1:12", "'schema': 1"),
        ('{"schema": 1, "findngs": []}', f"{FILE}:1:15", "no key"),
        ('{"schema": 1, "findings": [7]}', f"{FILE}:1:28", "an entry is a map"),
        (
            f'{{"schema": 1, "findings": [\n{ENTRY},\n{ENTRY}\n]}}',
            f"{FILE}:3:1",
            "there twice",
        ),
        (f'{{"schema": 1, "findings": [\n{ENTRY.replace("cdef", "cdeg")}\n]}}', f"{FILE}:2:17", "16 hex digits"),
        (f'{{"schema": 1, "findings": [\n{ENTRY.replace("rule", "rle")}\n]}}', f"{FILE}:2:", "'rle' is no key"),
        ('{"a":' * 40000, f"{FILE}:1:", "levels deep"),
        ('{"schema": 1, "schema": 1, "findings": []}', f"{FILE}:1:15", "more than once"),
    ],
)
def test_a_broken_file_gets_one_diagnostic(project: Path, text: str, point: str, says: str) -> None:
    (project / FILE).write_text(text, encoding="utf-8")
    for command in (("check", "stack.yaml", "--baseline", FILE), ("baseline", "update"), ("baseline", "prune")):
        code, stdout, stderr = run(project, *command)
        assert (code, stdout) == (2, "")
        first, *rest = stderr.splitlines()
        assert first.startswith(point)
        assert says in first
        assert len(rest) <= 3
    assert (project / FILE).read_text(encoding="utf-8") == text


def test_a_file_that_is_not_there_is_unusable(project: Path) -> None:
    code, stdout, stderr = run(project, "check", "stack.yaml", "--baseline", "nowhere.json")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("nowhere.json:1:1: there is no such file")
    code, _, stderr = run(project, "baseline", "update")
    assert code == 2
    assert "'cfaudit baseline create' makes it" in stderr


# The gate ------------------------------------------------------------------------------------------------------------


def test_known_gaps_are_shown_and_scored_but_not_gated(project: Path) -> None:
    code, before = checked_without(project)
    assert code == 1
    create(project)
    code, after = checked(project)
    assert code == 0
    assert after["verdict"] == "pass"
    assert [finding["fingerprint"] for finding in gaps(after)] == [finding["fingerprint"] for finding in gaps(before)]
    assert all(finding["known"] for finding in gaps(after))
    assert not any(finding["known"] for finding in gaps(before))
    assert after["scorecard"]
    assert before["scorecard"]
    assert after["scorecard"]["overall"] == before["scorecard"]["overall"]
    assert after["scorecard"]["gate"]["baseline"] == FILE
    assert after["scorecard"]["readiness"] == before["scorecard"]["readiness"]
    assert checked(project, "--no-baseline")[0] == 1
    assert checked(project, "--min-score", "100")[0] == 1


def checked_without(project: Path) -> tuple[int, TemplateObject]:
    code, stdout, _ = run(project, "check", "stack.yaml", "--as-of", AS_OF, "-f", "json")
    template: TemplateObject = json.loads(stdout)["templates"][0]
    return code, template


def test_a_new_gap_fails_the_gate_and_comes_first(project: Path) -> None:
    create(project)
    (project / "stack.yaml").write_text(MINIMAL + BUCKET + BUCKET.replace("Store", "Zeta"), encoding="utf-8")
    code, template = checked(project)
    assert code == 1
    assert {finding["subject"] for finding in gaps(template) if not finding["known"]} == {"Zeta"}
    console = run(project, "check", "stack.yaml", "--as-of", AS_OF, "--baseline", FILE)[1]
    assert "new gaps are low or worse" in " ".join(console.split())
    said = [line for line in console.splitlines() if line.startswith("  ") and "(known)" in line]
    assert said


def test_the_configuration_names_the_baseline(project: Path) -> None:
    (project / "cfaudit.yaml").write_text("fail_on: low\nbaseline: ci/known.json\n", encoding="utf-8")
    (project / "ci").mkdir()
    code, stdout, _ = run(project, "baseline", "create", "--as-of", AS_OF)
    assert code == 0
    assert stdout.startswith("ci/known.json: ")
    assert entries(project, "ci/known.json")
    assert run(project, "check", "stack.yaml", "--as-of", AS_OF)[0] == 0
    assert run(project, "check", "stack.yaml", "--as-of", AS_OF, "--no-baseline")[0] == 1
    assert "ci/known.json" in run(project, "config", "stack.yaml")[1]


def test_a_gap_that_is_found_no_more_is_told_and_strict_fails(project: Path) -> None:
    create(project)
    (project / "stack.yaml").write_text(MINIMAL, encoding="utf-8")
    arguments = ("check", "stack.yaml", "--as-of", AS_OF, "--baseline", FILE, "-f", "json")
    code, stdout, _ = run(project, *arguments)
    told = json.loads(stdout)["diagnostics"]
    assert code == 0
    assert {each["file"] for each in told} == {FILE}
    assert all("is found no more" in each["message"] for each in told)
    lines = (project / FILE).read_text(encoding="utf-8").splitlines()
    assert {json.loads("{" + lines[each["line"]].strip().rstrip(",") + "}")["fingerprint"] for each in told} <= {
        entry["fingerprint"] for entry in entries(project)
    }
    code, stdout, _ = run(project, *arguments, "--strict-baseline", "--fail-on", "never")
    held = json.loads(stdout)
    assert code == 1
    assert held["templates"][0]["verdict"] == "fail"
    assert held["templates"][0]["scorecard"]["gate"]["stale"] == len(told) == len(held["diagnostics"])
    assert {each["level"] for each in held["diagnostics"]} == {"error"}


def test_what_was_not_judged_is_not_stale(project: Path) -> None:
    (project / "other.yaml").write_text("Resources:\n" + TOPIC, encoding="utf-8")
    held = create(project)
    assert {entry["path"] for entry in held} == {"stack.yaml", "other.yaml"}
    strict = ("--baseline", FILE, "--strict-baseline", "--as-of", AS_OF, "-f", "json")
    for more in ((), ("--select", "key-rotation-off"), ("--ignore", "security")):
        code, stdout, _ = run(project, "check", "stack.yaml", *strict, *more)
        assert (code, json.loads(stdout)["diagnostics"]) == (0, [])
    (project / "cfaudit.yaml").write_text("rules: {key-rotation-off: off}\n", encoding="utf-8")
    assert run(project, "check", ".", *strict)[0] == 0


def test_a_waived_gap_is_not_stale(project: Path) -> None:
    create(project)
    (project / "cfaudit.yaml").write_text(
        "waivers: [{rule: key-rotation-off, reason: by hand, until: '2027-01-01'}]\n", encoding="utf-8"
    )
    code, template = checked(project, "--strict-baseline")
    assert code == 0
    waived = [finding for finding in template["findings"] if finding["verdict"] == "waived"]
    assert [(finding["rule"], finding["known"]) for finding in waived] == [("key-rotation-off", False)]


def test_a_renamed_rule_keeps_its_entries() -> None:
    settings = Settings(as_of=date.fromisoformat(AS_OF))
    rules = {rule.id: rule for rule in fleet.rules()}
    old = rules["key-rotation-off"]
    new = old._replace(id="key-never-rotated", aliases=("key-rotation-off",))
    before = audit(MINIMAL, "stack.yaml", settings, [old]).results
    after = audit(MINIMAL, "stack.yaml", settings, [new]).results
    entries = fingerprints(before)
    baseline = load_baseline(written(entries), "b.json")
    catalogue = fleet.Catalogue.of([(new.id, new.aliases)])
    assert [finding.known for result in marked(after, baseline, "stack.yaml") for finding in result.findings] == [True]
    assert stale([after], baseline, "stack.yaml", catalogue) == ()
    clean = audit(MINIMAL.replace("Properties:", "Properties:\n      EnableKeyRotation: true"), "s", settings, [new])
    assert [entry.rule for entry in stale([clean.results], baseline, "stack.yaml", catalogue)] == [old.id]
    assert stale([()], baseline, "stack.yaml", catalogue) == ()
    assert len(stale([()], baseline, "stack.yaml", fleet.Catalogue({}))) == 1


def fingerprints(results: tuple[Result, ...]) -> list[Entry]:
    from cfaudit.baseline import fingerprint, from_project_root

    path = from_project_root("stack.yaml")
    return [
        Entry(
            fingerprint(result.rule.id, finding, path),
            result.rule.id,
            path,
            finding.subject,
            finding.message,
            Span("", 1, 1, 1, 1),
        )
        for result in results
        for finding in result.findings
    ]


# The commands --------------------------------------------------------------------------------------------------------


def test_create_never_overwrites(project: Path) -> None:
    create(project)
    before = (project / FILE).read_bytes()
    code, stdout, stderr = run(project, "baseline", "create")
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"{FILE}: exists; 'cfaudit baseline update'")
    assert (project / FILE).read_bytes() == before


def test_update_adds_and_prune_removes(project: Path) -> None:
    was = create(project)
    was[0]["message"] = "reviewed"
    (project / FILE).write_text(json.dumps({"schema": 1, "findings": was}), encoding="utf-8")
    (project / "stack.yaml").write_text("Resources:\n" + BUCKET + TOPIC, encoding="utf-8")
    code, stdout, _ = run(project, "baseline", "update", "--as-of", AS_OF)
    now = entries(project)
    assert code == 0
    assert stdout == f"{FILE}: {len(now) - len(was)} gaps added, {len(was)} kept\n"
    assert [entry for entry in now if entry in was] == was
    assert {entry["subject"] for entry in now if entry not in was} == {"News", "topic ARN"}
    code, stdout, _ = run(project, "baseline", "prune", "--as-of", AS_OF)
    left = entries(project)
    assert code == 0
    assert stdout == f"{FILE}: 1 gap removed, {len(left)} kept\n"
    assert len(now) - len(left) == 1
    assert {entry["subject"] for entry in left} == {entry["subject"] for entry in now} - {"Key"}
    assert all(entry in now for entry in left)


def test_prune_forgets_templates_that_are_gone(project: Path) -> None:
    (project / "old.yaml").write_text("Resources:\n" + TOPIC, encoding="utf-8")
    create(project)
    (project / "old.yaml").unlink()
    assert run(project, "baseline", "prune", "stack.yaml", "--as-of", AS_OF)[0] == 0
    assert {entry["path"] for entry in entries(project)} == {"stack.yaml"}
    (project / "stack.yaml").unlink()
    assert run(project, "baseline", "prune")[0] == 0
    assert entries(project) == []


def test_nothing_is_written_where_something_cannot_be_audited(project: Path) -> None:
    (project / "broken.yaml").write_text(MINIMAL + "  - x\n", encoding="utf-8")
    code, stdout, stderr = run(project, "baseline", "create")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("./broken.yaml:")
    assert f"{FILE}: not written" in stderr
    assert not (project / FILE).exists()
    (project / "empty").mkdir()
    assert "no template" in run(project, "baseline", "create", "empty")[2]


def test_each_project_has_a_baseline_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cfaudit.yaml").write_text("{}\n", encoding="utf-8")
        (tmp_path / name / "stack.yaml").write_text(MINIMAL, encoding="utf-8")
    code, stdout, _ = run(tmp_path, "baseline", "create", "--as-of", AS_OF)
    assert code == 0
    assert [line.partition(":")[0] for line in stdout.splitlines()] == [f"one/{FILE}", f"two/{FILE}"]
    code, _, stderr = run(tmp_path, "baseline", "create", "--file", "all.json")
    assert code == 2
    assert "one and two are projects of their own" in stderr


def test_options_are_those_of_check(project: Path) -> None:
    code, stdout, _ = run(project, "baseline", "create", "--select", "key-rotation-off", "--file", "some.json")
    assert (code, stdout) == (0, "some.json: 1 gap of 1 template\n")
    assert [entry["rule"] for entry in entries(project, "some.json")] == ["key-rotation-off"]
    assert run(project, "baseline", "create", "--select", "no-such-rule")[0] == 2


# What the formats say ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Each format of a run with known, new and stale gaps."""
    project = tmp_path_factory.mktemp("formats")
    (project / "cfaudit.yaml").write_text("{}\n", encoding="utf-8")
    (project / "stack.yaml").write_text(MINIMAL + BUCKET, encoding="utf-8")
    create(project)
    (project / "stack.yaml").write_text("Resources:\n" + BUCKET + TOPIC, encoding="utf-8")
    names = ("console", "json", "markdown", "html", "sarif", "junit", "github", "gitlab", "csv")
    outputs = [word for name in names for word in ("-o", f"{name}=out.{name}")]
    run(project, "check", "stack.yaml", "--as-of", AS_OF, "--baseline", FILE, "-q", *outputs)
    return {name: (project / f"out.{name}").read_text(encoding="utf-8") for name in names}


def test_every_format_tells_of_what_is_stale(formats: Mapping[str, str]) -> None:
    for name, text in formats.items():
        assert "the known gap of key-rotation-off about Key" in " ".join(text.split()), name


def test_every_format_marks_what_is_known(formats: Mapping[str, str]) -> None:
    findings = {finding["fingerprint"]: finding for finding in gaps(json.loads(formats["json"])["templates"][0])}
    known = {mark for mark, finding in findings.items() if finding["known"]}
    assert known
    assert known != set(findings)
    results = [each for each in json.loads(formats["sarif"])["runs"][0]["results"] if each["kind"] == "fail"]
    states = {each["partialFingerprints"]["cfaudit/v1"]: each.get("baselineState") for each in results}
    assert {mark: states[mark] for mark in findings} == {
        mark: "unchanged" if mark in known else "new" for mark in findings
    }
    rows = {row["fingerprint"]: row["known"] for row in csv.DictReader(io.StringIO(formats["csv"]))}
    assert {mark for mark, value in rows.items() if value == "true"} == known
    told = {each["fingerprint"]: each["description"] for each in json.loads(formats["gitlab"])}
    assert {mark for mark in findings if told[mark].startswith("known: ")} == known
    for name in ("console", "markdown", "html"):
        assert "known" in formats[name], name


def test_junit_skips_what_is_known_and_fails_what_is_new(formats: Mapping[str, str]) -> None:
    findings = gaps(json.loads(formats["json"])["templates"][0])
    cases = {case.get("name", ""): case for case in Xml.fromstring(formats["junit"]).iter("testcase")}
    for finding in findings:
        others = [each for each in findings if each["rule"] == finding["rule"]]
        element = "skipped" if all(each["known"] for each in others) else "failure"
        told = cases[finding["rule"]].find(element)
        assert told is not None, finding["rule"]
        if element == "skipped":
            assert told.get("type") == "known"


def test_github_counts_what_is_known_without_annotating(formats: Mapping[str, str]) -> None:
    findings = gaps(json.loads(formats["json"])["templates"][0])
    number = sum(finding["known"] for finding in findings)
    assert f"({number} known)" in formats["github"]
    for finding in findings:
        assert (finding["message"].replace("%", "%25") in formats["github"]) is not finding["known"], finding["rule"]


def test_sarif_has_no_state_without_a_baseline(project: Path) -> None:
    stdout = run(project, "check", "stack.yaml", "-f", "sarif")[1]
    assert "baselineState" not in stdout
