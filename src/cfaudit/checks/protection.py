"""The questions whether an API has a web ACL and a usage plan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from cfaudit.checks.apis import title_of
from cfaudit.facts import Facts
from cfaudit.finding import Evidence, Finding, Outcome
from cfaudit.model.api import Api, Stage, owner_of
from cfaudit.model.declarations import Resource, descend
from cfaudit.model.names import rendered
from cfaudit.model.template import Template
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value

ASSOCIATION = "AWS::WAFv2::WebACLAssociation"
_STAGE_ARN = re.compile(r"restapis/([^/]+)/stages/([^/]+)\Z")


class _Answer(NamedTuple):
    """What is known of one stage, distribution or API: ``place`` is where it shows, ``name`` what to call it."""

    outcome: Outcome
    subject: str
    logical_id: str | None
    message: str
    place: Span
    more: tuple[Evidence, ...] = ()
    assumed: tuple[str, ...] = ()
    name: str = ""

    def finding(self) -> Finding:
        return Finding(
            outcome=self.outcome,
            subject=self.subject,
            message=self.message,
            evidence=(Evidence(self.place, self.message), *self.more),
            logical_id=self.logical_id,
            assumed=self.assumed,
        )


def _reported(
    template: Template,
    facts: Facts,
    component: str,
    types: tuple[str, ...],
    answers: list[_Answer],
    *,
    nothing: str | None,
) -> Iterator[Finding]:
    """Findings for the answers. A failure gives way to another stack or a macro; where nothing is there, it is one."""
    failed = [answer for answer in answers if answer.outcome is Outcome.FAIL]
    yield from (answer.finding() for answer in answers if answer.outcome is not Outcome.FAIL)
    external = facts.elsewhere(component=component, types=types)
    if external is not None:
        elsewhere = Evidence(external.span, external.reason, external.text)
        for answer in failed:
            message = f"{answer.message}; another stack has it: {external.reason}"
            yield answer._replace(outcome=Outcome.PASS, message=message, more=(elsewhere,)).finding()
    elif template.macros:
        for answer in failed:
            message = f"{answer.message}, but a macro may add it"
            yield answer._replace(outcome=Outcome.UNKNOWN, message=message).finding()
    elif failed and nothing:
        first, *others = failed
        more = [one for other in others for one in (Evidence(other.place, other.message), *other.more)]
        evidence = tuple(dict.fromkeys((*first.more, *more)))
        yield first._replace(subject=component, logical_id=None, message=nothing, more=evidence).finding()
    else:
        yield from (answer.finding() for answer in failed)


# Web ACL -------------------------------------------------------------------------------------------------------------


def web_acl(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every stage of a REST API must be associated with a web ACL of AWS WAF.

    A stage passes when an `AWS::WAFv2::WebACLAssociation` names its API and its name, or when the API is an origin of a
    distribution that has a web ACL; then it is assumed that clients come through the distribution. It does not matter
    where the ACL is declared; one of this template that has no rules and allows everything, or whose scope is
    CLOUDFRONT, fails. A distribution must have a web ACL of its own when the audit is told that the stack is in
    us-east-1, the only region where such an ACL can be declared. HTTP and WebSocket APIs are not judged: AWS WAF does
    not support them. AWS WAF Classic does not count: its support has ended. An association with an ARN that only deploy
    time knows, and an API whose stages are not in the template, are unknown.
    """
    found = [_guarded_stage(template, stage) for stage in template.apis.stages if _is_judged(stage)]
    for api in template.apis.declared.values():
        if api.kind == "rest" and not template.apis.stages_of.get(api.logical_id):
            message = f"{api.logical_id} has no stage in this template, so its web ACL cannot be seen"
            found.append(_Answer(Outcome.UNKNOWN, api.logical_id, api.logical_id, message, api.span))
    if facts.region == "us-east-1":
        found.extend(_guarded_distribution(one) for one in template.of("AWS::CloudFront::Distribution"))
    associated = any(True for _ in template.of(ASSOCIATION)) or any(one.outcome is Outcome.PASS for one in found)
    nothing = None if associated else f"no web ACL protects {_names(found)}"
    yield from _reported(template, facts, "web-acl", (ASSOCIATION, "AWS::WAFv2::WebACL"), found, nothing=nothing)


