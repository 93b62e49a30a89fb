"""From a float TFLite graph with QUANTIZE/DEQUANTIZE pairs to integer kernels, by our own hand.

TensorFlow's converter turns each fake quantization into such a pair, exact in scale and zero point. What
it would do next (choose scales where it finds none, quantize what was to stay float, requantize at joins)
is decided here instead, by the table in `kernels`, and every conversion left inside is accounted for.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.builder import TYPES, Builder, Conversion, Grid, Value
from mobile_seg.converters.flat import constant, operator_code, shape
from mobile_seg.converters.kernels import KERNELS, PRESCRIBED_SCALES, Kernel, Kind
from mobile_seg.errors import ArtifactError

_OP = schema.BuiltinOperator
_LAYOUTS = (_OP.RESHAPE, _OP.SQUEEZE, _OP.TRANSPOSE)


class IntegerWriter:
    """Rewrites one model's only subgraph; `write` once."""

    def __init__(self, model: Any) -> None:
        self.old, self.graph = model, model.subgraphs[0]
        self.made = Builder(model)
        self.values: dict[int, Value] = {}
        self.quantized_as: dict[int, Grid] = {}
        self.replaced: dict[int, Grid] = {}
        for operator in self.graph.operators:
            if operator_code(model, operator) == _OP.QUANTIZE:
                self.quantized_as.setdefault(operator.inputs[0], self._grid(operator.outputs[0]))
        self._look_through_layouts()

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """Every QUANTIZE and DEQUANTIZE of the file, with its reason."""
        return tuple(self.made.conversions)

    def write(self, *, io: str) -> Any:
        """Return the new model. `io`: `uint8` or `int8` for integers at both ends, `float`.

        Raises:
            ArtifactError: if an operation is asked for integers that its kernel does not have.
        """
        self.made.graph.inputs = [self._input(tensor, io) for tensor in self.graph.inputs]
        for operator in self.graph.operators:
            self._operator(operator)
        self.made.graph.outputs = []
        for tensor in self.graph.outputs:
            value = self._value(tensor)
            if io == "float" and value.grid is not None:
                value = self.made.converted(value, None, "floats are asked for at the output")
            self.made.graph.outputs.append(value.index)
        return self.made.without_unused()

    def _look_through_layouts(self) -> None:
        """The converter moves pairs behind a reshape: what nothing else reads in front is on the same grid.

        Behind a mean it leaves a pair of its own invention in front, on the mean's input's grid; that one is undone.
        """
        operators = self.graph.operators
        read = [int(tensor) for operator in operators for tensor in operator.inputs] + [*map(int, self.graph.outputs)]
        made_by = {int(operator.outputs[0]): operator for operator in operators}
        for operator in reversed(operators):
            source, grid = int(operator.inputs[0]), self.quantized_as.get(operator.outputs[0])
            if operator_code(self.old, operator) not in _LAYOUTS or grid is None or read.count(source) != 1:
                continue
            self.quantized_as.setdefault(source, grid)
            if source in made_by and operator_code(self.old, made_by[source]) == _OP.DEQUANTIZE:
                pair = made_by[int(made_by[source].inputs[0])]
                self.quantized_as[pair.inputs[0]] = self.replaced[pair.outputs[0]] = grid

    def _input(self, tensor: int, io: str) -> int:
        grid, kept = self.quantized_as.get(tensor), self.graph.tensors[tensor]
        if grid is None or io == "float":
            self.values[tensor] = self._copied(tensor)
        elif io == "uint8" and grid.bits == 8:
            index = self.made.tensor(kept, schema.TensorType.UINT8, Grid(8, grid.scale, grid.zero_point + 128))
            self.values[tensor] = self.made.converted(Value(index, None), grid, "the image's bytes are unsigned")
            return index
        else:
            self.values[tensor] = Value(self.made.tensor(kept, TYPES[grid.bits], grid), grid)
        return self.values[tensor].index

    def _operator(self, operator: Any) -> None:
        code = operator_code(self.old, operator)
        if code in (_OP.QUANTIZE, _OP.DEQUANTIZE):
            self._border(operator, code)
        elif self._folds(operator, code):
            return
        elif (kernel := KERNELS.get(code)) is not None and self._is_integer(operator, kernel):
            self._integer(operator, code, kernel)
        else:
            self._float(operator, code, kernel)

    def _border(self, operator: Any, code: int) -> None:
        """A pair's half: the tensor behind it is the one before it, on the pair's grid."""
        (source,), (target,) = operator.inputs, operator.outputs
        if code == _OP.DEQUANTIZE:
            self.values[target] = self.values[source]
        elif (values := constant(self.old, self.graph.tensors[source])) is not None:
            grid = self._grid(target)
            self.values[target] = self.made.constant(grid.integers(values), self.graph.tensors[source], grid)
        else:
            self.values[target] = self.made.converted(
                self._value(source), self._grid(target), "read on another grid than its kernel writes"
            )

    def _folds(self, operator: Any, code: int) -> bool:
        """Lay out constant weights as their kernel wants them; true if that was all there was to do."""
        value = self.values.get(operator.inputs[0])
        if value is None or code not in (_OP.TRANSPOSE, _OP.RESHAPE) or value.grid is None:
            return False
        held = self.made.held(value)
        if held is None:
            return False
        made, grid = self.graph.tensors[operator.outputs[0]], value.grid
        if code == _OP.TRANSPOSE:
            order = constant(self.old, self.graph.tensors[operator.inputs[1]])
            assert order is not None
            held, axis = held.transpose(order), [int(o) for o in order].index(grid.axis)
        else:  # of a depthwise kernel, whose channels stay last, or a transposition past a single row or column
            held = held.reshape(shape(made))
            sizes = held.shape[::-1]
            axis = held.ndim - 1 - sizes.index(len(grid.scale)) if len(grid.scale) > 1 else 0
        moved = Grid(grid.bits, grid.scale, grid.zero_point, axis)
        self.values[operator.outputs[0]] = self.made.constant(held, made, moved)
        return True

    def _is_integer(self, operator: Any, kernel: Kernel) -> bool:
        inputs = [self._value(tensor) for tensor in self._activations(operator, kernel)]
        if not inputs or any(value.grid is None for value in inputs):
            return False
        if kernel.kind is Kind.WEIGHTED and self._value(operator.inputs[1]).grid is None:
            return False
        free = kernel.kind in (Kind.COPYING, Kind.JOINING, Kind.RANKING)
        return free or operator.outputs[0] in self.quantized_as

    def _activations(self, operator: Any, kernel: Kernel | None) -> list[int]:
        """The inputs that are computed floats; constants, shapes and weights apart."""
        if kernel is not None and kernel.kind is Kind.WEIGHTED:
            return [operator.inputs[kernel.data]]
        return [t for t in operator.inputs if t >= 0 and self._is_float(t) and self._held(t) is None]

    def _integer(self, operator: Any, code: int, kernel: Kernel) -> None:
        activations = self._activations(operator, kernel)
        inputs = {tensor: self._value(tensor) for tensor in activations}
        grids = [value.grid for value in inputs.values() if value.grid is not None]
        wanted = self.quantized_as.get(operator.outputs[0])
        copies = kernel.kind is Kind.COPYING or (kernel.kind is Kind.JOINING and wanted is None)
        out = grids[0] if copies or wanted is None else wanted
        bits = max(out.bits, *(grid.bits for grid in grids)) if not copies else out.bits
        name = self._name(operator.outputs[0])
        version = kernel.int8 if bits == 8 else kernel.int16
        if version is None:
            raise ArtifactError(f"{name}: TFLite has no {bits}-bit kernel for this operation; leave it at 8 bits")
        if kernel.kind is Kind.PRESCRIBED:
            out = _prescribed(code, out, bits, name)
        out = _widened(out, bits)
        for tensor, value in inputs.items():
            grid = out if kernel.kind is Kind.JOINING else _widened(_grid_of(value), bits)
            reason = "joined with tensors of another range" if grid.bits == _grid_of(value).bits else "read by 16 bits"
            inputs[tensor] = self.made.converted(value, grid, reason)
        tensors = [inputs[t].index if t in inputs else self._side_input(t, bits) for t in operator.inputs]
        if kernel.kind is Kind.WEIGHTED:
            tensors = self._with_bias(operator, kernel, tensors, _grid_of(inputs[activations[0]]))
        ranking = kernel.kind is Kind.RANKING
        made = self.graph.tensors[operator.outputs[0]]
        index = self.made.tensor(made, made.type if ranking else TYPES[bits], None if ranking else out)
        self.values[operator.outputs[0]] = Value(index, None if ranking else out)
        self.made.operator(operator, code, max(version, self._version(operator)), tensors, index)

    def _with_bias(self, operator: Any, kernel: Kernel, tensors: list[int], data: Grid) -> list[int]:
        """The bias on the accumulator's grid, input step times weight step."""
        place = max(kernel.data, 1) + 1
        if len(tensors) <= place or operator.inputs[place] < 0:
            return tensors
        old = self.graph.tensors[operator.inputs[place]]
        bias = constant(self.old, old)
        assert bias is not None
        weights = _grid_of(self._value(operator.inputs[1]))
        scale = np.float64(data.scale[0]) * np.asarray(weights.scale, np.float64)
        wide = data.bits == 16
        limits = np.iinfo(np.int64 if wide else np.int32)
        integers = np.clip(np.round(bias.astype(np.float64) / scale), limits.min, limits.max)
        grid = Grid(data.bits, tuple(float(s) for s in scale))
        kind = schema.TensorType.INT64 if wide else schema.TensorType.INT32
        index = self.made.tensor(old, kind, grid, integers.astype(np.int64 if wide else np.int32))
        return [*tensors[:place], index, *tensors[place + 1 :]]

    def _side_input(self, tensor: int, bits: int) -> int:
        """Weights, shapes and axes as they are; a constant factor or summand on a symmetric grid."""
        if tensor < 0:
            return tensor
        known = self.values.get(tensor)
        values = constant(self.old, self.graph.tensors[tensor])
        if known is not None or values is None or not self._is_float(tensor):
            return self._value(tensor).index
        largest = float(np.abs(values).max()) or 1.0
        grid = Grid(bits, (float(np.float32(largest / (2 ** (bits - 1) - 1))),))
        return self.made.constant(grid.integers(values), self.graph.tensors[tensor], grid).index

    def _float(self, operator: Any, code: int, kernel: Kernel | None) -> None:
        """As it stands: floats in, floats out; int8 weights are kept where the kernel takes both."""
        activations = self._activations(operator, kernel)
        tensors, version = [], 0
        for position, tensor in enumerate(operator.inputs):
            if tensor < 0:
                tensors.append(tensor)
                continue
            value = self._value(tensor)
            weights = kernel is not None and kernel.kind is Kind.WEIGHTED and position == 1
            if weights and value.grid is not None and kernel is not None and kernel.hybrid:
                version = kernel.hybrid
            elif value.grid is not None and self._held(tensor) is not None:
                value = self._floats_again(value)
            elif tensor in activations:
                value = self.made.converted(value, None, "read by an operation that stays in float")
            tensors.append(value.index)
        made = self._copied(operator.outputs[0])
        self.values[operator.outputs[0]] = made
        self.made.operator(operator, code, max(version, self._version(operator)), tensors, made.index)

    def _floats_again(self, value: Value) -> Value:
        """Constant weights on a grid, as floats."""
        tensor, grid = self.made.graph.tensors[value.index], _grid_of(value)
        held = self.made.held(value)
        assert held is not None
        spread = [1] * held.ndim
        if len(grid.scale) > 1:
            spread[grid.axis] = -1
        floats = held * np.asarray(grid.scale, np.float32).reshape(spread)
        return Value(self.made.tensor(tensor, schema.TensorType.FLOAT32, None, floats.astype(np.float32)), None)

    def _version(self, operator: Any) -> int:
        return int(self.old.operatorCodes[operator.opcodeIndex].version)

    def _value(self, tensor: int) -> Value:
        if tensor not in self.values:
            self.values[tensor] = self._copied(tensor)
        return self.values[tensor]

    def _copied(self, tensor: int) -> Value:
        old = self.graph.tensors[tensor]
        return Value(self.made.tensor(old, old.type, None, constant(self.old, old)), None)

    def _held(self, tensor: int) -> np.ndarray | None:
        """A constant's values: in the old file, or as they were laid out anew."""
        held = constant(self.old, self.graph.tensors[tensor])
        if held is None and tensor in self.values:
            return self.made.held(self.values[tensor])
        return held

    def _grid(self, tensor: int) -> Grid:
        """The grid of one of the converter's unsigned tensors, as the signed one of the same values."""
        if tensor in self.replaced:
            return self.replaced[tensor]
        made = self.graph.tensors[tensor]
        bits = 8 if made.type == schema.TensorType.UINT8 else 16
        scale = tuple(float(s) for s in made.quantization.scale)
        zero_point = int(made.quantization.zeroPoint[0]) - 2 ** (bits - 1)
        return Grid(bits, scale, zero_point, int(made.quantization.quantizedDimension))

    def _is_float(self, tensor: int) -> bool:
        return bool(self.graph.tensors[tensor].type == schema.TensorType.FLOAT32)

    def _name(self, tensor: int) -> str:
        return str(self.graph.tensors[tensor].name.decode())


