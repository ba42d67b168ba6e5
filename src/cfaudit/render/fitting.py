"""Blocks of text in several lengths in, the longest choice that fits a limit out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

Rank: TypeAlias = tuple[int, int]
GAP = "\n\n"


class Block(NamedTuple):
    """A part of a text: its forms from the fullest to the tersest, and when each of the terser ones takes over.

    ``ranks`` has one member fewer than ``forms``; lower ranks give way first, equal ones together.
    """

    kind: str
    forms: tuple[str, ...]
    ranks: tuple[Rank, ...] = ()


def size(text: str) -> int:
    """Bytes in UTF-8: a limit in characters holds for them all the more."""
    return len(text.encode("utf-8", "replace"))


def fitted(blocks: Sequence[Block], limit: int) -> list[int]:
    """For each block the form to take, so that they fit together; the tersest of all where nothing else does."""
    chosen = [0] * len(blocks)
    total = sum(map(_room, (block.forms[0] for block in blocks)))
    steps = sorted(
        (rank, position, form) for position, block in enumerate(blocks) for form, rank in enumerate(block.ranks, 1)
    )
    last: Rank | None = None
    for rank, position, form in steps:
        if total <= limit and rank != last:
            break
        forms = blocks[position].forms
        total += _room(forms[form]) - _room(forms[chosen[position]])
        chosen[position], last = form, rank
    return chosen


def joined(texts: Iterable[str]) -> str:
    """The texts that are not empty, an empty line between them, ending in a line break."""
    return GAP.join(stripped for text in texts if (stripped := text.strip("\n"))) + "\n"


def _room(text: str) -> int:
    return size(text) + len(GAP) if text else 0
