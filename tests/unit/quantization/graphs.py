"""Small graphs of every layer that quantization knows: one by one, and drawn at random."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from keras import layers

from mobile_seg.layers import SpaceToDepth, WeightedSum

Body = Callable[[Any], Any]
"""From the normalized image to the last tensor."""


def conv(filters: int = 4, kernel: int = 3, **options: Any) -> Any:
    """A convolution with `same` padding unless told otherwise."""
    return layers.Conv2D(filters, kernel, **{"padding": "same", **options})


def activated(activation: str | None, x: Any) -> Any:
    """An activation of that name, as a layer; ReLU6 and softmax as the layers that Keras has for them."""
    if activation is None or (activation == "softmax" and x.shape[-1] == 1):  # which would be 1 everywhere
        return x
    if activation in ("relu6", "softmax"):
        return layers.ReLU(6)(x) if activation == "relu6" else layers.Softmax()(x)
    return layers.Activation(activation)(x)


def conv_bn(x: Any, filters: int = 4, activation: str | None = None, **options: Any) -> Any:
    """Convolution, normalization and perhaps an activation, each a layer."""
    return activated(activation, layers.BatchNormalization()(conv(filters, **options)(x)))


def residual(x: Any, activation: str | None = None, merge: Any = layers.Add) -> Any:
    """A sum (or another merge) of a tensor and a convolution of it, perhaps with an activation."""
    return activated(activation, merge()([x, conv_bn(x, x.shape[-1], kernel=1)]))


def branches(x: Any, *, upsample: bool = False, used_elsewhere: bool = False) -> Any:
    """Two convolutions joined; one perhaps through a resize, or read by someone else too."""
    one, other = conv_bn(x, 5, "relu6", kernel=1), conv_bn(x, 3, strides=2 if upsample else 1)
    joined = layers.Concatenate()([one, layers.UpSampling2D(2)(other) if upsample else other])
    y = conv(3, 1)(joined)
    return layers.Add()([y, conv(3, 1)(one)]) if used_elsewhere else y


def image_pooling(x: Any) -> Any:
    """The ASPP's mean branch: mean, 1x1 convolution, spread over the image again, joined."""
    height, width = x.shape[1:3]
    mean = conv_bn(layers.GlobalAveragePooling2D(keepdims=True)(x), 4, "relu6", kernel=1)
    return conv(3, 1)(layers.Concatenate()([conv_bn(x, 4), layers.UpSampling2D((height, width))(mean)]))


def nested_joins(x: Any) -> Any:
    """A concatenation inside another."""
    inner = layers.Concatenate()([conv(2, 1)(x), conv(3, 1)(x)])
    return conv(4, 1)(layers.Concatenate()([inner, conv_bn(x, 2, "relu")]))


def squeeze_excite(x: Any, gate: str = "hard_sigmoid", *, reshaped: bool = False) -> Any:
    """Channels weighted by what their means say (arXiv:1709.01507; the hard gate, arXiv:1905.02244, sec. 5.2)."""
    mean = layers.GlobalAveragePooling2D(keepdims=not reshaped)(x)
    mean = layers.Reshape((1, 1, x.shape[-1]))(mean) if reshaped else mean
    weights = conv(x.shape[-1], 1)(conv(3, 1, activation="relu")(mean))
    return layers.Multiply()([x, activated(gate, weights)])


def resized(x: Any) -> Any:
    """A branch at half the size, enlarged again."""
    return layers.UpSampling2D(2)(conv_bn(x, activation="relu", strides=2))


def averaged_branch(x: Any) -> Any:
    """A branch that is averaged on its way to a concatenation: it cannot share the joined range."""
    return layers.Concatenate()([layers.AveragePooling2D(2)(conv()(x)), conv(3, strides=2)(x)])


def two_dilated(x: Any) -> Any:
    """What two atrous pyramids on one tensor have in them."""
    return layers.Add()([layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x) for _ in range(2)])


