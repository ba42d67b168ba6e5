"""Questions about what clients of an API meet: preflight, routes that are there, answers in time, fresh deployments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.api import API_TYPES, HOLE, Api, Route, Stage, blanked, definition_of, owner_of, shown
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, strings, truth
from cfaudit.steps import documented

# Preflight -----------------------------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """Whether something answers a preflight, what is said of it, and where that stands."""

    outcome: Outcome
    reason: str
    span: Span | None = None
    assumed: tuple[str, ...] = ()


def cors_preflight(template: Template, facts: Facts) -> Iterator[Finding]:
    """A route that asks for authorization must answer the preflight request of browsers, without authorization.

    Judged are stacks with a browser client: a user pool client without a secret (unless it only calls back to an app),
    or a distribution. A browser sends OPTIONS before a request with an Authorization or an X-Api-Key header. On a REST
    API a method OPTIONS of the same path answers it, SAM's `Cors`, or a gateway response that turns the missing method
    into a success; on an HTTP API its CorsConfiguration or a route that takes OPTIONS. An OPTIONS method with a fixed
    response (MOCK) that sends no CORS headers fails. An answer that itself asks for authorization fails: so does what
    SAM adds for `Cors` beside a default authorizer or a required API key, unless AddDefaultAuthorizerToCorsPreflight
    (AddApiKeyRequiredToCorsPreflight) is false. An API that is an origin of a distribution passes: pages of that
    distribution call it without CORS. Routes of another stack's API, routes that the template does not show, and a REST
    API's greedy path above the route are unknown. WebSocket APIs are not judged.
    """
    browser = next(_browsers(template), None)
    if browser is None:
        return
    for route in template.routes:
        who = route.authorization
        if route.kind == "websocket" or route.method == "OPTIONS" or not (who.required or who.key):
            continue
        answer = _preflight(template, route)
        assumed = (browser.note, *answer.assumed)
        message = f"{route.name} of {route.logical_id} {answer.reason}"
        span = answer.span if answer.span and answer.outcome is Outcome.PASS else route.span
        more = [browser] if span == answer.span or answer.span is None else [Evidence(answer.span, message), browser]
        yield Finding(
            outcome=answer.outcome,
            subject=route.logical_id,
            message=message,
            evidence=(Evidence(span, message), *more),
            logical_id=route.logical_id,
            property_path=route.property_path or None,
            salient=route.name,
            assumed=assumed,
        )


def _browsers(template: Template) -> Iterator[Evidence]:
    for client in template.of("AWS::Cognito::UserPoolClient"):
        secret = client.at("GenerateSecret")
        back = [item for path in ("CallbackURLs", "DefaultRedirectURI") for item in strings(client.at(path))]
        native = bool(back) and all(isinstance(item, Scalar) and not item.text.startswith("http") for item in back)
        if truth(secret) is False and not native:
            note = f"{client.logical_id} is a client without a secret, so browsers call the API"
            yield Evidence(client.where("GenerateSecret"), note)
    for distribution in template.of("AWS::CloudFront::Distribution"):
        yield Evidence(distribution.span, f"{distribution.logical_id} serves a browser client that calls the API")


def _preflight(template: Template, route: Route) -> _Answer:
    api = template.apis.declared.get(route.api or "")
    if api is None:
        return _Answer(Outcome.UNKNOWN, "belongs to an API of another stack, which may answer its preflight")
    front = _front(template, api)
    if front is not None:
        assumed = (f"pages that call {api.logical_id} come from {front.logical_id}, at the same origin",)
        return _Answer(Outcome.PASS, f"is reached through {front.logical_id}", front.span, assumed)
    configured = _configured(api)
    if configured is not None:
        return configured
    answering = [other for other in template.apis.routes_of.get(api.logical_id, ()) if _takes(other, route)]
    open_ = next((other for other in answering if not (other.authorization.required or other.authorization.key)), None)
    if open_ is not None:
        greedy = open_.path != route.path and api.kind == "rest"
        if not greedy and _is_mute(open_.resource):
            return _Answer(Outcome.FAIL, f"has a preflight without CORS headers: {open_.name}", open_.span)
        if not greedy:
            return _Answer(Outcome.PASS, f"has a preflight: {open_.name} of {open_.logical_id}", open_.span)
        return _Answer(Outcome.UNKNOWN, f"may have its preflight answered by {open_.name} of {open_.logical_id}")
    rescued = _rescued(template, api)
    if rescued is not None:
        return rescued
    if not api.complete or template.macros:
        return _Answer(Outcome.UNKNOWN, "has no preflight that the template shows")
    if answering:
        return _Answer(Outcome.FAIL, f"has a preflight that asks for authorization: {answering[0].name}")
    return _Answer(Outcome.FAIL, "has no preflight: browsers do not get as far as sending the request")


def _takes(other: Route, route: Route) -> bool:
    """Whether a route takes the OPTIONS requests of another one's path."""
    if other.method not in ("OPTIONS", "ANY"):
        return False
    greedy = re.match(r"(.*/)\{[^{}]*\+\}$", other.path)
    inside = greedy is not None and route.path.startswith(greedy[1]) and route.path != greedy[1]
    return _shape(other.path) == _shape(route.path) or inside or other.path == "$default"


