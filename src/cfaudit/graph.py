"""An Audit in, what there is to draw of it out: who does what to whom, with the gaps marked.

Roles are folded into whoever runs as them; log groups and roles show only where they have gaps. What is missing stands
beside the resources that need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.finding import Finding, Outcome, Result, Severity
from cfaudit.model.declarations import Resource
from cfaudit.model.mentions import spoken_for, through
from cfaudit.model.template import Template
from cfaudit.model.wires import Wire
from cfaudit.nodes import Span
from cfaudit.pipeline import Audit
from cfaudit.score import severity_of

Group: TypeAlias = Literal[
    "clients", "compute", "messaging", "storage", "analytics", "security", "operations", "other", "outside", "missing"
]
NodeKind: TypeAlias = Literal["resource", "generated", "elsewhere", "missing"]
"""``generated``: what SAM makes of an event; ``elsewhere``: a service or an account that the template only names."""

EdgeState: TypeAlias = Literal["certain", "possible", "named", "missing"]
"""``possible``: only deploy time knows; ``named``: the source is told of the target and may do nothing to it;
``missing``: the source needs what is not there."""

_BY_SERVICE: Mapping[str, Group] = {
    "apigateway": "clients",
    "apigatewayv2": "clients",
    "appsync": "clients",
    "athena": "analytics",
    "batch": "compute",
    "cloudfront": "clients",
    "cloudwatch": "operations",
    "cognito": "clients",
    "dynamodb": "storage",
    "ec2": "compute",
    "ecs": "compute",
    "efs": "storage",
    "elasticloadbalancingv2": "clients",
    "events": "messaging",
    "frauddetector": "analytics",
    "glue": "analytics",
    "iam": "security",
    "iot": "messaging",
    "kinesis": "messaging",
    "kinesisfirehose": "messaging",
    "kms": "security",
    "lambda": "compute",
    "logs": "operations",
    "opensearchservice": "storage",
    "pipes": "messaging",
    "quicksight": "analytics",
    "rds": "storage",
    "s3": "storage",
    "scheduler": "messaging",
    "secretsmanager": "security",
    "ses": "messaging",
    "sns": "messaging",
    "sqs": "messaging",
    "ssm": "storage",
    "stepfunctions": "compute",
    "wafv2": "security",
}
_BY_TYPE: Mapping[str, Group] = {
    "AWS::Lambda::Url": "clients",
    "AWS::Serverless::Api": "clients",
    "AWS::Serverless::Function": "compute",
    "AWS::Serverless::HttpApi": "clients",
    "AWS::Serverless::SimpleTable": "storage",
    "AWS::Serverless::StateMachine": "compute",
}

_HIDDEN = frozenset({"AWS::IAM::Role", "AWS::Logs::LogGroup"})
_UNDRAWN = frozenset({"assumes"})


class Node(NamedTuple):
    """A box: the rules that fail on it are its ``gaps``, ``worst`` is the gravest severity among them."""

    id: str
    title: str
    kind: NodeKind
    type: str | None
    group: Group
    gaps: tuple[str, ...] = ()
    worst: Severity | None = None


class Edge(NamedTuple):
    """A line from one box to another: all that the one does to the other, and the first line that says so."""

    source: str
    target: str
    kinds: tuple[str, ...]
    state: EdgeState
    span: Span


class Graph(NamedTuple):
    """What is drawn, in the order of the template."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph(audit: Audit) -> Graph:
    """The graph of the first scenario of an audit."""
    template = audit.template
    folded = _folded(template)
    gaps = _gaps(template, audit.results, folded)
    titles = {component.id: component.title for component in audit.cases[0][1].components}
    missing = list(_missing(template, audit.results, folded, titles))
    wires = [_fold(wire, folded) for wire in template.wiring.shown() if wire.kind not in _UNDRAWN]
    drawn = [ends for ends in wires if _is_shown(template, gaps, ends[0]) and _is_shown(template, gaps, ends[1])]
    edges = [*_edges(drawn), *(edge for _, found in missing for edge in found)]
    ends = {name for edge in edges for name in (edge.source, edge.target)} | gaps.keys()
    nodes = [_node(resource, gaps) for name, resource in template.resources.items() if name in ends]
    known = {node.id for node in nodes} | {node.id for node, _ in missing}
    outside = dict.fromkeys(name for edge in edges for name in (edge.source, edge.target) if name not in known)
    nodes += _strangers(template, outside)
    nodes += [node for node, _ in missing]
    return Graph(tuple(nodes), tuple(edges))


# What is drawn -------------------------------------------------------------------------------------------------------


def _folded(template: Template) -> Mapping[str, str]:
    """Who stands for each role: the first that runs as it."""
    found: dict[str, str] = {}
    for name, function in template.functions.items():
        if function.principal:
            found.setdefault(function.principal, name)
    for name, workflow in template.workflows.items():
        if workflow.principal:
            found.setdefault(workflow.principal, name)
    for wire in template.wiring.wires:
        if wire.kind == "assumes":
            found.setdefault(wire.target, wire.source)
    return found


