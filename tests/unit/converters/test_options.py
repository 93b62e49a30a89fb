"""Export options: valid once built."""

import itertools

import pytest

from mobile_seg.converters.options import DELEGATES, IO_TYPES, PRECISIONS, TARGETS, ExportOptions
from mobile_seg.errors import UsageError
from mobile_seg.manifest import LAYOUTS, OUTPUT_KINDS

EVERY = [
    dict(zip(("target", "precision", "output", "io", "layout"), values, strict=True))
    for values in itertools.product(TARGETS, PRECISIONS, OUTPUT_KINDS, IO_TYPES, LAYOUTS)
]


def _refusal(target: str, precision: str, output: str, io: str, layout: str) -> str | None:
    """What the form is refused for, by what each runtime has."""
    labels, where = output.startswith("labels"), (target, precision)
    for refused, reason in (
        (precision.startswith("palette") and target != "coreml", "no other runtime reads weights as indices"),
        (precision == "int16x8" and target != "tflite", "has 16-bit kernels"),
        (where == ("onnx", "float16"), "compute in float32; ask for float32 or w8"),
        (precision == "int16x8" and labels, "no 16-bit argmax; ask for output=logits, or for precision=int8"),
        (where == ("tflite", "int8") and labels and io == "float", "has no use; ask for io=uint8 or output=logits"),
        (target == "coreml" and io != "uint8", "takes an image"),
        (io == "int8" and where != ("tflite", "int8"), "takes the camera's bytes as they are"),
        (target != "onnx" and layout == "nchw", "leave it out"),
    ):
        if refused:
            return reason
    return None


@pytest.mark.parametrize("form", EVERY, ids=lambda form: "-".join(form.values()))
def test_every_combination_is_offered_or_refused_with_a_reason(form: dict[str, str]) -> None:
    if reason := _refusal(**form):
        with pytest.raises(UsageError, match=reason):
            ExportOptions(**form)
        return
    options = ExportOptions(**form)
    assert options.integer_activations == (form["precision"] in ("int8", "int16x8"))
    assert options.integer_io == (options.integer_activations and form["io"] != "float")
    assert options.gives_labels == (form["output"] in ("labels", "labels-nearest"))


@pytest.mark.parametrize(
    ("argument", "value", "hint"),
    [
        ("target", "tflit", "tflite"),
        ("precision", "int7", "int8"),
        ("output", "logit", "logits"),
        ("io", "floats", "float"),
        ("layout", "nhw", "nhwc"),
        ("delegate", "xnpack", "xnnpack"),
    ],
)
def test_unknown_values_are_refused_with_the_nearest(argument: str, value: str, hint: str) -> None:
    said = "target" if argument == "delegate" else argument
    with pytest.raises(UsageError, match=f"{said}='{value}' is not known; choose from .*Did you mean '{hint}'"):
        ExportOptions(**{argument: value})


@pytest.mark.parametrize("delegate", DELEGATES)
@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "int16x8", "w8"])
def test_a_delegate_runs_tflite_files_of_the_numbers_it_knows(delegate: str, precision: str) -> None:
    if delegate in ("edgetpu", "ethos-u") and precision != "int8":
        with pytest.raises(UsageError, match=f"{delegate} computes in 8-bit integers, not {precision}"):
            ExportOptions(precision=precision, delegate=delegate)
    else:
        assert ExportOptions(precision=precision, delegate=delegate).delegate == delegate


@pytest.mark.parametrize("target", ["coreml", "onnx"])
def test_other_formats_have_no_delegate(target: str) -> None:
    with pytest.raises(UsageError, match=rf"target=gpu runs \.tflite files; {target} is none: leave the target out"):
        ExportOptions(target=target, precision="float32", delegate="gpu")
