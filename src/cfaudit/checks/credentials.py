"""Questions about secrets that a template shows: parameters that echo, defaults, literals."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.credentials import (
    Held,
    credential_in,
    held_texts,
    is_nothing,
    is_placeholder,
    is_pointer,
    names_secret,
    pointing_parameters,
)
from cfaudit.model.declarations import descend
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Scalar, Seq, Span, Value, truth

_ABOUT = re.compile(
    r"\barns?\b|secrets? ?manager|parameter store|\bssm\b|\b(?:name|path|id) (?:of|for)\b", re.IGNORECASE
)
_PUBLIC = re.compile(r"(?:user|username|login|name|mail|email|host|id|arn|url|account|address|port)\Z", re.IGNORECASE)


def hidden_secrets(template: Template, facts: Facts) -> Iterator[Finding]:
    """No secret may stand in the template or be echoed by CloudFormation.

    A parameter whose name ends in a secret (password, token, API key, client secret …) must have `NoEcho`, and a
    parameter with `NoEcho` must have no default. A parameter of an SSM type, with allowed values, or that the template
    uses or describes as the name of a secret, holds none. A name that may mean either (`DatabaseSecret`) is unknown.

    A variable of a function, container or build fails when its value is a credential by its form (an AWS access key, a
    private key …) or a literal under a name that ends in a secret, and so does a literal in a property made for a
    password. Dynamic references, references, ARNs and paths are no secrets.
    """
    shown: set[str] = set()
    named = [name for name in template.document.parameters.entries if names_secret(name) is not False]
    pointing = pointing_parameters(template) if named else frozenset()
    for name, definition in template.document.parameters.entries.items():
        if isinstance(definition, Map):
            key = template.document.parameters.keys[name]
            default = definition.entries.get("Default")
            for finding in _parameter(name, definition, key, points=name in pointing):
                if finding.outcome is Outcome.FAIL and isinstance(default, Scalar):
                    shown.add(default.text)
                yield finding
    yield from _variables(template, shown)
    for held in held_texts(template):
        yield from _held(held, shown)


def _parameter(name: str, definition: Map[Value], key: Span, *, points: bool) -> Iterator[Finding]:
    default, span = descend(definition, key, ["Default"])
    hidden = truth(descend(definition, key, ["NoEcho"])[0])
    secret = False if points or _is_open(definition, key) else names_secret(name)
    text = default.text if isinstance(default, Scalar) else ""
    stands = bool(text) and not is_nothing(text) and not is_pointer(text)
    public = secret is False and bool(_PUBLIC.search(name))
    if hidden and stands and not public:
        message = f"The parameter {name} has NoEcho, but its default stands in the template"
        yield _told(Outcome.FAIL, name, message, span.to(default.span), "Default", "")
    elif hidden:
        yield _told(Outcome.PASS, name, f"CloudFormation does not show the parameter {name}", key, "NoEcho", "")
    elif secret and not (text and is_pointer(text)):
        message = f"The parameter {name} has no NoEcho, so CloudFormation shows its value"
        yield _told(Outcome.FAIL, name, message, key, "NoEcho", "its name says that it holds a secret")
    elif secret is None and not (text and is_pointer(text)):
        message = f"Whether the parameter {name} holds a secret or names one is not said, and it has no NoEcho"
        yield _told(Outcome.UNKNOWN, name, message, key, "NoEcho", "")


def _told(outcome: Outcome, name: str, message: str, span: Span, path: str, assumed: str) -> Finding:
    return Finding(
        outcome=outcome,
        subject=name,
        message=message,
        evidence=(Evidence(span, message),),
        property_path=path,
        assumed=(assumed,) if assumed else (),
    )


def _is_open(definition: Map[Value], key: Span) -> bool:
    """Whether a parameter says of itself that it is no secret: by its type, its values or its description."""
    type_, values, about = (descend(definition, key, [name])[0] for name in ("Type", "AllowedValues", "Description"))
    if not isinstance(type_, Scalar) or type_.text != "String":
        return True
    if isinstance(values, Seq):
        return True
    return isinstance(about, Scalar) and bool(_ABOUT.search(about.text))


def _variables(template: Template, shown: set[str]) -> Iterator[Finding]:
    for function in template.functions.values():
        found: list[Finding] = []
        for variable in function.variables:
            path = f"Environment.Variables.{variable.name}"
            found.extend(_held(Held(function.resource, variable.name, variable.value, variable.span, path), shown))
        if found:
            yield from found
        elif function.variables:
            message = f"No variable of {function.logical_id} is a credential"
            where = function.where("Environment.Variables")
            yield judged(Outcome.PASS, function.resource, "Environment.Variables", message, span=where)


def _held(held: Held, shown: set[str]) -> Iterator[Finding]:
    if not isinstance(held.value, Scalar):
        return
    text = held.value.text
    kind = credential_in(text)
    secret = names_secret(held.name) if held.name != "SecretString" else True
    place = f"{held.name} of {held.resource.logical_id}"
    harmless = text in shown or is_nothing(text) or is_pointer(text) or is_placeholder(text)
    if kind:
        message = f"{place} is {kind} in plain text"
        yield judged(Outcome.FAIL, held.resource, held.path, message, span=held.span)
    elif secret and not harmless:
        message = f"{place} is a literal in the template"
        assumed = ("its name says that it is a secret",)
        yield judged(Outcome.FAIL, held.resource, held.path, message, span=held.span, assumed=assumed)
    elif secret is None and not harmless:
        message = f"Whether {place} is a secret or names one is not said, and it is a literal"
        yield judged(Outcome.UNKNOWN, held.resource, held.path, message, span=held.span)
