"""Parameters and multiply-adds, counted from the layers."""

from dataclasses import dataclass

import keras
import numpy as np

from mobile_seg.calls import walk
from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.layers import SwitchableAtrousConv2D, WeightedSum


@dataclass(frozen=True)
class Cost:
    """`params`: weights, biases, BN scale and shift. `macs`: multiply-adds of convolutions, one image."""

    params: int
    macs: int


def count(model: keras.Model) -> Cost:
    """Count as the papers do; BN moving statistics are not parameters, BN and activations are not multiply-adds."""
    params = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    return Cost(params, sum(layer_macs(call.layer, call.shape) for call in walk(model)))


def layer_macs(layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    """Multiply-adds of one call, whose output has this shape; 0 without weights, for normalization and fusion.

    Raises:
        UnsupportedLayerError: for any other layer with trained weights: it multiplies, but not in a way known here.
    """
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        height, width = shape[1:3]
        return int(np.prod(layer.kernel.shape)) * height * width
    if isinstance(layer, SwitchableAtrousConv2D):
        return len(layer.rates) * int(np.prod(layer.kernel.shape)) * int(np.prod(shape[1:3]))
    if isinstance(layer, keras.layers.Dense):
        return int(np.prod(layer.kernel.shape)) * int(np.prod(shape[1:-1]))
    if layer.trainable_weights and not isinstance(layer, (keras.layers.BatchNormalization, WeightedSum)):
        raise UnsupportedLayerError(
            f"layer {layer.name} ({type(layer).__name__}): its multiply-adds are not known; add them to layer_macs"
        )
    return 0
