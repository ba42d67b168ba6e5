"""The question whether whatever triggers a function may invoke it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import AS_CALLER, HOLE, Integration, Route, Setting, blanked, setting
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import role_of
from cfaudit.model.integrations import SAM_MACHINE
from cfaudit.model.invocations import Permission, Target, invoked
from cfaudit.model.names import NAME_PROPERTIES, rendered, service_of
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value, same_text

_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class _Trigger(NamedTuple):
    """What invokes a function: where it says so, as which service, for which resource or route, in which role.

    ``principal`` is whose role it is where the template's model knows it already.
    """

    resource: Resource
    name: str
    place: Setting
    service: str
    target: Target
    source: Resource | None
    source_value: Value
    role: Setting
    route: Route | None = None
    principal: str | None = None


def invoke_permission(
    template: Template,
    facts: Facts,
    *,
    paths: Mapping[str, tuple[str, ...]],
    services: Mapping[str, str],
    sources: Mapping[str, str],
    roles: Mapping[str, str],
) -> Iterator[Finding]:
    """Whatever triggers a function of the template must be allowed to invoke it.

    Judged is every trigger that names a declared function: routes and authorizers of APIs, and the listed properties
    of rules, subscriptions, buckets and the like. It passes when an `AWS::Lambda::Permission` for that function lets
    the trigger's service invoke it and its SourceArn, if there is one, is the trigger's (for an API also the path and
    the method), or when the trigger names a role of the template that may invoke the function. SAM makes the
    permissions for a function's events itself. A trigger that calls an alias or a version needs a permission on that.
    A permission on the function alone, or one whose function, principal or source only deploy time knows, makes the
    answer unknown, and so do roles of other stacks and stage variables that name the function. Schedules, pipes and
    the states of workflows invoke by their role alone. Event source mappings, for which Lambda itself invokes the
    function, are not judged.
    """
    for trigger in _triggers(template, paths, services, sources, roles):
        yield _judged(template, facts, trigger)
    for route in template.apis.routes:
        if route.integration and route.integration.target is None and _by_variable(route.integration.uri.value):
            message = f"a stage variable decides which function {route.name} of {route.logical_id} invokes"
            yield _found(Outcome.UNKNOWN, route.resource, route.integration.uri, message, route.name)
        if route.integration and route.integration.target and _sam_permits(route.integration):
            place = Setting(route.integration.type.value, route.span, route.property_path)
            message = f"SAM lets {route.name} invoke {route.integration.target.function}"
            yield _found(Outcome.PASS, route.resource, place, message, route.name)


def _sam_permits(integration: Integration) -> bool:
    return integration.managed and isinstance(integration.credentials.value, Absent)


def _by_variable(uri: Value) -> bool:
    return isinstance(uri, (Scalar, Unknown)) and "${stageVariables." in rendered(uri)


def _found(
    outcome: Outcome, resource: Resource, place: Setting, message: str, salient: str, *more: Evidence
) -> Finding:
    return Finding(
        outcome=outcome,
        subject=resource.logical_id,
        message=message,
        evidence=(Evidence(place.span, message), *more),
        logical_id=resource.logical_id,
        property_path=place.path or None,
        salient=salient,
    )


# Triggers ------------------------------------------------------------------------------------------------------------


def _triggers(
    template: Template,
    paths: Mapping[str, tuple[str, ...]],
    services: Mapping[str, str],
    sources: Mapping[str, str],
    roles: Mapping[str, str],
) -> Iterator[_Trigger]:
    yield from _api_triggers(template)
    yield from _state_triggers(template)
    for resource in template.of(*paths):
        for pattern in paths[resource.type]:
            for path, value in resource.each(pattern):
                target = invoked(template, value)
                if target is not None:
                    yield _trigger(template, resource, path, target, services, sources, roles)


def _state_triggers(template: Template) -> Iterator[_Trigger]:
    for workflow in template.workflows.values():
        role = setting(workflow.resource, "Role" if workflow.resource.type == SAM_MACHINE else "RoleArn")
        for state, call in workflow.calls:
            if call.function and isinstance(state.at("Credentials"), Absent):
                yield _Trigger(
                    resource=workflow.resource,
                    name=f"{state.name} of {workflow.logical_id}",
                    place=Setting(state.at("Resource"), state.where("Resource"), ""),
                    service="states",
                    target=call.function,
                    source=workflow.resource,
                    source_value=Absent(state.span),
                    role=role,
                    principal=workflow.principal,
                )


def _trigger(
    template: Template,
    resource: Resource,
    path: str,
    target: Target,
    services: Mapping[str, str],
    sources: Mapping[str, str],
    roles: Mapping[str, str],
) -> _Trigger:
    named = resource.at(sources[resource.type]) if resource.type in sources else Absent(resource.span)
    source = template.target(named) if resource.type in sources else resource
    role = roles.get(resource.type)
    beside = f"{path.rpartition('.')[0]}.{role}".lstrip(".") if role else ""
    place = setting(resource, path)
    held = setting(resource, beside) if beside else Setting(Absent(resource.span), resource.span, "")
    return _Trigger(resource, resource.logical_id, place, services[resource.type], target, source, named, held)


def _api_triggers(template: Template) -> Iterator[_Trigger]:
    for route in template.apis.routes:
        integration = route.integration
        if integration and integration.target and not _sam_permits(integration):
            api = template.apis.declared.get(route.api or "")
            yield _Trigger(
                resource=route.resource,
                name=f"{route.name} of {route.logical_id}",
                place=integration.uri,
                service="apigateway",
                target=integration.target,
                source=api.resource if api else None,
                source_value=Absent(route.span),
                role=integration.credentials,
                route=route,
            )
    for authorizer in template.apis.authorizers:
        target = invoked(template, authorizer.uri.value)
        if target and not authorizer.managed:
            api = template.apis.declared.get(authorizer.api or "")
            yield _Trigger(
                resource=authorizer.resource,
                name=f"authorizer {authorizer.name}",
                place=authorizer.uri,
                service="apigateway",
                target=target,
                source=api.resource if api else None,
                source_value=Absent(authorizer.span),
                role=authorizer.credentials,
            )


# Judgement -----------------------------------------------------------------------------------------------------------


def _judged(template: Template, facts: Facts, trigger: _Trigger) -> Finding:
    function = trigger.target.function
    by_role = _by_role(template, trigger)
    if by_role is not None and trigger.service in _BY_ROLE:
        return by_role[1]
    held = template.permissions_of.get(function, ())
    answers = [(permission, _permits(template, permission, trigger)) for permission in held]
    for permission, answer in answers:
        if answer:
            message = f"{trigger.name} may invoke {function}"
            return _of(Outcome.PASS, trigger, message, _shows(permission, "the permission"))
    if by_role is not None and by_role[0] is not Outcome.FAIL:
        return by_role[1]
    loose = [permission for permission in template.permissions_of.get("", ()) if _lets(template, permission, trigger)]
    open_ = [permission for permission, answer in answers if answer is None] + loose
    if open_:
        message = f"only deploy time knows whether {trigger.name} may invoke {function}"
        return _of(Outcome.UNKNOWN, trigger, message, *(_shows(one, "may be the permission") for one in open_))
    component = "api-invoke-permission" if trigger.route else None
    external = facts.elsewhere(component=component, types=("AWS::Lambda::Permission",))
    if external is not None:
        message = f"the permission of {trigger.name} to invoke {function} is in another stack: {external.reason}"
        return _of(Outcome.PASS, trigger, message, Evidence(external.span, external.reason, external.text))
    if by_role is not None:
        return by_role[1]
    if template.macros:
        return _of(Outcome.UNKNOWN, trigger, f"a macro may add the permission of {trigger.name} to invoke {function}")
    message = f"{trigger.name} targets {function}, but nothing lets {_SERVICE.get(trigger.service, trigger.service)}"
    others = (_shows(permission, _misses(permission, trigger)) for permission in held)
    return _of(Outcome.FAIL, trigger, f"{message} invoke it", *others)


_BY_ROLE = frozenset({"apigateway", "pipes", "scheduler", "states"})
"""Services that do not ask the function's policy where they have a role; all but API Gateway always have one."""

