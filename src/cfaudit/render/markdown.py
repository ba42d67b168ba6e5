"""The report object in, a Markdown report out, shaped like the one people write by hand; a rule in, its page out.

All prose about rules is written here: ``cfaudit explain``, ``docs/rules`` and every other format read ``rule_page``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cfaudit.render.fitting import Block, Rank, fitted, joined, size
from cfaudit.render.outline import (
    OPTION_AIMS,
    OPTION_TITLES,
    RECOMMENDED,
    Group,
    Positive,
    counts,
    detail_of,
    formula,
    gate_sentence,
    grade_sentence,
    groups,
    lines_of,
    one_line,
    place,
    plural,
    positives,
    score_of,
    tests_sentence,
    visible,
)
from cfaudit.report import (
    DiagnosticObject,
    FindingObject,
    LinkObject,
    OptionObject,
    ReadinessObject,
    RemedyObject,
    Report,
    ScorecardObject,
    TemplateObject,
    TestsObject,
)
from cfaudit.rule import Rule

MAX_MESSAGES = 3
COMMENT = 65_536
"""The longest comment that GitHub takes, in characters."""
SUMMARY = 1_048_576
"""The longest job summary that GitHub takes, in bytes."""
_ROOM_FOR_NOTE = 600

SECTIONS = (
    ("fail", ("critical",), "CRITICAL FAILURES"),
    ("fail", ("high",), "HIGH SEVERITY ISSUES"),
    ("fail", ("medium",), "MEDIUM SEVERITY ISSUES"),
    ("fail", ("low", "info"), "MINOR ISSUES"),
    ("error", ("critical", "high", "medium", "low", "info"), "NOT JUDGED: CFAUDIT BROKE"),
    ("waived", ("critical", "high", "medium", "low", "info"), "WAIVED"),
    ("info", ("critical", "high", "medium", "low", "info"), "FOR INFORMATION"),
)

_LANGUAGES = {
    ".json": ("jsonc", "//"),
    ".js": ("javascript", "//"),
    ".mjs": ("javascript", "//"),
    ".cjs": ("javascript", "//"),
    ".ts": ("typescript", "//"),
    ".py": ("python", "#"),
}


def render(report: Report, limit: int = COMMENT) -> str:
    """The report as GitHub Markdown; what is longer than the limit loses the least grave details, and says so."""
    blocks = [block for number, template in enumerate(report["templates"]) for block in _template(template, number)]
    blocks += [_run(report["diagnostics"], len(report["templates"]))]
    whole = joined(block.forms[0] for block in blocks)
    if size(whole) <= limit:
        return whole
    chosen = fitted(blocks, limit - _ROOM_FOR_NOTE)
    texts = [block.forms[form] for block, form in zip(blocks, chosen, strict=True)]
    return joined((_shortened(blocks, chosen, limit), *texts))


def _shortened(blocks: Sequence[Block], chosen: Sequence[int], limit: int) -> str:
    """The note that says what is not there."""
    said = []
    for kind, what in _SHORTENED.items():
        forms = [form for block, form in zip(blocks, chosen, strict=True) if block.kind == kind]
        shorter = sum(form > 0 for form in forms)
        if shorter:
            said.append(f"{what} ({shorter} of {len(forms)})" if len(forms) > 1 else what)
    templates = [form for block, form in zip(blocks, chosen, strict=True) if block.kind == "scorecard"]
    if 2 in templates:
        said.append(f"{templates.count(2)} of {plural(len(templates), 'template')} left out")
    return (
        f"> [!NOTE]\n> Shortened to fit {limit:,} characters, the least grave first: {'; '.join(said)}. "
        "`--format json` leaves nothing out."
    )


# What gives way first when the report is too long ---------------------------------------------------------------------

_SHORTENED = {
    "rule": "rules without their evidence, impact and fixes",
    "positives": "what holds is counted only",
    "unknown": "what is not decided is counted only",
    "tests": "what tests name is counted only",
    "options": "the steps of the options are counted only",
    "readiness": "features that will not work and manual steps are left out",
    "scorecard": "scorecards on one line",
    "run": "what is to say of the run is left out",
}
_PHASES = (
    "low short",
    "medium short",
    "positives counted",
    "unknown counted",
    "tests counted",
    "low on a line",
    "medium on a line",
    "high short",
    "options counted",
    "critical short",
    "high on a line",
    "critical on a line",
    "low counted",
    "medium counted",
    "high counted",
    "readiness counted",
    "critical counted",
    "scorecards on a line",
    "nothing",
)
_LAST_COMPLETE = "scorecards on a line"


def _phase(name: str, position: int) -> Rank:
    """Within a phase what stands last gives way first."""
    return _PHASES.index(name), -position


# GitHub Markdown -----------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"[\\`*\[\]|~!{}$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_AT_START = re.compile(r"(?:[-+=#]|(?<=\d)[.)])")
_LINKED = re.compile(
    r"@(?=\w)|#(?=\d)|(?<=GH-)(?=\d)|(?<=[a-z])(?=://)|(?<=www)(?=\.)|:(?=(?-i:[a-z0-9+_-]+):)", re.IGNORECASE
)
_HASH = re.compile(r"\b[0-9a-f]{7,40}\b", re.IGNORECASE)
_BREAK = "<!-- -->"


def escape(text: str) -> str:
    """Text on one line that GitHub shows as it is: no markup, no HTML, no mention, no link that nobody meant."""
    return _escaped(one_line(text))


def _escaped(plain: str) -> str:
    head = re.match(r"\d*", plain)
    start = head.end() if head else 0
    lead = f"{plain[:start]}\\" if _AT_START.match(plain, start) else plain[:start]
    rest = _SPECIAL.sub(r"\\\g<0>", plain[start:].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return _LINKED.sub(lambda match: match[0] + _BREAK, lead + rest)


def prose(text: str) -> str:
    """A sentence of the catalogue: escaped like any other, but for its code spans."""
    pieces = re.split(r"`([^`]+)`", one_line(text))
    return "".join(code(piece) if index % 2 else _escaped(piece) for index, piece in enumerate(pieces))


def code(text: str) -> str:
    """Text as a code span, whatever backticks are in it."""
    plain = one_line(text)
    ticks = "`" * (_longest_run(plain) + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    return f"{ticks}{space}{plain}{space}{ticks}"


def fence(text: str, language: str, indent: int = 0) -> str:
    """Text as a code block, its fence longer than any inside."""
    lines = [visible(line.expandtabs(2)).rstrip() for line in text.rstrip("\n").split("\n")]
    ticks = "`" * max(3, _longest_run("\n".join(lines)) + 1)
    return "\n".join(f"{' ' * indent}{line}".rstrip() for line in (f"{ticks}{language}", *lines, ticks))


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _link(title: str, url: str) -> str:
    if not re.match(r"https?://", url):
        return escape(title)
    safe = re.sub(r"[\s()<>|`\\]", lambda match: f"%{ord(match[0]):02X}", visible(url))
    return f"[{escape(title)}]({safe})"


def _document(chunks: Iterable[str]) -> str:
    """Chunks as one text, one empty line where a chunk asks for any: by being empty, or by a line break at its ends."""
    held: list[str] = []
    gap = False
    for chunk in chunks:
        body = chunk.strip("\n")
        if body and held and (gap or chunk.startswith("\n")):
            held.append("")
        if body:
            held.append(body)
        gap = chunk.endswith("\n") or not body
    return "\n".join(held) + "\n"


# The report ----------------------------------------------------------------------------------------------------------


def _template(template: TemplateObject, number: int) -> Iterator[Block]:
    """The blocks of one template in reading order; ``number`` is its place in the report."""
    card = template["scorecard"]
    if card is None:
        yield _block("header", _unusable(template), ("", _phase("nothing", number)))
        return
    yield _block("header", _header(template, card), ("", _phase(_LAST_COMPLETE, number)))
    shown = 0
    for verdict, severities, title in SECTIONS:
        held = [group for group in groups(template, verdict) if group.severity in severities]
        yield from _section(title, held, template, number, shown)
        shown += len(held)
    yield _block("unknown", _unknown(template), *_terser("unknown", _unknown_counted(template), number))
    counted = _positives_counted(template)
    yield _block("positives", _positives(template), *_terser("positives", counted, number))
    counted = _tests_counted(template["tests"])
    yield _block("tests", _tests(template["tests"]), *_terser("tests", counted, number))
    compact = (_compact(template, card), _phase(_LAST_COMPLETE, number))
    yield _block("scorecard", _scorecard(template, card), compact, ("", _phase("nothing", number)))
    ready = ["\n".join(_verdict(card["readiness"])), "\n---\n"]
    yield _block("readiness", _readiness(card["readiness"]), *_terser("readiness", ready, number))
    counted = _options_counted(template["options"])
    yield _block("options", _recommendation(template["options"]), *_terser("options", counted, number))


def _block(kind: str, lines: Iterable[str], *terser: tuple[str, Rank]) -> Block:
    full = _document(lines).strip("\n")
    return (
        Block(kind, (full, *(text for text, _ in terser)), tuple(rank for _, rank in terser))
        if full
        else Block("", ("",))
    )


def _terser(kind: str, lines: Iterable[str], number: int) -> tuple[tuple[str, Rank], ...]:
    """A short form, then nothing."""
    counted = _document(lines).strip("\n")
    return (counted, _phase(f"{kind} counted", number)), ("", _phase(_LAST_COMPLETE, number))


def _section(title: str, held: Sequence[Group], template: TemplateObject, number: int, shown: int) -> Iterator[Block]:
    """A heading and the rules under it: in full, as a few sentences, as a line each, as a number."""
    if not held:
        return
    grave = held[0].findings[0]["verdict"] in ("fail", "error") and held[0].severity != "info"
    gravity = held[0].severity if grave else "low"
    findings = sum(len(group.findings) for group in held)
    heading = f"## **{title}**"
    count = f"{heading}\n\n{plural(len(held), 'rule')} with {plural(findings, 'finding')}, left out here."
    left_out = _phase(f"{gravity} counted", number)
    yield Block("", (heading, count, ""), (left_out, _phase(_LAST_COMPLETE, number)))
    for position, group in enumerate(held, shown + 1):
        yield _block(
            "rule",
            (*_group(group, position, template), "\n---\n"),
            (_document(_short(group, position, template)).strip("\n"), _phase(f"{gravity} short", position)),
            (_one_line(group, position, template), _phase(f"{gravity} on a line", position)),
            ("", left_out),
        )


def _header(template: TemplateObject, card: ScorecardObject) -> Iterator[str]:
    yield "# **Failures & Missing Implementation Details**\n"
    yield f"- **Template:** {code(template['path'])}"
    yield f"- **Verdict:** {template['verdict'].upper()}, {escape(grade_sentence(card))}; {escape(counts(template))}"
    yield f"- **Profile:** {code(template['profile'] or '')} ({escape(template['profile_reason'])})"
    scenario = "" if template["scenario"] == "default" else f", scenario {escape(template['scenario'])}"
    yield f"- **As of:** {template['as_of']}{scenario}"
    if template["diagnostics"]:
        yield ""
        yield from _diagnostics(template["diagnostics"])


def _unusable(template: TemplateObject) -> Iterator[str]:
    yield "# **Failures & Missing Implementation Details**\n"
    yield f"- **Template:** {code(template['path'])}"
    yield "\n**Not audited:**\n"
    yield from _diagnostics(template["diagnostics"])


def _run(diagnostics: Sequence[DiagnosticObject], number: int) -> Block:
    """What is to say of the run rather than of one template."""
    lines = ("## **THIS RUN**\n", *_diagnostics(diagnostics)) if diagnostics else ()
    return _block("run", lines, ("", _phase(_LAST_COMPLETE, number)))


def _diagnostics(diagnostics: Sequence[DiagnosticObject]) -> Iterator[str]:
    for line in diagnostics:
        where = code(f"{line['file']}:{line['line']}:{line['column']}")
        yield f"- {line['level']}: {where} {escape(line['message'])}"


def _group(group: Group, number: int, template: TemplateObject) -> Iterator[str]:
    """All findings of one rule, in the order of the hand-written report."""
    rule, first = group.rule, group.findings[0]
    missing = rule["category"] == "resource-completeness"
    cost = f" · **Cost:** {group.cost:.2f} points" if group.cost else ""
    yield f"### **{number}. {prose(rule['title'])}**\n"
    yield f"**Severity:** {group.severity.upper()} · **Rule:** {code(rule['id'])}{cost}\n"
    yield f'**Requirement:** "{prose(first["requirement"])}"\n'
    if first["verdict"] == "info":
        yield "**What's Different:**\n"
    else:
        yield "**What's Missing:**\n" if missing else "**What's Wrong:**\n"
    for finding in group.findings:
        yield from _sentence(finding, template["path"])
    yield "\n**Current Workaround:**\n" if missing else "\n**Current Implementation:**\n"
    yield from _evidence(group.findings)
    yield "\n**Impact:**\n"
    yield f"- {prose(first['why'])}\n"
    yield from _remedies(first["remedies"], keep=first["verdict"] == "info")
    if first["tradeoff"]:
        yield f"**Trade-off:** {prose(first['tradeoff'])}\n"
    yield from _references(first["references"])


def _short(group: Group, number: int, template: TemplateObject) -> Iterator[str]:
    """What is wrong, where, and the first remedy."""
    yield f"### **{number}. {prose(group.rule['title'])}**\n"
    yield f"**{group.severity.upper()}** · {code(group.rule['id'])}\n"
    for finding in group.findings:
        yield from _sentence(finding, template["path"])
    if group.findings[0]["remedies"] and group.findings[0]["verdict"] == "fail":
        yield f"- To do: {prose(group.findings[0]['remedies'][0]['title'])}"


def _one_line(group: Group, number: int, template: TemplateObject) -> str:
    places = dict.fromkeys(_where(finding, template["path"]) for finding in group.findings)
    return f"{number}. {prose(group.rule['title'])} ({code(group.rule['id'])}, {group.severity}): {', '.join(places)}"


def _where(finding: FindingObject, path: str) -> str:
    first = finding["evidence"][0]
    return f"line {first['line']}" if first["file"] == path else code(place(first))


def _sentence(finding: FindingObject, path: str) -> Iterator[str]:
    message, subject = one_line(finding["message"]), one_line(finding["subject"])
    named = "" if subject in message or not finding["logical_id"] else f"{code(subject)}: "
    when = f" (when {escape(finding['when'])})" if finding["when"] else ""
    construct = f" {code(one_line(finding['construct_path']))}" if finding["construct_path"] else ""
    yield f"- {named}{escape(message)}{construct}{when} ({_where(finding, path)})"
    if finding["known"]:
        yield "  - known: the baseline has it"
    for assumed in finding["assumed"]:
        yield f"  - assumed: {escape(assumed)}"
    if finding["waiver"]:
        until = f" (until {escape(finding['waiver']['until'])})" if finding["waiver"]["until"] else ""
        yield f"  - waived: {escape(finding['waiver']['reason'])}{until}"


def _evidence(findings: Sequence[FindingObject]) -> Iterator[str]:
    """The lines that prove findings, each under a comment that says where it stands and what it shows."""
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for finding in findings:
        for item in finding["evidence"]:
            language = _LANGUAGES.get(Path(item["file"]).suffix.lower(), ("yaml", "#"))
            note = "" if item["note"] in ("", finding["message"]) else f": {one_line(item['note'])}"
            shown.setdefault(language, {}).setdefault(f"{language[1]} {one_line(place(item))}{note}", item["text"])
    for (language_name, _), lines in shown.items():
        yield fence("\n".join(f"{comment}\n{text}" for comment, text in lines.items()), language_name) + "\n"


def _remedies(remedies: Sequence[RemedyObject], *, keep: bool) -> Iterator[str]:
    if not remedies:
        return
    yield "**Recommendation:**\n" if keep else "**Recommended Fix:**\n"
    for number, remedy in enumerate(remedies, 1):
        yield f"{number}. {'OR: ' if number > 1 else ''}{prose(remedy['title'])}"
        if remedy["snippet"]:
            yield ""
            yield fence(remedy["snippet"], "yaml", indent=3)
            yield ""
    yield ""


def _references(references: Sequence[LinkObject]) -> Iterator[str]:
    if references:
        links = " · ".join(_link(reference["title"], reference["url"]) for reference in references)
        yield f"**References:** {links}\n"


def _unknown(template: TemplateObject) -> Iterator[str]:
    held = groups(template, "unknown")
    beside = [code(rule["id"]) for rule in template["rules"] if rule["verdict"] == "n/a"]
    if held or beside:
        yield "\n## **NOT DECIDED**\n"
    if held:
        yield "Only deploy time can tell; not scored:\n"
    for group in held:
        for finding in group.findings:
            when = f" (when {escape(finding['when'])})" if finding["when"] else ""
            where = code(place(finding["evidence"][0]))
            yield f"- {code(group.rule['id'])}: {escape(finding['message'])}{when}, {where}"
    if beside:
        yield f"\nNot applicable, nothing of their kind is in the template: {', '.join(beside)}\n"


def _unknown_counted(template: TemplateObject) -> Iterator[str]:
    held = groups(template, "unknown")
    beside = sum(rule["verdict"] == "n/a" for rule in template["rules"])
    undecided = sum(len(group.findings) for group in held)
    yield "\n## **NOT DECIDED**\n"
    yield f"{plural(undecided, 'finding')} not decided, {plural(beside, 'rule')} not applicable."


def _positives_counted(template: TemplateObject) -> Iterator[str]:
    held = positives(template)
    subjects = sum(len(positive.findings) for positive in held)
    yield f"\n## **POSITIVE IMPLEMENTATIONS**\n\n{plural(len(held), 'rule')} held by {plural(subjects, 'finding')}."


def _positives(template: TemplateObject) -> Iterator[str]:
    """What holds, folded: GitHub shows the summary line until a reader opens it."""
    held = positives(template)
    if not held:
        return
    yield "\n## **POSITIVE IMPLEMENTATIONS**\n"
    subjects = sum(len(positive.findings) for positive in held)
    yield f"<details>\n<summary>{plural(len(held), 'rule')} held, {plural(subjects, 'proof')}</summary>\n"
    whole = [positive for positive in held if len(positive.findings) == positive.total]
    part = [positive for positive in held if len(positive.findings) < positive.total]
    for title, entries in (("Correctly Implemented", whole), ("Implemented in Part", part)):
        if entries:
            yield f"### **{title}:**\n"
            yield from (f"{number}. {_positive(positive)}" for number, positive in enumerate(entries, 1))
            yield ""
    yield "</details>\n"


def _positive(positive: Positive) -> str:
    findings = positive.findings
    share = f"{len(findings)} of {positive.total}: " if len(findings) < positive.total else ""
    held = positive.rule["title"] if share else positive.rule["holds"]
    messages = list(dict.fromkeys(escape(finding["message"]) for finding in findings))
    said = "; ".join(messages[:MAX_MESSAGES])
    if len(messages) > MAX_MESSAGES:
        said += f"; and {len(messages) - MAX_MESSAGES} more"
    lines = dict.fromkeys(finding["evidence"][0]["line"] for finding in findings)
    where = f"{'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines))}"
    return f"**{prose(held)}** - {share}{said} ({where})"


def _tests(tests: TestsObject | None) -> Iterator[str]:
    """Each resource and where tests name it, folded."""
    if tests is None:
        return
    yield "\n## **TESTS**\n"
    if not tests["resources"]:
        yield f"{escape(tests_sentence(tests))}\n"
        return
    yield f"<details>\n<summary>{escape(tests_sentence(tests))}</summary>\n"
    yield "| **Resource** | **Type** | **Named** |"
    yield "| --- | --- | --- |"
    for each in tests["resources"]:
        where = escape(lines_of(each["places"], MAX_MESSAGES)) or "no"
        yield f"| {_cell(each['logical_id'])} | {_cell(each['type'])} | {where} |"
    of_types = [kind for kind in tests["types"] if kind["places"]]
    if of_types:
        yield "\nTypes that tests name, which counts for no resource:\n"
        yield from (f"- {code(kind['type'])}: {escape(lines_of(kind['places'], MAX_MESSAGES))}" for kind in of_types)
    yield "\n</details>\n"


def _tests_counted(tests: TestsObject | None) -> Iterator[str]:
    if tests is not None:
        yield f"\n## **TESTS**\n\n{escape(tests_sentence(tests))}."


def _cell(text: str) -> str:
    """A code span in a table, where a bar ends a cell even in code. https://github.github.com/gfm/#example-200"""
    return code(text).replace("|", "\\|")


