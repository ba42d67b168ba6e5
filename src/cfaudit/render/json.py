"""The report object in, its JSON text out."""

from __future__ import annotations

import json

from cfaudit.report import Report


def render(report: Report) -> str:
    """The report as JSON, indented, keys in the order of the schema, ending in a line break."""
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"
