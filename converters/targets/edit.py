"""A converted graph being edited: operators written in the place of another or in front, all else left as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import Conversion, Grid
from mobile_seg.converters.flat import DTYPES, operator_code, pack, shape, unpack
from mobile_seg.converters.kernels import KERNELS

FLOAT32, INT8, INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT8, schema.TensorType.INT32
_VERSIONS = {schema.BuiltinOperator.DEQUANTIZE: 2}
"""Of operations from int8 that the table of kernels has not."""


class Edit:
    """A file's main graph. Tensors go by their index, operators by their object."""

    def __init__(self, content: bytes) -> None:
        self.model = unpack(content)
        self.graph = self.model.subgraphs[0]
        self.conversions: list[Conversion] = []
        self._names = {tensor.name for tensor in self.graph.tensors}
        self._written: list[Any] = []

    def kind(self, operator: Any) -> int:
        """Return an operator's builtin code."""
        return operator_code(self.model, operator)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return shape(self.graph.tensors[tensor])

    def type(self, tensor: int) -> int:
        """Return a tensor's type, a number of `schema.TensorType`."""
        return int(self.graph.tensors[tensor].type)

    def grid(self, tensor: int) -> Grid | None:
        """Return the grid of an int8 tensor that has one for all of it, None for any other tensor."""
        one = self.graph.tensors[tensor]
        held = one.quantization
        if one.type != INT8 or held is None or held.scale is None or len(held.scale) != 1:
            return None
        return Grid(8, (float(held.scale[0]),), int(held.zeroPoint[0]))

    def computes(self, tensor: int) -> bool:
        """Whether a tensor is what rewrites know: float32, or int8 on one grid."""
        return self.type(tensor) == FLOAT32 or self.grid(tensor) is not None

    def ends(self, tensor: int) -> bool:
        """Whether a tensor is given out, and no operator reads it."""
        read = any(tensor in operator.inputs for operator in self.graph.operators)
        return not read and tensor in self.graph.outputs

    def like(self, source: int, sides: Sequence[int]) -> int:
        """Add a tensor of another shape, with the type and grid of `source`; named after its layer."""
        return self.tensor(source, sides, self.type(source), self.grid(source))

    def tensor(self, near: int, sides: Sequence[int], kind: int, grid: Grid | None = None) -> int:
        """Add a computed tensor, named after the layer of the tensor `near`."""
        made = schema.TensorT()
        made.name, made.type, made.buffer, made.hasRank = self._name(near), kind, 0, True
        made.shape = np.asarray(sides, np.int32)
        if grid is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.asarray(grid.scale, np.float32)
            made.quantization.zeroPoint = np.full(len(grid.scale), grid.zero_point, np.int64)
            made.quantization.quantizedDimension = grid.axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, near: int, values: np.ndarray, kind: int, grid: Grid | None = None) -> int:
        """Add a constant of the values' shape."""
        index = self.tensor(near, values.shape, kind, grid)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, DTYPES[kind]).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def write(self, code: int, inputs: Sequence[int], output: int, options: Any = None, version: int = 0) -> int:
        """Put an operator where the one being rewritten stood, behind those already put there; return `output`.

        Without a `version` it is the lowest that takes the first input's type.
        """
        if not version:
            known = KERNELS[code].int8 if code in KERNELS else _VERSIONS.get(code, 1)
            version = known if self.type(inputs[0]) == INT8 else 1
        made = schema.OperatorT()
        made.opcodeIndex = self._code(code, version)
        made.inputs, made.outputs = np.asarray(inputs, np.int32), np.asarray([output], np.int32)
        made.builtinOptions = options
        name = "NONE" if options is None else type(options).__name__.removesuffix("T")
        made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self._written.append(made)
        return output

    def replace(self, position: int) -> None:
        """Put what was written since the last call in place of the operator at this position."""
        self.graph.operators[position : position + 1] = self._written
        self._written = []

    def lead(self) -> None:
        """Put what was written since the last call before every operator."""
        self.graph.operators[:0] = self._written
        self._written = []

    def packed(self) -> bytes:
        """Return the file's bytes, without the constants that no operator reads any more.

        Their tensors stay, so that indices mean what they meant.
        """
        held = {int(entry.buffer) for entry in self.model.metadata or ()}
        for graph in self.model.subgraphs:
            known = {*map(int, graph.inputs), *map(int, graph.outputs)}
            for operator in graph.operators:
                known.update(int(index) for index in (*operator.inputs, *operator.outputs))
            for index, tensor in enumerate(graph.tensors):
                if index not in known:
                    tensor.buffer = 0
                held.add(int(tensor.buffer))
        for number, buffer in enumerate(self.model.buffers):
            if number not in held:
                buffer.data = None
        return pack(self.model)

    def _name(self, near: int) -> bytes:
        layer = self.graph.tensors[near].name.partition(b";")[0].rpartition(b"/")[0]
        number = 1
        while (name := b"%s/rewritten_%d" % (layer, number)) in self._names:
            number += 1
        self._names.add(name)
        return name

    def _code(self, code: int, version: int) -> int:
        for index, known in enumerate(self.model.operatorCodes):
            if max(known.builtinCode, known.deprecatedBuiltinCode) == code and known.version == version:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), version
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1