def _scorecard(template: TemplateObject, card: ScorecardObject) -> Iterator[str]:
    yield "\n## **SUMMARY SCORECARD**\n"
    yield "| **Category** | **Score** | **Details** |"
    yield "| --- | --- | --- |"
    for row in card["categories"]:
        detail = escape(detail_of(row["detail"], row["status"]))
        yield f"| **{escape(row['title'])}** | {score_of(row['score'], row['status'])} | {detail} |"
    yield ""
    sums = formula(card)
    how = f" = {escape(sums)}: the weight of each assessed row times its score, over the weights" if sums else ""
    yield f"**Overall Grade: {escape(grade_sentence(card))}**{how}\n"
    yield f"**Gate:** {escape(gate_sentence(template, card))}\n"


def _compact(template: TemplateObject, card: ScorecardObject) -> str:
    """The scorecard on one line, where even the scorecards are too long together."""
    rows = " · ".join(f"{escape(row['title'])} {score_of(row['score'], row['status'])}" for row in card["categories"])
    scenario = "" if template["scenario"] == "default" else f" ({escape(template['scenario'])})"
    grade = f"{template['verdict'].upper()}, {escape(grade_sentence(card))}"
    return f"**{code(template['path'])}**{scenario}: {grade}; {escape(counts(template))}; {rows}"


