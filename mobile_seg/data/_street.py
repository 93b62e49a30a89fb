"""What stands in a toy street: houses, trees, poles, signs and people, each drawn by one function."""

import math

import numpy as np

from mobile_seg.data._canvas import Canvas, Colour

CLASSES = ("sky", "building", "road", "sidewalk", "vegetation", "pole", "sign", "car", "pedestrian")
SKY, BUILDING, ROAD, SIDEWALK, VEGETATION, POLE, SIGN, CAR, PEDESTRIAN = range(len(CLASSES))

_WALLS = (
    (168, 92, 74),
    (196, 172, 138),
    (150, 148, 146),
    (214, 200, 176),
    (124, 104, 96),
    (176, 128, 92),
    (122, 138, 152),
)
_CLOTHES = (
    (44, 50, 88),
    (150, 38, 44),
    (58, 58, 60),
    (206, 202, 190),
    (70, 106, 70),
    (204, 130, 50),
    (106, 70, 120),
    (60, 120, 160),
)
_SKINS = ((234, 196, 168), (198, 148, 112), (128, 88, 64), (92, 62, 46))
_LEAVES = ((70, 104, 44), (92, 118, 52), (54, 88, 52), (124, 116, 50))


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour made darker or lighter."""
    red, green, blue = (min(255.0, part * factor) for part in colour)
    return red, green, blue


def draw_building(
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    x: float,
    near: float,
    far: float,
    height: float,
    lit: float,
    sun: float,
) -> None:
    """Draw a house whose front stands at `x` along the street from `near` to `far`."""
    wall = shade(_WALLS[rng.integers(len(_WALLS))], rng.uniform(0.8, 1.15))
    side = math.copysign(1.0, x)
    front = shade(wall, 1.0 + 0.18 * sun * side)
    deep = x + side * 14.0
    canvas.polygon(
        [(x, 0, near), (deep, 0, near), (deep, height, near), (x, height, near)], shade(wall, 0.78), BUILDING
    )
    _windows(canvas, rng, [(x + side * along, near) for along in (1.0, 13.0)], height, lit, glass=shade(wall, 0.45))
    canvas.polygon([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], front, BUILDING)
    _windows(canvas, rng, [(x, near + 0.8), (x, far - 0.8)], height, lit, glass=(52, 60, 74))
    canvas.polygon(
        [(x, height, near), (x, height, far), (x, height - 0.5, far), (x, height - 0.5, near)], shade(front, 0.7)
    )
    shop = _CLOTHES[rng.integers(len(_CLOTHES))]
    if rng.random() < 0.6:
        canvas.polygon([(x, 2.7, near), (x, 2.7, far), (x, 3.3, far), (x, 3.3, near)], shop)


def _windows(
    canvas: Canvas,
    rng: np.random.Generator,
    ends: list[tuple[float, float]],
    height: float,
    lit: float,
    *,
    glass: Colour,
) -> None:
    """Draw rows of windows on the wall between two points (x, z) of the ground."""
    (x0, z0), (x1, z1) = ends
    length = math.hypot(x1 - x0, z1 - z0)
    columns, floors = int(length / 2.4), int((height - 1.0) / 3.0)
    if columns < 1 or canvas.camera.pixels(1.2, z0) < 2.0:
        return
    for floor in range(floors):
        low, high = (0.5, 2.5) if floor == 0 else (floor * 3.0 + 0.9, floor * 3.0 + 2.5)
        for column in range(columns):
            begin, end = (column + 0.22) / columns, (column + 0.78) / columns
            (xa, za), (xb, zb) = ((x0 + (x1 - x0) * part, z0 + (z1 - z0) * part) for part in (begin, end))
            pane = (236, 208, 140) if rng.random() < lit else shade(glass, rng.uniform(0.75, 1.5))
            canvas.polygon([(xa, low, za), (xb, low, zb), (xb, high, zb), (xa, high, za)], pane)


def draw_tree(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, sun: float) -> None:
    """Draw a tree, or now and then a bush."""
    leaf = shade(_LEAVES[rng.integers(len(_LEAVES))], rng.uniform(0.8, 1.2))
    bush = rng.random() < 0.2
    trunk, crown = (0.3, 0.6) if bush else (rng.uniform(1.8, 2.8), rng.uniform(1.1, 1.9))
    canvas.shadow(
        [(x - crown, 0, z - 0.7), (x + crown, 0, z - 0.7), (x + crown, 0, z + 0.7), (x - crown, 0, z + 0.7)], 0.35
    )
    canvas.bar((x, 0, z), (x, trunk + crown, z), 0.28, (86, 68, 52), VEGETATION)
    clumps = rng.uniform(-1.0, 1.0, (26, 3))
    for across, up, tint in clumps[np.argsort(clumps[:, 1])]:
        reach = math.sqrt(max(0.0, 1.0 - up * up))
        centre = (x + across * reach * crown, trunk + crown * (1.0 + 1.1 * up), z)
        bright = 0.85 + 0.3 * up - 0.18 * across * sun + 0.15 * tint
        canvas.disc(centre, crown * (0.42 + 0.08 * tint), shade(leaf, bright), VEGETATION)


def draw_pole(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Draw a street lamp that reaches over the road."""
    height, metal = rng.uniform(4.5, 6.5), shade((112, 114, 116), rng.uniform(0.6, 1.2))
    reach = -math.copysign(rng.uniform(0.8, 1.6), x)
    canvas.bar((x, 0, z), (x, height, z), 0.26, metal, POLE)
    canvas.bar((x, height, z), (x + reach, height + 0.25, z), 0.18, metal, POLE)
    canvas.bar((x + reach * 0.8, height + 0.16, z), (x + reach * 1.25, height + 0.25, z), 0.22, (214, 212, 196), POLE)


