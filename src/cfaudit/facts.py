"""What a check may know besides the template: the day, the region, the profile's components and bindings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from cfaudit.nodes import Span

if TYPE_CHECKING:
    from cfaudit.inventory import Component, Match
    from cfaudit.model.declarations import Resource
    from cfaudit.model.template import Template
    from cfaudit.sources.brought import Document
    from cfaudit.validity import Validity


class External(NamedTuple):
    """A thing the configuration says lives in another stack: a component's id, a resource type or a physical name."""

    kind: str
    value: str
    reason: str
    span: Span
    text: str


class Facts(NamedTuple):
    """Frozen context of one audit of one template under one scenario.

    ``matches`` holds, per component id of the profile's inventory, what fills it, or None; it is empty for a profile
    without inventory. ``screening`` are the configured stand-ins for a fraud detector,
    ``validity`` what a validator says of the template, None where none was asked, ``documents`` what people read.
    """

    as_of: date
    region: str | None
    profile: str
    components: tuple[Component, ...]
    matches: Mapping[str, Match | None]
    external: tuple[External, ...] = ()
    screening: External | None = None
    validity: Validity | None = None
    documents: tuple[Document, ...] = ()

    def requires(self, component: str) -> bool:
        """Whether the profile's inventory asks for a component."""
        return any(entry.id == component for entry in self.components)

    def bound(self, template: Template, component: str) -> Resource | None:
        """The resource that fills a component."""
        match = self.matches.get(component)
        return template.resources.get(match.logical_ids[0]) if match else None

    def elsewhere(
        self, *, component: str | None = None, types: tuple[str, ...] = (), name: str = ""
    ) -> External | None:
        """The configuration's word that something lives in another stack."""
        for entry in self.external:
            if (entry.kind, entry.value) in {("component", component), ("name", name)}:
                return entry
            if entry.kind == "type" and entry.value in types:
                return entry
        return None
