"""A disk that fills up while a file is written leaves the one before whole, and no half of the new one."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.conftest import Models, mobile_seg

from mobile_seg import api
from mobile_seg.errors import DiskError
from mobile_seg.verify.keras_runner import load_keras

PAGE = 4096


@pytest.fixture
def small_disk(tmp_path: Path, models: Models) -> Iterator[Path]:
    """A file system with room for one artifact and a half."""
    artifact = -(-models.tflite.stat().st_size // PAGE)
    assert artifact >= 8
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={(artifact + artifact // 2) * PAGE}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root; the test with a file size limit stands in")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_exporting_onto_a_full_disk(models: Models, small_disk: Path) -> None:
    api.export(models.keras, data=models.data, folder=small_disk, force=True)
    before = contents(small_disk)
    assert sorted(before) == ["small_int8.json", "small_int8.tflite"]
    with pytest.raises(DiskError, match="No space left on device"):
        api.export(models.keras, data=models.data, folder=small_disk, force=True)
    assert contents(small_disk) == before


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[Callable[..., None]]:
    """Yield what sets the limit, for when it is to begin; it ends with the context."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda *_, **__: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_exporting_where_files_may_not_grow(models: Models, tmp_path: Path) -> None:
    previous = tmp_path / "small_int8.tflite"
    previous.write_bytes(b"what an earlier export left")
    with file_size_limit(models.tflite.stat().st_size // 2) as begin:

        def tell(done: int, total: int, text: str) -> None:
            if text.startswith("converting"):  # by now the model is read, which unpacks it into a temporary file
                begin()

        with pytest.raises(DiskError, match=r"cannot write .*small_int8\.tflite: File too large\. Free some space"):
            api.export(models.keras, data=models.data, folder=tmp_path, progress=tell)
    assert contents(tmp_path) == {previous.name: b"what an earlier export left"}


def test_no_room_to_unpack_a_model_is_not_a_damaged_model(models: Models) -> None:
    with file_size_limit(1024) as begin:
        begin()
        with pytest.raises(DiskError, match=r"cannot unpack .*model_qat\.keras: File too large\..*TMPDIR"):
            load_keras(models.keras)
    load_keras(models.keras)


def test_the_command_line_says_it_in_one_line(models: Models, small_disk: Path) -> None:
    words = ("export", models.keras, "--data", models.data, "--out", small_disk, "--force")
    (small_disk / "filler").write_bytes(bytes(small_disk_room(small_disk) - PAGE))
    ran = mobile_seg(*words)
    assert ran.code == 1
    said = ran.err.splitlines()[-1]
    assert said.startswith(f"error: cannot write {small_disk}/")
    assert "small_int8.tflite: No space left" in said
    assert "Traceback" not in ran.err
    assert [file.name for file in small_disk.iterdir()] == ["filler"]


def small_disk_room(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize
