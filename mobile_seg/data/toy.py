"""The built-in toy dataset: deterministic street scenes with stuff and things, drawn with OpenCV."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml

from mobile_seg import files
from mobile_seg.data._scene import Scene, draw_scene
from mobile_seg.data._street import CLASSES
from mobile_seg.errors import UsageError

__all__ = ["CLASSES", "PALETTE", "THINGS", "Scene", "draw_scene", "write_toy_dataset"]

THINGS = ("car", "pedestrian")
"""The classes whose pixels carry an instance id."""

PALETTE = (
    (70, 130, 180),
    (90, 90, 90),
    (128, 64, 128),
    (244, 35, 232),
    (107, 142, 35),
    (220, 180, 120),
    (220, 220, 0),
    (0, 0, 190),
    (220, 20, 60),
)
"""RGB per class, close to the colours of Cityscapes."""

_FOLDERS = {"images": ".jpg", "labels": ".png", "instances": ".png"}
_JPEG_QUALITY = 92


def write_toy_dataset(
    folder: str | os.PathLike[str],
    *,
    train: int = 96,
    val: int = 24,
    size: tuple[int, int] = (192, 256),
    seed: int = 0,
) -> Path:
    """Write `train` and `val` scenes of `size` (height, width) and return the path of their `toy.yaml`.

    Each split has `images` (JPEG), `labels` (8-bit PNG, class ids) and `instances` (16-bit PNG, 0 is
    stuff). No scene of `val` is one of `train`. The same arguments write the same bytes.

    Raises:
        UsageError: if a number is out of range, or the folder holds files that this call would not
            replace, since they would join the dataset.
        DiskError: if the disk is full or the folder cannot be written.
    """
    for name, value in (("train", train), ("val", val), ("height", size[0]), ("width", size[1])):
        if value < 1:
            raise UsageError(f"{name}={value}: give at least 1")
    if seed < 0:
        raise UsageError(f"seed={seed}: give 0 or more")
    root = Path(folder)
    splits = {"train": range(train), "val": range(train, train + val)}
    _refuse_strangers(root, splits)
    for split, numbers in splits.items():
        for number in numbers:
            _write_scene(root / split, _stem(number), draw_scene((seed, number), size))
    description = {
        "path": ".",
        "train": "train",
        "val": "val",
        "names": list(CLASSES),
        "palette": [list(colour) for colour in PALETTE],
    }
    return _write_yaml(root / "toy.yaml", description)


def _write_scene(folder: Path, stem: str, scene: Scene) -> None:
    pixels = {
        "images": cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR),
        "labels": scene.labels,
        "instances": scene.instances.astype(np.uint16),
    }
    for kind, suffix in _FOLDERS.items():
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix == ".jpg" else []
        _, content = cv2.imencode(suffix, pixels[kind], options)
        files.write_bytes(folder / kind / f"{stem}{suffix}", content.tobytes())


def _write_yaml(path: Path, description: Mapping[str, object]) -> Path:
    text = yaml.safe_dump(description, sort_keys=False, default_flow_style=None)
    return files.write_text(
        path, "# Written by mobile_seg.data.toy; instances/ holds the ids of cars and people.\n" + text
    )


def _stem(number: int) -> str:
    return f"scene_{number:05d}"


def _refuse_strangers(root: Path, splits: Mapping[str, Sequence[int]]) -> None:
    for split, numbers in splits.items():
        for kind, suffix in _FOLDERS.items():
            ours = {f"{_stem(number)}{suffix}" for number in numbers}
            present = (root / split / kind).glob("*")
            strangers = sorted(file for file in present if file.name not in ours)
            if strangers:
                raise UsageError(
                    f"{root} already holds other files, such as {strangers[0]}; choose an empty folder or remove them"
                )
