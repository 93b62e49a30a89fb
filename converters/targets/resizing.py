"""Rewrites of resizes and of what moves blocks of pixels."""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Grid
from mobile_seg.converters.targets.edit import FLOAT32, INT8, INT32, Edit

_OP = schema.BuiltinOperator
MOST_JOINED = 5
"""Tensors that XNNPACK concatenates at once: VisitConcatenationNode in xnnpack_delegate.cc of LiteRT."""

MOST_ENLARGED = 8
"""Factor that both Vela and the Edge TPU's compiler take in one resize; see the rules of both."""


def nearest_by_copies(edit: Edit, operator: Any) -> bool:
    """Nearest enlarging by whole factors becomes copies side by side, CONCATENATION and RESHAPE, bit for bit.

    For: xnnpack
    Where: factors are products of 2, 3, 4 and 5, and corners are not aligned.

    Copies of each pixel stand beside it as more channels, copies of each row behind it, and a RESHAPE, which moves
    nothing, makes them pixels and rows.
    """
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    factors = _whole_factors(edit, operator)
    if factors is None or not edit.computes(source):
        return False
    rows, columns = (_parts(factor) for factor in factors)
    if rows is None or columns is None:
        return False
    _, height, width, channels = edit.shape(source)
    x = _joined(edit, source, columns, (1, height, width, channels))
    if factors[0] > 1:
        line = (1, 1, height, width * factors[1] * channels)
        x = _joined(edit, _reshaped(edit, target, x, line), rows, line)
    _reshaped(edit, target, x, edit.shape(target), into=target)
    return True


def nearest_in_steps(edit: Edit, operator: Any) -> bool:
    """Nearest enlarging by 16, 32 or 64 becomes steps of 8 and what is left, bit for bit.

    For: ethos-u, edgetpu
    Where: the factor is the same in height and width, and corners are not aligned.
    """
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    factors = _whole_factors(edit, operator)
    if factors is None or factors[0] != factors[1] or factors[0] not in (16, 32, 64):
        return False
    size, x, left = np.asarray(edit.shape(source)[1:3]), source, factors[0]
    version = int(edit.model.operatorCodes[operator.opcodeIndex].version)
    _, _, _, channels = edit.shape(source)
    while left > 1:
        step = min(left, MOST_ENLARGED)
        size, left = size * step, left // step
        made = target if left == 1 else edit.like(source, (1, *map(int, size), channels))
        sizes = edit.constant(target, size, INT32)
        x = edit.write(_OP.RESIZE_NEAREST_NEIGHBOR, (x, sizes), made, operator.builtinOptions, version)
    return True


def one_pixel_tiled(edit: Edit, operator: Any) -> bool:
    """Resizing of one pixel, whose output is that pixel everywhere, becomes TILE, bit for bit.

    For: edgetpu
    Where: the input is 1x1, in int8.

    In floats the kernels of bilinear resizing weigh that pixel against itself, and round. TILE is written as version
    1, as in Coral's own DeepLab, whose compiled twin has it on the accelerator: that compiler is older than version 3,
    by which TensorFlow marks int8 since 2.8.
    """
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    if edit.shape(source)[1:3] != (1, 1) or edit.grid(source) is None:
        return False
    _, height, width, _ = edit.shape(target)
    times = edit.constant(target, np.asarray((1, height, width, 1)), INT32)
    edit.write(_OP.TILE, (source, times), target, schema.TileOptionsT(), 1)
    return True


def blocks_by_convolution(edit: Edit, operator: Any) -> bool:
    """SPACE_TO_DEPTH becomes a CONV_2D of ones and zeros with the block as its kernel and stride, bit for bit.

    For: ethos-u
    Where: always; each output channel is one pixel of the block times one, in integers with a scale of one.
    """
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    block = int(operator.builtinOptions.blockSize)
    if not edit.computes(source):
        return False
    channels = edit.shape(source)[3]
    kernel = np.eye(block * block * channels).reshape(-1, block, block, channels)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, block, block
    options.dilationHFactor = options.dilationWFactor = 1
    write_weighted(edit, _OP.CONV_2D, (source, target), kernel, options)
    return True


def write_weighted(
    edit: Edit,
    code: int,
    ends: tuple[int, int],
    weights: np.ndarray,
    options: Any,
    *,
    scale: float = 1.0,
    bias: float = 0.0,
) -> None:
    """Write a convolution from one tensor to another; in int8 its `weights` are whole numbers times `scale`.

    The bias is the same for every channel, in int8 in steps of the input's scale times `scale`.
    """
    source, target = ends
    grid, channels = edit.grid(source), edit.shape(target)[3]
    biases = np.full(channels, bias)
    if grid is None:
        inputs = [edit.constant(target, weights, FLOAT32), edit.constant(target, biases, FLOAT32)]
    else:
        steps = Grid(32, (float(np.float32(grid.scale[0]) * np.float32(scale)),))
        inputs = [
            edit.constant(target, weights, INT8, Grid(8, (scale,))),
            edit.constant(target, biases, INT32, steps),
        ]
    edit.write(code, (source, *inputs), target, options)


def _whole_factors(edit: Edit, operator: Any) -> tuple[int, int] | None:
    """By which a nearest resize enlarges, high and wide, where every pixel becomes a block of its copies.

    Without half-pixel centres the kernel multiplies by a rounded 1/factor, which is exact for powers of 2 only.
    """
    given, made = (edit.shape(int(one))[1:3] for one in (operator.inputs[0], operator.outputs[0]))
    options = operator.builtinOptions
    if options.alignCorners or any(after % before for before, after in zip(given, made, strict=True)):
        return None
    high, wide = (after // before for before, after in zip(given, made, strict=True))
    exact = options.halfPixelCenters or all(factor & (factor - 1) == 0 for factor in (high, wide))
    return (high, wide) if exact else None


def _parts(factor: int) -> list[int] | None:
    """A factor as a product of numbers of tensors that one CONCATENATION joins; None if it is none."""
    parts = []
    for part in (4, 5, 3, 2):
        while factor % part == 0:
            parts.append(part)
            factor //= part
    return parts if factor == 1 and max(parts, default=1) <= MOST_JOINED else None


def _joined(edit: Edit, x: int, parts: list[int], sides: tuple[int, ...]) -> int:
    """So many copies of a tensor behind each other, along the last side."""
    done = 1
    for part in parts:
        done *= part
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        joined = edit.like(x, (*sides[:3], sides[3] * done))
        x = edit.write(_OP.CONCATENATION, [x] * part, joined, options)
    return x


def _reshaped(edit: Edit, near: int, x: int, sides: tuple[int, ...], *, into: int | None = None) -> int:
    assert math.prod(sides) == math.prod(edit.shape(x))
    made = edit.like(x, sides) if into is None else into
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray(sides, np.int32)
    return edit.write(_OP.RESHAPE, (x, edit.constant(near, np.asarray(sides), INT32)), made, options)
