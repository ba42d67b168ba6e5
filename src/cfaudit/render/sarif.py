"""The report object in, a SARIF 2.1.0 log out, within what GitHub's code scanning takes.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html
https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning

What a rule could not decide is a notification, not a result of kind ``open``: GitHub makes an alert of every result,
whatever its kind (https://github.com/microsoft/PSRule/issues/955). There is no ``automationDetails``: an id in the file
would win over the category that a workflow gives to its upload
(https://github.com/github/codeql-action/blob/main/src/upload-lib.ts, ``populateRunAutomationDetails``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from cfaudit.checks import CHECKS
from cfaudit.render.markdown import rule_help
from cfaudit.render.outline import Gap, gaps, notes, one_line, plural, posix, remark, visible
from cfaudit.report import DiagnosticObject, EvidenceObject, FindingObject, Report, RuleObject
from cfaudit.rule import Rule, load_rules

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
MAX_RESULTS = 25_000
MAX_RELATED = 99
MAX_LINKED = 10
MAX_DESCRIPTION = 1024

_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_PROBLEMS = {"error": "error", "warning": "warning", "note": "recommendation"}
# GitHub: over 9.0 critical, from 7.0 high, from 4.0 medium, from 0.1 low; a rule that has one is a security rule
_SECURITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}


class Index(NamedTuple):
    """Where rules and files stand in the run."""

    rules: Mapping[str, int]
    files: Mapping[str, int]


NOTIFICATIONS = {
    "diagnostic": "Something about an input or the configuration that is no finding.",
    "not-decided": "Only deploy time can tell whether the rule holds.",
    "broken-check": "cfaudit broke while judging the rule.",
    "results-left-out": "There are more findings than a run may have.",
}
_CONFIGURATION = ("cfaudit.yaml", "pyproject.toml", "cfaudit-baseline.json")


def render(report: Report) -> str:
    """The log of one run over all templates."""
    found = gaps(report)
    rules = _rules(report, found)
    results = [gap for gap in found if gap.finding["verdict"] in ("fail", "waived", "info")]
    index = Index(_positions(rules), _positions(_files(report)))
    named = {template["path"] for template in report["templates"]}
    cards = [template["scorecard"] for template in report["templates"]]
    compared = any(card["gate"]["baseline"] is not None for card in cards if card is not None)
    run: dict[str, Json] = {
        "tool": {"driver": _driver(report, list(rules.values()))},
        "invocations": [_invocation(report, found, results[MAX_RESULTS:], index)],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The directory in which cfaudit was started."}}},
        "artifacts": [_artifact(file, named) for file in index.files],
        "columnKind": "unicodeCodePoints",
        "results": [_result(gap, index, compared=compared) for gap in results[:MAX_RESULTS]],
        "properties": {"templates": [_summary(position, report) for position in range(len(report["templates"]))]},
    }
    log: dict[str, Json] = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=False, indent=1) + "\n"


def _summary(position: int, report: Report) -> Json:
    template = report["templates"][position]
    card = template["scorecard"]
    return {
        "path": one_line(posix(template["path"])),
        "scenario": one_line(template["scenario"]),
        "verdict": template["verdict"],
        "overall": card["overall"] if card else None,
        "grade": card["grade"] if card else None,
    }


# The tool and its rules ----------------------------------------------------------------------------------------------


def _driver(report: Report, rules: Sequence[Json]) -> Json:
    tool = report["tool"]
    return {
        "name": tool["name"],
        "version": tool["version"],
        "semanticVersion": tool["version"],
        "rules": rules,
        "notifications": [_descriptor(name, text) for name, text in NOTIFICATIONS.items()],
    }


def _descriptor(name: str, text: str) -> Json:
    """A kind of notification; GitHub asks for all three texts."""
    return {"id": name, "shortDescription": {"text": text}, "fullDescription": {"text": text}, "help": {"text": text}}


def _rules(report: Report, found: Iterable[Gap]) -> dict[str, Json]:
    """Every rule that judged any template; its page where it is of the catalogue, else what its findings tell."""
    catalogue = {rule.id: rule for rule in load_rules(CHECKS)}
    told: dict[str, FindingObject] = {}
    for gap in found:
        told.setdefault(gap.finding["rule"], gap.finding)
    rules = {rule["id"]: rule for template in report["templates"] for rule in template["rules"]}
    return {name: _rule(rule, catalogue.get(name), told.get(name)) for name, rule in rules.items()}


def _rule(rule: RuleObject, row: Rule | None, finding: FindingObject | None) -> Json:
    full, references = rule["holds"], []
    text = rule["holds"]
    if row is not None:
        full, references = f"{row.requirement} {row.why}", [link.url for link in row.references]
        text = "\n\n".join((row.requirement, row.why, *(f"To do: {remedy.title}" for remedy in row.remedies)))
    elif finding is not None:
        full, references = f"{finding['requirement']} {finding['why']}", [link["url"] for link in finding["references"]]
        text = "\n\n".join((full, *(f"To do: {remedy['title']}" for remedy in finding["remedies"])))
    said: dict[str, Json] = {"text": _lines(text)}
    if row is not None:
        said["markdown"] = rule_help(row, CHECKS[row.check])
    descriptor: dict[str, Json] = {
        "id": rule["id"],
        "name": "".join(word.capitalize() for word in rule["id"].split("-")),
        "shortDescription": {"text": _cut(one_line(rule["title"]))},
        "fullDescription": {"text": _cut(one_line(full))},
        "help": said,
        "defaultConfiguration": {"level": _LEVELS[rule["severity"]]},
        "properties": _rule_properties(rule),
    }
    web = [url for url in references if url.startswith(("https://", "http://"))]
    return {**descriptor, "helpUri": web[0]} if web else descriptor


def _rule_properties(rule: RuleObject) -> Json:
    level = _LEVELS[rule["severity"]]
    properties: dict[str, Json] = {
        "tags": [rule["category"], rule["severity"], "cloudformation"],
        "precision": "high",
        "problem.severity": _PROBLEMS[level],
    }
    if rule["severity"] in _SECURITY:
        properties["security-severity"] = _SECURITY[rule["severity"]]
    return properties


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 1]}\u2026"


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


# Results -------------------------------------------------------------------------------------------------------------


def _result(gap: Gap, index: Index, *, compared: bool) -> Json:
    finding = gap.finding
    related = finding["evidence"][1 : MAX_RELATED + 1]
    result: dict[str, Json] = {
        "ruleId": finding["rule"],
        "ruleIndex": index.rules[finding["rule"]],
        "kind": "fail",
        "level": _LEVELS[finding["severity"]],
        "message": {"text": _message(gap)},
        "locations": [_location(finding["evidence"][0], index, finding)],
        "partialFingerprints": {"cfaudit/v1": gap.key},
        "properties": {
            "severity": finding["severity"],
            "category": finding["category"],
            "verdict": finding["verdict"],
            "cost": finding["cost"],
            "assumed": [one_line(each) for each in finding["assumed"]],
        },
    }
    if related:
        located = enumerate((_location(item, index) for item in related), 1)
        result["relatedLocations"] = [{"id": number, **location} for number, location in located]
    if finding["waiver"] is not None:
        until = f" (until {finding['waiver']['until']})" if finding["waiver"]["until"] else ""
        why = one_line(f"{finding['waiver']['reason']}{until}")
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    if compared and finding["verdict"] == "fail":
        result["baselineState"] = "unchanged" if finding["known"] else "new"
    return result


def _message(gap: Gap) -> str:
    """The finding's sentence, then links to its related places, which GitHub shows only where the message has them."""
    related = gap.finding["evidence"][1 : MAX_RELATED + 1]
    notes: dict[str, int] = {}
    for number, item in enumerate(related, 1):
        notes.setdefault(f"line {item['line']}: {item['note']}" if item["note"] else f"line {item['line']}", number)
    links = [f"[{_bracketed(one_line(note))}]({number})" for note, number in list(notes.items())[:MAX_LINKED]]
    more = len(gap.finding["evidence"]) - 1 - len(links)
    if links and more > 0:
        links.append(f"and {plural(more, 'more place')}")
    places = f" See {', '.join(links)}." if links else ""
    return f"{_literal(remark(gap))}.{places}"


