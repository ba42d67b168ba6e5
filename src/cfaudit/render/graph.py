"""The graph of a report in, its text in Mermaid's or Graphviz's language out, with the gaps marked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cfaudit.render.outline import GROUPS, action_of, kind_of, plural
from cfaudit.report import GraphObject, NodeObject

_COLOURS = {
    "critical": ("#f8c9c4", "#a4161a"),
    "high": ("#fbd9c0", "#c2410c"),
    "medium": ("#fdeebf", "#a16207"),
    "low": ("#e7eef7", "#4a6fa5"),
}
_STYLES = {"certain": "", "possible": ", style=dotted", "named": ", style=dotted", "missing": ", style=dashed"}
_RESERVED = frozenset(
    {"class", "classdef", "click", "default", "direction", "end", "flowchart", "graph", "href", "linkstyle", "style"}
    | {"subgraph"}
)


def _lines(node: NodeObject) -> Iterator[str]:
    yield node["title"]
    yield kind_of(node)
    if node["gaps"] and node["kind"] != "missing":
        yield plural(len(node["gaps"]), "gap")


def to_mermaid(graph: GraphObject, title: str) -> str:
    """The graph as a Mermaid flowchart.

    https://mermaid.js.org/syntax/flowchart.html
    """
    out = [f"%% {_oneline(title)}: boxes in colour have gaps, dashed ones are missing", "flowchart LR"]
    for group, heading in GROUPS.items():
        members = [node for node in graph["nodes"] if node["group"] == group]
        if members:
            out.append(f'  subgraph group_{group}["{heading}"]')
            out += [f'    {_id(node["id"])}["{"<br/>".join(map(_label, _lines(node)))}"]' for node in members]
            out.append("  end")
    for edge in graph["edges"]:
        line = "-->" if edge["state"] == "certain" else "-.->"
        out.append(f'  {_id(edge["source"])} {line}|"{_label(action_of(edge))}"| {_id(edge["target"])}')
    out += _classes(graph)
    return "\n".join(out) + "\n"


def _classes(graph: GraphObject) -> Iterator[str]:
    for severity, (fill, line) in _COLOURS.items():
        for missing, dash in ((False, ""), (True, ",stroke-dasharray:6 4")):
            members = [node for node in graph["nodes"] if node["severity"] == severity]
            some = [_id(node["id"]) for node in members if (node["group"] == "missing") is missing]
            if some:
                name = f"{severity}{'Missing' if missing else ''}"
                yield f"  classDef {name} fill:{fill},stroke:{line},stroke-width:2px,color:#1b1b1b{dash}"
                yield f"  class {','.join(some)} {name}"


def _id(name: str) -> str:
    """A name that Mermaid takes for an id: letters, digits and underscores, no word of its own."""
    plain = re.sub(r"[^A-Za-z0-9_]", lambda match: f"_{ord(match[0]):x}_", name)
    return plain if plain == name and name.lower() not in _RESERVED else f"n_{plain}"


_ENTITIES = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "&": "#amp;", "`": "#96;", "\\": "#92;"}


def _label(text: str) -> str:
    return "".join(_ENTITIES.get(letter, letter) for letter in _oneline(text))


def _oneline(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def to_dot(graph: GraphObject, title: str) -> str:
    """The graph in Graphviz's DOT language.

    https://graphviz.org/doc/info/lang.html
    """
    out = ["digraph cfaudit {", f"  label={_quoted(title)}; labelloc=t; rankdir=LR;"]
    out.append('  node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica"];')
    out.append('  edge [fontname="Helvetica", fontsize=10];')
    for group, heading in GROUPS.items():
        members = [node for node in graph["nodes"] if node["group"] == group]
        if members:
            out.append(f"  subgraph cluster_{group} {{")
            out.append(f"    label={_quoted(heading)};")
            out += [f"    {_quoted(node['id'])} [{_attributes(node)}];" for node in members]
            out.append("  }")
    for edge in graph["edges"]:
        style = _STYLES[edge["state"]]
        ends = f"{_quoted(edge['source'])} -> {_quoted(edge['target'])}"
        out.append(f"  {ends} [label={_quoted(action_of(edge))}{style}];")
    return "\n".join([*out, "}"]) + "\n"


def _attributes(node: NodeObject) -> str:
    label = f"label={_quoted(*_lines(node))}"
    if node["severity"] is None:
        return label
    fill, line = _COLOURS[node["severity"]]
    style = ', style="rounded,filled,dashed"' if node["group"] == "missing" else ""
    return f'{label}, fillcolor="{fill}", color="{line}", penwidth=2{style}'


def _quoted(*lines: str) -> str:
    texts = (_oneline(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(texts) + '"'
