"""An application in several templates is judged as the one in a single template is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cfaudit.application import application, joined
from cfaudit.nodes import Source
from cfaudit.pipeline import Settings, audits, template
from cfaudit.report import TemplateObject, template_object
from cfaudit.rule import load_categories
from cfaudit.score import Gate, score
from rewrites import parsed
from splits import nested, siblings
from stacks import AS_OF, AUDITED, REFERENCE, answers, reported, rules


def judged(source: Source, profile: str = "auto") -> TemplateObject:
    audit = audits(source, Settings(as_of=AS_OF, profile=profile), rules())[0]
    return template_object(score(audit, load_categories(), Gate(None)))


def read(path: Path) -> Source:
    return template(path.read_text(encoding="utf-8"), str(path))


# Comments are the text's; what a deployment waits for (DependsOn) cannot stand across templates.
SEEN = {"sparse-comments", "stale-deployment"}


@pytest.mark.parametrize("path", [AUDITED, REFERENCE], ids=lambda path: path.parent.name)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("form", ["nested", "siblings"])
def test_divided_stack(path: Path, count: int, form: str, tmp_path: Path) -> None:
    whole = parsed(path.read_text(encoding="utf-8"))
    names = list(whole["Resources"])
    parts = {f"part{index}": set(names[index::count]) for index in range(count)}
    if form == "nested":
        made = application(read(nested(whole, parts["part0"], tmp_path)))
        prefixes = ["Inner."]
    else:
        made = joined(str(tmp_path), [read(file) for file in sorted(siblings(whole, parts, tmp_path).iterdir())])
        prefixes = [f"{part}." for part in parts]
    if (path.parent / "functions").exists():
        for folder in (tmp_path, tmp_path / "parts") if form == "nested" else (tmp_path,):
            shutil.copytree(path.parent / "functions", folder / "functions")
    report = judged(made)
    assert report["diagnostics"] == []

    def back(subject: str) -> str:
        for prefix in prefixes:
            subject = subject.replace(prefix, "")
        return subject

    found = {(rule, verdict, back(subject)) for rule, verdict, subject in answers(report) if rule not in SEEN}
    assert found == {
        answer for answer in answers(reported(path.read_text(encoding="utf-8"), str(path))) if answer[0] not in SEEN
    }
