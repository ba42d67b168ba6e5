"""A resolved document in, a Template out: the one object that checks ask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from cfaudit.model.alarms import Alarm, alarms
from cfaudit.model.api import Route
from cfaudit.model.apis import Apis, apis, written_by_sam
from cfaudit.model.code.facts import Code
from cfaudit.model.code.reading import codes
from cfaudit.model.declarations import Declarations, Resource, declared
from cfaudit.model.functions import Function, custom_resource_functions, edge_functions, functions
from cfaudit.model.iam import Principal, principals
from cfaudit.model.invocations import Permission, by_function, permissions
from cfaudit.model.logs import LogDestination, log_destinations
from cfaudit.model.wires import Wiring
from cfaudit.model.wiring import wiring
from cfaudit.model.workflows import Workflow, workflows
from cfaudit.resolve import Document, as_written
from cfaudit.sources.local import NO_FILES, LocalFiles


class Template(Declarations):
    """A stack as one scenario deploys it; every view is made once, when a check first asks for it."""

    @cached_property
    def as_written(self) -> Template:
        """The stack as if no transform and no loop wrote into the resources that are there."""
        return build(as_written(self.document), self.local)

    @cached_property
    def principals(self) -> Mapping[str, Principal]:
        """Roles, users and groups, SAM's implicit roles, and policies attached to nothing, by logical id."""
        return principals(self)

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Lambda functions by logical id."""
        return functions(self)

    @cached_property
    def functions_of(self) -> Mapping[str, tuple[Function, ...]]:
        """The functions that run as each principal."""
        found: dict[str, list[Function]] = {}
        for function in self.functions.values():
            if function.principal:
                found.setdefault(function.principal, []).append(function)
        return {principal: tuple(held) for principal, held in found.items()}

    @cached_property
    def code(self) -> Mapping[str, Code]:
        """What the code of each function does, as far as it can be read, by the function's logical id."""
        return codes(self, self.functions)

    @cached_property
    def custom_resource_functions(self) -> frozenset[str]:
        """Functions that only serve deployments: they stand behind a custom resource."""
        return custom_resource_functions(self, self.functions)

    @cached_property
    def edge_functions(self) -> frozenset[str]:
        """Functions that CloudFront runs at its edge."""
        return edge_functions(self, self.functions)

    @cached_property
    def log_destinations(self) -> Mapping[str, LogDestination]:
        """Where each function logs, by the function's logical id."""
        return log_destinations(self, self.functions)

    @cached_property
    def log_groups_of(self) -> Mapping[str, tuple[Resource, ...]]:
        """The declared log group of each function that has one, by the function's logical id."""
        return {name: (entry.group,) for name, entry in self.log_destinations.items() if entry.group}

    @cached_property
    def alarms(self) -> Mapping[str, Alarm]:
        """Alarms on metrics and logs by logical id."""
        return alarms(self)

    @cached_property
    def apis(self) -> Apis:
        """REST, HTTP and WebSocket APIs with their stages and authorizers."""
        return apis(self)

    @cached_property
    def implicit_apis(self) -> tuple[Resource, ...]:
        """The APIs that SAM makes of function events."""
        return tuple(written_by_sam(self.apis.declared))

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """Every route of every API, in template order."""
        return self.apis.routes

    @cached_property
    def permissions_of(self) -> Mapping[str, tuple[Permission, ...]]:
        """Permissions to invoke each function; ``""`` holds those of a function that only deploy time knows."""
        return by_function(permissions(self))

    @cached_property
    def workflows(self) -> Mapping[str, Workflow]:
        """Step Functions state machines by logical id."""
        return workflows(self)

    @cached_property
    def wiring(self) -> Wiring:
        """The integration graph: who invokes, starts, publishes, reads, writes, encrypts and protects what."""
        return wiring(self)


def build(document: Document, local: LocalFiles = NO_FILES) -> Template:
    """The model of one resolved document; ``local`` are the files beside it."""
    return Template(document, declared(document), local)
