"""A name in, what AWS says about it out: IAM actions, runtimes, resource types, managed policies, services.

`scripts/build_data.py` makes the files of this folder from cfn-lint's tables and from tables of our own that name the
page of AWS behind every row; `versions()` says from what. Nothing is read before it is asked for, and of the largest
file only the lines of the services asked for are parsed. Names are matched whatever their case, as IAM does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

HERE = Path(__file__).parent  # importlib.resources would cost 8 ms of a cold start


class Action(NamedTuple):
    """An IAM action: `dynamodb:PutItem`, whether a policy can name the resources it acts on, and their types."""

    name: str
    resource_level: bool
    resource_types: tuple[str, ...]


class Operation(NamedTuple):
    """An API operation that is no IAM action, the actions that authorise it (none known: empty), and who says so."""

    name: str
    actions: tuple[str, ...]
    source: str | None


class Runtime(NamedTuple):
    """A Lambda runtime: from which day it is deprecated, and creating or updating functions is blocked."""

    name: str
    deprecated: date | None
    create_block: date | None
    update_block: date | None
    successor: str | None


class Lifecycle(NamedTuple):
    """The end of a resource type's service; AWS does not announce a day for all of them."""

    status: Literal["maintenance", "sunset", "shutdown"]
    date: date | None


class WildcardException(NamedTuple):
    """Why `Resource: "*"` is right for an action; `condition`: only in a statement that restricts by this key."""

    action: str
    reason: str
    source: str
    condition: str | None


class Service(NamedTuple):
    """A service of which some calls need a resource that somebody declared.

    `actions` are patterns of `service:Action`; any one of `types` satisfies them; `variables` are patterns of names
    under which functions are given such a resource. Not `certain`: a call may also work without one, as `note` says.
    """

    prefix: str
    title: str
    actions: tuple[str, ...]
    types: tuple[str, ...]
    variables: tuple[str, ...]
    certain: bool
    source: str
    note: str | None


class IntegrationNeeds(NamedTuple):
    """The IAM actions that an integration of Step Functions needs.

    `calls` for the call itself, `job` for waiting until it is done (`.sync`); None where nobody tells us.
    """

    calls: tuple[str, ...] | None
    job: tuple[str, ...] | None
    source: str | None


class SdkOperation(NamedTuple):
    """An API operation as an SDK calls it: its IAM prefix, its name as AWS writes it, and what authorises it.

    `actions` is empty for what anyone may call, None where nobody tells us; `known` says that AWS's models have it.
    """

    service: str
    name: str
    actions: tuple[str, ...] | None
    known: bool


class SdkClass(NamedTuple):
    """A class of boto3's resources: the operations of its methods, and the classes that its members and results are.

    `named`: its identifiers, in the order in which it takes them.
    """

    operations: Mapping[str, str]
    leads: Mapping[str, str]
    makes: Mapping[str, str]
    named: tuple[str, ...]


class Versions(NamedTuple):
    """What the data were made from; `as_of` is the day of cfn-lint's schemas."""

    cfn_lint: str
    botocore: str
    botocore_older: str
    as_of: date


if TYPE_CHECKING:  # making these classes would cost a cold start more than reading most of the files

    class PolicyStatement(TypedDict):
        """A statement of a policy of AWS's, as a policy document has it; every value that may be a list is one."""

        Effect: Literal["Allow", "Deny"]
        Action: NotRequired[list[str]]
        NotAction: NotRequired[list[str]]
        Resource: list[str]
        Condition: NotRequired[dict[str, dict[str, list[str]]]]

    class _SamPolicies(TypedDict):
        templates: dict[str, list[PolicyStatement]]

    class _Integrations(TypedDict):
        calls: dict[str, list[str]]
        job: dict[str, list[str]]
        sources: dict[str, str]

    class _SdkClass(TypedDict):
        operations: dict[str, str]
        leads: dict[str, str]
        makes: dict[str, str]
        named: NotRequired[list[str]]

    class _Sdk(TypedDict):
        free: list[str]
        names: dict[str, str]
        prefixes: dict[str, str]
        resources: dict[str, dict[str, _SdkClass]]
        unlisted: list[str]

    class _Types(TypedDict):
        lifecycle: dict[str, tuple[Literal["maintenance", "sunset", "shutdown"], str | None]]
        tags: dict[str, str]

    class _NotActions(TypedDict):
        sources: list[str]
        operations: dict[str, tuple[str, list[str], int | None]]

    class _Service(TypedDict):
        title: str
        actions: list[str]
        types: list[str]
        variables: list[str]
        source: str
        certain: NotRequired[bool]
        note: NotRequired[str]


