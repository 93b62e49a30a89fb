"""TFLite (LiteRT) artifacts, from a frozen concrete function of static shape, batch 1."""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.deploy import deploy_graph
from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.integer import IntegerWriter
from mobile_seg.converters.metadata import finish
from mobile_seg.converters.options import INTEGER_PRECISIONS, IO_TYPES, PRECISIONS, ExportOptions
from mobile_seg.errors import ArtifactError, UsageError, choose
from mobile_seg.manifest import InputSpec, Manifest, OutputSpec


@dataclass(frozen=True)
class ConvertedGraph:
    """A TFLite file's bytes, and every conversion between grids inside it, each with its reason."""

    content: bytes
    conversions: tuple[Conversion, ...]


@dataclass(frozen=True)
class Converted(ConvertedGraph):
    """An artifact: its bytes, manifest inside, and that manifest."""

    manifest: Manifest


LARGEST = 2**31 - 2**24
"""Bytes of weights that fit a file: its offsets are signed and have 32 bits, and the graph needs some room."""

Head = Callable[[Any], Any]
"""What follows the model's output inside the file, in TensorFlow operations."""


def convert(model: keras.Model, *, options: ExportOptions, manifest: Manifest, integer_graph: bool) -> Converted:
    """Convert a functional Keras model.

    Args:
        model: image `[N, H, W, 3]` float 0..255 → logits `[N, h, w, C]`; for int8, int16x8 and w8 the deploy
            graph of a quantization-aware model (`integer_graph` true), for float16 that or a float model.
        manifest: of the Keras model; the artifact's is derived from it.

    Raises:
        UsageError: for integers without quantizers or float32 with them, on a backend other than TensorFlow, or
            if `logits-full` or `labels` is asked of logits at another size than the input's.
        ArtifactError: if the converter fails, with its reason.
    """
    fits = ("float16", "int8", "int16x8", "w8") if integer_graph else ("float32", "float16")
    if options.precision not in fits:
        raise UsageError(
            f"precision={options.precision!r} does not fit this model: int8, int16x8 and w8 need a quantized one "
            "(mobile_seg.quantize), float32 a float one"
        )
    if options.output != "logits" and tuple(model.output_shape[1:3]) != tuple(model.input_shape[1:3]):
        raise UsageError(
            f"output={options.output!r} needs logits at the input's size, {model.name} gives {model.output_shape}; "
            "pass it through mobile_seg.quantization.full_size.at_input_size before deploying it"
        )
    head = _labels if options.output == "labels" else None
    made = convert_graph(model, precision=options.precision, io=options.io, head=head)
    described = _describe(made.content, options, manifest)
    return Converted(finish(made.content, described), made.conversions, described)