def _is_mute(method: Resource) -> bool:
    """Whether a method's fixed response lacks the header that lets a browser go on."""
    kind = method.at("Integration.Type")
    if method.type != "AWS::ApiGateway::Method" or not (isinstance(kind, Scalar) and kind.text.upper() == "MOCK"):
        return False
    responses = method.at("Integration.IntegrationResponses")
    if isinstance(responses, Unknown):
        return False
    headers = [held for _, held in method.each("Integration.IntegrationResponses.*.ResponseParameters")]
    names = " ".join(name for held in headers if isinstance(held, Map) for name in held.entries).lower()
    return not any(isinstance(held, Unknown) for held in headers) and "access-control-allow-origin" not in names


def _shape(path: str) -> str:
    return re.sub(r"\{[^{}+]*\}", "{}", blanked(path))


def _front(template: Template, api: Api) -> Resource | None:
    """A distribution that has the API among its origins."""
    for edge in template.edges_to.get(api.logical_id, ()):
        resource = template.resources[edge.source]
        if resource.type == "AWS::CloudFront::Distribution" and edge.path.startswith("DistributionConfig.Origins"):
            return resource
    return None


_DEFINED = "x-amazon-apigateway-cors"
_CORS_SETTINGS = ("CorsConfiguration", "Cors", f"Body.{_DEFINED}", f"DefinitionBody.{_DEFINED}")


def _configured(api: Api) -> _Answer | None:
    """What CORS settings of the API itself answer, if there are any."""
    for path in _CORS_SETTINGS:
        place = api.settings.get(path)
        if isinstance(place.value, Absent) or (isinstance(place.value, Scalar) and place.value.text in ("", "false")):
            continue
        if path == "Cors" and api.kind == "rest":
            return _sam_cors(api, place.span)
        return _Answer(Outcome.PASS, "has a preflight: API Gateway answers by the API's CORS settings", place.span)
    return None


_SAM_PREFLIGHT = (
    ("DefaultAuthorizer", "AddDefaultAuthorizerToCorsPreflight"),
    ("ApiKeyRequired", "AddApiKeyRequiredToCorsPreflight"),
)


def _sam_cors(api: Api, span: Span) -> _Answer:
    """SAM's OPTIONS methods, which by default ask for what the other methods ask for.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-api-apiauth.html
    """
    for asked, added in _SAM_PREFLIGHT:
        value, adds = api.at(f"Auth.{asked}"), api.at(f"Auth.{added}")
        asks = not isinstance(value, Absent) if asked == "DefaultAuthorizer" else truth(value)
        if isinstance(value, Scalar) and value.text.upper() in ("AWS_IAM", "NONE"):
            asks = False
        if asks and (isinstance(adds, Absent) or truth(adds)):
            return _Answer(Outcome.FAIL, f"has a preflight that asks for authorization: {added} is not false", span)
        if asks is None or (asks and truth(adds) is None):
            return _Answer(Outcome.UNKNOWN, "has a preflight that may ask for authorization", span)
    return _Answer(Outcome.PASS, "has a preflight: SAM adds it for Cors", span)


