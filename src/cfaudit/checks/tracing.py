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
    in this template. Functions at the edge of CloudFront, which cannot be traced, are not judged.
    """
    for resource in template.of(*paths):
        if resource.logical_id in template.edge_functions:
            continue
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
        return ": PassThrough only passes the trace of its caller on"
    return ""


def _permitted(
    template: Template, resource: Resource, actions: tuple[str, ...]
) -> tuple[Outcome, str, tuple[Evidence, ...]]:
    name = resource.logical_id
    principal = template.principals.get(_owner(template, resource) or "")
    if principal is None:
        message = f"{name} is traced, but its role, which must allow {actions[0]}, is not declared here"
        return Outcome.UNKNOWN, message, ()
    answers = {action: principal.allows(action) for action in actions}
    evidence = (Evidence(principal.resource.span, f"the role of {name}"),)
    missing = [action for action, answer in answers.items() if answer is False]
    if missing:
        return Outcome.FAIL, f"{name} is traced, but its role does not allow {' and '.join(missing)}", evidence
    if None in answers.values():
        return Outcome.UNKNOWN, f"{name} is traced, if a policy that is not shown here lets its role send", evidence
    return Outcome.PASS, f"{name} is traced, and its role may send traces", evidence


def _owner(template: Template, resource: Resource) -> str | None:
    """The principal that the resource runs as; SAM makes a role for one that names none."""
    function = template.functions.get(resource.logical_id)
    if function is not None:
        return function.principal
    role = next((resource.at(path) for path in ("RoleArn", "Role") if not isinstance(resource.at(path), Absent)), None)
    if role is None:
        return resource.logical_id
    return role_of(template, role) if isinstance(role, (Scalar, Unknown)) else None
