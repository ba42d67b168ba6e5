"""A definition in Amazon States Language in, its states out: typed, nested ones too, and whatever is out of shape.

https://states-language.net/spec.html, https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cfaudit import data
from cfaudit.model.declarations import Declarations, descend
from cfaudit.model.integrations import Integration, ServiceCall, calls, is_expression
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, stretch, strings, truth

Language: TypeAlias = Literal["JSONPath", "JSONata"]
Kind: TypeAlias = Literal["start", "next", "choice", "default", "catch"]

STATE_TYPES = ("Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map")

_UNCAUGHT = frozenset({"States.DataLimitExceeded", "States.Runtime"})
_TOKEN = re.compile(r"\$\$(?:\.Task(?:\.Token)?)?(?![\w.])|\$states\.context(?:\.Task(?:\.Token)?)?(?![\w.])")


class Transition(NamedTuple):
    """A way out of a state, or into a scope (``start``). ``name`` is None when only deploy time knows the target."""

    kind: Kind
    name: str | None
    span: Span


class Retry(NamedTuple):
    """One retrier. ``errors`` are the texts of ErrorEquals; ``max_attempts`` and the others are absent by default."""

    errors: tuple[Scalar | Unknown, ...]
    max_attempts: Value
    body: Map[Value]
    span: Span

    def takes(self, error: str) -> bool | None:
        """Whether it retries an error (``States.TaskFailed``); None when deploy time decides."""
        return _takes(self.errors, error)


class Catch(NamedTuple):
    """One catcher and where it leads; ``next`` is None where it says nothing."""

    errors: tuple[Scalar | Unknown, ...]
    next: Transition | None
    result_path: Value
    body: Map[Value]
    span: Span

    def takes(self, error: str) -> bool | None:
        """Whether it catches an error (``States.TaskFailed``); None when deploy time decides."""
        return _takes(self.errors, error)


def _takes(errors: tuple[Scalar | Unknown, ...], error: str) -> bool | None:
    """Whether error names cover an error.

    ``States.ALL`` takes all but two, ``States.TaskFailed`` all but these and ``States.Timeout``.
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    names = {value.text for value in errors if isinstance(value, Scalar)}
    if error in names:
        return True
    if error not in _UNCAUGHT and (
        "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")
    ):
        return True
    return None if any(isinstance(value, Unknown) for value in errors) else False


class Comparison(NamedTuple):
    """One comparison of a Choice.

    ``paths`` are the paths it reads, ``unguarded`` those of them that no earlier ``IsPresent`` proves to be there.
    ``operator`` is ``Condition`` for a JSONata expression. ``negated``: under an odd number of ``Not``.
    """

    paths: tuple[str, ...]
    unguarded: tuple[str, ...]
    operator: str
    operand: Value
    negated: bool
    span: Span


class ChoiceRule(NamedTuple):
    """One rule of a Choice: what it tests, and where it leads."""

    tests: tuple[Comparison, ...]
    next: Transition | None
    body: Map[Value]
    span: Span


class Argument(NamedTuple):
    """An argument of a call; ``computed`` says that only the running workflow knows its value."""

    value: Value
    computed: bool
    span: Span


