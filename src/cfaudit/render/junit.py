"""The report object in, JUnit XML out: a suite for each template, a case for each rule.

There is no one schema; this is what Jenkins, GitLab and the readers built on them take.
https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from cfaudit.render.outline import Gap, grade_sentence, one_line, place, posix, remark, visible
from cfaudit.report import DiagnosticObject, FindingObject, Report, RuleObject, TemplateObject

_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


class Answer(NamedTuple):
    """What a case comes to: ``failure``, ``error`` or ``skipped``, or ``system-out`` for one that passes."""

    element: str
    kind: str
    message: str
    text: str


def render(report: Report) -> str:
    """The suites as XML, without times: same input, same bytes."""
    root = Xml.Element("testsuites", name="cfaudit")
    for template in report["templates"]:
        root.append(_suite(template))
    if report["diagnostics"]:
        root.append(_run(report["diagnostics"]))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _suite(template: TemplateObject) -> Xml.Element:
    scenario = "" if template["scenario"] == "default" else f" [{template['scenario']}]"
    suite = Xml.Element("testsuite", name=one_line(f"{posix(template['path'])}{scenario}"))
    _properties(suite, template)
    found: dict[str, list[FindingObject]] = {}
    for finding in template["findings"]:
        found.setdefault(finding["rule"], []).append(finding)
    answers = {rule["id"]: _answer(rule, found.get(rule["id"], [])) for rule in template["rules"]}
    if template["scorecard"] is None:
        answers = {"readable": _unusable(template)}
    for name, answer in answers.items():
        _case(suite, name, answer)
    told = [answer.element for answer in answers.values() if answer is not None]
    suite.set("tests", str(len(answers)))
    for element, count in _COUNTED.items():
        suite.set(count, str(told.count(element)))
    _notes(suite, template["diagnostics"])
    return suite


def _run(diagnostics: Sequence[DiagnosticObject]) -> Xml.Element:
    """What is to say of the run: a suite without cases, for only suites have text."""
    suite = Xml.Element("testsuite", name="cfaudit", tests="0", failures="0", errors="0", skipped="0")
    _notes(suite, diagnostics)
    return suite


def _notes(suite: Xml.Element, diagnostics: Sequence[DiagnosticObject]) -> None:
    notes = [f"{each['level']}: {each['file']}:{each['line']}: {each['message']}" for each in diagnostics]
    if notes:
        Xml.SubElement(suite, "system-err").text = "\n".join(map(one_line, notes))


def _properties(suite: Xml.Element, template: TemplateObject) -> None:
    card = template["scorecard"]
    properties = Xml.SubElement(suite, "properties")
    held = {"profile": template["profile"] or "none", "as_of": template["as_of"], "verdict": template["verdict"]}
    if card is not None:
        held["grade"] = grade_sentence(card)
        held |= {row["id"]: f"{row['score']:.1f}" for row in card["categories"] if row["score"] is not None}
    for name, value in held.items():
        Xml.SubElement(properties, "property", name=name, value=value)


def _case(suite: Xml.Element, name: str, answer: Answer | None) -> None:
    case = Xml.SubElement(suite, "testcase", classname=suite.get("name", ""), name=name)
    if answer is None:
        return
    told = Xml.SubElement(case, answer.element)
    if answer.element != "system-out":
        told.set("type", answer.kind)
        told.set("message", answer.message)
    told.text = answer.text


def _unusable(template: TemplateObject) -> Answer:
    messages = [one_line(diagnostic["message"]) for diagnostic in template["diagnostics"]]
    return Answer("error", "unusable", messages[0] if messages else "not audited", "\n".join(messages))


def _answer(rule: RuleObject, findings: Sequence[FindingObject]) -> Answer | None:
    """The gravest that any finding of the rule says; what is known or waived stands beside what fails."""
    of = {standing: [each for each in findings if _standing(each) == standing] for standing in _ORDER}
    for verdict, element in _ORDER.items():
        if of[verdict]:
            first = of[verdict][0]
            more = f" (and {len(of[verdict]) - 1} more)" if len(of[verdict]) > 1 else ""
            kind = first["severity"] if verdict == "fail" else verdict
            told = [*of[verdict], *(each for each in findings if _standing(each) != verdict)]
            return Answer(element, kind, f"{_remark(first)}{more}", _text(told))
    if rule["verdict"] == "n/a":
        return Answer("skipped", "n/a", "not applicable: nothing of its kind is in the template", "")
    return None


_ORDER = {
    "error": "error",
    "fail": "failure",
    "known": "skipped",
    "unknown": "skipped",
    "waived": "skipped",
    "info": "system-out",
}


def _standing(finding: FindingObject) -> str:
    return "known" if finding["known"] else finding["verdict"]


def _remark(finding: FindingObject) -> str:
    return remark(Gap(finding, finding["fingerprint"], ("default",)))


def _text(findings: Sequence[FindingObject]) -> str:
    """The findings with the lines that prove them, then what is required and what to do."""
    first = findings[0]
    remedies = [one_line(remedy["title"]) for remedy in first["remedies"]]
    lines = [line for finding in findings for line in _proof(finding)]
    lines += ["", f"Requirement: {one_line(first['requirement'])}", f"Why: {one_line(first['why'])}"]
    lines += [f"To do: {title}" if number == 1 else f"   or: {title}" for number, title in enumerate(remedies, 1)]
    return "\n".join(("", *lines, ""))


def _proof(finding: FindingObject) -> Iterator[str]:
    yield _remark(finding)
    for item in finding["evidence"]:
        note = "" if item["note"] in ("", finding["message"]) else f": {item['note']}"
        yield f"  {one_line(f'{place(item)}{note}')}"
        yield from (f"    {visible(line.expandtabs(2)).rstrip()}" for line in item["text"].split("\n"))
