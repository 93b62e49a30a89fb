"""A profile beside the limits, by arithmetic that can be followed."""

import dataclasses
import json

import pytest

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.operations.costs import Cost
from mobile_seg.profiling.operations.peaks import Peaks
from mobile_seg.profiling.operations.records import UNTRACED, OperationProfile, OperationTime
from mobile_seg.profiling.operations.roofline import Roofline, limit, roofline

PEAKS = Peaks("a CPU", "LiteRT", 1, (("int8", "1x1", 50.0), ("float32", "1x1", 25.0)), ((1 << 10, 10.0),))
"""50 multiply-adds and 10 bytes per nanosecond."""


def operation(
    index: int, layer: str, part: str, milliseconds: float, cost: Cost | None, *kernels: str
) -> OperationTime:
    ran = kernels if kernels or cost is None else ("Kernel (NC)",)
    return OperationTime(index, "CONV_2D", layer, layer.split("_")[0], part, True, ran, milliseconds, cost)


CONVOLUTION = operation(0, "b00_conv", "backbone", 4.0, Cost(100_000_000, 1_000_000, 1_000_000, 2_000_000, "int8"))
RESIZE = operation(1, "b00_up", "backbone", 2.0, Cost(0, 3_000_000, 0, 7_000_000, "int8"))
FUSED = OperationTime(2, "PAD", "b01_pad", "b01", "backbone", True, (), 0.0, Cost(0, 10, 0, 10, "int8"))
HEAD = operation(3, "head_logits", "head", 10.0, Cost(25_000_000, 1_000, 0, 1_000, "float32"))


def profile(*operations: OperationTime, unprofiled_ms: float | None = 20.0) -> OperationProfile:
    return OperationProfile(
        "net.tflite", "0" * 64, "a CPU", "LiteRT", "delegate", 1, 3, 30, unprofiled_ms, 21.0, operations
    )


ALL = roofline(profile(CONVOLUTION, RESIZE, FUSED, HEAD), PEAKS)


def test_the_longer_of_two_times_is_the_limit() -> None:
    """100 M multiply-adds at 50 per ns take 2 ms, 4 MB at 10 bytes per ns 0.4 ms; 10 MB alone 1 ms."""
    assert [(one.limit_ms, one.bound) for one in ALL.operations] == [
        (pytest.approx(2.0), "compute"),
        (pytest.approx(1.0), "memory"),
        (0.0, "nothing"),
        (pytest.approx(1.0), "compute"),
    ]
    assert [one.share for one in ALL.operations] == [pytest.approx(0.5), pytest.approx(0.5), None, pytest.approx(0.1)]
    assert [one.lost_ms for one in ALL.operations] == [pytest.approx(value) for value in (2.0, 1.0, 0.0, 9.0)]
    # Where multiply-adds and bytes balance, it is the computing.
    assert limit(Cost(50, 10, 0, 0, "int8"), PEAKS) == (pytest.approx(1e-6), "compute")


def test_the_whole() -> None:
    assert ALL.limit_ms == pytest.approx(4.0)
    assert ALL.share == pytest.approx(0.2)  # of an inference of 20 ms
    assert ALL.between_ms == pytest.approx(4.0)  # its operations take 16


def test_groups_add_up() -> None:
    backbone, head = ALL.by("part")
    assert (backbone.name, backbone.operations, backbone.milliseconds) == ("backbone", 3, 6.0)
    assert backbone.limit_ms == pytest.approx(3.0)
    assert (backbone.macs, backbone.bytes) == (100_000_000, 14_000_000)  # what was fused moved nothing
    assert head.share == pytest.approx(0.1)
    assert [group.name for group in ALL.by("block")] == ["b00", "b01", "head"]
    assert [group.name for group in ALL.lost()] == ["head_logits", "b00_conv", "b00_up", "b01_pad"]
    with pytest.raises(UsageError, match=r"key='kernel'.*layer, block, part"):
        ALL.by("kernel")


def test_a_kernel_without_an_operation_is_lost_whole() -> None:
    unknown = OperationTime(None, "New", "New", UNTRACED, UNTRACED, True, ("New",), 3.0)
    found = roofline(profile(unknown), PEAKS)
    assert (found.limit_ms, found.operations[0].lost_ms) == (0.0, 3.0)


def test_only_what_was_measured_together_is_compared() -> None:
    for changed in ({"cpu": "another"}, {"threads": 2}, {"runtime": "other"}):
        with pytest.raises(UsageError, match="measure both together"):
            roofline(profile(CONVOLUTION), dataclasses.replace(PEAKS, **changed))
    with pytest.raises(UsageError, match=r"pass the \.tflite file too"):
        roofline(profile(operation(0, "b00_conv", "backbone", 1.0, None)), PEAKS)


def test_a_missing_time_is_no_zero() -> None:
    with pytest.raises(ProfileError, match="no time without the profiler"):
        _ = roofline(profile(CONVOLUTION, unprofiled_ms=None), PEAKS).share


def test_a_record_is_read_back() -> None:
    value = json.loads(json.dumps(ALL.to_dict(), allow_nan=False))
    assert Roofline.from_dict(value) == ALL
    assert value["share"] == pytest.approx(0.2)
    assert value["operations"][3]["bound"] == "compute"
    assert value["operations"][0]["cost"]["intensity"] == 25.0
    assert [part["name"] for part in value["parts"]] == ["backbone", "head"]


def test_whether_the_times_make_up_an_inference() -> None:
    assert profile(CONVOLUTION, unprofiled_ms=4.5).adds_up
    assert not profile(CONVOLUTION, unprofiled_ms=5.0).adds_up
    assert profile(CONVOLUTION, unprofiled_ms=None).adds_up
