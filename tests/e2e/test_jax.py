"""Train on JAX, with quantization in the loop too, and export with TensorFlow."""

import importlib.util
import json
from pathlib import Path

import pytest
from e2e.conftest import NETWORK, mobile_seg

from mobile_seg.data.toy import CLASSES


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX: pip install 'mobile-seg[jax]'")
def test_trained_on_jax_exported_with_tensorflow(toy: Path, tmp_path: Path) -> None:
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    tensorflow = {"KERAS_BACKEND": "tensorflow"}
    words = ("train", *NETWORK, "--data", toy, "--runs-dir", tmp_path, "--name", "run", "--steps", 3, "--batch", 2)
    trained = mobile_seg(*words, environment=jax)
    assert trained.code == 0, trained.err
    folder = tmp_path / "run"

    words = ("quantize", folder / "model_float.keras", "--data", toy, "--qat-steps", 2, "--batch", 2)
    quantized = mobile_seg(*words, environment=jax)
    assert quantized.code == 0, quantized.err

    # After so few steps the classes are nearly tied: the parity gate is for networks that have learnt something.
    words = ("export", folder / "model_qat.keras", "--data", toy, "--force")
    refused = mobile_seg(*words, environment=jax)
    assert refused.code == 2
    assert "KERAS_BACKEND=tensorflow" in refused.err
    exported = mobile_seg(*words, environment=tensorflow)
    assert exported.code == 0, exported.err

    (artifact,) = (folder / "artifacts").glob("*.tflite")
    evaluated = mobile_seg("eval", artifact, "--data", toy, "--json", environment=tensorflow)
    assert evaluated.code == 0, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["classes"] == list(CLASSES)
    assert 0 <= scores["miou"] <= 1
