"""A Template and a component's types in, what can fill it out: resources, and what SAM makes of its own types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.api import definition_of
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.invocations import invoked
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Scalar, Seq, Unknown, Value


class Facet(NamedTuple):
    """What can fill a component: a resource, or what SAM makes of it (the role of a function, the routes of an API)."""

    logical_id: str
    part: str = ""


def text_of(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else value.known_text if isinstance(value, Unknown) else ""


def facets(template: Template, component: str, types: tuple[str, ...]) -> Iterator[Facet]:
    """What may fill a component of these types; ``Type#part`` is a part that SAM makes of a resource."""
    for kind in types:
        base, _, part = kind.partition("#")
        if part == "route":
            yield from dict.fromkeys(Facet(route.logical_id, _segment(route.path)) for route in template.routes)
            continue
        for resource in template.of(base):
            wanted = _WANTED.get((base, component))
            if wanted is None or wanted(template, resource):
                yield Facet(resource.logical_id, part)


def _segment(path: str) -> str:
    """The last fixed segment of a route: what the route is about."""
    fixed = [segment for segment in path.split("/") if segment and not segment.startswith("{")]
    return "/" + fixed[-1].lower() if fixed else "/"


def _invoked_by_api(template: Template, permission: Resource) -> bool:
    return text_of(permission.at("Principal")).startswith("apigateway.")


def _is_schedule(template: Template, resource: Resource) -> bool:
    """A rule with a schedule that may invoke its target: by the function's permission, or by a role."""
    if not text_of(resource.at("ScheduleExpression")):
        return False
    targets = resource.at("Targets")
    for target in targets.items if isinstance(targets, Seq) else ():
        arn = target.entries.get("Arn") if isinstance(target, Map) else None
        found = invoked(template, arn) if arn is not None else None
        held = (*template.permissions_of.get(found.function, ()), *template.permissions_of.get("", ())) if found else ()
        if found is not None and all(permission.lets("events") is False for permission in held):
            return False
    return isinstance(targets, Seq)


def _is_http(template: Template, api: Resource) -> bool:
    return text_of(api.at("ProtocolType")) != "WEBSOCKET"


def _has_schedule_event(template: Template, function: Resource) -> bool:
    return any(kind in ("Schedule", "ScheduleV2") for kind in _events(function))


def _has_api_event(template: Template, function: Resource) -> bool:
    return any(kind in ("Api", "HttpApi") for kind in _events(function))


def _events(function: Resource) -> Iterator[str]:
    events = function.at("Events")
    for event in events.entries.values() if isinstance(events, Map) else ():
        kind = event.entries.get("Type") if isinstance(event, Map) else None
        if isinstance(kind, Scalar):
            yield kind.text


def _has_authorizer(template: Template, api: Resource) -> bool:
    return _names_authorizer(template, api.logical_id) or _defines_authorizer(template, api)


def _names_authorizer(template: Template, api: str) -> bool:
    authorizers = template.apis.declared[api].at("Auth.Authorizers")
    return isinstance(authorizers, Map) and bool(authorizers.entries)


def _has_authorized_event(template: Template, function: Resource) -> bool:
    """Whether the API that SAM makes of the function's events has an authorizer, which Globals give it."""
    implicit = {api.type: api.logical_id for api in template.implicit_apis}
    owners = (implicit.get(f"AWS::Serverless::{kind}") for kind in _events(function))
    return any(owner is not None and _names_authorizer(template, owner) for owner in owners)


def _defines_authorizer(template: Template, api: Resource) -> bool:
    """Whether an OpenAPI definition holds an authorizer.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
    """
    body = definition_of(template.apis.declared[api.logical_id].settings).value
    for section in (["components", "securitySchemes"], ["securityDefinitions"]):
        schemes = descend(body, api.span, section)[0]
        for scheme in schemes.entries.values() if isinstance(schemes, Map) else ():
            if isinstance(scheme, Map) and "x-amazon-apigateway-authorizer" in scheme.entries:
                return True
    return False


def _has_own_role(template: Template, resource: Resource) -> bool:
    principal = template.principals.get(resource.logical_id)
    return principal is not None


_WANTED: Mapping[tuple[str, str], Callable[[Template, Resource], bool]] = {
    ("AWS::Lambda::Permission", "api-invoke-permission"): _invoked_by_api,
    ("AWS::ApiGatewayV2::Api", "rest-api"): _is_http,
    ("AWS::Serverless::Function", "rest-api"): _has_api_event,
    ("AWS::Serverless::Function", "authorizer"): _has_authorized_event,
    ("AWS::Serverless::Function", "api-deployment"): _has_api_event,
    ("AWS::Serverless::Function", "api-invoke-permission"): _has_api_event,
    ("AWS::Events::Rule", "deadline-rule"): _is_schedule,
    ("AWS::Serverless::Function", "deadline-rule"): _has_schedule_event,
    ("AWS::Serverless::StateMachine", "deadline-rule"): _has_schedule_event,
    ("AWS::ApiGateway::RestApi", "authorizer"): _defines_authorizer,
    ("AWS::ApiGatewayV2::Api", "authorizer"): _defines_authorizer,
    ("AWS::Serverless::Api", "authorizer"): _has_authorizer,
    ("AWS::Serverless::HttpApi", "authorizer"): _has_authorizer,
    ("AWS::Serverless::Function", "campaign-role"): _has_own_role,
    ("AWS::Serverless::Function", "payment-role"): _has_own_role,
    ("AWS::Serverless::Function", "screening-role"): _has_own_role,
    ("AWS::Serverless::StateMachine", "workflow-role"): _has_own_role,
}
"""What a resource of a type must also have to fill a component."""
