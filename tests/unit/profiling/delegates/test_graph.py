"""Files as rules read them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as generated
from keras import layers
from unit.profiling.delegates import made
from unit.quantization import nets

from mobile_seg.converters.halves import halved
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.profiling.delegates.graph import layer_of
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.static import inspect_tflite


@pytest.fixture(scope="module")
def float16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu6", name="b00_conv")(x)
        x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="b01_depthwise")(x)
        x = layers.AveragePooling2D(2, name="b02_pool")(x)
        return layers.UpSampling2D(2, interpolation="bilinear", name="b03_up")(x)

    path = tmp_path_factory.mktemp("graph") / "net.tflite"
    path.write_bytes(halved(convert_graph(nets.net(body), precision="float32", io="float").content, small=0))
    return path


def test_everything_the_generated_reader_reads(float16: Path) -> None:
    ours = read_graph(float16)
    theirs = generated.ModelT.InitFromPackedBuf(float16.read_bytes(), 0)
    graph = theirs.subgraphs[0]
    assert len(ours.operations) == len(graph.operators)
    for mine, other in zip(ours.operations, graph.operators, strict=True):
        assert [one.index for one in mine.given] == [one for one in other.inputs if one >= 0]
        assert [one.shape for one in mine.outputs] == [tuple(graph.tensors[one].shape) for one in other.outputs]
        for word, name in (("strideH", "stride_h"), ("filterWidth", "filter_width"), ("dilationHFactor", None)):
            if hasattr(other.builtinOptions, word):
                said = mine.dilation[0] if name is None else mine.options.get(name, 0)
                assert said == getattr(other.builtinOptions, word), mine.kind
    kinds = {one.kind for one in ours.operations}
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "DEQUANTIZE"} <= kinds


def test_options_in_words(float16: Path) -> None:
    found = {one.kind: one for one in read_graph(float16).operations}
    assert found["CONV_2D"].stride == (2, 2)
    assert found["CONV_2D"].padding == "SAME"
    assert found["CONV_2D"].activation == "RELU6"
    assert found["DEPTHWISE_CONV_2D"].dilation == (2, 2)
    assert found["AVERAGE_POOL_2D"].window == (2, 2)
    assert found["RESIZE_BILINEAR"].options["half_pixel_centers"] is True


def test_multiply_adds_are_those_of_inspect(float16: Path) -> None:
    assert read_graph(float16).macs == inspect_tflite(float16).macs > 0


def test_weights_that_were_only_to_be_unpacked(float16: Path) -> None:
    convolution = next(one for one in read_graph(float16).operations if one.kind == "CONV_2D")
    image, weights, bias = convolution.inputs
    assert weights is not None
    assert bias is not None
    assert image is not None
    assert (weights.unpacked, bias.unpacked, image.unpacked) == (True, True, False)
    assert not weights.constant


def test_layers_are_named_as_the_network_names_them(float16: Path) -> None:
    named = {one.kind: one.layer for one in read_graph(float16).operations if one.kind != "DEQUANTIZE"}
    assert named["CONV_2D"] == "b00_conv"
    assert named["AVERAGE_POOL_2D"] == "b02_pool"


def test_layers_out_of_tensor_names() -> None:
    assert layer_of("net_1/b07_expand_conv_1/convolution;net_1/b07_expand_bn_1/add") == "b07_expand_conv"
    assert layer_of("MobilenetV2/expanded_conv_16/expand/bias") == "expanded_conv_16/expand"
    assert layer_of("arith.constant13") == ""


def test_constants_have_values(tmp_path: Path) -> None:
    path = made.file(tmp_path, [("RELU", [0], [1])], [{}, {}])
    operation = read_graph(path).operations[0]
    assert operation.given[0].values is None
    assert made.tensor(values=[[1, 2], [3, 4]]).values.tolist() == [[1, 2], [3, 4]]  # type: ignore[union-attr]


def test_cut_at_every_byte_it_is_one_clear_line(tmp_path: Path, float16: Path) -> None:
    content, path = float16.read_bytes(), tmp_path / "cut.tflite"
    for size in np.linspace(0, len(content) - 1, 40, dtype=int):
        path.write_bytes(content[:size])
        with pytest.raises(ArtifactError, match="cut short, damaged, or of another format") as raised:
            read_graph(path)
        assert "\n" not in str(raised.value)


def test_scrambled_bytes_are_read_or_refused(tmp_path: Path, float16: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / "scrambled.tflite"
    refused = 0
    for _ in range(60):
        content = bytearray(float16.read_bytes())
        for place in random.integers(8, min(len(content), 4000), 20):
            content[place] = random.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            read_graph(path)
        except ArtifactError:
            refused += 1
    assert refused > 10


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mobile-seg export"):
        read_graph(tmp_path / "model.keras")
    with pytest.raises(ArtifactError, match="check the path"):
        read_graph(tmp_path / "absent.tflite")
