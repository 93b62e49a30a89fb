"""The layers that Keras lacks: their arithmetic, what they refuse, and that files keep them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from mobile_seg.errors import UsageError
from mobile_seg.layers import SpaceToDepth, SwitchableAtrousConv2D, WeightedSum

RNG = np.random.default_rng(3)


def _tensors(count: int, shape: tuple[int, ...] = (2, 4, 6, 3)) -> list[np.ndarray]:
    return [RNG.normal(size=shape).astype(np.float32) for _ in range(count)]


def test_a_weighted_sum_starts_as_a_mean() -> None:
    tensors = _tensors(3)
    np.testing.assert_allclose(WeightedSum()(tensors), sum(tensors) / 3.0001, rtol=1e-5, atol=1e-6)


def test_a_weighted_sum_divides_by_the_positive_weights() -> None:
    layer, tensors = WeightedSum(), _tensors(3)
    layer(tensors)
    layer.fusion.assign([0.5, -2.0, 1.5])
    np.testing.assert_allclose(layer.normalized(), np.array([0.5, 0.0, 1.5]) / 2.0001, rtol=1e-6)
    expected = (0.5 * tensors[0] + 1.5 * tensors[2]) / 2.0001
    np.testing.assert_allclose(layer(tensors), expected, rtol=1e-5, atol=1e-6)


def test_a_weighted_sum_whose_weights_all_died_is_zero_and_finite() -> None:
    layer, tensors = WeightedSum(), _tensors(2)
    layer(tensors)
    layer.fusion.assign([-1.0, -1.0])
    np.testing.assert_array_equal(layer(tensors), np.zeros_like(tensors[0]))


def test_the_weights_of_a_sum_learn() -> None:
    layer, (one, other) = WeightedSum(), _tensors(2)
    inputs = [keras.Input((4, 6, 3)), keras.Input((4, 6, 3))]
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit([one, other], one, epochs=5, verbose=0)
    first, second = np.asarray(layer.normalized())
    assert first > 0.6 > second


REFUSED_SUMS: dict[str, Any] = {
    "one tensor": lambda: WeightedSum(name="fuse")(_tensors(1)[0]),
    "a list of one": lambda: WeightedSum(name="fuse")(_tensors(1)),
    "two shapes": lambda: WeightedSum(name="fuse")([*_tensors(1), *_tensors(1, (2, 1, 1, 3))]),
}


@pytest.mark.parametrize("case", REFUSED_SUMS)
def test_what_a_weighted_sum_cannot_sum_is_refused(case: str) -> None:
    with pytest.raises(UsageError, match="fuse sums a list of two or more tensors of one shape"):
        REFUSED_SUMS[case]()


@pytest.mark.parametrize(("block", "size"), [(2, (4, 6)), (3, (3, 9)), (4, (8, 4))])
def test_space_to_depth_orders_channels_as_tensorflow_does(block: int, size: tuple[int, int]) -> None:
    (x,) = _tensors(1, (2, *size, 5))
    layer = SpaceToDepth(block)
    np.testing.assert_array_equal(layer(x), tf.nn.space_to_depth(x, block))
    assert layer.compute_output_shape((None, *size, 5)) == (None, size[0] // block, size[1] // block, 5 * block * block)


def test_space_to_depth_refuses_sizes_that_leave_a_rest() -> None:
    with pytest.raises(UsageError, match="odd cuts 5x4 pixels into blocks of 2; height and width must be known mult"):
        SpaceToDepth(2, name="odd")(keras.Input((5, 4, 3)))
    with pytest.raises(UsageError, match="odd cuts 4xNone pixels into blocks of 2"):
        SpaceToDepth(2, name="odd")(keras.Input((4, None, 3)))
    with pytest.raises(UsageError, match="block_size=1: a block has at least 2"):
        SpaceToDepth(1)


def test_a_switchable_convolution_blends_two_rates_at_each_pixel() -> None:
    (x,) = _tensors(1, (2, 7, 9, 3))
    switch = RNG.uniform(-0.5, 1.5, (2, 7, 9, 1)).astype(np.float32)
    layer = SwitchableAtrousConv2D(4, rates=(2, 6))
    found = np.asarray(layer([x, switch]))
    near, far = (np.asarray(tf.nn.conv2d(x, np.asarray(layer.kernel), 1, "SAME", dilations=rate)) for rate in (2, 6))
    np.testing.assert_allclose(found, (1 - switch) * near + switch * far, rtol=1e-4, atol=1e-5)
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 3, 3, 4)]
    assert layer.compute_output_shape([(None, 7, 9, 3), (None, 7, 9, 1)]) == (None, 7, 9, 4)


def test_a_switchable_convolution_learns_its_kernel_and_its_switch() -> None:
    image = keras.Input((7, 9, 3))
    switch = keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name="switch")(image)
    model = keras.Model(image, SwitchableAtrousConv2D(4, name="sac")([image, switch]))
    before = [np.asarray(weight).copy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(*_tensors(1, (2, 7, 9, 3)), np.ones((2, 7, 9, 4), np.float32))
    assert all(np.any(np.asarray(now) != then) for now, then in zip(model.trainable_weights, before, strict=True))


@pytest.mark.parametrize("shape", [(2, 7, 9, 2), (2, 7, 8, 1), (2, 1, 1, 1)])
def test_a_switch_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    x, switch = _tensors(1, (2, 7, 9, 3)) + _tensors(1, shape)
    with pytest.raises(UsageError, match=r"sac takes \[x, switch\], the switch as large as x with 1 channel"):
        SwitchableAtrousConv2D(4, name="sac")([x, switch])
    with pytest.raises(UsageError, match=r"sac takes \[x, switch\]"):
        SwitchableAtrousConv2D(4, name="sac")(x)


def test_a_file_keeps_a_switchable_convolution(tmp_path: Path) -> None:
    image = keras.Input((7, 9, 3))
    x = SwitchableAtrousConv2D(4, 5, rates=(2, 4), kernel_initializer="ones", name="sac")([image, image[..., :1]])
    model = keras.Model(image, x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    kept = again.get_layer("sac")
    assert (kept.filters, kept.kernel_size, kept.rates) == (4, 5, (2, 4))
    assert isinstance(kept.kernel_initializer, keras.initializers.Ones)
    (pixels,) = _tensors(1, (2, 7, 9, 3))
    np.testing.assert_array_equal(again(pixels), model(pixels))


def test_a_file_keeps_both_layers(tmp_path: Path) -> None:
    image = keras.Input((4, 6, 3))
    x = SpaceToDepth(2, name="s2d")(image)
    model = keras.Model(image, WeightedSum(name="fuse")([x, keras.layers.ReLU()(x)]))
    model.get_layer("fuse").fusion.assign([0.25, 0.75])
    model.save(tmp_path / "model.keras")
    (pixels,) = _tensors(1)
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("s2d").block_size == 2
    np.testing.assert_array_equal(again(pixels), model(pixels))
