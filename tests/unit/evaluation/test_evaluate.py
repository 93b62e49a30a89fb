"""Scoring over samples: pooled, at the label's size."""

import numpy as np
import pytest

from mobile_seg.errors import DatasetError
from mobile_seg.evaluation.evaluate import evaluate


def brightness(image: np.ndarray) -> np.ndarray:
    """Segment by the first channel: 0 dark, 1 bright."""
    return (image[..., 0] > 127).astype(np.uint8)


def image_of(bright: list[list[int]]) -> np.ndarray:
    """Return an image that `brightness` labels as given."""
    return np.repeat(np.array(bright, np.uint8)[..., None] * 255, 3, axis=-1)


def test_pixels_are_pooled_over_images_of_different_sizes() -> None:
    one = [[0, 1]]
    two = [[1, 1, 1], [0, 0, 1]]
    samples = [
        (image_of(one), np.array([[0, 0]], np.uint8)),
        (image_of(two), np.array([[1, 1, 1], [0, 255, 1]], np.uint8)),
    ]
    seen: list[int] = []
    found = evaluate(brightness, samples, classes=2, progress=seen.append)
    # Pooled: class 0 has 2 hits in a union of 3, class 1 has 4 in 5; a mean over images would differ.
    assert found.per_class == (2 / 3, 4 / 5)
    assert (found.pixels, seen) == (7, [1, 2])


def test_scored_at_the_labels_size() -> None:
    label = np.zeros((8, 12), np.uint8)
    label[:, 6:] = 1
    found = evaluate(brightness, [(image_of([[0, 1], [0, 1]]), label)], classes=2)
    assert (found.miou, found.pixels) == (1.0, 96)


def test_ignore_is_the_datasets() -> None:
    found = evaluate(brightness, [(image_of([[0, 1]]), np.array([[0, 9]], np.uint8))], classes=2, ignore=9)
    assert (found.pixels, found.per_class) == (1, (1.0, None))


def test_no_sample() -> None:
    with pytest.raises(DatasetError, match="no sample"):
        evaluate(brightness, [], classes=2)