_SERVICE = {
    "apigateway": "API Gateway",
    "cognito-idp": "Cognito",
    "config": "AWS Config",
    "elasticloadbalancing": "the load balancer",
    "events": "EventBridge",
    "iot": "AWS IoT",
    "logs": "CloudWatch Logs",
    "pipes": "EventBridge Pipes",
    "s3": "S3",
    "scheduler": "EventBridge Scheduler",
    "secretsmanager": "Secrets Manager",
    "ses": "SES",
    "sns": "SNS",
}


def _of(outcome: Outcome, trigger: _Trigger, message: str, *more: Evidence) -> Finding:
    salient = trigger.route.name if trigger.route else trigger.target.function
    salient = trigger.name if trigger.service == "states" else salient
    return _found(outcome, trigger.resource, trigger.place, message, salient, *more)


def _shows(permission: Permission, note: str) -> Evidence:
    return Evidence(permission.span, note)


def _misses(permission: Permission, trigger: _Trigger) -> str:
    if trigger.target.admits(permission.target or trigger.target) is False:
        return "a permission for another alias or version"
    if permission.lets(trigger.service) is False:
        return "a permission for another service or action"
    return "a permission for another source"


def _permits(template: Template, permission: Permission, trigger: _Trigger) -> bool | None:
    admits = trigger.target.admits(permission.target) if permission.target else None
    fits = _lets(template, permission, trigger)
    return False if False in (admits, fits) else None if None in (admits, fits) else True


def _lets(template: Template, permission: Permission, trigger: _Trigger) -> bool | None:
    """Whether a permission, whatever its function, speaks of the trigger's service and source."""
    lets = permission.lets(trigger.service)
    if lets is False:
        return False
    fits = _is_source(template, permission.source, trigger)
    return False if fits is False else None if None in (lets, fits) else True


# Roles ---------------------------------------------------------------------------------------------------------------


_AS_CALLER = re.compile(re.escape(AS_CALLER).replace(":aws:", ":[^:]*:"))


