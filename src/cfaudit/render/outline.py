"""The report object in, its parts in reading order out: what the formats for people have in common."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

from cfaudit.report import (
    DiagnosticObject,
    EdgeObject,
    EvidenceObject,
    FindingObject,
    NodeObject,
    PlaceObject,
    Report,
    RuleObject,
    ScorecardObject,
    TemplateObject,
    TestsObject,
)

SEVERITIES = ("critical", "high", "medium", "low", "info")
OPTION_TITLES = {"mvp": "Minimal viable product", "full": "Full production implementation", "hybrid": "Hybrid approach"}
OPTION_AIMS = {
    "mvp": "take out what dangles, so that what is there works",
    "full": "add what is missing",
    "hybrid": "keep the stack, add what is grave, and document and verify the manual steps",
}
RECOMMENDED = "hybrid"
GROUPS = {
    "clients": "Clients",
    "compute": "Compute",
    "messaging": "Messaging",
    "storage": "Storage",
    "analytics": "Analytics",
    "security": "Security",
    "operations": "Operations",
    "other": "Other",
    "outside": "Elsewhere",
    "missing": "Missing",
}

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)


class Group(NamedTuple):
    """The findings of one rule with one severity, and the points they cost."""

    rule: RuleObject
    severity: str
    cost: float
    findings: list[FindingObject]


class Positive(NamedTuple):
    """A rule that holds for some subjects, of how many it judged."""

    rule: RuleObject
    total: int
    findings: list[FindingObject]


class Gap(NamedTuple):
    """A finding, once for all scenarios of its template that have it, with a key that no other finding has."""

    finding: FindingObject
    key: str
    scenarios: tuple[str, ...]


def visible(text: str) -> str:
    """Text with its control, bidirectional and lone surrogate characters written out: what is read is what is there."""
    return _UNSEEN.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str) -> str:
    """Text on one line: white space collapsed, the rest visible."""
    return visible(" ".join(text.split()))


def groups(template: TemplateObject, *verdicts: str) -> list[Group]:
    """The findings with one of the verdicts by severity and rule, new ones first, else in the order of the report."""
    rules = {rule["id"]: rule for rule in template["rules"]}
    held: dict[tuple[int, str], list[FindingObject]] = {}
    for finding in template["findings"]:
        if finding["verdict"] in verdicts:
            held.setdefault((SEVERITIES.index(finding["severity"]), finding["rule"]), []).append(finding)
    return [
        Group(
            rules[name],
            SEVERITIES[rank],
            _cost(rules[name], template, findings),
            sorted(findings, key=lambda finding: finding["known"]),
        )
        for (rank, name), findings in sorted(held.items(), key=lambda entry: entry[0][0])
    ]


def _cost(rule: RuleObject, template: TemplateObject, findings: list[FindingObject]) -> float:
    """What the findings cost together: the rule's own cost where they are all that it has."""
    if findings[0]["verdict"] != "fail":
        return 0.0
    all_of = sum(other["rule"] == rule["id"] and other["verdict"] == "fail" for other in template["findings"])
    return rule["cost"] if all_of == len(findings) else round(sum(finding["cost"] for finding in findings), 2)


def gaps(report: Report) -> list[Gap]:
    """Every finding of every template, most grave first; what several scenarios have in common is there once."""
    held: dict[tuple[str, str, str, int, str], Gap] = {}
    seen: dict[str, int] = {}
    for template in report["templates"]:
        for finding in template["findings"]:
            mark, first = finding["fingerprint"], finding["evidence"][0]
            same = (mark, finding["verdict"], first["file"], first["line"], finding["message"])
            if same in held:
                others = held[same].scenarios
                held[same] = held[same]._replace(scenarios=tuple(dict.fromkeys((*others, template["scenario"]))))
            else:
                seen[mark] = seen.get(mark, 0) + 1
                key = f"{mark}:{seen[mark]}" if seen[mark] > 1 else mark
                held[same] = Gap(finding, key, (template["scenario"],))
    return sorted(held.values(), key=lambda gap: SEVERITIES.index(gap.finding["severity"]))


def remark(gap: Gap) -> str:
    """What a finding says, on one line: its standing, its message, and the conditions under which it is so."""
    finding, waiver = gap.finding, gap.finding["waiver"]
    standing = "not decided: " if finding["verdict"] == "unknown" else "known: " if finding["known"] else ""
    if waiver is not None:
        until = f" until {waiver['until']}" if waiver["until"] else ""
        standing = f"waived{until} ({waiver['reason']}): "
    when = f" (when {finding['when']})" if finding["when"] else ""
    scenarios = "" if gap.scenarios == ("default",) else f" [{'; '.join(gap.scenarios)}]"
    return one_line(f"{standing}{finding['message']}{when}{scenarios}")


def posix(path: str) -> str:
    """A path as repositories name it: ``/`` between its parts, no ``./`` before them."""
    return PurePath(path).as_posix()


def positives(template: TemplateObject) -> list[Positive]:
    """What holds, by rule in the order of the catalogue."""
    judged: dict[str, int] = {}
    for finding in template["findings"]:
        judged[finding["rule"]] = judged.get(finding["rule"], 0) + (finding["verdict"] != "info")
    held: dict[str, list[FindingObject]] = {}
    for finding in template["positives"]:
        held.setdefault(finding["rule"], []).append(finding)
    return [
        Positive(rule, judged.get(rule["id"], 0) + len(held[rule["id"]]), held[rule["id"]])
        for rule in template["rules"]
        if rule["id"] in held
    ]


