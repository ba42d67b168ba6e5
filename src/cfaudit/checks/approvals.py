"""The question whether a workflow that is to be approved by a person waits for that person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.checks.workflows import about, unread
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.integrations import MACHINE_TYPES
from cfaudit.model.states import State
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Map, Scalar, Seq, Span, Unknown, Value

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s-]+")
_WAITS = re.compile(
    r"\b(?:wait|await|hold|paus|pend|until|once|after|requir)\w*\b[^.;]{0,60}\b(?:approval|sign off|review|decision)"
)
_ASKS = re.compile(r"\b(?:wait|await|request|ask|seek|obtain|requir|manual|human)\w*\b")
_LOOKS = re.compile(r"\b(?:check|get|read|fetch|look|load|query|poll|verify|status)\w*\b")
_CONTEXT = re.compile(r"\$\$(?:\.Task\b|\[|\s*(?:$|[,)]))")
_MESSAGES = frozenset({"sns", "sqs", "ses", "events"})


class _Hint(NamedTuple):
    """What speaks of an approval: a state's name or comment, or the workflow's own comment or name."""

    state: State | None
    text: str
    span: Span


def approval_wait(
    template: Template, facts: Facts, *, component: str, words: tuple[str, ...], never: tuple[str, ...]
) -> Iterator[Finding]:
    """A workflow that speaks of an approval must have a state that waits for somebody's answer.

    Judged are workflows in which the name or the comment of a state, or the comment or the name of the workflow, speaks
    of an approval (not of an automatic one), and the workflow that fills the profile's component. It passes with a Task
    that waits for a task token (`.waitForTaskToken`) or for an activity, there or in a workflow that it starts and
    waits for, and with a loop of a Wait and a Choice, which asks again until there is an answer. It fails when the
    approval hands out a task token without waiting for it or waits for one that it hands to nobody, when a Wait state
    that is named or described as the approval, or a Pass state that is said to wait or ask for it, goes on to the next
    tasks whoever has answered, when a message asks for the approval and the next tasks follow at once, and when the
    workflow's own comment says that it waits. Everything else is unknown: a function may decide, or somebody may
    approve before the workflow starts.
    """
    speaks = re.compile("|".join(f"(?:{word})" for word in words))
    skips = re.compile("|".join(f"(?:{word})" for word in never))
    bound = facts.bound(template, component)
    for workflow in template.workflows.values():
        is_bound = bound is not None and bound.logical_id == workflow.logical_id
        hints = list(_hints(workflow, speaks, skips))
        if (not hints and not is_bound) or workflow.status == "broken":
            continue
        if workflow.readable:
            assumed = () if hints else (f"{workflow.logical_id} is the profile's {component}",)
            yield _judged(template, workflow, hints, assumed)
        else:
            yield unread(workflow)


def _hints(workflow: Workflow, speaks: re.Pattern[str], skips: re.Pattern[str]) -> Iterator[_Hint]:
    def of(state: State | None, text: str, span: Span) -> Iterator[_Hint]:
        plain = _CAMEL.sub(" ", text).lower()
        if speaks.search(skips.sub(" ", plain)):
            yield _Hint(state, plain, span)

    for state in workflow.states.values():
        yield from of(state, state.name, state.span)
        yield from of(state, _text(state.at("Comment")), state.where("Comment"))
    comment = workflow.at("Comment")
    yield from of(None, _text(comment), comment.span)
    path = "Name" if workflow.resource.type == "AWS::Serverless::StateMachine" else "StateMachineName"
    yield from of(None, _text(workflow.resource.at(path)), workflow.resource.where(path))


def _text(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else value.known_text if isinstance(value, Unknown) else ""


def _judged(template: Template, workflow: Workflow, hints: list[_Hint], assumed: tuple[str, ...]) -> Finding:
    name = workflow.logical_id
    waits = [state for state in workflow.states.values() if state.waits_for_token]
    waiting = next((state for state in waits if not _is_kept(state)), None)
    if waits and not waiting:
        waiting = waits[0]
        message = f"{waiting.name} of {name} waits for a task token that it hands to nobody: no answer can arrive"
        return about(Outcome.FAIL, workflow, message, waiting.where("Resource"), salient=waiting.key, assumed=assumed)
    if waiting:
        message = f"{waiting.name} of {name} waits until somebody answers"
        return about(Outcome.PASS, workflow, message, waiting.where("Resource"), assumed=assumed)
    nested = _nested(template, workflow)
    if nested:
        return nested
    for answer in (
        _tokenless(workflow, hints),
        _falling(workflow, hints),
        _asking(workflow, hints),
        _claimed(workflow, hints),
    ):
        if answer:
            return answer
    span = hints[0].span if hints else workflow.resource.span
    message = f"nothing in {name} waits for an approval; whether a function decides, or somebody approves before it "
    message += "starts, the definition does not say"
    return about(Outcome.UNKNOWN, workflow, message, span, assumed=assumed)


def _tokenless(workflow: Workflow, hints: list[_Hint]) -> Finding | None:
    """An approval that hands out a task token and does not wait for it: without the pattern there is no token.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
    """
    for state in (hint.state for hint in hints if hint.state):
        for place in _tokens(state):
            name = f"{state.name} of {workflow.logical_id}"
            message = f"{name} hands out a task token, but its Resource does not end in .waitForTaskToken: it has none"
            more = (Evidence(place, "the token"),)
            return about(Outcome.FAIL, workflow, message, state.where("Resource"), salient=state.key, more=more)
    return None


def _is_kept(state: State) -> bool:
    """Whether a Task waits for a token and sends nothing that has it, as far as what it sends can be read."""
    call = state.integration
    if call is None or call.pattern != "waitForTaskToken" or state.language != "JSONPath":
        return False
    sent = [state.at("Parameters"), state.at("Arguments")]
    if any(isinstance(value, Unknown) for value in sent):
        return False
    return not any(_CONTEXT.search(_text(text)) for value in sent for text in _texts(value))


def _tokens(state: State) -> Iterator[Span]:
    """Where a Task names the token of its context object."""
    if state.type == "Task":
        for field in ("Parameters", "Arguments"):
            yield from (text.span for text in _texts(state.at(field)) if "Task.Token" in _text(text))


def _texts(value: Value) -> Iterator[Scalar | Unknown]:
    match value:
        case Scalar() | Unknown():
            yield value
        case Seq(items):
            for item in items:
                yield from _texts(item)
        case Map(entries):
            for entry in entries.values():
                yield from _texts(entry)


def _nested(template: Template, workflow: Workflow) -> Finding | None:
    """A workflow that it starts and waits for may be the one that waits; so may a call that deploy time decides."""
    for state, call in workflow.calls:
        name = f"{state.name} of {workflow.logical_id}"
        if call.integration.prefix == "states" and call.integration.pattern == "sync":
            started = [
                act.resource.logical_id for act in call.acts if act.resource and act.resource.type in MACHINE_TYPES
            ]
            inner = template.workflows.get(started[0]) if started else None
            known = inner.readable if inner else False
            if inner and known and any(found.waits_for_token for found in inner.states.values()):
                message = f"{name} waits for {inner.logical_id}, which waits until somebody answers"
                return about(Outcome.PASS, workflow, message, state.where("Resource"))
            if not known:
                message = f"the workflow that {name} waits for may wait for the approval"
                return about(Outcome.UNKNOWN, workflow, message, state.where("Resource"))
        if call.integration.kind == "unknown" and isinstance(call.integration.value, Unknown):
            message = f"only deploy time knows what {name} calls"
            return about(Outcome.UNKNOWN, workflow, message, state.where("Resource"))
    return None


def _falling(workflow: Workflow, hints: list[_Hint]) -> Finding | None:
    """A Wait, or a Pass, that is the approval: a loop of it and a Choice passes, going on to the next tasks fails."""
    for hint in hints:
        wait = hint.state
        if wait is None or not (wait.type == "Wait" or (wait.type == "Pass" and _ASKS.search(hint.text))):
            continue
        name = f"{wait.name} of {workflow.logical_id}"
        choice = _loop(workflow, wait)
        if choice:
            more = (Evidence(choice.span, "decides whether to wait again"),)
            message = f"{name} and {choice.name} ask until there is an answer"
            return about(Outcome.PASS, workflow, message, wait.span, more=more)
        tasks, gate = _follows(workflow, wait)
        if gate and not tasks:
            message = f"whether {gate.name}, after {name}, tests an answer, only the input tells"
            return about(Outcome.UNKNOWN, workflow, message, wait.span)
        if gate and len(tasks) == 1:
            looks = _LOOKS.search(_CAMEL.sub(" ", tasks[0].name).lower())
            text = "looks for the answer" if looks else "may look for the answer"
            message = f"{tasks[0].name} {text} after {name}, and {gate.name} decides"
            more = (Evidence(tasks[0].span, text),)
            return about(Outcome.PASS if looks else Outcome.UNKNOWN, workflow, message, wait.span, more=more)
        if tasks:
            does = "only waits for time to pass and then" if wait.type == "Wait" else "waits for nobody and"
            message = f"{name} {does} goes on to {tasks[0].name}, approved or not"
            more = (Evidence(tasks[0].span, "runs without any approval"),)
            return about(Outcome.FAIL, workflow, message, wait.span, salient=wait.key, more=more)
    return None


def _asking(workflow: Workflow, hints: list[_Hint]) -> Finding | None:
    """A message that asks for the approval, with the next task right after it."""
    for hint in hints:
        state = hint.state
        call = state.integration if state else None
        if state is None or call is None or call.prefix not in _MESSAGES or not _ASKS.search(hint.text):
            continue
        tasks, gate = _follows(workflow, state)
        if tasks and (gate is None or len(tasks) > 1) and not _loop(workflow, state):
            name = f"{state.name} of {workflow.logical_id}"
            message = f"{name} asks for an approval and goes on to {tasks[0].name} at once"
            more = (Evidence(tasks[0].span, "runs without any approval"),)
            return about(Outcome.FAIL, workflow, message, hint.span, salient=state.key, more=more)
    return None


def _claimed(workflow: Workflow, hints: list[_Hint]) -> Finding | None:
    """The workflow's comment says that it waits, and nothing in it does."""
    waits = [state for state in workflow.states.values() if state.type == "Wait"]
    if not workflow.tasks or any(_loop(workflow, state) for state in waits):
        return None
    for hint in hints:
        if hint.state is None and _WAITS.search(hint.text):
            message = f"{workflow.logical_id} is said to wait for an approval, and no state of it waits for anybody"
            return about(Outcome.FAIL, workflow, message, hint.span, salient="comment")
    return None


def _loop(workflow: Workflow, state: State) -> State | None:
    """A Choice that may lead back to the state."""
    choices = [found for found in workflow.states.values() if found.type == "Choice" and found.scope == state.scope]
    both_ways = (found for found in choices if workflow.reaches(found, state) and workflow.reaches(state, found))
    return next(both_ways, None)


def _follows(workflow: Workflow, state: State) -> tuple[list[State], State | None]:
    """The Tasks that follow a state whatever happens, and the Choice that ends the row."""
    tasks: list[State] = []
    seen = {state.key}
    here = state
    while True:
        step = next((target for way, target in workflow.successors(here) if way.kind == "next"), None)
        if step is None or step.key in seen:
            return tasks, None
        if step.type == "Choice":
            return tasks, step
        if step.type in ("Task", "Parallel", "Map"):
            tasks.append(step)
        seen.add(step.key)
        here = step
