"""Calls in, those that go to AWS out: the SDKs for JavaScript (v2, v3) and boto3's clients and resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cfaudit import data
from cfaudit.model.code.tree import Call, Expr, Object

DOCUMENT = {
    "BatchExecuteStatement": "BatchExecuteStatement",
    "BatchGet": "BatchGetItem",
    "BatchWrite": "BatchWriteItem",
    "Delete": "DeleteItem",
    "ExecuteStatement": "ExecuteStatement",
    "ExecuteTransaction": "ExecuteTransaction",
    "Get": "GetItem",
    "Put": "PutItem",
    "Query": "Query",
    "Scan": "Scan",
    "TransactGet": "TransactGetItems",
    "TransactWrite": "TransactWriteItems",
    "Update": "UpdateItem",
}
"""https://docs.aws.amazon.com/AWSJavaScriptSDK/v3/latest/Package/-aws-sdk-lib-dynamodb/"""

TARGETS: Mapping[str, tuple[str, ...]] = {
    "athena": ("WorkGroup",),
    "bedrock-runtime": ("modelId",),
    "cognito-idp": ("UserPoolId",),
    "dynamodb": ("TableName",),
    "dynamodbstreams": ("StreamArn",),
    "events": ("EventBusName",),
    "firehose": ("DeliveryStreamName",),
    "frauddetector": ("detectorId",),
    "kinesis": ("StreamName", "StreamARN"),
    "kms": ("KeyId",),
    "lambda": ("FunctionName",),
    "logs": ("logGroupName",),
    "rds-data": ("resourceArn",),
    "s3": ("Bucket",),
    "sagemaker-runtime": ("EndpointName",),
    "secretsmanager": ("SecretId",),
    "ses": ("Source",),
    "sesv2": ("FromEmailAddress",),
    "sns": ("TopicArn", "TargetArn"),
    "sqs": ("QueueUrl",),
    "ssm": ("Name", "Names", "Path"),
    "stepfunctions": ("stateMachineArn", "activityArn"),
}
"""The arguments that name what a call acts on, by botocore's name of the service."""

_TRANSFERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "upload_file": ("PutObject", ("Filename", "Bucket", "Key")),
    "upload_fileobj": ("PutObject", ("Fileobj", "Bucket", "Key")),
    "download_file": ("GetObject", ("Bucket", "Key", "Filename")),
    "download_fileobj": ("GetObject", ("Bucket", "Key", "Fileobj")),
    "copy": ("CopyObject", ("CopySource", "Bucket", "Key")),
    "generate_presigned_post": ("PutObject", ("Bucket", "Key")),
}
"""What boto3 adds to the client of S3: https://docs.aws.amazon.com/boto3/latest/guide/s3.html"""

_NO_CALLS = frozenset(
    {"close", "can_paginate", "exceptions", "meta", "send", "destroy", "config", "middlewareStack", "on", "once"}
    | {"customizeRequests", "defineService", "setupRequestListeners", "from", "createSet", "batch_writer"}
)
_OTHER_CLASSES = ("Client", "Command", "Exception", "Error")
_HARMLESS = frozenset({"util-dynamodb", "s3-request-presigner", "types", "smithy-client", "util-create-request"})


@dataclass(frozen=True, slots=True)
class Found:
    """A call of AWS: botocore's name of the service, the operation, the object with its arguments, and more of them.

    ``given`` are arguments that stand elsewhere: a table that a boto3 resource was made with.
    """

    client: str
    operation: str
    arguments: Expr | None
    given: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Obscure:
    """A call of AWS of which nobody can tell what it calls."""

    what: str


TextOf: TypeAlias = "Callable[[Expr | None], str | None]"
"""An expression in, the one literal text that it is out."""


