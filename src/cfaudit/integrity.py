"""A template in, diagnostics out: names that nothing declares, circular conditions, loops left over, macros.

CloudFormation refuses all but the last. Each name is told once, where it stands first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.expand import LOOP, SECTIONS, TRANSFORM, extends
from cfaudit.nodes import Call, Diagnostic, Map, Node, Scalar, Seq, Source, Span
from cfaudit.resolve import PSEUDO_PARAMETERS, holes, is_pseudo, may_be_declared, rewriting


class _Use(NamedTuple):
    """A name in a place that takes one: what names it, and whether it names a condition or must name a resource."""

    how: str
    name: str
    span: Span
    of: str


def diagnose(source: Source) -> tuple[Diagnostic, ...]:
    """What CloudFormation refuses in a template whose loops are expanded, and what may change before it is deployed."""
    conditions = _members(source, "Conditions")
    refused = (*_undeclared(source, conditions), *_circular(source, conditions), *_unprocessed(source))
    return tuple(sorted((*refused, *_rewritten(source)), key=lambda diagnostic: diagnostic.span))


def _members(source: Source, section: str) -> Mapping[str, Node]:
    members = source.root.entries.get(section)
    return members.entries if isinstance(members, Map) else {}


# Names ---------------------------------------------------------------------------------------------------------------


def _undeclared(source: Source, conditions: Mapping[str, Node]) -> Iterator[Diagnostic]:
    resources = _members(source, "Resources").keys()
    values = {*resources, *_members(source, "Parameters"), *PSEUDO_PARAMETERS, "AWS::NoValue"}
    section = source.root.entries.get("Conditions")
    open_ = isinstance(section, Call) or any(name.startswith("Fn::") for name in conditions)
    told: set[tuple[str, str]] = set()
    for use in sorted(_uses(source, conditions), key=lambda use: use.span):
        known: Iterable[str] = {"condition": conditions, "resource": resources}.get(use.of, values)
        if use.name in known or is_pseudo(use.name, source) or (use.of, use.name) in told:
            continue
        head = use.name.partition(".")[0]
        if use.of == "condition":
            hidden = open_ or any(loop.makes(use.name) for loop in source.loops)
        else:
            hidden = head in resources or any(may_be_declared(name, source) for name in (head, use.name))
        if not hidden and not ("${" in use.name and extends(source)):
            told.add((use.of, use.name))
            yield Diagnostic("warning", _said(use, known), use.span)


def _said(use: _Use, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    what = {"condition": "condition", "resource": "resource"}.get(use.of, "resource or parameter")
    said = f"{use.how} names {use.name!r}, but the template declares no such {what}"
    close = get_close_matches(use.name, list(known), 1, 0.6)
    if close:
        return f"{said}; did you mean {close[0]!r}?"
    return f"{said}; ${{!{use.name}}} would be text" if use.how == "Fn::Sub" else said


def _uses(source: Source, conditions: Mapping[str, Node]) -> Iterator[_Use]:
    for name, node in conditions.items():
        if not name.startswith(LOOP):
            yield from _asked(node)
            yield from _walked(node)
    for section in ("Resources", "Outputs", "Globals"):
        for name, member in _members(source, section).items():
            if name.startswith("Fn::"):
                continue
            yield from _walked(member)
            if isinstance(member, Map) and section != "Globals":
                yield from _attributes(member)


def _attributes(member: Map[Node]) -> Iterator[_Use]:
    condition = member.entries.get("Condition")
    if isinstance(condition, Scalar):
        yield _Use("Condition", condition.text, condition.span, "condition")
    on = member.entries.get("DependsOn")
    for item in on.items if isinstance(on, Seq) else (on,):
        if isinstance(item, Scalar):
            yield _Use("DependsOn", item.text, item.span, "resource")


def _asked(node: Node) -> Iterator[_Use]:
    """The conditions that a condition asks."""
    match node:
        case Call("Condition", Scalar(name, span)) | Map({"Condition": Scalar(name, span)}):
            yield _Use("Condition", name, span, "condition")
        case Call("Fn::And" | "Fn::Or" | "Fn::Not", Seq(items)):
            for item in items:
                yield from _asked(item)


def _walked(node: Node) -> Iterator[_Use]:
    """Every name below a node; what a macro is given is its own affair."""
    stack = [node]
    while stack:
        held = stack.pop()
        if isinstance(held, Map):
            for name, member in held.entries.items():
                if not isinstance(member, Scalar) and name != "Fn::Transform" and not name.startswith(LOOP):
                    stack.append(member)
        elif isinstance(held, Seq):
            stack.extend(item for item in held.items if not isinstance(item, Scalar))
        elif isinstance(held, Call) and held.known and held.name != "Fn::Transform":
            yield from _named(held)
            stack.append(held.argument)


def _named(call: Call) -> Iterator[_Use]:
    match call:
        case Call("Ref", Scalar(name, span)):
            yield _Use("Ref", name, span, "value")
        case Call("Fn::GetAtt", Scalar(name, span)):
            yield _Use("Fn::GetAtt", name.partition(".")[0], span, "resource")
        case Call("Fn::GetAtt", Seq((Scalar(name, span), *_))):
            yield _Use("Fn::GetAtt", name, span, "resource")
        case Call("Fn::If", Seq((Scalar(name, span), *_))):
            yield _Use("Fn::If", name, span, "condition")
        case Call("Fn::Sub", Scalar(text, span)):
            yield from (_Use("Fn::Sub", name, span, "value") for name in holes(text))
        case Call("Fn::Sub", Seq((Scalar(text, span), Map(own)))):
            yield from (_Use("Fn::Sub", name, span, "value") for name in holes(text) if name not in own)


# Conditions ----------------------------------------------------------------------------------------------------------


def _circular(source: Source, conditions: Mapping[str, Node]) -> Iterator[Diagnostic]:
    """One diagnostic per circle, at its first condition."""
    asked = {name: [use.name for use in _asked(node)] for name, node in conditions.items()}
    section = source.root.entries["Conditions"] if conditions else None
    done: set[str] = set()
    for start in asked:
        circle = _circle(start, asked, done)
        if circle and isinstance(section, Map):
            path = " → ".join([*circle, circle[0]])
            message = f"the condition {circle[0]} rests on itself: {path}"
            yield Diagnostic("warning", message, section.keys[circle[0]], "let one of them ask parameters only")


def _circle(start: str, asked: Mapping[str, list[str]], done: set[str]) -> list[str]:
    """The first circle that a walk from ``start`` meets; ``done`` are the conditions that were walked."""
    path: list[str] = []
    ahead = [iter([start])]
    while ahead:
        name = next(ahead[-1], None)
        if name is None:
            ahead.pop()
            if path:
                path.pop()
        elif name in path:
            return path[path.index(name) :]
        elif name in asked and name not in done:
            done.add(name)
            path.append(name)
            ahead.append(iter(asked[name]))
    return []


# Loops ---------------------------------------------------------------------------------------------------------------


def _unprocessed(source: Source) -> Iterator[Diagnostic]:
    """The first loop of a template that does not ask for what would process it."""
    if extends(source):
        return
    for section in SECTIONS:
        members = source.root.entries.get(section)
        for name in members.entries if isinstance(members, Map) else ():
            if name.startswith(LOOP) and isinstance(members, Map):
                message = f"{name} is not expanded: only {TRANSFORM} does so, and Transform does not name it"
                yield Diagnostic("warning", message, members.keys[name])
                return


# Macros --------------------------------------------------------------------------------------------------------------


def _rewritten(source: Source) -> Iterator[Diagnostic]:
    for name, span in rewriting(source.root):
        message = f"the macro {name} may rewrite the template: what it says is judged as it stands, the rest is unknown"
        yield Diagnostic("info", message, span)
