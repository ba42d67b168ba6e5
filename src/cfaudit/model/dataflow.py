"""A state and a path that it reads in, where the value at that path comes from out.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html,
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.model.integrations import is_expression
from cfaudit.model.states import State, Transition
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value

MAX_VISITS = 5_000

Steps: TypeAlias = tuple[str, ...]
"""The members of a path: ``$.a.b[0]`` is ``("a", "b", "0")``."""

OriginKind: TypeAlias = Literal["result", "error", "input", "written", "missing", "unknown"]


class Origin(NamedTuple):
    """Where a value comes from.

    ``result``: what ``state`` returns, at ``steps`` of it. ``error``: what a catcher of ``state`` notes. ``input``: the
    input of the execution, the branch or the item. ``written``: the definition itself puts it there, in ``state``.
    ``missing``: ``state`` certainly leaves nothing there. ``unknown``: a path or an expression that is not followed.
    """

    kind: OriginKind
    state: State | None
    steps: Steps

    @property
    def returned(self) -> Steps | None:
        """The members of a Lambda function's return value, when it comes from one."""
        call = self.state.call if self.state and self.kind == "result" else None
        if call is None or call.integration.pattern == "waitForTaskToken":
            return None
        if call.integration.kind == "function":
            return self.steps
        invoke = call.integration.name == "lambda:invoke"
        return self.steps[1:] if invoke and self.steps[:1] == ("Payload",) else None


_STEP = re.compile(r"\.([^.\[\]*?@$'\"()]+)|\[(?:'([^']*)'|\"([^\"]*)\"|([0-9]+))\]")
_JSONATA = re.compile(r"\{%\s*\$states\.(input|result)((?:\.(?:[A-Za-z_]\w*|`[^`]*`)|\[[0-9]+\])*)\s*%\}\s*\Z")
_JSONATA_STEP = re.compile(r"\.(?:([A-Za-z_]\w*)|`([^`]*)`)|\[([0-9]+)\]")


def path_steps(path: str) -> Steps | None:
    """The members of a reference path, ``$.a.b`` or ``$states.input.a.b``; None for any other path."""
    if path.startswith("$states.input"):
        return _steps(path.removeprefix("$states.input"), _JSONATA_STEP)
    return _steps(path[1:], _STEP) if path.startswith("$") and not path.startswith("$$") else None


def _steps(text: str, pattern: re.Pattern[str]) -> Steps | None:
    found: list[str] = []
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if not match:
            return None
        found.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return tuple(found)


def origins(workflow: Workflow, state: State, path: str) -> tuple[Origin, ...]:
    """Every place that the value at a path of a state's input may come from, over all ways that lead to the state."""
    steps = path_steps(path)
    if steps is None:
        return (Origin("unknown", None, ()),)
    if state.language == "JSONPath":
        steps = _through(state.at("InputPath"), steps)
        if steps is None:
            return (Origin("unknown", state, ()),)
    search = _Search(workflow)
    search.into(state, steps)
    return tuple({(found.kind, found.state and found.state.key, found.steps): found for found in search.found}.values())


def _through(path: Value, steps: Steps) -> Steps | None:
    """A path below what InputPath or OutputPath selects, as a path below what it selects from."""
    match path:
        case Absent():
            return steps
        case Scalar(text, _, kind) if kind != "null":
            outer = path_steps(text)
            return None if outer is None else outer + steps
        case _:
            return None


