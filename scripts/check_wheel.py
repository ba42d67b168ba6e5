"""Build the wheel, install it into a clean environment and audit its own reference with it; exit 1 when that fails."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} exited {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Everything happens in a temporary directory, away from the source tree."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        run(folder / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
        cfaudit = folder / "venv/bin/cfaudit"
        (folder / "r.yaml").write_text(run(cfaudit, "reference", cwd=folder), encoding="utf-8")
        options = ("--fail-on", "low", "--quiet", "--as-of", "2026-11-22", "--output", "html=r.html")
        verdict = run(cfaudit, "check", "r.yaml", *options, cwd=folder)
        rules = run(cfaudit, "rules", cwd=folder).splitlines()[-1]
        print(f"{wheel.name}: {rules.split(';')[0]}; its own reference: {verdict.splitlines()[1]}")


if __name__ == "__main__":
    main()
