"""Cross-layer equalization: the same function, other weights, less rounding error."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import images, logits, net

from mobile_seg.errors import UsageError
from mobile_seg.quantization import quantize
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.equalize import equalize_layers
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find

SHOWN = images().astype(np.float32)


def _chain(x: Any) -> Any:
    """All four linear layers, with normalization and without, and everything that passes a factor on."""
    x = layers.BatchNormalization(name="a_bn")(layers.Conv2D(6, 3, padding="same", use_bias=False, name="a")(x))
    x = layers.MaxPooling2D(name="pool")(layers.ReLU(name="a_act")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="b")(x)
    x = layers.BatchNormalization(name="b_bn")(x)
    x = layers.Activation("relu", name="b_act")(x)
    x = layers.UpSampling2D(interpolation="bilinear", name="up")(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, activation="relu", name="c")(x)
    x = layers.Conv2D(4, 1, name="d")(x)
    return layers.Dense(3, name="e")(layers.GlobalAveragePooling2D(name="mean")(x))


def _disable(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, (FakeQuant, QuantLinear)):
            layer.enabled = False


def _spread(model: keras.Model, factor: float) -> None:
    """Let the normalization's channels differ: every other one `factor` times as large."""
    for layer in model.layers:
        if type(layer) is layers.BatchNormalization:
            scale = factor ** np.resize((1.0, -1.0, 0.3, -0.6), layer.gamma.shape)
            layer.gamma.assign(layer.gamma * scale)
            layer.beta.assign(layer.beta * scale)


def _ranges(model: keras.Model, name: str, axes: tuple[int, ...]) -> np.ndarray:
    kernel = np.abs(np.asarray(model.get_layer(name).folded()[0]))
    return kernel.max(axes).reshape(-1)


def test_the_float_function_stays_as_it_is() -> None:
    model = net(_chain)
    _spread(model, 8.0)
    quantized = insert_quantizers(model)
    _disable(quantized)
    before = logits(quantized, SHOWN)
    done = equalize_layers(quantized)
    assert [(pair.first, pair.second) for pair in done.pairs] == [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]
    assert [pair.scales.shape for pair in done.pairs] == [(6,), (12,), (5,), (4,)]
    assert max(pair.scales.max() / pair.scales.min() for pair in done.pairs) > 8.0
    np.testing.assert_allclose(logits(quantized, SHOWN), before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_the_same_holds_in_training_by_batch_statistics() -> None:
    quantized = insert_quantizers(net(_chain))
    _disable(quantized)
    for layer in quantized.layers:
        if isinstance(layer, QuantLinear):
            layer.batch_statistics = layer.batch_norm
    before = np.asarray(quantized(SHOWN, training=True))
    equalize_layers(quantized)
    after = np.asarray(quantized(SHOWN, training=True))
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4 * np.abs(before).max())


def test_both_sides_of_a_channel_get_one_range() -> None:
    model = net(_chain)
    _spread(model, 8.0)
    quantized = insert_quantizers(model)
    equalize_layers(quantized)
    np.testing.assert_allclose(_ranges(quantized, "a", (0, 1, 2)), _ranges(quantized, "b", (0, 1, 3)), rtol=0.05)
    np.testing.assert_allclose(_ranges(quantized, "b", (0, 1)), _ranges(quantized, "c", (0, 1, 2)), rtol=0.05)
    np.testing.assert_allclose(_ranges(quantized, "c", (0, 1, 3)), _ranges(quantized, "d", (0, 1, 3)), rtol=0.05)


