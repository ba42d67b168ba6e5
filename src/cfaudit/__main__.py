"""The console script and ``python -m cfaudit``."""

from __future__ import annotations

import gc
import sys


def run() -> None:
    """One short run: it makes much and throws little away, so the collector need not look often."""
    gc.set_threshold(200_000, 20, 20)
    from cfaudit.cli import main

    main()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the directory with the audited templates, whose code is not to be imported
    run()
