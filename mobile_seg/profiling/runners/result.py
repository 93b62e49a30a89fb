"""The result that our own runners write, as JSON: the C runner and the Android app give the same.

    {
      "schema": "mobile-seg.run/1",
      "init_ms": 9.8,                  from reading the file until tensors are allocated
      "first_run_ms": 85.4,            the first inference
      "samples_ms": [81.5, 76.8],      the measured inferences, in the order taken
      "peak_memory_bytes": 19173376,   growth of VmHWM from before the model is loaded to after the last run
      "delegated": 195,                operations that ran inside a delegate
      "left": 4,                       operations of the graph that ran outside it, 0 if it took all
      "partitions": 5,                 optional: nodes of the delegate in the graph
      "versions": {"litert": "2.3.0"}, optional
      "operations": [...],             optional: {"name", "inner" (in a delegate), "node", "us"} of profiled runs
      "profiled_runs": 1               optional: how many runs `operations` cover
    }

or, when it could not be measured, `{"schema": "mobile-seg.run/1", "error": "one line that says why"}`. A file is
written under another name and renamed, so that one that is there is whole.
"""

import json
import math
from typing import Any

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.measurement import DelegateUse
from mobile_seg.profiling.runners.base import RunResult

SCHEMA = "mobile-seg.run/1"


def parse_result(content: bytes, *, asked: str, runs: int, who: str) -> RunResult:
    """Read a result of `runs` runs with the delegate `asked`; `who` wrote it.

    Raises:
        ProfileError: if it says why it could not be measured, is no such result, or lacks or garbles a number.
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ProfileError(f"{who} wrote no JSON: {error}") from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ProfileError(f"{who} wrote another result than {SCHEMA}; use the one that came with this mobile-seg")
    if "error" in value:
        raise ProfileError(f"{who}: {value['error']}")
    samples = value.get("samples_ms")
    if not isinstance(samples, list) or len(samples) != runs:
        told = len(samples) if isinstance(samples, list) else "no"
        raise ProfileError(f"{who} wrote {told} samples, {runs} were asked for")
    versions = value.get("versions", {})
    return RunResult(
        samples_ms=tuple(_time(sample, "samples_ms", who) for sample in samples),
        init_ms=_time(value.get("init_ms"), "init_ms", who),
        first_run_ms=_time(value.get("first_run_ms"), "first_run_ms", who),
        peak_memory_bytes=_count(value, "peak_memory_bytes", who),
        delegate=use_of(asked, value, who=who),
        versions=tuple(sorted((str(name), str(version)) for name, version in versions.items())),
    )


def use_of(asked: str, value: dict[str, Any], *, who: str) -> DelegateUse:
    """What became of the delegate, by the operations that ran inside it and outside."""
    inside, left = _count(value, "delegated", who), _count(value, "left", who)
    partitions = _count(value, "partitions", who) if value.get("partitions") is not None else None
    taken = "all" if left == 0 else "part" if inside > 0 else "none"
    return DelegateUse(asked, "none" if asked == "none" else taken, partitions, left)


def _time(value: Any, name: str, who: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ProfileError(f"{who} wrote {name}={value!r}, which is no duration")
    return float(value)


def _count(value: dict[str, Any], name: str, who: str) -> int:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ProfileError(f"{who} wrote {name}={number!r}, which is no count")
    return number
