"""Phones and boards behind adb, through `adbutils`."""

import contextlib
import os
import platform
import re
import secrets
import shlex
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mobile_seg.errors import MissingExtraError, ProfileError, UsageError
from mobile_seg.profiling.devices.base import DeviceLostError, Finished
from mobile_seg.profiling.devices.state import SCRIPT, parse_files, parse_thermal_service
from mobile_seg.profiling.measurement import DeviceFacts, DeviceState

ROOT = "/data/local/tmp"
"""Where the adb shell of any Android may write and run programs."""

SHORT = 30.0
"""Seconds that a question to the device may take."""

GRACE = 15.0
"""Seconds more than the device's own time limit before we give up listening."""

ENDED = (124, 137)
"""What `timeout` exits with when it ends a program: 124, or 128 + SIGKILL."""

T = TypeVar("T")


def connected(serial: str | None = None) -> list["AdbDevice"]:
    """Return the phones that are plugged in and allow debugging, or the one called `serial`.

    Raises:
        MissingExtraError: if adbutils is not installed.
        UsageError: if none is ready, or none is called so; the message lists what is there and what to do.
    """
    module = _adbutils()
    client = module.AdbClient()
    try:
        found = {info.serial: info.state for info in client.list()}
    except (module.AdbError, OSError) as error:
        raise ProfileError(f"the adb server cannot be reached: {_line(error)}; try `adb start-server`") from error
    wanted = [serial] if serial is not None else sorted(found)
    for name in wanted:
        if found.get(name) != "device":
            raise UsageError(_not_ready(name, found))
    if not wanted:
        raise UsageError(
            "--device adb: no phone is connected. Plug one in, allow USB debugging on it, and check `adb devices`; "
            "over the network: adb connect HOST:PORT"
        )
    return [AdbDevice(client.device(name), serial=name) for name in wanted]


class AdbDevice:
    """One phone or board; see `devices.base.Device`."""

    def __init__(self, device: Any, *, serial: str) -> None:
        """Take an `adbutils` device."""
        self._device, self.serial = device, serial

    def facts(self) -> DeviceFacts:
        """Return make, model, instruction set and Android version; a Linux board has a host name instead."""
        names = ("ro.product.manufacturer", "ro.product.model", "ro.product.cpu.abi", "ro.build.version.release")
        maker, model, abi, release = (self._property(name) for name in names)
        name = f"{maker} {model}".strip() or self.shell(["uname", "-n"]).out.strip()
        system = f"Android {release}" if release else self.shell(["uname", "-sr"]).out.strip()
        cores = self.shell(["nproc"]).out.strip()
        if not cores.isdigit():
            raise ProfileError(f"{self.serial} does not tell how many cores it has (nproc said {cores!r})")
        return DeviceFacts("adb", name, self.serial, abi or self._machine(), system, int(cores))

    def state(self) -> DeviceState:
        """Return clock rates, temperatures and Android's thermal status."""
        state = parse_files(self.shell(["sh", "-c", SCRIPT]).out.splitlines())
        service = self.shell(["dumpsys", "thermalservice"])
        status, degrees = parse_thermal_service(service.out) if service.code == 0 else (None, ())
        return DeviceState(state.frequencies, degrees or state.temperatures_c, status)

    @contextlib.contextmanager
    def workspace(self) -> Iterator["AdbWorkspace"]:
        """Make a folder below `ROOT`; what sessions of this machine left behind there is cleaned up first."""
        self._sweep()
        folder = f"{ROOT}/{_prefix()}{os.getpid()}-{secrets.token_hex(4)}"
        self._must(["mkdir", "-p", folder])
        workspace = AdbWorkspace(self, folder)
        try:
            yield workspace
        except KeyboardInterrupt:
            with contextlib.suppress(ProfileError):
                workspace.end()
            raise
        except DeviceLostError as error:
            raise DeviceLostError(
                f"{error}; {folder} is still on it and is removed by the next profile, or by: "
                f"adb -s {shlex.quote(self.serial)} shell rm -rf {folder}"
            ) from error
        finally:
            with contextlib.suppress(ProfileError):  # whatever made us leave is the better thing to say
                self.shell(["rm", "-rf", folder])

    def shell(self, words: Sequence[str], *, seconds: float = SHORT) -> Finished:
        """Run a command; every word is quoted, so that none is read by the device's shell.

        Raises:
            DeviceLostError: if the device went away or does not answer.
        """
        command = shlex.join(words)
        done = self._talk(lambda: self._device.shell2(command, v2=True, timeout=seconds), words[0])
        return Finished(done.returncode, done.stdout or done.output, done.stderr or "")

    def push(self, local: Path, path: str, *, mode: int) -> None:
        """Copy a file to the device, and check that all of it arrived."""
        try:
            content = local.read_bytes()
        except OSError as error:
            raise ProfileError(f"{local} cannot be read: {error.strerror}") from error
        self._talk(lambda: self._device.sync.push(content, path, mode=mode, check=True), f"pushing {local.name}")

    def pull(self, path: str) -> bytes:
        """Return a file's content."""
        if self.shell(["test", "-f", path]).code != 0:
            raise ProfileError(f"{self.serial}: there is no {path}")
        content: bytes = self._talk(lambda: self._device.sync.read_bytes(path), f"pulling {path}")
        return content

    def _talk(self, ask: Callable[[], T], doing: str) -> T:
        module = _adbutils()
        try:
            return ask()
        except (module.AdbTimeout, TimeoutError) as error:
            raise DeviceLostError(f"{self.serial} does not answer any more ({doing}): {_line(error)}") from error
        except (module.AdbError, OSError, EOFError) as error:
            raise DeviceLostError(
                f"{self.serial} was disconnected ({doing}): {_line(error)}; plug it in again and repeat the command"
            ) from error

    def _property(self, name: str) -> str:
        said = self.shell(["getprop", name])
        return said.out.strip() if said.code == 0 else ""

    def _machine(self) -> str:
        from mobile_seg.profiling.devices.host import ABIS

        machine = self.shell(["uname", "-m"]).out.strip()
        return ABIS.get(machine, machine)

    def _must(self, words: Sequence[str]) -> Finished:
        done = self.shell(words)
        if done.code != 0:
            raise ProfileError(f"{self.serial}: {shlex.join(words)} failed: {done.last_words}")
        return done

    def _sweep(self) -> None:
        for name in self.shell(["ls", ROOT]).out.split():
            match = re.fullmatch(re.escape(_prefix()) + r"(\d+)-[0-9a-f]{8}", name)
            if match and not _alive(int(match[1])):
                self.shell(["rm", "-rf", f"{ROOT}/{name}"])


