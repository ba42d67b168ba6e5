"""Questions about S3 buckets: who may reach them, how, and what becomes of their objects."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity, judged
from cfaudit.model.buckets import is_scratch, is_website
from cfaudit.model.declarations import Resource
from cfaudit.model.delivery import bucket_origins
from cfaudit.model.names import rendered
from cfaudit.model.policies import ResourceStatement, bucket_policies, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Unknown, Value, strings, truth

_BLOCK = "PublicAccessBlockConfiguration"
_FLAGS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_PUBLIC_ACLS = ("PublicRead", "PublicReadWrite", "AuthenticatedRead")
_NEW_BUCKET = "the bucket is created after April 2023, since when S3 blocks public access to new buckets by default"


def private_bucket(template: Template, facts: Facts) -> Iterator[Finding]:
    """Public access to every bucket must be blocked.

    A `PublicAccessBlockConfiguration` must turn all four settings on; one that is not mentioned is off. A bucket
    without the property is not blocked by the stack but by S3's default for buckets created since April 2023, which
    anybody may turn off unnoticed: a gap of low severity, unless the template itself asks for public access (a public
    canned ACL, or a bucket policy that allows everyone without a condition).
    """
    policies = bucket_policies(template)
    for bucket in template.of("AWS::S3::Bucket"):
        if isinstance(bucket.at(_BLOCK), Absent):
            yield _default_block(bucket, policies.get(bucket.logical_id, ()))
        else:
            yield _block(bucket)


def _block(bucket: Resource) -> Finding:
    states = {flag: truth(bucket.at(f"{_BLOCK}.{flag}")) for flag in _FLAGS}
    off = [flag for flag, state in states.items() if state is False]
    if off:
        message = f"{bucket.logical_id} does not fully block public access (off: {', '.join(off)})"
        more = [Evidence(bucket.where(f"{_BLOCK}.{flag}"), f"{flag} is off") for flag in off[1:]]
        return judged(Outcome.FAIL, bucket, f"{_BLOCK}.{off[0]}", message, more=more, note=f"{off[0]} is off")
    if None in states.values():
        message = f"Whether {bucket.logical_id} blocks public access is known at deploy time only"
        return judged(Outcome.UNKNOWN, bucket, _BLOCK, message)
    return judged(Outcome.PASS, bucket, _BLOCK, f"{bucket.logical_id} blocks all public access")


def _default_block(bucket: Resource, policies: tuple[Resource, ...]) -> Finding:
    name, acl = bucket.logical_id, bucket.at("AccessControl")
    if isinstance(acl, Scalar) and acl.text in _PUBLIC_ACLS:
        message = f"{name} asks for public access with the ACL {acl.text}, and says nothing of blocking it"
        return judged(Outcome.FAIL, bucket, "AccessControl", message)
    for policy in policies:
        for statement in statements(policy.at("PolicyDocument")):
            if isinstance(statement, ResourceStatement) and _allows_everyone(statement):
                message = f"{policy.logical_id} allows everyone access to {name}, which says nothing of blocking it"
                return judged(Outcome.FAIL, bucket, None, message, span=statement.span)
    if isinstance(acl, Unknown):
        message = f"Which ACL {name} gets is known at deploy time only"
        return judged(Outcome.UNKNOWN, bucket, "AccessControl", message)
    message = f"{name} does not block public access itself; only S3's default for new buckets does"
    return judged(Outcome.FAIL, bucket, _BLOCK, message, severity=Severity.LOW, assumed=(_NEW_BUCKET,))


def _allows_everyone(statement: ResourceStatement) -> bool:
    return statement.effect == "Allow" and not statement.conditional and statement.everyone is True


def tls_only_bucket(template: Template, facts: Facts) -> Iterator[Finding]:
    """The policy of every bucket must deny requests over plain HTTP.

    What counts is a Deny for everyone (`Principal: "*"`) that covers reading and writing every object, on the condition
    that `aws:SecureTransport` is false, or that `s3:TlsVersion` is below a version if it exists (a request over plain
    HTTP has none). The same without IfExists is unknown: AWS's page speaks of HTTPS requests. A
    statement for some principals, some actions, or a prefix does not count, nor does one that allows HTTPS only.
    Without a bucket policy in the template it fails, unless the configuration says that the policy is in another stack,
    or a macro may add it.
    """
    policies = bucket_policies(template)
    for bucket in template.of("AWS::S3::Bucket"):
        own = policies.get(bucket.logical_id, ())
        yield _tls_by_policy(bucket, own) if own else _tls_without_policy(template, facts, bucket)


def _tls_by_policy(bucket: Resource, policies: tuple[Resource, ...]) -> Finding:
    held = [(policy, statement) for policy in policies for statement in statements(policy.at("PolicyDocument"))]
    answers = [_denies_plain_http(statement) for _, statement in held]
    path, name = "PolicyDocument.Statement", bucket.logical_id
    if True in answers:
        policy, statement = held[answers.index(True)]
        message = f"{policy.logical_id} denies plain HTTP requests to {name}"
        return judged(Outcome.PASS, bucket, None, message, span=statement.span)
    if None in answers:
        policy, statement = held[answers.index(None)]
        message = f"Whether {policy.logical_id} denies plain HTTP requests to {name} is known at deploy time only"
        if isinstance(statement, ResourceStatement) and _is_about_version(statement):
            message = f"{policy.logical_id} denies old TLS versions to {name}, and perhaps not requests without TLS"
        return judged(Outcome.UNKNOWN, bucket, None, message, span=statement.span)
    for policy, statement in held:
        if isinstance(statement, ResourceStatement) and statement.effect == "Deny" and _is_about_tls(statement):
            message = f"{policy.logical_id} denies plain HTTP to {name} only for some requests"
            return judged(Outcome.FAIL, bucket, None, message, span=statement.span)
    message = f"{policies[0].logical_id} lets requests to {name} come over plain HTTP"
    return judged(Outcome.FAIL, bucket, None, message, span=policies[0].where(path))


def _tls_without_policy(template: Template, facts: Facts, bucket: Resource) -> Finding:
    name = bucket.logical_id
    word = facts.elsewhere(types=("AWS::S3::BucketPolicy",))
    if word is not None:
        more = [Evidence(word.span, word.reason, word.text)]
        message = f"The policy of {name} is in another stack, says the configuration"
        return judged(Outcome.UNKNOWN, bucket, None, message, more=more)
    if template.macros:
        return judged(Outcome.UNKNOWN, bucket, None, f"{name} has no policy unless a macro adds one")
    return judged(Outcome.FAIL, bucket, None, f"{name} has no policy, so requests to it may come over plain HTTP")


def _denies_plain_http(statement: ResourceStatement | Unknown) -> bool | None:
    """Whether a statement alone keeps plain HTTP off every object; None when only deploy time knows."""
    if isinstance(statement, Unknown):
        return None
    if statement.effect != "Deny":
        return False
    everything = [_reaches_objects(element) for element in strings(statement.element("Resource"))]
    reached = True if True in everything else None if None in everything else False
    if not isinstance(statement.element("NotResource"), Absent):
        reached = None
    covered = (statement.covers("s3:GetObject"), statement.covers("s3:PutObject"))
    parts = (_is_insecure(statement.condition), statement.everyone, reached, *covered)
    return False if False in parts else None if None in parts else True


def _reaches_objects(element: Scalar | Unknown) -> bool | None:
    """Whether a Resource element covers every object: ``*``, ``BUCKET/*``, ``BUCKET*``; it is within the bucket."""
    text = rendered(element)
    if not text.endswith("*"):
        return None if isinstance(element, Unknown) and element.deferred and len(element.parts) == 1 else False
    return text.rpartition(":")[2].partition("/")[2] in ("", "*")


_SERVICE_KEYS = ("aws:principalisawsservice", "aws:viaawsservice")
"""Exceptions for AWS's own services, which use TLS, take nothing away."""


def _is_insecure(condition: Value) -> bool | None:
    """Whether a condition holds for every plain HTTP request."""
    if isinstance(condition, Unknown):
        return None
    found, narrowed, versioned = False, False, False
    for operator, key, value in _clauses(condition):
        if _names_plain_http(operator, key, value):
            found = True
        elif _names_version(operator, key):
            versioned = True
        elif key not in _SERVICE_KEYS:
            narrowed = True
    return None if versioned and not narrowed else found and not narrowed


def _names_version(operator: str, key: str) -> bool:
    """A condition that holds for old versions of TLS; for none only if S3 says so, for IAM matches no absent key.

    https://repost.aws/knowledge-center/s3-enforce-modern-tls
    """
    return operator == "numericlessthan" and key == "s3:tlsversion"


def _is_about_version(statement: ResourceStatement) -> bool:
    return any(_names_version(operator, key) for operator, key, _ in _clauses(statement.condition))


def _names_plain_http(operator: str, key: str, value: Value) -> bool:
    # A condition with IfExists holds where the key is absent.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    if operator == "numericlessthanifexists":
        return key == "s3:tlsversion"
    false = [item.text.lower() for item in strings(value) if isinstance(item, Scalar)] == ["false"]
    return operator in ("bool", "boolifexists", "stringequals", "stringlike") and key == "aws:securetransport" and false


def _clauses(condition: Value) -> Iterator[tuple[str, str, Value]]:
    for operator, keys in condition.entries.items() if isinstance(condition, Map) else ():
        for key, value in keys.entries.items() if isinstance(keys, Map) else ():
            yield operator.lower(), key.lower(), value


def _is_about_tls(statement: ResourceStatement) -> bool:
    return any(_names_plain_http(*clause) for clause in _clauses(statement.condition))


_WRITES = frozenset({"PUT", "POST", "DELETE"})
_ANY_ORIGIN = frozenset({"*", "http://*", "https://*"})


def restricted_cors(template: Template, facts: Facts) -> Iterator[Finding]:
    """No CORS rule of a bucket may let every origin (`*`, `https://*`) send PUT, POST or DELETE.

    A bucket without CORS rules passes, and so does a rule that lets every origin only read. An origin or a method that
    only deploy time knows makes it unknown where the rest of the rule would matter.
    """
    for bucket in template.of("AWS::S3::Bucket"):
        rules = list(bucket.each("CorsConfiguration.CorsRules.*"))
        found = [finding for path, _ in rules for finding in _open_rule(bucket, path)]
        if found:
            yield from found
        elif any(isinstance(rule, Unknown) for _, rule in rules):
            message = f"The CORS rules of {bucket.logical_id} are known at deploy time only"
            yield judged(Outcome.UNKNOWN, bucket, "CorsConfiguration", message)
        else:
            message = f"{bucket.logical_id} lets no unknown origin write"
            yield judged(Outcome.PASS, bucket, "CorsConfiguration", message)


def _open_rule(bucket: Resource, path: str) -> Iterator[Finding]:
    origins = list(strings(bucket.at(f"{path}.AllowedOrigins")))
    methods = list(strings(bucket.at(f"{path}.AllowedMethods")))
    writes = [method.text for method in methods if isinstance(method, Scalar) and method.text in _WRITES]
    anyone = [origin for origin in origins if isinstance(origin, Scalar) and origin.text in _ANY_ORIGIN]
    open_origin = [origin for origin in origins if isinstance(origin, Unknown)]
    property_path = f"{path}.AllowedOrigins"
    if writes and anyone:
        message = f"{bucket.logical_id} lets scripts of every website send {' and '.join(writes)} requests"
        yield judged(Outcome.FAIL, bucket, property_path, message, span=anyone[0].span)
    elif anyone and any(isinstance(method, Unknown) for method in methods):
        message = f"What every website may send to {bucket.logical_id} is known at deploy time only"
        yield judged(Outcome.UNKNOWN, bucket, property_path, message, span=anyone[0].span)
    elif writes and open_origin:
        message = f"Which websites may write to {bucket.logical_id} is known at deploy time only"
        yield judged(Outcome.UNKNOWN, bucket, property_path, message, span=open_origin[0].span)


def versioned_media(template: Template, facts: Facts) -> Iterator[Finding]:
    """The media bucket, and every bucket that a distribution delivers, must keep versions of its objects.

    A bucket whose objects all expire by a lifecycle rule is scratch and is not judged. Object Lock implies versioning.
    """
    media = facts.bound(template, "media-bucket")
    subjects = {media.logical_id: media} if media is not None and media.type == "AWS::S3::Bucket" else {}
    for origin in bucket_origins(template):
        subjects.setdefault(origin.bucket.logical_id, origin.bucket)
    for bucket in subjects.values():
        if is_scratch(bucket):
            continue
        path, name = "VersioningConfiguration.Status", bucket.logical_id
        status = bucket.at(path)
        if truth(bucket.at("ObjectLockEnabled")):
            yield judged(Outcome.PASS, bucket, "ObjectLockEnabled", f"{name} keeps versions, as Object Lock does")
        elif isinstance(status, Unknown):
            yield judged(Outcome.UNKNOWN, bucket, path, f"Whether {name} keeps versions is known at deploy time only")
        elif isinstance(status, Scalar) and status.text == "Enabled":
            yield judged(Outcome.PASS, bucket, path, f"{name} keeps versions of its objects")
        else:
            held = "the media it holds" if bucket == media else "the objects that a distribution delivers"
            yield judged(Outcome.FAIL, bucket, path, f"{name} keeps no versions of {held}")


def bucket_lifecycle(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every bucket must have an enabled lifecycle rule that moves or removes something.

    Websites that S3 serves itself are not judged: their objects must stay as they are.
    """
    for bucket in template.of("AWS::S3::Bucket"):
        if is_website(bucket):
            continue
        path, name = "LifecycleConfiguration", bucket.logical_id
        states = [value for _, value in bucket.each(f"{path}.Rules.*.Status") if not isinstance(value, Absent)]
        if any(isinstance(state, Scalar) and state.text == "Enabled" for state in states):
            yield judged(Outcome.PASS, bucket, path, f"{name} has a lifecycle rule")
        elif any(isinstance(state, Unknown) for state in states):
            yield judged(Outcome.UNKNOWN, bucket, path, f"The lifecycle rules of {name} are known at deploy time only")
        else:
            message = f"{name} has no lifecycle rule in force" if states else f"{name} has no lifecycle rule"
            yield judged(Outcome.FAIL, bucket, path, message)
