"""Resources in, their physical names with every parameter left open out, and what is wrong with such a name.

Under its defaults a template has one name per resource; here a name keeps the holes that parameters fill, so that
every value a parameter allows can be tried against the grammar of the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cfaudit.model.declarations import Declarations, Resource
from cfaudit.model.language import UNBOUNDED, UnreadableError, Values, shapes
from cfaudit.nodes import Deferred, Map, Node, Part, Scalar, Seq, Source, parts_of
from cfaudit.resolve import Scenario, meaning, mentioned, scenarios


class Grammar(NamedTuple):
    """What a service takes as a name: the property, its characters, its length, its edges, and what may not be in it.

    ``letters``, ``first`` and ``last`` are the insides of a character class; ``source`` is the page that says so.
    """

    path: str
    letters: str
    least: int
    most: int
    source: str
    first: str = ""
    last: str = ""
    never: tuple[str, ...] = ()


_DOCS = "https://docs.aws.amazon.com/"
_WORD = "a-zA-Z0-9_-"
_DYNAMODB = f"{_DOCS}amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html"
_EVENTS = f"{_DOCS}eventbridge/latest/APIReference/API_PutRule.html"
_FRAUD = f"{_DOCS}frauddetector/latest/api/"
_IAM = f"{_DOCS}IAM/latest/APIReference/"
_STATE_WORD = "!'()+.0-9=@A-Z_a-z\x80-\U0010ffff-"
_STATES = f"{_DOCS}step-functions/latest/apireference/API_CreateStateMachine.html"

GRAMMARS: Mapping[str, Grammar] = {
    "AWS::Athena::WorkGroup": Grammar(
        "Name", "a-zA-Z0-9._-", 1, 128, f"{_DOCS}athena/latest/APIReference/API_CreateWorkGroup.html"
    ),
    "AWS::Cognito::UserPoolDomain": Grammar(
        "Domain",
        "a-z0-9.-",
        1,
        63,
        f"{_DOCS}cognito-user-identity-pools/latest/APIReference/API_CreateUserPoolDomain.html",
        "a-z0-9",
        "a-z0-9",
    ),
    "AWS::DynamoDB::GlobalTable": Grammar("TableName", "a-zA-Z0-9_.-", 3, 255, _DYNAMODB),
    "AWS::DynamoDB::Table": Grammar("TableName", "a-zA-Z0-9_.-", 3, 255, _DYNAMODB),
    "AWS::ECR::Repository": Grammar(
        "RepositoryName",
        "a-z0-9._/-",
        2,
        256,
        f"{_DOCS}AmazonECR/latest/APIReference/API_CreateRepository.html",
        "a-z0-9",
        "a-z0-9",
    ),
    "AWS::ECS::Cluster": Grammar(
        "ClusterName", _WORD, 1, 255, f"{_DOCS}AmazonECS/latest/APIReference/API_CreateCluster.html"
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Grammar(
        "Name",
        "a-zA-Z0-9-",
        1,
        32,
        f"{_DOCS}elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html",
        "a-zA-Z0-9",
        "a-zA-Z0-9",
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Grammar(
        "Name",
        "a-zA-Z0-9-",
        1,
        32,
        f"{_DOCS}elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html",
        "a-zA-Z0-9",
        "a-zA-Z0-9",
    ),
    "AWS::Events::EventBus": Grammar(
        "Name", "/.a-zA-Z0-9_-", 1, 256, f"{_DOCS}eventbridge/latest/APIReference/API_CreateEventBus.html"
    ),
    "AWS::Events::Rule": Grammar("Name", ".a-zA-Z0-9_-", 1, 64, _EVENTS),
    "AWS::FraudDetector::Detector": Grammar("DetectorId", "0-9a-z_-", 1, 64, f"{_FRAUD}API_PutDetector.html"),
    "AWS::FraudDetector::EntityType": Grammar("Name", "0-9a-z_-", 1, 64, f"{_FRAUD}API_PutEntityType.html"),
    "AWS::FraudDetector::EventType": Grammar("Name", "0-9a-z_-", 1, 64, f"{_FRAUD}API_PutEventType.html"),
    "AWS::FraudDetector::Label": Grammar("Name", "0-9a-z_-", 1, 64, f"{_FRAUD}API_PutLabel.html"),
    "AWS::FraudDetector::Outcome": Grammar("Name", "0-9a-z_-", 1, 64, f"{_FRAUD}API_PutOutcome.html"),
    "AWS::FraudDetector::Variable": Grammar(
        "Name",
        "a-z0-9_",
        1,
        100,
        f"{_DOCS}AWSCloudFormation/latest/TemplateReference/aws-resource-frauddetector-variable.html",
        "a-z_",
    ),
    "AWS::IAM::ManagedPolicy": Grammar("ManagedPolicyName", "\\w+=,.@-", 1, 128, f"{_IAM}API_CreatePolicy.html"),
    "AWS::IAM::Role": Grammar("RoleName", "\\w+=,.@-", 1, 64, f"{_IAM}API_CreateRole.html"),
    "AWS::Kinesis::Stream": Grammar(
        "Name", "a-zA-Z0-9_.-", 1, 128, f"{_DOCS}kinesis/latest/APIReference/API_CreateStream.html"
    ),
    "AWS::KinesisFirehose::DeliveryStream": Grammar(
        "DeliveryStreamName",
        "a-zA-Z0-9_.-",
        1,
        64,
        f"{_DOCS}firehose/latest/APIReference/API_CreateDeliveryStream.html",
    ),
    "AWS::Lambda::Function": Grammar("FunctionName", _WORD, 1, 64, f"{_DOCS}lambda/latest/api/API_CreateFunction.html"),
    "AWS::Logs::LogGroup": Grammar(
        "LogGroupName",
        "._/#A-Za-z0-9-",
        1,
        512,
        f"{_DOCS}AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html",
    ),
    "AWS::OpenSearchService::Domain": Grammar(
        "DomainName",
        "a-z0-9-",
        3,
        28,
        f"{_DOCS}opensearch-service/latest/APIReference/API_CreateDomain.html",
        "a-z",
    ),
    "AWS::S3::Bucket": Grammar(
        "BucketName",
        "a-z0-9.-",
        3,
        63,
        f"{_DOCS}AmazonS3/latest/userguide/bucketnamingrules.html",
        "a-z0-9",
        "a-z0-9",
        ("..",),
    ),
    "AWS::SES::ConfigurationSet": Grammar(
        "Name", _WORD, 1, 64, f"{_DOCS}ses/latest/APIReference-V2/API_CreateConfigurationSet.html"
    ),
    "AWS::SNS::Topic": Grammar("TopicName", _WORD, 1, 256, f"{_DOCS}sns/latest/api/API_CreateTopic.html"),
    "AWS::SQS::Queue": Grammar(
        "QueueName", _WORD, 1, 80, f"{_DOCS}AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html"
    ),
    "AWS::Scheduler::Schedule": Grammar(
        "Name", "0-9a-zA-Z_.-", 1, 64, f"{_DOCS}scheduler/latest/APIReference/API_CreateSchedule.html"
    ),
    "AWS::SecretsManager::Secret": Grammar(
        "Name",
        "a-zA-Z0-9/_+=.@-",
        1,
        512,
        f"{_DOCS}secretsmanager/latest/apireference/API_CreateSecret.html",
    ),
    "AWS::Serverless::Function": Grammar(
        "FunctionName", _WORD, 1, 64, f"{_DOCS}lambda/latest/api/API_CreateFunction.html"
    ),
    "AWS::Serverless::SimpleTable": Grammar("TableName", "a-zA-Z0-9_.-", 3, 255, _DYNAMODB),
    "AWS::Serverless::StateMachine": Grammar("Name", _STATE_WORD, 1, 80, _STATES),
    "AWS::StepFunctions::StateMachine": Grammar("StateMachineName", _STATE_WORD, 1, 80, _STATES),
}
"""Names that must be unique, and what AWS's API reference allows in them."""