class State(NamedTuple):
    """A state. ``span`` is its name's; ``parent`` is the key of the Map or Parallel state around it.

    ``key`` is the name, or ``Parent/Name`` where the name is not the first of its kind; ``type`` is empty when it is
    missing or only deploy time knows it. ``end`` is None when deploy time decides.
    """

    key: str
    name: str
    type: str
    body: Map[Value]
    span: Span
    scope: int
    parent: str | None
    language: Language
    transitions: tuple[Transition, ...]
    end: bool | None
    retries: tuple[Retry, ...]
    catches: tuple[Catch, ...]
    rules: tuple[ChoiceRule, ...]
    calls: tuple[ServiceCall, ...]

    def at(self, *names: str) -> Value:
        """A member by its path, ``at("Parameters", "Message.$")``; Absent when it is not there."""
        return descend(self.body, self.span, names)[0]

    def where(self, *names: str) -> Span:
        """The text of a member, key and value; for one that is absent the key of the nearest thing that is there."""
        value, key = descend(self.body, self.span, names)
        return value.span if isinstance(value, Absent) else stretch(key, value)

    @property
    def call(self) -> ServiceCall | None:
        """What a Task calls."""
        return next((call for call in self.calls if not call.field), None)

    @property
    def integration(self) -> Integration | None:
        """What a Task's Resource names."""
        return self.call.integration if self.call else None

    @property
    def waits_for_token(self) -> bool:
        """Whether it waits until somebody sends a task's result: a callback or an activity."""
        return self.integration is not None and self.integration.waits

    @property
    def terminal(self) -> bool:
        """Whether the workflow, or the branch, ends here."""
        return self.type in ("Succeed", "Fail") or self.end is True

    @property
    def arguments(self) -> Value:
        """What a Task sends: ``Parameters``, or ``Arguments`` in JSONata."""
        return self.at("Arguments" if self.language == "JSONata" else "Parameters")

    def argument(self, *names: str) -> Argument:
        """One argument by its path; without Parameters the state's input is what is sent."""
        value, key = descend(self.arguments, self.where(), names[:-1])
        if isinstance(value, Absent) and self.language == "JSONPath" and isinstance(self.arguments, Absent):
            return Argument(value, computed=True, span=self.span)
        dynamic = descend(value, key, [f"{names[-1]}.$"]) if self.language == "JSONPath" else None
        if dynamic and not isinstance(dynamic[0], (Absent, Unknown)):
            return Argument(dynamic[0], computed=True, span=stretch(dynamic[1], dynamic[0]))
        found, found_key = descend(value, key, [names[-1]])
        if isinstance(value, Scalar):
            return Argument(Absent(value.span), computed=is_expression(value), span=value.span)
        if isinstance(found, Absent):
            return Argument(found, computed=False, span=found.span)
        return Argument(found, computed=is_expression(found), span=stretch(found_key, found))

    @property
    def timeout(self) -> Value:
        """``TimeoutSeconds`` or ``TimeoutSecondsPath``."""
        return self._either("TimeoutSeconds", "TimeoutSecondsPath")

    @property
    def heartbeat(self) -> Value:
        """``HeartbeatSeconds`` or ``HeartbeatSecondsPath``."""
        return self._either("HeartbeatSeconds", "HeartbeatSecondsPath")

    def _either(self, name: str, other: str) -> Value:
        found = self.at(name)
        return self.at(other) if isinstance(found, Absent) else found

    @property
    def token(self) -> Span | None:
        """Where its arguments take the task's token from the context object, if they do."""
        for value in texts(self.arguments):
            if _TOKEN.search(value.text if isinstance(value, Scalar) else value.known_text):
                return value.span
        return None

    @property
    def distributed(self) -> bool:
        """Whether a Map runs its items as executions of their own."""
        modes = (self.at(name, "ProcessorConfig", "Mode") for name in ("ItemProcessor", "Iterator"))
        return any(isinstance(mode, Scalar) and mode.text == "DISTRIBUTED" for mode in modes)

    @property
    def own_actions(self) -> tuple[str, ...]:
        """IAM actions on its own state machine that it needs besides those of its calls."""
        needs = data.integration_needs("map", "distributed") if self.distributed else None
        return needs.calls or () if needs else ()


@dataclass(frozen=True, slots=True)
class Scope:
    """One set of states that transitions stay in: the workflow itself, a Parallel's branch, a Map's processor."""

    index: int
    parent: str | None
    start: Transition | None
    states: Mapping[str, State]
    body: Map[Value]
    span: Span


