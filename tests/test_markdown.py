"""The Markdown report: the hand-written report's headings and order, and nothing that GitHub could misread."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cfaudit.checks import CHECKS
from cfaudit.render.markdown import code, escape, fence, prose, render, rule_page
from cfaudit.render.outline import visible
from cfaudit.rule import Rule, load_rules
from reports import HOSTILE_IDS, audited, hostile, several

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
RULES = load_rules(CHECKS)


def tokens(text: str) -> list[Token]:
    """All tokens, those inside paragraphs and cells included."""
    return [each for token in PARSER.parse(text) for each in (token, *(token.children or ()))]


def shown(text: str) -> str:
    """What a reader sees of inline Markdown."""
    children = PARSER.parseInline(text)[0].children or []
    return "".join(token.content for token in children if token.type in ("text", "code_inline"))


def headings(text: str) -> list[str]:
    held = tokens(text)
    return [held[index + 1].content.strip("*") for index, token in enumerate(held) if token.type == "heading_open"]


def test_headings_stand_in_the_order_of_the_hand_written_report() -> None:
    found = [heading for heading in headings(render(audited())) if heading.upper() == heading or "Option" in heading]
    order = [
        "CRITICAL FAILURES",
        "HIGH SEVERITY ISSUES",
        "MEDIUM SEVERITY ISSUES",
        "MINOR ISSUES",
        "IMPROVEMENTS",
        "NOT DECIDED",
        "POSITIVE IMPLEMENTATIONS",
        "SUMMARY SCORECARD",
        "RECOMMENDATION",
        "Option 1: Minimal Viable Product",
        "Option 2: Full Production Implementation",
        "Option 3: Hybrid Approach (Recommended)",
    ]
    assert found == [heading for heading in order if heading in found]
    assert {"CRITICAL FAILURES", "SUMMARY SCORECARD", "RECOMMENDATION", order[-1]} <= set(found)
    assert headings(render(audited()))[0] == "Failures & Missing Implementation Details"


def test_findings_are_numbered_through() -> None:
    numbers = [int(match[1]) for heading in headings(render(audited())) if (match := re.match(r"(\d+)\. ", heading))]
    (one,) = audited()["templates"]
    gaps = {(f["rule"], f["severity"]) for f in one["findings"] if f["verdict"] in ("fail", "info")}
    assert numbers == list(range(1, len(gaps) + 1))


def test_every_part_of_a_finding_is_there() -> None:
    text = render(audited())
    section = text[text.index("### **1. ") : text.index("### **2. ")]
    for part in ("Severity:** CRITICAL", "Rule:**", "Cost:**", "Requirement:**", "What's Missing:**"):
        assert f"**{part}" in section
    for part in ("Current Workaround:**", "Impact:**", "Recommended Fix:**", "References:**"):
        assert f"**{part}" in section
    (one,) = audited()["templates"]
    for finding in one["findings"]:
        if finding["verdict"] in ("fail", "info"):
            assert escape(finding["message"]) in text
            for item in finding["evidence"]:
                assert f"# {item['file']}:{item['line']}" in text


def test_the_scorecard_is_a_table_of_six_rows() -> None:
    held = tokens(render(audited()))
    cells = [held[index + 1].content for index, token in enumerate(held) if token.type == "td_open"]
    (one,) = audited()["templates"]
    card = one["scorecard"]
    assert card is not None
    assert len(cells) == 18
    assert [cell.strip("*") for cell in cells[::3]] == [row["title"] for row in card["categories"]]
    assert cells[1] == f"{card['categories'][0]['score']:.1f}%"
    assert f"**Overall Grade: {card['grade']} ({card['overall']:.1f}/100)**" in render(audited())
    assert "**Deployment Readiness:** **Not Production-Ready**" in render(audited())


def test_unusable_templates_are_named() -> None:
    text = render(several())
    assert text.count("# **Failures & Missing Implementation Details**") == 5
    assert "**Not audited:**" in text
    assert "`other.yaml:1:1` this is no CloudFormation template" in text


def test_hostile_content_stays_text() -> None:
    text = render(hostile())
    held = tokens(text)
    assert {token.content for token in held if token.type in ("html_inline", "html_block")} <= {"<!-- -->"}
    assert all("docs.aws.amazon.com" in str(token.attrs["href"]) for token in held if token.type == "link_open")
    assert not [token for token in held if token.type == "image"]
    seen = shown(" ".join(token.content for token in held if token.type == "inline"))
    for name in HOSTILE_IDS:
        assert visible(" ".join(name.split())) in seen
    assert not re.search(r"@\w", "\0".join(token.content for token in held if token.type == "text"))


@pytest.mark.parametrize(
    "text", [*HOSTILE_IDS, "a_b _c_ *d* ~~e~~ <f> & $g$ \\h", "+ x", "1) y", "=== z", "||", "a\\|b"]
)
def test_escaped_text_reads_as_it_is(text: str) -> None:
    plain = visible(" ".join(text.split()))
    assert shown(escape(text)) == plain
    assert [token.type for token in PARSER.parse(escape(text))] == ["paragraph_open", "inline", "paragraph_close"]
    assert len([t for t in tokens(f"| a |\n| --- |\n| {escape(text)} |") if t.type == "td_open"]) == 1


@pytest.mark.parametrize("text", ["a", "`", "a`b``c", "``` ", "", "a b"])
def test_code_spans_hold_any_text(text: str) -> None:
    assert shown(code(text)).strip() == " ".join(text.split())


def test_prose_keeps_its_code_spans() -> None:
    assert prose("so `*` is right, not <b>`") == "so `*` is right, not &lt;b&gt;\\`"


def test_a_fence_is_longer_than_any_inside() -> None:
    (token,) = PARSER.parse(fence("```yaml\n`````\n~~~", "text"))
    assert token.content == "```yaml\n`````\n~~~\n"


def test_same_input_same_bytes() -> None:
    assert render(several()) == render(several())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_page_says_everything(rule: Rule) -> None:
    text = rule_page(rule, CHECKS[rule.check])
    titles = headings(text)
    assert titles[0] == prose(rule.title)
    assert titles[1:3] == ["Why", "What to do"]
    assert "How it is decided" in titles
    assert titles[-1] == "References"
    for words in (rule.requirement, rule.holds, rule.fails, rule.why, *(remedy.title for remedy in rule.remedies)):
        assert prose(words) in text
    snippets = [remedy.snippet for remedy in rule.remedies if remedy.snippet]
    fences = [token.content for token in PARSER.parse(text) if token.type == "fence"]
    assert all(snippet.rstrip() in [block.rstrip() for block in fences] for snippet in snippets)
    assert text.count("](https://") >= len(rule.references)
    assert "/work/" not in text
    assert "/src/" not in text


def test_rule_page_shows_the_fixtures() -> None:
    rotation = next(rule for rule in RULES if rule.id == "key-rotation-off")
    text = rule_page(rotation, CHECKS[rotation.check])
    assert "`fixtures/rules/key-rotation-off/fail.yaml`" in text
    assert "EnableKeyRotation: false # gap" in text
    assert "`fixtures/rules/key-rotation-off/pass.yaml`" in text


def test_rule_page_of_an_installed_rule_has_no_fixtures() -> None:
    shipped = next(rule for rule in RULES if rule.id == "key-rotation-off")
    rotation = shipped._replace(path="/nowhere/rules/security/k.yaml")
    assert "fixtures" not in rule_page(rotation, CHECKS[rotation.check])
