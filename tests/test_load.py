"""Loading: every key and value knows where it stands, and hostile or broken input ends in one diagnostic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfaudit.load import FUNCTIONS, MAX_DEPTH, load, load_document
from cfaudit.nodes import Call, Map, Node, NotTemplateError, Scalar, Seq, Source, Span, TemplateError
from fixture import ROOT

TEMPLATES = (ROOT / "fixtures/audited/crowdfunding.yaml", ROOT / "fixtures/reference/crowdfunding.yaml")
BUCKET = "Resources:\n  A:\n    Type: AWS::S3::Bucket\n"


def root(text: str, path: str = "t.yaml") -> Map[Node]:
    node = load_document(text, path)
    assert isinstance(node, Map)
    return node


def place(span: Span) -> tuple[int, int, int, int]:
    return span[1:]


def cut(lines: tuple[str, ...], span: Span) -> str:
    """The text that a span covers."""
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    inner = lines[span.line : span.end_line - 1]
    return "\n".join((lines[span.line - 1][span.column - 1 :], *inner, lines[span.end_line - 1][: span.end_column - 1]))


def walk(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Map(entries):
            for entry in entries.values():
                yield from walk(entry)
        case Seq(items):
            for item in items:
                yield from walk(item)
        case Call(_, argument):
            yield from walk(argument)


def bare(node: Node) -> object:
    """A node without its places."""
    match node:
        case Scalar(text):
            return text
        case Seq(items):
            return [bare(item) for item in items]
        case Map(entries):
            return {key: bare(entry) for key, entry in entries.items()}
        case Call(name, argument):
            return (name, bare(argument))


# Positions -----------------------------------------------------------------------------------------------------------

KEYS_AND_VALUES = {
    "plain": ("a: bc\n", (1, 1, 1, 2), (1, 4, 1, 6)),
    "no newline at the end": ("a: bc", (1, 1, 1, 2), (1, 4, 1, 6)),
    "a later line": ("# comment\n\na:   bc # why\n", (3, 1, 3, 2), (3, 6, 3, 8)),
    "quoted": ("'a': \"b c\"\n", (1, 1, 1, 4), (1, 6, 1, 11)),
    "multi-byte characters": ("ключ: 'naïve 🎉 text'\n", (1, 1, 1, 5), (1, 7, 1, 21)),
    "windows line ends": ("# x\r\na: bc\r\nd: e\r\n", (2, 1, 2, 2), (2, 4, 2, 6)),
    "old mac line ends": ("# x\ra: bc\r", (2, 1, 2, 2), (2, 4, 2, 6)),
    "a next-line character is YAML's line break": ("# x\x85a: bc\n", (2, 1, 2, 2), (2, 4, 2, 6)),
    "byte order mark": ("\ufeffa: bc\n", (1, 1, 1, 2), (1, 4, 1, 6)),
    "tag and anchor belong to the value": ("a: !Ref &x bc\n", (1, 1, 1, 2), (1, 4, 1, 14)),
    "null": ("a:\nb: c\n", (1, 1, 1, 2), (1, 3, 1, 3)),
    "folded over two lines": ("a: b\n  c\n", (1, 1, 1, 2), (1, 4, 2, 4)),
    "block scalar": ("a: |\n  b\n  c d\nz: 1\n", (1, 1, 1, 2), (1, 4, 3, 6)),
    "block scalar, blank lines and a comment after it": ("a: |\n  b\n\n   \n# x\nz: 1\n", (1, 1, 1, 2), (1, 4, 2, 4)),
    "block scalar that keeps its blank lines": ("a: |+\n  b\n\n\nz: 1\n", (1, 1, 1, 2), (1, 4, 2, 4)),
    "block scalar at the end of the file": ("a: >-\n  b\n  c", (1, 1, 1, 2), (1, 4, 3, 4)),
    "block scalar, white space at the end of the file": ("a: |\n  b  \n    ", (1, 1, 1, 2), (1, 4, 2, 4)),
    "empty block scalar": ("a: |\n\nb: 1\n", (1, 1, 1, 2), (1, 4, 1, 5)),
    "block sequence": ("a:\n  - b\n  - c # x\n\nz: 1\n", (1, 1, 1, 2), (2, 3, 3, 6)),
    "flow sequence": ("a: [b,\n  c]\n", (1, 1, 1, 2), (1, 4, 2, 5)),
    "empty flow map": ("a: {}\n", (1, 1, 1, 2), (1, 4, 1, 6)),
    "block map": ("a:\n  b: 1\n  c: |\n    d\n\n", (1, 1, 1, 2), (2, 3, 4, 6)),
    "explicit key": ("? a\n: bc\n", (1, 3, 1, 4), (2, 3, 2, 5)),
}


@pytest.mark.parametrize(("text", "key", "value"), KEYS_AND_VALUES.values(), ids=KEYS_AND_VALUES)
def test_yaml_positions(text: str, key: tuple[int, ...], value: tuple[int, ...]) -> None:
    node = root(text)
    name, entry = next(iter(node.entries.items()))
    assert place(node.keys[name]) == key
    assert place(entry.span) == value


JSON_POSITIONS = {
    "one line": ('{"a": "bc"}', (1, 2, 1, 5), (1, 7, 1, 11)),
    "tabs": ('{\n\t"a":\t12\n}', (2, 2, 2, 5), (2, 7, 2, 9)),
    "windows line ends": ('{\r\n "a":\r\n "b"\r\n}', (2, 2, 2, 5), (3, 2, 3, 5)),
    "old mac line ends": ('{\r "a":\r "b"\r}', (2, 2, 2, 5), (3, 2, 3, 5)),
    "byte order mark": ('\ufeff{"a": true}', (1, 2, 1, 5), (1, 7, 1, 11)),
    "escapes are as long as they are written": ('{"\\u00e9": "\\n\\ud83c\\udf89"}', (1, 2, 1, 10), (1, 12, 1, 28)),
    "code points, not UTF-16": ('{"🎉": "🎉", "b": 1}', (1, 2, 1, 5), (1, 7, 1, 10)),
    "a line separator inside a string is no line break": ('{"a\u2028": 1}', (1, 2, 1, 6), (1, 8, 1, 9)),
    "list over lines": ('{"a": [1,\n2\n]}', (1, 2, 1, 5), (1, 7, 3, 2)),
    "map": ('{"a": {"b": {}}}', (1, 2, 1, 5), (1, 7, 1, 16)),
}


@pytest.mark.parametrize(("text", "key", "value"), JSON_POSITIONS.values(), ids=JSON_POSITIONS)
def test_json_positions(text: str, key: tuple[int, ...], value: tuple[int, ...]) -> None:
    node = root(text, "t.json")
    name, entry = next(iter(node.entries.items()))
    assert place(node.keys[name]) == key
    assert place(entry.span) == value


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_spans_cut_out_what_they_stand_for(path: Path) -> None:
    source = load(path.read_text(encoding="utf-8"), str(path))
    for node in walk(source.root):
        covered = cut(source.lines, node.span)
        assert covered == covered.strip()
        match node:
            case Map(entries, keys):
                for name in entries:
                    assert cut(source.lines, keys[name]).strip("'\"") == name
            case Scalar(text) if "\n" not in covered and covered[:1] not in "'\"!":
                assert covered == text
            case _:
                pass


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_json_twin_says_the_same(path: Path) -> None:
    source = load(path.read_text(encoding="utf-8"), "t.yaml")
    twin = load(json.dumps(plain(source.root), indent=1, ensure_ascii=False), "t.json")
    assert (source.format, twin.format) == ("yaml", "json")
    assert bare(twin.root) == bare(source.root)
    for node in walk(twin.root):
        if isinstance(node, Map):
            assert all(json.loads(cut(twin.lines, span)) == name for name, span in node.keys.items())
        if isinstance(node, Scalar):
            assert json.loads(cut(twin.lines, node.span)) == node.text


def plain(node: Node) -> object:
    """JSON of a node, functions in the long form."""
    match node:
        case Scalar(text):
            return text
        case Seq(items):
            return [plain(item) for item in items]
        case Map(entries):
            return {key: plain(entry) for key, entry in entries.items()}
        case Call(name, argument):
            return {name: plain(argument)}


# Values --------------------------------------------------------------------------------------------------------------

KINDS = {
    "text": "str",
    "'12'": "str",
    "2012-10-17": "str",
    "12:30": "str",
    "1.2.3": "str",
    "012345678901": "int",
    "-7": "int",
    "1_000": "int",
    "0x1F": "int",
    "1.5": "float",
    "6.02e+23": "float",
    "true": "bool",
    "Yes": "bool",
    "off": "bool",
    "y": "str",
    "null": "null",
    "~": "null",
    "": "null",
    "''": "str",
    "!!str 12": "str",
    "!!int '12'": "int",
    "! 12": "str",
}


@pytest.mark.parametrize(("written", "kind"), KINDS.items())
def test_yaml_scalars_keep_their_text_and_know_their_kind(written: str, kind: str) -> None:
    node = root(f"a: {written}\n").entries["a"]
    assert isinstance(node, Scalar)
    assert node.kind == kind
    assert node.text == ("" if kind == "null" else written.rpartition(" ")[2].strip("'"))


JSON_VALUES = {
    '"a\\u0041\\n\\t\\/\\\\\\""': ('aA\n\t/\\"', "str"),
    '"\\ud83c\\udf89"': ("🎉", "str"),
    '"\\ud83c"': ("\ufffd", "str"),
    '"\\udf89 \\ud83c"': ("\ufffd \ufffd", "str"),
    '"\x7f"': ("\x7f", "str"),
    '""': ("", "str"),
    "-0.5e+10": ("-0.5e+10", "float"),
    "1E5": ("1E5", "float"),
    "123456789012345678901234567890": ("123456789012345678901234567890", "int"),
    "true": ("true", "bool"),
    "null": ("", "null"),
}


@pytest.mark.parametrize(("written", "meant"), JSON_VALUES.items())
def test_json_values(written: str, meant: tuple[str, str]) -> None:
    node = root(f'{{"a": {written}}}', "t.json").entries["a"]
    assert isinstance(node, Scalar)
    assert (node.text, node.kind) == meant


def test_a_json_key_may_be_longer_than_yaml_allows() -> None:
    key = "k" * 5000
    assert list(root(f'{{"{key}\x7f": 1}}', "t.json").entries) == [f"{key}\x7f"]


@pytest.mark.parametrize("name", sorted(FUNCTIONS - {"Condition"}))
def test_both_forms_of_a_function_are_the_same_call(name: str) -> None:
    short = name.removeprefix("Fn::")
    forms = [
        root(f"a: !{short} [x, y]\n").entries["a"],
        root(f"a:\n  {name}: [x, y]\n").entries["a"],
        root(f'{{"a": {{"{name}": ["x", "y"]}}}}', "t.json").entries["a"],
    ]
    assert [bare(form) for form in forms] == [(name, ["x", "y"])] * 3
    assert all(isinstance(form, Call) and form.known for form in forms)


def test_condition_is_a_function_as_a_tag_and_a_plain_key_elsewhere() -> None:
    node = root("a: !Condition IsProd\nb:\n  Condition: IsProd\n")
    assert bare(node) == {"a": ("Condition", "IsProd"), "b": {"Condition": "IsProd"}}


def test_a_function_with_company_is_a_map() -> None:
    assert bare(root("a:\n  Fn::Transform: {Name: X}\n  Type: T\n")) == {
        "a": {"Fn::Transform": {"Name": "X"}, "Type": "T"}
    }


TAGS = (
    "!Rain::Module x.yaml",
    "!include x.yaml",
    "!!python/object/apply:os.system ['echo hi']",
    "!!python/name:os.system ''",
    "!!binary aGk=",
    "!!set {a}",
    "!!omap [a: 1]",
    "!!timestamp 2001-12-14",
    "!<tag:example.com,2026:x> y",
)


@pytest.mark.parametrize("written", TAGS)
def test_an_unknown_tag_constructs_nothing(written: str) -> None:
    text = f"{BUCKET}    Properties:\n      BucketName: {written}\n  B:\n    Type: !Rain::Module b.yaml\n"
    source = load(text, "t.yaml")
    resource = source.root.entries["Resources"]
    assert isinstance(resource, Map)
    bucket = resource.entries["A"]
    assert isinstance(bucket, Map)
    properties = bucket.entries["Properties"]
    assert isinstance(properties, Map)
    node = properties.entries["BucketName"]
    assert isinstance(node, Call)
    assert not node.known
    assert [(note.level, note.span.line) for note in source.diagnostics] == [("warning", 5), ("warning", 7)]


# Anchors, aliases, merge keys ----------------------------------------------------------------------------------------

MERGES = {
    "alias": ("a: &x {p: 1}\nb: *x\n", {"p": "1"}),
    "own key after the merge": ("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  p: 3\n", {"p": "3", "q": "2"}),
    "own key before the merge": ("a: &x {p: 1, q: 2}\nb:\n  p: 3\n  <<: *x\n", {"p": "3", "q": "2"}),
    "the first of several maps": ("x: &x {p: 1}\ny: &y {p: 2, q: 2}\nb: {<<: [*x, *y]}\n", {"p": "1", "q": "2"}),
    "a map written in place": ("b: {<<: {p: 1}, q: 2}\n", {"p": "1", "q": "2"}),
    "a map that looks like a function": ("x: &x {Ref: A}\nb: {<<: *x, q: 2}\n", {"Ref": "A", "q": "2"}),
    "an alias as a key": ("x: &x p\nb: {*x : 1}\n", {"p": "1"}),
    "an anchor is redefined": ("x: &x 1\ny: &x 2\nb: {p: *x}\n", {"p": "2"}),
}


@pytest.mark.parametrize(("text", "meant"), MERGES.values(), ids=MERGES)
def test_aliases_and_merge_keys(text: str, meant: dict[str, str]) -> None:
    assert bare(root(text).entries["b"]) == meant


def test_a_merged_key_stands_where_it_is_written() -> None:
    node = root("a: &x {p: 1}\nb:\n  <<: *x\n  q: 2\n").entries["b"]
    assert isinstance(node, Map)
    assert (node.keys["p"].line, node.keys["q"].line) == (1, 4)


def test_aliases_are_mentioned_once() -> None:
    source = load("X: &x {p: 1}\nY: [*x, *x]\n" + BUCKET, "t.yaml")
    assert [(note.level, place(note.span)) for note in source.diagnostics] == [("info", (2, 5, 2, 7))]


# Errors --------------------------------------------------------------------------------------------------------------

BROKEN = {
    "duplicate key": (BUCKET + "  A:\n    Type: T\n", (4, 3, 4, 4), "'A' stands here more than once (first on line 2)"),
    "duplicate key, two spellings": ("a:\n  1: x\n  '1': y\n", (3, 3, 3, 6), "'1' stands here more than once"),
    "tab": ("Resources:\n\tA: 1\n", (2, 1, 2, 2), "cannot start any token"),
    "colon in text": ("a: b: c\n", (1, 5, 1, 6), "mapping values are not allowed"),
    "open quote": ("a: 'x\n", (1, 4, 1, 5), "unexpected end of stream"),
    "open bracket at the end": ("a:\n  b: [x\n\n", (2, 6, 2, 7), "did not find expected ',' or ']'"),
    "open bracket": ("a: [x\nb: 1\n", (2, 2, 2, 3), "did not find expected ',' or ']'"),
    "a key too long for YAML": (f"{'k' * 2000}: 1\n", (1, 2001, 1, 2002), "mapping values are not allowed"),
    "control character after multi-byte text": ("# ü🎉\nä: b\x07\n", (2, 5, 2, 6), "U+0007 is not allowed"),
    "NUL": ("a: \x00\n", (1, 4, 1, 5), "U+0000 is not allowed"),
    "half a surrogate pair": ("a: \ud800\n", (1, 4, 1, 5), "U+D800 is not allowed"),
    "DEL": ("a: \x7f\n", (1, 4, 1, 5), "U+007F is not allowed"),
    "byte order mark inside": ("a: b\n\ufeffc: d\n", (2, 1, 2, 2), "U+FEFF is not allowed"),
    "second document": (BUCKET + "---\n" + BUCKET, (4, 1, 4, 4), "a second document starts here"),
    "complex key": ("? {a: b}\n: c\n", (1, 3, 1, 9), "a key must be text"),
    "function as a key": ("!Ref a: b\n", (1, 1, 1, 7), "a key must be text"),
    "alias without anchor": ("a: *x\n", (1, 4, 1, 6), "*x has no anchor above it"),
    "alias inside its anchor": ("a: &x [*x]\n", (1, 8, 1, 10), "*x contains itself"),
    "merge of a text": ("a: {<<: x}\n", (1, 5, 1, 7), "a merge key takes a map"),
    "undefined tag handle": ("a: !x!y z\n", (1, 4, 1, 5), "undefined tag handle"),
}


@pytest.mark.parametrize(("text", "where", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_yaml(text: str, where: tuple[int, ...], message: str) -> None:
    assert_diagnosed(text, "t.yaml", where, message)


BROKEN_JSON = {
    "trailing comma": ('{"a": 1,\n}', (2, 1, 2, 2), "a comma stands before the closing bracket"),
    "trailing comma in a list": ('{"a": [1,]}', (1, 10, 1, 11), "a comma stands before the closing bracket"),
    "comment": ('{"a": 1 // x\n}', (1, 9, 1, 10), "',' or '}' is expected"),
    "missing comma": ('{"a": 1\n "b": 2}', (2, 2, 2, 3), "',' or '}' is expected"),
    "missing colon": ('{"a" 1}', (1, 6, 1, 7), "':' is expected"),
    "missing value": ('{"a": }', (1, 7, 1, 8), "a JSON value is expected, found '}'"),
    "the end is missing": ('{"a": [1', (1, 9, 1, 10), "',' or ']' is expected"),
    "nothing after the colon": ('{"a":', (1, 6, 1, 7), "the text ends"),
    "bare key": ("{a: 1}", (1, 2, 1, 3), "a key in double quotes is expected"),
    "single quotes": ("{'a': 1}", (1, 2, 1, 3), "a key in double quotes is expected"),
    "line break in a text": ('{"a": "b\nc"}', (1, 7, 1, 8), "no end or an illegal character"),
    "illegal escape": ('{"a": "\\x"}', (1, 7, 1, 8), "no end or an illegal character"),
    "text after the end": ('{"a": 1}}', (1, 9, 1, 10), "more text after the end"),
    "leading zero": ('{"a": 012}', (1, 8, 1, 9), "',' or '}' is expected"),
    "not a number": ('{"a": NaN}', (1, 7, 1, 8), "a JSON value is expected"),
    "duplicate key": ('{"a": 1, "a": 2}', (1, 10, 1, 13), "'a' stands here more than once"),
}


@pytest.mark.parametrize(("text", "where", "message"), BROKEN_JSON.values(), ids=BROKEN_JSON)
def test_broken_json(text: str, where: tuple[int, ...], message: str) -> None:
    assert_diagnosed(text, "t.json", where, message)


SHAPES = {
    "no Resources": ("AWSTemplateFormatVersion: '2010-09-09'\n", (1, 1, 1, 39), "has no Resources section"),
    "Resources is a list": ("Transform: X\nResources: []\n", (2, 12, 2, 14), "Resources must be a map"),
    "Parameters is a list": (BUCKET + "Parameters:\n  - a\n", (5, 3, 5, 6), "Parameters must be a map"),
    "Conditions is text": (BUCKET + "Conditions: x\n", (4, 13, 4, 14), "Conditions must be a map"),
    "resource is text": (BUCKET + "  B: x\n", (4, 3, 4, 4), "the resource B must be a map"),
    "resource is null": (BUCKET + "  B:\n", (4, 3, 4, 4), "the resource B must be a map"),
    "resource is a reference": (BUCKET + "  B: !Ref A\n", (4, 3, 4, 4), "the resource B must be a map"),
    "no Type": (BUCKET + "  B: {Properties: {}}\n", (4, 3, 4, 4), "the resource B has no Type"),
    "only a Condition": (BUCKET + "  B: {Condition: C}\n", (4, 3, 4, 4), "the resource B has no Type"),
    "Type is null": (BUCKET + "  B: {Type: }\n", (4, 13, 4, 13), "the Type of B must be text"),
    "Type is a list": (BUCKET + "  B: {Type: [a]}\n", (4, 13, 4, 16), "the Type of B must be text"),
    "Type is a function": (BUCKET + "  B: {Type: !Ref A}\n", (4, 13, 4, 19), "the Type of B must be text"),
    "Properties is a list": (BUCKET + "    Properties: []\n", (4, 17, 4, 19), "the Properties of A must be a map"),
    "parameter is text": (BUCKET + "Parameters:\n  P: x\n", (5, 3, 5, 4), "Parameters.P must be a map"),
    "parameter without Type": (BUCKET + "Parameters:\n  P: {Default: x}\n", (5, 3, 5, 4), "P has no Type"),
    "output is null": (BUCKET + "Outputs:\n  O:\n", (5, 3, 5, 4), "Outputs.O must be a map"),
    "mapping is a list": (BUCKET + "Mappings:\n  M: [a]\n", (5, 3, 5, 4), "Mappings.M must be a map"),
}


@pytest.mark.parametrize(("text", "where", "message"), SHAPES.values(), ids=SHAPES)
def test_wrong_shapes(text: str, where: tuple[int, ...], message: str) -> None:
    error = assert_diagnosed(text, "t.yaml", where, message)
    assert not isinstance(error, NotTemplateError)


NO_TEMPLATES = {
    "empty": ("", (1, 1, 1, 1), "the file is empty"),
    "white space": (" \n\t\n", (1, 1, 1, 1), "the file is empty"),
    "byte order mark": ("\ufeff\n", (1, 1, 1, 1), "the file is empty"),
    "comment": ("# nothing\n", (1, 1, 1, 1), "the file holds no document"),
    "null document": ("---\n...\n", (2, 1, 2, 1), "its root is not a map"),
    "text": ("hello\n", (1, 1, 1, 6), "its root is not a map"),
    "list": ("- a\n", (1, 1, 1, 4), "its root is not a map"),
    "Kubernetes": ("apiVersion: v1\nkind: Pod\n", (1, 1, 1, 11), "it has no Resources"),
    "resources without types": ("Resources:\n  a: {x: 1}\n", (1, 1, 1, 10), "no resource has a Type"),
    "package.json": ('{"name": "x"}', (1, 2, 1, 8), "it has no Resources"),
}


@pytest.mark.parametrize(("text", "where", "message"), NO_TEMPLATES.values(), ids=NO_TEMPLATES)
def test_what_is_no_template(text: str, where: tuple[int, ...], message: str) -> None:
    error = assert_diagnosed(text, "t.yaml", where, message)
    assert isinstance(error, NotTemplateError)


def assert_diagnosed(text: str, path: str, where: tuple[int, ...], message: str) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        load(text, path)
    error = caught.value
    assert message in str(error)
    assert (error.span.file, place(error.span)) == (path, where)
    assert error.hint
    assert error.excerpt in text
    return error


READERS = {
    "YAML's flow style": ("{Resources: {A: {Type: T}}", "template", (1, 1, 1, 2), "did not find expected ',' or '}'"),
    "the same in a JSON file": ("{Resources: {A: {Type: T}}", "t.json", (1, 2, 1, 3), "a key in double quotes"),
    "neither JSON nor YAML": ('{"Resources": {"A": 1}},\n', "template", (1, 24, 1, 25), "more text after the end"),
}


@pytest.mark.parametrize(("text", "path", "where", "message"), READERS.values(), ids=READERS)
def test_the_error_speaks_of_the_format_that_was_meant(
    text: str, path: str, where: tuple[int, ...], message: str
) -> None:
    assert_diagnosed(text, path, where, message)


def test_json_with_yaml_in_it_is_read_as_yaml() -> None:
    text = '{"Resources": {"A": {"Type": "T"}}, # YAML knows comments\n}'
    assert load(text, "template").format == "yaml"
    assert_diagnosed(text, "t.json", (1, 37, 1, 38), "a key in double quotes is expected")


LEGAL = {
    "empty Resources": "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n",
    "null sections": BUCKET + "Parameters:\nMappings: ~\nConditions: null\nOutputs:\nMetadata:\n",
    "null Properties": BUCKET + "    Properties:\n",
    "keys that are no text": "Resources:\n  1: {Type: T}\n  true: {Type: T}\n  2012-10-17: {Type: T}\n",
    "flow style": "{Resources: {A: {Type: T}}}",
    "document markers": "---\n" + BUCKET + "...\n",
    "a loop": BUCKET + "  Fn::ForEach::X: [N, [a], {'${N}': {Type: T}}]\n",
    "a transform instead of a resource": BUCKET + "  B: {'Fn::Transform': {Name: AWS::Include}}\n",
    "a transform that adds the Type": BUCKET + "  B: {'Fn::Transform': {Name: AWS::Include}, DeletionPolicy: Retain}\n",
    "a preprocessor's resource": BUCKET + "  B: !Rain::Module b.yaml\n",
    "a preprocessor's type": BUCKET + "  B: {Type: !Rain::Module b.yaml}\n",
}


@pytest.mark.parametrize("text", LEGAL.values(), ids=LEGAL)
def test_unusual_but_legal(text: str) -> None:
    assert isinstance(load(text, "template"), Source)


# Bombs ---------------------------------------------------------------------------------------------------------------


def merged(keys: int, aliases: int) -> str:
    return f"a: &a {{{', '.join(f'k{n}: 1' for n in range(keys))}}}\nb: {{<<: [{', '.join(['*a'] * aliases)}]}}\n"


def laughs(levels: int) -> str:
    anchors = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, levels)]
    return f"a0: &a0 [{', '.join(['x'] * 10)}]\n" + "".join(anchors) + BUCKET


BOMBS = {
    "brackets": "a: " + "[" * 30_000,
    "brackets that are closed": "a: " + "[" * 30_000 + "]" * 30_000,
    "braces": "{a: " * 30_000,
    "brackets on lines": "a:\n" + "[\n" * 30_000,
    "block sequences": "- " * 30_000 + "x",
    "explicit keys": "? " * 30_000 + "x",
    "block maps": "".join(" " * level + "a:\n" for level in range(2_000)),
    "JSON maps": '{"a":' * 30_000,
    "JSON lists": '{"a":' + "[" * 30_000 + "]" * 30_000 + "}",
    "billion laughs": laughs(12),
    "merged laughs": merged(1000, 500),
    "depth by aliases": "".join(f"k{n}: &k{n} {'[' * 60}{f'*k{n - 1}' if n else 'x'}{']' * 60}\n" for n in range(50)),
    "many values": "a: [" + "1," * 400_000 + "]",
    "many JSON values": '{"a": [' + "1," * 400_000 + "1]}",
    "an open quote before much text": '{"a": "' + "\\n" * 200_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_end_in_a_diagnostic(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load(text, "template")
    assert caught.value.hint


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
@pytest.mark.parametrize("form", ["a: {0}x{1}", '{{"a": {0}1{1}}}'])
def test_the_bound_on_depth(form: str, depth: int) -> None:
    text = form.format("[" * (depth - 1), "]" * (depth - 1))
    if depth <= MAX_DEPTH:
        assert load_document(text, "t")
    else:
        with pytest.raises(TemplateError, match="more than 128 levels deep"):
            load_document(text, "t")
