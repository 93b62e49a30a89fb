"""Another reader of the same files: OpenVINO, where it is installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras import layers
from unit.converters.onnx_runs import operators
from unit.quantization import nets

from mobile_seg.converters.onnx.writer import convert_onnx
from mobile_seg.converters.options import ExportOptions
from mobile_seg.layers import Resize, SpaceToDepth
from mobile_seg.manifest import OUTPUT_KINDS
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.lower import lower
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.onnx_runner import OnnxRunner

openvino = pytest.importorskip("openvino", reason="OpenVINO is no dependency; pip install openvino to check with it")

SIZE = (24, 32)
SHOWN = nets.images(3, SIZE)


def _body(x: Any) -> Any:
    """One of each kind of operator whose meaning readers are known to differ in."""
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6)(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)
    x = layers.Add()([x, y])
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    y = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Activation("hard_silu")(x))
    y = layers.UpSampling2D(2)(layers.Conv2D(4, 1)(y))
    z = layers.Conv2D(4, 1)(SpaceToDepth(2)(x))
    z = Resize((12, 16))(layers.AveragePooling2D(3, strides=1, padding="same")(z))
    return layers.Conv2D(4, 1)(layers.Concatenate()([x, y, z]))


def _computed(content: bytes, tensor: np.ndarray, *, integer_kernels: bool = False) -> np.ndarray:
    """What OpenVINO computes.

    Its integer kernels add two products in 16 bits, and clip, on processors without VNNI (docs.openvino.ai, "Saturation
    issue"). What a file means to OpenVINO is seen without them on any processor.
    """
    model = openvino.Core().read_model(content)
    options = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "ON" if integer_kernels else "OFF"}
    return np.asarray(openvino.compile_model(model, "CPU", options)([tensor])[0])


@pytest.fixture(scope="module")
def made() -> Callable[..., Any]:
    """Convert to one form."""
    model = nets.net(_body, size=SIZE)
    quantized = nets.calibrated(model)
    settle(quantized)

    def convert(precision: str, **form: str) -> Any:
        options = ExportOptions(target="onnx", precision=precision, **form)
        source = nets.in_form(quantized if precision == "int8" else model, options.output)
        graph = deploy_graph(source) if precision == "int8" else lower(source)
        manifest = nets.manifest_of(source)
        return convert_onnx(graph, options=options, manifest=manifest, integer_graph=precision == "int8")

    return convert


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_floats_are_the_same(made: Callable[..., Any], layout: str) -> None:
    file = made("float32", layout=layout)
    runner = OnnxRunner(file.content, manifest=file.manifest)
    for image in SHOWN:
        tensor = image[None].transpose(0, 3, 1, 2) if layout == "nchw" else image[None]
        found = _computed(file.content, np.ascontiguousarray(tensor))[0]
        found = found.transpose(1, 2, 0) if layout == "nchw" else found
        wanted = runner.run(image)
        # Two orders of summing, ten layers deep.
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_integers_are_the_same_but_for_ties(made: Callable[..., Any]) -> None:
    """Every rounding of the file is done; what lies at the middle between two integers may fall to either."""
    file = made("int8")
    assert operators_of(file)["QuantizeLinear"] > 10
    runner = OnnxRunner(file.content, manifest=file.manifest)
    for image in SHOWN:
        found, wanted = _computed(file.content, image[None])[0], runner.infer(image[None])
        assert found.dtype == wanted.dtype == np.uint8
        steps = np.abs(found.astype(int) - wanted)
        # A tie in the global mean moves the gate by a step, and with it what all pixels are multiplied by: that and
        # their own tie reach the end as a step each, wherever they are not rounded away, which is half of the time.
        assert steps.max() <= 2
        assert steps.mean() < 0.5


@pytest.mark.parametrize("output", OUTPUT_KINDS)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_every_output_is_read(made: Callable[..., Any], precision: str, output: str) -> None:
    file = made(precision, output=output)
    wanted = OnnxRunner(file.content, manifest=file.manifest).infer(SHOWN[:1])
    for integer_kernels in (False, True):
        found = _computed(file.content, SHOWN[:1], integer_kernels=integer_kernels)[0]
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        if output.startswith("labels") and not integer_kernels:
            # Integers: ids of pixels whose two best logits are a step apart, about one in the range's 256, may flip.
            assert np.mean(found == wanted) >= (0.999 if precision == "float32" else 0.98)


def operators_of(file: Any) -> Any:
    """How often each operator is in a file."""
    import onnx

    return operators(onnx.load_from_string(file.content))
