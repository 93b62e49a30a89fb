"""Mistakes that people make, planted in saved packages: the evaluator finds each, from the files alone."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.layers import Resize
from mobile_seg.verify.compare import Agreement, compare
from mobile_seg.verify.coreml.runner import open_coreml
from mobile_seg.verify.keras_runner import KerasRunner

SIZE = (24, 32)


def _body(x: Any) -> Any:
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="down")(x)
    return Resize(SIZE, name="up")(layers.Conv2D(4, 1, name="logits")(x))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A net whose stride pads only behind, with a resize at its end."""
    return nets.net(_body, size=SIZE)


@pytest.fixture(scope="module")
def intact(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package as it should be, of each precision that is harmed here."""
    folder = tmp_path_factory.mktemp("intact")
    quantized = nets.calibrated(model)
    return {
        "float32": packages.saved(packages.converted(model), folder / "float32"),
        "int8": packages.saved(packages.converted(quantized, "int8"), folder / "int8"),
    }


def _agreement(model: keras.Model, package: Path) -> Agreement:
    reference = KerasRunner(model, manifest=nets.manifest_of(model))
    return compare(reference, open_coreml(package), nets.images(4, SIZE))


def _operation(specification: Any, kind: str, number: int = 0) -> Any:
    return [one for one in packages.operations(specification) if one.type == kind][number]


def _swapped_colours(specification: Any) -> None:
    image = specification.description.input[0].type.imageType
    image.colorSpace = image.ColorSpace.Value("BGR") if hasattr(image, "ColorSpace") else 30


def _aligned_corners(specification: Any) -> None:
    resize = _operation(specification, "resize_bilinear")
    mode = packages.constant(specification, resize, "sampling_mode")
    mode.immediateValue.tensor.strings.values[0] = "STRICT_ALIGN_CORNERS"


def _shifted_padding(specification: Any) -> None:
    pad = packages.constant(specification, _operation(specification, "conv"), "pad").immediateValue.tensor.ints
    assert list(pad.values) == [0, 1, 0, 1]
    pad.values[:] = [1, 0, 1, 0]


def _no_normalization(specification: Any) -> None:
    scale = packages.constant(specification, _operation(specification, "mul"), "y").immediateValue.tensor
    scale.floats.values[0] = 1.0


def _dropped_bias(specification: Any) -> None:
    bias = packages.constant(specification, _operation(specification, "conv", -1), "bias").immediateValue.tensor
    bias.floats.values[:] = [0.0] * 4


def _wrong_zero_point(specification: Any) -> None:
    for kind in ("quantize", "dequantize"):
        operation = _operation(specification, kind)
        tensor = packages.constant(specification, operation, "zero_point").immediateValue.tensor
        assert tensor.bytes.values == bytes([128])
        if kind == "dequantize":
            tensor.bytes.values = bytes([0])


FAULTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "BGR for RGB": ("float32", _swapped_colours),
    "aligned corners": ("float32", _aligned_corners),
    "padding shifted by a pixel": ("float32", _shifted_padding),
    "normalization missing": ("float32", _no_normalization),
    "bias dropped": ("float32", _dropped_bias),
    "zero point wrong": ("int8", _wrong_zero_point),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, model: keras.Model, intact: dict[str, Path], tmp_path: Path) -> None:
    precision, plant = FAULTS[fault]
    package = tmp_path / "harmed.mlpackage"
    shutil.copytree(intact[precision], package)
    specification = packages.specification(package)
    plant(specification)
    packages.replace(package, specification)
    before, after = _agreement(model, intact[precision]), _agreement(model, package)
    assert before.psnr_db is not None
    assert after.psnr_db is not None
    # Sums in another order are off by 1e-6 of the range, 120 dB; 8 bits by 1/256/sqrt(12) = 1.1e-3, 59 dB, in each of
    # seven quantizers, whose errors the layers behind pass on.
    assert before.psnr_db > {"float32": 110.0, "int8": 35.0}[precision]
    assert before.argmax > {"float32": 0.9999, "int8": 0.95}[precision]
    assert after.psnr_db < before.psnr_db - 10.0
    assert after.argmax < before.argmax - 0.005
