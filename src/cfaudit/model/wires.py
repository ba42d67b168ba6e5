"""What one resource does to another: the typed edges of the integration graph; ``wiring`` finds them.

An edge of ``declarations`` says that one resource's text refers to another; a wire says what that means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.nodes import Span

WireKind: TypeAlias = Literal[
    "assumes",
    "encrypts",
    "invokes",
    "logs",
    "protects",
    "publishes",
    "reads",
    "sends",
    "starts",
    "uses",
    "watches",
    "writes",
]
"""What the source does to the target; ``uses`` where a property names it and nothing says what for."""

Way: TypeAlias = Literal[
    "connector",
    "custom resource",
    "event",
    "grant",
    "hand-over",
    "mapping",
    "permission",
    "property",
    "role",
    "route",
    "state",
    "variable",
]
"""How the template says it. ``hand-over``: the target's name is passed on, to a nested stack, the parameter store or
as the input of something else."""

MANY = 100
ACTING = frozenset({"invokes", "publishes", "sends", "starts"})
"""The kinds that make something happen."""


class Wire(NamedTuple):
    """One thing that one resource does to another.

    ``source`` is a logical id, or what this template does not declare and calls ``outside``: a service, an account.
    ``via`` says in words where it stands (``GET /campaigns``, ``state Release``, ``Targets.0.Arn``), ``span`` is that
    text. ``certain`` is false when only deploy time knows. ``service`` is the service that acts (``events``), where it
    is known; ``qualifier`` the alias or version of a function.
    """

    kind: WireKind
    source: str
    target: str
    span: Span
    way: Way
    via: str
    service: str = ""
    certain: bool = True
    outside: bool = False
    qualifier: str | None = None


class Spread(NamedTuple):
    """What all of ``wires``, whose own target is empty, do to each of ``targets``, certainly or perhaps.

    One pattern of a policy (``arn:aws:lambda:*:*:function:${AWS::StackName}-*``) that many roles have covers many
    functions: told pair by pair, that would grow with the square of the template. Certain wires come first.
    """

    wires: tuple[Wire, ...]
    targets: Mapping[str, bool]

    def to(self, target: str) -> Iterator[Wire]:
        """Each wire to one of the targets."""
        certain = self.targets[target]
        for wire in self.wires:
            if wire.source != target:
                yield wire._replace(target=target, certain=wire.certain and certain)


@dataclass(frozen=True)
class Wiring:
    """The integration graph.

    ``broad`` are wires without target: a principal that may do it to whatever there is (``lambda:InvokeFunction`` on
    ``*``), and permissions for a function that only deploy time knows. ``spreads`` are what patterns of policies allow.
    """

    wires: tuple[Wire, ...]
    broad: tuple[Wire, ...]
    spreads: tuple[Spread, ...]

    @cached_property
    def _into(self) -> Mapping[str, tuple[Wire, ...]]:
        return _by(self.wires, [wire.target for wire in self.wires])

    @cached_property
    def _spread_over(self) -> Mapping[str, tuple[Spread, ...]]:
        found: dict[str, list[Spread]] = {}
        for spread in self.spreads:
            for target in spread.targets:
                found.setdefault(target, []).append(spread)
        return {target: tuple(held) for target, held in found.items()}

    def into(self, target: str, *kinds: WireKind) -> tuple[Wire, ...]:
        """What ends in a resource, in template order, and of each pattern that covers it one who has it.

        ``kinds`` restricts the answer.
        """
        found = list(self._into.get(target, ()))
        for spread in self._spread_over.get(target, ()):
            found += islice(spread.to(target), 1)
        return tuple(wire for wire in found if not kinds or wire.kind in kinds)

    def shown(self) -> Iterator[Wire]:
        """Every wire between two resources, for people to see.

        Of a pattern that makes more than ``MANY`` pairs, one holder is wired to all that it covers, and all others to
        the first of it: who may do it and to what is told, and the number stays in proportion to the template.
        """
        yield from self.wires
        for spread in self.spreads:
            whole = len(spread.wires) * len(spread.targets) <= MANY
            for index, target in enumerate(spread.targets):
                yield from spread.to(target) if whole or not index else islice(spread.to(target), 1)


def _by(wires: tuple[Wire, ...], names: list[str]) -> Mapping[str, tuple[Wire, ...]]:
    found: dict[str, list[Wire]] = {}
    for wire, name in zip(wires, names, strict=True):
        found.setdefault(name, []).append(wire)
    return {name: tuple(members) for name, members in found.items()}