def _is_judged(stage: Stage) -> bool:
    return stage.kind == "rest" and stage.maker != "sam"


def _names(answers: list[_Answer]) -> str:
    return " and ".join(answer.name or answer.subject for answer in answers if answer.outcome is Outcome.FAIL)


def _guarded_stage(template: Template, stage: Stage) -> _Answer:
    title = title_of(stage)
    span = stage.resource.where("StageName") if stage.maker == "deployment" and stage.resource else stage.span
    logical_id = stage.logical_id if stage.resource else None
    open_: list[Resource] = []
    for association in template.of(ASSOCIATION):
        covers = _covers(template, association, stage)
        if covers:
            outcome, said, where = _associated(template, association)
            more = (Evidence(span, "the stage"),)
            return _Answer(outcome, stage.logical_id, logical_id, f"{title} is associated with {said}", where, more)
        if covers is None:
            open_.append(association)
    front = _front(template, stage)
    if front is not None:
        message = f"{title} is behind {front.logical_id}, which has a web ACL"
        assumed = (f"clients call the API through {front.logical_id}, not at its own address",)
        where = front.where("DistributionConfig.WebACLId")
        more = (Evidence(span, "the stage"),)
        return _Answer(Outcome.PASS, stage.logical_id, logical_id, message, where, more, assumed)
    if open_:
        message = f"only deploy time knows whether {open_[0].logical_id} associates {title} with its web ACL"
        where = open_[0].where("ResourceArn")
        return _Answer(Outcome.UNKNOWN, stage.logical_id, logical_id, message, where, (Evidence(span, "the stage"),))
    api = template.apis.declared.get(stage.api or "")
    about = (Evidence(api.span, "its API"),) if api else ()
    message = f"{title} has no web ACL"
    return _Answer(Outcome.FAIL, stage.logical_id, logical_id, message, span, about, name=title[0].lower() + title[1:])


def _associated(template: Template, association: Resource) -> tuple[Outcome, str, Span]:
    """Whether the web ACL of an association does anything, what it is, and where that shows."""
    acl = template.target(association.at("WebACLArn"), "AWS::WAFv2::WebACL")
    if acl is not None:
        rules, action = acl.at("Rules"), acl.at("DefaultAction")
        empty = isinstance(rules, Absent) or (isinstance(rules, Seq) and not rules.items)
        if empty and isinstance(action, Map) and "Allow" in action.entries:
            return Outcome.FAIL, f"{acl.logical_id}, which has no rules and allows everything", acl.span
        scope = acl.at("Scope")
        if isinstance(scope, Scalar) and scope.text == "CLOUDFRONT":
            return Outcome.FAIL, f"{acl.logical_id}, whose scope is distributions only", acl.where("Scope")
    return Outcome.PASS, "a web ACL", association.where("ResourceArn")


def _covers(template: Template, association: Resource, stage: Stage) -> bool | None:
    """Whether an association's ResourceArn is the stage's, ``arn:…:apigateway:REGION::/restapis/API/stages/STAGE``."""
    value = association.at("ResourceArn")
    if not isinstance(value, (Scalar, Unknown)):
        return False
    text = rendered(value)
    named = _STAGE_ARN.search(text)
    if named:
        return stage.named_by(named[1], named[2])
    if text.startswith("arn:") or isinstance(value, Scalar):
        return None if ":apigateway:" in text and isinstance(value, Unknown) else False
    mentioned = stage.resource is not None and stage.logical_id in value.mentions and stage.logical_id != stage.api
    return True if mentioned else None if value.deferred else False


def _front(template: Template, stage: Stage) -> Resource | None:
    """A distribution with a web ACL that has the stage's API among its origins."""
    for edge in template.edges_to.get(stage.api or "", ()):
        resource = template.resources[edge.source]
        origin = edge.path.startswith("DistributionConfig.Origins")
        if origin and resource.type == "AWS::CloudFront::Distribution" and _has_acl(resource):
            return resource
    return None


