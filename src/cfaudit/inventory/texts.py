"""A Template in, the texts that tell what each resource is for out."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.inventory.facets import Facet, text_of
from cfaudit.model.declarations import Resource
from cfaudit.model.names import NAME_PROPERTIES
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Seq, Unknown

DOMAIN_WORDS = (
    "crowdfund",
    "campaign",
    "contribution",
    "contributor",
    "pledge",
    "backer",
    "backing",
    "milestone",
    "donation",
    "donor",
    "fundrais",
)
"""Words that only a crowdfunding platform's resources carry; ``--profile auto`` counts them."""

_NAMING = (
    "Description",
    "DisplayName",
    "Handler",
    "Code.S3Key",
    "CodeUri",
    "GroupName",
    "ClientName",
    "DashboardName",
    "PathPart",
)

_OTHER_PURPOSES = ("alarm", "alert", "access", "artifact", "audit", "backup", "dlq", "dead", "log", "ops", "replica")


class Texts:
    """The texts about each resource, by tier, lower case, each with the label that evidence shows."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._held: dict[tuple[str, Facet], list[tuple[str, str]]] = {}
        self._variables = _variables_naming(template)
        self._outputs = _outputs_naming(template)

    def of(self, tier: str, facet: Facet) -> list[tuple[str, str]]:
        """(label, text) pairs of one tier."""
        key = (tier, facet)
        if key not in self._held:
            self._held[key] = list(self._read(tier, facet))
        return self._held[key]

    def telling(self, facet: Facet) -> bool:
        """Whether the logical id speaks of some purpose of its own."""
        return any(word in facet.logical_id.lower() for word in (*DOMAIN_WORDS, *_OTHER_PURPOSES))

    def _read(self, tier: str, facet: Facet) -> Iterator[tuple[str, str]]:
        resource = self._template.resources[facet.logical_id]
        if tier == "logical id":
            yield f"logical id {facet.logical_id}", facet.logical_id.lower()
        elif tier == "description":
            for path in ("Description", "DisplayName"):
                text = text_of(resource.at(path))
                if text:
                    yield f"{path} {text!r}", text.lower()
            for name in self._outputs.get(facet.logical_id, ()):
                yield f"output {name}", name.lower()
        elif tier == "name":
            if facet.part.startswith("/"):
                yield f"route {facet.part}", facet.part
            else:
                yield from self._names(resource)

    def _names(self, resource: Resource) -> Iterator[tuple[str, str]]:
        paths = [NAME_PROPERTIES.get(resource.type, ""), *_NAMING[2:]]
        for path in filter(None, paths):
            text = text_of(resource.at(path)).replace("\0", "")
            if text:
                yield f"{path} {text!r}", text.lower()
        schema = resource.at("KeySchema")
        for item in schema.items if isinstance(schema, Seq) else ():
            attribute = item.entries.get("AttributeName") if isinstance(item, Map) else None
            name = text_of(attribute) if attribute is not None else ""
            if name:
                yield f"key {name}", name.lower()
        primary = text_of(resource.at("PrimaryKey.Name"))
        if primary:
            yield f"key {primary}", primary.lower()
        code = text_of(resource.attribute("Metadata.cfaudit.code"))
        if code:
            yield f"code {code}", code.lower()
        for name in self._variables.get(resource.logical_id, ()):
            yield f"variable {name}", name.lower()


def _variables_naming(template: Template) -> dict[str, list[str]]:
    """The environment variables and definition substitutions that hold a resource's name or ARN."""
    found: dict[str, list[str]] = {}
    for function in template.functions.values():
        for variable in function.variables:
            for resource in template.targets(variable.value):
                found.setdefault(resource.logical_id, []).append(variable.name)
    for machine in template.of("AWS::StepFunctions::StateMachine", "AWS::Serverless::StateMachine"):
        substitutions = machine.at("DefinitionSubstitutions")
        for name, value in substitutions.entries.items() if isinstance(substitutions, Map) else ():
            for resource in template.targets(value):
                found.setdefault(resource.logical_id, []).append(name)
    return found


def _outputs_naming(template: Template) -> dict[str, list[str]]:
    """The outputs (name and description) whose value is one resource's Ref or attribute."""
    found: dict[str, list[str]] = {}
    for name, output in template.document.outputs.entries.items():
        value = output.entries.get("Value") if isinstance(output, Map) else None
        if isinstance(value, Unknown) and len(value.references) == 1:
            description = output.entries.get("Description") if isinstance(output, Map) else None
            text = f"{name} {text_of(description)}" if description is not None else name
            found.setdefault(value.references[0].logical_id, []).append(text)
    return found