@cache
def actions(service: str) -> Mapping[str, Action] | None:
    """A service prefix in, its actions by lower-case name out; None if cfn-lint's table does not know the service."""
    prefix = service.lower()
    table = _iam()
    start = table.find(f"\n{prefix}\t".encode())
    if start < 0:
        return None
    start += len(prefix) + 2
    groups: dict[str, str] = json.loads(table[start : table.index(b"\n", start)])
    found: dict[str, Action] = {}
    for types, names in groups.items():
        kinds = tuple(types.split("|")) if types else ()
        for name in names.split():
            found[name.lower()] = Action(f"{prefix}:{name}", bool(kinds), kinds)
    return found


def operation(action: str) -> Operation | None:
    """`service:Name` in, the API operation of that name which is no IAM action out; None if it is not known as one."""
    table = _not_actions()
    entry = table["operations"].get(action.lower())
    if entry is None:
        return None
    name, instead, source = entry
    return Operation(name, tuple(instead), None if source is None else table["sources"][source])


def operations(service: str) -> tuple[str, ...]:
    """A service prefix in, the names of its API operations that are no IAM actions out, as AWS writes them."""
    prefix = service.lower() + ":"
    table = _not_actions()["operations"]
    return tuple(entry[0].partition(":")[2] for key, entry in table.items() if key.startswith(prefix))


def is_word_of_actions(word: str) -> bool:
    """A word in, whether the name of any IAM action has these letters in this case (`Item` has, `Itme` has not) out."""
    return word.encode() in _iam()


def replacement_actions(action: str) -> tuple[str, ...] | None:
    """`service:Name` in, the actions that authorise that operation out; None: not known to be a mere operation."""
    found = operation(action)
    return None if found is None else found.actions


@cache
def runtime(name: str) -> Runtime | None:
    """A runtime identifier (`nodejs18.x`) in, its life cycle out; None if cfn-lint's table does not know it."""
    entry = _runtimes().get(name)
    if entry is None:
        return None
    return Runtime(
        name, _day(entry["deprecated"]), _day(entry["create-block"]), _day(entry["update-block"]), entry["successor"]
    )


def lifecycle(resource_type: str) -> Lifecycle | None:
    """A resource type in, the end of its service out, if AWS has announced one."""
    entry = _types()["lifecycle"].get(resource_type)
    return None if entry is None else Lifecycle(entry[0], _day(entry[1]))


def taggable(resource_type: str) -> bool:
    """A resource type in, whether a template can tag it out; False too for types that cfn-lint does not know."""
    return tag_property(resource_type) is not None


def tag_property(resource_type: str) -> str | None:
    """A resource type in, the path of its tags (`Tags`, `UserPoolTags`, `TagSpecifications/*/Tags`) out, if any."""
    return _tags().get(resource_type)


def managed_policy(arn: str) -> tuple[PolicyStatement, ...] | None:
    """An AWS managed policy's ARN, path or bare name in, its statements out; None if it is not in our table."""
    path = arn.partition(":aws:policy/")[2] or arn
    policies = _managed_policies()
    statements = policies.get(path) or policies.get(f"service-role/{path}")
    return None if statements is None else tuple(statements)


def sam_policy(name: str) -> tuple[PolicyStatement, ...] | None:
    """One of SAM's policy templates in, its statements out (`${TableName}` stands for a parameter); None: no such."""
    statements = _sam_policies().get(name)
    return None if statements is None else tuple(statements)


def wildcard_exception(action: str) -> WildcardException | None:
    """`service:Action` in, why it may have `Resource: "*"` although it can name resources out, if it may."""
    entry = _exceptions().get(action.lower())
    return None if entry is None else WildcardException(action, *entry)


@cache
def dependent_services() -> Mapping[str, Service]:
    """Nothing in, services that need a declared resource by IAM prefix out."""
    table: dict[str, _Service] = json.loads(_text("services.json"))
    return {prefix: _service(prefix, entry) for prefix, entry in table.items()}


def integration_needs(service: str, operation: str) -> IntegrationNeeds:
    """A service and an operation of an optimized integration (`dynamodb`, `putItem`) in, what they need out."""
    name = f"{service}:{operation}"
    table = _integrations()
    if name in table["calls"] or name in table["job"]:
        calls = tuple(table["calls"].get(name, ())) or _authorising(service, operation)
        return IntegrationNeeds(calls, _known(table["job"].get(name)), table["sources"][name])
    return IntegrationNeeds(_authorising(service, operation), None, None)


