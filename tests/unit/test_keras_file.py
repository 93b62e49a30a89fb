"""`.keras` files with a manifest inside."""

import zipfile
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from keras import layers
from unit.quantization.nets import calibrated, images, logits, manifest_of, net

from mobile_seg.artifact import read_manifest
from mobile_seg.keras_file import installed_versions, keras_manifest, save_model
from mobile_seg.verify.keras_runner import load_keras


def _model() -> keras.Model:
    return net(lambda x: layers.BatchNormalization()(layers.Conv2D(3, 3, strides=2)(x)))


def test_the_manifest_is_that_of_a_network_that_takes_bytes() -> None:
    manifest = keras_manifest(_model(), ("a", "b", "c"), ((0, 0, 0),) * 3, precision="float32", name="net")
    assert (manifest.input.height, manifest.input.width, manifest.input.dtype) == (12, 12, "float32")
    assert (manifest.input.mean, manifest.input.std, manifest.input.normalized_outside) == (128.0, 128.0, False)
    assert (manifest.output.kind, manifest.output.height, manifest.output.width) == ("logits", 5, 5)
    assert dict(manifest.versions)["keras"] == keras.__version__


def test_it_loads_in_safe_mode_to_the_bit_with_its_manifest(tmp_path: Path) -> None:
    for name, model in (("float", _model()), ("qat", calibrated(_model()))):
        path = save_model(model, tmp_path / f"{name}.keras", manifest_of(model))
        assert read_manifest(path) == manifest_of(model)
        np.testing.assert_array_equal(logits(load_keras(path), images()), logits(model, images()))


def test_the_optimizer_stays_behind(tmp_path: Path) -> None:
    model = _model()
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse", run_eagerly=True)
    model.train_on_batch(images().astype(np.float32), np.zeros((4, 5, 5, 3), np.float32))
    compiled, clean = tmp_path / "compiled.keras", save_model(model, tmp_path / "clean.keras", manifest_of(model))
    model.save(compiled)
    assert clean.stat().st_size < compiled.stat().st_size
    with zipfile.ZipFile(clean) as archive:
        assert b"SGD" not in archive.read("config.json")
    np.testing.assert_array_equal(logits(load_keras(clean), images()), logits(model, images()))


def test_versions_are_those_installed() -> None:
    found = installed_versions()
    assert found["numpy"] == version("numpy")
    assert found["tensorflow"] == version("tensorflow")
