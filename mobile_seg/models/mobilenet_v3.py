"""MobileNetV3-Large (arXiv:1905.02244, sec. 5 and Table 1) as a backbone for segmentation (sec. 6.4)."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from mobile_seg.errors import choose
from mobile_seg.models.atrous import atrous_steps
from mobile_seg.models.blocks import Squeeze, Style, Tensor, conv_bn, divisible, inverted_bottleneck
from mobile_seg.models.features import Features
from mobile_seg.models.registry import ACTIVATIONS


class Block(NamedTuple):
    """A row of Table 1: an inverted bottleneck, `hard` with hard-swish, `squeeze` with squeeze-and-excite."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    hard: bool
    stride: int


STEM = 16
HEAD = (
    Block(3, 16, 16, False, False, 1),
    Block(3, 64, 24, False, False, 2),
    Block(3, 72, 24, False, False, 1),
    Block(5, 72, 40, True, False, 2),
    Block(5, 120, 40, True, False, 1),
    Block(5, 120, 40, True, False, 1),
    Block(3, 240, 80, False, True, 2),
    Block(3, 200, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 480, 112, True, True, 1),
    Block(3, 672, 112, True, True, 1),
)
TAIL = (
    Block(5, 672, 160, True, True, 2),
    Block(5, 960, 160, True, True, 1),
    Block(5, 960, 160, True, True, 1),
)
FINAL = 960
"""Channels of the 1x1 convolution behind the last block."""


@dataclass(frozen=True)
class MobileNetV3:
    """`reduced_tail`: half the channels from the last halving on (sec. 6.4, Table 7's RF2).

    `hard_activation`: what the later half of the blocks and both outer convolutions apply; the rest, the
    network's own `activation`.
    """

    reduced_tail: bool = False
    hard_activation: str = "hard_swish"

    def __post_init__(self) -> None:
        choose("hard_activation", self.hard_activation, ACTIVATIONS)


def backbone(x: Tensor, row: MobileNetV3, *, output_stride: int, style: Style) -> Features:
    """The last 1x1 convolution's output at the output stride; as taps, what the blocks give before each halving."""
    hard = replace(style, activation=row.hard_activation)
    factor = 2 if row.reduced_tail else 1
    tail = [block._replace(expanded=block.expanded // factor, channels=block.channels // factor) for block in TAIL]
    blocks = (*HEAD, *tail)
    steps = atrous_steps((block.stride for block in blocks), reached=2, output_stride=output_stride)
    taps: dict[int, Tensor] = {}
    x = conv_bn(x, STEM, name="stem", role="entry", style=hard, kernel=3, stride=2)
    for number, (block, step) in enumerate(zip(blocks, steps, strict=True)):
        x = inverted_bottleneck(
            x,
            block.channels,
            name=f"b{number:02d}",
            style=hard if block.hard else style,
            expanded=block.expanded,
            kernel=block.kernel,
            stride=step.stride,
            dilation=step.dilation,
            squeeze=Squeeze(divisible(block.expanded / 4, 8)) if block.squeeze else None,
        )
        if step.plain:
            taps[step.reached] = x
    return Features(conv_bn(x, FINAL // factor, name="final", role="widen", style=hard), taps)
