"""Resolved sections in, resources with their properties and references out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cfaudit.model.names import NAME_PROPERTIES, names_in, rendered, service_of
from cfaudit.nodes import Absent, Deferred, Map, Scalar, Seq, Source, Span, Unknown, Value, strings
from cfaudit.resolve import Document, is_module
from cfaudit.sources.local import NO_FILES, LocalFiles, beside


class Edge(NamedTuple):
    """One Ref or GetAtt: resource ``source`` names ``target`` at ``path``; ``attribute`` is None for a Ref."""

    source: str
    target: str
    attribute: str | None
    path: str
    span: Span


class Resource(NamedTuple):
    """A resource that is deployed under the scenario. ``span`` is its logical id's; ``body`` is all its attributes."""

    logical_id: str
    type: str
    body: Map[Value]
    span: Span

    def at(self, path: str) -> Value:
        """The value of a property, ``"VersioningConfiguration.Status"`` or ``"Rules.0.Id"``; Absent when not there.

        An Unknown on the way is the answer. The span of an Absent is the key of the nearest thing that is there.
        """
        return self._walk("Properties", path)[0]

    def attribute(self, path: str) -> Value:
        """The value of a resource attribute (``DeletionPolicy``, ``DependsOn``, ``Metadata.cfaudit.code``)."""
        return descend(self.body, self.span, path.split("."))[0]

    def where(self, path: str) -> Span:
        """The text of a property, key and value; for one that is absent the key of the nearest thing that is there."""
        return _stretch(*self._walk("Properties", path))

    def where_attribute(self, name: str) -> Span:
        """The text of a resource attribute, as ``where`` says that of a property."""
        return _stretch(*descend(self.body, self.span, [name]))

    def each(self, path: str) -> Iterator[tuple[str, Value]]:
        """Every value a path with ``*`` for list members (or map members) leads to, with its concrete path.

        A list that is not there yields one Absent, an unknown one yields Unknown.
        """
        yield from _each(self.at(""), self._anchor(), path.split("."), ())

    def _anchor(self) -> Span:
        return self.body.keys.get("Properties", self.span) if self._has_properties() else self.span

    def _has_properties(self) -> bool:
        properties = self.body.entries.get("Properties")
        return isinstance(properties, Map) and bool(properties.keys)

    def _walk(self, section: str, path: str) -> tuple[Value, Span]:
        properties = self.body.entries.get(section)
        key = self.body.keys.get(section, self.span)
        if properties is None or (isinstance(properties, Scalar) and properties.kind == "null"):
            properties = _unwritten(self.body, section, self.span)
            key = properties.span
        if isinstance(properties, Absent):
            return Absent(self.span), self.span
        if not path or isinstance(properties, Unknown):
            return properties, key
        return descend(properties, self.span, path.split("."))


def _stretch(value: Value, key: Span) -> Span:
    if isinstance(value, Absent):
        return value.span
    return key.to(value.span) if (key.line, key.column) <= (value.span.line, value.span.column) else value.span


def _unwritten(map_: Map[Value], name: str, anchor: Span) -> Value:
    """What a key that is not among the entries means: absent, or unknown where a macro may add keys."""
    for key, span in map_.keys.items():
        if key == "Fn::Transform" or key.startswith("Fn::ForEach::"):
            return Unknown(anchor if span == map_.span else span, (Deferred("macro", key),))
    return Absent(map_.keys.get(name, anchor))


def descend(value: Value, anchor: Span, path: Iterable[str]) -> tuple[Value, Span]:
    """The value at a path below ``value`` and the span of the last key on the way, ``anchor`` when there is none."""
    key = anchor
    for name in path:
        match value:
            case Map(entries, keys):
                found = entries.get(name)
                value = found if found is not None else _unwritten(value, name, key)
                key = keys[name] if found is not None else key if isinstance(value, Absent) else value.span
            case Seq(items) if name.isdecimal():
                value = items[int(name)] if int(name) < len(items) else Absent(key)
                key = key if isinstance(value, Absent) else value.span
            case Unknown():
                return value, key
            case Absent():
                return value, key
            case _:
                return Absent(value.span), key
    return value, key


