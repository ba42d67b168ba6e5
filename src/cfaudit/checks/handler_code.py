"""Questions about what a function's code does, or does not do, where the code can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.checks.permissions import listed
from cfaudit.checks.transactions import ITEM_WRITES, writers
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.code.facts import Code, SdkCall
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.iam import Statement, action_matches
from cfaudit.model.knowledge import named_by
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Map, Scalar, Seq, Span, Unknown, Value, strings

# Stubs ---------------------------------------------------------------------------------------------------------------


class _Ask(NamedTuple):
    """What a function is meant to use: of a variable or a grant, with the line that says so."""

    what: str
    evidence: Evidence


def stub_handlers(template: Template, facts: Facts, *, support: tuple[str, ...]) -> Iterator[Finding]:
    """A function that is given something to work with must do some work.

    It is given something by a variable of its own that names another resource, or an import, and by a role of its own
    that grants an action on a service; logs, traces, metrics, network interfaces, keys, the reading of its own event
    source and sending to its own failure destination are support and count as nothing. A role that several functions
    share counts when none of them does anything. It fails when its code can be read, reads no variable, loads no SDK,
    calls nothing and returns the same success whatever it is asked, if it does not refuse the request at once. It
    passes when the code does any of these. Code that cannot be read, or that hands over to something that cannot, is
    unknown, as is a stub whose grants this template does not show. Functions that are given nothing, as a health check,
    and handlers of custom resources are not judged.
    """
    for function in template.functions.values():
        code = template.code[function.logical_id]
        if function.logical_id not in template.custom_resource_functions and not code.custom_resource:
            asked = [*_told(template, function), *_granted(template, function, support)]
            unseen = _unseen(template, function)
            if asked or unseen:
                yield _stub(function, code, asked, unseen)


def _stub(function: Function, code: Code, asked: list[_Ask], unseen: Evidence | None) -> Finding:
    name = function.logical_id
    given = list(dict.fromkeys(ask.evidence for ask in asked))

    def about(outcome: Outcome, message: str, note: str, *, more: list[Evidence]) -> Finding:
        return judged(outcome, function.resource, None, message, span=code.span, note=note, more=more)

    if not code.readable:
        message = f"whether {name} does any work is unknown: {code.reason}"
        return about(Outcome.UNKNOWN, message, "its code", more=given)
    if code.idle is None:
        hidden = [Evidence(word.span, word.text) for word in code.unread]
        message = f"whether {name} does any work is unknown: its code hands over to what cannot be read here"
        return about(Outcome.UNKNOWN, message, "its code", more=[*hidden, *given])
    if code.constant and not asked and unseen is not None:
        message = f"{name} answers every call with the same success; whether it is given anything to use is not shown"
        return about(Outcome.UNKNOWN, message, "its code", more=[unseen])
    if code.constant:
        used = listed(dict.fromkeys(ask.what for ask in asked))
        accepted = " that it does not refuse" if code.refuses else ""
        message = f"{name} is a stub: it answers every call{accepted} with the same success and uses nothing of {used}"
        note = "reads no variable, calls nothing, returns a constant"
        return about(Outcome.FAIL, message, note, more=given)
    done = "answers by what it is asked" if code.idle else "reads a variable, loads an SDK or calls something"
    uses = [Evidence(word.span, f"reads {word.text}") for word in code.variables[:1]]
    uses += [Evidence(call.span, f"calls {call.service}:{call.operation}") for call in code.calls[:1]]
    return about(Outcome.PASS, f"the code of {name} {done}", "its code", more=uses)


def _unseen(template: Template, function: Function) -> Evidence | None:
    """The policy, or the role, whose grants to the function this template does not show."""
    principal = template.principals.get(function.principal or "")
    if principal is not None:
        return Evidence(principal.opaque[0].span, "a policy that is not shown here") if principal.opaque else None
    role = function.at("Role")
    return None if isinstance(role, Absent) else Evidence(role.span, "a role that is not shown here")


def _told(template: Template, function: Function) -> Iterator[_Ask]:
    """The function's own variables that name something; those of SAM's Globals are not meant for it alone."""
    own = function.resource.at("Environment.Variables")
    written = own.entries if isinstance(own, Map) else {}
    for variable in function.variables:
        if variable.name in written and _names(template, function, variable.value):
            note = f"{function.logical_id} is told of it in {variable.name}"
            yield _Ask(variable.name, Evidence(variable.span, note))


def _names(template: Template, function: Function, value: Value) -> bool:
    if isinstance(value, Unknown) and any(isinstance(hole, Deferred) and hole.kind == "import" for hole in value.parts):
        return True
    return any(name != function.logical_id for name in named_by(template, value))


def _granted(template: Template, function: Function, support: tuple[str, ...]) -> Iterator[_Ask]:
    """The grants of the function's role that are more than support."""
    principal = template.principals.get(function.principal or "")
    if principal is None:
        return
    sharing = template.functions_of[principal.logical_id]
    if len(sharing) > 1 and not all(template.code[each.logical_id].constant for each in sharing):
        return
    destinations = _destinations(template, function)
    for statement in principal.statements:
        if statement.effect == "Allow" and not _is_delivery(template, statement, destinations):
            held: dict[Span, list[str]] = {}
            for action in statement.actions:
                if isinstance(action, Scalar) and ":" in action.text and not _is_support(action.text, support):
                    held.setdefault(action.span, []).append(action.text)
            for span, actions in held.items():
                evidence = Evidence(span, f"{principal.logical_id} may {listed(actions)}")
                yield from (_Ask(action, evidence) for action in actions)


