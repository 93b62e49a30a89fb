"""Measurements kept beside the model they were taken of, one JSON object a line, safe against a kill mid-write."""

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobile_seg.errors import ArtifactError, DiskError
from mobile_seg.profiling.measurement import Measurement

SUFFIX = ".profiles.jsonl"

_THREADS = threading.Lock()


def history_of(model: str | os.PathLike[str]) -> Path:
    """Return where a model's measurements are kept: `m.tflite.profiles.jsonl` beside `m.tflite`."""
    return Path(f"{os.fspath(model)}{SUFFIX}")


def append(path: str | os.PathLike[str], measurement: Measurement) -> None:
    """Add a measurement as one line, and have it on the disk before returning.

    What stands in the file is never written again. A line counts once its end is there, so a kill mid-write
    leaves every earlier one; the torn end is cut off by the next `append`. Two writers take turns.

    Raises:
        DiskError: if it cannot be written.
    """
    line = json.dumps(measurement.to_dict(), allow_nan=False).encode() + b"\n"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with _alone(handle):
                os.ftruncate(handle, _whole(handle))
                os.lseek(handle, 0, os.SEEK_END)
                while line:
                    line = line[os.write(handle, line) :]
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise DiskError(
            f"cannot write {path}: {error.strerror or error}. Choose another file with --history, or --no-history"
        ) from error


def read(path: str | os.PathLike[str]) -> list[Measurement]:
    """Return all measurements in a file, oldest first; a line that a kill has torn is not one.

    Raises:
        ArtifactError: if the file cannot be read, or holds anything else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; `mobile-seg profile` makes it") from error
    return list(_parsed(path, content))


def latest(measurements: Iterable[Measurement]) -> dict[tuple[str, str, str, int, str], Measurement]:
    """Return the newest measurement of each device, runner, delegate, thread count and core mask."""
    return {key(one): one for one in measurements}


def key(one: Measurement) -> tuple[str, str, str, int, str]:
    """Return what two measurements must share to be compared: how they were taken."""
    return one.device.label, one.runner, one.delegate.asked, one.threads, one.mask


def _parsed(path: str | os.PathLike[str], content: bytes) -> Iterator[Measurement]:
    # What follows the last line end is empty, or torn.
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            yield Measurement.from_dict(json.loads(line))
        except ValueError as error:
            raise ArtifactError(f"{path}:{number}: it is no JSON ({error}); remove that line") from error
        except ArtifactError as error:
            raise ArtifactError(f"{path}:{number}: {error}; remove that line") from error


def _whole(handle: int) -> int:
    """Bytes up to the last line end."""
    end = os.lseek(handle, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        os.lseek(handle, start, os.SEEK_SET)
        found = os.read(handle, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextlib.contextmanager
def _alone(handle: int) -> Iterator[None]:
    with _THREADS:
        try:
            import fcntl
        except ImportError:  # Windows: only threads take turns, so let one process at a time write a file
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)  # closing the file gives it back
        yield
