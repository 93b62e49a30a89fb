"""Every kind of layer as ONNX Runtime computes it, against Keras: odd sizes, both layouts."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.converters.onnx_runs import CHANNELS, agree, expected, graph, operators, run, samples

from mobile_seg.converters.onnx.activations import ACTIVATIONS
from mobile_seg.converters.onnx.layers import RULES
from mobile_seg.converters.onnx.writer import onnx_model
from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.layers import Resize, SpaceToDepth, WeightedSum

Body = Callable[[Any], Any]


def _then(*made: Any) -> Body:
    """Layers in a row."""

    def body(x: Any) -> Any:
        for layer in made:
            x = layer(x)
        return x

    return body


def _convolutions() -> dict[str, Body]:
    conv, point, back = layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose
    same = {"padding": "same"}
    return {
        "1x1": _then(conv(5, 1)),
        "3x3-stride2": _then(conv(5, 3, strides=2, **same)),
        "4x4-stride2": _then(conv(5, 4, strides=2, **same)),
        "5x3-stride3x1": _then(conv(5, (5, 3), strides=(3, 1), **same)),
        "2x2-stride4": _then(conv(5, 2, strides=4, **same)),
        "dilated": _then(conv(5, 3, dilation_rate=2, **same)),
        "dilated-valid": _then(conv(5, 3, dilation_rate=(2, 3))),
        "groups": _then(conv(6, 3, groups=2, **same)),
        "no-bias-relu6": _then(conv(5, 3, use_bias=False, activation="relu6")),
        "depthwise-stride2": _then(point(3, strides=2, **same)),
        "depthwise-valid": _then(point((3, 5))),
        "depthwise-dilated": _then(point(3, dilation_rate=2, **same)),
        "depthwise-multiplier": _then(point(3, depth_multiplier=3, activation="silu", **same)),
        "transposed-3-2": _then(back(5, 3, strides=2, **same)),
        "transposed-4-2": _then(back(5, 4, strides=2, **same)),
        "transposed-2-2": _then(back(5, 2, strides=2, **same)),
        "transposed-2-3": _then(back(5, 2, strides=3, **same)),
        "transposed-valid": _then(back(5, (3, 5), strides=2)),
        "transposed-valid-1-2": _then(back(5, 1, strides=2)),
        "transposed-output-padding": _then(back(5, 3, strides=2, output_padding=1, activation="tanh", **same)),
        "dense-image": _then(layers.Dense(5, activation="relu")),
        "dense-sequence": _then(layers.Reshape((11, -1)), layers.Dense(5, activation="gelu")),
        "dense-flat": _then(layers.Flatten(), layers.Dense(5), layers.BatchNormalization()),
        "dense-pooled": _then(layers.GlobalAveragePooling2D(), layers.Dense(5, use_bias=False)),
    }


def _normalizations() -> dict[str, Body]:
    norm = layers.BatchNormalization
    return {
        "conv": _then(layers.Conv2D(5, 3, use_bias=False), norm()),
        "conv-bias": _then(layers.Conv2D(5, 3), norm(scale=False)),
        "depthwise": _then(layers.DepthwiseConv2D(3, depth_multiplier=2), norm(center=False)),
        "transposed": _then(layers.Conv2DTranspose(5, 3, strides=2), norm()),
        "dense": _then(layers.Dense(5), norm()),
        "not-alone": lambda x: layers.Add()([y := layers.Conv2D(4, 1)(x), norm()(y)]),
        "behind-relu": _then(layers.Conv2D(5, 3, activation="relu"), norm()),
        "first": _then(norm(), layers.Conv2D(5, 3, padding="same")),
        "sequence": _then(layers.Reshape((11, -1)), norm()),
        "flat": _then(layers.Flatten(), norm()),
        "layer": _then(layers.LayerNormalization(), layers.Conv2D(5, 3)),
        "layer-sequence": _then(layers.Reshape((11, -1)), layers.LayerNormalization(center=False)),
        "rescaling": _then(layers.Rescaling(0.5, -3.0)),
        "rescaling-channels": _then(layers.Rescaling([0.5, 2.0, -1.0, 1.0], [1.0, 0.0, 2.0, -1.0])),
        "scale-only": _then(layers.Rescaling(3.0)),
        "offset-only": _then(layers.Rescaling(1.0, 0.25)),
        "normalization": _then(layers.Normalization(mean=[1, 2, 3, 4], variance=[1, 4, 9, 2])),
        "normalization-inverted": _then(layers.Normalization(mean=[1, 2, 3, 4], variance=[1, 4, 9, 2], invert=True)),
    }


def _merges() -> dict[str, Body]:
    def gated(kind: Any) -> Body:
        return lambda x: kind()([layers.Conv2D(4, 1)(x), layers.GlobalAveragePooling2D(keepdims=True)(x)])

    def several(kind: Any, **options: Any) -> Body:
        return lambda x: kind(**options)([x, layers.Conv2D(4, 1)(x), layers.ReLU()(x)])

    return {
        "add-three": several(layers.Add),
        "multiply-three": several(layers.Multiply),
        "average-three": several(layers.Average),
        "maximum": several(layers.Maximum),
        "minimum": several(layers.Minimum),
        "subtract": lambda x: layers.Subtract()([layers.ReLU()(x), x]),
        "weighted": several(WeightedSum),
        "gate-pixel": gated(layers.Multiply),
        "gate-map": lambda x: layers.Multiply()([x, layers.Conv2D(1, 3, padding="same")(x)]),
        "ranks": lambda x: layers.Multiply()([x, layers.GlobalAveragePooling2D()(x)]),
        "ranks-sequence": lambda x: layers.Add()(
            [layers.Reshape((11, -1))(x), layers.Dense(56)(layers.GlobalMaxPooling2D()(x))]
        ),
        "join-channels": several(layers.Concatenate),
        "join-rows": several(layers.Concatenate, axis=1),
        "join-columns": several(layers.Concatenate, axis=-2),
        "join-flat": lambda x: layers.Concatenate()(
            [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
        ),
        "join-sequences": lambda x: layers.Concatenate(axis=1)([layers.Reshape((11, -1))(x)] * 2),
    }


def _pixels() -> dict[str, Body]:
    maximum, mean = layers.MaxPooling2D, layers.AveragePooling2D
    return {
        "max-same": _then(maximum(3, strides=2, padding="same")),
        "max-valid": _then(maximum((2, 3))),
        "mean-same": _then(mean(3, strides=2, padding="same")),
        "mean-same-even": _then(mean(4, strides=3, padding="same")),
        "mean-valid": _then(mean((3, 2), strides=1)),
        "global-mean": _then(layers.GlobalAveragePooling2D()),
        "global-mean-kept": _then(layers.GlobalAveragePooling2D(keepdims=True)),
        "global-max": _then(layers.GlobalMaxPooling2D()),
        "pad": _then(layers.ZeroPadding2D(((1, 2), (3, 0))), layers.Conv2D(5, 3, strides=2)),
        "pad-depthwise": _then(layers.ZeroPadding2D(((0, 1), (0, 1))), layers.DepthwiseConv2D(3, strides=2)),
        "pad-max": _then(layers.ZeroPadding2D(1), layers.MaxPooling2D(3, strides=2)),
        "pad-max-quarter": _then(layers.ZeroPadding2D(((1, 0), (0, 0))), layers.MaxPooling2D(3)),
        "pad-max-relu": _then(layers.ReLU(), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, strides=2)),
        "pad-max-wide": _then(layers.ReLU(), layers.ZeroPadding2D(3), layers.MaxPooling2D(2)),
        "pad-same": _then(layers.ZeroPadding2D(1), layers.Conv2D(5, 3, strides=2, padding="same")),
        "crop": _then(layers.Cropping2D(((1, 2), (3, 0))), layers.ReLU()),
        "upsample-nearest": _then(layers.UpSampling2D((2, 3))),
        "upsample-bilinear": _then(layers.UpSampling2D(2, interpolation="bilinear")),
        "resizing-bilinear": _then(layers.Resizing(17, 9)),
        "resizing-nearest": _then(layers.Resizing(5, 31, interpolation="nearest")),
        "resize-bilinear-down": _then(Resize((4, 5))),
        "resize-nearest-tie": _then(Resize((7, 5), "nearest")),
        "resize-same": _then(Resize((11, 14), "nearest"), layers.ReLU()),
        "resize-pixel": _then(layers.GlobalAveragePooling2D(keepdims=True), Resize((3, 2)), layers.Conv2D(2, 1)),
        "blocks": _then(layers.ZeroPadding2D(((0, 1), (0, 0))), SpaceToDepth(2), layers.Conv2D(3, 1)),
        "reshape": _then(layers.Reshape((7, 22, 4)), layers.Conv2D(3, 3)),
        "squeeze-and-widen": _then(
            layers.GlobalAveragePooling2D(), layers.Reshape((1, 1, 4)), layers.Conv2D(3, 1), layers.Flatten()
        ),
        "flatten": _then(layers.Flatten()),
        "permute": _then(layers.Permute((3, 1, 2)), layers.Conv2D(3, 3)),
        "permute-sequence": _then(layers.Reshape((11, -1)), layers.Permute((2, 1))),
        "dropout": _then(layers.Dropout(0.5), layers.SpatialDropout2D(0.2), layers.GaussianNoise(1.0), layers.ReLU()),
    }


def _clamps() -> dict[str, Body]:
    relu = layers.ReLU
    return {
        "relu": _then(relu()),
        "relu6": _then(relu(6)),
        "relu-1": _then(relu(1.5)),
        "leaky": _then(relu(negative_slope=0.1)),
        "leaky-max": _then(relu(2.0, negative_slope=0.1)),
        "threshold": _then(relu(threshold=1.0)),
        "threshold-max": _then(relu(3.0, threshold=0.5)),
        "threshold-slope": _then(relu(negative_slope=0.2, threshold=0.5)),
        "threshold-slope-max": _then(relu(2.0, negative_slope=0.2, threshold=1.0)),
        "leaky-layer": _then(layers.LeakyReLU(0.3)),
        "elu-layer": _then(layers.ELU(0.7)),
        "prelu": _then(layers.PReLU()),
        "prelu-channels": _then(layers.PReLU(shared_axes=[1, 2])),
        "prelu-sequence": _then(layers.Reshape((11, -1)), layers.PReLU()),
        "softmax": _then(layers.Softmax()),
        "softmax-sequence": _then(layers.Reshape((11, -1)), layers.Softmax(axis=2)),
        "softmax-flat": _then(layers.GlobalMaxPooling2D(), layers.Activation("softmax")),
    }


GROUPS = (_convolutions, _normalizations, _merges, _pixels, _clamps)
CASES = [name for group in GROUPS for name in group()]


def _case(name: str) -> keras.Model:
    """A graph of new layers."""
    return graph(next(cases[name] for group in GROUPS if name in (cases := group())))


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("name", CASES)
def test_a_layer_computes_what_keras_computes(name: str, layout: str) -> None:
    agree(_case(name), layout)


@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda function: function.__name__)
def test_an_activation_computes_what_keras_computes(function: Any) -> None:
    agree(graph(_then(layers.Activation(function))))


UNTESTED = {layers.GaussianDropout, layers.AlphaDropout, layers.ActivityRegularization}
"""Left out of the file as Dropout is, by the same rule."""


def test_every_rule_has_a_case() -> None:
    assert len(CASES) == len(set(CASES)), "no name is taken twice"
    used = {type(layer) for group in GROUPS for body in group().values() for layer in graph(body).layers}
    assert set(RULES) - used - {layers.Activation} == UNTESTED


@pytest.mark.parametrize("name", ["conv", "conv-bias", "depthwise", "transposed", "dense"])
def test_normalization_folds_into_the_layer_in_front(name: str) -> None:
    found = operators(onnx_model(_case(name)))
    assert not {"BatchNormalization", "Mul", "Add"} & set(found)


def test_one_transposition_at_each_end_and_none_where_the_ends_are_channels_first() -> None:
    model = graph(_then(layers.Conv2D(5, 3), layers.ReLU(6), layers.MaxPooling2D(2), layers.UpSampling2D(2)))
    assert operators(onnx_model(model))["Transpose"] == 2
    assert operators(onnx_model(model, layout="nchw"))["Transpose"] == 0


def test_squeeze_and_excitation_moves_nothing() -> None:
    def body(x: Any) -> Any:
        gate = layers.Reshape((1, 1, CHANNELS))(layers.GlobalAveragePooling2D()(x))
        return layers.Multiply()([x, layers.Conv2D(CHANNELS, 1, activation="sigmoid")(gate)])

    found = agree(graph(body), "nchw")
    assert set(found) == {"GlobalAveragePool", "Conv", "Sigmoid", "Mul"}


@pytest.mark.parametrize("name", ["pad", "pad-depthwise", "pad-max-relu"])
def test_padding_in_front_of_what_pads_itself_costs_nothing(name: str) -> None:
    assert not {"Pad", "Concat"} & set(operators(onnx_model(_case(name))))


def test_channels_of_blocks_are_row_column_channel() -> None:
    """Golden: the number at row 2i + r, column 2j + s, channel c goes to pixel (i, j), channel 2C·r + C·s + c."""
    model = graph(_then(SpaceToDepth(2)), size=(4, 6), channels=3)
    numbers = np.arange(72, dtype=np.float32).reshape(1, 4, 6, 3)
    (found,) = run(onnx_model(model), [numbers])
    for row, column, r, s, channel in np.ndindex(2, 3, 2, 2, 3):
        assert found[0, row, column, 6 * r + 3 * s + channel] == numbers[0, 2 * row + r, 2 * column + s, channel]


def test_bilinear_pixels_lie_at_half() -> None:
    """Golden: [0, 8] at four times the size is 0 0 | 1 3 5 7 | 8 8: centres, not corners (0 1.1 2.3 ... 8)."""
    model = graph(_then(Resize((1, 8))), size=(1, 2), channels=1)
    (found,) = run(onnx_model(model), [np.float32([0, 8]).reshape(1, 1, 2, 1)])
    assert found.ravel().tolist() == [0, 0, 1, 3, 5, 7, 8, 8]


@pytest.mark.parametrize(("before", "after"), [(14, 5), (6, 9), (12, 8), (10, 4), (7, 3), (2, 1), (64, 3), (30, 44)])
def test_nearest_takes_the_pixel_that_tensorflow_takes(before: int, after: int) -> None:
    """Also where two are as near: the file must not depend on how a runtime computes the middle."""
    model = graph(_then(Resize((1, after), "nearest")), size=(1, before), channels=1)
    numbers = [np.arange(before, dtype=np.float32).reshape(1, 1, before, 1)]
    (found,), (wanted,) = run(onnx_model(model), numbers), expected(model, numbers)
    assert found.ravel().tolist() == wanted.ravel().tolist()


def test_several_inputs_and_outputs_keep_order_names_and_shapes() -> None:
    one, other = keras.Input((8, 8, 2), name="one"), keras.Input((8, 8, 3), name="other")
    x = layers.Add(name="sum")([layers.Conv2D(3, 1, name="left")(one), other])
    model = keras.Model([one, other], [layers.Conv2D(5, 1, name="five")(x), layers.Flatten(name="flat")(x), x, one])
    made = onnx_model(model)
    assert [tensor.name for tensor in made.graph.input] == ["one", "other"]
    assert [tensor.name for tensor in made.graph.output] == ["five", "flat", "sum", "one_2"]
    arrays = samples(model)
    for found, wanted in zip(run(made, arrays), expected(model, arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_model_inside_and_a_shared_layer_are_unfolded() -> None:
    shared = layers.Conv2D(CHANNELS, 3, padding="same", name="shared")
    inner_input = keras.Input((11, 14, CHANNELS))
    inner = keras.Model(inner_input, shared(layers.ReLU()(shared(inner_input))), name="inner")
    found = agree(graph(_then(inner, layers.ReLU(name="last"))))
    assert found["Conv"] == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_then(layers.SeparableConv2D(3, 3)), "SeparableConv2D.*quantization.lower"),
        (_then(layers.Conv2D(3, 1, name="here", activation=lambda x: x * x)), "layer here.*activation <lambda>"),
        (_then(layers.Softmax(axis=1)), "axis 1"),
        (_then(layers.BatchNormalization(axis=1)), "axis 1"),
        (_then(layers.Resizing(5, 5, interpolation="bicubic")), "bicubic"),
        (_then(layers.LayerNormalization(axis=(1, 2))), "axes"),
        (_then(layers.MaxPooling2D(2, data_format="channels_first", name="pool")), "layer pool.*channels first"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(body: Body, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        onnx_model(graph(body))
