"""Questions about what a reader is told: descriptions, and the outputs by which others find the stack's resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import owner_of
from cfaudit.model.declarations import Resource
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, strings

SHOWN = 5


def described_template(template: Template, facts: Facts) -> Iterator[Finding]:
    """The template must have a Description that says something.

    It is unknown when it is not a literal text, or when it is absent and a transform of the whole template may add it.
    """
    value = template.document.description
    where = template.source.root.keys.get("Description", value.span)
    outcome = _described(value)
    if outcome is Outcome.PASS:
        yield _about("Template", outcome, "The template has a description", where.to(value.span))
    elif outcome is Outcome.UNKNOWN:
        yield _about("Template", outcome, "The template's description is no literal text", where.to(value.span))
    elif template.document.macros:
        yield _about("Template", Outcome.UNKNOWN, "The template has no description, unless a transform adds it", where)
    else:
        yield _about("Template", outcome, "The template has no description", where)


def _is_of_cdk(member: Value) -> bool:
    """https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html"""
    text = member.entries.get("Description") if isinstance(member, Map) else None
    return isinstance(text, Scalar) and "[cdk:skip]" in text.text


def described_members(template: Template, facts: Facts, *, section: str, kind: str) -> Iterator[Finding]:
    """Every member of the section must have a Description that says something.

    Each member without one fails on its own; those that have one pass together. A member that a loop or a transform
    writes, or whose description is not a literal text, is unknown. A template without the section is not judged, nor is
    the parameter that the CDK adds for its bootstrap stack.
    """
    document = template.document
    members = document.outputs if section == "Outputs" else document.parameters
    passed: list[Evidence] = []
    for name, member in members.entries.items():
        if _is_of_cdk(member):
            continue
        outcome, where = _member(name, member, members.keys[name])
        if outcome is Outcome.PASS:
            passed.append(Evidence(where, f"describes the {kind} {name}"))
        else:
            fact = "no description" if outcome is Outcome.FAIL else "no description that the text shows"
            yield replace(_about(name, outcome, f"The {kind} {name} has {fact}", where), logical_id=name)
    if passed:
        message = f"{len(passed)} of {len(members.entries)} {kind}s have a description"
        yield Finding(Outcome.PASS, section, message, tuple(passed[:SHOWN]))


def _member(name: str, member: Value, key: Span) -> tuple[Outcome, Span]:
    """Whether a member of a section is described, and where its description stands or is missed."""
    if name.startswith("Fn::") or isinstance(member, Unknown):
        return Outcome.UNKNOWN, key
    if not isinstance(member, Map):
        return Outcome.FAIL, key
    value = member.entries.get("Description", Absent(key))
    where = member.keys.get("Description", key)
    outcome = _described(value)
    if outcome is Outcome.FAIL:
        return (Outcome.UNKNOWN if "Fn::Transform" in member.keys else outcome), where
    return outcome, where.to(value.span)


def _described(value: Value) -> Outcome:
    match value:
        case Unknown():
            return Outcome.UNKNOWN
        case Scalar(text) if text.strip():
            return Outcome.PASS
        case _:
            return Outcome.FAIL


def _about(subject: str, outcome: Outcome, message: str, span: Span) -> Finding:
    return Finding(outcome, subject, message, (Evidence(span, message),))


def published(
    template: Template,
    facts: Facts,
    *,
    kinds: Mapping[str, tuple[str, ...]],
    stand_ins: Mapping[str, str] | None = None,
    registers: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Every resource of the listed kinds must be named by the value of an output, so that others can find it.

    It is named by a reference, or by its physical name or ARN. An output that names a stage, an alias, a distribution
    or a custom domain names what stands behind it, and a value written to Parameter Store counts like an output. An API
    that SAM makes of events is one of them. Functions that only CloudFormation calls (custom resources) are not judged.
    There is one answer per kind; it fails with the names of all that are missing, and is unknown when a transform, a
    loop or a preprocessor may add outputs.
    """
    named: dict[str, Span] = {}
    for logical_id, span in _named(template, stand_ins or {}, registers or {}):
        named.setdefault(logical_id, span)
    found = _behind(template, named, tuple(stand_ins or ()))
    outputs = template.document.outputs.entries
    unseen = bool(template.macros) or any(_is_unseen(name, output) for name, output in outputs.items())
    for kind, types in kinds.items():
        judged = [resource for resource in template.of(*types) if not _serves_cloudformation(template, resource)]
        judged += [api for api in template.implicit_apis if api.type in types]
        missing = [resource for resource in judged if resource.logical_id not in found]
        if missing:
            message = f"No output gives the {kind} of {_listed(missing)}"
            if unseen:
                message += ", unless a transform or a loop adds one"
            notes = [Evidence(resource.span, f"{resource.logical_id} is in no output") for resource in missing]
            yield Finding(Outcome.UNKNOWN if unseen else Outcome.FAIL, kind, message, tuple(notes[:SHOWN]))
        elif judged:
            message = f"Outputs give the {kind} of {_listed(judged)}"
            spans = dict.fromkeys(found[resource.logical_id] for resource in judged)
            yield Finding(Outcome.PASS, kind, message, tuple(Evidence(span, message) for span in spans)[:SHOWN])


