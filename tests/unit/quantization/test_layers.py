"""Fake quantization and folding, against formulas written down here a second time."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from unit.quantization.nets import calibrated, images, logits, net

from mobile_seg.quantization.layers import (
    FakeQuant,
    QuantConv2D,
    QuantDepthwiseConv2D,
    fake_quantize_weights,
)
from mobile_seg.verify.keras_runner import load_keras


def _grid(low: float, high: float, bits: int = 8) -> tuple[float, int]:
    """Scale and zero point of an unsigned integer over [low, high] (arXiv:1712.05877, eq. 1 and sec. 3.1)."""
    levels = 2**bits - 1
    scale = (high - low) / levels
    return scale, int(np.clip(np.floor(-low / scale + 0.5), 0, levels))


RANGES = st.tuples(st.floats(-8.0, 0.0, width=32), st.floats(0.0625, 8.0, width=32))


@settings(max_examples=50)
@given(RANGES, st.sampled_from((4, 8)))
def test_rounding_follows_the_formula(limits: tuple[float, float], bits: int) -> None:
    low, high = limits
    scale, zero_point = _grid(low, high, bits)
    x = np.linspace(low - 1.0, high + 1.0, 997)
    exact = x / scale + zero_point
    away_from_ties = np.abs(exact - np.floor(exact) - 0.5) > 1e-3
    expected = (np.clip(np.floor(exact + 0.5), 0, 2**bits - 1) - zero_point) * scale
    made = np.asarray(FakeQuant(bits=bits, fixed_range=(low, high))(x.astype(np.float32)[None]))[0]
    np.testing.assert_allclose(made[away_from_ties], expected[away_from_ties], atol=1e-5)
    assert len(np.unique(made)) <= 2**bits


def test_zero_stays_zero() -> None:
    for low, high in ((-1.0, 2.0), (-0.7, 0.3), (0.0, 6.0), (-3.1, 0.0)):
        quantizer = FakeQuant()
        quantizer.build((1, 1))
        quantizer.set_range(low, high)
        assert float(np.asarray(quantizer(np.zeros((1, 1), np.float32)))[0, 0]) == 0.0


def test_the_gradient_passes_inside_the_range_and_stops_outside() -> None:
    import tensorflow as tf

    x = tf.constant([-1.5, -0.999, -0.3, 0.0, 0.7, 1.98, 2.5])
    quantizer = FakeQuant(fixed_range=(-1.0, 2.0))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(quantizer(x) * tf.range(1.0, 8.0))
    np.testing.assert_allclose(tape.gradient(total, x), [0, 2, 3, 4, 5, 6, 0])


def test_the_range_follows_the_batches_only_in_training() -> None:
    quantizer = FakeQuant(decay=0.9)
    x = np.array([[-3.0, 0.5, 5.0]], np.float32)
    quantizer(x, training=False)
    assert quantizer.get_range() == (0.0, 1.0)
    quantizer(x, training=True)
    assert quantizer.get_range() == pytest.approx((0.9 * 0.0 + 0.1 * -3.0, 0.9 * 1.0 + 0.1 * 5.0))
    quantizer(np.array([[1.0, 2.0]], np.float32), training=True)
    # A batch above zero pulls the lower end to zero, never past it.
    assert quantizer.get_range() == pytest.approx((-0.27, 0.9 * 1.4 + 0.1 * 2.0))


def test_a_fixed_range_does_not_follow() -> None:
    quantizer = FakeQuant(fixed_range=(-1.0, 1.0))
    quantizer(np.array([[9.0]], np.float32), training=True)
    assert quantizer.get_range() == (-1.0, 1.0)


def test_a_range_always_holds_zero_and_is_never_empty() -> None:
    quantizer = FakeQuant()
    quantizer.build((1, 1))
    quantizer.set_range(0.5, 2.0)
    assert quantizer.get_range() == (0.0, 2.0)
    quantizer.set_range(-4.0, -2.0)
    low, high = quantizer.get_range()
    assert low == -4.0
    assert high > 0.0
    quantizer.set_range(0.0, 0.0)
    assert np.isfinite(np.asarray(quantizer(np.ones((1, 1), np.float32)))).all()


@pytest.mark.parametrize(("shape", "axes"), [((3, 3, 4, 5), (0, 1, 2)), ((3, 3, 4, 2), (0, 1))])
def test_weights_have_a_symmetric_grid_per_channel(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weights *= 10.0 ** np.arange(-2, shape[-1] - 2)
    made = np.asarray(fake_quantize_weights(weights, axes=axes, bits=8))
    step = np.abs(weights).max(axes, keepdims=True) / 127
    np.testing.assert_allclose(made / step, np.clip(np.round(weights / step), -127, 127), atol=1e-3)
    # Nothing is lost to a louder neighbour: each channel keeps its own largest value.
    np.testing.assert_allclose(np.abs(made).max(axes), np.abs(weights).max(axes), rtol=1e-6)


def test_weights_of_zero_stay_zero_and_their_gradient_passes() -> None:
    import tensorflow as tf

    weights = tf.Variable(np.zeros((1, 1, 2, 2), np.float32))
    with tf.GradientTape() as tape:
        made = fake_quantize_weights(weights, axes=(0, 1, 2), bits=8)
        total = tf.reduce_sum(made * 3.0)
    assert not np.asarray(made).any()
    np.testing.assert_array_equal(tape.gradient(total, weights), np.full((1, 1, 2, 2), 3.0))


def _pair(layer: Any, normalization: dict[str, Any], twin: Any, **config: Any) -> tuple[keras.Model, Any]:
    """Convolution and normalization as a float model, and its folded twin with 24-bit weights, which round nothing."""
    image = keras.Input((9, 9, 3))
    batch_norm = layers.BatchNormalization(epsilon=1e-3, **normalization)
    model = keras.Model(image, batch_norm(layer(image)))
    rng = np.random.default_rng(1)
    for variable in model.weights:
        positive = variable.path.rsplit("/")[-1] in ("gamma", "moving_variance")
        variable.assign(rng.uniform(0.3, 2.0, variable.shape) if positive else rng.normal(size=variable.shape))
    folded = twin(bits=24, batch_norm=True, epsilon=1e-3, use_bias=layer.use_bias, **config)
    folded.build(image.shape)
    folded.take_weights(layer, batch_norm)
    return model, folded


NORMALIZATIONS = [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=str)
def test_folding_is_convolution_and_normalization(normalization: dict[str, Any], use_bias: bool) -> None:
    x = np.random.default_rng(2).normal(size=(2, 9, 9, 3)).astype(np.float32)
    common = {"strides": 2, "padding": "same"}
    model, folded = _pair(
        layers.Conv2D(5, 3, use_bias=use_bias, **common), normalization, QuantConv2D, filters=5, kernel_size=3, **common
    )
    np.testing.assert_allclose(folded(x), model(x, training=False), atol=1e-5, rtol=1e-5)
    common = {"dilation_rate": 2, "padding": "valid", "depth_multiplier": 2}
    model, folded = _pair(
        layers.DepthwiseConv2D(3, use_bias=use_bias, **common),
        normalization,
        QuantDepthwiseConv2D,
        kernel_size=3,
        **common,
    )
    np.testing.assert_allclose(folded(x), model(x, training=False), atol=1e-5, rtol=1e-5)


def test_depthwise_scales_are_per_channel() -> None:
    layer = QuantDepthwiseConv2D(3, depth_multiplier=2, use_bias=False)
    layer.build((None, 8, 8, 3))
    loudness = 10.0 ** np.arange(6).reshape(1, 1, 3, 2)
    layer.kernel.assign(np.random.default_rng(0).uniform(0.5, 1.0, (3, 3, 3, 2)) * loudness)
    kernel, _ = layer.deploy_weights()
    for channel in np.ndindex(3, 2):
        step = np.abs(np.asarray(layer.kernel)[(..., *channel)]).max() / 127
        levels = kernel[(..., *channel)] / step
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
        assert len(np.unique(np.round(levels))) > 5


def _trainable_net() -> keras.Model:
    def body(x: Any) -> Any:
        x = layers.ReLU(6)(layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, use_bias=False, name="conv")(x)))
        x = layers.BatchNormalization(scale=False)(layers.DepthwiseConv2D(3, name="depthwise")(x))
        return layers.Conv2D(3, 1, name="logits")(x)

    return net(body)


def test_a_quantized_model_saves_and_loads_to_the_bit(tmp_path: Path) -> None:
    model = calibrated(_trainable_net())
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", run_eagerly=True)
    target = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)
    model.train_on_batch(images().astype(np.float32), target)
    model.save(tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(loaded, images()), logits(model, images()))
    # Not only what inference reads: training goes on from the same state.
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)


def test_training_reaches_every_weight_and_lowers_the_loss() -> None:
    model = calibrated(_trainable_net())
    before = {variable.path: np.asarray(variable).copy() for variable in model.trainable_variables}
    model.compile(optimizer=keras.optimizers.SGD(0.02), loss="mse", run_eagerly=True)
    target = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)
    losses = [float(model.train_on_batch(images().astype(np.float32), target)) for _ in range(5)]
    assert losses[-1] < losses[0]
    still = [path for path, value in before.items() if np.array_equal(value, np.asarray(_of(model, path)))]
    assert still == []


def _of(model: keras.Model, path: str) -> Any:
    return next(variable for variable in model.trainable_variables if variable.path == path)
