"""A rule's name, category and directory in, the files of a rule that already runs out: to be edited."""

from __future__ import annotations

from pathlib import Path

RULE = """\
# Everything below is an example that works: tables without deletion protection. Edit it line by line.
# The name of this file is the rule's id, the folder its category.
title: {title}
severity: medium  # critical, high, medium, low, or info: never scored
requirement: Nobody deletes a table by mistake.  # what was asked for, in a sentence
holds: Tables have deletion protection  # what is said where the rule holds
fails: A table has no deletion protection  # and where it does not
why: >-
  Without deletion protection one call, click or stack update deletes a table with all its items.
remedies:  # at least one; the snippet is a map of resources and may be left out
  - title: Turn deletion protection on
    option: full  # the plan it belongs to: mvp, full or hybrid
    action: change  # remove, add, change, document or keep
    snippet: |
      OrdersTable:
        Type: AWS::DynamoDB::Table
        Properties:
          BillingMode: PAY_PER_REQUEST
          AttributeDefinitions: [{{AttributeName: id, AttributeType: S}}]
          KeySchema: [{{AttributeName: id, KeyType: HASH}}]
          DeletionProtectionEnabled: true
references:  # the page that states the fact the rule rests on
  - title: Using deletion protection
    url: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection
check: setting  # every resource of a type has one of these values at this path
with:
  paths:
    AWS::DynamoDB::Table: DeletionProtectionEnabled
  accepts: ['true']
  default: 'false'  # what AWS takes where the property is not there; leave it out if that is none of the values
  good: has deletion protection
  bad: has no deletion protection
"""

PASS = """\
# The rule holds here: the name of this file says so.
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      DeletionProtectionEnabled: true
"""

FAIL = """\
# The rule fails here, on the lines that end with the mark: where the value stands, or where it is missed.
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      DeletionProtectionEnabled: false # gap
  Baskets: # gap
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
"""


def files(name: str, category: str, directory: Path, fixtures: Path) -> dict[Path, str]:
    """The text of each file of a new rule, by path."""
    return {
        directory / category / f"{name}.yaml": RULE.format(title=name.replace("-", " ").capitalize()),
        fixtures / name / "pass.yaml": PASS,
        fixtures / name / "fail.yaml": FAIL,
    }
