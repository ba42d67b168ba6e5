"""Questions about the keys that encrypt data at rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.buckets import artifact_buckets, is_scratch, is_website, log_buckets
from cfaudit.model.declarations import Resource
from cfaudit.model.delivery import bucket_origins
from cfaudit.model.encryption import STORE_TYPES, AtRest, at_rest, is_assumed, key_kind
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value, truth

ASSUMED = "the key named at deploy time is a customer managed key"

_OWNED = {
    "AWS::S3::Bucket": "S3 encrypts it with keys of its own (SSE-S3)",
    "AWS::SQS::Queue": "SQS encrypts it with a key of its own (SSE-SQS)",
}
_ALIAS = {"AWS::S3::Bucket": "aws/s3", "AWS::SQS::Queue": "aws/sqs"}


def rotated_key(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every symmetric encryption key whose material KMS makes must have automatic rotation on.

    KMS rotates no other key automatically, so asymmetric keys, HMAC keys and keys with imported material are not
    judged. A multi-Region replica follows its primary key and is not judged either.
    """
    for key in template.of("AWS::KMS::Key"):
        kinds = [key.at("KeySpec"), key.at("Origin")]
        if any(isinstance(kind, Scalar) and kind.text not in ("SYMMETRIC_DEFAULT", "AWS_KMS") for kind in kinds):
            continue
        rotates = truth(key.at("EnableKeyRotation"))
        if rotates:
            yield judged(Outcome.PASS, key, "EnableKeyRotation", f"{key.logical_id} is rotated automatically")
        elif rotates is None or any(isinstance(kind, Unknown) for kind in kinds):
            message = f"Whether {key.logical_id} can be and is rotated is known at deploy time only"
            yield judged(Outcome.UNKNOWN, key, "EnableKeyRotation", message)
        else:
            yield judged(Outcome.FAIL, key, "EnableKeyRotation", f"{key.logical_id} is not rotated automatically")


def named_key(
    template: Template,
    facts: Facts,
    *,
    paths: Mapping[str, str],
    good: str,
    bad: str,
    components: tuple[str, ...] | None = None,
) -> Iterator[Finding]:
    """Every resource of the listed types must name a key at the listed path.

    Where components are listed, only the resources that fill them are judged, and nothing is in a profile without
    them. A Ref, a GetAtt, an alias, a literal, a parameter and an import all name a key, and so does AWS's own alias
    (`alias/aws/…`). A value that a macro makes is unknown.
    """
    for resource in _subjects(template, facts, tuple(paths), components):
        path = paths[resource.type]
        value = resource.at(path)
        kind = key_kind(value)
        if kind == "unknown":
            message = f"The key of {resource.logical_id} is known at deploy time only"
            yield judged(Outcome.UNKNOWN, resource, path, message)
        elif kind == "none":
            yield judged(Outcome.FAIL, resource, path, f"{resource.logical_id} {bad}")
        else:
            assumed = ("the value given at deploy time names a key",) if is_assumed(value) else ()
            own = ", the AWS managed one, whose policy cannot be changed" if kind == "managed" else ""
            yield judged(Outcome.PASS, resource, path, f"{resource.logical_id} {good}{own}", assumed=assumed)


def _subjects(
    template: Template, facts: Facts, types: tuple[str, ...], components: tuple[str, ...] | None
) -> Iterator[Resource]:
    if components is None:
        yield from template.of(*types)
        return
    for component in components:
        resource = facts.bound(template, component)
        if resource is not None and resource.type in types:
            yield resource


def customer_key(template: Template, facts: Facts) -> Iterator[Finding]:
    """Tables, buckets and queues must be encrypted with a customer managed key.

    A key given as Ref, GetAtt, alias, ARN, parameter or import counts as one; AWS's own (`alias/aws/…`, or
    encryption turned on without a key) does not. Where the profile does not ask for such a key, stores are judged only
    if the template puts at least one of them under one: then the others are the exception.

    Not judged without a customer managed key: buckets that receive access logs (S3 writes those only to buckets with
    its own keys), websites, packages and build artifacts, and buckets whose objects all expire; where the profile asks
    for no key also what a distribution delivers.
    """
    stores = [(store, at_rest(template, store)) for store in template.of(*STORE_TYPES)]
    required = facts.requires("encryption-key")
    if not required and not any(held.kind == "customer" for _, held in stores):
        return
    exempt = log_buckets(template) | artifact_buckets(template)
    if not required:
        exempt |= {origin.bucket.logical_id for origin in bucket_origins(template)}
    for store, held in stores:
        spared = store.logical_id in exempt or (
            store.type == "AWS::S3::Bucket" and (is_website(store) or is_scratch(store))
        )
        if held.kind == "customer" or not spared:
            yield _store(store, held)


