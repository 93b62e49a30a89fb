"""Networks of keras.applications, which were not written with this package in mind, exported to every format."""

from pathlib import Path

import keras
import pytest

import mobile_seg
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import load_dataset
from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.keras_file import keras_manifest, save_model
from mobile_seg.models.stand_in import as_if_trained

SIZE = (64, 96)

PSNR = {"float32": 80.0, "float16": 37.0, "int8": 25.0}
"""Least PSNR of the logits, in dB; unrelated ones are at 12. What half precision does: see
`unit/converters/test_coreml_network.py`. The integers of TFLite and ONNX are exact but for means and products, whose
ties one in a million values rounds otherwise. Core ML's are not: in half precision each layer is off by steps, which
random weights amplify until nothing is left, so that each layer's own steps are compared there instead."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy"), train=8, val=4, size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetV2B0", "ResNet50", "DenseNet121"])
def test_it_is_exported_and_follows_its_model(name: str, data: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    dataset = load_dataset(data)
    image = keras.Input((*SIZE, 3), name="image")
    normalized = keras.layers.Rescaling(1 / 128, -1.0)(image)
    options = {} if name in ("MobileNetV2", "ResNet50", "DenseNet121") else {"include_preprocessing": False}
    body = getattr(keras.applications, name)(weights=None, include_top=False, input_tensor=normalized, **options)
    network = keras.Model(image, keras.layers.Conv2D(len(dataset.classes), 1, name="head")(body.output))
    (batch,) = calibration_batches(dataset, size=SIZE, images=8, batch=8)
    as_if_trained(network, batch)
    manifest = keras_manifest(network, dataset.classes, dataset.palette, precision="float32", name=name.lower())
    model = save_model(network, tmp_path / "model.keras", manifest)
    exports = mobile_seg.export_all(
        model, data=data, folder=tmp_path, to=("tflite", "coreml", "onnx"), precision=PSNR, force=True
    )
    assert len(exports.files) == 8, "ONNX Runtime has no float16"
    for file in exports.files:
        precision, psnr = file.manifest.precision, file.agreement.psnr_db
        chaotic = precision == "int8" and file.path.suffix == ".mlpackage"
        assert chaotic or psnr is None or psnr > PSNR[precision], (file.path.name, psnr)
