"""Resources in, who may invoke which function out: functions by ARN, alias or name, and their permissions.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.iam import action_matches
from cfaudit.model.names import rendered
from cfaudit.nodes import Absent, Deferred, Map, Reference, Scalar, Span, Unknown, Value, parts_of, truth

_TEXT_OF_ARN = re.compile(r":function:([^:/]+)(?::([^/:]+))?")
_NAME = re.compile(r"([^:/]+)(?::([^/:]+))?\Z")
_HOLE = re.compile("[\x01{]")


class Target(NamedTuple):
    """A declared function as something names it.

    ``qualifier`` is the alias or version, None for the function itself; ``certain`` is false when only deploy time
    knows the qualifier.
    """

    function: str
    qualifier: str | None = None
    certain: bool = True

    def admits(self, permitted: Target) -> bool | None:
        """Whether a permission on ``permitted`` serves whoever invokes this target; None when that is not certain.

        A permission on an alias or version serves only who invokes that alias or version.
        https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
        """
        if self.function != permitted.function:
            return False
        if not self.certain or not permitted.certain:
            return None
        if self.qualifier == permitted.qualifier:
            return True
        if self.qualifier is None:
            return False
        both = f"{self.qualifier}{permitted.qualifier or ''}"
        return None if permitted.qualifier is None or _HOLE.search(both) else False


_SWITCHES: Mapping[str, tuple[str, str]] = {
    "AWS::Events::Rule": ("State", "DISABLED"),
    "AWS::Lambda::EventSourceMapping": ("Enabled", "false"),
    "AWS::Pipes::Pipe": ("DesiredState", "STOPPED"),
    "AWS::Scheduler::Schedule": ("State", "DISABLED"),
}


def is_off(trigger: Resource, event: str = "") -> bool:
    """Whether a rule, a schedule, a pipe, an event source mapping, or the event of a SAM resource, is switched off."""
    if event:
        switches = {"State": "DISABLED", "Enabled": "false"}
    else:
        switches = dict([_SWITCHES[trigger.type]]) if trigger.type in _SWITCHES else {}
    prefix = f"Events.{event}.Properties." if event else ""
    held = ((trigger.at(prefix + path), off) for path, off in switches.items())
    return any(isinstance(value, Scalar) and value.text.lower() == off.lower() for value, off in held)


def invoked(template: Declarations, value: Value) -> Target | None:
    """The declared function that a name, an ARN, an alias's Ref or an API Gateway URI names; None when it is none."""
    if isinstance(value, Unknown):
        for index, part in enumerate(value.parts):
            found = _referenced(template, part) if isinstance(part, Reference) else None
            if found:
                rest = rendered(Unknown(value.span, value.parts[index:]))
                return found if found.qualifier else _qualified(found, rest)
    if not isinstance(value, (Scalar, Unknown)):
        return None
    text = rendered(value)
    match = _TEXT_OF_ARN.search(text) or _NAME.match(text)
    for resource in template.by_name.get(match[1], ()) if match else ():
        if match and resource.type in FUNCTION_TYPES:
            return _with(resource.logical_id, match[2])
    return None


def _referenced(template: Declarations, reference: Reference) -> Target | None:
    resource = template.resources.get(reference.logical_id)
    if resource is None:
        return None
    if resource.type in FUNCTION_TYPES:
        if reference.attribute in ("Alias", "Version"):  # SAM's MyFunction.Alias, MyFunction.Version
            return _alias_of(resource) if reference.attribute == "Alias" else _with(resource.logical_id, "version")
        return Target(resource.logical_id)
    if resource.type in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        base = invoked(template, resource.at("FunctionName"))
        name = resource.at("Name")
        known = rendered(name) if isinstance(name, (Scalar, Unknown)) else f"version of {resource.logical_id}"
        return Target(base.function, known) if base else None
    return None


def _alias_of(function: Resource) -> Target:
    name = function.at("AutoPublishAlias")
    return Target(function.logical_id, rendered(name) if isinstance(name, (Scalar, Unknown)) else None)


def _qualified(found: Target, text: str) -> Target:
    """The target with the qualifier that follows the reference: ``\\x01F|Arn\\x02:live/invocations``."""
    rest = text.partition("\x02")[2]
    return _with(found.function, re.split("[:/]", rest[1:], maxsplit=1)[0]) if rest.startswith(":") else found


def _with(function: str, qualifier: str | None) -> Target:
    certain = not (qualifier and _HOLE.search(qualifier.replace("${", "{")))
    return Target(function, qualifier or None, certain)


