"""The arithmetic of TFLite's 8-bit CPU kernels (XNNPACK), in floats and int32, to the bit.

A deep network amplifies a single step that fell to the other side of a tie: a graph that only nearly
computes what its file computes says little about it. What is written here follows XNNPACK's reference
code: fp32 requantization of products, fixed-point sums.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from mobile_seg.layers import Resize

SHARE_BITS = 11
"""Fractional bits of a bilinear weight."""

MANTISSA = 16
"""Bits kept of a step. Times an 8-bit integer it still fits float32's 24: ranges, steps and grids are then exact,
in whatever order anyone computes one from the other."""


BY_STEPS = "by steps"
"""How a layer that can be settled infers: by its steps as they are when it runs; without looking, in `floats` or in
`integers`, which spares computing both and choosing."""


class Integers(NamedTuple):
    """What a settled layer computes with: kernel and bias in steps, and the steps of its sums, float32."""

    kernel: np.ndarray
    bias: np.ndarray
    steps: np.ndarray


def snapped(step: Any) -> np.ndarray:
    """The next larger step of few bits, float32; at most 1 part in 32768 larger, so that nothing is clipped."""
    step = np.asarray(step, np.float64)
    unit = np.exp2(np.floor(np.log2(step)) - (MANTISSA - 1))
    return np.asarray(np.ceil(step / unit) * unit, np.float32)


def snapped_range(low: float, high: float) -> tuple[float, float]:
    """The 8-bit range of a snapped step that holds [low, high], zero on the grid."""
    step = float(snapped((high - low) / 255))
    zero_point = float(np.clip(np.round(-low / step), 0, 255))
    return -zero_point * step, (255.0 - zero_point) * step


def requantized(total: Any, scale: Any, step: Any) -> Any:
    """Accumulators as values on a grid of `step`: one float32 product, ties to even."""
    return ops.round(total * scale) * step


class _Settled:
    """What the elementwise layers share: the steps of inputs and output, zero until `settle` sets them.

    `numbers` makes of the steps what `in_integers` computes with; once held, they are constants.
    """

    computes = BY_STEPS
    held: tuple[Any, ...]

    def build(self: Any, input_shape: Any) -> None:
        """Create the steps `[inputs + 1]`."""
        super().build(input_shape)  # type: ignore[misc]
        count = len(input_shape) if isinstance(input_shape[0], (list, tuple)) else 1
        self.steps = self.add_weight(shape=(count + 1,), initializer="zeros", trainable=False, name="steps")

    def call(self: Any, inputs: Any, training: bool | None = None) -> Any:
        """The float function while training or unsettled; then what the kernel computes."""
        if self.computes == "integers" and not training:
            return self.in_integers(inputs, self.held)
        y = super().call(inputs)  # type: ignore[misc]
        if self.computes == "floats" and not training:
            return y
        if training:
            self.unsettle()
            return y
        steps = ops.convert_to_tensor(self.steps)
        settled = steps[-1] > 0.0
        return ops.where(settled, self.in_integers(inputs, self.numbers(ops.where(settled, steps, 1.0))), y)

    def hold_floats(self: Any) -> None:
        """Compute the float function from now on, until it is trained or settled again."""
        self.computes = "floats"

    def hold_integers(self: Any) -> None:
        """Compute from now on what the kernel does, if it is settled, until it is trained or settled again."""
        steps = ops.convert_to_tensor(self.steps)
        if not float(steps[-1]) > 0.0:
            return
        self.held = tuple(ops.convert_to_numpy(one) for one in self.numbers(steps))
        self.computes = "integers"

    def settle(self: Any, steps: Sequence[float], zero_points: Sequence[int]) -> None:
        """Compute as the kernel does from now on: between tensors of these steps and zero points, the output last."""
        self.steps.assign(steps)

    def unsettle(self: Any) -> None:
        """Compute in floats again."""
        self.computes = BY_STEPS
        self.steps.assign(ops.zeros(self.steps.shape))

    def save_own_variables(self: Any, store: Any) -> None:
        """Save the steps."""
        store["steps"] = self.steps

    def load_own_variables(self: Any, store: Any) -> None:
        """Load the steps."""
        self.steps.assign(store["steps"])


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantAdd(_Settled, keras.layers.Add):
    """Sum of two tensors."""

    sign = 1

    def numbers(self, steps: Any) -> tuple[Any, ...]:
        """The three steps, multipliers of 21 bits for the larger input, half of what is shifted out, and the shift."""
        factors = [steps[0] / steps[2], steps[1] / steps[2]]
        largest = ops.maximum(*factors)
        shift = 20 - ops.cast(ops.floor(ops.log2(largest) + 1e-7), "int32")
        one = ops.ones_like(shift)
        unit = ops.cast(ops.left_shift(one, shift), "float32")
        first, second = (ops.cast(ops.round(factor * unit), "int32") for factor in factors)
        return steps[0], steps[1], steps[2], first, self.sign * second, ops.left_shift(one, shift - 1), shift

    def in_integers(self, inputs: Any, numbers: Any) -> Any:
        """Fixed point, one rounding shift (XNNPACK qs8-vadd)."""
        *own, step, first, second, half, shift = numbers
        left, right = (ops.cast(ops.round(x / one), "int32") for x, one in zip(inputs, own, strict=True))
        total = ops.right_shift(left * first + right * second + half, shift)
        return ops.cast(total, "float32") * step


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantSubtract(QuantAdd, keras.layers.Subtract):
    """Difference of two tensors: a sum with the second multiplier negative."""

    sign = -1

    def _merge_function(self, inputs: Any) -> Any:
        return ops.subtract(*inputs)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantMultiply(_Settled, keras.layers.Multiply):
    """Product of two tensors."""

    def numbers(self, steps: Any) -> tuple[Any, ...]:
        """The three steps, and the product's in steps of the output."""
        return steps[0], steps[1], steps[2], steps[0] * steps[1] / steps[2]

    def in_integers(self, inputs: Any, numbers: Any) -> Any:
        """One integer product, requantized."""
        first, second, step, factor = numbers
        return requantized(ops.round(inputs[0] / first) * ops.round(inputs[1] / second), factor, step)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantConcatenate(_Settled, keras.layers.Concatenate):
    """Tensors side by side: one with a range of its own, since others read it too, is moved to the joined grid."""

    def numbers(self, steps: Any) -> tuple[Any, ...]:
        """Of each input, whether it moves (step zero: it is there), its step and its multiplier; the output's step."""
        moves, joined = steps[:-1] > 0.0, steps[-1]
        own = ops.where(moves, steps[:-1], joined)
        return moves, own, ops.round(256.0 * own / joined), joined

    def in_integers(self, inputs: Any, numbers: Any) -> Any:
        """A multiplier of 8 fractional bits, halves up (XNNPACK qs8-vcvt)."""
        moves, own, multipliers, joined = numbers
        moved = []
        for index, x in enumerate(inputs):
            integers = ops.floor((ops.round(x / own[index]) * multipliers[index] + 128.0) / 256.0)
            moved.append(ops.where(moves[index], integers * joined, x))
        return ops.concatenate(moved, axis=self.axis)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantResize(_Settled, Resize):
    """Bilinear resizing, which keeps its input's range."""

    def numbers(self, steps: Any) -> tuple[Any, ...]:
        """The input's step, which is the output's."""
        return (steps[0],)

    def in_integers(self, x: Any, numbers: Any) -> Any:
        """Weights of 11 fractional bits, columns then rows, halves up (XNNPACK s8-ibilinear)."""
        (step,) = numbers
        integers = ops.cast(ops.round(x / step), "int32")
        rows, columns = (neighbours(before, after) for before, after in zip(x.shape[1:3], self.size, strict=True))
        upper, lower = (_mixed(ops.take(integers, one, axis=1), columns, axis=2) for one in rows[:2])
        share = rows[2].reshape(-1, 1, 1)
        total = upper * 2**SHARE_BITS + (lower - upper) * share
        rounded = ops.right_shift(total + 2 ** (2 * SHARE_BITS - 1), 2 * SHARE_BITS)
        return ops.cast(rounded, "float32") * step


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantMean(_Settled, keras.layers.GlobalAveragePooling2D):
    """Mean over an image. Its kernel adds the output's zero point before it rounds: a tie falls by that number, too."""

    def build(self, input_shape: Any) -> None:
        """Create the numbers `[4]`: the input's step and zero point, the output's zero point and step."""
        keras.layers.GlobalAveragePooling2D.build(self, input_shape)
        self.pixels = float((input_shape[1] or 0) * (input_shape[2] or 0))
        self.steps = self.add_weight(shape=(4,), initializer="zeros", trainable=False, name="steps")

    def settle(self, steps: Sequence[float], zero_points: Sequence[int]) -> None:
        """See `_Settled`; the file's integers are signed. Without a known size it goes on in floats."""
        before, after = (float(point - 128) for point in zero_points)
        if self.pixels:
            self.steps.assign([steps[0], before, after, steps[1]])

    def numbers(self, steps: Any) -> tuple[Any, ...]:
        """The input's step, its zero point as often as there are pixels, factor and offset of the sum, the output's."""
        before, zero_point, after, step = (steps[index] for index in range(4))
        factor = before / self.pixels / step
        zeros = zero_point * self.pixels
        return before, zeros, factor, after - zeros * factor, after, step

    def in_integers(self, x: Any, numbers: Any) -> Any:
        """The sum of the file's integers, scaled and moved in float32, ties to even (XNNPACK, qs32 to qs8)."""
        before, zeros, factor, offset, after, step = numbers
        total = ops.sum(ops.cast(ops.round(x / before), "int32"), axis=(1, 2), keepdims=self.keepdims)
        total = ops.cast(total + ops.cast(zeros, "int32"), "float32")
        return (ops.round(total * factor + offset) - after) * step


