"""Which way each connection of a network's picture goes: straight to the next column, or through a gutter.

Gutter g lies above row g. A connection stands in a gutter if it turns there to the row below, and hangs if to the row
above; in either, the shorter runs nearer to its row, so that nested ones do not cross.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mobile_seg.report.network_nodes import Grid, Node

RIGHT, LEFT, TOP, BOTTOM = "right", "left", "top", "bottom"


@dataclass
class Route:
    """A connection's way. `gutter` None: from the source's right side to the target's left."""

    source: Node
    target: Node
    kind: str
    gutter: int | None = None
    source_side: str = RIGHT
    target_side: str = LEFT
    lane: int = 0

    @property
    def span(self) -> int:
        """How many columns it goes."""
        return self.target.column - self.source.column

    @property
    def stands(self) -> bool:
        """Whether its turn belongs to the row below its gutter."""
        return self.gutter in (self.target.row, self.source.row)


@dataclass(frozen=True)
class Routes:
    """All ways. `ports`: for a node's top or bottom, the ways that end there, left to right."""

    every: tuple[Route, ...]
    ports: dict[tuple[str, str], list[Route]] = field(default_factory=dict)


def routes(grid: Grid) -> Routes:
    """Choose a way for every connection of a grid."""
    at = {node.id: node for node in grid.nodes}
    taken = {(node.column, node.row) for node in grid.nodes}
    every = tuple(_route(at[edge.source], node, edge.kind, taken) for node in grid.nodes for edge in node.edges)
    ends: dict[tuple[str, str], list[Route]] = defaultdict(list)
    for route in every:
        if route.gutter is not None:
            ends[route.source.id, route.source_side].append(route)
            ends[route.target.id, route.target_side].append(route)
    return Routes(every, {end: _in_order(end[0], found) for end, found in ends.items()})


def _route(source: Node, target: Node, kind: str, taken: set[tuple[int, int]]) -> Route:
    route = Route(source, target, kind)
    between = range(source.column + 1, target.column)
    if not between or (source.row == target.row and not any((column, source.row) in taken for column in between)):
        return route
    if source.row == target.row:
        route.gutter, route.source_side, route.target_side = source.row, TOP, TOP
        return route
    down = source.row < target.row
    rows = range(min(source.row, target.row) + 1, max(source.row, target.row))
    blocked = any((source.column, row) in taken for row in rows)
    turn_first = blocked and not any((target.column, row) in taken for row in rows)
    route.source_side, route.target_side = (BOTTOM, TOP) if down else (TOP, BOTTOM)
    if turn_first:
        route.gutter = source.row + 1 if down else source.row
    else:
        route.gutter = target.row if down else target.row + 1
    return route


def _in_order(node: str, found: list[Route]) -> list[Route]:
    """Arriving ones before leaving ones; outside, with the longest way, are those of the highest lanes."""
    arriving = sorted((route for route in found if route.target.id == node), key=lambda route: route.span)
    leaving = sorted((route for route in found if route.source.id == node), key=lambda route: -route.span)
    return [*arriving, *leaving]


def lanes(ways: Iterable[Route], reach: Callable[[Route], tuple[float, float]]) -> dict[int, tuple[int, int]]:
    """Give every way through a gutter a lane of its own where it would touch another's; `reach` is its (left, right).

    Lanes count from the row that the way belongs to. Returns how many hang and how many stand in each gutter.
    """
    counts: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    used: dict[tuple[int, bool], list[list[tuple[float, float]]]] = defaultdict(list)
    for route in sorted((way for way in ways if way.gutter is not None), key=lambda way: way.span):
        assert route.gutter is not None
        lines = used[route.gutter, route.stands]
        left, right = reach(route)
        # The lowest lane above all that it passes over: below one of those it would cross its ends.
        touched = [
            index for index, line in enumerate(lines) if any(left <= end and start <= right for start, end in line)
        ]
        route.lane = touched[-1] + 1 if touched else 0
        if route.lane == len(lines):
            lines.append([])
        lines[route.lane].append((left, right))
        hanging, standing = counts[route.gutter]
        counts[route.gutter] = (hanging, len(lines)) if route.stands else (len(lines), standing)
    return counts
