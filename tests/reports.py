"""Reports for tests, through the whole pipeline: audit, score, report."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from functools import cache
from pathlib import Path

from cfaudit.checks import CHECKS
from cfaudit.finding import Severity
from cfaudit.nodes import TemplateError
from cfaudit.pipeline import Settings, audit
from cfaudit.report import FindingObject, Report, TemplateObject, report, template_object, unusable
from cfaudit.rule import Rule, load_categories, load_rules
from cfaudit.score import Gate, score
from fixture import AS_OF, ROOT

AUDITED = "fixtures/audited/crowdfunding.yaml"
REFERENCE = "fixtures/reference/crowdfunding.yaml"
KEY = "Resources:\n  Key:\n    Type: AWS::KMS::Key\n    Properties: {KeyPolicy: {}}\n"

HOSTILE_IDS = (
    "[bold]Key[/bold]",
    "\x1b[31mRed\x1b[0m\x07\r",
    "@octocat <script>alert(1)</script> | `code` ``` [x](http://evil.example) https://evil.example #12 **b** &amp;",
    "Rtl\u202egnp.exe\u2066\u200b",
    "- # 1. Listed",
    "1. Numbered",
    "a\nb\tc",
    "\u6f22\u5b57" * 60,
    "L" * 400,
)


@cache
def rules() -> tuple[Rule, ...]:
    return load_rules(CHECKS)


def template(text: str, path: str = "stack.yaml", gate: Gate | None = None) -> TemplateObject:
    """One template as the report holds it, the unusable ones included."""
    settings = Settings(as_of=date.fromisoformat(AS_OF))
    try:
        audited = audit(text, path, settings, rules())
    except TemplateError as error:
        return unusable(path, error, settings.as_of)
    return template_object(score(audited, load_categories(), gate or Gate()))


def of_file(path: str, gate: Gate | None = None) -> TemplateObject:
    return template((ROOT / path).read_text(encoding="utf-8"), path, gate)


@cache
def audited() -> Report:
    """The report of the audited stack."""
    return report([of_file(AUDITED)])


def hostile() -> Report:
    """A template whose ids, description and values are an attack on whoever prints them."""
    import json

    resources = {
        name: {"Type": "AWS::KMS::Key", "Properties": {"Description": f"d {name}", "KeyPolicy": {}}}
        for name in HOSTILE_IDS
    }
    document = {"Description": HOSTILE_IDS[1], "Resources": {**resources, "\ud800": {"Type": "AWS::KMS::Key"}}}
    one_line_each = json.dumps(document).replace('{"Type"', '\n{"Type"')
    return report([template(one_line_each, "dir [red]/\x1b[1m`|@a`.json")])


def several() -> Report:
    """A failing, a clean, a strange and two unusable templates."""
    empty_stack = "Resources:\n  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}\n"
    return report(
        [
            of_file(AUDITED),
            template(KEY, "key.yaml", Gate(Severity.MEDIUM)),
            template(empty_stack, "handle.yaml"),
            template("Resources: {", "broken.yaml"),
            template("hello: world", "other.yaml"),
        ]
    )


def every_verdict() -> Report:
    """The audited stack, its findings turned by hand: two waived, one not decided, one that broke the audit."""
    found = deepcopy(audited())
    until, always, unknown, broken = [f for f in found["templates"][0]["findings"] if f["verdict"] == "fail"][:4]
    until |= {"verdict": "waived", "waiver": {"reason": "risk accepted, see A-1", "until": "2027-03-31"}}
    always |= {"verdict": "waived", "waiver": {"reason": "| `x` <b> ::error::", "until": None}}
    unknown["verdict"] = "unknown"
    broken["verdict"] = "error"
    found["templates"][0]["verdict"] = "error"
    return found


def of_verdict(found: Report, verdict: str) -> list[FindingObject]:
    return [f for template in found["templates"] for f in template["findings"] if f["verdict"] == verdict]


def multiplied(number: int) -> Report:
    """The audited stack with one finding as often as asked, in one place, each with a fingerprint of its own."""
    (one,) = audited()["templates"]
    first = one["findings"][0]
    found = [{**first, "evidence": first["evidence"][:1], "fingerprint": f"{index:016x}"} for index in range(number)]
    return {**audited(), "templates": [{**one, "findings": found}]}


def text_of(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
