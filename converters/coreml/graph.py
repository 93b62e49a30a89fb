"""What Core ML's converter is given: plain Keras layers, the normalization taken off the front."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mobile_seg.converters.deploy import deploy_graph, in_float32, normalized
from mobile_seg.graph import call, copy_layer, copy_weights, made_by, plain, view

_LINEAR = {
    keras.layers.DepthwiseConv2D: {"kernel_size": 1},
    keras.layers.Conv2DTranspose: {"filters": 1, "kernel_size": 1},
    keras.layers.Conv2D: {"filters": 1, "kernel_size": 1},
    keras.layers.Dense: {"units": 1},
}
"""Keras layers with baked twins, and what makes one. In this order: a transposed convolution is a Conv2D too."""


@keras.saving.register_keras_serializable(package="mobile_seg")
class GroupedConv2D(keras.layers.Conv2D):
    """A convolution in groups as TensorFlow's own operation; Keras wraps it in a call that only XLA compiles."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """`[N, H, W, C]` → `[N, h, w, filters]`."""
        import tensorflow as tf

        return tf.nn.convolution(
            inputs, kernel, list(self.strides), self.padding.upper(), dilations=list(self.dilation_rate)
        )


def _grouped(layer: Any) -> Any:
    if type(layer) is not keras.layers.Conv2D or layer.groups == 1 or layer.data_format != "channels_last":
        return None
    return GroupedConv2D.from_config({**layer.get_config(), "dtype": "float32"})


@dataclass(frozen=True)
class Preprocessing:
    """What the package does to a byte of the image: times `scale`, plus its channel's `bias` (red, green, blue)."""

    scale: float = 1.0
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


def plain_graph(model: keras.Model, *, folded: bool = False) -> tuple[keras.Model, Preprocessing]:
    """Return the inference copy with plain layers only, without the Rescaling that alone reads the image.

    Each baked layer becomes a plain one, its kernel the values on its grid: Core ML stores weights by their values,
    and `coreml_weights` finds the grid again. Of a Rescaling, Core ML's image has one scale for all channels: one
    with several stays where it is.

    With `folded` a normalization that alone reads a linear layer goes into it, and linear layers have weights of
    their own.
    """
    model = plain(model)
    before, normalizing = view(model), _normalizing(model)

    def written(layer: Any, *inputs: Any) -> Any:
        if folded and type(layer) is keras.layers.BatchNormalization:
            alone = before.only_consumer(before.only_input(layer.name)) == layer.name
            output = _normalized(layer, inputs[0]) if alone else None
            if output is not None:
                return output
        return _plain(layer, *inputs, own=folded and type(layer) in _LINEAR)

    graph = deploy_graph(model, strip_rescaling=normalizing is not None, written=written)
    return graph, _preprocessing(normalizing)


def _normalized(layer: Any, x: Any) -> Any:
    """The convolution that made `x`, its normalization by the moving statistics folded in; None if none made it."""
    conv, source = made_by(x)
    depthwise = type(conv) is keras.layers.DepthwiseConv2D
    known = depthwise or type(conv) is keras.layers.Conv2D
    if not known or conv.activation is not keras.activations.linear or layer.axis not in (-1, len(x.shape) - 1):
        return None
    twin = copy_layer(conv, use_bias=True)
    output = twin(source)
    scale, shift = normalized(layer)
    kernel, bias = np.asarray(conv.kernel), np.asarray(conv.bias) if conv.use_bias else 0.0
    twin.kernel.assign(kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale))
    twin.bias.assign(bias * scale + shift)
    return output


def _plain(layer: Any, *inputs: Any, own: bool) -> Any:
    """`own`: with weights that are not the model's."""
    if getattr(layer, "baked", False):
        return _unbaked(layer, inputs[0])
    twin: Any = _grouped(layer)
    if twin is None and own:
        twin = copy_layer(layer, dtype="float32")
    if twin is None:
        return in_float32(layer, *inputs)
    output = call(twin, *inputs)
    copy_weights(layer, twin)
    return output


def _normalizing(model: keras.Model) -> Any:
    """The layer that the image's bytes can be normalized by in Core ML, or None."""
    graph, image = view(model), model.inputs[0]._keras_history.operation.name
    reader = graph.only_consumer(image)
    layer: Any = None if reader is None else graph.layers[reader]
    if type(layer) is not keras.layers.Rescaling or reader in graph.outputs:
        return None
    return layer if np.size(layer.scale) == 1 and np.size(layer.offset) in (1, 3) else None


def _preprocessing(layer: Any) -> Preprocessing:
    if layer is None:
        return Preprocessing()
    red, green, blue = np.broadcast_to(np.ravel(np.asarray(layer.offset, np.float64)), 3)
    return Preprocessing(float(np.ravel(layer.scale)[0]), (float(red), float(green), float(blue)))


def _unbaked(layer: Any, x: Any) -> Any:
    kind = next(kind for kind in _LINEAR if isinstance(layer, kind))
    known = kind(**_LINEAR[kind]).get_config()
    config = {**layer.get_config(), "dtype": "float32"}
    twin = kind.from_config({key: value for key, value in config.items() if key in known})
    twin = _grouped(twin) or twin
    output = twin(x)
    twin.set_weights([keras.ops.convert_to_numpy(values) for values in layer.quantized()])
    return output
