"""Checkpoints: bit for bit what was saved, or an error that says what to do."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.training import tiny

from mobile_seg.errors import CheckpointError, DiskError
from mobile_seg.training import checkpoint
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import optimizer
from mobile_seg.training.settings import settings_key

HISTORY = [{"step": 3, "loss": 0.5, "lr": 0.1, "seconds": 1.5}]


def compiled(seed: int = 0) -> Any:
    model = tiny.network(seed)
    model.compile(optimizer=optimizer(tiny.RECIPE, model.trainable_variables), loss=SegmentationLoss())
    return model


def state(model: Any) -> list[np.ndarray]:
    return [np.array(v.numpy()) for v in [*model.variables, *model.optimizer.variables]]


@pytest.fixture(scope="module")
def trained() -> Any:
    model = compiled()
    for step in range(3):
        model.train_on_batch(*tiny.batch(step))
    return model


@pytest.fixture
def saved(trained: Any, tmp_path: Path) -> Path:
    path = tmp_path / "float.checkpoint.npz"
    checkpoint.save(path, trained, step=3, history=HISTORY, key=tiny.KEY)
    return path


def test_round_trip_is_bit_equal_and_training_goes_on_from_it(trained: Any, saved: Path) -> None:
    other = compiled(seed=1)
    assert checkpoint.load(saved, other, key=tiny.KEY) == (3, HISTORY)
    for found, expected in zip(state(other), state(trained), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert int(other.optimizer.iterations.numpy()) == 3
    assert float(other.train_on_batch(*tiny.batch(3))) == float(fresh_loss(saved))


def fresh_loss(saved: Path) -> Any:
    model = compiled(seed=2)
    checkpoint.load(saved, model, key=tiny.KEY)
    return model.train_on_batch(*tiny.batch(3))


def test_the_layout_does_not_change_between_releases(trained: Any, saved: Path) -> None:
    names = [f"model/{index}" for index in range(len(trained.variables))]
    names += [f"optimizer/{index}" for index in range(len(trained.optimizer.variables))]
    with np.load(saved) as file:
        assert sorted(file.files) == sorted([*names, "record"])
        assert json.loads(file["record"].tobytes()) == {"step": 3, "history": HISTORY, "key": tiny.KEY}


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_file(saved: Path, kept: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * kept)])
    refused(saved, "delete it and start the phase anew")


def test_a_flipped_bit_anywhere(saved: Path) -> None:
    """Either nothing that counts was hit, and all is read as saved, or the file is refused."""
    content = saved.read_bytes()
    model = compiled()
    checkpoint.load(saved, model, key=tiny.KEY)
    expected = state(model)
    refusals = 0
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        saved.write_bytes(bytes(damaged))
        try:
            checkpoint.load(saved, model, key=tiny.KEY)
        except CheckpointError:
            refusals += 1
        for found, value in zip(state(model), expected, strict=True):
            np.testing.assert_array_equal(found, value)
    assert refusals > 30


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "float.checkpoint.npz"
    path.write_bytes(content)
    refused(path, "delete it and start the phase anew")


def test_a_single_array_and_an_archive_without_a_record(tmp_path: Path) -> None:
    path = tmp_path / "float.checkpoint.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    refused(path, "delete it and start the phase anew")
    np.savez(path, weights=np.zeros(3))
    refused(path, "delete it and start the phase anew")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = tmp_path / "float.checkpoint.npz"
    np.savez(path, record=np.array([Trap()], dtype=object))
    refused(path, "delete it and start the phase anew")
    assert not (tmp_path / "sprung").exists()


def test_other_settings_are_named(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "float.checkpoint.npz"
    before = settings_key(recipe=tiny.RECIPE, data="abc", model="tiny")
    checkpoint.save(path, trained, step=3, history=HISTORY, key=before)
    with pytest.raises(CheckpointError, match=r"differed in: data, model; resume with"):
        checkpoint.load(path, compiled(), key=settings_key(recipe=tiny.RECIPE, data="abd", model="big"))


def test_another_network_is_refused_before_anything_is_restored(saved: Path) -> None:
    import keras

    image = keras.Input((16, 24, 3))
    other = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
    other.compile(optimizer=optimizer(tiny.RECIPE, other.trainable_variables), loss=SegmentationLoss())
    before = [np.array(v.numpy()) for v in other.variables]
    with pytest.raises(CheckpointError, match="another network"):
        checkpoint.load(saved, other, key=tiny.KEY)
    for variable, value in zip(other.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_an_error_while_writing_leaves_the_one_before(
    trained: Any, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(stream: Any, **arrays: np.ndarray) -> None:
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DiskError, match="No space left"):
        checkpoint.save(saved, trained, step=4, history=HISTORY, key=tiny.KEY)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_only_leftovers_of_this_checkpoint_are_removed(saved: Path) -> None:
    (saved.parent / ".float.checkpoint.x1y2.npz").write_bytes(b"half")
    other = saved.parent / ".qat.checkpoint.x1y2.npz"
    other.write_bytes(b"half")
    checkpoint.remove_leftovers(saved)
    assert sorted(saved.parent.iterdir()) == sorted([saved, other])


def refused(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(path, compiled(), key=tiny.KEY)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
