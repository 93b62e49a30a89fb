"""Image files, folders and videos that `predict` and `profile` are given. Frames are RGB, as everywhere."""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_seg import files
from mobile_seg.errors import DatasetError, DiskError, UsageError

if TYPE_CHECKING:
    from mobile_seg.imaging import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


def is_video(path: Path) -> bool:
    """Whether a file counts as a video, by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def images_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The images directly in a folder, by name.

    Raises:
        UsageError: if it is no folder or has none.
    """
    return _in_folder(Path(folder), IMAGE_SUFFIXES, "image")


def find_media(sources: Iterable[str]) -> list[Path]:
    """The image and video files that `sources` (files and folders) name, in order.

    Raises:
        UsageError: for what does not exist, holds nothing, is of another kind, or shares its stem with
            another file: the results are named by it.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found += _in_folder(source, IMAGE_SUFFIXES + VIDEO_SUFFIXES, "image or video")
        elif not source.exists():
            raise UsageError(f"{source} does not exist; give image files, videos, or folders of them.")
        elif source.suffix.lower() not in IMAGE_SUFFIXES + VIDEO_SUFFIXES:
            raise UsageError(
                f"{source} is neither an image ({' '.join(IMAGE_SUFFIXES)}) nor a video ({' '.join(VIDEO_SUFFIXES)})."
            )
        else:
            found.append(source)
    found = list({path.resolve(): path for path in found}.values())
    by_stem: dict[str, Path] = {}
    for path in found:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise UsageError(f"{other} and {path} would get results of the same name; predict them one after another.")
    return found


@dataclass(frozen=True)
class Video:
    """An open video: frames `[H, W, 3]` uint8 RGB, per second, and how many its header states (0: not stated)."""

    frames: "Iterator[Image]"
    rate: float
    stated: int


@contextlib.contextmanager
def reading_video(path: Path) -> Iterator[Video]:
    """Open a video file.

    Raises:
        DatasetError: if no frame can be read or it states no frame rate.
    """
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        readable, first = capture.read()
        if not readable:
            raise DatasetError(
                f"{path} cannot be read as a video: no frame of it can be decoded; convert it with "
                "`ffmpeg -i VIDEO -c:v libx264 CONVERTED.mp4`"
            )
        rate = capture.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(rate) and rate > 0):
            raise DatasetError(f"{path} states no frame rate; convert it with `ffmpeg -r 30 -i VIDEO CONVERTED.mp4`")
        stated = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        yield Video(_frames(capture, first), rate, stated)
    finally:
        capture.release()


def _frames(capture: Any, first: "Image") -> "Iterator[Image]":
    import cv2

    readable, frame = True, first
    while readable:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)  # OpenCV's own order is BGR
        readable, frame = capture.read()


def write_png(path: Path, pixels: "Image") -> Path:
    """Write `[H, W, 3]` RGB or `[H, W]` as PNG, whole or not at all.

    Raises:
        DiskError: if it cannot be written.
    """
    import cv2

    stored = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return files.write_bytes(path, cv2.imencode(".png", stored)[1].tobytes())


def write_video(path: Path, frames: "Iterable[Image]", *, rate: float) -> int:
    """Write frames `[H, W, 3]` RGB of one size as MPEG-4, whole or not at all; return how many.

    MPEG-4 holds even sizes: the last row or column of an odd one is left out.

    Raises:
        DiskError: if it cannot be written.
    """
    import cv2

    count, writer = 0, None
    with files.replacing(path) as temporary:
        try:
            for frame in frames:
                if writer is None:
                    size = (frame.shape[1], frame.shape[0])
                    writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                    if not writer.isOpened():
                        raise DiskError(
                            f"cannot write {path}: this OpenCV encodes no MPEG-4; install opencv-python from PyPI"
                        )
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            if writer is not None:
                writer.release()
        # The encoder keeps a full disk to itself.
        kept = _stated_frames(temporary)
        if kept != count:
            raise DiskError(
                f"cannot write {path}: {kept} of {count} frames were kept; is there free space on the disk?"
            )
    return count


def _stated_frames(path: Path) -> int:
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


def _in_folder(folder: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give one that holds {kind} files.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise UsageError(f"{folder} holds no {kind} file ({' '.join(suffixes)}).")
    return found