@dataclass(slots=True)
class _Search:
    """A walk against the transitions, from where a value is read to where it is made."""

    workflow: Workflow
    found: list[Origin]
    seen: set[tuple[str, Steps]]
    waiting: list[tuple[State, Steps]]
    loose: frozenset[int]

    def __init__(self, workflow: Workflow) -> None:
        self.workflow, self.found, self.seen, self.waiting = workflow, [], set(), []
        states = workflow.states.values()
        self.loose = frozenset(state.scope for state in states if any(way.name is None for way in state.transitions))

    def into(self, state: State, steps: Steps) -> None:
        """Note where a member of a state's raw input comes from."""
        self.waiting.append((state, steps))
        while self.waiting and len(self.seen) < MAX_VISITS:
            here, wanted = self.waiting.pop()
            if (here.key, wanted) in self.seen:
                continue
            self.seen.add((here.key, wanted))
            start = self.workflow.scopes[here.scope].start
            if start is None or start.name in (None, here.name):
                self.found.append(Origin("input", None, wanted))
            if here.scope in self.loose:
                self.found.append(Origin("unknown", None, ()))
            for source, transition in self.workflow.predecessors.get(here.key, ()):
                self._out_of(source, transition, wanted)
        if self.waiting:
            self.found.append(Origin("unknown", None, ()))

    def _note(self, kind: OriginKind, state: State, steps: Steps = ()) -> None:
        self.found.append(Origin(kind, state, steps))

    def _out_of(self, state: State, transition: Transition, steps: Steps) -> None:
        """A member of what a state puts out."""
        if transition.kind == "catch":
            self._caught(state, transition, steps)
        elif state.language == "JSONata":
            self._expressed(state, steps)
        elif state.type in ("Choice", "Wait"):
            self._passed(state, steps)
        else:
            inner = _through(state.at("OutputPath"), steps)
            if inner is None:
                self._note("unknown", state)
            else:
                self._combined(state, inner)

    def _passed(self, state: State, steps: Steps) -> None:
        outer = _through(state.at("OutputPath"), steps)
        inner = None if outer is None else _through(state.at("InputPath"), outer)
        if inner is None:
            self._note("unknown", state)
        else:
            self.waiting.append((state, inner))

    def _combined(self, state: State, steps: Steps) -> None:
        """A member of a state's input with its result placed at ResultPath."""
        rest = self._below(state, state.at("ResultPath"), steps)
        if rest is not None:
            self._result(state, rest)

    def _below(self, state: State, where: Value, steps: Steps) -> Steps | None:
        """What is left of a path below a ResultPath; None when it leads elsewhere, which is then noted or followed."""
        if isinstance(where, Absent):
            return steps
        if isinstance(where, Scalar) and where.kind == "null":
            self.waiting.append((state, steps))
            return None
        place = path_steps(where.text) if isinstance(where, Scalar) else None
        if place is None:
            self._note("unknown", state)
        elif steps[: len(place)] == place:
            return steps[len(place) :]
        elif place[: len(steps)] == steps:
            self._note("written", state)
        else:
            self.waiting.append((state, steps))
        return None

    def _caught(self, state: State, transition: Transition, steps: Steps) -> None:
        catch = next((catch for catch in state.catches if catch.next == transition), None)
        if catch is None or state.language == "JSONata":
            self._note("unknown" if catch is None or "Output" in catch.body.entries else "error", state, steps)
            return
        rest = self._below(state, catch.result_path, steps)
        if rest is not None:
            self._note("missing" if rest[:1] not in ((), ("Error",), ("Cause",)) else "error", state, rest)

    def _result(self, state: State, steps: Steps) -> None:
        """A member of a state's result, before ResultPath: its ResultSelector's, a Pass's own, or a call's."""
        made = state.at("ResultSelector")
        if state.type == "Pass":
            literal = state.at("Result")
            if not isinstance(literal, Absent):
                self._written(state, literal, steps, computes=False)
                return
            made = state.at("Parameters")
        if not isinstance(made, Absent):
            self._written(state, made, steps, computes=True)
        elif state.type == "Pass":
            inner = _through(state.at("InputPath"), steps)
            if inner is None:
                self._note("unknown", state)
            else:
                self.waiting.append((state, inner))
        else:
            self._note("result", state, steps)

    def _written(self, state: State, value: Value, steps: Steps, *, computes: bool) -> None:
        """A member of a map that the definition writes; ``computes``: its keys that end in ``.$`` are paths."""
        for index, step in enumerate(steps):
            match value:
                case Map(entries) if step in entries:
                    value = entries[step]
                case Map(entries) if computes and f"{step}.$" in entries:
                    self._selected(state, entries[f"{step}.$"], steps[index + 1 :])
                    return
                case Seq(items) if step.isdecimal() and int(step) < len(items):
                    value = items[int(step)]
                case Unknown():
                    self._note("unknown", state)
                    return
                case _:
                    self._note("missing", state, steps)
                    return
        self._note("written", state)

    def _selected(self, state: State, path: Value, rest: Steps) -> None:
        """What a path in ResultSelector takes from the result, in a Pass's Parameters from the input."""
        steps = path_steps(path.text) if isinstance(path, Scalar) else None
        if steps is None:
            self._note("unknown", state)
        elif state.type != "Pass":
            self._note("result", state, steps + rest)
        else:
            inner = _through(state.at("InputPath"), steps + rest)
            if inner is None:
                self._note("unknown", state)
            else:
                self.waiting.append((state, inner))

    def _expressed(self, state: State, steps: Steps) -> None:
        """A member of what a JSONata state puts out: its Output, else its result, else its input.

        A Choice rule's own Output is not followed.
        """
        if any("Output" in rule.body.entries for rule in state.rules):
            self._note("unknown", state)
            return
        value = state.at("Output")
        if isinstance(value, Absent):
            if state.type in ("Task", "Parallel", "Map"):
                self._note("result", state, steps)
            else:
                self.waiting.append((state, steps))
            return
        for index, step in enumerate(steps):
            if isinstance(value, Map) and step in value.entries:
                value = value.entries[step]
            elif isinstance(value, Map):
                self._note("missing", state, steps)
                return
            else:
                self._evaluated(state, value, steps[index:])
                return
        self._evaluated(state, value, ())

    def _evaluated(self, state: State, value: Value, rest: Steps) -> None:
        if not is_expression(value):
            self._note("unknown" if rest else "written", state)
            return
        match = _JSONATA.match(value.text.strip()) if isinstance(value, Scalar) else None
        inner = _steps(match[2], _JSONATA_STEP) if match else None
        if match is None or inner is None:
            self._note("unknown", state)
        elif match[1] == "result":
            self._note("result", state, inner + rest)
        else:
            self.waiting.append((state, inner + rest))