def _each(value: Value, anchor: Span, path: list[str], done: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    if not path:
        yield ".".join(done), value
        return
    name, rest = path[0], path[1:]
    if name != "*":
        found, key = descend(value, anchor, [name])
        yield from _each(found, key, rest, (*done, name))
        return
    match value:
        case Seq(items) if items:
            for index, item in enumerate(items):
                yield from _each(item, item.span, rest, (*done, str(index)))
        case Map(entries, keys) if entries:
            for key_name, item in entries.items():
                yield from _each(item, keys[key_name], rest, (*done, key_name))
        case Unknown() | Absent():
            yield ".".join((*done, name, *rest)), value
        case _:
            yield ".".join((*done, name, *rest)), Absent(anchor)


@dataclass(frozen=True)
class Declarations:
    """The resources that one scenario deploys, and who refers to whom; ``local`` are the files beside the template."""

    document: Document
    resources: Mapping[str, Resource]
    local: LocalFiles = NO_FILES

    @property
    def source(self) -> Source:
        """The file it was read from."""
        return self.document.source

    @property
    def span(self) -> Span:
        """Where a finding about the whole template is anchored: the key of its Resources section."""
        return self.source.root.keys.get("Resources", self.source.root.span)

    def of(self, *types: str) -> Iterator[Resource]:
        """Resources of any of the given types, in template order."""
        for resource in self.resources.values():
            if resource.type in types:
                yield resource

    @cached_property
    def macros(self) -> tuple[Deferred, ...]:
        """Transforms, preprocessor tags and modules that may add or change anything the text does not show."""
        unseen = tuple(
            Deferred("macro", resource.type or resource.logical_id)
            for resource in self.resources.values()
            if not resource.type or is_module(resource.type)
        )
        return self.document.macros + unseen

    def looped(self, types: Iterable[str]) -> str | None:
        """The first loop that makes resources of any of the types in a number that only deploy time knows."""
        asked = {name.partition("#")[0] for name in types}
        for loop in self.source.loops:
            if any(name in self.resources and self.resources[name].type in asked for name in loop.members):
                return loop.name
        return None

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every Ref and GetAtt between resources, in template order; DependsOn is no reference.

        What SAM's Globals give to a resource it refers to itself.
        """
        found: list[Edge] = []
        for resource in self.resources.values():
            properties = resource.body.entries.get("Properties", Absent(resource.span))
            inherited = self.inherited(resource) or Absent(resource.span)
            found.extend(_edges(resource.logical_id, merged(properties, inherited), ()))
        return tuple(found)

    def inherited(self, resource: Resource) -> Map[Value] | None:
        """What SAM's Globals say of a resource, without the properties that its ``IgnoreGlobals`` names (``*``: all).

        https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
        """
        package, _, section = resource.type.rpartition("::")
        shared = self.globals_of(resource.logical_id, section)
        if package != "AWS::Serverless" or not isinstance(shared, Map):
            return None
        ignored = {name.text for name in strings(resource.attribute("IgnoreGlobals")) if isinstance(name, Scalar)}
        if "*" in ignored:
            return None
        kept = {name: value for name, value in shared.entries.items() if name not in ignored}
        return Map(kept, {name: span for name, span in shared.keys.items() if name not in ignored}, shared.span)

    def globals_of(self, logical_id: str, section: str) -> Value:
        """A section of SAM's Globals in the template that declares a resource."""
        stack = logical_id.rpartition(".")[0]
        found = self.document.globals.entries.get(f"{stack}.{section}" if stack else section)
        return Absent(self.document.globals.span) if found is None else found

    def words(self) -> Iterator[tuple[str, Value]]:
        """``Metadata.cfaudit`` of each template that the stack is made of, with the template's file."""
        for name, value in self.document.metadata.entries.items():
            stack, _, key = name.rpartition(".")
            if key == "cfaudit":
                parts = (part.path for part in self.source.parts if part.name == stack)
                yield next(parts, self.source.path), value

    @cached_property
    def edges_to(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that end in each resource."""
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.target, []).append(edge)
        return {target: tuple(edges) for target, edges in found.items()}

    @cached_property
    def edges_from(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that start in each resource."""
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.source, []).append(edge)
        return {source: tuple(edges) for source, edges in found.items()}

    def targets(self, value: Value, *types: str) -> tuple[Resource, ...]:
        """The declared resources a value names: by Ref or GetAtt, or by a physical name or ARN that is theirs.

        ``types`` restricts the answer; an empty answer says that the value names nothing that is declared here.
        """
        found: dict[str, Resource] = {}
        values = value.items if isinstance(value, Seq) else (value,)
        for item in values:
            if isinstance(item, (Scalar, Unknown)):
                named = list(self._referred(item)) if isinstance(item, Unknown) else []
                named = [resource for resource in named if not types or resource.type in types]
                for resource in named or self._named(item, types):
                    found[resource.logical_id] = resource
        return tuple(found.values())

    def target(self, value: Value, *types: str) -> Resource | None:
        """The first resource that ``targets`` finds."""
        return next(iter(self.targets(value, *types)), None)

    def _referred(self, value: Unknown) -> Iterator[Resource]:
        for logical_id in [reference.logical_id for reference in value.references] + sorted(value.mentions):
            if logical_id in self.resources:
                yield self.resources[logical_id]

    def _named(self, value: Scalar | Unknown, types: tuple[str, ...]) -> Iterator[Resource]:
        for service, name in names_in(rendered(value)):
            for resource in self.by_name.get(name, ()) if name else ():
                if (not types or resource.type in types) and service in ("", service_of(resource.type)):
                    yield resource

    @cached_property
    def _physical_names(self) -> tuple[tuple[Resource, str], ...]:
        found = []
        for resource in self.resources.values():
            path = NAME_PROPERTIES.get(resource.type)
            value = resource.at(path) if path else None
            if isinstance(value, (Scalar, Unknown)):
                found.append((resource, rendered(value)))
        return tuple(found)

    @cached_property
    def by_name(self) -> Mapping[str, tuple[Resource, ...]]:
        """The resources that bear each physical name, by its text as ``rendered`` writes it."""
        found: dict[str, list[Resource]] = {}
        for resource, name in self._physical_names:
            found.setdefault(name, []).append(resource)
        return {name: tuple(resources) for name, resources in found.items()}

    def _lines_of(self, file: str) -> tuple[str, ...]:
        """The lines of the template, or of a file beside it."""
        part = self.source.of(file)
        if file == part.path:
            return part.lines
        for local in (self.local, *(self.local_of(part.path) for part in self.source.parts)):
            found = local.named(file)
            if found:
                return tuple(found.text.splitlines())
        return ()

    def local_of(self, file: str) -> LocalFiles:
        """The files beside the template that is read from a file."""
        return beside(file) if any(part.path == file for part in self.source.parts) else self.local

    def excerpt(self, span: Span, limit: int = 4) -> str:
        """The lines a span covers, of the template or of a file beside it, at most ``limit``; indentation is cut."""
        read = self._lines_of(span.file)
        lines = [line.rstrip() for line in read[span.line - 1 : min(span.end_line, span.line - 1 + limit)]]
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[indent:] for line in lines)


