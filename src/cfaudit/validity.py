"""A template's text in, what a validator says of it out: would CloudFormation take it?

Both validators speak cfn-lint's rule ids. They are extras of the package and imported only when asked for; both work
offline. Neither a ``.cfnlintrc`` nor ``Metadata.cfn-lint`` reaches them: what a template is worth must not depend on
the folder it is audited from, and what it asks to be ignored is ignored in the open, by the check.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from cfaudit.nodes import Span

if TYPE_CHECKING:
    import cloudformation_validate
    from cfnlint.match import Match
    from cfnlint.runner import Runner

Level = Literal["error", "warning"]

ENGINES = ("cloudformation-validate", "cfn-lint")
FAST, CFN_LINT = ENGINES
_RULE = re.compile("^F(?=[0-9])")
"""The fast engine calls some of cfn-lint's errors fatal: F3002 is cfn-lint's E3002."""

EXTRAS = {FAST: "lint", CFN_LINT: "cfn-lint"}


class MissingEngineError(Exception):
    """The package of an engine is not installed; the message says how to install it."""


class Problem(NamedTuple):
    """One thing a validator says: cfn-lint's rule id, how grave, the sentence, where, and of which resource."""

    rule: str
    level: Level
    message: str
    span: Span
    logical_id: str | None


class Validity(NamedTuple):
    """What an engine said of a template, in the template's order; ``engine`` is its name and version.

    ``failure`` is why it could not say all that it should, None where it could.
    """

    engine: str
    problems: tuple[Problem, ...]
    failure: str | None = None


def validate(engine: str, text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> Validity:
    """Validate a template that ``load`` can read: cfn-lint dies of one nested too deep. Raises ``MissingEngineError``.

    An engine that breaks is a failure told of, never an exception.
    """
    try:
        held = _ENGINES[engine](text, path, region, parameters)
    except ImportError:
        message = f"{engine} is not installed; install it with: pip install 'cfaudit[{EXTRAS[engine]}]'"
        raise MissingEngineError(message) from None
    except Exception as error:  # whatever an engine trips over, the audit goes on without it
        return Validity(engine, (), f"{engine} broke: {type(error).__name__}: {_first_line(str(error))}")
    return held._replace(problems=tuple(sorted(held.problems, key=lambda problem: (problem.span, problem.rule))))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


def _fast(text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> Validity:
    import cloudformation_validate as library

    config = library.ValidateConfig(
        severity_level=library.Severity.WARN,
        detail_level=library.DetailLevel.STANDARD,
        parameter_overrides=dict(parameters),
        pseudo_parameter_overrides=library.PseudoParameterOverrides(region=region),
    )
    report = _engine().validate_template(library.TemplateContent(content=text, name=path), config)
    levels: dict[object, Level] = {
        library.Severity.FATAL: "error",
        library.Severity.ERROR: "error",
        library.Severity.WARN: "warning",
    }
    problems = tuple(
        Problem(
            _RULE.sub("E", found.rule_id),
            levels[found.severity],
            found.message,
            Span(
                path,
                found.start_line or 1,
                found.start_column or 1,
                found.end_line or found.start_line or 1,
                found.end_column or (found.start_column or 1) + 1,
            ),
            found.entity.logical_id if found.entity else None,
        )
        for found in report.diagnostics
        if found.severity in levels
    )
    name = f"{FAST} {library.version()}"
    if report.status is library.ReportStatus.ERROR:
        return Validity(name, (), f"{FAST} cannot read it: {'; '.join(_first_line(each.message) for each in problems)}")
    failure = None
    if report.status is library.ReportStatus.ANALYSIS_INCOMPLETE:
        spent = (each.description for each in report.metadata.budget_exhaustions or () if each.analysis_incomplete)
        failure = f"{FAST} did not finish: {'; '.join(spent)}"
    return Validity(name, problems, failure)


@cache
def _engine() -> cloudformation_validate.CelEngine:
    """The engine, made once: that costs more than validating does."""
    import cloudformation_validate as library

    return library.CelEngine(library.EngineConfig())


def _cfn_lint(text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> Validity:
    import cfnlint.version

    levels: dict[str, Level] = {"error": "error", "warning": "warning"}
    name = f"{CFN_LINT} {cfnlint.version.__version__}"
    problems, failure = [], None
    for found in _matches(text, region, parameters):
        if found.rule.id == _UNREADABLE:
            return Validity(name, (), f"{CFN_LINT} cannot read it: {_first_line(found.message)}")
        if found.rule.id == _BROKEN_RULE:
            failure = f"{CFN_LINT} broke: {_first_line(found.message)}"
        elif found.rule.severity in levels:
            span = Span(path, found.linenumber, found.columnnumber, found.linenumberend, found.columnnumberend)
            where = _resource(list(found.path) if hasattr(found, "path") else [])
            problems.append(Problem(found.rule.id, levels[found.rule.severity], found.message, span, where))
    return Validity(name, tuple(problems), failure)


_UNREADABLE, _BROKEN_RULE = "E0000", "E0002"
"""No YAML or JSON that cfn-lint reads, and an exception in one of its own rules: no error of a template that is read.
https://github.com/aws-cloudformation/cfn-lint/blob/main/docs/rules.md"""


def _matches(text: str, region: str | None, parameters: Mapping[str, str]) -> Iterator[Match]:
    from cfnlint.decode import cfn_json
    from cfnlint.decode.decode import decode_str

    template, errors = decode_str(text)
    if errors and text.lstrip().startswith("{"):  # as YAML first, which has no surrogate pairs
        with contextlib.suppress(ValueError):
            template, errors = cfn_json.loads(text), []
    if isinstance(template, dict):
        _without_settings(template)
    yield from errors or _runner(region or "us-east-1", tuple(parameters.items())).validate_template(template)


def _without_settings(template: dict[str, object]) -> None:
    """Take ``Metadata.cfn-lint`` off a template and its resources, as cfn-lint reads them."""
    resources = template.get("Resources")
    for held in (template, *(resources.values() if isinstance(resources, dict) else ())):
        metadata = held.get("Metadata") if isinstance(held, dict) else None
        if isinstance(metadata, dict):
            metadata.pop("cfn-lint", None)


@cache
def _runner(region: str, parameters: tuple[tuple[str, str], ...]) -> Runner:
    """Cfn-lint's rules, read once: that costs more than a small template does."""
    from cfnlint.config import ConfigMixIn, ManualArgs
    from cfnlint.runner import Runner

    given = [dict(parameters)] if parameters else []
    return Runner(ConfigMixIn(**ManualArgs(regions=[region], config_file=os.devnull, parameters=given)))


def _resource(path: list[str | int]) -> str | None:
    return str(path[1]) if len(path) > 1 and path[0] == "Resources" else None


_ENGINES: Mapping[str, Callable[[str, str, str | None, Mapping[str, str]], Validity]] = {
    FAST: _fast,
    CFN_LINT: _cfn_lint,
}
