"""A template in, which declared resources each function and workflow comes to know, and by which line, out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cfaudit.model.declarations import Edge
from cfaudit.model.functions import FUNCTION_TYPES, Function
from cfaudit.model.integrations import MACHINE_TYPES
from cfaudit.model.invocations import invoked
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Span, Unknown, Value

_QUALIFIERS = ("AWS::Lambda::Alias", "AWS::Lambda::Version")
_SILENT = ("AWS::CloudWatch::", "AWS::IAM::", "AWS::KMS::", "AWS::Logs::")
"""Types that may refer to a function and to a resource without telling the function of it."""
_UNTOLD = ("AssumeRolePolicyDocument", "FunctionName", "KmsKeyArn", "Layers", "PermissionsBoundary", "Policies", "Role")
"""Properties of a function that its code is not told."""


_LISTENING = ("AWS::Lambda::EventSourceMapping", "AWS::SNS::Subscription")
_RUNS_AS = re.compile(r"Role(?:Arn)?s?(?:\.\d+)?\Z")


def named_by(template: Template, value: Value) -> Iterator[str]:
    """The declared resources that a value refers to or names; the function for its alias or version."""
    if isinstance(value, (Scalar, Unknown)):
        function = invoked(template, value)
        if function:
            yield function.function
        for resource in template.targets(value):
            yield resource.logical_id


def known_to(template: Template, name: str) -> Mapping[str, Span]:
    """What a function or workflow knows of: its variables and other properties, and what makes it run.

    What makes it run tells it, too: an event source, a subscription, a rule's input, the workflow it is a task of, and
    a bucket whose notifications reach it through a queue or a topic.
    """
    found: dict[str, Span] = {}
    function = template.functions.get(name)
    if function:
        for variable in function.variables:
            for target in named_by(template, variable.value):
                found.setdefault(target, variable.span)
    for edge in template.edges_from.get(name, ()):
        if edge.path.split(".")[0] not in _UNTOLD:
            found.setdefault(_unqualified(template, edge.target), edge.span)
    for edge in _callers(template, name):
        found.setdefault(edge.source, edge.span)
        for other in template.edges_from.get(edge.source, ()):
            found.setdefault(_unqualified(template, other.target), other.span)
    for source in _listened(template, name):
        for edge in _notifying(template, source):
            found.setdefault(edge.source, edge.span)
    found.pop(name, None)
    return found


def known_as(template: Template, principal: str) -> Mapping[str, Span]:
    """What everything that runs as a principal knows of, together: functions, workflows, tasks, schedules."""
    found: dict[str, Span] = {}
    for function in template.functions_of.get(principal, ()):
        found.update(known_to(template, function.logical_id))
    runs = [edge.source for edge in template.edges_to.get(principal, ()) if _RUNS_AS.search(edge.path)]
    if principal in template.resources and template.resources[principal].type in MACHINE_TYPES:
        runs.append(principal)
    for name in runs:
        if name not in template.functions and not template.resources[name].type.startswith(_SILENT):
            found.update(known_to(template, name))
    return found


def _unqualified(template: Template, name: str) -> str:
    """The function of an alias or a version."""
    resource = template.resources.get(name)
    if resource is not None and resource.type in _QUALIFIERS:
        target = template.target(resource.at("FunctionName"), *FUNCTION_TYPES)
        return target.logical_id if target else name
    return name


def _callers(template: Template, name: str) -> Iterator[Edge]:
    """Who refers to a function, its aliases or its versions, and may tell it something."""
    for edge in template.edges_to.get(name, ()):
        kind = template.resources[edge.source].type
        if kind in _QUALIFIERS:
            yield from _callers(template, edge.source)
        elif not kind.startswith(_SILENT):
            yield edge


def _listened(template: Template, name: str) -> Iterator[str]:
    """The event sources of a function, queues and topics among them."""
    for edge in template.edges_from.get(name, ()):
        if edge.path.startswith("Events."):
            yield edge.target
    for edge in _callers(template, name):
        if template.resources[edge.source].type in _LISTENING:
            yield from (other.target for other in template.edges_from.get(edge.source, ()) if other.target != name)


def _notifying(template: Template, target: str) -> Iterator[Edge]:
    """The buckets that notify a queue or a topic, a queue also by a topic that it subscribes to."""
    for edge in template.edges_to.get(target, ()):
        kind = template.resources[edge.source].type
        if kind == "AWS::S3::Bucket" and edge.path.startswith("NotificationConfiguration."):
            yield edge
        elif kind == "AWS::SNS::Subscription" and edge.path == "Endpoint":
            for other in template.edges_from.get(edge.source, ()):
                if other.path == "TopicArn" and other.target != target:
                    yield from _notifying(template, other.target)


def is_hidden(function: Function) -> bool:
    """Whether only deploy time knows the variables of a function."""
    return isinstance(function.at("Environment.Variables"), Unknown)
