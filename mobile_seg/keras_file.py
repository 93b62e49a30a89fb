"""`.keras` files with a manifest inside."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_seg.artifact import with_members
from mobile_seg.files import replacing
from mobile_seg.manifest import MEMBER, InputSpec, Manifest, OutputSpec

DECIDING_PACKAGES = ("mobile-seg", "tensorflow", "keras", "ai-edge-litert", "numpy", "opencv-python")
"""Packages that decide an artifact's bytes and numbers."""


def keras_manifest(
    model: Any,
    classes: tuple[str, ...],
    palette: tuple[tuple[int, int, int], ...],
    *,
    precision: str,
    name: str,
    options: Mapping[str, Any] | None = None,
) -> Manifest:
    """The manifest of a Keras model: bytes 0..255 as floats in, logits at the output stride out.

    `options`: what the network was built with.
    """
    height, width = model.input_shape[1:3]
    rows, columns = model.output_shape[1:3]
    return Manifest(
        model=name,
        precision=precision,
        input=InputSpec(height=height, width=width, dtype="float32", mean=128.0, std=128.0),
        output=OutputSpec(kind="logits", height=rows, width=columns, dtype="float32"),
        classes=classes,
        palette=palette,
        versions=tuple(sorted(installed_versions().items())),
        network=tuple(sorted((options or {}).items())),
    )


def save_model(model: Any, path: Path, manifest: Manifest) -> Path:
    """Write a model as `.keras` (no optimizer state) with its manifest inside; whole or not at all."""
    clean = model.__class__.from_config(model.get_config())
    clean.set_weights(model.get_weights())
    with replacing(path) as temporary:
        clean.save(temporary)
        temporary.write_bytes(with_members(temporary.read_bytes(), {MEMBER: manifest.to_json()}))
    return path


def weights_digest(model: Any) -> str:
    """SHA-256 of a model's weights; the file's own would change with the date that Keras writes into it."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def installed_versions(*more: str) -> dict[str, str]:
    """Package name → version, of those that decide an artifact and of `more`; what is not installed is left out."""
    found = {}
    for name in (*DECIDING_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
