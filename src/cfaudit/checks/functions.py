"""Questions about Lambda functions: where their code, their network and their runtime come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from cfaudit import data
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, Severity, judged
from cfaudit.model.functions import Function
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Deferred, Map, Scalar, Seq, Unknown, Value


def inline_code(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every function must take its code from a package: S3, a local folder that SAM uploads, or a container image.

    Code that stands in the template (`ZipFile`, SAM's `InlineCode`) fails. Functions behind a custom resource pass,
    since AWS gives them the `cfn-response` module only inline: those that a `ServiceToken` names and those whose code
    loads that module. A `Code` property that a macro fills is unknown.
    """
    for function in template.functions.values():
        name, path = function.logical_id, "Code.ZipFile"
        value = function.at(path)
        if isinstance(function.at("Code"), Unknown) and not function.serverless:
            yield _about(Outcome.UNKNOWN, function, "Code", f"only deploy time knows where {name} takes its code from")
        elif isinstance(value, Absent):
            yield _about(Outcome.PASS, function, _code_property(function), f"{name} is deployed from a package")
        elif name in template.custom_resource_functions:
            yield _about(Outcome.PASS, function, path, f"{name} is inline as the handler of a custom resource")
        else:
            yield _about(Outcome.FAIL, function, path, f"the code of {name} stands in the template")


def _code_property(function: Function) -> str:
    return "Code.ImageUri" if isinstance(function.at("Code"), Absent) else "Code"


def _about(
    outcome: Outcome,
    function: Function,
    path: str,
    message: str,
    *,
    severity: Severity | None = None,
    salient: str = "",
) -> Finding:
    where, span = function.path(path), function.where(path)
    return judged(outcome, function.resource, where, message, span=span, severity=severity, salient=salient)


# Runtimes ------------------------------------------------------------------------------------------------------------


