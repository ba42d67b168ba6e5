"""Questions about Step Functions workflows: whether they can be created, what their tasks do when something fails."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity, judged
from cfaudit.model.integrations import is_expression
from cfaudit.model.states import Scope, State, texts
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value


def about(
    outcome: Outcome,
    workflow: Workflow,
    message: str,
    span: Span,
    *,
    salient: str = "",
    more: tuple[Evidence, ...] = (),
    severity: Severity | None = None,
    assumed: tuple[str, ...] = (),
) -> Finding:
    """A finding about a workflow, at a place of its definition; ``salient`` tells several of them apart."""
    return judged(
        outcome,
        workflow.resource,
        workflow.property_path or None,
        message,
        span=span,
        salient=salient,
        more=more,
        severity=severity,
        assumed=assumed,
    )


def unread(workflow: Workflow) -> Finding:
    """The answer about a workflow whose definition this template does not show."""
    message = f"the definition of {workflow.logical_id} cannot be read here: {workflow.reason}"
    return about(Outcome.UNKNOWN, workflow, message, workflow.span)


def readable(template: Template) -> Iterator[Workflow]:
    """The workflows whose states are known. A broken definition is its own rule's business."""
    return (workflow for workflow in template.workflows.values() if workflow.readable)


def unreadable(template: Template) -> Iterator[Finding]:
    """One unknown for each workflow whose definition this template does not show."""
    return (unread(workflow) for workflow in template.workflows.values() if workflow.status == "unreadable")


# Definitions ---------------------------------------------------------------------------------------------------------


def sound_definition(template: Template, facts: Facts) -> Iterator[Finding]:
    """The definition of every workflow must be one that Step Functions takes.

    It fails when it is no JSON (or YAML) document; when StartAt, Next, Default or a Catch names a state that is not in
    the same set of states; when nothing leads to a state; when two states have one name; when no state ends the
    workflow; and when a state lacks what its type needs: a Type, a Resource, Choices, a way out, branches to run. A
    Task whose Resource holds a placeholder that no substitution fills fails too. States that lead only to one another
    are unknown: AWS does not say whether it takes them. A definition that stands elsewhere is unknown.
    """
    yield from unreadable(template)
    for workflow in template.workflows.values():
        if workflow.status == "broken":
            hint = f" ({workflow.hint})" if workflow.hint else ""
            message = f"the definition of {workflow.logical_id} cannot be read: {workflow.reason}{hint}"
            yield about(Outcome.FAIL, workflow, message, workflow.span)
    for workflow in readable(template):
        found = list(_faults(workflow))
        yield from found
        if not found:
            count = len(workflow.states)
            message = f"every state of {workflow.logical_id} is complete and reached ({count})"
            yield about(Outcome.PASS, workflow, message, workflow.span)


def _faults(workflow: Workflow) -> Iterator[Finding]:
    name = workflow.logical_id
    for problem in workflow.problems:
        salient = f"{problem.kind} {problem.state} {problem.message}"
        yield about(Outcome.FAIL, workflow, f"{problem.message}, in {name}", problem.span, salient=salient)
    yield from _dangling(workflow)
    yield from _unreached(workflow)
    yield from _namesakes(workflow)
    if workflow.scopes and _is_endless(workflow, workflow.scopes[0]):
        message = f"no state ends {name}: none is a Succeed or a Fail, or has End: true"
        yield about(Outcome.FAIL, workflow, message, workflow.span, salient="endless")
    left = {placeholder.name for placeholder in workflow.placeholders}
    for state in workflow.tasks:
        value = state.at("Resource")
        hole = next((hole for hole in left if isinstance(value, Scalar) and f"${{{hole}}}" in value.text), None)
        if hole is not None:
            message = f"{state.name} of {name} calls ${{{hole}}}, which nothing fills in"
            yield about(Outcome.FAIL, workflow, message, state.where("Resource"), salient=f"{state.key} resource")


