"""Layers that move or pool pixels, as ONNX nodes: one function per kind of layer, whose docstring is the rule."""

from typing import Any

import numpy as np
from keras import activations, layers

from mobile_seg.converters.onnx.graph import Builder, Value
from mobile_seg.converters.onnx.linear import same_pads
from mobile_seg.converters.onnx.site import Site, demand_channels_last, unsupported
from mobile_seg.layers import Resize


def pooling(site: Site, layer: Any, x: Value) -> Value:
    """Pooling is MaxPool, which integers pass as they are, or AveragePool that does not count what `same` pads."""
    demand_channels_last(layer)
    made, shape = site.made, site.shape(layer)
    x = made.image(x, layer.name)
    window, strides = tuple(layer.pool_size), tuple(layer.strides)
    pads = same_pads((x.shape[1], x.shape[2]), window, strides) if layer.padding == "same" else x.pads
    options = {"kernel_shape": window, "strides": strides, "pads": pads}
    if type(layer) is layers.MaxPooling2D:
        return made.copied("MaxPool", x, shape, layer.name, **options)
    like = Value(shape, None, True)
    return made.computed("AveragePool", [made.floats(x)], like, layer.name, count_include_pad=0, **options)


def global_pooling(site: Site, layer: Any, x: Value) -> Value:
    """Pooling over all pixels is GlobalAveragePool or GlobalMaxPool; its one pixel is made flat where it must be."""
    demand_channels_last(layer)
    made, shape = site.made, site.shape(layer)
    x = made.image(x, layer.name)
    if type(layer) is layers.GlobalMaxPooling2D:
        return made.copied("GlobalMaxPool", x, shape, layer.name)
    return made.computed("GlobalAveragePool", [made.floats(x)], Value(shape, None, True), layer.name)


def padded(site: Site, layer: Any, x: Value) -> Value:
    """Zeros around an image are Pad, or pads of the unpadded convolution or MaxPool that alone reads them.

    Of a MaxPool only where no number is below zero: its pads count for nothing. Where some are, zeros are joined on,
    since ONNX Runtime (1.17 to 1.31 at least) turns a Pad in front of a MaxPool into such pads whatever the numbers.
    """
    demand_channels_last(layer)
    made, shape = site.made, site.shape(layer)
    (top, bottom), (left, right) = layer.padding
    x = made.image(x, layer.name)
    follower = site.follower(layer.name)
    unpadded = getattr(follower, "padding", "") == "valid"
    taken = unpadded and isinstance(follower, (layers.Conv2D, layers.DepthwiseConv2D))
    if follower is not None and type(follower) is layers.MaxPooling2D:
        small = max(top, bottom, left, right) < min(follower.pool_size)
        taken = unpadded and small and _is_never_negative(site, layer, x)
        if not taken:
            return _joined_with_zeros(made, x, layer)
    if taken:
        return Value(shape, x.floats, True, x.integers, x.grid, (top, left, bottom, right))
    amounts = made.constant([0, 0, top, left, 0, 0, bottom, right], f"{layer.name}_amounts", np.int64)
    return made.copied("Pad", x, shape, layer.name, more=(amounts,))


def _is_never_negative(site: Site, layer: Any, x: Value) -> bool:
    """Whether what a layer reads is a clamped tensor, or lies on a grid that begins at zero."""
    if x.grid is not None:
        return x.grid.zero_point == 0
    source = site.graph.layers[site.graph.only_input(layer.name)]
    if type(source) is layers.ReLU:
        return not source.negative_slope
    return getattr(source, "activation", None) in (activations.relu, activations.relu6)


def _joined_with_zeros(made: Builder, x: Value, layer: Any) -> Value:
    grid, whole = x.grid, [1, x.shape[3], *x.shape[1:3]]
    joined = made.floats(x)
    for axis, (before, after) in zip((2, 3), layer.padding, strict=True):
        ends = [np.zeros([*whole[:axis], count, *whole[axis + 1 :]]) for count in (before, after)]
        first, last = ([made.constant(zeros, "zeros")] if zeros.size else [] for zeros in ends)
        joined = made.node("Concat", [*first, joined, *last], f"{layer.name}_{axis}", axis=axis)
        whole[axis] += before + after
    value = Value((1, whole[2], whole[3], whole[1]), joined, True)
    return value if grid is None else made.quantized(value, grid, layer.name)


