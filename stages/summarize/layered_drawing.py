"""A directed acyclic graph drawn as rows of boxes from top to bottom, with curves between them; lengths are pixels.

The method is that of Sugiyama, Tagawa and Toda (1981). A box's row is its longest distance from a start, and a curve
has a slot in each row that it passes. A row is ordered by the mean position of the neighbours.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

Node = str
Edge = tuple[str, str]
Slot = str | tuple[str, str, int]  # a box, or where the curve of an edge passes a row

WIDTH, HEIGHT = 188, 46  # of a box
_ACROSS, _DOWN = 20, 40  # between boxes
_PASSING = 14  # width of a slot that a curve passes
_SWEEPS = 8


@dataclass(frozen=True)
class Drawing:
    """A drawn graph."""

    width: int
    height: int
    boxes: dict[Node, tuple[float, float]]  # left and top
    curves: dict[Edge, str]  # attribute d of an SVG path


def drawn(nodes: Collection[Node], edges: Iterable[Edge]) -> Drawing:
    """Draw the edges that others do not imply. `nodes` are in an order in which every edge goes forward."""
    kept = without_implied(nodes, edges)
    row = _rows(nodes, kept)
    ways: dict[Edge, list[Slot]] = {
        edge: [edge[0], *((*edge, each) for each in range(row[edge[0]] + 1, row[edge[1]])), edge[1]] for edge in kept
    }
    rows: list[list[Slot]] = [[] for _ in range(max(row.values(), default=-1) + 1)]
    for node in nodes:
        rows[row[node]].append(node)
    for way in ways.values():
        for slot in way:
            if not isinstance(slot, str):
                rows[slot[2]].append(slot)
    _order(rows, ways.values())
    middles, width = _middles(rows)
    boxes = {node: (middles[node] - WIDTH / 2, float(row[node] * (HEIGHT + _DOWN))) for node in nodes}
    curves = {edge: _curve(way, middles, row[edge[0]]) for edge, way in ways.items()}
    return Drawing(round(width), max(len(rows) * (HEIGHT + _DOWN) - _DOWN, 0), boxes, curves)


def without_implied(nodes: Collection[Node], edges: Iterable[Edge]) -> list[Edge]:
    """Return the transitive reduction: the fewest edges with the same paths, in the order of the nodes.

    Raises ValueError for an edge that goes backward in that order.
    """
    place = {node: number for number, node in enumerate(nodes)}
    after: dict[Node, list[Node]] = {node: [] for node in nodes}
    for start, end in sorted(set(edges), key=lambda edge: (place[edge[0]], place[edge[1]])):
        if place[start] >= place[end]:
            raise ValueError(f"{start} -> {end} goes back in the order of the nodes")
        after[start].append(end)
    reached: dict[Node, set[Node]] = {}
    kept = []
    for node in reversed(list(nodes)):
        beyond = set().union(*(reached[each] for each in after[node]))
        kept += [(node, each) for each in after[node] if each not in beyond]
        reached[node] = beyond | set(after[node])
    return sorted(kept, key=lambda edge: (place[edge[0]], place[edge[1]]))


def _rows(nodes: Collection[Node], edges: Iterable[Edge]) -> dict[Node, int]:
    row = dict.fromkeys(nodes, 0)
    for start, end in edges:  # sorted by their start, whose row is final
        row[end] = max(row[end], row[start] + 1)
    return row


def _order(rows: list[list[Slot]], ways: Iterable[list[Slot]]) -> None:
    """Sort each row by the mean position of its neighbours, downwards and upwards in turn."""
    above: dict[Slot, list[Slot]] = {slot: [] for row in rows for slot in row}
    below: dict[Slot, list[Slot]] = {slot: [] for row in rows for slot in row}
    for way in ways:
        for start, end in pairwise(way):
            above[end].append(start)
            below[start].append(end)
    for sweep in range(_SWEEPS):
        near, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        place = {slot: number / len(row) for row in rows for number, slot in enumerate(row)}
        for row in order:
            row.sort(key=lambda slot: _mean([place[each] for each in near[slot]], place[slot]))
            place |= {slot: number / len(row) for number, slot in enumerate(row)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _middles(rows: list[list[Slot]]) -> tuple[dict[Slot, float], float]:
    """Return the middle of each slot, rows centred, and the width of the widest row."""
    widths = [[WIDTH if isinstance(slot, str) else _PASSING for slot in row] for row in rows]
    wholes = [sum(each) + _ACROSS * (len(each) - 1) for each in widths]
    width, middles = float(max(wholes, default=0)), {}
    for row, each, whole in zip(rows, widths, wholes, strict=True):
        left = (width - whole) / 2
        for slot, own in zip(row, each, strict=True):
            middles[slot] = left + own / 2
            left += own + _ACROSS
    return middles, width


def _curve(way: list[Slot], middles: Mapping[Slot, float], row: int) -> str:
    """Return the path from the lower edge of the first box to the upper edge of the last.

    It is straight where it passes a row.
    """
    top = row * (HEIGHT + _DOWN) + HEIGHT
    path = f"M{middles[way[0]]:g} {top}"
    for number, slot in enumerate(way[1:], 1):
        before, here, end = middles[way[number - 1]], middles[slot], top + _DOWN
        path += f"C{before:g} {top + _DOWN / 2:g} {here:g} {top + _DOWN / 2:g} {here:g} {end}"
        top = end + HEIGHT
        if number < len(way) - 1:
            path += f"V{top}"
    return path
