"""Phones: a model is pushed through a real adbd, run by the C runner, its result pulled; and what goes wrong.

No duration is judged: what is measured here is a stand-in, not a phone.
"""

import contextlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e.phone import Phones, phones
from unit.verify import tiny

from mobile_seg.artifact import sha256
from mobile_seg.profiling.history import history_of, read
from mobile_seg.profiling.runners.c_runner import SOURCE

SHORT = ("--threads", "1", "--runs", "4", "--rounds", "2")


class Tools(NamedTuple):
    """What the C runner needs on this machine, which is of the phones' instruction set."""

    program: Path
    library: Path

    @property
    def words(self) -> tuple[object, ...]:
        """As options of `mobile-seg profile`."""
        return ("--runner", "c", "--c-runner", self.program, "--litert-library", self.library)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Build the C runner; the library is the one that this machine runs models with."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not here; install it with: apt-get install gcc libc6-dev")
    program = tmp_path_factory.mktemp("c") / "litert_bench"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), str(SOURCE), "-ldl"], check=True)
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Tools(program, Path(spec.submodule_search_locations[0]) / "libLiteRt.so")


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Phones]:
    """One phone that has the app."""
    folder = tmp_path_factory.mktemp("phone")
    with phones(folder, extra={"bench": tools.program, "libLiteRt.so": tools.library}) as running:
        yield running


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model whose name every shell would trip over."""
    return tiny.save(tmp_path, tiny.INT8).rename(tmp_path / "it's a $(touch pwned); `model`.tflite")


def profile(phone: Phones, model: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    return phone.run(*command(model, *words))


def command(model: Path, *words: object) -> list[object]:
    return [sys.executable, "-m", "mobile_seg", "profile", model, *words]


def refusal(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """The one line that a failed command says."""
    assert done.returncode == code, done
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("error: ")
    return line


def test_a_model_is_measured_and_nothing_is_left(phone: Phones, model: Path, tools: Tools) -> None:
    done = profile(phone, model, "--device", "adb", *tools.words, *SHORT, "--delegate", "xnnpack,none", "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["measurements"]
    assert (first["delegate"]["asked"], second["delegate"]["asked"]) == ("xnnpack", "none")
    assert first["delegate"]["taken"] in ("all", "part")
    assert second["verdict"] == "built-in kernels"
    assert first["device"]["name"] == "Stand-in Phone One"
    assert first["device"]["serial"] == phone.serials[0]
    assert first["before"]["thermal_status"] == 0
    assert first["after"]["temperatures_c"] == [["CPU", 41.5]]  # not the cached one, not the one that is off
    assert [len(samples) for samples in first["rounds"]] == [4, 4]
    assert min(first["rounds"][0]) > 0
    assert first["peak_memory_bytes"] > 0
    assert first["sha256"] == sha256(model)
    kept = [json.loads(json.dumps(one.to_dict())) for one in read(history_of(model))]
    assert sorted(kept, key=str) == sorted([first, second], key=str)
    assert phone.left() == []
    assert not (phone.root / "data/local/tmp/pwned").exists()


def test_operations_are_timed_on_the_phone(phone: Phones, model: Path, tools: Tools) -> None:
    words = ("--device", "adb", *tools.words, "--operations", "--runs", "3", "--warmup", "1", "--json")
    done = profile(phone, model, *words)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["device"] == f"Stand-in Phone One ({phone.serials[0]})"
    assert (value["runs"], value["threads"]) == (3, 1)
    convolutions = [one for one in value["operations"] if one["operation"] == "CONV_2D"]
    assert convolutions
    assert all(one["delegated"] and one["cost"]["macs"] > 0 and one["limit_ms"] > 0 for one in convolutions)
    assert value["peaks"]["cpu"] == value["device"]
    assert phone.left() == []
    shown = profile(phone, model, *words[:-1])
    assert f"limits of Stand-in Phone One ({phone.serials[0]})" in shown.stdout
    assert "XNNPACK's kernels, 1 thread, 3 runs, Stand-in Phone One" in shown.stdout


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Phones]:
    """A phone for one test alone, which will unplug it."""
    folder = tmp_path / "phone"
    folder.mkdir()
    with phones(folder) as running:
        yield running


def test_the_cable_is_pulled_in_the_middle(doomed: Phones, model: Path, tools: Tools) -> None:
    phone = doomed
    assert profile(phone, model, "--device", "adb", *tools.words, *SHORT).returncode == 0
    before = history_of(model).read_bytes()
    long = ("--threads", "1", "--runs", "900000", "--rounds", "2", "--timeout", "60")
    running = subprocess.Popen(
        phone.inside(*command(model, "--device", f"adb:{phone.serials[0]}", *tools.words, *long)),
        env=phone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any("result.json" in name for name in on_phone(phone)))
    phone.unplug()
    out, err = running.communicate(timeout=60)
    line = refusal(subprocess.CompletedProcess([], running.returncode, out, err), 1)
    assert "was disconnected" in line or "does not answer" in line
    assert phone.serials[0] in line
    assert "is still on it" in line
    assert history_of(model).read_bytes() == before
    assert len(read(history_of(model))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, model: Path, tools: Tools, count: int) -> None:
    """Neither a file nor a process, on one phone or on several; and at once, not when the time limit is reached."""
    folder = tmp_path / "phones"
    folder.mkdir()
    long = ("--threads", "1", "--runs", "900000", "--rounds", "2", "--timeout", "600", "--no-history")
    with phones(folder, count=count) as running:
        interrupted = subprocess.Popen(
            running.inside(*command(model, "--device", "adb", *tools.words, *long)),
            env=running.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: sum("result.json" in name for name in on_phone(running)) == count)
        assert benches() >= count
        interrupted.send_signal(signal.SIGINT)
        _, err = interrupted.communicate(timeout=60)
        assert interrupted.returncode == 130, err
        assert err.startswith("interrupted: ")
        assert running.left() == []
        wait_for(lambda: benches() == 0)


@pytest.mark.slow
def test_a_process_that_takes_too_long_is_ended_on_the_phone(phone: Phones, model: Path, tools: Tools) -> None:
    long = ("--threads", "1", "--runs", "900000", "--rounds", "2", "--timeout", "2", "--no-history")
    line = refusal(profile(phone, model, "--device", "adb", *tools.words, *long), 1)
    assert "litert_bench took longer than 2 s and was ended; give it more with --timeout" in line
    assert phone.left() == []


@pytest.mark.slow
def test_what_a_dead_session_left_is_swept(phone: Phones, model: Path, tools: Tools) -> None:
    from mobile_seg.profiling.devices.adb import _prefix

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    work = phone.root / "data/local/tmp"
    dead, foreign = work / f"{_prefix()}{ended.pid}-00c0ffee", work / "mobile-seg-deadbeef-1-00c0ffee"
    for folder in (dead, foreign):
        folder.mkdir()
        (folder / "model.tflite").touch()
    assert profile(phone, model, "--device", "adb", *tools.words, *SHORT, "--no-history").returncode == 0
    assert phone.left() == [foreign.name]
    shutil.rmtree(foreign)


def test_the_app_answers_through_its_file(phone: Phones, model: Path) -> None:
    words = ("--device", "adb", "--runner", "app", *SHORT, "--no-history", "--json", "--delegate", "xnnpack,nnapi")
    done = profile(phone, model, *words)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: the app: NNAPI is not on this phone"
    value = json.loads(done.stdout)
    assert [one["delegate"]["asked"] for one in value["measurements"]] == ["xnnpack"]
    assert [one["delegate"] for one in value["failures"]] == ["nnapi"]
    assert phone.left() == []


@pytest.mark.slow
def test_misuse_is_one_line(phone: Phones, model: Path, tools: Tools) -> None:
    assert "no such phone; connected: 127.0.0.1:15555 (device)" in refusal(
        profile(phone, model, "--device", "adb:emulator-5554", *tools.words), 2
    )
    assert "--runner litert is Python" in refusal(profile(phone, model, "--device", "adb", "--runner", "litert"), 2)
    assert "gpu: LiteRT cannot compile the model for it" in refusal(
        profile(phone, model, "--device", "adb", *tools.words, *SHORT, "--delegate", "gpu", "--no-history"), 1
    )
    assert "--delegate nnapi is none that --runner c can use; choose from xnnpack, gpu, none" in refusal(
        profile(phone, model, "--device", "adb", *tools.words, "--delegate", "nnapi"), 2
    )
    assert phone.left() == []


@pytest.mark.slow
def test_two_phones_at_once(tmp_path: Path, model: Path, tools: Tools) -> None:
    folder = tmp_path / "phones"
    folder.mkdir()
    with phones(folder, count=2) as both:
        done = profile(both, model, "--device", "adb", *tools.words, *SHORT, "--json")
        assert done.returncode == 0, done.stderr
        measured = json.loads(done.stdout)["measurements"]
        assert [one["device"]["serial"] for one in measured] == both.serials
        assert len(read(history_of(model))) == 2
        both.unplug(1)
        wait_for(lambda: both.serials[1] not in both.run(sys.executable, "-c", LISTED).stdout)
        line = refusal(profile(both, model, "--device", ",".join(f"adb:{name}" for name in both.serials)), 2)
        assert both.serials[1] in line
        assert both.left() == []


LISTED = "import adbutils; print([one.serial for one in adbutils.AdbClient().list() if one.state == 'device'])"


def on_phone(phone: Phones) -> list[str]:
    """Every file in the folders of sessions."""
    return [path.name for path in (phone.root / "data/local/tmp").rglob("*")]


def benches() -> int:
    """How many of our programs run below a session's folder, on any phone here."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += path.read_bytes().startswith(b"/data/local/tmp/mobile-seg-")
    return found


def wait_for(condition: object, *, seconds: float = 30) -> None:
    """Wait until it holds."""
    assert callable(condition)
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.1)
