"""Who may do what: policies from every place, elements with wildcards, resources however they are named."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from cfaudit.load import load
from cfaudit.model.arn import meets
from cfaudit.model.iam import Principal, action_matches, role_of
from cfaudit.model.template import Template, build
from cfaudit.nodes import Scalar
from cfaudit.resolve import Scenario, resolve

TRUST = "AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: []}"
PUT = "dynamodb:PutItem"


def template(text: str, **parameters: str) -> Template:
    return build(resolve(load(dedent(text), "t.yaml"), Scenario(parameters=parameters)))


def role(statement: str, more: str = "", head: str = "") -> Template:
    """A template with a role ``R`` that has one statement, and whatever else."""
    text = f"""
Resources:
  R:
    Type: AWS::IAM::Role
    Properties:
      {TRUST}
      Policies:
        - PolicyName: p
          PolicyDocument: {{Version: '2012-10-17', Statement: [{statement}]}}
"""
    return template(dedent(head) + text + indent(dedent(more), "  "))


def only(found: Template, name: str = "R") -> Principal:
    return found.principals[name]


STATEMENT = "{Effect: Allow, Action: 'dynamodb:PutItem', Resource: '*'}"
DOCUMENT = f"PolicyDocument: {{Version: '2012-10-17', Statement: {STATEMENT}}}"

SOURCES = {
    "inline": f"""
        R:
          Type: AWS::IAM::Role
          Properties: {{{TRUST}, Policies: [{{PolicyName: p, {DOCUMENT}}}]}}
        """,
    "policy": f"""
        R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}
        P: {{Type: AWS::IAM::Policy, Properties: {{PolicyName: p, Roles: [!Ref R], {DOCUMENT}}}}}
        """,
    "policy by physical name": f"""
        R: {{Type: AWS::IAM::Role, Properties: {{RoleName: !Sub 'r-${{AWS::Region}}', {TRUST}}}}}
        P: {{Type: AWS::IAM::Policy, Properties: {{PolicyName: p, Roles: [!Sub 'r-${{AWS::Region}}'], {DOCUMENT}}}}}
        """,
    "role policy": f"""
        R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}
        P: {{Type: AWS::IAM::RolePolicy, Properties: {{PolicyName: p, RoleName: !Ref R, {DOCUMENT}}}}}
        """,
    "managed policy by Roles": f"""
        R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}
        P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{Roles: [!Ref R], {DOCUMENT}}}}}
        """,
    "managed policy by ManagedPolicyArns": f"""
        R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, ManagedPolicyArns: [!Ref P]}}}}
        P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{{DOCUMENT}}}}}
        """,
    "managed policy by name": f"""
        R:
          Type: AWS::IAM::Role
          Properties: {{{TRUST}, ManagedPolicyArns: [!Sub 'arn:aws:iam::${{AWS::AccountId}}:policy/writes']}}
        P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{ManagedPolicyName: writes, {DOCUMENT}}}}}
        """,
    "AWS's policy": f"""
        R:
          Type: AWS::IAM::Role
          Properties: {{{TRUST}, ManagedPolicyArns: ['arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess']}}
        """,
    "AWS's policy in any partition": f"""
        R:
          Type: AWS::IAM::Role
          Properties:
            {TRUST}
            ManagedPolicyArns:
              - !Join ['', ['arn:', !Ref AWS::Partition, ':iam::aws:policy/AmazonDynamoDBFullAccess']]
        """,
    "user": f"""
        R: {{Type: AWS::IAM::User, Properties: {{Policies: [{{PolicyName: p, {DOCUMENT}}}]}}}}
        """,
    "user policy": f"""
        R: {{Type: AWS::IAM::User}}
        P: {{Type: AWS::IAM::UserPolicy, Properties: {{PolicyName: p, UserName: !Ref R, {DOCUMENT}}}}}
        """,
    "group of a user": f"""
        R: {{Type: AWS::IAM::User, Properties: {{Groups: [!Ref G]}}}}
        G: {{Type: AWS::IAM::Group, Properties: {{Policies: [{{PolicyName: p, {DOCUMENT}}}]}}}}
        """,
    "group that a user is added to": f"""
        R: {{Type: AWS::IAM::User}}
        G: {{Type: AWS::IAM::Group}}
        P: {{Type: AWS::IAM::GroupPolicy, Properties: {{PolicyName: p, GroupName: !Ref G, {DOCUMENT}}}}}
        A: {{Type: AWS::IAM::UserToGroupAddition, Properties: {{GroupName: !Ref G, Users: [!Ref R]}}}}
        """,
    "SAM document": f"""
        R:
          Type: AWS::Serverless::Function
          Properties: {{Handler: a.b, Policies: [{{Version: '2012-10-17', Statement: [{STATEMENT}]}}]}}
        """,
    "SAM document alone": f"""
        R:
          Type: AWS::Serverless::Function
          Properties: {{Handler: a.b, Policies: {{Statement: {STATEMENT}}}}}
        """,
    "SAM name": """
        R: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Policies: AmazonDynamoDBFullAccess}}
        """,
    "SAM template": """
        R:
          Type: AWS::Serverless::Function
          Properties: {Handler: a.b, Policies: [DynamoDBCrudPolicy: {TableName: orders}]}
        """,
    "SAM declared policy": f"""
        R: {{Type: AWS::Serverless::Function, Properties: {{Handler: a.b, Policies: [!Ref P]}}}}
        P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{{DOCUMENT}}}}}
        """,
    "SAM policy on the implicit role": f"""
        R: {{Type: AWS::Serverless::Function, Properties: {{Handler: a.b}}}}
        P: {{Type: AWS::IAM::Policy, Properties: {{PolicyName: p, Roles: [!Ref RRole], {DOCUMENT}}}}}
        """,
    "SAM state machine": f"""
        R: {{Type: AWS::Serverless::StateMachine, Properties: {{Policies: [{{Statement: {STATEMENT}}}]}}}}
        """,
}


def resources(text: str) -> str:
    return "Transform: AWS::Serverless-2016-10-31\nResources:\n" + indent(dedent(text), "  ")


@pytest.mark.parametrize("source", SOURCES)
def test_policies_from_everywhere(source: str) -> None:
    found = only(template(resources(SOURCES[source])))
    assert found.allows(PUT) is True
    assert found.allows("sqs:SendMessage") is False
    assert found.opaque == ()
    assert [grant.action.text.lower() for grant in found.grants("dynamodb")]


@pytest.mark.parametrize("source", SOURCES)
def test_a_policy_that_is_attached_is_no_principal_of_its_own(source: str) -> None:
    assert set(template(resources(SOURCES[source])).principals) <= {"R", "G"}


def test_a_policy_attached_to_nothing_here_is_a_principal() -> None:
    found = template(f"""
        Parameters: {{Role: {{Type: String}}}}
        Resources:
          P: {{Type: AWS::IAM::Policy, Properties: {{PolicyName: p, Roles: [!Ref Role], {DOCUMENT}}}}}
        """)
    assert only(found, "P").allows(PUT) is True


def test_a_boundary_grants_nothing() -> None:
    found = template(f"""
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, PermissionsBoundary: !Ref P}}}}
          P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{{DOCUMENT}}}}}
        """)
    assert set(found.principals) == {"R"}
    assert only(found).allows(PUT) is False


def test_a_policy_held_twice_counts_once() -> None:
    found = template(f"""
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, ManagedPolicyArns: [!Ref P]}}}}
          P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{Roles: [!Ref R], {DOCUMENT}}}}}
        """)
    assert len(only(found).statements) == 1


# Policies that are not shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arns",
    [
        "[!Ref Given]",
        "!Ref Several",
        "[!ImportValue Writes]",
        "['arn:aws:iam::111122223333:policy/not-declared']",
        "['arn:aws:iam::aws:policy/SomethingNobodyTabled']",
        "[!Sub 'arn:${AWS::Partition}:iam::aws:policy/${Given}']",
        "['{{resolve:ssm:/policies/writes}}']",
    ],
)
def test_policies_of_other_stacks_are_opaque(arns: str) -> None:
    found = only(
        template(f"""
        Parameters: {{Given: {{Type: String}}, Several: {{Type: CommaDelimitedList}}}}
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, ManagedPolicyArns: {arns}}}}}
        """)
    )
    assert len(found.opaque) == 1
    assert found.unread == ()
    assert found.allows(PUT) is None


def test_a_parameter_with_a_default_is_known() -> None:
    found = only(
        template(f"""
        Parameters: {{Given: {{Type: String, Default: 'arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess'}}}}
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, ManagedPolicyArns: [!Ref Given]}}}}
        """)
    )
    assert found.allows(PUT) is True
    assert found.opaque == ()


@pytest.mark.parametrize(
    "policies",
    [
        "!Ref Given",
        "[!Ref Given]",
        "[{PolicyName: p, PolicyDocument: !Ref Given}]",
        "[{PolicyName: p, PolicyDocument: {Statement: !Ref Given}}]",
        "[{PolicyName: p, PolicyDocument: {Statement: [!Ref Given]}}]",
        "[{PolicyName: p, PolicyDocument: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: x}}}}]",
        "[{PolicyName: p, PolicyDocument: {Statement: [{Effect: !Ref Given, Action: '*', Resource: '*'}]}}]",
    ],
)
def test_policies_that_deploy_time_writes_are_unread(policies: str) -> None:
    found = only(
        template(f"""
        Parameters: {{Given: {{Type: String}}}}
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}, Policies: {policies}}}}}
        """)
    )
    assert len(found.unread) == 1
    assert found.statements == ()
    assert found.allows(PUT) is None


def test_a_connector_of_sam_is_opaque_for_both_ends() -> None:
    found = template(
        resources("""
        F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b}}
        T: {Type: AWS::Serverless::SimpleTable}
        C:
          Type: AWS::Serverless::Connector
          Properties: {Source: {Id: F}, Destination: {Id: T}, Permissions: [Write]}
        E:
          Type: AWS::Serverless::Function
          Connectors: {Orders: {Properties: {Destination: {Id: T}, Permissions: [Read]}}}
          Properties: {Handler: a.b}
        """)
    )
    assert only(found, "F").allows(PUT) is None
    assert only(found, "E").allows(PUT) is None


# Elements ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "action", "matches"),
    [
        ("dynamodb:PutItem", PUT, True),
        ("DynamoDB:putitem", PUT, True),
        ("dynamodb:*", PUT, True),
        ("*", PUT, True),
        ("dynamodb:Put*", PUT, True),
        ("dynamodb:?utItem", PUT, True),
        ("dynamodb:P*m", PUT, True),
        ("dynamodb:Put", PUT, False),
        ("dynamodb:PutItem?", PUT, False),
        ("dynamodb.PutItem", PUT, False),
        ("s3:*", PUT, False),
    ],
)
def test_actions_match_without_case(element: str, action: str, matches: bool) -> None:
    assert action_matches(element, action) is matches


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("{Effect: Allow, NotAction: 'iam:*', Resource: '*'}", True),
        ("{Effect: Allow, NotAction: ['iam:*', 'dynamodb:Put*'], Resource: '*'}", False),
        ("{Effect: Allow, NotAction: [!Ref AWS::StackName], Resource: '*'}", None),
        ("{Effect: Allow, NotAction: [!Sub 'sqs:${AWS::StackName}'], Resource: '*'}", True),
        ("{Effect: Allow, Action: !Sub 'dynamodb:${AWS::StackName}', Resource: '*'}", None),
        ("{Effect: Allow, Action: !Sub 'sqs:${AWS::StackName}', Resource: '*'}", False),
        ("{Effect: Deny, Action: 'dynamodb:PutItem', Resource: '*'}", False),
        ("{Effect: Allow, Action: '*', Resource: '*', Condition: {Bool: {'aws:SecureTransport': true}}}", True),
        ("{Effect: Allow, Action: '*', Resource: '*'}, {Effect: Deny, Action: 'dynamodb:*', Resource: '*'}", False),
        ("{Effect: Deny, Action: 'dynamodb:*', Resource: '*'}, {Effect: Allow, Action: '*', Resource: '*'}", False),
        ("{Effect: Allow, Action: '*', Resource: '*'}, {Effect: Deny, Action: 'sqs:*', Resource: '*'}", True),
        ("{Effect: Allow, Action: '*', Resource: '*'}, {Effect: Deny, NotAction: 'sqs:*', Resource: '*'}", False),
        (
            "{Effect: Allow, Action: '*', Resource: '*'}, "
            "{Effect: Deny, Action: '*', Resource: '*', Condition: {Bool: {'aws:SecureTransport': false}}}",
            True,
        ),
        (
            "{Effect: Allow, Action: '*', Resource: '*'}, "
            "{Effect: Deny, Action: !Sub 'dynamodb:${AWS::StackName}', Resource: '*'}",
            None,
        ),
    ],
)
def test_statements(statement: str, answer: bool | None) -> None:
    assert only(role(statement)).allows(PUT) is answer


def test_grants_are_allowed_elements_of_one_service() -> None:
    found = only(
        role(
            "{Effect: Allow, Action: ['dynamodb:PutItem', 'DynamoDB:Get*', 'dynamodbx:A', '*'], Resource: '*'}, "
            "{Effect: Deny, Action: 'dynamodb:Query', Resource: '*'}"
        )
    )
    assert [grant.action.text for grant in found.grants("dynamodb")] == ["dynamodb:PutItem", "DynamoDB:Get*"]
    assert all(grant.principal is found for grant in found.grants("dynamodb"))


def test_conditions_of_a_statement() -> None:
    (statement,) = only(
        role("{Effect: Allow, Action: '*', Resource: '*', Sid: S, Condition: {StringEquals: {'AWS:ResourceTag/a': b}}}")
    ).statements
    assert [(operator, key) for operator, key, _ in statement.conditions] == [("stringequals", "aws:resourcetag/a")]
    assert isinstance(statement.sid, Scalar)
    assert statement.conditional


def test_conditions_of_aws_policies_are_kept() -> None:
    found = only(template(resources(SOURCES["AWS's policy"])))
    assert any(statement.conditional for statement in found.statements)
    assert {statement.managed for statement in found.statements} == {"AmazonDynamoDBFullAccess"}


# Resources -----------------------------------------------------------------------------------------------------------

TABLE = """
T:
  Type: AWS::DynamoDB::Table
  Properties: {KeySchema: []%s}
