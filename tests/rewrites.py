"""Equivalent rewrites of templates: another text, the same stack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import cfn_flip

Template = dict[str, Any]


def parsed(text: str) -> Template:
    """A template as plain values with long-form intrinsics, through cfn-flip."""
    return json.loads(_as_json(text))


@cache
def _as_json(text: str) -> str:
    return text if text.lstrip().startswith("{") else cfn_flip.to_json(text)


def dumped(template: Template) -> str:
    return json.dumps(template, indent=2)


def walked(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value rebuilt bottom up, ``change`` applied to every map, list and scalar."""
    if isinstance(value, dict):
        return change({key: walked(item, change) for key, item in value.items()})
    if isinstance(value, list):
        return change([walked(item, change) for item in value])
    return change(value)


def renamed(template: Template, names: Mapping[str, str]) -> Template:
    """Logical ids of resources replaced everywhere they are referred to."""

    def head(text: str) -> str:
        first, dot, rest = text.partition(".")
        return names.get(first, first) + dot + rest

    def sub(text: str) -> str:
        return re.sub(r"\$\{([^!}][^}]*)\}", lambda match: "${" + head(match[1].strip()) + "}", text)

    def change(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            return value
        ((name, argument),) = value.items()
        if name == "Ref":
            return {name: names.get(argument, argument)}
        if name == "Fn::GetAtt":
            dotted = argument if isinstance(argument, str) else None
            return {name: head(dotted) if dotted else [names.get(argument[0], argument[0]), *argument[1:]]}
        if name == "Fn::Sub":
            return {name: sub(argument) if isinstance(argument, str) else [sub(argument[0]), argument[1]]}
        return value

    changed = walked(template, change)
    for resource in changed["Resources"].values():
        if "DependsOn" in resource:
            held = resource["DependsOn"]
            resource["DependsOn"] = [names.get(item, item) for item in ([held] if isinstance(held, str) else held)]
    changed["Resources"] = {names.get(name, name): resource for name, resource in changed["Resources"].items()}
    return changed


def anonymous(template: Template) -> dict[str, str]:
    """New logical ids that say nothing, one per resource."""
    return {name: f"R{index:03d}" for index, name in enumerate(template["Resources"])}
