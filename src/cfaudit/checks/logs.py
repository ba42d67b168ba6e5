"""Questions about log groups: that they are there first, that they expire, that workflows write to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.logs import LOG_GROUP, LogDestination, functions_logging_to, waits_for
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Scalar, Seq, Unknown, Value

_CREATE = "logs:CreateLogGroup"


def log_group_order(template: Template, facts: Facts) -> Iterator[Finding]:
    """The declared log group of a function must exist before the function can write to it.

    It does if the function refers to the group (`LoggingConfig.LogGroup`) or waits for it (`DependsOn`, or through
    other resources). Otherwise only their names tie the two, and Lambda makes a group of that name, without expiry, as
    soon as the function is invoked: then CloudFormation cannot create it any more. That the group's name refers to the
    function is no help, since the group then comes after the function. The function passes if its role may not create
    log groups. Where the role, or a policy attached to it, is not declared here, it is unknown.
    """
    for name, destination in template.log_destinations.items():
        group = destination.group
        if group is None:
            continue
        more = (Evidence(destination.function.resource.span, f"the function that logs to {group.logical_id}"),)
        if waits_for(template, name, group.logical_id):
            outcome, message = Outcome.PASS, f"{group.logical_id} is created before {name}"
        else:
            may_create = _may_create_groups(template, destination.function, group)
            relation = "after" if waits_for(template, group.logical_id, name) else "in no set order with"
            outcome = {True: Outcome.FAIL, False: Outcome.PASS, None: Outcome.UNKNOWN}[may_create]
            message = f"{group.logical_id} is created {relation} {name}, {_WHO_CREATES[may_create]}"
        yield judged(outcome, group, "LogGroupName", message, more=more, salient=name)


_WHO_CREATES = {
    True: "whose role lets Lambda create a log group of that name first",
    False: "whose role does not let Lambda create it",
    None: "and whether its role lets Lambda create it is decided elsewhere",
}


def _may_create_groups(template: Template, function: Function, group: Resource | None = None) -> bool | None:
    principal = template.principals.get(function.principal) if function.principal else None
    return principal.allows(_CREATE, template, group) if principal else None


# Retention -----------------------------------------------------------------------------------------------------------


def log_retention(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every declared log group must have a retention, and every function a declared log group (or a custom resource
    `Custom::LogRetention`, as the CDK makes it).

    For a function without log group Lambda makes one without retention, if the function's role may create log groups.
    A group that another stack declares, a name that only deploy time knows, a function whose role may not create log
    groups or is not all declared here, and one at the edge of CloudFront are unknown. Groups of the class DELIVERY have
    a fixed retention and pass. Retention policies of the account, which no template shows, do not count.
    """
    for group in template.of(LOG_GROUP):
        name, days = group.logical_id, group.at("RetentionInDays")
        if isinstance(days, Unknown) and any(part.kind == "macro" for part in days.deferred):
            message = f"a macro decides whether {name} expires its events"
            yield judged(Outcome.UNKNOWN, group, "RetentionInDays", message)
        elif not isinstance(days, Absent):
            yield judged(Outcome.PASS, group, "RetentionInDays", f"{name} expires its events")
        elif _is_delivery(group.at("LogGroupClass")):
            yield judged(Outcome.PASS, group, "LogGroupClass", f"{name} is of a class with a fixed retention")
        else:
            yield judged(Outcome.FAIL, group, "RetentionInDays", f"{name} has no retention")
    custom = dict(_custom_retentions(template))
    for name, destination in template.log_destinations.items():
        if destination.group is None:
            yield _undeclared(template, facts, destination, custom.get(name))


_WITHOUT_GROUP = {
    True: "of its own, so Lambda makes one without retention",
    False: "here and its role may not create one",
    None: "of its own, and whether its role lets Lambda make one, without retention, is decided elsewhere",
}


def _is_delivery(value: Value) -> bool:
    return isinstance(value, Scalar) and value.text == "DELIVERY"


