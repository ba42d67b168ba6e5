"""Resources in, the wires that their properties make out: a rule's target, a bucket's notification, a table's key.

Every property that names something which can be acted on counts, whatever its type is called, so that a trigger which
nobody tabled is one all the same. What does not act is tabled: names, tags, policies, whatever only watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.model.alarms import ACTIONS, ALARM_TYPES, COMPOSITE_ALARM
from cfaudit.model.api import API_TYPES, owner_of
from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.encryption import KEY_TYPES, TABLE_TYPES
from cfaudit.model.functions import FUNCTION_TYPES
from cfaudit.model.integrations import MACHINE_TYPES
from cfaudit.model.invocations import invoked
from cfaudit.model.names import NAME_PROPERTIES, rendered
from cfaudit.model.wires import Way, Wire, WireKind
from cfaudit.nodes import Map, Scalar, Seq, Unknown, Value

TOPIC = "AWS::SNS::Topic"
QUEUE = "AWS::SQS::Queue"
LOG_GROUP = "AWS::Logs::LogGroup"
USER_POOL = "AWS::Cognito::UserPool"
WEB_ACL = "AWS::WAFv2::WebACL"
HANDS_ON = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application", "AWS::SSM::Parameter")

ACTS: dict[str, WireKind] = {
    **dict.fromkeys(FUNCTION_TYPES, "invokes"),
    **dict.fromkeys(MACHINE_TYPES, "starts"),
    TOPIC: "publishes",
    QUEUE: "sends",
    "AWS::Events::EventBus": "sends",
    "AWS::Kinesis::Stream": "writes",
    "AWS::KinesisFirehose::DeliveryStream": "writes",
    LOG_GROUP: "logs",
    "AWS::IAM::Role": "assumes",
}
"""What naming a resource of a type in a property means."""

STORES = frozenset(
    {
        *TABLE_TYPES,
        "AWS::Athena::WorkGroup",
        "AWS::EFS::FileSystem",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::OpenSearchService::Domain",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SSM::Parameter",
        "AWS::SecretsManager::Secret",
    }
)

_SAME_AS = {
    "AWS::IAM::InstanceProfile": (("Roles.0",), ("AWS::IAM::Role",)),
    "AWS::KMS::Alias": (("TargetKeyId",), KEY_TYPES),
    "AWS::Lambda::Alias": (("FunctionName",), FUNCTION_TYPES),
    "AWS::Lambda::Version": (("FunctionName",), FUNCTION_TYPES),
    "AWS::StepFunctions::StateMachineAlias": (
        ("RoutingConfiguration.0.StateMachineVersionArn", "DeploymentPreference.StateMachineVersionArn"),
        ("AWS::StepFunctions::StateMachineVersion", *MACHINE_TYPES),
    ),
    "AWS::StepFunctions::StateMachineVersion": (("StateMachineArn",), MACHINE_TYPES),
}
"""Types that stand for another resource: the properties that name it, and its types."""

_SPEAKS_FOR = {
    "AWS::AppSync::DataSource": "ApiId",
    "AWS::AppSync::Resolver": "ApiId",
    "AWS::Cognito::IdentityPoolRoleAttachment": "IdentityPoolId",
    "AWS::Cognito::UserPoolClient": "UserPoolId",
    "AWS::Cognito::UserPoolDomain": "UserPoolId",
    "AWS::Cognito::UserPoolGroup": "UserPoolId",
    "AWS::Cognito::UserPoolResourceServer": "UserPoolId",
    "AWS::Cognito::UserPoolUser": "UserPoolId",
    "AWS::ECS::Service": "TaskDefinition",
    "AWS::Lambda::EventInvokeConfig": "FunctionName",
    "AWS::Lambda::EventSourceMapping": "FunctionName",
    "AWS::Logs::SubscriptionFilter": "LogGroupName",
    "AWS::SNS::Subscription": "TopicArn",
    "AWS::SecretsManager::RotationSchedule": "SecretId",
}
"""Types that say something about another resource: the property that names it. APIs are ``owner_of``'s."""

