"""The console script and ``python -m cfaudit``."""

from __future__ import annotations

import gc


def run() -> None:
    """One short run: it makes much and throws little away, so the collector need not look often."""
    gc.set_threshold(200_000, 20, 20)
    from cfaudit.cli import main

    main()


if __name__ == "__main__":
    run()
