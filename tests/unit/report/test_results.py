import copy
import json
from typing import Any

import pytest

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.report.results import Results

STABLE = ("model", "data", "miou", "agreement", "latency_ms", "partitions", "size_bytes", "float_ops")


def place(record: dict[str, Any], key: str) -> tuple[Any, Any]:
    """Return the container of a dotted key and the last step into it."""
    *path, last = key.split(".")
    at: Any = record
    for part in path:
        at = at[int(part)] if isinstance(at, list) else at[part]
    return at, int(last) if isinstance(at, list) else last


def test_round_trip_through_a_file(record, tmp_path):
    results = Results.from_dict(record)
    results.write(tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == record
    assert Results.read(tmp_path / "results.json") == results


def test_stable_keys_come_first(record):
    assert tuple(Results.from_dict(record).to_dict())[: len(STABLE)] == STABLE


def test_record_given_is_not_changed(record):
    before = copy.deepcopy(record)
    Results.from_dict(record).to_dict()["miou"]["int8"] = 0.0
    assert record == before


@pytest.mark.parametrize(
    "key",
    [
        *STABLE,
        "run",
        "history",
        "psnr_db",
        "miou.int8",
        "agreement.int8_vs_float",
        "latency_ms.2.post",
        "latency_p95_ms.1",
        "per_class_iou.qat",
        "wall_seconds.verify",
        "artifacts.0.sha256",
        "history.float.1.loss",
        "host.cpu",
    ],
)
def test_missing_key_is_named(record, key):
    container, last = place(record, key)
    del container[last]
    with pytest.raises(ProfileError, match=f"'{key}' is missing"):
        Results.from_dict(record)


@pytest.mark.parametrize("key", ["miou.int8", "latency_ms.1.infer", "artifacts.1.size_bytes", "macs"])
@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_null_and_nan_are_missing_measurements(record, key, nothing):
    container, last = place(record, key)
    container[last] = nothing
    with pytest.raises(ProfileError, match=f"'{key}' is missing"):
        Results.from_dict(record)


def test_psnr_may_be_null_but_not_nan(record):
    record["psnr_db"] = None
    assert Results.from_dict(record).psnr_db is None
    record["psnr_db"] = float("nan")
    with pytest.raises(ProfileError, match="'psnr_db' is missing"):
        Results.from_dict(record)


@pytest.mark.parametrize("key", ["history", "host", "artifacts", "latency_ms.2", "versions"])
def test_null_group_is_missing(record, key):
    container, last = place(record, key)
    container[last] = None
    with pytest.raises(ProfileError, match=f"'{key}' is missing"):
        Results.from_dict(record)


@pytest.mark.parametrize("key", ["size_bytes", "params", "macs", "peak_memory_bytes", "latency_ms.1.infer"])
def test_zero_does_not_stand_for_a_measurement(record, key):
    container, last = place(record, key)
    container[last] = 0
    with pytest.raises(ProfileError, match=key):
        Results.from_dict(record)


@pytest.mark.parametrize("where", ["", "miou", "latency_ms.1", "artifacts.0", "history.qat.0", "host", "agreement"])
def test_unknown_key_is_named(record, where):
    container = record
    if where:
        parent, last = place(record, where)
        container = parent[last]
    container["fps"] = 1
    expected = f"{where}.fps" if where else "fps"
    with pytest.raises(UsageError, match=f"unknown key '{expected}'; accepted here: "):
        Results.from_dict(record)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("miou.int8", 61.2, "not percent"),
        ("agreement.int8_vs_qat", -0.1, "outside"),
        ("partitions", 2.5, "whole number"),
        ("float_ops", True, "plain number"),
        ("per_class_iou.int8", [0.1], "3 classes"),
        ("palette", [[0, 0, 0]], "3 classes"),
        ("palette.1", [0, 0, 256], "three bytes"),
        ("history.float.2.step", 200, "rising steps"),
        ("latency_ms", {"two": {"pre": 1.0, "infer": 1.0, "post": 1.0}}, "thread counts"),
        ("input_size", [256], "height and width"),
        ("classes", "sky", "must be a list"),
        ("recipe", {"x": object()}, "JSON"),
        ("wall_seconds.data.io", 1.0, "wall_seconds"),
    ],
)
def test_impossible_value_is_refused(record, key, value, message):
    if key == "wall_seconds.data.io":
        record["wall_seconds"]["data.io"] = value
    else:
        container, last = place(record, key)
        container[last] = value
    with pytest.raises(UsageError, match=message):
        Results.from_dict(record)


def test_percentiles_need_the_thread_counts_of_the_medians(record):
    record["latency_p95_ms"]["4"] = record["latency_p95_ms"]["2"]
    with pytest.raises(UsageError, match=r"latency_p95_ms\.4"):
        Results.from_dict(record)


@pytest.mark.parametrize("content", [None, "{"])
def test_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"cannot read .*results\.json"):
        Results.read(path)


def test_a_list_is_not_a_record():
    with pytest.raises(UsageError, match="must be a mapping"):
        Results.from_dict([])  # type: ignore[arg-type]
