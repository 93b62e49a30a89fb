"""The official tool's output, from recorded logs; each names its source in its first line."""

from pathlib import Path

import pytest

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.runners.benchmark_log import parse_log, read_delegate

LOGS = Path(__file__).parent / "logs"


def log(name: str) -> str:
    """Return a recorded log."""
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


def test_every_log_names_its_source() -> None:
    logs = sorted(LOGS.glob("*.log"))
    assert len(logs) == 8
    for path in logs:
        assert path.read_text(encoding="utf-8").startswith("# Source: "), path


def test_a_tool_that_tells_the_median() -> None:
    found = parse_log(log("xnnpack_median"), asked="xnnpack")
    assert (found.init_ms, found.first_run_ms) == (614.333, 905.463)
    assert (found.mean_ms, found.median_ms, found.p95_ms) == (899.641, 899.281, 904.305)
    assert found.runs == 50
    assert found.peak_memory_bytes == round(150.141 * 2**20)
    assert (found.delegate.taken, found.delegate.partitions) == ("part", 1)
    assert found.delegate.verdict == "xnnpack: part in 1 partitions"


def test_an_older_tool_tells_only_the_mean() -> None:
    found = parse_log(log("none"), asked="none")
    assert (found.mean_ms, found.median_ms, found.p95_ms, found.runs) == (116.066, None, None, 50)
    assert found.delegate.verdict == "built-in kernels"


def test_a_delegate_that_the_log_does_not_name_fell_back() -> None:
    found = parse_log(log("none"), asked="xnnpack")
    assert found.delegate.fell_back
    assert found.delegate.verdict == "fell back to CPU"
    assert "names no such delegate" in found.delegate.said


def test_the_other_tool_of_that_name() -> None:
    found = parse_log(log("litert"), asked="none")
    assert (found.init_ms, found.first_run_ms, found.mean_ms) == (23744.73, 7441.04, 7430.2)
    assert (found.runs, found.median_ms) == (10, None)


@pytest.mark.parametrize(
    ("name", "asked", "taken", "partitions"),
    [
        ("gpu_all", "gpu", "all", 1),
        ("nnapi_part", "nnapi", "part", 44),
        ("nnapi_refused", "nnapi", "none", None),
        ("xnnpack_named_by_the_runtime", "xnnpack", "part", 13),
        ("gpu_all", "nnapi", "none", None),
    ],
)
def test_what_became_of_the_delegate(name: str, asked: str, taken: str, partitions: int | None) -> None:
    use = read_delegate(log(name), asked=asked)
    assert (use.taken, use.partitions) == (taken, partitions)
    assert use.said


def test_nodes_that_the_runtime_replaced() -> None:
    line = (
        "VERBOSE: Replacing {} out of 49 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding {} partitions for "
    )
    assert read_delegate(line.format(49, 1), asked="gpu").taken == "all"
    part = read_delegate(line.format(40, 3), asked="gpu")
    assert (part.taken, part.partitions, part.left) == ("part", 3, 9)
    assert read_delegate(line.format(40, 3), asked="xnnpack").taken == "none"


def test_the_tools_own_reason_is_passed_on() -> None:
    with pytest.raises(ProfileError, match=r"measured nothing: Failed to apply XNNPACK delegate\."):
        parse_log(log("xnnpack_failed"), asked="xnnpack")


def test_a_number_that_is_missing_is_never_made_up() -> None:
    with pytest.raises(ProfileError, match="does not tell its memory"):
        parse_log(log("nnapi_part"), asked="nnapi")
    with pytest.raises(ProfileError, match=r"measured nothing: .*will not be executed"):
        parse_log(log("nnapi_refused"), asked="nnapi")
    with pytest.raises(ProfileError, match="it said nothing"):
        parse_log("", asked="none")
