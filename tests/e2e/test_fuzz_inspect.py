"""Damaged model files into `inspect`: each is described or refused in one line; nothing hangs, nothing dies."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.conftest import complaint, mobile_seg
from unit.inspection import made
from unit.verify import tiny

from mobile_seg.artifact import with_members
from mobile_seg.cli.inspect import lines
from mobile_seg.converters.metadata import finish
from mobile_seg.errors import ArtifactError
from mobile_seg.inspection.child import Child
from mobile_seg.inspection.dispatch import inspect_file
from mobile_seg.inspection.records import Inspection

FAST = 60
MANY = 2000

SECONDS = 20.0
"""For one file: the work is bounded by its size, some kB here; most of this is a slow machine's share."""

CHILD_SECONDS = {"LiteRT": 10.0, "onnx": 10.0}

EXTREMES = (0, 1, 0x7F, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x10000, 0x7FFFFFF0)
"""What lengths and offsets turn into."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Sound files by kind of mutation: one of ours and one of others' where they differ."""
    folder = tmp_path_factory.mktemp("whole")
    plain = made.tflite_model()
    (folder / "plain.tflite").write_bytes(plain)
    description = tiny.manifest()
    (folder / "ours.tflite").write_bytes(finish(plain, description))
    (folder / "zip.tflite").write_bytes(with_members(plain, {"labels.txt": "a\nb\n"}))
    (folder / "qdq.onnx").write_bytes(made.onnx_model())
    (folder / "float.onnx").write_bytes(made.onnx_model(quantized=False))
    return {
        "tflite": [folder / name for name in ("plain.tflite", "ours.tflite", "zip.tflite")],
        "onnx": [folder / name for name in ("qdq.onnx", "float.onnx")],
        "mlpackage": [made.core_ml_package(folder)],
    }


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Damage bytes in one of the ways that files get damaged, or that an attacker would try first."""
    data = bytearray(content)
    kind = chance.randrange(6)
    if not data:
        return bytes(chance.randbytes(chance.randrange(40)))
    if kind == 0:  # flipped bits
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:  # cut short
        del data[chance.randrange(len(data)) :]
    elif kind == 2:  # a piece taken out
        start = chance.randrange(len(data))
        del data[start : start + chance.choice((1, 4, 16, 256))]
    elif kind == 3:  # a piece put in from elsewhere in the file
        start, to = chance.randrange(len(data)), chance.randrange(len(data))
        data[to:to] = data[start : start + chance.choice((1, 4, 16, 256))]
    elif kind == 4:  # lengths and offsets, which stand at multiples of four in a FlatBuffer
        for _ in range(chance.choice((1, 2, 6))):
            place = chance.randrange(max(len(data) // 4, 1)) * 4
            data[place : place + 4] = chance.choice(EXTREMES).to_bytes(4, "little")
    else:  # single bytes at their ends, as protobuf's lengths have them
        for _ in range(chance.choice((1, 3, 10))):
            data[chance.randrange(len(data))] = chance.choice((0x00, 0x7F, 0x80, 0xFF))
    return bytes(data)


def damaged(source: Path, target: Path, chance: random.Random) -> Path:
    """Write a damaged copy; of a package, one of its files is damaged, sometimes missing."""
    if source.is_file():
        target.write_bytes(mutated(source.read_bytes(), chance))
        return target
    inside = sorted(file for file in source.rglob("*") if file.is_file())
    # The specification is where nearly everything stands.
    chosen = chance.choice([*inside, *(file for file in inside if file.suffix == ".mlmodel" for _ in range(3))])
    for file in inside:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        copy.unlink(missing_ok=True)
        if file != chosen:
            copy.write_bytes(content)
        elif chance.random() > 0.02:
            copy.write_bytes(mutated(content, chance))
    return target


@pytest.fixture
def child() -> Iterator[Child]:
    """One process for all files of a test."""
    with Child(seconds=CHILD_SECONDS) as one:
        yield one


def survive(path: Path, child: Child) -> Inspection | None:
    """Look into a file as the command does; None if it is refused, in one line."""
    started = time.monotonic()
    try:
        found = inspect_file(path, child=child)
        json.dumps(found.to_dict(), allow_nan=False)
        assert all(line.isprintable() for line in lines(found))
    except ArtifactError as refused:
        said = str(refused)
        assert "\n" not in said, said
        assert str(path) in said, said
        return None
    finally:
        # A hanging native parser is ended by the child's own limit, which is part of this.
        assert time.monotonic() - started < SECONDS + (CHILD_SECONDS["LiteRT"] if child.started > 1 else 120.0)
    return found


def fuzz(whole: dict[str, list[Path]], kind: str, count: int, folder: Path, child: Child) -> tuple[int, int]:
    """(described, refused) of so many damaged files."""
    described = 0
    for number in range(count):
        chance = random.Random(f"{kind} {number}")
        path = damaged(chance.choice(whole[kind]), folder / f"damaged.{kind}", chance)
        described += survive(path, child) is not None
    return described, count - described


@pytest.mark.parametrize("kind", ["tflite", "onnx", "mlpackage"])
def test_some_damaged_files(whole: dict[str, list[Path]], kind: str, tmp_path: Path, child: Child) -> None:
    described, refused = fuzz(whole, kind, FAST // 3, tmp_path, child)
    assert described > 0, "harmless damage is described"
    assert refused > 0, "the rest is refused"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tflite", "onnx", "mlpackage"])
def test_two_thousand_damaged_files(whole: dict[str, list[Path]], kind: str, tmp_path: Path, child: Child) -> None:
    described, refused = fuzz(whole, kind, MANY, tmp_path, child)
    assert described > MANY // 100
    assert refused > MANY // 100


def test_the_sound_files_are_described(whole: dict[str, list[Path]], child: Child) -> None:
    """Or the tests above would prove little."""
    for path in (path for paths in whole.values() for path in paths):
        found = survive(path, child)
        assert found is not None
        assert found.operations
        assert all(verdict.accepted for verdict in found.verdicts)


@pytest.mark.parametrize("kind", ["tflite", "onnx", "mlpackage"])
def test_the_command_says_one_line(whole: dict[str, list[Path]], kind: str, tmp_path: Path) -> None:
    source = whole[kind][0]
    half = tmp_path / f"half.{kind}"
    if source.is_file():
        half.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    else:
        (half / "Data").mkdir(parents=True)
    assert str(half) in complaint(mobile_seg("inspect", half), 1)
