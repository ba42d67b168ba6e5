"""What an API is: its routes, authorization, integrations, stages and authorizers; ``apis`` and ``routes`` build them.

REST APIs (``AWS::ApiGateway``), HTTP and WebSocket APIs (``AWS::ApiGatewayV2``), SAM's two API types, the APIs that SAM
makes of function events, and OpenAPI definitions written in the template all look the same here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.invocations import Event, Target, is_undefined, sam_events
from cfaudit.model.names import rendered
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, parts_of, spelled, stretch

Kind: TypeAlias = Literal["rest", "http", "websocket"]

REST_TYPES = ("AWS::ApiGateway::RestApi", "AWS::Serverless::Api")
V2_TYPES = ("AWS::ApiGatewayV2::Api", "AWS::Serverless::HttpApi")
API_TYPES = REST_TYPES + V2_TYPES

HOLE = "…"
"""Stands for what only deploy time knows, in a path for a part of it that nothing names."""

_WRITTEN = re.compile(r"\$\{[^{}]*\}|\{\{resolve:[^{}]*\}\}")

AS_CALLER = "arn:aws:iam::*:user/*"
"""The credentials of an integration that runs with the rights of whoever calls the API.

https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html
"""

SAM_IMPLICIT = {"Api": "ServerlessRestApi", "HttpApi": "ServerlessHttpApi"}


class Setting(NamedTuple):
    """A property as it stands: its value, its text (or where it is missed) and its path."""

    value: Value
    span: Span
    path: str


class Settings(NamedTuple):
    """Where properties stand: in a resource below ``prefix``, and in a section of SAM's Globals."""

    resource: Resource | None
    prefix: str
    defaults: Map[Value] | None
    anchor: Span

    def get(self, path: str) -> Setting:
        """A property, merged with SAM's Globals as SAM does: lists one after the other, else the resource's own."""
        own = Setting(Absent(self.anchor), self.anchor, self.prefix + path)
        if self.resource is not None:
            own = setting(self.resource, self.prefix + path)
        if self.defaults is None:
            return own
        shared, key = descend(self.defaults, own.span, path.split("."))
        if isinstance(own.value, Absent) and not isinstance(shared, Absent):
            return Setting(shared, stretch(key, shared), path)
        if isinstance(own.value, Seq) and isinstance(shared, Seq):
            return own._replace(value=Seq(shared.items + own.value.items, own.value.span))
        return own


def setting(resource: Resource, path: str) -> Setting:
    """A property of a resource as it stands."""
    return Setting(resource.at(path), resource.where(path), path)


def below(value: Value, anchor: Span, prefix: str, *names: str) -> Setting:
    found, key = descend(value, anchor, names)
    span = found.span if isinstance(found, Absent) else stretch(key, found)
    return Setting(found, span, ".".join((prefix, *names)))


class Api(NamedTuple):
    """An API that this template declares; ``kind`` is None when only deploy time knows the protocol.

    ``resource`` is None for an API that SAM makes of function events. ``complete`` says whether the template shows all
    its routes: it does not when they come from a file or a macro.
    """

    logical_id: str
    kind: Kind | None
    resource: Resource | None
    settings: Settings
    span: Span
    complete: bool

    def at(self, path: str) -> Value:
        """The value of a property of the API."""
        return self.settings.get(path).value


class Authorization(NamedTuple):
    """How a route knows its callers.

    ``required``: whether a caller must prove who they are; ``key``: whether an API key is required; None when only
    deploy time knows. ``type`` is ``COGNITO_USER_POOLS``, ``AWS_IAM`` or an authorizer's name; ``decided`` is the text
    that decides, or where it is missed.
    """

    required: bool | None
    key: bool | None
    type: str
    decided: Setting


class Integration(NamedTuple):
    """What stands behind a route.

    ``target`` is the declared function it invokes. ``invokes`` says whether it invokes any function, None when only
    deploy time knows. ``managed`` says that SAM writes it, with method and permission.
    """

    resource: Resource
    type: Setting
    method: Setting
    uri: Setting
    credentials: Setting
    target: Target | None
    invokes: bool | None
    managed: bool = False


class Route(NamedTuple):
    """A method and a path of an API, ``/campaigns/{id}``; ``$connect`` or ``$default`` where a route key is that.

    ``api`` is the API's logical id, None for an API of another stack; ``resource`` declares the route, at
    ``property_path``.
    """

    api: str | None
    kind: Kind | None
    method: str
    path: str
    resource: Resource
    property_path: str
    span: Span
    authorization: Authorization
    integration: Integration | None

    @property
    def logical_id(self) -> str:
        """The logical id of the resource that declares it."""
        return self.resource.logical_id

    @property
    def name(self) -> str:
        """``GET /campaigns/{id}``, or the route key of a WebSocket API."""
        return f"{self.method} {self.path}".strip()


