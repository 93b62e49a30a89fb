"""An ONNX graph under construction: tensors in the order that ONNX computes in, constants, nodes, quantized pairs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobile_seg.converters.builder import Conversion
from mobile_seg.errors import ArtifactError, MissingExtraError

OPSET, IR_VERSION = 17, 8
"""Written by us: 13 brought scales per channel (`axis` of DequantizeLinear), 14 HardSwish, 17 LayerNormalization.

Nothing above is needed, and a lower number is read by more: ONNX Runtime implements 17 from release 1.12 on and reads
all below its own (onnxruntime.ai, reference/compatibility), IR 8 with it. So every full mobile package of today does,
and OpenVINO, QNN and the web package too; from opset 21 on pairs may also hold 16 bits, which their kernels do not.
"""

FIRST = (0, 3, 1, 2)
"""`[N, H, W, C]` → `[N, C, H, W]`."""
LAST = (0, 2, 3, 1)
"""And back."""

PACKAGE = "mobile-seg[onnx]"

Pads = tuple[int, int, int, int]
"""Rows above, columns to the left, rows below, columns to the right."""


def onnx_package() -> Any:
    """Return the module `onnx`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(f'writing .onnx files needs ONNX; install it with: pip install "{PACKAGE}"') from error
    return onnx


@dataclass(frozen=True)
class Grid:
    """Unsigned 8-bit integers that stand for `scale · (integer - zero_point)`.

    Unsigned, so that the camera's bytes are on one as they are, and as accelerators (QNN, NNAPI) want them.
    """

    scale: float
    zero_point: int

    def holds(self, low: float, high: float) -> bool:
        """Whether rounding to the grid clamps to [low, high] by itself."""
        bottom, top = max(low / self.scale, -512.0), min(high / self.scale, 512.0)
        return round(bottom + self.zero_point) <= 0 and round(top + self.zero_point) >= 255


@dataclass(frozen=True)
class Value:
    """A tensor of the graph, as floats, as integers on a grid, or as both.

    `shape` is Keras' own, `[1, ..., C]`. An `image` lies in memory as `[1, C, H, W]`, whatever its shape says: what a
    global pooling gives stays so until someone needs it flat. `pads` are rows and columns of zeros around it, counted
    in its shape already, which the convolution that reads it adds.
    """

    shape: tuple[int, ...]
    floats: str | None
    image: bool
    integers: str | None = None
    grid: Grid | None = None
    pads: Pads = (0, 0, 0, 0)

    @property
    def tensor(self) -> str:
        """The tensor that was computed; the other one is made of it."""
        return self.integers or self.floats or ""


