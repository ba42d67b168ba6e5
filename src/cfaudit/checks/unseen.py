"""A template in, the first thing in it that may do something which nobody can see here out."""

from __future__ import annotations

from fnmatch import fnmatchcase

from cfaudit.finding import Evidence
from cfaudit.model.reliance import STACKS
from cfaudit.model.template import Template


def unseen(template: Template, hosts: tuple[str, ...]) -> Evidence | None:
    """Code that cannot be read in full, a type of the given patterns, a nested stack or a macro.

    Functions that only serve deployments do nothing for the application.
    """
    for name, function in template.functions.items():
        code = template.code.get(name)
        if name not in template.custom_resource_functions and (code is None or not code.complete):
            reason = code.reason if code and code.reason else "its code cannot be read in full"
            return Evidence(code.span if code else function.resource.span, f"{name} may: {reason}")
    for resource in template.resources.values():
        if resource.type in STACKS or any(fnmatchcase(resource.type, host) for host in hosts):
            return Evidence(resource.span, f"{resource.logical_id} may")
    if template.macros:
        return Evidence(template.span, f"the macro {template.macros[0].name} may add something that does")
    return None
