"""The same loop on the JAX backend, in a process of its own: the backend is fixed when Keras is imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
import keras
import numpy as np
from mobile_seg.training.loop import fit
from unit.training import test_recipe, tiny

test_recipe.test_only_dense_kernels_decay()

def fail(step):
    if step == 27:
        raise OSError("gone")

def train(folder, *, before=lambda step: None, resume=False):
    model = tiny.network()
    images, _ = tiny.batch(99)

    def evaluate():
        return np.abs(model.predict_on_batch(images)).mean()

    phase = tiny.phase(folder, evaluate=evaluate, resume=resume)
    return model, fit(model, lambda step: tiny.Batches(step, before=before), tiny.RECIPE, phase=phase)

folder = Path(sys.argv[1])
whole, history = train(folder / "whole")
try:
    train(folder / "broken", before=fail)
except OSError:
    pass
resumed, again = train(folder / "broken", resume=True)
assert history[-1]["miou"] == np.abs(whole.predict_on_batch(tiny.batch(99)[0])).mean()
np.savez(folder / "whole.npz", *whole.get_weights())
np.savez(folder / "resumed.npz", *resumed.get_weights())
print(keras.backend.backend(), history[0]["loss"], history[-1]["loss"])
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX: pip install 'mobile-seg[jax]'")
def test_training_and_resuming_on_jax(tmp_path: Path) -> None:
    from unit.training import tiny

    search = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    backend, first, last = done.stdout.split()[-3:]
    assert backend == "jax"
    assert float(last) < 0.8 * float(first)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "resumed.npz") as resumed:
        assert whole.files == resumed.files
        for name in whole.files:
            np.testing.assert_allclose(resumed[name], whole[name], rtol=0, atol=tiny.TOLERANCE)
        # A checkpoint of one backend is read on the other.
        model, history = tiny.train(tmp_path / "broken", resume=True)
        assert history[-1]["step"] == tiny.RECIPE.steps
        for found, name in zip(model.get_weights(), resumed.files, strict=True):
            np.testing.assert_array_equal(found, resumed[name])
