"""Mobile SpineNet-Seg as Core ML packages."""

from pathlib import Path

import keras
import numpy as np
import pytest
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.converters.coreml.writer import convert_graph
from mobile_seg.models.registry import build
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
from mobile_seg.verify.coreml.program import Program
from mobile_seg.verify.keras_runner import KerasRunner

SIZE, CLASSES = (64, 96), 5


@pytest.fixture(scope="module")
def float_model() -> keras.Model:
    """The network as training could have left it."""
    keras.utils.set_random_seed(0)
    network = "mobile_spinenet_s49_minus"
    return nets.as_if_trained(build(network, input_size=SIZE, classes=CLASSES, aspp_rates=(1, 2, 3)))


@pytest.fixture(scope="module")
def quantized_model(float_model: keras.Model) -> keras.Model:
    """The network quantized after training."""
    model = nets.calibrated(float_model)
    settle(model)
    return model


# float32 sums in another order: 1e-6 of the range, a little more over 130 convolutions. float16: 2.8e-4 (rms) for each
# of 260 results and weights in a row, sqrt(260) times that, 4.5e-3 of the range: 47 dB; less 10 dB for what untrained
# blocks amplify.
@pytest.mark.slow
@pytest.mark.parametrize(("precision", "floor"), [("float32", 100.0), ("float16", 37.0)])
def test_the_network_follows_keras(float_model: keras.Model, precision: str, floor: float, tmp_path: Path) -> None:
    runner = packages.opened(float_model, tmp_path, precision)
    found = compare(KerasRunner(float_model, manifest=nets.manifest_of(float_model)), runner, nets.images(2, SIZE))
    assert found.psnr_db is not None
    assert found.psnr_db > floor
    # Nothing is left of the layout changes between TensorFlow and Core ML but the last one, which makes it ours.
    assert runner.program.kinds.count("transpose") == 1


@pytest.mark.slow
def test_the_networks_integers_are_those_of_its_graph(quantized_model: keras.Model) -> None:
    graph = deploy_graph(quantized_model)
    made = convert_graph(graph, precision="int8", half=False)
    program = Program(made.specification, {"@model_path/weights/weight.bin": made.weights})
    quantizers = [layer for layer in graph.layers if hasattr(layer, "zero_point")]
    assert program.kinds.count("quantize") == len(quantizers) > 100
    pixels = nets.images(2, SIZE)
    expected = nets.logits(graph, pixels)
    planes = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    found = np.concatenate([program.run({"image": one[None]})["segmentation"] for one in planes])
    psnr = 10 * np.log10(np.ptp(expected) ** 2 / np.square(found - expected).mean())
    # Computed in float32, only ties fall otherwise, and Core ML takes them to even where TensorFlow takes them up: sums
    # of two grids tie often. Each is one step; untrained blocks amplify it. A trained network has 48 dB here (CamVid),
    # an untrained one computed in half precision was measured at 23 dB; a wrong grid or weight leaves less than 10 dB.
    assert psnr > 20.0
    off = np.abs(found - expected) / quantizers[-1].step
    assert (off < 0.5).mean() > 0.5, "most logits are the very integers"
