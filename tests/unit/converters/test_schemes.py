"""A file of every scheme, and of mixed precision: what it holds, and that it follows its quantized graph."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization import nets

from mobile_seg.converters.converted import Converted
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.errors import UsageError
from mobile_seg.manifest import OUTPUT_KINDS
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import quantize
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.scheme import SCHEMES, find
from mobile_seg.verify import gate
from mobile_seg.verify.compare import Agreement, compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.tflite_runner import TFLiteRunner

SHOWN = nets.images(6, (16, 24))


def _block(x: Any, name: str, **options: Any) -> Any:
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"{name}_conv", **options)(x)
    return layers.ReLU(6, name=f"{name}_act")(layers.BatchNormalization(name=f"{name}_bn")(x))


def _body(x: Any) -> Any:
    x = _block(x, "one", strides=2)
    y = layers.DepthwiseConv2D(3, padding="same", name="two")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.Concatenate(name="join")([_block(x, "left"), _block(x, "right")])
    return layers.Conv2D(4, 1, name="classify")(x)


def _made(scheme: str, *, keep: dict[str, str] | None = None, **form: str) -> tuple[keras.Model, Converted]:
    quantized = quantize(nets.net(_body, size=(16, 24)), [SHOWN.astype(np.float32)], scheme=scheme, keep=keep)
    options = ExportOptions(precision=find(scheme).precision, **form)
    quantized = nets.in_form(quantized, form.get("output", "logits"))
    manifest = nets.manifest_of(quantized)
    return quantized, convert(deploy_graph(quantized), options=options, manifest=manifest, integer_graph=True)


def _agreement(model: keras.Model, made: Converted) -> Agreement:
    reference = KerasRunner(model, manifest=nets.manifest_of(model))
    return compare(reference, TFLiteRunner(made.content, manifest=made.manifest), SHOWN)


@pytest.mark.parametrize("io", ["uint8", "float"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_passes_its_gate(scheme: str, io: str) -> None:
    model, made = _made(scheme, io=io)
    precision = find(scheme).precision
    gate.check(_agreement(model, made), precision=precision, artifact=scheme)
    integers = precision in ("int8", "int16x8")
    assert made.manifest.precision == precision
    assert made.manifest.input.dtype == ("uint8" if io == "uint8" else "float32")
    assert made.manifest.input.normalized_outside == (integers and io == "float")
    ends = {"int8": "int8", "int16x8": "int16"}
    assert made.manifest.output.dtype == (ends.get(precision, "float32") if io == "uint8" else "float32")
    assert (made.manifest.output.scale is not None) == (integers and io == "uint8")
    if integers and io == "uint8":
        assert inspect_tflite(made.content).float_ops == 0


def test_sixteen_bits_are_finer_than_eight() -> None:
    """The image's 8 bits are the same in both; only the activations' steps are 256 times smaller."""
    errors = {}
    for scheme in ("int8", "int16x8"):
        _, made = _made(scheme)
        runner = TFLiteRunner(made.content, manifest=made.manifest)
        exact = nets.logits(nets.net(_body, size=(16, 24)), SHOWN)
        errors[scheme] = np.abs(np.stack([runner.run(image) for image in SHOWN]) - exact).mean()
    assert errors["int16x8"] < 0.8 * errors["int8"]


def test_int8_weights_make_a_small_file_of_float_activations() -> None:
    _, small = _made("w8")
    float_model = nets.net(_body, size=(16, 24))
    options = ExportOptions(precision="float32")
    full = convert(float_model, options=options, manifest=nets.manifest_of(float_model), integer_graph=False)
    weights = sum(np.prod(variable.shape) for variable in float_model.weights if variable.name == "kernel")
    saved = len(full.content) - len(small.content)
    assert saved == pytest.approx(3 * weights, rel=0.3)


@pytest.mark.parametrize(
    "keep",
    [
        {"one_act": "int16x8"},
        {"one_act": "float"},
        {"sum": "int16x8"},
        {"left_act": "float"},
        {"join": "int16x8"},
        {"classify": "int16x8"},
        {"classify": "float"},
        {"one_act": "float", "sum": "int16x8", "right_act": "float", "classify": "float"},
    ],
    ids=lambda keep: "+".join(f"{name}={kind}" for name, kind in keep.items()),
)
def test_mixed_files_pass_the_gate_of_their_scheme(keep: dict[str, str]) -> None:
    model, made = _made("int8", keep=keep)
    found = _agreement(model, made)
    gate.check(found, precision="int8", artifact="mixed")
    ending = {"float": "float32", "int16x8": "int16", None: "int8"}[keep.get("classify")]
    assert made.manifest.output.dtype == ending
    assert (found.max_steps is None) == (ending == "float32")


@pytest.mark.parametrize("output", OUTPUT_KINDS)
def test_other_outputs_of_float_activations(output: str) -> None:
    model, made = _made("w8", output=output)
    gate.check(_agreement(model, made), precision="w8", artifact="w8")
    assert made.manifest.output.dtype == {"labels": "int32", "labels-nearest": "uint8"}.get(output, "float32")


def test_a_model_of_another_kind_is_refused() -> None:
    graph = deploy_graph(quantize(nets.net(_body, size=(16, 24)), [SHOWN.astype(np.float32)]))
    manifest = nets.manifest_of(graph)
    for precision, integer_graph in (("float32", True), ("int16x8", False), ("w8", False)):
        options = ExportOptions(precision=precision)
        with pytest.raises(UsageError, match=f"precision='{precision}' does not fit this model"):
            convert(graph, options=options, manifest=manifest, integer_graph=integer_graph)
