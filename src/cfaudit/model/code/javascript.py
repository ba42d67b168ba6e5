"""JavaScript's or TypeScript's text in, a module of expressions out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

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
    Index,
    Joined,
    Member,
    Mixed,
    Module,
    Name,
    Object,
    Sequence,
    Spread,
    Text,
    This,
)

_FUNCTIONS = frozenset(
    {"arrow_function", "function_expression", "function_declaration", "generator_function", "method_definition"}
    | {"generator_function_declaration", "function"}
)
_SAME = frozenset(
    {"parenthesized_expression", "await_expression", "as_expression", "satisfies_expression", "non_null_expression"}
    | {"computed_property_name", "else_clause", "finally_clause"}
)
_NOTHING = frozenset(
    {"comment", "empty_statement", "break_statement", "continue_statement", "debugger_statement", "type_annotation"}
    | {"interface_declaration", "type_alias_declaration", "ambient_declaration", "type_arguments", "type_parameters"}
    | {"hash_bang_line", "html_comment", "function_signature", "decorator", "import_alias", "accessibility_modifier"}
    | {"override_modifier", "method_signature", "abstract_method_signature", "index_signature", "statement_identifier"}
)
_BRANCHES = frozenset(
    {"if_statement", "for_statement", "while_statement", "do_statement", "switch_statement", "labeled_statement"}
)
_BLOCKS = frozenset({"statement_block", "switch_body", "switch_case", "switch_default", "class_static_block"})
_CONSTANTS = frozenset({"number", "true", "false", "null", "undefined", "regex"})
_OPERATIONS = frozenset({"unary_expression"})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}


@cache
def _parser(*, typed: bool) -> Parser:
    if typed:
        import tree_sitter_typescript

        return Parser(Language(tree_sitter_typescript.language_typescript()))
    import tree_sitter_javascript

    return Parser(Language(tree_sitter_javascript.language()))


def parse(text: str, *, typed: bool) -> Node:
    """The syntax tree of a text."""
    return _parser(typed=typed).parse(text.encode()).root_node


def read(root: Node, path: str) -> tuple[Module, Home]:
    """The module that a syntax tree is, and where its functions stand. Raises ``UnreadableError``."""
    reader = _Reader(start(root, path))
    for node in root.named_children:
        reader.statement(node)
    reader.at.settle()
    return reader.at.module, reader.at.home


class _Reader:
    def __init__(self, at: Builder) -> None:
        self.at = at
        self._expressions: dict[str, Callable[[Node], Expr]] = {
            "identifier": self._name,
            "shorthand_property_identifier": self._name,
            "member_expression": self._member,
            "subscript_expression": self._subscript,
            "string": lambda node: Text(_string(node), range_of(node)),
            "template_string": self._template,
            "object": self._object,
            "array": lambda node: Sequence(self._all(node), range_of(node)),
            "spread_element": lambda node: Spread(self.expr(node.named_children[0]), range_of(node)),
            "call_expression": self._call,
            "new_expression": self._new,
            "assignment_expression": self._assignment,
            "augmented_assignment_expression": self._augmented,
            "binary_expression": self._binary,
            "ternary_expression": self._ternary,
            "class": lambda node: self._class(node),
            "this": lambda node: This(self.at.owner, range_of(node)),
        }

    # Statements

    def statement(self, node: Node) -> None:
        kind = node.type
        if kind in _NOTHING:
            return
        with self.at.nested():
            if kind in _BLOCKS:
                with self.at.block():
                    self._statements(node)
            elif kind in _BRANCHES:
                with self.at.block(), self.at.branch():
                    self._statements(node)
            elif handler := self._handler(kind):
                handler(node)
            elif kind in ("else_clause", "finally_clause", "program", "switch_case"):
                self._statements(node)
            else:
                self.at.run(self.expr(node))

    def _handler(self, kind: str) -> Callable[[Node], None] | None:
        match kind:
            case "lexical_declaration" | "variable_declaration" | "using_declaration":
                return self._declaration
            case "function_declaration" | "generator_function_declaration":
                return self._function_declaration
            case "class_declaration" | "abstract_class_declaration":
                return self._class_declaration
            case "return_statement":
                return self._return
            case "for_in_statement":
                return self._for_in
            case "try_statement":
                return self._try
            case "import_statement":
                return self._import
            case "export_statement":
                return self._export
            case "enum_declaration":
                return self._enum
            case "expression_statement":
                return self._expression
        return None

    def _expression(self, node: Node) -> None:
        inner = next((child for child in node.named_children if child.type not in _NOTHING), None)
        if inner is not None and inner.type == "assignment_expression":
            self.at.run(self.expr(inner), held=part(inner, "left").type != "subscript_expression")
        elif inner is not None:
            self.at.run(self.expr(inner))

    def _statements(self, node: Node) -> None:
        for child in node.named_children:
            self.statement(child)

    def _declaration(self, node: Node) -> None:
        hoisted = node.type == "variable_declaration"
        for child in node.named_children:
            target, value = child.child_by_field_name("name"), child.child_by_field_name("value")
            if child.type != "variable_declarator" or target is None:
                continue
            if value is None:
                self._declare_only(target, hoisted=hoisted)
                continue
            made = self._bound(value, text_of(target))
            if not (isinstance(made, Function) and made.named):
                self.at.run(made, held=True)
            self._pattern(target, made, hoisted=hoisted)

    def _declare_only(self, target: Node, *, hoisted: bool) -> None:
        if target.type == "identifier":
            scope = self.at.scope
            while hoisted and scope.kind == "block" and scope.parent:
                scope = scope.parent
            scope.bindings.setdefault(text_of(target), [])

    def _bound(self, node: Node, name: str) -> Expr:
        """A value that is given a name: a function then runs only where the name is used."""
        while node.type in ("parenthesized_expression", "as_expression", "satisfies_expression"):
            node = node.named_children[0]
        if node.type in _FUNCTIONS:
            return self._function(node, name, named=True)
        if node.type == "class":
            return self._class(node)
        return held(self.expr(node))

    def _pattern(self, target: Node, value: Expr, *, hoisted: bool = False, declares: bool = True) -> None:
        """Names in a declaration or on the left of ``=``, each bound to the part of the value it takes."""
        kind = target.type
        if kind in ("identifier", "shorthand_property_identifier_pattern", "shorthand_property_identifier"):
            if declares:
                self.at.bind(text_of(target), value, hoisted=hoisted)
            else:
                self.at.assign(text_of(target), value)
        elif kind in ("assignment_pattern", "object_assignment_pattern"):
            left, right = target.child_by_field_name("left"), target.child_by_field_name("right")
            if left and right:
                default = self.expr(right)
                key = text_of(left) if left.type.startswith("shorthand") else None
                taken = value if key is None else Member(value, key, range_of(left))
                self._pattern(left, Either((taken, default), range_of(target)), hoisted=hoisted, declares=declares)
        elif kind == "object_pattern":
            for child in target.named_children:
                self._object_pattern(child, value, hoisted=hoisted, declares=declares)
        elif kind == "array_pattern":
            for index, child in enumerate(child for child in target.children if child.is_named):
                taken = Member(value, str(index), range_of(child))
                self._pattern(child, taken, hoisted=hoisted, declares=declares)
        elif kind == "rest_pattern":
            rest = Mixed((value,), range_of(target))
            self.at.run(rest)
            self._pattern(target.named_children[0], rest, hoisted=hoisted, declares=declares)
        elif kind not in _NOTHING:
            place = self.expr(target)
            self._assign_to(place, value)
            self.at.run(place)

    def _object_pattern(self, child: Node, value: Expr, *, hoisted: bool, declares: bool) -> None:
        if child.type == "shorthand_property_identifier_pattern":
            taken: Expr = Member(value, text_of(child), range_of(child))
            self.at.run(taken)
            self._pattern(child, taken, hoisted=hoisted, declares=declares)
        elif child.type == "object_assignment_pattern":
            left = child.child_by_field_name("left")
            self.at.run(Member(value, text_of(left) if left else "", range_of(child)))
            self._pattern(child, value, hoisted=hoisted, declares=declares)
        elif child.type == "pair_pattern":
            key, inner = child.child_by_field_name("key"), child.child_by_field_name("value")
            if key and inner:
                name = _key(key)
                at = range_of(key)
                taken = Member(value, name, at) if name is not None else Index(value, self.expr(key), at)
                self.at.run(taken)
                self._pattern(inner, taken, hoisted=hoisted, declares=declares)
        else:
            self._pattern(child, value, hoisted=hoisted, declares=declares)

    def _function_declaration(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        title = text_of(name) if name else "default"
        self.at.bind(title, self._function(node, title, named=True))

    def _class_declaration(self, node: Node) -> None:
        made = self._class(node)
        if isinstance(made, Class):
            self.at.bind(made.name, made)

    def _return(self, node: Node) -> None:
        value = next((child for child in node.named_children if child.type != "comment"), None)
        self.at.give(self.expr(value) if value else None)

    def _for_in(self, node: Node) -> None:
        left, right, body = (node.child_by_field_name(name) for name in ("left", "right", "body"))
        with self.at.block(), self.at.branch():
            if right:
                items = self.expr(right)
                self.at.run(items)
                if left:
                    declares = node.child_by_field_name("kind") is not None
                    self._pattern(left, Index(items, Mixed((), items.at), range_of(left)), declares=declares)
            if body:
                self.statement(body)

    def _try(self, node: Node) -> None:
        for name in ("body", "handler", "finalizer"):
            part = node.child_by_field_name(name)
            if part is None:
                continue
            if name == "handler":
                with self.at.block(), self.at.catching():
                    parameter, body = part.child_by_field_name("parameter"), part.child_by_field_name("body")
                    if parameter:
                        self._pattern(parameter, Mixed((), range_of(parameter)))
                    if body:
                        self.statement(body)
            else:
                self.statement(part)

    def _enum(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        entries = []
        for child in body.named_children if body else ():
            key, value = child.child_by_field_name("name"), child.child_by_field_name("value")
            if key and value:
                entries.append(Entry(_key(key), None, self.expr(value), range_of(child)))
        if name:
            self.at.bind(text_of(name), Object(tuple(entries), range_of(node)))

    # Modules

    def _import(self, node: Node) -> None:
        source = node.child_by_field_name("source")
        if any(child.type == "type" for child in node.children):
            return
        for child in node.named_children:
            if child.type == "import_require_clause":
                source = child.child_by_field_name("source")
                if source:
                    made = self.at.imported(_string(source), None, range_of(node))
                    self.at.bind(text_of(child.named_children[0]), made)
                return
        if source is None:
            return
        module = _string(source)
        clause = next((child for child in node.named_children if child.type == "import_clause"), None)
        if clause is None:
            self.at.imported(module, None, range_of(node))
            return
        for child in clause.named_children:
            if child.type == "identifier":
                self.at.bind(text_of(child), self.at.imported(module, "default", range_of(child)))
            elif child.type == "namespace_import":
                self.at.bind(text_of(child.named_children[0]), self.at.imported(module, None, range_of(child)))
            else:
                self._specifiers(child, module)

    def _specifiers(self, node: Node, module: str) -> None:
        for child in node.named_children:
            name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
            if child.type == "import_specifier" and name and not any(part.type == "type" for part in child.children):
                made = self.at.imported(module, _key(name) or "", range_of(child))
                self.at.bind(text_of(alias or name), made)

    def _export(self, node: Node) -> None:
        exports = self.at.module.exports
        declaration, value = node.child_by_field_name("declaration"), node.child_by_field_name("value")
        source = node.child_by_field_name("source")
        default = any(child.type == "default" for child in node.children)
        if declaration:
            before = {name: len(bound) for name, bound in self.at.scope.bindings.items()}
            self.statement(declaration)
            for name, bound in self.at.scope.bindings.items():
                if len(bound) > before.get(name, 0):
                    exports.setdefault("default" if default else name, []).append(
                        Name(name, self.at.scope, range_of(node))
                    )
        elif value:
            made = self._bound(value, "default")
            if not (isinstance(made, Function) and made.named):
                self.at.run(made, held=True)
            exports.setdefault("default", []).append(made)
        elif any(child.type == "=" for child in node.children):
            exports.setdefault("=", []).append(self._bound(node.named_children[-1], "="))
        elif any(child.type == "*" for child in node.children) and source:
            self.at.module.starred.append(self.at.imported(_string(source), None, range_of(node)))
        for child in node.named_children:
            if child.type == "namespace_export" and source:
                made = self.at.imported(_string(source), None, range_of(node))
                exports.setdefault(text_of(child.named_children[0]), []).append(made)
            if child.type == "export_clause":
                self._export_clause(child, _string(source) if source else None)

    def _export_clause(self, node: Node, source: str | None) -> None:
        for child in node.named_children:
            name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
            if name:
                own = _key(name) or ""
                value: Expr = (
                    self.at.imported(source, own, range_of(child))
                    if source
                    else Name(own, self.at.scope, range_of(child))
                )
                self.at.module.exports.setdefault(_key(alias or name) or "", []).append(value)

    # Functions and classes

    def _function(self, node: Node, name: str, *, named: bool) -> Function:
        owner = self.at.owner
        if node.type not in ("arrow_function", "method_definition"):
            self.at.owner = None
        with self.at.inside(name, range_of(node), named=named) as function:
            function.generator = node.type.startswith("generator") or any(child.type == "*" for child in node.children)
            single = node.child_by_field_name("parameter")
            parameters = node.child_by_field_name("parameters")
            for child in [single] if single else parameters.named_children if parameters else []:
                self._parameter(child)
            body = node.child_by_field_name("body")
            if body and body.type == "statement_block":
                self._statements(body)
            elif body:
                self.at.give(self.expr(body))
        self.at.owner = owner
        return function

    def _parameter(self, node: Node) -> None:
        if node.type in ("comment", "this"):
            return
        default = node.child_by_field_name("value")
        target = node.child_by_field_name("pattern") or node
        if target.type == "assignment_pattern":
            left, default = target.child_by_field_name("left"), target.child_by_field_name("right")
            target = left or target
        name = text_of(target) if target.type == "identifier" else ""
        made: Expr = self.at.parameter(name, range_of(target))
        if target.type == "rest_pattern":
            made = Mixed((made,), range_of(target))
            target = target.named_children[0]
        if default:
            given = self.expr(default)
            self.at.run(given)
            made = Either((made, given), range_of(node))
        self._pattern(target, made)

    def _class(self, node: Node) -> Expr:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        heritage = next((child for child in node.named_children if child.type == "class_heritage"), None)
        base = next(iter(heritage.named_children), None) if heritage else None
        if base is not None and base.type == "extends_clause":
            base = base.child_by_field_name("value")
        parent = self.expr(base) if base is not None else None
        with self.at.classy(text_of(name) if name else "", parent, range_of(node)) as made:
            for child in body.named_children if body else ():
                self._class_member(made, child)
        return made

    def _class_member(self, made: Class, node: Node) -> None:
        if node.type == "class_static_block":
            with self.at.inside("", range_of(node), named=False) as function:
                self._statements(node)
            made.body.append(function)
            return
        key = node.child_by_field_name("property") or node.child_by_field_name("name")
        name = _key(key) if key else None
        if node.type == "method_definition":
            made.members.setdefault(name or "", []).append(self._function(node, name or "", named=True))
        elif node.type in ("field_definition", "public_field_definition"):
            value = node.child_by_field_name("value")
            if value:
                bound = self._bound(value, name or "")
                made.members.setdefault(name or "", []).append(bound)
                made.body.append(bound)

    # Expressions

    def expr(self, node: Node) -> Expr:
        """The expression that a node is."""
        kind = node.type
        if make := self._expressions.get(kind):
            with self.at.nested():
                return make(node)
        if kind in _CONSTANTS:
            return Constant(text_of(node), range_of(node))
        if kind in _SAME and (inner := next((each for each in node.named_children if each.type not in _NOTHING), None)):
            with self.at.nested():
                return self.expr(inner)
        with self.at.nested():
            if kind in _FUNCTIONS:
                return self._function(node, "", named=False)
            if kind in ("sequence_expression",):
                return self._sequence(node)
            effect = "throw" if kind == "throw_statement" else "update" if kind == "update_expression" else ""
            effect = "value" if kind in _OPERATIONS else effect
            return Mixed(self._all(node), range_of(node), effect)

    def _all(self, node: Node) -> tuple[Expr, ...]:
        return tuple(self.expr(child) for child in node.named_children if child.type not in _NOTHING)

    def _name(self, node: Node) -> Expr:
        text = text_of(node)
        return Constant(text, range_of(node)) if text == "undefined" else Name(text, self.at.scope, range_of(node))

    def _member(self, node: Node) -> Expr:
        of, key = part(node, "object"), part(node, "property")
        return Member(self.expr(of), text_of(key), range_of(node))

    def _subscript(self, node: Node) -> Expr:
        of, index = part(node, "object"), part(node, "index")
        key = self.expr(index)
        if isinstance(key, Text):
            return Member(self.expr(of), key.text, range_of(node))
        if isinstance(key, Constant) and key.text.isdecimal():
            return Member(self.expr(of), key.text, range_of(node))
        return Index(self.expr(of), key, range_of(node))

    def _template(self, node: Node) -> Expr:
        parts: list[Expr] = []
        for child in node.named_children:
            if child.type == "template_substitution":
                parts.extend(self._all(child))
            elif child.type == "escape_sequence":
                parts.append(Text(_escaped(text_of(child)), range_of(child)))
            else:
                parts.append(Text(text_of(child), range_of(child)))
        if all(isinstance(part, Text) for part in parts):
            return Text("".join(part.text for part in parts if isinstance(part, Text)), range_of(node))
        return Joined(tuple(parts), range_of(node))

    def _object(self, node: Node) -> Expr:
        entries = []
        for child in node.named_children:
            at = range_of(child)
            if child.type == "pair":
                key, value = part(child, "key"), part(child, "value")
                name = _key(key)
                computed = None if name is not None else self.expr(key)
                entries.append(Entry(name, computed, self._value(value), at))
            elif child.type == "shorthand_property_identifier":
                entries.append(Entry(text_of(child), None, self._name(child), at))
            elif child.type == "method_definition":
                name = _key(part(child, "name"))
                owner, self.at.owner = self.at.owner, None
                made = self._function(child, name or "", named=True)
                self.at.owner = owner
                entries.append(Entry(name, None if name is not None else Constant("", at), made, at))
            elif child.type == "spread_element":
                entries.append(Entry(None, None, self.expr(child.named_children[0]), at))
        return Object(tuple(entries), range_of(node))

    def _value(self, node: Node) -> Expr:
        """A property's value: a function in an object runs where the property is used, or the object goes elsewhere."""
        return self._function(node, "", named=True) if node.type in _FUNCTIONS else self.expr(node)

    def _call(self, node: Node) -> Expr:
        callee, arguments = part(node, "function"), part(node, "arguments")
        at = range_of(node)
        if arguments.type == "template_string":
            return Mixed((self.expr(callee), self.expr(arguments)), at, "call")
        given = [self.expr(child) for child in arguments.named_children if child.type not in _NOTHING]
        if callee.type == "import" or (callee.type == "identifier" and text_of(callee) == "require"):
            if len(given) == 1 and isinstance(given[0], Text):
                return self.at.imported(given[0].text, None, range_of(node))
            return Mixed(tuple(given), at, "import")
        return self.at.call(self.expr(callee), given, at)

    def _new(self, node: Node) -> Expr:
        callee, arguments = part(node, "constructor"), part(node, "arguments")
        children = arguments.named_children if arguments else []
        given = [self.expr(child) for child in children if child.type not in _NOTHING]
        return self.at.call(self.expr(callee), given, range_of(node), new=True)

    def _assignment(self, node: Node) -> Expr:
        left, right = part(node, "left"), part(node, "right")
        exported = self._exports(left)
        on_this = left.type == "member_expression" and left.named_children[0].type == "this"
        keeps = exported is not None or on_this or left.type == "identifier"
        value = self._bound(right, text_of(left)) if keeps else self.expr(right)
        if exported is not None:
            self.at.module.exports.setdefault(exported, []).append(value)
            return Mixed((), range_of(node)) if isinstance(value, Function) else value
        if left.type in ("identifier", "object_pattern", "array_pattern"):
            self._pattern(left, value, declares=False)
            return Mixed((), range_of(node)) if isinstance(value, Function) and value.named else value
        place = self.expr(left)
        self._assign_to(place, value)
        return Mixed((place, value), range_of(node))

    def _assign_to(self, place: Expr, value: Expr) -> None:
        match place:
            case Member(This(owner), key) if owner is not None:
                owner.members.setdefault(key, []).append(value)
            case _:
                self.at.change(place, value)

    def _exports(self, left: Node) -> str | None:
        """The export that ``exports.x =`` or ``module.exports =`` assigns; CommonJS's whole object is ``=``."""
        text = text_of(left)
        if text == "module.exports":
            return "="
        for head in ("module.exports.", "exports."):
            if left.type == "member_expression" and text.startswith(head) and text[len(head) :].isidentifier():
                return text[len(head) :]
        return None

    def _augmented(self, node: Node) -> Expr:
        left, right, operator = (part(node, name) for name in ("left", "right", "operator"))
        value = self.expr(right)
        if operator and text_of(operator) in ("??=", "||=") and left.type == "identifier":
            self.at.assign(text_of(left), value)
            return value
        place = self.expr(left)
        joined = Mixed((place, value), range_of(node))
        if left.type == "identifier":
            self.at.assign(text_of(left), joined)
        else:
            self._assign_to(place, joined)
        return joined

    def _binary(self, node: Node) -> Expr:
        """``a + b + c`` is nested to the left as deep as it is long, and so read without recursion."""
        operator = node.child_by_field_name("operator")
        sign = text_of(operator) if operator else ""
        operands: list[Node] = []
        rest: Node | None = node
        while rest is not None and rest.type == "binary_expression":
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
        if sign in ("||", "??"):
            return Either(parts, at)
        if sign == "&&":
            for before in parts[:-1]:
                self.at.run(before)
            self.at.function.branches = True
            return Either((Constant("false", at), parts[-1]), at)
        if sign == "+":
            if all(isinstance(part, Text) for part in parts):
                return Text("".join(part.text for part in parts if isinstance(part, Text)), at)
            return Joined(parts, at, interpolates=False)
        return Mixed(parts, at, "value")

    def _ternary(self, node: Node) -> Expr:
        condition, yes, no = (part(node, name) for name in ("condition", "consequence", "alternative"))
        self.at.run(self.expr(condition))
        self.at.function.branches = True
        return Either((self.expr(yes), self.expr(no)), range_of(node))

    def _sequence(self, node: Node) -> Expr:
        parts = self._all(node)
        for before in parts[:-1]:
            self.at.run(before)
        return parts[-1]


def _key(node: Node) -> str | None:
    """A property's name; None where it is computed."""
    match node.type:
        case "property_identifier" | "private_property_identifier" | "identifier" | "number":
            return text_of(node)
        case "string":
            return _string(node)
        case "computed_property_name":
            inner = node.named_children[0]
            return _string(inner) if inner.type == "string" else None
    return None


def _string(node: Node) -> str:
    pieces = []
    for child in node.named_children:
        text = text_of(child)
        pieces.append(_escaped(text) if child.type == "escape_sequence" else text)
    return "".join(pieces)


def _escaped(text: str) -> str:
    """What an escape sequence stands for."""
    body = text[1:]
    if body[:1] in ("x", "u"):
        digits = body[1:].strip("{}")
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            return text
    return _ESCAPES.get(body, body)
