"""Read a `.tflite` file in pure Python, whatever stands in it."""

import os
from pathlib import Path
from typing import Any

from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.flat_tables import BrokenTables, read
from mobile_seg.profiling.delegates.graph import Graph, Operation, Tensor
from mobile_seg.tflite_schema import CUSTOM, DEFAULTS, IDENTIFIER, OPTIONS, names, schema

UNPACKING = ("DEQUANTIZE", "DENSIFY")
"""Operations that turn stored weights into the floats that are computed with."""


def read_graph(path: str | os.PathLike[str]) -> Graph:
    """Read a `.tflite` file, anybody's, whether a runtime could run it or not.

    Raises:
        ArtifactError: if it is missing or damaged.
        MissingExtraError: if LiteRT, whose schema names operations and types, is not installed.
        UsageError: for another kind of file.
    """
    file = Path(path)
    if file.suffix != ".tflite":
        raise UsageError(
            f"{file} is not a .tflite file, and delegates take nothing else; "
            f"make one with: mobile-seg export MODEL.keras --data DATA.yaml"
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}; check the path") from error
    return read_content(content, name=str(file))


def read_content(content: bytes, *, name: str) -> Graph:
    """Read the bytes of a `.tflite` file; `name` is what errors call it.

    Raises:
        ArtifactError: if it is damaged.
        MissingExtraError: if LiteRT, whose schema names operations and types, is not installed.
    """
    try:
        return _Reader(content).graph(name)
    except (BrokenTables, IndexError, KeyError, RecursionError) as error:
        reason = error if isinstance(error, BrokenTables) else f"a number in it leads nowhere ({error})"
        said = " ".join(str(reason).split()).rstrip(".")
        raise ArtifactError(f"{name} cannot be read: {said}; it is cut short, damaged, or of another format") from error


class _Reader:
    """A file's tables on their way to a graph."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.model = read(schema(), "Model", content, identifier=IDENTIFIER)
        self.kinds, self.dtypes = names("BuiltinOperator"), names("TensorType")
        self.graphs = self.model.get("subgraphs", [])
        if not self.graphs:
            raise BrokenTables("a model without a graph")
        self.table = self.graphs[0]
        self.tensors = [self._tensor(index, one) for index, one in enumerate(self.table.get("tensors", ()))]

    def graph(self, path: str) -> Graph:
        operations = []
        for index, table in enumerate(self.table.get("operators", ())):
            operation = self._operation(index, table)
            self._mark_unpacked(operation)
            operations.append(operation)
        inputs, outputs = (
            tuple(self._at(int(number)) for number in self.table.get(role, ())) for role in ("inputs", "outputs")
        )
        return Graph(path, len(self.content), tuple(operations), inputs, outputs, len(self.graphs))

    def _at(self, number: int) -> Tensor:
        if number < 0:
            raise IndexError(f"tensor {number}")
        return self.tensors[number]

    def _mark_unpacked(self, operation: Operation) -> None:
        """Later operations see that these weights only had to be unpacked."""
        stored = all(tensor.constant or tensor.unpacked for tensor in operation.given)
        if operation.kind in UNPACKING and stored and operation.given:
            for made in operation.outputs:
                self.tensors[made.index] = Tensor(**{**vars(made), "unpacked": True})

    def _operation(self, index: int, table: dict[str, Any]) -> Operation:
        code = self.model["operator_codes"][table.get("opcode_index", 0)]
        number = max(code.get("deprecated_builtin_code", 0), code.get("builtin_code", 0))
        name, options = table.get("builtin_options", ("", {}))
        known = name in OPTIONS
        kind = code.get("custom_code", "CUSTOM") if number == CUSTOM else self.kinds.get(number, f"operation {number}")
        return Operation(
            index=index,
            kind=kind,
            version=int(code.get("version", 1)),
            inputs=tuple(None if one < 0 else self._at(int(one)) for one in table.get("inputs", ())),
            outputs=tuple(self._at(int(one)) for one in table.get("outputs", ())),
            options={**DEFAULTS.get(name, {}), **options} if known else {},
            custom=number == CUSTOM,
        )

    def _tensor(self, index: int, table: dict[str, Any]) -> Tensor:
        grid, shape = table.get("quantization", {}), tuple(int(side) for side in table.get("shape", ()))
        if any(side < 0 for side in shape):
            raise BrokenTables(f"a tensor of shape {list(shape)}")
        content = self._content(table.get("buffer", 0))
        return Tensor(
            index=index,
            name=table.get("name", ""),
            shape=shape,
            dtype=self.dtypes[table.get("type", 0)].lower(),
            scales=tuple(float(one) for one in grid.get("scale", ())),
            zero_points=tuple(int(one) for one in grid.get("zero_point", ())),
            axis=int(grid.get("quantized_dimension", 0)),
            content=content,
            signature=tuple(int(side) for side in table.get("shape_signature", shape)),
            sparse="sparsity" in table,
        )

    def _content(self, number: int) -> memoryview | None:
        if not number:
            return None
        buffer = self.model.get("buffers", [])[number]
        offset, size = buffer.get("offset", 0), buffer.get("size", 0)
        if offset > 1:  # in a file of more than 2 GB the weights stand behind the tables
            if offset + size > len(self.content):
                raise BrokenTables(f"weights at byte {offset}, past its end")
            return memoryview(self.content)[offset : offset + size]
        data = memoryview(buffer.get("data", b""))
        return data if len(data) else None
