"""Questions about what functions are told of and what their roles allow: do the two agree?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from cfaudit import data
from cfaudit.checks.key_access import missing_right
from cfaudit.checks.permissions import listed
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.code.facts import Code
from cfaudit.model.declarations import Resource
from cfaudit.model.encryption import TABLE_TYPES
from cfaudit.model.functions import Function, Variable
from cfaudit.model.iam import Principal, Statement, action_matches, reaches
from cfaudit.model.knowledge import is_hidden, known_as, named_by
from cfaudit.model.names import NAME_PROPERTIES, rendered
from cfaudit.model.reliance import boundaries, is_called, is_switch, told
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Span, Unknown, Value, parts_of

# Indexes -------------------------------------------------------------------------------------------------------------

_QUERY = "dynamodb:Query"


def index_access(template: Template, facts: Facts) -> Iterator[Finding]:
    """Who may query a table that has no sort key must be allowed to query an index of it.

    Without a sort key a query of the table itself finds one item at most, so queries are meant for its global
    secondary indexes, each of which is a resource of its own in IAM. Judged is who may query the table or an index of
    it, per table that has such indexes and no sort key; access to one index is enough. Unknown: a key schema, or a
    policy, that the template does not show.
    """
    limits = boundaries(template)
    tables = [(table, list(_indexes(table))) for table in template.of(*TABLE_TYPES) if _sortless(table) is not False]
    for principal in template.principals.values():
        querying = [] if principal.logical_id in limits else list(_querying(principal))
        for table, indexes in tables if querying else ():
            if indexes:
                yield from _queried(template, facts, principal, table, indexes, querying)


def _indexes(table: Resource) -> Iterator[tuple[str | None, Span]]:
    for path, name in table.each("GlobalSecondaryIndexes.*.IndexName"):
        if not isinstance(name, Absent):
            yield (rendered(name) if isinstance(name, (Scalar, Unknown)) else None), table.where(path)


def _sortless(table: Resource) -> bool | None:
    """Whether a table has a partition key only."""
    kinds = [value for _, value in table.each("KeySchema.*.KeyType")]
    if any(isinstance(kind, Scalar) and kind.text == "RANGE" for kind in kinds):
        return False
    return None if any(isinstance(kind, Unknown) for kind in kinds) else True


def _querying(principal: Principal) -> Iterator[Statement]:
    for statement in principal.statements:
        if statement.effect == "Allow" and statement.covers(_QUERY):
            yield statement


def _queried(
    template: Template,
    facts: Facts,
    principal: Principal,
    table: Resource,
    indexes: list[tuple[str | None, Span]],
    querying: list[Statement],
) -> Iterator[Finding]:
    name = principal.logical_id
    own = [statement for statement in querying if reaches(statement, template, table)]
    if not own:
        return
    answers = [principal.allows(_QUERY, template, table, f"/index/{index}") for index, _ in indexes]
    if True not in answers and not principal.allows(_QUERY, template, table, ""):
        return
    start = f"{name} may query {table.logical_id}, which has no sort key"
    if True in answers:
        outcome, message = Outcome.PASS, f"{name} may query an index of {table.logical_id}"
    elif None in answers or _sortless(table) is None:
        outcome, message = Outcome.UNKNOWN, f"{start}; whether it may query an index is known at deploy time only"
    else:
        outcome, doubt = missing_right(template, facts)
        message = f"{start}, but none of its indexes{doubt}"
    element = next(iter(own[0].matching(_QUERY)), None)
    lines = [Evidence(_naming(template, own[0], table), f"names {table.logical_id}")]
    lines += [Evidence(span, f"an index of {table.logical_id}") for _, span in indexes]
    yield judged(
        outcome,
        principal.resource,
        None,
        message,
        span=element.span if element else own[0].span,
        note=f"{name} may {_QUERY}",
        more=lines,
        salient=table.logical_id,
    )


def _naming(template: Template, statement: Statement, resource: Resource) -> Span:
    """The element of a statement that names a resource, else the statement."""
    for element in statement.resources:
        if resource in template.targets(element, resource.type):
            return element.span
    return statement.resources[0].span if statement.resources else statement.span


# Variables -----------------------------------------------------------------------------------------------------------

_HANDS_ON = (
    "cloudformation:*",
    "events:PutTargets",
    "iam:PassRole",
    "lambda:CreateEventSourceMapping",
    "s3:PutBucketNotification",
    "scheduler:CreateSchedule",
    "scheduler:UpdateSchedule",
    "sns:Subscribe",
    "sts:AssumeRole",
)
"""Who may do one of these may hand a name on to somebody who uses it, or act as another role."""


def variable_access(template: Template, facts: Facts, *, services: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """What a function is told of in a variable, its role must be able to use: by any action on that resource.

    Judged are variables that name a declared resource of the listed types, by Ref, GetAtt, ARN, name or queue URL. Any
    action of the listed services that reaches the resource or something in it is enough, as is the resource's own
    policy; an action that cannot name resources, such as `states:SendTaskSuccess`, is none on it. Other kinds need no
    IAM permission to be used (user pools, domain names, API URLs) and are not judged, nor are log groups, addresses of
    buckets, the function's own name, and functions that serve deployments only. What SAM's Globals tell every function
    need not be meant for each: it fails when none of them may use it. It is unknown when the role or one of
    its policies is not shown here, and when the role may pass roles, assume another, or make a rule, schedule or
    subscription, for then the function may hand the name on.
    """
    own: list[Finding] = []
    shared: dict[Span, list[Finding]] = {}
    for function in template.functions.values():
        if function.logical_id in template.custom_resource_functions:
            continue
        for variable in function.variables:
            resource = _meant(template, function, variable, services)
            if resource:
                found = _accessed(template, facts, function, variable, resource, services[resource.type])
                (shared.setdefault(variable.span, []) if _is_shared(function, variable) else own).append(found)
    yield from own
    for findings in shared.values():
        useful = [finding for finding in findings if finding.outcome is not Outcome.FAIL]
        yield from useful or findings


def _is_shared(function: Function, variable: Variable) -> bool:
    """Whether SAM's Globals give a function the variable, as they give it to all."""
    written = function.resource.at("Environment.Variables")
    return not (isinstance(written, Map) and variable.name in written.entries)


