"""Questions about alarms: what they watch, whom they tell, and what no alarm watches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.alarms import ACTIONS, ALARM_TYPES, COMPOSITE_ALARM, Alarm, Metric
from cfaudit.model.declarations import Resource
from cfaudit.model.invocations import is_undefined
from cfaudit.model.logs import functions_logging_to
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Scalar, Seq, Span, Unknown, Value, parts_of, same_text, truth


def alarm_dimensions(
    template: Template,
    facts: Facts,
    *,
    dimensions: Mapping[str, str],
    account_metrics: Mapping[str, tuple[str, ...]],
    aggregated: tuple[str, ...],
) -> Iterator[Finding]:
    """Every metric of an AWS service that an alarm watches, alone or in metric math, must have a dimension.

    Metrics that AWS publishes for the whole account (`account_metrics`) and metrics of namespaces that are not AWS's
    pass without. A namespace or a list of dimensions that only deploy time knows is unknown, and so is a metric without
    dimension of a service that is not listed: it may be one for the whole account.
    """
    for alarm in template.alarms.values():
        for metric in alarm.metrics:
            outcome, message = _dimensioned(alarm, metric, dimensions, account_metrics, aggregated)
            path = metric.property("Dimensions")
            message = f"{alarm.resource.logical_id} {message}"
            yield judged(outcome, alarm.resource, path, message, salient=_text(metric.name))


def _dimensioned(
    alarm: Alarm,
    metric: Metric,
    dimensions: Mapping[str, str],
    account_metrics: Mapping[str, tuple[str, ...]],
    aggregated: tuple[str, ...],
) -> tuple[Outcome, str]:
    space, name = _text(metric.namespace), _text(metric.name)
    if isinstance(metric.dimensions, Seq) and metric.dimensions.items:
        return Outcome.PASS, f"watches {name or 'its metric'} of named resources"
    if isinstance(metric.namespace, Unknown) or isinstance(metric.dimensions, Unknown):
        return Outcome.UNKNOWN, "watches a metric whose namespace or dimensions only deploy time knows"
    if not space.startswith("AWS/"):
        return Outcome.PASS, f"watches {name or 'a metric'} of the stack's own namespace {space}".rstrip()
    if name in account_metrics.get(space, ()):
        return Outcome.PASS, f"watches {name}, which AWS publishes for the whole account"
    if space not in dimensions:
        return Outcome.UNKNOWN, f"watches {name} of {space} without dimension; it may be one of the whole account"
    if space in aggregated:
        return Outcome.FAIL, (
            f"names no {dimensions[space]}, so it watches {name} of {space} over everything in the account and Region"
        )
    return Outcome.FAIL, (
        f"has no dimension such as {dimensions[space]}, so it watches nothing: {space} publishes {name} only with one"
    )


def _text(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else ""


# Coverage ------------------------------------------------------------------------------------------------------------


def alarm_coverage(
    template: Template,
    facts: Facts,
    *,
    kinds: Mapping[str, tuple[str, ...]],
    namespaces: Mapping[str, str],
    aggregated: tuple[str, ...],
) -> Iterator[Finding]:
    """Each resource of each kind must be watched by an alarm, and every alarm must have an action.

    An alarm watches a resource if a dimension (also one in metric math) names it, if it watches a metric that a metric
    filter draws from a function's log group, or if it watches what AWS publishes for all functions together. The
    dimension ApiName must be the REST API's name; its id matches no metric, which the finding then says. Functions
    behind custom resources are not judged. There is one finding per kind. An alarm has an action if one of its lists of
    actions has a member and `ActionsEnabled` is not false, or if something else uses it: a composite alarm with
    actions, a deployment, an event rule for alarm state changes. It is unknown where the configuration says that
    alarms are in another stack, where a query chooses its metrics, or where a nested stack is told the resource.
    """
    watched, together, doubts = _watched(template), _together(template, aggregated), _doubts(template)
    for kind, types in kinds.items():
        space = namespaces[kind]
        doubt = doubts.get(space) or doubts.get("") or _elsewhere(template, facts)
        yield from _kind(template, kind, tuple(_judged(template, types)), {**together.get(space, {}), **watched}, doubt)
    for alarm in template.of(*ALARM_TYPES, COMPOSITE_ALARM):
        yield _acting(template, alarm)


def _judged(template: Template, types: tuple[str, ...]) -> Iterator[Resource]:
    for resource in template.of(*types):
        if resource.logical_id not in template.custom_resource_functions:
            yield resource
    yield from (api for api in template.implicit_apis if api.type in types)


def _watched(template: Template) -> Mapping[str, Evidence]:
    """The line that shows that an alarm watches a resource, by the resource's logical id."""
    filters = _metric_filters(template)
    found: dict[str, Evidence] = {}
    for alarm in template.alarms.values():
        for name, span in _named(template, alarm, filters):
            found.setdefault(name, Evidence(span, f"{alarm.resource.logical_id} watches {name}"))
    return found


