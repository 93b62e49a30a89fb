"""The JSON that our C program and the Android app write."""

import json
from typing import Any

import pytest

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.runners.result import SCHEMA, parse_result

WHOLE: dict[str, Any] = {
    "schema": SCHEMA,
    "init_ms": 9.8,
    "first_run_ms": 85,
    "samples_ms": [81.5, 76.8],
    "peak_memory_bytes": 19173376,
    "delegated": 195,
    "left": 4,
    "versions": {"litert": "2.3.0"},
    "operations": [],
}


def parsed(asked: str = "xnnpack", **changed: Any) -> Any:
    content = json.dumps({**WHOLE, **changed}).encode()
    return parse_result(content, asked=asked, runs=2, who="the app")


def test_a_whole_result() -> None:
    found = parsed()
    assert (found.init_ms, found.first_run_ms, found.samples_ms) == (9.8, 85.0, (81.5, 76.8))
    assert found.peak_memory_bytes == 19173376
    assert (found.sample, found.p95_ms, found.versions) == ("run", None, (("litert", "2.3.0"),))
    assert found.delegate.verdict == "xnnpack: part, 4 operations left"


def test_what_became_of_the_delegate() -> None:
    assert parsed(left=0).delegate.taken == "all"
    assert parsed(delegated=0, left=199).delegate.fell_back
    assert parsed("none", delegated=0, left=199).delegate.verdict == "built-in kernels"
    assert parsed("gpu", partitions=3).delegate.verdict == "gpu: part in 3 partitions, 4 operations left"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"error": "no GPU on this phone"}, "the app: no GPU on this phone"),
        ({"schema": "mobile-seg.run/2"}, "wrote another result"),
        ({"samples_ms": [81.5]}, "1 samples, 2 were asked for"),
        ({"samples_ms": None}, "no samples"),
        ({"samples_ms": [81.5, 0]}, "samples_ms=0, which is no duration"),
        ({"init_ms": "fast"}, "init_ms='fast'"),
        ({"init_ms": True}, "init_ms=True"),
        ({"first_run_ms": float("nan")}, "first_run_ms=nan"),
        ({"peak_memory_bytes": -1}, "peak_memory_bytes=-1, which is no count"),
        ({"left": None}, "left=None"),
    ],
    ids=str,
)
def test_what_is_missing_is_never_made_up(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        parsed(**changed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_result(content: bytes) -> None:
    with pytest.raises(ProfileError, match="the app wrote"):
        parse_result(content, asked="none", runs=1, who="the app")
