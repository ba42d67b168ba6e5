"""What is known of a function's code: the closed set of facts that checks ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cfaudit.nodes import Span

Language: TypeAlias = Literal["javascript", "typescript", "python"]
ElementKind: TypeAlias = Literal["Put", "Update", "Delete", "ConditionCheck", "Get"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value in the code comes from: every one of these is used, and ``open`` says that others may be.

    ``variables`` are environment variables, ``texts`` literals, ``references`` logical ids that ``Fn::Sub`` or
    ``Fn::Join`` put into inline code (by Ref, or by GetAtt).
    """

    variables: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    open: bool = False

    def __bool__(self) -> bool:
        return bool(self.variables or self.texts or self.references)


UNKNOWN_ORIGIN = Origin(open=True)


class Need(NamedTuple):
    """One IAM action that a call needs, and on what; the target is open where the code does not tell."""

    action: str
    target: Origin
    span: Span


class Element(NamedTuple):
    """One element of a DynamoDB transaction and its table."""

    kind: ElementKind
    target: Origin
    span: Span


@dataclass(frozen=True, slots=True)
class SdkCall:
    """One call of an AWS SDK. ``service`` is the IAM prefix, ``client`` botocore's name of the service.

    ``target`` is what the call names as its resource (a table, a topic …); ``arguments`` has every top-level
    argument, and ``arguments_open`` says that there may be more. ``needs`` are the actions it surely needs;
    ``needs_open`` that it may need others, because the operation's are not known or a transaction is not literal.
    """

    service: str
    client: str
    operation: str
    target: Origin
    arguments: Mapping[str, Origin]
    arguments_open: bool
    elements: tuple[Element, ...]
    elements_open: bool
    needs: tuple[Need, ...]
    needs_open: bool
    span: Span

    @property
    def transactional(self) -> bool:
        """Whether it writes in a DynamoDB transaction."""
        return self.service == "dynamodb" and self.operation in ("TransactWriteItems", "ExecuteTransaction")

    @property
    def has_token(self) -> bool | None:
        """Whether it is given a ClientRequestToken (an SDK's own would not survive a retry of the function)."""
        return True if "ClientRequestToken" in self.arguments else None if self.arguments_open else False


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys that a value may have; ``open``: it may have others. A text, a number or nothing has none."""

    keys: Mapping[str, Shape] = field(default_factory=dict)
    open: bool = False

    def holds(self, *path: str) -> bool | None:
        """Whether the value may have this path: False when it surely never has it, None when nobody can tell."""
        shape = self
        for name in path:
            found = shape.keys.get(name)
            if found is None:
                return None if shape.open else False
            shape = found
        return True


OPEN_SHAPE = Shape(open=True)


class Word(NamedTuple):
    """A property name or a literal text that the code uses."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Code:
    """What a function's code does. Nothing but ``function``, ``reason`` and ``span`` is meant when not ``readable``.

    Only code that the handler can reach counts. ``unread`` names what may hide further calls (a package, a call on a
    value that cannot be told): while it is not empty, "never calls X" is not certain; see ``complete``. ``constant``
    says that every success is the same, ``refuses`` that there are fixed answers besides which are none.
    """

    function: str
    readable: bool
    reason: str
    span: Span
    inline: bool = False
    language: Language | None = None
    files: tuple[str, ...] = ()
    calls: tuple[SdkCall, ...] = ()
    unread: tuple[Word, ...] = ()
    variables: tuple[Word, ...] = ()
    variables_open: bool = False
    returns: Shape = OPEN_SHAPE
    idle: bool | None = None
    constant: bool | None = None
    refuses: bool = False
    event_logs: tuple[Span, ...] = ()
    metrics: tuple[Span, ...] = ()
    http: tuple[Span, ...] = ()
    idempotency: tuple[Span, ...] = ()
    custom_resource: bool = False
    words: Mapping[str, Span] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every call to AWS that the code can make is among ``calls``."""
        return self.readable and not self.unread

    @property
    def reads_groups(self) -> Span | None:
        """Where the code reads the Cognito groups of the caller, if it does."""
        return self.words.get("cognito:groups")

    def reads(self, variable: str) -> bool | None:
        """Whether the code reads an environment variable; None when it may under a name that is not literal."""
        if any(word.text == variable for word in self.variables):
            return True
        return None if not self.readable or self.variables_open or self.unread else False

    def calls_of(self, *operations: str) -> tuple[SdkCall, ...]:
        """The calls of operations named ``service:Operation``, or ``service:*``."""
        wanted = {operation.lower() for operation in operations}
        return tuple(
            call
            for call in self.calls
            if f"{call.service}:{call.operation}".lower() in wanted or f"{call.service}:*" in wanted
        )