def runtime_support(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every function's runtime must not be deprecated on the day of the audit, by the dates cfn-lint's table gives.

    Container images carry their own runtime and are not judged. A runtime that only deploy time knows, or that the
    table does not list, is unknown. Once AWS blocks updates of functions that use it, the finding is of high severity.
    """
    for function, value in _runtimes(template):
        name = function.logical_id
        if isinstance(value, Unknown):
            yield _about(Outcome.UNKNOWN, function, "Runtime", f"only deploy time knows the runtime of {name}")
            continue
        found = data.runtime(value.text)
        if found is None:
            message = f"{name} runs on {value.text}, which cfn-lint {data.versions().cfn_lint} does not list"
            yield _about(Outcome.UNKNOWN, function, "Runtime", message, salient=value.text)
            continue
        outcome, state = _support(found, facts.as_of)
        blocked = found.update_block is not None and found.update_block <= facts.as_of
        severity = Severity.HIGH if outcome is Outcome.FAIL and blocked else None
        message = f"{name} runs on {found.name}, {state}"
        yield _about(outcome, function, "Runtime", message, severity=severity, salient=found.name)


def _runtimes(template: Template) -> Iterator[tuple[Function, Scalar | Unknown]]:
    for function in template.functions.values():
        value = function.at("Runtime")
        if isinstance(value, (Scalar, Unknown)):
            yield function, value


def _support(runtime: data.Runtime, day: date) -> tuple[Outcome, str]:
    """Whether a runtime is supported on a day, and the dates that say so."""
    if runtime.deprecated is None:
        return Outcome.PASS, f"for which no end of support is announced as of {day}"
    if runtime.deprecated > day:
        return Outcome.PASS, f"supported until {runtime.deprecated} (as of {day})"
    blocks = [
        f"{what} {'blocked since' if block <= day else 'will be blocked from'} {block}"
        for what, block in (("creating functions", runtime.create_block), ("updating them", runtime.update_block))
        if block is not None
    ]
    return Outcome.FAIL, f"deprecated since {runtime.deprecated} ({'; '.join([f'as of {day}', *blocks])})"


def runtime_required(template: Template, facts: Facts, *, required: str) -> Iterator[Finding]:
    """Every function is compared with the runtime that the requirements name.

    A newer version of the same language that is supported on the day of the audit is reported as an improvement, any
    other difference as what it is. Functions behind custom resources and container images are not compared. A runtime
    that only deploy time knows is unknown.
    """
    for function, value in _runtimes(template):
        if function.logical_id in template.custom_resource_functions:
            continue
        if isinstance(value, Unknown):
            message = f"only deploy time knows the runtime of {function.logical_id}"
            yield _about(Outcome.UNKNOWN, function, "Runtime", message)
            continue
        same = value.text == required
        message = f"{function.logical_id} runs on {value.text}, " + (
            "as required" if same else _deviation(value.text, required, facts.as_of)
        )
        outcome = Outcome.PASS if same else Outcome.FAIL
        yield _about(outcome, function, "Runtime", message, salient=value.text)


def _deviation(actual: str, required: str, day: date) -> str:
    language, version = _version(actual)
    wanted, wanted_version = _version(required)
    if language != wanted:
        return f"another runtime than the required {required}, and no newer version of it"
    if version < wanted_version:
        return f"older than the required {required}"
    found, before = data.runtime(actual), data.runtime(required)
    if found is None:
        return f"newer than the required {required}; its support is not in the table of cfn-lint"
    outcome, state = _support(found, day)
    if outcome is Outcome.FAIL:
        return f"newer than the required {required}, but {state}"
    over = before is not None and _support(before, day)[0] is Outcome.FAIL
    gone = f", while {required} has been deprecated since {before.deprecated}" if before and over else ""
    return f"an improvement over the required {required}: newer and {state}{gone}"


def _version(runtime: str) -> tuple[str, tuple[int, ...]]:
    """``nodejs18.x`` as ``nodejs`` and ``(18,)``."""
    language = re.match(r"[a-z]*", runtime)
    name = language.group() if language else ""
    return name, tuple(int(number) for number in re.findall(r"\d+", runtime[len(name) :]))


# Network -------------------------------------------------------------------------------------------------------------


def function_network(
    template: Template, facts: Facts, *, component: str, functions: tuple[str, ...]
) -> Iterator[Finding]:
    """The functions that fill the given components (all functions, if none does) must have subnets and security groups.

    Empty lists put a function into no network. Functions of a capacity provider run in its network. Functions behind
    custom resources, and at the edge of CloudFront, are not judged. A list that a macro or a parameter without default
    fills is unknown, unless the parameter's type is a list of subnets or security groups, which cannot be empty.
    """
    states: dict[Outcome, list[Function]] = {}
    for function in _meant(template, facts, functions):
        states.setdefault(_network(template, function), []).append(function)
    for outcome, note in _NETWORKS:
        if outcome in states:
            evidence = [Evidence(function.where("VpcConfig"), note) for function in states[outcome]]
            names = _listed([function.logical_id for function in states[outcome]])
            resource = states[outcome][0].resource
            yield judged(
                outcome,
                resource,
                "VpcConfig",
                f"{note}: {names}",
                subject=component,
                span=evidence[0].span,
                note=note,
                more=evidence[1:],
            )
            return


_NETWORKS = (
    (Outcome.FAIL, "attached to no VPC"),
    (Outcome.UNKNOWN, "only deploy time knows whether attached to a VPC"),
    (Outcome.PASS, "attached to a VPC"),
)


def _meant(template: Template, facts: Facts, components: tuple[str, ...]) -> list[Function]:
    bound = [facts.bound(template, component) for component in components]
    ids = [found.logical_id for found in bound if found and found.logical_id in template.functions]
    helpers = template.custom_resource_functions | template.edge_functions
    return [template.functions[name] for name in ids or template.functions if ids or name not in helpers]


def _listed(names: list[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _network(template: Template, function: Function) -> Outcome:
    if not isinstance(function.at("CapacityProviderConfig"), Absent):
        return Outcome.PASS  # docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-capacity-providers.html
    answers = {_filled(template, function.at(f"VpcConfig.{name}")) for name in ("SubnetIds", "SecurityGroupIds")}
    return next((found for found in (Outcome.FAIL, Outcome.UNKNOWN) if found in answers), Outcome.PASS)


def _filled(template: Template, value: Value) -> Outcome:
    """Whether a list has at least one member."""
    match value:
        case Seq(items):
            return Outcome.PASS if items else Outcome.FAIL
        case Scalar(text):
            return Outcome.PASS if text else Outcome.FAIL
        case Unknown():
            return Outcome.UNKNOWN if any(_may_be_empty(template, part) for part in value.deferred) else Outcome.PASS
        case _:
            return Outcome.FAIL


def _may_be_empty(template: Template, hole: Deferred) -> bool:
    if hole.kind == "parameter":
        definition = template.document.parameters.entries.get(hole.name)
        kind = definition.entries.get("Type") if isinstance(definition, Map) else None
        return not (isinstance(kind, Scalar) and kind.text.startswith("List<AWS::EC2::"))
    return hole.kind in ("macro", "condition", "undefined", "missing")
