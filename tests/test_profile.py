"""Profiles: the built-in ones, one's own file, what extends what, and what a malformed one gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cfaudit.config import find_config
from cfaudit.fleet import Options, catalogue, rules, run
from cfaudit.nodes import TemplateError
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
    gate = card["gate"]
    assert (gate["fail_on"], gate["min_score"], gate["held"]) == ("high", 10.0, False)


ONE = "title: x\ncomponents:\n  a: {title: A, severity: low, requirement: x, "


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
        ("", 1, "the file holds no document"),
        ("title: ''\n", 1, "has a title"),
        ("title: x\nwithout: [no-mfaa]\n", 2, "no rule 'no-mfaa'; did you mean 'no-mfa'?"),
        ("title: x\nwithout: [[no-mfa]]\n", 2, "'without' is a list"),
        ("title: x\nrules:\n  nope: low\n", 3, "no rule 'nope'"),
        ("title: x\nrules:\n  nope: off\n", 3, "no rule 'nope'"),
        ("title: x\nrequirements:\n  nope: x\n", 3, "no rule 'nope'"),
        ("title: x\nrequirements:\n  no-mfa: {a: b}\n", 3, "is a sentence"),
        ("title: x\nmin_score: true\n", 2, "min_score is a number"),
        (
            ONE + "types: Nope}\n",
            3,
            "has no types but Nope",
        ),
        (
            ONE + "types: [AWS::KMS::Key], generic: 'yes'}\n",
            3,
            "'generic: true' or not",
        ),
        (ONE + "rule: nope}\n", 3, "no rule 'nope'"),
        (
            ONE + "types: AWS::KMS::Key, structure: {key-of: nope}}\n",
            3,
            "no other component 'nope'",
        ),
        (
            ONE + "types: AWS::KMS::Key, structure: {key-of: a}}\n",
            3,
            "no other component 'a'",
        ),
        ("title: " + "[" * 40000, 1, "levels deep"),
    ],
)
def test_a_malformed_profile_names_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_profile(str(path), catalogue().ids)
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


@pytest.mark.parametrize(
    "raw",
    [SHOP.encode("utf-8-sig"), SHOP.replace("\n", "\r\n").encode(), SHOP.replace("web", "wéb 😀").encode("utf-16")],
)
def test_any_encoding_of_text_will_do(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "shop.yaml").write_bytes(raw)
    assert [word.id for word in load_profile(str(tmp_path / "shop.yaml")).components] == [
        "orders-table",
        "payment-queue",
    ]


def test_what_is_no_text_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"title: x\n# \xe9\n")
    for path, said in ((tmp_path / "own.yaml", "not UTF-8"), (tmp_path / "none.yaml", "no such file")):
        with pytest.raises(RuleError, match=said):
            load_profile(str(path))


def test_profiles_extend_each_other_by_path_but_never_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base").write_text(
        "title: base\nextends: serverless\nrules: {no-mfa: low}\n", encoding="utf-8"
    )
    own = tmp_path / "own.yaml"
    own.write_text("title: x\nextends: ./deep/base\nrules: {untraced-api: low}\n", encoding="utf-8")
    assert {"no-mfa", "untraced-api"} == set(load_profile(str(own), catalogue().ids).grades)
    (tmp_path / "deep" / "base").write_text("title: base\nextends: ../own.yaml\n", encoding="utf-8")
    with pytest.raises(RuleError, match="extends itself"):
        load_profile(str(own))


def test_rules_of_a_profile_may_go_by_an_older_name(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("title: x\nwithout: [older]\nrules: {old: low}\n", encoding="utf-8")
    held = load_profile(str(own), {**catalogue().ids, "older": "no-mfa", "old": "untraced-api"})
    assert (held.without, set(held.grades)) == ({"no-mfa"}, {"untraced-api"})


@pytest.mark.parametrize(
    "text", ["profile: ./own\n", "profile: ./none.yaml\n", "profile: ./\n", "profile: servrless\n"]
)
def test_a_configuration_names_its_profile_by_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "own").write_text(SHOP, encoding="utf-8")
    (tmp_path / "stack.yaml").write_text(STACK, encoding="utf-8")
    (tmp_path / "cfaudit.yaml").write_text(text, encoding="utf-8")
    if "own" in text:
        assert len(audited(tmp_path / "stack.yaml", Options(as_of=AS_OF))["components"]["items"]) == 2
        return
    with pytest.raises(TemplateError) as caught:
        audited(tmp_path / "stack.yaml", Options(as_of=AS_OF))
    assert "there is no profile" in str(caught.value)
    assert caught.value.span.line == 1


def test_a_resource_of_another_type_is_no_component(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    (tmp_path / "stack.yaml").write_text(STACK, encoding="utf-8")
    (tmp_path / "cfaudit.yaml").write_text("profile: shop.yaml\nbind: {payment-queue: OrderTable}\n", encoding="utf-8")
    template = audited(tmp_path / "stack.yaml", Options(as_of=AS_OF))
    assert {item["id"] for item in template["components"]["items"] if item["present"]} == {"orders-table"}
    (note,) = [note["message"] for note in template["diagnostics"] if note["message"].startswith("bind")]
    assert "OrderTable is no payment-queue, it is a AWS::DynamoDB::Table" in note


def config_error(folder: Path, name: str, raw: bytes) -> TemplateError | None:
    """What is wrong with a configuration, None for nothing."""
    folder = folder / str(len(list(folder.iterdir())))
    folder.mkdir()
    (folder / "stack.yaml").write_text(STACK, encoding="utf-8")
    (folder / name).write_bytes(raw)
    try:
        audited(folder / "stack.yaml", Options(as_of=AS_OF))
    except TemplateError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("cfaudit.yaml", b""),
        ("cfaudit.yaml", b"# nothing yet\n\n"),
        ("cfaudit.yaml", b"\xef\xbb\xbffail_on: low\r\n"),
        ("cfaudit.yaml", "min_score: 1_0\n".encode("utf-16")),
        ("cfaudit.yaml", b"waivers:\n- &a {rule: no-mfa, reason: x}\n- {<<: *a, resource: Pool}\n"),
        ("pyproject.toml", b"[tool.cfaudit-other]\nx = 1\n"),
        ("pyproject.toml", b"# [tool.cfaudit] is for later\n"),
        ("pyproject.toml", b"[tool.cfaudit]\nmin_score = 1.5\n"),
        ("pyproject.toml", b"[tool.other\n# broken, and not ours: cfaudit\n"),
    ],
)
def test_configurations_that_are_fine(tmp_path: Path, name: str, raw: bytes) -> None:
    assert config_error(tmp_path, name, raw) is None


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("cfaudit.yml", b"fail_on: low\n", "a configuration is called cfaudit.yaml"),
        (".cfaudit.yaml", b"fail_on: low\n", "a configuration is called cfaudit.yaml"),
        ("cfaudit.yaml", b"- a\n", "a configuration is a map"),
        ("cfaudit.yaml", b"fail_on: low\n---\nfail_on: high\n", "a second document"),
        ("cfaudit.yaml", b"fail_on: low\nfail_on: high\n", "more than once"),
        ("cfaudit.yaml", b"rules: " + b"[" * 40000, "levels deep"),
        ("cfaudit.yaml", b"# \xe9\n", "not UTF-8"),
        ("cfaudit.yaml", b"min_score: '80'\n", "min_score is a number"),
        ("cfaudit.yaml", b"min_score: .nan\n", "min_score is a number"),
        ("cfaudit.yaml", b"external: [{component: nope, reason: x}]\n", "'nope' is no component"),
        ("cfaudit.yaml", b"external: [{type: 'AWS::S3::Bucket', reason: ''}]\n", "and a reason"),
        ("cfaudit.yaml", b"environments: {prod: {Size: }}\n", "Size is one value"),
        ("pyproject.toml", b"[tool.cfaudit]\nfail_on = low\n", "no TOML"),
        ("pyproject.toml", b"[tool]\ncfaudit.fail_on = 'lo'\n", "fail_on is one of"),
        ("pyproject.toml", b"[ tool . cfaudit ]\nfail_on = 'lo'\n", "fail_on is one of"),
        ("pyproject.toml", b"tool.cfaudit = 3\n", "a configuration is a map"),
        ("pyproject.toml", b"[tool.cfaudit]\nmin_score = '80'\n", "min_score is a number"),
        ("pyproject.toml", b"# \xe9\n[tool.cfaudit]\nfail_on='low'\n", "not UTF-8"),
    ],
)
def test_configurations_that_are_wrong_say_where(tmp_path: Path, name: str, raw: bytes, said: str) -> None:
    error = config_error(tmp_path, name, raw)
    assert error is not None
    assert said in str(error)
    assert os.path.basename(error.span.file) == name
