"""A Template and a profile's components in, what fills each component out.

One resource fills one component. Evidence counts in the order of ``TIERS``; within a tier the matching is maximum, and
the same whatever the order of the template. Each tier's matches feed the structure of the next: a role is found by the
function that runs as it, a log group by the function that writes to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from cfaudit.finding import Severity
from cfaudit.inventory.facets import Facet, facets
from cfaudit.inventory.structure import STRUCTURES
from cfaudit.inventory.texts import DOMAIN_WORDS, Texts
from cfaudit.model.template import Template
from cfaudit.rule import ArgumentError, Plain, nearest

TIERS = ("structure", "only", "name", "logical id", "description", "type", "sole")


class Component(NamedTuple):
    """One line of a profile's inventory.

    ``words`` are hints in names, most telling first; a name with a word of ``unless`` means something else.
    ``structure`` names a way of ``STRUCTURES`` and the component it starts from; ``generic`` components are filled by
    any resource of their types. ``rule`` decides the component where it has a rule of its own.
    """

    id: str
    title: str
    types: tuple[str, ...]
    severity: Severity
    requirement: str
    words: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    structure: tuple[str, str] | None = None
    generic: bool = False
    rule: str | None = None


class Match(NamedTuple):
    """What fills a component: logical ids, the evidence that decided it, and whether a domain word was part of it."""

    component: Component
    logical_ids: tuple[str, ...]
    matched_by: str
    domain: bool


Matches: TypeAlias = Mapping[str, Match | None]


def components_of(rows: Mapping[str, Plain]) -> tuple[Component, ...]:
    """The components of a profile's ``components`` map. Raises ``ArgumentError`` for one of the wrong shape."""
    return tuple(_component(name, fields) for name, fields in rows.items())


_FIELDS = tuple(name for name in Component._fields if name != "id")
_NEEDED = ("title", "severity", "requirement")
_TYPE = re.compile("(?!$)([A-Za-z0-9]+(::[A-Za-z0-9]+)+)?(#[a-z-]+)?")


def _component(name: str, fields: Plain) -> Component:
    def fail(message: str) -> ArgumentError:
        return ArgumentError(f"components.{name}", f"the component {name!r} {message}")

    if not isinstance(fields, dict):
        raise fail(f"is a map of {', '.join(_FIELDS)}")
    for field in fields:
        if field not in _FIELDS:
            raise fail(f"has a field {field!r} that no component has; {nearest(field, _FIELDS)}")
    for field in _NEEDED if fields.get("rule") else (*_NEEDED, "types"):
        if not fields.get(field):
            raise fail(f"has no {field!r}")
    severity = str(fields["severity"])
    if severity not in (member.value for member in Severity):
        raise fail(f"has no severity {severity!r}; {nearest(severity, [member.value for member in Severity])}")
    structure = fields.get("structure")
    way = next(iter(structure.items())) if isinstance(structure, dict) and len(structure) == 1 else None
    types = _words(fields.get("types"))
    if not all(_TYPE.fullmatch(name) for name in types):
        raise fail(f"has no types but {', '.join(types)}; write AWS::DynamoDB::Table, or a list")
    if not isinstance(fields.get("generic", False), bool):
        raise fail("is 'generic: true' or not")
    if structure and (way is None or way[0] not in STRUCTURES):
        raise fail(f"has a structure that is not known; one of {', '.join(STRUCTURES)} and a component")
    return Component(
        id=name,
        title=str(fields["title"]),
        types=types,
        severity=Severity(severity),
        requirement=" ".join(str(fields["requirement"]).split()),
        words=tuple(word.lower() for word in _words(fields.get("words"))),
        unless=tuple(word.lower() for word in _words(fields.get("unless"))),
        structure=(way[0], str(way[1])) if way else None,
        generic=fields.get("generic") is True,
        rule=str(fields["rule"]) if fields.get("rule") else None,
    )


def _words(value: Plain) -> tuple[str, ...]:
    members = value if isinstance(value, list) else [value] if value else []
    return tuple(str(item) for item in members)


def may_be_bound(template: Template, component: Component, logical_id: str) -> bool:
    """Whether a resource of the template can be a component at the configuration's word: it has one of its types."""
    resource = template.resources.get(logical_id)
    types = {name.partition("#")[0] for name in component.types}
    return resource is not None and (resource.type in types or "" in types or not types)


def match(template: Template, components: tuple[Component, ...], bind: Mapping[str, str]) -> Matches:
    """What fills each component, None for one that nothing fills; components with a rule of their own are left open."""
    matching = _Matching(template, tuple(component for component in components if component.rule is None))
    matching.bind(bind)
    matching.run()
    return {component.id: matching.found.get(component.id) for component in components}