def _dangling(workflow: Workflow) -> Iterator[Finding]:
    """Ways to a state that is not there, one finding for each state and name."""
    found: dict[tuple[str, str], list[Span]] = {}
    for state, way in workflow.dangling:
        source = state.key if state else "StartAt"
        found.setdefault((source, f"{way.name}"), []).append(way.span)
    for (source, target), spans in found.items():
        message = f"{source} of {workflow.logical_id} leads to {target}, which is no state beside it"
        more = tuple(Evidence(span, "leads there too") for span in spans[1:])
        yield about(Outcome.FAIL, workflow, message, spans[0], salient=f"{source} {target}", more=more)


def _unreached(workflow: Workflow) -> Iterator[Finding]:
    """States that no execution comes to; behind a dangling StartAt only that is told."""
    lost = {scope.index for scope in workflow.scopes if scope.start and scope.start.name not in (None, *scope.states)}
    missed = [state for state in workflow.unreachable if state.scope not in lost]
    roots = [state for state in missed if state.key not in workflow.predecessors]
    for state in roots:
        message = f"nothing leads to the state {state.name} of {workflow.logical_id}"
        yield about(Outcome.FAIL, workflow, message, state.span, salient=f"{state.key} unreached")
    for state in missed:
        if state not in roots and not any(workflow.reaches(root, state) for root in roots if root.scope == state.scope):
            others = f"{state.name} of {workflow.logical_id} is reached only from itself or other unreached states"
            message = f"no execution comes to {state.name}: {others}"
            yield about(Outcome.UNKNOWN, workflow, message, state.span, salient=f"{state.key} unreached")


def _namesakes(workflow: Workflow) -> Iterator[Finding]:
    """States of one name; the items of a distributed Map are executions of their own and are not compared."""
    seen: dict[str, State] = {}
    for state in workflow.states.values():
        if any(parent.distributed for parent in around(workflow, state)):
            continue
        first = seen.setdefault(state.name, state)
        if first is not state:
            message = f"two states of {workflow.logical_id} are named {state.name}"
            more = (Evidence(first.span, "the first of that name"),)
            yield about(Outcome.FAIL, workflow, message, state.span, salient=f"{state.key} twice", more=more)


def _is_endless(workflow: Workflow, scope: Scope) -> bool:
    """Whether certainly no state ends the workflow. States without a way out have been told already."""
    states = scope.states.values()
    told = {problem.state for problem in workflow.problems}
    closed = all(state.end is False and state.type not in ("", "Succeed", "Fail") for state in states)
    return bool(states) and closed and not any(state.key in told for state in states)


def around(workflow: Workflow, state: State) -> Iterator[State]:
    """The Map and Parallel states around a state, inmost first."""
    parent = state.parent
    while parent is not None and parent in workflow.states:
        found = workflow.states[parent]
        yield found
        parent = found.parent


# Failures ------------------------------------------------------------------------------------------------------------


