"""Integration quality: who calls what, with which right, and what comes of it."""

from __future__ import annotations

from mutations.edits import Edit, arn, granted, nested

EDITS: dict[str, tuple[Edit, ...]] = {
    "batch-write-for-transactions": (
        Edit("batch write", granted("PaymentRole", "dynamodb:BatchWriteItem", arn("CampaignsTable"))),
    ),
    "unreal-iam-action": (
        Edit("no action", granted("PaymentRole", "dynamodb:TransactWriteItems", arn("CampaignsTable"))),
    ),
    "proxy-integration-method": (Edit("by GET", nested("CreateCampaign", "Integration", IntegrationHttpMethod="GET")),),
}
