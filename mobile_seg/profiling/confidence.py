"""How well a median is known, without assuming what latencies look like: order statistics and resampling."""

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
"""Share of such intervals that hold the true value."""

RESAMPLES = 2000


def median_interval(samples: Sequence[float], *, level: float = LEVEL) -> tuple[float, float] | None:
    """Return the interval between two order statistics that holds the median at least that surely.

    Of n independent samples, the number that lie below the median is binomial with one half, whatever their
    distribution. The k-th smallest and the k-th largest are taken, with the largest k that keeps the promise
    (David and Nagaraja, Order Statistics, section 7.1). None if even the smallest and the largest do not:
    below 6 samples for 95%.
    """
    count = len(samples)
    tail, outside = 0.0, (1 - level) / 2
    rank = 0
    while rank < count:
        tail += math.exp(_log_choose(count, rank) - count * math.log(2))
        if tail > outside:
            break
        rank += 1
    if rank == 0:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[count - rank]


def is_tight(samples: Sequence[float], *, tolerance: float) -> bool:
    """Whether the whole interval of the median lies within `tolerance`, a fraction, of it."""
    interval = median_interval(samples)
    if interval is None:
        return False
    middle = float(np.median(samples))
    return interval[0] >= middle * (1 - tolerance) and interval[1] <= middle * (1 + tolerance)


def ratio_of_medians(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], *, level: float = LEVEL, seed: int = 0
) -> tuple[float, float, float]:
    """Return the ratio of the medians, first over second, and its interval by a bootstrap in two steps.

    Each argument holds the samples of one process per row. Whole processes are drawn first, then runs within
    them, since runs of one process are more alike than runs of two (Kalibera and Jones, Rigorous Benchmarking
    in Reasonable Time, ISMM 2013). The same input gives the same interval.
    """
    generator = np.random.default_rng(seed)
    drawn = [_resampled_median(first, generator) / _resampled_median(second, generator) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    ratio = float(np.median(np.concatenate(first)) / np.median(np.concatenate(second)))
    return ratio, float(low), float(high)


def paired_ratio(ratios: Sequence[float]) -> tuple[float, float, float] | None:
    """Return the median of ratios measured side by side, and its interval by order statistics; None if too few."""
    interval = median_interval(ratios)
    return None if interval is None else (float(np.median(ratios)), *interval)


def _resampled_median(rounds: Sequence[Sequence[float]], generator: np.random.Generator) -> float:
    chosen = generator.integers(len(rounds), size=len(rounds))
    parts = [
        np.asarray(rounds[index])[generator.integers(len(rounds[index]), size=len(rounds[index]))] for index in chosen
    ]
    return float(np.median(np.concatenate(parts)))


def _log_choose(count: int, rank: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(rank + 1) - math.lgamma(count - rank + 1)
