"""The question whether the stack has a component of the profile's inventory."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.inventory import Component
from cfaudit.model.template import Template
from cfaudit.nodes import Span


def component_present(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every component of the profile's inventory that has no rule of its own must be filled by a resource.

    One resource fills one component. What fills it is decided, in this order, by the configuration (`bind:`), by
    structure (the role, log group or policy of a resource that is already matched), by names, keys, variables and
    routes, by the logical id, by descriptions and outputs, and last by being the only resource of its type that is
    left for the only component of that type. A component that the configuration says is in another stack
    (`external:`) is present. Where a macro may add resources, a missing component is unknown.
    """
    for component in facts.components:
        if component.rule is None:
            yield _judged(template, facts, component)


def _judged(template: Template, facts: Facts, component: Component) -> Finding:
    match = facts.matches.get(component.id)
    if match is not None:
        resource = template.resources[match.logical_ids[0]]
        evidence = (Evidence(resource.span, f"{component.title}, by {match.matched_by}"),)
        message = f"{component.title} is {resource.logical_id}"
        return Finding(Outcome.PASS, component.id, message, evidence, resource.logical_id, severity=component.severity)
    external = facts.elsewhere(component=component.id, types=component.types)
    if external is not None:
        evidence = (Evidence(external.span, external.reason, external.text),)
        message = f"{component.title} is declared in another stack: {external.reason}"
        return Finding(Outcome.PASS, component.id, message, evidence, severity=component.severity)
    outcome, message = Outcome.FAIL, f"{component.title} is missing; required: {component.requirement.rstrip('.')}"
    maker = _macro(template) or template.looped(component.types)
    if maker:
        outcome, message = Outcome.UNKNOWN, f"{component.title} is not declared, but {maker} may add it"
    return Finding(
        outcome,
        component.id,
        message,
        (Evidence(_missed(template, component), f"no {component.title.lower()} among the resources"),),
        severity=component.severity,
    )


def _macro(template: Template) -> str:
    return ", ".join(dict.fromkeys(macro.name for macro in template.macros))


def _missed(template: Template, component: Component) -> Span:
    """Where a component is missed: at a resource of its type that is something else, or at the Resources section."""
    types = tuple(kind.partition("#")[0] for kind in component.types)
    return next((resource.span for resource in template.of(*types)), template.span)
