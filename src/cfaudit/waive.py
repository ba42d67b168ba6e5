"""Results and waivers in, Results out whose covered fails are waived, and what is to say of the waivers themselves.

A waiver stands in the configuration, in ``Metadata.cfaudit.ignore`` of a template or a resource, or in a comment
``# cfaudit: ignore[rule] reason until 2027-03-31`` on the line, on the line above, or at the resource's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

from cfaudit.finding import Finding, Outcome, Result, Waiver
from cfaudit.model.declarations import Resource
from cfaudit.model.template import Template
from cfaudit.nodes import Call, Diagnostic, Map, Node, Scalar, Seq, Source, Span, TemplateError, Value
from cfaudit.rule import nearest

KEYS = ("code", "manual_steps", "ignore")
"""What ``Metadata.cfaudit`` may hold."""

Fields: TypeAlias = "Map[Node] | Map[Value]"


class Catalogue(NamedTuple):
    """The ids that there are, aliases pointing at the rule that bears them now."""

    ids: Mapping[str, str]

    @classmethod
    def of(cls, rules: Iterable[tuple[str, tuple[str, ...]]]) -> Catalogue:
        """The catalogue of rules given as id and aliases."""
        return cls({name: rule for rule, aliases in rules for name in (rule, *aliases)})

    def near(self, name: str) -> str:
        """What the writer of a rule's name that there is not may have meant."""
        hint = nearest(name, self.ids)
        return hint if hint.startswith("did") else "'cfaudit rules' lists them all"


class Waived(NamedTuple):
    """Results under the waivers, what is to say of these, and those of the configuration that are done with.

    ``used`` covered something, or are spoken of in ``diagnostics``.
    """

    results: tuple[Result, ...]
    diagnostics: tuple[Diagnostic, ...]
    used: frozenset[Waiver]


def waive(
    results: Sequence[Result],
    source: Source,
    templates: Sequence[Template],
    configured: Sequence[Waiver],
    catalogue: Catalogue,
    as_of: date,
) -> Waived:
    """Apply the waivers of a template and those of its configuration that concern it.

    A waiver works through its last day. One past it, of a rule that there is not, or that covers nothing does not
    work or is not needed, and is reported.
    """
    own, notes = in_template(source, templates)
    evaluated = {result.rule.id for result in results}
    judge = _Judge(catalogue, as_of, [*own, *configured])
    waived = tuple(
        result._replace(findings=tuple(judge.covered(result.rule.id, finding) for finding in result.findings))
        for result in results
    )
    for waiver in own:
        notes += judge.notes(waiver, evaluated)
    declared = {name for template in templates for name in template.resources}
    done = judge.used.intersection(configured)
    for waiver in configured:
        if declared.intersection(waiver.resources) or judge.stopped(waiver) or judge.unknown(waiver):
            notes += judge.notes(waiver, evaluated)
            done.add(waiver)
    return Waived(waived, tuple(notes), frozenset(done))


class _Judge:
    """Which waivers cover what on a day, and which have."""

    def __init__(self, catalogue: Catalogue, as_of: date, waivers: Sequence[Waiver]) -> None:
        self._catalogue, self._as_of = catalogue, as_of
        self._by_rule: dict[str, list[Waiver]] = {}
        for waiver in waivers:
            for rule in waiver.rules:
                self._by_rule.setdefault(catalogue.ids.get(rule, ""), []).append(waiver)
        self.used: set[Waiver] = set()

    def stopped(self, waiver: Waiver) -> bool:
        """Whether a waiver's last day is over."""
        return waiver.until is not None and waiver.until < self._as_of

    def unknown(self, waiver: Waiver) -> list[str]:
        """The rules that a waiver names and that there are not."""
        return [rule for rule in waiver.rules if rule not in self._catalogue.ids]

    def covered(self, rule: str, finding: Finding) -> Finding:
        """The finding, waived if a waiver covers it and it fails; one that is unknown needs its waiver later."""
        if finding.outcome in (Outcome.FAIL, Outcome.UNKNOWN):
            for waiver in self._by_rule.get(rule, ()):
                if covers(waiver, finding):
                    self.used.add(waiver)
                    if finding.outcome is Outcome.FAIL and not self.stopped(waiver):
                        return replace(finding, outcome=Outcome.WAIVED, waiver=waiver)
        return finding

    def notes(self, waiver: Waiver, evaluated: set[str]) -> list[Diagnostic]:
        """What is wrong with a waiver."""
        unknown = self.unknown(waiver)
        found = [
            Diagnostic(
                "warning", f"a waiver names a rule that there is not: {rule!r}", waiver.span, self._catalogue.near(rule)
            )
            for rule in unknown
        ]
        named = ", ".join(rule for rule in waiver.rules if rule not in unknown)
        if not named:
            return found
        if self.stopped(waiver):
            said = "its findings count again" if waiver in self.used else "it covers nothing"
            message = f"the waiver of {named} ended on {waiver.until}: {said}"
            return [*found, Diagnostic("warning", message, waiver.span, "remove it, or decide anew")]
        judged = any(self._catalogue.ids.get(rule) in evaluated for rule in waiver.rules)
        if waiver not in self.used and judged:
            message = f"the waiver of {named} covers nothing"
            found.append(Diagnostic("warning", message, waiver.span, "remove it, or put it where the finding is"))
        return found


