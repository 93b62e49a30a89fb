"""The real network, trained by the command line and killed: the same command with --resume ends the same."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from e2e.conftest import NETWORK, command, mobile_seg

from mobile_seg.verify.keras_runner import load_keras

STEPS = 104
TOLERANCE = 1e-4
"""Largest difference of any weight. Two runs on the same machine differ by the order in which threads add up."""


@pytest.mark.slow
def test_a_killed_training_resumed_ends_as_an_uninterrupted_one(toy: Path, tmp_path: Path) -> None:
    usual = ("train", *NETWORK, "--data", toy, "--runs-dir", tmp_path, "--steps", STEPS, "--batch", 2, "--lr", 0.01)
    assert mobile_seg(*usual, "--name", "whole").code == 0

    words = (*usual, "--name", "killed")
    with subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        checkpoint = tmp_path / "killed" / "float.checkpoint.npz"
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    model = tmp_path / "killed" / "model_float.keras"
    assert not model.exists()

    refused = mobile_seg(*words)
    assert refused.code == 2
    assert "--resume" in refused.err
    assert mobile_seg(*words, "--resume").code == 0
    expected = load_keras(tmp_path / "whole" / "model_float.keras")
    for found, value in zip(load_keras(model).get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=TOLERANCE)
