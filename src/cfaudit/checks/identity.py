"""Questions about user pools: passwords, second factors, sign-in flows and the account that mails their users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Seq, Unknown, Value, strings, truth

POOL = "AWS::Cognito::UserPool"
CLIENT = "AWS::Cognito::UserPoolClient"

_PASSWORDS = "Policies.PasswordPolicy"
_CLASSES = {
    "RequireUppercase": "upper case letters",
    "RequireLowercase": "lower case letters",
    "RequireNumbers": "digits",
    "RequireSymbols": "symbols",
}


def password_policy(template: Template, facts: Facts, *, minimum: int) -> Iterator[Finding]:
    """The password policy of a user pool must ask for a minimum length and for all four classes of characters.

    The classes are upper case letters, lower case letters, digits and symbols; one that the policy does not name is not
    required. A pool without a password policy has Cognito's own, which asks for eight characters of all four classes,
    and passes. A policy that names no length, and values that only deploy time knows, are unknown.
    """
    for pool in template.of(POOL):
        policy = pool.at(_PASSWORDS)
        if isinstance(policy, Absent):
            message = f"{pool.logical_id} has Cognito's default password policy: eight characters of all four classes"
            yield judged(Outcome.PASS, pool, _PASSWORDS, message)
        else:
            yield _passwords(pool, minimum)


def _passwords(pool: Resource, minimum: int) -> Finding:
    name, length = pool.logical_id, pool.at(f"{_PASSWORDS}.MinimumLength")
    required = {text: truth(pool.at(f"{_PASSWORDS}.{flag}")) for flag, text in _CLASSES.items()}
    lacking = [text for text, answer in required.items() if answer is False]
    shortest = _number(length)
    if shortest is not None and shortest < minimum:
        message = f"{name} accepts passwords of {shortest} characters"
        return judged(Outcome.FAIL, pool, f"{_PASSWORDS}.MinimumLength", message, salient=str(shortest))
    if lacking:
        flag = next(flag for flag, text in _CLASSES.items() if text == lacking[0])
        message = f"{name} accepts passwords without {' or '.join(lacking)}"
        return judged(Outcome.FAIL, pool, f"{_PASSWORDS}.{flag}", message, salient=", ".join(lacking))
    if shortest is None or None in required.values():
        path = f"{_PASSWORDS}.MinimumLength" if shortest is None else _PASSWORDS
        unsaid = isinstance(length, Absent)
        reason = "the template does not say" if unsaid and shortest is None else "only deploy time knows"
        return judged(Outcome.UNKNOWN, pool, path, f"{reason} which passwords {name} accepts")
    message = f"{name} asks for {shortest} characters of all four classes"
    return judged(Outcome.PASS, pool, _PASSWORDS, message)


def _number(value: Value) -> int | None:
    return int(value.text) if isinstance(value, Scalar) and value.text.isdecimal() else None


# Second factor -------------------------------------------------------------------------------------------------------

_MFA = "MfaConfiguration"
_FACTORS = "Policies.SignInPolicy.AllowedFirstAuthFactors"


def second_factor(template: Template, facts: Facts) -> Iterator[Finding]:
    """A user pool must offer or ask for a second factor (`MfaConfiguration` ON or OPTIONAL); the default is OFF.

    Pools whose users may also sign in without a password (`AllowedFirstAuthFactors` names passkeys or one-time codes)
    are not judged, as AWS Config does not. A pool whose clients in this template all know external identity providers
    only is unknown: whether those ask for a second factor cannot be seen here.
    """
    for pool in template.of(POOL):
        factors = [factor.text for factor in strings(pool.at(_FACTORS)) if isinstance(factor, Scalar)]
        if any(factor != "PASSWORD" for factor in factors):
            continue
        yield _factor(template, pool)


def _factor(template: Template, pool: Resource) -> Finding:
    name = pool.logical_id
    match pool.at(_MFA):
        case Unknown():
            message = f"Whether {name} asks for a second factor is known at deploy time only"
            return judged(Outcome.UNKNOWN, pool, _MFA, message)
        case Scalar(text) if text.upper() == "ON":
            return judged(Outcome.PASS, pool, _MFA, f"{name} asks every user for a second factor")
        case Scalar(text) if text.upper() == "OPTIONAL":
            return judged(Outcome.PASS, pool, _MFA, f"{name} lets each user turn a second factor on")
    clients = [client for client in template.of(CLIENT) if pool in template.targets(client.at("UserPoolId"), POOL)]
    if clients and all(_is_federated(client) for client in clients):
        where = clients[0].where("SupportedIdentityProviders")
        more = [Evidence(where, "the client knows external identity providers only")]
        message = f"{name} has no second factor of its own; its identity providers may ask for one"
        return judged(Outcome.UNKNOWN, pool, _MFA, message, more=more)
    return judged(Outcome.FAIL, pool, _MFA, f"{name} lets users sign in with a password alone")


def _is_federated(client: Resource) -> bool:
    providers = client.at("SupportedIdentityProviders")
    if not isinstance(providers, Seq) or not providers.items:
        return False
    return not any(isinstance(item, Scalar) and item.text == "COGNITO" for item in providers.items)


# Flows ---------------------------------------------------------------------------------------------------------------

_FLOWS = "ExplicitAuthFlows"
_CHOICE = "ALLOW_USER_AUTH"
_MIGRATION = "LambdaConfig.UserMigration"


def password_flows(template: Template, facts: Facts, *, flows: Mapping[str, str]) -> Iterator[Finding]:
    """No user pool client may sign users in with a flow that sends the password itself.

    Those are the listed values of `ExplicitAuthFlows`, under their old names too. A client that lists no flow has
    Cognito's defaults (SRP, custom, refresh token) and passes, and so does a client of a pool with a user migration
    trigger, which needs the password. `ALLOW_USER_AUTH` is unknown: the application chooses among several ways to sign
    in, and sending the password is one of them.
    """
    for client in template.of(CLIENT):
        listed = client.at(_FLOWS)
        found = [(path, value) for path, value in client.each(f"{_FLOWS}.*") if isinstance(value, Scalar)]
        weak = [(path, value) for path, value in found if value.text in flows]
        pool = template.target(client.at("UserPoolId"), POOL)
        if weak and pool is not None and not isinstance(pool.at(_MIGRATION), Absent):
            message = f"{client.logical_id} sends passwords, which the user migration of {pool.logical_id} needs"
            more = [Evidence(pool.where(_MIGRATION), "the migration trigger")]
            yield judged(Outcome.PASS, client, weak[0][0], message, more=more)
        elif weak:
            for path, value in weak:
                message = f"{client.logical_id} allows {flows[value.text]}, which sends the password itself"
                yield judged(Outcome.FAIL, client, path, message, salient=value.text)
        elif any(value.text == _CHOICE for _, value in found):
            path = next(path for path, value in found if value.text == _CHOICE)
            message = f"{client.logical_id} allows USER_AUTH, in which the application may send the password itself"
            yield judged(Outcome.UNKNOWN, client, path, message, salient=_CHOICE)
        elif isinstance(listed, Unknown) or any(isinstance(value, Unknown) for value in strings(listed)):
            message = f"Which flows {client.logical_id} allows is known at deploy time only"
            yield judged(Outcome.UNKNOWN, client, _FLOWS, message)
        else:
            yield judged(Outcome.PASS, client, _FLOWS, f"{client.logical_id} allows no flow that sends the password")


# Mail ----------------------------------------------------------------------------------------------------------------

_ACCOUNT = "EmailConfiguration.EmailSendingAccount"
_SENDER = "LambdaConfig.CustomEmailSender"


def mail_account(template: Template, facts: Facts) -> Iterator[Finding]:
    """A user pool must mail through SES (`EmailSendingAccount: DEVELOPER`) or through a sender function of its own.

    The default is Cognito's sender with its small daily quota. A pool that knows phone numbers only (it verifies them,
    and neither verifies mail addresses nor takes them as user names or aliases) passes: it sends text messages.
    """
    for pool in template.of(POOL):
        name, account = pool.logical_id, pool.at(_ACCOUNT)
        if not isinstance(pool.at(_SENDER), Absent):
            yield judged(Outcome.PASS, pool, _SENDER, f"{name} mails through a function of its own")
        elif isinstance(account, Unknown):
            yield judged(Outcome.UNKNOWN, pool, _ACCOUNT, f"Who mails the users of {name} is known at deploy time only")
        elif isinstance(account, Scalar) and account.text == "DEVELOPER":
            yield judged(Outcome.PASS, pool, _ACCOUNT, f"{name} mails through SES")
        elif _phones_only(pool):
            yield judged(Outcome.PASS, pool, "AutoVerifiedAttributes", f"{name} reaches its users by text message")
        else:
            message = f"{name} mails its users through Cognito's default sender"
            yield judged(Outcome.FAIL, pool, _ACCOUNT, message)


def _phones_only(pool: Resource) -> bool:
    named = {
        value.text if isinstance(value, Scalar) else "email"
        for path in ("AutoVerifiedAttributes", "UsernameAttributes", "AliasAttributes")
        for value in strings(pool.at(path))
    }
    return "phone_number" in named and "email" not in named