def _rescued(template: Template, api: Api) -> _Answer | None:
    """A gateway response that answers a missing OPTIONS method with success and CORS headers."""
    for response in template.of("AWS::ApiGateway::GatewayResponse"):
        status, kind = response.at("StatusCode"), shown(response.at("ResponseType"))
        headers = response.at("ResponseParameters")
        names = " ".join(headers.entries).lower() if isinstance(headers, Map) else ""
        success = isinstance(status, Scalar) and status.text.startswith("2") and "allow-origin" in names
        mine = owner_of(template, response.at("RestApiId")) == api.logical_id
        if mine and success and kind in ("MISSING_AUTHENTICATION_TOKEN", "DEFAULT_4XX"):
            return _Answer(Outcome.PASS, f"has a preflight: {response.logical_id} answers it", response.span)
    return None


# Answers in time -----------------------------------------------------------------------------------------------------

_WAITS = {"rest": 29_000, "http": 30_000, "websocket": 29_000}
"""Milliseconds. https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""


class _Wait(NamedTuple):
    """How long an API waits for a function: milliseconds, None when deploy time decides."""

    route: Route
    limit: int | None
    span: Span


def integration_timeout(template: Template, facts: Facts, *, default: str) -> Iterator[Finding]:
    """A function must not run longer than the API that waits for it.

    Compared are the function's Timeout (by default 3 seconds) and the shortest timeout among the integrations that
    invoke it: TimeoutInMillis where it is set, otherwise 29 seconds for REST and WebSocket APIs and 30 seconds for HTTP
    APIs. A timeout as long as the API's passes. Integrations that stream the response, and those that invoke
    asynchronously (X-Amz-Invocation-Type), do not count. A timeout that only deploy time knows is unknown.
    """
    held: dict[str, list[_Wait]] = {}
    for route in template.routes:
        target = route.integration.target if route.integration else None
        wait = _wait(template, route) if target else None
        if target and wait:
            held.setdefault(target.function, []).append(wait)
    for name, waits in held.items():
        function = template.functions.get(name)
        if function is None:
            continue
        value, place = function.at("Timeout"), function.where("Timeout")
        text = default if isinstance(value, Absent) else value.text if isinstance(value, Scalar) else ""
        known = [wait for wait in waits if wait.limit is not None]
        least = min(known, key=lambda wait: wait.limit or 0, default=None)
        seconds = int(text) if text.isdecimal() else None
        if seconds is not None and least and 1000 * seconds > (least.limit or 0):
            outcome, message = Outcome.FAIL, f"{name} may run {seconds} s, but {_api(least)} waits {_limit(least)}"
        elif seconds is None or len(known) < len(waits) or least is None:
            outcome, message = Outcome.UNKNOWN, f"whether {name} answers {_api(waits[0])} in time, deploy time decides"
        else:
            outcome, message = Outcome.PASS, f"{name} runs at most {seconds} s and {_api(least)} waits {_limit(least)}"
        more = [Evidence((least or waits[0]).span, f"{_api(least or waits[0])} invokes it")]
        path = function.path("Timeout")
        yield judged(outcome, function.resource, path, message, span=place, more=more)


def _api(wait: _Wait) -> str:
    return wait.route.api or f"the API of {wait.route.logical_id}"


def _limit(wait: _Wait) -> str:
    return f"{(wait.limit or 0) / 1000:g} s"


def _wait(template: Template, route: Route) -> _Wait | None:
    """How long an API waits for a route's function; None where nobody waits for the whole answer."""
    integration = route.integration
    if integration is None or _asynchronous(_of_integration(template, route, "RequestParameters")):
        return None
    mode = _of_integration(template, route, "ResponseTransferMode")
    if isinstance(mode, Scalar) and mode.text.upper() == "STREAM":
        return None
    value = _of_integration(template, route, "TimeoutInMillis")
    span = integration.uri.span if isinstance(value, Absent) else value.span
    if isinstance(value, Absent) and not isinstance(mode, Unknown):
        return _Wait(route, _WAITS[route.kind or "rest"], span)
    known = isinstance(value, Scalar) and value.text.isdecimal() and not isinstance(mode, Unknown)
    return _Wait(route, int(value.text) if known and isinstance(value, Scalar) else None, span)


