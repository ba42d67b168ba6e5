"""The table of manual steps is sound: every rule and type that it names exists, and every id is documented the same."""

from __future__ import annotations

from datetime import date

from cfaudit import data
from cfaudit.checks import CHECKS
from cfaudit.pipeline import Settings, audit
from cfaudit.rule import load_rules
from cfaudit.steps import documented, load_steps, needed

TEMPLATE = """
Metadata: {cfaudit: {manual_steps: [{id: leave-mail-sandbox, text: Ask.}]}}
Resources:
  Sender: {Type: AWS::SES::EmailIdentity, Properties: {EmailIdentity: example.com}}
  Alarms: {Type: AWS::SNS::Topic, Properties: {Subscription: [{Protocol: email, Endpoint: a@example.com}]}}
"""


def test_rules_exist() -> None:
    known = {rule.id for rule in load_rules(CHECKS)}
    assert {rule for step in load_steps() for rule in step.rules} <= known


def test_actions_exist() -> None:
    for step in load_steps():
        for action in step.actions:
            service, _, name = action.partition(":")
            known = data.actions(service) or {}
            assert name == "*" or name.lower() in known, action


def test_needed_and_documented() -> None:
    template = audit(TEMPLATE, "t.yaml", Settings(date(2026, 11, 22))).template
    assert [(step.id, resource.logical_id) for step, resource in needed(template, load_steps())] == [
        ("verify-mail-identity", "Sender"),
        ("leave-mail-sandbox", "Sender"),
        ("confirm-subscriptions", "Alarms"),
    ]
    assert {name: span.line for name, span in documented(template).items()} == {"leave-mail-sandbox": 2}
