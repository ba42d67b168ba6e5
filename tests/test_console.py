"""The console report: it fits, it is plain where it must be, and it says what the report object says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from rich.cells import cell_len

from cfaudit.checks import CHECKS
from cfaudit.finding import Finding
from cfaudit.render.console import page, render
from cfaudit.render.markdown import rule_page
from cfaudit.report import Report, report
from cfaudit.rule import load_rules
from cfaudit.score import Gate
from reports import KEY, audited, hostile, several, template

ANSI = re.compile(r"\x1b\[[0-9;]*m")
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
REPORTS: dict[str, Callable[[], Report]] = {"audited": audited, "hostile": hostile, "several": several}


def plain(found: Report, width: int = 100, *, quiet: bool = False, verbose: bool = False) -> str:
    return render(found, width=width, color=False, quiet=quiet, verbose=verbose)


def flat(text: str) -> str:
    """Without line breaks and indentation, as a reader joins them."""
    return "".join(text.split())


@pytest.fixture(params=REPORTS)
def found(request: pytest.FixtureRequest) -> Report:
    name: str = request.param
    return REPORTS[name]()


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("verbose", [False, True])
def test_fits_the_width(found: Report, width: int, verbose: bool) -> None:
    lines = plain(found, width, verbose=verbose).splitlines()
    assert [line for line in lines if cell_len(line) > width] == []
    assert [line for line in lines if line != line.rstrip()] == []


def test_plain_text_has_no_control_characters(found: Report) -> None:
    assert UNSAFE.findall(plain(found, verbose=True)) == []


@pytest.mark.parametrize("width", [100, 80])
def test_colour_changes_nothing_but_colour(found: Report, width: int) -> None:
    colored = render(found, width=width, color=True, quiet=False, verbose=True)
    assert ANSI.search(colored)
    assert ANSI.sub("", colored) == plain(found, width, verbose=True)


def test_same_input_same_bytes(found: Report) -> None:
    assert plain(found) == plain(found)


def test_every_gap_is_named_with_its_place_and_its_first_remedy() -> None:
    (one,) = audited()["templates"]
    text = flat(plain(audited()))
    for finding in one["findings"]:
        if finding["verdict"] in ("fail", "info"):
            first = finding["evidence"][0]
            assert flat(finding["message"])[:40] in text
            assert finding["rule"] in text
            assert f"{first['file']}:{first['line']}" in text or f":{first['line']}" in text
            assert flat(finding["remedies"][0]["title"]) in text or finding["verdict"] == "info"


def test_every_positive_is_one_line() -> None:
    (one,) = audited()["templates"]
    text = plain(audited())
    block = text[text.index("\nPOSITIVE") : text.index("\nSCORECARD")].strip().splitlines()[2:]
    assert len(block) == len({finding["rule"] for finding in one["positives"]})
    assert all(re.search(r"line(s \d+,)? ?\d+", line) for line in block)


def test_partial_positives_say_of_how_many() -> None:
    two = KEY + "  Rotated:\n    Type: AWS::KMS::Key\n    Properties: {KeyPolicy: {}, EnableKeyRotation: true}\n"
    assert re.search(r"~ .*: 1 of 2", plain(report([template(two)])))


def test_overall_can_be_recomputed() -> None:
    (one,) = audited()["templates"]
    card = one["scorecard"]
    assert card is not None
    text = plain(audited())
    sums = re.search(r"= \(([^)]*)\) / (\d+)", text)
    assert sums
    total = sum(float(a) * float(b) for a, b in re.findall(r"(\d+)×([\d.]+)", sums[1]))  # noqa: RUF001
    assert total / float(sums[2]) == pytest.approx(card["overall"], abs=0.051)
    for row in card["categories"]:
        assert re.search(rf"^  {row['title']} +{'-' if row['score'] is None else row['score']}", text, re.MULTILINE)
        assert ("not assessed: " in text) == any(row["status"] == "not_assessed" for row in card["categories"])


def test_readiness_and_options_are_there() -> None:
    (one,) = audited()["templates"]
    card = one["scorecard"]
    assert card is not None
    text = flat(plain(audited()))
    for sentence in card["readiness"]["works"]:
        assert flat(sentence["text"]) in text
    for manual in card["readiness"]["manual_steps"]:
        assert flat(manual["text"]) in text
        assert flat(manual["verify"]) in text
    for option in one["options"]:
        for step in option["steps"][:6]:
            assert flat(step["text"]) in text


def test_quiet_is_the_scorecard_only() -> None:
    text = plain(audited(), quiet=True)
    assert len(text.splitlines()) < 25
    assert "SCORECARD" in text
    assert "Gate" in text
    for section in ("CRITICAL", "POSITIVE", "READINESS", "OPTIONS"):
        assert f"\n{section}" not in text


def test_verbose_lists_what_is_open_and_what_does_not_apply() -> None:
    unknown = template("Parameters: {Turn: {Type: String}}\n" + KEY.replace("{}}", "{}, EnableKeyRotation: !Ref Turn}"))
    told = plain(report([unknown]))
    assert re.search(r"Not scored: 1 rule left open by 1 value .*; \d+ rules without a subject", told)
    assert "NOT DECIDED" not in told
    listed = plain(report([unknown]), verbose=True)
    assert "NOT DECIDED" in listed
    assert "? key-rotation-off" in listed
    assert "NOT APPLICABLE" in listed
    assert "table-not-on-demand" in listed


def test_several_templates_end_in_a_summary() -> None:
    text = plain(several())
    summary = text[text.index("\nSUMMARY") :].strip().splitlines()[2:]
    verdicts = [re.split(r"\s+", line.strip())[0] for line in summary]
    assert verdicts == ["fail", "fail", "pass", "error", "error"]
    assert "SUMMARY" not in plain(audited())


def test_an_unusable_template_is_one_line() -> None:
    text = plain(report([template("hello: world", "other.yaml")]))
    assert re.fullmatch(r"ERROR other\.yaml:1:1: this is no CloudFormation template.*\n(      .*\n)?", text)


def test_hostile_ids_are_shown_as_they_are() -> None:
    text = flat(plain(hostile()))
    assert "[bold]Key[/bold]" in text
    assert r"\x1b[31mRed\x1b[0m\x07" in text
    assert r"\u202e" in text


def test_the_gate_says_what_failed() -> None:
    assert "1 gap is medium or worse" in plain(several())
    low = plain(report([template(KEY, gate=Gate(None, 101.0))]))
    assert "the overall score is too low (--fail-on never --min-score 101)" in low


def test_a_crash_is_shown_and_leaves_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Iterator[Finding]:
        raise RuntimeError("boom [red]")

    rotation = next(rule for rule in load_rules(CHECKS) if rule.id == "key-rotation-off")
    monkeypatch.setitem(CHECKS, rotation.check, broken)
    text = plain(report([template(KEY)]))
    assert "BROKEN" in text
    assert "boom [red]" in text
    assert "ERROR · none" in text


def test_render_needs_no_highlighter() -> None:
    script = (
        "import sys, cfaudit.render.console; print(*[m for m in sys.modules if m.startswith(('rich', 'pyg', 'mark'))])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"rich.markdown", "rich.syntax", "rich.table", "pygments", "markdown_it"}.isdisjoint(loaded)


@pytest.mark.parametrize("color", [False, True])
def test_a_rule_page_fits_and_keeps_its_words(color: bool) -> None:
    rotation = next(rule for rule in load_rules(CHECKS) if rule.id == "key-rotation-off")
    text = page(rule_page(rotation, CHECKS[rotation.check]), width=80, color=color)
    assert bool(ANSI.search(text)) is color
    bare = ANSI.sub("", text)
    assert all(cell_len(line) <= 80 for line in bare.splitlines())
    for words in (rotation.title, rotation.why, rotation.holds, rotation.references[0].title, "How it is decided"):
        assert flat(words) in flat(bare)
