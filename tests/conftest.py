"""What tests of several files share: templates of others, fetched once and never committed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

CFN_LINT = "cfn-lint==1.58.0"
TEMPLATES = "/test/fixtures/templates/"


@pytest.fixture(scope="session")
def cfn_lint_templates(pytestconfig: pytest.Config) -> Path:
    """The folder of templates that cfn-lint's source distribution ships; kept in pytest's cache."""
    assert pytestconfig.cache
    kept = pytestconfig.cache.mkdir("sources") / CFN_LINT
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            _fetch(Path(folder))
            archive = next(Path(folder).glob("*.tar.gz"))
            unpacked = Path(folder) / "unpacked"
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, [member for member in tar if TEMPLATES in member.name], filter="data")
            _put(next(unpacked.iterdir()), kept)
    return kept / TEMPLATES.strip("/")


def _fetch(folder: Path) -> None:
    """Download with pip, which builds the metadata of a source distribution; skip, saying why, where it cannot."""
    options = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
    command = ["download", *options, "--no-deps", "--no-binary", "cfn-lint", "--dest", str(folder), CFN_LINT]
    done = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["pip said nothing"]
        pytest.skip(f"the templates of {CFN_LINT} could not be fetched: {said[-1]}")


def _put(unpacked: Path, kept: Path) -> None:
    """Move into place; another worker may have been faster."""
    try:
        os.replace(unpacked, kept)
    except OSError:
        assert kept.exists()
