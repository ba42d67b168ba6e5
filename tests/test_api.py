"""APIs as checks see them: paths through parents, authorization, integrations, stages, in every way to declare them."""

from __future__ import annotations

import pytest

from cfaudit.load import load
from cfaudit.model.api import HOLE, Route, Stage, blanked
from cfaudit.model.invocations import Target, invoked
from cfaudit.model.template import Template, build
from cfaudit.resolve import Scenario, resolve

REST = """
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: shop}}
  Shops: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId,
    PathPart: shops}}
  Shop: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !Ref Shops, PathPart: '{id}'}}
"""
FUNCTION = """
  F: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub 'f-${Stage}'}}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, FunctionVersion: '1', Name: live}}
  One: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref F}}
"""
SAM_FUNCTION = "Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: i.h, CodeUri: s3://b/k"
URI = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"


def template(resources: str, head: str = "") -> Template:
    text = f"Parameters: {{Stage: {{Type: String}}}}\n{head}\nResources:\n{resources}"
    return build(resolve(load(text, "t.yaml"), Scenario()))


def method(body: str) -> str:
    return f"  M: {{Type: AWS::ApiGateway::Method, Properties: {{RestApiId: !Ref Api, {body}}}}}\n"


def only(template: Template) -> Route:
    (route,) = template.routes
    return route


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("!GetAtt Api.RootResourceId", "/"),
        ("!Ref Shops", "/shops"),
        ("!Ref Shop", "/shops/{id}"),
        ("!ImportValue root", HOLE),
    ],
)
def test_rest_path(resource: str, path: str) -> None:
    route = only(template(REST + method(f"ResourceId: {resource}, HttpMethod: get")))
    assert (route.api, route.kind, route.name, route.logical_id) == ("Api", "rest", f"GET {path}", "M")


def test_a_route_is_named_as_the_template_writes_it() -> None:
    part = "  A: {Type: AWS::ApiGateway::Resource, Properties: {ParentId: !Ref Shops, PathPart: !Sub 'v-${Stage}'}}\n"
    route = only(template(REST + part + method("ResourceId: !Ref A, HttpMethod: !Ref Stage")))
    assert (route.name, blanked(route.name)) == ("${Stage} /shops/v-${Stage}", f"{HOLE} /shops/v-{HOLE}")


def test_path_of_a_cycle_ends() -> None:
    loop = "  A: {Type: AWS::ApiGateway::Resource, Properties: {ParentId: !Ref A, PathPart: a}}\n"
    assert only(template(REST + loop + method("ResourceId: !Ref A, HttpMethod: GET"))).path == f"{HOLE}/a"


@pytest.mark.parametrize(
    ("properties", "required", "key"),
    [
        ("AuthorizationType: NONE", False, False),
        ("AuthorizationType: AWS_IAM", True, False),
        ("AuthorizationType: NONE, ApiKeyRequired: true", False, True),
        ("AuthorizationType: !Ref Stage", None, False),
        ("ApiKeyRequired: 'false'", False, False),
        ("AuthorizerId: abc", None, False),
    ],
)
def test_authorization(properties: str, required: bool | None, key: bool | None) -> None:
    route = only(template(REST + method(f"ResourceId: !Ref Shop, HttpMethod: GET, {properties}")))
    assert (route.authorization.required, route.authorization.key) == (required, key)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        (f"!Sub '{URI}/${{F.Arn}}/invocations'", Target("F")),
        (f"!Sub '{URI}/${{F.Arn}}:live/invocations'", Target("F", "live")),
        (f"!Sub '{URI}/${{Live}}/invocations'", Target("F", "live")),
        (f"!Sub '{URI}/${{F.Arn}}:${{!stageVariables.a}}/invocations'", Target("F", "${stageVariables.a}", False)),
        (
            "!Join ['', ['arn:aws:apigateway:eu-west-1:lambda:path/x/functions/', !Ref One, /invocations]]",
            Target("F", "version of One"),
        ),
        (f"!Sub '{URI}/arn:aws:lambda:eu-west-1:1:function:f-${{Stage}}:live/invocations'", Target("F", "live")),
        (f"!Sub '{URI}/arn:aws:lambda:eu-west-1:123456789012:function:g/invocations'", None),
    ],
)
def test_integration_target(uri: str, target: Target | None) -> None:
    body = f"ResourceId: !Ref Shop, HttpMethod: GET, Integration: {{Type: AWS_PROXY, Uri: {uri}}}"
    integration = only(template(REST + FUNCTION + method(body))).integration
    assert integration is not None
    assert integration.target == target
    assert integration.invokes


@pytest.mark.parametrize(
    ("integration", "invokes"),
    [
        ("{Type: HTTP_PROXY, Uri: 'https://example.com'}", False),
        ("{Type: MOCK}", False),
        ("{Type: AWS, Uri: !Sub 'arn:aws:apigateway:${AWS::Region}:states:action/StartExecution'}", False),
        ("{Type: AWS, Uri: !Ref Stage}", None),
        ("{Type: AWS, Uri: !Sub 'arn:aws:apigateway:${AWS::Region}:lambda:path/x/functions/y/invocations'}", True),
    ],
)
def test_whether_an_integration_invokes(integration: str, invokes: bool | None) -> None:
    body = f"ResourceId: !Ref Shop, HttpMethod: GET, Integration: {integration}"
    found = only(template(REST + method(body))).integration
    assert found is not None
    assert found.invokes is invokes


