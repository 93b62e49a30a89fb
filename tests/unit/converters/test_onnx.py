"""The ONNX artifact: what it holds, what it says of itself, and that it is the same every time."""

import dataclasses
import itertools
import sys
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from unit.converters.onnx_runs import operators
from unit.quantization import nets

from mobile_seg.converters import limits
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.onnx.writer import convert_onnx, onnx_model
from mobile_seg.converters.options import ExportOptions
from mobile_seg.errors import ArtifactError, MissingExtraError, UnsupportedLayerError, UsageError
from mobile_seg.imaging import resize_labels
from mobile_seg.manifest import MEMBER, OUTPUT_KINDS, Manifest
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle
from mobile_seg.verify import gate
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.onnx_runner import OnnxRunner, read_onnx_manifest

CLASSES, SIZE = 3, (12, 20)


def _body(x: Any) -> Any:
    """Half the input's size, so that `logits` and `logits-full` differ."""
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(6, name="act")(layers.BatchNormalization(name="bn")(x))
    return layers.Conv2D(CLASSES, 1, name="logits")(x)


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    """One network, as each precision wants it."""
    quantized = nets.calibrated(model := nets.net(_body, size=SIZE, name="small"))
    settle(quantized)
    return {"float32": model, "int8": quantized, "w8": nets.calibrated(model, scheme="w8")}


def _export(model: keras.Model, precision: str, *, manifest: Manifest | None = None, **form: str) -> Converted:
    options = ExportOptions(target="onnx", precision=precision, **form)
    integers = precision != "float32"
    model = nets.in_form(model, options.output)
    described = manifest or nets.manifest_of(model)
    return convert_onnx(
        deploy_graph(model) if integers else model, options=options, manifest=described, integer_graph=integers
    )


FORMS = list(itertools.product(("float32", "int8", "w8"), OUTPUT_KINDS, ("uint8", "float"), ("nhwc", "nchw")))


@pytest.mark.parametrize(("precision", "output", "io", "layout"), FORMS)
def test_every_form_follows_the_model(
    models: dict[str, keras.Model], precision: str, output: str, io: str, layout: str
) -> None:
    model = models[precision]
    made = _export(model, precision, output=output, io=io, layout=layout)
    given, leaving = made.manifest.input, made.manifest.output
    integers = precision == "int8"
    assert made.manifest.precision == precision
    assert given.dtype == ("float32" if io == "float" else "uint8")
    assert given.normalized_outside == (integers and io == "float")
    assert (leaving.kind, given.layout) == (output, layout)
    assert leaving.layout == ("nhwc" if leaving.gives_labels else layout)
    assert (leaving.height, leaving.width) == ((6, 10) if output == "logits" else SIZE)
    ids = {"labels": "int32", "labels-nearest": "uint8"}
    assert leaving.dtype == ids.get(output, "uint8" if integers and io == "uint8" else "float32")
    assert (leaving.scale is not None) == (integers and io == "uint8" and not leaving.gives_labels)
    # OnnxRunner refuses a file whose tensors are not what the manifest says.
    runner = OnnxRunner(made.content, manifest=made.manifest)
    whole = nets.in_form(model, output)
    reference = KerasRunner(whole, manifest=nets.manifest_of(whole))
    agreement = compare(reference, runner, nets.images(6, SIZE))
    if precision == "int8" and output in ("logits-full", "labels"):
        # Weights of 1/4 and 3/4 make every sixteenth pixel a tie, which the graph rounds up and ONNX to even: half of
        # those are a step off, and may flip where two classes are as near.
        assert agreement.argmax >= 1 - 1 / 32
        assert agreement.max_steps is None or agreement.max_steps <= 1 + 1e-3
        return
    # w8 keeps floats between its layers, unlike TFLite's kernels: only the order of sums is left.
    gate.check(agreement, precision="float32" if precision == "w8" else precision, artifact="small")
    assert agreement.max_steps is None or agreement.max_steps < 1e-3, "equal up to the noise of dequantizing"


