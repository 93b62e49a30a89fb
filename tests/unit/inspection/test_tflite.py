"""Looking into `.tflite` files."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers
from unit.quantization import nets
from unit.verify import tiny

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.halves import halved
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import ArtifactError
from mobile_seg.inspection.records import Layer, Tensor
from mobile_seg.inspection.tflite import inspect_tflite
from mobile_seg.profiling.static import inspect_tflite as static
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.settle import settle


def test_a_plain_file(tflite: Path) -> None:
    found = inspect_tflite(tflite)
    assert found.format == "TFLite"
    assert found.size_bytes == tflite.stat().st_size
    assert found.runtime == "TFLite 1.5.0 or later"
    assert found.inputs == (Tensor("pixels", (1, 8, 8, 3), "float32"),)
    assert [(one.shape, one.dtype) for one in found.outputs] == [((1, 8, 8, 8), "float32")]
    assert found.operations == (("CONV_2D", 1),)
    # 8 x 3 weights and 8 biases of 4 bytes.
    assert [(one.operation, one.shape, one.size_bytes) for one in found.layers] == [("CONV_2D", (8, 1, 1, 3), 128)]
    assert found.quantization.precision == "float32"
    assert found.manifest is None
    assert found.metadata["min_runtime_version"] == "1.5.0"


def test_our_own_file(ours: Path) -> None:
    found = inspect_tflite(ours)
    assert found.manifest == tiny.manifest()
    assert [name for name, _ in found.files] == ["mobile_seg.json", "labels.txt"]
    assert found.metadata["TFLITE_METADATA"]["name"] == "tiny"
    assert found.metadata["signatures"] == [{"name": "segment", "inputs": ["image"], "outputs": ["segmentation"]}]


def _net() -> keras.Model:
    return nets.net(lambda x: layers.Conv2D(3, 1, name="logits")(layers.Conv2D(6, 3, name="conv")(x)))


@pytest.fixture(scope="module")
def integer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quantized = nets.calibrated(_net())
    settle(quantized)
    path = tmp_path_factory.mktemp("int8") / "small.tflite"
    path.write_bytes(convert_graph(deploy_graph(quantized), precision="int8", io="uint8").content)
    return path


def test_an_integer_file(integer_file: Path) -> None:
    found = inspect_tflite(integer_file)
    assert found.quantization.precision == "int8 activations, int8 weights"
    # Two layers: kernel and bias each have a scale per channel.
    assert found.quantization.per_channel == 4
    (given,), (made,) = found.inputs, found.outputs
    assert (given.dtype, given.scale, given.zero_point) == ("uint8", 1 / 128, 128)
    assert made.dtype == "int8"
    assert made.scale is not None
    facts = static(integer_file)
    assert made.scale == facts.outputs[0].scale
    assert made.zero_point == facts.outputs[0].zero_point
    assert dict(found.operations) == dict(facts.ops)


def test_half_precision_weights_count_for_the_layer_that_uses_them(tmp_path: Path) -> None:
    path = tmp_path / "half.tflite"
    path.write_bytes(halved(convert_graph(_net(), precision="float32", io="float").content, small=0))
    found = inspect_tflite(path)
    assert found.quantization.precision == "float activations, float16 weights"
    assert {one.operation for one in found.layers} == {"CONV_2D"}
    assert dict(found.operations)["DEQUANTIZE"] >= 2


def changed(source: Path, target: Path, change: Any) -> Path:
    """A copy with its tables changed."""
    model = unpack(source.read_bytes())
    change(model)
    target.write_bytes(pack(model))
    return target


def test_custom_and_unknown_operations_are_named(tflite: Path, tmp_path: Path) -> None:
    def custom(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"edgetpu-custom-op"

    found = inspect_tflite(changed(tflite, tmp_path / "custom.tflite", custom))
    assert found.operations == (("edgetpu-custom-op", 1),)
    assert found.runtime == "TFLite with edgetpu-custom-op registered (the file itself says 1.5.0)"

    def newer(model: Any) -> None:
        model.operatorCodes[0].version = 99

    found = inspect_tflite(changed(tflite, tmp_path / "newer.tflite", newer))
    assert found.runtime == "TFLite that has CONV_2D version 99 (the file itself says 1.5.0)"


def test_a_free_size_is_shown(tflite: Path, tmp_path: Path) -> None:
    def free(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = np.array([1, -1, -1, 3], np.int32)

    assert inspect_tflite(changed(tflite, tmp_path / "free.tflite", free)).inputs[0].shape == (1, -1, -1, 3)


def test_weights_that_nothing_reads_are_shown(tflite: Path, tmp_path: Path) -> None:
    def spare(model: Any) -> None:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.zeros(64, np.uint8)
        model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.buffer = b"left over", np.array([16], np.int32), len(model.buffers) - 1
        model.subgraphs[0].tensors.append(tensor)

    found = inspect_tflite(changed(tflite, tmp_path / "spare.tflite", spare))
    assert found.layers[-1] == Layer("left over", "(not read)", "float32", (16,), 64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no TFL3 mark"),
        (b"\x10\0\0\0TFL3", "past its end"),
        (b"not a model at all", "no TFL3 mark"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"broken.tflite cannot be read: .*{reason}.*cut short, damaged"):
        inspect_tflite(path)


def test_numbers_that_lead_nowhere_are_refused(tflite: Path, tmp_path: Path) -> None:
    def astray(model: Any) -> None:
        model.subgraphs[0].operators[0].inputs = np.array([1000, 1, 2], np.int32)
        model.subgraphs[0].outputs = np.array([1000], np.int32)

    with pytest.raises(ArtifactError, match="leads nowhere"):
        inspect_tflite(changed(tflite, tmp_path / "astray.tflite", astray))


def test_damaged_metadata_is_refused(ours: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "ours.tflite", ours.read_bytes()
    path.write_bytes(content.replace(b"M001", b"M999"))
    with pytest.raises(ArtifactError, match=r"its TFLite metadata is damaged: no M001 mark"):
        inspect_tflite(path)


def test_a_damaged_manifest_is_refused(ours: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "ours.tflite", bytearray(ours.read_bytes())
    place = content.index(b'"format_version"')
    content[place : place + 3] = b"\xff\xff\xff"
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"mobile_seg.json inside it is damaged"):
        inspect_tflite(path)


def test_the_record_is_plain(ours: Path) -> None:
    found = inspect_tflite(ours)
    value = found.to_dict()
    assert value["operations"] == {"CONV_2D": 1}
    assert value["manifest"]["classes"] == ["road", "sky", "tree", "car"]
    odd = dataclasses.replace(found, metadata={"nan": float("nan"), "bytes": b"abc", "array": np.float32([1])})
    assert odd.to_dict()["metadata"] == {"nan": "nan", "bytes": "3 bytes", "array": [1.0]}