class Recognition:
    """Recognises calls of SDKs. ``text`` says what literal text an expression is, if it is one."""

    def __init__(self, text: TextOf) -> None:
        self._text = text

    def of(self, root: str, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        """What calling ``root`` followed by ``steps`` is, if it goes to AWS."""
        if steps[:1] == ("*",) or steps[-1:] == ("*",):
            if is_sdk(root):
                yield Obscure("a call whose name is computed")
        elif root.startswith("@aws-sdk/"):
            yield from self._v3(root.removeprefix("@aws-sdk/"), steps, call)
        elif root == "aws-sdk" or root.startswith("aws-sdk/clients/"):
            service = root.partition("aws-sdk/clients/")[2]
            yield from self._v2((service, *steps) if service not in ("", "all") else steps, call)
        elif root == "boto3":
            yield from self._boto3(steps, call)

    # JavaScript

    def _v3(self, package: str, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        first = call.arguments[0] if call.arguments else None
        second = call.arguments[1] if len(call.arguments) > 1 else None
        client = data.sdk_client(package.removeprefix("client-")) if package.startswith("client-") else None
        document = package == "lib-dynamodb"
        match steps:
            case (str(name),) if (client or document) and call.new and name.endswith("Command"):
                yield _v3_operation(client, name.removesuffix("Command"), first)
            case (str(name),) if (client or document) and name.startswith("paginate") and len(name) > 8:
                yield _v3_operation(client, name.removeprefix("paginate"), second)
            case (str(name),) if client and name.startswith("wait"):
                yield Obscure(name)
            case (str(name), Call(), str(method)) if (
                client and name[:1].isupper() and not name.endswith(_OTHER_CLASSES) and method not in _NO_CALLS
            ):
                yield Found(client, _capital(method), first)
            case ("DynamoDBDocument", Call(), str(method)) | ("DynamoDBDocument", "from", Call(), str(method)) if (
                document and method not in _NO_CALLS
            ):
                yield _v3_operation(None, _capital(method), first)
            case ("Upload",) if package == "lib-storage" and call.new:
                yield Found("s3", "PutObject", _entry(first, "params"))
            case ("createPresignedPost",) if package == "s3-presigned-post":
                yield Found("s3", "PutObject", second)

    def _v2(self, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        first = call.arguments[0] if call.arguments else None
        match steps:
            case (("DynamoDB" | "dynamodb"), "DocumentClient", Call(), str(method)) if method not in _NO_CALLS:
                yield _v3_operation(None, _capital(method), first)
            case (str(service), Call(), str(method)) if (
                client := data.sdk_client(service)
            ) and method not in _NO_CALLS:
                yield from self._v2_method(client, method, call, first)
            case (("S3" | "s3"), "ManagedUpload", *_) if call.new:
                yield Found("s3", "PutObject", _entry(first, "params"))

    def _v2_method(self, client: str, method: str, call: Call, first: Expr | None) -> Iterator[Found | Obscure]:
        second = call.arguments[1] if len(call.arguments) > 1 else None
        match method:
            case "getSignedUrl" | "getSignedUrlPromise" | "makeRequest":
                name = self._text(first)
                yield Found(client, _capital(name), second) if name else Obscure(method)
            case "createPresignedPost" | "upload" if client == "s3":
                yield Found(client, "PutObject", first)
            case "waitFor" | "makeUnauthenticatedRequest":
                yield Obscure(method)
            case _:
                yield Found(client, _capital(method), first)

    # boto3

    def _boto3(self, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        match steps:
            case ("Session" | "_get_default_session", Call(), *rest) | ("session", "Session", Call(), *rest):
                yield from self._boto3(tuple(rest), call)
            case ("client", Call() as made, *rest):
                name = self._text(_argument(made, 0, "service_name"))
                client = data.sdk_client(name) if name else None
                if client:
                    yield from self._client(client, tuple(rest), call)
                elif rest and rest[-1] not in _NO_CALLS:
                    yield Obscure("a client of boto3")
            case ("resource", Call() as made, *rest):
                name = self._text(_argument(made, 0, "service_name"))
                if rest and name and data.sdk_class(name, "Service"):
                    yield from self._resource(name, tuple(rest), call)
                elif rest:
                    yield Obscure("a resource of boto3")

    def _client(self, client: str, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        match steps:
            case ("get_paginator", Call() as made, "paginate"):
                name = self._text(_argument(made, 0, "operation_name"))
                yield Found(client, name, call.keywords) if name else Obscure("get_paginator")
            case ("get_waiter", Call(), "wait"):
                yield Obscure("get_waiter")
            case ("generate_presigned_url",):
                name = self._text(_argument(call, 0, "ClientMethod"))
                yield Found(client, name, _argument(call, 1, "Params")) if name else Obscure("generate_presigned_url")
            case (str(method),) if client == "s3" and method in _TRANSFERS:
                operation, names = _TRANSFERS[method]
                yield Found(client, operation, call.keywords, tuple(zip(names, call.arguments, strict=False)))
            case (str(method),) if method not in _NO_CALLS and method not in ("get_paginator", "get_waiter"):
                yield Found(client, method, call.keywords)

    def _resource(self, service: str, steps: tuple[str | Call, ...], call: Call) -> Iterator[Found | Obscure]:
        """From class to class along what the code takes from each, until a method that calls an operation."""
        title, rest = "Service", steps
        made: tuple[tuple[str, Expr], ...] = ()
        while rest:
            kind = data.sdk_class(service, title)
            step, rest = rest[0], rest[1:]
            if step == "*" and rest:
                continue
            if kind is None or not isinstance(step, str):
                return
            if step == "meta" and rest[:1] == ("client",):
                yield from self._client(service, rest[1:], call)
                return
            if step == "batch_writer" and rest[1:] in (("put_item",), ("delete_item",), ("__enter__", "put_item"),
                                                       ("__enter__", "delete_item")):  # fmt: skip
                yield Found(service, "BatchWriteItem", None, made)
                return
            if not rest:
                yield from self._method(service, title, step, call, made)
                return
            following = kind.leads.get(step) or kind.makes.get(step)
            if following is None:
                return
            if isinstance(rest[0], Call):
                made = (*made, *self._identifiers(service, following, rest[0], dict(made)))
                rest = rest[1:]
            title = following

    def _method(
        self, service: str, title: str, step: str, call: Call, made: tuple[tuple[str, Expr], ...]
    ) -> Iterator[Found | Obscure]:
        kind = data.sdk_class(service, title)
        if kind is None or step in kind.leads or step in _NO_CALLS:
            return
        if step in kind.operations:
            yield Found(service, kind.operations[step], call.keywords, made)
        elif service == "s3" and step in _TRANSFERS:
            operation, names = _TRANSFERS[step]
            names = tuple(name for name in names if name not in dict(made))
            yield Found(service, operation, call.keywords, (*made, *zip(names, call.arguments, strict=False)))
        elif step.startswith("wait_until") or step in ("get_available_subresources",):
            yield Obscure(step)

    def _identifiers(
        self, service: str, title: str, made: Call, inherited: Mapping[str, Expr]
    ) -> tuple[tuple[str, Expr], ...]:
        """What a resource is made with; what it is taken from has told it a part of that."""
        kind = data.sdk_class(service, title)
        names = [_IDENTIFIERS.get((service, title, name), "") for name in kind.named] if kind else []
        names = [name for name in names if name not in inherited]
        given = [(name, value) for name, value in zip(names, made.arguments, strict=False) if name]
        for entry in made.keywords.entries if made.keywords else ():
            name = _IDENTIFIERS.get((service, title, entry.key or ""), "")
            given += [(name, entry.value)] if name else []
        return tuple(given)


_IDENTIFIERS = {
    ("dynamodb", "Table", "name"): "TableName",
    ("s3", "Bucket", "name"): "Bucket",
    ("s3", "Object", "bucket_name"): "Bucket",
    ("s3", "Object", "key"): "Key",
    ("s3", "ObjectSummary", "bucket_name"): "Bucket",
    ("sns", "Topic", "arn"): "TopicArn",
    ("sqs", "Queue", "url"): "QueueUrl",
}
"""What boto3 resources are made with, by the argument of the operations that it becomes."""


def is_sdk(root: str) -> bool:
    """Whether a package is an AWS SDK."""
    return root in ("aws-sdk", "boto3", "botocore") or root.startswith(("@aws-sdk/", "aws-sdk/"))


def is_harmless(package: str) -> bool:
    """Whether a package of the AWS SDK v3 calls nothing by itself."""
    name = package.removeprefix("@aws-sdk/")
    return name.startswith(("client-", "credential-provider", "middleware-")) or name in _HARMLESS or name in (
        "lib-dynamodb", "lib-storage", "s3-presigned-post"
    )  # fmt: skip


def _v3_operation(client: str | None, name: str, arguments: Expr | None) -> Found | Obscure:
    if client:
        return Found(client, name, arguments)
    operation = DOCUMENT.get(name)
    return Found("dynamodb", operation, arguments) if operation else Obscure(name)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _argument(call: Call, index: int, name: str) -> Expr | None:
    """An argument by position or by name."""
    for entry in call.keywords.entries if call.keywords else ():
        if entry.key == name:
            return entry.value
    return call.arguments[index] if index < len(call.arguments) else None


def _entry(made: Expr | None, name: str) -> Expr | None:
    entries = made.entries if isinstance(made, Object) else ()
    return next((entry.value for entry in entries if entry.key == name), None)
