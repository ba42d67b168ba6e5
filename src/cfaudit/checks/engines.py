"""Questions about services that work only with something beside them: mail with a sender, queries with data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function, Variable
from cfaudit.model.iam import Grant
from cfaudit.model.reliance import STACKS, Naming, given, grants, is_called, is_switch, naming, sam_policies, told
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Unknown, strings

_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


def mail_sender(
    template: Template, facts: Facts, *, calls: tuple[str, ...], variables: tuple[str, ...], stores: tuple[str, ...]
) -> Iterator[Finding]:
    """A function that may send mail must be told the sender's address or a configuration set in a variable.

    Judged are functions whose role is granted one of the sending actions by name. A variable whose name speaks of a
    sender, an address or a configuration set passes unless it names a declared resource of another kind (the template
    of a mail, a queue), and so does a variable that refers to a declared identity or configuration set, and inline code
    that holds an address. A function that may read its configuration from a store (Parameter Store, Secrets Manager,
    AppConfig), or whose variables only deploy time knows, is unknown.
    """
    senders: dict[str, list[Grant]] = {}
    for grant in grants(template, calls):
        senders.setdefault(grant.principal.logical_id, []).append(grant)
    for principal, held in senders.items():
        for function in template.functions_of.get(principal, ()):
            lines = [Evidence(grant.action.span, f"{principal} may {grant.action.text}") for grant in held]
            yield _told(template, function, variables, any(True for _ in _stores(held[0], stores)), lines)


def _stores(grant: Grant, stores: tuple[str, ...]) -> Iterator[Grant]:
    for store in stores:
        yield from grant.principal.grants(store)


def _told(
    template: Template, function: Function, patterns: tuple[str, ...], stored: bool, lines: list[Evidence]
) -> Finding:
    name, path = function.logical_id, "Environment.Variables"
    for variable in function.variables:
        if _tells(template, variable, patterns):
            message = f"{name} may send mail and is told by {variable.name} how"
            return judged(Outcome.PASS, function.resource, path, message, span=variable.span, more=lines)
    code = [text for text in strings(function.at("Code.ZipFile")) if _ADDRESS.search(told(text))]
    if code:
        message = f"{name} may send mail and its code holds an address"
        return judged(Outcome.PASS, function.resource, path, message, span=code[0].span, more=lines)
    message = f"{name} may send mail, but no variable names a sender or a configuration set"
    if isinstance(function.at(path), Unknown):
        message, outcome = f"{name} may send mail, and only deploy time knows its variables", Outcome.UNKNOWN
    elif stored:
        message, outcome = f"{message}: it may read one from a configuration store", Outcome.UNKNOWN
    else:
        outcome = Outcome.FAIL
    return judged(outcome, function.resource, path, message, span=function.where(path), more=lines)


def _tells(template: Template, variable: Variable, patterns: tuple[str, ...]) -> bool:
    """Whether a variable holds a sender or a configuration set."""
    value = variable.value
    if template.targets(value, "AWS::SES::EmailIdentity", "AWS::SES::ConfigurationSet"):
        return True
    named = is_called(variable.name, patterns) and not is_switch(value)
    return named and ("@" in told(value) or not template.targets(value))


def query_engine(
    template: Template,
    facts: Facts,
    *,
    component: str,
    sources: tuple[str, ...],
    creators: tuple[str, ...],
    readers: tuple[str, ...],
    policies: tuple[str, ...],
) -> Iterator[Finding]:
    """An Athena workgroup needs a table to query and somebody who may query it.

    The data pass when the stack declares a Glue database, table or crawler, a data catalog or another listed source.
    They are unknown when a policy, a variable or a named query names a catalog of another stack, when a principal
    may create tables at run time, or when a nested stack or a macro may declare them. Access passes when a principal
    of the template, or a QuickSight data source, may start queries; people may also query with rights that no template
    shows, so its absence fails only where the profile requires the workgroup. Spark workgroups are not judged.
    """
    for group in template.of("AWS::Athena::WorkGroup"):
        engine = group.at("WorkGroupConfiguration.EngineVersion.SelectedEngineVersion")
        if "pyspark" not in told(engine).lower():
            yield _data(template, facts, group, sources, creators, readers)
            yield _access(template, facts, group, component, policies)


def _data(
    template: Template,
    facts: Facts,
    group: Resource,
    sources: tuple[str, ...],
    creators: tuple[str, ...],
    readers: tuple[str, ...],
) -> Finding:
    name = group.logical_id
    source = next(template.of(*sources), None)
    if source:
        more = [Evidence(source.span, f"{source.logical_id} is declared")]
        message = f"{name} can query what {source.logical_id} describes"
        return judged(Outcome.PASS, group, None, message, more=more, salient="data")
    external = facts.elsewhere(types=sources)
    if external:
        more = [Evidence(external.span, external.reason, external.text)]
        message = f"the data of {name} live in another stack: {external.reason}"
        return judged(Outcome.PASS, group, None, message, more=more, salient="data")
    doubt = _other_data(template, creators, readers)
    message = f"{name} has nothing to query: no database, table, crawler or data catalog is declared"
    outcome = Outcome.UNKNOWN if doubt else Outcome.FAIL
    return judged(outcome, group, None, f"{message}{': ' if doubt else ''}{doubt}", salient="data")


def _other_data(template: Template, creators: tuple[str, ...], readers: tuple[str, ...]) -> str:
    """Where tables may come from that are not declared here, empty when from nowhere."""
    if template.macros:
        return f"the macro {template.macros[0].name} may declare one"
    stack = next(template.of(*STACKS), None)
    if stack:
        return f"the nested stack {stack.logical_id} may declare one"
    query = next(template.of("AWS::Athena::NamedQuery"), None)
    if query:
        return f"{query.logical_id} queries or creates {told(query.at('Database')) or 'a database'}"
    for grant in grants(template, creators):
        return f"{grant.principal.logical_id} may create one at run time"
    for grant in grants(template, readers):
        for element in grant.statement.resources:
            if naming(template, element, "glue", ()) in (Naming.ELSEWHERE, Naming.LITERAL):
                return f"{told(element)} names a catalog of another stack"
    for function in template.functions.values():
        for variable in function.variables:
            called = is_called(variable.name, ("*ATHENA*", "*GLUE*", "*DATABASE*", "*CATALOG*"))
            if called and (given(variable.value) or isinstance(variable.value, Scalar)):
                return f"{function.logical_id} is told {told(variable.value)} in {variable.name}"
    return ""


def _access(template: Template, facts: Facts, group: Resource, component: str, policies: tuple[str, ...]) -> Finding:
    name, unknown = group.logical_id, False

    def about(outcome: Outcome, message: str, more: list[Evidence]) -> Finding:
        return judged(outcome, group, None, message, more=more, salient="access")

    for source in template.of("AWS::QuickSight::DataSource"):
        if told(source.at("Type")) == "ATHENA":
            place = Evidence(source.span, f"{source.logical_id} queries through Athena")
            return about(Outcome.PASS, f"{source.logical_id} queries through {name}", [place])
    for policy in sam_policies(template, policies):
        place = Evidence(policy.span, f"{policy.principal.logical_id} may query by {policy.name}")
        return about(Outcome.PASS, f"{policy.principal.logical_id} may query through {name}", [place])
    for principal in template.principals.values():
        allowed = principal.allows("athena:StartQueryExecution", template, group)
        unknown = unknown or allowed is None
        if allowed:
            place = Evidence(principal.resource.span, f"{principal.logical_id} may start queries")
            return about(Outcome.PASS, f"{principal.logical_id} may query through {name}", [place])
    message = f"no principal of the stack may query through {name}"
    certain = facts.requires(component) and not unknown and not template.macros
    people = "" if certain else ": people may, by rights that the template does not show"
    return about(Outcome.FAIL if certain else Outcome.UNKNOWN, message + people, [])
