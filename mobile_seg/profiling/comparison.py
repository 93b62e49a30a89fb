"""Is one model faster than another, and by more than the noise?"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, MobileSegError, ProfileError, UsageError
from mobile_seg.profiling.confidence import paired_ratio, ratio_of_medians
from mobile_seg.profiling.devices.base import Device
from mobile_seg.profiling.history import history_of, key, latest, read
from mobile_seg.profiling.measurement import Measurement
from mobile_seg.profiling.runners.base import Job, Runner
from mobile_seg.profiling.session import Plan

SIDE_BY_SIDE, SEPARATE = "measured side by side", "measured apart"


@dataclass(frozen=True)
class Comparison:
    """Two medians in milliseconds and their ratio, first over second, with its 95% confidence interval.

    `how` is whether they were measured side by side, or apart; then whatever changed on the device in between is
    in the ratio too, which no interval can tell.
    """

    device: str
    runner: str
    delegate: str
    threads: int
    mask: str
    first_ms: float
    second_ms: float
    ratio: float
    interval: tuple[float, float]
    how: str

    @property
    def beyond_noise(self) -> bool:
        """Return whether the interval leaves out 1."""
        return not self.interval[0] <= 1 <= self.interval[1]

    @property
    def verdict(self) -> str:
        """Return it as a sentence about the first."""
        if not self.beyond_noise:
            return "no difference beyond the noise"
        word = "slower" if self.ratio > 1 else "faster"
        return f"the first is {max(self.ratio, 1 / self.ratio):.2f}x {word}, beyond the noise"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "interval": list(self.interval), "beyond_noise": self.beyond_noise}


def load(path: Path) -> list[Measurement]:
    """Return the measurements of a model (its history), of a history, or of what `profile --json` printed.

    Raises:
        ArtifactError: if there are none, or they cannot be read.
    """
    if path.suffix == ".tflite":
        found = read(history_of(path))
    elif path.suffix == ".jsonl":
        found = read(path)
    else:
        found = _printed(path)
    if not found:
        raise ArtifactError(f"{path} holds no measurement; make one with: mobile-seg profile MODEL")
    return found


def compare(first: Iterable[Measurement], second: Iterable[Measurement]) -> list[Comparison]:
    """Compare the newest of each that were taken alike: device, runner, delegate, threads and cores.

    Raises:
        UsageError: if no two were; the message lists what there is.
    """
    left, right = latest(first), latest(second)
    shared = [way for way in left if way in right]
    if not shared:
        raise UsageError(
            f"no two measurements were taken alike. First: {_ways(left.values())}. Second: {_ways(right.values())}. "
            "Profile both with the same --device, --runner, --delegate and --threads, or add --measure"
        )
    return [_apart(left[way], right[way]) for way in shared]


def side_by_side(first: Path, second: Path, *, device: Device, runner: Runner, plan: Plan) -> list[Comparison]:
    """Measure two models in turn, process by process, and compare each process with its neighbour.

    `plan.most_rounds` pairs of processes, the order of the two swapped every time. Whatever drifts slowly is the
    same for both, so the ratio is known better than either median.

    Raises:
        UsageError: for fewer than 6 pairs, of which no interval can be told.
        ProfileError: if a process fails.
    """
    if plan.most_rounds < 6:
        raise UsageError(f"--rounds {plan.most_rounds}: 6 pairs at least, since fewer tell no 95% interval")
    facts = device.facts()
    medians: dict[Job, list[tuple[float, float]]] = {job: [] for job in plan.jobs()}
    with device.workspace() as workspace:
        once = [runner.prepare(device, workspace, model) for model in (first, second)]
        for number in range(plan.most_rounds):
            for job in medians:
                pair: dict[int, float] = {}
                for which in (0, 1) if number % 2 == 0 else (1, 0):
                    result = once[which](job)
                    if result.delegate.fell_back:
                        raise ProfileError(f"{(first, second)[which]}: {job.delegate} {result.delegate.verdict}")
                    pair[which] = float(np.median(result.samples_ms))
                medians[job].append((pair[0], pair[1]))
    return [_paired(job, pairs, facts.label, runner.name) for job, pairs in medians.items()]


def _apart(first: Measurement, second: Measurement) -> Comparison:
    ratio, low, high = ratio_of_medians(first.rounds, second.rounds)
    device, runner, delegate, threads, mask = key(first)
    return Comparison(
        device, runner, delegate, threads, mask, first.median_ms, second.median_ms, ratio, (low, high), SEPARATE
    )


def _paired(job: Job, pairs: Sequence[tuple[float, float]], device: str, runner: str) -> Comparison:
    found = paired_ratio([first / second for first, second in pairs])
    assert found is not None  # 6 pairs give one
    ratio, low, high = found
    first, second = (float(np.median([pair[which] for pair in pairs])) for which in (0, 1))
    return Comparison(
        device, runner, job.delegate, job.threads, job.mask, first, second, ratio, (low, high), SIDE_BY_SIDE
    )


def _printed(path: Path) -> list[Measurement]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return [Measurement.from_dict(one) for one in value["measurements"]]
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is not what `mobile-seg profile --json` prints ({type(error).__name__})"
        ) from error
    except MobileSegError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _ways(measurements: Iterable[Measurement]) -> str:
    return "; ".join(
        f"{one.device.label}, {one.runner}, {one.delegate.asked}, {one.threads} threads" for one in measurements
    )
