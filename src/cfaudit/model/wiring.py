"""A Template in, the integration graph out: who invokes, starts, publishes, reads, writes, encrypts and protects what.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cfaudit.model.api import Route
from cfaudit.model.declarations import descend
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.grants import grant_wires
from cfaudit.model.integrations import Act, ServiceCall
from cfaudit.model.invocations import Event, Permission, invoked, sam_events, sam_target
from cfaudit.model.mentions import ACTS, STORES, mentions, named, spoken_for
from cfaudit.model.names import rendered
from cfaudit.model.wires import Spread, Wire, WireKind, Wiring
from cfaudit.nodes import Map, Scalar, Seq, Unknown, Value, strings

if TYPE_CHECKING:
    from cfaudit.model.template import Template

_EVENTS = {
    "AlexaSkill": "alexa",
    "Api": "apigateway",
    "CloudWatchEvent": "events",
    "CloudWatchLogs": "logs",
    "Cognito": "cognito-idp",
    "DocumentDB": "lambda",
    "DynamoDB": "lambda",
    "EventBridgeRule": "events",
    "HttpApi": "apigateway",
    "IoTRule": "iot",
    "Kinesis": "lambda",
    "MQ": "lambda",
    "MSK": "lambda",
    "S3": "s3",
    "SNS": "sns",
    "SQS": "lambda",
    "Schedule": "events",
    "ScheduleV2": "scheduler",
    "SelfManagedKafka": "lambda",
}
"""SAM's events and the service that acts; ``lambda`` where Lambda polls."""

_NAMING = ("ApiId", "Broker", "Bucket", "Cluster", "LogGroupName", "Queue", "RestApiId", "Stream", "Topic", "UserPool")


def wiring(template: Template) -> Wiring:
    """The integration graph of a template."""
    found = [*_routes(template), *_states(template), *_mappings(template), *_sam(template), *_shields(template)]
    told = {(wire.kind, wire.source, wire.target) for wire in found}
    drawn = {name for name, workflow in template.workflows.items() if workflow.readable}
    for wire in mentions(template):
        defined = wire.source in drawn and wire.via.startswith("Definition")
        known = wire.way == "property" and (wire.kind, wire.source, wire.target) in told
        if not known and not defined:
            found.append(wire)
    found += [*_hooks(template), *_logs(template), *_connectors(template)]
    granted = grant_wires(template, _runners(template, found))
    found += granted.wires
    permitted = list(_permitted(template, found))
    broad = [*granted.broad, *(wire for wire in permitted if not wire.target)]
    found += [wire for wire in permitted if wire.target]
    invoked = {wire.target for wire in found if wire.kind == "invokes"}
    invoked.update(*(spread.targets for spread in granted.spreads if spread.wires[0].kind == "invokes"))
    found += _elsewhere(template, invoked)
    return Wiring(tuple(_confirmed(found, broad, granted.spreads)), tuple(broad), tuple(granted.spreads))


# Triggers ------------------------------------------------------------------------------------------------------------


def _routes(template: Template) -> Iterator[Wire]:
    """APIs invoke the functions behind their routes and authorizers."""
    for route in template.routes:
        target = route.integration.target if route.integration else None
        if target and target.function in template.resources and route.integration:
            span = route.integration.uri.span if not route.integration.managed else route.span
            source, via = route.api or route.logical_id, route.name
            yield Wire("invokes", source, target.function, span, "route", via, "apigateway", qualifier=target.qualifier)
    for authorizer in template.apis.authorizers:
        for value in strings(authorizer.uri.value):
            for found in named(template, value, *FUNCTION_TYPES):
                source, via = authorizer.api or authorizer.resource.logical_id, f"authorizer {authorizer.name}"
                yield Wire(
                    "invokes", source, found.resource.logical_id, authorizer.uri.span, "route", via, "apigateway"
                )


def _mappings(template: Template) -> Iterator[Wire]:
    """Lambda polls what an event source mapping names, and invokes the function with it."""
    for mapping in template.of("AWS::Lambda::EventSourceMapping"):
        functions = [found for value in strings(mapping.at("FunctionName")) for found in _function(template, value)]
        for function in functions:
            sources = [
                found.resource.logical_id
                for path in ("EventSourceArn", "SelfManagedEventSource", "AmazonManagedKafkaEventSourceConfig")
                for value in strings(mapping.at(path))
                for found in named(template, value)
            ]
            span = mapping.where("EventSourceArn")
            for source in sources or [mapping.logical_id]:
                yield Wire("invokes", source, function, span, "mapping", mapping.logical_id, "lambda")


