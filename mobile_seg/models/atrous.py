"""Trading strides for dilation, so that a classifier's backbone ends at the output stride."""

from collections.abc import Iterable
from typing import NamedTuple


class Step(NamedTuple):
    """One block's share: its stride and dilation, and the stride of its output.

    `plain`: neither this block nor one before it gave up its stride.
    """

    stride: int
    dilation: int
    reached: int
    plain: bool


def atrous_steps(strides: Iterable[int], *, reached: int, output_stride: int) -> list[Step]:
    """A stride that would lead beyond `output_stride` is dropped, and all blocks behind it are dilated by it instead.

    DeepLabv3 (arXiv:1706.05587, sec. 3.1) as its public code does it: the block that gives up its stride keeps the
    dilation it had. `reached`: the stride at which the first block reads.
    """
    steps = []
    dilation = 1
    plain = True
    for stride in strides:
        if stride > 1 and reached * stride > output_stride:
            plain = False
            steps.append(Step(1, dilation, reached, plain))
            dilation *= stride
        else:
            reached *= stride
            steps.append(Step(stride, dilation, reached, plain))
    return steps
