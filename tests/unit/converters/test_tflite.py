"""The artifact: what it holds, what it says of itself, and that it is the same every time."""

import hashlib
import io
import itertools
import logging
import os
import subprocess
import sys
import zipfile
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from unit.quantization import nets

from mobile_seg.artifact import with_members
from mobile_seg.converters import limits
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.options import IO_TYPES, ExportOptions
from mobile_seg.converters.tflite import convert, convert_graph
from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.manifest import MEMBER, OUTPUT_KINDS, Manifest
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.tflite_runner import TFLiteRunner

CLASSES = 3


def _body(x: Any) -> Any:
    """Half the input's size, so that `logits` and `logits-full` differ."""
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(6, name="act")(layers.BatchNormalization(name="bn")(x))
    return layers.Conv2D(CLASSES, 1, name="logits")(x)


@pytest.fixture(scope="module")
def float_model() -> keras.Model:
    """Trained in float, as far as anyone can see."""
    return nets.net(_body, name="small")


@pytest.fixture(scope="module")
def quantized_model(float_model: keras.Model) -> keras.Model:
    """The same, quantization-aware and settled."""
    model = nets.calibrated(float_model)
    settle(model)
    return model


def _export(model: keras.Model, **options: str) -> Converted:
    if options.get("precision", "int8") == "int8":
        return nets.to_int8(model, **{key: value for key, value in options.items() if key != "precision"})
    model = nets.in_form(model, options.get("output", "logits"))
    return convert(model, options=ExportOptions(**options), manifest=nets.manifest_of(model), integer_graph=False)


PRECISIONS = ("float32", "float16", "int8")
"""The others are covered by test_schemes."""

FORMS = [
    (precision, output, io)
    for precision, output, io in itertools.product(PRECISIONS, OUTPUT_KINDS, IO_TYPES)
    if (io != "int8" or precision == "int8")
    and not (precision == "int8" and io == "float" and output.startswith("labels"))
]


@pytest.mark.parametrize(("precision", "output", "io"), FORMS)
def test_every_form_follows_the_model(
    float_model: keras.Model, quantized_model: keras.Model, precision: str, output: str, io: str
) -> None:
    model = quantized_model if precision == "int8" else float_model
    made = _export(model, precision=precision, output=output, io=io)
    manifest = made.manifest
    integers = precision == "int8"
    assert manifest.precision == precision
    assert manifest.input.dtype == ("float32" if io == "float" else io)
    assert manifest.input.normalized_outside == (integers and io == "float")
    assert manifest.output.kind == output
    assert (manifest.output.height, manifest.output.width) == ((6, 6) if output == "logits" else (12, 12))
    ids = {"labels": "int32", "labels-nearest": "uint8"}
    assert manifest.output.dtype == ids.get(output, "int8" if integers and io != "float" else "float32")
    assert (manifest.output.scale is not None) == (manifest.output.dtype == "int8")
    facts = inspect_tflite(made.content)
    if integers and io != "float":
        assert facts.float_ops == 0
    # TFLiteRunner refuses a file whose tensors are not what the manifest says.
    runner = TFLiteRunner(made.content, manifest=manifest)
    model = nets.in_form(model, output)
    found = compare(KerasRunner(model, manifest=nets.manifest_of(model)), runner, nets.images(8))
    # int8: the same to the bit; float: the last bits of a sum.
    assert found.argmax >= (1.0 if integers else 0.995)
    if not output.startswith("labels"):
        # float16: 11 significant bits in two layers of sums up to about ten.
        allowed = {"float32": 1e-4, "float16": 2e-2, "int8": 0.0}[precision]
        assert found.max_abs is not None
        assert found.max_abs <= allowed


def test_labels_are_the_argmax_of_full_size_logits(float_model: keras.Model) -> None:
    labels, full = (_export(float_model, precision="float32", output=kind) for kind in ("labels", "logits-full"))
    runners = [TFLiteRunner(made.content, manifest=made.manifest) for made in (labels, full)]
    for image in nets.images():
        np.testing.assert_array_equal(runners[0].run(image), runners[1].run(image).argmax(-1))


def test_the_manifest_and_the_labels_travel_inside(quantized_model: keras.Model) -> None:
    made = _export(quantized_model)
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["labels.txt", MEMBER]
        assert Manifest.from_json(archive.read(MEMBER).decode()) == made.manifest
        assert archive.read("labels.txt").decode() == "class0\nclass1\nclass2\n"


