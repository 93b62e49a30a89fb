"""The loss against its formula in NumPy, written apart."""

import keras
import numpy as np
import pytest
from keras import ops

from mobile_seg.training.losses import SegmentationLoss


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize `[N, h, w, C]` bilinearly with half-pixel centres, one output pixel at a time."""
    count, height, width, channels = values.shape
    result = np.zeros((count, *size, channels))
    for row in range(size[0]):
        y = min(max((row + 0.5) * height / size[0] - 0.5, 0.0), height - 1.0)
        for column in range(size[1]):
            x = min(max((column + 0.5) * width / size[1] - 0.5, 0.0), width - 1.0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = values[:, top, left] * (1 - (x - left)) + values[:, top, right] * (x - left)
            lower = values[:, bottom, left] * (1 - (x - left)) + values[:, bottom, right] * (x - left)
            result[:, row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return result


def formula(labels: np.ndarray, logits: np.ndarray, smoothing: float, ignore: int = 255) -> float:
    """Cross-entropy with smoothed targets, over the labelled pixels alone."""
    logits = resized(logits.astype(np.float64), labels.shape[1:])
    classes = logits.shape[-1]
    losses = []
    for label, pixel in zip(labels.reshape(-1), logits.reshape(-1, classes), strict=True):
        if label == ignore:
            continue
        log_probability = pixel - np.log(np.exp(pixel).sum())
        target = np.full(classes, smoothing / classes)
        target[label] += 1 - smoothing
        losses.append(-(target * log_probability).sum())
    return float(np.mean(losses))


def sample(low: tuple[int, int], size: tuple[int, int] = (8, 12)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = rng.choice([0, 1, 2, 3, 255], (2, *size)).astype(np.int32)
    return labels, rng.normal(0, 3, (2, *low, 4)).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("low", [(8, 12), (4, 6), (2, 3), (3, 5)])
def test_loss_is_the_formula(low: tuple[int, int], smoothing: float) -> None:
    labels, logits = sample(low)
    found = float(SegmentationLoss(label_smoothing=smoothing)(labels, logits))
    assert found == pytest.approx(formula(labels, logits, smoothing), rel=1e-5)


def test_another_ignored_value() -> None:
    labels, logits = sample((4, 6))
    labels[labels == 255] = 7
    assert float(SegmentationLoss(ignore=7)(labels, logits)) == pytest.approx(formula(labels, logits, 0.0, 7), rel=1e-5)


def test_ignored_pixels_have_no_gradient_and_labelled_ones_have() -> None:
    labels, logits = sample((8, 12))
    gradient = gradients(labels, logits)
    assert np.all(gradient[labels == 255] == 0)
    assert np.all(np.abs(gradient[labels != 255]).sum(-1) > 0)


def test_a_batch_without_a_labelled_pixel_gives_zero_and_finite_gradients() -> None:
    labels, logits = sample((4, 6))
    labels[:] = 255
    assert float(SegmentationLoss(label_smoothing=0.1)(labels, logits)) == 0.0
    assert np.all(gradients(labels, logits) == 0)


def test_bfloat16_logits_are_summed_in_float32() -> None:
    labels, logits = sample((4, 6))
    rough = ops.cast(logits, "bfloat16")
    found = SegmentationLoss()(labels, rough)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    exact = ops.convert_to_numpy(ops.cast(rough, "float32"))
    assert float(found) == pytest.approx(formula(labels, exact, 0.0), rel=1e-5)


def gradients(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = SegmentationLoss(label_smoothing=0.1)(labels, variable)
    return tape.gradient(loss, variable).numpy()
