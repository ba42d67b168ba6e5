"""Questions about alarms: what they watch, whom they tell, and what no alarm watches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.alarms import ACTIONS, ALARM_TYPES, COMPOSITE_ALARM, LOG_ALARM, Alarm, Metric
from cfaudit.model.declarations import Resource
from cfaudit.model.logs import LOG_GROUP, functions_logging_to
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Reference, Scalar, Seq, Span, Unknown, Value, parts_of, same_text, truth


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
            yield judged(outcome, alarm.resource, path, f"{alarm.resource.logical_id} {message}", salient=_text(metric.name))


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
        return Outcome.UNKNOWN, f"watches {name} of {space} without dimension: whether such a metric exists is not known here"
    if space in aggregated:
        return Outcome.FAIL, (
            f"names no {dimensions[space]}, so it watches {name} of {space} over everything in the account and Region"
        )
    return Outcome.FAIL, (
        f"names no {dimensions[space]}, so it watches no resource of this stack: {name} of {space} is published per "
        f"{dimensions[space]}"
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
    filter draws from a function's log group, or if it watches what AWS publishes for all functions together. Functions
    behind custom resources are not judged. There is one finding per kind. An alarm has an action if one of its lists of
    actions has a member and `ActionsEnabled` is not false, or if something else uses it: a composite alarm with
    actions, a deployment, an event rule for alarm state changes. It is unknown where the configuration says that
    alarms are in another stack, where a query chooses its metrics, or where a nested stack is told the resource.
    """
    watched = _Watched(template)
    for kind, types in kinds.items():
        yield from _kind(template, facts, watched, kind, types, namespaces[kind], namespaces[kind] in aggregated)
    for alarm in template.of(*ALARM_TYPES, COMPOSITE_ALARM):
        yield _acting(template, alarm)


class _Watched:
    """What the alarms of a template watch: the line per resource, and what cannot be told."""

    def __init__(self, template: Template) -> None:
        self.resources: dict[str, Evidence] = {}
        self.namespaces: dict[str, Evidence] = {}
        self.open: dict[str, Evidence] = {}
        filters = _metric_filters(template)
        for alarm in template.alarms.values():
            for name, span in _named(template, alarm, filters):
                self.resources.setdefault(name, Evidence(span, f"{alarm.resource.logical_id} watches {name}"))
            for metric in alarm.metrics:
                self._add_metric(template, alarm, metric)
            for query in alarm.queries:
                self._add_query(alarm, query)

    def _add_metric(self, template: Template, alarm: Alarm, metric: Metric) -> None:
        space, name = _text(metric.namespace), alarm.resource.logical_id
        if isinstance(metric.dimensions, Absent) or metric.dimensions == Seq((), metric.dimensions.span):
            span = alarm.resource.where(metric.property("Namespace"))
            self.namespaces.setdefault(space, Evidence(span, f"{name} watches all of {space} together"))
        open_ = isinstance(metric.dimensions, Unknown) or any(
            isinstance(part, Deferred) and not template.targets(value)
            for value in metric.values
            for part in parts_of(value)
        )
        if open_ or isinstance(metric.namespace, Unknown):
            span = alarm.resource.where(metric.property("Dimensions"))
            self.open.setdefault(space, Evidence(span, f"only deploy time knows what {name} watches"))

    def _add_query(self, alarm: Alarm, query: Value) -> None:
        name = alarm.resource.logical_id
        self.open.setdefault("", Evidence(query.span, f"what {name} watches is chosen by a query"))


