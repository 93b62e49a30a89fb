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
) -> Tensor:
    """Convolution without bias, BN, and the activation unless `activate` is false."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_{role}_conv",
    )(x)
    return _bn_act(x, name=name, role=role, style=style, activate=activate)


def depthwise_bn(
    x: Tensor, *, name: str, role: str, style: Style, stride: int = 1, dilation: int = 1, activate: bool = True
) -> Tensor:
    """3x3 depthwise convolution without bias, BN, activation."""
    x = keras.layers.DepthwiseConv2D(
        3,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        # Keras counts kernel area times channels as the inputs of one depthwise filter; its outputs are the area.
        depthwise_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_{role}_depthwise",
    )(x)
    return _bn_act(x, name=name, role=role, style=style, activate=activate)


def separable_conv_bn(x: Tensor, filters: int, *, name: str, role: str, style: Style, dilation: int = 1) -> Tensor:
    """3x3 depthwise, BN, activation, then 1x1 convolution, BN, activation."""
    x = depthwise_bn(x, name=name, role=f"{role}_spatial", style=style, dilation=dilation)
    return conv_bn(x, filters, name=name, role=f"{role}_point", style=style)


def inverted_bottleneck(
    x: Tensor, filters: int, *, name: str, style: Style, expand: int = 6, stride: int = 1, dilation: int = 1
) -> Tensor:
    """MBConv (MobileNetV2, Table 1): 1x1 expand, 3x3 depthwise, 1x1 linear; residual where shapes agree."""
    channels = x.shape[-1]
    y = conv_bn(x, channels * expand, name=name, role="expand", style=style)
    y = depthwise_bn(y, name=name, role="mix", style=style, stride=stride, dilation=dilation)
    y = conv_bn(y, filters, name=name, role="project", style=style, activate=False)
    if stride == 1 and channels == filters:
        y = keras.layers.Add(name=f"{name}_residual")([x, y])
    return y


def resample(x: Tensor, filters: int, *, stride_from: int, stride_to: int, name: str, style: Style) -> Tensor:
    """Bring a block's output to another's stride and width (SpineNet mobile, Fig. 4 and code).

    Down: one 3x3/2 depthwise conv, BN, activation per halving. Up: nearest neighbour. Then a linear
    1x1 convolution with BN, before the sum.
    """
    for halving in range((stride_to // stride_from).bit_length() - 1):
        x = depthwise_bn(x, name=name, role=f"down{halving}", style=style, stride=2)
    if stride_from > stride_to:
        x = keras.layers.UpSampling2D(stride_from // stride_to, name=f"{name}_up")(x)
    return conv_bn(x, filters, name=name, role="match", style=style, activate=False)


def activation(x: Tensor, *, name: str, style: Style) -> Tensor:
    """The network's activation as a layer of its own."""
    return keras.layers.Activation(style.activation, name=name)(x)


def _bn_act(x: Tensor, *, name: str, role: str, style: Style, activate: bool) -> Tensor:
    x = keras.layers.BatchNormalization(momentum=style.bn_momentum, epsilon=style.bn_epsilon, name=f"{name}_{role}_bn")(
        x
    )
    return activation(x, name=f"{name}_{role}_act", style=style) if activate else x
