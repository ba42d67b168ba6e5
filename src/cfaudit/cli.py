"""Words on a command line in, prints and an exit code out: the only place that has either.

Exit codes: 0 the gate held, 1 it failed, 2 unusable input or arguments, 3 cfaudit broke.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cfaudit import __version__
from cfaudit.checks import CHECKS
from cfaudit.finding import Severity
from cfaudit.nodes import NotTemplateError, TemplateError
from cfaudit.pipeline import Settings, audit, audits
from cfaudit.profile import Config, find_config, load_config
from cfaudit.report import Report, TemplateObject, report, template_object, unusable
from cfaudit.rule import Rule, RuleError, load_categories, load_rules
from cfaudit.score import Gate, score
from cfaudit.sources.files import Input, inputs, may_be_template, read

USAGE, BROKE = 2, 3

app = typer.Typer(
    name="cfaudit",
    help="Audit CloudFormation templates: is everything there that was asked for, is it wired, may it go live?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rules_app = typer.Typer(help="The rule catalogue.", rich_markup_mode=None)
app.add_typer(rules_app, name="rules")


class Format(StrEnum):
    """What ``check`` can write."""

    CONSOLE = "console"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    GITLAB = "gitlab"
    CSV = "csv"


class FailOn(StrEnum):
    """The least severity that fails the gate."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NEVER = "never"


class ProfileName(StrEnum):
    """The built-in profiles."""

    AUTO = "auto"
    CROWDFUNDING = "crowdfunding"
    SERVERLESS = "serverless"


class Scenarios(StrEnum):
    """Which combinations of conditions are audited."""

    DEFAULT = "default"
    ALL = "all"


class TemplateFormat(StrEnum):
    """How the reference template is written."""

    YAML = "yaml"
    JSON = "json"


class GraphFormat(StrEnum):
    """How the integration graph is written."""

    MERMAID = "mermaid"
    DOT = "dot"


class _StopError(Exception):
    """The run ends here with an exit code and one message on stderr."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def main() -> None:
    """The console script."""
    try:
        app()
    except _StopError as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.code)
    except TemplateError as error:
        print(_caret(error), file=sys.stderr)
        sys.exit(USAGE)
    except RuleError as error:
        print(f"{error.path}:{error.line}: {error}", file=sys.stderr)
        sys.exit(BROKE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:  # a defect of ours must not look like a failed gate
        import traceback

        traceback.print_exc()
        print("cfaudit broke; this is a defect of cfaudit, not of the template", file=sys.stderr)
        sys.exit(BROKE)


def _version(value: bool) -> None:
    if value:
        print(f"cfaudit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Audit CloudFormation templates for gaps."""


