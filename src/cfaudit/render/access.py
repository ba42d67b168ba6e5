"""A Template in, the table of what each function's code calls, what its role allows and what is declared out."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from cfaudit.model.functions import Function
from cfaudit.model.template import Template
from cfaudit.model.triangle import Answer, Pair, triangle
from cfaudit.nodes import Span

_SAID: dict[Answer, str] = {
    "has": "needs and has",
    "lacks": "NEEDS AND LACKS",
    "never needs": "has and never needs",
    "no action": "NO IAM ACTION",
    "open": "not known here",
}


def render(template: Template, support: tuple[str, ...]) -> str:
    """The table per function, with the lines of the call and of the grant; a trailing newline.

    ``support`` are patterns of the actions that Lambda itself takes with the function's role.
    """
    blocks = ["\n".join(_block(template, function, support)) for function in template.functions.values()]
    return "\n\n".join(blocks or ["The template declares no function."]) + "\n"


def _block(template: Template, function: Function, support: tuple[str, ...]) -> Iterator[str]:
    code = template.code[function.logical_id]
    role = function.role if function.principal else "a role that is not declared here"
    yield f"{function.logical_id} runs as {role}"
    if not code.readable:
        yield f"  its code cannot be read: {code.reason}"
    elif code.unread:
        yield f"  its code cannot be read in full: {code.unread[0].text} may call more"
    rows = [_row(pair, support) for pair in triangle(template, function)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(pair: Pair, support: tuple[str, ...]) -> tuple[str, str, str, str]:
    said = _SAID[pair.answer]
    action = pair.action.lower()
    if not pair.called and any(fnmatchcase(action, pattern.lower()) for pattern in support):
        said = "used by Lambda itself"
    elif not pair.called and any(fnmatchcase(pattern.lower(), action) for pattern in support):
        said = "may be used by Lambda itself"
    call = f"called at {_place(pair.place)}" if pair.called else ""
    grant = f"granted at {_place(pair.granted)}" if pair.granted else ""
    named = f"{pair.action} on {pair.resource}" if pair.resource else pair.action
    return named, said, call, grant


def _place(span: Span) -> str:
    return f"{span.file.rpartition('/')[2]}:{span.line}"
