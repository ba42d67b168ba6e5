"""The question whether outputs refer to what they speak of, or spell it out once more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.declarations import Resource
from cfaudit.model.names import NAME_PROPERTIES, rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Call, Map, Node, Scalar, Span, Unknown, Value

SHOWN = 5
_BUCKET_URL = re.compile(r"s3://([^/]+)|https?://([^/]+?)\.s3[.-][^/]*|arn:[^:]*:s3:::([^/]+)")


def referring_outputs(template: Template, facts: Facts) -> Iterator[Finding]:
    """An output must refer to the resource it speaks of, and not put its name together again.

    An output fails when its value is the physical name of a declared resource, its ARN, the URL of its queue or an
    address of its bucket, and no part of the value refers to that resource; not when output and name are both the same
    parameter as a whole. Addresses that only have a reference as a
    part (`https://${Api}.execute-api…`) are right. Outputs that refer to resources pass together; a value that a macro
    makes is unknown. Outputs that speak of no declared resource are not judged.
    """
    passed: list[Evidence] = []
    for name, output in template.document.outputs.entries.items():
        key = template.document.outputs.keys[name]
        value = output.entries.get("Value") if isinstance(output, Map) else None
        if isinstance(output, Unknown) or name.startswith("Fn::"):
            yield _about(Outcome.UNKNOWN, name, f"what the output {name} says, a macro decides", key)
        elif value is not None and isinstance(output, Map):
            span = output.keys["Value"].to(value.span)
            if isinstance(value, Unknown) and value.mentions:
                passed.append(Evidence(span, f"{name} refers to {', '.join(sorted(value.mentions))}"))
                continue
            yield from _spelled(template, name, value, span)
    if passed:
        message = f"{len(passed)} of {len(template.document.outputs.entries)} outputs refer to resources"
        yield Finding(Outcome.PASS, "Outputs", message, tuple(passed[:SHOWN]))


def _spelled(template: Template, name: str, value: Value, span: Span) -> Iterator[Finding]:
    """What is said of an output that refers to no resource."""
    named = _named(template, value)
    if named is not None and _is_echo(template, name, named):
        return
    if named is not None:
        message = f"the output {name} puts the name of {named.logical_id} together again instead of referring to it"
        more = Evidence(named.span, f"the resource it speaks of: !Ref {named.logical_id}")
        yield _about(Outcome.FAIL, name, message, span, more)
    elif isinstance(value, Unknown) and any(hole.kind == "macro" for hole in value.deferred):
        yield _about(Outcome.UNKNOWN, name, f"what the output {name} says, a macro decides", span)


def _is_echo(template: Template, name: str, resource: Resource) -> bool:
    """Whether output and name are both nothing but the same parameter: then the name stands in one place only."""
    path = NAME_PROPERTIES.get(resource.type, "")
    said = _node(template.source.root, "Outputs", name, "Value")
    own = _node(template.source.root, "Resources", resource.logical_id, "Properties", *path.split("."))
    one, other = _sole_name(said), _sole_name(own)
    return one is not None and one == other


def _sole_name(node: Node | None) -> str | None:
    """The name that a value consists of, as ``!Ref x`` or ``!Sub ${x}``."""
    match node:
        case Call("Ref", Scalar(name)):
            return name
        case Call("Fn::Sub", Scalar(text)) if text.startswith("${") and text.find("}") == len(text) - 1:
            return text[2:-1].strip()
    return None


def _node(node: Node, *names: str) -> Node | None:
    found: Node | None = node
    for name in names:
        found = found.entries.get(name) if isinstance(found, Map) else None
    return found


def _named(template: Template, value: Value) -> Resource | None:
    found = template.target(value)
    if found is not None or not isinstance(value, (Scalar, Unknown)):
        return found
    match = _BUCKET_URL.match(rendered(value))
    bucket = next((group for group in match.groups() if group), "") if match else ""
    return next((resource for resource in template.by_name.get(bucket, ()) if resource.type == "AWS::S3::Bucket"), None)


def _about(outcome: Outcome, name: str, message: str, span: Span, *more: Evidence) -> Finding:
    return Finding(outcome, name, message, (Evidence(span, message), *more), property_path="Value")
