"""Resources in, Step Functions workflows out: every state with what it calls, where it leads and what it reads.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html,
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-statemachine.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.embedded import Malformed, Placeholder, Reading, Unread, from_file, from_node, from_value
from cfaudit.model.iam import role_of
from cfaudit.model.integrations import MACHINE_TYPES, ServiceCall
from cfaudit.model.states import Catch, Language, Problem, Scope, State, Transition, grows, language_of, read
from cfaudit.nodes import Absent, Map, Node, Scalar, Span, Unknown, Value

Status: TypeAlias = Literal["readable", "unreadable", "broken"]


@dataclass(frozen=True)
class Workflow:
    """A state machine.

    ``status`` says whether its definition can be read: ``unreadable`` when it stands elsewhere or only deploy time
    knows it, ``broken`` when it is no document whatever deploy time fills in; ``reason`` says why, ``hint`` what mends
    it. ``span`` is where the definition stands, or where it breaks; ``property_path`` is the property that holds it.
    ``scopes[0]`` are its own states; ``states`` holds the nested ones too, by key. ``placeholders`` are the ``${name}``
    of the definition that nothing fills.
    """

    resource: Resource
    principal: str | None
    status: Status
    reason: str
    hint: str
    span: Span
    property_path: str
    definition: Map[Value] | None
    scopes: tuple[Scope, ...]
    states: Mapping[str, State]
    problems: tuple[Problem, ...]
    placeholders: tuple[Placeholder, ...]

    @property
    def logical_id(self) -> str:
        """The resource's logical id."""
        return self.resource.logical_id

    @property
    def readable(self) -> bool:
        """Whether its states are known."""
        return self.status == "readable"

    def at(self, name: str) -> Value:
        """A member of the definition itself: ``Comment``, ``TimeoutSeconds``, ``Version`` …"""
        if self.definition is None:
            return Absent(self.span)
        return self.definition.entries.get(name, Absent(self.definition.keys.get(name, self.span)))

    @property
    def language(self) -> Language:
        """Its query language."""
        return language_of(self.definition, "JSONPath") if self.definition else "JSONPath"

    @property
    def express(self) -> bool | None:
        """Whether it is an Express workflow; None when deploy time decides."""
        serverless = self.resource.type == "AWS::Serverless::StateMachine"
        match self.resource.at("Type" if serverless else "StateMachineType"):
            case Scalar(text):
                return text.upper() == "EXPRESS"
            case Unknown():
                return None
            case _:
                return False

    @property
    def tasks(self) -> tuple[State, ...]:
        """Its Task states, nested ones too."""
        return tuple(state for state in self.states.values() if state.type == "Task")

    @property
    def failures(self) -> tuple[State, ...]:
        """Its Fail states, nested ones too."""
        return tuple(state for state in self.states.values() if state.type == "Fail")

    @property
    def calls(self) -> tuple[tuple[State, ServiceCall], ...]:
        """Every call that a state makes."""
        return tuple((state, call) for state in self.states.values() for call in state.calls)

    # The graph

    def target(self, state: State, transition: Transition) -> State | None:
        """The state that a transition of a state leads to; None for an unknown target and for one that is not there."""
        return self.scopes[state.scope].states.get(transition.name or "")

    def caught_by(self, catch: Catch, state: State) -> State | None:
        """The state that a catcher of a state leads to."""
        return self.target(state, catch.next) if catch.next else None

    def successors(self, state: State) -> Iterator[tuple[Transition, State]]:
        """The states that a state leads to, in its scope."""
        for transition in state.transitions:
            target = self.target(state, transition)
            if target:
                yield transition, target

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[tuple[State, Transition], ...]]:
        """The states of the same scope that lead to each state, by its key."""
        found: dict[str, list[tuple[State, Transition]]] = {}
        for state in self.states.values():
            for transition, target in self.successors(state):
                found.setdefault(target.key, []).append((state, transition))
        return {key: tuple(members) for key, members in found.items()}

    @cached_property
    def dangling(self) -> tuple[tuple[State | None, Transition], ...]:
        """Transitions to a state that their scope does not have; with None for a scope's StartAt."""
        found: list[tuple[State | None, Transition]] = []
        for scope in self.scopes:
            names = scope.body.entries.get("States")
            if not isinstance(names, Map) or grows(names):
                continue
            known = names.keys
            if scope.start and scope.start.name is not None and scope.start.name not in known:
                found.append((None, scope.start))
            for state in scope.states.values():
                ways = (way for way in state.transitions if way.name is not None and way.name not in known)
                found.extend((state, way) for way in ways)
        return tuple(found)

    @cached_property
    def reached(self) -> frozenset[str]:
        """The keys of the states that an execution can come to, going out from every scope's StartAt that it comes to.

        A target that only deploy time knows may be any state of the scope.
        """
        found: set[str] = set()
        inner: dict[str, list[Scope]] = {}
        for scope in self.scopes:
            inner.setdefault(scope.parent or "", []).append(scope)
        waiting = list(self.scopes[:1])
        while waiting:
            scope = waiting.pop()
            for state in self._reached_in(scope):
                if state.key not in found:
                    found.add(state.key)
                    waiting.extend(inner.get(state.key, ()))
        return frozenset(found)

    def _reached_in(self, scope: Scope) -> Iterator[State]:
        first = scope.start.name if scope.start else None
        inner = scope.body.entries.get("States")
        if first is None or grows(scope.body) or (isinstance(inner, Map) and grows(inner)):
            yield from scope.states.values()
            return
        seen: dict[str, State] = {}
        waiting = [first]
        while waiting:
            state = scope.states.get(waiting.pop())
            if state is None or state.name in seen:
                continue
            seen[state.name] = state
            for transition in state.transitions:
                waiting.extend(scope.states if transition.name is None else (transition.name,))
        yield from seen.values()

    @cached_property
    def unreachable(self) -> tuple[State, ...]:
        """States that no execution can come to, each scope's own fault: not those inside an unreachable state."""
        missed = {key for key in self.states if key not in self.reached}
        return tuple(state for key, state in self.states.items() if key in missed and state.parent not in missed)

    def reaches(self, state: State, target: State) -> bool:
        """Whether an execution can go from one state to another of the same scope, or back to itself."""
        seen: set[str] = set()
        waiting = [state]
        while waiting:
            for _, next_state in self.successors(waiting.pop()):
                if next_state.key == target.key:
                    return True
                if next_state.key not in seen:
                    seen.add(next_state.key)
                    waiting.append(next_state)
        return False


