"""The command that compares: two templates, or templates with what they were at a git revision."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cfaudit import fleet
from cfaudit.cli.check import check_parameters, narrowed
from cfaudit.cli.shell import (
    AsOfOption,
    EnvironmentOption,
    IgnoreOption,
    ParamOption,
    ParamsOption,
    ProfileOption,
    RegionOption,
    RulesOption,
    SelectOption,
    StopError,
    app,
    caret,
    day,
    given,
    parameters,
    profile_name,
    rules_dirs,
    width,
)
from cfaudit.finding import Severity
from cfaudit.report import TemplateObject, report
from cfaudit.sources.files import SKIPPED, SUFFIXES, Input, inputs

if TYPE_CHECKING:
    from cfaudit.compare import Diff
    from cfaudit.sources.revision import Revision


class DiffFormat(StrEnum):
    """How a comparison is written."""

    CONSOLE = "console"
    JSON = "json"
    MARKDOWN = "markdown"


class FailOnNew(StrEnum):
    """The least severity of an opened gap that fails the gate."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Sides(NamedTuple):
    """The same template twice; None for the side that does not have it."""

    old: Input | None
    new: Input | None


@app.command()
def diff(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OLD NEW | [PATH...]",
            help="Two templates, each a file or REVISION:PATH; with --since, templates, directories, globs.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="REVISION", help="Compare with a git revision of the same paths.")
    ] = None,
    format: Annotated[DiffFormat, typer.Option("--format", "-f", help="What to print.")] = DiffFormat.CONSOLE,  # noqa: A002
    fail_on_new: Annotated[
        FailOnNew | None, typer.Option("--fail-on-new", help="Least severity of an opened gap that fails the gate.")
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
) -> None:
    """Say which gaps were closed and opened, and what that did to the score; exit 1 when --fail-on-new finds any."""
    from tempfile import TemporaryDirectory

    options = fleet.Options(
        as_of=day(as_of),
        parameters=parameters(params, param or ()),
        environment=environment,
        region=region,
        profile=profile_name(profile),
        rules_dirs=rules_dirs(rules),
        baselines=False,
    )
    with TemporaryDirectory(prefix="cfaudit-") as folder:
        sides = _since(since, paths or ["."], Path(folder)) if since is not None else _two(paths or (), Path(folder))
        options = narrowed(options, [entry for pair in sides for entry in pair if entry], select, ignore)
        outcomes = [(_audited(pair.old, options), _audited(pair.new, options)) for pair in sides]
    held = [outcome for pair in outcomes for outcome in pair if outcome is not None]
    check_parameters(given(param or ()), held)
    for outcome in held:
        if outcome.error:
            print(caret(outcome.error), file=sys.stderr)
    broken = [outcome.code for outcome in held if outcome.code >= fleet.UNUSABLE]
    result = _compared(outcomes, Severity(fail_on_new.value) if fail_on_new else None)
    if result["comparisons"]:
        from cfaudit.render.diff import render

        sys.stdout.write(render(result, format.value, width()))
    elif not broken:
        raise StopError("there is no template to compare among these paths")
    raise typer.Exit(max((*broken, fleet.PASSED if result["gate"]["held"] else fleet.FAILED)))


def _compared(outcomes: Iterable[tuple[fleet.Outcome | None, fleet.Outcome | None]], severity: Severity | None) -> Diff:
    """The comparison of what could be audited on both sides."""
    from cfaudit.compare import Pair, compare

    usable = [pair for pair in outcomes if not any(outcome and outcome.error for outcome in pair)]
    pairs = [Pair(_template(old), _template(new)) for old, new in usable]
    return compare([pair for pair in pairs if pair != (None, None)], report([])["tool"], severity)


def _audited(entry: Input | None, options: fleet.Options) -> fleet.Outcome | None:
    return fleet.audit_input(entry, options) if entry else None


def _template(outcome: fleet.Outcome | None) -> TemplateObject | None:
    return outcome.templates[0] if outcome and outcome.templates else None


# Two templates -------------------------------------------------------------------------------------------------------


