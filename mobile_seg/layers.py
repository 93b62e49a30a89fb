"""Layers that Keras lacks and our networks need; built from portable operations, on any backend."""

from typing import Any

import keras
from keras import ops

from mobile_seg.errors import UsageError, choose

FUSION_EPSILON = 1e-4
"""Keeps the division safe when every weight is zero (EfficientDet, arXiv:1911.09070, sec. 3.3)."""


@keras.saving.register_keras_serializable(package="mobile_seg")
class WeightedSum(keras.layers.Layer):
    """Sum of n >= 2 tensors of one shape, each times a learned share (fast normalized fusion, arXiv:1911.09070, 3.3).

    `sum(relu(w_i) * x_i) / (sum(relu(w)) + 1e-4)`, one scalar `w_i` per input, all starting at one.
    """

    def build(self, input_shape: Any) -> None:
        """Create the scalars `[n]`.

        Raises:
            UsageError: if the layer is not given a list of at least two tensors of one shape.
        """
        shapes = [tuple(shape) for shape in input_shape] if isinstance(input_shape[0], (tuple, list)) else []
        if len(shapes) < 2 or len(set(shapes)) != 1:
            raise UsageError(f"{self.name} sums a list of two or more tensors of one shape; it got {input_shape}.")
        self.fusion = self.add_weight(shape=(len(shapes),), initializer="ones", name="fusion")

    def normalized(self) -> Any:
        """Return what each input counts for, `[n]`: never negative, summing to one but for the epsilon."""
        positive = ops.relu(self.fusion)
        return positive / (ops.sum(positive) + FUSION_EPSILON)

    def call(self, inputs: Any) -> Any:
        """Return the weighted sum, in the inputs' shape."""
        shares = ops.cast(self.normalized(), inputs[0].dtype)
        total = inputs[0] * shares[0]
        for index, tensor in enumerate(inputs[1:], 1):
            total = total + tensor * shares[index]
        return total

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One input's shape."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="mobile_seg")
class SpaceToDepth(keras.layers.Layer):
    """Move b x b blocks of pixels into channels: `[N, H, W, C]` → `[N, H/b, W/b, C·b²]`.

    Channels are ordered as TFLite's SPACE_TO_DEPTH orders them: row in the block, column in the block, channel.

    Args:
        block_size: b, at least 2.
    """

    def __init__(self, block_size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if block_size < 2:
            raise UsageError(f"block_size={block_size}: a block has at least 2 rows and columns.")
        self.block_size = block_size

    def build(self, input_shape: Any) -> None:
        """Check the size; there are no weights.

        Raises:
            UsageError: if height or width is unknown or no multiple of the block.
        """
        height, width = input_shape[1:3]
        if None in (height, width) or height % self.block_size or width % self.block_size:
            raise UsageError(
                f"{self.name} cuts {height}x{width} pixels into blocks of {self.block_size}; "
                f"height and width must be known multiples of {self.block_size}."
            )

    def call(self, x: Any) -> Any:
        """Return the blocks as channels."""
        block = self.block_size
        height, width, channels = x.shape[1:]
        x = ops.reshape(x, (-1, height // block, block, width // block, block, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height // block, width // block, block * block * channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(N, H/b, W/b, C·b²)`."""
        batch, height, width, channels = input_shape
        block = self.block_size
        return batch, height // block, width // block, channels * block * block

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        return {**super().get_config(), "block_size": self.block_size}


@keras.saving.register_keras_serializable(package="mobile_seg")
class Resize(keras.layers.Layer):
    """Resize to a fixed size, half-pixel centres: one resize operation in every runtime.

    Keras' own nearest `UpSampling2D` exports as TILE and RESHAPE, which GPU delegates and NPUs refuse, and takes
    whole factors only.

    Args:
        size: (height, width) of the output.
        interpolation: `nearest` or `bilinear`.
    """

    data_format = "channels_last"

    def __init__(self, size: tuple[int, int], interpolation: str = "bilinear", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = (int(size[0]), int(size[1]))
        self.interpolation = choose("interpolation", interpolation, ("nearest", "bilinear"))

    @staticmethod
    def stands_for(layer: Any) -> bool:
        """Whether this layer does what `layer` does, a Resize, UpSampling2D or Resizing."""
        altered = any(
            getattr(layer, option, False) for option in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
        )
        known = layer.interpolation in ("nearest", "bilinear")
        return known and layer.data_format == "channels_last" and not altered

    def call(self, x: Any) -> Any:
        """`[N, h, w, C]` → `[N, H, W, C]`."""
        return ops.image.resize(x, self.size, interpolation=self.interpolation)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(N, H, W, C)`."""
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        return {**super().get_config(), "size": self.size, "interpolation": self.interpolation}


@keras.saving.register_keras_serializable(package="mobile_seg")
class SwitchableAtrousConv2D(keras.layers.Layer):
    """One kernel at two dilation rates, blended at each pixel by a switch S (SAC, arXiv:2006.02334, sec. 4).

    Called on `[x, S]`: `(1 - S) * conv(x, rates[0]) + S * conv(x, rates[1])`, without bias, padding `same`;
    `x` is `[N, H, W, C]`, the switch `[N, H, W, 1]` of any value.

    Args:
        filters: channels of the output.
        kernel_size: height and width of the kernel.
        rates: the two dilation rates.
        kernel_initializer: as Keras takes it.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        rates: tuple[int, int] = (1, 3),
        kernel_initializer: Any = "he_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size
        self.rates = (int(rates[0]), int(rates[1]))
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Create the kernel `[k, k, C, filters]`.

        Raises:
            UsageError: if the layer is not given a tensor and a switch of its size with one channel.
        """
        shapes = [tuple(shape) for shape in input_shape] if isinstance(input_shape[0], (tuple, list)) else []
        if len(shapes) != 2 or shapes[1] != (*shapes[0][:-1], 1):
            raise UsageError(f"{self.name} takes [x, switch], the switch as large as x with 1 channel: {input_shape}.")
        shape = (self.kernel_size, self.kernel_size, shapes[0][-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")

    def call(self, inputs: Any) -> Any:
        """Return the blend, `[N, H, W, filters]`."""
        x, switch = inputs
        near, far = (
            ops.conv(x, self.kernel, padding="same", data_format="channels_last", dilation_rate=rate)
            for rate in self.rates
        )
        return near + switch * (far - near)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(N, H, W, filters)`."""
        return (*input_shape[0][:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Keras configuration."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "rates": self.rates}
        return {**super().get_config(), **own, "kernel_initializer": initializer}
