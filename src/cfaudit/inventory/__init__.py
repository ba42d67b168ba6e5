"""A Template and a profile's components in, what fills each component out."""

from cfaudit.inventory.matching import Component, Match, components_of, match

__all__ = ["Component", "Match", "components_of", "match"]