ProblemKind: TypeAlias = Literal[
    "no-start",
    "no-states",
    "no-type",
    "unknown-type",
    "no-way-out",
    "two-ways-out",
    "no-resource",
    "no-choices",
    "shape",
]


class Problem(NamedTuple):
    """Something that Step Functions does not take: ``state`` is the key of the state, None for a scope."""

    kind: ProblemKind
    message: str
    state: str | None
    span: Span


@dataclass(slots=True)
class Definition:
    """The scopes of a definition, while and after it is read; the first is the workflow's own."""

    template: Declarations
    scopes: list[Scope] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, kind: ProblemKind, message: str, span: Span, state: str | None = None) -> None:
        """Note something that is out of shape."""
        self.problems.append(Problem(kind, message, state, span))


def grows(body: Map[Value]) -> bool:
    """Whether a map may have members that its text does not show: a macro or a loop adds them."""
    return any(key.startswith("Fn::") for key in body.keys)


def language_of(body: Map[Value], default: Language) -> Language:
    """The query language that a definition or a state chooses."""
    value = body.entries.get("QueryLanguage")
    if isinstance(value, Scalar) and value.text in ("JSONPath", "JSONata"):
        return "JSONata" if value.text == "JSONata" else "JSONPath"
    return default


def read(template: Declarations, body: Map[Value], span: Span) -> Definition:
    """The states of a definition; ``span`` is where it stands."""
    made = Definition(template)
    _scope(made, body, span, None, language_of(body, "JSONPath"))
    return made


def _scope(made: Definition, body: Map[Value], span: Span, parent: str | None, language: Language) -> None:
    index = len(made.scopes)
    states: dict[str, State] = {}
    start = _transition("start", body, "StartAt")
    made.scopes.append(Scope(index, parent, start, states, body, span))
    where = f"{parent}: " if parent else ""
    if "StartAt" not in body.entries and not grows(body):
        made.problem("no-start", f"{where}the definition has no StartAt", span, parent)
    found = body.entries.get("States")
    if isinstance(found, Unknown) or (found is None and grows(body)):
        return
    if not isinstance(found, Map) or not found.entries:
        made.problem("no-states", f"{where}the definition has no States", span, parent)
        return
    for name, value in found.entries.items():
        key = found.keys[name]
        if name.startswith("Fn::"):
            continue
        if isinstance(value, Map):
            state = _state(made, name, value, key, index, parent, language)
            states[name] = made.states[state.key] = state
            _nested(made, state)
        elif not isinstance(value, Unknown):
            made.problem("shape", f"{where}the state {name} is no map", key, parent)


def _state(
    made: Definition, name: str, body: Map[Value], span: Span, scope: int, parent: str | None, language: Language
) -> State:
    keys = (name, f"{parent or ''}/{name}", f"{parent or ''}/{name}#{scope}")
    key = next((key for key in keys if key not in made.states), f"#{len(made.states)}")
    kind = body.entries.get("Type")
    catches = tuple(_catches(body))
    rules = tuple(_rules(body))
    state = State(
        key=key,
        name=name,
        type=kind.text if isinstance(kind, Scalar) else "",
        body=body,
        span=span,
        scope=scope,
        parent=parent,
        language=language_of(body, language),
        transitions=tuple(_transitions(body, catches, rules)),
        end=truth(body.entries.get("End", Absent(span))),
        retries=tuple(_retries(body)),
        catches=catches,
        rules=rules,
        calls=tuple(_calls(made.template, body, language_of(body, language))),
    )
    _check(made, state)
    return state


def _calls(template: Declarations, body: Map[Value], language: Language) -> Iterator[ServiceCall]:
    sent = "Arguments" if language == "JSONata" else "Parameters"
    if isinstance(kind := body.entries.get("Type"), Scalar) and kind.text == "Task":
        yield from calls(template, body, body.entries.get(sent, Absent(body.span)), "")
    for name in ("ItemReader", "ResultWriter"):
        part = body.entries.get(name)
        if isinstance(part, Map):
            yield from calls(template, part, part.entries.get(sent, Absent(part.span)), name)


