"""Questions about physical names: which values of parameters break them, and where they collide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.language import texts
from cfaudit.model.names import NAME_PROPERTIES
from cfaudit.model.naming import Fault, Name, Parameter, breaks, fault, names, parameter
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Reference, Scalar, Span, Unknown, Value, parts_of

SHOWN = 10
SHOWN_LENGTH = 20
TOO_LONG = 2
MAX_TRIED = 8


class _Break(NamedTuple):
    """A value that a parameter allows, and what it does to a name."""

    name: Name
    value: str
    text: str
    fault: Fault

    @property
    def assignment(self) -> str:
        return f"a value of {len(self.value)} characters" if len(self.value) > SHOWN_LENGTH else repr(self.value)

    @property
    def told(self) -> str:
        logical_id, path = self.name.resource.logical_id, self.name.grammar.path
        if len(self.value) > SHOWN_LENGTH:
            return f"{path} of {logical_id} {self.fault.reason}"
        return f"{path} of {logical_id} becomes {self.text!r}, which {self.fault.reason}"


def valid_names(template: Template, facts: Facts) -> Iterator[Finding]:
    """No value that a parameter allows may make a physical name invalid.

    Names are read with their parameters left open. For each parameter of type String that is part of a name, values
    that its AllowedPattern, AllowedValues, MinLength and MaxLength allow are tried: one for each kind of character in
    each place, the shortest and the longest; conditions are decided anew for each. What a name may be, AWS's API
    reference says (characters, length, how it begins and ends). The finding shows one value that breaks a name. A name
    that is a parameter's value as a whole is not judged: who gives the value gives the name. A parameter without any
    constraint, one that Rules restrict, and a pattern that cannot be taken apart (look-arounds, back references) are
    unknown.
    """
    held: dict[str, list[Name]] = {}
    for name in names(template):
        for word in name.parameters:
            held.setdefault(word, []).append(name)
    found = {word: parameter(template.source, word) for word in held}
    fallback = {word: _plain(entry) for word, entry in found.items() if entry}
    for word, entry in found.items():
        if entry is not None:
            yield _judged_parameter(template, entry, held[word], fallback)


def _plain(entry: Parameter) -> str:
    """What stands for a parameter while another one is tried."""
    if entry.default is not None:
        return entry.default
    found = texts(entry.values, "dev") if entry.values else ()
    return next((text for text in found if text == text.lower() and text), "dev")


def _judged_parameter(template: Template, entry: Parameter, held: list[Name], fallback: Mapping[str, str]) -> Finding:
    where = entry.definition.keys.get(entry.decided_by or "Type", entry.definition.span)
    constraint = entry.definition.entries.get(entry.decided_by)
    span = where.to(constraint.span) if constraint else _key(template, entry.name)
    if entry.values is None:
        message = f"which values {entry.name} may have, its pattern does not let us tell"
        return _about(Outcome.UNKNOWN, entry, message, span, [(name, "a name it is part of") for name in held])
    found = sorted(_broken(template, entry, held, fallback), key=_plainness)
    if not found:
        message = f"no value that {entry.name} allows breaks any of {len(held)} names"
        return _about(Outcome.PASS, entry, message, span, [(name, "a name it is part of") for name in held])
    first = found[0]
    more = f" (and {len(found) - 1} more names)" if len(found) > 2 else " (and one more name)" if found[1:] else ""
    message = f"with {entry.name} = {first.assignment}, {first.told}{more}"
    named = [(item.name, f"{entry.name} = {item.assignment}: {item.fault.reason}") for item in found]
    if not entry.limited:
        return _about(Outcome.UNKNOWN, entry, f"nothing limits {entry.name}: {message}", span, named)
    if _is_ruled(template, entry.name):
        return _about(Outcome.UNKNOWN, entry, f"unless Rules refuse it, {message}", span, named)
    return _about(Outcome.FAIL, entry, message, span, named)


def _key(template: Template, name: str) -> Span:
    return template.document.parameters.keys.get(name, template.span)


def _is_ruled(template: Template, name: str) -> bool:
    """Whether the Rules section speaks of a parameter.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
    """
    rules = template.source.root.entries.get("Rules")
    if rules is None:
        return False
    text = "\n".join(template.source.of(rules.span.file).lines[rules.span.line - 1 : rules.span.end_line])
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _broken(template: Template, entry: Parameter, held: list[Name], fallback: Mapping[str, str]) -> Iterator[_Break]:
    values = texts(entry.values, entry.default or "") if entry.values else ()
    for name in held:
        kind = name.resource.type
        good = [text for text in (entry.default, *values) if text is not None]
        if all(fault(kind, name.text({entry.name: text}, fallback)) for text in good):
            continue  # broken whatever this parameter is: not its fault
        yield from _first_break(template, entry, name, values, fallback)


def _first_break(
    template: Template, entry: Parameter, name: Name, values: tuple[str, ...], fallback: Mapping[str, str]
) -> Iterator[_Break]:
    """The plainest value that breaks a name also where conditions decide."""
    found: list[_Break] = []
    for value in (*values, *_long(entry, name, fallback)):
        text = name.text({entry.name: value}, fallback)
        wrong = fault(name.resource.type, text)
        if wrong:
            found.append(_Break(name, value, text, wrong))
            if len(found) >= MAX_TRIED and wrong.rank == 0:
                break
    for item in sorted(found, key=_plainness)[:MAX_TRIED]:
        if not entry.limited or breaks(template, name, {entry.name: item.value}, fallback):
            yield item
            return


def _plainness(item: _Break) -> tuple[int, int]:
    return item.fault.rank, len(item.value) if item.fault.rank == TOO_LONG else 0


def _long(entry: Parameter, name: Name, fallback: Mapping[str, str]) -> Iterator[str]:
    """The shortest value that is too long, if the parameter allows one."""
    uses = sum(isinstance(part, Deferred) and part.name == entry.name for part in name.parts)
    fixed = len(name.text({entry.name: ""}, fallback))
    if entry.values:
        yield entry.values.longest((name.grammar.most - fixed) // uses + 1)


def _about(outcome: Outcome, entry: Parameter, message: str, span: Span, named: list[tuple[Name, str]]) -> Finding:
    related = [Evidence(name.resource.where(name.grammar.path), note) for name, note in named[:SHOWN]]
    return Finding(outcome, entry.name, message, (Evidence(span, message), *related), property_path=entry.decided_by)


# Names of roles ------------------------------------------------------------------------------------------------------

_REGION = re.compile(r"\b(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-(?:gov|isob?))?-[a-z]+-[0-9]\b")
_OWN = ("AWS::Region", "AWS::StackName", "AWS::StackId")


def regional_names(template: Template, facts: Facts, *, paths: Mapping[str, str]) -> Iterator[Finding]:
    """A name that is global to the account must have the Region or the stack's name in it.

    A resource without a name of its own passes: CloudFormation makes one. So does a name with `AWS::Region`,
    `AWS::StackName` or `AWS::StackId`, with a part of another resource's name, or with a Region written out. A name
    with a parameter that has no default, or with something else that only deploy time knows, is unknown.
    """
    for resource in template.of(*paths):
        path = paths[resource.type]
        value = resource.at(path)
        outcome, message = _regional(value, path)
        yield judged(outcome, resource, path, f"{resource.logical_id} {message}")


def _regional(value: Value, path: str) -> tuple[Outcome, str]:
    match value:
        case Absent() | Scalar(""):
            return Outcome.PASS, "gets a name from CloudFormation"
        case Scalar(text):
            regional = _REGION.search(text) is not None
            told = "has a Region in its name" if regional else f"is named {text!r} in every Region"
            return Outcome.PASS if regional else Outcome.FAIL, told
        case Unknown(_, parts):
            if any(_tells_apart(part) for part in parts):
                return Outcome.PASS, f"has a {path} of its own in every stack or Region"
            if all(isinstance(part, str) or part.name in _SHARED for part in parts if not isinstance(part, Reference)):
                return Outcome.FAIL, f"has the same {path} in every Region"
            return Outcome.UNKNOWN, f"has a {path} that only deploy time knows"
        case _:
            return Outcome.UNKNOWN, f"has a {path} that is no text"


_SHARED = ("AWS::AccountId", "AWS::Partition", "AWS::URLSuffix")


def _tells_apart(part: str | Reference | Deferred) -> bool:
    if isinstance(part, str):
        return _REGION.search(part) is not None
    if isinstance(part, Reference):
        return True
    return part.name.rpartition(".")[2] in _OWN or any(name in part.expression for name in _OWN) or bool(part.mentions)


# Names that stay -----------------------------------------------------------------------------------------------------

RETAINED = ("Retain", "RetainExceptOnCreate")
_FIXED = frozenset({"parameter", "pseudo", "import", "dynamic"})
_NOT_UNIQUE = (
    "AWS::ApiGateway::RestApi",
    "AWS::Cognito::UserPoolGroup",  # unique in its pool
    "AWS::ECS::Cluster",  # the same name is the same cluster
    "AWS::SES::EmailIdentity",  # its name is the domain or address itself
    "AWS::Serverless::Api",
)


def unfixed_names(template: Template, facts: Facts) -> Iterator[Finding]:
    """A resource that stays when its stack goes must not have a name that the next stack uses again.

    Judged are resources with DeletionPolicy Retain or RetainExceptOnCreate whose type has a unique name. A name is
    fixed when it is made of text, parameters, imports and pseudo parameters; also of the stack's name, because a stack
    that failed or was deleted is created again under its name. Without a name of its own a resource passes, and so it
    does with a part that is new each time: AWS::StackId, or the generated name of another resource. What another
    function makes of it is unknown.
    """
    for resource in template.of(*NAME_PROPERTIES):
        policy = resource.attribute("DeletionPolicy")
        if resource.type in _NOT_UNIQUE or isinstance(policy, Absent):
            continue
        if isinstance(policy, Scalar) and policy.text not in RETAINED:
            continue
        yield _judged_name(template, resource, policy, NAME_PROPERTIES[resource.type])


def _judged_name(template: Template, resource: Resource, policy: Value, path: str) -> Finding:
    value = resource.at(path)
    place = resource.where_attribute("DeletionPolicy")
    more = () if isinstance(value, Absent) else (Evidence(resource.where(path), "the name that it has each time"),)
    fixed = _is_fixed(template, value)
    if fixed and isinstance(policy, Scalar):
        when = "was deleted" if policy.text == "RetainExceptOnCreate" else "failed or was deleted"
        message = f"{resource.logical_id} keeps its fixed {path}, so a stack that {when} cannot be created again"
        return judged(Outcome.FAIL, resource, path, message, span=place, more=more)
    if fixed is False:
        message = f"{resource.logical_id} stays, and the next one gets another name"
        return judged(Outcome.PASS, resource, path, message, span=place, more=more)
    which = "whether it stays" if isinstance(policy, Unknown) else "whether its name is new each time"
    message = f"{resource.logical_id} has a name of its own; only deploy time knows {which}"
    return judged(Outcome.UNKNOWN, resource, path, message, span=place, more=more)


def _is_fixed(template: Template, value: Value, depth: int = 0) -> bool | None:
    """Whether a name is the same each time a stack is created; None when that cannot be told."""
    parts = parts_of(value)
    if parts in ((), ("",)) or depth > MAX_TRIED:
        return False
    answers = [_is_same(template, part, depth) for part in parts if not isinstance(part, str)]
    return False if False in answers else None if None in answers else True


def _is_same(template: Template, part: Reference | Deferred, depth: int) -> bool | None:
    if isinstance(part, Deferred):
        if part.name == "AWS::StackId" or "AWS::StackId" in part.expression:
            return False
        return True if part.kind in _FIXED else None
    named = template.resources.get(part.logical_id)
    if named is None or part.attribute is not None or named.type not in NAME_PROPERTIES:
        return False
    return _is_fixed(template, named.at(NAME_PROPERTIES[named.type]), depth + 1)
