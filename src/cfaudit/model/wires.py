"""What one resource does to another: the typed edges of the integration graph; ``wiring`` finds them.

An edge of ``declarations`` says that one resource's text refers to another; a wire says what that means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class Wiring:
    """The integration graph.

    ``broad`` are wires without target: a principal that may do it to whatever there is (``lambda:InvokeFunction`` on
    ``*``), and permissions for a function that only deploy time knows.
    """

    wires: tuple[Wire, ...]
    broad: tuple[Wire, ...]

    @cached_property
    def _into(self) -> Mapping[str, tuple[Wire, ...]]:
        return _by(self.wires, [wire.target for wire in self.wires])

    @cached_property
    def _out_of(self) -> Mapping[str, tuple[Wire, ...]]:
        return _by(self.wires, [wire.source for wire in self.wires])

    def into(self, target: str, *kinds: WireKind) -> tuple[Wire, ...]:
        """What ends in a resource, in template order; ``kinds`` restricts the answer."""
        found = self._into.get(target, ())
        return tuple(wire for wire in found if wire.kind in kinds) if kinds else found

    def out_of(self, source: str, *kinds: WireKind) -> tuple[Wire, ...]:
        """What starts in a resource."""
        found = self._out_of.get(source, ())
        return tuple(wire for wire in found if wire.kind in kinds) if kinds else found


def _by(wires: tuple[Wire, ...], names: list[str]) -> Mapping[str, tuple[Wire, ...]]:
    found: dict[str, list[Wire]] = {}
    for wire, name in zip(wires, names, strict=True):
        found.setdefault(name, []).append(wire)
    return {name: tuple(members) for name, members in found.items()}