def _check(made: Definition, state: State) -> None:
    """Note what a state lacks."""
    if grows(state.body):
        return
    kind = state.body.entries.get("Type")
    if kind is None:
        made.problem("no-type", f"the state {state.name} has no Type", state.span, state.key)
    elif isinstance(kind, Scalar) and kind.text not in STATE_TYPES:
        message = f"{state.name} has the Type {kind.text!r}, which the Amazon States Language does not have"
        made.problem("unknown-type", message, stretch(state.body.keys["Type"], kind), state.key)
    leaves = any(name in state.body.entries for name in ("Next", "End"))
    if state.type in ("Task", "Pass", "Wait", "Parallel", "Map") and not leaves:
        made.problem("no-way-out", f"the state {state.name} has neither Next nor End", state.span, state.key)
    if state.end and "Next" in state.body.entries:
        made.problem("two-ways-out", f"the state {state.name} has both Next and End", state.where("End"), state.key)
    if state.type == "Task" and "Resource" not in state.body.entries:
        made.problem("no-resource", f"the Task {state.name} has no Resource", state.span, state.key)
    if state.type == "Choice" and isinstance(state.at("Choices"), (Absent, Scalar, Map)):
        made.problem("no-choices", f"the Choice {state.name} has no Choices", state.span, state.key)


def _nested(made: Definition, state: State) -> None:
    branches = state.at("Branches")
    held: list[tuple[Value, Span]] = []
    if state.type == "Parallel" and isinstance(branches, Seq):
        held = [(branch, branch.span) for branch in branches.items]
    elif state.type == "Map":
        name = "ItemProcessor" if "ItemProcessor" in state.body.entries else "Iterator"
        held = [(state.at(name), state.body.keys.get(name, state.span))]
    elif state.type == "Parallel":
        held = [(branches, branches.span)]
    for value, span in held:
        if isinstance(value, Map):
            _scope(made, value, span, state.key, state.language)
        elif not isinstance(value, Unknown):
            made.problem("shape", f"the {state.type} {state.name} has nothing to run", state.span, state.key)


# Ways out ------------------------------------------------------------------------------------------------------------


def _transition(kind: Kind, body: Map[Value], name: str) -> Transition | None:
    value = body.entries.get(name)
    if not isinstance(value, (Scalar, Unknown)):
        return None
    return Transition(kind, value.text if isinstance(value, Scalar) else None, stretch(body.keys[name], value))


def _transitions(body: Map[Value], catches: tuple[Catch, ...], rules: tuple[ChoiceRule, ...]) -> Iterator[Transition]:
    own = (_transition("next", body, "Next"), *(rule.next for rule in rules), _transition("default", body, "Default"))
    for transition in (*own, *(catch.next for catch in catches)):
        if transition:
            yield transition


def _members(value: Value | None) -> Iterator[Map[Value]]:
    for item in value.items if isinstance(value, Seq) else ():
        if isinstance(item, Map):
            yield item


def _errors(body: Map[Value]) -> tuple[Scalar | Unknown, ...]:
    return tuple(strings(body.entries.get("ErrorEquals", Absent(body.span))))


def _retries(body: Map[Value]) -> Iterator[Retry]:
    for item in _members(body.entries.get("Retry")):
        yield Retry(_errors(item), descend(item, item.span, ["MaxAttempts"])[0], item, item.span)


def _catches(body: Map[Value]) -> Iterator[Catch]:
    for item in _members(body.entries.get("Catch")):
        path = descend(item, item.span, ["ResultPath"])[0]
        yield Catch(_errors(item), _transition("catch", item, "Next"), path, item, item.span)


# Choices -------------------------------------------------------------------------------------------------------------

