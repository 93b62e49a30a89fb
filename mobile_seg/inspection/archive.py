"""The ZIP archive that a `.keras` file is and a `.tflite` file ends in, read with a limit on everything."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from mobile_seg.inspection.records import damaged
from mobile_seg.manifest import MEMBER, Manifest

LARGEST_MEMBER = 64 << 20
"""Bytes of a file inside that is read whole: a manifest has a few thousand, a network's configuration a million."""

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, OSError, EOFError, OverflowError)


class Members(NamedTuple):
    """Names with their sizes in bytes, and the texts of those asked for that are there."""

    files: tuple[tuple[str, int], ...]
    texts: dict[str, str]

    @property
    def manifest(self) -> Manifest | None:
        """Our manifest, if it was asked for and is there.

        Raises:
            ArtifactError: if it cannot be read.
        """
        return Manifest.from_json(self.texts[MEMBER]) if MEMBER in self.texts else None


def members(path: Path, content: bytes, *, wanted: tuple[str, ...] = (MEMBER,)) -> Members:
    """What the archive in `content` holds; nothing if it has none.

    Raises:
        ArtifactError: if one of those wanted is there but damaged, or too large.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except _BROKEN:
        return Members((), {})
    texts = {}
    with archive:
        listed = {info.filename: info for info in archive.infolist()}
        for name in wanted:
            if name not in listed:
                continue
            try:
                if listed[name].file_size > LARGEST_MEMBER:
                    raise ValueError("it is larger than 64 MB")
                texts[name] = archive.read(listed[name]).decode("utf-8")
            except _BROKEN as error:
                raise damaged(path, f"{name} inside it is damaged: {error}") from error
    return Members(tuple((name, info.file_size) for name, info in listed.items()), texts)
