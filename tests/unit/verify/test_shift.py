"""Displacements that are planted are found, and nothing else is."""

import cv2
import numpy as np
import pytest

from mobile_seg.verify.shift import GRID, MaskShift

INPUT = (96, 128)
CLASSES = 5
BORDER = 32


def scene(seed: int, size: tuple[int, int] = INPUT) -> np.ndarray:
    """Logits of blobs and bands, `[H + 64, W + 64, CLASSES]`: there is something beyond every border."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(10, 12, CLASSES)).astype(np.float32)
    coarse[..., 0] += np.linspace(3, -3, 10)[:, None]
    return 4 * cv2.resize(coarse, (size[1] + 2 * BORDER, size[0] + 2 * BORDER), interpolation=cv2.INTER_CUBIC)


def pair(seed: int, moved: tuple[float, float], stride: int = 1, size: tuple[int, int] = INPUT) -> list[np.ndarray]:
    """A scene and the same moved (down, right) by input pixels, both at an output stride."""
    whole = scene(seed, size)
    matrix = np.float32([[1, 0, moved[1]], [0, 1, moved[0]]])
    other = cv2.warpAffine(whole, matrix, whole.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = [one[BORDER:-BORDER, BORDER:-BORDER] for one in (whole, other)]
    low = size[1] // stride, size[0] // stride
    return [cv2.resize(one, low, interpolation=cv2.INTER_AREA) for one in inner]


def found(pairs: list[list[np.ndarray]], size: tuple[int, int] = INPUT) -> tuple[float, float] | None:
    shift = MaskShift(input_size=size)
    for one, other in pairs:
        shift.add(one, other)
    return shift.displacement()


def ids(pairs: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[one.argmax(-1) for one in both] for both in pairs]


PLANTED = [(0.5, 0.0), (0.0, -1.0), (1.0, 0.5), (-4.0, 4.0), (20.0, -20.0), (0.0, 0.25)]


@pytest.mark.parametrize("moved", PLANTED)
@pytest.mark.parametrize("stride", [1, 4])
def test_a_planted_displacement_is_found(moved: tuple[float, float], stride: int) -> None:
    pairs = [pair(seed, moved, stride) for seed in range(3)]
    # In pixels of the grid: the overlap changes by one row of 24 from point to point of the paraboloid, and with it
    # what it holds, which tilts it by as much: 1/24 of its half-width of a pixel, twice.
    assert found(pairs) == pytest.approx(moved, abs=0.08 * stride)
    # Class ids tell of borders alone, which lie on whole pixels.
    assert found(ids(pairs)) == pytest.approx(moved, abs=0.1 * stride)


def test_equal_outputs_are_not_displaced() -> None:
    pairs = [pair(seed, (0.0, 0.0)) for seed in range(2)]
    assert found(pairs) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found(ids(pairs)) == pytest.approx((0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 2.0, 8.0])
def test_noise_is_no_displacement(level: float) -> None:
    rng = np.random.default_rng(1)
    pairs = [pair(seed, (0.0, 0.0)) for seed in range(3)]
    noisy = [[one, other + rng.normal(0, level, other.shape).astype(np.float32)] for one, other in pairs]
    assert found(noisy) == pytest.approx((0.0, 0.0), abs=0.05)
    # Noise twice as large as the logits leaves ids that have next to nothing in common.
    assert found(ids(noisy)) in (None, pytest.approx((0.0, 0.0), abs=0.1))


def test_an_error_that_all_images_share_is_none_on_few_pixels() -> None:
    rng = np.random.default_rng(4)
    size, told = (64, 64), []
    for _ in range(20):
        error = 2.0 * cv2.GaussianBlur(rng.normal(size=(8, 8, CLASSES)).astype(np.float32), (0, 0), 1.0)
        pairs = [pair(seed, (0.0, 0.0), 8, size) for seed in range(16)]
        told.append(found([[one, other + error] for one, other in pairs], size))
    # In input pixels, of which eight are one of the grid.
    assert np.abs(told).max() < 0.25, told
    moved = [pair(seed, (4.0, 0.0), 8, size) for seed in range(16)]
    assert found(moved, size) == pytest.approx((4.0, 0.0), abs=0.8)
    assert found(moved[:1], size) is None, "64 pixels"


def test_a_displacement_is_found_below_noise() -> None:
    rng = np.random.default_rng(2)
    pairs = [pair(seed, (1.0, -4.0)) for seed in range(3)]
    noisy = [[one, other + rng.normal(0, 2.0, other.shape).astype(np.float32)] for one, other in pairs]
    assert found(noisy) == pytest.approx((1.0, -4.0), abs=0.1)


def test_along_a_stripe_nothing_is_known_and_nothing_invented() -> None:
    rng = np.random.default_rng(3)
    one = np.repeat(scene(0)[:96, :1], 128, axis=1)
    noisy = one + rng.normal(0, 0.5, one.shape).astype(np.float32)
    assert found([[one, noisy]]) == pytest.approx((0.0, 0.0), abs=0.05)
    moved = np.roll(noisy, 3, axis=0)[8:-8]
    assert found([[one[8:-8], moved]], (80, 128)) == pytest.approx((3.0, 0.0), abs=0.1)


def test_what_all_logits_of_a_pixel_share_moves_no_mask() -> None:
    one, other = pair(0, (0.0, 0.0))
    assert found([[one, other + 5.0]]) == pytest.approx((0.0, 0.0), abs=1e-3)
    assert found([[one, 1.3 * other]]) == pytest.approx((0.0, 0.0), abs=0.05)


def test_nothing_is_told_where_nothing_can_be() -> None:
    one, other = pair(0, (0.0, 0.0))
    assert found([[one, np.full_like(one, 3.0)]]) is None, "the candidate is the same everywhere"
    assert found([[np.full_like(one, 3.0), other]]) is None, "the reference is"
    assert found([[one[:3], other[:3]]]) is None, "three rows"
    assert found([[one, pair(7, (0.0, 0.0))[1]]]) is None, "another scene"
    assert MaskShift(input_size=INPUT).displacement() is None, "no image"


def test_large_outputs_and_many_classes() -> None:
    size = (2 * GRID, 2 * GRID + 10)
    pairs = [pair(seed, (4.0, -1.0), 1, size) for seed in range(2)]
    mixed = np.random.default_rng(0).normal(size=(CLASSES, 40)).astype(np.float32)
    # Three pixels are one of the grid.
    assert found([[one @ mixed, other @ mixed] for one, other in pairs], size) == pytest.approx((4.0, -1.0), abs=0.15)
    assert found(ids(pairs), size) == pytest.approx((4.0, -1.0), abs=0.15)


def test_logits_beside_class_ids() -> None:
    one, other = pair(0, (4.0, 0.0))
    assert found([[one, other.argmax(-1)]]) == pytest.approx((4.0, 0.0), abs=0.2)
