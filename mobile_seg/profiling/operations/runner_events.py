"""Reads the `operations` of the results that our own runners write (`mobile_seg.profiling.runners.result`)."""

import os
from typing import Any

from mobile_seg.artifact import sha256
from mobile_seg.errors import ProfileError
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.operations.records import OperationProfile, TimedKernel
from mobile_seg.profiling.operations.tracing import trace


def read_events(
    value: dict[str, Any],
    *,
    model: str | os.PathLike[str],
    device: str,
    runtime: str,
    mode: str = "delegate",
    threads: int | None = None,
    unprofiled_ms: float | None = None,
) -> OperationProfile:
    """Return the profile in a runner's result, traced to the operations of `model`, the file it ran.

    `unprofiled_ms` is the median of the measured inferences of the same result, which are not watched.

    Raises:
        ProfileError: if the result holds no operations, or its runs executed different ones.
        ArtifactError: if `model` cannot be read.
    """
    events, runs = value.get("operations"), value.get("profiled_runs")
    if not isinstance(events, list) or not events or not isinstance(runs, int) or runs < 1:
        raise ProfileError("the runner's result holds no operations; ask it for profiled runs")
    length, rest = divmod(len(events), runs)
    try:
        taken = [
            [(str(one["name"]), bool(one["inner"]), int(one["node"])) for one in events[start : start + length]]
            for start in range(0, length * runs, length)
        ]
        spans = [1e-3 * float(one["us"]) for one in events]
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"an operation in the runner's result cannot be read: {error!r}") from error
    if rest or any(run != taken[0] for run in taken):
        raise ProfileError("the runs executed different operations, so their times cannot be put together")
    kernels = [
        TimedKernel(name, tuple(spans[at::length]), **{"order" if inner else "node": number})
        for at, (name, inner, number) in enumerate(taken[0])
    ]
    return OperationProfile(
        path=str(model),
        sha256=sha256(model),
        device=device,
        runtime=runtime,
        mode=mode,
        threads=threads,
        warmup=None,
        runs=runs,
        unprofiled_ms=unprofiled_ms,
        profiled_ms=None,
        operations=trace(read_graph(model), kernels),
    )