def test_labels_are_the_first_of_equals() -> None:
    """Golden: three classes of one value everywhere, then the last two."""
    image = keras.Input((2, 2, 3), name="image")
    model = keras.Model(image, layers.Conv2D(3, 1, name="logits")(image))
    for bias, winner in (([1.0, 1.0, 1.0], 0), ([0.0, 2.0, 2.0], 1)):
        model.get_layer("logits").set_weights([np.zeros((1, 1, 3, 3)), np.float32(bias)])
        for output in ("labels", "labels-nearest"):
            made = _export(model, "float32", output=output)
            found = OnnxRunner(made.content, manifest=made.manifest).run(nets.images(1, (2, 2))[0])
            assert np.all(found == winner)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_nearest_labels_are_the_small_ones_repeated(models: dict[str, keras.Model], precision: str) -> None:
    small, large = (_export(models[precision], precision, output=output) for output in ("logits", "labels-nearest"))
    for image in nets.images(3, SIZE):
        ids = OnnxRunner(small.content, manifest=small.manifest).run(image).argmax(-1)
        found = OnnxRunner(large.content, manifest=large.manifest).run(image)
        assert np.array_equal(found, resize_labels(ids.astype(np.uint8), SIZE))


def test_the_file_says_what_it_is(models: dict[str, keras.Model]) -> None:
    made = _export(models["int8"], "int8")
    model = onnx.load_from_string(made.content)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert (model.ir_version, model.producer_name) == (8, "mobile-seg")
    assert [entry.key for entry in model.metadata_props] == [MEMBER]
    assert read_onnx_manifest(made.content) == made.manifest
    assert [tensor.name for tensor in model.graph.input] == ["image"]
    assert [tensor.name for tensor in model.graph.output] == ["segmentation"]
    names = {node.name for node in model.graph.node}
    assert len(names) == len(model.graph.node)
    assert {"conv", "logits"} <= names, "nodes are called as the layers"


def test_the_same_bytes_every_time(models: dict[str, keras.Model]) -> None:
    for precision, model in models.items():
        assert _export(model, precision).content == _export(model, precision).content


def test_weights_of_eight_bits_take_a_quarter(models: dict[str, keras.Model]) -> None:
    held: dict[str, int] = {}
    for precision in ("float32", "int8", "w8"):
        graph = onnx.load_from_string(_export(models[precision], precision).content).graph
        kernels = [tensor for tensor in graph.initializer if tensor.name.endswith(("_kernel", "_kernel_integers"))]
        assert len(kernels) == 2
        held[precision] = sum(len(tensor.raw_data) for tensor in kernels)
    weights = sum(4 * int(np.prod(models["float32"].get_layer(name).kernel.shape)) for name in ("conv", "logits"))
    assert held == {"float32": weights, "int8": weights // 4, "w8": weights // 4}


def test_bytes_enter_an_integer_graph_as_they_are(models: dict[str, keras.Model]) -> None:
    graph = onnx.load_from_string(_export(models["int8"], "int8", layout="nchw").content).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (reader,) = [node for node in graph.node if "image" in node.input]
    assert reader.op_type == "DequantizeLinear"
    assert constants[reader.input[1]] == np.float32(1 / 128)
    assert constants[reader.input[2]] == 128
    assert not {"Cast", "Mul", "Add", "Relu", "Clip"} & {node.op_type for node in graph.node}
    assert graph.node[-1].op_type == "QuantizeLinear"


def test_bytes_on_another_grid_are_computed_first() -> None:
    """A model without Rescaling in front: its quantizer's range is that of the images seen, not of all bytes."""
    image = keras.Input((*SIZE, 3), name="image")
    model = keras.Model(image, layers.Conv2D(CLASSES, 3, name="logits")(image))
    nets.randomize(model)
    quantized = nets.calibrated(model)
    settle(quantized)
    for io in ("uint8", "float"):
        made = _export(quantized, "int8", io=io)
        assert not made.manifest.input.normalized_outside
        runner = OnnxRunner(made.content, manifest=made.manifest)
        reference = KerasRunner(quantized, manifest=nets.manifest_of(quantized))
        # The entry's tie goes to even here, upwards in the graph: a step of the image, some of the logits'.
        assert compare(reference, runner, nets.images(4, SIZE)).argmax >= 0.98


def test_no_clamp_is_written_where_the_range_clamps() -> None:
    def body(x: Any) -> Any:
        x = layers.Conv2D(4, 3, activation="relu", name="inside")(x)
        return layers.Conv2D(CLASSES, 1, name="logits")(layers.ReLU(6, name="behind")(layers.Conv2D(4, 1)(x)))

    quantized = nets.calibrated(model := nets.net(body, size=SIZE))
    assert not {"Relu", "Clip"} & set(operators(onnx_model(deploy_graph(quantized), integer_graph=True)))
    assert {"Relu", "Clip"} <= set(operators(onnx_model(model)))


def test_a_normalization_left_outside_must_be_the_manifests(models: dict[str, keras.Model]) -> None:
    manifest = nets.manifest_of(models["int8"])
    wrong = dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, mean=127.0))
    with pytest.raises(ArtifactError, match=r"manifest says .byte - 127\.0.*export with io=uint8"):
        _export(models["int8"], "int8", io="float", manifest=wrong)
    assert _export(models["int8"], "int8", io="uint8", manifest=wrong), "nothing is left to the app"


