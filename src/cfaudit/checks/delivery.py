"""Questions about CloudFront distributions: how viewers connect, and whether the origin can be read."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.delivery import Origin, bucket_origins, signs_itself
from cfaudit.model.encryption import AtRest, at_rest, key_of
from cfaudit.model.policies import ResourceStatement, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value, truth

_DEFAULT = "DistributionConfig.DefaultCacheBehavior.ViewerProtocolPolicy"
_OTHERS = "DistributionConfig.CacheBehaviors"


def https_delivery(template: Template, facts: Facts) -> Iterator[Finding]:
    """The default and every other cache behavior of a distribution must refuse or redirect plain HTTP.

    `https-only` and `redirect-to-https` pass, `allow-all` fails.
    """
    for distribution in template.of("AWS::CloudFront::Distribution"):
        behaviors = [(_DEFAULT, distribution.at(_DEFAULT))]
        if not isinstance(distribution.at(_OTHERS), Absent):
            behaviors += distribution.each(f"{_OTHERS}.*.ViewerProtocolPolicy")
        for path, value in behaviors:
            yield _behavior(distribution, path, value)


def _behavior(distribution: Resource, path: str, value: Value) -> Finding:
    name = distribution.logical_id
    match value:
        case Scalar("https-only" | "redirect-to-https"):
            return judged(Outcome.PASS, distribution, path, f"{name} delivers over HTTPS only")
        case Unknown():
            message = f"Whether {name} delivers over plain HTTP is known at deploy time only"
            return judged(Outcome.UNKNOWN, distribution, path, message)
        case Scalar(text):
            message = f"{name} delivers over plain HTTP, too: its viewer protocol policy is {text}"
            return judged(Outcome.FAIL, distribution, path, message, salient=text)
        case _:
            message = f"{name} has a cache behavior without the viewer protocol policy that CloudFront requires"
            return judged(Outcome.FAIL, distribution, path, message)


_CERTIFICATE = "DistributionConfig.ViewerCertificate"


def modern_viewer_tls(template: Template, facts: Facts, *, accepts: tuple[str, ...]) -> Iterator[Finding]:
    """Every distribution must have a certificate of its own and one of the accepted security policies.

    With CloudFront's default certificate, or no viewer certificate at all, the policy is TLSv1 whatever the template
    says.
    """
    for distribution in template.of("AWS::CloudFront::Distribution"):
        yield _viewer_tls(distribution, accepts)


def _viewer_tls(distribution: Resource, accepts: tuple[str, ...]) -> Finding:
    name = distribution.logical_id
    default, minimum = f"{_CERTIFICATE}.CloudFrontDefaultCertificate", f"{_CERTIFICATE}.MinimumProtocolVersion"
    version, standard = distribution.at(minimum), truth(distribution.at(default))
    if isinstance(distribution.at(_CERTIFICATE), Absent) or standard:
        message = f"{name} uses CloudFront's default certificate, with which viewers may connect with TLS 1.0"
        path = default if standard else _CERTIFICATE
        return judged(Outcome.FAIL, distribution, path, message)
    if standard is None or isinstance(version, Unknown):
        message = f"The oldest TLS version that {name} accepts is known at deploy time only"
        return judged(Outcome.UNKNOWN, distribution, _CERTIFICATE if standard is None else minimum, message)
    if isinstance(version, Scalar) and version.text in accepts:
        return judged(Outcome.PASS, distribution, minimum, f"{name} requires {version.text} of its viewers")
    if isinstance(version, Scalar):
        message = f"{name} requires only {version.text} of its viewers"
        return judged(Outcome.FAIL, distribution, minimum, message, salient=version.text)
    message = f"{name} does not say which TLS version it requires of its viewers"
    return judged(Outcome.FAIL, distribution, minimum, message)


def readable_media(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every distribution in front of a declared bucket must be able to decrypt the bucket's objects.

    Objects under S3's own keys can be read by any kind of origin access. Objects under a KMS key (by the bucket's
    default encryption) cannot be read by an origin access identity, nor by unsigned requests (a control that never
    signs). An origin access control can, if the policy of the key lets cloudfront.amazonaws.com use `kms:Decrypt`; the
    policy of AWS's own key `aws/s3` does not and cannot be changed. A key of another stack, and a Lambda@Edge function
    that may sign origin requests, make it unknown.
    """
    for origin in bucket_origins(template):
        held = at_rest(template, origin.bucket)
        if held.kind == "owned":
            name, bucket = origin.distribution.logical_id, origin.bucket.logical_id
            message = f"{name} can read {bucket}, whose objects S3 encrypts with keys of its own"
            yield _answer(Outcome.PASS, origin, held, message)
        elif held.kind == "unknown":
            message = f"How {origin.bucket.logical_id} encrypts its objects is known at deploy time only"
            yield _answer(Outcome.UNKNOWN, origin, held, message)
        elif origin.access == "control":
            yield _by_control(template, origin, held)
        else:
            yield _without_control(origin, held)


