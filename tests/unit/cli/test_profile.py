"""`mobile-seg profile` without images, and `mobile-seg compare`: what is asked of whom, and what is shown."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.profiling.made import STATE, measurement

from mobile_seg.cli import main
from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling import comparison, session
from mobile_seg.profiling.comparison import Comparison
from mobile_seg.profiling.devices.host import HostDevice
from mobile_seg.profiling.history import append, history_of, read
from mobile_seg.profiling.measurement import DelegateUse, DeviceState
from mobile_seg.profiling.session import Failure, Outcome, Plan

Cli = Callable[..., Any]
STEADY = measurement([[10.0] * 4, [10.01] * 4])
GPU = dataclasses.replace(STEADY, delegate=DelegateUse("gpu", "none", said="the tool's words"), threads=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that nothing runs."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"TFL3")
    return path


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Put measurements and failures in the place of measuring; returns what it was called with."""
    calls: list[dict[str, Any]] = []

    def put(*measurements: Any, failures: tuple[Failure, ...] = ()) -> list[dict[str, Any]]:
        def profile_model(path: Path, *, keep: Any = None, **given: Any) -> Outcome:
            calls.append({"model": path, **given})
            for one in measurements:
                if keep:
                    keep(one)
            return Outcome(measurements, failures)

        monkeypatch.setattr(session, "profile_model", profile_model)
        return calls

    return put


def test_the_model_alone_is_measured_here_by_default(cli: Cli, measuring: Any, model: Path) -> None:
    calls = measuring(STEADY)
    ran = cli("profile", model)
    assert (ran.code, ran.err) == (0, "")
    (call,) = calls
    assert [type(device) for device in call["devices"]] == [HostDevice]
    assert call["runner"].name == "litert"
    assert call["plan"] == Plan()
    assert read(history_of(model)) == [STEADY]
    shown = ran.out.splitlines()
    assert shown[0] == "Some Phone (S1), Android 15, arm64-v8a, 8 cores; made"
    assert shown[2].split()[:5] == ["xnnpack", "1", "10.00", "10.00-10.01", "12.00"]
    assert "before: policy0 1.00/2.00 GHz, hottest CPU 40.5 °C, thermal status 0" in shown
    assert "kept in" in ran.out
    assert ran.out.splitlines()[-1].strip().startswith("mobile-seg compare")


def test_options_and_presets_make_the_plan(cli: Cli, measuring: Any, model: Path, tmp_path: Path) -> None:
    calls = measuring(STEADY)
    preset = tmp_path / "mine.toml"
    preset.write_text(
        'title = "Mine"\ndevice = "host"\nrunner = "c"\ndelegates = ["none"]\nthreads = [3]\ncores = "big"\n'
        '[masks]\nbig = "f0"\n'
    )
    assert cli("profile", model, "--preset", preset, "--no-history").code == 0
    words: tuple[str, ...] = (
        "--threads",
        "1,4",
        "--mask",
        "0xF",
        "--delegate",
        "xnnpack,gpu",
        "--runs",
        "7",
        "--warmup",
        "0",
    )
    words = (*words, "--rounds", "3", "--tolerance", "5", "--timeout", "9")
    assert cli("profile", model, "--preset", preset, "--no-history", *words).code == 0
    first, second = (call["plan"] for call in calls)
    assert [call["runner"].name for call in calls] == ["c", "c"]
    assert (first.delegates, first.threads, first.mask) == (("none",), (3,), "f0")
    assert second == Plan(("xnnpack", "gpu"), (1, 4), 0, 7, 0.05, 3, 9.0, "f")
    assert not history_of(model).exists()


def test_a_fallback_is_never_hidden(cli: Cli, measuring: Any, model: Path) -> None:
    measuring(GPU)
    ran = cli("profile", model, "--no-history")
    assert "gpu, 4 threads: FELL BACK TO CPU, so this is no time of gpu: the tool's words" in ran.out
    assert ran.out.splitlines()[2].endswith("fell back to CPU")


def test_what_else_is_remarked(cli: Cli, measuring: Any, model: Path) -> None:
    hot = dataclasses.replace(STATE, thermal_status=3)
    wide = measurement([[10.0], [14.0]], sample="process mean", p95_ms=None, after=hot)
    silent = measurement([[10.0] * 8], before=DeviceState(), after=DeviceState(), threads=2)
    measuring(wide, silent)
    ran = cli("profile", model, "--no-history")
    assert "after 2 processes the interval is still wider than ±2%; add --rounds" in ran.out
    assert "each sample is a process mean of 1 runs" in ran.out
    assert "held the clock down" in ran.out
    assert "after: the device tells neither clock nor temperature" in ran.out
    assert ran.out.splitlines()[2].split()[3:5] == ["–", "–"]


