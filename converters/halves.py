"""Weights in half precision, which the file unpacks once when it is loaded."""

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import constant, pack, unpack

SMALL = 1024
"""Weights of at most so many values stay float32. They are those of the first, narrow layers, whose rounding every
later one passes on: little of a file and most of its error (`benchmarks/half_weights.py`)."""

_VERSION = 3
"""Of DEQUANTIZE: the first that takes half precision."""


def halved(content: bytes, *, small: int = SMALL) -> bytes:
    """Return the float32 file with its weights stored as float16, but those of at most `small` values.

    What float16 cannot hold, numbers beyond 65504, stays float32 too.
    """
    model = unpack(content)
    graph, unpacking, stored = model.subgraphs[0], [], {}
    given = {int(tensor) for tensor in [*graph.inputs, *graph.outputs]}
    for index, tensor in enumerate(list(graph.tensors)):
        values = constant(model, tensor) if tensor.type == schema.TensorType.FLOAT32 else None
        if values is None or values.size <= small or index in given:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        stored[int(tensor.buffer)] = np.frombuffer(values.astype(np.float16).tobytes(), np.uint8)
        packed = copy.copy(tensor)
        packed.type = schema.TensorType.FLOAT16
        tensor.name, tensor.buffer = tensor.name + b"_unpacked", 0
        graph.tensors.append(packed)
        unpacking.append(_unpack(len(graph.tensors) - 1, index))
    if not unpacking:
        return content
    for buffer, values in stored.items():
        model.buffers[buffer].data = values
    code = _dequantize(model)
    for operator in unpacking:
        operator.opcodeIndex = code
    graph.operators[:0] = unpacking
    return pack(model)


def _unpack(source: int, target: int) -> Any:
    made = schema.OperatorT()
    made.inputs, made.outputs = np.int32([source]), np.int32([target])
    return made


def _dequantize(model: Any) -> int:
    """The index of the operator's code, which is added: a float file has none."""
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    made.version = _VERSION
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1