def counts(template: TemplateObject) -> str:
    """How many findings of which severity fail, and how many are known: ``2 critical, 1 high (1 known)``."""
    found = dict.fromkeys(SEVERITIES, 0)
    for finding in template["findings"]:
        if finding["verdict"] == "fail":
            found[finding["severity"]] += 1
    said = ", ".join(f"{number} {severity}" for severity, number in found.items() if number) or "no gap found"
    known = sum(finding["known"] for finding in template["findings"])
    return f"{said} ({known} known)" if known else said


def notes(report: Report) -> list[DiagnosticObject]:
    """What is to say of the templates and of the run, each once."""
    told = [each for template in report["templates"] for each in template["diagnostics"]] + report["diagnostics"]
    return list({(each["file"], each["line"], each["column"], each["message"]): each for each in told}.values())


def formula(card: ScorecardObject) -> str | None:
    """How the overall score comes from the printed rows, None where it does not."""
    rows = [(row["weight"], row["score"]) for row in card["categories"] if row["score"] is not None]
    if card["overall"] is None:
        return None
    total = " + ".join(f"{weight:g}×{score:.1f}" for weight, score in rows)  # noqa: RUF001
    return f"({total}) / {sum(weight for weight, _ in rows):g}"


def gate_sentence(template: TemplateObject, card: ScorecardObject) -> str:
    """Whether the gate held and what decided it."""
    gate = card["gate"]
    options = [f"--fail-on {gate['fail_on']}"]
    if gate["min_score"] is not None:
        options.append(f"--min-score {gate['min_score']:g}")
    if gate["baseline"] is not None:
        options.append(f"--baseline {one_line(gate['baseline'])}")
    given = f" ({' '.join(options)})"
    if gate["held"]:
        return f"held{given}"
    reasons = []
    grave = SEVERITIES[: SEVERITIES.index(gate["fail_on"]) + 1] if gate["fail_on"] in SEVERITIES else ()
    number = sum(
        finding["verdict"] == "fail" and not finding["known"] and finding["severity"] in grave
        for finding in template["findings"]
    )
    if number:
        worse = f"{gate['fail_on']} or worse" if len(grave) > 1 else gate["fail_on"]
        new = "new gap" if gate["baseline"] is not None else "gap"
        reasons.append(f"{plural(number, new)} {'is' if number == 1 else 'are'} {worse}")
    if gate["stale"]:
        reasons.append(f"{plural(gate['stale'], 'known gap')} {'is' if gate['stale'] == 1 else 'are'} found no more")
    if gate["min_score"] is not None and (card["overall"] is None or card["overall"] < gate["min_score"]):
        reasons.append("there is no overall score" if card["overall"] is None else "the overall score is too low")
    return f"failed: {', and '.join(reasons)}{given}" if reasons else f"failed{given}"


def grade_sentence(card: ScorecardObject) -> str:
    """The grade with its number: ``B+ (85.0/100)``."""
    if card["overall"] is None:
        return "none"
    return f"{card['grade']} ({card['overall']:.1f}/100)"


def score_of(score: float | None, status: str) -> str:
    """A row's score as printed."""
    return f"{score:.1f}%" if score is not None else "?" if status == "error" else "-"


def detail_of(detail: str, status: str) -> str:
    """A row's details; a row that was not assessed says so."""
    return f"not assessed: {detail}" if status == "not_assessed" else detail


def place(evidence: EvidenceObject) -> str:
    """``file:line``."""
    return f"{evidence['file']}:{evidence['line']}"


def plural(number: int, noun: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tests_sentence(tests: TestsObject) -> str:
    """What tests name and how they ended, in one sentence."""
    said = []
    if tests["files"]:
        named = sum(each["named"] for each in tests["resources"])
        said.append(
            f"{named} of {plural(len(tests['resources']), 'resource')} named in {plural(tests['files'], 'file')}"
        )
    if tests["run"] is not None:
        ended = [f"{tests['passed']} of {plural(tests['run'], 'test')} passed"]
        counted = ((tests["failed"], "failed"), (tests["errors"], "broken"), (tests["skipped"], "skipped"))
        said.append(", ".join([*ended, *(f"{number} {word}" for number, word in counted if number)]))
    return "; ".join(said)


def lines_of(places: list[PlaceObject], most: int) -> str:
    """The first places, and how many more there are: ``tests/test_a.py:3, tests/test_b.py:9 and 4 more``."""
    shown = ", ".join(f"{one_line(each['file'])}:{each['line']}" for each in places[:most])
    return shown + (f" and {len(places) - most} more" if len(places) > most else "")


def kind_of(node: NodeObject) -> str:
    """What a box of the graph is: ``Lambda Function``, ``missing``."""
    if node["type"] is None:
        return "made by SAM" if node["kind"] == "generated" else node["kind"]
    return " ".join(node["type"].removeprefix("AWS::").split("::"))


def action_of(edge: EdgeObject) -> str:
    """What an edge of the graph says: ``reads, writes``, ``perhaps invokes``."""
    if edge["state"] == "named":
        return "is told of"
    return ", ".join(f"perhaps {kind}" if edge["state"] == "possible" else kind for kind in edge["kinds"])
