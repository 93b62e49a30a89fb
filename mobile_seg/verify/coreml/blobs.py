"""Tensors of a Core ML package: what the specification holds itself, and what stands in its weights file.

The weights file (MIL blob storage, version 2): a header of 64 bytes, then for each tensor a record of 64 bytes (mark,
type, size, offset of the data), all little-endian; the specification refers to records by their offset.
"""

import math
import struct
from typing import Any, TypeAlias

import numpy as np

from mobile_seg.errors import ArtifactError

Tensor: TypeAlias = Any
"""An array, a string, or a tuple of tensors. Half-precision floats are held as float32, rounded."""

MARK = 0xDEADBEEF
"""First four bytes of each record."""

_RECORD = struct.Struct("<IIQQQ")
LARGEST = 2**31
"""Values of one tensor, at most: a damaged shape must not ask for all memory."""

STORED = {
    "FLOAT16": np.dtype("<f2"),
    "FLOAT32": np.dtype("<f4"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
    "INT16": np.dtype("<i2"),
    "UINT16": np.dtype("<u2"),
    "INT32": np.dtype("<i4"),
    "UINT32": np.dtype("<u4"),
}
"""MIL's data types that fill whole bytes."""

PACKED = {"UINT1": 1, "UINT2": 2, "UINT3": 3, "UINT4": 4, "UINT6": 6, "INT4": 4}
"""Those of fewer bits, packed from each byte's lowest on."""


CHUNK = 1 << 16
"""Numbers rounded at a time, which fit a processor's cache."""

LARGEST_HALF, SMALLEST_NORMAL = np.float32(65504.0), np.float32(2.0**-14)


def half(values: np.ndarray) -> np.ndarray:
    """Round floats to half precision; they stay float32, in which they are computed with. What overflows is inf."""
    floats = np.asarray(values, np.float32)
    made = np.empty_like(floats, order="C")
    read, written = np.ravel(floats), made.reshape(-1)
    for start in range(0, read.size, CHUNK):
        _round_to_half(read[start : start + CHUNK], written[start : start + CHUNK])
    return made


def _round_to_half(values: np.ndarray, made: np.ndarray) -> None:
    """Ten times as fast as a cast there and back, whose every number is unpacked alone."""
    size = np.abs(values)
    if not size.max() < LARGEST_HALF:  # infinite, not a number, or soon infinite
        with np.errstate(over="ignore"):
            made[:] = values.astype(np.float16)
        return
    bits = values.view(np.uint32)
    rounded = made.view(np.uint32)
    np.right_shift(bits, 13, out=rounded)
    rounded &= 1
    rounded += bits
    rounded += np.uint32(0xFFF)  # half of the 13 bits that go, ties to even
    rounded &= np.uint32(0xFFFFE000)
    # Below the smallest normal number steps are 2^-24, which is the last bit of 0.75.
    small = size < SMALLEST_NORMAL
    if small.any():
        np.copyto(made, (values + np.float32(0.75)) - np.float32(0.75), where=small)


def value_of(value: Any, blobs: dict[str, bytes], name: str) -> Tensor:
    """Read a `MIL_pb2.Value`: a tensor, or a tuple of them.

    Args:
        blobs: the contents of weights files, by the name that the specification has for them.
        name: of the value, for messages.

    Raises:
        ArtifactError: if it is damaged, or of a type that is not known here.
    """
    kind = value.type.WhichOneof("type")
    if kind == "tupleType":
        return tuple(value_of(one, blobs, name) for one in value.immediateValue.tuple.values)
    if kind == "listType":
        return tuple(value_of(one, blobs, name) for one in value.immediateValue.list.values)
    if kind != "tensorType":
        raise ArtifactError(f"{name} is a {kind}, expected a tensor; export the model again")
    dtype, shape = tensor_type(value.type.tensorType, name)
    if value.WhichOneof("value") == "blobFileValue":
        return _from_blob(value.blobFileValue, blobs, dtype, shape, name)
    return _immediate(value.immediateValue.tensor, dtype, shape, name)


def tensor_type(kind: Any, name: str) -> tuple[str, tuple[int, ...]]:
    """Return (MIL's name of the data type, shape) of a `MIL_pb2.TensorType`.

    Raises:
        ArtifactError: for a size that is open, or absurd.
    """
    from coremltools.proto import MIL_pb2

    shape = tuple(
        int(one.constant.size) if one.WhichOneof("dimension") == "constant" else -1 for one in kind.dimensions
    )
    if min(shape, default=1) < 0 or math.prod(shape) > LARGEST:
        raise ArtifactError(f"{name} has the size {list(shape)}; a package has one size, with every side given")
    try:
        return MIL_pb2.DataType.Name(kind.dataType), shape
    except ValueError as error:
        raise ArtifactError(f"{name} has data type {kind.dataType}, which is not known; update coremltools") from error


def _immediate(tensor: Any, dtype: str, shape: tuple[int, ...], name: str) -> Tensor:
    field = tensor.WhichOneof("value")
    if field is None:
        return np.zeros(shape, STORED.get(dtype, np.dtype(np.float32)))
    held = getattr(tensor, field).values
    if field == "strings":
        return str(held[0]) if not shape else tuple(held)
    if field == "bytes":
        return _decoded(held, dtype, shape, name)
    found = np.asarray(
        list(held), {"bools": np.bool_, "floats": np.float32, "doubles": np.float32}.get(field, np.int32)
    )
    # One value stands for a tensor full of it.
    return _shaped(np.broadcast_to(found, math.prod(shape)) if found.size == 1 else found, shape, name)


def _from_blob(reference: Any, blobs: dict[str, bytes], dtype: str, shape: tuple[int, ...], name: str) -> Tensor:
    content = blobs.get(reference.fileName)
    if content is None:
        raise ArtifactError(f"{name} stands in {reference.fileName}, which the package lacks; copy the whole folder")
    at = int(reference.offset)
    if at + _RECORD.size > len(content):
        raise ArtifactError(f"{name} stands behind the end of {reference.fileName}: the file is cut short")
    mark, _, size, start, _ = _RECORD.unpack_from(content, at)
    if mark != MARK or start + size > len(content):
        raise ArtifactError(f"{name}: {reference.fileName} is cut short or damaged; export the model again")
    return _decoded(content[start : start + size], dtype, shape, name)


def _decoded(content: bytes, dtype: str, shape: tuple[int, ...], name: str) -> np.ndarray:
    count = math.prod(shape)
    if dtype in PACKED:
        found = unpacked(np.frombuffer(content, np.uint8), PACKED[dtype], count)
        return _shaped(found - 16 * (found > 7) if dtype == "INT4" else found, shape, name)
    if dtype not in STORED:
        raise ArtifactError(f"{name} has values of type {dtype}, which is not known here; check it on macOS")
    kind = STORED[dtype]
    if len(content) < count * kind.itemsize:
        raise ArtifactError(f"{name} is cut short: {len(content)} bytes for {list(shape)} {dtype}")
    found = np.frombuffer(content, kind, count)
    return _shaped(found.astype(np.float32) if dtype == "FLOAT16" else found, shape, name)


def _shaped(found: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if found.size != math.prod(shape):
        raise ArtifactError(f"{name} holds {found.size} values for {list(shape)}; the package is damaged")
    return found.reshape(shape)


def unpacked(content: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first `count` whole numbers of so many bits in a row of bytes, the lowest bit first, as int32.

    Raises:
        ArtifactError: if there are fewer.
    """
    if bits == 8:
        found = content[:count]
    else:
        spread = np.unpackbits(content, bitorder="little")[: count * bits]
        whole = spread[: spread.size // bits * bits].reshape(-1, bits)
        found = np.packbits(whole, axis=1, bitorder="little")[:, 0] if whole.size else np.zeros(0, np.uint8)
    if found.size != count:
        raise ArtifactError(f"a packed tensor is cut short: {found.size} of {count} values of {bits} bits")
    return found.astype(np.int32)
