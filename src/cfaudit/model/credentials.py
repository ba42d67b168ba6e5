"""Names and texts in, whether they are credentials out.

A name is read as words (``DbMasterPassword``, ``DB_MASTER_PASSWORD``); what it ends in is what it holds, so that
``SecretArn``, ``TokenExpiry`` and ``KmsKeyId`` hold no secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.nodes import Call, Map, Node, Scalar, Seq, Span, Value

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SPELLED = (("pass", "word"), ("pass", "phrase"), ("o", "auth"), ("pre", "shared"))
_GLUED = ("password", "passwd", "apikey")

_SECRETS = frozenset(
    {
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "apikey",
        "pass",
        "token",
        "api key",
        "secret key",
        "access secret",
        "private key",
        "secret access key",
    }
)
_OPEN = frozenset({"secret", "secrets", "credential", "credentials"})
_OWNERS = frozenset(
    {
        "api",
        "app",
        "auth",
        "client",
        "consumer",
        "cookie",
        "hmac",
        "jwt",
        "oauth",
        "session",
        "shared",
        "signing",
        "webhook",
    }
)
_TAILS = frozenset({"value", "string", "plaintext", "plain", "text"})
_QUESTIONS = frozenset(
    {
        "allow",
        "create",
        "disable",
        "enable",
        "enabled",
        "generate",
        "has",
        "is",
        "manage",
        "need",
        "needs",
        "no",
        "require",
        "requires",
        "reset",
        "rotate",
        "should",
        "use",
        "with",
    }
)
_PLAIN_TOKENS = frozenset({"next", "continuation", "page", "task", "client", "request", "idempotency", "start", "stop"})


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: of ``SlackOAuthToken`` they are ``slack``, ``oauth``, ``token``."""
    found = [word.lower() for word in _WORD.findall(name)]
    for pair in _SPELLED:
        joined = "".join(pair)
        index = 0
        while index < len(found) - 1:
            if (found[index], found[index + 1]) == pair:
                found[index : index + 2] = [joined]
            index += 1
    return tuple(found)


def names_secret(name: str) -> bool | None:
    """Whether a name says that a secret is held under it; None when it may as well name one (``DatabaseSecret``)."""
    found = list(words(name))
    if not found or found[0] in _QUESTIONS:
        return False
    while found and (found[-1] in _TAILS or found[-1].isdecimal()):
        found.pop()
    ends = [" ".join(found[-count:]) for count in (1, 2, 3) if count <= len(found)]
    if any(end in _SECRETS for end in ends) or (found and found[-1].endswith(_GLUED)):
        return not (ends[0] == "token" and len(found) > 1 and found[-2] in _PLAIN_TOKENS)
    if found and found[-1] in _OPEN:
        return True if len(found) > 1 and found[-2] in _OWNERS and found[-1] == "secret" else None
    return False


_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "a Stripe key": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16,}\b"),
}
"""AWS's access key ids: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids"""

_EXAMPLES = re.compile(r"EXAMPLE\b")  # AWS's documentation ends its sample access keys so
_POINTER = re.compile(r"arn:|/|\$\{|\{\{|https?://|s3://|alias/|\$\(", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"<.*>|.*(?:change|replace)[-_ ]?(?:me|this|it)\b.*|(?:placeholder|todo|dummy|your[-_ ]).*|x+|\*+", re.IGNORECASE
)
_NOTHING = frozenset(
    {"", "-", "{}", "none", "null", "nil", "n/a", "na", "undefined", "empty", "true", "false", "yes", "no", "on", "off"}
)


def credential_in(text: str) -> str | None:
    """What kind of credential a text is by its form alone (``an AWS access key``)."""
    if _EXAMPLES.search(text):
        return None
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(text)), None)


def is_nothing(text: str) -> bool:
    """Whether a text stands for no value at all, or for a yes or no."""
    return text.strip().lower() in _NOTHING


def is_placeholder(text: str) -> bool:
    """Whether a text only says that somebody must put a value here."""
    return bool(_PLACEHOLDER.fullmatch(text.strip()))


def is_pointer(text: str) -> bool:
    """Whether a text says where a secret is (an ARN, a path, a reference), so that it is none itself."""
    return bool(_POINTER.match(text.strip()))


class Held(NamedTuple):
    """A place that holds text under a name: an environment variable, or a property made for a secret."""

    resource: Resource
    name: str
    value: Value
    span: Span
    path: str


_PROPERTIES = {
    "AWS::DocDB::DBCluster": ("MasterUserPassword",),
    "AWS::ElastiCache::ReplicationGroup": ("AuthToken",),
    "AWS::IAM::User": ("LoginProfile.Password",),
    "AWS::Neptune::DBCluster": ("MasterUserPassword",),
    "AWS::RDS::DBCluster": ("MasterUserPassword",),
    "AWS::RDS::DBInstance": ("MasterUserPassword",),
    "AWS::Redshift::Cluster": ("MasterUserPassword",),
    "AWS::SecretsManager::Secret": ("SecretString",),
}
_VARIABLES = {
    "AWS::ECS::TaskDefinition": "ContainerDefinitions.*.Environment.*",
    "AWS::CodeBuild::Project": "Environment.EnvironmentVariables.*",
}


def held_texts(template: Declarations) -> Iterator[Held]:
    """Variables of containers and builds, and properties made for secrets; functions' variables are the model's."""
    for resource in template.of(*_PROPERTIES):
        for path in _PROPERTIES[resource.type]:
            yield Held(resource, path.rpartition(".")[2], resource.at(path), resource.where(path), path)
    for resource in template.of(*_VARIABLES):
        for path, entry in resource.each(_VARIABLES[resource.type]):
            name, kind = resource.at(f"{path}.Name"), resource.at(f"{path}.Type")
            plain = not isinstance(kind, Scalar) or kind.text == "PLAINTEXT"
            if isinstance(entry, Map) and isinstance(name, Scalar) and plain:
                where = f"{path}.Value"
                yield Held(resource, name.text, resource.at(where), resource.where(where), where)


_POINTED = re.compile(r"(?:resolve:[a-z-]+:|:secret:|:parameter/?)[^\s]*\Z", re.IGNORECASE)
_HOLE = re.compile(r"\$\{([A-Za-z0-9]+)\}")
_POINTING = frozenset({"SecretId", "SecretArn", "SecretName", "ValueFrom", "Name"})


def pointing_parameters(template: Declarations) -> frozenset[str]:
    """The parameters that the template uses as the name of a secret, in a dynamic reference or where one is named."""
    resources = template.source.root.entries.get("Resources")
    return frozenset(_pointing(resources, "")) if resources is not None else frozenset()


def _pointing(node: Node, key: str) -> Iterator[str]:
    match node:
        case Call("Ref", Scalar(name)) if key in _POINTING:
            yield name
        case Call(_, argument):
            yield from _pointing(argument, key)
        case Scalar(text):
            for hole in _HOLE.finditer(text):
                if _POINTED.search(text[: hole.start()]):
                    yield hole[1]
        case Seq(items):
            before = ""
            for item in items:
                if isinstance(item, Call) and item.name == "Ref" and _POINTED.search(before):
                    yield from _pointing(item, "SecretId")
                before += item.text if isinstance(item, Scalar) else ""
                yield from _pointing(item, key)
        case Map(entries):
            for name, value in entries.items():
                yield from _pointing(value, name)
