"""cfn-lint's data and our sourced tables in, the files of `src/cfaudit/data` out.

    python scripts/build_data.py            write the files
    python scripts/build_data.py --check    compare instead, exit 1 on drift
    python scripts/build_data.py --names BOTOCORE OLDER_BOTOCORE [LIST ...]
    python scripts/build_data.py --sam WHEEL
    python scripts/build_data.py --sdk BOTOCORE BOTO3

cfn-lint keeps the names of IAM actions in lower case. `tables/names.txt` gives them their spelling, and lists API
operations that IAM does not know; the last form above rewrites it. An operation counts as unknown to IAM only if an
older botocore had it already: the newest operations are often missing from cfn-lint's table because that is older.
`tables/sam_policies.json` are SAM's policy templates; `--sam` rewrites it from a wheel of aws-sam-translator.
`tables/sdk.json` says what the AWS SDKs call services and operations; `--sdk` rewrites it (see `sdk.py`).
"""

import argparse
import gzip
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias, TypedDict

import cfnlint.data  # type: ignore[import-untyped]
import sdk
import yaml

TABLES = Path(__file__).parent / "tables"
NAMES = TABLES / "names.txt"
SAM_POLICIES = TABLES / "sam_policies.json"
SDK = TABLES / "sdk.json"
TARGET = Path(__file__).parent.parent / "src" / "cfaudit" / "data"
CFN_LINT = Path(next(iter(cfnlint.data.__path__)))
REGION = "us-east-1"
APIS = """
    apigateway athena bedrock cloudfront cognito-idp dynamodb events execute-api firehose frauddetector glue kinesis kms
    lambda logs s3 secretsmanager ses sns sqs ssm states timestream verifiedpermissions
"""
# Operations of another service with the same signing name, or whose authorisation AWS does not document.
LEFT_OUT = {
    "cloudfront": "DeleteServiceLinkedRole",
    "execute-api": """
        CancelParticipantAuthentication CompleteAttachmentUpload CreateParticipantConnection DescribeView SendMessage
        DisconnectParticipant GetAttachment GetAuthenticationUrl GetTranscript SendEvent StartAttachmentUpload
    """,
    "glue": """
        BatchGetDataQualityResult BatchPutDataQualityStatisticAnnotation ListDataQualityStatisticAnnotations
        ListDataQualityStatistics
    """,
    "s3": "CreateSession GetBucket ListDirectoryBuckets ListRegionalBuckets WriteGetObjectResponse",
    "verifiedpermissions": "BatchGetPolicy",
}
API_GATEWAY = "https://docs.aws.amazon.com/apigateway/latest/developerguide/security_iam_service-with-iam.html"

Json: TypeAlias = "str | int | list[Json] | dict[str, Json] | None"


class IamService(TypedDict):
    """cfn-lint's entry for one service prefix: lower-case action name to its resource types, if it has any."""

    Actions: dict[str, dict[str, list[str]]]


class Names(TypedDict):
    """Spellings and operations unknown to IAM (with their HTTP methods), by service; botocore's versions."""

    spellings: dict[str, dict[str, str]]
    operations: dict[str, dict[str, str]]
    botocore: list[str]


class Replacements(TypedDict):
    """What one page of AWS says about operations and the actions that authorise them."""

    source: str
    operations: dict[str, list[str]]


class Exceptions(TypedDict, total=False):
    """Actions for which one page of AWS justifies `Resource: "*"`."""

    source: str
    reason: str
    condition: str
    actions: list[str]


class Dependent(TypedDict, total=False):
    """A service of which a call needs a declared resource."""

    title: str
    actions: list[str]
    types: list[str]
    variables: list[str]
    certain: bool
    source: str
    note: str


class Integrations(TypedDict, total=False):
    """What one page of AWS says about integrations of Step Functions and the actions they need."""

    source: str
    calls: dict[str, list[str]]
    job: dict[str, list[str]]


class Tagging(TypedDict, total=False):
    """The `tagging` block of a resource schema."""

    taggable: bool
    tagProperty: str


