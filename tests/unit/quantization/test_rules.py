"""Each rule by one small graph: which layers get a quantizer, and which do not."""

from typing import Any

import keras
import pytest
from keras import layers
from unit.quantization.nets import Body, net

from mobile_seg.graph import view
from mobile_seg.layers import Resize, SpaceToDepth
from mobile_seg.quantization import rules
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import SCHEMES


def _quantized_layers(body: Body) -> set[str]:
    """Names of the layers whose outputs get a quantizer."""
    quantized = insert_quantizers(net(body))
    return {layer.name.removesuffix("_quant") for layer in quantized.layers if isinstance(layer, FakeQuant)}


def _activated(activation: str) -> keras.Model:
    """A convolution and an activation."""
    return net(lambda x: layers.Activation(activation, name="act")(_conv("conv", x)))


def _conv(name: str, x: Any, **options: Any) -> Any:
    return layers.Conv2D(4, 1, name=name, **options)(x)


def test_input_bytes() -> None:
    quantized = insert_quantizers(net(lambda x: _conv("conv", x)))
    low, high = quantized.get_layer("normalize_quant").get_range()
    assert (low, high) == (-1.0, 127 / 128)
    assert quantized.get_layer("normalize_quant").fixed_range == (low, high)


def test_input_values() -> None:
    image = keras.Input((8, 8, 3), name="image")
    quantized = insert_quantizers(keras.Model(image, _conv("conv", image)))
    assert quantized.get_layer("image_quant").observes


@pytest.mark.parametrize(
    "layer",
    [
        layers.UpSampling2D(2),
        Resize((5, 7), "nearest"),
        layers.MaxPooling2D(2),
        SpaceToDepth(2),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
        layers.ZeroPadding2D(1),
        layers.Reshape((6, 24, 4)),
        layers.Flatten(),
        layers.Dropout(0.1),
        layers.Activation("linear"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_copied(layer: Any) -> None:
    assert _quantized_layers(lambda x: layer(_conv("conv", x))) == {"normalize", "conv"}


def test_every_copying_layer_is_tried_above() -> None:
    tried = next(mark for mark in test_copied.pytestmark if mark.name == "parametrize").args[1]
    assert {type(layer) for layer in tried} == {*rules.COPYING_LAYERS, layers.Activation, *rules.RESIZING_LAYERS}


@pytest.mark.parametrize(
    ("layer", "ties"),
    [
        (layers.AveragePooling2D(2, name="mix"), "away"),
        (layers.UpSampling2D(2, interpolation="bilinear", name="mix"), "up"),
        (Resize((5, 7), name="mix"), "up"),
    ],
)
def test_averaged(layer: Any, ties: str) -> None:
    model = net(lambda x: _conv("after", layer(layers.MaxPooling2D(2, name="pool")(_conv("conv", x)))))
    quantized = insert_quantizers(model)
    follower = quantized.get_layer("mix_quant")
    assert (follower.follows, follower.ties) == ("conv_quant", ties)
    assert "pool_quant" not in {layer.name for layer in quantized.layers}


@pytest.mark.parametrize(
    ("name", "limits"), [("sigmoid", (0.0, 255 / 256)), ("softmax", (0.0, 255 / 256)), ("tanh", (-1.0, 127 / 128))]
)
def test_prescribed(name: str, limits: tuple[float, float]) -> None:
    quantized = insert_quantizers(_activated(name))
    assert quantized.get_layer("act_quant").fixed_range == limits
    wide = insert_quantizers(_activated(name), scheme=SCHEMES["int16x8"])
    low, high = wide.get_layer("act_quant").fixed_range
    assert high == -low == 32767 / 32768


def test_fused_follower() -> None:
    def body(x: Any) -> Any:
        x = layers.ReLU(6, name="act")(layers.BatchNormalization(name="bn")(_conv("conv", x)))
        y = layers.BatchNormalization(name="bn2")(_conv("conv2", x))
        return layers.Activation("relu", name="last")(layers.Add(name="sum")([x, y]))

    assert _quantized_layers(body) == {"normalize", "act", "bn2", "last"}


def test_a_convolution_read_by_its_relu_and_another_is_not_fused() -> None:
    def body(x: Any) -> Any:
        y = _conv("conv", x)
        return layers.Add(name="sum")([y, layers.ReLU(name="act")(y)])

    assert _quantized_layers(body) == {"normalize", "conv", "act", "sum"}


def test_a_convolution_that_is_an_output_is_not_fused() -> None:
    image = keras.Input((8, 8, 3), name="image")
    conv = _conv("conv", layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image))
    quantized = insert_quantizers(keras.Model(image, [conv, layers.ReLU(name="act")(conv)]))
    assert {"conv_quant", "act_quant"} <= {layer.name for layer in quantized.layers}


def test_joined() -> None:
    def body(x: Any) -> Any:
        one, other, shared = _conv("one", x), layers.UpSampling2D(2)(_conv("other", x, strides=2)), _conv("shared", x)
        inner = layers.Concatenate(name="inner")([one, other])
        return layers.Add(name="sum")([_conv("after", layers.Concatenate(name="outer")([inner, shared])), shared])

    assert _quantized_layers(body) == {"normalize", "outer", "shared", "after", "sum"}


def test_computed() -> None:
    def body(x: Any) -> Any:
        x = layers.DepthwiseConv2D(3, name="depthwise")(_conv("conv", x, activation="relu"))
        x = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
        return layers.ReLU(name="act")(layers.Concatenate(name="join")([x, x]))

    assert _quantized_layers(body) == {"normalize", "conv", "depthwise", "mean", "join", "act"}


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_is_one_sentence_and_has_a_test_of_its_name(rule: rules.Rule) -> None:
    assert rule.__doc__
    assert "\n" not in rule.__doc__
    assert rule.__doc__.endswith(".")
    assert f"test_{rule.__name__}" in globals()


def test_a_subclass_is_not_taken_for_its_parent() -> None:
    class Halved(layers.Conv2D):
        """Computes something else than a convolution."""

        def call(self, inputs: Any) -> Any:
            return super().call(inputs) / 2

    graph = view(net(lambda x: Halved(4, 1, name="halved")(x)))
    assert all(rule(graph, "halved") is None for rule in rules.RULES)
