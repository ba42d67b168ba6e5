"""Questions about the template as a text: how much it declares, and whether it explains itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.declarations import Resource
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Call, Map, Node, Scalar, Seq, Source, Span, Value

_GROWING = tuple(f"AWS::Serverless::{name}" for name in ("Api", "Application", "Function", "HttpApi", "StateMachine"))


def resource_count(template: Template, facts: Facts, *, least: int, most: int) -> Iterator[Finding]:
    """The template must declare as many resources as the requirement says.

    Counted are the resources that one combination of conditions deploys. A number outside of the range is told and
    changes no score. Where a macro, SAM or a loop adds resources the number is unknown.
    """
    count = len(template.resources)
    asked = f"the requirement asks for {least} to {most}"
    grows = any(_grows(resource) for resource in template.resources.values())
    if template.macros or grows or template.looped(resource.type for resource in template.resources.values()):
        outcome, message = Outcome.UNKNOWN, f"the template declares {count} resources before its transforms; {asked}"
    elif least <= count <= most:
        outcome, message = Outcome.PASS, f"the template declares {count} resources, and {asked}"
    else:
        outcome, message = Outcome.FAIL, f"the template declares {count} resources; {asked}"
    yield Finding(outcome, "template", message, (Evidence(template.span, message),))


def _grows(resource: Resource) -> bool:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-secretsmanager.html"""
    rotated = resource.type == "AWS::SecretsManager::RotationSchedule"
    return resource.type in _GROWING or (rotated and not isinstance(resource.at("HostedRotationLambda"), Absent))


_COMMENT = re.compile(r"(?:^|\s)#")


def commented(template: Template, facts: Facts, *, lines: int, stretch: int) -> Iterator[Finding]:
    """A long YAML template must have a comment now and then.

    Judged are YAML templates with more than `lines` lines that no tool wrote (the CDK leaves its paths in Metadata).
    It fails when more than `stretch` lines in a row have no comment. Lines of a text of several lines (code, a
    dashboard, a state machine) can hold no comment of YAML; a stretch that is too long only with them is unknown.
    """
    if not _is_generated(template):
        for source in (template.source, *template.source.parts):
            if source.format == "yaml" and len(source.lines) > lines:
                yield _commented(template, source, stretch)


def _commented(template: Template, source: Source, stretch: int) -> Finding:
    """What is said of one file."""
    inside = frozenset(_text_lines(template.source.root, source.path))
    marks = [number for number, line in enumerate(source.lines, 1) if number not in inside and _COMMENT.search(line)]
    ends = [0, *marks, len(source.lines) + 1]
    first, last = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
    open_ = max(_free(pair, inside) for pair in pairwise(ends))
    name = source.name or "template"
    if last - first - 1 <= stretch:
        message = f"the longest stretch without a comment has {last - first - 1} lines"
        places = [_line(source, number) for number in marks[:3]] or [template.span]
        return Finding(Outcome.PASS, name, message, tuple(Evidence(place, message) for place in places))
    if open_ > stretch:
        first, last = max(pairwise(ends), key=lambda pair: _free(pair, inside))
    outcome = Outcome.FAIL if open_ > stretch else Outcome.UNKNOWN
    where = f"lines {first + 1} to {last - 1} have" if marks else f"the {len(source.lines)} lines of the template have"
    message = f"{where} no comment"
    if outcome is Outcome.UNKNOWN:
        message += "; most of them are text in which YAML has none"
    return Finding(outcome, name, message, (Evidence(_line(source, first + 1), message),))


def _free(pair: tuple[int, int], inside: frozenset[int]) -> int:
    return sum(1 for number in range(pair[0] + 1, pair[1]) if number not in inside)


def _line(source: Source, number: int) -> Span:
    text = source.lines[number - 1]
    start = len(text) - len(text.lstrip()) + 1
    return Span(source.path, number, start, number, max(len(text.rstrip()) + 1, start))


def _is_generated(template: Template) -> bool:
    resources = template.resources.values()
    return any(
        resource.type == "AWS::CDK::Metadata" or _has_path(resource.attribute("Metadata")) for resource in resources
    )


def _has_path(metadata: Value) -> bool:
    return isinstance(metadata, Map) and "aws:cdk:path" in metadata.entries


def _text_lines(node: Node, path: str) -> Iterator[int]:
    """The lines of a file that belong to texts of more than two lines, the first aside."""
    match node:
        case Scalar(_, span):
            if span.end_line > span.line + 1 and span.file == path:
                yield from range(span.line + 1, span.end_line + 1)
        case Seq(items):
            for item in items:
                yield from _text_lines(item, path)
        case Map(entries):
            for member in entries.values():
                yield from _text_lines(member, path)
        case Call(_, argument):
            yield from _text_lines(argument, path)
