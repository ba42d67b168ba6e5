"""Resources in, principals and what each may do out.

Policies are gathered from wherever they stand: inline, ``AWS::IAM::Policy``, ``AWS::IAM::RolePolicy``,
``AWS::IAM::ManagedPolicy``, AWS's managed policies and SAM's ``Policies``.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cfaudit import data
from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.names import NAME_PROPERTIES, rendered, service_of
from cfaudit.nodes import Absent, Map, Reference, Scalar, Seq, Span, Unknown, Value, strings

ROLE_TYPES = ("AWS::IAM::Role",)
PRINCIPAL_TYPES = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")
POLICY_TYPES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of an identity policy.

    ``holder`` is the resource the policy stands in; ``actions`` and ``resources`` are texts, known or partly known;
    ``managed`` names the AWS managed policy it comes from, and then every span is that of its ARN.
    """

    effect: Literal["Allow", "Deny"]
    actions: tuple[Scalar | Unknown, ...]
    not_actions: tuple[Scalar | Unknown, ...]
    resources: tuple[Scalar | Unknown, ...]
    not_resources: tuple[Scalar | Unknown, ...]
    condition: Value
    span: Span
    holder: Resource
    policy_name: Value
    managed: str | None = None

    @property
    def conditional(self) -> bool:
        """Whether a Condition element restricts it."""
        return not isinstance(self.condition, Absent)

    def matching(self, action: str) -> Iterator[Scalar | Unknown]:
        """The elements of ``Action`` that cover one action (``dynamodb:PutItem``), wildcards understood."""
        for element in self.actions:
            if isinstance(element, Scalar) and action_matches(element.text, action):
                yield element

    def covers(self, action: str) -> bool | None:
        """Whether the statement speaks of an action: None when an element is unknown and no known one does."""
        if self.not_actions:
            known = [element for element in self.not_actions if isinstance(element, Scalar)]
            if any(action_matches(element.text, action) for element in known):
                return False
            return True if len(known) == len(self.not_actions) else None
        if any(True for _ in self.matching(action)):
            return True
        return None if any(_may_match(element, action) for element in self.actions) else False


@dataclass(frozen=True, slots=True)
class Grant:
    """An Allow of one element of ``Action`` to one principal."""

    principal: Principal
    statement: Statement
    action: Scalar


@dataclass(frozen=True, slots=True)
class Principal:
    """A role, user or group (or the implicit role of a SAM function), or a policy that is attached to none of them.

    ``opaque`` are policies whose statements this template does not show (a managed policy of another stack).
    """

    logical_id: str
    resource: Resource
    statements: tuple[Statement, ...]
    opaque: tuple[Value, ...] = ()

    def grants(self, service: str) -> Iterator[Grant]:
        """Allowed elements of ``Action`` that name the service (``frauddetector``), wherever the policy stands."""
        prefix = service.lower() + ":"
        for statement in self.statements:
            if statement.effect == "Allow":
                for element in statement.actions:
                    if isinstance(element, Scalar) and element.text.lower().startswith(prefix):
                        yield Grant(self, statement, element)

    def allows(self, action: str, template: Declarations | None = None, resource: Resource | None = None) -> bool | None:
        """Whether the principal may do ``action`` (on ``resource``, when given); None when deploy time decides.

        A conditional Allow counts as an Allow; only an unconditional Deny takes it away.
        """
        answer: bool | None = False if not self.opaque else None
        for statement in self.statements:
            covered = statement.covers(action)
            reached = True if resource is None or template is None else reaches(statement, template, resource)
            both = False if False in (covered, reached) else None if None in (covered, reached) else True
            if statement.effect == "Deny":
                if both and not statement.conditional and (resource is not None or _is_everything(statement)):
                    return False
            elif both:
                answer = True
            elif both is None and answer is False:
                answer = None
        return answer


def _is_everything(statement: Statement) -> bool:
    return any(isinstance(element, Scalar) and element.text == "*" for element in statement.resources)


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    escaped = re.escape(text.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped + r"\Z", re.DOTALL)


def action_matches(element: str, action: str) -> bool:
    """Whether an element of Action, with ``*`` and ``?``, covers an action; IAM compares without case."""
    if element == action or element == "*":
        return True
    return bool(_pattern(element).match(action.lower()))