class Schema(TypedDict, total=False):
    """The parts of cfn-lint's resource schema that are read here."""

    properties: dict[str, Json]
    lifecycle: dict[str, str]
    tagging: Tagging
    taggable: bool


def main() -> int:
    """Arguments in, exit code out."""
    parser = argparse.ArgumentParser(description="Compact cfn-lint's data into the package.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing; exit 1 on drift")
    parser.add_argument("--names", nargs="+", type=Path, metavar="PATH", help="rewrite tables/names.txt")
    parser.add_argument("--sam", type=Path, metavar="WHEEL", help="rewrite tables/sam_policies.json")
    parser.add_argument("--sdk", nargs=2, type=Path, metavar="FOLDER", help="rewrite tables/sdk.json")
    arguments = parser.parse_args()
    if arguments.sam:
        SAM_POLICIES.write_text(json.dumps(collect_sam_policies(arguments.sam), indent=1) + "\n", encoding="utf-8")
    if arguments.sdk:
        known = {prefix: entry["Actions"].keys() for prefix, entry in iam_services().items()}
        SDK.write_text(json.dumps(sdk.collect(*arguments.sdk, known), indent=1) + "\n", encoding="utf-8")
    if arguments.names:
        NAMES.write_text(collect_names(arguments.names[0], arguments.names[1], arguments.names[2:]), encoding="utf-8")
    files = build()
    if arguments.check:
        drift = [name for name, text in files.items() if not same(TARGET / name, text)]
        print("\n".join(f"{name}: drifted from its sources" for name in drift) or "no drift")
        return 1 if drift else 0
    for name, text in files.items():
        (TARGET / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {len(text.encode()):,} bytes")
    return 0


def same(path: Path, text: str) -> bool:
    """A file and the text it should have in, whether it has it out."""
    return path.exists() and path.read_bytes() == text.encode()


def build() -> dict[str, str]:
    """Everything installed and committed in, file names with their text out."""
    services = iam_services()
    names = read_names()
    schemas = dict(read_schemas())
    return {
        "iam.txt": iam(services, names),
        "runtimes.json": compact(json.loads((CFN_LINT / "AdditionalSpecs" / "LmbdRuntimeLifecycle.json").read_text())),
        "types.json": compact(types(schemas)),
        "not-actions.json": compact(not_actions(services, names)),
        "managed-policies.json": compact(managed_policies(services)),
        "sam-policies.json": compact(json.loads(SAM_POLICIES.read_text())),
        "resource-level-exceptions.json": compact(exceptions(services, names)),
        "services.json": compact(dependents(services, names, set(schemas))),
        "integrations.json": compact(integrations(services, names)),
        "sdk.json": compact(sdk.build(json.loads(SDK.read_text()), known_operations(services, names))),
        "data.json": compact(versions(names)),
    }


def compact(value: object) -> str:
    """A JSON value in, its shortest deterministic text out."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def iam_services() -> dict[str, IamService]:
    """Nothing in, cfn-lint's table of IAM actions by service prefix out."""
    table: dict[str, IamService] = json.loads((CFN_LINT / "AdditionalSpecs" / "Policies.json").read_text())
    return table


def iam(services: dict[str, IamService], names: Names) -> str:
    """IAM's table in, one line for each service out: `prefix<TAB>{"type|type": "Action Action", "": "Action"}`."""
    lines = []
    for prefix in sorted(services):
        groups: dict[str, list[str]] = {}
        for action, entry in services[prefix]["Actions"].items():
            groups.setdefault("|".join(entry.get("Resources", [])), []).append(spelling(names, prefix, action))
        lines.append(f"{prefix}\t{compact({key: ' '.join(sorted(value)) for key, value in groups.items()})}")
    return "".join(lines)


def spelling(names: Names, prefix: str, action: str) -> str:
    """A lower-case action in, its name as AWS writes it out (unchanged where nobody knows)."""
    return names["spellings"].get(prefix, {}).get(action, action)


def canonical(services: dict[str, IamService], names: Names, action: str) -> str:
    """`service:action` in any case in, as AWS writes it out; an unknown name is an error of our tables."""
    prefix, _, name = action.partition(":")
    if name.lower() not in services[prefix]["Actions"]:
        raise SystemExit(f"{action} is not an IAM action")
    return f"{prefix}:{spelling(names, prefix, name.lower())}"


def read_schemas() -> Iterator[tuple[str, Schema]]:
    """Nothing in, resource types with their schema out: those of the region, and SAM's."""
    for provider in (REGION, "sam"):
        files: dict[str, str] = json.loads((CFN_LINT / "schemas" / "providers" / f"{provider}.json").read_text())
        for name, digest in sorted(files.items()):
            yield name, json.loads((CFN_LINT / "schemas" / "resources" / f"{digest}.json").read_text())


def types(schemas: dict[str, Schema]) -> dict[str, Json]:
    """Schemas in, types with a life cycle, and taggable types by the property that holds their tags, out."""
    lifecycle: dict[str, Json] = {}
    tags: dict[str, list[str]] = {}
    for name, schema in schemas.items():
        if "lifecycle" in schema:
            lifecycle[name] = [schema["lifecycle"]["status"], schema["lifecycle"].get("date")]
        if place := tag_property(schema):
            tags.setdefault(place, []).append(name)
    return {"lifecycle": lifecycle, "tags": {place: " ".join(sorted(names)) for place, names in tags.items()}}


def tag_property(schema: Schema) -> str | None:
    """A schema in, the path of its tags (`Tags`, `TagSpecifications/*/Tags`) out, if the type can be tagged."""
    tagging = schema.get("tagging", {})
    place = tagging.get("tagProperty", "/properties/Tags").removeprefix("/properties/")
    can = tagging.get("taggable", schema.get("taggable", True))
    return place if can and place.partition("/")[0] in schema.get("properties", {}) else None


def not_actions(services: dict[str, IamService], names: Names) -> dict[str, Json]:
    """IAM's table in, API operations that are no actions with [name, actions in their place, index of source] out."""
    sources: list[Json] = []
    table: dict[str, Json] = dict(unknown_operations(names))
    blocks: list[Replacements] = yaml.safe_load((TABLES / "replacements.yaml").read_text())
    for block in [*blocks, api_gateway(names)]:
        sources.append(block["source"])
        for operation, actions in block["operations"].items():
            prefix, _, name = operation.partition(":")
            if name.lower() in services[prefix]["Actions"]:
                raise SystemExit(f"{operation} is an IAM action")
            instead: list[Json] = [canonical(services, names, action) for action in actions]
            table[operation.lower()] = [operation, instead, len(sources) - 1]
    return {"sources": sources, "operations": table}


def known_operations(services: dict[str, IamService], names: Names) -> set[str]:
    """IAM's table in, the lower-case `service:operation` that not-actions.json has out."""
    table = not_actions(services, names)["operations"]
    return set(table) if isinstance(table, dict) else set()


def unknown_operations(names: Names) -> Iterator[tuple[str, Json]]:
    """Names in, `service:operation` with an entry that knows no replacement out."""
    for prefix, operations in names["operations"].items():
        for operation in operations:
            yield f"{prefix}:{operation}".lower(), [f"{prefix}:{operation}", [], None]


def api_gateway(names: Names) -> Replacements:
    """Names in, API Gateway's operations with the actions that are their HTTP methods out."""
    operations = {
        f"apigateway:{name}": [f"apigateway:{method}" for method in methods.split(",")]
        for name, methods in names["operations"]["apigateway"].items()
    }
    return {"source": API_GATEWAY, "operations": operations}


def managed_policies(services: dict[str, IamService]) -> Json:
    """IAM's table in, AWS's managed policies by the path of their ARN out; says which actions IAM does not know."""
    policies: dict[str, list[dict[str, list[str]]]] = yaml.safe_load((TABLES / "managed_policies.yaml").read_text())
    for statement in (statement for statements in policies.values() for statement in statements):
        for action in statement.get("Action", statement.get("NotAction", [])):
            if action != "*" and not matches(services, action):
                print(f"managed_policies.yaml: {action} is not in cfn-lint's table", file=sys.stderr)
    result: Json = json.loads(json.dumps(policies))
    return result


def collect_sam_policies(wheel: Path) -> Json:
    """A wheel of aws-sam-translator in, its version and policy templates (``${Parameter}`` in the texts) out."""
    with zipfile.ZipFile(wheel) as archive:
        source = json.loads(archive.read("samtranslator/policy_templates_data/policy_templates.json"))["Templates"]
    templates: dict[str, Json] = {
        name: [listed(plain_texts(statement)) for statement in template["Definition"]["Statement"]]
        for name, template in sorted(source.items())
    }
    return {"aws-sam-translator": wheel.name.split("-")[1], "templates": templates}


def plain_texts(value: Json) -> Json:
    """A part of a policy template in, the same with every Fn::Sub as text whose holes are template parameters out."""
    if isinstance(value, list):
        return [plain_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" not in value:
        return {key: plain_texts(item) for key, item in value.items()}
    match value["Fn::Sub"]:
        case [str(text), dict(variables)]:
            for variable, reference in variables.items():
                if not isinstance(reference, dict) or set(reference) != {"Ref"}:
                    raise SystemExit(f"{variable} is no parameter of a policy template")
                text = text.replace(f"${{{variable}}}", f"${{{reference['Ref']}}}")
            return text
        case str(text):
            return text
    raise SystemExit(f"a policy template has an Fn::Sub of an unknown form: {value}")


def listed(statement: Json) -> Json:
    """A statement in, the same with lists for the elements that may be one text out."""
    if not isinstance(statement, dict):
        raise SystemExit("a statement is a map")
    result: dict[str, Json] = {
        key: [value] if key in ("Action", "Resource") and isinstance(value, str) else value
        for key, value in statement.items()
    }
    if isinstance(conditions := statement.get("Condition"), dict):
        result["Condition"] = {operator: in_lists(keys) for operator, keys in conditions.items()}
    return result


def in_lists(keys: Json) -> Json:
    """Condition keys with their values in, the same with every value in a list out."""
    if not isinstance(keys, dict):
        raise SystemExit("condition keys are a map")
    return {key: item if isinstance(item, list) else [item] for key, item in keys.items()}


def matches(services: dict[str, IamService], pattern: str) -> list[str]:
    """`service:Pattern*` in, the lower-case names of the actions it covers out."""
    prefix, _, name = pattern.partition(":")
    wanted = re.compile(re.escape(name.lower()).replace(r"\*", ".*"))
    return [action for action in services.get(prefix, {"Actions": {}})["Actions"] if wanted.fullmatch(action)]


def exceptions(services: dict[str, IamService], names: Names) -> dict[str, Json]:
    """IAM's table in, lower-case actions that could name a resource with [reason, source, condition key] out."""
    blocks: list[Exceptions] = yaml.safe_load((TABLES / "wildcard_exceptions.yaml").read_text())
    result: dict[str, Json] = {}
    for block in blocks:
        for action in block["actions"]:
            prefix, _, name = canonical(services, names, action).lower().partition(":")
            if "Resources" not in services[prefix]["Actions"][name]:
                raise SystemExit(f"{action} cannot name a resource at all")
            result[f"{prefix}:{name}"] = [block["reason"], block["source"], block.get("condition")]
    return result


def dependents(services: dict[str, IamService], names: Names, known: set[str]) -> dict[str, Json]:
    """IAM's table and the known types in, services that need a declared resource out; unknown names are errors."""
    table: dict[str, Dependent] = yaml.safe_load((TABLES / "services.yaml").read_text())
    for prefix, service in table.items():
        if missing := set(service["types"]) - known:
            raise SystemExit(f"{prefix}: no such types: {sorted(missing)}")
        for pattern in service["actions"]:
            spelled = "*" in pattern or spelling(names, prefix, pattern.lower()) == pattern
            if not spelled or not matches(services, f"{prefix}:{pattern}"):
                raise SystemExit(f"{prefix}:{pattern} matches no IAM action of this spelling")
    result: dict[str, Json] = json.loads(json.dumps(table))
    return result


def integrations(services: dict[str, IamService], names: Names) -> dict[str, Json]:
    """IAM's table in, Step Functions' integrations with the actions they need out."""
    table = yaml.safe_load((TABLES / "integrations.yaml").read_text())
    blocks: list[Integrations] = table["optimized"]
    result: dict[str, dict[str, Json]] = {"calls": {}, "job": {}, "sources": {}}
    for block in blocks:
        for name, actions in block.get("calls", {}).items():
            result["calls"][name] = [canonical(services, names, action) for action in actions]
            result["sources"][name] = block["source"]
        for name, actions in block.get("job", {}).items():
            result["job"][name] = [canonical(services, names, action) for action in actions]
            result["sources"][name] = block["source"]
    return dict(result)


def versions(names: Names) -> dict[str, Json]:
    """Names in, what the data were made from out."""
    schemas: dict[str, str] = json.loads((CFN_LINT / "schemas" / "version.json").read_text())
    newer, older = names["botocore"]
    as_of = schemas["schema_date"][:10]
    return {"as_of": as_of, "botocore": newer, "botocore_older": older, "cfn_lint": version("cfn-lint")}


def read_names() -> Names:
    """Nothing in, the committed spellings and operations out."""
    names: Names = {"spellings": {}, "operations": {}, "botocore": []}
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        kind, prefix, words = line.split("\t")
        if kind == "botocore":
            names["botocore"] = words.split()
        elif kind == "actions":
            names["spellings"][prefix] = {word.lower(): word for word in words.split()}
        else:
            names["operations"][prefix] = dict(word.split("=") for word in words.split())
    return names


def collect_names(newer: Path, older: Path, lists: list[Path]) -> str:
    """Two botocore folders and files that mention `service:Action` in, the text of names.txt out."""
    services = iam_services()
    now, before = operations(newer), operations(older)
    schemas = mentions(sorted((CFN_LINT / "schemas" / "resources").glob("*.json")))
    order = (schemas, before, now, mentions(lists))
    anywhere = {name.lower(): name for found in order for words in found.values() for name in words}
    lines = [f"botocore\t\t{botocore_version(newer)} {botocore_version(older)}"]
    for prefix in sorted(services):
        own = {name.lower(): name for found in order for name in found.get(prefix, {})}
        words = (own.get(action) or anywhere.get(action, action) for action in services[prefix]["Actions"])
        lines.append(f"actions\t{prefix}\t{' '.join(sorted(words))}")
    for prefix in APIS.split():
        names = (now[prefix].keys() & before[prefix].keys()) - set(LEFT_OUT.get(prefix, "").split())
        words = (f"{name}={now[prefix][name]}" for name in names if name.lower() not in services[prefix]["Actions"])
        if line := " ".join(sorted(words)):
            lines.append(f"operations\t{prefix}\t{line}")
    return "\n".join(lines) + "\n"


def operations(botocore: Path) -> dict[str, dict[str, str]]:
    """A botocore folder in, operations with their HTTP methods by signing name out."""
    result: dict[str, dict[str, str]] = {}
    for path in sorted((botocore / "data").glob("*/*/service-2.json.gz")):
        model = json.loads(gzip.decompress(path.read_bytes()))
        prefix = model["metadata"].get("signingName") or model["metadata"]["endpointPrefix"]
        for name, operation in model["operations"].items():
            methods = result.setdefault(prefix, {})
            known = methods[name].split(",") if name in methods else []
            methods[name] = ",".join(sorted({*known, operation["http"]["method"]}))
    return result


def botocore_version(botocore: Path) -> str:
    """A botocore folder in, its version out."""
    found = re.search(r"__version__ = '([^']+)'", (botocore / "__init__.py").read_text())
    return found.group(1) if found else "unknown"


def mentions(paths: list[Path]) -> dict[str, dict[str, str]]:
    """Files in, the action names they mention as `service:Action` by service out."""
    result: dict[str, dict[str, str]] = {}
    for path in paths:
        for prefix, name in re.findall(r'"([a-z0-9-]+):([A-Za-z0-9]+)"', path.read_text(encoding="utf-8")):
            result.setdefault(prefix, {}).setdefault(name, "")
    return result


if __name__ == "__main__":
    sys.exit(main())