def caught_tasks(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every Task state must have a Catch, or stand in a Map or Parallel state that has one.

    A Task that a Catch leads to and that ends the execution passes. So does one that only runs after something
    failed, and that no other Task but only a Fail state follows: the execution fails either way. The finding names the
    state that failures of the workflow's other tasks lead to, or its Fail state; where there is none, it is of medium
    severity. A Catch for some errors only counts. A definition that stands elsewhere, or a Catch that only deploy time
    knows, is unknown.
    """
    yield from unreadable(template)
    for workflow in readable(template):
        handler = _handler(workflow)
        for state in workflow.tasks:
            yield _caught(workflow, state, handler)


def _handler(workflow: Workflow) -> State | None:
    """Where failures of the workflow go: what a Catch leads to, else a Fail state."""
    caught = (workflow.caught_by(catch, state) for state in workflow.states.values() for catch in state.catches)
    return next((state for state in caught if state), next(iter(workflow.failures), None))


def _caught(workflow: Workflow, state: State, handler: State | None) -> Finding:
    name = f"{state.name} of {workflow.logical_id}"
    for holder in (state, *around(workflow, state)):
        catch = holder.at("Catch")
        if isinstance(catch, Unknown):
            message = f"only deploy time knows what {name} catches"
            return about(Outcome.UNKNOWN, workflow, message, holder.where("Catch"), salient=state.key)
        if holder.catches:
            within = "" if holder is state else f", in {holder.name}"
            message = f"failures of {name} are caught{within}"
            return about(Outcome.PASS, workflow, message, holder.where("Catch"), salient=state.key)
    if _is_handler(workflow, state):
        message = f"{name} is itself what failures lead to"
        return about(Outcome.PASS, workflow, message, state.span, salient=state.key)
    if _runs_to_fail(workflow, state):
        message = f"{name} runs only after a failure, and a Fail state follows"
        return about(Outcome.PASS, workflow, message, state.span, salient=state.key)
    message = f"{name} has no Catch: when it fails the execution ends there"
    if handler is None:
        message += ", and no state handles failures"
        return about(Outcome.FAIL, workflow, message, state.span, salient=state.key, severity=Severity.MEDIUM)
    kind = "Fail state" if handler.type == "Fail" else "state"
    message += f" and not in {handler.name}"
    more = (Evidence(handler.span, f"the {kind} that failures can lead to"),)
    return about(Outcome.FAIL, workflow, message, state.span, salient=state.key, more=more)


def _is_handler(workflow: Workflow, state: State) -> bool:
    """Whether a Catch leads to the state and nothing comes after it."""
    caught = (workflow.caught_by(catch, holder) for holder in workflow.states.values() for catch in holder.catches)
    return state.end is True and any(target is state for target in caught)


def _runs_to_fail(workflow: Workflow, state: State) -> bool:
    """Whether a state runs only after a Catch and is the last Task before a Fail state, whatever happens."""
    start = workflow.scopes[state.scope].start
    before = _closure(workflow, state, back=True)
    after = _closure(workflow, state, back=False)
    ends = [found.type for found in after if found.terminal]
    if start is None or start.name is None or any(found.name == start.name for found in before):
        return False
    last = not any(found.type in ("Task", "Map", "Parallel") for found in after if found is not state)
    return last and bool(ends) and set(ends) == {"Fail"} and all(way.name for way in state.transitions)


def _closure(workflow: Workflow, state: State, *, back: bool) -> list[State]:
    """A state and those that follow it; or those before it that come to it without a failure."""
    found: dict[str, State] = {state.key: state}
    waiting = [state]
    while waiting:
        here = waiting.pop()
        if back:
            before = workflow.predecessors.get(here.key, ())
            steps = [source for source, way in before if way.kind != "catch"]
        else:
            steps = [target for _, target in workflow.successors(here)]
        for step in steps:
            if step.key not in found:
                found[step.key] = step
                waiting.append(step)
    return list(found.values())


# Time limits ---------------------------------------------------------------------------------------------------------


def bounded_workflow(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every workflow, or each of its Task states, must have a time limit, and every Fail state says why it failed.

    A limit is TimeoutSeconds of the definition, or TimeoutSeconds, TimeoutSecondsPath or a heartbeat of each Task. An
    Express workflow passes: it ends after five minutes. A workflow without a Task has nothing to wait for and is not
    judged for limits. A Fail state passes with an Error or a Cause (or ErrorPath, CausePath). A definition that stands
    elsewhere is unknown, and so is a workflow whose type only deploy time knows.
    """
    yield from unreadable(template)
    for workflow in readable(template):
        if workflow.tasks:
            yield _bounded(workflow)
        for state in workflow.failures:
            given = [name for name in ("Error", "ErrorPath", "Cause", "CausePath") if _is_given(state.at(name))]
            name = f"{state.name} of {workflow.logical_id}"
            if given:
                message = f"{name} says why it failed"
                yield about(Outcome.PASS, workflow, message, state.where(given[0]), salient=state.key)
            else:
                message = f"{name} ends the execution with neither an Error nor a Cause"
                yield about(Outcome.FAIL, workflow, message, state.span, salient=state.key)


def _bounded(workflow: Workflow) -> Finding:
    name = workflow.logical_id
    limit = workflow.at("TimeoutSeconds")
    if _is_given(limit):
        return about(Outcome.PASS, workflow, f"{name} has a time limit", limit.span, salient="limit")
    loose = [state for state in workflow.tasks if not (_is_given(state.timeout) or _is_given(state.heartbeat))]
    if not loose:
        span = workflow.tasks[0].timeout.span
        return about(Outcome.PASS, workflow, f"every task of {name} has a time limit", span, salient="limit")
    path = "Type" if workflow.resource.type == "AWS::Serverless::StateMachine" else "StateMachineType"
    if workflow.express:
        message = f"{name} is an Express workflow, which ends after five minutes"
        return about(Outcome.PASS, workflow, message, workflow.resource.where(path), salient="limit")
    tasks = ", ".join(state.name for state in loose)
    message = f"{name} has no TimeoutSeconds, and neither have its tasks {tasks}"
    if workflow.express is None:
        message = f"only deploy time knows whether {name}, which has no TimeoutSeconds, is an Express workflow"
    outcome = Outcome.UNKNOWN if workflow.express is None else Outcome.FAIL
    more = tuple(Evidence(state.span, "a task without a time limit") for state in loose)
    return about(outcome, workflow, message, workflow.resource.span, salient="limit", more=more)


def _is_given(value: Value) -> bool:
    return not isinstance(value, Absent)


# Messages ------------------------------------------------------------------------------------------------------------


def telling_messages(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every state that publishes to SNS must say something of the execution it runs in.

    It does when its message, its subject or one of its message attributes is taken from the state's input or from the
    context object, or when it sends message attributes at all. A message that is the same in every execution, with no
    attributes, fails. A definition that stands elsewhere is unknown, and so is a message that only deploy time knows
    in a JSONata state, where it may be an expression.
    """
    yield from unreadable(template)
    for workflow in readable(template):
        for state in workflow.tasks:
            call = state.integration
            if call and call.prefix == "sns" and call.operation == "publish":
                yield _told(workflow, state)


def _told(workflow: Workflow, state: State) -> Finding:
    name = f"{state.name} of {workflow.logical_id}"
    message, attributes = state.argument("Message"), state.argument("MessageAttributes")
    whole = isinstance(state.arguments, (Absent, Scalar, Unknown))
    if whole or message.computed or computes(message.value) or state.argument("Subject").computed:
        return about(Outcome.PASS, workflow, f"{name} says what it is about", message.span, salient=state.key)
    if not isinstance(attributes.value, Absent) or attributes.computed:
        return about(Outcome.PASS, workflow, f"{name} sends attributes", attributes.span, salient=state.key)
    if state.language == "JSONata" and isinstance(message.value, Unknown) and message.value.deferred:
        text = f"only deploy time knows whether the message of {name} is an expression"
        return about(Outcome.UNKNOWN, workflow, text, message.span, salient=state.key)
    if isinstance(message.value, Absent):
        text = f"{name} publishes no message, and no attributes"
    else:
        text = f"{name} publishes the same message in every execution, and no attributes"
    return about(Outcome.FAIL, workflow, text, message.span, salient=state.key)


def computes(value: Value) -> bool:
    """Whether any part of a value comes from the running workflow: a ``.$`` key or an expression below it."""
    match value:
        case Map(entries):
            return any(key.endswith(".$") or computes(item) for key, item in entries.items())
        case Seq(items):
            return any(computes(item) for item in items)
        case _:
            return is_expression(value)


def phrases(value: Value) -> str:
    """Every known text below a value, in one line."""
    return " ".join(text.text if isinstance(text, Scalar) else text.known_text for text in texts(value))