def _custom_retentions(template: Template) -> Iterator[tuple[str, Evidence]]:
    for resource in template.of("Custom::LogRetention"):
        if not isinstance(resource.at("RetentionInDays"), Absent):
            evidence = Evidence(resource.where("RetentionInDays"), "a custom resource sets the retention")
            for name in functions_logging_to(resource.at("LogGroupName"), template, template.log_destinations):
                yield name, evidence


def _undeclared(template: Template, facts: Facts, destination: LogDestination, custom: Evidence | None) -> Finding:
    function, path = destination.function, "LoggingConfig.LogGroup"
    name = function.logical_id
    more: tuple[Evidence, ...] = ()
    outcome = Outcome.UNKNOWN
    elsewhere = facts.elsewhere(types=(LOG_GROUP,))
    if custom:
        outcome, more = Outcome.PASS, (custom,)
        message = f"a custom resource sets the retention of the log group of {name}"
    elif destination.candidates:
        group = destination.candidates[0]
        message = f"only deploy time knows whether {name} logs to {group.logical_id}"
        more = (Evidence(group.where("LogGroupName"), "a log group whose name only deploy time knows"),)
    elif not isinstance(destination.configured, Absent):
        message = f"{name} logs to a group that is not declared here"
    elif name in template.edge_functions:
        message = f"{name} logs in the Regions where CloudFront runs it, and no template shows those log groups"
    elif elsewhere:
        message = f"{name} has no log group here; one is declared in another stack: {elsewhere.reason}"
        more = (Evidence(elsewhere.span, "the configuration says so", elsewhere.text),)
    elif template.macros:
        message = f"{name} has no log group, unless {template.macros[0].name} adds one"
    else:
        may_create = _may_create_groups(template, function)
        outcome = Outcome.FAIL if may_create else Outcome.UNKNOWN
        message = f"{name} has no log group {_WITHOUT_GROUP[may_create]}"
    return judged(outcome, function.resource, function.path(path), message, span=function.where(path), more=more)


# Workflows -----------------------------------------------------------------------------------------------------------


def workflow_logging(template: Template, facts: Facts, *, paths: Mapping[str, str], action: str) -> Iterator[Finding]:
    """Every state machine must log at level ALL, ERROR or FATAL, to a destination, in a role that may set that up.

    Step Functions refuses a workflow whose role may not use the listed action, however much it may write to the log
    group. A level or a destination that only deploy time knows is unknown; a reference to a declared log group is
    known. A role that the template does not show in full is taken to be sufficient; the one that SAM makes has what
    `Policies` says.
    """
    for resource in template.of(*paths):
        path, name = paths[resource.type], resource.logical_id
        level, destinations = resource.at(f"{path}.Level"), resource.at(f"{path}.Destinations")
        where = f"{path}.Level"
        if isinstance(level, Unknown) or _decided_later(destinations):
            outcome, message = Outcome.UNKNOWN, f"only deploy time knows whether {name} logs its executions"
        elif not isinstance(level, Scalar) or level.text.upper() == "OFF":
            outcome, message = Outcome.FAIL, f"{name} does not log its executions"
        elif not (isinstance(destinations, Seq) and destinations.items):
            outcome, message = Outcome.FAIL, f"{name} has a log level but no destination"
            where = f"{path}.Destinations"
        elif _may_not(template, name, action):
            outcome, message = Outcome.FAIL, f"{name} has a log destination, but its role does not allow {action}"
            where = f"{path}.Destinations"
        else:
            outcome, message = Outcome.PASS, f"{name} logs its executions at level {level.text}"
        yield judged(outcome, resource, where, message)


def _may_not(template: Template, name: str, action: str) -> bool:
    """Whether a workflow's role certainly lacks an action.

    https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    """
    workflow = template.workflows.get(name)
    principal = template.principals.get(workflow.principal or "") if workflow else None
    return principal is not None and principal.allows(action) is False


def _decided_later(value: Value) -> bool:
    return isinstance(value, Unknown) and any(isinstance(part, Deferred) for part in value.parts)
