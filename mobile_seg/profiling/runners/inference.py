"""Timing the model alone, on noise: what the worker process does when it is given no images."""

import gc
import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.verify.tflite_runner import load_interpreter, runtime


def time_inference(request: dict[str, Any], *, peak: Any) -> dict[str, Any]:
    """Carry out a request, `{"path", "threads", "delegate" ("xnnpack" or "none"), "warmup", "runs"}`.

    `peak` returns the process' high-water mark of memory in bytes. Any TFLite file does, with or without a
    manifest. Times are milliseconds, memory is bytes.

    Raises:
        ArtifactError: if the model cannot be run.
    """
    module = importlib.import_module(f"{runtime()}.interpreter")  # its code is no part of the model's memory
    before = peak()
    started = time.perf_counter()
    interpreter = _open(module, request)
    init_ms = (time.perf_counter() - started) * 1e3
    _fill(interpreter)
    first_run_ms = _invoke(interpreter)
    gc.disable()  # a collection would land in one run by chance
    for _ in range(request["warmup"]):
        _invoke(interpreter)
    samples = [_invoke(interpreter) for _ in range(request["runs"])]
    gc.enable()
    memory = peak() - before
    facts = inspect_tflite(request["path"])
    return {
        "init_ms": init_ms,
        "first_run_ms": first_run_ms,
        "peak_memory_bytes": memory,
        "samples_ms": samples,
        "partitions": facts.partitions,
        "left": sum(count for _, count in facts.left_ops),
    }


def _open(module: Any, request: dict[str, Any]) -> Any:
    content = Path(request["path"]).read_bytes()
    if request["delegate"] == "xnnpack":
        return load_interpreter(content, name=request["path"], threads=request["threads"])
    try:
        interpreter = module.Interpreter(
            model_content=content,
            num_threads=request["threads"],
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(f"{request['path']} cannot be run: {error}; export it again") from error
    return interpreter


def _fill(interpreter: Any) -> None:
    """Noise in every input: zeros would be timed too, but a kernel may be faster on them."""
    generator = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        shape, dtype = tuple(details["shape"]), np.dtype(details["dtype"])
        if np.issubdtype(dtype, np.floating):
            values = generator.random(shape, dtype=np.float32).astype(dtype)
        elif dtype == np.bool_:
            values = generator.integers(2, size=shape).astype(dtype)
        else:
            limits = np.iinfo(dtype)
            values = generator.integers(max(limits.min, -128), min(limits.max, 255), size=shape).astype(dtype)
        interpreter.set_tensor(details["index"], values)


def _invoke(interpreter: Any) -> float:
    started = time.perf_counter()
    interpreter.invoke()
    return (time.perf_counter() - started) * 1e3
