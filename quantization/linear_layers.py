"""The quantization-aware twins of Keras' linear layers; what they share is `linear`."""

from typing import Any

import keras
from keras import ops

from mobile_seg.quantization.linear import QUANTIZATION, QuantLinear


def _constructor(self: Any, kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    own = {name: kwargs.pop(name, default) for name, default in QUANTIZATION.items()}
    kind.__init__(self, *args, **kwargs)
    self.set_quantization(**own)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantConv2D(QuantLinear, keras.layers.Conv2D):
    """Convolution, one weight scale per filter."""

    channel_axes = (-1,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _constructor(self, keras.layers.Conv2D, args, kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and the quantization's."""
        super().build(input_shape)
        self.build_quantization()

    def linear(self, x: Any, kernel: Any) -> Any:
        """`[N, H, W, C]` → `[N, h, w, filters]`."""
        return ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantDepthwiseConv2D(QuantLinear, keras.layers.DepthwiseConv2D):
    """Depthwise convolution, one weight scale per output channel."""

    channel_axes = (-2, -1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _constructor(self, keras.layers.DepthwiseConv2D, args, kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and the quantization's."""
        super().build(input_shape)
        self.build_quantization()

    def linear(self, x: Any, kernel: Any) -> Any:
        """`[N, H, W, C]` → `[N, h, w, C * depth_multiplier]`."""
        return ops.depthwise_conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantConv2DTranspose(QuantLinear, keras.layers.Conv2DTranspose):
    """Transposed convolution, one weight scale per filter."""

    channel_axes = (-2,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _constructor(self, keras.layers.Conv2DTranspose, args, kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and the quantization's."""
        super().build(input_shape)
        self.build_quantization()

    def linear(self, x: Any, kernel: Any) -> Any:
        """`[N, h, w, C]` → `[N, H, W, filters]`."""
        return ops.conv_transpose(
            x, kernel, list(self.strides), self.padding, self.output_padding, self.data_format, self.dilation_rate
        )


@keras.saving.register_keras_serializable(package="mobile_seg")
class QuantDense(QuantLinear, keras.layers.Dense):
    """Fully connected layer, one weight scale per unit."""

    channel_axes = (-1,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _constructor(self, keras.layers.Dense, args, kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the layer's weights and the quantization's."""
        super().build(input_shape)
        self.build_quantization()

    def linear(self, x: Any, kernel: Any) -> Any:
        """`[N, ..., C]` → `[N, ..., units]`."""
        return ops.matmul(x, kernel)


TWINS: dict[type, Any] = {
    keras.layers.Conv2D: QuantConv2D,
    keras.layers.DepthwiseConv2D: QuantDepthwiseConv2D,
    keras.layers.Conv2DTranspose: QuantConv2DTranspose,
    keras.layers.Dense: QuantDense,
}
"""The quantization-aware layer of each linear Keras layer."""
