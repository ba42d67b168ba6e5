"""JUnit XML: valid by Jenkins' schema, read by a real reader, a case for each rule and template."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from lxml import etree

from cfaudit.render.junit import render
from cfaudit.report import Report, report
from reports import AUDITED, audited, every_verdict, hostile, of_verdict, several

SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).parent / "schemas" / "junit-10.xsd")))


def suites(found: Report) -> list[TestSuite]:
    """The suites as a reader sees them, valid by the schema."""
    text = render(found).encode()
    SCHEMA.assertValid(etree.fromstring(text))
    return list(JUnitXml.fromstring(text))


def cases(found: Report) -> dict[str, TestCase]:
    (suite,) = suites(found)
    return {case.name: case for case in suite}


@pytest.mark.parametrize("found", [audited(), every_verdict(), hostile(), several(), report([])])
def test_valid_and_the_same_bytes(found: Report) -> None:
    suites(found)
    assert render(found) == render(deepcopy(found))


def test_a_case_for_each_rule() -> None:
    (one,) = audited()["templates"]
    (suite,) = suites(audited())
    held = cases(audited())
    assert suite.name == AUDITED
    assert list(held) == [rule["id"] for rule in one["rules"]]
    assert {case.classname for case in held.values()} == {AUDITED}
    fail = [rule["id"] for rule in one["rules"] if any(_fails(f, rule["id"]) for f in one["findings"])]
    assert [name for name, case in held.items() if case.is_failure] == fail
    beside = [rule["id"] for rule in one["rules"] if rule["verdict"] == "n/a"]
    assert [name for name, case in held.items() if case.is_skipped] == beside
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (len(held), len(fail), 0, len(beside))
    assert not [case for case in held.values() if case.time is not None]


def _fails(finding: object, rule: str) -> bool:
    return isinstance(finding, dict) and finding["rule"] == rule and finding["verdict"] == "fail"


def test_a_failure_has_its_evidence() -> None:
    (one,) = audited()["templates"]
    held = cases(audited())
    for finding in one["findings"]:
        if finding["verdict"] == "fail":
            (failure,) = held[finding["rule"]].result
            assert isinstance(failure, Failure)
            assert finding["message"] in failure.text
            assert finding["requirement"] in failure.text
            for item in finding["evidence"]:
                assert f"  {item['file']}:{item['line']}" in failure.text
                assert f"    {item['text'].splitlines()[0]}" in failure.text


def test_every_verdict_is_visible() -> None:
    held = cases(every_verdict())
    (broken,) = of_verdict(every_verdict(), "error")
    assert isinstance(held[broken["rule"]].result[0], Error)
    first, second = of_verdict(every_verdict(), "waived")
    (told,) = held[first["rule"]].result
    assert isinstance(told, Skipped)
    assert told.message == f"waived until 2027-03-31 (risk accepted, see A-1): {first['message']}"
    (beside,) = held[second["rule"]].result
    assert "waived (| `x` <b> ::error::): " in beside.text
    (unknown,) = of_verdict(every_verdict(), "unknown")
    assert f"not decided: {unknown['message']}" in held[unknown["rule"]].result[0].text


def test_an_improvement_passes_with_its_words() -> None:
    (one,) = audited()["templates"]
    better = next(finding for finding in one["findings"] if finding["verdict"] == "info")
    case = cases(audited())[better["rule"]]
    assert case.is_passed
    assert better["message"] in case.system_out


def test_unusable_templates_are_errors() -> None:
    held = {suite.name: suite for suite in suites(several())}
    for name in ("broken.yaml", "other.yaml"):
        (case,) = held[name]
        assert isinstance(case.result[0], Error)
        assert case.result[0].message == several_message(name)
    assert len({suite.name for suite in held.values()}) == 5


def several_message(name: str) -> str:
    return next(t["diagnostics"][0]["message"] for t in several()["templates"] if t["path"] == name)


def test_control_characters_are_written_out() -> None:
    found = deepcopy(audited())
    found["templates"][0]["findings"][0]["message"] = "a\x00\x0b\x1b]\ufffe\uffff\ud800 ]]> <b> & \x85\u2028z"
    name = found["templates"][0]["findings"][0]["rule"]
    (failure,) = cases(found)[name].result
    assert failure.message.startswith(r"a\x00 \x1b]\ufffe\uffff\ud800 ]]> <b> & z")


def test_scenarios_are_suites_of_their_own() -> None:
    (one,) = audited()["templates"]
    both = report([{**one, "scenario": name} for name in ("IsProd is true", "IsProd is false")])
    assert [suite.name for suite in suites(both)] == [f"{AUDITED} [IsProd is true]", f"{AUDITED} [IsProd is false]"]
