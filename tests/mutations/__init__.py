"""Edits of the reference template, per rule: each makes its rule fail, and only the others that it lists."""

from mutations import completeness, documentation, integration, readiness, security

EDITS = {**completeness.EDITS, **security.EDITS, **integration.EDITS, **readiness.EDITS, **documentation.EDITS}
