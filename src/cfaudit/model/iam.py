"""Resources in, principals and what each may do out.

Policies are gathered from wherever they stand: inline, ``AWS::IAM::Policy`` and its kin, ``AWS::IAM::ManagedPolicy``,
AWS's managed policies, SAM's ``Policies`` and policy templates, and what SAM adds to a role that it makes.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from cfaudit import data
from cfaudit.model.arn import covers
from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.names import rendered
from cfaudit.nodes import (
    Absent,
    Deferred,
    Map,
    Part,
    Reference,
    Scalar,
    Seq,
    Span,
    Unknown,
    Value,
    parts_of,
    stretch,
    strings,
)

ROLE_TYPES = ("AWS::IAM::Role",)
PRINCIPAL_TYPES = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")
POLICY_TYPES = (
    "AWS::IAM::Policy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::IAM::GroupPolicy",
)
SAM_TYPES = ("AWS::Serverless::Function", "AWS::Serverless::StateMachine")

RESOURCE_POLICIES = {
    "AWS::DynamoDB::Table": ("", "ResourcePolicy.PolicyDocument"),
    "AWS::KMS::Key": ("", "KeyPolicy"),
    "AWS::S3::BucketPolicy": ("Bucket", "PolicyDocument"),
    "AWS::SNS::TopicPolicy": ("Topics", "PolicyDocument"),
    "AWS::SQS::QueuePolicy": ("Queues", "PolicyDocument"),
    "AWS::SecretsManager::ResourcePolicy": ("SecretId", "ResourcePolicy"),
}
"""Types that hold a resource-based policy: the property that names what it guards (itself: empty), and the policy."""


class Statement(NamedTuple):
    """One statement of a policy.

    ``holder`` is the resource the policy stands in; ``actions`` and ``resources`` are texts, known or partly known.
    ``managed`` names AWS's policy it comes from, a managed policy or a policy template of SAM's; then every span is
    that of the line which names the policy. ``principal`` is absent in an identity policy. ``exempting`` is where
    ``NotAction`` stands.
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
    sid: Value
    principal: Value
    managed: str | None = None
    exempting: Span | None = None

    @property
    def conditional(self) -> bool:
        """Whether a Condition element restricts it."""
        return not isinstance(self.condition, Absent)

    @property
    def conditions(self) -> Iterator[tuple[str, str, Value]]:
        """Every operator, condition key and value, the first two in lower case (IAM compares them without case)."""
        operators = self.condition.entries if isinstance(self.condition, Map) else {}
        for operator, keys in operators.items():
            for key, value in (keys.entries if isinstance(keys, Map) else {}).items():
                yield operator.lower(), key.lower(), value

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
            return None if any(_may_match(element, action) for element in self.not_actions) else True
        if any(True for _ in self.matching(action)):
            return True
        return None if any(_may_match(element, action) for element in self.actions) else False


class Grant(NamedTuple):
    """An Allow of one element of ``Action`` to one principal."""

    principal: Principal
    statement: Statement
    action: Scalar


