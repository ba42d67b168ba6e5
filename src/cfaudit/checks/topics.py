"""Questions about SNS topics: who may use them, and whether anybody listens."""

from __future__ import annotations

from collections.abc import Iterator

from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome, judged
from cfaudit.model.declarations import Resource
from cfaudit.model.iam import Principal
from cfaudit.model.invocations import sam_events
from cfaudit.model.policies import ResourceStatement, statements
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Scalar, Seq, Unknown, strings

TOPIC = "AWS::SNS::Topic"
_POLICIES = {"AWS::SNS::TopicPolicy": "Topics", "AWS::SNS::TopicInlinePolicy": "TopicArn"}


def topic_policy(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every topic must have a topic policy (`AWS::SNS::TopicPolicy` or `AWS::SNS::TopicInlinePolicy`).

    Without one SNS's default applies: only the account that owns the topic may publish and subscribe. What a policy
    says is not judged. A policy whose topics only deploy time knows makes the topics without one unknown.
    """
    held = _policies(template)
    open_ = [
        policy
        for policy in template.of(*_POLICIES)
        for value in strings(policy.at(_POLICIES[policy.type]))
        if isinstance(value, Unknown) and not value.mentions
    ]
    word = facts.elsewhere(types=tuple(_POLICIES))
    for topic in template.of(TOPIC):
        name = topic.logical_id
        if name in held:
            message = f"{held[name].logical_id} is the policy of {name}"
            yield judged(Outcome.PASS, topic, None, message, span=held[name].where(_POLICIES[held[name].type]))
        elif word is not None:
            more = [Evidence(word.span, word.reason, word.text)]
            message = f"The policy of {name} is in another stack, says the configuration"
            yield judged(Outcome.UNKNOWN, topic, None, message, more=more)
        elif open_ or template.macros:
            more = [Evidence(policy.span, "its topic is known at deploy time only") for policy in open_]
            message = f"Whether {name} has a policy is known at deploy time only"
            yield judged(Outcome.UNKNOWN, topic, None, message, more=more)
        else:
            message = f"{name} has no topic policy, so SNS's default for the whole account applies"
            yield judged(Outcome.FAIL, topic, None, message)


def _policies(template: Template) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for policy in template.of(*_POLICIES):
        for topic in template.targets(policy.at(_POLICIES[policy.type]), TOPIC):
            found.setdefault(topic.logical_id, policy)
    return found


# Subscriptions -------------------------------------------------------------------------------------------------------

_CHAT = ("AWS::Chatbot::SlackChannelConfiguration", "AWS::Chatbot::MicrosoftTeamsChannelConfiguration")
_NESTED = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application")


def topic_subscriptions(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every topic must have a subscription in this template.

    What counts: the topic's `Subscription`, an `AWS::SNS::Subscription`, an SNS event of a SAM function, and a chat
    channel of Amazon Q Developer (AWS Chatbot), which subscribes by itself. Unknown is a topic that a nested stack, a
    custom resource or an SSM parameter hands on, whose own policy lets somebody subscribe, or to which a role of the
    stack may subscribe: then somebody may listen. An output alone subscribes nobody; what another stack makes of it is
    told with `external:` in the configuration.
    """
    listeners, subscribers = _listeners(template), _subscribers(template)
    for topic in template.of(TOPIC):
        name, listener = topic.logical_id, listeners.get(topic.logical_id)
        inline = topic.at("Subscription")
        if isinstance(inline, Seq) and inline.items:
            yield judged(Outcome.PASS, topic, "Subscription", f"{name} has a subscription")
        elif listener is not None:
            message = f"{name} has a subscription"
            yield judged(Outcome.PASS, topic, None, message, span=listener.span, note=listener.note)
        else:
            yield _silent(template, facts, topic, subscribers)


def _listeners(template: Template) -> dict[str, Evidence]:
    found: dict[str, Evidence] = {}
    for subscription in template.of("AWS::SNS::Subscription"):
        for topic in template.targets(subscription.at("TopicArn"), TOPIC):
            found.setdefault(topic.logical_id, Evidence(subscription.where("TopicArn"), "the subscription"))
    for function in template.of("AWS::Serverless::Function"):
        for event in sam_events(function, "SNS"):
            for topic in template.targets(event.properties.entries.get("Topic", Absent(event.span)), TOPIC):
                found.setdefault(topic.logical_id, Evidence(event.span, "the event of a function"))
    for channel in template.of(*_CHAT):
        for topic in template.targets(channel.at("SnsTopicArns"), TOPIC):
            found.setdefault(topic.logical_id, Evidence(channel.where("SnsTopicArns"), "the chat channel subscribes"))
    return found


def _silent(template: Template, facts: Facts, topic: Resource, subscribers: list[Principal]) -> Finding:
    """The finding for a topic that nothing here subscribes to."""
    name = topic.logical_id
    if isinstance(topic.at("Subscription"), Unknown):
        message = f"The subscriptions of {name} are known at deploy time only"
        return judged(Outcome.UNKNOWN, topic, "Subscription", message)
    word = facts.elsewhere(types=("AWS::SNS::Subscription",))
    maybe = Evidence(word.span, word.reason, word.text) if word else _handed_on(template, topic, subscribers)
    if maybe is not None:
        message = f"{name} has no subscription in this stack; {maybe.note}"
        return judged(Outcome.UNKNOWN, topic, None, message, more=[maybe])
    if template.macros:
        return judged(Outcome.UNKNOWN, topic, None, f"{name} has no subscription unless a macro adds one")
    more = [
        Evidence(template.resources[edge.source].where(edge.path), "publishes to it")
        for edge in template.edges_to.get(name, ())
        if edge.path.startswith("AlarmActions")
    ]
    return judged(
        Outcome.FAIL, topic, None, f"{name} has no subscription in this stack: nobody here hears it", more=more
    )


def _handed_on(template: Template, topic: Resource, subscribers: list[Principal]) -> Evidence | None:
    """What shows that somebody may subscribe all the same."""
    for edge in template.edges_to.get(topic.logical_id, ()):
        source = template.resources[edge.source]
        where = source.where(edge.path)
        if source.type in _NESTED:
            return Evidence(where, f"the nested stack {edge.source} gets its ARN and may subscribe")
        if source.type == "AWS::CloudFormation::CustomResource" or source.type.startswith("Custom::"):
            return Evidence(where, f"the custom resource {edge.source} gets its ARN and may subscribe")
        if source.type == "AWS::SSM::Parameter":
            return Evidence(where, f"{edge.source} tells other stacks its ARN, and one of them may subscribe")
    for policy in template.of("AWS::SNS::TopicPolicy", "AWS::SNS::TopicInlinePolicy"):
        if topic in template.targets(policy.at(_POLICIES[policy.type]), TOPIC):
            for statement in statements(policy.at("PolicyDocument")):
                if isinstance(statement, ResourceStatement) and _lets_subscribe(statement):
                    return Evidence(statement.span, f"{policy.logical_id} lets others subscribe")
    for principal in subscribers:
        if principal.allows("sns:Subscribe", template, topic):
            return Evidence(principal.resource.span, f"{principal.logical_id} may subscribe to it at run time")
    return None


def _subscribers(template: Template) -> list[Principal]:
    """Who is granted sns:Subscribe by name."""
    return [
        principal
        for principal in template.principals.values()
        if any(_is_subscribe(grant.action) for grant in principal.grants("sns"))
    ]


def _is_subscribe(action: Scalar) -> bool:
    return action.text.lower() in ("sns:subscribe", "sns:*")


def _lets_subscribe(statement: ResourceStatement) -> bool:
    return statement.effect == "Allow" and statement.covers("sns:Subscribe") is True
