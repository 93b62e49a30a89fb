"""From a `tf_keras` model to the bytes of a `.tflite`, the way TF-MOT's guide shows, and what they weigh.

This is the peer's own way on purpose: through a SavedModel, batch size open. Ours is `mobile_seg.converters`.
"""

import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, UsageError


@dataclass(frozen=True)
class FileSize:
    """What a `.tflite` weighs: bytes, bytes after zlib level 9, kernel values, and how many of these are zero."""

    bytes: int
    compressed: int
    weights: int
    zeros: int


def export(model: Any, *, integer_io: bool = False) -> bytes:
    """Convert a model that TF-MOT prepared for quantization: TFLiteConverter, Optimize.DEFAULT.

    With `integer_io` the file takes and gives int8 tensors instead of floats.

    Raises:
        ArtifactError: if the converter fails, with its reason.
    """
    return _converted(model, lambda converter, tf: _quantize(converter, tf, integer_io))


def float_bytes(model: Any) -> bytes:
    """Convert a float model as it is; raises as `export` does."""
    return _converted(model, lambda converter, tf: None)


def ptq_bytes(model: Any, images: Iterable[np.ndarray], *, integer_io: bool = False) -> bytes:
    """Plain TFLite post-training quantization: Optimize.DEFAULT with a representative dataset.

    Args:
        images: batches `[N, H, W, C]` as `model` takes them; each image is shown to the converter on its own.

    Raises:
        UsageError: without an image.
        ArtifactError: as `export`.
    """
    shown = [np.asarray(image, np.float32)[None] for batch in images for image in batch]
    if not shown:
        raise UsageError("post-training quantization got no image; give at least one batch")

    def representative() -> Iterator[list[np.ndarray]]:
        for image in shown:
            yield [image]

    def configure(converter: Any, tf: Any) -> None:
        _quantize(converter, tf, integer_io)
        converter.representative_dataset = representative

    return _converted(model, configure)


def file_size(content: bytes) -> FileSize:
    """Measure a `.tflite`. Kernels are its constant float or int8 tensors of two axes or more.

    Zeros are real zeros: an int8 value that equals its tensor's zero point.

    Raises:
        ArtifactError: if the bytes are no TFLite model.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ArtifactError("the bytes are no TFLite model (no TFL3 mark at their start); export it again")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    kinds = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}
    weights = zeros = 0
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is None or tensor.type not in kinds or tensor.shape is None or len(tensor.shape) < 2:
            continue
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), kinds[tensor.type])
        quantization = tensor.quantization
        # Kernels are symmetric: one zero point for all channels, 0.
        offset = quantization.zeroPoint[0] if quantization is not None and quantization.zeroPoint is not None else 0
        weights += values.size
        zeros += int(np.count_nonzero(values == offset))
    return FileSize(len(content), len(zlib.compress(content, 9)), weights, zeros)


def _quantize(converter: Any, tf: Any, integer_io: bool) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if integer_io:
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8


def _converted(model: Any, configure: Callable[[Any, Any], None]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    configure(converter, tf)
    try:
        with warnings.catch_warnings():
            # They stand in the graph as fake-quantization ranges.
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            return converter.convert()
    except Exception as error:  # the converter raises several unrelated types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"TFLite conversion of the tf_keras model failed: {reason.rstrip('.')}; quantize it with the built-in "
            "engine instead"
        ) from error
