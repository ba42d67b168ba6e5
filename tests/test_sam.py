"""What we read in SAM's own resources is what the translator makes of them: both stacks get the same answers."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

from cfaudit import data
from cfaudit.pipeline import Settings, audit
from rewrites import Template, dumped, parsed
from stacks import AS_OF, ROOT, rules

SAM = "AWS::Serverless-2016-10-31"
GUIDE = "docs.aws.amazon.com/serverless-application-model/latest/developerguide/"

# Where the two differ on purpose: rule, what native says -> what is said of the translation, template, why, page.
EXPLAINED: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "dangling-service-grant|missing-invoke-permission|orphan-role|region-blind-role-name|stale-deployment|"
        "unreal-iam-action|untagged-resources|wildcard-action|wildcard-resource",
        "-->pass",
        "",
        "a role, permission or deployment that SAM writes: nobody wrote it here, so it earns nothing here",
        GUIDE + "sam-specification-generated-resources-function.html",
    ),
    (
        "trust-without-source",
        "-->fail",
        "",
        "the trust policy of the role that SAM makes for a workflow or a schedule is not the author's",
        GUIDE + "sam-specification-generated-resources.html",
    ),
    (
        "batch-write-for-transactions|dangling-service-grant|unreal-iam-action|unused-service-grants|wildcard-resource",
        "(pass|-)->(fail|unknown)",
        "sam-template|/unreal-iam-action/na-sam|/wildcard-resource/na-managed|transaction",
        "the actions of a policy template, all or for several services, are AWS's choice, as in a managed policy",
        GUIDE + "serverless-policy-template-list.html",
    ),
    (
        "access-without-variable|stub-handlers|unused-service-grants",
        "(-|unknown)->(fail|pass|unknown|-)",
        "templates/sam|/stub-handlers/unknown-grants|/uninvoked-function/pass-sam",
        "what a connector grants is not read: unknown until it is translated",
        GUIDE + "managing-permissions-connectors.html",
    ),
    (
        "stub-handlers|variable-without-access",
        "-->(fail|unknown)",
        "/stub-handlers/na-sam-globals|/variable-without-access/(fail|pass)-sam",
        "a variable in Globals is not meant for each function; the translation has it in each",
        GUIDE + "sam-specification-template-anatomy-globals.html",
    ),
    (
        "untraced-api|unthrottled-api",
        "pass->fail",
        "",
        "SAM's second stage, named Stage, is what implicit-stage tells of; tracing and limits are the first one's",
        GUIDE + "sam-resource-api.html",
    ),
    (
        "unencrypted-data-store",
        "-->fail",
        "/async-without-dlq/pass-sam|templates/sam",
        "the queue that SAM makes where a destination names none stands in no template to mend",
        GUIDE + "sam-property-function-onsuccess.html",
    ),
    (
        "missing-usage-plan",
        "-->fail|fail->-",
        "templates/sam",
        "both fail: native as one gap of all APIs, in the translation at the plan that SAM writes and at each API",
        GUIDE + "sam-property-api-apiusageplan.html",
    ),
    (
        "untagged-resources",
        "-->fail",
        "templates/sam",
        "SAM copies a function's tags to its role: one kind of resource looks like two",
        GUIDE + "sam-resource-function.html",
    ),
    (
        "missing-component",
        "pass->fail",
        "/recovery-off/fail|/table-not-on-demand/",
        "SAM writes out the default key `id` of a table, a name that speaks for no component",
        GUIDE + "sam-resource-simpletable.html",
    ),
    (
        "resource-count-out-of-range",
        "unknown->(fail|pass)",
        "",
        "how many resources SAM makes is known once it has",
        GUIDE + "sam-specification-generated-resources.html",
    ),
)

# Rules about routes: the event of a function is where a route stands, its translation is in the API's definition.
ROUTES = (
    "cors-preflight-missing",
    "missing-invoke-permission",
    "open-api-method",
    "proxy-integration-method",
    "unvalidated-requests",
)

# Rules about the written text, which is another one in the translation.
TEXT = ("sparse-comments",)

RANK = {"pass": 1, "info": 1, "unknown": 2, "fail": 3, "error": 4}


class ManagedPolicies:
    """The translator asks IAM for the ARNs of AWS's managed policies; ours are in a table."""

    def load(self) -> dict[str, str]:
        names = ("AmazonDynamoDBFullAccess", "AmazonDynamoDBReadOnlyAccess")
        return {name: f"arn:aws:iam::aws:policy/{name}" for name in names if data.managed_policy(name)}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def packaged(template: Template) -> Template:
    """The template as ``sam package`` leaves it: code and definitions in S3, every function complete."""
    template = copy.deepcopy(template)
    shared = template.get("Globals", {}).get("Function", {})
    functions = [held for held in serverless(template) if held["Type"].endswith("::Function")]
    inline = any("InlineCode" in function["Properties"] for function in functions)
    if inline:
        shared.pop("CodeUri", None)
    for held in [each["Properties"] for each in serverless(template)] + [shared]:
        for key in ("CodeUri", "ContentUri", "DefinitionUri"):
            if key in held and not (isinstance(held[key], str) and held[key].startswith("s3://")):
                held[key] = "s3://artifacts/packaged.zip"
    for function in functions:
        complete(function["Properties"], shared)
    return template