def _literal(text: str) -> str:
    """Text in which nobody sees a link or a placeholder: SARIF escapes brackets and doubles braces (3.11.5, 3.11.6)."""
    plain = re.sub(r"\{(\d+)\}", r"{{\1}}", text)
    return _bracketed(plain) if "](" in plain else plain


def _bracketed(text: str) -> str:
    return re.sub(r"[\[\]]", r"\\\g<0>", text)


def _location(item: EvidenceObject, index: Index, finding: FindingObject | None = None) -> dict[str, Json]:
    region = {
        "startLine": item["line"],
        "startColumn": item["column"],
        "endLine": item["end_line"],
        "endColumn": item["end_column"],
    }
    where: dict[str, Json] = {**_uri(item["file"]), "index": index.files[item["file"]]}
    location: dict[str, Json] = {"physicalLocation": {"artifactLocation": where, "region": region}}
    if finding is not None and finding["logical_id"]:
        named = one_line(finding["logical_id"])
        path = f".{one_line(finding['property_path'])}" if finding["property_path"] else ""
        places: list[Json] = [{"name": named, "fullyQualifiedName": f"{named}{path}", "kind": "resource"}]
        if finding["construct_path"]:
            places.append({"fullyQualifiedName": one_line(finding["construct_path"]), "kind": "member"})
        location["logicalLocations"] = places
    elif item["note"]:
        location["message"] = {"text": _literal(one_line(item["note"]))}
    return location


