"""Image and label files, read so that a damaged or misunderstood file never becomes training data.

The EXIF orientation is ignored on purpose: a label has none, so turning the image alone would part
the two. Files whose pixels need turning have to be turned, both of them, before they are used.
"""

import functools
import io
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import PIL.Image

from mobile_seg.data.description import IGNORE, Dataset, Pair
from mobile_seg.errors import DatasetError

_COLOUR_MODES = ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "YCbCr", "PA")
_LABEL_MODES = ("L", "P", "1", "I;16", "I;16B", "I")
# Pillow stretches grey PNGs of 2 and 4 bits to 0..255; label ids must come back as stored.
_STRETCHED = {"L;2": 85, "L;4": 17}
# In the pixel data of a JPEG, 0xFF is followed by 0 or by a restart marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_SHOWN = 5
_FIX = "restore it or take it out of the dataset"


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as RGB, `[H, W, 3]` uint8; transparency is dropped, EXIF orientation ignored.

    Raises:
        DatasetError: if the file is missing, cut short, damaged, or of more than 8 bits per channel.
    """
    file = Path(path)
    image = _decode(file)
    if image.mode not in _COLOUR_MODES:
        raise DatasetError(f"{file}: pixels of kind {image.mode!r} are not an image of 8 bits; save it as 8-bit RGB")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def read_label(path: str | os.PathLike[str], dataset: Dataset) -> np.ndarray:
    """Read a label map as class ids and 255 (ignore), `[H, W]` uint8.

    The stored values (8 or 16 bits, or the indices of a palette image) are the raw values that the
    dataset's `label_mapping` translates.

    Raises:
        DatasetError: if the file is missing, damaged or a colour picture, or holds a value that is
            neither a class nor ignored; names the value and where it stands.
    """
    file = Path(path)
    raw = _read_raw(file)
    table = _table(dataset.label_mapping, len(dataset.classes))
    if raw.dtype == np.int32 and (raw.min() < 0 or raw.max() >= len(table)):
        _refuse_value(file, raw, (raw < 0) | (raw >= len(table)), dataset)
    ids = table[raw]
    if (ids < 0).any():
        _refuse_value(file, raw, ids < 0, dataset)
    return ids.astype(np.uint8)


def read_pair(pair: Pair, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Read an image `[H, W, 3]` uint8 and its label map `[H, W]` uint8.

    Raises:
        DatasetError: as `read_image` and `read_label`, or if the two differ in size.
    """
    image, label = read_image(pair.image), read_label(pair.label, dataset)
    if image.shape[:2] != label.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (image.shape, label.shape)]
        raise DatasetError(
            f"{pair.image} is {sizes[0]} but its label {pair.label} is {sizes[1]} (width x height); "
            "make the label for this image at its size"
        )
    return image, label


def read_split(dataset: Dataset, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read the pairs (image, label) of a split, `train` or `val`, one by one; see `read_pair`."""
    for pair in getattr(dataset, split):
        yield read_pair(pair, dataset)


def check_dataset(
    dataset: Dataset, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None
) -> None:
    """Read every file of `train` and `val` once, in `workers` threads, and report all that is wrong.

    `progress` is called in this thread with (files done, files in all).

    Raises:
        DatasetError: holding the number of faulty pairs and the first five faults, one per line.
    """
    pairs = tuple(dict.fromkeys(dataset.train + dataset.val))
    faults: dict[int, str] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="mobile-seg-check") as pool:
        indices = {pool.submit(_fault, pair, dataset): index for index, pair in enumerate(pairs)}
        try:
            for done, future in enumerate(as_completed(indices), start=1):
                fault = future.result()
                if fault is not None:
                    faults[indices[future]] = fault
                if progress is not None:
                    progress(done, len(pairs))
        finally:
            pool.shutdown(cancel_futures=True)
    if faults:
        lines = [faults[index] for index in sorted(faults)]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
        count = f"{len(faults)} of {len(pairs)} image and label pairs cannot be used"
        raise DatasetError("\n  ".join([f"{dataset.name}: {count}:", *lines]))


def _fault(pair: Pair, dataset: Dataset) -> str | None:
    try:
        read_pair(pair, dataset)
    except DatasetError as error:
        return str(error)
    return None


def _decode(file: Path) -> PIL.Image.Image:
    """Read and decode a whole file; Pillow refuses files cut short, OpenCV would fill them with grey."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}; {_FIX}") from error
    if not content:
        raise DatasetError(f"{file} is empty; {_FIX}")
    try:
        image = PIL.Image.open(io.BytesIO(content))
        stretched = _STRETCHED.get(str(image.tile[0][3])) if image.tile else None
        image.load()
    except Exception as error:  # Pillow's readers raise whatever the damage leads them to
        reason = str(error).split(" <_io")[0] or type(error).__name__
        raise DatasetError(f"{file} is damaged or not an image ({reason}); {_FIX}") from error
    if not _has_end(content):
        raise DatasetError(f"{file} is cut short (no end marker); {_FIX}")
    if stretched is not None:
        image.info["stretched"] = stretched
    return image


def _has_end(content: bytes) -> bool:
    """Whether a JPEG or PNG holds its end marker; Pillow can do without when the pixels happen to be full."""
    if content.startswith(b"\x89PNG"):
        return b"IEND" in content
    if not content.startswith(b"\xff\xd8"):
        return True
    at = 2
    while (found := _JPEG_MARKER.search(content, at)) is not None:
        marker, at = found[0][1], found.end()
        if marker == 0xD9:
            return True
        # Every other marker here opens a segment that states its length; pixel data follows some of them.
        at += int.from_bytes(content[at : at + 2], "big")
    return False


def _read_raw(file: Path) -> np.ndarray:
    """Return the values as stored, `[H, W]` uint8, uint16 or int32."""
    image = _decode(file)
    if image.mode not in _LABEL_MODES:
        raise DatasetError(
            f"{file} is a {image.mode} picture, not a label map; save class ids in one channel (grey or palette PNG), "
            "not colours"
        )
    raw = np.array(image)
    if raw.dtype == np.bool_:
        return raw.astype(np.uint8)
    return raw // image.info.get("stretched", 1)


@functools.lru_cache(maxsize=16)
def _table(label_mapping: tuple[tuple[int, int], ...], classes: int) -> np.ndarray:
    """Return raw value → class id, int16 with -1 for values that mean nothing."""
    table = np.full(65536, -1, np.int16)
    table[IGNORE] = IGNORE
    for raw, target in label_mapping or ((value, value) for value in range(classes)):
        table[raw] = target
    table.setflags(write=False)
    return table


def _refuse_value(file: Path, raw: np.ndarray, wrong: np.ndarray, dataset: Dataset) -> None:
    y, x = (int(index) for index in np.argwhere(wrong)[0])
    raise DatasetError(
        f"{file}: the value {raw[y, x]} at x={x}, y={y} is neither one of the {len(dataset.classes)} classes nor "
        f"ignored ({int(wrong.sum())} such pixels); map it in the YAML, by `label_mapping` or `ignore`"
    )