def cropped(site: Site, layer: Any, x: Value) -> Value:
    """Cropping is Slice along rows and columns."""
    demand_channels_last(layer)
    made, shape = site.made, site.shape(layer)
    x = made.image(x, layer.name)
    starts = [before for before, _ in layer.cropping]
    ends = [start + size for start, size in zip(starts, shape[1:3], strict=True)]
    numbers = {"starts": starts, "ends": ends, "axes": [2, 3]}
    constants = tuple(made.constant(values, f"{layer.name}_{name}", np.int64) for name, values in numbers.items())
    return made.copied("Slice", x, shape, layer.name, more=constants)


def blocks_to_channels(site: Site, layer: Any, x: Value) -> Value:
    """Blocks to channels are SpaceToDepth, which orders channels as ours: row in the block, column, channel."""
    x = site.made.image(x, layer.name)
    return site.made.copied("SpaceToDepth", x, site.shape(layer), layer.name, blocksize=layer.block_size)


def upsampled(site: Site, layer: Any, x: Value) -> Value:
    """UpSampling2D, Resizing and Resize are Resize to a size, pixels taken by their centres."""
    if not Resize.stands_for(layer):
        raise unsupported(
            layer, f"resizes by {layer.interpolation}, or crops, pads or antialiases", "resize by nearest or bilinear"
        )
    x = site.made.image(x, layer.name)
    return resized(site.made, x, site.shape(layer)[1:3], layer.interpolation, layer.name)


def resized(made: Builder, x: Value, size: tuple[int, ...], interpolation: str, name: str) -> Value:
    """An image `[1, C, h, w]` at `size` (height, width), half-pixel centres.

    Nearest by whole factors repeats pixels, which every reading of Resize does alike. By others it takes the pixel
    whose centre is nearest, the later one of two as near; where there are such two, the pixels are gathered by
    number: runtimes come upon the middle by different arithmetic, and fall to either side.
    """
    before, shape = (x.shape[1], x.shape[2]), (1, *size, x.shape[3])
    if tuple(size) == before:
        return x
    sizes = made.constant([1, x.shape[3], *size], f"{name}_size", np.int64)
    more = ("", "", sizes)
    if interpolation == "bilinear" and before != (1, 1):
        like = Value(shape, None, True)
        half = "half_pixel"
        return made.computed(
            "Resize", [made.floats(x), *more], like, name, mode="linear", coordinate_transformation_mode=half
        )
    if all(new % old == 0 for old, new in zip(before, size, strict=True)):
        options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return made.copied("Resize", x, shape, name, more=more, mode="nearest", **options)
    if not any(_has_ties(old, new) for old, new in zip(before, size, strict=True)):
        options = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
        return made.copied("Resize", x, shape, name, more=more, mode="nearest", **options)
    for axis, part in ((2, "rows"), (3, "columns")):
        places = made.constant(nearest(before[axis - 2], size[axis - 2]), f"{name}_{part}_taken", np.int64)
        shape = tuple(size[axis - 2] if one == axis - 1 else old for one, old in enumerate(x.shape))
        x = made.copied("Gather", x, shape, f"{name}_{part}", more=(places,), axis=axis)
    return x


def nearest(before: int, after: int) -> np.ndarray:
    """Of each position along a resized side, the old one it takes: TensorFlow's kernel, in its float32."""
    scale = np.float32(before) / np.float32(after)
    places = np.floor((np.arange(after, dtype=np.float32) + np.float32(0.5)) * scale)
    return np.minimum(places.astype(np.int64), before - 1)


def _has_ties(before: int, after: int) -> bool:
    """Whether a new pixel's centre falls between two old ones."""
    return any((2 * place + 1) * before % (2 * after) == 0 for place in range(after))
