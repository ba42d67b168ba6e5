"""The question where events go that fail for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.api import Setting, setting
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.invocations import invoked, sam_events
from cfaudit.model.mentions import QUEUE, TOPIC
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.model.wires import Wire
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, truth

_OPAQUE = frozenset({"condition", "macro", "missing"})


class _Kept(NamedTuple):
    """Whether failed events are kept, and where it says so; None when only deploy time knows."""

    answer: bool | None
    span: Span
    note: str


def async_failures(template: Template, facts: Facts, *, services: tuple[str, ...]) -> Iterator[Finding]:
    """Events that fail for good must be kept, for functions that are invoked asynchronously and for targets of rules.

    A function is judged when a service that invokes asynchronously does so: by its trigger, by an event of SAM's, or
    by a Lambda permission. It passes with a dead-letter queue or an on-failure destination for the alias or version
    that is invoked. A dead-letter queue of the rule, or a redrive policy of the subscription, is not enough: it keeps
    what Lambda did not accept, not what the function failed on. Functions that are only invoked synchronously, or
    polled for, are not judged, nor are those that only serve custom resources.

    Another target of a rule or schedule (a workflow, a queue, a topic) passes with a dead-letter queue of the target.
    A FIFO queue or topic keeps nothing: neither Lambda nor EventBridge sends failed events to one.
    A function of another stack as target is unknown, because its own settings are not shown.
    """
    for name, function in template.functions.items():
        found = [wire for wire in template.wiring.into(name, "invokes") if _is_async(template, wire, services)]
        if found and name not in template.custom_resource_functions:
            yield _function(template, function, found)
    for target in _targets(template):
        yield _delivered(template, target)


_CONFIG = "DeadLetterConfig"


def _is_async(template: Template, wire: Wire, services: tuple[str, ...]) -> bool:
    if wire.service not in services or not wire.certain or wire.way not in ("property", "event", "permission"):
        return False
    source = template.resources.get(wire.source)
    if source and wire.way == "permission" and not _acts_as(source, wire.service):
        return False
    if source and source.type == "AWS::SES::ReceiptRule" and wire.way == "property":
        beside = source.at(f"{wire.via.rpartition('.')[0]}.InvocationType")
        return not (isinstance(beside, Scalar) and beside.text == "RequestResponse")
    return True


def _acts_as(source: Resource, service: str) -> bool:
    """Whether a resource may act as a service, so that a permission for both lets anything happen."""
    kind = source.type.split("::")
    return kind[0] != "AWS" or kind[1] in ("CloudFormation", "Serverless") or kind[1].lower() == service


def _function(template: Template, function: Function, found: list[Wire]) -> Finding:
    name, resource = function.logical_id, function.resource
    judged_ = [(_kept(template, function, wire.qualifier), wire) for wire in found]
    state, wire = min(judged_, key=lambda pair: (_ORDER.index(pair[0].answer), pair[1].way == "permission"))
    path = function.path(_CONFIG)
    if state.answer:
        message = f"events on which {name} fails are kept"
        return judged(Outcome.PASS, resource, path, message, span=state.span, note=state.note)
    others = {other.source: other for other in found if other.source != wire.source}
    also = (Evidence(other.span, f"{other.source} invokes it asynchronously, too") for other in others.values())
    more = (Evidence(state.span, state.note), *also)
    note = f"{wire.source} invokes {name} asynchronously"
    if state.answer is None:
        message = f"only deploy time knows whether the events on which {name} fails are kept"
        return judged(Outcome.UNKNOWN, resource, path, message, span=wire.span, note=note, more=more)
    message = f"{wire.source} invokes {name} asynchronously, and events on which it fails for good are lost"
    return judged(Outcome.FAIL, resource, path, message, span=wire.span, note=note, more=more)


_ORDER = (False, None, True)


def _kept(template: Template, function: Function, qualifier: str | None) -> _Kept:
    """What keeps the events on which a function fails, when it is invoked by an alias, a version or its name.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    resource = function.resource
    queue, own = function.at(f"{_CONFIG}.TargetArn"), function.at("EventInvokeConfig.DestinationConfig.OnFailure")
    answers = [_kept_by(template, queue, resource.where(function.path(_CONFIG)), "its dead-letter queue")]
    if function.serverless:
        place, to = resource.where("EventInvokeConfig.DestinationConfig.OnFailure"), own
        if isinstance(own, Map):
            to = own.entries.get("Destination", own)
        answers.append(_kept_by(template, to, place, "its on-failure destination"))
    for config in template.of("AWS::Lambda::EventInvokeConfig"):
        target = invoked(template, config.at("FunctionName"))
        if target and target.function == function.logical_id:
            path = "DestinationConfig.OnFailure.Destination"
            what = f"the on-failure destination in {config.logical_id}"
            kept = _kept_by(template, config.at(path), config.where(path), what)
            if kept.answer:
                kept = kept._replace(answer=_is_for(config.at("Qualifier"), qualifier))
            answers.append(kept)
    best = max(answers, key=lambda kept: (_ORDER.index(kept.answer), kept.note.endswith(_FIFO)))
    if best.answer is False and not best.note.endswith(_FIFO):
        if template.macros:
            return _Kept(None, resource.span, f"the macro {template.macros[0].name} may add an on-failure destination")
        return _Kept(False, resource.span, "neither a dead-letter queue nor an on-failure destination")
    return best


