"""The golden files say what Python computes, and a mistake that an app could make does not pass."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import apps

from mobile_seg.errors import ArtifactError
from mobile_seg.verify.runners import open_artifact

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apps.write(tmp_path_factory.mktemp("golden")).parent


@pytest.fixture(scope="module")
def index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "index.json").read_text("utf-8"))


def image_of(case: dict[str, Any], folder: Path) -> np.ndarray:
    return np.fromfile(folder / case["image"], np.uint8).reshape(case["height"], case["width"], 3)


def test_python_passes_every_case(folder: Path, index: dict[str, Any]) -> None:
    assert len(index["cases"]) == 2 * (len(apps.FORMS) + 2)
    for case in index["cases"]:
        runner, image = open_artifact(folder / case["model"]), image_of(case, folder)
        output = runner.infer(runner.preprocess(image))
        assert apps.passes(case, folder, output, runner.segment(image)) == ""


def test_the_masks_are_worth_comparing(folder: Path, index: dict[str, Any]) -> None:
    """More than one class, and most pixels decided."""
    for case in index["cases"]:
        labels = np.fromfile(folder / case["labels"], np.uint8)
        margin = np.fromfile(folder / case["margin"], "<f4")
        assert len(np.unique(labels)) > 2, case["name"]
        assert np.mean(margin > 2 * case["tolerance"]) > 0.8, case["name"]


@pytest.mark.parametrize("mistake", ["channels", "mirrored", "shifted"])
def test_a_mistake_does_not_pass(folder: Path, index: dict[str, Any], mistake: str) -> None:
    for case in index["cases"]:
        runner, image = open_artifact(folder / case["model"]), image_of(case, folder)
        if mistake == "channels":
            image = np.ascontiguousarray(image[..., ::-1])
        output, labels = runner.infer(runner.preprocess(image)), runner.segment(image)
        if mistake == "mirrored":
            output, labels = output[:, ::-1], labels[:, ::-1]
        if mistake == "shifted":
            output, labels = np.roll(output, 1, axis=0), np.roll(labels, 4, axis=0)
        assert apps.passes(case, folder, output, labels), case["name"]


def test_bad_files_are_refused(folder: Path, index: dict[str, Any]) -> None:
    for bad in index["bad"]:
        with pytest.raises(ArtifactError, match=bad["says"]):
            open_artifact(folder / bad["file"])