@pytest.mark.parametrize(
    ("invoker", "permitted", "admits"),
    [
        (Target("F"), Target("F"), True),
        (Target("F"), Target("G"), False),
        (Target("F"), Target("F", "live"), False),
        (Target("F", "live"), Target("F"), None),
        (Target("F", "live"), Target("F", "live"), True),
        (Target("F", "live"), Target("F", "test"), False),
        (Target("F", "live"), Target("F", "\x01parameter|Stage\x02", certain=False), None),
    ],
)
def test_a_permission_serves_its_qualifier(invoker: Target, permitted: Target, admits: bool | None) -> None:
    assert invoker.admits(permitted) is admits


def test_function_names() -> None:
    found = template(FUNCTION + "  P: {Type: AWS::Lambda::Permission, Properties: {FunctionName: !Sub 'f-${Stage}'}}")
    assert invoked(found, found.resources["P"].at("FunctionName")) == Target("F")


def test_http_and_websocket_routes() -> None:
    found = template("""
  Http: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  Chat: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}
  I: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Http, IntegrationType: AWS_PROXY,
    IntegrationSubtype: SQS-SendMessage}}
  A: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Http, RouteKey: 'get /a',
    Target: !Sub 'integrations/${I}'}}
  B: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Http, RouteKey: $default}}
  C: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: $connect, AuthorizationType: CUSTOM}}
  D: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !ImportValue api, RouteKey: 'PUT /d'}}
""")
    assert [(route.api, route.kind, route.name) for route in found.routes] == [
        ("Http", "http", "GET /a"),
        ("Http", "http", "ANY $default"),
        ("Chat", "websocket", "$connect"),
        (None, "http", "PUT /d"),
    ]
    integration = found.routes[0].integration
    assert integration is not None
    assert integration.invokes is False


def test_quick_create() -> None:
    found = template(
        FUNCTION
        + """
  Http: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, Name: x, Target: !GetAtt F.Arn}}
  O: {Type: AWS::ApiGatewayV2::ApiGatewayManagedOverrides, Properties: {ApiId: !Ref Http,
    Stage: {DefaultRouteSettings: {ThrottlingRateLimit: 1}}}}
"""
    )
    route = only(found)
    assert route.integration is not None
    assert (route.name, route.integration.target) == ("ANY $default", Target("F"))
    (stage,) = found.apis.stages
    assert (stage.maker, stage.title) == ("quick-create", "$default")
    assert stage.get("DefaultRouteSettings").path == "Stage.DefaultRouteSettings"


OPENAPI = """
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Body:
        components:
          securitySchemes:
            key: {type: apiKey, name: x-api-key, in: header}
            users: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authorizer: {type: request}}
            other: {type: oauth2}
        paths:
          /v1.0/a:
            parameters: []
            get: {security: [{users: []}, {key: []}]}
            put: {security: [{key: []}]}
            post: {security: [{other: []}]}
            delete: {security: []}
            x-amazon-apigateway-any-method: {x-amazon-apigateway-auth: {type: AWS_IAM}}
"""


def test_openapi_routes() -> None:
    found = template(OPENAPI)
    assert [(route.name, route.authorization.required, route.authorization.key) for route in found.routes] == [
        ("GET /v1.0/a", True, True),
        ("PUT /v1.0/a", False, True),
        ("POST /v1.0/a", None, None),
        ("DELETE /v1.0/a", False, False),
        ("ANY /v1.0/a", True, False),
    ]
    assert found.routes[0].span.line == 17
    assert found.apis.declared["Api"].complete


@pytest.mark.parametrize(
    "properties",
    [
        "BodyS3Location: {Bucket: b, Key: k}",
        "CloneFrom: abc",
        "Body: {'Fn::Transform': {Name: AWS::Include}}",
        "Body: {paths: {/a: {'Fn::Transform': {Name: X, Parameters: {}}}}}",
    ],
)
def test_routes_that_are_not_shown(properties: str) -> None:
    found = template(f"  Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{{properties}}}}}")
    assert not found.apis.declared["Api"].complete


