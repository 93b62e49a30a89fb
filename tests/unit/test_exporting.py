"""Several artifacts from one model, each verified; and the same network at another size."""

import functools
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from unit.quantization import nets
from unit.training import tiny

import mobile_seg
from mobile_seg import export_artifact, exporting, rebuilding
from mobile_seg.data.description import load_dataset
from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.errors import ParityError, UsageError
from mobile_seg.keras_file import keras_manifest, save_model
from mobile_seg.verify import compare, gate
from mobile_seg.verify.ahead import Ahead
from mobile_seg.verify.coreml import runner
from mobile_seg.verify.coreml.runner import CoreMLRunner
from mobile_seg.verify.runners import open_artifact

SIZE = (32, 48)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy"), train=4, val=6, size=SIZE)


@pytest.fixture(scope="module")
def float_model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = load_dataset(data)
    network = tiny.stand_in("small", input_size=SIZE, classes=len(dataset.classes))
    nets.randomize(network)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name="small")
    return save_model(network, tmp_path_factory.mktemp("model") / "model_float.keras", manifest)


def test_every_combination_that_makes_sense_is_written(data: Path, float_model: Path, tmp_path: Path) -> None:
    exports = mobile_seg.export_all(
        float_model,
        data=data,
        folder=tmp_path,
        precision=("float32", "int8", "int16x8", "palette4"),
        output=("logits", "labels", "labels-nearest"),
        io=("uint8", "int8"),
    )
    expected = {
        *(f"small_{name}.tflite" for name in ("float32", "float32_labels", "float32_labels-nearest", "int16x8")),
        *(f"small_int8{output}{io}.tflite" for output in ("", "_labels", "_labels-nearest") for io in ("", "_int8-io")),
    }
    assert {file.path.name for file in exports.files} == expected
    assert {file.name for file in tmp_path.iterdir()} == {
        file for name in expected for file in (name, name.replace(".tflite", ".json"))
    }
    for reason in ("palette4: no other runtime", "no 16-bit argmax", "float32 takes the camera's bytes as they are"):
        assert any(reason in refused for refused in exports.refused)
    assert len(set(exports.refused)) == len(exports.refused)
    for file in exports.files:
        assert file.seconds["convert"] > 0.0
        assert file.seconds["verify"] > 0.0
        if file.manifest.precision == "int8":
            assert file.agreement.argmax == 1.0


