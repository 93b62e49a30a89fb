"""The package: what it holds, what it says of itself, and that it is the same every time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.converters.coreml.writer import TARGETS, convert_coreml, convert_graph, trace_with_output
from mobile_seg.converters.options import ExportOptions
from mobile_seg.coremltools_quietly import coremltools
from mobile_seg.errors import MissingExtraError, UnsupportedLayerError, UsageError
from mobile_seg.layers import Resize
from mobile_seg.manifest import MEMBER, OUTPUT_KINDS, Manifest
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.coreml.program import Program
from mobile_seg.verify.coreml.runner import open_coreml, read_coreml_manifest

SIZE, CLASSES = (11, 14), 3


def _body(x: Any) -> Any:
    """Half the input's size, a dilated and a shared branch; the middle convolution is large enough for a palette."""
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(6, name="act")(layers.BatchNormalization(name="bn")(x))
    y = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="atrous")(x)
    x = layers.Concatenate(name="join")([layers.Conv2D(16, 3, padding="same", name="wide")(x), y])
    return layers.Conv2D(CLASSES, 1, name="logits")(x)


@pytest.fixture(scope="module")
def float_model() -> keras.Model:
    """Trained in float, as far as anyone can see."""
    return nets.net(_body, size=SIZE, name="small")


@pytest.fixture(scope="module")
def quantized_model(float_model: keras.Model) -> keras.Model:
    """The same, quantization-aware and settled."""
    model = nets.calibrated(float_model)
    settle(model)
    return model


@pytest.fixture(scope="module")
def weights_model(float_model: keras.Model) -> keras.Model:
    """The same with integer weights only."""
    return nets.calibrated(float_model, scheme="w8")


def _psnr(reference: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(reference) ** 2 / np.square(reference - found).mean()))


def _kinds(package: Path) -> list[str]:
    return [one.type for one in packages.operations(packages.specification(package))]


