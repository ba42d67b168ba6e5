"""Questions about what stays when a stack goes: keys, and the logs of payments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.encryption import KEY_TYPES
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Span, Unknown, truth

SHOWN = 10
KEEPS = ("Retain", "RetainExceptOnCreate")
SAVES = (*KEEPS, "Snapshot")
_NAMES_KEY = re.compile(
    r"(?!.*(?:Variables|Statement)\.)(?:.*\.)?[A-Za-z]*(?:[Kk]ms|KMS|EncryptionKey)[A-Za-z]*(?:\.[0-9]+)?"
)


def retained_key(template: Template, facts: Facts) -> Iterator[Finding]:
    """A key must stay when the stack goes, if it encrypts something that stays.

    Something stays when its DeletionPolicy or UpdateReplacePolicy is Retain, RetainExceptOnCreate or Snapshot, and a
    property that names a KMS key refers to the key, directly or through an alias. The key stays with DeletionPolicy
    Retain or RetainExceptOnCreate. A key that encrypts nothing that stays passes. A policy that only deploy time knows
    is unknown.
    """
    aliases = {alias.logical_id: alias.at("TargetKeyId") for alias in template.of("AWS::KMS::Alias")}
    for key in template.of(*KEY_TYPES):
        fronts = [name for name, value in aliases.items() if template.target(value, *KEY_TYPES) is key]
        kept = dict(_encrypted(template, (key.logical_id, *fronts)))
        stays = _stays(key, ("DeletionPolicy",), KEEPS)
        sure = [name for name, held in kept.items() if held[0]]
        more = [line for name in kept for line in kept[name][1]]
        names = _listed(sure or list(kept))
        if stays or not kept:
            what = f"stays like {names}" if kept else "encrypts nothing that stays"
            message = f"{key.logical_id} {what}"
            yield _about(Outcome.PASS, key, message, more)
        elif stays is None or not sure:
            message = f"only deploy time knows whether {key.logical_id} and {names} stay when the stack goes"
            yield _about(Outcome.UNKNOWN, key, message, more)
        else:
            message = f"{key.logical_id} is deleted with the stack, and what stays ({names}) cannot be read without it"
            yield _about(Outcome.FAIL, key, message, more)


def _encrypted(template: Template, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[bool, list[Evidence]]]]:
    """What stays of that which one of the names encrypts: whether that is certain, and the lines that say so."""
    for name in names:
        for edge in template.edges_to.get(name, ()):
            resource = template.resources[edge.source]
            if resource.type.startswith(("AWS::KMS::", "AWS::IAM::")) or not _NAMES_KEY.fullmatch(edge.path):
                continue
            stays = _stays(resource, ("DeletionPolicy", "UpdateReplacePolicy"), SAVES)
            if stays is not False:
                lines = [
                    Evidence(_place(resource), f"{resource.logical_id} stays"),
                    Evidence(resource.where(edge.path), f"{resource.logical_id} is encrypted with the key"),
                ]
                yield resource.logical_id, (stays is True, lines)


def _stays(resource: Resource, attributes: tuple[str, ...], policies: tuple[str, ...]) -> bool | None:
    answers = set()
    for name in attributes:
        value = resource.attribute(name)
        known = isinstance(value, Scalar) and value.text in policies
        answers.add(None if isinstance(value, Unknown) else known)
    return True if True in answers else None if None in answers else False


def _place(resource: Resource) -> Span:
    """The text of what decides whether a resource stays, or its logical id."""
    for name in ("DeletionPolicy", "UpdateReplacePolicy"):
        if not isinstance(resource.attribute(name), Absent):
            return resource.where_attribute(name)
    return resource.span


def _about(outcome: Outcome, key: Resource, message: str, more: list[Evidence]) -> Finding:
    return judged(outcome, key, None, message, span=_place(key), more=more[: 2 * SHOWN])


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return " and ".join(shown.rsplit(", ", 1)) if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


# Logs ----------------------------------------------------------------------------------------------------------------


def kept(
    template: Template, facts: Facts, *, paths: Mapping[str, str], components: tuple[str, ...], good: str, bad: str
) -> Iterator[Finding]:
    """What fills the listed components must outlive its stack, by its DeletionPolicy or by deletion protection.

    DeletionPolicy Retain and RetainExceptOnCreate keep it; deletion protection, at the path that is listed for its
    type, refuses to delete it. Nothing is judged in a profile without these components. A policy or a setting that only
    deploy time knows is unknown.
    """
    for component in components:
        resource = facts.bound(template, component)
        if resource is None or resource.type not in paths:
            continue
        path = paths[resource.type]
        stays, protected = _stays(resource, ("DeletionPolicy",), KEEPS), truth(resource.at(path))
        place = resource.where(path) if protected else _place(resource)
        if stays or protected:
            yield judged(Outcome.PASS, resource, None, f"{resource.logical_id} {good}", span=place)
        elif stays is None or protected is None:
            message = f"only deploy time knows whether {resource.logical_id} is kept"
            yield judged(Outcome.UNKNOWN, resource, None, message, span=place)
        else:
            yield judged(Outcome.FAIL, resource, None, f"{resource.logical_id} {bad}", span=place)
