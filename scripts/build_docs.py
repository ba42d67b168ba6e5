#!/usr/bin/env python3
"""The catalogue in, docs/rules/, docs/checks.md and the README's screenful out.

``--check`` only says what is out of date.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import checks_page

from cfaudit.checks import CHECKS
from cfaudit.render.markdown import code, escape, rule_page
from cfaudit.rule import Category, Rule, load_categories, load_rules

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "rules"
CHECKS_PAGE = ROOT / "docs" / "checks.md"
README = ROOT / "README.md"
SHOWN = ("check", "fixtures/audited/crowdfunding.yaml", "--as-of", "2026-11-22")


def main() -> int:
    """Write the pages, or compare them; 1 when a comparison finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    arguments = parser.parse_args()
    wanted = pages(load_rules(CHECKS), load_categories())
    held = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    stale = sorted(name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name))
    rewritten = {
        CHECKS_PAGE: checks_page.page(CHECKS_PAGE.read_text(encoding="utf-8"), CHECKS, load_rules(CHECKS)),
        README: with_screenful(README.read_text(encoding="utf-8"), screenful()),
    }
    if arguments.check:
        outdated = [f"docs/rules/{name}" for name in stale]
        outdated += [
            path.relative_to(ROOT).as_posix()
            for path, text in rewritten.items()
            if text != path.read_text(encoding="utf-8")
        ]
        for name in outdated:
            print(f"{name} is out of date: run scripts/build_docs.py")
        return 1 if outdated else 0
    write(wanted, stale)
    for path, text in rewritten.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(wanted)} pages, {len(stale)} of them new, changed or removed")
    return 0


def pages(rules: Iterable[Rule], categories: Iterable[Category]) -> dict[str, str]:
    """The text of every file of the folder, by name."""
    held = list(rules)
    texts = {f"{rule.id}.md": rule_page(rule, CHECKS[rule.check]) for rule in held}
    return {**texts, "README.md": index(held, categories)}


def index(rules: Iterable[Rule], categories: Iterable[Category]) -> str:
    """The catalogue by category, the gravest rules first."""
    held = sorted(rules, key=lambda rule: (rule.severity.rank, rule.id))
    lines = ["# The rule catalogue", "", f"{len(held)} rules; `cfaudit explain RULE` prints any of these pages.", ""]
    for category in categories:
        of_category = [rule for rule in held if rule.category == category.id]
        if of_category:
            lines += [f"## {escape(category.title)}", "", "| Rule | Severity | What holds |", "| --- | --- | --- |"]
            lines += [
                f"| [{code(rule.id)}]({rule.id}.md) | {rule.severity.value} | {escape(rule.holds)} |"
                for rule in of_category
            ]
            lines.append("")
    return "\n".join(lines)


def screenful() -> str:
    """What the command that the README shows prints: the gravest findings and the scorecard."""
    command = [sys.executable, "-m", "cfaudit", *SHOWN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    findings, _, rest = done.stdout.partition("\nHIGH ")
    scorecard = rest[rest.index("\nSCORECARD") : rest.index("\nREADINESS")]
    return f"{findings.rstrip()}\n…\n{scorecard.rstrip()}\n"


def with_screenful(readme: str, shown: str) -> str:
    """The README with the block below the command replaced."""
    start = f"$ cfaudit {' '.join(SHOWN)}\n"
    return re.sub(re.escape(start) + r".*?```", lambda _: f"{start}{shown}```", readme, flags=re.DOTALL)


def write(wanted: Mapping[str, str], stale: Iterable[str]) -> None:
    """Write what changed and remove what no rule has any more."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in wanted:
            (PAGES / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (PAGES / name).unlink()


if __name__ == "__main__":
    sys.exit(main())