_FIFO = "is FIFO, and gets none"


def _kept_by(template: Template, to: Value, span: Span, what: str) -> _Kept:
    """Whether a queue or destination keeps events; Lambda sends none to a FIFO queue or topic."""
    if _is_fifo(template, to):
        return _Kept(False, span, f"{what} {_FIFO}")
    return _Kept(_given(to), span, what)


def _is_fifo(template: Template, value: Value) -> bool:
    """Whether a value names a declared FIFO queue or topic, which nothing takes as a dead-letter queue."""
    held = template.target(value, QUEUE, TOPIC)
    return held is not None and bool(truth(held.at("FifoQueue")) or truth(held.at("FifoTopic")))


def _is_for(given: Value, qualifier: str | None) -> bool | None:
    """Whether a configuration is the one of the alias or version that is invoked; without one it is ``$LATEST``."""
    if not isinstance(given, (Scalar, Unknown)):
        return None
    own = rendered(given)
    if own == (qualifier or "$LATEST"):
        return True
    return None if "\x01" in own or "\x01" in (qualifier or "") or (qualifier or "").startswith("version of") else False


def _given(value: Value) -> bool | None:
    match value:
        case Unknown():
            return None if value.deferred and {hole.kind for hole in value.deferred} <= _OPAQUE else True
        case Scalar(text):
            return bool(text)
        case Map(entries):
            return bool(entries)
        case _:
            return False


class _Target(NamedTuple):
    """A target of a rule or schedule, or an event of SAM's: where its queue is set, what it names and where.

    ``sender`` cannot deliver to ``title``; ``holder`` is what has a dead-letter queue or none.
    """

    resource: Resource
    queue: Setting
    sender: str
    title: str
    holder: str
    value: Value
    span: Span

    @property
    def arn(self) -> Value:
        """What the dead-letter queue's setting names."""
        held = self.queue.value
        return held.entries.get("Arn", held) if isinstance(held, Map) else held


def _targets(template: Template) -> Iterator[_Target]:
    """The targets of rules and schedules; functions of this template are judged by their own settings."""
    for pattern, type_ in (("Targets.*.Arn", "AWS::Events::Rule"), ("Target.Arn", "AWS::Scheduler::Schedule")):
        for resource in template.of(type_):
            for path, value in resource.each(pattern):
                if not isinstance(value, Absent) and not invoked(template, value):
                    prefix, sender = path.rpartition(".")[0], resource.logical_id
                    queue, title = setting(resource, f"{prefix}.{_CONFIG}"), f"its target{_id_of(resource, prefix)}"
                    yield _Target(resource, queue, sender, title, "the target", value, resource.where(path))
    for resource in template.of("AWS::Serverless::StateMachine"):
        for event in sam_events(resource, "CloudWatchEvent", "EventBridgeRule", "Schedule", "ScheduleV2"):
            held = event.properties.entries.get(_CONFIG, Absent(event.span))
            queue = Setting(held, held.span, f"{event.path}.Properties.{_CONFIG}")
            machine, sender = Scalar(resource.logical_id, resource.span), f"the event {event.path.partition('.')[2]}"
            yield _Target(resource, queue, sender, resource.logical_id, "the event", machine, event.span)


def _id_of(rule: Resource, target: str) -> str:
    """A target's Id as a further word; a schedule's only target has none."""
    given = rule.at(f"{target}.Id")
    return f" {given.text}" if isinstance(given, Scalar) else ""


def _delivered(template: Template, target: _Target) -> Finding:
    sender, title, holder = target.sender, target.title, target.holder
    resource, path = target.resource, target.queue.path
    if _is_fifo(template, target.arn):
        message = f"events that {sender} cannot deliver to {title} are lost, because the dead-letter queue is FIFO"
        return judged(
            Outcome.FAIL, resource, path, message, span=target.span, more=(Evidence(target.queue.span, _FIFO),)
        )
    match _given(target.queue.value):
        case True:
            message = f"events that {sender} cannot deliver to {title} go to a dead-letter queue"
            return judged(Outcome.PASS, resource, path, message, span=target.queue.span)
        case None:
            message = f"only deploy time knows whether {sender} has a dead-letter queue for {title}"
            return judged(Outcome.UNKNOWN, resource, path, message, span=target.queue.span)
        case False if _may_be_function(template, target.value):
            message = f"{sender} has no dead-letter queue for {title}, which may be a function that has one"
            return judged(Outcome.UNKNOWN, resource, path, message, span=target.span)
    message = f"events that {sender} cannot deliver to {title} are lost, because {holder} has no dead-letter queue"
    return judged(Outcome.FAIL, resource, path, message, span=target.span)


def _may_be_function(template: Template, target: Value) -> bool:
    """Whether a target that is no function of this template may be one of another stack."""
    if isinstance(target, Scalar):
        return ":lambda:" in target.text
    if not isinstance(target, Unknown):
        return False
    text = rendered(target)
    if text.startswith("arn:") and "\x01" not in text.split(":", 3)[2]:
        return ":lambda:" in text
    held = [template.resources[name] for name in target.mentions if name in template.resources]
    return not held or any(resource.type.startswith(("AWS::CloudFormation::", "Custom::")) for resource in held)
