"""TensorBoard reads what we write; a resumed run supersedes what came after its checkpoint."""

import errno
import warnings
from pathlib import Path
from typing import Any

import pytest
from unit.training import tiny

from mobile_seg.errors import DiskError
from mobile_seg.training.scalars import Scalars


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Read a curve as TensorBoard shows it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder)).Reload().Scalars(tag)
    return [(event.step, event.value) for event in events]


def test_nothing_is_opened_before_it_is_entered(tmp_path: Path) -> None:
    Scalars(tmp_path / "curves")
    assert not (tmp_path / "curves").exists()


def test_values_come_back(tmp_path: Path) -> None:
    with Scalars(tmp_path) as scalars:
        scalars.write(5, {"loss": 0.5, "miou": 0.25})
        scalars.write(10, {"loss": 0.125})
    assert curve(tmp_path, "loss") == [(5, 0.5), (10, 0.125)]
    assert curve(tmp_path, "miou") == [(5, 0.25)]


def test_each_value_is_on_the_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Scalars(tmp_path) as scalars:
        scalars.write(5, {"loss": 0.5})
        assert curve(tmp_path, "loss") == [(5, 0.5)]


def test_steps_beyond_the_checkpoint_are_superseded(tmp_path: Path) -> None:
    with Scalars(tmp_path) as scalars:
        for step in (5, 10, 15):
            scalars.write(step, {"loss": 1.0 * step})
    with Scalars(tmp_path, start=10) as scalars:
        scalars.write(20, {"loss": 2.0})
    assert curve(tmp_path, "loss") == [(5, 5.0), (10, 10.0), (20, 2.0)]


def test_a_new_run_in_the_same_folder_supersedes_all(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with Scalars(tmp_path) as scalars:
            scalars.write(5, {"loss": value})
    assert curve(tmp_path, "loss") == [(5, 2.0)]


def test_a_torn_last_record_does_not_hide_what_follows(tmp_path: Path) -> None:
    with Scalars(tmp_path) as scalars:
        scalars.write(5, {"loss": 0.5})
        scalars.write(10, {"loss": 0.25})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])  # the writer was killed
    with Scalars(tmp_path, start=5) as scalars:
        scalars.write(15, {"loss": 0.125})
    assert curve(tmp_path, "loss") == [(5, 0.5), (15, 0.125)]


def test_the_fit_loop_shows_each_step_once(tmp_path: Path) -> None:
    def fail(step: int) -> None:
        if step == 17:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        tiny.train(tmp_path, before=fail, evaluate=lambda: 0.5)
    folder = tmp_path / "tensorboard" / "float"
    assert [step for step, _ in curve(folder, "loss")] == [5, 10, 15]
    _, history = tiny.train(tmp_path, evaluate=lambda: 0.5, resume=True)
    for name in ("loss", "lr", "miou"):
        expected = [(row["step"], pytest.approx(row[name])) for row in history if name in row]
        assert curve(folder, name) == expected


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DiskError, match="choose another folder"), Scalars(tmp_path / "file" / "curves"):
        pass


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None: ...
        def close(self) -> None: ...

    def open_full(self: Path, mode: str) -> Any:
        return Full()

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(DiskError, match=r"No space left on device\. Free some space"), Scalars(tmp_path):
        pass
