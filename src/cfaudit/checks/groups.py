"""The question whether the groups of a user pool permit anything, or are names only."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from cfaudit.checks.unseen import unseen
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.states import texts
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Seq, Span, Unknown, Value

GROUP = "AWS::Cognito::UserPoolGroup"
_ROLES = "AWS::Cognito::IdentityPoolRoleAttachment"
_SCOPED = {
    "AWS::ApiGateway::Method": "AuthorizationScopes",
    "AWS::ApiGatewayV2::Route": "AuthorizationScopes",
    "AWS::Serverless::Api": "Auth.Authorizers.*.AuthorizationScopes",
    "AWS::Serverless::Function": "Events.*.Properties.Auth.AuthorizationScopes",
    "AWS::Serverless::HttpApi": "Auth.Authorizers.*.AuthorizationScopes",
}
_CALLS = ("cognito-idp:AdminListGroupsForUser", "cognito-idp:ListUsersInGroup")
_INVOKED = (*FUNCTION_TYPES, "AWS::Lambda::Alias", "AWS::Lambda::Version")


def enforced_groups(
    template: Template, facts: Facts, *, mentions: tuple[str, ...], engines: tuple[str, ...], hosts: tuple[str, ...]
) -> Iterator[Finding]:
    """A group of a user pool must decide something: by a role of its own, or because something reads the membership.

    A group with RoleArn passes. All groups pass when a route asks for scopes, an identity pool maps roles, Amazon
    Verified Permissions decides, a template, schema or policy in the stack mentions the claim, or the code of a
    function reads it (`cognito:groups`) or lists the members of groups. Otherwise it is unknown whether something reads
    the claim where the code of a function or the definition of an API cannot be read in full, where containers,
    instances, GraphQL APIs, nested stacks or macros may, and where the stack has neither functions nor APIs. Functions
    that only serve deployments read no tokens.
    """
    groups = list(template.of(GROUP))
    reader = _reader(template, facts, mentions, engines) if groups else None
    doubt = _doubt(template, hosts) if groups and reader is None else None
    for group in groups:
        name = group.logical_id
        if not isinstance(group.at("RoleArn"), Absent):
            message = f"the members of {name} get a role of their own"
            yield judged(Outcome.PASS, group, "RoleArn", message)
        elif reader:
            message = f"{name} may be enforced: {reader.note}"
            yield judged(Outcome.PASS, group, None, message, note=f"the group {name}", more=(reader,))
        elif doubt:
            message = f"{name} has no role, and nothing seen here reads cognito:groups, but {doubt.note}"
            yield judged(Outcome.UNKNOWN, group, None, message, note=f"the group {name}", more=(doubt,))
        else:
            message = f"{name} has no role, and nothing reads cognito:groups, so its members may do what everyone may"
            yield judged(Outcome.FAIL, group, None, message, note=f"the group {name}")


def _reader(template: Template, facts: Facts, mentions: tuple[str, ...], engines: tuple[str, ...]) -> Evidence | None:
    """What looks at the groups of a caller."""
    for code in template.code.values():
        calls = code.calls_of(*_CALLS)
        span = calls[0].span if calls else next((at for text, at in code.words.items() if _holds(text, mentions)), None)
        if span:
            return Evidence(span, f"{code.function} reads the groups of the caller")
    for kind, path in _SCOPED.items():
        for resource in template.of(kind):
            for where, value in resource.each(path):
                if isinstance(value, Unknown) or (isinstance(value, Seq) and value.items):
                    return Evidence(resource.where(where), f"{resource.logical_id} asks for scopes")
    for attachment in template.of(_ROLES):
        if not isinstance(attachment.at("RoleMappings"), Absent):
            span = attachment.where("RoleMappings")
            return Evidence(span, f"{attachment.logical_id} maps roles")
    for resource in template.resources.values():
        if any(fnmatchcase(resource.type, engine) for engine in engines):
            return Evidence(resource.span, f"{resource.logical_id} decides")
        found = _mention(resource, mentions)
        if found:
            return Evidence(found, f"{resource.logical_id} reads them")
    external = facts.elsewhere(types=(_ROLES, *engines))
    return Evidence(external.span, f"in another stack: {external.reason}", external.text) if external else None


def _mention(resource: Resource, mentions: tuple[str, ...]) -> Span | None:
    """A text of a resource that names the claim; code and descriptions are none."""
    if resource.type in (*FUNCTION_TYPES, GROUP):
        return None
    for text in texts(resource.at("")):
        if _holds(text.text if isinstance(text, Scalar) else text.known_text, mentions):
            return text.span
    return None


def _holds(text: str, mentions: tuple[str, ...]) -> bool:
    return any(mention in text for mention in mentions)


def _doubt(template: Template, hosts: tuple[str, ...]) -> Evidence | None:
    """What may read the groups out of sight."""
    for api in template.apis.declared.values():
        if not api.complete:
            return Evidence(api.span, f"the definition of {api.logical_id}, which stands elsewhere, may")
    for authorizer in template.apis.authorizers:
        uri = authorizer.uri
        if not isinstance(uri.value, Absent) and not template.targets(uri.value, *_INVOKED):
            return Evidence(uri.span, f"the authorizer {authorizer.name}, whose code stands elsewhere, may")
    for route in template.routes:
        behind = route.integration
        if behind and behind.target is None and (behind.invokes is not False or _is_proxy(behind.type.value)):
            return Evidence(behind.uri.span, f"what stands behind {route.name} may")
    found = unseen(template, hosts)
    if found is None and not template.functions and not template.routes:
        return Evidence(template.span, "the application that its users sign in to stands elsewhere")
    return found


def _is_proxy(kind: Value) -> bool:
    return isinstance(kind, Unknown) or (isinstance(kind, Scalar) and kind.text.upper() in ("HTTP", "HTTP_PROXY"))
