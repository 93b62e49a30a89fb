"""Our small program over the LiteRT C API, for Linux boards: source and build line come with the package."""

import importlib.util
import json
import os
import shlex
import statistics
from collections.abc import Callable
from pathlib import Path

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.devices.base import Device, Workspace
from mobile_seg.profiling.operations.records import OperationProfile
from mobile_seg.profiling.operations.runner_events import read_events
from mobile_seg.profiling.runners.base import Job, RunResult, check_binary, failed, mode_of, refuse_fallback
from mobile_seg.profiling.runners.result import parse_result

SOURCE = Path(__file__).parent / "c" / "litert_bench.c"

TARGETS = {
    "x86_64": "x86_64-linux-gnu.2.28",
    "arm64-v8a": "aarch64-linux-gnu.2.28",
    "armeabi-v7a": "arm-linux-gnueabihf.2.28",
    "riscv64": "riscv64-linux-gnu.2.28",
}
"""Instruction set → Zig's target, with the oldest C library it must run on (Debian 10's)."""

WHEELS = {"x86_64": "manylinux_2_27_x86_64", "arm64-v8a": "manylinux_2_27_aarch64"}
"""Instruction sets that PyPI has libLiteRt.so for, in the wheel of ai-edge-litert → that wheel's platform."""


def build_line(abi: str, *, output: str = "litert_bench") -> list[str]:
    """Return the command that builds the program for Linux on `abi`, anywhere, with PyPI's ziglang.

    Raises:
        UsageError: for an instruction set that is not known.
    """
    if abi not in TARGETS:
        raise UsageError(f"abi={abi!r} is not known; choose from {', '.join(TARGETS)}")
    flags = ["-std=c11", "-O2", "-o", output, str(SOURCE), "-ldl"]
    return ["python", "-m", "ziglang", "cc", "-target", TARGETS[abi], *flags]


class CRunner:
    """`litert_bench` and the libLiteRt.so that it opens."""

    name = "c"
    delegates: tuple[str, ...] = ("xnnpack", "gpu", "none")
    runtime, tells_runs = f"LiteRT through {SOURCE.stem}", True

    def __init__(self, *, program: Path | None = None, library: Path | None = None, flags: int = 0) -> None:
        """Take the program and the library for the device's instruction set, and flags for XNNPACK.

        On this machine, None for the library stands for the one that ai-edge-litert brought.
        """
        self._program, self._library, self._flags = program, library, flags

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        """See `Runner.prepare`."""
        once = self._ready(device, workspace, model)
        return lambda job: parse_result(once(job, 1), asked=job.delegate, runs=job.runs, who=SOURCE.stem)

    def watch(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], OperationProfile]:
        """See `Watching.watch`; as many runs are watched as are timed before."""
        label, once = device.facts().label, self._ready(device, workspace, model)

        def watched(job: Job) -> OperationProfile:
            content = once(job, job.runs)
            timed = parse_result(content, asked=job.delegate, runs=job.runs, who=SOURCE.stem)
            refuse_fallback(timed.delegate)
            return read_events(
                json.loads(content),
                model=model,
                device=label,
                runtime=self.runtime,
                mode=mode_of(job.delegate),
                threads=job.threads,
                unprofiled_ms=statistics.median(timed.samples_ms),
            )

        return watched

    def _ready(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job, int], bytes]:
        """Bring the files; the function runs the program, which watches so many further runs, and gets its result."""
        facts = device.facts()
        local = check_binary(self._built(facts.abi), abi=facts.abi, option="--c-runner")
        opened = check_binary(self._found(facts.abi, facts.kind), abi=facts.abi, option="--litert-library")
        program, library = workspace.put(local, executable=True), workspace.put(opened)
        path, output = workspace.put(model), f"{workspace.folder}/result.json"

        def once(job: Job, watched: int) -> bytes:
            given = {
                "--library": library,
                "--model": path,
                "--output": output,
                "--delegate": job.delegate,
                "--threads": job.threads,
                "--warmup": job.warmup,
                "--runs": job.runs,
                "--profile": watched,
                "--xnnpack-flags": self._flags,
            }
            words = [program, *(str(word) for pair in given.items() for word in pair)]
            done = workspace.run(words, seconds=job.seconds, mask=job.mask)
            if done.code != 0:
                raise failed(f"{SOURCE.stem} with {job.delegate}", done.code, done.last_words)
            return workspace.get(output)

        return once

    def _built(self, abi: str) -> Path:
        if self._program is not None:
            return self._program
        line = shlex.join(build_line(abi))
        raise ProfileError(
            f"--runner c needs {SOURCE.stem} for {abi}; build it with: pip install ziglang && {line}, and give "
            "it with --c-runner"
        )

    def _found(self, abi: str, kind: str) -> Path:
        if self._library is not None:
            return self._library
        spec = importlib.util.find_spec("ai_edge_litert") if kind == "host" else None
        if spec is not None and spec.submodule_search_locations:
            return Path(os.fspath(next(iter(spec.submodule_search_locations))), "libLiteRt.so")
        wheel = WHEELS.get(abi)
        how = (
            f"get the one in the wheel with: pip download --no-deps --only-binary=:all: --platform {wheel} "
            "ai-edge-litert==2.3.0 && python -m zipfile -e ai_edge_litert-*.whl litert"
            if wheel
            else "build it from LiteRT's source"
        )
        raise ProfileError(f"--runner c needs libLiteRt.so for {abi}; {how}, and give it with --litert-library")
