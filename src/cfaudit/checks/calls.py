"""The question whether a function's role allows what its code calls."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.checks.key_access import missing_right
from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.functions import Function
from cfaudit.model.template import Template
from cfaudit.model.triangle import Pair, borrowed, triangle


def calls_allowed(template: Template, facts: Facts) -> Iterator[Finding]:
    """What a function's code calls through an AWS SDK, its role must allow, on the resource that the call names.

    Judged are functions whose code can be read and whose role is declared here, by the IAM actions that authorise each
    call. Which resource a call names is followed through literals, environment variables and references in inline
    code; where it cannot be told, an action passes that some policy allows on something, and fails that none does.
    Policies of the resource itself that name the role count as allowing. Unknown: policies that the template does not
    show, macros, code that takes on the rights of another role, and functions that serve custom resources, whose
    properties decide what they do. What a permissions boundary takes away is not
    looked at.
    """
    for function in template.functions.values():
        needed = [pair for pair in triangle(template, function) if pair.called]
        if needed:
            yield _judged(template, facts, function, needed)


def _judged(template: Template, facts: Facts, function: Function, needed: list[Pair]) -> Finding:
    name, role = function.logical_id, function.role
    lacking = [pair for pair in needed if pair.answer == "lacks"]
    if not lacking:
        open_ = [pair for pair in needed if pair.answer == "open"]
        return _allowed(function, open_ or needed, decided=not open_)
    named = listed(_told(pair) for pair in lacking)
    lines = [_call(name, pair) for pair in lacking]
    lines += [Evidence(pair.granted, f"allowed, but not on {pair.resource}") for pair in lacking if pair.granted]
    lines.append(Evidence(template.principals[function.principal or ""].resource.span, f"{name} runs as {role}"))
    outcome, doubt = missing_right(template, facts)
    if name in template.custom_resource_functions:
        outcome, doubt = Outcome.UNKNOWN, "; its custom resources may never ask for that"
    code = template.code[name]
    taken = borrowed(code)
    if taken:
        outcome, doubt = Outcome.UNKNOWN, ", unless it calls with the rights of another role"
        lines.append(Evidence(taken, "takes on other rights"))
    message = f"{name} calls what needs {named}, but {role} does not allow it{doubt}"
    return judged(
        outcome,
        function.resource,
        None,
        message,
        span=lines[0].span,
        note=lines[0].note,
        more=lines[1:],
        salient=",".join(sorted(_told(pair) for pair in lacking)),
    )


def _allowed(function: Function, pairs: list[Pair], *, decided: bool) -> Finding:
    name, role = function.logical_id, function.role
    lines = [_call(name, pair) for pair in pairs]
    lines += [Evidence(pair.granted, f"{role} may {pair.action}") for pair in pairs if pair.granted]
    named = listed(_told(pair) for pair in pairs)
    if decided:
        message = f"{role} allows all that {name} calls: {named}"
        outcome = Outcome.PASS
    else:
        message = f"whether {role} allows {named} for {name} is known only at deploy time"
        outcome = Outcome.UNKNOWN
    first, *more = lines
    return judged(outcome, function.resource, None, message, span=first.span, note=first.note, more=more)


def _call(function: str, pair: Pair) -> Evidence:
    return Evidence(pair.place, f"{function} needs {_told(pair)}")


def _told(pair: Pair) -> str:
    return f"{pair.action} on {pair.resource}" if pair.resource else pair.action
