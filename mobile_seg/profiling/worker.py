"""One measurement in a process of its own: `python -m mobile_seg.profiling.worker`.

Reads a request from its argument or else from standard input, `{"path", "images" (an .npz), "threads", "warmup",
"runs"}`, and writes the measurement as the last line of standard output, both JSON. Without images it times the
model alone (`mobile_seg.profiling.runners.inference`). A failure is one line on standard error and a non-zero
exit. Run alone, so that nothing of the caller is in the memory or the timing.
"""

import gc
import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mobile_seg.errors import MobileSegError, ProfileError
from mobile_seg.profiling.records import STAGES
from mobile_seg.verify.tflite_runner import TFLiteRunner, open_tflite, runtime


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request; all times in milliseconds, memory in bytes.

    Raises:
        ArtifactError: if the model cannot be run.
        ProfileError: if this system does not tell the process' peak memory.
    """
    if "images" not in request:
        from mobile_seg.profiling.runners.inference import time_inference

        return time_inference(request, peak=peak_resident_bytes) | {"versions": _versions()}
    __import__(f"{runtime()}.interpreter")  # its code is no part of the model's memory or load time
    with np.load(request["images"], allow_pickle=False) as archive:
        images = [archive[name] for name in archive.files]
    before = peak_resident_bytes()
    started = time.perf_counter()
    runner = open_tflite(request["path"], threads=request["threads"])
    init_ms = _since(started)
    tensor = runner.preprocess(images[0])
    started = time.perf_counter()
    runner.infer(tensor)
    first_run_ms = _since(started)
    samples = _sample(runner, images, warmup=request["warmup"], runs=request["runs"])
    return {
        "init_ms": init_ms,
        "first_run_ms": first_run_ms,
        "peak_memory_bytes": peak_resident_bytes() - before,
        "samples_ms": samples,
        "versions": _versions(),
    }


def peak_resident_bytes(status: str = "/proc/self/status") -> int:
    """Return the high-water mark of this process' resident memory (VmHWM).

    Raises:
        ProfileError: where the system has no such record.
    """
    try:
        for line in Path(status).read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError as error:
        raise ProfileError(f"peak memory is read from {status}, which fails: {error.strerror}; use Linux") from error
    raise ProfileError(f"{status} has no VmHWM line, so peak memory cannot be measured; use Linux")


def _sample(runner: TFLiteRunner, images: list[np.ndarray], *, warmup: int, runs: int) -> dict[str, list[float]]:
    """Run whole images, stage by stage, in turn; the first `warmup` are thrown away."""
    samples: dict[str, list[float]] = {stage: [] for stage in STAGES}
    gc.disable()  # a collection would land in one stage by chance
    for number in range(warmup + runs):
        image = images[number % len(images)]
        size = (image.shape[0], image.shape[1])
        start = time.perf_counter()
        tensor = runner.preprocess(image)
        prepared = time.perf_counter()
        raw = runner.infer(tensor)
        inferred = time.perf_counter()
        runner.postprocess(raw, size)
        done = time.perf_counter()
        if number >= warmup:
            for stage, span in zip(STAGES, (prepared - start, inferred - prepared, done - inferred), strict=True):
                samples[stage].append(span * 1e3)
    gc.enable()
    return samples


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _versions() -> dict[str, str]:
    package = runtime().replace("_", "-")
    return {
        "python": platform.python_version(),
        package: importlib.metadata.version(package),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def main() -> int:
    """Answer one request; return the exit code."""
    try:
        answer = measure(json.loads(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()))
    except MobileSegError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"\n{json.dumps(answer, allow_nan=False)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
