"""Lambda functions as the checks see them: SAM's names and Globals, variables, roles, log groups, purposes."""

from __future__ import annotations

import textwrap

from cfaudit.load import load
from cfaudit.model.functions import Function
from cfaudit.model.logs import waits_for
from cfaudit.model.template import Template, build
from cfaudit.nodes import Absent, Map, Scalar, Seq, Unknown, Value
from cfaudit.resolve import Scenario, resolve


def template(text: str) -> Template:
    return build(resolve(load(textwrap.dedent(text), "template.yaml"), Scenario()))


def plain(value: Value) -> object:
    match value:
        case Scalar(text):
            return text
        case Seq(items):
            return [plain(item) for item in items]
        case Map(entries):
            return {name: plain(item) for name, item in entries.items()}
        case Unknown(_, parts):
            return parts
        case Absent():
            return None


SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: nodejs24.x
    Tracing: Active
    CodeUri: {Bucket: artifacts, Key: shared.zip}
    VpcConfig: {SubnetIds: [subnet-1], SecurityGroupIds: [sg-1]}
    Environment: {Variables: {STAGE: prod, TABLE: shared}}
Resources:
  Heir:
    Type: AWS::Serverless::Function
  Own:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Tracing: PassThrough
      CodeUri: src/
      VpcConfig: {SubnetIds: [subnet-2]}
      Environment: {Variables: {TABLE: own, TOPIC: news}}
  Selective:
    Type: AWS::Serverless::Function
    IgnoreGlobals: [Runtime, VpcConfig]
  Loner:
    Type: AWS::Serverless::Function
    IgnoreGlobals: '*'
  Plain:
    Type: AWS::Lambda::Function
    Properties: {TracingConfig: {Mode: Active}, Code: {ZipFile: code}}
"""


def sam(name: str) -> Function:
    return template(SAM).functions[name]


def test_globals_stand_in() -> None:
    assert plain(sam("Heir").at("Runtime")) == "nodejs24.x"
    assert plain(sam("Heir").at("TracingConfig.Mode")) == "Active"
    assert plain(sam("Heir").at("Code.S3Bucket")) == "artifacts"
    assert plain(sam("Own").at("Runtime")) == "python3.13"
    assert plain(sam("Own").at("Code")) == "src/"


def test_globals_merge_maps_and_lists() -> None:
    assert plain(sam("Own").at("VpcConfig")) == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert plain(sam("Own").at("VpcConfig.SubnetIds")) == ["subnet-1", "subnet-2"]
    variables = {variable.name: plain(variable.value) for variable in sam("Own").variables}
    assert variables == {"TABLE": "own", "TOPIC": "news", "STAGE": "prod"}


def test_globals_are_ignored_on_request() -> None:
    assert plain(sam("Selective").at("Runtime")) is None
    assert plain(sam("Selective").at("VpcConfig")) is None
    assert plain(sam("Selective").at("TracingConfig.Mode")) == "Active"
    assert plain(sam("Loner").at("TracingConfig.Mode")) is None
    assert sam("Loner").variables == ()


def test_globals_are_not_for_plain_functions() -> None:
    assert plain(sam("Plain").at("Runtime")) is None
    assert plain(sam("Plain").at("TracingConfig.Mode")) == "Active"
    assert plain(sam("Plain").at("Code.ZipFile")) == "code"


def test_evidence_stands_where_the_value_is_written() -> None:
    assert sam("Heir").where("Runtime").line == 4
    assert sam("Own").where("Runtime").line == 15
    assert sam("Own").where("VpcConfig.SubnetIds").line == 18
    assert sam("Heir").where("Timeout").line == 10
    assert sam("Own").path("TracingConfig.Mode") == "Tracing"
    assert sam("Plain").path("TracingConfig.Mode") == "TracingConfig.Mode"


def test_variables_have_spans_of_name_and_value() -> None:
    found = template(
        """
        Resources:
          F:
            Type: AWS::Lambda::Function
            Properties:
              Environment:
                Variables:
                  TABLE: !Ref Table
                  NONE: !Ref AWS::NoValue
          Table: {Type: AWS::DynamoDB::Table}
        """
    ).functions["F"]
    (variable,) = found.variables
    assert (variable.name, variable.span.line, variable.span.column) == ("TABLE", 8, 11)


ROLES = """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  RoleArn: {Type: String}
Resources:
  ByArn: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt Role.Arn}}
  ByName: {Type: AWS::Lambda::Function, Properties: {Role: !Sub 'arn:aws:iam::${AWS::AccountId}:role/payment'}}
  ByParameter: {Type: AWS::Lambda::Function, Properties: {Role: !Ref RoleArn}}
  ByStack: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt Nested.Outputs.Role}}
  Implicit: {Type: AWS::Serverless::Function, Properties: {}}
  Explicit: {Type: AWS::Serverless::Function, Properties: {Role: !GetAtt Role.Arn}}
  Role: {Type: AWS::IAM::Role, Properties: {RoleName: payment}}
  Nested: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: roles.yaml}}
