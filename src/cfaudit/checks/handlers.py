"""The question whether a function that several kinds of sources invoke is told which one it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import setting
from cfaudit.model.declarations import Resource
from cfaudit.model.integrations import is_expression
from cfaudit.model.states import State
from cfaudit.model.template import Template
from cfaudit.model.wires import Wire
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value

_SHAPE_WORDS = ("httpMethod", "requestContext", "routeKey", "rawPath", "detail-type", "Records", "eventSource")
"""Members that only events of AWS have: code that reads one can tell them from other input."""

_WAYS = ("event", "mapping", "property", "route", "state")
"""How the template says that something invokes a function, and not only that it may."""


class _Source(NamedTuple):
    """What invokes a function.

    ``told``: its input says where it comes from; ``shaped``: its events have a form of AWS's own.
    """

    kind: str
    name: str
    span: Span
    told: bool
    shaped: bool

    @property
    def silent(self) -> bool:
        """Whether the template could have its input say where it comes from, and does not."""
        return not self.told and self.kind in ("rule", "schedule", "workflow")


def told_apart(template: Template, facts: Facts, *, kinds: Mapping[str, str]) -> Iterator[Finding]:
    """A function that different kinds of sources invoke must be able to tell from its input which one it was.

    Sources are routes of an API, rules and schedules, states of workflows, queues, streams, topics, buckets,
    function URLs and what else of the listed services invokes the function. A rule or a schedule says it by an Input
    or an InputTransformer, a state by a Payload (or Parameters) that the definition writes, or by what a Pass state
    before it writes. Events of APIs and of services have forms of AWS's own. A function passes when at most one kind of
    sources says nothing, because everything else can be told from that, and when only rules and schedules say nothing:
    EventBridge's own events name their source. It fails when several kinds say nothing and one of them has no form
    either, a state that hands on what it was given or a part of an event that InputPath selects, and the code can be
    read and reads no member that only AWS's events have. Where the code cannot be read, that is unknown. Functions with
    one kind of sources are not judged.
    """
    for function in template.functions:
        wires = [wire for wire in template.wiring.into(function, "invokes") if wire.certain and wire.way in _WAYS]
        known = [(wire, kind) for wire in wires if (kind := _kind(wire, kinds))]
        sources = [_source(template, wire, kind) for wire, kind in known]
        sources.sort(key=lambda source: (source.span.line, source.span.column))
        if len({source.kind for source in sources}) > 1:
            yield _judged(template, function, sources)


def _judged(template: Template, function: str, sources: list[_Source]) -> Finding:
    kinds = list(dict.fromkeys(source.kind for source in sources))
    invoked_by = f"{', '.join(f'{_article(kind)} {kind}' for kind in kinds[:-1])} and {_article(kinds[-1])} {kinds[-1]}"
    silent = [source for source in sources if source.silent]
    bare = [source for source in silent if not source.shaped]
    shown = silent if bare and len({source.kind for source in silent}) > 1 else sources
    names = " or ".join(dict.fromkeys(source.name for source in shown))
    more = tuple(Evidence(source.span, f"{source.name} invokes it") for source in shown[1:])
    own = template.functions[function].resource
    more += (Evidence(own.span, "the function"),)
    word = _reads_form(template, function)
    if shown is sources:
        outcome, message = Outcome.PASS, f"{function} is invoked by {invoked_by}, and their events differ"
    elif word:
        outcome, message = Outcome.PASS, f"{function} is invoked by {invoked_by}, and its code tells them apart"
        more += (Evidence(word, "a member that only AWS's events have"),)
    else:
        certain = _is_read(template, function)
        outcome = Outcome.FAIL if certain else Outcome.UNKNOWN
        message = f"{function} is invoked by {invoked_by}, and no input of {names} says which"
        message += "" if certain else "; whether its code tells them apart cannot be read here"
    return Finding(
        outcome=outcome,
        subject=function,
        message=message,
        evidence=(Evidence(shown[0].span, f"{shown[0].name} invokes it"), *more),
        logical_id=function,
    )


def _article(kind: str) -> str:
    return "an" if kind[0] in "AEIOaeio" else "a"


def _reads_form(template: Template, function: str) -> Span | None:
    """Where readable code reads a member that only AWS's events have."""
    code = template.code.get(function)
    words = code.words if code and code.readable else {}
    return next((words[word] for word in _SHAPE_WORDS if word in words), None)


def _is_read(template: Template, function: str) -> bool:
    code = template.code.get(function)
    return bool(code and code.complete)


# Sources -------------------------------------------------------------------------------------------------------------


def _kind(wire: Wire, kinds: Mapping[str, str]) -> str | None:
    """The kind of what invokes; Lambda itself does for what it polls, for a URL and for another function's results."""
    if wire.service == "lambda" and wire.way == "property":
        return "function URL" if wire.via == "TargetFunctionArn" else "destination"
    return "function URL" if wire.via == "its function URL" else kinds.get(wire.service)


def _source(template: Template, wire: Wire, kind: str) -> _Source:
    """What a wire says of the source, by how the template says it."""
    match wire.way:
        case "state":
            return _of_state(template, wire, kind)
        case "route":
            return _Source(kind, wire.via, wire.span, told=False, shaped=True)
        case "event":
            name = wire.via.removeprefix("event ")
            owner = template.resources[wire.target]
            return _of_input(wire, kind, name, owner, f"Events.{name}.Properties")
        case _:
            owner = template.resources[wire.source]
            return _of_input(wire, kind, wire.source, owner, wire.via.rpartition(".")[0])


def _of_input(wire: Wire, kind: str, name: str, owner: Resource, path: str) -> _Source:
    """A source with an input of its own (a rule, a schedule), which stands under a path; else one with AWS's form."""
    if wire.service not in ("events", "scheduler"):
        return _Source(kind, name, wire.span, told=False, shaped=True)
    given = {key: setting(owner, f"{path}.{key}").value for key in ("Input", "InputPath", "InputTransformer")}
    told = any(not isinstance(given[key], Absent) for key in ("Input", "InputTransformer"))
    selected = given["InputPath"]
    whole = isinstance(selected, Absent) or (isinstance(selected, Scalar) and selected.text == "$")
    span = wire.span if wire.way == "event" else owner.where(path)
    return _Source(kind, name, span, told=told, shaped=whole)


def _of_state(template: Template, wire: Wire, kind: str) -> _Source:
    workflow = template.workflows[wire.source]
    state, call = next((state, call) for state, call in workflow.calls for act in call.acts if act.span == wire.span)
    if call.integration.kind == "function":
        sent, span = state.arguments, state.where("Parameters")
    else:
        argument = state.argument("Payload")
        sent, span = argument.value, argument.span
    told = _is_written(sent) or any(_writes(found) for found in workflow.states.values())
    return _Source(kind, f"{state.name} of {workflow.logical_id}", span, told=told, shaped=False)


def _is_written(sent: Value) -> bool:
    """Whether the definition itself says what a function is given, rather than hand on what the state was given."""
    match sent:
        case Map():
            return True
        case Scalar(text):
            plain = text.strip().removeprefix("{%").removesuffix("%}").strip()
            return plain not in ("$", "$states.input") and is_expression(sent)
        case Unknown():
            return True
        case Absent():
            return False
        case _:
            return True


def _writes(state: State) -> bool:
    """Whether a state writes something into the data that later states hand on."""
    names = ("Result", "Parameters", "Output")
    return state.type == "Pass" and any(not isinstance(state.at(name), Absent) for name in names)
