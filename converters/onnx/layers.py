"""Keras layers as ONNX nodes: one function per kind of layer, whose docstring is the rule.

Values are computed as `[1, C, H, W]`, which ONNX' convolutions demand; each rule says what becomes of rows, columns and
channels. Layers are told apart by their exact type, as in quantization: what a subclass computes, no rule can know.
Quantized linear layers are what they are a twin of.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from mobile_seg.converters.onnx.activations import activated, clip, over_channels
from mobile_seg.converters.onnx.graph import Value
from mobile_seg.converters.onnx.linear import batch_normalization, convolution, dense, depthwise, transposed
from mobile_seg.converters.onnx.pixels import (
    blocks_to_channels,
    cropped,
    global_pooling,
    padded,
    pooling,
    upsampled,
)
from mobile_seg.converters.onnx.site import Site, grid_of, is_quantizer, unsupported
from mobile_seg.layers import Resize, SpaceToDepth, WeightedSum

Rule = Callable[..., Value]
"""`rule(site, layer, *values)`: the layer's value."""


def value_of(site: Site, layer: Any, *inputs: Value) -> Value:
    """Write one layer's nodes and return its value.

    Raises:
        UnsupportedLayerError: for a layer that no rule is for, or that does what no rule says.
    """
    if layer.name in site.known:
        return site.known[layer.name]
    if is_quantizer(layer):
        return site.made.quantized(inputs[0], grid_of(layer), layer.name.removesuffix("_quant"))
    kind = type(layer)
    if hasattr(layer, "weights_grid"):
        kind = next((base for base in kind.__mro__ if base in RULES), kind)
    rule = RULES.get(kind)
    if rule is None:
        raise unsupported(
            layer,
            "has no ONNX nodes here",
            "pass the model through quantization.lower, and build the rest from the layers it knows",
        )
    return rule(site, layer, *inputs)


def merged(kind: str, suffix: str = "") -> Rule:
    """A sum, product, difference or extreme is a node per pair, from the left."""

    def rule(site: Site, layer: Any, *inputs: Value) -> Value:
        first, *others = aligned(site, layer, inputs)
        total = first
        for index, value in enumerate(others, 1):
            name = f"{layer.name}{suffix}" if index == len(others) else f"{layer.name}_{index}"
            shape = np.broadcast_shapes(total.shape, value.shape)
            like = Value(tuple(int(size) for size in shape), None, total.image)
            total = site.made.computed(kind, [site.made.floats(total), site.made.floats(value)], like, name)
        return total

    return rule


def aligned(site: Site, layer: Any, inputs: tuple[Value, ...]) -> list[Value]:
    """Values of one rank in one memory order; Keras widens a lower rank behind the batch."""
    rank = max(len(value.shape) for value in inputs)
    wide = []
    for value in inputs:
        if len(value.shape) < rank:
            shape = (1, *(1 for _ in range(rank - len(value.shape))), *value.shape[1:])
            value = _as(site, layer, value, shape)
        wide.append(value)
    if rank == 4 or all(value.image for value in wide):
        return [site.made.image(value, f"{layer.name}_{index}") for index, value in enumerate(wide)]
    return [site.made.flat(value, f"{layer.name}_{index}") for index, value in enumerate(wide)]


def average(site: Site, layer: Any, *inputs: Value) -> Value:
    """A mean of tensors is their sum, times a constant."""
    total = merged("Add", "_sum")(site, layer, *inputs)
    share = site.made.constant(1.0 / len(inputs), "share")
    return site.made.computed("Mul", [site.made.floats(total), share], total, layer.name)


def weighted_sum(site: Site, layer: Any, *inputs: Value) -> Value:
    """A weighted fusion is a sum of products with constants, its normalized weights as they stand."""
    made = site.made
    scaled = []
    for index, (share, value) in enumerate(zip(keras.ops.convert_to_numpy(layer.normalized()), inputs, strict=True)):
        factor = made.constant(np.float32(share), "share")
        scaled.append(made.computed("Mul", [made.floats(value), factor], value, f"{layer.name}_share{index}"))
    return merged("Add")(site, layer, *scaled)


