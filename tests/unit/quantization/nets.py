"""Tiny graphs to quantize, and how far an int8 artifact may lie from the graph it was made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import Converted, convert
from mobile_seg.graph import view
from mobile_seg.keras_file import keras_manifest
from mobile_seg.manifest import Manifest
from mobile_seg.profiling.static import GraphFacts, inspect_tflite
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.linear_layers import QuantDepthwiseConv2D
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.tflite_runner import TFLiteRunner

SIZE = (12, 12)

Body = Callable[[Any], Any]
"""From the normalized image to the last tensor."""


def net(body: Body, *, size: tuple[int, int] = SIZE, name: str = "net") -> keras.Model:
    """A functional model: bytes as floats → Rescaling → `body`; its random weights are the same every time."""
    image = keras.Input((*size, 3), name="image")
    model = keras.Model(image, body(layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)), name=name)
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
            elif kind in ("gamma", "moving_variance"):
                variable.assign(rng.uniform(0.5, 1.5, shape))
            else:
                variable.assign(rng.normal(0.0, 0.3, shape))


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
    """Rewrite and set the ranges on `images`."""
    quantized = insert_quantizers(model, scheme=find(scheme), keep=keep)
    calibrate(quantized, [images(size=model.input_shape[1:3]).astype(np.float32)])
    return quantized


def to_int8(quantized: keras.Model, *, output: str = "logits", io: str = "uint8") -> Converted:
    """Convert a calibrated quantization-aware model."""
    options = ExportOptions(precision="int8", output=output, io=io)
    return convert(deploy_graph(quantized), options=options, manifest=manifest_of(quantized), integer_graph=True)


@dataclass(frozen=True)
class Comparison:
    """An int8 artifact against its quantization-aware graph; differences in steps of the artifact's output."""

    facts: GraphFacts
    steps: np.ndarray
    bound: float


def compare(
    model: keras.Model, *, settled: bool = True, scheme: str = "int8", keep: dict[str, str] | None = None
) -> Comparison:
    """The whole way: rewrite, calibrate, deploy, convert, run in LiteRT, against the quantization-aware graph."""
    quantized = calibrated(model, scheme=scheme, keep=keep)
    if settled:
        settle(quantized)
    converted = to_int8(quantized)
    reference = KerasRunner(quantized, manifest=manifest_of(quantized))
    candidate = TFLiteRunner(converted.content, manifest=converted.manifest)
    scale = converted.manifest.output.scale
    assert scale is not None
    shown = images(size=model.input_shape[1:3])
    steps = [np.abs(candidate.run(image) - reference.run(image)) / scale for image in shown]
    return Comparison(inspect_tflite(converted.content), np.stack(steps), error_bound(quantized) / scale)


def error_bound(quantized: keras.Model) -> float:
    """The most that an integer run of the graph may differ from the graph itself, in real units.

    Carried through the graph, layer by layer, from the image, whose bytes are exact on both sides:

    - A quantizer rounds both sides to one grid: |round(a) - round(b)| <= |a - b| + one step.
    - A convolution multiplies its input's error by at most the largest sum of |weights| over the filters.
      Its bias is rounded to the accumulator's grid: half of input step x weight step.
    - A sum adds errors; a concatenation has the worst of its branches; copies and clamps add nothing.
    - Interpolation and averages are rounded to the grid inside the kernel, in the graph only later or
      never: one step more.
    """
    graph = view(quantized)
    error: dict[str, float] = {}
    step: dict[str, float] = {}
    for name in graph.order:
        layer, sources = graph.layers[name], graph.inputs[name]
        error[name] = max((error[source] for source in sources), default=0.0)
        step[name] = max((step[source] for source in sources), default=0.0)
        if isinstance(layer, FakeQuant):
            low, high = layer.get_range()
            step[name] = (high - low) / 255
            # The image is on its grid already: nothing to round, nothing lost.
            error[name] += 0.0 if layer.fixed_range else step[name]
        elif isinstance(layer, QuantLinear):
            kernel, _ = layer.deploy_weights()
            axes = (0, 1) if isinstance(layer, QuantDepthwiseConv2D) else (0, 1, 2)
            weight_step = np.abs(kernel).max() / 127
            error[name] = error[name] * np.abs(kernel).sum(axes).max() + step[name] * weight_step / 2
        elif isinstance(layer, layers.Add):
            error[name] = sum(error[source] for source in sources)
        elif isinstance(layer, (layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.UpSampling2D)):
            error[name] += step[name]
    noise = 1e-3 * max(step[output] for output in graph.outputs)  # float32 against real arithmetic
    return max(error[output] for output in graph.outputs) + noise


def logits(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Run a Keras model on a batch of bytes, for inference."""
    return np.asarray(model(pixels.astype(np.float32), training=False))


def local_steps(quantized: keras.Model, converted: Converted, image: np.ndarray) -> dict[str, np.ndarray]:
    """Each operation of the artifact against its layer, both fed what the artifact computed before it.

    In a deep network a single step, rounded to the other side, grows from layer to layer: the outputs
    say little about where they part. Here errors cannot pile up. Returns the differences in steps, by
    the name of the quantizer behind the operation. Runs the plain kernels: inside a delegate no tensor
    can be read.
    """
    interpreter = Interpreter(
        model_content=converted.content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    computed: dict[str, np.ndarray] = {}
    for details in interpreter.get_tensor_details():
        scale, zero_point = details["quantization"]
        if scale and details["dtype"] is np.int8:
            layer = details["name"].split(";")[0].split("/")[1].removesuffix("_1")
            computed[layer] = (interpreter.get_tensor(details["index"]).astype(np.float32) - zero_point) * scale
    graph = view(quantized)
    values: dict[str, Any] = {graph.order[0]: image[None].astype(np.float32)}
    steps: dict[str, np.ndarray] = {}
    for name in graph.order[1:]:
        layer, sources = graph.layers[name], [values[source] for source in graph.inputs[name]]
        values[name] = layer(sources[0] if len(sources) == 1 else sources)
        if isinstance(layer, FakeQuant) and layer.fixed_range is None:
            low, high = layer.get_range()
            steps[name] = np.abs(np.asarray(values[name]) - computed[graph.only_input(name)]) / ((high - low) / 255)
            values[name] = computed[graph.only_input(name)]
    return steps
