"""Profiles of real files, in processes of their own. No duration is judged."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.artifact import sha256
from mobile_seg.errors import ArtifactError, ProfileError, UsageError
from mobile_seg.profiling import child
from mobile_seg.profiling.operations import profile as operations_profile
from mobile_seg.profiling.operations.profile import profile_operations
from mobile_seg.profiling.operations.records import OperationProfile

FOLDER = os.environ.get("MOBILE_SEG_PEERS", str(Path(__file__).parents[5] / "shared" / "peers"))
PEERS = sorted(Path(FOLDER).rglob("*.tflite"))
REFUSED = ("edgetpu.tflite", "mnv3_seg_quant.tflite")
"""Ends of names of those that LiteRT refuses on a CPU: compiled for a coprocessor, or faulty."""


def test_the_layers_of_a_file(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.INT8)
    for mode in ("delegate", "builtin"):
        found = profile_operations(path, warmup=1, runs=4, mode=mode)
        assert (found.sha256, found.mode, found.threads, found.runs) == (sha256(path), mode, 1, 4)
        assert [one.index for one in found.operations] == list(range(len(found.operations)))
        convolutions = [one for one in found.operations if one.operation == "CONV_2D"]
        assert len(convolutions) == 2
        assert all(one.kernels for one in convolutions)
        assert {one.delegated for one in convolutions} == {mode == "delegate"}
        assert [one.cost.macs for one in convolutions if one.cost] == [24 * 48 * 8, 24 * 8 * 4]
        assert found.unprofiled_ms is not None
        assert found.unprofiled_ms > 0
        assert found.profiled_ms is not None
        assert found.untraced == ()
        value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert OperationProfile.from_dict(value) == found
        assert sum(group["milliseconds"] for group in value["parts"]) == pytest.approx(found.sum_ms)
        assert sum(group.operations for group in found.by("block")) == len(found.operations)


def test_calls_that_are_wrong(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.INT8)
    with pytest.raises(UsageError, match=r"mode='xnnpack'.*delegate, builtin"):
        profile_operations(path, mode="xnnpack")
    for wrong in ({"threads": 0}, {"runs": 0}, {"warmup": -1}):
        with pytest.raises(UsageError, match="give 1 or more"):
            profile_operations(path, **wrong)
    with pytest.raises(ArtifactError, match="does not exist"):
        profile_operations(tmp_path / "missing.tflite")
    keras = tmp_path / "model.keras"
    keras.touch()
    with pytest.raises(UsageError, match=r"not a \.tflite file"):
        profile_operations(keras)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"killed by SIGSEGV\): it said nothing"),
        ("import sys; sys.stderr.write('why\\nINFO: log\\n'); sys.exit(3)", r"exit code 3\): why"),
        ("print('')", r"exit code 0\): it said nothing"),
        ("import time; time.sleep(60)", "took longer than 1 s and was ended"),
    ],
    ids=["crash", "failure", "silence", "hang"],
)
def test_a_worker_that_dies_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    (tmp_path / "dying_worker.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(operations_profile, "WORKER", "dying_worker")
    monkeypatch.setattr(child, "SECONDS", 1.0 if "sleep" in code else 60.0)
    with pytest.raises(ProfileError, match=said) as caught:
        profile_operations(tiny.save(tmp_path, tiny.INT8))
    assert "\n" not in str(caught.value)


def test_a_file_that_the_runtime_refuses(tmp_path: Path) -> None:
    """Its one operation is of a custom kind that no runtime has."""
    from ai_edge_litert import schema_py_generated as schema

    from mobile_seg.profiling.operations import peak_models

    operator = peak_models._operator([0], [1], None, schema.BuiltinOptions.NONE)
    tensors = [peak_models._tensor(name, [1, 4], "FLOAT32") for name in "xy"]
    content = peak_models._model("CUSTOM", 1, tensors, [operator], inputs=[0], outputs=[1], stored=[])
    path = tmp_path / "custom.tflite"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=r"custom\.tflite failed \(exit code 1\): LiteRt\w+ failed with status"):
        profile_operations(path, runs=1)


@pytest.mark.slow
@pytest.mark.skipif(not PEERS, reason="no models of others: put some into a folder and name it in MOBILE_SEG_PEERS")
def test_every_kernel_of_every_peer_is_traced() -> None:
    for path in PEERS:
        if path.name.endswith(REFUSED):
            with pytest.raises(ProfileError, match="cannot run this model"):
                profile_operations(path, warmup=0, runs=1)
            continue
        found = profile_operations(path, warmup=0, runs=1)
        assert found.untraced == (), path
        assert all(one.layer and one.block and one.part for one in found.operations), path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobile_spinenet_s49_minus", "mobilenet_v3_large"])
def test_every_kernel_of_our_networks_is_traced_to_a_layer_of_theirs(tmp_path: Path, name: str) -> None:
    """In float by name; in int8 some activations were lowered to layers that carry their names on."""
    from mobile_seg.converters.tflite import convert_graph
    from mobile_seg.models.registry import build
    from mobile_seg.quantization import quantize
    from mobile_seg.tflite import to_tflite

    model = build(name, input_size=(64, 96), classes=5)
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.float32)
    files = {
        precision: convert_graph(model, precision=precision, io="float").content for precision in ("float32", "float16")
    }
    files["int8"] = to_tflite(quantize(model, [noise]), io="uint8")
    layers = {layer.name for layer in model.layers}
    for precision, content in files.items():
        path = tmp_path / f"{precision}.tflite"
        path.write_bytes(content)
        found = profile_operations(path, warmup=0, runs=1)
        assert found.untraced == (), precision
        weighted = [one for one in found.operations if one.operation in ("CONV_2D", "DEPTHWISE_CONV_2D")]
        named = {one.layer for one in weighted}
        assert len(named) > 50, precision
        # What a float projection makes of the pooled pixel is a convolution of its own (docs/decisions/0018).
        spread = name == "mobile_spinenet_s49_minus" and precision != "int8"
        again = Counter(one.layer for one in weighted) - Counter(named)
        assert again == Counter(["aspp_project_conv"] if spread else []), precision
        assert {layer for layer in named - layers if not layer.startswith(tuple(layers))} == set(), precision
        assert precision == "int8" or named <= layers
        assert {one.part for one in weighted} == {"stem", "backbone", "aspp", "head"}, precision
