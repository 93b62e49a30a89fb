"""The process beside: it gives what is run here, its refusals are said here, and its death costs one artifact."""

import sys
from pathlib import Path

import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.errors import ArtifactError
from mobile_seg.verify import ahead as module
from mobile_seg.verify.ahead import Ahead
from mobile_seg.verify.runners import open_artifact

DYING = """
import json, os, signal, sys
shape = [2, 1]
for line in sys.stdin:
    path = json.loads(line)
    sys.stdout.buffer.write(json.dumps({"path": path, "dtype": "<f4", "shape": shape}).encode() + b"\\n" + bytes(8))
    sys.stdout.flush()
    if "second" in path: os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.mark.parametrize("how", [tiny.FLOAT32, tiny.INT8])
def test_it_gives_what_is_run_here(tmp_path: Path, how: tiny.Conversion) -> None:
    path, images = tiny.save(tmp_path, how), tiny.images(3)
    here = open_artifact(path)
    with Ahead(images[:2], tmp_path) as ahead:
        runner = ahead.runner(path, here.manifest)
        for image in reversed(images):  # in any order, and one that it was not shown
            np.testing.assert_array_equal(runner.run(image), here.run(image))
        assert "here" in vars(runner), "the third was run in this process"
        assert (runner.quantization, runner.kind) == (here.quantization, "tflite")
        np.testing.assert_array_equal(runner.preprocess(images[0]), here.preprocess(images[0]))
        assert runner.constants().keys() == here.constants().keys()


def test_known_outputs_need_no_second_loading(tmp_path: Path) -> None:
    path, images = tiny.save(tmp_path), tiny.images(2)
    with Ahead(images, tmp_path) as ahead:
        runner = ahead.runner(path, open_artifact(path).manifest)
        runner.run(images[1])
        path.unlink()
        assert runner.run(images[0]).shape == (*tiny.LOW, tiny.CLASSES)


def test_what_it_refuses_is_said_and_the_next_one_runs(tmp_path: Path) -> None:
    path, images = tiny.save(tmp_path), tiny.images(1)
    manifest = open_artifact(path).manifest
    broken = path.with_name("broken.tflite")
    broken.write_bytes(path.read_bytes()[:-200])
    with Ahead(images, tmp_path) as ahead:
        refused, fine = ahead.runner(broken, manifest), ahead.runner(path, manifest)
        with pytest.raises(ArtifactError, match=r"broken\.tflite"):
            refused.run(images[0])
        assert fine.run(images[0]).shape == (*tiny.LOW, tiny.CLASSES)


def test_a_death_is_blamed_on_the_artifact_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", DYING))
    images = tiny.images(1)
    path = tiny.save(tmp_path)
    manifest = open_artifact(path).manifest
    with Ahead([*images, images[0][::-1].copy()], tmp_path) as ahead:
        dead = ahead.runner(tiny.save(tmp_path, name="second.tflite"), manifest)
        unasked = ahead.runner(path, manifest)
        np.testing.assert_array_equal(dead.run(images[0]), np.zeros((2, 1), np.float32))
        with pytest.raises(
            ArtifactError, match=r"second\.tflite cannot be run: it ended the process .*\(killed by SIGSEGV\)"
        ):
            dead.run(images[0][::-1].copy())
        np.testing.assert_array_equal(unasked.run(images[0]), open_artifact(path).run(images[0]))
        late = ahead.runner(path, manifest)
        np.testing.assert_array_equal(late.run(images[0]), unasked.run(images[0]))


def test_an_answer_that_is_none_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    babbling = (
        "import sys, time; print('{\"path\": %s}\\nwhat?' % sys.stdin.readline().strip(), flush=True); time.sleep(600)"
    )
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", babbling))
    path, images = tiny.save(tmp_path), tiny.images(1)
    with Ahead(images, tmp_path) as ahead:
        runner = ahead.runner(path, open_artifact(path).manifest)
        with pytest.raises(ArtifactError, match=r"tiny\.tflite cannot be run: .* \(killed by SIGKILL\)"):
            runner.run(images[0])


def test_one_that_cannot_start_is_nobodys_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "COMMAND", (sys.executable, "-c", "import sys; sys.stdin.readline(); import nothing_of_the_kind")
    )
    path, images = tiny.save(tmp_path), tiny.images(1)
    with Ahead(images, tmp_path) as ahead:
        runner = ahead.runner(path, open_artifact(path).manifest)
        np.testing.assert_array_equal(runner.run(images[0]), open_artifact(path).run(images[0]))


def test_images_that_are_alike_count_twice(tmp_path: Path) -> None:
    path, (image,) = tiny.save(tmp_path), tiny.images(1)
    with Ahead([image, image], tmp_path) as ahead:
        runner = ahead.runner(path, open_artifact(path).manifest)
        np.testing.assert_array_equal(runner.run(image), open_artifact(path).run(image))
        process = ahead._process
        process.kill()
        ahead._listener.join()
        np.testing.assert_array_equal(runner.run(image), open_artifact(path).run(image))


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    with Ahead(tiny.images(1), tmp_path) as ahead:
        process = ahead._process
    assert process.returncode is not None
