"""Edits of the reference template, per rule: each makes its rule fail, and only the others that it lists."""

from mutations import completeness, documentation, integration, readiness, security
from mutations.edits import Edit

BY_CATEGORY: dict[str, dict[str, tuple[Edit, ...]]] = {
    "resource-completeness": completeness.EDITS,
    "security": security.EDITS,
    "integration-quality": integration.EDITS,
    "production-readiness": readiness.EDITS,
    "documentation": documentation.EDITS,
}
EDITS = {rule: edits for category in BY_CATEGORY.values() for rule, edits in category.items()}
