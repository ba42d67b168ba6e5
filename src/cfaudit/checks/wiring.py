"""Questions about the integration graph: that something invokes, starts or publishes to whatever waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.alarms import ALARM_TYPES, COMPOSITE_ALARM
from cfaudit.model.declarations import Resource
from cfaudit.model.invocations import is_off
from cfaudit.model.mentions import TOPIC, named
from cfaudit.model.policies import ResourceStatement, statements
from cfaudit.model.template import Template
from cfaudit.model.wires import ACTING, Wire, WireKind
from cfaudit.nodes import Map, Seq, Span, Unknown, Value, strings

_ALARMS = (*ALARM_TYPES, COMPOSITE_ALARM)
_PUBLISHES: WireKind = "publishes"


class _Doubt(NamedTuple):
    """Why something may be reached although nothing here certainly does it."""

    reason: str
    evidence: tuple[Evidence, ...] = ()


# Functions and workflows ---------------------------------------------------------------------------------------------


def reached(
    template: Template,
    facts: Facts,
    *,
    types: tuple[str, ...],
    acts: str,
    entrances: tuple[str, ...],
) -> Iterator[Finding]:
    """Something must be able to set every resource of these types going.

    What counts: a route or authorizer of an API, a rule, a schedule, a pipe, an event source mapping, a subscription,
    a bucket's notification, an event of SAM's, a state of a workflow, a function URL, a custom resource, or any other
    property that names the resource, its alias or its version; a Lambda permission, whoever it is for; a grant to a
    workload, a user, or a role that is assumed from outside; and a variable that carries the name to a workload which
    also has the grant. Outputs, alarms, dashboards and log groups do not count, nor does the resource itself.
    A rule, a schedule, a pipe, a mapping or an event of SAM's that is switched off sets nothing going.

    Unknown is a grant on everything, a grant to a role that nothing uses, a variable whose holder has policies that the
    template does not show, a name handed to a nested stack or to the parameter store, whatever a macro may add, and
    every such resource of a template without any entrance of its own (no API, no rule, no trigger): that is made to be
    used from other stacks.
    """
    kind = _KINDS[acts]
    library = not _has_entrance(template, entrances)
    for resource in template.of(*types):
        name = resource.logical_id
        wires = [wire for wire in template.wiring.into(name, kind) if wire.source != name]
        found = [wire for wire in wires if not _is_idle(template, wire)]
        proof = next((wire for wire in found if wire.certain), None)
        if proof:
            verb = f"may {acts.removesuffix('s')}" if proof.way in ("grant", "permission") else acts
            message = f"{proof.source} {verb} {name}"
            yield judged(Outcome.PASS, resource, None, message, span=proof.span, note=proof.via)
            continue
        doubt = _doubt(template, facts, resource, found, kind, entrances, library=library)
        exported = tuple(_outputs(template, resource))
        if doubt:
            message = f"nothing in this template certainly {acts} {name}: {doubt.reason}"
            more = (*doubt.evidence, *exported)
            yield judged(Outcome.UNKNOWN, resource, None, message, note="declared here", more=more)
        else:
            message = f"nothing in the stack {acts} {name}, and no policy lets anything do it"
            idle = [wire for wire in wires if _is_idle(template, wire)]
            if idle:
                message = f"only {idle[0].source} {acts} {name}, and that is switched off"
            told = [Evidence(wire.span, f"{wire.source} is told its name") for wire in found if wire.way == "variable"]
            told += [Evidence(wire.span, "switched off") for wire in idle]
            yield judged(Outcome.FAIL, resource, None, message, note="declared here", more=(*told, *exported))


def _is_idle(template: Template, wire: Wire) -> bool:
    """Whether a wire is that of a trigger which is declared, but switched off."""
    if wire.way == "event":
        return is_off(template.resources[wire.target], wire.via.removeprefix("event "))
    trigger = template.resources.get(wire.via if wire.way == "mapping" else wire.source)
    return trigger is not None and is_off(trigger)


_KINDS: dict[str, WireKind] = {"invokes": "invokes", "starts": "starts"}


def _doubt(
    template: Template,
    facts: Facts,
    resource: Resource,
    found: list[Wire],
    kind: WireKind,
    entrances: tuple[str, ...],
    *,
    library: bool,
) -> _Doubt | None:
    """Why a function or workflow that nothing certainly sets going may be set going all the same."""
    for wire in (*found, *(wire for wire in template.wiring.broad if wire.kind == kind)):
        if wire.source != resource.logical_id and not (wire.way == "variable" and _shown(template, wire)):
            return _Doubt(_uncertain(template, wire), (Evidence(wire.span, wire.via),))
    external = facts.elsewhere(types=entrances, name=resource.logical_id)
    if external:
        evidence = Evidence(external.span, "the configuration says so", external.text)
        return _Doubt(f"what does may be in another stack: {external.reason}", (evidence,))
    if template.macros:
        return _Doubt(f"the macro {template.macros[0].name} may add what does")
    if library:
        return _Doubt("the template has no entrance at all; what does may be in another stack")
    return None


def _uncertain(template: Template, wire: Wire) -> str:
    """What makes a wire uncertain, as a clause."""
    match wire.way:
        case "hand-over":
            return f"{wire.source} hands its name on"
        case "variable":
            return f"{wire.source} is told its name by {wire.via.rpartition('.')[2]}, and no grant is shown"
        case "permission":
            return f"{wire.source} may, by {wire.via}"
        case "grant" if not wire.target:
            return f"{wire.source} may use {wire.via} on everything"
        case "grant" if wire.source in template.principals:
            return f"only {wire.source} may, and nothing in the template runs as it"
        case "grant":
            return f"{wire.source} may use {wire.via} on what only deploy time knows"
        case _:
            return f"{wire.source} names it"


def _has_entrance(template: Template, entrances: tuple[str, ...]) -> bool:
    """Whether anything in the template can set something going from outside."""
    if any(True for _ in template.of(*entrances)):
        return True
    ways = ("route", "event", "mapping", "permission", "property")
    wires = (wire for wire in template.wiring.wires if wire.kind in _KINDS and wire.way in ways and wire.certain)
    return any(wire.service not in _UPKEEP for wire in wires)


_UPKEEP = frozenset(
    {"autoscaling", "cloudformation", "cloudwatch", "codedeploy", "config", "logs", "secretsmanager", "sns"}
)
"""Services that set functions going for the upkeep of what is there: no entrance of the platform."""


def _outputs(template: Template, resource: Resource) -> Iterator[Evidence]:
    """The outputs that name a resource."""
    for name, output in template.document.outputs.entries.items():
        value = output.entries.get("Value") if isinstance(output, Map) else None
        if value is not None and resource.logical_id in _mentions(template, value):
            yield Evidence(value.span, f"only the output {name} names it")


def _mentions(template: Template, value: Value) -> frozenset[str]:
    match value:
        case Unknown():
            return frozenset(found.resource.logical_id for found in named(template, value))
        case Seq(items):
            return frozenset().union(*(_mentions(template, item) for item in items))
        case _:
            return frozenset()


# Topics --------------------------------------------------------------------------------------------------------------


class _Publishers(NamedTuple):
    """Who publishes to a topic: ``told`` are workloads that name it and may not, ``open`` what deploy time decides."""

    certain: tuple[Wire, ...]
    alarms: tuple[Wire, ...]
    told: tuple[Wire, ...]
    open: tuple[Wire, ...]


def topic_publishers(template: Template, facts: Facts, *, components: tuple[str, ...]) -> Iterator[Finding]:
    """Something must be able to publish to every topic.

    What counts: a grant of `sns:Publish` to a workload, a user or a role assumed from outside; a state of a workflow,
    unless the workflow's role may not; a rule's target, a bucket's notification, a dead-letter setting or any other
    property that names the topic; a policy of the topic that lets a service, an account or a role publish. Alarms count
    for a topic that is theirs alone; a topic is not when a function of this template is told its name and may not
    publish to it, or when it fills one of the profile's components for milestones and deadlines.

    Unknown is a grant on everything, a policy that only deploy time knows, a name handed to a nested stack or to the
    parameter store, whatever a macro may add, and a topic without publisher that an output names or that stands in a
    template which has no workload at all: others may publish to it.
    """
    for topic in template.of(TOPIC):
        yield _published(template, facts, topic, components)


def _published(template: Template, facts: Facts, topic: Resource, components: tuple[str, ...]) -> Finding:
    name = topic.logical_id
    held = _publishers(template, topic)
    lets = list(_policies(template, topic))
    if held.certain:
        message = f"{held.certain[0].source} publishes to {name}"
        return judged(Outcome.PASS, topic, None, message, span=held.certain[0].span, note=held.certain[0].via)
    for answer, span, alarming in lets:
        if answer and not alarming:
            return judged(Outcome.PASS, topic, None, f"the policy of {name} lets others publish", span=span)
    bound = next((id_ for id_ in components if facts.bound(template, id_) == topic), None)
    alarmed = tuple(Evidence(wire.span, f"the alarm {wire.source} publishes to it") for wire in held.alarms)
    alarms = f"alarms publish to {name}"
    theirs = not held.told and not bound
    if theirs and held.alarms:
        return judged(Outcome.PASS, topic, None, alarms, span=held.alarms[0].span, more=alarmed[1:])
    doubt = _topic_doubt(template, facts, topic, held, lets, bound)
    if doubt:
        message = f"nothing in this template certainly publishes to {name}: {doubt.reason}"
        return judged(Outcome.UNKNOWN, topic, None, message, note="the topic", more=(*doubt.evidence, *alarmed))
    allowed = [span for answer, span, _ in lets if answer]
    if theirs and allowed:
        return judged(Outcome.PASS, topic, None, alarms, span=allowed[0])
    if held.told:
        wire = held.told[0]
        message = f"{wire.source} is told the name of {name} and may not publish to it"
    else:
        message = f"nothing may publish to {name}"
    message += "; only alarms do" if alarmed or allowed else ""
    told = tuple(Evidence(wire.span, f"{wire.source} is told its name") for wire in held.told)
    assumed = (f"{name} is the {bound} of the platform",) if bound and not held.told else ()
    return judged(Outcome.FAIL, topic, None, message, note="the topic", more=(*told, *alarmed), assumed=assumed)


def _publishers(template: Template, topic: Resource) -> _Publishers:
    found = template.wiring.into(topic.logical_id, _PUBLISHES)
    types = {name: resource.type for name, resource in template.resources.items()}
    alarms = tuple(wire for wire in found if types.get(wire.source) in _ALARMS)
    others = [wire for wire in found if wire not in alarms]
    told = tuple(
        wire
        for wire in others
        if (not wire.certain and wire.way == "variable" and _shown(template, wire))
        or (wire.way == "state" and _refused(template, wire, topic))
    )
    return _Publishers(
        certain=tuple(wire for wire in others if wire.certain and wire not in told),
        alarms=alarms,
        told=told,
        open=tuple(wire for wire in others if not wire.certain and wire not in told),
    )


def _shown(template: Template, wire: Wire) -> bool:
    """Whether the rights of a workload are all shown, so that a grant which is not there is certainly missing."""
    function = template.functions.get(wire.source)
    principal = template.principals.get(function.principal or "") if function else None
    return principal is not None and not principal.opaque


def _refused(template: Template, wire: Wire, topic: Resource) -> bool:
    """Whether a workflow's role certainly may not publish what one of its states publishes."""
    workflow = template.workflows.get(wire.source)
    principal = template.principals.get(workflow.principal or "") if workflow else None
    return principal is not None and principal.allows("sns:Publish", template, topic) is False


