"""Looking into `.onnx` files."""

from pathlib import Path

import pytest
from unit.inspection import made
from unit.verify import tiny

from mobile_seg.errors import ArtifactError
from mobile_seg.inspection.onnx import inspect_onnx
from mobile_seg.inspection.records import Tensor
from mobile_seg.manifest import MEMBER

onnx = pytest.importorskip("onnx", reason='needs the extra: pip install "mobile-seg[onnx]"')


def write(folder: Path, content: bytes) -> Path:
    path = folder / "small.onnx"
    path.write_bytes(content)
    return path


def test_a_float_file(tmp_path: Path) -> None:
    found = inspect_onnx(write(tmp_path, made.onnx_model(quantized=False)))
    assert found.runtime == "ONNX opset 13 (IR version 8)"
    assert found.inputs == (Tensor("image", (1, 3, "rows", 16), "float32"),)
    assert found.outputs == (Tensor("logits", (1, 8, "rows", 16), "float32"),)
    assert found.operations == (("Conv", 1), ("Relu", 1))
    assert [(one.name, one.operation, one.size_bytes) for one in found.layers] == [("stem", "Conv", 8 * 27 * 4)]
    assert found.quantization.precision == "float32"
    assert found.metadata == {"task": "segmentation"}
    assert found.manifest is None


def test_a_quantized_file(tmp_path: Path) -> None:
    found = inspect_onnx(write(tmp_path, made.onnx_model()))
    assert found.quantization.precision == "uint8 activations (QDQ), int8 weights"
    assert (found.quantization.per_tensor, found.quantization.per_channel) == (1, 1)
    stem = found.layers[0]
    # int8 weights, 8 scales of 4 bytes and 8 zero points, all read by the convolution behind the DequantizeLinear.
    assert (stem.name, stem.operation, stem.dtype, stem.size_bytes) == ("stem", "Conv", "int8", 8 * 27 + 8 * 4 + 8)


def test_integers_at_the_ends_are_shown_on_their_grid(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["hidden"]),
        helper.make_node("QuantizeLinear", ["hidden", "scale", "zero"], ["ids"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 4]) for name in ("image", "ids")]
    held = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.25]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [7]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "ends", ends[:1], ends[1:], held))
    found = inspect_onnx(write(tmp_path, model.SerializeToString()))
    assert (found.inputs[0].scale, found.inputs[0].zero_point) == (0.25, 7)
    assert (found.outputs[0].scale, found.outputs[0].zero_point) == (0.25, 7)


def test_operations_in_branches_count(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    inner = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["same"])],
        "branch",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, [1])],
    )
    node = helper.make_node("If", ["condition"], ["out"], then_branch=inner, else_branch=inner)
    ends = [
        helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, [1]),
    ]
    model = helper.make_model(helper.make_graph([node], "branching", ends[:2], ends[2:]))
    found = inspect_onnx(write(tmp_path, model.SerializeToString()))
    assert found.operations == (("Identity", 2), ("If", 1))


def test_our_manifest_is_read(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(made.onnx_model())
    model.metadata_props.add(key=MEMBER, value=tiny.manifest().to_json())
    found = inspect_onnx(write(tmp_path, model.SerializeToString()))
    assert found.manifest == tiny.manifest()
    assert MEMBER not in found.metadata


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"", b"\x08\x08"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"small.onnx cannot be read: .*cut short, damaged"):
        inspect_onnx(write(tmp_path, content))
