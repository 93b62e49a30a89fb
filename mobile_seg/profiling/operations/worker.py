"""Native profiling in a process of its own: `python -m mobile_seg.profiling.operations.worker`.

Reads a request from standard input and writes the answer as the last line of standard output, both JSON. A failure
is one line on standard error and a non-zero exit. `{"task": "operations", "path", "threads", "mode", "warmup",
"runs"}` times every kernel; `{"task": "peaks", "threads", "runs"}` measures what this machine can do at all.
"""

import gc
import json
import sys
import time
from typing import Any

from mobile_seg.errors import MobileSegError, ProfileError
from mobile_seg.profiling.operations import litert
from mobile_seg.profiling.operations.litert import CompiledModel, Event


def operations(request: dict[str, Any]) -> dict[str, Any]:
    """Time a model's kernels, runs with and without the profiler taking turns; milliseconds.

    Two copies of the model are held, so that neither kind of run pays for switching the profiler.

    Raises:
        ProfileError: if the runtime refuses the model, or runs differ in what they executed.
    """
    settings = {"threads": request["threads"], "mode": request["mode"]}
    with (
        CompiledModel(request["path"], **settings) as plain,
        CompiledModel(request["path"], profiled=True, **settings) as profiled,
    ):
        unprofiled_ms, profiled_ms, runs = [], [], []
        gc.disable()  # a collection would land in one run by chance
        for number in range(request["warmup"] + request["runs"]):
            started = time.perf_counter()
            plain.run()
            between = time.perf_counter()
            events = [one for one in profiled.profiled_run() if one.kind in KINDS or _whole(one)]
            if number >= request["warmup"]:
                unprofiled_ms.append(1e3 * (between - started))
                profiled_ms.append(1e-3 * sum(one.elapsed_us for one in events if _whole(one)))
                runs.append([one for one in events if one.kind in KINDS])
        gc.enable()
    first = litert.names(runs[0])
    if any(litert.names(run) != first for run in runs):
        raise ProfileError("the runs executed different operations, so their times cannot be put together")
    return {
        "kernels": [
            {
                "name": name,
                "node": index if kind == litert.OPERATOR else None,
                "order": index if kind == litert.INSIDE_DELEGATE else None,
                "samples_ms": [1e-3 * run[at].elapsed_us for run in runs],
            }
            for at, (name, kind, index) in enumerate(first)
        ],
        "unprofiled_ms": unprofiled_ms,
        "profiled_ms": profiled_ms,
        "runtime": f"{litert.PACKAGE} {litert.version()}",
    }


KINDS = (litert.OPERATOR, litert.INSIDE_DELEGATE)


def _whole(event: Event) -> bool:
    """Whether an event is the whole inference."""
    return event.name == "Invoke" and event.kind == 1


def main() -> int:
    """Answer one request; return the exit code."""
    try:
        request = json.load(sys.stdin)
        if request["task"] == "peaks":
            from mobile_seg.profiling.operations import peak_models

            answer = peak_models.measure(threads=request["threads"], runs=request["runs"])
        else:
            answer = operations(request)
    except MobileSegError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"\n{json.dumps(answer, allow_nan=False)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
