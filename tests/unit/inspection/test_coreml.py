"""Looking into `.mlpackage` folders."""

import shutil
from pathlib import Path

import pytest
from unit.verify import tiny

from mobile_seg.errors import ArtifactError
from mobile_seg.inspection.coreml import inspect_coreml
from mobile_seg.inspection.records import Tensor
from mobile_seg.manifest import MEMBER
from mobile_seg.verify.coreml.package import protobuf

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def test_a_package_of_somebody_else(package: Path) -> None:
    found = inspect_coreml(package)
    assert found.format == "Core ML package"
    assert found.runtime == "Core ML of iOS 16 or later (specification version 7)"
    assert found.inputs == (Tensor("image", (1, 3, 16, 16), "float32"),)
    assert found.outputs == (Tensor("logits", (1, 8, 16, 16), "float32"),)
    assert found.operations == (("cast", 2), ("conv", 1), ("relu", 1))
    (stem,) = found.layers
    assert (stem.operation, stem.dtype, stem.shape, stem.size_bytes) == ("conv", "float16", (8, 3, 3, 3), 8 * 27 * 2)
    assert found.quantization.precision == "float16 activations, float16 weights"
    assert (found.metadata["author"], found.metadata["task"]) == ("somebody", "segmentation")
    assert [name for name, _ in found.files] == ["weights/weight.bin"]
    assert found.size_bytes == sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    assert found.manifest is None


def copied(package: Path, folder: Path) -> Path:
    return Path(shutil.copytree(package, folder / "copy.mlpackage"))


def test_our_manifest_is_read(package: Path, tmp_path: Path) -> None:
    path = copied(package, tmp_path)
    model = protobuf().Model.FromString((path / MODEL).read_bytes())
    model.description.metadata.userDefined[MEMBER] = tiny.manifest().to_json()
    (path / MODEL).write_bytes(model.SerializeToString())
    found = inspect_coreml(path)
    assert found.manifest == tiny.manifest()
    assert MEMBER not in found.metadata


def test_an_image_input_is_shown_with_its_colours(package: Path, tmp_path: Path) -> None:
    path = copied(package, tmp_path)
    model = protobuf().Model.FromString((path / MODEL).read_bytes())
    image = model.description.input[0].type.imageType
    image.height, image.width, image.colorSpace = 16, 24, image.RGB
    (path / MODEL).write_bytes(model.SerializeToString())
    assert inspect_coreml(path).inputs == (Tensor("image", (16, 24), "image (RGB)"),)


def test_weights_that_are_cut_short_are_refused(package: Path, tmp_path: Path) -> None:
    path = copied(package, tmp_path)
    content = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=r"copy.mlpackage cannot be read: weights of .* lie outside"):
        inspect_coreml(path)


def test_a_specification_that_is_cut_short_is_refused(package: Path, tmp_path: Path) -> None:
    path = copied(package, tmp_path)
    content = (path / MODEL).read_bytes()
    (path / MODEL).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=r"copy.mlpackage"):
        inspect_coreml(path)
