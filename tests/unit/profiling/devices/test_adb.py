"""Which phone is meant, and what is said when none is ready. Real phones' behaviour: tests/e2e/test_adb.py."""

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mobile_seg.errors import MissingExtraError, ProfileError, UsageError
from mobile_seg.profiling.devices import adb
from mobile_seg.profiling.devices.adb import AdbDevice, AdbWorkspace, connected
from mobile_seg.profiling.devices.base import DeviceLostError


class AdbError(Exception):
    """As adbutils names it."""


class AdbTimeout(AdbError):
    """As adbutils names it."""


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Serial → state, as an adb server tells; a client of it stands in for adbutils."""
    states: dict[str, str] = {}

    class AdbClient:
        def list(self) -> list[Any]:
            return [SimpleNamespace(serial=serial, state=state) for serial, state in states.items()]

        def device(self, serial: str) -> str:
            return serial

    module = SimpleNamespace(AdbClient=AdbClient, AdbError=AdbError, AdbTimeout=AdbTimeout)
    monkeypatch.setattr(adb, "_adbutils", lambda: module)
    return states


def test_every_phone_or_the_one_named(plugged: dict[str, str]) -> None:
    plugged |= {"S2": "device", "S1": "device"}
    assert [phone.serial for phone in connected()] == ["S1", "S2"]
    assert [phone.serial for phone in connected("S2")] == ["S2"]


def test_what_to_do_when_none_is_ready(plugged: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"no phone is connected\. Plug one in"):
        connected()
    plugged |= {"S1": "unauthorized", "S2": "device", "S3": "offline"}
    with pytest.raises(UsageError, match="S1 does not allow debugging yet; unlock it"):
        connected()
    with pytest.raises(UsageError, match="S3 is offline; plug it in again"):
        connected("S3")
    with pytest.raises(UsageError, match=r"no such phone; connected: S1 \(unauthorized\), S2 \(device\), S3"):
        connected("S4")


def test_the_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mobile-seg\[adb\]"'):
        connected()


class Shell:
    """An adbutils device that remembers commands and ends them as told."""

    def __init__(self, end: Any) -> None:
        self.commands: list[str] = []
        self._end = end

    def shell2(self, command: str, **_: Any) -> Any:
        self.commands.append(command)
        if isinstance(self._end, Exception):
            raise self._end
        return SimpleNamespace(returncode=self._end, stdout="out", stderr="err", output="outerr")


def test_no_word_is_read_by_the_phones_shell(plugged: dict[str, str]) -> None:
    shell = Shell(0)
    words = ["/data/bench", "--model", "it's a $(touch x); `y`.tflite", "--delegate=*", ""]
    workspace = AdbWorkspace(AdbDevice(shell, serial="S1"), "/data/local/tmp/w")
    done = workspace.run(words, seconds=20, environment={"LD_LIBRARY_PATH": "/a b"}, mask="f0")
    assert (done.code, done.out, done.err) == (0, "out", "err")
    limit = ["timeout", "-s", "KILL", "20", "env", "LD_LIBRARY_PATH=/a b", "taskset", "f0"]
    assert shlex.split(shell.commands[0]) == [*limit, *words]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AdbError("device 'S1' not found"), "S1 was disconnected"),
        (EOFError("Expected 5 bytes, got 0"), "S1 was disconnected"),
        (ConnectionResetError("reset"), "S1 was disconnected"),
        (AdbTimeout("adb read timeout"), "S1 does not answer any more"),
        (TimeoutError(), "S1 does not answer any more .*TimeoutError"),
    ],
    ids=repr,
)
def test_a_phone_that_goes_away(plugged: dict[str, str], error: Exception, said: str) -> None:
    with pytest.raises(DeviceLostError, match=said) as caught:
        AdbDevice(Shell(error), serial="S1").facts()
    assert "\n" not in str(caught.value)


def test_a_program_that_something_else_killed_is_no_time_out(plugged: dict[str, str]) -> None:
    """Out of memory looks like `timeout` but for the time it took."""
    workspace = AdbWorkspace(AdbDevice(Shell(137), serial="S1"), "/data/local/tmp/w")
    assert workspace.run(["x"], seconds=60).code == 137
    with pytest.raises(ProfileError, match="x took longer than 1 s"):
        workspace.run(["/data/x"], seconds=1)


def test_two_files_of_one_name_do_not_meet(plugged: dict[str, str], tmp_path: Path) -> None:
    pushed: list[str] = []
    device = AdbDevice(Shell(0), serial="S1")
    device._device.sync = SimpleNamespace(push=lambda content, path, **_: pushed.append(path))
    workspace = AdbWorkspace(device, "/w")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.tflite").write_bytes(folder.encode())
    found = [workspace.put(tmp_path / folder / "m.tflite") for folder in ("a", "b", "a")]
    assert found == ["/w/m.tflite", "/w/_m.tflite", "/w/m.tflite"]
    assert pushed == found[:2]  # what is there is not brought again