@app.command()
def check(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Templates, directories, globs, - for stdin.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.CONSOLE,  # noqa: A002
    output: Annotated[
        list[str] | None, typer.Option("--output", "-o", metavar="FORMAT=FILE", help="Also write a file; repeatable.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="Least severity that fails the gate.")] = FailOn.CRITICAL,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=100, help="Overall score below which the gate fails.")
    ] = None,
    profile: Annotated[ProfileName, typer.Option(help="What the stack is asked for.")] = ProfileName.AUTO,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter's value; repeatable.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameter values, JSON or YAML, as AWS's tools take them.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The region the stack is for, us-east-1 for example.")] = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to judge life cycles by; default today.")
    ] = None,
    scenarios: Annotated[
        Scenarios, typer.Option(help="Default parameters, or each combination of conditions on its own.")
    ] = Scenarios.DEFAULT,
    strict: Annotated[bool, typer.Option("--strict", help="Count what is unknown as not earned.")] = False,
    skip_non_templates: Annotated[
        bool, typer.Option("--skip-non-templates", help="Pass over named files that are not CloudFormation.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the scorecard only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also list unknown and n/a rules.")] = False,
) -> None:
    """Audit templates; exit 1 when the gate fails, 2 on unusable input, 3 when cfaudit broke."""
    outputs = [_output(entry) for entry in output or ()]
    given = _given(param or ())
    gate = Gate(None if fail_on is FailOn.NEVER else Severity(fail_on.value), min_score)
    base = Settings(
        as_of=as_of.date() if as_of else _today(),
        parameters={**(_parameter_file(params) if params else {}), **given},
        region=region,
        profile=profile.value,
        every_scenario=scenarios is Scenarios.ALL,
    )
    run = _Run(base, gate, load_rules(CHECKS), strict=strict)
    for entry in inputs(paths):
        run.take(entry, skip=skip_non_templates or not entry.named)
    run.check_parameters(given)
    if run.skipped:
        files = "file that is" if run.skipped == 1 else "files that are"
        print(f"skipped {run.skipped} {files} no CloudFormation template", file=sys.stderr)
    for error in run.errors:
        print(_caret(error), file=sys.stderr)
    if not (len(run.templates) == 1 and run.errors):
        result = report(run.templates)
        for target, path in outputs:
            _write(path, _rendered(result, target))
        view = _View(quiet=quiet, verbose=verbose)
        sys.stdout.write(_console(result, view) if format is Format.CONSOLE else _rendered(result, format))
        if Format.GITHUB in (format, *(target for target, _ in outputs)):
            _summarise(result)
    raise typer.Exit(run.exit_code)


class _Run:
    """The templates of one run, what could not be audited, and the exit code they come to."""

    def __init__(self, settings: Settings, gate: Gate, rules: Sequence[Rule], *, strict: bool) -> None:
        self._settings, self._gate, self._rules, self._strict = settings, gate, rules, strict
        self._categories = load_categories()
        self._configs: dict[Path | None, Config] = {}
        self._declared: set[str] = set()
        self.templates: list[TemplateObject] = []
        self.errors: list[TemplateError] = []
        self.skipped = 0
        self._codes = {0}

    @property
    def exit_code(self) -> int:
        """The highest that any template asks for."""
        return max(self._codes)

    def take(self, entry: Input, *, skip: bool) -> None:
        """Audit one input; what is no template is skipped, or unusable where it was named."""
        name = "<stdin>" if entry.path == "-" else entry.path
        try:
            text = read(entry.path)
            if skip and not may_be_template(text):
                self.skipped += 1
                return
            settings = replace(self._settings, config=self._config(entry.path))
            audited = audits(text, name, settings, self._rules)
        except NotTemplateError as error:
            if skip:
                self.skipped += 1
            else:
                self._unusable(name, error)
            return
        except TemplateError as error:
            self._unusable(name, error)
            return
        for scenario in audited:
            card = score(scenario, self._categories, self._gate, strict=self._strict)
            self._declared |= scenario.template.document.parameters.entries.keys()
            self.templates.append(template_object(card))
            self._codes.add(BROKE if card.failed else 0 if card.held else 1)

    def _unusable(self, name: str, error: TemplateError) -> None:
        self.errors.append(error)
        self.templates.append(unusable(name, error, self._settings))
        self._codes.add(USAGE)

    def _config(self, path: str) -> Config:
        found = find_config(Path.cwd() if path == "-" else Path(path).resolve().parent)
        if found not in self._configs:
            self._configs[found] = load_config(found, read(str(found))) if found else Config()
        return self._configs[found]

    def check_parameters(self, given: Iterable[str]) -> None:
        """A ``--param`` that no audited template declares is a mistake of the caller's."""
        unknown = [name for name in given if name not in self._declared]
        if unknown and not self.errors and self.templates:
            known = ", ".join(sorted(self._declared)) or "none"
            raise _StopError(f"--param {unknown[0]}: no template has this parameter; there are: {known}")


