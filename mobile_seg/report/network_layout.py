"""Where everything of a network's picture stands: a list of shapes that the SVG and the PNG are both drawn from.

Lengths are SVG pixels, y downwards. Between two rows lies a gutter, where long connections run in lanes of their own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from mobile_seg.report.network_nodes import DOWN, SAME, UP, Grid, Node
from mobile_seg.report.network_routes import BOTTOM, Route, lanes, routes

LOW, TALL = 36.0, 50.0
"""Height of a row: of blocks with a name and a width, and of such with a dilation too."""

GAP = 19.0
NARROW = 36.0
MARGIN = 22.0
LABELS = 80.0
HEADER = 84.0
LANE = 7.0
PAD = 11.0
PORT = SIDE = 8.0
EMPTY = 15.0
LINE = 14.0
SIZES = {
    "title": 20.0,
    "facts": 13.0,
    "stride": 12.0,
    "size": 11.0,
    "name": 12.0,
    "line": 11.0,
    "badge": 9.5,
    "key": 12.0,
}
"""Of letters, by the kind of words."""

KEY = {
    "rate1": "block, with its channels",
    "rate2": "dilated by 2 or 3",
    "rate4": "dilated by 4 or more",
    "part": "stem or head",
    "again": "the same weights again",
    "badge": "times in series",
    SAME: "same stride",
    DOWN: "to a coarser stride",
    UP: "to a finer stride",
}


class Point(NamedTuple):
    """A place in the picture."""

    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """A rounded rectangle, with what shows when one points at it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    radius: float = 5.0
    note: str = ""


@dataclass(frozen=True)
class Wire:
    """A line along `points` with rounded corners, ending in an arrow's tip."""

    points: tuple[Point, ...]
    kind: str


@dataclass(frozen=True)
class Words:
    """One line of text around height `y`; `x` is its start or its middle. `on`: the kind of box it stands on."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"
    on: str = ""


Shape = Box | Wire | Words


@dataclass(frozen=True)
class Drawing:
    """Shapes from back to front; `about` says in words what is to be seen."""

    width: float
    height: float
    about: str
    shapes: tuple[Shape, ...]


def layout(grid: Grid, *, title: str, facts: str) -> Drawing:
    """Place a network's nodes and connections, and write around them what one needs to read them."""
    placed = _Placed(grid)
    words = max(width_of(title, "title"), width_of(facts, "facts")) + 2 * MARGIN
    width = max(placed.right + MARGIN, words)
    header = (Words(MARGIN, 32.0, title, "title"), Words(MARGIN, 56.0, facts, "facts"))
    key = list(_key(grid, placed.bottom + 30.0, width))
    height = max(shape.y for shape in key if isinstance(shape, Words)) + MARGIN
    shapes = (*header, *placed.bands(width), *placed.wires(), *placed.blocks(), *key)
    return Drawing(width, height, f"{title}: {facts}", shapes)


@cache
def width_of(text: str, kind: str) -> float:
    """How wide words come out, a little more than in the font we measure with: a reader's may be wider."""
    from PIL import ImageFont

    return 1.08 * ImageFont.load_default(SIZES[kind]).getlength(text)


