"""Templates in, how far the two engines of --lint agree on them, and what each costs, out.

    python benchmarks/lint_agreement.py                   the shipped fixtures, and cfn-lint's own test templates
    python benchmarks/lint_agreement.py --templates DIR   any other templates

cfn-lint's test templates come from its source distribution, which pip downloads into a temporary folder. Each engine
runs in a process of its own, once over everything, so that start-up, time and peak memory are its alone. Compared is
what ``cfaudit check --lint`` would use: the errors and warnings of every file that cfaudit can read.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cfaudit.load import load
from cfaudit.nodes import TemplateError
from cfaudit.sources.files import inputs, read
from cfaudit.validity import CFN_LINT, ENGINES, FAST, Validity, validate

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "fixtures"
SOURCES = "cfn-lint==1.58.0"
TEMPLATES = "test/fixtures/templates"
TRIVIAL = "Resources: {Handle: {Type: AWS::CloudFormation::WaitConditionHandle}}\n"
MEBI = 1024.0 if sys.platform != "darwin" else 1024.0 * 1024.0


class Said(NamedTuple):
    """What an engine said of one template: (id, line) of its errors and of its warnings, in how many seconds."""

    errors: frozenset[tuple[str, int]]
    warnings: frozenset[tuple[str, int]]
    failure: str | None
    seconds: float


class Engine(NamedTuple):
    """A whole run of an engine: its version, the seconds to its first answer, its peak MiB, what it said by path."""

    name: str
    start: float
    peak: float
    said: dict[str, Said]


def main() -> int:
    """Arguments in, exit code out."""
    parser = argparse.ArgumentParser(description="Compare the engines of --lint.")
    parser.add_argument("--templates", type=Path, metavar="DIR", help="compare on these instead")
    parser.add_argument("--list", action="store_true", help="also name the templates that only one engine rejects")
    parser.add_argument("--only", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(run(arguments.only, sys.stdin.read().splitlines())))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        corpora = {str(arguments.templates): arguments.templates} if arguments.templates else fetched(Path(folder))
        for title, corpus in corpora.items():
            print("\n".join(compare(title, corpus, named=arguments.list)), flush=True)
    return 0


def fetched(folder: Path) -> dict[str, Path]:
    """A temporary folder in, the corpora by title out; pip downloads, and its own error says why it cannot."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "cfn-lint", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, SOURCES], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as tar:
        tar.extractall(folder, [member for member in tar if f"/{TEMPLATES}/" in member.name], filter="data")
    return {"fixtures": SHIPPED, f"test templates of {SOURCES}": next(folder.glob(f"*/{TEMPLATES}"))}


def readable(corpus: Path) -> tuple[list[str], int]:
    """A folder in, the templates in it that cfaudit can read and the number of the other files out."""
    found, others = [], 0
    for entry in inputs([str(corpus)]):
        try:
            load(read(entry.path), entry.path)
            found.append(entry.path)
        except TemplateError:
            others += 1
    return found, others


# One engine, in a process of its own ---------------------------------------------------------------------------------


def run(engine: str, paths: Iterable[str]) -> dict[str, object]:
    """An engine and paths in, what it says of each out."""
    begun = time.perf_counter()
    name = validate(engine, TRIVIAL, "trivial.yaml", None, {}).engine
    start = time.perf_counter() - begun
    said = {path: list(timed(engine, path)) for path in paths}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBI
    return {"name": name, "start": start, "peak": peak, "said": said}


def timed(engine: str, path: str) -> Iterator[object]:
    """An engine and a template in, the fields of a ``Said`` out."""
    text = read(path)
    begun = time.perf_counter()
    held = validate(engine, text, path, None, {})
    seconds = time.perf_counter() - begun
    yield from (pairs(held, "error"), pairs(held, "warning"), held.failure, seconds)


def pairs(held: Validity, level: str) -> list[tuple[str, int]]:
    """The distinct (id, line) of one level."""
    return sorted({(problem.rule, problem.span.line) for problem in held.problems if problem.level == level})


def apart(engine: str, paths: list[str]) -> Engine:
    """An engine and paths in, its run in a fresh process out."""
    command = [sys.executable, "-W", "ignore", __file__, "--only", engine]
    done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
    held = json.loads(done.stdout)
    said = {
        path: Said(frozenset(map(tuple, errors)), frozenset(map(tuple, warnings)), failure, seconds)
        for path, (errors, warnings, failure, seconds) in held["said"].items()
    }
    return Engine(held["name"], held["start"], held["peak"], said)


# The tables ----------------------------------------------------------------------------------------------------------


