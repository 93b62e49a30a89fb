"""What each runner brings to a device, runs there and makes of the answer. Devices are made up, but for the last."""

import dataclasses
import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from unit.profiling.made import FACTS, MadeDevice
from unit.profiling.runners.test_result import WHOLE
from unit.verify import tiny

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.devices.base import Finished
from mobile_seg.profiling.devices.host import HostDevice
from mobile_seg.profiling.runners.app import AppRunner
from mobile_seg.profiling.runners.base import DELEGATES, Job, check_binary
from mobile_seg.profiling.runners.benchmark_model import BenchmarkModelRunner
from mobile_seg.profiling.runners.c_runner import SOURCE, TARGETS, CRunner, build_line
from mobile_seg.profiling.runners.litert import LiteRTRunner
from mobile_seg.profiling.runners.registry import RUNNERS, runner_named

JOB = Job("xnnpack", 2, 5, 2, 60.0, mask="f0")
LOGS = Path(__file__).parent / "logs"


def elf(path: Path, machine: int = 183) -> Path:
    """The first bytes of a program, by default for 64-bit Arm."""
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine))
    return path


def test_the_c_runner_brings_three_files_and_reads_one(tmp_path: Path) -> None:
    def answer(words: Sequence[str]) -> Finished:
        device.files[words[words.index("--output") + 1]] = json.dumps(WHOLE).encode()
        return Finished(0, "", "INFO: chatter")

    device = MadeDevice(answer)
    runner = CRunner(program=elf(tmp_path / "bench"), library=elf(tmp_path / "libLiteRt.so"))
    with device.workspace() as workspace:
        found = runner.prepare(device, workspace, tmp_path / "m.tflite")(JOB)
    assert device.pushed == [("bench", True), ("libLiteRt.so", False), ("m.tflite", False)]
    ((words, environment, mask),) = device.ran
    assert words[0] == "/data/local/tmp/made/bench"
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given["--model"] == "/data/local/tmp/made/m.tflite"
    assert (given["--delegate"], given["--threads"], given["--warmup"], given["--runs"]) == ("xnnpack", "2", "5", "2")
    assert (environment, mask) == ({}, "f0")
    assert found.samples_ms == (81.5, 76.8)


def test_the_c_runner_passes_on_why_it_failed(tmp_path: Path) -> None:
    device = MadeDevice(lambda words: Finished(1, "", "INFO: chatter\ngpu: LiteRT cannot compile the model for it\n"))
    runner = CRunner(program=elf(tmp_path / "bench"), library=elf(tmp_path / "libLiteRt.so"))
    with pytest.raises(ProfileError, match=r"litert_bench with xnnpack failed \(exit code 1\): gpu: LiteRT cannot"):
        runner.prepare(device, device, tmp_path / "m.tflite")(JOB)


def test_the_c_runner_says_how_to_get_what_it_lacks(tmp_path: Path) -> None:
    device, model = MadeDevice(), tmp_path / "m.tflite"
    with pytest.raises(ProfileError, match=r"pip install ziglang && python -m ziglang cc -target aarch64-linux-gnu"):
        CRunner().prepare(device, device, model)
    with pytest.raises(ProfileError, match=r"pip download .* --platform manylinux_2_27_aarch64 ai-edge-litert"):
        CRunner(program=elf(tmp_path / "bench")).prepare(device, device, model)
    with pytest.raises(ProfileError, match=r"is for x86_64, the device is arm64-v8a; give the one for arm64-v8a"):
        CRunner(program=elf(tmp_path / "other", 62)).prepare(device, device, model)


def test_every_build_line_names_the_source() -> None:
    assert SOURCE.is_file()
    for abi in TARGETS:
        line = build_line(abi)
        assert line[:4] == ["python", "-m", "ziglang", "cc"]
        assert str(SOURCE) in line
    with pytest.raises(UsageError, match="x86_64"):
        build_line("mips")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"#!/bin/sh", "no ELF mark"), (b"", "no ELF mark")],
)
def test_programs_that_no_device_runs(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "program"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProfileError, match=said):
        check_binary(path, abi="arm64-v8a", option="--c-runner")


