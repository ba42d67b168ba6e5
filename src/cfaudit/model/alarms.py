"""Resources in, alarms with the metrics they watch out.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Edge, Resource
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value

METRIC_ALARM = "AWS::CloudWatch::Alarm"
LOG_ALARM = "AWS::CloudWatch::LogAlarm"
COMPOSITE_ALARM = "AWS::CloudWatch::CompositeAlarm"
ALARM_TYPES = (METRIC_ALARM, LOG_ALARM)
ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

_QUERIES = re.compile(r"Metrics\.\d+\.Expression|EvaluationCriteria|ScheduledQueryConfiguration")
_CHOOSES = re.compile(r"\b(?:SEARCH\s*\(|SELECT\b)", re.IGNORECASE)


class Metric(NamedTuple):
    """One metric that an alarm watches; ``path`` leads to the map that names it, empty for the alarm's own."""

    path: str
    namespace: Value
    name: Value
    dimensions: Value

    @property
    def values(self) -> Iterator[tuple[str, Value]]:
        """The names and values of its dimensions."""
        for dimension in self.dimensions.items if isinstance(self.dimensions, Seq) else ():
            if isinstance(dimension, Map) and "Value" in dimension.entries:
                name = dimension.entries.get("Name")
                yield name.text if isinstance(name, Scalar) else "", dimension.entries["Value"]

    def property(self, name: str) -> str:
        """The path of one of its properties from the alarm."""
        return f"{self.path}.{name}" if self.path else name


class Alarm(NamedTuple):
    """An alarm on metrics or logs.

    ``queries`` choose what they watch by themselves, or cannot be read; ``queried`` are the resources they refer to.
    """

    resource: Resource
    metrics: tuple[Metric, ...]
    queries: tuple[Value, ...]
    queried: tuple[Edge, ...]


def alarms(template: Declarations) -> Mapping[str, Alarm]:
    """Every alarm on metrics or logs by logical id, in template order."""
    found = {}
    for resource in template.of(*ALARM_TYPES):
        edges = template.edges_from.get(resource.logical_id, ())
        queried = tuple(edge for edge in edges if _QUERIES.match(edge.path))
        found[resource.logical_id] = Alarm(resource, tuple(_metrics(resource)), tuple(_queries(resource)), queried)
    return found


def _metrics(resource: Resource) -> Iterator[Metric]:
    if not isinstance(resource.at("MetricName"), Absent):
        yield _metric(resource, "")
    entries = resource.at("Metrics")
    for index in range(len(entries.items) if isinstance(entries, Seq) else 0):
        path = f"Metrics.{index}.MetricStat.Metric"
        if isinstance(resource.at(path), Map):
            yield _metric(resource, path)


def _metric(resource: Resource, path: str) -> Metric:
    head = f"{path}." if path else ""
    return Metric(
        path, resource.at(f"{head}Namespace"), resource.at(f"{head}MetricName"), resource.at(f"{head}Dimensions")
    )


def _queries(resource: Resource) -> Iterator[Value]:
    criteria = resource.at("EvaluationCriteria")
    if not isinstance(criteria, Absent):
        yield criteria
    if isinstance(resource.at("Metrics"), Unknown):
        yield resource.at("Metrics")
    for _, value in resource.each("Metrics.*.Expression"):
        text = value.text if isinstance(value, Scalar) else value.known_text if isinstance(value, Unknown) else ""
        if _CHOOSES.search(text):
            yield value
