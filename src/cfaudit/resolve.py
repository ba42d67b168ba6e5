"""Nodes and a scenario in, values out: what the template means, or Unknown.

A scenario is an assignment of parameters; under it each condition is true, false or undecided. Undecided conditions
are enumerated by ``scenarios``, so a resolver always knows which branch of an ``Fn::If`` it is in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple, TypeAlias, TypeGuard

from cfaudit.expand import LOOP, TRANSFORM, expand, extends
from cfaudit.nodes import (
    Absent,
    Call,
    Deferred,
    DeferredKind,
    Diagnostic,
    Map,
    Node,
    Part,
    Reference,
    Scalar,
    Seq,
    Source,
    Span,
    Unknown,
    Value,
    as_text,
    may_be,
    parts_of,
    same_text,
    spelled,
)

MAX_ASSIGNMENTS = 512
MAX_DECISIONS = 100_000
MAX_SCENARIOS = 16
MAX_CONDITION_DEPTH = 100

SAM = "AWS::Serverless-2016-10-31"

PSEUDO_PARAMETERS = frozenset(
    {
        "AWS::AccountId",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)

# CloudFormation's own transforms whose effect is known: SAM's resources are read as they are written, loops are
# expanded, a blue/green deployment changes what an update does, and the rotation of secrets adds nested stacks.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-reference.html
_KNOWN_TRANSFORMS = frozenset(
    {
        SAM,
        TRANSFORM,
        "AWS::CodeDeployBlueGreen",
        "AWS::SecretsManager-2020-07-23",
        "AWS::SecretsManager-2024-09-16",
    }
)

_SAM_MAKES = ("Serverless", "CodeDeployServiceRole", "ApiGatewayDomainName", "RecordSetGroup")

_HOLE = re.compile(r"\$\{(!?)([^{}]*)\}")
_DYNAMIC = re.compile(r"\{\{resolve:|\}\}")
_INDEX = re.compile(r"[0-9]{1,9}\Z")
_OTHER, _ANOTHER = _UNNAMED = "\0other", "\0another"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is assumed of deploy time: parameter values (text) and the truth of every condition it decides.

    ``open`` names parameters whose default is not taken. ``name`` is empty for the only scenario of a template whose
    conditions its parameters decide.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    open: frozenset[str] = frozenset()
    conditions: Mapping[str, bool] = field(default_factory=dict)
    region: str | None = None
    name: str = ""


class Document(NamedTuple):
    """A template under one scenario: every section resolved, inactive resources and outputs left out.

    ``inactive`` names the resources whose condition is false here; ``macros`` names the transforms that may add
    anything; ``rewritten`` says whether a transform or a loop may write into what is there: a key ``Fn::Transform`` or
    ``Fn::ForEach::…`` stands in each map that may have more members than it shows.
    """

    source: Source
    scenario: Scenario
    description: Value
    parameters: Map[Value]
    resources: Map[Value]
    outputs: Map[Value]
    metadata: Map[Value]
    inactive: frozenset[str]
    macros: tuple[Deferred, ...]
    globals: Map[Value]
    rewritten: bool = False


Scenarios: TypeAlias = tuple[tuple[Scenario, ...], tuple[Diagnostic, ...]]


def expanded(source: Source, scenario: Scenario) -> Source:
    """The template without the loops of AWS::LanguageExtensions, as far as the scenario decides what they repeat."""
    return expand(source, _Resolver(source, scenario).value) if extends(source) else source


def scenarios(source: Source, scenario: Scenario) -> Scenarios:
    """The distinct combinations of conditions that undecided parameters can reach, given ``scenario``'s parameters.

    One scenario where everything is decided; at most ``MAX_SCENARIOS``, with a diagnostic when the bound cuts.
    """
    return _enumerated(source, scenario, scenario)


def every_scenario(source: Source, scenario: Scenario) -> Scenarios:
    """The distinct combinations that any parameter values can reach; each with values that reach it.

    Parameters that are given stay as they are; every other is free, whatever its default. Bounded as ``scenarios``.
    """
    free = _members(source.root.entries.get("Parameters")).keys() - scenario.parameters.keys()
    return _enumerated(source, scenario, replace(scenario, open=frozenset(free)))


def _enumerated(source: Source, scenario: Scenario, asked: Scenario) -> Scenarios:
    said, source = source, expanded(source, scenario)
    conditions = source.root.entries.get("Conditions")
    if not isinstance(conditions, Map):
        return (scenario,), ()
    names = _used_conditions(source, conditions)
    if said is not source:
        used = {*names, *_used_conditions(said, conditions)}
        names = tuple(name for name in conditions.entries if name in used)
    base = _Conditions(source, conditions, asked, {})
    if None not in [base.decide(name) for name in names]:
        return (replace(scenario, conditions=base.vector()),), ()
    found: dict[tuple[bool | None, ...], tuple[dict[str, bool], dict[str, str]]] = {}
    cut = False
    bound = max(MAX_SCENARIOS, min(MAX_ASSIGNMENTS, MAX_DECISIONS // len(conditions.entries)))
    for count, assignment in enumerate(_assignments(base.candidates())):
        if count >= bound or len(found) >= MAX_SCENARIOS:
            cut = True
            break
        vector = _Conditions(source, conditions, asked, assignment).vector()
        values = _values(assignment) if asked.open else {}
        found.setdefault(tuple(vector.get(name) for name in names), (vector, values))
    span = source.root.keys["Conditions"]
    message = f"only {len(found)} combinations of conditions were judged; there may be more"
    notes = (Diagnostic("warning", message, span, "decide conditions with --param NAME=VALUE"),) if cut else ()
    undecided = [name for name in names if len({vector.get(name) for vector, _ in found.values()}) > 1]
    branches = tuple(
        replace(
            scenario,
            parameters={**scenario.parameters, **{name: text for name, text in values.items() if text not in _UNNAMED}},
            open=frozenset(name for name, text in values.items() if text in _UNNAMED),
            conditions=vector,
            name=_when(vector, undecided),
        )
        for vector, values in found.values()
    )
    return branches, notes


def _values(assignment: Mapping[_Hole, str]) -> dict[str, str]:
    """The parameters' values of an assignment."""
    return {hole[0].name: text for hole, text in assignment.items() if _is_parameter(hole)}


