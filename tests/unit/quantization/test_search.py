"""Searching for the fewest layers to raise: right on every monotone accuracy, and cheap."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg.errors import MobileSegError
from mobile_seg.quantization.search import Found, fewest_raised
from mobile_seg.quantization.sensitivity import Damage


def _ranking(count: int, nothing_helps: frozenset[int] = frozenset()) -> list[Damage]:
    kinds = ("int16x8", "float")
    return [
        Damage(f"layer{n}", 10.0 + n, 0.1, 1.0, 20.0, 20.0, None if n in nothing_helps else kinds[n % 2])
        for n in range(count)
    ]


def _search(count: int, needed: int) -> Found:
    """Accuracy 0.5, and 0.6 as soon as `needed` layers are raised."""
    return fewest_raised(_ranking(count), lambda keep: 0.6 if len(keep) >= needed else 0.5, floor=0.55)


@given(st.integers(0, 200).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count))))
def test_the_fewest_are_found_in_few_tries(size: tuple[int, int]) -> None:
    count, needed = size
    found = _search(count, needed)
    assert list(found.keep) == [f"layer{n}" for n in range(needed)]
    assert found.accuracy == (0.6 if needed or not count else found.accuracy)
    assert len(found.tried) <= 2 * math.log2(max(needed, 1)) + 3
    assert len({one.raised for one in found.tried}) == len(found.tried), "nothing is tried twice"


def test_none_comes_first_then_doubles_then_halves() -> None:
    found = _search(100, 11)
    assert [one.raised for one in found.tried] == [0, 1, 2, 4, 8, 16, 12, 10, 11]
    assert [one.accuracy for one in found.tried] == [0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.5, 0.6]
    assert found.to_dict()["tried"][-1] == {"raised": 11, "accuracy": 0.6}


def test_enough_accuracy_raises_nothing() -> None:
    found = fewest_raised(_ranking(9), lambda keep: 0.7, floor=0.7)
    assert (found.keep, found.accuracy, len(found.tried)) == ({}, 0.7, 1)


def test_each_layer_is_raised_to_what_helps_it_and_others_are_passed_over() -> None:
    ranking = _ranking(5, nothing_helps=frozenset({1}))
    found = fewest_raised(ranking, lambda keep: len(keep) / 10, floor=0.3)
    assert found.keep == {"layer0": "int16x8", "layer2": "int16x8", "layer3": "float"}


def test_the_answer_reaches_the_floor_even_if_accuracy_is_not_monotone() -> None:
    found = fewest_raised(_ranking(8), lambda keep: {0: 0.1, 1: 0.2, 2: 0.3, 4: 0.9, 3: 0.2}[len(keep)], floor=0.8)
    assert (len(found.keep), found.accuracy) == (4, 0.9)


def test_out_of_reach_says_by_how_much() -> None:
    with pytest.raises(MobileSegError, match=r"all 5 layers raised the accuracy is 0\.5000, 0\.1000 below the floor"):
        fewest_raised(_ranking(5), lambda keep: len(keep) / 10, floor=0.6)
    with pytest.raises(MobileSegError, match="with all 0 layers raised"):
        fewest_raised(_ranking(1, nothing_helps=frozenset({0})), lambda keep: 0.5, floor=0.6)
