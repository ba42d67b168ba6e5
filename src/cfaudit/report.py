"""Scorecards in, the report object out (version 1): the one source every output format is derived from.

Its JSON Schema is ``schemas/report.json``. Columns are 1-based code points, ends exclusive; scores are 0-100 with one
decimal, costs are points of the overall score with two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, TypedDict

from cfaudit import __version__, data
from cfaudit.baseline import fingerprint, from_project_root
from cfaudit.coverage import Coverage
from cfaudit.finding import Evidence, Finding, Outcome, Result, Severity, Verdict
from cfaudit.graph import graph
from cfaudit.nodes import Diagnostic, Scalar, TemplateError
from cfaudit.pipeline import Audit
from cfaudit.rule import OPTIONS, Remedy
from cfaudit.score import CategoryScore, ComponentState, Gate, RuleScore, Scorecard, round_half_up, severity_of
from cfaudit.steps import load_steps, needed

if TYPE_CHECKING:
    from cfaudit.sources.suites import Place


class EvidenceObject(TypedDict):
    """A place that proves a finding."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    note: str
    role: str


class RemedyObject(TypedDict):
    """One way to close a gap."""

    title: str
    snippet: str | None


class LinkObject(TypedDict):
    """A page a rule rests on."""

    title: str
    url: str


class WaiverObject(TypedDict):
    """Why and until when a finding is waived."""

    reason: str
    until: str | None


class FindingObject(TypedDict):
    """One answer of one rule about one subject."""

    rule: str
    severity: str
    category: str
    verdict: str
    subject: str
    logical_id: str | None
    construct_path: str | None
    property_path: str | None
    message: str
    requirement: str
    why: str
    remedies: list[RemedyObject]
    tradeoff: str | None
    references: list[LinkObject]
    assumed: list[str]
    when: str | None
    waiver: WaiverObject | None
    known: bool
    cost: float
    evidence: list[EvidenceObject]
    salient: str
    fingerprint: str


class RuleObject(TypedDict):
    """What one rule of the profile came to."""

    id: str
    title: str
    holds: str
    category: str
    severity: str
    verdict: str
    weight: float
    earned: float
    possible: float
    cost: float


class ComponentObject(TypedDict):
    """One line of the inventory."""

    id: str
    title: str
    severity: str
    present: bool | None
    logical_ids: list[str]
    matched_by: str


class ComponentsObject(TypedDict):
    """The inventory."""

    present: int
    required: int
    missing: list[str]
    items: list[ComponentObject]


class StepObject(TypedDict):
    """One step of an option."""

    rule: str
    action: str
    subject: str
    text: str


class OptionObject(TypedDict):
    """One of the three plans."""

    id: str
    steps: list[StepObject]
    score: float | None


class CategoryObject(TypedDict):
    """A row of the scorecard."""

    id: str
    title: str
    status: str
    score: float | None
    weight: float
    earned: float
    possible: float
    detail: str


class GateObject(TypedDict):
    """The gate and whether it held; ``stale`` entries of the baseline fail it."""

    fail_on: str
    min_score: float | None
    baseline: str | None
    stale: int
    held: bool


class SentenceObject(TypedDict):
    """A sentence and the rule it comes from, None for one that no rule decides."""

    rule: str | None
    text: str


class ManualStepObject(TypedDict):
    """Something CloudFormation cannot do."""

    id: str
    text: str
    verify: str


class ReadinessObject(TypedDict):
    """Will it deploy, may it go to production, what will not work, what remains by hand."""

    deploys: str
    production_ready: bool
    works: list[SentenceObject]
    reasons: list[SentenceObject]
    manual_steps: list[ManualStepObject]


class ScorecardObject(TypedDict):
    """The scorecard."""

    categories: list[CategoryObject]
    overall: float | None
    grade: str | None
    gate: GateObject
    readiness: ReadinessObject


class DiagnosticObject(TypedDict):
    """Something about the input that is no finding."""

    level: str
    message: str
    file: str
    line: int
    column: int


class NodeObject(TypedDict):
    """A box of the integration graph."""

    id: str
    title: str
    kind: str
    type: str | None
    group: str
    gaps: list[str]
    severity: str | None


class EdgeObject(TypedDict):
    """What one box does to another."""

    source: str
    target: str
    kinds: list[str]
    state: str
    file: str
    line: int


class GraphObject(TypedDict):
    """The integration graph."""

    nodes: list[NodeObject]
    edges: list[EdgeObject]


class PlaceObject(TypedDict):
    """A line of a test source."""

    file: str
    line: int


class TestedObject(TypedDict):
    """A resource and where tests name it."""

    logical_id: str
    type: str
    named: bool
    places: list[PlaceObject]


