"""Mobile SpineNet-Seg (arXiv:2103.12270, sec. 3.3, 3.4 and Table 2).

A scale-permuted backbone found by architecture search with a DeepLabv3 system: each block reads its
predecessor and one long-range input, resampled to its own stride and width, summed and activated.
"""

from dataclasses import dataclass
from typing import NamedTuple

import keras

from mobile_seg.models.blocks import Style, Tensor, activation, conv_bn, inverted_bottleneck, resample
from mobile_seg.models.heads import DeepLabV3Head, deeplabv3


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

MOBILE_WIDTHS = {0: 8, 1: 16, 2: 24, 3: 40, 4: 80, 5: 112}
MOBILE_EXPAND = 6


@dataclass(frozen=True)
class MobileSpineNetSeg:
    """A variant: every width times `scale`, truncated as the SpineNet code does."""

    scale: float
    blocks: tuple[Block, ...] = S49_BLOCKS

    def width(self, level: int) -> int:
        """Channels of a block of this level."""
        return int(MOBILE_WIDTHS[level] * self.scale)


def build_mobile_spinenet_seg(
    variant: MobileSpineNetSeg,
    *,
    name: str,
    input_size: tuple[int, int],
    classes: int,
    output_stride: int = 8,
    head: DeepLabV3Head | None = None,
    style: Style | None = None,
) -> keras.Model:
    """Return images `[N, H, W, 3]` (RGB, 0..255) → logits `[N, H/output_stride, W/output_stride, classes]`."""
    style = style or Style()
    image = keras.Input((*input_size, 3), name="image")
    # (byte - 128) / 128 puts zero on a whole byte: a uint8 input with scale 1/128 and zero point 128 is
    # the camera's bytes as they are, and padding with zero is the same number in float and in int8.
    x = keras.layers.Rescaling(1 / 128, offset=-1.0, name="stem_normalize")(image)
    features = backbone(x, variant, output_stride=output_stride, style=style)
    logits = deeplabv3(features, classes=classes, head=head or DeepLabV3Head(), style=style)
    return keras.Model(image, logits, name=name)


def backbone(x: Tensor, variant: MobileSpineNetSeg, *, output_stride: int, style: Style) -> Tensor:
    """Return B21's output at the output stride, from the normalized image."""
    x = conv_bn(x, variant.width(0), name="stem", role="entry", style=style, kernel=3, stride=2)
    b00 = inverted_bottleneck(x, variant.width(1), name="b00", style=style, expand=MOBILE_EXPAND)
    b01 = inverted_bottleneck(b00, variant.width(2), name="b01", style=style, expand=MOBILE_EXPAND, stride=2)
    outputs, strides = [b00, b01], [2, 4]
    last = variant.blocks[-1]
    for block in variant.blocks:
        stride = output_stride if block is last else block.stride
        merged = [
            resample(
                outputs[source],
                variant.width(block.level),
                stride_from=strides[source],
                stride_to=stride,
                name=f"{block.name}_from{source:02d}",
                style=style,
            )
            for source in block.inputs
        ]
        total = keras.layers.Add(name=f"{block.name}_merge")(merged)
        total = activation(total, name=f"{block.name}_merge_act", style=style)
        outputs.append(
            inverted_bottleneck(
                total,
                variant.width(block.level),
                name=block.name,
                style=style,
                expand=MOBILE_EXPAND,
                dilation=block.dilation,
            )
        )
        strides.append(stride)
    return outputs[-1]
