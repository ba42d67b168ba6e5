"""The reconstruction of the audited stack: the ten issues of the hand-made report come out, on the right lines."""

from __future__ import annotations

import json
import re

import pytest

from stacks import AUDITED, ROOT, reported, shipped

TEXT = AUDITED.read_text(encoding="utf-8")
LINES = TEXT.splitlines()
GOLDEN = ROOT / "tests" / "golden" / "audited-scorecard.json"

# Issue of the hand-made report: the rule that speaks of it, and what each primary or related evidence line must say.
ISSUES = {
    1: ("missing-fraud-detector", {"frauddetector:", "FRAUD_DETECTOR_NAME"}),
    2: ("missing-mail-identity", {"ses:SendEmail", "ses:SendRawEmail"}),
    3: ("missing-dashboards", {"AnalyticsWorkgroup"}),
    4: ("batch-write-for-transactions", {"dynamodb:BatchWriteItem"}),
    5: ("runtime-deviation", {"nodejs22.x"}),
    6: ("inline-function-code", {"ZipFile"}),
    7: ("missing-web-acl", {"Api"}),
    8: ("missing-usage-plan", {"Api"}),
    9: ("missing-function-vpc", {"Function"}),
    10: ("untraced-functions", {"Function"}),
}


@pytest.mark.parametrize("issue", ISSUES)
def test_issue_with_its_lines(issue: int) -> None:
    rule, texts = ISSUES[issue]
    found = [finding for finding in shipped(AUDITED)["findings"] if finding["rule"] == rule]
    assert found
    assert {finding["verdict"] for finding in found} <= {"fail", "info"}
    lines = {LINES[evidence["line"] - 1] for finding in found for evidence in finding["evidence"]}
    for text in texts:
        assert any(text in line for line in lines), lines


def test_every_grant_and_variable_is_evidence_of_the_missing_detector() -> None:
    (finding,) = [f for f in shipped(AUDITED)["findings"] if f["rule"] == "missing-fraud-detector"]
    proved = {evidence["line"] for evidence in finding["evidence"]}
    written = {n for n, line in enumerate(LINES, 1) if re.search(r"'?frauddetector:\w|FRAUD_DETECTOR_NAME:", line)}
    assert proved == written


def test_inventory() -> None:
    components = shipped(AUDITED)["components"]
    assert (components["present"], components["required"]) == (35, 41)
    assert components["missing"] == [
        "fraud-screening",
        "mail-identity",
        "creator-dashboards",
        "web-acl",
        "usage-plan",
        "function-vpc",
    ]


def test_positives() -> None:
    """The technical positives of the hand-made report that are true are found, each with lines."""
    rows = {rule["id"]: rule["verdict"] for rule in shipped(AUDITED)["rules"]}
    holding = [
        "key-rotation-off",
        "unencrypted-data-store",
        "query-results-without-key",
        "shared-role",
        "wildcard-action",
        "recovery-off",
        "table-not-on-demand",
        "open-api-method",
        "proxy-integration-method",
        "missing-invoke-permission",
        "plain-http-delivery",
        "log-retention-unset",
        "public-bucket",
        "unversioned-media",
        "bucket-without-lifecycle",
        "undescribed-outputs",
        "missing-critical-outputs",
    ]
    assert {rule: rows[rule] for rule in holding} == dict.fromkeys(holding, "pass")
    assert all(positive["evidence"] for positive in shipped(AUDITED)["positives"])


def test_transactions_are_corrected_not_repeated() -> None:
    """``dynamodb:TransactWriteItems`` is no IAM action: nothing may recommend it."""
    for finding in shipped(AUDITED)["findings"]:
        for remedy in finding["remedies"]:
            assert "dynamodb:TransactWriteItems" not in (remedy["snippet"] or "")
    (finding,) = [f for f in shipped(AUDITED)["findings"] if f["rule"] == "batch-write-for-transactions"]
    assert finding["subject"] == "PaymentProcessingLambdaRole"


def test_scorecard_is_golden() -> None:
    """Refresh with ``python tests/test_audited.py`` after reading the difference."""
    assert golden() == GOLDEN.read_text(encoding="utf-8")


def golden() -> str:
    report = shipped(AUDITED)
    held = {
        "profile": report["profile"],
        "components": {key: report["components"][key] for key in ("present", "required", "missing")},
        "scorecard": report["scorecard"],
        "rules": {rule["id"]: [rule["verdict"], rule["cost"]] for rule in report["rules"]},
    }
    return json.dumps(held, indent=1) + "\n"


def test_deterministic() -> None:
    assert reported(TEXT, "x.yaml") == reported(TEXT, "x.yaml")


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(golden(), encoding="utf-8")
