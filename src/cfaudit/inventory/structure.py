"""A resource that fills a component in, the resources that belong to it out: its role, its log group, its policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cfaudit.inventory.facets import Facet, text_of
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, truth


def _role_of(template: Template, logical_id: str) -> set[Facet] | None:
    function = template.functions.get(logical_id)
    if function is not None:
        principal = function.principal
        return {Facet(principal, "role" if principal == logical_id else "")} if principal else set()
    machine = template.resources[logical_id]
    if logical_id in template.principals:
        return {Facet(logical_id, "role")}
    role = template.target(machine.at("RoleArn"), "AWS::IAM::Role") or template.target(
        machine.at("Role"), "AWS::IAM::Role"
    )
    return {Facet(role.logical_id)} if role else set()


def _log_group_of(template: Template, logical_id: str) -> set[Facet] | None:
    return {Facet(group.logical_id) for group in template.log_groups_of.get(logical_id, ())} or None


def _policy_of(template: Template, logical_id: str) -> set[Facet]:
    return {
        Facet(policy.logical_id)
        for policy in template.of("AWS::S3::BucketPolicy")
        if any(bucket.logical_id == logical_id for bucket in template.targets(policy.at("Bucket"), "AWS::S3::Bucket"))
    }


def _origin_of(template: Template, logical_id: str) -> set[Facet] | None:
    held = {
        Facet(edge.target)
        for edge in template.edges_from.get(logical_id, ())
        if edge.path.startswith("DistributionConfig.Origins.") and edge.path.endswith(".DomainName")
    }
    return held or None


def _access_of(template: Template, logical_id: str) -> set[Facet] | None:
    held = {
        Facet(edge.target)
        for edge in template.edges_from.get(logical_id, ())
        if edge.path.endswith((".OriginAccessIdentity", ".OriginAccessControlId"))
    }
    return held or None


def _results_of(template: Template, logical_id: str) -> set[Facet] | None:
    workgroup = template.resources[logical_id]
    if truth(workgroup.at("WorkGroupConfiguration.ManagedQueryResultsConfiguration.Enabled")):
        return set()  # https://docs.aws.amazon.com/athena/latest/ug/managed-results.html
    location = workgroup.at("WorkGroupConfiguration.ResultConfiguration.OutputLocation")
    text = text_of(location)
    held = {Facet(bucket.logical_id) for bucket in template.targets(location, "AWS::S3::Bucket")}
    if not held and text.startswith("s3://"):
        bucket_name = Scalar(text.removeprefix("s3://").split("/")[0], location.span)
        held = {Facet(bucket.logical_id) for bucket in template.targets(bucket_name, "AWS::S3::Bucket")}
    return None if isinstance(location, Absent) else held


def _key_of(template: Template, logical_id: str) -> set[Facet] | None:
    return {Facet(edge.target) for edge in template.edges_from.get(logical_id, ())} or None


STRUCTURES: Mapping[str, Callable[[Template, str], set[Facet] | None]] = {
    "role-of": _role_of,
    "log-group-of": _log_group_of,
    "policy-of": _policy_of,
    "origin-of": _origin_of,
    "access-of": _access_of,
    "results-of": _results_of,
    "key-of": _key_of,
}
"""Ways from a matched component's resource to the resources that belong to it; None where the template does not say."""
