"""What the int8 rewrite refuses: one function per limit, whose docstring is the limit and the way out.

A limit answers whether a layer of the float graph breaks it.
"""

from collections.abc import Callable

import keras
import numpy as np

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView
from mobile_seg.quantization.rules import (
    FUSED_ACTIVATIONS,
    LINEAR_LAYERS,
    RULES,
    has_activation,
    is_input,
    is_pass_through,
)

Limit = Callable[[GraphView, str], bool]


def known_layer(graph: GraphView, name: str) -> bool:
    """No quantization rule covers this layer; rebuild it from layers in quantization/rules.py, or add a rule there."""
    return all(rule(graph, name) is None for rule in RULES)


def rescaled_input(graph: GraphView, name: str) -> bool:
    """An input must go through Rescaling before anything else, so that its bytes' range is known; add that layer."""
    readers = graph.consumers[name]
    return is_input(graph, name) and any(type(graph.layers[reader]) is not keras.layers.Rescaling for reader in readers)


def one_rescaling(graph: GraphView, name: str) -> bool:
    """Rescaling must have one positive scale and one offset, since an int8 tensor has one scale; give plain numbers."""
    layer = graph.layers[name]
    if type(layer) is not keras.layers.Rescaling:
        return False
    return np.size(layer.scale) != 1 or np.size(layer.offset) != 1 or float(np.squeeze(layer.scale)) <= 0


def last_channel(graph: GraphView, name: str) -> bool:
    """TFLite's int8 kernels take channels last; build the layer with data_format='channels_last'."""
    return getattr(graph.layers[name], "data_format", "channels_last") != "channels_last"


def plain_upsampling(graph: GraphView, name: str) -> bool:
    """UpSampling2D must be nearest or bilinear: other kinds overshoot their input's range; choose one of them."""
    layer = graph.layers[name]
    return type(layer) is keras.layers.UpSampling2D and layer.interpolation not in ("nearest", "bilinear")


def one_group(graph: GraphView, name: str) -> bool:
    """A grouped convolution has no int8 kernel; use groups=1, or a depthwise and a 1x1 convolution."""
    layer = graph.layers[name]
    return type(layer) is keras.layers.Conv2D and layer.groups != 1


def clamping_activation(graph: GraphView, name: str) -> bool:
    """A convolution's own activation must be relu or relu6, the ones that int8 kernels fuse; use one of them."""
    layer = graph.layers[name]
    return has_activation(layer) and layer.activation.__name__ not in FUSED_ACTIVATIONS


def folded_normalization(graph: GraphView, name: str) -> bool:
    """Batch normalization folds only into a convolution that it alone reads, before any activation; put it there."""
    layer = graph.layers[name]
    if type(layer) is not keras.layers.BatchNormalization:
        return False
    source = graph.layers[graph.only_input(name)]
    alone = graph.only_consumer(source.name) == name
    return not alone or type(source) not in LINEAR_LAYERS or has_activation(source) or layer.axis not in (-1, 3)


def sum_of_two(graph: GraphView, name: str) -> bool:
    """Add must have two inputs: the int8 kernel takes two, and a sum in between would have no range; add in pairs."""
    return type(graph.layers[name]) is keras.layers.Add and len(graph.inputs[name]) != 2


def computed_branches(graph: GraphView, name: str) -> bool:
    """The image itself cannot be concatenated, its range being fixed by its bytes; put a 1x1 convolution before."""
    if type(graph.layers[name]) is not keras.layers.Concatenate:
        return False
    for source in graph.inputs[name]:
        while is_pass_through(graph.layers[source]):
            source = graph.only_input(source)
        if type(graph.layers[source]) is keras.layers.Rescaling:
            return True
    return False


LIMITS: tuple[Limit, ...] = (
    known_layer,
    rescaled_input,
    one_rescaling,
    last_channel,
    plain_upsampling,
    one_group,
    clamping_activation,
    folded_normalization,
    sum_of_two,
    computed_branches,
)


def check(graph: GraphView) -> None:
    """Refuse a graph that cannot run in int8 throughout.

    Raises:
        UnsupportedLayerError: naming the first layer at fault, what it breaks, and the way out.
    """
    for name in graph.order:
        for limit in LIMITS:
            if limit(graph, name):
                kind = type(graph.layers[name]).__name__
                raise UnsupportedLayerError(f"layer {name} ({kind}) cannot be quantized. {limit.__doc__}")
