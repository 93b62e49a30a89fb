"""Heads on a pyramid P3 to P7 (SpineNet, arXiv:1912.05027, sec. 4; Eff-SpineNet, sec. 4), and classification."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, conv_bn, initializer, norm_act
from mobile_seg.models.deeplabv3 import conv3x3
from mobile_seg.models.features import Features
from mobile_seg.models.resample import upsampled


@dataclass(frozen=True)
class PyramidFusionHead:
    """A 1x1 convolution to `pyramid_width` at every level, `subnet_convs` 3x3 ones on their mean, a 1x1 classifier.

    `separable_head`: whether the 3x3 convolutions are depthwise separable.
    """

    pyramid_width: int = 256
    subnet_convs: int = 4
    separable_head: bool = False

    def __post_init__(self) -> None:
        _check(self.pyramid_width, self.subnet_convs)


@dataclass(frozen=True)
class RetinaNetHead:
    """The same width at every level, then per subnet `subnet_convs` 3x3 convolutions and a 3x3 prediction.

    `anchors` at each position. `separable_head` as for the fusion head.
    """

    pyramid_width: int = 256
    subnet_convs: int = 4
    separable_head: bool = False
    anchors: int = 9

    def __post_init__(self) -> None:
        _check(self.pyramid_width, self.subnet_convs)
        if self.anchors < 1:
            raise UsageError(f"anchors={self.anchors}: at least one box is predicted at each position.")


@dataclass(frozen=True)
class ClassificationHead:
    """A pyramid's levels get a 1x1 convolution to `pyramid_width`; a backbone without a pyramid has none, 0."""

    pyramid_width: int = 0

    def __post_init__(self) -> None:
        if self.pyramid_width < 0:
            raise UsageError(f"pyramid_width={self.pyramid_width} is negative.")


def _check(width: int, convs: int) -> None:
    if width < 1:
        raise UsageError(f"pyramid_width={width} is not positive.")
    if convs < 0:
        raise UsageError(f"subnet_convs={convs}: give 0 or more.")


def pyramid_fusion(features: Features, *, classes: int, head: PyramidFusionHead, style: Style) -> Tensor:
    """Return logits `[N, h, w, classes]` at stride 8: P4 to P7 brought to P3 by nearest neighbour, mean, convolutions.

    Eff-SpineNet, sec. 4.3.
    """
    levels = endpoints(features, head.pyramid_width, style=style)
    size = levels[3].shape[1:3]
    same = [upsampled(x, 2 ** (level - 3), size=size, name=f"p{level}_up") for level, x in levels.items()]
    x = keras.layers.Average(name="fusion_mean")(same)
    for index in range(head.subnet_convs):
        role = f"conv{index}"
        x = conv3x3(x, head.pyramid_width, name="head", role=role, style=style, separable=head.separable_head)
    return keras.layers.Conv2D(classes, 1, dtype="float32", name="head_logits")(x)


def classification(features: Features, *, classes: int, head: ClassificationHead, style: Style) -> Tensor:
    """Return logits `[N, classes]`: a linear classifier on the mean of the pyramid's levels, or of the last features.

    The papers (SpineNet, sec. 4.2) bring P4 to P7 to P3's size by nearest neighbour and take the mean of levels, then
    of pixels. A level's mean does not change when each of its pixels is repeated as often: here it is taken first.

    Raises:
        UsageError: for a `pyramid_width` without a pyramid, or the other way round.
    """
    if bool(features.pyramid) != bool(head.pyramid_width):
        have = "a pyramid" if features.pyramid else "no pyramid"
        raise UsageError(f"pyramid_width={head.pyramid_width}, but this network ends in {have}.")
    if features.pyramid:
        levels = endpoints(features, head.pyramid_width, style=style)
        means = [keras.layers.GlobalAveragePooling2D(name=f"p{level}_mean")(x) for level, x in levels.items()]
        x = keras.layers.Average(name="head_mean")(means)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="head_mean")(features.last)
    return keras.layers.Dense(classes, dtype="float32", name="head_logits")(x)


def retinanet(features: Features, *, classes: int, head: RetinaNetHead, style: Style) -> list[Tensor]:
    """Return ten tensors: class logits `[N, h, w, anchors * classes]` of P3 to P7, then boxes `[N, h, w, anchors * 4]`.

    RetinaNet (arXiv:1708.02002, sec. 4): each subnet's convolutions are one for all levels, normalization is
    each level's own. At the start every anchor is an object with probability 0.01.
    """
    levels = endpoints(features, head.pyramid_width, style=style)
    rare = keras.initializers.Constant(-math.log((1 - 0.01) / 0.01))
    return [
        *_subnet(levels, head.anchors * classes, name="class", bias=rare, head=head, style=style),
        *_subnet(levels, head.anchors * 4, name="box", bias="zeros", head=head, style=style),
    ]


def endpoints(features: Features, width: int, *, style: Style) -> dict[int, Tensor]:
    """Level → its features at one width for all, by a 1x1 convolution, BN and activation (SpineNet, sec. 3)."""
    levels = {stride.bit_length() - 1: x for stride, x in features.pyramid.items()}
    return {level: conv_bn(x, width, name=f"p{level}", role="endpoint", style=style) for level, x in levels.items()}


def _subnet(
    levels: dict[int, Tensor],
    filters: int,
    *,
    name: str,
    bias: str | keras.initializers.Initializer,
    head: RetinaNetHead,
    style: Style,
) -> list[Tensor]:
    tensors = list(levels.values())
    for index in range(head.subnet_convs):
        convolve = _shared(head.pyramid_width, name=f"{name}_conv{index}", separable=head.separable_head)
        tensors = [
            norm_act(convolve(x), name=name, role=f"conv{index}_p{level}", style=style)
            for level, x in zip(levels, tensors, strict=True)
        ]
    predict = _shared(filters, name=f"{name}_predict", separable=head.separable_head, bias=bias)
    # One layer puts out five tensors: each gets a layer of its own behind it, whose name says which it is.
    return [
        keras.layers.Activation("linear", dtype="float32", name=f"{name}_p{level}")(predict(x))
        for level, x in zip(levels, tensors, strict=True)
    ]


def _shared(
    filters: int, *, name: str, separable: bool, bias: str | keras.initializers.Initializer | None = None
) -> Callable[[Tensor], Tensor]:
    """A 3x3 convolution, the same layers at each call; with `bias`, the last one of its subnet."""
    start = keras.initializers.RandomNormal(stddev=0.01) if bias else initializer()
    layer = keras.layers.Conv2D(
        filters,
        1 if separable else 3,
        padding="same",
        use_bias=bias is not None,
        bias_initializer=bias or "zeros",
        kernel_initializer=start,
        dtype="float32" if bias else None,
        name=name,
    )
    if not separable:
        return layer
    spatial = keras.layers.DepthwiseConv2D(
        3, padding="same", use_bias=False, depthwise_initializer=initializer(), name=f"{name}_depthwise"
    )
    return lambda x: layer(spatial(x))
