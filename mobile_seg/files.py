"""Whole files or none: everything is written under a temporary name and renamed."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_seg.errors import DiskError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it vanishes.

    The temporary name keeps the suffix of `path`, since some writers choose the format by it.

    Raises:
        DiskError: if the disk is full or the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise _disk_error(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise _disk_error(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: str | os.PathLike[str], content: str) -> Path:
    """Write UTF-8 `content` to `path`, whole or not at all."""
    return write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write `value` as indented JSON, keys in the order given. NaN is refused: it is not JSON."""
    return write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def staging(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder inside `folder`, from which `publish` takes what is finished; it vanishes afterwards.

    Raises:
        DiskError: if `folder` cannot be written; also of what is written in between, named by where it was to lie.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".staging.", dir=target))
    except OSError as error:
        raise _disk_error(target, error) from error
    try:
        yield stage
    except DiskError as error:
        raise DiskError(str(error).replace(str(stage), str(target))) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish(staged: Path, target: Path) -> Path:
    """Move a finished file or package to its name; what stood there is replaced, and lost only once that is done.

    Raises:
        DiskError: if it cannot be moved.
    """
    try:
        if target.is_dir():
            os.replace(target, staged.with_name(f"{target.name}.before"))
        os.replace(staged, target)
    except OSError as error:
        raise _disk_error(target, error) from error
    return target


def size_of(path: str | os.PathLike[str]) -> int:
    """The bytes of a file, or of all files of a package; what a link there points to is not its own."""
    place = Path(path)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if not file.is_symlink()]
    return sum(file.stat().st_size for file in files if file.is_file())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _disk_error(target: Path, error: OSError) -> DiskError:
    reason = error.strerror or str(error)
    return DiskError(
        f"cannot write {target}: {reason}. Free some space or choose another folder; "
        "nothing that was there before has changed."
    )