def _authorising(prefix: str, operation: str) -> tuple[str, ...] | None:
    """The actions that authorise an API operation: the one of its name, or those that AWS names instead."""
    action = (actions(prefix) or {}).get(operation.lower())
    return (action.name,) if action else (replacement_actions(f"{prefix}:{operation}") or None)


def _known(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def sdk_client(name: str) -> str | None:
    """A service as any AWS SDK or Step Functions names it (`SESV2`, `sfn`, `events`) in, botocore's name out."""
    return _sdk()["names"].get("".join(letter for letter in name.lower() if letter.isalnum()))


@cache
def sdk_operation(client: str, name: str) -> SdkOperation:
    """botocore's name of a service and an operation in any SDK's style in, what is known of it out."""
    prefix = _sdk()["prefixes"].get(client, client)
    key = f"{prefix}:{name.replace('_', '').lower()}"
    if key in _sdk_free():
        return SdkOperation(prefix, _sdk_free()[key].partition(":")[2], (), known=True)
    if instead := operation(key):
        return SdkOperation(prefix, instead.name.partition(":")[2], instead.actions or None, known=True)
    if action := (actions(prefix) or {}).get(key.partition(":")[2]):
        return SdkOperation(prefix, action.name.partition(":")[2], (action.name,), known=True)
    spelled = _sdk_unlisted().get(key)
    return SdkOperation(prefix, spelled.partition(":")[2] if spelled else name, None, known=spelled is not None)


def sdk_class(client: str, title: str) -> SdkClass | None:
    """botocore's name of a service and a class of its boto3 resource (`Service`: the resource itself) in, it out."""
    entry = _sdk()["resources"].get(client, {}).get(title)
    if entry is None:
        return None
    return SdkClass(entry["operations"], entry["leads"], entry["makes"], tuple(entry.get("named", ())))


@cache
def versions() -> Versions:
    """Nothing in, what the data were made from out."""
    entry: dict[str, str] = json.loads(_text("data.json"))
    as_of = date.fromisoformat(entry["as_of"])
    return Versions(entry["cfn_lint"], entry["botocore"], entry["botocore_older"], as_of)


def _service(prefix: str, entry: _Service) -> Service:
    return Service(
        prefix=prefix,
        title=entry["title"],
        actions=tuple(f"{prefix}:{name}" for name in entry["actions"]),
        types=tuple(entry["types"]),
        variables=tuple(entry["variables"]),
        certain=entry.get("certain", True),
        source=entry["source"],
        note=entry.get("note"),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _text(name: str) -> bytes:
    return (HERE / name).read_bytes()


@cache
def _iam() -> bytes:
    return b"\n" + _text("iam.txt")


@cache
def _not_actions() -> _NotActions:
    return cast("_NotActions", json.loads(_text("not-actions.json")))


@cache
def _sdk() -> _Sdk:
    return cast("_Sdk", json.loads(_text("sdk.json")))


@cache
def _sdk_free() -> dict[str, str]:
    return {name.lower(): name for name in _sdk()["free"]}


@cache
def _sdk_unlisted() -> dict[str, str]:
    return {name.lower(): name for name in _sdk()["unlisted"]}


@cache
def _runtimes() -> dict[str, dict[str, str | None]]:
    return cast("dict[str, dict[str, str | None]]", json.loads(_text("runtimes.json")))


@cache
def _integrations() -> _Integrations:
    return cast("_Integrations", json.loads(_text("integrations.json")))


@cache
def _types() -> _Types:
    return cast("_Types", json.loads(_text("types.json")))


@cache
def _tags() -> dict[str, str]:
    return {name: place for place, names in _types()["tags"].items() for name in names.split()}


@cache
def _managed_policies() -> dict[str, list[PolicyStatement]]:
    return cast("dict[str, list[PolicyStatement]]", json.loads(_text("managed-policies.json")))


@cache
def _sam_policies() -> dict[str, list[PolicyStatement]]:
    return cast("_SamPolicies", json.loads(_text("sam-policies.json")))["templates"]


@cache
def _exceptions() -> dict[str, tuple[str, str, str | None]]:
    return cast("dict[str, tuple[str, str, str | None]]", json.loads(_text("resource-level-exceptions.json")))
