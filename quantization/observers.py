"""What a quantizer remembers of the tensors it is shown, and the range it concludes from them."""

from typing import Any, Protocol

import numpy as np
from keras import ops

from mobile_seg.quantization.fake_quant import RANGE_FLOOR

DECAY = 0.9
"""What a moving average keeps of itself at each batch."""

BINS = 2**13
"""Bins on either side of zero: at least 16 for each of the 255 steps of a range that nothing was cut from."""


class Observer(Protocol):
    """Told of every batch of one tensor; `Histogram` sees its values, the others its extremes only."""

    def range(self) -> tuple[float, float]:
        """The range (min, max) that the batches ask for; not finite if they were not."""


class MinMax:
    """The extremes over all batches."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def take(self, low: float, high: float) -> None:
        """Widen the range to hold a batch's extremes. NaN stays: comparisons would drop it."""
        self.low = float(np.minimum(self.low, low))
        self.high = float(np.maximum(self.high, high))

    def range(self) -> tuple[float, float]:
        """(min, max) of everything shown."""
        return self.low, self.high


class Average:
    """The mean of each batch's extremes; with `decay` d a moving one, `r ← d·r + (1-d)·extreme`, as training has it."""

    def __init__(self, decay: float | None = None) -> None:
        self.decay = decay
        self.batches = 0
        self.extremes = np.zeros(2)

    def take(self, low: float, high: float) -> None:
        """Move towards a batch's extremes; the first batch's are the start."""
        self.batches += 1
        found = np.array([low, high])
        share = 1 / self.batches if self.decay is None or self.batches == 1 else 1 - self.decay
        self.extremes = (1 - share) * self.extremes + share * found

    def range(self) -> tuple[float, float]:
        """The averaged (min, max)."""
        return float(self.extremes[0]), float(self.extremes[1])


class Histogram(MinMax):
    """How many values fell where, in 128 kB, however many are shown.

    Bins are a power of two wide and start at zero. A value beyond the last one makes all bins twice as
    wide, two becoming one: no value is ever counted in a bin that it is not in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.width = 0.0
        self.counts = np.zeros(2 * BINS, np.int64)

    def __call__(self, x: Any) -> None:
        """Count the values of one batch of the tensor, of any shape."""
        self.take(float(ops.min(x)), float(ops.max(x)))
        if not np.isfinite((self.low, self.high)).all():
            return
        values = np.asarray(ops.convert_to_numpy(x), np.float32).reshape(-1)
        self._widen(max(-self.low, self.high, RANGE_FLOOR))
        bins = np.floor(values * np.float32(1 / self.width)).astype(np.int64)
        self.counts += np.bincount(bins + BINS, minlength=2 * BINS)

    def _widen(self, largest: float) -> None:
        wanted = float(2.0 ** np.frexp(largest / (BINS - 1))[1])  # above largest / (BINS - 1)
        while self.counts.any() and self.width < wanted:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.pad(pairs, BINS // 2)
            self.width *= 2
        self.width = max(self.width, wanted)

    def value_at(self, share: float) -> float:
        """The value that this share of all values lies below, as if a bin's were spread over it evenly."""
        below = np.cumsum(self.counts)
        rank = share * below[-1]
        index = int(np.searchsorted(below, rank))
        inside = (rank - (below[index] - self.counts[index])) / max(self.counts[index], 1)
        return float(np.clip((index - BINS + inside) * self.width, self.low, self.high))


class Percentile(Histogram):
    """The range that leaves `100 - percentile` per cent of all values out at either end."""

    def __init__(self, percentile: float) -> None:
        super().__init__()
        self.percentile = percentile

    def range(self) -> tuple[float, float]:
        """(min, max) of the bulk."""
        if not np.isfinite((self.low, self.high)).all():
            return self.low, self.high
        share = self.percentile / 100
        return self.value_at(1 - share), self.value_at(share)


_SHRINK = 2.0 ** (-np.arange(97) / 12)
"""Shares of the full range that are tried: 1 down to 1/256, each 6% below the last."""


class LeastError(Histogram):
    """The range whose grid is nearest to the values in squared error: clipping against coarser steps.

    Searched over shares of the full range: both ends at once, then each by itself, twice; 16 bits are
    symmetric and have one end.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def range(self) -> tuple[float, float]:
        """(min, max) of the best grid."""
        if not np.isfinite((self.low, self.high)).all():
            return self.low, self.high
        full = np.array([min(self.low, 0.0), max(self.high, RANGE_FLOOR)])
        if self.bits == 16:
            full = np.abs(full).max() * np.array([-1.0, 1.0])
        taken = np.flatnonzero(self.counts)
        centres, counts = (taken - BINS + 0.5) * self.width, self.counts[taken]
        best = full
        ends = [[0, 1]] if self.bits == 16 or full[0] == 0 else [[0, 1], [0], [1], [0], [1]]
        for which in ends:
            tried = np.tile(best, (len(_SHRINK), 1))
            tried[:, which] = _SHRINK[:, None] * full[which]
            errors = [self._error(centres, counts, low, high) for low, high in tried]
            best = tried[int(np.argmin(errors))]
        return float(best[0]), float(best[1])

    def _error(self, values: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
        levels = 2**self.bits - (2 if self.bits == 16 else 1)
        step = (high - low) / levels
        zero = np.floor(-low / step + 0.5)
        ends = -zero * step, (levels - zero) * step
        if step < self.width:  # a bin holds several steps: inside the range rounding is noise, step² / 12
            rounded = np.clip(values, *ends)
            noise = step**2 / 12
        else:
            rounded = np.clip(np.floor(values / step + 0.5) * step, *ends)
            noise = 0.0
        return float(counts @ ((rounded - values) ** 2 + noise))
