"""What SpineNet and Eff-SpineNet share: blocks in an order without order of scale, each reading two earlier ones.

SpineNet, arXiv:1912.05027, sec. 3 and Fig. 4d; Eff-SpineNet, Table 1, keeps the topology.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mobile_seg.models.blocks import Tensor
from mobile_seg.models.features import Features


class Block(NamedTuple):
    """One block: its level (stride 2^level), the two it reads, what it is made of, whether it ends in the pyramid."""

    level: int
    inputs: tuple[int, int]
    kind: str = "bottleneck"
    output: bool = False


# Numbered behind the two L2 blocks of the stem, 0 and 1.
SPINENET_49 = {
    2: Block(2, (0, 1)),
    3: Block(4, (0, 1), "residual"),
    4: Block(3, (2, 3)),
    5: Block(4, (2, 4)),
    6: Block(6, (3, 5), "residual"),
    7: Block(4, (3, 5)),
    8: Block(5, (6, 7), "residual"),
    9: Block(7, (6, 8), "residual"),
    10: Block(5, (8, 9)),
    11: Block(5, (8, 10)),
    12: Block(4, (5, 10), output=True),
    13: Block(3, (4, 10), output=True),
    14: Block(5, (7, 12), output=True),
    15: Block(7, (5, 14), output=True),
    16: Block(6, (12, 14), output=True),
}

# An L1 block comes first in the stem, so all numbers are one higher; every block is an MBConv (appendix A). The
# stem is the L1 block and one L2 block; the second L2 block reads both.
MBCONV_49 = {
    2: Block(2, (0, 1), "mbconv"),
    **{
        number + 1: block._replace(inputs=(block.inputs[0] + 1, block.inputs[1] + 1), kind="mbconv")
        for number, block in SPINENET_49.items()
    },
}


def joined(blocks: Mapping[int, Block]) -> dict[int, tuple[int, ...]]:
    """Output block → the blocks that it adds to its inputs as they are.

    A block that nobody reads and that is no output joins the output block of its level (sec. 3.3).
    """
    read = {source for block in blocks.values() for source in block.inputs}
    unread = [number for number, block in blocks.items() if number not in read and not block.output]
    return {
        number: tuple(other for other in unread if blocks[other].level == block.level)
        for number, block in blocks.items()
        if block.output
    }


def run(
    blocks: Mapping[int, Block],
    stem: Sequence[Tensor],
    *,
    resampled: Callable[[int, int, Tensor], Tensor],
    merged: Callable[[int, list[Tensor]], Tensor],
    computed: Callable[[int, Tensor], Tensor],
) -> Features:
    """Run the blocks behind the stem's and return P3 to P7 as the output blocks put them out.

    `resampled(source, block, tensor)` brings an input to the block's size and width, `merged(block, tensors)`
    sums them, `computed(block, tensor)` is the block itself; blocks and sources are numbers.
    """
    outputs = dict(enumerate(stem))
    joining = joined(blocks)
    for number, block in blocks.items():
        inputs = [resampled(source, number, outputs[source]) for source in block.inputs]
        inputs += [outputs[other] for other in joining.get(number, ())]
        outputs[number] = computed(number, merged(number, inputs))
    pyramid = {2**block.level: outputs[number] for number, block in blocks.items() if block.output}
    return Features(pyramid[min(pyramid)], pyramid=dict(sorted(pyramid.items())))


def size_at(image: Tensor, level: int) -> tuple[int, int]:
    """Height and width at a level: "same" padding rounds up at each halving, by whatever way a tensor got there."""
    stride = 2**level
    return -(-image.shape[1] // stride), -(-image.shape[2] // stride)


def drop_rate(last: float, number: int, count: int) -> float:
    """Stochastic depth of one block of `count`: growing linearly, `last` at the last."""
    return last * (number + 1) / count
