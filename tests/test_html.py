"""The HTML report, in headless Chromium: what is shown, filtered, printed and asked of the network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from typer.testing import CliRunner

from browser import CHROMIUM, Page, chromium
from cfaudit.cli import app
from cfaudit.render.html import LONGEST, render
from cfaudit.render.outline import visible
from cfaudit.render.picture import MAX_EDGES, WIDTH, pictures
from cfaudit.report import EdgeObject, Report, WaiverObject, report
from fixture import ROOT
from reports import AUDITED, HOSTILE_IDS, REFERENCE, audited, hostile, of_file, several, template

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

EVIL = (
    "</script><script>window.broken = 1</script>",
    "</style><img src=x onerror='window.broken = 2'>",
    '" onmouseover="window.broken = 3" x=\'',
    "<!-- <svg onload=window.broken=4>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u2066",
)


def copied(found: Report) -> Report:
    held: Report = json.loads(json.dumps(found))
    return held


def mixed() -> Report:
    """The audited stack with a finding of every verdict."""
    found = copied(audited())
    (one,) = found["templates"]
    for finding, verdict in zip(one["findings"], ("waived", "unknown", "error"), strict=False):
        finding["verdict"] = verdict
    one["findings"][0]["waiver"] = WaiverObject(reason="the bank screens them", until="2027-03-31")
    one["findings"][4]["when"] = "IsProd is false"
    one["findings"][4]["assumed"] = ["Stage is dev"]
    return found


def evil() -> Report:
    """A report whose every text is an attack: templates and rules of strangers."""
    found = copied(mixed())
    (one,) = found["templates"]
    one["path"] = EVIL[0]
    for index, finding in enumerate(one["findings"]):
        text = EVIL[index % len(EVIL)]
        finding["message"] = finding["subject"] = finding["why"] = text
        finding["logical_id"] = text
        finding["references"][0]["url"] = "javascript:window.broken=5"
        for item in finding["evidence"]:
            item["text"], item["file"], item["note"] = f"{text}\n{'x' * 100_000}", text, text
        for remedy in finding["remedies"]:
            remedy["title"] = remedy["snippet"] = text
    for index, rule in enumerate(one["rules"]):
        rule["title"] = rule["holds"] = EVIL[index % len(EVIL)]
    for index, node in enumerate(one["graph"]["nodes"]):
        node["title"] = EVIL[index % len(EVIL)]
    return found


# Without a browser ---------------------------------------------------------------------------------------------------


def test_the_same_report_is_the_same_page() -> None:
    assert render(copied(audited())) == render(audited())
    assert "2026-11-22" in render(audited())


@pytest.mark.parametrize("name", ["audited", "hostile", "several", "evil"])
def test_the_page_names_no_resource_to_load(name: str) -> None:
    text = render({"audited": audited, "hostile": hostile, "several": several, "evil": evil}[name]())
    tags = re.findall(r"<([a-z][a-z0-9]*)\b([^>]*)>", text)
    assert [name for name, _ in tags].count("script") == 1
    assert {name for name, _ in tags} <= ALLOWED
    assert all(re.fullmatch(r' rel="icon" href="data:,"', rest) for name, rest in tags if name == "link")
    addresses = [match for name, rest in tags if name == "a" for match in re.findall(r'href="([^"]*)"', rest)]
    assert {address.partition(":")[0] for address in addresses if not address.startswith("#")} <= {"https"}
    assert not re.search(r"@import|url\(", text.partition("</style>")[0])


ALLOWED = {
    *("html", "head", "meta", "title", "link", "style", "script", "body", "header", "main", "footer", "nav", "section"),
    *(
        "article",
        "figure",
        "figcaption",
        "details",
        "summary",
        "form",
        "fieldset",
        "legend",
        "label",
        "input",
        "select",
    ),
    *("option", "output", "button", "h1", "h2", "h3", "h4", "p", "a", "b", "strong", "span", "div", "ul", "ol", "li"),
    *(
        "dl",
        "dt",
        "dd",
        "pre",
        "code",
        "table",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "svg",
        "g",
        "path",
        "rect",
    ),
    *("circle", "text"),
}


def test_everything_of_a_finding_is_on_the_page() -> None:
    from html import unescape

    text = unescape(re.sub(r"<[^>]+>", "", render(mixed())))
    (one,) = mixed()["templates"]
    for finding in [*one["findings"], *one["positives"]]:
        assert visible(" ".join(finding["message"].split())) in text
        for item in finding["evidence"]:
            assert f"{item['file']}:{item['line']}" in text
            assert all(visible(line.expandtabs(2)).rstrip() in text for line in item["text"].splitlines())
    for finding in one["findings"]:
        for remedy in finding["remedies"]:
            assert (remedy["snippet"] or "").splitlines()[:1] == [] or remedy["snippet"].splitlines()[0] in text
        assert (finding["tradeoff"] or "").replace("`", "") in text.replace("`", "")
    for said in ("the bank screens them, until 2027-03-31", "When IsProd is false", "Assumed Stage is dev"):
        assert said in text
    assert all(rule["id"] in text for rule in one["rules"])


@pytest.mark.parametrize("path", [AUDITED, REFERENCE], ids=["audited", "reference"])
def test_no_box_covers_another_and_lines_meet_boxes(path: str) -> None:
    found = pictures(of_file(path)["graph"])
    graph = of_file(path)["graph"]
    assert {box.node["id"] for picture in found for box in picture.boxes} == {node["id"] for node in graph["nodes"]}
    assert sum(len(picture.lines) for picture in found) == len(graph["edges"])
    for picture in found:
        boxes = {box.node["id"]: box for box in picture.boxes}
        for one in boxes.values():
            assert one.x >= 0
            assert one.x + WIDTH <= picture.width
            assert one.y + one.height <= picture.height
            for other in boxes.values():
                apart = (
                    abs(one.x - other.x) >= WIDTH or one.y >= other.y + other.height or other.y >= one.y + one.height
                )
                assert one is other or apart, (one.title, other.title)
        for line in picture.lines:
            target = boxes[line.edge["target"]]
            assert line.x == (target.x + WIDTH if line.back else target.x)
            assert target.y < line.y < target.y + target.height


def test_what_is_too_much_to_draw_is_said() -> None:
    found = copied(report([template("Resources:\n  Q: {Type: AWS::SQS::Queue}\n")]))
    graph = found["templates"][0]["graph"]
    for index in range(40):
        graph["nodes"].append({**audited()["templates"][0]["graph"]["nodes"][0], "id": f"N{index}", "gaps": []})
    graph["edges"] = [
        EdgeObject(source=f"N{one}", target=f"N{other}", kinds=["invokes"], state="certain", file="t", line=1)
        for one in range(40)
        for other in range(40)
        if one != other
    ][: MAX_EDGES + 1]
    assert [picture.boxes for picture in pictures(graph)] == [()]
    assert "Too many lines to be drawn legibly" in render(found)


def test_command(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    arguments = ["check", str(ROOT / AUDITED), "--as-of", "2026-11-22"]
    run = CliRunner().invoke(app, [*arguments, "--format", "html", "-o", f"html={target}"])
    assert run.exit_code == 1
    assert run.stdout.startswith("<!doctype html>")
    assert target.read_text(encoding="utf-8") == run.stdout


# In Chromium ---------------------------------------------------------------------------------------------------------

browsed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")

OPEN_ALL = "all('details').forEach((each) => { each.open = true; })"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The one tab, as new: light, wide, with JavaScript; it complains of nothing and asks for one file."""
    browser.requests.clear()
    browser.said.clear()
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    browser.see()
    yield browser
    browser.run("localStorage.clear()")
    assert browser.said == []
    assert [address.partition(":")[0] for address in browser.requests if not address.startswith("data:")] == ["file"]