def test_sam_routes_belong_to_the_api_they_name_or_to_one_sam_makes() -> None:
    found = template(f"""
  Api: {{Type: AWS::Serverless::Api, Properties: {{StageName: live, Auth: {{DefaultAuthorizer: Users}}}}}}
  F: {{{SAM_FUNCTION}, AutoPublishAlias: live, Events: {{
    A: {{Type: Api, Properties: {{RestApiId: !Ref Api, Path: /a, Method: any}}}},
    B: {{Type: Api, Properties: {{Path: /b, Method: get, Auth: {{ApiKeyRequired: true}}}}}},
    C: {{Type: HttpApi}},
    D: {{Type: Api, Properties: {{RestApiId: !ImportValue api, Path: /d, Method: get}}}}}}}}}}
""")
    told = [(route.api, route.name, route.authorization.required, route.authorization.key) for route in found.routes]
    assert told == [
        ("Api", "ANY /a", True, False),
        ("ServerlessRestApi", "GET /b", False, True),
        ("ServerlessHttpApi", "ANY $default", False, False),
        (None, "GET /d", None, None),
    ]
    integration = found.routes[0].integration
    assert integration is not None
    assert integration.managed
    assert integration.target == Target("F", "live")


def stage(template: Template, title: str) -> Stage:
    return next(stage for stage in template.apis.stages if stage.title == title)


def test_stages() -> None:
    found = template(
        REST
        + f"""
  Made: {{Type: AWS::ApiGateway::Deployment, Properties: {{RestApiId: !Ref Api, StageName: dev,
    StageDescription: {{TracingEnabled: true}}}}}}
  Plain: {{Type: AWS::ApiGateway::Deployment, Properties: {{RestApiId: !Ref Api}}}}
  Own: {{Type: AWS::ApiGateway::Stage, Properties: {{RestApiId: !Ref Api, StageName: prod, DeploymentId: !Ref Plain}}}}
  Sam: {{Type: AWS::Serverless::Api, Properties: {{StageName: live,
    MethodSettings: [{{HttpMethod: GET, ResourcePath: /a}}]}}}}
  F: {{{SAM_FUNCTION}, Events: {{H: {{Type: HttpApi}}}}}}}}
""",
        "Globals: {Api: {TracingEnabled: true, MethodSettings: [{HttpMethod: '*', ResourcePath: '/*'}]}}",
    )
    assert [(one.title, one.maker, one.api, one.kind) for one in found.apis.stages] == [
        ("dev", "deployment", "Api", "rest"),
        ("prod", "stage", "Api", "rest"),
        ("live", "stage", "Sam", "rest"),
        ("Stage", "sam", "Sam", "rest"),
        ("$default", "stage", "ServerlessHttpApi", "http"),
    ]
    assert stage(found, "dev").get("TracingEnabled").path == "StageDescription.TracingEnabled"
    settings = stage(found, "live").get("MethodSettings").value
    assert len(getattr(settings, "items", ())) == 2


@pytest.mark.parametrize(
    ("api", "name", "answer"),
    [
        ("\x01Api|\x02", "prod", True),
        ("\x01Api|\x02", "\x01Own|\x02", True),
        ("\x01Api|\x02", "dev", False),
        ("\x01Api|\x02", "\x01parameter|Stage\x02", None),
        ("\x01Other|\x02", "prod", False),
        ("\x01parameter|Id\x02", "prod", None),
        ("abc123", "prod", None),
        ("abc123", "\x01Own|\x02", True),
    ],
)
def test_naming_a_stage(api: str, name: str, answer: bool | None) -> None:
    own = "  Own: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: prod}}\n"
    assert stage(template(REST + own), "prod").named_by(api, name) is answer


def test_authorizers() -> None:
    found = template(
        REST
        + FUNCTION
        + f"""
  A: {{Type: AWS::ApiGateway::Authorizer, Properties: {{RestApiId: !Ref Api, AuthorizerUri: !Sub '{URI}/${{F.Arn}}'}}}}
  Sam: {{Type: AWS::Serverless::Api, Properties: {{StageName: live,
    Auth: {{Authorizers: {{Users: {{UserPoolArn: x}}, Mine: {{FunctionArn: !GetAtt F.Arn}}}}}}}}}}
"""
    )
    assert [(one.api, one.name, one.managed) for one in found.apis.authorizers] == [
        ("Api", "A", False),
        ("Sam", "Users", True),
        ("Sam", "Mine", True),
    ]


def test_permissions_by_function() -> None:
    found = template(
        FUNCTION
        + f"""
  P: {{Type: AWS::Lambda::Permission, Properties: {{FunctionName: !Ref Live, Action: '*', Principal: '*'}}}}
  Q: {{Type: AWS::Lambda::Permission, Properties: {{FunctionName: !Ref Stage, Action: lambda:InvokeFunction,
    Principal: !Sub 'logs.${{AWS::Region}}.amazonaws.com'}}}}
  R: {{Type: AWS::Lambda::Permission, Properties: {{FunctionName: g, Action: '*', Principal: s3.amazonaws.com}}}}
  S: {{{SAM_FUNCTION}, Events: {{A: {{Type: Api, Properties: {{Path: /a, Method: get}}}}}}}}}}
"""
    )
    held = found.permissions_of
    assert {name: [one.resource.logical_id for one in members] for name, members in held.items()} == {
        "F": ["P"],
        "": ["Q"],
        "S": ["S"],
    }
    assert held["F"][0].lets("sns") is True
    assert held[""][0].lets("logs") is True
    assert held["S"][0].lets("sns") is False
