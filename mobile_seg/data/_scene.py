"""Compose a toy street scene: sky, ground, houses, then what stands and moves in the street."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mobile_seg.data._canvas import OVERSAMPLING, Camera, Canvas, Colour
from mobile_seg.data._car import draw_car
from mobile_seg.data._street import (
    ROAD,
    SIDEWALK,
    SKY,
    VEGETATION,
    draw_building,
    draw_pedestrian,
    draw_pole,
    draw_sign,
    draw_tree,
    shade,
)

_FAR = 110.0  # metres to the end of the street


@dataclass(frozen=True)
class Scene:
    """`image` `[H, W, 3]` uint8 RGB, `labels` `[H, W]` uint8 class ids of `CLASSES`, `instances` `[H, W]` int32.

    Instance ids are 1, 2, ... over the things that can be seen; 0 is stuff.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray


@dataclass(frozen=True)
class _Mood:
    """A time of day: sky colours at the top and at the horizon, light, haze and lit windows."""

    top: Colour
    low: Colour
    light: Colour
    haze_distance: float
    clouds: int
    lit: float


_MOODS = (
    _Mood((84, 138, 206), (190, 214, 234), (1.1, 1.07, 1.0), 220.0, 4, 0.02),
    _Mood((168, 176, 184), (206, 210, 212), (0.92, 0.94, 0.97), 110.0, 7, 0.06),
    _Mood((116, 132, 176), (246, 192, 138), (1.12, 0.95, 0.8), 140.0, 5, 0.12),
    _Mood((44, 56, 96), (140, 128, 142), (0.62, 0.64, 0.74), 120.0, 3, 0.4),
)


@dataclass(frozen=True)
class _Street:
    """Half the width of the road, and where the houses begin, in metres from the middle."""

    kerb: float
    wall: float
    sun: float


def draw_scene(seed: int | tuple[int, ...], size: tuple[int, int] = (192, 256)) -> Scene:
    """Draw the street scene of `seed` (one number or several) at `size` (height, width); same seed, same pixels."""
    key = seed if isinstance(seed, tuple) else (seed,)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((*key, *size))))
    height, width = (side * OVERSAMPLING for side in size)
    kerb = rng.uniform(3.4, 6.0)
    street = _Street(kerb=kerb, wall=kerb + rng.uniform(2.2, 4.0), sun=rng.uniform(-1.0, 1.0))
    camera = Camera(
        focal=width * rng.uniform(0.75, 1.05),
        centre=(width * rng.uniform(0.36, 0.64), height * rng.uniform(0.36, 0.5)),
        x=kerb * rng.uniform(-0.1, 0.6),
        y=rng.uniform(1.3, 2.3),
    )
    mood = _MOODS[rng.integers(len(_MOODS))]
    canvas = Canvas(size, camera, light=mood.light, haze=mood.low, haze_distance=mood.haze_distance)
    _draw_sky(canvas, rng, mood)
    _draw_ground(canvas, rng, street)
    _draw_houses(canvas, rng, street, mood.lit)
    _draw_props(canvas, rng, street)
    return _finish(canvas, rng, size)