Maker: TypeAlias = Literal["stage", "deployment", "quick-create", "sam"]


class Stage(NamedTuple):
    """A stage of an API.

    ``maker``: a resource of its own (SAM's APIs included), the ``StageName`` of a Deployment, the quick create of an
    HTTP API, or SAM, which adds a bare stage named Stage unless ``OpenApiVersion`` is set.
    """

    api: str | None
    kind: Kind | None
    logical_id: str
    resource: Resource | None
    name: Value
    settings: Settings
    maker: Maker
    span: Span

    def get(self, path: str) -> Setting:
        """A setting by the name it has on ``AWS::ApiGateway::Stage`` (or ``AWS::ApiGatewayV2::Stage``)."""
        return self.settings.get(path)

    @property
    def title(self) -> str:
        """Its name where it is known, else its logical id."""
        return self.name.text if isinstance(self.name, Scalar) else self.logical_id

    def named_by(self, api: str, stage: str) -> bool | None:
        """Whether rendered text for an API id and a stage name means this stage; None when only deploy time knows."""
        own = self._stage_tokens()
        if self.maker == "stage" and f"\x01{self.logical_id}|\x02" == stage and self.logical_id != self.api:
            return True
        if not _is_token(api, self.api):
            return None if self.api is None or _open(api) or "\x01" not in api else False
        if stage in own:
            return True
        known = isinstance(self.name, Scalar) and "\x01" not in stage
        return False if known or _is_reference(stage) else None

    def _stage_tokens(self) -> frozenset[str]:
        tokens = {f"\x01{self.logical_id}|\x02", f"\x01{self.api}|Stage\x02"}
        tokens |= {f"\x01undefined|{self.api}{part}\x02" for part in (".Stage", "Stage", f"{self.title}Stage")}
        if isinstance(self.name, (Scalar, Unknown)):
            tokens.add(rendered(self.name))
        return frozenset(tokens)


def _is_token(text: str, logical_id: str | None) -> bool:
    return bool(logical_id) and text.startswith((f"\x01{logical_id}|", f"\x01undefined|{logical_id}\x02"))


def _is_reference(text: str) -> bool:
    return text.startswith("\x01") and text.endswith("\x02") and not _open(text)


def _open(text: str) -> bool:
    return any(f"\x01{kind}|" in text for kind in ("parameter", "import", "dynamic", "function", "macro", "undefined"))


class Authorizer(NamedTuple):
    """A Lambda, Cognito or JWT authorizer; ``managed`` says that SAM writes it, with its permission."""

    api: str | None
    resource: Resource
    name: str
    uri: Setting
    credentials: Setting
    span: Span
    managed: bool = False


def shown(value: Value) -> str:
    """A value as text, what only deploy time knows as the template writes it; empty when it is not there."""
    return spelled(parts_of(value))


def capitals(value: Value) -> str:
    """The same of a keyword that is compared without case: its known text in capitals."""
    return spelled(part.upper() if isinstance(part, str) else part for part in parts_of(value))


def blanked(text: str) -> str:
    """What ``shown`` gave, or a path or method made of it, with ``…`` for each thing that only deploy time knows."""
    return _WRITTEN.sub(HOLE, text)


def owner_of(template: Declarations, value: Value) -> str | None:
    """The logical id of the API that an id refers to, also one that SAM makes."""
    for reference in value.references if isinstance(value, Unknown) else ():
        resource = template.resources.get(reference.logical_id)
        if resource is not None and resource.type in API_TYPES:
            return resource.logical_id
    return next((name for name in SAM_IMPLICIT.values() if is_undefined(value, name)), None)


def definition_of(settings: Settings) -> Setting:
    body = settings.get("Body")
    return settings.get("DefinitionBody") if isinstance(body.value, Absent) else body


def api_events(template: Declarations, *types: str) -> Iterator[Event]:
    for resource in template.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        yield from sam_events(resource, *types)


def event_api(template: Declarations, event: Event) -> str | None:
    """The API an event adds a route to; one that names no API belongs to the API SAM makes."""
    value = event.properties.entries.get("RestApiId" if event.type == "Api" else "ApiId")
    return SAM_IMPLICIT[event.type] if value is None else owner_of(template, value)
