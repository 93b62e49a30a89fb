"""Images to calibrate from: how wide a network's activations are."""

from collections.abc import Iterator

import numpy as np

from mobile_seg.data.description import Dataset, spread
from mobile_seg.data.readers import read_image
from mobile_seg.imaging import resize_image

IMAGES = 100
"""Training images shown, spread evenly over the set."""


def calibration_batches(
    dataset: Dataset, *, size: tuple[int, int], batch: int = 10, images: int = IMAGES
) -> Iterator[np.ndarray]:
    """Yield up to `images` training images, not augmented, as `[N, H, W, 3]` float32 RGB 0..255.

    Raises:
        DatasetError: if an image cannot be used.
    """
    chosen = spread(dataset.train, images)
    for start in range(0, len(chosen), batch):
        read = [resize_image(read_image(pair.image), size) for pair in chosen[start : start + batch]]
        yield np.stack(read).astype(np.float32)
