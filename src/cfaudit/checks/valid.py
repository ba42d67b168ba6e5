"""The question whether CloudFormation would take the template at all."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Node, Scalar, Seq, Span
from cfaudit.resolve import rewriting
from cfaudit.validity import CFN_LINT, FAST, Problem, Validity


def valid_template(template: Template, facts: Facts) -> Iterator[Finding]:
    """A validator must find no error in the template.

    Asked only with `--lint`: AWS's cloudformation-validate, or cfn-lint. Each error is a failing finding at its line;
    a warning is information and costs nothing. An error that the template's own `Metadata.cfn-lint` ignores is shown
    and fails nothing, but the template is not called valid either. What a macro makes of the template is unknown, and
    so is SAM without errors by cloudformation-validate, which translates it but checks none of its values.
    """
    if facts.validity is None:
        return
    said, errors, ignored = facts.validity, 0, 0
    for problem in said.problems:
        waved = problem.level == "error" and _is_ignored(template, problem)
        errors, ignored = errors + (problem.level == "error" and not waved), ignored + waved
        yield _told(template, problem, said.engine, "ignored" if waved else problem.level)
    if not errors:
        doubt = _doubt(template, said, ignored)
        message = f"{said.engine} finds no error in the template"
        outcome = Outcome.UNKNOWN if doubt else Outcome.PASS
        yield Finding(outcome, "template", doubt or message, (Evidence(template.span, doubt or message),))


def _doubt(template: Template, said: Validity, ignored: int) -> str | None:
    """Why a template without errors may be invalid nonetheless."""
    if said.failure is not None:
        return f"whether the template is valid is not known: {said.failure}"
    if template.macros:
        macro = template.macros[0].name
        return (
            f"{said.engine} finds no error, but the macro {macro} rewrites the template before CloudFormation reads it"
        )
    if ignored:
        count = "one error" if ignored == 1 else f"{ignored} errors"
        return f"{said.engine} finds {count}, which Metadata.cfn-lint of the template tells it to ignore"
    unseen = next(
        (held.type for held in template.resources.values() if held.type.startswith("AWS::Serverless::")), None
    )
    if unseen and said.engine.startswith(FAST):
        return f"{said.engine} finds no error, but it does not check the values in {unseen}; '--lint {CFN_LINT}' does"
    return None


def _told(template: Template, problem: Problem, engine: str, level: str) -> Finding:
    message, outcome = f"{problem.rule}: {problem.message}", Outcome.FAIL
    macro = next(rewriting(template.source.root), None)
    if level == "ignored":
        message += f" (Metadata.cfn-lint ignores {problem.rule})"
    elif level == "error" and macro:
        outcome = Outcome.UNKNOWN
        message += f", unless the macro {macro[0]} changes that"
    return Finding(
        outcome,
        problem.logical_id or "template",
        message,
        (Evidence(_place(template, problem), f"{engine} says so"),),
        problem.logical_id,
        salient=f"{problem.rule} {problem.message}",
        severity=None if level == "error" else Severity.INFO,
    )


def _place(template: Template, problem: Problem) -> Span:
    """Where a problem is; one of a loop's member that an engine puts at the Resources section is at the member."""
    root = template.source.root
    declared, section = root.entries.get("Resources"), root.keys.get("Resources")
    if isinstance(declared, Map) and section is not None and problem.span.line == section.line:
        return declared.keys.get(problem.logical_id or "", problem.span)
    return problem.span


def _is_ignored(template: Template, problem: Problem) -> bool:
    """Whether the template tells cfn-lint to ignore a rule: all that begin so at the top, the very one on a resource.

    https://github.com/aws-cloudformation/cfn-lint#metadata
    """
    root = template.source.root
    if problem.rule.startswith(_ignored(root)):
        return True
    declared = root.entries.get("Resources")
    resource = declared.entries.get(problem.logical_id or "") if isinstance(declared, Map) else None
    return problem.rule in _ignored(resource)


def _ignored(holder: Node | None) -> tuple[str, ...]:
    match holder:
        case Map({"Metadata": Map({"cfn-lint": Map({"config": Map({"ignore_checks": Seq(items)})})})}):
            return tuple(item.text for item in items if isinstance(item, Scalar) and item.text)
        case _:
            return ()
