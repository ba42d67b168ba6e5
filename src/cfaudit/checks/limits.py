"""Questions about limits: what a query may scan, and what a function takes from the account's concurrency."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value

_CONFIGURATION = "WorkGroupConfiguration"
_CUTOFF = f"{_CONFIGURATION}.BytesScannedCutoffPerQuery"


def scan_limit(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every Athena workgroup must limit what one query may scan (`BytesScannedCutoffPerQuery`).

    Workgroups for Apache Spark run no queries and are not judged. A limit that a parameter gives is a limit.
    """
    for group in template.of("AWS::Athena::WorkGroup"):
        engine = group.at(f"{_CONFIGURATION}.EngineVersion.SelectedEngineVersion")
        if isinstance(engine, Scalar) and "spark" in engine.text.lower():
            continue
        name, cutoff = group.logical_id, group.at(_CUTOFF)
        if isinstance(group.at(_CONFIGURATION), Unknown):
            message = f"{name} is configured at deploy time only"
            yield judged(Outcome.UNKNOWN, group, _CONFIGURATION, message)
        elif isinstance(cutoff, Absent):
            yield judged(Outcome.FAIL, group, _CUTOFF, f"{name} lets one query scan without limit")
        else:
            yield judged(Outcome.PASS, group, _CUTOFF, f"{name} stops queries that scan too much")


_RESERVED = "ReservedConcurrentExecutions"


def reserved_concurrency(template: Template, facts: Facts, *, free: int) -> Iterator[Finding]:
    """No function should reserve concurrency that the account may not have.

    Lambda refuses a reservation that leaves functions without one less than its minimum, and new accounts have so small
    a quota that it leaves nothing to reserve. So every reservation above 0 fails, by its value under the parameters of
    the audit; 0, which stops a function, passes, and so does a function without a reservation. The message adds up what
    the stack reserves, and says when not even the default quota has room.
    """
    held = {name: function.at(_RESERVED) for name, function in template.functions.items()}
    total = sum(_amount(value) or 0 for value in held.values())
    for name, function in template.functions.items():
        value, path, where = held[name], function.path(_RESERVED), function.where(_RESERVED)
        amount = _amount(value)
        if isinstance(value, Unknown):
            message = f"What {name} reserves is known at deploy time only"
            yield judged(Outcome.UNKNOWN, function.resource, path, message, span=where)
        elif amount:
            message = f"{name} reserves a concurrency of {amount}, and the stack {total}: {_refusal(total, free)}"
            more = [Evidence(function.resource.span, "the function")]
            yield judged(Outcome.FAIL, function.resource, path, message, span=where, more=more, salient=str(amount))
        else:
            message = f"{name} stops all invocations" if amount == 0 else f"{name} reserves no concurrency"
            yield judged(Outcome.PASS, function.resource, path, message, span=where)


def _amount(value: Value) -> int | None:
    return int(value.text) if isinstance(value, Scalar) and value.text.isdecimal() else None


def _refusal(total: int, free: int) -> str:
    if total > free:
        return f"more than the {free} that the default quota leaves to reserve"
    return "an account with a reduced quota refuses that"
