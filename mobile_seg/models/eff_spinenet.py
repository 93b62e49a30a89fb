"""SpineNet of MBConv blocks: SpineNet's own mobile networks (arXiv:1912.05027, appendix A), and Eff-SpineNet.

Eff-SpineNet ("Efficient Scale-Permuted Backbone with Learned Resource Distribution", ECCV 2020) keeps the
topology and gives each block a width of its own; it weighs what a block adds up (sec. 3.2), and goes down in
scale by moving pixels into channels (Fig. 2). docs/decisions/0009 says what both papers leave open.
"""

from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError, choose
from mobile_seg.layers import WeightedSum
from mobile_seg.models import blocks
from mobile_seg.models.blocks import Squeeze, Style, Tensor
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resample_depthwise
from mobile_seg.models.scale_permuted import MBCONV_49, Block, drop_rate, run, size_at

EXPAND = 6
SQUEEZE_SHARE = 0.2
STEM_BLOCKS = (Block(1, (-1, -1), "mbconv"), Block(2, (0, 0), "mbconv"))
GATES = ("sigmoid", "hard_sigmoid")


@dataclass(frozen=True)
class MBConvSpineNet:
    """A variant: the width and the repeats of each of the 18 blocks, and how they are scaled and connected.

    Every width times `scale`, truncated; or, with `divisor` above 1, rounded to its multiples as EfficientNet
    does. `stem_width`: channels of the first convolution, scaled too. `drop_path`: stochastic depth at the last
    block. `gate`: the activation at the end of squeeze-and-excite.
    """

    widths: tuple[int, ...]
    stem_width: int
    repeats: tuple[int, ...] = (1,) * 18
    scale: float = 1.0
    divisor: int = 1
    weighted_fusion: bool = False
    space_to_depth: bool = False
    drop_path: float = 0.0
    gate: str = "sigmoid"

    def __post_init__(self) -> None:
        choose("gate", self.gate, GATES)
        for option in ("widths", "repeats"):
            given = tuple(getattr(self, option))
            object.__setattr__(self, option, given)  # a list, where the options came out of a JSON file
            if len(given) != len(STEM_BLOCKS) + len(MBCONV_49) or min(given) < 1:
                raise UsageError(f"{option}={given}: give a positive number for each of the 18 blocks.")
        if self.divisor < 1:
            raise UsageError(f"divisor={self.divisor}: give 1 for widths as they are, or what they shall divide by.")

    def scaled(self, width: int) -> int:
        """A width of this variant; rounding to a divisor never takes more than a tenth away."""
        exact = width * self.scale
        return max(1, int(exact)) if self.divisor == 1 else blocks.divisible(exact, self.divisor)


def backbone(x: Tensor, row: MBConvSpineNet, *, output_stride: int, style: Style) -> Features:
    """P3 to P7, from the normalized image; P3 lies at `output_stride` 8, the only one there is."""
    image = x
    table = {**dict(enumerate(STEM_BLOCKS)), **MBCONV_49}

    def resampled(source: int, number: int, tensor: Tensor) -> Tensor:
        level = table[number].level
        return resample_depthwise(
            tensor,
            row.scaled(row.widths[number]),
            stride_from=2 ** table[source].level,
            stride_to=2**level,
            size=size_at(image, level),
            space_to_depth=row.space_to_depth,
            name=f"b{number:02d}_from{source:02d}",
            style=style,
        )

    def merged(number: int, tensors: list[Tensor]) -> Tensor:
        name, fusion = f"b{number:02d}", WeightedSum if row.weighted_fusion else keras.layers.Add
        total = fusion(name=f"{name}_merge")(tensors[:2])
        for index, joining in enumerate(tensors[2:]):  # in pairs, as integer kernels sum
            total = fusion(name=f"{name}_join{index}")([total, joining])
        return blocks.activation(total, name=f"{name}_merge_act", style=style)

    def computed(number: int, tensor: Tensor, stride: int = 1) -> Tensor:
        for repeat in range(row.repeats[number]):
            channels = tensor.shape[-1]
            tensor = blocks.inverted_bottleneck(
                tensor,
                row.scaled(row.widths[number]),
                expanded=EXPAND * channels,
                stride=1 if repeat else stride,
                squeeze=Squeeze(max(1, int(SQUEEZE_SHARE * channels)), inner=style.activation, gate=row.gate),
                drop=drop_rate(row.drop_path, number, len(table)),
                name=blocks.nth(f"b{number:02d}", repeat),
                style=style,
            )
        return tensor

    x = blocks.conv_bn(x, row.scaled(row.stem_width), name="stem", role="entry", style=style, kernel=3, stride=2)
    b00 = computed(0, x)
    b01 = computed(1, b00, stride=2)
    return run(MBCONV_49, [b00, b01], resampled=resampled, merged=merged, computed=computed)