def draw_sign(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Draw a traffic sign on its post: a disc, a triangle or a panel."""
    height, kind = rng.uniform(2.2, 2.8), rng.integers(3)
    canvas.bar((x, 0, z), (x, height, z), 0.13, (138, 140, 142), POLE)
    if kind == 0:
        canvas.disc((x, height, z), 0.52, (196, 30, 34), SIGN)
        canvas.disc((x, height, z), 0.36, (240, 240, 236))
    elif kind == 1:
        for reach, colour in ((0.62, (196, 30, 34)), (0.36, (244, 238, 214))):
            low = height - reach * 0.6
            canvas.polygon([(x - reach, low, z), (x + reach, low, z), (x, low + reach * 1.7, z)], colour, SIGN)
    else:
        panel = ((28, 84, 168), (32, 120, 72), (232, 190, 40))[rng.integers(3)]
        corners = [
            (x - 0.5, height - 0.5),
            (x + 0.5, height - 0.5),
            (x + 0.5, height + 0.5),
            (x - 0.5, height + 0.5),
        ]
        canvas.polygon([(across, up, z) for across, up in corners], panel, SIGN)
        canvas.bar((x - 0.34, height, z), (x + 0.34, height, z), 0.18, (240, 240, 240))


def draw_pedestrian(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float, instance: int) -> None:
    """Draw a person, somewhere in a stride."""
    tall = rng.uniform(1.5, 1.9) / 1.75
    coat, trousers = (shade(_CLOTHES[rng.integers(len(_CLOTHES))], rng.uniform(0.7, 1.2)) for _ in range(2))
    skin, stride = _SKINS[rng.integers(len(_SKINS))], rng.uniform(-0.28, 0.28)

    def at(across: float, up: float) -> tuple[float, float, float]:
        return x + across * tall, up * tall, z

    canvas.shadow([at(-0.45, 0.0), at(0.45, 0.0), (x + 0.45, 0, z + 0.6), (x - 0.45, 0, z + 0.6)], 0.4)
    for sign in (-1, 1):
        canvas.bar(at(0.06 * sign, 0.85), at(0.06 * sign + stride * sign, 0.0), 0.17, trousers, PEDESTRIAN, instance)
        canvas.bar(
            at(0.2 * sign, 1.4), at(0.22 * sign - stride * sign, 0.8), 0.11, shade(coat, 0.85), PEDESTRIAN, instance
        )
    torso = [at(-0.2, 0.8), at(0.2, 0.8), at(0.24, 1.42), at(0.1, 1.5), at(-0.1, 1.5), at(-0.24, 1.42)]
    canvas.polygon(torso, coat, PEDESTRIAN, instance)
    canvas.disc(at(0.0, 1.62), 0.13 * tall, skin, PEDESTRIAN, instance)
    hair = [at(-0.13, 1.64), at(0.13, 1.64), at(0.08, 1.76), at(-0.08, 1.76)]
    canvas.polygon(hair, ((52, 40, 32), (150, 120, 70), (30, 28, 28))[rng.integers(3)], PEDESTRIAN, instance)
