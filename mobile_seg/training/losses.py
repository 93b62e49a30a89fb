"""Losses over labelled pixels."""

from typing import Any

import keras
from keras import ops


class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy of each labelled pixel, averaged over the labelled pixels of the batch.

    Labels `[N, H, W]` integer class ids, logits `[N, h, w, C]`: the logits are resized bilinearly to
    the labels' size first, as DeepLabv3 trains (arXiv:1706.05587, sec. 4.1). Pixels labelled `ignore`
    count nothing. `label_smoothing` moves that share of each target to all classes evenly.
    """

    def __init__(self, *, ignore: int = 255, label_smoothing: float = 0.0, name: str = "segmentation_loss") -> None:
        super().__init__(name=name, reduction=None)
        self.ignore = ignore
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the scalar loss; 0 for a batch without a labelled pixel."""
        labels = ops.cast(y_true, "int32")
        logits = ops.cast(y_pred, "float32")
        if logits.shape[1:3] != labels.shape[1:3]:
            logits = ops.image.resize(logits, labels.shape[1:3], interpolation="bilinear")
        labelled = ops.cast(ops.not_equal(labels, self.ignore), "float32")
        target = ops.where(ops.equal(labels, self.ignore), 0, labels)
        loss = ops.sparse_categorical_crossentropy(target, logits, from_logits=True)
        if self.label_smoothing:
            evenly = -ops.mean(ops.log_softmax(logits, axis=-1), axis=-1)
            loss = (1.0 - self.label_smoothing) * loss + self.label_smoothing * evenly
        return ops.sum(loss * labelled) / ops.maximum(ops.sum(labelled), 1.0)
