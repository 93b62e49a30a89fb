"""Quantization-aware linear layers: folding, grids, batch statistics, and what they save."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import calibrated, images, logits, net

from mobile_seg.graph import copy_layer
from mobile_seg.quantization.linear_layers import (
    TWINS,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
)
from mobile_seg.quantization.scheme import WEIGHTS
from mobile_seg.quantization.settle import freeze_batch_norm, settle, thaw_batch_norm
from mobile_seg.verify.keras_runner import load_keras

RNG = np.random.default_rng(0)
IMAGE = (9, 9, 3)

Layer = Callable[..., Any]
LINEAR: dict[str, Layer] = {
    "conv": lambda **options: layers.Conv2D(5, 3, strides=2, padding="same", **options),
    "conv_dilated": lambda **options: layers.Conv2D(5, 3, dilation_rate=2, **options),
    "depthwise": lambda **options: layers.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2, **options),
    "transposed": lambda **options: layers.Conv2DTranspose(5, 3, strides=2, padding="same", **options),
    "dense": lambda **options: layers.Dense(5, **options),
}


def _twin(layer: Any, **config: Any) -> Any:
    return TWINS[type(layer)].from_config({**layer.get_config(), **config})


def _randomized(layer: Any) -> None:
    for variable in layer.weights:
        positive = variable.path.rsplit("/")[-1] in ("gamma", "moving_variance")
        shape = variable.shape
        variable.assign(RNG.uniform(0.3, 2.0, shape) if positive else RNG.normal(size=shape))


def _pair(make: Layer, normalization: dict[str, Any] | None, **config: Any) -> tuple[keras.Model, Any]:
    """A linear layer, perhaps with a normalization, as a float model; and its twin with their weights."""
    image = keras.Input(IMAGE)
    layer = make()
    batch_norm = None if normalization is None else layers.BatchNormalization(**{"epsilon": 1e-2, **normalization})
    x = layer(image)
    model = keras.Model(image, x if batch_norm is None else batch_norm(x))
    for each in model.layers:
        _randomized(each)
    folding = {} if batch_norm is None else {"batch_norm": True, "epsilon": 1e-2, "momentum": batch_norm.momentum}
    twin = _twin(layer, **folding, **config)
    twin.build((None, *IMAGE))
    twin.take_weights(layer, batch_norm)
    return model, twin


def _input() -> np.ndarray:
    return RNG.normal(size=(2, *IMAGE)).astype(np.float32)


NORMALIZATIONS = [None, {}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=str)
@pytest.mark.parametrize("name", LINEAR)
def test_folding_is_the_layer_and_its_normalization(
    name: str, normalization: dict[str, Any] | None, use_bias: bool
) -> None:
    model, twin = _pair(lambda: LINEAR[name](use_bias=use_bias), normalization, weights="float32")
    x = _input()
    np.testing.assert_allclose(twin(x), model(x, training=False), atol=2e-5, rtol=2e-5)


def _channels_last(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """A kernel as `[..., channels]`, in the order of the layer's output channels."""
    if isinstance(layer, QuantDepthwiseConv2D):
        return kernel.reshape(*kernel.shape[:2], -1)
    return np.moveaxis(kernel, -2, -1) if isinstance(layer, QuantConv2DTranspose) else kernel


@pytest.mark.parametrize("name", LINEAR)
def test_each_output_channel_has_a_grid_of_its_own(name: str) -> None:
    layer = _twin(LINEAR[name]())
    layer.build((None, *IMAGE))
    kernel = RNG.uniform(0.5, 1.0, layer.kernel.shape).astype(np.float32)
    _channels_last(layer, kernel)[...] *= 10.0 ** np.arange(-2, _channels_last(layer, kernel).shape[-1] - 2)
    layer.kernel.assign(kernel)
    made, _ = layer.quantized()
    made, kernel = _channels_last(layer, np.asarray(made)), _channels_last(layer, kernel)
    axes = tuple(range(kernel.ndim - 1))
    step = np.abs(kernel).max(axes) / 127
    np.testing.assert_allclose(made / step, np.round(kernel / step), atol=1e-3)
    # Nothing is lost to a louder neighbour: each channel keeps its own largest value.
    np.testing.assert_allclose(np.abs(made).max(axes), np.abs(kernel).max(axes), rtol=1e-6)
    assert layer.weight_steps().shape == kernel.shape[-1:]
    np.testing.assert_allclose(layer.weight_steps(), step, rtol=1 / 32768)


