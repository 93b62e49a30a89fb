"""Images to calibrate from: how wide a network's activations are."""

from collections.abc import Iterator

import numpy as np

from mobile_seg.data.description import Dataset, spread
from mobile_seg.data.readers import read_image
from mobile_seg.imaging import resize_image

IMAGES, FEWEST = 100, 16
"""Training images shown, spread evenly over the set; the fewest, where one shows as much as several small ones."""

BATCH = 10

PIXELS = IMAGES * 256 * 352
"""Larger images than these are fewer, and in smaller batches, for as many pixels in all."""


def calibration_batches(
    dataset: Dataset, *, size: tuple[int, int], batch: int | None = None, images: int | None = None
) -> Iterator[np.ndarray]:
    """Yield up to `images` training images, not augmented, as `[N, H, W, 3]` float32 RGB 0..255.

    By default as many as make `PIXELS`, from `FEWEST` to `IMAGES`, in batches of up to `BATCH`.

    Raises:
        DatasetError: if an image cannot be used.
    """
    share = PIXELS / IMAGES / (size[0] * size[1])
    images = images or min(max(round(IMAGES * share), FEWEST), IMAGES)
    batch = batch or min(max(round(BATCH * share), 1), BATCH)
    chosen = spread(dataset.train, images)
    for start in range(0, len(chosen), batch):
        read = [resize_image(read_image(pair.image), size) for pair in chosen[start : start + batch]]
        yield np.stack(read).astype(np.float32)