EXACT: dict[str, Body] = {
    "conv": lambda x: conv()(x),
    "conv_valid_stride_2": lambda x: conv(padding="valid", strides=2)(x),
    "conv_same_stride_2": lambda x: conv(strides=2)(x),
    "conv_dilated": lambda x: conv(dilation_rate=3)(x),
    "conv_dilated_valid": lambda x: conv(dilation_rate=2, padding="valid")(x),
    "conv_no_bias": lambda x: conv(use_bias=False)(x),
    "conv_relu_inside": lambda x: conv(activation="relu")(x),
    "conv_relu6_inside_then_conv": lambda x: conv(3, 1)(conv(activation="relu6")(x)),
    "conv_bn_with_bias": lambda x: conv_bn(x),
    "conv_bn_no_bias_relu6": lambda x: conv_bn(x, activation="relu6", use_bias=False),
    "bn_without_scale": lambda x: layers.BatchNormalization(scale=False)(conv()(x)),
    "bn_without_centre": lambda x: layers.BatchNormalization(center=False)(conv()(x)),
    "bn_without_either": lambda x: layers.BatchNormalization(scale=False, center=False)(conv()(x)),
    "bn_alone": lambda x: layers.BatchNormalization()(layers.ReLU()(conv()(x))),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "depthwise_valid_stride_2": lambda x: layers.DepthwiseConv2D(3, strides=2)(x),
    "depthwise_dilated_bn": lambda x: layers.BatchNormalization()(
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x)
    ),
    "depthwise_multiplier": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x),
    "separable": lambda x: layers.SeparableConv2D(5, 3, padding="same", activation="relu")(x),
    "transposed": lambda x: layers.Conv2DTranspose(3, 3, strides=2, padding="same")(conv()(x)),
    "transposed_valid_bn": lambda x: layers.BatchNormalization()(layers.Conv2DTranspose(3, 2, strides=2)(x)),
    "dense": lambda x: layers.Dense(3)(layers.Flatten()(layers.MaxPooling2D(3)(conv()(x)))),
    "dense_of_an_image": lambda x: layers.Dense(3, activation="relu")(conv()(x)),
    "dense_of_one_channel": lambda x: layers.Dense(4)(conv(1)(x)),
    "output_is_an_activation": lambda x: layers.ReLU()(conv()(x)),
    "max_pool": lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(conv()(x)),
    "average_pool": lambda x: conv(3, 1)(layers.AveragePooling2D(2)(conv()(x))),
    "average_pool_same": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(conv()(x)),
    "zero_padding": lambda x: conv(padding="valid")(layers.ZeroPadding2D(((1, 2), (0, 3)))(conv(4, 1)(x))),
    "upsample_nearest": lambda x: conv(3, 1)(layers.UpSampling2D(2)(conv()(x))),
    "resize_nearest": lambda x: conv(3, 1)(layers.Resizing(17, 29, interpolation="nearest")(conv()(x))),
    "upsample_bilinear": lambda x: layers.UpSampling2D(3, interpolation="bilinear")(conv()(x)),
    "resize_bilinear": lambda x: conv(3, 1)(layers.Resizing(7, 31)(conv()(x))),
    "reshape": lambda x: conv(3, 1)(layers.Reshape((6, 24, 4))(conv()(x))),
    "space_to_depth": lambda x: conv(3, 1)(SpaceToDepth(2)(conv()(x))),
    "dropout": lambda x: conv(3, 1)(layers.Dropout(0.5)(conv()(x))),
    "two_dilated_depthwise_of_one_tensor": lambda x: two_dilated(conv()(x)),
    "one_layer_called_twice": lambda x: (lambda shared: shared(layers.MaxPooling2D()(shared(conv()(x)))))(conv()),
    "linear_activation": lambda x: layers.Activation("linear")(conv()(x)),
    "sum": lambda x: residual(conv()(x)),
    "sum_relu6": lambda x: conv(3, 1)(residual(conv()(x), "relu6")),
    "sum_of_one_tensor_twice": lambda x: (lambda y: layers.Add()([y, y]))(conv()(x)),
    "sum_of_three": lambda x: layers.Add()([conv()(x), conv(4, 1)(x), conv_bn(x)]),
    "fusion": lambda x: WeightedSum()([conv()(x), conv_bn(x, activation="relu")]),
    "fusion_of_three_resized": lambda x: WeightedSum()([conv(4, 1)(x), *(resized(x) for _ in range(2))]),
    "fusion_of_fusions": lambda x: WeightedSum()([WeightedSum()([conv()(x), conv(4, 1)(x)]), conv_bn(x)]),
    "difference": lambda x: residual(conv()(x), merge=layers.Subtract),
    "product": lambda x: residual(conv()(x), "relu", merge=layers.Multiply),
    "hard_swish": lambda x: activated("hard_swish", conv()(x)),
    "hard_sigmoid": lambda x: activated("hard_sigmoid", conv()(x)),
    "concatenation": lambda x: branches(x),
    "concatenation_of_resized": lambda x: branches(x, upsample=True),
    "concatenation_in_concatenation": nested_joins,
    "mean": lambda x: conv(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(conv()(x))),
    "mean_dense": lambda x: layers.Dense(3)(layers.GlobalAveragePooling2D()(conv()(x))),
    "sum_broadcast": lambda x: layers.Add()([conv(2, 1)(x), layers.GlobalAveragePooling2D(keepdims=True)(conv(2)(x))]),
    "squeeze_excite": lambda x: squeeze_excite(conv()(x)),
    "image_pooling": image_pooling,
    "concatenation_as_output": lambda x: layers.Concatenate()([conv(2)(x), conv_bn(x, 2, "relu6")]),
}
"""Graphs whose settled model and file are equal to the bit."""

