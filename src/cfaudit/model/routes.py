"""Resources and APIs in, routes out: REST methods, HTTP and WebSocket routes, OpenAPI operations, SAM events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.api import (
    API_TYPES,
    AS_CALLER,
    HOLE,
    SAM_IMPLICIT,
    Api,
    Authorization,
    Integration,
    Route,
    Setting,
    Settings,
    below,
    blanked,
    capitals,
    definition_of,
    event_api,
    owner_of,
    setting,
    shown,
)
from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.invocations import Event, Target, invoked, is_undefined, sam_events, sam_target
from cfaudit.model.names import rendered
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, parts_of, truth

_VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")
_LAMBDA_URI = re.compile(r":lambda:(path|action)/|:lambda:[^:]*:[^:]*:function:")

# Routes --------------------------------------------------------------------------------------------------------------


def routes(template: Declarations, declared: Mapping[str, Api]) -> Iterator[Route]:
    paths: dict[str, str] = {}
    for resource in template.resources.values():
        match resource.type:
            case "AWS::ApiGateway::Method":
                yield _method(template, resource, paths)
            case "AWS::ApiGatewayV2::Route":
                yield _v2_route(template, resource, declared)
            case "AWS::Serverless::Function" | "AWS::Serverless::StateMachine":
                yield from _sam_routes(template, resource, declared)
            case _ if resource.logical_id in declared:
                yield from _defined_routes(template, declared[resource.logical_id])
                yield from _quick_route(template, resource)


def _method(template: Declarations, resource: Resource, paths: dict[str, str]) -> Route:
    has = not isinstance(resource.at("Integration"), Absent)
    return Route(
        api=owner_of(template, resource.at("RestApiId")),
        kind="rest",
        method=capitals(resource.at("HttpMethod")),
        path=_resource_path(template, resource.at("ResourceId"), paths) or "/",
        resource=resource,
        property_path="",
        span=resource.span,
        authorization=_typed(setting(resource, "AuthorizationType"), resource),
        integration=_integration(template, resource, _METHOD_NAMES) if has else None,
    )


_METHOD_NAMES = ("Integration.Type", "Integration.IntegrationHttpMethod", "Integration.Uri", "Integration.Credentials")
_V2_NAMES = ("IntegrationType", "IntegrationMethod", "IntegrationUri", "CredentialsArn")


def _integration(template: Declarations, resource: Resource, names: tuple[str, ...]) -> Integration:
    return _integrated(template, resource, tuple(setting(resource, name) for name in names))


def _integrated(template: Declarations, resource: Resource, found: tuple[Setting, ...]) -> Integration:
    type_, method, uri, credentials = found
    target = invoked(template, uri.value)
    kind = capitals(type_.value)
    possible = kind in ("AWS", "AWS_PROXY") or HOLE in blanked(kind)
    if not possible or not isinstance(resource.at("IntegrationSubtype"), Absent):
        return Integration(resource, type_, method, uri, credentials, None, invokes=False)
    proxied = kind == "AWS_PROXY"  # the one AWS service behind AWS_PROXY without a subtype is Lambda
    return Integration(resource, type_, method, uri, credentials, target, proxied or _invokes(uri.value, target))


def _invokes(uri: Value, target: Target | None) -> bool | None:
    if target is not None:
        return True
    if not isinstance(uri, (Scalar, Unknown)):
        return False
    if _LAMBDA_URI.search(rendered(uri)):
        return True
    known = any(isinstance(part, str) and ":apigateway:" in part for part in parts_of(uri))
    return False if isinstance(uri, Scalar) or known else None


def _typed(type_: Setting, resource: Resource) -> Authorization:
    """The authorization of a Method or Route. A type that is not there lets everybody in, an authorizer aside."""
    required: bool | None
    match type_.value:
        case Unknown():
            required = None
        case Scalar(text):
            required = text.upper() != "NONE"
        case _:
            required = False if isinstance(resource.at("AuthorizerId"), Absent) else None
    return Authorization(required, truth(resource.at("ApiKeyRequired")), shown(type_.value), type_)


def _resource_path(template: Declarations, value: Value, paths: dict[str, str]) -> str:
    """The path of an ``AWS::ApiGateway::Resource``, empty for the root."""
    for reference in value.references if isinstance(value, Unknown) else ():
        resource = template.resources.get(reference.logical_id)
        if resource is None or resource.type in API_TYPES:
            return "" if resource else HOLE
        if resource.type == "AWS::ApiGateway::Resource":
            if resource.logical_id not in paths:
                paths[resource.logical_id] = HOLE  # a parent that is its own child never deploys
                parent = _resource_path(template, resource.at("ParentId"), paths)
                paths[resource.logical_id] = f"{parent}/{shown(resource.at('PathPart'))}"
            return paths[resource.logical_id]
    return "" if any(is_undefined(value, f"{name}.RootResourceId") for name in SAM_IMPLICIT.values()) else HOLE


def _v2_route(template: Declarations, resource: Resource, declared: Mapping[str, Api]) -> Route:
    api = owner_of(template, resource.at("ApiId"))
    key = shown(resource.at("RouteKey"))
    verb, _, path = key.partition(" ")
    kind = declared[api].kind if api else "http" if path else None
    target = next(iter(_integrations(template, resource.at("Target"))), None)
    return Route(
        api=api,
        kind=kind,
        method=(verb.upper() if blanked(verb) == verb else verb) if path else "ANY" if kind == "http" else "",
        path=path or key,
        resource=resource,
        property_path="",
        span=resource.span,
        authorization=_typed(setting(resource, "AuthorizationType"), resource),
        integration=_integration(template, target, _V2_NAMES) if target else None,
    )


def _quick_route(template: Declarations, resource: Resource) -> Iterator[Route]:
    """Quick create of an HTTP API makes one route to one target.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigatewayv2-api.html
    """
    target = setting(resource, "Target")
    if isinstance(target.value, Absent) or resource.type != "AWS::ApiGatewayV2::Api":
        return
    key = shown(resource.at("RouteKey")) or "$default"
    verb, _, path = key.partition(" ")
    function = invoked(template, target.value)
    type_ = Setting(Scalar("AWS_PROXY" if function else "HTTP_PROXY", target.span), target.span, "Target")
    method = Setting(Absent(target.span), target.span, "Target")
    credentials = setting(resource, "CredentialsArn")
    yield Route(
        api=resource.logical_id,
        kind="http",
        method=verb if path else "ANY",
        path=path or key,
        resource=resource,
        property_path="Target",
        span=target.span,
        authorization=Authorization(False, key=False, type="", decided=target),
        integration=Integration(resource, type_, method, target, credentials, function, invokes=function is not None),
    )


def _integrations(template: Declarations, value: Value) -> Iterator[Resource]:
    for reference in value.references if isinstance(value, Unknown) else ():
        resource = template.resources.get(reference.logical_id)
        if resource is not None and resource.type == "AWS::ApiGatewayV2::Integration":
            yield resource


# Routes of an OpenAPI definition -------------------------------------------------------------------------------------


def _defined_routes(template: Declarations, api: Api) -> Iterator[Route]:
    body = definition_of(api.settings)
    paths = descend(body.value, body.span, ["paths"])[0]
    if api.resource is None or not isinstance(paths, Map):
        return
    for path, item in paths.entries.items():
        for verb, operation in item.entries.items() if isinstance(item, Map) else ():
            if verb.lower() in _VERBS and isinstance(operation, Map) and isinstance(item, Map):
                place = _Place(path, verb, f"{body.path}.paths.{path}.{verb}", item.keys[verb])
                yield _operation(template, api, api.resource, body, place, operation)


class _Place(NamedTuple):
    path: str
    verb: str
    where: str
    key: Span


def _operation(
    template: Declarations, api: Api, resource: Resource, body: Setting, place: _Place, operation: Map[Value]
) -> Route:
    path, verb, where, key = place
    extension = below(operation, key, where, "x-amazon-apigateway-integration")
    names = ("type", "httpMethod", "uri", "credentials")
    found = tuple(below(extension.value, extension.span, extension.path, name) for name in names)
    any_method = verb.startswith("x-amazon")
    return Route(
        api=api.logical_id,
        kind=api.kind,
        method="ANY" if any_method else verb.upper(),
        path=path,
        resource=resource,
        property_path=where,
        span=key,
        authorization=_secured(api, body, operation, key, where),
        integration=_integrated(template, resource, found) if isinstance(extension.value, Map) else None,
    )


def _secured(api: Api, body: Setting, operation: Map[Value], key: Span, where: str) -> Authorization:
    """What ``security`` asks of an operation; SAM adds its default authorizer and key to that.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
    """
    extension = below(operation, key, where, "x-amazon-apigateway-auth", "type")
    if isinstance(extension.value, (Scalar, Unknown)):
        text = shown(extension.value)
        required = None if isinstance(extension.value, Unknown) else text.upper() != "NONE"
        return Authorization(required, key=False, type=text, decided=extension)
    own = below(operation, key, where, "security")
    if api.resource is not None and api.resource.type.startswith("AWS::Serverless"):
        default = _sam_authorization(api.settings, None, key, where)
        if default.required is not False or default.key is not False:
            return default
    if isinstance(own.value, Absent):
        rooted = isinstance(descend(body.value, body.span, ["security"])[0], Absent)
        return Authorization(False if rooted else None, key=False if rooted else None, type="", decided=own)
    required_by = [_scheme(api, body.value, name) for name in _requirements(own.value)]
    if not isinstance(own.value, Seq):
        return Authorization(None, key=None, type="", decided=own)
    names = ", ".join(name for name in _requirements(own.value))
    return Authorization(_any(one for one, _ in required_by), _any(one for _, one in required_by), names, own)


def _requirements(security: Value) -> list[str]:
    items = security.items if isinstance(security, Seq) else ()
    return [name for item in items if isinstance(item, Map) for name in item.entries]


def _scheme(api: Api, body: Value, name: str) -> tuple[bool | None, bool | None]:
    """Whether a security scheme authorizes, and whether it asks for an API key."""
    scheme: Value = Absent(body.span)
    for section in (["components", "securitySchemes"], ["securityDefinitions"]):
        found = descend(body, body.span, [*section, name])[0]
        scheme = found if isinstance(scheme, Absent) else scheme
    if isinstance(api.at(f"Auth.Authorizers.{name}"), (Map, Scalar)):
        return True, False
    if not isinstance(scheme, Map):
        return (False, False) if name == "NONE" else (None, None)  # what SAM writes for Authorizer: NONE
    if {"x-amazon-apigateway-authorizer", "x-amazon-apigateway-authtype"} & set(scheme.entries):
        return True, False
    header = scheme.entries.get("name")
    is_key = isinstance(header, Scalar) and header.text.lower() == "x-api-key"
    return (False, True) if is_key else (None, None)


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False


# Routes of SAM events ------------------------------------------------------------------------------------------------


def _sam_routes(template: Declarations, resource: Resource, declared: Mapping[str, Api]) -> Iterator[Route]:
    for event in sam_events(resource, "Api", "HttpApi"):
        api = declared.get(event_api(template, event) or "")
        if api is not None and _is_defined(api):
            continue  # the event adds a permission; the route must be in the API's own definition
        prefix = f"{event.path}.Properties"
        verb = capitals(below(event.properties, event.span, prefix, "Method").value) or "ANY"
        path = shown(below(event.properties, event.span, prefix, "Path").value)
        settings = api.settings if api else Settings(None, "", None, event.span)
        authorization = _sam_authorization(settings, event, event.span, event.path)
        if api is None and authorization.required is False and _is_silent(event):
            authorization = authorization._replace(required=None, key=None)
        yield Route(
            api=api.logical_id if api else None,
            kind="rest" if event.type == "Api" else "http",
            method="ANY" if verb in ("ANY", "X-AMAZON-APIGATEWAY-ANY-METHOD") else verb,
            path=path or "$default",
            resource=resource,
            property_path=event.path,
            span=event.span,
            authorization=authorization,
            integration=_sam_integration(event, settings, authorization),
        )


def _is_defined(api: Api) -> bool:
    """Whether an API's routes come from a definition of its own, to which SAM adds no event's route.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-api.html
    """
    if api.resource is None:
        return False
    if not api.resource.type.startswith("AWS::Serverless"):
        return True
    has = any(not isinstance(api.at(path), Absent) for path in ("DefinitionBody", "DefinitionUri"))
    return has and not truth(api.at("MergeDefinitions"))


def _is_silent(event: Event) -> bool:
    return isinstance(below(event.properties, event.span, "", "Auth", "Authorizer").value, Absent)


def _sam_authorization(settings: Settings, event: Event | None, key: Span, where: str) -> Authorization:
    """The event's ``Auth``, else the API's: ``DefaultAuthorizer`` and ``ApiKeyRequired``.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-apifunctionauth.html
    """
    properties: Value = event.properties if event else Absent(key)
    own = below(properties, key, f"{where}.Properties", "Auth", "Authorizer")
    decided = settings.get("Auth.DefaultAuthorizer") if isinstance(own.value, Absent) else own
    own_key = below(properties, key, f"{where}.Properties", "Auth", "ApiKeyRequired").value
    needs_key = truth(settings.get("Auth.ApiKeyRequired").value if isinstance(own_key, Absent) else own_key)
    name = shown(decided.value)
    if isinstance(decided.value, Absent):
        return Authorization(False, needs_key, "", Setting(decided.value, key, where))
    required = None if isinstance(decided.value, Unknown) else name.upper() != "NONE"
    return Authorization(required, needs_key, name, decided)


def _sam_integration(event: Event, settings: Settings, authorization: Authorization) -> Integration:
    def written(text: str) -> Setting:
        return Setting(Scalar(text, event.span), event.span, event.path)

    nothing = Setting(Absent(event.span), event.span, event.path)
    function = event.resource.type == "AWS::Serverless::Function"
    target = sam_target(event.resource) if function else None
    type_ = written("AWS_PROXY" if function else "AWS")
    credentials = _sam_credentials(event, settings) if authorization.type == "AWS_IAM" else nothing
    method = written("POST")
    return Integration(event.resource, type_, method, nothing, credentials, target, invokes=function, managed=True)


def _sam_credentials(event: Event, settings: Settings) -> Setting:
    """As whom a REST API's route with AWS_IAM invokes: as its caller, unless ``InvokeRole`` says otherwise.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-apifunctionauth.html
    """
    own = below(event.properties, event.span, f"{event.path}.Properties", "Auth", "InvokeRole")
    role = settings.get("Auth.InvokeRole") if isinstance(own.value, Absent) else own
    named = role.value.text.upper() if isinstance(role.value, Scalar) else ""
    if event.type != "Api" or named == "NONE":
        return Setting(Absent(event.span), event.span, event.path)
    if isinstance(role.value, Absent) or named == "CALLER_CREDENTIALS":
        return Setting(Scalar(AS_CALLER, event.span), event.span, event.path)
    return role
