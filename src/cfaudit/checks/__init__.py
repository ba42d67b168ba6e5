"""Template and arguments in, findings out: one function per kind of question, and this one table of them.

A check is ``(template, facts, *, plain YAML arguments) -> Iterator[Finding]``. It yields its passes too. Its docstring
is printed on the rule's page under "How it is decided".
"""

from __future__ import annotations

from collections.abc import Mapping

from cfaudit.checks import buckets, components, delivery, encryption, settings, tables
from cfaudit.evaluate import Check

CHECKS: Mapping[str, Check] = {
    "bucket_lifecycle": buckets.bucket_lifecycle,
    "component_present": components.component_present,
    "customer_key": encryption.customer_key,
    "elastic_table": tables.elastic_table,
    "https_delivery": delivery.https_delivery,
    "keyed_query_results": encryption.keyed_query_results,
    "modern_viewer_tls": delivery.modern_viewer_tls,
    "named_key": encryption.named_key,
    "private_bucket": buckets.private_bucket,
    "readable_media": delivery.readable_media,
    "restricted_cors": buckets.restricted_cors,
    "rotated_key": encryption.rotated_key,
    "setting": settings.setting,
    "tls_only_bucket": buckets.tls_only_bucket,
    "versioned_media": buckets.versioned_media,
}