def _is_parameter(hole: _Hole) -> TypeGuard[tuple[Deferred]]:
    return len(hole) == 1 and isinstance(hole[0], Deferred) and hole[0].kind == "parameter"


def _when(conditions: Mapping[str, bool], names: Iterable[str]) -> str:
    return " and ".join(f"{name} is {'true' if conditions[name] else 'false'}" for name in names if name in conditions)


def resolve(source: Source, scenario: Scenario) -> Document:
    """What every section of a template means under a scenario that decides its conditions (see ``scenarios``)."""
    return _Resolver(expanded(source, scenario), scenario).document()


def as_written(document: Document) -> Document:
    """The document as if no transform and no loop wrote into what is there."""
    resources, outputs = _bare(document.resources), _bare(document.outputs)
    return document._replace(resources=resources, outputs=outputs, rewritten=False)


def _bare(map_: Map[Value]) -> Map[Value]:
    names = [name for name in map_.keys if name != "Fn::Transform" and not name.startswith(LOOP)]
    entries = {name: _bared(map_.entries[name]) for name in names if name in map_.entries}
    return Map(entries, {name: map_.keys[name] for name in names}, map_.span)


def _bared(value: Value) -> Value:
    match value:
        case Map():
            return _bare(value)
        case Seq(items, span):
            return Seq(tuple(_bared(item) for item in items), span)
        case _:
            return value


def meaning(node: Node, source: Source, scenario: Scenario) -> Value:
    """What one node of a template means under a scenario that decides its conditions."""
    return _Resolver(source, scenario).value(node)


# Conditions ----------------------------------------------------------------------------------------------------------


def _used_conditions(source: Source, conditions: Map[Node]) -> tuple[str, ...]:
    """The conditions that decide something: named by Fn::If or by a Condition attribute, in order of definition."""
    used: set[str] = set()
    for section in ("Resources", "Outputs", "Globals"):
        members = source.root.entries.get(section)
        if isinstance(members, Map):
            for member in members.entries.values():
                if isinstance(member, Map):
                    attribute = member.entries.get("Condition")
                    if isinstance(attribute, Scalar):
                        used.add(attribute.text)
                used.update(_ifs(member))
    return tuple(name for name in conditions.entries if name in used)


