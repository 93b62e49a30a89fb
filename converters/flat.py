"""TFLite files as object trees, and back."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def unpack(content: bytes) -> Any:
    """The model of a `.tflite` file's bytes, as objects (`schema.ModelT`)."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model: Any) -> bytes:
    """The file's bytes of a model."""
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = _AlignedBuilder(size + 65536)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator_code(model: Any, operator: Any) -> int:
    """The builtin code of an operator; codes below 127 stand in a field of their own in older files."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """A tensor's values, if the file holds them."""
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    return np.frombuffer(bytes(data), DTYPES[tensor.type]).reshape(shape(tensor))


def shape(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape; a scalar has none in the file."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


DTYPES: dict[int, Any] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.UINT16: np.uint16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.BOOL: np.bool_,
}
"""TFLite tensor type → NumPy type."""


class _AlignedBuilder(flatbuffers.Builder):
    """Puts every vector at a multiple of 16 bytes, which TFLite's schema demands of weights (`force_align`).

    The Python library does not read that attribute, so TensorFlow's own converter, which repacks with it, loses
    the alignment too.
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        """Begin a vector; see flatbuffers."""
        return super().StartVector(elemSize, numElems, max(alignment, 16))
