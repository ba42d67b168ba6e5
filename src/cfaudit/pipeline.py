"""Text and settings in, an Audit out: load, resolve, model, evaluate, in that order and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from cfaudit.checks import CHECKS
from cfaudit.evaluate import Case, evaluate
from cfaudit.facts import Facts
from cfaudit.finding import Result
from cfaudit.integrity import diagnose
from cfaudit.inventory import Match, match
from cfaudit.load import load
from cfaudit.model.template import Template, build
from cfaudit.nodes import Diagnostic, Map, Scalar, Seq, Source, TemplateError, as_text
from cfaudit.profile import DOMAIN_THRESHOLD, Config, Profile, load_profile
from cfaudit.resolve import Scenario, every_scenario, resolve, scenarios
from cfaudit.rule import Rule, load_rules
from cfaudit.sources.include import included
from cfaudit.sources.local import beside


@dataclass(frozen=True, slots=True)
class Settings:
    """How to audit: ``parameters`` by name, the day, the region, the profile's name or ``auto``, the configuration.

    ``every_scenario`` audits each combination of conditions that any parameter values reach as a stack of its own.
    """

    as_of: date
    parameters: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    profile: str = "auto"
    config: Config = field(default_factory=Config)
    every_scenario: bool = False


class Audit(NamedTuple):
    """One template, evaluated: everything that scoring and reporting need. ``cases`` holds one entry per scenario."""

    source: Source
    profile: Profile
    profile_reason: str
    settings: Settings
    cases: tuple[Case, ...]
    results: tuple[Result, ...]
    diagnostics: tuple[Diagnostic, ...]

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
    held = [rule for rule in (rules or load_rules(CHECKS)) if rule.id not in profile.without]
    results = evaluate(cases, held, CHECKS)
    read = templates[0].source
    return Audit(source, profile, reason, settings, cases, results, read.diagnostics + notes + diagnose(read))


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
    )


def _profile(templates: list[Template], settings: Settings) -> tuple[Profile, str, list[Mapping[str, Match | None]]]:
    """The profile that applies, why, and its components' matches per scenario."""
    chosen = settings.config.profile if settings.profile == "auto" and settings.config.profile else settings.profile
    if chosen != "auto":
        profile = load_profile(chosen)
        reason = "chosen with --profile" if settings.profile != "auto" else f"chosen in {settings.config.path}"
        return profile, reason, _matched(templates, profile, settings)
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