class _View:
    """How much the console report says."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.quiet, self.verbose = quiet, verbose


def _today() -> date:
    return datetime.now(UTC).date()


def _given(pairs: Iterable[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise _StopError(f"--param {pair}: write KEY=VALUE")
        found[name] = value
    return found


def _parameter_file(path: Path) -> Mapping[str, str]:
    """Parameters from a file: a map, ``{"Parameters": {…}}``, or AWS CLI's list of ParameterKey and ParameterValue."""
    from cfaudit.load import load_document
    from cfaudit.nodes import Map, Scalar, Seq

    node = load_document(read(str(path)), str(path))
    if isinstance(node, Map) and isinstance(node.entries.get("Parameters"), Map):
        node = node.entries["Parameters"]
    if isinstance(node, Map):
        pairs = {key: value.text for key, value in node.entries.items() if isinstance(value, Scalar)}
        if len(pairs) == len(node.entries):
            return pairs
    if isinstance(node, Seq):
        entries = [item.entries for item in node.items if isinstance(item, Map)]
        keyed = [(entry.get("ParameterKey"), entry.get("ParameterValue")) for entry in entries]
        found = {key.text: value.text for key, value in keyed if isinstance(key, Scalar) and isinstance(value, Scalar)}
        if len(found) == len(node.items):
            return found
    raise TemplateError(
        node.span, "this is no file of parameters", 'write {"Name": "value"}, or a list of ParameterKey/ParameterValue'
    )