def _grid_of(value: Value) -> Grid:
    assert value.grid is not None
    return value.grid


def _widened(grid: Grid, bits: int) -> Grid:
    """The 16-bit grid of an 8-bit one's range, or the grid itself."""
    if grid.bits == bits:
        return grid
    largest = max(abs(-128 - grid.zero_point), abs(127 - grid.zero_point)) * grid.scale[0]
    # Kernels count a ReLU6's 6 in steps, in 32 bits: a tensor of nothing but zeros must not have smaller ones.
    largest = max(largest, 2.0**-13)
    return Grid(16, (float(np.float32(largest / 32767)),))


def _prescribed(code: int, grid: Grid, bits: int, name: str) -> Grid:
    """The kernel's own grid of these bits, once it is sure that the graph was trained on it."""
    scale, zero_point = PRESCRIBED_SCALES[code, grid.bits]
    if abs(grid.scale[0] / scale - 1.0) > 1e-3 or grid.zero_point != zero_point:
        raise ArtifactError(
            f"{name}: its kernel gives steps of {scale} from {zero_point}, the graph asks for {grid.scale[0]} from "
            f"{grid.zero_point}; the model was not made by mobile_seg.quantization"
        )
    scale, zero_point = PRESCRIBED_SCALES[code, bits]
    return Grid(bits, (scale,), zero_point)
