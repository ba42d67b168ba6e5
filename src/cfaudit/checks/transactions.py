"""Questions about writes to DynamoDB that must happen together or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.arn import covers
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Principal, Statement, action_matches, reaches
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.model.triangle import Pair, borrowed, triangle
from cfaudit.nodes import Scalar, Span, Unknown, Value, strings

ITEM_WRITES = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
"""What authorises the writes of a transaction.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
"""

_BATCH = "dynamodb:BatchWriteItem"
_READS = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan")
_TABLES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable")


class Writer(NamedTuple):
    """A principal whose writes are meant to be atomic, why that is assumed, and whether the reason is a strong one."""

    principal: Principal
    reason: Evidence | None
    certain: bool
    assumed: tuple[str, ...]
    bound: bool


def no_batch_write(
    template: Template,
    facts: Facts,
    *,
    role: str,
    function: str,
    words: tuple[str, ...],
    hints: tuple[str, ...],
) -> Iterator[Finding]:
    """A role that is meant to write atomically must not be granted BatchWriteItem by name.

    Such roles are the payment role and the role of the payment function of the profile; roles with a statement for
    `dynamodb:TransactWriteItems` or under the condition key `dynamodb:EnclosingOperation`; and roles that may write
    items and whose name, description, policy names, statement ids or functions' names and descriptions speak of
    transactions or atomic writes. Where they speak only of payments or a ledger, BatchWriteItem on two tables or more
    fails and on one is unknown. Policies that AWS wrote, and wildcards such as `dynamodb:*`, are not judged here.
    """
    for writer in writers(template, facts, role, function, words, hints):
        principal = writer.principal
        found = [
            (grant.statement, grant.action)
            for grant in principal.grants("dynamodb")
            if grant.statement.managed is None and "batch" in grant.action.text.lower()
            if action_matches(grant.action.text, _BATCH)
        ]
        if not found:
            yield _without_batch(writer)
            continue
        held = [action for action in ITEM_WRITES if principal.allows(action)]
        certain = writer.certain or len(set().union(*(_tables_of(statement, template) for statement, _ in found))) > 1
        yield _batch_write(writer, found, held, certain)


def _batch_write(writer: Writer, found: list[tuple[Statement, Scalar]], held: list[str], certain: bool) -> Finding:
    principal, name = writer.principal, writer.principal.logical_id
    said = "which is neither atomic nor conditional and also deletes items"
    if not certain:
        said = "and only its code says whether its writes must be atomic"
    elif held:
        said += f"; what a transaction needs is granted already: {listed(held)}"
    else:
        said += "; a transaction needs dynamodb:PutItem or dynamodb:UpdateItem, and neither is granted"
    granted = _elements(principal, held)
    more = [Evidence(element.span, "granted here too") for _, element in found[1:]]
    more += [Evidence(element.span, f"granted already: {_told(element)}") for element in granted]
    more += [writer.reason] if writer.reason else []
    statement, element = found[0]
    return judged(
        Outcome.FAIL if certain else Outcome.UNKNOWN,
        statement.holder,
        None,
        f"{name} may call dynamodb:BatchWriteItem, {said}",
        span=element.span,
        note=element.text,
        more=more,
        subject=name,
        salient=_BATCH,
        assumed=writer.assumed,
    )


def _elements(principal: Principal, actions: Iterable[str]) -> list[Scalar | Unknown]:
    """The elements of Action that allow any of the actions, each once, in the policies' order."""
    allowed = [statement for statement in principal.statements if statement.effect == "Allow"]
    found = (element for statement in allowed for action in actions for element in statement.matching(action))
    return list(dict.fromkeys(found))


def _without_batch(writer: Writer) -> Finding:
    principal, name = writer.principal, writer.principal.logical_id
    writes = _elements(principal, ITEM_WRITES)
    more = [Evidence(element.span, _told(element)) for element in writes[1:]]
    span = writes[0].span if writes else writer.reason.span if writer.reason else principal.resource.span
    unseen = principal.unread or (principal.opaque and not writes)
    outcome = Outcome.UNKNOWN if unseen else Outcome.PASS
    message = f"no policy written here for {name} names dynamodb:BatchWriteItem"
    message += ", but it has others that are not shown" if unseen else ""
    return judged(
        outcome, principal.resource, None, message, span=span, more=more, subject=name, assumed=writer.assumed
    )


