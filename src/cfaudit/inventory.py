"""A Template and a profile's components in, what fills each component out.

One resource fills one component. Evidence counts in the order of ``TIERS``; within a tier the matching is maximum, and
the same whatever the order of the template. Each tier's matches feed the structure of the next: a role is found by the
function that runs as it, a log group by the function that writes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from cfaudit.finding import Severity
from cfaudit.model.declarations import Resource
from cfaudit.model.invocations import invoked
from cfaudit.model.names import NAME_PROPERTIES
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value
from cfaudit.rule import RULES, Plain, RuleError

TIERS = ("structure", "only", "name", "logical id", "description", "type", "sole")

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


@dataclass(frozen=True, slots=True)
class Component:
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


@dataclass(frozen=True, slots=True)
class Match:
    """What fills a component: logical ids, the evidence that decided it, and whether a domain word was part of it."""

    component: Component
    logical_ids: tuple[str, ...]
    matched_by: str
    domain: bool


class Facet(NamedTuple):
    """What can fill a component: a resource, or what SAM makes of it (the role of a function, the routes of an API)."""

    logical_id: str
    part: str = ""


Matches: TypeAlias = Mapping[str, Match | None]


def components_of(rows: Mapping[str, Plain]) -> tuple[Component, ...]:
    """The components of a profile's ``components`` map. Raises ``RuleError`` for one of the wrong shape."""
    return tuple(_component(name, fields) for name, fields in rows.items())


def _component(name: str, fields: Plain) -> Component:
    if not isinstance(fields, dict) or set(fields) - set(Component.__slots__):
        raise RuleError(RULES / "profiles", 1, f"the component {name!r} has fields that no component has")
    structure = fields.get("structure")
    way = next(iter(structure.items())) if isinstance(structure, dict) else None
    if way is not None and way[0] not in STRUCTURES:
        raise RuleError(RULES / "profiles", 1, f"the component {name!r} has a structure that is not known: {way[0]!r}")
    return Component(
        id=name,
        title=str(fields["title"]),
        types=_words(fields.get("types")),
        severity=Severity(fields["severity"]),
        requirement=" ".join(str(fields["requirement"]).split()),
        words=_words(fields.get("words")),
        unless=_words(fields.get("unless")),
        structure=(way[0], str(way[1])) if way else None,
        generic=fields.get("generic") is True,
        rule=str(fields["rule"]) if fields.get("rule") else None,
    )


def _words(value: Plain) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


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
        self.texts = _Texts(template)
        self.found: dict[str, Match] = {}
        self._claimed: set[Facet] = set()
        self._facets = {component.id: tuple(_facets(template, component)) for component in components}

    def bind(self, bind: Mapping[str, str]) -> None:
        """The configuration's word, before all evidence."""
        for component in self.components:
            logical_id = bind.get(component.id, "")
            if logical_id in self.template.resources:
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
            return (self._rank(component, facet), "type") if component.generic else None
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

    def _rank(self, component: Component, facet: Facet) -> int:
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
        texts = " ".join(text for held in ("name", "logical id", "description") for _, text in self.texts.of(held, facet))
        return any(word in texts for word in DOMAIN_WORDS)


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


# What can fill a component -------------------------------------------------------------------------------------------


def _facets(template: Template, component: Component) -> Iterator[Facet]:
    """The resources of a component's types, and what SAM makes of its own types."""
    for kind in component.types:
        base, _, part = kind.partition("#")
        if part == "route":
            yield from dict.fromkeys(Facet(route.logical_id, _segment(route.path)) for route in template.routes)
            continue
        for resource in template.of(base):
            wanted = _WANTED.get((base, component.id))
            if wanted is None or wanted(template, resource):
                yield Facet(resource.logical_id, part)


def _segment(path: str) -> str:
    """The last fixed segment of a route: what the route is about."""
    fixed = [segment for segment in path.split("/") if segment and not segment.startswith("{")]
    return "/" + fixed[-1].lower() if fixed else "/"