_NOT_OPERATORS = frozenset({"Variable", "Next", "Comment", "Assign", "Output", "And", "Or", "Not"})
_INPUT_PATH = re.compile(r"\$states\.input((?:\.(?:[A-Za-z_]\w*|`[^`]*`)|\[[0-9]+\])+)")

_Proven: TypeAlias = frozenset[str]


def _rules(body: Map[Value]) -> Iterator[ChoiceRule]:
    """The rules of a Choice; what an earlier rule's failing proves to be present is known to the later ones."""
    proven: _Proven = frozenset()
    for item in _members(body.entries.get("Choices")):
        tests: list[Comparison] = []
        _, otherwise = _walk(item, proven, tests, negated=False)
        proven |= otherwise
        yield ChoiceRule(tuple(tests), _transition("choice", item, "Next"), item, item.span)


def _walk(body: Map[Value], proven: _Proven, tests: list[Comparison], *, negated: bool) -> tuple[_Proven, _Proven]:
    """Note the tests of a rule; says which paths are present if it holds, and if it does not.

    Step Functions evaluates And and Or from left to right and stops as soon as the answer is known.
    """
    nothing: _Proven = frozenset()
    inner = body.entries.get("Not")
    if isinstance(inner, Map):
        holds, fails = _walk(inner, proven, tests, negated=not negated)
        return fails, holds
    for name in ("And", "Or"):
        if isinstance(body.entries.get(name), Seq):
            return _all(list(_members(body.entries[name])), proven, tests, name, negated=negated)
    condition = body.entries.get("Condition")
    if isinstance(condition, (Scalar, Unknown)):
        text = condition.text if isinstance(condition, Scalar) else condition.known_text
        paths = tuple(dict.fromkeys(f"$states.input{match[1]}" for match in _INPUT_PATH.finditer(text)))
        span = stretch(body.keys["Condition"], condition)
        tests.append(Comparison(paths, (), "Condition", condition, negated, span))
        return nothing, nothing
    variable = body.entries.get("Variable")
    if not isinstance(variable, (Scalar, Unknown)):
        return nothing, nothing
    span = stretch(body.keys["Variable"], variable)
    path = variable.text if isinstance(variable, Scalar) else ""
    operator = next((name for name in body.entries if name not in _NOT_OPERATORS), "")
    operand = body.entries.get(operator, Absent(body.span))
    paths = (path,) if path else ()
    if operator.endswith("Path") and isinstance(operand, Scalar):
        paths += (operand.text,)
    present = operator == "IsPresent"
    missing = () if present else tuple(item for item in paths if not _is_proven(item, proven))
    tests.append(Comparison(paths, missing, operator, operand, negated, span))
    if not present or not path or isinstance(operand, Unknown):
        return nothing, nothing
    there = frozenset({path})
    return (there, nothing) if truth(operand) else (nothing, there)


def _all(
    items: list[Map[Value]], proven: _Proven, tests: list[Comparison], name: str, *, negated: bool
) -> tuple[_Proven, _Proven]:
    gathered: _Proven = frozenset()
    others: list[_Proven] = []
    for item in items:
        holds, fails = _walk(item, proven | gathered, tests, negated=negated)
        kept, left = (holds, fails) if name == "And" else (fails, holds)
        others.append(left | gathered)
        gathered |= kept
    either = frozenset.intersection(*others) if others else frozenset()
    return (gathered, either) if name == "And" else (either, gathered)


def _is_proven(path: str, proven: _Proven) -> bool:
    """Whether a path is known to be there, because it or something below it is."""
    return any(known == path or known.startswith((f"{path}.", f"{path}[")) for known in proven)


# Values --------------------------------------------------------------------------------------------------------------


def texts(value: Value) -> Iterator[Scalar | Unknown]:
    """Every text below a value, in maps too."""
    match value:
        case Scalar() | Unknown():
            yield value
        case Seq(items):
            for item in items:
                yield from texts(item)
        case Map(entries):
            for item in entries.values():
                yield from texts(item)
        case _:
            return
