"""LiteRT's int8 hard-swish, value by value: the kernel works in 16-bit fixed point, not as floats would round."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.quantization.fake_quant import FakeQuant

_LOW, _HIGH = -(2**15), 2**15 - 1


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantHardSwish(keras.layers.Activation):
    """`x * relu6(x + 3) / 6`; once `settle` has written its table, what the kernel gives for each of 256 inputs."""

    def build(self, input_shape: Any) -> None:
        """Create the table `[256]`, the input's step (zero while unsettled) and its zero point."""
        super().build(input_shape)
        for name, shape in (("table", (256,)), ("input_step", ()), ("zero_point", ())):
            setattr(self, name, self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The float function while training or unsettled; then the kernel's answers."""
        y = super().call(x)
        if training:
            self.unsettle()
            return y
        settled = self.input_step > 0.0
        unit = ops.where(settled, ops.convert_to_tensor(self.input_step), 1.0)
        place = ops.cast(ops.clip(ops.round(x / unit) + self.zero_point, 0.0, 255.0), "int32")
        return ops.where(settled, ops.take(ops.convert_to_tensor(self.table), place, axis=0), y)

    def settle(self, source: FakeQuant, output: FakeQuant) -> None:
        """Write the table for these two grids."""
        self.input_step.assign(source.step)
        self.zero_point.assign(source.zero_point)
        self.table.assign(kernel_table(source.step, source.zero_point, output.step, output.zero_point))

    def unsettle(self) -> None:
        """Compute in floats again."""
        self.input_step.assign(0.0)

    def save_own_variables(self, store: Any) -> None:
        """Save the table."""
        for variable in self.non_trainable_variables:
            store[variable.name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Load the table."""
        for variable in self.non_trainable_variables:
            variable.assign(store[variable.name])


def kernel_table(step: float, zero_point: int, output_step: float, output_zero_point: int) -> np.ndarray:
    """What the kernel gives for each byte, in real units `[256]` (tensorflow/lite reference_ops/hard_swish.h).

    Steps and zero points (0..255) are those of input and output.
    """
    hires_step = np.float32(1 / 128) * np.float32(step)
    output_factor, output_exponent = _multiplier(float(hires_step / np.float32(output_step)))
    relu_factor, relu_exponent = _multiplier(float(hires_step / np.float32(3.0 / 32768.0)))
    hires = (np.arange(256, dtype=np.int64) - zero_point) * 128
    preshift = _high_product(hires, output_factor)
    relu = _saturated(hires << max(relu_exponent - 1, 0))
    relu = _high_product(relu, relu_factor)
    if relu_exponent > 0:
        relu = _saturated(relu << 1)
    elif relu_exponent < 0:
        relu = _rounding_shift(relu, -relu_exponent)
    relu = (relu + (1 << 15)) >> 1
    made = _rounding_shift(_high_product(relu, preshift, rounded=False), -output_exponent) + output_zero_point
    return np.asarray((np.clip(made, 0, 255) - output_zero_point) * np.float32(output_step), np.float32)


def _multiplier(value: float) -> tuple[int, int]:
    """A factor as 16-bit fixed point times a power of two."""
    mantissa, exponent = math.frexp(value)
    fixed = math.floor(mantissa * 2**31 + 0.5)
    if fixed == 2**31:
        fixed, exponent = fixed // 2, exponent + 1
    return min((fixed + (1 << 15)) >> 16, _HIGH), exponent


def _high_product(a: Any, b: Any, *, rounded: bool = True) -> Any:
    """The upper half of twice a product of 16-bit numbers: ties up, or, not rounded, cut towards zero."""
    product = a * b
    if rounded:
        return _saturated((product + (1 << 14)) >> 15)
    return _saturated(np.where(product >= 0, product >> 15, -(-product >> 15)))


def _saturated(value: Any) -> Any:
    return np.clip(value, _LOW, _HIGH)


def _rounding_shift(value: Any, exponent: int) -> Any:
    """Division by a power of two, ties away from zero; a negative exponent multiplies."""
    if exponent <= 0:
        return value << -exponent
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (value < 0)
    return (value >> exponent) + ((value & mask) > threshold)