def _meant(
    template: Template, function: Function, variable: Variable, services: Mapping[str, tuple[str, ...]]
) -> Resource | None:
    """The resource of a listed type that a variable names as a whole."""
    value = variable.value
    if not _is_name(value):
        return None
    for name in named_by(template, value):
        resource = template.resources[name]
        if resource.type in services and name != function.logical_id:
            return resource
    return None


def _is_name(value: Value) -> bool:
    """Whether a value is a name, an ARN or a queue's URL as a whole, not text with a name somewhere in it."""
    if not isinstance(value, Unknown):
        return isinstance(value, Scalar)
    references = value.references
    attribute = references[0].attribute if references else None
    if attribute and re.search("Domain|URL|Url|Endpoint|Status", attribute) and attribute != "QueueUrl":
        return False
    start = value.parts[0] if isinstance(value.parts[0], str) else ""
    return len(value.parts) == 1 or start.startswith(("arn:", "https://sqs.", "s3://")) or not references


def _accessed(
    template: Template,
    facts: Facts,
    function: Function,
    variable: Variable,
    resource: Resource,
    services: tuple[str, ...],
) -> Finding:
    name, target = function.logical_id, resource.logical_id
    path = f"Environment.Variables.{variable.name}"
    start = f"{name} is told of {target} in {variable.name}"
    principal = template.principals.get(function.principal or "")

    def about(outcome: Outcome, message: str, *more: Evidence) -> Finding:
        note = f"{name} is told of {target}"
        resource = function.resource
        return judged(outcome, resource, path, message, span=variable.span, salient=variable.name, note=note, more=more)

    if principal is None:
        role = Evidence(function.where("Role"), "its role")
        return about(Outcome.UNKNOWN, f"{start}; what its role allows is not in this template", role)
    line = _right(template, principal, resource, services)
    if line:
        return about(Outcome.PASS, f"{start}, and {function.role} may use it", line)
    role = Evidence(principal.resource.span, f"{function.role} allows nothing on {target}")
    if principal.opaque:
        hidden = Evidence(principal.opaque[0].span, "not shown here")
        return about(Outcome.UNKNOWN, f"{start}; a policy of {function.role} is not shown here", hidden)
    handing = _handing(principal)
    if handing:
        message = f"{start}, and {function.role} may not use it, but may {handing.text} and so hand the name on"
        return about(Outcome.UNKNOWN, message, Evidence(handing.span, f"may {handing.text}"))
    outcome, doubt = missing_right(template, facts)
    return about(outcome, f"{start}, but {function.role} allows no action on it{doubt}", role)


