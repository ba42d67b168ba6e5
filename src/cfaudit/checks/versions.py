"""The question whether callers of a function call a version of it, or whatever was deployed last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.invocations import Target, invoked, sam_events, sam_target
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Span, Value

SHOWN = 5
_RULES = {"AWS::Events::Rule": "Targets.*.Arn", "AWS::Scheduler::Schedule": "Target.Arn"}
_SAM_SCHEDULES = ("CloudWatchEvent", "EventBridgeRule", "Schedule", "ScheduleV2")


class _Call(NamedTuple):
    """Somebody who invokes a function: what it is called, what it names, and where."""

    caller: str
    target: Target
    span: Span


def published_functions(template: Template, facts: Facts) -> Iterator[Finding]:
    """What an API, a rule, a schedule or a workflow invokes must be a version or an alias of a function.

    Every function with such a caller is judged once; it fails when one of them names the function itself or $LATEST.
    `AutoPublishAlias` of SAM makes an alias, which the function's events then invoke. Functions behind custom resources
    are not judged, nor are those that only other kinds of callers invoke. An alias of $LATEST is no version; a
    qualifier that only deploy time knows counts as one. A workflow that cannot be read is no caller. Where a macro may
    add an alias it is unknown.
    """
    unpublished = _unpublished(template)
    held: dict[str, list[_Call]] = {}
    for call in _calls(template):
        held.setdefault(call.target.function, []).append(call)
    for name, calls in held.items():
        function = template.functions.get(name)
        if function is None or name in template.custom_resource_functions:
            continue
        plain = [call for call in calls if call.target.certain and _latest(call.target, unpublished)]
        more = [Evidence(call.span, f"{call.caller} invokes {name}") for call in plain or calls]
        if not plain:
            message = f"callers of {name} invoke a version or an alias of it"
            yield judged(Outcome.PASS, function.resource, None, message, more=more)
            continue
        callers = list(dict.fromkeys(call.caller for call in plain))
        verb, whom = ("invokes", "it") if len(callers) == 1 else ("invoke", "them")
        message = f"{_listed(callers)} {verb} {name} itself: each change of its code reaches {whom} at once"
        outcome = Outcome.UNKNOWN if template.macros else Outcome.FAIL
        yield judged(outcome, function.resource, None, message, more=more)


def _latest(target: Target, unpublished: frozenset[tuple[str, str]]) -> bool:
    return target.qualifier in (None, "$LATEST") or (target.function, target.qualifier) in unpublished


def _unpublished(template: Template) -> frozenset[tuple[str, str]]:
    """The aliases of $LATEST, each with its function."""
    found: set[tuple[str, str]] = set()
    for alias in template.of("AWS::Lambda::Alias"):
        target, version, name = (
            invoked(template, alias.at("FunctionName")),
            alias.at("FunctionVersion"),
            alias.at("Name"),
        )
        if target and isinstance(name, Scalar) and isinstance(version, Scalar) and version.text == "$LATEST":
            found.add((target.function, name.text))
    return frozenset(found)


def _listed(callers: list[str]) -> str:
    more = [f"{len(callers) - SHOWN} more"] if len(callers) > SHOWN else []
    return " and ".join(", ".join([*callers[:SHOWN], *more]).rsplit(", ", 1))


def _calls(template: Template) -> Iterator[_Call]:
    for route in template.routes:
        if route.integration and route.integration.target:
            place = route.integration.uri.span
            yield _Call(route.name, route.integration.target, place)
    for rule in template.of(*_RULES):
        for _, value in rule.each(_RULES[rule.type]):
            yield from _named(template, rule.logical_id, value)
    for function in template.of("AWS::Serverless::Function"):
        for event in sam_events(function, *_SAM_SCHEDULES):
            yield _Call(event.path, sam_target(function), event.span)
    for workflow in template.workflows.values():
        for state, call in workflow.calls:
            if call.function:
                yield _Call(f"{workflow.logical_id} ({state.name})", call.function, state.span)


def _named(template: Template, caller: str, value: Value) -> Iterator[_Call]:
    target = invoked(template, value)
    if target:
        yield _Call(caller, target, value.span)
