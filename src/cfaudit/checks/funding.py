"""Questions about what operators see: alarms over alarms, and metrics of the platform itself on a dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.embedded import Malformed, Unread, from_node
from cfaudit.model.template import Template
from cfaudit.nodes import Map, Node, Scalar, Seq, Span, Unknown, Value, spelled

SHOWN = 5


def declared_type(
    template: Template,
    facts: Facts,
    *,
    types: tuple[str, ...],
    beside: tuple[str, ...],
    subject: str,
    good: str,
    bad: str,
) -> Iterator[Finding]:
    """The stack must declare a resource of one of the types.

    The finding stands at the resources beside which it is missed. It passes with the configuration's word that another
    stack has it, and it is unknown where a macro may add it.
    """
    found = list(template.of(*types))
    for resource in found:
        yield judged(Outcome.PASS, resource, None, f"{resource.logical_id} {good}", subject=subject)
    if found:
        return
    places = [Evidence(resource.span, f"{resource.logical_id} stands alone") for resource in template.of(*beside)]
    evidence = tuple(places[:SHOWN]) or (Evidence(template.span, bad),)
    external = facts.elsewhere(types=types)
    if external is not None:
        message = f"{bad}; another stack has it: {external.reason}"
        place = Evidence(external.span, external.reason, external.text)
        yield Finding(Outcome.PASS, subject, message, (place, *evidence))
    elif template.macros:
        yield Finding(Outcome.UNKNOWN, subject, f"{bad}, unless {template.macros[0].name} adds one", evidence)
    else:
        yield Finding(Outcome.FAIL, subject, bad, evidence)


# Dashboards ----------------------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What the widgets of a dashboard show: namespaces with their place, and places where they cannot be read."""

    spaces: list[tuple[str, Span]]
    open: list[Span]


def own_metrics_shown(template: Template, facts: Facts, *, foreign: tuple[str, ...]) -> Iterator[Finding]:
    """A dashboard must show a metric of the platform itself, not only those that AWS publishes.

    Read are the metrics and search expressions of all widgets in DashboardBody, with what `Fn::Sub` and `Fn::Join` put
    together. Namespaces that begin with one of the listed words are AWS's. One dashboard with a namespace of the
    platform's own is enough for all of them. A widget with a query, a body or a namespace that only deploy time knows
    is unknown.
    """
    read = [(board, _shown(template, board)) for board in template.of("AWS::CloudWatch::Dashboard")]
    own = [(board, space, span) for board, seen in read for space, span in seen.spaces if not space.startswith(foreign)]
    if own:
        for board, space, span in own[:SHOWN]:
            message = f"{board.logical_id} shows metrics of {space}"
            yield judged(Outcome.PASS, board, "DashboardBody", message, span=span, salient=space)
        return
    for board, seen in read:
        spaces = ", ".join(sorted({space for space, _ in seen.spaces})) or "no metric"
        if seen.open:
            message = f"only deploy time, or a query, knows all that {board.logical_id} shows"
            yield judged(Outcome.UNKNOWN, board, "DashboardBody", message, span=seen.open[0])
        else:
            message = f"{board.logical_id} shows only what AWS publishes: {spaces}"
            yield judged(Outcome.FAIL, board, "DashboardBody", message)


def _shown(template: Template, board: Resource) -> _Seen:
    node: Node | None = template.source.root
    for step in ("Resources", board.logical_id, "Properties", "DashboardBody"):
        node = node.entries.get(step) if isinstance(node, Map) else None
    body = from_node(node, template.document, {})[0] if node is not None else board.at("DashboardBody")
    if isinstance(body, (Malformed, Unread)):
        return _Seen([], [body.span])
    seen = _Seen([], [])
    widgets = descend(body, board.span, ["widgets"])[0]
    if isinstance(widgets, Unknown):
        seen.open.append(widgets.span)
    for widget in widgets.items if isinstance(widgets, Seq) else ():
        _widget(widget, seen)
    return seen


def _widget(widget: Value, seen: _Seen) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    kind = descend(widget, widget.span, ["type"])[0]
    if isinstance(kind, Scalar) and kind.text in ("text", "alarm"):
        return
    if not isinstance(kind, Scalar) or kind.text != "metric":
        seen.open.append(widget.span)
        return
    metrics = descend(widget, widget.span, ["properties", "metrics"])[0]
    if isinstance(metrics, Unknown):
        seen.open.append(metrics.span)
    for metric in metrics.items if isinstance(metrics, Seq) else ():
        first = metric.items[0] if isinstance(metric, Seq) and metric.items else metric
        _namespace(first, seen)


def _namespace(first: Value, seen: _Seen) -> None:
    match first:
        case Scalar("." | "..."):
            return
        case Scalar(text):
            seen.spaces.append((text, first.span))
        case Unknown(span, (str(), *_) as parts):
            seen.spaces.append((spelled(parts), span))
        case Map({"expression": Scalar(text)}):
            _searched(text, first.span, seen)
        case _:
            seen.open.append(first.span)


def _searched(text: str, span: Span, seen: _Seen) -> None:
    """The namespace of ``SEARCH('{AWS/Lambda,FunctionName} …')``; a query in SQL may name any."""
    for piece in text.split("{")[1:]:
        seen.spaces.append((piece.partition(",")[0].strip(" \"'}"), span))
    if "{" not in text and ("SEARCH" in text.upper() or "SELECT" in text.upper()):
        seen.open.append(span)
