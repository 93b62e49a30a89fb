"""Multiply-adds and bytes, against counts by hand."""

import dataclasses

import pytest
from unit.profiling.operations.graphs import tensor

from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.operations.costs import Cost, cost, size_bytes


def test_a_convolution() -> None:
    """16x16x8 to 8x8x32 by 3x3: each of 2048 numbers put out sums 72 products."""
    operation = Operation(
        0,
        "CONV_2D",
        1,
        (
            tensor(0, "x", (1, 16, 16, 8)),
            tensor(1, "w", (32, 3, 3, 8), stored=True),
            tensor(2, "b", (32,), "int32", stored=True),
        ),
        (tensor(3, "y", (1, 8, 8, 32)),),
    )
    found = cost(operation)
    assert found == Cost(2048 * 72, 16 * 16 * 8, 32 * 72 + 32 * 4, 2048, "int8")
    assert found.bytes == 2048 + 2432 + 2048
    assert found.intensity == 2048 * 72 / 6528
    assert Cost.from_dict(found.to_dict()) == found


def test_weights_unpacked_on_loading_are_weights() -> None:
    unpacked = dataclasses.replace(tensor(1, "w", (4, 1, 1, 8), "float32"), unpacked=True)
    operation = Operation(
        0,
        "CONV_2D",
        1,
        (tensor(0, "x", (1, 2, 2, 8), "float32"), unpacked, None),
        (tensor(2, "y", (1, 2, 2, 4), "float32"),),
    )
    assert cost(operation) == Cost(16 * 8, 32 * 4, 32 * 4, 16 * 4, "float32")


def test_what_only_picks_reads_what_it_puts_out() -> None:
    ends = (tensor(0, "x", (1, 100), "float32"),), (tensor(1, "y", (1, 10), "float32"),)
    assert cost(Operation(0, "STRIDED_SLICE", 1, *ends)).bytes == 80
    assert cost(Operation(0, "SOFTMAX", 1, *ends)).bytes == 440


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int8", "uint8", "bool"), 6),
        (("int16", "float16", "bfloat16"), 12),
        (("float32", "int32", "uint32"), 24),
        (("float64", "int64"), 48),
        (("int4", "uint4"), 3),
        (("string", "resource"), 0),
    ],
)
def test_bytes_of_a_tensor(dtypes: tuple[str, ...], expected: int) -> None:
    assert {dtype: size_bytes(tensor(0, "x", (2, 3), dtype)) for dtype in dtypes} == dict.fromkeys(dtypes, expected)


def test_nothing_moved_has_no_intensity() -> None:
    assert Cost(0, 0, 0, 0, "int8").intensity is None
