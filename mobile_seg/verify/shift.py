"""How far one model's masks lie from another's, as one displacement in pixels.

The two outputs are held against each other at every whole displacement at once: the mean squared difference over
what still overlaps is a correlation, which a Fourier transform gives for all of them. Around its minimum that
surface is a paraboloid, whose lowest point is the displacement to a fraction of a pixel.

Its error: rounding that leaves an error of `s` (rms) in each of `n` values whose slope is `g` per pixel (rms) moves
the lowest point by `s / (g * sqrt(n))` (rms), as in any least-squares fit of a displacement. Of 8-bit logits with a
deviation of 40 steps and borders 8 pixels wide, on 64x128 pixels: 0.3 / (5 * 90) = 0.001 pixels of that grid. What
enters and leaves the overlap tilts the paraboloid besides: a few hundredths of a pixel of the grid, none at zero.
On few, coarse pixels noise alone moves it by more than a displacement that matters; so much is not told.
"""

import cv2
import numpy as np

GRID = 192
"""Outputs with a longer side are averaged down to this many pixels: what decides is the number of borders."""

PLANES = 16
"""More classes than this are mixed into so many planes by random signs; equal outputs stay equal."""

RANGE = 0.25
"""Displacements up to this share of a side are tried; less than half of the image would overlap beyond."""

RELATED = 0.5
"""Two outputs show one scene if the best displacement leaves less than this share of what unrelated ones differ by."""

FAR = 0.8
"""A far minimum is the best of thousands: it must leave less than this share of what the nearest one leaves."""

NEAR = 0.01
"""A part of the displacement counts if it explains this share of the difference: along a stripe nothing does."""

CERTAIN = 9.0
"""And if what it explains is so many times what noise would seem to: three standard errors, squared."""

_NOTHING = 1e-10  # of the largest value squared; what float32 makes of a variance of zero
_BLUR = 1.0  # pixels; a border one pixel wide is no paraboloid
_ALIKE = 4.0 * np.pi * _BLUR**2  # pixels that count as one: the blur has made their noise alike


