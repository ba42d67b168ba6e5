"""Questions about DynamoDB tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Part, Scalar, Unknown, Value, parts_of

_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
_TABLES = ("AWS::DynamoDB::Table", "AWS::Serverless::SimpleTable")


def elastic_table(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every table must be on demand (`PAY_PER_REQUEST`) or have its write capacity scaled automatically.

    A table without BillingMode is provisioned; a SAM table without ProvisionedThroughput is on demand. A provisioned
    table passes if a scalable target of Application Auto Scaling names its write capacity, a global table if its write
    capacity has auto scaling settings. Where a macro or another stack may hold the target, it is unknown.
    """
    scaled = _scaled(template)
    for table in template.of(*_TABLES, "AWS::DynamoDB::GlobalTable"):
        mode = table.at("BillingMode")
        name = table.logical_id
        if isinstance(mode, Unknown):
            message = f"The billing mode of {name} is known at deploy time only"
            yield judged(Outcome.UNKNOWN, table, "BillingMode", message)
        elif _on_demand(table, mode):
            yield judged(Outcome.PASS, table, "BillingMode", f"{name} is on demand")
        elif table.type == "AWS::DynamoDB::GlobalTable":
            yield _global_table(table)
        else:
            yield _provisioned(template, facts, table, scaled.get(name))


def _on_demand(table: Resource, mode: Value) -> bool:
    if table.type == "AWS::Serverless::SimpleTable":
        return isinstance(table.at("ProvisionedThroughput"), Absent)
    return isinstance(mode, Scalar) and mode.text == "PAY_PER_REQUEST"


def _global_table(table: Resource) -> Finding:
    path = "WriteProvisionedThroughputSettings.WriteCapacityAutoScalingSettings"
    if isinstance(table.at(path), Absent):
        message = f"{table.logical_id} is provisioned and its write capacity is not scaled"
        return judged(Outcome.FAIL, table, path, message)
    return judged(Outcome.PASS, table, path, f"{table.logical_id} has its write capacity scaled automatically")


def _provisioned(template: Template, facts: Facts, table: Resource, target: Resource | None) -> Finding:
    name = table.logical_id
    path = "BillingMode" if not isinstance(table.at("BillingMode"), Absent) else "ProvisionedThroughput"
    if target is not None:
        more = [Evidence(target.span, "the scalable target of its write capacity")]
        return judged(Outcome.PASS, table, path, f"{name} has its write capacity scaled automatically", more=more)
    word = facts.elsewhere(types=(_TARGET,))
    if word is not None:
        more = [Evidence(word.span, word.reason, word.text)]
        message = f"{name} is provisioned; its scaling is in another stack, says the configuration"
        return judged(Outcome.UNKNOWN, table, path, message, more=more)
    if template.macros:
        message = f"{name} is provisioned and nothing scales it, unless a macro adds that"
        return judged(Outcome.UNKNOWN, table, path, message)
    return judged(Outcome.FAIL, table, path, f"{name} has a fixed capacity: it is neither on demand nor scaled")


def _scaled(template: Template) -> Mapping[str, Resource]:
    """The scalable target of each table's write capacity, by the table's logical id."""
    found: dict[str, Resource] = {}
    for target in template.of(_TARGET):
        dimension = target.at("ScalableDimension")
        if isinstance(dimension, Scalar) and dimension.text == "dynamodb:table:WriteCapacityUnits":
            for table in template.targets(_table_name(target.at("ResourceId")), *_TABLES):
                found[table.logical_id] = target
    return found


def _table_name(value: Value) -> Value:
    """The name in a ``ResourceId`` of the form ``table/NAME``."""
    parts = list(parts_of(value))
    if not parts or not isinstance(parts[0], str) or not parts[0].startswith("table/"):
        return value
    kept: tuple[Part, ...] = tuple(part for part in (parts[0].removeprefix("table/"), *parts[1:]) if part != "")
    if len(kept) == 1 and isinstance(kept[0], str):
        return Scalar(kept[0], value.span)
    return Unknown(value.span, kept) if kept else value
