"""The tables of a profile by operation."""

import dataclasses

from mobile_seg.cli.operations import lines
from mobile_seg.profiling.operations.costs import Cost
from mobile_seg.profiling.operations.peaks import Peaks
from mobile_seg.profiling.operations.records import UNTRACED, OperationProfile, OperationTime
from mobile_seg.profiling.operations.roofline import roofline

PEAKS = Peaks("a CPU", "LiteRT 2", 1, (("int8", "1x1, 8x8x8", 50.0), ("float32", "3x3", 25.0)), ((1 << 16, 10.0),))
CONVOLUTION = OperationTime(
    0, "CONV_2D", "b07_conv", "b07", "backbone", True, ("Conv (NHWC)",), 6.0, Cost(50_000_000, 500, 0, 500, "int8")
)
PAD = OperationTime(1, "PAD", "b08_pad", "b08", "backbone", True, (), 0.0, Cost(0, 5, 0, 5, "int8"))
QUANTIZE = OperationTime(
    2, "QUANTIZE", "image\n", "image", "quantize", False, ("QUANTIZE",), 2.0, Cost(0, 10**6, 0, 10**6, "int8")
)
PROFILE = OperationProfile(
    "a.tflite", "0", "a CPU", "LiteRT 2", "delegate", 1, 1, 9, 8.5, 9.0, (CONVOLUTION, PAD, QUANTIZE)
)


def cells(text: list[str], first: str) -> list[str]:
    (line,) = [one for one in text if one.startswith(f"{first} ")]
    return line.split()


def test_without_limits() -> None:
    text = lines(PROFILE)
    assert text[0] == "XNNPACK's kernels, 1 thread, 9 runs, a CPU, LiteRT 2"
    assert cells(text, "backbone") == ["backbone", "2", "6.000", "75.0%", "50.0"]
    assert cells(text, "b07") == ["b07", "1", "6.000", "75.0%", "50.0"]
    assert cells(text, "b07_conv") == ["b07_conv", "CONV_2D", "Conv", "(NHWC)", "6.000", "50.00", "1.0"]
    assert "nothing (fused)" in next(line for line in text if line.startswith("b08_pad"))
    assert "LiteRT's own" in next(line for line in text if line.startswith("image?"))
    assert text[-1] == "sum of the operations 8.00 ms; inference 8.50 ms; with the profiler on 9.00 ms"
    assert not any("limit" in line for line in text)


def test_with_limits() -> None:
    """1 ms of computing, 0.2 ms of bytes, of an inference of 8.5 ms."""
    text = lines(PROFILE, roofline(PROFILE, PEAKS))
    assert cells(text, "backbone")[-2:] == ["1.000", "17%"]
    lost = text.index(next(line for line in text if line.startswith("lost most by")))
    assert text[lost + 1].split() == ["b07_conv", "5.000", "1.000", "17%", "compute"]
    assert text[lost + 2].split() == ["image?", "1.800", "0.200", "10%", "memory"]
    assert "the operations would take 1.20 ms; inference reaches 14%" in "\n".join(text)
    assert "int8 50.0 G multiply-adds/s (1x1, 8x8x8)" in "\n".join(text)
    assert "10 GB/s at 64 kB" in "\n".join(text)


def test_only_the_most_are_shown() -> None:
    text = lines(PROFILE, most=1)
    assert "… and 2 more" in text
    assert not any(line.startswith("b08_pad") for line in text)


def test_doubts_are_told() -> None:
    lost = OperationTime(None, "New", "New", UNTRACED, UNTRACED, True, ("New",), 3.0)
    text = lines(dataclasses.replace(PROFILE, operations=(*PROFILE.operations, lost), unprofiled_ms=30.0))
    assert "1 kernels, 3.00 ms, could not be traced to an operation" in text
    assert any(line.startswith("that does not add up: the machine was busy") for line in text)


def test_what_the_official_tool_does_not_tell_is_left_out() -> None:
    bare = dataclasses.replace(
        PROFILE,
        threads=None,
        runs=None,
        device="",
        runtime="benchmark_model",
        unprofiled_ms=None,
        profiled_ms=None,
        operations=(dataclasses.replace(CONVOLUTION, cost=None),),
    )
    text = lines(bare)
    assert text[0] == "XNNPACK's kernels, benchmark_model"
    assert text[-1] == "sum of the operations 6.00 ms"
    assert cells(text, "b07_conv")[-2:] == ["–", "–"]
