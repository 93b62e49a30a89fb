"""Weights in half precision, which the file unpacks once when it is loaded."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import constant
from mobile_seg.converters.targets.edit import Edit

SMALL = 1024
"""Weights of at most so many values stay float32. They are those of the first, narrow layers, whose rounding every
later one passes on: little of a file and most of its error (`benchmarks/half_weights.py`)."""

_VERSION = 3
"""Of DEQUANTIZE: the first that takes half precision."""


def halved(content: bytes, *, small: int = SMALL) -> bytes:
    """Return the float32 file with its weights stored as float16, but those of at most `small` values.

    What float16 cannot hold, numbers beyond 65504, stays float32 too.
    """
    edit = Edit(content)
    given = {int(tensor) for tensor in [*edit.graph.inputs, *edit.graph.outputs]}
    stored: dict[tuple[int, tuple[int, ...]], int] = {}  # tensors may share a buffer
    for index, tensor in enumerate(list(edit.graph.tensors)):
        values = constant(edit.model, tensor) if tensor.type == schema.TensorType.FLOAT32 else None
        if values is None or values.size <= small or index in given:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        held = (int(tensor.buffer), values.shape)
        if held not in stored:
            stored[held] = edit.constant(index, values, schema.TensorType.FLOAT16)
        edit.write(schema.BuiltinOperator.DEQUANTIZE, [stored[held]], index, version=_VERSION)
        tensor.buffer = 0
    if not stored:
        return content
    edit.lead()
    return edit.packed()
