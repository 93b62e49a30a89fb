"""Ratios, and when they are beyond the noise. Numbers are told, not timed."""

import dataclasses
import json
from pathlib import Path

import pytest
from unit.profiling.made import FACTS, MadeDevice, MadeRunner, measurement, result
from unit.verify import tiny

from mobile_seg.errors import ArtifactError, ProfileError, UsageError
from mobile_seg.profiling.comparison import compare, load, side_by_side
from mobile_seg.profiling.devices.host import HostDevice
from mobile_seg.profiling.history import append, history_of
from mobile_seg.profiling.runners.base import Job, RunResult
from mobile_seg.profiling.runners.litert import LiteRTRunner
from mobile_seg.profiling.session import Plan

FAST = measurement([[10.0, 10.1, 9.9, 10.0]] * 3)
SLOW = measurement([[12.0, 12.1, 11.9, 12.0]] * 3)


def test_beyond_the_noise() -> None:
    (found,) = compare([SLOW], [FAST])
    assert found.ratio == pytest.approx(1.2)
    assert found.beyond_noise
    assert found.verdict == "the first is 1.20x slower, beyond the noise"
    assert found.how == "measured apart"
    (back,) = compare([FAST], [SLOW])
    assert back.verdict == "the first is 1.20x faster, beyond the noise"
    json.dumps(found.to_dict(), allow_nan=False)


def test_within_the_noise() -> None:
    noisy = measurement([[9.0, 10.0, 11.0, 12.0], [8.0, 10.0, 11.0, 13.0]])
    (found,) = compare([noisy], [FAST])
    assert not found.beyond_noise
    assert found.verdict == "no difference beyond the noise"


def test_only_what_was_taken_alike_is_compared() -> None:
    two = dataclasses.replace(SLOW, threads=2)
    other = dataclasses.replace(SLOW, device=dataclasses.replace(FACTS, serial="S2"))
    (found,) = compare([SLOW, two], [FAST, other])
    assert found.threads == 1
    with pytest.raises(
        UsageError, match=r"taken alike\. First: .*2 threads\. Second: Some Phone \(S1\), made, xnnpack"
    ):
        compare([two], [FAST])


def test_the_three_things_that_hold_measurements(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    append(history_of(model), FAST)
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps({"measurements": [FAST.to_dict()], "failures": []}))
    assert load(model) == load(history_of(model)) == load(printed) == [FAST]
    for path, said in ((tmp_path / "no.tflite", "mobile-seg profile"), (tmp_path / "no.json", "cannot be read")):
        with pytest.raises(ArtifactError, match=said):
            load(path)
    for text in ("[]", "{}", "nonsense", '{"measurements": [{}]}'):
        printed.write_text(text)
        with pytest.raises(ArtifactError, match=r"printed\.json"):
            load(printed)
    printed.write_text('{"measurements": []}')
    with pytest.raises(ArtifactError, match="holds no measurement"):
        load(printed)


def test_side_by_side_cancels_a_drift(tmp_path: Path) -> None:
    """The device gets slower all the time, and the first model is always a tenth slower."""
    speed = {"level": 10.0}
    order: list[str] = []

    class Runner(MadeRunner):
        def prepare(self, device, workspace, model):  # type: ignore[no-untyped-def]
            factor = 1.1 if model.name == "a.tflite" else 1.0

            def once(job: Job) -> RunResult:
                order.append(model.stem)
                speed["level"] *= 1.01
                return result([speed["level"] * factor] * 4)

            return once

    plan = Plan(threads=(1,), most_rounds=8)
    device = MadeDevice()
    runner = Runner(lambda job, number: result([]))
    (found,) = side_by_side(tmp_path / "a.tflite", tmp_path / "b.tflite", device=device, runner=runner, plan=plan)
    assert order[:4] == ["a", "b", "b", "a"]
    assert found.ratio == pytest.approx(1.1, rel=0.011)
    assert found.beyond_noise
    assert found.how == "measured side by side"
    assert device.open == 0


def test_side_by_side_refuses_what_it_cannot_tell(tmp_path: Path) -> None:
    paths = tmp_path / "a.tflite", tmp_path / "b.tflite"
    runner = MadeRunner(lambda job, number: result([5.0], delegate="gpu", taken="none"))
    with pytest.raises(UsageError, match="6 pairs at least"):
        side_by_side(*paths, device=MadeDevice(), runner=runner, plan=Plan(most_rounds=5))
    with pytest.raises(ProfileError, match="gpu fell back to CPU"):
        side_by_side(*paths, device=MadeDevice(), runner=runner, plan=Plan(delegates=("gpu",), threads=(1,)))


@pytest.mark.slow
def test_two_real_models_side_by_side(tmp_path: Path) -> None:
    """No duration is judged: what a ratio is made of is."""
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    first.write_bytes(tiny.flatbuffer(tiny.INT8))
    second.write_bytes(tiny.flatbuffer(tiny.FLOAT32))
    plan = Plan(threads=(1,), runs=5, most_rounds=6)
    (found,) = side_by_side(first, second, device=HostDevice(), runner=LiteRTRunner(), plan=plan)
    assert 0 < found.interval[0] <= found.ratio <= found.interval[1]
    assert min(found.first_ms, found.second_ms) > 0