def neighbours(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each position along a resized side: the two old ones that it lies between, and the second's share in 1/2048.

    Half-pixel centres, in the kernel's float32.
    """
    scale = np.float32(before) / np.float32(after)
    place = np.arange(after, dtype=np.float32) * scale + (np.float32(0.5) * scale - np.float32(0.5))
    place = np.clip(place, np.float32(0), np.float32(before - 1))
    first = place.astype(np.int32)
    share = np.rint((place - first) * np.float32(2**SHARE_BITS)).astype(np.int32)
    return first, np.minimum(first + 1, before - 1), share


def _mixed(x: Any, columns: tuple[np.ndarray, np.ndarray, np.ndarray], *, axis: int) -> Any:
    left, right = (ops.take(x, one, axis=axis) for one in columns[:2])
    return left * 2**SHARE_BITS + (right - left) * columns[2].reshape(-1, 1)


TWINS: dict[type, Any] = {
    keras.layers.Add: QuantAdd,
    keras.layers.Subtract: QuantSubtract,
    keras.layers.Multiply: QuantMultiply,
    keras.layers.Concatenate: QuantConcatenate,
    keras.layers.GlobalAveragePooling2D: QuantMean,
    Resize: QuantResize,
}
"""The layers that integer kernels compute otherwise than floats, and their twins; of Resize, only the bilinear."""