def _together(template: Template, aggregated: tuple[str, ...]) -> Mapping[str, Mapping[str, Evidence]]:
    """The same for the namespaces of which AWS publishes metrics over all resources together."""
    found: dict[str, dict[str, Evidence]] = {}
    for alarm in template.alarms.values():
        for metric in alarm.metrics:
            space = _text(metric.namespace)
            if space in aggregated and _is_empty(metric.dimensions):
                span = alarm.resource.where(metric.property("Namespace"))
                evidence = Evidence(span, f"{alarm.resource.logical_id} watches all of {space} together")
                found.setdefault(space, dict.fromkeys(template.resources, evidence))
    return found


def _is_empty(value: Value) -> bool:
    return isinstance(value, Absent) or (isinstance(value, Seq) and not value.items)


def _doubts(template: Template) -> Mapping[str, Evidence]:
    """Alarms of which only deploy time, or the query they run, knows what they watch, by namespace; empty for any."""
    found: dict[str, Evidence] = {}
    for alarm in template.alarms.values():
        name = alarm.resource.logical_id
        for query in alarm.queries:
            found.setdefault("", Evidence(query.span, f"what {name} watches is chosen by a query"))
        for metric in alarm.metrics:
            if isinstance(metric.namespace, Unknown) or _is_open(template, metric):
                span = alarm.resource.where(metric.property("Dimensions"))
                found.setdefault(_text(metric.namespace), Evidence(span, f"only deploy time knows what {name} watches"))
    return found


def _is_open(template: Template, metric: Metric) -> bool:
    if isinstance(metric.dimensions, Unknown):
        return True
    return any(
        any(isinstance(part, Deferred) for part in parts_of(value))
        and not any(_dimension_targets(template, dimension, value))
        for dimension, value in metric.values
    )


def _elsewhere(template: Template, facts: Facts) -> Evidence | None:
    external = facts.elsewhere(types=ALARM_TYPES)
    if external:
        return Evidence(external.span, f"the alarms are in another stack: {external.reason}", external.text)
    return Evidence(template.span, f"{template.macros[0].name} may add alarms") if template.macros else None


_Filters: TypeAlias = Mapping[tuple[str, str], tuple[str, ...]]


def _named(template: Template, alarm: Alarm, filters: _Filters) -> Iterator[tuple[str, Span]]:
    """Logical ids of what an alarm names in its dimensions and queries, and of the functions whose logs it counts."""
    for edge in alarm.queried:
        yield edge.target, edge.span
    for metric in alarm.metrics:
        for dimension, value in metric.values:
            for name in _dimension_targets(template, dimension, value):
                yield name, value.span
        for name in filters.get((_rendered(metric.namespace), _rendered(metric.name)), ()):
            yield name, alarm.resource.where(metric.property("MetricName"))
    groups = alarm.resource.at("ScheduledQueryConfiguration.LogGroupIdentifiers")
    for name in functions_logging_to(groups, template, template.log_destinations):
        yield name, groups.span


def _rendered(value: Value) -> str:
    return rendered(value) if isinstance(value, (Scalar, Unknown)) else ""


