"""SARIF: valid by the standard's schema, within GitHub's limits, and every finding in it once."""

from __future__ import annotations

import gzip
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from cfaudit.checks import CHECKS
from cfaudit.render.markdown import rule_help
from cfaudit.render.sarif import MAX_RESULTS, render
from cfaudit.report import Report, report
from reports import AUDITED, audited, every_verdict, hostile, multiplied, of_verdict, rules, several, template, text_of

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}


def run(found: Report) -> dict[str, Any]:
    """The one run of a log."""
    (only,) = json.loads(render(found))["runs"]
    return only


def driver_rules(found: Report) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in run(found)["tool"]["driver"]["rules"]}


@pytest.mark.parametrize("found", [every_verdict(), hostile(), several(), report([])])
def test_valid_and_the_same_bytes(found: Report) -> None:
    text = render(found)
    VALIDATOR.validate(json.loads(text))
    assert text == render(deepcopy(found))
    assert text.encode()
    assert str(Path.cwd()) not in text


def test_every_gap_is_one_result() -> None:
    (one,) = audited()["templates"]
    only = run(audited())
    names = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    assert len(only["results"]) == len(one["findings"])
    for result, finding in zip(only["results"], one["findings"], strict=True):
        assert result["ruleId"] == names[result["ruleIndex"]] == finding["rule"]
        assert (result["kind"], result["level"]) == ("fail", LEVELS[finding["severity"]])
        assert result["partialFingerprints"] == {"cfaudit/v1": finding["fingerprint"]}
        (location,) = result["locations"]
        first = finding["evidence"][0]
        assert location["physicalLocation"]["artifactLocation"] == {
            "uri": AUDITED,
            "uriBaseId": "%SRCROOT%",
            "index": 0,
        }
        assert location["physicalLocation"]["region"] == {
            "startLine": first["line"],
            "startColumn": first["column"],
            "endLine": first["end_line"],
            "endColumn": first["end_column"],
        }
        lines = [each["physicalLocation"]["region"]["startLine"] for each in result.get("relatedLocations", ())]
        assert lines == [item["line"] for item in finding["evidence"][1:]]
    assert only["columnKind"] == "unicodeCodePoints"
    assert only["artifacts"][0]["roles"] == ["analysisTarget"]


def test_links_in_messages_lead_to_related_locations() -> None:
    linked = 0
    for result in run(audited())["results"]:
        held = {each["id"] for each in result.get("relatedLocations", ())}
        named = {int(number) for number in re.findall(r"\]\((\d+)\)", result["message"]["text"])}
        assert named <= held
        linked += len(named)
    assert linked > 100


def test_rules_say_what_their_pages_say() -> None:
    (one,) = audited()["templates"]
    told = driver_rules(audited())
    pages = {rule.id: rule_help(rule, CHECKS[rule.check]) for rule in rules()}
    assert list(told) == [rule["id"] for rule in one["rules"]]
    for rule in one["rules"]:
        held = told[rule["id"]]
        assert held["help"]["markdown"] == pages[rule["id"]]
        assert held["help"]["text"]
        assert held["shortDescription"]["text"] == rule["title"]
        assert 0 < len(held["fullDescription"]["text"]) <= 1024
        assert held["helpUri"].startswith("https://")
        assert held["defaultConfiguration"]["level"] == LEVELS[rule["severity"]]
        assert {rule["category"], rule["severity"]} <= set(held["properties"]["tags"])
        assert len(held["properties"]["tags"]) <= 10
        assert held["properties"]["precision"] in ("very-high", "high", "medium", "low")
        assert held["properties"]["problem.severity"] in ("error", "warning", "recommendation")


def test_every_scored_rule_has_a_security_severity() -> None:
    (one,) = audited()["templates"]
    bands = {"critical": (9.1, 10.0), "high": (7.0, 8.9), "medium": (4.0, 6.9), "low": (0.1, 3.9)}
    told = driver_rules(audited())
    for rule in one["rules"]:
        score = told[rule["id"]]["properties"].get("security-severity")
        assert (score is not None) == (rule["severity"] in bands)
        if score is not None:
            low, high = bands[rule["severity"]]
            assert low <= float(score) <= high


def test_a_rule_of_another_catalogue_is_told_by_its_findings() -> None:
    found = deepcopy(audited())
    (one,) = found["templates"]
    finding = one["findings"][0]
    for rule in one["rules"]:
        rule["id"] = "our-own" if rule["id"] == finding["rule"] else rule["id"]
    finding["rule"] = "our-own"
    told = driver_rules(found)["our-own"]
    assert finding["why"] in told["help"]["text"]
    assert "markdown" not in told["help"]
    assert told["helpUri"] == finding["references"][0]["url"]


def test_waived_findings_are_suppressed_and_stay() -> None:
    only = run(every_verdict())
    suppressed = {r["partialFingerprints"]["cfaudit/v1"]: r for r in only["results"] if "suppressions" in r}
    waived = of_verdict(every_verdict(), "waived")
    assert set(suppressed) == {finding["fingerprint"] for finding in waived}
    (suppression,) = suppressed[waived[0]["fingerprint"]]["suppressions"]
    assert suppression == {
        "kind": "external",
        "status": "accepted",
        "justification": "risk accepted, see A-1 (until 2027-03-31)",
    }
    assert suppressed[waived[0]["fingerprint"]]["message"]["text"].startswith("waived until 2027-03-31 (risk accepted")