@dataclass(frozen=True, slots=True)
class Principal:
    """A role, user or group (or the implicit role of a SAM function), or a policy that is attached to none of them.

    ``opaque`` are policies whose statements this template does not show (a managed policy of another stack), and
    among them ``unread`` are those that stand in it all the same but only deploy time knows; ``guards`` are the
    resource-based policies of the template by the logical id of what they guard.
    """

    logical_id: str
    resource: Resource
    statements: tuple[Statement, ...]
    opaque: tuple[Value, ...] = ()
    unread: tuple[Value, ...] = ()
    guards: Mapping[str, tuple[Statement, ...]] = field(default_factory=dict, repr=False, compare=False)

    def grants(self, service: str) -> Iterator[Grant]:
        """Allowed elements of ``Action`` that name the service (``frauddetector``), wherever the policy stands."""
        prefix = service.lower() + ":"
        for statement in self.statements:
            if statement.effect == "Allow":
                for element in statement.actions:
                    if isinstance(element, Scalar) and element.text.lower().startswith(prefix):
                        yield Grant(self, statement, element)

    def allows(
        self,
        action: str,
        template: Declarations | None = None,
        resource: Resource | None = None,
        part: str | None = None,
    ) -> bool | None:
        """Whether the principal may do ``action`` (on ``resource``, when given); None when deploy time decides.

        ``part`` says on which part of the resource (see ``arn.covers``). A conditional Allow counts as an Allow; only
        an unconditional Deny takes it away. A permissions boundary is not looked at. A resource-based policy that
        names the principal counts as an Allow.
        """
        answer: bool | None = None if self.opaque else False
        doubt = False
        for statement in self.statements:
            covered = statement.covers(action)
            reached = True if resource is None or template is None else reaches(statement, template, resource, part)
            both = False if False in (covered, reached) else None if None in (covered, reached) else True
            if statement.effect == "Deny":
                if not statement.conditional and (resource is not None or _is_everything(statement)):
                    if both:
                        return False
                    doubt = doubt or both is None
            elif both:
                answer = True
            elif both is None and answer is False:
                answer = None
        if answer is not True and template is not None and resource is not None:
            answer = self._guarded(action, template, resource) or answer
        return None if doubt and answer else answer

    def _guarded(self, action: str, template: Declarations, resource: Resource) -> bool | None:
        """Whether a policy of the resource itself lets this principal: True, or None (which never weakens)."""
        for statement in self.guards.get(resource.logical_id, ()):
            if statement.effect == "Allow" and statement.covers(action) and _admits(statement, template, self.resource):
                return True
        return None


def _is_everything(statement: Statement) -> bool:
    return any(isinstance(element, Scalar) and element.text == "*" for element in statement.resources)


def _admits(statement: Statement, template: Declarations, principal: Resource) -> bool:
    """Whether a statement's Principal names a declared role or user, or everyone without a condition."""
    match statement.principal:
        case Scalar("*"):
            return not statement.conditional
        case Map(entries):
            for value in strings(entries.get("AWS", Absent(statement.span))):
                if isinstance(value, Scalar) and value.text == "*":
                    return not statement.conditional
                if principal in template.targets(value, principal.type):
                    return True
    return False


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


def reaches(statement: Statement, template: Declarations, resource: Resource, part: str | None = None) -> bool | None:
    """Whether a statement's Resource covers a declared resource, or (no ``part``) anything in it: an index, an object.

    ``part`` is what follows the resource's own ARN: empty for the resource itself, ``"/index/by-status"`` for an index.
    """
    if statement.not_resources:
        named = [covers(element, template, resource, part or "") for element in statement.not_resources]
        return False if True in named else None if None in named else True
    answer: bool | None = False
    for element in statement.resources:
        here = covers(element, template, resource, part)
        if here:
            return True
        answer = None if here is None else answer
    return answer


# Gathering -----------------------------------------------------------------------------------------------------------


class Unread(NamedTuple):
    """A part of a policy of this template that only deploy time knows: a macro, a parameter, text."""

    value: Value


Entry: TypeAlias = "Statement | Unread | Value"


@dataclass(slots=True)
class _Held:
    """What one principal holds, while it is gathered."""

    statements: list[Statement] = field(default_factory=list)
    opaque: list[Value] = field(default_factory=list)
    unread: list[Value] = field(default_factory=list)

    def add(self, policy: Iterable[Entry]) -> None:
        """Take over statements and what is not shown, each once."""
        for entry in policy:
            if isinstance(entry, Statement):
                if entry not in self.statements:
                    self.statements.append(entry)
                continue
            value = entry.value if isinstance(entry, Unread) else entry
            if value not in self.opaque:
                self.opaque.append(value)
            if isinstance(entry, Unread) and value not in self.unread:
                self.unread.append(value)


