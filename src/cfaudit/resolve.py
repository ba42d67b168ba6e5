"""Nodes and a scenario in, values out: what the template means, or Unknown.

A scenario is an assignment of parameters; under it each condition is true, false or undecided. Undecided conditions
are enumerated by ``scenarios``, so a resolver always knows which branch of an ``Fn::If`` it is in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from cfaudit.nodes import (
    Absent,
    Call,
    Deferred,
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
    parts_of,
    truth,
)

MAX_ASSIGNMENTS = 512
MAX_SCENARIOS = 16
MAX_CONDITION_DEPTH = 32

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

_HOLE = re.compile(r"\$\{(!?)\s*([^{}]*?)\s*\}")
_DYNAMIC = re.compile(r"\{\{resolve:([a-z-]+):([^{}]*)\}\}")
_OTHER = "\0other"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is assumed of deploy time: parameter values (text) and the truth of every condition it decides.

    ``name`` is empty for the only scenario of a template whose conditions its parameters decide.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    region: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A template under one scenario: every section resolved, inactive resources and outputs left out.

    ``inactive`` names the resources whose condition is false here; ``macros`` names the transforms whose effect the
    template's text does not show.
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


def scenarios(source: Source, scenario: Scenario) -> tuple[tuple[Scenario, ...], tuple[Diagnostic, ...]]:
    """The distinct combinations of conditions that undecided parameters can reach, given ``scenario``'s parameters.

    One scenario where everything is decided; at most ``MAX_SCENARIOS``, with a diagnostic when the bound cuts.
    """
    conditions = source.root.entries.get("Conditions")
    if not isinstance(conditions, Map):
        return (scenario,), ()
    names = _used_conditions(source, conditions)
    base = _Conditions(source, conditions, scenario, {})
    if all(base.decide(name) is not None for name in names):
        return (replace(scenario, conditions={name: bool(base.decide(name)) for name in conditions.entries}),), ()
    found: dict[tuple[bool, ...], dict[str, bool]] = {}
    cut = False
    for count, assignment in enumerate(_assignments(base, names)):
        if count >= MAX_ASSIGNMENTS or len(found) >= MAX_SCENARIOS:
            cut = True
            break
        decided = _Conditions(source, conditions, scenario, assignment)
        vector = {name: bool(decided.decide(name)) for name in conditions.entries}
        found.setdefault(tuple(vector[name] for name in names), vector)
    span = source.root.keys["Conditions"]
    message = f"only {len(found)} combinations of conditions were judged; more exist"
    notes = (Diagnostic("warning", message, span, "decide conditions with --param NAME=VALUE"),) if cut else ()
    undecided = [name for name in names if len({vector[name] for vector in found.values()}) > 1]
    return tuple(replace(scenario, conditions=vector, name=_when(vector, undecided)) for vector in found.values()), notes


def _when(conditions: Mapping[str, bool], names: Iterable[str]) -> str:
    return " and ".join(f"{name} is {'true' if conditions[name] else 'false'}" for name in names)


def resolve(source: Source, scenario: Scenario) -> Document:
    """What every section of a template means under a scenario that decides its conditions (see ``scenarios``)."""
    return _Resolver(source, scenario).document()


# Conditions ----------------------------------------------------------------------------------------------------------


def _used_conditions(source: Source, conditions: Map[Node]) -> tuple[str, ...]:
    """The conditions that decide something: named by Fn::If or by a Condition attribute, in order of definition."""
    used: set[str] = set()
    for section in ("Resources", "Outputs"):
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


def _assignments(base: _Conditions, names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Assignments of the names that undecided conditions compare, in a fixed order."""
    for name in names:
        base.decide(name)
    candidates = {name: tuple(values) for name, values in sorted(base.asked.items())}
    for values in product(*candidates.values()):
        yield dict(zip(candidates, values, strict=True))