"""


def test_principals() -> None:
    found = template(ROLES)
    assert {name: function.principal for name, function in found.functions.items()} == {
        "ByArn": "Role",
        "ByName": "Role",
        "ByParameter": None,
        "ByStack": None,
        "Implicit": "Implicit",
        "Explicit": "Role",
    }
    assert [function.logical_id for function in found.functions_of["Role"]] == ["ByArn", "ByName", "Explicit"]


def test_functions_behind_custom_resources() -> None:
    found = template(
        """
        Resources:
          ByToken: {Type: AWS::Lambda::Function, Properties: {Code: {S3Bucket: a, S3Key: b}}}
          ByCode:
            Type: AWS::Lambda::Function
            Properties:
              Code:
                ZipFile: |
                  const response = require('cfn-response');
          Other: {Type: AWS::Lambda::Function, Properties: {Code: {ZipFile: 'return cfnresponses'}}}
          Custom: {Type: 'Custom::Thing', Properties: {ServiceToken: !GetAtt ByToken.Arn}}
        """
    )
    assert found.custom_resource_functions == {"ByToken", "ByCode"}


def test_functions_at_the_edge() -> None:
    found = template(
        """
        Resources:
          Versioned: {Type: AWS::Lambda::Function, Properties: {Role: role}}
          Version: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref Versioned}}
          Trusting: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt Role.Arn}}
          Other: {Type: AWS::Lambda::Function, Properties: {Role: role}}
          Role:
            Type: AWS::IAM::Role
            Properties:
              AssumeRolePolicyDocument:
                Statement: [{Principal: {Service: [lambda.amazonaws.com, edgelambda.amazonaws.com]}}]
          Distribution:
            Type: AWS::CloudFront::Distribution
            Properties:
              DistributionConfig:
                CacheBehaviors: [{LambdaFunctionAssociations: [{LambdaFunctionARN: !Ref Version}]}]
        """
    )
    assert found.edge_functions == {"Versioned", "Trusting"}


LOGS = """\
Parameters:
  Suffix: {Type: String}
Resources:
  ByReference: {Type: AWS::Lambda::Function, Properties: {LoggingConfig: {LogGroup: !Ref Configured}}}
  Configured: {Type: AWS::Logs::LogGroup}
  ByName: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub 'pay-${Suffix}'}}
  Named: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Join ['', [/aws/lambda/pay-, !Ref Suffix]]}}
  ByFunction: {Type: AWS::Lambda::Function, DependsOn: [Configured]}
  Derived: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub '/aws/lambda/${ByFunction}'}}
  Without: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub 'refund-${Suffix}'}}
  Literal: {Type: AWS::Lambda::Function, Properties: {FunctionName: open-prod}}
  Open: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Sub '/aws/lambda/open-${Suffix}'}}
"""


def test_log_groups() -> None:
    found = template(LOGS)
    groups = {name: [group.logical_id for group in held] for name, held in found.log_groups_of.items()}
    assert groups == {"ByReference": ["Configured"], "ByName": ["Named"], "ByFunction": ["Derived"]}
    open_ = {name: [g.logical_id for g in held.candidates] for name, held in found.log_destinations.items()}
    assert open_["Literal"] == ["Open"]
    assert open_["Without"] == []


def test_order_of_creation() -> None:
    found = template(LOGS)
    assert waits_for(found, "ByReference", "Configured")
    assert waits_for(found, "Derived", "ByFunction")
    assert waits_for(found, "Derived", "Configured")
    assert not waits_for(found, "ByName", "Named")
    assert not waits_for(found, "Configured", "ByReference")
