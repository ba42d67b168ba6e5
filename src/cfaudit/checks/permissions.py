"""Questions about what the identity policies of the stack name: actions that exist, and wildcards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from cfaudit import data
from cfaudit.checks.texting import PUBLISH, sends_texts
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.iam import Principal, Statement, action_matches
from cfaudit.model.reliance import told
from cfaudit.model.template import Template
from cfaudit.nodes import Scalar, Unknown

SHOWN = 4
"""How many actions a message names before it counts the rest."""

ASSUMED = "the resources named at deploy time are ARNs, not wildcards"


class _Named(NamedTuple):
    """An element of a statement and what is to be said of it."""

    element: Scalar | Unknown
    statement: Statement
    said: str = ""


def listed(words: Iterable[str], limit: int = SHOWN) -> str:
    """ "a, b and c", or "a, b and 7 more"."""
    held = list(dict.fromkeys(words))
    shown = held if len(held) <= limit else [*held[: limit - 1], f"{len(held) - limit + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else ""


def _own(principal: Principal) -> tuple[Statement, ...]:
    """The statements that this template's author wrote, not AWS."""
    return tuple(statement for statement in principal.statements if statement.managed is None)


def _about(
    outcome: Outcome, principal: Principal, found: list[_Named], message: str, salient: str = "", *assumed: str
) -> Finding:
    """A finding about a principal, anchored at the first element."""
    first, last = found[0], SHOWN if outcome is Outcome.PASS else len(found)
    more = tuple(Evidence(entry.element.span, told(entry.element)) for entry in found[1:last])
    return judged(
        outcome,
        first.statement.holder,
        None,
        message,
        span=first.element.span,
        note=told(first.element),
        more=more,
        subject=principal.logical_id,
        salient=salient,
        assumed=assumed,
    )


def _unread(principal: Principal) -> Iterator[Finding]:
    if principal.unread:
        message = f"a policy of {principal.logical_id} is known only at deploy time"
        more = tuple(Evidence(value.span, "not readable here") for value in principal.unread[1:])
        span = principal.unread[0].span
        yield judged(Outcome.UNKNOWN, principal.resource, None, message, span=span, more=more, salient="unread")


# Actions that exist --------------------------------------------------------------------------------------------------


