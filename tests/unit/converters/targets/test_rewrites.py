"""Rewrites change operations and no number: files before and after give the same bits, with XNNPACK and without."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from unit.converters.targets.flat_graphs import Network, converted, images, in_int8, run

from mobile_seg.converters.builder import Grid
from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.options import DELEGATES as TARGETS
from mobile_seg.converters.targets.rectifying import same_rounding
from mobile_seg.converters.targets.rewrites import REWRITES, Result, rewrite
from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.partition import split
from mobile_seg.profiling.delegates.reading import read_content, read_graph
from mobile_seg.profiling.delegates.registry import DELEGATES, find


def nearest(high: int, wide: int, *, half: bool = True, aligned: bool = False) -> Network:
    def network(x: Any) -> Any:
        size = [high * int(x.shape[1]), wide * int(x.shape[2])]
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, align_corners=aligned, half_pixel_centers=half)

    return network


def every(step: int) -> Network:
    return lambda x: tf.nn.max_pool2d(x, 1, step, "SAME")


def average(side: int, padding: str, step: int = 1) -> Network:
    return lambda x: tf.nn.avg_pool2d(x, side, step, padding)


def only(content: bytes, target: str) -> Result:
    """Rewrite the only operation of a file."""
    assert len(read_content(content, name="before").operations) == 1
    return rewrite(content, target=target, at=[0])


def kinds(content: bytes) -> list[str]:
    return [one.kind for one in read_content(content, name="after").operations]


NEAREST = "RESIZE_NEAREST_NEIGHBOR"
CASES = [
    ("xnnpack", nearest(2, 2), (1, 3, 5, 7), ["CONCATENATION", "RESHAPE"] * 2),
    ("xnnpack", nearest(4, 4, half=False), (1, 3, 2, 4), ["CONCATENATION", "RESHAPE"] * 2),
    ("xnnpack", nearest(8, 8), (1, 2, 3, 3), ["CONCATENATION", "CONCATENATION", "RESHAPE"] * 2),
    ("xnnpack", nearest(3, 5), (1, 2, 3, 3), ["CONCATENATION", "RESHAPE"] * 2),
    ("xnnpack", nearest(1, 2), (1, 2, 3, 3), ["CONCATENATION", "RESHAPE"]),
    ("xnnpack", nearest(2, 1), (1, 2, 3, 3), ["RESHAPE", "CONCATENATION", "RESHAPE"]),
    ("xnnpack", every(2), (1, 5, 6, 4), ["DEPTHWISE_CONV_2D"]),
    ("xnnpack", every(3), (1, 7, 6, 4), ["DEPTHWISE_CONV_2D"]),
    ("edgetpu", lambda x: tf.image.resize(x, (7, 5)), (1, 1, 1, 3), ["TILE"]),
    ("edgetpu", nearest(4, 6), (1, 1, 1, 3), ["TILE"]),
    ("edgetpu", nearest(16, 16), (1, 2, 3, 3), [NEAREST] * 2),
    ("ethos-u", nearest(64, 64, half=False), (1, 1, 2, 3), [NEAREST] * 2),
    ("ethos-u", lambda x: tf.nn.space_to_depth(x, 2), (1, 6, 4, 5), ["CONV_2D"]),
    ("ethos-u", lambda x: tf.nn.space_to_depth(x, 4), (1, 8, 4, 3), ["CONV_2D"]),
]


INTEGERS = ("edgetpu", "ethos-u")
"""Targets that take nothing else."""

TYPED = [
    (dtype, *case) for case in CASES for dtype in ("float32", "int8") if dtype == "int8" or case[0] not in INTEGERS
]


def before_of(network: Network, shape: tuple[int, ...], dtype: str) -> bytes:
    content = converted(network, shape)
    return content if dtype == "float32" else in_int8(content, scale=0.037, zero=-71)


@pytest.mark.parametrize(("dtype", "target", "network", "shape", "becomes"), TYPED)
def test_the_same_bits(dtype: str, target: str, network: Network, shape: tuple[int, ...], becomes: list[str]) -> None:
    before = before_of(network, shape, dtype)
    made = only(before, target)
    assert kinds(made.content) == becomes
    assert (len(made.rewritten), made.rewritten[0].position, made.conversions) == (1, 0, ())
    for image in images(shape, dtype):
        for delegate in (True, False):
            expected = run(before, image, delegate=delegate)
            np.testing.assert_array_equal(run(made.content, image, delegate=delegate), expected)
        assert expected.dtype == dtype
        assert len(np.unique(expected)) > 1


@pytest.mark.parametrize(
    ("side", "padding", "step"), [(5, "SAME", 1), (4, "SAME", 2), (3, "VALID", 1), (2, "VALID", 2)]
)
@pytest.mark.parametrize(("scale", "zero"), [(0.0235, -128), (1.7, 3), (0.5, 0), (3e-4, 127)])
def test_an_average_in_floats_rounds_like_the_integers(
    side: int, padding: str, step: int, scale: float, zero: int
) -> None:
    shape = (1, 9, 11, 24)
    before = in_int8(converted(average(side, padding, step), shape), scale=scale, zero=zero)
    made = only(before, "xnnpack")
    assert kinds(made.content).count("AVERAGE_POOL_2D") == 1
    assert [one.operation for one in made.conversions] == ["DEQUANTIZE", "QUANTIZE"]
    small = [np.random.default_rng(1).integers(-2, 3, shape).astype(np.int8)]  # averages near ties of both signs
    ties = 0
    for image in (*images(shape, "int8", count=6), *small):
        expected = run(before, image, delegate=False)
        for delegate in (True, False):
            np.testing.assert_array_equal(run(made.content, image, delegate=delegate), expected)
        ties += tied(image, side, padding, step)
    assert (ties > 0) == (side % 2 == 0 or padding == "SAME"), "ties are what could go wrong"


def on_grids(content: bytes, *grids: tuple[float, int]) -> bytes:
    """The same file of one operation in int8 with these scales and zero points at its ends."""
    model = unpack(in_int8(content, scale=1.0, zero=0))
    graph = model.subgraphs[0]
    for tensor, (scale, zero) in zip((graph.inputs[0], graph.outputs[0]), grids, strict=True):
        graph.tensors[tensor].quantization.scale = np.asarray([scale], np.float32)
        graph.tensors[tensor].quantization.zeroPoint = np.asarray([zero], np.int64)
    return pack(model)


RNG = np.random.default_rng(3)
GRIDS = [
    ((0.02, -7), (0.02, -7)),
    ((0.5, 3), (1.0, -128)),  # ties everywhere
    ((1.5, 0), (1.0, -128)),
    ((0.75, -128), (0.5, -100)),
    *(((float(RNG.uniform(0.5, 4.0)) * 0.03, int(RNG.integers(-128, 60))), (0.03, -128)) for _ in range(12)),
]


@pytest.mark.parametrize("activation", [tf.nn.relu, tf.nn.relu6])
@pytest.mark.parametrize("grids", GRIDS)
def test_a_rectifier_moves_every_integer_alike(activation: Network, grids: tuple[Any, Any]) -> None:
    shape = (1, 16, 8, 2)
    before = on_grids(converted(activation, shape), *grids)
    assert [one.operation.index for one in split(read_content(before, name="before"), find("xnnpack")).refused] == [0]
    made = only(before, "xnnpack")
    assert kinds(made.content) == ["DEPTHWISE_CONV_2D"]
    assert made.conversions == ()
    image = np.arange(-128, 128).astype(np.int8).reshape(shape)
    expected = run(before, image)
    assert len(np.unique(expected)) >= 5
    for delegate in (True, False):
        np.testing.assert_array_equal(run(made.content, image, delegate=delegate), expected)
    assert split(read_content(made.content, name="after"), find("xnnpack")).refused == ()


def test_a_rectifier_of_no_image_stays() -> None:
    before = on_grids(converted(tf.nn.relu, (1, 12)), (0.02, 0), (0.01, -128))
    assert rewrite(before, target="xnnpack", at=[0]) == Result(before, (), ())


def test_ties_are_moved_off() -> None:
    assert same_rounding(Grid(8, (0.3,), 5), Grid(8, (0.3,), 5)) == 1.0
    weight = same_rounding(Grid(8, (0.5,)), Grid(8, (1.0,), -128))
    assert weight is not None
    assert 1.0 < weight < 1.001


def tied(image: np.ndarray, side: int, padding: str, step: int) -> int:
    """How many averages lie halfway between two integers."""
    exact = np.asarray(tf.nn.avg_pool2d(image.astype(np.float64), side, step, padding))
    return int((exact % 1 == 0.5).sum())


@pytest.mark.parametrize("target", ["gpu", "nnapi"])
def test_class_ids_in_32_bits(target: str) -> None:
    before, shape = converted(lambda x: tf.argmax(x, -1), (1, 6, 4, 5)), (1, 6, 4, 5)
    made = only(before, target)
    (image, *_) = images(shape, "float32")
    assert (run(before, image).dtype, run(made.content, image).dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(run(before, image), run(made.content, image))


@pytest.mark.parametrize(
    ("target", "network", "shape"),
    [
        ("xnnpack", nearest(7, 7), (1, 2, 3, 3)),
        ("xnnpack", nearest(2, 2, half=False, aligned=True), (1, 2, 3, 3)),
        ("xnnpack", nearest(3, 3, half=False), (1, 2, 3, 3)),
        ("xnnpack", lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"), (1, 4, 4, 3)),
        ("xnnpack", average(5, "SAME"), (1, 6, 6, 3)),
        ("edgetpu", lambda x: tf.image.resize(x, (7, 5)), (1, 1, 1, 3)),
        ("ethos-u", nearest(16, 8), (1, 2, 3, 3)),
        ("gpu", nearest(2, 2), (1, 2, 3, 3)),
    ],
)
def test_what_breaks_a_condition_stays(target: str, network: Network, shape: tuple[int, ...]) -> None:
    before = converted(network, shape)
    assert rewrite(before, target=target, at=[0]) == Result(before, (), ())


def test_a_row_of_pixels_stays() -> None:
    before = before_of(lambda x: tf.image.resize(x, (7, 5)), (1, 1, 2, 3), "int8")
    assert rewrite(before, target="edgetpu", at=[0]) == Result(before, (), ())


def test_large_windows_stay() -> None:
    before = in_int8(converted(average(6, "SAME"), (1, 9, 9, 3)), scale=0.5, zero=0)
    assert rewrite(before, target="xnnpack", at=[0]) == Result(before, (), ())


def test_several_in_one_graph(tmp_path: Path) -> None:
    """Places are those before, order and layers stay, and XNNPACK itself makes one part of it."""

    def network(x: Any) -> Any:
        x = nearest(2, 2)(tf.nn.relu(x))
        y = every(2)(tf.nn.relu(x + 1.0))
        return tf.nn.relu(tf.nn.relu(x) + nearest(2, 2)(y))

    shape = (1, 4, 6, 8)
    before = converted(network, shape)
    graph = read_content(before, name="before")
    refused = [one.operation.index for one in split(graph, find("xnnpack")).refused]
    made = rewrite(before, target="xnnpack", at=refused)
    assert [one.position for one in made.rewritten] == refused
    assert [one.rewrite.name for one in made.rewritten] == ["nearest by copies", "strided pixels", "nearest by copies"]
    path = tmp_path / "fitted.tflite"
    path.write_bytes(made.content)
    opinion = judges.ask(read_graph(path), "xnnpack")
    assert (opinion.partitions, opinion.left) == (1, frozenset())
    names = [one.outputs[0].name for one in read_graph(path).operations]
    assert len(set(names)) == len(names)
    for image in images(shape, "float32"):
        np.testing.assert_array_equal(run(before, image), run(made.content, image))


@pytest.mark.parametrize(("dtype", "target", "network", "shape", "becomes"), TYPED)
def test_the_target_takes_what_it_refused(
    dtype: str, target: str, network: Network, shape: tuple[int, ...], becomes: list[str]
) -> None:
    before = before_of(network, shape, dtype)
    refused = split(read_content(before, name="before"), find(target)).refused
    assert [one.operation.index for one in refused] == [0]
    after = split(read_content(only(before, target).content, name="after"), find(target))
    assert (len(after.partitions), after.refused) == (1, ())
    assert len(after.taken) == len(becomes)


def test_every_rewrite_states_itself() -> None:
    assert len({one.name for one in REWRITES}) == len(REWRITES)
    assert set(TARGETS) <= set(DELEGATES)
    for one in REWRITES:
        assert set(one.targets) <= set(TARGETS), one.name
        assert len(set(one.targets)) == len(one.targets) > 0
        assert "bit for bit" in one.sentence or "the same class ids" in one.sentence
