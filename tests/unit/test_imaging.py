"""The pixels' conventions, against arithmetic done by hand and a resize written a second way."""

import numpy as np
import pytest

from mobile_seg.imaging import colourize, overlay, resize_image, resize_labels, resize_logits

PALETTE = ((128, 64, 128), (0, 0, 142), (70, 130, 180))


def _bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Half-pixel centres, edges repeated: the definition, pixel by pixel."""
    rows, columns = values.shape[:2]
    made = np.empty((*size, *values.shape[2:]))
    for y in range(size[0]):
        for x in range(size[1]):
            at = [
                min(max((index + 0.5) * length / new - 0.5, 0.0), length - 1.0)
                for index, length, new in ((y, rows, size[0]), (x, columns, size[1]))
            ]
            (top, left), (down, right) = np.floor(at).astype(int), np.modf(at)[0]
            below, beside = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = values[top, left] * (1 - right) + values[top, beside] * right
            lower = values[below, left] * (1 - right) + values[below, beside] * right
            made[y, x] = upper * (1 - down) + lower * down
    return made


@pytest.mark.parametrize("size", [(8, 12), (4, 6), (5, 9), (2, 3), (1, 1)], ids=str)
def test_images_and_logits_resize_with_half_pixel_centres(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (4, 6, 3), np.uint8)
    # OpenCV rounds the weights of bytes to 11 bits.
    assert np.abs(resize_image(image, size) - _bilinear(image.astype(float), size)).max() <= 1.0
    logits = rng.normal(size=(4, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(resize_logits(logits, size), _bilinear(logits, size), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4, 5, 64, 150, 600])
def test_logits_resize_whatever_the_number_of_classes(channels: int) -> None:
    logits = np.arange(2 * 2 * channels, dtype=np.float32).reshape(2, 2, channels)
    resized = resize_logits(logits, (4, 6))
    assert resized.shape == (4, 6, channels)
    np.testing.assert_array_equal(resized[0, 0], logits[0, 0])
    np.testing.assert_array_equal(resized[-1, -1], logits[-1, -1])


def test_labels_take_the_nearest_pixel_centre() -> None:
    labels = np.array([[1, 2, 3], [4, 5, 255]], np.uint8)
    np.testing.assert_array_equal(resize_labels(labels, (4, 6)), labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(resize_labels(labels, (2, 1)), [[2], [5]])
    assert resize_labels(labels, (2, 3)) is labels


def test_what_has_the_size_already_is_left_alone() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert resize_image(image, (4, 6)) is image
    logits = np.zeros((4, 6, 2), np.float32)
    assert resize_logits(logits, (4, 6)) is logits


def test_labels_are_painted_and_ignored_ones_are_black() -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    np.testing.assert_array_equal(colourize(labels, PALETTE), [[PALETTE[0], PALETTE[1]], [PALETTE[2], (0, 0, 0)]])


def test_the_overlay_blends_and_leaves_ignored_pixels_as_they_are() -> None:
    image = np.full((1, 2, 3), 100, np.uint8)
    blended = overlay(image, np.array([[1, 255]], np.uint8), PALETTE, opacity=0.5)
    np.testing.assert_array_equal(blended, [[[50, 50, 121], [100, 100, 100]]])
    assert blended.dtype == np.uint8