def _dimension_targets(template: Template, dimension: str, value: Value) -> Iterator[str]:
    """Logical ids of what the value of a dimension names; ApiName is the name of a REST API, its id is another text."""
    by_reference = isinstance(value, Unknown) and bool(value.references)
    for resource in template.targets(value):
        if not (dimension == "ApiName" and by_reference and resource.type in _REST_APIS):
            yield resource.logical_id
    if dimension == "ApiName":
        yield from _titled(template, value)
    else:
        yield from (api.logical_id for api in template.implicit_apis if is_undefined(value, api.logical_id))


_REST_APIS = ("AWS::ApiGateway::RestApi", "AWS::Serverless::Api")
_OTHER_APIS = ("AWS::ApiGatewayV2::Api", "AWS::Serverless::HttpApi")


def _titled(template: Template, value: Value) -> Iterator[str]:
    """REST APIs whose name, the value of the dimension ApiName, is the title of their definition, or given by SAM."""
    stack = Unknown(template.span, (Deferred("pseudo", "AWS::StackName"),))
    implicit = [api for api in template.implicit_apis if api.type in _REST_APIS]
    for resource in (*template.of(*_REST_APIS), *implicit):
        name = template.apis.declared[resource.logical_id].at("Name")
        if isinstance(name, Absent):
            body = "DefinitionBody" if resource.type == "AWS::Serverless::Api" else "Body"
            title = resource.at(f"{body}.info.title")
            written_by_sam = resource.type == "AWS::Serverless::Api" and isinstance(title, Absent)
            name = stack if written_by_sam else title
        if same_text(value, name):
            yield resource.logical_id


def _metric_filters(template: Template) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The functions whose logs a metric of a metric filter counts, by its namespace and name."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for resource in template.of("AWS::Logs::MetricFilter"):
        names = tuple(functions_logging_to(resource.at("LogGroupName"), template, template.log_destinations))
        for path, value in resource.each("MetricTransformations.*.MetricName"):
            namespace = resource.at(path.removesuffix("MetricName") + "MetricNamespace")
            key = (_rendered(namespace), _rendered(value))
            found[key] = (*found.get(key, ()), *names)
    return found


def _kind(
    template: Template,
    kind: str,
    resources: tuple[Resource, ...],
    watched: Mapping[str, Evidence],
    doubt: Evidence | None,
) -> Iterator[Finding]:
    missing = [resource for resource in resources if resource.logical_id not in watched]
    if not missing:
        evidence = list(dict.fromkeys(watched[resource.logical_id] for resource in resources))
        message = f"an alarm watches each of the {kind}: {_listed(resources)}"
        if resources:
            yield _summary(Outcome.PASS, kind, resources[0], message, evidence)
        return
    told = {resource.logical_id: _nested(template, resource) for resource in missing}
    certain = [] if doubt else [resource for resource in missing if told[resource.logical_id] is None]
    shown = certain or missing
    evidence = [Evidence(resource.span, f"no alarm watches {resource.logical_id}") for resource in shown]
    evidence += [mistaken for resource in shown for mistaken in _misnamed(template, resource)]
    if certain:
        yield _summary(Outcome.FAIL, kind, shown[0], f"no alarm watches {_listed(shown)} ({kind})", evidence)
        return
    why = [doubt] if doubt else [entry for entry in told.values() if entry]
    message = f"no alarm here names {_listed(shown)} ({kind}), but {why[0].note}"
    yield _summary(Outcome.UNKNOWN, kind, shown[0], message, [*evidence, *why])


def _misnamed(template: Template, resource: Resource) -> Iterator[Evidence]:
    """Alarms that mean to watch an API by the dimension ApiName, and find no metric.

    A REST API's is its name, not its id; metrics of HTTP and WebSocket APIs have ApiId instead.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    """
    rest, named = resource.type in _REST_APIS, resource.at("Name")
    for alarm in template.alarms.values():
        for metric in alarm.metrics:
            for dimension, value in metric.values:
                meant = resource in template.targets(value) or (not rest and same_text(value, named))
                if dimension == "ApiName" and meant and resource.type in (*_REST_APIS, *_OTHER_APIS):
                    why = (
                        "gives its id as ApiName, which is its name" if rest else "names it by ApiName instead of ApiId"
                    )
                    yield Evidence(value.span, f"{alarm.resource.logical_id} {why}: it watches nothing")


