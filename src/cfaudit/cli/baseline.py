"""The commands that keep a baseline: what gaps there were when a project began to look, so that new ones stand out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import typer

from cfaudit import fleet
from cfaudit.baseline import NAME, Baseline, Entry, from_project_root, load_baseline, project_root, written
from cfaudit.cli.check import narrowed
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
    day,
    parameters,
    profile_name,
    rules_dirs,
    write,
)
from cfaudit.nodes import Span
from cfaudit.report import TemplateObject
from cfaudit.sources.files import Input, inputs, read

baseline_app = typer.Typer(
    help="Known gaps: shown and scored, but not gated.", rich_markup_mode=None, no_args_is_help=True
)
app.add_typer(baseline_app, name="baseline")

PathsArgument: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[PATH...]", help="Templates, directories, globs.", show_default=".")
]
FileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="The baseline.", show_default=f"the configuration's, or {NAME} beside it"
    ),
]
ScenariosOption: TypeAlias = Annotated[
    Scenarios, typer.Option("--scenarios", help="Default parameters, or each combination of conditions on its own.")
]


class Group(NamedTuple):
    """The inputs that share a baseline, and the root that its paths start from."""

    file: Path
    root: Path
    inputs: list[Input]


@baseline_app.command()
def create(
    paths: PathsArgument = None,
    file: FileOption = None,
    profile: ProfileOption = None,
    rules: RulesOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
    scenarios: ScenariosOption = Scenarios.DEFAULT,
) -> None:
    """Write the gaps that there are now into a new baseline."""
    options = _options(profile, rules, parameters(params, param or ()), environment, region, as_of, scenarios)
    made = []
    for group in _groups(paths, file, options):
        chosen = narrowed(options, group.inputs, select, ignore)
        outcomes = _audited(group, chosen._replace(baselines=False))
        if outcomes and group.file.exists():
            raise StopError(f"{group.file}: exists; 'cfaudit baseline update' adds what is new")
        if outcomes:
            made.append((group.file, list(_gaps(outcomes)), len(outcomes)))
    if not made:
        raise StopError("there is no template among these paths")
    for path, entries, templates in made:
        _write(path, entries)
        print(f"{path}: {_count(len(entries), 'gap')} of {_count(templates, 'template')}")


@baseline_app.command()
def update(
    paths: PathsArgument = None,
    file: FileOption = None,
    profile: ProfileOption = None,
    rules: RulesOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
    scenarios: ScenariosOption = Scenarios.DEFAULT,
) -> None:
    """Add the gaps that are new; what the baseline has stays as it is."""
    options = _options(profile, rules, parameters(params, param or ()), environment, region, as_of, scenarios)
    made = []
    for group, held in _present(_groups(paths, file, options)):
        chosen = narrowed(options, group.inputs, select, ignore)
        added = list(_gaps(_audited(group, chosen._replace(baseline=str(group.file)))))
        made.append((group.file, [*held.entries.values(), *added], len(added)))
    for path, entries, number in made:
        _write(path, entries)
        print(f"{path}: {_count(number, 'gap')} added, {len(entries) - number} kept")


@baseline_app.command()
def prune(
    paths: PathsArgument = None,
    file: FileOption = None,
    profile: ProfileOption = None,
    rules: RulesOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
    scenarios: ScenariosOption = Scenarios.DEFAULT,
) -> None:
    """Remove the gaps that are found no more, and those of templates that are gone."""
    options = _options(profile, rules, parameters(params, param or ()), environment, region, as_of, scenarios)
    made = []
    for group, held in _present(_groups(paths, file, options)):
        chosen = narrowed(options, group.inputs, select, ignore)
        outcomes = _audited(group, chosen._replace(baseline=str(group.file)))
        gone = {entry.fingerprint for outcome in outcomes for entry in outcome.stale}
        gone |= {entry.fingerprint for entry in held.entries.values() if not (group.root / entry.path).exists()}
        kept = [entry for entry in held.entries.values() if entry.fingerprint not in gone]
        made.append((group.file, kept, len(gone)))
    for path, entries, number in made:
        _write(path, entries)
        print(f"{path}: {_count(number, 'gap')} removed, {len(entries)} kept")


# What is audited -----------------------------------------------------------------------------------------------------


def _options(
    profile: str | None,
    rules: list[str] | None,
    values: Mapping[str, str],
    environment: str | None,
    region: str | None,
    as_of: datetime | None,
    scenarios: Scenarios,
) -> fleet.Options:
    return fleet.Options(
        as_of=day(as_of),
        parameters=values,
        environment=environment,
        region=region,
        profile=profile_name(profile),
        every_scenario=scenarios is Scenarios.ALL,
        rules_dirs=rules_dirs(rules),
    )


def _groups(paths: list[str] | None, file: Path | None, options: fleet.Options) -> list[Group]:
    """The inputs by baseline: the one named, else the configuration's, else the one at the project's root.

    Raises ``StopError`` where one baseline would hold several projects: their paths start from different roots.
    """
    entries = list(inputs(paths or ["."]))
    found: dict[Path, Group] = {}
    for entry in entries or [Input("./template", named=False)]:
        root = project_root(Path(entry.path).resolve().parent) or Path.cwd()
        configured = fleet.config_of(entry.path, options.profile, options.rules_dirs).baseline
        target = file or (Path(configured) if configured else _shown(root / NAME))
        group = found.setdefault(target, Group(target, root, []))
        if group.root != root:
            raise StopError(
                f"{target}: {_shown(group.root)} and {_shown(root)} are projects of their own; name one of them"
            )
        group.inputs.extend([entry] if entries else [])
    return list(found.values())


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _present(groups: Iterable[Group]) -> Iterator[tuple[Group, Baseline]]:
    """The groups with their baselines. Raises ``StopError`` for one that there is not."""
    for group in groups:
        if not group.file.exists():
            raise StopError(f"{group.file}: there is no such file; 'cfaudit baseline create' makes it")
        yield group, load_baseline(read(str(group.file)), str(group.file))


def _audited(group: Group, options: fleet.Options) -> list[fleet.Outcome]:
    """What could be audited; a baseline of a part would be wrong. Raises ``StopError`` for what could not."""
    outcomes = list(fleet.run(group.inputs, options))
    for outcome in outcomes:
        if outcome.error:
            print(caret(outcome.error), file=sys.stderr)
    worst = max((outcome.code for outcome in outcomes), default=fleet.PASSED)
    if worst >= fleet.UNUSABLE:
        raise StopError(f"{group.file}: not written, for not everything could be audited", worst)
    return [outcome for outcome in outcomes if outcome.templates]


def _gaps(outcomes: Iterable[fleet.Outcome]) -> Iterator[Entry]:
    """The gaps that no baseline in use knows, each once."""
    seen: set[str] = set()
    for template in (template for outcome in outcomes for template in outcome.templates):
        for entry in _of_template(template):
            if entry.fingerprint not in seen:
                seen.add(entry.fingerprint)
                yield entry


def _of_template(template: TemplateObject) -> Iterator[Entry]:
    path = from_project_root(template["path"])
    for finding in template["findings"]:
        if finding["verdict"] == "fail" and not finding["known"]:
            first = finding["evidence"][0]
            span = Span(first["file"], first["line"], first["column"], first["end_line"], first["end_column"])
            yield Entry(finding["fingerprint"], finding["rule"], path, finding["subject"], finding["message"], span)


def _write(path: Path, entries: Iterable[Entry]) -> None:
    """Write a baseline that can be read again. Raises ``TemplateError`` for one that is too large to be."""
    text = written(entries)
    load_baseline(text, str(path))
    write(path, text, "baseline")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
