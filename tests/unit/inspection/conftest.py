"""Files to look into, made once."""

from pathlib import Path

import pytest
from unit.inspection import made
from unit.verify import tiny

from mobile_seg.converters.metadata import finish


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they lie."""
    return tmp_path_factory.mktemp("inspected")


@pytest.fixture(scope="session")
def tflite(folder: Path) -> Path:
    """A plain converter's file."""
    path = folder / "plain.tflite"
    path.write_bytes(made.tflite_model())
    return path


@pytest.fixture(scope="session")
def ours(folder: Path, tflite: Path) -> Path:
    """The same, with what we add; the manifest is of another network, which nothing here minds."""
    path = folder / "ours.tflite"
    path.write_bytes(finish(tflite.read_bytes(), tiny.manifest()))
    return path


@pytest.fixture(scope="session")
def package(folder: Path) -> Path:
    """A Core ML package as coremltools saves it."""
    pytest.importorskip("coremltools", reason='needs the extra: pip install "mobile-seg[coreml]"')
    return made.core_ml_package(folder)
