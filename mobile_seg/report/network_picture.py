"""A network's picture as SVG text or as PNG bytes, both from the one layout."""

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from mobile_seg.models.structure import Structure
from mobile_seg.report.markup import amount, escape
from mobile_seg.report.network_layout import SIZES, Box, Drawing, Point, Shape, Words, layout
from mobile_seg.report.network_nodes import DOWN, SAME, UP, grid

FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
BOLD = ("title", "name")
QUIET = ("facts", "size", "key")
WIRES = (SAME, DOWN, UP)
RADIUS = 10.0
TIP = 6.0
THICK = 1.5

LIGHT = {
    "paper": "#ffffff",
    "ink": "#15181e",
    "quiet": "#5c6470",
    "band": "#f3f5f8",
    "rate1": "#dcebfa",
    "rate2": "#8fbdea",
    "rate4": "#1f5fae",
    "part": "#e4e7ec",
    "again": "#ffffff",
    "rate1-edge": "#6ea3d8",
    "rate2-edge": "#4b8dcb",
    "rate4-edge": "#8fbdea",
    "part-edge": "#8a93a1",
    "again-edge": "#8a93a1",
    "rate4-ink": "#ffffff",
    "badge": "#15181e",
    "badge-ink": "#ffffff",
    "same": "#7d8796",
    "down": "#0b7a75",
    "up": "#d9730d",
}
DARK = {
    **LIGHT,
    "paper": "#101317",
    "ink": "#eceef1",
    "quiet": "#a0a8b4",
    "band": "#181c22",
    "rate1": "#1d3550",
    "rate2": "#2f6299",
    "rate4": "#a5d0ff",
    "part": "#2a2f37",
    "again": "#101317",
    "rate1-edge": "#4a86c2",
    "rate2-edge": "#6fa8dc",
    "rate4-edge": "#2f6299",
    "part-edge": "#7b8594",
    "again-edge": "#7b8594",
    "rate4-ink": "#101317",
    "badge": "#eceef1",
    "badge-ink": "#101317",
    "same": "#7b8594",
    "down": "#3fc1b8",
    "up": "#ff9d4d",
}
"""Colours by kind: of a box, of its edge, of words on it; of a wire."""

SCALE = 2
_FINE = 2
"""A PNG has `SCALE` pixels for one of the layout, and is drawn `_FINE` times as large: Pillow's lines are hard."""


def draw(structure: Structure, *, title: str, facts: str) -> Drawing:
    """Lay out a network's picture under a title and a line of facts."""
    return layout(grid(structure), title=title, facts=facts)


def facts(structure: Structure, *setting: str) -> str:
    """What stands under the title: the input, what of the setting is to be said, and the costs."""
    height, width = structure.input_size
    counts = f"{amount(structure.params)} parameters", f"{amount(structure.macs)} multiply-adds"
    return " · ".join(word for word in (f"{height}x{width}", *setting, *counts) if word)


def svg(drawing: Drawing) -> str:
    """Return the picture as SVG for light and dark readers, its text as text."""
    width, height = math.ceil(drawing.width), math.ceil(drawing.height)
    shapes = "\n".join(part for shape in drawing.shapes for part in _markup(shape))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(drawing.about)}">\n<style>\n{_style()}\n</style>\n'
        f'<rect class="paper" width="{width}" height="{height}"/>\n{shapes}\n</svg>\n'
    )


def png(drawing: Drawing) -> bytes:
    """Return the picture as PNG, light, at twice the size of the SVG."""
    from PIL import Image, ImageDraw

    scale = SCALE * _FINE
    size = (math.ceil(drawing.width), math.ceil(drawing.height))
    image = Image.new("RGB", (size[0] * scale, size[1] * scale), LIGHT["paper"])
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        _paint(pen, shape, scale)
    image = image.resize((size[0] * SCALE, size[1] * SCALE), Image.Resampling.BOX)
    out = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _style() -> str:
    """Rules for light, then those for dark; spelled out, since not every viewer knows variables."""
    sizes = [f".{kind}{{font-size:{size:g}px}}" for kind, size in SIZES.items()]
    bold = ",".join(f".{kind}" for kind in BOLD)
    lines = [
        f"svg{{font-family:{FONT};color-scheme:light dark}}",
        "".join(sizes),
        f"{bold}{{font-weight:650}}.m{{text-anchor:middle}}path{{fill:none;stroke-width:{THICK}}}",
        _colours(LIGHT),
        f"@media(prefers-color-scheme:dark){{{_colours(DARK)}}}",
    ]
    return "\n".join(lines)


def _colours(theme: dict[str, str]) -> str:
    quiet = ",".join(f".{kind}" for kind in QUIET)
    rules = [f"text{{fill:{theme['ink']}}}{quiet}{{fill:{theme['quiet']}}}"]
    for kind, colour in theme.items():
        base, _, part = kind.partition("-")
        if base in WIRES:
            rules.append(f"path.{kind}{{stroke:{colour}}}polygon.{kind}{{fill:{colour}}}")
        elif part == "ink":
            rules.append(f".on-{base}{{fill:{colour}}}")
        elif base not in ("ink", "quiet"):
            rules.append(f"rect.{base}{{{'stroke' if part else 'fill'}:{colour}}}")
    return "".join(rules)