_UNSIGNED = {"identity": "an origin access identity", "silent": "an origin access control that never signs"}


def _without_control(origin: Origin, held: AtRest) -> Finding:
    name, bucket = origin.distribution.logical_id, origin.bucket.logical_id
    how = _UNSIGNED.get(origin.access, "no origin access")
    if signs_itself(origin.distribution):
        message = f"{name} has {how} for {bucket}: only a Lambda@Edge function that signs its requests could decrypt"
        return _answer(Outcome.UNKNOWN, origin, held, message)
    message = f"{name} reads {bucket} with {how}, which cannot decrypt the bucket's SSE-KMS objects"
    return _answer(Outcome.FAIL, origin, held, message)


def _by_control(template: Template, origin: Origin, held: AtRest) -> Finding:
    name, bucket = origin.distribution.logical_id, origin.bucket.logical_id
    if held.kind == "managed":
        message = f"{name} cannot decrypt {bucket}: the policy of the AWS managed key aws/s3 does not let CloudFront"
        return _answer(Outcome.FAIL, origin, held, message)
    key = key_of(template, held.key)
    if key is None:
        message = f"Whether the key of {bucket} lets CloudFront decrypt is not shown here: declared in another stack?"
        return _answer(Outcome.UNKNOWN, origin, held, message)
    answers = [(_lets_decrypt(statement), statement.span) for statement in statements(key.at("KeyPolicy"))]
    for answer, span in answers:
        if answer:
            message = f"{name} can decrypt {bucket}: {key.logical_id} lets CloudFront use it"
            return _answer(Outcome.PASS, origin, held, message, Evidence(span, "lets CloudFront decrypt"))
    note = Evidence(key.where("KeyPolicy"), "the key's policy")
    if any(answer is None for answer, _ in answers):
        message = f"Whether {key.logical_id} lets CloudFront decrypt {bucket} is known at deploy time only"
        return _answer(Outcome.UNKNOWN, origin, held, message, note)
    message = f"{name} cannot decrypt {bucket}: no statement of {key.logical_id} lets cloudfront.amazonaws.com"
    return _answer(Outcome.FAIL, origin, held, message, note)


def _lets_decrypt(statement: ResourceStatement | Unknown) -> bool | None:
    if isinstance(statement, Unknown):
        return None
    parts = (statement.effect == "Allow", statement.serves("cloudfront.amazonaws.com"), statement.covers("kms:Decrypt"))
    return False if False in parts else None if None in parts else True


def _answer(outcome: Outcome, origin: Origin, held: AtRest, message: str, *more: Evidence) -> Finding:
    bucket = Evidence(origin.bucket.where(held.path), "how the bucket encrypts")
    return judged(outcome, origin.distribution, origin.access_path, message, more=(bucket, *more))
