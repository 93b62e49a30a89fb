"""The machine's limits, measured on the spot and through the same runtime as the models."""

import bisect
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.child import ask
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.operations.litert import WORKER, version


@dataclass(frozen=True)
class Peaks:
    """What a CPU did at its best, at one thread count.

    `gmacs` are 10^9 multiply-adds per second of the best convolution, as (`int8` or `float32`, which one, rate).
    `bandwidth` are 10^9 bytes per second as (bytes that one operation reads and writes, rate), by rising size.
    The two depend on the CPU, the threads and the runtime, which are therefore told.
    """

    cpu: str
    runtime: str
    threads: int
    gmacs: tuple[tuple[str, str, float], ...]
    bandwidth: tuple[tuple[int, float], ...]

    def rate(self, arithmetic: str) -> float:
        """Return 10^9 multiply-adds per second.

        Raises:
            ProfileError: if that arithmetic was not measured.
        """
        for kind, _, rate in self.gmacs:
            if kind == arithmetic:
                return rate
        known = ", ".join(kind for kind, _, _ in self.gmacs)
        raise ProfileError(f"no peak was measured for {arithmetic}, only for {known}")

    def bandwidth_at(self, size: int) -> float:
        """Return 10^9 bytes per second for an operation that moves `size` bytes.

        Of the two measured sizes around it the faster one's, since a limit must not be too low; beyond the ends, the
        end's. Small tensors come from a cache and large ones from memory, so one number would be wrong for most
        layers (a cache-aware roofline: Ilic et al., IEEE Computer Architecture Letters 2014).
        """
        at = bisect.bisect_left([measured for measured, _ in self.bandwidth], size)
        around = self.bandwidth[max(at - 1, 0) : at + 1]
        return max(rate for _, rate in around)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Peaks":
        """Read what `to_dict` wrote."""
        return cls(
            value["cpu"],
            value["runtime"],
            int(value["threads"]),
            tuple((str(kind), str(which), float(rate)) for kind, which, rate in value["gmacs"]),
            tuple((int(size), float(rate)) for size, rate in value["bandwidth"]),
        )


def measure_peaks(*, threads: int = 1, runs: int = 15) -> Peaks:
    """Measure this machine, in a process of its own; the machine should have nothing else to do.

    Raises:
        UsageError: for counts that are not positive.
        MissingExtraError: if LiteRT is not installed.
        ProfileError: if it is a version that is not known, or a measurement fails.
    """
    if threads < 1 or runs < 1:
        raise UsageError(f"threads={threads}, runs={runs}; give 1 or more")
    version()
    answer = ask(
        {"task": "peaks", "threads": threads, "runs": runs}, worker=WORKER, what="measuring the machine's peaks"
    )
    return _peaks(answer, cpu=cpu_name(), runtime=answer["runtime"], threads=threads)


def measure_peaks_by(time: Callable[[Path], Sequence[float]], *, cpu: str, runtime: str, threads: int) -> Peaks:
    """Measure a device through whatever runs models on it.

    `time` runs a `.tflite` file several times, with as many threads, and returns the milliseconds of each run.
    """
    from mobile_seg.profiling.operations.peak_models import models, rates

    taken, jobs = [], list(models())
    with tempfile.TemporaryDirectory(prefix="mobile-seg-peaks-") as folder:
        for number, job in enumerate(jobs):
            path = Path(folder, f"peak_{number}.tflite")
            path.write_bytes(job.content)
            taken.append(1e6 * min(time(path)))
    return _peaks(rates(jobs, taken), cpu=cpu, runtime=runtime, threads=threads)


def _peaks(answer: dict[str, Any], *, cpu: str, runtime: str, threads: int) -> Peaks:
    """Of each type the best convolution, and every bandwidth."""
    best = {kind: max(answer[kind], key=lambda found: found[1]) for kind in ("int8", "float32")}
    return Peaks(
        cpu=cpu,
        runtime=runtime,
        threads=threads,
        gmacs=tuple((kind, which, rate) for kind, (which, rate) in best.items()),
        bandwidth=tuple((int(size), rate) for size, rate in answer["bandwidth"]),
    )
