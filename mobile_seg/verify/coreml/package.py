"""A Core ML package as it lies on the disk: its specification and its weights files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.coremltools_quietly import coremltools
from mobile_seg.errors import ArtifactError, MissingExtraError
from mobile_seg.manifest import MEMBER, Manifest

LISTING = "Manifest.json"
"""Core ML's own list of what is in a package; ours stands in the specification's metadata."""

_MODEL_PATH = "@model_path/"


@dataclass(frozen=True)
class Package:
    """A `Model_pb2.Model`, and the contents of the files that it may refer to, by the names it has for them."""

    specification: Any
    blobs: dict[str, bytes]


def protobuf() -> Any:
    """Import the classes of Core ML's specification (`Model_pb2`), quietly.

    Raises:
        MissingExtraError: if coremltools is not installed.
    """
    return coremltools("coremltools.proto", purpose="reading .mlpackage").Model_pb2


def read_package(path: str | os.PathLike[str]) -> Package:
    """Read an `.mlpackage` folder.

    Raises:
        ArtifactError: if it is not there, cut short or damaged.
        MissingExtraError: if coremltools is not installed.
    """
    model = _model_file(Path(path))
    try:
        content = model.read_bytes()
        specification = protobuf().Model.FromString(content)
        blobs = {
            _MODEL_PATH + file.relative_to(model.parent).as_posix(): file.read_bytes()
            for file in sorted(model.parent.rglob("*"))
            if file != model and file.is_file() and not file.is_symlink()
        }
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:  # protobuf's DecodeError, and whatever the disk says
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"{path} cannot be read: {reason.rstrip('.')}; it is cut short or damaged: export it again"
        ) from error
    return Package(specification, blobs)


def _model_file(package: Path) -> Path:
    """The specification that the package's listing names as its root."""
    if not package.is_dir():
        raise ArtifactError(f"{package} is no folder, as an .mlpackage is; make it with `mobile-seg export`")
    try:
        listing = json.loads((package / LISTING).read_text(encoding="utf-8"))
        place = str(listing["itemInfoEntries"][listing["rootModelIdentifier"]]["path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{package} has no readable {LISTING} ({type(error).__name__}); copy the whole folder, or export it again"
        ) from error
    data = (package / "Data").resolve()
    try:
        file = (data / place).resolve()
        inside = file.is_relative_to(data) and file.is_file()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise ArtifactError(f"{package} lists {place!r}, which it does not hold; copy the whole folder")
    return file


def manifest_of(package: Package) -> Manifest | None:
    """Return the manifest in a package's metadata, or None if there is none.

    Raises:
        ArtifactError: if it cannot be read.
    """
    metadata = package.specification.description.metadata.userDefined
    return Manifest.from_json(metadata[MEMBER]) if MEMBER in metadata else None
