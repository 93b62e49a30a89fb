"""A profile by operation as tables: by part, by block, and the layers that matter most. No printing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mobile_seg.cli.inspect import clean
from mobile_seg.cli.terminal import table

if TYPE_CHECKING:
    from mobile_seg.profiling.operations.records import Group, OperationProfile, OperationTime
    from mobile_seg.profiling.operations.roofline import LimitedGroup, Roofline

MOST = 15
"""Blocks and layers shown; `--json` has all."""

WIDEST = 44
"""Letters of a name."""

BUSY = "the machine was busy with something else, or the network is so small that calling it takes the time"

MODES = {"delegate": "XNNPACK's kernels", "builtin": "LiteRT's own kernels"}


def lines(profile: "OperationProfile", roofline: "Roofline | None" = None, *, most: int = MOST) -> list[str]:
    """Return what a terminal shows; with `roofline`, how far from the machine's limit each line is."""
    said = [_heading(profile), "", *_groups("part", profile, roofline, most=None)]
    said += ["", *_groups("block", profile, roofline, most=most)]
    said += ["", *_layers(profile, most=most)]
    if roofline is not None:
        said += ["", *_lost(roofline, most=most), "", *_limits(roofline)]
    said += ["", *_totals(profile)]
    return said


def _heading(profile: "OperationProfile") -> str:
    parts = [
        MODES.get(profile.mode, profile.mode),
        "" if profile.threads is None else f"{profile.threads} thread{'s' * (profile.threads > 1)}",
        "" if profile.runs is None else f"{profile.runs} runs",
        profile.device,
        profile.runtime,
    ]
    return ", ".join(part for part in parts if part)


def _groups(key: str, profile: "OperationProfile", roofline: "Roofline | None", *, most: int | None) -> list[str]:
    """The sums by part or block, in the order of the graph, or the longest if there are too many."""
    groups: Sequence[Group | LimitedGroup] = profile.by(key) if roofline is None else roofline.by(key)
    shown: Sequence[Group | LimitedGroup] = groups
    if most is not None and len(groups) > most:
        shown = sorted(groups, key=lambda group: -group.milliseconds)[:most]
    total = profile.sum_ms
    rows = []
    for group in shown:
        row = [
            _name(group.name),
            str(group.operations),
            f"{group.milliseconds:.3f}",
            _percent(group.milliseconds, total),
        ]
        row.append(f"{group.macs / 1e6:.1f}")
        if roofline is not None:
            limited: LimitedGroup = group  # type: ignore[assignment]
            row += [f"{limited.limit_ms:.3f}", _share(limited.share)]
        rows.append(row)
    header = [key, "operations", "ms", "of all", "M mult-adds", *(["limit ms", "reached"] if roofline else [])]
    left = [f"… and {len(groups) - len(shown)} more"] if len(shown) < len(groups) else []
    return [*table(rows, header=header), *left]


def _layers(profile: "OperationProfile", *, most: int) -> list[str]:
    slowest = sorted(profile.operations, key=lambda one: -one.milliseconds)[:most]
    rows = [[_name(one.layer), one.operation, _kernel(one), f"{one.milliseconds:.3f}", *_costs(one)] for one in slowest]
    return table(rows, header=["slowest layers", "operation", "ran as", "ms", "M mult-adds", "kB moved"])


def _costs(one: "OperationTime") -> list[str]:
    return ["–", "–"] if one.cost is None else [f"{one.cost.macs / 1e6:.2f}", f"{one.cost.bytes / 1e3:.1f}"]


def _kernel(one: "OperationTime") -> str:
    if not one.kernels:
        return "nothing (fused)"
    return one.kernels[0] if one.delegated else "LiteRT's own"


def _lost(roofline: "Roofline", *, most: int) -> list[str]:
    bounds = {one.operation.layer: one.bound for one in roofline.operations}
    groups = [group for group in roofline.lost() if group.lost_ms > 0.0][:most]
    rows = [
        [_name(group.name), f"{group.lost_ms:.3f}", f"{group.limit_ms:.3f}", _share(group.share), bounds[group.name]]
        for group in groups
    ]
    return table(rows, header=["lost most by", "ms lost", "limit ms", "reached", "bound"]) if rows else []


def _limits(roofline: "Roofline") -> list[str]:
    peaks = roofline.peaks
    computed = ", ".join(f"{kind} {rate:.1f} G multiply-adds/s ({which})" for kind, which, rate in peaks.gmacs)
    moved = ", ".join(f"{rate:.0f} GB/s at {_bytes(size)}" for size, rate in peaks.bandwidth)
    return [
        f"limits of {peaks.cpu}, measured just now: {computed}",
        f"  {moved}",
        f"at these, the operations would take {roofline.limit_ms:.2f} ms; inference reaches {roofline.share:.0%}",
    ]


def _totals(profile: "OperationProfile") -> list[str]:
    parts = [f"sum of the operations {profile.sum_ms:.2f} ms"]
    if profile.unprofiled_ms is not None:
        parts.append(f"inference {profile.unprofiled_ms:.2f} ms")
    if profile.profiled_ms is not None:
        parts.append(f"with the profiler on {profile.profiled_ms:.2f} ms")
    said = ["; ".join(parts)]
    if not profile.adds_up:
        said.append(f"that does not add up: {BUSY}")
    if lost := profile.untraced:
        said.append(
            f"{len(lost)} kernels, {sum(one.milliseconds for one in lost):.2f} ms, could not be traced to an operation"
        )
    return said


def _name(name: str) -> str:
    shown = clean(name, longest=len(name) + 1)
    return shown if len(shown) <= WIDEST else f"…{shown[1 - WIDEST :]}"


def _percent(value: float, total: float) -> str:
    return f"{100 * value / total:.1f}%" if total else "–"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _bytes(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} kB"