def _verdict(readiness: ReadinessObject) -> Iterator[str]:
    ready = "Production-Ready" if readiness["production_ready"] else "Not Production-Ready"
    yield f"**Deployment Readiness:** **{ready}**\n"
    general = "; ".join(escape(reason["text"]) for reason in readiness["reasons"] if reason["rule"] is None)
    deploys = {"yes": "Stack will deploy", "no": "Stack will not deploy"}.get(
        readiness["deploys"], "Whether the stack will deploy is not decided"
    )
    yield f"- {deploys}{f': {general}' if general else ''}"


def _readiness(readiness: ReadinessObject) -> Iterator[str]:
    yield from _verdict(readiness)
    for title, sentences in (
        ("Features that will not work", readiness["works"]),
        ("Not production-ready because", [reason for reason in readiness["reasons"] if reason["rule"] is not None]),
    ):
        if sentences:
            yield f"- {title}:"
            yield from (f"  - {escape(item['text'])} ({code(item['rule'] or '')})" for item in sentences)
    if readiness["manual_steps"]:
        yield "- Manual steps before operational use:"
        for step in readiness["manual_steps"]:
            yield f"  - {prose(step['text'].rstrip('.'))}; verify: {code(step['verify'])}"
    yield "\n---\n"


def _recommendation(options: Sequence[OptionObject]) -> Iterator[str]:
    if not any(option["steps"] for option in options):
        return
    yield "\n## **RECOMMENDATION**\n"
    for number, option in enumerate(options, 1):
        chosen = " (Recommended)" if option["id"] == RECOMMENDED else ""
        reach = f"; reaches {option['score']:.1f}" if option["score"] is not None else ""
        aim = OPTION_AIMS[option["id"]]
        yield f"### **Option {number}: {OPTION_TITLES[option['id']].title()}{chosen}**\n"
        yield f"{aim[0].upper()}{aim[1:]}{reach}:\n"
        for position, step in enumerate(option["steps"], 1):
            subjects = ", ".join(map(code, step["subject"].split(", "))) if step["subject"] else ""
            yield f"{position}. {prose(step['text'])} ({code(step['rule'])}: {subjects})"
        if not option["steps"]:
            yield "Nothing to do."
        yield ""


