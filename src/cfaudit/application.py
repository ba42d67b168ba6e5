"""A template and the local templates that belong to it in, one template of all their resources out.

The resources of a nested stack stand in the place of its resource, named ``Stack.LogicalId``; what the parent passes
stands in the place of the child's parameters, the child's outputs in the place of ``Stack.Outputs.Name``. Templates
beside each other are joined through what they export and import. Every span stays in the file it was read from.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cfaudit.baseline import project_root
from cfaudit.expand import LOOP, extends
from cfaudit.load import load
from cfaudit.nodes import (
    Call,
    Deferred,
    Diagnostic,
    Map,
    Node,
    Part,
    Scalar,
    Seq,
    Source,
    Span,
    TemplateError,
    parts_of,
    spelled,
)
from cfaudit.resolve import PSEUDO_PARAMETERS, Scenario, holes, is_made_by_sam, macros, meaning
from cfaudit.sources.files import read
from cfaudit.sources.include import included
from cfaudit.sources.local import beside

STACK, SERVERLESS = "AWS::CloudFormation::Stack", "AWS::Serverless::Application"
MAX_DEPTH = 8
MAX_STACKS = 200
MAX_VALUE = 1_000
MAX_HEIGHT = 50

_OWN = ("AWS::StackName", "AWS::StackId")
_NOTHING = "AWS::NoValue"
_Section: TypeAlias = dict[str, tuple[Span, Node]]


def application(source: Source) -> Source:
    """The template with the nested stacks whose templates are files; the template itself where there are none."""
    if not any(_location(body) for body in _members(source.root, "Resources").values()):
        return source
    reader = _Reader(source.path)
    top = _Stack("", source, None, reader)
    return _Joined(source.path, [top], reader).source() if top.nested else _told(source, reader.diagnostics)


def joined(path: str, sources: Sequence[Source]) -> Source:
    """Templates beside each other as one; one that another nests is no template of its own."""
    reader = _Reader(path)
    names = _names(path, [source.path for source in sources])
    stacks = [_Stack(names[source.path], source, None, reader) for source in sources]
    nested = {os.path.realpath(stack.source.path) for top in stacks for stack in top.below()}
    tops = [stack for stack in stacks if os.path.realpath(stack.source.path) not in nested]
    return _Joined(path, tops or stacks, reader).source()


def _names(path: str, files: Sequence[str]) -> dict[str, str]:
    """What each file is called: its name without suffix, its path where that is the name of two."""
    stems = {file: os.path.basename(file).split(".", 1)[0] for file in files}
    counts = [*stems.values()]
    longer = {file: os.path.splitext(os.path.relpath(file, path))[0].replace(os.sep, "/") for file in files}
    return {file: stem if counts.count(stem) == 1 else longer[file] for file, stem in stems.items()}


def _told(source: Source, diagnostics: Iterable[Diagnostic]) -> Source:
    return replace(source, diagnostics=(*source.diagnostics, *diagnostics))


def _members(root: Node | None, section: str) -> Mapping[str, Node]:
    held = root.entries.get(section) if isinstance(root, Map) else None
    return held.entries if isinstance(held, Map) else {}


# Files ---------------------------------------------------------------------------------------------------------------


def _location(body: Node) -> Scalar | None:
    """The path of a nested stack's template, as package commands and the CDK read it; None for one in a bucket.

    https://docs.aws.amazon.com/cli/latest/reference/cloudformation/package.html
    """
    kind = body.entries.get("Type") if isinstance(body, Map) else None
    if not isinstance(kind, Scalar) or kind.text not in (STACK, SERVERLESS):
        return None
    written = _members(body, "Properties").get("TemplateURL" if kind.text == STACK else "Location")
    for found in (written, _members(body, "Metadata").get("aws:asset:path")):
        if isinstance(found, Scalar) and found.text and "://" not in found.text:
            return found
    return None


class _Reader:
    """Reads the templates of nested stacks: each file once, none outside the project, and not without bound."""

    def __init__(self, path: str) -> None:
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        self._local = os.path.isdir(path) or os.path.isfile(path)
        self._bound = os.path.join(project_root(Path(path).resolve().parent) or os.path.realpath(folder or "."), "")
        self._sources: dict[str, Source | None] = {}
        self._count = 0
        self.diagnostics: list[Diagnostic] = []

    def template(self, location: Scalar, above: Sequence[str]) -> Source | None:
        """The template that a nested stack of the file ``above[-1]`` names, None where it cannot be followed."""
        if not self._local:
            return None
        path = os.path.normpath(os.path.join(os.path.dirname(above[-1]), location.text))
        real = os.path.realpath(path)
        self._count += 1
        problem = ""
        if real in [os.path.realpath(each) for each in above]:
            problem = "nests itself"
        elif len(above) > MAX_DEPTH or self._count > MAX_STACKS:
            problem = f"is one of more than {MAX_STACKS} nested stacks, or of more than {MAX_DEPTH} in each other"
        elif not real.startswith(self._bound):
            problem = "lies outside the project"
        elif not os.path.isfile(real):
            problem = "is not there"
        if problem:
            self._tell(f"the template {location.text!r} {problem}: what it holds is unknown", location.span)
            return None
        if real not in self._sources:
            self._sources[real] = self._loaded(path, location)
        return self._sources[real]

    def _loaded(self, path: str, location: Scalar) -> Source | None:
        try:
            source = included(load(read(path), path), beside(path))
        except TemplateError as error:
            self._tell(f"the template {location.text!r} cannot be read: {error}", error.span)
            return None
        loops = LOOP if extends(source) else "\0"
        macro = next((macro for macro in macros(source) if not macro.name.startswith(loops)), None)
        if macro is not None:
            self._tell(f"{macro.name} may change {location.text!r}: what it makes of it is unknown", location.span)
        return None if macro else source

    def _tell(self, message: str, span: Span) -> None:
        self.diagnostics.append(Diagnostic("warning", message, span))


# Stacks --------------------------------------------------------------------------------------------------------------


class _Within(NamedTuple):
    """The stack around a nested one, and the resource there that makes it."""

    stack: _Stack
    body: Map[Node]


class _Stack:
    """One template of an application: what its names mean in the whole."""

    def __init__(self, name: str, source: Source, within: _Within | None, reader: _Reader) -> None:
        self.name, self.source, self.within = name, source, within
        self.prefix = f"{name}." if name else ""
        self.resources = _members(source.root, "Resources")
        self.parameters = _members(source.root, "Parameters")
        self.given = _members(within.body.entries.get("Properties"), "Parameters") if within else {}
        self.shared: frozenset[str] = frozenset(self.parameters) if not name else frozenset()
        self.imported: Callable[[Call], Node | None] | None = None
        self.kept: set[str] = {each for each in self.parameters if each not in self.given}
        self._known: dict[tuple[str, str], Node | None] = {}
        self.nested: dict[str, _Stack] = {}
        files = [stack.source.path for stack in self._around()]
        for each, body in self.resources.items():
            location = _location(body)
            found = reader.template(location, files) if location and _is_passed(body) else None
            if found is not None and isinstance(body, Map):
                self.nested[each] = _Stack(f"{self.prefix}{each}", found, _Within(self, body), reader)

    def _around(self) -> list[_Stack]:
        return [*(self.within.stack._around() if self.within else []), self]

    def below(self) -> Iterator[_Stack]:
        """Every stack nested in this one, also in others."""
        for stack in self.nested.values():
            yield stack
            yield from stack.below()

    def made(self) -> Iterator[str]:
        """The names of the resources that the stack makes."""
        for name in self.resources:
            if name in self.nested:
                yield from self.nested[name].made()
            elif not name.startswith("Fn::"):
                yield self.prefix + name

    # Names

    def _named(self, name: str, span: Span) -> Node:
        """What ``Ref`` of a name means."""
        if name in self.nested:
            return _ref(f"{self.nested[name].prefix}AWS::StackId", span)
        if name in self.resources:
            return _ref(self.prefix + name, span)
        if name in self.parameters:
            return self._parameter(name, span)
        if name in _OWN or not (name in PSEUDO_PARAMETERS or name == _NOTHING or is_made_by_sam(name)):
            return _ref(self.prefix + name, span)
        return _ref(name, span)

    def _attribute(self, head: str, attribute: Node, span: Span) -> Node:
        """What ``Fn::GetAtt`` of a name means."""
        if head in self.nested and isinstance(attribute, Scalar):
            output = attribute.text.removeprefix("Outputs.")
            found = self.nested[head].output(output)
            if found is not None:
                return replace(found, span=span)
            held = Seq((Scalar(self.nested[head].name, span), Scalar(output, span)), span)
            return Call("Fn::GetStackOutput", held, span)
        named = head if is_made_by_sam(head) and head not in self.resources else self.prefix + head
        return Call("Fn::GetAtt", Seq((Scalar(named, span), attribute), span), span)

    def _parameter(self, name: str, span: Span) -> Node:
        """What the stack around passes, else the parameter itself, which then is one of the application."""
        own = _ref(self.parameter_name(name), span)
        kind = _text(self.parameters[name], "Type")
        if name not in self.given or self.within is None or kind.startswith("AWS::SSM::Parameter::Value"):
            self.kept.add(name)
            return own
        around = self.within.stack
        passed = self._once("Parameters", name, lambda: around.node(self.given[name]))
        if passed is None or _may_be_nothing(passed):
            self.kept.add(name)
            passed = own if passed is None else _or(passed, own)
        return replace(
            _listed(passed) if kind == "CommaDelimitedList" or kind.startswith("List<") else passed, span=span
        )

    def parameter_name(self, name: str) -> str:
        """A parameter's name in the whole."""
        return name if name in self.shared else self.prefix + name

    def output(self, name: str) -> Node | None:
        """The value of an output, None where it is not known."""
        definition = _members(self.source.root, "Outputs").get(name)
        value = definition.entries.get("Value") if isinstance(definition, Map) else None
        return None if value is None else self._once("Outputs", name, lambda: self.node(value))

    def _once(self, section: str, name: str, make: Callable[[], Node]) -> Node | None:
        """A value that others stand for; None while it rests on itself, and for one that is very large."""
        key = (section, name)
        if key not in self._known:
            self._known[key] = None
            made = make()
            self._known[key] = made if _weight(made) <= MAX_VALUE else None
        return self._known[key]

    # Nodes

    def node(self, node: Node, loops: frozenset[str] = frozenset()) -> Node:
        """A node of the template in the words of the whole; ``loops`` are the identifiers of loops around it."""
        match node:
            case Scalar():
                return node
            case Seq(items):
                return _seq(node, [self.node(item, loops) for item in items])
            case Map(entries):
                return _map(node, {name: self._member(name, item, loops) for name, item in entries.items()})
            case Call():
                return self._call(node, loops)

    def _member(self, name: str, node: Node, loops: frozenset[str]) -> Node:
        if name.startswith(LOOP):
            return self.loop(node, loops, lambda key, item, inner: (key, self._member(key, item, inner)))
        return self.node(node, loops)

    def _call(self, call: Call, loops: frozenset[str]) -> Node:
        span = call.span
        match call:
            case Call("Ref", Scalar(name)):
                return call if name in loops else _same(call, self._named(name, span))
            case Call("Fn::GetAtt", Scalar(text)) if "." in text:
                head, _, attribute = text.partition(".")
                if not self.prefix and head not in self.nested:
                    return call
                return self._attribute(head, Scalar(attribute, span), span)
            case Call("Fn::GetAtt", Seq((Scalar(head), attribute))):
                return _same(call, self._attribute(head, self.node(attribute, loops), span))
            case Call("Fn::Sub", (Scalar() as text) | Seq((Scalar() as text,))):
                return self._sub(call, text, None, loops)
            case Call("Fn::Sub", Seq((Scalar() as text, Map() as own))):
                return self._sub(call, text, own, loops)
            case Call("Condition", Scalar(name) as first):
                return replace(call, argument=replace(first, text=self.prefix + name))
            case Call("Fn::If" | "Fn::FindInMap", Seq((Scalar(name) as first, *rest)) as argument):
                items = (replace(first, text=self.prefix + name), *(self.node(item, loops) for item in rest))
                return replace(call, argument=replace(argument, items=items))
            case Call("Fn::ImportValue", argument):
                made = replace(call, argument=self.node(argument, loops))
                found = self.imported(made) if self.imported else None
                return made if found is None else replace(found, span=span)
            case Call(_, argument):
                inner = self.node(argument, loops)
                return call if inner is argument else replace(call, argument=inner)

    def _sub(self, call: Call, text: Scalar, own: Map[Node] | None, loops: frozenset[str]) -> Call:
        """``Fn::Sub`` with its text as it is written: what a name in it means becomes a variable."""
        variables = {name: self.node(node, loops) for name, node in own.entries.items()} if own else {}
        for hole in holes(text.text):
            if hole not in variables and hole not in loops:
                meant = self._hole(hole, text.span)
                if meant is not None:
                    variables[hole] = meant
        if not variables or (own and _map(own, variables) is own):
            return call
        keys = {name: own.keys[name] if own and name in own.keys else text.span for name in variables}
        return replace(call, argument=Seq((text, Map(variables, keys, text.span)), call.argument.span))

    def _hole(self, name: str, span: Span) -> Node | None:
        """What a name in ``Fn::Sub`` means, None where it says so itself."""
        head, dot, attribute = name.partition(".")
        if dot:
            said = self.prefix == "" and head not in self.nested
            return None if said else self._attribute(head, Scalar(attribute, span), span)
        meant = self._named(name, span)
        return None if meant == _ref(name, span) else meant

    def loop(self, node: Node, loops: frozenset[str], member: _Repeat) -> Node:
        """A loop, its members made by ``member``."""
        match node:
            case Seq((Scalar(identifier) as first, collection, Map() as body)):
                inner = loops | {identifier}
                pairs = [(name, *member(name, item, inner)) for name, item in body.entries.items()]
                entries = {new: item for _, new, item in pairs}
                made = Map(entries, {new: body.keys[old] for old, new, _ in pairs}, body.span)
                return replace(node, items=(first, self.node(collection, loops), made))
        return self.node(node, loops)


