"""SpineNet 49S to 190 (arXiv:1912.05027): bottleneck and residual blocks of ResNet, permuted; P3 to P7 come out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from mobile_seg.models import blocks
from mobile_seg.models.blocks import Style, Tensor
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resample_dense
from mobile_seg.models.scale_permuted import SPINENET_49, Block, drop_rate, run, size_at

WIDTHS = {2: 64, 3: 128, 4: 256, 5: 256, 6: 256, 7: 256}
STEM_CHANNELS = 64
STEM_BLOCKS = (Block(2, (-1, -1)), Block(2, (0, 0)))

KINDS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "bottleneck": (blocks.bottleneck, 4),
    "residual": (blocks.residual, 1),
}
"""Kind → its function, and how many times its inner width it takes in and puts out."""


@dataclass(frozen=True)
class SpineNet:
    """A variant (sec. 3.4): widths times `scale`, truncated; each block `repeats` times in series.

    `alpha`: what a connection keeps of the source's inner width while it is resampled. `drop_path`: stochastic
    depth at the last block, growing linearly up to there.
    """

    scale: float = 1.0
    repeats: int = 1
    alpha: float = 0.5
    drop_path: float = 0.0

    def width(self, level: int) -> int:
        """Inner channels of a block of this level."""
        return int(WIDTHS[level] * self.scale)


def backbone(x: Tensor, row: SpineNet, *, output_stride: int, style: Style) -> Features:
    """P3 to P7, from the normalized image; P3 lies at `output_stride` 8, the only one there is."""
    image = x
    table = {**dict(enumerate(STEM_BLOCKS)), **SPINENET_49}

    def resampled(source: int, number: int, tensor: Tensor) -> Tensor:
        origin, block = table[source], table[number]
        return resample_dense(
            tensor,
            KINDS[block.kind][1] * row.width(block.level),
            reduced=int(row.width(origin.level) * row.alpha),
            stride_from=2**origin.level,
            stride_to=2**block.level,
            size=size_at(image, block.level),
            name=f"b{number:02d}_from{source:02d}",
            style=style,
        )

    def merged(number: int, tensors: list[Tensor]) -> Tensor:
        total = keras.layers.Add(name=f"b{number:02d}_merge")(tensors)
        return blocks.activation(total, name=f"b{number:02d}_merge_act", style=style)

    def computed(number: int, tensor: Tensor) -> Tensor:
        block = table[number]
        options: dict[str, Any] = {"style": style, "drop": drop_rate(row.drop_path, number, len(table))}
        for repeat in range(row.repeats):
            name = blocks.nth(f"b{number:02d}", repeat)
            tensor = KINDS[block.kind][0](tensor, row.width(block.level), name=name, **options)
        return tensor

    x = blocks.conv_bn(x, STEM_CHANNELS, name="stem", role="entry", style=style, kernel=7, stride=2)
    x = blocks.max_pool(x, name="stem_pool")
    b00 = computed(0, x)
    b01 = computed(1, b00)
    return run(SPINENET_49, [b00, b01], resampled=resampled, merged=merged, computed=computed)