_FIFO = ("AWS::SNS::Topic", "AWS::SQS::Queue")


class Fault(NamedTuple):
    """Why a service does not take a name; the lower the ``rank``, the plainer to see."""

    rank: int
    reason: str


def fault(kind: str, text: str) -> Fault | None:
    """What is wrong with a name of a resource of a type, if anything is."""
    grammar = GRAMMARS[kind]
    plain = text.removesuffix(".fifo") if kind in _FIFO else text
    strange = re.search(f"[^{grammar.letters}]", plain, re.ASCII)
    if strange:
        return Fault(0, "has upper case" if strange[0].isupper() else f"has {strange[0]!r}")
    for word in grammar.never:
        if word in text:
            return Fault(1, f"has {word!r}")
    for edge, letter, verb in ((grammar.first, text[:1], "begins"), (grammar.last, text[-1:], "ends")):
        if letter and edge and not re.match(f"[{edge}]", letter, re.ASCII):
            return Fault(1, f"{verb} with {letter!r}")
    if len(text) > grammar.most:
        return Fault(2, f"is {len(text)} characters long, {grammar.most} are allowed")
    if len(text) < grammar.least:
        return Fault(2, f"is {len(text)} characters long, at least {grammar.least} are needed")
    return None


class Name(NamedTuple):
    """The physical name of a resource, its parameters left open."""

    resource: Resource
    grammar: Grammar
    node: Node
    parts: tuple[Part, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that are part of it; none where it is nothing but a parameter's value."""
        if len(self.parts) == 1:
            return ()
        holes = [part for part in self.parts if isinstance(part, Deferred)]
        return tuple(dict.fromkeys(hole.name for hole in holes if hole.kind == "parameter"))

    def text(self, given: Mapping[str, str], fallback: Mapping[str, str]) -> str:
        """The name where parameters have the given values; other holes get the shortest plain text there is."""
        return _filled(self.parts, {**fallback, **given})


_STANDING = {"AWS::AccountId": "123456789012", "AWS::Region": "us-east-1", "AWS::Partition": "aws"}


def _filled(parts: tuple[Part, ...], given: Mapping[str, str]) -> str:
    pieces = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, Deferred):
            pieces.append(given.get(part.name, _STANDING.get(part.name, "x")))
        else:
            pieces.append("x")
    return "".join(pieces)


