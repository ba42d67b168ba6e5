"""The question whether CloudFormation would take the template at all."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity
from cfaudit.model.template import Template
from cfaudit.validity import Problem


def valid_template(template: Template, facts: Facts) -> Iterator[Finding]:
    """A validator must find no error in the template.

    Asked only with `--lint`: AWS's cloudformation-validate, or cfn-lint. Each error is a failing finding at its line;
    a warning is information and costs nothing. What a macro makes of the template is unknown.
    """
    if facts.validity is None:
        return
    for problem in facts.validity.problems:
        yield _told(template, problem, facts.validity.engine)
    if all(problem.level != "error" for problem in facts.validity.problems):
        evidence = (Evidence(template.span, f"{facts.validity.engine} finds no error"),)
        outcome, message = Outcome.PASS, f"{facts.validity.engine} finds no error in the template"
        if template.macros:
            outcome = Outcome.UNKNOWN
            message += f", but the macro {template.macros[0].name} rewrites it before CloudFormation reads it"
        yield Finding(outcome, "template", message, evidence)


def _told(template: Template, problem: Problem, engine: str) -> Finding:
    return Finding(
        Outcome.FAIL,
        problem.logical_id or "template",
        f"{problem.rule}: {problem.message}",
        (Evidence(problem.span, f"{engine} says so"),),
        problem.logical_id,
        salient=f"{problem.rule} {problem.message}",
        severity=None if problem.level == "error" else Severity.INFO,
    )
