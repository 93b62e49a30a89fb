"""What an operation costs at the least: multiply-adds, and the bytes that have to move."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from mobile_seg.profiling.delegates.graph import Operation, Tensor

BITS = {"bool": 8, "bfloat16": 16, "int4": 4, "uint4": 4, "int2": 2}
"""Tensor type → bits of an element, where its name does not end in them."""

PICKING = ("SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND", "SPLIT", "SPLIT_V", "UNPACK")
"""Operations that read no more of their input than they put out."""


@dataclass(frozen=True)
class Cost:
    """Multiply-adds, and bytes moved if every tensor is read or written once.

    `arithmetic` says which peak holds: `int8` where the activations are integers, else `float32`. 16-bit integers
    are held against the int8 peak too, which no kernel for them exceeds.
    """

    macs: int
    input_bytes: int
    weight_bytes: int
    output_bytes: int
    arithmetic: str

    @property
    def bytes(self) -> int:
        """Return all bytes moved."""
        return self.input_bytes + self.weight_bytes + self.output_bytes

    @property
    def intensity(self) -> float | None:
        """Return multiply-adds per byte moved, the roofline's x axis; None where nothing moves."""
        return self.macs / self.bytes if self.bytes else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"bytes": self.bytes, "intensity": self.intensity}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Cost":
        """Read what `to_dict` wrote."""
        return cls(**{field.name: value[field.name] for field in dataclasses.fields(cls)})


def cost(operation: Operation) -> Cost:
    """Count an operation: its activations in, its weights and other constants, and its outputs.

    Weights that are unpacked when the file is loaded count as what they are unpacked to.
    """
    activations = [tensor for tensor in operation.given if not stored(tensor)]
    written = sum(size_bytes(tensor) for tensor in operation.outputs)
    read = sum(size_bytes(tensor) for tensor in activations)
    first = next(iter([*activations, *operation.outputs]), None)
    return Cost(
        macs=operation.macs,
        input_bytes=min(read, written) if operation.kind in PICKING else read,
        weight_bytes=sum(size_bytes(tensor) for tensor in operation.given if stored(tensor)),
        output_bytes=written,
        arithmetic="int8" if first is not None and "int" in first.dtype else "float32",
    )


def stored(tensor: Tensor) -> bool:
    """Whether a tensor is in the file, or unpacked from what is."""
    return tensor.constant or tensor.unpacked


def size_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor's elements; of strings and handles, whose size no file tells, none."""
    digits = tensor.dtype.lstrip("abcdefghijklmnopqrstuvwxyz_")
    bits = BITS.get(tensor.dtype, int(digits) if digits.isdigit() else 0)
    return tensor.size * bits // 8