class MaskShift:
    """Collects pairs of outputs of one size, and tells their common displacement.

    Args:
        input_size: (height, width) of the network's input, in whose pixels the answer is given.
    """

    def __init__(self, *, input_size: tuple[int, int]) -> None:
        self._input_size = input_size
        self._size: tuple[int, int] = (0, 0)
        self._spectrum: np.ndarray | None = None
        self._variance = np.zeros(2)
        self._scale = 0.0
        self._count = 0

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Take one image's outputs: `[h, w, C]` logits both, or `[h, w]` class ids where one of them is."""
        if reference.ndim != candidate.ndim:
            reference, candidate = (one.argmax(-1) if one.ndim == 3 else one for one in (reference, candidate))
        self._size = reference.shape[0], reference.shape[1]
        one, other = (_planes(output) for output in (reference, candidate))
        self._variance += [float(values.var((0, 1)).sum()) for values in (one, other)]
        # The same for both: taken from each, their means would hide a part of a displacement along a slope.
        mean = one.mean((0, 1))
        one, other = one - mean, other - mean
        self._scale = max(self._scale, float(np.abs(other).max()))
        self._count += 1
        added = _spectrum_of_differences(one, other)
        self._spectrum = added if self._spectrum is None else self._spectrum + added

    def displacement(self) -> tuple[float, float] | None:
        """Return (dy, dx) in input pixels: what the reference shows at (y, x), the candidate shows at (y+dy, x+dx).

        None where it cannot be told: an output is the same everywhere, less than 4 pixels high or wide, of too
        few pixels, or the two have too little in common.
        """
        surface = self._surface()
        if surface is None:
            return None
        counts = max(NEAR, CERTAIN * _ALIKE / float(np.prod(self._grid) * self._count))
        if counts >= 1.0:
            return None
        found = _lowest(surface, enough=RELATED * float(self._variance.sum() / self._count), counts=counts)
        if found is None:
            return None
        factor = _reduction(self._size)
        dy, dx = (  # plus zero: there is no minus zero to report
            float(d) * factor * full / own + 0.0
            for d, full, own in zip(found, self._input_size, self._size, strict=True)
        )
        return dy, dx

    @property
    def _grid(self) -> tuple[int, ...]:
        return tuple(side // _reduction(self._size) for side in self._size)

    def _surface(self) -> np.ndarray | None:
        """The mean squared difference at every displacement tried, `[2Ry+1, 2Rx+1]`, zero in the middle."""
        grid = self._grid
        reach = tuple(int(side * RANGE) for side in grid)
        if self._spectrum is None or min(reach) < 1 or self._variance.min() <= _NOTHING * self._scale**2:
            return None
        sums = np.fft.irfft2(self._spectrum, tuple(2 * side for side in grid))
        rows, columns = (np.arange(-r, r + 1) for r in reach)
        overlap = np.outer(grid[0] - np.abs(rows), grid[1] - np.abs(columns))
        return np.maximum(sums[np.ix_(rows, columns)], 0.0) / (overlap * self._count)


def _planes(output: np.ndarray) -> np.ndarray:
    """`[h, w, C]` logits or `[h, w]` ids → `[h', w', at most PLANES]` float64, averaged down and blurred.

    What all logits of a pixel have in common moves no mask.
    """
    if output.ndim == 2:
        values = _signs(256)[output.astype(np.int64) % 256]
    else:
        values = output - output.mean(-1, keepdims=True)
        values = values if output.shape[-1] <= PLANES else values @ _signs(output.shape[-1])
    factor = _reduction(output.shape[:2])
    height, width = (side // factor for side in output.shape[:2])
    values = values[: height * factor, : width * factor].astype(np.float32)
    if factor > 1:
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(values, (0, 0), _BLUR, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(height, width, -1).astype(np.float64)


def _reduction(size: tuple[int, ...]) -> int:
    return max(1, -(-max(size) // GRID))


def _signs(count: int) -> np.ndarray:
    """One row per class; the same every time. Two ids differ in half of their signs, as one-hot planes would in two."""
    return np.random.default_rng(0).choice(np.float32([-1.0, 1.0]), (count, PLANES)) / np.float32(np.sqrt(PLANES))


def _spectrum_of_differences(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Of the sum over the overlap of `|candidate(p) - reference(p - d)|²`, as a function of d."""
    padded = tuple(2 * side for side in reference.shape[:2])

    def transformed(values: np.ndarray) -> np.ndarray:
        return np.fft.rfft2(values, padded)

    inside = transformed(np.ones(reference.shape[:2]))
    squares = transformed(np.square(candidate).sum(-1)) * inside.conj()
    squares += inside * transformed(np.square(reference).sum(-1)).conj()
    for index in range(reference.shape[-1]):
        squares -= 2.0 * transformed(candidate[..., index]) * transformed(reference[..., index]).conj()
    return squares


def _lowest(surface: np.ndarray, *, enough: float, counts: float) -> tuple[float, float] | None:
    """The displacement of the minimum, in pixels of the surface; None if it is not lower than `enough`.

    `counts`: the least share of the difference that a part of a displacement explains.
    """
    middle = np.array(surface.shape) // 2
    near, at_near = _descend(surface, middle, counts)
    far, at_far = _descend(surface, np.array(np.unravel_index(surface.argmin(), surface.shape)), counts)
    place, value = (far, at_far) if at_far < FAR * at_near else (near, at_near)
    if not value < enough:
        return None
    dy, dx = place - middle
    return float(dy), float(dx)


def _descend(surface: np.ndarray, start: np.ndarray, counts: float) -> tuple[np.ndarray, float]:
    """From a whole displacement down to the nearest minimum: where it is, to a fraction, and how low."""
    place = start
    for _ in range(max(surface.shape)):
        place = np.clip(place, 1, np.array(surface.shape) - 2)
        step, value = _vertex(surface[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2], counts)
        whole = np.sign(step) * (np.abs(step) > 0.5)
        onward = np.clip(place + whole.astype(int), 1, np.array(surface.shape) - 2)
        if surface[tuple(onward)] >= surface[tuple(place)]:
            break
        place = onward
    return place + np.clip(step, -1.0, 1.0), value


def _vertex(patch: np.ndarray, counts: float) -> tuple[np.ndarray, float]:
    """The lowest point of the paraboloid through `[3, 3]` values, seen from their middle, and its height."""
    slope = np.array([patch[2, 1] - patch[0, 1], patch[1, 2] - patch[1, 0]]) / 2.0
    bend = np.array([patch[2, 1] + patch[0, 1], patch[1, 2] + patch[1, 0]]) - 2.0 * patch[1, 1]
    twist = (patch[2, 2] - patch[2, 0] - patch[0, 2] + patch[0, 0]) / 4.0
    bends, axes = np.linalg.eigh(np.array([[bend[0], twist], [twist, bend[1]]]))
    along = axes.T @ slope
    steps, drops = np.zeros(2), np.zeros(2)
    open_up = bends > 0.0
    steps[open_up] = -along[open_up] / bends[open_up]
    drops[open_up] = np.square(along[open_up]) / (2.0 * bends[open_up])
    unexplained = drops < counts * patch[1, 1]
    steps[unexplained] = drops[unexplained] = 0.0
    return axes @ steps, max(float(patch[1, 1] - drops.sum()), 0.0)