def names(template: Declarations) -> Iterator[Name]:
    """The physical names of the template's resources that a parameter is part of, in template order."""
    source = opened(template.source)
    given = replace(template.document.scenario, parameters={})
    for resource in template.of(*GRAMMARS):
        grammar = GRAMMARS[resource.type]
        node = _property(template.source, resource.logical_id, grammar.path)
        if node is not None and not isinstance(node, Scalar):
            found = Name(resource, grammar, node, parts_of(meaning(node, source, given)))
            if found.parameters:
                yield found


def opened(source: Source) -> Source:
    """The same template with parameters that have no default."""
    declared = source.root.entries.get("Parameters")
    if not isinstance(declared, Map):
        return source
    bare = {name: _bare(definition) for name, definition in declared.entries.items()}
    root = replace(source.root, entries={**source.root.entries, "Parameters": replace(declared, entries=bare)})
    return replace(source, root=root)


def _bare(definition: Node) -> Node:
    if not isinstance(definition, Map):
        return definition
    return replace(definition, entries={key: value for key, value in definition.entries.items() if key != "Default"})


def _property(source: Source, logical_id: str, name: str) -> Node | None:
    found: Node | None = source.root
    for step in ("Resources", logical_id, "Properties", name):
        found = found.entries.get(step) if isinstance(found, Map) else None
    return found


def breaks(template: Declarations, name: Name, given: Mapping[str, str], fallback: Mapping[str, str]) -> bool:
    """Whether the name is invalid where parameters have these values, with all that conditions then decide."""
    held = template.document.scenario
    if not any(_is_compared(template.source, name) for name in given):
        return True
    asked = Scenario(parameters={**held.parameters, **given}, region=held.region)
    for branch in scenarios(template.source, asked)[0]:
        condition = name.resource.attribute("Condition")
        active = not isinstance(condition, Scalar) or branch.conditions.get(condition.text) is not False
        parts = parts_of(meaning(name.node, template.source, branch))
        if active and parts and fault(name.resource.type, _filled(parts, fallback)):
            return True
    return False


def _is_compared(source: Source, name: str) -> bool:
    """Whether the Conditions section speaks of a parameter."""
    conditions = source.root.entries.get("Conditions")
    if conditions is None:
        return False
    return name in mentioned(conditions, (name,))


# What a parameter allows ---------------------------------------------------------------------------------------------


class Parameter(NamedTuple):
    """A parameter of the template: what it may be, None where its pattern cannot be read, and its default."""

    name: str
    definition: Map[Node]
    values: Values | None
    limited: bool
    default: str | None

    @property
    def decided_by(self) -> str:
        """The constraint that decides what it may be, empty for none."""
        held = self.definition.entries
        return next((key for key in ("AllowedValues", "AllowedPattern", "MaxLength") if key in held), "")


_ANYTHING = shapes(".*")


def parameter(source: Source, name: str) -> Parameter | None:
    """A parameter that takes one text; None for a list, a number and AWS's own types."""
    declared = source.root.entries.get("Parameters")
    definition = declared.entries.get(name) if isinstance(declared, Map) else None
    if not isinstance(definition, Map) or _text(definition, "Type") != "String":
        return None
    listed = definition.entries.get("AllowedValues")
    texts = [item.text for item in listed.items if isinstance(item, Scalar)] if isinstance(listed, Seq) else []
    least, most = _number(definition, "MinLength", 0), _number(definition, "MaxLength", UNBOUNDED)
    pattern = definition.entries.get("AllowedPattern")
    values: Values | None
    try:
        made = shapes(pattern.text) if isinstance(pattern, Scalar) else _ANYTHING
        values = Values(tuple(texts), made, least, most)
    except UnreadableError:
        values = Values(tuple(texts), ()) if texts else None
    limited = bool(texts) or pattern is not None or most < UNBOUNDED
    return Parameter(name, definition, values, limited, _text(definition, "Default"))


def _text(definition: Map[Node], key: str) -> str | None:
    found = definition.entries.get(key)
    return found.text if isinstance(found, Scalar) else None


def _number(definition: Map[Node], key: str, otherwise: int) -> int:
    text = _text(definition, key)
    return min(int(text[:6]), UNBOUNDED) if text and text.isdecimal() else otherwise