def _two(words: Sequence[str], into: Path) -> list[Sides]:
    """The two templates that were named. Raises ``StopError``."""
    if len(words) != 2:
        raise StopError("name two templates, OLD and NEW, or compare with a revision: --since REVISION [PATH...]")
    old, new = (_named(word, into / side) for word, side in zip(words, ("old", "new"), strict=True))
    return [Sides(old, new)]


def _named(word: str, into: Path) -> Input:
    """A file, or a file of a revision written as git does: ``main:stacks/app.yaml`` from the repository's root."""
    if os.path.isdir(word):
        raise StopError(f"{word}: is a folder; --since REVISION compares folders")
    name, colon, path = word.partition(":")
    if not colon or os.path.lexists(word):
        return Input(word, named=True)
    held = _revision(name, Path.cwd())
    if path.startswith(("./", "../")):
        path = os.path.relpath(Path.cwd() / path, held.root)
    path = Path(path).as_posix()
    if path not in held.files:
        raise StopError(f"{word}: the revision has no such file")
    return _copy(held, path, into, named=True)


def _revision(name: str, folder: Path) -> Revision:
    from cfaudit.sources.revision import RevisionError, revision

    try:
        return revision(name, folder)
    except RevisionError as error:
        raise StopError(f"{name}: {error}") from None


def _copy(held: Revision, path: str, into: Path, *, named: bool) -> Input:
    """A template of a revision, copied with all that lies beside it: handlers' code is judged with it."""
    from cfaudit.sources.revision import copied

    folder = os.path.dirname(path)
    if not (into / path).exists():
        copied(held, folder, into)
    here = os.path.relpath(held.root / path)
    return Input(here, named, str(into / path), f"{held.name}:{path}")


# Since a revision ----------------------------------------------------------------------------------------------------


def _since(name: str, paths: Sequence[str], into: Path) -> list[Sides]:
    """The templates among the paths, now and at a revision. Raises ``StopError``."""
    first = Path(paths[0]).resolve()
    held = _revision(name, first if first.is_dir() else first.parent)
    new = {_within(held, entry.path): entry for entry in inputs(paths) if os.path.lexists(entry.path)}
    old = {*(path for path in new if path in held.files), *_gone(held, paths)}
    moved = _moved(held, old - new.keys(), new.keys() - old)
    pairs = {path: (moved.get(path, path), path) for path in new}
    pairs |= {path: (path, path) for path in old if path not in new and path not in moved.values()}
    return [
        Sides(_copy(held, then, into, named=False) if then in old else None, new.get(now))
        for then, now in (pairs[path] for path in sorted(pairs))
    ]


def _within(held: Revision, path: str) -> str:
    """A path from the root of the repository. Raises ``StopError`` for one outside."""
    resolved = Path(path).resolve() if os.path.isdir(path) else Path(path).parent.resolve() / Path(path).name
    if not resolved.is_relative_to(held.root):
        raise StopError(f"{path}: lies outside the repository that has {held.name}")
    return resolved.relative_to(held.root).as_posix()


def _gone(held: Revision, paths: Sequence[str]) -> Iterator[str]:
    """The files of the revision below the paths that could be templates. Raises ``StopError`` for a path it lacks."""
    for path in paths:
        within = _within(held, path)
        if os.path.isdir(path):
            start = "" if within == "." else f"{within}/"
            yield from (file for file in held.files if file.startswith(start) and _may_be_found(file[len(start) :]))
        elif within in held.files:
            yield within
        elif not any(os.path.lexists(entry.path) for entry in inputs([path])):
            raise StopError(f"{path}: is neither here nor in {held.name}")


def _may_be_found(path: str) -> bool:
    return os.path.splitext(path)[1] in SUFFIXES and SKIPPED.isdisjoint(path.split("/"))


def _moved(held: Revision, gone: set[str], added: set[str]) -> dict[str, str]:
    """What each template that is new was called, where git takes it for another one renamed."""
    from cfaudit.sources.revision import renamed

    if not gone or not added:
        return {}
    return {new: old for old, new in renamed(held).items() if old in gone and new in added}