def _named(
    template: Template, stand_ins: Mapping[str, str], registers: Mapping[str, str]
) -> Iterator[tuple[str, Span]]:
    """Logical ids that outputs (or what counts like one) name, and where."""
    domains = [
        (front.logical_id, rendered(name))
        for front in template.of(*stand_ins)
        for name in strings(front.at(stand_ins[front.type]) if stand_ins[front.type] else Absent(front.span))
    ]
    for api in template.implicit_apis:
        name = template.apis.declared[api.logical_id].at("Domain.DomainName")
        domains += [(api.logical_id, rendered(text)) for text in strings(name)]
    for value, span in _values(template, registers):
        for resource in template.targets(value):
            yield resource.logical_id, span
        for hole in value.deferred if isinstance(value, Unknown) else ():
            for api in template.implicit_apis:
                if hole.kind == "undefined" and hole.name.startswith(api.logical_id):  # its stages' ids start so too
                    yield api.logical_id, span
        text = rendered(value) if isinstance(value, (Scalar, Unknown)) else ""
        for logical_id, domain in domains:
            if domain and domain in text:
                yield logical_id, span


def _values(template: Template, registers: Mapping[str, str]) -> Iterator[tuple[Value, Span]]:
    for output in template.document.outputs.entries.values():
        if isinstance(output, Map) and "Value" in output.entries:
            value = output.entries["Value"]
            yield value, output.keys["Value"].to(value.span)
    for register in template.of(*registers):
        path = registers[register.type]
        yield register.at(path), register.where(path)


def _behind(template: Template, named: Mapping[str, Span], stand_ins: tuple[str, ...]) -> dict[str, Span]:
    """The named ones and what stands behind them: an alias's function, the API that is mapped to a domain."""
    found = dict(named)
    fronts = {front.logical_id: list(_fronted(template, front)) for front in template.of(*stand_ins)}
    for _ in range(3):  # a record's domain, the domain's mapping, the mapping's API
        for front, targets in fronts.items():
            spans = [found[name] for name in (front, *targets) if name in found and name in fronts]
            if spans:
                found.update((name, spans[0]) for name in (front, *targets) if name not in found)
    return found


def _fronted(template: Template, front: Resource) -> Iterator[str]:
    for edge in template.edges_from.get(front.logical_id, ()):
        if not edge.path.startswith("Auth."):  # SAM's APIs stand for nothing that authorizes their callers
            yield edge.target
    for path in ("RestApiId", "ApiId"):
        api = owner_of(template, front.at(path))
        if api:
            yield api


def _is_unseen(name: str, output: Value) -> bool:
    """Whether an output may say more than the text shows."""
    if name.startswith("Fn::") or not isinstance(output, Map):
        return True
    value = output.entries.get("Value")
    return isinstance(value, Unknown) and any(hole.kind == "macro" for hole in value.deferred)


def _serves_cloudformation(template: Template, resource: Resource) -> bool:
    return any(edge.path == "ServiceToken" for edge in template.edges_to.get(resource.logical_id, ()))


def _listed(resources: list[Resource]) -> str:
    names = [resource.logical_id for resource in resources]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
