"""Python's text in, a module of expressions out."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from cfaudit.model.code.building import Builder, held, part, range_of, start, text_of
from cfaudit.model.code.tree import (
    Class,
    Constant,
    Either,
    Entry,
    Expr,
    Function,
    Home,
    Import,
    Index,
    Joined,
    Member,
    Mixed,
    Module,
    Name,
    Object,
    Scope,
    Sequence,
    Spread,
    Text,
    This,
)

_NOTHING = frozenset(
    {"comment", "pass_statement", "break_statement", "continue_statement", "nonlocal_statement"}
    | {"type", "line_continuation", "type_alias_statement", "type_parameter", "future_import_statement"}
    | {"positional_separator", "keyword_separator"}
)
_BRANCHES = frozenset({"if_statement", "while_statement", "match_statement"})
_THROUGH = frozenset(
    {"block", "elif_clause", "else_clause", "finally_clause", "case_clause", "expression_statement", "with_clause"}
    | {"assert_statement", "delete_statement"}
)
_CONSTANTS = frozenset({"integer", "float", "true", "false", "none", "ellipsis"})
_OPERATIONS = frozenset({"unary_operator", "not_operator", "comparison_operator"})
_COMPREHENSIONS = frozenset(
    {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


def parse(text: str) -> Node:
    """The syntax tree of a text."""
    return _parser().parse(text.encode()).root_node


def read(root: Node, path: str) -> tuple[Module, Home]:
    """The module that a syntax tree is, and where its functions stand. Raises ``UnreadableError``."""
    reader = _Reader(start(root, path))
    for node in root.named_children:
        reader.statement(node)
    reader.at.settle()
    module = reader.at.module
    for name in module.scope.bindings:
        module.exports[name] = [Name(name, module.scope, module.body.at)]
    return module, reader.at.home


class _Reader:
    def __init__(self, at: Builder) -> None:
        self.at = at
        self._expressions: dict[str, Callable[[Node], Expr]] = {
            "identifier": lambda node: Name(text_of(node), self.at.scope, range_of(node)),
            "attribute": self._attribute,
            "subscript": self._subscript,
            "string": self._string,
            "concatenated_string": self._concatenated,
            "dictionary": self._dictionary,
            "list": lambda node: Sequence(self._all(node), range_of(node)),
            "tuple": lambda node: Sequence(self._all(node), range_of(node)),
            "expression_list": lambda node: Sequence(self._all(node), range_of(node)),
            "list_splat": lambda node: Spread(self._first(node), range_of(node)),
            "parenthesized_expression": self._first,
            "await": self._first,
            "call": self._call,
            "binary_operator": self._binary,
            "boolean_operator": self._boolean,
            "conditional_expression": self._conditional,
            "named_expression": self._named,
            "lambda": lambda node: self._function(node, "", named=False),
            "yield": self._yield,
            "assignment": self._assignment,
            "augmented_assignment": self._augmented,
        }
        self._statements: dict[str, Callable[[Node], None]] = {
            "import_statement": self._import,
            "import_from_statement": self._import_from,
            "function_definition": lambda node: self._definition(node, ()),
            "class_definition": self._class,
            "decorated_definition": self._decorated,
            "return_statement": self._return,
            "for_statement": self._for,
            "try_statement": self._try,
            "with_item": self._with_item,
            "global_statement": self._global,
        }

    # Statements

    def statement(self, node: Node) -> None:
        kind = node.type
        if kind in _NOTHING:
            return
        with self.at.nested():
            if handler := self._statements.get(kind):
                handler(node)
            elif kind in _BRANCHES:
                with self.at.branch():
                    self._each(node)
            elif kind in _THROUGH or kind == "with_statement":
                self._each(node)
            else:
                self.at.run(self.expr(node))

    def _each(self, node: Node) -> None:
        for child in node.named_children:
            self.statement(child)

    def _import(self, node: Node) -> None:
        for child in node.named_children:
            if child.type == "aliased_import":
                name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
                if name and alias:
                    self.at.bind(text_of(alias), self.at.imported(text_of(name), None, range_of(child)))
            elif child.type == "dotted_name":
                whole = text_of(child)
                self.at.imported(whole, None, range_of(child))
                head = whole.partition(".")[0]
                self.at.bind(head, Import(head, None, self.at.module, range_of(child)))

    def _import_from(self, node: Node) -> None:
        source = node.child_by_field_name("module_name")
        module = text_of(source) if source else ""
        for child in node.named_children:
            if child.type == "wildcard_import":
                self.at.module.starred.append(self.at.imported(module, None, range_of(child)))
            elif child.type == "aliased_import":
                name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
                if name and alias:
                    self.at.bind(text_of(alias), self.at.imported(module, text_of(name), range_of(child)))
            elif child.type == "dotted_name" and child != source:
                self.at.bind(text_of(child), self.at.imported(module, text_of(child), range_of(child)))

    def _decorated(self, node: Node) -> None:
        decorators = tuple(self._first(child) for child in node.named_children if child.type == "decorator")
        for decorator in decorators:
            self.at.run(decorator)
        definition = node.child_by_field_name("definition")
        if definition is not None and definition.type == "function_definition":
            self._definition(definition, decorators)
        elif definition is not None:
            self._class(definition)

    def _definition(self, node: Node, decorators: tuple[Expr, ...]) -> None:
        name = node.child_by_field_name("name")
        title = text_of(name) if name else ""
        made = self._function(node, title, named=True)
        made.decorators = decorators
        if self.at.scope.kind == "class" and self.at.owner:
            self.at.owner.members.setdefault(title, []).append(made)
        else:
            self.at.bind(title, made)

    def _function(self, node: Node, name: str, *, named: bool) -> Function:
        owner = self.at.owner if self.at.scope.kind == "class" else None
        with self.at.inside(name, range_of(node), named=named) as function:
            parameters = node.child_by_field_name("parameters")
            keyword_only = False
            for index, child in enumerate(parameters.named_children if parameters else []):
                if child.type in ("keyword_separator", "list_splat_pattern"):
                    keyword_only = True
                if owner is not None and index == 0 and child.type == "identifier":
                    function.takes_self = True
                    self.at.parameter(text_of(child), range_of(child))
                    self.at.bind(text_of(child), This(owner, range_of(child)))
                else:
                    self._parameter(child, positional=not keyword_only)
            body = node.child_by_field_name("body")
            if body and node.type == "lambda":
                self.at.give(self.expr(body))
            elif body:
                self._each(body)
        return function

    def _parameter(self, node: Node, *, positional: bool) -> None:
        match node.type:
            case "identifier":
                name, default = node, None
            case "default_parameter" | "typed_default_parameter":
                found, default = node.child_by_field_name("name"), node.child_by_field_name("value")
                if found is None:
                    return
                name = found
            case "typed_parameter":
                name, default = node.named_children[0], None
            case _:
                name, default = node, None
        if name.type in ("list_splat_pattern", "dictionary_splat_pattern"):
            inner = name.named_children[0] if name.named_children else name
            self.at.bind(text_of(inner), Mixed((), range_of(name)))
        elif name.type == "identifier":
            made: Expr = self.at.parameter(text_of(name), range_of(name), positional=positional)
            if default:
                given = self.expr(default)
                self.at.run(given)
                made = Either((made, given), range_of(node))
            self.at.bind(text_of(name), made)

    def _class(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        bases = node.child_by_field_name("superclasses")
        parents = bases.named_children if bases else []
        base = next((child for child in parents if child.type != "keyword_argument"), None)
        parent = self.expr(base) if base else None
        with self.at.classy(text_of(name) if name else "", parent, range_of(node)) as made:
            if body:
                self._each(body)
        for title, values in made.scope.bindings.items():
            made.members.setdefault(title, []).extend(values)
        self.at.bind(made.name, made)

    def _return(self, node: Node) -> None:
        value = next((child for child in node.named_children if child.type != "comment"), None)
        self.at.give(self.expr(value) if value else None)

    def _for(self, node: Node) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        with self.at.branch():
            if left and right:
                items = self.expr(right)
                self.at.run(items)
                self._target(left, Index(items, Mixed((), items.at), range_of(left)))
            for child in node.named_children:
                if child not in (left, right):
                    self.statement(child)

    def _try(self, node: Node) -> None:
        for child in node.named_children:
            if child.type in ("except_clause", "except_group_clause"):
                with self.at.catching():
                    for part in child.named_children:
                        if part.type == "as_pattern":
                            self._as_pattern(part, opaque=True)
                        else:
                            self.statement(part)
            else:
                self.statement(child)

    def _global(self, node: Node) -> None:
        for child in node.named_children:
            name = text_of(child)
            self.at.scope.bindings[name] = self.at.module.scope.bindings.setdefault(name, [])

    def _with_item(self, node: Node) -> None:
        value = node.child_by_field_name("value")
        if value is not None and value.type == "as_pattern":
            self._as_pattern(value, opaque=False)
        elif value is not None:
            self.at.run(self.expr(value))

    def _as_pattern(self, node: Node, *, opaque: bool) -> Expr:
        value = self.expr(node.named_children[0])
        self.at.run(value)
        alias = node.child_by_field_name("alias")
        if alias is not None and alias.named_children:
            taken = Mixed((), range_of(alias)) if opaque else Member(value, "__enter__", range_of(alias))
            self._target(alias.named_children[0], taken)
        return value

    # Expressions

    def expr(self, node: Node) -> Expr:
        """The expression that a node is."""
        kind = node.type
        if make := self._expressions.get(kind):
            with self.at.nested():
                return make(node)
        if kind in _CONSTANTS:
            return Constant(text_of(node), range_of(node))
        with self.at.nested():
            if kind in _COMPREHENSIONS:
                return self._comprehension(node)
            if kind == "as_pattern":
                return self._as_pattern(node, opaque=True)
            effect = "throw" if kind == "raise_statement" else "value" if kind in _OPERATIONS else ""
            return Mixed(self._all(node), range_of(node), effect)

    def _all(self, node: Node) -> tuple[Expr, ...]:
        return tuple(self.expr(child) for child in node.named_children if child.type not in _NOTHING)

    def _first(self, node: Node) -> Expr:
        inner = next((child for child in node.named_children if child.type not in _NOTHING), None)
        return self.expr(inner) if inner else Mixed((), range_of(node))

    def _attribute(self, node: Node) -> Expr:
        of, key = part(node, "object"), part(node, "attribute")
        return Member(self.expr(of), text_of(key), range_of(node))

    def _subscript(self, node: Node) -> Expr:
        of, index = part(node, "value"), part(node, "subscript")
        key = self.expr(index)
        if isinstance(key, Text):
            return Member(self.expr(of), key.text, range_of(node))
        if isinstance(key, Constant) and key.text.isdecimal():
            return Member(self.expr(of), key.text, range_of(node))
        return Index(self.expr(of), key, range_of(node))

    def _string(self, node: Node) -> Expr:
        holes = [child for child in node.named_children if child.type == "interpolation"]
        if not holes:
            return Text(_literal(node), range_of(node))
        parts: list[Expr] = []
        for child in node.named_children:
            if child.type == "interpolation":
                expression = child.child_by_field_name("expression")
                parts.append(self.expr(expression) if expression else Mixed((), range_of(child)))
            elif child.type == "string_content":
                parts.append(Text(text_of(child), range_of(child)))
        return Joined(tuple(parts), range_of(node))

    def _concatenated(self, node: Node) -> Expr:
        parts = self._all(node)
        if all(isinstance(part, Text) for part in parts):
            return Text("".join(part.text for part in parts if isinstance(part, Text)), range_of(node))
        return Joined(parts, range_of(node))

    def _dictionary(self, node: Node) -> Expr:
        entries = []
        for child in node.named_children:
            if child.type == "pair":
                entries.append(self._pair(child))
            elif child.type == "dictionary_splat":
                entries.append(Entry(None, None, self._first(child), range_of(child)))
        return Object(tuple(entries), range_of(node))

    def _pair(self, node: Node) -> Entry:
        key, value = part(node, "key"), part(node, "value")
        name = self.expr(key)
        made = self._function(value, "", named=True) if value.type == "lambda" else self.expr(value)
        if isinstance(name, Text):
            return Entry(name.text, None, made, range_of(node))
        return Entry(None, name, made, range_of(node))

    def _call(self, node: Node) -> Expr:
        callee, arguments = part(node, "function"), part(node, "arguments")
        if arguments.type == "generator_expression":
            return self.at.call(self.expr(callee), [self.expr(arguments)], range_of(node))
        given: list[Expr] = []
        keywords: list[Entry] = []
        for child in arguments.named_children:
            if child.type == "keyword_argument":
                name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
                if name and value:
                    keywords.append(Entry(text_of(name), None, self.expr(value), range_of(child)))
            elif child.type == "dictionary_splat":
                keywords.append(Entry(None, None, self._first(child), range_of(child)))
            elif child.type not in _NOTHING:
                given.append(self.expr(child))
        named = Object(tuple(keywords), range_of(arguments), held=True) if keywords else None
        return self.at.call(self.expr(callee), given, range_of(node), keywords=named)

    def _binary(self, node: Node) -> Expr:
        """``a + b + c`` is nested to the left as deep as it is long, and so read without recursion."""
        operator = node.child_by_field_name("operator")
        sign = text_of(operator) if operator else ""
        operands: list[Node] = []
        rest: Node | None = node
        while rest is not None and rest.type == "binary_operator":
            inner = rest.child_by_field_name("operator")
            left, right = rest.child_by_field_name("left"), rest.child_by_field_name("right")
            if inner is None or text_of(inner) != sign or left is None or right is None:
                break
            operands.append(right)
            rest = left
        if rest is not None:
            operands.append(rest)
        parts = tuple(self.expr(operand) for operand in reversed(operands))
        at = range_of(node)
        if sign == "+" and all(isinstance(part, Text) for part in parts):
            return Text("".join(part.text for part in parts if isinstance(part, Text)), at)
        if sign == "+" and any(isinstance(part, (Text, Joined)) for part in parts):
            return Joined(parts, at)
        return Mixed(parts, at)

    def _boolean(self, node: Node) -> Expr:
        left, right, operator = (part(node, name) for name in ("left", "right", "operator"))
        first, second, at = self.expr(left), self.expr(right), range_of(node)
        if operator.type == "or":
            return Either((first, second), at)
        self.at.run(first)
        self.at.function.branches = True
        return Either((Constant("False", at), second), at)

    def _conditional(self, node: Node) -> Expr:
        yes, condition, no = self._all(node)
        self.at.run(condition)
        self.at.function.branches = True
        return Either((yes, no), range_of(node))

    def _named(self, node: Node) -> Expr:
        name, value = part(node, "name"), part(node, "value")
        made = self.expr(value)
        self.at.bind(text_of(name), made)
        return made

    def _yield(self, node: Node) -> Expr:
        self.at.function.generator = True
        return Mixed(self._all(node), range_of(node))

    def _comprehension(self, node: Node) -> Expr:
        parts: list[Expr] = []
        self.at.function.branches = True
        for child in node.named_children:
            if child.type == "for_in_clause":
                left, right = child.child_by_field_name("left"), child.child_by_field_name("right")
                if left and right:
                    items = self.expr(right)
                    parts.append(items)
                    self._target(left, Index(items, Mixed((), items.at), range_of(left)))
        body = node.child_by_field_name("body")
        if body is not None and body.type == "pair":
            entry = self._pair(body)
            parts.extend(part for part in (entry.computed, entry.value) if part)
        elif body is not None:
            parts.append(self.expr(body))
        parts.extend(self._first(child) for child in node.named_children if child.type == "if_clause")
        return Mixed(tuple(parts), range_of(node))

    def _assignment(self, node: Node) -> Expr:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return Mixed((), range_of(node))
        if right.type == "lambda" and left.type == "identifier":
            made: Expr = self._function(right, text_of(left), named=True)
            self._target(left, made)
            return Mixed((), range_of(node))
        made = held(self.expr(right))
        self.at.run(made, held=True)
        return self._target(left, made) or Mixed((), range_of(node))

    def _augmented(self, node: Node) -> Expr:
        left, right = part(node, "left"), part(node, "right")
        joined = Mixed((self.expr(left), self.expr(right)), range_of(node))
        self._target(left, joined)
        return joined

    def _target(self, node: Node, value: Expr) -> Expr | None:
        """What an assignment assigns to; a member of something is an expression of its own."""
        if node.type == "identifier":
            self.at.bind(text_of(node), value)
        elif node.type in ("pattern_list", "tuple_pattern", "list_pattern"):
            for index, child in enumerate(node.named_children):
                at = range_of(child)
                items = value.items if isinstance(value, Sequence) else ()
                part = items[index] if index < len(items) else Member(value, str(index), at)
                self._target(child, part)
        elif node.type == "assignment":
            inner = node.child_by_field_name("left")
            return self._target(inner, value) if inner else None
        elif node.type in ("attribute", "subscript"):
            place = self.expr(node)
            owner = self._owner_of(place)
            if owner is not None and isinstance(place, Member):
                owner.members.setdefault(place.key, []).append(value)
            else:
                self.at.change(place, value)
            return place
        return None

    def _owner_of(self, place: Expr) -> Class | None:
        """The class that ``self`` is an instance of, where the place is ``self.x``."""
        if not isinstance(place, Member) or not isinstance(place.of, Name):
            return None
        scope: Scope | None = place.of.scope
        while scope and place.of.text not in scope.bindings:
            scope = scope.parent
        bound = scope.bindings[place.of.text] if scope else []
        return next((each.owner for each in bound if isinstance(each, This)), None)


def _literal(node: Node) -> str:
    text = text_of(node)
    try:
        value = ast.literal_eval(text.lstrip("fF")) if "\\" in text else None
    except (ValueError, SyntaxError):
        value = None
    if isinstance(value, str):
        return value
    return "".join(text_of(child) for child in node.named_children if child.type == "string_content")
