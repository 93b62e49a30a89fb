"""The profile of a `.tflite` file by operation, taken on this machine."""

import os

import numpy as np

from mobile_seg.artifact import kind_of, sha256
from mobile_seg.errors import UsageError, choose
from mobile_seg.profiling.child import ask
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.operations.litert import WORKER, version
from mobile_seg.profiling.operations.records import OperationProfile, TimedKernel
from mobile_seg.profiling.operations.tracing import trace

MODES = ("delegate", "builtin")
"""XNNPACK's kernels, which is how LiteRT runs on a CPU, or the runtime's own alone."""


def profile_operations(
    path: str | os.PathLike[str], *, threads: int = 1, warmup: int = 3, runs: int = 30, mode: str = "delegate"
) -> OperationProfile:
    """Time every operation of a `.tflite` file, in a process of its own.

    Runs with the profiler off take turns with those that it watches, so that its price shows. A kernel's time has
    the profiler's resolution, one microsecond, and is the median of `runs`; an operation's is that of its kernels.

    Raises:
        UsageError: for another format, an unknown mode, or counts that are not positive.
        ArtifactError: if the file does not exist.
        MissingExtraError: if LiteRT is not installed.
        ProfileError: if LiteRT is a version whose profiler is not known, or refuses the model.
    """
    if kind_of(path) != "tflite":
        raise UsageError(f"{path} is not a .tflite file, the only format profiled by operation; export it first")
    choose("mode", mode, MODES)
    if threads < 1 or runs < 1 or warmup < 0:
        raise UsageError(f"threads={threads}, runs={runs}, warmup={warmup}; give 1 or more, and no negative warm-up")
    version()
    digest, graph = sha256(path), read_graph(path)
    request = {"path": os.fspath(path), "threads": threads, "mode": mode, "warmup": warmup, "runs": runs}
    answer = ask({"task": "operations", **request}, worker=WORKER, what=f"profiling the operations of {path}")
    kernels = [
        TimedKernel(one["name"], tuple(one["samples_ms"]), node=one["node"], order=one["order"])
        for one in answer["kernels"]
    ]
    return OperationProfile(
        path=str(path),
        sha256=digest,
        device=cpu_name(),
        runtime=answer["runtime"],
        mode=mode,
        threads=threads,
        warmup=warmup,
        runs=runs,
        unprofiled_ms=float(np.median(answer["unprofiled_ms"])),
        profiled_ms=float(np.median(answer["profiled_ms"])),
        operations=trace(graph, kernels),
    )