def principals(template: Declarations) -> Mapping[str, Principal]:
    """Every principal of the template by logical id, in template order."""
    held = {resource.logical_id: _Held() for resource in template.of(*PRINCIPAL_TYPES)}
    for resource in template.of(*SAM_TYPES):
        if isinstance(resource.at("Role"), Absent):
            held[resource.logical_id] = _Held()
            held[resource.logical_id].add(_sam_role(template, resource))
    for resource in template.of(*PRINCIPAL_TYPES):
        held[resource.logical_id].add(_inline(resource))
    attached = _attach_managed(template, held)
    for resource in template.of(*POLICY_TYPES):
        policy = tuple(_document(resource.at("PolicyDocument"), resource, _policy_name(resource)))
        owners = [owner for owner in _owners(template, resource) if owner in held]
        for owner in owners:
            held[owner].add(policy)
        if not owners and resource.logical_id not in attached and not _is_boundary(template, resource):
            held[resource.logical_id] = _Held()
            held[resource.logical_id].add(policy)
    _join_groups(template, held)
    _connect(template, held)
    guards = resource_policies(template)
    return {
        name: Principal(
            name, template.resources[name], tuple(entry.statements), tuple(entry.opaque), tuple(entry.unread), guards
        )
        for name, entry in held.items()
    }


def resource_policies(template: Declarations) -> Mapping[str, tuple[Statement, ...]]:
    """Statements of resource-based policies by the logical id of the resource that they guard."""
    found: dict[str, list[Statement]] = {}
    for resource in template.of(*RESOURCE_POLICIES):
        named, document = RESOURCE_POLICIES[resource.type]
        guarded = template.targets(resource.at(named)) if named else (resource,)
        policy = _document(resource.at(document), resource, Absent(resource.span))
        statements = [statement for statement in policy if isinstance(statement, Statement)]
        for target in guarded:
            found.setdefault(target.logical_id, []).extend(statements)
    return {name: tuple(statements) for name, statements in found.items()}


def _attach_managed(template: Declarations, held: Mapping[str, _Held]) -> set[str]:
    """Add what ManagedPolicyArns and SAM's Policies name; says which declared managed policies that were."""
    attached: set[str] = set()
    for name, entry in held.items():
        resource = template.resources[name]
        for value in _list(resource.at("Policies" if resource.type in SAM_TYPES else "ManagedPolicyArns")):
            if isinstance(value, Map):
                continue
            declared = template.target(value, "AWS::IAM::ManagedPolicy")
            if declared:
                attached.add(declared.logical_id)
                entry.add(_document(declared.at("PolicyDocument"), declared, _policy_name(declared)))
            else:
                entry.add(_aws_policy(value, resource))
    return attached


def _aws_policy(value: Value, holder: Resource) -> Iterator[Entry]:
    """The statements of AWS's managed policy that a value names, or the value itself."""
    arn = _managed_arn(value)
    known = data.managed_policy(arn) if arn else None
    if arn is None or known is None:
        yield value
        return
    for entry in known:
        yield _foreign(entry, arn, value.span, holder, {})


def _managed_arn(value: Value) -> str | None:
    """``arn:aws:iam::aws:policy/service-role/X`` whatever its partition, or a bare name as SAM allows."""
    if not isinstance(value, (Scalar, Unknown)):
        return None
    text = rendered(value)
    _, found, path = text.partition(":iam::aws:policy/")
    if found:
        return path
    return text if re.fullmatch(r"[\w+=,.@-]+", text) else None


_HOLE = re.compile(r"\$\{([^}]+)\}")