def _markup(shape: Shape) -> Iterator[str]:
    if isinstance(shape, Box):
        place = f'x="{shape.x:.4g}" y="{shape.y:.4g}" width="{shape.width:.4g}" height="{shape.height:.4g}"'
        rect = f'<rect class="{shape.kind}" {place} rx="{shape.radius:g}"'
        yield f"{rect}><title>{escape(shape.note)}</title></rect>" if shape.note else f"{rect}/>"
    elif isinstance(shape, Words):
        kinds = [shape.kind, *(["m"] if shape.anchor == "middle" else []), *([f"on-{shape.on}"] if shape.on else [])]
        place = f'x="{shape.x:.5g}" y="{shape.y:.5g}" dy="0.35em"'
        yield f'<text class="{" ".join(kinds)}" {place}>{escape(shape.text)}</text>'
    else:
        yield f'<path class="{shape.kind}" d="{_path(shape.points)}"/>'
        tip = " ".join(f"{x:.5g},{y:.5g}" for x, y in _tip(shape.points))
        yield f'<polygon class="{shape.kind}" points="{tip}"/>'


def _path(points: Sequence[Point]) -> str:
    start, *corners = _rounded(points)
    pieces = [f"M{start[0].x:.5g} {start[0].y:.5g}"]
    for corner in corners:
        pieces += [f"L{corner[0].x:.5g} {corner[0].y:.5g}"]
        if len(corner) == 3:
            pieces += [f"Q{corner[1].x:.5g} {corner[1].y:.5g} {corner[2].x:.5g} {corner[2].y:.5g}"]
    return "".join(pieces)


def _rounded(points: Sequence[Point]) -> Iterator[tuple[Point, ...]]:
    """The ends as they are, and each corner as (start, corner, end) of its rounding."""
    yield (points[0],)
    for at, (before, corner, after) in enumerate(zip(points, points[1:], points[2:], strict=False)):
        # Two corners share the piece between them; the first and the last piece belong to one, and to the tip.
        start = math.dist(before, corner) / (2 if at else 1)
        end = math.dist(corner, after) / 2 if at + 3 < len(points) else math.dist(corner, after) - TIP
        radius = min(RADIUS, start, end)
        yield _toward(corner, before, radius), corner, _toward(corner, after, radius)
    yield (_toward(points[-1], points[-2], TIP / 2),)  # the line ends inside its tip


def _toward(start: Point, end: Point, length: float) -> Point:
    share = length / (math.dist(start, end) or 1.0)
    return Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))


def _tip(points: Sequence[Point]) -> tuple[Point, Point, Point]:
    end, base = points[-1], _toward(points[-1], points[-2], TIP)
    across = Point((end.y - base.y) / 2, (base.x - end.x) / 2)
    return end, Point(base.x + across.x, base.y + across.y), Point(base.x - across.x, base.y - across.y)


def _paint(pen: Any, shape: Shape, scale: int) -> None:
    if isinstance(shape, Box):
        corners = (shape.x, shape.y, shape.x + shape.width, shape.y + shape.height)
        edge = LIGHT.get(f"{shape.kind}-edge")
        pen.rounded_rectangle(
            [scale * one for one in corners],
            scale * shape.radius,
            fill=LIGHT[shape.kind],
            outline=edge,
            width=scale if edge else 0,
        )
    elif isinstance(shape, Words):
        _write(pen, shape, scale)
    else:
        line = [(scale * x, scale * y) for x, y in _sampled(shape.points)]
        pen.line(line, fill=LIGHT[shape.kind], width=round(THICK * scale), joint="curve")
        pen.polygon([(scale * x, scale * y) for x, y in _tip(shape.points)], fill=LIGHT[shape.kind])


def _write(pen: Any, words: Words, scale: int) -> None:
    from PIL import ImageFont

    colour = LIGHT.get(f"{words.on}-ink") or LIGHT["quiet" if words.kind in QUIET else "ink"]
    pen.text(
        (scale * words.x, scale * words.y),
        words.text,
        fill=colour,
        font=ImageFont.load_default(scale * SIZES[words.kind]),
        anchor="mm" if words.anchor == "middle" else "lm",
        stroke_width=scale // 4 if words.kind in BOLD else 0,  # the font has no bold of its own
    )


def _sampled(points: Sequence[Point], steps: int = 8) -> Iterator[Point]:
    for corner in _rounded(points):
        if len(corner) < 3:
            yield corner[0]
            continue
        first, middle, last = corner
        for step in range(steps + 1):
            share = step / steps
            one, two = _between(first, middle, share), _between(middle, last, share)
            yield _between(one, two, share)


def _between(start: Point, end: Point, share: float) -> Point:
    return Point(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y))
