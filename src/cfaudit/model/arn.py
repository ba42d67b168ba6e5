"""An element of a policy's Resource and a declared resource in, whether the one covers the other out.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.names import NAME_PROPERTIES, rendered, service_of
from cfaudit.nodes import Absent, Reference, Scalar, Unknown

_TAILS: dict[str, tuple[tuple[str, str], ...]] = {
    "AWS::ApiGateway::RestApi": (("execute-api", ""), ("apigateway", "/restapis/")),
    "AWS::ApiGatewayV2::Api": (("execute-api", ""), ("apigateway", "/apis/")),
    "AWS::Athena::WorkGroup": (("athena", "workgroup/"),),
    "AWS::CloudWatch::Alarm": (("cloudwatch", "alarm:"),),
    "AWS::Cognito::UserPool": (("cognito-idp", "userpool/"),),
    "AWS::DynamoDB::GlobalTable": (("dynamodb", "table/"),),
    "AWS::DynamoDB::Table": (("dynamodb", "table/"),),
    "AWS::ECR::Repository": (("ecr", "repository/"),),
    "AWS::ECS::Cluster": (("ecs", "cluster/"),),
    "AWS::Events::EventBus": (("events", "event-bus/"),),
    "AWS::Events::Rule": (("events", "rule/"),),
    "AWS::FraudDetector::Detector": (("frauddetector", "detector/"),),
    "AWS::FraudDetector::EntityType": (("frauddetector", "entity-type/"),),
    "AWS::FraudDetector::EventType": (("frauddetector", "event-type/"),),
    "AWS::Glue::Database": (("glue", "database/"),),
    "AWS::IAM::Group": (("iam", "group"),),
    "AWS::IAM::ManagedPolicy": (("iam", "policy"),),
    "AWS::IAM::Role": (("iam", "role"),),
    "AWS::IAM::User": (("iam", "user"),),
    "AWS::KMS::Key": (("kms", "key/"),),
    "AWS::Kinesis::Stream": (("kinesis", "stream/"),),
    "AWS::KinesisFirehose::DeliveryStream": (("firehose", "deliverystream/"),),
    "AWS::Lambda::Function": (("lambda", "function:"),),
    "AWS::Logs::LogGroup": (("logs", "log-group:"),),
    "AWS::S3::Bucket": (("s3", ""),),
    "AWS::SES::ConfigurationSet": (("ses", "configuration-set/"),),
    "AWS::SES::EmailIdentity": (("ses", "identity/"),),
    "AWS::SES::Template": (("ses", "template/"),),
    "AWS::SNS::Topic": (("sns", ""),),
    "AWS::SQS::Queue": (("sqs", ""),),
    "AWS::SSM::Parameter": (("ssm", "parameter"),),
    "AWS::Scheduler::Schedule": (("scheduler", "schedule/"),),
    "AWS::SecretsManager::Secret": (("secretsmanager", "secret:"),),
    "AWS::Serverless::Api": (("execute-api", ""), ("apigateway", "/restapis/")),
    "AWS::Serverless::Function": (("lambda", "function:"),),
    "AWS::Serverless::HttpApi": (("execute-api", ""), ("apigateway", "/apis/")),
    "AWS::Serverless::SimpleTable": (("dynamodb", "table/"),),
    "AWS::Serverless::StateMachine": (("states", "stateMachine:"),),
    "AWS::StepFunctions::StateMachine": (("states", "stateMachine:"),),
}
"""Per type: the service element of its ARN and what stands before the name in the last element.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

_NAMED_BY_STACK = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::IAM::Group",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
        "AWS::IAM::User",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::Serverless::Function",
        "AWS::Serverless::SimpleTable",
    }
)
"""Types that CloudFormation names ``<stack>-<logical id>-<random>`` when the template does not name them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
"""

_OWN = "\x01own\x02"
_STACK = "\x01pseudo|{}AWS\x03\x03StackName\x02"
_RANDOM = "\x01random\x02"
_PARTS_OF_FUNCTION = ("AWS::Lambda::Alias", "AWS::Lambda::Version")
_ATOM = re.compile("\x01[^\x02]*\x02|.", re.DOTALL)

Atoms: TypeAlias = tuple[str, ...]


