"""TFLite (LiteRT) artifacts, from a concrete function of static shape, batch 1."""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.deploy import deploy_graph
from mobile_seg.converters.flat import operator_code, pack, unpack
from mobile_seg.converters.halves import halved
from mobile_seg.converters.integer import IntegerWriter
from mobile_seg.converters.limits import demand_room
from mobile_seg.converters.metadata import finish
from mobile_seg.converters.options import INTEGER_PRECISIONS, IO_TYPES, PRECISIONS, ExportOptions
from mobile_seg.converters.reorder import enlarge_last, spread_last
from mobile_seg.converters.traced import Head, demand_tensorflow, output_head, traced
from mobile_seg.errors import ArtifactError, UsageError, choose
from mobile_seg.manifest import InputSpec, Manifest, OutputSpec


@dataclass(frozen=True)
class ConvertedGraph:
    """A TFLite file's bytes, and every conversion between grids inside it, each with its reason."""

    content: bytes
    conversions: tuple[Conversion, ...]


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
    return complete(bare(model, options=options, integer_graph=integer_graph), options=options, manifest=manifest)


def bare(model: keras.Model, *, options: ExportOptions, integer_graph: bool) -> ConvertedGraph:
    """Convert without what a file says of itself; see `convert`, also for what it raises."""
    fits = ("float16", "int8", "int16x8", "w8") if integer_graph else ("float32", "float16")
    if options.precision not in fits:
        raise UsageError(
            f"precision={options.precision!r} does not fit this model: int8, int16x8 and w8 need a quantized one "
            "(mobile_seg.quantize), float32 a float one"
        )
    head = output_head(model, options.output)
    made = convert_graph(model, precision=options.precision, io=options.io, head=head)
    content = _with_ids_as_bytes(made.content) if options.output == "labels-nearest" else made.content
    return ConvertedGraph(content, made.conversions)


def complete(made: ConvertedGraph, *, options: ExportOptions, manifest: Manifest) -> Converted:
    """Give a converted graph its manifest, derived from the Keras model's, and what else travels in the file.

    Raises:
        ArtifactError: if the graph's input does not stand for the camera's bytes.
    """
    described = _describe(made.content, options, manifest)
    return Converted(finish(made.content, described), described, made.conversions)


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
    demand_tensorflow()
    choose("precision", precision, PRECISIONS)
    choose("io", io, IO_TYPES)
    demand_room(model, weight_bytes=4, kind=".tflite", form="as float32, through which every precision is converted")
    integers = precision in INTEGER_PRECISIONS
    graph = deploy_graph(model, strip_rescaling=integers, wide=precision == "int16x8")
    content = _run_converter(traced(graph, head, byte_input=io == "uint8" and not integers))
    if not (integers or precision == "w8"):
        floats = unpack(content)
        content = spread_last(pack(floats) if enlarge_last(floats) else content)
        return ConvertedGraph(halved(content) if precision == "float16" else content, ())
    writer = IntegerWriter(unpack(content))
    made = writer.write(io=io)
    enlarge_last(made)
    return ConvertedGraph(pack(made), writer.conversions)


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
def _run_converter(function: Any) -> bytes:
    import tensorflow as tf

    try:
        return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    except Exception as error:  # the converter raises several unrelated types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"TFLite conversion failed: {reason.rstrip('.')}; the operation named there has no TFLite kernel: rebuild "
            "the model without it"
        ) from error


def _with_ids_as_bytes(content: bytes) -> bytes:
    """Move class ids as uint8 behind the argmax: TensorFlow's converter resizes floats only, LiteRT bytes too."""
    model = unpack(content)
    graph, ids = model.subgraphs[0], set()
    for operator in graph.operators:
        code = operator_code(model, operator)
        if code == schema.BuiltinOperator.ARG_MAX:
            ids.add(int(operator.outputs[0]))
        elif ids.intersection(map(int, operator.inputs)):
            if operator.builtinOptions is not None and code == schema.BuiltinOperator.CAST:
                operator.builtinOptions.outDataType = schema.TensorType.UINT8
            for tensor in operator.outputs:
                graph.tensors[tensor].type = schema.TensorType.UINT8
                ids.add(int(tensor))
    return pack(model)


def _describe(content: bytes, options: ExportOptions, manifest: Manifest) -> Manifest:
    """The artifact's manifest, with what the converted file itself says of its tensors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    normalized_outside = options.integer_activations and options.io == "float"
    scale, zero_point = made["quantization"]
    quantized = made["dtype"].__name__ in ("int8", "int16")
    if options.integer_io:
        step, zero = given["quantization"]
        _check_bytes_are_the_input(step, zero + (128 if options.io == "int8" else 0), manifest.input)
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


def _check_bytes_are_the_input(scale: float, zero_point: int, spec: InputSpec) -> None:
    """A byte b must stand for (b - mean) / std, or the app would feed another image than was trained on.

    Raises:
        ArtifactError: if the converter chose another scale or zero point.
    """
    if abs(scale * spec.std - 1.0) > 1e-6 or zero_point != spec.mean:
        raise ArtifactError(
            f"the input tensor has scale {scale} and zero point {zero_point}, but the model was trained on "
            f"(byte - {spec.mean}) / {spec.std}; its normalization does not fit whole bytes, export with io=float"
        )