def _right(template: Template, principal: Principal, resource: Resource, services: tuple[str, ...]) -> Evidence | None:
    """The line that lets a principal do something with a resource."""
    for statement in principal.statements:
        if statement.effect == "Deny":
            continue
        element = next((element for element in statement.actions if _acts_on(element, services)), None)
        if (element or statement.not_actions) and reaches(statement, template, resource) is not False:
            return Evidence(element.span if element else statement.span, told(element) if element else "may use it")
    for statement in principal.guards.get(resource.logical_id, ()):
        named = statement.principal.entries.get("AWS") if isinstance(statement.principal, Map) else None
        if statement.effect == "Allow" and named and principal.resource in template.targets(named):
            return Evidence(statement.span, f"the policy of {resource.logical_id} lets {principal.logical_id}")
    return None


def _acts_on(element: Scalar | Unknown, services: tuple[str, ...]) -> bool:
    """Whether an element of Action names an action of a service that can be limited to a resource."""
    text = rendered(element).lower()
    if not text.strip("*") or isinstance(element, Unknown):
        return True
    prefix, _, name = text.partition(":")
    if not any(fnmatchcase(service, prefix) for service in services):
        return False
    known = (data.actions(prefix) or {}).get(name)
    return known is None or known.resource_level


def _handing(principal: Principal) -> Scalar | None:
    for statement in principal.statements:
        if statement.effect == "Allow":
            for element in statement.actions:
                if isinstance(element, Scalar) and any(_overlap(element.text, pattern) for pattern in _HANDS_ON):
                    return element
    return None


def _overlap(element: str, pattern: str) -> bool:
    return action_matches(pattern, element) or action_matches(element, pattern)


# Grants --------------------------------------------------------------------------------------------------------------

_PREFIX = 4
"""How much of a name's beginning code must hold to be taken to make up the name."""


def told_resources(
    template: Template,
    facts: Facts,
    *,
    services: Mapping[str, tuple[str, ...]],
    finders: tuple[str, ...],
    pairs: Mapping[str, tuple[str, ...]],
) -> Iterator[Finding]:
    """What a function's role names in a policy, the function must be told of; and what one API call needs, together.

    Judged are resources of the listed types that a policy of the role names (wildcards name nothing), per role. A
    function is told of a resource by a variable or another property, by inline code that refers to it, and by what
    makes it run: its event source, a subscription, a failure destination, a rule's input, a workflow it is a task of.
    Code that can be read and holds the name, or its beginning, passes too. Unknown: a resource with a name of its own
    and code that cannot be read, variables that deploy time decides, and a role that may look names up (SSM
    parameters, lists of tables …). A resource that CloudFormation names is known to no code in advance. Comments,
    and code that the handler does not reach, hold nothing.

    Pairs: a function whose role may use the listed action, and which has a variable for one of the arguments that it
    requires, needs one for each. A call in its code that is given the argument passes; code that cannot be read, or
    of which a package may hold a part, is unknown.
    """
    for name, functions in template.functions_of.items():
        judged_functions = [f for f in functions if f.logical_id not in template.custom_resource_functions]
        if judged_functions:
            yield from _untold(template, template.principals[name], judged_functions, services, finders)
    for function in template.functions.values():
        for action, arguments in pairs.items():
            yield from _paired(template, function, action, arguments)


def _untold(
    template: Template,
    principal: Principal,
    functions: list[Function],
    services: Mapping[str, tuple[str, ...]],
    finders: tuple[str, ...],
) -> Iterator[Finding]:
    named: dict[str, tuple[Span, str]] = {}
    for statement in principal.statements:
        if statement.effect == "Allow":
            for element in statement.resources:
                for target in named_by(template, element) if not _is_stream(element) else ():
                    action = _action(statement, services.get(template.resources[target].type, ()))
                    if action:
                        named.setdefault(target, (element.span, action))
    known = known_as(template, principal.logical_id) if named else {}
    own = {function.logical_id for function in functions}
    for target, (span, action) in named.items():
        if target not in own:
            yield _telling(template, principal, functions, target, span, action, known.get(target), finders)


def _is_stream(element: Scalar | Unknown) -> bool:
    references = element.references if isinstance(element, Unknown) else ()
    return any((reference.attribute or "").endswith("StreamArn") for reference in references)


def _action(statement: Statement, services: tuple[str, ...]) -> str:
    """The first action on a resource that a statement names."""
    return next((told(element) for element in statement.actions if services and _acts_on(element, services)), "")


