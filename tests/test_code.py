"""What handler code does: SDK calls, what they need, variables, results, logs; from templates and from files."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cfaudit import data
from cfaudit.load import load
from cfaudit.model.code.facts import Code, Origin, SdkCall
from cfaudit.model.template import Template, build
from cfaudit.resolve import Scenario, resolve
from cfaudit.sources.local import NO_FILES, LocalFiles, beside

ROOT = Path(__file__).parent.parent
AUDITED = ROOT / "fixtures" / "audited" / "crowdfunding.yaml"
REFERENCE = ROOT / "fixtures" / "reference" / "crowdfunding.yaml"


def model(text: str, path: str = "t.yaml", local: LocalFiles = NO_FILES) -> Template:
    return build(resolve(load(text, path), Scenario()), local)


def template_of(code: str, runtime: str, zip_file: str = "|") -> str:
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), " " * 10)
    return (
        "Resources:\n  Table: {Type: AWS::DynamoDB::Table}\n  F:\n    Type: AWS::Lambda::Function\n    Properties:\n"
        f"      Runtime: {runtime}\n      Handler: index.handler\n      Code:\n        ZipFile: {zip_file}\n{body}\n"
    )


def js(code: str) -> Code:
    return model(template_of(code, "nodejs22.x")).code["F"]


def py(code: str) -> Code:
    return model(template_of(code, "python3.13")).code["F"]


def named(origin: Origin) -> str:
    names = [*origin.variables, *(f"'{text}'" for text in origin.texts), *origin.references]
    return "|".join(names) + ("?" if origin.open else "")


def needs(code: Code) -> list[str]:
    assert code.readable, code.reason
    return sorted(f"{need.action} {named(need.target)}".strip() for call in code.calls for need in call.needs)


def operations(code: Code) -> list[str]:
    return sorted({f"{call.service}:{call.operation}" for call in code.calls})


def only(code: Code) -> SdkCall:
    assert len(code.calls) == 1, code.calls
    return code.calls[0]


# SDK styles


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (  # v3 commands, CommonJS, alias
            """
            const { DynamoDBClient, PutItemCommand: Put } = require('@aws-sdk/client-dynamodb');
            const client = new DynamoDBClient({});
            exports.handler = async () => client.send(new Put({ TableName: process.env.TABLE, Item: {} }));
            """,
            ["dynamodb:PutItem TABLE"],
        ),
        (  # v3 document client, destructured variables
            """
            import { DynamoDBDocumentClient, UpdateCommand } from '@aws-sdk/lib-dynamodb';
            import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
            const { TABLE, OTHER: other = 'x' } = process.env;
            const db = DynamoDBDocumentClient.from(new DynamoDBClient({}));
            export const handler = async () => {
              await db.send(new UpdateCommand({ TableName: TABLE }));
              await db.send(new UpdateCommand({ TableName: other }));
            };
            """,
            ["dynamodb:UpdateItem OTHER|'x'", "dynamodb:UpdateItem TABLE"],
        ),
        (  # v3 aggregated clients, namespace import, paginator
            """
            import * as lib from '@aws-sdk/lib-dynamodb';
            import { DynamoDB } from '@aws-sdk/client-dynamodb';
            import { paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3';
            const db = new DynamoDB({});
            const doc = lib.DynamoDBDocument.from(db);
            export const handler = async () => {
              await db.deleteItem({ TableName: process.env['A'] });
              await doc.get({ TableName: process.env.B });
              const pages = paginateListObjectsV2({ client: new S3Client() }, { Bucket: process.env.C });
              for await (const page of pages) console.log(page.Contents.length);
            };
            """,
            ["dynamodb:DeleteItem A", "dynamodb:GetItem B", "s3:ListBucket C"],
        ),
        (  # v2: clients, document client, presigned URLs
            """
            const AWS = require('aws-sdk');
            const { SNS } = AWS;
            const db = new AWS.DynamoDB.DocumentClient();
            const s3 = new AWS.S3();
            const table = process.env.TABLE;
            exports.handler = async () => {
              await db.query({ TableName: table, IndexName: 'i' }).promise();
              await new SNS().publish({ TopicArn: process.env.TOPIC }).promise();
              s3.getSignedUrl('getObject', { Bucket: process.env.BUCKET, Key: 'k' });
            };
            """,
            ["dynamodb:Query TABLE", "s3:GetObject BUCKET", "sns:Publish TOPIC"],
        ),
        (  # v2: one client's module, X-Ray's wrapper
            """
            const DynamoDB = require('aws-sdk/clients/dynamodb');
            const AWSXRay = require('aws-xray-sdk');
            const AWS = AWSXRay.captureAWS(require('aws-sdk'));
            exports.handler = (event, context, callback) => {
              new DynamoDB.DocumentClient().put({ TableName: 'literal', Item: {} }, callback);
              new AWS.StepFunctions().startExecution({ stateMachineArn: process.env.MACHINE }, callback);
            };
            """,
            ["dynamodb:PutItem 'literal'", "states:StartExecution MACHINE"],
        ),
        (  # through parameters and classes
            """
            import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
            import { SQS } from '@aws-sdk/client-sqs';
            const db = new DynamoDBClient({});
            class Queue {
              constructor(url) { this.url = url; this.sqs = new SQS({}); }
              async send(body) { await this.sqs.sendMessageBatch({ QueueUrl: this.url, Entries: [] }); }
            }
            const read = (TableName, Key) => db.send(new GetItemCommand({ TableName, Key }));
            const unused = () => db.send(new GetItemCommand({ TableName: process.env.NEVER }));
            export async function handler(event) {
              await read(process.env.A, event.a);
              await read(process.env.B, event.b);
              await new Queue(process.env.QUEUE).send('x');
            }
            """,
            ["dynamodb:GetItem A|B", "sqs:SendMessage QUEUE"],
        ),
        (  # batches name tables by key; copies need two actions
            """
            import { BatchWriteItemCommand } from '@aws-sdk/client-dynamodb';
            import { CopyObjectCommand } from '@aws-sdk/client-s3';
            export const handler = async () => [
              new BatchWriteItemCommand({ RequestItems: { [process.env.TABLE]: [], other: [] } }),
              new CopyObjectCommand({ Bucket: process.env.BUCKET, CopySource: 'a/b', Key: 'k' }),
            ];
            """,
            [
                "dynamodb:BatchWriteItem 'other'",
                "dynamodb:BatchWriteItem TABLE",
                "s3:GetObject ?",
                "s3:PutObject BUCKET",
            ],
        ),
    ],
)
def test_javascript_calls(source: str, expected: list[str]) -> None:
    assert needs(js(source)) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            """
            import boto3, os
            dynamodb = boto3.resource('dynamodb')
            table = dynamodb.Table(os.environ['TABLE'])
            def handler(event, context):
                table.put_item(Item=event)
                with table.batch_writer() as batch:
                    batch.put_item(Item={})
                boto3.client('sns').publish(TopicArn=os.getenv('TOPIC'), Message='')
            """,
            ["dynamodb:BatchWriteItem TABLE", "dynamodb:PutItem TABLE", "sns:Publish TOPIC"],
        ),
        (
            """
            from os import environ as env
            import boto3
            session = boto3.Session(region_name='eu-west-1')
            s3 = session.client('s3')
            def handler(event, context):
                for page in s3.get_paginator('list_objects_v2').paginate(Bucket=env.get('BUCKET', 'x')):
                    pass
                s3.upload_file('/tmp/f', env['BUCKET'], 'k')
                s3.generate_presigned_url('get_object', Params={'Bucket': env['BUCKET'], 'Key': 'k'})
                s3.generate_presigned_url(ClientMethod='put_object', Params=dict(Bucket='b'))
            """,
            ["s3:GetObject BUCKET", "s3:ListBucket BUCKET|'x'", "s3:PutObject ?", "s3:PutObject BUCKET"],
        ),
        (
            """
            import boto3
            import os
            class Store:
                def __init__(self, name):
                    self.table = boto3.resource('dynamodb').Table(name)
                def save(self, item):
                    self.table.update_item(Key=item)
            def handler(event, context):
                Store(os.environ['TABLE']).save({})
                s3 = boto3.resource('s3')
                s3.Object(os.environ['BUCKET'], 'key').put(Body=b'')
                for item in s3.Bucket(os.environ['BUCKET']).objects.filter(Prefix='x'):
                    item.delete()
            """,
            ["dynamodb:UpdateItem TABLE", "s3:DeleteObject BUCKET", "s3:ListBucket BUCKET", "s3:PutObject BUCKET"],
        ),
        (
            """
            import boto3
            client = None
            def get():
                global client
                if client is None:
                    client = boto3.client('lambda')
                return client
            def handler(event, context):
                get().invoke(FunctionName='f')
            """,
            ["lambda:InvokeFunction 'f'"],
        ),
    ],
)
def test_python_calls(source: str, expected: list[str]) -> None:
    assert needs(py(source)) == expected


def test_transactions() -> None:
    code = js(
        """
        import { TransactWriteItemsCommand as Write } from '@aws-sdk/client-dynamodb';
        export const handler = async (event) => {
          const items = [{ ConditionCheck: { TableName: process.env.A } }];
          items.push({ Delete: { TableName: process.env.B } });
          for (const each of event) items.push({ Update: { TableName: process.env.A } });
          return new Write({ TransactItems: items, ClientRequestToken: event.token });
        };
        """
    )
    call = only(code)
    assert needs(code) == ["dynamodb:ConditionCheckItem A", "dynamodb:DeleteItem B", "dynamodb:UpdateItem A"]
    assert [element.kind for element in call.elements] == ["ConditionCheck", "Delete", "Update"]
    assert [element.span.line for element in call.elements] == [12, 13, 14]
    assert (call.transactional, call.has_token, call.elements_open, call.needs_open) == (True, True, False, False)


@pytest.mark.parametrize(
    "body",
    [
        "const items = event.items.map((x) => ({ Put: { TableName: 'a' } })); send({ TransactItems: items });",
        "const items = []; fill(items); send({ TransactItems: items });",
        "const params = { TransactItems: [] }; params.TransactItems.push({}); send(params);",
        "send({ ...event.params });",
        "send({ TransactItems: [{ [event.kind]: {} }] });",
    ],
)
def test_open_transactions(body: str) -> None:
    code = js(
        f"""
        const AWS = require('aws-sdk');
        const db = new AWS.DynamoDB();
        const send = (params) => db.transactWriteItems(params).promise();
        exports.handler = async (event) => {{ {body} }};
        """
    )
    call = only(code)
    assert call.elements_open
    assert call.needs_open
    assert call.elements == ()


@pytest.mark.parametrize(
    ("source", "actions", "is_open"),
    [
        ("execute_statement(Statement='SELECT * FROM t')", ["dynamodb:PartiQLSelect"], False),
        ("execute_statement(Statement=event['x'])", [], True),
        ("no_such_operation()", [], True),
    ],
)
def test_operations_without_an_action_of_their_own(source: str, actions: list[str], is_open: bool) -> None:
    code = py(f"import boto3\ndef handler(event, context):\n    boto3.client('dynamodb').{source}")
    assert [need.action for need in only(code).needs] == actions
    assert only(code).needs_open is is_open


def test_names_of_services_and_operations() -> None:
    names = ("SESV2", "client-sfn", "StepFunctions", "CognitoIdentityServiceProvider", "iot-data-plane", "EventBridge")
    found = [data.sdk_client(name.removeprefix("client-")) for name in names]
    assert found == ["sesv2", "stepfunctions", "stepfunctions", "cognito-idp", "iot-data", "events"]
    assert data.sdk_operation("s3", "list_objects_v2").actions == ("s3:ListBucket",)
    assert data.sdk_operation("stepfunctions", "startExecution").actions == ("states:StartExecution",)
    assert data.sdk_operation("cloudwatch", "PutMetricData").actions == ("cloudwatch:PutMetricData",)
    assert data.sdk_operation("cognito-idp", "SignUp").actions == ()
    assert data.sdk_operation("s3", "Nonsense").known is False


def test_operations_that_need_nothing() -> None:
    code = py("import boto3\ndef handler(event, context):\n    boto3.client('sts').get_caller_identity()")
    assert (only(code).needs, only(code).needs_open) == ((), False)


def test_reassigned_names_are_open() -> None:
    code = py(
        """
        import boto3, os
        def handler(event, context):
            table = boto3.resource('dynamodb').Table(os.environ['A'])
            table.put_item(Item={})
            table = boto3.resource('dynamodb').Table(os.environ['B'])
            table.get_item(Key={})
        """
    )
    assert {named(call.target) for call in code.calls} == {"A?", "B?"}
    code = js(
        """
        const { S3 } = require('aws-sdk');
        let Bucket = process.env.A;
        exports.handler = async (event) => {
          if (event.b) Bucket = process.env.B;
          await new S3().getObject({ Bucket }).promise();
        };
        """
    )
    assert named(only(code).target) == "A|B?"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("const x = require('some-package'); exports.handler = async () => x.run();", "the package some-package"),
        ("const x = require('./lib/db'); exports.handler = async () => x.run();", "the module ./lib/db"),
        ("const A = require('aws-sdk'); exports.handler = async (e) => new A[e.s]()[e.op]({}).promise();", "computed"),
        (
            "const A = require('aws-sdk'); const m = new Map(); exports.handler = async (e) => m.get(1).putItem({});",
            "putItem",
        ),
        (
            "import {S3Client} from '@aws-sdk/client-s3'; export const handler = (e) => new S3Client({}).send(e.c);",
            "command",
        ),
        ("exports.handler = async (e) => { const m = require(e.name); };", "an import whose name is computed"),
        ("exports.handler = async (e) => eval(e.code);", "a call of eval"),
    ],
)
def test_javascript_that_may_hide_calls(source: str, what: str) -> None:
    code = js(source)
    assert not code.complete
    assert any(what in word.text for word in code.unread), code.unread


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import other\ndef handler(e, c):\n    other.run()", "the package other"),
        ("import boto3\ndef handler(e, c):\n    getattr(boto3.client('s3'), e['op'])()", "computed"),
        ("import boto3\ndef handler(e, c):\n    boto3.client(e['s']).run_it()", "a client of boto3"),
        ("import subprocess\ndef handler(e, c):\n    subprocess.run(e['x'])", "subprocess"),
        (
            "from aws_lambda_powertools.utilities import parameters\ndef handler(e, c): parameters.get_secret('x')",
            "powertools",
        ),
    ],
)
def test_python_that_may_hide_calls(source: str, what: str) -> None:
    code = py(source)
    assert any(what in word.text for word in code.unread), code.unread


def test_quiet_imports() -> None:
    code = py(
        """
        import json, logging, os.path, boto3
        from botocore.exceptions import ClientError
        from boto3.dynamodb.conditions import Key
        from aws_lambda_powertools import Logger, Metrics, Tracer
        from aws_lambda_powertools.utilities.typing import LambdaContext
        from aws_xray_sdk.core import patch_all
        def handler(event, context): patch_all()
        """
    )
    assert code.complete
    assert code.metrics


# Environment variables


def test_variables() -> None:
    code = js(
        """
        import { env } from 'node:process';
        const { A, B: b = '1' } = process.env;
        const settings = process.env;
        export const handler = async () => [process.env.C, process.env['D'], env.E, settings.F];
        """
    )
    assert {word.text: word.span.line for word in code.variables} == {
        "A": 11,
        "B": 11,
        "C": 13,
        "D": 13,
        "E": 13,
        "F": 13,
    }
    assert (code.variables_open, code.reads("A"), code.reads("Z")) == (False, True, False)
    code = py(
        """
        import os
        from os import environ, getenv as g
        def handler(event, context):
            return os.environ['A'], environ.get('B', ''), g('C'), os.environ.setdefault('D', '')
        """
    )
    assert [word.text for word in code.variables] == ["A", "B", "C", "D"]
    assert not code.variables_open


@pytest.mark.parametrize(
    "source",
    [
        "exports.handler = async (event) => process.env[event.name];",
        "exports.handler = async () => check(process.env); const check = (x) => x;",
        "const { ...all } = process.env; exports.handler = async () => all.X;",
    ],
)
def test_open_variables(source: str) -> None:
    code = js(source)
    assert code.variables_open
    assert code.reads("Z") is None


# Results


def test_returned_keys() -> None:
    code = js(
        """
        const respond = (statusCode, body) => ({ statusCode, body: JSON.stringify(body) });
        const show = async (id) => respond(200, { id });
        exports.handler = async (event) => {
          if (event.a) return show(event.a);
          if (event.b) return { result: { valid: true, ...event.more }, list: [] };
          const late = {};
          late.risk = 'low';
          return event.c ? late : respond(404, {});
        };
        """
    )
    assert set(code.returns.keys) == {"statusCode", "body", "result", "list", "risk"}
    assert code.returns.holds("result", "valid") is True
    assert code.returns.holds("result", "other") is None
    assert code.returns.holds("risk", "score") is False
    assert code.returns.holds("other") is False


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("exports.handler = async (event) => ({ ...event, a: 1 });", None),
        ("exports.handler = async (event) => ({ [event.k]: 1 });", None),
        ("exports.handler = async (event) => { const r = {}; event.forEach((k) => { r[k] = 1; }); return r; };", None),
        ("exports.handler = async (event) => call(event);", None),
        ("exports.handler = wrap(async () => ({ a: 1 })); const { wrap } = require('x');", None),
        ("exports.handler = async () => {};", False),
        ("exports.handler = async () => ({ a: 1 });", False),
        ("exports.handler = (event, context, callback) => callback(null, { b: 1 });", False),
        ("exports.handler = (event, context, callback) => other(callback); const other = require('x');", None),
        ("exports.handler = (event, context) => { context.succeed({ b: 1 }); };", False),
        ("exports.handler = async () => { const r = { a: 1 }; r.x = 2; return r; };", True),
    ],
)
def test_a_key_that_may_be_missing(source: str, answer: bool | None) -> None:
    assert js(source).returns.holds("x") is answer


def test_python_results() -> None:
    code = py(
        """
        def handler(event, context):
            result = {'valid': True}
            result['score'] = 3
            return {'statusCode': 200, 'result': result}
        """
    )
    assert code.returns.holds("result", "score") is True
    assert code.returns.holds("result", "reason") is False


# Constant handlers


@pytest.mark.parametrize(
    ("source", "idle", "constant"),
    [
        ("exports.handler = async () => ({ statusCode: 200, body: JSON.stringify({ ok: true }) });", True, True),
        ("exports.handler = async (event) => { console.log(event); return { statusCode: 200 }; };", True, True),
        ("exports.handler = (event, context, done) => done(null, { status: 'ok' });", True, True),
        ("exports.handler = async () => ({ at: new Date().toISOString() });", True, True),
        (
            "exports.handler = async () => { try { return { a: 1 }; } catch (e) { return { statusCode: 500 }; } };",
            True,
            True,
        ),
        ("const body = { a: 1 }; exports.handler = async () => body;", True, True),
        ("exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event) });", True, False),
        ("exports.handler = async () => ({ statusCode: 500 });", True, False),
        ("exports.handler = async (event) => event.a ? { a: 1 } : { a: 2 };", True, False),
        ("exports.handler = async (event) => { if (event.a) return { a: 1 }; return { a: 2 }; };", True, False),
        ("exports.handler = async (e) => { if (!e.a) return { statusCode: 400 }; return { a: 1 }; };", True, True),
        ("exports.handler = async (e) => { if (!e.a) return { statusCode: 400 }; return e; };", True, False),
        (
            "exports.handler = async (e) => { if (!e.a) return { statusCode: 400 }; return { statusCode: 404 }; };",
            True,
            False,
        ),
        ("exports.handler = async () => ({ table: process.env.TABLE });", False, False),
        ("const A = require('aws-sdk'); exports.handler = async () => ({ a: 1 });", False, False),
        ("exports.handler = async () => { await fetch('https://example.com'); return { a: 1 }; };", False, False),
        ("const x = require('x'); exports.handler = async () => { x(); return { a: 1 }; };", False, False),
        ("exports.handler = async (event) => { event.run(); return { a: 1 }; };", True, True),
        ("exports.other = async () => ({ a: 1 });", None, None),
    ],
)
def test_constant_handlers(source: str, idle: bool | None, constant: bool | None) -> None:
    code = js(source)
    assert (code.idle, code.constant) == (idle, constant)


def test_constant_python() -> None:
    code = py("def handler(event, context):\n    print('x')\n    return {'statusCode': 200, 'body': 'ok'}")
    assert (code.idle, code.constant) == (True, True)
    code = py("import boto3\ndef handler(event, context):\n    return {'statusCode': 200}")
    assert (code.idle, code.constant) == (False, False)


# Logs, metrics and the like


@pytest.mark.parametrize(
    ("statement", "logs"),
    [
        ("console.log(event);", True),
        ("console.info('x', JSON.stringify(event, null, 2));", True),
        ("console.log(`got ${JSON.stringify(event)}`);", True),
        ("console.log('got ' + JSON.stringify(event));", True),
        ("console.log({ event });", True),
        ("const text = JSON.stringify(event); console.log(text);", True),
        ("logger.info('x', { event });", True),
        ("dump(event);", True),
        ("process.stdout.write(JSON.stringify(event));", True),
        ("console.log(event.body);", False),
        ("console.log(JSON.stringify(event.headers));", False),
        ("console.log(`got ${event}`);", False),
        ("console.log('got ' + event);", False),
        ("console.log(JSON.stringify(event, ['id']));", False),
        ("console.log(JSON.stringify(event, (k, v) => v));", False),
        ("return JSON.stringify(event);", False),
    ],
)
def test_whole_event_logs(statement: str, logs: bool) -> None:
    code = js(
        f"""
        const logger = require('pino')();
        const dump = (x) => console.log(x);
        exports.handler = async (event) => {{
          {statement}
        }};
        """
    )
    assert bool(code.event_logs) is logs
    if logs:
        assert [span.line for span in code.event_logs] == [11 if statement.startswith("dump") else 13]


@pytest.mark.parametrize(
    ("statement", "logs"),
    [
        ("print(event)", True),
        ("print(f'got {event}')", True),
        ("print('got', json.dumps(event, default=str))", True),
        ("logger.info('%s', event)", True),
        ("logging.debug(str(event))", True),
        ("logger.info('x', extra={'event': event})", True),
        ("print(event['body'])", False),
        ("logger.info('x', extra={'id': event['id']})", False),
    ],
)
def test_whole_event_logs_in_python(statement: str, logs: bool) -> None:
    code = py(f"import json, logging\nlogger = logging.getLogger()\ndef handler(event, context):\n    {statement}")
    assert bool(code.event_logs) is logs


def test_powertools_log_the_event_when_told() -> None:
    source = (
        "from aws_lambda_powertools import Logger\nlogger = Logger()\n"
        "@logger.inject_lambda_context(log_event=%s)\ndef handler(event, context):\n    return {'a': 1}"
    )
    assert py(source % "True").event_logs
    assert not py(source % "False").event_logs
    assert py(source % "False").returns.holds("b") is False


def test_metrics_http_groups_and_custom_resources() -> None:
    code = js(
        """
        const { Metrics } = require('@aws-lambda-powertools/metrics');
        exports.handler = async (event) => {
          console.log(JSON.stringify({ _aws: { CloudWatchMetrics: [] }, total: 1 }));
          const groups = event.requestContext.authorizer.claims['cognito:groups'];
          await fetch(event.ResponseURL);
        };
        """
    )
    assert {span.line for span in code.metrics} == {10, 12}
    assert code.reads_groups is not None
    assert code.reads_groups.line == 13
    assert [span.line for span in code.http] == [14]
    assert code.custom_resource
    assert py("import cfnresponse\ndef handler(event, context): pass").custom_resource


# Places


def test_spans_of_inline_code() -> None:
    code = js(
        """
        const name = 'é'; const { SNS } = require('aws-sdk');
        exports.handler = async () => {
          const text = 'né'; await new SNS().publish({ TopicArn: process.env.TOPIC }).promise();
        };
        """
    )
    line = template_of("x", "nodejs22.x").count("\n") + 2
    assert only(code).span[1:] == (line, 38, line, 88)
    assert code.variables[0].span[1:] == (line, 68, line, 85)


def test_holes_of_inline_code() -> None:
    text = template_of(
        """
        const { DynamoDB } = require('aws-sdk');
        const text = `${!event}`;
        exports.handler = async () => {
          await new DynamoDB().getItem({ TableName: '${Table}' }).promise();
          await new DynamoDB().putItem({ TableName: 'prefix-${Table}' }).promise();
          const limit = ${AWS::AccountId};
        };
        """,
        "nodejs22.x",
        "!Sub |",
    )
    code = model(text).code["F"]
    assert needs(code) == ["dynamodb:GetItem Table", "dynamodb:PutItem ?"]
    assert [call.span.line for call in code.calls] == [13, 14]
    assert code.calls[0].span.column == 19


def test_joined_and_json_code() -> None:
    lines = [
        "const { SNS } = require('aws-sdk');",
        "exports.handler = async (event) => {",
        "  console.log(event);",
        "};",
    ]
    template = {
        "Resources": {
            "F": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "nodejs22.x",
                    "Handler": "index.handler",
                    "Code": {"ZipFile": {"Fn::Join": ["\n", lines]}},
                },
            },
            "G": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Code": {"ZipFile": 'def handler(event, context):\n    print("got", event)\n    return {"a": 1}\n'},
                },
            },
        }
    }
    text = json.dumps(template, indent=1)
    code = model(text, "t.json").code
    place = code["F"].event_logs[0]
    assert text.split("\n")[place.line - 1][place.column - 1 : place.end_column - 1] == "console.log(event)"
    place = code["G"].event_logs[0]
    assert "print" in text.split("\n")[place.line - 1][place.column - 1 : place.end_column - 1]


def test_audited_stubs() -> None:
    text = AUDITED.read_text(encoding="utf-8")
    code = model(text, str(AUDITED)).code
    assert len(code) == 3
    for each in code.values():
        assert each.readable
        assert (each.idle, each.constant, each.complete, each.variables) == (True, True, True, ())
        assert set(each.returns.keys) == {"statusCode", "body"}
        (log,) = each.event_logs
        line = text.split("\n")[log.line - 1]
        assert line[log.column - 1 : log.end_column - 1].startswith("console.log(")
        assert line[log.end_column - 1 :] == ";"


# Files


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            "CampaignFunction",
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem", "s3:PutObject"],
        ),
        (
            "PaymentFunction",
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem", "lambda:InvokeFunction"],
        ),
        ("ScreeningFunction", ["frauddetector:GetEventPrediction"]),
        ("ApprovalFunction", ["dynamodb:GetItem", "states:SendTaskSuccess"]),
        ("StreamFunction", ["s3:PutObject", "states:StartExecution"]),
        ("DeadlineFunction", ["dynamodb:Query", "dynamodb:UpdateItem", "ses:SendEmail", "sns:Publish"]),
    ],
)
def test_reference_handlers(function: str, expected: list[str]) -> None:
    template = model(REFERENCE.read_text(encoding="utf-8"), str(REFERENCE), beside(str(REFERENCE)))
    code = template.code[function]
    assert sorted({need.action for call in code.calls for need in call.needs}) == expected
    assert not any(call.needs_open for call in code.calls)
    assert code.complete
    assert code.idle is False
    assert not code.event_logs
    declared = {variable.name for variable in template.functions[function].variables}
    assert {word.text for word in code.variables} <= declared
    targets = {name for call in code.calls for need in call.needs for name in need.target.variables}
    assert targets <= declared


def test_reference_payment() -> None:
    template = model(REFERENCE.read_text(encoding="utf-8"), str(REFERENCE), beside(str(REFERENCE)))
    code = template.code["PaymentFunction"]
    writes = [call for call in code.calls if call.transactional]
    assert [[(each.kind, named(each.target)) for each in call.elements] for call in writes] == [
        [("Put", "CONTRIBUTIONS_TABLE"), ("Update", "CAMPAIGNS_TABLE")],
        [("Update", "CAMPAIGNS_TABLE")],
    ]
    assert [call.has_token for call in writes] == [True, False]
    assert code.metrics
    assert code.returns.holds("released") is True
    assert code.returns.holds("refunded") is False


def files(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


def local(folder: Path, properties: str, kind: str = "AWS::Serverless::Function", metadata: str = "{}") -> Code:
    text = f"Resources:\n  F:\n    Type: {kind}\n    Metadata: {metadata}\n    Properties: {properties}\n"
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return model(text, str(path), beside(str(path))).code["F"]


def test_local_imports(tmp_path: Path) -> None:
    files(
        tmp_path,
        src__app_DOT_ts="""
            import type { Handler } from 'aws-lambda';
            import { save } from './lib/store';
            import config from './lib/config.js';
            interface Event { id: string }
            export const handler: Handler<Event> = async (event: Event): Promise<{ ok: boolean }> => {
              await save(config.table as string, event.id!);
              return { ok: true };
            };
            """,
        src__lib__store_DOT_ts="""
            import { DynamoDB } from '@aws-sdk/client-dynamodb';
            const db = new DynamoDB({});
            export async function save(table: string, id: string) { await db.putItem({ TableName: table, Item: {} }); }
            export async function purge() { await db.deleteTable({ TableName: 'x' }); }
            """,
        src__lib__config_DOT_js="module.exports = { table: process.env.TABLE, other: process.env.OTHER };",
    )
    code = local(tmp_path, "{CodeUri: src/, Handler: app.handler, Runtime: nodejs22.x}")
    assert needs(code) == ["dynamodb:PutItem TABLE"]
    assert code.language == "typescript"
    assert code.complete
    assert [Path(name).name for name in code.files] == ["app.ts", "store.ts", "config.js"]
    assert only(code).span.file == str(tmp_path / "src/lib/store.ts")
    assert code.returns.holds("ok") is True


def test_local_python_packages(tmp_path: Path) -> None:
    files(
        tmp_path,
        fn__app__main_DOT_py="""
            import lib.config
            from app import store
            from .store import table as t
            def handler(event, context):
                store.save(event)
                t.get_item(Key={})
                return lib.config.name
            """,
        fn__app____init___DOT_py="",
        fn__lib__config_DOT_py="import os\nname = os.environ['NAME']\n",
    )
    (tmp_path / "fn/app/__init__.py").write_text("")
    (tmp_path / "fn/app/store.py").write_text(
        "import boto3, os\ntable = boto3.resource('dynamodb').Table(os.environ['TABLE'])\n"
        "def save(item):\n    table.put_item(Item=item)\ndef drop():\n    table.delete()\n"
    )
    code = local(tmp_path, "{CodeUri: fn, Handler: app.main.handler, Runtime: python3.13}")
    assert needs(code) == ["dynamodb:GetItem TABLE", "dynamodb:PutItem TABLE"]
    assert {word.text for word in code.variables} == {"NAME", "TABLE"}
    assert code.complete


@pytest.mark.parametrize(
    ("kind", "properties", "metadata"),
    [
        ("AWS::Serverless::Function", "{CodeUri: ./fn, Handler: index.handler, Runtime: nodejs22.x}", "{}"),
        ("AWS::Lambda::Function", "{Code: ./fn, Handler: index.handler, Runtime: nodejs22.x}", "{}"),
        (
            "AWS::Lambda::Function",
            "{Code: {S3Bucket: b, S3Key: k}, Handler: index.handler, Runtime: nodejs22.x}",
            "{'aws:asset:path': fn}",
        ),
        (
            "AWS::Lambda::Function",
            "{Code: {S3Bucket: b, S3Key: k}, Handler: index.handler, Runtime: nodejs22.x}",
            "{cfaudit: {code: fn/index.js}}",
        ),
        ("AWS::Serverless::Function", "{CodeUri: fn, Handler: index.handler, Runtime: !Ref AWS::Region}", "{}"),
    ],
)
def test_where_code_is(tmp_path: Path, kind: str, properties: str, metadata: str) -> None:
    files(tmp_path, fn__index_DOT_js="exports.handler = async () => ({ a: 1 });")
    code = local(tmp_path, properties, kind, metadata)
    assert code.readable, code.reason
    assert code.constant
    assert code.files == (str(tmp_path / "fn/index.js"),)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("{Code: {S3Bucket: b, S3Key: k}, Handler: index.handler, Runtime: nodejs22.x}", "in S3"),
        ("{Code: {ImageUri: x}, PackageType: Image}", "container image"),
        ("{Code: {ZipFile: x}, Handler: index.handler, Runtime: java21}", "java21"),
        ("{Code: {ZipFile: x}, Handler: index.handler, Runtime: !Ref AWS::Region}", "runtime"),
        ("{Code: {ZipFile: !Ref AWS::Region}, Handler: index.handler, Runtime: nodejs22.x}", "only deploy time"),
        ("{Code: {ZipFile: 'a b c ('}, Handler: index.handler, Runtime: nodejs22.x}", "syntax error"),
        ("{Code: ../up, Handler: index.handler, Runtime: nodejs22.x}", "not beside the template"),
        ("{Code: /etc, Handler: index.handler, Runtime: nodejs22.x}", "not beside the template"),
        ("{Code: link, Handler: index.handler, Runtime: nodejs22.x}", "not beside the template"),
        ("{Code: fn, Handler: missing.handler, Runtime: nodejs22.x}", "holds no code"),
        ("{Code: big, Handler: index.handler, Runtime: nodejs22.x}", "too large"),
        ("{Handler: index.handler, Runtime: nodejs22.x}", "no code"),
    ],
)
def test_unreadable_code(tmp_path: Path, properties: str, reason: str) -> None:
    folder = tmp_path / "inner"
    files(tmp_path, up__index_DOT_js="", inner__fn__index_DOT_js="")
    files(tmp_path, inner__big__index_DOT_js="//" + "x" * 300_000)
    (folder / "link").symlink_to(tmp_path / "up")
    code = local(folder, properties, "AWS::Lambda::Function")
    assert not code.readable
    assert reason in code.reason
    assert not code.complete
    assert code.reads("X") is None


HOSTILE = {
    "brackets": "[" * 20_000 + "]" * 20_000,
    "calls": "a(" * 5_000 + ")" * 5_000,
    "sum": "x=" + "+".join(["1"] * 20_000),
    "members": "a" + ".b()" * 5_000,
    "cycle": "const f = (x) => g(x, x); const g = (a, b) => f(a) + g(b, a); exports.handler = (e) => f(e);",
    "knot": "const o = {};"
    + "".join(f"o.k{i} = o;" for i in range(300))
    + "exports.handler = async () => ({ ...o, o });",
    "doubling": "var a;" + "a = [a, a];" * 400 + "exports.handler = () => a;",
    "templates": "`${" * 500 + "}`" * 500,
    "zero": "\0",
    "itself": "const a = require('./index'); module.exports = a; exports.handler = a.handler;",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_is_bounded(tmp_path: Path, name: str) -> None:
    files(tmp_path, fn__index_DOT_js=HOSTILE[name])
    start = time.perf_counter()
    code = local(tmp_path, "{CodeUri: fn, Handler: index.handler, Runtime: nodejs22.x}")
    assert time.perf_counter() - start < 10
    assert code.readable or code.reason


def test_template_without_code_does_not_import_grammars() -> None:
    script = (
        "import sys; from cfaudit.load import load; from cfaudit.resolve import Scenario, resolve;"
        "from cfaudit.model.template import build;"
        "text = 'Resources: {F: {Type: AWS::Lambda::Function, Properties: {Code: {S3Bucket: b, S3Key: k}}}}';"
        "assert not build(resolve(load(text, 't.yaml'), Scenario())).code['F'].readable;"
        "assert not [name for name in sys.modules if 'tree_sitter' in name]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