def _draw_sky(canvas: Canvas, rng: np.random.Generator, mood: _Mood) -> None:
    height, width = canvas.labels.shape
    horizon = canvas.camera.centre[1]
    part = np.clip(np.arange(height) / horizon, 0.0, 1.0)[:, None] ** 1.3
    rows = np.asarray(mood.top) * (1.0 - part) + np.asarray(mood.low) * part
    cover = np.zeros((height, width), np.float32)
    for _ in range(mood.clouds * 4):
        middle = (int(rng.uniform(0, width)), int(rng.uniform(0, horizon * 0.9)))
        reach = rng.uniform(0.03, 0.14) * width
        cv2.ellipse(cover, middle, (int(reach), int(reach * 0.3)), 0, 0, 360, float(rng.uniform(0.2, 0.7)), -1)
    cover = cv2.blur(cover, (width // 14, height // 24))[..., None]
    cloud = np.minimum(np.asarray(mood.low) * 1.12, 255.0)
    canvas.image[:] = (rows[:, None] * (1.0 - cover) + cloud * cover).astype(np.uint8)
    canvas.labels[:] = SKY


def _draw_ground(canvas: Canvas, rng: np.random.Generator, street: _Street) -> None:
    """Draw grass, sidewalks and the road with its markings, and give the ground its grain."""
    asphalt = float(rng.uniform(72, 112))
    paving = (asphalt + rng.uniform(30, 70), asphalt + rng.uniform(28, 60), asphalt + rng.uniform(20, 55))
    before = canvas.labels.copy()

    def strip(left: float, right: float, near: float, far: float, colour: Colour, label: int) -> None:
        # Colours are finished piecewise, since the haze thickens along the street.
        pieces = np.geomspace(near, far, 8) if far / near > 4.0 else (near, far)
        for start, end in itertools.pairwise(pieces):
            corners = [(left, 0, start), (right, 0, start), (right, 0, end), (left, 0, end)]
            canvas.polygon(corners, colour, label)

    strip(-300.0, 300.0, 0.6, 400.0, (88, 112, 58), VEGETATION)
    strip(-street.wall, street.wall, 0.6, _FAR, paving, SIDEWALK)
    for x in np.arange(-street.wall, street.wall, 1.2):
        strip(x, x + 0.05, 0.6, 30.0, shade(paving, 0.86), SIDEWALK)
    strip(-street.kerb - 0.22, street.kerb + 0.22, 0.6, _FAR, shade(paving, 1.2), SIDEWALK)
    strip(-street.kerb, street.kerb, 0.6, _FAR, (asphalt, asphalt, asphalt * 1.03), ROAD)
    paint = (212.0, 212.0, 204.0)
    phase = rng.uniform(0.0, 6.0)
    for start in np.arange(0.7 + phase, 80.0, 6.0):
        strip(-0.08, 0.08, start, start + 3.0, paint, ROAD)
    for x in (-street.kerb + 0.3, street.kerb - 0.42):
        strip(x, x + 0.12, 0.6, 80.0, paint, ROAD)
    if rng.random() < 0.35:
        start = rng.uniform(6.0, 14.0)
        for x in np.arange(-street.kerb + 0.5, street.kerb - 0.6, 1.0):
            strip(x, x + 0.5, start, start + 2.6, paint, ROAD)
    _grain(canvas, rng, canvas.labels != before)


def _grain(canvas: Canvas, rng: np.random.Generator, mask: np.ndarray) -> None:
    """Vary the brightness where `mask` is set, in blotches that widen towards the camera."""
    height, width = mask.shape
    blotches = sum(
        cv2.resize(
            rng.normal(0.0, 1.0, (rows, rows // 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
        )
        for rows in (24, 96)
    )
    varied = canvas.image * (1.0 + 0.045 * blotches[..., None])
    canvas.image[mask] = np.clip(varied, 0, 255).astype(np.uint8)[mask]


def _draw_houses(canvas: Canvas, rng: np.random.Generator, street: _Street, lit: float) -> None:
    """Line both sides with houses and gaps, the farthest first, and close the far end."""
    z = _FAR
    for x in (-24.0, -9.0, 8.0, 22.0):
        draw_building(
            canvas, rng, x=x + rng.uniform(-3, 3), near=z, far=z + 12, height=rng.uniform(8, 22), lit=lit, sun=0.0
        )
    for side in (-1.0, 1.0):
        z = _FAR
        while z > 2.0:
            length = rng.uniform(9.0, 20.0)
            near = max(z - length, 0.7)
            if rng.random() < 0.82:
                x, height = side * (street.wall + rng.uniform(0.0, 1.0)), rng.uniform(5.5, 19.0)
                draw_building(canvas, rng, x=x, near=near, far=z, height=height, lit=lit, sun=street.sun)
            z = near - (rng.uniform(0.0, 5.0) if rng.random() < 0.5 else 0.0)


def _draw_props(canvas: Canvas, rng: np.random.Generator, street: _Street) -> None:
    """Draw what stands and moves in the street, the farthest first."""
    props: list[tuple[float, Callable[[int], None]]] = []

    def add(draw: Callable[..., None], x: float, z: float, **options: float) -> None:
        takes_instance = draw in (draw_car, draw_pedestrian)

        def run(instance: int) -> None:
            draw(canvas, rng, x=x, z=z, **options, **({"instance": instance} if takes_instance else {}))

        props.append((z, run))

    for side in (-1.0, 1.0):
        walk = side * street.kerb
        for z in np.arange(rng.uniform(5, 12), 70, rng.uniform(9, 16)):
            if rng.random() < 0.6:
                add(draw_tree, walk + side * rng.uniform(0.7, 1.2), z + rng.uniform(-1, 1), sun=street.sun)
        for z in np.arange(rng.uniform(6, 18), 70, 18.0):
            add(draw_pole, walk + side * 0.45, z)
        for _ in range(rng.integers(1, 3)):
            add(draw_sign, walk + side * rng.uniform(0.4, 1.0), rng.uniform(4, 15))
        for _ in range(rng.integers(1, 6)):
            add(draw_pedestrian, walk + side * rng.uniform(0.5, street.wall - street.kerb), rng.uniform(4.0, 16))
        for z in np.arange(rng.uniform(6, 14), 50, 6.2):
            if rng.random() < 0.4:
                heading = (0.0 if side > 0 else math.pi) + rng.uniform(-0.05, 0.05)
                add(draw_car, side * (street.kerb - 1.05), z, heading=heading)
    if rng.random() < 0.7:
        lane = rng.choice((-1.0, 1.0))
        add(
            draw_car,
            lane * rng.uniform(0.25, 0.4) * street.kerb,
            rng.uniform(8, 30),
            heading=0.0 if lane > 0 else math.pi,
        )
    if rng.random() < 0.25:
        heading = rng.choice((-1.0, 1.0)) * math.pi / 2.0 + rng.uniform(-0.4, 0.4)
        add(draw_car, rng.uniform(-0.5, 0.5) * street.kerb, rng.uniform(9, 18), heading=heading)
    for _ in range(rng.integers(0, 3)):
        add(draw_pedestrian, rng.uniform(-0.9, 0.9) * street.kerb, rng.uniform(5, 15))
    for instance, (_, run) in enumerate(sorted(props, key=lambda prop: -prop[0]), start=1):
        run(instance)


def _finish(canvas: Canvas, rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Average the image down, give it a camera's blur, vignette and noise; number the things that show."""
    image = cv2.resize(canvas.image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8))
    rows, columns = (np.linspace(-1.0, 1.0, side) ** 2 for side in size)
    gain = rng.uniform(0.85, 1.15) * (1.0 - rng.uniform(0.0, 0.22) * (rows[:, None] + columns) / 2.0)
    noise = rng.normal(0.0, rng.uniform(1.5, 6.0), image.shape)
    image = np.clip(image * gain[..., None] + noise, 0, 255).astype(np.uint8)
    labels = np.ascontiguousarray(canvas.labels[1::OVERSAMPLING, 1::OVERSAMPLING])
    shown = canvas.instances[1::OVERSAMPLING, 1::OVERSAMPLING]
    ids = np.unique(shown[shown > 0])
    instances = np.where(shown > 0, np.searchsorted(ids, shown) + 1, 0).astype(np.int32)
    return Scene(image=image, labels=labels, instances=instances)
