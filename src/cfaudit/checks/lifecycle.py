"""Questions about how long AWS keeps offering what the stack declares."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit import data
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.declarations import Resource
from cfaudit.model.template import Template
from cfaudit.nodes import Span


def open_services(template: Template, facts: Facts) -> Iterator[Finding]:
    """No declared type may belong to a service that is sunset or shut down on the day of the audit.

    Status and day stand in the resource type's schema; maintenance is neither. A day in the future is said, and passes.
    What a macro or a preprocessor may declare is unknown.
    """
    held: dict[tuple[str, data.Lifecycle], list[Resource]] = {}
    for resource in template.resources.values():
        end = data.lifecycle(resource.type) if resource.type else None
        if end and end.status != "maintenance":
            held.setdefault((resource.type.rpartition("::")[0], end), []).append(resource)
    ended = False
    for (service, end), resources in held.items():
        due = end.date is None or end.date <= facts.as_of
        ended = ended or due
        yield _ending(service, end, resources, due)
    if not ended and (template.resources or template.macros):
        message = "no declared type is of a service that is sunset or shut down"
        outcome = Outcome.PASS
        if template.macros:
            message, outcome = f"{message}, but {template.macros[0].name} may declare more", Outcome.UNKNOWN
        yield Finding(outcome, "template", message, (Evidence(template.span, message),))


def _ending(service: str, end: data.Lifecycle, resources: list[Resource], due: bool) -> Finding:
    """One finding for all resources of a service."""
    how = "shut down" if end.status == "shutdown" else "sunset"
    when = f" ({end.date.isoformat()})" if end.date else ""
    names = ", ".join(resource.logical_id for resource in resources)
    message = f"{names} {'is' if len(resources) == 1 else 'are'} of {service}, which AWS's schemas list as {how}{when}"
    first, *others = [Evidence(_type_of(resource), f"{resource.logical_id} is of it") for resource in resources]
    outcome = Outcome.FAIL if due else Outcome.PASS
    return Finding(outcome, service, message, (first, *others))


def _type_of(resource: Resource) -> Span:
    kind = resource.body.entries.get("Type")
    return resource.body.keys["Type"].to(kind.span) if kind is not None else resource.span
