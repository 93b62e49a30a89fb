"""What would be wrong in a network's picture, whatever the network."""

from itertools import combinations, pairwise

from mobile_seg.models.structure import Structure
from mobile_seg.report.network_layout import Point, Words, _Placed, layout
from mobile_seg.report.network_nodes import Node, grid

Area = tuple[float, float, float, float]
SLACK = 0.5


def faults(structure: Structure) -> list[str]:
    """Blocks over blocks, lines through blocks, lines upon lines, lines that end elsewhere, words outside."""
    placed = _Placed(grid(structure))
    areas = {node.id: _area(placed, node) for node in placed.grid.nodes}
    found = [f"{one} lies over {other}" for (one, a), (other, b) in combinations(areas.items(), 2) if _meet(a, b)]
    wires = [(way, placed._wire(way).points) for way in placed.ways.every]
    for way, points in wires:
        name = f"{way.source.id} to {way.target.id}"
        if not _on_edge(points[0], areas[way.source.id]) or not _on_edge(points[-1], areas[way.target.id]):
            found.append(f"{name} does not join them")
        for start, end in pairwise(points):
            found += [f"{name} runs through {node}" for node, area in areas.items() if _meet(_thin(start, end), area)]
            if start.x != end.x and start.y != end.y:
                found.append(f"{name} runs askew")
    for (one, first), (other, second) in combinations(wires, 2):
        if one.source is not other.source and one.target is not other.target and _overlap(first, second):
            found.append(f"{one.source.id} to {one.target.id} lies upon {other.source.id} to {other.target.id}")
    drawing = layout(placed.grid, title=structure.name, facts="")
    for shape in drawing.shapes:
        x, y = (shape.x, shape.y) if not hasattr(shape, "points") else shape.points[-1]
        if not (0 <= x <= drawing.width and 0 <= y <= drawing.height):
            found.append(f"{shape} is outside")
    drawn = {shape.text for shape in drawing.shapes if isinstance(shape, Words)}
    return found + [f"{node.name} is not named" for node in placed.grid.nodes if node.name not in drawn]


def _area(placed: _Placed, node: Node) -> Area:
    left, top = placed.lefts[node.column], placed.tops[node.row]
    return left, top, left + placed.widths[node.column], top + placed.cell


def _thin(start: Point, end: Point) -> Area:
    return min(start.x, end.x), min(start.y, end.y), max(start.x, end.x), max(start.y, end.y)


def _meet(a: Area, b: Area) -> bool:
    return a[0] < b[2] - SLACK and b[0] < a[2] - SLACK and a[1] < b[3] - SLACK and b[1] < a[3] - SLACK


def _on_edge(point: Point, area: Area) -> bool:
    left, top, right, bottom = area
    across = abs(point.x - left) < SLACK or abs(point.x - right) < SLACK
    along = abs(point.y - top) < SLACK or abs(point.y - bottom) < SLACK
    return (across and top <= point.y <= bottom) or (along and left <= point.x <= right)


def _overlap(first: tuple[Point, ...], second: tuple[Point, ...]) -> bool:
    """Whether two lines run upon each other for more than a corner's length."""
    for (a, b), (c, d) in ((one, other) for one in pairwise(first) for other in pairwise(second)):
        if a.x == b.x and c.x == d.x and abs(a.x - c.x) < 2:
            low, high = max(min(a.y, b.y), min(c.y, d.y)), min(max(a.y, b.y), max(c.y, d.y))
        elif a.y == b.y and c.y == d.y and abs(a.y - c.y) < 2:
            low, high = max(min(a.x, b.x), min(c.x, d.x)), min(max(a.x, b.x), max(c.x, d.x))
        else:
            continue
        if high - low > 2:
            return True
    return False
