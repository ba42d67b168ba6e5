"""An Audit in, its integration graph as Mermaid or DOT out, with the gaps marked.

Roles are folded into whoever runs as them; log groups and roles show only where they have gaps. What is missing stands
dashed beside the resources that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.finding import Finding, Outcome, Result, Severity
from cfaudit.model.declarations import Resource
from cfaudit.model.mentions import spoken_for, through
from cfaudit.model.template import Template
from cfaudit.model.wires import Wire
from cfaudit.nodes import Span
from cfaudit.pipeline import Audit
from cfaudit.score import severity_of

GROUPS = {
    "clients": "Clients",
    "compute": "Compute",
    "messaging": "Messaging",
    "storage": "Storage",
    "analytics": "Analytics",
    "security": "Security",
    "operations": "Operations",
    "other": "Other",
    "outside": "Elsewhere",
    "missing": "Missing",
}

_BY_SERVICE = {
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
_BY_TYPE = {
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
    """A box: ``worst`` is the severity of its worst gap, ``gaps`` how many rules fail on it."""

    id: str
    title: str
    kind: str
    group: str
    gaps: int = 0
    worst: Severity | None = None


class Arrow(NamedTuple):
    """A line from one box to another; ``style`` is solid, dotted for what is not certain, dashed to what is missing."""

    source: str
    target: str
    label: str
    style: str


class Drawing(NamedTuple):
    """What is drawn, in the order of the template."""

    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def draw(audit: Audit) -> Drawing:
    """The drawing of the first scenario of an audit."""
    template = audit.template
    folded = _folded(template)
    gaps = _gaps(template, audit.results, folded)
    titles = {component.id: component.title for component in audit.cases[0][1].components}
    missing = list(_missing(template, audit.results, folded, titles))
    wires = [_fold(wire, folded) for wire in template.wiring.every() if wire.kind not in _UNDRAWN]
    drawn = [ends for ends in wires if _is_shown(template, gaps, ends[0]) and _is_shown(template, gaps, ends[1])]
    arrows = [*_arrows(drawn), *(arrow for _, found in missing for arrow in found)]
    ends = {name for arrow in arrows for name in (arrow.source, arrow.target)} | gaps.keys()
    nodes = [_node(resource, gaps) for name, resource in template.resources.items() if name in ends]
    known = {node.id for node in nodes} | {node.id for node, _ in missing}
    outside = dict.fromkeys(name for arrow in arrows for name in (arrow.source, arrow.target) if name not in known)
    nodes += _strangers(template, outside)
    nodes += [node for node, _ in missing]
    return Drawing(audit.source.path, tuple(nodes), tuple(arrows))


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
) -> Iterator[tuple[Node, list[Arrow]]]:
    """What a rule of completeness misses, and arrows from what needs it."""
    seen: set[str] = set()
    for result, finding in _failures(results):
        if not _is_missing(template, result, finding) or finding.subject in seen:
            continue
        seen.add(finding.subject)
        id_, title = f"missing_{finding.subject.replace('-', '_')}", titles.get(finding.subject, finding.subject)
        node = Node(id_, title, "missing", "missing", 1, severity_of(result, finding))
        owners = (_owner(template, evidence.span) for evidence in finding.evidence)
        needing = dict.fromkeys(_box(template, owner, folded) for owner in owners if owner)
        yield node, [Arrow(owner, id_, "needs", "dashed") for owner in needing]


def _owner(template: Template, span: Span) -> Resource | None:
    """The resource that a line belongs to."""
    for resource in template.resources.values():
        if resource.span.file == span.file and resource.span.line <= span.line <= resource.body.span.end_line:
            return resource
    return None


def _is_shown(template: Template, gaps: Mapping[str, dict[str, Severity]], name: str) -> bool:
    resource = template.resources.get(name)
    return resource is None or resource.type not in _HIDDEN or name in gaps


def _arrows(wires: Iterable[tuple[str, str, Wire]]) -> Iterator[Arrow]:
    """One arrow for each pair: what certainly happens, else what may."""
    pairs: dict[tuple[str, str], list[Wire]] = {}
    for source, target, wire in wires:
        if source != target:
            pairs.setdefault((source, target), []).append(wire)
    for (source, target), held in pairs.items():
        certain = [wire for wire in held if wire.certain and wire.way != "variable"]
        if certain:
            kinds = dict.fromkeys(wire.kind for wire in certain)
            label = ", ".join(kind for kind in kinds if kind != "uses")
            yield Arrow(source, target, label or "uses", "solid")
        elif all(wire.way == "variable" for wire in held):
            yield Arrow(source, target, "is told of", "dotted")
        else:
            label = ", ".join(dict.fromkeys(f"perhaps {wire.kind}" for wire in held if wire.way != "variable"))
            yield Arrow(source, target, label, "dotted")


def _node(resource: Resource, gaps: Mapping[str, dict[str, Severity]]) -> Node:
    held = gaps.get(resource.logical_id, {})
    worst = min(held.values(), key=lambda severity: severity.rank) if held else None
    return Node(resource.logical_id, resource.logical_id, _kind(resource.type), _group(resource.type), len(held), worst)


def _kind(resource_type: str) -> str:
    return " ".join(resource_type.removeprefix("AWS::").split("::"))


def _group(resource_type: str) -> str:
    pieces = resource_type.split("::")
    service = pieces[1].lower() if len(pieces) > 1 else ""
    return _BY_TYPE.get(resource_type) or _BY_SERVICE.get(service, "other")


def _strangers(template: Template, names: Iterable[str]) -> Iterator[Node]:
    """Boxes for what the template does not declare: what SAM makes of an event, a service, an account."""
    outside = {wire.source for wire in template.wiring.wires if wire.outside}
    for name in names:
        if name in outside:
            yield Node(name, name, "elsewhere", "outside")
        else:
            group = "clients" if name in template.apis.declared else "messaging"
            yield Node(name, name, "made by SAM", group)


# How it is written ---------------------------------------------------------------------------------------------------

_COLOURS = {
    Severity.CRITICAL: ("#f8c9c4", "#a4161a"),
    Severity.HIGH: ("#fbd9c0", "#c2410c"),
    Severity.MEDIUM: ("#fdeebf", "#a16207"),
    Severity.LOW: ("#e7eef7", "#4a6fa5"),
}
_RESERVED = frozenset(
    {"class", "classdef", "click", "default", "direction", "end", "flowchart", "graph", "href", "linkstyle", "style"}
    | {"subgraph"}
)


def _lines(node: Node) -> Iterator[str]:
    yield node.title
    yield node.kind
    if node.gaps and node.group != "missing":
        yield f"{node.gaps} {'gap' if node.gaps == 1 else 'gaps'}"


def to_mermaid(drawing: Drawing) -> str:
    """The drawing as a Mermaid flowchart.

    https://mermaid.js.org/syntax/flowchart.html
    """
    out = [f"%% {_oneline(drawing.title)}: boxes in colour have gaps, dashed ones are missing", "flowchart LR"]
    for group, title in GROUPS.items():
        members = [node for node in drawing.nodes if node.group == group]
        if members:
            out.append(f'  subgraph group_{group}["{title}"]')
            out += [f'    {_id(node.id)}["{"<br/>".join(map(_label, _lines(node)))}"]' for node in members]
            out.append("  end")
    links = {"solid": "-->", "dotted": "-.->", "dashed": "-.->"}
    for arrow in drawing.arrows:
        out.append(f'  {_id(arrow.source)} {links[arrow.style]}|"{_label(arrow.label)}"| {_id(arrow.target)}')
    out += _classes(drawing)
    return "\n".join(out) + "\n"


def _classes(drawing: Drawing) -> Iterator[str]:
    for severity, (fill, line) in _COLOURS.items():
        for missing, dash in ((False, ""), (True, ",stroke-dasharray:6 4")):
            members = [node for node in drawing.nodes if node.worst is severity]
            some = [_id(node.id) for node in members if (node.group == "missing") is missing]
            if some:
                name = f"{severity.value}{'Missing' if missing else ''}"
                yield f"  classDef {name} fill:{fill},stroke:{line},stroke-width:2px,color:#1b1b1b{dash}"
                yield f"  class {','.join(some)} {name}"


def _id(name: str) -> str:
    """A name that Mermaid takes for an id: letters, digits and underscores, no word of its own."""
    plain = re.sub(r"[^A-Za-z0-9_]", lambda match: f"_{ord(match[0]):x}_", name)
    return plain if plain == name and name.lower() not in _RESERVED else f"n_{plain}"


_ENTITIES = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "&": "#amp;", "`": "#96;", "\\": "#92;"}


def _label(text: str) -> str:
    return "".join(_ENTITIES.get(letter, letter) for letter in _oneline(text))


def _oneline(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def to_dot(drawing: Drawing) -> str:
    """The drawing in Graphviz's DOT language.

    https://graphviz.org/doc/info/lang.html
    """
    out = ["digraph cfaudit {", f"  label={_quoted(drawing.title)}; labelloc=t; rankdir=LR;"]
    out.append('  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica"];')
    out.append('  edge [fontname="Helvetica", fontsize=10];')
    for group, title in GROUPS.items():
        members = [node for node in drawing.nodes if node.group == group]
        if members:
            out.append(f"  subgraph cluster_{group} {{")
            out.append(f"    label={_quoted(title)};")
            out += [f"    {_quoted(node.id)} [{_attributes(node)}];" for node in members]
            out.append("  }")
    for arrow in drawing.arrows:
        style = "" if arrow.style == "solid" else f", style={arrow.style}"
        ends = f"{_quoted(arrow.source)} -> {_quoted(arrow.target)}"
        out.append(f"  {ends} [label={_quoted(arrow.label)}{style}];")
    return "\n".join([*out, "}"]) + "\n"


def _attributes(node: Node) -> str:
    label = f"label={_quoted(*_lines(node))}"
    if node.worst is None:
        return label
    fill, line = _COLOURS[node.worst]
    style = ', style="rounded,filled,dashed"' if node.group == "missing" else ""
    return f'{label}, fillcolor="{fill}", color="{line}", penwidth=2{style}'


def _quoted(*lines: str) -> str:
    texts = (_oneline(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(texts) + '"'
