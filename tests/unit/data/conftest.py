"""A small labelled image set on the disk, whole, for each test to break in its own way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

NAMES = ["sky", "road", "car"]

WriteSplit = Callable[..., Path]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`train` with 5 pairs and `val` with 2, of 24x32 pixels and classes 0..2 and 255, and `set.yaml`."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            save(tmp_path / split / "images" / f"{number}.jpg", rng.integers(0, 256, (24, 32, 3), np.uint8))
            label = rng.choice([0, 1, 2, 255], (24, 32)).astype(np.uint8)
            save(tmp_path / split / "labels" / f"{number}.png", label)
    write_yaml(tmp_path)
    return tmp_path


def write_yaml(folder: Path, text: str = "train: train\nval: val\nnames: [sky, road, car]\n") -> Path:
    path = folder / "set.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def describe(folder: Path) -> Callable[[str], Path]:
    """Rewrite `set.yaml` and return its path."""
    return lambda text: write_yaml(folder, text)


@pytest.fixture
def write_image() -> Callable[[Path, np.ndarray], Path]:
    """Save pixels under a path, in the format of its suffix."""
    return save