def _by_role(template: Template, trigger: _Trigger) -> tuple[Outcome, Finding] | None:
    """What the trigger's role says: it may invoke the function, may not, or is not shown; None without a role."""
    value = trigger.role.value
    if isinstance(value, Absent) and trigger.principal is None:
        return None
    role = trigger.principal or (role_of(template, value) if isinstance(value, (Scalar, Unknown)) else None)
    principal = template.principals.get(role or "")
    function = trigger.target.function
    evidence = Evidence(trigger.role.span, "the role it uses")
    if isinstance(value, (Scalar, Unknown)) and _AS_CALLER.fullmatch(rendered(value)):
        message = f"{trigger.name} invokes {function} as its caller, who needs lambda:InvokeFunction for that"
        return Outcome.UNKNOWN, _of(Outcome.UNKNOWN, trigger, message, evidence)
    if principal is None:
        message = f"{trigger.name} invokes {function} in a role that this template does not declare"
        return Outcome.UNKNOWN, _of(Outcome.UNKNOWN, trigger, message, evidence)
    may = principal.allows("lambda:InvokeFunction", template, template.resources[function])
    if may is False and principal.allows("lambda:InvokeFunction") is not False:
        may = None  # perhaps on the alias or version that the trigger calls
    if may:
        return Outcome.PASS, _of(Outcome.PASS, trigger, f"{trigger.name} may invoke {function} as {role}", evidence)
    outcome = Outcome.FAIL if may is False else Outcome.UNKNOWN
    says = "may not invoke it" if may is False else "is not certain to be allowed to"
    return outcome, _of(outcome, trigger, f"{trigger.name} invokes {function} as {role}, which {says}", evidence)


# Sources -------------------------------------------------------------------------------------------------------------


def _is_source(template: Template, value: Value, trigger: _Trigger) -> bool | None:
    """Whether a permission's SourceArn is the trigger's; without one, every source is allowed."""
    if isinstance(value, Absent):
        return True
    if not isinstance(value, (Scalar, Unknown)):
        return None
    if trigger.service == "apigateway":
        return _is_api(template, value, trigger)
    source = trigger.source
    if source is None:
        return True if same_text(value, trigger.source_value) else None
    if isinstance(value, Unknown) and source.logical_id in {reference.logical_id for reference in value.references}:
        return True
    if source in template.targets(value, source.type):
        return True
    return _may_be(template, value, source)


def _may_be(template: Template, value: Scalar | Unknown, source: Resource) -> bool | None:
    """Whether an ARN that does not name a resource plainly may still be its own."""
    text = rendered(value)
    pieces = text.split(":", 5)
    service = service_of(source.type)
    if service and len(pieces) == 6 and "\x01" not in pieces[2] and pieces[2] not in ("*", service):
        return False
    if "*" in text or "?" in text:
        return True if pieces[-1] in ("*", "rule/*") else None
    if isinstance(value, Unknown):
        others = {template.resources[part.logical_id].type for part in value.references}
        return False if source.type in others and not value.deferred else None
    name = source.at(NAME_PROPERTIES.get(source.type, "Name"))
    return False if isinstance(name, Scalar) else None


def _is_api(template: Template, value: Scalar | Unknown, trigger: _Trigger) -> bool | None:
    """``arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH``, any part with wildcards.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
    """
    text = rendered(value)
    api = trigger.route.api if trigger.route else trigger.source.logical_id if trigger.source else None
    own = re.search(f"\x01(?:undefined\\|)?{api}(?:\\|[^\x02]*)?\x02(.*)", text, re.DOTALL) if api else None
    if own:
        return _is_route(own[1], trigger.route)
    references = value.references if isinstance(value, Unknown) else ()
    if any(reference.logical_id in template.apis.declared for reference in references):
        return False if api else None
    anywhere = re.match(r"arn:[^:]*:execute-api:[^:]*:[^:]*:(\*.*)", text)
    if anywhere or text == "*":
        return True
    if text.startswith("arn:") and ":execute-api:" not in text and "\x01" not in text.split(":", 3)[2]:
        return False
    return None


def _is_route(tail: str, route: Route | None) -> bool | None:
    """Whether what follows the API's id in an ARN matches a route; the stage is not compared."""
    if route is None or tail in ("/*", "/*/*"):
        return True
    pattern = re.sub("\x01[^\x02]*\x02", "*", re.sub(r"\{[^/}]*\}", "P", tail))
    stage = pattern.split("/")[1] if pattern.startswith("/") else ""
    held = stage if stage and "*" not in stage and "?" not in stage else "s"
    path = re.sub(r"\{[^/}]*\}", "P", blanked(route.path)).replace(HOLE, "H")
    if not route.path.startswith("/"):
        candidates = [f"/{held}/{path}"]
    else:
        candidates = [f"/{held}/{verb}{path}" for verb in (_VERBS if route.method == "ANY" else (route.method,))]
    regex = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") + "/?\\Z")
    matched = [bool(regex.match(candidate)) for candidate in candidates]
    if all(matched):
        return True
    plain = route.path.startswith("/") and HOLE not in blanked(route.path + route.method) and "/ANY/" not in pattern
    return False if plain and not any(matched) else None
