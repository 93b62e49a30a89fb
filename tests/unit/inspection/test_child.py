"""The process that native code runs in: its crashes and hangs are answers, and it is replaced."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mobile_seg.converters.flat import pack, unpack
from mobile_seg.inspection import child as module
from mobile_seg.inspection.child import Child
from mobile_seg.inspection.dispatch import inspect_file

OBEDIENT = """
import json, os, signal, sys, time
for line in sys.stdin:
    path = json.loads(line)["path"]
    if path == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if path == "exit": sys.exit(3)
    if path == "hang": time.sleep(60)
    print(json.dumps({"accepted": path == "good", "reason": "" if path == "good" else "bad", "pid": os.getpid()}))
    sys.stdout.flush()
"""


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does what the path says."""
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", OBEDIENT))
    monkeypatch.setattr(module, "START", 15.0)


@pytest.mark.usefixtures("obedient")
def test_one_process_answers_for_many_files() -> None:
    with Child() as child:
        answers = [child.ask("LiteRT", path) for path in ("good", "bad", "good")]
    assert [verdict.accepted for verdict, _ in answers] == [True, False, True]
    assert len({more["pid"] for _, more in answers}) == 1
    assert child.started == 1


@pytest.mark.usefixtures("obedient")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("crash", "it ended the process (killed by SIGSEGV)"),
        ("exit", "it ended the process (exit code 3)"),
    ],
)
def test_a_process_that_dies_is_an_answer_and_is_replaced(path: str, said: str) -> None:
    with Child() as child:
        verdict, more = child.ask("LiteRT", path)
        assert (verdict.accepted, verdict.reason, more) == (False, said, {})
        assert child.ask("LiteRT", "good")[0].accepted
    assert child.started == 2


@pytest.mark.usefixtures("obedient")
def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with Child(seconds={"LiteRT": 0.5}) as child:
        assert child.ask("LiteRT", "good")[0].accepted  # started, which takes its own time
        verdict, _ = child.ask("LiteRT", "hang")
        assert (verdict.accepted, verdict.reason) == (False, "it did not answer within 0 s")
        assert child.ask("LiteRT", "good")[0].accepted
    assert child.started == 2


def test_a_file_that_wants_much_memory_is_refused(tflite: Path, tmp_path: Path) -> None:
    """Tensors of 0.8 and 2 GB: without the limit LiteRT gets them, since no page of them is touched."""
    model = unpack(tflite.read_bytes())
    graph = model.subgraphs[0]
    for number in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[number]
        tensor.shape = np.array([1, 8000, 8000, tensor.shape[3]], np.int32)
    path = tmp_path / "huge.tflite"
    path.write_bytes(pack(model))
    with Child() as child:
        found, small = inspect_file(path, child=child), inspect_file(tflite, child=child)
    (verdict,) = found.verdicts
    assert (verdict.program, verdict.accepted) == ("LiteRT", False)
    assert found.inputs[0].shape == (1, 8000, 8000, 3), "it is described all the same"
    assert small.verdicts[0].accepted
