"""What the integer rewrite refuses: one function per limit, whose docstring is the limit and the way out.

A limit answers whether a layer of a lowered float graph breaks it.
"""

from collections.abc import Callable

import keras

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView
from mobile_seg.quantization.rules import placement

Limit = Callable[[GraphView, str], bool]


def known_layer(graph: GraphView, name: str) -> bool:
    """No quantization rule covers this layer; rebuild it from layers in docs/quantization_rules.md, or add a rule."""
    return placement(graph, name) is None


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


def joined_channels(graph: GraphView, name: str) -> bool:
    """Concatenation must join channels, the last axis; other axes are not laid out so in memory: use axis=-1."""
    layer = graph.layers[name]
    return type(layer) is keras.layers.Concatenate and layer.axis not in (-1, len(layer.output.shape) - 1)


LIMITS: tuple[Limit, ...] = (
    known_layer,
    last_channel,
    plain_upsampling,
    one_group,
    joined_channels,
)


def check(graph: GraphView) -> None:
    """Refuse a graph that cannot run in integers throughout.

    Raises:
        UnsupportedLayerError: naming the first layer at fault, what it breaks, and the way out.
    """
    for name in graph.order:
        for limit in LIMITS:
            if limit(graph, name):
                kind = type(graph.layers[name]).__name__
                raise UnsupportedLayerError(f"layer {name} ({kind}) cannot be quantized. {limit.__doc__}")