def transaction_writes(
    template: Template,
    facts: Facts,
    *,
    role: str,
    function: str,
    tables: tuple[str, ...],
    words: tuple[str, ...],
    hints: tuple[str, ...],
) -> Iterator[Finding]:
    """A role that is meant to write atomically must be allowed to put, update or delete items of each table concerned.

    The roles are those of batch-write-for-transactions. The tables are the profile's campaigns and contributions tables
    when the profile names the role; tables on which the role is granted a writing action, BatchWriteItem included; and
    tables whose names its functions are given, unless the role may only read them. A transaction's Put, Update and
    Delete need PutItem, UpdateItem and DeleteItem on the table itself (an index is not enough); a ConditionExpression
    on them needs nothing more. Grants under a condition count. Where the code of its functions can be read, the role
    must also be allowed what each element of a transaction needs on its table: dynamodb:ConditionCheckItem for a
    ConditionCheck. A table of another stack is unknown unless the same statements grant one of the three on it.
    """
    for writer in writers(template, facts, role, function, words, hints):
        found = [
            _table_writes(template, writer, template.resources[table], evidence)
            for table, evidence in _concerned(template, facts, writer, tables).items()
        ]
        found += _elsewhere(template, writer)
        refused = {finding.salient for finding in found if finding.outcome is Outcome.FAIL}
        found += [finding for finding in _elements_denied(template, writer) if finding.salient not in refused]
        passed = [finding for finding in found if finding.outcome is Outcome.PASS]
        yield from (finding for finding in found if finding.outcome is not Outcome.PASS)
        if passed and len(passed) == len(found):
            name = writer.principal.logical_id
            message = f"{name} may write {listed(finding.salient for finding in passed)} in a transaction"
            more = tuple(finding.evidence[0] for finding in passed[1:])
            yield replace(passed[0], message=message, salient="", evidence=(passed[0].evidence[0], *more))


def _table_writes(template: Template, writer: Writer, table: Resource, evidence: Evidence) -> Finding:
    """Whether the role may put, update or delete items of one table; ``evidence`` makes it one of the transaction."""
    principal, name = writer.principal, writer.principal.logical_id
    answers = {action: principal.allows(action, template, table, "") for action in ITEM_WRITES}
    granted = [action for action, answer in answers.items() if answer]
    more: tuple[Evidence, ...] = (writer.reason,) if writer.reason else ()
    if granted:
        outcome, message = Outcome.PASS, f"{listed(granted)} on {table.logical_id}"
        evidence, more = Evidence(_line(principal, template, table, granted[0]) or evidence.span, message), ()
    elif None in answers.values():
        outcome = Outcome.UNKNOWN
        message = f"whether {name} may write items of {table.logical_id} is known only at deploy time"
    else:
        outcome, target = Outcome.FAIL, table.logical_id
        message = f"{name} may not put, update or delete items of {target}: a transaction that writes them is denied"
    return judged(
        outcome,
        principal.resource,
        None,
        message,
        span=evidence.span,
        note=evidence.note,
        more=more,
        subject=name,
        salient=table.logical_id,
        assumed=writer.assumed,
    )