def show(page: Page, found: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(found), encoding="utf-8", newline="\n")
    page.open(path.as_uri())


def shown(page: Page, field: str) -> list[str]:
    held = page.run(f"seen('.finding').map((each) => {field})")
    assert isinstance(held, list)
    return list(map(str, held))


@browsed
def test_filters(page: Page, tmp_path: Path) -> None:
    show(page, mixed(), tmp_path)
    total = len(shown(page, "each.id"))
    page.run("one('.filters [value=high]').click()")
    assert set(shown(page, "each.dataset.severity")) == {"high"}
    page.run("one('.filters [value=critical]').click()")
    both = shown(page, "each.dataset.severity")
    assert set(both) == {"high", "critical"}
    assert page.run("one('.filters output').textContent") == f"{len(both)} of {total} rules shown"
    page.run("one('.filters [value=unknown]').click()")
    assert set(shown(page, "each.dataset.verdict")) == {"unknown"}
    page.run("one('.filters [type=reset]').click()")
    page.run("new Promise((done) => setTimeout(done, 50))")
    assert len(shown(page, "each.id")) == total
    for category in ("security", "documentation"):
        page.run(f"one('.filters select').value = '{category}'")
        page.run("one('.filters select').dispatchEvent(new Event('input', {bubbles: true}))")
        assert set(shown(page, "each.dataset.category")) == {category}


