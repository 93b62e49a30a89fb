"""Fake quantization, against the formula written down here a second time."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobile_seg.quantization.fake_quant import RANGE_FLOOR, FakeQuant


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


def test_sixteen_bits_are_symmetric_around_an_exact_zero() -> None:
    quantizer = FakeQuant(bits=16)
    quantizer.build((1, 1))
    quantizer.set_range(-0.25, 3.0)
    assert quantizer.get_range() == (-3.0, 3.0)
    assert quantizer.step == pytest.approx(3.0 / 32767)
    x = np.linspace(-3.2, 3.2, 1001, dtype=np.float32)
    made = np.asarray(quantizer(x[None]))[0]
    expected = np.clip(np.round(x / quantizer.step), -32767, 32767) * quantizer.step
    assert np.abs(made - expected).max() <= 1.01 * quantizer.step, "a tie may fall to either side"
    assert np.mean(np.abs(made - expected) > 0.01 * quantizer.step) < 0.01


def test_step_and_zero_point_are_those_of_the_grid() -> None:
    quantizer = FakeQuant(fixed_range=(-0.5, 2.05))
    quantizer.build((1, 1))
    assert quantizer.step == pytest.approx(0.01)
    assert quantizer.zero_point == 50


@pytest.mark.parametrize(("ties", "expected"), [("up", [-1, 0, 1, 2, 3]), ("away", [-2, -1, 1, 2, 3])])
def test_ties_are_rounded_as_asked(ties: str, expected: list[int]) -> None:
    """-1.5 .. 2.5 steps from the signed 0, which is 128 steps above the range's lower end."""
    step = 2.0**-4
    quantizer = FakeQuant(fixed_range=(-100 * step, 155 * step), ties=ties)
    ties_at = (np.array([-1.5, -0.5, 0.5, 1.5, 2.5], np.float32) + 28) * np.float32(step)
    made = np.asarray(quantizer(ties_at[None]))[0] / step - 28
    np.testing.assert_array_equal(made, expected)


def test_with_an_observer_or_switched_off_it_changes_nothing() -> None:
    x, seen = np.array([[0.123, 7.0]], np.float32), []
    quantizer = FakeQuant(fixed_range=(-1.0, 1.0))
    quantizer.observer = seen.append
    np.testing.assert_array_equal(np.asarray(quantizer(x)), x)
    assert len(seen) == 1
    quantizer.observer, quantizer.enabled = None, False
    np.testing.assert_array_equal(np.asarray(quantizer(x)), x)
    quantizer.enabled = True
    assert np.asarray(quantizer(x)).max() < 1.01


@pytest.mark.parametrize(
    ("config", "observes"), [({}, True), ({"fixed_range": (0.0, 1.0)}, False), ({"follows": "other_quant"}, False)]
)
def test_it_finds_its_range_unless_that_is_given(config: dict[str, object], observes: bool) -> None:
    quantizer = FakeQuant(decay=0.5, **config)
    quantizer.build((1, 1))
    before = quantizer.get_range()
    assert quantizer.observes is observes
    quantizer(np.array([[-4.0, 4.0]], np.float32), training=True)
    assert (quantizer.get_range() != before) is observes


@pytest.mark.parametrize("ranges", ["average", "learned"])
def test_only_learned_ranges_train_and_only_where_they_are_found(ranges: str) -> None:
    for config, trained in (({}, ranges == "learned"), ({"fixed_range": (-1.0, 1.0)}, False)):
        quantizer = FakeQuant(ranges=ranges, **config)
        quantizer.build((1, 1))
        assert len(quantizer.trainable_variables) == (2 if trained else 0)


def test_it_saves_and_loads() -> None:
    config = {"bits": 16, "decay": 0.9, "ranges": "learned", "fixed_range": (-1.0, 2.0), "follows": "x", "ties": "away"}
    quantizer = FakeQuant(name="q", **config)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(quantizer))
    assert {key: getattr(again, key) for key in config} == config
    assert again.name == "q"


def test_a_batch_of_zeros_leaves_a_range_that_can_be_divided_by() -> None:
    quantizer = FakeQuant(decay=0.0)
    quantizer(np.zeros((1, 4), np.float32), training=True)
    assert quantizer.get_range() == (0.0, pytest.approx(RANGE_FLOOR))
    assert not np.asarray(quantizer(np.zeros((1, 4), np.float32))).any()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tensor_that_is_always_zero_has_steps_that_kernels_can_count_in(bits: int) -> None:
    quantizer = FakeQuant(bits=bits)
    quantizer.build((1, 2))
    quantizer.set_range(0.0, 0.0)
    assert 6.0 / quantizer.step < 2**31, "a ReLU6's limit, as an integer"