class _Conditions:
    """Three-valued evaluation of the Conditions section under an assignment of what is compared.

    ``asked`` collects the open names and, for each, the values worth trying. A comparison that no assignment can
    decide becomes a name of its own with the values true and false.
    """

    def __init__(
        self, source: Source, conditions: Map[Node], scenario: Scenario, assignment: Mapping[str, str]
    ) -> None:
        self._conditions = conditions
        self._resolver = _Resolver(source, scenario)
        self._parameters = source.root.entries.get("Parameters")
        self._assignment = assignment
        self._memo: dict[str, bool | None] = {}
        self.asked: dict[str, dict[str, None]] = {}

    def decide(self, name: str, depth: int = 0) -> bool | None:
        """Truth of a condition, None when it is open or is not defined."""
        if name not in self._memo:
            self._memo[name] = None
            node = self._conditions.entries.get(name)
            if node is not None and depth <= MAX_CONDITION_DEPTH:
                self._memo[name] = self._truth(node, depth)
        return self._memo[name]

    def _truth(self, node: Node, depth: int) -> bool | None:
        match node:
            case Call("Condition", Scalar(name)):
                return self.decide(name, depth + 1)
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
                return self._equals(left, right)
            case _:
                return self._free(node)

    def _equals(self, left: Node, right: Node) -> bool | None:
        first, second = self._text(left), self._text(right)
        if first is not None and second is not None:
            return first == second
        mine, other = self._resolver.value(left), self._resolver.value(right)
        if parts_of(mine) and parts_of(mine) == parts_of(other):
            return True
        for hole, known in ((mine, second), (other, first)):
            name = _sole_name(hole)
            if name and known is not None:
                self._ask(name, known)
                return None
        names = [name for name in (_sole_name(mine), _sole_name(other)) if name]
        if len(names) == 2:
            for name, peer in zip(names, reversed(names), strict=True):
                self._ask(name, f"\0{peer}")
                self._ask(name, f"\0{name}")
            return None
        return self._free(left)

    def _text(self, node: Node) -> str | None:
        value = self._resolver.value(node)
        if isinstance(value, Scalar):
            return value.text
        name = _sole_name(value)
        return self._assignment.get(name) if name else None

    def _ask(self, name: str, value: str) -> None:
        allowed = self._allowed(name)
        values = self.asked.setdefault(name, dict.fromkeys(allowed or (_OTHER,)))
        if not allowed:
            values[value] = None

    def _allowed(self, name: str) -> tuple[str, ...]:
        definition = self._parameters.entries.get(name) if isinstance(self._parameters, Map) else None
        allowed = definition.entries.get("AllowedValues") if isinstance(definition, Map) else None
        items = allowed.items if isinstance(allowed, Seq) else ()
        return tuple(item.text for item in items if isinstance(item, Scalar))

    def _free(self, node: Node) -> bool | None:
        key = f"\0{node.span.line}:{node.span.column}"
        self.asked.setdefault(key, {"true": None, "false": None})
        chosen = self._assignment.get(key)
        return None if chosen is None else chosen == "true"


def _sole_name(value: Value) -> str | None:
    match value:
        case Unknown(_, (Deferred(kind, name),)) if kind in ("parameter", "pseudo", "import", "dynamic"):
            return name
        case _:
            return None


# Values --------------------------------------------------------------------------------------------------------------