def test_the_signature_runs_by_name(quantized_model: keras.Model) -> None:
    made = _export(quantized_model)
    interpreter = Interpreter(model_content=made.content)
    assert interpreter.get_signature_list() == {"segment": {"inputs": ["image"], "outputs": ["segmentation"]}}
    image = nets.images(1)
    named = interpreter.get_signature_runner("segment")(image=image)
    np.testing.assert_array_equal(
        named["segmentation"][0], TFLiteRunner(made.content, manifest=made.manifest).infer(image)
    )


def test_weights_are_aligned_as_the_schema_demands(float_model: keras.Model) -> None:
    model = schema.Model.GetRootAs(_export(float_model, precision="float32").content, 0)
    offsets = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            offsets.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(offsets) >= 4
    assert [offset % 16 for offset in offsets] == [0] * len(offsets)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exporting_twice_gives_the_same_bytes(
    float_model: keras.Model, quantized_model: keras.Model, precision: str
) -> None:
    model = quantized_model if precision == "int8" else float_model
    assert _export(model, precision=precision).content == _export(model, precision=precision).content


_ANOTHER_PROCESS = """
import hashlib, pathlib, sys
from mobile_seg.verify.keras_runner import load_keras
from unit.converters import test_tflite as t
model = load_keras(sys.argv[1])
print(hashlib.sha256(t._export(model, precision=sys.argv[2]).content).hexdigest())
"""


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_exporting_from_the_saved_model_in_another_process_gives_the_same_bytes(
    float_model: keras.Model, quantized_model: keras.Model, precision: str, tmp_path: Any
) -> None:
    model = quantized_model if precision == "int8" else float_model
    model.save(tmp_path / "model.keras")
    command = [sys.executable, "-c", _ANOTHER_PROCESS, str(tmp_path / "model.keras"), precision]
    tests = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    # Another hash seed: no order of a set or dictionary may reach the file.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    made = _export(model, precision=precision).content
    assert ran.stdout.split()[-1] == hashlib.sha256(made).hexdigest()


def test_bytes_that_are_not_the_trained_input_are_refused() -> None:
    image = keras.Input((8, 8, 3), name="image")
    halfway = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(image)  # zero between two bytes
    model = nets.calibrated(keras.Model(image, layers.Conv2D(CLASSES, 1, name="logits")(halfway)))
    with pytest.raises(ArtifactError, match=r"the input tensor has scale .*export with io=float"):
        _export(model)


def test_a_float_model_is_not_taken_for_int8(float_model: keras.Model) -> None:
    with pytest.raises(UsageError, match=r"int8, int16x8 and w8 need a quantized one \(mobile_seg.quantize\)"):
        convert(float_model, options=ExportOptions(), manifest=nets.manifest_of(float_model), integer_graph=False)


def test_only_the_tensorflow_backend_exports(float_model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match=r"this process runs on jax; .* KERAS_BACKEND=tensorflow"):
        _export(float_model, precision="float32")


class _Inverse(layers.Layer):
    """Something that TFLite has no kernel for."""

    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.linalg.inv(x)


def test_an_operation_without_a_kernel_is_an_artifact_error() -> None:
    model = nets.net(lambda x: _Inverse(name="inverse")(layers.Conv2D(CLASSES, 1)(x)), size=(CLASSES, CLASSES))
    with pytest.raises(ArtifactError, match=r"TFLite conversion failed: .*rebuild the model without it"):
        _export(model, precision="float32")


def test_converting_says_nothing_on_the_log(float_model: keras.Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _export(float_model, precision="float32")
    assert caplog.messages == []


def test_members_are_added_to_an_archive_that_is_there() -> None:
    once = with_members(b"model bytes", {"a.txt": "one"})
    twice = with_members(once, {"b.txt": "two"})
    assert twice.startswith(b"model bytes")
    with zipfile.ZipFile(io.BytesIO(twice)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"one", "b.txt": b"two"}


def test_a_model_larger_than_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, float_model: keras.Model) -> None:
    monkeypatch.setattr(limits, "LARGEST", 100)
    with pytest.raises(UsageError, match=r"small has 0 million weights, .* a \.tflite file ends at 2 GB"):
        convert_graph(float_model, precision="float32", io="float")
