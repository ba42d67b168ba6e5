"""Outcomes in, the same outcomes out; meanwhile a person at a terminal sees how far a long run is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MANY = 20
PATIENCE = 1.0
PERIOD = 0.1


def watched(outcomes: Iterable[T], count: int) -> Iterator[T]:
    """Each outcome as it comes; on a terminal a line on stderr counts many of them, and is gone at the end."""
    if count < MANY or not sys.stderr.isatty():
        yield from outcomes
        return
    start = shown = time.monotonic()
    try:
        for done, outcome in enumerate(outcomes, start=1):
            now = time.monotonic()
            if now - start > PATIENCE and now - shown > PERIOD:
                shown = now
                print(f"\r\x1b[K{done} of {count}", end="", file=sys.stderr, flush=True)
            yield outcome
    finally:
        if shown > start:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
