"""The report object in, a string out: one module per format; none of them prints."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cfaudit.report import Report

RENDERERS = {
    "json": "cfaudit.render.json",
    "markdown": "cfaudit.render.markdown",
    "html": "cfaudit.render.html",
    "sarif": "cfaudit.render.sarif",
    "junit": "cfaudit.render.junit",
    "github": "cfaudit.render.github",
    "gitlab": "cfaudit.render.gitlab",
    "csv": "cfaudit.render.csv",
}
"""The module of each format that derives from the report object alone; imported when it is asked for."""


def render(report: Report, name: str) -> str:
    """The report in one of the formats."""
    renderer: Callable[[Report], str] = import_module(RENDERERS[name]).render
    return renderer(report)
