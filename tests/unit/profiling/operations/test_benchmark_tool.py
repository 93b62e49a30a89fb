"""The official tool's output, from logs that others recorded; each says its source in its first lines."""

from pathlib import Path

import pytest
from unit.profiling.operations import graphs
from unit.verify import tiny

from mobile_seg.errors import ArtifactError, ProfileError
from mobile_seg.profiling.operations import benchmark_tool
from mobile_seg.profiling.operations.benchmark_tool import DELEGATE, parse_op_profile
from mobile_seg.profiling.operations.profile import profile_operations

LOGS = Path(__file__).parent / "logs"

ONE_PARTITION = """\
Num threads: [2]
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
Fully Connected (NC, QS8, QC8W) GEMM, 0.4, 0.5, 50%, 50%, 0, 1, Delegate/Fully Connected (NC, QS8, QC8W) GEMM:0
Add (ND), 0.2, 0.25, 25%, 75%, 0, 1, Delegate/Add (ND):1
RESIZE_NEAREST_NEIGHBOR, 0.2, 0.25, 25%, 100%, 0, 1, [net_1/b02_up_1/resize]:2

Timings (microseconds): count=12 first=990 curr=1010 min=980 max=1200 avg=1020 std=10
"""
"""Written by hand, in the tool's form: three operations of which XNNPACK takes two."""


def log(name: str) -> str:
    return (LOGS / name).read_text(encoding="utf-8")


def test_kernels_inside_xnnpack() -> None:
    found = parse_op_profile(log("xnnpack_uint8.txt"), device="Total Compute 2022")
    assert (found.mode, found.threads, found.runs, found.device) == ("delegate", 4, 67, "Total Compute 2022")
    assert found.profiled_ms == pytest.approx(7.36009)
    assert found.unprofiled_ms is None
    assert len(found.operations) == 17
    first, last = found.operations[0], found.operations[-1]
    assert (first.kernels, first.milliseconds) == (("Convolution (NHWC, QU8) IGEMM",), 0.278)
    assert first.index is None
    assert (last.operation, last.index, last.milliseconds) == ("TFLite_Detection_PostProcess", 114, 1.339)
    assert [one.index for one in found.operations if one.operation == "CONCATENATION"] == [108, 112]
    assert len(found.untraced) == 14
    # Neither the initialization's table nor the one of the slowest is among the rows.
    assert found.sum_ms == pytest.approx(2.113 + 0.004 + 0.003 + 1.339 - 0.007, abs=1e-9)


def test_csv() -> None:
    found = parse_op_profile(log("builtin_2020.csv"))
    assert found.mode == "builtin"
    assert [one.index for one in found.operations] == list(range(12))
    assert found.operations[0].milliseconds == 0.0930388
    assert found.operations[8].layer == "sequential_11/dense_22"
    assert found.untraced == ()
    assert found.sum_ms == pytest.approx(0.0930388 / 0.448994, rel=1e-4)  # the tool's own share of the first
    assert (found.runs, found.profiled_ms) == (None, None)  # what it tells is of the initialization alone


def test_the_table_of_2019() -> None:
    found = parse_op_profile(log("builtin_2019.txt"))
    assert [one.milliseconds for one in found.operations] == [536.83, 20.083, 36.419, 36.473, 36.581, 36.718]
    assert found.operations[1].layer == "srnetwork/Conv_1"
    assert (found.runs, found.profiled_ms) == (50, 947.35)


def test_with_the_model_kernels_become_layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        benchmark_tool, "read_graph", lambda path: graphs.chain("CONV_2D", "ADD", "RESIZE_NEAREST_NEIGHBOR")
    )
    model = tmp_path / "model.tflite"
    model.write_bytes(b"x")
    found = parse_op_profile(ONE_PARTITION, model=model)
    assert [(one.index, one.layer, one.milliseconds) for one in found.operations] == [
        (0, "b00_conv_2d", 0.5),
        (1, "b01_add", 0.25),
        (2, "b02_resize_nearest_neighbor", 0.25),
    ]
    assert (found.threads, found.runs, found.profiled_ms, found.untraced) == (2, 12, 1.02, ())
    # Through logcat, the same.
    prefixed = "".join(f"05-30 13:04:39.021 25935 25935 I tflite  : {line}\n" for line in ONE_PARTITION.splitlines())
    assert parse_op_profile(prefixed, model=model) == found


def test_rows_that_the_tool_merged_keep_their_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two partitions, each with an Add as its second kernel: one row, called twice."""
    monkeypatch.setattr(benchmark_tool, "read_graph", lambda path: graphs.chain("CONV_2D", "ADD", "ARG_MAX", "ADD"))
    model = tmp_path / "model.tflite"
    model.write_bytes(b"x")
    text = ONE_PARTITION.replace("25%, 75%, 0, 1,", "25%, 75%, 0, 2,").replace("[net_1/b02_up_1/resize]:2", "[y]:2")
    found = parse_op_profile(text, model=model)
    assert [one.milliseconds for one in found.untraced] == [0.5, 0.5]
    assert found.sum_ms == 1.25


def test_what_is_no_profile_is_refused(tmp_path: Path) -> None:
    for text in ("", "STARTING!\nInference timings in us: Init: 1, First inference: 2\n"):
        with pytest.raises(ProfileError, match="--enable_op_profiling=true"):
            parse_op_profile(text)
    broken = ONE_PARTITION.replace("Add (ND), 0.2, 0.25, 25%, 75%, 0, 1,", "Add (ND), 0.2, ")
    with pytest.raises(ProfileError, match=r"cannot be read: 'Add \(ND\), 0\.2"):
        parse_op_profile(broken)
    with pytest.raises(ArtifactError):
        parse_op_profile(ONE_PARTITION, model=tmp_path / "missing.tflite")


def test_a_log_of_a_real_file(tmp_path: Path) -> None:
    """The tiny model's kernels, written as the tool would write them, come back to its operations and their costs."""
    path = tiny.save(tmp_path, tiny.INT8)
    taken = profile_operations(path, warmup=0, runs=1)
    rows = []
    for one in taken.operations:
        for kernel in one.kernels:
            order = sum(row.count(DELEGATE) for row in rows)
            name = f"{DELEGATE}{kernel}:{order}" if one.delegated else f"[{one.layer}]:{one.index}"
            rows.append(f"{kernel}, 0.1, {one.milliseconds}, 50%, 50%, 0, 1, {name}")
    head = ONE_PARTITION.split("Fully Connected", 1)[0]
    found = parse_op_profile(head + "\n".join(rows) + "\n", model=path)
    assert [(one.operation, one.kernels, one.cost, one.milliseconds) for one in found.operations] == [
        (one.operation, one.kernels, one.cost, one.milliseconds) for one in taken.operations
    ]
    assert (found.path, found.sha256, found.untraced) == (str(path), taken.sha256, ())
