"""The integer arithmetic of settled models, against 64-bit integers in NumPy, written down a second time."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg.quantization.arithmetic import (
    MANTISSA,
    QuantAdd,
    QuantConcatenate,
    QuantMultiply,
    QuantResize,
    QuantSubtract,
    neighbours,
    requantized,
    snapped,
    snapped_range,
)

STEPS = st.floats(1e-6, 4.0)


@given(STEPS)
def test_a_snapped_step_is_the_next_of_few_bits(step: float) -> None:
    made = Fraction(float(snapped(step)))
    odd = made.numerator
    while odd % 2 == 0:
        odd //= 2
    assert odd < 2**MANTISSA
    assert 0 <= float(made) / step - 1 <= 1 / 32768
    assert float(snapped(float(made))) == float(made), "there is nothing left to snap"


@given(STEPS, st.integers(-255, 255))
def test_products_of_a_snapped_step_are_exact(step: float, integer: int) -> None:
    made = snapped(step)
    product = np.float32(integer) * made
    assert Fraction(float(product)) == integer * Fraction(float(made))
    assert np.round(product / made) == integer


@given(st.floats(-8.0, 0.0), st.floats(0.0625, 8.0))
def test_a_snapped_range_holds_the_range_and_zero(low: float, high: float) -> None:
    made_low, made_high = snapped_range(low, high)
    step = (made_high - made_low) / 255
    assert step == float(np.float32(step)), "range and grid give the same step"
    # Zero is put on the grid, which shifts the ends by up to half a step.
    assert made_low - low <= step / 2
    assert high - made_high <= step / 2
    assert (made_low / step).is_integer()


def test_requantizing_rounds_ties_to_even() -> None:
    totals = np.array([-3, -1, 1, 3, 5], np.float32)
    np.testing.assert_array_equal(
        requantized(totals, np.float32(0.5), np.float32(0.25)), np.array([-2, 0, 0, 2, 2]) / 4
    )


def _integers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of differences from a zero point that two int8 tensors can have, thinned out."""
    return tuple(rng.integers(-255, 256, (1, 20_000)) for _ in range(2))  # type: ignore[return-value]


def _compare(layer: Any, integers: tuple[np.ndarray, ...], steps: list[np.float32], expected: np.ndarray) -> None:
    """The settled layer's output in integers, where 8 bits hold it: the quantizer behind it clips the rest."""
    inputs = [one.astype(np.float32) * step for one, step in zip(integers, steps, strict=False)]
    layer.build([one.shape for one in inputs])
    layer.steps.assign(steps)
    made = np.asarray(layer(inputs, training=False)) / steps[-1]
    held = np.abs(expected) <= 255
    assert held.sum() > 1000
    np.testing.assert_array_equal(made[held], expected[held])


GRIDS = [(0.02, 0.013, 0.031), (0.004, 0.11, 0.09), (0.05, 0.05, 0.05), (0.5, 0.003, 0.5), (0.01, 0.01, 0.0007)]


@pytest.mark.parametrize("grids", GRIDS, ids=str)
@pytest.mark.parametrize(("kind", "sign"), [(QuantAdd, 1), (QuantSubtract, -1)])
def test_sums_are_fixed_point_with_21_bits(kind: type, sign: int, grids: tuple[float, float, float]) -> None:
    steps = [np.float32(snapped(step)) for step in grids]
    one, other = _integers(np.random.default_rng(0))
    factors = [float(steps[0] / steps[2]), float(steps[1] / steps[2])]
    # XNNPACK: the larger multiplier has its leading bit at 2^20; the sum is shifted back, half added first.
    shift = 20 - (np.frexp(max(factors))[1] - 1)
    multipliers = [int(np.rint(factor * 2.0**shift)) for factor in factors]
    assert 2**20 <= max(multipliers) <= 2**21
    total = one * multipliers[0] + sign * other * multipliers[1]
    expected = (total + (1 << (shift - 1))) >> shift
    _compare(kind(), (one, other), steps, expected)
    real = one * factors[0] + sign * other * factors[1]
    assert np.abs(expected - real)[np.abs(expected) <= 255].max() < 0.51, "21 bits are enough"


