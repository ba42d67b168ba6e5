"""Questions about what the stack points at: does anything stand where a grant or a variable points?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cfaudit import data
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function, Variable
from cfaudit.model.iam import Grant, Principal
from cfaudit.model.reliance import (
    STACKS,
    Naming,
    boundaries,
    given,
    is_called,
    is_switch,
    naming,
    overlaps,
    told,
    workloads,
)
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Unknown, strings


def service_grant(template: Template, facts: Facts, *, skip: tuple[str, ...]) -> Iterator[Finding]:
    """Who may call a service that needs a declared resource (a table, a queue, an endpoint …) must have one to call.

    Judged are principals of this template, per service of a table that names AWS's page for each; statements of AWS's
    managed policies, an action granted by `*` alone and permissions boundaries are no reliance. It passes when the
    stack declares a resource of the service, or the configuration says that another stack does. It fails only for a
    principal that a function, workflow, rule or other workload of this stack runs as, whose statement names nothing.
    It is unknown when the statement names an ARN, a parameter or an import, is limited by a condition or allows every
    action; when the function is told a name or is fed from elsewhere; when the call works without a resource too;
    and when a nested stack, a macro or the principal itself may create one.
    """
    running, limits = workloads(template), boundaries(template)
    kinds = {resource.type: resource for resource in reversed(list(template.resources.values()))}
    services = {prefix: service for prefix, service in data.dependent_services().items() if prefix not in skip}
    for principal in template.principals.values():
        if principal.logical_id not in limits:
            for prefix, held in _by_service(principal, services).items():
                service = services[prefix]
                declared = next((kinds[kind] for kind in service.types if kind in kinds), None)
                finding = _reliance(template, facts, principal, service, held, declared, running)
                if finding:
                    yield finding


def _by_service(principal: Principal, services: Mapping[str, data.Service]) -> dict[str, list[Grant]]:
    """The grants of calls that need a resource, by service prefix."""
    found: dict[str, list[Grant]] = {}
    for statement in principal.statements:
        if statement.effect == "Allow" and statement.managed is None:
            for element in statement.actions:
                if not isinstance(element, Scalar):
                    continue
                prefix = element.text.partition(":")[0].lower()
                wanted = services[prefix].actions if prefix in services else ()
                if any(overlaps(element.text, pattern) for pattern in wanted):
                    found.setdefault(prefix, []).append(Grant(principal, statement, element))
    return found


def _reliance(
    template: Template,
    facts: Facts,
    principal: Principal,
    service: data.Service,
    held: list[Grant],
    declared: Resource | None,
    running: frozenset[str],
) -> Finding | None:
    named = [
        (naming(template, element, service.prefix, service.types), element)
        for grant in held
        for element in grant.statement.resources
    ]
    if named and all(kind is Naming.OTHER for kind, _ in named):
        return None
    subject = principal.logical_id
    lines = [Evidence(grant.action.span, f"{subject} may {grant.action.text}") for grant in held]

    def about(outcome: Outcome, message: str, evidence: list[Evidence]) -> Finding:
        return Finding(outcome, subject, message, tuple(evidence), subject, None, service.prefix)

    calls = " and ".join(list(dict.fromkeys(grant.action.text for grant in held))[:2])
    if declared:
        message = f"{subject} may {calls}, and {declared.logical_id} is declared"
        return about(Outcome.PASS, message, [*lines, Evidence(declared.span, f"{declared.logical_id} is declared")])
    external = facts.elsewhere(types=service.types)
    if external:
        message = f"{subject} may {calls}; what it calls lives in another stack: {external.reason}"
        return about(Outcome.PASS, message, [*lines, Evidence(external.span, external.reason, external.text)])
    message = f"{subject} may {calls}, but the stack declares no resource of {service.title}"
    doubt = _doubt(template, principal, service, held, named, running)
    return about(Outcome.UNKNOWN if doubt else Outcome.FAIL, f"{message}{': ' if doubt else ''}{doubt}", lines)


def _doubt(
    template: Template,
    principal: Principal,
    service: data.Service,
    held: list[Grant],
    named: list[tuple[Naming, Scalar | Unknown]],
    running: frozenset[str],
) -> str:
    """Why something may be there to call all the same, empty when it cannot."""
    if template.macros:
        return f"the macro {template.macros[0].name} may declare one"
    stack = next(template.of(*STACKS), None)
    if stack:
        return f"the nested stack {stack.logical_id} may declare one"
    for kind, element in named:
        if kind in (Naming.ELSEWHERE, Naming.LITERAL):
            return f"{told(element)} may name one of another stack"
    if principal.logical_id not in running:
        return f"nothing in this template runs as {principal.logical_id}"
    if not service.certain:
        return service.note or "the call may work without one"
    if all(grant.statement.conditional for grant in held):
        return "a condition says what it may call"
    if all(grant.action.text.endswith(":*") for grant in held):
        return "who may do everything may create one too"
    if any(
        re.search(r":(Create|Put(?!Item|Object|Record|Event))", grant.action.text)
        for grant in principal.grants(service.prefix)
    ):
        return "it may create one at run time"
    return _fed(template, principal, service)


def _fed(template: Template, principal: Principal, service: data.Service) -> str:
    """How a function may come to know a resource of another stack."""
    for function in template.functions_of.get(principal.logical_id, ()):
        if isinstance(function.at("Environment.Variables"), Unknown):
            return f"only deploy time knows the variables of {function.logical_id}"
        for variable in function.variables:
            if is_called(variable.name, service.variables) and not is_switch(variable.value):
                return f"{function.logical_id} is told {told(variable.value)} in {variable.name}"
            if any(is_called(hole.name, service.variables) for hole in given(variable.value)):
                return f"{function.logical_id} is told one in {variable.name}"
        source = _source(template, function)
        if source:
            return source
    return ""


def _source(template: Template, function: Function) -> str:
    """What of another stack feeds a function: an event source, a permission, or a custom resource's properties."""
    for edge in template.edges_to.get(function.logical_id, ()):
        resource = template.resources[edge.source]
        if edge.path == "ServiceToken":
            return f"{resource.logical_id} may pass one to {function.logical_id}"
        path = _SOURCES.get(resource.type)
        value = resource.at(path) if path else Absent(resource.span)
        if path and (isinstance(value, Scalar) or given(value) or isinstance(value, Absent)):
            return f"{resource.logical_id} invokes {function.logical_id} for something of another stack"
    for _, event in function.resource.each("Events.*.Properties"):
        for value in event.entries.values() if isinstance(event, Map) else ():
            if given(value) or (isinstance(value, Scalar) and value.text.startswith("arn:")):
                return f"{told(value)} of another stack invokes {function.logical_id}"
    code = function.at("Code.ZipFile")
    if any(re.search("cfnresponse|ResponseURL", told(text)) for text in strings(code)):
        return f"{function.logical_id} is a custom resource's, which may pass one to it"
    return ""