def _options_counted(options: Sequence[OptionObject]) -> Iterator[str]:
    yield "\n## **RECOMMENDATION**\n"
    for option in options:
        chosen = " (recommended)" if option["id"] == RECOMMENDED else ""
        yield f"- {OPTION_TITLES[option['id']]}{chosen}: {plural(len(option['steps']), 'step')}"


# The page of a rule --------------------------------------------------------------------------------------------------


def rule_page(rule: Rule, check: Callable[..., object]) -> str:
    """Everything there is to say about a rule."""
    return _document((*_page(rule, check), *_fixtures(rule), *_sources(rule)))


def rule_help(rule: Rule, check: Callable[..., object]) -> str:
    """The page of a rule without its fixtures, which only the repository has."""
    return _document((*_page(rule, check), *_sources(rule)))


def _page(rule: Rule, check: Callable[..., object]) -> Iterator[str]:
    yield f"# {prose(rule.title)}\n"
    yield f"{code(rule.id)} · {rule.severity.value} · {escape(rule.category.replace('-', ' '))}\n"
    yield f"**Requirement:** {prose(rule.requirement)}\n"
    yield f"- Holds: {prose(rule.holds)}."
    yield f"- Fails: {prose(rule.fails)}."
    yield from (f"- {line}" for line in _remarks(rule))
    yield f"\n## Why\n\n{prose(rule.why)}\n"
    yield "## What to do\n"
    for number, remedy in enumerate(rule.remedies, 1):
        plan = f" ({OPTION_TITLES[remedy.option].lower()})" if remedy.option else ""
        yield f"{number}. {prose(remedy.title)}{plan}"
        if remedy.snippet:
            yield f"\n{fence(remedy.snippet, 'yaml', indent=3)}\n"
    if rule.tradeoff:
        yield f"\n## Trade-off\n\n{prose(rule.tradeoff)}\n"
    yield "\n## How it is decided\n"
    yield _paragraphs(check.__doc__ or "") + "\n"
    if rule.arguments:
        yield f"With the arguments of {code(rule.check)}:\n"
        yield fence("\n".join(_argument(name, value) for name, value in rule.arguments.items()), "yaml")


