"""What a parameter's pattern allows: texts of every kind, none that it refuses; and which names a service takes."""

from __future__ import annotations

import re

import pytest

from cfaudit.model.language import UnreadableError, Values, shapes, texts
from cfaudit.model.naming import GRAMMARS, fault

PATTERNS = (
    "[a-zA-Z0-9-]*",
    "^[a-z][a-z0-9]{0,9}$",
    "^(dev|test|prod)$",
    "^([a-z0-9]+-)*[a-z0-9]+$",
    "^$|^[a-z]+$",
    "[^A-Z]{3,5}",
    r"[\w.-]{1,5}",
    "(?i)abc[d-f]?",
    r"\d{2}(?:-\d{2})?",
    "[0-9a-zA-Z]+([0-9a-zA-Z-.]*[0-9a-zA-Z])*",
    "(a|b){2}",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_text_is_in_the_language(pattern: str) -> None:
    values = Values((), shapes(pattern))
    found = texts(values, "dev")
    assert found
    assert [text for text in found if not re.fullmatch(pattern, text, re.ASCII)] == []
    assert re.fullmatch(pattern, values.longest(70), re.ASCII)


@pytest.mark.parametrize("pattern", ["(?!x)a", "(a)\\1", "[a&&b]", "a{2", "(a", "a)", "[", "*", "\\p{L}", "a" * 2000])
def test_what_is_not_read_is_said(pattern: str) -> None:
    with pytest.raises(UnreadableError):
        shapes(pattern)


def test_limits_of_length_hold() -> None:
    values = Values((), shapes("[a-z]+"), 3, 5)
    assert {len(text) for text in texts(values, "d")} <= {3, 4, 5}
    assert len(values.longest(70)) == 5


def test_hostile_patterns_are_quick() -> None:
    for pattern in ("(a+)+$", "(((a{1,900}){1,900}){1,900})", "([a-z]+-?)+([0-9]+)*"):
        assert len(texts(Values((), shapes(pattern)), "dev")) < 1001
    for pattern in ("(a|b|c|d)*(e|f|g|h)*" * 9, "(" * 900, "[" * 900):
        with pytest.raises(UnreadableError):
            shapes(pattern)


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("AWS::S3::Bucket", "media-dev", None),
        ("AWS::S3::Bucket", "media-Dev", "has upper case"),
        ("AWS::S3::Bucket", "media-", "ends with '-'"),
        ("AWS::S3::Bucket", "me..dia", "has '..'"),
        ("AWS::S3::Bucket", "m" * 64, "is 64 characters long, 63 are allowed"),
        ("AWS::IAM::Role", "Campaigns@dev", None),
        ("AWS::IAM::Role", "r" * 65, "is 65 characters long, 64 are allowed"),
        ("AWS::Lambda::Function", "a.b", "has '.'"),
        ("AWS::SQS::Queue", "pledges.fifo", None),
        ("AWS::SQS::Queue", "pledges.v1", "has '.'"),
        ("AWS::DynamoDB::Table", "ab", "is 2 characters long, at least 3 are needed"),
        ("AWS::FraudDetector::Detector", "Contributions", "has upper case"),
        ("AWS::StepFunctions::StateMachine", "release.v1", None),
        ("AWS::StepFunctions::StateMachine", "release v1", "has ' '"),
    ],
)
def test_names(kind: str, name: str, reason: str | None) -> None:
    found = fault(kind, name)
    assert (found.reason if found else None) == reason


def test_every_grammar_names_its_page() -> None:
    assert all(grammar.source.startswith("https://docs.aws.amazon.com/") for grammar in GRAMMARS.values())
