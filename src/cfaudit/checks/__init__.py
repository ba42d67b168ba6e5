"""Template and arguments in, findings out: one function per kind of question, and this one table of them.

A check is ``(template, facts, *, plain YAML arguments) -> Iterator[Finding]``. It yields its passes too. Its docstring
is printed on the rule's page under "How it is decided".
"""

from __future__ import annotations

from collections.abc import Mapping

from cfaudit.checks import (
    alarms,
    buckets,
    components,
    dangling,
    delivery,
    encryption,
    engines,
    functions,
    lifecycle,
    logs,
    manual,
    services,
    settings,
    streams,
    tables,
    tracing,
)
from cfaudit.evaluate import Check

CHECKS: Mapping[str, Check] = {
    "alarm_coverage": alarms.alarm_coverage,
    "alarm_dimensions": alarms.alarm_dimensions,
    "bucket_lifecycle": buckets.bucket_lifecycle,
    "component_present": components.component_present,
    "customer_key": encryption.customer_key,
    "dashboards": services.dashboards,
    "elastic_table": tables.elastic_table,
    "fraud_screening": services.fraud_screening,
    "function_network": functions.function_network,
    "https_delivery": delivery.https_delivery,
    "inline_code": functions.inline_code,
    "keyed_query_results": encryption.keyed_query_results,
    "log_group_order": logs.log_group_order,
    "log_retention": logs.log_retention,
    "mail_identity": services.mail_identity,
    "mail_sender": engines.mail_sender,
    "manual_steps": manual.manual_steps,
    "modern_viewer_tls": delivery.modern_viewer_tls,
    "named_key": encryption.named_key,
    "open_services": lifecycle.open_services,
    "private_bucket": buckets.private_bucket,
    "query_engine": engines.query_engine,
    "readable_media": delivery.readable_media,
    "restricted_cors": buckets.restricted_cors,
    "rotated_key": encryption.rotated_key,
    "runtime_required": functions.runtime_required,
    "runtime_support": functions.runtime_support,
    "service_grant": dangling.service_grant,
    "setting": settings.setting,
    "stream_consumers": streams.stream_consumers,
    "tls_only_bucket": buckets.tls_only_bucket,
    "tracing": tracing.tracing,
    "variable_target": dangling.variable_target,
    "versioned_media": buckets.versioned_media,
    "workflow_logging": logs.workflow_logging,
}
