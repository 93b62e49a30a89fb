"""Quantization-aware linear layers: weights on their grid, batch normalization folded in."""

from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.quantization.arithmetic import BY_STEPS, Integers, requantized, snapped
from mobile_seg.quantization.fake_quant import RANGE_FLOOR

LEVELS = 127.0
"""Largest magnitude of a narrow 8-bit weight."""

ACCUMULATOR = 2.0**23
"""Largest bias in accumulator steps: the sum still counts exactly in float32."""

SETTLED = 0.01
"""Nearer to its grid, in steps, a bias is left alone: what float32 cannot hold moves no integer."""

NORMALIZATION = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}
"""The folded normalization's variables, and what they start from."""

QUANTIZATION: dict[str, Any] = {
    "weights": "int8",
    "batch_norm": False,
    "epsilon": 1e-3,
    "momentum": 0.99,
    "batch_statistics": False,
    "baked": False,
}
"""What a quantization-aware layer is configured with beyond its Keras layer, and the defaults."""


class QuantLinear:
    """What the quantization-aware linear layers share; mixed in before the Keras layer.

    Weights lie on the grid `weights` (see `scheme.WEIGHTS`). With `batch_norm`, scale and shift go on
    training. While `batch_statistics` is true, training normalizes by each batch's own statistics, taken of
    the quantized convolution's output, and updates the moving ones; afterwards, and for inference, the
    moving ones are folded into kernel and bias (arXiv:1806.08342, sec. 3.2.2).

    Once `settle` has told it the steps of input and output, inference computes what the integer kernel
    computes, to the bit; while training moves the ranges, `output_step` is 0 and it computes in floats.

    A `baked` layer is what is converted: a bias of its own and the weights' limits as constants, so that
    the converter finds the grid in the graph.
    """

    integers: Integers
    floats: tuple[np.ndarray, np.ndarray | None]
    channel_axes: tuple[int, ...]
    activation: Any
    computes = BY_STEPS

    def set_quantization(
        self, *, weights: str, batch_norm: bool, epsilon: float, momentum: float, batch_statistics: bool, baked: bool
    ) -> None:
        """Keep the configuration; called by the constructors."""
        self.weights_grid, self.batch_norm, self.epsilon, self.momentum = weights, batch_norm, epsilon, momentum
        self.batch_statistics, self.baked = batch_statistics, baked
        self.enabled = True

    def build_quantization(self: Any) -> None:
        """Create the normalization's variables, or the limits of a baked layer's weights."""
        channels = int(np.prod([self.kernel.shape[axis] for axis in self.channel_axes]))
        if self.batch_norm:
            for name, initial in NORMALIZATION.items():
                trained, given = not name.startswith("moving"), {"shape": (channels,), "initializer": initial}
                setattr(self, name, self.add_weight(**given, trainable=trained, name=name))
        if not self.weights_grid.startswith("int8"):
            return
        shape = () if self.weights_grid == "int8-per-tensor" else (channels,)
        shapes = {"weight_min": shape, "weight_max": shape}
        if not self.baked:
            shapes = {"input_step": (), "weight_step": shape, "output_step": ()}
        for name, one in shapes.items():
            setattr(self, name, self.add_weight(shape=one, initializer="zeros", trainable=False, name=name))

    def take_weights(self: Any, layer: Any, batch_norm: Any) -> None:
        """Copy the weights of the float layers this one stands for."""
        self.kernel.assign(layer.kernel)
        if layer.use_bias:
            self.bias.assign(layer.bias)
        if batch_norm is not None:
            absent = {"gamma": not batch_norm.scale, "beta": not batch_norm.center}
            for name in NORMALIZATION:
                if not absent.get(name, False):
                    getattr(self, name).assign(getattr(batch_norm, name))

    def call(self: Any, x: Any, training: bool | None = None) -> Any:
        """The layer's function of `x`, on quantized weights."""
        if training:
            self.unsettle()
        if training and self.batch_norm and self.batch_statistics:
            return self.activation(self._normalized_by_batch(x))
        if self.computes == "integers" and not training:
            total = self.linear(ops.round(x / self.input_step), ops.convert_to_tensor(self.integers.kernel))
            # By a variable: TensorFlow would move a constant factor into the kernel, and sum floats.
            factor = ops.divide(self.integers.steps, self.output_step)
            return self.activation(requantized(total + self.integers.bias, factor, self.output_step))
        if self.computes == "floats" and not training:
            rounded, bias = ops.convert_to_tensor(self.floats[0]), self.floats[1]
        else:
            kernel, bias = self.folded()
            if self.has_steps and self.enabled and not training:
                return self.activation(self._in_integers(x, kernel, bias))
            rounded = self._on_grid(kernel)
        y = self.linear(x, rounded)
        return self.activation(y if bias is None else y + bias)

    @property
    def has_steps(self: Any) -> bool:
        """Whether this layer computes with integers once it is settled."""
        return self.weights_grid.startswith("int8") and not self.baked

    def _in_integers(self: Any, x: Any, kernel: Any, bias: Any) -> Any:
        """What the kernel computes: sums of integers, exact in floats below 2^24 in any order, requantized.

        Unsettled, only the weights are integers and nothing is rounded behind them.
        """
        settled = self.output_step > 0.0
        step = self._per_channel(self.weight_step)
        step = ops.where(step > 0.0, step, self._step(kernel))
        # Tensors, not variables: JAX chooses between nothing else.
        unit, out = (ops.where(settled, ops.convert_to_tensor(one), 1.0) for one in (self.input_step, self.output_step))
        total = self.linear(ops.where(settled, ops.round(x / unit), x), ops.round(kernel / step))
        product = unit * ops.reshape(step, (-1,))
        if bias is not None:
            bias = bias / product
            total = total + ops.where(settled, ops.round(bias), bias)
        return ops.where(settled, requantized(total, product / out, out), total * product)

    def hold_floats(self: Any) -> None:
        """Compute from now on in floats, rounded weights as constants, until it is trained or settled again."""
        kernel, bias = self.quantized()
        self.floats = ops.convert_to_numpy(kernel), None if bias is None else ops.convert_to_numpy(bias)
        self.computes = "floats"

    def hold_integers(self: Any) -> None:
        """Compute from now on with constants, of integers where it is settled, until it is trained or settled again."""
        if not (self.has_steps and float(self.output_step) > 0.0):
            return
        kernel, bias = (None if one is None else ops.convert_to_numpy(one) for one in self.folded())
        step = ops.convert_to_numpy(self._per_channel(self.weight_step))
        product = np.float32(self.input_step) * step.reshape(-1)
        bias_steps = np.float32(0) if bias is None else np.round(bias / product)
        self.integers = Integers(np.round(kernel / step), bias_steps, product)
        self.computes = "integers"

    def folded(self: Any) -> tuple[Any, Any]:
        """Return (kernel, bias) with the normalization folded in, not rounded; bias is None if there is none."""
        bias = self.bias if self.use_bias else None
        if not self.batch_norm:
            return ops.convert_to_tensor(self.kernel), bias
        factor = self._factor()
        mean = self.moving_mean if bias is None else self.moving_mean - bias
        return self.kernel * self._per_channel(factor), self.beta - mean * factor

    def quantized(self: Any) -> tuple[Any, Any]:
        """Return (kernel on its grid, bias)."""
        kernel, bias = self.folded()
        return self._on_grid(kernel), bias

    def weight_steps(self: Any, input_step: float | None = None) -> np.ndarray:
        """The size of one weight step: `[channels]`, or one for all; what the artifact holds.

        For an input of 8 bits, large enough for the bias to fit its accumulator; a channel whose weights are
        next to nothing beside its bias loses nothing by it.
        """
        kernel, bias = self.folded()
        steps = ops.convert_to_numpy(self._step(kernel)).reshape(self.weight_step.shape)
        if input_step is not None and bias is not None:
            least = np.abs(ops.convert_to_numpy(bias)) / (input_step * ACCUMULATOR)
            steps = np.maximum(steps, least if steps.shape else least.max())
        return snapped(steps)

    def settle(self: Any, input_step: float | None, output_step: float | None) -> bool:
        """Fix the weights' steps, and put the bias on the accumulator's grid if the input has a step.

        With an output step, compute as the kernel does from now on. Returns whether a bias was rounded.
        """
        self.computes = BY_STEPS
        self.weight_step.assign(steps := self.weight_steps(input_step if output_step else None))
        self.input_step.assign(input_step or 0.0)
        self.output_step.assign(output_step or 0.0)
        if input_step is None or not (self.batch_norm or self.use_bias):
            return False
        bias = ops.convert_to_numpy(self.folded()[1]).astype(np.float64)
        grid = np.float64(np.float32(input_step)) * steps
        target = self.beta if self.batch_norm else self.bias
        move = np.round(bias / grid) * grid - bias
        move[np.abs(move) < SETTLED * grid] = 0.0
        target.assign(ops.convert_to_numpy(target) + move.astype(np.float32))
        return True

    def unsettle(self: Any) -> None:
        """Compute in floats again, on weights as they stand."""
        self.computes = BY_STEPS
        if self.has_steps:
            self.output_step.assign(0.0)
            self.weight_step.assign(ops.zeros(self.weight_step.shape))

    def bake(self: Any, source: Any) -> None:
        """Take the weights of `source`, folded and on their grid."""
        folded, bias = source.folded()
        kernel = ops.convert_to_numpy(folded)
        if self.weights_grid.startswith("int8"):
            settled = ops.convert_to_numpy(source.weight_step)
            steps = settled if settled.all() else source.weight_steps()
            step = ops.convert_to_numpy(source._per_channel(steps))
            kernel = np.round(kernel / step) * step
            self.weight_max.assign(np.float32(LEVELS) * steps)
            self.weight_min.assign(np.float32(-LEVELS) * steps)
        self.kernel.assign(kernel)
        self.bias.assign(np.zeros(self.bias.shape, np.float32) if bias is None else ops.convert_to_numpy(bias))

    def tell_apart(self: Any, number: int) -> None:
        """Move a baked kernel by less than rounding to its grid undoes, a little more for each number."""
        if self.weights_grid.startswith("int8"):
            step = ops.convert_to_numpy(self._per_channel(self.weight_max)) / LEVELS
            self.kernel.assign(ops.convert_to_numpy(self.kernel) + step * (number % 1024 / 4096))

    def _normalized_by_batch(self: Any, x: Any) -> Any:
        factor = self._factor()
        # A channel whose scale is zero gives zero whatever its statistics; it must not divide by it.
        safe = ops.where(ops.abs(factor) < RANGE_FLOOR, RANGE_FLOOR, factor)
        spread = self._per_channel(ops.stop_gradient(safe))
        y = self.linear(x, self._on_grid(self.kernel * spread) / spread)
        if self.use_bias:
            y = y + self.bias
        mean, variance = ops.moments(y, axes=tuple(range(len(y.shape) - 1)))
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.stop_gradient(batch) * (1.0 - self.momentum))
        return ops.batch_normalization(
            y, mean, variance, axis=-1, offset=self.beta, scale=self.gamma, epsilon=self.epsilon
        )

    def _factor(self: Any) -> Any:
        return self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)

    def _per_channel(self: Any, values: Any) -> Any:
        """Values per output channel, or one for all, in a shape that multiplies the kernel."""
        shape = [1] * len(self.kernel.shape)
        if not len(values.shape):
            return ops.reshape(values, shape)
        for axis in self.channel_axes:
            shape[axis] = self.kernel.shape[axis]
        return ops.reshape(values, shape)

    def _step(self: Any, kernel: Any) -> Any:
        """The size of one step, in a shape that divides the kernel: nothing is clipped."""
        rank = len(kernel.shape)
        kept = () if self.weights_grid == "int8-per-tensor" else self.channel_axes
        axes = tuple(axis for axis in range(rank) if axis - rank not in kept)
        return ops.maximum(ops.max(ops.abs(kernel), axis=axes, keepdims=True), RANGE_FLOOR) / LEVELS

    def _on_grid(self: Any, kernel: Any) -> Any:
        """Round weights to their grid with a straight-through gradient."""
        if not self.enabled or self.weights_grid == "float32":
            return kernel
        if self.baked and self.weights_grid.startswith("int8"):
            return self._baked(kernel)
        if self.weights_grid == "float16":
            rounded = ops.cast(ops.cast(kernel, "float16"), "float32")
        else:
            step = self._step(kernel)
            rounded = ops.round(kernel / step) * step
        # The bracket is exactly zero: the value is the grid's, to the last bit, and the gradient that of `kernel`.
        return ops.stop_gradient(rounded) + (kernel - ops.stop_gradient(kernel))

    def _baked(self: Any, kernel: Any) -> Any:
        """The kernel through fake quantization, which the converter reads; both channel axes as one, the last."""
        if self.weights_grid == "int8-per-tensor":
            return _narrow(kernel, self.weight_min, self.weight_max, axis=None)
        if len(self.channel_axes) == 1:
            return _narrow(kernel, self.weight_min, self.weight_max, axis=self.channel_axes[0])
        flat = ops.reshape(kernel, (*kernel.shape[:-2], -1))
        return ops.reshape(_narrow(flat, self.weight_min, self.weight_max, axis=-1), kernel.shape)

    def save_own_variables(self: Any, store: Any) -> None:
        """Save every weight by name; Keras' own layers save kernel and bias only."""
        for variable in (*self.trainable_variables, *self.non_trainable_variables):
            store[variable.name] = variable

    def load_own_variables(self: Any, store: Any) -> None:
        """Load what `save_own_variables` saved."""
        for variable in (*self.trainable_variables, *self.non_trainable_variables):
            variable.assign(store[variable.name])

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        own = {name: getattr(self, name) for name in QUANTIZATION if name != "weights"}
        return {**super().get_config(), **own, "weights": self.weights_grid}  # type: ignore[misc]


def _narrow(kernel: Any, low: Any, high: Any, *, axis: int | None) -> Any:
    return keras.quantizers.fake_quant_with_min_max_vars(kernel, low, high, narrow_range=True, axis=axis)