def _may_match(element: Scalar | Unknown, action: str) -> bool:
    if isinstance(element, Scalar):
        return False
    text = "".join(part if isinstance(part, str) else "*" for part in element.parts)
    return action_matches(text, action)


def reaches(statement: Statement, template: Declarations, resource: Resource) -> bool | None:
    """Whether a statement's Resource covers a declared resource (or something inside it, an index or an object)."""
    if statement.not_resources:
        named = [_names(element, template, resource) for element in statement.not_resources]
        return False if True in named else None if None in named else True
    answer: bool | None = False
    for element in statement.resources:
        named_here = _names(element, template, resource)
        if named_here:
            return True
        if named_here is None:
            answer = None
    return answer


def _names(element: Scalar | Unknown, template: Declarations, resource: Resource) -> bool | None:
    """Whether one Resource element covers a declared resource; None when only deploy time knows."""
    if isinstance(element, Unknown) and resource.logical_id in {r.logical_id for r in element.references}:
        return True
    if resource in template.targets(element, resource.type):
        return True
    text = rendered(element)
    if text == "*":
        return True
    if isinstance(element, Unknown) and not any(isinstance(part, str) for part in element.parts):
        return None if element.deferred else False
    if not text.startswith("arn:") and not text.startswith("\x01"):
        return None if isinstance(element, Unknown) else False
    return _arn_covers(text, template, resource)


def _arn_covers(text: str, template: Declarations, resource: Resource) -> bool | None:
    pieces = text.split(":", 5)
    if len(pieces) < 6:
        return None if "\x01" in text else text.endswith("*")
    service = service_of(resource.type)
    if "*" not in pieces[2] and service and pieces[2] != service:
        return False
    tail = pieces[5]
    if "*" not in tail and "?" not in tail:
        return None if "\x01" in tail and _open_holes(tail) else False
    name_path = NAME_PROPERTIES.get(resource.type)
    name = resource.at(name_path) if name_path else Absent(resource.span)
    if isinstance(name, (Scalar, Unknown)):
        head = tail.rpartition("/")[0] + "/" if "/" in tail else tail.partition(":")[0] + ":" if ":" in tail else ""
        candidates = [rendered(name), head + rendered(name)]
        if any(_pattern(tail).match(candidate.lower()) for candidate in candidates):
            return True
        return None if "\x01" in tail or "\x01" in rendered(name) else False
    last = re.split(r"[/:]", tail)[-1]
    return True if last in ("*", "") or last.startswith("\x01pseudo|AWS\x03\x03StackName") else None


def _open_holes(text: str) -> bool:
    return any(not hole.startswith("pseudo|") and "|" in hole for hole in re.findall("\x01([^\x02]*)\x02", text))


# Gathering -----------------------------------------------------------------------------------------------------------


