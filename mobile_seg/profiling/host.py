"""Latency and memory of an artifact on this machine, measured in processes of their own."""

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.artifact import kind_of, sha256
from mobile_seg.errors import UsageError
from mobile_seg.imaging import Image
from mobile_seg.profiling.child import ask
from mobile_seg.profiling.records import STAGES, HostProfile, StageTimes, ThreadProfile

WORKER = "mobile_seg.profiling.worker"

ROUNDS = 2
"""Fresh processes per thread count, there and back (1, 2, 2, 1), so that a drift of the clock rate hits all alike."""


def profile_host(
    path: str | os.PathLike[str],
    *,
    images: Sequence[Image],
    threads: Sequence[int] = (1, 2),
    warmup: int = 5,
    runs: int = 30,
) -> HostProfile:
    """Measure a `.tflite` artifact on `images`, each `[H, W, 3]` uint8 at its original size.

    Pre-processing, inference and post-processing are timed apart, over `runs` runs per thread count,
    after `warmup` discarded ones in each process. The thread count holds for inference; the resizes
    around it run in OpenCV with its own threads.

    Raises:
        UsageError: for another format, no image, or counts that are not positive.
        ArtifactError: if the file does not exist.
        ProfileError: if the measuring process fails, with the last line it said.
    """
    if kind_of(path) != "tflite":
        raise UsageError(f"{path} is not a .tflite file, the only format profiled on the host; export it first")
    _check_counts(images=len(images), threads=threads, warmup=warmup, runs=runs)
    digest = sha256(path)
    answers: dict[int, list[dict[str, Any]]] = {count: [] for count in threads}
    with tempfile.TemporaryDirectory(prefix="mobile-seg-profile-") as folder:
        archive = Path(folder) / "images.npz"
        np.savez(archive, *images)
        for number, share in enumerate(_shares(runs)):
            for count in threads if number % 2 == 0 else reversed(threads):
                request = {"path": str(path), "images": str(archive), "threads": count, "warmup": warmup, "runs": share}
                answers[count].append(ask(request, worker=WORKER, what=f"profiling {path}"))
    return HostProfile(
        path=str(path),
        sha256=digest,
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        warmup=warmup,
        runs=runs,
        images=len(images),
        versions=tuple(sorted(answers[threads[0]][0]["versions"].items())),
        by_threads=tuple(_gather(count, answers[count]) for count in threads),
    )


def cpu_name() -> str:
    """Return the processor's name as the system gives it, else its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _check_counts(*, images: int, threads: Sequence[int], warmup: int, runs: int) -> None:
    if images == 0:
        raise UsageError("images is empty; profiling needs at least one image")
    if not threads or min(threads) < 1 or len(set(threads)) != len(threads):
        raise UsageError(f"threads={tuple(threads)}; give different counts of 1 or more, such as (1, 2)")
    if runs < ROUNDS or warmup < 0:
        raise UsageError(f"runs={runs}, warmup={warmup}; give at least {ROUNDS} runs and no negative warm-up")


def _shares(runs: int) -> list[int]:
    """Split `runs` over the rounds, as evenly as can be."""
    return [runs // ROUNDS + (number < runs % ROUNDS) for number in range(ROUNDS)]


def _gather(threads: int, answers: list[dict[str, Any]]) -> ThreadProfile:
    times = {
        stage: StageTimes(tuple(sample for answer in answers for sample in answer["samples_ms"][stage]))
        for stage in STAGES
    }
    return ThreadProfile(
        threads=threads,
        **times,
        init_ms=float(np.median([answer["init_ms"] for answer in answers])),
        first_run_ms=float(np.median([answer["first_run_ms"] for answer in answers])),
        peak_memory_bytes=max(answer["peak_memory_bytes"] for answer in answers),
        processes=len(answers),
    )
