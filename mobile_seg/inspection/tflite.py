"""Look into a `.tflite` file, in pure Python, whatever stands in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_seg.converters.tflite_metadata import ENTRY, parse
from mobile_seg.converters.tflite_versions import MIN_RUNTIME, runtime_need
from mobile_seg.flat_tables import BrokenTables, read
from mobile_seg.inspection.archive import members
from mobile_seg.inspection.mediapipe import reads
from mobile_seg.inspection.records import Inspection, Layer, Quantization, Tensor, damaged, most_frequent
from mobile_seg.inspection.weights import Constant, Weights, stored_as
from mobile_seg.tflite_schema import CUSTOM, IDENTIFIER, names, schema

UNPACKING = ("DEQUANTIZE", "DENSIFY")
"""Operations that turn stored weights into the floats that are computed with."""

FLOATS = ("float16", "bfloat16", "float32", "float64")


def inspect_tflite(path: Path) -> Inspection:
    """Look into a file.

    Raises:
        ArtifactError: if it is damaged.
        MissingExtraError: if LiteRT, whose schema names operations and types, is not installed.
    """
    content = path.read_bytes()
    try:
        model = read(schema(), "Model", content, identifier=IDENTIFIER)
        found = _Model(model, content)
        return found.inspection(path)
    except (BrokenTables, IndexError, KeyError) as error:
        reason = error if isinstance(error, BrokenTables) else f"a number in it leads nowhere ({error})"
        raise damaged(path, reason) from error


class _Model:
    """A file's tables, with what they mean."""

    def __init__(self, model: dict[str, Any], content: bytes) -> None:
        self.model, self.content = model, content
        self.graphs: list[dict[str, Any]] = model.get("subgraphs", [])
        self.buffers: list[dict[str, Any]] = model.get("buffers", [])
        if not self.graphs:
            raise BrokenTables("a model without a graph")
        self.operations, self.dtypes = names("BuiltinOperator"), names("TensorType")
        self.codes = [self._code(code) for code in model.get("operator_codes", [])]

    def inspection(self, path: Path) -> Inspection:
        layers, main = self._layers(), self.graphs[0]
        metadata = self._metadata()
        held = members(path, self.content)
        inputs, outputs = (
            tuple(self._shown(main, int(number)) for number in main.get(role, ())) for role in ("inputs", "outputs")
        )
        return Inspection(
            path=str(path),
            format="TFLite",
            size_bytes=len(self.content),
            runtime=self._runtime(metadata.get(MIN_RUNTIME, "")),
            inputs=inputs,
            outputs=outputs,
            quantization=self._quantization(layers),
            operations=most_frequent(name for name, _ in self._operators()),
            layers=layers,
            metadata=metadata,
            files=held.files,
            manifest=held.manifest,
            reads=reads(inputs, outputs, metadata.get(ENTRY)),
        )

    def _code(self, code: dict[str, Any]) -> tuple[str, int]:
        old, new = code.get("deprecated_builtin_code", 0), code.get("builtin_code", 0)
        number = max(old, new)
        name = code.get("custom_code") if number == CUSTOM else self.operations.get(number)
        if name is None:
            name = "CUSTOM" if number == CUSTOM else f"operation {number}"
        return name, int(code.get("version", 1))

    def _operators(self) -> Iterator[tuple[str, int]]:
        for graph in self.graphs:
            for operator in graph.get("operators", ()):
                yield self.codes[operator.get("opcode_index", 0)]

    def _runtime(self, said: str) -> str:
        builtin = {(name, version) for name, version in self._operators() if name in self.operations.values()}
        custom = sorted({name for name, _ in self._operators()} - {name for name, _ in builtin})
        need = runtime_need(builtin)
        parts = [f"TFLite {need.version} or later" if need.version else "TFLite"]
        if need.unknown:
            parts.append(f"that has {', '.join(need.unknown)}")
        if custom:
            parts.append(f"with {', '.join(custom)} registered")
        if said and said != need.version:
            parts.append(f"(the file itself says {said})")
        return " ".join(parts)

    def _metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if description := self.model.get("description"):
            found["description"] = description
        for entry in self.model.get("metadata", ()):
            data, name = self._data(self.buffers[entry.get("buffer", 0)]), entry.get("name", "")
            if name in found:  # whoever reads it takes the first
                continue
            found[name] = data
            if name == ENTRY:
                try:
                    found[name] = parse(bytes(data))
                except BrokenTables as error:
                    raise BrokenTables(f"its TFLite metadata is damaged: {error}") from error
            elif name == MIN_RUNTIME:
                found[name] = bytes(data[:16]).rstrip(b"\0").decode("utf-8", "replace")
        signatures = [
            {
                "name": one.get("signature_key", ""),
                "inputs": [entry.get("name", "") for entry in one.get("inputs", ())],
                "outputs": [entry.get("name", "") for entry in one.get("outputs", ())],
            }
            for one in self.model.get("signature_defs", ())
        ]
        return found | ({"signatures": signatures} if signatures else {})

    def _data(self, buffer: dict[str, Any]) -> memoryview:
        offset, size = buffer.get("offset", 0), buffer.get("size", 0)
        if offset > 1:  # in a file of more than 2 GB the weights stand behind the tables
            if offset + size > len(self.content):
                raise BrokenTables(f"weights at byte {offset}, past its end")
            return memoryview(self.content)[offset : offset + size]
        return memoryview(buffer.get("data", b""))

    def _tensor(self, graph: dict[str, Any], number: int) -> dict[str, Any]:
        if number < 0:
            raise IndexError(f"tensor {number}")
        found: dict[str, Any] = graph.get("tensors", [])[number]
        return found

    def _dtype(self, tensor: dict[str, Any]) -> str:
        return self.dtypes[tensor.get("type", 0)].lower()

    def _shown(self, graph: dict[str, Any], number: int) -> Tensor:
        tensor = self._tensor(graph, number)
        grid = tensor.get("quantization", {})
        scales, zeros = grid.get("scale", ()), grid.get("zero_point", ())
        one = len(scales) == 1
        return Tensor(
            name=tensor.get("name", ""),
            shape=tuple(int(size) for size in tensor.get("shape_signature", tensor.get("shape", ()))),
            dtype=self._dtype(tensor),
            scale=float(scales[0]) if one else None,
            zero_point=(int(zeros[0]) if len(zeros) else 0) if one else None,
        )

    def _layers(self) -> tuple[Layer, ...]:
        weights = Weights()
        for index, graph in enumerate(self.graphs):
            for number, tensor in enumerate(graph.get("tensors", ())):
                buffer = tensor.get("buffer", 0)
                held = len(self._data(self.buffers[buffer])) if buffer else 0
                shape = tuple(int(side) for side in tensor.get("shape", ()))
                constant = Constant(tensor.get("name", ""), self._dtype(tensor), shape, held)
                weights.constant((index, number), constant)
            for operator in graph.get("operators", ()):
                name, _ = self.codes[operator.get("opcode_index", 0)]
                inputs, outputs = (
                    [(index, int(n)) for n in operator.get(role, ()) if n >= 0] for role in ("inputs", "outputs")
                )
                layer = self._tensor(graph, outputs[0][1]).get("name", "") if outputs else name
                weights.operation(layer, name, inputs=inputs, outputs=outputs, unpacks=name in UNPACKING)
        return weights.layers()

    def _quantization(self, layers: tuple[Layer, ...]) -> Quantization:
        """The precision in words: what its operations compute in, and what its weights are stored as."""
        tensors = [tensor for graph in self.graphs for tensor in graph.get("tensors", ())]
        grids = [len(tensor.get("quantization", {}).get("scale", ())) for tensor in tensors]
        computed = {
            self._dtype(self._tensor(graph, int(number)))
            for graph in self.graphs
            for operator in graph.get("operators", ())
            for number in operator.get("outputs", ())
            if number >= 0 and self.codes[operator.get("opcode_index", 0)][0] not in UNPACKING
        }
        precision = _precision(computed, stored_as(layers))
        return Quantization(precision, grids.count(1), sum(scales > 1 for scales in grids))


def _precision(computed: set[str], stored: str) -> str:
    integers = [dtype for dtype in ("int8", "uint8", "int16") if dtype in computed]
    if integers and not computed.intersection(FLOATS):
        return f"{'int16' if 'int16' in integers else integers[0]} activations, {stored} weights"
    if integers:
        return f"partly {integers[0]}, partly float, {stored} weights"
    return stored if stored == "float32" else f"float activations, {stored} weights"
