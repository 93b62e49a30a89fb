"""Where the time goes and how far each layer is from the machine's limit, as a section of the page."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mobile_seg.report.charts import stacked_bar
from mobile_seg.report.markup import amount, bytes_, escape, milliseconds, percent, row, table

if TYPE_CHECKING:
    from mobile_seg.profiling.operations.peaks import Peaks
    from mobile_seg.profiling.operations.roofline import Limited, LimitedGroup, Roofline

MOST = 12
"""Layers listed by the time they lose."""

PARTS = ("stem", "backbone", "aspp", "head", "resize", "argmax", "quantize")
"""Parts that have a colour of their own; others share one."""


def section(found: "Roofline") -> str:
    """Return the section: a roofline plot with a point per operation, the parts, and the layers that lose most.

    Raises:
        ProfileError: if the profile holds no time without the profiler.
    """
    return (
        '<section id="roofline">\n<h2>Where the time goes</h2>\n'
        f'<p class="say">{_said(found)}</p>\n<p class="keys">{_keys(found)}</p>\n'
        f"{plot(found)}\n{_parts(found)}\n{_lost(found)}\n</section>"
    )


def plot(found: "Roofline") -> str:
    """Return the roofline plot: multiply-adds per byte against multiply-adds per second, both logarithmic.

    A slanted roof for the fastest and the slowest bandwidth, a flat one for the peak of each arithmetic that occurs.
    Operations without multiply-adds, or that no kernel ran for, have no place in it.
    """
    points = [point for one in found.operations if (point := _point(one)) is not None]
    if not points:
        return '<figure class="chart"><figcaption>Roofline</figcaption><p>No operation multiplies.</p></figure>'
    kinds = {one.operation.cost.arithmetic for one, _, _ in points if one.operation.cost is not None}
    roofs = [found.peaks.rate(kind) for kind in sorted(kinds)]
    ridges = [roof / bandwidth for roof in roofs for _, bandwidth in found.peaks.bandwidth]
    axes = _Axes([*(x for _, x, _ in points), *ridges], [*(y for _, _, y in points), *roofs])
    marks = axes.grid() + "".join(_roof(axes, found.peaks, kind) for kind in sorted(kinds))
    marks += "".join(_dot(axes, *point) for point in points)
    caption = "G multiply-adds per second over multiply-adds per byte moved, one point per operation"
    said = f"Roofline of {len(points)} operations; inference reaches {percent(found.share)} of the limit"
    return (
        f'<figure class="chart roofline"><figcaption>{caption}</figcaption><div class="plot">'
        f'<svg width="100%" height="100%" role="img" aria-label="{escape(said)}">{marks}</svg></div></figure>'
    )


class _Axes:
    """Two logarithmic axes over whole decades, in percent of the drawing."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x, self.y = _decades(xs), _decades(ys)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point stands, from the left and from the top."""
        (left, right), (low, high) = self.x, self.y
        return 100.0 * (math.log10(x) - left) / (right - left), 100.0 * (high - math.log10(y)) / (high - low)

    def grid(self) -> str:
        """Return a line and a label per decade."""
        marks = ""
        for power in range(self.y[0], self.y[1] + 1):
            _, at = self.place(1.0, 10.0**power)
            marks += f'<line class="grid" x1="0" x2="100%" y1="{at:.3f}%" y2="{at:.3f}%"/>'
            marks += f'<text class="y" x="-8" y="{at:.3f}%" dy="0.35em">{10.0**power:g}</text>'
        for power in range(self.x[0], self.x[1] + 1):
            at, _ = self.place(10.0**power, 1.0)
            marks += f'<text class="x" x="{at:.3f}%" y="100%" dy="1.7em">{10.0**power:g}</text>'
        return marks


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    return low, max(high, low + 1)


def _point(one: "Limited") -> "tuple[Limited, float, float] | None":
    """(operation, multiply-adds per byte, G multiply-adds per second)."""
    cost, taken = one.operation.cost, one.operation.milliseconds
    if cost is None or not cost.macs or not cost.intensity or not taken:
        return None
    return one, cost.intensity, cost.macs / taken / 1e6


def _dot(axes: _Axes, one: "Limited", intensity: float, rate: float) -> str:
    x, y = axes.place(intensity, rate)
    operation = one.operation
    share = "" if one.share is None else f", {percent(one.share)} of its limit"
    title = f"{operation.layer}: {milliseconds(operation.milliseconds)} ms{share} ({one.bound})"
    return (
        f'<circle class="{_kind(operation.part)}" cx="{x:.3f}%" cy="{y:.3f}%" r="3" data-value="{rate!r}">'
        f"<title>{escape(title)}</title></circle>"
    )


