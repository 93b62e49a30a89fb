"""Core ML packages (ML Program), from a function of static shape, batch 1, that all precisions share."""

import contextlib
import dataclasses
import io
import logging
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.coreml.graph import Preprocessing, plain_graph
from mobile_seg.converters.coreml.metadata import describe
from mobile_seg.converters.coreml.package import package
from mobile_seg.converters.coreml.passes import Weights
from mobile_seg.converters.coreml.rounding import round_together
from mobile_seg.converters.coreml.translate import our_pipeline, our_translations
from mobile_seg.converters.options import PALETTES, PRECISIONS, ExportOptions
from mobile_seg.converters.traced import Head, demand_tensorflow, output_head, traced
from mobile_seg.coremltools_quietly import coremltools
from mobile_seg.errors import ArtifactError, UnsupportedLayerError, UsageError, choose
from mobile_seg.manifest import Manifest, OutputSpec

TARGETS = {"float32": "iOS15", "float16": "iOS15", "w8": "iOS16", **dict.fromkeys(PALETTES, "iOS16"), "int8": "iOS17"}
"""The lowest system that runs each precision: compressed weights came with iOS 16, integer activations with 17."""

_OF_QUANTIZED = ("float16", "int8", "w8")
_OF_FLOAT = ("float32", "float16", *PALETTES)


@dataclass(frozen=True)
class ConvertedGraph:
    """A model specification (`Model_pb2`) and its weights file, before anything is described in it.

    `target` is the lowest system that runs it, `conversions` the grids that it has no integers for.
    """

    specification: Any
    weights: bytes
    target: str
    conversions: tuple[Conversion, ...]


@dataclass(frozen=True)
class TracedModel:
    """A model as coremltools is given it, whatever the precision: a function without variables, batch 1.

    `preprocessing` is what the package does to the image before.
    """

    function: Any
    preprocessing: Preprocessing


def convert_coreml(
    model: keras.Model | TracedModel, *, options: ExportOptions, manifest: Manifest, integer_graph: bool
) -> Converted:
    """Convert a functional Keras model to an `.mlpackage`: path inside → bytes.

    The input is an image (RGB), normalized by the package; the output logits `[1, h, w, C]` (float32) or class ids
    `[1, H, W]` (int32: Core ML has no smaller integers). Everything but float32 is computed in float16, which is what
    the Neural Engine has; int8 moves integers between its operations.

    Args:
        model: image `[N, H, W, 3]` float 0..255 → logits `[N, h, w, C]`; for int8 and w8 the deploy graph of a
            quantization-aware model (`integer_graph` true), for float16 that or a float model. Or what
            `trace_with_output` made of it, once for several precisions.
        manifest: of the Keras model; the package's is derived from it.

    Raises:
        UsageError: if the precision does not fit the model, and as `trace_with_output`.
        UnsupportedLayerError: for an operation that Core ML's converter does not know.
        ArtifactError: if the converter fails, with its reason.
        MissingExtraError: if coremltools is not installed.
    """
    if options.precision not in (_OF_QUANTIZED if integer_graph else _OF_FLOAT):
        raise UsageError(
            f"precision={options.precision!r} does not fit this model: int8 and w8 need a quantized one "
            "(mobile_seg.quantize), float32 and palettes a float one"
        )
    names = (manifest.input.name, manifest.output.name)
    ready = model if isinstance(model, TracedModel) else trace_with_output(model, options.output)
    made = _converted(ready, options.precision, names, half=options.precision != "float32")
    described = _manifest(made.specification, options, manifest)
    describe(made.specification, described, target=made.target)
    return Converted(package(made.specification, made.weights), described, made.conversions)


def trace_with_output(model: keras.Model, output: str, *, images: Iterable[np.ndarray] | None = None) -> TracedModel:
    """Trace image `[N, H, W, 3]` float 0..255 → logits `[N, h, w, C]`, a package's output appended.

    Given `images`, batches as the model takes them, the weights of its first, narrow layers are rounded to half
    precision together (`rounding`): for float16 packages alone.

    Raises:
        UsageError: on a backend other than TensorFlow, for several inputs, or if `logits-full` or `labels` is asked of
            logits at another size than the input's.
    """
    head = output_head(model, output)
    return _trace(model, _then_integers(head) if output == "labels-nearest" else head, images=images)


def convert_graph(
    model: keras.Model,
    *,
    precision: str = "float16",
    head: Head | None = None,
    names: tuple[str, str] = ("image", "segmentation"),
    half: bool = True,
) -> ConvertedGraph:
    """Convert any functional Keras model with one image input `[N, H, W, 3]` of known size and one output.

    Args:
        model: for int8 and w8 the deploy graph of a quantization-aware model.
        head: appended to the output.
        names: of the input and the output in the package.
        half: compute in float16 (never for float32): the Neural Engine has nothing else. Without, int8 rounds as its
            graph does, to the bit but for ties, on the CPU and the GPU.

    Raises:
        UsageError: for an unknown precision or size, several inputs, or on a backend other than TensorFlow.
        UnsupportedLayerError: for an operation that Core ML's converter does not know.
        ArtifactError: if the converter fails, with its reason.
        MissingExtraError: if coremltools is not installed.
    """
    choose("precision", precision, tuple(TARGETS) if precision in PRECISIONS else PRECISIONS)
    return _converted(_trace(model, head), precision, names, half=half and precision != "float32")


