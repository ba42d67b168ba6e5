"""Resources in, Lambda functions out, whether CloudFormation's or SAM's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cfaudit.model.iam import role_of
from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value

FUNCTION_TYPES = ("AWS::Lambda::Function", "AWS::Serverless::Function")

_SAM_PATHS = {
    "TracingConfig.Mode": "Tracing",
    "Code.ZipFile": "InlineCode",
    "Code": "CodeUri",
    "DeadLetterConfig": "DeadLetterQueue",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of a function; ``span`` covers its name and value."""

    name: str
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Function:
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
    def serverless(self) -> bool:
        """Whether SAM's short type declares it."""
        return self.resource.type == "AWS::Serverless::Function"

    def at(self, path: str) -> Value:
        """A property by AWS::Lambda::Function's name; SAM's name and Globals stand in for it where SAM is used."""
        path = _SAM_PATHS.get(path, path) if self.serverless else path
        value = self.resource.at(path)
        if isinstance(value, Absent) and self.defaults is not None:
            fallback = descend(self.defaults, value.span, path.split("."))[0]
            return value if isinstance(fallback, Absent) else fallback
        return value

    def where(self, path: str) -> Span:
        """The text of that property, or where it is missed."""
        path = _SAM_PATHS.get(path, path) if self.serverless else path
        own = self.resource.at(path)
        value = self.at(path)
        return self.resource.where(path) if isinstance(own, type(value)) else value.span


def functions(template: Declarations) -> Mapping[str, Function]:
    """Every function of the template by logical id, in template order."""
    shared = template.document.globals.entries.get("Function")
    found = {}
    for resource in template.of(*FUNCTION_TYPES):
        defaults = shared if resource.type == "AWS::Serverless::Function" and isinstance(shared, Map) else None
        found[resource.logical_id] = Function(
            resource, _principal(template, resource), tuple(_variables(resource, defaults)), defaults
        )
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
