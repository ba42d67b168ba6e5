"""Questions about who may use the key of what it publishes to, reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.arn import covers
from cfaudit.model.declarations import Resource
from cfaudit.model.encryption import TABLE_TYPES, AtRest, is_assumed, key_of
from cfaudit.model.iam import POLICY_TYPES, PRINCIPAL_TYPES, SAM_TYPES, Principal, Statement, reaches
from cfaudit.model.keys import Access, Use, encrypting_key, principal_access, service_access
from cfaudit.model.knowledge import known_as
from cfaudit.model.names import rendered
from cfaudit.model.reliance import told
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Span, Unknown, Value

_TYPES = {
    "dynamodb": TABLE_TYPES,
    "kinesis": ("AWS::Kinesis::Stream",),
    "s3": ("AWS::S3::Bucket",),
    "secretsmanager": ("AWS::SecretsManager::Secret",),
    "sns": ("AWS::SNS::Topic",),
    "sqs": ("AWS::SQS::Queue",),
}
_ASSUMED_KEY = "the policy of the key, which is not in this template, leaves its use to IAM policies"
_ASSUMED_BUCKET = "objects are encrypted as the bucket's default says"


class _Held(NamedTuple):
    """Something encrypted, and the key."""

    resource: Resource
    rest: AtRest

    @property
    def name(self) -> str:
        return self.resource.logical_id

    @property
    def key_line(self) -> Evidence:
        return Evidence(self.resource.where(self.rest.path), f"the key of {self.name}")


def missing_right(template: Template, facts: Facts) -> tuple[Outcome, str]:
    """What a right that no policy here gives comes to, and why it may be given all the same."""
    if template.macros:
        return Outcome.UNKNOWN, f"; the macro {template.macros[0].name} may allow it"
    external = facts.elsewhere(types=POLICY_TYPES)
    return (Outcome.UNKNOWN, f"; {external.reason}") if external else (Outcome.FAIL, "")


def key_access(
    template: Template, facts: Facts, *, needs: Mapping[str, tuple[str, ...]], publishers: Mapping[str, tuple[str, ...]]
) -> Iterator[Finding]:
    """Who may use something that a customer managed key encrypts must be able to use the key as that needs.

    Judged are roles and users per resource under such a key, by the listed actions and the KMS actions that each
    needs. A key may be used by who is named in its policy, and by the IAM policies if the key policy leaves it to them
    by naming the account; conditions on the service in between, on the account and on the encryption context are
    followed. A policy that allows an action on everything fails only for what its function or workflow is told of;
    otherwise it is unknown whether that resource is meant. Unknown too: a policy or a key policy that the template
    does not show. Policies attached to nothing here, and groups, are not judged.

    AWS services that act for themselves (alarms, rules, bucket notifications and others, as listed) need their service
    principal in the key policy, one verdict per topic or queue and service; AWS's own keys, whose policies cannot be
    changed, never let them. A target that is reached with a role is left to the role. A condition on the source in a
    statement for EventBridge is unknown, because AWS does not support it there.
    """
    held = _held(template, {action.partition(":")[0] for action in needs})
    customer = {service: [item for item in items if item.rest.kind != "managed"] for service, items in held}
    for principal in template.principals.values():
        if principal.resource.type in PRINCIPAL_TYPES + SAM_TYPES and principal.resource.type != "AWS::IAM::Group":
            yield from _principal(template, facts, principal, needs, customer)
    if publishers:
        kms = {service: needs[action] for action in needs for service in [action.partition(":")[0]]}
        yield from _services(template, {item.name: item for _, items in held for item in items}, kms, publishers)


def _held(template: Template, services: Iterable[str]) -> list[tuple[str, list[_Held]]]:
    found = []
    for service in sorted(services):
        resources = [_Held(resource, encrypting_key(template, resource)) for resource in template.of(*_TYPES[service])]
        found.append((service, [item for item in resources if item.rest.kind not in ("owned", "off")]))
    return found


# Principals ----------------------------------------------------------------------------------------------------------


class _Right(NamedTuple):
    """An action that a principal may use on something, the line that says so, and whether it names the thing."""

    action: str
    span: Span
    named: bool
    certain: bool


def _principal(
    template: Template,
    facts: Facts,
    principal: Principal,
    needs: Mapping[str, tuple[str, ...]],
    customer: Mapping[str, list[_Held]],
) -> Iterator[Finding]:
    known: Mapping[str, Span] | None = None
    granting = list(_granting(principal, needs, customer))
    for service, items in customer.items():
        for item in items:
            rights = list(_rights(template, principal, service, item, granting))
            if not rights:
                continue
            if not any(right.named for right in rights):
                known = known_as(template, principal.logical_id) if known is None else known
            meant = any(right.named for right in rights) or (known is not None and item.name in known)
            yield from _judged(template, facts, principal, item, service, rights, needs, meant=meant)


def _granting(
    principal: Principal, needs: Mapping[str, tuple[str, ...]], customer: Mapping[str, list[_Held]]
) -> Iterator[tuple[str, Statement]]:
    """The statements that allow one of the actions on something that is encrypted here."""
    for action in needs:
        if customer[action.partition(":")[0]]:
            for statement in principal.statements:
                if statement.effect == "Allow" and statement.covers(action):
                    yield action, statement


def _rights(
    template: Template, principal: Principal, service: str, item: _Held, granting: list[tuple[str, Statement]]
) -> Iterator[_Right]:
    for action, statement in granting:
        if action.startswith(f"{service}:") and reaches(statement, template, item.resource):
            allowed = principal.allows(action, template, item.resource)
            if allowed is not False:
                element = next(iter(statement.matching(action)), None)
                span = element.span if element else statement.span
                yield _Right(action, span, _names(template, statement, item.resource), bool(allowed))


def _names(template: Template, statement: Statement, resource: Resource) -> bool:
    """Whether a statement names a resource, and does not merely cover it."""
    for element in statement.resources:
        mentions = element.mentions if isinstance(element, Unknown) else frozenset()
        if resource.logical_id in mentions or resource in template.targets(element, resource.type):
            return True
        tail = rendered(element).rpartition(":")[2].rpartition("/")[2]
        if tail.strip("*") and covers(element, template, resource):
            return True
    return False


def _judged(
    template: Template,
    facts: Facts,
    principal: Principal,
    item: _Held,
    service: str,
    rights: list[_Right],
    needs: Mapping[str, tuple[str, ...]],
    *,
    meant: bool,
) -> Iterator[Finding]:
    name, key = principal.logical_id, item.rest.key
    wanted = dict.fromkeys(use for right in rights for use in needs[right.action])
    answers = {use: principal_access(template, principal, key, Use(use, service)) for use in wanted}
    lacking = [use for use, access in answers.items() if access.allowed is False]
    unclear = [use for use, access in answers.items() if access.allowed is None]
    label = _label(template, key)
    start = f"{name} may {listed(dict.fromkeys(right.action for right in rights))} on {item.name}"
    deciding = [answers[use] for use in (lacking or unclear or list(wanted))]
    more = [*(Evidence(right.span, right.action) for right in rights[1:]), item.key_line, *_lines(deciding)]
    assumed: tuple[str, ...] = ()
    if lacking:
        outcome, doubt = missing_right(template, facts)
        message = f"{start}, but not {listed(lacking)} on {label}{doubt}"
        if not meant:
            outcome, message = Outcome.UNKNOWN, f"{message}, if {item.name} is what it is meant to use"
        elif not all(right.certain for right in rights):
            outcome, message = Outcome.UNKNOWN, f"{message}, unless another policy denies it anyway"
        assumed = (_ASSUMED_BUCKET,) if item.resource.type == "AWS::S3::Bucket" else ()
    elif unclear and not meant:
        return
    elif unclear:
        outcome, message = Outcome.UNKNOWN, f"{start}; whether it may {listed(unclear)} on {label} is not seen here"
    else:
        outcome, message = Outcome.PASS, f"{start}, and {listed(wanted)} on {label}"
        assumed = (_ASSUMED_KEY,) if key_of(template, key) is None or is_assumed(key) else ()
    first = rights[0]
    yield judged(
        outcome,
        principal.resource,
        None,
        message,
        span=first.span,
        note=f"{name} may {first.action}",
        more=more,
        salient=item.name,
        assumed=assumed,
    )


def _label(template: Template, key: Value) -> str:
    resource = key_of(template, key)
    return f"its key {resource.logical_id}" if resource else f"its key {told(key)}" if told(key) else "its key"


def _lines(deciding: Iterable[Access]) -> list[Evidence]:
    """The lines that decide, one piece of evidence each."""
    notes: dict[Span, list[str]] = {}
    for access in deciding:
        notes.setdefault(access.span, []).append(access.note)
    return [Evidence(span, "; ".join(dict.fromkeys(held))) for span, held in notes.items()]


# Services ------------------------------------------------------------------------------------------------------------


class _Publication(NamedTuple):
    """A line by which an AWS service publishes to something encrypted."""

    service: str
    source: Resource
    span: Span


def _services(
    template: Template,
    held: Mapping[str, _Held],
    kms: Mapping[str, tuple[str, ...]],
    publishers: Mapping[str, tuple[str, ...]],
) -> Iterator[Finding]:
    found: dict[tuple[str, str], list[_Publication]] = {}
    for service, places in publishers.items():
        for place in places:
            kind, _, path = place.partition(" ")
            for source in template.of(kind):
                for target, span in _published(template, source, path):
                    if target in held:
                        found.setdefault((target, service), []).append(_Publication(service, source, span))
    for (target, service), publications in found.items():
        item = held[target]
        via = "sns" if item.resource.type == "AWS::SNS::Topic" else "sqs"
        yield _served(template, item, service, publications, kms[via], via)


def _published(template: Template, source: Resource, path: str) -> Iterator[tuple[str, Span]]:
    """The topics and queues that a property of something names, unless a role of its own reaches them."""
    for concrete, value in source.each(path):
        beside = source.at(concrete.rpartition(".")[0]) if "." in concrete else Absent(source.span)
        if isinstance(beside, Map) and "RoleArn" in beside.entries:
            continue
        for target in template.targets(value, "AWS::SNS::Topic", "AWS::SQS::Queue"):
            yield target.logical_id, value.span


def _served(
    template: Template,
    item: _Held,
    service: str,
    publications: list[_Publication],
    wanted: tuple[str, ...],
    via: str,
) -> Finding:
    key, answers = item.rest.key, dict[str, Access]()
    for use in wanted:
        found = [service_access(template, key, service, Use(use, via, made.source)) for made in publications]
        answers[use] = min(found, key=lambda access: (False, None, True).index(access.allowed))
    names = listed(dict.fromkeys(made.source.logical_id for made in publications))
    verb = "publishes" if len({made.source.logical_id for made in publications}) == 1 else "publish"
    start = f"{names} {verb} to {item.name} as {service}"
    lacking = [use for use, access in answers.items() if access.allowed is False]
    unclear = [use for use, access in answers.items() if access.allowed is None]
    if lacking:
        outcome, message = Outcome.FAIL, f"{start}, which may not {listed(lacking)} on {_label(template, key)}"
    elif unclear:
        outcome = Outcome.UNKNOWN
        message = f"{start}; whether that may {listed(unclear)} on {_label(template, key)} is not seen here"
    else:
        outcome, message = Outcome.PASS, f"{start}, which may {listed(wanted)} on {_label(template, key)}"
    first = publications[0]
    deciding = [answers[use] for use in (lacking or unclear or list(wanted))]
    more = [*(Evidence(made.span, made.source.logical_id) for made in publications[1:]), item.key_line]
    return judged(
        outcome,
        item.resource,
        item.rest.path,
        message,
        span=first.span,
        note=f"{first.source.logical_id} publishes to {item.name}",
        more=[*more, *_lines(deciding)],
        salient=service,
    )