def _ifs(node: Node) -> Iterator[str]:
    match node:
        case Call("Fn::If", Seq((Scalar(name), *_)) as argument):
            yield name
            yield from _ifs(argument)
        case Call(_, argument):
            yield from _ifs(argument)
        case Seq(items):
            for item in items:
                yield from _ifs(item)
        case Map(entries):
            for value in entries.values():
                yield from _ifs(value)
        case _:
            return


_Hole: TypeAlias = tuple[Part, ...]
"""What a condition compares and deploy time fills in: the parts of an unknown value."""


def _assignments(candidates: Mapping[_Hole, tuple[str, ...]]) -> Iterator[dict[_Hole, str]]:
    """Texts for the holes: the first of each, the last of each, one hole changed at a time, then every combination.

    This order makes each condition come out both ways, as far as may be, before a bound can cut.
    """
    first = {hole: texts[0] for hole, texts in candidates.items()}
    yield first
    yield {hole: texts[-1] for hole, texts in candidates.items()}
    for hole, texts in candidates.items():
        for text in texts[1:]:
            yield {**first, hole: text}
    for combination in product(*candidates.values()):
        yield dict(zip(candidates, combination, strict=True))


class _Conditions:
    """Three-valued evaluation of the Conditions section under an assignment of what is compared.

    While a comparison is open it is remembered which holes it compares with which texts: the candidates.
    """

    def __init__(
        self, source: Source, conditions: Map[Node], scenario: Scenario, assignment: Mapping[_Hole, str]
    ) -> None:
        self._conditions = conditions
        self._resolver = _Resolver(source, scenario)
        self._parameters = _members(source.root.entries.get("Parameters"))
        self._assignment = assignment
        self._memo: dict[str, bool | None] = {}
        self._compared: dict[_Hole, dict[str, None]] = {}

    def decide(self, name: str, depth: int = 0) -> bool | None:
        """Truth of a condition; None when it is open, is not defined, or rests on itself."""
        if name not in self._memo:
            self._memo[name] = None
            node = self._conditions.entries.get(name)
            if node is not None:
                self._memo[name] = self._truth(node, depth)
        return self._memo[name]

    def vector(self) -> dict[str, bool]:
        """Every condition that is decided."""
        truths = {name: self.decide(name) for name in self._conditions.entries}
        return {name: truth for name, truth in truths.items() if truth is not None}

    def candidates(self) -> dict[_Hole, tuple[str, ...]]:
        """The texts worth trying for each open hole: those it is compared with, and one that it is not."""
        return {hole: self._worth_trying(hole, tuple(texts)) for hole, texts in self._compared.items()}

    def _worth_trying(self, hole: _Hole, compared: tuple[str, ...]) -> tuple[str, ...]:
        allowed = self._allowed(hole)
        default = self._default(hole)
        if not allowed and default is not None:
            other = () if default not in compared else (_OTHER,)
            return (default, *(text for text in compared if text not in (default, _OTHER)), *other)
        if not allowed:
            return (_OTHER, *(text for text in compared if text != _OTHER))
        others = [text for text in allowed if text not in compared]
        return (*others[:1], *(text for text in allowed if text in compared))

    def _default(self, hole: _Hole) -> str | None:
        definition = self._parameters.get(hole[0].name) if _is_parameter(hole) else None
        default = definition.entries.get("Default") if isinstance(definition, Map) else None
        return as_text(default) if isinstance(default, Scalar) else None

    def _allowed(self, hole: _Hole) -> tuple[str, ...]:
        match hole:
            case (Deferred("parameter", name),):
                definition = self._parameters.get(name)
                allowed = definition.entries.get("AllowedValues") if isinstance(definition, Map) else None
                items = allowed.items if isinstance(allowed, Seq) else ()
                return tuple(as_text(item) for item in items if isinstance(item, Scalar))
        return ()

    def _truth(self, node: Node, depth: int) -> bool | None:
        if depth > MAX_CONDITION_DEPTH:
            return None
        depth += 1
        match node:
            case Call("Condition", Scalar(name)) | Map({"Condition": Scalar(name)}):
                return self.decide(name, depth)
            case Call("Fn::Not", Seq((inner,))):
                value = self._truth(inner, depth)
                return None if value is None else not value
            case Call("Fn::And", Seq(items)):
                values = [self._truth(item, depth) for item in items]
                return False if False in values else None if None in values else True
            case Call("Fn::Or", Seq(items)):
                values = [self._truth(item, depth) for item in items]
                return True if True in values else None if None in values else False
            case Call("Fn::Equals", Seq((left, right))):
                return self._equals(node, self._resolver.value(left), self._resolver.value(right))
            case _:
                return self._free(node)

    def _equals(self, node: Node, left: Value, right: Value) -> bool | None:
        mine, other = self._known(left), self._known(right)
        if mine is not None and other is not None:
            return mine == other
        if same_text(left, right):
            return True
        match left, right:
            case Unknown(_, parts), Unknown(_, peers):
                self._compare(parts, *self._allowed(peers), _OTHER, _ANOTHER)
                self._compare(peers, *self._allowed(parts), _OTHER, _ANOTHER)
            case (Unknown(_, parts), _) if other is not None:
                self._compare(parts, other)
            case (_, Unknown(_, parts)) if mine is not None:
                self._compare(parts, mine)
            case _:
                return self._free(node)
        return None

    def _known(self, value: Value) -> str | None:
        match value:
            case Scalar(text):
                return text
            case Unknown(_, parts):
                return self._assignment.get(parts)
        return None

    def _compare(self, hole: _Hole, *texts: str) -> None:
        self._compared.setdefault(hole, {}).update(dict.fromkeys(texts))

    def _free(self, node: Node) -> bool | None:
        """A question no assignment of texts decides is tried both ways, the same way wherever it is asked."""
        hole = (Deferred("condition", "", expression=_expression(node)),)
        self._compare(hole, "true")
        chosen = self._assignment.get(hole)
        return None if chosen is None else chosen == "true"


