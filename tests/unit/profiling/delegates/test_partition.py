"""How graphs fall apart: the greedy order of TFLite, and the limits of delegates."""

import dataclasses

from unit.profiling.delegates import made

from mobile_seg.profiling.delegates.partition import partitions, split
from mobile_seg.profiling.delegates.rules import Delegate

CHAIN = made.graph(("RELU", [0], [1]), ("TILE", [1], [2]), ("RELU", [2], [3]), ("RELU", [3], [4]))
TAKES_RELU = Delegate("d", "D", "about", "source", {"RELU": ()})


def test_a_chain_falls_apart_at_what_is_left() -> None:
    assert partitions(CHAIN, {0, 2, 3}) == ((0,), (2, 3))


def test_everything_in_one_part() -> None:
    assert partitions(CHAIN, {0, 1, 2, 3}) == ((0, 1, 2, 3),)
    assert partitions(CHAIN, set()) == ()


def test_a_branch_beside_what_is_left_stays_in_the_part() -> None:
    # 0 → TILE → joined with a branch of two: the branch is ready before the TILE is run.
    fork = made.graph(
        ("RELU", [0], [1]),
        ("TILE", [1], [2]),
        ("RELU", [1], [3]),
        ("RELU", [3], [4]),
        ("ADD", [2, 4], [5]),
    )
    assert partitions(fork, {0, 2, 3, 4}) == ((0, 2, 3), (4,))


def test_refusals_and_parts() -> None:
    found = split(CHAIN, TAKES_RELU)
    assert [one.operation.kind for one in found.refused] == ["TILE"]
    assert found.partitions == ((0,), (2, 3))
    assert found.left == ()


def test_the_largest_part_alone() -> None:
    found = split(CHAIN, dataclasses.replace(TAKES_RELU, most=1))
    assert found.partitions == ((2, 3),)
    assert [one.operation.index for one in found.left] == [0]
    assert found.left[0].broken.explanation.sentence == "D keeps the largest part only."


def test_the_first_part_alone() -> None:
    found = split(CHAIN, dataclasses.replace(TAKES_RELU, most=1, in_order=True))
    assert found.partitions == ((0,),)
    assert found.taken == {0}


def test_parts_that_are_too_small() -> None:
    found = split(CHAIN, dataclasses.replace(TAKES_RELU, fewest=2))
    assert found.partitions == ((2, 3),)
