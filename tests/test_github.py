"""Workflow commands: read back as GitHub's runner reads them, ten of a level at most, and nothing else is a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from cfaudit.render.github import render
from cfaudit.report import Report, report
from reports import AUDITED, KEY, audited, every_verdict, hostile, multiplied, several
from stacks import ROOT

LEVELS = ("error", "warning", "notice")


class Command(NamedTuple):
    level: str
    properties: dict[str, str]
    message: str


def read(line: str) -> Command | None:
    """A line as the runner takes it: a command where ``::`` stands first, its values unescaped."""
    if not line.lstrip().startswith("::"):
        return None
    head, _, message = line.lstrip()[2:].partition("::")
    level, _, written = head.partition(" ")
    properties = dict(pair.split("=", 1) for pair in written.split(",") if pair)
    return Command(level, {name: plain(value) for name, value in properties.items()}, plain(message))


def plain(value: str) -> str:
    for escaped, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        value = value.replace(escaped, character)
    return value


def commands(found: Report) -> list[Command]:
    return [command for line in render(found).splitlines() if (command := read(line))]


def test_annotations_stand_where_the_evidence_stands() -> None:
    (one,) = audited()["templates"]
    first, second = commands(audited())[:2]
    finding = one["findings"][0]
    assert first.properties == {
        "file": AUDITED,
        "line": "545",
        "endLine": "545",
        "col": "21",
        "endColumn": "55",
        "title": f"{finding['rule']} (critical)",
    }
    assert first.message == f"{finding['message']}\nTo do: {finding['remedies'][0]['title']}"
    assert second.properties["line"] != second.properties["endLine"]
    assert "col" not in second.properties


@pytest.mark.parametrize("found", [audited(), every_verdict(), hostile(), several(), multiplied(40)])
def test_ten_of_a_level_at_most_and_no_other_command(found: Report) -> None:
    held = commands(found)
    assert max(Counter(command.level for command in held).values()) <= 10
    assert {command.level for command in held} <= set(LEVELS)
    assert [LEVELS.index(command.level) for command in held] == sorted(LEVELS.index(each.level) for each in held)
    assert "##[" not in render(found)
    assert render(found) == render(found)


def test_the_tenth_says_how_many_more() -> None:
    (one,) = audited()["templates"]
    errors = [command for command in commands(audited()) if command.level == "error"]
    grave = [f for f in one["findings"] if f["verdict"] == "fail" and f["severity"] in ("critical", "high")]
    assert errors[-1] == Command("error", {"title": "cfaudit"}, f"{len(grave) - 9} more errors in the log of this step")
    logged = [line for line in render(audited()).splitlines() if line.startswith(f"error: {AUDITED}:")]
    assert len(logged) == len(grave) - 9
    for finding in one["findings"]:
        assert finding["message"] in render(audited()).replace("%25", "%")
    ten = commands(multiplied(10))
    assert [command.properties["title"] for command in ten] == [f"{one['findings'][0]['rule']} (critical)"] * 10


def test_the_last_lines_are_the_templates() -> None:
    (one,) = audited()["templates"]
    card = one["scorecard"]
    assert card is not None
    assert render(audited()).splitlines()[-1].startswith(f"cfaudit: {AUDITED}: fail, {card['grade']} ")
    assert render(several()).splitlines()[-1] == "cfaudit: other.yaml: error, not audited"


def test_unusable_templates_come_first() -> None:
    first = commands(several())[0]
    assert (first.level, first.properties["file"], first.properties["title"]) == ("error", "broken.yaml", "cfaudit")


def test_values_survive_whatever_is_in_them() -> None:
    (one,) = audited()["templates"]
    path, message = "a,b:c=%25\n::error::x.yaml", "100% of ##[error]x, y: z %0A"
    place = {**one["findings"][0]["evidence"][0], "file": path}
    found = report(
        [{**one, "path": path, "findings": [{**one["findings"][0], "message": message, "evidence": [place]}]}]
    )
    (command,) = commands(found)
    assert command.properties["file"] == "a,b:c=%25 ::error::x.yaml"
    assert command.message.startswith("100% of ## [error]x, y: z %0A\n")


def test_waived_and_undecided_are_notices() -> None:
    (one,) = every_verdict()["templates"]
    few = report([{**one, "findings": [f for f in one["findings"] if f["verdict"] not in ("fail", "info")]}])
    told = [(command.level, command.message.split(" ")[0]) for command in commands(few)]
    assert sorted(told)[1:] == [("notice", "not"), ("notice", "waived"), ("notice", "waived")]
    assert sorted(told)[0][0] == "error"


def cfaudit(*arguments: str | Path, cwd: Path, summary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cfaudit", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
    )


def test_the_job_summary_gets_the_markdown(tmp_path: Path) -> None:
    (tmp_path / "key.yaml").write_text(KEY, encoding="utf-8")
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n", encoding="utf-8")
    done = cfaudit("check", "key.yaml", "-f", "github", cwd=tmp_path, summary=summary)
    assert done.stdout.startswith("::warning file=key.yaml,line=")
    assert summary.read_text(encoding="utf-8").startswith("# Before\n# **Failures")
    before = summary.read_bytes()
    cfaudit("check", "key.yaml", "-q", cwd=tmp_path, summary=summary)
    assert summary.read_bytes() == before


def test_the_job_summary_stays_within_its_megabyte(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("x" * (1_048_576 - 90_000), encoding="utf-8")
    done = cfaudit("check", ROOT / AUDITED, "-f", "github", cwd=tmp_path, summary=summary)
    assert done.returncode == 1
    assert 1_000_000 < summary.stat().st_size <= 1_048_576
    assert "Shortened to fit 90,000 characters" in summary.read_text(encoding="utf-8")
    summary.write_text("x" * 1_048_570, encoding="utf-8")
    done = cfaudit("check", ROOT / AUDITED, "-o", f"github={tmp_path / 'log'}", "-q", cwd=tmp_path, summary=summary)
    assert summary.stat().st_size == 1_048_570
    assert "no room for the report" in done.stderr
    assert done.returncode == 1


def test_an_unwritable_job_summary_changes_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "key.yaml").write_text(KEY, encoding="utf-8")
    done = cfaudit("check", "key.yaml", "-f", "github", cwd=tmp_path, summary=tmp_path / "none" / "summary.md")
    assert done.returncode == 0
    assert "the job summary cannot be written" in done.stderr