def _elements_denied(template: Template, writer: Writer) -> Iterator[Finding]:
    """Tables on which the role lacks what the transactions in its functions' code do to them."""
    role = writer.principal.logical_id
    for function in template.functions_of.get(role, ()):
        code = template.code.get(function.logical_id)
        if code is None or borrowed(code):
            continue
        needs = {(need.action, need.span) for call in code.calls if call.transactional for need in call.needs}
        denied: dict[str, list[Pair]] = {}
        for pair in triangle(template, function):
            if pair.answer == "lacks" and pair.resource and (pair.action, pair.place) in needs:
                denied.setdefault(pair.resource, []).append(pair)
        for table, pairs in denied.items():
            lines = [Evidence(pair.place, f"{function.logical_id} needs {pair.action} on {table}") for pair in pairs]
            actions = listed(sorted({pair.action for pair in pairs}))
            message = f"{role} does not allow {actions} on {table}: the transaction in the code of "
            message += f"{function.logical_id} is denied"
            yield judged(
                Outcome.FAIL,
                writer.principal.resource,
                None,
                message,
                more=lines,
                subject=role,
                salient=table,
                assumed=writer.assumed,
            )


def _line(principal: Principal, template: Template, table: Resource, action: str) -> Span | None:
    """The element of Action that grants an action on a table."""
    for statement in principal.statements:
        if statement.effect == "Allow" and reaches(statement, template, table, ""):
            for element in statement.matching(action):
                return element.span
    return None


def _elsewhere(template: Template, writer: Writer) -> Iterator[Finding]:
    """Tables of other stacks that the role may write: fine where an item action is granted on them."""
    principal, name = writer.principal, writer.principal.logical_id
    found: dict[str, tuple[Scalar | Unknown, bool]] = {}
    for statement in principal.statements:
        single = any(any(True for _ in statement.matching(action)) for action in ITEM_WRITES)
        for element in statement.resources if _writing(statement) else ():
            if _is_foreign(element, template):
                text = rendered(element).partition("/index")[0]
                first, before = found.get(text, (element, False))
                found[text] = first, before or single
    for element, single in found.values():
        message = f"{name} may write a table of another stack by dynamodb:BatchWriteItem only, as far as is shown here"
        yield judged(
            Outcome.PASS if single else Outcome.UNKNOWN,
            principal.resource,
            None,
            message,
            span=element.span,
            note="a table of another stack",
            subject=name,
            salient=_hole(element),
            assumed=writer.assumed,
        )


def _is_foreign(element: Scalar | Unknown, template: Template) -> bool:
    """Whether an element names something that a parameter, an import or a dynamic reference brings in."""
    holes = [hole for hole in element.deferred if hole.kind != "pseudo"] if isinstance(element, Unknown) else []
    return bool(holes) and not any(covers(element, template, table) for table in template.of(*_TABLES))


def _hole(element: Scalar | Unknown) -> str:
    return next(hole.name for hole in element.deferred if hole.kind != "pseudo") if isinstance(element, Unknown) else ""


# Who writes, and what ------------------------------------------------------------------------------------------------


def writers(
    template: Template, facts: Facts, role: str, function: str, words: tuple[str, ...], hints: tuple[str, ...]
) -> Iterator[Writer]:
    """The principals whose writes are meant to be atomic: the profile's, then those that say so."""
    bound = _bound(template, facts, role, function)
    for name, principal in template.principals.items():
        if name in bound:
            yield Writer(principal, None, True, bound[name], True)
            continue
        if not any(_writing(statement) for statement in principal.statements):
            continue
        for strong, wanted in ((True, words), (False, hints)):
            reason = (_spoken_of(principal) if strong else None) or _named_so(template, principal, wanted)
            if reason:
                assumed = (f"{name} is meant for atomic writes: {reason.note}",)
                yield Writer(principal, reason, strong, assumed, False)
                break


def _bound(template: Template, facts: Facts, role: str, function: str) -> dict[str, tuple[str, ...]]:
    """The principals that the profile's inventory names, with what that rests on."""
    found: dict[str, tuple[str, ...]] = {}
    for component in (role, function):
        resource, match = facts.bound(template, component), facts.matches.get(component)
        if resource is None or match is None:
            continue
        held = template.functions.get(resource.logical_id)
        name = (held.principal if held else None) or resource.logical_id
        if name in template.principals:
            assumed = (f"{resource.logical_id} is the {component} ({match.matched_by})",)
            found.setdefault(name, () if match.matched_by == "bind" else assumed)
    return found