# float32: sums in another order, 1e-6 of the range. float16: 2.8e-4 (rms) for each of 8 operations and 5 weights, of
# values as large as the range: 1e-3, 60 dB; less 10 dB for sums that cancel out.
@pytest.mark.parametrize(("precision", "floor"), [("float32", 110.0), ("float16", 50.0)])
@pytest.mark.parametrize("output", OUTPUT_KINDS)
def test_every_float_form_follows_the_model(
    float_model: keras.Model, precision: str, output: str, floor: float, tmp_path: Path
) -> None:
    runner = packages.opened(float_model, tmp_path, precision, output)
    spec = runner.manifest.output
    assert (spec.kind, spec.dtype) == (output, "int32" if output.startswith("labels") else "float32")
    assert (spec.height, spec.width) == ((6, 7) if output == "logits" else SIZE)
    assert runner.manifest.input.dtype == "image"
    pixels = nets.images(2, SIZE)
    found = packages.outputs(runner, pixels)
    expected = nets.logits(nets.in_form(float_model, output), pixels)
    if output.startswith("logits"):
        assert _psnr(expected, found) > floor
        return
    ids = expected.argmax(-1)
    if output == "labels-nearest":
        # Half-pixel centres: row y of 11 lies at (y + 0.5) * 6 / 11.
        rows, columns = (np.floor((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((11, 6), (14, 7)))
        ids = ids[:, rows][:, :, columns]
    # float16 flips pixels whose two best logits are closer than it is off, 3e-3 of the range: few of 308.
    assert (found == ids).mean() >= (1.0 if precision == "float32" else 0.98)


def test_integers_are_those_of_the_quantized_graph(quantized_model: keras.Model, tmp_path: Path) -> None:
    package = packages.saved(packages.converted(quantized_model, "int8"), tmp_path)
    specification = packages.specification(package)
    assert specification.specificationVersion == 8, "iOS 17"
    kinds = _kinds(package)
    deployed = deploy_graph(quantized_model)
    quantizers = [layer for layer in deployed.layers if hasattr(layer, "zero_point")]
    assert kinds.count("quantize") == kinds.count("dequantize") == len(quantizers) > 5
    assert kinds.count("constexpr_affine_dequantize") == kinds.count("conv") == 4
    steps = {}
    for one in packages.operations(specification):
        if one.type == "quantize":
            held = packages.constant(specification, one, "scale").immediateValue.tensor.bytes.values
            layer = packages.quantizer_in(one.outputs[0].name)
            zero = packages.constant(specification, one, "zero_point").immediateValue.tensor.bytes.values[0]
            steps[layer] = float(np.frombuffer(held, np.float16)[0]), zero
    for layer in quantizers:
        scale, zero_point = steps[layer.name]
        # The scale is kept in half precision: 11 bits.
        assert scale == pytest.approx(layer.step, rel=2.0**-11)
        assert zero_point == layer.zero_point
    runner = open_coreml(package)
    pixels = nets.images(4, SIZE)
    off = np.abs(packages.outputs(runner, pixels) - nets.logits(quantized_model, pixels)) / quantizers[-1].step
    # Half precision: what is rounded to the grid is off by up to 2^-11 of itself, of up to 255 steps, for the weights'
    # scale, for the input's and for the sum: about 0.1 steps (rms 0.05), so that one value in ten falls to the next
    # step, and in each of three layers in a row.
    assert off.max() < 4.0
    assert (off < 0.5).mean() > 0.7
    assert runner.manifest.output.scale is None, "the output is dequantized: floats"


def test_a_graph_may_end_in_any_quantized_operation(tmp_path: Path) -> None:
    """Behind a sum coremltools moves its last transpose past the output's quantizer, which gets another name."""

    def body(x: Any) -> Any:
        x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
        return layers.Subtract(name="difference")([x, layers.Conv2D(4, 1, name="last")(x)])

    model = nets.calibrated(nets.net(body))
    settle(model)
    for half in (False, True):
        steps = packages.local_steps(deploy_graph(model), nets.images(1)[0], half=half)
        assert set(steps) == {"normalize_quant", "stem_quant", "last_quant", "difference_quant"}
        assert max(steps.values()) <= 1, steps


def test_weights_lie_on_the_grid_they_were_trained_on(weights_model: keras.Model, tmp_path: Path) -> None:
    package = packages.saved(packages.converted(weights_model, "w8"), tmp_path)
    assert packages.specification(package).specificationVersion == 7, "iOS 16"
    assert "quantize" not in _kinds(package)
    specification = packages.specification(package)
    blobs = {"@model_path/weights/weight.bin": (package / packages.WEIGHTS).read_bytes()}
    program = Program(specification, blobs)
    deployed = deploy_graph(weights_model)
    convolutions = [one for one in packages.operations(specification) if one.type == "conv"]
    stored = [program.constant(one.inputs["weight"].arguments[0].name) for one in convolutions]
    for layer in (one for one in deployed.layers if getattr(one, "baked", False)):
        kernel = np.asarray(layer.quantized()[0])
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        expected = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        (held,) = [values for values in stored if values.shape == expected.shape]
        # The step is kept in half precision, 2^-11 of it, and so is the product, another.
        np.testing.assert_allclose(held, expected, rtol=2.0**-10, atol=1e-7)
    pixels = nets.images(2, SIZE)
    assert _psnr(nets.logits(weights_model, pixels), packages.outputs(open_coreml(package), pixels)) > 50.0


def test_palettes_hold_large_weights_as_indices(float_model: keras.Model, tmp_path: Path) -> None:
    pixels = nets.images(2, SIZE)
    expected = nets.logits(float_model, pixels)
    found = []
    for bits in (4, 6, 8):
        package = packages.saved(packages.converted(float_model, f"palette{bits}"), tmp_path / str(bits))
        assert _kinds(package).count("constexpr_lut_to_dense") == 1, "of the one convolution with over 2048 weights"
        size = (package / packages.WEIGHTS).stat().st_size
        found.append((_psnr(expected, packages.outputs(open_coreml(package), pixels)), size))
    # A table of 2^b values over six standard deviations: steps of 6/2^b, off by that over sqrt(12), 0.11 of a deviation
    # at 4 bits: 19 dB below the values, whose range is about 12 dB above their deviation. Two bits more: 12 dB.
    assert [psnr > floor for (psnr, _), floor in zip(found, (28.0, 38.0, 46.0), strict=True)] == [True] * 3
    assert found[0][0] < found[1][0] < found[2][0]
    assert found[0][1] < found[1][1] < found[2][1]


def test_what_xcode_shows(float_model: keras.Model, tmp_path: Path) -> None:
    made = packages.converted(float_model, "float16")
    package = packages.saved(made, tmp_path)
    specification = packages.specification(package)
    description = specification.description
    assert specification.specificationVersion == 6, "iOS 15"
    assert (description.input[0].name, description.output[0].name) == ("image", "segmentation")
    image = description.input[0].type.imageType
    assert (image.height, image.width, image.colorSpace) == (*SIZE, 20), "20: RGB"
    metadata = description.metadata
    assert "3 classes" in metadata.shortDescription
    assert metadata.author == "mobile-seg"
    own = dict(metadata.userDefined)
    assert own["com.apple.coreml.model.preview.type"] == "imageSegmenter"
    preview = json.loads(own["com.apple.coreml.model.preview.parameters"])
    assert preview == {"labels": ["class0", "class1", "class2"], "colors": ["#000000", "#010101", "#020202"]}
    assert own["minimum_deployment_target"] == "iOS15"
    assert Manifest.from_json(own[MEMBER]) == made.manifest == read_coreml_manifest(package)


def test_the_same_model_gives_the_same_bytes(quantized_model: keras.Model) -> None:
    assert packages.converted(quantized_model, "int8").content == packages.converted(quantized_model, "int8").content


def test_precisions_that_share_a_trace_are_what_each_is_alone(float_model: keras.Model) -> None:
    shared, manifest = trace_with_output(float_model, "labels-nearest"), nets.manifest_of(float_model)
    for precision in ("float32", "palette4", "float16"):
        options = ExportOptions(target="coreml", precision=precision, output="labels-nearest")
        made = convert_coreml(shared, options=options, manifest=manifest, integer_graph=False)
        assert made.content == packages.converted(float_model, precision, "labels-nearest").content


def test_normalization_is_folded_where_the_model_begins_with_it(tmp_path: Path) -> None:
    image = keras.Input((*SIZE, 3), name="camera")
    plain = keras.Model(image, layers.Conv2D(CLASSES, 3, padding="same")(image), name="plain")
    by_channel = layers.Rescaling([0.01, 0.02, 0.03], [1.0, 2.0, 3.0])(image)
    several = keras.Model(image, layers.Conv2D(CLASSES, 1)(by_channel), name="several")
    offset = layers.Rescaling(0.01, [0.5, -1.0, 2.0])(image)
    one_scale = keras.Model(image, layers.Conv2D(CLASSES, 1)(offset), name="one_scale")
    for model, folded in ((plain, ()), (several, ()), (one_scale, ("image__scaled__", "image__biased__"))):
        package = packages.saved(packages.converted(model), tmp_path / model.name)
        names = {one.outputs[0].name for one in packages.operations(packages.specification(package))}
        assert {name for name in names if name.endswith(("__scaled__", "__biased__"))} == {
            name.replace("image", "camera") for name in folded
        }
        pixels = nets.images(2, SIZE)
        expected = nets.logits(model, pixels)
        bound = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(packages.outputs(open_coreml(package), pixels), expected, rtol=1e-5, atol=bound)


def test_wider_integers_become_floats_and_are_named(float_model: keras.Model, tmp_path: Path) -> None:
    mixed = nets.calibrated(float_model, keep={"join": "int16x8"})
    made = packages.converted(mixed, "int8")
    assert made.conversions
    assert {one.reason for one in made.conversions} == {"Core ML has no 16-bit integers: these stay floats"}
    assert any("join" in one.tensor for one in made.conversions)
    pixels = nets.images(2, SIZE)
    found = packages.outputs(open_coreml(packages.saved(made, tmp_path)), pixels)
    # 8 bits: 1.1e-3 of a range (rms) in each of five quantizers in a row, 53 dB, less 10 dB for what layers pass on.
    assert _psnr(nets.logits(mixed, pixels), found) > 40.0


class _Inverse(keras.layers.Layer):
    """Core ML inverts no matrices."""

    def call(self, x: Any) -> Any:
        """The inverse of each matrix `[..., n, n]`."""
        return keras.ops.inv(x)


def test_an_operation_that_core_ml_lacks_is_named() -> None:
    model = nets.net(lambda x: _Inverse(name="inverse")(layers.Conv2D(CLASSES, 1)(x)), size=(CLASSES, CLASSES))
    with pytest.raises(UnsupportedLayerError, match=r"Core ML conversion failed: .*MatrixInverse.* rebuild the model"):
        packages.converted(model)


def test_a_model_of_another_kind_is_refused(float_model: keras.Model, quantized_model: keras.Model) -> None:
    manifest = nets.manifest_of(float_model)
    for precision, integer_graph in (("int8", False), ("w8", False), ("float32", True), ("palette4", True)):
        options = ExportOptions(target="coreml", precision=precision)
        with pytest.raises(UsageError, match=f"precision='{precision}' does not fit this model"):
            convert_coreml(float_model, options=options, manifest=manifest, integer_graph=integer_graph)
    with pytest.raises(UsageError, match="precision='int9' is not known"):
        convert_graph(float_model, precision="int9")
    with pytest.raises(UsageError, match="takes one image"):
        convert_graph(keras.Model(given := keras.Input((8, 8, 4)), layers.Conv2D(2, 1)(given)))


def test_every_precision_has_a_target() -> None:
    assert set(TARGETS) == {"float32", "float16", "int8", "w8", "palette8", "palette6", "palette4"}


def test_without_coremltools_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mobile-seg\[coreml\]"'):
        coremltools()


def test_importing_the_converter_loads_no_coremltools() -> None:
    modules = "mobile_seg.converters.coreml.writer, mobile_seg.verify.coreml.runner"
    code = f"import sys, {modules}; assert 'coremltools' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_converting_prints_nothing(float_model: keras.Model, capfd: pytest.CaptureFixture[str]) -> None:
    packages.converted(float_model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50"])
def test_networks_of_keras_convert(name: str) -> None:
    keras.utils.set_random_seed(0)
    # 64 x 64 pixels; the classifier gives one row of numbers, which is compared as it is.
    model = getattr(keras.applications, name)(input_shape=(64, 64, 3), weights=None, classes=10)
    pixels = nets.images(1, (64, 64))
    made = convert_graph(model, precision="float32")
    program = Program(made.specification, {"@model_path/weights/weight.bin": made.weights})
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    found = program.run({"image": planes})["segmentation"]
    # float32 sums in another order, 1e-6 of a value in each of up to 80 layers.
    np.testing.assert_allclose(found, nets.logits(model, pixels), rtol=1e-3, atol=1e-4)


def test_a_resize_is_written_by_its_size(tmp_path: Path) -> None:
    model = nets.net(lambda x: Resize((17, 23))(layers.Conv2D(CLASSES, 1)(x)), size=SIZE)
    specification = packages.specification(packages.saved(packages.converted(model), tmp_path))
    (resize,) = [one for one in packages.operations(specification) if one.type == "resize_bilinear"]
    mode = packages.constant(specification, resize, "sampling_mode").immediateValue.tensor.strings.values
    assert list(mode) == ["UNALIGN_CORNERS"], "half-pixel centres"