def _foreign(
    entry: data.PolicyStatement, name: str, span: Span, holder: Resource, parameters: Mapping[str, Value]
) -> Statement:
    """A statement of a policy that AWS wrote; ``${Name}`` in it stands for a parameter or a pseudo parameter."""

    def text(source: str) -> Scalar | Unknown:
        parts: list[Part] = []
        for index, piece in enumerate(_HOLE.split(source)):
            if index % 2 == 0:
                parts.append(piece)
            elif "::" in piece:
                parts.append(Deferred("pseudo", piece))
            else:
                parts.extend(parts_of(parameters.get(piece, Absent(span))) or (Deferred("function", piece),))
        return _joined(parts, span)

    def texts(key: Literal["Action", "NotAction", "Resource"]) -> tuple[Scalar | Unknown, ...]:
        return tuple(text(source) for source in entry.get(key, ()))

    conditions: dict[str, Value] = {}
    for operator, keys in entry.get("Condition", {}).items():
        values: dict[str, Value] = {key: Seq(tuple(map(text, items)), span) for key, items in keys.items()}
        conditions[operator] = Map(values, dict.fromkeys(values, span), span)
    return Statement(
        effect=entry["Effect"],
        actions=texts("Action"),
        not_actions=texts("NotAction"),
        resources=texts("Resource"),
        not_resources=(),
        condition=Map(conditions, dict.fromkeys(conditions, span), span) if conditions else Absent(span),
        span=span,
        holder=holder,
        policy_name=Scalar(name, span),
        sid=Absent(span),
        principal=Absent(span),
        managed=name,
    )


def _joined(parts: Iterable[Part], span: Span) -> Scalar | Unknown:
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    texts = [part for part in merged if isinstance(part, str)]
    return Scalar("".join(texts), span) if len(texts) == len(merged) else Unknown(span, tuple(merged))


def _inline(resource: Resource) -> Iterator[Entry]:
    policies = resource.at("Policies")
    if not isinstance(policies, (Seq, Absent)):
        yield Unread(policies)
    for policy in policies.items if isinstance(policies, Seq) else ():
        if isinstance(policy, Map):
            document, _ = descend(policy, policy.span, ["PolicyDocument"])
            yield from _document(document, resource, policy.entries.get("PolicyName", Absent(policy.span)))
        else:
            yield Unread(policy)


def _document(document: Value, holder: Resource, name: Value) -> Iterator[Entry]:
    """The statements of a policy document; what cannot be read (a macro, a parameter, text) as the value it is."""
    if isinstance(document, Absent):
        return
    if not isinstance(document, Map):
        yield Unread(document)
        return
    for statement in _list(descend(document, document.span, ["Statement"])[0]):
        if not isinstance(statement, Map) or isinstance(statement.entries.get("Effect"), Unknown):
            yield Unread(statement)
        else:
            yield _statement(statement, holder, name)


def _statement(statement: Map[Value], holder: Resource, name: Value) -> Statement:
    def texts(key: str) -> tuple[Scalar | Unknown, ...]:
        return tuple(strings(statement.entries.get(key, Absent(statement.span))))

    effect = statement.entries.get("Effect")
    absent = Absent(statement.span)
    exempt = statement.entries.get("NotAction")
    return Statement(
        effect="Deny" if isinstance(effect, Scalar) and effect.text.lower() == "deny" else "Allow",
        actions=texts("Action"),
        not_actions=texts("NotAction"),
        resources=texts("Resource"),
        not_resources=texts("NotResource"),
        condition=statement.entries.get("Condition", absent),
        span=statement.span,
        holder=holder,
        policy_name=name,
        sid=statement.entries.get("Sid", absent),
        principal=statement.entries.get("Principal", absent),
        exempting=stretch(statement.keys["NotAction"], exempt) if exempt else None,
    )


def _list(value: Value) -> tuple[Value, ...]:
    match value:
        case Seq(items):
            return items
        case Absent():
            return ()
        case _:
            return (value,)


def _policy_name(resource: Resource) -> Value:
    name = resource.at("PolicyName")
    return resource.at("ManagedPolicyName") if isinstance(name, Absent) else name


def _owners(template: Declarations, policy: Resource) -> Iterator[str]:
    for path in ("Roles", "Users", "Groups", "RoleName", "UserName", "GroupName"):
        for value in strings(policy.at(path)):
            yield from (owner.logical_id for owner in template.targets(value, *PRINCIPAL_TYPES))
            implicit = _implicit(template, value)
            if implicit:
                yield implicit


