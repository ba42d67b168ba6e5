"""The command that says how a template would be audited, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from cfaudit import fleet
from cfaudit.cli.shell import RulesOption, app, rules_dirs
from cfaudit.config import Config
from cfaudit.finding import Severity
from cfaudit.profile import AUTO, load_profile


@app.command("config")
def config(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A template or a folder.")] = ".",
    rules: RulesOption = None,
) -> None:
    """Print the values that apply to a template, and where each comes from."""
    directories = rules_dirs(rules)
    held = fleet.config_of(path if path != "." else "./template", rules_dirs=directories)
    print(f"configuration  {held.path or 'none; defaults apply'}")
    rows = [*_rows(held), *(("rules_dirs", directory, "--rules") for directory in directories)]
    width = max(len(name) for name, _, _ in rows)
    room = max(len(value) for _, value, _ in rows)
    for name, value, origin in rows:
        print(f"{name:{width}}  {value:{room}}  {origin}")


def _rows(held: Config) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of each setting."""
    chosen = held.profile or AUTO
    profile = load_profile(chosen) if chosen != AUTO else None
    yield "profile", chosen, _origin(held, "profile")
    fail_on = held.fail_on or (profile.fail_on if profile else None)
    by_profile = f"profile {chosen}"
    yield (
        "fail_on",
        fail_on or Severity.CRITICAL.value,
        _origin(held, "fail_on") if held.fail_on or not fail_on else by_profile,
    )
    least = held.min_score if held.min_score is not None or profile is None else profile.min_score
    from_profile = held.min_score is None and least is not None
    yield (
        "min_score",
        "none" if least is None else f"{least:g}",
        by_profile if from_profile else _origin(held, "min_score"),
    )
    for rule in sorted(held.off):
        yield f"rules.{rule}", "off", _origin(held, "rules")
    for rule, severity in sorted(held.grades.items()):
        yield f"rules.{rule}", severity.value, _origin(held, "rules")
    for directory in held.rules_dirs:
        yield "rules_dirs", directory, _origin(held, "rules_dirs")
    for component, logical_id in held.bind.items():
        yield f"bind.{component}", logical_id, _origin(held, "bind")
    for entry in held.external:
        yield f"external.{entry.kind}", f"{entry.value}: {entry.reason}", entry.span.point()
    if held.baseline:
        yield "baseline", held.baseline, _origin(held, "baseline")
    if held.screening:
        yield "screening", held.screening.value, held.screening.span.point()
    for key, paths in (("tests", held.tests), ("junit", held.junit), ("docs", held.docs)):
        if paths:
            yield key, ", ".join(paths), _origin(held, key)
    for environment, values in held.environments.items():
        yield (
            f"environments.{environment}",
            ", ".join(f"{k}={v}" for k, v in values.items()),
            _origin(held, "environments"),
        )
    for waiver in held.waivers:
        until = f" until {waiver.until}" if waiver.until else ""
        where = ", ".join(waiver.resources) or waiver.template or "everywhere"
        yield f"waivers.{waiver.rules[0]}", f"{where}: {waiver.reason}{until}", waiver.span.point()


def _origin(held: Config, key: str) -> str:
    return held.keys[key].point() if key in held.keys else "default"
