"""What an edit of the reference is, and the few ways to write one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rewrites import Template

Change = Callable[[Template], None]
Texts = Callable[[str], str]


def untouched(template: Template) -> None:
    """The template stays as it is: the edit is of its text or of the handlers."""


class Edit(NamedTuple):
    """One change that must make its rule fail, and of the others exactly those in ``also``.

    ``apply`` edits the template as plain values with long-form intrinsics; ``text`` its text instead, comments and all;
    ``sources`` edits handlers: the name of a folder in fixtures/reference/functions to a change of its index.mjs.
    """

    name: str
    apply: Change = untouched
    also: frozenset[str] = frozenset()
    text: Texts | None = None
    sources: Mapping[str, Texts] = {}


def together(*changes: Change) -> Change:
    """Several changes as one."""

    def edit(template: Template) -> None:
        for change in changes:
            change(template)

    return edit


def replaced(*pairs: tuple[str, str]) -> Texts:
    """Each text that must be there, once or more, by another."""

    def edit(text: str) -> str:
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return edit


def properties(template: Template, name: str) -> dict[str, Any]:
    held: dict[str, Any] = template["Resources"][name]["Properties"]
    return held


def statements(template: Template, role: str) -> list[Any]:
    """The statements of a role's first policy."""
    held: list[Any] = properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return held


def statement(action: str | list[str], resource: object, **more: object) -> dict[str, Any]:
    """An Allow of an identity policy."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def granted(role: str, action: str | list[str], resource: object) -> Change:
    """An Allow more in a role's first policy."""
    return lambda template: statements(template, role).append(statement(action, resource))


def added(name: str, kind: str, values: dict[str, Any], **attributes: object) -> Change:
    """One resource more."""

    def edit(template: Template) -> None:
        assert name not in template["Resources"]
        template["Resources"][name] = {"Type": kind, "Properties": values, **attributes}

    return edit


def changed(name: str, **values: object) -> Change:
    """Properties set to other values."""
    return lambda template: properties(template, name).update(values)


def nested(name: str, *path: str | int, **values: object) -> Change:
    """Values set below a property; in every member where the path leads to a list."""

    def edit(template: Template) -> None:
        held: Any = properties(template, name)
        for step in path:
            held = held[step]
        for value in held if isinstance(held, list) else [held]:
            value.update(values)

    return edit


def without(name: str, *paths: str) -> Change:
    """Properties taken away (``A.B`` is one below another, ``A.0`` the first of a list), or the whole resource."""

    def edit(template: Template) -> None:
        if not paths:
            del template["Resources"][name]
        for path in paths:
            held: Any = properties(template, name)
            *steps, last = path.split(".")
            for step in steps:
                held = held[int(step)] if isinstance(held, list) else held[step]
            del held[int(last) if isinstance(held, list) else last]

    return edit


def removed(*names: str) -> Change:
    """Resources taken away, with the outputs and the order that speak of them."""

    def edit(template: Template) -> None:
        for name in names:
            del template["Resources"][name]
        outputs = template["Outputs"]
        template["Outputs"] = {key: output for key, output in outputs.items() if not _speaks_of(output, names)}
        for resource in template["Resources"].values():
            if "DependsOn" in resource:
                held = resource["DependsOn"]
                kept = [name for name in ([held] if isinstance(held, str) else held) if name not in names]
                resource.update(DependsOn=kept)

    return edit


def _speaks_of(value: object, names: tuple[str, ...]) -> bool:
    text = json.dumps(value)
    return any(f'"{name}"' in text or f"${{{name}}}" in text or f"${{{name}." in text for name in names)


def every_without(kind: str, *paths: str) -> Change:
    """``without`` for each resource of a type."""

    def edit(template: Template) -> None:
        for name in [name for name, resource in template["Resources"].items() if resource["Type"] == kind]:
            without(name, *paths)(template)

    return edit


def attribute(name: str, **values: object) -> Change:
    """Attributes of the resource itself, such as its DeletionPolicy, set to other values."""
    return lambda template: template["Resources"][name].update(values)


def attribute_gone(name: str, *attributes: str) -> Change:
    """Attributes of the resource itself taken away."""

    def edit(template: Template) -> None:
        for each in attributes:
            del template["Resources"][name][each]

    return edit


def arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}