def _nested(template: Template, resource: Resource) -> Evidence | None:
    for edge in template.edges_to.get(resource.logical_id, ()):
        if template.resources[edge.source].type in ("AWS::CloudFormation::Stack", "AWS::Serverless::Application"):
            return Evidence(edge.span, f"the nested stack {edge.source} is told {resource.logical_id}")
    return None


def _summary(outcome: Outcome, kind: str, resource: Resource, message: str, evidence: list[Evidence]) -> Finding:
    first, *more = evidence
    return judged(outcome, resource, None, message, subject=kind, span=first.span, note=first.note, more=more)


def _listed(resources: Sequence[Resource]) -> str:
    names = [resource.logical_id for resource in resources]
    return " and ".join(", ".join(names).rsplit(", ", 1))


# Actions -------------------------------------------------------------------------------------------------------------


def _acting(template: Template, alarm: Resource) -> Finding:
    name = alarm.logical_id
    enabled = truth(alarm.at("ActionsEnabled")) if not isinstance(alarm.at("ActionsEnabled"), Absent) else True
    states = {path: _has_members(alarm.at(path)) for path in ACTIONS}
    path = next((path for path, state in states.items() if state), "AlarmActions")
    user = _user(template, alarm)
    more: tuple[Evidence, ...] = ()
    if enabled and True in states.values():
        outcome, message = Outcome.PASS, f"{name} has an action"
    elif user:
        outcome, message, more = Outcome.PASS, f"{name} has no action of its own, but {user.note}", (user,)
    elif enabled is False and any(state is not False for state in states.values()):
        outcome, message, path = Outcome.FAIL, f"the actions of {name} are disabled", "ActionsEnabled"
    elif enabled is None or None in states.values():
        outcome, message = Outcome.UNKNOWN, f"only deploy time knows whether {name} has an action"
    else:
        outcome, message = Outcome.FAIL, f"{name} has no action: nobody is told when it fires"
    return judged(outcome, alarm, path, message, more=more)


def _has_members(value: Value) -> bool | None:
    match value:
        case Seq(items):
            return bool(items)
        case Scalar(text):
            return bool(text)
        case Unknown():
            return None if value.deferred else True
        case _:
            return False


_ONLY_NAMES = (*ALARM_TYPES, "AWS::CloudWatch::AlarmMuteRule", "AWS::CloudWatch::Dashboard")
"""Types that may refer to an alarm without acting on it."""


def _user(template: Template, alarm: Resource) -> Evidence | None:
    """What acts on an alarm's state although the alarm has no action."""
    for edge in template.edges_to.get(alarm.logical_id, ()):
        source = template.resources[edge.source]
        if source.type == COMPOSITE_ALARM:
            if _acts(source):
                return Evidence(edge.span, f"the composite alarm {edge.source} acts on it")
        elif source.type not in _ONLY_NAMES and not source.type.startswith("AWS::IAM::"):
            return Evidence(edge.span, f"{edge.source} uses it")
    for composite in template.of(COMPOSITE_ALARM):
        name = _rendered(alarm.at("AlarmName"))
        rule = composite.at("AlarmRule")
        if name and name in _rendered(rule) and _acts(composite):
            return Evidence(rule.span, f"the composite alarm {composite.logical_id} acts on it")
    for rule_ in template.of("AWS::Events::Rule"):
        kinds = rule_.at("EventPattern.detail-type")
        for kind in kinds.items if isinstance(kinds, Seq) else ():
            if _text(kind) == "CloudWatch Alarm State Change":
                return Evidence(kind.span, f"the rule {rule_.logical_id} acts on alarms")
    return None


def _acts(composite: Resource) -> bool:
    return any(_has_members(composite.at(path)) is not False for path in ACTIONS)
