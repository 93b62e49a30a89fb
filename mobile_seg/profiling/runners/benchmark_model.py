"""The official `benchmark_model`, which users bring: path given, or found where known tools keep it."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.devices.base import Device, Workspace
from mobile_seg.profiling.operations.benchmark_tool import parse_op_profile
from mobile_seg.profiling.operations.records import OperationProfile
from mobile_seg.profiling.runners.base import Job, RunResult, check_binary, failed, mode_of, refuse_fallback
from mobile_seg.profiling.runners.benchmark_log import parse_log

FLAGS = {
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true",),
    "hexagon": ("--use_hexagon=true",),
    "edgetpu": ("--external_delegate_path=libedgetpu.so.1",),
    "none": ("--use_xnnpack=false",),
}
"""Delegate → the tool's flags (tflite/tools/delegates). Asking by flag makes the log say what became of it."""

WATCHING = ("--enable_op_profiling=true",)

FOLDERS = ("mobile-seg", "litert-cli/binaries")
"""Below ~/.cache, where `<folder>/<abi>/benchmark_model` is looked for; the second is Google's litert-cli's."""

OTHER_NAMES = {"arm64-v8a": "android_arm64", "x86_64": "linux_x86_64", "armeabi-v7a": "android_arm"}

WHERE = (
    "give its path with --benchmark-model; builds: "
    "https://ai.google.dev/edge/litert/models/measurement (native benchmark binary)"
)


class BenchmarkModelRunner:
    """One sample is the median of a process, or its mean where the tool tells no median."""

    name = "benchmark_model"
    delegates: tuple[str, ...] = tuple(FLAGS)
    runtime, tells_runs = "benchmark_model", False

    def __init__(self, *, path: Path | None = None, cache: Path | None = None) -> None:
        """Take the binary's path, or None to look for it in `cache` (default: ~/.cache) and on this machine's PATH."""
        self._path, self._cache = path, cache

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        """See `Runner.prepare`; shared libraries beside the binary (GPU accelerators) are brought too."""
        once = self._ready(device, workspace, model)

        def timed(job: Job) -> RunResult:
            log = parse_log(once(job, ()), asked=job.delegate)
            if log.runs < job.runs:
                raise ProfileError(
                    f"benchmark_model made {log.runs} of {job.runs} runs within {job.seconds / 2:.0f} s; give it more "
                    "with --timeout, or fewer --runs"
                )
            told = log.median_ms is not None
            return RunResult(
                samples_ms=(log.median_ms if log.median_ms is not None else log.mean_ms,),
                init_ms=log.init_ms,
                first_run_ms=log.first_run_ms,
                peak_memory_bytes=log.peak_memory_bytes,
                delegate=log.delegate,
                sample="process median" if told else "process mean",
                p95_ms=log.p95_ms,
            )

        return timed

    def watch(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], OperationProfile]:
        """See `Watching.watch`; the tool tells averages of runs that its profiler slows."""
        label, once = device.facts().label, self._ready(device, workspace, model)

        def watched(job: Job) -> OperationProfile:
            said = once(job, WATCHING)
            refuse_fallback(parse_log(said, asked=job.delegate).delegate)
            found = parse_op_profile(said, model=model, device=label, threads=job.threads)
            return dataclasses.replace(found, mode=mode_of(job.delegate))

        return watched

    def _ready(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job, tuple[str, ...]], str]:
        """Bring the files; the function runs the tool, with some more flags, and returns what it said."""
        facts = device.facts()
        local = check_binary(self._find(facts.abi, facts.kind), abi=facts.abi, option="--benchmark-model")
        binary = workspace.put(local, executable=True)
        libraries = sorted(local.parent.glob("*.so"))
        for library in libraries:
            workspace.put(library)
        environment = {"LD_LIBRARY_PATH": str(Path(binary).parent)} if libraries else {}
        graph = workspace.put(model)

        def once(job: Job, more: tuple[str, ...]) -> str:
            words = [binary, f"--graph={graph}", *_flags(job), *more]
            done = workspace.run(words, seconds=job.seconds, environment=environment, mask=job.mask)
            said = f"{done.out}\n{done.err}"
            if done.code != 0:
                raise failed("benchmark_model", done.code, _trouble(said, asked=job.delegate))
            return said

        return once

    def _find(self, abi: str, kind: str) -> Path:
        if self._path is not None:
            return self._path
        tried = list(self._places(abi))
        if kind == "host" and (here := shutil.which("benchmark_model")):
            return Path(here)
        for place in tried:
            if place.is_file():
                return place
        raise ProfileError(f"--runner benchmark_model: there is none for {abi} in {tried[0].parent}; {WHERE}")

    def _places(self, abi: str) -> Iterator[Path]:
        cache = self._cache or Path.home() / ".cache"
        for folder in FOLDERS:
            for name in (abi, OTHER_NAMES.get(abi, abi)):
                yield cache / folder / name / "benchmark_model"


def _flags(job: Job) -> list[str]:
    return [
        f"--num_threads={job.threads}",
        f"--warmup_runs={job.warmup}",
        f"--num_runs={job.runs}",
        "--warmup_min_secs=0",
        "--min_secs=0",
        f"--max_secs={job.seconds / 2:.0f}",  # for warm-up and for measuring, each
        *FLAGS[job.delegate],
    ]


def _trouble(said: str, *, asked: str) -> str:
    try:
        parse_log(said, asked=asked)
    except ProfileError as error:
        return str(error)
    return "it measured, but then failed"
