"""From kernels in the order they ran back to operations: what is fused, what runs as two, what fits nowhere."""

import pytest
from unit.profiling.operations.graphs import chain

from mobile_seg.profiling.operations.records import UNTRACED, TimedKernel
from mobile_seg.profiling.operations.tracing import align, trace

CONV, DW, FC = "Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) DWConv", "Fully Connected (NC, QS8, QC8W) GEMM"
ADD, CLAMP, COPY = "Add (ND)", "Clamp (NC)", "Copy (NC, X8)"


def inside(*names: str, start: float = 1.0) -> list[TimedKernel]:
    """Kernels of one partition; the n-th takes `start` + n ms."""
    return [TimedKernel(name, (start + order,), order=order) for order, name in enumerate(names)]


@pytest.mark.parametrize(
    ("kernels", "operations", "expected"),
    [
        ([CONV, DW, FC], ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"], [0, 1, 2]),
        ([ADD, CLAMP, FC], ["ADD", "CONV_2D"], [0, 0, 1]),  # an activation that could not be fused
        ([CONV, DW], ["PAD", "CONV_2D", "PAD", "DEPTHWISE_CONV_2D"], [1, 3]),  # padding fused into the next
        ([FC, COPY, FC], ["CONV_2D", "CONCATENATION", "CONV_2D"], [0, 1, 2]),
        ([FC, CLAMP], ["CONV_2D", "RELU6"], [0, 1]),  # its own, not the convolution's helper
        ([FC], ["CONV_2D", "RELU6"], [0]),
        ([COPY, "Deconvolution (NHWC, QS8) IGEMM"], ["TRANSPOSE_CONV"], [0, 0]),
        (["Invalid Unary Op"], ["ADD", "LOGISTIC"], [1]),  # a sum with a constant, folded into the table of the next
        (["Mean (ND) Reduce"], ["MEAN"], [0]),
        ([], ["RESHAPE"], []),
        ([], [], []),
    ],
)
def test_kernels_are_given_to_operations_in_order(
    kernels: list[str], operations: list[str], expected: list[int]
) -> None:
    assert align(kernels, operations) == expected


@pytest.mark.parametrize(
    ("kernels", "operations"),
    [([CONV], ["ADD"]), ([ADD, CONV], ["CONV_2D", "ADD"]), (["New Thing (NC)"], ["CONV_2D"]), ([CONV], [])],
)
def test_what_cannot_be_is_refused(kernels: list[str], operations: list[str]) -> None:
    assert align(kernels, operations) is None


def test_partitions_follow_from_what_ran_outside() -> None:
    graph = chain("CONV_2D", "ADD", "RESIZE_NEAREST_NEIGHBOR", "CONV_2D", "QUANTIZE")
    kernels = [
        *inside(FC, ADD, CLAMP),
        TimedKernel("RESIZE_NEAREST_NEIGHBOR", (10.0, 30.0, 20.0), node=2),
        *inside(CONV, start=5.0),
        TimedKernel("QUANTIZE", (7.0,), node=4),
    ]
    found = trace(graph, kernels)
    assert [(one.index, one.operation, one.delegated) for one in found] == [
        (0, "CONV_2D", True),
        (1, "ADD", True),
        (2, "RESIZE_NEAREST_NEIGHBOR", False),
        (3, "CONV_2D", True),
        (4, "QUANTIZE", False),
    ]
    assert [one.milliseconds for one in found] == [1.0, 2.0 + 3.0, 20.0, 5.0, 7.0]
    assert found[1].kernels == (ADD, CLAMP)
    assert (found[3].layer, found[3].block, found[3].part) == ("b03_conv_2d", "b03", "backbone")
    assert found[0].cost is not None
    assert found[0].cost.macs == 4 * 4 * 8 * 9 * 8


def test_an_operations_time_is_the_median_of_what_its_kernels_took_together() -> None:
    kernels = [TimedKernel(ADD, (1.0, 2.0, 9.0), order=0), TimedKernel(CLAMP, (9.0, 1.0, 2.0), order=1)]
    (found,) = trace(chain("ADD"), kernels)
    assert found.milliseconds == 10.0  # of 10, 3, 11; the medians alone would make 4


def test_an_operation_without_a_kernel_was_fused() -> None:
    pad, convolution = trace(chain("PAD", "CONV_2D"), inside(CONV))
    assert (pad.kernels, pad.milliseconds, pad.delegated) == ((), 0.0, True)
    assert convolution.kernels == (CONV,)


def test_kernels_that_fit_nowhere_keep_their_time() -> None:
    """A kernel this table does not know makes its partition unknown, not the other one."""
    graph = chain("CONV_2D", "RESIZE_NEAREST_NEIGHBOR", "CONV_2D")
    resize = TimedKernel("RESIZE_NEAREST_NEIGHBOR", (1.0,), node=1)
    found = trace(graph, [*inside("New Thing (NC)", start=4.0), resize, *inside(FC, start=2.0)])
    assert [one.milliseconds for one in found] == [0.0, 1.0, 2.0, 4.0]
    assert (found[3].index, found[3].layer, found[3].part) == (None, "New Thing (NC)", UNTRACED)
    # One partition fewer than the graph has: none can be told.
    found = trace(graph, [*inside(FC), resize])
    assert [one.part for one in found][3:] == [UNTRACED]


def test_a_delegate_that_tells_nothing_of_its_inside() -> None:
    found = trace(chain("CONV_2D", "ADD"), [TimedKernel("TfLiteGpuDelegateV2", (6.0,), node=2)])
    assert [(one.operation, one.milliseconds) for one in found] == [
        ("CONV_2D", 0.0),
        ("ADD", 0.0),
        ("TfLiteGpuDelegateV2", 6.0),
    ]
    assert found[2].part == UNTRACED
