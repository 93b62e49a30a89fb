"""Rewrites of poolings and of arg-max."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Conversion, Grid
from mobile_seg.converters.targets.edit import FLOAT32, INT8, INT32, Edit
from mobile_seg.converters.targets.resizing import write_weighted

_OP = schema.BuiltinOperator
_PLAIN = schema.ActivationFunctionType.NONE
LARGEST_AREA = 30
"""Pixels in a window whose average in floats, nudged off a tie, still rounds as the integer kernel does."""

NUDGE = 1 + 1.25e-4


def strided_pixels(edit: Edit, operator: Any) -> bool:
    """A 1x1 MAX_POOL_2D with a stride becomes a DEPTHWISE_CONV_2D with the stride and weights of one, bit for bit.

    For: xnnpack
    Where: nothing is fused into it; in integers the weights' scale is one, so that no number is rounded.
    """
    given, options = operator.builtinOptions, schema.DepthwiseConv2DOptionsT()
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    plain = given.fusedActivationFunction == _PLAIN and (given.filterHeight, given.filterWidth) == (1, 1)
    if not plain or not edit.computes(source):
        return False
    options.padding, options.strideH, options.strideW = given.padding, given.strideH, given.strideW
    write_weighted(edit, _OP.DEPTHWISE_CONV_2D, (source, target), ones(edit, source), single(options))
    return True


def average_in_floats(edit: Edit, operator: Any) -> bool:
    """An int8 AVERAGE_POOL_2D becomes one of floats between DEQUANTIZE and QUANTIZE, bit for bit.

    For: xnnpack
    Where: nothing is fused into it, and the window has at most 30 pixels.

    The integer kernel rounds ties away from zero, XNNPACK to even. So a DEPTHWISE_CONV_2D first turns the floats into
    the integers themselves, 1.25e-4 times larger: a tie, at least 0.5, moves 6e-5 away from zero, more than rounding
    in floats errs (5e-5); any other average of up to 30 integers lies 1/60 off a tie at least, and moves less
    (128 * 1.25e-4 = 0.016). A second one brings the average to the grid that is read. Dear where the image is large;
    it is small in the networks that have it.
    """
    given, source, target = operator.builtinOptions, int(operator.inputs[0]), int(operator.outputs[0])
    grid = edit.grid(source)
    plain = given.fusedActivationFunction == _PLAIN and given.filterHeight * given.filterWidth <= LARGEST_AREA
    if not plain or grid is None:
        return False
    (scale,), zero = grid.scale, grid.zero_point
    floats, integers = (edit.tensor(target, edit.shape(source), FLOAT32) for _ in range(2))
    average = edit.tensor(target, edit.shape(target), FLOAT32)
    rounded = edit.tensor(target, edit.shape(target), INT8, Grid(8, (1.0,)))
    edit.write(_OP.DEQUANTIZE, (source,), floats)
    step = schema.DepthwiseConv2DOptionsT
    larger = ones(edit, source) * (NUDGE / scale)
    write_weighted(edit, _OP.DEPTHWISE_CONV_2D, (floats, integers), larger, single(step()), bias=zero * NUDGE)
    edit.write(_OP.AVERAGE_POOL_2D, (integers,), average, given)
    edit.write(_OP.QUANTIZE, (average,), rounded, schema.QuantizeOptionsT(), 1)
    plain = ones(edit, source)
    write_weighted(edit, _OP.DEPTHWISE_CONV_2D, (rounded, target), plain, single(step()), scale=scale, bias=-zero)
    names = (edit.graph.tensors[one].name.decode() for one in (floats, rounded))
    reason = "XNNPACK averages floats only"
    kinds = ("DEQUANTIZE", "QUANTIZE")
    edit.conversions += [Conversion(kind, name, reason) for kind, name in zip(kinds, names, strict=True)]
    return True


def classes_in_32_bits(edit: Edit, operator: Any) -> bool:
    """ARG_MAX into int64 becomes ARG_MAX into int32: the same class ids, of which there are never 2^31.

    For: gpu, nnapi
    Where: the ids are what the file gives out, and nothing inside reads them.
    """
    target = int(operator.outputs[0])
    if edit.type(target) != schema.TensorType.INT64 or not edit.ends(target):
        return False
    edit.graph.tensors[target].type = INT32
    options = schema.ArgMaxOptionsT()
    options.outputType = INT32
    version = int(edit.model.operatorCodes[operator.opcodeIndex].version)
    edit.write(_OP.ARG_MAX, list(map(int, operator.inputs)), target, options, version)
    return True


def ones(edit: Edit, source: int) -> np.ndarray:
    """Weights of a depthwise convolution that takes every pixel as it is."""
    return np.ones((1, 1, 1, edit.shape(source)[3]))


def single(options: Any) -> Any:
    """A depthwise convolution of one output per channel; its strides are 1 unless they are set."""
    options.strideH, options.strideW = options.strideH or 1, options.strideW or 1
    options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1
    return options
