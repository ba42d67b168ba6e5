"""Questions about what an API accepts: whether it looks at a request before it hands it on."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import Route, Setting, capitals, definition_of, setting, shown
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Unknown, Value, truth

_VALIDATOR = "x-amazon-apigateway-request-validator"
_METHODS = frozenset({"POST", "PUT", "PATCH"})


def validated_requests(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every POST, PUT and PATCH method of a REST API must have a request validator that validates something.

    The validator is the method's `RequestValidatorId`, the `x-amazon-apigateway-request-validator` of an OpenAPI
    operation or of the whole definition, or the `RequestModel` of SAM's event with `ValidateBody` or
    `ValidateParameters`. A validator of the template with both checks off fails, and so does one that checks bodies for
    a method without models (`Empty`, the model that every API has, takes any object), or only parameters of a method
    that declares none. Methods for any verb and fixed responses (MOCK) are not judged, nor are HTTP and WebSocket APIs:
    AWS gives HTTP APIs no request validation.
    """
    for route in template.routes:
        if route.kind != "rest" or route.method not in _METHODS:
            continue
        if route.integration and capitals(route.integration.type.value) == "MOCK":
            continue
        yield _route(template, route)


def _route(template: Template, route: Route) -> Finding:
    if route.resource.type == "AWS::ApiGateway::Method":
        return _method(template, route, setting(route.resource, "RequestValidatorId"))
    if route.property_path.startswith("Events."):
        return _event(route)
    return _operation(template, route)


def _method(template: Template, route: Route, place: Setting) -> Finding:
    name = f"{route.name} ({route.logical_id})"
    if isinstance(place.value, Absent):
        return _found(Outcome.FAIL, route, place, f"{name} has no request validator")
    validator = template.target(place.value, "AWS::ApiGateway::RequestValidator")
    if validator is None:
        return _found(Outcome.PASS, route, place, f"{name} has a request validator")
    lacking = _lacks(validator, route.resource)
    evidence = Evidence(validator.span, "the validator")
    if lacking is None:
        return _found(Outcome.PASS, route, place, f"{validator.logical_id} validates requests to {name}", evidence)
    if lacking == "":
        message = f"What {validator.logical_id} validates is known at deploy time only"
        return _found(Outcome.UNKNOWN, route, place, message, evidence)
    message = f"{validator.logical_id} validates nothing of {name}: {lacking}"
    return _found(Outcome.FAIL, route, place, message, evidence)


def _lacks(validator: Resource, method: Resource) -> str | None:
    """Why a validator validates nothing of a method; empty when only deploy time knows, None when it does validate."""
    body, parameters = truth(validator.at("ValidateRequestBody")), truth(validator.at("ValidateRequestParameters"))
    if body is False and parameters is False:
        return "it checks neither bodies nor parameters"
    models, declared = method.at("RequestModels"), method.at("RequestParameters")
    if (body and not _takes_anything(models)) or (parameters and not isinstance(declared, Absent)):
        return None
    if None in (body, parameters):
        return ""
    if body:
        return "the method has no RequestModels" if isinstance(models, Absent) else "its model Empty takes any object"
    return "it checks parameters only, and the method declares none"


def _takes_anything(models: Value) -> bool:
    """Whether no model says what a body must be: API Gateway makes the model Empty with every API.

    https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_apigateway.Model.html
    """
    named = models.entries.values() if isinstance(models, Map) else ()
    empty = bool(named) and all(isinstance(model, Scalar) and model.text == "Empty" for model in named)
    return isinstance(models, Absent) or empty


def _event(route: Route) -> Finding:
    prefix = f"{route.property_path}.Properties.RequestModel"
    place = setting(route.resource, prefix)
    name = f"{route.name} ({route.logical_id})"
    flags = [truth(route.resource.at(f"{prefix}.{flag}")) for flag in ("ValidateBody", "ValidateParameters")]
    if True in flags:
        return _found(Outcome.PASS, route, place, f"{name} validates requests against a model")
    if None in flags or isinstance(place.value, Unknown):
        return _found(Outcome.UNKNOWN, route, place, f"Whether {name} validates requests is known at deploy time only")
    if isinstance(place.value, Absent):
        return _found(Outcome.FAIL, route, place._replace(span=route.span), f"{name} has no request validator")
    return _found(Outcome.FAIL, route, place, f"{name} names a model, but validates nothing with it")


def _operation(template: Template, route: Route) -> Finding:
    api = template.apis.declared.get(route.api or "")
    own = setting(route.resource, f"{route.property_path}.{_VALIDATOR}")
    body = definition_of(api.settings).value if api else Absent(route.span)
    operation = route.resource.at(route.property_path)
    value = descend(operation, route.span, [_VALIDATOR])[0]
    shared = descend(body, route.span, [_VALIDATOR])[0]
    name = f"{route.name} of {route.logical_id}"
    chosen: Value = shared if isinstance(value, Absent) else value
    place = Setting(chosen, route.span if isinstance(chosen, Absent) else chosen.span, own.path)
    if isinstance(chosen, Unknown):
        return _found(Outcome.UNKNOWN, route, place, f"Whether {name} validates requests is known at deploy time only")
    if isinstance(chosen, Absent) or not shown(chosen):
        return _found(Outcome.FAIL, route, place, f"{name} has no request validator")
    entry = descend(body, route.span, [f"{_VALIDATOR}s", shown(chosen)])[0]
    if isinstance(entry, Map) and not any(truth(flag) is not False for flag in _flags(entry)):
        return _found(Outcome.FAIL, route, place, f"The validator {shown(chosen)} of {name} validates nothing")
    return _found(Outcome.PASS, route, place, f"{name} has the request validator {shown(chosen)}")


def _flags(entry: Map[Value]) -> list[Value]:
    named = ("validateRequestBody", "validateRequestParameters")
    return [entry.entries[name] for name in named if isinstance(entry.entries.get(name), (Scalar, Unknown))]


def _found(outcome: Outcome, route: Route, place: Setting, message: str, *more: Evidence) -> Finding:
    return Finding(
        outcome=outcome,
        subject=route.logical_id,
        message=message,
        evidence=(Evidence(place.span, message), *more),
        logical_id=route.logical_id,
        property_path=place.path or None,
        salient=route.name,
    )
