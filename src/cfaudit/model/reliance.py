"""A template and a service in, the lines that rely on the service out: grants, SAM policy templates, variables.

Also what such a line names: something declared here, something of another stack, or nothing in particular.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from fnmatch import fnmatchcase
from typing import NamedTuple

from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function, Variable
from cfaudit.model.iam import POLICY_TYPES, Grant, Principal, action_matches
from cfaudit.model.template import Template
from cfaudit.nodes import Deferred, Map, Scalar, Span, Unknown, Value, parts_of, spelled

WORKLOADS = frozenset(
    {
        "AWS::ApiGateway::Method",
        "AWS::ApiGateway::RestApi",
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Integration",
        "AWS::AppSync::DataSource",
        "AWS::Events::Rule",
        "AWS::IoT::TopicRule",
        "AWS::KinesisFirehose::DeliveryStream",
        "AWS::Lambda::Function",
        "AWS::Pipes::Pipe",
        "AWS::Scheduler::Schedule",
        "AWS::Serverless::Api",
        "AWS::Serverless::Function",
        "AWS::Serverless::HttpApi",
        "AWS::Serverless::StateMachine",
        "AWS::StepFunctions::StateMachine",
    }
)
"""Types that run as a role of the stack and reach other services by themselves."""

STACKS = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application")
"""Types whose resources stand in another template."""


_HEADLESS = ("execute-api", "s3", "sns", "sqs")  # their ARNs begin with the name itself


class Naming(Enum):
    """What an element of ``Resource`` or a variable's value names."""

    DECLARED = "declared"
    ELSEWHERE = "elsewhere"
    LITERAL = "literal"
    ANYTHING = "anything"
    OTHER = "other"


class SamPolicy(NamedTuple):
    """One of SAM's policy templates, given to a function; ``parameters`` name what it is about."""

    principal: Principal
    name: str
    parameters: Value
    span: Span


def overlaps(element: str, pattern: str) -> bool:
    """Whether two texts with ``*`` and ``?`` can name the same action."""
    if not re.search(r"[*?]", element):
        return action_matches(pattern, element)
    if not re.search(r"[*?]", pattern):
        return action_matches(element, pattern)
    mine, other = (re.split(r"[*?]", text, maxsplit=1)[0].lower() for text in (element, pattern))
    return mine.startswith(other) or other.startswith(mine)


def grants(template: Template, patterns: Iterable[str]) -> Iterator[Grant]:
    """Allowed elements of ``Action`` that name the patterns' service and cover one of them, in template order."""
    held: dict[str, list[str]] = {}
    for pattern in patterns:
        held.setdefault(pattern.partition(":")[0], []).append(pattern)
    limits = boundaries(template)
    for principal in template.principals.values():
        for service, wanted in held.items():
            for grant in principal.grants(service) if principal.logical_id not in limits else ():
                if any(overlaps(grant.action.text, pattern) for pattern in wanted):
                    yield grant


def boundaries(template: Template) -> frozenset[str]:
    """Policies that only limit others: used as permissions boundary and attached to nobody."""
    limits = set()
    for resource in template.of(*POLICY_TYPES):
        edges = template.edges_to.get(resource.logical_id, ())
        if edges and all(edge.path.endswith("PermissionsBoundary") for edge in edges):
            limits.add(resource.logical_id)
    return frozenset(limits)


def workloads(template: Template) -> frozenset[str]:
    """The principals that a function, workflow, rule or another workload of this template runs as."""
    found = set(template.functions_of)
    for name, principal in template.principals.items():
        if principal.resource.type in WORKLOADS:
            found.add(name)
        for edge in template.edges_to.get(name, ()):
            if template.resources[edge.source].type in WORKLOADS:
                found.add(name)
    return frozenset(found)


def sam_policies(template: Template, names: tuple[str, ...]) -> Iterator[SamPolicy]:
    """The functions' SAM policy templates of the given names."""
    for principal in template.principals.values():
        for policy in principal.opaque:
            if isinstance(policy, Map):
                for name, parameters in policy.entries.items():
                    if name in names:
                        yield SamPolicy(principal, name, parameters, policy.keys[name])


def upper_snake(name: str) -> str:
    """``tableName`` as ``TABLE_NAME``, the form that patterns of variable names have."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").upper()


def is_called(name: str, patterns: Iterable[str]) -> bool:
    """Whether a variable's or parameter's name matches a pattern such as ``*_TABLE``."""
    name = upper_snake(name)
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def named_variables(template: Template, patterns: tuple[str, ...]) -> Iterator[tuple[Function, Variable]]:
    """Variables of functions whose names match a pattern and whose values may name something."""
    for function in template.functions.values():
        for variable in function.variables:
            if is_called(variable.name, patterns) and not is_switch(variable.value):
                yield function, variable


def is_switch(value: Value) -> bool:
    """Whether a value is empty, a boolean or a number, and so names nothing."""
    if not isinstance(value, Scalar):
        return False
    text = value.text.strip().lower()
    return text in ("", "true", "false", "yes", "no", "on", "off") or bool(re.fullmatch(r"[\d.,+-]+", text))


def given(value: Value) -> tuple[Deferred, ...]:
    """The holes of a value that neither this template nor the account fills: parameters, imports, references …"""
    return tuple(hole for hole in value.deferred if hole.kind != "pseudo") if isinstance(value, Unknown) else ()


def told(value: Value) -> str:
    """A value as its author would write it: known text, and ``${Name}`` for each hole; empty for no text."""
    return spelled(parts_of(value))


def naming(template: Template, value: Scalar | Unknown, service: str, types: tuple[str, ...]) -> Naming:
    """What an element of ``Resource`` names, as far as a service is concerned whose resources have ``types``."""
    if template.targets(value, *types):
        return Naming.DECLARED
    mentions = value.mentions if isinstance(value, Unknown) else frozenset()
    mentioned = [template.resources[name] for name in sorted(mentions) if name in template.resources]
    if mentioned:
        return Naming.ELSEWHERE if any(_of_another(resource) for resource in mentioned) else Naming.OTHER
    if given(value):
        return Naming.ELSEWHERE if _may_be_of(told(value), service) else Naming.OTHER
    parts = value.parts if isinstance(value, Unknown) else ()
    if any(isinstance(part, Deferred) and part.kind == "missing" for part in parts):
        return Naming.ANYTHING if _may_be_of(told(value), service) else Naming.OTHER
    return _literal(told(value), service)


def _of_another(resource: Resource) -> bool:
    return resource.type in STACKS or resource.type.startswith("Custom::") or "CustomResource" in resource.type


def _may_be_of(text: str, service: str) -> bool:
    pieces = text.split(":", 3)
    known = len(pieces) > 3 and pieces[0] == "arn" and re.fullmatch(r"[a-z0-9-]+", pieces[2])
    return not known or pieces[2] == service


def _literal(text: str, service: str) -> Naming:
    if text == "*":
        return Naming.ANYTHING
    pieces = re.sub(r"\$\{[^}]*\}", "x", text).split(":", 5)
    if len(pieces) < 6 or pieces[0] != "arn":
        return Naming.ANYTHING if set(text) <= set("arn:aws*") and "*" in text else Naming.LITERAL
    if "*" not in pieces[2] and pieces[2] != service:
        return Naming.OTHER
    if re.fullmatch(r"\d{12}", pieces[4]):
        return Naming.LITERAL
    name = pieces[5] if service in _HEADLESS else re.sub(r"^/?[A-Za-z-]+[/:](?=.)", "", pieces[5])
    return Naming.ANYTHING if name.startswith("*") or pieces[5].startswith("*") else Naming.LITERAL
