"""What a device offers to whatever runs models on it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.measurement import DeviceFacts, DeviceState


class DeviceLostError(ProfileError):
    """The device went away in the middle: unplugged, switched off, or its adb daemon ended."""


@dataclass(frozen=True)
class Finished:
    """How a process on the device ended."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """Return the last line of standard error, else of standard output."""
        lines = (self.err if self.err.strip() else self.out).strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"


class Workspace(Protocol):
    """A folder on the device, gone with all that is in it once the context that made it ends."""

    folder: str

    def put(self, local: Path, *, executable: bool = False) -> str:
        """Bring a file there and return its path on the device.

        Raises:
            DeviceLostError, ProfileError: as their names say.
        """

    def get(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            DeviceLostError: if the device went away.
            ProfileError: if there is no such file.
        """

    def run(
        self, words: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, mask: str = ""
    ) -> Finished:
        """Run a program with its arguments, none of them read by a shell, and wait for it.

        `environment` is added to the device's own; `mask` pins it to cores, in hexadecimal, lowest bit first core.

        Raises:
            DeviceLostError: if the device went away.
            ProfileError: if it takes longer than `seconds`; it is ended on the device too.
        """

    def end(self) -> None:
        """End what `run` runs, called from another thread or on the way out; nothing happens if nothing runs.

        Raises:
            DeviceLostError: if the device went away.
        """


class Device(Protocol):
    """Something that models are measured on."""

    def facts(self) -> DeviceFacts:
        """Return which device it is.

        Raises:
            DeviceLostError: if it went away.
        """

    def state(self) -> DeviceState:
        """Return how fast and how warm it is now, as far as it tells.

        Raises:
            DeviceLostError: if it went away.
        """

    def workspace(self) -> AbstractContextManager[Workspace]:
        """Make a workspace, and clean it up whatever happens inside.

        Raises:
            DeviceLostError, ProfileError: as their names say.
        """
