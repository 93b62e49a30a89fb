"""MIL's operations over rows and columns, as NumPy, on `[n, C, H, W]`. Source: coremltools' MIL reference.

`same` is read as TensorFlow means it: the output has ceil(size / stride) pixels, the odd pixel is padded behind.
"""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

WIDEST = 9
"""Kernels up to this size OpenCV adds up tap by tap; larger ones it may go around by a Fourier transform."""


def _ints(values: Any, default: int) -> tuple[int, int]:
    """Two whole numbers, for rows and columns."""
    if values is None:
        return default, default
    rows, columns = np.ravel(values)
    return int(rows), int(columns)


def _pads(
    pad_type: str, pad: Any, sides: tuple[int, ...], spans: tuple[int, int], strides: tuple[int, int]
) -> list[tuple[int, int]]:
    """How many rows and columns are padded before and behind; `spans`: what a dilated kernel covers.

    Raises:
        ValueError: for an unknown way to pad.
    """
    if pad_type == "valid":
        return [(0, 0), (0, 0)]
    if pad_type == "custom":
        top, bottom, left, right = (int(one) for one in np.ravel(pad))
        return [(top, bottom), (left, right)]
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"pad_type {pad_type!r} is not known here")
    found = []
    for side, span, stride in zip(sides, spans, strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + span - side, 0)
        less, more = total // 2, total - total // 2
        found.append((less, more) if pad_type == "same" else (more, less))
    return found


def _padded(x: np.ndarray, pads: list[tuple[int, int]], value: float = 0.0) -> np.ndarray:
    return x if pads == [(0, 0), (0, 0)] else np.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)


