"""The question whether a role may use services that nothing which runs as it ever calls."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from cfaudit import data
from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import FUNCTION_TYPES, Function
from cfaudit.model.iam import POLICY_TYPES, Principal, Statement, trust
from cfaudit.model.integrations import MACHINE_TYPES
from cfaudit.model.reliance import boundaries
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, strings

_RUNNING = (*FUNCTION_TYPES, *MACHINE_TYPES)
_TRUSTED = ("lambda.amazonaws.com", "edgelambda.amazonaws.com", "states.amazonaws.com")
_NO_USE = (
    *POLICY_TYPES,
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::ResourcePolicy",
)
"""Types that name a role to let it do something, not to run as it."""

_DESTINATIONS = (
    "DeadLetterConfig.TargetArn",
    "EventInvokeConfig.DestinationConfig.OnFailure",
    "EventInvokeConfig.DestinationConfig.OnSuccess",
)


class _Use(NamedTuple):
    """What something that runs as a role calls: services by IAM prefix, and why there may be more, if there may."""

    services: frozenset[str]
    doubt: str
    span: Span


def service_use(
    template: Template,
    facts: Facts,
    *,
    support: tuple[str, ...],
    deliveries: tuple[str, ...],
    fetched: tuple[str, ...],
) -> Iterator[Finding]:
    """A role may use only services that the functions and workflows which run as it call.

    Judged are roles that a function or a workflow of this template runs as, by the services that their own policies
    allow by name, and SAM's policy templates for one service; AWS's managed policies and `*` are not. A workflow uses
    what its states call, a function what its code calls, where that can be read. Left out is what Lambda and Step
    Functions do themselves with the role: logs, traces, network interfaces, keys, polling of event sources, dead
    letters and destinations where there are any (by a wildcard, too); and services that are signed in to without a call
    of the SDK. Unknown: code or a definition that cannot be read, a Lambda layer, code that fetches over HTTP what an
    extension may answer, and a role that something else may assume.
    """
    limits = boundaries(template)
    machines: dict[str, list[Workflow]] = {}
    for workflow in template.workflows.values():
        if workflow.principal:
            machines.setdefault(workflow.principal, []).append(workflow)
    for name, principal in template.principals.items():
        functions, workflows = template.functions_of.get(name, ()), machines.get(name, [])
        if name in limits or not (functions or workflows):
            continue
        delivering = any(_delivers(template, function) for function in functions)
        held = _held(principal, support + (deliveries if delivering else ()), wild=delivering)
        if held:
            uses = [_of_function(template, function, fetched, frozenset(held)) for function in functions]
            uses += [_of_workflow(workflow) for workflow in workflows]
            runners = [each.logical_id for each in functions] + [each.logical_id for each in workflows]
            yield _compared(principal, runners, held, uses, _others(template, principal))


def _held(principal: Principal, exempt: tuple[str, ...], *, wild: bool) -> dict[str, list[Scalar]]:
    """The elements of Action that name a service, by its prefix, without those that support what runs.

    ``wild``: an element with a wildcard that allows one of those, too, supports what runs.
    """
    found: dict[str, list[Scalar]] = {}
    for statement in principal.statements:
        if statement.effect == "Allow" and (statement.managed is None or _is_of_one_service(statement.managed)):
            for element in statement.actions:
                text = element.text.lower() if isinstance(element, Scalar) else ""
                prefix, colon, _ = text.partition(":")
                any_service = "*" in prefix or "?" in prefix
                supports = _matches(text, exempt) or (wild and any(fnmatchcase(one.lower(), text) for one in exempt))
                if isinstance(element, Scalar) and colon and not any_service and not supports:
                    found.setdefault(prefix, []).append(element)
    return found


def _is_of_one_service(policy: str) -> bool:
    """Whether a policy is a policy template of SAM's that lets its role use one service only."""
    statements = data.sam_policy(policy) or ()
    return len({action.partition(":")[0] for entry in statements for action in entry.get("Action", ())}) == 1


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern.lower()) for pattern in patterns)


def _delivers(template: Template, function: Function) -> bool:
    """Whether Lambda itself sends or polls with the function's role: dead letters, destinations, event sources."""
    if function.serverless and not isinstance(function.resource.at("Events"), Absent):
        return True
    if any(not isinstance(function.at(path), Absent) for path in _DESTINATIONS):
        return True
    names = {function.logical_id}
    for edge in template.edges_to.get(function.logical_id, ()):
        if template.resources[edge.source].type in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            names.add(edge.source)
    lambdas = ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig")
    sources = (edge.source for name in names for edge in template.edges_to.get(name, ()))
    named = any(template.resources[source].type in lambdas for source in sources)
    types = (*FUNCTION_TYPES, "AWS::Lambda::Alias", "AWS::Lambda::Version")
    return named or any(
        not targets or any(target.logical_id in names for target in targets)
        for targets in (template.targets(each.at("FunctionName"), *types) for each in template.of(*lambdas))
    )


