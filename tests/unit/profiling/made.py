"""Devices, runners and measurements made up for tests: numbers that are told, not timed."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mobile_seg.errors import MobileSegError
from mobile_seg.profiling.devices.base import Device, Finished, Workspace
from mobile_seg.profiling.measurement import DelegateUse, DeviceFacts, DeviceState, Frequency, Measurement
from mobile_seg.profiling.runners.base import Job, RunResult

FACTS = DeviceFacts("adb", "Some Phone", "S1", "arm64-v8a", "Android 15", 8)
STATE = DeviceState((Frequency("policy0", 1_000_000, 2_000_000, 2_000_000),), (("CPU", 40.5),), 0)


class MadeDevice:
    """A device that remembers what it was asked; `answers` say how each process ends."""

    def __init__(
        self, answers: Callable[[Sequence[str]], Finished] | None = None, *, facts: DeviceFacts = FACTS
    ) -> None:
        self.answers, self._facts = answers, facts
        self.pushed: list[tuple[str, bool]] = []
        self.ran: list[tuple[list[str], dict[str, str], str]] = []
        self.files: dict[str, bytes] = {}
        self.folder = "/data/local/tmp/made"
        self.open = 0

    def facts(self) -> DeviceFacts:
        return self._facts

    def state(self) -> DeviceState:
        return STATE

    @contextlib.contextmanager
    def workspace(self) -> Iterator["MadeDevice"]:
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    def put(self, local: Path, *, executable: bool = False) -> str:
        self.pushed.append((local.name, executable))
        return f"{self.folder}/{local.name}"

    def get(self, path: str) -> bytes:
        return self.files[path]

    def end(self) -> None:
        self.ended = True

    def run(
        self, words: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, mask: str = ""
    ) -> Finished:
        self.ran.append((list(words), dict(environment or {}), mask))
        assert self.answers is not None
        return self.answers(words)


class MadeRunner:
    """A runner whose results are told by `result`, called with the job and how often it ran."""

    name = "made"
    delegates: tuple[str, ...] = ("xnnpack", "gpu", "none")

    def __init__(self, result: Callable[[Job, int], RunResult]) -> None:
        self._result = result
        self.jobs: list[Job] = []

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        def once(job: Job) -> RunResult:
            self.jobs.append(job)
            return self._result(job, sum(one == job for one in self.jobs))

        return once


def result(samples: Sequence[float], *, delegate: str = "xnnpack", taken: str = "all", **more: Any) -> RunResult:
    """What one process measured."""
    return RunResult(tuple(samples), 5.0, 20.0, 1 << 20, DelegateUse(delegate, taken), **more)


def measurement(rounds: Sequence[Sequence[float]], **changed: Any) -> Measurement:
    """A measurement with these samples."""
    made = Measurement(
        model="m.tflite",
        sha256="ab",
        size_bytes=10,
        device=FACTS,
        runner="made",
        delegate=DelegateUse("xnnpack", "part", 3, 4, "said"),
        threads=1,
        mask="",
        warmup=5,
        runs=len(rounds[0]),
        rounds=tuple(tuple(samples) for samples in rounds),
        sample="run",
        p95_ms=12.0,
        init_ms=5.0,
        first_run_ms=20.0,
        peak_memory_bytes=1 << 20,
        tolerance=0.02,
        before=STATE,
        after=STATE,
        versions=(("litert", "2.3.0"),),
        created="2026-01-01T00:00:00+00:00",
    )
    return dataclasses.replace(made, **changed)


def raising(error: MobileSegError) -> Callable[[Job, int], RunResult]:
    """A result that is none."""

    def fail(job: Job, number: int) -> RunResult:
        raise error

    return fail
