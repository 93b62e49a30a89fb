"""Bringing a tensor to another block's stride and width."""

import keras

from mobile_seg.layers import SpaceToDepth
from mobile_seg.models.blocks import Style, Tensor, conv_bn, depthwise_bn, max_pool


def resample_depthwise(
    x: Tensor,
    filters: int,
    *,
    stride_from: int,
    stride_to: int,
    name: str,
    style: Style,
    size: tuple[int, int] | None = None,
    space_to_depth: bool = False,
) -> Tensor:
    """Bring a block's output to another's stride and width (SpineNet mobile, Fig. 4 and code).

    Down: one 3x3/2 depthwise conv, BN, activation per halving. Up: nearest neighbour. Then a linear
    1x1 convolution with BN, before the sum. `size`: the other's, where the strides do not divide the image.
    `space_to_depth`: the first halving moves pixels into channels instead (Eff-SpineNet, Fig. 2).
    """
    halvings = range(_halvings(stride_from, stride_to))
    if space_to_depth and halvings:
        x = _depth_of_pixels(x, name=name)
        halvings = halvings[1:]
    for halving in halvings:
        x = depthwise_bn(x, name=name, role=f"down{halving}", style=style, stride=2)
    x = upsampled(x, stride_from // stride_to, name=f"{name}_up", size=size)
    return conv_bn(x, filters, name=name, role="match", style=style, activate=False)


def _depth_of_pixels(x: Tensor, *, name: str) -> Tensor:
    """Half as high and wide, four times the channels; an odd side gets a row or column of zeros first."""
    odd = [side % 2 for side in x.shape[1:3]]
    if any(odd):
        x = keras.layers.ZeroPadding2D([(0, more) for more in odd], name=f"{name}_even")(x)
    return SpaceToDepth(name=f"{name}_depth")(x)


def resample_dense(
    x: Tensor,
    filters: int,
    *,
    reduced: int,
    stride_from: int,
    stride_to: int,
    name: str,
    style: Style,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Bring a block's output to another's stride and width (SpineNet, arXiv:1912.05027, sec. 3.2 and code).

    1x1 to `reduced` channels. Down: 3x3/2 convolution, BN, activation, and a 3x3/2 max-pooling per further
    halving. Up: nearest neighbour. Then a linear 1x1 convolution with BN, before the sum. `size`: as above.
    """
    x = conv_bn(x, reduced, name=name, role="reduce", style=style)
    for halving in range(_halvings(stride_from, stride_to)):
        if halving == 0:
            x = conv_bn(x, reduced, name=name, role="down0", style=style, kernel=3, stride=2)
        else:
            x = max_pool(x, name=f"{name}_down{halving}_pool")
    x = upsampled(x, stride_from // stride_to, name=f"{name}_up", size=size)
    return conv_bn(x, filters, name=name, role="match", style=style, activate=False)


def _halvings(stride_from: int, stride_to: int) -> int:
    return max(0, (stride_to // stride_from).bit_length() - 1)


def upsampled(x: Tensor, factor: int, *, name: str, size: tuple[int, int] | None = None) -> Tensor:
    """x `factor` times as high and wide, or at `size`, by nearest neighbour; as it is where the factor is 1 or less."""
    if factor <= 1:
        return x
    height, width = x.shape[1:3]
    return resized(x, size or (factor * height, factor * width), name=name, interpolation="nearest")


def resized(
    x: Tensor, size: tuple[int, int], *, name: str, interpolation: str = "bilinear", dtype: str | None = None
) -> Tensor:
    """x at `size`, with half-pixel centres; as it is where it has that size. `dtype`: to compute in, as Keras' own."""
    height, width = x.shape[1:3]
    if (height, width) == tuple(size):
        return x
    if size[0] % height == 0 and size[1] % width == 0:
        factors = (size[0] // height, size[1] // width)
        return keras.layers.UpSampling2D(factors, interpolation=interpolation, dtype=dtype, name=name)(x)
    return keras.layers.Resizing(*size, interpolation=interpolation, dtype=dtype, name=name)(x)
