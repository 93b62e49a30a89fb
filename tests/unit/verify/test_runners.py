"""The runners against NumPy, and every file they must refuse."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError
from mobile_seg.imaging import resize_image, resize_labels, resize_logits
from mobile_seg.manifest import OutputSpec
from mobile_seg.verify.runners import open_artifact
from mobile_seg.verify.tflite_runner import TFLiteRunner, load_interpreter, runtime


@pytest.mark.parametrize("how", [tiny.FLOAT32, tiny.FLOAT32_OUTSIDE], ids=["inside", "outside"])
def test_float32_gives_the_oracles_logits(tmp_path: Path, how: tiny.Conversion) -> None:
    runner = open_artifact(tiny.save(tmp_path, how), threads=1)
    assert (runner.kind, runner.quantization) == ("tflite", None)
    for image in tiny.images():
        logits = runner.run(image)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, tiny.oracle(image), atol=1e-4)


@pytest.mark.parametrize("how", [tiny.INT8, tiny.INT8_SIGNED, tiny.INT8_OUTSIDE], ids=["uint8", "int8", "outside"])
def test_int8_follows_the_oracle_within_its_steps(tmp_path: Path, how: tiny.Conversion) -> None:
    runner = open_artifact(tiny.save(tmp_path, how))
    for image in tiny.images():
        integers, scale, zero_point = runner.infer_quantized(runner.preprocess(image))
        assert integers.dtype == np.int8
        logits = runner.run(image)
        np.testing.assert_allclose(logits, (integers.astype(np.float64) - zero_point) * scale, rtol=1e-6)
        assert np.abs(logits - tiny.oracle(image)).max() < 6 * scale


def test_int8_inputs_are_the_same_bytes_in_every_form() -> None:
    every_byte = np.resize(np.arange(256, dtype=np.uint8), (tiny.HEIGHT, tiny.WIDTH, 3))
    tensors = {}
    for how in (tiny.INT8, tiny.INT8_SIGNED, tiny.INT8_OUTSIDE):
        runner = TFLiteRunner(tiny.flatbuffer(how), manifest=embedded(how))
        tensors[how] = runner.preprocess(every_byte)
        assert tensors[how].dtype == how.input
    assert np.array_equal(tensors[tiny.INT8][0], every_byte)
    assert np.array_equal(tensors[tiny.INT8_SIGNED].astype(int), every_byte[None].astype(int) - 128)
    # Quantized by the tensor's own scale, all 256 bytes stay apart and in order.
    assert np.abs(tensors[tiny.INT8_OUTSIDE].astype(int) - (every_byte[None].astype(int) - 128)).max() <= 1
    assert len(np.unique(tensors[tiny.INT8_OUTSIDE])) >= 255


def test_float_inputs_by_the_manifest(tmp_path: Path) -> None:
    image = tiny.images(1)[0]
    inside = open_artifact(tiny.save(tmp_path)).preprocess(image)
    outside = open_artifact(tiny.save(tmp_path, tiny.FLOAT32_OUTSIDE)).preprocess(image)
    assert inside.shape == outside.shape == (1, tiny.HEIGHT, tiny.WIDTH, 3)
    assert inside.dtype == outside.dtype == np.float32
    assert np.array_equal(inside[0], image)
    np.testing.assert_allclose(outside[0], (image - 127.5) / 127.5, atol=1e-6)


@pytest.mark.parametrize("size", [(tiny.HEIGHT, tiny.WIDTH), (37, 50), (9, 7)])
def test_segment_labels_at_the_images_own_size(tmp_path: Path, size: tuple[int, int]) -> None:
    image = tiny.images(1, size)[0]
    logits = tiny.oracle(resize_image(image, (tiny.HEIGHT, tiny.WIDTH)))
    expected = resize_logits(logits, size).argmax(-1)
    labels = open_artifact(tiny.save(tmp_path)).segment(image)
    assert (labels.dtype, labels.shape) == (np.uint8, size)
    assert np.mean(labels == expected) > 0.995  # a tie may fall to either side
    assert len(np.unique(labels)) > 1


def test_stages_make_up_segment_for_integers_too(tmp_path: Path) -> None:
    runner = open_artifact(tiny.save(tmp_path, tiny.INT8))
    image = tiny.images(1, (40, 33))[0]
    raw = runner.infer(runner.preprocess(image))
    assert raw.dtype == np.int8
    staged = runner.postprocess(raw, (40, 33))
    assert np.array_equal(staged, runner.segment(image))
    real = runner.postprocess(runner.dequantize(raw), (40, 33))
    assert np.mean(staged == real) > 0.995


def test_labels_output(tmp_path: Path) -> None:
    runner = open_artifact(tiny.save(tmp_path, tiny.LABELS))
    image = tiny.images(1)[0]
    raw = runner.run(image)
    assert (raw.dtype, raw.shape) == (np.int32, (tiny.HEIGHT, tiny.WIDTH))
    expected = resize_logits(tiny.oracle(image), (tiny.HEIGHT, tiny.WIDTH)).argmax(-1)
    assert np.mean(raw == expected) > 0.995
    assert np.array_equal(runner.postprocess(raw, (32, 48)), resize_labels(raw.astype(np.uint8), (32, 48)))
    with pytest.raises(UsageError, match="no quantized logits"):
        runner.infer_quantized(runner.preprocess(image))


def test_keras_gives_the_oracles_logits(tmp_path: Path) -> None:
    path = tiny.save_keras(tmp_path)
    runner = open_artifact(path)
    assert (runner.kind, runner.path) == ("keras", path)
    for image in tiny.images(2):
        np.testing.assert_allclose(runner.run(image), tiny.oracle(image), atol=1e-4)
    assert runner.segment(tiny.images(1, (40, 33))[0]).shape == (40, 33)


def test_results_do_not_alias_the_interpreter(tmp_path: Path) -> None:
    runner = open_artifact(tiny.save(tmp_path))
    one, two = tiny.images(2)
    first = runner.run(one)
    kept = first.copy()
    runner.run(two)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    "image",
    [np.zeros((16, 24), np.uint8), np.zeros((16, 24, 4), np.uint8), np.zeros((16, 24, 3), np.float32)],
    ids=["grey", "alpha", "float"],
)
def test_only_rgb_bytes_are_images(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="8-bit RGB"):
        open_artifact(tiny.save(tmp_path)).segment(image)


def test_run_takes_the_input_size_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"takes \[16, 24\]"):
        open_artifact(tiny.save(tmp_path)).run(np.zeros((24, 16, 3), np.uint8))


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(tiny.flatbuffer())
    with pytest.raises(ArtifactError, match="no manifest"):
        open_artifact(bare)
    foreign = tmp_path / "foreign.keras"
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)]).save(foreign)
    with pytest.raises(ArtifactError, match=r"no manifest.*train it with `mobile-seg train`, or save it by"):
        open_artifact(foreign)
    with pytest.raises(ArtifactError, match="does not exist"):
        open_artifact(tmp_path / "missing.tflite")
    with pytest.raises(UsageError, match=r"\.keras, \.tflite"):
        open_artifact(tmp_path / "model.pt")
    text = tmp_path / "text.tflite"
    text.write_bytes(tiny.carrying(b"no model at all", tiny.manifest()))
    with pytest.raises(ArtifactError, match="TFL3"):
        open_artifact(text)


@pytest.mark.parametrize(
    ("how", "wrong", "message"),
    [
        (tiny.FLOAT32, {"dtype": "uint8"}, "its input is float32"),
        (tiny.FLOAT32, {"output": OutputSpec("logits", 8, 6, dtype="float32")}, "its output is float32"),
        (tiny.INT8, {"dtype": "uint8", "output": OutputSpec("logits", 4, 6, "int8", 0.5, 3)}, "scale"),
        (tiny.INT8, {"dtype": "uint8", "output": OutputSpec("logits", 4, 6, "int8")}, "scale"),
    ],
    ids=["input", "output", "scale", "no scale"],
)
def test_a_manifest_of_another_model(how: tiny.Conversion, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        TFLiteRunner(tiny.flatbuffer(how), manifest=tiny.manifest(**wrong))


def test_threads(tmp_path: Path) -> None:
    path = tiny.save(tmp_path)
    image = tiny.images(1)[0]
    assert np.array_equal(open_artifact(path, threads=1).run(image), open_artifact(path, threads=2).run(image))
    with pytest.raises(UsageError, match="threads=0"):
        open_artifact(path, threads=0)
    with pytest.raises(UsageError, match=r"threads=2 .* \.tflite"):
        open_artifact(tiny.save_keras(tmp_path), threads=2)


def test_keras_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    whole = tiny.save_keras(tmp_path).read_bytes()
    cut = tmp_path / "cut.keras"
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArtifactError) as caught:
            open_artifact(cut)
        assert "\n" not in str(caught.value)


def test_keras_with_damaged_weights(tmp_path: Path) -> None:
    path = tiny.save_keras(tmp_path)
    whole = path.read_bytes()
    weights = tiny.POINTWISE.tobytes()
    assert whole.count(weights) == 1
    path.write_bytes(whole.replace(weights, weights[::-1]))
    with pytest.raises(ArtifactError, match=r"bad checksum of model\.weights\.h5|Bad CRC-32") as caught:
        open_artifact(path)
    assert "\n" not in str(caught.value)


def test_keras_code_inside_a_file_is_not_run(tmp_path: Path) -> None:
    import keras

    image = keras.Input((16, 24, 3))
    path = tmp_path / "lambda.keras"
    keras.Model(image, keras.layers.Lambda(lambda x: x[..., :4])(image)).save(path)
    path.write_bytes(tiny.carrying(path.read_bytes(), tiny.manifest()))
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        open_artifact(path)


CUTS = """
import sys
from mobile_seg.errors import ArtifactError
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.verify.runners import open_artifact