def _sources(rule: Rule) -> Iterator[str]:
    yield "\n## References\n"
    yield from (f"- {_link(link.title, link.url)}" for link in rule.references)


def _remarks(rule: Rule) -> Iterator[str]:
    if rule.severity.value == "info":
        yield "Never scored: it informs."
    if rule.component:
        yield f"Decides the component {code(rule.component)} of the inventory."
    if rule.works:
        yield f"What will not work: {prose(rule.works)}."
    if rule.blocks_create:
        yield "A stack that fails it cannot be created."
    if rule.aliases:
        yield f"Formerly {', '.join(map(code, rule.aliases))}."


def _paragraphs(docstring: str) -> str:
    """A docstring's paragraphs; its code spans are Markdown already."""
    first, _, rest = docstring.strip().partition("\n")
    lines = [first.strip(), *(line.strip() for line in rest.split("\n"))]
    return "\n".join(visible(line).replace("``", "`").replace("<", "&lt;") for line in lines).strip()


def _argument(name: str, value: object) -> str:
    """One argument as YAML: flow style below the first level."""
    if isinstance(value, Mapping) and value:
        return "\n".join([f"{name}:", *(f"  {key}: {_flow(member)}" for key, member in value.items())])
    return f"{name}: {_flow(value)}"


def _flow(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fixtures(rule: Rule) -> Iterator[str]:
    """The failing and the passing template that prove the rule, where the repository is at hand."""
    rules = Path(rule.path).resolve().parent.parent
    folder = rules.parent / "fixtures" / rules.name / rule.id
    for verdict, title in (("fail", "A template that fails"), ("pass", "A template that passes")):
        found = _fixture(folder, verdict)
        if found:
            where = f"fixtures/{rules.name}/{rule.id}/{found.relative_to(folder).as_posix()}"
            language = _LANGUAGES.get(found.suffix, ("yaml", "#"))[0]
            yield f"\n## {title}\n\n{code(where)}\n"
            yield fence(found.read_text(encoding="utf-8"), language)


def _fixture(folder: Path, verdict: str) -> Path | None:
    """The plainest fixture with a verdict: ``fail.yaml`` before ``fail-why.yaml``, a file before a folder."""
    named = [path for path in folder.glob(f"{verdict}*") if re.split(r"[-.]", path.name)[0] == verdict]
    files = [next(iter(sorted(path.glob("template.*"))), path) if path.is_dir() else path for path in named]
    templates = [path for path in files if path.suffix in (".yaml", ".yml", ".json") and path.is_file()]
    return min(
        templates, key=lambda path: (len(path.relative_to(folder).parts), len(path.name), path.name), default=None
    )
