"""The cars of a toy street: a side view, extruded to the width of a car and turned to its heading."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from mobile_seg.data._canvas import CIRCLE, Camera, Canvas, Colour, Points
from mobile_seg.data._street import CAR, shade

Profile = tuple[tuple[float, float], ...]

# Side views (metres along, metres up) from the rear bumper over the roof to the front one.
_SALOON: Profile = (
    (0.0, 0.3),
    (0.0, 0.92),
    (0.7, 0.98),
    (1.2, 1.42),
    (2.6, 1.44),
    (3.3, 0.96),
    (4.3, 0.82),
    (4.4, 0.3),
)
_HATCHBACK: Profile = ((0.0, 0.3), (0.0, 0.95), (0.35, 1.46), (2.4, 1.5), (3.0, 0.98), (3.8, 0.84), (3.9, 0.3))
_VAN: Profile = ((0.0, 0.35), (0.0, 1.1), (0.15, 2.0), (3.6, 2.05), (4.3, 1.2), (4.9, 1.0), (5.0, 0.35))
_PROFILES = (_SALOON, _HATCHBACK, _VAN)
_BELT = 0.9  # above it, steep panes are glass
_HALF_WIDTH = 0.88
_WHEEL = 0.33

_PAINTS = (
    (186, 34, 34),
    (38, 66, 132),
    (226, 226, 224),
    (36, 38, 42),
    (142, 146, 150),
    (46, 98, 64),
    (204, 160, 40),
    (92, 30, 44),
)
_GLASS = (58, 70, 84)
_RUBBER = (28, 28, 30)


@dataclass(frozen=True)
class _Frame:
    """Where a car stands: (along, across, up) in metres from its rear end to the world."""

    x: float
    z: float
    heading: float
    length: float

    def at(self, along: float, across: float, up: float) -> tuple[float, float, float]:
        forward, sine, cosine = along - self.length / 2.0, math.sin(self.heading), math.cos(self.heading)
        return self.x + across * cosine + forward * sine, up, self.z - across * sine + forward * cosine

    def shows(self, along: float, across: float, camera: Camera) -> bool:
        """Whether the face in the middle of which this point lies is turned to the camera."""
        x, _, z = self.at(along, across, 0.0)
        return (x - self.x) * (camera.x - x) - (z - self.z) * z > 0


def draw_car(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, heading: float, instance: int) -> None:
    """Draw a car with its middle at (x, z); `heading` 0 drives ahead, pi comes towards the camera."""
    profile = _PROFILES[rng.integers(len(_PROFILES))]
    paint = shade(_PAINTS[rng.integers(len(_PAINTS))], rng.uniform(0.8, 1.15))
    frame = _Frame(x=x, z=z, heading=heading, length=profile[-1][0])
    w, length = _HALF_WIDTH, frame.length

    corners = ((-0.15, -1.1), (-0.15, 1.1), (length + 0.15, 1.1), (length + 0.15, -1.1))
    canvas.shadow([frame.at(along, across * w, 0) for along, across in corners], 0.6)
    for end in (0.25, length - 0.25):
        tyres = [frame.at(end, across, up) for across, up in ((-w, 0), (w, 0), (w, 0.4), (-w, 0.4))]
        canvas.polygon(tyres, _RUBBER, CAR, instance)
    _draw_body(canvas, frame, profile, paint, instance)
    for across in (-w, w):
        if frame.shows(length / 2.0, across, canvas.camera):
            _draw_side(canvas, frame, profile, across, instance)
    for end, lamp in ((0.0, (214, 30, 24)), (length, (248, 240, 206))):
        if frame.shows(end, 0.0, canvas.camera):
            _draw_lamps(canvas, frame, end, lamp)


def _draw_body(canvas: Canvas, frame: _Frame, profile: Profile, paint: Colour, instance: int) -> None:
    """Draw the faces from the farthest to the nearest, glass inset in the steep ones."""
    w = _HALF_WIDTH
    faces: list[tuple[Points, Colour, bool]] = []
    for (a0, u0), (a1, u1) in itertools.pairwise(profile):
        face: Points = [frame.at(a0, -w, u0), frame.at(a0, w, u0), frame.at(a1, w, u1), frame.at(a1, -w, u1)]
        flat = abs(u1 - u0) < 0.2
        faces.append((face, shade(paint, 1.15 if flat else 0.85), not flat and min(u0, u1) > _BELT))
    for across in (-w, w):
        faces.append(([frame.at(along, across, up) for along, up in profile], paint, False))
    for face, colour, glass in sorted(faces, key=lambda entry: -float(np.mean([point[2] for point in entry[0]]))):
        canvas.polygon(face, colour, CAR, instance)
        if glass:
            middle = np.mean(face, axis=0)
            canvas.polygon(middle + (np.asarray(face) - middle) * 0.84, _GLASS)


def _draw_side(canvas: Canvas, frame: _Frame, profile: Profile, across: float, instance: int) -> None:
    """Draw the side windows and the wheels."""
    cabin = [(along, up) for along, up in profile if up > _BELT]
    middle = np.mean(cabin, axis=0)
    panes = [(along, up - 0.03) for along, up in (middle + (np.asarray(cabin) - middle) * (0.84, 0.66))]
    canvas.polygon([frame.at(along, across, up) for along, up in panes], _GLASS)
    for along in (0.2 * frame.length, 0.8 * frame.length):
        for radius, colour in ((_WHEEL, _RUBBER), (0.55 * _WHEEL, (150, 152, 156))):
            ring = [
                frame.at(along + radius * math.cos(angle), across, _WHEEL + radius * math.sin(angle))
                for angle in CIRCLE
            ]
            canvas.polygon(ring, colour, CAR, instance)


def _draw_lamps(canvas: Canvas, frame: _Frame, end: float, lamp: Colour) -> None:
    plate = ((-0.3, 0.45), (0.3, 0.45), (0.3, 0.58), (-0.3, 0.58))
    canvas.polygon([frame.at(end, across, up) for across, up in plate], (228, 226, 208))
    for side in (-1, 1):
        corners = ((0.52, 0.62), (0.84, 0.62), (0.84, 0.8), (0.52, 0.8))
        canvas.polygon([frame.at(end, side * across, up) for across, up in corners], lamp)