def _implicit(template: Declarations, value: Value) -> str | None:
    """The SAM function or state machine whose role SAM makes under the logical id ``<function>Role``.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources-function.html
    """
    for hole in value.deferred if isinstance(value, Unknown) else ():
        names = [name.removesuffix("Role") for name in (hole.name, hole.name.rpartition(".")[0])]
        owner = next((template.resources[name] for name in names if name in template.resources), None)
        if hole.kind == "undefined" and owner and owner.type in SAM_TYPES and isinstance(owner.at("Role"), Absent):
            return owner.logical_id
    return None


def _is_boundary(template: Declarations, policy: Resource) -> bool:
    """Whether a policy is used as a permissions boundary, which grants nothing.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    return any(edge.path.endswith("PermissionsBoundary") for edge in template.edges_to.get(policy.logical_id, ()))


def _join_groups(template: Declarations, held: Mapping[str, _Held]) -> None:
    """A user may do what its groups may."""
    members = [(resource.logical_id, resource.at("Groups")) for resource in template.of("AWS::IAM::User")]
    for addition in template.of("AWS::IAM::UserToGroupAddition"):
        users = template.targets(addition.at("Users"), "AWS::IAM::User")
        members += [(user.logical_id, addition.at("GroupName")) for user in users]
    for user, groups in members:
        for value in strings(groups):
            group = template.target(value, "AWS::IAM::Group")
            theirs = held[group.logical_id] if group else None
            held[user].add([*theirs.statements, *theirs.opaque, *map(Unread, theirs.unread)] if theirs else [value])


# SAM -----------------------------------------------------------------------------------------------------------------

_POLLERS = {
    "DynamoDB": "AWSLambdaDynamoDBExecutionRole",
    "Kinesis": "AWSLambdaKinesisExecutionRole",
    "MSK": "AWSLambdaMSKExecutionRole",
    "SQS": "AWSLambdaSQSQueueExecutionRole",
}
_SENDS = {
    "SQS": "sqs:SendMessage",
    "SNS": "sns:Publish",
    "Lambda": "lambda:InvokeFunction",
    "EventBridge": "events:PutEvents",
}


def _sam_role(template: Declarations, resource: Resource) -> Iterator[Entry]:
    """What stands in ``Policies`` as a document or a policy template, and what SAM adds to the role it makes.

    https://github.com/aws/serverless-application-model (samtranslator/model/sam_resources.py: _construct_role)
    """
    for policy in _list(resource.at("Policies")):
        if isinstance(policy, Map) and "Statement" in policy.keys:
            yield from _document(policy, resource, Absent(policy.span))
        elif isinstance(policy, Map):
            yield from _policy_templates(policy, resource)
    if resource.type == "AWS::Serverless::StateMachine":
        tracing = resource.at("Tracing.Enabled")
        if isinstance(tracing, Scalar) and tracing.text.lower() == "true":
            yield from _aws_policy(Scalar("AWSXrayWriteOnlyAccess", resource.where("Tracing.Enabled")), resource)
        return
    shared = template.globals_of(resource.logical_id, "Function")
    yield from _aws_policy(Scalar("AWSLambdaBasicExecutionRole", resource.span), resource)
    tracing = _own_or_shared(resource, shared, "Tracing")
    if not isinstance(tracing, Absent) and not (isinstance(tracing, Scalar) and tracing.text == "Disabled"):
        yield from _aws_policy(Scalar("AWSXrayWriteOnlyAccess", tracing.span), resource)
    network = _own_or_shared(resource, shared, "VpcConfig")
    if not isinstance(network, Absent):
        yield from _aws_policy(Scalar("AWSLambdaVPCAccessExecutionRole", network.span), resource)
    for path, kind in resource.each("Events.*.Type"):
        if isinstance(kind, Scalar) and kind.text in _POLLERS:
            yield from _aws_policy(Scalar(_POLLERS[kind.text], kind.span), resource)
        elif isinstance(kind, Scalar) and kind.text in ("DocumentDB", "MQ", "SelfManagedKafka"):
            yield resource.at(path)
    yield from _destinations(resource, shared)


def _own_or_shared(resource: Resource, shared: Value, path: str) -> Value:
    own = resource.at(path)
    return descend(shared, own.span, path.split("."))[0] if isinstance(own, Absent) else own


def _destinations(resource: Resource, shared: Value) -> Iterator[Statement]:
    """SAM lets the role send to its dead-letter queue and to the destinations of asynchronous invocations."""
    places = (
        ("DeadLetterQueue", "TargetArn"),
        ("EventInvokeConfig.DestinationConfig.OnSuccess", "Destination"),
        ("EventInvokeConfig.DestinationConfig.OnFailure", "Destination"),
    )
    for path, name in places:
        kind = _own_or_shared(resource, shared, f"{path}.Type")
        target = _own_or_shared(resource, shared, f"{path}.{name}")
        if isinstance(kind, Scalar) and kind.text in _SENDS and isinstance(target, (Scalar, Unknown)):
            entry: data.PolicyStatement = {"Effect": "Allow", "Action": [_SENDS[kind.text]], "Resource": ["${Target}"]}
            yield _foreign(entry, f"SAM's {path.rpartition('.')[2]}", target.span, resource, {"Target": target})


def _policy_templates(policy: Map[Value], resource: Resource) -> Iterator[Entry]:
    """The statements of SAM's policy templates, ``{DynamoDBCrudPolicy: {TableName: …}}``."""
    for name, parameters in policy.entries.items():
        known = data.sam_policy(name)
        if known is None or not isinstance(parameters, Map):
            yield policy
            continue
        span = policy.keys[name]
        for entry in known:
            yield _foreign(entry, name, span, resource, parameters.entries)


