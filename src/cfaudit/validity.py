"""A template's text in, what a validator says of it out: would CloudFormation take it?

Both validators speak cfn-lint's rule ids. They are extras of the package and imported only when asked for; both work
offline. A ``.cfnlintrc`` is not read: what a template is worth must not depend on the folder it is audited from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from cfaudit.nodes import Span

if TYPE_CHECKING:
    import cloudformation_validate

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
    """What an engine said of a template, in the template's order; ``engine`` is its name and version."""

    engine: str
    problems: tuple[Problem, ...]


def validate(engine: str, text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> Validity:
    """Validate a template. Raises ``MissingEngineError``."""
    try:
        name, problems = _ENGINES[engine](text, path, region, parameters)
    except ImportError:
        message = f"{engine} is not installed; install it with: pip install 'cfaudit[{EXTRAS[engine]}]'"
        raise MissingEngineError(message) from None
    return Validity(name, tuple(sorted(problems, key=lambda problem: (problem.span, problem.rule))))


def _fast(text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> tuple[str, list[Problem]]:
    import cloudformation_validate as library

    config = library.ValidateConfig(
        severity_level=library.Severity.WARN,
        parameter_overrides=dict(parameters),
        pseudo_parameter_overrides=library.PseudoParameterOverrides(region=region),
    )
    report = _engine().validate_template(library.TemplateContent(content=text, name=path), config)
    levels: dict[object, Level] = {
        library.Severity.FATAL: "error",
        library.Severity.ERROR: "error",
        library.Severity.WARN: "warning",
    }
    problems = [
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
    ]
    return f"{FAST} {library.version()}", problems


@cache
def _engine() -> cloudformation_validate.CelEngine:
    """The engine, made once: that costs more than validating does."""
    import cloudformation_validate as library

    return library.CelEngine(library.EngineConfig())


def _cfn_lint(text: str, path: str, region: str | None, parameters: Mapping[str, str]) -> tuple[str, list[Problem]]:
    import cfnlint.version
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    regions = [region] if region else ["us-east-1"]
    arguments = ManualArgs(regions=regions, config_file=os.devnull, parameters=[dict(parameters)] if parameters else [])
    levels: dict[str, Level] = {"error": "error", "warning": "warning"}
    problems = [
        Problem(
            found.rule.id,
            levels[found.rule.severity],
            found.message,
            Span(path, found.linenumber, found.columnnumber, found.linenumberend, found.columnnumberend),
            _resource(list(found.path) if hasattr(found, "path") else []),
        )
        for found in lint(text, regions=regions, config=arguments)
        if found.rule.severity in levels
    ]
    return f"{CFN_LINT} {cfnlint.version.__version__}", problems


def _resource(path: list[str | int]) -> str | None:
    return str(path[1]) if len(path) > 1 and path[0] == "Resources" else None


_ENGINES: Mapping[str, Callable[[str, str, str | None, Mapping[str, str]], tuple[str, list[Problem]]]] = {
    FAST: _fast,
    CFN_LINT: _cfn_lint,
}
