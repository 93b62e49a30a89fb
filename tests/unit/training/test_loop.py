"""The fit loop: it learns, averages, repeats itself, and resumes after any interruption to the same result."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.training import tiny

from mobile_seg.errors import CheckpointError, MobileSegError, UsageError
from mobile_seg.training.loop import averaged_weights, fit

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[dict[str, Any]]]:
    return tiny.train(tmp_path_factory.mktemp("whole"), evaluate=lambda: 0.25)


def weights(model: Any) -> list[np.ndarray]:
    return [np.array(value) for value in model.get_weights()]


def assert_same(model: Any, expected: Any) -> None:
    for found, value in zip(weights(model), weights(expected), strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=tiny.TOLERANCE)


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: pytest.approx(value) for name, value in row.items() if name != "seconds"} for row in history]


def test_the_loss_falls_and_the_history_is_plain_json(uninterrupted: tuple[Any, list[dict[str, Any]]]) -> None:
    _, history = uninterrupted
    assert [row["step"] for row in history] == list(range(5, 41, 5))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert [row["step"] for row in history if "miou" in row] == [10, 20, 30, 40]
    assert history[-1]["lr"] == pytest.approx(0.0, abs=1e-8)
    assert all(later["seconds"] > row["seconds"] for row, later in itertools.pairwise(history))
    assert {type(value) for row in history for value in row.values()} == {int, float}
    assert json.loads(json.dumps(history, allow_nan=False)) == history


def test_the_model_is_left_with_the_averaged_weights(uninterrupted: tuple[Any, list[dict[str, Any]]]) -> None:
    model, _ = uninterrupted
    averages = model.optimizer._model_variables_moving_average
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), average.numpy())


def test_averaged_weights_come_and_go_without_a_trace() -> None:
    model, _ = tiny.train_steps(6)
    own = weights(model)
    state = [np.array(v.numpy()) for v in model.optimizer.variables]
    with averaged_weights(model):
        inside = weights(model)
    assert any(not np.array_equal(a, b) for a, b in zip(own, inside, strict=True))
    with pytest.raises(ZeroDivisionError), averaged_weights(model):
        raise ZeroDivisionError
    for found, value in zip(weights(model), own, strict=True):
        np.testing.assert_array_equal(found, value)
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_milestones_are_passed_once_each_and_again_by_a_resumed_run(tmp_path: Path) -> None:
    passed: list[tuple[str, int]] = []
    refreshed: list[int] = []

    def note(name: str) -> Any:
        return lambda model: passed.append((name, int(model.optimizer.iterations.numpy())))

    def refresh(model: Any) -> None:
        refreshed.append(int(model.optimizer.iterations.numpy()))

    milestones = {0: note("start"), 12: note("middle"), 99: note("never")}
    tiny.train(tmp_path, milestones=milestones, refresh=refresh)
    assert passed == [("start", 0), ("middle", 15)], "rows are written every 5 steps"
    assert refreshed == list(range(5, 41, 5))
    passed.clear()
    tiny.train(tmp_path, milestones=milestones, resume=True)
    assert passed == [("start", 40), ("middle", 40)]


def test_how_often_it_is_evaluated_changes_nothing(
    tmp_path: Path, uninterrupted: tuple[Any, list[dict[str, Any]]]
) -> None:
    model, history = tiny.train(tmp_path, evaluate=lambda: 0.25, evaluate_every=1)
    assert all("miou" in row for row in history)
    assert_same(model, uninterrupted[0])


def test_evaluation_sees_the_averaged_weights(tmp_path: Path) -> None:
    seen = []
    model = tiny.network()

    def evaluate() -> float:
        averages = model.optimizer._model_variables_moving_average
        pairs = zip(model.trainable_variables, averages, strict=True)
        seen.append(all(np.array_equal(v.numpy(), average.numpy()) for v, average in pairs))
        return np.float32(0.5)  # a NumPy number must not end up in the history

    history = fit(model, tiny.Batches, tiny.RECIPE, phase=tiny.phase(tmp_path, evaluate=evaluate))
    assert seen == [True] * 4
    assert type(history[-1]["miou"]) is float


def test_same_seed_same_result(tmp_path: Path, uninterrupted: tuple[Any, list[dict[str, Any]]]) -> None:
    model, history = tiny.train(tmp_path, evaluate=lambda: 0.25)
    assert_same(model, uninterrupted[0])
    assert without_times(history) == without_times(uninterrupted[1])


@pytest.mark.parametrize("step", [3, 10, 13, 27, 39])
def test_resumed_after_an_error_equals_uninterrupted(
    tmp_path: Path, step: int, uninterrupted: tuple[Any, list[dict[str, Any]]]
) -> None:
    def fail(at: int) -> None:
        if at == step:
            raise OSError("the network drive went away")

    with pytest.raises(OSError, match="went away"):
        tiny.train(tmp_path, before=fail, evaluate=lambda: 0.25)
    first: list[int] = []
    model, history = tiny.train(tmp_path, before=first.append, evaluate=lambda: 0.25, resume=True)
    assert first[0] == step // 10 * 10  # it goes on from the last checkpoint
    assert_same(model, uninterrupted[0])
    assert without_times(history) == without_times(uninterrupted[1])


@pytest.mark.parametrize(("moment", "resumed_at"), [("step", 20), ("checkpoint", 10)])
def test_resumed_after_a_kill_equals_uninterrupted(
    tmp_path: Path, moment: str, resumed_at: int, uninterrupted: tuple[Any, list[dict[str, Any]]]
) -> None:
    """Killed inside a step, and while a checkpoint is written, just before it takes its name."""
    search = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "unit.training.tiny", str(tmp_path), moment]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half_written = list(tmp_path.glob(".float.checkpoint.*"))
    assert bool(half_written) == (moment == "checkpoint")
    first: list[int] = []
    model, history = tiny.train(tmp_path, before=first.append, evaluate=lambda: 0.25, resume=True)
    assert first[0] == resumed_at
    assert_same(model, uninterrupted[0])
    assert [row["step"] for row in history] == [row["step"] for row in uninterrupted[1]]
    assert not list(tmp_path.glob(".float.checkpoint.*"))


def test_a_finished_phase_resumed_is_the_same_model_without_a_step(tmp_path: Path) -> None:
    model, history = tiny.train(tmp_path)
    asked: list[int] = []
    again, resumed = tiny.train(tmp_path, before=asked.append, resume=True)
    assert asked == []
    assert resumed == history
    for found, value in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(found, value)


def test_seconds_count_training_alone(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        tiny.train(tmp_path, before=lambda step: {}["stop"] if step == 25 else None)
    _, history = tiny.train(tmp_path, resume=True)
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)


def test_ctrl_c_ends_the_step_and_saves(tmp_path: Path, uninterrupted: tuple[Any, list[dict[str, Any]]]) -> None:
    before = signal.getsignal(signal.SIGINT)

    def press(step: int) -> None:
        if step == 12:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 13 of float; go on with --resume"):
        tiny.train(tmp_path, before=press, evaluate=lambda: 0.25)
    assert signal.getsignal(signal.SIGINT) is before
    first: list[int] = []
    model, history = tiny.train(tmp_path, before=first.append, evaluate=lambda: 0.25, resume=True)
    assert first[0] == 13
    assert_same(model, uninterrupted[0])
    assert [row["step"] for row in history] == [row["step"] for row in uninterrupted[1]]


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    def press(step: int) -> None:
        if step == 12:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        tiny.train(tmp_path, before=press)
    assert caught.value.args == ()
    first: list[int] = []
    tiny.train(tmp_path, before=first.append, resume=True)
    assert first[0] == 10


def test_it_trains_outside_the_main_thread(tmp_path: Path) -> None:
    histories: list[Any] = []
    worker = threading.Thread(target=lambda: histories.append(tiny.train(tmp_path)[1]))
    worker.start()
    worker.join()
    assert histories[0][-1]["step"] == tiny.RECIPE.steps


class Poisoned(tiny.Batches):
    """Pixels that are no numbers from step 23 on."""

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        images, labels = super().__next__()
        return (np.full_like(images, np.nan) if self.step > 23 else images), labels


def test_a_loss_that_is_no_number_is_one_clear_line(tmp_path: Path) -> None:
    reported: list[tuple[int, int, str]] = []
    scored: list[int] = []

    def evaluate() -> float:
        scored.append(1)
        return 0.5

    phase = tiny.phase(tmp_path, log_every=6, evaluate=evaluate, evaluate_every=6)
    with pytest.raises(MobileSegError, match="not a number any more; lower the learning rate"):
        fit(tiny.network(), Poisoned, tiny.RECIPE, phase=phase, progress=lambda *told: reported.append(told))
    assert [step for step, *_ in reported] == [6, 12, 18]  # and the broken network is not scored
    assert len(scored) == 3


def test_weights_broken_by_the_last_step_are_not_saved(tmp_path: Path) -> None:
    """The loss of a step is taken before its update, so it does not show what the update broke."""
    model = tiny.network()

    def progress(done: int, total: int, text: str) -> None:
        if done == 20:
            variable = model.trainable_variables[0]
            variable.assign(np.full(variable.shape, np.inf))

    with pytest.raises(MobileSegError, match="not a number any more"):
        fit(model, tiny.Batches, tiny.RECIPE, phase=tiny.phase(tmp_path), progress=progress)
    first: list[int] = []
    _, history = tiny.train(tmp_path, before=first.append, resume=True)
    assert first[0] == 10
    assert history[-1]["step"] == tiny.RECIPE.steps


def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    tiny.train(tmp_path)
    with pytest.raises(CheckpointError, match="differed in: recipe"):
        tiny.train(tmp_path, resume=True, key='{"recipe": "other"}')


def test_without_resume_a_checkpoint_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "float.checkpoint.npz").write_bytes(b"of something else")
    _, history = tiny.train(tmp_path)
    assert history[0]["step"] == 5


def test_the_batches_are_closed_whatever_happens(tmp_path: Path) -> None:
    opened: list[tiny.Batches] = []

    def open_batches(step: int) -> tiny.Batches:
        opened.append(tiny.Batches(step, before=lambda step: {}["stop"] if step == 7 else None))
        return opened[-1]

    with pytest.raises(KeyError):
        fit(tiny.network(), open_batches, tiny.RECIPE, phase=tiny.phase(tmp_path))
    assert opened[0].closed


@pytest.mark.parametrize("name", ["evaluate_every", "checkpoint_every", "log_every"])
def test_intervals_are_at_least_one_step(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}=0: give at least 1"):
        tiny.phase(tmp_path, **{name: 0})
