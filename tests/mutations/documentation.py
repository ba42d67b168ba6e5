"""Documentation: what the template says of itself."""

from __future__ import annotations

from mutations.edits import Edit

EDITS: dict[str, tuple[Edit, ...]] = {}