# Transforms ----------------------------------------------------------------------------------------------------------


def macros(source: Source) -> Iterator[Deferred]:
    """The transforms that may add anything to the template: of the whole, or beside its resources."""
    root = source.root.entries
    for node in _listed(source.root):
        match node:
            case Scalar(name) if name not in _KNOWN_TRANSFORMS:
                yield Deferred("macro", name)
            case Map(entries):
                name_node = entries.get("Name")
                yield Deferred("macro", name_node.text if isinstance(name_node, Scalar) else "a macro")
            case Call(name):
                yield Deferred("macro", name)
    if "Fn::Transform" in root or isinstance(root.get("Resources"), Call):
        yield Deferred("macro", "Fn::Transform")
    for name, member in _members(root.get("Resources")).items():
        if name.startswith("Fn::") or isinstance(member, Call):
            yield Deferred("macro", member.name if isinstance(member, Call) else name)


def _listed(root: Map[Node]) -> tuple[Node | None, ...]:
    """The template's transforms."""
    listed = root.entries.get("Transform")
    return listed.items if isinstance(listed, Seq) else (listed,)


def may_be_declared(name: str, source: Source) -> bool:
    """Whether something that the text does not show may bear a name: what a macro, SAM, a module or a loop makes."""
    if any(loop.makes(name) for loop in source.loops) or next(macros(source), None):
        return True
    parameters = source.root.entries.get("Parameters")
    if isinstance(parameters, Call) or (isinstance(parameters, Map) and "Fn::Transform" in parameters.entries):
        return True
    made = _makers(source)
    return bool(made) and name.startswith(made)


def _makers(source: Source) -> tuple[str, ...]:
    """How the logical ids begin of what SAM and modules make.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/module-ref-resources.html
    """
    kinds = ((name, _type(body)) for name, body in _members(source.root.entries.get("Resources")).items())
    made = tuple(name for name, kind in kinds if kind.startswith("AWS::Serverless::") or is_module(kind))
    sam = any(isinstance(node, Scalar) and node.text == SAM for node in _listed(source.root))
    return (*made, *_SAM_MAKES) if sam else made


def _type(body: Node) -> str:
    return _text(body.entries.get("Type")) if isinstance(body, Map) else ""


def rewriting(root: Map[Node]) -> Iterator[tuple[str, Span]]:
    """The macros that get the whole template and may write anything, and where they are named."""
    for node in (*_listed(root), root.entries.get("Fn::Transform")):
        if node is not None and _rewrites(node):
            named = node.entries.get("Name") if isinstance(node, Map) else node
            yield named.text if isinstance(named, Scalar) else "in Transform", node.span