def merged(own: Value, shared: Value) -> Value:
    """SAM's merge: maps key by key, lists one after the other, otherwise what the function says itself.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    """
    match own, shared:
        case Absent(), _:
            return own if isinstance(shared, Absent) else shared
        case Map(entries, keys, span), Map(defaults, default_keys):
            both = {name: merged(entries[name], defaults[name]) for name in entries if name in defaults}
            return Map({**defaults, **entries, **both}, {**default_keys, **keys}, span)
        case Seq(items, span), Seq(defaults):
            return Seq((*defaults, *items), span)
        case _:
            return own


def _edges(source: str, value: Value, path: tuple[str, ...]) -> Iterator[Edge]:
    match value:
        case Unknown(span):
            direct = {reference.logical_id for reference in value.references}
            for reference in value.references:
                yield Edge(source, reference.logical_id, reference.attribute, ".".join(path), span)
            for logical_id in sorted(value.mentions - direct):
                yield Edge(source, logical_id, None, ".".join(path), span)
        case Seq(items):
            for index, item in enumerate(items):
                yield from _edges(source, item, (*path, str(index)))
        case Map(entries):
            for name, item in entries.items():
                yield from _edges(source, item, (*path, name))
        case _:
            return


def declared(document: Document) -> dict[str, Resource]:
    """The resources of one resolved document by logical id, in template order."""
    found: dict[str, Resource] = {}
    for logical_id, body in document.resources.entries.items():
        if isinstance(body, Map) and not logical_id.startswith("Fn::"):
            kind = body.entries.get("Type")
            name = kind.text if isinstance(kind, Scalar) else ""
            found[logical_id] = Resource(logical_id, name, body, document.resources.keys[logical_id])
    return found