class AdbWorkspace:
    """A folder on a phone; see `devices.base.Workspace`."""

    def __init__(self, device: AdbDevice, folder: str) -> None:
        """Take a folder that exists on the device."""
        self.device, self.folder = device, folder
        self._names: dict[str, Path] = {}

    def put(self, local: Path, *, executable: bool = False) -> str:
        """Push a file, once."""
        name = local.name
        while name in self._names and self._names[name] != local.resolve():  # two models may share a name
            name = f"_{name}"
        path = f"{self.folder}/{name}"
        if name not in self._names:
            self.device.push(local, path, mode=0o755 if executable else 0o644)
            self._names[name] = local.resolve()
        return path

    def get(self, path: str) -> bytes:
        """Pull a file."""
        return self.device.pull(path)

    def run(
        self, words: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, mask: str = ""
    ) -> Finished:
        """Run a program under the device's own `timeout`, so that it ends even when nobody listens any more."""
        limit = ["timeout", "-s", "KILL", str(max(1, round(seconds)))]
        given = [f"{name}={value}" for name, value in (environment or {}).items()]
        command = [*limit, *(["env", *given] if given else []), *(["taskset", mask] if mask else []), *words]
        started = time.monotonic()
        done = self.device.shell(command, seconds=seconds + GRACE)
        if done.code in ENDED and time.monotonic() - started >= seconds - 1:  # else something else ended it
            raise ProfileError(
                f"{self.device.serial}: {words[0].rpartition('/')[2]} took longer than {seconds:.0f} s and was ended; "
                "give it more with --timeout"
            )
        return done

    def end(self) -> None:
        """End the processes that name this folder. It is written so that the question does not name it."""
        head, _, name = self.folder.rpartition("/")
        self.device.shell(["pkill", "-KILL", "-f", f"{head}/[{name[0]}]{name[1:]}"])


def _adbutils() -> Any:
    try:
        import adbutils
    except ImportError as error:
        raise MissingExtraError(
            '--device adb needs adbutils; install it with: pip install "mobile-seg[adb]"'
        ) from error
    return adbutils


def _not_ready(serial: str, found: dict[str, str]) -> str:
    state = found.get(serial)
    if state == "unauthorized":
        return f"{serial} does not allow debugging yet; unlock it and accept the question on its screen"
    if state is not None:
        return f"{serial} is {state}; plug it in again, or run `adb reconnect`"
    there = ", ".join(f"{name} ({state})" for name, state in sorted(found.items())) or "none"
    return f"--device adb:{serial}: no such phone; connected: {there}"


def _prefix() -> str:
    """Names of folders made from this machine, which need not be named in full."""
    return f"mobile-seg-{zlib.crc32(platform.node().encode()):08x}-"


def _alive(process: int) -> bool:
    if sys.platform == "win32":  # there, os.kill ends the process whatever the signal
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
