"""Fake-quantized activations: a tensor rounded to the grid that an integer tensor of the same range can hold."""

from typing import Any

import keras
from keras import ops

RANGE_FLOOR = 1e-6
"""Narrowest range, so that a tensor that is always zero still has a scale."""

WIDE_FLOOR = 1.28e-4
"""The same for 16 bits, whose steps are as much smaller: kernels count a ReLU6's 6 in steps, in 32 bits."""

RANGES = ("average", "learned")


@keras.saving.register_keras_serializable(package="mobile_seg")
class FakeQuant(keras.layers.Layer):
    """Round a tensor to the grid of an integer tensor (arXiv:1712.05877, sec. 3).

    8 bits: asymmetric. 16 bits: symmetric with zero point 0, as TFLite's 16x8 kernels demand. The range
    always contains zero. `average` ranges follow each training batch's extremes, `r ← d·r + (1-d)·extreme`;
    `learned` ones are trained by gradient, through the rounding too as LSQ+ does (arXiv:2004.09576), from
    where calibration put them. The gradient passes unchanged inside the range and is zero outside.

    Args:
        bits: width of the integer.
        decay: `d` above.
        ranges: `average` or `learned`.
        fixed_range: (min, max) where the kernel or the input's bytes pin it, or None.
        follows: name of the quantizer whose grid this one rounds to again (see `settle`), or None.
        ties: where inference rounds what lies half-way: `up`, or `away` from the signed integer 0, as
            average pooling's kernel does.
    """

    def __init__(
        self,
        bits: int = 8,
        decay: float = 0.99,
        ranges: str = "average",
        fixed_range: tuple[float, float] | None = None,
        follows: str | None = None,
        ties: str = "up",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits, self.decay, self.ranges, self.follows = bits, decay, ranges, follows
        self.fixed_range, self.ties = tuple(fixed_range) if fixed_range else None, ties
        self.observer: Any = None
        self.enabled = True

    @property
    def observes(self) -> bool:
        """Whether its range is found from data."""
        return self.fixed_range is None and self.follows is None

    def build(self, input_shape: Any) -> None:
        """Create the range's two scalars."""
        low, high = self.fixed_range or (0.0, 1.0)
        trained = self.observes and self.ranges == "learned"
        for name, value, bound in (("range_min", low, _below_zero), ("range_max", high, _above_zero)):
            constant, constraint = keras.initializers.Constant(value), bound if trained else None
            made = self.add_weight(shape=(), initializer=constant, trainable=trained, constraint=constraint, name=name)
            setattr(self, name, made)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return `x` on the grid, same shape. With an `observer`, show it `x` and return it unchanged."""
        if self.observer is not None:
            self.observer(x)
        if self.observer is not None or not self.enabled:
            return x
        if training and self.observes:
            if self.ranges == "learned":
                return self._with_learned_range(x)
            self._follow(self.range_min, ops.minimum(ops.stop_gradient(ops.min(x)), 0.0))
            self._follow(self.range_max, ops.maximum(ops.stop_gradient(ops.max(x)), RANGE_FLOOR))
        low, high = self._limits()
        if self.ties == "away" and not training:
            x = _ties_away(x, low, (high - low) / (2**self.bits - 1), 2 ** (self.bits - 1))
        return keras.quantizers.fake_quant_with_min_max_vars(
            x, ops.stop_gradient(low), ops.stop_gradient(high), num_bits=self.bits, narrow_range=self.bits == 16
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape; without this Keras would trace the layer to learn it."""
        return input_shape

    def _limits(self) -> tuple[Any, Any]:
        """The range as the grid has it."""
        low, high = ops.convert_to_tensor(self.range_min), ops.convert_to_tensor(self.range_max)
        if self.bits == 16:
            high = ops.maximum(ops.maximum(high, -low), WIDE_FLOOR)
            low = -high
        return low, high

    def _with_learned_range(self, x: Any) -> Any:
        """The same grid, written so that the gradient reaches the range's ends (PACT, arXiv:1805.06085, sec. 3).

        An end acts on what it clips as a bias does, and learns at a bias's rate. LSQ's factor for the step
        size (arXiv:1902.08153, sec. 2.2) is not for ends: by it they stand still, or, carried over to
        them, are thrown about. An end on a side where nothing lies, as below a ReLU, gets no gradient:
        zero serves it already.
        """
        levels = 2**self.bits - (2 if self.bits == 16 else 1)
        low, high = self._limits()
        if self.bits != 16:
            low = ops.where(ops.min(x) < 0.0, low, ops.stop_gradient(low))
            high = ops.where(ops.max(x) > 0.0, high, ops.stop_gradient(high))
        scale = (high - low) / levels
        zero = _round(-low / scale)
        return (ops.clip(_round(x / scale) + zero, 0.0, float(levels)) - zero) * scale

    def _follow(self, variable: Any, extreme: Any) -> None:
        extreme = ops.cast(extreme, variable.dtype)
        variable.assign(variable * self.decay + extreme * (1.0 - self.decay))

    def set_range(self, low: float, high: float) -> None:
        """Set the range; zero is always inside, and the range is never empty."""
        self.range_min.assign(min(float(low), 0.0))
        self.range_max.assign(max(float(high), RANGE_FLOOR))

    def get_range(self) -> tuple[float, float]:
        """Return (min, max) of the grid as it stands."""
        low, high = self._limits()
        return float(ops.convert_to_numpy(low)), float(ops.convert_to_numpy(high))

    @property
    def step(self) -> float:
        """The size of one step."""
        low, high = self.get_range()
        return (high - low) / (2**self.bits - (2 if self.bits == 16 else 1))

    @property
    def zero_point(self) -> int:
        """Which of the integers from 0 up stands for zero."""
        return round(-self.get_range()[0] / self.step)

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        own = {name: getattr(self, name) for name in ("bits", "decay", "ranges", "fixed_range", "follows", "ties")}
        return {**super().get_config(), **own}


def _below_zero(low: Any) -> Any:
    return ops.minimum(low, 0.0)


def _above_zero(high: Any) -> Any:
    return ops.maximum(high, RANGE_FLOOR)


def _ties_away(x: Any, low: Any, step: Any, middle: int) -> Any:
    """`x` on its grid, ties away from the integer that is 0 in signed form."""
    signed = (x - low) / step - middle
    # An average of integers is no nearer to a tie than this unless it is one.
    away = ops.sign(signed) * ops.floor(ops.abs(signed) + 0.5 + 1e-3)
    return (away + middle) * step + low


def _round(value: Any) -> Any:
    """Round half up, as the fake-quantization kernel does, with a gradient of one."""
    return value + ops.stop_gradient(ops.floor(value + 0.5) - value)
