"""Words on a command line in, prints and an exit code out: the only place that has either.

Exit codes: 0 the gate held, 1 it failed, 2 unusable input or arguments, 3 cfaudit broke.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cfaudit import __version__
from cfaudit.cli import authoring, baseline, catalogue, check, configuration, diff, init
from cfaudit.cli.shell import BROKE, EXPECTED, app, arguments, exit_code, message

__all__ = ["app", "authoring", "baseline", "catalogue", "check", "configuration", "diff", "init", "main"]


def main() -> None:
    """The console script."""
    try:
        app(args=arguments(sys.argv[1:]))
    except EXPECTED as error:
        print(message(error), file=sys.stderr)
        sys.exit(exit_code(error))
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
