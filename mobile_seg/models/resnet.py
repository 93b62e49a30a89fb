"""ResNet-50 (arXiv:1512.03385, Table 1), atrous at output strides 16 and 8 (DeepLabv3, arXiv:1706.05587, sec. 3)."""

from dataclasses import dataclass
from typing import NamedTuple

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, bottleneck, conv_bn, max_pool
from mobile_seg.models.features import Features


class Stage(NamedTuple):
    """A column of Table 1: `blocks` bottlenecks of `filters` inner channels."""

    name: str
    filters: int
    blocks: int
    stride: int


STEM = 64
STAGES = (
    Stage("conv2", 64, 3, 1),
    Stage("conv3", 128, 4, 2),
    Stage("conv4", 256, 6, 2),
    Stage("conv5", 512, 3, 2),
)


@dataclass(frozen=True)
class ResNet:
    """ResNet-50, and what segmentation papers made of it.

    `multi_grid`: dilations within the last stage where it has given up its stride (DeepLabv3, sec. 4.2).
    `late_stride`: a stage halves in its last block, not in its first. `tail_repeats`: how often the last stage
    stands in series; SpineNet-Seg's baseline (arXiv:2103.12270, sec. 3.2 and Table 1) has both, three of it.
    """

    multi_grid: tuple[int, ...] = (1, 2, 4)
    late_stride: bool = False
    tail_repeats: int = 1

    def __post_init__(self) -> None:
        grid = tuple(self.multi_grid)
        object.__setattr__(self, "multi_grid", grid)  # a list, where the options came out of a JSON file
        if len(grid) != STAGES[-1].blocks or min(grid) < 1:
            raise UsageError(f"multi_grid={grid} must be {STAGES[-1].blocks} positive dilations, one per block.")
        if self.tail_repeats < 1:
            raise UsageError(f"tail_repeats={self.tail_repeats}: the last stage stands there at least once.")


def backbone(x: Tensor, row: ResNet, *, output_stride: int, style: Style) -> Features:
    """The last stage's output at the output stride; as taps, the first stage that ends at each stride."""
    x = conv_bn(x, STEM, name="stem", role="entry", style=style, kernel=7, stride=2)
    x = max_pool(x, name="stem_pool")
    tail = [STAGES[-1]._replace(name=f"conv{6 + more}", stride=1) for more in range(row.tail_repeats - 1)]
    reached, dilation = 4, 1
    taps: dict[int, Tensor] = {}
    for stage in (*STAGES, *tail):
        kept = reached * stage.stride <= output_stride
        dilation *= 1 if kept else stage.stride
        grid = row.multi_grid if dilation > 1 and stage.filters == STAGES[-1].filters else (1,) * stage.blocks
        halving = stage.blocks - 1 if row.late_stride else 0
        for number, more in enumerate(grid):
            stride = stage.stride if kept and number == halving else 1
            x = _block(
                x, stage, number=number, stride=stride, dilation=dilation * more if stride == 1 else 1, style=style
            )
        reached *= stage.stride if kept else 1
        taps.setdefault(reached, x)
    return Features(x, taps)


def _block(x: Tensor, stage: Stage, *, number: int, stride: int, dilation: int, style: Style) -> Tensor:
    """A bottleneck; a stage's first has a projection beside it, another one that halves, every second pixel of x."""
    name = f"{stage.name}b{number + 1}"
    shortcut = x
    if number == 0:
        shortcut = conv_bn(x, 4 * stage.filters, name=name, role="shortcut", style=style, stride=stride, activate=False)
    elif stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, strides=stride, padding="same", name=f"{name}_shortcut_pool")(x)
    return bottleneck(x, stage.filters, name=name, style=style, stride=stride, dilation=dilation, shortcut=shortcut)
