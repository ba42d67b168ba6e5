"""Questions about a service that the stack relies on: is what it needs declared, and declared so that it works?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit import data
from cfaudit.facts import External, Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Grant
from cfaudit.model.reliance import (
    STACKS,
    Naming,
    given,
    grants,
    named_variables,
    naming,
    sam_policies,
    told,
    workloads,
)
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, strings, truth
from cfaudit.steps import documented


class _Backing(NamedTuple):
    """What a component needs: a service, what is declared of it, and the lines that rely on it.

    ``parts`` are resource types by what they are called; ``links`` names the property that may hold a part inline or
    by the ARN of one that is declared elsewhere. ``senders`` are arguments of calls that name one by a mail address,
    and ``step`` is the manual step by which somebody makes one.
    """

    component: str
    service: str
    calls: tuple[str, ...]
    creators: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    links: Mapping[str, str] = {}
    variables: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    workarounds: tuple[str, ...] = ()
    closed: str = ""
    senders: tuple[str, ...] = ()
    step: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """Every type that is part of it."""
        return tuple(kind for types in self.parts.values() for kind in types)

    @property
    def prefix(self) -> str:
        """The service's prefix in IAM."""
        return self.calls[0].partition(":")[0]


class _Line(NamedTuple):
    """A line that relies on the service: whose it is, what it shows, and whether it names something elsewhere."""

    subject: str
    kind: str
    note: str
    span: Span
    elsewhere: str | None
    runs: bool


def fraud_screening(
    template: Template,
    facts: Facts,
    *,
    component: str,
    service: str,
    closed: str,
    calls: tuple[str, ...],
    creators: tuple[str, ...],
    variables: tuple[str, ...],
    parts: Mapping[str, tuple[str, ...]],
    links: Mapping[str, str],
    substitutes: tuple[str, ...],
    screener: str,
) -> Iterator[Finding]:
    """A stack that may call Fraud Detector, or whose functions are told of a detector, must declare all its parts.

    An action granted by `*` alone is no reliance. A part may be declared inline or named by an ARN. Screening by
    other means passes when the configuration's `screening` names it; without that, a function that may invoke a
    model endpoint, or a screening function, is unknown. A detector passes only when its version is active and each of
    its rules has an expression and an outcome. A detector that an import, a parameter, a literal ARN, a nested stack
    or a macro may supply is unknown. Where the profile requires screening, total absence fails as well.
    """
    if facts.screening is not None:
        yield _configured(component, facts.screening, f"contributions are screened by {facts.screening.value}")
        return
    backing = _Backing(component, service, calls, creators, parts, links, variables, closed=closed)
    if not any(True for _ in template.of(*backing.types)) and not _lines(template, backing):
        yield from _substituted(template, facts, component, substitutes, screener)
        return
    yield from _backed(template, facts, backing)
    for detector in template.of("AWS::FraudDetector::Detector"):
        yield from _detector(detector)


def _substituted(
    template: Template, facts: Facts, component: str, substitutes: tuple[str, ...], screener: str
) -> Iterator[Finding]:
    """Nothing speaks of the service; the profile may want screening all the same."""
    if not facts.requires(component) and not facts.elsewhere(component=component):
        return
    places = [
        (grant.action.span, f"granted to {grant.principal.logical_id}") for grant in grants(template, substitutes)
    ]
    bound = facts.bound(template, screener)
    if bound:
        places.append((bound.span, f"{bound.logical_id} may screen by rules of its own"))
    if places and not facts.elsewhere(component=component):
        message = f"{places[0][1]}; set screening in cfaudit.yaml if that is how contributions are screened"
        yield _about(Outcome.UNKNOWN, component, message, [Evidence(*place) for place in places])
        return
    yield from _absent(template, facts, component, "nothing in the stack screens contributions for fraud", [])


def _detector(detector: Resource) -> Iterator[Finding]:
    status = detector.at("DetectorVersionStatus")
    name = detector.logical_id
    if isinstance(status, (Scalar, Absent)) and not (isinstance(status, Scalar) and status.text == "ACTIVE"):
        written = status.text if isinstance(status, Scalar) else "DRAFT, which is what no status means"
        message = f"the version of {name} is {written}: only an active version answers predictions"
        yield judged(Outcome.FAIL, detector, "DetectorVersionStatus", message, severity=Severity.HIGH)
    if _says_nothing(detector.at("Rules")):
        message = f"{name} has no rule, so its predictions have no outcome"
        yield judged(Outcome.FAIL, detector, "Rules", message, severity=Severity.HIGH)
    for path, rule in detector.each("Rules.*"):
        if isinstance(rule, Map) and "Fn::Transform" not in rule.keys and "Arn" not in rule.entries:
            missing = [key for key in ("Expression", "Language", "Outcomes") if _says_nothing(rule.entries.get(key))]
            if missing:
                message = f"a rule of {name} has no {' and no '.join(missing)} and decides nothing"
                yield judged(Outcome.FAIL, detector, path, message, severity=Severity.HIGH)


def _says_nothing(value: Value | None) -> bool:
    match value:
        case Scalar(text):
            return not text
        case Seq(items):
            return not items
        case Absent() | None:
            return True
        case _:
            return False


def mail_identity(
    template: Template,
    facts: Facts,
    *,
    component: str,
    service: str,
    calls: tuple[str, ...],
    creators: tuple[str, ...],
    variables: tuple[str, ...],
    policies: tuple[str, ...],
    templated: tuple[str, ...],
    configuration: tuple[str, ...],
    senders: tuple[str, ...],
    step: str,
    parts: Mapping[str, tuple[str, ...]],
) -> Iterator[Finding]:
    """A stack that may send mail through SES must declare an identity to send from.

    Judged are grants of the sending actions, wherever the policy stands; an action granted by `*` alone is no reliance.
    An identity that an import, a parameter, a literal ARN, a nested stack, a macro or a function that may create one
    supplies is unknown. So is one that was verified by hand, where the profile does not require mail and something
    names it: a mail address in a condition, a variable or the code, or the manual step that verifies it. A declared
    identity must have a configuration set, its own or one that a function is told; an address must have no DKIM signing
    attributes; and who may send templated mail needs a template. An identity whose name only deploy time knows is taken
    for a domain. Where the profile requires mail, total absence fails as well.
    """
    backing = _Backing(component, service, calls, creators, parts, hints=variables, policies=policies)
    if not facts.requires(component):
        backing = backing._replace(senders=senders, step=step)
    yield from _backed(template, facts, backing)
    identities = list(template.of(*backing.types))
    for identity in identities:
        yield from _address(identity)
        yield _configuration_set(template, identity, configuration)
    if identities:
        yield from _templates(template, facts, templated)


def _address(identity: Resource) -> Iterator[Finding]:
    name, signing = identity.at("EmailIdentity"), identity.at("DkimSigningAttributes")
    if isinstance(signing, Absent) or (isinstance(signing, Map) and not signing.entries):
        return
    if "@" in told(name):
        message = (
            f"{identity.logical_id} is an address with DKIM signing attributes: SES takes them for a domain only and "
            "rejects the creation"
        )
        yield judged(Outcome.FAIL, identity, "DkimSigningAttributes", message, severity=Severity.HIGH)
        return
    assumed = (f"{told(name)} is a domain",) if isinstance(name, Unknown) else ()
    message = f"{identity.logical_id} is a domain that SES signs for"
    yield judged(Outcome.PASS, identity, "DkimSigningAttributes", message, assumed=assumed)


def _configuration_set(template: Template, identity: Resource, patterns: tuple[str, ...]) -> Finding:
    path = "ConfigurationSetAttributes.ConfigurationSetName"
    if not isinstance(identity.at(path), Absent):
        return judged(Outcome.PASS, identity, path, f"{identity.logical_id} sends with a configuration set")
    for function, variable in named_variables(template, patterns):
        note = f"{function.logical_id} is told a configuration set in {variable.name}"
        return judged(
            Outcome.PASS,
            identity,
            path,
            f"mail of {identity.logical_id} is sent with the set that {note}",
            span=variable.span,
        )
    unused = [resource.logical_id for resource in template.of("AWS::SES::ConfigurationSet")]
    instead = f"; {unused[0]} is declared and nothing uses it" if unused else ""
    message = f"{identity.logical_id} has no configuration set, so no events of its mail are published{instead}"
    return judged(Outcome.FAIL, identity, path, message, severity=Severity.MEDIUM, salient="configuration set")


