"""Questions about roles: who uses them, and how many do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.arn import covers
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import Function
from cfaudit.model.iam import ROLE_TYPES, Statement, Unread, trust
from cfaudit.model.names import rendered
from cfaudit.model.reliance import told
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value, strings


def unshared_role(template: Template, facts: Facts) -> Iterator[Finding]:
    """Each function must have a role of its own.

    Two functions share a role when their Role properties name the same declared role, or the same role of another
    stack: the same ARN, parameter or import. Two functions whose roles are different parameters may still be given
    the same role: unknown. A role that SAM makes for a function is its own. Roles without functions are not judged.
    """
    users: dict[str, list[Function]] = {}
    for function in template.functions.values():
        key = function.principal or _elsewhere(function.at("Role"))
        if key:
            users.setdefault(key, []).append(function)
    outside = [key for key, found in users.items() if found[0].principal is None and _is_open(found[0])]
    for key, found in users.items():
        yield _sharing(template, key, found, may_coincide=len(outside) > 1 and key in outside)


def _elsewhere(value: Value) -> str:
    return f"\0{rendered(value)}" if isinstance(value, (Scalar, Unknown)) else ""


def _is_open(function: Function) -> bool:
    role = function.at("Role")
    return isinstance(role, Unknown) and any(hole.kind != "pseudo" for hole in role.deferred)


def _sharing(template: Template, key: str, found: list[Function], *, may_coincide: bool) -> Finding:
    first, names = found[0], listed(function.logical_id for function in found)
    role = template.resources.get(key)
    subject = key if role else _label(first)
    if len(found) > 1:
        outcome, message = Outcome.FAIL, f"{names} share the role {key if role else told(first.at('Role'))}"
    elif may_coincide:
        outcome, message = Outcome.UNKNOWN, f"the role of {names} is known only at deploy time, as is that of another"
    elif key == first.logical_id:
        outcome, message = Outcome.PASS, f"SAM makes a role for {names} alone"
    else:
        outcome, message = Outcome.PASS, f"only {names} runs as {subject if role else 'its role'}"
    more = tuple(Evidence(function.where("Role"), f"role of {function.logical_id}") for function in found[1:])
    note = f"role of {first.logical_id}"
    return judged(
        outcome, first.resource, "Role", message, span=first.where("Role"), note=note, more=more, subject=subject
    )


def _label(function: Function) -> str:
    """What names a role of another stack: the parameter, import or nested stack, else the function."""
    role = function.at("Role")
    if not isinstance(role, Unknown):
        return function.logical_id
    holes = [hole.name for hole in role.deferred if hole.kind != "pseudo"]
    return next(iter([reference.logical_id for reference in role.references] + holes), function.logical_id)


# Roles nobody uses ---------------------------------------------------------------------------------------------------

_POLICY_KEYS = frozenset(
    {
        "AccessPolicies",
        "AssumeRolePolicyDocument",
        "FileSystemPolicy",
        "KeyPolicy",
        "Policies",
        "PolicyDocument",
        "RepositoryPolicyText",
        "ResourcePolicy",
    }
)
"""Properties that hold policies: to be named in one, or to have one attached, is not to be used."""

_ATTACHMENTS = ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy")
_PASSING = ("iam:PassRole", "sts:AssumeRole")


def used_role(
    template: Template, facts: Facts, *, named: tuple[str, ...], handed: tuple[str, ...]
) -> Iterator[Finding]:
    """Every role must be used: something in the stack names it, may pass or assume it, or it is assumed from outside.

    A resource uses a role by Ref, GetAtt, ARN or name (an instance profile counts); attaching a policy to it, or
    naming it in a resource-based policy, does not. A role that trusts an account, a user, another role or an identity
    provider is assumed from outside. So is one with a name that AWS services look for by themselves. Unknown is a role
    that only Outputs or an SSM parameter hand on, that may be passed under a wildcard, or that trusts a service to
    which people hand roles when they call it (CloudFormation, Systems Manager, SageMaker …); and every role without
    a user where a macro may add one, or where the template declares nothing but IAM resources, for other stacks.
    """
    texts = _named_in(template)
    passed = _passed(template)
    for role in template.of(*ROLE_TYPES):
        name = role.logical_id
        use = _use(template, role, passed, named) or texts.get(name)
        if use:
            yield judged(Outcome.PASS, role, None, f"{name} is used: {use.note}", span=use.span, note=use.note)
            continue
        doubt = _doubt(template, role, passed, handed)
        if doubt:
            message = f"nothing in this template uses {name}, but {doubt.note}"
            more = (Evidence(doubt.span, doubt.note),)
            yield judged(Outcome.UNKNOWN, role, None, message, note="the role", more=more)
        else:
            yield judged(Outcome.FAIL, role, None, f"nothing assumes or passes {name}", note="the role")


def _use(
    template: Template, role: Resource, passed: list[tuple[str, Statement]], named: tuple[str, ...]
) -> Evidence | None:
    """The first thing that proves a role used."""
    for edge in template.edges_to.get(role.logical_id, ()):
        if edge.source != role.logical_id and _is_use(template.resources[edge.source], edge.path):
            return Evidence(edge.span, f"{edge.source} has it as {edge.path.rpartition('.')[2] or 'a property'}")
    for holder, statement in passed:
        for element in statement.resources:
            if holder != role.logical_id and not _is_wild(element) and covers(element, template, role, ""):
                return Evidence(element.span, f"{holder} may pass or assume it")
    for entry in trust(role):
        outsider = _outsider(entry) if isinstance(entry, Statement) else None
        if outsider:
            return outsider
    name = role.at("RoleName")
    if isinstance(name, Scalar) and any(fnmatchcase(name.text, pattern) for pattern in named):
        return Evidence(role.where("RoleName"), f"a service looks for a role named {name.text}")
    return None


def _is_use(source: Resource, path: str) -> bool:
    keys = path.split(".")
    if source.type in _ATTACHMENTS:
        return False
    return not _POLICY_KEYS.intersection(keys) and not (source.type == "AWS::SSM::Parameter" and keys[0] == "Value")


def _is_wild(element: Scalar | Unknown) -> bool:
    """Whether an element covers roles by a wildcard that says nothing of which: ``*``, ``arn:aws:iam::…:role/*``."""
    return rendered(element).rpartition("/")[2].rpartition(":")[2].strip("*") == ""


def _outsider(statement: Statement) -> Evidence | None:
    """Who besides AWS services may assume the role by a statement of its trust policy."""
    if statement.effect == "Deny":
        return None
    match statement.principal:
        case Scalar(_, span) | Unknown(span) | Absent(span):  # absent: NotPrincipal
            return Evidence(span, "it is assumed from outside the stack")
        case Map(entries):
            for kind in ("AWS", "Federated", "CanonicalUser"):
                for value in strings(entries.get(kind, Absent(statement.span))):
                    who = "an identity provider" if kind == "Federated" else "a principal that is no service"
                    return Evidence(value.span, f"{who} assumes it")
    return None


def _passed(template: Template) -> list[tuple[str, Statement]]:
    """The statements that let somebody pass or assume roles, with whom they let."""
    return [
        (principal.logical_id, statement)
        for principal in template.principals.values()
        for statement in principal.statements
        if statement.effect == "Allow" and any(statement.covers(action) for action in _PASSING)
    ]


def _doubt(
    template: Template, role: Resource, passed: list[tuple[str, Statement]], handed: tuple[str, ...]
) -> Evidence | None:
    """Why a role without visible use may be used all the same."""
    for key, output in template.document.outputs.entries.items():
        if role.logical_id in _mentions(output):
            return Evidence(output.span, f"the output {key} hands it on")
    for edge in template.edges_to.get(role.logical_id, ()):
        if template.resources[edge.source].type == "AWS::SSM::Parameter":
            return Evidence(edge.span, f"the parameter {edge.source} hands it on")
    for holder, statement in passed:
        for element in statement.resources:
            if holder != role.logical_id and covers(element, template, role, "") is not False:
                return Evidence(element.span, f"{holder} may pass or assume roles that this may be one of")
    for entry in trust(role):
        if isinstance(entry, Unread):
            return Evidence(entry.value.span, "who may assume it is known only at deploy time")
        if isinstance(entry, Statement) and isinstance(entry.principal, Map):
            for service in strings(entry.principal.entries.get("Service", Absent(entry.span))):
                if isinstance(service, Unknown) or service.text.lower() in handed:
                    return Evidence(service.span, "callers hand roles to this service when they call it")
    if all(resource.type.startswith("AWS::IAM::") for resource in template.resources.values()):
        return Evidence(template.span, "the template declares nothing but IAM resources, for other stacks to use")
    if template.macros:
        return Evidence(template.span, f"the macro {template.macros[0].name} may add a use")
    return None


def _mentions(value: Value) -> frozenset[str]:
    match value:
        case Unknown():
            return value.mentions
        case Map(entries):
            return frozenset().union(*(_mentions(member) for member in entries.values()))
        case Seq(items):
            return frozenset().union(*(_mentions(item) for item in items))
        case _:
            return frozenset()


def _named_in(template: Template) -> Mapping[str, Evidence]:
    """The roles that some property names by ARN or physical name instead of by reference."""
    names = {
        rendered(name): role.logical_id
        for role in template.of(*ROLE_TYPES)
        for name in (role.at("RoleName"),)
        if isinstance(name, (Scalar, Unknown))
    }
    found: dict[str, Evidence] = {}
    for resource in template.resources.values() if names else ():
        if resource.type not in (*ROLE_TYPES, *_ATTACHMENTS):
            for path, value in _texts(resource.at(""), ()):
                text = rendered(value)
                is_arn = ":role/" in text
                tail = text.rpartition("/")[2] if is_arn else text
                asks = is_arn or any("role" in key.lower() for key in path)
                if tail in names and asks and _is_use(resource, ".".join(path)):
                    note = f"{resource.logical_id} names it as {path[-1] if path else 'a property'}"
                    found.setdefault(names[tail], Evidence(value.span, note))
    return found


def _texts(value: Value, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Scalar | Unknown]]:
    match value:
        case Scalar() | Unknown():
            yield path, value
        case Seq(items):
            for index, item in enumerate(items):
                yield from _texts(item, (*path, str(index)))
        case Map(entries):
            for name, item in entries.items():
                yield from _texts(item, (*path, name))
        case Absent():
            return
