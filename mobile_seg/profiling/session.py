"""Measuring one model on devices: processes in turn until each median is known well enough."""

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from mobile_seg.artifact import kind_of, sha256
from mobile_seg.errors import MobileSegError, UsageError
from mobile_seg.profiling.confidence import is_tight
from mobile_seg.profiling.devices.base import Device, DeviceLostError, Workspace
from mobile_seg.profiling.measurement import DelegateUse, DeviceFacts, DeviceState, Measurement
from mobile_seg.profiling.runners.base import Job, Runner, RunResult
from mobile_seg.profiling.runners.registry import check_delegates

LEAST_ROUNDS = 2
"""Processes at least, so that what differs between processes is seen."""


@dataclass(frozen=True)
class Plan:
    """What to measure and how well.

    Every delegate with every thread count, in processes of `runs` runs after `warmup` discarded ones. Processes
    are added until the 95% interval of the median lies within `tolerance`, a fraction, of it, or there are
    `most_rounds`. `seconds` is the limit for one process.
    """

    delegates: tuple[str, ...] = ("xnnpack",)
    threads: tuple[int, ...] = (1, 2)
    warmup: int = 5
    runs: int = 30
    tolerance: float = 0.02
    most_rounds: int = 10
    seconds: float = 300.0
    mask: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not self.delegates or not self.threads or min(self.threads) < 1:
            raise UsageError(f"delegates={self.delegates}, threads={self.threads}; give at least one of each")
        if self.runs < 1 or self.warmup < 0 or self.most_rounds < LEAST_ROUNDS or self.seconds <= 0:
            raise UsageError(
                f"runs={self.runs}, warmup={self.warmup}, most_rounds={self.most_rounds}, seconds={self.seconds}; give "
                f"at least 1 run, no negative warm-up, {LEAST_ROUNDS} rounds or more and some seconds"
            )
        if not 0 < self.tolerance < 1:
            raise UsageError(f"tolerance={self.tolerance}; give a fraction between 0 and 1, such as 0.02")

    def jobs(self) -> list[Job]:
        """Return one job per delegate and thread count."""
        return [
            Job(delegate, threads, self.warmup, self.runs, self.seconds, self.mask)
            for delegate, threads in product(self.delegates, self.threads)
        ]


@dataclass(frozen=True)
class Failure:
    """What could not be measured; `delegate` and `threads` are None where nothing on the device could be."""

    device: str
    delegate: str | None
    threads: int | None
    error: MobileSegError


@dataclass(frozen=True)
class Outcome:
    """What was measured, and what was not."""

    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]


Keep = Callable[[Measurement], None]
"""Called with each measurement as soon as it is finished, in the thread that took it."""

Tell = Callable[[int, int, str], None]
"""Progress: processes done, processes at most, what is being measured."""


