"""Questions about table streams: that somebody reads them."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Edge, Resource
from cfaudit.model.invocations import is_off
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, strings

_IAM = "AWS::IAM::"
_HANDS_ON = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application", "AWS::SSM::Parameter")
_READS_BY_TABLE = ("AWS::OSIS::Pipeline", "Custom::DynamoDBReplica")
"""These read the stream although they are told the table only."""
_READERS = ("AWS::Lambda::EventSourceMapping", "AWS::Pipes::Pipe")


def stream_consumers(template: Template, facts: Facts, *, types: tuple[str, ...]) -> Iterator[Finding]:
    """Every table that has a stream must have a reader of it.

    A reader is any resource but a policy that refers to the stream's ARN: an event source mapping, a pipe, an event of
    a SAM function. One that is switched off (`Enabled: false`, `DesiredState: STOPPED`) reads nothing. A stream whose
    ARN leaves the stack (an output, a nested stack, a parameter store entry, a resource policy) or that a principal
    other than a function's role may read is unknown. A global table with several replicas passes: DynamoDB replicates
    through the stream, unless the replicas are strongly consistent.
    """
    for table in template.of(*types):
        stream = table.at("StreamSpecification")
        if isinstance(stream, Absent):
            continue
        outcome, message, more = _consumed(template, table)
        external = facts.elsewhere(types=_READERS)
        if outcome is Outcome.FAIL and external:
            outcome, message = Outcome.UNKNOWN, f"{message} here; readers are in another stack: {external.reason}"
            more = (Evidence(external.span, "the configuration says so", external.text),)
        yield judged(outcome, table, "StreamSpecification", message, more=more)


def _consumed(template: Template, table: Resource) -> tuple[Outcome, str, tuple[Evidence, ...]]:
    name = table.logical_id
    edges = [edge for edge in template.edges_to.get(name, ()) if _reads(template, edge)]
    types = {edge.source: template.resources[edge.source].type for edge in edges}
    for edge in edges:
        idle = _is_off(template.resources[edge.source], edge)
        if not idle and not types[edge.source].startswith(_IAM) and types[edge.source] not in _HANDS_ON:
            evidence = (Evidence(edge.span, f"{edge.source} reads the stream"),)
            return Outcome.PASS, f"{edge.source} reads the stream of {name}", evidence
    replicated = _replicated(table)
    if replicated:
        return Outcome.PASS, f"DynamoDB replicates {name} through its stream", ()
    for edge in edges:
        if types[edge.source] in _HANDS_ON or _foreign(template, edge):
            evidence = (Evidence(edge.span, f"{edge.source} passes the stream on"),)
            return Outcome.UNKNOWN, f"nothing here reads the stream of {name}, but {edge.source} passes it on", evidence
    for span, note in _exported(template, table):
        evidence = (Evidence(span, note),)
        return Outcome.UNKNOWN, f"nothing here reads the stream of {name}, but {note}", evidence
    if replicated is None or template.macros:
        return Outcome.UNKNOWN, f"only deploy time knows whether something reads the stream of {name}", ()
    off = [edge for edge in edges if _is_off(template.resources[edge.source], edge)]
    more = tuple(Evidence(edge.span, f"{edge.source} is switched off") for edge in off)
    return Outcome.FAIL, f"nothing reads the stream of {name}", more


def _is_off(reader: Resource, edge: Edge) -> bool:
    """Whether an event source mapping, an event of a SAM function or a pipe is declared, but switched off."""
    return is_off(reader, edge.path.split(".")[1] if edge.path.startswith("Events.") else "")


def _reads(template: Template, edge: Edge) -> bool:
    return edge.attribute == "StreamArn" or template.resources[edge.source].type in _READS_BY_TABLE


def _replicated(table: Resource) -> bool | None:
    """Whether DynamoDB needs the stream itself: a global table of several, eventually consistent replicas."""
    consistency, replicas = table.at("MultiRegionConsistency"), table.at("Replicas")
    if isinstance(consistency, Unknown) or isinstance(replicas, Unknown):
        return None
    strong = isinstance(consistency, Scalar) and consistency.text == "STRONG"
    return isinstance(replicas, Seq) and len(replicas.items) > 1 and not strong


def _foreign(template: Template, edge: Edge) -> bool:
    """Whether a policy lets something else than this stack's functions read the stream."""
    holders = {
        name
        for name, principal in template.principals.items()
        if any(statement.holder.logical_id == edge.source for statement in principal.statements)
    }
    return any(name not in template.functions_of for name in holders)


def _exported(template: Template, table: Resource) -> Iterator[tuple[Span, str]]:
    policy = table.at("StreamSpecification.ResourcePolicy")
    if not isinstance(policy, Absent):
        yield policy.span, "a resource policy lets others read it"
    for name, output in template.document.outputs.entries.items():
        for value in _texts(output):
            if isinstance(value, Unknown) and (table.logical_id, "StreamArn") in value.references:
                yield value.span, f"the output {name} hands it out"


def _texts(output: Value) -> Iterator[Value]:
    if isinstance(output, Map) and "Value" in output.entries:
        yield from strings(output.entries["Value"])
