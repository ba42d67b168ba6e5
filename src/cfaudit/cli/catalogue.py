"""The commands that print what cfaudit knows: rules, one rule, the reference template, the graph, the schemas."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfaudit import fleet
from cfaudit.cli.shell import (
    AsOfOption,
    EnvironmentOption,
    ParamOption,
    ParamsOption,
    ProfileOption,
    RegionOption,
    RulesOption,
    StopError,
    app,
    color,
    day,
    parameters,
    profile_name,
    rules_dirs,
    width,
)
from cfaudit.finding import Severity
from cfaudit.pipeline import Audit, audit
from cfaudit.rule import load_categories
from cfaudit.rulebook import Rulebook, rulebook
from cfaudit.sources.files import read

rules_app = typer.Typer(help="The rule catalogue.", rich_markup_mode=None)
app.add_typer(rules_app, name="rules")


class TemplateFormat(StrEnum):
    """How the reference template is written."""

    YAML = "yaml"
    JSON = "json"


class GraphFormat(StrEnum):
    """How the integration graph is written."""

    MERMAID = "mermaid"
    DOT = "dot"


@rules_app.callback(invoke_without_command=True)
def rules(context: typer.Context) -> None:
    """List the catalogue."""
    if context.invoked_subcommand is None:
        _list_rules(_here(None), "", None, None)


@rules_app.command("list")
def rules_list(
    word: Annotated[str, typer.Argument(help="Only rules whose id or sentences hold this word.")] = "",
    category: Annotated[str | None, typer.Option(help="Only rules of this category.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only rules of this severity.")] = None,
    rules: RulesOption = None,
) -> None:
    """List rules: id, severity and what they require."""
    _list_rules(_here(rules), word, category, severity)


def _here(directories: list[str] | None) -> Rulebook:
    """The built-in rules with those of directories and of the configuration that applies where the command runs."""
    named = rules_dirs(directories)
    return rulebook((*named, *fleet.config_of("-", rules_dirs=named).rules_dirs))


def _list_rules(book: Rulebook, word: str, category: str | None, severity: str | None) -> None:
    categories = {entry.id: entry.title for entry in load_categories()}
    if category is not None and category not in categories:
        raise StopError(f"--category {category}: there are {', '.join(categories)}")
    if severity is not None and severity not in [member.value for member in Severity]:
        raise StopError(f"--severity {severity}: there are {', '.join(member.value for member in Severity)}")
    held = [
        rule
        for rule in book.rules
        if category in (None, rule.category)
        and severity in (None, rule.severity.value)
        and word.lower() in " ".join((rule.id, rule.title, rule.holds, rule.fails, rule.requirement)).lower()
    ]
    if not held:
        raise StopError("no rule matches; 'cfaudit rules' lists them all")
    width = max(len(rule.id) for rule in held)
    for name, title in categories.items():
        of_category = [rule for rule in held if rule.category == name]
        if of_category:
            print(f"\n{title}")
        for rule in of_category:
            print(f"  {rule.id:{width}}  {rule.severity.value:8}  {rule.holds}")
    print(f"\n{len(held)} rules; 'cfaudit explain RULE' prints one in full")


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="A rule's id.")],
    rules: RulesOption = None,
) -> None:
    """Print the page of one rule."""
    from cfaudit.render.markdown import rule_page

    book = _here(rules)
    held = {row.id: row for row in book.rules}
    named = book.catalogue.ids.get(rule)
    if named is None:
        raise StopError(f"there is no rule {rule!r}; {book.catalogue.near(rule)}")
    row = held[named]
    page = rule_page(row, book.checks[row.check])
    if sys.stdout.isatty():
        from cfaudit.render.console import page as console_page

        page = console_page(page, width=width(), color=color())
    sys.stdout.write(page)


@app.command()
def reference(
    format: Annotated[TemplateFormat, typer.Option("--format", "-f", help="YAML or JSON.")] = TemplateFormat.YAML,  # noqa: A002
) -> None:
    """Print the reference template, which passes every rule."""
    from cfaudit.render.template import to_json

    path = _reference_path()
    text = path.read_text(encoding="utf-8")
    sys.stdout.write(text if format is TemplateFormat.YAML else to_json(text, str(path)))


def _reference_path() -> Path:
    import cfaudit.reference as package

    return Path(package.__file__ or "").parent / "crowdfunding.yaml"


@app.command()
def graph(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A template, - for stdin.")],
    format: Annotated[GraphFormat, typer.Option("--format", "-f", help="What to print.")] = GraphFormat.MERMAID,  # noqa: A002
    profile: ProfileOption = None,
    rules: RulesOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Draw who invokes, starts, publishes, reads and writes what, with the gaps marked."""
    from cfaudit.render.graph import to_dot, to_mermaid
    from cfaudit.report import graph_object

    values = parameters(params, param or ())
    held = _audited(path, profile, rules_dirs(rules), values, environment, region, as_of)
    drawn = graph_object(held)
    sys.stdout.write((to_mermaid if format is GraphFormat.MERMAID else to_dot)(drawn, held.source.path))


@app.command()
def access(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A template, - for stdin.")],
    profile: ProfileOption = None,
    rules: RulesOption = None,
    param: ParamOption = None,
    params: ParamsOption = None,
    environment: EnvironmentOption = None,
    region: RegionOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Hold against each other what each function's code calls, what its role allows and what is declared."""
    from cfaudit.render.access import render

    values = parameters(params, param or ())
    held = _audited(path, profile, rules_dirs(rules), values, environment, region, as_of)
    sys.stdout.write(render(held.template, _support()))


def _support() -> tuple[str, ...]:
    """The actions that Lambda itself takes with a function's role, as the rule about unused grants lists them."""
    (rule,) = (rule for rule in fleet.rules() if rule.id == "unused-service-grants")
    listed = (rule.arguments.get(name) for name in ("support", "deliveries"))
    return tuple(str(pattern) for patterns in listed if isinstance(patterns, tuple) for pattern in patterns)


def _audited(
    path: str,
    profile: str | None,
    directories: tuple[str, ...],
    values: Mapping[str, str],
    environment: str | None,
    region: str | None,
    as_of: datetime | None,
) -> Audit:
    """One template, audited as ``check`` does."""
    options = fleet.Options(
        as_of=day(as_of),
        parameters=values,
        environment=environment,
        region=region,
        profile=profile_name(profile),
        rules_dirs=directories,
    )
    config = fleet.config_of(path, options.profile, directories)
    settings, known = fleet.settings_for(path, config, options), fleet.rulebook_of(config, options).rules
    return audit(read(path), "<stdin>" if path == "-" else path, settings, known)


@app.command()
def schema(
    name: Annotated[str, typer.Argument(help="report, config, profile, baseline or diff.")] = "report",
) -> None:
    """Print a JSON Schema."""
    path = Path(__file__).parent.parent / "schemas" / f"{name}.json"
    if name not in ("report", "config", "profile", "baseline", "diff"):
        raise StopError(f"there is no schema {name!r}; there are report, config, profile, baseline and diff")
    sys.stdout.write(path.read_text(encoding="utf-8"))
