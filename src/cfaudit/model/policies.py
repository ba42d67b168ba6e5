"""Policy documents of resources (bucket policies, key policies) in, statements with their principals out.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from cfaudit.model.declarations import Declarations, Resource, descend
from cfaudit.model.iam import action_matches
from cfaudit.nodes import Absent, Map, Scalar, Seq, Span, Unknown, Value, parts_of, strings


class ResourceStatement(NamedTuple):
    """One statement of a policy that belongs to a resource and so names its principals."""

    effect: Literal["Allow", "Deny"]
    body: Map[Value]

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.body.span

    @property
    def condition(self) -> Value:
        """Its ``Condition`` element."""
        return self.element("Condition")

    @property
    def conditional(self) -> bool:
        """Whether a ``Condition`` restricts it."""
        return not isinstance(self.condition, Absent)

    def element(self, name: str) -> Value:
        """One of its elements by name."""
        return descend(self.body, self.body.span, [name])[0]

    def covers(self, action: str) -> bool | None:
        """Whether it speaks of an action; None when only deploy time knows."""
        excluded = tuple(strings(self.element("NotAction")))
        if excluded:
            named = _matches(excluded, action)
            return None if named is None else not named
        return _matches(tuple(strings(self.element("Action"))), action)

    @property
    def everyone(self) -> bool | None:
        """Whether its principal is ``*``, written in any of the three ways; None when only deploy time knows."""
        if not isinstance(self.element("NotPrincipal"), Absent):
            return None
        principal = self.element("Principal")
        if isinstance(principal, Map):
            principal = descend(principal, self.span, ["*" if "*" in principal.entries else "AWS"])[0]
        named = [item for item in strings(principal) if isinstance(item, Scalar)]
        if any(item.text == "*" for item in named):
            return True
        return None if isinstance(self.element("Principal"), Unknown) else False

    def serves(self, service: str) -> bool | None:
        """Whether a service principal (``cloudfront.amazonaws.com``) is among its principals."""
        if self.everyone:
            return None if self.conditional else True
        principal = self.element("Principal")
        if not isinstance(principal, Map):
            return None if isinstance(principal, Unknown) else False
        named = tuple(strings(descend(principal, self.span, ["Service"])[0]))
        if any(isinstance(item, Scalar) and item.text.lower() == service for item in named):
            return True
        other = service.partition(".")[0]
        return (
            None if any(isinstance(item, Unknown) and service_named(item) in (None, other) for item in named) else False
        )


def _matches(elements: tuple[Scalar | Unknown, ...], action: str) -> bool | None:
    if any(isinstance(element, Scalar) and action_matches(element.text, action) for element in elements):
        return True
    return None if any(isinstance(element, Unknown) for element in elements) else False


_SERVICE = re.compile(r"([a-z0-9.-]+?)(?:\.(?:\*|[a-z]{2,3}(?:-[a-z]+)+-\d))?\.(?:amazonaws\.com(?:\.cn)?|\*)")


def service_named(principal: Scalar | Unknown) -> str | None:
    """The service that a principal names, without Region: ``logs.${AWS::Region}.amazonaws.com`` names ``logs``."""
    text = "".join(part if isinstance(part, str) else "*" for part in parts_of(principal)).lower()
    named = _SERVICE.fullmatch(text)
    return named[1] if named else None


def services_in(principal: Value) -> tuple[Scalar | Unknown, ...]:
    """The service principals of a ``Principal`` element."""
    return (
        tuple(strings(principal.entries.get("Service", Absent(principal.span)))) if isinstance(principal, Map) else ()
    )


def statements(document: Value) -> Iterator[ResourceStatement | Unknown]:
    """The statements of a policy document; an Unknown stands for those that only deploy time knows."""
    if isinstance(document, Unknown):
        yield document
        return
    held = descend(document, document.span, ["Statement"])[0]
    for statement in held.items if isinstance(held, Seq) else (held,):
        if isinstance(statement, Unknown):
            yield statement
        elif isinstance(statement, Map):
            effect = statement.entries.get("Effect")
            denies = isinstance(effect, Scalar) and effect.text == "Deny"
            yield ResourceStatement("Deny" if denies else "Allow", statement)


def bucket_policies(template: Declarations) -> Mapping[str, tuple[Resource, ...]]:
    """The bucket policies of each declared bucket, by the bucket's logical id."""
    found: dict[str, tuple[Resource, ...]] = {}
    for policy in template.of("AWS::S3::BucketPolicy"):
        for bucket in template.targets(policy.at("Bucket"), "AWS::S3::Bucket"):
            found[bucket.logical_id] = (*found.get(bucket.logical_id, ()), policy)
    return found