def _of_integration(template: Template, route: Route, name: str) -> Value:
    """A property of a route's integration, by the name it has in ``AWS::ApiGateway::Method``."""
    resource = route.integration.resource if route.integration else route.resource
    if resource.type == "AWS::ApiGateway::Method":
        return resource.at(f"Integration.{name}")
    if resource.type == "AWS::ApiGatewayV2::Integration":
        return resource.at(name)
    if route.property_path.startswith("Events."):
        return resource.at(f"{route.property_path}.Properties.{name}")
    api = template.apis.declared.get(route.api or "")
    body = definition_of(api.settings).value if api and resource.type in API_TYPES else Absent(route.span)
    verb = "x-amazon-apigateway-any-method" if route.method == "ANY" else route.method.lower()
    path = ("paths", route.path, verb, "x-amazon-apigateway-integration", name[0].lower() + name[1:])
    return descend(body, route.span, path)[0]


def _asynchronous(parameters: Value) -> bool:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-integration-async.html"""
    names = parameters.entries if isinstance(parameters, Map) else {}
    return any(name.lower() == "integration.request.header.x-amz-invocation-type" for name in names)


# Routes that are there -----------------------------------------------------------------------------------------------


class _Need(NamedTuple):
    """What clients need a route for: its title, its methods, and where its path is looked for."""

    title: str
    methods: tuple[str, ...]
    words: tuple[str, ...]
    one: bool
    beside: tuple[str, ...]


def api_surface(
    template: Template,
    facts: Facts,
    *,
    campaigns: tuple[str, ...],
    contributions: tuple[str, ...],
    approvals: tuple[str, ...],
) -> Iterator[Finding]:
    """The API must have a route to read one campaign, one to read contributions, and one to approve a milestone.

    Routes are told by words in their paths. One campaign: GET with a parameter after the segment that names campaigns.
    Contributions: GET on a segment that names them. Approval: POST, PUT or PATCH on a segment that names one, asked for
    only when the stack has a workflow. ANY counts as each method. A greedy path that may take the request, an API
    whose routes the template does not show, and an API of another stack are unknown. Without any route for campaigns or
    contributions nothing is judged: that is another gap.
    """
    read, write = ("GET", "ANY"), ("POST", "PUT", "PATCH", "ANY")
    needs = [
        _Need("read one campaign", read, campaigns, one=True, beside=campaigns),
        _Need("read contributions", read, contributions, one=False, beside=contributions),
    ]
    if template.workflows:
        needs.append(_Need("approve a milestone", write, approvals, one=False, beside=campaigns))
    routes = [route for route in template.routes if route.kind != "websocket" and route.method != "OPTIONS"]
    for need in needs:
        beside = next((route for route in routes if _about(route, need.beside)), None)
        if beside is not None:
            yield _surface(template, need, routes, beside)


def _surface(template: Template, need: _Need, routes: list[Route], beside: Route) -> Finding:
    found = next((route for route in routes if route.method in need.methods and _serves(route, need)), None)
    greedy = next((route for route in routes if route.method in need.methods and _is_greedy(route)), None)
    api = template.apis.declared.get(beside.api or "")
    if found is not None:
        outcome, message, span = Outcome.PASS, f"{found.name} lets clients {need.title}", found.span
    elif greedy is not None:
        outcome, message, span = Outcome.UNKNOWN, f"{greedy.name} may let clients {need.title}", greedy.span
    elif api is None or not api.complete or template.macros:
        outcome, message, span = Outcome.UNKNOWN, f"no route that is shown lets clients {need.title}", beside.span
    else:
        outcome, message = Outcome.FAIL, f"no route of {api.logical_id} lets clients {need.title}"
        span = _path_of(template, beside)
    assumed = (f"{beside.name} is about what clients would {need.title} beside",) if outcome is not Outcome.PASS else ()
    return Finding(outcome, need.title, message, (Evidence(span, message),), logical_id=None, assumed=assumed)


def _path_of(template: Template, route: Route) -> Span:
    """Where the path of a REST API's method is declared, or the route itself."""
    target = template.target(route.resource.at("ResourceId"), "AWS::ApiGateway::Resource")
    return target.span if target and route.resource.type == "AWS::ApiGateway::Method" else route.span