def principals(template: Declarations) -> Mapping[str, Principal]:
    """Every principal of the template by logical id, in template order."""
    statements: dict[str, list[Statement]] = {}
    opaque: dict[str, list[Value]] = {}
    for resource in template.of(*PRINCIPAL_TYPES):
        statements[resource.logical_id] = list(_inline(resource))
        opaque[resource.logical_id] = []
    for resource in template.of(*PRINCIPAL_TYPES):
        for value in _list(resource.at("ManagedPolicyArns")):
            _attach_managed(template, resource, resource.logical_id, value, statements, opaque)
    for resource in template.of(*POLICY_TYPES):
        policy = tuple(_statements(resource.at("PolicyDocument"), resource, _policy_name(resource)))
        attached = [owner for owner in _owners(template, resource) if owner in statements]
        for owner in attached:
            _extend(statements[owner], policy)
        if not attached and not any(policy and policy[0] in held for held in statements.values()):
            statements.setdefault(resource.logical_id, []).extend(policy)
    for resource in template.of("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        if isinstance(resource.at("Role"), Absent):
            statements[resource.logical_id] = []
            opaque[resource.logical_id] = []
            _sam_policies(template, resource, statements, opaque)
    return {
        name: Principal(name, template.resources[name], tuple(held), tuple(opaque.get(name, ())))
        for name, held in statements.items()
    }


def _extend(held: list[Statement], policy: Sequence[Statement]) -> None:
    held.extend(statement for statement in policy if statement not in held)


def _policy_name(resource: Resource) -> Value:
    name = resource.at("PolicyName")
    return resource.at("ManagedPolicyName") if isinstance(name, Absent) else name


def _owners(template: Declarations, policy: Resource) -> Iterator[str]:
    for path in ("Roles", "Users", "Groups", "RoleName"):
        for value in strings(policy.at(path)):
            for owner in template.targets(value, *PRINCIPAL_TYPES):
                yield owner.logical_id


def _attach_managed(
    template: Declarations,
    resource: Resource,
    owner: str,
    value: Value,
    statements: dict[str, list[Statement]],
    opaque: dict[str, list[Value]],
) -> None:
    declared = template.target(value, "AWS::IAM::ManagedPolicy")
    if declared:
        _extend(
            statements[owner],
            tuple(_statements(declared.at("PolicyDocument"), declared, _policy_name(declared))),
        )
        return
    arn = _managed_arn(value)
    known = data.managed_policy(arn) if arn else None
    if known is None:
        opaque[owner].append(value)
        return
    for entry in known:
        statements[owner].append(_managed_statement(entry, arn or "", value.span, resource))


def _managed_arn(value: Value) -> str | None:
    """``arn:aws:iam::aws:policy/service-role/X`` whatever its partition, or a bare name as SAM allows."""
    if not isinstance(value, (Scalar, Unknown)):
        return None
    text = rendered(value)
    _, found, path = text.partition(":iam::aws:policy/")
    if found:
        return path
    return text if re.fullmatch(r"[\w+=,.@-]+", text) else None


def _managed_statement(entry: data.PolicyStatement, name: str, span: Span, holder: Resource) -> Statement:
    def texts(key: Literal["Action", "NotAction", "Resource"]) -> tuple[Scalar, ...]:
        found = entry.get(key, ())
        return tuple(Scalar(text, span) for text in ((found,) if isinstance(found, str) else found))

    return Statement(
        effect="Deny" if entry["Effect"] == "Deny" else "Allow",
        actions=texts("Action"),
        not_actions=texts("NotAction"),
        resources=texts("Resource"),
        not_resources=(),
        condition=Absent(span),
        span=span,
        holder=holder,
        policy_name=Scalar(name, span),
        managed=name,
    )


def _inline(resource: Resource) -> Iterator[Statement]:
    policies = resource.at("Policies")
    for policy in policies.items if isinstance(policies, Seq) else ():
        if isinstance(policy, Map):
            name = policy.entries.get("PolicyName", Absent(policy.span))
            yield from _statements(policy.entries.get("PolicyDocument", Absent(policy.span)), resource, name)


def _statements(document: Value, holder: Resource, name: Value) -> Iterator[Statement]:
    if not isinstance(document, Map):
        return
    for statement in _list(document.entries.get("Statement", Absent(document.span))):
        if isinstance(statement, Map):
            yield _statement(statement, holder, name)


def _statement(statement: Map[Value], holder: Resource, name: Value) -> Statement:
    def texts(key: str) -> tuple[Scalar | Unknown, ...]:
        return tuple(strings(statement.entries.get(key, Absent(statement.span))))

    effect = statement.entries.get("Effect")
    return Statement(
        effect="Deny" if isinstance(effect, Scalar) and effect.text == "Deny" else "Allow",
        actions=texts("Action"),
        not_actions=texts("NotAction"),
        resources=texts("Resource"),
        not_resources=texts("NotResource"),
        condition=statement.entries.get("Condition", Absent(statement.span)),
        span=statement.span,
        holder=holder,
        policy_name=name,
    )


def _list(value: Value) -> tuple[Value, ...]:
    match value:
        case Seq(items):
            return items
        case Absent():
            return ()
        case _:
            return (value,)


def _sam_policies(
    template: Declarations,
    resource: Resource,
    statements: dict[str, list[Statement]],
    opaque: dict[str, list[Value]],
) -> None:
    owner = resource.logical_id
    for policy in _list(resource.at("Policies")):
        if isinstance(policy, Map) and "Statement" in policy.entries:
            statements[owner].extend(_statements(policy, resource, Absent(policy.span)))
        elif isinstance(policy, Map):
            opaque[owner].append(policy)
        else:
            _attach_managed(template, resource, owner, policy, statements, opaque)


def role_of(template: Declarations, value: Value) -> str | None:
    """The logical id of the declared role that a ``Role`` property names."""
    role = template.target(value, *ROLE_TYPES)
    return role.logical_id if role else None


__all__ = ["Grant", "Principal", "Reference", "Statement", "action_matches", "principals", "reaches", "role_of"]
