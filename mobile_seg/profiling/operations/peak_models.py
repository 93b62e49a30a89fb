"""Small models that push this machine to its limits, and what they reach; run by the worker.

Single convolutions, large enough to keep the cores busy and small enough for their caches, show how many multiply-adds
a second there can be. Chains of float additions over tensors of growing size show how many bytes: from the caches
first, from memory last.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.profiling.operations import litert
from mobile_seg.profiling.operations.litert import CompiledModel

CONVOLUTIONS = (
    (1, 32, 256, 256),
    (1, 64, 256, 256),
    (1, 32, 512, 512),
    (1, 16, 768, 256),
    (1, 128, 128, 128),
    (3, 16, 128, 128),
    (3, 64, 128, 128),
    (3, 32, 256, 256),
    (3, 32, 256, 64),
)
"""(kernel, height and width, channels in, channels out): milliseconds each, the shortest about one.

Of 140 shapes with 16 to 2048 channels, tried on an x86 CPU with AVX2, the last one here was the fastest in int8.
"""

ARITHMETICS = ("int8", "float32")

STREAMS = tuple(1 << power for power in (16, 18, 20, 22, 24, 26))
"""Bytes that one addition reads and writes."""

LONGEST, SHORTEST, STREAMED = 512, 4, 1 << 26
"""Additions in a chain at most and at least, and the bytes that it should move in all."""


@dataclass(frozen=True)
class PeakModel:
    """A model that shows one limit: `kind` is an arithmetic or `bandwidth`, `work` the multiply-adds or bytes of a run.

    `which` names a convolution, and is the bytes that one addition moves.
    """

    kind: str
    which: str | int
    work: int
    content: bytes


def measure(*, threads: int, runs: int) -> dict[str, Any]:
    """Run all models in turns on this machine; see `rates`.

    Raises:
        ProfileError: if the runtime refuses one.
    """
    jobs = list(models())
    times: list[list[float]] = [[] for _ in jobs]
    with tempfile.TemporaryDirectory(prefix="mobile-seg-peaks-") as folder, ExitStack() as stack:
        compiled = []
        for number, job in enumerate(jobs):
            path = Path(folder) / f"{number}.tflite"
            path.write_bytes(job.content)
            compiled.append(stack.enter_context(CompiledModel(str(path), threads=threads)))
        for number in range(runs + 1):
            for model, taken in zip(compiled, times, strict=True):
                started = time.perf_counter_ns()
                model.run()
                if number:  # the first run is the warm-up
                    taken.append(time.perf_counter_ns() - started)
    return {**rates(jobs, [min(taken) for taken in times]), "runtime": f"{litert.PACKAGE} {litert.version()}"}


def rates(jobs: Sequence[PeakModel], nanoseconds: Sequence[float]) -> dict[str, Any]:
    """Return multiply-adds and bytes per nanosecond, by the fastest run of each model.

    The fastest, not the median: a limit is what can be reached, and whatever disturbs a run only slows it.
    """
    found: dict[str, list[list[Any]]] = {name: [] for name in (*ARITHMETICS, "bandwidth")}
    for job, taken in zip(jobs, nanoseconds, strict=True):
        found[job.kind].append([job.which, job.work / taken])
    return found


def models() -> Iterator[PeakModel]:
    """All models, a limit each."""
    for arithmetic in ARITHMETICS:
        for kernel, side, channels, made in CONVOLUTIONS:
            macs = (side * kernel) ** 2 * channels * made
            name = f"{kernel}x{kernel}, {side}x{side}x{channels}" + (f" to {made}" if made != channels else "")
            content = convolution(kernel, side, channels, made=made, arithmetic=arithmetic)
            yield PeakModel(arithmetic, name, macs, content)
    for size in STREAMS:
        length = min(max(STREAMED // size, SHORTEST), LONGEST)
        yield PeakModel("bandwidth", size, size * length, additions(size // 8, length))


def convolution(kernel: int, side: int, channels: int, *, made: int | None = None, arithmetic: str) -> bytes:
    """Return a `.tflite` file of one convolution with ReLU on `[1, side, side, channels]`, its weights random.

    It makes `made` channels, or as many as it reads.
    """
    rng = np.random.default_rng(0)
    made = made or channels
    given, taken = [1, side, side, channels], [1, side, side, made]
    weights = (made, kernel, kernel, channels)
    if arithmetic == "int8":
        step = 1.0 / (64.0 * kernel * np.sqrt(channels))
        stored = rng.integers(-127, 128, weights, dtype=np.int8)
        tensors = [
            _tensor("x", given, "INT8", scales=[1 / 64]),
            _tensor("w", weights, "INT8", buffer=1, scales=[step] * made),
            _tensor("b", [made], "INT32", buffer=2, scales=[step / 64] * made),
            _tensor("y", taken, "INT8", scales=[1 / 32]),
        ]
        bias = np.zeros(made, np.int32)
    else:
        stored = rng.normal(0.0, 1.0 / (kernel * np.sqrt(channels)), weights).astype(np.float32)
        tensors = [
            _tensor("x", given, "FLOAT32"),
            _tensor("w", weights, "FLOAT32", buffer=1),
            _tensor("b", [made], "FLOAT32", buffer=2),
            _tensor("y", taken, "FLOAT32"),
        ]
        bias = np.zeros(made, np.float32)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = schema.Padding.SAME, 1, 1
    options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    operator = _operator([0, 1, 2], [3], options, schema.BuiltinOptions.Conv2DOptions)
    return _model("CONV_2D", 3, tensors, [operator], inputs=[0], outputs=[3], stored=[stored, bias])


def additions(count: int, length: int) -> bytes:
    """Return a `.tflite` file that doubles `count` float32 numbers `length` times."""
    tensors = [_tensor(f"t{number}", [1, count], "FLOAT32") for number in range(length + 1)]
    operators = [
        _operator([number, number], [number + 1], schema.AddOptionsT(), schema.BuiltinOptions.AddOptions)
        for number in range(length)
    ]
    return _model("ADD", 1, tensors, operators, inputs=[0], outputs=[length], stored=[])


def _tensor(name: str, shape: Any, dtype: str, *, buffer: int = 0, scales: "list[float] | None" = None) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, [int(side) for side in shape], buffer
    tensor.type = getattr(schema.TensorType, dtype)
    if scales is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = [float(scale) for scale in scales]
        tensor.quantization.zeroPoint = [0] * len(scales)
    return tensor


def _operator(inputs: list[int], outputs: list[int], options: Any, kind: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, outputs
    operator.builtinOptions, operator.builtinOptionsType = options, kind
    return operator


def _model(
    name: str,
    version: int,
    tensors: list[Any],
    operators: list[Any],
    *,
    inputs: list[int],
    outputs: list[int],
    stored: "list[np.ndarray[Any, Any]]",
) -> bytes:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, inputs, outputs
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.description = 3, [code], [graph], "peak"
    model.buffers = [schema.BufferT()]
    for values in stored:
        buffer = schema.BufferT()
        buffer.data = values.reshape(-1).view(np.uint8)
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
