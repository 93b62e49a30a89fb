"""The installed command line in a process of its own, a toy dataset, and small models to feed it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from unit.training import tiny

from mobile_seg import api
from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.training.recipe import Recipe

NETWORK = ("--model", "mobile_spinenet_s49_minus", "--input", "64x64", "--aspp-rates", "2,4", "--aspp-width", "32")
"""The real network, as small as it goes."""


class Ran(NamedTuple):
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def mobile_seg(*words: object, environment: dict[str, str] | None = None, **options: Any) -> Ran:
    """Run the command line and wait for it; `options` go to `subprocess.run`."""
    done = subprocess.run(
        command(*words), env={**os.environ, **(environment or {})}, capture_output=True, text=True, **options
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def command(*words: object) -> list[str]:
    """The command line as a list."""
    return [sys.executable, "-m", "mobile_seg", *map(str, words)]


def complaint(ran: Ran, code: int) -> str:
    """Check that it failed as a command should, and return its one line."""
    assert ran.code == code, ran
    lines = [line for line in ran.err.splitlines() if line.strip()]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    assert ran.out == ""
    return lines[0]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The YAML of 8 and 2 street scenes of 64x64 pixels, for each test to break in its own way."""
    return write_toy_dataset(tmp_path / "toy", train=8, val=2, size=(64, 64))


class Models(NamedTuple):
    """A small network at each stage, and the dataset it knows."""

    data: Path
    keras: Path
    tflite: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Train for two steps, calibrate, export to int8."""
    folder = tmp_path_factory.mktemp("models")
    data = write_toy_dataset(folder / "toy", train=4, val=2, size=(64, 64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "build", tiny.stand_in)
        trained = api.train(
            data,
            model="small",
            input_size=(64, 64),
            folder=folder,
            recipe=Recipe(steps=2, batch=2),
            options={"width": 64},  # an artifact of some ten pages of memory
        )
    quantized = api.quantize(trained, data=data, folder=folder, recipe=None)
    exported = api.export(quantized, data=data, folder=folder, force=True)
    return Models(data, quantized, exported.path)


@pytest.fixture(scope="session")
def golden_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Python computes, for the apps to compute too; `MOBILE_SEG_GOLDEN` names a folder of files made before.

    Made for half a minute: ask for it after whatever may skip the test.
    """
    from golden import apps

    given = os.environ.get("MOBILE_SEG_GOLDEN")
    return Path(given) if given else apps.write(tmp_path_factory.mktemp("golden")).parent


@pytest.fixture(scope="session")
def index(golden_files: Path) -> dict[str, Any]:
    """What stands in that folder."""
    return json.loads((golden_files / "index.json").read_text("utf-8"))