@pytest.mark.parametrize("grids", GRIDS, ids=str)
def test_products_are_one_float_product(grids: tuple[float, float, float]) -> None:
    steps = [np.float32(snapped(step)) for step in grids]
    one, other = _integers(np.random.default_rng(1))
    scale = steps[0] * steps[1] / steps[2]
    expected = np.rint((one * other).astype(np.float32) * scale).astype(np.int64)
    _compare(QuantMultiply(), (one, other), steps, expected)


@pytest.mark.parametrize(("own", "joined"), [(0.02, 0.013), (0.004, 0.09), (0.05, 0.05), (0.5, 0.031)], ids=str)
def test_a_joined_tensor_is_moved_with_8_fractional_bits(own: float, joined: float) -> None:
    steps = [np.float32(snapped(own)), np.float32(0.0), np.float32(snapped(joined))]
    integers = np.arange(-255, 256).reshape(1, -1)
    multiplier = int(np.rint(256 * float(steps[0] / steps[2])))
    layer = QuantConcatenate()
    there = np.array([[0.3, -0.7]], np.float32)
    moved = integers.astype(np.float32) * steps[0]
    layer.build([moved.shape, there.shape])
    layer.steps.assign(steps)
    made = np.asarray(layer([moved, there], training=False))
    np.testing.assert_array_equal(np.round(made[:, :511] / steps[2]), (integers * multiplier + 128) >> 8)
    np.testing.assert_array_equal(made[:, 511:], there)


@pytest.mark.parametrize(
    ("kind", "expected"), [(QuantAdd, [1.5, -1.0]), (QuantSubtract, [-0.5, 3.0]), (QuantMultiply, [0.5, -2.0])]
)
def test_training_and_unsettled_inference_compute_floats(kind: type, expected: list[float]) -> None:
    inputs = [np.array([[0.5, 1.0]], np.float32), np.array([[1.0, -2.0]], np.float32)]
    layer = kind()
    np.testing.assert_allclose(layer(inputs), [expected])
    layer.steps.assign([0.4, 0.4, 0.4])
    assert np.abs(np.asarray(layer(inputs)) - expected).max() > 0.05
    np.testing.assert_allclose(layer(inputs, training=True), [expected])
    assert not np.asarray(layer.steps).any(), "training moves ranges: the steps are forgotten"


def test_a_tensor_is_spread_over_another() -> None:
    layer = QuantMultiply()
    one, gate = np.full((1, 2, 2, 3), 0.5, np.float32), np.array([0.5, 1.0, 0.0], np.float32).reshape(1, 1, 1, 3)
    layer.build([one.shape, gate.shape])
    layer.steps.assign([0.25, 0.25, 0.125])
    np.testing.assert_array_equal(np.asarray(layer([one, gate]))[0, 1, 1], [0.25, 0.5, 0.0])


def test_pixels_lie_between_their_neighbours_by_half_pixel_centres() -> None:
    first, second, share = neighbours(2, 4)  # centres at 0.25 before the first, 0.25 and 0.75 behind it, and beyond
    assert (first.tolist(), second.tolist(), share.tolist()) == ([0, 0, 0, 1], [1, 1, 1, 1], [0, 512, 1536, 0])
    first, second, share = neighbours(6, 3)
    assert (first.tolist(), second.tolist(), share.tolist()) == ([0, 2, 4], [1, 3, 5], [1024, 1024, 1024])


def test_resizing_rounds_halves_up_in_integers() -> None:
    layer = QuantResize((1, 2))
    x = np.array([1.0, -1.0, -2.0, 4.0], np.float32).reshape(1, 1, 4, 1) * 0.25
    layer.build(x.shape)
    layer.steps.assign([0.25, 0.25])
    # Half-way between 1 and -1 is 0, between -2 and 4 it is 1.
    np.testing.assert_array_equal(np.asarray(layer(x)).ravel() / 0.25, [0.0, 1.0])
    odd = QuantResize((1, 1))
    odd.build((1, 1, 2, 1))
    odd.steps.assign([0.25, 0.25])
    np.testing.assert_array_equal(np.asarray(odd(x[:, :, 1:3])).ravel() / 0.25, [-1.0])  # of -1 and -2: -1.5, up