def convert_graph(
    model: keras.Model, *, precision: str = "int8", io: str = "int8", head: Head | None = None
) -> ConvertedGraph:
    """Convert any functional Keras model with inputs of known size; the file takes one sample at a time.

    Args:
        model: for int8, int16x8 and w8 the deploy graph of a quantization-aware model.
        io: `int8`: integers at both ends, of the bits that the graph has there; `uint8`: the input is bytes;
            `float`: floats. Where the activations are integers, a leading Rescaling is part of the input's grid.
        head: appended to the output.

    Raises:
        UsageError: for an unknown name or size, a model too large for a file, or on a backend other than TensorFlow.
        ArtifactError: if the converter fails, with its reason.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"exporting needs the TensorFlow backend, this process runs on {keras.backend.backend()}; what is trained "
            "is saved: give the command again with KERAS_BACKEND=tensorflow set (and --resume, where it trains)"
        )
    choose("precision", precision, PRECISIONS)
    choose("io", io, ("int8", *IO_TYPES))
    size = 4 * model.count_params()
    if size > LARGEST:
        raise UsageError(
            f"{model.name} has {size / 4e6:.0f} million weights, {size / 1e9:.1f} GB as float32, through which every "
            "precision is converted; a .tflite file ends at 2 GB: build a narrower or shallower network"
        )
    integers = precision in INTEGER_PRECISIONS
    graph = deploy_graph(model, strip_rescaling=integers, wide=precision == "int16x8")
    content = _run_converter(_frozen(graph, head, byte_input=io == "uint8" and not integers), precision)
    if not (integers or precision == "w8"):
        return ConvertedGraph(content, ())
    writer = IntegerWriter(unpack(content))
    return ConvertedGraph(pack(writer.write(io=io)), writer.conversions)


def _labels(logits: Any) -> Any:
    """`[1, H, W, C]` → class ids `[1, H, W]`, the first of equals."""
    import tensorflow as tf

    # int32: GPU delegates and NPUs refuse the default int64.
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def _frozen(graph: keras.Model, head: Head | None, *, byte_input: bool) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = []
    for tensor in graph.inputs:
        if None in tensor.shape[1:]:
            raise UsageError(f"{graph.name} takes {tensor.shape}; a file has one size: build it with all sizes given")
        kind = tf.uint8 if byte_input else tf.float32
        signature.append(tf.TensorSpec((1, *tensor.shape[1:]), kind, tensor.name))

    @tf.function(input_signature=signature)
    def computed(*inputs: Any) -> Any:
        floats = [tf.cast(one, tf.float32) for one in inputs]
        output = graph(floats[0] if len(floats) == 1 else floats, training=False)
        return output if head is None else head(output)

    with _dilated_depthwise_as_one_operation():
        return convert_variables_to_constants_v2(computed.get_concrete_function())


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
        if max(rates) == 1:
            return usual(inputs, kernel, strides, padding, *rest, **named)
        return tf.raw_ops.DepthwiseConv2dNative(
            input=inputs, filter=kernel, strides=[1, 1, 1, 1], padding=padding.upper(), dilations=[1, *rates, 1]
        )

    backend.depthwise_conv = traced
    try:
        yield
    finally:
        backend.depthwise_conv = usual


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Drop what the converter advises and we do otherwise on purpose.

    To convert through a SavedModel, which splits dilated convolutions; to give statistics to quantize
    from, which stand in our graph as fake-quantization ranges.
    """

    def unasked(record: logging.LogRecord) -> bool:
        return "trackable_obj" not in record.getMessage()

    log = logging.getLogger("absl")
    log.addFilter(unasked)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
            yield
    finally:
        log.removeFilter(unasked)


@_without_advice()
def _run_converter(frozen: Any, precision: str) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # the converter raises several unrelated types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"TFLite conversion failed: {reason.rstrip('.')}; the operation named there has no TFLite kernel: rebuild "
            "the model without it"
        ) from error


def _describe(content: bytes, options: ExportOptions, manifest: Manifest) -> Manifest:
    """The artifact's manifest, with what the converted file itself says of its tensors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    normalized_outside = options.integer_activations and options.io == "float"
    scale, zero_point = made["quantization"]
    quantized = made["dtype"].__name__ in ("int8", "int16")
    if options.integer_io:
        _check_bytes_are_the_input(given["quantization"], manifest.input)
    return dataclasses.replace(
        manifest,
        precision=options.precision,
        input=dataclasses.replace(manifest.input, dtype=given["dtype"].__name__, normalized_outside=normalized_outside),
        output=OutputSpec(
            kind=options.output,
            height=int(made["shape"][1]),
            width=int(made["shape"][2]),
            dtype=made["dtype"].__name__,
            scale=float(scale) if quantized else None,
            zero_point=int(zero_point) if quantized else None,
        ),
    )


def _check_bytes_are_the_input(quantization: tuple[float, int], spec: InputSpec) -> None:
    """A byte b must stand for (b - mean) / std, or the app would feed another image than was trained on.

    Raises:
        ArtifactError: if the converter chose another scale or zero point.
    """
    scale, zero_point = quantization
    if abs(scale * spec.std - 1.0) > 1e-6 or zero_point != spec.mean:
        raise ArtifactError(
            f"the input tensor has scale {scale} and zero point {zero_point}, but the model was trained on "
            f"(byte - {spec.mean}) / {spec.std}; its normalization does not fit whole bytes, export with io=float"
        )
