"""Tiny graphs to quantize, and the way from a graph to its file and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from unit.quantization.bounds import error_bounds

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert, convert_graph
from mobile_seg.graph import view
from mobile_seg.keras_file import keras_manifest
from mobile_seg.manifest import AT_INPUT_SIZE, Manifest
from mobile_seg.models import stand_in
from mobile_seg.profiling.static import GraphFacts, inspect_tflite
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.full_size import at_input_size
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find
from mobile_seg.quantization.settle import quantizer_of, settle

SIZE = (12, 12)

Body = Callable[[Any], Any]
"""From the normalized image to the last tensor."""


def net(body: Body | list[Body], *, size: tuple[int, int] = SIZE, name: str = "net") -> keras.Model:
    """A functional model: bytes as floats → Rescaling → `body`; its random weights are the same every time.

    A list of bodies gives as many outputs.
    """
    image = keras.Input((*size, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    outputs = [one(x) for one in body] if isinstance(body, list) else body(x)
    model = keras.Model(image, outputs, name=name)
    randomize(model)
    return model


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Give every weight a value that training could have left: kernels by fan-in, normalization near one."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            shape, kind = tuple(variable.shape), variable.path.rsplit("/")[-1]
            if kind == "kernel":
                fan_in = np.prod(shape[:2]) if isinstance(layer, layers.DepthwiseConv2D) else np.prod(shape[:3])
                variable.assign(rng.normal(0.0, 1.5 / np.sqrt(fan_in), shape))
            elif kind in ("gamma", "moving_variance", "fusion"):
                variable.assign(rng.uniform(0.5, 1.5, shape))
            else:
                variable.assign(rng.normal(0.0, 0.3, shape))


def as_if_trained(model: keras.Model) -> keras.Model:
    """A network of ours as training on `images` could have left it."""
    return stand_in.as_if_trained(model, images(4, model.input_shape[1:3]))


def images(count: int = 4, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth gradients with noise, `[count, H, W, 3]` uint8."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 255, size[0])[:, None, None] * rng.uniform(0.2, 1, (count, 1, 1, 3))
    return np.clip(ramp + rng.normal(0, 40, (count, *size, 3)), 0, 255).astype(np.uint8)


def manifest_of(model: keras.Model) -> Manifest:
    """A manifest with as many classes as the model has channels."""
    classes = tuple(f"class{index}" for index in range(model.output_shape[-1]))
    palette = tuple((index, index, index) for index in range(len(classes)))
    return keras_manifest(model, classes, palette, precision="float32", name=model.name)


def calibrated(model: keras.Model, *, scheme: str = "int8", keep: dict[str, str] | None = None) -> keras.Model:
    """Rewrite and, where activations are integers, set the ranges on `images`."""
    quantized = insert_quantizers(model, scheme=find(scheme), keep=keep)
    if find(scheme).activation_bits is not None:
        calibrate(quantized, [images(size=model.input_shape[1:3]).astype(np.float32)])
    return quantized


def in_form(model: keras.Model, output: str) -> keras.Model:
    """The model that a file of this output is made from."""
    return at_input_size(model) if output in AT_INPUT_SIZE else model


def to_int8(quantized: keras.Model, *, output: str = "logits", io: str = "uint8") -> Converted:
    """Convert a calibrated quantization-aware model."""
    quantized = in_form(quantized, output)
    options = ExportOptions(precision="int8", output=output, io=io)
    return convert(deploy_graph(quantized), options=options, manifest=manifest_of(quantized), integer_graph=True)


@dataclass(frozen=True)
class Comparison:
    """A file against its quantization-aware graph, output by output.

    `steps` are the differences in steps of that output (in real units where it is float), `bounds` what
    `bounds.error_bounds` allows, in the same unit.
    """

    facts: GraphFacts
    conversions: tuple[Conversion, ...]
    steps: list[np.ndarray]
    bounds: list[float]
    float16: bool
    """Its weights are half precision, which a DEQUANTIZE of each makes floats."""

    def check(self) -> None:
        """Every output within its bound, every conversion accounted for, with a reason we know."""
        weights = dict(self.facts.ops).get("DEQUANTIZE", 0) if self.float16 else 0
        assert self.facts.quantize_ops - weights == len(self.conversions)
        assert {one.reason for one in self.conversions} <= {*REASONS}
        for index, (steps, bound) in enumerate(zip(self.steps, self.bounds, strict=True)):
            assert steps.max() <= bound, f"output {index}"


REASONS = (
    "the image's bytes are unsigned",
    "joined with tensors of another range",
    "read on another grid than its kernel writes",
    "read by 16 bits",
    "read by an operation that stays in float",
)
"""Why a file converts between grids, or to floats and back."""


def compare(
    model: keras.Model, *, settled: bool = True, scheme: str = "int8", keep: dict[str, str] | None = None
) -> Comparison:
    """The whole way: rewrite, calibrate, deploy, convert, run in LiteRT, against the quantization-aware graph."""
    quantized = calibrated(model, scheme=scheme, keep=keep)
    if settled:
        settle(quantized)
    return compare_quantized(quantized, scheme=scheme)


def compare_quantized(quantized: keras.Model, *, scheme: str = "int8") -> Comparison:
    """The second half of the way, from a calibrated model on."""
    made = convert_graph(deploy_graph(quantized), precision=find(scheme).precision, io="uint8")
    shown = images(size=quantized.input_shape[1:3])
    expected = quantized(shown.astype(np.float32), training=False)
    expected = [np.asarray(one) for one in (expected if isinstance(expected, list) else [expected])]
    bounds = error_bounds(quantized, shown, scheme=scheme)
    steps: list[np.ndarray] = []
    for index, (values, grid) in enumerate(run(made.content, shown)):
        scale, zero_point = grid
        if not scale:
            steps.append(np.abs(values - expected[index]))
            continue
        exact = expected[index].astype(np.float64) / scale + zero_point
        assert np.abs(exact - np.round(exact)).max() < 0.02, "the graph's output lies on the file's grid"
        steps.append(np.abs(values - np.round(exact)))
        bounds[index] /= scale
    return Comparison(inspect_tflite(made.content), made.conversions, steps, bounds, scheme == "float16")


def run(content: bytes, pixels: np.ndarray) -> list[tuple[np.ndarray, tuple[float, int]]]:
    """A file's outputs on images, each with scale and zero point (scale 0: floats)."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found: list[list[np.ndarray]] = [[] for _ in outputs]
    for image in pixels:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        for output, values in zip(outputs, found, strict=True):
            values.append(interpreter.get_tensor(output["index"])[0])
    grids = [output["quantization"] for output in outputs]
    return [(np.stack(values), grid) for values, grid in zip(found, grids, strict=True)]