def _templates(template: Template, facts: Facts, actions: tuple[str, ...]) -> Iterator[Finding]:
    named = [
        grant
        for grant in grants(template, actions)
        if grant.action.text.lower() in {action.lower() for action in actions}
    ]
    kinds = ("AWS::SES::Template",)
    if not named:
        return
    grant = named[0]
    holder, subject = grant.statement.holder, grant.principal.logical_id
    found = next(template.of(*kinds), None)
    places = [Evidence(each.action.span, f"granted to {each.principal.logical_id}") for each in named]
    if found:
        message, outcome = f"{subject} sends the declared template {found.logical_id}", Outcome.PASS
    elif _hidden(template) or facts.elsewhere(types=kinds):
        message, outcome = f"{subject} may send templated mail; its template may stand elsewhere", Outcome.UNKNOWN
    else:
        message, outcome = f"{subject} may send templated mail, but no template is declared", Outcome.FAIL
    yield Finding(outcome, subject, message, tuple(places), holder.logical_id, None, "template", Severity.MEDIUM)


def dashboards(
    template: Template,
    facts: Facts,
    *,
    component: str,
    service: str,
    calls: tuple[str, ...],
    creators: tuple[str, ...],
    variables: tuple[str, ...],
    parts: Mapping[str, tuple[str, ...]],
    links: Mapping[str, str],
    workarounds: tuple[str, ...],
) -> Iterator[Finding]:
    """A stack that the profile requires dashboards of must declare a data source, a data set and a dashboard.

    A part that is named by an import, a parameter or a literal ARN, or that a nested stack or a macro may declare, is
    unknown. A data source must be of a kind that QuickSight can connect to (DynamoDB is none), a data set must list
    its columns, and a dashboard or analysis must grant somebody access, itself, by its link or through a folder.
    """
    backing = _Backing(component, service, calls, creators, parts, links, (), variables, (), workarounds)
    yield from _backed(template, facts, backing)
    for source in template.of("AWS::QuickSight::DataSource"):
        kind = source.at("Type")
        if isinstance(kind, Scalar) and kind.text.upper() == "DYNAMODB":
            message = f"{source.logical_id} is of type DYNAMODB, for which QuickSight has no connection parameters"
            yield judged(Outcome.FAIL, source, "Type", message)
    for data_set in template.of("AWS::QuickSight::DataSet"):
        yield from _columns(data_set)
    for view in template.of("AWS::QuickSight::Dashboard", "AWS::QuickSight::Analysis"):
        yield _audience(view)


def _columns(data_set: Resource) -> Iterator[Finding]:
    for path, table in data_set.each("PhysicalTableMap.*"):
        for kind, key in _COLUMNS.items():
            form = table.entries.get(kind) if isinstance(table, Map) else None
            if isinstance(form, Map) and "Fn::Transform" not in form.keys:
                columns = form.entries.get(key)
                if columns is None or (isinstance(columns, Seq) and not columns.items):
                    message = f"{data_set.logical_id} reads {path.rpartition('.')[2]} without {key}"
                    yield judged(Outcome.FAIL, data_set, f"{path}.{kind}.{key}", message)


_COLUMNS = {
    "RelationalTable": "InputColumns",
    "S3Source": "InputColumns",
    "SaaSTable": "InputColumns",
    "CustomSql": "Columns",
}


def _audience(view: Resource) -> Finding:
    for path in ("Permissions", "LinkSharingConfiguration.Permissions", "FolderArns"):
        value = view.at(path)
        if not isinstance(value, Absent) and not (isinstance(value, Seq) and not value.items):
            return judged(Outcome.PASS, view, path, f"{view.logical_id} is shared by its {path}")
    message = f"{view.logical_id} grants nobody permission to see it"
    return judged(Outcome.FAIL, view, "Permissions", message, salient="permissions")


# What the three share ------------------------------------------------------------------------------------------------


def _backed(template: Template, facts: Facts, backing: _Backing) -> Iterator[Finding]:
    lines = _lines(template, backing)
    declared = list(template.of(*backing.types))
    component = backing.component
    if declared:
        yield _complete(template, facts, backing, declared, lines)
        return
    if not lines and not facts.requires(component):
        return
    told_of = [Evidence(line.span, line.note) for line in lines]
    told_of += [
        Evidence(other.span, f"{other.logical_id} stands in for it") for other in template.of(*backing.workarounds)
    ]
    names = list(backing.parts)
    wanted = " and no ".join(names if len(names) < 4 else names[:1])
    message = f"{_who(lines, backing.service)}no {wanted} is declared{_closed(backing, facts)}"
    open_end = _open_end(template, facts, backing, lines)
    if open_end and not facts.elsewhere(component=component, types=backing.types):
        yield _about(Outcome.UNKNOWN, component, f"{message}: {open_end}", told_of or [_nothing(template)])
        return
    yield from _absent(template, facts, component, message, told_of, backing.types)


