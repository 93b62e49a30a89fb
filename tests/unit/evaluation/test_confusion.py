"""The confusion matrix against a plain loop, and scores against numbers worked out by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg.errors import ArtifactError, DatasetError, UsageError
from mobile_seg.evaluation.confusion import confusion_matrix, score


@given(
    pairs=st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 255]), st.integers(0, 3)), min_size=1, max_size=60),
    dtype=st.sampled_from([np.uint8, np.int32, np.int64]),
)
def test_equals_counting_by_hand(pairs: list[tuple[int, int]], dtype: type) -> None:
    expected = np.zeros((4, 4), np.int64)
    for label, prediction in pairs:
        if label != 255:
            expected[label, prediction] += 1
    labels, predictions = (np.array(column, dtype)[None] for column in zip(*pairs, strict=True))
    found = confusion_matrix(labels, predictions, classes=4)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


def test_many_classes_do_not_overflow() -> None:
    labels = np.full((300, 300), 199, np.uint8)
    found = confusion_matrix(labels, labels, classes=200)
    assert found[199, 199] == found.sum() == 90_000


def test_rows_are_the_truth_and_ignore_is_left_out() -> None:
    labels = np.array([[0, 0, 7], [1, 7, 7]], np.uint8)
    predictions = np.array([[1, 0, 9], [1, 0, 1]], np.uint8)
    assert confusion_matrix(labels, predictions, classes=2, ignore=7).tolist() == [[1, 1], [0, 1]]


def test_scores_worked_out_by_hand() -> None:
    # Class 0: 3 of 3+1+1, class 1: 4 of 4+1+1, class 2 nowhere, class 3 predicted once but never true.
    found = score(np.array([[3, 1, 0, 0], [1, 4, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert found.per_class == (3 / 5, 4 / 7, None, 0.0)
    assert found.miou == pytest.approx((3 / 5 + 4 / 7 + 0.0) / 3)
    assert (found.pixel_accuracy, found.pixels) == (0.7, 10)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["per_class"] == [3 / 5, 4 / 7, None, 0.0]


@given(st.permutations(range(4)))
def test_the_mean_does_not_depend_on_the_order_of_classes(order: list[int]) -> None:
    matrix = np.array([[5, 1, 0, 2], [0, 3, 1, 0], [2, 0, 9, 0], [0, 0, 0, 0]])
    assert score(matrix[np.ix_(order, order)]).miou == pytest.approx(score(matrix).miou)


def test_a_perfect_prediction_scores_one() -> None:
    found = score(np.diag([4, 0, 6]))
    assert (found.miou, found.pixel_accuracy, found.per_class) == (1.0, 1.0, (1.0, None, 1.0))


def test_nothing_labelled_is_an_error_and_not_zero() -> None:
    nothing = np.full((4, 4), 255, np.uint8)
    matrix = confusion_matrix(nothing, np.zeros_like(nothing), classes=3)
    with pytest.raises(DatasetError, match="no labelled pixel"):
        score(matrix)


def test_stray_values_are_named() -> None:
    zeros = np.zeros((2, 2), np.uint8)
    with pytest.raises(DatasetError, match=r"\[3, 9\].*0\.\.2.*ignore \(255\)"):
        confusion_matrix(np.array([[0, 3], [9, 255]], np.uint8), zeros, classes=3)
    with pytest.raises(DatasetError, match=r"\[-1\]"):
        confusion_matrix(np.array([[0, -1]]), np.zeros((1, 2), int), classes=3)
    with pytest.raises(ArtifactError, match="predicts class 3 but there are 3 classes"):
        confusion_matrix(zeros, np.array([[0, 3], [0, 0]]), classes=3)
    with pytest.raises(ArtifactError, match="predicts class -1"):
        confusion_matrix(zeros, np.array([[0, -1], [0, 0]]), classes=3)


def test_arguments_that_do_not_fit() -> None:
    zeros = np.zeros((2, 2), np.uint8)
    with pytest.raises(UsageError, match="differ in shape"):
        confusion_matrix(zeros, np.zeros((2, 3), np.uint8), classes=2)
    with pytest.raises(UsageError, match="predictions are float64"):
        confusion_matrix(zeros, np.zeros((2, 2)), classes=2)
