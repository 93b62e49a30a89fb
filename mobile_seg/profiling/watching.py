"""Where the time goes on any device, through a runner that watches operations."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from mobile_seg.artifact import kind_of
from mobile_seg.errors import UsageError
from mobile_seg.profiling.devices.base import Device
from mobile_seg.profiling.operations.peaks import measure_peaks_by
from mobile_seg.profiling.operations.records import OperationProfile
from mobile_seg.profiling.operations.roofline import Roofline, roofline
from mobile_seg.profiling.runners.base import Job, Runner, Watching

PEAK_RUNS, PEAK_WARMUP = 15, 1
"""Runs of each of the models that show limits, and discarded ones before."""


def watch_operations(
    model: Path, *, device: Device, runner: Runner, job: Job, tell: Callable[[str], None] = lambda doing: None
) -> tuple[OperationProfile, Roofline | None]:
    """Profile a `.tflite` file by operation, and hold it against the device's limits, measured just before.

    Limits are those of the CPU, by the fastest of single runs: there are none where another delegate computes, or the
    runner tells no single runs. `tell` is called with what is being done.

    Raises:
        UsageError: for another format, or a runner or delegate that tells nothing of operations.
        DeviceLostError, ProfileError: as their names say.
    """
    if kind_of(model) != "tflite":
        raise UsageError(f"{model} is not a .tflite file, the only format profiled by operation; export it first")
    if not isinstance(runner, Watching):
        raise UsageError(f"--runner {runner.name} tells nothing of operations; choose litert, benchmark_model or c")
    with device.workspace() as workspace:

        def times(path: Path) -> Sequence[float]:
            short = dataclasses.replace(job, warmup=PEAK_WARMUP, runs=PEAK_RUNS)
            return runner.prepare(device, workspace, path)(short).samples_ms

        peaks = None
        if runner.tells_runs and job.delegate in ("xnnpack", "none"):
            tell("measuring the device's limits")
            label = device.facts().label
            peaks = measure_peaks_by(times, cpu=label, runtime=runner.runtime, threads=job.threads)
        tell("profiling each operation")
        profile = runner.watch(device, workspace, model)(job)
    return profile, None if peaks is None else roofline(profile, peaks)
