"""Our passes over an ML Program, run by coremltools between its own (its builder is the only way to change one)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.converters.coreml.weights import grid_of, packed, palette_of
from mobile_seg.errors import ArtifactError

WEIGHTED = {"conv": 0, "linear": 0, "matmul": -1, "conv_transpose": 1}
"""Operations with weights, and which axis of these is the output's channels."""

SMALLEST_PALETTE = 2048
"""Weights of at most so many values keep them: a table and its indices would save next to nothing."""


FINEST = 2.0**-17
"""Smallest step of an activation. Half precision holds smaller ones with so few bits that 255 of them are off by more
than one, and none below 2^-25; what is steps of this size is at most 0.002, next to nothing."""


class _Pass:
    """What coremltools asks of a pass: a name and a function of the program."""

    def __str__(self) -> str:
        return type(self).__name__

    def __call__(self, program: Any) -> None:
        self.apply(program)

    def set_options(self, options: Any) -> None:
        """There are none."""

    def apply(self, program: Any) -> None:
        """Change the program in place."""
        for function in program.functions.values():
            with function:
                self.visit(function)

    def visit(self, block: Any) -> None:
        """Change one block in place."""
        raise NotImplementedError


class Padded(_Pass):
    """Write the padding of every convolution and pooling as numbers.

    MIL describes `same` by the output's size, as TensorFlow does, and by the kernel's: with a stride of 2 over an
    even side these differ by a pixel.
    """

    def visit(self, block: Any) -> None:
        """Replace `same` by the numbers that TensorFlow pads with."""
        for operation in list(block.operations):
            if operation.op_type in ("conv", "max_pool", "avg_pool") and operation.pad_type.val == "same":
                _replace(block, operation, pad_type="custom", pad=_padding(operation))
            elif operation.op_type == "conv_transpose" and operation.pad_type.val == "same":
                cut = _cut(operation)
                if (cut >= 0).all():
                    _replace(block, operation, pad_type="custom", pad=cut)


def _padding(operation: Any) -> np.ndarray:
    """TensorFlow's `same`: the output has ceil(size / stride) pixels, the odd pixel is padded behind."""
    kernel = operation.weight.shape[2:] if operation.op_type == "conv" else tuple(operation.kernel_sizes.val)
    dilations = operation.dilations.val if operation.op_type == "conv" else (1,) * len(kernel)
    pads = []
    for size, taps, stride, dilation in zip(
        operation.x.shape[2:], kernel, operation.strides.val, dilations, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        pads += [total // 2, total - total // 2]
    return np.asarray(pads, np.int32)


def _cut(operation: Any) -> np.ndarray:
    """What TensorFlow's `same` cuts off a transposed convolution; negative where its kernel has gaps."""
    pads = []
    for size, taps, stride, dilation, out in zip(
        operation.x.shape[2:],
        operation.weight.shape[2:],
        operation.strides.val,
        operation.dilations.val,
        operation.outputs[0].shape[2:],
        strict=True,
    ):
        total = (size - 1) * stride + (taps - 1) * dilation + 1 - out
        pads += [total // 2, total - total // 2]
    return np.asarray(pads, np.int32)


def _replace(block: Any, operation: Any, **changes: Any) -> None:
    """The same operation with other arguments in its place."""
    from coremltools.converters.mil.mil import Builder as mb

    arguments = {name: value for name, value in operation.inputs.items() if value is not None}
    made = getattr(mb, operation.op_type)(**{**arguments, **changes}, name=operation.name, before_op=operation)
    _move_readers(block, operation, made)


def _move_readers(block: Any, operation: Any, made: Any) -> None:
    old = operation.outputs[0]
    if old in block.outputs:
        made.name = old.name
    block.replace_uses_of_var_after_op(anchor_op=operation, old_var=old, new_var=made)
    block.remove_ops([operation])


class OnGrids(_Pass):
    """Make bytes of each quantizer's clip: `quantize` and `dequantize`, which units with integers compute between."""

    def __init__(self, grids: dict[str, Any]) -> None:
        self.grids = grids

    def visit(self, block: Any) -> None:
        """Replace the clips.

        Raises:
            ArtifactError: if one is not there any more.
        """
        clips = {operation.alpha.name: operation for operation in block.operations if operation.op_type == "clip"}
        for name, grid in self.grids.items():
            clip = clips.get(bottom_of(name))
            if clip is None:
                raise ArtifactError(f"the converter lost the quantizer {name}; report the model and its options")
            _quantize(block, clip, name, grid)


def bottom_of(quantizer: str) -> str:
    """The name of the constant that a quantizer's clip begins at."""
    return f"{quantizer}_bottom"


def _quantize(block: Any, clip: Any, name: str, grid: Any) -> None:
    from coremltools.converters.mil.mil import Builder as mb

    scale, zero_point = np.float32(max(grid.scale, FINEST)), np.uint8(grid.zero_point)
    known = {"scale": scale, "zero_point": zero_point, "before_op": clip}
    integers = mb.quantize(input=clip.x, output_dtype="uint8", name=f"{name}_integers", **known)
    _move_readers(block, clip, mb.dequantize(input=integers, name=f"{name}_floats", **known))


@dataclass(frozen=True)
class Weights:
    """How weights are stored: `grid` for int8 per channel, else a palette of so many bits, else as floats."""

    grid: bool = False
    palette_bits: int = 0

    @classmethod
    def of(cls, precision: str) -> "Weights":
        """What a precision asks for."""
        bits = int(precision.removeprefix("palette")) if precision.startswith("palette") else 0
        return cls(grid=precision in ("int8", "w8"), palette_bits=bits)

    def graph_pass(self) -> Any:
        """The pass that stores them so, or None."""
        return Compressed(self) if self.grid or self.palette_bits else None


class Compressed(_Pass):
    """Store weights as integers or indices, which `constexpr` operations make floats of when the model loads."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def visit(self, block: Any) -> None:
        """Replace the constant weights of every operation that has some."""
        for operation in list(block.operations):
            if operation.op_type in WEIGHTED:
                which = "y" if operation.op_type == "matmul" else "weight"
                weight = operation.inputs[which]
                if weight.val is not None and weight.op is not None and weight.op.op_type == "const":
                    made = self._stored(operation, weight)
                    if made is not None:
                        _replace(block, operation, **{which: made})

    def _stored(self, operation: Any, weight: Any) -> Any:
        from coremltools.converters.mil.mil import Builder as mb

        values, name = np.asarray(weight.val, np.float32), f"{operation.name}_weights"
        if self.weights.palette_bits:
            if values.size <= SMALLEST_PALETTE:
                return None
            table, indices = palette_of(values, self.weights.palette_bits)
            return mb.constexpr_lut_to_dense(
                indices=packed(indices, self.weights.palette_bits),
                lut=table,
                shape=np.asarray(values.shape, np.uint32),
                name=name,
                before_op=operation,
            )
        axis = _output_axis(operation) % values.ndim
        integers, scale = grid_of(values, axis, name=operation.name)
        return mb.constexpr_affine_dequantize(
            quantized_data=integers, zero_point=np.int8(0), scale=scale, axis=axis, name=name, before_op=operation
        )


def _output_axis(operation: Any) -> int:
    if operation.op_type == "matmul" and operation.transpose_y.val:
        return -2
    return WEIGHTED[operation.op_type]