_Repeat: TypeAlias = Callable[[str, Node, frozenset[str]], tuple[str, Node]]


def _is_passed(body: Node) -> bool:
    """Whether it can be told what a nested stack's parameters are given."""
    properties = body.entries.get("Properties") if isinstance(body, Map) else None
    given = properties.entries.get("Parameters") if isinstance(properties, Map) else None
    return isinstance(properties, Map) and (given is None or isinstance(given, Map))


def _ref(name: str, span: Span) -> Call:
    return Call("Ref", Scalar(name, span), span)


def _same(call: Call, made: Node) -> Node:
    """The call itself where it is said again."""
    match call, made:
        case Call(name, Scalar(text)), Call(other, Scalar(again)) if (name, text) == (other, again):
            return call
        case _:
            return made


def _text(node: Node, key: str) -> str:
    found = node.entries.get(key) if isinstance(node, Map) else None
    return found.text if isinstance(found, Scalar) else ""


def _seq(node: Seq[Node], items: list[Node]) -> Seq[Node]:
    return node if all(new is old for new, old in zip(items, node.items, strict=True)) else Seq(tuple(items), node.span)


def _map(node: Map[Node], entries: dict[str, Node]) -> Map[Node]:
    same = len(entries) == len(node.entries) and all(entries.get(name) is old for name, old in node.entries.items())
    return node if same else replace(node, entries=entries)


