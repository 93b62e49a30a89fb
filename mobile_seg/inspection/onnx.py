"""Look into an `.onnx` file through its protobuf; nothing is run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_seg.errors import MissingExtraError
from mobile_seg.inspection.records import Inspection, Layer, Quantization, Tensor, damaged, most_frequent
from mobile_seg.inspection.weights import Constant, Weights, stored_as
from mobile_seg.manifest import MEMBER, Manifest

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX's names that differ from everybody else's; of the others, the lower case is the same."""

BITS = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 64),
    **dict.fromkeys(("float32", "int32", "uint32"), 32),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 16),
    **dict.fromkeys(("int4", "uint4", "float4e2m1"), 4),
    **dict.fromkeys(("int2", "uint2"), 2),
    "complex128": 128,
}
"""Bits of a value; 8 where nothing is said."""

UNPACKING = ("DequantizeLinear", "Cast", "Identity", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "QuantizeLinear")
"""Operations that, on a constant, only bring it into another form."""


def protobuf() -> Any:
    """The `onnx` package.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            'reading .onnx files needs the onnx package; install it with: pip install "mobile-seg[onnx]"'
        ) from error
    return onnx


def inspect_onnx(path: Path) -> Inspection:
    """Look into a file.

    Raises:
        ArtifactError: if it is damaged.
        MissingExtraError: if the `onnx` package is not installed.
    """
    onnx, content = protobuf(), path.read_bytes()
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError, whose module differs between its versions
        raise damaged(path, f"it is no ONNX model ({_first_line(error)})") from error
    if not model.graph.node and not model.graph.output:
        raise damaged(path, "it holds no graph")
    found = _Graph(onnx, model.graph)
    metadata = {_text(prop.key): _text(prop.value) for prop in model.metadata_props}
    text = metadata.pop(MEMBER, None)
    producer = " ".join(filter(None, map(_text, (model.producer_name, model.producer_version))))
    about = {"producer": producer, "domain": _text(model.domain), "description": _text(model.doc_string), **metadata}
    sets = {_text(one.domain): one.version for one in model.opset_import}
    others = "".join(f", {name} {version}" for name, version in sorted(sets.items()) if name not in ("", "ai.onnx"))
    return Inspection(
        path=str(path),
        format="ONNX",
        size_bytes=len(content),
        runtime=f"ONNX opset {sets.get('', sets.get('ai.onnx', 'unknown'))}{others} (IR version {model.ir_version})",
        inputs=tuple(found.shown(value) for value in model.graph.input if value.name not in found.held),
        outputs=tuple(found.shown(value) for value in model.graph.output),
        quantization=found.quantization(),
        operations=most_frequent(_text(node.op_type) for node in _nodes(model.graph)),
        layers=found.layers,
        metadata={key: value for key, value in about.items() if value},
        manifest=None if text is None else Manifest.from_json(text),
    )


class _Graph:
    """The main graph, its constants and grids."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx, self.graph = onnx, graph
        self.held: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.held |= {node.output[0]: value for node in graph.node for value in _constant(node)}
        self.quantizing = [node for node in _nodes(graph) if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
        self.grids = self._grids()
        self.layers = self._layers()

    def shown(self, value: Any) -> Tensor:
        """An input or output, on the grid that it is read or written on."""
        kind = value.type.tensor_type
        shape = tuple(
            int(one.dim_value) if one.HasField("dim_value") else (_text(one.dim_param) or -1) for one in kind.shape.dim
        )
        return Tensor(_text(value.name), shape, self._dtype(kind.elem_type), *self.grids.get(value.name, (None, None)))

    def quantization(self) -> Quantization:
        """What activations are rounded to, and what weights are stored as."""
        activations = sorted(
            {
                self._zero_dtype(node)
                for node in self.quantizing
                if node.op_type == "QuantizeLinear" and node.input and node.input[0] not in self.held
            }
        )
        stored = stored_as(self.layers)
        scales = {node.input[1] for node in self.quantizing if len(node.input) > 1}
        counts = [math.prod(self.held[name].dims) for name in scales if name in self.held]
        words = f"{' and '.join(activations)} activations (QDQ), {stored} weights"
        plain = stored if stored == "float32" else f"float activations, {stored} weights"
        return Quantization(words if activations else plain, counts.count(1), sum(count > 1 for count in counts))

    def _layers(self) -> tuple[Layer, ...]:
        weights = Weights()
        for name, tensor in self.held.items():
            dtype, shape = self._dtype(tensor.data_type), tuple(int(side) for side in tensor.dims)
            weights.constant(name, Constant(_text(name), dtype, shape, _stored_bytes(tensor, dtype)))
        for node in _nodes(self.graph):
            own, unpacks = _text(node.name or next(iter(node.output), node.op_type)), node.op_type in UNPACKING
            first_is_held = bool(node.input) and node.input[0] in self.held
            unpacks = unpacks and (first_is_held or node.op_type == "DequantizeLinear")
            weights.operation(own, _text(node.op_type), inputs=node.input, outputs=node.output, unpacks=unpacks)
        return weights.layers()

    def _grids(self) -> dict[Any, tuple[float, int]]:
        """The integers that a quantizing operation reads or writes → their scale and zero point."""
        found: dict[Any, tuple[float, int]] = {}
        for node in self.quantizing:
            ends = node.input if node.op_type == "DequantizeLinear" else node.output
            if len(node.input) < 2 or not ends:
                continue
            scale, zero = self._one(node.input[1]), self._one(node.input[2]) if len(node.input) > 2 else 0
            if scale is not None and zero is not None:
                found.setdefault(ends[0], (float(scale), int(zero)))
        return found

    def _one(self, name: str) -> Any:
        """The single number that a constant holds, else None."""
        tensor = self.held.get(name)
        if tensor is None or math.prod(tensor.dims) != 1:
            return None
        try:
            return self.onnx.numpy_helper.to_array(tensor).reshape(-1)[0].item()
        except Exception:  # a damaged tensor; onnx raises several types
            return None

    def _zero_dtype(self, node: Any) -> str:
        zero = self.held.get(node.input[2]) if len(node.input) > 2 else None
        return "uint8" if zero is None else self._dtype(zero.data_type)

    def _dtype(self, number: int) -> str:
        kinds = self.onnx.TensorProto.DataType
        name = kinds.Name(number).lower() if number in kinds.values() else f"type {number}"
        return DTYPES.get(name, name)


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those of bodies of loops and branches too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(body)


def _constant(node: Any) -> list[Any]:
    if node.op_type != "Constant" or len(node.output) != 1:
        return []
    return [attribute.t for attribute in node.attribute if attribute.name == "value" and attribute.HasField("t")][:1]


def _stored_bytes(tensor: Any, dtype: str) -> int:
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    outside = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
    if outside.get("length", "").isdecimal():
        return int(outside["length"])
    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    count = max(len(getattr(tensor, name)) for name in fields)
    return count * BITS.get(dtype, 8) // 8


def _text(value: str | bytes) -> str:
    """A string; protobuf hands over one that is no UTF-8 as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
