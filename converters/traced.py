"""A Keras model as TensorFlow's converters want it: one concrete function of static shape."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from mobile_seg.converters.limits import demand_sizes
from mobile_seg.errors import UsageError
from mobile_seg.manifest import AT_INPUT_SIZE

Head = Callable[[Any], Any]
"""What follows the model's output inside the file, in TensorFlow operations."""


def traced(graph: keras.Model, head: Head | None = None, *, byte_input: bool = False) -> Any:
    """Return the concrete function of one sample, `head` behind its output.

    TFLite's converter makes constants of its variables; made here as well, they cost a third more time and memory.

    Raises:
        UsageError: if a size of an input is open.
    """
    import tensorflow as tf

    demand_sizes(graph)
    kind = tf.uint8 if byte_input else tf.float32
    signature = [tf.TensorSpec((1, *tensor.shape[1:]), kind, tensor.name) for tensor in graph.inputs]

    @tf.function(input_signature=signature)
    def computed(*inputs: Any) -> Any:
        floats = [tf.cast(one, tf.float32) for one in inputs]
        output = graph(floats[0] if len(floats) == 1 else floats, training=False)
        return output if head is None else head(output)

    with _dilated_depthwise_as_one_operation():
        return computed.get_concrete_function()


def demand_tensorflow() -> None:
    """Check the backend.

    Raises:
        UsageError: if it is another: only TensorFlow's graphs are converted.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"exporting needs the TensorFlow backend, this process runs on {keras.backend.backend()}; what is trained "
            "is saved: give the command again with KERAS_BACKEND=tensorflow set (and --resume, where it trains)"
        )


@contextlib.contextmanager
def _dilated_depthwise_as_one_operation() -> Iterator[None]:
    """Trace dilated depthwise convolutions without SPACE_TO_BATCH and BATCH_TO_SPACE around them.

    TensorFlow merges those of two convolutions that read one tensor at one rate, as in the two ASPPs of
    Panoptic-DeepLab; then its converter does not know the pattern any more and leaves them in the file.
    """
    import tensorflow as tf

    backend = keras.src.backend.nn
    usual = backend.depthwise_conv

    def traced(inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", *rest: Any, **named: Any) -> Any:
        rate = named.get("dilation_rate", rest[1] if len(rest) > 1 else 1)
        rates = (rate, rate) if isinstance(rate, int) else tuple(rate)
        strided = max((strides, strides) if isinstance(strides, int) else strides) > 1
        first = (named.get("data_format") or (rest[0] if rest else None)) == "channels_first"
        # This operation has no strides beside rates, and no channels first: what it cannot say stays as it is.
        if max(rates) == 1 or strided or first:
            return usual(inputs, kernel, strides, padding, *rest, **named)
        return tf.raw_ops.DepthwiseConv2dNative(
            input=inputs, filter=kernel, strides=[1, 1, 1, 1], padding=padding.upper(), dilations=[1, *rates, 1]
        )

    backend.depthwise_conv = traced
    try:
        yield
    finally:
        backend.depthwise_conv = usual


def output_head(model: keras.Model, output: str) -> Head | None:
    """What turns the model's logits into an artifact's output: an argmax, or nothing.

    Raises:
        UsageError: for `logits-full` or `labels` of a model whose logits have another size than its input.
    """
    size = tuple(model.input_shape[1:3])
    if output in AT_INPUT_SIZE and tuple(model.output_shape[1:3]) != size:
        raise UsageError(
            f"output={output!r} needs logits at the input's size, {model.name} gives {model.output_shape}; "
            "pass it through mobile_seg.quantization.full_size.at_input_size before deploying it"
        )
    if not output.startswith("labels"):
        return None
    return _labels if output == "labels" else lambda logits: _nearest(logits, size)


def _labels(logits: Any) -> Any:
    """`[1, H, W, C]` → class ids `[1, H, W]`, the first of equals."""
    import tensorflow as tf

    # int32: GPU delegates and NPUs refuse the default int64.
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _nearest(logits: Any, size: tuple[int, int]) -> Any:
    """`[1, h, w, C]` → class ids `[1, H, W]` of the nearest pixel, as floats: no converter resizes integers."""
    import tensorflow as tf

    ids = tf.cast(_labels(logits), tf.float32)
    ids = tf.reshape(ids, (*ids.shape, 1))
    resized = tf.compat.v1.image.resize_nearest_neighbor(ids, size, half_pixel_centers=True)
    return tf.reshape(resized, (1, *size))
