"""A Template and a profile's components in, what fills each component out."""

from cfaudit.inventory.matching import Component, Match, components_of, match, may_be_bound

__all__ = ["Component", "Match", "components_of", "match", "may_be_bound"]