def _writing(statement: Statement) -> bool:
    """Whether a statement allows to write items of DynamoDB, by an element that names the service."""
    if statement.effect == "Deny":
        return False
    named = [e.text for e in statement.actions if isinstance(e, Scalar) and e.text.lower().startswith("dynamodb:")]
    return any(
        action_matches(text, action) or text.lower().startswith("dynamodb:transactwrite")
        for text in named
        for action in (*ITEM_WRITES, _BATCH)
    )


def _spoken_of(principal: Principal) -> Evidence | None:
    """A statement that names the operation itself, as an action that does not exist or in a condition."""
    for statement in principal.statements:
        for element in statement.actions:
            if isinstance(element, Scalar) and element.text.lower().startswith("dynamodb:transactwrite"):
                return Evidence(element.span, f"a statement names {element.text}")
        for operator, key, value in statement.conditions:
            if statement.effect == "Allow" and key == "dynamodb:enclosingoperation" and "not" not in operator:
                return Evidence(value.span, "a condition names the enclosing operation")
    return None


def _named_so(template: Template, principal: Principal, words: Iterable[str]) -> Evidence | None:
    """A name or description that has one of the words."""
    wanted = frozenset(words)
    for what, value in _sayings(template, principal):
        for text in strings(value):
            said = text.text if isinstance(text, Scalar) else text.known_text
            hit = next((word for word in _split(said) if word in wanted), None)
            if hit:
                return Evidence(text.span, f"{what} says '{hit}'")
    return None


def _sayings(template: Template, principal: Principal) -> Iterator[tuple[str, Value]]:
    for statement in principal.statements:
        if statement.managed is None and _writing(statement):
            yield "its policy's name", statement.policy_name
            yield "a statement's id", statement.sid
    yield "its name", principal.resource.at("RoleName")
    yield "its description", principal.resource.at("Description")
    for function in template.functions_of.get(principal.logical_id, ()):
        yield f"the name of {function.logical_id}", function.at("FunctionName")
        yield f"the description of {function.logical_id}", function.at("Description")


def _split(text: str) -> list[str]:
    """The words of ``DynamoDBTransactionAccess`` or ``transaction-access``, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)]


def _concerned(template: Template, facts: Facts, writer: Writer, components: tuple[str, ...]) -> dict[str, Evidence]:
    """The declared tables of the transaction and the line that makes each one of them."""
    found: dict[str, Evidence] = {}
    principal = writer.principal
    for statement in principal.statements:
        if _writing(statement):
            for element in statement.resources:
                for table in _tables(element, template):
                    found.setdefault(table.logical_id, Evidence(element.span, f"granted on {table.logical_id}"))
    for function in template.functions_of.get(principal.logical_id, ()):
        for variable in function.variables:
            for table in template.targets(variable.value, *_TABLES):
                reads = any(principal.allows(action, template, table) for action in _READS)
                if not reads:
                    note = f"{function.logical_id} is told of {table.logical_id}"
                    found.setdefault(table.logical_id, Evidence(variable.span, note))
    for component in components if writer.bound else ():
        table_of = facts.bound(template, component)
        if table_of and table_of.type in _TABLES:
            note = f"{table_of.logical_id} is the {component}"
            found.setdefault(table_of.logical_id, Evidence(principal.resource.span, note))
    return found


def _tables_of(statement: Statement, template: Template) -> set[str]:
    """The tables that a statement's Resource names, those of other stacks by their text."""
    found: set[str] = set()
    for element in statement.resources:
        declared = {table.logical_id for table in _tables(element, template)}
        found |= declared or {rendered(element).partition("/index")[0]}
    return found


def _tables(element: Scalar | Unknown, template: Template) -> Iterator[Resource]:
    """The declared tables an element of Resource names; ``*`` names none."""
    if isinstance(element, Scalar) and not element.text.strip("*"):
        return
    for table in template.of(*_TABLES):
        if covers(element, template, table):
            yield table


def _told(element: Scalar | Unknown) -> str:
    return element.text if isinstance(element, Scalar) else "an action"
