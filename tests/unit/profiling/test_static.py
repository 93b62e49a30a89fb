"""What is read off a graph, against graphs whose operators are known."""

import json
from pathlib import Path

import keras
import pytest
from keras import layers
from unit.verify import tiny

from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import ArtifactError
from mobile_seg.profiling.static import TensorFacts, inspect_tflite

PEERS = Path(__file__).resolve().parents[4] / "shared" / "peers"


def test_float32_graph(tmp_path: Path) -> None:
    path = tiny.save(tmp_path)
    facts = inspect_tflite(path)
    operators = dict(facts.ops)
    assert operators["CONV_2D"] == 2
    total = sum(operators.values())
    assert (facts.float_ops, facts.quantize_ops) == (total, 0)
    assert (facts.partitions, facts.delegated_ops) == (1, total)
    assert facts.size_bytes == path.stat().st_size
    assert facts.inputs == (TensorFacts("image", (1, 16, 24, 3), "float32", None, None),)
    assert [(one.shape, one.dtype) for one in facts.outputs] == [((1, 4, 6, 4), "float32")]


def test_int8_graph_has_no_float_operator() -> None:
    facts = inspect_tflite(tiny.flatbuffer(tiny.INT8))
    assert (facts.float_ops, facts.quantize_ops) == (0, 1)  # uint8 to int8 at the input
    assert (facts.inputs[0].dtype, facts.outputs[0].dtype) == ("uint8", "int8")
    assert (facts.outputs[0].scale, facts.outputs[0].zero_point) == tiny.output_quantization(tiny.flatbuffer(tiny.INT8))
    assert facts.partitions == 1


def test_an_int8_core_behind_float_input_is_not_free_of_floats() -> None:
    facts = inspect_tflite(tiny.flatbuffer(tiny.Conversion(input="float32", output="float32", head="logits")))
    mixed = inspect_tflite(tiny.flatbuffer(tiny.Conversion(input="uint8", output="float32")))
    assert mixed.float_ops == 1  # the DEQUANTIZE at the end
    assert mixed.quantize_ops == 2
    assert facts.float_ops > mixed.float_ops


def test_an_operator_that_xnnpack_leaves_splits_the_graph() -> None:
    facts = inspect_tflite(tiny.flatbuffer(tiny.NEAREST))
    operators = dict(facts.ops)
    assert operators["RESIZE_NEAREST_NEIGHBOR"] == 1
    assert facts.partitions == 2
    assert facts.delegated_ops == sum(operators.values()) - 1
    assert facts.left_ops == (("RESIZE_NEAREST_NEIGHBOR", 1),)


def test_multiply_adds_are_counted_from_the_operations() -> None:
    image = keras.Input((8, 10, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)  # 3*3*3*4 weights, 4x5 pixels: 2160
    x = layers.DepthwiseConv2D(3, padding="same")(x)  # 3*3*4, 4x5 pixels: 720
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)  # 2*2*4*5 from each of 4x5 pixels: 1600
    x = layers.Dense(6)(layers.GlobalAveragePooling2D()(x))  # 30
    content = convert_graph(keras.Model(image, x), precision="float32", io="float").content
    assert inspect_tflite(content).macs == 2160 + 720 + 1600 + 30


def test_the_manifest_changes_nothing_but_the_size() -> None:
    bare, carrying = inspect_tflite(tiny.flatbuffer()), inspect_tflite(tiny.artifact())
    assert carrying.size_bytes > bare.size_bytes
    assert (carrying.ops, carrying.partitions, carrying.inputs) == (bare.ops, bare.partitions, bare.inputs)


def test_to_json() -> None:
    value = json.loads(json.dumps(inspect_tflite(tiny.flatbuffer(tiny.INT8)).to_dict(), allow_nan=False))
    assert value["ops"]["CONV_2D"] == 2
    assert value["inputs"][0]["dtype"] == "uint8"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        inspect_tflite(tmp_path / "missing.tflite")
    with pytest.raises(ArtifactError, match="TFL3"):
        inspect_tflite(b"nothing")
    content = tiny.flatbuffer()
    with pytest.raises(ArtifactError, match="cut short"):
        inspect_tflite(content[: len(content) // 2])


# (file, partitions at most, is int8 throughout); the rest of what is there must at least be read.
KNOWN = {
    "coral/deeplabv3_mnv2_pascal_quant.tflite": (2, True),
    "deeplabv3_257_mv_gpu.tflite": (1, False),
    "mediapipe/selfie_segmentation.tflite": (1, False),
    "portrait/mnv3_post_quant.tflite": (1, True),
}
REFUSED = {
    "coral_edgetpu_compiled/deeplab_mobilenet_edgetpu_slim_cityscapes_quant_edgetpu.tflite": "edgetpu-custom-op",
    "coral_edgetpu_compiled/deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite": "edgetpu-custom-op",
    "portrait/mnv3_seg_quant.tflite": "zero-point",
}


@pytest.mark.skipif(not PEERS.is_dir(), reason="../shared/peers (models of others) is not here")
def test_models_of_others() -> None:
    files = {str(path.relative_to(PEERS)): path for path in sorted(PEERS.rglob("*.tflite"))}
    assert set(KNOWN) | set(REFUSED) <= set(files)
    for name, path in files.items():
        if name in REFUSED:
            with pytest.raises(ArtifactError, match=REFUSED[name]):
                inspect_tflite(path)
            continue
        facts = inspect_tflite(path)
        total = sum(count for _, count in facts.ops)
        assert 0 < facts.delegated_ops <= total, name
        if name in KNOWN:
            assert (facts.partitions, facts.float_ops == 0) == KNOWN[name], name
