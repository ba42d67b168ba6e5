"""Questions about the routes and stages of APIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import Api, Route, Setting, Stage, capitals, shown
from cfaudit.model.declarations import descend
from cfaudit.model.policies import ResourceStatement, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value, truth


def _routed(outcome: Outcome, route: Route, place: Setting, message: str, *more: Evidence) -> Finding:
    return Finding(
        outcome=outcome,
        subject=route.logical_id,
        message=message,
        evidence=(Evidence(place.span, message), *more),
        logical_id=route.logical_id,
        property_path=place.path or None,
        salient=route.name,
    )


def _staged(outcome: Outcome, stage: Stage, place: Setting, message: str) -> Finding:
    return Finding(
        outcome=outcome,
        subject=stage.logical_id,
        message=message,
        evidence=(Evidence(place.span, message),),
        logical_id=stage.logical_id if stage.resource else None,
        property_path=place.path,
        salient=stage.name.text if isinstance(stage.name, Scalar) else "",
    )


def title_of(stage: Stage) -> str:
    """``Stage prod of Api``, as messages name a stage."""
    return f"Stage {stage.title} of {stage.api}" if stage.api else f"Stage {stage.title}"


# Callers -------------------------------------------------------------------------------------------------------------


def open_routes(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every route must know its callers: by an authorizer, IAM, or at least an API key.

    Judged are methods of REST APIs, routes of HTTP APIs, the `$connect` route of WebSocket APIs (the only one that can
    have an authorizer), operations of an OpenAPI definition in the template, and SAM's events with their default
    authorizers. CORS preflight (OPTIONS) is not judged. A route whose answer is a fixed response (a MOCK integration)
    passes, and so does an open route that not everybody can reach: in a private API, behind a resource policy that
    names callers, networks or addresses, or behind client certificates. Whether a route is meant to be public, a
    template cannot tell. An authorization that only deploy time knows, and an open route of another stack's API, are
    unknown.
    """
    for route in template.apis.routes:
        if route.method == "OPTIONS" or (route.kind == "websocket" and route.path != "$connect"):
            continue
        yield _judged_route(template, route)


def _judged_route(template: Template, route: Route) -> Finding:
    who, decided = route.authorization, route.authorization.decided
    if who.required or who.key:
        by = who.type if who.required else "an API key"
        return _routed(Outcome.PASS, route, decided, f"{route.logical_id} asks callers of {route.name} for {by}")
    if route.integration and capitals(route.integration.type.value) == "MOCK":
        message = f"{route.logical_id} answers {route.name} with a fixed response and calls no backend"
        return _routed(Outcome.PASS, route, route.integration.type, message)
    api = template.apis.declared.get(route.api or "")
    if who.required is None or who.key is None or api is None:
        which = "the API of another stack decides" if api is None else "only deploy time knows"
        return _routed(Outcome.UNKNOWN, route, decided, f"{which} whether {route.name} of {route.logical_id} is open")
    barrier = _barrier(template, api)
    if barrier is None:
        message = f"{route.logical_id} lets anyone call {route.name}: no authorization and no API key"
        return _routed(Outcome.FAIL, route, decided, message)
    outcome, reason, place = barrier
    message = f"{route.name} of {route.logical_id} has no authorization; {reason}"
    return _routed(outcome, route, decided, message, Evidence(place.span, reason))


_Barrier = tuple[Outcome, str, Setting]


def _barrier(template: Template, api: Api) -> _Barrier | None:
    """What keeps strangers from an open route of an API, or may do so; None when nothing does."""
    for path in ("EndpointConfiguration.Types", "EndpointConfiguration.Type", "EndpointConfiguration"):
        place = api.settings.get(path)
        items = place.value.items if isinstance(place.value, Seq) else (place.value,)
        if any(isinstance(item, Scalar) and item.text.upper() == "PRIVATE" for item in items):
            return Outcome.PASS, "the API is private: only a VPC endpoint reaches it", place
        if any(isinstance(item, Unknown) for item in items):
            return Outcome.UNKNOWN, "only deploy time knows whether the API is private", place
    return _by_policy(api) or _by_certificate(template, api)


_NAMES_CALLERS = ("aws:source", "aws:vpcsource", "aws:principal", "aws:userid", "aws:username")


