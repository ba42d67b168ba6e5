"""Profiles: the built-in ones, one's own file, what extends what, and what a malformed one gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cfaudit.config import find_config
from cfaudit.fleet import Options, rules, run
from cfaudit.profile import PROFILES, load_profile
from cfaudit.report import TemplateObject
from cfaudit.rule import RuleError
from cfaudit.sources.files import inputs
from stacks import AS_OF, AUDITED, REFERENCE

SHOP = """\
title: A web shop
extends: serverless
components:
  orders-table:
    title: Orders table
    types: [AWS::DynamoDB::Table]
    severity: critical
    requirement: Orders are kept in a table.
    words: [Order]
  payment-queue:
    title: Payment queue
    types: AWS::SQS::Queue
    severity: high
    requirement: Payments wait in a queue.
    words: [payment]
without: [untagged-resources]
rules: {table-unprotected: high, sparse-comments: off}
requirements: {recovery-off: Orders survive a mistake.}
fail_on: high
min_score: 10
"""
STACK = """\
Resources:
  OrderTable:
    Type: AWS::DynamoDB::Table
    Properties: {KeySchema: [{AttributeName: id, KeyType: HASH}], BillingMode: PAY_PER_REQUEST}
"""


def audited(path: Path, options: Options) -> TemplateObject:
    (outcome,) = run(inputs([str(path)]), options)
    return outcome.templates[0]


def test_every_rule_a_built_in_profile_names_is_one() -> None:
    ids = {rule.id for rule in rules()}
    for name in PROFILES:
        profile = load_profile(name)
        assert profile.without <= ids
        assert set(profile.grades) <= ids


def test_a_first_release_is_asked_for_less() -> None:
    whole, first = load_profile("crowdfunding"), load_profile("mvp")
    dropped = {word.id for word in whole.components} - {word.id for word in first.components}
    assert dropped == {"web-acl", "usage-plan", "function-vpc", "creator-dashboards"}
    template = audited(AUDITED, Options(as_of=AS_OF, profile="mvp"))
    assert template["components"]["missing"] == ["fraud-screening", "mail-identity"]
    assert "missing-function-vpc" not in {rule["id"] for rule in template["rules"]}


def test_production_takes_the_inventory_of_the_stack_and_gates_at_high(tmp_path: Path) -> None:
    template = audited(REFERENCE, Options(as_of=AS_OF, profile="production"))
    assert template["components"]["required"] == 41
    assert template["verdict"] == "pass"
    assert "crowdfunding" in template["profile_reason"]
    plain = tmp_path / "stack.yaml"
    plain.write_text(STACK, encoding="utf-8")
    template = audited(plain, Options(as_of=AS_OF, profile="production"))
    card = template["scorecard"]
    assert card is not None
    assert card["gate"]["fail_on"] == "high"
    assert template["verdict"] == "fail"
    severities = {finding["rule"]: finding["severity"] for finding in template["findings"]}
    assert severities["table-unprotected"] == "medium"


@pytest.mark.parametrize("by", ["option", "configuration"])
def test_a_profile_of_ones_own(tmp_path: Path, by: str) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    stack = tmp_path / "stack.yaml"
    stack.write_text(STACK, encoding="utf-8")
    chosen = f"profile: {'./shop.yaml' if by == 'configuration' else 'auto'}\nbind: {{payment-queue: Elsewhere}}\n"
    (tmp_path / "cfaudit.yaml").write_text(chosen, encoding="utf-8")
    profile = str(tmp_path / "shop.yaml") if by == "option" else None
    template = audited(stack, Options(as_of=AS_OF, profile=profile))
    components = {item["id"]: item["present"] for item in template["components"]["items"]}
    assert components == {"orders-table": True, "payment-queue": False}
    findings = {finding["rule"]: finding for finding in template["findings"]}
    assert findings["table-unprotected"]["severity"] == "high"
    assert findings["recovery-off"]["requirement"] == "Orders survive a mistake."
    assert findings["missing-component"]["severity"] == "high"
    assert not {"untagged-resources", "sparse-comments"} & {rule["id"] for rule in template["rules"]}
    card = template["scorecard"]
    assert card is not None
    assert card["gate"] == {"fail_on": "high", "min_score": 10.0, "held": False}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[]", 1, "a profile is a map"),
        ("title: x\nextend: serverless\n", 2, "did you mean 'extends'?"),
        ("components: {}\n", 1, "has a title"),
        ("title: x\nextends: nothing\n", 2, "there is no profile 'nothing'"),
        ("title: x\nextends: own.yaml\n", 2, "extends itself"),
        ("title: x\ncomponents:\n  a: {title: A}\n", 3, "the component 'a' has no 'severity'"),
        ("title: x\ncomponents:\n  a: {titel: A}\n", 3, "did you mean 'title'?"),
        ("title: x\nrules:\n  no-mfa: grave\n", 3, "a rule is off or one of critical"),
        ("title: x\nfail_on: info\n", 2, "fail_on is one of"),
        ("title: x\nmin_score: 101\n", 2, "min_score is a number"),
        ("title: x\nwithout: no-mfa\n", 2, "'without' is a list"),
        ("title: [\n", 2, ""),
    ],
)
def test_a_malformed_profile_names_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_profile(str(path))
    assert said in str(caught.value)
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_pyproject_holds_a_configuration_too(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n\n[tool.cfaudit]\nfail_on = "low"\n\n[tool.cfaudit.rules]\nrecovery-off = "off"\n'
        '\n[[tool.cfaudit.waivers]]\nrule = "table-unprotected"\nreason = "a demo"\nuntil = 2027-01-01\n',
        encoding="utf-8",
    )
    (tmp_path / "deep" / "pyproject.toml").write_text('[project]\nname = "y"\n', encoding="utf-8")
    stack = tmp_path / "deep" / "stack.yaml"
    stack.write_text(STACK, encoding="utf-8")
    template = audited(stack, Options(as_of=AS_OF))
    card = template["scorecard"]
    assert card is not None
    assert card["gate"]["fail_on"] == "low"
    assert "recovery-off" not in {rule["id"] for rule in template["rules"]}
    waived = [finding["rule"] for finding in template["findings"] if finding["verdict"] == "waived"]
    assert waived == ["table-unprotected"]
    (off,) = [note for note in template["diagnostics"] if "recovery-off" in note["message"]]
    assert (os.path.basename(off["file"]), off["line"]) == ("pyproject.toml", 7)


def test_cfaudit_yaml_comes_before_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.cfaudit]\nfail_on = "low"\n', encoding="utf-8")
    assert find_config(tmp_path) == tmp_path / "pyproject.toml"
    (tmp_path / "cfaudit.yaml").write_text("fail_on: high\n", encoding="utf-8")
    assert find_config(tmp_path) == tmp_path / "cfaudit.yaml"
