"""Inputs and options in, what each came to out: many templates, each by its own configuration; nothing is printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cfaudit.application import application, joined
from cfaudit.baseline import Baseline, Entry, load_baseline, marked, project_root, stale
from cfaudit.config import Config, find_config, load_config
from cfaudit.finding import Severity, Waiver
from cfaudit.nodes import NotTemplateError, Source, Span, TemplateError
from cfaudit.pipeline import Audit, Settings, audits, template
from cfaudit.profile import AUTO
from cfaudit.report import TemplateObject, template_object, unusable
from cfaudit.rule import Rule, load_categories
from cfaudit.rulebook import Rulebook, rulebook
from cfaudit.score import Gate, score
from cfaudit.sources.brought import bring
from cfaudit.sources.files import Input, may_be_template, read
from cfaudit.sources.local import LocalFiles
from cfaudit.waive import Catalogue, concerns

PASSED, FAILED, UNUSABLE, BROKE = 0, 1, 2, 3


class Options(NamedTuple):
    """How a run audits. ``fail_on`` (a severity or ``never``), ``min_score`` and ``profile`` override configurations.

    ``select`` are the ids of the only rules to run, None for all; ``ignore`` those of rules not to run.
    ``environment`` names the parameter values of the configuration to use, below ``parameters``; ``lint`` the engine
    that says whether the template is valid, None for no answer. ``rules_dirs`` are directories of rules
    beside the built-in ones, besides those that configurations name. ``tests``, ``junit`` and ``docs`` are paths; each
    replaces the configuration's where it names any. ``baseline`` is a file of known gaps in place of the
    configuration's; ``baselines`` is whether any works, ``strict_baseline`` whether an entry found no more fails the
    gate.
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
    rules_dirs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    junit: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()
    baseline: str | None = None
    baselines: bool = True
    strict_baseline: bool = False


class Outcome(NamedTuple):
    """What one input came to: its templates (one per scenario) or why there is none, and the exit code it asks for.

    ``declared`` are the parameters it has; ``used`` and ``standing`` the configuration's waivers that covered
    something in it, and all that might have; ``stale`` the entries of the baseline that it has no more. ``parts`` are
    the real paths of the other templates that it is made of; ``others`` counts files of its directory that are none.
    """

    entry: Input
    templates: tuple[TemplateObject, ...] = ()
    error: TemplateError | None = None
    code: int = PASSED
    declared: frozenset[str] = frozenset()
    used: frozenset[Waiver] = frozenset()
    standing: frozenset[Waiver] = frozenset()
    stale: tuple[Entry, ...] = ()
    parts: frozenset[str] = frozenset()
    others: int = 0

    @property
    def skipped(self) -> int:
        """How many files are no templates and did not have to be."""
        return self.others if self.templates else self.others + 1