def _has_acl(distribution: Resource) -> bool:
    value = distribution.at("DistributionConfig.WebACLId")
    return bool(value.text) if isinstance(value, Scalar) else isinstance(value, Unknown)


def _guarded_distribution(distribution: Resource) -> _Answer:
    name = distribution.logical_id
    where = distribution.where("DistributionConfig.WebACLId")
    if _has_acl(distribution):
        return _Answer(Outcome.PASS, name, name, f"{name} has a web ACL", where)
    return _Answer(Outcome.FAIL, name, name, f"{name} has no web ACL", where)


# Usage plan ----------------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """A usage plan and what is known of it for one API: attached, limiting, with a key that some route asks for."""

    resource: Resource | None
    place: Span
    attached: bool | None
    attached_elsewhere: bool
    limited: bool
    keyed: bool | None
    demanded: bool | None

    @property
    def works(self) -> bool | None:
        parts = (self.attached, self.limited, self.keyed, self.demanded)
        return False if False in parts else None if None in parts else True


def usage_plan(template: Template, facts: Facts) -> Iterator[Finding]:
    """Every REST API must have a usage plan that works.

    A plan works when it is attached to a stage of the API (`ApiStages`), sets a limit (`Throttle` or `Quota`), has a
    key (`AWS::ApiGateway::UsagePlanKey`) that is not switched off and some method of the API asks for a key; a plan
    that lacks one of these limits nobody and counts as missing. SAM's `Auth.UsagePlan` makes plan and key. HTTP and
    WebSocket APIs are not judged: HTTP APIs have no usage plans. A plan whose id is exported may get its keys in
    another stack and is unknown, as is an API without a stage in the template.
    """
    found: list[_Answer] = []
    seen: set[str] = set()
    keys = _keyed_plans(template)
    for api in template.apis.declared.values():
        if api.kind == "rest":
            for answer in _planned(template, api, keys):
                if answer.subject not in seen or answer.outcome is not Outcome.FAIL:
                    found.append(answer)
                seen.add(answer.subject)
    plans = any(True for _ in template.of("AWS::ApiGateway::UsagePlan"))
    nothing = None if plans else f"no usage plan limits the callers of {_names(found)}"
    yield from _reported(template, facts, "usage-plan", ("AWS::ApiGateway::UsagePlan",), found, nothing=nothing)


def _planned(template: Template, api: Api, keys: frozenset[str]) -> Iterator[_Answer]:
    demanded = _demanded(template, api)
    plans = [_plan(template, api, plan, keys, demanded) for plan in template.of("AWS::ApiGateway::UsagePlan")]
    plans.extend(_sam_plan(api, demanded))
    name = api.logical_id
    own = name if api.resource else None
    for plan in plans:
        if plan.works:
            message = f"{name} has a usage plan with a key"
            yield _Answer(Outcome.PASS, name, own, message, plan.place, (Evidence(api.span, "the API"),))
            return
    for plan in plans:
        if plan.works is None:
            message = f"only deploy time knows whether a usage plan limits the callers of {name}"
            yield _Answer(Outcome.UNKNOWN, name, own, message, plan.place, (Evidence(api.span, "the API"),))
            return
    if not template.apis.stages_of.get(name):
        message = f"{name} has no stage in this template, so its usage plan cannot be seen"
        yield _Answer(Outcome.UNKNOWN, name, own, message, api.span)
        return
    inert = [plan for plan in plans if plan.attached is not False or not plan.attached_elsewhere]
    for plan in inert:
        subject = plan.resource.logical_id if plan.resource else name
        message = f"{subject} limits nobody: {_lacks(plan, name)}"
        logical_id = plan.resource.logical_id if plan.resource else own
        yield _Answer(Outcome.FAIL, subject, logical_id, message, plan.place, (Evidence(api.span, "the API"),))
    if not inert:
        yield _Answer(Outcome.FAIL, name, own, f"{name} has no usage plan", api.span)