def _of_function(template: Template, function: Function, fetched: tuple[str, ...], held: frozenset[str]) -> _Use:
    name, code = function.logical_id, template.code.get(function.logical_id)
    if code is None or not code.readable:
        doubt = f"the code of {name} cannot be read: {code.reason}" if code else f"the code of {name} cannot be read"
        return _Use(frozenset(), doubt, code.span if code else function.resource.span)
    used = {call.service for call in code.calls}
    used |= {need.action.partition(":")[0].lower() for call in code.calls for need in call.needs}
    doubt = f"{code.unread[0].text} in the code of {name} may call more" if code.unread else ""
    if code.calls and any(call.needs_open for call in code.calls):
        doubt = doubt or f"not all that the calls of {name} need is known"
    if not isinstance(function.at("Layers"), Absent):
        doubt = doubt or f"a layer of {name} may call more"
    if code.http and (held.intersection(fetched) or "AWS_ACCESS_KEY_ID" in code.words):
        doubt = doubt or f"{name} may be answered by an extension over HTTP"
    return _Use(frozenset(used), doubt, code.span)


def _of_workflow(workflow: Workflow) -> _Use:
    name = workflow.logical_id
    if not workflow.readable or workflow.placeholders:
        return _Use(frozenset(), f"the definition of {name} cannot be read", workflow.span)
    used: set[str] = set()
    doubt = ""
    for _, call in workflow.calls:
        found = call.integration
        if found.kind == "activity":
            continue
        if found.prefix is None or found.actions is None or found.job_actions is None:
            doubt = f"not all that {found.name} in {name} needs is known"
        used.update({found.prefix} if found.prefix else ())
        used.update(action.partition(":")[0].lower() for action in (*(found.actions or ()), *(found.job_actions or ())))
    for state in workflow.states.values():
        used.update(action.partition(":")[0].lower() for action in state.own_actions)
    return _Use(frozenset(used), doubt, workflow.span)


def _others(template: Template, principal: Principal) -> str:
    """What else may act with the role, empty when nothing does."""
    name = principal.logical_id
    if principal.resource.type in _RUNNING:
        return ""
    for edge in template.edges_to.get(name, ()):
        resource: Resource = template.resources[edge.source]
        if resource.type not in (*_RUNNING, *_NO_USE):
            return f"{resource.logical_id} names {name} too"
    for entry in trust(principal.resource):
        if not isinstance(entry, Statement) or (entry.effect == "Allow" and not _is_trusted(entry)):
            return f"others may assume {name}"
    return ""


def _is_trusted(statement: Statement) -> bool:
    """Whether a trust policy's statement names nobody but Lambda and Step Functions."""
    named = statement.principal.entries if isinstance(statement.principal, Map) else {}
    services = strings(named.get("Service", Absent(statement.span)))
    return set(named) == {"Service"} and all(_is_runner(text) for text in services)


def _is_runner(service: Scalar | Unknown) -> bool:
    text = service.text if isinstance(service, Scalar) else service.known_text
    return text in _TRUSTED or (text.startswith(("states.", "lambda.")) and ".amazonaws.com" in text)


def _compared(
    principal: Principal, runners: list[str], held: dict[str, list[Scalar]], uses: list[_Use], others: str
) -> Finding:
    name, who = principal.logical_id, listed(runners)
    used = frozenset[str]().union(*(use.services for use in uses))
    unused = {prefix: elements for prefix, elements in held.items() if prefix not in used}
    runs = tuple(Evidence(use.span, f"what {runner} does") for runner, use in zip(runners, uses, strict=True))
    shown = {element.span: element for elements in (unused or held).values() for element in elements}
    lines = [Evidence(span, f"{name} may {element.text}") for span, element in shown.items()]
    services = listed(unused or held, limit=len(held))
    if not unused:
        message = f"{who} uses every service that {name} may use: {services}"
        return Finding(Outcome.PASS, name, message, (*lines, *runs), name)
    doubt = others or next((use.doubt for use in uses if use.doubt), "")
    if doubt:
        message = f"{name} may use {services}, which nothing seen here calls, but {doubt}"
        return Finding(Outcome.UNKNOWN, name, message, (*lines, *runs), name)
    message = f"{name} may use {services}, but {who} never calls {'it' if len(unused) == 1 else 'them'}"
    return Finding(Outcome.FAIL, name, message, (*lines, *runs), name, None, ",".join(sorted(unused)))