def run(entries: Iterable[Input], options: Options, jobs: int = 1) -> Iterator[Outcome]:
    """Audit inputs, in their order. Raises ``TemplateError`` for a bad configuration and ``RuleError``.

    With more than one job, as many processes do it; standard input is read by this one.
    """
    listed = list(entries)
    files = [entry for entry in listed if entry.path != "-"]
    if jobs < 2 or len(files) < 2:
        yield from (audit_input(entry, options) for entry in listed)
        return
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial

    catalogue()  # with fork, the processes begin with what is read here
    with ProcessPoolExecutor(min(jobs, len(files)), initializer=_deaf) as pool:
        audited = pool.map(partial(audit_input, options=options), files)
        try:
            for entry in listed:
                yield audit_input(entry, options) if entry.path == "-" else next(audited)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _deaf() -> None:
    """An interrupt is for the process that started this one."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def processors() -> int:
    """How many processes can work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def apart(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes without those of files that were only found and belong to an application of the same run."""
    held = list(outcomes)
    paths = [os.path.realpath(outcome.entry.path) for outcome in held]
    nested = frozenset(path for outcome in held for path in outcome.parts)
    kept = {index for index, outcome in enumerate(held) if outcome.entry.named or paths[index] not in nested}
    within = {path for index in kept for path in held[index].parts}
    for index, outcome in enumerate(held):  # what is left are circles: the first of each stands for it
        if index not in kept and paths[index] not in within:
            kept.add(index)
            within |= {*outcome.parts, paths[index]}
    return [held[index] for index in sorted(kept)]


def audit_input(entry: Input, options: Options) -> Outcome:
    """Audit one input; what is no template is skipped, or unusable where it was named."""
    name = entry.name
    skip = options.skip_others or not entry.named
    try:
        local = _copied(entry)
        source = _template(entry, local, sniffed=skip) if entry.members is None else _application(entry)
    except NotTemplateError as error:
        return Outcome(entry) if skip else _unusable(entry, name, error, options)
    except TemplateError as error:
        return _unusable(entry, name, error, options)
    config = config_of(entry.path, options.profile, options.rules_dirs)
    settings = replace(settings_for(entry.path, config, options, source.parts), local=local)
    try:
        audited = audits(source, settings, _selected(directories(config, options), options.select, options.ignore))
    except TemplateError as error:
        return _unusable(entry, name, error, options)
    return _judged(entry, source, audited, options)


def _judged(entry: Input, source: Source, audited: tuple[Audit, ...], options: Options) -> Outcome:
    """The outcome of what could be audited, in each scenario."""
    settings, path = audited[0].settings, audited[0].source.path
    known = _baseline(settings.config, options)
    gone = stale([held.results for held in audited], known, path, settings.catalogue or catalogue()) if known else ()
    if known:
        audited = tuple(held._replace(results=marked(held.results, known, path)) for held in audited)
    failing = len(gone) if options.strict_baseline else 0
    gates = [gate(held, options)._replace(baseline=known.path if known else None, stale=failing) for held in audited]
    cards = [
        score(held, load_categories(), bound, strict=options.strict) for held, bound in zip(audited, gates, strict=True)
    ]
    return Outcome(
        entry,
        tuple(template_object(card) for card in cards),
        code=max(BROKE if card.failed else PASSED if card.held else FAILED for card in cards),
        declared=frozenset(name for held in audited for name in held.template.document.parameters.entries),
        used=frozenset(waiver for held in audited for waiver in held.used),
        standing=frozenset(settings.waivers or ()),
        stale=gone,
        parts=frozenset(os.path.realpath(part.path) for part in source.parts),
        others=len(set(entry.members or ()) - {part.path for part in source.parts}),
    )


def _baseline(config: Config, options: Options) -> Baseline | None:
    """The baseline that applies: the options' before the configuration's. Raises ``TemplateError``."""
    path = options.baseline or config.baseline
    return _baseline_at(path) if options.baselines and path else None


@cache
def _baseline_at(path: str) -> Baseline:
    return load_baseline(read(path), path)


def _copied(entry: Input) -> LocalFiles | None:
    """The files beside the copy that is read in the place of an input."""
    if entry.copy is None:
        return None
    return LocalFiles(os.path.dirname(entry.copy), entry.name.removesuffix(os.path.basename(entry.copy)))


def _template(entry: Input, local: LocalFiles | None, *, sniffed: bool) -> Source:
    """A template with its local nested stacks; where it is sniffed first, few others are parsed."""
    return application(template(_text(entry.copy or entry.path, entry.name, sniffed=sniffed), entry.name, local))


def _text(path: str, name: str, *, sniffed: bool) -> str:
    text = read(path, name)
    if sniffed and not may_be_template(text):
        raise NotTemplateError(Span(name, 1, 1, 1, 1), "this is no CloudFormation template: it has no Resources")
    return text


def _application(entry: Input) -> Source:
    """The templates of a directory as one; its other files are left out."""
    found: list[Source] = []
    for path in entry.members or ():
        try:
            found.append(template(_text(path, path, sniffed=True), path))
        except NotTemplateError:
            continue
    if not found:
        message = "the directory holds no CloudFormation template"
        raise NotTemplateError(Span(entry.path, 1, 1, 1, 1), message, "name one with templates in it")
    return joined(entry.path, found)


def _unusable(entry: Input, name: str, error: TemplateError, options: Options) -> Outcome:
    return Outcome(entry, (unusable(name, error, options.as_of),), error, UNUSABLE)


def gate(audit: Audit, options: Options) -> Gate:
    """The gate: the options' word before the configuration's before the profile's."""
    config, profile = audit.settings.config, audit.profile
    fail_on = options.fail_on or config.fail_on or profile.fail_on or Severity.CRITICAL.value
    scores = (options.min_score, config.min_score, profile.min_score)
    min_score = next((value for value in scores if value is not None), None)
    return Gate(None if fail_on == "never" else Severity(fail_on), min_score)


def rules() -> tuple[Rule, ...]:
    """The built-in rules. Raises ``RuleError``."""
    return rulebook().rules


def catalogue(directories: tuple[str, ...] = ()) -> Catalogue:
    """The ids that a configuration or a waiver may name beside ``directories`` of rules. Raises ``RuleError``."""
    return rulebook(directories).catalogue


def rulebook_of(config: Config, options: Options) -> Rulebook:
    """The rules that a template is held against: the built-in ones, the options' and its configuration's."""
    return rulebook(directories(config, options))


def rulebooks(entries: Iterable[Input], options: Options) -> list[Rulebook]:
    """Every rulebook that applies to one of the inputs."""
    found = {directories(config_of(entry.path, options.profile, options.rules_dirs), options) for entry in entries}
    return [rulebook(named) for named in sorted(found or {options.rules_dirs})]


def directories(config: Config, options: Options) -> tuple[str, ...]:
    return (*options.rules_dirs, *config.rules_dirs)


@cache
def _selected(directories: tuple[str, ...], select: frozenset[str] | None, ignore: frozenset[str]) -> tuple[Rule, ...]:
    known = rulebook(directories).rules
    return tuple(rule for rule in known if (select is None or rule.id in select) and rule.id not in ignore)


def config_of(path: str, profile: str | None = None, rules_dirs: tuple[str, ...] = ()) -> Config:
    """The configuration that applies to a template, an empty one where there is none.

    It may name rules of ``rules_dirs`` beside those of the directories that it names itself.
    """
    return _config_in(Path.cwd() if path == "-" else Path(path).resolve().parent, profile or AUTO, rules_dirs)


def forget() -> None:
    """Read configurations, rules and what people bring anew from here on."""
    for held in (_config_in, _config_at, _selected, _baseline_at, project_root, rulebook, bring):
        held.cache_clear()


@cache
def _config_in(folder: Path, profile: str, rules_dirs: tuple[str, ...]) -> Config:
    found = find_config(folder)
    return _config_at(found, profile, rules_dirs) if found else Config()


@cache
def _config_at(path: Path, profile: str, rules_dirs: tuple[str, ...]) -> Config:
    shown = os.path.relpath(path)
    return load_config(Path(shown), read(shown), lambda named: catalogue((*rules_dirs, *named)), profile)


def settings_for(path: str, config: Config, options: Options, parts: Iterable[Source] = ()) -> Settings:
    """How one template, with the other templates it is made of, is audited: the options before the configuration."""
    book = rulebook_of(config, options)
    waivers = None
    if options.waivers:
        named = _beside(path, config)
        waivers = tuple(waiver for waiver in config.waivers if concerns(waiver, named))
        for part in {part.path: part for part in parts}.values():
            inside = [waiver for waiver in config.waivers if concerns(waiver, _beside(part.path, config))]
            waivers += tuple(waiver._replace(file=part.path) for waiver in inside if waiver not in waivers)
    return Settings(
        as_of=options.as_of,
        parameters={**environment_of(config, options.environment), **options.parameters},
        region=options.region,
        profile=options.profile or AUTO,
        config=config,
        every_scenario=options.every_scenario,
        waivers=waivers,
        catalogue=book.catalogue,
        checks=book.checks,
        brought=bring(options.tests or config.tests, options.junit or config.junit, options.docs or config.docs),
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
