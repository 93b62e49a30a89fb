"""Mobile SpineNet-Seg as Core ML packages."""

from pathlib import Path

import keras
import pytest
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.models.registry import build
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
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
@pytest.mark.parametrize("half", [False, True])
def test_the_networks_integers_are_those_of_its_graph(quantized_model: keras.Model, half: bool) -> None:
    graph = deploy_graph(quantized_model)
    steps = packages.local_steps(graph, nets.images(1, SIZE)[0], half=half)
    assert len(steps) == sum(hasattr(layer, "zero_point") for layer in graph.layers) > 100
    # Core ML takes ties to even, TensorFlow takes them up: a step. In half precision a number of up to 255 steps is off
    # by 2^-11 of itself in each of three roundings, 0.4 steps: never by two steps either.
    assert max(steps.values()) <= 1, steps