def _weight(node: Node, depth: int = 1) -> int:
    """How much a value comes to where it is used; a variable of ``Fn::Sub`` counts as often as its text names it."""
    if depth > MAX_HEIGHT:
        return MAX_VALUE + 1
    match node:
        case Scalar():
            return 1
        case Seq(items):
            return 1 + sum(_weight(item, depth + 1) for item in items)
        case Map(entries):
            return 1 + sum(_weight(item, depth + 1) for item in entries.values())
        case Call("Fn::Sub", Seq((Scalar(text), Map(variables)))):
            weights = {name: _weight(item, depth + 2) for name, item in variables.items()}
            return 1 + sum(weights.get(hole, 1) for hole in holes(text))
        case Call(_, argument):
            return 1 + _weight(argument, depth + 1)


def _may_be_nothing(node: Node) -> bool:
    match node:
        case Call("Ref", Scalar("AWS::NoValue")):
            return True
        case Call("Fn::If", Seq((_, yes, no))):
            return _may_be_nothing(yes) or _may_be_nothing(no)
    return False


def _or(node: Node, default: Node) -> Node:
    """A value, and the default where it is nothing."""
    match node:
        case Call("Ref", Scalar("AWS::NoValue")):
            return default
        case Call("Fn::If", Seq((condition, yes, no)) as argument):
            return replace(node, argument=replace(argument, items=(condition, _or(yes, default), _or(no, default))))
    return node