class _Resolver:
    def __init__(self, source: Source, scenario: Scenario) -> None:
        self.source = source
        self.scenario = scenario
        root = source.root.entries
        self._parameters = _members(root.get("Parameters"))
        self._mappings = _members(root.get("Mappings"))
        self._resources = _members(root.get("Resources"))
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
        macros = tuple(self._macros())
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
            macros=macros,
            globals=self._section("Globals"),
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
        for name, member in node.entries.items():
            condition = member.entries.get("Condition") if isinstance(member, Map) else None
            if isinstance(condition, Scalar) and self.scenario.conditions.get(condition.text) is False:
                inactive.add(name)
            else:
                entries[name] = self.value(member)
        return Map(entries, {name: node.keys[name] for name in entries}, node.span), frozenset(inactive)

    def _macros(self) -> Iterator[Deferred]:
        transform = self.source.root.entries.get("Transform")
        for node in transform.items if isinstance(transform, Seq) else (transform,):
            match node:
                case Scalar(name) if name not in ("AWS::Serverless-2016-10-31", "AWS::LanguageExtensions"):
                    yield Deferred("macro", name)
                case Map(entries):
                    name_node = entries.get("Name")
                    yield Deferred("macro", name_node.text if isinstance(name_node, Scalar) else "a macro")
                case Call(name):
                    yield Deferred("macro", name)
        for name, member in self._resources.items():
            if name.startswith("Fn::") or isinstance(member, Call):
                yield Deferred("macro", name if name.startswith("Fn::") else "a preprocessor's tag")

    def value(self, node: Node) -> Value:
        """What one node means. A list loses its absent members; a map keeps their keys, not their entries."""
        match node:
            case Scalar():
                return _dynamic(node) if "{{resolve:" in node.text else node
            case Map(entries, keys, span):
                resolved = {name: self.value(member) for name, member in entries.items()}
                present = {name: value for name, value in resolved.items() if not isinstance(value, Absent)}
                return Map(present, keys, span)
            case Seq(items, span):
                values = [self.value(item) for item in items]
                return Seq(tuple(value for value in values if not isinstance(value, Absent)), span)
            case Call(name):
                function = self._functions.get(name)
                return function(node) if function else self._opaque(node)

    def _opaque(self, call: Call) -> Unknown:
        """A function whose value only deploy time knows; it keeps what it mentions."""
        kind = "function" if call.known and call.name != "Fn::Transform" else "macro"
        mentions = frozenset(_mentioned(call.argument, self._resources))
        return Unknown(call.span, (Deferred("macro" if kind == "macro" else "function", call.name, mentions),))

    def _ref(self, call: Call) -> Value:
        return self._named(call.argument.text, call.span) if isinstance(call.argument, Scalar) else self._opaque(call)

    def _named(self, name: str, span: Span) -> Value:
        if name == "AWS::NoValue":
            return Absent(span)
        if name in self._resources:
            return Unknown(span, (Reference(name, None),))
        if name in self._parameters:
            return self._parameter(name, span)
        if name == "AWS::Region" and self.scenario.region:
            return Scalar(self.scenario.region, span)
        if name in PSEUDO_PARAMETERS:
            return Unknown(span, (Deferred("pseudo", name),))
        head = name.split(".", 1)[0]
        if head in self._resources:
            return Unknown(span, (Reference(head, name.partition(".")[2] or None),))
        return Unknown(span, (Deferred("undefined", name),))

    def _parameter(self, name: str, span: Span) -> Value:
        definition = self._parameters[name]
        kind = _text(definition.entries.get("Type")) if isinstance(definition, Map) else ""
        default = definition.entries.get("Default") if isinstance(definition, Map) else None
        given = self.scenario.parameters.get(name)
        if given is None and kind.startswith("AWS::SSM::Parameter::Value"):
            return Unknown(span, (Deferred("dynamic", f"ssm:{_text(default)}" if default else f"ssm:{name}"),))
        if given is None and not isinstance(default, Scalar):
            return Unknown(span, (Deferred("parameter", name),))
        text = given if given is not None else _text(default)
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            pieces = [piece.strip() for piece in text.split(",")] if text else []
            return Seq(tuple(Scalar(piece, span) for piece in pieces), span)
        return _dynamic(Scalar(text, span)) if "{{resolve:" in text else Scalar(text, span)

    def _getatt(self, call: Call) -> Value:
        match call.argument:
            case Scalar(text) if "." in text:
                head, _, attribute = text.partition(".")
                return self._attribute(head, attribute, call)
            case Seq((Scalar(head), attribute_node)):
                value = self.value(attribute_node)
                return self._attribute(head, value.text, call) if isinstance(value, Scalar) else self._opaque(call)
            case _:
                return self._opaque(call)

    def _attribute(self, head: str, attribute: str, call: Call) -> Value:
        if head not in self._resources:
            return Unknown(call.span, (Deferred("undefined", f"{head}.{attribute}"),))
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
                value = self.value(variables[name]) if name in variables else self._named(name, call.span)
                pieces.extend(self._text_parts(value, name))
        pieces.append(text[position:])
        return _concatenation(pieces, call.span)

    def _text_parts(self, value: Value, name: str) -> tuple[Part, ...]:
        match value:
            case Scalar(text):
                return (text,)
            case Unknown(_, parts):
                return parts
            case Seq(items) if all(isinstance(item, Scalar) for item in items):
                return (",".join(item.text for item in items if isinstance(item, Scalar)),)
            case _:
                return (Deferred("function", name),)

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
                if isinstance(index, Scalar) and index.text.isdigit() and isinstance(values, Seq):
                    if int(index.text) < len(values.items):
                        return _at(values.items[int(index.text)], call.span)
        return self._opaque(call)

    def _if(self, call: Call) -> Value:
        match call.argument:
            case Seq((Scalar(name), yes, no)):
                decided = self.scenario.conditions.get(name)
                if decided is not None:
                    chosen = self.value(yes if decided else no)
                    return Absent(call.span) if isinstance(chosen, Absent) else chosen
                mentions = frozenset(_mentioned(call.argument, self._resources))
                return Unknown(call.span, (Deferred("condition", name, mentions),))
        return self._opaque(call)

    def _find(self, call: Call) -> Value:
        match call.argument:
            case Seq((name_node, first_node, second_node, *rest)):
                keys = [self.value(node) for node in (name_node, first_node, second_node)]
                texts = [key.text for key in keys if isinstance(key, Scalar)]
                if len(texts) == 3:
                    found: Node | None = self._mappings.get(texts[0])
                    for text in texts[1:]:
                        found = found.entries.get(text) if isinstance(found, Map) else None
                    if found is not None:
                        return _at(self.value(found), call.span)
                    match rest:
                        case [Map(entries)] if "DefaultValue" in entries:
                            return self.value(entries["DefaultValue"])
        return self._opaque(call)

    def _import(self, call: Call) -> Value:
        value = self.value(call.argument)
        name = "".join(part if isinstance(part, str) else "*" for part in parts_of(value)) or "?"
        return Unknown(call.span, (Deferred("import", name),))

    def _json(self, call: Call) -> Value:
        pieces: list[Part] = []
        _dump(self.value(call.argument), pieces)
        return _concatenation(pieces, call.span)

    def _length(self, call: Call) -> Value:
        value = self.value(call.argument)
        return Scalar(str(len(value.items)), call.span, "int") if isinstance(value, Seq) else self._opaque(call)


