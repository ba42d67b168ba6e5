"""Inputs and options in, what each came to out: many templates, each by its own configuration; nothing is printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cfaudit.checks import CHECKS
from cfaudit.config import Config, find_config, load_config
from cfaudit.finding import Severity, Waiver
from cfaudit.nodes import NotTemplateError, Span, TemplateError
from cfaudit.pipeline import Audit, Settings, audits
from cfaudit.profile import AUTO
from cfaudit.report import TemplateObject, template_object, unusable
from cfaudit.rule import Rule, load_categories, load_rules
from cfaudit.score import Gate, score
from cfaudit.sources.files import Input, may_be_template, read
from cfaudit.waive import Catalogue, concerns

PASSED, FAILED, UNUSABLE, BROKE = 0, 1, 2, 3


class Options(NamedTuple):
    """How a run audits. ``fail_on`` (a severity or ``never``), ``min_score`` and ``profile`` override configurations.

    ``select`` are the ids of the only rules to run, None for all; ``ignore`` those of rules not to run.
    ``environment`` names the parameter values of the configuration to use, below ``parameters``; ``lint`` the engine
    that says whether the template is valid, None for no answer.
    """

    as_of: date
    parameters: Mapping[str, str] = MappingProxyType({})
    environment: str | None = None
    region: str | None = None
    profile: str | None = None
    fail_on: str | None = None
    min_score: float | None = None
    every_scenario: bool = False
    strict: bool = False
    waivers: bool = True
    select: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    skip_others: bool = False
    lint: str | None = None


class Outcome(NamedTuple):
    """What one input came to: its templates (one per scenario) or why there is none, and the exit code it asks for.

    ``declared`` are the parameters it has; ``used`` and ``standing`` the configuration's waivers that covered
    something in it, and all that might have.
    """

    entry: Input
    templates: tuple[TemplateObject, ...] = ()
    error: TemplateError | None = None
    code: int = PASSED
    declared: frozenset[str] = frozenset()
    used: frozenset[Waiver] = frozenset()
    standing: frozenset[Waiver] = frozenset()

    @property
    def skipped(self) -> bool:
        """Whether the input is no template and did not have to be one."""
        return not self.templates


def run(entries: Iterable[Input], options: Options) -> Iterator[Outcome]:
    """Audit inputs, in their order. Raises ``TemplateError`` for a bad configuration and ``RuleError``."""
    for entry in entries:
        yield audit_input(entry, options)


def audit_input(entry: Input, options: Options) -> Outcome:
    """Audit one input; what is no template is skipped, or unusable where it was named."""
    name = "<stdin>" if entry.path == "-" else entry.path
    skip = options.skip_others or not entry.named
    try:
        text = read(entry.path)
        if skip and not may_be_template(text):
            return Outcome(entry)
    except TemplateError as error:
        return _unusable(entry, name, error, options)
    config = config_of(entry.path, options.profile)
    settings = settings_for(entry.path, config, options)
    try:
        audited = audits(text, name, settings, _selected(options.select, options.ignore))
    except NotTemplateError as error:
        return Outcome(entry) if skip else _unusable(entry, name, error, options)
    except TemplateError as error:
        return _unusable(entry, name, error, options)
    cards = [score(held, load_categories(), gate(held, options), strict=options.strict) for held in audited]
    return Outcome(
        entry,
        tuple(template_object(card) for card in cards),
        code=max(BROKE if card.failed else PASSED if card.held else FAILED for card in cards),
        declared=frozenset(name for held in audited for name in held.template.document.parameters.entries),
        used=frozenset(waiver for held in audited for waiver in held.used),
        standing=frozenset(settings.waivers or ()),
    )


def _unusable(entry: Input, name: str, error: TemplateError, options: Options) -> Outcome:
    return Outcome(entry, (unusable(name, error, options.as_of),), error, UNUSABLE)


def gate(audit: Audit, options: Options) -> Gate:
    """The gate: the options' word before the configuration's before the profile's."""
    config, profile = audit.settings.config, audit.profile
    fail_on = options.fail_on or config.fail_on or profile.fail_on or Severity.CRITICAL.value
    scores = (options.min_score, config.min_score, profile.min_score)
    min_score = next((value for value in scores if value is not None), None)
    return Gate(None if fail_on == "never" else Severity(fail_on), min_score)


@cache
def rules() -> tuple[Rule, ...]:
    """The catalogue. Raises ``RuleError``."""
    return load_rules(CHECKS)


@cache
def catalogue() -> Catalogue:
    """The ids that a configuration or a waiver may name."""
    return Catalogue.of((rule.id, rule.aliases) for rule in rules())


@cache
def _selected(select: frozenset[str] | None, ignore: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules() if (select is None or rule.id in select) and rule.id not in ignore)


def config_of(path: str, profile: str | None = None) -> Config:
    """The configuration that applies to a template, an empty one where there is none."""
    return _config_in(Path.cwd() if path == "-" else Path(path).resolve().parent, profile or AUTO)


@cache
def _config_in(folder: Path, profile: str) -> Config:
    found = find_config(folder)
    return _config_at(found, profile) if found else Config()


@cache
def _config_at(path: Path, profile: str) -> Config:
    shown = os.path.relpath(path)
    return load_config(Path(shown), read(shown), catalogue(), profile)


def settings_for(path: str, config: Config, options: Options) -> Settings:
    """How one template is audited: the options' word before the configuration's."""
    waivers = None
    if options.waivers:
        named = _beside(path, config)
        waivers = tuple(waiver for waiver in config.waivers if concerns(waiver, named))
    return Settings(
        as_of=options.as_of,
        parameters={**environment_of(config, options.environment), **options.parameters},
        region=options.region,
        profile=options.profile or AUTO,
        config=config,
        every_scenario=options.every_scenario,
        waivers=waivers,
        catalogue=catalogue(),
        lint=options.lint,
    )


def _beside(path: str, config: Config) -> str:
    """A template's path from the folder of its configuration."""
    if config.path is None or path == "-":
        return path
    return Path(os.path.relpath(Path(path).resolve(), Path(config.path).resolve().parent)).as_posix()


def environment_of(config: Config, name: str | None) -> Mapping[str, str]:
    """The parameter values of an environment, none for no name. Raises ``TemplateError`` for one that there is not."""
    if name is None or name in config.environments:
        return config.environments[name] if name else {}
    known = ", ".join(sorted(config.environments)) or "none"
    where = config.keys.get("environments") or Span(config.path or "cfaudit.yaml", 1, 1, 1, 1)
    raise TemplateError(where, f"there is no environment {name!r}", f"there are: {known}")


def unneeded(outcomes: Iterable[Outcome]) -> list[Waiver]:
    """The configuration's waivers that covered nothing in a run where they could have, and are not spoken of yet.

    One of a single resource is spoken of with the template that has the resource.
    """
    used: set[Waiver] = set()
    standing: dict[Waiver, None] = {}
    for outcome in outcomes:
        used |= outcome.used
        standing |= dict.fromkeys(sorted(outcome.standing, key=lambda waiver: waiver.span))
    return [waiver for waiver in standing if waiver not in used]
