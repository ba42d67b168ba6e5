"""A principal in, whether who runs as it publishes past topics, to phone numbers, out."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.model.code.facts import Code
from cfaudit.model.iam import Principal
from cfaudit.model.reliance import named_variables
from cfaudit.model.template import Template
from cfaudit.model.workflows import Workflow
from cfaudit.nodes import Absent

PUBLISH = "sns:Publish"
_NUMBER, _DEVICE = "PhoneNumber", "TargetArn"


def sends_texts(template: Template, principal: Principal) -> bool | None:
    """Whether it does; None for devices, and where code that cannot be read may and no topic is there to publish to.

    A `PhoneNumber` takes the place of the topic; a `TargetArn` is that of a device, or of a topic after all.
    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    functions = template.functions_of.get(principal.logical_id, ())
    codes = [template.code[function.logical_id] for function in functions]
    workflows = [each for each in template.workflows.values() if each.principal == principal.logical_id]
    given = {*_given_by_code(codes), *_given_by_tasks(workflows)}
    if _NUMBER in given:
        return True
    if _DEVICE in given:
        return None
    told = {function.logical_id for function, _ in named_variables(template, ("*TOPIC*",))}
    if any(True for _ in template.of("AWS::SNS::Topic")) or told.intersection(each.logical_id for each in functions):
        return False
    seen = bool(codes or workflows) and all(each.readable for each in workflows)
    return False if seen and all(_is_told(code) for code in codes) else None


def _given_by_code(codes: list[Code]) -> Iterator[str]:
    for code in codes:
        for call in code.calls_of(PUBLISH):
            yield from call.arguments


def _is_told(code: Code) -> bool:
    """Whether the code shows everything that it publishes."""
    return code.complete and not any(call.arguments_open for call in code.calls_of(PUBLISH))


def _given_by_tasks(workflows: list[Workflow]) -> Iterator[str]:
    for state in (state for workflow in workflows for state in workflow.tasks):
        actions = state.integration.actions if state.integration else None
        if PUBLISH in (actions or ()) and not isinstance(state.arguments, Absent):
            yield from (name for name in (_NUMBER, _DEVICE) if not isinstance(state.argument(name).value, Absent))
