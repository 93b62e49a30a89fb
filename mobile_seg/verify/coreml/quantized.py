"""MIL's operations between floats and integers, as NumPy. Source: coremltools' MIL reference, iOS 16 to 18."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from mobile_seg.verify.coreml.blobs import half, unpacked

_TABLE = np.arange(256, dtype=np.uint8)
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def _along(values: Any, rank: int, axis: Any) -> np.ndarray:
    """A scalar, or one value per position of `axis`, in a shape that broadcasts."""
    found = np.asarray(values)
    if found.ndim == 0 or axis is None:
        return found
    return found.reshape([-1 if one == int(axis) % rank else 1 for one in range(rank)])


def quantize(input: np.ndarray, scale: Any, output_dtype: str, zero_point: Any = 0, axis: Any = None) -> np.ndarray:
    """`clip(round(input / scale) + zero_point)`, ties to even, in the limits of `output_dtype`."""
    scales, zeros = (_along(one, input.ndim, axis) for one in (scale, zero_point))
    counted = np.asarray(input / scales.astype(np.float32))  # 0-d results are no arrays
    np.round(counted, out=counted)
    counted += zeros.astype(np.float32)
    return np.clip(counted, *_LIMITS[output_dtype], out=counted).astype(output_dtype)


def dequantize(
    input: np.ndarray, scale: Any, zero_point: Any = 0, axis: Any = None, half_precision: bool = False
) -> np.ndarray:
    """`scale * (input - zero_point)`; rounded to half precision if the program computes in it."""
    if np.ndim(scale) == 0 and input.itemsize == 1 and input.size > _TABLE.size:
        table = dequantize(_TABLE.view(input.dtype), scale, zero_point, half_precision=half_precision)
        rows = np.ascontiguousarray(input).view(np.uint8).reshape(-1, input.shape[-1])
        return np.asarray(cv2.LUT(rows, table)).reshape(input.shape)
    floats = _dequantized(input, scale, zero_point, axis)
    return half(floats) if half_precision else floats


def _dequantized(input: np.ndarray, scale: Any, zero_point: Any, axis: Any) -> np.ndarray:
    scales, zeros = (_along(one, input.ndim, axis) for one in (scale, zero_point))
    floats = np.asarray(input.astype(np.float32) - zeros.astype(np.float32))  # likewise
    return np.multiply(floats, scales.astype(np.float32), out=floats)


def constexpr_affine_dequantize(quantized_data: np.ndarray, zero_point: Any, scale: Any, axis: Any) -> np.ndarray:
    """`scale * (quantized_data - zero_point)`, one scale for all or one per position of `axis`."""
    return _dequantized(quantized_data, scale, zero_point, axis)


def constexpr_lut_to_dense(
    indices: np.ndarray, lut: np.ndarray, shape: Any = None, vector_axis: Any = None
) -> np.ndarray:
    """Values by their indices into a table.

    iOS 16: one table, the indices packed by as many bits as it needs, in row-major order. iOS 18: indices have the
    tensor's shape, tables `[g0, g1, ..., 2^bits, 1]` hold for blocks of it.

    Raises:
        ValueError: for tables of vectors.
    """
    if shape is not None:
        count = int(np.prod(shape))
        bits = int(lut.size).bit_length() - 1
        return lut[unpacked(indices.view(np.uint8).ravel(), bits, count)].reshape([int(side) for side in shape])
    if vector_axis is not None or lut.shape[-1] != 1:
        raise ValueError("tables of vectors are not known here")
    tables = lut[..., 0]
    for axis, (side, groups) in enumerate(zip(indices.shape, tables.shape[:-1], strict=True)):
        tables = np.repeat(tables, side // groups, axis=axis)
    return np.take_along_axis(tables, indices[..., None].astype(np.int64), axis=-1)[..., 0]


def constexpr_blockwise_shift_scale(data: np.ndarray, scale: np.ndarray, offset: Any = None) -> np.ndarray:
    """`scale * (data - offset)`, each scale for a block: along an axis as many as fit."""
    zeros = np.zeros(scale.shape, np.float32) if offset is None else np.asarray(offset, np.float32)
    scales = np.asarray(scale, np.float32)
    for axis, (side, groups) in enumerate(zip(data.shape, scale.shape, strict=True)):
        scales, zeros = (np.repeat(one, side // groups, axis=axis) for one in (scales, zeros))
    return (data.astype(np.float32) - zeros) * scales


def constexpr_cast(source_val: np.ndarray, output_dtype: str) -> np.ndarray:
    """Half-precision constants as float32."""
    return np.asarray(source_val, np.float32)


OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        quantize,
        dequantize,
        constexpr_affine_dequantize,
        constexpr_lut_to_dense,
        constexpr_blockwise_shift_scale,
        constexpr_cast,
    )
}