def serverless(template: Template) -> list[dict[str, Any]]:
    found = [each for each in template["Resources"].values() if str(each.get("Type")).startswith("AWS::Serverless::")]
    for each in found:
        each.setdefault("Properties", {})
    return found


def complete(properties: dict[str, Any], shared: dict[str, Any]) -> None:
    known = {**shared, **properties}
    if known.get("PackageType") == "Image":
        properties.setdefault("ImageUri", "123456789012.dkr.ecr.us-east-1.amazonaws.com/code:1")
        return
    if "InlineCode" in properties:
        properties.pop("CodeUri", None)
    elif "CodeUri" not in known:
        properties["CodeUri"] = "s3://artifacts/packaged.zip"
    usual = {"Runtime": "nodejs24.x", "Handler": "index.handler"}
    properties.update({key: value for key, value in usual.items() if key not in known})


def translated(template: Template) -> Template:
    defaults = {name: held["Default"] for name, held in template.get("Parameters", {}).items() if "Default" in held}
    translation = transform(copy.deepcopy(template), defaults, ManagedPolicies())
    written = template["Transform"]
    others = [each for each in written if each != SAM] if isinstance(written, list) else []
    translation.pop("Transform", None)
    return {**translation, "Transform": others} if others else translation


def answers(template: Template, path: Path, own: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The worst answer about each subject, what SAM generated named after what it generated it of."""
    settings = Settings(as_of=AS_OF, profile="crowdfunding")
    found: dict[tuple[str, str], str] = {}
    for result in audit(dumped(template), str(path), settings, rules()).results:
        for finding in result.findings:
            subject = "routes" if result.rule.id in ROUTES else origin(finding.subject, own)
            key, verdict = (result.rule.id, subject), finding.outcome.value
            found[key] = max(found.get(key, verdict), verdict, key=RANK.__getitem__)
    return {key: verdict for key, verdict in found.items() if key[0] not in TEXT}


def origin(subject: str, own: Mapping[str, Any]) -> str:
    """``OrdersRole`` is the role of ``Orders``."""
    names = [*own, "ServerlessRestApi", "ServerlessHttpApi"]
    return subject if subject in names else max((n for n in names if subject.startswith(n)), key=len, default=subject)


def differences(path: Path) -> Iterator[str]:
    template = packaged(parsed(path.read_text(encoding="utf-8")))
    own = template["Resources"]
    native, other = answers(template, path, own), answers(translated(template), path, own)
    for rule, subject in sorted(native.keys() | other.keys()):
        change = f"{native.get((rule, subject), '-')}->{other.get((rule, subject), '-')}"
        if native.get((rule, subject)) != other.get((rule, subject)) and not explained(rule, change, path):
            yield f"{path.parent.name}/{path.name}: {rule} of {subject}: {change}"


def explained(rule: str, change: str, path: Path) -> bool:
    return any(
        re.fullmatch(names, rule) and re.fullmatch(changes, change) and re.search(places, path.as_posix())
        for names, changes, places, _, _ in EXPLAINED
    )


def sam_templates(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in (".yaml", ".yml", ".json")]
    return [path for path in found if SAM in path.read_text(encoding="utf-8") and path.name != "cfaudit.yaml"]


@pytest.mark.parametrize("part", range(4))
def test_fixtures(part: int) -> None:
    found = sam_templates(ROOT / "fixtures" / "rules")
    assert len(found) > 100
    assert [line for path in found[part::4] for line in differences(path)] == []


def test_every_kind() -> None:
    assert list(differences(ROOT / "tests" / "templates" / "sam.yaml")) == []


def test_templates_of_others(cfn_lint_templates: Path) -> None:
    read, wrong = 0, []
    for path in sam_templates(cfn_lint_templates / "good"):
        text = path.read_text(encoding="utf-8")
        if "ApplicationId" in text or "UnsupportedTransform" in text:
            continue  # the translator would ask the Serverless Application Repository; what another macro does is open
        try:
            wrong += list(differences(path))
        except InvalidDocumentException:  # a linter's fixture may be one that the translator refuses
            continue
        read += 1
    assert wrong == []
    assert read > 10
