"""The question whether all that can be tagged has the tags that the stack's other resources have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cfaudit import data
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Scalar, Seq, Unknown, Value

SHOWN = 10
_SAM_GLOBALS = {
    "AWS::Serverless::Api": "Api",
    "AWS::Serverless::Function": "Function",
    "AWS::Serverless::HttpApi": "HttpApi",
}
_OWN_PREFIXES = ("aws:", "aws-cdk:", "lambda:")
_SAM_SUFFIX = ":createdBy"
"""What ends the keys that SAM sets: ``lambda:createdBy``, ``stateMachine:createdBy`` …"""


class _Tagged(NamedTuple):
    """A resource that can be tagged, its tags as key and value, and whether only deploy time knows all of them."""

    resource: Resource
    path: str
    pairs: frozenset[tuple[str, str]]
    open: bool

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(key for key, _ in self.pairs)


def shared_tags(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every resource that can be tagged must have the tag keys that most tagged resources of the stack have.

    Which types can be tagged, and by which property, their schemas say. A key counts when at least half of the tagged
    resources, of more than one type, have it, nearly all with the same value; `Name` and other keys with a value of
    each resource's own do not count, nor do keys that AWS, SAM or the CDK set. A stack without such a key is not
    judged. There is one finding, which names the first resources that lack a key. Tags that only deploy time knows are
    unknown, and so is a missing tag where a macro may add it.
    """
    found = [_tagged(template, resource, place) for resource, place in _taggable(template)]
    wanted = frozenset(_stack_keys(found))
    if not wanted:
        return
    lacking = [entry for entry in found if wanted - entry.keys and not entry.open]
    doubtful = [entry for entry in found if wanted - entry.keys and entry.open]
    keys = _listed(sorted(wanted))
    if lacking:
        outcome = Outcome.UNKNOWN if template.macros else Outcome.FAIL
        names = _named(lacking)
        message = f"{names} can be tagged and {'lacks' if len(lacking) == 1 else 'lack'} {keys}"
        notes = [f"{entry.resource.logical_id} has no {_listed(sorted(wanted - entry.keys))}" for entry in lacking]
        yield _about(outcome, message, lacking, notes)
    elif doubtful:
        message = f"only deploy time knows whether {_named(doubtful)} has {keys}"
        yield _about(Outcome.UNKNOWN, message, doubtful, [message for _ in doubtful])
    else:
        message = f"all {len(found)} resources that can be tagged have {keys}"
        yield _about(Outcome.PASS, message, found, [f"{entry.resource.logical_id} has {keys}" for entry in found])


def _stack_keys(found: list[_Tagged]) -> Iterator[str]:
    """The keys that are the stack's, not one resource's or one type's."""
    tagged = [entry for entry in found if entry.pairs]
    counted = Counter(pair for entry in tagged for pair in entry.pairs)
    holders = Counter(key for entry in tagged for key in entry.keys)
    for (key, _), count in counted.items():
        kinds = {entry.resource.type for entry in tagged if key in entry.keys}
        if len(kinds) > 1 and 2 * count >= len(tagged) and 4 * count >= 3 * holders[key]:
            yield key


def _about(outcome: Outcome, message: str, entries: list[_Tagged], notes: list[str]) -> Finding:
    shown = zip(entries[:SHOWN], notes, strict=False)
    evidence = tuple(Evidence(entry.resource.where(entry.path), note) for entry, note in shown)
    return Finding(outcome, "template", message, evidence)


def _taggable(template: Template) -> Iterator[tuple[Resource, str]]:
    for resource in template.resources.values():
        place = data.tag_property(resource.type)
        if place:
            yield resource, place


def _tagged(template: Template, resource: Resource, place: str) -> _Tagged:
    path = place.partition("/")[0]
    values = [value for _, value in resource.each(place.replace("/", "."))]
    shared = _shared(template, resource)
    if shared is not None:
        values.append(shared)
    pairs: set[tuple[str, str]] = set()
    is_open = False
    for value in values:
        found, doubt = _pairs(value)
        pairs |= found
        is_open = is_open or doubt
    own = frozenset(pair for pair in pairs if not _is_foreign(pair[0]))
    return _Tagged(resource, path, own, is_open)


def _is_foreign(key: str) -> bool:
    return key == "Name" or key.startswith(_OWN_PREFIXES) or key.endswith(_SAM_SUFFIX)


def _shared(template: Template, resource: Resource) -> Value | None:
    """The tags that SAM's Globals give.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    """
    section = template.globals_of(resource.logical_id, _SAM_GLOBALS.get(resource.type, ""))
    return descend(section, section.span, ["Tags"])[0] if isinstance(section, Map) else None


def _pairs(value: Value) -> tuple[set[tuple[str, str]], bool]:
    """The keys and values of a list or a map of tags, and whether there may be more."""
    match value:
        case Map(entries, keys):
            doubt = any(name.startswith("Fn::") for name in keys)
            return {(name, _rendered(member)) for name, member in entries.items()}, doubt
        case Seq(items):
            found = [_pair(item.entries) if isinstance(item, Map) else None for item in items]
            return {pair for pair in found if pair}, None in found
        case _:
            return set(), isinstance(value, Unknown)


def _pair(entries: Mapping[str, Value]) -> tuple[str, str] | None:
    key = entries.get("Key", entries.get("TagKey"))
    value = entries.get("Value", entries.get("TagValue"))
    return (key.text, _rendered(value)) if isinstance(key, Scalar) else None


def _rendered(value: Value | None) -> str:
    return rendered(value) if isinstance(value, (Scalar, Unknown)) else ""


def _named(entries: list[_Tagged]) -> str:
    names = [entry.resource.logical_id for entry in entries[:SHOWN]]
    return _listed(names) if len(entries) <= SHOWN else f"{', '.join(names)} and {len(entries) - SHOWN} more"


def _listed(names: list[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))