def _by_policy(api: Api) -> _Barrier | None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies.html"""
    for path in ("Policy", "Body.x-amazon-apigateway-policy", "DefinitionBody.x-amazon-apigateway-policy"):
        place = api.settings.get(path)
        if isinstance(place.value, Absent):
            continue
        restricts = _restricts(place.value)
        if restricts is None:
            return Outcome.UNKNOWN, "only deploy time knows whom the API's resource policy lets in", place
        if restricts:
            return Outcome.PASS, "the API's resource policy restricts who may call", place
    place = api.settings.get("Auth.ResourcePolicy")
    if isinstance(place.value, Unknown) or (isinstance(place.value, Map) and "CustomStatements" in place.value.entries):
        return Outcome.UNKNOWN, "the API's resource policy may restrict who may call", place
    if isinstance(place.value, Map) and any("Whitelist" in name for name in place.value.entries):
        return Outcome.PASS, "the API's resource policy restricts who may call", place
    return None


def _restricts(policy: Value) -> bool | None:
    found = list(statements(policy))
    known = [statement for statement in found if isinstance(statement, ResourceStatement)]
    if any(statement.effect == "Deny" and _names_callers(statement) for statement in known):
        return True
    if len(known) < len(found):
        return None
    allows = [statement for statement in known if statement.effect == "Allow"]
    if any(statement.everyone and _names_callers(statement) is False for statement in allows):
        return False
    answers = [statement.everyone is False or _names_callers(statement) for statement in allows]
    return None if None in answers else True


def _names_callers(statement: ResourceStatement) -> bool | None:
    """Whether a condition restricts a statement to networks, addresses or principals."""
    match statement.condition:
        case Absent():
            return False
        case Map(operators):
            keys = [key for operator in operators.values() if isinstance(operator, Map) for key in operator.entries]
            return any(key.lower().startswith(_NAMES_CALLERS) for key in keys)
        case _:
            return None


def _by_certificate(template: Template, api: Api) -> _Barrier | None:
    """Mutual TLS on a custom domain counts only when the execute-api address is closed.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mutual-tls.html
    """
    place = api.settings.get("DisableExecuteApiEndpoint")
    if not truth(place.value):
        return None
    domains = list(template.of("AWS::ApiGateway::DomainName", "AWS::ApiGatewayV2::DomainName"))
    certified = [domain for domain in domains if not isinstance(domain.at("MutualTlsAuthentication"), Absent)]
    own = api.settings.get("Domain.MutualTlsAuthentication").value
    if certified or not isinstance(own, Absent):
        return Outcome.PASS, "callers of its only address, a custom domain, must show a client certificate", place
    if domains or not isinstance(api.at("Domain"), Absent):
        return None
    return Outcome.UNKNOWN, "its only address, a custom domain of another stack, may ask for certificates", place


# Integrations --------------------------------------------------------------------------------------------------------


def lambda_integration_method(template: Template, facts: Facts) -> Iterator[Finding]:
    """API Gateway must call a Lambda function with POST, whatever the method of the route.

    Judged are the Lambda integrations of REST and WebSocket APIs, in resources and in OpenAPI definitions. A REST
    integration without a method fails as well; for a WebSocket API AWS then uses POST. For HTTP APIs, AWS documents
    POST only as what the integration has, so a missing method or POST passes and another one is unknown. SAM's events
    pass: SAM writes POST.
    """
    seen: set[tuple[str, str]] = set()
    for route in template.apis.routes:
        integration = route.integration
        if integration is None or integration.invokes is False:
            continue
        place = integration.method
        outcome = _method_outcome(place.value, rest=route.kind == "rest", http=route.kind in ("http", None))
        if integration.invokes is None and outcome is Outcome.FAIL:
            outcome = Outcome.UNKNOWN
        if (integration.resource.logical_id, place.path) in seen:
            continue
        seen.add((integration.resource.logical_id, place.path))
        calls = "may fail to call" if outcome is Outcome.UNKNOWN else "calls"
        message = f"{integration.resource.logical_id} {calls} {_function(route)} with {_verb(place.value)}"
        yield Finding(
            outcome=outcome,
            subject=integration.resource.logical_id,
            message=message,
            evidence=(Evidence(place.span, message), Evidence(integration.uri.span, "the function it calls")),
            logical_id=integration.resource.logical_id,
            property_path=place.path,
            salient=route.name,
        )


def _function(route: Route) -> str:
    target = route.integration.target if route.integration else None
    return target.function if target else "its function"


def _verb(method: Value) -> str:
    return shown(method) if not isinstance(method, Absent) else "no method given"


def _method_outcome(method: Value, *, rest: bool, http: bool) -> Outcome:
    match method:
        case Unknown():
            return Outcome.UNKNOWN
        case Absent():
            return Outcome.FAIL if rest else Outcome.PASS
        case Scalar(text) if text.upper() == "POST":
            return Outcome.PASS
        case _:
            return Outcome.UNKNOWN if http else Outcome.FAIL


# Stages --------------------------------------------------------------------------------------------------------------


def stage_setting(
    template: Template,
    facts: Facts,
    *,
    paths: Mapping[str, str],
    accepts: tuple[str, ...] = (),
    default: str | None = None,
    good: str,
    bad: str,
) -> Iterator[Finding]:
    """Every stage must have the listed property, with one of the accepted values if there are any.

    The path depends on the API's protocol; a protocol that is not listed has no such setting and is not judged. A
    stage made by a Deployment is read from its StageDescription, a SAM API's stage from the API and from Globals. The
    stage named Stage that SAM adds is left to the rule about implicit stages. A value that only deploy time knows is
    unknown.
    """
    for stage in template.apis.stages:
        path = paths.get(stage.kind or "http")
        if path is None or stage.maker == "sam":
            continue
        place = stage.get(path)
        outcome = _set_outcome(place.value, accepts, default)
        says = good if outcome is Outcome.PASS else bad
        if outcome is Outcome.UNKNOWN:
            says = f"sets {place.path} to a value that only deploy time knows"
        yield _staged(outcome, stage, place, f"{title_of(stage)} {says}")


def _set_outcome(value: Value, accepts: tuple[str, ...], default: str | None) -> Outcome:
    match value:
        case Unknown():
            return Outcome.UNKNOWN if accepts else Outcome.PASS
        case Absent():
            text = default
        case Scalar(text):
            pass
        case _:
            return Outcome.FAIL if accepts else Outcome.PASS
    if text is None:
        return Outcome.FAIL
    return Outcome.PASS if not accepts or text.lower() in accepts else Outcome.FAIL


def stage_of_its_own(template: Template, facts: Facts, *, features: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """Every stage of a REST API should be a resource of its own.

    A stage made by the `StageName` of a Deployment fails when its `StageDescription` leaves any of the listed features
    unset; the message names them. With all of them set it passes. A SAM API has a stage of its own, and a second, bare
    one named Stage, unless `OpenApiVersion` is set: that one fails. HTTP and WebSocket APIs have no such stages and are
    not judged.
    """
    for stage in template.apis.stages:
        if stage.kind != "rest" or stage.maker == "quick-create":
            continue
        if stage.maker == "stage":
            place = Setting(stage.name, stage.span, "StageName")
            yield _staged(Outcome.PASS, stage, place, f"{title_of(stage)} is declared as a stage of its own")
        elif stage.maker == "sam":
            place = Setting(stage.name, stage.span, "OpenApiVersion")
            message = f"SAM also deploys {stage.api} to a bare stage named Stage, because OpenApiVersion is not set"
            yield _staged(Outcome.FAIL, stage, place, message)
        else:
            yield _judged_deployment(stage, features)


def _judged_deployment(stage: Stage, features: Mapping[str, tuple[str, ...]]) -> Finding:
    answers = {name: _featured(stage, paths) for name, paths in features.items()}
    missing = [name for name, answer in answers.items() if answer is False]
    span = stage.resource.where("StageName") if stage.resource else stage.span
    place = Setting(stage.name, span, "StageName")
    made = f"{title_of(stage)} is made by {stage.logical_id}"
    if missing:
        return _staged(Outcome.FAIL, stage, place, f"{made}, without {_listed(missing)}")
    if None in answers.values():
        return _staged(Outcome.UNKNOWN, stage, place, f"{made}; only deploy time knows with which settings")
    return _staged(Outcome.PASS, stage, place, f"{made}, with {_listed(list(answers))}")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _featured(stage: Stage, paths: tuple[str, ...]) -> bool | None:
    answers = []
    for path in paths:
        head, _, tail = path.partition(".*.")
        value = stage.get(head).value
        members = value.items if tail and isinstance(value, Seq) else (value,)
        for member in members:
            found = descend(member, member.span, [tail])[0] if tail and isinstance(member, Map) else member
            answers.append(truth(found) if path.endswith("Enabled") else _is_there(found))
    return True if True in answers else None if None in answers else False


def _is_there(value: Value) -> bool:
    return bool(value.text) if isinstance(value, Scalar) else isinstance(value, Unknown) or truth(value) is True


# Limits --------------------------------------------------------------------------------------------------------------


class _Limits(NamedTuple):
    """Limits for one method and path; ``*`` stands for all of them."""

    covers: str
    rate: Value
    burst: Value
    place: Setting


def stage_limits(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every stage must limit both the rate and the burst of requests, for all its routes.

    For REST APIs: MethodSettings for `/*` and `*` (or, for a stage made by a Deployment, its StageDescription), for
    HTTP and WebSocket APIs: DefaultRouteSettings. Limits for each single route count when every route has them. A
    negative limit means none. The throttle of a usage plan does not count: it limits each API key, not the stage.
    Without limits of its own a stage is limited only by the quota that all APIs of the account share in a region. The
    stage named Stage that SAM adds is left to the rule about implicit stages.
    """
    for stage in template.apis.stages:
        if stage.maker != "sam":
            yield _judged_limits(template, stage)