def profile_model(
    model: Path,
    *,
    devices: Sequence[Device],
    runner: Runner,
    plan: Plan,
    keep: Keep | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Measure a `.tflite` file on every device, all at once, each at its own pace.

    What fails on one device or with one delegate does not stop the others.

    Raises:
        UsageError: for another format, or a delegate that the runner cannot be asked for.
        ArtifactError: if there is no such file.
    """
    if kind_of(model) != "tflite":
        raise UsageError(f"{model} is not a .tflite file, the only format that is profiled; export it first")
    check_delegates(runner, plan.delegates)
    stop = threading.Event()
    sessions = [_Session(model, device, runner, plan, keep, tell, stop) for device in devices]
    if len(sessions) == 1:
        outcomes = [sessions[0].outcome()]
    else:
        with ThreadPoolExecutor(len(sessions)) as pool:
            try:
                outcomes = list(pool.map(_Session.outcome, sessions))
            except KeyboardInterrupt:
                stop.set()
                for session in sessions:
                    session.end()
                raise
    return Outcome(
        tuple(one for outcome in outcomes for one in outcome.measurements),
        tuple(one for outcome in outcomes for one in outcome.failures),
    )


class _Session:
    """One device's share of it."""

    def __init__(
        self,
        model: Path,
        device: Device,
        runner: Runner,
        plan: Plan,
        keep: Keep | None,
        tell: Tell | None,
        stop: threading.Event,
    ) -> None:
        self._model, self._device, self._runner, self._plan = model, device, runner, plan
        self._keep, self._tell, self._stop = keep, tell, stop
        self._results: dict[Job, list[RunResult]] = {job: [] for job in plan.jobs()}
        self._states: dict[Job, list[DeviceState]] = {job: [] for job in plan.jobs()}
        self._measured: dict[Job, Measurement] = {}
        self._failed: dict[Job, MobileSegError] = {}
        self._done = 0
        self._workspace: Workspace | None = None

    def end(self) -> None:
        """End the process that is waited for, from another thread; `outcome` then cleans up and returns."""
        if self._workspace is not None:
            with contextlib.suppress(MobileSegError):
                self._workspace.end()

    def outcome(self) -> Outcome:
        """Measure, and gather what came of it."""
        lost: list[Failure] = []
        label = getattr(self._device, "serial", "host")
        try:
            facts = self._device.facts()
            label = facts.label
            with self._device.workspace() as workspace:
                self._workspace = workspace
                once = self._runner.prepare(self._device, workspace, self._model)
                for job in self._rounds():
                    self._process(job, once, facts)
        except MobileSegError as error:
            lost.append(Failure(label, None, None, error))
        failed = [Failure(label, job.delegate, job.threads, error) for job, error in self._failed.items()]
        return Outcome(
            tuple(self._measured[job] for job in self._plan.jobs() if job in self._measured), (*failed, *lost)
        )

    def _rounds(self) -> Iterator[Job]:
        """Every unfinished job in turn, there and back (1, 2, 2, 1), so that a drift of the clock hits all alike."""
        jobs = self._plan.jobs()
        for number in range(self._plan.most_rounds):
            for job in jobs if number % 2 == 0 else reversed(jobs):
                if self._stop.is_set():
                    return
                if job not in self._failed and job not in self._measured:
                    yield job

    def _process(self, job: Job, once: Callable[[Job], RunResult], facts: DeviceFacts) -> None:
        if self._tell:
            most = len(self._results) * self._plan.most_rounds
            self._tell(self._done, most, f"{facts.label}: {job.delegate}, {job.threads} threads")
        self._done += 1
        states = self._states[job]
        if not states:
            states.append(self._device.state())
        try:
            self._results[job].append(once(job))
        except DeviceLostError:
            raise
        except MobileSegError as error:
            self._failed[job] = error
            return
        states[1:] = [self._device.state()]
        results = self._results[job]
        samples = [sample for result in results for sample in result.samples_ms]
        enough = len(results) >= LEAST_ROUNDS and is_tight(samples, tolerance=self._plan.tolerance)
        if enough or len(results) == self._plan.most_rounds:
            self._measured[job] = self._measurement(job, facts)
            if self._keep:
                self._keep(self._measured[job])

    def _measurement(self, job: Job, facts: DeviceFacts) -> Measurement:
        results, (before, after) = self._results[job], self._states[job]
        samples = [sample for result in results for sample in result.samples_ms]
        told = [result.p95_ms for result in results if result.p95_ms is not None]
        if results[0].sample == "run":
            p95: float | None = float(np.percentile(samples, 95))
        else:
            p95 = float(np.median(told)) if len(told) == len(results) else None
        return Measurement(
            model=self._model.name,
            sha256=sha256(self._model),
            size_bytes=self._model.stat().st_size,
            device=facts,
            runner=self._runner.name,
            delegate=_worst(results),
            threads=job.threads,
            mask=job.mask,
            warmup=job.warmup,
            runs=job.runs,
            rounds=tuple(result.samples_ms for result in results),
            sample=results[0].sample,
            p95_ms=p95,
            init_ms=float(np.median([result.init_ms for result in results])),
            first_run_ms=float(np.median([result.first_run_ms for result in results])),
            peak_memory_bytes=max(result.peak_memory_bytes for result in results),
            tolerance=self._plan.tolerance,
            before=before,
            after=after,
            versions=results[0].versions,
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        )


def _worst(results: Sequence[RunResult]) -> DelegateUse:
    """What became of the delegate where least of it was taken: one process that fell back is told."""
    order = ("none", "part", "all")
    return min((result.delegate for result in results), key=lambda use: order.index(use.taken))
