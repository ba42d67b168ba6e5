"""An import in, what the package can do out: call AWS, write metrics, answer CloudFormation, or nothing of the kind."""

from __future__ import annotations

import sys

from cfaudit.model.code.sdk import is_harmless


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HTTP = _words("axios node-fetch got undici superagent ky requests urllib3 httpx aiohttp needle")
"""Clients of HTTP; the built-in ones are told by what is called."""

_METRICS = _words("aws-embedded-metrics aws_embedded_metrics @aws-lambda-powertools/metrics")
_RESPONDERS = _words("cfn-response cfnresponse crhelper cfn-custom-resource cfn-response-async")

_QUIET = HTTP | _METRICS | _RESPONDERS | _words(
    """
    @aws-lambda-powertools/commons @aws-lambda-powertools/logger @aws-lambda-powertools/tracer @middy/core
    @middy/http-cors @middy/http-error-handler @middy/http-json-body-parser @smithy/types
    ajv attr attrs aws-jwt-verify aws-lambda aws-sdk aws-xray-sdk aws-xray-sdk-core aws_lambda_typing aws_xray_sdk
    bignumber.js boto3 botocore bunyan date-fns dateutil dayjs decimal.js http-errors joi jose jsonschema jsonwebtoken
    jwt lodash loguru luxon marshmallow mime mime-types moment nanoid numpy orjson pandas pino pydantic pytz qs
    simplejson source-map-support stripe structlog tslib typing_extensions ulid uuid validator winston yaml yup zod
    """
)  # fmt: skip
"""Packages that call no API of AWS by themselves, or (the SDKs) only by what the code calls on them."""

_NODE = _words(
    """
    assert assert/strict async_hooks buffer console constants crypto dns dns/promises events fs fs/promises http http2
    https module net os path path/posix perf_hooks process punycode querystring readline stream stream/promises
    stream/web string_decoder timers timers/promises tls tty url util util/types v8 worker_threads zlib
    """
)
_POWERTOOLS = _words(
    "Logger Metrics Tracer logging metrics tracing event_handler single_metric typing data_classes LambdaContext"
)
_RUNNERS = _words("subprocess importlib ctypes child_process vm")
"""Standard modules that can run what nobody here sees."""


def head_of(module: str, *, dotted: bool) -> str:
    """The package that a module belongs to: ``@scope/name``, or the first part of the name."""
    name = module.removeprefix("node:")
    if dotted:
        return name.partition(".")[0]
    return "/".join(name.split("/")[: 2 if name.startswith("@") else 1])


def is_quiet(module: str, member: str | None, *, dotted: bool) -> bool:
    """Whether an import from outside can call AWS only where the code is seen to call."""
    name, head = module.removeprefix("node:"), head_of(module, dotted=dotted)
    if head in _RUNNERS:
        return False
    if dotted and head == "aws_lambda_powertools":
        return not ({*name.split("."), member} - {"aws_lambda_powertools", "utilities", None}) - _POWERTOOLS or (
            bool({"typing", "data_classes"} & set(name.split(".")))
        )
    if dotted and head == "botocore":
        return "session" not in name
    if dotted:
        return head in sys.stdlib_module_names or head in _QUIET or head.startswith("mypy_boto3")
    if head.startswith("@aws-sdk/"):
        return is_harmless(head)
    return name in _NODE or head in _QUIET or head.startswith("@types/")


def writes_metrics(module: str, member: str | None, *, dotted: bool) -> bool:
    """Whether it is a library that writes metrics in the embedded metric format."""
    head = head_of(module, dotted=dotted)
    own = head == "aws_lambda_powertools" and ("metrics" in module.split(".") or member in ("Metrics", "single_metric"))
    return own or head in _METRICS


def answers_cloudformation(module: str, *, dotted: bool) -> bool:
    """Whether it is a helper for custom resources."""
    return head_of(module, dotted=dotted) in _RESPONDERS


CLIENT_METHODS = _words(
    """
    adminGetUser batchGet batchGetItem batchWrite batchWriteItem decrypt deleteItem deleteMessage deleteObject encrypt
    generateDataKey getEventPrediction getItem getObject getParameter getParameters getSecretValue headObject invoke
    invokeAsync invokeEndpoint invokeModel listObjectsV2 postToConnection publish putEvents putItem putMetricData
    putObject putRecord putRecords receiveMessage sendEmail sendMessage sendMessageBatch sendTaskFailure
    sendTaskSuccess sendTemplatedEmail startExecution startQueryExecution transactGetItems transactWrite
    transactWriteItems updateItem
    """
)
"""Operations that functions call most: called on something unknown, they hint at a client of an SDK."""

CLIENT_METHODS_SNAKE = frozenset(
    "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name) for name in CLIENT_METHODS
) | _words("batch_writer upload_file download_file get_paginator list_objects_v2")

PURE_ROOTS = _words(
    """
    Array Boolean Buffer Date Error Exception JSON Math Number Object Promise String ValueError bool bytes console
    crypto datetime decimal dict encodeURIComponent decodeURIComponent enumerate float format int isinstance json len
    list logger logging map max min parseFloat parseInt pprint print random range re repr round set sorted str sum time
    tuple uuid zip Map Set RegExp URL URLSearchParams setTimeout structuredClone util
    """
)
"""Names whose calls have no effect but a line in the log."""

PURE_METHODS = _words(
    """
    at concat endsWith entries every filter find findIndex flat flatMap forEach from get has includes indexOf items join
    keys map padStart pop push reduce replace replaceAll reverse setHours slice some sort split startsWith startswith
    endswith strip lower upper substring then catch finally toFixed toISOString toLowerCase toString toUpperCase trim
    values encode decode append extend update format isoformat getTime test match
    """
)
"""Methods of texts, lists, objects and dates."""

LOG_METHODS = _words("log info debug warn warning error critical exception trace dir fatal table")

STRINGIFIERS = _words(
    "JSON.stringify json.dumps util.inspect util.format str repr pprint.pformat structuredClone simplejson.dumps"
)
"""What makes a text of all that it is given."""

TOKENS = _words("ClientRequestToken ClientToken clientToken MessageDeduplicationId IdempotencyToken idempotencyKey")
"""Arguments and members that make a repeated call harmless."""
