"""A key, who asks and for what in, whether they may use it and the line that decides out.

A key policy decides: it names a principal, or leaves it to the account's IAM policies by naming the account. Services
that read on a caller's behalf (S3, DynamoDB, SQS …) use the key with the caller's rights; the grants that DynamoDB and
others make for themselves serve their own upkeep, never a caller. An AWS service that acts for itself (an alarm, a
bucket's notification) needs its service principal in the key policy.
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html,
https://docs.aws.amazon.com/kms/latest/developerguide/determining-access.html
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from cfaudit.model.arn import covers
from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.encryption import STORE_TYPES, AtRest, at_rest, key_kind, key_of
from cfaudit.model.iam import Principal, Statement, reaches
from cfaudit.model.names import rendered
from cfaudit.model.policies import ResourceStatement, statements
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, strings

_KEY_PATHS = {
    "AWS::Kinesis::Stream": "StreamEncryption.KeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
}
_ACCOUNT = "\x01pseudo|AWS\x03\x03AccountId\x02"
_CONTEXTS = {
    "aws:dynamodb:": "dynamodb",
    "aws:kinesis:arn": "kinesis",
    "aws:lambda:": "lambda",
    "aws:logs:arn": "logs",
    "aws:s3:arn": "s3",
    "aws:sns:topicarn": "sns",
    "aws:sqs:": "sqs",
    "parameter_arn": "ssm",
    "secretarn": "secretsmanager",
    "secretversionid": "secretsmanager",
}
"""How the key of an encryption context begins, and the service that sends it.

https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html
"""


class Access(NamedTuple):
    """Whether a key may be used, None when only deploy time knows, and the line that decides or misses it."""

    allowed: bool | None
    span: Span
    note: str


class Use(NamedTuple):
    """One KMS action, through the service that holds the data (``sns``).

    ``source`` is what makes an AWS service act: an alarm, a rule, a bucket.
    """

    action: str
    service: str
    source: Resource | None = None


def encrypting_key(template: Declarations, resource: Resource) -> AtRest:
    """The key that encrypts what a table, bucket, queue, topic, stream or secret holds, and where that is said."""
    if resource.type in STORE_TYPES:
        return at_rest(template, resource)
    path = _KEY_PATHS.get(resource.type)
    value = resource.at(path) if path else Absent(resource.span)
    kind = key_kind(value)
    return AtRest("owned" if kind == "none" else kind, path or "", value)


# Principals ----------------------------------------------------------------------------------------------------------


def principal_access(template: Declarations, principal: Principal, key: Value, use: Use) -> Access:
    """Whether a role or user may use the key that a value names."""
    resource = key_of(template, key)
    own = _identity(template, principal, key, resource, use)
    if resource is None:
        return own if own.allowed else Access(None, key.span, "the policy of this key is not in this template")
    direct, delegated = _by_policy(template, resource, principal, use)
    if direct.allowed or own.allowed is False:
        return direct if direct.allowed is not False else own
    if delegated.allowed is False:
        return direct if direct.allowed is None else delegated
    if delegated.allowed and own.allowed:
        return own
    return own if own.allowed is None else delegated


def _identity(template: Declarations, principal: Principal, key: Value, resource: Resource | None, use: Use) -> Access:
    """What the principal's own policies say."""
    name = principal.logical_id
    best = Access(False, principal.resource.span, f"no policy of {name} allows {use.action} on the key")
    if principal.opaque:
        best = Access(None, principal.opaque[0].span, f"a policy of {name} is not shown here")
    for statement in principal.statements:
        covered = statement.covers(use.action)
        if covered is False:
            continue
        reached = reaches(statement, template, resource) if resource else _reaches_named(statement, key)
        met = conditions_met(template, statement.condition, use, service=None)
        answer = _all(covered, reached, met)
        if statement.effect == "Deny":
            if not statement.conditional and covered and reached:
                return Access(False, statement.span, f"{name} is denied {use.action}")
        elif answer or (answer is None and best.allowed is False):
            element = next(iter(statement.matching(use.action)), None)
            best = _better(
                best, Access(answer, element.span if element else statement.span, f"{name} may {use.action}")
            )
    return best


