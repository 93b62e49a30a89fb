"""Any file: what is refused, and in which words."""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from unit.verify import tiny

from mobile_seg.artifact import with_members
from mobile_seg.cli.inspect import lines
from mobile_seg.converters.flat import pack, unpack
from mobile_seg.converters.tflite_versions import MIN_RUNTIME
from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError
from mobile_seg.inspection.child import Child
from mobile_seg.inspection.dispatch import inspect_file
from mobile_seg.inspection.records import Verdict
from mobile_seg.manifest import MEMBER


def asked(verdict: Verdict) -> Child:
    """A child that has its answer ready."""
    child = mock.create_autospec(Child, instance=True)
    child.ask.return_value = verdict, {}
    return child


def test_a_file_that_its_program_refuses_is_described(tflite: Path) -> None:
    found = inspect_file(tflite, child=asked(Verdict("LiteRT", False, "no")))
    assert found.verdicts == (Verdict("LiteRT", False, "no"),)
    assert found.operations == (("CONV_2D", 1),)
    assert found.metadata[MIN_RUNTIME] == "1.5.0"


def test_without_a_child_one_is_started(tflite: Path) -> None:
    assert inspect_file(tflite).verdicts == (Verdict("LiteRT", True),)


def test_suffixes_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model.pb is not a model file; accepted: \.keras, \.tflite"):
        inspect_file(tmp_path / "model.pb")
    with pytest.raises(ArtifactError, match=r"gone.onnx does not exist"):
        inspect_file(tmp_path / "gone.onnx")


def test_errors_name_the_file(ours: Path, tmp_path: Path) -> None:
    """A manifest is parsed by the base, which does not know where it came from."""
    path, content = tmp_path / "odd.tflite", ours.read_bytes()
    assert content.count(b'"kind": "logits"') == 1
    path.write_bytes(_with_manifest(ours, lambda text: text.replace('"kind": "logits"', '"kind": "nothing"')))
    with pytest.raises(ArtifactError, match=r"odd.tflite: manifest output kind 'nothing'"):
        inspect_file(path, child=asked(Verdict("LiteRT", True)))


@pytest.mark.parametrize("depth", [100, 400, 100_000])
def test_texts_that_nest_without_end_are_cut_or_refused(ours: Path, tmp_path: Path, depth: int) -> None:
    path = tmp_path / "deep.tflite"
    deep = '{"a": ' * depth + "1" + "}" * depth
    path.write_bytes(_with_manifest(ours, lambda text: text.replace('"network": {}', f'"network": {deep}')))
    child = asked(Verdict("LiteRT", True))
    if depth == 100_000:
        with pytest.raises(ArtifactError, match=r"deep.tflite"):
            inspect_file(path, child=child)
        return
    found = inspect_file(path, child=child)
    assert any(line.strip() == "a: …" for line in lines(found))
    assert "…" in str(found.to_dict()["manifest"])


def _with_manifest(path: Path, change: Callable[[str], str]) -> bytes:
    text = change(tiny.manifest().to_json())
    assert text != tiny.manifest().to_json()
    return with_members(pack(unpack(path.read_bytes())), {MEMBER: text})


@pytest.mark.parametrize(
    ("suffix", "module", "extra"),
    [(".onnx", "onnx", "onnx"), (".mlpackage", "coremltools.proto", "coreml")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, extra: str
) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".onnx":
        path.write_bytes(b"\x08\x08")
    else:
        (path / "Data").mkdir(parents=True)
        (path / "Data" / "model.mlmodel").write_bytes(b"\x08\x07")
        listing = '{"itemInfoEntries": {"a": {"path": "model.mlmodel"}}, "rootModelIdentifier": "a"}'
        (path / "Manifest.json").write_text(listing)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "mobile-seg\[{extra}\]"'):
        inspect_file(path)
