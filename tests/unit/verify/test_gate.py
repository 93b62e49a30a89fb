"""What passes the parity gate and what it says of what does not."""

from typing import Any

import pytest

from mobile_seg.converters.options import PRECISIONS
from mobile_seg.errors import ParityError, UsageError
from mobile_seg.verify.compare import Agreement
from mobile_seg.verify.gate import FLOORS, OF_TARGETS, check, floor_of


def agreement(argmax: float, **other: Any) -> Agreement:
    values = {"psnr_db": 30.0, "max_abs": 1.0, "within_2_steps": None, "max_steps": None, "pixels": 100_000}
    return Agreement(**{"argmax": argmax, **values, **other})


@pytest.mark.parametrize(
    ("precision", "floor"),
    [("float32", 0.9999), ("float16", 0.999), ("int8", 0.995), ("int16x8", 0.998), ("w8", 0.98)],
)
def test_the_floor_itself_passes_and_less_does_not(precision: str, floor: float) -> None:
    check(agreement(floor), precision=precision, artifact="m.tflite")
    with pytest.raises(ParityError) as caught:
        check(agreement(floor - 1e-5), precision=precision, artifact="m.tflite")
    said = str(caught.value)
    for part in (
        "m.tflite",
        "argmax agreement",
        f"{floor - 1e-5:.5f}",
        f"{precision} floor of {floor}",
        "export again",
    ):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize(("target", "precision"), OF_TARGETS)
def test_a_runtime_that_rounds_otherwise_has_a_lower_floor_of_its_own(target: str, precision: str) -> None:
    own, usual = floor_of(precision, target), floor_of(precision)
    assert own is OF_TARGETS[target, precision]
    assert (own.argmax, own.within_2_steps) < (usual.argmax, usual.within_2_steps)
    floor = own.argmax
    check(agreement(floor), precision=precision, target=target, artifact="m")
    with pytest.raises(ParityError, match=f"floor of {floor}"):
        check(agreement(floor - 1e-5), precision=precision, target=target, artifact="m")


def test_every_floor_says_what_it_is_against_and_why() -> None:
    assert all(floor.reference and floor.reason for floor in (*FLOORS.values(), *OF_TARGETS.values()))
    with pytest.raises(ParityError, match="with its own QAT graph"):
        check(agreement(0.5), precision="int8", artifact="m")


def test_steps_are_told_where_there_are_some() -> None:
    with pytest.raises(ParityError, match=r"largest difference 41\.0 output steps"):
        check(agreement(0.5, max_steps=41.0), precision="int8", artifact="m")


def test_logits_far_from_the_graph_do_not_pass_whatever_their_argmax() -> None:
    check(agreement(1.0, within_2_steps=0.999), precision="int8", artifact="m")
    with pytest.raises(
        ParityError, match=r"only 0\.99800 of its logits lie within 2 output steps of its own QAT graph"
    ):
        check(agreement(1.0, within_2_steps=0.998), precision="int8", artifact="m")


def test_masks_that_lie_elsewhere_do_not_pass() -> None:
    check(agreement(1.0, mask_shift_px=(0.2, -0.1)), precision="palette4", artifact="m")
    with pytest.raises(ParityError, match=r"\+0\.50 pixels down and -0\.25 right of those of the Keras model"):
        check(agreement(1.0, mask_shift_px=(0.5, -0.25)), precision="palette4", artifact="m")


def test_not_a_number_does_not_pass() -> None:
    with pytest.raises(ParityError):
        check(agreement(float("nan")), precision="int8", artifact="m")


def test_one_class_everywhere_is_told_apart() -> None:
    # High agreement by chance: the scene is nearly all one class.
    collapsed = agreement(0.995, reference_classes=5, candidate_classes=1)
    with pytest.raises(ParityError, match="same class, while its own QAT graph predicts 5 classes") as caught:
        check(collapsed, precision="int8", artifact="m.tflite")
    assert "calibrate" in str(caught.value)
    assert "m.tflite" in str(caught.value)


def test_one_class_everywhere_is_right_where_the_reference_says_so() -> None:
    check(agreement(1.0, reference_classes=1, candidate_classes=1), precision="int8", artifact="m")


def test_every_precision_that_is_exported_has_a_floor() -> None:
    assert set(FLOORS) == set(PRECISIONS)


def test_unknown_precision() -> None:
    with pytest.raises(UsageError, match="float32, float16, int8"):
        check(agreement(1.0), precision="int4", artifact="m")
