"""Questions about cross-origin requests on their way through a distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.delivery import Origin, bucket_origins
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value, same_text, strings

_RULES = "CorsConfiguration.CorsRules"
_DEFAULT, _OTHERS = "DistributionConfig.DefaultCacheBehavior", "DistributionConfig.CacheBehaviors"
_CODE = ("LambdaFunctionAssociations", "FunctionAssociations")


def forwarded_origin(
    template: Template, facts: Facts, *, visible: Mapping[str, str], hidden: Mapping[str, str]
) -> Iterator[Finding]:
    """A cache behavior in front of a bucket with CORS rules must let browsers see them.

    What counts: the `Origin` header is forwarded (by `ForwardedValues`, a cache policy or an origin request policy), or
    a response headers policy adds CORS headers. Of AWS's managed policies those listed as visible count; policies
    declared here are read. Rules that let browsers only write serve uploads to the bucket itself and pass. A policy
    that this template does not show, and a behavior with code at the edge that may add the headers, are unknown.
    """
    policies = {**dict.fromkeys(hidden, False), **dict.fromkeys(visible, True)}
    for origin in bucket_origins(template):
        if isinstance(origin.bucket.at("CorsConfiguration"), Absent):
            continue
        for path in _behaviors(origin):
            yield _behavior(template, origin, path, policies)


def _behaviors(origin: Origin) -> Iterator[str]:
    """The behaviors that send requests to an origin."""
    distribution = origin.distribution
    own = distribution.at(f"{origin.path}.Id")
    others = distribution.at(_OTHERS)
    count = len(others.items) if isinstance(others, Seq) else 0
    for path in (_DEFAULT, *(f"{_OTHERS}.{index}" for index in range(count))):
        if same_text(distribution.at(f"{path}.TargetOriginId"), own):
            yield path


def _behavior(template: Template, origin: Origin, path: str, policies: Mapping[str, bool]) -> Finding:
    distribution, bucket = origin.distribution, origin.bucket
    name = f"{distribution.logical_id} ({_called(distribution, path)})"
    rules = [Evidence(bucket.where("CorsConfiguration"), "the bucket's CORS rules")]
    if not _lets_read(bucket):
        message = f"The CORS rules of {bucket.logical_id} are for uploads, which do not pass {name}"
        return judged(Outcome.PASS, distribution, path, message, more=rules)
    answers = dict(_answers(template, distribution, path, policies))
    for place, answer in answers.items():
        if answer:
            message = f"{name} lets browsers see the CORS headers of {bucket.logical_id}"
            return judged(Outcome.PASS, distribution, place, message, more=rules)
    for place, answer in answers.items():
        if answer is None:
            message = f"Whether {name} lets browsers see the CORS headers of {bucket.logical_id} is not shown here"
            return judged(Outcome.UNKNOWN, distribution, place, message, more=rules)
    message = f"{name} hides the CORS rules of {bucket.logical_id}: it neither forwards Origin nor adds CORS headers"
    return judged(Outcome.FAIL, distribution, f"{path}.{_missed(distribution, path)}", message, more=rules)


def _called(distribution: Resource, path: str) -> str:
    pattern = distribution.at(f"{path}.PathPattern")
    return pattern.text if isinstance(pattern, Scalar) else "default behavior" if path == _DEFAULT else "a behavior"


def _missed(distribution: Resource, path: str) -> str:
    classic = not isinstance(distribution.at(f"{path}.ForwardedValues"), Absent)
    return "ForwardedValues.Headers" if classic else "OriginRequestPolicyId"


def _lets_read(bucket: Resource) -> bool:
    methods = [method for _, rule in bucket.each(f"{_RULES}.*.AllowedMethods") for method in (*strings(rule), rule)]
    return any(isinstance(method, Unknown) or _is_read(method) for method in methods)


def _is_read(method: Value) -> bool:
    return isinstance(method, Scalar) and method.text.upper() in ("GET", "HEAD")


def _answers(
    template: Template, distribution: Resource, path: str, policies: Mapping[str, bool]
) -> Iterator[tuple[str, bool | None]]:
    """Per property of a behavior whether it makes the CORS headers visible; None when that is not shown here."""
    headers = f"{path}.ForwardedValues.Headers"
    yield headers, _names_origin(distribution.at(headers))
    for name, type_, inner in (
        ("CachePolicyId", "AWS::CloudFront::CachePolicy", _CACHE),
        ("OriginRequestPolicyId", "AWS::CloudFront::OriginRequestPolicy", _REQUEST),
        ("ResponseHeadersPolicyId", "AWS::CloudFront::ResponseHeadersPolicy", _RESPONSE),
    ):
        value = distribution.at(f"{path}.{name}")
        declared = template.target(value, type_)
        if declared is not None:
            yield f"{path}.{name}", _declared(declared, inner)
        elif isinstance(value, Scalar):
            # An id that is not listed is another account's policy, or one of AWS's that is newer than the list.
            yield f"{path}.{name}", policies.get(value.text.lower())
        else:
            yield f"{path}.{name}", None if isinstance(value, Unknown) else False
    for name in _CODE:
        yield f"{path}.{name}", False if isinstance(distribution.at(f"{path}.{name}"), Absent) else None


_CACHE = "CachePolicyConfig.ParametersInCacheKeyAndForwardedToOrigin.HeadersConfig"
_REQUEST = "OriginRequestPolicyConfig.HeadersConfig"
_RESPONSE = "ResponseHeadersPolicyConfig"
_ALL = ("allViewer", "allViewerAndWhitelistCloudFront")


def _declared(policy: Resource, inner: str) -> bool | None:
    if inner == _RESPONSE:
        cors, custom = policy.at(f"{inner}.CorsConfig"), policy.at(f"{inner}.CustomHeadersConfig.Items")
        named = [value for _, value in policy.each(f"{inner}.CustomHeadersConfig.Items.*.Header")]
        own = any(_is_header(value, "access-control-allow-origin") for value in named)
        return True if isinstance(cors, Map) or own else None if isinstance(custom, Unknown) else _opened(cors)
    behavior, listed = policy.at(f"{inner}.HeaderBehavior"), policy.at(f"{inner}.Headers")
    match behavior:
        case Scalar(text) if text in _ALL:
            return True
        case Scalar("whitelist"):
            return _names_origin(listed)
        case Scalar("allExcept"):
            excluded = _names_origin(listed)
            return None if excluded is None else not excluded
        case Unknown():
            return None
        case _:
            return False


def _opened(value: Value) -> bool | None:
    return None if isinstance(value, Unknown) else False


def _names_origin(headers: Value) -> bool | None:
    """Whether a list of headers names ``Origin``, or all of them."""
    named = list(strings(headers))
    if any(_is_header(name, "origin") or _is_header(name, "*") for name in named):
        return True
    return None if any(isinstance(name, Unknown) for name in named) else False


def _is_header(value: Value, name: str) -> bool:
    return isinstance(value, Scalar) and value.text.lower() == name