def _listed(node: Node) -> Node:
    """The list that a parameter makes of a text; a list that was joined to be passed is itself."""
    match node:
        case Call("Fn::Join", Seq((Scalar(","), members))) if not _has_comma(members):
            return members
        case Call("Ref", Scalar(name)) if not name.startswith("AWS::"):
            return node
    return Call("Fn::Split", Seq((Scalar(",", node.span), node), node.span), node.span)


def _has_comma(members: Node) -> bool:
    return isinstance(members, Seq) and any(isinstance(item, Scalar) and "," in item.text for item in members.items)


# The whole -----------------------------------------------------------------------------------------------------------


class _Export(NamedTuple):
    """An output that other stacks may import: the parts of its name, and its value."""

    name: tuple[Part, ...]
    stack: _Stack
    output: str


class _Joined:
    """One template of several stacks."""

    def __init__(self, path: str, tops: list[_Stack], reader: _Reader) -> None:
        self._path, self._tops, self._reader = path, tops, reader
        self._stacks = [stack for top in tops for stack in (top, *top.below())]
        self._sections: dict[str, _Section] = {}
        self._share()
        self._names = Source(path, (), self._root(("Parameters", "Mappings")), "yaml", parts=self._parts())
        self._exports = list(self._exported())
        for stack in self._stacks:
            stack.imported = self._import

    def source(self) -> Source:
        """The template of all."""
        self._sections = {}
        for stack in self._stacks:
            self._conditions(stack)
            self._globals(stack)
            self._outputs(stack)
        for top in self._tops:
            self._resources(top, None, ())
        root = self._root(("Parameters", "Mappings", "Metadata", "Rules"))
        first = self._tops[0].source
        said = [note for stack in self._stacks for note in stack.source.diagnostics]
        diagnostics = (*dict.fromkeys(said), *dict.fromkeys(self._reader.diagnostics))
        lines = first.lines if first.path == self._path else ()
        return Source(self._path, lines, root, first.format, diagnostics, parts=self._parts())

    def _parts(self) -> tuple[Source, ...]:
        return tuple(replace(stack.source, name=stack.name) for stack in self._stacks if stack.name)

    def _share(self) -> None:
        """Parameters of sibling templates that are declared alike are one: whoever deploys them gives one value."""
        declared: dict[str, tuple[str, str]] = {}
        for top in self._tops:
            if top.name:
                kinds = {name: (_text(node, "Type"), _text(node, "Default")) for name, node in top.parameters.items()}
                top.shared = frozenset(name for name, kind in kinds.items() if declared.setdefault(name, kind) == kind)

    # Imports

    def _exported(self) -> Iterator[_Export]:
        for stack in self._stacks:
            for name, body in _members(stack.source.root, "Outputs").items():
                export = _members(body, "Export").get("Name")
                if export is not None:
                    parts = self._said(stack.node(export))
                    if parts:
                        yield _Export(parts, stack, name)

    def _said(self, node: Node) -> tuple[Part, ...]:
        return parts_of(meaning(node, self._names, Scenario()))

    def _import(self, call: Call) -> Node | None:
        """The value of the one export that an import names; a stack's name may be whatever stands in its place."""
        asked = self._said(call.argument)
        found = [export for export in self._exports if export.name == asked]
        text = spelled(asked)
        found = found or [export for export in self._exports if asked and _pattern(export).fullmatch(text)]
        return found[0].stack.output(found[0].output) if len(found) == 1 else None

    # Sections

    def _put(self, section: str, name: str, span: Span, node: Node) -> None:
        self._sections.setdefault(section, {}).setdefault(name, (span, node))

    def _root(self, whole: Iterable[str]) -> Map[Node]:
        """The root with the sections that were put together and those of ``whole``, taken as they are."""
        for stack in self._stacks:
            for section in whole:
                self._taken(stack, section)
        first = self._tops[0].source.root
        entries: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for section in dict.fromkeys((*self._kept(first), "Resources", *self._sections)):
            held = self._sections.get(section)
            if held is None and section in first.entries:
                entries[section], keys[section] = first.entries[section], first.keys[section]
                continue
            held = held or {}
            own = first.entries.get(section)
            span = own.span if own is not None else first.span
            entries[section] = Map(
                {name: node for name, (_, node) in held.items()}, {name: key for name, (key, _) in held.items()}, span
            )
            keys[section] = first.keys.get(section, next((key for key, _ in held.values()), first.span))
        transforms = list(self._transforms())
        if transforms:
            entries["Transform"] = Seq(tuple(transforms), transforms[0].span)
            keys["Transform"] = transforms[0].span
        return Map(entries, keys, first.span)

    def _kept(self, first: Map[Node]) -> Iterator[str]:
        """The sections of the first template, those aside that every template needs and one has not."""
        for section in first.entries:
            if section != "Description" or all(section in top.source.root.entries for top in self._tops):
                yield section

    def _transforms(self) -> Iterator[Node]:
        told: set[str] = set()
        for stack in self._stacks:
            listed = stack.source.root.entries.get("Transform")
            for node in listed.items if isinstance(listed, Seq) else (listed,) if listed is not None else ():
                if not isinstance(node, Scalar) or node.text not in told:
                    told.add(node.text if isinstance(node, Scalar) else "")
                    yield node

    def _taken(self, stack: _Stack, section: str) -> None:
        held = stack.source.root.entries.get(section)
        for name, node in held.entries.items() if isinstance(held, Map) else ():
            span = held.keys[name] if isinstance(held, Map) else node.span
            if section == "Parameters" and name in stack.kept:
                self._put(section, stack.parameter_name(name), span, node)
            elif section == "Mappings" or (section == "Metadata" and (not stack.name or name == "cfaudit")):
                self._put(section, stack.prefix + name, span, node)
            elif section == "Rules" and not stack.name:
                self._put(section, name, span, node)

    def _conditions(self, stack: _Stack) -> None:
        held = stack.source.root.entries.get("Conditions")
        for name, node in held.entries.items() if isinstance(held, Map) else ():
            span = held.keys[name] if isinstance(held, Map) else node.span
            if name.startswith(LOOP):
                new, loop = _loop_name(stack, name), stack.loop(node, frozenset(), self._condition(stack))
                self._put("Conditions", new, span, loop)
            else:
                self._put("Conditions", stack.prefix + name, span, _asked(stack, node, frozenset()))

    def _condition(self, stack: _Stack) -> _Repeat:
        return lambda name, node, loops: (stack.prefix + name, _asked(stack, node, loops))

    def _globals(self, stack: _Stack) -> None:
        held = stack.source.root.entries.get("Globals")
        for name, node in held.entries.items() if isinstance(held, Map) else ():
            span = held.keys[name] if isinstance(held, Map) else node.span
            self._put("Globals", stack.prefix + name, span, stack.node(node))

    def _outputs(self, stack: _Stack) -> None:
        """The outputs of the application: those of its own templates, and what a nested stack exports."""
        held = stack.source.root.entries.get("Outputs")
        for name, node in held.entries.items() if isinstance(held, Map) else ():
            span = held.keys[name] if isinstance(held, Map) else node.span
            if stack.within is not None and "Export" not in (node.entries if isinstance(node, Map) else ()):
                continue
            if name.startswith(LOOP):
                loop = stack.loop(node, frozenset(), lambda key, item, inner: self._output(stack, key, item, inner))
                self._put("Outputs", _loop_name(stack, name), span, loop)
            else:
                new, output = self._output(stack, name, node, frozenset())
                self._put("Outputs", new, span, output)

    def _output(self, stack: _Stack, name: str, node: Node, loops: frozenset[str]) -> tuple[str, Node]:
        made = stack.node(node, loops)
        condition = made.entries.get("Condition") if isinstance(made, Map) else None
        if isinstance(made, Map) and isinstance(condition, Scalar):
            named = replace(condition, text=stack.prefix + condition.text)
            made = replace(made, entries={**made.entries, "Condition": named})
        return stack.prefix + name, made

    # Resources

    def _resources(self, stack: _Stack, condition: str | None, after: tuple[str, ...]) -> None:
        """The resources of a stack that is made on a condition, after others."""
        held = stack.source.root.entries.get("Resources")
        if not isinstance(held, Map):
            return

        def made(name: str, node: Node, loops: frozenset[str]) -> tuple[str, Node]:
            if name.startswith(LOOP):
                return _loop_name(stack, name), stack.loop(node, loops, made)
            new = name if name.startswith("Fn::") else stack.prefix + name
            return new, self._resource(stack, node, condition, after, loops)

        for name, node in held.entries.items():
            if name in stack.nested:
                waits = (*after, *_waits(stack, node))
                self._resources(stack.nested[name], self._both(stack, node, condition), waits)
            else:
                new, resource = made(name, node, frozenset())
                self._put("Resources", new, held.keys[name], resource)

    def _resource(
        self, stack: _Stack, node: Node, condition: str | None, after: tuple[str, ...], loops: frozenset[str]
    ) -> Node:
        made = stack.node(node, loops)
        if not isinstance(made, Map) or not isinstance(node, Map):
            return made
        entries, keys = dict(made.entries), dict(made.keys)
        start = next(iter(made.keys.values()), made.span)
        both = self._both(stack, node, condition)
        if both is not None:
            place = node.entries["Condition"].span if "Condition" in node.entries else start
            entries["Condition"] = Scalar(both, place)
            keys.setdefault("Condition", start)
        waits = (*_waits(stack, node), *after)
        if waits and (after or stack.prefix or stack.nested):
            place = node.entries["DependsOn"].span if "DependsOn" in node.entries else start
            entries["DependsOn"] = Seq(tuple(Scalar(name, place) for name in dict.fromkeys(waits)), place)
            keys.setdefault("DependsOn", start)
        return Map(entries, keys, made.span)

    def _both(self, stack: _Stack, node: Node, condition: str | None) -> str | None:
        """The name of a condition that holds where that of a resource and that of its stack do."""
        own = node.entries.get("Condition") if isinstance(node, Map) else None
        if not isinstance(own, Scalar):
            return condition
        name = stack.prefix + own.text
        if condition is None:
            return name
        both = f"{condition} and {name}"
        asked = tuple(Call("Condition", Scalar(each, own.span), own.span) for each in (condition, name))
        self._put("Conditions", both, own.span, Call("Fn::And", Seq(asked, own.span), own.span))
        return both