def _connect(template: Declarations, held: Mapping[str, _Held]) -> None:
    """A SAM connector grants what its profile says to the roles at its ends; that is not read here."""
    for resource in template.resources.values():
        embedded = resource.attribute("Connectors")
        ends: list[Value] = []
        if resource.type == "AWS::Serverless::Connector":
            places = ("Source.Id", "Destination.Id", "Destination.*.Id", "Source.RoleName", "Destination.RoleName")
            ends = [value for place in places for _, value in resource.each(place)]
        elif not isinstance(embedded, Absent):
            ends = [Scalar(resource.logical_id, resource.span), *_ids(embedded)]
        for end in ends:
            owner = _runs_as(template, end)
            if owner in held:
                held[owner].add([Unknown(end.span, (Deferred("macro", "a connector"),))])


def _ids(value: Value) -> Iterator[Value]:
    match value:
        case Map(entries):
            for name, member in entries.items():
                if name == "Id":
                    yield member
                else:
                    yield from _ids(member)
        case Seq(items):
            for item in items:
                yield from _ids(item)
        case _:
            return


def _runs_as(template: Declarations, end: Value) -> str:
    """The principal of the function, state machine or role that an end of a connector names."""
    resource = template.resources.get(end.text) if isinstance(end, Scalar) else None
    if resource is None:
        return role_of(template, end) or ""
    role = resource.at("Role")
    role = resource.at("RoleArn") if isinstance(role, Absent) else role
    return resource.logical_id if isinstance(role, Absent) else role_of(template, role) or ""


def trust(role: Resource) -> tuple[Entry, ...]:
    """The statements of a role's trust policy: who may assume it."""
    return tuple(_document(role.at("AssumeRolePolicyDocument"), role, Absent(role.span)))


def role_of(template: Declarations, value: Value) -> str | None:
    """The principal whose role a ``Role`` property names: a declared role, or a SAM function whose role SAM makes."""
    role = template.target(value, *ROLE_TYPES)
    return role.logical_id if role else _implicit(template, value)


__all__ = [
    "Grant",
    "Principal",
    "Reference",
    "Statement",
    "Unread",
    "action_matches",
    "principals",
    "reaches",
    "resource_policies",
    "role_of",
    "trust",
]
