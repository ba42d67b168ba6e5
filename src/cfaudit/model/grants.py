"""Principals and who runs as them in, the wires that their policies allow out.

A grant counts for the workloads that run as the principal; for a user, a group and a role that is assumed from outside
it counts for itself. What only a role that nothing uses may do is not certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cfaudit.model.api import API_TYPES
from cfaudit.model.arn import covers
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Principal, Statement, action_matches, trust
from cfaudit.model.mentions import named
from cfaudit.model.names import NAME_PROPERTIES, names_in, rendered, service_of
from cfaudit.model.wires import ACTING, Wire, WireKind
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown

if TYPE_CHECKING:
    from cfaudit.model.template import Template

_ACTING: dict[str, tuple[tuple[str, WireKind], ...]] = {
    "events": (("events:PutEvents", "sends"),),
    "execute-api": (("execute-api:Invoke", "invokes"),),
    "lambda": (("lambda:InvokeFunction", "invokes"),),
    "ses": (("ses:SendEmail", "sends"), ("ses:SendRawEmail", "sends"), ("ses:SendTemplatedEmail", "sends")),
    "sns": (("sns:Publish", "publishes"),),
    "sqs": (("sqs:SendMessage", "sends"), ("sqs:ReceiveMessage", "reads")),
    "states": (("states:StartExecution", "starts"), ("states:StartSyncExecution", "starts")),
}
"""Services of which only these actions make a wire; of the others every action reads or writes."""

_SILENT = frozenset({"apigateway", "cloudformation", "cloudwatch", "ec2", "iam", "kms", "logs", "sts", "xray"})
_READS = (
    "BatchGet",
    "Condition",
    "Describe",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Query",
    "Read",
    "Receive",
    "Retrieve",
    "Scan",
    "Search",
    "Select",
)


def grant_wires(template: Template, runners: Mapping[str, tuple[str, ...]]) -> tuple[list[Wire], list[Wire]]:
    """What policies allow: wires to declared resources, and those to whatever there is."""
    found: list[Wire] = []
    broad: list[Wire] = []
    index = _index(template)
    for name, principal in template.principals.items():
        sources, certain = _sources(principal, runners.get(name, ()))
        for statement in principal.statements:
            if statement.effect == "Allow":
                for wire in _statement(template, statement, index):
                    made = [_from(wire, source, certain) for source in sources if source != wire.target]
                    (found if wire.target else broad).extend(made)
    return list(dict.fromkeys(found)), list(dict.fromkeys(broad))


def _from(wire: Wire, source: str, certain: bool) -> Wire:
    return Wire(wire.kind, source, wire.target, wire.span, "grant", wire.via, wire.service, wire.certain and certain)


class _Candidate(NamedTuple):
    """A declared resource; ``begins`` is how its physical name begins as far as it is known, None without a name."""

    resource: Resource
    begins: str | None


def _index(template: Template) -> Mapping[str, tuple[_Candidate, ...]]:
    """Declared resources by the service that an action on them names."""
    found: dict[str, list[_Candidate]] = {}
    for resource in template.resources.values():
        service = "execute-api" if resource.type in API_TYPES else service_of(resource.type)
        if service and service not in _SILENT and not resource.type.endswith(("Alias", "Version", "Policy")):
            path = NAME_PROPERTIES.get(resource.type)
            name = resource.at(path) if path else Absent(resource.span)
            begins = rendered(name).partition("\x01")[0] if isinstance(name, (Scalar, Unknown)) else None
            found.setdefault(service, []).append(_Candidate(resource, begins))
    return {service: tuple(members) for service, members in found.items()}


def _sources(principal: Principal, runs: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Who acts with a principal's rights, and whether anybody certainly does."""
    if runs:
        return runs, True
    kind = principal.resource.type
    if kind == "AWS::IAM::Role":
        return (principal.logical_id,), _is_assumed_from_outside(principal.resource)
    return (principal.logical_id,), kind in ("AWS::IAM::User", "AWS::IAM::Group")


def _is_assumed_from_outside(role: Resource) -> bool:
    for entry in trust(role):
        if isinstance(entry, Statement) and entry.effect == "Allow":
            principal = entry.principal
            kinds = principal.entries if isinstance(principal, Map) else {}
            if not isinstance(principal, Map) or any(kind in kinds for kind in ("AWS", "Federated", "CanonicalUser")):
                return True
    return False


def _statement(template: Template, statement: Statement, index: Mapping[str, tuple[_Candidate, ...]]) -> Iterator[Wire]:
    """What a statement lets do, without source; ``target`` is empty for whatever there is."""
    for service, kind, span, via in _kinds(statement, index):
        seen: set[str] = set()
        for element in statement.resources or (Scalar("*", span),):
            if _is_wild(element) or statement.not_resources:
                if kind in ACTING:
                    yield Wire(kind, "", "", span, "grant", via, service, certain=False)
                continue
            for resource, certain in _covered(template, element, index.get(service, ()), kind):
                if resource.logical_id not in seen:
                    seen.add(resource.logical_id)
                    yield Wire(kind, "", resource.logical_id, element.span, "grant", via, service, certain)


def _kinds(
    statement: Statement, index: Mapping[str, tuple[_Candidate, ...]]
) -> Iterator[tuple[str, WireKind, Span, str]]:
    """The kinds of wires that a statement's actions make, each once, with the action's text."""
    seen: set[tuple[str, WireKind]] = set()
    if statement.not_actions:
        for service, acting in _ACTING.items():
            for action, kind in acting:
                if statement.covers(action):
                    yield service, kind, statement.span, action
        return
    for element in statement.actions:
        text = element.text if isinstance(element, Scalar) else element.known_text
        prefix = text.partition(":")[0].lower()
        for service in index if prefix == "*" else (prefix,):
            for kind in _of(service, text):
                if service in index and (service, kind) not in seen:
                    seen.add((service, kind))
                    yield service, kind, element.span, text


def _of(service: str, action: str) -> Iterator[WireKind]:
    if service in _ACTING:
        for name, kind in _ACTING[service]:
            if action_matches(action, name):
                yield kind
        return
    verb = action.partition(":")[2] or "*"
    reading = verb.lower().startswith(tuple(word.lower() for word in _READS))
    if reading or verb.startswith("*"):
        yield "reads"
    if not reading:
        yield "writes"


def _is_wild(element: Scalar | Unknown) -> bool:
    """Whether an element covers whatever there is: ``*``, ``arn:aws:lambda:*:*:function:*``."""
    text = rendered(element)
    return (
        text.rpartition("/")[2].rpartition(":")[2].strip("*") == ""
        and "*" in text
        and not (isinstance(element, Unknown) and element.references)
    )


_OPEN = re.compile("[*?\x01]")


def _covered(
    template: Template, element: Scalar | Unknown, candidates: tuple[_Candidate, ...], kind: WireKind
) -> Iterator[tuple[Resource, bool]]:
    """The resources of a service that an element covers, and whether it certainly does."""
    for resource, made_up in _likely(template, element, candidates):
        answer = None if made_up else covers(element, template, resource)
        if answer or (answer is None and kind in ACTING):
            yield resource, bool(answer)


def _likely(
    template: Template, element: Scalar | Unknown, candidates: tuple[_Candidate, ...]
) -> Iterator[tuple[Resource, bool]]:
    """The resources that an element may cover, by how their names begin: the full comparison costs much more.

    Whether text covers a name that CloudFormation makes up of the stack's name, only deploy time knows.
    """
    if isinstance(element, Unknown) and element.mentions:
        held = {found.resource.logical_id for found in named(template, element)}
        yield from ((entry.resource, False) for entry in candidates if entry.resource.logical_id in held)
        return
    *_, (_, name) = islice(names_in(rendered(element)), 2)
    known = _OPEN.split(name, maxsplit=1)[0]
    if known == name:
        own = {resource.logical_id for resource in template.targets(element)}
        yield from ((entry.resource, False) for entry in candidates if entry.resource.logical_id in own)
        return
    for entry in candidates:
        if entry.begins is None:
            yield entry.resource, bool(known) and entry.resource.type in NAME_PROPERTIES
        elif entry.begins.startswith(known) or known.startswith(entry.begins):
            yield entry.resource, False