def compare(title: str, corpus: Path, *, named: bool) -> Iterator[str]:
    """A corpus in, lines of Markdown out."""
    paths, others = readable(corpus)
    fast, slow = (apart(engine, paths) for engine in (FAST, CFN_LINT))
    yield f"## {title}: {len(paths)} templates ({others} more that cfaudit cannot read)"
    yield ""
    yield from costs(fast, slow)
    yield ""
    yield from verdicts(fast, slow)
    yield ""
    yield from answers(fast, slow)
    yield ""
    yield from differences(fast, slow)
    yield ""
    if named:
        yield from rejected(fast, slow, corpus)
        yield from rejected(slow, fast, corpus)
        yield ""


def rejected(one: Engine, other: Engine, corpus: Path) -> Iterator[str]:
    """The templates in which only the first engine finds errors, as a list."""
    for path, said in one.said.items():
        if said.errors and not other.said[path].errors:
            told = ", ".join(f"{rule} in line {line}" for rule, line in sorted(said.errors, key=lambda pair: pair[1]))
            yield f"- only {one.name}: {Path(path).relative_to(corpus)}: {told}"
    for path, said in one.said.items():
        if said.failure:
            yield f"- {Path(path).relative_to(corpus)}: {said.failure}"


def costs(*engines: Engine) -> Iterator[str]:
    """What the engines cost, as a table."""
    yield "| engine | first answer s | median s | 95% s | slowest s | all s | peak MiB | gave up on |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for engine in engines:
        took = sorted(said.seconds for said in engine.said.values())
        late = took[min(len(took) - 1, int(len(took) * 0.95))]
        broke = sum(said.failure is not None for said in engine.said.values())
        yield (
            f"| {engine.name} | {engine.start:.2f} | {statistics.median(took):.4f} | {late:.3f} | {took[-1]:.2f} "
            f"| {sum(took):.1f} | {engine.peak:.0f} | {broke} |"
        )


def verdicts(fast: Engine, slow: Engine) -> Iterator[str]:
    """How often the engines call the same templates valid, as a table."""
    held = Counter((bool(fast.said[path].errors), bool(slow.said[path].errors)) for path in fast.said)
    same = held[False, False] + held[True, True]
    yield "| same verdict | both valid | both invalid | only cloudformation-validate finds errors | only cfn-lint |"
    yield "|--:|--:|--:|--:|--:|"
    yield (
        f"| {same}/{len(fast.said)} ({same / len(fast.said):.1%}) | {held[False, False]} | {held[True, True]} "
        f"| {held[True, False]} | {held[False, True]} |"
    )


def answers(fast: Engine, slow: Engine) -> Iterator[str]:
    """How far the (id, line) pairs are the same, as a table."""
    yield "| (id, line) pairs | both | only cloudformation-validate | only cfn-lint | shared |"
    yield "|---|--:|--:|--:|--:|"
    for level in ("errors", "warnings"):
        one, other = located(fast, level), located(slow, level)
        whole = len(one | other)
        share = f"{len(one & other) / whole:.1%}" if whole else "-"
        yield f"| {level} | {len(one & other)} | {len(one - other)} | {len(other - one)} | {share} |"


def located(engine: Engine, level: str) -> set[tuple[str, str, int]]:
    """Every (path, id, line) of a level."""
    return {
        (path, *pair)
        for path, said in engine.said.items()
        for pair in (said.errors if level == "errors" else said.warnings)
    }


def differences(fast: Engine, slow: Engine, most: int = 12) -> Iterator[str]:
    """What only one engine calls an error, by kind and id, as a table."""
    yield "| errors of only one engine, by what the other says | cloudformation-validate | cfn-lint |"
    yield "|---|---|---|"
    kinds = [by_kind(fast, slow), by_kind(slow, fast)]
    for kind in ("a warning there", "same id, other line", "other id there", "other error in the template", "nothing"):
        cells = []
        for found in kinds:
            held = found.get(kind, Counter())
            ids = ", ".join(
                f"{rule} {count}" for rule, count in sorted(held.items(), key=lambda e: (-e[1], e[0]))[:most]
            )
            rest = len(held) - most
            cells.append(f"**{held.total()}** {ids}" + (f" and {rest} more ids" if rest > 0 else ""))
        yield f"| {kind} | {' | '.join(cells)} |"


def by_kind(one: Engine, other: Engine) -> dict[str, Counter[str]]:
    """The errors of one engine that the other does not have, counted by kind and id."""
    found: dict[str, Counter[str]] = {}
    for path, said in one.said.items():
        for rule, line in said.errors - other.said[path].errors:
            found.setdefault(kind_of(rule, line, other.said[path]), Counter())[rule] += 1
    return found


def kind_of(rule: str, line: int, there: Said) -> str:
    """What the other engine says in the place of an error."""
    if (f"W{rule[1:]}", line) in there.warnings:
        return "a warning there"
    if any(rule == other for other, _ in there.errors):
        return "same id, other line"
    if any(line == where for _, where in there.errors):
        return "other id there"
    return "other error in the template" if there.errors else "nothing"


if __name__ == "__main__":
    sys.exit(main())
