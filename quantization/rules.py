"""Where TFLite's int8 kernels need a scale: one function per rule, whose docstring is the rule.

A rule answers for one layer of the float graph. `RULES` is tried in order; the first that answers wins.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import keras

from mobile_seg.graph import GraphView

LINEAR_LAYERS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
PASS_THROUGH_LAYERS = (
    keras.layers.UpSampling2D,
    keras.layers.MaxPooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
)
FUSED_ACTIVATIONS = ("relu", "relu6", "linear")


class Placement(Enum):
    """What happens to a layer's output."""

    QUANTIZE = "its own range"
    NONE = "no quantizer here"


Rule = Callable[[GraphView, str], Placement | None]


def input_bytes(graph: GraphView, name: str) -> Placement | None:
    """The input's range is fixed by its bytes: Rescaling of 0..255 gives the input tensor's scale and zero point."""
    if isinstance(graph.layers[name], keras.layers.Rescaling):
        return Placement.QUANTIZE
    return Placement.NONE if isinstance(graph.layers[name], keras.layers.InputLayer) else None


def fused_follower(graph: GraphView, name: str) -> Placement | None:
    """A batch normalization or ReLU that alone reads a convolution or sum is fused: only the last one is quantized."""
    follower = graph.only_consumer(name)
    if follower is None or not isinstance(graph.layers[name], _FUSING_LAYERS):
        return None
    return Placement.NONE if _is_fusable(graph, name, follower) else None


def pass_through(graph: GraphView, name: str) -> Placement | None:
    """Resize, max-pool, pad and reshape share their input's range: their kernels copy or interpolate integers."""
    return Placement.NONE if isinstance(graph.layers[name], PASS_THROUGH_LAYERS) else None


def joined(graph: GraphView, name: str) -> Placement | None:
    """Concatenation copies integers, so a branch that only feeds one shares the range of the joined tensor."""
    follower = graph.only_consumer(name)
    while follower is not None and isinstance(graph.layers[follower], PASS_THROUGH_LAYERS):
        follower = graph.only_consumer(follower)
    if follower is not None and isinstance(graph.layers[follower], keras.layers.Concatenate):
        return Placement.NONE
    return None


def computed(graph: GraphView, name: str) -> Placement | None:
    """Convolution, sum, ReLU, mean and concatenation compute new values: each output has its own range."""
    return Placement.QUANTIZE if isinstance(graph.layers[name], _COMPUTING_LAYERS) else None


RULES: tuple[Rule, ...] = (input_bytes, pass_through, fused_follower, joined, computed)

_FUSING_LAYERS = (*LINEAR_LAYERS, keras.layers.BatchNormalization, keras.layers.Add)
_COMPUTING_LAYERS = (
    *_FUSING_LAYERS,
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.Concatenate,
)


def _is_fusable(graph: GraphView, name: str, follower: str) -> bool:
    layer = graph.layers[follower]
    if isinstance(layer, keras.layers.BatchNormalization):
        return isinstance(graph.layers[name], LINEAR_LAYERS)
    return is_fused_activation(layer)


def is_fused_activation(layer: Any) -> bool:
    """Whether TFLite fuses this layer into the operation before it."""
    if isinstance(layer, keras.layers.ReLU):
        return layer.negative_slope == 0 and layer.threshold == 0 and layer.max_value in (None, 6)
    return isinstance(layer, keras.layers.Activation) and layer.activation.__name__ in FUSED_ACTIVATIONS
