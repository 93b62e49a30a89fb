"""What a measurement on this machine returns."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

STAGES = ("pre", "infer", "post")
"""Image to input tensor, the model alone, and raw output to label map at the image's size."""


@dataclass(frozen=True)
class StageTimes:
    """Durations of one stage in milliseconds, in the order taken."""

    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return float(np.median(self.samples_ms))

    @property
    def p95_ms(self) -> float:
        """Return the 95th percentile, interpolated."""
        return float(np.percentile(self.samples_ms, 95))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"median_ms": self.median_ms, "p95_ms": self.p95_ms, "samples_ms": list(self.samples_ms)}


@dataclass(frozen=True)
class ThreadProfile:
    """One thread count, its samples gathered over `processes` fresh processes.

    `init_ms` (reading the file until tensors are allocated) and `first_run_ms` (first inference) are
    medians over them. `peak_memory_bytes` is the largest growth of the resident high-water mark (VmHWM)
    in any of them, from before the model is loaded to after the last run.
    """

    threads: int
    pre: StageTimes
    infer: StageTimes
    post: StageTimes
    init_ms: float
    first_run_ms: float
    peak_memory_bytes: int
    processes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        stages = {stage: getattr(self, stage).to_dict() for stage in STAGES}
        return dataclasses.asdict(self) | stages


@dataclass(frozen=True)
class HostProfile:
    """Latency and memory of one artifact on this machine.

    `runs` are counted per thread count, `warmup` runs are discarded in each process before them.
    `versions` are (package, version) as the measuring process saw them.
    """

    path: str
    sha256: str
    cpu: str
    cores: int
    warmup: int
    runs: int
    images: int
    versions: tuple[tuple[str, str], ...]
    by_threads: tuple[ThreadProfile, ...]

    @property
    def latency_ms(self) -> dict[str, dict[str, float]]:
        """Return medians in milliseconds: `{"<threads>": {"pre": …, "infer": …, "post": …}}`."""
        return {str(t.threads): {stage: getattr(t, stage).median_ms for stage in STAGES} for t in self.by_threads}

    @property
    def latency_p95_ms(self) -> dict[str, dict[str, float]]:
        """Return 95th percentiles in milliseconds, keyed as `latency_ms`."""
        return {str(t.threads): {stage: getattr(t, stage).p95_ms for stage in STAGES} for t in self.by_threads}

    @property
    def peak_memory_bytes(self) -> int:
        """Return the largest peak of any thread count."""
        return max(profile.peak_memory_bytes for profile in self.by_threads)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {
            "versions": dict(self.versions),
            "by_threads": [profile.to_dict() for profile in self.by_threads],
        }