_SOURCES = {"AWS::Lambda::EventSourceMapping": "EventSourceArn", "AWS::Lambda::Permission": "SourceArn"}


# Variables -----------------------------------------------------------------------------------------------------------


def variable_target(
    template: Template,
    facts: Facts,
    *,
    names: Mapping[str, tuple[str, ...]],
    ambiguous: tuple[str, ...],
    ignore: tuple[str, ...],
) -> Iterator[Finding]:
    """A function's variable that holds the name of a resource must name one that the stack declares or imports.

    Which variables hold names is decided by patterns of their own names (`*_TABLE`, `QUEUE_URL` …), one list per
    service, and by ARNs. Text that comes from a mapping, a default or a `Sub` of known values is literal text. Empty
    text, switches, numbers, URLs and ARNs of a fixed account are no gaps. A parameter without default is unknown, and
    so is a literal name when a nested stack or a macro may declare it, or when the word means other things too (a
    table may be an SQL table, a topic one of Kafka's) and the function may not call the service.
    """
    for function in template.functions.values():
        for variable in function.variables:
            if is_called(variable.name, ignore) or is_switch(variable.value):
                continue
            prefix = _service_of(variable, names)
            service = data.dependent_services().get(prefix)
            if service:
                finding = _pointed(template, facts, function, variable, service, prefix in ambiguous)
                if finding:
                    yield finding


