"""Blocks shared by the families: short functions from tensor to tensor.

Every layer is named `block_role`; names are API (quantization, profiles and reports use them).
Tensors are `[N, H, W, C]`.
"""

from dataclasses import dataclass
from typing import Any

import keras

from mobile_seg.layers import SpaceToDepth

Tensor = Any
"""A symbolic Keras tensor `[N, H, W, C]`."""


@dataclass(frozen=True)
class Style:
    """What every block of a network shares.

    `activation` is a Keras activation name. BN momentum and epsilon follow the SpineNet code.
    """

    activation: str = "relu6"
    bn_momentum: float = 0.99
    bn_epsilon: float = 1e-3


def conv_bn(
    x: Tensor,
    filters: int,
    *,
    name: str,
    role: str,
    style: Style,
    kernel: int = 1,
    stride: int = 1,
    dilation: int = 1,
    activate: bool = True,
    gamma: str = "ones",
) -> Tensor:
    """Convolution without bias, BN (its scale starting at `gamma`), and the activation unless `activate` is false."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer(),
        name=f"{name}_{role}_conv",
    )(x)
    return norm_act(x, name=name, role=role, style=style, activate=activate, gamma=gamma)


def depthwise_bn(
    x: Tensor,
    *,
    name: str,
    role: str,
    style: Style,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    activate: bool = True,
) -> Tensor:
    """Depthwise convolution without bias, BN, activation."""
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        # Keras counts kernel area times channels as the inputs of one depthwise filter; its outputs are the area.
        depthwise_initializer=initializer(),
        name=f"{name}_{role}_depthwise",
    )(x)
    return norm_act(x, name=name, role=role, style=style, activate=activate)


def separable_conv_bn(
    x: Tensor, filters: int, *, name: str, role: str, style: Style, kernel: int = 3, dilation: int = 1
) -> Tensor:
    """Depthwise convolution, BN, activation, then 1x1 convolution, BN, activation."""
    x = depthwise_bn(x, name=name, role=f"{role}_spatial", style=style, kernel=kernel, dilation=dilation)
    return conv_bn(x, filters, name=name, role=f"{role}_point", style=style)


def inverted_bottleneck(
    x: Tensor,
    filters: int,
    *,
    name: str,
    style: Style,
    expanded: int,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    squeeze: "Squeeze | None" = None,
    drop: float = 0.0,
) -> Tensor:
    """MBConv (MobileNetV2, Table 1): 1x1 to `expanded` channels, depthwise, 1x1 linear; residual where shapes agree.

    There is no first 1x1 where x has `expanded` channels already. `drop`: the rate of `drop_path`.
    """
    channels = x.shape[-1]
    y = conv_bn(x, expanded, name=name, role="expand", style=style) if expanded != channels else x
    y = depthwise_bn(y, name=name, role="mix", style=style, kernel=kernel, stride=stride, dilation=dilation)
    if squeeze:
        y = squeeze_excite(y, squeeze, name=name, style=style)
    y = conv_bn(y, filters, name=name, role="project", style=style, activate=False)
    if stride == 1 and channels == filters:
        y = keras.layers.Add(name=f"{name}_residual")([x, drop_path(y, drop, name=name)])
    return y


def bottleneck(
    x: Tensor,
    filters: int,
    *,
    name: str,
    style: Style,
    stride: int = 1,
    dilation: int = 1,
    drop: float = 0.0,
    shortcut: Tensor | None = None,
) -> Tensor:
    """ResNet's bottleneck (arXiv:1512.03385, Fig. 5): 1x1, 3x3, 1x1 linear to 4 times `filters`; summed, activated.

    Unless another `shortcut` is given it is x, through a 1x1 convolution with BN where shapes differ.
    """
    y = conv_bn(x, filters, name=name, role="reduce", style=style)
    y = conv_bn(y, filters, name=name, role="mix", style=style, kernel=3, stride=stride, dilation=dilation)
    y = conv_bn(y, 4 * filters, name=name, role="widen", style=style, activate=False)
    return _residual(x, y, name=name, style=style, stride=stride, drop=drop, shortcut=shortcut)


def residual(x: Tensor, filters: int, *, name: str, style: Style, stride: int = 1, drop: float = 0.0) -> Tensor:
    """ResNet's basic block (arXiv:1512.03385, Fig. 5): 3x3, 3x3 linear; summed, activated."""
    y = conv_bn(x, filters, name=name, role="first", style=style, kernel=3, stride=stride)
    y = conv_bn(y, filters, name=name, role="second", style=style, kernel=3, activate=False)
    return _residual(x, y, name=name, style=style, stride=stride, drop=drop)


def _residual(
    x: Tensor, y: Tensor, *, name: str, style: Style, stride: int, drop: float, shortcut: Tensor | None = None
) -> Tensor:
    if shortcut is not None:
        x = shortcut
    elif stride > 1 or x.shape[-1] != y.shape[-1]:
        x = conv_bn(x, y.shape[-1], name=name, role="shortcut", style=style, stride=stride, activate=False)
    y = keras.layers.Add(name=f"{name}_residual")([x, drop_path(y, drop, name=name)])
    return activation(y, name=f"{name}_act", style=style)


@dataclass(frozen=True)
class Squeeze:
    """Squeeze-and-excite (arXiv:1709.01507): a gate per channel, from the mean of all pixels.

    `channels` between the two 1x1 convolutions; Keras activation names within and at the gate.
    """

    channels: int
    inner: str = "relu"
    gate: str = "hard_sigmoid"


def squeeze_excite(x: Tensor, squeeze: Squeeze, *, name: str, style: Style) -> Tensor:
    """x times its gate."""
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze_mean")(x)
    for role, filters, function in (
        ("squeeze", squeeze.channels, squeeze.inner),
        ("excite", x.shape[-1], squeeze.gate),
    ):
        gate = keras.layers.Conv2D(filters, 1, kernel_initializer=initializer(), name=f"{name}_{role}_conv")(gate)
        gate = keras.layers.Activation(function, name=f"{name}_{role}_act")(gate)
    return keras.layers.Multiply(name=f"{name}_excite")([x, gate])


def drop_path(x: Tensor, rate: float, *, name: str) -> Tensor:
    """Stochastic depth (arXiv:1603.09382): in training a sample's whole branch is zero with this probability."""
    if not rate:
        return x
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)


def max_pool(x: Tensor, *, name: str) -> Tensor:
    """3x3 max-pooling at stride 2."""
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)


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


def activation(x: Tensor, *, name: str, style: Style) -> Tensor:
    """The network's activation as a layer of its own."""
    return keras.layers.Activation(style.activation, name=name)(x)


def norm_act(x: Tensor, *, name: str, role: str, style: Style, activate: bool = True, gamma: str = "ones") -> Tensor:
    """BN, its scale starting at `gamma` (`ones` or `zeros`), and the activation unless `activate` is false."""
    x = keras.layers.BatchNormalization(
        momentum=style.bn_momentum, epsilon=style.bn_epsilon, gamma_initializer=gamma, name=f"{name}_{role}_bn"
    )(x)
    return activation(x, name=f"{name}_{role}_act", style=style) if activate else x


def initializer() -> keras.initializers.Initializer:
    """What convolutions start with: normal, the variance kept from their output back to their input."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
