"""An Audit in, which of its resources the tests name out.

A test that names a resource's type alone may be about any resource of that type: it is shown, and counts for none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from cfaudit.model.declarations import Resource
from cfaudit.pipeline import Audit

if TYPE_CHECKING:
    from cfaudit.sources.results import Run
    from cfaudit.sources.suites import Place, Suite


class Tested(NamedTuple):
    """A resource and the places of the test sources that name it."""

    logical_id: str
    type: str
    places: tuple[Place, ...]


class TestedType(NamedTuple):
    """A type of resource: how many there are, how many of them tests name, and where tests name the type itself."""

    type: str
    resources: int
    named: int
    places: tuple[Place, ...]


class Coverage(NamedTuple):
    """What the tests name of ``resources`` in how many ``files``, and how they ended; None: nobody brought that."""

    files: int
    resources: tuple[Tested, ...]
    types: tuple[TestedType, ...]
    left_out: int
    run: Run | None

    @property
    def named(self) -> int:
        """How many resources the tests name."""
        return sum(bool(resource.places) for resource in self.resources)

    @property
    def earned(self) -> float:
        """The resources that are named, times the share of the tests that passed."""
        if self.run is None:
            return float(self.named)
        return self.named * self.run.passed / self.run.run if self.run.run else 0.0

    @property
    def detail(self) -> str:
        """The numbers as a sentence."""
        said = []
        if self.files:
            are = "is" if self.named == 1 else "are"
            said.append(f"{self.named} of {len(self.resources)} resources {are} named by tests")
        if self.run is not None:
            said.append(f"{self.run.passed} of {self.run.run} tests passed" if self.run.run else "no test was run")
        if self.left_out:
            said.append(f"{self.left_out} test sources were too large or too many to read")
        return "; ".join(said)


def coverage(audit: Audit) -> Coverage | None:
    """The evidence of tests about one template, None where nobody brought any."""
    suite, run, _ = audit.settings.brought
    if suite is None:
        return Coverage(0, (), (), 0, run) if run else None
    declared = _declared(audit)
    kinds = {resource.type.rpartition("::")[2] for resource in declared}
    resources = tuple(Tested(each.logical_id, each.type, _places(suite, each.logical_id, kinds)) for each in declared)
    types = tuple(_type(suite, name, resources) for name in sorted({resource.type for resource in declared}))
    return Coverage(suite.files, resources, types, suite.left_out, run)


def _declared(audit: Audit) -> list[Resource]:
    """The resources that any scenario deploys, but for those of loops that nobody can count."""
    uncounted = {name for template, _ in audit.cases for loop in template.source.loops for name in loop.members}
    found = {name: each for template, _ in audit.cases for name, each in template.resources.items()}
    return [each for name, each in found.items() if name not in uncounted]


_ONE_WORD = re.compile(r"[A-Za-z]?[a-z0-9]*|[A-Z0-9]+")


def _places(suite: Suite, logical_id: str, kinds: set[str]) -> tuple[Place, ...]:
    """Where tests name a logical id; one that is a word of its own (``Key``, ``UserPool``) only as a string."""
    common = logical_id in kinds or _ONE_WORD.fullmatch(logical_id)
    return (suite.strings if common else suite.words).get(logical_id, ())


def _type(suite: Suite, name: str, resources: tuple[Tested, ...]) -> TestedType:
    same = [resource for resource in resources if resource.type == name]
    return TestedType(name, len(same), sum(bool(resource.places) for resource in same), suite.types.get(name, ()))
