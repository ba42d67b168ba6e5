"""Text and settings in, an Audit out: load, resolve, model, evaluate, in that order and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple

from cfaudit.checks import CHECKS
from cfaudit.config import Config
from cfaudit.evaluate import Case, evaluate
from cfaudit.facts import Facts
from cfaudit.finding import Result, Severity, Waiver
from cfaudit.integrity import diagnose
from cfaudit.inventory import Match, match
from cfaudit.load import load
from cfaudit.model.template import Template, build
from cfaudit.nodes import Diagnostic, Map, Scalar, Seq, Source, TemplateError, as_text
from cfaudit.profile import AUTO, DOMAIN_THRESHOLD, Profile, load_profile
from cfaudit.resolve import Scenario, every_scenario, resolve, scenarios
from cfaudit.rule import Rule, load_rules
from cfaudit.sources.include import included
from cfaudit.sources.local import beside
from cfaudit.validity import Validity
from cfaudit.waive import Catalogue, Waived, waive


@dataclass(frozen=True, slots=True)
class Settings:
    """How to audit: ``parameters`` by name, the day, the region, the profile's name or ``auto``, the configuration.

    ``every_scenario`` audits each combination of conditions that any parameter values reach as a stack of its own.
    ``waivers`` are those of the configuration that concern the template, None: no waiver works, wherever it stands.
    ``catalogue`` are the rules that a waiver may name, None: those that are evaluated. ``validity`` is what a validator
    says of the template, None: none was asked.
    """

    as_of: date
    parameters: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    profile: str = AUTO
    config: Config = field(default_factory=Config)
    every_scenario: bool = False
    waivers: tuple[Waiver, ...] | None = ()
    catalogue: Catalogue | None = None
    validity: Validity | None = None


class Audit(NamedTuple):
    """One template, evaluated: everything that scoring and reporting need.

    ``cases`` holds one entry per scenario, ``used`` the configuration's waivers that covered something; ``refused`` is
    the first reason for which CloudFormation takes no such template, empty where none is seen.
    """

    source: Source
    profile: Profile
    profile_reason: str
    settings: Settings
    cases: tuple[Case, ...]
    results: tuple[Result, ...]
    diagnostics: tuple[Diagnostic, ...]
    used: frozenset[Waiver] = frozenset()
    refused: str = ""

    @property
    def template(self) -> Template:
        """The template under the first scenario."""
        return self.cases[0][0]

    @property
    def matches(self) -> Mapping[str, Match | None]:
        """What fills each component under the first scenario."""
        return self.cases[0][1].matches


def audit(text: str, path: str, settings: Settings, rules: Iterable[Rule] | None = None) -> Audit:
    """Audit one template. Raises ``TemplateError`` for input that cannot be audited, ``RuleError`` for a bad rule."""
    source = included(load(text, path), beside(path))
    scenario = Scenario(parameters=_parameters(source, settings), region=settings.region)
    branches, notes = scenarios(source, scenario)
    return _audit(source, branches, settings, rules, notes)


def audits(text: str, path: str, settings: Settings, rules: Iterable[Rule] | None = None) -> tuple[Audit, ...]:
    """One audit, or one per scenario where ``settings`` ask for every one. Raises as ``audit`` does."""
    if not settings.every_scenario:
        return (audit(text, path, settings, rules),)
    source = included(load(text, path), beside(path))
    scenario = Scenario(parameters=_parameters(source, settings), region=settings.region)
    branches, notes = every_scenario(source, scenario)
    return tuple(_audit(source, (branch,), settings, rules, notes) for branch in branches)


def _audit(
    source: Source,
    branches: tuple[Scenario, ...],
    settings: Settings,
    rules: Iterable[Rule] | None,
    notes: tuple[Diagnostic, ...],
) -> Audit:
    local = beside(source.path)
    templates = [build(resolve(source, branch), local) for branch in branches]
    profile, reason, matched = _profile(templates, settings)
    cases = tuple(
        (template, _facts(profile, matches, settings)) for template, matches in zip(templates, matched, strict=True)
    )
    known = tuple(rules or load_rules(CHECKS))
    grades = {**profile.grades, **settings.config.grades}
    results = _regraded(evaluate(cases, _asked(known, profile, settings, grades), CHECKS), grades)
    waived = _waived(results, templates[0].source, templates, settings, known)
    read = templates[0].source
    integrity = diagnose(read)
    said = (*read.diagnostics, *notes, *integrity, *_left_out(settings.config), *waived.diagnostics)
    refused = next((diagnostic.message for diagnostic in integrity if diagnostic.level == "warning"), "")
    return Audit(source, profile, reason, settings, cases, waived.results, said, waived.used, refused)


def _asked(
    known: Sequence[Rule], profile: Profile, settings: Settings, grades: Mapping[str, Severity]
) -> Iterator[Rule]:
    """The rules that apply, with the severities and sentences of the profile and the configuration."""
    for rule in known:
        if rule.id not in profile.without and rule.id not in settings.config.off:
            severity = grades.get(rule.id, rule.severity)
            requirement = profile.requirements.get(rule.id, rule.requirement)
            changed = (severity, requirement) != (rule.severity, rule.requirement)
            yield rule._replace(severity=severity, requirement=requirement) if changed else rule


def _regraded(results: tuple[Result, ...], grades: Mapping[str, Severity]) -> tuple[Result, ...]:
    """A severity that somebody gave a rule is that of all its findings."""
    if not grades:
        return results
    return tuple(
        result._replace(findings=tuple(replace(finding, severity=None) for finding in result.findings))
        if result.rule.id in grades
        else result
        for result in results
    )


def _waived(
    results: tuple[Result, ...], source: Source, templates: list[Template], settings: Settings, known: Sequence[Rule]
) -> Waived:
    if settings.waivers is None:
        return Waived(results, (), frozenset())
    catalogue = settings.catalogue or Catalogue.of((rule.id, rule.aliases) for rule in known)
    return waive(results, source, templates, settings.waivers, catalogue, settings.as_of)


def _left_out(config: Config) -> Iterator[Diagnostic]:
    """A word about rules that the configuration turned off: nothing is hidden."""
    if config.off:
        named = ", ".join(sorted(config.off))
        yield Diagnostic("info", f"off by configuration, not judged: {named}", config.keys["rules"])


def _facts(profile: Profile, matches: Mapping[str, Match | None], settings: Settings) -> Facts:
    config = settings.config
    return Facts(
        as_of=settings.as_of,
        region=settings.region,
        profile=profile.name,
        components=profile.components,
        matches=matches,
        external=config.external,
        screening=config.screening,
        validity=settings.validity,
    )


def _profile(templates: list[Template], settings: Settings) -> tuple[Profile, str, list[Mapping[str, Match | None]]]:
    """The profile that applies, why, and its components' matches per scenario."""
    chosen = settings.config.profile or AUTO if settings.profile == AUTO else settings.profile
    by = "chosen with --profile" if settings.profile != AUTO else f"chosen in {settings.config.path}"
    overlay = load_profile(chosen) if chosen != AUTO else None
    if overlay is not None and overlay.extends != AUTO:
        return overlay, by, _matched(templates, overlay, settings)
    base, reason, matched = _recognised(templates, settings)
    if overlay is None:
        return base, reason, matched
    profile = overlay.upon(base)
    if profile.components != base.components:
        matched = _matched(templates, profile, settings)
    return profile, f"{by}; with what {base.name} asks for: {reason}", matched