@browsed
def test_the_keyboard_is_enough(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Skip to the report"
    page.run("one('.filters input[type=search]').focus()")
    page.call("Input.insertText", text="Fraud_Detector_Name frauddetector:geteventprediction")
    assert shown(page, "each.id") == ["t1-missing-fraud-detector"]
    assert page.run("seen('.block').length") == 1
    page.press("Tab", "Tab", " ")
    assert page.run("[document.activeElement.value, document.activeElement.checked]") == ["critical", True]
    page.run("one('#t1-missing-fraud-detector summary').focus()")
    page.press("Enter")
    assert page.run("one('#t1-missing-fraud-detector').open") is False
    page.press(" ")
    assert page.run("one('#t1-missing-fraud-detector').open") is True


@browsed
def test_links_open_what_they_name(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    page.run("one('.filters [value=critical]').click()")
    assert "t1-tasks-without-catch" not in shown(page, "each.id")
    page.run("one('.ready a[href$=tasks-without-catch]').click()")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert "t1-tasks-without-catch" in shown(page, "each.id")
    assert page.run("one('#t1-tasks-without-catch').open") is True
    click = "new MouseEvent('click', {bubbles: true, cancelable: true})"
    for node in audited()["templates"][0]["graph"]["nodes"]:
        if node["id"] in ("CrowdfundingApiGateway", "missing_mail_identity"):
            page.run(f"one('a.box[data-id={node['id']}]').dispatchEvent({click})")
            page.run("new Promise((done) => setTimeout(done, 50))")
            assert set(shown(page, "each.dataset.rule")) == set(node["gaps"])
            assert str(page.run("one('.filters output').textContent")).endswith(f"fail on {node['title']}")
            assert page.run("document.activeElement.parentElement.dataset.rule") in node["gaps"]


@browsed
def test_dark_and_light(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.see(dark=True)
    dark = page.run(ground)
    assert light != dark
    seen = []
    for _ in range(3):
        page.run("one('button.theme').click()")
        seen.append((page.run("one('button.theme').textContent"), page.run(ground)))
    assert seen == [("Theme: light", light), ("Theme: dark", dark), ("Theme: auto", dark)]
    page.see(dark=True, media="print")
    assert page.run("getComputedStyle(document.documentElement).colorScheme") == "light"


CONTRAST = """(() => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const under = (element) => {
    const box = element.closest('a.box');
    if (box && element.tagName === 'text') return rgba(getComputedStyle(box.querySelector('rect')).fill);
    for (let one = element; one; one = one.parentElement) {
      const found = rgba(getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const element of all('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.tagName === 'title') continue;
    const style = getComputedStyle(element);
    const ink = light(rgba(element.namespaceURI.endsWith('svg') ? style.fill : style.color));
    const ground = light(under(element));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) poor.add(`${element.tagName}.${element.getAttribute('class')} ${ratio.toFixed(2)}`);
  }
  return [...poor];
})()"""


@browsed
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough_everywhere(page: Page, tmp_path: Path, scheme: str) -> None:
    page.see(dark=scheme == "dark")
    show(page, mixed(), tmp_path)
    page.run(OPEN_ALL)
    assert page.run(CONTRAST) == []


@browsed
def test_what_a_screen_reader_is_told(page: Page, tmp_path: Path) -> None:
    show(page, several(), tmp_path)
    page.call("Accessibility.enable")
    told = list(spoken(page.call("Accessibility.getFullAXTree")["nodes"]))
    page.call("Accessibility.disable")
    assert {"banner", "main", "navigation", "search", "contentinfo", "region"} <= {role for role, _ in told}
    named = {"button", "link", "checkbox", "searchbox", "combobox", "DisclosureTriangle", "region", "navigation"}
    assert [entry for entry in told if entry[0] in named and not entry[1].strip()] == []
    ids = page.run("all('[id]').map((each) => each.id)")
    targets = page.run("all('a[href^=\"#\"]').map((each) => decodeURIComponent(each.getAttribute('href').slice(1)))")
    assert isinstance(ids, list)
    assert isinstance(targets, list)
    assert len(ids) == len(set(map(str, ids)))
    assert set(map(str, targets)) <= set(map(str, ids))


def spoken(nodes: Json) -> Iterator[tuple[str, str]]:
    """Role and name of everything that the accessibility tree does not leave out."""
    for node in nodes if isinstance(nodes, list) else ():
        assert isinstance(node, dict)
        role, name = node.get("role"), node.get("name")
        if not node.get("ignored") and isinstance(role, dict):
            yield str(role["value"]), str(name["value"]) if isinstance(name, dict) else ""


@browsed
@pytest.mark.parametrize("name", ["hostile", "evil"])
def test_hostile_texts_are_inert(page: Page, tmp_path: Path, name: str) -> None:
    show(page, hostile() if name == "hostile" else evil(), tmp_path)
    page.run(OPEN_ALL)
    page.run("all('a, summary, p').forEach((each) => each.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})))")
    assert page.run("typeof window.broken") == "undefined"
    assert page.run("all('img, iframe, object, embed, base, body script, body style').length") == 0
    assert page.run("all('*').flatMap((each) => each.getAttributeNames()).filter((each) => /^on/.test(each))") == []
    assert page.run("[...document.links].every((each) => ['https:', 'file:'].includes(each.protocol))") is True
    text = str(page.run("document.body.textContent.replace(/\\s+/g, ' ')"))
    for said in HOSTILE_IDS if name == "hostile" else EVIL:
        assert visible(" ".join(said.split())) in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)
    assert name == "hostile" or f"… and {100_000 - LONGEST} more characters" in text


@browsed
def test_the_policy_stops_what_escaping_might_let_through(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    page.run(
        "(() => { const s = document.createElement('script'); s.text = 'window.broken = 1'; one('main').append(s) })()"
    )
    page.run("one('main').setAttribute('onclick', 'window.broken = 2'), one('main').click()")
    page.run("(() => { one('main').append(Object.assign(new Image(), {src: 'https://example.com/x.png'})) })()")
    page.run("fetch('https://example.com/').catch(() => null)")
    assert page.run("typeof window.broken") == "undefined"
    assert [said for said in page.said if "Content Security Policy" not in said] == []
    assert len(page.said) >= 4
    page.said.clear()
    page.requests[:] = [address for address in page.requests if "example.com" not in address]


@browsed
def test_nothing_sticks_out(page: Page, tmp_path: Path) -> None:
    show(page, report([*evil()["templates"], *audited()["templates"]]), tmp_path)
    page.run(OPEN_ALL)
    for width in (320, 390, 800, 1280, 2000):
        page.see(width=width)
        assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0, width
    widths = page.run("all('a.box text').map((each) => each.getBBox().width)")
    assert isinstance(widths, list)
    assert max(float(str(one)) for one in widths) <= WIDTH - 16


@browsed
def test_gauges(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    titles = page.run("all('.gauge h3').map((each) => each.textContent)")
    scores = page.run("all('.gauge .score').map((each) => each.firstChild.data.trim())")
    arcs = page.run("all('.gauge').map((each) => each.querySelector('.arc')?.getAttribute('stroke-dasharray') ?? '')")
    card = audited()["templates"][0]["scorecard"]
    assert card is not None
    rows = card["categories"]
    assert titles == [row["title"] for row in rows]
    assert scores == ["Not assessed" if row["score"] is None else f"{row['score']:.1f}%" for row in rows]
    assert arcs == ["" if row["score"] is None else f"{row['score']} 100" for row in rows]
    assert "Not assessed" in scores


def cells(page: Page, rows: str) -> list[list[str]]:
    held = page.run(f"all('{rows}').map((row) => [...row.cells].map((cell) => cell.textContent.trim()))")
    assert isinstance(held, list)
    return [list(map(str, row)) for row in held if isinstance(row, list)]


@browsed
def test_a_reader_can_recompute_the_score(page: Page, tmp_path: Path) -> None:
    show(page, audited(), tmp_path)
    rows = [[float(cell) for cell in row[1:]] for row in cells(page, ".sums tbody tr") if row[3] != "not assessed"]
    assert len(rows) == 5
    for earned, possible, score, weight, product in rows:
        assert score == pytest.approx(100 * earned / possible, abs=0.05001)
        assert product == pytest.approx(weight * score, abs=0.05001)
    weights, products = sum(row[3] for row in rows), sum(row[4] for row in rows)
    (total,) = cells(page, ".sums tfoot tr")
    assert [float(cell) for cell in total[3:]] == pytest.approx([products / weights, weights, products], abs=0.05001)
    ledgers = page.run("all('.ledger').length")
    assert ledgers == len(rows)
    for number, row in enumerate(rows):
        page.run(f"all('.ledger').forEach((each, at) => each.classList.toggle('this', at === {number}))")
        rules = cells(page, ".ledger.this tbody tr")
        assert [sum(float(rule[column]) for rule in rules) for column in (4, 5)] == row[:2]


@browsed
def test_without_javascript_everything_is_there(page: Page, tmp_path: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    show(page, mixed(), tmp_path)
    assert page.run("document.documentElement.dataset.theme ?? 'no script ran'") == "no script ran"
    assert page.run("all('details:not([open])').length") == 0
    assert page.run("seen('.control').length") == 0
    for part in (".finding .evidence", ".proofs", ".option li", ".ledger tr", ".edges tr", "a.box"):
        assert page.run(f"seen('{part}').length") == page.run(f"all('{part}').length") != 0


@browsed
def test_print_hides_nothing(page: Page, tmp_path: Path) -> None:
    show(page, mixed(), tmp_path)
    page.run("one('.filters [value=critical]').click()")
    page.run("all('details').forEach((each) => { each.open = false; })")
    page.see(media="print")
    for part in (".finding .evidence", ".advice", ".proofs", ".option li", ".ledger tr", ".edges tr", "a.box"):
        printed = f"seen('{part}').filter((each) => each.getBoundingClientRect().height).length"
        assert page.run(printed) == page.run(f"all('{part}').length") != 0
    assert page.run("seen('.control, nav').length") == 0
    pdf = base64.b64decode(str(page.call("Page.printToPDF", printBackground=True)["data"]))
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 20


@browsed
def test_several_templates_have_an_index(page: Page, tmp_path: Path) -> None:
    show(page, several(), tmp_path)
    verdicts = {"pass": "✓ pass", "fail": "✗ fail", "error": "✗ error"}
    told = [(one["path"], verdicts[one["verdict"]]) for one in several()["templates"]]
    assert [(row[0], row[1]) for row in cells(page, ".index tbody tr")] == told
    assert page.run("all('.report').length") == len(told)
    assert "this is no CloudFormation template" in str(page.run("document.body.textContent"))
