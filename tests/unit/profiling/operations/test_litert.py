"""LiteRT's profiler through its C interface: on models made here, and what is said when it cannot be used."""

import ctypes
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.errors import MissingExtraError, ProfileError
from mobile_seg.profiling.operations import litert
from mobile_seg.profiling.operations.litert import INSIDE_DELEGATE, OPERATOR, CompiledModel
from mobile_seg.profiling.operations.peak_models import additions, convolution


def saved(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("arithmetic", ["int8", "float32"])
def test_a_convolution_runs_inside_xnnpack_or_outside(tmp_path: Path, arithmetic: str) -> None:
    path = saved(tmp_path, convolution(3, 16, 16, arithmetic=arithmetic))
    for mode, kind in (("delegate", INSIDE_DELEGATE), ("builtin", OPERATOR)):
        with CompiledModel(path, threads=1, mode=mode, profiled=True) as model:
            runs = [[one for one in model.profiled_run() if one.kind in (OPERATOR, INSIDE_DELEGATE)] for _ in range(3)]
        assert [[one.kind for one in run] for run in runs] == [[kind]] * 3  # a run tells its own events alone
        assert all(one.index == 0 and one.elapsed_us >= 0 for run in runs for one in run)
        name = runs[0][0].name
        assert name == "CONV_2D" if mode == "builtin" else name.startswith("Convolution (NHWC, ")


def test_kernels_come_in_order(tmp_path: Path) -> None:
    with CompiledModel(saved(tmp_path, additions(1024, 5)), threads=2, profiled=True) as model:
        events = [one for one in model.profiled_run() if one.kind == INSIDE_DELEGATE]
    assert [(one.name, one.index) for one in events] == [("Add (ND)", at) for at in range(5)]


def test_inputs_of_every_kind_are_filled(tmp_path: Path) -> None:
    """A quantized and a float file of the tiny model, whose inputs differ."""
    for variant in (tiny.INT8, tiny.FLOAT32):
        with CompiledModel(str(tiny.save(tmp_path, variant)), threads=1) as model:
            model.run()


def test_a_batch_of_open_size_is_one(tmp_path: Path) -> None:
    """TensorFlow's converter leaves a SavedModel's batch open; the runtime makes no buffer for such a tensor."""
    path = tiny.save(tmp_path, tiny.FLOAT32)
    model = unpack(path.read_bytes())
    for tensor in model.subgraphs[0].tensors:
        if len(tensor.shape) == 4 and tensor.shape[0] == 1:
            tensor.shapeSignature = np.int32([-1, *tensor.shape[1:]])
    with CompiledModel(saved(tmp_path, pack(model)), threads=1, profiled=True) as opened:
        found = opened.profiled_run()
    with CompiledModel(str(path), threads=1, profiled=True) as closed:
        assert litert.names(found) == litert.names(closed.profiled_run())


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_])
def test_noise_fills_the_buffer_and_is_the_same_every_time(dtype: type) -> None:
    noise = litert._noise(np.dtype(dtype), 64)
    assert len(noise) == 64
    assert noise == litert._noise(np.dtype(dtype), 64)
    values = np.frombuffer(noise, dtype)
    assert np.isfinite(values.astype(np.float64)).all()
    assert len(set(values.tolist())) > 1


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"LiteRtCreateModelFromFile failed with status \d+"):
        CompiledModel(saved(tmp_path, b"not a model at all" * 10), threads=1)


@pytest.mark.parametrize(("version", "accepted"), [("2.3.0", True), ("2.3.7", True), ("2.2.9", False), ("3.0", False)])
def test_only_versions_that_were_tried(monkeypatch: pytest.MonkeyPatch, version: str, accepted: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if accepted:
        assert litert.version() == version
    else:
        with pytest.raises(ProfileError, match=rf"{version} is installed: pip install 'ai-edge-litert==2\.3\.\*'"):
            litert.version()


def test_without_litert(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(MissingExtraError, match="pip install ai-edge-litert"):
        litert.library()


def test_a_package_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "LIBRARY", "libNothing.so")
    with pytest.raises(ProfileError, match=r"holds no libNothing\.so"):
        litert.library()


def test_a_function_that_is_gone(tmp_path: Path) -> None:
    with CompiledModel(saved(tmp_path, additions(64, 1)), threads=1) as model:
        with pytest.raises(ProfileError, match="has no LiteRtGone"):
            model._call("Gone")
        with pytest.raises(ProfileError, match="invalid argument"):
            model._call("GetModelSignature", None, ctypes.c_size_t(0), None)