BOUNDED: dict[str, Body] = {
    "swish": lambda x: activated("swish", conv()(x)),
    "sigmoid": lambda x: activated("sigmoid", conv()(x)),
    "tanh": lambda x: activated("tanh", conv()(x)),
    "softmax": lambda x: activated("softmax", conv()(x)),
    "mean_of_two": lambda x: layers.Average()([conv()(x), conv(4, 1)(x)]),
    "rescaling": lambda x: layers.Rescaling(-0.7)(layers.ReLU()(conv()(x))),
    "squeeze_excite_sigmoid": lambda x: squeeze_excite(conv()(x), "sigmoid"),
    "squeeze_excite_reshaped": lambda x: squeeze_excite(conv()(x), "sigmoid", reshaped=True),
    "fusion_of_what_others_read": lambda x: (lambda y: layers.Add()([y, residual(y, merge=WeightedSum)]))(conv()(x)),
}
"""Graphs with a kernel that rounds otherwise than floats do."""

REQUANTIZED: dict[str, Body] = {
    "branch_used_elsewhere": lambda x: branches(x, used_elsewhere=True),
    "branch_averaged": averaged_branch,
    "relu_behind_a_pool": lambda x: layers.ReLU()(layers.MaxPooling2D(2)(conv()(x))),
    "relu_behind_a_transposed_convolution": lambda x: layers.ReLU()(layers.Conv2DTranspose(3, 2, strides=2)(x)),
}
"""Graphs where a tensor needs two grids: a branch with readers of both, a ReLU that no kernel can fuse."""


