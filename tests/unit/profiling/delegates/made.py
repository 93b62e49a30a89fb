"""Small `.tflite` files, made operation by operation: what a converter would never write stands in some."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.flat_tables import write
from mobile_seg.profiling.delegates.graph import Graph, Operation, Tensor
from mobile_seg.tflite_schema import IDENTIFIER, names, schema

GRID = {"scale": [0.5], "zero_point": [0]}


def tensor(
    shape: Sequence[int] = (1, 8, 8, 4),
    dtype: str = "int8",
    *,
    values: Any = None,
    scales: Sequence[float] = (0.5,),
    zeros: Sequence[int] = (0,),
    axis: int = 0,
    index: int = 0,
    name: str = "net/layer/op",
) -> Tensor:
    """A tensor for a rule; constant where it has values."""
    content = None
    if values is not None:
        array = np.asarray(values, dtype)
        shape, content = array.shape, memoryview(array.tobytes())
    quantized = dtype not in ("float32", "float16", "bool", "int64")
    return Tensor(
        index=index,
        name=name,
        shape=tuple(shape),
        dtype=dtype,
        scales=tuple(scales) if quantized else (),
        zero_points=tuple(zeros) if quantized else (),
        axis=axis,
        content=content,
    )


def operation(
    kind: str, given: Sequence[Tensor | None], made: Sequence[Tensor], *, version: int = 1, **options: Any
) -> Operation:
    """An operation for a rule."""
    return Operation(0, kind, version, tuple(given), tuple(made), options)


def convolution(dtype: str = "int8", *, kind: str = "CONV_2D", bias: bool = True, **options: Any) -> Operation:
    """A 3x3 convolution of 4 channels to 4, which every delegate of its type takes."""
    quantized = dtype != "float32"
    shape = (4, 3, 3, 4) if kind == "CONV_2D" else (1, 3, 3, 4)
    weights = tensor(values=np.ones(shape), dtype=dtype, axis=0 if kind == "CONV_2D" else 3)
    held = tensor(values=np.zeros(4), dtype="int32" if quantized else "float32", scales=(0.25,))
    settings = {"stride_h": 1, "stride_w": 1, "padding": "SAME", **options}
    if kind == "DEPTHWISE_CONV_2D":
        settings.setdefault("depth_multiplier", 1)
    return operation(kind, [tensor(dtype=dtype), weights, *([held] if bias else [])], [tensor(dtype=dtype)], **settings)


def resize(
    before: tuple[int, int], after: tuple[int, int], *, kind: str = "RESIZE_BILINEAR", **options: Any
) -> Operation:
    """A resize of 8-bit images."""
    given, made = tensor((1, *before, 4)), tensor((1, *after, 4))
    return operation(kind, [given, tensor(values=after, dtype="int32")], [made], **options)


def graph(*parts: tuple[str, Sequence[int], Sequence[int]]) -> Graph:
    """A graph of (kind, tensors taken, tensors made); what it is of does not matter."""
    tensors = {number: tensor(index=number) for _, taken, made in parts for number in (*taken, *made)}
    operations = tuple(
        Operation(index, kind, 1, tuple(tensors[n] for n in taken), tuple(tensors[n] for n in made))
        for index, (kind, taken, made) in enumerate(parts)
    )
    return Graph("made.tflite", 0, operations, (), (), 1)


def file(folder: Path, operations: Sequence[tuple[str, Sequence[int], Sequence[int]]], tensors: list[dict]) -> Path:
    """Write a `.tflite` of operations without options over float tensors `[1, 2, 2, 1]`, or as given."""
    kinds = {name: number for number, name in names("BuiltinOperator").items()}
    codes = sorted({kind for kind, _, _ in operations})
    table = {
        "version": 3,
        "operator_codes": [
            {"deprecated_builtin_code": min(kinds[kind], 127), "builtin_code": kinds[kind], "version": 1}
            for kind in codes
        ],
        "subgraphs": [
            {
                "tensors": [{"shape": [1, 2, 2, 1], "buffer": 0, "name": f"t{n}", **t} for n, t in enumerate(tensors)],
                "inputs": [0],
                "outputs": [len(tensors) - 1],
                "operators": [
                    {"opcode_index": codes.index(kind), "inputs": taken, "outputs": made}
                    for kind, taken, made in operations
                ],
            }
        ],
        "buffers": [{}],
    }
    path = folder / "made.tflite"
    path.write_bytes(write(schema(), "Model", table, identifier=IDENTIFIER))
    return path
