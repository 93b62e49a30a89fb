"""Every supported layer, alone and in random graphs: the int8 file computes what the QAT graph computes."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from unit.quantization.nets import Body, compare, net


def conv(filters: int = 4, kernel: int = 3, **options: Any) -> Any:
    """A convolution with `same` padding unless told otherwise."""
    return layers.Conv2D(filters, kernel, **{"padding": "same", **options})


def conv_bn(x: Any, filters: int = 4, activation: str | None = None, **options: Any) -> Any:
    """Convolution, normalization and perhaps an activation, each a layer."""
    x = layers.BatchNormalization()(conv(filters, **options)(x))
    return layers.Activation(activation)(x) if activation else x


def residual(x: Any, activation: str | None = None) -> Any:
    """A sum of a tensor and a convolution of it, perhaps clamped."""
    x = layers.Add()([x, conv_bn(x, x.shape[-1], kernel=1)])
    return layers.Activation(activation)(x) if activation else x


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


SINGLE: dict[str, Body] = {
    "conv": lambda x: conv()(x),
    "conv_valid_stride_2": lambda x: conv(padding="valid", strides=2)(x),
    "conv_same_stride_2": lambda x: conv(strides=2)(x),
    "conv_dilated": lambda x: conv(dilation_rate=3)(x),
    "conv_dilated_valid": lambda x: conv(dilation_rate=2, padding="valid")(x),
    "conv_no_bias": lambda x: conv(use_bias=False)(x),
    "conv_relu_inside": lambda x: conv(activation="relu")(x),
    "conv_relu6_inside_then_conv": lambda x: conv(3, 1)(conv(activation="relu6")(x)),
    "conv_relu_inside_then_relu6": lambda x: layers.ReLU(6)(conv(activation="relu")(x)),
    "conv_bn_with_bias": lambda x: conv_bn(x),
    "conv_bn_no_bias_relu6": lambda x: conv_bn(x, activation="relu6", use_bias=False),
    "bn_without_scale": lambda x: layers.BatchNormalization(scale=False)(conv()(x)),
    "bn_without_centre": lambda x: layers.BatchNormalization(center=False)(conv()(x)),
    "bn_without_either": lambda x: layers.BatchNormalization(scale=False, center=False)(conv()(x)),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "depthwise_valid_stride_2": lambda x: layers.DepthwiseConv2D(3, strides=2)(x),
    "depthwise_dilated_bn": lambda x: layers.BatchNormalization()(
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x)
    ),
    "depthwise_multiplier": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x),
    "output_is_an_activation": lambda x: layers.ReLU()(conv()(x)),
    "max_pool": lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(conv()(x)),
    "average_pool": lambda x: conv(3, 1)(layers.AveragePooling2D(2)(conv()(x))),
    "average_pool_same": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(conv()(x)),
    "zero_padding": lambda x: conv(padding="valid")(layers.ZeroPadding2D(((1, 2), (0, 3)))(conv(4, 1)(x))),
    "upsample_nearest": lambda x: conv(3, 1)(layers.UpSampling2D(2)(conv()(x))),
    "upsample_bilinear": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(conv()(x)),
    "mean": lambda x: conv(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(conv()(x))),
    "reshape": lambda x: conv(3, 1)(layers.Reshape((6, 24, 4))(conv()(x))),
    "dropout": lambda x: conv(3, 1)(layers.Dropout(0.5)(conv()(x))),
    "linear_activation": lambda x: layers.Activation("linear")(conv()(x)),
    "sum": lambda x: residual(conv()(x)),
    "sum_relu6": lambda x: conv(3, 1)(residual(conv()(x), "relu6")),
    "sum_of_one_tensor_twice": lambda x: (lambda y: layers.Add()([y, y]))(conv()(x)),
    "sum_broadcast": lambda x: layers.Add()([conv(2, 1)(x), layers.GlobalAveragePooling2D(keepdims=True)(conv(2)(x))]),
    "concatenation": lambda x: branches(x),
    "concatenation_of_resized": lambda x: branches(x, upsample=True),
    "concatenation_in_concatenation": nested_joins,
    "image_pooling": image_pooling,
    "concatenation_as_output": lambda x: layers.Concatenate()([conv(2)(x), conv_bn(x, 2, "relu6")]),
}

REQUANTIZED: dict[str, Body] = {
    "branch_used_elsewhere": lambda x: branches(x, used_elsewhere=True),
    "relu_behind_a_pool": lambda x: layers.ReLU()(layers.MaxPooling2D(2)(conv()(x))),
}
"""Graphs where an integer tensor must be moved to another scale: a branch with readers of both, a ReLU
that no kernel before it can fuse."""


@pytest.mark.parametrize("name", SINGLE)
def test_a_layer_is_integer_throughout_and_follows_its_graph(name: str) -> None:
    found = compare(net(SINGLE[name]))
    assert found.facts.float_ops == 0
    assert found.facts.quantize_ops == 1, "only the uint8 input may be moved to int8"
    assert found.steps.max() <= found.bound


@pytest.mark.parametrize("name", REQUANTIZED)
def test_a_change_of_scale_inside_stays_integer(name: str) -> None:
    found = compare(net(REQUANTIZED[name]))
    assert found.facts.float_ops == 0
    assert found.facts.quantize_ops == 2
    assert found.steps.max() <= found.bound


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
    bias: bool

    def apply(self, x: Any) -> Any:
        """Continue the graph."""
        height = x.shape[1]
        if self.kind in ("conv", "depthwise"):
            return self._convolve(x)
        if self.kind in ("max_pool", "average_pool") and height >= 4:
            pool = layers.MaxPooling2D if self.kind == "max_pool" else layers.AveragePooling2D
            return pool(2, padding=self.padding)(x)
        if self.kind in ("nearest", "bilinear") and height <= 12:
            return layers.UpSampling2D(2, interpolation=self.kind)(x)
        if self.kind == "pad":
            return layers.ZeroPadding2D(1)(x)
        if self.kind == "sum":
            return residual(x, self.activation)
        if self.kind == "join":
            return branches(x, upsample=x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0 and self.bias)
        if self.kind == "pooling_branch":
            return image_pooling(x)
        return x

    def _convolve(self, x: Any) -> Any:
        fits = self.padding == "same" or x.shape[1] > (self.kernel - 1) * self.dilation
        options = {
            "padding": self.padding if fits else "same",
            "use_bias": self.bias,
            # A kernel is either strided or dilated.
            "strides": self.stride,
            "dilation_rate": self.dilation if self.stride == 1 else 1,
        }
        if self.kind == "depthwise":
            x = layers.DepthwiseConv2D(self.kernel, **options)(x)
        else:
            x = layers.Conv2D(self.filters, self.kernel, **options)(x)
        if not self.bias or self.filters % 2:
            x = layers.BatchNormalization()(x)
        return layers.Activation(self.activation)(x) if self.activation else x


KINDS = ("conv", "depthwise", "max_pool", "average_pool", "nearest", "bilinear", "pad", "sum", "join", "pooling_branch")
STEPS = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    filters=st.integers(1, 6),
    kernel=st.sampled_from((1, 3)),
    stride=st.sampled_from((1, 1, 2)),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(("same", "valid")),
    activation=st.sampled_from((None, "relu", "relu6")),
    bias=st.booleans(),
)


def body_of(steps: list[Step]) -> Body:
    """The steps between a first convolution, which an image needs, and a last one, which gives logits."""

    def body(x: Any) -> Any:
        x = conv_bn(x, 4, "relu6")
        for step in steps:
            x = step.apply(x)
        return conv(3, 1)(x)

    return body


# No shrinking: every try is a conversion, and the steps that failed are printed as they are.
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(st.lists(STEPS, min_size=2, max_size=4))
def test_random_graphs_are_integer_throughout_and_follow_their_graph(steps: list[Step]) -> None:
    found = compare(net(body_of(steps)))
    assert found.facts.float_ops == 0
    assert found.facts.quantize_ops == 1
    assert found.steps.max() <= found.bound
    # The bound takes every rounding at its worst and all of one sign; they are small and cancel.
    assert found.steps.mean() < 1.0