def covers(waiver: Waiver, finding: Finding) -> bool:
    """Whether a finding is where a waiver speaks of."""
    if waiver.resources:
        return finding.logical_id in waiver.resources or finding.subject in waiver.resources
    span = finding.evidence[0].span
    if waiver.line is not None:
        return (span.file, span.line) == (waiver.span.file, waiver.line)
    return waiver.file is None or span.file == waiver.file


def concerns(waiver: Waiver, path: str) -> bool:
    """Whether a waiver of the configuration speaks of a template; ``path`` is relative to the configuration."""
    return waiver.template is None or fnmatchcase(path, waiver.template)


# Where waivers stand -------------------------------------------------------------------------------------------------


def waiver_of(fields: Fields, more: tuple[str, ...] = ()) -> Waiver:
    """The waiver that a map of rule, reason and until (and ``more``) is. Raises ``TemplateError``."""
    known = ("rule", "reason", "until", *more)
    for key, span in fields.keys.items():
        if key not in known:
            raise TemplateError(span, f"{key!r} is no key of a waiver", nearest(key, known))
    texts = {key: value.text.strip() for key, value in fields.entries.items() if isinstance(value, Scalar)}
    for key in fields.keys:
        if not texts.get(key):
            raise TemplateError(fields.keys[key], f"{key} of a waiver is one text", "write one, or leave the key out")
    for key in ("rule", "reason"):
        if key not in texts:
            raise TemplateError(fields.span, f"a waiver needs a {key}", "write 'rule: …' and 'reason: …'")
    until = _day(texts["until"], fields.entries["until"].span) if "until" in texts else None
    return Waiver(
        (texts["rule"],),
        " ".join(texts["reason"].split()),
        until,
        fields.span,
        resources=(texts["resource"],) if "resource" in texts else (),
        template=texts.get("template"),
    )


_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(text: str, span: Span) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        raise ValueError
    except ValueError:
        raise TemplateError(span, f"{text!r} is no day", "write 'until: 2027-03-31'") from None


def in_template(source: Source, templates: Sequence[Template]) -> tuple[list[Waiver], list[Diagnostic]]:
    """The waivers that a template holds under its scenarios, and what is wrong with others and ``Metadata.cfaudit``."""
    held: dict[str, Resource] = {}
    for template in templates:
        for resource in template.resources.values():
            held.setdefault(resource.logical_id, resource)
    found: list[Waiver] = []
    notes: list[Diagnostic] = []
    places: list[tuple[Value, tuple[str, ...], str | None]] = [
        (words, (), None if file == source.path else file) for file, words in templates[0].words()
    ]
    places += [(resource.attribute("Metadata.cfaudit"), (name,), None) for name, resource in held.items()]
    for value, resources, file in places:
        if isinstance(value, Map):
            _of_metadata(value, resources, file, found, notes)
        elif isinstance(value, (Scalar, Seq)):
            notes.append(Diagnostic("warning", f"Metadata.cfaudit is a map of {', '.join(KEYS)}", value.span))
    files = {part.path: part for part in (source, *source.parts) if part.format == "yaml"}
    for part in files.values():
        _of_comments(source, part, held, found, notes)
    return found, list(dict.fromkeys(notes))


