"""Questions about what becomes of resources that hold data when somebody deletes them or the stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Finding, Outcome, judged
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown

_KEPT = ("Retain", "RetainExceptOnCreate", "Snapshot")


def guarded_deletion(
    template: Template, facts: Facts, *, paths: Mapping[str, str], accepts: tuple[str, ...]
) -> Iterator[Finding]:
    """Every resource of the listed types must survive the deletion of the stack, or refuse to be deleted.

    What counts: a `DeletionPolicy` other than Delete, or the service's own deletion protection at the listed path. A
    protection that only deploy time knows is unknown.
    """
    for resource in template.of(*paths):
        name, path = resource.logical_id, paths[resource.type]
        policy, guard = resource.attribute("DeletionPolicy"), resource.at(path)
        if isinstance(guard, Scalar) and guard.text.lower() in accepts:
            yield judged(Outcome.PASS, resource, path, f"{name} refuses to be deleted")
        elif isinstance(policy, Scalar) and policy.text in _KEPT:
            message = f"CloudFormation keeps {name} when the stack is deleted"
            yield judged(Outcome.PASS, resource, None, message, span=policy.span)
        elif isinstance(guard, Unknown) or isinstance(policy, Unknown):
            message = f"Whether {name} is protected from deletion is known at deploy time only"
            yield judged(Outcome.UNKNOWN, resource, path, message)
        else:
            kept = "its deletion policy" if not isinstance(policy, Absent) else "CloudFormation's default"
            message = f"{name} goes with the stack, by {kept}, and has no deletion protection"
            yield judged(Outcome.FAIL, resource, path, message)