def _store(store: Resource, held: AtRest) -> Finding:
    name = store.logical_id
    service = "S3" if store.type == "AWS::S3::Bucket" else "SQS" if store.type == "AWS::SQS::Queue" else "DynamoDB"
    match held.kind:
        case "customer":
            assumed = (ASSUMED,) if is_assumed(held.key) else ()
            message = f"{name} is encrypted with a customer managed key"
            return judged(Outcome.PASS, store, held.path, message, assumed=assumed)
        case "unknown":
            message = f"Which key encrypts {name} is known at deploy time only"
            return judged(Outcome.UNKNOWN, store, held.path, message)
        case "off":
            message = f"{name} turns server-side encryption off"
        case "managed":
            alias = _ALIAS.get(store.type, "aws/dynamodb")
            message = f"{name} has no customer managed key: {service} encrypts it with the AWS managed key {alias}"
        case "owned":
            owner = _OWNED.get(store.type, "DynamoDB encrypts it with a key of its own")
            message = f"{name} has no customer managed key: {owner}"
    return judged(Outcome.FAIL, store, held.path, message)


def keyed_query_results(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every Athena workgroup must encrypt its query results with a KMS key (SSE_KMS or CSE_KMS).

    The default encryption of a declared results bucket counts where the workgroup sets none; a results bucket of
    another stack makes it unknown. Query results that Athena manages count by the key named for them. A workgroup that
    says clients may override its settings (`EnforceWorkGroupConfiguration: false`) does not ensure anything and fails.
    """
    for group in template.of("AWS::Athena::WorkGroup"):
        yield _workgroup(template, group)


_CONFIGURATION = "WorkGroupConfiguration"
_RESULTS = f"{_CONFIGURATION}.ResultConfiguration"


def _workgroup(template: Template, group: Resource) -> Finding:
    name, managed = group.logical_id, f"{_CONFIGURATION}.ManagedQueryResultsConfiguration"
    if isinstance(group.at(_CONFIGURATION), Unknown):
        return judged(Outcome.UNKNOWN, group, _CONFIGURATION, f"{name} is configured at deploy time only")
    if truth(group.at(f"{managed}.Enabled")):
        return _managed_results(group, f"{managed}.EncryptionConfiguration.KmsKey")
    enforced = f"{_CONFIGURATION}.EnforceWorkGroupConfiguration"
    if isinstance(group.at(enforced), Scalar) and not truth(group.at(enforced)):
        message = f"{name} lets each client choose how its query results are encrypted"
        return judged(Outcome.FAIL, group, enforced, message)
    assumed = () if truth(group.at(enforced)) else ("clients bring no result settings of their own",)
    option = group.at(f"{_RESULTS}.EncryptionConfiguration.EncryptionOption")
    match option:
        case Absent():
            return _results_bucket(template, group, assumed)
        case Scalar("SSE_KMS" | "CSE_KMS"):
            path = f"{_RESULTS}.EncryptionConfiguration"
            message = f"{name} encrypts query results with a KMS key"
            return judged(Outcome.PASS, group, path, message, assumed=assumed)
        case Scalar(text):
            path = f"{_RESULTS}.EncryptionConfiguration.EncryptionOption"
            return judged(Outcome.FAIL, group, path, f"{name} encrypts query results with {text}, not with a KMS key")
        case _:
            path = f"{_RESULTS}.EncryptionConfiguration"
            return judged(Outcome.UNKNOWN, group, path, f"How {name} encrypts results is known at deploy time only")


def _managed_results(group: Resource, path: str) -> Finding:
    name, value = group.logical_id, group.at(path)
    match key_kind(value):
        case "none":
            message = f"{name} keeps query results that Athena encrypts with a key of its own"
            return judged(Outcome.FAIL, group, path, message)
        case "unknown":
            message = f"Which key encrypts the results that Athena keeps for {name} is known at deploy time only"
            return judged(Outcome.UNKNOWN, group, path, message)
        case _:
            return judged(Outcome.PASS, group, path, f"{name} encrypts the results that Athena keeps with a KMS key")


def _results_bucket(template: Template, group: Resource, assumed: tuple[str, ...]) -> Finding:
    """A workgroup that sets no encryption leaves it to the default of the bucket it writes to."""
    name, path = group.logical_id, f"{_RESULTS}.OutputLocation"
    location = group.at(path)
    if isinstance(location, Absent):
        message = f"{name} neither encrypts query results nor says where they go"
        return judged(Outcome.FAIL, group, _RESULTS, message)
    bucket = template.target(_bucket_name(location), "AWS::S3::Bucket")
    if bucket is None:
        message = f"{name} leaves encryption to its results bucket: declared in another stack?"
        return judged(Outcome.UNKNOWN, group, path, message)
    held = at_rest(template, bucket)
    note = "the default encryption of the results bucket"
    more = [Evidence(bucket.where(held.path), note)]
    if held.kind in ("customer", "managed"):
        message = f"{name} writes query results to {bucket.logical_id}, which encrypts them with a KMS key"
        return judged(Outcome.PASS, group, path, message, more=more, assumed=assumed)
    if held.kind == "unknown":
        message = f"How {bucket.logical_id} encrypts the query results of {name} is known at deploy time only"
        return judged(Outcome.UNKNOWN, group, path, message, more=more)
    message = f"{name} sets no encryption, and {bucket.logical_id} encrypts query results with S3's own keys only"
    return judged(Outcome.FAIL, group, path, message, more=more)


def _bucket_name(location: Value) -> Value:
    """The bucket of ``s3://bucket/prefix/``; a reference stays as it is."""
    if isinstance(location, Scalar):
        return Scalar(location.text.removeprefix("s3://").partition("/")[0], location.span)
    return location
