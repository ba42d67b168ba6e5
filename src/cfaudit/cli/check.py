"""The command that audits: inputs and options in, the report in one or more formats and an exit code out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from cfaudit import fleet
from cfaudit.cli.shell import (
    AsOfOption,
    EnvironmentOption,
    ParamOption,
    ParamsOption,
    ProfileOption,
    RegionOption,
    Scenarios,
    StopError,
    app,
    caret,
    color,
    day,
    given,
    parameters,
    profile_name,
    width,
    write,
)
from cfaudit.finding import Waiver
from cfaudit.nodes import Diagnostic
from cfaudit.report import Report, report
from cfaudit.rule import load_categories
from cfaudit.sources.files import inputs


class Format(StrEnum):
    """What ``check`` can write."""

    CONSOLE = "console"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    GITLAB = "gitlab"
    CSV = "csv"


class FailOn(StrEnum):
    """The least severity that fails the gate."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NEVER = "never"


class LintEngine(StrEnum):
    """What says whether a template is valid."""

    FAST = "cloudformation-validate"
    CFN_LINT = "cfn-lint"


@app.command()
def check(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Templates, directories, globs, - for stdin.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.CONSOLE,  # noqa: A002
    output: Annotated[
        list[str] | None, typer.Option("--output", "-o", metavar="FORMAT=FILE", help="Also write a file; repeatable.")
    ] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Least severity that fails the gate.", show_default="critical")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=100, help="Overall score below which the gate fails.")
    ] = None,
    profile: ProfileOption = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Only these rules: ids, patterns or categories, repeatable or by commas."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Not these rules; as --select, and wins over it.")
    ] = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
    lint: Annotated[
        LintEngine | None,
        typer.Option(help="Check validity too, by this engine; without a word: the first."),
    ] = None,
    scenarios: Annotated[
        Scenarios, typer.Option(help="Default parameters, or each combination of conditions on its own.")
    ] = Scenarios.DEFAULT,
    strict: Annotated[bool, typer.Option("--strict", help="Count what is unknown as not earned.")] = False,
    no_waivers: Annotated[bool, typer.Option("--no-waivers", help="Audit as if there were no waivers.")] = False,
    skip_non_templates: Annotated[
        bool, typer.Option("--skip-non-templates", help="Pass over named files that are not CloudFormation.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the scorecard only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list unknown and n/a rules.")] = False,
) -> None:
    """Audit templates; exit 1 when the gate fails, 2 on unusable input, 3 when cfaudit broke."""
    outputs = [_output(entry) for entry in output or ()]
    options = fleet.Options(
        as_of=day(as_of),
        parameters=parameters(params, param or ()),
        environment=environment,
        region=region,
        profile=profile_name(profile),
        fail_on=fail_on.value if fail_on else None,
        min_score=min_score,
        every_scenario=scenarios is Scenarios.ALL,
        strict=strict,
        waivers=not no_waivers,
        select=rule_ids("--select", select) if select else None,
        ignore=rule_ids("--ignore", ignore or ()),
        skip_others=skip_non_templates,
        lint=lint.value if lint else None,
    )
    outcomes = list(fleet.run(inputs(paths), options))
    _check_parameters(given(param or ()), outcomes)
    _say_what_was_not_audited(outcomes)
    templates = [template for outcome in outcomes for template in outcome.templates]
    if not (len(templates) == 1 and outcomes[0].error):
        notes = [_unneeded(waiver) for waiver in fleet.unneeded(outcomes)]
        result = report(templates, notes)
        for target, path in outputs:
            write(path, _rendered(result, target))
        view = _View(quiet=quiet, verbose=verbose)
        sys.stdout.write(_console(result, view) if format is Format.CONSOLE else _rendered(result, format))
        if Format.GITHUB in (format, *(target for target, _ in outputs)):
            _summarise(result)
    raise typer.Exit(max((outcome.code for outcome in outcomes), default=0))


class _View:
    """How much the console report says."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.quiet, self.verbose = quiet, verbose


def rule_ids(option: str, words: Iterable[str]) -> frozenset[str]:
    """The ids of the rules that words name. Raises ``StopError`` for a word that names none."""
    rules, categories = fleet.rules(), [category.id for category in load_categories()]
    ids = fleet.catalogue().ids
    found: set[str] = set()
    for word in (word.strip() for words_ in words for word in words_.split(",")):
        named = {ids[name] for name in ids if fnmatchcase(name, word)}
        named |= {rule.id for rule in rules if rule.category == word}
        if not named:
            known = f"known categories are {', '.join(categories)}"
            raise StopError(f"{option} {word}: matches no rule; {fleet.catalogue().near(word)}; {known}")
        found |= named
    return frozenset(found)


def _check_parameters(given_: Iterable[str], outcomes: Sequence[fleet.Outcome]) -> None:
    """A ``--param`` that no audited template declares is a mistake of the caller's."""
    declared = frozenset(name for outcome in outcomes for name in outcome.declared)
    unknown = [name for name in given_ if name not in declared]
    usable = [outcome for outcome in outcomes if outcome.templates]
    if unknown and usable and not any(outcome.error for outcome in usable):
        known = ", ".join(sorted(declared)) or "none"
        raise StopError(f"--param {unknown[0]}: no template has this parameter; there are: {known}")


def _say_what_was_not_audited(outcomes: Sequence[fleet.Outcome]) -> None:
    skipped = sum(outcome.skipped for outcome in outcomes)
    if skipped:
        files = "file that is" if skipped == 1 else "files that are"
        print(f"skipped {skipped} {files} no CloudFormation template", file=sys.stderr)
    for outcome in outcomes:
        if outcome.error:
            print(caret(outcome.error), file=sys.stderr)


def _unneeded(waiver: Waiver) -> Diagnostic:
    message = f"the waiver of {', '.join(waiver.rules)} covers nothing in the templates of this run"
    return Diagnostic("info", message, waiver.span, "remove it if this run saw them all")


def _output(entry: str) -> tuple[Format, Path]:
    name, equals, path = entry.partition("=")
    if not equals or not path or name not in [member.value for member in Format]:
        known = ", ".join(member.value for member in Format)
        raise StopError(f"--output {entry}: write FORMAT=FILE, where FORMAT is one of {known}")
    return Format(name), Path(path)


def _rendered(result: Report, format_: Format) -> str:
    """The report in a machine's format or as plain console text."""
    if format_ is not Format.CONSOLE:
        from cfaudit.render import render

        return render(result, format_.value)
    from cfaudit.render.console import render as render_console

    return render_console(result, width=100, color=False, quiet=False, verbose=False)


def _summarise(result: Report) -> None:
    """Append the Markdown report to the job summary of GitHub Actions, within the megabyte that a step may write."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    from cfaudit.render.markdown import SUMMARY
    from cfaudit.render.markdown import render as render_markdown

    try:
        path = Path(summary)
        room = SUMMARY - (path.stat().st_size if path.exists() else 0)
        text = render_markdown(result, room)
        if len(text.encode()) > room:
            print(f"{summary}: no room for the report in the job summary", file=sys.stderr)
            return
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        print(f"{summary}: the job summary cannot be written: {error.strerror}", file=sys.stderr)


def _console(result: Report, view: _View) -> str:
    from cfaudit.render.console import render as render_console

    return render_console(result, width=width(), color=color(), quiet=view.quiet, verbose=view.verbose)