def _is_support(action: str, support: tuple[str, ...]) -> bool:
    return any(action_matches(pattern, action) for pattern in support)


_SENDING = ("AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping")


def _destinations(template: Template, function: Function) -> frozenset[str]:
    """Where Lambda itself sends what the function failed on, or answered, with the function's role."""
    name = function.logical_id
    edges = [edge for edge in template.edges_from.get(name, ()) if edge.path.startswith(("DeadLetter", "EventInvoke"))]
    for into in template.edges_to.get(name, ()):
        if template.resources[into.source].type in _SENDING:
            edges += [edge for edge in template.edges_from[into.source] if "Destination" in edge.path]
    return frozenset(edge.target for edge in edges)


def _is_delivery(template: Template, statement: Statement, destinations: frozenset[str]) -> bool:
    if statement.managed is not None and statement.managed.startswith("SAM's "):
        return True
    found = [template.targets(element) for element in statement.resources]
    return bool(found) and all(each and {target.logical_id for target in each} <= destinations for each in found)


# Transactions --------------------------------------------------------------------------------------------------------

_HANDS_ON = ("events:PutEvents", "lambda:*", "sns:Publish", "sqs:*", "states:*")


def transactions_called(
    template: Template, facts: Facts, *, role: str, function: str, words: tuple[str, ...]
) -> Iterator[Finding]:
    """Code that must write atomically must call a transactional write.

    Judged is the payment function of the profile, and outside of it the functions of a role that may write items of
    DynamoDB and is meant to do so atomically: a statement for `dynamodb:TransactWriteItems`, the condition key
    `dynamodb:EnclosingOperation`, or a name or description that speaks of atomic writes. It passes when the code, of
    one of the role's functions, calls TransactWriteItems or ExecuteTransaction. It fails when all the code can be read
    and no such call is in it. It is unknown when code cannot be read, when a package or a value that cannot be told may
    hide a call, and when code that writes no item itself hands the work to another function, a workflow or a queue.
    """
    for functions, assumed in _meant(template, facts, role, function, words):
        yield _transactional(template, functions, assumed)


def _meant(
    template: Template, facts: Facts, role: str, function: str, words: tuple[str, ...]
) -> Iterator[tuple[tuple[Function, ...], tuple[str, ...]]]:
    """The functions that must write atomically: those of one role belong together."""
    bound, match = facts.bound(template, function), facts.matches.get(function)
    held = template.functions.get(bound.logical_id) if bound else None
    if held and match:
        assumed = (f"{held.logical_id} is the {function} ({match.matched_by})",)
        yield (held,), () if match.matched_by == "bind" else assumed
    for writer in writers(template, facts, role, function, words, ()):
        functions = template.functions_of.get(writer.principal.logical_id, ())
        if functions and held not in functions:
            yield functions, writer.assumed