def workflows(template: Declarations) -> Mapping[str, Workflow]:
    """Every state machine of the template by logical id, in template order."""
    return {resource.logical_id: _workflow(template, resource) for resource in template.of(*MACHINE_TYPES)}


def _workflow(template: Declarations, resource: Resource) -> Workflow:
    path, (reading, placeholders) = _definition(template, resource)
    role = resource.at("Role" if resource.type == "AWS::Serverless::StateMachine" else "RoleArn")
    principal = role_of(template, role) if isinstance(role, (Scalar, Unknown)) else None
    if resource.type == "AWS::Serverless::StateMachine" and isinstance(role, Absent):
        principal = resource.logical_id
    status: Status = "readable"
    reason = hint = ""
    span = reading.span
    match reading:
        case Malformed():
            status, reason, hint = "broken", reading.message, reading.hint
        case Unread():
            status, reason = "unreadable", reading.reason
        case Unknown():
            status, reason = "unreadable", "only deploy time knows it"
        case Absent():
            status, reason = "unreadable", "the state machine has no definition that this template shows"
        case Map():
            pass
        case _:
            status, reason, hint = "broken", "the definition is no map", "a definition is a map with StartAt and States"
    body = reading if isinstance(reading, Map) else None
    made = read(template, body, span) if body else None
    return Workflow(
        resource=resource,
        principal=principal,
        status=status,
        reason=reason,
        hint=hint,
        span=span,
        property_path=path,
        definition=body,
        scopes=tuple(made.scopes) if made else (),
        states=made.states if made else {},
        problems=tuple(made.problems) if made else (),
        placeholders=placeholders if made else (),
    )


def _definition(template: Declarations, resource: Resource) -> tuple[str, tuple[Reading, tuple[Placeholder, ...]]]:
    """The property that holds a definition, and what reading it gives."""
    given = resource.at("DefinitionSubstitutions")
    substitutions = given.entries if isinstance(given, Map) else {}
    for name in ("DefinitionString", "Definition", "DefinitionUri", "DefinitionS3Location"):
        value = resource.at(name)
        if isinstance(value, Absent):
            continue
        if name == "Definition" and not (isinstance(value, Scalar) and value.kind == "str"):
            return name, _open(from_value(value, substitutions), given)
        if name in ("DefinitionString", "Definition"):
            node = _node(template, resource, name)
            found = from_node(node, template.document, substitutions) if node else (Unread("", value.span), ())
            return name, _open(found, given)
        return name, _open(_located(template, value, substitutions), given)
    where = resource.where("Definition")
    return "", (Absent(where), ())


def _open(found: tuple[Reading, tuple[Placeholder, ...]], given: Value) -> tuple[Reading, tuple[Placeholder, ...]]:
    """What was read; with substitutions that only deploy time knows, no placeholder is certainly left."""
    return (found[0], ()) if isinstance(given, Unknown) else found


def _located(
    template: Declarations, value: Value, substitutions: Mapping[str, Value]
) -> tuple[Reading, tuple[Placeholder, ...]]:
    """A definition that stands in a file, which ``package`` uploads, or in a bucket."""
    if isinstance(value, Scalar) and not value.text.startswith("s3://"):
        file = template.local_of(value.span.file).text(value.text)
        if file:
            return from_file(file.text, file.shown, substitutions)
        return Unread(f"the file {value.text} is not beside the template", value.span), ()
    return Unread("it is read from a bucket", value.span), ()


def _node(template: Declarations, resource: Resource, name: str) -> Node | None:
    """What the file says of a property."""
    found: Node = template.source.root
    for step in ("Resources", resource.logical_id, "Properties", name):
        inner = found.entries.get(step) if isinstance(found, Map) else None
        if inner is None:
            return None
        found = inner
    return found
