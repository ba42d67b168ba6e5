"""rules/manual-steps.yaml and a Template in, the steps that a person must take, and those that somebody wrote down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Grant
from cfaudit.model.reliance import Naming, grants, naming, workloads
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Scalar, Seq, Span, Unknown, Value
from cfaudit.rule import RULES, Plain, RuleError, table
from cfaudit.sources.brought import Document

TABLE = RULES / "manual-steps.yaml"


class Step(NamedTuple):
    """Something no template can do.

    Needed by a resource of one of ``types`` (where the property at ``where[type]`` has one of ``values``) unless a
    resource of ``automated_by`` refers to it; where none is declared, by a grant of one of ``actions``; and when one
    of ``rules`` fails. ``before_create``: creating the stack fails until it is taken. ``words`` are phrases by which
    documents speak of it.
    """

    id: str
    text: str
    command: str
    verify: str
    types: tuple[str, ...]
    rules: tuple[str, ...]
    actions: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    values: tuple[str, ...] = ()
    automated_by: tuple[str, ...] = ()
    before_create: bool = False
    words: tuple[str, ...] = ()


class Need(NamedTuple):
    """A resource that makes a step necessary, the text that says so, and whether that is certain."""

    step: Step
    resource: Resource
    span: Span
    certain: bool


@cache
def load_steps() -> tuple[Step, ...]:
    """The steps in the table's order. Raises ``RuleError`` for a malformed table."""
    rows = table(TABLE)
    if not isinstance(rows, dict):
        raise RuleError(TABLE, 1, "manual steps are a map of id to step")
    return tuple(_step(name, row) for name, row in rows.items())


_LISTS = ("types", "rules", "actions", "values", "automated_by", "words")
_TEXTS = ("text", "command", "verify")
_FIELDS = (*_LISTS, *_TEXTS, "where", "before_create")


def _step(name: str, row: Plain) -> Step:
    if (
        not isinstance(row, dict)
        or set(row) - {*_LISTS, *_TEXTS, "where", "before_create"}
        or not all(row.get(key) for key in _TEXTS)
    ):
        raise RuleError(TABLE, 1, f"the step {name!r} has text, command and verify, and may have where, {_LISTS}")
    where = row.get("where") or {}
    lists = {key: value if isinstance(value := row.get(key) or [], list) else [value] for key in _LISTS}
    types, rules, actions, values, automated_by, words = (tuple(str(word) for word in lists[key]) for key in _LISTS)
    paths = tuple((kind, str(path)) for kind, path in where.items()) if isinstance(where, dict) else ()
    text, command, verify = (" ".join(str(row[key]).split()) for key in _TEXTS)
    first = row.get("before_create") is True
    return Step(name, text, command, verify, types, rules, actions, paths, values, automated_by, first, words)


def needed(template: Template, steps: tuple[Step, ...]) -> Iterator[tuple[Step, Resource]]:
    """The steps that the template certainly leaves to a person, and each resource that makes one necessary."""
    for need in needs(template, steps):
        if need.certain:
            yield need.step, need.resource


def needs(template: Template, steps: tuple[Step, ...]) -> Iterator[Need]:
    """The same with the lines that say so, and those that only deploy time can decide."""
    running = workloads(template)
    for step in steps:
        declared = list(template.of(*step.types))
        for resource in declared:
            yield from _declared(template, step, resource)
        for grant in grants(template, step.actions) if not declared else ():
            certain = grant.principal.logical_id in running and not _elsewhere(template, step, grant)
            yield Need(step, grant.principal.resource, grant.action.span, certain)


def _elsewhere(template: Template, step: Step, grant: Grant) -> bool:
    """Whether a grant names a resource of another stack, whose step it then is."""
    service = grant.action.text.partition(":")[0].lower()
    named = [naming(template, element, service, step.types) for element in grant.statement.resources]
    return Naming.ELSEWHERE in named or Naming.LITERAL in named


def _declared(template: Template, step: Step, resource: Resource) -> Iterator[Need]:
    edges = template.edges_to.get(resource.logical_id, ())
    if any(template.resources[edge.source].type in step.automated_by for edge in edges):
        return
    path = dict(step.where).get(resource.type)
    if path is None:
        yield Need(step, resource, resource.span, True)
        return
    for _, value in resource.each(path):
        if isinstance(value, Unknown):
            yield Need(step, resource, value.span, False)
        elif isinstance(value, Scalar) and value.text.lower() in step.values:
            yield Need(step, resource, value.span, True)


def documented(template: Template) -> Mapping[str, Span]:
    """The ids of the steps that ``Metadata.cfaudit.manual_steps`` names, at the top level or on a resource."""
    found: dict[str, Span] = {}
    listed = [words.entries.get("manual_steps") for _, words in template.words() if isinstance(words, Map)]
    listed += [resource.attribute("Metadata.cfaudit.manual_steps") for resource in template.resources.values()]
    for value in listed:
        for entry in value.items if isinstance(value, Seq) else ():
            name = entry.entries.get("id") if isinstance(entry, Map) else None
            if isinstance(name, Scalar):
                found.setdefault(name.text, _entry_span(entry, name))
    return found


class Said(NamedTuple):
    """A line of a document that speaks of a step."""

    span: Span
    text: str


_ITEM = re.compile(r"\s*(?:#{1,6}|[-*+•]|\d{1,9}[.)])\s+")
_UNDERLINE = re.compile(r"\s*(?:=+|-+)\s*")


def described(step: Step, documents: Iterable[Document]) -> Said | None:
    """The first line of the documents that speaks of a step, None where none does.

    It has the step's id or its command, or is a heading or a list item with all words of one of the step's phrases;
    ``verif*`` is verify, verified and verification.
    """
    command = " ".join(step.command.split()[:3])
    named = re.compile(rf"(?<![\w-])(?:{re.escape(step.id)}|{re.escape(command)})(?![\w-])", re.IGNORECASE)
    phrases = [[_word(word) for word in said.split()] for said in step.words]
    for document in documents:
        following = (*document.lines[1:], "")
        for number, (line, after) in enumerate(zip(document.lines, following, strict=True), 1):
            spoken = _ITEM.match(line) or (line.strip() and _UNDERLINE.fullmatch(after))
            if named.search(line) or (spoken and any(all(word.search(line) for word in each) for each in phrases)):
                text = line.strip()
                column = line.index(text) + 1
                return Said(Span(document.path, number, column, number, column + len(text)), text)
    return None


def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word.rstrip('*'))}" + ("" if word.endswith("*") else r"\b"), re.IGNORECASE)


def _entry_span(entry: Value, name: Scalar) -> Span:
    return entry.keys["id"].to(name.span) if isinstance(entry, Map) and "id" in entry.keys else name.span
