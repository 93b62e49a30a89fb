"""The second engine end to end: what lies in the folder is what was asked for, and what was measured on it."""

import dataclasses
import importlib.util
import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from unit.quantization import nets
from unit.training import tiny

import mobile_seg
from mobile_seg import api, tfmot_engine
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import load_dataset
from mobile_seg.data.readers import read_image
from mobile_seg.data.stream import TrainStream
from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.errors import MissingExtraError, ParityError, ProfileError, UsageError
from mobile_seg.keras_file import keras_manifest, save_model
from mobile_seg.profiling.records import HostProfile, StageTimes, ThreadProfile
from mobile_seg.quantization.tfmot import rebuilt, run_tfmot
from mobile_seg.tfmot_engine import TwinRunner, quantize_with_tfmot
from mobile_seg.training.recipe import Recipe
from mobile_seg.verify.keras_runner import load_keras
from mobile_seg.verify.runners import open_artifact, require_manifest
from mobile_seg.verify.tflite_runner import TFLiteRunner

SIZE = (32, 48)
RECIPE = Recipe(steps=4, batch=2, learning_rate=1e-3, label_smoothing=0.1, seed=3)
PACKAGES = ("tf_keras", "tensorflow_model_optimization")

needs_extra = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in PACKAGES),
    reason='the extra is not installed: pip install "mobile-seg[tfmot]"',
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy"), train=6, val=3, size=SIZE)


@pytest.fixture(scope="module")
def float_model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = load_dataset(data)
    network = tiny.stand_in("small", input_size=SIZE, classes=len(dataset.classes), width=16)
    nets.randomize(network)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name="small")
    return save_model(network, tmp_path_factory.mktemp("model") / "model_float.keras", manifest)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Files are not timed: the second takes 4 ms, others 3 and 2 with 1 and 2 threads. What was handed over."""
    seen: list[bytes] = []

    def profile(artifact: Path, *, images: list[Any]) -> HostProfile:
        assert 0 < len(images) <= 4
        assert open_artifact(artifact).manifest.model == "small"
        seen.append(artifact.read_bytes())
        times = (4.0, 4.0) if len(seen) > 1 and seen[-1] == seen[1] else (3.0, 2.0)
        still = StageTimes((9.0,))
        rows = [ThreadProfile(n, still, StageTimes((ms,)), still, 1.0, 1.0, 1, 1) for n, ms in enumerate(times, 1)]
        return HostProfile(str(artifact), "", "a CPU", 2, 5, 30, len(images), (), tuple(rows))

    monkeypatch.setattr(api, "profile", profile)
    return seen


def kernels(path: Path) -> dict[str, np.ndarray]:
    """Every int8 kernel of the file, output channels first."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    found = {}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.int8 and len(detail["quantization_parameters"]["scales"]) > 1:
            found[detail["name"]] = interpreter.get_tensor(detail["index"])
    return found


@needs_extra
@pytest.mark.parametrize(
    ("form", "asked"),
    [
        pytest.param("qat", {"recipe": RECIPE}, marks=pytest.mark.slow),
        ("ptq", {"recipe": None}),
        ("pruned", {"recipe": RECIPE, "sparsity": 0.5}),
        ("clustered", {"recipe": RECIPE, "clusters": 4}),
    ],
)
def test_a_whole_artifact_and_what_was_measured_on_it(
    data: Path, float_model: Path, tmp_path: Path, timed: list[bytes], form: str, asked: dict[str, Any]
) -> None:
    record = quantize_with_tfmot(float_model, data=data, folder=tmp_path, **asked)
    stem = f"small_tfmot_{form}"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{stem}{end}" for end in (".json", ".measured.json", ".tflite")
    ]
    assert record.path == tmp_path / f"{stem}.tflite"
    assert json.loads((tmp_path / f"{stem}.measured.json").read_text()) == record.to_dict()

    manifest = require_manifest(record.path)
    assert (tmp_path / f"{stem}.json").read_text() == manifest.to_json()
    assert (manifest.model, manifest.precision, manifest.input.normalized_outside) == ("small", "int8", True)
    signature = Interpreter(model_path=str(record.path)).get_signature_list()
    assert signature == {"segment": {"inputs": ["image"], "outputs": ["segmentation"]}}
    assert zipfile.ZipFile(record.path).read("labels.txt").decode().split() == list(manifest.classes)

    content = record.path.read_bytes()
    assert timed[0] == content
    file = record.file
    assert (file.size_bytes, file.compressed_bytes) == (len(content), len(zlib.compress(content, 9)))
    assert file.latency_ms == {"1": 3.0, "2": 2.0}
    assert file.miou == pytest.approx(mobile_seg.evaluate(record.path, data=data).miou)
    assert 0.9 < record.agreement.argmax <= 1.0
    assert record.agreement.candidate_classes is not None
    assert record.agreement.candidate_classes > 1
    found = kernels(record.path)
    assert file.weights == sum(kernel.size for kernel in found.values())
    assert file.zeros == sum(int(np.sum(kernel == 0)) for kernel in found.values())
    if form in ("qat", "ptq"):
        assert (record.dense, record.latency_ratio, len(timed)) == (None, None, 1)
        return
    dense = record.dense
    assert dense is not None
    assert timed == [content, timed[1], timed[1], content], "in turns"
    assert timed[1] != content
    assert dense.size_bytes == len(timed[1])
    assert dense.weights == file.weights
    assert file.compressed_bytes < dense.compressed_bytes
    assert record.latency_ratio == {"1": 0.75, "2": 0.5}
    if form == "pruned":
        assert file.sparsity == pytest.approx(0.5, abs=0.05)
        assert dense.sparsity < 0.1
    else:
        assert max(len(np.unique(channel)) for kernel in found.values() for channel in kernel) <= 4


