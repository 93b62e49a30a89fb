"""Score a segmenter over labelled images."""

from collections.abc import Callable, Iterable

import numpy as np

from mobile_seg.errors import DatasetError
from mobile_seg.evaluation.confusion import SegmentationScore, confusion_matrix, score
from mobile_seg.imaging import Image, LabelMap, resize_labels

Segmenter = Callable[[Image], LabelMap]
"""An image `[H, W, 3]` uint8 to its label map `[H, W]`, at the image's own size."""


def evaluate(
    segmenter: Segmenter,
    samples: Iterable[tuple[Image, LabelMap]],
    *,
    classes: int,
    ignore: int = 255,
    progress: Callable[[int], None] | None = None,
) -> SegmentationScore:
    """Score `segmenter` over `samples`, pairs of image `[H, W, 3]` uint8 and label map `[h, w]`.

    Pixels are compared at the label's own size (SpineNet-Seg, section 5: predictions are scaled to the
    original image size); where the image was given at another size than its label, the prediction is
    scaled to the label by the nearest neighbour. `progress` is called with the number of samples done.

    Raises:
        DatasetError: if there is no sample, no labelled pixel, or a label outside the classes.
        ArtifactError: if the segmenter predicts a class that does not exist.
    """
    confusion = np.zeros((classes, classes), np.int64)
    done = 0
    for image, label in samples:
        prediction = resize_labels(segmenter(image), label.shape)
        confusion += confusion_matrix(label, prediction, classes=classes, ignore=ignore)
        done += 1
        if progress is not None:
            progress(done)
    if done == 0:
        raise DatasetError("no sample to evaluate; check the split of the dataset YAML")
    return score(confusion)