def _service_of(variable: Variable, names: Mapping[str, tuple[str, ...]]) -> str:
    """The service whose resource a variable names, empty when it names none."""
    pieces = _pieces(told(variable.value))
    if pieces:
        return pieces[2] if len(pieces) == 6 and pieces[2] in names and "*" not in pieces[5] else ""
    return next((prefix for prefix, patterns in names.items() if is_called(variable.name, patterns)), "")


def _pieces(text: str) -> list[str]:
    """The six parts of an ARN, whose pseudo parameters hold colons of their own; nothing of other text."""
    plain = re.sub(r"\$\{[^}]*\}", "${}", text)
    return plain.split(":", 5) if plain.startswith("arn:") else []


def _pointed(
    template: Template, facts: Facts, function: Function, variable: Variable, service: data.Service, ambiguous: bool
) -> Finding | None:
    value, text = variable.value, told(variable.value)
    path = f"Environment.Variables.{variable.name}"
    start = f"{function.logical_id} is told {text or 'a name'} in {variable.name}"

    def about(outcome: Outcome, message: str, note: str | None = None) -> Finding:
        return judged(outcome, function.resource, path, message, span=variable.span, salient=variable.name, note=note)

    if isinstance(value, Unknown) and (value.references or template.targets(value)):
        return about(Outcome.PASS, f"{start}, which this template declares")
    holes = given(value)
    if holes:
        imported = all(hole.kind == "import" for hole in holes)
        message = f"{start}, which {'another stack exports' if imported else 'only deploy time knows'}"
        return about(Outcome.PASS if imported else Outcome.UNKNOWN, message)
    if not isinstance(value, (Scalar, Unknown)) or not _is_name(text):
        return None
    if template.targets(value, *service.types):
        return about(Outcome.PASS, f"{start}, which this template declares")
    pieces = _pieces(text)
    if pieces and re.fullmatch(r"\d{12}|aws", pieces[4]):
        return about(Outcome.PASS, f"{start}, an ARN of a fixed account")
    external = facts.elsewhere(types=service.types, name=text)
    if external:
        return about(Outcome.PASS, f"{start}, which lives in another stack: {external.reason}", external.reason)
    message = f"{start}, but no resource of {service.title} with that name is declared or imported"
    doubt = _hidden(template) or (_unsure(template, function, service) if ambiguous else "")
    return about(Outcome.UNKNOWN if doubt else Outcome.FAIL, f"{message}{': ' if doubt else ''}{doubt}")


def _is_name(text: str) -> bool:
    """Whether known text has the shape of a resource's name or ARN."""
    plain = re.sub(r"\$\{[^}]*\}", "x", text)
    if plain.startswith("arn:"):
        return len(plain.split(":", 5)) == 6
    placeholder = plain.lower() in ("none", "null", "n/a", "tbd", "todo", "changeme", "default", "unset", "undefined")
    return not placeholder and bool(re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", plain))


def _hidden(template: Template) -> str:
    if template.macros:
        return f"the macro {template.macros[0].name} may declare it"
    stack = next(template.of(*STACKS), None)
    return f"the nested stack {stack.logical_id} may declare it" if stack else ""


def _unsure(template: Template, function: Function, service: data.Service) -> str:
    principal = template.principals.get(function.principal or "")
    if principal is not None and any(True for _ in principal.grants(service.prefix)):
        return ""
    return f"{function.logical_id} may not call {service.title} by any policy of this template"