def _reaches_named(statement: Statement, key: Value) -> bool | None:
    """Whether a statement covers a key that this template does not declare."""
    if statement.not_resources:
        return None
    text = rendered(key) if isinstance(key, (Scalar, Unknown)) else ""
    holes = {hole.name for hole in key.deferred if hole.kind != "pseudo"} if isinstance(key, Unknown) else set()
    for element in statement.resources:
        mine = rendered(element)
        shared = isinstance(element, Unknown) and holes.intersection(hole.name for hole in element.deferred)
        if mine == text or not mine.strip("*") or mine.endswith(":key/*") or shared:
            return True
    return None


def _by_policy(template: Declarations, key: Resource, principal: Principal, use: Use) -> tuple[Access, Access]:
    """What the key policy says of a principal: by its name (or everyone's), and by leaving it to IAM policies."""
    policy = key.at("KeyPolicy")
    if isinstance(policy, Absent):  # KMS then writes a policy that leaves everything to IAM
        return _refused(key, use), Access(True, key.span, "the default key policy leaves it to IAM policies")
    if not isinstance(policy, Map):
        unread = Access(None, policy.span, f"the policy of {key.logical_id} is known at deploy time only")
        return unread, unread
    direct, delegated = _refused(key, use), _refused(key, use)
    for statement in statements(policy):
        if isinstance(statement, Unknown):
            delegated = _better(delegated, Access(None, statement.span, "a statement known at deploy time only"))
            continue
        covered = statement.covers(use.action)
        met = conditions_met(template, statement.condition, use, service=None)
        named, account = _names(template, statement, principal), _names_account(statement)
        if statement.effect == "Deny":
            if covered and not statement.conditional and (named or account):
                denied = Access(False, statement.span, f"the policy of {key.logical_id} denies {use.action}")
                return denied, denied
            continue
        said = f"the policy of {key.logical_id}"
        direct = _better(direct, Access(_all(covered, named, met), statement.span, f"{said} allows {use.action}"))
        answer = _all(covered, account, met)
        delegated = _better(delegated, Access(answer, statement.span, f"{said} leaves {use.action} to IAM policies"))
    return direct, delegated


def _refused(key: Resource, use: Use) -> Access:
    return Access(False, key.span, f"the policy of {key.logical_id} does not allow {use.action}")


def _better(held: Access, found: Access) -> Access:
    if held.allowed or found.allowed is False:
        return held
    return found if found.allowed or held.allowed is False else held


def _names(template: Declarations, statement: ResourceStatement, principal: Principal) -> bool | None:
    """Whether a statement names a role or user, or everyone."""
    if not isinstance(statement.element("NotPrincipal"), Absent):
        return None
    if statement.everyone:
        return True
    answer: bool | None = False
    for value in _accounts(statement):
        if principal.resource in template.targets(value, principal.resource.type):
            return True
        if isinstance(value, Unknown) and value.deferred and _account(value) is None and not value.references:
            answer = None
    return answer


def _names_account(statement: ResourceStatement) -> bool | None:
    answers = [_account(value) for value in _accounts(statement)]
    return True if True in answers else None if None in answers else False


def _accounts(statement: ResourceStatement) -> Iterator[Scalar | Unknown]:
    principal = statement.element("Principal")
    if isinstance(principal, Map):
        yield from strings(descend(principal, statement.span, ["AWS"])[0])
    elif isinstance(principal, Unknown):
        yield principal