class _Matching:
    """The state of one matching: what is claimed, what is open."""

    def __init__(self, template: Template, components: tuple[Component, ...]) -> None:
        self.template = template
        self.components = components
        self.texts = Texts(template)
        self.found: dict[str, Match] = {}
        self._claimed: set[Facet] = set()
        self._facets = {held.id: tuple(facets(template, held.id, held.types)) for held in components}

    def bind(self, bind: Mapping[str, str]) -> None:
        """The configuration's word, before all evidence."""
        for component in self.components:
            logical_id = bind.get(component.id, "")
            if may_be_bound(self.template, component, logical_id):
                self._claim(component, Facet(logical_id), "bind", domain=True)

    def run(self) -> None:
        """Tier by tier, from the start whenever a tier has found something: structure grows with every match.

        In each tier the components that structure can start from come before those that structure leads to.
        """
        anchors = [component for component in self.components if component.structure is None]
        steps = [(tier, held) for tier in TIERS for held in (anchors, self.components)]
        step = 0
        while step < len(steps):
            step = 0 if self._advance(*steps[step]) else step + 1

    def _advance(self, tier: str, components: Iterable[Component]) -> bool:
        edges: dict[str, dict[Facet, tuple[int, str]]] = {}
        for component in components:
            if component.id not in self.found and not self._is_settled(tier, component):
                candidates = {
                    facet: held
                    for facet in self._facets[component.id]
                    if facet not in self._claimed and (held := self._evidence(tier, component, facet)) is not None
                }
                if candidates:
                    edges[component.id] = candidates
        if tier == "sole":
            edges = {name: held for name, held in edges.items() if self._is_sole(name, held)}
        by_id = {component.id: component for component in self.components}
        for name, facet in _maximum(edges).items():
            reason = edges[name][facet][1]
            self._claim(by_id[name], facet, reason, domain=self._domain(tier, by_id[name], facet))
        return bool(edges)

    def _is_settled(self, tier: str, component: Component) -> bool:
        """Whether structure alone may answer: the role of a function is known, whatever other roles are called."""
        if tier == "structure" or component.structure is None:
            return False
        way, start = component.structure
        match = self.found.get(start)
        return match is not None and STRUCTURES[way](self.template, match.logical_ids[0]) is not None

    def _claim(self, component: Component, facet: Facet, reason: str, *, domain: bool) -> None:
        self._claimed.add(facet)
        self.found[component.id] = Match(component, (facet.logical_id,), reason, domain)

    def _evidence(self, tier: str, component: Component, facet: Facet) -> tuple[int, str] | None:
        """How telling a facet is for a component in a tier (0 is best) and what says so; None for no evidence."""
        if tier == "structure":
            return self._structure(component, facet)
        if tier == "only":
            return (0, "type") if component.generic and len(self._facets[component.id]) == 1 else None
        if tier == "type":
            return (self._rank(facet), "type") if component.generic else None
        if tier == "sole":
            return (0, "the only one of its type") if not self._says_otherwise(facet) else None
        return _hint(self.texts.of(tier, facet), component)

    def _structure(self, component: Component, facet: Facet) -> tuple[int, str] | None:
        if component.structure is None:
            return None
        way, start = component.structure
        match = self.found.get(start)
        if match is None:
            return None
        held = STRUCTURES[way](self.template, match.logical_ids[0])
        return (0, f"structure: {way.replace('-', ' ')} {match.logical_ids[0]}") if held and facet in held else None

    def _rank(self, facet: Facet) -> int:
        """Among resources of a generic type, those that matched resources refer to come first."""
        users = {edge.source for edge in self.template.edges_to.get(facet.logical_id, ())}
        claimed = {claimed.logical_id for claimed in self._claimed}
        return -len(users & claimed)

    def _is_sole(self, name: str, held: Mapping[Facet, tuple[int, str]]) -> bool:
        """Whether one resource and one component of its type are left for each other."""
        if len(held) != 1:
            return False
        (facet,) = held
        rivals = [
            component.id
            for component in self.components
            if component.id not in self.found and facet in self._facets[component.id]
        ]
        return rivals == [name]

    def _says_otherwise(self, facet: Facet) -> bool:
        """Whether a resource's names speak of a purpose: then it is no stand-in for a component of another purpose."""
        return any(self.texts.of(tier, facet) for tier in ("name", "description")) or self.texts.telling(facet)

    def _domain(self, tier: str, component: Component, facet: Facet) -> bool:
        if tier == "structure" and component.structure is not None:
            start = self.found.get(component.structure[1])
            return start is not None and start.domain
        texts = [text for held in ("name", "logical id", "description") for _, text in self.texts.of(held, facet)]
        return any(word in text for word in DOMAIN_WORDS for text in texts)


def _hint(texts: Iterable[tuple[str, str]], component: Component) -> tuple[int, str] | None:
    """The most telling word that any text of a resource holds, unless one says it is something else."""
    held = list(texts)
    if any(word in text for word in component.unless for _, text in held):
        return None
    for rank, word in enumerate(component.words):
        for label, text in held:
            if word in text:
                return rank, label
    return None


def _maximum(edges: Mapping[str, Mapping[Facet, tuple[int, str]]]) -> dict[str, Facet]:
    """A maximum matching that prefers low ranks, then names: Kuhn's algorithm over edges in that order."""
    order = {
        name: sorted(held, key=lambda facet, held=held: (held[facet][0], facet))  # type: ignore[misc]
        for name, held in edges.items()
    }
    owner: dict[Facet, str] = {}

    def place(name: str, tried: set[Facet]) -> bool:
        for facet in order[name]:
            if facet not in tried:
                tried.add(facet)
                if facet not in owner or place(owner[facet], tried):
                    owner[facet] = name
                    return True
        return False

    for name in sorted(order, key=lambda name: (min(rank for rank, _ in edges[name].values()), name)):
        place(name, set())
    return {name: facet for facet, name in owner.items()}
