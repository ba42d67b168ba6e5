"""Questions about access logs: who records which requests reach a distribution or a bucket."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.buckets import artifact_buckets, is_scratch, log_buckets
from cfaudit.model.declarations import Resource
from cfaudit.model.policies import ResourceStatement, bucket_policies, service_named, services_in, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Unknown, parts_of, strings

_SOURCE, _DELIVERY = "AWS::Logs::DeliverySource", "AWS::Logs::Delivery"
_LOGGING = "DistributionConfig.Logging"


def access_logs(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every distribution, and every bucket that keeps data, must have access logs.

    For a distribution count `Logging`, real-time logs, and an `AWS::Logs::DeliverySource` (standard logging v2) that
    some delivery of the template sends on; for a bucket `LoggingConfiguration`, or a trail of the template that records
    its object events. Not judged are buckets that receive logs (of S3, CloudFront, load balancers, CloudTrail, flow
    logs, Config, or whose policy lets AWS's log services write), buckets of packages and builds, and buckets whose
    objects all expire. Delivery sources of CloudFront must stand in us-east-1: one of another stack is told with
    `external:` in the configuration.
    """
    for distribution in template.of("AWS::CloudFront::Distribution"):
        yield _distribution(template, facts, distribution)
    spared = log_buckets(template) | artifact_buckets(template) | _receivers(template)
    recorded = _recorded(template)
    for bucket in template.of("AWS::S3::Bucket"):
        if bucket.logical_id not in spared and not is_scratch(bucket):
            yield _bucket(bucket, recorded.get(bucket.logical_id, recorded.get("")))


def _distribution(template: Template, facts: Facts, distribution: Resource) -> Finding:
    name = distribution.logical_id
    logging, bucket = distribution.at(_LOGGING), distribution.at(f"{_LOGGING}.Bucket")
    if isinstance(logging, Unknown):
        message = f"Whether {name} logs its requests is known at deploy time only"
        return judged(Outcome.UNKNOWN, distribution, _LOGGING, message)
    if isinstance(bucket, Unknown) or (isinstance(bucket, Scalar) and bucket.text):
        return judged(Outcome.PASS, distribution, _LOGGING, f"{name} logs its requests")
    live = "DistributionConfig.DefaultCacheBehavior.RealtimeLogConfigArn"
    if not isinstance(distribution.at(live), Absent):
        return judged(Outcome.PASS, distribution, live, f"{name} logs its requests in real time")
    for source in template.of(_SOURCE):
        if distribution in template.targets(source.at("ResourceArn"), distribution.type):
            return _delivered(template, distribution, source)
    word = facts.elsewhere(types=(_SOURCE,))
    if word is not None:
        more = [Evidence(word.span, word.reason, word.text)]
        message = f"The access logs of {name} are set up in another stack, says the configuration"
        return judged(Outcome.UNKNOWN, distribution, _LOGGING, message, more=more)
    if template.macros:
        return judged(Outcome.UNKNOWN, distribution, _LOGGING, f"{name} has no access logs unless a macro adds them")
    return judged(Outcome.FAIL, distribution, _LOGGING, f"{name} logs no requests", span=distribution.span)


def _delivered(template: Template, distribution: Resource, source: Resource) -> Finding:
    name, where = distribution.logical_id, source.where("ResourceArn")
    if next(template.of(_DELIVERY), None) is not None:
        message = f"{name} logs its requests through {source.logical_id}"
        return judged(Outcome.PASS, distribution, None, message, span=where)
    message = f"{name} is the source of {source.logical_id}, but no delivery of this template sends its logs on"
    return judged(Outcome.UNKNOWN, distribution, None, message, span=where)


def _bucket(bucket: Resource, trail: Evidence | None) -> Finding:
    name, path = bucket.logical_id, "LoggingConfiguration"
    match bucket.at(path):
        case Map():
            return judged(Outcome.PASS, bucket, path, f"{name} logs access to its objects")
        case Unknown():
            message = f"Whether {name} logs access is known at deploy time only"
            return judged(Outcome.UNKNOWN, bucket, path, message)
    if trail is not None:
        message = f"A trail records the object events of {name}"
        return judged(Outcome.PASS, bucket, None, message, span=trail.span)
    return judged(Outcome.FAIL, bucket, path, f"{name} logs no access to its objects")


# Buckets that receive logs -------------------------------------------------------------------------------------------

_SENDERS = {
    "AWS::CloudTrail::Trail": "S3BucketName",
    "AWS::Config::DeliveryChannel": "S3BucketName",
    "AWS::EC2::FlowLog": "LogDestination",
    "AWS::Logs::DeliveryDestination": "DestinationResourceArn",
    "AWS::Route53Resolver::ResolverQueryLoggingConfig": "DestinationArn",
    "AWS::WAFv2::LoggingConfiguration": "LogDestinationConfigs",
}
_WRITERS = frozenset(
    {
        "cloudtrail",
        "config",
        "delivery.logs",
        "logdelivery.elasticloadbalancing",
        "logging.s3",
    }
)


def _receivers(template: Template) -> frozenset[str]:
    found = {
        bucket.logical_id
        for sender in template.of(*_SENDERS)
        for bucket in template.targets(sender.at(_SENDERS[sender.type]), "AWS::S3::Bucket")
    }
    for name, policies in bucket_policies(template).items():
        held = [statement for policy in policies for statement in statements(policy.at("PolicyDocument"))]
        if any(isinstance(statement, ResourceStatement) and _writes_logs(statement) for statement in held):
            found.add(name)
    return frozenset(found)


def _writes_logs(statement: ResourceStatement) -> bool:
    named = {service_named(principal) for principal in services_in(statement.element("Principal"))}
    return statement.effect == "Allow" and bool(named & _WRITERS)


_OBJECTS = "AWS::S3::Object"


def _recorded(template: Template) -> dict[str, Evidence]:
    """Buckets whose object events a trail of the template records; the empty name stands for every bucket.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/logging-with-S3.html
    """
    found: dict[str, Evidence] = {}
    for trail in template.of("AWS::CloudTrail::Trail"):
        for path, kind in trail.each("EventSelectors.*.DataResources.*.Type"):
            if isinstance(kind, Scalar) and kind.text == _OBJECTS:
                for value in strings(trail.at(f"{path.removesuffix('Type')}Values")):
                    evidence = Evidence(value.span, "the trail records object events")
                    for bucket in template.targets(value, "AWS::S3::Bucket"):
                        found.setdefault(bucket.logical_id, evidence)
                    text = "".join(part for part in parts_of(value) if isinstance(part, str))
                    if text.endswith((":s3", ":s3:::")) and not (isinstance(value, Unknown) and value.references):
                        found.setdefault("", evidence)
    return found
