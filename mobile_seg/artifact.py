"""Model files and the manifests they carry."""

import hashlib
import io
import os
import zipfile
import zlib
from pathlib import Path

from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.manifest import MEMBER, Manifest

SUFFIXES = (".keras", ".tflite", ".onnx", ".mlpackage")


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the format of a model file by its suffix, without the dot.

    Raises:
        UsageError: for a suffix that no runner knows.
        ArtifactError: if there is no such file.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise UsageError(f"{file} is not a model file; accepted: {', '.join(SUFFIXES)}")
    if not (file.is_dir() if file.suffix == ".mlpackage" else file.is_file()):
        raise ArtifactError(f"{file} does not exist; check the path, or make it with `mobile-seg export`")
    return file.suffix[1:]


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Return the manifest carried inside the model file, or None if it carries none.

    Raises:
        ArtifactError: if there is one but it cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        return None
    with archive:
        if MEMBER not in archive.namelist():
            return None
        try:
            text = archive.read(MEMBER).decode("utf-8")
        except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path}: its manifest is damaged ({error}); export the model again") from error
    return Manifest.from_json(text)


def with_members(content: bytes, members: dict[str, str]) -> bytes:
    """Append text files to a model's bytes as a ZIP archive, as TFLite metadata and Keras do.

    Stored uncompressed with a fixed date, so that the same input gives the same bytes. Content that
    already ends in an archive has the members added to that one.
    """
    stream = io.BytesIO(content)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