def _fold(wire: Wire, folded: Mapping[str, str]) -> tuple[str, str, Wire]:
    return folded.get(wire.source, wire.source), folded.get(wire.target, wire.target), wire


def _gaps(
    template: Template, results: Iterable[Result], folded: Mapping[str, str]
) -> Mapping[str, dict[str, Severity]]:
    """The rules that fail on each box, with the worst severity."""
    found: dict[str, dict[str, Severity]] = {}
    for result, finding in _failures(results):
        if _is_missing(template, result, finding):
            continue
        resource = template.resources.get(finding.subject) or template.resources.get(finding.logical_id or "")
        if resource is not None:
            held = found.setdefault(_box(template, resource, folded), {})
            severity = severity_of(result, finding)
            held[result.rule.id] = min(held.get(result.rule.id, severity), severity, key=lambda one: one.rank)
    return found


def _box(template: Template, resource: Resource, folded: Mapping[str, str]) -> str:
    """The box that a resource belongs to: a method's API, an alias's function, whoever runs as a role."""
    name = spoken_for(template, through(template, resource))
    return folded.get(name, name)


def _is_missing(template: Template, result: Result, finding: Finding) -> bool:
    return result.rule.category == "resource-completeness" and finding.subject not in template.resources


def _failures(results: Iterable[Result]) -> Iterator[tuple[Result, Finding]]:
    for result in results:
        for finding in result.of(Outcome.FAIL):
            if severity_of(result, finding) is not Severity.INFO:
                yield result, finding


def _missing(
    template: Template, results: Iterable[Result], folded: Mapping[str, str], titles: Mapping[str, str]
) -> Iterator[tuple[Node, list[Edge]]]:
    """What a rule of completeness misses, and edges from what needs it."""
    seen: set[str] = set()
    for result, finding in _failures(results):
        if not _is_missing(template, result, finding) or finding.subject in seen:
            continue
        seen.add(finding.subject)
        id_, title = f"missing_{finding.subject.replace('-', '_')}", titles.get(finding.subject, finding.subject)
        node = Node(id_, title, "missing", None, "missing", (result.rule.id,), severity_of(result, finding))
        needing: dict[str, Span] = {}
        for evidence in finding.evidence:
            owner = _owner(template, evidence.span)
            if owner:
                needing.setdefault(_box(template, owner, folded), evidence.span)
        yield node, [Edge(owner, id_, ("needs",), "missing", span) for owner, span in needing.items()]


def _owner(template: Template, span: Span) -> Resource | None:
    """The resource that a line belongs to."""
    for resource in template.resources.values():
        if resource.span.file == span.file and resource.span.line <= span.line <= resource.body.span.end_line:
            return resource
    return None


def _is_shown(template: Template, gaps: Mapping[str, dict[str, Severity]], name: str) -> bool:
    resource = template.resources.get(name)
    return resource is None or resource.type not in _HIDDEN or name in gaps


def _edges(wires: Iterable[tuple[str, str, Wire]]) -> Iterator[Edge]:
    """One edge for each pair: what certainly happens, else what may."""
    pairs: dict[tuple[str, str], list[Wire]] = {}
    for source, target, wire in wires:
        if source != target:
            pairs.setdefault((source, target), []).append(wire)
    for (source, target), held in pairs.items():
        told = [wire for wire in held if wire.way != "variable"]
        certain = [wire for wire in told if wire.certain]
        state: EdgeState = "certain" if certain else "possible" if told else "named"
        said = certain or told or held
        kinds = tuple(dict.fromkeys(wire.kind for wire in said if wire.kind != "uses"))
        yield Edge(source, target, kinds or ("uses",), state, said[0].span)


def _node(resource: Resource, gaps: Mapping[str, dict[str, Severity]]) -> Node:
    held = gaps.get(resource.logical_id, {})
    worst = min(held.values(), key=lambda severity: severity.rank) if held else None
    name, type_ = resource.logical_id, resource.type
    return Node(name, name, "resource", type_, _group(type_), tuple(held), worst)


def _group(resource_type: str) -> Group:
    pieces = resource_type.split("::")
    service = pieces[1].lower() if len(pieces) > 1 else ""
    return _BY_TYPE.get(resource_type) or _BY_SERVICE.get(service, "other")


def _strangers(template: Template, names: Iterable[str]) -> Iterator[Node]:
    """Boxes for what the template does not declare: what SAM makes of an event, a service, an account."""
    outside = {wire.source for wire in template.wiring.wires if wire.outside}
    for name in names:
        if name in outside:
            yield Node(name, name, "elsewhere", None, "outside")
        else:
            yield Node(name, name, "generated", None, "clients" if name in template.apis.declared else "messaging")
