"""A nearest enlargement comes behind the 1x1 convolution that reads it: fewer multiply-adds, the same bits."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from unit.converters.targets.flat_graphs import Network, converted, images, run
from unit.quantization import nets

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.reorder import enlarge_last, spread_last
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


def pooled(x: Any, *, kind: str = "bilinear", first: bool = False, maps: int = 2, channels: int = 6) -> Any:
    """Feature maps, and the image's mean spread over them, side by side."""
    mean = convolved(tf.reduce_mean(x, (1, 2), keepdims=True), made=channels)
    spread = tf.image.resize(mean, x.shape[1:3], method=kind)
    found = [convolved(x, made=4 + number) for number in range(maps)]
    return tf.concat([spread, *found] if first else [*found, spread], -1)


def kinds(content: bytes) -> list[str]:
    return [one.kind for one in graph(content).operations]


@pytest.mark.parametrize("delegate", [True, False])
@pytest.mark.parametrize(
    ("how", "joins"),
    [({}, 1), ({"kind": "nearest"}, 1), ({"first": True}, 1), ({"maps": 1}, 0), ({"maps": 4}, 1)],
    ids=["bilinear", "nearest", "first", "one map", "four maps"],
)
def test_a_pixel_spread_over_the_image_is_added_behind(how: dict[str, Any], joins: int, delegate: bool) -> None:
    before = converted(lambda x: last(convolved(pooled(x, **how), made=7)), SHAPE)
    after = spread_last(before)
    assert [kinds(after).count(one) for one in ("CONCATENATION", "RESIZE_BILINEAR", NEAREST)] == [joins, 0, 0]
    assert kinds(after).count(CONVOLUTION) == kinds(before).count(CONVOLUTION) + 1
    (added,) = (one for one in graph(after).operations if one.kind == "ADD")
    assert [one.shape for one in added.inputs if one] == [(*SHAPE[:3], 7), (1, 1, 1, 7)]
    held = [sum(len(one.data) for one in unpack(file).buffers if one.data is not None) for file in (before, after)]
    assert held[1] <= held[0] + 7 * 4 + 100, "the same weights, split, and a bias of zeros; none kept twice"
    saved = 7 * 6 * (SHAPE[1] * SHAPE[2] - 1)
    assert sum(one.macs for one in graph(before).operations) - sum(one.macs for one in graph(after).operations) >= saved
    for image in images(SHAPE, "float32"):
        expected = run(before, image, delegate=delegate)
        assert np.ptp(expected) > 1
        # Some twenty products of single precision, whose sums are below 100, added in another order.
        np.testing.assert_allclose(run(after, image, delegate=delegate), expected, atol=20 * 100 * 2.0**-24)


@pytest.mark.parametrize(
    "network",
    [
        lambda x: convolved(pooled(x), side=3),
        lambda x: last(convolved(y := pooled(x), made=15)) + last(y),
        lambda x: convolved(tf.concat([x, tf.image.resize(x[:, :1], SHAPE[1:3])], -1)),
        lambda x: convolved(convolved(x)),
    ],
    ids=["3x3", "read twice", "a row", "nothing joined"],
)
def test_nothing_to_take_out(network: Network) -> None:
    before = converted(network, SHAPE)
    assert spread_last(before) == before


def test_a_float_file_follows_its_model() -> None:
    def body(x: Any) -> Any:
        x = layers.Conv2D(8, 3, strides=2, padding="same", name="b00_down_conv")(x)
        pool = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)
        pool = layers.Conv2D(4, 1, activation="relu", name="aspp_pool_conv")(pool)
        pool = Resize((6, 6), "bilinear", name="aspp_pool_up")(pool)
        x = layers.Concatenate(name="aspp_concat")([x, layers.Conv2D(5, 1, name="aspp_point_conv")(x), pool])
        x = layers.ReLU(6, name="aspp_project_act")(layers.Conv2D(6, 1, name="aspp_project_conv")(x))
        return layers.Conv2D(3, 3, padding="same", name="head_logits")(x)

    model = nets.net(body)
    content = convert_graph(model, precision="float32", io="float").content
    assert "RESIZE_BILINEAR" not in kinds(content)
    layer = [one.layer for one in graph(content).operations if one.macs or one.kind == "ADD"]
    assert (layer.count("aspp_project_conv"), layer.count("aspp_project_act")) == (2, 1)
    (found,) = nets.run(content, nets.images().astype(np.float32))
    np.testing.assert_allclose(found[0], nets.logits(model, nets.images()), atol=1e-5)
