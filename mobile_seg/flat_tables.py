"""FlatBuffer tables by a schema that is data: written with `flatbuffers`, read with every offset checked.

The readers that `flatc` generates trust their file: a damaged length sends them round for hours, or out of memory.
Here a table is a plain dict of the fields that are present, its schema a row of (field, type) in the order of slots:

    int8 … uint64, float32, bool, string    one value
    [int32], [float32], [string], …         a vector; [bytes] is one of bytes
    Name, [Name]                            a table, or a vector of them
    (Name, …)                               a union, given as (name, table); the slot before it holds its type
    {number: name}                          an int8 with names, given as its name
"""

import struct
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

Type = str | tuple[str, ...] | dict[int, str]
Schema = Mapping[str, tuple[tuple[str, Type], ...]]

SCALARS = {
    **{"bool": "<?", "int8": "<b", "uint8": "<B", "int16": "<h", "uint16": "<H", "int32": "<i", "uint32": "<I"},
    **{"int64": "<q", "uint64": "<Q", "float32": "<f"},
}
_PREPEND = {name: f"Prepend{name.capitalize()}" for name in SCALARS}

LARGEST_COUNT = 4_000_000
"""Tables, strings and vectors that one file may hold: a thousand times what a network has."""

DEEPEST = 32
"""Tables inside tables; TFLite's own schema goes five deep."""


class BrokenTables(Exception):
    """Bytes that are no FlatBuffer of the schema. The message says what is wrong, without the file's name."""