def _lacks(plan: _Plan, api: str) -> str:
    lacking = []
    if plan.attached is False:
        lacking.append("it is attached to no stage")
    if not plan.limited:
        lacking.append("it sets neither a throttle nor a quota")
    if plan.keyed is False:
        lacking.append("it has no key that is switched on")
    if plan.attached is not False and plan.demanded is False:
        lacking.append(f"no method of {api} asks for a key")
    return " and ".join(lacking)


def _plan(template: Template, api: Api, plan: Resource, keys: frozenset[str], demanded: bool | None) -> _Plan:
    value = plan.at("ApiStages")
    entries = value.items if isinstance(value, Seq) else () if isinstance(value, Absent) else (value,)
    owners = [_attached(template, entry, api) for entry in entries]
    attached = True if True in owners else None if None in owners else False
    keyed: bool | None = plan.logical_id in keys
    if not keyed and _is_exported(template, plan.logical_id):
        keyed = None
    limited = any(_limits(plan.at(path)) for path in ("Throttle", "Quota"))
    limited = limited or any(_limits(value) for _, value in plan.each("ApiStages.*.Throttle"))
    return _Plan(plan, plan.span, attached, bool(entries), limited, keyed, demanded)


def _limits(value: Value) -> bool:
    """Whether a throttle or a quota says anything."""
    return bool(value.entries) if isinstance(value, Map) else not isinstance(value, Absent)


def _attached(template: Template, entry: Value, api: Api) -> bool | None:
    if not isinstance(entry, Map):
        return None if isinstance(entry, Unknown) else False
    value = descend(entry, entry.span, ["ApiId"])[0]
    owner = owner_of(template, value)
    if owner:
        return owner == api.logical_id
    return None if isinstance(value, Unknown) and value.deferred else False


def _keyed_plans(template: Template) -> frozenset[str]:
    """The plans that have a key in this template; one that is declared switched off is none."""
    off = {key.logical_id for key in template.of("AWS::ApiGateway::ApiKey") if _is_disabled(key.at("Enabled"))}
    return frozenset(
        reference.logical_id
        for key in template.of("AWS::ApiGateway::UsagePlanKey")
        for value, held in ((key.at("UsagePlanId"), template.target(key.at("KeyId"), "AWS::ApiGateway::ApiKey")),)
        if isinstance(value, Unknown) and not (held and held.logical_id in off)
        for reference in value.references
    )


def _is_disabled(value: Value) -> bool:
    return isinstance(value, Scalar) and value.text.lower() == "false"


def _is_exported(template: Template, logical_id: str) -> bool:
    for output in template.document.outputs.entries.values():
        if isinstance(output, Map) and "Export" in output.entries:
            value = output.entries.get("Value")
            if isinstance(value, Unknown) and logical_id in value.mentions:
                return True
    return False


def _demanded(template: Template, api: Api) -> bool | None:
    """Whether some route asks for an API key; None when not all routes are shown."""
    answers = {route.authorization.key for route in template.apis.routes_of.get(api.logical_id, ())}
    if True in answers:
        return True
    return False if api.complete and answers == {False} else None


def _sam_plan(api: Api, demanded: bool | None) -> Iterator[_Plan]:
    """https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-api-apiusageplan.html"""
    place = api.settings.get("Auth.UsagePlan.CreateUsagePlan")
    limited = any(_limits(api.settings.get(f"Auth.UsagePlan.{name}").value) for name in ("Throttle", "Quota"))
    match place.value:
        case Scalar(text) if text.upper() in ("PER_API", "SHARED"):
            yield _Plan(
                None,
                place.span,
                attached=True,
                attached_elsewhere=False,
                limited=limited,
                keyed=True,
                demanded=demanded,
            )
        case Unknown():
            yield _Plan(
                None,
                place.span,
                attached=None,
                attached_elsewhere=False,
                limited=limited,
                keyed=None,
                demanded=demanded,
            )