def _output(entry: str) -> tuple[Format, Path]:
    name, equals, path = entry.partition("=")
    if not equals or not path or name not in [member.value for member in Format]:
        known = ", ".join(member.value for member in Format)
        raise _StopError(f"--output {entry}: write FORMAT=FILE, where FORMAT is one of {known}")
    return Format(name), Path(path)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    import tempfile

    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise _StopError(f"--output {path}: cannot be written: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _rendered(result: Report, format_: Format) -> str:
    """The report in a machine's format or as plain console text."""
    if format_ is not Format.CONSOLE:
        from cfaudit.render import render

        return render(result, format_.value)
    from cfaudit.render.console import render as render_console

    return render_console(result, width=100, color=False, quiet=False, verbose=False)


def _summarise(result: Report) -> None:
    """Append the Markdown report to the job summary of GitHub Actions, within the megabyte that a step may write."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    from cfaudit.render.markdown import SUMMARY
    from cfaudit.render.markdown import render as render_markdown

    try:
        path = Path(summary)
        room = SUMMARY - (path.stat().st_size if path.exists() else 0)
        text = render_markdown(result, room)
        if len(text.encode()) > room:
            print(f"{summary}: no room for the report in the job summary", file=sys.stderr)
            return
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        print(f"{summary}: the job summary cannot be written: {error.strerror}", file=sys.stderr)


def _console(result: Report, view: _View) -> str:
    from cfaudit.render.console import render as render_console

    return render_console(result, width=_width(), color=_color(), quiet=view.quiet, verbose=view.verbose)


def _width() -> int:
    """Columns of the terminal, at most 100; 100 where the output is piped."""
    import shutil

    return min(100, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else 100


def _color() -> bool:
    """Colour only on a terminal that has it and where NO_COLOR is not set (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _caret(error: TemplateError) -> str:
    """``file:line:column: message``, the line itself with a caret, and how to mend it."""
    lines = [f"{error.span.point()}: {error}"]
    if error.excerpt:
        excerpt, offset = _window(error.excerpt.expandtabs(1), error.span.column - 1)
        lines += [f"    {excerpt}", f"    {' ' * offset}^"]
    if error.hint:
        lines.append(f"  {error.hint}")
    return "\n".join(lines)


def _window(line: str, column: int, width: int = 90) -> tuple[str, int]:
    """The part of a long line that the caret is in."""
    start = max(0, column - width // 2) if len(line) > width else 0
    return line[start : start + width], column - start


# The catalogue and the reference -------------------------------------------------------------------------------------


@rules_app.callback(invoke_without_command=True)
def rules(context: typer.Context) -> None:
    """List the catalogue."""
    if context.invoked_subcommand is None:
        _list_rules("", None, None)


@rules_app.command("list")
def rules_list(
    word: Annotated[str, typer.Argument(help="Only rules whose id or sentences hold this word.")] = "",
    category: Annotated[str | None, typer.Option(help="Only rules of this category.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only rules of this severity.")] = None,
) -> None:
    """List rules: id, severity and what they require."""
    _list_rules(word, category, severity)


def _list_rules(word: str, category: str | None, severity: str | None) -> None:
    categories = {entry.id: entry.title for entry in load_categories()}
    if category is not None and category not in categories:
        raise _StopError(f"--category {category}: there are {', '.join(categories)}")
    if severity is not None and severity not in [member.value for member in Severity]:
        raise _StopError(f"--severity {severity}: there are {', '.join(member.value for member in Severity)}")
    held = [
        rule
        for rule in load_rules(CHECKS)
        if category in (None, rule.category)
        and severity in (None, rule.severity.value)
        and word.lower() in " ".join((rule.id, rule.title, rule.holds, rule.fails, rule.requirement)).lower()
    ]
    if not held:
        raise _StopError("no rule matches; 'cfaudit rules' lists them all")
    width = max(len(rule.id) for rule in held)
    for name, title in categories.items():
        of_category = [rule for rule in held if rule.category == name]
        if of_category:
            print(f"\n{title}")
        for rule in of_category:
            print(f"  {rule.id:{width}}  {rule.severity.value:8}  {rule.holds}")
    print(f"\n{len(held)} rules; 'cfaudit explain RULE' prints one in full")


@app.command()
def explain(rule: Annotated[str, typer.Argument(metavar="RULE", help="A rule's id.")]) -> None:
    """Print the page of one rule."""
    from difflib import get_close_matches

    from cfaudit.render.markdown import rule_page

    held = {name: row for row in load_rules(CHECKS) for name in (row.id, *row.aliases)}
    if rule not in held:
        close = get_close_matches(rule, held, 3, 0.5)
        known = f"did you mean {' or '.join(map(repr, close))}?" if close else "'cfaudit rules' lists them all"
        raise _StopError(f"there is no rule {rule!r}; {known}")
    row = held[rule]
    page = rule_page(row, CHECKS[row.check])
    if sys.stdout.isatty():
        from cfaudit.render.console import page as console_page

        page = console_page(page, width=_width(), color=_color())
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
    profile: Annotated[ProfileName, typer.Option(help="What the stack is asked for.")] = ProfileName.AUTO,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter's value; repeatable.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The region the stack is for, us-east-1 for example.")] = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to judge life cycles by; default today.")
    ] = None,
) -> None:
    """Draw who invokes, starts, publishes, reads and writes what, with the gaps marked."""
    from cfaudit.render.graph import draw, to_dot, to_mermaid

    found = find_config(Path.cwd() if path == "-" else Path(path).resolve().parent)
    settings = Settings(
        as_of=as_of.date() if as_of else _today(),
        parameters=_given(param or ()),
        region=region,
        profile=profile.value,
        config=load_config(found, read(str(found))) if found else Config(),
    )
    drawing = draw(audit(read(path), "<stdin>" if path == "-" else path, settings))
    sys.stdout.write(to_mermaid(drawing) if format is GraphFormat.MERMAID else to_dot(drawing))


@app.command()
def schema(
    name: Annotated[str, typer.Argument(help="report or config.")] = "report",
) -> None:
    """Print a JSON Schema."""
    path = Path(__file__).parent / "schemas" / f"{name}.json"
    if name not in ("report", "config"):
        raise _StopError(f"there is no schema {name!r}; there are report and config")
    sys.stdout.write(path.read_text(encoding="utf-8"))
