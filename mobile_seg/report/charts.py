"""Charts as inline SVG: plain functions from values to markup.

Lengths are percent of the drawing, so that a chart fits a phone and a wall without scaling its text.
Colours are left to the style sheet, by class, since they differ between light and dark.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mobile_seg.report.markup import escape, milliseconds, percent

BAR = 6
GAP = 2
MOST_POINTS = 600


@dataclass(frozen=True)
class Line:
    """One curve: a name, the style class that colours it, and its points `(x, y)` by rising x."""

    name: str
    kind: str
    points: tuple[tuple[float, float], ...]


def class_bars(values: Mapping[str, float | None]) -> str:
    """Return horizontal bars, one per series, for fractions 0..1 over a scale to 100%; None draws no bar."""
    height = len(values) * (BAR + GAP) - GAP
    grid = "".join(
        f'<line class="grid" x1="{at}%" x2="{at}%" y1="-6" y2="{height + 6}"/>' for at in (0, 25, 50, 75, 100)
    )
    bars = "".join(
        _bar(name, value, 100.0 * value, y=index * (BAR + GAP), note=percent(value))
        for index, (name, value) in enumerate(values.items())
        if value is not None
    )
    return f'<svg class="bars" width="100%" height="{height}" aria-hidden="true">{grid}{bars}</svg>'


def percent_axis() -> str:
    """Return the scale of `class_bars`, to stand above them."""
    labels = "".join(f'<text class="x" x="{at}%" y="12">{at}%</text>' for at in (0, 25, 50, 75, 100))
    return f'<svg class="bars" width="100%" height="14" aria-hidden="true">{labels}</svg>'


def stacked_bar(parts: Mapping[str, float], *, most: float) -> str:
    """Return one bar of stages end to end, in milliseconds, on a scale that ends at `most`."""
    segments, start = "", 0.0
    for name, value in parts.items():
        width = 100.0 * value / most
        segments += _bar(name, value, width, x=start, height=14, note=f"{milliseconds(value)} ms")
        start += width
    return f'<svg class="bars" width="100%" height="14" aria-hidden="true">{segments}</svg>'


def damage_bars(parts: Mapping[str, float], *, most: float) -> str:
    """Return horizontal bars, one per part, for shares of error on a scale that ends at `most`."""
    height = len(parts) * (BAR + GAP) - GAP
    bars = "".join(
        _bar(name, value, 100.0 * value / most, y=index * (BAR + GAP), note=percent(value))
        for index, (name, value) in enumerate(parts.items())
        if value
    )
    return f'<svg class="bars" width="100%" height="{height}" aria-hidden="true">{bars}</svg>'


def line_chart(title: str, lines: Sequence[Line], *, style: Callable[[float], str], floor: float = 0.0) -> str:
    """Return a chart of curves over training steps, its y axis from `floor` (or below) to a round number.

    `style` formats the numbers of the y axis. Curves of more than `MOST_POINTS` points are thinned evenly.
    Without any point the chart says so.
    """
    every = [point for line in lines for point in line.points]
    if not every:
        return f'<figure class="chart"><figcaption>{escape(title)}</figcaption><p>Nothing was recorded.</p></figure>'
    ys = ticks(min(floor, *(y for _, y in every)), max(y for _, y in every))
    xs = ticks(0.0, max(x for x, _ in every), most=5)
    right = max(x for x, _ in every)

    def place(x: float, y: float) -> tuple[float, float]:
        return 100.0 * x / (right or 1.0), 100.0 * (ys[-1] - y) / (ys[-1] - ys[0])

    marks = "".join(_y_tick(place(0.0, y)[1], style(y)) for y in ys)
    marks += "".join(_x_tick(place(x, ys[0])[0], f"{x:,.0f}") for x in xs if x <= right)
    marks += "".join(_curve(line, place) for line in lines if line.points)
    said = f"{title} over training steps: " + ", ".join(
        f"{line.name} ends at {style(line.points[-1][1])}" for line in lines if line.points
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption><div class="plot">'
        f'<svg width="100%" height="100%" role="img" aria-label="{escape(said)}">{marks}</svg></div></figure>'
    )


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Return at most `most` + 1 round, evenly spaced numbers that enclose `[low, high]`."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / (most - 1)))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def _bar(name: str, value: float, width: float, *, y: float = 0.0, x: float = 0.0, height: int = BAR, note: str) -> str:
    return (
        f'<rect class="{escape(name)}" x="{x:.3f}%" y="{y:g}" width="{width:.3f}%" height="{height}" '
        f'data-value="{value!r}"><title>{escape(name)} {escape(note)}</title></rect>'
    )


def _y_tick(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="0" x2="100%" y1="{y:.3f}%" y2="{y:.3f}%"/>'
        f'<text class="y" x="-8" y="{y:.3f}%" dy="0.35em">{escape(label)}</text>'
    )


def _x_tick(x: float, label: str) -> str:
    return f'<text class="x" x="{x:.3f}%" y="100%" dy="1.7em">{escape(label)}</text>'


def _curve(line: Line, place: Callable[[float, float], tuple[float, float]]) -> str:
    """A path stretched to the plot, and the name of the curve where it ends, or at its middle if it ends early."""
    stride = -(-len(line.points) // MOST_POINTS)
    kept = [*line.points[:-1:stride], line.points[-1]]
    placed = [place(x, y) for x, y in kept]
    path = " ".join(f"{x:.2f},{y:.2f}" for x, y in placed)
    ends = "".join(f'<circle class="{line.kind}" cx="{x:.3f}%" cy="{y:.3f}%" r="3"/>' for x, y in placed[-1:])
    return (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%">'
        f'<polyline class="{line.kind}" points="{path}"/></svg>{ends}'
    )