Other:
  Type: AWS::DynamoDB::Table
  Properties: {KeySchema: []}
B: {Type: AWS::S3::Bucket}
"""
ARN = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table"
NAMED = ", TableName: !Sub 'orders-${AWS::Region}'"
HEAD = "Parameters: {Given: {Type: String}, Default: {Type: String, Default: orders}}"


@pytest.mark.parametrize(
    ("name", "element", "answer"),
    [
        ("", "'*'", True),
        ("", "!GetAtt T.Arn", True),
        ("", "!Ref T", True),
        ("", f"!Sub '{ARN}/${{T}}'", True),
        ("", "!Join ['', ['arn:aws:dynamodb:', !Ref AWS::Region, ':1:table/', !Ref T]]", True),
        ("", "!Join [':', [arn, aws, dynamodb, '*', '*', !Sub 'table/${T}*']]", True),
        ("", f"!Sub '{ARN}/*'", True),
        ("", "'arn:aws:dynamodb:*:*:*'", True),
        ("", "'arn:aws:dynamodb:*'", True),
        ("", "'arn:*'", True),
        ("", f"!Sub '{ARN}/${{AWS::StackName}}-*'", True),
        ("", f"!Sub '{ARN}/${{AWS::StackName}}-T-*'", True),
        ("", f"!Sub '{ARN}/${{AWS::StackName}}-Other-*'", False),
        ("", f"!Sub '{ARN}/shop-*'", None),
        ("", f"!Sub '{ARN}/orders'", False),
        ("", f"!Sub '{ARN}/${{Given}}'", None),
        ("", f"!Sub '{ARN}/${{Other}}'", False),
        ("", "!GetAtt Other.Arn", False),
        ("", "!GetAtt B.Arn", False),
        ("", "!Sub '${B.Arn}/*'", False),
        ("", "'arn:aws:s3:::*'", False),
        ("", "!Ref Given", None),
        ("", "!ImportValue TableArn", None),
        ("", "'{{resolve:ssm:/table/arn}}'", None),
        ("", "!Sub 'arn:aws:sqs:${AWS::Region}:1:${T}'", False),
        (NAMED, f"!Sub '{ARN}/orders-${{AWS::Region}}'", True),
        (NAMED, "!Join ['', ['arn:aws:dynamodb:::table/orders-', !Ref AWS::Region]]", True),
        (NAMED, f"!Sub '{ARN}/orders-*'", True),
        (NAMED, f"!Sub '{ARN}/ord?rs-*'", True),
        (NAMED, f"!Sub '{ARN}/invoices-*'", False),
        (NAMED, f"!Sub '{ARN}/${{Given}}-*'", None),
        (NAMED, f"!Sub '{ARN}/invoices-${{Given}}'", False),
        (NAMED, f"!Sub '{ARN}/${{T}}'", True),
        (NAMED, "!Sub 'orders-${AWS::Region}'", True),
        (", TableName: orders", f"!Sub '{ARN}/${{Default}}'", True),
        (", TableName: !Ref Default", f"!Sub '{ARN}/orders'", True),
        (", TableName: orders", f"!Sub '{ARN}/orders2'", False),
        (", TableName: orders", f"!Sub '{ARN}/Orders'", False),
        (", TableName: !Ref Given", f"!Sub '{ARN}/${{Given}}'", True),
        (", TableName: !Ref Given", f"!Sub '{ARN}/orders'", None),
    ],
)
def test_a_table_however_it_is_named(name: str, element: str, answer: bool | None) -> None:
    found = role(f"{{Effect: Allow, Action: 'dynamodb:PutItem', Resource: {element}}}", TABLE % name, HEAD + "\n")
    table = found.resources["T"]
    assert only(found).allows(PUT, found, table, "") is answer
    assert only(found).allows(PUT, found, table) is answer


@pytest.mark.parametrize(
    ("element", "itself", "index", "anything"),
    [
        ("!GetAtt T.Arn", True, False, True),
        ("!Sub '${T.Arn}/index/*'", False, True, True),
        ("!Sub '${T.Arn}/index/by-day'", False, True, True),
        ("!Sub '${T.Arn}/index/by-name'", False, False, True),
        ("!Sub '${T.Arn}*'", True, True, True),
        ("!Sub '${T.Arn}/*'", False, True, True),
        ("!GetAtt T.StreamArn", False, False, True),
        (f"!Sub '{ARN}/${{T}}/index/*'", False, True, True),
        (f"!Sub '{ARN}/*'", True, True, True),
        ("'*'", True, True, True),
        ("[!GetAtt T.Arn, !Sub '${T.Arn}/index/*']", True, True, True),
    ],
)
def test_parts_of_a_table(element: str, itself: bool, index: bool, anything: bool) -> None:
    found = role(f"{{Effect: Allow, Action: 'dynamodb:Query', Resource: {element}}}", TABLE % "")
    table, query = found.resources["T"], "dynamodb:Query"
    assert only(found).allows(query, found, table, "") is itself
    assert only(found).allows(query, found, table, "/index/by-day") is index
    assert only(found).allows(query, found, table) is anything


@pytest.mark.parametrize(
    ("declared", "element"),
    [
        ("Q: {Type: AWS::SQS::Queue}", "!GetAtt Q.Arn"),
        ("Q: {Type: AWS::SQS::Queue}", "!Sub 'arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:${Q.QueueName}'"),
        ("Q: {Type: AWS::SQS::Queue, Properties: {QueueName: orders}}", "arn:aws:sqs:eu-west-1:111122223333:orders"),
        ("Q: {Type: AWS::SNS::Topic}", "!Ref Q"),
        ("Q: {Type: AWS::SNS::Topic, Properties: {TopicName: t}}", "!Sub 'arn:aws:sns:*:*:t'"),
        ("Q: {Type: AWS::KMS::Key}", "!Sub 'arn:aws:kms:${AWS::Region}:${AWS::AccountId}:key/${Q}'"),
        ("Q: {Type: AWS::KMS::Key}", "'arn:aws:kms:*:*:key/*'"),
        ("Q: {Type: AWS::S3::Bucket}", "!Sub 'arn:aws:s3:::${Q}'"),
        ("Q: {Type: AWS::S3::Bucket, Properties: {BucketName: media}}", "'arn:aws:s3:::media'"),
        ("Q: {Type: AWS::Logs::LogGroup}", "!GetAtt Q.Arn"),
        ("Q: {Type: AWS::Logs::LogGroup}", "!Sub 'arn:aws:logs:*:*:log-group:${Q}:*'"),
        ("Q: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: /a/b}}", "'arn:aws:logs:*:*:log-group:/a/b:*'"),
        ("Q: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: /a/b}}", "'arn:aws:logs:*:*:log-group:/a/*'"),
        ("Q: {Type: AWS::StepFunctions::StateMachine}", "!Ref Q"),
        ("Q: {Type: AWS::StepFunctions::StateMachine}", "!Sub 'arn:aws:states:*:*:stateMachine:${Q.Name}'"),
        ("Q: {Type: AWS::SecretsManager::Secret}", "!Ref Q"),
        ("Q: {Type: AWS::SecretsManager::Secret, Properties: {Name: db}}", "'arn:aws:secretsmanager:*:*:secret:db-*'"),
        (
            "Q: {Type: AWS::SecretsManager::Secret, Properties: {Name: db}}",
            "'arn:aws:secretsmanager:*:*:secret:db-??????'",
        ),
        ("Q: {Type: AWS::SSM::Parameter, Properties: {Name: /a/b}}", "'arn:aws:ssm:*:*:parameter/a/*'"),
        ("Q: {Type: AWS::SSM::Parameter, Properties: {Name: a}}", "!Sub 'arn:aws:ssm:*:*:parameter/${Q}'"),
        ("Q: {Type: AWS::IAM::Role, Properties: {RoleName: r, Path: /x/}}", "'arn:aws:iam::1:role/x/r'"),
        ("Q: {Type: AWS::IAM::Role}", "'arn:aws:iam::1:role/*'"),
        ("Q: {Type: AWS::Events::EventBus, Properties: {Name: b}}", "'arn:aws:events:*:*:event-bus/b'"),
        ("Q: {Type: AWS::SES::EmailIdentity, Properties: {EmailIdentity: a.b}}", "'arn:aws:ses:*:*:identity/a.b'"),
        ("Q: {Type: AWS::ApiGateway::RestApi}", "!Sub 'arn:aws:execute-api:*:*:${Q}'"),
        ("Q: {Type: AWS::Lambda::Function}", "!Sub '${Q.Arn}*'"),
        ("Q: {Type: AWS::AppSync::GraphQLApi}", "!GetAtt Q.Arn"),
    ],
)
def test_other_types(declared: str, element: str) -> None:
    found = role(f"{{Effect: Allow, Action: '*', Resource: {element}}}", declared)
    assert only(found).allows("x:Y", found, found.resources["Q"], "") is True


@pytest.mark.parametrize(
    ("declared", "element"),
    [
        ("Q: {Type: AWS::S3::Bucket}", "!Sub 'arn:aws:s3:::${Q}-logs'"),
        ("Q: {Type: AWS::S3::Bucket, Properties: {BucketName: media}}", "'arn:aws:s3:::media-logs/*'"),
        ("Q: {Type: AWS::Lambda::Function}", "!Sub 'arn:aws:logs:*:*:log-group:/aws/lambda/${Q}:*'"),
        ("Q: {Type: AWS::SSM::Parameter, Properties: {Name: /a/b}}", "'arn:aws:ssm:*:*:parameter/a'"),
        ("Q: {Type: AWS::IAM::Role, Properties: {RoleName: r, Path: /x/}}", "'arn:aws:iam::1:role/r'"),
        ("Q: {Type: AWS::SES::EmailIdentity, Properties: {EmailIdentity: a.b}}", "'arn:aws:ses:*:*:template/*'"),
        ("Q: {Type: AWS::AppSync::GraphQLApi}", "'arn:aws:s3:::x'"),
    ],
)
def test_what_only_looks_alike(declared: str, element: str) -> None:
    found = role(f"{{Effect: Allow, Action: '*', Resource: {element}}}", declared)
    assert only(found).allows("x:Y", found, found.resources["Q"]) is False


def test_an_alias_is_part_of_its_function() -> None:
    found = role(
        "{Effect: Allow, Action: 'lambda:InvokeFunction', Resource: !Ref A}",
        """
        F: {Type: AWS::Lambda::Function}
        G: {Type: AWS::Lambda::Function}
        A: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, Name: live, FunctionVersion: '1'}}
        """,
    )
    invoke = "lambda:InvokeFunction"
    assert only(found).allows(invoke, found, found.resources["F"]) is True
    assert only(found).allows(invoke, found, found.resources["F"], "") is False
    assert only(found).allows(invoke, found, found.resources["G"]) is False


def test_deny_and_not_resource() -> None:
    allow = "{Effect: Allow, Action: '*', Resource: '*'}"
    answers = {
        "{Effect: Deny, Action: 'dynamodb:*', Resource: !GetAtt T.Arn}": (False, True),
        "{Effect: Deny, Action: 'dynamodb:*', NotResource: !GetAtt T.Arn}": (True, False),
        "{Effect: Deny, Action: 'dynamodb:*', Resource: !Sub '${T.Arn}/index/*'}": (True, True),
        "{Effect: Deny, Action: 'dynamodb:*', Resource: !ImportValue X}": (None, None),
    }
    for deny, (first, second) in answers.items():
        found = role(f"{allow}, {deny}", TABLE % "")
        assert only(found).allows(PUT, found, found.resources["T"], "") is first, deny
        assert only(found).allows(PUT, found, found.resources["Other"], "") is second, deny


def test_allow_with_not_resource() -> None:
    found = role("{Effect: Allow, Action: '*', NotResource: !GetAtt T.Arn}", TABLE % "")
    assert only(found).allows(PUT, found, found.resources["T"], "") is False
    assert only(found).allows(PUT, found, found.resources["Other"], "") is True


@pytest.mark.parametrize(
    ("principal", "answer"),
    [
        ("{AWS: !GetAtt R.Arn}", True),
        ("{AWS: [!GetAtt S.Arn]}", False),
        ("{AWS: '*'}", True),
        ("'*'", True),
        ("{AWS: !Sub 'arn:aws:iam::${AWS::AccountId}:root'}", False),
        ("{Service: lambda.amazonaws.com}", False),
    ],
)
def test_the_resource_may_allow_it_itself(principal: str, answer: bool) -> None:
    found = template(f"""
        Resources:
          R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}
          S: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}
          Q: {{Type: AWS::SQS::Queue}}
          P:
            Type: AWS::SQS::QueuePolicy
            Properties:
              Queues: [!Ref Q]
              PolicyDocument:
                Statement: [{{Effect: Allow, Principal: {principal}, Action: 'sqs:SendMessage', Resource: '*'}}]
        """)
    assert only(found).allows("sqs:SendMessage", found, found.resources["Q"]) is answer


# SAM -----------------------------------------------------------------------------------------------------------------


def sam(properties: str, more: str = "", head: str = "") -> Template:
    text = f"F: {{Type: AWS::Serverless::Function, Properties: {{Handler: a.b{properties}}}}}\n"
    return template(dedent(head) + resources(text + dedent(more)))


@pytest.mark.parametrize(
    ("policy", "declared", "action"),
    [
        ("DynamoDBCrudPolicy: {TableName: !Ref X}", "AWS::DynamoDB::Table", "dynamodb:DeleteItem"),
        ("DynamoDBReadPolicy: {TableName: !Ref X}", "AWS::Serverless::SimpleTable", "dynamodb:Query"),
        ("DynamoDBWritePolicy: {TableName: !Ref X}", "AWS::DynamoDB::Table", "dynamodb:UpdateItem"),
        ("SQSSendMessagePolicy: {QueueName: !GetAtt X.QueueName}", "AWS::SQS::Queue", "sqs:SendMessage"),
        ("SQSPollerPolicy: {QueueName: !GetAtt X.QueueName}", "AWS::SQS::Queue", "sqs:ReceiveMessage"),
        ("SNSPublishMessagePolicy: {TopicName: !GetAtt X.TopicName}", "AWS::SNS::Topic", "sns:Publish"),
        ("S3ReadPolicy: {BucketName: !Ref X}", "AWS::S3::Bucket", "s3:GetObject"),
        ("S3CrudPolicy: {BucketName: !Ref X}", "AWS::S3::Bucket", "s3:PutObject"),
        ("LambdaInvokePolicy: {FunctionName: !Ref X}", "AWS::Lambda::Function", "lambda:InvokeFunction"),
        (
            "StepFunctionsExecutionPolicy: {StateMachineName: !GetAtt X.Name}",
            "AWS::StepFunctions::StateMachine",
            "states:StartExecution",
        ),
        ("SESCrudPolicy: {IdentityName: !Ref X}", "AWS::SES::EmailIdentity", "ses:SendEmail"),
        ("KMSDecryptPolicy: {KeyId: !Ref X}", "AWS::KMS::Key", "kms:Decrypt"),
        ("EventBridgePutEventsPolicy: {EventBusName: !Ref X}", "AWS::Events::EventBus", "events:PutEvents"),
        (
            "AWSSecretsManagerGetSecretValuePolicy: {SecretArn: !Ref X}",
            "AWS::SecretsManager::Secret",
            "secretsmanager:GetSecretValue",
        ),
    ],
)
def test_policy_templates(policy: str, declared: str, action: str) -> None:
    found = sam(f", Policies: [{{{policy}}}]", f"X: {{Type: '{declared}'}}\nY: {{Type: '{declared}'}}")
    assert only(found, "F").opaque == ()
    assert only(found, "F").allows(action, found, found.resources["X"], "") is True
    assert only(found, "F").allows(action, found, found.resources["Y"], "") is False
    (name,) = {statement.managed for statement in only(found, "F").statements} - {"AWSLambdaBasicExecutionRole"}
    assert name == policy.partition(":")[0]


def test_an_unknown_policy_template_is_opaque() -> None:
    found = only(sam(", Policies: [FancyNewPolicy: {Name: x}]"), "F")
    assert len(found.opaque) == 1
    assert found.allows(PUT) is None


@pytest.mark.parametrize(
    ("properties", "head", "action"),
    [
        ("", "", "logs:PutLogEvents"),
        (", Tracing: Active", "", "xray:PutTraceSegments"),
        ("", "Globals: {Function: {Tracing: Active}}\n", "xray:PutTraceSegments"),
        (", VpcConfig: {SubnetIds: [a], SecurityGroupIds: [b]}", "", "ec2:CreateNetworkInterface"),
        (", Events: {E: {Type: SQS, Properties: {Queue: q}}}", "", "sqs:ReceiveMessage"),
        (", Events: {E: {Type: DynamoDB, Properties: {Stream: s}}}", "", "dynamodb:GetRecords"),
        (", DeadLetterQueue: {Type: SQS, TargetArn: 'arn:aws:sqs:::q'}", "", "sqs:SendMessage"),
        (", DeadLetterQueue: {Type: SNS, TargetArn: 'arn:aws:sns:::q'}", "", "sns:Publish"),
        (
            ", EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: EventBridge, Destination: b}}}",
            "",
            "events:PutEvents",
        ),
    ],
)
def test_what_sam_adds_to_the_role_it_makes(properties: str, head: str, action: str) -> None:
    assert only(sam(properties, head=head), "F").allows(action) is True


def test_what_sam_does_not_add() -> None:
    found = only(sam(", Tracing: Disabled"), "F")
    assert found.allows("xray:PutTraceSegments") is False
    assert found.allows("sqs:SendMessage") is False


def test_a_sam_function_with_a_role_has_no_policies_of_its_own() -> None:
    found = sam(
        ", Role: !GetAtt R.Arn, Policies: [AmazonS3FullAccess]", f"R: {{Type: AWS::IAM::Role, Properties: {{{TRUST}}}}}"
    )
    assert set(found.principals) == {"R"}
    assert only(found).allows("s3:GetObject") is False


# Roles ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("!GetAtt R.Arn", "R"),
        ("!Sub '${R.Arn}'", "R"),
        ("!Sub 'arn:aws:iam::${AWS::AccountId}:role/${R}'", "R"),
        ("!Sub 'arn:aws:iam::${AWS::AccountId}:role/worker'", "R"),
        ("!GetAtt FRole.Arn", "F"),
        ("!GetAtt Nested.Outputs.Role", None),
        ("!GetAtt Missing.Arn", None),
        ("!ImportValue Role", None),
        ("arn:aws:iam::111122223333:role/other", None),
    ],
)
def test_role_of(value: str, answer: str | None) -> None:
    found = template(
        resources(f"""
        R: {{Type: AWS::IAM::Role, Properties: {{RoleName: worker, {TRUST}}}}}
        F: {{Type: AWS::Serverless::Function, Properties: {{Handler: a.b}}}}
        Nested: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: x}}}}
        X: {{Type: AWS::Lambda::Function, Properties: {{Role: {value}}}}}
        """)
    )
    assert role_of(found, found.resources["X"].at("Role")) == answer


@pytest.mark.parametrize(
    ("left", "right", "answer"),
    [
        ("", "", True),
        ("*", "", True),
        ("abc", "abc", True),
        ("abc", "abd", False),
        ("a*c", "abbc", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a*", "*b", True),
        ("a*", "b*", False),
        ("*a*", "*b*", True),
        ("a*b*c", "a*c", True),
        ("ab", "a", False),
        ("**", "x", True),
    ],
)
def test_two_patterns_meet(left: str, right: str, answer: bool) -> None:
    assert meets(tuple(left), tuple(right)) is answer
    assert meets(tuple(right), tuple(left)) is answer
