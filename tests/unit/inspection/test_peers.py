"""Real models of others, where somebody has put them: each is described."""

import os
from pathlib import Path

import pytest

from mobile_seg.inspection.child import Child
from mobile_seg.inspection.dispatch import inspect_file

FOLDER = os.environ.get("MOBILE_SEG_PEERS", str(Path(__file__).parents[4] / "shared" / "peers"))
FILES = sorted(path for path in Path(FOLDER).rglob("*") if path.suffix in (".tflite", ".onnx", ".mlpackage", ".keras"))

REFUSED = ("edgetpu.tflite", "mnv3_seg_quant.tflite")
"""Ends of names of those that LiteRT refuses on a CPU: compiled for a coprocessor, or faulty."""


@pytest.mark.skipif(not FILES, reason="no models of others: put some into a folder and name it in MOBILE_SEG_PEERS")
def test_every_peer_is_described() -> None:
    with Child() as child:
        for path in FILES:
            found = inspect_file(path, child=child)
            assert found.inputs, path
            assert found.outputs, path
            assert found.operations, path
            assert found.layers, path
            assert found.manifest is None, path
            if path.suffix == ".tflite":
                assert [one.accepted for one in found.verdicts] == [not path.name.endswith(REFUSED)], path
            said = found.metadata.get("min_runtime_version")
            if said and path.name != "prisma_quant.tflite":  # that one was put together by hand
                assert found.runtime.startswith(f"TFLite {said} or later"), path
        assert child.started == 1