class Permission(NamedTuple):
    """One ``AWS::Lambda::Permission``, or the one SAM makes for an event of a function.

    ``target`` is None for a function that this template does not declare or that only deploy time knows.
    """

    resource: Resource
    target: Target | None
    principal: Value
    action: Value
    source: Value
    span: Span

    @property
    def loose(self) -> bool:
        """Whether only deploy time knows which function it is about."""
        return self.target is None and isinstance(self.resource.at("FunctionName"), Unknown)

    def lets(self, service: str) -> bool | None:
        """Whether it lets a service (``apigateway``) invoke, whatever the source; None when deploy time decides."""
        if truth(self.resource.at("InvokedViaFunctionUrl")):
            return False
        answers = (_lets_principal(self.principal, service), _lets_action(self.action))
        return False if False in answers else None if None in answers else True


def _lets_principal(value: Value, service: str) -> bool | None:
    if not isinstance(value, (Scalar, Unknown)):
        return False
    text = rendered(value)
    label = text.partition(".")[0].lower()
    return True if label in ("*", service) else None if "\x01" in label else False


def _lets_action(value: Value) -> bool | None:
    match value:
        case Scalar(text):
            return action_matches(text, "lambda:InvokeFunction")
        case Unknown():
            return None
        case _:
            return False


def permissions(template: Declarations) -> tuple[Permission, ...]:
    """Every permission of the template, in template order."""
    found = [
        Permission(
            resource=resource,
            target=invoked(template, resource.at("FunctionName")),
            principal=resource.at("Principal"),
            action=resource.at("Action"),
            source=resource.at("SourceArn"),
            span=resource.span,
        )
        for resource in template.of("AWS::Lambda::Permission")
    ]
    for resource in template.of("AWS::Serverless::Function"):
        found.extend(_sam_permissions(template, resource))
    return tuple(found)


def by_function(found: tuple[Permission, ...]) -> Mapping[str, tuple[Permission, ...]]:
    """Permissions by the logical id of their function; ``""`` holds those of a function only deploy time knows."""
    held: dict[str, list[Permission]] = {}
    for permission in found:
        if permission.target or permission.loose:
            held.setdefault(permission.target.function if permission.target else "", []).append(permission)
    return {function: tuple(members) for function, members in held.items()}


class Event(NamedTuple):
    """One member of ``Events`` of a SAM function or state machine; ``path`` is its property path."""

    resource: Resource
    type: str
    properties: Map[Value]
    path: str
    span: Span


def sam_events(resource: Resource, *types: str) -> Iterator[Event]:
    """The events of the given types that a SAM function or state machine declares."""
    events = resource.at("Events")
    for name, event in events.entries.items() if isinstance(events, Map) else ():
        kind = event.entries.get("Type") if isinstance(event, Map) else None
        if isinstance(event, Map) and isinstance(kind, Scalar) and kind.text in types:
            properties = event.entries.get("Properties")
            held = properties if isinstance(properties, Map) else Map({}, {}, event.span)
            key = events.keys[name] if isinstance(events, Map) else event.span
            yield Event(resource, kind.text, held, f"Events.{name}", key)


def sam_target(resource: Resource) -> Target:
    """What SAM's events of a function invoke: its published alias, else the function."""
    alias = _alias_of(resource)
    return alias if alias.qualifier else Target(resource.logical_id)


def _sam_permissions(template: Declarations, resource: Resource) -> Iterator[Permission]:
    """SAM lets an API invoke the function of its event.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-api.html
    """
    for event in sam_events(resource, "Api", "HttpApi"):
        api = event.properties.entries.get("RestApiId", event.properties.entries.get("ApiId"))
        source: Value = Absent(event.span)
        if isinstance(api, Unknown):
            method, path = (parts_of(event.properties.entries.get(name, source)) for name in ("Method", "Path"))
            place = (*(method or ("*",)), *(path or ("/$default",)))
            verb = tuple(part.upper().replace("ANY", "*") if isinstance(part, str) else part for part in place[:1])
            source = Unknown(event.span, ("arn:aws:execute-api:*:*:", *api.parts, "/*/", *verb, *place[1:]))
        yield Permission(
            resource=resource,
            target=sam_target(resource),
            principal=Scalar("apigateway.amazonaws.com", event.span),
            action=Scalar("lambda:InvokeFunction", event.span),
            source=source,
            span=event.span,
        )


def is_undefined(value: Value, logical_id: str) -> bool:
    """Whether a value refers to a resource that SAM makes and the template does not show (``ServerlessRestApi``)."""
    parts = value.parts if isinstance(value, Unknown) else ()
    return any(isinstance(part, Deferred) and part.kind == "undefined" and part.name == logical_id for part in parts)
