"""A nearest enlargement comes behind the 1x1 convolution that reads it: fewer multiply-adds, the same bits."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from unit.converters.targets.flat_graphs import Network, converted, images, run
from unit.quantization import nets

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.reorder import enlarge_last
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.layers import Resize
from mobile_seg.profiling.delegates.graph import Graph
from mobile_seg.profiling.delegates.reading import read_content

NEAREST, CONVOLUTION = "RESIZE_NEAREST_NEIGHBOR", "CONV_2D"
SHAPE = (1, 4, 6, 3)


def enlarged(x: Any, high: int, wide: int) -> Any:
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[high, wide], half_pixel_centers=True)


def convolved(x: Any, side: int = 1, step: int = 1, made: int = 5) -> Any:
    weights = np.random.default_rng(side).normal(size=(side, side, x.shape[3], made)).astype(np.float32)
    return tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, weights, step, "SAME"), np.linspace(-1.0, 1.0, made)))


def last(x: Any) -> Any:
    """What keeps the convolution from being the graph's output."""
    return tf.nn.avg_pool2d(x, 2, 1, "VALID")


def reordered(network: Network) -> tuple[bytes, bytes | None]:
    before = converted(network, SHAPE)
    model = unpack(before)
    return before, pack(model) if enlarge_last(model) else None


def graph(content: bytes) -> Graph:
    return read_content(content, name="file")


@pytest.mark.parametrize("size", [(8, 12), (16, 6), (5, 7)])
@pytest.mark.parametrize("delegate", [True, False])
def test_same_bits_in_floats(size: tuple[int, int], delegate: bool) -> None:
    before, after = reordered(lambda x: last(convolved(enlarged(x, *size))))
    assert after is not None
    assert [one.kind for one in graph(before).operations][:2] == [NEAREST, CONVOLUTION]
    moved = graph(after).operations
    assert [one.kind for one in moved][:2] == [CONVOLUTION, NEAREST]
    assert moved[0].outputs[0].shape == (*SHAPE[:3], 5)
    assert moved[0].macs * size[0] * size[1] == graph(before).operations[1].macs * SHAPE[1] * SHAPE[2]
    for image in images(SHAPE, "float32"):
        np.testing.assert_array_equal(run(after, image, delegate=delegate), run(before, image, delegate=delegate))


@pytest.mark.parametrize(
    "network",
    [
        lambda x: last(convolved(enlarged(x, 8, 12), side=3)),
        lambda x: last(convolved(enlarged(x, 8, 12), step=2)),
        lambda x: last(convolved(enlarged(x, 2, 3))),
        lambda x: convolved(enlarged(x, 8, 12)),
        lambda x: last(convolved(y := enlarged(x, 8, 12), made=3) + y),
        lambda x: last(convolved(tf.image.resize(x, (8, 12)))),
    ],
    ids=["3x3", "strided", "smaller", "at the end", "read twice", "bilinear"],
)
def test_left_alone(network: Network) -> None:
    assert reordered(network)[1] is None


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "w8"])
def test_a_quantized_model_follows_its_file(scheme: str) -> None:
    def body(x: Any) -> Any:
        x = layers.Conv2D(8, 3, strides=2, padding="same", name="b00_down_conv")(x)
        x = Resize((12, 12), "nearest", name="b01_from00_up")(layers.ReLU(6, name="b00_down_act")(x))
        x = layers.Conv2D(4, 1, use_bias=False, name="b01_from00_match_conv")(x)
        x = layers.BatchNormalization(name="b01_from00_match_bn")(x)
        return layers.Conv2D(3, 3, padding="same", name="head_logits")(layers.ReLU(name="b01_merge_act")(x))

    model = nets.calibrated(nets.net(body), scheme=scheme)
    nets.compare_quantized(model, scheme=scheme).check()
    made = graph(convert_graph(nets.deploy_graph(model), precision=scheme).content)
    order = [one for one in made.operations if one.kind in (NEAREST, CONVOLUTION)]
    assert [one.kind for one in order] == [CONVOLUTION, CONVOLUTION, NEAREST, CONVOLUTION]
    assert [one.layer for one in order[1:3]] == ["b01_from00_match_conv", "b01_from00_up"]