def _rewrites(transform: Node | None) -> bool:
    """Whether a transform may change what is written beside it; AWS::Include only adds."""
    match transform:
        case None:
            return False
        case Scalar(name) | Map({"Name": Scalar(name)}):
            return name not in _KNOWN_TRANSFORMS and name != "AWS::Include"
        case _:
            return True


# Values --------------------------------------------------------------------------------------------------------------


class _Resolver:
    def __init__(self, source: Source, scenario: Scenario) -> None:
        self.source = source
        self.scenario = scenario
        root = source.root.entries
        self._parameters = _members(root.get("Parameters"))
        self._mappings = _members(root.get("Mappings"))
        self._resources = _members(root.get("Resources"))
        self._rewritten = self._found_transform = False
        self._functions: dict[str, Callable[[Call], Value]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._getatt,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find,
            "Fn::ImportValue": self._import,
            "Fn::Base64": lambda call: self.value(call.argument),
            "Fn::ToJsonString": self._json,
            "Fn::Length": self._length,
        }

    def document(self) -> Document:
        root = self.source.root
        resources, inactive = self._conditional("Resources")
        outputs, _ = self._conditional("Outputs")
        missing = Absent(next(iter(root.keys.values()), root.span))
        description = root.entries.get("Description")
        return Document(
            source=self.source,
            scenario=self.scenario,
            description=missing if description is None else self.value(description),
            parameters=self._section("Parameters"),
            resources=resources,
            outputs=outputs,
            metadata=self._section("Metadata"),
            inactive=inactive,
            macros=tuple(macros(self.source)),
            globals=self._section("Globals"),
            rewritten=self._found_transform or bool(self.source.loops),
        )

    def _section(self, name: str) -> Map[Value]:
        node = self.source.root.entries.get(name)
        value = self.value(node) if node is not None else None
        return value if isinstance(value, Map) else Map({}, {}, self.source.root.keys.get(name, self.source.root.span))

    def _conditional(self, section: str) -> tuple[Map[Value], frozenset[str]]:
        node = self.source.root.entries.get(section)
        if not isinstance(node, Map):
            return Map({}, {}, self.source.root.keys.get(section, self.source.root.span)), frozenset()
        entries: dict[str, Value] = {}
        inactive: set[str] = set()
        self._rewritten = any(rewriting(self.source.root)) or _rewrites(node.entries.get("Fn::Transform"))
        for name, member in node.entries.items():
            condition = member.entries.get("Condition") if isinstance(member, Map) else None
            if isinstance(condition, Scalar) and self.scenario.conditions.get(condition.text) is False:
                inactive.add(name)
            else:
                entries[name] = self.value(member)
        self._rewritten = False
        return Map(entries, {name: node.keys[name] for name in entries}, node.span), frozenset(inactive)

    def value(self, node: Node) -> Value:
        """What one node means. A list loses its absent members; a map keeps their keys, not their entries."""
        match node:
            case Scalar(text, span, kind):
                if "{{resolve:" in text:
                    return _concatenation((text,), span)
                return node if kind != "bool" else Scalar(as_text(node), span, kind)
            case Map(entries, keys, span):
                if self._rewritten or "Fn::Transform" in entries:
                    return self._transformed(node)
                resolved = [(name, self.value(member)) for name, member in entries.items()]
                return Map({name: value for name, value in resolved if not isinstance(value, Absent)}, keys, span)
            case Seq(items, span):
                values = [self.value(item) for item in items]
                return Seq(tuple(value for value in values if not isinstance(value, Absent)), span)
            case Call(name):
                function = self._functions.get(name)
                return function(node) if function else self._opaque(node)

    def _transformed(self, node: Map[Node]) -> Map[Value]:
        """A map that a macro may add keys to: one in it or around it; AWS::Include touches nothing below its siblings.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-macros-author.html#template-macros-scope
        """
        self._found_transform = True
        around = self._rewritten
        self._rewritten = around or _rewrites(node.entries.get("Fn::Transform"))
        resolved = [(name, self.value(member)) for name, member in node.entries.items()]
        self._rewritten = around
        entries = {name: value for name, value in resolved if not isinstance(value, Absent)}
        return Map(entries, {"Fn::Transform": node.span, **node.keys}, node.span)

    def _opaque(self, call: Call) -> Unknown:
        """A function whose value only deploy time knows; it keeps what it mentions."""
        return self._hole("function" if call.known and call.name != "Fn::Transform" else "macro", call.name, call)

    def _hole(self, kind: DeferredKind, name: str, call: Call) -> Unknown:
        mentions = frozenset(mentioned(call, self._resources))
        return Unknown(call.span, (Deferred(kind, name, mentions, _expression(call.argument)),))

    def _ref(self, call: Call) -> Value:
        name = self.value(call.argument)
        return self._named(name.text, call.span) if isinstance(name, Scalar) else self._opaque(call)

    def _named(self, name: str, span: Span) -> Value:
        if name == "AWS::NoValue":
            return Absent(span)
        if name in self._resources:
            return Unknown(span, (Reference(name, None),))
        if name in self._parameters:
            return self._parameter(name, span)
        if name == "AWS::Region" and self.scenario.region:
            return Scalar(self.scenario.region, span)
        if is_pseudo(name, self.source):
            return Unknown(span, (Deferred("pseudo", name),))
        head = name.split(".", 1)[0]
        if head in self._resources:
            return Unknown(span, (Reference(head, name.partition(".")[2] or None),))
        return Unknown(span, (self._nameless(name),))

    def _nameless(self, name: str, of: str = "") -> Deferred:
        """A name, or an attribute ``of`` one, that the template does not declare; a transform or a loop may."""
        if "${" in name and extends(self.source):
            mentions = frozenset(each for each in self._resources if may_be(of or name, each))
            return Deferred("macro", name, mentions)
        return Deferred("undefined" if may_be_declared(name, self.source) else "missing", name)

    def _parameter(self, name: str, span: Span) -> Value:
        definition = self._parameters[name]
        kind = _text(definition.entries.get("Type")) if isinstance(definition, Map) else ""
        default = definition.entries.get("Default") if isinstance(definition, Map) else None
        given = self.scenario.parameters.get(name)
        text = given
        if given is None and isinstance(default, Scalar) and name not in self.scenario.open:
            text = as_text(default)
        if kind.startswith("AWS::SSM::Parameter::Value"):
            return Unknown(span, (Deferred("dynamic", f"ssm:{text or name}", expression=name),))
        if text is None:
            return Unknown(span, (Deferred("parameter", name),))
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            pieces = [piece.strip() for piece in text.split(",")] if text else []
            return Seq(tuple(Scalar(piece, span) for piece in pieces), span)
        return _concatenation((text,), span)

    def _getatt(self, call: Call) -> Value:
        match call.argument:
            case Scalar(text) if "." in text:
                head, _, attribute = text.partition(".")
                return self._attribute(head, attribute, call)
            case Seq((head_node, attribute_node)):
                named, value = self.value(head_node), self.value(attribute_node)
                if isinstance(named, Scalar) and isinstance(value, Scalar):
                    return self._attribute(named.text, value.text, call)
        return self._opaque(call)

    def _attribute(self, head: str, attribute: str, call: Call) -> Value:
        if head not in self._resources:
            return Unknown(call.span, (self._nameless(f"{head}.{attribute}", head),))
        return Unknown(call.span, (Reference(head, attribute),))

    def _sub(self, call: Call) -> Value:
        match call.argument:
            case Scalar(text):
                variables: Mapping[str, Node] = {}
            case Seq((Scalar(text), Map(entries))):
                variables = entries
            case Seq((Scalar(text),)):
                variables = {}
            case _:
                return self._opaque(call)
        pieces: list[Part] = []
        position = 0
        for match in _HOLE.finditer(text):
            pieces.append(text[position : match.start()])
            position = match.end()
            literal, name = match.groups()
            if literal:
                pieces.append(f"${{{name}}}")
            else:
                name = name.strip()
                value = self.value(variables[name]) if name in variables else self._named(name, call.span)
                pieces.extend(self._text_parts(value, name))
        pieces.append(text[position:])
        return _concatenation(pieces, call.span)

    def _text_parts(self, value: Value, name: str) -> tuple[Part, ...]:
        match value:
            case Seq(items):
                listed = [self._text_parts(item, name) for item in items]
                return tuple(part for index, parts in enumerate(listed) for part in ((",",) if index else ()) + parts)
            case Map():
                return (Deferred("function", name),)
            case _:
                return parts_of(value)

    def _join(self, call: Call) -> Value:
        match call.argument:
            case Seq((Scalar(delimiter), members)):
                values = self.value(members)
                if not isinstance(values, Seq):
                    return self._opaque(call)
            case _:
                return self._opaque(call)
        pieces: list[Part] = []
        for index, item in enumerate(values.items):
            if index:
                pieces.append(delimiter)
            pieces.extend(self._text_parts(item, "Fn::Join"))
        return _concatenation(pieces, call.span)

    def _split(self, call: Call) -> Value:
        match call.argument:
            case Seq((Scalar(delimiter), text_node)) if delimiter:
                value = self.value(text_node)
                if isinstance(value, Scalar):
                    return Seq(tuple(Scalar(piece, call.span) for piece in value.text.split(delimiter)), call.span)
        return self._opaque(call)

    def _select(self, call: Call) -> Value:
        match call.argument:
            case Seq((index_node, list_node)):
                index, values = self.value(index_node), self.value(list_node)
                if isinstance(index, Scalar) and _INDEX.match(index.text) and isinstance(values, Seq):
                    chosen = values.items[int(index.text) :][:1]
                    return _at(chosen[0], call.span) if chosen else self._opaque(call)
        return self._opaque(call)

    def _if(self, call: Call) -> Value:
        match call.argument:
            case Seq((Scalar(name), yes, no)):
                decided = self.scenario.conditions.get(name)
                if decided is not None:
                    chosen = self.value(yes if decided else no)
                    return Absent(call.span) if isinstance(chosen, Absent) else chosen
                return self._hole("condition", name, call)
        return self._opaque(call)

    def _find(self, call: Call) -> Value:
        """A mapping's literal, or ``DefaultValue`` where the keys lead to none."""
        match call.argument:
            case Seq((name_node, first_node, second_node, *rest)):
                keys = [self.value(node) for node in (name_node, first_node, second_node)]
                texts = [key.text for key in keys if isinstance(key, Scalar)]
                if len(texts) < 3:
                    return self._opaque(call)
                found = self._mapped(texts)
                match found, rest:
                    case Scalar(), _:
                        return _at(self.value(found), call.span)
                    case Seq(items), _ if all(isinstance(item, Scalar) for item in items):
                        return _at(self.value(found), call.span)
                    case None, [Map({"DefaultValue": default})]:
                        return self.value(default)
        return self._opaque(call)

    def _mapped(self, keys: list[str]) -> Node | None:
        """What stands in the Mappings section; a transform on the way is the answer."""
        found: Node | None = self._mappings.get(keys[0])
        for key in keys[1:]:
            if not isinstance(found, Map):
                return found if isinstance(found, Call) else None
            found = found.entries.get(key)
        return found

    def _import(self, call: Call) -> Value:
        name = spelled(parts_of(self.value(call.argument)))
        return Unknown(call.span, (Deferred("import", name or "?", expression=_expression(call.argument)),))

    def _json(self, call: Call) -> Value:
        pieces: list[Part] = []
        _dump(self.value(call.argument), pieces)
        return _concatenation(pieces, call.span)

    def _length(self, call: Call) -> Value:
        value = self.value(call.argument)
        return Scalar(str(len(value.items)), call.span, "int") if isinstance(value, Seq) else self._opaque(call)