def test_a_model_of_another_kind_is_refused(models: dict[str, keras.Model]) -> None:
    for precision, kind in (("float32", "int8"), ("int8", "w8"), ("w8", "float32"), ("w8", "int8")):
        model = models[kind]
        graph = model if kind == "float32" else deploy_graph(model)
        options = ExportOptions(target="onnx", precision=precision)
        with pytest.raises(UsageError, match=f"precision='{precision}' does not fit this model, which is {kind}"):
            convert_onnx(graph, options=options, manifest=nets.manifest_of(model), integer_graph=kind != "float32")


def test_full_size_outputs_ask_for_logits_of_that_size(models: dict[str, keras.Model]) -> None:
    model = models["float32"]
    options = ExportOptions(target="onnx", precision="float32", output="labels")
    with pytest.raises(UsageError, match="at_input_size"):
        convert_onnx(model, options=options, manifest=nets.manifest_of(model), integer_graph=False)


def test_models_that_fit_no_file_are_refused(models: dict[str, keras.Model], monkeypatch: pytest.MonkeyPatch) -> None:
    model = models["float32"]
    monkeypatch.setattr(limits, "LARGEST", 4 * model.count_params() - 1)
    with pytest.raises(UsageError, match=r"small has .* million weights.*ends at 2 GB"):
        onnx_model(model)
    image = keras.Input((None, None, 3))
    with pytest.raises(UsageError, match="a file has one size"):
        onnx_model(keras.Model(image, layers.Conv2D(2, 1)(image), name="free"))


def test_what_is_not_deployed_or_wide_is_refused(models: dict[str, keras.Model]) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer conv .*still being trained"):
        onnx_model(models["int8"], integer_graph=True)
    wide = nets.calibrated(models["float32"], keep={"act": "int16x8"})
    with pytest.raises(UnsupportedLayerError, match=r"act_quant has 16 bits.*keep="):
        onnx_model(deploy_graph(wide), integer_graph=True)


def test_unknown_names_are_refused(models: dict[str, keras.Model]) -> None:
    for argument in ("io", "layout", "output"):
        with pytest.raises(UsageError, match=f"{argument}='other' is not known"):
            onnx_model(models["float32"], **{argument: "other"})


def test_the_extra_is_named_where_it_is_missing(
    models: dict[str, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mobile-seg\[onnx\]"$'):
        onnx_model(models["float32"])
