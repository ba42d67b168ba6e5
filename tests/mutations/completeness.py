"""Resource completeness: what is missing, or there and of no use."""

from __future__ import annotations

from mutations.edits import Edit, changed, without

EDITS: dict[str, tuple[Edit, ...]] = {
    "missing-fraud-detector": (Edit("draft detector", changed("ContributionDetector", DetectorVersionStatus="DRAFT")),),
    "missing-dashboards": (Edit("no such connection", changed("DashboardSource", Type="DYNAMODB")),),
    "missing-web-acl": (Edit("no association", without("WebAclAssociation")),),
}
