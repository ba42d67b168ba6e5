"""The question whether the stack publishes metrics of its own."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.checks.unseen import unseen
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.reliance import boundaries
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar

_FILTER = "AWS::Logs::MetricFilter"
_PUBLISH = "cloudwatch:PutMetricData"
_SUBJECT = "custom-metrics"


def custom_metrics(template: Template, facts: Facts, *, hosts: tuple[str, ...]) -> Iterator[Finding]:
    """The stack must publish metrics in a namespace of its own.

    It does so by a metric filter on a log group, by code that calls `PutMetricData` or logs in the embedded metric
    format, and where a policy of the template allows `cloudwatch:PutMetricData`. Where nothing of these is there, it
    is unknown as long as the code of a function, or a policy of its role, cannot be read in full, as the embedded
    format needs no permission but that to log; and where containers, instances, nested stacks or macros may publish.
    The finding stands at the dashboards that would show the metrics, else at the functions.
    """
    publisher = _publisher(template)
    if publisher:
        yield Finding(Outcome.PASS, _SUBJECT, f"metrics of its own are published: {publisher.note}", (publisher,))
        return
    place = next(iter([*template.of("AWS::CloudWatch::Dashboard"), *template.of(*FUNCTION_TYPES)]), None)
    evidence = (Evidence(place.span if place else template.span, "nothing publishes a metric of the stack's own"),)
    bad = "the stack publishes no metric of its own: no metric filter, no PutMetricData, no embedded metrics"
    external = facts.elsewhere(types=(_FILTER,))
    doubt = unseen(template, hosts)
    if external:
        word = Evidence(external.span, external.reason, external.text)
        yield Finding(Outcome.PASS, _SUBJECT, f"{bad}; another stack does: {external.reason}", (word, *evidence))
    elif doubt:
        yield Finding(Outcome.UNKNOWN, _SUBJECT, f"{bad}, but {doubt.note}", (*evidence, doubt))
    else:
        yield Finding(Outcome.FAIL, _SUBJECT, bad, evidence)


def _publisher(template: Template) -> Evidence | None:
    """What publishes a metric."""
    for entry in template.of(_FILTER):
        return Evidence(entry.span, f"{entry.logical_id} makes one of logs")
    for code in template.code.values():
        spans = (*code.metrics, *(call.span for call in code.calls_of(_PUBLISH)))
        if spans:
            return Evidence(spans[0], f"{code.function} publishes one")
    limits = boundaries(template)
    for name, principal in template.principals.items():
        for statement in principal.statements if name not in limits else ():
            if statement.effect == "Allow":
                for element in statement.matching(_PUBLISH):
                    if isinstance(element, Scalar) and element.text != "*":
                        return Evidence(element.span, f"{name} may {element.text}")
    return None
