"""What a profile by operation holds."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.profiling.operations.costs import Cost

ADDS_UP = 0.85
"""The operations' medians come to at least this share of an inference when nothing else runs."""

UNTRACED = "untraced"
"""The part, and the block, of a delegate's kernel whose operation is not known."""


@dataclass(frozen=True)
class TimedKernel:
    """One kernel that ran, in the order of the run; times in milliseconds, one per profiled run.

    A kernel of the runtime itself has `node`, the number of its operation in the main graph. One inside a delegate
    has `order`, its place in its partition, counted from 0 anew in each.
    """

    name: str
    samples_ms: tuple[float, ...]
    node: int | None = None
    order: int | None = None

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return float(np.median(self.samples_ms))


@dataclass(frozen=True)
class OperationTime:
    """One operation of the graph: who it is, what it costs, and the median of its time.

    `index` is its number in the main graph, None where it is not known. A delegate's kernel that could not be traced
    back to an operation goes by its own name and is in the part `UNTRACED`. `kernels` are the names of what ran for
    it, as the runtime says them: none if it was fused into a neighbour or moves nothing. `cost` is None where the
    graph is unknown.
    """

    index: int | None
    operation: str
    layer: str
    block: str
    part: str
    delegated: bool
    kernels: tuple[str, ...]
    milliseconds: float
    cost: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"cost": None if self.cost is None else self.cost.to_dict()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "OperationTime":
        """Read what `to_dict` wrote; other keys are left alone."""
        known = {field.name: value[field.name] for field in dataclasses.fields(cls)}
        cost = None if known["cost"] is None else Cost.from_dict(known["cost"])
        return cls(**known | {"kernels": tuple(known["kernels"]), "cost": cost})


@dataclass(frozen=True)
class Group:
    """Operations that share a name: of a layer, a block or a part."""

    name: str
    operations: int
    milliseconds: float
    macs: int


@dataclass(frozen=True)
class OperationProfile:
    """Where the time of one inference goes, in the order of the graph.

    `mode` is `delegate` (XNNPACK's kernels), `builtin` (those of the runtime itself), or another delegate's name.
    `unprofiled_ms` is the median of whole inferences with the profiler off, `profiled_ms` with it on; None where it
    was not told. The operations' medians need not add up to either: medians do not, and what lies between kernels is
    in none of them.
    """

    path: str
    sha256: str
    device: str
    runtime: str
    mode: str
    threads: int | None
    warmup: int | None
    runs: int | None
    unprofiled_ms: float | None
    profiled_ms: float | None
    operations: tuple[OperationTime, ...]

    @property
    def sum_ms(self) -> float:
        """Return the sum of the operations' medians."""
        return sum(operation.milliseconds for operation in self.operations)

    @property
    def adds_up(self) -> bool:
        """Return whether the operations' medians make up an inference, where that was timed.

        On a busy machine they do not: an interruption lengthens every inference but few of any operation's times.
        """
        return self.unprofiled_ms is None or self.sum_ms >= ADDS_UP * self.unprofiled_ms

    @property
    def untraced(self) -> tuple[OperationTime, ...]:
        """Return the kernels that could not be traced back to an operation."""
        return tuple(operation for operation in self.operations if operation.part == UNTRACED)

    def by(self, key: str) -> tuple[Group, ...]:
        """Return the sums by `layer`, `block` or `part`, in the order of first appearance."""
        read: Callable[[OperationTime], str] = {
            "layer": lambda one: one.layer,
            "block": lambda one: one.block,
            "part": lambda one: one.part,
        }[key]
        gathered: dict[str, list[OperationTime]] = defaultdict(list)
        for operation in self.operations:
            gathered[read(operation)].append(operation)
        return tuple(
            Group(
                name,
                len(members),
                sum(one.milliseconds for one in members),
                sum(one.cost.macs for one in members if one.cost is not None),
            )
            for name, members in gathered.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the sums by part and block included."""
        return dataclasses.asdict(self) | {
            "sum_ms": self.sum_ms,
            "operations": [operation.to_dict() for operation in self.operations],
            "parts": [dataclasses.asdict(group) for group in self.by("part")],
            "blocks": [dataclasses.asdict(group) for group in self.by("block")],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "OperationProfile":
        """Read what `to_dict` wrote; other keys are left alone."""
        known = {field.name: value[field.name] for field in dataclasses.fields(cls)}
        return cls(**known | {"operations": tuple(OperationTime.from_dict(one) for one in known["operations"])})
