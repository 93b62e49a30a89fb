"""Ten mistakes that people really make, each planted in a real file: verification refuses it and says which it is."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from golden import street

from mobile_seg.errors import ParityError
from mobile_seg.verify import gate
from mobile_seg.verify.compare import compare
from mobile_seg.verify.diagnosis.diagnose import HYPOTHESES, diagnose, summary
from mobile_seg.verify.runners import Runner

OP = schema.BuiltinOperator

RESIZED = {"float32": "logits-full", "int8": "logits"}


def channels_swapped(precision: str) -> street.File:
    """The first kernel is for BGR."""

    def edit(model: Any) -> None:
        change_kernel(model, 0, lambda kernel: kernel[..., ::-1])

    return street.exported(precision, "logits").edited(edit)


def normalization_missing(precision: str) -> street.File:
    """float32: the graph takes bytes as they are. int8: the app does, of a file that wants normalized floats."""
    if precision == "int8":
        made = street.exported("int8", "logits", "float")
        assert made.manifest.input.normalized_outside
        wrong = dataclasses.replace(made.manifest.input, normalized_outside=False)
        return dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, input=wrong))

    def edit(model: Any) -> None:
        factor, shift = street.operators(model, OP.MUL)[0], street.operators(model, OP.ADD)[0]
        street.change(model, factor.inputs[1], np.ones_like)
        street.change(model, shift.inputs[1], np.zeros_like)

    return street.exported(precision, "logits").edited(edit)


def align_corners(precision: str) -> street.File:
    """The resize to the input's size puts corners on corners; in int8, the one inside the network does."""
    return street.exported(precision, RESIZED[precision]).edited(lambda model: resize_by(model, aligned=True))


def resize_off_by_one(precision: str) -> street.File:
    """The same resizes take corners for centres."""
    return street.exported(precision, RESIZED[precision]).edited(lambda model: resize_by(model, aligned=False))


def resize_by(model: Any, *, aligned: bool) -> None:
    options = street.operators(model, OP.RESIZE_BILINEAR)[-1].builtinOptions
    assert (options.alignCorners, options.halfPixelCenters) == (False, True)
    options.alignCorners, options.halfPixelCenters = aligned, False


def layout_mixed_up(precision: str) -> street.File:
    """The file takes its image channels first, and is handed it channels last."""
    return street.exported(precision, "logits").edited(street.read_as_channels_first)


def kernel_transposed(precision: str) -> street.File:
    """Rows and columns of one kernel are swapped."""

    def edit(model: Any) -> None:
        change_kernel(model, 2, lambda kernel: kernel.transpose(0, 2, 1, 3))

    return street.exported(precision, "logits").edited(edit)


def zero_point_wrong(precision: str) -> street.File:
    """int8: a byte of 100 stands for zero, where 128 should. float32: so does the constant that is subtracted."""

    def edit(model: Any) -> None:
        if precision == "int8":
            grid = street.tensor(model, model.subgraphs[0].inputs[0]).quantization
            assert list(grid.zeroPoint) == [128]
            grid.zeroPoint = [100]
        else:
            (shift,) = street.operators(model, OP.ADD)[:1]
            street.change(model, shift.inputs[1], lambda offset: offset * np.float32(100 / 128))

    return street.exported(precision, "logits").edited(edit)


def bias_dropped(precision: str) -> street.File:
    """A convolution has lost its bias, which was its normalization's shift."""

    def edit(model: Any) -> None:
        street.change(model, convolutions(model)[2].inputs[2], np.zeros_like)

    return street.exported(precision, "logits").edited(edit)


def argmax_wrong_axis(precision: str) -> street.File:
    """The argmax runs along the columns, of which there are as many as classes."""

    def edit(model: Any) -> None:
        (ranking,) = street.operators(model, OP.ARG_MAX)
        street.change(model, ranking.inputs[1], lambda axis: np.full_like(axis, 2))

    return street.exported(precision, "labels").edited(edit)


def labels_off_by_one(precision: str) -> street.File:
    """Classes are counted from a background that the manifest does not know."""

    def edit(model: Any) -> None:
        last = convolutions(model)[-1]
        for index in last.inputs[1:3]:
            street.change(model, index, lambda values: np.roll(values, 1, 0))
            grid = street.tensor(model, index).quantization
            if grid is not None and grid.scale is not None:
                grid.scale = np.roll(grid.scale, 1)

    return street.exported(precision, "labels").edited(edit)