def _telling(
    template: Template,
    principal: Principal,
    functions: list[Function],
    target: str,
    span: Span,
    action: str,
    line: Span | None,
    finders: tuple[str, ...],
) -> Finding:
    name, names = principal.logical_id, listed(function.logical_id for function in functions)
    start = f"{name} may {action} on {target}"
    more = [
        Evidence(function.where("Environment.Variables"), f"what {function.logical_id} is told")
        for function in functions
    ]
    if line:
        outcome, message = Outcome.PASS, f"{start}, and {names} is told of it"
        more = [Evidence(line, f"tells {names} of {target}")]
    else:
        outcome, doubt = _doubted(template, principal, functions, template.resources[target], finders)
        if outcome is Outcome.PASS:
            message = f"{start}, and the code of {names} names it"
        else:
            message = f"{start}, but nothing tells {names} its name{': ' if doubt else ''}{doubt}"
    return judged(
        outcome, principal.resource, None, message, span=span, note=f"{name} may {action}", more=more, salient=target
    )


def _doubted(
    template: Template, principal: Principal, functions: list[Function], resource: Resource, finders: tuple[str, ...]
) -> tuple[Outcome, str]:
    """Whether a function that is not told of a resource may know it all the same, and why."""
    path = NAME_PROPERTIES.get(resource.type, "")
    name = parts_of(resource.at(path)) if path else ()
    start = next((part for part in name if isinstance(part, str)), "")
    codes = [template.code[function.logical_id] for function in functions]
    if len(start) >= _PREFIX and any(start in text for code in codes for text in _texts(code)):
        return Outcome.PASS, ""
    hidden = next((function for function in functions if is_hidden(function)), None)
    if hidden:
        return Outcome.UNKNOWN, f"only deploy time knows the variables of {hidden.logical_id}"
    unread = next((code for code in codes if not code.complete), None)
    if name and unread:
        part = "part of which" if unread.readable else "which"
        return Outcome.UNKNOWN, f"its code, {part} cannot be read here, may hold it"
    for statement in principal.statements:
        named = {target for element in statement.resources for target in named_by(template, element)}
        for element in statement.actions if statement.effect == "Allow" and named != {resource.logical_id} else ():
            if isinstance(element, Scalar) and any(_overlap(element.text, pattern) for pattern in finders):
                return Outcome.UNKNOWN, f"it may find it out by {element.text}"
    if template.macros:
        return Outcome.UNKNOWN, f"the macro {template.macros[0].name} may"
    return Outcome.FAIL, ""


def _texts(code: Code) -> Iterator[str]:
    """The literal texts of a function's code, long ones only where a call of the SDK is given them."""
    yield from code.words
    for call in code.calls:
        for origin in (call.target, *call.arguments.values()):
            yield from origin.texts


def _paired(template: Template, function: Function, action: str, arguments: tuple[str, ...]) -> Iterator[Finding]:
    """Whether a function has a variable for each argument of a call; each is a pattern and the argument's name."""
    wanted = dict(argument.split() for argument in arguments)
    held = {
        variable.name: (pattern, variable)
        for variable in function.variables
        for pattern in wanted
        if is_called(variable.name, (pattern,)) and not is_switch(variable.value)
    }
    principal = template.principals.get(function.principal or "")
    missing = [name for pattern, name in wanted.items() if pattern not in {pattern for pattern, _ in held.values()}]
    if not held or principal is None or not principal.allows(action):
        return
    _, first = next(iter(held.values()))
    call, code, who = action.partition(":")[2], template.code[function.logical_id], function.logical_id
    outcome, message = Outcome.PASS, f"{who} has variables for all that {call} requires: {listed(wanted.values())}"
    if missing and _sets(code, action, missing):
        message = f"the code of {who} sets {listed(missing)} for {call} itself"
    elif missing:
        hidden = not code.complete or any(made.arguments_open for made in code.calls_of(action))
        outcome = Outcome.UNKNOWN if hidden else Outcome.FAIL
        part = "part of which" if code.readable else "which"
        doubt = f", unless its code, {part} cannot be read here, holds it" if hidden else ""
        message = f"{who} is given {first.name} for {call}, but no {listed(missing)}, which it requires too{doubt}"
    path = f"Environment.Variables.{first.name}"
    yield judged(outcome, function.resource, path, message, span=first.span, salient=call)


def _sets(code: Code, action: str, arguments: list[str]) -> bool:
    """Whether a call that the code makes is given all of the arguments."""
    return any(made.arguments.keys() >= set(arguments) for made in code.calls_of(action))
