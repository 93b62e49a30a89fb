"""Operations timed on any device: what is brought and run there, and what becomes of the answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from unit.profiling.made import MadeDevice, MadeRunner, result
from unit.profiling.operations import graphs
from unit.profiling.operations.test_benchmark_tool import ONE_PARTITION
from unit.profiling.runners.test_result import WHOLE
from unit.profiling.runners.test_runners import LOGS, elf

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.devices.base import Finished
from mobile_seg.profiling.operations import benchmark_tool, peak_models, runner_events
from mobile_seg.profiling.runners.base import Job
from mobile_seg.profiling.runners.benchmark_model import BenchmarkModelRunner
from mobile_seg.profiling.runners.c_runner import CRunner
from mobile_seg.profiling.watching import PEAK_RUNS, watch_operations

RUNS = 2
KINDS = ("CONV_2D", "ADD", "RESIZE_NEAREST_NEIGHBOR")
EVENTS = [
    {"name": "Convolution (NHWC, QC8) IGEMM", "inner": True, "node": 0, "us": 500},
    {"name": "Add (ND)", "inner": True, "node": 1, "us": 250},
    {"name": "RESIZE_NEAREST_NEIGHBOR", "inner": False, "node": 2, "us": 125},
]
PEAK_MS = 2.0


@pytest.fixture(autouse=True)
def graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of the file that is never read."""
    for module in (benchmark_tool, runner_events):
        monkeypatch.setattr(module, "read_graph", lambda path: graphs.chain(*KINDS))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that nothing runs."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"x")
    return path


def job(delegate: str = "xnnpack", threads: int = 2) -> Job:
    return Job(delegate, threads, 1, RUNS, 60.0)


def our_program(tmp_path: Path, **changed: Any) -> tuple[CRunner, MadeDevice]:
    """Answers every model that shows a limit with 2 ms, and the network with EVENTS for each watched run."""

    def answer(words: Sequence[str]) -> Finished:
        given = dict(zip(words[1::2], words[2::2], strict=True))
        if "peak" in given["--model"]:
            value = WHOLE | {"samples_ms": [PEAK_MS + number for number in range(int(given["--runs"]))]}
        else:
            watched = int(given["--profile"])
            value = WHOLE | {"samples_ms": [1.0] * RUNS, "operations": EVENTS * watched, "profiled_runs": watched}
        device.files[given["--output"]] = json.dumps(value | changed).encode()
        return Finished(0, "", "")

    device = MadeDevice(answer)
    return CRunner(program=elf(tmp_path / "bench"), library=elf(tmp_path / "libLiteRt.so")), device


def test_our_program_tells_operations_and_the_devices_limits(tmp_path: Path, model: Path) -> None:
    runner, device = our_program(tmp_path)
    told: list[str] = []
    profile, found = watch_operations(model, device=device, runner=runner, job=job(), tell=told.append)
    assert told == ["measuring the device's limits", "profiling each operation"]
    assert [(one.layer, one.milliseconds, one.delegated) for one in profile.operations] == [
        ("b00_conv_2d", 0.5, True),
        ("b01_add", 0.25, True),
        ("b02_resize_nearest_neighbor", 0.125, False),
    ]
    assert (profile.device, profile.threads, profile.runs, profile.mode) == ("Some Phone (S1)", 2, RUNS, "delegate")
    assert profile.unprofiled_ms == 1.0
    assert found is not None
    largest = max(one.work for one in peak_models.models() if one.kind == "int8")
    assert found.peaks.rate("int8") == pytest.approx(largest / (1e6 * PEAK_MS))
    assert [size for size, _ in found.peaks.bandwidth] == list(peak_models.STREAMS)
    assert found.share > 0
    peaks = [words for words, *_ in device.ran if any("peak" in word for word in words)]
    assert len(peaks) == len(list(peak_models.models()))
    assert all(words[words.index("--runs") + 1] == str(PEAK_RUNS) for words in peaks)
    assert all(words[words.index("--threads") + 1] == "2" for words, *_ in device.ran)
    assert device.open == 0


@pytest.mark.parametrize(("delegate", "mode", "limits"), [("none", "builtin", True), ("gpu", "gpu", False)])
def test_limits_are_those_of_the_cpu(tmp_path: Path, model: Path, delegate: str, mode: str, limits: bool) -> None:
    runner, device = our_program(tmp_path)
    profile, found = watch_operations(model, device=device, runner=runner, job=job(delegate))
    assert (profile.mode, found is not None) == (mode, limits)


def test_a_fallback_is_no_profile(tmp_path: Path, model: Path) -> None:
    runner, device = our_program(tmp_path, delegated=0, left=3)
    with pytest.raises(ProfileError, match="gpu fell back to CPU, so these are no operations of its"):
        watch_operations(model, device=device, runner=runner, job=job("gpu"))


def test_the_official_tool_tells_operations_without_limits(tmp_path: Path, model: Path) -> None:
    timed = (LOGS / "xnnpack_median.log").read_text()
    device = MadeDevice(lambda words: Finished(0, timed + ONE_PARTITION, ""))
    runner = BenchmarkModelRunner(path=elf(tmp_path / "benchmark_model"))
    profile, found = watch_operations(model, device=device, runner=runner, job=job())
    ((words, _, _),) = device.ran
    assert "--enable_op_profiling=true" in words
    assert [(one.layer, one.milliseconds) for one in profile.operations] == [
        ("b00_conv_2d", 0.5),
        ("b01_add", 0.25),
        ("b02_resize_nearest_neighbor", 0.25),
    ]
    assert (profile.device, profile.threads, profile.runtime) == ("Some Phone (S1)", 2, "benchmark_model")
    assert found is None


def test_what_cannot_be_watched(tmp_path: Path, model: Path) -> None:
    device = MadeDevice()
    made = MadeRunner(lambda job, number: result([1.0]))
    with pytest.raises(UsageError, match="--runner made tells nothing of operations; choose litert, benchmark_model"):
        watch_operations(model, device=device, runner=made, job=job())
    (tmp_path / "m.keras").touch()
    with pytest.raises(UsageError, match=r"is not a \.tflite file"):
        watch_operations(tmp_path / "m.keras", device=device, runner=CRunner(), job=job())
