"""Whole files or none, on disks that are really full."""

import contextlib
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_seg.artifact import read_manifest
from mobile_seg.errors import DiskError
from mobile_seg.files import replacing, write_bytes, write_json, write_text

SMALL, LARGE = 16 << 10, 256 << 10
"""Bytes that fit the disks below, bytes that do not."""

LIMIT = 96 << 10


@contextlib.contextmanager
def _tmpfs(folder: Path) -> Iterator[bool]:
    """A file system of its own; false where this user may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={LIMIT}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def _file_size_limit() -> Iterator[None]:
    """The kernel refuses to let any file of this process grow past the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["full disk", "file size limit"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that takes small files only: a tmpfs, or where none can be mounted a limit on files' size."""
    folder = tmp_path / "disk"
    with contextlib.ExitStack() as stack:
        if request.param == "full disk" and stack.enter_context(_tmpfs(folder)):
            yield folder
            return
        folder.mkdir(exist_ok=True)
        stack.enter_context(_file_size_limit())
        yield folder


def test_a_full_disk_leaves_the_previous_file_whole(small_disk: Path) -> None:
    path = small_disk / "model.tflite"
    old = os.urandom(SMALL)
    write_bytes(path, old)
    with pytest.raises(DiskError) as caught:
        write_bytes(path, bytes(LARGE))
    assert str(caught.value).startswith(f"cannot write {path}: ")
    assert "Free some space or choose another folder; nothing that was there before has changed." in str(caught.value)
    assert path.read_bytes() == old
    assert [file.name for file in small_disk.iterdir()] == ["model.tflite"], "no temporary file stays"
    # Nothing is broken for good: what fits is written again.
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_keras_model_that_does_not_fit_leaves_the_previous_one_whole(small_disk: Path) -> None:
    from unit.quantization import nets

    from mobile_seg.keras_file import save_model
    from mobile_seg.verify.keras_runner import load_keras

    small, large = (nets.net(lambda x, n=n: nets.layers.Conv2D(n, 3)(x), name=f"net{n}") for n in (3, 4000))
    path = small_disk / "model.keras"
    save_model(small, path, nets.manifest_of(small))
    with pytest.raises(DiskError):
        save_model(large, path, _few_classes(large))
    assert [file.name for file in small_disk.iterdir()] == ["model.keras"]
    found = read_manifest(path)
    assert found is not None
    assert found.model == "net3"
    np.testing.assert_array_equal(nets.logits(load_keras(path), nets.images()), nets.logits(small, nets.images()))


def _few_classes(model: Any) -> Any:
    from mobile_seg.keras_file import keras_manifest

    return keras_manifest(model, ("a", "b"), ((0, 0, 0), (1, 1, 1)), precision="float32", name=model.name)


@pytest.mark.parametrize("kind", ["full disk", "file size limit"])
def test_an_export_that_does_not_fit_leaves_the_previous_artifact_whole(kind: str, tmp_path: Path) -> None:
    from mobile_seg.api import export

    model, data = _wide_model(tmp_path / "data")
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "disk"
        mounted = kind == "full disk" and stack.enter_context(_tmpfs(folder))
        path = write_bytes(folder / "wide_float32.tflite", b"the artifact of yesterday")

        def limit(done: int, total: int, text: str) -> None:
            # Only now: reading the model unpacks it into a temporary file.
            if text.startswith("converting") and not mounted:
                stack.enter_context(_file_size_limit())

        with pytest.raises(DiskError, match=re.escape(f"cannot write {path}: ")):
            export(model, data=data, folder=folder, precision="float32", progress=limit)
        assert path.read_bytes() == b"the artifact of yesterday"
        assert [file.name for file in folder.iterdir()] == [path.name]


def _wide_model(folder: Path) -> tuple[Path, Path]:
    """A model of a third of a megabyte, and a dataset of four images."""
    import cv2
    from unit.quantization import nets

    from mobile_seg.keras_file import save_model

    def body(x: Any) -> Any:
        x = nets.layers.Conv2D(96, 3, activation="relu")(x)
        return nets.layers.Conv2D(2, 1)(nets.layers.Conv2D(96, 3, activation="relu")(x))

    model = nets.net(body, name="wide")
    for name in ("images", "labels"):
        (folder / "all" / name).mkdir(parents=True)
    for number, image in enumerate(nets.images()):
        cv2.imwrite(str(folder / "all" / "images" / f"{number}.png"), image)
        cv2.imwrite(str(folder / "all" / "labels" / f"{number}.png"), image[..., 0] // 128)
    data = write_text(folder / "data.yaml", "train: all\nval: all\nnames: [class0, class1]\n")
    return save_model(model, folder / "model.keras", nets.manifest_of(model)), data


def test_folders_are_made_and_contents_written(tmp_path: Path) -> None:
    assert write_bytes(tmp_path / "a" / "b.bin", b"\x00\x01").read_bytes() == b"\x00\x01"
    assert write_text(tmp_path / "c.txt", "grün\n").read_bytes() == "grün\n".encode()
    assert write_json(tmp_path / "d.json", {"b": 1, "a": [None, 2.5]}).read_text() == (
        '{\n  "b": 1,\n  "a": [\n    null,\n    2.5\n  ]\n}\n'
    )
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "d.json", float("nan"))


def test_a_failure_of_the_writer_itself_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            assert temporary.suffix == ".txt", "some writers choose the format by it"
            temporary.write_text("half")
            raise KeyError("writer")

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(DiskError, match=r"cannot write .*taken: Is a directory"):
        write_bytes(tmp_path / "taken", b"x")
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"cannot write .*inside"):
        write_bytes(tmp_path / "file" / "inside", b"x")


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert write_bytes(tmp_path / "file", b"x").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027, "the process' own mask is left as it was"
    finally:
        os.umask(old)
