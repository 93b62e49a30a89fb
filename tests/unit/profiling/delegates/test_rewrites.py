"""The list of rewrites, and that those called exact are: both ways through LiteRT's own kernels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mobile_seg.profiling.delegates import judges
from mobile_seg.profiling.delegates.check import check_file
from mobile_seg.profiling.delegates.reading import read_graph
from mobile_seg.profiling.delegates.registry import DELEGATES
from mobile_seg.profiling.delegates.rewrites import REWRITES, offered
from mobile_seg.verify.tflite_runner import load_interpreter

Network = Callable[[tf.Tensor], tf.Tensor]


def converted(network: Network, shape: tuple[int, ...]) -> bytes:
    function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32)])
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
    return content


def run(content: bytes, image: np.ndarray) -> np.ndarray:
    interpreter = load_interpreter(content, name="rewritten")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


def nearest(x: tf.Tensor) -> tf.Tensor:
    size = [2 * int(side) for side in x.shape[1:3]]
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, align_corners=False, half_pixel_centers=True)


def by_copies(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.depth_to_space(tf.concat([x, x, x, x], -1), 2)


def resized(x: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(x, (7, 5))


def tiled(x: tf.Tensor) -> tf.Tensor:
    return tf.tile(x, [1, 7, 5, 1])


@pytest.mark.parametrize(
    ("before", "after", "shape"),
    [
        (nearest, by_copies, (1, 6, 4, 3)),
        (resized, tiled, (1, 1, 1, 3)),
        (lambda x: tf.argmax(x, -1), lambda x: tf.argmax(x, -1, output_type=tf.int32), (1, 6, 4, 5)),
    ],
    ids=["nearest by copies", "one pixel tiled", "arg-max in 32 bits"],
)
def test_exact_is_bit_for_bit(before: Network, after: Network, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(run(converted(before, shape), image), run(converted(after, shape), image))


def test_copies_stay_in_one_part(tmp_path: Path) -> None:
    path = tmp_path / "copies.tflite"
    path.write_bytes(converted(lambda x: tf.nn.relu(by_copies(tf.nn.relu(x))), (1, 6, 4, 3)))
    opinion = judges.ask(read_graph(path), "xnnpack")
    assert (opinion.partitions, opinion.left) == (1, frozenset())


def test_what_is_offered_for_a_file(ours: dict[str, Path]) -> None:
    (one,) = check_file(ours["float32"], delegates=["xnnpack"]).delegates
    assert [(rewrite.name, found.layers) for rewrite, found in offered(one)] == [
        ("nearest by copies", ("b02_nearest",))
    ]


def test_every_rewrite_helps_a_delegate_that_is() -> None:
    for rewrite in REWRITES:
        assert set(rewrite.delegates) <= set(DELEGATES), rewrite.name
        assert len(set(rewrite.delegates)) == len(rewrite.delegates)