def _text(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else value.known_text if isinstance(value, Unknown) else ""


def _invoked_by_api(template: Template, permission: Resource) -> bool:
    return _text(permission.at("Principal")).startswith("apigateway.")


def _is_schedule(template: Template, resource: Resource) -> bool:
    """A rule with a schedule that may invoke its target: by the function's permission, or by a role."""
    if not _text(resource.at("ScheduleExpression")):
        return False
    targets = resource.at("Targets")
    for target in targets.items if isinstance(targets, Seq) else ():
        arn = target.entries.get("Arn") if isinstance(target, Map) else None
        found = invoked(template, arn) if arn is not None else None
        held = (*template.permissions_of.get(found.function, ()), *template.permissions_of.get("", ())) if found else ()
        if found is not None and all(permission.lets("events") is False for permission in held):
            return False
    return isinstance(targets, Seq)


def _is_http(template: Template, api: Resource) -> bool:
    return _text(api.at("ProtocolType")) != "WEBSOCKET"


def _has_schedule_event(template: Template, function: Resource) -> bool:
    return any(kind in ("Schedule", "ScheduleV2", "CloudWatchEvent", "EventBridgeRule") for kind in _events(function))


def _has_api_event(template: Template, function: Resource) -> bool:
    return any(kind in ("Api", "HttpApi") for kind in _events(function))


def _events(function: Resource) -> Iterator[str]:
    events = function.at("Events")
    for event in events.entries.values() if isinstance(events, Map) else ():
        kind = event.entries.get("Type") if isinstance(event, Map) else None
        if isinstance(kind, Scalar):
            yield kind.text


def _has_authorizer(template: Template, api: Resource) -> bool:
    authorizers = api.at("Auth.Authorizers")
    return isinstance(authorizers, Map) and bool(authorizers.entries)


def _has_own_role(template: Template, resource: Resource) -> bool:
    principal = template.principals.get(resource.logical_id)
    return principal is not None


_WANTED: Mapping[tuple[str, str], Callable[[Template, Resource], bool]] = {
    ("AWS::Lambda::Permission", "api-invoke-permission"): _invoked_by_api,
    ("AWS::ApiGatewayV2::Api", "rest-api"): _is_http,
    ("AWS::Serverless::Function", "rest-api"): _has_api_event,
    ("AWS::Serverless::Function", "api-deployment"): _has_api_event,
    ("AWS::Serverless::Function", "api-invoke-permission"): _has_api_event,
    ("AWS::Events::Rule", "deadline-rule"): _is_schedule,
    ("AWS::Serverless::Function", "deadline-rule"): _has_schedule_event,
    ("AWS::Serverless::Api", "authorizer"): _has_authorizer,
    ("AWS::Serverless::HttpApi", "authorizer"): _has_authorizer,
    ("AWS::Serverless::Function", "campaign-role"): _has_own_role,
    ("AWS::Serverless::Function", "payment-role"): _has_own_role,
    ("AWS::Serverless::Function", "screening-role"): _has_own_role,
    ("AWS::Serverless::StateMachine", "workflow-role"): _has_own_role,
}
"""What a resource of a type must also have to fill a component."""


# Structure -----------------------------------------------------------------------------------------------------------


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
    location = workgroup.at("WorkGroupConfiguration.ResultConfiguration.OutputLocation")
    text = _text(location)
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

# Names ---------------------------------------------------------------------------------------------------------------

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


class _Texts:
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
                text = _text(resource.at(path))
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
            text = _text(resource.at(path)).replace("\0", "")
            if text:
                yield f"{path} {text!r}", text.lower()
        schema = resource.at("KeySchema")
        for item in schema.items if isinstance(schema, Seq) else ():
            name = _text(item.entries["AttributeName"]) if isinstance(item, Map) and "AttributeName" in item.entries else ""
            if name:
                yield f"key {name}", name.lower()
        primary = _text(resource.at("PrimaryKey.Name"))
        if primary:
            yield f"key {primary}", primary.lower()
        code = _text(resource.attribute("Metadata.cfaudit.code"))
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
            text = f"{name} {_text(description)}" if description is not None else name
            found.setdefault(value.references[0].logical_id, []).append(text)
    return found
