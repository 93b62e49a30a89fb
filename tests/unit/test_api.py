"""The product's verbs, chained on a network of three convolutions that stands in for the real ones."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from unit.training import tiny

import mobile_seg
from mobile_seg import api
from mobile_seg.data.description import load_dataset
from mobile_seg.data.toy import CLASSES, write_toy_dataset
from mobile_seg.errors import ArtifactError, CheckpointError, DatasetError, ParityError, UsageError
from mobile_seg.imaging import Image
from mobile_seg.manifest import Manifest
from mobile_seg.models import registry
from mobile_seg.training.recipe import Recipe
from mobile_seg.verify.keras_runner import load_keras
from mobile_seg.verify.runners import require_manifest

SIZE = (32, 48)
RECIPE = Recipe(steps=6, batch=2, learning_rate=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy"), train=6, val=2, size=(48, 64))


@pytest.fixture(scope="module", autouse=True)
def _small_networks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "build", tiny.stand_in)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def float_model(data: Path, folder: Path) -> Path:
    return train(data, folder)


@pytest.fixture(scope="module")
def qat_model(data: Path, folder: Path, float_model: Path) -> Path:
    return mobile_seg.quantize(float_model, data=data, folder=folder, recipe=RECIPE)


@pytest.fixture(scope="module")
def int8(data: Path, folder: Path, qat_model: Path) -> api.Exported:
    return mobile_seg.export(qat_model, data=data, folder=folder, force=True)


def train(data: Path, folder: Path, **changes: Any) -> Path:
    usual = {"model": "small", "input_size": SIZE, "recipe": RECIPE}
    return mobile_seg.train(data, folder=folder, **{**usual, **changes})


def weights(model: Path) -> list[np.ndarray]:
    return load_keras(model).get_weights()


def edited(data: Path, folder: Path, **changes: Any) -> Path:
    """A YAML of the same images that says something else."""
    text = yaml.safe_load(data.read_text()) | {"path": str(data.parent)} | changes
    path = folder / "edited.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def test_training_leaves_a_model_its_history_and_its_curves(data: Path, folder: Path, float_model: Path) -> None:
    assert float_model == folder / "model_float.keras"
    manifest = require_manifest(float_model)
    assert (manifest.model, manifest.precision, manifest.classes) == ("small", "float32", CLASSES)
    assert (manifest.input.height, manifest.input.width) == SIZE
    history = json.loads((folder / "float.history.json").read_text())
    assert [row["step"] for row in history] == [6]
    assert set(history[0]) == {"step", "loss", "lr", "miou", "seconds"}
    assert list((folder / "tensorboard" / "float").iterdir())


def test_the_seed_decides_the_weights(data: Path, tmp_path: Path) -> None:
    """With a learning rate of 0 the weights are those the network started with."""
    still = dataclasses.replace(RECIPE, learning_rate=0.0, steps=1)
    one, same = (weights(train(data, tmp_path / name, recipe=still)) for name in "ab")
    other = weights(train(data, tmp_path / "c", recipe=dataclasses.replace(still, seed=1)))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_the_same_call_gives_the_same_model(data: Path, tmp_path: Path, float_model: Path) -> None:
    for found, expected in zip(weights(train(data, tmp_path)), weights(float_model), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def interrupted(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], None]) -> None:
    """Call `act` while batch number `at` is asked for."""
    from mobile_seg.data.stream import TrainStream

    original, steps = TrainStream.__next__, []

    def following(stream: TrainStream) -> Any:
        steps.append(1)
        if len(steps) == at:
            act()
        return original(stream)

    monkeypatch.setattr(TrainStream, "__next__", following)


def test_ctrl_c_and_resume_give_the_uninterrupted_model(
    data: Path, tmp_path: Path, float_model: Path, qat_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    for phase in ("float", "qat"):
        with monkeypatch.context() as patch:
            interrupted(patch, 3, press)
            with pytest.raises(KeyboardInterrupt, match=f"after step 3 of {phase}"):
                run_phase(phase, data, tmp_path)
        assert not (tmp_path / f"model_{phase}.keras").exists()
        model = run_phase(phase, data, tmp_path, resume=True)
        expected = {"float": float_model, "qat": qat_model}[phase]
        for found, value in zip(weights(model), weights(expected), strict=True):
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-5)


def run_phase(phase: str, data: Path, folder: Path, *, resume: bool = False) -> Path:
    if phase == "float":
        return train(data, folder, resume=resume)
    return mobile_seg.quantize(folder / "model_float.keras", data=data, folder=folder, recipe=RECIPE, resume=resume)


def test_what_a_checkpoint_is_tied_to(data: Path, tmp_path: Path) -> None:
    """The text is an interface: with another one, runs that are under way could not go on."""
    from mobile_seg.training.settings import dataset_digest

    for name, changes in (("plain", {}), ("mixed", {"mixed_precision": True})):
        train(data, tmp_path / name, options={"width": 4}, **changes)
        with np.load(tmp_path / name / "float.checkpoint.npz") as file:
            key = json.loads(json.loads(file["record"].tobytes())["key"])
        expected = {
            "model": "small",
            "input_size": list(SIZE),
            "options": {"width": 4},
            "data": dataset_digest(load_dataset(data)),
            "recipe": repr(RECIPE),
        }
        assert key == expected | changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": dataclasses.replace(RECIPE, learning_rate=0.2)}, "recipe"),
        ({"options": {"width": 4}}, "options"),
        ({"input_size": (32, 32)}, "input_size"),
        ({"mixed_precision": True}, "mixed_precision"),
    ],
)
def test_other_settings_are_not_resumed(
    data: Path, folder: Path, float_model: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(CheckpointError, match=f"differed in: {named};"):
        train(data, folder, resume=True, **changes)


def test_classes_that_changed_are_not_resumed(data: Path, folder: Path, float_model: Path, tmp_path: Path) -> None:
    """Renamed classes and fewer images leave every shape as it was."""
    renamed = edited(data, tmp_path, names=[*CLASSES[:-1], "cyclist"])
    with pytest.raises(CheckpointError, match="differed in: data;"):
        train(renamed, folder, resume=True)
    first = [f"train/images/{file.name}" for file in sorted((data.parent / "train" / "images").iterdir())[:4]]
    with pytest.raises(CheckpointError, match="differed in: data;"):
        train(edited(data, tmp_path, train=first), folder, resume=True)


def test_mixed_precision_saves_a_float32_model(data: Path, tmp_path: Path) -> None:
    import keras

    model = load_keras(train(data, tmp_path, mixed_precision=True))
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert json.loads((tmp_path / "float.history.json").read_text())[-1]["miou"] >= 0


def test_evaluating_never_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="evaluate_every=0"):
        train(data, tmp_path, evaluate_every=0)
    assert not list(tmp_path.iterdir())


def test_quantizing_with_and_without_training(data: Path, tmp_path: Path, float_model: Path, qat_model: Path) -> None:
    assert require_manifest(qat_model).precision == "int8-qat"
    ptq = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None)
    assert require_manifest(ptq).precision == "int8-ptq"
    assert not (tmp_path / "qat.history.json").exists()


def test_a_model_of_other_classes_is_not_quantized(data: Path, tmp_path: Path, float_model: Path) -> None:
    other = edited(data, tmp_path, names=[*CLASSES[:-1], "cyclist"])
    with pytest.raises(UsageError, match="cyclist"):
        mobile_seg.quantize(float_model, data=other, folder=tmp_path, recipe=None)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_float_exports_follow_the_model(data: Path, tmp_path: Path, float_model: Path, precision: str) -> None:
    exported = mobile_seg.export(float_model, data=data, folder=tmp_path, precision=precision)
    assert exported.path == tmp_path / f"small_{precision}.tflite"
    assert exported.agreement.argmax > 0.99
    beside = Manifest.from_json(exported.path.with_suffix(".json").read_text())
    assert beside == require_manifest(exported.path) == exported.manifest


def test_an_int8_file_evaluates_like_its_model(data: Path, qat_model: Path, int8: api.Exported) -> None:
    assert (int8.manifest.input.dtype, int8.manifest.output.dtype) == ("uint8", "int8")
    assert int8.agreement.argmax > 0.9
    scores = [mobile_seg.evaluate(model, data=data).pixel_accuracy for model in (qat_model, int8.path)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_a_float_model_asked_for_int8_is_calibrated(data: Path, tmp_path: Path, float_model: Path) -> None:
    exported = mobile_seg.export(float_model, data=data, folder=tmp_path, output="labels", force=True)
    assert exported.path.name == "small_int8_labels.tflite"
    assert exported.manifest.output.kind == "labels"


def test_a_quantized_model_has_no_float_export(data: Path, tmp_path: Path, qat_model: Path) -> None:
    with pytest.raises(UsageError, match="export float16 from the float model"):
        mobile_seg.export(qat_model, data=data, folder=tmp_path, precision="float16")


def test_only_keras_models_are_exported(data: Path, tmp_path: Path, int8: api.Exported) -> None:
    with pytest.raises(UsageError, match=r"is not a \.keras model"):
        mobile_seg.export(int8.path, data=data, folder=tmp_path)


def test_a_file_below_the_parity_gate_is_not_written(
    data: Path, tmp_path: Path, float_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobile_seg.verify import gate

    def refuse(*given: Any, **named: Any) -> None:
        raise ParityError("it does not follow the model")

    monkeypatch.setattr(gate, "check", refuse)
    with pytest.raises(ParityError):
        mobile_seg.export(float_model, data=data, folder=tmp_path, precision="float32")
    assert not list(tmp_path.iterdir())
    mobile_seg.export(float_model, data=data, folder=tmp_path, precision="float32", force=True)
    assert (tmp_path / "small_float32.tflite").is_file()


def test_predictions_have_the_size_of_their_images(int8: api.Exported, float_model: Path) -> None:
    images: list[Image] = [np.full(shape, 90, np.uint8) for shape in ((48, 64, 3), (31, 17, 3))]
    for model in (int8.path, float_model):
        found = list(mobile_seg.predict(model, images))
        assert [labels.shape for labels in found] == [(48, 64), (31, 17)]
        assert all(labels.dtype == np.uint8 and labels.max() < len(CLASSES) for labels in found)


def test_a_missing_model_is_an_error_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        mobile_seg.predict(tmp_path / "none.tflite", [])


def test_evaluate_refuses_an_unknown_split_and_other_classes(data: Path, tmp_path: Path, float_model: Path) -> None:
    with pytest.raises(UsageError, match=r"split='test'.*train, val"):
        mobile_seg.evaluate(float_model, data=data, split="test")
    with pytest.raises(UsageError, match="Evaluate on the dataset it was trained for"):
        mobile_seg.evaluate(float_model, data=edited(data, tmp_path, names=[*CLASSES[:-1], "cyclist"]))


def test_damaged_files_of_both_splits_stop_training_before_it_starts(tmp_path: Path) -> None:
    data = write_toy_dataset(tmp_path / "toy", train=2, val=1, size=(48, 64))
    image = sorted((data.parent / "train" / "images").iterdir())[1]
    image.write_bytes(image.read_bytes()[:-200])
    (label,) = (data.parent / "val" / "labels").iterdir()
    label.write_bytes(label.read_bytes()[:100])
    told: list[str] = []
    with pytest.raises(DatasetError) as caught:
        train(data, tmp_path / "run", progress=lambda done, total, text: told.append(text))
    assert image.name in str(caught.value)
    assert label.name in str(caught.value)
    assert set(told) == {"checking the dataset"}
    assert not (tmp_path / "run").exists()


def test_a_head_that_label_maps_do_not_train_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "build", registry.build)
    options = {"model": "mobile_spinenet_s49_minus", "input_size": (32, 32), "options": {"head": "classification"}}
    with pytest.raises(
        UsageError, match=r"head='classification' gives no map of logits.* choose a head from deeplabv3"
    ):
        train(data, tmp_path, **options)
    assert not any(tmp_path.iterdir())
