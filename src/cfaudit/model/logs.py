"""Functions and log groups in, where each function logs out.

Lambda writes to the group that LoggingConfig names, otherwise to ``/aws/lambda/NAME``; a group that is not there it
makes itself, without expiry, if the function's role may.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.functions import FUNCTION_TYPES, Function
from cfaudit.model.names import rendered
from cfaudit.nodes import Absent, Deferred, Part, Reference, Scalar, Unknown, Value, parts_of, strings

LOG_GROUP = "AWS::Logs::LogGroup"
DEFAULT_PREFIX = "/aws/lambda/"

_NOT_CREATED = ("Events.", "DeploymentPreference.", "EventInvokeConfig.", "FunctionUrlConfig.")
"""SAM makes resources of their own from these properties; the function does not wait for what they refer to."""


class LogDestination(NamedTuple):
    """Where a function logs: ``configured`` is its LoggingConfig.LogGroup, ``group`` the declared log group.

    Without a ``group``, ``candidates`` are declared ones that deploy time may turn out to be it.
    """

    function: Function
    configured: Value
    group: Resource | None
    candidates: tuple[Resource, ...]


def log_destinations(template: Declarations, functions: Mapping[str, Function]) -> Mapping[str, LogDestination]:
    """Where every function logs, by the function's logical id."""
    named: dict[str, Resource] = {}
    for group in template.of(LOG_GROUP):
        name = group.at("LogGroupName")
        if isinstance(name, (Scalar, Unknown)):
            named.setdefault(rendered(name), group)
    found: dict[str, LogDestination] = {}
    for logical_id, function in functions.items():
        configured = function.at("LoggingConfig.LogGroup")
        own = template.target(configured, LOG_GROUP) or _by_name(function, configured, named)
        found[logical_id] = LogDestination(function, configured, own, ())
    taken = {entry.group.logical_id for entry in found.values() if entry.group}
    loose = [group for group in named.values() if group.logical_id not in taken and _is_open(template, group)]
    return {
        name: entry._replace(candidates=_candidates(entry, loose)) if loose and not entry.group else entry
        for name, entry in found.items()
    }


def functions_logging_to(value: Value, template: Declarations, found: Mapping[str, LogDestination]) -> Iterator[str]:
    """Logical ids of the functions that log to the groups a property names, declared or Lambda's own."""
    groups = {group.logical_id for group in template.targets(value, LOG_GROUP)}
    texts = {rendered(name) for name in strings(value)}
    for logical_id, destination in found.items():
        if destination.group:
            if destination.group.logical_id in groups:
                yield logical_id
        elif isinstance(destination.configured, Absent) and texts.intersection(_default_names(destination.function)):
            yield logical_id


def waits_for(template: Declarations, later: str, earlier: str) -> bool:
    """Whether CloudFormation creates ``later`` only after ``earlier``: by references and DependsOn, however far."""
    seen = {later}
    waiting = [later]
    while waiting:
        name = waiting.pop()
        for needed in _needed(template, name):
            if needed == earlier:
                return True
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    return False


def _needed(template: Declarations, name: str) -> Iterator[str]:
    resource = template.resources.get(name)
    if resource is None:
        return
    expanded = resource.type == "AWS::Serverless::Function"
    for edge in template.edges_from.get(name, ()):
        if not (expanded and edge.path.startswith(_NOT_CREATED)):
            yield edge.target
    for value in strings(resource.attribute("DependsOn")):
        if isinstance(value, Scalar):
            yield value.text


def _by_name(function: Function, configured: Value, named: Mapping[str, Resource]) -> Resource | None:
    if not isinstance(configured, Absent):
        return None
    return next((named[text] for text in _default_names(function) if text in named), None)


def _default_names(function: Function) -> Iterator[str]:
    """Lambda's own name for the group, by reference to the function and, where it has one, by the function's name."""
    yield rendered(Unknown(function.resource.span, (DEFAULT_PREFIX, Reference(function.logical_id, None))))
    name = function.at("FunctionName")
    if isinstance(name, (Scalar, Unknown)):
        yield DEFAULT_PREFIX + rendered(name)


# What deploy time decides --------------------------------------------------------------------------------------------


def _is_open(template: Declarations, group: Resource) -> bool:
    """Whether deploy time completes the group's name with something else than a function's name."""
    name = group.at("LogGroupName")
    if not isinstance(name, Unknown):
        return False
    targets = (template.resources.get(reference.logical_id) for reference in name.references)
    return all(target is None or target.type not in FUNCTION_TYPES for target in targets)


def _candidates(entry: LogDestination, loose: Iterable[Resource]) -> tuple[Resource, ...]:
    if not isinstance(entry.configured, Absent):
        wanted = parts_of(entry.configured)
    else:
        name = parts_of(entry.function.at("FunctionName"))
        wanted = (DEFAULT_PREFIX, *name) if name else ()
    if not wanted:
        return ()
    return tuple(group for group in loose if _may_be(wanted, parts_of(group.at("LogGroupName"))))


def _may_be(left: tuple[Part, ...], right: tuple[Part, ...]) -> bool:
    """Whether two texts with holes can come out equal, judged by how they begin and end."""
    if not any(isinstance(part, Deferred) for part in (*left, *right)):
        return False
    heads, tails = (_head(left), _head(right)), (_tail(left), _tail(right))
    return _agree(*heads, str.startswith) and _agree(*tails, str.endswith)


def _agree(left: str, right: str, test: Callable[[str, str], bool]) -> bool:
    return test(left, right) or test(right, left)


def _head(parts: tuple[Part, ...]) -> str:
    text = ""
    for part in parts:
        if not isinstance(part, str):
            break
        text += part
    return text


def _tail(parts: tuple[Part, ...]) -> str:
    text = ""
    for part in reversed(parts):
        if not isinstance(part, str):
            break
        text = part + text
    return text