def _absent(
    template: Template,
    facts: Facts,
    component: str,
    message: str,
    lines: list[Evidence],
    types: tuple[str, ...] = (),
) -> Iterator[Finding]:
    """The finding about a component that is not here: elsewhere by the configuration's word, hidden, or missing."""
    external = facts.elsewhere(component=component, types=types)
    if external:
        yield _configured(component, external, f"{component} lives in another stack: {external.reason}")
    elif _hidden(template):
        yield _about(Outcome.UNKNOWN, component, f"{message}: {_hidden(template)}", lines or [_nothing(template)])
    else:
        yield _about(Outcome.FAIL, component, message, lines or [_nothing(template)])


def _about(outcome: Outcome, component: str, message: str, evidence: list[Evidence]) -> Finding:
    return Finding(outcome, component, message, tuple(evidence))


def _configured(component: str, external: External, message: str) -> Finding:
    return _about(Outcome.PASS, component, message, [Evidence(external.span, message, external.text)])


def _nothing(template: Template) -> Evidence:
    return Evidence(template.span, "no resource of the template is one")


def _hidden(template: Template) -> str:
    """Why an absence here proves nothing, empty when it does."""
    if template.macros:
        return f"the macro {template.macros[0].name} may declare it"
    stack = next(template.of(*STACKS), None)
    return f"the nested stack {stack.logical_id} may declare it" if stack else ""


def _open_end(template: Template, facts: Facts, backing: _Backing, lines: list[_Line]) -> str:
    """Why a service that is relied upon may be there although it is not declared, empty when it cannot."""
    named = next((line.elsewhere for line in lines if line.elsewhere), None)
    if named:
        return f"{named} may name one outside this stack"
    if backing.step in documented(template):
        return f"the manual step {backing.step} says that somebody makes it by hand"
    for grant in grants(template, backing.creators):
        if not grant.action.text.endswith(":*"):
            return f"{grant.principal.logical_id} may create one at run time"
    if lines and not any(line.runs for line in lines) and not facts.requires(backing.component):
        return f"nothing in this template runs as {lines[0].subject}"
    return ""


def _complete(
    template: Template, facts: Facts, backing: _Backing, declared: list[Resource], lines: list[_Line]
) -> Finding:
    """Whether all parts of what is partly declared are there."""
    kinds = {resource.type for resource in declared}
    have = [Evidence(resource.span, f"{resource.logical_id} is declared") for resource in declared]
    have += [Evidence(line.span, line.note) for line in lines]
    missing, elsewhere = [], []
    for part, types in backing.parts.items():
        if kinds.isdisjoint(types):
            state = _linked(template, declared, backing.links.get(part))
            missing += [part] if state is None else []
            elsewhere += [part] if state is False else []
    names = " and ".join(resource.logical_id for resource in declared[:2])
    if missing:
        message = f"{names} {'is' if len(declared) == 1 else 'are'} declared, but no {' and no '.join(missing)}"
        outside = facts.elsewhere(component=backing.component) or _hidden(template)
        return _about(Outcome.UNKNOWN if outside else Outcome.FAIL, backing.component, message, have)
    if elsewhere:
        message = f"{names} names {' and '.join(elsewhere)} of another stack"
        return _about(Outcome.UNKNOWN, backing.component, message, have)
    message = f"{backing.service} is backed by {', '.join(resource.logical_id for resource in declared)}"
    first = declared[0]
    return Finding(Outcome.PASS, backing.component, message, tuple(have), first.logical_id)


def _linked(template: Template, declared: list[Resource], name: str | None) -> bool | None:
    """Whether a part is held inline (True), named but not declared here (False), or not there at all (None)."""
    found: bool | None = None
    for resource in declared:
        for value in _members(resource.at(""), name) if name else ():
            entries = value.entries if isinstance(value, Map) else {}
            if isinstance(value, Map) and truth(entries.get("Inline", Absent(value.span))):
                return True
            if isinstance(value, (Scalar, Unknown)) or "Arn" in entries:
                found = False
    return found


