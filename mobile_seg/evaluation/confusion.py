"""The confusion matrix and the scores read from it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, DatasetError, UsageError


@dataclass(frozen=True)
class SegmentationScore:
    """Scores of one model over one set of labelled pixels; every share is a fraction 0..1.

    `per_class` holds one IoU per class id, None where the class occurs neither in the truth nor in
    the prediction. `miou` is their mean, the None left out. `pixels` counts the labelled pixels.
    """

    miou: float
    per_class: tuple[float | None, ...]
    pixel_accuracy: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"per_class": list(self.per_class)}


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, *, classes: int, ignore: int = 255) -> np.ndarray:
    """Count pixels by class: int64 `[C, C]`, rows the truth, columns the prediction.

    Both arguments are integer class ids of one shape, for instance `[H, W]` or `[N, H, W]`. Pixels
    whose label is `ignore` are left out, whatever was predicted there.

    Raises:
        UsageError: if the two shapes differ or are not integers.
        DatasetError: for a label that is neither a class nor `ignore`.
        ArtifactError: for a prediction that is not a class.
    """
    if labels.shape != predictions.shape:
        raise UsageError(
            f"labels {list(labels.shape)} and predictions {list(predictions.shape)} differ in shape; "
            "resize the prediction to the label's size first"
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        if not np.issubdtype(values.dtype, np.integer):
            raise UsageError(f"{name} are {values.dtype}, expected integer class ids; take the argmax of logits first")
    scored = labels != ignore
    truth, predicted = labels[scored], predictions[scored]
    if truth.size == 0:
        return np.zeros((classes, classes), np.int64)
    if int(truth.min()) < 0 or int(truth.max()) >= classes:
        stray = sorted({int(value) for value in np.unique(truth) if not 0 <= value < classes})
        raise DatasetError(
            f"the labels hold {stray[:8]}, which is neither a class (0..{classes - 1}) nor ignore ({ignore}); "
            "map it with `label_mapping` in the dataset YAML"
        )
    low, high = int(predicted.min()), int(predicted.max())
    if low < 0 or high >= classes:
        raise ArtifactError(
            f"the model predicts class {low if low < 0 else high} but there are {classes} classes; "
            "it was made for another dataset, choose the dataset it was trained on"
        )
    cells = truth.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64, copy=False)


def score(confusion: np.ndarray) -> SegmentationScore:
    """Score a confusion matrix `[C, C]` (rows truth).

    IoU of a class = pixels that are it and are predicted so / pixels that are it or are predicted so.
    mIoU = the mean over the classes present in the truth or in the prediction: a class that is nowhere
    has no IoU and does not count, one that is predicted but never true counts as 0.

    Raises:
        DatasetError: if no pixel is labelled, since then there is nothing to score.
    """
    total = int(confusion.sum())
    if total == 0:
        raise DatasetError("no labelled pixel to score: every label is `ignore`; check the split and `label_mapping`")
    hits = np.diagonal(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    per_class = tuple(float(h / u) if u else None for h, u in zip(hits, union, strict=True))
    present = [iou for iou in per_class if iou is not None]
    return SegmentationScore(
        miou=float(np.mean(present)),
        per_class=per_class,
        pixel_accuracy=float(hits.sum() / total),
        pixels=total,
    )
