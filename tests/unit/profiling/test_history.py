"""Measurements survive whatever ends the writer."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from unit.profiling.made import FACTS, measurement

from mobile_seg.errors import ArtifactError, DiskError
from mobile_seg.profiling.history import append, history_of, latest, read
from mobile_seg.profiling.measurement import DeviceState, Frequency, Measurement

FIRST, SECOND = measurement([[10.0, 11.0], [10.5, 10.4]]), measurement([[9.0] * 6, [9.1] * 6], threads=2)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    path = history_of(tmp_path / "folder" / "m.tflite")
    assert path.name == "m.tflite.profiles.jsonl"
    append(path, FIRST)
    append(path, SECOND)
    assert read(path) == [FIRST, SECOND]


def test_a_torn_end_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append(path, FIRST)
    whole = path.read_bytes()
    append(path, SECOND)
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        assert read(path) == [FIRST]
    append(path, SECOND)
    assert path.read_bytes() == both


def test_a_line_longer_than_a_block_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    long = measurement([[float(number) for number in range(30_000)]])
    append(path, long)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-1])
    append(path, FIRST)
    assert read(path) == [long, FIRST]
    path.write_bytes(whole[:-1])
    append(path, FIRST)
    assert read(path) == [FIRST]


APPENDING = """
import sys
from mobile_seg.profiling.history import append, read
again = read(sys.argv[1])[0]
while True:
    append(sys.argv[1], again)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_a_kill_in_the_middle_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append(path, FIRST)
    with subprocess.Popen([sys.executable, "-c", APPENDING, str(path)]) as writer:
        ends = time.monotonic() + 60
        while path.stat().st_size < 20_000:
            assert time.monotonic() < ends
            time.sleep(0.01)
        writer.kill()
    kept = read(path)
    assert len(kept) > 2
    assert set(kept) == {FIRST}
    append(path, SECOND)
    assert read(path) == [*kept, SECOND]


def test_what_is_no_measurement_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(path)
    path.write_text("{}\n")
    with pytest.raises(ArtifactError, match=r"h\.jsonl:1: it is not a profile of mobile-seg"):
        read(path)
    append(path, FIRST)
    path.write_bytes(path.read_bytes().replace(b"{}\n", b"nonsense\n"))
    with pytest.raises(ArtifactError, match=r"h\.jsonl:1: it is no JSON .*; remove that line"):
        read(path)
    value = FIRST.to_dict()
    del value["threads"]
    path.write_text(json.dumps(value) + "\n")
    with pytest.raises(ArtifactError, match="damaged"):
        read(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").mkdir()
    with pytest.raises(DiskError, match="--no-history"):
        append(tmp_path / "h.jsonl", FIRST)


def test_the_newest_of_each_way_counts() -> None:
    newer = measurement([[8.0]])
    other = measurement([[7.0]], device=dataclasses.replace(FACTS, serial="S2"))
    assert list(latest([FIRST, SECOND, newer, other]).values()) == [newer, SECOND, other]


def test_a_measurement_tells_what_it_means() -> None:
    one = measurement([[10.0] * 4, [10.2] * 4])
    assert (one.median_ms, one.interval_ms) == (10.1, (10.0, 10.2))
    assert one.tight
    assert not measurement([[10.0] * 4, [11.0] * 4]).tight
    assert one.delegate.verdict == "xnnpack: part in 3 partitions, 4 operations left"
    assert one.held_down is False
    limited = DeviceState((Frequency("policy0", 1, 1, 2),))
    assert measurement([[1.0]], after=limited).held_down is True
    assert measurement([[1.0]], after=DeviceState(thermal_status=2)).held_down is True
    assert measurement([[1.0]], before=DeviceState(), after=DeviceState()).held_down is None
    assert Measurement.from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False))) == one
