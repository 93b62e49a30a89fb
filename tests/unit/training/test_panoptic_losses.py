"""Panoptic-DeepLab's losses by values worked out by hand, and their gradients' whereabouts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mobile_seg.errors import UsageError
from mobile_seg.training.panoptic_losses import (
    LOSS_WEIGHTS,
    CentreLoss,
    HardestPixelsLoss,
    OffsetLoss,
    panoptic_losses,
)


def _labels(*rows: list[int], weights: list[list[int]] | None = None) -> np.ndarray:
    """One image per call: class ids, and a weight of 1 unless given."""
    labels = np.array([rows])
    return np.stack([labels, np.ones_like(labels) if weights is None else np.array([weights])], -1).astype(np.int32)


def _certain(*rows: list[float]) -> np.ndarray:
    """Logits (v, 0) of two classes: class 0 costs log(1 + exp(-v))."""
    values = np.array([rows], np.float32)
    return np.stack([values, np.zeros_like(values)], -1)


def _cost(value: float) -> float:
    return float(np.log1p(np.exp(-value)))


def test_only_the_hardest_pixels_count() -> None:
    logits = _certain([5, 4, 3, 2, 1], [-1, 6, 7, 8, 9])
    found = HardestPixelsLoss()(_labels([0] * 5, [0] * 5), logits)  # 20% of 10 pixels: those of -1 and 1
    assert float(found) == pytest.approx((_cost(-1) + _cost(1)) / 2, rel=1e-6)


def test_each_image_has_its_own_hardest_pixels() -> None:
    labels = np.concatenate([_labels([0] * 5), _labels([0] * 5)])
    logits = np.concatenate([_certain([5, 4, 3, 2, 1]), _certain([-1, -2, -3, -4, -5])])
    found = HardestPixelsLoss()(labels, logits)  # one of five pixels each
    assert float(found) == pytest.approx((_cost(1) + _cost(-5)) / 2, rel=1e-6)


def test_a_weight_raises_a_pixel_and_its_rank() -> None:
    logits = _certain([1.0, 0.5, 4, 5, 6])
    found = HardestPixelsLoss()(_labels([0] * 5, weights=[[3, 1, 1, 1, 1]]), logits)
    assert 3 * _cost(1.0) > _cost(0.5)
    assert float(found) == pytest.approx(3 * _cost(1.0), rel=1e-6)


def test_ignored_pixels_are_never_among_the_hardest() -> None:
    logits = _certain([-9, 4, 50, 60, 70])
    assert float(HardestPixelsLoss()(_labels([255, 0, 0, 0, 0]), logits)) == pytest.approx(_cost(4), rel=1e-5)
    # Of the two kept one is ignored, and the mean is over the other.
    mostly = HardestPixelsLoss(hardest=0.4)(_labels([255, 0, 255, 255, 255]), logits)
    assert float(mostly) == pytest.approx(_cost(4), rel=1e-5)
    assert float(HardestPixelsLoss()(_labels([255] * 5), logits)) == 0.0
    assert float(HardestPixelsLoss(ignore=7)(_labels([7, 0, 0, 0, 0]), logits)) == pytest.approx(_cost(4), rel=1e-5)


@pytest.mark.parametrize("hardest", [0.0, -0.1, 1.5])
def test_a_share_outside_its_bounds_is_refused(hardest: float) -> None:
    with pytest.raises(UsageError, match="share of the pixels that counts, above 0"):
        HardestPixelsLoss(hardest=hardest)


def test_the_heatmap_is_compared_where_it_counts() -> None:
    heat = np.array([[[[1.0, 1.0], [0.5, 1.0], [0.0, 0.0]]]], np.float32)
    found = CentreLoss()(heat, np.array([[[[0.0], [1.0], [9.0]]]], np.float32))
    assert float(found) == pytest.approx((1.0 + 0.25) / 2)
    assert float(CentreLoss()(np.zeros_like(heat), np.ones((1, 1, 3, 1), np.float32))) == 0.0


def test_offsets_are_compared_inside_instances_in_pixels_of_the_image() -> None:
    # A map of one pixel stands for 2x4 of the image: (1, -1) of its own are (2, -4) there.
    offsets = np.zeros((1, 2, 4, 3), np.float32)
    offsets[0, 0, 0] = (3.0, -4.0, 1.0)  # off by 1 and 0
    offsets[0, 1, 2] = (2.0, 2.0, 1.0)  # off by 0 and 6
    offsets[0, 1, 3] = (99.0, 99.0, 0.0)
    found = OffsetLoss()(offsets, np.array([[[[1.0, -1.0]]]], np.float32))
    assert float(found) == pytest.approx((0.5 + 3.0) / 2)
    assert float(OffsetLoss()(np.zeros_like(offsets), np.ones((1, 1, 1, 2), np.float32))) == 0.0


def test_predictions_are_resized_with_half_pixel_centres() -> None:
    # [0, 4] on four pixels: 0, 1, 3, 4.
    target = np.stack([np.array([[[0.0, 1.0, 3.0, 4.0]]] * 1), np.ones((1, 1, 4))], -1).astype(np.float32)
    assert float(CentreLoss()(target, np.array([[[[0.0], [4.0]]]], np.float32))) == pytest.approx(0.0, abs=1e-9)


def test_gradients_reach_the_pixels_that_count_and_no_others() -> None:
    logits = tf.Variable(_certain([5, 4, 3, 2, 1]))
    with tf.GradientTape() as tape:
        loss = HardestPixelsLoss()(_labels([0, 0, 0, 0, 255]), logits)
    moved = np.abs(tape.gradient(loss, logits).numpy()).sum(-1)[0, 0]
    assert (moved > 0).tolist() == [False, False, False, True, False]


def test_the_three_train_a_network_together() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    outputs = [keras.layers.Conv2D(channels, 1)(x) for channels in (3, 1, 2)]
    model = keras.Model(image, outputs)
    model.compile(keras.optimizers.Adam(0.02), loss=panoptic_losses(), loss_weights=list(LOSS_WEIGHTS))
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    ones = np.ones((4, 8, 8, 1), np.float32)
    semantic = np.concatenate([rng.integers(0, 3, (4, 8, 8, 1)), ones], -1).astype(np.int32)
    centres = np.concatenate([rng.uniform(size=(4, 8, 8, 1)), ones], -1).astype(np.float32)
    offsets = np.concatenate([rng.normal(size=(4, 8, 8, 2)), ones], -1).astype(np.float32)
    history = model.fit(pixels, [semantic, centres, offsets], epochs=8, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < 0.8 * history[0]
