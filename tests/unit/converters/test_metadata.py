"""What a `.tflite` says of itself to others: TFLite metadata, the oldest runtime, associated files."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from unit.quantization import nets

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.metadata import finish, min_runtime_version
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert, convert_graph
from mobile_seg.converters.tflite_metadata import ENTRY, MISREAD, metadata, parse
from mobile_seg.converters.tflite_versions import FIRST_RUNTIME, MIN_RUNTIME, runtime_need
from mobile_seg.manifest import MEMBER, InputSpec, Manifest, OutputSpec
from mobile_seg.quantization.settle import settle


def manifest(
    *, dtype: str = "uint8", outside: bool = False, kind: str = "logits", versions: tuple[tuple[str, str], ...] = ()
) -> Manifest:
    return Manifest(
        model="small",
        precision="int8",
        input=InputSpec(16, 24, dtype=dtype, mean=128.0, std=64.0, normalized_outside=outside),
        output=OutputSpec(kind, 4, 6, dtype="int32" if kind == "labels" else "int8", scale=0.5, zero_point=3),
        classes=("road", "sky", "tree"),
        palette=((0, 0, 0), (1, 1, 1), (2, 2, 2)),
        versions=versions,
    )


def tensors(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    (graph,) = value["subgraph_metadata"]
    (given,), (made,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    return given, made


def normalization(given: dict[str, Any]) -> tuple[float, float]:
    (unit,) = given["process_units"]
    name, options = unit["options"]
    assert name == "NormalizationOptions"
    return float(options["mean"][0]), float(options["std"][0])


def test_the_image_is_described() -> None:
    given, _ = tensors(parse(metadata(manifest(), quantized_input=True)))
    assert given["name"] == "image"
    kind, properties = given["content"]["content_properties"]
    assert (kind, properties["color_space"]) == ("ImageProperties", "RGB")
    assert properties["default_size"] == {"width": 24, "height": 16}
    assert (list(given["stats"]["min"]), list(given["stats"]["max"])) == ([0.0], [255.0])


@pytest.mark.parametrize(
    ("dtype", "outside", "quantized", "expected"),
    [
        ("uint8", False, True, (128.0, 64.0)),  # the schema normalizes first, then puts it on the tensor's grid
        ("int8", False, True, (128.0, 64.0)),
        ("uint8", False, False, (0.0, 1.0)),  # bytes that the graph normalizes itself
        ("float32", False, False, (0.0, 1.0)),
        ("float32", True, False, (128.0, 64.0)),
    ],
)
def test_normalization_is_what_the_app_must_do(
    dtype: str, outside: bool, quantized: bool, expected: tuple[float, float]
) -> None:
    given, _ = tensors(parse(metadata(manifest(dtype=dtype, outside=outside), quantized_input=quantized)))
    assert normalization(given) == expected
    if outside:
        assert float(given["stats"]["min"][0]) == -2.0
        assert float(given["stats"]["max"][0]) == (255 - 128) / 64


def test_logits_are_said_to_be_logits() -> None:
    value = parse(metadata(manifest(), quantized_input=True))
    _, made = tensors(value)
    assert made["name"] == "segmentation"
    assert made["dimension_names"] == ["batch", "height", "width", "class"]
    assert [(one["name"], one["type"]) for one in made["associated_files"]] == [("labels.txt", "TENSOR_AXIS_LABELS")]
    (custom,) = value["subgraph_metadata"][0]["custom_metadata"]
    assert custom["name"] == "SEGMENTER_METADATA"
    assert custom["data"] == {"activation": "SOFTMAX", "min_parser_version": "1.0.0"}
    assert value["min_parser_version"] == "1.5.0", "the schema that brought custom metadata"
    assert "MediaPipe" not in value["description"]


def test_class_ids_are_said_to_be_misread() -> None:
    value = parse(metadata(manifest(kind="labels"), quantized_input=True))
    _, made = tensors(value)
    assert MISREAD in value["description"]
    assert MISREAD in made["description"]
    assert [(one["name"], one["type"]) for one in made["associated_files"]] == [("labels.txt", "TENSOR_VALUE_LABELS")]
    assert list(made["stats"]["max"]) == [2.0]
    assert "custom_metadata" not in value["subgraph_metadata"][0]
    assert value["min_parser_version"] == "1.0.0"


def test_the_model_names_its_author_and_version() -> None:
    value = parse(metadata(manifest(versions=(("mobile-seg", "1.2"),)), quantized_input=True))
    assert (value["name"], value["author"], value["version"]) == ("small", "mobile-seg", "1.2")
    assert [one["name"] for one in value["associated_files"]] == [MEMBER]
    assert "version" not in parse(metadata(manifest(), quantized_input=True))


def _body(x: Any) -> Any:
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="conv")(x)
    x = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, name="dilated")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="up")(layers.ReLU(6, name="act")(x))
    return layers.Conv2D(3, 1, name="logits")(x)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return nets.net(_body, name="small")


def entries(content: bytes) -> dict[str, bytes]:
    """The metadata entries of a file; each name once."""
    read = unpack(content)
    found = [(entry.name.decode(), bytes(read.buffers[entry.buffer].data)) for entry in read.metadata]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_the_file_says_which_runtime_it_needs(model: keras.Model, precision: str) -> None:
    if precision == "int8":
        quantized = nets.calibrated(model)
        settle(quantized)
        made = nets.to_int8(quantized)
    else:
        options = ExportOptions(precision=precision)
        made = convert(model, options=options, manifest=nets.manifest_of(model), integer_graph=False)
    assert isinstance(made.content, bytes)
    said = entries(made.content)[MIN_RUNTIME]
    assert len(said) == 16
    assert said.rstrip(b"\0").decode() == min_runtime_version(made.content)
    assert min_runtime_version(made.content) == {"float32": "2.2.0", "float16": "2.2.0", "int8": "2.2.0"}[precision]
    given, _ = tensors(parse(entries(made.content)[ENTRY]))
    mean, std = normalization(given)
    details = Interpreter(model_content=made.content).get_input_details()[0]
    scale, zero_point = details["quantization"]
    byte = np.arange(256)
    fed = (byte - mean) / std
    np.testing.assert_array_equal(np.round(fed / scale) + zero_point if scale else fed, byte)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_runtime_is_the_one_that_tensorflow_names(model: keras.Model, precision: str) -> None:
    """Its converter has the same table; only the integer files are not its own."""
    bare = convert_graph(model, precision=precision, io="uint8").content
    assert entries(bare)[MIN_RUNTIME].rstrip(b"\0").decode() == min_runtime_version(bare)


def test_the_newest_operation_decides() -> None:
    need = runtime_need([("CONV_2D", 3), ("RESIZE_BILINEAR", 3), ("ADD", 1), ("CONV_2D", 3)])
    assert (need.version, need.unknown) == ("2.2.0", ())
    assert runtime_need([("TILE", 1), ("TRANSPOSE_CONV", 1)]).version == "1.10.1", "numbers are compared, not text"


def test_what_the_table_does_not_know_is_said() -> None:
    need = runtime_need([("CONV_2D", 99), ("BROADCAST_TO", 1), ("NEVER_HEARD_OF", 1), ("RESHAPE", 1)])
    assert need.version == "1.5.0"
    assert need.unknown == ("BROADCAST_TO version 1", "CONV_2D version 99", "NEVER_HEARD_OF version 1")
    assert runtime_need([]).version == ""


def test_the_table_names_operations_that_exist() -> None:
    assert {name for name in FIRST_RUNTIME if not hasattr(schema.BuiltinOperator, name)} == set()


def test_finishing_twice_replaces_what_was_said(model: keras.Model) -> None:
    made = convert(
        model, options=ExportOptions(precision="float32"), manifest=nets.manifest_of(model), integer_graph=False
    )
    assert isinstance(made.content, bytes)
    other = dataclasses.replace(made.manifest, model="renamed")
    again = finish(pack(unpack(made.content)), other)
    assert parse(entries(again)[ENTRY])["name"] == "renamed"
    assert again == finish(pack(unpack(made.content)), other), "the same every time"