def _positions(names: Iterable[str]) -> dict[str, int]:
    return {name: position for position, name in enumerate(dict.fromkeys(names))}


def _files(report: Report) -> Iterator[str]:
    for template in report["templates"]:
        yield template["path"]
        yield from (item["file"] for finding in template["findings"] for item in finding["evidence"])
        yield from (diagnostic["file"] for diagnostic in template["diagnostics"])
    yield from (diagnostic["file"] for diagnostic in report["diagnostics"])


def _artifact(file: str, named: Container[str]) -> Json:
    artifact: dict[str, Json] = {"location": _uri(file)}
    return {**artifact, "roles": ["analysisTarget"]} if file in named else artifact


def _uri(file: str) -> dict[str, Json]:
    """A path below the root as a relative reference, any other as a ``file`` URI."""
    if PurePath(file).is_absolute():
        return {"uri": f"file://{quote(posix(file), safe='/', errors='surrogatepass')}"}
    return {"uri": quote(posix(file), safe="/", errors="surrogatepass"), "uriBaseId": ROOT}


# What happened -------------------------------------------------------------------------------------------------------


def _invocation(report: Report, found: Sequence[Gap], left_out: Sequence[Gap], index: Index) -> Json:
    configuration: list[Json] = []
    execution: list[Json] = []
    for diagnostic in notes(report):
        of_config = PurePath(diagnostic["file"]).name in _CONFIGURATION
        (configuration if of_config else execution).append(_diagnostic(diagnostic, index))
    execution += [_undecided(gap, index) for gap in found if gap.finding["verdict"] in ("unknown", "error")]
    if left_out:
        text = f"{plural(len(left_out), 'finding')} left out, the least grave: a run has at most {MAX_RESULTS} results."
        execution.append(_notification("results-left-out", "warning", text))
    return {
        "executionSuccessful": all(template["verdict"] != "error" for template in report["templates"]),
        "toolConfigurationNotifications": configuration,
        "toolExecutionNotifications": execution,
    }


def _diagnostic(diagnostic: DiagnosticObject, index: Index) -> Json:
    level = "note" if diagnostic["level"] == "info" else diagnostic["level"]
    region = {"startLine": diagnostic["line"], "startColumn": diagnostic["column"]}
    where: dict[str, Json] = {**_uri(diagnostic["file"]), "index": index.files[diagnostic["file"]]}
    location: Json = {"physicalLocation": {"artifactLocation": where, "region": region}}
    return {**_notification("diagnostic", level, diagnostic["message"]), "locations": [location]}


def _undecided(gap: Gap, index: Index) -> Json:
    name, rule = gap.finding["verdict"], gap.finding["rule"]
    told = _notification(*(("not-decided", "note") if name == "unknown" else ("broken-check", "error")), remark(gap))
    return {
        **told,
        "associatedRule": {"id": rule, "index": index.rules[rule]},
        "locations": [_location(item, index) for item in gap.finding["evidence"][: MAX_RELATED + 1]],
    }


def _notification(name: str, level: str, text: str) -> dict[str, Json]:
    return {
        "descriptor": {"id": name, "index": list(NOTIFICATIONS).index(name)},
        "level": level,
        "message": {"text": _literal(one_line(text))},
    }
