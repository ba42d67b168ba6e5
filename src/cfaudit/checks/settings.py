"""Questions about one property of each resource of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Finding, Outcome, judged
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Unknown, Value


def setting(
    template: Template,
    facts: Facts,
    *,
    paths: Mapping[str, str],
    accepts: tuple[str, ...],
    default: str | None = None,
    good: str,
    bad: str,
) -> Iterator[Finding]:
    """Every resource of the listed types must have one of the accepted values at the listed path.

    A `*` in the path stands for every member of a list, and all of them must hold. A property that is not there has
    the default that AWS gives it. A value that only deploy time knows is unknown.
    """
    for resource in template.of(*paths):
        for path, value in resource.each(paths[resource.type]):
            outcome = _accepted(value, accepts, default)
            message = good if outcome is Outcome.PASS else bad if outcome is Outcome.FAIL else _open(path)
            yield judged(outcome, resource, path, f"{resource.logical_id} {message}", salient=_salient(value))


def _accepted(value: Value, accepts: tuple[str, ...], default: str | None) -> Outcome:
    match value:
        case Unknown():
            return Outcome.UNKNOWN
        case Absent():
            text = default
        case Scalar(text):
            pass
        case _:
            return Outcome.FAIL
    wanted = {accepted.lower() for accepted in accepts}
    return Outcome.PASS if text is not None and text.lower() in wanted else Outcome.FAIL


def _open(path: str) -> str:
    return f"sets {path} to a value that only deploy time knows"


def _salient(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else ""
