"""Buckets in, what they are for out: logs, scratch, a website, packages, or the data of the platform."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.nodes import Absent, Scalar, Seq, Value

_LOG_DESTINATIONS = {
    "AWS::S3::Bucket": "LoggingConfiguration.DestinationBucketName",
    "AWS::CloudFront::Distribution": "DistributionConfig.Logging.Bucket",
    "AWS::CloudFront::StreamingDistribution": "StreamingDistributionConfig.Logging.Bucket",
    "AWS::ElasticLoadBalancing::LoadBalancer": "AccessLoggingPolicy.S3BucketName",
}
_ARTIFACT_STORES = {
    "AWS::CodePipeline::Pipeline": ("ArtifactStore.Location", "ArtifactStores.*.ArtifactStore.Location"),
    "AWS::CodeBuild::Project": ("Artifacts.Location",),
    "AWS::Lambda::Function": ("Code.S3Bucket",),
    "AWS::Lambda::LayerVersion": ("Content.S3Bucket",),
}


def log_buckets(template: Declarations) -> frozenset[str]:
    """The buckets that S3, CloudFront or a load balancer write access logs to, by logical id."""
    found = {bucket.logical_id for value in _destinations(template) for bucket in _buckets(template, value)}
    for bucket in template.of("AWS::S3::Bucket"):
        grant = bucket.at("AccessControl")
        if isinstance(grant, Scalar) and grant.text == "LogDeliveryWrite":
            found.add(bucket.logical_id)
    return frozenset(found)


def artifact_buckets(template: Declarations) -> frozenset[str]:
    """The buckets that hold what is built and deployed, by logical id."""
    values = [
        value
        for resource in template.of(*_ARTIFACT_STORES)
        for path in _ARTIFACT_STORES[resource.type]
        for _, value in resource.each(path)
    ]
    return frozenset(bucket.logical_id for value in values for bucket in _buckets(template, value))


def _destinations(template: Declarations) -> Iterator[Value]:
    for resource in template.of(*_LOG_DESTINATIONS):
        yield resource.at(_LOG_DESTINATIONS[resource.type])
    for balancer in template.of("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        for path, key in balancer.each("LoadBalancerAttributes.*.Key"):
            if isinstance(key, Scalar) and key.text in ("access_logs.s3.bucket", "connection_logs.s3.bucket"):
                yield balancer.at(path.removesuffix("Key") + "Value")


def _buckets(template: Declarations, value: Value) -> tuple[Resource, ...]:
    return template.targets(value, "AWS::S3::Bucket")


def is_scratch(bucket: Resource) -> bool:
    """Whether a lifecycle rule expires every object, so that nothing is kept for good."""
    rules = bucket.at("LifecycleConfiguration.Rules")
    for index in range(len(rules.items) if isinstance(rules, Seq) else 0):
        rule = f"LifecycleConfiguration.Rules.{index}"
        status, prefix = bucket.at(f"{rule}.Status"), bucket.at(f"{rule}.Prefix")
        expires = any(not _absent(bucket, f"{rule}.{name}") for name in ("ExpirationInDays", "ExpirationDate"))
        limits = ("TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
        everything = isinstance(prefix, Absent) or (isinstance(prefix, Scalar) and not prefix.text)
        everything = everything and all(_absent(bucket, f"{rule}.{name}") for name in limits)
        if isinstance(status, Scalar) and status.text == "Enabled" and expires and everything:
            return True
    return False


def is_website(bucket: Resource) -> bool:
    """Whether S3 itself serves the bucket as a website."""
    return not _absent(bucket, "WebsiteConfiguration")


def _absent(bucket: Resource, path: str) -> bool:
    return isinstance(bucket.at(path), Absent)
