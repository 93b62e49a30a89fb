"""Targets of small maps, worked out by hand."""

import numpy as np
import pytest

from mobile_seg.data.panoptic_targets import SMALL_AREA, SMALL_WEIGHT, panoptic_targets
from mobile_seg.errors import UsageError

ROAD, CAR, VOID = 0, 1, 255
LABELS = np.array([[0, 1, 1, 255], [0, 1, 1, 1], [0, 0, 1, 1]])
INSTANCES = np.array([[0, 7, 7, 0], [0, 7, 7, 9], [0, 0, 0, 9]])
"""Two cars; the pixel (2, 2) is a car that belongs to neither (a crowd)."""


def test_offsets_point_to_the_rounded_mean_of_their_instance() -> None:
    offsets = panoptic_targets(LABELS, INSTANCES, things=[CAR]).offsets
    # Car 7 has its mean at (0.5, 1.5), rounded to even (0, 2); car 9, of (1, 3) and (2, 3), at (1.5, 3): (2, 3).
    expected = {(0, 1): (0, 1), (0, 2): (0, 0), (1, 1): (-1, 1), (1, 2): (-1, 0), (1, 3): (1, 0), (2, 3): (0, 0)}
    for row, column in np.ndindex(LABELS.shape):
        inside = (row, column) in expected
        assert tuple(offsets[row, column]) == (*expected.get((row, column), (0, 0)), float(inside))


def test_heat_is_one_at_a_centre_and_the_higher_gaussian_elsewhere() -> None:
    centres = panoptic_targets(LABELS, INSTANCES, things=[CAR], sigma=2.0).centres
    heat = centres[..., 0]
    assert heat[0, 2] == heat[2, 3] == 1.0
    assert heat[0, 0] == pytest.approx(np.exp(-4 / 8))
    assert heat[1, 3] == pytest.approx(max(np.exp(-2 / 8), np.exp(-1 / 8)))
    assert heat[2, 0] == pytest.approx(max(np.exp(-8 / 8), np.exp(-9 / 8)))


def test_what_counts() -> None:
    targets = panoptic_targets(LABELS, INSTANCES, things=[CAR])
    counted = targets.centres[..., 1]
    assert counted[0, 3] == 0, "not labelled"
    assert counted[2, 2] == 0, "a crowd"
    assert counted.sum() == LABELS.size - 2
    assert targets.offsets[..., 2].sum() == 6
    assert targets.semantic[..., 0].tolist() == LABELS.tolist(), "the crowd keeps its class"


def test_small_instances_weigh_more() -> None:
    labels = np.zeros((80, 160), np.uint8)
    instances = np.zeros((80, 160), np.int32)
    labels[:64, :64], instances[:64, :64] = CAR, 1
    labels[:64, 80:144], instances[:64, 80:144] = CAR, 2
    labels[0, 80], instances[0, 80] = ROAD, 0
    assert (instances == 1).sum() == SMALL_AREA
    weights = panoptic_targets(labels, instances, things=[CAR]).semantic[..., 1]
    assert set(np.unique(weights[instances == 1])) == {1}
    assert set(np.unique(weights[instances == 2])) == {SMALL_WEIGHT}
    assert set(np.unique(weights[instances == 0])) == {1}


def test_an_instance_of_the_same_number_but_another_class_is_another() -> None:
    labels, instances = np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 5]])
    offsets = panoptic_targets(labels, instances, things=[1, 2]).offsets
    assert offsets[0, :, 1].tolist() == [0, -1, 0, -1]  # means 0.5 and 2.5, to even: columns 0 and 2


def test_stuff_and_ignored_pixels_have_no_instances() -> None:
    targets = panoptic_targets(np.array([[0, 255]]), np.array([[3, 4]]), things=[CAR])
    assert not targets.offsets.any()
    assert not targets.centres[..., 0].any()
    assert targets.centres[..., 1].tolist() == [[1, 0]]


def test_a_gaussian_ends_at_three_sigma_and_at_the_border() -> None:
    labels = np.full((61, 61), ROAD)
    labels[30, 30] = CAR
    heat = panoptic_targets(labels, (labels == CAR).astype(int), things=[CAR]).centres[..., 0]
    assert heat[30, 30 + 25] == pytest.approx(np.exp(-(25**2) / 128))
    assert heat[30, 30 + 26] == 0.0
    corner = np.full((9, 9), ROAD)
    corner[0, 8] = CAR
    heat = panoptic_targets(corner, (corner == CAR).astype(int), things=[CAR]).centres[..., 0]
    assert heat[0, 8] == 1.0
    assert heat[8, 0] == pytest.approx(np.exp(-1.0))


def test_kinds_and_shapes() -> None:
    targets = panoptic_targets(LABELS.astype(np.uint8), INSTANCES.astype(np.uint16), things={CAR})
    assert (targets.semantic.shape, targets.semantic.dtype) == ((3, 4, 2), np.int32)
    assert (targets.centres.shape, targets.centres.dtype) == ((3, 4, 2), np.float32)
    assert (targets.offsets.shape, targets.offsets.dtype) == ((3, 4, 3), np.float32)


def test_two_maps_of_one_size_are_asked_for() -> None:
    with pytest.raises(UsageError, match=r"labels \(3, 4\) and instances \(3, 3\) must be two maps of one size"):
        panoptic_targets(LABELS, INSTANCES[:, :3], things=[CAR])
    with pytest.raises(UsageError, match="two maps of one size"):
        panoptic_targets(LABELS[None], INSTANCES[None], things=[CAR])
