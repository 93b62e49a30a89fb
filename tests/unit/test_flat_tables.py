"""FlatBuffer tables by a schema: written as `flatbuffers` reads them, read with nothing trusted."""

import struct
from typing import Any

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg import flat_tables
from mobile_seg.flat_tables import BrokenTables, Schema, read, write

SCHEMA: Schema = {
    "Root": (
        ("name", "string"),
        ("number", "int32"),
        ("flag", "bool"),
        ("floats", "[float32]"),
        ("words", "[string]"),
        ("kind", {0: "NONE", 5: "FIVE"}),
        ("choice_type", "uint8"),
        ("choice", ("Leaf", "Other")),
        ("leaves", "[Leaf]"),
        ("data", "[bytes]"),
        ("child", "Root"),
    ),
    "Leaf": (("size", "uint64"),),
    "Other": (("wide", "int64"), ("narrow", "int8")),
}
MARK = b"TEST"

FULL: dict[str, Any] = {
    "name": "größe",
    "number": -3,
    "flag": True,
    "floats": [0.5, -1.25],
    "words": ["a", "", "c"],
    "kind": "FIVE",
    "choice": ("Other", {"wide": -(2**40), "narrow": -7}),
    "leaves": [{"size": 2**63}, {}],
    "data": b"\x01\x02\x03",
    "child": {"number": 0, "name": "inner"},
}


def plain(value: Any) -> Any:
    """Vectors as lists and bytes, to compare."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return value[0], plain(value[1])
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, memoryview):
        return bytes(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_what_is_written_is_read() -> None:
    assert plain(read(SCHEMA, "Root", write(SCHEMA, "Root", FULL, identifier=MARK), identifier=MARK)) == FULL


def test_the_library_reads_it_too() -> None:
    """By its own generic reader, slot by slot: not only we understand what we write."""
    content = write(SCHEMA, "Root", FULL, identifier=MARK)
    table = flatbuffers.table.Table(content, struct.unpack_from("<I", content)[0])
    assert table.String(table.Pos + table.Offset(4)).decode() == "größe"
    assert table.Get(flatbuffers.number_types.Int32Flags, table.Pos + table.Offset(6)) == -3
    assert table.VectorLen(table.Offset(10)) == 2
    assert table.Get(flatbuffers.number_types.Uint8Flags, table.Pos + table.Offset(16)) == 2  # the union's type
    assert table.Vector(table.Offset(22)) % 16 == 0, "bytes are aligned, as custom metadata demands"


def test_absent_fields_stay_absent() -> None:
    assert read(SCHEMA, "Root", write(SCHEMA, "Root", {}, identifier=MARK), identifier=MARK) == {}


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError, match=r"Leaf has no field \['width'\]"):
        write(SCHEMA, "Root", {"leaves": [{"width": 1}]}, identifier=MARK)


def test_another_mark_is_refused() -> None:
    content = write(SCHEMA, "Root", FULL, identifier=MARK)
    with pytest.raises(BrokenTables, match="no ELSE mark"):
        read(SCHEMA, "Root", content, identifier=b"ELSE")


def test_every_cut_is_survived() -> None:
    content = write(SCHEMA, "Root", FULL, identifier=MARK)
    refused = 0
    for end in range(len(content)):
        try:
            read(SCHEMA, "Root", content[:end], identifier=MARK)
        except BrokenTables:
            refused += 1
    assert refused >= len(content) - 1, "all but the last text's closing zero is needed"


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=30))
def test_damaged_bytes_are_read_or_refused(damage: list[tuple[int, int]]) -> None:
    content = bytearray(write(SCHEMA, "Root", FULL, identifier=MARK))
    for place, value in damage:
        content[place % len(content)] = value
    content[4:8] = MARK
    try:
        read(SCHEMA, "Root", bytes(content), identifier=MARK)
    except BrokenTables:
        return


def test_tables_without_end_are_refused() -> None:
    """A table that is its own child: the field's offset leads back to the start."""
    content = bytearray(write(SCHEMA, "Root", {"child": {}}, identifier=MARK))
    table = struct.unpack_from("<I", content)[0]
    fields = table - struct.unpack_from("<i", content, table)[0]
    slot = struct.unpack_from("<H", content, fields + 4 + 2 * 10)[0]
    struct.pack_into("<I", content, table + slot, 2**32 - slot)
    with pytest.raises(BrokenTables):
        read(SCHEMA, "Root", bytes(content), identifier=MARK)


def test_vectors_that_overlap_are_refused() -> None:
    """A small file must not ask for much memory: its numbers are counted as often as they are named."""
    inner: Schema = {"Root": (("many", "[Numbers]"),), "Numbers": (("values", "[float32]"),)}
    content = bytearray(write(inner, "Root", {"many": [{"values": [1.0] * 64}] * 64}, identifier=MARK))
    tables = read(inner, "Root", bytes(content), identifier=MARK)["many"]
    assert len(tables) == 64
    place = content.index(struct.pack("<I", 64) + struct.pack("<f", 1.0) * 64)
    # All 64 tables now name the first vector's place and take what follows it for their numbers, each to the end.
    while (place := content.find(struct.pack("<I", 64) + struct.pack("<f", 1.0), place)) >= 0:
        struct.pack_into("<I", content, place, (len(content) - place - 4) // 4)
        place += 4
    with pytest.raises(BrokenTables, match="overlap"):
        read(inner, "Root", bytes(content), identifier=MARK)


def test_the_number_of_parts_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat_tables, "LARGEST_COUNT", 100)
    content = write(SCHEMA, "Root", {"leaves": [{}] * 200}, identifier=MARK)
    with pytest.raises(BrokenTables, match="more than 100 parts"):
        read(SCHEMA, "Root", content, identifier=MARK)


def test_a_table_named_often_counts_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file whose tables name each other must not stand for more than anybody can go through."""
    schema: Schema = {"Root": (("middle", "[Middle]"),), "Middle": (("leaves", "[Leaf]"),), "Leaf": ()}
    content = bytearray(write(schema, "Root", {"middle": [{"leaves": [{}] * 30}] * 30}, identifier=MARK))
    monkeypatch.setattr(flat_tables, "LARGEST_COUNT", 2000)
    assert len(read(schema, "Root", bytes(content), identifier=MARK)["middle"]) == 30
    place = content.index(struct.pack("<I", 30))  # the outer vector stands first: it is written last
    first = place + 4 + struct.unpack_from("<I", content, place + 4)[0]
    for number in range(30):
        struct.pack_into("<I", content, place + 4 + 4 * number, first - place - 4 - 4 * number)
    shared = read(schema, "Root", bytes(content), identifier=MARK)["middle"]
    assert all(one is shared[0] for one in shared)
    monkeypatch.setattr(flat_tables, "LARGEST_COUNT", 900)
    with pytest.raises(BrokenTables, match="more than 900 parts"):
        read(schema, "Root", bytes(content), identifier=MARK)
