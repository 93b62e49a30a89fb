"""Where TFLite's integer kernels need a scale: one function per rule, whose docstring is the rule.

A rule answers for one layer of a lowered float graph (see `lower`). `RULES` is tried in order; the first
that answers wins. Layers are told apart by their exact type: what a subclass computes, no rule can know.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import keras

from mobile_seg.graph import GraphView
from mobile_seg.layers import Resize, SpaceToDepth
from mobile_seg.quantization.linear_layers import TWINS

LINEAR_LAYERS = tuple(TWINS)
COPYING_LAYERS = (
    keras.layers.MaxPooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianNoise,
    SpaceToDepth,
)
RESIZING_LAYERS = (keras.layers.UpSampling2D, Resize)
AVERAGING_LAYERS = (keras.layers.AveragePooling2D, *RESIZING_LAYERS)
FUSED_ACTIVATIONS = ("relu", "relu6")
FIXED_RANGES = {
    "sigmoid": (0.0, 255 / 256),
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
    "clamp": (0.0, 1.0),
}
"""Activation → the range of its 8-bit output, as its kernel prescribes it, or as it clamps by itself."""


class Placement(Enum):
    """What happens to a layer's output."""

    QUANTIZE = "a range of its own"
    FIXED = "a range known beforehand"
    FOLLOW = "rounded again to its input's range"
    NONE = "no quantizer here"


Rule = Callable[[GraphView, str], Placement | None]


def input_bytes(graph: GraphView, name: str) -> Placement | None:
    """An input that is only rescaled has the range of its bytes: Rescaling of 0..255 gives scale and zero point."""
    if is_input(graph, name):
        return Placement.NONE if is_rescaled_bytes(graph, name) else None
    return Placement.FIXED if is_rescaled_input(graph, name) else None


def input_values(graph: GraphView, name: str) -> Placement | None:
    """An input that is read as it is has the range of the images seen: the integer input tensor needs a scale."""
    return Placement.QUANTIZE if is_input(graph, name) else None


def copied(graph: GraphView, name: str) -> Placement | None:
    """Max-pool, pad, reshape, space-to-depth, nearest upsampling and dropout copy integers: their input's range."""
    return Placement.NONE if _is_copying(graph.layers[name]) else None


def averaged(graph: GraphView, name: str) -> Placement | None:
    """Average-pool and bilinear resizing keep their input's range, and their kernels round to it again."""
    return Placement.FOLLOW if is_averaging(graph.layers[name]) else None


def fused_follower(graph: GraphView, name: str) -> Placement | None:
    """A batch normalization or ReLU that alone reads a convolution or sum is fused: only the last one is quantized."""
    follower = graph.only_consumer(name)
    if follower is None or type(graph.layers[name]) not in _FUSING_LAYERS or has_activation(graph.layers[name]):
        return None
    reader = graph.layers[follower]
    folds = type(reader) is keras.layers.BatchNormalization and type(graph.layers[name]) in LINEAR_LAYERS
    clamps = is_fused_activation(reader) and not _unfused(graph, name)
    return Placement.NONE if folds or clamps else None


def prescribed(graph: GraphView, name: str) -> Placement | None:
    """Sigmoid and softmax give steps of 1/256, tanh of 1/128: their kernels take no other. A clamp to 0..1 is 1/255."""
    return Placement.FIXED if fixed_activation(graph.layers[name]) else None


def joined(graph: GraphView, name: str) -> Placement | None:
    """Concatenation copies integers, so a branch that only feeds one shares the range of the joined tensor."""
    return Placement.NONE if is_joined_branch(graph, name) else None


def computed(graph: GraphView, name: str) -> Placement | None:
    """Convolution, sum, product, ReLU, mean, concatenation compute new values: a range of their own."""
    return Placement.QUANTIZE if is_computed(graph.layers[name]) else None


RULES: tuple[Rule, ...] = (
    input_bytes,
    input_values,
    copied,
    averaged,
    fused_follower,
    prescribed,
    joined,
    computed,
)

_FUSING_LAYERS = (
    *LINEAR_LAYERS,
    keras.layers.BatchNormalization,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
)
_COMPUTING_LAYERS = (
    *_FUSING_LAYERS,
    keras.layers.Rescaling,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Concatenate,
)


def placement(graph: GraphView, name: str) -> Placement | None:
    """The first rule's answer for a layer, or None where no rule knows it."""
    answers = (rule(graph, name) for rule in RULES)
    return next((answer for answer in answers if answer is not None), None)


