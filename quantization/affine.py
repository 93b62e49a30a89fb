"""Per-channel `x · scale + offset` in a float graph: read off layers, composed, folded into the layer in front."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView, copy_layer, made_by

LINEAR_LAYERS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
AFFINE_LAYERS = (layers.Rescaling, layers.Normalization)


@dataclass(frozen=True)
class Affine:
    """`x · scale + offset`, both float64, of shape `[1]` or `[C]`."""

    scale: np.ndarray
    offset: np.ndarray

    def then(self, after: "Affine") -> "Affine":
        """This one first, `after` upon it."""
        return Affine(self.scale * after.scale, self.offset * after.scale + after.offset)

    @property
    def uniform(self) -> bool:
        """Whether all channels have one scale and one offset."""
        return bool(np.all(self.scale == self.scale[0]) and np.all(self.offset == self.offset[0]))

    @property
    def shifts(self) -> bool:
        """Whether the offset matters."""
        return bool(np.any(self.offset))

    @property
    def passes_relu(self) -> bool:
        """Whether it is the same before a ReLU and behind it."""
        return not self.shifts and bool(np.all(self.scale >= 0.0))


IDENTITY = Affine(np.ones(1), np.zeros(1))


def affine_of(layer: Any) -> Affine:
    """What a Rescaling or Normalization layer computes.

    Raises:
        UnsupportedLayerError: if scale or offset differ between rows or columns.
    """
    if type(layer) is layers.Rescaling:
        return Affine(_per_channel(layer, layer.scale), _per_channel(layer, layer.offset))
    mean, variance = _per_channel(layer, layer.mean), _per_channel(layer, layer.variance)
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    return Affine(deviation, mean) if layer.invert else Affine(1 / deviation, -mean / deviation)


def _per_channel(layer: Any, value: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(value) if ops.is_tensor(value) else value, np.float64)
    if array.size != 1 and array.shape[-1] != array.size:
        raise UnsupportedLayerError(
            f"layer {layer.name} ({type(layer).__name__}) has numbers of shape {array.shape}, which differ between "
            "rows or columns; integer kernels take one scale and offset per channel"
        )
    return array.reshape(-1)


def is_open_linear(layer: Any) -> bool:
    """Whether this is a linear layer without an activation inside."""
    return type(layer) in LINEAR_LAYERS and layer.activation is keras.activations.linear


def folded(tensor: Any, affine: Affine) -> Any | None:
    """The tensor after `affine`, computed by the layer that made `tensor`; None if that one cannot take it in.

    That layer is replaced by one of the same name, so nothing else may read `tensor`.
    """
    layer, source = made_by(tensor)
    if type(layer) is layers.BatchNormalization:
        return _normalized(layer, source, affine)
    behind_relu = type(layer) in LINEAR_LAYERS and layer.activation is keras.activations.relu and affine.passes_relu
    return _linear(layer, source, affine) if behind_relu or is_open_linear(layer) else None


def _normalized(layer: Any, source: Any, affine: Affine) -> Any:
    copy = copy_layer(layer, center=True, scale=True)
    output = copy(source)
    gamma = ops.convert_to_numpy(layer.gamma) if layer.scale else np.ones(copy.gamma.shape)
    beta = ops.convert_to_numpy(layer.beta) if layer.center else np.zeros(copy.beta.shape)
    copy.gamma.assign(gamma * affine.scale)
    copy.beta.assign(beta * affine.scale + affine.offset)
    copy.moving_mean.assign(layer.moving_mean)
    copy.moving_variance.assign(layer.moving_variance)
    return output


def _linear(layer: Any, source: Any, affine: Affine) -> Any:
    copy = copy_layer(layer, use_bias=layer.use_bias or affine.shifts)
    output = copy(source)
    kernel = ops.convert_to_numpy(layer.kernel)
    scale = np.broadcast_to(affine.scale, output.shape[-1:])
    if type(layer) is layers.DepthwiseConv2D:
        scale = scale.reshape(kernel.shape[2:])
    elif type(layer) is layers.Conv2DTranspose:
        scale = scale[:, None]
    copy.kernel.assign(kernel * scale)
    if copy.use_bias:
        bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(copy.bias.shape)
        copy.bias.assign(bias * affine.scale + affine.offset)
    return output


def depthwise(tensor: Any, affine: Affine, *, use_bias: bool, **config: Any) -> Any:
    """`affine` as a 1x1 depthwise convolution of `[N, H, W, C]` whose numbers do not train."""
    layer = layers.DepthwiseConv2D(1, use_bias=use_bias, data_format="channels_last", trainable=False, **config)
    output = layer(tensor)
    channels = tensor.shape[-1]
    layer.kernel.assign(np.broadcast_to(affine.scale, (channels,)).reshape(1, 1, channels, 1))
    if use_bias:
        layer.bias.assign(np.broadcast_to(affine.offset, (channels,)))
    return output


def applied(x: Any, affine: Affine, *, name: str, dtype: Any, alone: bool) -> Any:
    """The tensor after `affine`: folded into the layer in front if nothing else reads it, or by a new layer.

    Raises:
        UnsupportedLayerError: if that would take a 1x1 convolution and the tensor is no image.
    """
    output = folded(x, affine) if alone else None
    if output is not None:
        return output
    if affine.uniform and not affine.shifts:
        return layers.Rescaling(float(affine.scale[0]), name=name, dtype=dtype)(x)
    demand_image(name, x, "shifts or scales channels, with no linear layer in front to take that in")
    return depthwise(x, affine, use_bias=True, name=name, dtype=dtype)


def demand_image(name: str, x: Any, what: str) -> None:
    """Refuse what takes a 1x1 depthwise convolution on a tensor that is not `[N, H, W, C]`.

    Raises:
        UnsupportedLayerError: naming the layer, and `what` it does.
    """
    if len(x.shape) != 4:
        raise UnsupportedLayerError(
            f"layer {name} {what}; integer kernels can do so on [N, H, W, C], and this tensor has rank {len(x.shape)}: "
            "put it right behind a Dense layer without activation"
        )


def leading_chain(graph: GraphView, layer: Any) -> list[Any]:
    """The affine layers from an input to this one, each read by the next alone; none if others stand between."""
    chain = [layer]
    while not isinstance(source := graph.layers[graph.only_input(chain[0].name)], layers.InputLayer):
        if type(source) not in AFFINE_LAYERS or graph.only_consumer(source.name) != chain[0].name:
            return []
        chain.insert(0, source)
    return chain
