"""The question whether a task that moves money or changes a value may be run twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.checks.workflows import about, around, computes, phrases, readable, unreadable
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.code.facts import Code
from cfaudit.model.states import Retry, State, texts
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s-]+")
_CONTEXT = re.compile(
    r"\$\$\.Execution\.(?:Id|Name)\b|\$\$\.Execution(?![\w.])|\$\$(?![\w.])|\$states\.context\.Execution"
)
_TOKEN = re.compile(
    r"idempot|token|dedup|nonce|uuid|(?:request|transaction|transfer|operation|execution|charge)[_-]?id", re.I
)
_ARITHMETIC = re.compile(r"[:#\w)]\s*[+-]\s*(?:[:#(]|if_not_exists)|\blist_append\s*\(", re.I)
_CONDITIONS = ("ConditionExpression", "ConditionalCheckFailedException", "TransactionCanceledException")
_ADD = re.compile(r"\bADD\b", re.I)


class _Subject(NamedTuple):
    """A task whose repeat matters, why, and what that rests on."""

    state: State
    function: str
    assumed: tuple[str, ...]


def repeatable_tasks(
    template: Template, facts: Facts, *, component: str, words: tuple[str, ...], harmless: tuple[str, ...]
) -> Iterator[Finding]:
    """A task that pays or changes a value, and that is retried on any failure, must be recognisable when it repeats.

    Judged are Tasks that either update an item of DynamoDB by adding to what is there, or invoke a function or an HTTP
    endpoint to move money: the function that fills the profile's component, or one where the name or comment of the
    state, or the name or description of the function, says so. They pass without a Retry, their own or of the Map or
    Parallel state around them, that takes States.ALL or States.TaskFailed; retries on named errors, such as
    Lambda.TooManyRequestsException, are not judged. Retried ones pass when their input carries the execution's id or
    name or a token, when the update has a condition, or when the function's code can be read and guards against a
    repeat. They fail when the code can be read to the end and has no such guard, and when an input that the definition
    writes is the same in every execution. Otherwise only the code or the execution's input can tell, which is unknown.
    """
    yield from unreadable(template)
    bound = facts.bound(template, component)
    pays = re.compile("|".join(f"(?:{word})" for word in words))
    reads = re.compile(rf"(?:{'|'.join(harmless)})\b")
    for workflow in readable(template):
        for state in workflow.tasks:
            subject = _payment(template, state, bound.logical_id if bound else "", component, pays, reads)
            retry = _retry(workflow, state)
            if retry is None and (subject or _updates(state)):
                message = f"{state.name} of {workflow.logical_id} is not run again after any failure"
                assumed = subject.assumed if subject else ()
                yield about(Outcome.PASS, workflow, message, state.where("Retry"), salient=state.key, assumed=assumed)
            elif retry and _updates(state):
                yield _update(workflow, state, retry)
            elif retry and subject:
                yield _paid(template, workflow, subject, retry)


def _retry(workflow: Workflow, state: State) -> Retry | None:
    """The retrier that runs a task again after any failure."""
    for holder in (state, *around(workflow, state)):
        for retry in holder.retries:
            never = isinstance(retry.max_attempts, Scalar) and retry.max_attempts.text == "0"
            if retry.takes("States.TaskFailed") and not never:
                return retry
    return None


# Updates -------------------------------------------------------------------------------------------------------------


def _updates(state: State) -> bool:
    """Whether a task adds to a value of an item, so that doing it twice adds twice."""
    call = state.integration
    if call is None or call.prefix != "dynamodb" or call.operation != "updateItem":
        return False
    expression = state.argument("UpdateExpression").value
    text = expression.text if isinstance(expression, Scalar) else ""
    values = state.argument("ExpressionAttributeValues").value
    numbers = [entry for entry in values.entries.values() if isinstance(entry, Map)] if isinstance(values, Map) else []
    counts = any(key in entry.entries for entry in numbers for key in ("N", "N.$"))
    return bool(_ARITHMETIC.search(text) or (counts and _ADD.search(text)))


def _update(workflow: Workflow, state: State, retry: Retry) -> Finding:
    name = f"{state.name} of {workflow.logical_id}"
    condition = state.argument("ConditionExpression")
    if not isinstance(condition.value, Absent) or condition.computed:
        return about(Outcome.PASS, workflow, f"{name} updates under a condition", condition.span, salient=state.key)
    more = (Evidence(retry.span, "runs it again after any failure"),)
    message = f"{name} adds to a value, and a retry after a lost answer adds again: it has no ConditionExpression"
    return about(Outcome.FAIL, workflow, message, state.argument("UpdateExpression").span, salient=state.key, more=more)


# Payments ------------------------------------------------------------------------------------------------------------


def _payment(
    template: Template, state: State, bound: str, component: str, pays: re.Pattern[str], reads: re.Pattern[str]
) -> _Subject | None:
    """The task as one that moves money, if it is."""
    call = state.call
    if call is None or call.integration.pattern == "waitForTaskToken":
        return None
    if call.integration.prefix not in ("lambda", "http"):
        return None
    function = call.function.function if call.function else ""
    if reads.match(_plain(state.name)):
        return None
    for text in (state.name, phrases(state.at("Comment"))):
        if pays.search(_plain(text)):
            return _Subject(state, function, (f"{state.name} moves money, by its name or comment",))
    if function and function == bound:
        return _Subject(state, function, (f"{function} is the profile's {component}",))
    resource = template.resources.get(function)
    named = [phrases(resource.at(path)) for path in ("FunctionName", "Description")] if resource else []
    if any(pays.search(_plain(text)) for text in named):
        return _Subject(state, function, (f"{function} moves money, by its name or description",))
    return None


def _plain(text: str) -> str:
    return _CAMEL.sub(" ", text).lower()


def _paid(template: Template, workflow: Workflow, subject: _Subject, retry: Retry) -> Finding:
    state = subject.state
    name = f"{state.name} of {workflow.logical_id}"
    code = template.code.get(subject.function)
    sent = _sent(state)
    token = _token(sent)
    if token:
        span = token.span
        message = f"{name} is given what identifies the execution or the request"
        return about(Outcome.PASS, workflow, message, span, salient=state.key, assumed=subject.assumed)
    guard = _guard(code) if code and code.readable else None
    if guard:
        message = f"the code of {subject.function} guards {name} against a repeat"
        more = (Evidence(guard, "guards against a repeat"),)
        return about(Outcome.PASS, workflow, message, state.span, salient=state.key, more=more, assumed=subject.assumed)
    outcome, reason = _unguarded(sent, code, subject.function)
    message = f"{name} is run again after any failure, and its input carries no execution id or token{reason}"
    more = (Evidence(state.span, "the task that is repeated"),)
    return about(outcome, workflow, message, retry.span, salient=state.key, more=more, assumed=subject.assumed)


def _guard(code: Code) -> Span | None:
    """Where code makes a repeat harmless: a token that it passes on, an idempotency package, a conditional write."""
    conditions = (code.words[word] for word in _CONDITIONS if word in code.words)
    calls = (call.span for call in code.calls if "ConditionExpression" in call.arguments)
    return next(iter((*code.idempotency, *conditions, *calls)), None)


def _unguarded(sent: Value, code: Code | None, function: str) -> tuple[Outcome, str]:
    if code and code.complete:
        return Outcome.FAIL, f"; the code of {function} has no guard either"
    if isinstance(sent, Map) and not computes(sent):
        return Outcome.FAIL, "; it is the same in every execution"
    return Outcome.UNKNOWN, "; whether its code knows a payment again by something else cannot be read here"


def _sent(state: State) -> Value:
    """What the function or the endpoint is given; Absent for the state's whole input."""
    call = state.integration
    if call is None or call.kind == "function" or call.prefix == "http":
        return state.arguments
    return state.argument("Payload").value


def _token(sent: Value) -> Scalar | Unknown | None:
    """Where an input takes the execution's id from the context object, or has a member that is named as a token."""
    for value in texts(sent):
        if _CONTEXT.search(value.text if isinstance(value, Scalar) else value.known_text):
            return value
    return next(_named(sent), None)


def _named(sent: Value) -> Iterator[Scalar | Unknown]:
    match sent:
        case Map(entries):
            for key, value in entries.items():
                if _TOKEN.search(key) and isinstance(value, (Scalar, Unknown)):
                    yield value
                yield from _named(value)
        case Seq(items):
            for item in items:
                yield from _named(item)
        case _:
            return
