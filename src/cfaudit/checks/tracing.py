"""Questions about traces: who records them, and who may send them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.iam import role_of
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value


def tracing(
    template: Template, facts: Facts, *, paths: Mapping[str, str], value: str, actions: tuple[str, ...]
) -> Iterator[Finding]:
    """Every resource of the listed types must have the value at the listed path, and its role must allow the actions.

    SAM's Globals count. A role that SAM makes for the resource gets the permission from SAM. A setting that only
    deploy time knows is unknown, and so is the permission where the role, or a policy attached to it, is not declared
    in this template.
    """
    for resource in template.of(*paths):
        subject: Resource | Function = template.functions.get(resource.logical_id, resource)
        path = paths[resource.type]
        set_to = subject.at(path)
        name = resource.logical_id
        more: tuple[Evidence, ...] = ()
        if isinstance(set_to, Unknown):
            outcome, message = Outcome.UNKNOWN, f"only deploy time knows whether {name} is traced"
        elif not isinstance(set_to, Scalar) or set_to.text.lower() != value.lower():
            outcome, message = Outcome.FAIL, f"{name} is not traced{_instead(set_to)}"
        else:
            outcome, message, more = _permitted(template, resource, actions)
        where = subject.path(path) if isinstance(subject, Function) else path
        yield judged(outcome, resource, where, message, span=subject.where(path), more=more)


def _instead(value: Value) -> str:
    if isinstance(value, Scalar) and value.text == "PassThrough":
        return ": with PassThrough it only continues traces that its caller has begun"
    return ""


def _permitted(
    template: Template, resource: Resource, actions: tuple[str, ...]
) -> tuple[Outcome, str, tuple[Evidence, ...]]:
    name = resource.logical_id
    role = _role(resource)
    if isinstance(role, Absent) and resource.type.startswith("AWS::Serverless::"):
        return Outcome.PASS, f"{name} is traced, and SAM lets its role send traces", ()
    owner = role_of(template, role) if isinstance(role, (Scalar, Unknown)) else None
    principal = template.principals.get(owner) if owner else None
    if principal is None:
        message = f"{name} is traced, but its role, which must allow {actions[0]}, is not declared here"
        return Outcome.UNKNOWN, message, ()
    answers = {action: principal.allows(action) for action in actions}
    evidence = (Evidence(principal.resource.span, f"the role of {name}"),)
    missing = [action for action, answer in answers.items() if answer is False]
    if missing:
        return Outcome.FAIL, f"{name} is traced, but {owner} does not allow {' and '.join(missing)}", evidence
    if None in answers.values():
        return Outcome.UNKNOWN, f"{name} is traced; a policy of {owner} that is not declared here decides", evidence
    return Outcome.PASS, f"{name} is traced, and {owner} may send traces", evidence


def _role(resource: Resource) -> Value:
    role = resource.at("Role")
    return resource.at("RoleArn") if isinstance(role, Absent) else role