class Builder:
    """Nodes and constants, growing; names are given once."""

    def __init__(self, reserved: set[str]) -> None:
        self.onnx = onnx_package()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.conversions: list[Conversion] = []
        self._tensors = set(reserved)
        self._nodes: set[str] = set()
        self._final: set[str] = set()
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._dequantized: dict[str, str] = {}

    def constant(self, values: Any, name: str, dtype: Any = np.float32, *, own: bool = False) -> str:
        """The name of a tensor that holds these values: one for all that are alike, unless it is to be its `own`."""
        array = np.array(values, dtype, order="C")
        key = (array.dtype.name, array.shape, array.tobytes())
        if own or key not in self._shared:
            self.constants.append(self.onnx.numpy_helper.from_array(array, _spare(name, self._tensors)))
            self._shared[key] = self.constants[-1].name
        return self._shared[key]

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node and return its output, which has its name."""
        output = _spare(name, self._tensors)
        made = self.onnx.helper.make_node(kind, inputs, [output], name=_spare(name, self._nodes), **attributes)
        self.nodes.append(made)
        return output

    def renamed(self, tensor: str, name: str) -> None:
        """Give a tensor the name that is reserved for it; one that an input or output has is copied first."""
        made = [node for node in self.nodes if tensor in node.output]
        if not made or tensor in self._final:
            tensor = self.node("Identity", [tensor], name)
        for node in self.nodes:
            for tensors in (node.input, node.output):
                tensors[:] = [name if one == tensor else one for one in tensors]
        self._final.add(name)

    def floats(self, value: Value) -> str:
        """The tensor of a value's floats."""
        if value.floats is not None:
            return value.floats
        integers, grid = value.tensor, value.grid
        assert grid is not None
        if integers not in self._dequantized:
            self._dequantized[integers] = self.node(
                "DequantizeLinear", [integers, *self._scale(grid)], f"{integers.removesuffix('_integers')}_floats"
            )
        return self._dequantized[integers]

    def quantized(self, value: Value, grid: Grid, name: str) -> Value:
        """The value rounded to a grid; one that lies on it already stays."""
        if value.grid == grid:
            return value
        if value.grid is not None:
            reason = "read on another grid than its kernel writes"
            self.conversions.append(Conversion("QuantizeLinear", value.tensor, reason))
        inputs = [self.floats(value), *self._scale(grid)]
        integers = self.node("QuantizeLinear", inputs, f"{name}_integers")
        return replace(value, floats=None, integers=integers, grid=grid)

    def _scale(self, grid: Grid) -> list[str]:
        return [
            self.constant(grid.scale, "scale"),
            self.constant(grid.zero_point, "zero_point", np.uint8),
        ]

    def weights(self, values: np.ndarray, steps: np.ndarray | None, axis: int, name: str) -> str:
        """A constant; with steps (one, or one per channel along `axis`) int8 integers and their way back to floats."""
        if steps is None:
            return self.constant(values, name)
        spread = [1] * values.ndim
        if steps.ndim:
            spread[axis] = -1
        integers = np.round(values / steps.reshape(spread))
        if np.abs(integers).max(initial=0) > 127:
            raise ArtifactError(f"{name} has weights outside its own range; deploy the quantized model again")
        return self._restored(integers, steps, axis, name, np.int8)

    def bias(self, values: np.ndarray, steps: np.ndarray | None, name: str) -> str:
        """A constant; with the accumulator's steps int32 integers on them and their way back to floats."""
        if steps is None:
            return self.constant(values, name)
        limits = np.iinfo(np.int32)
        integers = np.clip(np.round(values.astype(np.float64) / steps), limits.min, limits.max)
        return self._restored(integers, steps, 0, name, np.int32)

    def float_bias(self, values: np.ndarray, name: str) -> str:
        """Floats as integers times a power of two each, which are the same numbers.

        A constant bias would have ONNX Runtime (1.21 on) put the float weights beside it on one grid of 8 bits, where
        what they multiply comes from integers: its WeightBiasQuantization leaves alone what is computed.
        """
        _, exponents = np.frexp(values)
        steps = np.exp2(np.maximum(exponents, -100).astype(np.float64) - 24)
        return self._restored(np.round(values / steps), steps, 0, name, np.int32)

    def _restored(self, integers: np.ndarray, steps: np.ndarray, axis: int, name: str, dtype: Any) -> str:
        # ONNX Runtime rewrites int8 weights for some processors, and stumbles over any that two nodes read.
        held = self.constant(integers, f"{name}_integers", dtype, own=True)
        scale = self.constant(steps, f"{name}_scale", own=True)
        zero_point = self.constant(np.zeros(steps.shape), f"{name}_zero_point", dtype, own=True)
        attributes = {"axis": axis} if steps.ndim else {}
        return self.node("DequantizeLinear", [held, scale, zero_point], name, **attributes)

    def computed(self, kind: str, inputs: list[str], like: Value, name: str, **attributes: Any) -> Value:
        """A node whose output has the shape and the memory order of `like`."""
        return Value(like.shape, self.node(kind, inputs, name, **attributes), like.image)

    def copied(
        self, kind: str, value: Value, shape: tuple[int, ...], name: str, *, more: tuple[str, ...] = (), **options: Any
    ) -> Value:
        """A node that moves numbers without changing any: integers stay on their grid, by a pair behind it."""
        made = self.node(kind, [self.floats(value), *more], name, **options)
        copy = Value(shape, made, value.image)
        return copy if value.grid is None else self.quantized(copy, value.grid, name)

    def image(self, value: Value, name: str) -> Value:
        """The same value as `[1, C, H, W]`: it has four dimensions, or all but the last are one."""
        if value.image:
            return value
        if is_pixel(value.shape):
            stored = self.reshaped(value, (1, value.shape[-1], 1, 1), f"{name}_nchw")
            return replace(stored, shape=value.shape)
        return replace(self.copied("Transpose", value, value.shape, f"{name}_nchw", perm=FIRST), image=True)

    def flat(self, value: Value, name: str) -> Value:
        """The same value in the order of its shape, channels last."""
        if not value.image:
            return value
        if is_pixel(value.shape):
            return self.reshaped(value, value.shape, f"{name}_flat", image=False)
        return replace(self.copied("Transpose", value, value.shape, f"{name}_nhwc", perm=LAST), image=False)

    def reshaped(self, value: Value, stored: tuple[int, ...], name: str, *, image: bool = True) -> Value:
        """A value in another shape; the order of its numbers in memory stays."""
        target = self.constant(stored, f"{name}_shape", np.int64)
        return replace(self.copied("Reshape", value, stored, name, more=(target,)), image=image)


def _spare(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it if it is taken; it is afterwards."""
    wanted, count = name, 1
    while wanted in taken:
        count += 1
        wanted = f"{name}_{count}"
    taken.add(wanted)
    return wanted


def is_pixel(shape: tuple[int, ...]) -> bool:
    """Whether a shape holds channels only: `[1, C]`, `[1, 1, 1, C]`."""
    return all(size == 1 for size in shape[:-1])