def concatenation(site: Site, layer: Any, *inputs: Value) -> Value:
    """Tensors side by side are Concat; its axis is counted in the memory's order."""
    made, shape = site.made, site.shape(layer)
    values = aligned(site, layer, inputs)
    axis = layer.axis % len(shape)
    if values[0].image:
        axis = {0: 0, 1: 2, 2: 3, 3: 1}[axis] if len(shape) == 4 else 1
    joined = made.node("Concat", [made.floats(value) for value in values], layer.name, axis=axis)
    whole = Value(shape, joined, values[0].image)
    grids = {value.grid for value in values}
    grid = grids.pop() if len(grids) == 1 else None
    return whole if grid is None else made.quantized(whole, grid, layer.name)


def activation(site: Site, layer: Any, x: Value) -> Value:
    """An Activation layer is its function."""
    return activated(site, layer.activation, x, layer)


def relu(site: Site, layer: Any, x: Value) -> Value:
    """A ReLU is Relu, Clip or LeakyRelu; with a threshold, zero is chosen below it, and the slope starts there."""
    made, high = site.made, math.inf if layer.max_value is None else float(layer.max_value)
    slope, threshold = float(layer.negative_slope), float(layer.threshold)
    if not slope and not threshold:
        return x if site.clamps_anyway(layer.name, 0.0, high) else clip(made, x, layer.name, 0.0, high)
    if not threshold:
        leaky = made.computed("LeakyRelu", [made.floats(x)], x, f"{layer.name}_leaky", alpha=slope)
        return leaky if high == math.inf else clip(made, leaky, layer.name, -math.inf, high)
    limit, zero = made.constant(threshold, "threshold"), made.constant(0.0, "zero")
    above = made.node("Greater", [made.floats(x), limit], f"{layer.name}_above")
    kept = made.computed("Where", [above, made.floats(x), zero], x, f"{layer.name}_kept")
    kept = kept if high == math.inf else clip(made, kept, f"{layer.name}_clipped", 0.0, high)
    if not slope:
        return kept
    below = made.node("Relu", [made.node("Sub", [limit, made.floats(x)], f"{layer.name}_below")], f"{layer.name}_depth")
    share = made.node("Mul", [below, made.constant(slope, "slope")], f"{layer.name}_slope")
    return made.computed("Sub", [made.floats(kept), share], x, layer.name)


def leaky_relu(site: Site, layer: Any, x: Value) -> Value:
    """A leaky ReLU is LeakyRelu with its slope."""
    return site.made.computed("LeakyRelu", [site.made.floats(x)], x, layer.name, alpha=float(layer.negative_slope))


def elu(site: Site, layer: Any, x: Value) -> Value:
    """An ELU layer is Elu with its factor."""
    return site.made.computed("Elu", [site.made.floats(x)], x, layer.name, alpha=float(layer.alpha))


def prelu(site: Site, layer: Any, x: Value) -> Value:
    """A PReLU is PRelu with a slope per channel, or per number."""
    slope = keras.ops.convert_to_numpy(layer.alpha)
    if x.image:
        slope = slope.reshape((1,) * (3 - slope.ndim) + slope.shape).transpose(2, 0, 1)
    return site.made.computed("PRelu", [site.made.floats(x), site.made.constant(slope, "slope")], x, layer.name)


def softmax(site: Site, layer: Any, x: Value) -> Value:
    """A Softmax layer is Softmax over the last axis, the second one of an image."""
    if layer.axis not in (-1, len(x.shape) - 1):
        raise unsupported(layer, f"goes over axis {layer.axis}", "only the last one, that of channels, is written")
    return over_channels("Softmax")(site.made, x, layer.name)


def affine(site: Site, layer: Any, x: Value) -> Value:
    """A Rescaling or Normalization is Mul and Add, one number or one per channel; what does nothing is left out."""
    if type(layer) is layers.Rescaling:
        scale, offset = (_per_channel(layer, x, value) for value in (layer.scale, layer.offset))
    else:
        mean, variance = (_per_channel(layer, x, value) for value in (layer.mean, layer.variance))
        deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
        scale, offset = (deviation, mean) if layer.invert else (1.0 / deviation, -mean / deviation)
    made = site.made
    if np.any(scale != 1.0):
        name = f"{layer.name}_scaled" if np.any(offset) else layer.name
        x = made.computed("Mul", [made.floats(x), made.constant(scale, "scale")], x, name)
    if np.any(offset):
        x = made.computed("Add", [made.floats(x), made.constant(offset, "offset")], x, layer.name)
    return x


