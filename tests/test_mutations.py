"""Every rule is made to fail by an edit of the reference, and no rule fails beside those the edit names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cfaudit import pipeline
from cfaudit.finding import Outcome
from cfaudit.nodes import Deferred, Map, Scalar, Seq, Unknown, Value, strings
from cfaudit.pipeline import Audit, Settings, audit
from cfaudit.sources.local import beside
from mutations import BY_CATEGORY, EDITS
from mutations.edits import Edit
from rewrites import parsed
from stacks import AS_OF, REFERENCE, rules

TEXT = REFERENCE.read_text(encoding="utf-8")
CASES = [(rule, edit) for rule, edits in EDITS.items() for edit in edits]

# Rules that no edit of the reference can make fail.
EXEMPT = {
    "invalid-template": "asked with --lint only: test_validity.py edits the reference for it",
    "resource-count-out-of-range": "fails already: what the brief asks for takes more resources than it counts on",
}

one_reading = cache(beside)
"""The files beside a template: read, and their code analysed, once for all edits that leave them as they are."""


@pytest.fixture(autouse=True)
def _files_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "beside", one_reading)


@pytest.mark.parametrize(("rule", "edit"), CASES, ids=[f"{rule}: {edit.name}" for rule, edit in CASES])
def test_edit(rule: str, edit: Edit, tmp_path: Path) -> None:
    path = str(edited_handlers(edit, tmp_path) if edit.sources else REFERENCE)
    before = failing_before(TEXT if edit.text else twin())
    result = audited(edited(edit), path)
    assert [(held.rule.id, held.error) for held in result.results if held.error] == []
    assert dangling(result) == set()
    new = {name for name, subjects in failures(result).items() if subjects - before.get(name, set())}
    assert new == {rule} | edit.also


@pytest.mark.parametrize("category", sorted({rule.category for rule in rules()}))
def test_every_rule_has_an_edit(category: str) -> None:
    asked = {rule.id for rule in rules() if rule.category == category}
    assert set(BY_CATEGORY[category]) == asked - set(EXEMPT)


def test_names_tell_edits_apart() -> None:
    assert [rule for rule, edits in EDITS.items() if len({edit.name for edit in edits}) < len(edits)] == []


@cache
def twin() -> str:
    """The reference as JSON, from which edits start that need no comments."""
    return json.dumps(parsed(TEXT))


def edited(edit: Edit) -> str:
    """The template's text after an edit, which changes something."""
    if edit.text:
        return changed(TEXT, edit.text(TEXT))
    template = parsed(TEXT)
    edit.apply(template)
    text = json.dumps(template)
    return text if edit.sources else changed(twin(), text)


def edited_handlers(edit: Edit, folder: Path) -> Path:
    """A copy of the reference with edited handlers."""
    copy = folder / "reference"
    shutil.copytree(REFERENCE.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, change in edit.sources.items():
        handler = copy / "functions" / name / "index.mjs"
        text = handler.read_text(encoding="utf-8")
        handler.write_text(changed(text, change(text)), encoding="utf-8")
    return copy / REFERENCE.name


def changed(before: str, after: str) -> str:
    assert after != before
    return after


@cache
def failing_before(text: str) -> dict[str, set[tuple[str, str | None]]]:
    return failures(audited(text, str(REFERENCE)))


def audited(text: str, path: str) -> Audit:
    return audit(text, path, Settings(as_of=AS_OF), rules())


def dangling(result: Audit) -> set[str]:
    """The names that an edited template refers to and does not declare: CloudFormation would not take it."""
    document = result.template.document
    resources = document.resources.entries
    orders = [
        one.entries["DependsOn"] for one in resources.values() if isinstance(one, Map) and "DependsOn" in one.entries
    ]
    after = {name.text for held in orders for name in strings(held) if isinstance(name, Scalar)}
    missing = {name for value in (document.resources, document.outputs) for name in undeclared(value)}
    return missing | (after - resources.keys() - document.inactive)


def undeclared(value: Value) -> Iterator[str]:
    match value:
        case Unknown(_, parts):
            yield from (part.name for part in parts if isinstance(part, Deferred) and part.kind == "missing")
        case Map(entries):
            for member in entries.values():
                yield from undeclared(member)
        case Seq(items):
            for item in items:
                yield from undeclared(item)
        case _:
            return


def failures(result: Audit) -> dict[str, set[tuple[str, str | None]]]:
    """What fails, by rule: the subject and the property."""
    return {
        held.rule.id: {(finding.subject, finding.property_path) for finding in held.of(Outcome.FAIL)}
        for held in result.results
        if held.of(Outcome.FAIL)
    }