def _loop_name(stack: _Stack, name: str) -> str:
    return f"{LOOP}{stack.prefix}{name.removeprefix(LOOP)}"


def _asked(stack: _Stack, node: Node, loops: frozenset[str]) -> Node:
    """A condition; ``Condition: Name`` asks another."""
    match node:
        case Map({"Condition": Scalar(name) as asked}):
            return replace(node, entries={"Condition": replace(asked, text=stack.prefix + name)})
        case Call("Fn::And" | "Fn::Or" | "Fn::Not", Seq(items) as argument):
            made = tuple(_asked(stack, item, loops) for item in items)
            return replace(node, argument=replace(argument, items=made))
        case _:
            return stack.node(node, loops)


def _waits(stack: _Stack, node: Node) -> Iterator[str]:
    """What a resource waits for; a nested stack is all its resources."""
    on = node.entries.get("DependsOn") if isinstance(node, Map) else None
    for item in on.items if isinstance(on, Seq) else (on,):
        if isinstance(item, Scalar):
            nested = stack.nested.get(item.text)
            yield from nested.made() if nested else (stack.prefix + item.text,)


def _pattern(export: _Export) -> re.Pattern[str]:
    """The texts that an export's name may be, its own stack's name being any."""
    own = f"{export.stack.prefix}AWS::StackName"
    pieces = [
        "[^,]+" if isinstance(part, Deferred) and part.name == own else re.escape(spelled((part,)))
        for part in export.name
    ]
    return re.compile("".join(pieces))