whole = open(sys.argv[1], "rb").read()
bare = int(sys.argv[2])
for length in range(0, len(whole), 3):
    for reader in (lambda content: open_artifact(sys.argv[3]), inspect_tflite):
        if reader is inspect_tflite and length >= bare:
            continue  # the graph is whole, only what is appended to it is cut
        with open(sys.argv[3], "wb") as file:
            file.write(whole[:length])
        try:
            reader(whole[:length])
        except ArtifactError as error:
            assert "\\n" not in str(error), error
        else:
            raise AssertionError(f"{length} bytes of {len(whole)} were accepted")
print("all refused")
"""


@pytest.mark.parametrize("how", [tiny.FLOAT32, tiny.INT8], ids=["float32", "int8"])
def test_tflite_cut_anywhere_never_crashes(tmp_path: Path, how: tiny.Conversion) -> None:
    whole = tiny.save(tmp_path, how)
    content = tiny.flatbuffer(how)
    command = [sys.executable, "-c", CUTS, str(whole), str(len(content)), str(tmp_path / "cut.tflite")]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout.strip()) == (0, "all refused"), child.stderr[-2000:]


def test_a_cut_graph_under_a_whole_manifest(tmp_path: Path) -> None:
    content = tiny.flatbuffer()
    path = tmp_path / "cut.tflite"
    path.write_bytes(tiny.carrying(content[: len(content) // 2], tiny.manifest()))
    with pytest.raises(ArtifactError, match="cannot be run"):
        open_artifact(path)


def test_the_runtime_falls_back_only_where_litert_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime() == "ai_edge_litert"
    installed = {"tflite_runtime"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert runtime() == "tflite_runtime"
    installed.clear()
    with pytest.raises(MissingExtraError, match="pip install ai-edge-litert"):
        load_interpreter(tiny.flatbuffer(), name="tiny")


def test_importing_the_runners_is_light() -> None:
    code = (
        "import sys, mobile_seg.verify.gate, mobile_seg.profiling.host, mobile_seg.profiling.static; "
        "import mobile_seg.evaluation.evaluate; "
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'ai_edge_litert')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def embedded(how: tiny.Conversion) -> Any:
    """Read back the manifest inside a variant."""
    import io

    from mobile_seg.artifact import read_manifest

    return read_manifest(io.BytesIO(tiny.artifact(how)))  # type: ignore[arg-type]
