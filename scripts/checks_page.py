"""The checks and the model that they ask, as Markdown: what docs/checks.md says below its mark."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Edge, Resource
from cfaudit.model.template import Template
from cfaudit.nodes import (
    Absent,
    Deferred,
    Map,
    Reference,
    Scalar,
    Seq,
    Span,
    Unknown,
    as_text,
    same_text,
    strings,
    truth,
)
from cfaudit.rule import Rule, signature

MARK = "<!-- from here on written by scripts/build_docs.py -->\n"

CLASSES: Mapping[type, tuple[str, ...]] = {
    Template: (
        *("resources", "of", "target", "targets", "edges", "edges_to", "edges_from"),
        *("macros", "span", "excerpt"),
    ),
    Resource: ("logical_id", "type", "span", "at", "each", "attribute", "where", "where_attribute"),
    Edge: ("source", "target", "attribute", "path", "span"),
    Facts: ("as_of", "region", "profile", "requires", "bound", "elsewhere"),
    Finding: (
        *("outcome", "subject", "message", "evidence", "logical_id", "property_path", "salient", "severity"),
        "assumed",
    ),
    Evidence: ("span", "note", "text"),
    Span: ("file", "line", "column", "end_line", "end_column", "to", "point"),
    Scalar: ("text", "span", "kind"),
    Seq: ("items", "span"),
    Map: ("entries", "keys", "span"),
    Unknown: ("span", "parts", "references", "deferred", "mentions", "known_text"),
    Reference: ("logical_id", "attribute"),
    Deferred: ("kind", "name", "mentions"),
    Absent: ("span",),
}
FUNCTIONS: tuple[Callable[..., object], ...] = (judged, truth, as_text, strings, same_text)


def page(held: str, checks: Mapping[str, Callable[..., object]], rules: tuple[Rule, ...]) -> str:
    """The page with everything below its mark written anew."""
    written = "\n".join((*_surface(), "", *_checks(checks, rules)))
    return held.partition(MARK)[0] + MARK + "\n" + written.rstrip() + "\n"


def _surface() -> Iterator[str]:
    yield "## What a check may use\n"
    for held, names in CLASSES.items():
        yield f"### `{held.__name__}`\n"
        yield f"`from {held.__module__} import {held.__name__}`\n\n{_said(held)}\n"
        yield from (_member(held, name) for name in names)
        yield ""
    outcomes = ", ".join(f"`Outcome.{outcome.name}`" for outcome in Outcome if outcome is not Outcome.WAIVED)
    yield f"### `Outcome`\n\n`from {Outcome.__module__} import Outcome`\n\nA check says {outcomes}.\n"
    yield "### Functions\n"
    for function in FUNCTIONS:
        yield f"- `{_shown(function.__name__, function)}`, of `{function.__module__}`: {_said(function)}"


def _member(owner: type, name: str) -> str:
    found = inspect.getattr_static(owner, name, None)
    if inspect.isfunction(found):
        return f"- `{_shown(name, found)}`: {_said(found)}"
    asked = getattr(found, "fget", None) or getattr(found, "func", None)
    if asked is not None and asked.__doc__:
        return f"- `{name}: {inspect.signature(asked).return_annotation}`: {_said(asked)}"
    annotations: dict[str, object] = {}
    for base in reversed(owner.__mro__):
        annotations |= vars(base).get("__annotations__", {})
    annotation = annotations[name]
    return f"- `{name}: {annotation if isinstance(annotation, str) else annotation.__forward_arg__}`"


def _shown(name: str, function: Callable[..., object]) -> str:
    shown = inspect.signature(function)
    kept = [held for held in shown.parameters.values() if held.name != "self"]
    return name + re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(shown.replace(parameters=kept)))


def _said(held: object) -> str:
    """A docstring as one paragraph."""
    return " ".join((inspect.getdoc(held) or "").replace("``", "`").split())


def _checks(checks: Mapping[str, Callable[..., object]], rules: tuple[Rule, ...]) -> Iterator[str]:
    yield f"## The built-in checks\n\n{len(checks)} kinds of questions, and the rules that ask them.\n"
    for name, function in sorted(checks.items()):
        yield f"### `{name}`\n\n{(inspect.getdoc(function) or '').replace('``', '`')}\n"
        arguments = signature(function)
        if arguments:
            yield "| Argument | Type | |\n| --- | --- | --- |"
            for argument, (annotation, required) in arguments.items():
                shown = annotation.replace("|", "\\|")
                yield f"| `{argument}` | `{shown}` | {'needed' if required else 'may be left out'} |"
            yield ""
        users = [f"[`{rule.id}`](rules/{rule.id}.md)" for rule in rules if rule.check == name]
        yield f"Asked by {', '.join(users)}.\n" if users else "No built-in rule asks it.\n"
