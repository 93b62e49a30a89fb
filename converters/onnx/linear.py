"""Linear layers as ONNX nodes: convolutions and products with constants, float or quantized; normalization folded."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mobile_seg.converters.deploy import normalized
from mobile_seg.converters.onnx.activations import activated
from mobile_seg.converters.onnx.graph import Pads, Value
from mobile_seg.converters.onnx.site import Site, demand_channels_last, unsupported
from mobile_seg.graph import GraphView

LEVELS = 127.0
"""Steps from zero to the largest 8-bit weight."""


LINEAR_LAYERS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)


def mergers(graph: GraphView, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Map each float linear layer that only a batch normalization reads to that normalization."""
    found = {}
    for name in graph.order:
        layer, reader = graph.layers[name], graph.only_consumer(name)
        if type(layer) not in LINEAR_LAYERS or reader is None or layer.activation is not keras.activations.linear:
            continue
        follower = graph.layers[reader]
        if type(follower) is keras.layers.BatchNormalization and follower.axis in (-1, len(shapes[name]) - 1):
            found[name] = follower
    return found


def same_pads(sizes: tuple[int, int], extents: tuple[int, int], strides: tuple[int, int]) -> Pads:
    """Keras' `same`: as many outputs as strides begin in the input; an odd row or column goes below, to the right."""
    totals = [
        max((-(-size // stride) - 1) * stride + extent - size, 0)
        for size, extent, stride in zip(sizes, extents, strides, strict=True)
    ]
    (top, left), (bottom, right) = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return top, left, bottom, right


@dataclass(frozen=True)
class Weights:
    """A linear layer's numbers: kernel as Keras has it, bias, and the steps of the kernel's grid (None: floats)."""

    kernel: np.ndarray
    bias: np.ndarray | None
    steps: np.ndarray | None


def weights_of(site: Site, layer: Any) -> Weights:
    """Read a layer's weights: on their grid where it is a baked quantized one, else with what is folded into it.

    Raises:
        UnsupportedLayerError: for a quantized layer that is not ready to be converted.
    """
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    bias = keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else None
    grid = getattr(layer, "weights_grid", None)
    if grid is not None and not layer.baked:
        raise unsupported(layer, "is still being trained", "pass the model through quantization.deploy first")
    if grid is not None and grid.startswith("int8"):
        limits = keras.ops.convert_to_numpy(layer.weight_max)
        return Weights(kernel, bias, np.asarray(limits / np.float32(LEVELS), np.float32))
    normalization = site.merged.get(layer.name)
    if normalization is None:
        return Weights(kernel, bias, None)
    factor, shift = normalized(normalization)
    spread = factor.reshape(kernel.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else factor
    if isinstance(layer, keras.layers.Conv2DTranspose):
        spread = factor[:, None]
    moved = shift if bias is None else bias * factor + shift
    return Weights((kernel * spread).astype(np.float32), moved.astype(np.float32), None)


def convolution(site: Site, layer: Any, x: Value) -> Value:
    """A convolution is Conv, `same` said as explicit pads: half of them, rounded down, above and to the left."""
    weights = weights_of(site, layer)
    return _convolved(site, layer, x, weights, weights.kernel.transpose(3, 2, 0, 1), layer.groups)


def depthwise(site: Site, layer: Any, x: Value) -> Value:
    """A depthwise convolution is Conv with a group per input channel, whose outputs stand side by side."""
    weights = weights_of(site, layer)
    height, width, channels, multiplier = weights.kernel.shape
    kernel = weights.kernel.reshape(height, width, 1, channels * multiplier).transpose(3, 2, 0, 1)
    return _convolved(site, layer, x, weights, kernel, channels)


def _convolved(site: Site, layer: Any, x: Value, weights: Weights, kernel: np.ndarray, groups: int) -> Value:
    demand_channels_last(layer)
    x = site.made.image(x, layer.name)
    dilations, strides = _pair(layer.dilation_rate), _pair(layer.strides)
    extents = tuple(rate * (size - 1) + 1 for rate, size in zip(dilations, kernel.shape[2:], strict=True))
    pads = x.pads
    if layer.padding == "same":
        pads = same_pads((x.shape[1], x.shape[2]), (extents[0], extents[1]), strides)
    return _linear(
        site, layer, x, "Conv", weights, kernel, axis=0,
        kernel_shape=list(kernel.shape[2:]), strides=strides, dilations=dilations, pads=pads, group=groups,
    )  # fmt: skip


def transposed(site: Site, layer: Any, x: Value) -> Value:
    """A transposed convolution is ConvTranspose; what `same` cuts off is that which its forward form pads."""
    demand_channels_last(layer)
    weights = weights_of(site, layer)
    kernel, out = weights.kernel.transpose(3, 2, 0, 1), site.shape(layer)
    x = site.made.image(x, layer.name)
    dilations, strides = _pair(layer.dilation_rate), _pair(layer.strides)
    before, missing = [], []
    for axis in range(2):
        extent = dilations[axis] * (kernel.shape[2 + axis] - 1) + 1
        surplus = (x.shape[1 + axis] - 1) * strides[axis] + extent - out[1 + axis]
        before.append((max(surplus, 0) // 2, max(surplus, 0) - max(surplus, 0) // 2))
        missing.append(max(-surplus, 0))
    (top, bottom), (left, right) = before
    return _linear(
        site, layer, x, "ConvTranspose", weights, kernel, axis=1, kernel_shape=list(kernel.shape[2:]),
        strides=strides, dilations=dilations, pads=(top, left, bottom, right), output_padding=missing,
    )  # fmt: skip


def dense(site: Site, layer: Any, x: Value) -> Value:
    """A dense layer is Gemm; of an image it is a 1x1 Conv, and of other tensors a MatMul over the last axis."""
    weights = weights_of(site, layer)
    if len(x.shape) == 4:
        kernel = weights.kernel.T[:, :, None, None]
        return _linear(
            site, layer, site.made.image(x, layer.name), "Conv", weights, kernel, axis=0, kernel_shape=[1, 1]
        )
    x = site.made.flat(x, layer.name)
    if len(x.shape) == 2:
        return _linear(site, layer, x, "Gemm", weights, weights.kernel, axis=1)
    made = site.made
    kernel = made.weights(weights.kernel, weights.steps, 1, f"{layer.name}_kernel")
    like = Value(site.shape(layer), None, False)
    y = made.computed("MatMul", [made.floats(x), kernel], like, layer.name)
    if weights.bias is not None:
        bias = made.bias(weights.bias, _accumulator(x, weights), f"{layer.name}_bias")
        y = made.computed("Add", [made.floats(y), bias], like, f"{layer.name}_biased")
    return activated(site, layer.activation, y, layer)


def _linear(
    site: Site, layer: Any, x: Value, kind: str, weights: Weights, kernel: np.ndarray, *, axis: int, **options: Any
) -> Value:
    made, name = site.made, f"{layer.name}_bias"
    inputs = [made.floats(x), made.weights(kernel, weights.steps, axis, f"{layer.name}_kernel")]
    if x.grid is not None and weights.steps is None:
        none = np.zeros(site.shape(layer)[-1], np.float32)
        inputs.append(made.float_bias(none if weights.bias is None else weights.bias, name))
    elif weights.bias is not None:
        inputs.append(made.bias(weights.bias, _accumulator(x, weights), name))
    like = Value(site.shape(layer), None, x.image)
    return activated(site, layer.activation, made.computed(kind, inputs, like, layer.name, **options), layer)


def _accumulator(x: Value, weights: Weights) -> np.ndarray | None:
    """The steps that products of integers have, per channel; None where one side is floats."""
    if x.grid is None or weights.steps is None:
        return None
    channels = weights.bias.shape if weights.bias is not None else ()
    return np.broadcast_to(np.float32(x.grid.scale) * weights.steps, channels)


def batch_normalization(site: Site, layer: Any, x: Value) -> Value:
    """Batch normalization folds into a linear layer that it alone reads; else it is a node of its own."""
    if site.graph.only_input(layer.name) in site.merged:
        return x
    factor, shift = (values.astype(np.float32) for values in normalized(layer))
    if layer.axis not in (-1, len(x.shape) - 1):
        raise unsupported(layer, f"normalizes axis {layer.axis}", "only the last one, that of channels, is written")
    made = site.made
    if x.image or len(x.shape) == 2:
        names = ("scale", "offset", "mean", "variance")
        numbers = (factor, shift, np.zeros_like(shift), np.ones_like(shift))
        constants = [made.constant(one, f"{layer.name}_{name}") for name, one in zip(names, numbers, strict=True)]
        # The numbers are folded already, so that nothing is added to the variance of one.
        return made.computed("BatchNormalization", [made.floats(x), *constants], x, layer.name, epsilon=0.0)
    scaled = made.computed("Mul", [made.floats(x), made.constant(factor, "scale")], x, f"{layer.name}_scaled")
    return made.computed("Add", [made.floats(scaled), made.constant(shift, "offset")], x, layer.name)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
