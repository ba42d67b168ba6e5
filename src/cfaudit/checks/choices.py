"""The question whether what a Choice tests is ever there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.checks.workflows import about, readable, unreadable
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.code.facts import Code
from cfaudit.model.dataflow import Origin, origins
from cfaudit.model.states import Comparison, State
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow


def present_choice_paths(template: Template, facts: Facts) -> Iterator[Finding]:
    """What a Choice tests must be what the states before it put there, or be asked for with IsPresent first.

    Judged is every path that a JSONPath Choice compares and whose value comes from a Lambda function, over all ways
    that lead to the Choice, or that the definition itself leaves out. It fails when the function's code can be read and
    no object that it returns has that member, or when a ResultSelector, a Result or a Catch certainly leaves it out. It
    passes when the code returns the member, or when an IsPresent test comes first. It is unknown when the code cannot
    be read, or when another Choice asks for the path. A path that comes from the execution's input or from another
    service is not judged, and neither are JSONata conditions, where a missing member is no error by itself.
    """
    yield from unreadable(template)
    for workflow in readable(template):
        asked = {path for state in workflow.states.values() for path in _asked(state)}
        for state in workflow.states.values():
            for path, test in _compared(state).items():
                found = _judged(template, workflow, state, path, test, elsewhere=path in asked)
                if found:
                    yield found


def _asked(state: State) -> Iterator[str]:
    """The paths that a Choice asks for with IsPresent."""
    return (path for rule in state.rules for test in rule.tests if test.operator == "IsPresent" for path in test.paths)


def _compared(state: State) -> dict[str, Comparison]:
    """The first comparison of each path, an unguarded one before others."""
    found: dict[str, Comparison] = {}
    tests = [test for rule in state.rules for test in rule.tests if test.operator not in ("IsPresent", "Condition")]
    for test in sorted(tests, key=lambda test: not test.unguarded):
        for path in test.paths:
            found.setdefault(path, test)
    return found


class _Answer(NamedTuple):
    """Whether the value is there when it comes from one place; None when nobody can tell here."""

    present: bool | None
    origin: Origin
    function: str
    code: Code | None


def _judged(
    template: Template, workflow: Workflow, state: State, path: str, test: Comparison, *, elsewhere: bool
) -> Finding | None:
    answers = [answer for origin in origins(workflow, state, path) for answer in _answers(template, origin)]
    if not answers:
        return None
    name = f"{state.name} of {workflow.logical_id}"
    salient = f"{state.key} {path}"
    if path not in test.unguarded:
        return about(Outcome.PASS, workflow, f"{name} asks whether {path} is there", test.span, salient=salient)
    missing = next((answer for answer in answers if answer.present is False), None)
    unsure = next((answer for answer in answers if answer.present is None), None)
    if missing:
        outcome = Outcome.UNKNOWN if elsewhere else Outcome.FAIL
        message = f"{name} tests {path}, {_never(missing)}"
        message += ", unless another Choice that asks for it first leads here" if elsewhere else ""
        return about(outcome, workflow, message, test.span, salient=salient, more=tuple(_places(missing)))
    if unsure:
        reason = unsure.code.reason if unsure.code and unsure.code.reason else "its code may or may not return it"
        message = f"{name} tests {path}, which comes from {unsure.function or 'a function elsewhere'}: {reason}"
        return about(Outcome.UNKNOWN, workflow, message, test.span, salient=salient, more=tuple(_places(unsure)))
    told = ", ".join(dict.fromkeys(answer.function for answer in answers))
    message = f"{name} tests {path}, which {told} returns"
    return about(Outcome.PASS, workflow, message, test.span, salient=salient, more=tuple(_places(answers[0])))


def _answers(template: Template, origin: Origin) -> Iterator[_Answer]:
    """What one origin says; nothing for an origin that is not judged."""
    if origin.kind == "missing":
        yield _Answer(present=False, origin=origin, function="", code=None)
        return
    steps, call = origin.returned, origin.state.call if origin.state else None
    if not steps or call is None:
        return
    target = call.function
    code = template.code.get(target.function) if target else None
    present = code.returns.holds(*steps) if code and code.readable else None
    yield _Answer(present, origin, target.function if target else "", code)


def _never(answer: _Answer) -> str:
    """Why the value is not there."""
    if answer.code is None:
        source = answer.origin.state.name if answer.origin.state else "the state before"
        return f"which {source} leaves out"
    keys = list(answer.code.returns.keys)
    returned = f"it returns {', '.join(keys)}" if keys else "it returns no object with members"
    return f"which {answer.function} never returns: {returned}"


def _places(answer: _Answer) -> Iterator[Evidence]:
    state = answer.origin.state
    if state:
        yield Evidence(state.span, "the state that its value comes from")
    if answer.code and answer.code.readable:
        yield Evidence(answer.code.span, f"the handler of {answer.function}")
