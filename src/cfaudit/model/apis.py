"""Resources in, every API with its routes, stages and authorizers out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.api import (
    API_TYPES,
    REST_TYPES,
    SAM_IMPLICIT,
    Api,
    Authorizer,
    Kind,
    Maker,
    Route,
    Settings,
    Stage,
    api_events,
    below,
    definition_of,
    event_api,
    owner_of,
    setting,
)
from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.routes import routes
from cfaudit.nodes import Absent, Map, Scalar, Unknown, Value


class Apis(NamedTuple):
    """The APIs of a template; routes and stages of another stack's API are among them, with ``api`` None."""

    declared: Mapping[str, Api]
    routes: tuple[Route, ...]
    stages: tuple[Stage, ...]
    authorizers: tuple[Authorizer, ...]
    routes_of: Mapping[str, tuple[Route, ...]]
    stages_of: Mapping[str, tuple[Stage, ...]]


def apis(template: Declarations) -> Apis:
    """Every API of the template, in template order."""
    declared = {api.logical_id: api for api in _apis(template)}
    found = tuple(routes(template, declared))
    stages = tuple(_stages(template, declared))
    routes_of: dict[str, list[Route]] = {}
    for route in found:
        routes_of.setdefault(route.api or "", []).append(route)
    stages_of: dict[str, list[Stage]] = {}
    for stage in stages:
        stages_of.setdefault(stage.api or "", []).append(stage)
    return Apis(
        declared=declared,
        routes=found,
        stages=stages,
        authorizers=tuple(_authorizers(template, declared)),
        routes_of={name: tuple(members) for name, members in routes_of.items()},
        stages_of={name: tuple(members) for name, members in stages_of.items()},
    )


# APIs ----------------------------------------------------------------------------------------------------------------


def _apis(template: Declarations) -> Iterator[Api]:
    for resource in template.of(*API_TYPES):
        settings = Settings(resource, "", _globals(template, resource.type, resource.logical_id), resource.span)
        body = definition_of(settings)
        complete = _is_plain(body.value) and all(isinstance(value, Absent) for value in _sources(settings))
        yield Api(resource.logical_id, _kind(resource), resource, settings, resource.span, complete)
    for type_, logical_id in SAM_IMPLICIT.items():
        events = [event for event in api_events(template, type_) if event_api(template, event) == logical_id]
        if events:
            kind: Kind = "rest" if type_ == "Api" else "http"
            settings = Settings(
                None, "", _globals(template, f"AWS::Serverless::{type_}", events[0].resource.logical_id), events[0].span
            )
            yield Api(logical_id, kind, None, settings, events[0].span, complete=True)


def written_by_sam(declared: Mapping[str, Api]) -> Iterator[Resource]:
    """The APIs that SAM makes of function events, as resources of SAM's own types that say nothing themselves."""
    types = {logical_id: f"AWS::Serverless::{event}" for event, logical_id in SAM_IMPLICIT.items()}
    for api in declared.values():
        if api.resource is None:
            yield Resource(api.logical_id, types[api.logical_id], Map({}, {}, api.span), api.span)


def _kind(resource: Resource) -> Kind | None:
    if resource.type in REST_TYPES:
        return "rest"
    match resource.at("ProtocolType"):
        case Scalar(text):
            return "websocket" if text.upper() == "WEBSOCKET" else "http"
        case Unknown():
            return None
        case _:
            return "http"  # an imported definition: only HTTP APIs have one


def _globals(template: Declarations, type_: str, logical_id: str) -> Map[Value] | None:
    section = {"AWS::Serverless::Api": "Api", "AWS::Serverless::HttpApi": "HttpApi"}.get(type_, "")
    value = template.globals_of(logical_id, section)
    return value if isinstance(value, Map) else None


def _sources(settings: Settings) -> Iterator[Value]:
    """Whatever makes routes that the template does not show."""
    for path in ("BodyS3Location", "CloneFrom", "DefinitionUri"):
        yield settings.get(path).value


