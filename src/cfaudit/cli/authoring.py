"""The commands of those who write rules: a new rule that already runs, and the proof of a directory of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfaudit.cli.catalogue import rules_app
from cfaudit.cli.shell import StopError, rules_dirs
from cfaudit.rule import load_categories, nearest

UNPROVED, UNUSABLE = 1, 2


@rules_app.command("new")
def new_rule(
    name: Annotated[str, typer.Argument(metavar="ID", help="The rule's id: a noun phrase that names the gap.")],
    category: Annotated[str, typer.Option("--category", "-c", help="The row of the scorecard that it counts in.")],
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The directory of rules.")] = Path("rules"),
) -> None:
    """Write a rule that already runs, with its fixtures, to be edited; nothing is overwritten."""
    from cfaudit import scaffold
    from cfaudit.proof import fixtures_of
    from cfaudit.rule import rule_files
    from cfaudit.rulebook import rulebook, unfit

    categories = [row.id for row in load_categories()]
    if category not in categories:
        raise StopError(f"--category {category}: there is none; {nearest(category, categories)}")
    there = (str(directory),) if directory.is_dir() and rule_files(directory) else ()
    problem = unfit(name, rulebook(there).rules)
    if problem:
        raise StopError(problem)
    wanted = scaffold.files(name, category, directory, fixtures_of(directory))
    for path in wanted:
        if path.exists():
            raise StopError(f"{path}: is there already; nothing was written")
    for path, text in wanted.items():
        _create(path, text)
        print(path)
    print(f"\nEdit them; 'cfaudit rules test {directory}' tries the rule against its fixtures")


def _create(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise StopError(f"{path}: cannot be written: {error.strerror}") from None


@rules_app.command("test")
def prove_rules(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="A directory of rules.")] = "rules",
) -> None:
    """Try every rule of a directory against its fixtures; exit 1 when one is disproved, 2 on unusable input."""
    from cfaudit.proof import prove

    try:
        rules_dirs([directory])
    except StopError as stop:
        raise StopError(str(stop).removeprefix("--rules ")) from None
    proof = prove(directory)
    for problem in proof.problems:
        print(f"{problem.place}: {problem.message}")
    wrong = len(proof.problems)
    verdict = "everything holds" if not wrong else f"{wrong} {'problem' if wrong == 1 else 'problems'}"
    print(f"{_count(proof.rules, 'rule')}, {_count(proof.fixtures, 'fixture')}: {verdict}")
    if any(problem.unusable for problem in proof.problems):
        raise typer.Exit(UNUSABLE)
    raise typer.Exit(UNPROVED if wrong else 0)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
