"""botocore's and boto3's models in, what `src/cfaudit/data/sdk.json` says of the AWS SDKs out.

    python scripts/build_data.py --sdk BOTOCORE BOTO3

rewrites `tables/sdk.json`: every service with its IAM prefix, the API operations that IAM does not know under that
prefix, those that need no credentials at all, and boto3's resources.
"""

import gzip
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "str | int | list[Json] | dict[str, Json] | None"

PREFIXES = {
    "applicationcostprofiler": "application-cost-profiler",
    "cloudcontrol": "cloudformation",
    "iot-data": "iot",
    "iot-jobs-data": "iotjobsdata",
    "iotsecuretunneling": "iot",
    "mturk": "mechanicalturk",
    "opensearchmemory": "osm",
    "partnercentral-account": "partnercentral",
    "partnercentral-benefits": "partnercentral",
    "partnercentral-channel": "partnercentral",
    "partnercentral-selling": "partnercentral",
    "resourcegroupstaggingapi": "tag",
}
"""IAM prefixes that botocore's models do not tell, as AWS's Service Authorization Reference has them."""

ALIASES = {
    "cloudwatchevents": "events",
    "cognitoidentityserviceprovider": "cognito-idp",
    "migrationhub": "mgh",
    "rdsdataservice": "rds-data",
    "resourcegroupstaggingapi": "resourcegroupstaggingapi",
    "serverlessapplicationrepository": "serverlessrepo",
    "transcribeservice": "transcribe",
}
"""Clients of the AWS SDK for JavaScript v2 whose names no model of botocore has."""

RESOURCES = ("dynamodb", "s3", "sns", "sqs")
FREE = {
    "sts:GetCallerIdentity": "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html",
    "sts:GetSessionToken": "https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html",
}
"""Operations that anyone with credentials may call; AWS's page for each says so."""


def collect(botocore: Path, boto3: Path, actions: Mapping[str, Collection[str]]) -> dict[str, Json]:
    """A botocore and a boto3 folder, and IAM's lower-case actions by prefix in; the content of tables/sdk.json out."""
    services: dict[str, Json] = {}
    for name, model in models(botocore):
        metadata, operations = model["metadata"], model["operations"]
        prefix = prefix_of(name, metadata, operations, actions)
        known = actions.get(prefix, ())
        services[name] = {
            "prefix": prefix,
            "names": sorted({squeezed(name), squeezed(metadata["serviceId"])}),
            "unlisted": " ".join(sorted(operation for operation in operations if operation.lower() not in known)),
            "anonymous": " ".join(sorted(name for name, operation in operations.items() if anonymous(operation))),
        }
    resources: dict[str, Json] = {name: resource_classes(boto3, name) for name in RESOURCES}
    return {"services": services, "resources": resources}


def models(botocore: Path) -> Iterator[tuple[str, dict[str, dict[str, dict[str, str]]]]]:
    """A botocore folder in, every service with the latest version of its model out."""
    for folder in sorted((botocore / "data").iterdir()):
        if paths := sorted(folder.glob("*/service-2.json.gz")):
            yield folder.name, json.loads(gzip.decompress(paths[-1].read_bytes()))


def prefix_of(
    name: str, metadata: Mapping[str, object], operations: Collection[str], actions: Mapping[str, Collection[str]]
) -> str:
    """A service in, its IAM prefix out: of the names its model has, the one under which IAM knows most operations."""
    if name in PREFIXES:
        return PREFIXES[name]
    signing = str(metadata.get("signingName") or metadata["endpointPrefix"])
    names = [signing, str(metadata["endpointPrefix"]), name]
    found = [candidate for candidate in names if candidate in actions]
    return max(found, key=lambda prefix: sum(word.lower() in actions[prefix] for word in operations), default=signing)


def anonymous(operation: Mapping[str, object]) -> bool:
    """An operation in, whether it is called without credentials out."""
    return operation.get("authtype") == "none" or operation.get("auth") == ["smithy.api#noAuth"]


def squeezed(name: str) -> str:
    """A service's name in any style in, its letters and digits in lower case out."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def called(names: Iterable[str]) -> Iterator[str]:
    """A service's squeezed names in, those and Step Functions' names out.

    Step Functions takes the names of the AWS SDK for Java 2.x, which leave out a last "Service".
    https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
    """
    for name in names:
        yield name
        yield name.removesuffix("service")


def snake(name: str) -> str:
    """`BatchWriteItem` in, `batch_write_item` out."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def resource_classes(boto3: Path, name: str) -> dict[str, Json]:
    """A service in, boto3's resource classes out: methods with their operations, and what leads to other classes.

    ``Service`` is what `boto3.resource` returns. A collection is a method of its own class, ``Bucket.objects``.
    """
    model = json.loads(sorted((boto3 / "data" / name).glob("*/resources-1.json"))[-1].read_text())
    classes = {"Service": model["service"], **model["resources"]}
    found: dict[str, Json] = {}
    for title, shape in classes.items():
        operations: dict[str, Json] = {
            snake(method): action["request"]["operation"] for method, action in shape.get("actions", {}).items()
        }
        if "load" in shape:
            operations |= dict.fromkeys(("load", "reload"), shape["load"]["request"]["operation"])
        makes = {snake(method): action["resource"]["type"] for method, action in shape.get("actions", {}).items()
                 if "resource" in action}  # fmt: skip
        leads = {member: has["resource"]["type"] for member, has in shape.get("has", {}).items()}
        leads |= {other: other for other in model["resources"]} if title == "Service" else {}
        for member, many in shape.get("hasMany", {}).items():
            collection = f"{title}.{snake(member)}"
            leads[snake(member)] = collection
            ways = ("all", "filter", "limit", "page_size", "pages")
            calls: dict[str, Json] = dict.fromkeys(ways, many["request"]["operation"])
            element = model["resources"].get(many["resource"]["type"], {})
            calls |= {snake(method): action["request"]["operation"]
                      for method, action in element.get("batchActions", {}).items()}  # fmt: skip
            elements: dict[str, Json] = dict.fromkeys(calls, many["resource"]["type"])
            found[collection] = {"operations": calls, "leads": {}, "makes": elements}
        identifiers: list[Json] = [snake(identifier["name"]) for identifier in shape.get("identifiers", [])]
        found[title] = {"operations": operations, "leads": dict(leads), "makes": dict(makes), "named": identifiers}
    return found


def build(table: dict[str, Json], known: Collection[str]) -> dict[str, Json]:
    """The content of tables/sdk.json and the operations in not-actions.json in, the content of data/sdk.json out."""
    services = table["services"]
    assert isinstance(services, dict)
    names: dict[str, Json] = dict(ALIASES)
    prefixes: dict[str, Json] = {}
    unlisted: dict[str, Json] = {}
    free: dict[str, Json] = {operation.lower(): operation for operation in FREE}
    for service, entry in services.items():
        assert isinstance(entry, dict)
        prefixes[service] = entry["prefix"]
        names |= dict.fromkeys(called(str(name) for name in entry["names"] or ()), service)  # type: ignore[union-attr]
        operations = [f"{entry['prefix']}:{word}" for word in str(entry["unlisted"]).split()]
        unlisted |= {word.lower(): word for word in operations if word.lower() not in known}
        free |= {word.lower(): word for word in (f"{entry['prefix']}:{op}" for op in str(entry["anonymous"]).split())}
    return {
        "free": sorted(free.values(), key=str),
        "names": names,
        "prefixes": prefixes,
        "resources": table["resources"],
        "unlisted": sorted(unlisted.values(), key=str),
    }
