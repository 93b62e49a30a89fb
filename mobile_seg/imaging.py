"""The pixels' conventions, in one place: how an image becomes the network's input, and a label map a picture."""

from typing import TypeAlias

import cv2
import numpy as np

Image: TypeAlias = np.ndarray
"""`[H, W, 3]` uint8, RGB."""

LabelMap: TypeAlias = np.ndarray
"""`[H, W]` integer class ids."""


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Stretch `[H, W, 3]` to `size` (height, width), bilinear with half-pixel centres, as the apps do."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def resize_labels(labels: LabelMap, size: tuple[int, int]) -> LabelMap:
    """Resize a label map `[H, W]` to `size` (height, width) by the nearest neighbour (pixel centres)."""
    if labels.shape == size:
        return labels
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def resize_logits(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize `[h, w, C]` float32 logits to `size`, bilinear with half-pixel centres."""
    if logits.shape[:2] == size:
        return logits
    # OpenCV 5 resizes at most 128 channels at a time, and drops a channel axis of one.
    blocks = [
        cv2.resize(logits[..., first : first + 64], (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        for first in range(0, logits.shape[-1], 64)
    ]
    resized = [block.reshape(*size, -1) for block in blocks]
    return resized[0] if len(resized) == 1 else np.concatenate(resized, axis=-1)


def colourize(labels: LabelMap, palette: "tuple[tuple[int, int, int], ...]") -> Image:
    """Paint a label map with an RGB palette; ids beyond the palette (the ignore value) are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = np.asarray(palette, np.uint8)
    return table[labels]


def overlay(
    image: Image, labels: LabelMap, palette: "tuple[tuple[int, int, int], ...]", opacity: float = 0.55
) -> Image:
    """Blend the painted label map `[H, W]` over the image `[H, W, 3]`; ignored pixels stay as they are."""
    painted = colourize(labels, palette)
    blended = cv2.addWeighted(image, 1.0 - opacity, painted, opacity, 0.0)
    return np.where((labels < len(palette))[..., None], blended, image)