def covers(
    element: Scalar | Unknown, template: Declarations, resource: Resource, part: str | None = None
) -> bool | None:
    """Whether an element covers a declared resource; None when only deploy time knows.

    ``part`` is what follows the resource's own ARN: empty for the resource itself, ``"/index/by-status"`` or
    ``"/some/key"`` for something in it. Without it, covering the resource or anything in it is enough.
    """
    text = rendered(element)
    if text and not text.strip("*"):
        return True
    if isinstance(element, Unknown):
        own = _relative(element, template, resource)
        if own is not None:
            return _compare(own, [_OWN], part)
    if not text.startswith("arn:"):
        return _bare(element, template, resource)
    pieces = text.split(":", 5)
    if len(pieces) < 6:
        return _short(text, resource)
    tails = _TAILS.get(resource.type)
    if tails is None:
        return _untabled(element, pieces, template, resource)
    if isinstance(element, Unknown) and _names_peer(element, template, resource):
        return False
    tail = re.sub(f"\x01{resource.logical_id}\\|[^\x02]*\x02", f"\x01{resource.logical_id}|\x02", pieces[5])
    tail = f"{tail[:-2]}*" if resource.type == "AWS::Logs::LogGroup" and tail.endswith(":*") else tail
    answers = [
        _compare(tail, [prefix + name for name in _names(resource, prefix)], part)
        for service, prefix in tails
        if meets(_atoms(pieces[2], loose=True), _atoms(service))
    ]
    return True if True in answers else None if None in answers else False


def _names_peer(element: Unknown, template: Declarations, resource: Resource) -> bool:
    """Whether an ARN is built from the name of another resource of the same type."""
    named = [template.resources[r.logical_id] for r in element.references if r.logical_id in template.resources]
    types = {peer.logical_id: peer.type for peer in named}
    return resource.type in types.values() and resource.logical_id not in types


def _relative(element: Unknown, template: Declarations, resource: Resource) -> str | None:
    """An element that begins with a reference to the resource, as text relative to its ARN; else None."""
    first = element.parts[0]
    if not isinstance(first, Reference):
        return None
    rest = rendered(Unknown(element.span, element.parts[1:])) if len(element.parts) > 1 else ""
    if first.logical_id == resource.logical_id:
        if first.attribute and first.attribute.endswith("StreamArn"):
            return f"{_OWN}/stream/{_RANDOM}{rest}"
        # GetAtt of a log group's Arn ends in ":*", https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-loggroup.html
        return f"{_OWN}*" if resource.type == "AWS::Logs::LogGroup" else _OWN + rest
    named = template.resources.get(first.logical_id)
    if named is None or named.type not in _PARTS_OF_FUNCTION:
        return None
    function = template.target(named.at("FunctionName"), resource.type)
    return f"{_OWN}:{_RANDOM}{rest}" if function == resource else None


def _bare(element: Scalar | Unknown, template: Declarations, resource: Resource) -> bool | None:
    """For text that is no ARN: a physical name, a parameter, an import, another resource's ARN."""
    if resource in template.targets(element, resource.type):
        return True
    return None if isinstance(element, Unknown) and element.deferred else False


def _short(text: str, resource: Resource) -> bool | None:
    """For an ARN with too few elements, which only a wildcard at its end can complete."""
    if not text.endswith("*"):
        return None if "\x01" in text else False
    services = [service for service, _ in _TAILS.get(resource.type, ((service_of(resource.type), ""),))]
    pattern = [*text.split(":"), "*"][2]
    return any(not service or meets(_atoms(pattern, loose=True), _atoms(service)) for service in services)


def _untabled(element: Scalar | Unknown, pieces: list[str], template: Declarations, resource: Resource) -> bool | None:
    """For types whose ARNs are not tabled: a reference anywhere, the name, or a wildcard for the whole service."""
    if isinstance(element, Unknown) and resource.logical_id in element.mentions:
        return True
    if resource in template.targets(element, resource.type):
        return True
    service, tail = service_of(resource.type), pieces[5]
    if service and not meets(_atoms(pieces[2], loose=True), _atoms(service)):
        return False
    if tail == "*":
        return True if service else None
    return None if "*" in tail or "\x01" in tail else False