def test_a_single_pair_by_hand() -> None:
    """Ranges 8 and 2 give s = 2, 1 and 4 give s = 1/2 (eq. 11); a dead channel is left alone."""
    x = image = keras.Input((1, 1, 1), name="image")
    x = layers.Conv2D(3, 1, name="first")(layers.Rescaling(1 / 255, name="normalize")(x))
    model = keras.Model(image, layers.Conv2D(1, 1, name="second")(layers.ReLU(name="act")(x)), name="pair")
    model.get_layer("first").set_weights([np.array([8.0, 1.0, 0.0]).reshape(1, 1, 1, 3), np.array([2.0, 1.0, 5.0])])
    model.get_layer("second").set_weights([np.array([2.0, -4.0, 3.0]).reshape(1, 1, 3, 1), np.array([7.0])])
    quantized = insert_quantizers(model)
    (pair,) = equalize_layers(quantized).pairs
    np.testing.assert_allclose(pair.scales, [2.0, 0.5, 1.0])
    first, second = quantized.get_layer("first"), quantized.get_layer("second")
    np.testing.assert_allclose(np.asarray(first.kernel).reshape(-1), [4.0, 2.0, 0.0])
    np.testing.assert_allclose(np.asarray(first.bias), [1.0, 2.0, 5.0])
    np.testing.assert_allclose(np.asarray(second.kernel).reshape(-1), [4.0, -2.0, 3.0])
    np.testing.assert_allclose(np.asarray(second.bias), [7.0])


def test_what_does_not_pass_a_factor_on_is_skipped_with_the_reason() -> None:
    def body(x: Any) -> Any:
        x = layers.ReLU(6, name="a_act")(layers.Conv2D(4, 3, padding="same", name="a")(x))
        x = layers.Activation("sigmoid", name="b_act")(layers.Conv2D(4, 3, padding="same", name="b")(x))
        x = layers.Conv2D(4, 1, activation="relu6", name="c")(x)
        x = layers.ReLU(name="d_act")(layers.Conv2D(4, 1, name="d")(x))
        y = layers.Conv2D(4, 1, name="e")(x)
        return layers.Conv2D(3, 1, name="f")(layers.Add(name="sum")([x, y]))

    quantized = insert_quantizers(net(body))
    weights = quantized.get_weights()
    done = equalize_layers(quantized)
    assert done.pairs == ()
    assert {one.first: one.reason for one in done.skipped} == {
        "a": "a_act (ReLU up to 6) does not pass a factor on channel by channel",
        "b": "b_act (sigmoid) does not pass a factor on channel by channel",
        "c": "its activation relu6 does not pass a factor on",
        "d": "its output has 2 readers (e, sum)",
        "e": "sum (QuantAdd) does not pass a factor on channel by channel",
        "f": "its output leaves the model",
    }
    for before, after in zip(weights, quantized.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_nothing_to_equalize_is_an_error_that_says_why() -> None:
    def body(x: Any) -> Any:
        return layers.Conv2D(3, 1, name="last")(layers.ReLU(6, name="act")(layers.Conv2D(4, 3, name="first")(x)))

    with pytest.raises(UsageError, match=r"no two layers.*first was skipped since act \(ReLU up to 6\)"):
        quantize(net(body), [SHOWN], equalize=True)


def test_it_takes_most_of_the_rounding_error_where_unequal_channels_share_a_weight_scale() -> None:
    """At most a tenth of the squared error is left."""
    model = net(_chain)
    _spread(model, 8.0)
    expected = logits(model, SHOWN)
    plain, equalized = (
        quantize(model, [SHOWN], scheme="int8-per-tensor", equalize=equalize) for equalize in (False, True)
    )
    errors = [float(np.mean((logits(made, SHOWN) - expected) ** 2)) for made in (plain, equalized)]
    assert errors[1] < errors[0] / 10, errors


def test_activation_ranges_are_set_after_equalizing() -> None:
    model = net(_chain)
    _spread(model, 8.0)
    made = quantize(model, iter([SHOWN]), equalize=True, method="minmax")
    by_hand = insert_quantizers(model, scheme=find("int8"))
    equalize_layers(by_hand)
    calibrate(by_hand, [SHOWN], method="minmax")
    for name in ("a_act_quant", "b_act_quant", "up_quant"):
        # Settling makes steps a little larger, at most by 1 part in 32768.
        assert made.get_layer(name).get_range() == pytest.approx(by_hand.get_layer(name).get_range(), rel=0.01)
