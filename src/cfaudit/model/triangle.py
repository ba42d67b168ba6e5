"""A function in, what its code calls, what its role allows and what is declared, held against each other, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cfaudit import data
from cfaudit.model.code.facts import Code, Need, Origin
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.iam import Principal, action_matches
from cfaudit.model.knowledge import named_by
from cfaudit.model.names import service_of
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Span

Answer: TypeAlias = Literal["has", "lacks", "never needs", "no action", "open"]
"""The code needs what the role allows; needs what it does not; the role allows what the code never calls; a policy
names an API operation that is no IAM action; or only deploy time, or code that cannot be read, decides."""

_OTHER_RIGHTS = ("accessKeyId", "aws_access_key_id", "credentials", "fromTemporaryCredentials")
"""What code names that calls with rights which are not its role's."""


_OF_ITEMS = frozenset(
    f"dynamodb:{name}"
    for name in (
        "BatchGetItem",
        "BatchWriteItem",
        "ConditionCheckItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "UpdateItem",
    )
)
"""What a table itself allows; a grant on its indexes only is none.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
"""


class Pair(NamedTuple):
    """One action on one resource (its logical id; empty: whatever there is) and the answer.

    ``place`` is the call in the code, or the element of the policy where nothing calls; ``granted`` is that element.
    """

    action: str
    resource: str
    answer: Answer
    called: bool
    place: Span
    granted: Span | None


def triangle(template: Template, function: Function) -> Iterator[Pair]:
    """The pairs of a function whose role is declared here: what the code needs first, then what is only granted."""
    principal = template.principals.get(function.principal or "")
    code = template.code.get(function.logical_id)
    if principal is None:
        return
    needs = list(_needs(template, function, code)) if code and code.readable else []
    for need, resource in needs:
        yield _needed(template, principal, need, resource)
    called = {need.action.lower() for need, _ in needs}
    for grant in _granted(principal):
        if not any(action_matches(grant.text, action) for action in called):
            yield Pair(grant.text, "", _unneeded(grant.text, code), False, grant.span, grant.span)


def borrowed(code: Code) -> Span | None:
    """Where code takes on rights that are not its role's, if it does."""
    for call in code.calls:
        if call.service == "sts" and call.operation.startswith("AssumeRole"):
            return call.span
    return next((code.words[word] for word in _OTHER_RIGHTS if word in code.words), None)


def _needs(template: Template, function: Function, code: Code) -> Iterator[tuple[Need, Resource | None]]:
    """What each call needs, per declared resource it names; None for what it names otherwise, or nobody can tell."""
    seen: set[tuple[str, str]] = set()
    for call in code.calls:
        for need in call.needs:
            for resource in _resources(template, function, need):
                key = (need.action, resource.logical_id if resource else "")
                if key not in seen:
                    seen.add(key)
                    yield need, resource


def _resources(template: Template, function: Function, need: Need) -> list[Resource | None]:
    service = need.action.partition(":")[0]
    names = list(_named(template, function, need.target, need.span))
    found = [resource for name in names if name and service_of((resource := template.resources[name]).type) == service]
    return [*found] if found and not need.target.open and len(found) == len(names) else [*found, None]


def _named(template: Template, function: Function, target: Origin, span: Span) -> Iterator[str | None]:
    """The logical ids that a target may be, None for each that is no declared resource."""
    values = {variable.name: variable.value for variable in function.variables}
    for value in (*(values.get(name) for name in target.variables), *(Scalar(text, span) for text in target.texts)):
        held = list(named_by(template, value)) if value is not None else []
        yield from held
        if not held:
            yield None
    for reference in target.references:
        yield reference if reference in template.resources else None


def _needed(template: Template, principal: Principal, need: Need, resource: Resource | None) -> Pair:
    name = resource.logical_id if resource else ""
    part = "" if need.action in _OF_ITEMS else None
    allowed = principal.allows(need.action, template, resource, part) if resource else principal.allows(need.action)
    line = _line(principal, need.action)
    if allowed is False:
        return Pair(need.action, name, "lacks", True, need.span, line)
    return Pair(need.action, name, "has" if allowed else "open", True, need.span, line)


def _line(principal: Principal, action: str) -> Span | None:
    """The first element of a policy that allows an action on anything."""
    for statement in principal.statements:
        if statement.effect == "Allow":
            for element in statement.matching(action):
                return element.span
    return None


def _granted(principal: Principal) -> Iterator[Scalar]:
    """The actions that the template's own policies allow by name."""
    for statement in principal.statements:
        if statement.effect == "Allow" and statement.managed is None:
            yield from (element for element in statement.actions if isinstance(element, Scalar))


def _unneeded(action: str, code: Code | None) -> Answer:
    if data.operation(action) is not None:
        return "no action"
    return "never needs" if code is not None and code.complete else "open"