def layer_normalization(site: Site, layer: Any, x: Value) -> Value:
    """A layer normalization over the last axis is LayerNormalization of the tensor with its channels last."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1] or getattr(layer, "rms_scaling", False):
        raise unsupported(layer, f"normalizes axes {axes}, or by RMS", "only the last axis, by its mean, is written")
    made, channels, image = site.made, x.shape[-1], x.image
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else np.ones(channels)
    beta = keras.ops.convert_to_numpy(layer.beta) if layer.center else np.zeros(channels)
    x = made.flat(x, layer.name)
    inputs = [made.floats(x), made.constant(gamma, "scale"), made.constant(beta, "offset")]
    y = made.computed("LayerNormalization", inputs, x, layer.name, axis=-1, epsilon=float(layer.epsilon))
    return made.image(y, f"{layer.name}_back") if image else y


def reshape(site: Site, layer: Any, x: Value) -> Value:
    """A Reshape or Flatten is Reshape of the tensor with its channels last; one pixel stays as it is."""
    return _as(site, layer, x, site.shape(layer))


def _as(site: Site, layer: Any, x: Value, shape: tuple[int, ...]) -> Value:
    pixel = all(size == 1 for size in (*x.shape[:-1], *shape[:-1]))
    if x.image and pixel and len(shape) in (2, 4):
        return Value(shape, x.floats, True, x.integers, x.grid)
    x = site.made.flat(x, layer.name)
    return x if x.shape == shape else site.made.reshaped(x, shape, layer.name, image=False)


def permute(site: Site, layer: Any, x: Value) -> Value:
    """A Permute is Transpose of the tensor with its channels last."""
    x = site.made.flat(x, layer.name)
    return site.made.copied("Transpose", x, site.shape(layer), layer.name, perm=[0, *layer.dims])


def gone(site: Site, layer: Any, x: Value) -> Value:
    """What only acts in training is left out."""
    return x


def _per_channel(layer: Any, x: Value, value: Any) -> np.ndarray:
    array = np.asarray(keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value, np.float64)
    if array.size == 1:
        return array.reshape(())
    if array.shape[-1] != array.size:
        raise unsupported(layer, f"has numbers of shape {array.shape}", "only one, or one per channel, is written")
    return array.reshape((-1, 1, 1) if x.image else (-1,))


RULES: dict[type, Rule] = {
    layers.Conv2D: convolution,
    layers.DepthwiseConv2D: depthwise,
    layers.Conv2DTranspose: transposed,
    layers.Dense: dense,
    layers.BatchNormalization: batch_normalization,
    layers.LayerNormalization: layer_normalization,
    layers.Add: merged("Add"),
    layers.Subtract: merged("Sub"),
    layers.Multiply: merged("Mul"),
    layers.Maximum: merged("Max"),
    layers.Minimum: merged("Min"),
    layers.Average: average,
    WeightedSum: weighted_sum,
    layers.Concatenate: concatenation,
    layers.Activation: activation,
    layers.ReLU: relu,
    layers.LeakyReLU: leaky_relu,
    layers.ELU: elu,
    layers.PReLU: prelu,
    layers.Softmax: softmax,
    layers.Rescaling: affine,
    layers.Normalization: affine,
    layers.MaxPooling2D: pooling,
    layers.AveragePooling2D: pooling,
    layers.GlobalMaxPooling2D: global_pooling,
    layers.GlobalAveragePooling2D: global_pooling,
    layers.ZeroPadding2D: padded,
    layers.Cropping2D: cropped,
    layers.UpSampling2D: upsampled,
    layers.Resizing: upsampled,
    Resize: upsampled,
    SpaceToDepth: blocks_to_channels,
    layers.Reshape: reshape,
    layers.Flatten: reshape,
    layers.Permute: permute,
    **dict.fromkeys((layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout), gone),
    **dict.fromkeys((layers.AlphaDropout, layers.ActivityRegularization), gone),
}
"""Type of layer → its rule; a layer that is missing here is refused by name."""