class TestedTypeObject(TypedDict):
    """A type of resource, how many of them tests name, and where they name the type."""

    type: str
    resources: int
    named: int
    places: list[PlaceObject]


class TestsObject(TypedDict):
    """What tests name of the template and how they ended."""

    files: int
    resources: list[TestedObject]
    types: list[TestedTypeObject]
    run: int | None
    passed: int | None
    failed: int | None
    errors: int | None
    skipped: int | None


class TemplateObject(TypedDict):
    """One template under one set of parameters."""

    path: str
    profile: str | None
    profile_reason: str
    scenario: str
    as_of: str
    verdict: str
    diagnostics: list[DiagnosticObject]
    findings: list[FindingObject]
    positives: list[FindingObject]
    rules: list[RuleObject]
    components: ComponentsObject
    options: list[OptionObject]
    scorecard: ScorecardObject | None
    graph: GraphObject
    tests: TestsObject | None


class ToolObject(TypedDict):
    """Which cfaudit, on which data."""

    name: str
    version: str
    data: dict[str, str]


class Report(TypedDict):
    """The report."""

    schema: int
    tool: ToolObject
    templates: list[TemplateObject]
    diagnostics: list[DiagnosticObject]


def report(templates: Iterable[TemplateObject], diagnostics: Iterable[Diagnostic] = ()) -> Report:
    """The report over the templates of one run, in the order given, and what is to say of the run itself."""
    tool = ToolObject(name="cfaudit", version=__version__, data={"cfn_lint": data.versions().cfn_lint})
    said = [_diagnostic(diagnostic) for diagnostic in diagnostics]
    return Report(schema=1, tool=tool, templates=list(templates), diagnostics=said)


def template_object(card: Scorecard) -> TemplateObject:
    """One audited template."""
    audit = card.audit
    findings = sorted(_findings(card), key=_order)
    return TemplateObject(
        path=audit.source.path,
        profile=audit.profile.name,
        profile_reason=audit.profile_reason,
        scenario=_scenario(audit),
        as_of=audit.settings.as_of.isoformat(),
        verdict="error" if card.failed else "pass" if card.held else "fail",
        diagnostics=[_diagnostic(diagnostic) for diagnostic in audit.diagnostics],
        findings=[finding for finding in findings if finding["verdict"] != "pass"],
        positives=[finding for finding in findings if finding["verdict"] == "pass"],
        rules=[_rule(rule) for rule in card.rules],
        components=_components(card.components),
        options=[_option(option, card) for option in OPTIONS],
        scorecard=ScorecardObject(
            categories=[_category(row) for row in card.categories],
            overall=card.overall,
            grade=card.grade,
            gate=_gate(card.gate, held=card.held),
            readiness=_readiness(card),
        ),
        graph=graph_object(audit),
        tests=_tests(card.coverage) if card.coverage else None,
    )


def _scenario(audit: Audit) -> str:
    """``IsProd is true`` for one scenario of several that are audited on their own, else ``default``."""
    name = audit.template.document.scenario.name
    return name if audit.settings.every_scenario and name else "default"


def unusable(path: str, error: TemplateError, as_of: date) -> TemplateObject:
    """A template that could not be audited, with its diagnostic."""
    return TemplateObject(
        path=path,
        profile=None,
        profile_reason="",
        scenario="default",
        as_of=as_of.isoformat(),
        verdict="error",
        diagnostics=[_diagnostic(Diagnostic("error", str(error), error.span, error.hint))],
        findings=[],
        positives=[],
        rules=[],
        components=_components(()),
        options=[],
        scorecard=None,
        graph=GraphObject(nodes=[], edges=[]),
        tests=None,
    )


def _order(finding: FindingObject) -> tuple[int, str, int, str, int, str]:
    place = finding["evidence"][0]
    severity = [member.value for member in Severity].index(finding["severity"])
    return severity, place["file"], place["line"], finding["rule"], place["column"], finding["subject"]


def _findings(card: Scorecard) -> Iterator[FindingObject]:
    named = from_project_root(card.audit.source.path)
    for row in card.rules:
        if row.result.error is not None:
            yield _crash(row, card.audit, named)
        failing = row.result.failing
        for finding in row.result.findings:
            cost = row.cost / len(failing) if finding in failing else 0.0
            yield _finding(row.result, finding, card.audit, cost, named)