def _function(template: Template, value: Scalar | Unknown) -> Iterator[str]:
    target = invoked(template, value)
    if target:
        yield target.function


def _sam(template: Template) -> Iterator[Wire]:
    """SAM makes a trigger of each event; a schedule or pattern is a rule of its own that the template does not show."""
    routed = {(route.logical_id, route.property_path) for route in template.routes if _invokes(route)}
    for resource in template.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        kind: WireKind = "invokes" if resource.type in FUNCTION_TYPES else "starts"
        qualifier = sam_target(resource).qualifier if kind == "invokes" else None
        for event in sam_events(resource, *_EVENTS):
            if (resource.logical_id, event.path) in routed:
                continue
            source = _event_source(template, event)
            via, service = f"event {event.path.partition('.')[2]}", _EVENTS[event.type]
            yield Wire(kind, source, resource.logical_id, event.span, "event", via, service, qualifier=qualifier)
        if isinstance(resource.at("FunctionUrlConfig"), Map):
            span, via = resource.where("FunctionUrlConfig"), "its function URL"
            yield Wire("invokes", f"{resource.logical_id}Url", resource.logical_id, span, "event", via, "lambda")


def _invokes(route: Route) -> bool:
    return route.integration is not None and route.integration.target is not None


def _event_source(template: Template, event: Event) -> str:
    """What an event comes from, where its properties name it; else the rule that SAM makes, by its logical id."""
    for name in _NAMING:
        value = event.properties.entries.get(name)
        for text in strings(value) if value is not None else ():
            for found in named(template, text):
                return found.resource.logical_id
    return f"{event.resource.logical_id}{event.path.partition('.')[2]}"


def _hooks(template: Template) -> Iterator[Wire]:
    """CodeDeploy invokes the hooks of an alias's update policy."""
    for alias in template.of("AWS::Lambda::Alias"):
        policy = alias.attribute("UpdatePolicy.CodeDeployLambdaAliasUpdate")
        for hook in ("BeforeAllowTrafficHook", "AfterAllowTrafficHook"):
            for value in strings(descend(policy, policy.span, [hook])[0]):
                for function in _function(template, value):
                    yield Wire("invokes", alias.logical_id, function, value.span, "property", hook, "codedeploy")


# Workflows -----------------------------------------------------------------------------------------------------------


def _states(template: Template) -> Iterator[Wire]:
    """What the states of a workflow call."""
    for name, workflow in template.workflows.items():
        for state, call in workflow.calls:
            for act in call.acts:
                kind = _act(call, act)
                if kind and act.resource and act.resource.logical_id != name:
                    qualifier = act.function.qualifier if act.function else None
                    target, via = act.resource.logical_id, f"state {state.name}"
                    yield Wire(kind, name, target, act.span, "state", via, "states", qualifier=qualifier)


_READS = ("get", "batchget", "query", "scan", "list", "describe", "head", "select", "receive")


def _act(call: ServiceCall, act: Act) -> WireKind | None:
    if act.resource is None:
        return None
    if act.resource.type in ACTS:
        return ACTS[act.resource.type]
    if act.resource.type in STORES:
        return "reads" if call.integration.operation.lower().startswith(_READS) else "writes"
    return "uses"


# What stands beside --------------------------------------------------------------------------------------------------


def _shields(template: Template) -> Iterator[Wire]:
    """A web ACL protects the stage that its association names."""
    for association in template.of("AWS::WAFv2::WebACLAssociation"):
        acl = next((found for text in strings(association.at("WebACLArn")) for found in named(template, text)), None)
        for text in strings(association.at("ResourceArn")):
            for found in named(template, text):
                source = acl.resource.logical_id if acl else association.logical_id
                target = spoken_for(template, found.resource)
                yield Wire("protects", source, target, text.span, "property", "ResourceArn", "wafv2")


def _logs(template: Template) -> Iterator[Wire]:
    """Functions log to the groups that are theirs by name."""
    for name, groups in template.log_groups_of.items():
        for group in groups:
            span = template.functions[name].where("LoggingConfig.LogGroup")
            yield Wire("logs", name, group.logical_id, span, "property", "LoggingConfig.LogGroup", "lambda")