def _segments(route: Route) -> list[str]:
    return [segment for segment in blanked(route.path).lower().split("/") if segment]


def _about(route: Route, words: tuple[str, ...]) -> bool:
    return any(word in segment for segment in _segments(route) for word in words if not segment.startswith("{"))


def _serves(route: Route, need: _Need) -> bool:
    segments = _segments(route)
    named = [any(word in segment for word in need.words) and segment[0] != "{" for segment in segments]
    if not need.one:
        return any(named)
    after = segments[1:]
    return any(
        here and next_.startswith("{") and len(segments) == at + 2
        for at, (here, next_) in enumerate(zip(named, after, strict=False))
    )


def _is_greedy(route: Route) -> bool:
    return "+}" in route.path or route.path == "$default" or HOLE in blanked(route.path)


# Deployments ---------------------------------------------------------------------------------------------------------

_HASHED = re.compile(r"(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\Z|[^A-Za-z0-9]")


def fresh_deployment(template: Template, facts: Facts, *, step: str) -> Iterator[Finding]:
    """A deployment of an API must be made anew when the API changes.

    A deployment is a snapshot. It is made anew when its logical id changes: by a hash or a number at its end, as SAM,
    the CDK and the Serverless Framework write it, or by a placeholder that a build replaces. It also passes when
    `Metadata.cfaudit.manual_steps` names the step, so that somebody does it. SAM's APIs and stages with AutoDeploy
    pass. A template with a macro is unknown: the macro may rename the deployment.
    """
    named = documented(template).get(step)
    for stage in template.apis.stages:
        yield from _deploying_stage(stage)
    automatic = {stage.api for stage in template.apis.stages if stage.api and truth(stage.get("AutoDeploy").value)}
    for deployment in template.of("AWS::ApiGateway::Deployment", "AWS::ApiGatewayV2::Deployment"):
        name = deployment.logical_id
        if owner_of(template, deployment.at("ApiId")) in automatic:
            continue
        if _HASHED.search(name):
            message = f"{name} gets another logical id with each change, so a new deployment is made"
            yield judged(Outcome.PASS, deployment, None, message)
        elif named is not None:
            message = f"{name} is made once; the manual step {step} says that somebody deploys the changes"
            yield judged(Outcome.PASS, deployment, None, message, span=named, more=[Evidence(deployment.span, name)])
        elif template.macros:
            yield judged(Outcome.UNKNOWN, deployment, None, f"{name} is made once, unless a macro renames it")
        else:
            message = f"{name} is made once: later changes of methods or routes never reach its stage"
            yield judged(Outcome.FAIL, deployment, None, message)


def _deploying_stage(stage: Stage) -> Iterator[Finding]:
    if stage.resource is None or stage.maker != "stage":
        return
    if stage.resource.type.startswith("AWS::Serverless"):
        message = f"SAM makes a new deployment of {stage.logical_id} with each change"
        yield judged(Outcome.PASS, stage.resource, None, message)
    elif truth(stage.get("AutoDeploy").value) and stage.resource.type == "AWS::ApiGatewayV2::Stage":
        message = f"{stage.logical_id} deploys each change by itself"
        yield judged(Outcome.PASS, stage.resource, "AutoDeploy", message)