def _windows(
    x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each tap of a kernel with the values `[n, C, h, w]` that it meets."""
    rows, columns = (
        (side - (taps - 1) * dilation - 1) // stride + 1
        for side, taps, dilation, stride in zip(x.shape[2:], kernel, dilations, strides, strict=True)
    )
    for row in range(kernel[0]):
        top = row * dilations[0]
        for column in range(kernel[1]):
            left = column * dilations[1]
            yield (
                row,
                column,
                x[
                    :,
                    :,
                    top : top + (rows - 1) * strides[0] + 1 : strides[0],
                    left : left + (columns - 1) * strides[1] + 1 : strides[1],
                ],
            )


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    bias: Any = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: Any = 1,
) -> np.ndarray:
    """Cross-correlation: weight `[C_out, C_in / groups, kh, kw]`, group g of the output sees group g of the input."""
    steps, spread, parts = _ints(strides, 1), _ints(dilations, 1), int(groups)
    kernel = (weight.shape[2], weight.shape[3])
    spans = tuple((taps - 1) * dilation + 1 for taps, dilation in zip(kernel, spread, strict=True))
    x = _padded(x, _pads(pad_type, pad, x.shape[2:], (spans[0], spans[1]), steps))
    one_each = weight.shape[1] == 1
    if one_each and len(weight) == parts and max(spans) <= WIDEST:
        total = _filtered(x, weight[:, 0], steps, spread)
        return total if bias is None else np.add(total, np.reshape(bias, (-1, 1, 1)), out=total)
    total = None
    for row, column, window in _windows(x, kernel, steps, spread):
        taps = weight[:, :, row, column]
        product = _by_channel(window, taps, parts) if one_each else _mixed(window, taps, parts)
        if total is None:
            total = product
        else:
            total += product
    return total if bias is None else total + np.reshape(bias, (-1, 1, 1))


def _filtered(x: np.ndarray, weight: np.ndarray, strides: tuple[int, int], dilations: tuple[int, int]) -> np.ndarray:
    """A kernel of its own for each channel, plane by plane: a plane fits the processor's cache, all of them do not."""
    spans = [rate * (side - 1) + 1 for rate, side in zip(dilations, weight.shape[1:], strict=True)]
    taps = np.zeros((len(weight), *spans), np.float32)
    taps[:, :: dilations[0], :: dilations[1]] = weight
    rows, columns = (side - extent + 1 for side, extent in zip(x.shape[2:], taps.shape[1:], strict=True))
    x = np.ascontiguousarray(x, np.float32)
    made = np.empty((*x.shape[:2], -(-rows // strides[0]), -(-columns // strides[1])), np.float32)
    for sample, planes in zip(x, made, strict=True):
        for plane, kernel, out in zip(sample, taps, planes, strict=True):
            whole = cv2.filter2D(plane, cv2.CV_32F, kernel, anchor=(0, 0), borderType=cv2.BORDER_ISOLATED)
            out[:] = whole[: rows : strides[0], : columns : strides[1]]
    return made


def _by_channel(window: np.ndarray, taps: np.ndarray, groups: int) -> np.ndarray:
    """One input channel per group: products without a sum over channels."""
    channels = np.repeat(window, len(taps) // groups, axis=1) if len(taps) != groups else window
    return channels * taps.reshape(-1, 1, 1)


def _mixed(window: np.ndarray, taps: np.ndarray, groups: int) -> np.ndarray:
    """`[n, C, h, w]` and `[C_out, C / groups]` → `[n, C_out, h, w]`."""
    count, _, height, width = window.shape
    columns = np.ascontiguousarray(window).reshape(count, groups, -1, height * width)
    return (taps.reshape(groups, -1, taps.shape[1]) @ columns).reshape(count, -1, height, width)


def conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: Any = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: Any = 1,
    output_shape: Any = None,
) -> np.ndarray:
    """The gradient of `conv`: weight `[C_in, C_out / groups, kh, kw]`; padding is cut off the borders.

    `same` with an output shape cuts what is too much, the odd pixel behind; without, the output is size times stride.
    """
    steps, spread, parts = _ints(strides, 1), _ints(dilations, 1), int(groups)
    count, channels, height, width = x.shape
    kernel = (weight.shape[2], weight.shape[3])
    full = [
        (side - 1) * stride + (taps - 1) * dilation + 1
        for side, stride, taps, dilation in zip((height, width), steps, kernel, spread, strict=True)
    ]
    made = np.zeros((count, weight.shape[1] * parts, *full), np.float32)
    for row, column, window in _windows(made, kernel, steps, spread):
        taps = weight[:, :, row, column].reshape(parts, channels // parts, -1).swapaxes(1, 2)
        columns = x.reshape(count, parts, channels // parts, height * width)
        window += (taps @ columns).reshape(window.shape)
    made = _cut(made, _cuts(pad_type, pad, output_shape, full, (height * steps[0], width * steps[1])))
    return made if bias is None else made + np.reshape(bias, (-1, 1, 1))


def _cuts(
    pad_type: str, pad: Any, output_shape: Any, full: list[int], scaled: tuple[int, int]
) -> list[tuple[int, int]]:
    """How many rows and columns are cut off before and behind; negative ones are added."""
    if pad_type in ("valid", "custom"):
        return _pads(pad_type, pad, (0, 0), (0, 0), (1, 1))
    wanted = scaled if output_shape is None else _ints(np.ravel(output_shape)[-2:], 0)
    extra = [one - side for one, side in zip(full, wanted, strict=True)]
    return [(one // 2, one - one // 2) for one in extra]


def _cut(made: np.ndarray, cuts: list[tuple[int, int]]) -> np.ndarray:
    made = _padded(made, [(max(-before, 0), max(-behind, 0)) for before, behind in cuts])
    (top, bottom), (left, right) = ((max(before, 0), max(behind, 0)) for before, behind in cuts)
    return made[:, :, top : made.shape[2] - bottom, left : made.shape[3] - right]


def max_pool(
    x: np.ndarray, kernel_sizes: Any, pad_type: str, strides: Any = None, pad: Any = None, ceil_mode: Any = False
) -> np.ndarray:
    """The largest value of each window; what is padded never wins."""
    kernel, steps = _ints(kernel_sizes, 1), _ints(strides, 1)
    x = _padded(x, _pool_pads(x, kernel, steps, pad_type, pad, ceil_mode), -np.inf)
    best: Any = None
    for _, _, window in _windows(x, kernel, steps, (1, 1)):
        best = window.copy() if best is None else np.maximum(best, window, out=best)
    return best


def avg_pool(
    x: np.ndarray,
    kernel_sizes: Any,
    pad_type: str,
    strides: Any = None,
    pad: Any = None,
    exclude_padding_from_average: Any = False,
    ceil_mode: Any = False,
) -> np.ndarray:
    """The mean of each window, of its true values only where padding is excluded."""
    kernel, steps = _ints(kernel_sizes, 1), _ints(strides, 1)
    pads = _pool_pads(x, kernel, steps, pad_type, pad, ceil_mode)
    ones = _padded(np.ones((1, 1, *x.shape[2:]), np.float32), pads)
    total = sum(window for _, _, window in _windows(_padded(x, pads), kernel, steps, (1, 1)))
    if not bool(exclude_padding_from_average):
        return total / np.float32(kernel[0] * kernel[1])
    return total / sum(window for _, _, window in _windows(ones, kernel, steps, (1, 1)))


def _pool_pads(
    x: np.ndarray, kernel: tuple[int, int], steps: tuple[int, int], pad_type: str, pad: Any, ceil_mode: Any
) -> list[tuple[int, int]]:
    if bool(ceil_mode):
        raise ValueError("ceil_mode is not known here")
    return _pads(pad_type, [0, 0, 0, 0] if pad is None else pad, x.shape[2:], kernel, steps)


def pad(x: np.ndarray, pad: Any, mode: str = "constant", constant_val: Any = 0.0) -> np.ndarray:
    """The last axes padded, by two numbers each: with a value, by reflection, or with the border's values."""
    pairs = np.ravel(pad).reshape(-1, 2).tolist()
    widths = [(0, 0)] * (x.ndim - len(pairs)) + [(int(before), int(behind)) for before, behind in pairs]
    if mode == "constant":
        return np.pad(x, widths, constant_values=constant_val)
    return np.pad(x, widths, mode={"reflect": "reflect", "replicate": "edge"}[mode])


OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (conv, conv_transpose, max_pool, avg_pool, pad)
}
