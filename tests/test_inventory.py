"""What fills a component although no resource of its own stands for it."""

from __future__ import annotations

import pytest

from stacks import audited

SAM = "Transform: AWS::Serverless-2016-10-31\nResources:\n"

FILLED = {
    "an authorizer of an OpenAPI definition": (
        "authorizer",
        """Resources:
  Gateway:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Body:
        securityDefinitions:
          Pool: {type: apiKey, in: header, x-amazon-apigateway-authorizer: {type: cognito_user_pools}}
""",
    ),
    "an authorizer of an HTTP API's definition": (
        "authorizer",
        """Resources:
  Gateway:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      Body: {components: {securitySchemes: {Pool: {type: oauth2, x-amazon-apigateway-authorizer: {type: jwt}}}}}
""",
    ),
    "an authorizer that Globals give to the API of an event": (
        "authorizer",
        "Globals: {Api: {Auth: {Authorizers: {Pool: {UserPoolArn: arn}}}}}\n"
        + SAM
        + "  Gateway:\n    Type: AWS::Serverless::Function\n"
        + "    Properties: {Events: {Get: {Type: Api, Properties: {Path: /}}}}\n",
    ),
    "a schedule of a workflow": (
        "deadline-rule",
        SAM + "  Gateway: {Type: AWS::Serverless::StateMachine, Properties: {Events: {Clock: {Type: ScheduleV2}}}}\n",
    ),
}

OPEN = {
    "a definition without authorizer": (
        "authorizer",
        "Resources:\n  Gateway:\n    Type: AWS::ApiGateway::RestApi\n"
        "    Properties: {Body: {securityDefinitions: {Key: {}}}}\n",
    ),
    "a rule for events is no schedule": (
        "deadline-rule",
        SAM + "  Gateway: {Type: AWS::Serverless::Function, Properties: {Events: {Paid: {Type: EventBridgeRule}}}}\n",
    ),
}


@pytest.mark.parametrize(("component", "text"), FILLED.values(), ids=FILLED)
def test_filled(component: str, text: str) -> None:
    match = audited(text, "t.yaml", "crowdfunding").matches[component]
    assert match is not None
    assert match.logical_ids == ("Gateway",)


@pytest.mark.parametrize(("component", "text"), OPEN.values(), ids=OPEN)
def test_open(component: str, text: str) -> None:
    assert audited(text, "t.yaml", "crowdfunding").matches[component] is None
