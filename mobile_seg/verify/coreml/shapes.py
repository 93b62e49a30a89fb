"""MIL's operations that move values without computing, as NumPy. Source: coremltools' MIL reference."""

from collections.abc import Callable
from typing import Any

import numpy as np

_KINDS = {"fp16": np.float32, "fp32": np.float32, "bool": np.bool_}
"""Data types by MIL's names, where they are not NumPy's; half precision is rounded by the output's type."""


def cast(x: np.ndarray, dtype: str) -> np.ndarray:
    """Another data type; floats are cut off towards zero when they become integers."""
    return x.astype(_KINDS.get(dtype, dtype))


def identity(x: np.ndarray) -> np.ndarray:
    """The same values."""
    return x


def reshape(x: np.ndarray, shape: Any) -> np.ndarray:
    """Row-major values in another shape; a side of 0 is kept, one of -1 takes what is left."""
    sides = [int(side) for side in shape]
    return x.reshape([x.shape[axis] if side == 0 else side for axis, side in enumerate(sides)])


def transpose(x: np.ndarray, perm: Any) -> np.ndarray:
    """Axes in another order: axis i of the output is axis perm[i] of x."""
    return x.transpose([int(axis) for axis in perm])


def squeeze(x: np.ndarray, axes: Any = None) -> np.ndarray:
    """Without axes of one position: those given, or all."""
    return x.squeeze() if axes is None else x.squeeze(tuple(int(axis) for axis in np.ravel(axes)))


def expand_dims(x: np.ndarray, axes: Any) -> np.ndarray:
    """With axes of one position where the output has them."""
    return np.expand_dims(x, tuple(int(axis) for axis in np.ravel(axes)))


def concat(values: tuple[np.ndarray, ...], axis: Any, interleave: Any = False) -> np.ndarray:
    """One after the other along an axis; interleaved: the first of each, then the second of each."""
    if not bool(interleave):
        return np.concatenate(values, axis=int(axis))
    place = int(axis) % values[0].ndim
    stacked = np.stack(values, axis=place + 1)
    return stacked.reshape(*values[0].shape[:place], -1, *values[0].shape[place + 1 :])


def stack(values: tuple[np.ndarray, ...], axis: Any) -> np.ndarray:
    """Side by side along a new axis."""
    return np.stack(values, axis=int(axis))


def split(x: np.ndarray, axis: Any, num_splits: Any = None, split_sizes: Any = None) -> list[np.ndarray]:
    """Parts along an axis: so many equal ones, or of these sizes."""
    if split_sizes is None:
        return np.split(x, int(num_splits), axis=int(axis))
    return np.split(x, np.cumsum(np.ravel(split_sizes))[:-1].tolist(), axis=int(axis))


def slice_by_index(
    x: np.ndarray,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> np.ndarray:
    """`x[begin:end:stride]` along each axis; a mask says where a limit is ignored, or the one position taken alone."""
    masks = [np.zeros(x.ndim, bool) if one is None else np.ravel(one) for one in (begin_mask, end_mask, squeeze_mask)]
    strides = np.ones(x.ndim, int) if stride is None else np.ravel(stride)
    index: list[Any] = []
    for axis in range(x.ndim):
        first, last = int(np.ravel(begin)[axis]), int(np.ravel(end)[axis])
        if masks[2][axis]:
            index.append(first)
        else:
            limits = (None if masks[0][axis] else first, None if masks[1][axis] else last)
            index.append(slice(*limits, int(strides[axis])))
    return x[tuple(index)]


def slice_by_size(x: np.ndarray, begin: Any, size: Any) -> np.ndarray:
    """So many positions from `begin` on; -1: all that follow."""
    return x[
        tuple(
            slice(int(first), None if count == -1 else int(first) + int(count))
            for first, count in zip(np.ravel(begin), np.ravel(size), strict=True)
        )
    ]


def gather(
    x: np.ndarray, indices: np.ndarray, axis: Any = 0, batch_dims: Any = 0, validate_indices: Any = False
) -> np.ndarray:
    """The positions `indices` of an axis.

    Raises:
        ValueError: for batches of indices.
    """
    if int(batch_dims):
        raise ValueError("batches of indices are not known here")
    return np.take(x, indices.astype(np.int64), axis=int(axis))


def tile(x: np.ndarray, reps: Any) -> np.ndarray:
    """Repeated so often along each axis."""
    return np.tile(x, [int(count) for count in np.ravel(reps)])


def space_to_depth(x: np.ndarray, block_size: Any) -> np.ndarray:
    """`[n, C, H, W]` → `[n, b² C, H/b, W/b]`; channels ordered by row in the block, column in the block, channel."""
    count, channels, height, width = x.shape
    block = int(block_size)
    parts = x.reshape(count, channels, height // block, block, width // block, block)
    return parts.transpose(0, 3, 5, 1, 2, 4).reshape(count, -1, height // block, width // block)


def depth_to_space(x: np.ndarray, block_size: Any) -> np.ndarray:
    """`[n, b² C, H, W]` → `[n, C, b H, b W]`, the inverse of `space_to_depth`."""
    count, channels, height, width = x.shape
    block = int(block_size)
    parts = x.reshape(count, block, block, channels // block**2, height, width)
    return parts.transpose(0, 3, 4, 1, 5, 2).reshape(count, -1, height * block, width * block)


def pixel_shuffle(x: np.ndarray, upscale_factor: Any) -> np.ndarray:
    """`[n, C f², H, W]` → `[n, C, f H, f W]`, channels ordered by channel, row in the block, column in the block."""
    count, channels, height, width = x.shape
    factor = int(upscale_factor)
    parts = x.reshape(count, channels // factor**2, factor, factor, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(count, -1, height * factor, width * factor)


OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        cast,
        identity,
        reshape,
        transpose,
        squeeze,
        expand_dims,
        concat,
        stack,
        split,
        slice_by_index,
        slice_by_size,
        gather,
        tile,
        space_to_depth,
        depth_to_space,
        pixel_shuffle,
    )
}