def is_input(graph: GraphView, name: str) -> bool:
    """Whether this is an input of the model."""
    return isinstance(graph.layers[name], keras.layers.InputLayer)


def is_rescaled_bytes(graph: GraphView, name: str) -> bool:
    """Whether all that reads this input is one Rescaling."""
    readers = graph.consumers[name]
    return len(readers) == 1 and type(graph.layers[readers[0]]) is keras.layers.Rescaling


def is_rescaled_input(graph: GraphView, name: str) -> bool:
    """Whether this is that Rescaling."""
    source = graph.inputs[name][:1]
    return bool(source) and is_input(graph, source[0]) and is_rescaled_bytes(graph, source[0])


def is_pass_through(layer: Any) -> bool:
    """Whether the layer's output needs no range but its input's."""
    return type(layer) in (*COPYING_LAYERS, *AVERAGING_LAYERS) or (
        type(layer) is keras.layers.Activation and layer.activation.__name__ == "linear"
    )


def is_averaging(layer: Any) -> bool:
    """Whether the layer mixes neighbours, so that its values leave their grid; from one pixel nothing is mixed."""
    if type(layer) in RESIZING_LAYERS:
        return layer.interpolation != "nearest" and tuple(layer.input.shape[1:3]) != (1, 1)
    return type(layer) is keras.layers.AveragePooling2D


def _is_copying(layer: Any) -> bool:
    return is_pass_through(layer) and not is_averaging(layer)


def is_computed(layer: Any) -> bool:
    """Whether the layer makes values of a new range, by a kernel that TFLite has in integers."""
    if type(layer) in _COMPUTING_LAYERS or is_fused_activation(layer):
        return True
    # Left by `lower` where activations stay floats.
    return type(layer) is keras.layers.Activation and layer.activation.__name__ == "hard_silu"


def is_fused_activation(layer: Any) -> bool:
    """Whether this is free behind another operation: TFLite fuses ReLU and ReLU6, a clamp to 0..1 is the range."""
    if type(layer) is keras.layers.ReLU:
        return layer.negative_slope == 0 and layer.threshold == 0 and layer.max_value in (None, 6, 1)
    return type(layer) is keras.layers.Activation and layer.activation.__name__ in FUSED_ACTIVATIONS


def is_clamp(layer: Any) -> bool:
    """Whether this only keeps values between 0 and 1, which a range from 0 to 1 does without a kernel."""
    return is_fused_activation(layer) and getattr(layer, "max_value", None) == 1


def fixed_activation(layer: Any) -> str | None:
    """The name in `FIXED_RANGES` of an activation whose output range is known beforehand."""
    if is_clamp(layer):
        return "clamp"
    if type(layer) is keras.layers.Softmax:
        return "softmax" if layer.axis == -1 else None
    if type(layer) is not keras.layers.Activation or layer.activation.__name__ not in FIXED_RANGES:
        return None
    return str(layer.activation.__name__)


def has_activation(layer: Any) -> bool:
    """Whether a linear layer carries an activation inside."""
    return type(layer) in LINEAR_LAYERS and layer.activation.__name__ != "linear"


def is_joined_branch(graph: GraphView, name: str) -> bool:
    """Whether a layer's values become a part of one concatenation and nothing else."""
    return is_computed(graph.layers[name]) and feeds_only_a_join(graph, name)


def feeds_only_a_join(graph: GraphView, name: str) -> bool:
    """Whether all that becomes of this tensor, copies apart, is a part of one concatenation.

    Averages are no copies here: behind them values span less, and the joined range would clip those in front.
    """
    follower = graph.only_consumer(name)
    while follower is not None and _is_copying(graph.layers[follower]):
        follower = graph.only_consumer(follower)
    return follower is not None and type(graph.layers[follower]) is keras.layers.Concatenate


def range_owner(graph: GraphView, name: str) -> str:
    """The layer whose quantizer gives a pass-through layer its range."""
    source = graph.only_input(name)
    while _is_copying(graph.layers[source]):
        source = graph.only_input(source)
    return source


def _unfused(graph: GraphView, name: str) -> bool:
    """A transposed convolution, which fuses no ReLU, perhaps with its normalization."""
    layer = graph.layers[name]
    if type(layer) is keras.layers.BatchNormalization:
        layer = graph.layers[graph.only_input(name)]
    return type(layer) is keras.layers.Conv2DTranspose
