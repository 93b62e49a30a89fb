"""A pinhole camera over a flat world, and a canvas that draws image, labels and instances alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

OVERSAMPLING = 2
"""The image is drawn larger by this factor and averaged down, which smooths its edges."""

_NEAREST = 0.6  # metres; what is closer to the camera is clamped, so that no point lies behind it

CIRCLE = tuple(2.0 * math.pi * step / 14 for step in range(14))
"""The angles at which a circle is drawn."""

Colour = tuple[float, float, float]
Points = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Camera:
    """Metres (x right, y up, z ahead, ground at y=0) to pixels of the oversampled canvas."""

    focal: float
    centre: tuple[float, float]
    x: float
    y: float

    def project(self, points: Points) -> list[tuple[float, float]]:
        """Return pixels (across, down) for metres (x, y, z)."""
        across, down = self.centre
        scales = [self.focal / max(z, _NEAREST) for _, _, z in points]
        return [
            (across + (x - self.x) * scale, down + (self.y - y) * scale)
            for (x, y, _), scale in zip(points, scales, strict=True)
        ]

    def pixels(self, metres: float, z: float) -> float:
        """Return how many pixels a length at distance z covers."""
        return metres * self.focal / max(z, _NEAREST)


class Canvas:
    """Image `[H, W, 3]`, labels and instances `[H, W]`, oversampled; later drawing covers earlier.

    `label` None paints the image alone: a detail on what is already there.
    """

    def __init__(
        self, size: tuple[int, int], camera: Camera, *, light: Colour, haze: Colour, haze_distance: float
    ) -> None:
        shape = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
        self.camera = camera
        self.image = np.zeros((*shape, 3), np.uint8)
        self.labels = np.zeros(shape, np.uint8)
        self.instances = np.zeros(shape, np.int32)
        self._light, self._haze, self._haze_distance = light, haze, haze_distance

    def polygon(self, points: Points, colour: Colour, label: int | None = None, instance: int = 0) -> None:
        """Fill a polygon given in metres."""
        depth = sum(point[2] for point in points) / len(points)
        self.flat(self.camera.project(points), self.tone(colour, depth), label, instance)

    def flat(self, pixels: Points, tone: Colour, label: int | None = None, instance: int = 0) -> None:
        """Fill a polygon given in pixels, with a finished colour."""
        corners = [_corners(pixels)]
        cv2.fillPoly(self.image, corners, tone)
        if label is not None:
            cv2.fillPoly(self.labels, corners, label)
            cv2.fillPoly(self.instances, corners, instance)

    def disc(
        self, centre: Sequence[float], radius: float, colour: Colour, label: int | None = None, instance: int = 0
    ) -> None:
        """Fill a disc that faces the camera; centre and radius in metres."""
        ring = [
            (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle), centre[2]) for angle in CIRCLE
        ]
        self.polygon(ring, colour, label, instance)

    def bar(
        self,
        start: Sequence[float],
        end: Sequence[float],
        width: float,
        colour: Colour,
        label: int | None = None,
        instance: int = 0,
    ) -> None:
        """Fill a bar of some width (metres) between two points at the same distance, at least a pixel wide."""
        (x0, y0), (x1, y1) = self.camera.project([start, end])
        half = max(self.camera.pixels(width, start[2]), OVERSAMPLING) / 2.0
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        across, down = -(y1 - y0) / length * half, (x1 - x0) / length * half
        corners = [
            (x0 + across, y0 + down),
            (x1 + across, y1 + down),
            (x1 - across, y1 - down),
            (x0 - across, y0 - down),
        ]
        self.flat(corners, self.tone(colour, start[2]), label, instance)

    def shadow(self, points: Points, strength: float = 0.5) -> None:
        """Darken the image softly inside a polygon given in metres."""
        mask = np.zeros(self.labels.shape, np.uint8)
        cv2.fillPoly(mask, [_corners(self.camera.project(points))], 255)
        x, y, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        soft = cv2.blur(mask[y : y + height, x : x + width], (5, 5))[..., None] * (strength / 255.0)
        part = self.image[y : y + height, x : x + width]
        part[:] = (part * (1.0 - soft)).astype(np.uint8)

    def tone(self, colour: Colour, depth: float) -> Colour:
        """Return a colour under the scene's light, faded into the haze with distance."""
        clear = math.exp(-max(depth, 0.0) / self._haze_distance)
        (red, green, blue), (r, g, b), (hazy_r, hazy_g, hazy_b) = colour, self._light, self._haze
        return (
            min(255.0, red * r) * clear + hazy_r * (1.0 - clear),
            min(255.0, green * g) * clear + hazy_g * (1.0 - clear),
            min(255.0, blue * b) * clear + hazy_b * (1.0 - clear),
        )


def _corners(pixels: Points) -> np.ndarray:
    return np.array([(round(max(-1e4, min(1e4, x))), round(max(-1e4, min(1e4, y)))) for x, y in pixels], np.int32)