def _transactional(template: Template, functions: tuple[Function, ...], assumed: tuple[str, ...]) -> Finding:
    codes = [template.code[function.logical_id] for function in functions]
    names = listed(function.logical_id for function in functions)
    calls = [call for code in codes for call in code.calls]
    found = [call for call in calls if call.transactional]
    written = [call for call in calls if _writes(call)]
    closed = [code for code in codes if not code.complete]
    passing = [call for code in codes for call in code.calls_of(*_HANDS_ON)]
    handed = [Evidence(call.span, f"hands on by {_named(call)}") for call in passing]
    handed += [Evidence(span, "sends a request") for code in codes for span in code.http]
    more = [Evidence(call.span, f"calls {_named(call)}, a write by itself") for call in written]
    if found:
        outcome, message = Outcome.PASS, f"the code of {names} calls {_named(found[0])}"
        more = [Evidence(call.span, f"calls {_named(call)}") for call in found]
    elif closed:
        outcome, message = Outcome.UNKNOWN, f"whether {names} writes in a transaction is unknown: {_reason(closed[0])}"
        more += [Evidence(word.span, word.text) for code in closed for word in code.unread]
    elif handed and not written:
        outcome, more = Outcome.UNKNOWN, handed
        message = f"the code of {names} writes nothing itself and hands on; whether in a transaction is unknown"
    else:
        does = f"writes by {listed(dict.fromkeys(map(_named, written)))} only" if written else "writes nothing at all"
        outcome, message = Outcome.FAIL, f"the code of {names} never calls a transactional write: it {does}"
    lines = more or [Evidence(code.span, "its code") for code in codes]
    lines += [Evidence(code.span, "the code") for code in codes if code.readable and more]
    return judged(
        outcome,
        functions[0].resource,
        None,
        message,
        span=lines[0].span,
        note=lines[0].note,
        more=lines[1:],
        assumed=assumed,
    )


def _reason(code: Code) -> str:
    return f"{code.unread[0].text} may hide a call" if code.readable else code.reason


def _named(call: SdkCall) -> str:
    return f"{call.service}:{call.operation}"


def _writes(call: SdkCall) -> bool:
    """Whether it writes an item by itself."""
    return call.service == "dynamodb" and (_named(call) in ITEM_WRITES or call.operation.startswith("Batch"))


# Logs ----------------------------------------------------------------------------------------------------------------


def private_logs(template: Template, facts: Facts) -> Iterator[Finding]:
    """A function behind an API must not write the whole event to its log.

    The event of an API holds what the caller sent: the body, the headers with their tokens, the address and the claims
    of the caller. Judged are the functions that routes of REST, HTTP and WebSocket APIs invoke, SAM's events included,
    and those that API Gateway is permitted to invoke for routes which the template does not show; routes that only
    answer OPTIONS are none. Whole is the event by itself, in a text, in an object or through
    JSON.stringify or json.dumps without a filter, and Powertools with `log_event`; single members of it pass. Code that
    cannot be read is unknown, and so is a log group whose data protection policy masks what it recognises.
    """
    routes: dict[str, tuple[str, Evidence]] = {}
    for route in template.routes:
        target = route.integration.target if route.integration else None
        if target and route.method != "OPTIONS":
            routes.setdefault(target.function, (route.name, Evidence(route.span, f"{route.name} invokes it")))
    for name in template.functions:
        if not any(wire.way == "route" for wire in template.wiring.into(name, "invokes")):
            for permission in template.permissions_of.get(name, ()):
                if isinstance(permission.principal, Scalar) and permission.principal.text == "apigateway.amazonaws.com":
                    routes.setdefault(name, ("API Gateway", Evidence(permission.span, "lets API Gateway invoke it")))
    for name, (route_name, evidence) in routes.items():
        if name in template.functions:
            yield _logged(template, template.functions[name], route_name, evidence)


def _logged(template: Template, function: Function, route: str, evidence: Evidence) -> Finding:
    name, code = function.logical_id, template.code[function.logical_id]
    lines = [Evidence(span, "logs the whole event") for span in code.event_logs]
    masked = [mask for group in template.log_groups_of.get(name, ()) for mask in _masks(group)]
    if not code.readable:
        outcome, message = Outcome.UNKNOWN, f"whether {name} logs the whole event is unknown: {code.reason}"
    elif lines and masked:
        outcome = Outcome.UNKNOWN
        message = f"{name} logs the whole event of {route}; whether its log group masks all that is private is unknown"
    elif lines:
        outcome = Outcome.FAIL
        message = f"{name} logs the whole event of {route}, with all that its callers send"
    else:
        outcome, message = Outcome.PASS, f"{name} logs no whole event"
    lines = lines or [Evidence(code.span, "its code")]
    span, note, _ = lines[0]
    more = [*lines[1:], *masked, evidence]
    return judged(outcome, function.resource, None, message, span=span, note=note, more=more)


def _masks(group: Resource) -> Iterator[Evidence]:
    """Where a log group masks data; the policy is a map, or JSON in a text."""
    policy = group.at("DataProtectionPolicy")
    said = any("Deidentify" in (text.text if isinstance(text, Scalar) else text.known_text) for text in strings(policy))
    if said or _has_key(policy, "Deidentify"):
        yield Evidence(group.where("DataProtectionPolicy"), f"{group.logical_id} masks data")


def _has_key(value: Value, name: str) -> bool:
    match value:
        case Map(entries):
            return name in entries or any(_has_key(member, name) for member in entries.values())
        case Seq(items):
            return any(_has_key(item, name) for item in items)
        case _:
            return False
