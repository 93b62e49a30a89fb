"""Random views: image and label stay together, padding is never a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg.data.augment import PADDING, Augmentation, augment
from mobile_seg.errors import UsageError
from mobile_seg.imaging import resize_image, resize_labels

STILL = Augmentation(scale=(1.0, 1.0), flip=False, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
SIZE = (48, 64)


def striped(height: int = 60, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Return an image painted by its label: broad blocks of classes 0..3, each with its own grey."""
    rows, columns = np.arange(height)[:, None] * 2 // height, np.arange(width)[None] * 2 // width
    label = (rows * 2 + columns).astype(np.uint8)
    return np.repeat((20 + 70 * label)[..., None], 3, axis=2).astype(np.uint8), label


def view(seed: int, augmentation: Augmentation, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    image, label = striped()
    return augment(image, label, size=size, augmentation=augmentation, rng=np.random.default_rng(seed))


def test_without_augmentation_it_is_the_stretched_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    _, label = striped()
    image, mask = augment(pixels, label, size=SIZE, augmentation=STILL, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(image, resize_image(pixels, SIZE))
    np.testing.assert_array_equal(mask, resize_labels(label, SIZE))


@given(seed=st.integers(0, 10_000), low=st.floats(0.3, 1.0), more=st.floats(0.0, 1.5))
def test_label_follows_the_image(seed: int, low: float, more: float) -> None:
    geometry = Augmentation(scale=(low, low + more), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    image, label = view(seed, geometry)
    assert image.shape == (*SIZE, 3)
    assert image.dtype == label.dtype == np.uint8
    assert image.flags.c_contiguous
    assert label.flags.c_contiguous
    padding = label == 255
    assert (image[padding] == PADDING).all()
    painted = 20 + 70 * label[~padding].astype(int)
    # Bilinear blends only beside an edge: at most the two edges, three pixels wide for a scale of 2.5.
    assert (np.abs(image[~padding][:, 0] - painted) > 2).mean() < 0.2
    assert set(np.unique(label)) <= {0, 1, 2, 3, 255}


def test_exactly_aligned_with_its_label_at_whole_factors() -> None:
    label = np.random.default_rng(0).integers(0, 200, SIZE).astype(np.uint8)
    image = np.repeat(label[..., None], 3, axis=2)
    shift = Augmentation(scale=(1.0, 1.0), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    flipped = 0
    for seed in range(8):
        seen, mask = augment(image, label, size=SIZE, augmentation=shift, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(seen[..., 0], mask)
        flipped += np.array_equal(mask, label[:, ::-1])
    assert 0 < flipped < 8


def test_smaller_views_are_padded_at_any_place_and_keep_their_grey() -> None:
    small = Augmentation(scale=(0.5, 0.5))
    corners = set()
    for seed in range(12):
        image, label = view(seed, small)
        rows, columns = np.nonzero(label != 255)
        assert [int(np.ptp(axis)) + 1 for axis in (rows, columns)] == [24, 32]
        assert (image[label == 255] == PADDING).all()
        corners.add((int(rows.min()), int(columns.min())))
    assert len(corners) > 6


def test_ignored_pixels_stay_ignored_and_do_not_spread() -> None:
    image, label = striped()
    label[:, :45] = 255
    for seed in range(6):
        rng = np.random.default_rng(seed)
        _, mask = augment(image, label, size=SIZE, augmentation=Augmentation(), rng=rng)
        assert set(np.unique(mask)) <= {1, 3, 255}


def test_colour_changes_the_image_and_not_the_label_or_the_input() -> None:
    image, label = striped()
    before = image.copy(), label.copy()
    colour = Augmentation(scale=(1.0, 1.0), flip=False, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)
    seen, mask = augment(image, label, size=(60, 90), augmentation=colour, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])
    np.testing.assert_array_equal(mask, label)
    assert np.abs(seen.astype(int) - image).mean() > 5


def test_hue_and_saturation_leave_grey_and_luma_alone() -> None:
    colour = Augmentation(scale=(1.0, 1.0), flip=False, brightness=0.0, contrast=0.0, saturation=0.5, hue=0.2)
    grey, label = striped()
    seen, _ = augment(grey, label, size=(60, 90), augmentation=colour, rng=np.random.default_rng(3))
    assert np.abs(seen.astype(int) - grey).max() <= 1
    tinted = np.full((60, 90, 3), (120, 90, 100), np.uint8)
    seen, _ = augment(tinted, label, size=(60, 90), augmentation=colour, rng=np.random.default_rng(3))
    assert np.abs(seen.astype(int) - tinted).max() > 2
    luma = [float(picture[0, 0] @ np.array([0.299, 0.587, 0.114])) for picture in (tinted, seen)]
    assert luma[0] == pytest.approx(luma[1], abs=1.0)


def test_contrast_acts_about_the_mean() -> None:
    image, label = striped()
    contrast = Augmentation(scale=(1.0, 1.0), flip=False, brightness=0.0, contrast=0.3, saturation=0.0, hue=0.0)
    seen, _ = augment(image, label, size=(60, 90), augmentation=contrast, rng=np.random.default_rng(0))
    assert abs(float(seen.std()) / float(image.std()) - 1.0) > 0.02
    assert float(seen.mean()) == pytest.approx(float(image.mean()), abs=1.0)


@pytest.mark.parametrize(
    "wrong", [{"scale": (0.0, 1.0)}, {"scale": (2.0, 1.0)}, {"brightness": -0.1}, {"contrast": 1.5}, {"hue": 0.6}]
)
def test_strengths_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Augmentation(**wrong)  # type: ignore[arg-type]