def _judged_limits(template: Template, stage: Stage) -> Finding:
    main = stage.get("MethodSettings" if stage.kind == "rest" else "DefaultRouteSettings")
    limits = list(_rest_limits(stage) if stage.kind == "rest" else _route_limits(stage))
    general = [entry for entry in limits if entry.covers == "*"]
    outcomes = [_limited(entry) for entry in general]
    title = title_of(stage)
    if Outcome.PASS in outcomes:
        entry = general[outcomes.index(Outcome.PASS)]
        message = f"{title} limits requests to {shown(entry.rate)} a second, with bursts of {shown(entry.burst)}"
        return _staged(Outcome.PASS, stage, entry.place, message)
    if Outcome.UNKNOWN in outcomes or isinstance(main.value, Unknown):
        place = general[outcomes.index(Outcome.UNKNOWN)].place if Outcome.UNKNOWN in outcomes else main
        return _staged(Outcome.UNKNOWN, stage, place, f"only deploy time knows the limits of {title}")
    single = {entry.covers: _limited(entry) for entry in limits if entry.covers != "*"}
    routes = template.apis.routes_of.get(stage.api or "", ())
    api = template.apis.declared.get(stage.api or "")
    if single and api and api.complete and all(single.get(route.name) is Outcome.PASS for route in routes):
        return _staged(Outcome.PASS, stage, main, f"{title} limits the requests of each of its routes")
    if single and (api is None or not api.complete):
        return _staged(Outcome.UNKNOWN, stage, main, f"{title} has limits for single routes; its routes are not shown")
    place = general[0].place if general else main
    return _staged(Outcome.FAIL, stage, place, f"{title} has {_lacks(general)}; only the account's shared quota holds")


