"""The layers of a quantization-aware model: fake-quantized activations, folded and fake-quantized convolutions."""

from typing import Any

import keras
import numpy as np
from keras import ops

RANGE_FLOOR = 1e-6
"""Narrowest range, so that a tensor that is always zero still has a scale."""


@keras.saving.register_keras_serializable(package="mobile_seg")
class FakeQuant(keras.layers.Layer):
    """Round a tensor to the grid that an integer tensor of the same range can hold (arXiv:1712.05877, sec. 3).

    The range follows a moving average of each training batch's extremes: `r ← d·r + (1-d)·extreme`. It
    always contains zero. `fixed_range` pins it where the kernel or the input's bytes do. The gradient
    passes unchanged inside the range and is zero outside.

    Args:
        bits: width of the integer.
        decay: `d` above.
        fixed_range: (min, max), or None to observe.
    """

    def __init__(
        self, bits: int = 8, decay: float = 0.99, fixed_range: tuple[float, float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.decay = decay
        self.fixed_range = tuple(fixed_range) if fixed_range else None
        self.observer: Any = None

    def build(self, input_shape: Any) -> None:
        """Create the range's two scalars; they are state, not trained by gradient."""
        low, high = self.fixed_range or (0.0, 1.0)
        make = keras.initializers.Constant
        self.range_min = self.add_weight(shape=(), initializer=make(low), trainable=False, name="range_min")
        self.range_max = self.add_weight(shape=(), initializer=make(high), trainable=False, name="range_max")

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return `x` on the grid, same shape. With an `observer`, show it `x` and return it unchanged."""
        if self.observer is not None:
            self.observer(x)
            return x
        if training and self.fixed_range is None:
            low, high = ops.stop_gradient(ops.min(x)), ops.stop_gradient(ops.max(x))
            self._follow(self.range_min, ops.minimum(low, 0.0))
            self._follow(self.range_max, ops.maximum(high, RANGE_FLOOR))
        return keras.quantizers.fake_quant_with_min_max_vars(
            x, ops.stop_gradient(self.range_min), ops.stop_gradient(self.range_max), num_bits=self.bits
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape; without this Keras would trace the layer to learn it."""
        return input_shape

    def _follow(self, variable: Any, extreme: Any) -> None:
        extreme = ops.cast(extreme, variable.dtype)
        variable.assign(variable * self.decay + extreme * (1.0 - self.decay))

    def set_range(self, low: float, high: float) -> None:
        """Set the range; zero is always inside, and the range is never empty."""
        self.range_min.assign(min(float(low), 0.0))
        self.range_max.assign(max(float(high), RANGE_FLOOR))

    def get_range(self) -> tuple[float, float]:
        """Return (min, max) as it stands."""
        return float(ops.convert_to_numpy(self.range_min)), float(ops.convert_to_numpy(self.range_max))

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        return {**super().get_config(), "bits": self.bits, "decay": self.decay, "fixed_range": self.fixed_range}


def fake_quantize_weights(weights: Any, *, axes: tuple[int, ...], bits: int) -> Any:
    """Round weights to a symmetric narrow grid, one scale per channel, with a straight-through gradient.

    The scale is the largest magnitude over `axes` divided by 2^(bits-1)-1, so nothing is clipped.
    """
    levels = float(2 ** (bits - 1) - 1)
    scale = ops.maximum(ops.max(ops.abs(weights), axis=axes, keepdims=True), RANGE_FLOOR) / levels
    rounded = ops.stop_gradient(ops.round(weights / scale) * scale)
    # The bracket is exactly zero: the value is the grid's, to the last bit, and the gradient that of `weights`.
    return rounded + (weights - ops.stop_gradient(weights))


class _FoldedConvolution:
    """What both convolutions share: the batch normalization folded into kernel and bias.

    Folding uses the moving statistics, frozen at the rewrite; scale and shift go on training.
    """

    _channel_axes: tuple[int, ...]

    def _set_folding(self, bits: int, batch_norm: bool, epsilon: float) -> None:
        self.bits = bits
        self.batch_norm = batch_norm
        self.epsilon = epsilon

    def _build_folding(self: Any, channels: int) -> None:
        if not self.batch_norm:
            return
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")
        self.moving_mean = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape=(channels,), initializer="ones", trainable=False, name="moving_variance"
        )

    def take_weights(self: Any, convolution: Any, batch_norm: Any) -> None:
        """Copy the weights of the float layers this one stands for."""
        self.kernel.assign(convolution.kernel)
        if convolution.use_bias:
            self.bias.assign(convolution.bias)
        if batch_norm is not None:
            if batch_norm.scale:
                self.gamma.assign(batch_norm.gamma)
            if batch_norm.center:
                self.beta.assign(batch_norm.beta)
            self.moving_mean.assign(batch_norm.moving_mean)
            self.moving_variance.assign(batch_norm.moving_variance)

    def folded(self: Any) -> tuple[Any, Any]:
        """Return (kernel, bias) with the normalization folded in; bias is None if there is none."""
        bias = self.bias if self.use_bias else None
        if not self.batch_norm:
            return ops.convert_to_tensor(self.kernel), bias
        factor = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        kernel = self.kernel * ops.reshape(factor, [self.kernel.shape[axis] for axis in self._channel_axes])
        mean = self.moving_mean if bias is None else self.moving_mean - bias
        return kernel, self.beta - mean * factor

    def _quantized(self: Any) -> tuple[Any, Any]:
        kernel, bias = self.folded()
        reduced = tuple(axis for axis in range(4) if axis - 4 not in self._channel_axes)
        return fake_quantize_weights(kernel, axes=reduced, bits=self.bits), bias

    def weight_scales(self: Any, kernel: np.ndarray) -> np.ndarray:
        """The size of one weight step, per output channel `[channels]`, of a folded kernel."""
        reduced = tuple(axis for axis in range(4) if axis - 4 not in self._channel_axes)
        largest = np.maximum(np.abs(kernel).max(axis=reduced), RANGE_FLOOR)
        return largest.reshape(-1) / (2 ** (self.bits - 1) - 1)

    def save_own_variables(self: Any, store: Any) -> None:
        """Save every weight by name; Keras' own Conv2D saves kernel and bias only."""
        for variable in (*self.trainable_variables, *self.non_trainable_variables):
            store[variable.name] = variable

    def load_own_variables(self: Any, store: Any) -> None:
        """Load what `save_own_variables` saved."""
        for variable in (*self.trainable_variables, *self.non_trainable_variables):
            variable.assign(store[variable.name])

    def deploy_weights(self: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (kernel on its integer grid, bias) as float32 arrays: what the artifact holds."""
        kernel, bias = (None if value is None else ops.convert_to_numpy(value) for value in self._quantized())
        channels = int(np.prod([self.kernel.shape[axis] for axis in self._channel_axes]))
        return kernel, np.zeros(channels, np.float32) if bias is None else bias

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        folding = {"bits": self.bits, "batch_norm": self.batch_norm, "epsilon": self.epsilon}
        return {**super().get_config(), **folding}  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantConv2D(_FoldedConvolution, keras.layers.Conv2D):
    """Convolution with folded batch normalization and fake-quantized weights, one scale per filter."""

    _channel_axes = (-1,)

    def __init__(self, *args: Any, bits: int = 8, batch_norm: bool = False, epsilon: float = 1e-3, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._set_folding(bits, batch_norm, epsilon)

    def build(self, input_shape: Any) -> None:
        """Create the convolution's weights and, if folded, the normalization's."""
        super().build(input_shape)
        self._build_folding(self.filters)

    def call(self, x: Any) -> Any:
        """`[N, H, W, C]` → `[N, h, w, filters]`."""
        kernel, bias = self._quantized()
        y = ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        return self.activation(y if bias is None else y + bias)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantDepthwiseConv2D(_FoldedConvolution, keras.layers.DepthwiseConv2D):
    """Depthwise convolution with folded batch normalization and fake-quantized weights, one scale per channel."""

    _channel_axes = (-2, -1)

    def __init__(self, *args: Any, bits: int = 8, batch_norm: bool = False, epsilon: float = 1e-3, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._set_folding(bits, batch_norm, epsilon)

    def build(self, input_shape: Any) -> None:
        """Create the convolution's weights and, if folded, the normalization's."""
        super().build(input_shape)
        self._build_folding(input_shape[-1] * self.depth_multiplier)

    def call(self, x: Any) -> Any:
        """`[N, H, W, C]` → `[N, h, w, C * depth_multiplier]`."""
        kernel, bias = self._quantized()
        y = ops.depthwise_conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        return self.activation(y if bias is None else y + bias)