def _connectors(template: Template) -> Iterator[Wire]:
    """SAM's connectors let their source read, write or invoke their destination.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/reference-sam-connector.html
    """
    for resource in template.resources.values():
        ends: list[tuple[Value, Value]] = []
        if resource.type == "AWS::Serverless::Connector":
            ends = [(resource.at("Source.Id"), value) for value in _destinations(resource.at("Destination"))]
        embedded = resource.attribute("Connectors")
        if isinstance(embedded, Map):
            own = Scalar(resource.logical_id, resource.span)
            for connector in embedded.entries.values():
                destination = descend(connector, connector.span, ["Properties", "Destination"])[0]
                ends += [(own, value) for value in _destinations(destination)]
        for source, value in ends:
            held = template.resources.get(value.text) if isinstance(value, Scalar) else None
            if isinstance(source, Scalar) and held:
                kind = ACTS.get(held.type, "uses")
                yield Wire(kind, source.text, held.logical_id, value.span, "connector", "a connector")


def _destinations(value: Value) -> Iterator[Value]:
    for item in value.items if isinstance(value, Seq) else (value,):
        yield descend(item, value.span, ["Id"])[0]


# Who may -------------------------------------------------------------------------------------------------------------


def _runners(template: Template, found: Iterable[Wire]) -> Mapping[str, tuple[str, ...]]:
    """Who runs as each principal, by the principal's logical id."""
    held: dict[str, dict[str, None]] = {}
    for name, function in template.functions.items():
        if function.principal:
            held.setdefault(function.principal, {})[name] = None
    for name, workflow in template.workflows.items():
        if workflow.principal:
            held.setdefault(workflow.principal, {})[name] = None
    for wire in found:
        if wire.kind == "assumes":
            held.setdefault(wire.target, {})[wire.source] = None
    return {name: tuple(members) for name, members in held.items()}


def _permitted(template: Template, found: Iterable[Wire]) -> Iterator[Wire]:
    """What permissions allow, but not again what a trigger of the same service already does."""
    known = {(wire.service, wire.target) for wire in found if wire.kind == "invokes" and wire.certain}
    for held in template.permissions_of.values():
        for permission in held:
            if permission.resource.type == "AWS::Lambda::Permission":
                wire = _permission(template, permission)
                if not wire.outside or (wire.service, wire.target) not in known:
                    yield wire


def _permission(template: Template, permission: Permission) -> Wire:
    """Whoever a function's own policy lets invoke it: a resource here, a service, another account."""
    named_here = [found for value in strings(permission.source) for found in named(template, value)]
    who = rendered(permission.principal) if isinstance(permission.principal, (Scalar, Unknown)) else "*"
    principal = "" if "\x01" in who else who
    source = spoken_for(template, named_here[0].resource) if named_here else principal or "a principal elsewhere"
    return Wire(
        kind="invokes",
        source=source,
        target=permission.target.function if permission.target else "",
        span=permission.span,
        way="permission",
        via=permission.resource.logical_id,
        service=principal.partition(".")[0].lower() if ".amazonaws.com" in principal else "",
        certain=permission.target is not None,
        outside=not named_here,
        qualifier=permission.target.qualifier if permission.target else None,
    )


def _elsewhere(template: Template, invoked: set[str]) -> Iterator[Wire]:
    """Functions made for CloudFront or for a custom resource that this template does not show."""
    for name in template.functions:
        resource = template.resources[name]
        made_for = "cloudfront" if name in template.edge_functions else ""
        made_for = made_for or ("cloudformation" if name in template.custom_resource_functions else "")
        if made_for and name not in invoked:
            via = "its role's trust" if made_for == "cloudfront" else "its code"
            yield Wire("invokes", made_for, name, resource.span, "permission", via, made_for, False, outside=True)


def _confirmed(found: list[Wire], broad: list[Wire], spreads: list[Spread]) -> Iterator[Wire]:
    """A variable that names something is certain where its holder also may act on it, were it by a wildcard."""
    allowed = {(wire.kind, wire.source, wire.target) for wire in found if wire.way in ("grant", "connector")}
    anything = {(wire.kind, wire.source) for wire in broad if wire.way == "grant"}
    patterns: dict[tuple[WireKind, str], list[Mapping[str, bool]]] = {}
    for spread in spreads:
        for wire in spread.wires:
            patterns.setdefault((wire.kind, wire.source), []).append(spread.targets)
    for wire in found:
        if wire.way == "variable":
            ends = (wire.kind, wire.source)
            may = (*ends, wire.target) in allowed or ends in anything
            may = may or any(wire.target in targets for targets in patterns.get(ends, ()))
            yield wire._replace(certain=may)
        else:
            yield wire