def convolutions(model: Any) -> list[Any]:
    return street.operators(model, OP.CONV_2D)


def change_kernel(model: Any, number: int, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    street.change(model, convolutions(model)[number].inputs[1], edit)


FAULTS = {
    "channels-swapped": channels_swapped,
    "normalization-missing": normalization_missing,
    "align-corners": align_corners,
    "resize-off-by-one": resize_off_by_one,
    "layout-mixed-up": layout_mixed_up,
    "kernel-transposed": kernel_transposed,
    "zero-point-wrong": zero_point_wrong,
    "bias-dropped": bias_dropped,
    "argmax-wrong-axis": argmax_wrong_axis,
    "labels-off-by-one": labels_off_by_one,
}


PRECISIONS = ("float32", "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_the_mistake_is_caught_by_name(name: str, precision: str, tmp_path: Path) -> None:
    candidate = FAULTS[name](precision).saved(tmp_path)
    reference, images = _against(candidate)
    with pytest.raises(ParityError):
        gate.check(compare(reference, candidate, images), precision=precision, artifact="street.tflite")
    found = diagnose(reference, candidate, images)
    assert [finding.name for finding in found][:1] == [name]
    # Taken into account, nothing is left that the gate would refuse.
    gate.check(found[0].agreement, precision=precision, artifact="street.tflite")
    assert summary(found) == f"{name}: {found[0].explanation}"


def _against(candidate: Runner) -> tuple[Runner, list[np.ndarray]]:
    return street.reference(candidate.manifest.precision, candidate.manifest.output.kind), street.shown()


def test_every_mistake_that_has_a_name_is_planted() -> None:
    assert {*FAULTS, "normalization-twice"} == set(HYPOTHESES)


def test_an_output_read_from_the_wrong_zero_point(tmp_path: Path) -> None:
    """Classes stay what they were; the logits do not."""

    def edit(model: Any) -> None:
        # A kernel adds the zero point behind its sum; with another one there, all sums come out higher.
        last = convolutions(model)[-1]
        (step,) = street.tensor(model, last.outputs[0]).quantization.scale
        unit = np.asarray(street.tensor(model, last.inputs[2]).quantization.scale)
        street.change(model, last.inputs[2], lambda bias: bias + np.round(7 * step / unit).astype(np.int32))

    candidate = street.exported("int8", "logits").edited(edit).saved(tmp_path)
    reference, images = _against(candidate)
    agreement = compare(reference, candidate, images)
    assert agreement.argmax > 0.99
    with pytest.raises(ParityError, match="logits lie within 2 output steps"):
        gate.check(agreement, precision="int8", artifact="street.tflite")
    found = diagnose(reference, candidate, images)
    assert [finding.name for finding in found] == ["zero-point-wrong"]
    assert "+7.0 steps" in found[0].explanation


FORMS = [(precision, output) for precision in PRECISIONS for output in ("logits", "logits-full", "labels")]


@pytest.mark.parametrize(("precision", "output"), FORMS)
def test_a_sound_file_passes_and_has_no_finding(precision: str, output: str, tmp_path: Path) -> None:
    candidate = street.exported(precision, output).saved(tmp_path)
    reference, images = _against(candidate)
    agreement = compare(reference, candidate, images)
    gate.check(agreement, precision=precision, artifact="street.tflite")
    # float32: sums in another order move no border by a thousandth of a pixel; int8 is equal to the bit.
    assert agreement.mask_distance_px is not None
    assert agreement.mask_distance_px < 1e-3
    assert diagnose(reference, candidate, images) == ()


@pytest.mark.parametrize("output", ["logits", "labels"])
def test_what_quantization_costs_is_no_mistake(output: str, tmp_path: Path) -> None:
    candidate = street.exported("int8", output).saved(tmp_path)
    reference, images = street.reference("float32", output), street.shown()
    agreement = compare(reference, candidate, images)
    assert 0.8 < agreement.argmax < 1.0, "there is something to explain"
    found = diagnose(reference, candidate, images)
    assert found == ()
    assert summary(found) == "not one of the known mistakes"
