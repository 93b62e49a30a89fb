"""Where TFLite's int8 kernels need a scale: one function per rule, whose docstring is the rule.

A rule answers for one layer of the float graph. `RULES` is tried in order; the first that answers wins.
Layers are told apart by their exact type: what a subclass computes, no rule can know.
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
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
)
FUSED_ACTIVATIONS = ("relu", "relu6")


class Placement(Enum):
    """What happens to a layer's output."""

    QUANTIZE = "its own range"
    NONE = "no quantizer here"


Rule = Callable[[GraphView, str], Placement | None]


def input_bytes(graph: GraphView, name: str) -> Placement | None:
    """The input's range is fixed by its bytes: Rescaling of 0..255 gives the input tensor's scale and zero point."""
    if is_input(graph, name):
        return Placement.NONE
    rescaled = type(graph.layers[name]) is keras.layers.Rescaling and is_input(graph, graph.only_input(name))
    return Placement.QUANTIZE if rescaled else None


def pass_through(graph: GraphView, name: str) -> Placement | None:
    """Resize, pool, pad, reshape and dropout share their input's range: their kernels copy or average integers."""
    return Placement.NONE if is_pass_through(graph.layers[name]) else None


def fused_follower(graph: GraphView, name: str) -> Placement | None:
    """A batch normalization or ReLU that alone reads a convolution or sum is fused: only the last one is quantized."""
    follower = graph.only_consumer(name)
    if follower is None or type(graph.layers[name]) not in _FUSING_LAYERS or has_activation(graph.layers[name]):
        return None
    reader = graph.layers[follower]
    folds = type(reader) is keras.layers.BatchNormalization and type(graph.layers[name]) in LINEAR_LAYERS
    return Placement.NONE if folds or is_fused_activation(reader) else None


def joined(graph: GraphView, name: str) -> Placement | None:
    """Concatenation copies integers, so a branch that only feeds one shares the range of the joined tensor."""
    if not is_computed(graph.layers[name]):
        return None
    follower = graph.only_consumer(name)
    while follower is not None and is_pass_through(graph.layers[follower]):
        follower = graph.only_consumer(follower)
    joins = follower is not None and type(graph.layers[follower]) is keras.layers.Concatenate
    return Placement.NONE if joins else None


def computed(graph: GraphView, name: str) -> Placement | None:
    """Convolution, sum, ReLU, mean and concatenation compute new values: each output has its own range."""
    return Placement.QUANTIZE if is_computed(graph.layers[name]) else None


RULES: tuple[Rule, ...] = (input_bytes, pass_through, fused_follower, joined, computed)

_FUSING_LAYERS = (*LINEAR_LAYERS, keras.layers.BatchNormalization, keras.layers.Add)
_COMPUTING_LAYERS = (*_FUSING_LAYERS, keras.layers.GlobalAveragePooling2D, keras.layers.Concatenate)


def is_input(graph: GraphView, name: str) -> bool:
    """Whether this is an input of the model."""
    return isinstance(graph.layers[name], keras.layers.InputLayer)


def is_pass_through(layer: Any) -> bool:
    """Whether the layer's output needs no range but its input's."""
    return type(layer) in PASS_THROUGH_LAYERS or (
        type(layer) is keras.layers.Activation and layer.activation.__name__ == "linear"
    )


def is_computed(layer: Any) -> bool:
    """Whether the layer makes values of a new range, by a kernel that TFLite has in int8."""
    return type(layer) in _COMPUTING_LAYERS or is_fused_activation(layer)


def is_fused_activation(layer: Any) -> bool:
    """Whether TFLite fuses this layer into the operation before it."""
    if type(layer) is keras.layers.ReLU:
        return layer.negative_slope == 0 and layer.threshold == 0 and layer.max_value in (None, 6)
    return type(layer) is keras.layers.Activation and layer.activation.__name__ in FUSED_ACTIVATIONS


def has_activation(layer: Any) -> bool:
    """Whether a convolution carries an activation inside."""
    return type(layer) in LINEAR_LAYERS and layer.activation.__name__ != "linear"