def test_the_official_tool(tmp_path: Path) -> None:
    device = MadeDevice(lambda words: Finished(0, (LOGS / "xnnpack_median.log").read_text(), ""))
    binary = elf(tmp_path / "benchmark_model")
    elf(tmp_path / "libGpu.so")
    with device.workspace() as workspace:
        found = BenchmarkModelRunner(path=binary).prepare(device, workspace, tmp_path / "m.tflite")(JOB)
    assert device.pushed == [("benchmark_model", True), ("libGpu.so", False), ("m.tflite", False)]
    ((words, environment, mask),) = device.ran
    assert words[:2] == ["/data/local/tmp/made/benchmark_model", "--graph=/data/local/tmp/made/m.tflite"]
    assert {"--num_threads=2", "--warmup_runs=5", "--num_runs=2", "--min_secs=0", "--use_xnnpack=true"} <= set(words)
    assert (environment, mask) == ({"LD_LIBRARY_PATH": "/data/local/tmp/made"}, "f0")
    assert (found.samples_ms, found.sample, found.p95_ms) == ((899.281,), "process median", 904.305)


def test_an_older_official_tool(tmp_path: Path) -> None:
    device = MadeDevice(lambda words: Finished(0, "", (LOGS / "none.log").read_text()))
    runner = BenchmarkModelRunner(path=elf(tmp_path / "benchmark_model"))
    job = dataclasses.replace(JOB, delegate="none")
    found = runner.prepare(device, device, tmp_path / "m.tflite")(job)
    assert (found.samples_ms, found.sample, found.p95_ms) == ((116.066,), "process mean", None)
    assert "--use_xnnpack=false" in device.ran[0][0]


def test_an_official_tool_that_was_cut_short(tmp_path: Path) -> None:
    device = MadeDevice(lambda words: Finished(0, (LOGS / "xnnpack_median.log").read_text(), ""))
    runner = BenchmarkModelRunner(path=elf(tmp_path / "benchmark_model"))
    with pytest.raises(ProfileError, match="made 50 of 51 runs within 30 s; give it more with --timeout"):
        runner.prepare(device, device, tmp_path / "m.tflite")(dataclasses.replace(JOB, runs=51))


def test_the_official_tools_reason(tmp_path: Path) -> None:
    device = MadeDevice(lambda words: Finished(1, (LOGS / "xnnpack_failed.log").read_text(), ""))
    runner = BenchmarkModelRunner(path=elf(tmp_path / "benchmark_model"))
    with pytest.raises(ProfileError, match=r"\(exit code 1\): .*Failed to apply XNNPACK delegate"):
        runner.prepare(device, device, tmp_path / "m.tflite")(JOB)


def test_the_official_tool_is_found_where_known_tools_keep_it(tmp_path: Path) -> None:
    device = MadeDevice()
    runner = BenchmarkModelRunner(cache=tmp_path)
    with pytest.raises(ProfileError, match=r"there is none for arm64-v8a in .*; give its path with --benchmark-model"):
        runner.prepare(device, device, tmp_path / "m.tflite")
    for folder in ("mobile-seg/arm64-v8a", "litert-cli/binaries/android_arm64"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        elf(place / "benchmark_model")
        runner.prepare(device, device, tmp_path / "m.tflite")
        assert device.pushed[-2] == ("benchmark_model", True)
        (place / "benchmark_model").unlink()


def test_runners_refuse_devices_they_cannot_use(tmp_path: Path) -> None:
    device = MadeDevice()
    with pytest.raises(UsageError, match="--runner litert is Python, which Some Phone"):
        LiteRTRunner().prepare(device, device, tmp_path / "m.tflite")
    host = HostDevice()
    with host.workspace() as workspace, pytest.raises(UsageError, match="--runner app runs on phones"):
        AppRunner().prepare(host, workspace, tmp_path / "m.tflite")


def test_the_registry() -> None:
    assert FACTS.abi in TARGETS
    for name in RUNNERS:
        runner = runner_named(name)
        assert runner.name == name
        assert set(runner.delegates) <= set(DELEGATES)
    with pytest.raises(UsageError, match="Did you mean 'litert'"):
        runner_named("liter")


@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_the_interpreter_times_a_file_without_a_manifest(tmp_path: Path, delegate: str) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(tiny.flatbuffer())
    host = HostDevice()
    with host.workspace() as workspace:
        once = LiteRTRunner().prepare(host, workspace, path)
        found = once(Job(delegate, 1, 1, 3, 120.0))
        assert len(found.samples_ms) == 3
        assert min(found.samples_ms) > 0
        assert found.peak_memory_bytes > 0
        assert "ai-edge-litert" in dict(found.versions)
        assert not found.delegate.fell_back
        path.write_bytes(b"\0\0\0\0TFL3 and no more")
        with pytest.raises(ProfileError, match=r"profiling .*bare\.tflite failed \(exit code 1\): .*cannot be run"):
            once(Job(delegate, 1, 1, 3, 120.0))
