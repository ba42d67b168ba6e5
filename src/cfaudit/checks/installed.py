"""The name of a check in, the function out that an installed package offers under it (entry points ``cfaudit.checks``).

Nothing is looked for before a rule of a user's directory names a check that is not built in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING

from cfaudit.checks import CHECKS
from cfaudit.evaluate import Check
from cfaudit.rule import ANNOTATIONS, CheckError, signature

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "cfaudit.checks"


class InstalledChecks(Mapping[str, Check]):
    """The built-in checks and those of installed packages; a name that is built in means the built-in one.

    Raises ``CheckError`` for an installed check that cannot be used.
    """

    def __getitem__(self, name: str) -> Check:
        return CHECKS[name] if name in CHECKS else _loaded(name)

    def __iter__(self) -> Iterator[str]:
        yield from CHECKS
        yield from (name for name in _offered() if name not in CHECKS)

    def __len__(self) -> int:
        return len(CHECKS.keys() | _offered().keys())


@cache
def _offered() -> Mapping[str, tuple[EntryPoint, ...]]:
    from importlib.metadata import entry_points

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


@cache
def _loaded(name: str) -> Check:
    entries = _offered()[name]
    if len(entries) > 1:
        raise CheckError(f"several installed packages offer the check {name!r}: {', '.join(map(_owner, entries))}")
    (entry,) = entries
    try:
        function: object = entry.load()
    except Exception as error:  # importing a package may raise anything
        message = f"the check {name!r} of {_owner(entry)} cannot be loaded: {type(error).__name__}: {error}"
        raise CheckError(message) from error
    if not isinstance(function, FunctionType):
        raise CheckError(f"the check {name!r} of {_owner(entry)} is a {type(function).__name__}, no plain function")
    problem = _unusable(function)
    if problem:
        raise CheckError(f"the check {name!r} of {_owner(entry)} {problem}")
    return function


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _unusable(function: FunctionType) -> str | None:
    """What keeps a function from being a check ``(template, facts, *, arguments)``."""
    from inspect import CO_VARARGS, CO_VARKEYWORDS

    code = function.__code__
    if code.co_argcount != 2 or code.co_flags & (CO_VARARGS | CO_VARKEYWORDS):
        return "does not take (template, facts, *, arguments): two places, then named arguments only"
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    bare = [name for name in names if name not in function.__annotations__]
    if bare:
        return f"does not say of what type {bare[0]!r} is"
    for name, (annotation, _) in signature(function).items():
        if annotation.removesuffix(" | None") not in ANNOTATIONS:
            return f"takes {name!r} as {annotation}; a rule can give {', '.join(ANNOTATIONS)}"
    return None