@pytest.mark.parametrize("name", LINEAR)
def test_per_tensor_weights_share_one_step(name: str) -> None:
    _, twin = _pair(LINEAR[name], None, weights="int8-per-tensor")
    kernel = np.asarray(twin.kernel)
    made, _ = twin.quantized()
    step = np.abs(kernel).max() / 127
    np.testing.assert_allclose(np.asarray(made) / step, np.round(kernel / step), atol=1e-3)
    assert twin.weight_steps().shape == ()


@pytest.mark.parametrize("name", LINEAR)
def test_half_precision_weights_are_rounded_to_it(name: str) -> None:
    _, twin = _pair(LINEAR[name], {}, weights="float16")
    kernel, _ = twin.folded()
    made, _ = twin.quantized()
    np.testing.assert_array_equal(np.asarray(made), np.asarray(kernel).astype(np.float16).astype(np.float32))
    assert not twin.has_steps


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_gradient_reaches_the_weights_unchanged(weights: str) -> None:
    import tensorflow as tf

    _, twin = _pair(LINEAR["dense"], None, weights=weights)
    factor = RNG.normal(size=twin.kernel.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(twin.quantized()[0] * factor)
    np.testing.assert_allclose(tape.gradient(total, twin.kernel.value), factor, rtol=1e-6)


def test_weights_of_zero_stay_zero() -> None:
    layer = QuantConv2D(2, 3)
    layer.build((None, *IMAGE))
    layer.kernel.assign(np.zeros(layer.kernel.shape, np.float32))
    assert not np.asarray(layer(_input())).any()


def _by_keras(model: keras.Model, twin: Any, x: np.ndarray) -> tuple[Any, Any, Any]:
    """The float pair in training, its kernel replaced by the twin's quantized one; output and moving statistics."""
    layer, batch_norm = model.layers[1], model.layers[2]
    spread = np.asarray(twin._per_channel(twin._factor()))
    kernel = np.asarray(twin.kernel)
    step = np.asarray(twin._step(kernel * spread))
    layer.kernel.assign(np.round(kernel * spread / step) * step / spread)
    y = model(x, training=True)
    return y, batch_norm.moving_mean, batch_norm.moving_variance


@pytest.mark.parametrize("weights", ["int8", "int8-per-tensor"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_batch_statistics_are_those_of_the_normalization(name: str, use_bias: bool, weights: str) -> None:
    model, twin = _pair(
        lambda: LINEAR[name](use_bias=use_bias), {"momentum": 0.7}, weights=weights, batch_statistics=True
    )
    x = _input()
    moving = np.asarray(twin.moving_mean).copy()
    expected, mean, variance = _by_keras(model, twin, x)
    made = twin(x, training=True)
    np.testing.assert_allclose(made, expected, atol=2e-4, rtol=2e-4)
    assert np.abs(np.asarray(twin.moving_mean) - moving).max() > 1e-2
    np.testing.assert_allclose(twin.moving_mean, mean, atol=1e-5, rtol=1e-5)
    # Keras corrects no bias of the variance; nor do we.
    np.testing.assert_allclose(twin.moving_variance, variance, atol=1e-5, rtol=1e-4)


def test_frozen_statistics_are_folded_in_training_as_in_inference() -> None:
    model = calibrated(net(lambda x: layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(x))))
    assert not freeze_batch_norm(model), "nothing is thawed at first"
    thaw_batch_norm(model)
    layer, x = model.get_layer("conv"), _input()
    before = [np.asarray(value).copy() for value in (layer.moving_mean, layer.moving_variance)]
    by_batch = np.asarray(layer(x, training=True))
    after = [np.asarray(value).copy() for value in (layer.moving_mean, layer.moving_variance)]
    assert all(np.abs(one - other).max() > 0 for one, other in zip(before, after, strict=True))
    assert freeze_batch_norm(model)
    folded = np.asarray(layer(x, training=True))
    np.testing.assert_array_equal(layer.moving_mean, after[0])
    np.testing.assert_allclose(folded, layer(x, training=False), atol=1e-5)
    assert np.abs(folded - by_batch).max() > 1e-2


def test_a_channel_without_scale_gives_its_offset() -> None:
    _, twin = _pair(LINEAR["conv"], {}, batch_statistics=True)
    twin.gamma.assign(np.zeros(twin.gamma.shape, np.float32))
    for training in (True, False):
        made = np.asarray(twin(_input(), training=training))
        np.testing.assert_allclose(made, np.broadcast_to(np.asarray(twin.beta), made.shape), atol=1e-5)


def test_what_trains_is_kernel_bias_scale_and_shift() -> None:
    _, twin = _pair(LINEAR["conv"], {})
    assert {variable.name for variable in twin.trainable_variables} == {"kernel", "bias", "gamma", "beta"}
    _, dense = _pair(LINEAR["dense"], None)
    assert type(dense) is QuantDense
    assert {variable.name for variable in dense.trainable_variables} == {"kernel", "bias"}


def test_training_forgets_the_steps() -> None:
    _, twin = _pair(LINEAR["conv"], None)
    twin.settle(0.01, 0.1)
    assert float(twin.output_step) > 0
    twin(_input(), training=True)
    assert float(twin.output_step) == 0
    assert not np.asarray(twin.weight_step).any()


@pytest.mark.parametrize("weights", ["int8", "int8-per-tensor"])
@pytest.mark.parametrize("name", LINEAR)
def test_a_baked_layer_computes_the_same_from_plain_weights(name: str, weights: str) -> None:
    _, twin = _pair(LINEAR[name], {}, weights=weights)
    twin.settle(0.05, None)
    baked = copy_layer(twin, batch_norm=False, baked=True, use_bias=True)
    baked.build((None, *IMAGE))
    baked.bake(twin)
    x = _input()
    np.testing.assert_allclose(baked(x), twin(x), atol=1e-4, rtol=1e-4)
    shares = np.asarray(baked.weight_max) / 127
    np.testing.assert_array_equal(shares, np.asarray(twin.weight_step))


def _trainable(x: Any) -> Any:
    x = layers.ReLU(6)(layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, use_bias=False, name="conv")(x)))
    x = layers.BatchNormalization(scale=False)(layers.DepthwiseConv2D(3, name="depthwise")(x))
    x = layers.Conv2DTranspose(4, 3, padding="same", name="transposed")(x)
    return layers.Dense(3, name="logits")(x)


