"""What our own runners write of operations, put together over their runs."""

from pathlib import Path
from typing import Any

import pytest
from unit.profiling.operations import graphs

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.operations import runner_events
from mobile_seg.profiling.operations.runner_events import read_events


def event(name: str, node: int, us: int, *, inner: bool = True) -> dict[str, Any]:
    return {"name": name, "inner": inner, "node": node, "us": us}


def run(first: int) -> list[dict[str, Any]]:
    return [
        event("Convolution (NHWC, QC8) IGEMM", 0, first),
        event("Clamp (NC)", 1, 10),
        event("ARG_MAX", 1, 500, inner=False),
        event("Add (ND)", 0, 20),
    ]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(runner_events, "read_graph", lambda path: graphs.chain("CONV_2D", "ARG_MAX", "ADD"))
    path = tmp_path / "model.tflite"
    path.write_bytes(b"x")
    return path


def test_medians_over_runs_by_operation(model: Path) -> None:
    value = {"operations": [*run(1000), *run(9000), *run(2000)], "profiled_runs": 3}
    found = read_events(value, model=model, device="a phone", runtime="litert 2.3.0", threads=4, unprofiled_ms=2.6)
    assert [(one.operation, one.delegated) for one in found.operations] == [
        ("CONV_2D", True),
        ("ARG_MAX", False),
        ("ADD", True),
    ]
    assert [one.milliseconds for one in found.operations] == [pytest.approx(value) for value in (2.01, 0.5, 0.02)]
    assert (found.device, found.threads, found.runs, found.unprofiled_ms) == ("a phone", 4, 3, 2.6)
    assert found.untraced == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "holds no operations"),
        ({"operations": [], "profiled_runs": 1}, "holds no operations"),
        ({"operations": run(1)}, "holds no operations"),
        ({"operations": run(1), "profiled_runs": 3}, "executed different operations"),
        ({"operations": [*run(1), *reversed(run(1))], "profiled_runs": 2}, "executed different operations"),
        ({"operations": [{"name": "Add (ND)"}], "profiled_runs": 1}, "cannot be read: KeyError"),
    ],
)
def test_results_that_tell_too_little(model: Path, value: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        read_events(value, model=model, device="a phone", runtime="litert 2.3.0")
