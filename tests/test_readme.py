"""What the README shows is what the commands print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from stacks import ROOT, rules

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_screenful_is_real() -> None:
    """Every line shown is a line of the output, in order; ``…`` alone stands for lines left out."""
    block = re.search(r"```console\n\$ cfaudit ([^\n]*)\n(.*?)```", README, re.DOTALL)
    assert block
    done = subprocess.run(
        [sys.executable, "-m", "cfaudit", *shlex.split(block[1])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    printed = iter(done.stdout.splitlines())
    shown = [line for line in block[2].splitlines() if line.strip() not in ("", "…")]
    assert len(shown) > 20
    for line in shown:
        assert line in printed, line


def test_documents_name_rules_that_exist() -> None:
    known = {rule.id for rule in rules()}
    for name in ("docs/seed-differences.md", "CONTRIBUTING.md"):
        table = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
        for line in table:
            for cell in line.split("|")[3:4]:
                assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", cell)) <= known, line


def test_make_targets_and_links_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link
