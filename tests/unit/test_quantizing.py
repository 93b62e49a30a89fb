"""Schemes, kept layers, ranking and the search for a drop, on a model that is right by construction.

The labels are what the float model says, so its mIoU is 1; one layer's weights are made so that 8 bits lose them.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from unit.quantization import nets
from unit.training import tiny

import mobile_seg
from mobile_seg.data.description import load_dataset
from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.errors import CheckpointError, ParityError, UsageError
from mobile_seg.keras_file import keras_manifest, save_model
from mobile_seg.phases import Best
from mobile_seg.quantization.scheme import SCHEMES, find
from mobile_seg.training.recipe import Recipe
from mobile_seg.verify.keras_runner import load_keras
from mobile_seg.verify.runners import open_artifact, require_manifest

SIZE = (32, 48)
RECIPE = Recipe(steps=2, batch=2, learning_rate=1e-4)
FRAGILE = "b1_act"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy"), train=6, val=3, size=SIZE)


@pytest.fixture(scope="module")
def float_model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = load_dataset(data)
    network = tiny.stand_in("small", input_size=SIZE, classes=len(dataset.classes))
    nets.randomize(network)
    _break_int8(network)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name="small")
    path = save_model(network, tmp_path_factory.mktemp("model") / "model_float.keras", manifest)
    runner = open_artifact(path)
    for pair in (*dataset.train, *dataset.val):
        image = cv2.imread(str(pair.image))[..., ::-1]
        cv2.imwrite(str(pair.label), runner.segment(np.ascontiguousarray(image)))
    return path


def _break_int8(network: object) -> None:
    """A huge weight on a channel that is always zero: it sets the scale of its filter, and does nothing else."""
    norm, conv = network.get_layer("b0_bn"), network.get_layer("b1_conv")  # type: ignore[attr-defined]
    silent = np.ones(8)
    silent[0] = 0.0
    norm.gamma.assign(np.asarray(norm.gamma) * silent)
    norm.beta.assign(np.asarray(norm.beta) * silent)
    kernel = np.asarray(conv.kernel).copy()
    kernel[:, :, 0, :] = 100.0
    conv.kernel.assign(kernel)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_quantized_and_exported_as_what_it_is(
    data: Path, float_model: Path, tmp_path: Path, scheme: str
) -> None:
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None, scheme=scheme)
    assert require_manifest(model).precision == f"{scheme}-ptq"
    exported = mobile_seg.export(model, data=data, folder=tmp_path)
    assert exported.path == tmp_path / f"small_{scheme}.tflite"
    precision = find(scheme).precision
    assert exported.manifest.precision == precision == require_manifest(exported.path).precision
    ends = {"int8": "int8", "int16x8": "int16"}
    assert exported.manifest.output.dtype == ends.get(precision, "float32")
    scores = [mobile_seg.evaluate(artifact, data=data).pixel_accuracy for artifact in (model, exported.path)]
    assert scores[0] == pytest.approx(scores[1], abs=0.03)
    other = "int8" if precision != "int8" else "w8"
    with pytest.raises(UsageError, match=f"is quantized to {precision}; export {other} from the float model"):
        mobile_seg.export(model, data=data, folder=tmp_path, precision=other)


@pytest.mark.parametrize("precision", ["int16x8", "w8"])
def test_a_float_model_is_quantized_on_the_way(data: Path, float_model: Path, tmp_path: Path, precision: str) -> None:
    exported = mobile_seg.export(float_model, data=data, folder=tmp_path, precision=precision)
    assert exported.path.name == f"small_{precision}.tflite"
    assert exported.manifest.precision == precision


def test_kept_layers_are_kept_after_saving_and_in_the_file(data: Path, float_model: Path, tmp_path: Path) -> None:
    keep = {FRAGILE: "float", "classify_conv": "int16x8"}
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None, keep=keep)
    loaded = load_keras(model)
    assert loaded.get_layer("b1_conv").weights_grid == "float32"
    assert loaded.get_layer("classify_conv_quant").bits == 16
    exported = mobile_seg.export(model, data=data, folder=tmp_path)
    assert (exported.manifest.precision, exported.manifest.output.dtype) == ("int8", "int16")


def test_analyze_finds_the_fragile_layer_and_writes_the_ranking(data: Path, float_model: Path, tmp_path: Path) -> None:
    told: list[str] = []
    ranking = mobile_seg.analyze(
        float_model, data=data, folder=tmp_path, progress=lambda done, total, text: told.append(text)
    )
    assert (ranking[0].layer, ranking[0].raised) == (FRAGILE, "float")
    assert ranking[0].sqnr_db < ranking[1].sqnr_db - 6
    record = json.loads((tmp_path / "sensitivity.json").read_text())
    assert (record["model"], record["scheme"]) == ("small", "int8")
    assert record["layers"] == [damage.to_dict() for damage in ranking]
    assert told[0].startswith("ranking ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["sensitivity.json"]


def test_the_search_raises_the_fragile_layer_alone(data: Path, float_model: Path, tmp_path: Path) -> None:
    plain = mobile_seg.quantize(float_model, data=data, folder=tmp_path / "plain", recipe=None)
    assert mobile_seg.evaluate(plain, data=data).miou < 0.8, "8 bits lose it"
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None, max_drop=15.0)
    record = json.loads((tmp_path / "raised.json").read_text())
    assert record["keep"] == {FRAGILE: "float"}
    assert [one["raised"] for one in record["tried"]] == [0, 1]
    assert record["float_miou"] == pytest.approx(1.0)
    assert record["miou"] == pytest.approx(mobile_seg.evaluate(model, data=data).miou)
    assert 0.85 <= record["miou"] == record["tried"][1]["accuracy"]
    assert (tmp_path / "sensitivity.json").is_file()
    exported = mobile_seg.export(model, data=data, folder=tmp_path)
    assert mobile_seg.evaluate(exported.path, data=data).miou > 0.8, "and the file has it"


def test_training_goes_on_from_what_was_found(data: Path, float_model: Path, tmp_path: Path) -> None:
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=RECIPE, max_drop=15.0)
    assert require_manifest(model).precision == "int8-qat"
    assert load_keras(model).get_layer("b1_conv").weights_grid == "float32"
    record = json.loads((tmp_path / "raised.json").read_text())
    assert record["miou"] == pytest.approx(mobile_seg.evaluate(model, data=data).miou)
    again = {"data": data, "folder": tmp_path, "recipe": RECIPE, "resume": True}
    with pytest.raises(CheckpointError, match="differed in: keep;"):
        mobile_seg.quantize(float_model, **again)
    with pytest.raises(CheckpointError, match="differed in: scheme;"):
        mobile_seg.quantize(float_model, **again, keep=record["keep"], scheme="int8-per-tensor")


def test_batch_normalization_follows_the_batches_for_its_share_of_the_steps(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Best, "restore", lambda self: None)  # the last state, not the best
    recipe = Recipe(steps=25, batch=2, learning_rate=0.0)
    moving = {}
    for share in (0.0, 0.5, 1.0):
        path = mobile_seg.quantize(
            float_model, data=data, folder=tmp_path / str(share), recipe=recipe, freeze_batch_norm=share
        )
        layer = load_keras(path).get_layer("b1_conv")
        assert not layer.batch_statistics, "a finished model is frozen"
        moving[share] = np.asarray(layer.moving_variance)
    given = np.asarray(load_keras(float_model).get_layer("b1_bn").moving_variance)
    np.testing.assert_array_equal(moving[0.0], given)
    assert not np.allclose(moving[0.5], given)
    # It froze at the row after half of the steps, so the last five batches changed nothing.
    assert not np.allclose(moving[0.5], moving[1.0])


def test_how_it_is_quantized_reaches_the_engine(data: Path, float_model: Path, tmp_path: Path) -> None:
    usual = {"data": data, "recipe": None}
    plain, other = (
        load_keras(mobile_seg.quantize(float_model, folder=tmp_path / name, **usual, **how))
        for name, how in (("plain", {}), ("other", {"method": "percentile", "ranges": "learned", "correct_bias": True}))
    )
    one, two = (network.get_layer("classify_conv_quant") for network in (plain, other))
    assert (one.ranges, two.ranges) == ("average", "learned")
    assert two.get_range()[1] < one.get_range()[1], "the outermost values are left out"
    biases = [np.asarray(network.get_layer("classify_conv").bias) for network in (plain, other)]
    assert not np.array_equal(*biases)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"scheme": "int4"}, "scheme='int4' is not known"),
        ({"method": "guess"}, "method='guess' is not known"),
        ({"ranges": "fixed"}, "ranges='fixed' is not known"),
        ({"keep": {"nobody": "float"}}, "keep names nobody"),
        ({"max_drop": -1.0}, "max_drop=-1.0; give points of mIoU"),
        ({"max_drop": float("nan")}, "max_drop=nan"),
        ({"max_drop": 1.0, "keep": {FRAGILE: "float"}}, "keep and max_drop exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(
    data: Path, float_model: Path, tmp_path: Path, how: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None, **how)
    assert not list(tmp_path.iterdir())


def test_a_quantized_model_is_not_analyzed(data: Path, float_model: Path, tmp_path: Path) -> None:
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None)
    with pytest.raises(UsageError, match="quantized already; start from the float model"):
        mobile_seg.analyze(model, data=data, folder=tmp_path)


def test_a_file_of_another_model_does_not_pass_its_gate(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16-bit logits that are all a fifth too large would pass by their argmax alone."""
    from mobile_seg.verify import tflite_runner

    original = tflite_runner.TFLiteRunner.dequantize
    monkeypatch.setattr(tflite_runner.TFLiteRunner, "dequantize", lambda self, raw: 1.2 * original(self, raw))
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None, scheme="int16x8")
    with pytest.raises(ParityError, match="of its logits lie within 2 output steps"):
        mobile_seg.export(model, data=data, folder=tmp_path)