def _is_plain(body: Value) -> bool:
    """Whether a definition is a map that can be read to its paths, or is not there."""
    if isinstance(body, Map):
        paths = descend(body, body.span, ["paths"])[0]
        members = paths.entries.values() if isinstance(paths, Map) else ()
        return isinstance(paths, (Map, Absent)) and all(isinstance(member, Map) for member in members)
    return isinstance(body, Absent)


# Stages --------------------------------------------------------------------------------------------------------------


def _stages(template: Declarations, declared: Mapping[str, Api]) -> Iterator[Stage]:
    overrides = {
        owner_of(template, resource.at("ApiId")): resource
        for resource in template.of("AWS::ApiGatewayV2::ApiGatewayManagedOverrides")
    }
    for resource in template.resources.values():
        settings = Settings(resource, "", None, resource.span)
        match resource.type:
            case "AWS::ApiGateway::Stage":
                api = owner_of(template, resource.at("RestApiId"))
                yield _stage(api, "rest", resource, settings, "stage")
            case "AWS::ApiGatewayV2::Stage":
                api = owner_of(template, resource.at("ApiId"))
                yield _stage(api, declared[api].kind if api else None, resource, settings, "stage")
            case "AWS::ApiGateway::Deployment" if not isinstance(resource.at("StageName"), Absent):
                api = owner_of(template, resource.at("RestApiId"))
                below = Settings(resource, "StageDescription.", None, resource.span)
                yield _stage(api, "rest", resource, below, "deployment")
            case "AWS::ApiGatewayV2::Api" if not isinstance(resource.at("Target"), Absent):
                below = Settings(overrides.get(resource.logical_id), "Stage.", None, resource.span)
                stage = _stage(resource.logical_id, "http", resource, below, "quick-create")
                yield stage._replace(name=Scalar("$default", resource.span))
    for api_ in declared.values():
        yield from _sam_stages(api_)


def _stage(api: str | None, kind: Kind | None, resource: Resource, settings: Settings, maker: Maker) -> Stage:
    return Stage(api, kind, resource.logical_id, resource, resource.at("StageName"), settings, maker, resource.span)


def _sam_stages(api: Api) -> Iterator[Stage]:
    """The stage that SAM's API types declare, and the one named Stage that SAM adds to a REST API.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-api.html#sam-api-openapiversion
    """
    if api.resource is not None and not api.resource.type.startswith("AWS::Serverless"):
        return
    name = api.settings.get("StageName").value
    if isinstance(name, Absent):
        name = Scalar("$default" if api.kind == "http" else "Prod", api.span)
    yield Stage(api.logical_id, api.kind, api.logical_id, api.resource, name, api.settings, "stage", api.span)
    if api.kind == "rest" and isinstance(api.at("OpenApiVersion"), Absent):
        bare = Settings(None, "", None, api.span)
        extra = Scalar("Stage", api.span)
        yield Stage(api.logical_id, "rest", api.logical_id, api.resource, extra, bare, "sam", api.span)


# Authorizers ---------------------------------------------------------------------------------------------------------


def _authorizers(template: Declarations, declared: Mapping[str, Api]) -> Iterator[Authorizer]:
    for resource in template.of("AWS::ApiGateway::Authorizer", "AWS::ApiGatewayV2::Authorizer"):
        first = resource.type == "AWS::ApiGateway::Authorizer"
        api = owner_of(template, resource.at("RestApiId" if first else "ApiId"))
        credentials = setting(resource, "AuthorizerCredentials" if first else "AuthorizerCredentialsArn")
        uri = setting(resource, "AuthorizerUri")
        yield Authorizer(api, resource, resource.logical_id, uri, credentials, resource.span)
    for api_ in declared.values():
        found = api_.at("Auth.Authorizers")
        for name, entry in found.entries.items() if isinstance(found, Map) and api_.resource else ():
            if api_.resource is not None and isinstance(found, Map):
                prefix = f"Auth.Authorizers.{name}"
                uri = below(entry, found.keys[name], prefix, "FunctionArn")
                role = below(entry, found.keys[name], prefix, "FunctionInvokeRole")
                yield Authorizer(api_.logical_id, api_.resource, name, uri, role, found.keys[name], managed=True)
