"""One template as several: nested stacks, or siblings that export and import."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewrites import Template, dumped, walked

_HOLE = re.compile(r"\$\{([^!}][^}]*)\}")
_CHILD = "Inner"


def divided(template: Template, inner: set[str], cross: Callable[[str, str], Any]) -> Template:
    """The part of a template with the resources ``inner``; ``cross`` writes a reference to another part's resource.

    It gets the referred name (``Table`` or ``Table.Arn``) and a name for what brings its value here.
    """

    def other(name: str) -> bool:
        head = name.partition(".")[0]
        return head in template["Resources"] and head not in inner

    def bridge(name: str) -> Any:
        return cross(name, name.replace(".", "Of"))

    def change(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            return value
        ((name, argument),) = value.items()
        if name == "Ref" and other(argument):
            return bridge(argument)
        if name == "Fn::GetAtt":
            dotted = argument if isinstance(argument, str) else ".".join(argument)
            return bridge(dotted) if other(dotted) else value
        if name == "Fn::Sub":
            text, own = (argument, {}) if isinstance(argument, str) else argument
            names = {hole for hole in _HOLE.findall(text) if hole not in own and other(hole)}
            if names:
                for each in names:
                    text = text.replace(f"${{{each}}}", f"${{{each.replace('.', 'Of')}}}")
                return {name: [text, {**own, **{each.replace(".", "Of"): bridge(each) for each in sorted(names)}}]}
        return value

    resources = {}
    for name, resource in template["Resources"].items():
        if name in inner:
            waits = resource.get("DependsOn", [])
            waits = [each for each in ([waits] if isinstance(waits, str) else waits) if each in inner]
            resources[name] = {**walked(resource, change), **({"DependsOn": waits} if waits else {})}
            if not waits:
                resources[name].pop("DependsOn", None)
    kept = {key: template[key] for key in ("Parameters", "Mappings", "Conditions", "Transform") if key in template}
    return {"Description": template["Description"], **kept, "Resources": resources}


def nested(template: Template, inner: set[str], folder: Path) -> Path:
    """The template with some of its resources in a nested stack in a folder below."""
    passed: dict[str, Any] = {name: {"Ref": name} for name in template.get("Parameters", {})}
    asked: dict[str, Any] = {}

    def out(name: str) -> Any:
        head, dot, attribute = name.partition(".")
        return {"Fn::GetAtt": [head, attribute]} if dot else {"Ref": head}

    def down(name: str, plain: str) -> Any:
        passed[plain] = out(name)
        return {"Ref": plain}

    def up(name: str, plain: str) -> Any:
        asked[plain] = {"Value": out(name)}
        return {"Fn::GetAtt": [_CHILD, f"Outputs.{plain}"]}

    child = divided(template, inner, down)
    given = {plain: {"Type": "String"} for plain in passed if plain not in template.get("Parameters", {})}
    around = divided(template, set(template["Resources"]) - inner, up)
    outputs = divided(
        {**template, "Resources": {**template["Resources"], "Out": template.get("Outputs", {})}},
        (set(template["Resources"]) - inner) | {"Out"},
        up,
    )["Resources"]["Out"]
    properties = {"TemplateURL": "parts/inner.json", "Parameters": passed}
    stack = {"Type": "AWS::CloudFormation::Stack", "Properties": properties}
    around = {**template, **around, "Resources": {**around["Resources"], _CHILD: stack}, "Outputs": outputs}
    child = {**child, "Parameters": {**template.get("Parameters", {}), **given}, "Outputs": asked}
    (folder / "parts").mkdir()
    (folder / "parts" / "inner.json").write_text(dumped(child), encoding="utf-8")
    (folder / "template.json").write_text(dumped(around), encoding="utf-8")
    return folder / "template.json"


def siblings(template: Template, parts: dict[str, set[str]], folder: Path) -> Path:
    """The template as several beside each other; what one needs of another it imports."""
    exports: dict[str, dict[str, Any]] = {name: {} for name in parts}

    def bring(name: str, plain: str) -> Any:
        head, dot, attribute = name.partition(".")
        owner = next(part for part, held in parts.items() if head in held)
        value = {"Fn::GetAtt": [head, attribute]} if dot else {"Ref": head}
        export = {"Name": {"Fn::Sub": f"${{AWS::Region}}-{plain}"}}
        exports[owner][plain] = {"Description": f"{head} for the other stacks", "Value": value, "Export": export}
        return {"Fn::ImportValue": {"Fn::Sub": f"${{AWS::Region}}-{plain}"}}

    made = {part: divided(template, held, bring) for part, held in parts.items()}
    first = next(iter(parts))
    whole = {**template, "Resources": {**template["Resources"], "Out": template.get("Outputs", {})}}
    outputs = divided(whole, parts[first] | {"Out"}, bring)["Resources"]["Out"]
    for part, each in made.items():
        extra = {"Metadata": template["Metadata"]} if part == first and "Metadata" in template else {}
        own = {**exports[part], **(outputs if part == first else {})}
        text = dumped({**each, **extra, **({"Outputs": own} if own else {})})
        (folder / f"{part}.json").write_text(text, encoding="utf-8")
    return folder
