"""The ONNX runner against NumPy, and every file it must refuse."""

import dataclasses
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg.converters.onnx.writer import convert_onnx
from mobile_seg.converters.options import ExportOptions
from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError
from mobile_seg.manifest import MEMBER, Manifest
from mobile_seg.verify import onnx_runner
from mobile_seg.verify.onnx_runner import OnnxRunner, load_session, read_onnx_manifest


@functools.cache
def _artifact(layout: str = "nhwc", io: str = "uint8", output: str = "logits") -> bytes:
    options = ExportOptions(target="onnx", precision="float32", layout=layout, io=io, output=output)
    content = convert_onnx(tiny.keras_model(), options=options, manifest=tiny.manifest(), integer_graph=False).content
    assert isinstance(content, bytes)
    return content


def _described(content: bytes) -> Manifest:
    manifest = read_onnx_manifest(content)
    assert manifest is not None
    return manifest


def _runner(content: bytes, **changes: Any) -> OnnxRunner:
    return OnnxRunner(content, manifest=dataclasses.replace(_described(content), **changes))


@pytest.mark.parametrize("io", ["uint8", "float"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_float32_gives_the_oracles_logits_in_every_layout(layout: str, io: str) -> None:
    runner = _runner(_artifact(layout, io))
    assert (runner.kind, runner.quantization, runner.name) == ("onnx", None, "tiny")
    for image in tiny.images():
        logits = runner.run(image)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, tiny.oracle(image), atol=1e-4)


def test_class_ids_have_no_channels_in_any_layout() -> None:
    image = tiny.images(1)[0]
    wanted = np.kron(tiny.oracle(image).argmax(-1), np.ones((tiny.STRIDE, tiny.STRIDE), int))
    for layout in ("nhwc", "nchw"):
        runner = _runner(_artifact(layout, output="labels-nearest"))
        assert np.array_equal(runner.run(image), wanted)
        assert np.array_equal(runner.segment(image), wanted)


def test_the_manifest_is_read_without_onnx_and_its_runtime() -> None:
    code = (
        "import sys; from pathlib import Path; from mobile_seg.verify.onnx_runner import read_onnx_manifest; "
        "manifest = read_onnx_manifest(sys.stdin.buffer.read()); print(manifest.model); "
        "assert not {'onnx', 'onnxruntime', 'google.protobuf', 'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=_artifact(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == "tiny"


def test_a_file_without_our_manifest_has_none() -> None:
    import onnx

    model = onnx.load_from_string(_artifact())
    del model.metadata_props[:]
    model.metadata_props.add(key="author", value="someone")
    assert read_onnx_manifest(model.SerializeToString()) is None
    assert read_onnx_manifest(b"") is None


@pytest.mark.parametrize(
    "content",
    [b"\xff" * 40, b"not an ONNX file at all", b"\x72\xff\xff\xff\xff\x0f", b"\x00\x00", _artifact()[:-5]],
    ids=["ones", "text", "length", "zeros", "cut"],
)
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="no ONNX file, or is cut short"):
        read_onnx_manifest(content)


def test_a_manifest_that_is_none_is_refused() -> None:
    import onnx

    model = onnx.load_from_string(_artifact())
    (entry,) = (entry for entry in model.metadata_props if entry.key == MEMBER)
    for text in ("{", '{"format_version": 99}'):
        entry.value = text
        with pytest.raises(ArtifactError, match="manifest"):
            read_onnx_manifest(model.SerializeToString())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_the_runtime_refuses_damaged_bytes_in_one_line(share: float) -> None:
    content = _artifact()
    with pytest.raises(ArtifactError, match=r"^broken cannot be run: .*export it again$") as found:
        load_session(content[: int(share * len(content))] + b"\xff" * 9, name="broken")
    assert "\n" not in str(found.value)


def test_a_file_that_does_not_match_its_manifest_is_refused() -> None:
    content = _artifact()
    described = _described(content)
    given, output = described.input, described.output
    for changes, message in (
        ({"input": dataclasses.replace(given, height=8)}, r"its input is .* \[1, 16, 24, 3\] .* \[1, 8, 24, 3\]"),
        ({"input": dataclasses.replace(given, dtype="float32")}, "its input is image, uint8"),
        ({"input": dataclasses.replace(given, layout="nchw")}, r"says image, uint8 \[1, 3, 16, 24\]"),
        ({"input": dataclasses.replace(given, name="picture")}, "says picture"),
        ({"output": dataclasses.replace(output, dtype="uint8")}, "its output is segmentation, float32"),
        ({"output": dataclasses.replace(output, layout="nchw")}, r"\[1, 4, 4, 6\]"),
        ({"output": dataclasses.replace(output, kind="labels")}, r"says segmentation, float32 \[1, 4, 6\]"),
        ({"classes": ("a", "b"), "palette": ((0, 0, 0), (1, 1, 1))}, r"\[1, 4, 6, 2\]"),
    ):
        with pytest.raises(ArtifactError, match=message):
            _runner(content, **changes)


def test_threads_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads=0"):
        load_session(_artifact(), name="tiny", threads=0)
    assert load_session(_artifact(), name="tiny", threads=1).get_inputs()


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mobile-seg\[onnx\]"$'):
        load_session(_artifact(), name="tiny")


def test_a_file_is_opened_with_the_manifest_inside_it(tmp_path: Path) -> None:
    file = tmp_path / "tiny.onnx"
    with pytest.raises(ArtifactError, match=r"cannot be read: No such file.*check the path"):
        onnx_runner.open_onnx(file)
    file.write_bytes(_artifact())
    runner = onnx_runner.open_onnx(file, threads=1)
    assert (runner.path, runner.name) == (file, str(file))
    np.testing.assert_allclose(runner.run(tiny.images(1)[0]), tiny.oracle(tiny.images(1)[0]), atol=1e-4)
    file.write_bytes(_artifact()[:-3])
    with pytest.raises(ArtifactError, match=r"tiny.onnx: it is no ONNX file, or is cut short"):
        onnx_runner.open_onnx(file)
    file.write_bytes(b"")
    with pytest.raises(ArtifactError, match="carries no manifest"):
        onnx_runner.open_onnx(file)
