"""This machine as a device."""

import contextlib
import glob
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.devices.base import Finished
from mobile_seg.profiling.devices.state import FILES, parse_files
from mobile_seg.profiling.host import cpu_name
from mobile_seg.profiling.measurement import DeviceFacts, DeviceState

ABIS = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a", "armv7l": "armeabi-v7a"}
"""Machine names as Python gives them → Android's names for the same instruction set."""


class HostDevice:
    """This machine; files stay where they are."""

    def facts(self) -> DeviceFacts:
        """Return its processor and system."""
        machine = platform.machine()
        system = f"{platform.system()} {platform.release()}"
        return DeviceFacts("host", cpu_name(), "", ABIS.get(machine, machine), system, os.cpu_count() or 1)

    def state(self) -> DeviceState:
        """Return clock rates and temperatures; many virtual machines tell neither."""
        lines = []
        for path in (path for pattern in FILES for path in glob.glob(pattern)):
            with contextlib.suppress(OSError):  # some zones refuse to be read
                lines.append(f"{path}={Path(path).read_text(errors='replace').strip()}")
        return parse_files(lines)

    @contextlib.contextmanager
    def workspace(self) -> Iterator["HostWorkspace"]:
        """Make a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="mobile-seg-profile-") as folder:
            yield HostWorkspace(folder)


class HostWorkspace:
    """A temporary folder, and processes on this machine; see `devices.base.Workspace`."""

    def __init__(self, folder: str) -> None:
        """Take a folder that exists."""
        self.folder = folder
        self._running: subprocess.Popen[str] | None = None

    def put(self, local: Path, *, executable: bool = False) -> str:
        """Return the file's own path."""
        path = local.resolve()
        if executable and not os.access(path, os.X_OK):
            raise ProfileError(f"{local} is not executable; make it so with: chmod +x {local}")
        return str(path)

    def get(self, path: str) -> bytes:
        """Return a file's content."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ProfileError(f"the runner left no {path}: {error.strerror}") from error

    def run(
        self, words: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, mask: str = ""
    ) -> Finished:
        """Run a program here."""
        if mask and shutil.which("taskset") is None:
            raise ProfileError("pinning cores needs taskset (util-linux), which is not here; leave out the core mask")
        command = [*(["taskset", mask] if mask else []), *words]
        try:
            self._running = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise ProfileError(f"{words[0]} cannot be started here: {error.strerror}") from error
        with self._running as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                raise ProfileError(
                    f"{Path(words[0]).name} took longer than {seconds:.0f} s and was ended; give it more with --timeout"
                ) from None
            finally:
                process.kill()  # nothing, if it has ended
        return Finished(process.returncode, out, err)

    def end(self) -> None:
        """End the program that runs."""
        if self._running is not None:
            self._running.kill()
