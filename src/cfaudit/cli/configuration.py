"""The command that says how a template would be audited, and where each value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cfaudit import fleet
from cfaudit.cli.check import FailOn, narrowed
from cfaudit.cli.shell import EnvironmentOption, ProfileOption, RulesOption, app, day, profile_name, rules_dirs
from cfaudit.config import Config
from cfaudit.finding import Severity, Waiver
from cfaudit.profile import AUTO, OFF, Profile, load_profile
from cfaudit.rulebook import Rulebook, rulebook
from cfaudit.sources.files import Input

DEFAULT, BY_OPTION = "default", "command line"


class ConfigFormat(StrEnum):
    """How ``config`` prints."""

    TEXT = "text"
    JSON = "json"


class Row(NamedTuple):
    """A setting, its effective value (None: none) and where that comes from."""

    name: str
    value: str | float | None
    origin: str


@app.command("config")
def config(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A template or a folder.")] = ".",
    format: Annotated[ConfigFormat, typer.Option("--format", "-f", help="What to print.")] = ConfigFormat.TEXT,  # noqa: A002
    fail_on: Annotated[FailOn | None, typer.Option(help="As in check.")] = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=100, help="As in check.")] = None,
    profile: ProfileOption = None,
    select: Annotated[list[str] | None, typer.Option(metavar="RULE", help="As in check.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="RULE", help="As in check.")] = None,
    environment: EnvironmentOption = None,
    rules: RulesOption = None,
) -> None:
    """Print the values that apply to a template, and where each comes from."""
    named = profile_name(profile)
    directories = rules_dirs(rules)
    template = str(Path(path) / "template") if Path(path).is_dir() else path
    held = fleet.config_of(template, named, directories)
    options = fleet.Options(as_of=day(None), profile=named, rules_dirs=directories)
    options = narrowed(options, [Input(template, named=True)], select, ignore)
    book = rulebook(fleet.directories(held, options))
    chosen = named or held.profile or AUTO
    view = _View(held, load_profile(chosen, book.catalogue.ids) if chosen != AUTO else None)
    rows = [
        Row("profile", chosen, BY_OPTION if named else view.origin("profile")),
        view.first("fail_on", (fail_on, held.fail_on, view.profile and view.profile.fail_on), Severity.CRITICAL.value),
        view.first("min_score", (min_score, held.min_score, view.profile and view.profile.min_score), None),
        *view.rules(book, options),
        *view.others(),
        *(Row("rules_dirs", directory, BY_OPTION) for directory in directories),
        *view.parameters(environment),
    ]
    print(_as_json(held, rows) if format is ConfigFormat.JSON else _as_text(held, rows))


class _View:
    """A configuration and the profile that it or the command line chooses, None for ``auto``."""

    def __init__(self, held: Config, profile: Profile | None) -> None:
        self.held, self.profile = held, profile

    def origin(self, key: str) -> str:
        """Where the configuration says something, or that it does not."""
        found = self.held.keys.get(key) or self.held.keys.get(key.partition(".")[0])
        return found.point() if found else DEFAULT

    def by_profile(self) -> str:
        """The profile as an origin."""
        return f"profile {self.profile.name}" if self.profile else DEFAULT

    def first(self, key: str, values: tuple[str | float | None, ...], default: str | None) -> Row:
        """The word of the command line before the configuration's before the profile's before the default."""
        for value, origin in zip(values, (BY_OPTION, self.origin(key), self.by_profile()), strict=True):
            if value is not None:
                return Row(key, value, origin)
        return Row(key, default, DEFAULT)

    def rules(self, book: Rulebook, options: fleet.Options) -> Iterator[Row]:
        """The rules that are off or graded otherwise than they are by themselves; in ``auto`` the kind decides more."""
        without = self.profile.without if self.profile else frozenset()
        graded = self.profile.grades if self.profile else {}
        for rule in sorted(book.rules, key=lambda rule: rule.id):
            if rule.id in options.ignore or (options.select is not None and rule.id not in options.select):
                yield Row(f"rules.{rule.id}", OFF, BY_OPTION)
            elif rule.id in self.held.off:
                yield Row(f"rules.{rule.id}", OFF, self.origin(f"rules.{rule.id}"))
            elif rule.id in without:
                yield Row(f"rules.{rule.id}", OFF, self.by_profile())
            elif rule.id in self.held.grades:
                yield Row(f"rules.{rule.id}", self.held.grades[rule.id].value, self.origin(f"rules.{rule.id}"))
            elif rule.id in graded:
                yield Row(f"rules.{rule.id}", graded[rule.id].value, self.by_profile())

    def others(self) -> Iterator[Row]:
        """What only a configuration says."""
        held = self.held
        for component, logical_id in held.bind.items():
            yield Row(f"bind.{component}", logical_id, self.origin(f"bind.{component}"))
        for entry in held.external:
            yield Row(f"external.{entry.kind}", f"{entry.value}: {entry.reason}", entry.span.point())
        for key, paths in (
            ("rules_dirs", held.rules_dirs),
            ("tests", held.tests),
            ("junit", held.junit),
            ("docs", held.docs),
        ):
            if paths:
                yield Row(key, ", ".join(paths), self.origin(key))
        if held.baseline:
            yield Row("baseline", held.baseline, self.origin("baseline"))
        screening = held.screening
        yield Row("screening", screening.value if screening else None, self.origin("screening"))
        for name, values in held.environments.items():
            told = ", ".join(f"{key}={value}" for key, value in values.items())
            yield Row(f"environments.{name}", told, self.origin(f"environments.{name}"))
        for waiver in held.waivers:
            yield Row(f"waivers.{waiver.rules[0]}", _waiver(waiver), waiver.span.point())

    def parameters(self, environment: str | None) -> Iterator[Row]:
        """The parameter values of the environment that the command line names. Raises ``TemplateError`` for none."""
        for name, value in fleet.environment_of(self.held, environment).items():
            yield Row(f"parameters.{name}", value, self.origin(f"environments.{environment}"))


def _waiver(waiver: Waiver) -> str:
    where = [*waiver.resources, *([waiver.template] if waiver.template else [])]
    until = f" until {waiver.until}" if waiver.until else ""
    return f"{' in '.join(where) or 'everywhere'}: {waiver.reason}{until}"


def _as_json(held: Config, rows: list[Row]) -> str:
    return json.dumps({"configuration": held.path, "values": [row._asdict() for row in rows]}, indent=2)


def _as_text(held: Config, rows: list[Row]) -> str:
    texts = [(row.name, _text(row.value), row.origin) for row in rows]
    width = max(len(name) for name, _, _ in texts)
    room = max(len(value) for _, value, _ in texts)
    lines = [f"{'configuration':{width}}  {held.path or 'none'}"]
    return "\n".join([*lines, *(f"{name:{width}}  {value:{room}}  {origin}" for name, value, origin in texts)])


def _text(value: str | float | None) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:g}"
