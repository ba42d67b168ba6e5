"""Text and settings in, an Audit out: load, resolve, model, evaluate, in that order and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import NamedTuple

from cfaudit.application import application
from cfaudit.checks import CHECKS
from cfaudit.config import Config
from cfaudit.evaluate import Case, Check, evaluate
from cfaudit.facts import Facts
from cfaudit.finding import Finding, Result, Severity, Waiver
from cfaudit.integrity import diagnose
from cfaudit.inventory import Match, match, may_be_bound
from cfaudit.load import load
from cfaudit.model.template import Template, build
from cfaudit.nodes import Diagnostic, Map, Scalar, Seq, Source, TemplateError, as_text
from cfaudit.profile import AUTO, DOMAIN_THRESHOLD, Profile, load_profile
from cfaudit.resolve import Scenario, every_scenario, resolve, scenarios
from cfaudit.rule import Rule, load_rules
from cfaudit.sources.brought import NOTHING, Brought
from cfaudit.sources.include import included
from cfaudit.sources.local import LocalFiles, beside
from cfaudit.validity import ENGINES, Problem, Validity, validate
from cfaudit.waive import Catalogue, Waived, waive


@dataclass(frozen=True, slots=True)
class Settings:
    """How to audit: ``parameters`` by name, the day, the region, the profile's name or ``auto``, the configuration.

    ``every_scenario`` audits each combination of conditions that any parameter values reach as a stack of its own.
    ``waivers`` are those of the configuration that concern the template, None: no waiver works, wherever it stands.
    ``catalogue`` are the rules that a waiver may name, None: those that are evaluated. ``lint`` is the engine that says
    whether the template is valid, None: none is asked. ``checks`` are the functions that the rules name, ``brought``
    tests, their results, and documents. ``local`` are the files beside the template where they are not those beside its
    path.
    """

    as_of: date
    parameters: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    profile: str = AUTO
    config: Config = field(default_factory=Config)
    every_scenario: bool = False
    waivers: tuple[Waiver, ...] | None = ()
    catalogue: Catalogue | None = None
    checks: Mapping[str, Check] = field(default_factory=lambda: CHECKS)
    brought: Brought = NOTHING
    lint: str | None = None
    local: LocalFiles | None = None


class Audit(NamedTuple):
    """One template, evaluated: everything that scoring and reporting need.

    ``cases`` holds one entry per scenario, ``used`` the configuration's waivers that are done with. ``validity`` is
    what a validator says of the template, None where none was asked; ``refused`` is the first reason for which
    CloudFormation takes no such template, empty where none is seen.
    """

    source: Source
    profile: Profile
    profile_reason: str
    settings: Settings
    cases: tuple[Case, ...]
    results: tuple[Result, ...]
    diagnostics: tuple[Diagnostic, ...]
    used: frozenset[Waiver] = frozenset()
    validity: Validity | None = None
    refused: str = ""

    @property
    def template(self) -> Template:
        """The template under the first scenario."""
        return self.cases[0][0]

    @property
    def matches(self) -> Mapping[str, Match | None]:
        """What fills each component under the first scenario."""
        return self.cases[0][1].matches


def template(text: str, path: str, local: LocalFiles | None = None) -> Source:
    """One template with its local snippets, ``local`` being the files beside it. Raises ``TemplateError``."""
    return included(load(text, path), local or beside(path))


def audit(text: str, path: str, settings: Settings, rules: Iterable[Rule] | None = None) -> Audit:
    """Audit one template with its local nested stacks.

    Raises ``TemplateError`` for input that cannot be audited, ``RuleError`` for a bad rule.
    """
    return audits(application(template(text, path, settings.local)), replace(settings, every_scenario=False), rules)[0]


def audits(source: Source, settings: Settings, rules: Iterable[Rule] | None = None) -> tuple[Audit, ...]:
    """One audit, or one per scenario where ``settings`` ask for every one. Raises as ``audit`` does."""
    scenario = Scenario(parameters=_parameters(source, settings), region=settings.region)
    validity = _validity(source, scenario, settings)
    if not settings.every_scenario:
        branches, notes = scenarios(source, scenario)
        return (_audit(source, branches, settings, rules, notes, validity),)
    branches, notes = every_scenario(source, scenario)
    return tuple(_audit(source, (branch,), settings, rules, notes, validity) for branch in branches)


def _validity(source: Source, scenario: Scenario, settings: Settings) -> Validity | None:
    """What the engine that was asked for says of each template that the source is made of."""
    if settings.lint is None:
        return None
    problems: list[Problem] = []
    name, failure = settings.lint, None
    for part in (source, *source.parts) if source.lines else source.parts:
        text = "".join(f"{line}\n" for line in part.lines)
        found = validate(settings.lint, text, part.path, settings.region, scenario.parameters)
        name, failure = found.engine, failure or found.failure
        for problem in found.problems:
            own = f"{part.name}.{problem.logical_id}" if part.name and problem.logical_id else problem.logical_id
            problems.append(problem._replace(logical_id=own))
    return Validity(name, tuple(dict.fromkeys(problems)), failure)


def _audit(
    source: Source,
    branches: tuple[Scenario, ...],
    settings: Settings,
    rules: Iterable[Rule] | None,
    notes: tuple[Diagnostic, ...],
    validity: Validity | None,
) -> Audit:
    local = settings.local or beside(source.path)
    templates = [build(resolve(source, branch), local) for branch in branches]
    known = tuple(rules or load_rules(CHECKS))
    profile, reason, matched = _profile(templates, settings, _catalogue(settings, known))
    cases = tuple(
        (template, _facts(profile, matches, settings, validity))
        for template, matches in zip(templates, matched, strict=True)
    )
    grades = {**profile.grades, **settings.config.grades}
    results = _regraded(evaluate(cases, _asked(known, profile, settings, grades), settings.checks), grades)
    waived = _waived(results, templates[0].source, templates, settings, known)
    read = templates[0].source
    integrity = diagnose(read)
    said = (*read.diagnostics, *notes, *integrity, *_broken(templates[0], validity), *_left_out(settings.config))
    said += (*_misbound(templates, profile, settings.config), *waived.diagnostics)
    refused = next((diagnostic.message for diagnostic in integrity if diagnostic.level == "warning"), "")
    return Audit(source, profile, reason, settings, cases, waived.results, said, waived.used, validity, refused)


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
    """A severity that somebody gave a rule is that of all its findings; what is mere information stays that."""
    if not grades:
        return results
    return tuple(
        result._replace(findings=tuple(map(_plain, result.findings))) if result.rule.id in grades else result
        for result in results
    )


def _plain(finding: Finding) -> Finding:
    return finding if finding.severity is Severity.INFO else replace(finding, severity=None)


def _waived(
    results: tuple[Result, ...], source: Source, templates: list[Template], settings: Settings, known: Sequence[Rule]
) -> Waived:
    if settings.waivers is None:
        return Waived(results, (), frozenset())
    return waive(results, source, templates, settings.waivers, _catalogue(settings, known), settings.as_of)


def _catalogue(settings: Settings, known: Iterable[Rule]) -> Catalogue:
    return settings.catalogue or Catalogue.of((rule.id, rule.aliases) for rule in known)


def _left_out(config: Config) -> Iterator[Diagnostic]:
    """A word about rules that the configuration turned off: nothing is hidden."""
    if config.off:
        named = ", ".join(sorted(config.off))
        yield Diagnostic("info", f"off by configuration, not judged: {named}", config.keys["rules"])


def _misbound(templates: Sequence[Template], profile: Profile, config: Config) -> Iterator[Diagnostic]:
    """A word about resources that the configuration calls a component and that have another type."""
    for component in profile.components:
        logical_id = config.bind.get(component.id, "")
        found = next((held.resources[logical_id] for held in templates if logical_id in held.resources), None)
        if found is not None and not may_be_bound(templates[0], component, found.logical_id):
            types = " or ".join(component.types)
            message = f"bind: {found.logical_id} is no {component.id}, it is a {found.type}"
            yield Diagnostic("warning", message, config.keys["bind"], f"bind it to a resource of type {types}")


def _broken(template: Template, validity: Validity | None) -> Iterator[Diagnostic]:
    """A word about an engine that could not say whether the template is valid."""
    if validity is not None and validity.failure is not None:
        other = next(engine for engine in ENGINES if not validity.failure.startswith(engine))
        hint = f"nothing is wrong with the template for that; '--lint {other}' asks the other engine"
        yield Diagnostic("warning", f"validity is not known: {validity.failure}", template.span, hint)


def _facts(
    profile: Profile, matches: Mapping[str, Match | None], settings: Settings, validity: Validity | None
) -> Facts:
    config = settings.config
    return Facts(
        as_of=settings.as_of,
        region=settings.region,
        profile=profile.name,
        components=profile.components,
        matches=matches,
        external=config.external,
        screening=config.screening,
        documents=settings.brought.documents,
        validity=validity,
    )


def _profile(
    templates: list[Template], settings: Settings, catalogue: Catalogue
) -> tuple[Profile, str, list[Mapping[str, Match | None]]]:
    """The profile that applies, why, and its components' matches per scenario."""
    chosen = settings.config.profile or AUTO if settings.profile == AUTO else settings.profile
    by = "chosen with --profile" if settings.profile != AUTO else f"chosen in {settings.config.path}"
    overlay = load_profile(chosen, catalogue.ids) if chosen != AUTO else None
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
