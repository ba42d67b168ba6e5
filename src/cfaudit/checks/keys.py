"""Questions about KMS keys: what their policies give to services, what they protect together, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.delivery import bucket_origins
from cfaudit.model.encryption import KEY_TYPES, TABLE_TYPES, at_rest, key_of
from cfaudit.model.iam import action_matches
from cfaudit.model.policies import ResourceStatement, service_named, services_in, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Scalar, Seq, Unknown, Value, parts_of, same_text, strings, truth

_GRANT = "kms:creategrant"
_CONTEXT = "kms:encryptioncontext:aws:logs:arn"
_SOURCES = ("aws:sourcearn", "aws:sourceaccount")
_WHOLE = re.compile(r"(?:\*|arn:[^:]*:logs:[^:]*:[^:]*:(?:\*|log-group:\*(?::\*)?))")


def key_grants(template: Template, facts: Facts) -> Iterator[Finding]:
    """A key policy must give services narrow rights.

    Judged are the statements that allow a service principal something. One fails that lets the service create grants
    (`kms:CreateGrant`, also by a wildcard) without `kms:GrantIsForAWSResource` or another condition on the grant, and
    one for CloudWatch Logs whose encryption context names every log group of the account (`…:log-group:*`, `…:*`) or
    none. Statements for accounts, roles and users are not judged: `kms:*` for the account's root is AWS's default. A
    key without statements for services passes. A policy that only deploy time knows is unknown.
    """
    for key in template.of(*KEY_TYPES):
        found = list(_key(key))
        if found:
            yield from found
        else:
            yield judged(Outcome.PASS, key, "KeyPolicy", f"{key.logical_id} gives services narrow rights only")


def _key(key: Resource) -> Iterator[Finding]:
    for index, statement in enumerate(statements(key.at("KeyPolicy"))):
        if isinstance(statement, Unknown):
            message = f"What {key.logical_id} lets services do is known at deploy time only"
            yield judged(Outcome.UNKNOWN, key, "KeyPolicy", message, span=statement.span, salient=str(index))
        elif statement.effect == "Allow" and _services(statement):
            yield from _service_statement(key, statement)


def _service_statement(key: Resource, statement: ResourceStatement) -> Iterator[Finding]:
    served = _services(statement)
    conditions = list(_conditions(statement))
    whom = " and ".join([", ".join(served[:-1]), served[-1]] if len(served) > 1 else served)
    grant = next((action for action in strings(statement.element("Action")) if _covers_grant(action)), None)
    wide = list(_wide_contexts(statement, served, conditions))
    free = grant is not None and not any(_limits_grant(clause, value) for _, clause, value in conditions)
    if isinstance(statement.condition, Unknown) and (free or wide):
        message = f"What limits {whom} in the policy of {key.logical_id} is known at deploy time only"
        yield judged(Outcome.UNKNOWN, key, "KeyPolicy", message, span=statement.condition.span, salient=whom)
    elif free and grant is not None:
        message = f"{key.logical_id} lets {whom} create grants, without kms:GrantIsForAWSResource"
        more = [Evidence(place.span, "and this covers every log group") for place in wide]
        yield judged(Outcome.FAIL, key, "KeyPolicy", message, span=grant.span, more=more, salient=whom)
    elif wide:
        message = f"{key.logical_id} lets {whom} use it for every log group"
        yield judged(Outcome.FAIL, key, "KeyPolicy", message, span=wide[0].span, salient=whom)


def _services(statement: ResourceStatement) -> list[str]:
    named = [service_named(principal) for principal in services_in(statement.element("Principal"))]
    return [name or "a service" for name in named]


def _covers_grant(action: Scalar | Unknown) -> bool:
    return isinstance(action, Scalar) and action_matches(action.text, _GRANT)


def _conditions(statement: ResourceStatement) -> Iterator[tuple[str, str, Value]]:
    operators = statement.condition.entries if isinstance(statement.condition, Map) else {}
    for operator, keys in operators.items():
        for key, value in (keys.entries if isinstance(keys, Map) else {}).items():
            yield operator.lower(), key.lower(), value


def _limits_grant(key: str, value: Value) -> bool:
    if key == "kms:grantisforawsresource":
        return truth(value) is not False
    return key.startswith("kms:grant") or key == "kms:retiringprincipal"


def _wide_contexts(
    statement: ResourceStatement, served: list[str], conditions: list[tuple[str, str, Value]]
) -> Iterator[Value]:
    """What lets CloudWatch Logs use the key for every log group: the value that says so, or the whole statement."""
    if "logs" not in served:
        return
    if statement.covers("kms:Decrypt") is False and statement.covers("kms:GenerateDataKey") is False:
        return
    contexts = [value for _, key, value in conditions if key == _CONTEXT]
    for value in contexts:
        yield from (text for text in strings(value) if _is_whole(text))
    if not contexts and not any(key in _SOURCES or key.startswith("kms:encryptioncontext") for _, key, _ in conditions):
        yield statement.body


def _is_whole(value: Scalar | Unknown) -> bool:
    text = "".join(part if isinstance(part, str) else "…" for part in parts_of(value))
    return bool(_WHOLE.fullmatch(text))


# One key for two things ----------------------------------------------------------------------------------------------

_MONEY = re.compile(r"payment|contribution|pledge|donation|invoice|billing|order|transaction", re.IGNORECASE)


def separate_keys(template: Template, facts: Facts) -> Iterator[Finding]:
    """Payment data and public media should not be encrypted with the same customer managed key.

    Payment data is the table that fills the profile's contributions table; without such a table, tables whose name
    speaks of payments (payment, order, invoice …). Public media is the profile's media bucket, and every bucket that a
    distribution delivers. Without both there is nothing to judge. Keys that only deploy time knows are unknown, unless
    both name the same one.
    """
    tables, assumed = _payment_tables(template, facts)
    for bucket in _media_buckets(template, facts):
        for table in tables:
            yield _pair(template, table, bucket, assumed)


def _payment_tables(template: Template, facts: Facts) -> tuple[list[Resource], tuple[str, ...]]:
    bound = facts.bound(template, "contributions-table")
    if bound is not None:
        return [bound], ()
    found = [table for table in template.of(*TABLE_TYPES) if _MONEY.search(_called(table))]
    return found, ("the table's name says that it holds payments",) if found else ()


def _called(table: Resource) -> str:
    name = table.at("TableName")
    return " ".join([table.logical_id, *(part for part in parts_of(name) if isinstance(part, str))])


def _media_buckets(template: Template, facts: Facts) -> tuple[Resource, ...]:
    bound = facts.bound(template, "media-bucket")
    found = {bound.logical_id: bound} if bound is not None and bound.type == "AWS::S3::Bucket" else {}
    for origin in bucket_origins(template):
        found.setdefault(origin.bucket.logical_id, origin.bucket)
    return tuple(found.values())


def _pair(template: Template, table: Resource, bucket: Resource, assumed: tuple[str, ...]) -> Finding:
    first, second = at_rest(template, table), at_rest(template, bucket)
    names = f"{table.logical_id} and {bucket.logical_id}"
    mine, other = key_of(template, first.key), key_of(template, second.key)
    both = [
        Evidence(table.where(first.path), "encrypts payment data"),
        Evidence(bucket.where(second.path), "encrypts public media"),
    ]
    kinds = {first.kind, second.kind}
    if kinds == {"customer"} and mine is not None and mine == other:
        message = f"{mine.logical_id} encrypts payment data ({table.logical_id}) and public media ({bucket.logical_id})"
        salient = f"{table.logical_id} {bucket.logical_id}"
        return judged(Outcome.FAIL, mine, None, message, more=both, salient=salient, assumed=assumed)
    if kinds == {"customer"} and same_text(first.key, second.key):
        message = f"{names} are encrypted with one key"
        return judged(Outcome.FAIL, bucket, second.path, message, more=both[:1], assumed=assumed)
    open_ = "unknown" in kinds or (kinds == {"customer"} and None in (mine, other))
    if open_:
        message = f"Whether {names} share a key is known at deploy time only"
        return judged(Outcome.UNKNOWN, bucket, second.path, message, more=both[:1], assumed=assumed)
    message = f"{names} are not encrypted with one customer managed key"
    return judged(Outcome.PASS, bucket, second.path, message, more=both[:1], assumed=assumed)


# Bucket keys ---------------------------------------------------------------------------------------------------------

_RULES = "BucketEncryption.ServerSideEncryptionConfiguration"


def bucket_key(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every bucket that S3 encrypts with a KMS key (`aws:kms`) must use a bucket key (`BucketKeyEnabled`).

    Buckets under S3's own keys and under dual-layer encryption (`aws:kms:dsse`, which knows no bucket keys) are not
    judged.
    """
    for bucket in template.of("AWS::S3::Bucket"):
        rules = bucket.at(_RULES)
        for index in range(len(rules.items) if isinstance(rules, Seq) else 0):
            algorithm = bucket.at(f"{_RULES}.{index}.ServerSideEncryptionByDefault.SSEAlgorithm")
            if isinstance(algorithm, Unknown) or (isinstance(algorithm, Scalar) and algorithm.text == "aws:kms"):
                yield _bucket_key(bucket, f"{_RULES}.{index}.BucketKeyEnabled", algorithm)
        if isinstance(rules, Unknown):
            message = f"How {bucket.logical_id} is encrypted is known at deploy time only"
            yield judged(Outcome.UNKNOWN, bucket, _RULES, message)


def _bucket_key(bucket: Resource, path: str, algorithm: Value) -> Finding:
    name, enabled = bucket.logical_id, truth(bucket.at(path))
    if enabled:
        return judged(Outcome.PASS, bucket, path, f"{name} uses a bucket key")
    if enabled is None or isinstance(algorithm, Unknown):
        message = f"Whether {name} needs and uses a bucket key is known at deploy time only"
        return judged(Outcome.UNKNOWN, bucket, path, message)
    return judged(Outcome.FAIL, bucket, path, f"{name} has no bucket key: each object costs a call to KMS")