def _trace(model: keras.Model, head: Head | None, *, images: Iterable[np.ndarray] | None = None) -> TracedModel:
    demand_tensorflow()
    coremltools()  # said before the work, if it is missing
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.inputs[0].shape[-1] != 3:
        raise UsageError(
            f"{model.name} has inputs {[tuple(one.shape) for one in model.inputs]} and {len(model.outputs)} outputs; "
            "a package takes one image [N, H, W, 3] and gives one tensor"
        )
    graph, preprocessing = plain_graph(model, folded=images is not None)
    if images is not None:
        scale, bias = preprocessing.scale, np.float32(preprocessing.bias)
        round_together(graph, (np.float32(batch) * scale + bias for batch in images))
    return TracedModel(_frozen(traced(graph, head)), preprocessing)


def _converted(model: TracedModel, precision: str, names: tuple[str, str], *, half: bool) -> ConvertedGraph:
    mlmodel, conversions = _run_converter(model, precision, half=half)
    specification = mlmodel.get_spec()
    _rename(specification, names)
    file = Path(mlmodel.weights_dir) / "weight.bin"
    # There is none where every constant is small enough for the specification.
    weights_file = file.read_bytes() if file.is_file() else b""
    return ConvertedGraph(specification, weights_file, TARGETS[precision], conversions)


def _then_integers(head: Head | None) -> Head:
    import tensorflow as tf

    assert head is not None
    return lambda logits: tf.cast(head(logits), tf.int32)


def _frozen(function: Any) -> Any:
    """coremltools would take the variables for inputs."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function)


def _run_converter(model: TracedModel, precision: str, *, half: bool) -> tuple[Any, tuple[Conversion, ...]]:
    ct = coremltools()
    (image,) = model.function.inputs
    kind = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    weights = Weights.of(precision)
    given = ct.ImageType(
        name=image.op.name,
        shape=tuple(image.shape),
        scale=model.preprocessing.scale,
        bias=list(model.preprocessing.bias),
        color_layout=ct.colorlayout.RGB,
    )
    (result,) = model.function.outputs
    taken = ct.TensorType(name=result.op.name, dtype=np.int32 if result.dtype.is_integer else np.float32)
    with _quiet(), our_translations(precision == "int8") as grids, our_pipeline(grids, weights) as pipeline:
        try:
            made = ct.convert(
                [model.function],
                source="tensorflow",
                convert_to="mlprogram",
                inputs=[given],
                outputs=[taken],
                minimum_deployment_target=getattr(ct.target, TARGETS[precision]),
                compute_precision=kind,
                pass_pipeline=pipeline,
                skip_model_load=True,
            )
        except (UnsupportedLayerError, ArtifactError):
            raise
        except NotImplementedError as error:
            # Its temporary folder goes now, not with a warning when the traceback does.
            traceback.clear_frames(error.__traceback__)
            raise UnsupportedLayerError(
                f"Core ML conversion failed: {_first_line(error)}; rebuild the model without that operation"
            ) from error
        except Exception as error:  # the converter raises whatever its passes raise
            traceback.clear_frames(error.__traceback__)
            raise ArtifactError(
                f"Core ML conversion failed: {_first_line(error)}; rebuild the model without what is named there"
            ) from error
    return made, grids.conversions()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop progress bars and advice: what coremltools says of versions, NumPy of its casts."""
    log = logging.getLogger("coremltools")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _rename(specification: Any, names: tuple[str, str]) -> None:
    rename = coremltools().utils.rename_feature
    description = specification.description
    for feature, name, is_input in ((description.input[0], names[0], True), (description.output[0], names[1], False)):
        rename(specification, feature.name, name, rename_inputs=is_input, rename_outputs=not is_input)


def _manifest(specification: Any, options: ExportOptions, manifest: Manifest) -> Manifest:
    """The package's manifest, with what the specification itself says of its output."""
    from coremltools.proto import FeatureTypes_pb2

    array = specification.description.output[0].type.multiArrayType
    kind = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType).lower()
    output = OutputSpec(
        kind=options.output,
        height=int(array.shape[1]),
        width=int(array.shape[2]),
        dtype=kind,
        name=manifest.output.name,
    )
    return dataclasses.replace(
        manifest,
        precision=options.precision,
        input=dataclasses.replace(manifest.input, dtype="image", normalized_outside=False),
        output=output,
    )
