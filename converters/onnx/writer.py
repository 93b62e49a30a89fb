"""ONNX artifacts: a Keras graph written node by node, with static shapes and one sample."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mobile_seg.converters.builder import Conversion
from mobile_seg.converters.converted import Converted
from mobile_seg.converters.limits import demand_room, demand_sizes
from mobile_seg.converters.onnx.ends import Ends, finished, given, input_rescaling
from mobile_seg.converters.onnx.graph import IR_VERSION, OPSET, Builder, Grid, onnx_package
from mobile_seg.converters.onnx.layers import value_of
from mobile_seg.converters.onnx.linear import mergers
from mobile_seg.converters.onnx.site import Site, is_quantizer
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.traced import output_head
from mobile_seg.errors import ArtifactError, UsageError, choose
from mobile_seg.graph import nodes, plain, view
from mobile_seg.keras_file import installed_versions
from mobile_seg.manifest import LAYOUTS, MEMBER, OUTPUT_KINDS, InputSpec, Manifest, OutputSpec

IO_TYPES = ("uint8", "float")

PRODUCER = "mobile-seg"


def convert_onnx(model: keras.Model, *, options: ExportOptions, manifest: Manifest, integer_graph: bool) -> Converted:
    """Convert a functional Keras model of standard layers.

    float32 computes in floats; w8 keeps weights as int8, one scale per channel, behind a DequantizeLinear, and computes
    in floats; int8 has a QuantizeLinear/DequantizeLinear pair at each quantizer of the model, with its range, from
    which runtimes make integer kernels. Its activations are unsigned: bytes of the camera stay as they are.

    Args:
        model: image `[N, H, W, 3]` float 0..255 → logits `[N, h, w, C]`; for int8 and w8 the deploy graph of a
            quantization-aware model (`integer_graph` true), for float32 a lowered float model.
        manifest: of the Keras model; the artifact's is derived from it, and travels in its metadata.

    Raises:
        UsageError: for a precision that does not fit the model, or a model too large for a file.
        UnsupportedLayerError: for a layer that no rule is for, by name.
        ArtifactError: for a normalization outside the file that is not the manifest's.
        MissingExtraError: if the package `onnx` is not installed.
    """
    _check_precision(model, options.precision, integer_graph)
    output_head(model, options.output)  # refuses logits at another size than that output has
    ends = Ends(options.io, options.layout, options.output, integer_graph)
    made = _written(model, ends, [manifest.input.name], [manifest.output.name])
    described = _describe(made, options, manifest)
    made.proto.metadata_props.add(key=MEMBER, value=described.to_json())
    content = _checked(made.proto).SerializeToString(deterministic=True)
    return Converted(content, described, made.conversions)


def onnx_model(
    model: keras.Model,
    *,
    integer_graph: bool = False,
    layout: str = "nhwc",
    io: str = "float",
    output: str = "logits",
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Any:
    """Return any functional model of standard layers as an `onnx.ModelProto`, without a manifest.

    Args:
        io: `uint8` or `float`; see `ExportOptions`. A classifier's output is as good as an image's.
        output: `logits` hands out what the model gives; the others end in what their names say.
        inputs: names of the file's inputs, those of the model's by default; `outputs` likewise.

    Raises:
        UsageError, UnsupportedLayerError, MissingExtraError: as `convert_onnx` does.
    """
    choose("io", io, IO_TYPES)
    choose("layout", layout, LAYOUTS)
    choose("output", output, OUTPUT_KINDS)
    ends = Ends(io, layout, output, integer_graph)
    return _checked(_written(model, ends, inputs, outputs).proto)


@dataclasses.dataclass(frozen=True)
class _Written:
    """A model's ONNX form; `grids` of its outputs, `outside`: the input's Rescaling, where that is left to the app."""

    proto: Any
    conversions: tuple[Conversion, ...]
    grids: tuple[Grid | None, ...]
    outside: Any | None


def _written(
    model: keras.Model, ends: Ends, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> _Written:
    onnx = onnx_package()
    model = plain(model)
    demand_sizes(model)
    demand_room(model, weight_bytes=1 if ends.integers else 4, kind=".onnx")
    graph = view(model)
    taken = list(inputs or (tensor._keras_history.operation.name for tensor in model.inputs))
    handed = list(outputs or _apart(graph.outputs, taken))
    shapes = {node.operation.name: (1, *node.output_tensors[0].shape[1:]) for node in nodes(model)}
    site = Site(graph, Builder({*taken, *handed}), shapes, mergers(graph, shapes))
    entering = [given(site, tensor, name, ends) for tensor, name in zip(model.inputs, taken, strict=True)]
    for name in graph.order:
        sources = [site.known[source] for source in graph.inputs[name]]
        site.known[name] = value_of(site, graph.layers[name], *sources)
    size = (model.inputs[0].shape[1], model.inputs[0].shape[2]) if ends.output.startswith("labels") else None
    results = [site.known[source] for source in graph.outputs]
    leaving = [finished(site, value, name, ends, size) for value, name in zip(results, handed, strict=True)]
    helper = onnx.helper
    written = helper.make_graph(site.made.nodes, model.name, entering, leaving, site.made.constants)
    made = helper.make_model(
        written,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        doc_string=f"{model.name}, written by {PRODUCER} from Keras",
        producer_version=installed_versions().get(PRODUCER, ""),
    )
    outside = input_rescaling(site, graph.order[0]) if ends.integers and ends.io == "float" else None
    return _Written(made, tuple(site.made.conversions), tuple(value.grid for value in results), outside)


def _apart(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Names for outputs that no input and no output before has."""
    found: list[str] = []
    for name in names:
        wanted, count = name, 1
        while wanted in (*taken, *found):
            count += 1
            wanted = f"{name}_{count}"
        found.append(wanted)
    return found


