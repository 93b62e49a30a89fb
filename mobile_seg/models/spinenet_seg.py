"""SpineNet-Seg and Mobile SpineNet-Seg (arXiv:2103.12270, sec. 3.3, 3.4 and Table 2).

A scale-permuted backbone found by architecture search with a DeepLabv3 system: each block reads its
predecessor and one long-range input, resampled to its own stride and width, summed and activated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from mobile_seg.models.blocks import (
    Style,
    Tensor,
    activation,
    bottleneck,
    conv_bn,
    inverted_bottleneck,
    max_pool,
    nth,
)
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resample_dense, resample_depthwise


class Block(NamedTuple):
    """One row of Table 2. `level` gives the width, `stride` the resolution after level adjustment (cap 16)."""

    name: str
    level: int
    stride: int
    inputs: tuple[int, int]
    dilation: int


# Levels above 5 keep the width of level 5; B21's stride is the network's output stride (sec. 3.3).
S49_BLOCKS = (
    Block("b02", 2, 4, (1, 0), 1),
    Block("b03", 3, 8, (2, 1), 2),
    Block("b04", 3, 8, (3, 1), 1),
    Block("b05", 3, 8, (4, 2), 1),
    Block("b06", 5, 16, (5, 3), 1),
    Block("b07", 5, 16, (6, 5), 2),
    Block("b08", 5, 16, (7, 4), 1),
    Block("b09", 5, 16, (8, 6), 4),
    Block("b10", 5, 16, (9, 6), 1),
    Block("b11", 5, 16, (10, 7), 2),
    Block("b12", 4, 16, (11, 8), 4),
    Block("b13", 4, 16, (12, 9), 1),
    Block("b14", 5, 16, (13, 11), 4),
    Block("b15", 4, 16, (14, 11), 4),
    Block("b16", 4, 16, (15, 12), 1),
    Block("b17", 2, 4, (16, 14), 4),
    Block("b18", 5, 16, (17, 16), 2),
    Block("b19", 5, 16, (18, 15), 1),
    Block("b20", 3, 8, (19, 17), 4),
    Block("b21", 3, 8, (20, 0), 1),
)

WIDTHS = {2: 64, 3: 128, 4: 256, 5: 512}
MOBILE_WIDTHS = {0: 8, 1: 16, 2: 24, 3: 40, 4: 80, 5: 112}
MOBILE_EXPAND = 6


@dataclass(frozen=True)
class SpineNetSeg:
    """A variant of bottleneck blocks: widths times `scale`, each block `repeats` times in series.

    `alpha`: what a long-range connection keeps of its channels while it is resampled.
    """

    scale: float = 1.0
    repeats: int = 1
    alpha: float = 0.5

    def width(self, level: int) -> int:
        """Inner channels of a block of this level; it puts out four times as many."""
        return int(WIDTHS[level] * self.scale)


@dataclass(frozen=True)
class MobileSpineNetSeg:
    """A variant of inverted bottlenecks: every width times `scale`, truncated as the SpineNet code does."""

    scale: float = 1.0

    def width(self, level: int) -> int:
        """Channels of a block of this level."""
        return int(MOBILE_WIDTHS[level] * self.scale)


def backbone(x: Tensor, row: SpineNetSeg, *, output_stride: int, style: Style) -> Features:
    """B21's output at the output stride, from the normalized image."""
    x = conv_bn(x, 64, name="stem", role="entry", style=style, kernel=7, stride=2)
    x = max_pool(x, name="stem_pool")

    def repeated(tensor: Tensor, level: int, *, name: str, dilation: int = 1) -> Tensor:
        for repeat in range(row.repeats):
            tensor = bottleneck(tensor, row.width(level), name=nth(name, repeat), style=style, dilation=dilation)
        return tensor

    def resampled(source: Tensor, block: Block, **where: Any) -> Tensor:
        reduced = int(source.shape[-1] // 4 * row.alpha)
        return resample_dense(source, 4 * row.width(block.level), reduced=reduced, style=style, **where)

    def computed(merged: Tensor, block: Block) -> Tensor:
        return repeated(merged, block.level, name=block.name, dilation=block.dilation)

    b00 = repeated(x, 2, name="b00")
    b01 = repeated(b00, 2, name="b01")
    return Features(
        _permuted([b00, b01], [4, 4], resampled=resampled, computed=computed, output_stride=output_stride, style=style)
    )


def mobile_backbone(x: Tensor, row: MobileSpineNetSeg, *, output_stride: int, style: Style) -> Features:
    """B21's output at the output stride, from the normalized image."""

    def mixed(tensor: Tensor, level: int, **options: Any) -> Tensor:
        expanded = MOBILE_EXPAND * tensor.shape[-1]
        return inverted_bottleneck(tensor, row.width(level), style=style, expanded=expanded, **options)

    x = conv_bn(x, row.width(0), name="stem", role="entry", style=style, kernel=3, stride=2)
    b00 = mixed(x, 1, name="b00")
    b01 = mixed(b00, 2, name="b01", stride=2)

    def resampled(source: Tensor, block: Block, **where: Any) -> Tensor:
        return resample_depthwise(source, row.width(block.level), style=style, **where)

    def computed(merged: Tensor, block: Block) -> Tensor:
        return mixed(merged, block.level, name=block.name, dilation=block.dilation)

    return Features(
        _permuted([b00, b01], [2, 4], resampled=resampled, computed=computed, output_stride=output_stride, style=style)
    )


def _permuted(
    outputs: list[Tensor],
    strides: list[int],
    *,
    resampled: Callable[..., Tensor],
    computed: Callable[..., Tensor],
    output_stride: int,
    style: Style,
) -> Tensor:
    """Run the table's blocks on the two of the stem, and return the last one's output."""
    for block in S49_BLOCKS:
        stride = output_stride if block is S49_BLOCKS[-1] else block.stride
        merged = [
            resampled(
                outputs[source],
                block,
                stride_from=strides[source],
                stride_to=stride,
                name=f"{block.name}_from{source:02d}",
            )
            for source in block.inputs
        ]
        total = keras.layers.Add(name=f"{block.name}_merge")(merged)
        outputs.append(computed(activation(total, name=f"{block.name}_merge_act", style=style), block))
        strides.append(stride)
    return outputs[-1]