def test_json_and_nothing_else(cli: Cli, measuring: Any, model: Path) -> None:
    measuring(STEADY, failures=(Failure("Some Phone", "gpu", 1, ProfileError("no GPU")),))
    ran = cli("profile", model, "--json")
    assert (ran.code, ran.err) == (1, "error: no GPU\n")
    value = json.loads(ran.out)
    assert value["measurements"] == [json.loads(json.dumps(STEADY.to_dict()))]
    assert value["failures"] == [{"device": "Some Phone", "delegate": "gpu", "threads": 1, "error": "no GPU"}]


def test_several_failures_are_all_named(cli: Cli, measuring: Any, model: Path) -> None:
    failures = (
        Failure("One", None, None, ProfileError("unplugged")),
        Failure("Two", "gpu", 2, UsageError("no")),
    )
    measuring(STEADY, failures=failures)
    ran = cli("profile", model, "--no-history")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "One: unplugged",
        "Two, gpu, 2 threads: no",
        "error: 2 measurements failed, each named above; the others are shown above",
    ]
    measuring(failures=failures[1:] * 2)
    assert cli("profile", model, "--no-history").code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "hots"], "--device 'hots' is not known; give host, adb"),
        (["--device", ","], "names nothing"),
        (["--runner", "liter"], "Did you mean 'litert'?"),
        (["--delegate", "nnapi"], "--delegate nnapi is none that --runner litert can use"),
        (["--mask", "xyz"], "--mask 'xyz' is no core mask"),
        (["--mask", "0"], "--mask '0' is no core mask"),
        (["--preset", "pixel-9"], "--preset 'pixel-9' is neither"),
        (["--rounds", "1"], "--rounds 1 is too small"),
        (["--tolerance", "0"], "--tolerance 0 is out of range"),
        (["--history", "h", "--no-history"], "not allowed with argument"),
        (["--data", "d.yaml", "--device", "adb"], "--device goes with measuring the model alone"),
        (["--images", "d", "--delegate", "none"], "--delegate goes with measuring the model alone"),
        (["--images", "d", "--rounds", "9"], "--rounds goes with measuring the model alone"),
        (["--images", "d", "--no-history"], "--no-history goes with measuring the model alone"),
        (["--images", "d", "--history", "h"], "--history goes with measuring the model alone"),
    ],
    ids=" ".join,
)
def test_misuse(cli: Cli, model: Path, words: list[str], said: str) -> None:
    ran = cli("profile", model, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.fixture
def compare(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command, whether or not the table lists it yet."""
    monkeypatch.setitem(main.COMMANDS, "compare", main.Command("compare", "compare two models' latency"))
    return lambda *words: cli("compare", *words)


def test_compare_shows_ratio_and_verdict(compare: Cli, tmp_path: Path) -> None:
    first, second = tmp_path / "a.tflite", tmp_path / "b.tflite"
    append(history_of(first), measurement([[12.0] * 4] * 3))
    append(history_of(second), measurement([[10.0] * 4] * 3))
    ran = compare(first, second)
    assert ran.code == 0
    assert ran.out.splitlines()[1].split("  ")[-1] == "the first is 1.20x slower, beyond the noise"
    assert "measured apart" in ran.out
    (found,) = json.loads(compare(first, second, "--json").out)["comparisons"]
    assert found["ratio"] == pytest.approx(1.2)
    assert found["beyond_noise"] is True
    refused = compare(first, second, "--threads", "1")
    assert (refused.code, refused.err.startswith("error: --threads goes with --measure")) == (2, True)
    missing = compare(first, tmp_path / "c.tflite")
    assert (missing.code, missing.err.count("\n")) == (1, 1)


def test_compare_measures_side_by_side(compare: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def side_by_side(first: Path, second: Path, **more: Any) -> list[Comparison]:
        given.update(more, models=(first, second))
        found = ("host", "litert", "xnnpack", 1, "", 10.0, 10.0, 1.0, (0.9, 1.1), "measured side by side")
        return [Comparison(*found)]

    monkeypatch.setattr(comparison, "side_by_side", side_by_side)
    ran = compare(model, model, "--measure", "--threads", "1", "--rounds", "8")
    assert "no difference beyond the noise" in ran.out
    assert "process by process" in ran.out
    assert given["plan"] == Plan(threads=(1,), most_rounds=8)
    assert given["models"] == (model, model)
    assert compare(model, model.with_suffix(".onnx"), "--measure").code == 1
