"""Security: keys, rights, doors and what is told to whom."""

from __future__ import annotations

from mutations.edits import Edit, arn, changed, granted, nested, without

EDITS: dict[str, tuple[Edit, ...]] = {
    "wildcard-resource": (Edit("any object", granted("CampaignRole", "s3:GetObject", "*")),),
    "wildcard-action": (Edit("any action", granted("CampaignRole", "dynamodb:*", arn("CampaignsTable"))),),
    "open-api-method": (
        Edit("nobody asks", changed("CreateCampaign", AuthorizationType="NONE", ApiKeyRequired=False)),
    ),
    "plain-http-delivery": (
        Edit(
            "plain HTTP",
            nested("Distribution", "DistributionConfig", "DefaultCacheBehavior", ViewerProtocolPolicy="allow-all"),
        ),
    ),
    "open-bucket-cors": (
        Edit("any origin", nested("MediaBucket", "CorsConfiguration", "CorsRules", AllowedOrigins=["*"])),
    ),
    "key-rotation-off": (Edit("no rotation", changed("DataKey", EnableKeyRotation=False)),),
    "no-mfa": (Edit("no second factor", changed("UserPool", MfaConfiguration="OFF")),),
    "weak-password-policy": (
        Edit("short password", nested("UserPool", "Policies", "PasswordPolicy", MinimumLength=6)),
    ),
    "public-bucket": (
        Edit("public ACLs", nested("MediaBucket", "PublicAccessBlockConfiguration", BlockPublicAcls=False)),
    ),
    "log-group-without-key": (Edit("own log key", without("PaymentLogs", "KmsKeyId")),),
}
