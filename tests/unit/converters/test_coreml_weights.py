"""Weights found on their grid again, and palettes."""

import numpy as np
import pytest

from mobile_seg.converters.coreml.weights import grid_of, packed, palette_of
from mobile_seg.coremltools_quietly import coremltools
from mobile_seg.errors import ArtifactError

_rng = np.random.default_rng(0)


@pytest.mark.parametrize("largest", [127, 126, 90, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_very_steps_are_found(largest: int, axis: int) -> None:
    integers = _rng.integers(-largest, largest + 1, (5, 5, 3, 3))
    integers[:, :, 0, 0] = largest
    integers[:, :, 0, 1] = 1  # so that no larger step has them all as whole numbers
    # Steps of few bits, as trained graphs have them: their multiples are exact in float32.
    steps = (_rng.integers(2**15, 2**16, 5) / 2.0**22).astype(np.float32)
    spread = steps.reshape([-1 if one == axis else 1 for one in range(4)])
    found, scale = grid_of(integers.astype(np.float32) * spread, axis, name="conv")
    if largest > 63:
        np.testing.assert_array_equal(scale, steps)
        np.testing.assert_array_equal(found, integers)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found * scale.reshape(spread.shape), integers.astype(np.float32) * spread)


def test_a_step_may_have_been_multiplied() -> None:
    values = _rng.integers(-127, 128, (4, 100)).astype(np.float32) * np.float32(0.0123) * np.float32(0.3337)
    found, scale = grid_of(values, 0, name="conv")
    np.testing.assert_allclose(found * scale[:, None], values, rtol=1e-6)


def test_channels_of_zeros_have_a_step() -> None:
    found, scale = grid_of(np.zeros((2, 3), np.float32), 0, name="conv")
    assert not found.any()
    assert (scale > 0).all()


def test_weights_on_no_grid_are_refused() -> None:
    values = _rng.normal(size=(2, 50)).astype(np.float32)
    values[0] = np.round(values[0] * 20)
    with pytest.raises(ArtifactError, match="wide: the weights of channel 1 lie on no grid of 255 integers"):
        grid_of(values, 0, name="wide")


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_palettes_are_near_the_best(bits: int) -> None:
    values = _rng.normal(size=(40, 100)).astype(np.float32)
    table, indices = palette_of(values, bits)
    assert table.shape == (2**bits,)
    assert (np.diff(table) >= 0).all()
    error = np.square(table[indices].reshape(values.shape) - values).mean()
    # The best table of n values for a normal variable: its mean square error is sqrt(3) pi / 2 / n^2 (Panter and Dite,
    # 1951), for many n; a little more from a start that k-means never quite leaves.
    assert error < 1.5 * np.sqrt(3) * np.pi / 2 / 4.0**bits
    nearest = np.abs(values.reshape(-1, 1) - table).argmin(axis=1)
    np.testing.assert_array_equal(table[indices], table[nearest])


def test_few_values_are_kept_exactly() -> None:
    values = _rng.choice(np.float32([-1.5, 0.0, 0.25, 3.0]), (30, 100))
    table, indices = palette_of(values, 4)
    np.testing.assert_array_equal(table[indices].reshape(values.shape), values)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_indices_are_packed_as_coremltools_unpacks(bits: int) -> None:
    coremltools()
    from coremltools.optimize import _utils

    indices = _rng.integers(0, 2**bits, 101).astype(np.uint8)
    content = packed(indices, bits)
    assert content.size == -(-101 * bits // 8)
    found = _utils.restore_elements_from_packed_bits(content, bits, 101)
    np.testing.assert_array_equal(found, indices)