def _account(value: Scalar | Unknown) -> bool | None:
    """Whether a principal is an account as a whole, which lets the account's IAM policies decide."""
    text = rendered(value)
    if text.endswith(":root") or text == _ACCOUNT or (text.isdigit() and len(text) == 12):
        return True
    whole = isinstance(value, Unknown) and not value.references and not any(isinstance(p, str) for p in value.parts)
    return None if whole else False


# Services ------------------------------------------------------------------------------------------------------------


def service_access(template: Declarations, key: Value, service: str, use: Use) -> Access:
    """Whether an AWS service (``cloudwatch.amazonaws.com``) that acts for itself may use the key a value names."""
    if key_kind(key) == "managed":
        return Access(
            False, key.span, f"the policy of AWS's own key does not let {service} use it, nor can it be changed"
        )
    resource = key_of(template, key)
    if resource is None:
        return Access(None, key.span, "the policy of this key is not in this template")
    policy = resource.at("KeyPolicy")
    if not isinstance(policy, (Map, Absent)):
        return Access(None, policy.span, f"the policy of {resource.logical_id} is known at deploy time only")
    best = Access(False, resource.span, f"the policy of {resource.logical_id} does not let {service} use it")
    for statement in statements(policy):
        if isinstance(statement, Unknown):
            best = _better(best, Access(None, statement.span, "a statement known at deploy time only"))
            continue
        served = True if statement.everyone else statement.serves(service)
        covered = statement.covers(use.action)
        if statement.effect == "Deny":
            if covered and served and not statement.conditional:
                return Access(False, statement.span, f"the policy of {resource.logical_id} denies {use.action}")
            continue
        met = conditions_met(template, statement.condition, use, service=service)
        said = f"the policy of {resource.logical_id} lets {service} use it"
        best = _better(best, Access(_all(covered, served, met), statement.span, said))
    return best


# Conditions ----------------------------------------------------------------------------------------------------------


def conditions_met(template: Declarations, condition: Value, use: Use, *, service: str | None) -> bool | None:
    """Whether a statement's conditions hold for a use of a key, by a principal or by a service of AWS's.

    Conditions that say nothing of the service, its account or the encryption context are taken to hold.
    """
    if isinstance(condition, Unknown):
        return None
    answers = [
        _met(template, operator.lower(), key.lower(), value, use, service)
        for operator, keys in (condition.entries if isinstance(condition, Map) else {}).items()
        for key, value in (keys.entries if isinstance(keys, Map) else {}).items()
    ]
    return _all(*answers)


def _met(template: Declarations, operator: str, key: str, value: Value, use: Use, service: str | None) -> bool | None:
    negated, optional = "not" in operator, operator.endswith("ifexists")
    if key == "kms:viaservice":
        answer = False if service else _matches_service(value, use.service)
        return optional or negated if service else answer if answer is None else answer is not negated
    if key in ("aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid"):
        if service is None:
            return True if optional or negated else None
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html: not supported for EventBridge
        return None if service == "events.amazonaws.com" else _from_source(template, key, value, use, negated=negated)
    if key == "kms:grantisforawsresource":  # only requests about grants carry it
        return optional or negated
    if key.startswith("kms:encryptioncontext:"):
        sent = key.removeprefix("kms:encryptioncontext:")
        sender = next((name for start, name in _CONTEXTS.items() if sent.startswith(start)), None)
        return None if sender is None else sender == use.service or optional or negated
    return True


def _matches_service(value: Value, service: str) -> bool | None:
    answer: bool | None = False
    for text in strings(value):
        label = rendered(text).split(".", 1)[0]
        if "\x01" in label:
            answer = None
        elif fnmatchcase(service, label):
            return True
    return answer


def _from_source(template: Declarations, key: str, value: Value, use: Use, *, negated: bool) -> bool | None:
    if key != "aws:sourcearn" or use.source is None or negated:
        return True
    answers = [covers(element, template, use.source, "") for element in strings(value)]
    return True if True in answers else None if None in answers else False


def _all(*answers: bool | None) -> bool | None:
    return False if False in answers else None if None in answers else True