@needs_extra
@pytest.mark.slow
def test_times_are_those_of_this_machine(data: Path, float_model: Path, tmp_path: Path) -> None:
    record = quantize_with_tfmot(float_model, data=data, folder=tmp_path, recipe=RECIPE, sparsity=0.75)
    assert record.dense is not None
    for file in (record.file, record.dense):
        assert list(file.latency_ms) == ["1", "2"]
        assert all(0.0 < ms < 1000.0 for ms in file.latency_ms.values())
    assert record.host["versions"]["tfmot"]
    assert record.host["runs"] == 60


@needs_extra
def test_images_batches_and_loss_are_those_of_our_engine(
    data: Path, float_model: Path, tmp_path: Path, timed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(data)
    given: dict[str, Any] = {}

    def watched(network: Any, **how: Any) -> Any:
        training = how["training"]
        given.update(how, batches=[next(training.batches) for _ in range(2)])
        with TrainStream(dataset, size=SIZE, batch=RECIPE.batch, seed=RECIPE.seed) as again:
            return run_tfmot(network, **how | {"training": dataclasses.replace(training, batches=again)})

    monkeypatch.setattr(tfmot_engine, "run_tfmot", watched)
    told: list[str] = []
    quantize_with_tfmot(
        float_model, data=data, folder=tmp_path, recipe=RECIPE, progress=lambda done, total, text: told.append(text)
    )
    assert given["training"].schedule == RECIPE
    assert given["training"].loss.label_smoothing == RECIPE.label_smoothing
    np.testing.assert_array_equal(given["images"], list(calibration_batches(dataset, size=SIZE)))
    with TrainStream(dataset, size=SIZE, batch=RECIPE.batch, seed=RECIPE.seed) as stream:
        for found in given["batches"]:
            for one, other in zip(found, next(stream), strict=True):
                np.testing.assert_array_equal(one, other)
    assert [text.split()[0] for text in told] == ["tfmot", *["verifying"] * 3, *["evaluating"] * 3]


@needs_extra
def test_the_twin_runs_as_the_network_does(data: Path, float_model: Path) -> None:
    image = read_image(load_dataset(data).val[0].image)
    network = load_keras(float_model)
    source = rebuilt(network, [image[None].astype(np.float32)])
    twin = TwinRunner(source.twin, source=source, manifest=require_manifest(float_model))
    expected = open_artifact(float_model).run(image)
    assert np.ptp(expected) > 1.0
    np.testing.assert_allclose(twin.run(image), expected, atol=1e-4)


@needs_extra
def test_a_file_that_answers_with_one_class_is_refused(
    data: Path, float_model: Path, tmp_path: Path, timed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TFLiteRunner, "dequantize", lambda self, raw: np.zeros_like(raw))
    with pytest.raises(ParityError, match=r"small_tfmot_ptq\.tflite: every pixel .* TF-MOT's own graph predicts"):
        quantize_with_tfmot(float_model, data=data, folder=tmp_path, recipe=None)
    assert not list(tmp_path.iterdir())


@needs_extra
def test_nothing_is_written_without_its_times(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(artifact: Path, *, images: list[Any]) -> HostProfile:
        raise ProfileError("killed")

    monkeypatch.setattr(api, "profile", profile)
    with pytest.raises(ProfileError, match="killed"):
        quantize_with_tfmot(float_model, data=data, folder=tmp_path, recipe=None)
    assert not list(tmp_path.iterdir())


@needs_extra
def test_a_quantized_model_is_refused(data: Path, float_model: Path, tmp_path: Path) -> None:
    model = mobile_seg.quantize(float_model, data=data, folder=tmp_path, recipe=None)
    with pytest.raises(UsageError, match="is quantized already; start from the float model"):
        quantize_with_tfmot(model, data=data, folder=tmp_path, recipe=None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sparsity": 0.5, "clusters": 4}, "sparsity and clusters exclude each other"),
        ({"sparsity": 0.5, "recipe": None}, "they need a recipe"),
        ({"clusters": 4, "recipe": None}, "they need a recipe"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        quantize_with_tfmot("no.keras", data="no.yaml", folder=tmp_path, **asked)


@pytest.mark.parametrize("package", PACKAGES)
def test_without_the_extra_it_names_the_install_line_before_it_reads_anything(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    with pytest.raises(MissingExtraError, match=rf'needs {package}; .*pip install "mobile-seg\[tfmot\]"$'):
        quantize_with_tfmot("no.keras", data="no.yaml", folder=tmp_path)
