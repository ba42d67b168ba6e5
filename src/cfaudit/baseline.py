"""Findings and a baseline in, the findings that it knows marked out: old gaps stay visible and scored, not gated.

What a fingerprint holds of a finding stays the same while lines move, members change places and YAML becomes JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cfaudit.config import find_config
from cfaudit.finding import Finding, Outcome, Result, Severity
from cfaudit.load import load_document
from cfaudit.nodes import Map, Node, Scalar, Seq, Span, TemplateError
from cfaudit.rule import nearest
from cfaudit.waive import Catalogue

NAME = "cfaudit-baseline.json"
VERSION = 1
FIELDS = ("fingerprint", "rule", "path", "subject", "message")

_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


class Entry(NamedTuple):
    """A gap that is known, its template's path from the project's root; ``span`` is where that is written."""

    fingerprint: str
    rule: str
    path: str
    subject: str
    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Baseline:
    """The known gaps of a project, by fingerprint and by template; ``path`` is the file."""

    path: str
    entries: Mapping[str, Entry]
    by_template: Mapping[str, Sequence[Entry]]


# Fingerprints --------------------------------------------------------------------------------------------------------


def fingerprint(rule: str, finding: Finding, path: str) -> str:
    """16 hex digits of a finding of a rule, under any of the rule's names, in the template at a path from the root."""
    pieces = (rule, path, finding.logical_id or finding.subject, finding.property_path or "", finding.salient)
    return hashlib.sha256("\0".join(pieces).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def from_project_root(path: str) -> str:
    """The path from the project's root; from the working directory where there is none, else as given."""
    resolved = Path(path).resolve()
    root = project_root(resolved.parent) or Path.cwd()
    return (resolved.relative_to(root) if resolved.is_relative_to(root) else Path(path)).as_posix()


@cache
def project_root(folder: Path) -> Path | None:
    """The nearest directory upwards that holds a configuration or ``.git``."""
    config = find_config(folder)
    for candidate in (folder, *folder.parents):
        if (config is not None and candidate == config.parent) or (candidate / ".git").exists():
            return candidate
    return None


# What is known -------------------------------------------------------------------------------------------------------


def marked(results: Iterable[Result], baseline: Baseline, path: str) -> tuple[Result, ...]:
    """The results of the template at ``path``, their gaps that the baseline has marked as known."""
    named = from_project_root(path)
    return tuple(
        result._replace(findings=tuple(_marked(result, finding, baseline, named) for finding in result.findings))
        for result in results
    )


def _marked(result: Result, finding: Finding, baseline: Baseline, path: str) -> Finding:
    if finding.outcome is not Outcome.FAIL or (finding.severity or result.rule.severity) is Severity.INFO:
        return finding
    known = not baseline.entries.keys().isdisjoint(_marks(result, path, finding))
    return replace(finding, known=True) if known else finding


def stale(
    audited: Sequence[Sequence[Result]], baseline: Baseline, path: str, catalogue: Catalogue
) -> tuple[Entry, ...]:
    """The entries of the template at ``path`` that no scenario has any more; a rule that was not judged keeps its own.

    A gap that is waived or cannot be decided now is still there.
    """
    named = from_project_root(path)
    judged = {result.rule.id for results in audited for result in results if result.error is None}
    there = {
        mark
        for results in audited
        for result in results
        for finding in result.findings
        if finding.outcome is not Outcome.PASS
        for mark in _marks(result, named, finding)
    }
    return tuple(
        entry
        for entry in baseline.by_template.get(named, ())
        if entry.fingerprint not in there and catalogue.ids.get(entry.rule) in {*judged, None}
    )


def _marks(result: Result, path: str, finding: Finding) -> Iterator[str]:
    """The fingerprints of a finding under its rule's present name and the former ones."""
    return (fingerprint(name, finding, path) for name in (result.rule.id, *result.rule.aliases))


# The file ------------------------------------------------------------------------------------------------------------


def written(entries: Iterable[Entry]) -> str:
    """The text of a baseline: sorted, so that the same gaps are the same bytes, and nothing in it unseen."""
    ordered = sorted(entries, key=lambda entry: (entry.path, entry.rule, entry.subject, entry.fingerprint))
    findings = [dict(zip(FIELDS, entry, strict=False)) for entry in ordered]
    text = json.dumps({"schema": VERSION, "findings": findings}, ensure_ascii=False, indent=2)
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def load_baseline(text: str, path: str) -> Baseline:
    """The baseline in ``text``. Raises ``TemplateError`` for what is none."""
    root = load_document(text, path)
    if not isinstance(root, Map):
        raise TemplateError(root.span, "a baseline is a map", "'cfaudit baseline create' writes one")
    _known_keys(root, ("schema", "findings"), "a baseline")
    version = root.entries.get("schema")
    if not isinstance(version, Scalar) or (version.kind, version.text) != ("int", str(VERSION)):
        where = version.span if version else root.span
        raise TemplateError(
            where, f"a baseline has 'schema': {VERSION}", "another version of cfaudit may have written it"
        )
    listed = root.entries.get("findings")
    if not isinstance(listed, Seq):
        raise TemplateError(listed.span if listed else root.span, "findings is a list", "an empty one is []")
    entries: dict[str, Entry] = {}
    by_template: dict[str, list[Entry]] = {}
    for entry in map(_entry, listed.items):
        if entry.fingerprint in entries:
            hint = f"the other is in line {entries[entry.fingerprint].span.line}; keep one"
            raise TemplateError(entry.span, f"the fingerprint {entry.fingerprint} is there twice", hint)
        entries[entry.fingerprint] = entry
        by_template.setdefault(entry.path, []).append(entry)
    return Baseline(path, entries, by_template)


def _entry(node: Node) -> Entry:
    if not isinstance(node, Map):
        raise TemplateError(node.span, "an entry is a map", f"it has {', '.join(FIELDS)}")
    _known_keys(node, FIELDS, "an entry")
    texts = [_text(node, field) for field in FIELDS]
    if not re.fullmatch("[0-9a-f]{16}", texts[0]):
        where = node.entries["fingerprint"].span
        raise TemplateError(where, "a fingerprint is 16 hex digits", "'cfaudit baseline update' writes it")
    return Entry(texts[0], texts[1], texts[2], texts[3], texts[4], node.span)


def _text(node: Map[Node], field: str) -> str:
    value = node.entries.get(field)
    if not isinstance(value, Scalar) or value.kind != "str":
        where = value.span if value else node.span
        raise TemplateError(where, f"an entry has a text {field}", f"it has {', '.join(FIELDS)}")
    return value.text


def _known_keys(node: Map[Node], known: tuple[str, ...], what: str) -> None:
    for key, span in node.keys.items():
        if key not in known:
            raise TemplateError(span, f"{key!r} is no key of {what}", nearest(key, known))
