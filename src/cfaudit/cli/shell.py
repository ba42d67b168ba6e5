"""What every command shares: the application, how a run stops, options, files written whole, the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from cfaudit.nodes import TemplateError
from cfaudit.rule import RULES, RuleError, problem_of
from cfaudit.sources.files import read
from cfaudit.validity import ENGINES, MissingEngineError

USAGE, BROKE = 2, 3

app = typer.Typer(
    name="cfaudit",
    help="Audit CloudFormation templates: is everything there that was asked for, is it wired, may it go live?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class StopError(Exception):
    """The run ends here with an exit code and one message on stderr."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


Expected: TypeAlias = StopError | MissingEngineError | TemplateError | RuleError
EXPECTED = (StopError, MissingEngineError, TemplateError, RuleError)
"""What may end a run with a message; anything else is a defect of cfaudit."""


def message(error: Expected) -> str:
    """What is printed where an error ends a run."""
    match error:
        case TemplateError():
            return caret(error)
        case RuleError():
            return f"{error.path}:{error.line}: {error}"
        case _:
            return str(error)


def exit_code(error: Expected) -> int:
    """What a run exits with that an error ends; a defect in a shipped rule is cfaudit's own."""
    match error:
        case StopError():
            return error.code
        case RuleError() if Path(error.path).is_relative_to(RULES):
            return BROKE
        case _:
            return USAGE


class Scenarios(StrEnum):
    """Which combinations of conditions are audited."""

    DEFAULT = "default"
    ALL = "all"


ProfileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME|FILE",
        help="What the stack is asked for: auto, crowdfunding, mvp, production, serverless or a profile's file.",
        show_default="auto",
    ),
]
ParamOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter's value; repeatable.")
]
ParamsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--params", metavar="FILE", help="Parameter values, JSON or YAML, as AWS's tools take them."),
]
EnvironmentOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--environment", "-e", metavar="NAME", help="Parameter values of an environment in the configuration."
    ),
]
RegionOption: TypeAlias = Annotated[
    str | None, typer.Option("--region", help="The region the stack is for, us-east-1 for example.")
]
AsOfOption: TypeAlias = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day to judge life cycles by; default today."),
]
SelectOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="RULE",
        help="Only these rules: ids, patterns or categories, repeatable or by commas.",
    ),
]
IgnoreOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="RULE", help="Not these rules; as --select, and wins over it."),
]
RulesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--rules", metavar="DIR", help="A directory of rules beside the built-in ones; repeatable."),
]


def arguments(words: Sequence[str]) -> list[str]:
    """The words of a command line, with the engine that ``--lint`` means where no engine follows it."""
    following = (*words[1:], "")
    return [
        f"{word}={ENGINES[0]}" if word == "--lint" and after not in ENGINES else word
        for word, after in zip(words, following, strict=False)
    ]


def day(as_of: datetime | None) -> date:
    """The day to judge by; today where none was given."""
    return as_of.date() if as_of else datetime.now(UTC).date()


def given(pairs: Iterable[str]) -> dict[str, str]:
    """The values of ``--param``. Raises ``StopError`` for one without ``=``."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise StopError(f"--param {pair}: write KEY=VALUE")
        found[name] = value
    return found


def profile_name(word: str | None) -> str | None:
    """The value of ``--profile``. Raises ``StopError`` for what is neither a profile's name nor a file."""
    from cfaudit.profile import AUTO, PROFILES, is_file

    if word is None or word in (AUTO, *PROFILES) or is_file(word):
        return word
    raise StopError(f"--profile {word}: choose one of {', '.join((AUTO, *PROFILES))}, or name a profile's YAML file")


def rules_dirs(words: Iterable[str] | None) -> tuple[str, ...]:
    """The values of ``--rules``. Raises ``StopError`` for one that is no directory of rules."""
    found = tuple(words or ())
    for directory in found:
        problem = problem_of(directory)
        if problem:
            raise StopError(f"--rules {directory}: {problem}")
    return found


def parameters(file: Path | None, pairs: Iterable[str]) -> dict[str, str]:
    """The values of ``--params`` and ``--param``, which wins. Raises ``StopError`` and ``TemplateError``."""
    from cfaudit.config import parameter_file

    return {**(parameter_file(read(str(file)), str(file)) if file else {}), **given(pairs)}


def write(path: Path, text: str, option: str = "--output") -> None:
    """Write a file whole or not at all. Raises ``StopError`` where that cannot be."""
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
        raise StopError(f"{option} {path}: cannot be written: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def width() -> int:
    """Columns of the terminal, at most 100; 100 where the output is piped."""
    import shutil

    return min(100, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else 100


def color() -> bool:
    """Colour only on a terminal that has it and where NO_COLOR is not set (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def caret(error: TemplateError) -> str:
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