def _named(template: Template, alarm: Alarm, filters: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[tuple[str, Span]]:
    """Logical ids of what an alarm names in its dimensions and queries, and of the functions whose logs it counts."""
    for edge in alarm.watched:
        yield edge.target, edge.span
        if template.resources[edge.target].type == LOG_GROUP:
            value = Unknown(edge.span, (Reference(edge.target, None),))
            for name in functions_logging_to(value, template, template.log_destinations):
                yield name, edge.span
    for metric in alarm.metrics:
        for value in metric.values:
            for resource in template.targets(value):
                yield resource.logical_id, value.span
            for name in _titled(template, value):
                yield name, value.span
        key = (_rendered(metric.namespace), _rendered(metric.name))
        for name in filters.get(key, ()):
            yield name, alarm.resource.where(metric.property("MetricName"))
    if alarm.resource.type == LOG_ALARM:
        groups = alarm.resource.at("ScheduledQueryConfiguration.LogGroupIdentifiers")
        for name in functions_logging_to(groups, template, template.log_destinations):
            yield name, groups.span


def _rendered(value: Value) -> str:
    return rendered(value) if isinstance(value, (Scalar, Unknown)) else ""


def _titled(template: Template, value: Value) -> Iterator[str]:
    """REST APIs whose name, the value of the dimension ApiName, is the title of their definition."""
    for resource in template.of("AWS::ApiGateway::RestApi", "AWS::Serverless::Api"):
        if isinstance(resource.at("Name"), Absent):
            body = "DefinitionBody" if resource.type == "AWS::Serverless::Api" else "Body"
            title = resource.at(f"{body}.info.title")
            stack = Unknown(resource.span, (Deferred("pseudo", "AWS::StackName"),))
            written_by_sam = resource.type == "AWS::Serverless::Api" and isinstance(title, Absent)
            if same_text(value, stack if written_by_sam else title):
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
    facts: Facts,
    watched: _Watched,
    kind: str,
    types: tuple[str, ...],
    namespace: str,
    aggregated: bool,
) -> Iterator[Finding]:
    helpers = template.custom_resource_functions
    resources = [resource for resource in template.of(*types) if resource.logical_id not in helpers]
    if not resources:
        return
    together = watched.namespaces.get(namespace) if aggregated else None
    missing = [resource for resource in resources if resource.logical_id not in watched.resources and not together]
    if not missing:
        proof = [watched.resources.get(resource.logical_id, together) for resource in resources]
        evidence = list(dict.fromkeys(entry for entry in proof if entry))
        message = f"an alarm watches each of the {kind}: {_listed(resources)}"
        yield _summary(Outcome.PASS, kind, resources[0], message, evidence)
        return
    certain, doubt = _certain(template, facts, watched, missing, namespace)
    outcome = Outcome.FAIL if certain else Outcome.UNKNOWN
    shown = certain or missing
    message = f"no alarm watches {_listed(shown)}"
    message += f" ({kind})" if certain else f" ({kind}), unless: {doubt.note}" if doubt else f" ({kind})"
    evidence = [Evidence(resource.span, f"no alarm watches {resource.logical_id}") for resource in shown]
    yield _summary(outcome, kind, shown[0], message, [*evidence, *([doubt] if doubt and not certain else [])])


def _certain(
    template: Template, facts: Facts, watched: _Watched, missing: list[Resource], namespace: str
) -> tuple[list[Resource], Evidence | None]:
    """The resources that certainly no alarm watches, and otherwise what may watch them."""
    doubt = watched.open.get(namespace) or watched.open.get("")
    elsewhere = facts.elsewhere(types=ALARM_TYPES)
    if elsewhere:
        doubt = Evidence(elsewhere.span, f"the alarms are in another stack: {elsewhere.reason}", elsewhere.text)
    elif template.macros:
        doubt = Evidence(template.span, f"{template.macros[0].name} may add alarms")
    if doubt:
        return [], doubt
    passed_on = {resource.logical_id: _nested(template, resource) for resource in missing}
    certain = [resource for resource in missing if passed_on[resource.logical_id] is None]
    return certain, next((entry for entry in passed_on.values() if entry), None)


def _nested(template: Template, resource: Resource) -> Evidence | None:
    for edge in template.edges_to.get(resource.logical_id, ()):
        if template.resources[edge.source].type in ("AWS::CloudFormation::Stack", "AWS::Serverless::Application"):
            return Evidence(edge.span, f"the nested stack {edge.source} is told {resource.logical_id}")
    return None


def _summary(outcome: Outcome, kind: str, resource: Resource, message: str, evidence: list[Evidence]) -> Finding:
    first, *more = evidence
    return judged(outcome, resource, None, message, subject=kind, span=first.span, note=first.note, more=more)


def _listed(resources: list[Resource]) -> str:
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


def _user(template: Template, alarm: Resource) -> Evidence | None:
    """What acts on an alarm's state although the alarm has no action."""
    for edge in template.edges_to.get(alarm.logical_id, ()):
        source = template.resources[edge.source]
        if source.type == COMPOSITE_ALARM:
            if _acts(source):
                return Evidence(edge.span, f"the composite alarm {edge.source} acts on it")
        elif source.type != "AWS::CloudWatch::Dashboard" and source.type not in ALARM_TYPES:
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