TARGET = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)


def _trained(steps: int) -> tuple[keras.Model, list[float]]:
    model = calibrated(net(_trainable))
    thaw_batch_norm(model)
    model.compile(optimizer=keras.optimizers.SGD(0.02), loss="mse", run_eagerly=True)
    return model, [float(model.train_on_batch(images().astype(np.float32), TARGET)) for _ in range(steps)]


def test_a_quantized_model_saves_and_loads_to_the_bit(tmp_path: Path) -> None:
    for settled in (False, True):
        model, _ = _trained(1)
        if settled:
            settle(model)
        model.save(tmp_path / "model.keras")
        loaded = load_keras(tmp_path / "model.keras")
        np.testing.assert_array_equal(logits(loaded, images()), logits(model, images()))
        # Not only what inference reads: training goes on from the same state.
        for one, other in zip(model.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)
        thawed = [layer.batch_statistics for layer in loaded.layers if hasattr(layer, "batch_statistics")]
        assert any(thawed) is not settled


def test_training_reaches_every_weight_and_lowers_the_loss() -> None:
    before = {
        variable.path: np.asarray(variable).copy() for variable in calibrated(net(_trainable)).trainable_variables
    }
    model, losses = _trained(5)
    assert losses[-1] < losses[0]
    after = {variable.path: np.asarray(variable) for variable in model.trainable_variables}
    assert before.keys() == after.keys()
    # Behind batch statistics a bias has no effect, and none of these layers has one that counts.
    still = {path for path, value in before.items() if np.abs(value - after[path]).max() < 1e-7}
    assert still <= {"depthwise/bias"}
