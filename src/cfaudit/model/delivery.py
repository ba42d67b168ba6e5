"""Distributions in, the buckets that each serves and how it reads them out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.nodes import Map, Part, Scalar, Unknown, Value, parts_of

Access: TypeAlias = Literal["identity", "control", "silent", "anonymous"]


class Origin(NamedTuple):
    """An origin of a CloudFront distribution that is a declared bucket. ``path`` is the origin's in the distribution.

    ``access`` is how it signs its requests: as an origin access identity, by an origin access control, or not at all;
    ``silent`` is a control that never signs.
    """

    distribution: Resource
    bucket: Resource
    path: str
    access: Access

    @property
    def access_path(self) -> str:
        """The property that says how it reads the bucket."""
        if self.access in ("control", "silent"):
            return f"{self.path}.OriginAccessControlId"
        return f"{self.path}.S3OriginConfig.OriginAccessIdentity" if self.access == "identity" else self.path


def bucket_origins(template: Declarations) -> Iterator[Origin]:
    """The origins that are buckets of this template, in its order."""
    for distribution in template.of("AWS::CloudFront::Distribution"):
        for path, value in distribution.each("DistributionConfig.Origins.*"):
            bucket = _bucket(template, distribution.at(f"{path}.DomainName")) if isinstance(value, Map) else None
            if bucket is not None:
                yield Origin(distribution, bucket, path, _access(template, distribution, path))


def _access(template: Declarations, distribution: Resource, path: str) -> Access:
    control = distribution.at(f"{path}.OriginAccessControlId")
    declared = template.target(control, "AWS::CloudFront::OriginAccessControl")
    if declared is not None:
        # https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginAccessControlConfig.html
        signs = declared.at("OriginAccessControlConfig.SigningBehavior")
        return "silent" if isinstance(signs, Scalar) and signs.text == "never" else "control"
    if _given(control):
        return "control"
    return "identity" if _given(distribution.at(f"{path}.S3OriginConfig.OriginAccessIdentity")) else "anonymous"


def _given(value: Value) -> bool:
    return isinstance(value, Unknown) or (isinstance(value, Scalar) and bool(value.text))


def _bucket(template: Declarations, domain: Value) -> Resource | None:
    """The bucket of a domain name: its GetAtt, or its name before ``.s3.``, ``.s3-`` ."""
    named = template.target(domain, "AWS::S3::Bucket")
    if named is not None:
        return named
    name: list[Part] = []
    for part in parts_of(domain):
        head, found, _ = part.partition(".s3") if isinstance(part, str) else ("", "", "")
        name.append(head if found else part)
        if found:
            return template.target(_value(name, domain), "AWS::S3::Bucket")
    return None


def _value(parts: list[Part], like: Value) -> Value:
    kept = tuple(part for part in parts if part != "")
    if all(isinstance(part, str) for part in kept):
        return Scalar("".join(part for part in kept if isinstance(part, str)), like.span)
    return Unknown(like.span, kept)


def signs_itself(distribution: Resource) -> bool:
    """Whether code of the customer's sees each request to an origin, and so may sign it."""
    for behaviour in ("DistributionConfig.DefaultCacheBehavior", "DistributionConfig.CacheBehaviors.*"):
        for _, value in distribution.each(f"{behaviour}.LambdaFunctionAssociations.*.EventType"):
            if isinstance(value, Unknown) or (isinstance(value, Scalar) and value.text == "origin-request"):
                return True
    return False