def test_training_that_makes_it_worse_leaves_the_calibrated_model(
    data: Path, float_model: Path, tmp_path: Path
) -> None:
    ruinous = Recipe(steps=20, batch=2, learning_rate=3.0, warmup=0.0)
    made = {
        name: mobile_seg.quantize(float_model, data=data, folder=tmp_path / name, recipe=recipe, evaluate_every=20)
        for name, recipe in (("ptq", None), ("qat", ruinous))
    }
    scores = json.loads((tmp_path / "qat" / "qat.history.json").read_text())
    scored = {name: mobile_seg.evaluate(path, data=data).miou for name, path in made.items()}
    assert scores[-1]["miou"] < scored["ptq"], "the recipe is ruinous"
    assert scored["qat"] == scored["ptq"]


def test_a_resumed_run_remembers_what_was_best(float_model: Path, tmp_path: Path) -> None:
    network = load_keras(float_model)
    scores = iter((0.5, 0.7, 0.6))
    first = Best(network, tmp_path / "qat.best.npz", "key", lambda: next(scores))
    first.begin(resume=False)
    kernel = network.get_layer("b1_conv").kernel
    kernel.assign(kernel * 2.0)
    best = np.asarray(kernel)
    first()
    kernel.assign(kernel * 2.0)
    again = Best(network, tmp_path / "qat.best.npz", "key", lambda: next(scores))
    again.begin(resume=True)
    again()
    again.restore()
    np.testing.assert_array_equal(np.asarray(kernel), best)
