"""Questions about what no template can do."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.template import Template
from cfaudit.steps import Need, Step, described, documented, load_steps, needs


def manual_steps(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every step that the stack leaves to a person must be written down, in `Metadata.cfaudit.manual_steps` by its id.

    Which steps exist, and what makes each necessary, stands in a table: declared identities and mail grants, mail
    subscriptions, QuickSight and Fraud Detector resources or grants. The list may stand at the top level or on any
    resource. DNS records that refer to the identity verify it without a person. A subscription whose protocol only
    deploy time knows is unknown, and so is everything undocumented where a macro may add metadata.

    A document that `--docs` gives counts as well where a line of it has the step's id or the command that takes it
    (`aws sesv2 put-account-details`), or where a heading or a list item has all the words of one of the phrases that
    the table lists for the step. What stands in an HTML comment is not read.
    """
    found: dict[str, list[Need]] = {}
    steps = {step.id: step for step in load_steps()}
    for need in needs(template, tuple(steps.values())):
        found.setdefault(need.step.id, []).append(need)
    named = documented(template)
    for name, held in found.items():
        step = steps[name]
        certain = [need for need in held if need.certain]
        lines = [Evidence(need.span, f"{need.resource.logical_id} makes it necessary") for need in certain or held]
        first = (certain or held)[0].resource.logical_id
        if name in named:
            message = f"the step {name} is named in Metadata"
            yield _about(Outcome.PASS, step, message, [Evidence(named[name], message), *lines])
            continue
        place = described(step, facts.documents)
        if place is not None:
            message = f"the step {name} stands in {place.span.file}"
            yield _about(Outcome.PASS, step, message, [Evidence(place.span, message, place.text), *lines])
            continue
        no_document = " and no given document describes" if facts.documents else ""
        message = f"{first} needs a person to take the step {name}, which no Metadata names{no_document}"
        sure = bool(certain) and not template.macros
        yield _about(Outcome.FAIL if sure else Outcome.UNKNOWN, step, message, lines)


def _about(outcome: Outcome, step: Step, message: str, lines: list[Evidence]) -> Finding:
    return Finding(outcome, step.id, message, tuple(lines))
