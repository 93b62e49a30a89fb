"""What a runner offers to whoever measures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mobile_seg.errors import ProfileError
from mobile_seg.profiling.devices.base import Device, Workspace
from mobile_seg.profiling.measurement import DelegateUse
from mobile_seg.profiling.operations.records import OperationProfile

DELEGATES = ("xnnpack", "gpu", "nnapi", "hexagon", "edgetpu", "none")
"""Delegates by the names used here; "none" is the runtime's own CPU kernels."""


@dataclass(frozen=True)
class Job:
    """One process to time: `runs` runs after `warmup` discarded ones, ended after `seconds`.

    `mask` pins it to cores (hexadecimal, lowest bit the first core); empty leaves that to the system.
    """

    delegate: str
    threads: int
    warmup: int
    runs: int
    seconds: float
    mask: str = ""


@dataclass(frozen=True)
class RunResult:
    """What one process measured; see `Measurement` for the units and for what a sample is.

    `p95_ms` is what the tool tells of the process, None where samples are single runs or it tells none.
    """

    samples_ms: tuple[float, ...]
    init_ms: float
    first_run_ms: float
    peak_memory_bytes: int
    delegate: DelegateUse
    sample: str = "run"
    p95_ms: float | None = None
    versions: tuple[tuple[str, str], ...] = ()


class Runner(Protocol):
    """A way to run a model; `delegates` are those it can be asked for."""

    name: str
    delegates: tuple[str, ...]

    def prepare(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], RunResult]:
        """Bring to the device what is needed, and return the function that times one process.

        The function raises ProfileError if the process fails, and never replaces what it did not tell.

        Raises:
            UsageError: if this runner does not work on this device.
            DeviceLostError, ProfileError: as their names say.
        """


@runtime_checkable
class Watching(Runner, Protocol):
    """A runner that also tells how long each operation takes.

    `runtime` is what its profiles say they ran in; `tells_runs` whether it tells the time of each single run.
    """

    runtime: str
    tells_runs: bool

    def watch(self, device: Device, workspace: Workspace, model: Path) -> Callable[[Job], OperationProfile]:
        """Bring what is needed, and return the function that profiles one process; as `Runner.prepare` does.

        The function raises ProfileError, too, if the delegate took nothing, or nothing is told of the operations.
        """


def mode_of(delegate: str) -> str:
    """What a profile calls the kernels that run when this delegate is asked for; see `OperationProfile`."""
    return {"none": "builtin", "xnnpack": "delegate"}.get(delegate, delegate)


def refuse_fallback(use: DelegateUse) -> None:
    """Times of the CPU must not pass for those of a delegate.

    Raises:
        ProfileError: if the delegate took nothing.
    """
    if use.fell_back:
        raise ProfileError(f"{use.asked} {use.verdict}, so these are no operations of its: {use.said or 'no reason'}")


def failed(what: str, code: int, words: str) -> ProfileError:
    """The error of a process that ended badly."""
    return ProfileError(f"{what} failed (exit code {code}): {words}")


MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}
"""ELF's numbers (e_machine) → instruction sets by Android's names."""


def check_binary(path: Path, *, abi: str, option: str) -> Path:
    """Return a program or library that a device of this instruction set can run.

    Raises:
        ProfileError: if there is no such file, it is no ELF file, or it is for another instruction set.
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise ProfileError(f"{option} {path} cannot be read: {error.strerror}") from error
    if header[:4] != b"\x7fELF":
        raise ProfileError(f"{option} {path} is no program for Linux or Android (no ELF mark at its start)")
    number = int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")
    found = MACHINES.get(number, f"machine {number}")
    if found != abi:
        raise ProfileError(f"{option} {path} is for {found}, the device is {abi}; give the one for {abi}")
    return path
