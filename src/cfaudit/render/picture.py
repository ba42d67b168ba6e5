"""The graph of a report in, boxes and lines with their places out: layers from left to right, few crossings.

After Sugiyama, Tagawa and Toda: layers by longest path, order by medians, heights by isotonic regression.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from cfaudit.render.outline import kind_of, one_line
from cfaudit.report import EdgeObject, GraphObject, NodeObject

WIDTH, GAP, MARGIN = 196, 130, 14
BEND = 50
PLAIN, WITH_GAPS, PORT, SPACE = 46, 62, 15, 18
SWEEPS = 24
MAX_EDGES, MAX_BENDS = 600, 3000
LONGEST = 28

_SUPPORT = frozenset({"encrypts", "logs", "watches"})
_TOGETHER = 24


class Box(NamedTuple):
    """A node, its words as they fit, and its upper left corner."""

    node: NodeObject
    title: str
    kind: str
    x: float
    y: float
    height: float


class Line(NamedTuple):
    """An edge, its SVG path and the tip of its arrow; ``back`` points to the left."""

    edge: EdgeObject
    path: str
    x: float
    y: float
    back: bool


class Picture(NamedTuple):
    """A drawing of some of the graph; ``boxes`` is empty where there is too much of it to be drawn legibly."""

    title: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


class Spot(NamedTuple):
    """A place in a layer: a node's, or (without name) where the edge of that index passes through."""

    layer: int
    name: str = ""
    edge: int = -1


def pictures(graph: GraphObject) -> list[Picture]:
    """One picture of a small graph; of a larger one another for its keys, logs and alarms."""
    nodes, edges = graph["nodes"], graph["edges"]
    operating = {node["id"] for node in nodes if node["group"] == "operations"}
    flow: list[EdgeObject] = []
    support: list[EdgeObject] = []
    for edge in edges:
        beside = _SUPPORT.issuperset(edge["kinds"]) or edge["source"] in operating
        (support if beside else flow).append(edge)
    if not nodes:
        return []
    if len(edges) <= _TOGETHER or not support or not flow:
        return [_picture("Integration", nodes, edges)]
    acting, standing = _ends(flow), _ends(support)
    return [
        _picture("Triggers and data", [n for n in nodes if n["id"] in acting or n["id"] not in standing], flow),
        _picture("Keys, logs and alarms", [node for node in nodes if node["id"] in standing], support),
    ]


def _ends(edges: Iterable[EdgeObject]) -> set[str]:
    return {name for edge in edges for name in (edge["source"], edge["target"])}


def _picture(title: str, nodes: Sequence[NodeObject], edges: Sequence[EdgeObject]) -> Picture:
    wired = _ends(edges)
    rank = _ranks([node for node in nodes if node["id"] in wired], edges)
    bends = sum(abs(rank[edge["target"]] - rank[edge["source"]]) - 1 for edge in edges)
    if len(edges) > MAX_EDGES or bends > MAX_BENDS:
        return Picture(title, 0, 0, (), ())
    chains = [_chain(index, edge, rank) for index, edge in enumerate(edges)]
    layers = _ordered(_layers(rank, chains), chains)
    height = _heights(nodes, edges, rank)
    top = _tops(layers, chains, height)
    spots = {node["id"]: Spot(rank[node["id"]], node["id"]) for node in nodes if node["id"] in rank}
    boxes = [_box(node, _x(spot.layer), top[spot], height) for node in nodes if (spot := spots.get(node["id"]))]
    lines = _lines(edges, chains, top, height)
    floor = max((box.y + box.height for box in boxes), default=MARGIN - SPACE)
    columns = max(max(rank.values(), default=0) + 1, 3)
    boxes += _alone([node for node in nodes if node["id"] not in rank], floor + SPACE, columns, height)
    width = max(box.x for box in boxes) + WIDTH + MARGIN
    return Picture(title, width, max(box.y + box.height for box in boxes) + MARGIN, tuple(boxes), tuple(lines))


def _x(rank: int) -> float:
    return MARGIN + rank * (WIDTH + GAP)


def _box(node: NodeObject, x: float, y: float, height: Mapping[str, float]) -> Box:
    return Box(node, _shortened(node["title"]), _shortened(kind_of(node)), x, y, height[node["id"]])


