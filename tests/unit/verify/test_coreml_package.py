"""Packages that are damaged, foreign or of another model: one line that says so, and nothing else."""

import json
import random
import shutil
from pathlib import Path

import pytest
from keras import layers
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.errors import ArtifactError, MobileSegError, UsageError
from mobile_seg.verify.coreml.runner import CoreMLRunner, MacRunner, open_coreml, read_coreml_manifest


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound package with weights in their file."""
    model = nets.net(lambda x: layers.Conv2D(3, 1)(layers.Conv2D(16, 3, padding="same")(x)))
    return packages.saved(packages.converted(model, "float16"), tmp_path_factory.mktemp("sound"))


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "copy.mlpackage"))


def _refusal(package: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        open_coreml(package)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_sound_package_opens(original: Path) -> None:
    manifest = read_coreml_manifest(original)
    assert manifest is not None
    assert open_coreml(original).manifest == manifest


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    assert "is no folder" in _refusal(tmp_path / "missing.mlpackage")
    (tmp_path / "empty.mlpackage").mkdir()
    assert "no readable Manifest.json" in _refusal(tmp_path / "empty.mlpackage")


def test_a_package_without_its_files_is_refused(package: Path) -> None:
    (package / packages.WEIGHTS).unlink()
    assert "which the package lacks" in _refusal(package)
    (package / packages.SPECIFICATION).unlink()
    assert "which it does not hold" in _refusal(package)


@pytest.mark.parametrize("place", ["../../../../etc/passwd", "/etc/passwd", "", "com.apple.CoreML"])
def test_a_listing_that_points_outside_is_refused(package: Path, place: str) -> None:
    listing = json.loads((package / "Manifest.json").read_text())
    listing["itemInfoEntries"][listing["rootModelIdentifier"]]["path"] = place
    (package / "Manifest.json").write_text(json.dumps(listing))
    assert "which it does not hold" in _refusal(package)


def test_weights_cut_short_are_refused(package: Path) -> None:
    content = (package / packages.WEIGHTS).read_bytes()
    for size in (len(content) // 2, 70, 0):
        (package / packages.WEIGHTS).write_bytes(content[:size])
        assert "cut short" in _refusal(package)


def test_an_unknown_operation_is_refused_by_name(package: Path) -> None:
    specification = packages.specification(package)
    (operation,) = [one for one in packages.operations(specification) if one.type == "transpose"]
    operation.type = "non_maximum_suppression"
    packages.replace(package, specification)
    message = _refusal(package)
    assert "operation non_maximum_suppression" in message
    assert "checked on macOS" in message


def test_a_specification_of_another_kind_is_refused(package: Path) -> None:
    specification = packages.specification(package)
    specification.neuralNetwork.SetInParent()
    packages.replace(package, specification)
    assert "expected an ML Program" in _refusal(package)


def test_a_package_without_our_manifest_is_refused(package: Path) -> None:
    specification = packages.specification(package)
    specification.description.metadata.userDefined.clear()
    packages.replace(package, specification)
    assert read_coreml_manifest(package) is None
    assert "carries no manifest" in _refusal(package)


def test_a_package_of_another_model_is_refused(package: Path) -> None:
    specification = packages.specification(package)
    specification.description.input[0].type.imageType.width = 99
    packages.replace(package, specification)
    assert "not of one model" in _refusal(package)
    specification.description.input[0].type.imageType.width = nets.SIZE[1]
    specification.description.output[0].type.multiArrayType.shape[1] = 99
    packages.replace(package, specification)
    assert "not of one model" in _refusal(package)


def test_mutations_never_end_in_a_traceback(original: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    package = Path(shutil.copytree(original, tmp_path / "mutated.mlpackage"))
    image = nets.images(1)[0]
    refused = 0
    for name in (packages.SPECIFICATION, packages.WEIGHTS, "Manifest.json"):
        sound = (original / name).read_bytes()
        for _ in range(60):
            mutated = bytearray(sound)
            for _ in range(rng.randint(1, 4)):
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            (package / name).write_bytes(mutated[: rng.choice([len(mutated), rng.randrange(len(mutated))])])
            try:
                open_coreml(package).run(image)
            except MobileSegError as error:
                assert "\n" not in str(error)  # noqa: PT017 - most mutations are refused, some do no harm
                refused += 1
        (package / name).write_bytes(sound)
    assert refused > 90


def test_core_ml_itself_is_asked_for_on_macos_only(original: Path) -> None:
    manifest = read_coreml_manifest(original)
    assert manifest is not None
    with pytest.raises(UsageError, match="Core ML runs on macOS only"):
        MacRunner(original, manifest=manifest)
    assert isinstance(CoreMLRunner(original, manifest=manifest), CoreMLRunner)