def test_what_is_no_gap_is_a_notification() -> None:
    only = run(every_verdict())
    (invocation,) = only["invocations"]
    told = invocation["toolExecutionNotifications"]
    assert sorted((each["descriptor"]["id"], each["level"]) for each in told) == [
        ("broken-check", "error"),
        ("not-decided", "note"),
    ]
    kinds = [each["id"] for each in only["tool"]["driver"]["notifications"]]
    names = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    for each in told:
        assert kinds[each["descriptor"]["index"]] == each["descriptor"]["id"]
        assert names[each["associatedRule"]["index"]] == each["associatedRule"]["id"]
        assert each["locations"]
    assert invocation["executionSuccessful"] is False
    hidden = {f["fingerprint"] for verdict in ("unknown", "error") for f in of_verdict(every_verdict(), verdict)}
    assert not hidden & {result["partialFingerprints"]["cfaudit/v1"] for result in only["results"]}


def test_unusable_inputs_and_configurations_are_told_apart() -> None:
    found = deepcopy(several())
    found["templates"][0]["diagnostics"] = [
        {"level": "warning", "message": "waiver of no finding", "file": "cfaudit.yaml", "line": 3, "column": 1}
    ]
    (invocation,) = run(found)["invocations"]
    uris = [
        [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in invocation[f"tool{kind}"]]
        for kind in ("ConfigurationNotifications", "ExecutionNotifications")
    ]
    assert uris == [["cfaudit.yaml"], ["broken.yaml", "other.yaml"]]
    assert run(audited())["invocations"][0]["executionSuccessful"] is True


def test_paths_are_uris() -> None:
    (artifact,) = run(hostile())["artifacts"]
    assert re.fullmatch(r"[A-Za-z0-9%/._~-]+", artifact["location"]["uri"])
    assert unquote(artifact["location"]["uri"]) == hostile()["templates"][0]["path"]
    (one,) = audited()["templates"]
    moved = report([{**one, "path": "/somewhere/a:b c.yaml", "findings": []}, {**one, "path": "./x.yaml"}])
    uris = [each["location"] for each in run(moved)["artifacts"]]
    assert uris[0] == {"uri": "file:///somewhere/a%3Ab%20c.yaml"}
    assert uris[1] == {"uri": "x.yaml", "uriBaseId": "%SRCROOT%"}


def test_nobody_sees_a_link_or_a_placeholder_in_an_id() -> None:
    texts = [result["message"]["text"] for result in run(hostile())["results"]]
    assert not [text for text in texts if re.search(r"(?<!\\)\]\((?!\d+\))", text)]
    (one,) = audited()["templates"]
    holed = report([{**one, "findings": [{**one["findings"][0], "message": "{0} of ${Stage}"}]}])
    assert run(holed)["results"][0]["message"]["text"].startswith("{{0}} of ${Stage}. See [")


def test_github_takes_as_many_results() -> None:
    found = multiplied(MAX_RESULTS + 3)
    found["templates"][0]["findings"][0] |= {"severity": "low"}
    text = render(found)
    assert len(gzip.compress(text.encode(), 1)) < 10_000_000
    (only,) = json.loads(text)["runs"]
    assert len(only["results"]) == MAX_RESULTS == 25_000
    assert only["results"][0]["partialFingerprints"] == {"cfaudit/v1": f"{1:016x}"}
    assert only["results"][-1]["level"] == "error"
    (told,) = only["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"].startswith("3 findings left out")


def test_github_takes_as_many_locations() -> None:
    (one,) = audited()["templates"]
    finding = one["findings"][0]
    places = [{**finding["evidence"][0], "line": line, "end_line": line} for line in range(1, 2001)]
    (result,) = run(report([{**one, "findings": [{**finding, "evidence": places}]}]))["results"]
    assert len(result["relatedLocations"]) == 99
    assert "and 1989 more places" in result["message"]["text"]


def test_fingerprints_stay_while_lines_move() -> None:
    text = text_of(AUDITED)
    before, after = (run(report([template(each, AUDITED)]))["results"] for each in (text, f"# one\n# two\n{text}"))
    marks = [[result["partialFingerprints"]["cfaudit/v1"] for result in each] for each in (before, after)]
    assert sorted(marks[0]) == sorted(marks[1])
    assert len(set(marks[0])) == len(marks[0])


def test_what_scenarios_have_in_common_is_there_once() -> None:
    (one,) = audited()["templates"]
    names = ("IsProd is true", "IsProd is false")
    both = report([{**one, "scenario": name} for name in names])
    results = run(both)["results"]
    assert len(results) == len(one["findings"])
    assert "[IsProd is true; IsProd is false]" in results[0]["message"]["text"]
    assert [each["scenario"] for each in run(both)["properties"]["templates"]] == list(names)
