"""Our MobileNetV2 0.5 with DeepLabv3 under the published weights of `deeplabv3_257_mv_gpu.tflite` (TensorFlow's).

They were trained on Pascal VOC, which is more than a benchmark can train by itself, and the file is the same network:
its batch normalization folded into the convolutions, its logits enlarged at the end.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import constant, operator_code, unpack
from mobile_seg.models.registry import build
from mobile_seg.verify.tflite_runner import load_interpreter

NETWORK, SIZE, CLASSES = "mobilenet_v2_050", (257, 257), 21
OPTIONS: dict[str, Any] = {"head": "deeplabv3", "output_stride": 8}
CLOSE = 1e-3
"""Largest difference of logits, as a share of the largest."""

_CONVOLUTIONS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)


def borrowed(file: Path) -> keras.Model:
    """Build the network with the file's weights.

    Raises:
        ValueError: if it does not compute what the file does, on the same normalized pixels.
    """
    model = build(NETWORK, input_size=SIZE, classes=CLASSES, **OPTIONS)
    content = file.read_bytes()
    flat = unpack(content)
    graph = flat.subgraphs[0]
    found = [
        [np.array(constant(flat, graph.tensors[index])) for index in operator.inputs[1:]]
        for operator in graph.operators
        if operator_code(flat, operator) in _CONVOLUTIONS
    ]
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)]
    for layer, (kernel, bias) in zip(layers, found, strict=True):
        _set(model, layer, kernel, bias)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3)).astype(np.float32)
    ours, theirs = np.asarray(model(pixels)), _logits(content, (pixels - 128.0) / 128.0)
    if ours.shape != theirs.shape or np.abs(ours - theirs).max() > CLOSE * np.abs(theirs).max():
        raise ValueError(f"{file} is not the network {NETWORK}: its logits differ")
    return model


def _set(model: keras.Model, layer: Any, kernel: np.ndarray, bias: np.ndarray) -> None:
    """From `[out, kh, kw, in]`, or `[1, kh, kw, channels]` of a depthwise one."""
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    values = kernel.transpose(1, 2, 3, 0)
    if layer.name == "aspp_project_conv":  # theirs reads the pooled branch first
        values = np.roll(values, values.shape[2] // 2, axis=2)
    if layer.use_bias:
        layer.set_weights([values, bias])
        return
    layer.set_weights([values])
    name = layer.name.removesuffix("_depthwise" if depthwise else "_conv")
    norm = model.get_layer(f"{name}_bn")
    ones, zeros = np.ones_like(bias), np.zeros_like(bias)
    norm.set_weights([ones, bias, zeros, ones - np.float32(norm.epsilon)])


def _logits(content: bytes, pixels: np.ndarray) -> np.ndarray:
    """What the file computes before it enlarges its logits: every eighth pixel of them, as corners are aligned."""
    interpreter = load_interpreter(content, name="the published file")
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], pixels)
    interpreter.invoke()
    enlarged: np.ndarray = interpreter.get_tensor(made["index"])
    return enlarged[:, ::8, ::8]
