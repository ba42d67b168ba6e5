"""Questions about the trust policies of roles: on whose behalf a service may assume them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import ROLE_TYPES, Statement, trust
from cfaudit.model.policies import service_named, services_in
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Unknown

_PATH = "AssumeRolePolicyDocument"
_SOURCES = ("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths")


def sourced_trust(template: Template, facts: Facts, *, services: Mapping[str, str]) -> Iterator[Finding]:
    """A role that trusts one of the listed services must say on whose behalf the service may assume it.

    What counts is a condition on `aws:SourceArn`, `aws:SourceAccount`, `aws:SourceOrgID` or `aws:SourceOrgPaths`. The
    list holds the services whose documentation recommends such a condition for roles; others (Lambda, API Gateway, EC2
    …) are not judged, nor are the roles that SAM makes. A condition or a service that only deploy time knows is
    unknown.
    """
    for role in template.of(*ROLE_TYPES):
        for statement in trust(role):
            if isinstance(statement, Statement) and statement.effect == "Allow":
                yield from _statement(role, statement, services)


def _statement(role: Resource, statement: Statement, services: Mapping[str, str]) -> Iterator[Finding]:
    for element in services_in(statement.principal):
        service = service_named(element)
        if service is not None and service in services:
            yield _trusted(role, statement, element, service)


def _trusted(role: Resource, statement: Statement, element: Scalar | Unknown, salient: str) -> Finding:
    name, service = role.logical_id, f"{salient}.amazonaws.com"
    keys = {key for _, key, _ in statement.conditions}
    if keys.intersection(_SOURCES):
        message = f"{name} lets {service} assume it for named sources only"
        return judged(Outcome.PASS, role, _PATH, message, span=statement.condition.span, salient=salient)
    if isinstance(statement.condition, Unknown):
        message = f"On whose behalf {service} may assume {name} is known at deploy time only"
        return judged(Outcome.UNKNOWN, role, _PATH, message, span=statement.condition.span, salient=salient)
    message = f"{name} lets {service} assume it whatever the source: no aws:SourceAccount or aws:SourceArn"
    return judged(Outcome.FAIL, role, _PATH, message, span=element.span, salient=salient)
