"""Intervals of medians, against coverage counted by simulation and by hand."""

import math

import numpy as np
import pytest

from mobile_seg.profiling.confidence import is_tight, median_interval, paired_ratio, ratio_of_medians


@pytest.mark.parametrize(
    ("count", "rank"),
    [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (30, 10), (100, 40)],
)
def test_the_ranks_are_those_of_the_sign_test(count: int, rank: int) -> None:
    # Of the published tables of the sign test at 95%, such as Conover, Practical Nonparametric Statistics, table A3.
    samples = list(range(1, count + 1))
    assert median_interval(samples) == (rank, count + 1 - rank)
    tail = sum(math.comb(count, k) for k in range(rank)) / 2**count
    assert tail <= 0.025 < tail + math.comb(count, rank) / 2**count


@pytest.mark.parametrize("count", range(6))
def test_too_few_samples_give_no_interval(count: int) -> None:
    assert median_interval(list(range(count))) is None
    assert not is_tight([5.0] * count, tolerance=0.5)


def test_it_holds_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    draws = generator.lognormal(size=(2000, 25))
    held = [low <= 1.0 <= high for low, high in (median_interval(list(row)) for row in draws)]  # type: ignore[misc]
    assert 0.945 < np.mean(held) < 0.985  # at least 95%, more since ranks are whole numbers


def test_many_samples_do_not_overflow() -> None:
    interval = median_interval(list(range(100_001)))
    assert interval is not None
    assert interval[0] == pytest.approx(50_000 - 1.96 * math.sqrt(100_001) / 2, abs=2)


def test_tight_means_both_ends() -> None:
    assert is_tight([10.0] * 8, tolerance=0.001)
    assert is_tight([9.9, *[10.0] * 6, 10.1], tolerance=0.01)
    assert not is_tight([9.8, *[10.0] * 6, 10.1], tolerance=0.01)
    assert not is_tight([9.9, *[10.0] * 6, 10.2], tolerance=0.01)


def test_a_ratio_is_repeatable_and_holds_the_true_one() -> None:
    generator = np.random.default_rng(2)
    slow = [list(generator.normal(12, 0.1, 30)) for _ in range(4)]
    fast = [list(generator.normal(10, 0.1, 30)) for _ in range(4)]
    ratio, low, high = ratio_of_medians(slow, fast)
    assert (ratio, low, high) == ratio_of_medians(slow, fast)
    assert low < 1.2 < high
    assert low < ratio < high
    assert high - low < 0.02


def test_processes_that_differ_widen_the_ratio() -> None:
    alike = [[10.0, 10.1, 9.9]] * 4
    apart = [[level, level + 0.1, level - 0.1] for level in (8.0, 9.0, 11.0, 12.0)]
    _, low, high = ratio_of_medians(alike, alike)
    _, wide_low, wide_high = ratio_of_medians(apart, alike)
    assert high - low < 0.03
    assert wide_high - wide_low > 0.1


def test_pairs() -> None:
    assert paired_ratio([1.1] * 5) is None
    assert paired_ratio([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]) == (1.25, 1.0, 1.5)