def test_bare_operations_are_exported_like_layers(data: Path, tmp_path: Path) -> None:
    dataset = load_dataset(data)
    image = keras.Input((*SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(image / 128.0 - 1.0)
    x = x * keras.ops.relu6(x + 3.0) / 6.0
    network = keras.Model(image, keras.layers.Conv2D(len(dataset.classes), 1)(x), name="bare")
    nets.randomize(network)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name="bare")
    model = save_model(network, tmp_path / "model.keras", manifest)
    exports = mobile_seg.export_all(
        model, data=data, folder=tmp_path, to=("tflite", "coreml", "onnx"), precision=("float32", "int8")
    )
    assert len(exports.files) == 6
    assert all(file.agreement.argmax > 0.999 for file in exports.files if file.manifest.precision == "float32")


def test_nothing_but_refusals_is_misuse(data: Path, float_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="palette4: no other runtime"):
        mobile_seg.export(float_model, data=data, folder=tmp_path, precision="palette4")
    assert not tmp_path.joinpath("small_palette4.tflite").exists()


def test_the_reference_runs_once_for_all_that_share_it(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    usual = compare.compare_all

    def counted(reference: Any, candidates: Any, images: Any, **rest: Any) -> Any:
        shown = list(images)
        calls.append((reference.manifest.output.kind, len(shown)))
        return usual(reference, candidates, shown, **rest)

    monkeypatch.setattr(compare, "compare_all", counted)
    precisions = ("float32", "float16", "int8")
    mobile_seg.export_all(float_model, data=data, folder=tmp_path, precision=precisions, images=2)
    assert calls == [("logits", 2), ("logits", 2)], "one float model, one quantized"


@pytest.mark.parametrize("shown", [1, 2])
def test_artifacts_run_in_a_process_beside_agree_as_those_run_here(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: int
) -> None:
    precisions = ("float32", "int8")
    here = mobile_seg.export_all(float_model, data=data, folder=tmp_path / "a", precision=precisions, images=2)
    output = here.files[0].manifest.output
    monkeypatch.setattr(exporting, "AHEAD_PIXELS", 0)
    classes = len(here.files[0].manifest.classes)
    monkeypatch.setattr(exporting, "AHEAD_BYTES", shown * 2 * 4 * output.height * output.width * classes)
    taken: list[int] = []
    usual = Ahead.__init__

    def told(self: Ahead, images: Any, folder: Path) -> None:
        taken.append(len(images))
        usual(self, images, folder)

    monkeypatch.setattr(Ahead, "__init__", told)
    beside = mobile_seg.export_all(float_model, data=data, folder=tmp_path / "b", precision=precisions, images=2)
    assert taken == [shown]
    assert [file.agreement for file in beside.files] == [file.agreement for file in here.files]
    assert {file.name for file in (tmp_path / "a").iterdir()} == {file.name for file in (tmp_path / "b").iterdir()}


def test_on_macos_core_ml_itself_must_follow_too(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mirrored(CoreMLRunner):
        """Core ML, as far as there is one here: it mirrors its masks."""

        def infer(self, tensor: np.ndarray) -> np.ndarray:
            return super().infer(tensor)[:, ::-1]

    export = functools.partial(mobile_seg.export, float_model, data=data, to="coreml", precision="float32", images=2)
    usual = export(folder=tmp_path / "linux").agreement
    monkeypatch.setattr(export_artifact, "sys", types.SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(runner, "MacRunner", Mirrored)
    with pytest.raises(ParityError, match=r"small_float32\.mlpackage in Core ML itself: argmax agreement"):
        export(folder=tmp_path / "mac")
    forced = export(folder=tmp_path / "mac", force=True).agreement
    assert forced.argmax < usual.argmax
    monkeypatch.setattr(runner, "MacRunner", CoreMLRunner)
    assert export(folder=tmp_path / "mac").agreement == usual


def test_those_that_follow_are_written_where_one_does_not(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = gate.check

    def refuse_int8(agreement: Any, *, precision: str, artifact: str, **where: str) -> None:
        if precision == "int8":
            raise ParityError(f"{artifact} does not follow")
        usual(agreement, precision=precision, artifact=artifact, **where)

    monkeypatch.setattr(gate, "check", refuse_int8)
    said = r"small_int8\.tflite does not follow\. Diagnosis: not one of the known mistakes\."
    with pytest.raises(ParityError, match=said):
        mobile_seg.export_all(float_model, data=data, folder=tmp_path, precision=("float32", "int8"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small_float32.json", "small_float32.tflite"]


@pytest.mark.parametrize("scheme", [None, "int8"])
def test_a_network_is_exported_at_another_size(
    data: Path, float_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str | None
) -> None:
    monkeypatch.setattr(rebuilding, "build", tiny.stand_in)
    monkeypatch.setattr(rebuilding, "names", lambda: ("small",))
    model = float_model
    if scheme is not None:
        keep = {"classify_conv": "int16x8"}
        model = mobile_seg.quantize(model, data=data, folder=tmp_path, recipe=None, scheme=scheme, keep=keep)
    precision = scheme or "float32"
    small, large = (
        mobile_seg.export(model, data=data, folder=tmp_path / str(size), precision=precision, input_size=size)
        for size in (SIZE, (48, 64))
    )
    assert (large.manifest.input.height, large.manifest.input.width) == (48, 64)
    assert large.manifest.output.dtype == ("float32" if scheme is None else "int16")
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    padded = np.pad(image, ((0, 16), (0, 16), (0, 0)), "edge")
    parts = [open_artifact(file.path).run(one) for file, one in ((small, image), (large, padded))]
    # Away from the borders a convolution sees the same pixels at either size.
    stride = SIZE[0] // parts[0].shape[0]
    inner = tuple(slice(2, side // stride - 3) for side in SIZE)
    np.testing.assert_allclose(parts[0][inner], parts[1][inner], rtol=1e-4, atol=1e-3)


def test_only_networks_of_the_zoo_have_another_size(data: Path, float_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="small is no network of ours"):
        mobile_seg.export(float_model, data=data, folder=tmp_path, input_size=(48, 64))


@pytest.fixture(scope="module")
def with_levels(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose levels meet by nearest enlarging, which XNNPACK has no kernel for."""
    dataset = load_dataset(data)

    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", name="b0_conv")(x)
        y = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", name="b1_conv")(x)
        x = keras.layers.Add(name="b2_merge")([x, keras.layers.UpSampling2D(2, name="b2_up")(y)])
        return keras.layers.Conv2D(len(dataset.classes), 1, name="classify_conv")(x)

    network = nets.net(body, size=SIZE, name="levels")
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name="levels")
    return save_model(network, tmp_path_factory.mktemp("levels") / "model_float.keras", manifest)


def test_a_file_for_each_target(data: Path, with_levels: Path, tmp_path: Path) -> None:
    exports = mobile_seg.export_all(
        with_levels,
        data=data,
        folder=tmp_path,
        precision=("int8", "float32"),
        output=("logits", "labels"),
        target=(None, "xnnpack", "edgetpu"),
        images=2,
    )
    files = {file.path.name: file for file in exports.files}
    kept = ("int8", "int8_labels", "float32", "float32_labels")
    assert set(files) == {
        *(f"levels_{form}{target}.tflite" for form in kept for target in ("", "_xnnpack")),
        *(f"levels_{form}_edgetpu.tflite" for form in kept[:2]),
    }
    assert exports.refused == ("edgetpu computes in 8-bit integers, not float32: ask for precision=int8.",)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    for form in kept:
        plain, fitted = files[f"levels_{form}.tflite"], files[f"levels_{form}_xnnpack.tflite"]
        assert plain.fit is None
        assert fitted.fit is not None
        assert [(one.name, one.layers) for one in fitted.fit.mended] == [("nearest by copies", ("b2_up",))]
        assert (fitted.fit.before, fitted.fit.check.partitions) == (2, 1)
        assert fitted.agreement.argmax >= 0.995
        before, after = (open_artifact(file.path) for file in (plain, fitted))
        np.testing.assert_array_equal(before.run(image), after.run(image))
        assert after.manifest == before.manifest == fitted.manifest


def test_a_target_without_its_format_or_numbers_is_misuse(data: Path, with_levels: Path, tmp_path: Path) -> None:
    for form, said in (
        ({"to": "onnx", "target": "gpu"}, r"target=gpu runs \.tflite files; onnx is none"),
        ({"target": "ethos-u", "precision": "float32"}, "ethos-u computes in 8-bit integers, not float32"),
        ({"target": "tpu"}, "target='tpu' is not known; choose from xnnpack, gpu, nnapi, edgetpu, ethos-u"),
    ):
        with pytest.raises(UsageError, match=said):
            mobile_seg.export(with_levels, data=data, folder=tmp_path, **form)
    assert list(tmp_path.iterdir()) == []
