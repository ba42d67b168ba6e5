"""Resources in, the key that encrypts each at rest out.

S3 has encrypted every object since January 2023, DynamoDB every table, and SQS every new queue, with keys of their own
unless told otherwise. https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html,
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.nodes import Absent, Map, Scalar, Unknown, Value, truth

TABLE_TYPES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable")
STORE_TYPES = (*TABLE_TYPES, "AWS::S3::Bucket", "AWS::SQS::Queue")
KEY_TYPES = ("AWS::KMS::Key", "AWS::KMS::ReplicaKey")

KeyKind: TypeAlias = Literal["customer", "managed", "none", "unknown"]
"""A customer managed key, AWS's own key of the account (``alias/aws/s3``), no key, or only deploy time knows."""

_OPAQUE = frozenset({"condition", "function", "macro", "undefined", "missing"})


class AtRest(NamedTuple):
    """How a store encrypts what it holds. ``path`` is the property that decides it, or where that is missed.

    ``kind`` is the key's, or ``owned`` for a key that belongs to the service and is in no account, or ``off``.
    """

    kind: Literal["customer", "managed", "owned", "off", "unknown"]
    path: str
    key: Value


def key_kind(value: Value) -> KeyKind:
    """What a property that names a key names; a parameter or an import counts as a customer managed key."""
    match value:
        case Scalar(""):
            return "none"
        case Scalar(text):
            return "managed" if _is_aws_alias(text) else "customer"
        case Unknown():
            if _is_aws_alias(value.known_text):
                return "managed"
            if value.mentions or ":key/" in value.known_text:
                return "customer"
            return "unknown" if {hole.kind for hole in value.deferred} <= _OPAQUE else "customer"
        case _:
            return "none"


def is_assumed(value: Value) -> bool:
    """Whether the key is named at deploy time only, so that it is not seen to be a customer managed one."""
    return isinstance(value, Unknown) and not value.mentions


def _is_aws_alias(text: str) -> bool:
    return text.startswith("alias/aws/") or ":alias/aws/" in text


def key_of(template: Declarations, value: Value) -> Resource | None:
    """The declared key that a property names, also through a declared alias."""
    named = template.target(value, *KEY_TYPES, "AWS::KMS::Alias")
    if named is not None and named.type == "AWS::KMS::Alias":
        return template.target(named.at("TargetKeyId"), *KEY_TYPES)
    return named


def at_rest(template: Declarations, store: Resource) -> AtRest:
    """How a table, bucket or queue encrypts at rest."""
    match store.type:
        case "AWS::S3::Bucket":
            return _bucket(store)
        case "AWS::SQS::Queue":
            return _queue(store)
        case _:
            return _table(template, store)


def _queue(queue: Resource) -> AtRest:
    key = queue.at("KmsMasterKeyId")
    kind = key_kind(key)
    if kind != "none":
        return AtRest(kind, "KmsMasterKeyId", key)
    own = queue.at("SqsManagedSseEnabled")
    if isinstance(own, Scalar) and not truth(own):
        return AtRest("off", "SqsManagedSseEnabled", key)
    return AtRest("owned", "KmsMasterKeyId", key)


def _bucket(bucket: Resource) -> AtRest:
    rules = "BucketEncryption.ServerSideEncryptionConfiguration"
    rule = f"{rules}.0.ServerSideEncryptionByDefault"
    algorithm, key = bucket.at(f"{rule}.SSEAlgorithm"), bucket.at(f"{rule}.KMSMasterKeyID")
    match algorithm:
        case Unknown():
            return AtRest("unknown", rules, key)
        case Scalar(text) if text.startswith("aws:kms"):
            kind = key_kind(key)
            return AtRest("managed" if kind == "none" else kind, f"{rule}.KMSMasterKeyID", key)
        case _:
            return AtRest("owned", f"{rule}.SSEAlgorithm", key)


def _table(template: Declarations, table: Resource) -> AtRest:
    specification = table_encryption(template, table)
    enabled, _ = descend(specification, table.span, ["SSEEnabled"])
    key, _ = descend(specification, table.span, ["KMSMasterKeyId"])
    match truth(enabled):
        case None:
            return AtRest("unknown", "SSESpecification.SSEEnabled", key)
        case False:
            return AtRest("owned", "SSESpecification.SSEEnabled", key)
    if table.type == "AWS::DynamoDB::GlobalTable":
        return _replicas(table)
    kind = key_kind(key)
    return AtRest("managed" if kind == "none" else kind, "SSESpecification.KMSMasterKeyId", key)


def _replicas(table: Resource) -> AtRest:
    """The least protected replica of a global table; each names a key of its own region."""
    found = []
    for path, key in table.each("Replicas.*.SSESpecification.KMSMasterKeyId"):
        kind = key_kind(key)
        found.append(AtRest("managed" if kind == "none" else kind, path, key))
    return min(found, key=lambda held: ("managed", "unknown", "customer").index(held.kind))


def table_encryption(template: Declarations, table: Resource) -> Value:
    """``SSESpecification`` of a table; a SAM table without one takes that of ``Globals``."""
    own = table.at("SSESpecification")
    shared = template.globals_of(table.logical_id, "SimpleTable")
    if isinstance(own, Absent) and table.type == "AWS::Serverless::SimpleTable" and isinstance(shared, Map):
        return descend(shared, own.span, ["SSESpecification"])[0]
    return own