def _lacks(general: list[_Limits]) -> str:
    rate = any(_amount(entry.rate) is Outcome.PASS for entry in general)
    burst = any(_amount(entry.burst) is Outcome.PASS for entry in general)
    return "a rate limit but no burst limit" if rate else "no rate limit" if burst else "no rate and burst limits"


def _limited(entry: _Limits) -> Outcome:
    return min(_amount(entry.rate), _amount(entry.burst), key=list(Outcome).index)


def _amount(value: Value) -> Outcome:
    match value:
        case Unknown():
            return Outcome.UNKNOWN
        case Scalar(text):
            return Outcome.FAIL if text.strip().startswith("-") else Outcome.PASS
        case _:
            return Outcome.FAIL


def _rest_limits(stage: Stage) -> Iterator[_Limits]:
    rate, burst = stage.get("ThrottlingRateLimit"), stage.get("ThrottlingBurstLimit")
    if stage.maker == "deployment" and not (isinstance(rate.value, Absent) and isinstance(burst.value, Absent)):
        yield _Limits("*", rate.value, burst.value, burst if isinstance(rate.value, Absent) else rate)
    settings = stage.get("MethodSettings")
    for entry in settings.value.items if isinstance(settings.value, Seq) else ():
        method, path, rate_, burst_ = (
            descend(entry, entry.span, [name])[0]
            for name in ("HttpMethod", "ResourcePath", "ThrottlingRateLimit", "ThrottlingBurstLimit")
        )
        verb, where = capitals(method), "/" + shown(path).replace("~1", "/").lstrip("/")
        covers = "*" if (verb, where) == ("*", "/*") else f"{verb} {where}"
        yield _Limits(covers, rate_, burst_, Setting(entry, entry.span, settings.path))


def _route_limits(stage: Stage) -> Iterator[_Limits]:
    default, single = stage.get("DefaultRouteSettings"), stage.get("RouteSettings")
    for covers, place in (("*", default), *_entries(single)):
        if isinstance(place.value, Map):
            rate, burst = (
                descend(place.value, place.span, [name])[0] for name in ("ThrottlingRateLimit", "ThrottlingBurstLimit")
            )
            yield _Limits(covers, rate, burst, place)


def _entries(settings: Setting) -> Iterator[tuple[str, Setting]]:
    for name, value in settings.value.entries.items() if isinstance(settings.value, Map) else ():
        yield name, Setting(value, value.span, f"{settings.path}.{name}")