def _finding(result: Result, finding: Finding, audit: Audit, cost: float, named: str) -> FindingObject:
    rule = result.rule
    severity = severity_of(result, finding)
    verdict = "info" if finding.outcome is Outcome.FAIL and severity is Severity.INFO else finding.outcome.value
    return FindingObject(
        rule=rule.id,
        severity=severity.value,
        category=rule.category,
        verdict=verdict,
        subject=finding.subject,
        logical_id=finding.logical_id,
        construct_path=_construct_path(finding, audit),
        property_path=finding.property_path,
        message=finding.message,
        requirement=rule.requirement,
        why=rule.why,
        remedies=[RemedyObject(title=remedy.title, snippet=remedy.snippet) for remedy in rule.remedies],
        tradeoff=rule.tradeoff,
        references=[LinkObject(title=link.title, url=link.url) for link in rule.references],
        assumed=list(finding.assumed),
        when=finding.when,
        waiver=_waiver(finding),
        known=finding.known,
        cost=round_half_up(cost, "0.01"),
        evidence=_evidence(finding, audit),
        salient=finding.salient,
        fingerprint=fingerprint(rule.id, finding, named),
    )


def _construct_path(finding: Finding, audit: Audit) -> str | None:
    """Where the CDK's construct tree has the resource, ``Stack/Bucket/Resource``.

    https://docs.aws.amazon.com/cdk/v2/guide/identifiers.html
    """
    for template, _ in audit.cases if finding.logical_id else ():
        resource = template.resources.get(finding.logical_id or "")
        path = resource.attribute("Metadata.aws:cdk:path") if resource else None
        if isinstance(path, Scalar):
            return path.text
    return None


def _waiver(finding: Finding) -> WaiverObject | None:
    waiver = finding.waiver
    return (
        WaiverObject(reason=waiver.reason, until=waiver.until.isoformat() if waiver.until else None) if waiver else None
    )


def _crash(row: RuleScore, audit: Audit, named: str) -> FindingObject:
    message = f"cfaudit broke while judging {row.result.rule.id}: {row.result.error}"
    broken = Finding(Outcome.UNKNOWN, row.result.rule.id, message, (Evidence(audit.template.span, "not judged"),))
    return {**_finding(row.result, broken, audit, 0.0, named), "verdict": "error"}


def _evidence(finding: Finding, audit: Audit) -> list[EvidenceObject]:
    """Each place once: what several items say of the same text on the same line stands in one note."""
    found: dict[tuple[str, int, str], EvidenceObject] = {}
    for item in finding.evidence:
        span = item.span
        text = audit.template.excerpt(span) if item.text is None else item.text
        same = found.get((span.file, span.line, text))
        if same is None:
            found[span.file, span.line, text] = EvidenceObject(
                file=span.file,
                line=span.line,
                column=span.column,
                end_line=span.end_line,
                end_column=span.end_column,
                text=text,
                note=item.note,
                role="related" if found else "primary",
            )
        elif item.note not in same["note"].split("; "):
            same["note"] += f"; {item.note}"
    return list(found.values())


def _rule(row: RuleScore) -> RuleObject:
    rule = row.result.rule
    return RuleObject(
        id=rule.id,
        title=rule.title,
        holds=rule.holds,
        category=rule.category,
        severity=rule.severity.value,
        verdict=row.result.verdict.value,
        weight=row.weight,
        earned=row.earned,
        possible=row.possible,
        cost=row.cost,
    )


def _components(states: tuple[ComponentState, ...]) -> ComponentsObject:
    present = sum(state.present is True for state in states)
    missing = [state.id for state in states if state.present is False]
    return ComponentsObject(
        present=present,
        required=present + len(missing),
        missing=missing,
        items=[
            ComponentObject(
                id=state.id,
                title=state.title,
                severity=state.severity.value,
                present=state.present,
                logical_ids=list(state.logical_ids),
                matched_by=state.matched_by,
            )
            for state in states
        ],
    )


def _category(row: CategoryScore) -> CategoryObject:
    return CategoryObject(
        id=row.category.id,
        title=row.category.title,
        status=row.status,
        score=row.score,
        weight=row.category.weight,
        earned=row.earned,
        possible=row.possible,
        detail=row.detail,
    )


def _gate(gate: Gate, *, held: bool) -> GateObject:
    return GateObject(
        fail_on=gate.fail_on.value if gate.fail_on else "never",
        min_score=gate.min_score,
        baseline=gate.baseline,
        stale=gate.stale,
        held=held,
    )


def _diagnostic(diagnostic: Diagnostic) -> DiagnosticObject:
    span = diagnostic.span
    message = f"{diagnostic.message} ({diagnostic.hint})" if diagnostic.hint else diagnostic.message
    return DiagnosticObject(level=diagnostic.level, message=message, file=span.file, line=span.line, column=span.column)


def _tests(tested: Coverage) -> TestsObject:
    run = tested.run
    return TestsObject(
        files=tested.files,
        resources=[
            TestedObject(
                logical_id=each.logical_id, type=each.type, named=bool(each.places), places=_places(each.places)
            )
            for each in tested.resources
        ],
        types=[
            TestedTypeObject(type=each.type, resources=each.resources, named=each.named, places=_places(each.places))
            for each in tested.types
        ],
        run=run.run if run else None,
        passed=run.passed if run else None,
        failed=run.failed if run else None,
        errors=run.errors if run else None,
        skipped=run.skipped if run else None,
    )


