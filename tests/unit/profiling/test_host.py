"""A profile of a real file, and what is said when measuring fails. No duration is judged."""

import json
import sys
from pathlib import Path

import pytest
from unit.verify import tiny

from mobile_seg.artifact import sha256
from mobile_seg.errors import ArtifactError, ProfileError, UsageError
from mobile_seg.profiling import host
from mobile_seg.profiling.host import profile_host
from mobile_seg.profiling.records import StageTimes
from mobile_seg.profiling.worker import peak_resident_bytes

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")


@linux
def test_a_profile_holds_every_measurement(tmp_path: Path) -> None:
    path = tiny.save(tmp_path, tiny.INT8)
    images = [*tiny.images(1, (40, 60)), *tiny.images(1, (33, 21))]
    profile = profile_host(path, images=images, threads=(1, 2), warmup=1, runs=5)
    assert [one.threads for one in profile.by_threads] == [1, 2]
    for one in profile.by_threads:
        for stage in (one.pre, one.infer, one.post):
            assert len(stage.samples_ms) == 5
            assert min(stage.samples_ms) > 0
            assert stage.median_ms <= stage.p95_ms <= max(stage.samples_ms)
        assert one.init_ms > 0
        assert one.first_run_ms > 0
        assert one.processes == 2
        assert 0 < one.peak_memory_bytes < 1 << 30
    assert profile.sha256 == sha256(path)
    assert (profile.warmup, profile.runs, profile.images) == (1, 5, 2)
    assert profile.cpu
    assert profile.cores >= 1
    assert {"ai-edge-litert", "numpy", "opencv", "python"} <= set(dict(profile.versions))
    assert profile.latency_ms["2"]["infer"] == profile.by_threads[1].infer.median_ms
    assert profile.latency_p95_ms["1"]["post"] == profile.by_threads[0].post.p95_ms
    assert profile.peak_memory_bytes == max(one.peak_memory_bytes for one in profile.by_threads)
    value = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert value["by_threads"][0]["infer"]["median_ms"] == profile.by_threads[0].infer.median_ms
    assert value["versions"]["numpy"] == dict(profile.versions)["numpy"]


def test_thread_counts_take_turns_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def answer(request: dict, **how: str) -> dict:
        asked.append((request["threads"], request["runs"]))
        number = float(len(asked))
        samples = {stage: [number] * request["runs"] for stage in ("pre", "infer", "post")}
        spans = {"init_ms": number, "first_run_ms": number, "peak_memory_bytes": len(asked)}
        return {"samples_ms": samples, "versions": {}, **spans}

    monkeypatch.setattr(host, "ask", answer)
    profile = profile_host(tiny.save(tmp_path), images=tiny.images(1), threads=(1, 4), warmup=0, runs=3)
    assert asked == [(1, 2), (4, 2), (4, 1), (1, 1)]
    first = profile.by_threads[0]
    assert (first.infer.samples_ms, first.init_ms, first.peak_memory_bytes) == ((1.0, 1.0, 4.0), 2.5, 4)


def test_median_and_p95() -> None:
    times = StageTimes(tuple(float(number) for number in range(1, 101)))
    assert times.median_ms == 50.5
    assert times.p95_ms == pytest.approx(95.05)


def test_the_workers_reason_is_passed_on(tmp_path: Path) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(tiny.flatbuffer())
    with pytest.raises(ProfileError, match=r"bare\.tflite failed \(exit code 1\): .*carries no manifest") as caught:
        profile_host(bare, images=tiny.images(1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"killed by SIGSEGV\): it said nothing"),
        ("import sys; sys.stderr.write('first\\nlast words\\n'); sys.exit(3)", r"exit code 3\): last words"),
        ("import sys; sys.stderr.write('mute\\n')", r"exit code 0\): mute"),
    ],
    ids=["crash", "failure", "silence"],
)
def test_a_worker_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    (tmp_path / "dying_worker.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(host, "WORKER", "dying_worker")
    with pytest.raises(ProfileError, match=said):
        profile_host(tiny.save(tmp_path), images=tiny.images(1))


def test_calls_that_are_wrong(tmp_path: Path) -> None:
    path, images = tiny.save(tmp_path), tiny.images(1)
    with pytest.raises(UsageError, match="at least one image"):
        profile_host(path, images=[])
    for threads in ((), (0,), (1, 1)):
        with pytest.raises(UsageError, match="threads="):
            profile_host(path, images=images, threads=threads)
    for runs, warmup in ((1, 5), (30, -1)):
        with pytest.raises(UsageError, match="runs="):
            profile_host(path, images=images, runs=runs, warmup=warmup)
    with pytest.raises(ArtifactError, match="does not exist"):
        profile_host(tmp_path / "missing.tflite", images=images)
    keras = tmp_path / "model.keras"
    keras.touch()
    with pytest.raises(UsageError, match=r"not a \.tflite file"):
        profile_host(keras, images=images)


@linux
def test_peak_memory_sees_an_allocation() -> None:
    before = peak_resident_bytes()
    assert before > 1 << 20
    held = bytearray(64 << 20)
    held[::4096] = b"\1" * len(held[::4096])
    assert peak_resident_bytes() >= max(before, len(held))


def test_peak_memory_is_never_made_up(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="No such file"):
        peak_resident_bytes(str(tmp_path / "status"))
    other = tmp_path / "other"
    other.write_text("Name:\tpython\n")
    with pytest.raises(ProfileError, match="no VmHWM"):
        peak_resident_bytes(str(other))
