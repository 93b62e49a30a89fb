"""What Panoptic-DeepLab learns from, made of a label map and an instance map (arXiv:1911.10194, sec. 3.1)."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mobile_seg.errors import UsageError

SIGMA = 8.0
"""Standard deviation of a centre's Gaussian, in pixels of the image."""

SMALL_AREA = 64 * 64
SMALL_WEIGHT = 3
"""What a pixel of an instance below that area counts for in the semantic loss."""


@dataclass(frozen=True)
class PanopticTargets:
    """Targets of the three outputs, each with its weights as the last channel.

    `semantic` `[H, W, 2]` int32: class id, weight. `centres` `[H, W, 2]` float32: heatmap, 1 at a centre; weight 1
    but on what is not labelled. `offsets` `[H, W, 3]` float32: (y, x) from the pixel to its instance's centre;
    weight 1 inside instances.
    """

    semantic: np.ndarray
    centres: np.ndarray
    offsets: np.ndarray


def panoptic_targets(
    labels: np.ndarray, instances: np.ndarray, *, things: Collection[int], ignore: int = 255, sigma: float = SIGMA
) -> PanopticTargets:
    """Make the targets of one image.

    Args:
        labels: class ids `[H, W]`.
        instances: ids `[H, W]` that tell apart the instances of a class; 0 where there is no single one. A thing's
            pixel without an instance (a crowd) is learned as its class alone.
        things: the classes that come in instances.
        ignore: the label of pixels that count nothing.
        sigma: of the Gaussians, which end at 3 sigma, one more pixel included.

    Raises:
        UsageError: if the two maps differ in size or are not maps.
    """
    if labels.ndim != 2 or labels.shape != instances.shape:
        raise UsageError(f"labels {labels.shape} and instances {instances.shape} must be two maps of one size.")
    labels, instances = labels.astype(np.int64), instances.astype(np.int64)
    thing = np.isin(labels, list(things)) & (labels != ignore)
    inside = thing & (instances != 0)
    height, width = labels.shape
    weights = np.ones((height, width), np.int32)
    heat, offsets = np.zeros((height, width), np.float32), np.zeros((height, width, 2), np.float32)
    found = np.unique(np.stack([labels[inside], instances[inside]], axis=1), axis=0)
    for label, instance in found:
        rows, columns = np.nonzero((labels == label) & (instances == instance))
        if len(rows) < SMALL_AREA:
            weights[rows, columns] = SMALL_WEIGHT
        centre = round(float(rows.mean())), round(float(columns.mean()))
        offsets[rows, columns] = np.stack([centre[0] - rows, centre[1] - columns], axis=1)
        _raise_to(heat, centre, sigma)
    counted = (labels != ignore) & (inside | ~thing)
    return PanopticTargets(
        np.stack([labels.astype(np.int32), weights], axis=-1),
        np.stack([heat, counted.astype(np.float32)], axis=-1),
        np.concatenate([offsets, inside[..., None].astype(np.float32)], axis=-1),
    )


def _raise_to(heat: np.ndarray, centre: tuple[int, int], sigma: float) -> None:
    """Raise the heatmap to a Gaussian of height 1 around a centre where it is lower, in place."""
    reach = round(3 * sigma) + 1
    ranges = [
        np.arange(max(0, middle - reach), min(size, middle + reach + 1))
        for middle, size in zip(centre, heat.shape, strict=True)
    ]
    rows, columns = (
        np.exp(-((own - middle) ** 2) / (2 * sigma**2)) for own, middle in zip(ranges, centre, strict=True)
    )
    part = heat[ranges[0][0] : ranges[0][-1] + 1, ranges[1][0] : ranges[1][-1] + 1]
    np.maximum(part, np.outer(rows, columns).astype(np.float32), out=part)
