"""Panoptic-DeepLab's three losses (arXiv:1911.10194, sec. 3.1), one per output of `models.panoptic`.

`data.panoptic_targets` makes the targets, at the size of the image; what the network puts out is resized to it first.
"""

from typing import Any

import keras
from keras import ops

from mobile_seg.errors import UsageError

LOSS_WEIGHTS = (1.0, 200.0, 0.01)
"""What the losses count for, in the order of the network's outputs: semantic, centres, offsets."""


def panoptic_losses() -> list[keras.losses.Loss]:
    """The three losses as the paper sets them; `compile(loss=panoptic_losses(), loss_weights=list(LOSS_WEIGHTS))`."""
    return [HardestPixelsLoss(), CentreLoss(), OffsetLoss()]


class HardestPixelsLoss(keras.losses.Loss):
    """Cross-entropy averaged over the hardest pixels of each image (DeeperLab, arXiv:1902.05093, sec. 3.1.1).

    Target `[N, H, W, 2]`: class id and weight; logits `[N, h, w, C]`. Of each image's H·W weighted losses the
    highest `hardest` share is kept, and averaged over what is labelled among them; then over the images. Pixels
    labelled `ignore` cost nothing.
    """

    def __init__(self, *, hardest: float = 0.2, ignore: int = 255, name: str = "hardest_pixels_loss") -> None:
        super().__init__(name=name, reduction=None)
        if not 0 < hardest <= 1:
            raise UsageError(f"hardest={hardest}: give the share of the pixels that counts, above 0 and at most 1.")
        self.hardest, self.ignore = hardest, ignore

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss; 0 for a batch without a labelled pixel."""
        labels, weights = ops.cast(y_true[..., 0], "int32"), ops.cast(y_true[..., 1], "float32")
        logits = _resized(y_pred, labels.shape[1:3])
        labelled = ops.not_equal(labels, self.ignore)
        losses = ops.sparse_categorical_crossentropy(ops.where(labelled, labels, 0), logits, from_logits=True)
        # Ignored pixels sort below every other, even one whose loss is rounded to zero.
        losses = ops.where(labelled, losses * weights, -1.0)
        pixels = labels.shape[1] * labels.shape[2]
        kept, _ = ops.top_k(ops.reshape(losses, (-1, pixels)), max(1, round(self.hardest * pixels)), sorted=False)
        counted = ops.cast(ops.greater_equal(kept, 0.0), "float32")
        return ops.mean(ops.sum(kept * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1.0))


class CentreLoss(keras.losses.Loss):
    """Squared error of the heatmap, averaged over the pixels that count.

    Target `[N, H, W, 2]`: height of the heatmap and weight; prediction `[N, h, w, 1]`.
    """

    def __init__(self, *, name: str = "centre_loss") -> None:
        super().__init__(name=name, reduction=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss; 0 for a batch in which nothing counts."""
        heat, weights = ops.cast(y_true[..., 0], "float32"), ops.cast(y_true[..., 1], "float32")
        error = ops.square(_resized(y_pred, heat.shape[1:3])[..., 0] - heat)
        return _averaged(error, weights)


class OffsetLoss(keras.losses.Loss):
    """Absolute error of the offsets, averaged over both directions and the pixels that count.

    Target `[N, H, W, 3]`: offset (y, x) in pixels of the image, and weight; prediction `[N, h, w, 2]`, (y, x) in
    pixels of its own map, which are H/h and W/w of the image's.
    """

    def __init__(self, *, name: str = "offset_loss") -> None:
        super().__init__(name=name, reduction=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss; 0 for a batch in which nothing counts."""
        offsets, weights = ops.cast(y_true[..., :2], "float32"), ops.cast(y_true[..., 2], "float32")
        size, own = offsets.shape[1:3], y_pred.shape[1:3]
        step = ops.convert_to_tensor([size[0] / own[0], size[1] / own[1]], "float32")
        error = ops.mean(ops.abs(_resized(y_pred, size) * step - offsets), axis=-1)
        return _averaged(error, weights)


def _resized(prediction: Any, size: Any) -> Any:
    """As float32 and at the target's size, bilinearly with half-pixel centres."""
    prediction = ops.cast(prediction, "float32")
    if tuple(prediction.shape[1:3]) == tuple(size):
        return prediction
    return ops.image.resize(prediction, tuple(size), interpolation="bilinear")


def _averaged(error: Any, weights: Any) -> Any:
    return ops.sum(error * weights) / ops.maximum(ops.sum(weights), 1.0)