def _roof(axes: _Axes, peaks: "Peaks", arithmetic: str) -> str:
    """The limits of one arithmetic: slanted by bandwidth up to the ridge, flat beyond."""
    peak, left, right = peaks.rate(arithmetic), 10.0 ** axes.x[0], 10.0 ** axes.x[1]
    rates = [rate for _, rate in peaks.bandwidth]
    marks = ""
    for bandwidth in sorted({min(rates), max(rates)}):
        ridge = min(max(peak / bandwidth, left), right)
        floor = 10.0 ** axes.y[0]
        start = min(max(left, floor / bandwidth), ridge)
        marks += _line(axes, (start, min(start * bandwidth, peak)), (ridge, min(ridge * bandwidth, peak)))
    ridge = min(max(peak / max(rates), left), right)
    marks += _line(axes, (ridge, peak), (right, peak))
    x, y = axes.place(right, peak)
    return f'{marks}<text class="x" x="{x:.3f}%" y="{y:.3f}%" dy="-0.5em">{escape(arithmetic)}</text>'


def _line(axes: _Axes, start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = axes.place(*start), axes.place(*end)
    return f'<line class="roof" x1="{x1:.3f}%" y1="{y1:.3f}%" x2="{x2:.3f}%" y2="{y2:.3f}%"/>'


def _said(found: "Roofline") -> str:
    profile, peaks = found.profile, found.peaks
    threads = f"{peaks.threads} thread{'s' * (peaks.threads > 1)}"
    computed = " and ".join(f"{rate:.1f} G multiply-adds per second in {kind}" for kind, _, rate in peaks.gmacs)
    slowest, fastest = (pick(rate for _, rate in peaks.bandwidth) for pick in (min, max))
    return (
        f"If every operation ran at the limit of this machine, inference would take {milliseconds(found.limit_ms)} ms; "
        f"it takes {milliseconds(found.inference_ms)} ms and so reaches <b>{percent(found.share)}</b>. The limits were "
        f"measured beside it, through the same runtime: {escape(computed)}, and {slowest:.0f} to {fastest:.0f} GB per "
        f"second between memory and the nearest cache. {escape(profile.runtime)}, {escape(profile.device)}, {threads}."
    )


def _parts(found: "Roofline") -> str:
    groups = found.by("part")
    most = sum(max(group.milliseconds, 0.0) for group in groups) or 1.0
    rows = []
    for group in groups:
        bar = stacked_bar({_kind(group.name): group.milliseconds}, most=most)
        name = f'<span class="named"><span class="key {_kind(group.name)}">{escape(group.name)}</span></span>'
        rows.append(row(f'<div class="charted">{name}{bar}</div>', _cells(group)))
    head = ["part", "operations", "ms", "limit, ms", "reached", "multiply-adds", "bytes moved"]
    return table("Time by part of the network, medians of each operation added up", head, rows, kind="wide")


def _lost(found: "Roofline") -> str:
    groups = [group for group in found.lost() if group.lost_ms > 0.0][:MOST]
    bounds = {one.operation.layer: one.bound for one in found.operations}
    rows = [
        row(
            f"<code>{escape(group.name)}</code>",
            [
                milliseconds(group.lost_ms),
                milliseconds(group.milliseconds),
                milliseconds(group.limit_ms),
                "–" if group.share is None else percent(group.share),
                bounds[group.name],
            ],
            names=("lost, ms", "ms", "limit, ms", "reached", "bound by"),
        )
        for group in groups
    ]
    head = ["layer", "lost, ms", "ms", "limit, ms", "reached", "bound by"]
    return table("The layers that lose most against their limit", head, rows, kind="plain")


def _cells(group: "LimitedGroup") -> list[str]:
    reached = "–" if group.share is None else percent(group.share)
    times = [milliseconds(group.milliseconds), milliseconds(group.limit_ms)]
    return [str(group.operations), *times, reached, amount(group.macs), bytes_(group.bytes)]


def _keys(found: "Roofline") -> str:
    parts = dict.fromkeys(one.operation.part for one in found.operations)
    return " ".join(f'<span class="key {_kind(part)}">{escape(part)}</span>' for part in parts)


def _kind(part: str) -> str:
    """The class that colours a part."""
    return f"part-{part}" if part in PARTS else "part-other"
