"""Rules: a typo names file, line and what may have been meant; the compiled form is used only while it is current."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cfaudit.checks import CHECKS
from cfaudit.facts import Facts
from cfaudit.finding import Finding, Severity
from cfaudit.model.template import Template
from cfaudit.nodes import Map
from cfaudit.rule import (
    RULES,
    ArgumentError,
    Plain,
    RuleError,
    bind,
    compiled_rows,
    digest,
    load_categories,
    load_rules,
    plain,
    read_rows,
    read_yaml,
    rule_files,
    signature,
)

RULE = """\
title: Key rotation
severity: medium
requirement: Keys are
  rotated.
holds: Keys are rotated
fails: A key is not rotated
why: >-
  One key protects
  all data.
remedies:
  - title: Turn it on
    option: full
    action: change
    snippet: |
      Key:
        Type: AWS::KMS::Key
  - title: Leave it
references:
  - title: Rotate keys
    url: https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
check: example
with:
  path: EnableKeyRotation
  types: [AWS::KMS::Key]
"""


def example(
    template: Template,
    facts: Facts,
    *,
    path: str,
    types: tuple[str, ...],
    strict: bool = False,
    limit: int = 3,
    default: str | None = None,
    names: Mapping[str, str] | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Finding]:
    yield from ()


EXAMPLES = {"example": example}


def write(directory: Path, text: str, name: str = "security/key-rotation-off.yaml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_becomes_a_rule(tmp_path: Path) -> None:
    path = write(tmp_path, RULE)
    (rule,) = load_rules(EXAMPLES, tmp_path)
    assert (rule.id, rule.category, rule.severity) == ("key-rotation-off", "security", Severity.MEDIUM)
    assert (rule.requirement, rule.why) == ("Keys are rotated.", "One key protects all data.")
    assert [(r.title, r.option, r.action) for r in rule.remedies] == [
        ("Turn it on", "full", "change"),
        ("Leave it", None, "change"),
    ]
    assert rule.remedies[0].snippet == "Key:\n  Type: AWS::KMS::Key\n"
    assert rule.references[0].title == "Rotate keys"
    assert rule.arguments == {"path": "EnableKeyRotation", "types": ("AWS::KMS::Key",)}
    assert (rule.path, rule.tradeoff, rule.aliases, rule.blocks_create) == (str(path), None, (), False)


TYPOS = {
    "field": ("severity: medium", "severty: medium", 2, "'severty' is no field of a rule; did you mean 'severity'?"),
    "missing field": ("why: >-\n  One key protects\n  all data.\n", "", 1, "the rule has no 'why'"),
    "empty field": ("holds: Keys are rotated", "holds:", 5, "the rule has no 'holds'"),
    "severity": ("medium", "mediun", 2, "'mediun' is no severity; did you mean 'medium'?"),
    "severity of nowhere": ("medium", "x", 2, "'x' is no severity; known are critical, high, info, low, medium"),
    "check": ("check: example", "check: exmple", 21, "there is no check 'exmple'; did you mean 'example'?"),
    "argument": ("  path: Enable", "  paht: Enable", 23, "the check 'example' takes no 'paht'; did you mean 'path'?"),
    "missing argument": ("  path: EnableKeyRotation\n", "", 22, "the check 'example' needs 'path'"),
    "argument's type": ("[AWS::KMS::Key]", "{a: b}", 24, "'types' of the check 'example' is a tuple[str, ...], not"),
    "arguments are a list": ("  path: EnableKeyRotation\n  types:", "  -", 22, "'with' is a map of arguments"),
    "remedy's field": ("    option: full", "    optoin: full", 11, "a remedy has a title, and may have option, action"),
    "remedy's option": ("option: full", "option: ful", 11, "option is one of mvp, full, hybrid, not 'ful'"),
    "remedy's action": ("action: change", "action: chang", 11, "action is one of remove, add, change, document, keep"),
    "second remedy": ("  - title: Leave it", "  - titel: Leave it", 17, "a remedy has a title"),
    "remedies are text": (RULE[RULE.index("remedies") : RULE.index("references")], "remedies: x\n", 10, "is a list"),
    "reference": ("    url:", "    ulr:", 19, "a reference has a title and a url"),
    "broken YAML": ("title: Key rotation", "title: Key: rotation", 1, "mapping values are not allowed"),
    "duplicate field": ("check: example", "title: x\ncheck: example", 21, "'title' stands here more than once"),
    "no map": (RULE, "- a\n", 1, "a rule is a map of fields"),
    "nothing": (RULE, "# to do\n", 1, "the file holds no document"),
}


@pytest.mark.parametrize(("right", "wrong", "line", "message"), TYPOS.values(), ids=TYPOS)
def test_typos(tmp_path: Path, right: str, wrong: str, line: int, message: str) -> None:
    assert RULE.count(right) >= 1
    path = write(tmp_path, RULE.replace(right, wrong, 1))
    with pytest.raises(RuleError) as caught:
        load_rules(EXAMPLES, tmp_path)
    assert message in str(caught.value)
    assert (caught.value.path, caught.value.line) == (str(path), line)


FITTING: list[tuple[str, Plain, object]] = [
    ("path", "x", "x"),
    ("types", ["a", "b"], ("a", "b")),
    ("types", "a", ("a",)),
    ("types", [], ()),
    ("types", [1, True, "x"], ("1", "true", "x")),
    ("strict", True, True),
    ("limit", 0, 0),
    ("default", "", ""),
    ("names", {"a": "b"}, {"a": "b"}),
    ("names", {}, {}),
    ("groups", {"a": ["b"], "c": "d"}, {"a": ("b",), "c": ("d",)}),
]
UNFIT: list[tuple[str, Plain]] = [
    ("path", 1),
    ("path", None),
    ("path", ["x"]),
    ("types", {"a": "b"}),
    ("types", [["a"]]),
    ("strict", "true"),
    ("strict", 1),
    ("limit", True),
    ("limit", "3"),
    ("limit", 1.5),
    ("default", 1),
    ("names", ["a"]),
    ("names", {"a": 1}),
    ("groups", {"a": {"b": "c"}}),
]
NEEDED: dict[str, Plain] = {"path": "x", "types": ["y"]}


@pytest.mark.parametrize(("name", "given", "bound"), FITTING)
def test_arguments_that_fit(name: str, given: Plain, bound: object) -> None:
    assert bind("example", signature(example), {**NEEDED, name: given})[name] == bound


@pytest.mark.parametrize(("name", "given"), UNFIT)
def test_arguments_that_do_not_fit(name: str, given: Plain) -> None:
    with pytest.raises(ArgumentError, match=f"'{name}' of the check 'example' is a ") as caught:
        bind("example", signature(example), {**NEEDED, name: given})
    assert caught.value.argument == name


def test_the_signature_is_read_from_the_function() -> None:
    assert signature(example) == {
        "path": ("str", True),
        "types": ("tuple[str, ...]", True),
        "strict": ("bool", False),
        "limit": ("int", False),
        "default": ("str | None", False),
        "names": ("Mapping[str, str] | None", False),
        "groups": ("Mapping[str, tuple[str, ...]] | None", False),
    }


TAKEN = {"str", "bool", "int", "tuple[str, ...]", "Mapping[str, str]", "Mapping[str, tuple[str, ...]]"}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_checks_take_what_yaml_can_give_and_explain_themselves(check: Callable[..., object]) -> None:
    annotations = {annotation.removesuffix(" | None") for annotation, _ in signature(check).values()}
    assert annotations <= TAKEN
    assert check.__doc__
    assert check.__code__.co_varnames[:2] == ("template", "facts")


# Files ---------------------------------------------------------------------------------------------------------------


def test_rule_files_are_those_of_the_category_folders(tmp_path: Path) -> None:
    names = ["security/b.yaml", "security/a.yaml", "documentation/c.yaml"]
    others = ["profiles/x.yaml", "security/_stubs.yaml", "categories.yaml", "security/deep/d.yaml", "security/e.json"]
    for name in names + others:
        write(tmp_path, RULE, name)
    found = [path.relative_to(tmp_path).as_posix() for path in rule_files(tmp_path)]
    assert found == ["documentation/c.yaml", "security/a.yaml", "security/b.yaml"]
    assert [rule.id for rule in load_rules(EXAMPLES, tmp_path)] == ["c", "a", "b"]


def compiled(files: list[Path], directory: Path) -> Path:
    """A compiled form that tells itself apart: its titles are in capitals."""
    rows = []
    for _, fields, lines in read_rows(files):
        rows.append([{**fields, "title": str(fields["title"]).upper()}, lines])
    path = directory / "rules.json"
    path.write_text(json.dumps({"digest": digest(files), "rows": rows}), encoding="utf-8")
    return path


def test_the_compiled_form_is_used_only_while_it_is_current(tmp_path: Path) -> None:
    path = write(tmp_path, RULE)
    files = rule_files(tmp_path)
    form = compiled(files, tmp_path)
    rows = compiled_rows(files, form)
    assert rows is not None
    ((where, fields, lines),) = rows
    assert (where, fields["title"], lines["check"]) == (str(path), "KEY ROTATION", 21)
    assert lines["with.path"] == 23

    write(tmp_path, RULE + "# a comment\n")
    assert compiled_rows(files, form) is None
    write(tmp_path, RULE)
    assert compiled_rows(files, form) == rows
    write(tmp_path, RULE, "security/another.yaml")
    assert compiled_rows(rule_files(tmp_path), form) is None
    assert compiled_rows(files, tmp_path / "nothing.json") is None


def test_the_digest_knows_names_and_contents(tmp_path: Path) -> None:
    first = write(tmp_path, "a", "security/a.yaml")
    same = write(tmp_path / "copy", "a", "security/a.yaml")
    renamed = write(tmp_path, "a", "security/b.yaml")
    moved = write(tmp_path, "a", "documentation/a.yaml")
    changed = write(tmp_path / "changed", "b", "security/a.yaml")
    assert digest([first]) == digest([same])
    assert len({digest([path]) for path in (first, renamed, moved, changed)}) == 4


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("no", False),
        ("'no'", "no"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("~", None),
        ("2026-11-22", "2026-11-22"),
        ("[a, 1]", ["a", 1]),
        ("!Ref x", {"Ref": "x"}),
    ],
)
def test_plain_values(tmp_path: Path, written: str, meant: Plain) -> None:
    node = read_yaml(write(tmp_path, f"a: {written}\n"))
    assert isinstance(node, Map)
    assert plain(node.entries["a"]) == meant


def test_the_shipped_rules_load() -> None:
    rules = load_rules(CHECKS)
    assert len(rules) == len(rule_files(RULES))
    assert len({rule.id for rule in rules}) == len(rules)
    categories = {category.id: category.weight for category in load_categories()}
    assert {rule.category for rule in rules} <= set(categories)
    assert sum(categories.values()) == 100


def test_a_broken_category_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "security: {title: Security}\n", "categories.yaml")
    with pytest.raises(RuleError, match="'security' has a title and a weight") as caught:
        load_categories(tmp_path)
    assert (caught.value.path, caught.value.line) == (str(path), 1)