def is_pseudo(name: str, source: Source) -> bool:
    """Whether a name is a pseudo parameter's, also of a stack of an application: ``Network.AWS::StackName``."""
    stack, _, own = name.rpartition(".")
    return own in PSEUDO_PARAMETERS and (not stack or any(part.name == stack for part in source.parts))


def is_made_by_sam(name: str) -> bool:
    """Whether a logical id is one that SAM gives to what it adds to any template."""
    return name.startswith(_SAM_MAKES)


def is_module(type_: str) -> bool:
    """Whether a resource type is a module: at deploy time its resources stand in its place.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/modules.html
    """
    return type_.endswith("::MODULE")


def holes(text: str) -> tuple[str, ...]:
    """The names that a text of Fn::Sub takes the place of."""
    return tuple(match[2].strip() for match in _HOLE.finditer(text) if not match[1])


def _members(node: Node | None) -> Mapping[str, Node]:
    return node.entries if isinstance(node, Map) else {}


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _at(value: Value, span: Span) -> Value:
    """The same value, standing where it is used: evidence points at the use, not at the mapping or list."""
    return value if isinstance(value, Absent) else replace(value, span=span)


def _concatenation(pieces: Iterable[Part], span: Span) -> Value:
    """Text and holes as one value; a dynamic reference in it is a hole."""
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece != "":
            parts.append(piece)
    if any("{{resolve:" in part for part in parts if isinstance(part, str)):
        parts = _dynamic(parts)
    if all(isinstance(part, str) for part in parts):
        return Scalar("".join(part for part in parts if isinstance(part, str)), span)
    return Unknown(span, tuple(parts))


