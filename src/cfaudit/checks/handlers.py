"""The question whether a function that several kinds of sources invoke is told which one it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import below, setting
from cfaudit.model.declarations import Resource
from cfaudit.model.integrations import ServiceCall, is_expression
from cfaudit.model.invocations import Event, invoked, sam_events
from cfaudit.model.states import State
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value

_SHAPE_WORDS = ("httpMethod", "requestContext", "routeKey", "rawPath", "detail-type", "Records", "eventSource")
"""Members that only events of AWS have: code that reads one can tell them from other input."""

_EVENT_KINDS = {
    "AlexaSkill": "Alexa",
    "CloudWatchEvent": "rule",
    "CloudWatchLogs": "log subscription",
    "Cognito": "user pool",
    "DocumentDB": "stream",
    "DynamoDB": "stream",
    "EventBridgeRule": "rule",
    "IoTRule": "IoT rule",
    "Kinesis": "stream",
    "MQ": "queue",
    "MSK": "stream",
    "S3": "bucket",
    "SNS": "topic",
    "SQS": "queue",
    "Schedule": "rule",
    "ScheduleV2": "schedule",
    "SelfManagedKafka": "stream",
}
"""SAM's events of a function; those of APIs are routes."""


class _Source(NamedTuple):
    """What invokes a function.

    ``told``: its input says where it comes from; ``shaped``: its events have a form of AWS's own.
    """

    kind: str
    name: str
    resource: Resource
    span: Span
    told: bool
    shaped: bool

    @property
    def silent(self) -> bool:
        """Whether the template could have its input say where it comes from, and does not."""
        return not self.told and self.kind in ("rule", "schedule", "workflow")


def told_apart(
    template: Template, facts: Facts, *, paths: Mapping[str, tuple[str, ...]], kinds: Mapping[str, str]
) -> Iterator[Finding]:
    """A function that different kinds of sources invoke must be able to tell from its input which one it was.

    Sources are routes of an API, rules and schedules, states of workflows, queues, streams, topics, buckets and the
    other listed properties. A rule or a schedule says it by an Input or an InputTransformer, a state by a Payload (or
    Parameters) that the definition writes, or by what a Pass state before it writes. Events of APIs and of services
    have forms of AWS's own. A function passes when at most one kind of sources says nothing, because everything else
    can be told from that, and when only rules and schedules say nothing: EventBridge's own events name their source. It
    fails when several kinds say nothing and one of them has no form either, a state that hands on what it was given or
    a part of an event that InputPath selects, and the code can be read and reads no member that only AWS's events have.
    Where the code cannot be read, that is unknown. Functions with one kind of sources are not judged.
    """
    found: dict[str, list[_Source]] = {}
    for function, source in _sources(template, paths, kinds):
        found.setdefault(function, []).append(source)
    for function, sources in found.items():
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


def _sources(
    template: Template, paths: Mapping[str, tuple[str, ...]], kinds: Mapping[str, str]
) -> Iterator[tuple[str, _Source]]:
    """Every declared function that something invokes, with what invokes it."""
    for resource in template.of(*paths):
        for pattern in paths[resource.type]:
            for path, value in resource.each(pattern):
                target = invoked(template, value)
                if target:
                    yield target.function, _of_resource(resource, path, kinds[resource.type])
    for function in template.of("AWS::Serverless::Function"):
        for event in sam_events(function, *_EVENT_KINDS):
            yield function.logical_id, _of_event(event)
    for workflow in template.workflows.values():
        for state, call in workflow.calls:
            if call.function:
                yield call.function.function, _of_state(workflow, state, call)
    for route in template.routes:
        if route.integration and route.integration.target:
            span = route.integration.uri.span if not route.integration.managed else route.span
            source = _Source("API", route.name, route.resource, span, told=False, shaped=True)
            yield route.integration.target.function, source


def _of_resource(resource: Resource, path: str, kind: str) -> _Source:
    if kind not in ("rule", "schedule"):
        return _Source(kind, resource.logical_id, resource, resource.where(path), told=False, shaped=True)
    target = path.rpartition(".")[0]
    given = {name: setting(resource, f"{target}.{name}").value for name in ("Input", "InputPath", "InputTransformer")}
    return _of_input(kind, resource, resource.logical_id, resource.where(target), given)


def _of_event(event: Event) -> _Source:
    kind, name = _EVENT_KINDS[event.type], event.path.removeprefix("Events.")
    if kind not in ("rule", "schedule"):
        return _Source(kind, name, event.resource, event.span, told=False, shaped=True)
    names = ("Input", "InputPath", "InputTransformer")
    given = {key: below(event.properties, event.span, event.path, key).value for key in names}
    return _of_input(kind, event.resource, name, event.span, given)


def _of_input(kind: str, resource: Resource, name: str, span: Span, given: Mapping[str, Value]) -> _Source:
    told = any(not isinstance(given[key], Absent) for key in ("Input", "InputTransformer"))
    path = given["InputPath"]
    whole = isinstance(path, Absent) or (isinstance(path, Scalar) and path.text == "$")
    return _Source(kind, name, resource, span, told=told, shaped=whole)


def _of_state(workflow: Workflow, state: State, call: ServiceCall) -> _Source:
    if call.integration.kind == "function":
        sent, span = state.arguments, state.where("Parameters")
    else:
        argument = state.argument("Payload")
        sent, span = argument.value, argument.span
    told = _is_written(sent) or any(_writes(found) for found in workflow.states.values())
    name = f"{state.name} of {workflow.logical_id}"
    return _Source("workflow", name, workflow.resource, span, told=told, shaped=False)


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
