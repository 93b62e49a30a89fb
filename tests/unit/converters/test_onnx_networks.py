"""Whole networks as ONNX: ours, and those of keras.applications, which were not written with it in mind."""

from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from unit.converters.onnx_runs import local_steps, operators, run
from unit.quantization import nets

from mobile_seg.converters.converted import Converted
from mobile_seg.converters.onnx.writer import convert_onnx, onnx_model
from mobile_seg.converters.options import ExportOptions
from mobile_seg.graph import view
from mobile_seg.layers import WeightedSum
from mobile_seg.models.registry import build
from mobile_seg.quantization import quantize
from mobile_seg.quantization.arithmetic import QuantAdd
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.lower import lower
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.onnx_runner import OnnxRunner

SIZE, CLASSES = (64, 96), 5
SQUARE = (64, 64)
SHOWN = nets.images(4, SQUARE)


@pytest.fixture(scope="module")
def spinenet() -> keras.Model:
    """Mobile SpineNet as training could have left it."""
    keras.utils.set_random_seed(0)
    options: dict[str, Any] = {"aspp_rates": (1, 2, 3), "bn_momentum": 0.0}
    return nets.as_if_trained(build("mobile_spinenet_s49_minus", input_size=SIZE, classes=CLASSES, **options))


def _converted(model: keras.Model, graph: keras.Model, precision: str) -> Converted:
    options = ExportOptions(target="onnx", precision=precision)
    manifest = nets.manifest_of(model)
    return convert_onnx(graph, options=options, manifest=manifest, integer_graph=precision == "int8")


def test_mobile_spinenet_in_floats(spinenet: keras.Model) -> None:
    made = _converted(spinenet, lower(spinenet), "float32")
    reference = KerasRunner(spinenet, manifest=nets.manifest_of(spinenet))
    found = compare(reference, OnnxRunner(made.content, manifest=made.manifest), nets.images(4, SIZE))
    assert found.argmax == 1.0
    assert found.psnr_db is not None
    # float32's 24 bits, of which some hundred convolutions in a row take some eight: 6 dB each.
    assert found.psnr_db > 90


@pytest.mark.slow
def test_mobile_spinenet_in_integers(spinenet: keras.Model) -> None:
    quantized = nets.calibrated(spinenet)
    settle(quantized)
    made = _converted(quantized, deploy_graph(quantized), "int8")
    proto = onnx.load_from_string(made.content)
    counted = operators(proto)
    assert not {"Relu", "Clip", "Pad", "BatchNormalization"} & set(counted)
    assert made.conversions == ()
    graph = view(quantized)
    sums = {name for name in graph.order if isinstance(graph.layers[name], (QuantAdd, WeightedSum))}
    for image in nets.images(1, SIZE):
        for name, step in local_steps(quantized, proto, image).items():
            # Only a sum may be a step off, for a tie in a million; see test_onnx_int8.
            assert step <= (1 if _computed(graph, name) in sums else 0), name
    shown = nets.images(4, SIZE)
    runner = OnnxRunner(made.content, manifest=made.manifest)
    found, wanted = np.stack([runner.run(image) for image in shown]), nets.logits(quantized, shown)
    # Without training a single step, at a tie of one sum, may grow to a third of all values: of one image in four.
    assert np.mean(found.argmax(-1) == wanted.argmax(-1)) >= 0.9


def _computed(graph: Any, name: str) -> str:
    """The layer whose values a quantizer rounds, clamps apart."""
    source = graph.only_input(name)
    while isinstance(graph.layers[source], (layers.ReLU, layers.Activation)):
        source = graph.only_input(source)
    return str(source)


LARGER = ("MobileNetV3Small", "EfficientNetB0", "ResNet50")
NETWORKS = ["MobileNetV2", *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)]


def _application(name: str) -> keras.Model:
    """Random weights, normalized by the statistics of their own activations, as training leaves them."""
    keras.utils.set_random_seed(0)
    kind = getattr(keras.applications, name)
    model = kind(weights=None, input_shape=(*SQUARE, 3), classes=10, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(SHOWN.astype(np.float32), training=True)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_keras_in_floats(name: str) -> None:
    model = _application(name)
    made = onnx_model(lower(model), io="uint8")
    assert not {"BatchNormalization", "Pad"} & set(operators(made))
    wanted = np.asarray(model(SHOWN.astype(np.float32), training=False))
    found = np.concatenate([run(made, [image[None]])[0] for image in SHOWN])
    # Folding a normalization moves weights by 2^-24, and without training some fifty layers in a row pass on more of
    # that than they take away: 2^13 of it at most. A wrong pad or order moves numbers by their own size.
    assert np.abs(found - wanted).max() <= 2**-11 * np.abs(wanted).max()


@pytest.mark.slow
def test_a_network_of_keras_in_integers() -> None:
    quantized = quantize(_application("MobileNetV2"), [SHOWN.astype(np.float32)])
    made = onnx_model(deploy_graph(quantized), integer_graph=True, io="uint8")
    graph = view(quantized)
    for image in SHOWN[:1]:
        for name, step in local_steps(quantized, made, image).items():
            rounded = isinstance(graph.layers[_computed(graph, name)], (layers.GlobalAveragePooling2D, QuantAdd))
            assert step <= (1 if rounded else 0), name
