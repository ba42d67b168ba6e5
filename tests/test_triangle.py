"""What code calls, what its role allows and what is declared: the four answers, and the table that prints them."""

from __future__ import annotations

from pathlib import Path

from cfaudit.model.triangle import triangle
from stacks import AUDITED, REFERENCE, audited
from test_cli import cfaudit

STACK = """\
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties: {KeySchema: [{AttributeName: id, KeyType: HASH}], BillingMode: PAY_PER_REQUEST}
  Topic: {Type: AWS::SNS::Topic}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: 'sts:AssumeRole'}]
      Policies:
        - PolicyName: all
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: ['dynamodb:PutItem', 'dynamodb:DeleteItem', 'dynamodb:TransactWriteItems', 'sns:Publish']
                Resource: !GetAtt Orders.Arn
  Store:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Role: !GetAtt Role.Arn
      Environment: {Variables: {TABLE: !Ref Orders, TOPIC: !Ref Topic}}
      Code:
        ZipFile: |
          import os, boto3
          def handler(event, context):
              boto3.resource('dynamodb').Table(os.environ['TABLE']).put_item(Item=event)
              boto3.client('sns').publish(TopicArn=os.environ['TOPIC'], Message='stored')
"""


def answers(text: str) -> set[tuple[str, str, str]]:
    template = audited(text, "stack.yaml").template
    return {(p.action, p.resource, p.answer) for f in template.functions.values() for p in triangle(template, f)}


def test_the_four_answers() -> None:
    assert answers(STACK) == {
        ("dynamodb:PutItem", "Orders", "has"),
        ("sns:Publish", "Topic", "lacks"),
        ("dynamodb:DeleteItem", "", "never needs"),
        ("dynamodb:TransactWriteItems", "", "no action"),
    }


def test_what_cannot_be_read_is_open() -> None:
    packaged = STACK[: STACK.index("      Code:")] + "      Code: {S3Bucket: artifacts, S3Key: store.zip}\n"
    assert answers(packaged) == {
        ("dynamodb:PutItem", "", "open"),
        ("dynamodb:DeleteItem", "", "open"),
        ("dynamodb:TransactWriteItems", "", "no action"),
        ("sns:Publish", "", "open"),
    }
    imported = STACK.replace("      Policies:", "      ManagedPolicyArns: [!ImportValue Rights]\n      Policies:")
    assert ("sns:Publish", "Topic", "open") in answers(imported)


def test_the_reference_needs_nothing_that_it_lacks() -> None:
    template = audited(REFERENCE.read_text(encoding="utf-8"), str(REFERENCE)).template
    found = [pair for function in template.functions.values() for pair in triangle(template, function)]
    assert {pair.answer for pair in found if pair.called} == {"has"}
    assert len([pair for pair in found if pair.called]) > 20


def test_the_table_names_the_lines(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(STACK, encoding="utf-8")
    done = cfaudit("access", "stack.yaml", cwd=tmp_path)
    assert done.returncode == 0
    rows = done.stdout.splitlines()
    assert rows[0] == "Store runs as Role"
    assert [row.split()[0] for row in rows[1:]][:2] == ["dynamodb:PutItem", "sns:Publish"]
    assert "NEEDS AND LACKS" in rows[2]
    assert "called at stack.yaml:30" in rows[2]
    audited_table = cfaudit("access", AUDITED, cwd=tmp_path).stdout
    assert "logs:PutLogEvents                 used by Lambda itself" in audited_table