def _members(node: Node | None) -> Mapping[str, Node]:
    return node.entries if isinstance(node, Map) else {}


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _at(value: Value, span: Span) -> Value:
    """The same value, standing where it is used: evidence points at the use, not at the mapping or list."""
    return value if isinstance(value, Absent) else replace(value, span=span)


def _dynamic(scalar: Scalar) -> Value:
    """Text with ``{{resolve:service:reference}}`` in it, its dynamic references as holes."""
    pieces: list[Part] = []
    position = 0
    for match in _DYNAMIC.finditer(scalar.text):
        pieces += [scalar.text[position : match.start()], Deferred("dynamic", f"{match[1]}:{match[2]}")]
        position = match.end()
    pieces.append(scalar.text[position:])
    return _concatenation(pieces, scalar.span)


def _concatenation(pieces: Iterable[Part], span: Span) -> Value:
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece != "":
            parts.append(piece)
    if all(isinstance(part, str) for part in parts):
        text = "".join(part for part in parts if isinstance(part, str))
        return _dynamic(Scalar(text, span)) if _DYNAMIC.search(text) else Scalar(text, span)
    return Unknown(span, tuple(parts))


def _dump(value: Value, pieces: list[Part]) -> None:
    """Append the JSON text of a value, its holes kept as holes."""
    match value:
        case Scalar(text, _, kind):
            literal = kind in ("int", "float", "null") or (kind == "bool" and text in ("true", "false"))
            pieces.append(text if literal and text else json.dumps(text))
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


def _mentioned(node: Node, resources: Mapping[str, Node]) -> Iterator[str]:
    """Logical ids that a node refers to, through any function."""
    match node:
        case Call("Ref", Scalar(text)) | Call("Fn::GetAtt", (Scalar(text) | Seq((Scalar(text), *_)))):
            if text.split(".", 1)[0] in resources:
                yield text.split(".", 1)[0]
        case Call("Fn::Sub", argument):
            texts = argument.items if isinstance(argument, Seq) else (argument,)
            for item in texts:
                if isinstance(item, Scalar):
                    names = (match[2].split(".", 1)[0] for match in _HOLE.finditer(item.text) if not match[1])
                    yield from (name for name in names if name in resources)
                else:
                    yield from _mentioned(item, resources)
        case Call(_, argument):
            yield from _mentioned(argument, resources)
        case Seq(items):
            for item in items:
                yield from _mentioned(item, resources)
        case Map(entries):
            for item in entries.values():
                yield from _mentioned(item, resources)
        case Scalar():
            return
