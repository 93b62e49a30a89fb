"""Lowering: any float functional model → an equal one of the few kinds of layers that integer kernels know.

`LOWERINGS` and `ACTIVATIONS` hold one function per lowering, whose docstring is the rule. Quantizers are
placed afterwards, so `rules` sees only what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView, call, copy_layer, copy_weights, made_by, named, plain, rebuild, view
from mobile_seg.layers import Resize, SwitchableAtrousConv2D, WeightedSum
from mobile_seg.quantization.affine import (
    AFFINE_LAYERS,
    IDENTITY,
    LINEAR_LAYERS,
    Affine,
    affine_of,
    applied,
    demand_image,
    depthwise,
    is_open_linear,
    leading_chain,
)
from mobile_seg.quantization.fusion import share_in_front
from mobile_seg.quantization.rules import is_averaging

INNER_ACTIVATIONS = ("linear", "relu", "relu6")
"""What a linear layer may carry inside: integer kernels clamp for free."""


def lower(model: keras.Model, *, integers: bool = False) -> keras.Model:
    """Return an equal model that holds only layers which quantizer placement knows; `model` is untouched.

    Outputs agree to float32 rounding; inputs and outputs keep name and order, and a layer that is still
    there keeps its name. A layer that no lowering is for is the model's own, with its weights: read the result, or copy
    it, before it is trained.

    Args:
        integers: whether activations are to be integers, for which hard-swish is built from a clamp and a product.

    Raises:
        UnsupportedLayerError: for a layer, call or inner model that cannot be said in that vocabulary.
    """
    unfolded = plain(model)
    graph = view(unfolded)
    site = Site(graph, integers, set(graph.order))

    def emit(layer: Any, *inputs: Any) -> Any:
        answers = (lowering(site, layer, *inputs) for lowering in LOWERINGS.get(type(layer), ()))
        output = next((answer for answer in answers if answer is not None), None)
        output = call(layer, *inputs) if output is None else output
        return named(output, layer.name) if layer.name in graph.outputs else output

    return rebuild(unfolded, emit, name=model.name)


@dataclass(frozen=True)
class Site:
    """What a lowering may ask: the graph as it was, what is computed in, and the names that are taken."""

    graph: GraphView
    integers: bool
    names: set[str]

    def spare(self, name: str) -> str:
        """`name`, or with a number behind it if a layer has it already."""
        wanted, count = name, 1
        while wanted in self.names:
            count += 1
            wanted = f"{name}_{count}"
        self.names.add(wanted)
        return wanted

    def alone(self, layer: Any) -> bool:
        """Whether nothing but this layer reads its input."""
        return self.graph.only_consumer(self.graph.only_input(layer.name)) == layer.name


Lowering = Callable[..., Any]
"""`lowering(site, layer, *inputs)`: the output tensor, or None where the layer is none of its business."""


def own_activation(site: Site, layer: Any, x: Any) -> Any | None:
    """Integer kernels fuse only relu and relu6 into a linear layer; any other activation has a kernel of its own."""
    if getattr(layer.activation, "__name__", "") in INNER_ACTIVATIONS:
        return None
    last = layer.name in site.graph.outputs
    bare = copy_layer(layer, activation="linear", name=site.spare(f"{layer.name}_linear") if last else layer.name)
    x = bare(x)
    bare.kernel.assign(layer.kernel)
    if layer.use_bias:
        bare.bias.assign(layer.bias)
    name = layer.name if last else site.spare(f"{layer.name}_activation")
    return _activated(site, x, layer.activation, name=name, dtype=layer.dtype_policy, alone=True)


def separable(site: Site, layer: Any, x: Any) -> Any:
    """TFLite has no separable convolution: it is a depthwise and a 1x1 convolution, each with scales of its own."""
    config, shared = layer.get_config(), {"data_format": layer.data_format, "dtype": layer.dtype_policy}
    parts = ("initializer", "regularizer", "constraint")
    spatial = layers.DepthwiseConv2D(
        **{key: config[key] for key in ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")},
        **{f"depthwise_{part}": config[f"depthwise_{part}"] for part in parts},
        use_bias=False,
        trainable=layer.trainable,
        name=site.spare(f"{layer.name}_depthwise"),
        **shared,
    )
    x = spatial(x)
    spatial.kernel.assign(layer.depthwise_kernel)
    bias = ("use_bias", "bias_initializer", "bias_regularizer", "bias_constraint", "activity_regularizer")
    point = layers.Conv2D(
        layer.filters,
        1,
        **{f"kernel_{part}": config[f"pointwise_{part}"] for part in parts},
        **{key: config[key] for key in ("activation", "trainable", "name", *bias)},
        **shared,
    )
    point.build(x.shape)
    point.kernel.assign(layer.pointwise_kernel)
    if layer.use_bias:
        point.bias.assign(layer.bias)
    output = own_activation(site, point, x)
    return point(x) if output is None else output


def activation(site: Site, layer: Any, x: Any) -> Any:
    """An Activation layer is lowered by its function."""
    alone = site.alone(layer)
    return _activated(site, x, layer.activation, name=layer.name, dtype=layer.dtype_policy, alone=alone)


def pairs(site: Site, layer: Any, *inputs: Any) -> Any:
    """Integer sums and products take two tensors, and what stands between two of them needs a range of its own."""
    return _chained(site, type(layer), inputs, name=layer.name, dtype=layer.dtype_policy)


def average(site: Site, layer: Any, *inputs: Any) -> Any:
    """TFLite has no mean of several tensors: it is their sum, times a constant."""
    total = _chained(site, layers.Add, inputs, name=site.spare(f"{layer.name}_sum"), dtype=layer.dtype_policy)
    return layers.Rescaling(1 / len(inputs), name=layer.name, dtype=layer.dtype_policy)(total)


def fusion(site: Site, layer: Any, *inputs: Any) -> Any:
    """A weighted fusion is a sum of tensors times constants, which the layers that make them take in if they can."""
    scaled = []
    for index, (tensor, share) in enumerate(zip(inputs, keras.ops.convert_to_numpy(layer.normalized()), strict=True)):
        output = share_in_front(site.graph, tensor, float(share))
        if output is None:
            name = site.spare(f"{layer.name}_share{index}")
            output = layers.Rescaling(float(share), name=name, dtype=layer.dtype_policy)(tensor)
        scaled.append(output)
    return _chained(site, layers.Add, tuple(scaled), name=layer.name, dtype=layer.dtype_policy)


def image_scaling(site: Site, layer: Any, x: Any) -> Any | None:
    """The input tensor stays bytes: one scale and offset quantize it; one per channel goes to a 1x1 depthwise."""
    chain = leading_chain(site.graph, layer)
    if not chain:
        return None
    follower = site.graph.only_consumer(layer.name)
    if follower is not None and type(site.graph.layers[follower]) in AFFINE_LAYERS:
        return x  # the last of the chain stands for all of it
    whole = IDENTITY
    for link in chain:
        whole = whole.then(affine_of(link))
    first, dtype = chain[0], layer.dtype_policy
    if whole.uniform and whole.scale[0] > 0:
        scale, offset = float(whole.scale[0]), float(whole.offset[0])
        return layers.Rescaling(scale, offset, name=first.name, dtype=dtype)(x)
    demand_image(layer.name, x, "scales the channels of the input apart")
    spare = first.name if first is not layer else site.spare(f"{layer.name}_bytes")
    x = layers.Rescaling(1.0, name=spare, dtype=dtype)(x)
    return depthwise(x, whole, use_bias=True, name=layer.name, dtype=dtype)


def constant(site: Site, layer: Any, x: Any) -> Any:
    """A scale and offset fold into the linear layer in front; else a scale is a product, the rest a 1x1 depthwise."""
    affine = affine_of(layer)
    return applied(x, affine, name=layer.name, dtype=layer.dtype_policy, alone=site.alone(layer))


def lone_normalization(site: Site, layer: Any, x: Any) -> Any | None:
    """TFLite has no batch normalization: it folds into the linear layer in front, here a 1x1 depthwise of ones."""
    if layer.axis not in (-1, len(x.shape) - 1):
        raise UnsupportedLayerError(
            f"layer {layer.name} (BatchNormalization) normalizes axis {layer.axis}; integer kernels need the last"
        )
    if site.alone(layer) and is_open_linear(made_by(x)[0]):
        return None
    demand_image(layer.name, x, "has no linear layer without activation in front that it alone reads")
    name = site.spare(f"{layer.name}_identity")
    return call(layer, depthwise(x, IDENTITY, use_bias=False, name=name, dtype=layer.dtype_policy))


def resizing(site: Site, layer: Any, x: Any) -> Any | None:
    """Resizing to a given size is one operation, as upsampling is; cropping or antialiasing with it has no kernel."""
    if not Resize.stands_for(layer):
        raise UnsupportedLayerError(
            f"layer {layer.name} (Resizing) resizes by {layer.interpolation}, or crops, pads or antialiases with it; "
            "integer kernels resize by nearest or bilinear alone"
        )
    return Resize((layer.height, layer.width), layer.interpolation, name=layer.name, dtype=layer.dtype_policy)(x)


def switched(site: Site, layer: Any, x: Any, switch: Any) -> Any:
    """Switchable atrous convolution is two convolutions, whose kernels then train apart, blended by the switch."""
    shared, results = {"data_format": "channels_last", "dtype": layer.dtype_policy}, []
    for rate in layer.rates:
        options = {"dilation_rate": rate, "padding": "same", "use_bias": False, "trainable": layer.trainable, **shared}
        conv = layers.Conv2D(layer.filters, layer.kernel_size, name=site.spare(f"{layer.name}_rate{rate}"), **options)
        results.append(conv(x))
        conv.kernel.assign(layer.kernel)
    near, far = results
    change = layers.Subtract(name=site.spare(f"{layer.name}_change"), dtype=layer.dtype_policy)([far, near])
    part = layers.Multiply(name=site.spare(f"{layer.name}_part"), dtype=layer.dtype_policy)([change, switch])
    return layers.Add(name=layer.name, dtype=layer.dtype_policy)([near, part])


def upsampling(site: Site, layer: Any, x: Any) -> Any | None:
    """Bilinear upsampling is resizing to a given size."""
    if layer.interpolation != "bilinear" or not is_averaging(layer) or not Resize.stands_for(layer):
        return None
    return Resize(layer.output.shape[1:3], layer.interpolation, name=layer.name, dtype=layer.dtype_policy)(x)


LOWERINGS: dict[type, tuple[Lowering, ...]] = {
    **dict.fromkeys(LINEAR_LAYERS, (own_activation,)),
    layers.SeparableConv2D: (separable,),
    layers.Activation: (activation,),
    layers.Add: (pairs,),
    layers.Multiply: (pairs,),
    layers.Average: (average,),
    WeightedSum: (fusion,),
    **dict.fromkeys(AFFINE_LAYERS, (image_scaling, constant)),
    layers.BatchNormalization: (lone_normalization,),
    SwitchableAtrousConv2D: (switched,),
    layers.Resizing: (resizing,),
    layers.UpSampling2D: (upsampling,),
}
"""Type of layer → what is tried on it, in order; without an answer the layer stays."""


def silu(site: Site, x: Any, *, name: str, dtype: Any, alone: bool) -> Any:
    """TFLite has no integer swish: it is a product of the tensor and its sigmoid, whose kernel fixes its scale."""
    gate = layers.Activation("sigmoid", name=site.spare(f"{name}_sigmoid"), dtype=dtype)(x)
    return layers.Multiply(name=name, dtype=dtype)([x, gate])


def hard_sigmoid(site: Site, x: Any, *, name: str, dtype: Any, alone: bool) -> Any:
    """TFLite has no hard-sigmoid: it is x / 6 + 1/2 between 0 and 1; both numbers go into the layer in front."""
    slope = Affine(np.full(1, 1 / 6), np.full(1, 0.5))
    x = applied(x, slope, name=site.spare(f"{name}_slope"), dtype=dtype, alone=alone)
    return layers.ReLU(1.0, name=name, dtype=dtype)(x)


def hard_silu(site: Site, x: Any, *, name: str, dtype: Any, alone: bool) -> Any | None:
    """Hard-swish is one kernel in float; in integers XNNPACK has none: the tensor times its hard-sigmoid."""
    if not site.integers:
        return layers.Activation("hard_silu", name=name, dtype=dtype)(x)
    gate = hard_sigmoid(site, x, name=site.spare(f"{name}_gate"), dtype=dtype, alone=False)
    return layers.Multiply(name=name, dtype=dtype)([x, gate])


ACTIVATIONS: dict[str, Lowering] = {"silu": silu, "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu}
"""Activation function → its lowering; others stay an Activation layer."""


def _activated(site: Site, x: Any, function: Any, *, name: str, dtype: Any, alone: bool) -> Any:
    """`alone`: nothing but this activation reads `x`."""
    if isinstance(function, layers.Layer):  # an activation given as a layer, such as ReLU(6)
        layer = copy_layer(function, name=name)
        output = layer(x)
        copy_weights(function, layer)
        return output
    lowering = ACTIVATIONS.get(getattr(function, "__name__", ""))
    if lowering is None:
        return layers.Activation(function, name=name, dtype=dtype)(x)
    return lowering(site, x, name=name, dtype=dtype, alone=alone)


def _chained(site: Site, kind: Any, inputs: tuple[Any, ...], *, name: str, dtype: Any) -> Any:
    """Two tensors at a time, from the left; the last layer gets the name."""
    if len(inputs) == 1:
        return layers.Activation("linear", name=name, dtype=dtype)(inputs[0])
    total = inputs[0]
    for index, tensor in enumerate(inputs[1:], 1):
        own = name if index == len(inputs) - 1 else site.spare(f"{name}_{index}")
        total = kind(name=own, dtype=dtype)([total, tensor])
    return total
