"""Mobile SpineNet-Seg as every kind of artifact: each precision and output follows its Keras model."""

import itertools
from collections.abc import Callable

import keras
import pytest
from unit.quantization import nets

from mobile_seg.converters.converted import Converted
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.models.registry import build
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.tflite_runner import TFLiteRunner

SIZE, CLASSES = (64, 64), 5
FAST = "mobile_spinenet_s49_minus"

# The larger network differs in widths only: it runs with the slow tests.
NETWORKS = [FAST, pytest.param("mobile_spinenet_s49", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    """The name of a network."""
    return request.param


@pytest.fixture(scope="module")
def float_model(network: str) -> keras.Model:
    """The network as training could have left it."""
    keras.utils.set_random_seed(0)
    return nets.as_if_trained(build(network, input_size=SIZE, classes=CLASSES, aspp_rates=(1, 2, 3)))


@pytest.fixture(scope="module")
def quantized_model(float_model: keras.Model) -> keras.Model:
    """The network quantized after training: ranges from images, biases on their grid."""
    model = nets.calibrated(float_model)
    settle(model)
    return model


@pytest.fixture(scope="module")
def export(float_model: keras.Model, quantized_model: keras.Model) -> Callable[[str, str], Converted]:
    """Convert to one precision and output; each conversion is done once."""
    made: dict[tuple[str, str], Converted] = {}

    def run(precision: str, output: str) -> Converted:
        if (precision, output) not in made:
            if precision == "int8":
                made[precision, output] = nets.to_int8(quantized_model, output=output)
            else:
                options = ExportOptions(precision=precision, output=output)
                model = nets.in_form(float_model, output)
                manifest = nets.manifest_of(model)
                made[precision, output] = convert(model, options=options, manifest=manifest, integer_graph=False)
        return made[precision, output]

    return run


def _check_int8(made: Converted, quantized_model: keras.Model) -> None:
    facts = inspect_tflite(made.content)
    ops = dict(facts.ops)
    assert facts.float_ops == 0
    assert facts.quantize_ops == 1, "only the uint8 input is moved to int8"
    # Upsampling from stride 16 to 4 at b17 (twice) and to 8 at b20 are nearest resizes, which XNNPACK takes
    # none of: they part the graph in three.
    assert ops["RESIZE_NEAREST_NEIGHBOR"] == 3
    assert facts.partitions == 3
    assert {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "TILE", "DEQUANTIZE"}.isdisjoint(ops)
    assert not any(name.startswith("Flex") for name in ops)
    assert (made.manifest.input.dtype, made.manifest.input.mean) == ("uint8", 128.0)


def test_the_int8_artifact_follows_its_quantized_graph(
    export: Callable[[str, str], Converted], quantized_model: keras.Model
) -> None:
    made = export("int8", "logits")
    _check_int8(made, quantized_model)
    assert [conversion.reason for conversion in made.conversions] == ["the image's bytes are unsigned"]
    reference = KerasRunner(quantized_model, manifest=nets.manifest_of(quantized_model))
    found = compare(reference, TFLiteRunner(made.content, manifest=made.manifest), nets.images(4, SIZE))
    # Without training, a single step that fell otherwise would have grown to a third of all values.
    assert found.argmax == 1.0
    assert found.max_steps is not None
    assert found.max_steps < 1e-3, "equal up to the noise of dequantizing"


SLOW_FORMS = list(itertools.product(("float32", "float16", "int8"), ("logits", "labels")))
SLOW_FORMS.remove(("int8", "logits"))


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "output"), SLOW_FORMS)
def test_every_artifact_follows_its_model(
    export: Callable[[str, str], Converted],
    float_model: keras.Model,
    quantized_model: keras.Model,
    precision: str,
    output: str,
) -> None:
    made = export(precision, output)
    model = nets.in_form(quantized_model if precision == "int8" else float_model, output)
    reference = KerasRunner(model, manifest=nets.manifest_of(model))
    found = compare(reference, TFLiteRunner(made.content, manifest=made.manifest), nets.images(4, SIZE))
    assert made.manifest.output.dtype == ("int32" if output == "labels" else "float32")
    # Without training every pixel's classes lie close together.
    assert found.argmax >= {"float32": 0.995, "float16": 0.95, "int8": 1.0}[precision]
    if precision == "int8":
        _check_int8(made, model)
        assert dict(inspect_tflite(made.content).ops)["ARG_MAX"] == 1
    elif output == "logits":
        assert found.psnr_db is not None
        # float32 sums in another order; float16 rounds weights to 11 bits, 66 dB for one rounding of full scale, and
        # some twenty untrained blocks pass each rounding on.
        assert found.psnr_db >= {"float32": 100.0, "float16": 40.0}[precision]