def real_actions(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every element of Action and NotAction in the policies of roles, users and groups must name an IAM action.

    Names are compared, without regard to case, with the table of IAM actions that cfn-lint carries. An API operation
    that is no action fails, and the actions that authorise it are named. So does a name that differs by one letter
    from an action or an operation, or by two in a word that no action has; a wildcard that matches nothing; and a name
    without a service. Any other name that the table does not have is unknown, because the table lags AWS; so is a
    service that it does not have. Policies that AWS wrote, and resource-based policies, are not judged.
    """
    for principal in template.principals.values():
        real: list[_Named] = []
        unclear: list[_Named] = []
        unreal: dict[str, list[_Named]] = {}
        for statement in _own(principal):
            for element in (*statement.actions, *statement.not_actions):
                outcome, said = _reality(element)
                entry = _Named(element, statement, said)
                if outcome is Outcome.FAIL:
                    unreal.setdefault(told(element).lower(), []).append(entry)
                else:
                    (real if outcome is Outcome.PASS else unclear).append(entry)
        name = principal.logical_id
        for found in unreal.values():
            message = f"the policy of {name} names {told(found[0].element)}, {found[0].said}"
            yield _about(Outcome.FAIL, principal, found, message, told(found[0].element))
        if unclear:
            message = f"the policy of {name} names {listed(f'{told(e.element)} ({e.said})' for e in unclear)}"
            yield _about(Outcome.UNKNOWN, principal, unclear, message, "unclear")
        if real and not unreal and not unclear and not principal.unread:
            count = f"{len(real)} actions" if len(real) > 1 else "1 action"
            yield _about(Outcome.PASS, principal, real, f"the policy of {name} names {count} that IAM knows")
        yield from _unread(principal)


def _reality(element: Scalar | Unknown) -> tuple[Outcome, str]:
    """Whether an element of Action names something real, and what is to be said of it."""
    if isinstance(element, Unknown):
        return Outcome.UNKNOWN, "known only at deploy time"
    text = element.text
    prefix, colon, name = text.partition(":")
    if text and not text.replace(":", "", 1).strip("*"):
        return Outcome.PASS, ""
    if not colon:
        return Outcome.FAIL, "which names no service"
    known = data.actions(prefix)
    if known is None:
        return Outcome.UNKNOWN, "a service that cfn-lint's table does not have"
    if "*" in name or "?" in name:
        if any(action_matches(name, action) for action in known):
            return Outcome.PASS, ""
        return Outcome.FAIL, f"which matches no action of {prefix.lower()}"
    if name.lower() in known:
        return Outcome.PASS, ""
    operation = data.operation(text)
    if operation:
        return Outcome.FAIL, f"an API operation that is no IAM action{_authorised(operation)}"
    return _near(prefix.lower(), name, known)


def _authorised(operation: data.Operation) -> str:
    if not operation.actions:
        return ""
    return f": {listed(operation.actions)} {'authorise' if len(operation.actions) > 1 else 'authorises'} it"


def _near(prefix: str, name: str, known: Mapping[str, data.Action]) -> tuple[Outcome, str]:
    """A name the table does not have: a slip of the pen, or perhaps newer than the table.

    Replayed on the 3,184 actions that AWS added between cfn-lint 1.20 and 1.58, one letter of difference called 3 of
    them slips; names that end in a digit (``…V2``) are left out because those are new versions.
    """
    names = {action: entry.name.partition(":")[2] for action, entry in known.items()}
    names.update({operation.lower(): operation for operation in data.operations(prefix)})
    close = get_close_matches(name.lower(), list(known), 3, 0.8)
    hint = f"; did you mean {listed(f'{prefix}:{names[action]}' for action in close).replace(' and ', ' or ')}"
    slips = [action for action in names if _is_slip(name, names[action])] if not name[-1:].isdigit() else []
    if not slips:
        return Outcome.UNKNOWN, f"not in cfn-lint's table{hint if close else ''}"
    meant = data.operation(f"{prefix}:{slips[0]}")
    if meant:
        return Outcome.FAIL, f"which is no IAM action, nor is the operation {meant.name}{_authorised(meant)}"
    return Outcome.FAIL, f"which is no IAM action{hint}"


def _is_slip(name: str, real: str) -> bool:
    if abs(len(name) - len(real)) > 2:
        return False
    distance = _distance(name.lower(), real.lower())
    if distance <= 1:
        return True
    mine, theirs = re.findall(r"[A-Z][a-z0-9]*", name), re.findall(r"[A-Z][a-z0-9]*", real)
    if distance > 2 or len(mine) != len(theirs):
        return False
    return not any(data.is_word_of_actions(word) for word, other in zip(mine, theirs, strict=True) if word != other)


def _distance(left: str, right: str) -> int:
    """Letters to drop, add, replace or swap with a neighbour to turn one text into the other."""
    rows = [list(range(len(right) + 1))]
    for i, mine in enumerate(left):
        row = [i + 1]
        for j, other in enumerate(right):
            cost = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (mine != other))
            if i and j and mine == right[j - 1] and other == left[i - 1]:
                cost = min(cost, rows[i - 1][j - 1] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


# Wildcards -----------------------------------------------------------------------------------------------------------

_READS = re.compile(r"(?:describe|get|list)[a-z]*\*\Z")
_RESTRICTING = frozenset(
    {
        "ec2:subnet",
        "ec2:vpc",
        "ecs:cluster",
        "elasticfilesystem:accesspointarn",
        "kms:requestalias",
        "kms:resourcealiases",
        "lambda:functionarn",
        "secretsmanager:secretid",
        "ses:fromaddress",
    }
)
"""Condition keys that say which resource; so do all that hold a tag of it.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""


def scoped_resources(template: Template, facts: Facts) -> Iterator[Finding]:
    """A statement that allows an action on `*` must have no action that could be limited to named resources.

    Judged are the policies of roles, users and groups that stand in the template, one verdict for each statement with
    `Resource: "*"`. Which actions can name resources is in IAM's table as cfn-lint carries it; actions for which AWS
    itself says `*` are excepted, some of them only under a condition. A wildcard such as `s3:Get*` counts if it covers
    such an action; one that only reads (`ec2:Describe*`) counts if that is true of most of what it covers.
    A condition on a tag, an alias or another key that says which resource takes the place of an ARN; one on the
    account, the caller or the request does not. `sns:Publish` on `*` is right for who sends text messages to phone
    numbers, which no ARN names: it passes where code that can be read, or a task, gives a `PhoneNumber`, and is
    unknown for a `TargetArn`, and where code cannot be read and there is no topic to publish to instead. Policies
    that AWS wrote, trust policies, key policies and permissions boundaries are not judged. A resource given by a
    parameter without default is taken for an ARN.
    """
    for principal in template.principals.values():
        passing: list[_Named] = []
        failing = False
        assumed: tuple[str, ...] = ()
        for statement in _own(principal):
            if statement.effect == "Deny" or not (statement.resources or statement.not_resources):
                continue
            everything = [element for element in statement.resources if isinstance(element, Scalar) and _all(element)]
            exposed = list(_exposed(statement)) if everything and not _restricted(statement) else []
            outcome = _publishing(template, principal, exposed)
            if exposed and outcome is not Outcome.PASS:
                failing = True
                yield _exposure(outcome, principal, statement, everything[0], exposed)
            else:
                anchors = (*everything, *statement.resources, *statement.not_resources)
                passing.append(_Named(anchors[0], statement))
                assumed = (ASSUMED,) if any(_is_hole(element) for element in statement.resources) else assumed
        if passing and not failing and not principal.unread:
            message = f"{principal.logical_id} may use no action on * that could be limited to resources"
            yield _about(Outcome.PASS, principal, passing, message, "", *assumed)
        yield from _unread(principal)


def _publishing(template: Template, principal: Principal, exposed: list[Scalar]) -> Outcome:
    """What a statement comes to that exposes only publishing: a text message to a phone number needs `*`.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-sns.html
    """
    if {element.text.lower() for element in exposed} != {PUBLISH.lower()}:
        return Outcome.FAIL
    sends = sends_texts(template, principal)
    return Outcome.UNKNOWN if sends is None else Outcome.PASS if sends else Outcome.FAIL


def _exposure(
    outcome: Outcome, principal: Principal, statement: Statement, everything: Scalar, exposed: list[Scalar]
) -> Finding:
    names = [element.text for element in exposed]
    doubt = "though that can be limited to ARNs"
    if outcome is Outcome.UNKNOWN:
        doubt = "which is right only if it publishes to phone numbers or devices; topics can be limited to ARNs"
    message = f"{principal.logical_id} may use {listed(names)} on every resource, {doubt}"
    found = [_Named(everything, statement), *(_Named(element, statement) for element in exposed)]
    return _about(outcome, principal, found, message, listed(names, 50))


def _all(element: Scalar) -> bool:
    return bool(element.text) and not element.text.strip("*")


def _is_hole(element: Scalar | Unknown) -> bool:
    return isinstance(element, Unknown) and not element.references and not element.known_text.strip("\0")


def _exposed(statement: Statement) -> Iterator[Scalar]:
    """The elements of Action that cover an action which could name resources; NotAction covers some for certain."""
    keys = {key for _, key, _ in statement.conditions}
    if statement.not_actions:
        yield _all_but(statement)
        return
    for element in statement.actions:
        if isinstance(element, Scalar) and (_all(element) or _could_be_limited(element.text, keys)):
            yield element


def _all_but(statement: Statement) -> Scalar:
    """What NotAction allows, said where it stands; its own elements are what it leaves out."""
    span = statement.exempting or statement.not_actions[0].span
    return Scalar(f"everything but {listed(told(element) for element in statement.not_actions)}", span)


def _could_be_limited(text: str, keys: set[str]) -> bool:
    prefix, _, pattern = text.lower().partition(":")
    known = data.actions(prefix) or {}
    covered = [known[pattern]] if pattern in known else []
    if "*" in pattern or "?" in pattern:
        covered = [action for name, action in known.items() if action_matches(pattern, name)]
    limited = [action for action in covered if action.resource_level and not _excepted(action.name, keys)]
    return len(limited) * 2 > len(covered) if _READS.match(pattern) else bool(limited)


def _excepted(action: str, keys: set[str]) -> bool:
    exception = data.wildcard_exception(action)
    return exception is not None and (exception.condition is None or exception.condition.lower() in keys)


def _restricted(statement: Statement) -> bool:
    """Whether a condition says which resource. One that also holds where the key is missing does not.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    for operator, key, _ in statement.conditions:
        open_ended = "not" in operator or operator == "null" or operator.endswith("ifexists")
        names_it = key in _RESTRICTING or "resourcetag/" in key
        if names_it and not open_ended and not operator.startswith("forallvalues:"):
            return True
    return False


def named_actions(template: Template, facts: Facts) -> Iterator[Finding]:
    """No policy of a role, user or group may allow `*` or all actions of a service (`s3:*`).

    Allow with NotAction on every resource fails too: it allows what AWS adds tomorrow. A wildcard after the beginning
    of a name (`s3:Get*`) passes. Of policies that AWS wrote only those fail that allow every action on everything
    (AdministratorAccess, and PowerUserAccess by its NotAction), by what they say and not by their name. Deny
    statements, trust policies, key policies and permissions boundaries are not judged.
    """
    for principal in template.principals.values():
        passing: list[_Named] = []
        failing: dict[str, list[_Named]] = {}
        unclear: list[_Named] = []
        for statement in principal.statements:
            if statement.effect == "Deny":
                continue
            for entry in _broad(statement):
                failing.setdefault(entry.said, []).append(entry)
            if statement.managed is None:
                unclear += [_Named(e, statement) for e in statement.actions if isinstance(e, Unknown) and _open(e)]
                passing += [_Named(element, statement) for element in statement.actions[:1]]
        name = principal.logical_id
        for said, found in failing.items():
            yield _about(Outcome.FAIL, principal, found, f"{name} may use {said}", said)
        if unclear and not failing:
            message = f"{name} may use actions that are known only at deploy time"
            yield _about(Outcome.UNKNOWN, principal, unclear, message, "unclear")
        elif passing and not failing and not principal.unread:
            yield _about(Outcome.PASS, principal, passing, f"{name} may use named actions only")
        yield from _unread(principal)


def _open(element: Unknown) -> bool:
    """Whether deploy time may make a service's every action of it: nothing is known of the action's name."""
    return element.known_text.rpartition(":")[2].startswith("\0")


def _broad(statement: Statement) -> Iterator[_Named]:
    """The elements of an Allow that give everything, or everything of a service, with what they give."""
    by = f" (by {statement.managed})" if statement.managed else ""
    everywhere = any(isinstance(element, Scalar) and _all(element) for element in statement.resources)
    if statement.not_actions and everywhere:
        but = listed(told(element) for element in statement.not_actions)
        yield _Named(_all_but(statement), statement, f"every action but {but}{by}")
    for element in statement.actions:
        if not isinstance(element, Scalar):
            continue
        prefix, colon, name = element.text.partition(":")
        if _all(element) or (colon and not (prefix + name).strip("*")):
            yield _Named(element, statement, f"every action of every service{by}")
        elif colon and name and not name.strip("*") and statement.managed is None:
            yield _Named(element, statement, f"every action of {prefix.lower()} ({element.text})")
