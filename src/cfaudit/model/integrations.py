"""A Task's Resource and arguments in, what it calls, which declared resources it acts on and what it needs out.

https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from cfaudit import data
from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.encryption import TABLE_TYPES
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.invocations import Target, invoked
from cfaudit.model.names import rendered
from cfaudit.nodes import Map, Scalar, Seq, Span, Unknown, Value, stretch

SAM_MACHINE = "AWS::Serverless::StateMachine"
MACHINE_TYPES = ("AWS::StepFunctions::StateMachine", SAM_MACHINE)
MACHINE_QUALIFIERS = ("AWS::StepFunctions::StateMachineAlias", "AWS::StepFunctions::StateMachineVersion")
ACTIVITY = "AWS::StepFunctions::Activity"

IntegrationKind: TypeAlias = Literal["optimized", "sdk", "function", "activity", "unknown"]
"""``optimized`` (``lambda:invoke``), ``sdk`` (``aws-sdk:dynamodb:updateItem``), a function by its own ARN, an activity,
or only deploy time knows."""

Pattern: TypeAlias = Literal["request", "sync", "waitForTaskToken"]

_ACTS_ON: dict[str, tuple[str, ...]] = {
    "ApiEndpoint": ("AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api", "AWS::Serverless::Api"),
    "Bucket": ("AWS::S3::Bucket",),
    "Cluster": ("AWS::ECS::Cluster",),
    "ConnectionArn": ("AWS::Events::Connection",),
    "DeliveryStreamName": ("AWS::KinesisFirehose::DeliveryStream",),
    "DetectorId": ("AWS::FraudDetector::Detector",),
    "EventBusName": ("AWS::Events::EventBus",),
    "EventTypeName": ("AWS::FraudDetector::EventType",),
    "FunctionName": FUNCTION_TYPES,
    "JobDefinition": ("AWS::Batch::JobDefinition",),
    "JobQueue": ("AWS::Batch::JobQueue",),
    "KeyId": ("AWS::KMS::Key", "AWS::KMS::Alias", "AWS::KMS::ReplicaKey"),
    "LogGroupName": ("AWS::Logs::LogGroup",),
    "ProjectName": ("AWS::CodeBuild::Project",),
    "QueueUrl": ("AWS::SQS::Queue",),
    "SecretId": ("AWS::SecretsManager::Secret",),
    "StateMachineArn": MACHINE_TYPES,
    "StreamARN": ("AWS::Kinesis::Stream",),
    "StreamName": ("AWS::Kinesis::Stream",),
    "TableName": TABLE_TYPES,
    "TargetArn": ("AWS::SNS::Topic",),
    "TaskDefinition": ("AWS::ECS::TaskDefinition",),
    "TopicArn": ("AWS::SNS::Topic",),
    "UserPoolId": ("AWS::Cognito::UserPool",),
    "WorkGroup": ("AWS::Athena::WorkGroup",),
}
"""Arguments that name what a call acts on, and the types they may name (each service's API reference)."""

_NAMED: dict[tuple[str, str], tuple[str, ...]] = {
    ("glue", "JobName"): ("AWS::Glue::Job",),
    ("glue", "Name"): ("AWS::Glue::Crawler", "AWS::Glue::Workflow"),
    ("ssm", "Name"): ("AWS::SSM::Parameter",),
    ("databrew", "Name"): ("AWS::DataBrew::Job",),
}
"""The same where the argument's name says it only together with the service."""

_CARGO = frozenset(
    {"Payload", "Input", "Message", "MessageBody", "MessageAttributes", "Detail", "Item", "Key", "RequestBody", "Body"}
    | {"ExpressionAttributeValues", "ExpressionAttributeNames", "ContainerOverrides", "Overrides", "EventVariables"}
)
"""Arguments that are sent along, in which nothing names what a call acts on."""


class Integration(NamedTuple):
    """What a Resource calls: ``lambda`` and ``invoke``, ``aws-sdk``'s ``dynamodb`` and ``updateItem``.

    ``service`` and ``operation`` are empty for an activity and for what only deploy time knows. ``version`` is the
    ``2`` of ``.sync:2``.
    """

    kind: IntegrationKind
    service: str
    operation: str
    pattern: Pattern
    version: str
    value: Value
    span: Span

    @property
    def name(self) -> str:
        """``lambda:invoke``, ``aws-sdk:dynamodb:updateItem``, ``activity`` …, without the pattern."""
        if self.kind in ("optimized", "sdk"):
            return f"{'aws-sdk:' if self.kind == 'sdk' else ''}{self.service}:{self.operation}"
        return self.kind

    @property
    def prefix(self) -> str | None:
        """The IAM prefix of the service it calls (``states`` for ``aws-sdk:sfn``); None when it is not known."""
        if self.kind == "function":
            return "lambda"
        if self.kind == "sdk":
            return self._operation.service if self._operation else None
        return self.service or None

    @property
    def _operation(self) -> data.SdkOperation | None:
        client = data.sdk_client(self.service)
        return data.sdk_operation(client, self.operation) if client else None

    @property
    def waits(self) -> bool:
        """Whether the state waits for somebody to send a task's result: a callback or an activity."""
        return self.pattern == "waitForTaskToken" or self.kind == "activity"

    @property
    def actions(self) -> tuple[str, ...] | None:
        """The IAM actions that the call itself needs; None when they are not known."""
        if self.kind == "function":
            return ("lambda:InvokeFunction",)
        if self.kind == "activity":
            return ()
        if self.kind == "unknown":
            return None
        if self.kind == "sdk":
            return self._operation.actions if self._operation else None
        return data.integration_needs(self.service, self.operation).calls

    @property
    def job_actions(self) -> tuple[str, ...] | None:
        """The IAM actions that waiting for the job needs besides (``.sync``); None when they are not known."""
        if self.pattern != "sync" or self.kind != "optimized":
            return ()
        return data.integration_needs(self.service, self.operation).job


class Act(NamedTuple):
    """One thing that a call acts on.

    ``argument`` names it (``Resource`` for a function or an activity by its own ARN). ``resource`` is the declared
    resource, None for one that this template does not declare; ``function`` says by which alias or version.
    ``computed`` says that only the running workflow knows it.
    """

    argument: str
    value: Value
    resource: Resource | None
    function: Target | None
    computed: bool
    span: Span


class ServiceCall(NamedTuple):
    """A call that a state makes; ``field`` is where it is written: empty, ``ItemReader`` or ``ResultWriter``."""

    integration: Integration
    acts: tuple[Act, ...]
    field: str

    @property
    def function(self) -> Target | None:
        """The declared function it invokes."""
        return next((act.function for act in self.acts if act.function), None)


_CALL = re.compile(r"(?:(aws-sdk):)?([A-Za-z0-9-]+):([A-Za-z0-9]+)(?:\.(sync|waitForTaskToken)(?::([0-9]+))?)?\Z")


def integration(template: Declarations, value: Value, span: Span) -> Integration:
    """What a Resource names. A hole may stand for the partition or the Region, not for the call itself."""

    def made(kind: IntegrationKind, service: str = "", operation: str = "") -> Integration:
        return Integration(kind, service, operation, "request", "", value, span)

    if not isinstance(value, (Scalar, Unknown)):
        return made("unknown")
    pieces = rendered(value).split(":", 5)
    if len(pieces) == 6 and pieces[0] == "arn" and pieces[2] == "states":
        if pieces[5].startswith("activity:"):
            return made("activity")
        match = _CALL.match(pieces[5])
        if not match:
            return made("unknown")
        sdk, service, operation, pattern, version = match.groups()
        kind: IntegrationKind = "sdk" if sdk else "optimized"
        return Integration(kind, service, operation, _pattern(pattern), version or "", value, span)
    if template.target(value, ACTIVITY):
        return made("activity")
    if invoked(template, value) or (len(pieces) == 6 and pieces[2] == "lambda" and pieces[5].startswith("function:")):
        return made("function", "lambda", "invoke")
    return made("unknown")


def _pattern(text: str | None) -> Pattern:
    return "sync" if text == "sync" else "waitForTaskToken" if text == "waitForTaskToken" else "request"


def calls(template: Declarations, body: Map[Value], arguments: Value, field: str) -> Iterator[ServiceCall]:
    """The call that a Task, an ItemReader or a ResultWriter makes, if it has a Resource."""
    value = body.entries.get("Resource")
    if value is None:
        return
    found = integration(template, value, body.keys["Resource"].to(value.span))
    if found.kind in ("function", "activity", "unknown"):
        acts = tuple(_own(template, value, found))
    else:
        acts = tuple(_acts(template, found, arguments))
    yield ServiceCall(found, acts, field)


def _own(template: Declarations, value: Value, found: Integration) -> Iterator[Act]:
    """A function or an activity that the Resource itself names."""
    function = invoked(template, value)
    resource = template.resources.get(function.function) if function else template.target(value, ACTIVITY)
    yield Act("Resource", value, resource, function, computed=False, span=found.span)


def _acts(template: Declarations, found: Integration, arguments: Value) -> Iterator[Act]:
    match arguments:
        case Map(entries, keys):
            for key, value in entries.items():
                name = key.removesuffix(".$")
                types = _NAMED.get((found.prefix or "", name), _ACTS_ON.get(name, ()))
                if isinstance(value, (Scalar, Unknown)):
                    if types:
                        computed = name != key or is_expression(value)
                        yield _act(template, name, value, types, computed=computed, span=stretch(keys[key], value))
                elif name not in _CARGO:
                    yield from _acts(template, found, value)
        case Seq(items):
            for item in items:
                yield from _acts(template, found, item)
        case _:
            return


def _act(template: Declarations, name: str, value: Value, types: tuple[str, ...], *, computed: bool, span: Span) -> Act:
    if computed and isinstance(value, Scalar):
        return Act(name, value, None, None, computed=True, span=span)
    function = invoked(template, value) if types == FUNCTION_TYPES else None
    if function:
        resource: Resource | None = template.resources.get(function.function)
    else:
        resource = template.target(value, *types) or _qualified(template, value, types)
    return Act(name, value, resource, function, computed=computed, span=span)


def _qualified(template: Declarations, value: Value, types: tuple[str, ...]) -> Resource | None:
    """The state machine that an alias or a version belongs to."""
    named = template.target(value, *MACHINE_QUALIFIERS) if types == MACHINE_TYPES else None
    if named is None:
        return None
    routes = named.at("StateMachineArn"), named.at("RoutingConfiguration.0.StateMachineVersionArn")
    for route in (*routes, named.at("DeploymentPreference.StateMachineVersionArn")):
        if isinstance(route, (Scalar, Unknown)):
            machine = template.target(route, *MACHINE_TYPES)
            version = template.target(route, "AWS::StepFunctions::StateMachineVersion")
            if machine or version is None or version.logical_id == named.logical_id:
                return machine
            return template.target(version.at("StateMachineArn"), *MACHINE_TYPES)
    return None


def is_expression(value: Value) -> bool:
    """Whether a text is a JSONata expression: ``{% … %}``."""
    if isinstance(value, Unknown):
        return value.known_text.lstrip().startswith("{%")
    return isinstance(value, Scalar) and value.text.lstrip().startswith("{%")
