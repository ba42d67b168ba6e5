"""Questions about how long AWS keeps offering what the stack declares."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit import data
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.template import Template


def open_services(template: Template, facts: Facts) -> Iterator[Finding]:
    """No declared type may belong to a service that is sunset or shut down on the day of the audit.

    Status and day are AWS's own, from the resource type's schema. Sunset means that new customers are refused, shut
    down that the service is gone; maintenance is neither. A day in the future is said, and passes. A member of
    Resources whose type only a macro or a preprocessor knows is unknown.
    """
    ended = False
    for resource in template.resources.values():
        end = data.lifecycle(resource.type) if resource.type else None
        if not resource.type:
            message = f"only deploy time knows the type of {resource.logical_id}"
            yield judged(Outcome.UNKNOWN, resource, None, message)
        elif end and end.status != "maintenance":
            how = "shut down" if end.status == "shutdown" else "sunset"
            due = end.date is None or end.date <= facts.as_of
            since = f"{' since' if due else ' from'} {end.date.isoformat()}" if end.date else ""
            message = f"{resource.logical_id} is of a service that is {how}{since}: {resource.type}"
            kind = resource.body.entries.get("Type")
            span = resource.body.keys["Type"].to(kind.span) if kind is not None else resource.span
            yield judged(Outcome.FAIL if due else Outcome.PASS, resource, None, message, span=span)
            ended = ended or due
    if not ended and template.resources:
        message = "no declared type is of a service that is sunset or shut down"
        yield Finding(Outcome.PASS, "template", message, (Evidence(template.span, message),))
