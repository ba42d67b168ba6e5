"""The command that audits: inputs and options in, the report in one or more formats and an exit code out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cfaudit import fleet
from cfaudit.baseline import Entry
from cfaudit.cli.progress import watched
from cfaudit.cli.shell import (
    AsOfOption,
    EnvironmentOption,
    IgnoreOption,
    ParamOption,
    ParamsOption,
    ProfileOption,
    RegionOption,
    RulesOption,
    Scenarios,
    SelectOption,
    StopError,
    app,
    caret,
    color,
    day,
    given,
    parameters,
    profile_name,
    rules_dirs,
    width,
    write,
)
from cfaudit.finding import Waiver
from cfaudit.nodes import Diagnostic
from cfaudit.report import Report, report
from cfaudit.rule import load_categories
from cfaudit.rulebook import Rulebook
from cfaudit.sources.files import Input, application, inputs
from cfaudit.waive import Catalogue

PER_PROCESS = 16


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
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Templates, directories, globs, cdk.out, - for stdin.")
    ] = None,
    app_: Annotated[
        list[str] | None,
        typer.Option("--app", metavar="DIR", help="Audit the templates of a directory as one application; repeatable."),
    ] = None,
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
    rules: RulesOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
    lint: Annotated[
        LintEngine | None,
        typer.Option(help="Check validity too, by this engine; without a word: the first."),
    ] = None,
    tests: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Test sources: which resources do they name? Repeatable.")
    ] = None,
    junit: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="JUnit reports of those tests; globs work; repeatable.")
    ] = None,
    docs: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Documents that name manual steps; globs work; repeatable.")
    ] = None,
    scenarios: Annotated[
        Scenarios, typer.Option(help="Default parameters, or each combination of conditions on its own.")
    ] = Scenarios.DEFAULT,
    strict: Annotated[bool, typer.Option("--strict", help="Count what is unknown as not earned.")] = False,
    no_waivers: Annotated[bool, typer.Option("--no-waivers", help="Audit as if there were no waivers.")] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Known gaps: shown and scored, but not gated.")
    ] = None,
    no_baseline: Annotated[bool, typer.Option("--no-baseline", help="Audit as if there were no baseline.")] = False,
    strict_baseline: Annotated[
        bool, typer.Option("--strict-baseline", help="Fail the gate on a baseline's gap that is found no more.")
    ] = False,
    skip_non_templates: Annotated[
        bool, typer.Option("--skip-non-templates", help="Pass over named files that are not CloudFormation.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Audit again whenever a template or what it is judged by changes.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes that audit.", show_default="as many as help")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the scorecard only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list unknown and n/a rules.")] = False,
) -> None:
    """Audit templates; exit 1 when the gate fails, 2 on unusable input, 3 when cfaudit broke."""
    asked = _Asked(
        paths=tuple(paths or ()),
        format=format,
        outputs=tuple(_output(entry) for entry in output or ()),
        given=given(param or ()),
        quiet=quiet,
        verbose=verbose,
        strict_baseline=strict_baseline,
        applications=tuple(app_ or ()),
        jobs=jobs,
    )

    def options(entries: Sequence[Input]) -> fleet.Options:
        held = fleet.Options(
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
            skip_others=skip_non_templates,
            lint=lint.value if lint else None,
            rules_dirs=rules_dirs(rules),
            tests=tuple(tests or ()),
            junit=tuple(junit or ()),
            docs=tuple(docs or ()),
            baseline=str(baseline) if baseline else None,
            baselines=not no_baseline,
            strict_baseline=strict_baseline,
        )
        return narrowed(held, entries, select, ignore)

    if watch:
        raise typer.Exit(_watch(asked, options, [str(file) for file in (params, profile, baseline) if file]))
    raise typer.Exit(_audit(asked, options))


class _Asked(NamedTuple):
    """What a run is to read and to say, and how much of it on the console."""

    paths: tuple[str, ...]
    format: Format
    outputs: tuple[tuple[Format, Path], ...]
    given: Mapping[str, str]
    quiet: bool
    verbose: bool
    strict_baseline: bool
    applications: tuple[str, ...]
    jobs: int | None


def _audit(asked: _Asked, options: Callable[[Sequence[Input]], fleet.Options]) -> int:
    """One run: audit, say what could not be audited, write the report; the exit code."""
    entries = _inputs(asked.paths, asked.applications)
    runs = fleet.run(entries, options(entries), asked.jobs or _jobs(len(entries)))
    outcomes = fleet.apart(watched(runs, len(entries)))
    check_parameters(asked.given, outcomes)
    _say_what_was_not_audited(outcomes)
    templates = [template for outcome in outcomes for template in outcome.templates]
    if not (len(templates) == 1 and outcomes[0].error):
        notes = [_unneeded(waiver) for waiver in fleet.unneeded(outcomes)]
        gone = dict.fromkeys(entry for outcome in outcomes for entry in outcome.stale)
        notes += [_stale(entry, strict=asked.strict_baseline) for entry in gone]
        _say(report(templates, notes), asked)
    return max((outcome.code for outcome in outcomes), default=0)


def _say(result: Report, asked: _Asked) -> None:
    for target, path in asked.outputs:
        write(path, _rendered(result, target))
    sys.stdout.write(_console(result, asked) if asked.format is Format.CONSOLE else _rendered(result, asked.format))
    if Format.GITHUB in (asked.format, *(target for target, _ in asked.outputs)):
        _summarise(result)


def _inputs(paths: Sequence[str], applications: Sequence[str]) -> list[Input]:
    """What there is to audit. Raises ``StopError`` for words that name nothing."""
    for path in applications:
        if not Path(path).is_dir():
            raise StopError(f"--app {path}: there is no such directory")
    if not paths and not applications:
        raise StopError("name a template, a directory, a glob, - for stdin, or --app DIR")
    found = [*inputs(paths), *(application(path) for path in applications)]
    if not found:
        raise StopError(f"{' '.join(paths)}: there is no file that may be a template")
    return found


def _jobs(count: int) -> int:
    """One process for few inputs: another one has to read the rules first."""
    return min(fleet.processors(), max(1, count // PER_PROCESS))


def _watch(asked: _Asked, options: Callable[[Sequence[Input]], fleet.Options], files: Iterable[str]) -> int:
    from cfaudit.cli.watch import looker, watch

    if "-" in asked.paths:
        raise StopError("--watch: standard input cannot be watched; name files or directories")
    options(_inputs(asked.paths, asked.applications))  # what is wrong with the arguments ends the run before it begins
    look = looker((*asked.paths, *asked.applications), files, [path for _, path in asked.outputs])
    return watch(lambda: _audit(asked, options), look)


def narrowed(
    options: fleet.Options, entries: Sequence[Input], select: Iterable[str] | None, ignore: Iterable[str] | None
) -> fleet.Options:
    """The options with the rules that ``--select`` and ``--ignore`` name. Raises ``StopError``."""
    if not (select or ignore):
        return options
    known = fleet.rulebooks(entries, options)
    chosen = _rules("--select", select, known) if select else None
    return options._replace(select=chosen, ignore=_rules("--ignore", ignore or (), known))


def _rules(option: str, words: Iterable[str], books: Sequence[Rulebook]) -> frozenset[str]:
    """The ids of the rules that words name. Raises ``StopError`` for a word that names none."""
    rules, categories = [rule for book in books for rule in book.rules], [held.id for held in load_categories()]
    catalogue = Catalogue.of((rule.id, rule.aliases) for rule in rules)
    ids = catalogue.ids
    found: set[str] = set()
    for word in (word.strip() for words_ in words for word in words_.split(",")):
        named = {ids[name] for name in ids if fnmatchcase(name, word)}
        named |= {rule.id for rule in rules if rule.category == word}
        if not named:
            known = f"known categories are {', '.join(categories)}"
            raise StopError(f"{option} {word}: matches no rule; {catalogue.near(word)}; {known}")
        found |= named
    return frozenset(found)


def check_parameters(given_: Iterable[str], outcomes: Sequence[fleet.Outcome]) -> None:
    """A ``--param`` that no audited template declares is a mistake of the caller's."""
    declared = frozenset(name for outcome in outcomes for name in outcome.declared)
    unknown = [name for name in given_ if name not in declared]
    usable = [outcome for outcome in outcomes if outcome.templates]
    if unknown and usable and not any(outcome.error for outcome in usable):
        known = ", ".join(sorted(declared)) or "none"
        raise StopError(f"--param {unknown[0]}: no template has this parameter; there are: {known}")


