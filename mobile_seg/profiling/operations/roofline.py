"""How far each operation is from the machine's limit, and where the difference is lost.

The roofline model (Williams, Waterman and Patterson, Communications of the ACM 2009): an operation takes at least as
long as its multiply-adds at the peak rate, and as its bytes at the bandwidth, whichever is longer.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mobile_seg.errors import ProfileError, UsageError, choose
from mobile_seg.profiling.operations.costs import Cost
from mobile_seg.profiling.operations.peaks import Peaks
from mobile_seg.profiling.operations.records import UNTRACED, OperationProfile, OperationTime

COMPUTE, MEMORY, NOTHING = "compute", "memory", "nothing"
KEYS = ("layer", "block", "part")


@dataclass(frozen=True)
class Limited:
    """An operation beside its limit. `bound` is what sets it: `compute`, `memory`, or `nothing` where nothing ran."""

    operation: OperationTime
    limit_ms: float
    bound: str

    @property
    def lost_ms(self) -> float:
        """Return the time above the limit; negative where it was beaten, by data still in a nearer cache."""
        return self.operation.milliseconds - self.limit_ms

    @property
    def share(self) -> float | None:
        """Return the share of the limit that was reached, 1 at the limit; None where no time was measured."""
        return self.limit_ms / self.operation.milliseconds if self.operation.milliseconds else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        limits = {"limit_ms": self.limit_ms, "bound": self.bound, "share": self.share, "lost_ms": self.lost_ms}
        return self.operation.to_dict() | limits


@dataclass(frozen=True)
class LimitedGroup:
    """Operations that share a layer, a block or a part, together; times in milliseconds."""

    name: str
    operations: int
    milliseconds: float
    limit_ms: float
    macs: int
    bytes: int

    @property
    def lost_ms(self) -> float:
        """Return the time above the limit."""
        return self.milliseconds - self.limit_ms

    @property
    def share(self) -> float | None:
        """Return the share of the limit that was reached; None where no time was measured."""
        return self.limit_ms / self.milliseconds if self.milliseconds else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"share": self.share, "lost_ms": self.lost_ms}


@dataclass(frozen=True)
class Roofline:
    """A profile held against the machine's peaks."""

    profile: OperationProfile
    peaks: Peaks
    operations: tuple[Limited, ...]

    @property
    def limit_ms(self) -> float:
        """Return the roofline sum: what the operations would take if each ran at its limit."""
        return sum(one.limit_ms for one in self.operations)

    @property
    def inference_ms(self) -> float:
        """Return the median of whole inferences with the profiler off.

        Raises:
            ProfileError: if the profile does not hold it.
        """
        if self.profile.unprofiled_ms is None:
            raise ProfileError("the profile holds no time without the profiler; take it with profile_operations")
        return self.profile.unprofiled_ms

    @property
    def share(self) -> float:
        """Return the share of the roofline sum that whole inferences reach."""
        return self.limit_ms / self.inference_ms

    @property
    def between_ms(self) -> float:
        """Return what inference takes beyond the sum of its operations' medians; below 0 if the profiler slows them."""
        return self.inference_ms - self.profile.sum_ms

    def by(self, key: str) -> tuple[LimitedGroup, ...]:
        """Return the sums by `layer`, `block` or `part`, in the order of first appearance.

        Raises:
            UsageError: for another key.
        """
        choose("key", key, KEYS)
        gathered: dict[str, list[Limited]] = defaultdict(list)
        for one in self.operations:
            gathered[getattr(one.operation, key)].append(one)
        return tuple(_group(name, members) for name, members in gathered.items())

    def lost(self) -> tuple[LimitedGroup, ...]:
        """Return the layers by the time they lose, most first."""
        return tuple(sorted(self.by("layer"), key=lambda group: -group.lost_ms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `operations` are the profile's with their limits."""
        totals = {"limit_ms": self.limit_ms, "share": self.share, "between_ms": self.between_ms}
        return {
            **self.profile.to_dict(),
            **totals,
            "peaks": self.peaks.to_dict(),
            "operations": [one.to_dict() for one in self.operations],
            "parts": [group.to_dict() for group in self.by("part")],
            "blocks": [group.to_dict() for group in self.by("block")],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Roofline":
        """Read what `to_dict` wrote; limits are worked out anew."""
        return roofline(OperationProfile.from_dict(value), Peaks.from_dict(value["peaks"]))


def roofline(profile: OperationProfile, peaks: Peaks) -> Roofline:
    """Hold a profile against peaks that were measured on the same machine, with as many threads.

    Raises:
        UsageError: if they are of another machine, thread count or runtime, or the profile was read without its model.
    """
    told = ((profile.device, profile.threads, profile.runtime), (peaks.cpu, peaks.threads, peaks.runtime))
    if told[0] != told[1]:
        raise UsageError(
            f"the profile is of {_said(*told[0])} and the peaks are of {_said(*told[1])}; measure both together"
        )
    if any(one.cost is None for one in profile.operations if one.part != UNTRACED):
        raise UsageError("the profile was read without its model, so costs are unknown; pass the .tflite file too")
    return Roofline(profile, peaks, tuple(_limited(operation, peaks) for operation in profile.operations))


def limit(cost: Cost, peaks: Peaks) -> tuple[float, str]:
    """Return the least time of an operation in milliseconds, and what bounds it."""
    compute = cost.macs / peaks.rate(cost.arithmetic) / 1e6
    memory = cost.bytes / peaks.bandwidth_at(cost.bytes) / 1e6
    return (compute, COMPUTE) if compute >= memory and cost.macs else (memory, MEMORY)


def _limited(operation: OperationTime, peaks: Peaks) -> Limited:
    """What ran as no kernel needs no time; a kernel whose operation is unknown has no limit, so all of it is lost."""
    if operation.cost is None or not operation.kernels:
        return Limited(operation, 0.0, NOTHING)
    return Limited(operation, *limit(operation.cost, peaks))


def _group(name: str, members: Iterable[Limited]) -> LimitedGroup:
    held = list(members)
    costs = [one.operation.cost for one in held if one.operation.cost is not None and one.operation.kernels]
    total: Callable[[Iterable[float]], float] = sum
    return LimitedGroup(
        name,
        len(held),
        total(one.operation.milliseconds for one in held),
        total(one.limit_ms for one in held),
        sum(cost.macs for cost in costs),
        sum(cost.bytes for cost in costs),
    )


def _said(device: str, threads: int | None, runtime: str) -> str:
    return f"{device}, {threads} threads, {runtime}"
