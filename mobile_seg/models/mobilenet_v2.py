"""MobileNetV2 (arXiv:1801.04381, sec. 3 and Table 2) as a backbone for segmentation (sec. 6.3)."""

from dataclasses import dataclass
from typing import NamedTuple

from mobile_seg.errors import UsageError
from mobile_seg.models.atrous import atrous_steps
from mobile_seg.models.blocks import Style, Tensor, conv_bn, divisible, inverted_bottleneck
from mobile_seg.models.features import Features


class Group(NamedTuple):
    """A row of Table 2: `repeats` inverted bottlenecks in series, the first with the stride."""

    expand: int
    channels: int
    repeats: int
    stride: int


STEM = 32
GROUPS = (
    Group(1, 16, 1, 1),
    Group(6, 24, 2, 2),
    Group(6, 32, 3, 2),
    Group(6, 64, 4, 2),
    Group(6, 96, 3, 1),
    Group(6, 160, 3, 2),
    Group(6, 320, 1, 1),
)


@dataclass(frozen=True)
class MobileNetV2:
    """Every width times `width`, rounded to a multiple of `divisor` (`divisible`).

    `final_width`: channels of the 1x1 convolution that classification has behind the last block (1280, which no
    width below 1 shrinks); 0 leaves it out, as segmentation does.
    """

    width: float = 1.0
    divisor: int = 8
    final_width: int = 0

    def __post_init__(self) -> None:
        for wrong, message in (
            (self.width <= 0, f"width={self.width} is not positive"),
            (self.divisor < 1, f"divisor={self.divisor}; give 1 or more"),
            (self.final_width < 0, f"final_width={self.final_width}; give 0 for none or more"),
        ):
            if wrong:
                raise UsageError(f"MobileNetV2 cannot be built with {message}.")

    def channels(self, at_one: int) -> int:
        """The width of a layer that has `at_one` channels at width 1."""
        return divisible(at_one * self.width, self.divisor)


def backbone(x: Tensor, row: MobileNetV2, *, output_stride: int, style: Style) -> Features:
    """The last block's output at the output stride; as taps, what the blocks give before each halving."""
    x = conv_bn(x, row.channels(STEM), name="stem", role="entry", style=style, kernel=3, stride=2)
    blocks = [(group, group.stride if repeat == 0 else 1) for group in GROUPS for repeat in range(group.repeats)]
    steps = atrous_steps((stride for _, stride in blocks), reached=2, output_stride=output_stride)
    taps: dict[int, Tensor] = {}
    for number, ((group, _), step) in enumerate(zip(blocks, steps, strict=True)):
        x = inverted_bottleneck(
            x,
            row.channels(group.channels),
            name=f"b{number:02d}",
            style=style,
            expanded=group.expand * x.shape[-1],
            stride=step.stride,
            dilation=step.dilation,
        )
        if step.plain:
            taps[step.reached] = x
    if row.final_width:
        x = conv_bn(x, max(row.final_width, row.channels(row.final_width)), name="final", role="widen", style=style)
    return Features(x, taps)
