"""Export options: valid once built."""

import itertools

import pytest

from mobile_seg.converters.options import IO_TYPES, PRECISIONS, ExportOptions
from mobile_seg.errors import UsageError
from mobile_seg.manifest import OUTPUT_KINDS


@pytest.mark.parametrize(("precision", "output", "io"), [*itertools.product(PRECISIONS, OUTPUT_KINDS, IO_TYPES)])
def test_all_combinations_but_three_are_offered(precision: str, output: str, io: str) -> None:
    refused = None
    if (precision, output, io) == ("int8", "labels", "float"):
        refused = "has no use; ask for io=uint8 or output=logits"
    elif (precision, output) == ("int16x8", "labels"):
        refused = "no 16-bit argmax; ask for output=logits, or for precision=int8"
    if refused:
        with pytest.raises(UsageError, match=refused):
            ExportOptions(precision=precision, output=output, io=io)
        return
    options = ExportOptions(precision=precision, output=output, io=io)
    assert options.integer_activations == (precision in ("int8", "int16x8"))
    assert options.integer_io == (options.integer_activations and io == "uint8")


@pytest.mark.parametrize(
    ("argument", "value", "hint"),
    [("precision", "int7", "int8"), ("output", "logit", "logits"), ("io", "floats", "float")],
)
def test_unknown_values_are_refused_with_the_nearest(argument: str, value: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"{argument}='{value}' is not known; choose from .*Did you mean '{hint}'"):
        ExportOptions(**{argument: value})
