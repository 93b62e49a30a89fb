"""SWideRNet-(w1, w2, l) and Wide-ResNet-41 (arXiv:2011.11675, sec. 3.1 and Table 1).

A shallow, wide residual network: w1 scales the channels of the first two stages, w2 and l those and the depth of
the rest. Simplified squeeze-and-excite and, in the last stage, switchable atrous convolution. docs/decisions/0010
says how the paper was read where its text leaves a choice.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from mobile_seg.errors import UsageError
from mobile_seg.layers import SwitchableAtrousConv2D
from mobile_seg.models.blocks import Style, Tensor, activation, conv_bn, drop_path, max_pool, norm_act, nth
from mobile_seg.models.features import Features


class Stage(NamedTuple):
    """A row of Table 1 behind the first convolution: `blocks` at factor 1, the channels of a block's convolutions.

    Two channels make a basic block, three a bottleneck. `entry`: scaled by w1, not by w2 and l, and without
    squeeze-and-excite. `strided`: the last block halves the resolution.
    """

    name: str
    blocks: int
    channels: tuple[int, ...]
    entry: bool = False
    strided: bool = False


CONV1 = 64
STAGES = (
    Stage("conv2", 3, (128, 128), entry=True),
    Stage("conv3", 3, (256, 256), strided=True),
    Stage("conv4", 6, (512, 512), strided=True),
    Stage("conv5", 3, (1024, 1024), strided=True),
    Stage("conv6", 3, (512, 1024, 2048)),
)
FAR = 3
"""The second rate of a switchable atrous convolution is this many times its first (eq. 2)."""


@dataclass(frozen=True)
class SWideRNet:
    """The scaling factors (w1, w2, l) and what Table 3 switches on; Wide-ResNet-41 is (1, 1, 1) without both.

    `drop_path`: how often a block's branch is dropped in training, in every block alike (sec. 4.1).
    """

    width1: float = 1.0
    width2: float = 1.0
    depth: float = 1.0
    squeeze_excite: bool = True
    switchable_atrous: bool = True
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        if min(self.width1, self.width2) <= 0:
            raise UsageError(f"width1={self.width1}, width2={self.width2}: both must be above 0.")
        if int(3 * self.depth) < 1:
            raise UsageError(f"depth={self.depth} leaves a stage without a block; give 1/3 or more.")
        if not 0 <= self.drop_path < 1:
            raise UsageError(f"drop_path={self.drop_path}: give a share from 0 up to, not including, 1.")

    def blocks(self, stage: Stage) -> int:
        """How many blocks the stage has: truncated, as the paper's 752.53 M for l = 5.5 shows."""
        return stage.blocks if stage.entry else int(stage.blocks * self.depth)

    def channels(self, stage: Stage) -> tuple[int, ...]:
        """The channels of the stage's convolutions, truncated: so the paper's multiply-adds at w2 = 0.35 fit best."""
        return tuple(_scaled(channels, self.width1 if stage.entry else self.width2) for channels in stage.channels)


def backbone(x: Tensor, row: SWideRNet, *, output_stride: int, style: Style) -> Features:
    """Features at the output stride (16 or 32) and taps in front of every block that halves the resolution.

    Where the output stride forbids a halving, the blocks behind it are dilated instead.
    """
    x = conv_bn(x, _scaled(CONV1, row.width1), name="conv1", role="entry", style=style, kernel=3, stride=2)
    stride, rate = 2, 1
    taps: dict[int, Tensor] = {}
    for stage in STAGES:
        count = row.blocks(stage)
        for index in range(count):
            halved = stage.strided and index == count - 1
            step = 2 if halved and stride < output_stride else 1
            if step > 1:
                taps[stride] = x
            x = _block(x, row, stage, name=nth(stage.name, index), style=style, stride=step, rate=rate)
            stride, rate = stride * step, rate * (2 if halved and step == 1 else 1)
        if stage.entry:
            x = max_pool(x, name=f"{stage.name}_pool")
            stride *= 2
    return Features(x, taps)


def _block(x: Tensor, row: SWideRNet, stage: Stage, *, name: str, style: Style, stride: int, rate: int) -> Tensor:
    """A residual block, summed and activated; its last BN starts at zero, so that the block starts as its shortcut.

    The stride is that of the second 3x3 convolution, and the shortcut then drops every other pixel: it is a
    convolution only where the channels change.
    """
    *inner, filters = row.channels(stage)
    here: dict[str, Any] = {"name": name, "style": style}
    linear = {**here, "activate": False, "gamma": "zeros"}
    if len(inner) == 1:
        y = conv_bn(x, inner[0], role="first", kernel=3, dilation=rate, **here)
        y = conv_bn(y, filters, role="second", kernel=3, stride=stride, dilation=rate, **linear)
    else:
        y = conv_bn(x, inner[0], role="reduce", **here)
        mix = _switched_conv_bn if row.switchable_atrous else _dilated_conv_bn
        y = mix(y, inner[1], rate=rate, **here)
        y = conv_bn(y, filters, role="widen", **linear)
    if row.squeeze_excite and not stage.entry:
        y = _excited(y, name=name)
    if x.shape[-1] != filters:
        x = conv_bn(x, filters, role="shortcut", stride=stride, activate=False, **here)
    elif stride > 1:
        x = keras.layers.MaxPooling2D(1, strides=stride, padding="same", name=f"{name}_shortcut_pool")(x)
    y = keras.layers.Add(name=f"{name}_residual")([x, drop_path(y, row.drop_path, name=name)])
    return activation(y, name=f"{name}_act", style=style)


def _dilated_conv_bn(x: Tensor, filters: int, *, rate: int, name: str, style: Style) -> Tensor:
    return conv_bn(x, filters, name=name, role="mix", style=style, kernel=3, dilation=rate)


def _switched_conv_bn(x: Tensor, filters: int, *, rate: int, name: str, style: Style) -> Tensor:
    """Switchable atrous convolution (sec. 3.1, Fig. 2; DetectoRS, arXiv:2006.02334, sec. 4), BN, activation.

    The switch, from the mean of 5x5 pixels, starts at zero everywhere: as the plain convolution.
    """
    x = _with_context(x, name=name, role="before")
    switch = keras.layers.AveragePooling2D(5, strides=1, padding="same", name=f"{name}_switch_mean")(x)
    switch = keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name=f"{name}_switch_conv")(switch)
    y = SwitchableAtrousConv2D(filters, 3, rates=(rate, FAR * rate), name=f"{name}_mix_conv")([x, switch])
    y = _with_context(y, name=name, role="after")
    return norm_act(y, name=name, role="mix", style=style)


def _with_context(x: Tensor, *, name: str, role: str) -> Tensor:
    """Add to each pixel a fully connected layer of the mean of all."""
    context = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_{role}_mean")(x)
    layer = keras.layers.Conv2D(x.shape[-1], 1, kernel_initializer="zeros", name=f"{name}_{role}_conv")
    return keras.layers.Add(name=f"{name}_{role}_context")([x, layer(context)])


def _excited(x: Tensor, *, name: str) -> Tensor:
    """Simplified squeeze-and-excite (eq. 1): the gate is one fully connected layer of the mean, and hard-sigmoid."""
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze_mean")(x)
    gate = keras.layers.Conv2D(x.shape[-1], 1, kernel_initializer="he_normal", name=f"{name}_excite_conv")(gate)
    gate = keras.layers.Activation("hard_sigmoid", name=f"{name}_excite_act")(gate)
    return keras.layers.Multiply(name=f"{name}_excite")([x, gate])


def _scaled(channels: int, factor: float) -> int:
    return max(1, int(channels * factor))