def _checked(made: Any) -> Any:
    """The model, once ONNX' own checker has found its nodes and shapes in order."""
    onnx_package().checker.check_model(made, full_check=True)
    return made


def _check_precision(model: keras.Model, precision: str, integer_graph: bool) -> None:
    activations = any(is_quantizer(layer) for layer in model.layers)
    found = ("int8" if activations else "w8") if integer_graph else "float32"
    if precision != found:
        raise UsageError(
            f"precision={precision!r} does not fit this model, which is {found}: int8 and w8 need a quantized one "
            "(mobile_seg.quantize), float32 a float one"
        )


def _describe(made: _Written, options: ExportOptions, manifest: Manifest) -> Manifest:
    """The artifact's manifest, with what the file says of its tensors."""
    if made.outside is not None:
        _check_normalization(made.outside, manifest.input)
    (given,), (leaving,) = made.proto.graph.input, made.proto.graph.output
    dtype = _dtype(leaving)
    grid = made.grids[0] if dtype == "uint8" and not options.gives_labels else None
    size = manifest.input if options.output != "logits" else manifest.output
    entering = dataclasses.replace(
        manifest.input,
        dtype=_dtype(given),
        layout=options.layout,
        normalized_outside=made.outside is not None,
    )
    output = OutputSpec(
        kind=options.output,
        height=size.height,
        width=size.width,
        dtype=dtype,
        scale=None if grid is None else float(np.float32(grid.scale)),
        zero_point=None if grid is None else grid.zero_point,
        name=manifest.output.name,
        layout="nhwc" if options.gives_labels else options.layout,
    )
    return dataclasses.replace(manifest, precision=options.precision, input=entering, output=output)


def _check_normalization(rescaling: Any, spec: InputSpec) -> None:
    """What is left to the caller must be what the manifest tells the caller.

    Raises:
        ArtifactError: if it is not.
    """
    scale, offset = float(np.squeeze(rescaling.scale)), float(np.squeeze(rescaling.offset))
    if abs(scale * spec.std - 1.0) > 1e-6 or abs(offset * spec.std + spec.mean) > 1e-3:
        raise ArtifactError(
            f"the model begins with {scale} · byte + {offset}, its manifest says (byte - {spec.mean}) / {spec.std}; "
            "export with io=uint8, which leaves nothing of it to the app"
        )


def _dtype(tensor: Any) -> str:
    return str(onnx_package().helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type).name)
