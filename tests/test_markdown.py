"""The Markdown report: the hand-written report's headings and order, and nothing that GitHub could misread."""

from __future__ import annotations

import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from lxml import html
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cfaudit.checks import CHECKS
from cfaudit.render.markdown import COMMENT, code, escape, fence, prose, render, rule_help, rule_page
from cfaudit.render.outline import visible
from cfaudit.report import Report, report
from cfaudit.rule import Rule, load_rules
from reports import HOSTILE_IDS, KEY, audited, every_verdict, hostile, several, template

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
RULES = load_rules(CHECKS)


def whole(found: Report) -> str:
    """The report at whatever length."""
    return render(found, limit=10_000_000)


def page(text: str) -> html.HtmlElement:
    """What GitHub's own parser makes of it."""
    return html.fromstring(f"<main>{cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)}</main>")


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
    found = [heading for heading in headings(whole(audited())) if heading.upper() == heading or "Option" in heading]
    order = [
        "CRITICAL FAILURES",
        "HIGH SEVERITY ISSUES",
        "MEDIUM SEVERITY ISSUES",
        "MINOR ISSUES",
        "FOR INFORMATION",
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
    assert headings(whole(audited()))[0] == "Failures & Missing Implementation Details"


def test_findings_are_numbered_through() -> None:
    numbers = [int(match[1]) for heading in headings(whole(audited())) if (match := re.match(r"(\d+)\. ", heading))]
    (one,) = audited()["templates"]
    gaps = {(f["rule"], f["severity"]) for f in one["findings"] if f["verdict"] in ("fail", "info")}
    assert numbers == list(range(1, len(gaps) + 1))


def test_every_part_of_a_finding_is_there() -> None:
    text = whole(audited())
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
    written = {token.content for token in held if token.type in ("html_inline", "html_block")}
    assert written == {"<!-- -->", "<details>\n<summary>4 rules held, 22 proofs</summary>\n", "</details>\n"}
    assert page(text).xpath("//script | //img | //b") == []
    assert all("docs.aws.amazon.com" in str(token.attrs["href"]) for token in held if token.type == "link_open")
    assert not [token for token in held if token.type == "image"]
    seen = shown(" ".join(token.content for token in held if token.type == "inline"))
    for name in HOSTILE_IDS:
        assert visible(" ".join(name.split())) in seen
    assert not re.search(r"@\w", "\0".join(token.content for token in held if token.type == "text"))


@pytest.mark.parametrize(
    "text", [*HOSTILE_IDS, "a_b _c_ *d* ~~e~~ <f> & $g$ \\h", "+ x", "1) y", "=== z", "||", "a\\|b", "arn:key:x:tada:"]
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


def test_no_emoji_no_mention_no_issue() -> None:
    texts = [str(each) for each in page(escape("a:tada:b @octocat #12 GH-12 AWS::Lambda::Function")).itertext()]
    assert not [each for each in texts if re.search(r":[a-z0-9+_-]+:|@\w|#\d|GH-\d", each)]
    assert "Lambda::Function" in "".join(texts)


def test_what_holds_is_folded() -> None:
    (details,) = page(whole(audited())).xpath("//details")
    assert re.fullmatch(r"\d+ rules held, \d+ proofs", details.xpath("string(summary)"))
    (one,) = audited()["templates"]
    assert len(details.xpath(".//li")) == len({finding["rule"] for finding in one["positives"]})
    assert details.xpath("preceding-sibling::h2[1]")[0].text_content() == "POSITIVE IMPLEMENTATIONS"
    assert details.xpath("following-sibling::h2[1]")[0].text_content() == "SUMMARY SCORECARD"


@pytest.mark.parametrize("limit", [COMMENT, 50_000, 25_000, 12_000, 6_000])
def test_a_long_report_fits_and_keeps_its_scorecard(limit: int) -> None:
    text = render(audited(), limit)
    assert len(text.encode()) <= limit < len(whole(audited()))
    assert text.startswith(f"> [!NOTE]\n> Shortened to fit {limit:,} characters")
    shown = page(text)
    assert len(shown.xpath("//table//td")) == 18
    assert "Overall Grade:" in shown.text_content()


def test_the_least_grave_is_shortened_first() -> None:
    text = render(audited())
    (one,) = audited()["templates"]
    gaps = [finding for finding in one["findings"] if finding["verdict"] == "fail"]
    for finding in gaps:
        assert f"`{finding['rule']}`" in text
        if finding["severity"] in ("critical", "high"):
            assert escape(finding["message"]) in text
        if finding["severity"] == "critical":
            assert all(f"# {item['file']}:{item['line']}" in text for item in finding["evidence"])
    full = len(re.findall(r"^\*\*Impact:\*\*$", text, re.MULTILINE))
    everything = len(re.findall(r"^\*\*Impact:\*\*$", whole(audited()), re.MULTILINE))
    assert f"({everything - full} of {everything})" in text.splitlines()[1]


def test_many_templates_keep_a_line_each() -> None:
    one = template(KEY, "key.yaml")
    text = render(report([{**one, "path": f"stacks/{number}.yaml"} for number in range(200)]))
    assert len(text) <= COMMENT
    assert all(f"`stacks/{number}.yaml`" in text for number in range(200))
    assert text.count("Resource Completeness") == 200
    left = render(report([{**one, "path": f"stacks/{number}.yaml"} for number in range(500)]))
    assert len(left) <= COMMENT
    assert re.search(r"\d+ of 500 templates left out", left)


def test_a_short_report_is_whole() -> None:
    assert "Shortened" not in render(hostile())
    assert render(hostile()) == whole(hostile())


def test_every_verdict_has_its_section() -> None:
    text = whole(every_verdict())
    assert {"WAIVED", "NOT DECIDED", "NOT JUDGED: CFAUDIT BROKE"} <= set(headings(text))
    assert "waived: risk accepted, see A-1 (until 2027-03-31)" in page(text).text_content()
    assert "waived: | `x` <b> ::error::" in page(text).text_content()
    assert "WAIVED" in headings(render(every_verdict()))


def test_rule_help_is_the_page_without_fixtures() -> None:
    rotation = next(rule for rule in RULES if rule.id == "key-rotation-off")
    told = rule_help(rotation, CHECKS[rotation.check])
    assert "fixtures/" not in told
    assert headings(told) == [h for h in headings(rule_page(rotation, CHECKS[rotation.check])) if "template" not in h]