class _Placed:
    """A grid with coordinates."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.cell = TALL if any(len(node.lines) > 1 for node in grid.nodes) else LOW
        widths = [max(_width(node) for node in grid.nodes if node.column == column) for column in range(grid.columns)]
        self.widths = widths
        self.lefts = [MARGIN + LABELS + sum(widths[:column]) + GAP * column for column in range(grid.columns)]
        self.right = self.lefts[-1] + widths[-1]
        self.ways = routes(grid)
        self.straight = [way for way in self.ways.every if way.gutter is None]
        counts = lanes(self.ways.every, self._reach)
        self.gutters = [counts.get(gutter, (0, 0)) for gutter in range(len(grid.rows) + 1)]
        self.tops = []
        y = HEADER
        for row in range(len(grid.rows)):
            y += self._gutter(row)
            self.tops.append(y)
            y += self.cell
        self.bottom = y + (self._gutter(len(grid.rows)) if sum(self.gutters[-1]) else 0.0)

    def bands(self, width: float) -> Iterator[Shape]:
        """A band for each row, named by its stride."""
        for row, top in zip(self.grid.rows, self.tops, strict=True):
            yield Box(MARGIN / 2, top - 5, width - MARGIN, self.cell + 10, "band", 8.0)
            middle = top + self.cell / 2
            name = f"stride {row.stride}" if row.stride else "no pixels"
            yield Words(MARGIN, middle - (LINE / 2 if row.size else 0), name, "stride")
            if row.size:
                yield Words(MARGIN, middle + LINE / 2, f"{row.size[0]}x{row.size[1]}", "size")

    def blocks(self) -> Iterator[Shape]:
        """The nodes, each with its words."""
        for node in self.grid.nodes:
            x, y, width = self.lefts[node.column], self.tops[node.row], self.widths[node.column]
            plain = node.kind in ("image", "output")
            if not plain:
                kind = "again" if node.shared else node.kind
                for behind in range(min(node.repeats, 3) - 1, 0, -1):
                    yield Box(x + 3 * behind, y + 3 * behind, width, self.cell - 6 * behind, kind)
                yield Box(x, y, width, self.cell, kind, note=node.note)
            lines = [node.name, *node.lines]
            for index, line in enumerate(lines):
                middle = y + self.cell / 2 + LINE * (index - (len(lines) - 1) / 2)
                on = "" if plain else node.kind
                yield Words(x + width / 2, middle, line, "line" if index else "name", "middle", on)
            if node.repeats > 1:
                yield from _badge(x + width, y, f"x{node.repeats}")

    def wires(self) -> Iterator[Wire]:
        """The connections, those of other strides above the rest."""
        for kind in (SAME, DOWN, UP):
            yield from (self._wire(way) for way in self.ways.every if way.kind == kind)

    def _wire(self, way: Route) -> Wire:
        source, target = way.source, way.target
        if way.gutter is None:
            start = Point(self.lefts[source.column] + self.widths[source.column], self._level(way, source, target))
            end = Point(self.lefts[target.column], self._level(way, target, source))
            turn = end.x - GAP / 2 + self._trunk(way)
            corners = (Point(turn, start.y), Point(turn, end.y)) if start.y != end.y else ()
            return Wire((start, *corners, end), way.kind)
        left, right, lane = self._port(way, source), self._port(way, target), self._lane(way)
        ends = self._side(source, way.source_side), self._side(target, way.target_side)
        return Wire((Point(left, ends[0]), Point(left, lane), Point(right, lane), Point(right, ends[1])), way.kind)

    def _level(self, way: Route, node: Node, other: Node) -> float:
        """Where a way meets the side of `node`: in the middle, or toward `other` where several meet there."""
        middle = self.tops[node.row] + self.cell / 2
        arrives = node is way.target
        here = [one for one in self.straight if (one.target if arrives else one.source) is node]
        if node.row != other.row:
            return middle + (math.copysign(SIDE, other.row - node.row) if len(here) > 1 else 0.0)
        twins = [one for one in here if (one.source, one.target) == (way.source, way.target)]
        return middle + SIDE * (twins.index(way) - (len(twins) - 1) / 2)

    def _trunk(self, way: Route) -> float:
        """How far from the middle of a gap a way climbs, so that those to different nodes are apart."""
        climbing = [
            other.target.id
            for other in self.straight
            if other.target.column == way.target.column and other.source.row != other.target.row
        ]
        apart = list(dict.fromkeys(climbing))
        return 5.0 * (apart.index(way.target.id) - (len(apart) - 1) / 2) if way.target.id in apart else 0.0

    def _side(self, node: Node, side: str) -> float:
        return self.tops[node.row] + (self.cell if side == BOTTOM else 0.0)

    def _port(self, way: Route, node: Node) -> float:
        side = way.source_side if node is way.source else way.target_side
        found = self.ways.ports[node.id, side]
        width = self.widths[node.column]
        step = min(PORT, (width - 10.0) / len(found))
        return self.lefts[node.column] + width / 2 + step * (found.index(way) - (len(found) - 1) / 2)

    def _reach(self, way: Route) -> tuple[float, float]:
        return self._port(way, way.source) - 2.0, self._port(way, way.target) + 2.0

    def _gutter(self, gutter: int) -> float:
        count = sum(self.gutters[gutter])
        return 2 * PAD + LANE * (count - 1) if count else EMPTY

    def _lane(self, way: Route) -> float:
        assert way.gutter is not None
        if way.stands:
            return self.tops[way.gutter] - PAD - LANE * way.lane
        return self.tops[way.gutter - 1] + self.cell + PAD + LANE * way.lane


def _width(node: Node) -> float:
    lines = [width_of(node.name, "name"), *(width_of(line, "line") for line in node.lines)]
    return max(NARROW, max(lines) + 8.0)


def _badge(right: float, y: float, text: str) -> Iterator[Shape]:
    width = width_of(text, "badge") + 8.0
    yield Box(right - width + 13, y - 8, width, 14.0, "badge", 7.0)
    yield Words(right - width / 2 + 13, y - 1, text, "badge", "middle", "badge")


def _key(grid: Grid, top: float, width: float) -> Iterator[Shape]:
    """What colours, badges and lines mean, of those that are there."""
    kinds = {"again" if node.shared else node.kind for node in grid.nodes}
    kinds |= {edge.kind for node in grid.nodes for edge in node.edges}
    kinds |= {"badge" for node in grid.nodes if node.repeats > 1}
    x, y = MARGIN, top
    for kind, words in KEY.items():
        if kind not in kinds:
            continue
        long = width_of(words, "key")
        if x > MARGIN and x + 34.0 + long > width - MARGIN:
            x, y = MARGIN, y + 24.0
        if kind in (SAME, DOWN, UP):
            yield Wire((Point(x, y), Point(x + 26.0, y)), kind)
        elif kind == "badge":
            yield from _badge(x + 11.0, y + 1.0, "x3")
        else:
            yield Box(x, y - 7.0, 26.0, 14.0, kind, 4.0)
        yield Words(x + 34.0, y, words, "key")
        x += 34.0 + long + 22.0