_SILENT = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CloudFormation::Macro",
        "AWS::CloudWatch::AnomalyDetector",
        "AWS::CloudWatch::Dashboard",
        "AWS::CloudWatch::InsightRule",
        "AWS::IAM::Group",
        "AWS::IAM::GroupPolicy",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::IAM::RolePolicy",
        "AWS::IAM::User",
        "AWS::IAM::UserPolicy",
        "AWS::KMS::Alias",
        "AWS::KMS::Key",
        "AWS::KMS::ReplicaKey",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::Logs::MetricFilter",
        "AWS::Logs::QueryDefinition",
        "AWS::ResourceGroups::Group",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::TopicInlinePolicy",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueueInlinePolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::Serverless::Connector",
        "AWS::StepFunctions::StateMachineAlias",
        "AWS::StepFunctions::StateMachineVersion",
        "AWS::XRay::Group",
    }
)
"""Types whose properties act on nothing; permissions, policies and connectors are read elsewhere."""

_SKIPPED = frozenset(
    {
        "AccessPolicies",
        "AdvancedEventSelectors",
        "AlarmDescription",
        "AlarmName",
        "Comment",
        "DashboardBody",
        "DefaultPolicy",
        "Description",
        "DisplayName",
        "EventPattern",
        "EventSelectors",
        "FilterCriteria",
        "FilterPolicy",
        "KeyPolicy",
        "Metadata",
        "Policies",
        "PolicyDocument",
        "RepositoryPolicyText",
        "ResourcePolicy",
        "Tags",
    }
)
"""Properties in which nothing acts: prose, policies, and what only chooses events."""

_VARIABLES = ("Environment", "EnvironmentVariables", "Variables")
_CARGO = ("Input", "InputTemplate", "InputTransformer", "Payload")
_READ_ELSEWHERE = frozenset(
    {
        ("AWS::Lambda::EventSourceMapping", "EventSourceArn"),
        ("AWS::Serverless::Function", "AutoPublishAlias"),
        ("AWS::Serverless::Function", "Events"),
        ("AWS::Serverless::StateMachine", "Events"),
    }
)
_GUARDED = ("AWS::ApiGateway", "AWS::AppSync::", "AWS::Serverless::")
_WRITTEN = ("Log", "Destination", "Result", "Output", "Delivery", "Artifact", "Backup")


class Named(NamedTuple):
    """A declared resource that a text names, and by which alias or version."""

    resource: Resource
    qualifier: str | None


def mentions(template: Declarations) -> Iterator[Wire]:
    """The wires that properties make, in template order."""
    for resource in template.resources.values():
        if resource.type and resource.type not in _SILENT:
            source = spoken_for(template, resource)
            for path, value in _texts(resource, resource.at(""), ()):
                for found in named(template, value):
                    wire = _wire(resource, source, path, value, found)
                    if wire is not None and wire.source != wire.target:
                        yield wire


def _texts(
    resource: Resource, value: Value, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Scalar | Unknown]]:
    """Every text of a resource that may name something it acts on, with its path."""
    match value:
        case Scalar() | Unknown():
            yield path, value
        case Seq(items):
            for index, item in enumerate(items):
                yield from _texts(resource, item, (*path, str(index)))
        case Map(entries):
            for name, item in entries.items():
                if name not in _SKIPPED and (path or (resource.type, name) not in _READ_ELSEWHERE):
                    yield from _texts(resource, item, (*path, name))
        case _:
            return


def named(template: Declarations, value: Scalar | Unknown, *types: str) -> Iterator[Named]:
    """The resources that a text names by reference or by ARN, through aliases and versions."""
    function = invoked(template, value) if _is_reference(value) else None
    seen: set[str] = set()
    for resource in _mentioned(template, value):
        held = through(template, resource)
        if held.logical_id not in seen and (not types or held.type in types):
            seen.add(held.logical_id)
            own = function is not None and function.function == held.logical_id
            yield Named(held, function.qualifier if function and own else None)