def _names(resource: Resource, prefix: str) -> Iterator[str]:
    """The physical name of a resource in every form the template may write it, as it stands in its ARN."""
    reference = f"\x01{resource.logical_id}|\x02"
    for name in (reference, *made_names(resource)):
        if prefix in ("role", "user", "group", "policy"):
            folder = resource.at("Path")
            yield f"{rendered(folder) if isinstance(folder, (Scalar, Unknown)) else '/'}{name}"
        elif prefix == "parameter":
            yield name if name.startswith("/") else f"/{name}"
            if name == reference:
                yield name
        elif prefix == "secret:":
            # https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
            yield f"{name}-rAnDoM" if name != reference else name
        elif prefix == "schedule/":
            group = resource.at("GroupName")
            yield f"{rendered(group) if isinstance(group, (Scalar, Unknown)) else 'default'}/{name}"
        else:
            yield name


def made_names(resource: Resource) -> tuple[str, ...]:
    """A resource's physical name, given by the template or made by CloudFormation; empty when its form is not known.

    In a nested stack the made name begins with that stack's own, which CloudFormation makes of the name around it.
    """
    path = NAME_PROPERTIES.get(resource.type) or _NAMES.get(resource.type)
    value = resource.at(path) if path else Absent(resource.span)
    if isinstance(value, (Scalar, Unknown)):
        return (rendered(value),)
    return tuple(_made(resource.logical_id)) if resource.type in _NAMED_BY_STACK else ()


def _made(logical_id: str) -> Iterator[str]:
    *stacks, rest = logical_id.split(".")
    for depth in range(len(stacks), -1, -1):
        around = "".join(f"{stack}." for stack in stacks[:depth])
        yield f"{_STACK.format(around)}-{rest}-{_RANDOM}"
        rest = f"{stacks[depth - 1]}-{_RANDOM}-{rest}" if depth else rest


_NAMES = {"AWS::IAM::Group": "GroupName", "AWS::IAM::User": "UserName"}


def _compare(pattern: str, names: list[str], part: str | None) -> bool | None:
    """True when a pattern certainly covers one of the names, None when what deploy time fills in decides.

    The first name is the reference to the resource; the others are what it stands for.
    """
    parts = ("", "/*", ":*") if part is None else (part,)
    for name in names:
        if any(meets(_atoms(pattern), _atoms(name, literal=True) + _atoms(end)) for end in parts):
            return True
    reference = names[0]
    if reference in pattern:
        known = _atoms(pattern, loose=True, keep=reference)
        return None if any(meets(known, _atoms(reference) + _atoms(end)) for end in parts) else False
    token = _ATOM.findall(reference)[-1]
    for name in [name for name in names if token not in name] or names:
        mine, other = _apart(_ATOM.findall(pattern), _ATOM.findall(name))
        if any(meets(_atoms(mine, loose=True), _atoms(other, loose=True) + _atoms(end)) for end in parts):
            return None
    return False


def _apart(left: list[str], right: list[str]) -> tuple[str, str]:
    """Two texts without the beginning that both have."""
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same] and left[same] not in "*?":
        same += 1
    return "".join(left[same:]), "".join(right[same:])


def _atoms(text: str, *, loose: bool = False, literal: bool = False, keep: str = "") -> Atoms:
    """Characters, and holes as one atom each. ``loose`` lets a hole be any text, ``literal`` takes ``*`` for itself."""
    atoms = _ATOM.findall(text)
    if loose:
        kept = set(_ATOM.findall(keep))
        return tuple("*" if len(atom) > 1 and atom not in kept else atom for atom in atoms)
    return tuple({"*": "\x01*\x02", "?": "\x01?\x02"}.get(atom, atom) for atom in atoms) if literal else tuple(atoms)


@lru_cache(maxsize=8192)
def meets(left: Atoms, right: Atoms) -> bool:
    """Whether some text matches both, where ``*`` stands for any text and ``?`` for any character."""
    row = [False] * (len(right) + 1)
    for i in range(len(left), -1, -1):
        below, row = row, [False] * (len(right) + 1)
        for j in range(len(right), -1, -1):
            mine, other = left[i] if i < len(left) else "", right[j] if j < len(right) else ""
            if mine == "*":
                row[j] = below[j] or (bool(other) and row[j + 1])
            elif other == "*":
                row[j] = row[j + 1] or (bool(mine) and below[j])
            elif mine and other:
                row[j] = below[j + 1] and (mine == other or "?" in (mine, other))
            else:
                row[j] = not mine and not other
    return row[0]
