"""The order of processes, when they are enough, and what becomes of failures. Numbers are told, not timed."""

from pathlib import Path

import pytest
from unit.profiling.made import MadeDevice, MadeRunner, raising, result

from mobile_seg.errors import ArtifactError, DiskError, ProfileError, UsageError
from mobile_seg.profiling.devices.base import DeviceLostError
from mobile_seg.profiling.measurement import Measurement
from mobile_seg.profiling.runners.base import Job, RunResult
from mobile_seg.profiling.session import Plan, profile_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that nothing runs."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"TFL3")
    return path


def test_processes_take_turns_until_the_median_is_known(model: Path) -> None:
    """One thread is steady, two are not: the first ends after the fewest processes, the second at the cap."""

    def told(job: Job, number: int) -> RunResult:
        return result([10.0] * 4) if job.threads == 1 else result([10.0, 12.0, 14.0, 16.0 + number])

    runner, kept = MadeRunner(told), list[Measurement]()
    device = MadeDevice()
    plan = Plan(threads=(1, 2), runs=4, most_rounds=5)
    outcome = profile_model(model, devices=[device], runner=runner, plan=plan, keep=kept.append)
    assert [job.threads for job in runner.jobs] == [1, 2, 2, 1, 2, 2, 2]
    one, two = outcome.measurements
    assert (one.threads, len(one.rounds), one.tight) == (1, 2, True)
    assert (two.threads, len(two.rounds), two.tight) == (2, 5, False)
    assert kept == [one, two]
    assert outcome.failures == ()
    assert device.open == 0
    assert (one.init_ms, one.first_run_ms, one.peak_memory_bytes, one.size_bytes) == (5.0, 20.0, 1 << 20, 4)
    assert one.p95_ms == 10.0


def test_one_process_that_fell_back_is_told(model: Path) -> None:
    runner = MadeRunner(lambda job, number: result([5.0] * 4, delegate="gpu", taken="none" if number == 2 else "all"))
    plan = Plan(delegates=("gpu",), threads=(1,), runs=4)
    (measured,) = profile_model(model, devices=[MadeDevice()], runner=runner, plan=plan).measurements
    assert measured.delegate.fell_back


def test_a_tool_that_tells_medians_of_processes(model: Path) -> None:
    runner = MadeRunner(lambda job, number: result([10.0], sample="process median", p95_ms=11.0 + number))
    plan = Plan(threads=(1,), runs=50, most_rounds=8)
    (measured,) = profile_model(model, devices=[MadeDevice()], runner=runner, plan=plan).measurements
    assert len(measured.rounds) == 6  # fewer give no interval
    assert (measured.sample, measured.p95_ms) == ("process median", 14.5)
    runner = MadeRunner(lambda job, number: result([10.0], sample="process mean"))
    (measured,) = profile_model(model, devices=[MadeDevice()], runner=runner, plan=plan).measurements
    assert measured.p95_ms is None


def test_what_fails_does_not_stop_the_others(model: Path) -> None:
    def told(job: Job, number: int) -> RunResult:
        if job.delegate == "gpu":
            raise ProfileError("no GPU here")
        return result([10.0] * 4)

    runner = MadeRunner(told)
    plan = Plan(delegates=("gpu", "xnnpack"), threads=(1,), runs=4)
    outcome = profile_model(model, devices=[MadeDevice()], runner=runner, plan=plan)
    assert [one.delegate.asked for one in outcome.measurements] == ["xnnpack"]
    (failure,) = outcome.failures
    assert (failure.device, failure.delegate, failure.threads) == ("Some Phone (S1)", "gpu", 1)
    assert str(failure.error) == "no GPU here"
    assert sum(job.delegate == "gpu" for job in runner.jobs) == 1


def test_a_device_that_goes_away_keeps_what_was_finished(model: Path) -> None:
    def told(job: Job, number: int) -> RunResult:
        if job.threads == 2 and number == 3:
            raise DeviceLostError("unplugged")
        return result([10.0] * 4 if job.threads == 1 else [10.0, 20.0])

    kept: list[Measurement] = []
    device = MadeDevice()
    plan = Plan(threads=(1, 2), runs=4)
    outcome = profile_model(model, devices=[device], runner=MadeRunner(told), plan=plan, keep=kept.append)
    assert [one.threads for one in outcome.measurements] == [1]
    assert kept == list(outcome.measurements)
    (failure,) = outcome.failures
    assert (failure.delegate, str(failure.error)) == (None, "unplugged")
    assert device.open == 0


def test_a_history_that_cannot_be_written_loses_no_measurement(model: Path) -> None:
    def keep(measurement: Measurement) -> None:
        raise DiskError("full")

    runner = MadeRunner(lambda job, number: result([10.0] * 4))
    plan = Plan(threads=(1,), runs=4)
    outcome = profile_model(model, devices=[MadeDevice()], runner=runner, plan=plan, keep=keep)
    assert len(outcome.measurements) == 1
    assert [str(one.error) for one in outcome.failures] == ["full"]


def test_several_devices_at_once(model: Path) -> None:
    class Lost(MadeDevice):
        def facts(self):  # type: ignore[no-untyped-def]
            raise DeviceLostError("gone")

    devices = [MadeDevice(), Lost(), MadeDevice()]
    runner = MadeRunner(lambda job, number: result([10.0] * 4))
    outcome = profile_model(model, devices=devices, runner=runner, plan=Plan(threads=(1,), runs=4))
    assert len(outcome.measurements) == 2
    assert [str(one.error) for one in outcome.failures] == ["gone"]


def test_an_interrupt_cleans_up(model: Path) -> None:
    def told(job: Job, number: int) -> RunResult:
        raise KeyboardInterrupt

    device = MadeDevice()
    with pytest.raises(KeyboardInterrupt):
        profile_model(model, devices=[device], runner=MadeRunner(told), plan=Plan())
    assert device.open == 0


def test_calls_that_are_wrong(model: Path, tmp_path: Path) -> None:
    runner, devices = MadeRunner(raising(ProfileError("never asked"))), [MadeDevice()]
    with pytest.raises(UsageError, match="--delegate nnapi is none that --runner made can use; choose from xnnpack"):
        profile_model(model, devices=devices, runner=runner, plan=Plan(delegates=("nnapi",)))
    with pytest.raises(ArtifactError, match="does not exist"):
        profile_model(tmp_path / "no.tflite", devices=devices, runner=runner, plan=Plan())
    (tmp_path / "m.onnx").touch()
    with pytest.raises(UsageError, match=r"not a \.tflite file"):
        profile_model(tmp_path / "m.onnx", devices=devices, runner=runner, plan=Plan())
    assert runner.jobs == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"delegates": ()},
        {"threads": (0,)},
        {"runs": 0},
        {"warmup": -1},
        {"most_rounds": 1},
        {"seconds": 0.0},
        {"tolerance": 0.0},
        {"tolerance": 1.0},
    ],
    ids=str,
)
def test_plans_that_cannot_be_measured(wrong: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Plan(**wrong)
