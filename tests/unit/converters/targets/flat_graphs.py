"""Tiny files around one operation, and how two files' outputs compare."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.verify.tflite_runner import load_interpreter

Network = Callable[[tf.Tensor], tf.Tensor]
INT8 = schema.TensorType.INT8


@functools.cache
def converted(network: Network, shape: tuple[int, ...]) -> bytes:
    """A float file of a function."""
    function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32)])
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
    return content


def in_int8(content: bytes, *, scale: float, zero: int) -> bytes:
    """The same graph with every float tensor as int8 on one grid, for operations that copy or average numbers."""
    model = unpack(content)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.FLOAT32:
            tensor.type = INT8
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray([scale], np.float32)
            tensor.quantization.zeroPoint = np.asarray([zero], np.int64)
            tensor.quantization.quantizedDimension = 0
    for code in model.operatorCodes:
        code.version = max(code.version, 2)
    return pack(model)


def run(content: bytes, image: np.ndarray, *, delegate: bool = True) -> np.ndarray:
    """What LiteRT makes of an image, with XNNPACK or with its plain kernels."""
    interpreter = load_interpreter(content, name="rewritten") if delegate else _plain(content)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


def images(shape: Sequence[int], dtype: str, *, count: int = 2) -> list[np.ndarray]:
    """Random images; the int8 ones use every number."""
    rng = np.random.default_rng(0)
    if dtype == "int8":
        return [rng.integers(-128, 128, shape).astype(np.int8) for _ in range(count)]
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


def _plain(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    made.allocate_tensors()
    return made
