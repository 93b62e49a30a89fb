"""A TFLite model under construction: tensors with their grids, constants, operators, and conversions between grids."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import DTYPES, constant, shape

TYPES = {8: schema.TensorType.INT8, 16: schema.TensorType.INT16}
"""Bits → the tensor type of activations and weights."""

_OP = schema.BuiltinOperator


@dataclass(frozen=True)
class Grid:
    """Integers of `bits` stand for `scale · (integer - zero_point)`; several scales along `axis` for weights."""

    bits: int
    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0

    def integers(self, values: np.ndarray) -> np.ndarray:
        """Values that lie on the grid, or nearly, as its integers."""
        spread = [1] * values.ndim
        if len(self.scale) > 1:
            spread[self.axis] = len(self.scale)
        steps = np.asarray(self.scale, np.float32).astype(np.float64).reshape(spread) if values.ndim else self.scale[0]
        bound = 2 ** (self.bits - 1)
        found = np.clip(np.round(values / steps) + self.zero_point, -bound, bound - 1)
        return np.asarray(found.astype(np.int8 if self.bits == 8 else np.int16))


@dataclass(frozen=True)
class Conversion:
    """A QUANTIZE or DEQUANTIZE in the file: at which tensor, and why."""

    operation: str
    tensor: str
    reason: str


@dataclass(frozen=True)
class Value:
    """A tensor of the new graph: its index, and its grid unless it is float."""

    index: int
    grid: Grid | None


class Builder:
    """A model with one subgraph, growing."""

    def __init__(self, like: Any) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = like.version, like.description
        self.model.operatorCodes, self.model.subgraphs, self.model.buffers = [], [self.graph], [schema.BufferT()]
        self.graph.name, self.graph.tensors, self.graph.operators = like.subgraphs[0].name, [], []
        self.conversions: list[Conversion] = []
        self._converted: dict[tuple[int, Grid | None], Value] = {}
        self._buffers: dict[bytes, int] = {}

    def tensor(self, like: Any, kind: int, grid: Grid | None, values: np.ndarray | None = None) -> int:
        """A tensor of the new graph, named and shaped like another."""
        tensor = schema.TensorT()
        # A fused operation's tensor names all that went into it, its own layer first.
        tensor.name, tensor.type = like.name.partition(b";")[0], kind
        tensor.shape = np.asarray(shape(like) if values is None else values.shape, np.int32)
        tensor.buffer, tensor.hasRank = 0, True
        if values is not None:
            tensor.buffer = self._buffer(np.ascontiguousarray(values, DTYPES[kind]).tobytes())
        if grid is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(grid.scale, np.float32)
            tensor.quantization.zeroPoint = np.full(len(grid.scale), grid.zero_point, np.int64)
            tensor.quantization.quantizedDimension = grid.axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _buffer(self, content: bytes) -> int:
        """The buffer that holds these bytes: one for all constants that are alike, as a shared layer's weights are."""
        if content not in self._buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self.model.buffers.append(buffer)
            self._buffers[content] = len(self.model.buffers) - 1
        return self._buffers[content]

    def constant(self, values: np.ndarray, like: Any, grid: Grid) -> Value:
        """Integers on a grid, as a constant."""
        return Value(self.tensor(like, TYPES[grid.bits], grid, values), grid)

    def held(self, value: Value) -> np.ndarray | None:
        """The values of a constant."""
        return constant(self.model, self.graph.tensors[value.index])

    def operator(self, like: Any, code: int, version: int, inputs: list[int], output: int) -> None:
        """An operator with the options of another."""
        made = copy.copy(like)
        made.inputs, made.outputs = np.asarray(inputs, np.int32), np.asarray([output], np.int32)
        if hasattr(made.builtinOptions, "potScaleInt16"):
            made.builtinOptions.potScaleInt16 = False
        made.opcodeIndex = self._code(code, version)
        self.graph.operators.append(made)

    def converted(self, value: Value, grid: Grid | None, reason: str) -> Value:
        """The same numbers on another grid, by an operation of their own, made once."""
        if value.grid == grid and not self._is_unsigned(value):
            return value
        if (value.index, grid) not in self._converted:
            source = self.graph.tensors[value.index]
            kind = schema.TensorType.FLOAT32 if grid is None else TYPES[grid.bits]
            index = self.tensor(source, kind, grid)
            code = _OP.DEQUANTIZE if grid is None else _OP.QUANTIZE
            operator = schema.OperatorT()
            operator.opcodeIndex = self._code(code, 2 if grid is not None and value.grid is not None else 1)
            operator.inputs, operator.outputs = np.int32([value.index]), np.int32([index])
            operator.builtinOptionsType = schema.BuiltinOptions.NONE
            self.graph.operators.append(operator)
            name = "DEQUANTIZE" if grid is None else "QUANTIZE"
            self.conversions.append(Conversion(name, source.name.decode(), reason))
            self._converted[value.index, grid] = Value(index, grid)
        return self._converted[value.index, grid]

    def without_unused(self) -> Any:
        """The model without what nothing reads or writes, such as biases before they were rounded."""
        graph = self.graph
        ends = [index for ends in (graph.inputs, graph.outputs) for index in ends]
        inner = [int(index) for one in graph.operators for index in (*one.inputs, *one.outputs)]
        used = sorted({index for index in (*ends, *inner) if index >= 0})
        places = {old: new for new, old in enumerate(used)} | {-1: -1}
        graph.tensors = [graph.tensors[index] for index in used]
        graph.inputs, graph.outputs = ([places[index] for index in ends] for ends in (graph.inputs, graph.outputs))
        for operator in graph.operators:
            operator.inputs, operator.outputs = (
                np.asarray([places[int(index)] for index in tensors], np.int32)
                for tensors in (operator.inputs, operator.outputs)
            )
        held = [0, *sorted({tensor.buffer for tensor in graph.tensors} - {0})]
        self.model.buffers = [self.model.buffers[buffer] for buffer in held]
        for tensor in graph.tensors:
            tensor.buffer = held.index(tensor.buffer)
        return self.model

    def _is_unsigned(self, value: Value) -> bool:
        return bool(self.graph.tensors[value.index].type == schema.TensorType.UINT8)

    def _code(self, code: int, version: int) -> int:
        for index, known in enumerate(self.model.operatorCodes):
            if known.builtinCode == code and known.version == version:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), version
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1
