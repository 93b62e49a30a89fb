"""Ranges that training finds by gradient. Holds on every backend: `test_on_jax` runs this file's tests on JAX."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.training.recipe import Recipe, optimizer

RNG = np.random.default_rng(0)
SHOWN = np.clip(RNG.normal(128, 50, (8, 8, 8, 3)), 0, 255).astype(np.float32)


def _quantizer(low: float, high: float, bits: int = 8) -> FakeQuant:
    quantizer = FakeQuant(bits=bits, ranges="learned")
    quantizer.build((None, 4))
    quantizer.set_range(low, high)
    return quantizer


def _alone(quantizer: FakeQuant, rate: float) -> keras.Model:
    """A quantizer whose output is to be its input; plain descent, nothing to move but the range."""
    values = keras.Input((4,))
    model = keras.Model(values, quantizer(values))
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    return model


def _gradient(quantizer: FakeQuant, x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """By one step of plain descent at rate 1: of the mean squared error with respect to (min, max)."""
    before = quantizer.get_range()
    _alone(quantizer, 1.0).train_on_batch(x, target)
    low, high = (float(ops.convert_to_numpy(end)) for end in (quantizer.range_min, quantizer.range_max))
    return before[0] - low, before[1] - high


@pytest.mark.parametrize(("bits", "low", "high"), [(8, -0.7, 2.0), (8, 0.0, 6.0), (8, -3.0, 1e-6), (16, -1.5, 1.5)])
def test_values_in_training_lie_on_the_grid_of_inference(bits: int, low: float, high: float) -> None:
    quantizer = _quantizer(low, high, bits)
    x = np.linspace(low - 1.0, high + 1.0, 1001, dtype=np.float32).reshape(1, -1)
    trained, used = (ops.convert_to_numpy(quantizer(x, training=training)) for training in (True, False))
    # To float32 rounding; at a tie between two steps that decides, which 1 value in 1000 may meet.
    apart = np.abs(trained - used) > 1e-6 * max(-low, high)
    assert apart.mean() <= 0.001
    assert np.abs(trained - used).max() <= quantizer.step * 1.001


def test_an_end_that_clips_gets_the_gradient_of_what_it_clips() -> None:
    """Of sum((y - x)² / 4): a clipped value pulls its end by 2 (end - x) / 4; rounding adds a thousandth."""
    x = np.array([[-3.0, -2.0, 5.0, 0.0]], np.float32)
    low, high = _gradient(_quantizer(-1.0, 2.0), x, x)
    assert low == pytest.approx(2 * (2.0 + 1.0) / 4, rel=0.02)
    assert high == pytest.approx(2 * -3.0 / 4, rel=0.02)


def test_inside_the_range_rounding_decides() -> None:
    """y = s·round(x / s): dy/ds = round(x / s) - x / s (LSQ, eq. 3), and s = high / 255."""
    quantizer = _quantizer(0.0, 2.55)
    x = np.array([[0.014, 0.012, 1.004, 2.006]], np.float32)
    rounding = np.array([-0.4, -0.2, -0.4, 0.4]) / 255
    target = x - np.array([[1.0, 1.0, -1.0, 1.0]], np.float32)
    y = np.array([[0.01, 0.01, 1.0, 2.01]])
    expected = float(np.sum(2 * (y - target) * rounding) / 4)
    assert _gradient(quantizer, x, target)[1] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("bits", [8, 16])
def test_training_finds_the_range_it_needs(bits: int) -> None:
    x = RNG.uniform(-1.0, 3.0, (64, 4)).astype(np.float32)
    quantizer = _quantizer(-0.1, 0.1, bits)
    model = _alone(quantizer, 0.5)
    first = float(model.train_on_batch(x, x))
    for _ in range(200):
        last = float(model.train_on_batch(x, x))
    assert last < first / 1000
    low, high = quantizer.get_range()
    assert high == pytest.approx(3.0, abs=0.2)
    assert low == pytest.approx(-1.0 if bits == 8 else -high, abs=0.2)


def test_a_one_sided_range_stays_so_and_comes_back_when_it_is_not() -> None:
    quantizer = _quantizer(0.0, 1.0)
    positive = np.array([[0.0, 0.3, 0.7, 4.0]], np.float32)
    low, high = _gradient(quantizer, positive, positive)
    assert low == 0.0
    assert high < -1.0
    low, _ = _gradient(quantizer, -positive, -positive)
    assert low > 1.0
    assert quantizer.get_range()[0] < 0.0


def test_no_step_takes_zero_out_of_the_range_or_empties_it() -> None:
    quantizer = _quantizer(-0.5, 0.5)
    model = _alone(quantizer, 100.0)
    x = np.array([[-9.0, 9.0, 0.1, 0.2]], np.float32)
    model.train_on_batch(x, np.zeros_like(x))  # the best range for this target is none at all
    low, high = (float(ops.convert_to_numpy(end)) for end in (quantizer.range_min, quantizer.range_max))
    assert low == 0.0
    assert 0.0 < high < 1e-5
    assert np.isfinite(float(model.train_on_batch(x, x)))
    assert quantizer.get_range()[1] > 1.0, "it finds its way back"


def _network(ranges: str = "learned") -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = layers.ReLU(name="stem_act")(layers.Conv2D(8, 3, padding="same", name="stem")(x))
    x = layers.Conv2D(8, 3, padding="same", name="mix")(x)
    model = keras.Model(image, layers.Conv2D(2, 1, name="last")(x), name="net")
    quantized = insert_quantizers(model, ranges=ranges)
    calibrate(quantized, [SHOWN])
    return quantized


def _ranges(model: keras.Model) -> dict[str, tuple[float, float]]:
    return {one.name: one.get_range() for one in model.layers if isinstance(one, FakeQuant) and one.observes}


def test_a_network_recovers_from_ranges_that_are_far_too_small() -> None:
    quantized = _network()
    for layer in quantized.layers:
        layer.trainable = isinstance(layer, FakeQuant)
    target = ops.convert_to_numpy(quantized(SHOWN, training=False))
    right = _ranges(quantized)
    for name, (low, high) in right.items():
        quantized.get_layer(name).set_range(low / 10, high / 10)
    variables = quantized.trainable_variables
    assert sorted({v.name for v in variables}) == ["range_max", "range_min"]
    quantized.compile(optimizer=optimizer(Recipe(steps=120, learning_rate=0.1), variables), loss="mse")
    before = float(quantized.test_on_batch(SHOWN, target))
    for _ in range(120):
        quantized.train_on_batch(SHOWN, target)
    after = float(quantized.test_on_batch(SHOWN, target))
    assert after < before / 50, (before, after)
    found = _ranges(quantized)
    assert found["stem_act_quant"][0] == 0.0
    assert all(found[name][1] > 3 * right[name][1] / 10 for name in right)


def test_ranges_do_not_decay() -> None:
    quantized = _network()
    before = _ranges(quantized)
    variables = quantized.trainable_variables
    rate = optimizer(Recipe(steps=10, learning_rate=0.5, warmup=0.0, weight_decay=0.1), variables)
    kernel = ops.convert_to_numpy(quantized.get_layer("mix").kernel)
    rate.apply([np.zeros(v.shape, np.float32) for v in variables], variables)
    assert _ranges(quantized) == before
    assert not np.array_equal(ops.convert_to_numpy(quantized.get_layer("mix").kernel), kernel)


PROGRAM = """
import keras, pytest, sys
assert keras.backend.backend() == "jax"
sys.exit(pytest.main([sys.argv[1], "-q", "-p", "no:cacheprovider", "-k", "not on_jax"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX: pip install 'mobile-seg[jax]'")
def test_on_jax() -> None:
    """The backend is fixed when Keras is imported, so in a process of its own."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__))], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
