"""Blocks shared by the families: short functions from tensor to tensor.

Every layer is named `block_role`; names are API (quantization, profiles and reports use them).
Tensors are `[N, H, W, C]`.
"""

from dataclasses import dataclass
from typing import Any

import keras

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


def activation(x: Tensor, *, name: str, style: Style) -> Tensor:
    """The network's activation as a layer of its own."""
    return keras.layers.Activation(style.activation, name=name)(x)


def norm_act(x: Tensor, *, name: str, role: str, style: Style, activate: bool = True, gamma: str = "ones") -> Tensor:
    """BN, its scale starting at `gamma` (`ones` or `zeros`), and the activation unless `activate` is false."""
    x = keras.layers.BatchNormalization(
        momentum=style.bn_momentum, epsilon=style.bn_epsilon, gamma_initializer=gamma, name=f"{name}_{role}_bn"
    )(x)
    return activation(x, name=f"{name}_{role}_act", style=style) if activate else x


def divisible(channels: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `channels`; one more where that took away more than a tenth."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def nth(name: str, index: int) -> str:
    """The name of a block's repeats in series, from index 0: `b07`, `b07r2`, `b07r3`."""
    return f"{name}r{index + 1}" if index else name


def initializer() -> keras.initializers.Initializer:
    """What convolutions start with: normal, the variance kept from their output back to their input."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