def _members(value: Value, name: str) -> Iterator[Value]:
    """Every value under a key of that name, list members one by one."""
    match value:
        case Map(entries):
            for key, member in entries.items():
                if key == name:
                    yield from member.items if isinstance(member, Seq) else (member,)
                yield from _members(member, name)
        case Seq(items):
            for item in items:
                yield from _members(item, name)
        case _:
            return


def _lines(template: Template, backing: _Backing) -> list[_Line]:
    """The lines that rely on the service, each once, grants before variables."""
    running = workloads(template)
    found: dict[Span, _Line] = {}
    for grant in grants(template, backing.calls):
        found.setdefault(grant.action.span, _granted(template, backing, grant, running))
    for policy in sam_policies(template, backing.policies):
        subject = policy.principal.logical_id
        elsewhere = next(
            (
                told(value)
                for _, value in _scalars(policy.parameters)
                if naming(template, value, backing.prefix, backing.types) is not Naming.DECLARED
            ),
            None,
        )
        found.setdefault(
            policy.span, _Line(subject, "call", f"{subject} may send by {policy.name}", policy.span, elsewhere, True)
        )
    named = backing.variables + (backing.hints if found else ())
    for function, variable in named_variables(template, named):
        note = f"{function.logical_id} is told {told(variable.value) or 'one'} in {variable.name}"
        outside = given(variable.value) or (backing.senders and _is_sender(told(variable.value)))
        elsewhere = f"{variable.name} of {function.logical_id}" if outside else None
        found.setdefault(variable.span, _Line(function.logical_id, variable.name, note, variable.span, elsewhere, True))
    if found:
        found.update({line.span: line for line in _sent(template, backing)})
    return list(found.values())


def _is_sender(text: str) -> bool:
    """Whether a text names a mail identity: an address, or the ARN of one."""
    return "@" in text or ":identity/" in text


def _sent(template: Template, backing: _Backing) -> Iterator[_Line]:
    """The calls in code that name a sender."""
    for name, code in template.code.items() if backing.senders else ():
        for call in code.calls_of(*backing.calls):
            origins = (call.arguments[argument] for argument in backing.senders if argument in call.arguments)
            sender = next((text for origin in origins for text in origin.texts if _is_sender(text)), None)
            if sender:
                yield _Line(name, "call", f"the code of {name} sends from {sender}", call.span, sender, True)


def _scalars(value: Value) -> Iterator[tuple[str, Scalar | Unknown]]:
    for key, member in value.entries.items() if isinstance(value, Map) else ():
        if isinstance(member, (Scalar, Unknown)):
            yield key, member


def _granted(template: Template, backing: _Backing, grant: Grant, running: frozenset[str]) -> _Line:
    subject = grant.principal.logical_id
    by = f" by {grant.statement.managed}" if grant.statement.managed else ""
    elsewhere = None
    for element in grant.statement.resources:
        if naming(template, element, backing.prefix, backing.types) in (Naming.ELSEWHERE, Naming.LITERAL):
            elsewhere = told(element)
    for _, key, value in grant.statement.conditions:
        if key == "ses:fromaddress" and backing.senders:
            elsewhere = next(map(told, strings(value)), None)
    note = f"granted to {subject}{by}"
    return _Line(subject, "call", note, grant.action.span, elsewhere, subject in running)


def _who(lines: list[_Line], service: str) -> str:
    """Who relies on the service, as the beginning of the message; empty when nobody does."""
    if not lines:
        return ""
    callers = list(dict.fromkeys(line.subject for line in lines if line.kind == "call"))
    listeners = list(dict.fromkeys(line.subject for line in lines if line.kind != "call"))
    names = list(dict.fromkeys(line.kind for line in lines if line.kind != "call"))
    calls = [f"{_and(callers)} may call {service}"] if callers else []
    tells = [f"{_and(listeners)} {'has' if len(listeners) == 1 else 'have'} {_and(names)}"] if listeners else []
    return " and ".join(calls + tells) + ", but "


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def _closed(backing: _Backing, facts: Facts) -> str:
    """What the service's end adds to the message: the rule says how it is closed, its schemas since when."""
    ends = [end for kind in backing.types if (end := data.lifecycle(kind))]
    if backing.closed and ends and ends[0].date and ends[0].date <= facts.as_of:
        return f"; {backing.service} {backing.closed} since {ends[0].date.isoformat()}"
    return ""
