"""Rewrites of activations."""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Grid
from mobile_seg.converters.targets.edit import Edit
from mobile_seg.converters.targets.pooling import ones, single
from mobile_seg.converters.targets.resizing import write_weighted

_OP = schema.BuiltinOperator
_FUSED = {_OP.RELU: schema.ActivationFunctionType.RELU, _OP.RELU6: schema.ActivationFunctionType.RELU6}
NUDGES = (0, *(2.0**power for power in range(-22, -11)))
"""By how much more than one a weight may be, so that a tie, which kernels round either way, is none."""


def rectifier_by_convolution(edit: Edit, operator: Any) -> bool:
    """An int8 RELU or RELU6 becomes a DEPTHWISE_CONV_2D of single pixels into which it is fused, bit for bit.

    For: xnnpack
    Where: it is of an image, and all 256 integers come out the same.

    Weights are one, or more by a trifle: the integer kernel rounds ties away from zero, XNNPACK to even.
    """
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    given, made = edit.grid(source), edit.grid(target)
    if given is None or made is None or len(edit.shape(source)) != 4:
        return False
    scale = same_rounding(given, made)
    if scale is None:
        return False
    options = single(schema.DepthwiseConv2DOptionsT())
    options.fusedActivationFunction = _FUSED[edit.kind(operator)]
    write_weighted(edit, _OP.DEPTHWISE_CONV_2D, (source, target), ones(edit, source), options, scale=scale)
    return True


def same_rounding(given: Grid, made: Grid) -> float | None:
    """The weight with which a convolution moves every integer above zero to the same one as a RELU does; or None."""
    steps = np.arange(1, 128 - given.zero_point)
    start, end = (np.float32(grid.scale[0]) for grid in (given, made))
    wanted = _fixed(steps, float(start) / float(end))
    if wanted is None:
        return None
    for nudge in NUDGES:
        weight = np.float32(1 + nudge)
        plain = _fixed(steps, float(start) * float(weight) / float(end))
        floats = np.rint(steps.astype(np.float32) * (start * weight / end))  # XNNPACK's
        limit = 127 - made.zero_point
        if plain is not None and all(np.array_equal(_cut(one, limit), _cut(wanted, limit)) for one in (plain, floats)):
            return float(weight)
    return None


def _cut(steps: np.ndarray, limit: int) -> np.ndarray:
    return np.minimum(steps.astype(np.int64), limit)


def _fixed(steps: np.ndarray, factor: float) -> np.ndarray | None:
    """Steps times a factor as TFLite's kernels multiply, by 31 bits and a shift; None where two ways of it differ."""
    mantissa, exponent = math.frexp(factor)
    bits = round(mantissa * 2**31)
    wide = [int(step) * bits for step in steps]
    left, right = max(exponent, 0), max(-exponent, 0)
    once = [(one + (1 << 30 - exponent)) >> 31 - exponent for one in wide]
    twice = [((one << left) + (1 << 30)) >> 31 for one in wide]
    twice = [(one + (1 << right >> 1)) >> right for one in twice]
    return np.asarray(once) if once == twice else None
