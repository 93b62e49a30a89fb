"""Model files and the manifests they carry."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from unit.test_manifest import MANIFEST

from mobile_seg.artifact import SUFFIXES, kind_of, read_manifest, sha256, with_members
from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.manifest import MEMBER

MODEL = bytes(range(256)) * 8


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def test_the_manifest_travels_behind_the_model(tmp_path: Path) -> None:
    content = with_members(MODEL, {MEMBER: MANIFEST.to_json()})
    assert content.startswith(MODEL)
    assert read_manifest(_file(tmp_path, content)) == MANIFEST


def test_the_same_members_give_the_same_bytes_and_the_order_is_kept() -> None:
    members = {"b.txt": "two", "a.txt": "one"}
    content = with_members(MODEL, members)
    assert content == with_members(MODEL, dict(members))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["b.txt", "a.txt"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize(
    "content", [MODEL, b"", with_members(MODEL, {"labels.txt": "road\n"}), with_members(MODEL, {MEMBER: "{}"})[:-30]]
)
def test_a_file_without_a_manifest_carries_none(tmp_path: Path, content: bytes) -> None:
    assert read_manifest(_file(tmp_path, content)) is None


def test_a_manifest_that_is_there_but_broken_is_an_error_not_none(tmp_path: Path) -> None:
    content = with_members(MODEL, {MEMBER: MANIFEST.to_json()})
    at = content.index(b'"model"')
    with pytest.raises(ArtifactError, match=r"its manifest is damaged \(Bad CRC.*export the model again"):
        read_manifest(_file(tmp_path, content[:at] + b"X" + content[at + 1 :]))
    with pytest.raises(ArtifactError, match="the manifest cannot be read"):
        read_manifest(_file(tmp_path, with_members(MODEL, {MEMBER: "not json"})))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(MEMBER, b"\xff\xfe")
    with pytest.raises(ArtifactError, match="its manifest is damaged"):
        read_manifest(_file(tmp_path, stream.getvalue()))


def test_the_kind_is_the_suffix(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"model{suffix}"
        path.mkdir() if suffix == ".mlpackage" else path.touch()
        assert kind_of(tmp_path / f"model{suffix}") == suffix[1:]
    with pytest.raises(UsageError, match=r"model.pt is not a model file; accepted: .keras, .tflite"):
        kind_of(tmp_path / "model.pt")
    with pytest.raises(ArtifactError, match=r"absent.tflite does not exist; check the path, or make it with"):
        kind_of(tmp_path / "absent.tflite")


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = MODEL * 1000  # several blocks
    assert sha256(_file(tmp_path, content)) == hashlib.sha256(content).hexdigest()
