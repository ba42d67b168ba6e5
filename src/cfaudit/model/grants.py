"""Principals and who runs as them in, the wires that their policies allow out.

A grant counts for the workloads that run as the principal; for a user, a group and a role that is assumed from outside
it counts for itself. What only a role that nothing uses may do is not certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cfaudit.model.api import API_TYPES
from cfaudit.model.arn import covers, made_names
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Principal, Statement, action_matches, trust
from cfaudit.model.mentions import named
from cfaudit.model.names import NAME_PROPERTIES, names_in, rendered, service_of
from cfaudit.model.wires import ACTING, Spread, Wire, WireKind
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


class Granted(NamedTuple):
    """What policies allow: wires to declared resources, to whatever there is, and to all that a pattern covers."""

    wires: list[Wire]
    broad: list[Wire]
    spreads: list[Spread]


def grant_wires(template: Template, runners: Mapping[str, tuple[str, ...]]) -> Granted:
    """What policies allow whoever runs as their principals."""
    found: dict[Wire, None] = {}
    broad: dict[Wire, None] = {}
    patterns: dict[tuple[str, WireKind, str], tuple[Scalar | Unknown, dict[Wire, None]]] = {}
    index = _index(template)
    for name, principal in template.principals.items():
        sources, certain = _sources(principal, runners.get(name, ()))
        for statement in principal.statements:
            if statement.effect == "Allow":
                for wire, pattern in _statement(template, statement, index):
                    made = dict.fromkeys(_from(wire, source, certain) for source in sources if source != wire.target)
                    if pattern is not None:
                        key = (wire.service, wire.kind, rendered(pattern))
                        patterns.setdefault(key, (pattern, {}))[1].update(made)
                    else:
                        (found if wire.target else broad).update(made)
    spreads = []
    for (service, kind, _), (pattern, wires) in patterns.items():
        targets = dict(_covered(template, pattern, index.get(service, {}), kind))
        if targets:
            spreads.append(Spread(tuple(sorted(wires, key=lambda wire: not wire.certain)), targets))
    return Granted(list(found), list(broad), spreads)


def _from(wire: Wire, source: str, certain: bool) -> Wire:
    return Wire(wire.kind, source, wire.target, wire.span, "grant", wire.via, wire.service, wire.certain and certain)


class _Candidate(NamedTuple):
    """A declared resource; ``begins`` is how its physical name begins, None where only deploy time knows."""

    resource: Resource
    begins: _Beginning | None


_Index: TypeAlias = Mapping[str, Mapping[str, _Candidate]]


def _index(template: Template) -> _Index:
    """Declared resources by the service that an action on them names, and by logical id."""
    found: dict[str, dict[str, _Candidate]] = {}
    for resource in template.resources.values():
        service = "execute-api" if resource.type in API_TYPES else service_of(resource.type)
        if service and service not in _SILENT and not resource.type.endswith(("Alias", "Version", "Policy")):
            names = made_names(resource)
            begins = _beginning(names[0]) if len(names) == 1 else None
            found.setdefault(service, {})[resource.logical_id] = _Candidate(resource, begins)
    return found


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


def _statement(
    template: Template, statement: Statement, index: _Index
) -> Iterator[tuple[Wire, Scalar | Unknown | None]]:
    """What a statement lets do, without source; ``target`` is empty for whatever there is, and beside a pattern."""
    for service, kind, span, via in _kinds(statement, index):
        seen: set[str] = set()
        for element in statement.resources or (Scalar("*", span),):
            if _is_wild(element) or statement.not_resources:
                if kind in ACTING:
                    yield Wire(kind, "", "", span, "grant", via, service, certain=False), None
                continue
            told = _told(template, element)
            if told is None:
                yield Wire(kind, "", "", element.span, "grant", via, service), element
                continue
            candidates = index.get(service, {})
            for name in told:
                if name in candidates and name not in seen:
                    answer = covers(element, template, candidates[name].resource)
                    if answer or (answer is None and kind in ACTING):
                        seen.add(name)
                        yield Wire(kind, "", name, element.span, "grant", via, service, bool(answer)), None


def _kinds(statement: Statement, index: _Index) -> Iterator[tuple[str, WireKind, Span, str]]:
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


def _told(template: Template, element: Scalar | Unknown) -> list[str] | None:
    """The logical ids that an element names by reference or by their whole names; None for a pattern."""
    if isinstance(element, Unknown) and element.mentions:
        return [found.resource.logical_id for found in named(template, element)]
    if _OPEN.search(_name(element)) is None:
        return [resource.logical_id for resource in template.targets(element)]
    return None


def _name(element: Scalar | Unknown) -> str:
    """The name that an ARN ends in, or the whole text."""
    *_, (_, name) = islice(names_in(rendered(element)), 2)
    return name


def _covered(
    template: Template, pattern: Scalar | Unknown, candidates: Mapping[str, _Candidate], kind: WireKind
) -> Iterator[tuple[str, bool]]:
    """The resources of a service that a pattern covers, and whether it certainly does.

    Names that begin otherwise are left out first: the full comparison costs much more. Whether text covers a name that
    CloudFormation makes up of the stack's name, only deploy time knows.
    """
    begins = _beginning(_name(pattern))
    plain = begins.known and not begins.hole
    for name, candidate in candidates.items():
        resource, path = candidate.resource, NAME_PROPERTIES.get(candidate.resource.type)
        if plain and path and isinstance(resource.at(path), Absent):
            if kind in ACTING:
                yield name, False
        elif candidate.begins is None or begins.may_be(candidate.begins):
            answer = covers(pattern, template, resource)
            if answer or (answer is None and kind in ACTING):
                yield name, bool(answer)


class _Beginning(NamedTuple):
    """How a text begins: with a hole or none, and the text from there to the next hole or wildcard."""

    hole: str
    known: str

    def may_be(self, other: _Beginning) -> bool:
        """Whether two texts that begin so may be alike."""
        return self.hole != other.hole or self.known.startswith(other.known) or other.known.startswith(self.known)


_BEGINNING = re.compile("(\x01[^\x02]*\x02)?([^*?\x01]*)")


def _beginning(text: str) -> _Beginning:
    found = _BEGINNING.match(text.lstrip("/"))
    return _Beginning(found[1] or "", found[2]) if found else _Beginning("", "")