def write(schema: Schema, root: str, value: Mapping[str, Any], *, identifier: bytes) -> bytes:
    """Return the buffer of a table of type `root`; vectors of bytes start at multiples of 16.

    Raises:
        KeyError: for a field that the schema has not.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, schema, root, value), identifier)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, schema: Schema, name: str, value: Mapping[str, Any]) -> int:
    fields = schema[name]
    if unknown := set(value) - {field for field, _ in fields}:
        raise KeyError(f"{name} has no field {sorted(unknown)}")
    ready: list[tuple[int, str, Any]] = []
    for slot, (field, kind) in enumerate(fields):
        if field not in value:
            continue
        given = value[field]
        if isinstance(kind, tuple):
            ready.append((slot - 1, "uint8", kind.index(given[0]) + 1))
            ready.append((slot, "offset", _table(builder, schema, *given)))
        elif isinstance(kind, dict):
            ready.append((slot, "int8", {known: number for number, known in kind.items()}[given]))
        elif kind in SCALARS:
            ready.append((slot, kind, given))
        else:
            ready.append((slot, "offset", _reference(builder, schema, kind, given)))
    builder.StartObject(len(fields))
    for slot, kind, given in ready:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, given, 0)
        else:  # also where it is the default: what is given is present
            getattr(builder, _PREPEND[kind])(given)
            builder.Slot(slot)
    return int(builder.EndObject())


def _reference(builder: flatbuffers.Builder, schema: Schema, kind: str, given: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(given))
    if not kind.startswith("["):
        return _table(builder, schema, kind, given)
    inner = kind[1:-1]
    if inner == "bytes":
        builder.StartVector(1, len(given), 16)
        for byte in reversed(given):
            builder.PrependUint8(byte)
        return int(builder.EndVector())
    if inner in SCALARS:
        size = struct.calcsize(SCALARS[inner])
        builder.StartVector(size, len(given), size)
        for number in reversed(given):
            getattr(builder, _PREPEND[inner])(number)
        return int(builder.EndVector())
    offsets = [_reference(builder, schema, inner, one) for one in given]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def read(schema: Schema, root: str, content: bytes, *, identifier: bytes) -> dict[str, Any]:
    """Return the table of type `root` at the start of `content`; fields that the schema does not know are left out.

    Numbers come as NumPy vectors, vectors of bytes as views of `content`. Work and memory are bounded by the file's
    size, whatever stands in it.

    Raises:
        BrokenTables: if an offset, a length or a text cannot be what the schema says.
    """
    if content[4:8] != identifier:
        raise BrokenTables(f"no {identifier.decode()} mark at its start")
    reader = _Reader(schema, content)
    return reader.table(root, reader.pointer(0), 0)


class _Reader:
    """One pass over a buffer, counting what it takes up."""

    def __init__(self, schema: Schema, content: bytes) -> None:
        self.schema, self.content, self.view = schema, content, memoryview(content)
        self.count, self.bytes = 0, 0
        self.tables: dict[tuple[str, int], tuple[dict[str, Any], int, int]] = {}

    def number(self, kind: str, place: int) -> Any:
        try:
            return struct.unpack_from(SCALARS[kind], self.content, place)[0]
        except struct.error:
            raise BrokenTables(f"a value at byte {place}, past its end") from None

    def pointer(self, place: int) -> int:
        return place + int(self.number("uint32", place))

    def table(self, name: str, place: int, depth: int) -> dict[str, Any]:
        if (name, place) in self.tables:
            # Read once, counted each time: whoever goes through the result meets it as often as it is named.
            known, count, size = self.tables[name, place]
            self._took(count, size)
            return known
        before = self.count, self.bytes
        if depth > DEEPEST:
            raise BrokenTables("tables inside tables without end")
        self._took(1)
        found: dict[str, Any] = {}
        fields = place - int(self.number("int32", place))
        if fields < 0:
            raise BrokenTables(f"a {name} at byte {place} without fields")
        slots = (int(self.number("uint16", fields)) - 4) // 2
        for slot, (field, kind) in enumerate(self.schema[name]):
            offset = int(self.number("uint16", fields + 4 + 2 * slot)) if slot < slots else 0
            if offset:
                value = self._field(kind, place + offset, found, self.schema[name][slot - 1][0], depth)
                if value is not None:
                    found[field] = value
        self.tables[name, place] = found, self.count - before[0], self.bytes - before[1]
        return found

    def _field(self, kind: Type, place: int, found: dict[str, Any], before: str, depth: int) -> Any:
        if isinstance(kind, tuple):
            choice = found.pop(before, 0)
            if not 0 < choice <= len(kind):  # of a newer schema, or none
                return None
            return kind[choice - 1], self.table(kind[choice - 1], self.pointer(place), depth + 1)
        if isinstance(kind, dict):
            value = self.number("int8", place)
            return kind.get(value, str(value))
        if kind in SCALARS:
            return self.number(kind, place)
        return self._reference(kind, self.pointer(place), depth)

    def _reference(self, kind: str, place: int, depth: int) -> Any:
        if kind == "string":
            self._took(1)
            return bytes(self._elements(place, 1)).decode("utf-8", "replace")
        if not kind.startswith("["):
            return self.table(kind, place, depth + 1)
        inner = kind[1:-1]
        if inner == "bytes":
            return self._elements(place, 1, copied=False)
        if inner in SCALARS:
            dtype = np.dtype(SCALARS[inner])
            return np.frombuffer(self._elements(place, dtype.itemsize), dtype)
        offsets = np.frombuffer(self._elements(place, 4), np.uint32)
        self._took(len(offsets))
        return [self._reference(inner, place + 4 + 4 * n + int(o), depth) for n, o in enumerate(offsets)]

    def _elements(self, place: int, size: int, *, copied: bool = True) -> memoryview:
        length = int(self.number("uint32", place)) * size
        if place + 4 + length > len(self.content):
            raise BrokenTables(f"{length} bytes at byte {place + 4}, but it ends at {len(self.content)}")
        self._took(0, length if copied else 0)
        return self.view[place + 4 : place + 4 + length]

    def _took(self, count: int, size: int = 0) -> None:
        self.count, self.bytes = self.count + count, self.bytes + size
        if self.bytes > 4 * len(self.content):
            raise BrokenTables("vectors that overlap")
        if self.count > LARGEST_COUNT:
            raise BrokenTables(f"more than {LARGEST_COUNT} parts")
