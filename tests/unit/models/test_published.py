"""Our counts against every number that the papers state; docs/networks.md shows the same table."""

import pytest

from mobile_seg.models.counts import Counted, recorded

STATED = [counted for counted in recorded() if counted.published.params or counted.published.macs]

REACHED = ("spinenet_s96", "spinenet_s143", "spinenet_mbconv_49", "swidernet_1_1_1", "auto_deeplab_s", "auto_deeplab_l")
"""Networks of which a count can be reached: within 1%, with no reason asked for."""


def _figures(counted: Counted) -> list[tuple[int, float | None, float]]:
    """Ours, theirs, and how far ours may be off."""
    published = counted.published
    return [
        (counted.params, published.params, published.params_within),
        (counted.macs, published.macs, published.macs_within),
    ]


def _id(counted: Counted) -> str:
    return f"{counted.entry.name}-{counted.published.head}-{counted.published.source}"


@pytest.mark.parametrize("counted", STATED, ids=_id)
def test_counts_are_the_papers(counted: Counted) -> None:
    for ours, theirs, within in _figures(counted):
        if theirs is not None:
            assert ours == pytest.approx(theirs, rel=within)


@pytest.mark.parametrize("counted", STATED, ids=_id)
def test_a_band_is_no_wider_than_it_must_be(counted: Counted) -> None:
    for ours, theirs, within in _figures(counted):
        if theirs is None:
            assert within == 0.01
        elif within > 0.01:
            off = abs(ours / theirs - 1)
            assert off > 0.01
            assert within - off < 0.01, f"{off:.3f} would do"


@pytest.mark.parametrize("name", REACHED)
def test_what_can_be_reached_is_reached(name: str) -> None:
    found = [counted.published for counted in STATED if counted.entry.name == name]
    assert any(row.params is not None and row.params_within <= 0.01 for row in found)