def _is_reference(value: Scalar | Unknown) -> bool:
    """Whether a text refers to something by more than a bare word."""
    if isinstance(value, Unknown) and value.mentions:
        return True
    text = value.text if isinstance(value, Scalar) else rendered(value)
    return text.startswith(("arn:", "https://sqs."))


def _mentioned(template: Declarations, value: Scalar | Unknown) -> tuple[Resource, ...]:
    if not _is_reference(value):
        return ()
    if isinstance(value, Unknown):
        names = [*(reference.logical_id for reference in value.references), *sorted(value.mentions)]
        held = tuple(template.resources[name] for name in dict.fromkeys(names) if name in template.resources)
        if held:
            return held
    return template.targets(value)


def through(template: Declarations, resource: Resource) -> Resource:
    """The function behind an alias or version, the machine, the key, the role of an instance profile; else itself."""
    for _ in range(4):
        if resource.type not in _SAME_AS:
            break
        paths, types = _SAME_AS[resource.type]
        inner = next((held for path in paths if (held := template.target(resource.at(path), *types))), None)
        if inner is None:
            break
        resource = inner
    return resource


def spoken_for(template: Declarations, resource: Resource) -> str:
    """The logical id of whom a resource speaks for: a method for its API, a subscription for its topic; else itself."""
    path = _SPEAKS_FOR.get(resource.type)
    if path:
        held = template.target(resource.at(path))
        return through(template, held).logical_id if held else resource.logical_id
    if resource.type.startswith(("AWS::ApiGateway::", "AWS::ApiGatewayV2::")) and resource.type not in API_TYPES:
        for name in ("RestApiId", "ApiId"):
            owner = owner_of(template, resource.at(name))
            if owner:
                return owner
    return resource.logical_id


def service_in(resource_type: str) -> str:
    """The service of a type as the type names it: ``events`` for ``AWS::Events::Rule``."""
    pieces = resource_type.split("::")
    return pieces[1].lower() if len(pieces) == 3 and pieces[0] == "AWS" else ""


def _wire(resource: Resource, source: str, path: tuple[str, ...], value: Scalar | Unknown, found: Named) -> Wire | None:
    """What naming a resource at a path means."""
    target = found.resource
    if ".".join(path) == NAME_PROPERTIES.get(resource.type):
        return None
    way: Way = "property"
    certain = True
    kind = _kind(resource, path, target)
    if kind is None:
        return None
    ends = (target.logical_id, source) if kind in ("encrypts", "protects") else (source, target.logical_id)
    if resource.type in HANDS_ON or any(name in _CARGO for name in path):
        way, certain = "hand-over", False
    elif _is_custom(resource.type):
        way, certain = ("custom resource", True) if path == ("ServiceToken",) else ("property", False)
    elif any(name in _VARIABLES for name in path):
        way, certain = "variable", False
    elif kind == "assumes":
        way = "role"
    service = service_in(resource.type)
    return Wire(kind, *ends, value.span, way, ".".join(path), service, certain, qualifier=found.qualifier)


def _is_custom(resource_type: str) -> bool:
    return resource_type.startswith("Custom::") or resource_type == "AWS::CloudFormation::CustomResource"


def _kind(resource: Resource, path: tuple[str, ...], target: Resource) -> WireKind | None:
    if resource.type in ALARM_TYPES or resource.type == COMPOSITE_ALARM:
        return ACTS.get(target.type, "uses") if path[0] in ACTIONS else "watches"
    if any(name in _VARIABLES for name in path):
        return ACTS.get(target.type) or ("uses" if target.type in STORES else None)
    if target.type in KEY_TYPES:
        return "encrypts"
    if target.type == USER_POOL:
        return "protects" if resource.type.startswith(_GUARDED) else None
    if target.type == WEB_ACL:
        return "protects" if resource.type != "AWS::WAFv2::WebACLAssociation" else None
    if target.type in STORES and resource.type != "AWS::SecretsManager::SecretTargetAttachment":
        if resource.type == "AWS::CloudFront::Distribution" and path[1:2] == ("Origins",):
            return "reads"
        return "writes" if any(word in name for name in path for word in _WRITTEN) else "uses"
    return ACTS.get(target.type)
