"""The README's commands and snippet, run one after the other on toy images, with fewer steps and pixels."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mobile_seg.data.toy import write_toy_dataset
from mobile_seg.profiling.static import inspect_tflite

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SMALLER = "--input 64x64 --steps 120 --qat-steps 4 --batch 4 --aspp-rates 2,4 --aspp-width 64 --evaluate-every 1000"
REPLACED = {
    "(256, 352)": "(64, 64)",
    "steps=4000, batch=8": "steps=120, batch=4",
    "steps=500, batch=8": "steps=4, batch=4",
}


SNIPPETS = {
    mark: next(text for kind, text in BLOCKS if kind == "python" and mark in text)
    for mark in ("mobile_seg.train(", "keras.applications")
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("readme")
    write_toy_dataset(place / "my_images", train=16, val=16, size=(64, 64))
    (yaml,) = [text for kind, text in BLOCKS if kind == "yaml"]
    (place / "my_dataset.yaml").write_text(yaml)
    (place / "my_photos").symlink_to(place / "my_images" / "val" / "images")
    return place


def run(folder, *command):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONWARNINGS": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_commands_in_order(folder):
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    for line in lines:
        if not line.startswith("mobile-seg "):
            continue
        words = shlex.split(line)[1:]
        smaller = SMALLER.split() if words[0] == "run" else []
        run(folder, sys.executable, "-m", "mobile_seg", *words, *smaller)
    made = folder / "runs" / "first"
    assert (made / "report.html").stat().st_size > 10_000
    assert len(list((folder / "predictions").glob("*.png"))) == 16
    assert (folder / "with_argmax" / "mobile_spinenet_s49_minus_int8_labels.tflite").is_file()


@pytest.mark.slow
def test_the_snippet(folder):
    snippet = SNIPPETS["mobile_seg.train("]
    for shown, smaller in REPLACED.items():
        assert shown in snippet, f"the README no longer says {shown}"
        snippet = snippet.replace(shown, smaller)
    printed = run(folder, sys.executable, "-c", snippet).splitlines()
    path, agreement = printed[-2].split()
    assert (folder / path).is_file()
    assert float(agreement) > 0.98
    assert 0.0 < float(printed[-1]) < 1.0


@pytest.mark.slow
def test_the_snippet_of_any_keras_model(folder):
    run(folder, sys.executable, "-c", SNIPPETS["keras.applications"])
    facts = inspect_tflite(folder / "model.tflite")
    assert facts.float_ops == 0
    assert facts.inputs[0].dtype == "int8"
