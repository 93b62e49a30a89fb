"""LiteRT's Python interpreter on this machine, in a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path

from mobile_seg.child_process import MODULE
from mobile_seg.errors import UsageError
from mobile_seg.profiling.devices.base import Device, Workspace
from mobile_seg.profiling.measurement import DelegateUse
from mobile_seg.profiling.runners.base import Job, RunResult, failed


class LiteRTRunner:
    """The interpreter that `mobile-seg` verifies with; what is timed is `invoke` alone."""

    name = "litert"
    delegates: tuple[str, ...] = ("xnnpack", "none")

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        """See `Runner.prepare`."""
        facts = device.facts()
        if facts.kind != "host":
            raise UsageError(
                f"--runner litert is Python, which {facts.label} has not; choose benchmark_model, c or app"
            )
        path = workspace.put(model)

        def once(job: Job) -> RunResult:
            request = {
                "path": path,
                "threads": job.threads,
                "delegate": job.delegate,
                "warmup": job.warmup,
                "runs": job.runs,
            }
            words = [*MODULE, "mobile_seg.profiling.worker", json.dumps(request)]
            done = workspace.run(words, seconds=job.seconds, mask=job.mask)
            if done.code != 0 or not done.out.strip():
                raise failed(f"profiling {model}", done.code, done.last_words)
            answer = json.loads(done.out.strip().splitlines()[-1])
            return RunResult(
                samples_ms=tuple(answer["samples_ms"]),
                init_ms=answer["init_ms"],
                first_run_ms=answer["first_run_ms"],
                peak_memory_bytes=answer["peak_memory_bytes"],
                delegate=_use(job.delegate, partitions=answer["partitions"], left=answer["left"]),
                versions=tuple(sorted(answer["versions"].items())),
            )

        return once


def _use(asked: str, *, partitions: int, left: int) -> DelegateUse:
    if asked == "none":
        return DelegateUse(asked, "none")
    taken = "none" if partitions == 0 else "part" if left else "all"
    return DelegateUse(asked, taken, partitions, left)
