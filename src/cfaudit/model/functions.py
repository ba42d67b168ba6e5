"""Resources in, Lambda functions out, whether CloudFormation's or SAM's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Resource, descend, merged
from cfaudit.model.iam import role_of
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, strings

FUNCTION_TYPES = ("AWS::Lambda::Function", "AWS::Serverless::Function")

_SAM_PATHS = {
    "Code": "CodeUri",
    "Code.ImageUri": "ImageUri",
    "Code.S3Bucket": "CodeUri.Bucket",
    "Code.S3Key": "CodeUri.Key",
    "Code.S3ObjectVersion": "CodeUri.Version",
    "Code.ZipFile": "InlineCode",
    "DeadLetterConfig": "DeadLetterQueue",
    "DeadLetterConfig.TargetArn": "DeadLetterQueue.TargetArn",
    "TracingConfig.Mode": "Tracing",
}
"""https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html"""

_RESPONSE_MODULE = re.compile(r"\bcfn-?response\b")
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html"""


class Variable(NamedTuple):
    """One environment variable of a function; ``span`` covers its name and value."""

    name: str
    value: Value
    span: Span


class Function(NamedTuple):
    """A Lambda function. ``principal`` is the logical id of its role, or its own where SAM makes the role."""

    resource: Resource
    principal: str | None
    variables: tuple[Variable, ...]
    defaults: Map[Value] | None

    @property
    def logical_id(self) -> str:
        """The resource's logical id."""
        return self.resource.logical_id

    @property
    def role(self) -> str:
        """What a report calls its role: the logical id, where there is one."""
        return "the role that SAM makes for it" if self.principal == self.logical_id else self.principal or "its role"

    @property
    def serverless(self) -> bool:
        """Whether SAM's short type declares it."""
        return self.resource.type == "AWS::Serverless::Function"

    def path(self, path: str) -> str:
        """What a property of AWS::Lambda::Function is called on this function: SAM has names of its own."""
        return _SAM_PATHS.get(path, path) if self.serverless else path

    def at(self, path: str) -> Value:
        """A property by AWS::Lambda::Function's name, merged with SAM's Globals as SAM does."""
        value = self.resource.at(self.path(path))
        if self.defaults is None:
            return value
        return merged(value, descend(self.defaults, value.span, self.path(path).split("."))[0])

    def where(self, path: str) -> Span:
        """The text of that property, or where it is missed; in Globals where only they have it."""
        own = self.resource.at(self.path(path))
        value = self.at(path)
        inherited = isinstance(own, Absent) and not isinstance(value, Absent)
        return value.span if inherited else self.resource.where(self.path(path))


def functions(template: Declarations) -> Mapping[str, Function]:
    """Every function of the template by logical id, in template order."""
    found = {}
    for resource in template.of(*FUNCTION_TYPES):
        defaults = template.inherited(resource)
        variables = tuple(_variables(resource, defaults))
        found[resource.logical_id] = Function(resource, _principal(template, resource), variables, defaults)
    return found


def _principal(template: Declarations, resource: Resource) -> str | None:
    role = resource.at("Role")
    if isinstance(role, Absent) and resource.type == "AWS::Serverless::Function":
        return resource.logical_id
    return role_of(template, role) if isinstance(role, (Scalar, Unknown)) else None


def _variables(resource: Resource, defaults: Map[Value] | None) -> Iterator[Variable]:
    own = resource.at("Environment.Variables")
    shared = descend(defaults, resource.span, ["Environment", "Variables"])[0] if defaults else None
    seen: set[str] = set()
    for value in (own, shared):
        if isinstance(value, Map):
            for name, member in value.entries.items():
                if name not in seen:
                    seen.add(name)
                    key = value.keys[name]
                    after = (key.line, key.column) <= (member.span.line, member.span.column)
                    yield Variable(name, member, key.to(member.span) if after else member.span)


def custom_resource_functions(template: Declarations, found: Mapping[str, Function]) -> frozenset[str]:
    """Functions that only serve deployments.

    A custom resource's ServiceToken names them, they answer to one, or only such a function is told of them.
    """
    served = {
        target.logical_id
        for resource in template.resources.values()
        if resource.type.startswith("Custom::") or resource.type == "AWS::CloudFormation::CustomResource"
        for target in template.targets(resource.at("ServiceToken"), *FUNCTION_TYPES)
    }
    answering = {
        function.logical_id
        for function in found.values()
        for text in strings(function.at("Code.ZipFile"))
        if _RESPONSE_MODULE.search(text.text if isinstance(text, Scalar) else text.known_text)
    }
    helpers = served | answering
    return frozenset(helpers.union(name for name in found if _serves(template, name, helpers)))


_NO_CALLERS = ("AWS::CloudWatch::", "AWS::IAM::", "AWS::Lambda::Permission", "AWS::Logs::")


def _serves(template: Declarations, name: str, helpers: set[str]) -> bool:
    """Whether nothing but the variables of functions that serve deployments names a function."""
    edges = [edge for edge in template.edges_to.get(name, ()) if edge.source != name]
    naming = [edge for edge in edges if not template.resources[edge.source].type.startswith(_NO_CALLERS)]
    return bool(naming) and all(edge.source in helpers and edge.path.startswith("Environment.") for edge in naming)


def edge_functions(template: Declarations, found: Mapping[str, Function]) -> frozenset[str]:
    """Functions that CloudFront runs, by association with a distribution or by their role's trust.

    They have no VPC, no tracing and log groups in other Regions.
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
    """
    associated = {
        edge.target
        for distribution in template.of("AWS::CloudFront::Distribution")
        for edge in template.edges_from.get(distribution.logical_id, ())
        if "LambdaFunctionAssociations" in edge.path
    }
    versions = {
        target.logical_id
        for name in associated
        if name in template.resources
        for target in template.targets(template.resources[name].at("FunctionName"), *FUNCTION_TYPES)
    }
    trusting = {name for name, function in found.items() if function.principal and _trusts_edge(template, function)}
    return frozenset((associated | versions | trusting) & found.keys())


def _trusts_edge(template: Declarations, function: Function) -> bool:
    role = template.resources[function.principal or ""]
    services = (value for _, value in role.each("AssumeRolePolicyDocument.Statement.*.Principal.Service"))
    texts = (text for value in services for text in strings(value))
    return any(isinstance(text, Scalar) and text.text == "edgelambda.amazonaws.com" for text in texts)
