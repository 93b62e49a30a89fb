"""Auto-DeepLab (arXiv:1901.02985, sec. 3, 5 and Fig. 3): a cell and a path through resolutions, both searched.

What the paper leaves open is as in its public code (tensorflow/models, research/deeplab); docs/decisions/0011
says where ours differs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, activation, conv_bn, drop_path, initializer
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resized

Size = tuple[int, int]


class Operation(NamedTuple):
    """One branch of a node: what it does to its source.

    A k x k atrous convolution at rate 2, or else twice a k x k depthwise separable one. `source`: 0 is the cell
    before, 1 the one before that, 2 to 6 are this cell's nodes.
    """

    source: int
    kernel: int
    atrous: bool


class Node(NamedTuple):
    """The sum of two operations."""

    name: str
    left: Operation
    right: Operation


CELL = (
    Node("n1", Operation(1, 5, atrous=True), Operation(0, 3, atrous=False)),
    Node("n2", Operation(1, 3, atrous=False), Operation(0, 3, atrous=True)),
    Node("n3", Operation(3, 3, atrous=False), Operation(1, 3, atrous=False)),
    Node("n4", Operation(4, 5, atrous=False), Operation(2, 5, atrous=False)),
    Node("n5", Operation(3, 5, atrous=False), Operation(5, 5, atrous=True)),
)
"""Fig. 3, right. The cell's output is its five nodes, concatenated."""

PATH = (4, 4, 4, 8, 16, 8, 16, 16, 32, 32, 16, 8)
"""Fig. 3, left: the stride of each cell."""

TAPS = {4: 2, 8: 5, 16: 7}
"""Stride → the cell whose output a decoder may read."""

STEM = (64, 64, 128)


@dataclass(frozen=True)
class AutoDeepLab:
    """`filters`: F of Table 2; a node at stride s has F*s/4 channels.

    `drop_path`: how often the last cell drops an operation in training; earlier ones in proportion to their depth.
    """

    filters: int = 20
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.filters < 1 or not 0 <= self.drop_path < 1:
            raise UsageError(
                f"Auto-DeepLab cannot be built with filters={self.filters}, drop_path={self.drop_path}; give at "
                "least 1 filter and a share from 0 up to, not including, 1."
            )


@dataclass(frozen=True)
class Cell:
    """Where a cell stands: its block's name, the channels of its nodes, the size they have, its drop-path rate."""

    name: str
    filters: int
    size: Size
    drop: float
    style: Style


def backbone(x: Tensor, row: AutoDeepLab, *, output_stride: int, style: Style) -> Features:
    """The last cell's output at stride 8, activated; as taps, the cells that the public code's decoder may read."""
    if output_stride != PATH[-1]:
        raise UsageError(f"output_stride={output_stride}: Auto-DeepLab's path ends at stride {PATH[-1]}.")
    x = conv_bn(x, STEM[0], name="stem", role="entry", style=style, kernel=3, stride=2)
    before = conv_bn(x, STEM[1], name="stem", role="second", style=style, kernel=3, activate=False)
    x = activation(before, name="stem_second_act", style=style)
    x = conv_bn(x, STEM[2], name="stem", role="third", style=style, kernel=3, stride=2, activate=False)
    sizes = {4: tuple(x.shape[1:3])}
    for stride in (8, 16, 32):
        sizes[stride] = tuple(-(-side // 2) for side in sizes[stride // 2])
    outputs = []
    reached = 4
    for number, stride in enumerate(PATH):
        drop = row.drop_path * (number + 1) / len(PATH)
        cell = Cell(f"c{number:02d}", row.filters * stride // 4, sizes[stride], drop, style)
        last = _at(x, cell.size, name=f"{cell.name}_last_up") if stride < reached else x
        before, x = x, _computed(cell, last, before)
        outputs.append(x)
        reached = stride
    return Features(
        activation(x, name=f"{cell.name}_act", style=style),
        {stride: outputs[number] for stride, number in TAPS.items()},
    )


def _computed(cell: Cell, last: Tensor, before: Tensor) -> Tensor:
    """Both inputs to the cell's width, `before` to the size of `last` too; the five nodes; their concatenation.

    An input that is larger than the cell is made smaller by the operations that read it.
    """
    name, style = cell.name, cell.style
    before = _at(before, tuple(last.shape[1:3]), name=f"{name}_before_resize")
    sources = []
    for role, tensor in (("last", last), ("before", before)):
        tensor = activation(tensor, name=f"{name}_{role}_entry_act", style=style)
        tensor = conv_bn(tensor, cell.filters, name=name, role=role, style=style, activate=False)
        sources.append(activation(tensor, name=f"{name}_{role}_act", style=style))
    nodes = []
    for node in CELL:
        branches = [
            _operation(cell, operation, sources[operation.source], name=f"{name}_{node.name}_{side}")
            for side, operation in (("left", node.left), ("right", node.right))
        ]
        total = keras.layers.Add(name=f"{name}_{node.name}_sum")(branches)
        nodes.append(total)
        if node is not CELL[-1]:
            sources.append(activation(total, name=f"{name}_{node.name}_act", style=style))
    return keras.layers.Concatenate(name=f"{name}_concat")(nodes)


def _operation(cell: Cell, operation: Operation, x: Tensor, *, name: str) -> Tensor:
    """One operation on its activated source; where that is larger, at stride 2, and an atrous one on half of it."""
    larger = tuple(x.shape[1:3]) != cell.size
    if operation.atrous:
        x = _at(x, cell.size, name=f"{name}_down")
        x = conv_bn(
            x,
            cell.filters,
            name=name,
            role="atrous",
            style=cell.style,
            kernel=operation.kernel,
            dilation=1 if larger else 2,
            activate=False,
        )
    else:
        x = _separable(cell, x, operation.kernel, stride=2 if larger else 1, name=f"{name}_first")
        x = activation(x, name=f"{name}_first_act", style=cell.style)
        x = _separable(cell, x, operation.kernel, stride=1, name=f"{name}_second")
    return drop_path(x, cell.drop, name=name)


def _separable(cell: Cell, x: Tensor, kernel: int, *, stride: int, name: str) -> Tensor:
    """A depthwise convolution and a 1x1, BN behind the second only, linear."""
    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=initializer(),
        name=f"{name}_depthwise",
    )(x)
    block, _, role = name.partition("_")
    return conv_bn(x, cell.filters, name=block, role=role, style=cell.style, activate=False)


def _at(x: Tensor, size: Size, *, name: str) -> Tensor:
    """x at `size`, bilinearly. Half of an even size is the mean of 2x2 pixels, which every kernel and NPU has."""
    if tuple(x.shape[1:3]) == (2 * size[0], 2 * size[1]):
        return keras.layers.AveragePooling2D(2, name=name)(x)
    return resized(x, size, name=name)