def _of_metadata(
    metadata: Map[Value], resources: tuple[str, ...], file: str | None, found: list[Waiver], notes: list[Diagnostic]
) -> None:
    for key, span in metadata.keys.items():
        if key not in KEYS:
            notes.append(Diagnostic("warning", f"{key!r} is no key of Metadata.cfaudit", span, nearest(key, KEYS)))
    listed = metadata.entries.get("ignore")
    if isinstance(listed, (Map, Scalar)):
        how = "write '- {rule: …, reason: …, until: …}'"
        notes.append(Diagnostic("warning", "Metadata.cfaudit.ignore is a list of waivers", listed.span, how))
    for entry in listed.items if isinstance(listed, Seq) else ():
        if not isinstance(entry, Map):
            message = "a waiver is a map of rule, reason and until"
            notes.append(Diagnostic("warning", message, entry.span, "write '- {rule: …, reason: …, until: …}'"))
            continue
        try:
            waiver = waiver_of(entry)
        except TemplateError as error:
            notes.append(Diagnostic("warning", f"{error}; it does not work", error.span, error.hint))
            continue
        found.append(waiver._replace(resources=resources, file=file))


_COMMENT = re.compile(r"(?:^|\s)(#\s*cfaudit:\s*(\w*)\s*(?:\[([^\]]*)\])?(.*))$")
_UNTIL = re.compile(r"\buntil\s+(\d[\w.-]*)$")
_HOW = "write '# cfaudit: ignore[rule] reason until 2027-03-31'"


def _of_comments(
    source: Source, part: Source, resources: Mapping[str, Resource], found: list[Waiver], notes: list[Diagnostic]
) -> None:
    """The waivers in the comments of one file of a template."""
    commented = [
        (number, comment)
        for number, line in enumerate(part.lines, start=1)
        if "cfaudit:" in line and (comment := _COMMENT.search(line)) is not None
    ]
    if not commented:
        return
    names: dict[int, tuple[str, ...]] = {}
    for resource in resources.values():
        if resource.span.file == part.path:
            names[resource.span.line] = (*names.get(resource.span.line, ()), resource.logical_id)
    quoted = list(_quoted(source, part))
    left_out = list(_left_out(source, resources))
    for number, comment in commented:
        span = Span(part.path, number, comment.start(1) + 1, number, comment.end(1) + 1)
        if any(_within(span, text) for text in quoted) or any(_within(span, text) for text in left_out):
            continue
        try:
            waiver = _of_comment(comment, span)
        except TemplateError as error:
            notes.append(Diagnostic("warning", f"{error}; it does not work", error.span, error.hint))
            continue
        alone = not comment.string[: comment.start(1)].strip()
        target = _next_line(part.lines, number) if alone else number
        named = names.get(target, ())
        found.append(waiver._replace(resources=named, line=None if named else target))


def _of_comment(comment: re.Match[str], span: Span) -> Waiver:
    _, word, listed, rest = comment.groups()
    rules = tuple(name.strip() for name in (listed or "").split(",") if name.strip())
    if word != "ignore" or not rules:
        raise TemplateError(span, "this comment is no waiver that can be read", _HOW)
    said = rest.strip().rstrip(".").rstrip()
    dated = _UNTIL.search(said)
    reason = said[: dated.start()].rstrip(" \t,;:") if dated else rest.strip()
    if not reason:
        raise TemplateError(span, f"the waiver of {', '.join(rules)} gives no reason", _HOW)
    return Waiver(rules, reason, _day(dated[1], span) if dated else None, span)


def _next_line(lines: Sequence[str], number: int) -> int:
    """The next line that says something."""
    rest = (index for index in range(number, len(lines)) if lines[index].strip()[:1] not in ("", "#"))
    return next(rest, number - 1) + 1


def _within(inner: Span, outer: Span) -> bool:
    start, end = (outer.line, outer.column), (outer.end_line, outer.end_column)
    return inner.file == outer.file and start <= (inner.line, inner.column) < end


def _quoted(source: Source, part: Source) -> Iterator[Span]:
    """The quoted texts of one file: what looks like a comment inside one is none."""
    stack: list[Node] = [source.root]
    while stack:
        held = stack.pop()
        match held:
            case Scalar(_, span):
                quote = part.lines[span.line - 1][span.column - 1 : span.column] if span.file == part.path else ""
                if quote in ("'", '"'):
                    yield span
            case Seq(items):
                stack += items
            case Map(entries):
                stack += entries.values()
            case Call():
                stack.append(held.argument)


def _left_out(source: Source, resources: Mapping[str, Resource]) -> Iterator[Span]:
    """The resources that no scenario has: their waivers wait for one that does."""
    declared = source.root.entries.get("Resources")
    if isinstance(declared, Map):
        for name, body in declared.entries.items():
            if name not in resources and name in declared.keys:
                yield declared.keys[name].to(body.span)
