"""Random views of a labelled image: scale, crop, flip, colour."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mobile_seg.data.description import IGNORE
from mobile_seg.errors import UsageError
from mobile_seg.imaging import resize_image, resize_labels

PADDING = 128
"""The grey that fills what a small view leaves open; its labels are 255."""

# Luma weights of BT.601, which the colour changes keep.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Augmentation:
    """How far the random views go. The defaults are those of DeepLabv3 plus a moderate colour jitter.

    `scale` is the range of the uniform scale factor; 1 shows the image as the network sees it in
    use. `brightness`, `contrast` and `saturation` are the largest relative changes: 0.3 draws
    factors from [0.7, 1.3]. `hue` is the largest turn of the colour circle, 0.5 being half of it.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.03

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise UsageError(f"scale={self.scale}: give (smallest, largest), both above 0")
        for name, largest in (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= largest:
                raise UsageError(f"{name}={value}: give a strength from 0 (none) to {largest:g}")


def augment(
    image: np.ndarray,
    label: np.ndarray,
    *,
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random view of `image` `[H, W, 3]` uint8 and `label` `[H, W]` uint8 at `size` (height, width).

    The image is stretched to `size`, as it is in use, and scaled by a random factor, both in one
    resize (bilinear; labels by the nearest pixel). Then a window of `size` is cut out; where the
    scaled image is smaller, it lies at a random place on grey 128 and label 255. Flip and colour
    jitter follow; the padding keeps its grey. The inputs are not changed.
    """
    factor = rng.uniform(*augmentation.scale)
    scaled = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    windows = [_window(have, want, rng) for have, want in zip(scaled, size, strict=True)]
    flip = augmentation.flip and bool(rng.random() < 0.5)
    colours = _colour_change(augmentation, rng)

    source, target = (tuple(window[side] for window in windows) for side in (0, 1))
    view = _recolour(resize_image(image, scaled)[source], colours)
    mask = resize_labels(label, scaled)[source]
    if flip:
        view, mask = cv2.flip(view, 1), cv2.flip(mask, 1)
    if mask.shape == tuple(size):
        return np.ascontiguousarray(view), np.ascontiguousarray(mask)
    padded = np.full((*size, 3), PADDING, np.uint8)
    labels = np.full(size, IGNORE, np.uint8)
    padded[target], labels[target] = view, mask
    return padded, labels


def _window(have: int, want: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return where to read from `have` pixels, and where to write to among `want` pixels."""
    offset = int(rng.integers(0, abs(have - want) + 1))
    length = min(have, want)
    read, write = (offset, 0) if have > want else (0, offset)
    return slice(read, read + length), slice(write, write + length)


def _colour_change(augmentation: Augmentation, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw the colour change: a matrix `[3, 3]` on RGB, and the share of the mean luma to add to it."""
    draws = rng.uniform(-1.0, 1.0, 4)
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    brightness, contrast, saturation = (1.0 + draws[:3] * strengths).tolist()
    angle = 2.0 * math.pi * augmentation.hue * draws[3]
    grey = np.tile(_LUMA, (3, 1))
    # Rodrigues' rotation about the grey axis turns the hue; the luma of each pixel stays its own.
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3.0)
    turn = math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) / 3.0
    chroma = (np.eye(3) - grey) @ turn
    return contrast * brightness * (grey + saturation * chroma), (1.0 - contrast) * brightness


def _recolour(view: np.ndarray, change: tuple[np.ndarray, float]) -> np.ndarray:
    """Apply the whole colour change to `[H, W, 3]` uint8 in one pass, with one rounding and clipping."""
    matrix, share = change
    offset = np.full((3, 1), share * float(_LUMA @ cv2.mean(view)[:3]))
    return cv2.transform(view, np.hstack([matrix, offset]))