def _recognised(templates: list[Template], settings: Settings) -> tuple[Profile, str, list[Mapping[str, Match | None]]]:
    """The built-in profile that the stack itself speaks for, and how."""
    profile = load_profile("crowdfunding")
    matched = _matched(templates, profile, settings)
    core = [found for found in matched[0].values() if found and found.domain and found.component.rule is None]
    count = f"{len(core)} core components of a crowdfunding platform are recognised by a domain hint"
    if len(core) >= DOMAIN_THRESHOLD:
        return profile, count, matched
    profile = load_profile("serverless")
    few = f"only {count}; {DOMAIN_THRESHOLD} would make it one"
    reason = few if core else "nothing speaks of a crowdfunding platform, the one kind of stack with an inventory"
    return profile, reason, _matched(templates, profile, settings)


def _matched(templates: list[Template], profile: Profile, settings: Settings) -> list[Mapping[str, Match | None]]:
    return [match(template, profile.components, settings.config.bind) for template in templates]


def _parameters(source: Source, settings: Settings) -> dict[str, str]:
    """The given parameters that the template declares. Raises ``TemplateError`` for a value it does not allow."""
    declared = source.root.entries.get("Parameters")
    found = {}
    for name, definition in declared.entries.items() if isinstance(declared, Map) else ():
        if name in settings.parameters:
            found[name] = value = settings.parameters[name]
            allowed = definition.entries.get("AllowedValues") if isinstance(definition, Map) else None
            items = allowed.items if isinstance(allowed, Seq) else ()
            texts = [as_text(item) for item in items if isinstance(item, Scalar)]
            if texts and value not in texts:
                message = f"the parameter {name} does not allow {value!r}"
                raise TemplateError(definition.span, message, f"one of {', '.join(texts)}")
    return found