def _dynamic(parts: Iterable[Part]) -> list[Part]:
    """The parts with each ``{{resolve:service:reference}}``, holes inside it included, made one hole.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
    """
    outside: list[Part] = []
    inside: list[Part] | None = None
    for part in parts:
        position = 0
        for match in _DYNAMIC.finditer(part) if isinstance(part, str) else ():
            if inside is None and match[0] != "}}":
                outside.append(match.string[position : match.start()])
                inside, position = [], match.end()
            elif inside is not None and match[0] == "}}":
                inside.append(match.string[position : match.start()])
                mentions = Unknown(_NOWHERE, tuple(inside)).mentions
                outside.append(Deferred("dynamic", spelled(inside), mentions))
                inside, position = None, match.end()
        (outside if inside is None else inside).append(part[position:] if isinstance(part, str) else part)
    if inside is not None:
        outside += ["{{resolve:", *inside]
    return [part for part in outside if part != ""]


_NOWHERE = Span("", 1, 1, 1, 1)


def _expression(node: Node) -> str:
    """One text per meaning of a node, whatever its form and place."""
    match node:
        case Scalar(text):
            return json.dumps(text)
        case Seq(items):
            return f"[{','.join([_expression(item) for item in items])}]"
        case Map(entries):
            return f"{{{','.join([f'{json.dumps(key)}:{_expression(item)}' for key, item in entries.items()])}}}"
        case Call(name, argument):
            return f"{name}({_expression(argument)})"