def _places(places: Iterable[Place]) -> list[PlaceObject]:
    return [PlaceObject(file=place.file, line=place.line) for place in places]


def graph_object(audit: Audit) -> GraphObject:
    """The integration graph of one audit."""
    drawn = graph(audit)
    return GraphObject(
        nodes=[
            NodeObject(
                id=node.id,
                title=node.title,
                kind=node.kind,
                type=node.type,
                group=node.group,
                gaps=list(node.gaps),
                severity=node.worst.value if node.worst else None,
            )
            for node in drawn.nodes
        ],
        edges=[
            EdgeObject(
                source=edge.source,
                target=edge.target,
                kinds=list(edge.kinds),
                state=edge.state,
                file=edge.span.file,
                line=edge.span.line,
            )
            for edge in drawn.edges
        ],
    )


# Options and readiness -----------------------------------------------------------------------------------------------


def _option(option: str, card: Scorecard) -> OptionObject:
    failing = [row.result for row in card.rules if row.result.verdict is Verdict.FAIL]
    failing.sort(key=lambda result: (result.rule.severity.rank, result.rule.id))
    steps = [step for result in failing if (step := _step(option, result)) is not None]
    return OptionObject(id=option, steps=steps, score=None)


def _step(option: str, result: Result) -> StepObject | None:
    """What an option does about one failing rule: its own remedy, or the full one where leaving it is no option."""
    rule = result.rule
    if rule.severity is Severity.INFO:
        return None
    by_option = {remedy.option: remedy for remedy in reversed(rule.remedies)}
    remedy: Remedy | None = by_option.get(option)
    worst = min(severity_of(result, finding).rank for finding in result.failing)
    if remedy is None and (option == "full" or worst <= Severity.HIGH.rank):
        remedy = by_option.get("full", rule.remedies[0])
    if remedy is None:
        return None
    subjects = list(dict.fromkeys(finding.subject for finding in result.failing))
    return StepObject(rule=rule.id, action=remedy.action, subject=", ".join(subjects), text=remedy.title)


def _readiness(card: Scorecard) -> ReadinessObject:
    failing = [row.result for row in card.rules if row.result.verdict is Verdict.FAIL]
    blocked = [result for result in failing if result.rule.blocks_create]
    grave = [result for result in failing if _gravest(result).rank <= Severity.HIGH.rank]
    grave.sort(key=lambda result: (_gravest(result).rank, result.rule.id))
    reasons = [SentenceObject(rule=result.rule.id, text=_first_message(result)) for result in grave]
    refused = card.audit.refused
    deploys, doubt = ("no", refused) if refused else ("no", "") if blocked else _deploys(card)
    reasons += [SentenceObject(rule=None, text=doubt)] if doubt else []
    return ReadinessObject(
        deploys=deploys,
        production_ready=not grave and not card.failed,
        works=[
            SentenceObject(rule=result.rule.id, text=f"{result.rule.works}: {_first_message(result)}")
            for result in failing
            if result.rule.works
        ],
        reasons=reasons,
        manual_steps=_manual_steps(card, {result.rule.id for result in failing}),
    )


def _deploys(card: Scorecard) -> tuple[str, str]:
    """Whether a template without a gap that stops its creation deploys, and what decides it where that is unknown."""
    if card.audit.validity is None:
        return "unknown", "validity was not checked; --lint checks it"
    unknown = [row.result.rule for row in card.rules if row.result.verdict is Verdict.UNKNOWN]
    open_ = [rule.id for rule in unknown if rule.blocks_create]
    if open_:
        return "unknown", f"only deploy time decides {', '.join(open_)}"
    first = {step.id: None for step, _ in needed(card.audit.template, load_steps()) if step.before_create}
    if first:
        return "unknown", f"the template is valid; creating it needs these steps first: {', '.join(first)}"
    return "yes", ""


def _gravest(result: Result) -> Severity:
    return min((severity_of(result, finding) for finding in result.failing), key=lambda s: s.rank)


def _first_message(result: Result) -> str:
    found = sorted(result.failing, key=lambda finding: severity_of(result, finding).rank)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return found[0].message + more


def _manual_steps(card: Scorecard, failing: set[str]) -> list[ManualStepObject]:
    steps = load_steps()
    wanted = {step.id for step, _ in needed(card.audit.template, steps)}
    wanted |= {step.id for step in steps if failing.intersection(step.rules)}
    return [ManualStepObject(id=s.id, text=s.text, verify=s.verify) for s in steps if s.id in wanted]