def _say_what_was_not_audited(outcomes: Sequence[fleet.Outcome]) -> None:
    skipped = sum(outcome.skipped for outcome in outcomes)
    nested = sum(len(outcome.parts) for outcome in outcomes if outcome.templates)
    if nested:
        files = "template is" if nested == 1 else "templates are"
        print(f"{nested} {files} judged as part of an application", file=sys.stderr)
    if skipped:
        files = "file that is" if skipped == 1 else "files that are"
        print(f"skipped {skipped} {files} no CloudFormation template", file=sys.stderr)
    for outcome in outcomes:
        if outcome.error:
            print(caret(outcome.error), file=sys.stderr)


def _unneeded(waiver: Waiver) -> Diagnostic:
    message = f"the waiver of {', '.join(waiver.rules)} covers nothing in the templates of this run"
    return Diagnostic("info", message, waiver.span, "remove it if this run saw them all")


def _stale(entry: Entry, *, strict: bool) -> Diagnostic:
    message = f"the known gap of {entry.rule} about {entry.subject} in {entry.path} is found no more"
    return Diagnostic("error" if strict else "warning", message, entry.span, "'cfaudit baseline prune' removes it")


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


def _console(result: Report, asked: _Asked) -> str:
    from cfaudit.render.console import render as render_console

    return render_console(result, width=width(), color=color(), quiet=asked.quiet, verbose=asked.verbose)