def _dump(value: Value, pieces: list[Part]) -> None:
    """Append the JSON text of a value, its holes kept as holes."""
    match value:
        case Scalar(text, _, kind):
            literal = kind in ("int", "float") or (kind == "bool" and text in ("true", "false"))
            pieces.append("null" if kind == "null" else text if literal and text else json.dumps(text))
        case Unknown(_, parts):
            pieces += ['"', *(json.dumps(part)[1:-1] if isinstance(part, str) else part for part in parts), '"']
        case Seq(items):
            pieces.append("[")
            for index, item in enumerate(items):
                pieces.append("," if index else "")
                _dump(item, pieces)
            pieces.append("]")
        case Map(entries):
            pieces.append("{")
            for index, (key, item) in enumerate(entries.items()):
                pieces.append(f"{',' if index else ''}{json.dumps(key)}:")
                _dump(item, pieces)
            pieces.append("}")
        case Absent():
            pieces.append("null")


def mentioned(node: Node, resources: Container[str]) -> Iterator[str]:
    """The names of some resources or parameters that a node refers to, through any function."""
    match node:
        case Call("Ref", Scalar(text)) | Call("Fn::GetAtt", (Scalar(text) | Seq((Scalar(text), *_)))):
            if text.split(".", 1)[0] in resources:
                yield text.split(".", 1)[0]
        case Call("Fn::Sub", argument):
            texts = argument.items if isinstance(argument, Seq) else (argument,)
            for item in texts:
                if isinstance(item, Scalar):
                    names = (name.split(".", 1)[0] for name in holes(item.text))
                    yield from (name for name in names if name in resources)
                else:
                    yield from mentioned(item, resources)
        case Call(_, argument):
            yield from mentioned(argument, resources)
        case Seq(items):
            for item in items:
                yield from mentioned(item, resources)
        case Map(entries):
            for item in entries.values():
                yield from mentioned(item, resources)
        case Scalar():
            return
