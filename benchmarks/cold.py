"""A template in, cold wall time and peak memory of cfaudit and of its peers out.

    python benchmarks/cold.py --make-peers DIR    make one environment for each peer
    python benchmarks/cold.py --peers DIR         compare

Every run is a fresh process. The rounds are interleaved, so that a busy machine slows all of them alike; a run may end
with any exit code that means findings.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "fixtures" / "audited" / "crowdfunding.yaml"
PINS = {"cfn-lint": "cfn-lint==1.58.0", "checkov": "checkov==3.3.30", "cfripper": "cfripper==1.22.1"}
ARGUMENTS = {
    "cfn-lint": ["{template}"],
    "checkov": ["--file", "{template}", "--framework", "cloudformation", "--quiet", "--compact", "--skip-download"],
    "cfripper": ["--resolve", "{template}"],
}
BROKEN = {"cfaudit": {2, 3}, "cfn-lint": {1}, "checkov": {2}, "cfripper": {1, 3}}
BARS = {"cfn-lint": 0.2, "cfripper": 0.25}
MEMORY_BAR = 80.0
MEBI = 1024.0 if sys.platform != "darwin" else 1024.0 * 1024.0


@dataclass
class Tool:
    """A command and what its runs took: seconds, peak MiB; `note` says what went wrong."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    note: str = ""


def main() -> int:
    """Arguments in, exit code out."""
    arguments = parse()
    if arguments.make_peers:
        return make_peers(arguments.make_peers)
    if not arguments.template.is_file():
        print(f"{arguments.template}: no such template", file=sys.stderr)
        return 2
    tools = [Tool("cfaudit", [*shlex.split(arguments.cfaudit), "check", str(arguments.template)])]
    tools += [peer(name, arguments.peers, arguments.template) for name in PINS]
    for _ in range(arguments.rounds):
        for tool in tools:
            if not tool.note:
                measure(tool)
    print(table(tools, arguments.template, arguments.rounds))
    verdicts = bars(tools)
    print("\n".join(f"{text}: {'met' if held else 'not met'}" for text, held in verdicts))
    return 1 if arguments.strict and not all(held for _, held in verdicts) else 0


def parse() -> argparse.Namespace:
    """Nothing in, the command line out."""
    parser = argparse.ArgumentParser(description="Compare cold runs of cfaudit with its peers.")
    parser.add_argument("template", nargs="?", type=Path, default=TEMPLATE)
    parser.add_argument("--cfaudit", default=f"{shlex.quote(sys.executable)} -m cfaudit", metavar="COMMAND")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where --make-peers put the peers")
    parser.add_argument("--make-peers", type=Path, metavar="DIR", help="install the pinned peers there, and stop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strict", action="store_true", help="exit 1 unless every bar is met")
    return parser.parse_args()


def make_peers(folder: Path) -> int:
    """A folder in, one environment for each peer in it out: checkov's pins contradict cfn-lint's."""
    for name, pin in PINS.items():
        print(f"{pin} into {folder / name}", flush=True)
        venv.create(folder / name, with_pip=True)
        python = folder / name / "bin" / "python"
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", pin], check=False)
        if done.returncode:
            return done.returncode
    return 0


def peer(name: str, folder: Path | None, template: Path) -> Tool:
    """A peer's name in, how to run it on the template out; the note says if it is absent."""
    program = (folder or Path("/nowhere")) / name / "bin" / name
    command = [str(program), *(word.format(template=template) for word in ARGUMENTS[name])]
    return Tool(name, command, note="" if program.is_file() else "absent: see --make-peers")


def measure(tool: Tool) -> None:
    """A tool in, one more run's time and peak memory added to it."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(tool.command, stdout=subprocess.DEVNULL, stderr=errors, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    if process.returncode < 0 or process.returncode in BROKEN[tool.name] or "No module named" in last:
        tool.note = f"did not run (exit {process.returncode}): {last[:80]}"
        return
    tool.seconds.append(seconds)
    tool.peak.append(usage.ru_maxrss / MEBI)


def table(tools: list[Tool], template: Path, rounds: int) -> str:
    """Measured tools in, a table out."""
    lines = [f"{template.name}, {rounds} interleaved cold rounds, Python {sys.version.split()[0]}", ""]
    lines.append(f"{'tool':<10}{'median s':>10}{'min s':>10}{'peak MiB':>10}{'cfaudit is':>12}")
    for tool in tools:
        if tool.note:
            lines.append(f"{tool.name:<10}{tool.note}")
            continue
        took = ratio(tools[0], tool)
        share = f"{took:.2f} of it" if took is not None and tool is not tools[0] else ""
        median, least, peak = statistics.median(tool.seconds), min(tool.seconds), max(tool.peak)
        lines.append(f"{tool.name:<10}{median:>10.3f}{least:>10.3f}{peak:>10.1f}{share:>12}")
    return "\n".join([*lines, ""])


def ratio(ours: Tool, other: Tool) -> float | None:
    """Two measured tools in, the ratio of their median times out; None if one of them did not run."""
    if ours.note or other.note:
        return None
    return statistics.median(ours.seconds) / statistics.median(other.seconds)


def bars(tools: list[Tool]) -> list[tuple[str, bool]]:
    """Measured tools in, each bar with whether it is met out; what did not run meets none."""
    result = []
    for tool in tools[1:]:
        if bar := BARS.get(tool.name):
            took = ratio(tools[0], tool)
            measured = "not measured" if took is None else f"{took:.2f}"
            result.append((f"time <= {bar} of {tool.name}'s ({measured})", took is not None and took <= bar))
    peak = max(tools[0].peak, default=None)
    measured = "not measured" if peak is None else f"{peak:.1f}"
    result.append((f"peak < {MEMORY_BAR:.0f} MiB ({measured})", peak is not None and peak < MEMORY_BAR))
    return result


if __name__ == "__main__":
    sys.exit(main())
