"""The report object in, one self-contained HTML page out: no network, readable without JavaScript, printable.

What templates say is hostile: Jinja escapes all of it, and a policy allows our own style and script and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cfaudit.render import outline
from cfaudit.render.outline import SEVERITIES, Group, Positive
from cfaudit.render.picture import WIDTH, Picture, pictures
from cfaudit.report import ComponentObject, FindingObject, Report, RuleObject, TemplateObject
from cfaudit.score import GRADES, WEIGHTS

VERDICTS = {
    "fail": "Gaps",
    "error": "Not judged: cfaudit broke",
    "unknown": "Not decided: only deploy time can tell",
    "waived": "Waived",
    "info": "Improvements and notes",
}
LONGEST = 2000


class Block(NamedTuple):
    """The findings of one verdict, by severity and rule."""

    verdict: str
    title: str
    groups: list[Group]


class Ledger(NamedTuple):
    """A row of the scorecard and the rules that it is the sum of."""

    title: str
    rules: list[RuleObject]
    earned: float
    possible: float


class Section(NamedTuple):
    """One template's part of the page.

    The inventory begins with what is missing; ``anchors`` are the rules that the page has findings of, ``known`` is how
    many gaps the baseline has.
    """

    id: str
    template: TemplateObject
    blocks: list[Block]
    positives: list[Positive]
    inventory: list[ComponentObject]
    pictures: list[Picture]
    ledgers: list[Ledger]
    anchors: frozenset[str]
    severities: Counter[str]
    verdicts: Counter[str]
    known: int


def render(report: Report) -> str:
    """The report as a page of HTML."""
    page = files("cfaudit.render").joinpath("page")
    style = page.joinpath("report.css").read_text(encoding="utf-8")
    script = page.joinpath("report.js").read_text(encoding="utf-8")
    sections = [_section(number, template) for number, template in enumerate(report["templates"], 1)]
    return (
        _environment()
        .get_template("report.html")
        .render(
            tool=report["tool"],
            sections=sections,
            of_run=report["diagnostics"],
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls a style or a script by.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy#hash_algorithm-hash_value
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _environment() -> Environment:
    found = Environment(
        keep_trailing_newline=True,
        loader=PackageLoader("cfaudit.render", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(text=text, prose=prose, lines=lines, points=points)
    found.tests.update(web=_is_web)
    found.globals.update(
        o=outline, width=WIDTH, severities=SEVERITIES, verdicts=VERDICTS, grades=GRADES, weights=WEIGHTS, about=about
    )
    return found


# The sections --------------------------------------------------------------------------------------------------------


def _section(number: int, template: TemplateObject) -> Section:
    blocks = [Block(verdict, title, outline.groups(template, verdict)) for verdict, title in VERDICTS.items()]
    failing = [finding for finding in template["findings"] if finding["verdict"] == "fail"]
    return Section(
        id=f"t{number}",
        template=template,
        blocks=[block for block in blocks if block.groups],
        positives=outline.positives(template),
        inventory=sorted(template["components"]["items"], key=lambda item: (False, None, True).index(item["present"])),
        pictures=pictures(template["graph"]),
        ledgers=_ledgers(template),
        anchors=frozenset(group.rule["id"] for block in blocks for group in block.groups),
        severities=Counter(finding["severity"] for finding in failing),
        verdicts=Counter(finding["verdict"] for finding in template["findings"]),
        known=sum(finding["known"] for finding in failing),
    )


def _ledgers(template: TemplateObject) -> list[Ledger]:
    card = template["scorecard"]
    return [
        Ledger(
            row["title"],
            [rule for rule in template["rules"] if rule["category"] == row["id"]],
            row["earned"],
            row["possible"],
        )
        for row in (card["categories"] if card else ())
    ]


# Text ----------------------------------------------------------------------------------------------------------------


def text(said: str) -> str:
    """Text on one line, what cannot be seen written out, the immoderate cut."""
    return _cut(outline.one_line(said))


def _cut(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    return f"{line[:LONGEST]}… and {len(line) - LONGEST} more characters"


def prose(said: str) -> Markup:
    """A sentence of the catalogue, with its code spans."""
    pieces = re.split(r"`([^`]+)`", text(said))
    marked = (Markup("<code>{}</code>").format(piece) if at % 2 else escape(piece) for at, piece in enumerate(pieces))
    return Markup("").join(marked)


def lines(said: str) -> str:
    """Lines of a file or of a snippet, as they are."""
    return "\n".join(_cut(outline.visible(line.expandtabs(2)).rstrip()) for line in said.rstrip("\n").split("\n"))


def points(number: float) -> str:
    """A number as the report's arithmetic has it, without idle zeros."""
    return f"{number:g}"


def about(finding: FindingObject) -> str:
    """What a finding's words are about, where they do not say it."""
    subject = finding["subject"]
    return subject if finding["logical_id"] and subject not in finding["message"] else ""


def _is_web(url: str) -> bool:
    """Whether an address may be linked to: rules can be anybody's."""
    return re.match(r"https?://", url) is not None