@dataclass(frozen=True)
class Step:
    """One layer or block of a random graph; what does not fit the tensor it meets is left out."""

    kind: str
    filters: int
    kernel: int
    stride: int
    dilation: int
    padding: str
    activation: str | None
    flag: bool

    def apply(self, x: Any) -> Any:
        """Continue the graph."""
        small, even = x.shape[1] <= 12, x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0
        if self.kind in ("conv", "depthwise", "transposed", "dense"):
            return self._linear(x)
        if self.kind in ("max_pool", "average_pool") and x.shape[1] >= 4:
            pool = layers.MaxPooling2D if self.kind == "max_pool" else layers.AveragePooling2D
            return pool(2, padding=self.padding)(x)
        if self.kind in ("nearest", "bilinear") and small:
            return layers.UpSampling2D(2, interpolation=self.kind)(x)
        if self.kind in MERGES:
            return residual(x, self.activation, MERGES[self.kind])
        if self.kind == "join":
            return branches(x, upsample=even and self.flag, used_elsewhere=not self.flag and self.filters > 3)
        if self.kind == "averaged_join":
            return averaged_branch(x) if even else x
        return SIMPLE[self.kind](self, x) if self.kind in SIMPLE else x

    def _linear(self, x: Any) -> Any:
        fits = self.padding == "same" or x.shape[1] > (self.kernel - 1) * self.dilation
        options: dict[str, Any] = {"padding": self.padding if fits else "same", "use_bias": self.flag}
        if self.kind == "transposed":
            x = layers.Conv2DTranspose(self.filters, 2, strides=2 if x.shape[1] <= 12 else 1, **options)(x)
        elif self.kind == "dense":
            x = layers.Dense(self.filters, use_bias=self.flag)(x)
        else:
            # A kernel is either strided or dilated.
            options |= {"strides": self.stride, "dilation_rate": self.dilation if self.stride == 1 else 1}
            depthwise = self.kind == "depthwise"
            kind, first = (layers.DepthwiseConv2D, {}) if depthwise else (layers.Conv2D, {"filters": self.filters})
            multiplier = {"depth_multiplier": 2} if depthwise and self.filters == 1 else {}
            x = kind(kernel_size=self.kernel, **first, **multiplier, **options)(x)
        if not self.flag or self.filters % 2:
            x = layers.BatchNormalization()(x)
        if self.kind == "transposed" and self.activation in FUSED:
            return x  # its kernel fuses none of them: see REQUANTIZED
        return activated(self.activation, x)


MERGES = {
    "sum": layers.Add,
    "difference": layers.Subtract,
    "product": layers.Multiply,
    "fusion": WeightedSum,
}

SIMPLE: dict[str, Callable[[Step, Any], Any]] = {
    "pad": lambda step, x: layers.ZeroPadding2D(1)(x),
    "activation": lambda step, x: activated(step.activation, x),
    "reshape": lambda step, x: layers.Reshape((x.shape[2], x.shape[1], x.shape[3]))(x),
    "space_to_depth": lambda step, x: x if x.shape[1] % 2 or x.shape[2] % 2 else SpaceToDepth(2)(x),
    "normalization": lambda step, x: layers.BatchNormalization()(x),
    "rescaling": lambda step, x: layers.Rescaling(step.filters / 4 - 1.1)(x),
    "squeeze_excite": lambda step, x: squeeze_excite(x, "hard_sigmoid" if step.flag else "sigmoid"),
    "pooling_branch": lambda step, x: image_pooling(x),
    "global_pool": lambda step, x: layers.Add()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)]),
}

EXACT_KINDS = (
    "conv", "depthwise", "transposed", "dense", "max_pool", "average_pool", "nearest", "bilinear", "pad", "reshape",
    "space_to_depth", "normalization", "sum", "difference", "product",
)  # fmt: skip
"""Kinds of steps after which the file is equal to the bit, with a fused activation or hard-swish."""

KINDS = (*EXACT_KINDS, *MERGES, *SIMPLE, "join", "averaged_join")
FUSED = (None, "relu", "relu6")
ACTIVATIONS = (*FUSED, "hard_swish", "swish", "sigmoid", "tanh", "softmax", "hard_sigmoid")


def steps(kinds: tuple[str, ...] = KINDS, activations: tuple[str | None, ...] = ACTIVATIONS) -> Any:
    """A strategy for the middle of a graph: two to four steps."""
    step = st.builds(
        Step,
        kind=st.sampled_from(kinds),
        filters=st.integers(1, 6),
        kernel=st.sampled_from((1, 3)),
        stride=st.sampled_from((1, 1, 2)),
        dilation=st.integers(1, 3),
        padding=st.sampled_from(("same", "valid")),
        activation=st.sampled_from(activations),
        flag=st.booleans(),
    )
    return st.lists(step, min_size=2, max_size=4)


def body_of(middle: list[Step]) -> Body:
    """The steps between a first convolution, which an image needs, and a last one, which gives logits."""

    def body(x: Any) -> Any:
        x = conv_bn(x, 4, "relu6")
        for step in middle:
            x = step.apply(x)
        return conv(3, 1)(x)

    return body
