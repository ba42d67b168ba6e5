"""Template and arguments in, findings out: one function per kind of question, and this one table of them.

A check is ``(template, facts, *, plain YAML arguments) -> Iterator[Finding]``. It yields its passes too. Its docstring
is printed on the rule's page under "How it is decided".
"""

from __future__ import annotations

from collections.abc import Mapping

from cfaudit.checks import settings
from cfaudit.evaluate import Check

CHECKS: Mapping[str, Check] = {
    "setting": settings.setting,
}