def _policies(template: Template, topic: Resource) -> Iterator[tuple[bool | None, Span, bool]]:
    """What policies of a topic say of publishing: yes or perhaps, where, and whether only to alarms."""
    for policy in template.of("AWS::SNS::TopicPolicy", "AWS::SNS::TopicInlinePolicy"):
        names = policy.at("Topics" if policy.type == "AWS::SNS::TopicPolicy" else "TopicArn")
        if topic in template.targets(names, TOPIC):
            for statement in statements(policy.at("PolicyDocument")):
                if not isinstance(statement, ResourceStatement):
                    yield None, statement.span, False
                elif statement.effect == "Allow" and statement.covers("sns:Publish") is not False:
                    yield statement.covers("sns:Publish"), statement.span, _is_for_alarms(statement)


def _is_for_alarms(statement: ResourceStatement) -> bool:
    principal = statement.element("Principal")
    if not isinstance(principal, Map) or set(principal.entries) != {"Service"}:
        return False
    services = [value.text for value in strings(principal.entries["Service"]) if not isinstance(value, Unknown)]
    return services == ["cloudwatch.amazonaws.com"]


def _topic_doubt(
    template: Template,
    facts: Facts,
    topic: Resource,
    held: _Publishers,
    lets: list[tuple[bool | None, Span, bool]],
    bound: str | None,
) -> _Doubt | None:
    """Why somebody may publish to a topic although nothing here certainly does."""
    broad = [wire for wire in template.wiring.broad if wire.kind == _PUBLISHES]
    for wire in (*held.open, *broad):
        return _Doubt(_uncertain(template, wire), (Evidence(wire.span, wire.via),))
    for answer, span, _ in lets:
        if answer is None:
            return _Doubt("only deploy time knows what its policy allows", (Evidence(span, "its policy"),))
    external = facts.elsewhere(component=bound, types=_WORKLOADS, name=topic.logical_id)
    if external:
        evidence = Evidence(external.span, "the configuration says so", external.text)
        return _Doubt(f"what does may be in another stack: {external.reason}", (evidence,))
    if held.alarms or held.told:
        return None
    if template.macros:
        return _Doubt(f"the macro {template.macros[0].name} may add what does")
    for output in _outputs(template, topic):
        return _Doubt("an output hands it to others", (output,))
    acting = (*template.wiring.wires, *(spread.wires[0] for spread in template.wiring.spreads))
    if not any(wire.kind in ACTING for wire in acting) and not template.functions:
        return _Doubt("the template has no workload at all; what does may be in another stack")
    return None


_WORKLOADS = ("AWS::Lambda::Function", "AWS::Serverless::Function", "AWS::StepFunctions::StateMachine")
