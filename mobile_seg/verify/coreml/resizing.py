"""MIL's resizing operations, as NumPy, on `[n, C, H, W]`. Source: coremltools' MIL reference, its formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _grid(mode: str, before: int, after: int) -> np.ndarray:
    """Where along an old side each new position lies; MIL's formulas for its sampling modes."""
    place = np.arange(after, dtype=np.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        found = place * ((before - 1) / (after - 1)) if after > 1 else np.zeros(1)
        if mode == "ALIGN_CORNERS" and after == 1:
            found = np.full(1, (before - 1) / 2)
    elif mode == "DEFAULT":
        found = place * ((before - before / after) / (after - 1)) if after > 1 else np.zeros(1)
    elif mode == "OFFSET_CORNERS":
        delta = max(1, before - 1) / after
        found = 0.5 * delta + place * delta
    elif mode == "UNALIGN_CORNERS":
        found = (place + 0.5) * (before / after) - 0.5
    else:
        raise ValueError(f"sampling mode {mode!r} is not known here")
    return np.clip(found, 0, before - 1)


def _interpolated(x: np.ndarray, grid: np.ndarray, axis: int) -> np.ndarray:
    first = np.floor(grid).astype(np.int64)
    second = np.minimum(first + 1, x.shape[axis] - 1)
    share = (grid - first).astype(np.float32).reshape([-1 if one == axis else 1 for one in range(x.ndim)])
    lower = np.take(x, first, axis=axis)
    return lower + (np.take(x, second, axis=axis) - lower) * share


def resize_bilinear(
    x: np.ndarray, target_size_height: Any = 1, target_size_width: Any = 1, sampling_mode: str = "DEFAULT"
) -> np.ndarray:
    """Bilinear interpolation at the grid of `sampling_mode`; UNALIGN_CORNERS has half-pixel centres."""
    for axis, size in ((2, int(target_size_height)), (3, int(target_size_width))):
        x = _interpolated(x, _grid(sampling_mode, x.shape[axis], size), axis)
    return x


def upsample_bilinear(
    x: np.ndarray,
    scale_factor_height: Any = 1,
    scale_factor_width: Any = 1,
    align_corners: Any = True,
    half_pixel_centers: Any = None,
) -> np.ndarray:
    """Bilinear interpolation to floor(size * factor); the grid is made from the sizes, not the factor."""
    aligned = bool(align_corners)
    centred = (not aligned) if half_pixel_centers is None else bool(half_pixel_centers)
    modes = {(True, False): "STRICT_ALIGN_CORNERS", (False, True): "UNALIGN_CORNERS", (False, False): "DEFAULT"}
    height, width = (
        int(np.floor(float(factor) * side))
        for factor, side in zip((scale_factor_height, scale_factor_width), x.shape[2:], strict=True)
    )
    return resize_bilinear(x, height, width, modes[aligned, centred])


def resize_nearest_neighbor(x: np.ndarray, target_size_height: Any, target_size_width: Any) -> np.ndarray:
    """The pixel whose area holds the new one's centre.

    Raises:
        ValueError: for a size that is no multiple: which pixel is taken then is documented nowhere.
    """
    for axis, size in ((2, int(target_size_height)), (3, int(target_size_width))):
        if size % x.shape[axis]:
            raise ValueError(f"nearest resizing from {x.shape[axis]} to {size} is not defined")
        x = np.repeat(x, size // x.shape[axis], axis=axis)
    return x


def upsample_nearest_neighbor(x: np.ndarray, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> np.ndarray:
    """Each pixel repeated.

    Raises:
        ValueError: for a factor that is not whole.
    """
    factors = float(scale_factor_height), float(scale_factor_width)
    if any(factor != int(factor) for factor in factors):
        raise ValueError(f"nearest upsampling by {factors} is not defined")
    return np.repeat(np.repeat(x, int(factors[0]), axis=2), int(factors[1]), axis=3)


OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (resize_bilinear, upsample_bilinear, resize_nearest_neighbor, upsample_nearest_neighbor)
}