def logits(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Run a Keras model on a batch of bytes, for inference."""
    return np.asarray(model(pixels.astype(np.float32), training=False))


def local_steps(quantized: keras.Model, integers: Mapping[str, np.ndarray], image: np.ndarray) -> dict[str, float]:
    """Each quantized tensor of an artifact against the layer that makes it, fed what the artifact computed before it.

    In a deep network a step that falls to the other side grows from layer to layer: the outputs say little about where
    two of them part. Here errors cannot pile up. `integers` are the artifact's unsigned bytes, channels first, by
    quantizer, those of the output by the output's layer. Returns the largest difference in steps, by the same names.
    """
    graph = view(quantized)
    values: dict[str, Any] = {graph.order[0]: image[None].astype(np.float32)}
    steps: dict[str, float] = {}
    for name in graph.order[1:]:
        layer, sources = graph.layers[name], [values[source] for source in graph.inputs[name]]
        values[name] = np.asarray(layer(sources[0] if len(sources) == 1 else sources))
        quantizer = quantizer_of(graph, name) if name in integers else None
        if quantizer is not None:
            found = integers[name]
            last = found.transpose(0, 2, 3, 1) if found.ndim == 4 else found
            here = last.reshape(values[name].shape).astype(np.float32) - quantizer.zero_point
            steps[name] = float(np.abs(np.round(values[name] / quantizer.step) - here).max())
            values[name] = here * np.float32(quantizer.step)
    return steps
