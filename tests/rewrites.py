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


def same(template: Template) -> Template:
    """The JSON twin: cfn-flip's long form and nothing else."""
    return template


def reordered(template: Template) -> Template:
    """Every map backwards; the order of lists has a meaning and stays."""
    return walked(template, lambda value: dict(reversed(value.items())) if isinstance(value, dict) else value)


def policies_apart(template: Template) -> Template:
    """Inline policies of roles as resources of their own."""
    apart = {}
    for name, resource in template["Resources"].items():
        apart[name] = resource
        if resource["Type"] == "AWS::IAM::Role" and isinstance(resource.get("Properties", {}).get("Policies"), list):
            properties = dict(resource["Properties"])
            for index, policy in enumerate(properties.pop("Policies")):
                if list(policy) == ["Fn::If"]:
                    return template
                moved = {"Type": "AWS::IAM::Policy", "Properties": {**policy, "Roles": [{"Ref": name}]}}
                apart[f"{name}Policy{index}"] = moved
            apart[name] = {**resource, "Properties": properties}
    return {**template, "Resources": apart}


def behind(template: Template, place: Callable[[str], Any]) -> Template:
    """Literal texts of properties replaced by what ``place`` makes of them; names inside intrinsics stay."""

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            return place(value)
        if isinstance(value, list):
            return [moved(item) for item in value]
        if isinstance(value, dict) and not any(key == "Ref" or key.startswith("Fn::") for key in value):
            return {key: moved(item) for key, item in value.items()}
        return value

    resources = {
        name: {**resource, "Properties": moved(resource["Properties"])} if "Properties" in resource else resource
        for name, resource in template["Resources"].items()
    }
    return {**template, "Resources": resources}


def behind_parameters(template: Template) -> Template:
    """Every literal text of a property is the default of a parameter."""
    parameters: dict[str, Any] = dict(template.get("Parameters", {}))

    def place(text: str) -> Any:
        name = f"Literal{len(parameters):04d}"
        parameters[name] = {"Type": "String", "Default": text, "Description": "A literal"}
        return {"Ref": name}

    changed = behind(template, place)
    return {**changed, "Parameters": parameters}


def behind_mapping(template: Template) -> Template:
    """Every literal text of a property is looked up in a mapping."""
    texts: dict[str, str] = {}

    def place(text: str) -> Any:
        name = f"L{len(texts):04d}"
        texts[name] = text
        return {"Fn::FindInMap": ["Literals", "All", name]}

    changed = behind(template, place)
    if not texts:
        return changed
    return {**changed, "Mappings": {**template.get("Mappings", {}), "Literals": {"All": texts}}}


def refs_as_subs(template: Template) -> Template:
    """``Ref`` and ``Fn::GetAtt`` of text as ``Fn::Sub``."""
    lists = {
        name
        for name, held in template.get("Parameters", {}).items()
        if "List" in held["Type"] or "Comma" in held["Type"]
    }

    def change(value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" and argument not in lists and argument not in ("AWS::NoValue", "AWS::NotificationARNs"):
                return {"Fn::Sub": "${" + argument + "}"}
            if name == "Fn::GetAtt":
                dotted = argument if isinstance(argument, str) else ".".join(argument)
                return {"Fn::Sub": "${" + dotted + "}"}
        return value

    return {**template, "Resources": walked(template["Resources"], change)}
