"""rules/profiles/*.yaml and cfaudit.yaml in, a Profile and a Config out: which rules, components and bindings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cfaudit.facts import External
from cfaudit.inventory import Component, components_of
from cfaudit.nodes import Map, Node, Scalar, Seq, Span, TemplateError
from cfaudit.rule import RULES, RuleError, nearest, table

PROFILES = ("crowdfunding", "serverless")
SCREENING = ("sagemaker", "waf-fraud-control", "custom")
DOMAIN_THRESHOLD = 10


class Profile(NamedTuple):
    """What a kind of stack is asked for. ``without`` are rules that only another profile's brief makes."""

    name: str
    title: str
    components: tuple[Component, ...]
    without: frozenset[str]


@dataclass(frozen=True, slots=True)
class Config:
    """The user's ``cfaudit.yaml``."""

    profile: str | None = None
    bind: Mapping[str, str] = field(default_factory=dict)
    external: tuple[External, ...] = ()
    screening: External | None = None
    path: str | None = None


def load_profile(name: str) -> Profile:
    """One of the built-in profiles. Raises ``RuleError`` for a malformed file."""
    path = RULES / "profiles" / f"{name}.yaml"
    fields = table(path)
    if not isinstance(fields, dict) or set(fields) - {"title", "components", "without"}:
        raise RuleError(path, 1, "a profile has a title, components and without")
    components, without = fields.get("components") or {}, fields.get("without") or []
    if not isinstance(components, dict) or not isinstance(without, list):
        raise RuleError(path, 1, "components is a map, without a list")
    return Profile(name, str(fields["title"]), components_of(components), frozenset(str(rule) for rule in without))


def find_config(start: Path) -> Path | None:
    """The nearest ``cfaudit.yaml`` from a directory upwards."""
    for directory in (start, *start.parents):
        path = directory / "cfaudit.yaml"
        if path.is_file():
            return path
    return None


def load_config(path: Path, text: str) -> Config:
    """The configuration in ``text``. Raises ``TemplateError`` for an unknown key or a value of the wrong shape."""
    from cfaudit.load import load_document

    name = str(path)
    root = load_document(text, name)
    if not isinstance(root, Map):
        raise TemplateError(root.span, "a configuration is a map", f"known keys: {', '.join(_KEYS)}")
    for key, span in root.keys.items():
        if key not in _KEYS:
            raise TemplateError(span, f"{key!r} is no key of a configuration", nearest(key, _KEYS))
    lines = text.splitlines()
    return Config(
        profile=_choice(root, "profile", (*PROFILES, "auto")),
        bind=_words(root, "bind"),
        external=tuple(_external(root, lines)),
        screening=_screening(root, lines),
        path=name,
    )


_KEYS = ("profile", "bind", "external", "screening")


def _choice(root: Map[Node], key: str, known: tuple[str, ...]) -> str | None:
    node = root.entries.get(key)
    if node is None:
        return None
    if not isinstance(node, Scalar) or node.text not in known:
        raise TemplateError(node.span, f"{key} is one of {', '.join(known)}", "choose one of them")
    return node.text


def _words(root: Map[Node], key: str) -> dict[str, str]:
    node = root.entries.get(key)
    if node is None:
        return {}
    if not isinstance(node, Map):
        raise TemplateError(node.span, f"{key} is a map of component to logical id", "write 'component: LogicalId'")
    known = {component.id for component in load_profile("crowdfunding").components}
    found = {}
    for name, value in node.entries.items():
        if name not in known:
            raise TemplateError(node.keys[name], f"{name!r} is no component", nearest(name, known))
        if not isinstance(value, Scalar):
            raise TemplateError(value.span, f"{key}.{name} is a logical id", "write one logical id")
        found[name] = value.text
    return found


def _external(root: Map[Node], lines: list[str]) -> list[External]:
    node = root.entries.get("external")
    if node is None:
        return []
    if not isinstance(node, Seq):
        raise TemplateError(node.span, "external is a list", "write '- component: …' and 'reason: …'")
    found = []
    for item in node.items:
        entries = item.entries if isinstance(item, Map) else {}
        kinds = [kind for kind in ("component", "type", "name") if kind in entries]
        reason = entries.get("reason")
        if len(kinds) != 1 or len(entries) != 2 or not isinstance(reason, Scalar):
            message = "an external entry has one of component, type or name, and a reason"
            raise TemplateError(item.span, message, "say who owns it: 'reason: owned by the risk team'")
        value = entries[kinds[0]]
        if not isinstance(value, Scalar):
            raise TemplateError(value.span, f"{kinds[0]} is text", "write one value")
        found.append(External(kinds[0], value.text, reason.text, item.span, _line(lines, item.span)))
    return found


def _screening(root: Map[Node], lines: list[str]) -> External | None:
    chosen = _choice(root, "screening", SCREENING)
    if chosen is None:
        return None
    span = root.entries["screening"].span
    return External("screening", chosen, "configured", span, _line(lines, span))


def _line(lines: list[str], span: Span) -> str:
    return lines[span.line - 1].strip() if span.line <= len(lines) else ""