def _shortened(words: str) -> str:
    """Words that fit a box: cut in the middle, where names differ least."""
    plain = one_line(words)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]}…{plain[-(LONGEST // 2 - 1) :]}"


def _alone(nodes: Sequence[NodeObject], top: float, columns: int, height: Mapping[str, float]) -> Iterator[Box]:
    """Rows of boxes that no line of the picture reaches."""
    row = int((columns * (WIDTH + GAP) - GAP + SPACE) // (WIDTH + SPACE))
    for index, node in enumerate(nodes):
        down, across = divmod(index, row)
        yield _box(node, MARGIN + across * (WIDTH + SPACE), top + SPACE + down * (WITH_GAPS + SPACE), height)


# Layers --------------------------------------------------------------------------------------------------------------


def _ranks(nodes: Sequence[NodeObject], edges: Sequence[EdgeObject]) -> dict[str, int]:
    """The layer of each node: right of all that acts on it, and no further left of what it acts on than need be.

    Stores stand right of compute, though a stream of theirs triggers it: people draw them so.
    """
    group = {node["id"]: node["group"] for node in nodes}
    after: dict[str, list[str]] = {name: [] for name in group}
    for edge in edges:
        source, target = edge["source"], edge["target"]
        turned = group[source] == "storage" and group[target] == "compute"
        after[target if turned else source].append(source if turned else target)
    order, forward = _topological(list(group), after)
    rank = dict.fromkeys(order, 0)
    for name in order:
        for target in forward[name]:
            rank[target] = max(rank[target], rank[name] + 1)
    entered = {target for targets in forward.values() for target in targets}
    for name in order:
        if name not in entered:
            rank[name] = min(rank[target] for target in forward[name]) - 1
    return rank


def _topological(
    names: Sequence[str], after: Mapping[str, Sequence[str]]
) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """An order of the nodes, and their edges with those that close a circle turned round."""
    entered = {target for targets in after.values() for target in targets}
    done: list[str] = []
    state: dict[str, str] = {}
    forward: dict[str, list[str]] = {name: [] for name in names}
    for start in sorted(names, key=lambda name: name in entered):
        stack = [(start, iter(after[start]))] if start not in state else []
        state.setdefault(start, "open")
        while stack:
            name, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                state[name] = "done"
                done.append(name)
                stack.pop()
            elif state.get(target) == "open":
                forward[target].append(name)
            else:
                forward[name].append(target)
                if target not in state:
                    state[target] = "open"
                    stack.append((target, iter(after[target])))
    return done[::-1], forward


def _chain(index: int, edge: EdgeObject, rank: Mapping[str, int]) -> list[Spot]:
    """The places that an edge passes, from left to right."""
    left, right = sorted(Spot(rank[name], name) for name in (edge["source"], edge["target"]))
    return [left, *(Spot(layer, edge=index) for layer in range(left.layer + 1, right.layer)), right]


def _layers(rank: Mapping[str, int], chains: Sequence[Sequence[Spot]]) -> list[list[Spot]]:
    layers: list[list[Spot]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name, layer in rank.items():
        layers[layer].append(Spot(layer, name))
    for chain in chains:
        for spot in chain[1:-1]:
            layers[spot.layer].append(spot)
    return layers


# Order ---------------------------------------------------------------------------------------------------------------

Neighbours: TypeAlias = Mapping[Spot, Sequence[Spot]]


def _neighbours(chains: Sequence[Sequence[Spot]]) -> tuple[Neighbours, Neighbours]:
    """What stands left and right of each place."""
    left: dict[Spot, list[Spot]] = {}
    right: dict[Spot, list[Spot]] = {}
    for chain in chains:
        for one, other in pairwise(chain):
            right.setdefault(one, []).append(other)
            left.setdefault(other, []).append(one)
    return left, right


def _ordered(layers: list[list[Spot]], chains: Sequence[Sequence[Spot]]) -> list[list[Spot]]:
    """The layers with the fewest crossings that some sweeps to the right and back come upon."""
    left, right = _neighbours(chains)
    best, least = [list(layer) for layer in layers], _crossings(layers, right)
    for sweep in range(SWEEPS):
        there = sweep % 2 == 0
        for index in range(1, len(layers)) if there else range(len(layers) - 2, -1, -1):
            beside = layers[index - 1] if there else layers[index + 1]
            place = {key: position for position, key in enumerate(beside)}
            layers[index] = _by_mean(layers[index], left if there else right, place)
        crossings = _crossings(layers, right)
        if crossings < least:
            best, least = [list(layer) for layer in layers], crossings
    return best


def _by_mean(layer: Sequence[Spot], neighbours: Neighbours, place: Mapping[Spot, int]) -> list[Spot]:
    """A layer by the mean place of each member's neighbours; who has none stays about where it is."""
    rank: dict[Spot, float] = {}
    before = 0.0
    for key in layer:
        held = [place[other] for other in neighbours.get(key, ())]
        before = rank[key] = sum(held) / len(held) if held else before
    return sorted(layer, key=lambda key: rank[key])


def _crossings(layers: Sequence[Sequence[Spot]], right: Neighbours) -> int:
    total = 0
    for layer, following in pairwise(layers):
        place = {key: position for position, key in enumerate(following)}
        seen: list[int] = []
        for key in layer:
            ends = sorted(place[other] for other in right.get(key, ()))
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


# Places --------------------------------------------------------------------------------------------------------------


def _heights(nodes: Sequence[NodeObject], edges: Sequence[EdgeObject], rank: Mapping[str, int]) -> Mapping[str, float]:
    """Boxes are as high as their text and the lines on their busier side need."""
    ports: Counter[tuple[str, str]] = Counter()
    for edge in edges:
        source, target = edge["source"], edge["target"]
        right, left = (source, target) if rank[source] < rank[target] else (target, source)
        ports.update([(right, "right"), (left, "left")])
    return {
        node["id"]: max(
            WITH_GAPS if node["gaps"] else PLAIN,
            PORT * max(ports[node["id"], "left"], ports[node["id"], "right"]) + 8,
        )
        for node in nodes
    }


def _tops(
    layers: Sequence[Sequence[Spot]], chains: Sequence[Sequence[Spot]], height: Mapping[str, float]
) -> dict[Spot, float]:
    """The upper end of each place: near what it is joined to, in the order of its layer."""
    left, right = _neighbours(chains)
    size = {key: height[key.name] if key.name else float(PORT) for layer in layers for key in layer}
    centre: dict[Spot, float] = {}
    for layer in layers:
        _settle(layer, dict.fromkeys(layer, 0.0), size, centre)
    for sweep in range(SWEEPS):
        neighbours = left if sweep % 2 == 0 else right
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = {key: _wanted(neighbours.get(key, ()), centre, centre[key]) for key in layer}
            _settle(layer, wanted, size, centre)
    highest = min((centre[key] - size[key] / 2 for key in centre), default=0.0)
    return {key: round(middle - size[key] / 2 - highest + MARGIN, 1) for key, middle in centre.items()}


def _wanted(neighbours: Sequence[Spot], centre: Mapping[Spot, float], now: float) -> float:
    held = [centre[key] for key in neighbours]
    return sum(held) / len(held) if held else now


def _settle(
    layer: Sequence[Spot], wanted: Mapping[Spot, float], size: Mapping[Spot, float], centre: dict[Spot, float]
) -> None:
    """Place a layer as near to what is wanted as its order and sizes allow: pool what would overlap, at its mean."""
    offsets: list[float] = []
    reach = 0.0
    for key in layer:
        offsets.append(reach + size[key] / 2)
        reach += size[key] + SPACE
    pools: list[tuple[float, int]] = []
    for key, offset in zip(layer, offsets, strict=True):
        mean, count = wanted[key] - offset, 1
        while pools and pools[-1][0] > mean:
            other, number = pools.pop()
            mean, count = (other * number + mean * count) / (number + count), number + count
        pools.append((mean, count))
    starts = (mean for mean, count in pools for _ in range(count))
    for key, offset, start in zip(layer, offsets, starts, strict=True):
        centre[key] = start + offset


# Lines ---------------------------------------------------------------------------------------------------------------


def _lines(
    edges: Sequence[EdgeObject],
    chains: Sequence[Sequence[Spot]],
    top: Mapping[Spot, float],
    height: Mapping[str, float],
) -> Iterator[Line]:
    entering = _ports([(chain[-1], chain[-2]) for chain in chains], top, height)
    leaving = _ports([(chain[0], chain[1]) for chain in chains], top, height)
    for edge, chain, start, end in zip(edges, chains, leaving, entering, strict=True):
        first, last = chain[0], chain[-1]
        back = first.name != edge["source"]
        heights = [start, *(top[spot] + PORT / 2 for spot in chain[1:-1]), end]
        path = _path(heights, first.layer, GAP - BEND if back else 0)
        x, y = (_x(first.layer) + WIDTH, start) if back else (_x(last.layer), end)
        yield Line(edge, path, x, y, back)


def _ports(ends: Sequence[tuple[Spot, Spot]], top: Mapping[Spot, float], height: Mapping[str, float]) -> list[float]:
    """Where each edge meets its box: one under the other, in the order of what they come from."""
    sides: dict[Spot, list[tuple[float, int]]] = {}
    for index, (box, other) in enumerate(ends):
        middle = top[other] + (height[other.name] if other.name else PORT) / 2
        sides.setdefault(box, []).append((middle, index))
    found = [0.0] * len(ends)
    for box, held in sides.items():
        first = top[box] + height[box.name] / 2 - PORT * (len(held) - 1) / 2
        for position, (_, index) in enumerate(sorted(held)):
            found[index] = round(first + PORT * position, 1)
    return found


def _path(heights: Sequence[float], layer: int, straight: float) -> str:
    """Straight beside the words, bent once in each gap between two layers, ``straight`` after its left end."""
    pieces = [f"M{_x(layer) + WIDTH:g} {heights[0]:g}"]
    for step, (start, stop) in enumerate(pairwise(heights)):
        turn = _x(layer + step) + WIDTH + straight
        middle = turn + BEND / 2
        pieces.append(f"H{turn:g}C{middle:g} {start:g} {middle:g} {stop:g} {turn + BEND:g} {stop:g}")
        pieces.append(f"H{_x(layer + step + 1) + (WIDTH if step < len(heights) - 2 else 0):g}")
    return "".join(pieces)
